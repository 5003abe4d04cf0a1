//! One direction of one core: its lease, its credit and its queue.
//!
//! Owns every plain integer a decision needs; touches the shared words only to draw, to refund and
//! to publish its weight. Never reads a clock: each draw gets the reading made for it.
//!
//! A core that finds others backlogged, or is refused, joins the group's weight W with what it has
//! waiting; from then on only a rebalance republishes it, and only idleness withdraws it.
//! Invariants: lease + lent <= L; a refund leaves the lease before it reaches the word; a queue
//! that is not empty has a deadline.

use crate::board::Shared;
use crate::credit::{Credit, Share};
use crate::grant::Source;
use crate::plan::{Plan, Sharing};
use crate::pool::{Tally, Word, add, set};
use crate::queue::{Members, Queue};
use crate::time::{Direction, Time};

/// The shared state a lane works with, lent for one call.
#[derive(Clone, Copy)]
pub(crate) struct Desk<'a> {
    pub(crate) word: &'a Word,
    pub(crate) tally: &'a Tally,
    pub(crate) shared: &'a Shared,
}

/// Takes what `policy` allows from the word: for one operation where there are no leases.
#[inline]
fn take(word: &Word, plan: &Plan, g: u64, short: u64, policy: impl FnMut(i64) -> u64) -> u64 {
    match plan.lease {
        0 => word.launch(g, plan.depth, short, policy),
        _ => word.draw(g, plan.depth, policy),
    }
}

#[derive(Debug)]
pub(crate) struct Lane {
    direction: Direction,
    /// `None`: no limit in this direction.
    plan: Option<Plan>,
    lease: u64,
    /// Bytes in grants from the lease that were not settled yet.
    lent: u64,
    /// Bytes in grants drawn for their own operation that were not settled yet.
    in_flight: u64,
    quantum: u64,
    /// w: this core's published part of W; 0 while it has not joined.
    weight: u64,
    credit: Credit,
    pub(crate) queue: Queue,
    /// The latest reading; an earlier one afterwards means that no time has passed.
    seen: Time,
    /// Until when the word can be compared with the clock as it is.
    fresh_until: Time,
    next_rebalance: Option<Time>,
    tick_number: Option<u64>,
}

impl Lane {
    /// Makes the lane of a core that takes over `credit` with its seat.
    pub(crate) fn new(
        direction: Direction,
        plan: Option<Plan>,
        mut credit: Credit,
        now: Time,
    ) -> Self {
        let quantum = plan.map_or(u64::MAX, |plan| plan.quantum(1));
        credit.forgive(quantum);
        Self {
            direction,
            plan,
            lease: 0,
            lent: 0,
            in_flight: 0,
            quantum,
            weight: 0,
            credit,
            queue: Queue::new(direction),
            seen: now,
            fresh_until: plan.map_or(Time::MAX, Plan::fresh_until),
            next_rebalance: None,
            tick_number: None,
        }
    }

    /// Says whether bytes pass without being counted against anything.
    pub(crate) fn is_unlimited(&self) -> bool {
        self.plan.is_none()
    }

    /// Says whether each operation draws for itself (L = 0).
    fn draws_each(&self) -> bool {
        self.plan.is_some_and(|plan| plan.lease == 0)
    }

    pub(crate) fn lease(&self) -> u64 {
        self.lease
    }

    /// Says whether [`quiesce`](Self::quiesce) would give anything back.
    pub(crate) fn has_to_give(&self) -> bool {
        self.lease > 0 || (self.weight > 0 && self.queue.is_empty())
    }

    pub(crate) fn quantum(&self) -> u64 {
        self.quantum
    }

    /// Returns the most bytes a single grant can carry.
    pub(crate) fn grant_max(&self) -> u64 {
        self.plan.map_or(u64::MAX, |plan| if plan.lease > 0 { plan.lease } else { self.quantum })
    }

    /// Returns the level of the shared word at `now`.
    pub(crate) fn level(&self, desk: Desk<'_>, now: Time) -> i64 {
        let Some(plan) = self.plan else { return i64::MAX };
        if now >= self.fresh_until {
            desk.shared.freshen(now, self.direction);
        }
        desk.word.level(plan.clock.at(now), plan.depth)
    }

