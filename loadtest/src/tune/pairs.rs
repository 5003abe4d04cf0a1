//! The `ab` command: two servers of ours, compared in interleaved pairs of runs.
//!
//! Owns what can be said of two. Each pair is one run of either in an order drawn anew, so what
//! disturbs a pair disturbs both; statistics and words are those of `tune`.

use std::fmt::Write;
use std::time::Duration;

use serde::Serialize;

use super::interval::rounds_needed;
use super::measure::Measure;
use super::ranking::{Comparison, Standing, compare as compared};
use super::rounds::{Plan, Trials};
use super::{MOST_ROUNDS, drawn_seed, report, take, trial};
use crate::arguments::{AbArguments, LoadArguments, Side};
use crate::cpus::{self, Placement};
use crate::exit::{Failure, Outcome};
use crate::figure::plain;
use crate::median::median;
use crate::output::Output;
use crate::run::{self, Environment, SCHEMA};

/// What is written as JSON.
#[derive(Debug, Serialize)]
struct Report {
    schema: u32,
    verdict: &'static str,
    sentence: String,
    environment: Environment,
    server_cpus: String,
    client_cpus: String,
    by: &'static str,
    noise: f64,
    seed: u64,
    pairs: usize,
    noisy_trials: usize,
    client_bound_trials: usize,
    ratio: f64,
    interval: Option<(f64, f64)>,
    a: SideResult,
    b: SideResult,
}

#[derive(Debug, Serialize)]
struct SideResult {
    flags: String,
    median: f64,
    kept_up: bool,
    figures: Vec<f64>,
}

/// Runs the command.
///
/// # Errors
/// Flags that contradict each other, or a trial that could not be run; the pairs before it are
/// told.
pub(crate) fn compare(arguments: &AbArguments) -> Outcome {
    let measure = Measure::new(&arguments.load, arguments.by)?;
    let plan = check(arguments)?;
    let placement = run::placement(&arguments.load)?;
    let output = Output::new(arguments.json.as_deref());
    output.text(&format!(
        "loadtest ab {}   {} pairs in random order (seed {}), by {}\n\
         server on CPU {} | client on CPU {} | takes {:.0} s and the starts of {} servers\n\n",
        arguments.load.workload.name(),
        plan.rounds,
        plan.seed,
        measure.name(),
        cpus::list(&placement.server),
        cpus::list(&placement.client),
        plan.length().as_secs_f64(),
        2 * plan.rounds
    ))?;
    let sides = [&arguments.a, &arguments.b];
    let mut trials = take(&plan, measure, |side| {
        trial(load(arguments, sides[side]), (arguments.warmup, arguments.duration))
    });
    let failure = trials.failure.take();
    if trials.rounds() > 0 {
        let report = Report::new(arguments, &placement, &trials, (measure, plan.seed));
        output.text(&report.render(measure))?;
        output.result(&report)?;
    }
    failure.map_or(Ok(()), |failed| {
        let side = &sides[failed.candidate].text;
        Err(failed.of(side))
    })
}

impl Report {
    fn new(
        arguments: &AbArguments,
        placement: &Placement,
        trials: &Trials,
        (measure, seed): (Measure, u64),
    ) -> Self {
        let [first, second] = [0, 1].map(|side: usize| &*trials.figures[side]);
        let comparison = compared(first, second, measure.aim(), arguments.noise);
        let (verdict, sentence) = judge(&comparison, trials, arguments.noise);
        let side = |side: &Side, index: usize| SideResult {
            flags: side.text.clone(),
            median: median(trials.figures[index].clone()),
            kept_up: trials.kept_up[index],
            figures: trials.figures[index].clone(),
        };
        Self {
            schema: SCHEMA,
            verdict,
            sentence,
            environment: Environment::read(),
            server_cpus: cpus::list(&placement.server),
            client_cpus: cpus::list(&placement.client),
            by: measure.name(),
            noise: arguments.noise,
            seed,
            pairs: trials.rounds(),
            noisy_trials: trials.noisy,
            client_bound_trials: trials.client_bound,
            ratio: comparison.ratio,
            interval: comparison.interval,
            a: side(&arguments.a, 0),
            b: side(&arguments.b, 1),
        }
    }

