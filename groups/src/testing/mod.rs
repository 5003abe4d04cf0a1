//! Whole groups in virtual time: many cores, up to a million members, no clock and no thread.
//!
//! For tests of this crate and for the load tester. A [`Simulator`] runs the code that ships: a
//! real [`Group`](crate::Group), a real [`GroupShard`](crate::GroupShard) for each simulated core,
//! one operation at a time in the order of their instants. A [`Scenario`] is a load with the bars
//! it must reach; a [`Mutant`] breaks the limiter on purpose, so that the bars can be shown to see
//! it. Never part of a decision that ships: nothing in the library depends on this module.
//!
//! Deterministic: the same seed gives the same run, byte for byte and nanosecond for nanosecond.
//! Only with the feature `testing`.

mod bound;
mod core;
mod load;
mod meter;
mod mutant;
mod scenario;
mod simulator;
mod verdict;

pub use bound::Bound;
pub use core::{Core, Member, Pace};
pub use meter::Meter;
pub use mutant::Mutant;
pub use scenario::{SCENARIOS, Scenario, Size};
pub use simulator::Simulator;
pub use verdict::{Check, Figures, Verdict};