    /// Returns the least worth moving while the word holds `level`.
    pub(crate) fn worthwhile(&self, level: i64, least: u64) -> u64 {
        self.plan.map_or(least, |plan| plan.worthwhile(level, least))
    }

    /// Lends up to `most` bytes of the lease to an operation.
    pub(crate) fn lend(&mut self, most: u64) -> u64 {
        let bytes = most.min(self.lease);
        self.lease -= bytes;
        self.lent += bytes;
        bytes
    }

    /// Pays for an operation from the lease: up to `most`, or just the `least` that was drawn for
    /// it with `reading`, where each draws for itself.
    pub(crate) fn pay(&mut self, least: u64, most: u64, reading: Option<Time>) -> (u64, Source) {
        match reading {
            _ if self.is_unlimited() => (most, Source::Unlimited),
            Some(reading) if self.draws_each() => (self.launch(least), Source::Draw(reading)),
            _ => (self.lend(most), Source::Lease),
        }
    }

    /// Takes back what an operation did not use of the `bytes` it was lent.
    #[inline]
    pub(crate) fn take_back(&mut self, desk: Desk<'_>, bytes: u64, used: u64) {
        self.lent = self.lent.saturating_sub(bytes);
        self.lease += bytes.saturating_sub(used);
        let excess = self.lease.saturating_sub(self.plan.map_or(0, |plan| plan.lease));
        self.refund(desk, excess);
    }

    /// Hands what was drawn for an operation of `bytes` over to it, bypassing the lease.
    fn launch(&mut self, bytes: u64) -> u64 {
        let bytes = bytes.min(self.lease);
        debug_assert!(bytes > 0, "just drawn");
        self.lease -= bytes;
        self.in_flight += bytes;
        bytes
    }

    /// Ends an operation that drew for itself: what it did not use goes back at once.
    pub(crate) fn land(&mut self, desk: Desk<'_>, bytes: u64, used: u64) {
        let unused = bytes.saturating_sub(used);
        self.in_flight -= bytes;
        desk.word.land(bytes, unused);
        if unused > 0 {
            add(&desk.tally.refunds, 1);
            self.credit.give_back(unused);
        }
    }

    /// Draws with the reading `now`, for a member of weight `claim`; says whether the lease then
    /// holds `least` bytes, or [what is worth moving](Plan::worthwhile).
    ///
    /// Takes nothing when that would not suffice: bytes in a lease that cannot serve anyone are
    /// bytes another core waits for.
    pub(crate) fn draw(&mut self, desk: Desk<'_>, least: u64, claim: u64, now: Time) -> bool {
        let mut short = least.saturating_sub(self.lease);
        if short == 0 || self.plan.is_none() {
            return true;
        }
        self.seen = self.seen.max(now);
        if self.seen >= self.fresh_until {
            self.fresh_until = desk.shared.freshen(self.seen, self.direction);
        }
        let mut all = desk.word.weight();
        if self.weight == 0 && all > 0 {
            self.join(desk, claim);
            all = desk.word.weight();
        }
        let share = self.share_of(all);
        // Borrowed, as a copy of the plan would cost as much as the draw.
        let Some(plan) = &self.plan else { return true };
        let g = plan.clock.at(self.seen);
        let alone = plan.sharing != Sharing::ByWeight || share.all == self.weight.max(1);
        if alone {
            self.credit.reset(g);
        } else {
            self.credit.settle(g, share, plan.credit_max(share, self.quantum));
        }
        let late = plan.has_tick() && !alone && plan.is_late(self.seen);
        if plan.has_tick() {
            let level = desk.word.level(g, plan.depth);
            short = plan.worthwhile(level, short);
            if late {
                short = self.crumb(plan, share, level, short);
            }
        }
        let room = match plan.lease {
            0 => short,
            most => most.saturating_sub(self.lease + self.lent),
        };
        let bounded = |most: u64| {
            let take = most.min(room);
            if take < short { 0 } else { take }
        };
        let taken = if alone {
            take(desk.word, plan, g, short, |level| bounded(u64::try_from(level).unwrap_or(0)))
        } else {
            let (credit, reserve) = (self.credit, plan.reserve(share, self.quantum, late));
            let mut surplus = 0;
            let taken = take(desk.word, plan, g, short, |level| {
                let allowance = credit.allowance(level, reserve, short);
                surplus = allowance.surplus;
                bounded(allowance.most)
            });
            self.credit.spend(taken, surplus);
            taken
        };
        if taken == 0 {
            return false;
        }
        self.lease += taken;
        add(&desk.tally.draws, 1);
        self.report_lease(desk);
        true
    }

