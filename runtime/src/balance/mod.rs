//! Which core an accepted connection goes to.
//!
//! Owns the modes and their texts, the choice, and the counts it is made by. The choice is a pure
//! function of what it sees: no socket, no clock. Who carries it out is `reactor/assign.rs`.
//!
//! Invariant: a connection counts for its core from the moment it is assigned, before the core has
//! heard of it, so that two choices in a row never see the same load.

mod choice;
mod load;
mod mode;
mod place;

pub(crate) use self::choice::Chooser;
pub(crate) use self::load::{Load, Tally};
pub use self::mode::{AcceptMode, AcceptModeError, Dispatch};
pub(crate) use self::place::Place;
