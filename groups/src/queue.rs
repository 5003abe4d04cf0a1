//! Members and the queues of those that wait: deficit round robin over links in one slab.
//!
//! Owns a slot for every member of a group on this core, and in each slot the links, the wanted
//! bytes and the rest of the round for both directions. Never allocates but to grow the slab;
//! enqueue, dequeue and removal are O(1).
//!
//! A round gives a member `weight * quantum` bytes. Less than one quantum left over ends its round
//! and is carried into the next, so that no operation is a crumb.
//! Invariants: a member is linked at most once per direction; a queue's weight is the sum of its
//! members' weights; what a member carries is less than one round.
//! Source: Shreedhar and Varghese, "Efficient Fair Queuing using Deficit Round Robin" (1995).

use std::num::NonZeroU32;

use rand::Rng;
use rand::seq::SliceRandom;

use crate::time::Direction;

/// A member of a group on one core: an index into the shard's slab.
///
/// Only meaningful to the [`GroupShard`](crate::GroupShard) that gave it out, until it leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct MemberId(u32);

/// Where a member stands in one direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// Not waiting.
    Idle,
    /// Linked into the queue.
    Waiting,
    /// Taken from the front for an operation that has not been settled.
    Serving,
}

/// One direction of a member.
#[derive(Clone, Copy, Debug)]
struct Link {
    standing: Standing,
    previous: u32,
    next: u32,
    /// The most an operation can use, as far as is known, and what is worth waiting for.
    most: u64,
    least: u64,
    /// What is left of the round.
    rest: u64,
}

#[derive(Clone, Debug)]
struct Slot {
    token: u64,
    /// `None` while the slot is free; then `links[0].next` is the next free slot.
    weight: Option<NonZeroU32>,
    links: [Link; 2],
}

/// The slab of members.
#[derive(Debug)]
pub(crate) struct Members {
    slots: Vec<Slot>,
    free: u32,
    count: usize,
}

impl Members {
    pub(crate) fn new() -> Self {
        Self { slots: Vec::new(), free: NONE, count: 0 }
    }

    /// Adds a member; panics only beyond 2^32 - 1 of them on one core.
    pub(crate) fn insert(&mut self, token: u64, weight: NonZeroU32) -> MemberId {
        self.count += 1;
        let slot = Slot { token, weight: Some(weight), links: [Link::IDLE; 2] };
        if self.free != NONE {
            let index = self.free;
            self.free = self.slots[index as usize].links[0].next;
            self.slots[index as usize] = slot;
            return MemberId(index);
        }
        let index = u32::try_from(self.slots.len()).expect("fewer than 2^32 members on a core");
        assert!(index != NONE, "fewer than 2^32 - 1 members on a core");
        self.slots.push(slot);
        MemberId(index)
    }

    /// Frees the slot of a member that waits in no queue.
    pub(crate) fn remove(&mut self, member: MemberId) {
        let slot = &mut self.slots[member.0 as usize];
        debug_assert!(slot.links.iter().all(|link| link.standing != Standing::Waiting));
        if slot.weight.take().is_some() {
            slot.links = [Link::IDLE; 2];
            slot.links[0].next = self.free;
            self.free = member.0;
            self.count -= 1;
        }
    }

    pub(crate) fn count(&self) -> usize {
        self.count
    }

    pub(crate) fn token(&self, member: MemberId) -> u64 {
        self.slots[member.0 as usize].token
    }

    pub(crate) fn weight(&self, member: MemberId) -> u64 {
        self.weight_of(member).map_or(0, |weight| u64::from(weight.get()))
    }

    /// The weight of a member; `None` once it has left.
    pub(crate) fn weight_of(&self, member: MemberId) -> Option<NonZeroU32> {
        self.slots[member.0 as usize].weight
    }

    pub(crate) fn standing(&self, member: MemberId, direction: Direction) -> Standing {
        self.slots[member.0 as usize].links[direction.index()].standing
    }

    fn link(&mut self, index: u32, direction: Direction) -> &mut Link {
        &mut self.slots[index as usize].links[direction.index()]
    }
}

/// What the member at the front may move.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Turn {
    pub(crate) member: MemberId,
    /// The least worth moving.
    pub(crate) least: u64,
    /// The most it may move before the others' turn.
    pub(crate) most: u64,
}

/// How an operation of a waiting member went.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Served {
    pub(crate) granted: u64,
    pub(crate) used: u64,
    pub(crate) pending: bool,
}

/// The members that wait in one direction, front first.
#[derive(Debug)]
pub(crate) struct Queue {
    direction: Direction,
    head: u32,
    tail: u32,
    weight: u64,
}

impl Queue {
    pub(crate) fn new(direction: Direction) -> Self {
        Self { direction, head: NONE, tail: NONE, weight: 0 }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.head == NONE
    }

    /// Returns the summed weight of the waiting members.
    pub(crate) fn weight(&self) -> u64 {
        self.weight
    }

