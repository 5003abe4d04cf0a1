//! What an application sets and asks about the limits of one bufferevent.
//!
//! Owns nothing: own limits live in the bufferevent (`core-buf`), memberships in the core's table
//! of groups (`reactor/shards.rs`). Every question and command about a bucket takes a clock reading
//! of its own, as the turn's would be old. Over TLS they are those of the bufferevent below, unless
//! its options say that plaintext is charged.
//!
//! Source: libevent 2.1.12 `bufferevent_set_rate_limit` and what follows it in bufferevent.h.
//! Differs: no own limit is an answer or an error, never a made-up number or an abort.

use std::num::NonZeroU32;

use core_buf::Bufferevent;
use groups::{Direction, NoLimit, NoSeat, TokenBucketConfig};

use super::BevMut;
use crate::group::Group;
use crate::slot::Stream;

/// Limits of its own, and of the group it is in.
impl BevMut<'_> {
    /// Sets, replaces or with `None` removes this bufferevent's own limit.
    ///
    /// A new limit starts with one tick's worth, or without a tick with one quantum (1 ms of the
    /// rate, 64 B to 64 KiB). Replacing one keeps what it holds, clipped to the new burst and never
    /// raised. Removing it lets a direction that waited go on at once; its group still limits it.
    ///
    /// # Examples
    /// ```
    /// use std::time::Duration;
    ///
    /// use sluicegate::{BevMut, TokenBucketConfig};
    ///
    /// fn be_gentle(conn: &mut BevMut<'_>) -> sluicegate::Result<()> {
    ///     // 3,000 bytes every 100 ms each way, at most 12,000 at once.
    ///     let tick = Some(Duration::from_millis(100));
    ///     conn.set_rate_limit(Some(TokenBucketConfig::new(3_000, 12_000, 3_000, 12_000, tick)?));
    ///     assert_eq!(conn.read_limit(), Some(3_000));
    ///     Ok(())
    /// }
    /// ```
    pub fn set_rate_limit(&mut self, config: Option<TokenBucketConfig>) {
        let now = self.core.driver.now();
        self.metered(|bev| bev.set_rate_limit(now, config));
    }

    /// This bufferevent's own limit, if it has one.
    pub fn rate_limit(&self) -> Option<&TokenBucketConfig> {
        self.look_metered().bev.rate_limit()
    }

    /// Bytes the own limit holds for reading now, negative in debt; `None` if it has none.
    pub fn read_limit(&mut self) -> Option<i64> {
        self.own_level(Direction::Read)
    }

    /// Bytes the own limit holds for writing now, negative in debt; `None` if it has none.
    pub fn write_limit(&mut self) -> Option<i64> {
        self.own_level(Direction::Write)
    }

    /// Bytes the next read may take by the own limit, the group and the largest single read
    /// together; 0 if it would have to wait.
    ///
    /// A forecast for this moment, not a reservation: others of its group may be faster. Marks and
    /// what has arrived do not count.
    pub fn max_to_read(&mut self) -> usize {
        self.max_to_move(Direction::Read)
    }

    /// Bytes the next write may give away, as [`max_to_read`](Self::max_to_read).
    pub fn max_to_write(&mut self) -> usize {
        self.max_to_move(Direction::Write)
    }

    /// Takes bytes out of the own read limit, or with a negative number puts some in: for what
    /// moved elsewhere on this peer's account.
    ///
    /// Reading that is left without tokens is suspended until the rate has paid the debt back, and
    /// goes on at once when a credit lifts it above zero. A credit is clipped at the burst.
    ///
    /// # Errors
    /// Reading has no limit of its own: [set one](Self::set_rate_limit) first.
    pub fn decrement_read_limit(&mut self, bytes: i64) -> Result<(), NoLimit> {
        self.decrement(Direction::Read, bytes)
    }

    /// Takes bytes out of the own write limit, or puts some in, as
    /// [`decrement_read_limit`](Self::decrement_read_limit).
    ///
    /// # Errors
    /// Writing has no limit of its own: [set one](Self::set_rate_limit) first.
    pub fn decrement_write_limit(&mut self, bytes: i64) -> Result<(), NoLimit> {
        self.decrement(Direction::Write, bytes)
    }

    /// Becomes a member of a group, of weight 1; leaves the group it was in.
    ///
    /// Its own limit goes on beside the group's: the lower wins, both are charged. Joining a group
    /// that was disbanded leaves it in none.
    ///
    /// # Errors
    /// The group has no seat for another core: build it with more `seats`. It stays in the group it
    /// was in.
    pub fn join(&mut self, group: &Group) -> Result<(), NoSeat> {
        self.join_weighted(group, NonZeroU32::MIN)
    }

    /// Becomes a member whose share is `weight` times that of weight 1.
    ///
    /// Joining the group it is in with another weight changes its weight and puts it behind those
    /// who wait.
    ///
    /// # Errors
    /// As for [`join`](Self::join).
    pub fn join_weighted(&mut self, group: &Group, weight: NonZeroU32) -> Result<(), NoSeat> {
        let key = self.core.metered_key(self.key);
        self.core.join(key, group, weight)?;
        self.core.handle_touched(key);
        Ok(())
    }

    /// Leaves its group, if it is in one; what it waited for it may have at once.
    pub fn leave(&mut self) {
        let key = self.core.metered_key(self.key);
        self.core.leave(key);
        self.core.handle_touched(key);
    }

    /// The group it is a member of.
    ///
    /// # Examples
    /// ```
    /// use sluicegate::BevMut;
    ///
    /// /// Gives back to everybody what a connection was charged for and did not want.
    /// fn compensate(conn: &BevMut<'_>, bytes: i64) {
    ///     if let Some(group) = conn.group() {
    ///         // A group that limits writing only has nothing to give back.
    ///         let _unlimited = group.decrement_read(-bytes);
    ///     }
    /// }
    /// ```
    pub fn group(&self) -> Option<Group> {
        let membership = self.look_metered().bev.membership()?;
        self.core.shards.group(membership).cloned()
    }

    fn own_level(&mut self, direction: Direction) -> Option<i64> {
        let now = self.core.driver.now();
        self.metered(|bev| bev.own_level(now, direction))
    }

    fn decrement(&mut self, direction: Direction, bytes: i64) -> Result<(), NoLimit> {
        let now = self.core.driver.now();
        self.metered(|bev| bev.decrement_own(now, direction, bytes))
    }

    fn max_to_move(&mut self, direction: Direction) -> usize {
        let now = self.core.driver.now();
        let key = self.core.metered_key(self.key);
        let membership = self.look_metered().bev.membership();
        let core = &mut *self.core;
        let stream = core.slots.stream(key).expect("slots are given up between turns only");
        stream.bev.max_to_move(now, direction, core.shards.of(membership).as_deref())
    }

    /// Does something to the bufferevent whose bytes the limits of this one count.
    fn metered<T>(&mut self, act: impl FnOnce(&mut Bufferevent) -> T) -> T {
        let key = self.core.metered_key(self.key);
        let stream = self.core.slots.stream(key).expect("slots are given up between turns only");
        let outcome = act(&mut stream.bev);
        self.core.handle_touched(key);
        outcome
    }

    fn look_metered(&self) -> &Stream {
        let key = self.core.metered_key(self.key);
        self.core.slots.look(key).expect("slots are given up between turns only")
    }
}