    fn render(&self, measure: Measure) -> String {
        let mut text = String::new();
        // Writing to a string cannot fail.
        for (name, side) in [("a", &self.a), ("b", &self.b)] {
            let (median, flags) = (measure.text(side.median), report::named(&side.flags));
            let _ = writeln!(text, "{name}          {median} in the middle   {flags}");
        }
        let interval = self.interval.map(|(least, most)| format!(" ({least:.4}-{most:.4})"));
        let _ = writeln!(
            text,
            "b / a      {:.4}{} in {} pairs, {} trials NOISY, {} CLIENT-BOUND",
            self.ratio,
            interval.unwrap_or_default(),
            self.pairs,
            self.noisy_trials,
            self.client_bound_trials
        );
        let _ = writeln!(text, "verdict    {}: {}", self.verdict, self.sentence);
        if self.environment.debug_build {
            let _ =
                writeln!(text, "           debug build: use cargo run --release for real figures");
        }
        text
    }
}

/// Refuses what cannot be compared before anything is started.
fn check(arguments: &AbArguments) -> Outcome<Plan> {
    let needed = rounds_needed(2);
    if !(needed..=MOST_ROUNDS).contains(&arguments.pairs) {
        return Err(Failure::Usage(format!(
            "--pairs {}: give {needed} to {MOST_ROUNDS}; fewer tell nothing",
            arguments.pairs
        )));
    }
    let common = &arguments.load;
    let placed = common.placement.flags().first().map(|(flag, _)| *flag);
    let watched = common.watch.flags().first().map(|(flag, _)| *flag);
    if let Some(flag) = placed.or(watched).or(common.limits.given()) {
        return Err(Failure::Usage(format!(
            "{flag} is of one server: give it within --a, --b or both"
        )));
    }
    let times = (arguments.warmup, arguments.duration);
    for side in [&arguments.a, &arguments.b] {
        run::check(&trial(load(arguments, side), times))?;
    }
    Ok(Plan {
        candidates: 2,
        rounds: arguments.pairs,
        trial: times.0 + times.1,
        budget: Duration::MAX,
        seed: arguments.seed.unwrap_or_else(drawn_seed),
    })
}

/// The load with the server of a side.
fn load(arguments: &AbArguments, side: &Side) -> LoadArguments {
    let mut load = arguments.load.clone();
    load.placement = side.server.placement.clone();
    load.limits = side.server.limits.clone();
    load.watch = side.server.watch.clone();
    load
}

/// The verdict, and what it means.
fn judge(comparison: &Comparison, trials: &Trials, noise: f64) -> (&'static str, String) {
    if trials.kept_up.contains(&false) {
        let sides: Vec<&str> = ["a", "b"]
            .into_iter()
            .zip(&trials.kept_up)
            .filter_map(|(name, kept_up)| (!kept_up).then_some(name))
            .collect();
        let sides = sides.join(" and ");
        return (
            "DID NOT KEEP UP",
            format!("a trial of {sides} was OVERLOADED or had ERRORS; lower the load."),
        );
    }
    let percent = plain(Some(noise * 100.0));
    let pairs = trials.rounds();
    match comparison.standing {
        Some(Standing::Worse) => {
            ("B WORSE", format!("for certain, by more than {percent} % as estimated."))
        }
        Some(Standing::Best) => {
            ("B BETTER", format!("for certain, by more than {percent} % as estimated."))
        }
        Some(Standing::Same) => {
            ("SAME", format!("the difference is within {percent} % for certain."))
        }
        _ => {
            ("INCONCLUSIVE", format!("{pairs} pairs do not tell whether it is within {percent} %."))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::ranking::Aim;
    use super::*;

    fn verdict(second: f64, kept_up: [bool; 2]) -> (&'static str, String) {
        let figures = vec![vec![1.0; 12], vec![second; 12]];
        let comparison = compared(&figures[0], &figures[1], Aim::Least, 0.01);
        let trials = Trials { figures, kept_up: kept_up.to_vec(), ..Trials::default() };
        judge(&comparison, &trials, 0.01)
    }

    #[test]
    fn two_are_told_apart_by_their_ratio() {
        let both = [true; 2];
        assert_eq!(verdict(1.0, both).0, "SAME");
        assert_eq!(verdict(1.02, both).0, "B WORSE");
        assert_eq!(verdict(0.98, both).0, "B BETTER");
        assert!(verdict(1.02, both).1.contains("1 %"));
    }

    #[test]
    fn a_side_that_did_not_keep_up_is_not_compared() {
        let (verdict, sentence) = verdict(0.5, [true, false]);
        assert_eq!(verdict, "DID NOT KEEP UP");
        assert!(sentence.contains("a trial of b was OVERLOADED"), "{sentence}");
    }
}
