//! The groups that have members on this core.
//!
//! Owns one [`GroupShard`] per group with members here, made when the first joins and given back
//! when the last leaves, and one timer for each that has waiting members. Which shards to look at
//! is kept in lists, so a turn costs the shards it touched and not those that exist.
//!
//! Invariant: a shard with waiting members is due, or has a timer at or before its deadline, or
//! its group will wake this core; so nobody waits for tokens that are there.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;

use core_buf::Membership;
use groups::{GroupId, GroupShard, NoSeat, SeatStats, ShardState, Time};

use super::seat_waker::SeatWaker;
use super::{Core, Timer};
use crate::group::Group;
use crate::id::Key;
use crate::timer::{TimerKey, Wheel};

struct Entry {
    shard: GroupShard,
    group: Group,
    waker: Arc<SeatWaker>,
    timer: Option<(TimerKey, Time)>,
    /// Was asked for tokens in this turn.
    touched: bool,
    /// Waiting members may be served now.
    due: bool,
    holds_lease: bool,
    /// What the seat had done when it was last looked at, by cores before this one too.
    accounted: SeatWork,
}

impl Entry {
    /// Adds what the seat has done since it was last looked at.
    fn account(&mut self, work: &mut SeatWork) {
        let now = SeatWork::of(&self.shard);
        let before = std::mem::replace(&mut self.accounted, now);
        work.draws += now.draws - before.draws;
        work.refunds += now.refunds - before.refunds;
        work.rebalances += now.rebalances - before.rebalances;
    }
}

/// What seats have done; counts.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct SeatWork {
    pub(crate) draws: u64,
    pub(crate) refunds: u64,
    pub(crate) rebalances: u64,
}

impl SeatWork {
    fn of(shard: &GroupShard) -> Self {
        let SeatStats { draws, refunds, rebalances, .. } = shard.stats();
        Self { draws, refunds, rebalances }
    }
}

/// The shards of one core.
#[derive(Default)]
pub(crate) struct Shards {
    entries: Vec<Option<Entry>>,
    free: Vec<u32>,
    by_group: HashMap<GroupId, u32>,
    touched: Vec<u32>,
    due: Vec<u32>,
    holding: Vec<u32>,
    /// When those that hold something were last looked at all together.
    held_at: Time,
    /// What the seats of this core have done, also those it has left.
    work: SeatWork,
}

impl Shards {
    fn join(
        &mut self,
        group: &Group,
        now: Time,
        waker: impl FnOnce(u32) -> SeatWaker,
        took_seat: impl FnOnce(usize),
        token: u64,
        weight: NonZeroU32,
    ) -> Result<Membership, NoSeat> {
        let index = match self.by_group.get(&group.id()) {
            Some(&index) => index,
            None => {
                let index = self.free.last().copied().unwrap_or(self.entries.len() as u32);
                let waker = Arc::new(waker(index));
                let shard = group.inner().shard(now, Waker::from(waker.clone()))?;
                took_seat(shard.stats().seat);
                self.insert(index, shard, group.clone(), waker);
                index
            }
        };
        let entry = self.entries[index as usize].as_mut().expect("a listed group has a shard");
        Ok(Membership { shard: index, member: entry.shard.join(token, weight) })
    }

    fn insert(&mut self, index: u32, shard: GroupShard, group: Group, waker: Arc<SeatWaker>) {
        self.by_group.insert(group.id(), index);
        let (timer, touched, due, holds_lease) = (None, false, false, false);
        let accounted = SeatWork::of(&shard);
        let entry = Entry { shard, group, waker, timer, touched, due, holds_lease, accounted };
        if self.free.pop().is_none() {
            self.entries.push(None);
        }
        self.entries[index as usize] = Some(entry);
    }