    /// Returns how much of `short` is worth drawing late in a tick: what is left over then is
    /// lost with the next one, however little it is.
    fn crumb(&self, plan: &Plan, share: Share, level: i64, short: u64) -> u64 {
        let reserve = plan.reserve(share, self.quantum, true);
        let allowance = self.credit.allowance(level, reserve, short);
        if allowance.surplus >= reserve.least { short.min(allowance.most) } else { short }
    }

    /// Publishes a first weight, `claim` or what waits if that is more: from here on this core has
    /// a share, and the others see that they are not alone.
    pub(crate) fn join(&mut self, desk: Desk<'_>, claim: u64) {
        let Some(plan) = self.plan else { return };
        if self.weight > 0 {
            return;
        }
        self.publish(desk, claim.max(self.queue.weight()).max(1));
        self.credit.rejoin(plan.clock.at(self.seen), self.share(desk));
        self.next_rebalance = plan.interval.map(|interval| self.seen + interval);
    }

    /// Levels this core with the others: republishes its weight, settles its credit, adapts the
    /// quantum and gives back what it cannot use.
    pub(crate) fn rebalance(&mut self, desk: Desk<'_>, now: Time) {
        let Some(plan) = self.plan else { return };
        self.seen = self.seen.max(now);
        add(&desk.tally.rebalances, 1);
        if self.queue.is_empty() {
            self.quiesce(desk);
            return;
        }
        if self.weight > 0 {
            let share = self.share(desk);
            let most = plan.credit_max(share, self.quantum);
            self.credit.settle(plan.clock.at(self.seen), share, most);
            self.publish(desk, self.queue.weight());
        } else {
            self.join(desk, 1);
        }
        self.adapt_quantum(desk);
        let useful = self.queue.weight().saturating_mul(self.quantum);
        self.refund(desk, self.lease.saturating_sub(useful));
        self.next_rebalance = plan.interval.map(|interval| self.seen + interval);
    }

    /// Gives the lease back, and the share too if nobody waits.
    pub(crate) fn quiesce(&mut self, desk: Desk<'_>) {
        if self.queue.is_empty() && self.weight > 0 {
            self.publish(desk, 0);
            self.next_rebalance = None;
        }
        self.surrender(desk);
    }

    /// Leaves W and gives everything back, unsettled grants as used up: the core is going. Returns
    /// its account.
    pub(crate) fn close(&mut self, desk: Desk<'_>) -> Credit {
        self.publish(desk, 0);
        self.next_rebalance = None;
        desk.word.land(std::mem::take(&mut self.in_flight), 0);
        self.surrender(desk);
        self.credit
    }

    /// Takes over a new config version; the lease, drawn under the old one, goes back first.
    pub(crate) fn adopt(&mut self, desk: Desk<'_>, plan: Option<Plan>) {
        self.surrender(desk);
        self.plan = plan;
        self.fresh_until = plan.map_or(Time::MAX, Plan::fresh_until);
        self.tick_number = None;
        let Some(plan) = plan else {
            self.quantum = u64::MAX;
            self.publish(desk, 0);
            self.next_rebalance = None;
            return;
        };
        self.adapt_quantum(desk);
        self.credit.forgive(self.quantum);
        let interval = plan.interval.filter(|_| self.weight > 0);
        self.next_rebalance = interval.map(|interval| self.seen + interval);
    }

    /// Says whether a rebalance is due.
    pub(crate) fn rebalance_due(&self, now: Time) -> bool {
        self.next_rebalance.is_some_and(|due| due <= now)
    }

    /// Says, once a tick, that a new tick has begun since the last time.
    pub(crate) fn enter_tick(&mut self, now: Time) -> bool {
        let number = self.plan.and_then(|plan| plan.tick_number(now));
        let entered = number.is_some() && number != self.tick_number;
        self.tick_number = number;
        entered
    }

    /// Says whether the service order changes at rebalances, for want of ticks.
    pub(crate) fn has_no_tick(&self) -> bool {
        self.plan.is_some_and(|plan| !plan.has_tick())
    }

