//! A rate-limit group: one limit that any number of connections on any number of cores share.
//!
//! Owns the commands an application gives a group, and the settings it can be built with; the
//! state they act on is in `board.rs` and `pool.rs`. Never reads a clock, never spawns.
//!
//! Invariants: in any window of length T all cores together move at most ceil(R * T) + B bytes; a
//! change of config never raises the level; credit, config and disbanding change the shared state
//! first and wake every seat after it.

use std::fmt;
use std::sync::{Arc, Weak};
use std::task::Waker;
use std::time::Duration;

use crate::board::{Board, Shared};
use crate::config::{RATE_LIMIT_MAX, TokenBucketConfig};
use crate::error::{ConfigError, NoLimit, NoSeat};
use crate::plan::{Plan, Sharing, Terms};
use crate::shard::GroupShard;
use crate::stats::{GroupStats, SeatStats};
use crate::sync::next_group_number;
use crate::time::{Direction, Time};

/// The number of a group, unique in the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GroupId(u64);

impl GroupId {
    /// Returns the bare number.
    #[must_use]
    pub const fn as_u64(self) -> u64 {
        self.0
    }
}

impl fmt::Display for GroupId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "group {}", self.0)
    }
}

/// How often a backlogged core levels itself with the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Rebalance {
    /// A quarter of the time shares are kept, at least 1 ms.
    #[default]
    Default,
    /// This often; at least 1 ms, and at most as long as shares are kept (half the burst's worth,
    /// up to 50 ms, but a whole tick).
    Every(Duration),
    /// Never: cores keep the weight they first joined with, and shares drift apart.
    Never,
}

/// Who among a core's waiting members goes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum ServiceOrder {
    /// Each in turn: nobody waits longer than a round.
    #[default]
    RoundRobin,
    /// A new random order each tick, or each rebalance without a tick; as libevent documents it.
    RandomEachTick,
}

/// One limit shared by members on all cores.
///
/// `Clone + Send + Sync`; clones are the same group, and equal. It lives as long as a clone or a
/// shard of it does.
///
/// # Examples
/// ```
/// use sluicegate_groups::{Direction, Group, Time, TokenBucketConfig};
///
/// let config = TokenBucketConfig::per_second("10MB/s".parse()?);
/// let group = Group::builder(config).seats(4).build(Time::ZERO)?;
/// assert_eq!(group.read_limit(Time::ZERO), 10_000); // the first quantum: 1 ms of the rate
/// assert_eq!(group.usable_burst(Direction::Read), 1_000_000 - 4 * 10_000);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Group {
    pub(crate) shared: Arc<Shared>,
}

impl Group {
    /// Makes a group with default settings, its clock starting at `now`.
    ///
    /// # Errors
    /// None for a valid config today; the signature is that of [`GroupBuilder::build`].
    pub fn new(now: Time, config: TokenBucketConfig) -> Result<Self, ConfigError> {
        Self::builder(config).build(now)
    }

    /// Starts building a group with other than default settings.
    pub fn builder(config: TokenBucketConfig) -> GroupBuilder {
        GroupBuilder {
            config,
            seats: None,
            seats_hint: 0,
            min_share: DEFAULT_MIN_SHARE,
            rebalance: Rebalance::Default,
            order: ServiceOrder::RoundRobin,
            sharing: Sharing::ByWeight,
        }
    }

    /// Returns the group's number.
    #[must_use]
    pub fn id(&self) -> GroupId {
        self.shared.id
    }

    /// Returns how many cores can join.
    #[must_use]
    pub fn seats(&self) -> usize {
        self.shared.pool.seats()
    }

    /// Takes a seat for a core; `waker` is woken when the configuration changes or credit comes.
    ///
    /// # Errors
    /// [`NoSeat`] if all are taken: build the group with more.
    pub fn shard(&self, now: Time, waker: Waker) -> Result<GroupShard, NoSeat> {
        let (seat, credits) = self.shared.take_seat(waker)?;
        Ok(GroupShard::new(Arc::clone(&self.shared), seat, credits, now))
    }

    /// Returns the current config.
    #[must_use]
    pub fn config(&self) -> TokenBucketConfig {
        self.shared.board.lock().config.clone()
    }

