//! What a group's seats have done and hold: a copy, taken when asked for.
//!
//! Owns plain numbers. Each was written by its core alone and is exact once that core is quiet;
//! while bytes flow they are moments apart. Never part of a decision.

use crate::pool::{Tally, read};
use crate::time::Direction;

/// The counts and gauges of a [`Group`](crate::Group).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct GroupStats {
    /// One entry for each seat, taken or not.
    pub seats: Vec<SeatStats>,
    /// The weight backlogged on all cores, for each [`Direction::index`].
    pub weight: [u64; 2],
}

impl GroupStats {
    /// Returns how often cores drew from the shared words.
    #[must_use]
    pub fn draws(&self) -> u64 {
        self.seats.iter().map(|seat| seat.draws).sum()
    }

    /// Returns how often cores rebalanced.
    #[must_use]
    pub fn rebalances(&self) -> u64 {
        self.seats.iter().map(|seat| seat.rebalances).sum()
    }

    /// Returns the part of the backlogged weight that a seat published, from 0 to 1: its share.
    ///
    /// While several seats are backlogged, each may draw this part of what the group produces; the
    /// shares of all then sum to 1. A seat that nobody has contended with, or that nobody waits
    /// on, has published nothing and has no share: with all at 0, the first to ask has everything.
    #[must_use]
    pub fn share(&self, seat: usize, dir: Direction) -> f64 {
        let weight = |seat: &SeatStats| seat.weight[dir.index()];
        let all: u64 = self.seats.iter().map(weight).sum();
        let own = self.seats.get(seat).map_or(0, weight);
        if own == 0 { 0.0 } else { own as f64 / all as f64 }
    }

    /// Returns the bytes that cores hold in leases.
    #[must_use]
    pub fn lease(&self, dir: Direction) -> u64 {
        self.seats.iter().map(|seat| seat.lease[dir.index()]).sum()
    }
}

/// The counts and gauges of one seat; arrays by [`Direction::index`].
///
/// Counts go on when another core takes the seat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SeatStats {
    /// The seat's number.
    pub seat: usize,
    /// Whether a core sits on it.
    pub taken: bool,
    /// Bytes moved since the group was built.
    pub moved: [u64; 2],
    /// Bytes held after the last draw or refund.
    pub lease: [u64; 2],
    /// Backlogged weight as last published.
    pub weight: [u64; 2],
    /// Bytes of one operation as last adapted; 0 before the first rebalance.
    pub quantum: [u64; 2],
    /// Successful draws from the shared words.
    pub draws: u64,
    /// Refunds to the shared words.
    pub refunds: u64,
    /// Times a member had to wait.
    pub waits: u64,
    /// Rebalances.
    pub rebalances: u64,
    /// Members, waiting or not.
    pub members: u64,
}

impl SeatStats {
    pub(crate) fn read(seat: usize, tally: &Tally) -> Self {
        let pair = |gauges: &[_; 2]| [read(&gauges[0]), read(&gauges[1])];
        Self {
            seat,
            taken: read(&tally.taken) == 1,
            moved: pair(&tally.moved),
            lease: pair(&tally.lease),
            weight: pair(&tally.weight),
            quantum: pair(&tally.quantum),
            draws: read(&tally.draws),
            refunds: read(&tally.refunds),
            waits: read(&tally.waits),
            rebalances: read(&tally.rebalances),
            members: read(&tally.members),
        }
    }
}
