//! A hierarchical timer wheel: when to wake next, and what is due by then.
//!
//! Owns eight levels of 64 slots; a slot of level n spans 64^n ticks of one millisecond. A timer
//! lies on the level of the highest base-64 digit in which its tick differs from the wheel's own,
//! and moves down as the wheel reaches its slot: at most once a level. Eight levels span every
//! deadline a `Time` can hold, so no far-away deadline needs a special case.
//! Never reads a clock, never allocates once its slab is warm.
//!
//! Invariants: every timer in a slot is later than `elapsed`, and shares with it all digits above
//! its level; so the first occupied slot of the lowest occupied level holds the earliest timer.
//! `elapsed` never moves backwards and never passes an occupied slot without emptying it.
//! Source: Varghese and Lauck 1987, and the 64-slot form of tokio's driver. Differs: each slot
//! keeps a lower bound of its ticks, so a lone far timer costs one wake and not one a level.

use sluicegate_groups::Time;

use super::slab::{List, Slab, TimerKey};

/// The resolution of timers: deadlines are rounded up to the next multiple.
pub(crate) const TICK_NS: u64 = 1_000_000;

/// The timers of one core, each carrying a value to hand back when it is due.
///
/// Arm and cancel are O(1). About 12 KiB plus 40 bytes and a `T` for each timer.
#[derive(Debug)]
pub(crate) struct Wheel<T> {
    slab: Slab<T>,
    /// A list for each slot, then the list of timers that are due.
    lists: Box<[List]>,
    /// For each slot a tick no later than any timer in it; exact until a cancel.
    earliest: Box<[u64]>,
    /// For each level, the slots that hold a timer.
    occupied: [u64; LEVELS],
    /// The tick up to which every timer has been moved to the due list.
    elapsed: u64,
    /// Timers that were armed since the wheel was made.
    armed: u64,
}

impl<T> Wheel<T> {
    /// Makes an empty wheel that begins at `now`.
    pub(crate) fn new(now: Time) -> Self {
        Self {
            slab: Slab::new(),
            lists: vec![List::EMPTY; DUE + 1].into_boxed_slice(),
            earliest: vec![u64::MAX; DUE].into_boxed_slice(),
            occupied: [0; LEVELS],
            elapsed: tick_at(now),
            armed: 0,
        }
    }

    /// Arms a timer that fires at the first poll at or after `deadline` rounded up to a tick.
    ///
    /// A deadline already past fires at the next poll. O(1); allocates only when more timers are
    /// alive than ever before. Deadlines in the last millisecond a `Time` can hold, after 584
    /// years, fire at its beginning.
    pub(crate) fn arm(&mut self, deadline: Time, value: T) -> TimerKey {
        self.armed += 1;
        let key = self.slab.insert(tick_of(deadline), value);
        if let Some(index) = self.slab.find(key) {
            self.place(index);
        }
        key
    }

    /// Cancels a timer and returns its value, or nothing if it already fired or was cancelled.
    ///
    /// O(1).
    pub(crate) fn cancel(&mut self, key: TimerKey) -> Option<T> {
        let index = self.slab.find(key)?;
        let number = self.slab.list(index);
        self.slab.unlink(&mut self.lists, index);
        if number != DUE && self.lists[number].is_empty() {
            self.mark_empty(number);
        }
        self.slab.remove(index)
    }

    /// Takes one value that is due at `now`, in order of ticks, or nothing if none is.
    ///
    /// Timers of one tick come in the order they were armed. Call it until it returns nothing, or
    /// until a budget is spent: [`next_deadline`](Self::next_deadline) then still asks for a poll.
    /// O(1) a value, plus at most one move a level over a timer's life.
    pub(crate) fn poll_expired(&mut self, now: Time) -> Option<T> {
        let now_tick = tick_at(now);
        loop {
            if let Some(index) = self.slab.pop_front(&mut self.lists, DUE) {
                return self.slab.remove(index);
            }
            let Some(number) = self.first_slot() else {
                self.elapsed = self.elapsed.max(now_tick);
                return None;
            };
            let earliest = self.earliest[number];
            if earliest > now_tick {
                // Up to the slot's first tick nothing is stored, so the wheel may turn that far;
                // timers armed from here on then start on the lowest level possible.
                let free_until = self.slot_start(number) - 1;
                self.elapsed = self.elapsed.max(now_tick.min(free_until));
                return None;
            }
            self.elapsed = earliest;
            self.empty_slot(number);
        }
    }

