//! Rate-limit groups as applications use them: with the clock already in hand.
//!
//! Owns a handle to the group of `groups` and the clock it runs on. The algorithm is there and
//! takes every time as an argument; here only the process's clock is read for it.

use std::sync::Arc;

use groups::{
    ConfigError, Direction, GroupId, GroupStats, NoLimit, Rebalance, ServiceOrder,
    TokenBucketConfig,
};

use crate::clock::Clock;

/// A limit that many connections on many cores share.
///
/// All members together move, in any window of length T, at most ceil(rate·T) + burst bytes in each
/// direction, exactly; backlogged members share fairly wherever they live; what nobody claims is
/// free to the others.
///
/// # Shape
/// `Clone + Send + Sync`, a counted pointer. Lives as long as a handle or a member does.
///
/// # Examples
/// ```
/// use sluicegate::{Direction, Group, TokenBucketConfig};
///
/// let everyone = Group::new(TokenBucketConfig::per_second("10MB/s".parse()?))?;
/// assert_eq!(everyone.totals(), (0, 0));
/// assert!(everyone.usable_burst(Direction::Read) <= 1_000_000);
/// # Ok::<(), sluicegate::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Group {
    inner: groups::Group,
    clock: Clock,
    name: Option<Arc<str>>,
}

impl Group {
    /// Makes a group of the default seats, minimum share and rebalance interval.
    ///
    /// # Errors
    /// The numbers of `config` do not fit together with the defaults; see [`ConfigError`].
    pub fn new(config: TokenBucketConfig) -> Result<Self, ConfigError> {
        Self::builder(config).build()
    }

    /// Starts building a group.
    pub fn builder(config: TokenBucketConfig) -> GroupBuilder {
        let inner = groups::Group::builder(config).seats_hint(num_cpus::get());
        GroupBuilder { inner, clock: Clock::process(), name: None }
    }

    /// Names this group, also in the records of an [`Observer`](crate::Observer).
    pub fn id(&self) -> GroupId {
        self.inner.id()
    }

    /// What [`GroupBuilder::name`] has called it.
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// The configuration in force.
    pub fn config(&self) -> TokenBucketConfig {
        self.inner.config()
    }

    /// Replaces the configuration while bytes flow: no member is dropped and no level raised.
    ///
    /// Every core has it within one rebalance. Until then a window's burst is the larger of both
    /// and what was produced or credited since the change. The tick or byte under way goes on; a
    /// tick ends once its new length is over.
    ///
    /// # Errors
    /// As for building, and after [`disband`](Self::disband); the old configuration then stays.
    ///
    /// # Examples
    /// ```
    /// use sluicegate::{Group, TokenBucketConfig};
    ///
    /// let tenant = Group::new(TokenBucketConfig::per_second("10MB/s".parse()?))?;
    /// let night = TokenBucketConfig::per_second("50MB/s".parse()?);
    /// tenant.set_config(night.clone())?;
    /// assert_eq!(tenant.config(), night);
    /// # Ok::<(), sluicegate::Error>(())
    /// ```
    pub fn set_config(&self, config: TokenBucketConfig) -> Result<(), ConfigError> {
        self.inner.set_config(self.clock.now(), config)
    }

    /// Sets the least one member gets in one round, in bytes; 0 is no floor, though an operation
    /// never moves nothing.
    ///
    /// # Errors
    /// As for building: how much a core may hold depends on it. The old share then stays.
    pub fn set_min_share(&self, bytes: usize) -> Result<(), ConfigError> {
        self.inner.set_min_share(self.clock.now(), bytes as u64)
    }

    /// Bytes the group holds for reading now, leases of cores apart; negative in debt.
    pub fn read_limit(&self) -> i64 {
        self.inner.read_limit(self.clock.now())
    }

    /// Bytes the group holds for writing now, leases of cores apart; negative in debt.
    pub fn write_limit(&self) -> i64 {
        self.inner.write_limit(self.clock.now())
    }

    /// What a quiet, full group may burst: the burst less what the cores' leases may hold.
    pub fn usable_burst(&self, direction: Direction) -> u64 {
        self.inner.usable_burst(direction)
    }

    /// What one operation moves while members of this summed weight wait in the whole group;
    /// [`RATE_LIMIT_MAX`](crate::RATE_LIMIT_MAX) without a limit.
    pub fn quantum(&self, direction: Direction, backlogged: u64) -> u64 {
        self.inner.quantum(direction, backlogged)
    }

