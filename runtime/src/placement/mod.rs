//! Which CPUs the cores of a runtime run on.
//!
//! Owns the three answers a user may give (how many [`Cores`], which [`Cpus`], how to [`Pin`]),
//! the one [`Snapshot`] of what the machine allows, the pure [`plan()`] made from both, and the
//! one call that applies it to a thread. Only [`Snapshot::take`] and [`apply`] make system calls.
//!
//! Invariants: the snapshot is taken before anything is pinned, because a pinned thread sees only
//! its own CPUs; a plan never names a CPU outside the allowed mask; equal inputs give equal plans,
//! core 0 on the lowest CPU.
//! Source: the HAProxy and taskset grammars. Differs: nothing is pinned unless asked for, and the
//! default number of cores follows the cgroup's CPU quota.

mod choice;
mod cpu_set;
mod error;
mod pin;
mod plan;
mod quota;
mod snapshot;

pub use choice::{Cores, Cpus, Pin};
pub use cpu_set::CpuSet;
pub use error::PlacementError;
pub(crate) use pin::{apply, confine};
pub use plan::{CorePlan, MAX_CORES, Plan, Reason};
pub(crate) use plan::{helper_cpus, plan};
pub use quota::CpuQuota;
pub(crate) use snapshot::Snapshot;
