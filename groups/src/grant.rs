//! What a shard hands out and what it reports: small values without behaviour.
//!
//! Owns the shape of a grant and of a shard's state. Only a shard makes them.
//! Invariant: the bytes of a metered grant have left the lease and count against its bound.

use crate::time::{Direction, Time};

/// Bytes a member may move now; hand it to [`GroupShard::settle`](crate::GroupShard::settle)
/// afterwards.
///
/// A grant that is dropped instead occupies its part of the core's lease until the shard is
/// dropped: never too much moves, but too little. It cannot be copied, so none is settled twice.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "a grant that is not settled takes its bytes from everyone"]
pub struct Grant {
    /// The most bytes the operation may move.
    pub bytes: u64,
    /// The direction it was granted for.
    pub dir: Direction,
    pub(crate) source: Source,
    /// Whether its member was taken from the queue for it.
    pub(crate) queued: bool,
}

impl Grant {
    /// Returns the reading its bytes were drawn with, where each operation draws for itself: an
    /// audit begins the operation's window there. `None` where a lease paid.
    #[must_use]
    pub fn drawn_at(&self) -> Option<Time> {
        match self.source {
            Source::Draw(reading) => Some(reading),
            Source::Lease | Source::Unlimited => None,
        }
    }
}

/// What pays for a grant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// The core's lease.
    Lease,
    /// A draw for this operation alone, with this reading.
    Draw(Time),
    /// Nothing: there is no limit.
    Unlimited,
}

/// What a shard's group is at the moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ShardState {
    /// Limits apply.
    Active,
    /// The group was disbanded: everything is granted, members should be detached.
    Disbanded,
}