    /// Replaces the config: levels are clipped, never raised; no member is dropped.
    ///
    /// The tick or byte under way goes on; a tick ends once its new length is over. Every core is
    /// woken, and adopts it within one rebalance. Until all have, a window's burst is the larger of
    /// both and what was produced or credited since the change: a core that is late may hold a
    /// larger lease than the new config keeps room for.
    ///
    /// # Errors
    /// [`ConfigError::RebalanceTooLong`] if the group was built with an interval that the new
    /// config has no room for, [`ConfigError::Disbanded`] after [`disband`](Self::disband); the
    /// old config then stays.
    pub fn set_config(&self, now: Time, config: TokenBucketConfig) -> Result<(), ConfigError> {
        self.shared.reconfigure(now, |board| board.config = config)
    }

    /// Sets the least an operation moves, default 64; 0 for no floor, though never zero bytes.
    ///
    /// # Errors
    /// As [`set_config`](Self::set_config): leases and depth depend on the smallest share.
    pub fn set_min_share(&self, now: Time, bytes: u64) -> Result<(), ConfigError> {
        self.shared.reconfigure(now, |board| board.terms.min_share = bytes)
    }

    /// Returns the bytes that may be drawn for reading at `now`; negative after a larger debit,
    /// `i64::MAX` without a limit. Leases that cores hold are not counted.
    #[must_use]
    pub fn read_limit(&self, now: Time) -> i64 {
        self.shared.level(now, Direction::Read)
    }

    /// Returns the bytes that may be drawn for writing at `now`, as
    /// [`read_limit`](Self::read_limit).
    #[must_use]
    pub fn write_limit(&self, now: Time) -> i64 {
        self.shared.level(now, Direction::Write)
    }

    /// Returns what a quiet group can save up: the burst less a lease for each seat;
    /// [`RATE_LIMIT_MAX`] without a limit.
    #[must_use]
    pub fn usable_burst(&self, dir: Direction) -> u64 {
        let board = self.shared.board.lock();
        board.plans[dir.index()].map_or(RATE_LIMIT_MAX, |plan| plan.depth)
    }

    /// Returns Q, what one operation moves while members of this summed weight wait in the whole
    /// group; [`RATE_LIMIT_MAX`] without a limit.
    ///
    /// A round over all of them moves `backlogged` times as much.
    #[must_use]
    pub fn quantum(&self, dir: Direction, backlogged: u64) -> u64 {
        let board = self.shared.board.lock();
        board.plans[dir.index()].map_or(RATE_LIMIT_MAX, |plan| plan.quantum(backlogged))
    }

    /// Debits `bytes` by hand, or credits them if negative; credit is clipped at
    /// [`usable_burst`](Self::usable_burst) and wakes every core.
    ///
    /// # Errors
    /// [`NoLimit`] where that direction is unlimited, and after [`disband`](Self::disband).
    pub fn decrement(&self, now: Time, dir: Direction, bytes: i64) -> Result<(), NoLimit> {
        self.shared.adjust(now, dir, bytes)?;
        if bytes < 0 {
            self.shared.wake_all();
        }
        Ok(())
    }

    /// Returns the bytes read and written since the start or the last reset; exact when quiet.
    /// Takes no lock; O(seats).
    #[must_use]
    pub fn totals(&self) -> (u64, u64) {
        let pool = &self.shared.pool;
        (pool.total(Direction::Read), pool.total(Direction::Write))
    }

    /// Starts both totals at zero again.
    pub fn reset_totals(&self) {
        self.shared.pool.reset_totals();
    }

    /// Ends the group: from now on everything is granted, and members should be detached.
    pub fn disband(&self) {
        self.shared.disband();
    }

    /// Returns what each seat did and holds. Takes no lock; O(seats).
    #[must_use]
    pub fn stats(&self) -> GroupStats {
        let pool = &self.shared.pool;
        let seats = (0..pool.seats()).map(|seat| SeatStats::read(seat, pool.tally(seat))).collect();
        GroupStats { seats, weight: Direction::ALL.map(|dir| pool.word(dir).weight()) }
    }

    /// Returns a handle that does not keep the group alive.
    #[must_use]
    pub fn downgrade(&self) -> WeakGroup {
        WeakGroup(Arc::downgrade(&self.shared))
    }