    /// Appends a member that wants `want` bytes; one that already waits only updates that.
    pub(crate) fn push_back(&mut self, members: &mut Members, member: MemberId, want: u64) {
        let link = members.link(member.0, self.direction);
        (link.least, link.most) = (want, want);
        if link.standing != Standing::Waiting {
            self.link_between(members, member.0, self.tail, NONE);
        }
    }

    /// Returns what the member at the front may move, without changing anything.
    pub(crate) fn front(&self, members: &Members, quantum: u64) -> Option<Turn> {
        let link = members.slots.get(self.head as usize)?.links[self.direction.index()];
        let member = MemberId(self.head);
        let round = members.weight(member).saturating_mul(quantum);
        // Less than a quantum left: a new round begins, with the rest carried over.
        let most = if link.rest < quantum {
            round.saturating_add(link.rest)
        } else {
            link.rest.min(round.saturating_add(quantum))
        };
        Some(Turn { member, least: quantum.min(link.least), most: most.min(link.most) })
    }

    /// Takes the member at the front for one operation; the round it is in was `turn`'s.
    pub(crate) fn serve(&mut self, members: &mut Members, turn: Turn, quantum: u64) {
        debug_assert_eq!(turn.member.0, self.head, "the turn is the front's");
        self.unlink(members, turn.member.0);
        let round = members.weight(turn.member).saturating_mul(quantum);
        let link = members.link(turn.member.0, self.direction);
        link.standing = Standing::Serving;
        if link.rest < quantum {
            link.rest = link.rest.saturating_add(round);
        } else {
            link.rest = link.rest.min(round.saturating_add(quantum));
        }
    }

    /// Places a served member: in front while its round lasts, at the back after it, nowhere if
    /// nothing is pending. One that moved nothing goes to the back, so that it cannot spin.
    pub(crate) fn place(
        &mut self,
        members: &mut Members,
        member: MemberId,
        served: Served,
        quantum: u64,
    ) {
        let Served { granted, used, pending } = served;
        let link = members.link(member.0, self.direction);
        debug_assert_eq!(link.standing, Standing::Serving);
        link.standing = Standing::Idle;
        if !pending {
            link.rest = 0;
            return;
        }
        link.rest = if used == 0 { 0 } else { link.rest.saturating_sub(used) };
        let again = link.rest >= quantum;
        // Something else bounds its operations, such as a largest single write: do not wait for
        // more than it can use. Once it uses all it is granted the quantum counts again.
        link.least = if used < granted { used.max(1) } else { u64::MAX };
        link.most = u64::MAX;
        if again {
            self.link_between(members, member.0, NONE, self.head);
        } else {
            self.link_between(members, member.0, self.tail, NONE);
        }
    }

    /// Takes a member out, wherever it stands, and forgets its round.
    pub(crate) fn remove(&mut self, members: &mut Members, member: MemberId) {
        if members.standing(member, self.direction) == Standing::Waiting {
            self.unlink(members, member.0);
        }
        let link = members.link(member.0, self.direction);
        link.standing = Standing::Idle;
        link.rest = 0;
    }

    /// Puts the waiting members into random order, each order equally likely. O(waiting).
    pub(crate) fn shuffle(&mut self, members: &mut Members, random: &mut impl Rng) {
        let mut order = Vec::new();
        while self.head != NONE {
            order.push(self.head);
            self.unlink(members, self.head);
        }
        order.shuffle(random);
        for index in order {
            self.link_between(members, index, self.tail, NONE);
        }
    }

    fn link_between(&mut self, members: &mut Members, index: u32, previous: u32, next: u32) {
        self.weight += members.weight(MemberId(index));
        let link = members.link(index, self.direction);
        link.standing = Standing::Waiting;
        (link.previous, link.next) = (previous, next);
        match previous {
            NONE => self.head = index,
            _ => members.link(previous, self.direction).next = index,
        }
        match next {
            NONE => self.tail = index,
            _ => members.link(next, self.direction).previous = index,
        }
    }

    fn unlink(&mut self, members: &mut Members, index: u32) {
        self.weight -= members.weight(MemberId(index));
        let link = members.link(index, self.direction);
        link.standing = Standing::Idle;
        let (previous, next) = (link.previous, link.next);
        match previous {
            NONE => self.head = next,
            _ => members.link(previous, self.direction).next = next,
        }
        match next {
            NONE => self.tail = previous,
            _ => members.link(next, self.direction).previous = previous,
        }
    }
}

impl Link {
    const IDLE: Self =
        Self { standing: Standing::Idle, previous: NONE, next: NONE, most: 0, least: 0, rest: 0 };
}

