//! Checks that span several scenarios.
//!
//! Owns the shape only; who compares what says so where the scenarios are made.

use std::collections::BTreeMap;

use serde::Serialize;

use super::judge::Check;

/// What scenarios came to beside each other.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Comparison {
    pub(crate) name: &'static str,
    pub(crate) pass: bool,
    /// What is reported beside the checks.
    #[serde(flatten)]
    pub(crate) figures: BTreeMap<&'static str, f64>,
    pub(crate) checks: Vec<Check>,
}

impl Comparison {
    pub(super) fn new(name: &'static str, checks: Vec<Check>) -> Self {
        let pass = !checks.iter().any(Check::fails);
        Self { name, pass, figures: BTreeMap::new(), checks }
    }

    /// Adds a figure to report.
    pub(super) fn with(mut self, name: &'static str, value: f64) -> Self {
        self.figures.insert(name, value);
        self
    }
}
