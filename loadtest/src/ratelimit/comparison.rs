//! Checks that span several scenarios.
//!
//! Owns the shape only; who compares what says so where the scenarios are made.

use serde::Serialize;

use super::judge::Check;

/// What scenarios came to beside each other.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Comparison {
    pub(crate) name: &'static str,
    pub(crate) pass: bool,
    pub(crate) checks: Vec<Check>,
}

impl Comparison {
    pub(super) fn new(name: &'static str, checks: Vec<Check>) -> Self {
        let pass = !checks.iter().any(Check::fails);
        Self { name, pass, checks }
    }
}