/// No slot.
const NONE: u32 = u32::MAX;

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand::rngs::SmallRng;

    use super::*;

    const READ: Direction = Direction::Read;

    fn weight(weight: u32) -> NonZeroU32 {
        NonZeroU32::new(weight).unwrap()
    }

    /// A queue of members with the tokens 0, 1, 2, ... and these weights, all waiting.
    fn waiting(weights: &[u32]) -> (Members, Queue, Vec<MemberId>) {
        let (mut members, mut queue) = (Members::new(), Queue::new(READ));
        let ids: Vec<_> =
            (0..).zip(weights).map(|(token, &w)| members.insert(token, weight(w))).collect();
        for &id in &ids {
            queue.push_back(&mut members, id, u64::MAX);
        }
        (members, queue, ids)
    }

    /// Serves the front once, using at most `most` bytes; returns its token and the bytes.
    fn serve(members: &mut Members, queue: &mut Queue, quantum: u64, most: u64) -> (u64, u64) {
        let turn = queue.front(members, quantum).unwrap();
        queue.serve(members, turn, quantum);
        let used = turn.most.min(most);
        let served = Served { granted: turn.most, used, pending: true };
        queue.place(members, turn.member, served, quantum);
        (members.token(turn.member), used)
    }

    #[test]
    fn rounds_follow_weight() {
        let (mut members, mut queue, _) = waiting(&[1, 3]);
        assert_eq!(serve(&mut members, &mut queue, 10, 10), (0, 10));
        for _ in 0..3 {
            assert_eq!(serve(&mut members, &mut queue, 10, 10), (1, 10), "stays in front");
        }
        assert_eq!(serve(&mut members, &mut queue, 10, 10), (0, 10));
        assert_eq!(serve(&mut members, &mut queue, 10, u64::MAX), (1, 30), "all at once");
    }

    #[test]
    fn less_than_a_quantum_left_is_carried_into_the_next_round() {
        let (mut members, mut queue, _) = waiting(&[1, 1]);
        assert_eq!(serve(&mut members, &mut queue, 10, 6), (0, 6));
        assert_eq!(serve(&mut members, &mut queue, 10, u64::MAX), (1, 10));
        assert_eq!(serve(&mut members, &mut queue, 10, u64::MAX), (0, 14));
    }

    #[test]
    fn what_was_carried_into_a_round_outlives_a_short_operation_in_it() {
        let (mut members, mut queue, _) = waiting(&[1, 1]);
        assert_eq!(serve(&mut members, &mut queue, 10, 1), (0, 1));
        assert_eq!(serve(&mut members, &mut queue, 10, 10), (1, 10));
        assert_eq!(serve(&mut members, &mut queue, 10, 1), (0, 1));
        assert_eq!(serve(&mut members, &mut queue, 10, u64::MAX), (0, 18), "20 in two rounds");
    }

    #[test]
    fn moving_nothing_rotates_and_forfeits_the_round() {
        let (mut members, mut queue, _) = waiting(&[2, 1]);
        assert_eq!(serve(&mut members, &mut queue, 10, 0), (0, 0));
        assert_eq!(serve(&mut members, &mut queue, 10, u64::MAX), (1, 10));
        assert_eq!(serve(&mut members, &mut queue, 10, u64::MAX), (0, 20));
    }

    #[test]
    fn a_member_that_cannot_use_its_grant_waits_for_no_more_than_it_uses() {
        let (mut members, mut queue, _) = waiting(&[1]);
        assert_eq!(serve(&mut members, &mut queue, 10, 3), (0, 3));
        assert_eq!(queue.front(&members, 10).unwrap().least, 3);
        assert_eq!(serve(&mut members, &mut queue, 10, u64::MAX), (0, 17));
        assert_eq!(queue.front(&members, 10).unwrap().least, 10);
    }

    #[test]
    fn removal_works_anywhere_and_slots_are_reused() {
        let (mut members, mut queue, ids) = waiting(&[1, 2, 4]);
        queue.remove(&mut members, ids[1]);
        assert_eq!(queue.weight(), 5);
        members.remove(ids[1]);
        assert_eq!(members.insert(9, weight(8)), ids[1]);
        queue.push_back(&mut members, ids[1], 1);
        queue.push_back(&mut members, ids[1], 1);
        queue.remove(&mut members, ids[0]);
        queue.remove(&mut members, ids[0]);
        assert_eq!((queue.weight(), members.count()), (12, 3));
        assert_eq!(queue.front(&members, 10).unwrap().member, ids[2]);
        queue.remove(&mut members, ids[2]);
        let turn = Turn { member: ids[1], least: 1, most: 1 };
        assert_eq!(queue.front(&members, 10), Some(turn), "one byte is all it wants");
        queue.remove(&mut members, ids[1]);
        assert!(queue.is_empty() && queue.weight() == 0);
    }

    #[test]
    fn a_shuffle_keeps_everyone_and_changes_who_is_first() {
        let (mut members, mut queue, ids) = waiting(&[1; 50]);
        let mut random = SmallRng::seed_from_u64(1);
        let mut firsts = std::collections::HashSet::new();
        for _ in 0..200 {
            queue.shuffle(&mut members, &mut random);
            firsts.insert(queue.front(&members, 1).unwrap().member);
        }
        assert!(firsts.len() > 40, "{} of 50 came first in 200 orders", firsts.len());
        let mut served: Vec<_> =
            ids.iter().map(|_| serve(&mut members, &mut queue, 1, 1).0).collect();
        served.sort_unstable();
        assert_eq!(served, (0..50).collect::<Vec<_>>());
    }
}