    /// Takes bytes out of reading, or with a negative number puts some in, for all cores at once.
    ///
    /// A credit is clipped at [`usable_burst`](Self::usable_burst) and serves who waits; a debit
    /// may leave a debt, which the rate pays back, of at most 2^60 bytes.
    ///
    /// # Errors
    /// Reading has no limit, or the group was disbanded.
    ///
    /// # Examples
    /// What the tenant has moved elsewhere counts here too:
    /// ```
    /// use sluicegate::{Group, TokenBucketConfig};
    ///
    /// let tenant = Group::new(TokenBucketConfig::per_second("1kB/s".parse()?))?;
    /// tenant.decrement_read(1_000_000)?;
    /// assert!(tenant.read_limit() < 0, "a debt of a quarter of an hour");
    /// # Ok::<(), sluicegate::Error>(())
    /// ```
    pub fn decrement_read(&self, bytes: i64) -> Result<(), NoLimit> {
        self.inner.decrement(self.clock.now(), Direction::Read, bytes)
    }

    /// Takes bytes out of writing, or puts some in, as
    /// [`decrement_read`](Self::decrement_read).
    ///
    /// # Errors
    /// Writing has no limit, or the group was disbanded.
    pub fn decrement_write(&self, bytes: i64) -> Result<(), NoLimit> {
        self.inner.decrement(self.clock.now(), Direction::Write, bytes)
    }

    /// Bytes read and written by all members since the start or the last reset; exact when quiet.
    ///
    /// Adjustments by hand do not count. Wraps at 2^64: after 5.8 years at 100 GB/s.
    pub fn totals(&self) -> (u64, u64) {
        self.inner.totals()
    }

    /// Starts the totals from 0.
    pub fn reset_totals(&self) {
        self.inner.reset_totals();
    }

    /// Lets all members go, on every core; they run unlimited from here on.
    ///
    /// Dropping handles does not: a group lives as long as it has a member.
    pub fn disband(&self) {
        self.inner.disband();
    }

    /// How many cores can have members.
    pub fn seats(&self) -> usize {
        self.inner.seats()
    }

    /// The figures of the group, seat by seat: what each core holds, waits for and has done.
    pub fn stats(&self) -> GroupStats {
        self.inner.stats()
    }

    pub(crate) fn inner(&self) -> &groups::Group {
        &self.inner
    }

    pub(crate) fn downgrade(&self) -> WeakGroup {
        let (clock, name) = (self.clock.clone(), self.name.clone());
        WeakGroup { inner: self.inner.downgrade(), clock, name }
    }
}

/// A handle to a group that does not keep it alive.
#[derive(Clone, Debug)]
pub(crate) struct WeakGroup {
    inner: groups::WeakGroup,
    clock: Clock,
    name: Option<Arc<str>>,
}

impl WeakGroup {
    pub(crate) fn upgrade(&self) -> Option<Group> {
        let inner = self.inner.upgrade()?;
        Some(Group { inner, clock: self.clock.clone(), name: self.name.clone() })
    }

    pub(crate) fn is_gone(&self) -> bool {
        self.inner.is_gone()
    }
}

/// Builds a [`Group`].
#[derive(Clone, Debug)]
pub struct GroupBuilder {
    inner: groups::GroupBuilder,
    clock: Clock,
    name: Option<Arc<str>>,
}

impl GroupBuilder {
    /// How many cores may have members. Default 16, or the CPUs if there are more.
    ///
    /// Each costs the group a part of its burst, kept for its lease, and a cache line.
    #[must_use]
    pub fn seats(mut self, cores: usize) -> Self {
        self.inner = self.inner.seats(cores);
        self
    }

    /// The least one member gets in one round, in bytes. Default 64; 0 is no floor.
    #[must_use]
    pub fn min_share(mut self, bytes: usize) -> Self {
        self.inner = self.inner.min_share(bytes as u64);
        self
    }

    /// How often a backlogged core settles its share. Default a quarter of the fairness window.
    #[must_use]
    pub fn rebalance(mut self, rebalance: Rebalance) -> Self {
        self.inner = self.inner.rebalance(rebalance);
        self
    }

    /// Who goes first when tokens come. Default round robin.
    #[must_use]
    pub fn service_order(mut self, order: ServiceOrder) -> Self {
        self.inner = self.inner.service_order(order);
        self
    }

    /// What it is called where its figures are shown; see
    /// [`RuntimeBuilder::metrics`](crate::RuntimeBuilder::metrics). Default: its number.
    ///
    /// Any text. Two groups may have the same: their numbers stand beside it.
    #[must_use]
    pub fn name(mut self, name: impl Into<Arc<str>>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// The clock of a simulation; the default is the process's.
    #[must_use]
    pub fn clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    /// Makes the group, with its first fill.
    ///
    /// # Errors
    /// The numbers do not fit together; see [`ConfigError`].
    pub fn build(self) -> Result<Group, ConfigError> {
        let inner = self.inner.build(self.clock.now())?;
        Ok(Group { inner, clock: self.clock, name: self.name })
    }
}