    pub(crate) fn from_shared(shared: Arc<Shared>) -> Self {
        Self { shared }
    }
}

impl PartialEq for Group {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.shared, &other.shared)
    }
}

impl Eq for Group {}

impl fmt::Debug for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Group").field("id", &self.shared.id).finish_non_exhaustive()
    }
}

/// A handle to a [`Group`] that does not keep it alive: for lists of those that exist.
#[derive(Clone, Debug)]
pub struct WeakGroup(Weak<Shared>);

impl WeakGroup {
    /// Returns the group, unless its last handle and its last shard are gone.
    #[must_use]
    pub fn upgrade(&self) -> Option<Group> {
        self.0.upgrade().map(Group::from_shared)
    }

    /// Says whether the group is gone.
    #[must_use]
    pub fn is_gone(&self) -> bool {
        self.0.strong_count() == 0
    }
}

/// Builds a [`Group`] with other than default settings.
#[derive(Clone, Debug)]
#[must_use]
pub struct GroupBuilder {
    config: TokenBucketConfig,
    seats: Option<usize>,
    seats_hint: usize,
    min_share: u64,
    rebalance: Rebalance,
    order: ServiceOrder,
    sharing: Sharing,
}

impl GroupBuilder {
    /// Sets how many cores can join, 1 to 4096. Each seat costs a lease's worth of the burst.
    ///
    /// Default: 16, or [`seats_hint`](Self::seats_hint) if that is more.
    pub fn seats(mut self, seats: usize) -> Self {
        self.seats = Some(seats);
        self
    }

    /// Tells how many cores there are, for the default number of seats; a runtime passes this.
    pub fn seats_hint(mut self, cores: usize) -> Self {
        self.seats_hint = cores;
        self
    }

    /// Sets the least an operation moves, default 64; 0 for no floor, though never zero bytes.
    ///
    /// What a tick leaves over is less, and moves all the same where the burst could not keep it.
    pub fn min_share(mut self, bytes: u64) -> Self {
        self.min_share = bytes;
        self
    }

    /// Sets how often a backlogged core levels itself with the others.
    pub fn rebalance(mut self, rebalance: Rebalance) -> Self {
        self.rebalance = rebalance;
        self
    }

    /// Sets who goes first among a core's waiting members.
    pub fn service_order(mut self, order: ServiceOrder) -> Self {
        self.order = order;
        self
    }

    /// Lets whichever core draws first have what is there: what shares are compared with.
    #[cfg(feature = "testing")]
    pub fn greedy_draws(mut self) -> Self {
        self.sharing = Sharing::Greedy;
        self
    }

    /// Makes the group; its clock starts at `now`.
    ///
    /// # Errors
    /// [`ConfigError::Seats`], [`ConfigError::RebalanceTooLong`] and
    /// [`ConfigError::RebalanceTooShort`]: use a value in the range the message names.
    pub fn build(self, now: Time) -> Result<Group, ConfigError> {
        let seats = self.seats.unwrap_or_else(|| self.seats_hint.clamp(SEATS_DEFAULT, SEATS_MAX));
        if !(1..=SEATS_MAX).contains(&seats) {
            return Err(ConfigError::Seats { seats });
        }
        let (min_share, rebalance, sharing) = (self.min_share, self.rebalance, self.sharing);
        let terms = Terms { seats: seats as u64, min_share, rebalance, sharing };
        let mut plans = [None; 2];
        for dir in Direction::ALL {
            if let Some(limit) = self.config.limit(dir) {
                plans[dir.index()] = Some(Plan::first(&self.config, limit, terms, now, 0)?);
            }
        }
        let board = Board::new(now, self.config, terms, plans);
        let id = GroupId(next_group_number());
        Ok(Group { shared: Arc::new(Shared::new(id, self.order, board)) })
    }
}

/// The least an operation moves unless told otherwise, as in libevent.
const DEFAULT_MIN_SHARE: u64 = 64;
/// Seats of a group unless told otherwise.
const SEATS_DEFAULT: usize = 16;
/// The most seats: each is a cache line or three, and a part of the burst.
const SEATS_MAX: usize = 4096;
