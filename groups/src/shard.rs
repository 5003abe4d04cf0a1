//! A group as one core sees it: its members, and what they may move now.
//!
//! Owns a seat of the group, the member slab and a lane for each direction. Never blocks, never
//! reads a clock by itself: a draw calls the closure it was handed, at most once, so that its
//! reading was made for it and a long turn cannot spend the past twice.
//!
//! Life of a metered operation: `request` (or `poll_grant` for one that waited) gives a grant, the
//! caller moves at most that many bytes, `settle` says how many it were.
//! Invariants: at most L bytes are held or lent at any time; a waiting member is in the queue and
//! the shard has a deadline; a new config version is noticed before every draw.

use std::num::NonZeroU32;
use std::sync::Arc;

use rand::SeedableRng;
use rand::rngs::SmallRng;

use crate::board::Shared;
use crate::credit::Credit;
use crate::grant::{Grant, ShardState, Source};
use crate::group::{Group, ServiceOrder};
use crate::lane::Lane;
use crate::pool::{add, set};
use crate::queue::{MemberId, Members, Served, Standing, Turn};
use crate::stats::SeatStats;
use crate::time::{Direction, Time};

/// One core's seat in a [`Group`].
///
/// `Send`, owned by one core at a time. Dropping it withdraws its weight, gives its lease back and
/// frees the seat.
///
/// # Examples
/// ```
/// use sluicegate_groups::{Direction, Group, Time, TokenBucketConfig};
/// use std::num::NonZeroU32;
/// use std::task::Waker;
///
/// let config = TokenBucketConfig::per_second("10MB/s".parse()?);
/// let group = Group::new(Time::ZERO, config)?;
/// let mut shard = group.shard(Time::ZERO, Waker::noop().clone())?;
/// let member = shard.join(42, NonZeroU32::MIN);
///
/// let now = || Time::from_nanos(1_000);
/// let grant = shard.request(member, Direction::Read, 4096, now).expect("the first quantum");
/// shard.settle(member, grant, 1000, false);
/// assert_eq!(group.totals(), (1000, 0));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct GroupShard {
    shared: Arc<Shared>,
    seat: usize,
    version: u64,
    disbanded: bool,
    members: Members,
    lanes: [Lane; 2],
    /// `Some` where the service order is random.
    random: Option<SmallRng>,
}

impl GroupShard {
    pub(crate) fn new(shared: Arc<Shared>, seat: usize, credits: [Credit; 2], now: Time) -> Self {
        let snapshot = shared.snapshot();
        let seed = shared.id.as_u64().wrapping_mul(SEED_STRIDE) ^ seat as u64;
        let random = match shared.order {
            ServiceOrder::RoundRobin => None,
            ServiceOrder::RandomEachTick => Some(SmallRng::seed_from_u64(seed)),
        };
        let lane =
            |dir: Direction| Lane::new(dir, snapshot.plans[dir.index()], credits[dir.index()], now);
        let lanes = Direction::ALL.map(lane);
        Self {
            seat,
            version: snapshot.version,
            disbanded: snapshot.disbanded,
            members: Members::new(),
            lanes,
            random,
            shared,
        }
    }

    /// Adds a member; `token` comes back from [`poll_grant`](Self::poll_grant). O(1).
    ///
    /// Among waiting members shares follow `weight`; an idle member costs nothing.
    pub fn join(&mut self, token: u64, weight: NonZeroU32) -> MemberId {
        let member = self.members.insert(token, weight);
        self.publish_members();
        member
    }

    /// Removes a member, waiting or not. Settle its grants first. O(1).
    ///
    /// # Panics
    /// If `member` was never given out by this shard.
    pub fn leave(&mut self, member: MemberId) {
        for lane in &mut self.lanes {
            lane.queue.remove(&mut self.members, member);
        }
        self.members.remove(member);
        self.publish_members();
    }

    /// Returns what this seat has done and holds: exact, as its writer asks. Takes no lock.
    #[must_use]
    pub fn stats(&self) -> SeatStats {
        SeatStats::read(self.seat, self.shared.pool.tally(self.seat))
    }

    /// Returns the weight of a member.
    ///
    /// # Panics
    /// If `member` was never given out by this shard, or has left.
    #[must_use]
    pub fn weight(&self, member: MemberId) -> NonZeroU32 {
        self.members.weight_of(member).expect("a member of this shard has a weight")
    }

    /// Returns the number of members, waiting or not.
    #[must_use]
    pub fn member_count(&self) -> usize {
        self.members.count()
    }

