//! The `tune` command: which placement suits a load, and whether it matters.
//!
//! Owns the order of trials: rounds of one trial of every candidate, in an order drawn anew for
//! each round, every trial with a server process of its own, until the rounds or the time are used
//! up. What is tried is in `candidate`, what it comes to in `ranking`, how it is told in `report`.
//! Invariant: a round counts for all candidates or for none.

mod candidate;
mod ranking;
mod report;

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rand::SeedableRng;
use rand::rngs::SmallRng;
use rand::seq::SliceRandom;
use sluicegate::placement::Snapshot;

use self::candidate::{Field, Ground};
use self::ranking::{Aim, rank, rounds_needed};
use self::report::{Report, Trials};
use crate::arguments::{By, PlacementArguments, RunArguments, Subject, TuneArguments};
use crate::exit::{Failure, Outcome};
use crate::output::Output;
use crate::progress::Progress;
use crate::run::{self, RunResult};

/// Runs the command.
///
/// # Errors
/// Flags that contradict each other, or a trial that could not be run.
pub(crate) fn run(arguments: &TuneArguments) -> Outcome {
    let first = trial_arguments(arguments, &arguments.load.placement);
    run::check(&first)?;
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
    let by = by(arguments);
    let rounds = rounds(arguments, field.candidates.len())?;
    let seed = arguments.seed.unwrap_or_else(drawn_seed);
    output.text(&report::heading(arguments, &placement, &field, by, rounds, seed))?;
    let trials = try_all(arguments, &field, (by, rounds), seed)?;
    let ranking = rank(&trials.figures, aim(by), arguments.noise);
    let report = Report::new(arguments, &placement, &field, &trials, &ranking);
    output.text(&report.render())?;
    output.result(&report)
}

/// Takes the trials, round by round.
fn try_all(
    arguments: &TuneArguments,
    field: &Field,
    (by, rounds): (By, usize),
    seed: u64,
) -> Outcome<Trials> {
    let count = field.candidates.len();
    let mut trials = Trials { by, seed, figures: vec![Vec::new(); count], ..Trials::default() };
    let mut random = SmallRng::seed_from_u64(seed);
    let trial = arguments.warmup + arguments.duration;
    let mut progress = Progress::new(trial * u32::try_from(count * rounds).unwrap_or(u32::MAX));
    let begun = Instant::now();
    let mut longest = Duration::ZERO;
    for round in 0..rounds {
        let round_begun = Instant::now();
        if begun.elapsed() + longest > arguments.budget {
            trials.budget_ended = true;
            break;
        }
        let mut order: Vec<usize> = (0..count).collect();
        order.shuffle(&mut random);
        let mut figures = vec![0.0; count];
        for index in order {
            let run = trial_arguments(arguments, &field.candidates[index]);
            let step = format!("round {} of {rounds}", round + 1);
            let result = run::once(&run, false, &step, &mut progress)?;
            trials.count += 1;
            let noisy = result.remarks().iter().any(|remark| remark.name == "NOISY");
            trials.noisy += usize::from(noisy);
            figures[index] = figure(by, &result)?;
        }
        for (candidate, figure) in trials.figures.iter_mut().zip(figures) {
            candidate.push(figure);
        }
        longest = longest.max(round_begun.elapsed());
    }
    Ok(trials)
}

/// One run as a trial takes it.
fn trial_arguments(arguments: &TuneArguments, candidate: &PlacementArguments) -> RunArguments {
    let mut load = arguments.load.clone();
    load.placement = candidate.clone();
    RunArguments {
        load,
        address: None,
        duration: arguments.duration,
        warmup: arguments.warmup,
        server: Subject::Sluicegate,
        server_pid: None,
        json: None,
    }
}

/// At a fixed rate all do the same and what differs is its cost; else what differs is how much.
fn by(arguments: &TuneArguments) -> By {
    let fixed = arguments.load.churn.rate.is_some();
    arguments.by.unwrap_or(if fixed { By::Cost } else { By::Throughput })
}

fn aim(by: By) -> Aim {
    if by == By::Throughput { Aim::Most } else { Aim::Least }
}

fn figure(by: By, result: &RunResult) -> Outcome<f64> {
    let (figure, name) = match by {
        By::Throughput => (Some(result.ops_per_sec()), "operations"),
        By::Cost => (result.cost_us(), "CPU time per operation"),
        By::P99 => (result.p99_us(), "99th percentile"),
    };
    figure.filter(|figure| *figure > 0.0).ok_or_else(|| {
        Failure::NothingMeasured(format!("a trial gave no {name}; give it more time with -d"))
    })
}

/// How many rounds are meant to be taken.
///
/// # Errors
/// Fewer than so many candidates need.
fn rounds(arguments: &TuneArguments, candidates: usize) -> Outcome<usize> {
    let needed = rounds_needed(candidates);
    match arguments.rounds {
        None => Ok(needed.max(DEFAULT_ROUNDS)),
        Some(rounds) if rounds > MOST_ROUNDS => {
            Err(Failure::Usage(format!("--rounds {rounds}: give at most {MOST_ROUNDS}")))
        }
        Some(rounds) if rounds < needed => Err(Failure::Usage(format!(
            "--rounds {rounds}: {candidates} candidates are told apart by {needed} or more; fix \
             some flags (--list shows what is tried) or give more"
        ))),
        Some(rounds) => Ok(rounds),
    }
}

fn drawn_seed() -> u64 {
    // Any number will do: it is printed.
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(1, |since| u64::from(since.subsec_nanos()))
}

const DEFAULT_ROUNDS: usize = 12;
const MOST_ROUNDS: usize = 1000;
