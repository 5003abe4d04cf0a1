//! The command's JSON: figures and bars in base units, nothing of the machine or the moment.
//!
//! Owns the names of the fields.

use serde::Serialize;
use sluicegate_groups::testing::{Check, Figures, Mutant, Size, Verdict};

use super::Pair;
use crate::run::SCHEMA;

#[derive(Debug, Serialize)]
pub(super) struct Report<'a> {
    schema: u32,
    verdict: &'static str,
    cores: usize,
    members: usize,
    seed: u64,
    broken: Option<&'static str>,
    scenarios: Vec<Scenario<'a>>,
}

#[derive(Debug, Serialize)]
struct Scenario<'a> {
    name: &'static str,
    pass: bool,
    #[serde(flatten)]
    policy: Values,
    greedy: Values,
    checks: Vec<Bar<'a>>,
}

#[derive(Debug, Serialize)]
struct Values {
    cores: usize,
    members: usize,
    virtual_s: f64,
    utilisation: f64,
    least_share: f64,
    most_share: f64,
    jain: f64,
    longest_wait_s: f64,
    round_s: f64,
    longest_pause_s: f64,
    longest_loop_s: f64,
    excess_bytes: u64,
    burst_used: f64,
    peak_100ms: f64,
    draws_per_sec: f64,
    operations_per_sec: f64,
    turns_per_sec: f64,
    rebalances_per_sec: f64,
}

#[derive(Debug, Serialize)]
struct Bar<'a> {
    name: &'a str,
    value: f64,
    least: f64,
    most: f64,
    pass: bool,
}

impl<'a> Report<'a> {
    pub(super) fn new(size: Size, broken: Option<Mutant>, pairs: &'a [Pair]) -> Self {
        let pass = pairs.iter().all(|pair| pair.policy.passes());
        Self {
            schema: SCHEMA,
            verdict: if pass { "PASS" } else { "FAIL" },
            cores: size.cores,
            members: size.members,
            seed: size.seed,
            broken: broken.map(Mutant::name),
            scenarios: pairs.iter().map(Scenario::new).collect(),
        }
    }
}

impl<'a> Scenario<'a> {
    fn new(pair: &'a Pair) -> Self {
        let verdict: &Verdict = &pair.policy;
        Self {
            name: verdict.scenario,
            pass: verdict.passes(),
            policy: Values::from(&verdict.figures),
            greedy: Values::from(&pair.greedy.figures),
            checks: verdict.checks.iter().map(Bar::from).collect(),
        }
    }
}

impl From<&Figures> for Values {
    fn from(figures: &Figures) -> Self {
        Self {
            cores: figures.cores,
            members: figures.members,
            virtual_s: figures.span.as_secs_f64(),
            utilisation: figures.utilisation,
            least_share: figures.least_share,
            most_share: figures.most_share,
            jain: figures.jain,
            longest_wait_s: figures.longest_wait.as_secs_f64(),
            round_s: figures.round.as_secs_f64(),
            longest_pause_s: figures.longest_pause.as_secs_f64(),
            longest_loop_s: figures.longest_loop.as_secs_f64(),
            excess_bytes: figures.excess,
            burst_used: figures.burst_used,
            peak_100ms: figures.peak,
            draws_per_sec: figures.draws_per_sec,
            operations_per_sec: figures.operations_per_sec,
            turns_per_sec: figures.turns_per_sec,
            rebalances_per_sec: figures.rebalances_per_sec,
        }
    }
}

impl<'a> From<&'a Check> for Bar<'a> {
    fn from(check: &'a Check) -> Self {
        Self {
            name: check.name,
            value: check.value,
            least: check.least,
            most: check.most,
            pass: check.passes(),
        }
    }
}
