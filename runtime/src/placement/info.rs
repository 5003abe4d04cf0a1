//! Where a core really runs, as its own thread has found out.
//!
//! Owns what a core tells of its placement once it has started. The plan is what was meant; this is
//! what the kernel made of it.

use super::cpu_set::CpuSet;
use super::error::PlacementError;
use super::plan::CorePlan;

/// One core, and where its thread may run.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CoreInfo {
    /// The number of the core.
    pub index: usize,
    /// The CPUs its thread may run on, read back from the kernel; nothing before the core has
    /// started, or where it could not be read.
    pub cpus: Option<CpuSet>,
    /// What became of the plan to tie it to CPUs.
    pub pinned: Pinned,
}

/// Whether a core is tied to CPUs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pinned {
    /// The core has not started.
    NotYet,
    /// It was not to be: the kernel moves it among the CPUs of the process.
    No,
    /// It runs where it was planned, and nowhere else.
    Yes,
    /// It should be and is not: the kernel refused. The core runs all the same.
    Failed,
}

impl CoreInfo {
    /// What is known of a core before it has started.
    pub(crate) fn not_yet(index: usize) -> Self {
        Self { index, cpus: None, pinned: Pinned::NotYet }
    }

    /// What has become of a plan: the mask that was read back, or why not.
    pub(crate) fn new(plan: &CorePlan, placed: Result<&CpuSet, &PlacementError>) -> Self {
        let (cpus, pinned) = match (placed, &plan.cpus) {
            (Ok(mask), None) => (Some(mask.clone()), Pinned::No),
            (Ok(mask), Some(_)) => (Some(mask.clone()), Pinned::Yes),
            (Err(PlacementError::PinNotEffective { actual, .. }), _) => {
                (Some(actual.clone()), Pinned::Failed)
            }
            (Err(_), None) => (None, Pinned::No),
            (Err(_), Some(_)) => (None, Pinned::Failed),
        };
        Self { index: plan.index, cpus, pinned }
    }
}