    /// Asks for up to `want` bytes for a member with proven pending work.
    ///
    /// `None` means that the member waits in the queue now and comes up in
    /// [`poll_grant`](Self::poll_grant); whoever asks while others wait goes behind them. While
    /// nobody waits and the lease suffices this is plain integer work; otherwise `now` is called,
    /// at most once, and the shared word is drawn from.
    ///
    /// # Panics
    /// If `member` was never given out by this shard.
    pub fn request(
        &mut self,
        member: MemberId,
        dir: Direction,
        want: u64,
        now: impl FnOnce() -> Time,
    ) -> Option<Grant> {
        let lane = &mut self.lanes[dir.index()];
        if lane.queue.is_empty() && want.min(lane.quantum()) <= lane.lease() {
            let bytes = lane.lend(want);
            return Some(Grant { bytes, dir, source: Source::Lease, queued: false });
        }
        // Taken apart, so that the usual grant is never put together in memory.
        let Grant { bytes, dir, source, queued } = self.request_drawing(member, dir, want, now)?;
        Some(Grant { bytes, dir, source, queued })
    }

    /// Returns the next waiting member that may move bytes now, with its token.
    ///
    /// `None` if nobody waits or tokens are short; then
    /// [`poll_deadline`](Self::poll_deadline) says when to come back. Settle each grant before
    /// the next call. O(1); a draw at most, for which `now` is called.
    pub fn poll_grant(
        &mut self,
        dir: Direction,
        now: impl FnOnce() -> Time,
    ) -> Option<(u64, MemberId, Grant)> {
        if self.lanes[dir.index()].queue.is_empty() {
            return None;
        }
        self.adopt();
        let desk = self.shared.desk(self.seat, dir);
        let lane = &mut self.lanes[dir.index()];
        let mut turn = lane.queue.front(&self.members, lane.quantum())?;
        let mut drawn_with = None;
        if !lane.is_unlimited() && lane.lease() < turn.least {
            let reading = now();
            if let Some(random) = &mut self.random
                && lane.enter_tick(reading)
            {
                lane.queue.shuffle(&mut self.members, random);
                turn = lane.queue.front(&self.members, lane.quantum())?;
            }
            if !lane.draw(desk, turn.least, lane.queue.weight(), reading) {
                lane.join(desk, lane.queue.weight());
                return None;
            }
            drawn_with = Some(reading);
        }
        let grant = Self::serve(lane, &mut self.members, turn, dir, drawn_with);
        Some((self.members.token(turn.member), turn.member, grant))
    }

    /// Books an operation: `used` bytes were moved, and more work is `pending` or not.
    ///
    /// What the grant did not use goes back. A member that waits leaves the queue unless work is
    /// `pending`. One that came from the queue for this grant returns to it if so: to the front
    /// while its round lasts, to the back after it, or when it moved nothing. A grant from
    /// [`request`](Self::request) puts nobody into the queue: ask again. O(1), no clock.
    ///
    /// # Panics
    /// May, if `member` was never given out by this shard.
    #[inline]
    pub fn settle(&mut self, member: MemberId, grant: Grant, used: u64, pending: bool) {
        debug_assert!(used <= grant.bytes, "moved {used} of {} granted bytes", grant.bytes);
        let dir = grant.dir;
        let desk = self.shared.desk(self.seat, dir);
        add(&desk.tally.moved[dir.index()], used);
        let lane = &mut self.lanes[dir.index()];
        if grant.source == Source::Lease && !grant.queued && lane.queue.is_empty() {
            // Nearly every operation: nobody waits, so the member's slot need not be touched.
            return lane.take_back(desk, grant.bytes, used);
        }
        self.settle_contended(member, grant, used, pending);
    }

    /// Takes a member out of the queue: the direction no longer wants bytes. O(1).
    ///
    /// # Panics
    /// If `member` was never given out by this shard.
    pub fn cancel(&mut self, member: MemberId, dir: Direction) {
        self.lanes[dir.index()].queue.remove(&mut self.members, member);
    }

    /// Says whether any member waits for bytes in this direction.
    #[must_use]
    pub fn is_waiting(&self, dir: Direction) -> bool {
        !self.lanes[dir.index()].queue.is_empty()
    }

    /// Says whether a member waits for bytes in this direction. O(1).
    ///
    /// # Panics
    /// If `member` was never given out by this shard.
    #[must_use]
    pub fn is_queued(&self, member: MemberId, dir: Direction) -> bool {
        self.members.standing(member, dir) == Standing::Waiting
    }