    /// Takes a member out; the shard goes with its last.
    pub(crate) fn leave(&mut self, membership: Membership, wheel: &mut Wheel<Timer>) {
        let index = membership.shard;
        let Some(entry) = self.entry(index) else { return };
        entry.shard.leave(membership.member);
        if entry.shard.member_count() > 0 {
            self.touch(index);
            return;
        }
        let Some(mut entry) = self.entries[index as usize].take() else { return };
        // What is left of the lease goes back now, and is counted, and not as the shard is dropped.
        entry.shard.park();
        entry.account(&mut self.work);
        if let Some((timer, _)) = entry.timer {
            wheel.cancel(timer);
        }
        for list in [&mut self.touched, &mut self.due, &mut self.holding] {
            list.retain(|&listed| listed != index);
        }
        self.by_group.remove(&entry.group.id());
        self.free.push(index);
    }

    /// What the seats of this core have done up to the last turn or sleep.
    pub(crate) fn work(&self) -> SeatWork {
        self.work
    }

    /// Groups with members on this core.
    pub(crate) fn len(&self) -> usize {
        self.entries.iter().flatten().count()
    }

    fn entry(&mut self, shard: u32) -> Option<&mut Entry> {
        self.entries.get_mut(shard as usize)?.as_mut()
    }

    pub(crate) fn shard(&mut self, shard: u32) -> Option<&mut GroupShard> {
        self.touch(shard);
        self.entry(shard).map(|entry| &mut entry.shard)
    }

    /// The shard of a membership, noted as touched in this turn.
    pub(crate) fn of(&mut self, membership: Option<Membership>) -> Option<&mut GroupShard> {
        self.shard(membership?.shard)
    }

    /// The group of a membership. One that was disbanded has none: it promises nothing about what
    /// those move who are still in its table.
    pub(crate) fn group(&self, membership: Membership) -> Option<&Group> {
        let entry = self.entries.get(membership.shard as usize)?.as_ref()?;
        (!entry.shard.is_disbanded()).then_some(&entry.group)
    }

    /// The group of a membership, and its weight there.
    pub(crate) fn standing(&self, membership: Membership) -> Option<(Group, NonZeroU32)> {
        let group = self.group(membership)?.clone();
        let entry = self.entries.get(membership.shard as usize)?.as_ref()?;
        Some((group, entry.shard.weight(membership.member)))
    }

    fn touch(&mut self, shard: u32) {
        let Some(entry) = self.entries.get_mut(shard as usize).and_then(Option::as_mut) else {
            return;
        };
        if !std::mem::replace(&mut entry.touched, true) {
            self.touched.push(shard);
        }
    }

    /// The group of a shard has changed; says whether it still is a group.
    fn hear(&mut self, shard: u32) -> ShardState {
        let Some(entry) = self.entry(shard) else { return ShardState::Active };
        entry.waker.rearm();
        let state = entry.shard.refresh();
        self.wake(shard);
        state
    }

    /// Tokens may be there: waiting members are looked at soon.
    pub(crate) fn wake(&mut self, shard: u32) {
        let Some(entry) = self.entry(shard) else { return };
        if !std::mem::replace(&mut entry.due, true) {
            self.due.push(shard);
        }
    }

    pub(crate) fn fire(&mut self, shard: u32) {
        if let Some(entry) = self.entry(shard) {
            entry.timer = None;
        }
        self.wake(shard);
    }

    pub(crate) fn are_due(&self) -> bool {
        !self.due.is_empty()
    }

    /// Moves the due shards to `due`, an empty list that lends its memory.
    pub(crate) fn take_due(&mut self, due: &mut Vec<u32>) {
        std::mem::swap(&mut self.due, due);
        for &shard in due.iter() {
            if let Some(entry) = self.entry(shard) {
                entry.due = false;
            }
        }
    }

    pub(crate) fn handle_deadline(&mut self, shard: u32, now: Time) {
        if let Some(shard) = self.shard(shard) {
            shard.handle_deadline(now);
        }
    }

    pub(crate) fn hold_leases(&self) -> bool {
        !self.holding.is_empty()
    }

    /// Gives every lease back: the core is about to sleep.
    pub(crate) fn park(&mut self) {
        let mut holding = std::mem::take(&mut self.holding);
        for shard in holding.drain(..) {
            if let Some(Some(entry)) = self.entries.get_mut(shard as usize) {
                entry.holds_lease = false;
                entry.shard.park();
                entry.account(&mut self.work);
            }
        }
        self.holding = holding;
    }

