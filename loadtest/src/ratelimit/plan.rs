//! What the command was asked to do, scenario by scenario.
//!
//! Owns the way from a scenario's name to runs and results. Nothing is started before all names and
//! flags are known to be good.

use std::time::Duration;

use super::comparison::Comparison;
use super::trial::{self, Finding};
use super::{Scenario, placement, table};
use crate::arguments::RatelimitArguments;
use crate::cpus::Placement;
use crate::exit::Outcome;
use crate::output::Output;
use crate::progress::Progress;

/// One name, resolved.
#[derive(Debug)]
pub(super) enum Plan {
    /// A scenario judged by itself.
    Single(Box<Scenario>),
    /// The ways of placing a group's members, which are compared.
    Placement(Vec<Scenario>),
}

/// What all plans run with.
#[derive(Debug)]
pub(super) struct Stage<'a> {
    pub(super) placement: &'a Placement,
    pub(super) break_limiter: bool,
    pub(super) output: &'a Output<'a>,
    pub(super) progress: Progress,
}

/// What came of all plans so far.
#[derive(Debug, Default)]
pub(super) struct Results {
    pub(super) scenarios: Vec<Finding>,
    pub(super) comparisons: Vec<Comparison>,
}

impl Plan {
    /// The plan of this name, on a server of `cores` cores.
    ///
    /// # Errors
    /// No such scenario, or flags it cannot be run with.
    pub(super) fn named(name: &str, arguments: &RatelimitArguments, cores: usize) -> Outcome<Self> {
        match name {
            placement::NAME => placement::scenarios(arguments, cores).map(Self::Placement),
            _ => Scenario::named(name, arguments).map(|scenario| Self::Single(Box::new(scenario))),
        }
    }

    /// Cores of the server that a scenario of this name needs.
    pub(super) fn least_cores(name: &str) -> usize {
        if name == placement::NAME { placement::LEAST_CORES } else { 1 }
    }

    /// The most connections open at once.
    pub(super) fn connections(&self) -> usize {
        self.scenarios().iter().map(|scenario| scenario.members).max().unwrap_or(0)
    }

    /// How long it takes at least.
    pub(super) fn length(&self) -> Duration {
        self.scenarios().iter().map(|scenario| scenario.warmup + scenario.duration).sum()
    }

    /// Runs it and adds what came of it to the results.
    ///
    /// # Errors
    /// A server could not be run, or its log could not be read.
    pub(super) fn run(&self, stage: &mut Stage<'_>, results: &mut Results) -> Outcome {
        let first = results.scenarios.len();
        for scenario in self.scenarios() {
            let finding =
                trial::check(scenario, stage.placement, stage.break_limiter, &mut stage.progress)?;
            stage.progress.aside(|| stage.output.text(&table::render(&finding)))?;
            results.scenarios.push(finding);
        }
        if let Self::Placement(_) = self {
            let comparison = placement::compare(&results.scenarios[first..]);
            stage.progress.aside(|| stage.output.text(&table::compared(&comparison)))?;
            results.comparisons.push(comparison);
        }
        Ok(())
    }

    fn scenarios(&self) -> &[Scenario] {
        match self {
            Self::Single(scenario) => std::slice::from_ref(&**scenario),
            Self::Placement(scenarios) => scenarios,
        }
    }
}

impl Results {
    /// The names of what failed, in order.
    pub(super) fn failed(&self) -> Vec<&'static str> {
        let scenarios = self.scenarios.iter().map(|f| (f.judgement.name, f.judgement.pass));
        let comparisons = self.comparisons.iter().map(|c| (c.name, c.pass));
        let all = scenarios.chain(comparisons);
        all.filter(|(_, pass)| !pass).map(|(name, _)| name).collect()
    }
}