    /// Returns when to call [`handle_deadline`](Self::handle_deadline) and
    /// [`poll_grant`](Self::poll_grant) next, or `None` while nobody waits.
    ///
    /// Computed from the shared words as they are: ask after the turn's last grant. An instant
    /// that has passed means now. While a grant of this core that was not settled is all that the
    /// first in the queue waits for, it is the next rebalance, or the end of time: ask again after
    /// settling.
    #[must_use]
    pub fn poll_deadline(&self) -> Option<Time> {
        let of = |dir: Direction| {
            let lane = &self.lanes[dir.index()];
            if lane.queue.is_empty() {
                return None;
            }
            lane.deadline(self.shared.desk(self.seat, dir), &self.members)
        };
        match (of(Direction::Read), of(Direction::Write)) {
            (Some(read), Some(write)) => Some(read.min(write)),
            (read, write) => read.or(write),
        }
    }

    /// Rebalances the directions for which it is due; call it once a turn. Two comparisons
    /// otherwise.
    pub fn handle_deadline(&mut self, now: Time) {
        for dir in Direction::ALL {
            if self.lanes[dir.index()].rebalance_due(now) {
                self.rebalance_lane(dir, now);
            }
        }
    }

    /// Rebalances both directions now: republishes the backlogged weight, settles the credit,
    /// adapts the quantum and gives back what waiting members cannot use.
    pub fn rebalance(&mut self, now: Time) {
        for dir in Direction::ALL {
            self.rebalance_lane(dir, now);
        }
    }

    /// Gives back the lease before the core goes to sleep, and its share where nobody waits.
    ///
    /// O(1), needs no time. Read [`poll_deadline`](Self::poll_deadline) afterwards.
    pub fn park(&mut self) {
        for dir in Direction::ALL {
            self.lanes[dir.index()].quiesce(self.shared.desk(self.seat, dir));
        }
    }

    /// Says whether bytes or a share are held that [`park`](Self::park) would give back.
    #[must_use]
    pub fn holds_lease(&self) -> bool {
        self.lanes.iter().any(Lane::has_to_give)
    }

    /// Takes over a changed configuration, giving the lease back first; call it when woken.
    pub fn refresh(&mut self) -> ShardState {
        self.adopt();
        if self.disbanded { ShardState::Disbanded } else { ShardState::Active }
    }

    /// Says whether the group was disbanded, as far as this core has noticed.
    #[must_use]
    pub fn is_disbanded(&self) -> bool {
        self.disbanded
    }

    /// Returns what one operation of a member of weight 1 moves in a round; `u64::MAX` without a
    /// limit.
    #[must_use]
    pub fn quantum(&self, dir: Direction) -> u64 {
        self.lanes[dir.index()].quantum()
    }

    /// Returns the most bytes a single grant can carry; `u64::MAX` without a limit.
    #[must_use]
    pub fn max_grant(&self, dir: Direction) -> u64 {
        self.lanes[dir.index()].grant_max()
    }

    /// Returns what [`request`](Self::request) for `want` bytes would grant at `now`, changing
    /// nothing.
    ///
    /// 0 where it would wait: while others do, or with less than a quantum at hand. A forecast:
    /// other cores may be faster, and this core's share may be spent.
    #[must_use]
    pub fn allowance(&self, now: Time, dir: Direction, want: u64) -> u64 {
        let lane = &self.lanes[dir.index()];
        if lane.is_unlimited() {
            return want;
        }
        if !lane.queue.is_empty() {
            return 0;
        }
        let level = lane.level(self.shared.desk(self.seat, dir), now);
        let reachable = lane.lease().saturating_add(u64::try_from(level).unwrap_or(0));
        let least = lane.worthwhile(level, want.min(lane.quantum()));
        if reachable < least { 0 } else { want.min(reachable).min(lane.grant_max()) }
    }

    /// Returns the group this is a seat of.
    #[must_use]
    pub fn group(&self) -> Group {
        Group::from_shared(Arc::clone(&self.shared))
    }

    /// The part of `settle` for grants that were not lent, and for members that wait.
    fn settle_contended(&mut self, member: MemberId, grant: Grant, used: u64, pending: bool) {
        let dir = grant.dir;
        let desk = self.shared.desk(self.seat, dir);
        let lane = &mut self.lanes[dir.index()];
        match grant.source {
            Source::Lease => lane.take_back(desk, grant.bytes, used),
            Source::Draw(_) => lane.land(desk, grant.bytes, used),
            Source::Unlimited => {}
        }
        match self.members.standing(member, dir) {
            Standing::Waiting if !pending => lane.queue.remove(&mut self.members, member),
            Standing::Serving if grant.queued => {
                let quantum = lane.quantum();
                let served = Served { granted: grant.bytes, used, pending };
                lane.queue.place(&mut self.members, member, served, quantum);
            }
            Standing::Waiting | Standing::Serving | Standing::Idle => {}
        }
    }

