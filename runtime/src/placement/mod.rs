//! Which CPUs the cores of a runtime run on, and what they do when idle.
//!
//! Owns what a user may ask for ([`Placement`]), the one [`Snapshot`] of what the machine allows,
//! the pure [`Plan`] made from both, and the one call that applies it to a thread. Only
//! [`Snapshot`] and `pin.rs` make system calls.
//!
//! # Choices
//!
//! | flag | variable | what | default |
//! |---|---|---|---|
//! | `--cores` | `SLUICEGATE_CORES` | [`Cores`]: `auto`, `physical`, a number | see below |
//! | `--cpus` | `SLUICEGATE_CPUS` | [`Cpus`]: a list, or one for each core | all allowed |
//! | `--pin` | `SLUICEGATE_PIN` | [`Pin`]: `none`, `each`, `set`, `node` | see below |
//! | `--order` | `SLUICEGATE_ORDER` | [`Order`]: `spread`, `pack` | `spread` |
//! | `--smt` | `SLUICEGATE_SMT` | [`Smt`]: `all`, `one` | `all` |
//! | `--idle` | `SLUICEGATE_IDLE` | [`Idle`]: `park`, `spin:50us`, `busy` | `park` |
//! | `--strict` | `SLUICEGATE_STRICT` | whether a failure to pin is an error | `false` |
//!
//! By default there is a core for each CPU or set that is listed; without a list, for each allowed
//! CPU, at most as many as a CPU quota pays for, rounded up. Nothing is pinned, but a list confines
//! every core to it (`set`). A core that cannot be pinned is a warning and a figure
//! ([`CoreStats::pin_failures`](crate::CoreStats::pin_failures)), unless it has to be.
//!
//! A flag goes before the builder, the builder before the environment, whichever is asked first:
//! [`RuntimeBuilder::placement`](crate::RuntimeBuilder::placement) takes what flags say, and
//! [`RuntimeBuilder::env`](crate::RuntimeBuilder::env) the variables, which count only where a
//! program asks for them. One that is nearly one of them is an error, another of the same prefix a
//! warning, and an error of what variables ask for names them.
//!
//! Invariants: the snapshot is taken before anything is pinned, because a pinned thread sees only
//! its own CPUs; a plan never names a CPU outside the allowed mask; equal inputs give equal plans:
//! CPUs that are chosen go to the cores in ascending order, sets in the order they are listed.
//! Source: the HAProxy and taskset grammars. Differs: nothing is pinned unless asked for, and the
//! default number of cores follows the cgroup's CPU quota.

mod asked;
mod choice;
mod cpu_set;
mod cpus;
mod error;
mod idle;
mod info;
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
mod variable;
mod warning;
mod word;

pub use asked::Placement;
pub use choice::{Cores, Order, Pin, Smt};
pub use cpu_set::CpuSet;
pub use cpus::Cpus;
pub use error::PlacementError;
pub use idle::{Idle, SPIN_MAX, SPIN_MIN};
pub use info::{CoreInfo, Pinned};
pub use list_error::{ListError, ListFault};
pub(crate) use nearest::nearest;
pub(crate) use pin::{apply, confine};
pub use plan::{CorePlan, MAX_CORES, Plan, Reason, Why};
pub use quota::CpuQuota;
pub use snapshot::Snapshot;
pub use topology::{Guesses, Location, Topology};
pub use warning::{IdleRefusal, NoEffect, Warning};
