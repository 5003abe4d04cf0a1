//! The `tune` command: which placement suits a load, and whether it matters; and `ab`, which
//! compares two servers.
//!
//! Owns what a trial is: one run with a server process of its own. What is tried is in `candidate`,
//! in which order and which trials count in `rounds`, by which figure in `measure`, how far two are
//! apart in `interval`, what it comes to in `ranking`, how it is told in `report`, `frame` and
//! `sentence`. Two servers need no ranking: see `pairs`.

mod candidate;
mod frame;
mod interval;
mod measure;
mod pairs;
mod ranking;
mod report;
mod rounds;
mod sentence;

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use sluicegate::placement::Snapshot;

use self::candidate::{Field, Ground};
use self::interval::{rounds_forgiving, rounds_needed};
use self::measure::Measure;
pub(crate) use self::pairs::compare;
use self::ranking::rank;
use self::report::Report;
use self::rounds::{Plan, Trial, Trials};
use crate::arguments::{LoadArguments, RunArguments, Subject, TuneArguments};
use crate::cpus::Placement;
use crate::exit::{Failure, Outcome};
use crate::output::Output;
use crate::progress::Progress;
use crate::run;

/// What is tuned, and how.
struct Tuning<'a> {
    arguments: &'a TuneArguments,
    placement: Placement,
    field: Field,
    measure: Measure,
}

/// Runs the command.
///
/// # Errors
/// Flags that contradict each other or leave nothing to compare, or a trial that could not be run;
/// the rounds before it are told.
pub(crate) fn run(arguments: &TuneArguments) -> Outcome {
    let measure = Measure::new(&arguments.load, arguments.by, arguments.times().1)?;
    run::check(&trial(arguments.load.clone(), arguments.times()))?;
    let placement = run::placement(&arguments.load)?;
    let ground = Ground {
        snapshot: &Snapshot::take(),
        server_cpus: &placement.server,
        is_shared: placement.shared.is_some(),
    };
    let field = Field::new(&ground, &arguments.load.placement).map_err(Failure::Usage)?;
    let output = Output::new(arguments.json.as_deref());
    if arguments.budget.is_zero() {
        return Err(Failure::Usage("--budget 0s: give a time such as 10m".to_owned()));
    }
    if arguments.list {
        return output.text(&report::list(&field));
    }
    let plan = plan(arguments, field.candidates.len())?;
    let tuning = Tuning { arguments, placement, field, measure };
    output.text(&report::heading(&tuning, &plan))?;
    let trials = tuning.try_all(&plan);
    if trials.rounds() > 0 {
        let ranking = rank(&trials.samples, measure.terms(arguments.noise));
        let report = Report::new(&tuning, &plan, &trials, &ranking);
        output.text(&report.render())?;
        output.result(&report)?;
    }
    let line = |candidate: usize| tuning.field.candidates[candidate].line();
    trials.into_failed().map_or(Ok(()), |failed| {
        let line = line(failed.candidate);
        Err(failed.of(&line))
    })
}

impl Tuning<'_> {
    fn try_all(&self, plan: &Plan) -> Trials {
        take(plan, self.measure, |candidate| {
            let mut load = self.arguments.load.clone();
            load.placement = self.field.candidates[candidate].clone();
            trial(load, self.arguments.times())
        })
    }
}

/// Takes the trials that a plan asks for, each a run as `arguments` says for a candidate.
fn take(plan: &Plan, measure: Measure, arguments: impl Fn(usize) -> RunArguments) -> Trials {
    let mut progress = Progress::new(plan.length());
    let begun = Instant::now();
    rounds::take(
        plan,
        || begun.elapsed(),
        |candidate, round| {
            let step = format!("round {round} of {}", plan.rounds);
            let result = run::once(&arguments(candidate), false, &step, &mut progress)?;
            Ok(Trial::new(measure.of(&result), result.remarks()))
        },
    )
}

/// One run as a trial takes it, with its warm-up and its measured part.
fn trial(load: LoadArguments, (warmup, duration): (Duration, Duration)) -> RunArguments {
    RunArguments {
        load,
        address: None,
        duration,
        warmup,
        server: Subject::Sluicegate,
        server_command: None,
        server_pid: None,
        json: None,
    }
}

/// How many rounds are meant to be taken.
///
/// # Errors
/// Nothing to compare, or fewer rounds than so many candidates need.
fn plan(arguments: &TuneArguments, candidates: usize) -> Outcome<Plan> {
    if candidates < 2 {
        return Err(Failure::Usage(
            "there is one way alone to try (--list says why), so there is nothing to compare; \
             drop a flag that fixes one"
                .to_owned(),
        ));
    }
    let (warmup, duration) = arguments.times();
    let plan = Plan {
        candidates,
        rounds: arguments.rounds.unwrap_or_default(),
        trial: warmup + duration,
        budget: arguments.budget,
        seed: arguments.seed.unwrap_or_else(drawn_seed),
    };
    let needed = rounds_needed(candidates);
    match arguments.rounds {
        None => Ok(Plan { rounds: default_rounds(&plan), ..plan }),
        Some(rounds) if rounds > MOST_ROUNDS => {
            Err(Failure::Usage(format!("--rounds {rounds}: give at most {MOST_ROUNDS}")))
        }
        Some(rounds) if rounds < needed => Err(Failure::Usage(format!(
            "--rounds {rounds}: {candidates} candidates are told apart by {needed} or more; fix \
             some flags (--list shows what is tried) or give more"
        ))),
        Some(_) => Ok(plan),
    }
}

/// As many as forgive a disturbed one, if the budget leaves time for them; as few as tell anything
/// at least.
fn default_rounds(plan: &Plan) -> usize {
    let wanted = rounds_forgiving(plan.candidates).max(DEFAULT_ROUNDS);
    wanted.min(plan.rounds_in_budget()).max(rounds_needed(plan.candidates))
}

fn drawn_seed() -> u64 {
    // Any number will do: it is printed.
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(1, |since| u64::from(since.subsec_nanos()))
}

const DEFAULT_ROUNDS: usize = 12;
const MOST_ROUNDS: usize = 1000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rounds_forgive_a_disturbed_one_where_the_budget_leaves_time() {
        // The candidates, the budget in minutes, the rounds.
        for (candidates, minutes, rounds) in
            [(2, 15, 12), (4, 15, 12), (5, 15, 13), (13, 15, 16), (13, 8, 14), (13, 1, 12)]
        {
            let plan = Plan {
                candidates,
                rounds: 0,
                trial: Duration::from_millis(2500),
                budget: Duration::from_secs(60 * minutes),
                seed: 1,
            };
            assert_eq!(default_rounds(&plan), rounds, "{candidates} in {minutes} min");
        }
    }
}