    /// Arms the timers of the shards this turn touched and notes their leases.
    fn service(&mut self, now: Time, wheel: &mut Wheel<Timer>) {
        let mut touched = std::mem::take(&mut self.touched);
        for index in touched.drain(..) {
            let Some(entry) = self.entries[index as usize].as_mut() else { continue };
            entry.touched = false;
            entry.shard.handle_deadline(now);
            entry.account(&mut self.work);
            if entry.shard.holds_lease() && !std::mem::replace(&mut entry.holds_lease, true) {
                self.holding.push(index);
            }
            match entry.shard.poll_deadline() {
                Some(at) if at <= now => self.wake(index),
                Some(at) if entry.timer.is_none_or(|(_, armed)| at < armed) => {
                    if let Some((timer, _)) = entry.timer.take() {
                        wheel.cancel(timer);
                    }
                    entry.timer = Some((wheel.arm(at, Timer::Shard(index)), at));
                }
                _ => {}
            }
        }
        self.touched = touched;
        if now.saturating_since(self.held_at) >= HELD_UNSEEN_MAX {
            self.held_at = now;
            self.release(now);
        }
    }

    /// Lets shares lapse that nobody here waits for: a core that is always busy does not park, and
    /// a group without work is not touched.
    fn release(&mut self, now: Time) {
        let mut holding = std::mem::take(&mut self.holding);
        holding.retain(|&index| {
            let Some(Some(entry)) = self.entries.get_mut(index as usize) else { return false };
            entry.shard.handle_deadline(now);
            entry.account(&mut self.work);
            entry.holds_lease = entry.shard.holds_lease();
            entry.holds_lease
        });
        self.holding = holding;
    }
}

impl Core {
    /// A group has woken this core: its config, its level or its existence has changed.
    pub(super) fn handle_group(&mut self, shard: u32) {
        if self.shards.hear(shard) == ShardState::Active {
            return;
        }
        for key in self.slots.keys() {
            let Some(stream) = self.slots.stream(key) else { continue };
            if stream.bev.membership().is_some_and(|membership| membership.shard == shard) {
                self.leave(key);
                self.update(key);
            }
        }
    }

    pub(super) fn service_groups(&mut self) {
        self.shards.service(self.now, &mut self.wheel);
    }

    /// Makes a stream a member of a group; it leaves the one it was in.
    pub(crate) fn join(
        &mut self,
        key: Key,
        group: &Group,
        weight: NonZeroU32,
    ) -> Result<(), NoSeat> {
        let membership = self.seat(key, group, weight)?;
        self.leave(key);
        if let Some(stream) = self.slots.stream(key) {
            stream.bev.set_membership(membership);
        }
        Ok(())
    }

    /// Makes the stream that has or is to have this name a member; `None` in a group that is none
    /// any more.
    pub(super) fn seat(
        &mut self,
        key: Key,
        group: &Group,
        weight: NonZeroU32,
    ) -> Result<Option<Membership>, NoSeat> {
        let (shared, core) = (&self.shared, self.index());
        let waker = |shard| SeatWaker::new(shared.clone(), core, shard);
        let took_seat = |seat| {
            if let Some(registry) = shared.groups() {
                registry.note(group, seat, core);
            }
        };
        let now = self.driver.now();
        let membership = self.shards.join(group, now, waker, took_seat, key.to_bits(), weight)?;
        if self.shards.group(membership).is_some() {
            return Ok(Some(membership));
        }
        // Disbanded before this core had a seat to be told by.
        self.shards.leave(membership, &mut self.wheel);
        Ok(None)
    }

    /// Takes a stream out of its group, if it is in one.
    pub(crate) fn leave(&mut self, key: Key) {
        let Some(stream) = self.slots.stream(key) else { return };
        let Some(membership) = stream.bev.membership() else { return };
        stream.bev.set_membership(None);
        self.shards.leave(membership, &mut self.wheel);
    }
}

/// How long a busy core may hold what its idle members left of a share; as long as a rebalance.
const HELD_UNSEEN_MAX: Duration = Duration::from_millis(10);
