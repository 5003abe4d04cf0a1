//! A bar, and whether it held.
//!
//! Owns the difference between failing and proving nothing: where a figure depends on when the
//! machine let the program run, missing the bar on a busy machine is inconclusive.

use serde::Serialize;

/// One bar and whether it held.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Check {
    pub(crate) name: &'static str,
    pub(crate) value: f64,
    pub(crate) least: f64,
    pub(crate) most: Option<f64>,
    pub(crate) pass: bool,
    /// Whether it says nothing about the limit, because the machine was busy.
    pub(crate) inconclusive: bool,
}

impl Check {
    pub(crate) fn within(name: &'static str, value: f64, least: f64, most: f64) -> Self {
        let pass = value >= least && value <= most;
        Self { most: Some(most), pass, ..Self::at_least(name, value, least) }
    }

    pub(crate) fn at_most(name: &'static str, value: f64, most: f64) -> Self {
        Self::within(name, value, 0.0, most)
    }

    pub(crate) fn at_least(name: &'static str, value: f64, least: f64) -> Self {
        let pass = value >= least;
        Self { name, value, least, most: None, pass, inconclusive: false }
    }

    /// The same check of a figure that a busy machine spoils; `noisy` says that it was busy.
    pub(crate) fn timing(self, noisy: bool) -> Self {
        Self { inconclusive: noisy && !self.pass, ..self }
    }

    /// Whether it speaks against what was checked.
    pub(crate) fn fails(&self) -> bool {
        !self.pass && !self.inconclusive
    }
}
