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
    pub(crate) least: Option<f64>,
    pub(crate) most: Option<f64>,
    pub(crate) pass: bool,
    /// Whether it says nothing about the limit, because the machine was busy.
    pub(crate) inconclusive: bool,
}

impl Check {
    pub(crate) fn within(name: &'static str, value: f64, least: f64, most: f64) -> Self {
        Self::new(name, value, Some(least), Some(most))
    }

    pub(crate) fn at_most(name: &'static str, value: f64, most: f64) -> Self {
        Self::new(name, value, None, Some(most))
    }

    pub(crate) fn at_least(name: &'static str, value: f64, least: f64) -> Self {
        Self::new(name, value, Some(least), None)
    }

    /// A value that is no number holds no bar.
    fn new(name: &'static str, value: f64, least: Option<f64>, most: Option<f64>) -> Self {
        let pass =
            least.is_none_or(|least| value >= least) && most.is_none_or(|most| value <= most);
        Self { name, value, least, most, pass, inconclusive: false }
    }

    /// The same check of a figure that a busy machine spoils; `spoiled` says that it did. Of
    /// several reasons one is enough.
    pub(crate) fn timing(self, spoiled: bool) -> Self {
        Self { inconclusive: (self.inconclusive || spoiled) && !self.pass, ..self }
    }

    /// Whether it speaks against what was checked.
    pub(crate) fn fails(&self) -> bool {
        !self.pass && !self.inconclusive
    }
}
