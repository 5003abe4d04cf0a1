//! The `simulate` command: the limiter that ships, on many cores, in virtual time.
//!
//! Owns the choice of scenarios and the judgement over all of them; the scenarios and their bars
//! are those of `groups`. Nothing here depends on the machine: the same arguments give the same
//! text and the same JSON, byte for byte. Beside each scenario runs the same limit with greedy
//! draws, to show what the shares are for.

mod report;
mod table;

use sluicegate_groups::testing::{Mutant, SCENARIOS, Scenario, Size, Verdict};

use self::report::Report;
use crate::arguments::SimulateArguments;
use crate::exit::{Failure, Outcome};
use crate::output::Output;

/// A scenario's verdict, and what greedy draws would have come to.
#[derive(Debug)]
pub(crate) struct Pair {
    policy: Verdict,
    greedy: Verdict,
}

/// Runs the command.
///
/// # Errors
/// Exit code 3 if a bar was missed; 2 for a size or a name there is none of.
pub(crate) fn run(arguments: &SimulateArguments) -> Outcome {
    let output = Output::new(arguments.json.as_deref());
    if arguments.list {
        return output.text(&table::list());
    }
    let size = size(arguments)?;
    let scenarios = scenarios(&arguments.scenarios)?;
    let mutant = arguments.broken.as_deref().map(mutant).transpose()?;
    output.text(&table::heading(size, mutant))?;
    let mut pairs = Vec::with_capacity(scenarios.len());
    for scenario in scenarios {
        let pair = Pair {
            policy: scenario.run(size, mutant),
            greedy: scenario.run(size, Some(Mutant::Greedy)),
        };
        output.text(&table::row(&pair))?;
        pairs.push(pair);
    }
    output.result(&Report::new(size, mutant, &pairs))?;
    let failed: Vec<String> = pairs.iter().flat_map(|pair| misses(&pair.policy)).collect();
    if failed.is_empty() {
        return output.text("\nverdict  PASS\n");
    }
    output.text("\nverdict  FAIL\n")?;
    Err(Failure::CheckFailed(format!("bars were missed: {}", failed.join(", "))))
}

fn misses(verdict: &Verdict) -> Vec<String> {
    let name = |check: &&str| format!("{} in {}", check, verdict.scenario);
    verdict.failed().iter().map(name).collect()
}

fn size(arguments: &SimulateArguments) -> Outcome<Size> {
    let refuse = |flag: &str, given: usize, most: usize| {
        Err(Failure::Usage(format!("{flag} {given}: give 1 to {most}")))
    };
    let SimulateArguments { cores, members, seed, .. } = *arguments;
    if !(1..=CORES_MAX).contains(&cores) {
        return refuse("--cores", cores, CORES_MAX);
    }
    if !(1..=MEMBERS_MAX).contains(&members) {
        return refuse("--members", members, MEMBERS_MAX);
    }
    Ok(Size { cores, members, seed })
}

fn scenarios(names: &[String]) -> Outcome<Vec<&'static Scenario>> {
    if names.is_empty() {
        return Ok(SCENARIOS.iter().collect());
    }
    let named = |name: &String| {
        Scenario::named(name).ok_or_else(|| {
            let names: Vec<&str> = SCENARIOS.iter().map(|scenario| scenario.name).collect();
            Failure::Usage(format!(
                "no scenario is called {name:?}; there are {}",
                names.join(", ")
            ))
        })
    };
    names.iter().map(named).collect()
}

fn mutant(name: &str) -> Outcome<Mutant> {
    Mutant::ALL.into_iter().find(|mutant| mutant.name() == name).ok_or_else(|| {
        let names: Vec<&str> = Mutant::ALL.iter().map(|mutant| mutant.name()).collect();
        Failure::Usage(format!(
            "no way to break it is called {name:?}; there are {}",
            names.join(", ")
        ))
    })
}

const CORES_MAX: usize = 128;
const MEMBERS_MAX: usize = 1_000_000;