    /// Returns when to come back: when the member in front can be served, or a rebalance is due.
    /// `None` while nobody waits.
    #[inline(never)]
    pub(crate) fn deadline(&self, desk: Desk<'_>, members: &Members) -> Option<Time> {
        let turn = self.queue.front(members, self.quantum)?;
        let Some(plan) = self.plan else { return Some(Time::ZERO) };
        // Waiting up to 100 us longer than the member in front needs serves several at one wake-up.
        let worthwhile = turn.least.max(plan.wake_bytes().min(self.grant_max()));
        if self.is_in_its_own_way(plan, turn.least) {
            return Some(self.next_rebalance.unwrap_or(Time::MAX));
        }
        let short = worthwhile.saturating_sub(self.lease);
        let here = plan.clock.at(self.seen);
        // All three are distances from the reading `here`; how far, not how long.
        let away = |g: u64| g.wrapping_sub(here) as i64;
        let filled = away(desk.word.consumed().wrapping_add(short));
        let share = self.share(desk);
        let mut bytes = filled;
        if share.all > self.weight {
            let holds = |level: u64| away(desk.word.consumed().wrapping_add(level));
            let reserve = plan.reserve(share, self.quantum, false);
            let least = turn.least.saturating_sub(self.lease);
            // The share comes first where the bucket holds more than that ...
            bytes = filled.max(away(self.credit.reaches(share, reserve.stake.min(least))));
            // ... and what nobody claims, if the depth can hold that much.
            let free = reserve.bytes + self.quantum.max(short);
            if free <= plan.depth {
                bytes = bytes.min(holds(free));
            }
        }
        let mut served = plan.clock.reach(bytes.max(0), self.seen);
        if share.all > self.weight
            && let Some(kept) = plan.reserved_late(self.quantum)
        {
            // What the next tick would push out of the bucket is free in the half before it.
            let spills = away(desk.word.consumed().wrapping_add(kept + 1));
            let in_tick = plan.clock.reach(spills.max(0), self.seen).max(self.seen);
            served = served.min(plan.clock.half_tick(in_tick));
        }
        Some(self.next_rebalance.map_or(served, |due| due.min(served)))
    }

    /// Says whether no draw can bring a lease of `least` before this core settles what it granted.
    fn is_in_its_own_way(&self, plan: Plan, least: u64) -> bool {
        let (granted, most) = match plan.lease {
            0 => (self.in_flight, plan.depth),
            lease => (self.lent, lease),
        };
        granted > 0 && self.lease < least && granted.saturating_add(least) > most
    }

    /// Refunds all of the lease; what is left of it is reported even if that was nothing before.
    fn surrender(&mut self, desk: Desk<'_>) {
        match self.lease {
            0 => self.report_lease(desk),
            bytes => self.refund_some(desk, bytes),
        }
    }

    /// Refunds `bytes` of the lease: they leave it before they reach the word.
    #[inline]
    fn refund(&mut self, desk: Desk<'_>, bytes: u64) {
        if bytes > 0 {
            self.refund_some(desk, bytes);
        }
    }

    fn refund_some(&mut self, desk: Desk<'_>, bytes: u64) {
        self.lease -= bytes;
        self.credit.give_back(bytes);
        desk.word.refund(bytes);
        add(&desk.tally.refunds, 1);
        self.report_lease(desk);
    }

    fn report_lease(&self, desk: Desk<'_>) {
        set(&desk.tally.lease[self.direction.index()], self.lease);
    }

    fn publish(&mut self, desk: Desk<'_>, weight: u64) {
        if weight != self.weight {
            desk.word.publish_weight(self.weight, weight);
            self.weight = weight;
            set(&desk.tally.weight[self.direction.index()], weight);
        }
    }

    fn adapt_quantum(&mut self, desk: Desk<'_>) {
        let backlogged = desk.word.weight().max(self.queue.weight());
        self.quantum = self.plan.map_or(u64::MAX, |plan| plan.quantum(backlogged));
        set(&desk.tally.quantum[self.direction.index()], self.quantum);
    }

    /// Returns this core's part of W as it stands now.
    fn share(&self, desk: Desk<'_>) -> Share {
        self.share_of(desk.word.weight())
    }

    fn share_of(&self, all: u64) -> Share {
        let own = self.weight.max(1);
        Share { own, all: all.max(own) }
    }
}
