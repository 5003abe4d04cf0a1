//! The figures of a moment: of all cores, and of the groups.
//!
//! Owns copies. They are taken a slice at a time, each for a turn of the core that serves them, so
//! that a thousand groups do not keep it from its connections; the slices are milliseconds apart.
//!
//! Invariant: one slice reads [`SEATS_PER_SLICE`] seats or one group, and all together no more than
//! [`GROUPS_MAX`] groups and, a group apart, [`SEATS_MAX`] seats; those left out are counted.

use std::sync::Arc;

use groups::{Direction, GroupId, GroupStats, RATE_LIMIT_MAX};

use super::registry::Found;
use crate::group::Group;
use crate::handle::Shared;
use crate::stats::CoreStats;

/// Seats that one slice reads, about 50 ns each.
const SEATS_PER_SLICE: usize = 1024;

/// Groups that are shown.
pub(super) const GROUPS_MAX: usize = 1024;

/// Seats with a core on them that are shown, in all groups.
const SEATS_MAX: usize = 16_384;

/// The figures of a runtime at about one moment.
#[derive(Clone, Debug, Default)]
pub(super) struct Snapshot {
    pub(super) cores: Vec<CoreStats>,
    pub(super) groups: Vec<GroupFigures>,
    pub(super) seats: Vec<SeatFigures>,
    /// Groups that live and are not shown.
    pub(super) omitted: u64,
}

/// One group.
#[derive(Clone, Debug)]
pub(super) struct GroupFigures {
    pub(super) id: u64,
    pub(super) name: Option<Arc<str>>,
    /// By [`Direction::index`].
    pub(super) directions: [DirectionFigures; 2],
    pub(super) draws: u64,
    pub(super) refunds: u64,
    pub(super) waits: u64,
    pub(super) rebalances: u64,
}

/// One direction of a group; without a limit there is neither rate nor burst nor level.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct DirectionFigures {
    pub(super) bytes_per_second: Option<f64>,
    pub(super) burst: Option<u64>,
    pub(super) usable_burst: Option<u64>,
    pub(super) level: Option<i64>,
    pub(super) leased: u64,
    pub(super) moved: u64,
}

/// One core's seat in a group.
#[derive(Clone, Copy, Debug)]
pub(super) struct SeatFigures {
    /// The place of its group in the list.
    pub(super) group: usize,
    pub(super) core: usize,
    pub(super) members: u64,
    /// Weight of those that wait, by [`Direction::index`].
    pub(super) waiting: [u64; 2],
}

/// A snapshot that is being taken.
pub(super) struct Collection {
    shared: Arc<Shared>,
    snapshot: Snapshot,
    last: Option<GroupId>,
}

impl Collection {
    /// Begins with the figures of all cores.
    pub(super) fn begin(shared: Arc<Shared>) -> Self {
        let cores = (0..shared.core_count()).map(|core| shared.stats(core)).collect();
        Self { shared, snapshot: Snapshot { cores, ..Snapshot::default() }, last: None }
    }

    /// Takes one more slice; returns the snapshot once nothing is left to take.
    pub(super) fn step(&mut self) -> Option<Snapshot> {
        let found = self.shared.groups().map(|registry| registry.find(self.last, SEATS_PER_SLICE));
        let Some((found, Some(last))) = found else {
            return Some(std::mem::take(&mut self.snapshot));
        };
        self.last = Some(last);
        for found in found {
            self.snapshot.add(&found);
        }
        None
    }
}

impl Snapshot {
    fn add(&mut self, found: &Found) {
        if self.groups.len() >= GROUPS_MAX || self.seats.len() >= SEATS_MAX {
            self.omitted += 1;
            return;
        }
        let stats = found.group.stats();
        let place = self.groups.len();
        self.groups.push(GroupFigures::new(&found.group, &stats));
        let cores = found.cores.iter().copied();
        let taken = stats.seats.iter().zip(cores).filter(|(seat, _)| seat.taken);
        self.seats.extend(taken.filter_map(|(seat, core)| {
            let (members, waiting) = (seat.members, seat.weight);
            Some(SeatFigures { group: place, core: core?, members, waiting })
        }));
    }
}

impl GroupFigures {
    fn new(group: &Group, stats: &GroupStats) -> Self {
        let config = group.config();
        let period = config.tick().map_or(1.0, |tick| tick.as_secs_f64());
        let levels = [group.read_limit(), group.write_limit()];
        let direction = |dir: Direction| {
            let (at, limit) = (dir.index(), config.limit(dir));
            let moved = |sum: u64, seat: &groups::SeatStats| sum.wrapping_add(seat.moved[at]);
            DirectionFigures {
                bytes_per_second: limit.map(|limit| limit.rate() as f64 / period),
                burst: limit.map(|limit| limit.burst()),
                usable_burst: Some(group.usable_burst(dir)).filter(|&burst| burst < RATE_LIMIT_MAX),
                level: Some(levels[at]).filter(|&level| level < i64::MAX),
                leased: stats.lease(dir),
                moved: stats.seats.iter().fold(0, moved),
            }
        };
        let sum = |figure: fn(&groups::SeatStats) -> u64| stats.seats.iter().map(figure).sum();
        Self {
            id: group.id().as_u64(),
            name: group.name().map(Arc::from),
            directions: Direction::ALL.map(direction),
            draws: stats.draws(),
            refunds: sum(|seat| seat.refunds),
            waits: sum(|seat| seat.waits),
            rebalances: stats.rebalances(),
        }
    }
}
