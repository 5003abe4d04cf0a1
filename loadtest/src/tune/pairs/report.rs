//! A comparison as text and as JSON.
//!
//! Owns the layout: both sides, their ratio, the verdict and what the trials suffered.

use std::fmt::Write;

use serde::Serialize;

use super::super::MOST_ROUNDS;
use super::super::frame::Frame;
use super::super::measure::Measure;
use super::super::ranking::{Sample, compare};
use super::super::rounds::{Plan, Trials};
use super::super::sentence::{Subject, named};
use super::verdict::{Verdict, judge};
use crate::arguments::{AbArguments, Side};
use crate::cpus::Placement;
use crate::exit::Outcome;
use crate::figure::four_decimals;

/// What is written as JSON.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    verdict: Verdict,
    /// What it means, in a sentence.
    sentence: String,
    #[serde(flatten)]
    frame: Frame,
    planned_pairs: usize,
    pairs: usize,
    ratio: Option<f64>,
    interval: Option<(f64, f64)>,
    /// How many more pairs would tell what is open.
    more_pairs: Option<usize>,
    a: SideResult,
    b: SideResult,
}

#[derive(Debug, Serialize)]
struct SideResult {
    flags: String,
    median: Option<f64>,
    kept_up: bool,
    /// None where the trial of a pair does not count.
    figures: Vec<Option<f64>>,
}

impl SideResult {
    fn new(side: &Side, sample: &Sample) -> Self {
        let Sample { kept_up, ref figures, .. } = *sample;
        let (flags, figures) = (side.text.clone(), figures.clone());
        Self { flags, median: sample.median(), kept_up, figures }
    }
}

impl Report {
    pub(super) fn new(
        (arguments, sides): (&AbArguments, &[Side; 2]),
        placement: &Placement,
        (plan, trials): (&Plan, &Trials),
        measure: Measure,
    ) -> Self {
        let noise = arguments.noise;
        let [first, second] = [0, 1].map(|side: usize| &trials.samples[side]);
        let comparison = compare(first, second, measure.terms(noise));
        let subject = Subject { plan, trials, measure, noise, rounds: "pairs" };
        let (verdict, sentence) = judge(&comparison, &subject);
        Self {
            verdict,
            sentence,
            frame: Frame::new(placement, &subject),
            planned_pairs: plan.rounds,
            pairs: trials.rounds(),
            ratio: Some(comparison.ratio).filter(|ratio| ratio.is_finite()),
            interval: comparison.interval,
            more_pairs: comparison
                .doubt
                .and_then(|doubt| doubt.more())
                .filter(|&more| more <= MOST_ROUNDS),
            a: SideResult::new(&sides[0], first),
            b: SideResult::new(&sides[1], second),
        }
    }

    pub(super) fn render(&self, measure: Measure) -> String {
        let mut text = String::new();
        // Writing to a string cannot fail.
        for (name, side) in [("a", &self.a), ("b", &self.b)] {
            let median = side.median.map_or_else(|| "n/a".to_owned(), |value| measure.text(value));
            let flags = named(&side.flags);
            let _ = writeln!(text, "{name}          {median} in the middle   {flags}");
        }
        let interval = self.interval.map(|(least, most)| format!(" ({least:.4}-{most:.4})"));
        let _ = writeln!(
            text,
            "b / a      {}{} in {} of {} pairs, of the trials {}",
            four_decimals(self.ratio),
            interval.unwrap_or_default(),
            self.pairs,
            self.planned_pairs,
            self.frame.disturbed()
        );
        let _ = writeln!(text, "verdict    {}: {}", self.verdict.name(), self.sentence);
        text + self.frame.last_line()
    }

    /// What the command ends with.
    pub(super) fn outcome(&self) -> Outcome {
        self.verdict.outcome(self.a.kept_up, &self.sentence)
    }
}
