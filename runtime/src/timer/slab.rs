//! Where timers live: a slab of entries, threaded into doubly linked lists by index.
//!
//! Owns the entries, the free list and the generations. Knows nothing of time: the wheel decides
//! which list an entry belongs to and this file only links and unlinks. Once the slab has grown
//! to the largest number of timers alive at one moment, nothing here allocates.
//!
//! Invariants: a live entry is on exactly one list; a free entry is on none; the generation of a
//! place changes whenever its timer leaves, and a place whose generation is used up is never
//! reused, so a stale [`TimerKey`] finds nothing.

use std::num::NonZeroU32;

/// Names one armed timer, to cancel it.
///
/// A key of a timer that fired or was cancelled finds nothing, however often its place in the
/// slab has been reused since.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct TimerKey {
    index: u32,
    /// Never nought, so that an optional key is no larger.
    generation: NonZeroU32,
}

/// The two ends of one list of entries; the links themselves are in the entries.
#[derive(Clone, Copy, Debug)]
pub(super) struct List {
    head: u32,
    tail: u32,
}

impl List {
    pub(super) const EMPTY: Self = Self { head: NIL, tail: NIL };

    pub(super) fn is_empty(self) -> bool {
        self.head == NIL
    }
}

/// One place of the slab; without a value it is free.
#[derive(Debug)]
struct Entry<T> {
    generation: NonZeroU32,
    previous: u32,
    next: u32,
    /// The list this entry is on, as the wheel numbers them.
    list: u16,
    /// The tick this timer fires at.
    tick: u64,
    value: Option<T>,
}

/// The entries and the places that are free among them.
#[derive(Debug)]
pub(super) struct Slab<T> {
    entries: Vec<Entry<T>>,
    free: u32,
    len: usize,
}

impl<T> Slab<T> {
    pub(super) const fn new() -> Self {
        Self { entries: Vec::new(), free: NIL, len: 0 }
    }

    /// Stores a value that is on no list yet; the caller links it at once.
    ///
    /// # Panics
    ///
    /// With 2^32 - 1 timers alive, which needs more than 100 GiB of entries.
    pub(super) fn insert(&mut self, tick: u64, value: T) -> TimerKey {
        self.len += 1;
        if self.free != NIL {
            let index = self.free;
            let entry = &mut self.entries[index as usize];
            self.free = entry.next;
            entry.tick = tick;
            entry.value = Some(value);
            return TimerKey { index, generation: entry.generation };
        }
        let index = u32::try_from(self.entries.len()).unwrap_or(NIL);
        assert!(index != NIL, "fewer than 2^32 - 1 timers fit in memory");
        let value = Some(value);
        let generation = NonZeroU32::MIN;
        let entry = Entry { generation, previous: NIL, next: NIL, list: 0, tick, value };
        self.entries.push(entry);
        TimerKey { index, generation }
    }

    /// Takes the value out of an entry that is already off its list, and frees its place.
    pub(super) fn remove(&mut self, index: u32) -> Option<T> {
        let entry = &mut self.entries[index as usize];
        let value = entry.value.take()?;
        self.len -= 1;
        // A place at its last generation is retired: reusing it could revive an old key.
        if let Some(next) = entry.generation.checked_add(1) {
            entry.generation = next;
            entry.next = self.free;
            self.free = index;
        }
        Some(value)
    }

    /// The place of a live timer, or nothing for a stale key.
    pub(super) fn find(&self, key: TimerKey) -> Option<u32> {
        let entry = self.entries.get(key.index as usize)?;
        (entry.generation == key.generation && entry.value.is_some()).then_some(key.index)
    }

    pub(super) fn tick(&self, index: u32) -> u64 {
        self.entries[index as usize].tick
    }

    pub(super) fn list(&self, index: u32) -> usize {
        usize::from(self.entries[index as usize].list)
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Appends an entry to a list, which keeps timers of one tick in the order they were armed.
    pub(super) fn push_back(&mut self, lists: &mut [List], number: usize, index: u32) {
        let list = &mut lists[number];
        let entry = &mut self.entries[index as usize];
        // The wheel has a few hundred lists, so the number fits.
        entry.list = number as u16;
        entry.previous = list.tail;
        entry.next = NIL;
        let before = std::mem::replace(&mut list.tail, index);
        if before == NIL {
            list.head = index;
        } else {
            self.entries[before as usize].next = index;
        }
    }

    /// Takes an entry out of the list it is on.
    pub(super) fn unlink(&mut self, lists: &mut [List], index: u32) {
        let entry = &self.entries[index as usize];
        let (previous, next) = (entry.previous, entry.next);
        let list = &mut lists[usize::from(entry.list)];
        if previous == NIL {
            list.head = next;
        } else {
            self.entries[previous as usize].next = next;
        }
        if next == NIL {
            list.tail = previous;
        } else {
            self.entries[next as usize].previous = previous;
        }
    }

    /// Takes the first entry of a list out of it.
    pub(super) fn pop_front(&mut self, lists: &mut [List], number: usize) -> Option<u32> {
        let index = lists[number].head;
        if index == NIL {
            return None;
        }
        self.unlink(lists, index);
        Some(index)
    }
}

/// No entry: the end of a list.
const NIL: u32 = u32::MAX;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_with_its_generations_used_up_is_never_given_out_again() {
        let mut slab = Slab::new();
        let first = slab.insert(0, 'a');
        slab.entries[0].generation = NonZeroU32::MAX;
        let last = TimerKey { generation: NonZeroU32::MAX, ..first };
        assert_eq!(slab.find(last), Some(0));
        assert_eq!(slab.remove(0), Some('a'));
        assert_eq!(slab.find(last), None);
        assert_eq!(slab.insert(0, 'b').index, 1);
        assert_eq!(slab.len(), 1);
    }

    #[test]
    fn a_reused_place_does_not_answer_to_its_old_key() {
        let mut slab = Slab::new();
        let old = slab.insert(0, 'a');
        assert_eq!(slab.remove(0), Some('a'));
        let new = slab.insert(0, 'b');
        assert_eq!(old.index, new.index);
        assert_eq!(slab.find(old), None);
        assert_eq!(slab.find(new), Some(0));
    }
    #[test]
    fn a_warm_slab_does_not_grow() {
        let mut slab = Slab::new();
        slab.insert(0, 'a');
        for turn in 1..1_000 {
            let key = slab.insert(turn, 'b');
            assert_eq!(slab.remove(key.index), Some('b'));
        }
        assert_eq!(slab.entries.len(), 2);
    }
}
