//! Which CPUs the cores of a runtime run on, and what they do when idle.
//!
//! Owns what a user may ask for ([`Placement`]), the one [`Snapshot`] of what the machine allows,
//! the pure [`Plan`] made from both, and the one call that applies it to a thread. Only
//! [`Snapshot`] and `pin.rs` make system calls.
//!
//! # Choices
//!
//! | flag | what | default |
//! |---|---|---|
//! | `--cores` | [`Cores`]: `auto`, `physical`, a number | one for each CPU listed or allowed |
//! | `--cpus` | [`Cpus`]: a list, or a list for each core | the CPUs the process may use |
//! | `--pin` | [`Pin`]: `none`, `each`, `set`, `node` | `none`; `set` where CPUs are listed |
//! | `--order` | [`Order`]: `spread`, `pack` | `spread` |
//! | `--smt` | [`Smt`]: `all`, `one` | `all` |
//!
//! Without a list the default number of cores is at most what a CPU quota pays for, rounded up. A
//! flag, by [`RuntimeBuilder::placement`](crate::RuntimeBuilder::placement), goes before the other
//! calls of the builder.
//!
//! Invariants: the snapshot is taken before anything is pinned, because a pinned thread sees only
//! its own CPUs; a plan never names a CPU outside the allowed mask; equal inputs give equal plans,
//! core 0 on the lowest CPU chosen.
//! Source: the HAProxy and taskset grammars. Differs: nothing is pinned unless asked for, and the
//! default number of cores follows the cgroup's CPU quota.

mod asked;
mod choice;
mod cpu_set;
mod cpus;
mod error;
mod idle;
mod list;
mod list_error;
mod nearest;
mod pin;
mod plan;
mod quota;
mod ranking;
mod snapshot;
#[cfg(test)]
mod tests;
mod topology;
#[cfg(test)]
mod tree;
mod warning;
mod word;

pub use asked::Placement;
pub use choice::{Cores, Order, Pin, Smt};
pub use cpu_set::CpuSet;
pub use cpus::Cpus;
pub use error::PlacementError;
pub use idle::{Idle, SPIN_MAX, SPIN_MIN};
pub use list_error::{ListError, ListFault};
pub(crate) use pin::{apply, confine};
pub use plan::{CorePlan, MAX_CORES, Plan, Reason, Why};
pub use quota::CpuQuota;
pub use snapshot::Snapshot;
pub use topology::{Guesses, Location, Topology};
pub use warning::{IdleRefusal, Warning};