    fn publish_members(&self) {
        set(&self.shared.pool.tally(self.seat).members, self.members.count() as u64);
    }

    /// The part of `request` that draws or waits.
    #[inline(never)]
    fn request_drawing(
        &mut self,
        member: MemberId,
        dir: Direction,
        want: u64,
        now: impl FnOnce() -> Time,
    ) -> Option<Grant> {
        self.adopt();
        let desk = self.shared.desk(self.seat, dir);
        let lane = &mut self.lanes[dir.index()];
        if lane.is_unlimited() {
            return Some(Grant { bytes: want, dir, source: Source::Unlimited, queued: false });
        }
        if !lane.queue.is_empty() {
            add(&desk.tally.waits, 1);
            lane.queue.push_back(&mut self.members, member, want);
            return None;
        }
        let (least, claim) = (want.min(lane.quantum()), self.members.weight(member));
        let reading = now();
        if lane.draw(desk, least, claim, reading) {
            let (bytes, source) = lane.pay(least, want, Some(reading));
            return Some(Grant { bytes, dir, source, queued: false });
        }
        self.request_refused(member, dir, want, reading)
    }

    /// The part of `request` that follows a refused draw: the member is the first to wait.
    #[cold]
    fn request_refused(
        &mut self,
        member: MemberId,
        dir: Direction,
        want: u64,
        reading: Time,
    ) -> Option<Grant> {
        let claim = self.members.weight(member);
        let desk = self.shared.desk(self.seat, dir);
        let lane = &mut self.lanes[dir.index()];
        add(&desk.tally.waits, 1);
        lane.queue.push_back(&mut self.members, member, want);
        lane.join(desk, claim);
        // A credit or a config that came in between woke this core before anyone waited here:
        // look once more, with the same reading.
        self.adopt();
        let desk = self.shared.desk(self.seat, dir);
        let lane = &mut self.lanes[dir.index()];
        let turn = lane.queue.front(&self.members, lane.quantum())?;
        if !lane.draw(desk, turn.least, claim, reading) {
            return None;
        }
        Some(Self::serve(lane, &mut self.members, turn, dir, Some(reading)))
    }

    /// Takes the front of the queue for one operation, whose bytes the lease holds; with the
    /// reading they were drawn with, if they were drawn just now.
    fn serve(
        lane: &mut Lane,
        members: &mut Members,
        turn: Turn,
        dir: Direction,
        reading: Option<Time>,
    ) -> Grant {
        let quantum = lane.quantum();
        lane.queue.serve(members, turn, quantum);
        let (bytes, source) = lane.pay(turn.least, turn.most, reading);
        Grant { bytes, dir, source, queued: true }
    }

    fn rebalance_lane(&mut self, dir: Direction, now: Time) {
        self.adopt();
        let lane = &mut self.lanes[dir.index()];
        lane.rebalance(self.shared.desk(self.seat, dir), now);
        if let Some(random) = &mut self.random
            && lane.has_no_tick()
        {
            lane.queue.shuffle(&mut self.members, random);
        }
    }

    /// Takes over the group's current config version if it changed.
    #[inline]
    fn adopt(&mut self) {
        if self.shared.version() != self.version {
            self.adopt_version();
        }
    }

    #[cold]
    fn adopt_version(&mut self) {
        let snapshot = self.shared.snapshot();
        for dir in Direction::ALL {
            let desk = self.shared.desk(self.seat, dir);
            self.lanes[dir.index()].adopt(desk, snapshot.plans[dir.index()]);
        }
        (self.version, self.disbanded) = (snapshot.version, snapshot.disbanded);
    }
}

impl Drop for GroupShard {
    fn drop(&mut self) {
        set(&self.shared.pool.tally(self.seat).members, 0);
        let credits = Direction::ALL
            .map(|dir| self.lanes[dir.index()].close(self.shared.desk(self.seat, dir)));
        self.shared.free_seat(self.seat, credits);
    }
}

/// Spreads consecutive group numbers over the seeds of the random order.
const SEED_STRIDE: u64 = 0x9e37_79b9_7f4a_7c15;
