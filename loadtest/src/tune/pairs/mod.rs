//! The `ab` command: two servers, compared in interleaved pairs of runs.
//!
//! Owns what a side is and what cannot be compared. Each pair is one run of either in an order
//! drawn anew, so what disturbs a pair disturbs both; statistics and words are those of `tune`.
//! What can be said of two is in `verdict`, how it is told in `report`.

mod report;
mod verdict;

use std::time::Duration;

use self::report::Report;
use super::interval::rounds_needed;
use super::measure::Measure;
use super::rounds::Plan;
use super::{MOST_ROUNDS, drawn_seed, frame, take, trial};
use crate::arguments::{AbArguments, RunArguments, Side};
use crate::exit::{Failure, Outcome};
use crate::output::Output;
use crate::run;

/// Runs the command.
///
/// # Errors
/// Flags that contradict each other, a trial that could not be run (the pairs before it are told),
/// or, so that a script can tell, a second server that is worse or pairs that do not tell.
pub(crate) fn compare(arguments: &AbArguments) -> Outcome {
    let measure = Measure::new(&arguments.load, arguments.by, arguments.duration)?;
    let plan = check(arguments)?;
    let placement = run::placement(&arguments.load)?;
    let output = Output::new(arguments.json.as_deref());
    output.text(&format!(
        "loadtest ab {}   {} pairs in random order (seed {}), by {}\n\
         {}\n",
        arguments.load.workload.name(),
        plan.rounds,
        plan.seed,
        measure.name(),
        frame::sides(&placement, &plan)
    ))?;
    let sides = arguments.sides();
    let trials = take(&plan, measure, |side| run_of(arguments, &sides[side]));
    let mut told = Ok(());
    if trials.rounds() > 0 {
        let report = Report::new((arguments, &sides), &placement, (&plan, &trials), measure);
        output.text(&report.render(measure))?;
        output.result(&report)?;
        told = report.outcome();
    }
    trials.into_failed().map_or(told, |failed| {
        let side = &sides[failed.candidate].text;
        Err(failed.of(side))
    })
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
    if let Some(flag) = placed.or(watched).or_else(|| common.limits.given()) {
        return Err(Failure::Usage(format!(
            "{flag} is of one server: give it within --a, --b or both"
        )));
    }
    for side in &arguments.sides() {
        run::check(&run_of(arguments, side))?;
    }
    Ok(Plan {
        candidates: 2,
        rounds: arguments.pairs,
        trial: arguments.warmup + arguments.duration,
        budget: Duration::MAX,
        seed: arguments.seed.unwrap_or_else(drawn_seed),
    })
}

/// A trial with the server of a side.
fn run_of(arguments: &AbArguments, side: &Side) -> RunArguments {
    let mut load = arguments.load.clone();
    load.placement = side.server.placement.clone();
    load.limits = side.server.limits.clone();
    load.watch = side.server.watch.clone();
    let run = trial(load, (arguments.warmup, arguments.duration));
    RunArguments { server_command: side.command.clone(), ..run }
}