    /// The time at which to poll next, or nothing if no timer is armed.
    ///
    /// Never later than the earliest timer is due, and a poll at or after it always makes
    /// progress: it yields a value, or moves timers down a level and a later time is asked for.
    /// It comes early only where a cancelled timer shared the slot, at most once a level.
    pub(crate) fn next_deadline(&self) -> Option<Time> {
        let tick = if self.lists[DUE].is_empty() {
            self.earliest[self.first_slot()?]
        } else {
            self.elapsed
        };
        Some(Time::from_nanos(tick * TICK_NS))
    }

    /// How many timers were armed since the wheel was made.
    pub(crate) fn armed(&self) -> u64 {
        self.armed
    }

    /// How many timers are armed, those due but not yet taken included.
    pub(crate) fn len(&self) -> usize {
        self.slab.len()
    }

    /// Links an entry where its tick belongs as seen from `elapsed`.
    fn place(&mut self, index: u32) {
        let tick = self.slab.tick(index);
        if tick <= self.elapsed {
            self.slab.push_back(&mut self.lists, DUE, index);
            return;
        }
        let highest_differing_bit = (tick ^ self.elapsed).ilog2();
        let level = (highest_differing_bit / DIGIT_BITS) as usize;
        let slot = digit(tick, level);
        let number = level * SLOTS + slot;
        self.occupied[level] |= 1 << slot;
        self.earliest[number] = self.earliest[number].min(tick);
        self.slab.push_back(&mut self.lists, number, index);
    }

    /// Moves the timers of a slot to the levels below it, or to the due list.
    ///
    /// `elapsed` lies inside the slot, so none of them can come back to it and the loop ends.
    fn empty_slot(&mut self, number: usize) {
        while let Some(index) = self.slab.pop_front(&mut self.lists, number) {
            self.place(index);
        }
        self.mark_empty(number);
    }

    fn mark_empty(&mut self, number: usize) {
        self.occupied[number / SLOTS] &= !(1 << (number % SLOTS));
        self.earliest[number] = u64::MAX;
    }

    /// The slot that holds the earliest timer not yet due.
    fn first_slot(&self) -> Option<usize> {
        let level = self.occupied.iter().position(|&slots| slots != 0)?;
        Some(level * SLOTS + self.occupied[level].trailing_zeros() as usize)
    }

    /// The first tick an occupied slot spans: later than `elapsed`, so never zero.
    fn slot_start(&self, number: usize) -> u64 {
        let shift = (number / SLOTS) as u32 * DIGIT_BITS;
        self.earliest[number] >> shift << shift
    }
}

/// The last tick that has wholly begun at `now`: rounded down, so that nothing fires early.
fn tick_at(now: Time) -> u64 {
    now.as_nanos() / TICK_NS
}

/// The tick a deadline fires at: rounded up, for the same reason.
fn tick_of(deadline: Time) -> u64 {
    deadline.as_nanos().div_ceil(TICK_NS).min(LAST_TICK)
}

/// The digit, in base 64, that chooses the slot of a tick on a level.
fn digit(tick: u64, level: usize) -> usize {
    (tick >> (level as u32 * DIGIT_BITS)) as usize % SLOTS
}

/// Enough for every tick: 64^8 of them are 8,900 years.
const LEVELS: usize = 8;
/// A level's occupied slots fit one word.
const SLOTS: usize = 64;
const DIGIT_BITS: u32 = SLOTS.ilog2();
/// The number of the list of timers that are due, behind those of the slots.
const DUE: usize = LEVELS * SLOTS;
/// The last tick whose time can be written down.
const LAST_TICK: u64 = u64::MAX / TICK_NS;
const _: () = assert!(LAST_TICK.ilog2() < LEVELS as u32 * DIGIT_BITS);
