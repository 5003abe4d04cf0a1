//! What the command was asked to do, scenario by scenario.
//!
//! Owns the way from a scenario's name to runs and results. Nothing is started before all names and
//! flags are known to be good.

use std::time::Duration;

use serde::Serialize;

use super::comparison::Comparison;
use super::suspended::{self, Suspended};
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
    /// Numbers of waiting members, whose costs are compared.
    Suspended(Suspended),
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
    pub(super) scenarios: Vec<Entry>,
    pub(super) comparisons: Vec<Comparison>,
}

/// What came of one scenario.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(super) enum Entry {
    Judged(Box<Finding>),
    Suspended(Box<suspended::Finding>),
}

impl Plan {
    /// The plan of this name, on a server of `cores` cores.
    ///
    /// # Errors
    /// No such scenario, or flags it cannot be run with.
    pub(super) fn named(name: &str, arguments: &RatelimitArguments, cores: usize) -> Outcome<Self> {
        match name {
            placement::NAME => placement::scenarios(arguments, cores).map(Self::Placement),
            suspended::NAME => Suspended::new(arguments).map(Self::Suspended),
            _ => Scenario::named(name, arguments).map(|scenario| Self::Single(Box::new(scenario))),
        }
    }

    /// Cores of the server that a scenario of this name needs.
    pub(super) fn least_cores(name: &str) -> usize {
        if name == placement::NAME { placement::LEAST_CORES } else { 1 }
    }

    /// The most connections open at once.
    pub(super) fn connections(&self) -> usize {
        match self {
            Self::Single(scenario) => scenario.members,
            Self::Placement(scenarios) => scenarios.iter().map(|s| s.members).max().unwrap_or(0),
            Self::Suspended(suspended) => suspended.connections(),
        }
    }

    /// How long it takes at least.
    pub(super) fn length(&self) -> Duration {
        match self {
            Self::Single(scenario) => scenario.length(),
            Self::Placement(scenarios) => scenarios.iter().map(Scenario::length).sum(),
            Self::Suspended(suspended) => suspended.length(),
        }
    }

    /// Runs it and adds what came of it to the results.
    ///
    /// # Errors
    /// A server could not be run, or its log could not be read.
    pub(super) fn run(&self, stage: &mut Stage<'_>, results: &mut Results) -> Outcome {
        match self {
            Self::Single(scenario) => {
                let finding = stage.judge(scenario)?;
                results.scenarios.push(Entry::Judged(Box::new(finding)));
            }
            Self::Placement(scenarios) => {
                let findings: Vec<Finding> =
                    scenarios.iter().map(|s| stage.judge(s)).collect::<Outcome<_>>()?;
                let comparison = placement::compare(&findings);
                stage.tell(&table::compared(&comparison))?;
                results.comparisons.push(comparison);
                let entries = findings.into_iter().map(|f| Entry::Judged(Box::new(f)));
                results.scenarios.extend(entries);
            }
            Self::Suspended(suspended) => {
                let (findings, comparison) = suspended.run(stage)?;
                for finding in findings {
                    stage.tell(&table::suspended(&finding))?;
                    results.scenarios.push(Entry::Suspended(Box::new(finding)));
                }
                stage.tell(&table::compared(&comparison))?;
                results.comparisons.push(comparison);
            }
        }
        Ok(())
    }
}

impl Stage<'_> {
    fn judge(&mut self, scenario: &Scenario) -> Outcome<Finding> {
        let finding =
            trial::check(scenario, self.placement, self.break_limiter, &mut self.progress)?;
        self.tell(&table::render(&finding))?;
        Ok(finding)
    }

    fn tell(&self, text: &str) -> Outcome {
        self.progress.aside(|| self.output.text(text))
    }
}

impl Entry {
    fn outcome(&self) -> (&str, bool) {
        match self {
            Self::Judged(finding) => (finding.judgement.name, finding.judgement.pass),
            Self::Suspended(finding) => (&finding.name, finding.pass),
        }
    }
}

impl Results {
    /// The names of what failed, in order.
    pub(super) fn failed(&self) -> Vec<&str> {
        let scenarios = self.scenarios.iter().map(Entry::outcome);
        let comparisons = self.comparisons.iter().map(|c| (c.name, c.pass));
        let all = scenarios.chain(comparisons);
        all.filter(|(_, pass)| !pass).map(|(name, _)| name).collect()
    }
}
