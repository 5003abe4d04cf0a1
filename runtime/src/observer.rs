//! The audit hook at the seam where bytes are metered.
//!
//! Owns nothing but the shapes. With an observer every metered operation is reported with clock
//! readings taken right before and after it; without one no extra clock is read. What a group
//! promises over any window can be checked from these records with no slack.

use std::fmt;

use groups::{Direction, GroupId, Time};

use crate::id::BevId;

/// One read or write that a limit metered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MeteredOperation {
    /// When it began: a reading taken before it, or the reading its tokens were drawn with.
    pub before: Time,
    /// When it was over: a reading taken after it.
    pub after: Time,
    /// How many bytes it moved; 0 if the socket had none or took none.
    pub bytes: u64,
    /// Which way they went.
    pub direction: Direction,
    /// The connection.
    pub bev: BevId,
    /// The group it was a member of.
    pub group: Option<GroupId>,
}

/// Sees every metered operation of one core.
///
/// # Shape
/// Made once per core and called on it, between system calls: keep it short.
pub trait Observer: Send {
    /// Takes note of one operation.
    fn metered(&mut self, operation: &MeteredOperation);
}

impl fmt::Debug for dyn Observer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("dyn Observer")
    }
}
