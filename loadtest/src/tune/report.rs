//! A tuning as text and as JSON.
//!
//! Owns the layout: the candidates from best to worst, what was left out, what can be said, and the
//! flags to copy. The sentences are in `sentence`.

use std::fmt::Write;

use comfy_table::{CellAlignment, Table, presets};
use serde::Serialize;

use super::candidate::{Field, LeftOut};
use super::frame::{Frame, sides};
use super::interval::rounds_needed;
use super::measure::Measure;
use super::ranking::{Ranking, Row, Standing};
use super::rounds::{End, Plan, Trials};
use super::sentence::{Subject, named};
use super::{MOST_ROUNDS, Tuning};
use crate::arguments::PlacementArguments;

/// What is written as JSON.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    verdict: &'static str,
    /// What it means, in a sentence.
    sentence: String,
    /// What to give `run` or `serve`, with the defaults that depend on them; absent where none
    /// kept up.
    flags: Option<String>,
    #[serde(flatten)]
    frame: Frame,
    planned_rounds: usize,
    rounds: usize,
    trials: usize,
    /// How many more rounds would tell what is open.
    more_rounds: Option<usize>,
    /// The trial that failed and ended them, if one did.
    failure: Option<String>,
    candidates: Vec<CandidateResult>,
    left_out: Vec<LeftOut>,
    #[serde(skip)]
    measure: Measure,
}

#[derive(Debug, Serialize)]
struct CandidateResult {
    flags: String,
    standing: Standing,
    median: Option<f64>,
    ratio_to_best: Option<f64>,
    interval: Option<(f64, f64)>,
    /// None where the trial of a round does not count.
    figures: Vec<Option<f64>>,
}

impl Report {
    pub(super) fn new(
        tuning: &Tuning<'_>,
        plan: &Plan,
        trials: &Trials,
        ranking: &Ranking,
    ) -> Self {
        let Tuning { arguments, placement, field, measure } = tuning;
        let result = |row: &Row| CandidateResult {
            flags: field.candidates[row.candidate].line(),
            standing: row.standing,
            median: row.median,
            ratio_to_best: Some(row.ratio).filter(|ratio| ratio.is_finite()),
            interval: row.interval,
            figures: trials.samples[row.candidate].figures.clone(),
        };
        let failure = match &trials.end {
            Some(End::Failed(failed)) => {
                let flags = field.candidates[failed.candidate].line();
                Some(format!("{} in round {}: {}", named(&flags), failed.round, failed.failure))
            }
            Some(End::Budget) | None => None,
        };
        let (measure, noise) = (*measure, arguments.noise);
        let subject = Subject { plan, trials, measure, noise, rounds: "rounds" };
        Self {
            verdict: ranking.verdict.name(),
            sentence: subject.tell(ranking),
            flags: ranking.choice.map(|choice| field.in_full(choice).line()),
            frame: Frame::new(placement, &subject),
            planned_rounds: plan.rounds,
            rounds: trials.rounds(),
            trials: trials.count,
            more_rounds: ranking.more_rounds.filter(|&more| more <= MOST_ROUNDS),
            failure,
            candidates: ranking.rows.iter().map(result).collect(),
            left_out: field.left_out.clone(),
            measure,
        }
    }

    pub(super) fn render(&self) -> String {
        let mut table = Table::new();
        table.load_style(presets::NOTHING);
        table.set_header(["", "median", "ratio to best", "interval", ""]);
        let none = || "n/a".to_owned();
        for candidate in &self.candidates {
            let interval = candidate.interval;
            table.add_row([
                named(&candidate.flags).to_owned(),
                candidate.median.map_or_else(none, |median| self.measure.text(median)),
                candidate.ratio_to_best.map_or_else(none, |ratio| format!("{ratio:.3}")),
                interval.map_or_else(String::new, |(least, most)| format!("{least:.3}-{most:.3}")),
                candidate.standing.name().to_owned(),
            ]);
        }
        for column in table.column_iter_mut().skip(1).take(3) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        let mut text = format!("{table}\n");
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "\n{} trials in {} of {} rounds, of them {}",
            self.trials,
            self.rounds,
            self.planned_rounds,
            self.frame.disturbed()
        );
        if let Some(failure) = &self.failure {
            let _ = writeln!(text, "failed     {failure}");
        }
        let _ = writeln!(text, "verdict    {}: {}", self.verdict, self.sentence);
        if let Some(flags) = &self.flags {
            let cpus = &self.frame.server_cpus;
            let cpus = if cpus == "any" { "none" } else { cpus };
            let _ = writeln!(
                text,
                "use        --server-cpus {cpus} {flags}   (serve: --cpus {cpus} {flags})"
            );
        }
        text + self.frame.last_line()
    }
}

/// What is said before the trials begin.
pub(super) fn heading(tuning: &Tuning<'_>, plan: &Plan) -> String {
    let Tuning { arguments, placement, field, measure } = tuning;
    let &Plan { candidates, rounds, seed, .. } = plan;
    let mut text = format!(
        "loadtest tune {}   {candidates} candidates, {rounds} rounds in random order (seed {seed}), \
         by {}\n{}",
        arguments.load.workload.name(),
        measure.name(),
        sides(placement, plan)
    );
    text += &budget(plan);
    let _ = writeln!(text, "{}", left_out_lines(field));
    text
}

/// That the budget is less than the rounds take, if it is.
fn budget(plan: &Plan) -> String {
    let (taken, needed) = (plan.rounds_in_budget().max(1), rounds_needed(plan.candidates));
    let little = match taken {
        taken if taken >= plan.rounds => return String::new(),
        taken if taken >= needed => String::new(),
        _ => format!("; fewer than {needed} tell nothing"),
    };
    format!("--budget leaves time for {taken} of the rounds{little}.\n")
}

/// The candidates and what was left out.
pub(super) fn list(field: &Field) -> String {
    let lines: Vec<String> = field.candidates.iter().map(PlacementArguments::line).collect();
    let mut text: String = lines.iter().map(|line| format!("{}\n", named(line))).collect();
    text += &left_out_lines(field);
    text
}

fn left_out_lines(field: &Field) -> String {
    let line = |left: &LeftOut| format!("left out   {}: {}\n", left.flags, left.why);
    field.left_out.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_budget_that_is_too_small_is_said_beforehand() {
        for (seconds, said) in [
            (1, "--budget leaves time for 1 of the rounds; fewer than 6 tell nothing.\n"),
            (119, "--budget leaves time for 5 of the rounds; fewer than 6 tell nothing.\n"),
            (120, "--budget leaves time for 6 of the rounds.\n"),
            (240, ""),
        ] {
            let plan = Plan {
                candidates: 2,
                rounds: 12,
                trial: Duration::from_secs(10),
                budget: Duration::from_secs(seconds),
                seed: 1,
            };
            assert_eq!(budget(&plan), said, "{seconds} s");
        }
    }

    #[test]
    fn the_list_names_the_defaults_and_the_reasons() {
        let mut field = Field::default();
        field.candidates.push(PlacementArguments::default());
        field.left_out.push(LeftOut { flags: "--idle busy".into(), why: "a quota".into() });
        assert_eq!(list(&field), "(defaults)\nleft out   --idle busy: a quota\n");
    }
}
