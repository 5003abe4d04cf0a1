//! How many connections a core has, for other cores to see.
//!
//! Owns one padded word per core: a count, and a mark that the core takes no more from others. It
//! is written by the core itself as its connections come and go, and by others as they assign it
//! one; read by whoever chooses.
//!
//! Orderings: every access is to one word, so its modification order is all there is to reason
//! about and relaxed suffices. A core that has marked its word has seen, by that very operation,
//! every assignment made before; later ones fail; so once its count is 0 nothing is on its way to
//! it. What a connection consists of travels in a mailbox, which orders it.
//!
//! Source: the counters of HAProxy's `listener_accept`. Differs: a core in its shutdown says so.

use std::sync::atomic::{AtomicU64, Ordering};

use crossbeam::utils::CachePadded;

/// Set when the core takes no more from others; far above any count.
const CLOSED: u64 = 1 << 63;

/// The connections of one core: those that live, and those on their way to it.
#[derive(Debug, Default)]
pub(crate) struct Load(CachePadded<AtomicU64>);

impl Load {
    /// One more, of the core's own making.
    pub(crate) fn add(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// One less; returns how many there were.
    pub(crate) fn sub(&self) -> u64 {
        let before = self.0.fetch_sub(1, Ordering::Relaxed) & !CLOSED;
        debug_assert!(before > 0, "what leaves has been counted");
        before
    }

    /// One more, if there are fewer than `most` and the core has not closed.
    pub(crate) fn try_add(&self, most: u64) -> bool {
        let more = |count: u64| (count < most.min(CLOSED)).then_some(count + 1);
        self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).is_ok()
    }

    /// Takes no more from others. For the owning core, which may still add its own.
    pub(crate) fn close(&self) {
        self.0.fetch_or(CLOSED, Ordering::Relaxed);
    }

    pub(crate) fn count(&self) -> u64 {
        self.0.load(Ordering::Relaxed) & !CLOSED
    }

    /// The count, unless the core has closed.
    pub(crate) fn open(&self) -> Option<u64> {
        let count = self.0.load(Ordering::Relaxed);
        (count < CLOSED).then_some(count)
    }
}

/// How many connections of one listener each core has, where that is limited.
#[derive(Debug)]
pub(crate) struct Tally {
    most: u64,
    /// Empty where there is no limit: then nobody counts.
    live: Box<[Load]>,
}

impl Tally {
    pub(crate) fn new(cores: usize, most: Option<u32>) -> Self {
        let counted = most.map_or(0, |_| cores);
        let live = std::iter::repeat_with(Load::default).take(counted).collect();
        Self { most: most.map_or(u64::MAX, u64::from), live }
    }

    pub(crate) fn is_limited(&self) -> bool {
        !self.live.is_empty()
    }

    pub(crate) fn has_room(&self, core: usize) -> bool {
        self.live.get(core).is_none_or(|live| live.count() < self.most)
    }

    /// Counts one more on a core, unless that has as many as it may.
    pub(crate) fn try_add(&self, core: usize) -> bool {
        self.live.get(core).is_none_or(|live| live.try_add(self.most))
    }

    /// Counts one more on a core whatever the limit says.
    pub(crate) fn add(&self, core: usize) {
        if let Some(live) = self.live.get(core) {
            live.add();
        }
    }

    /// Counts one less on a core; `true` if that makes room where there was none.
    pub(crate) fn sub(&self, core: usize) -> bool {
        self.live.get(core).is_some_and(|live| live.sub() == self.most)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_closed_core_takes_nothing_from_others_and_counts_on() {
        let load = Load::default();
        assert!(load.try_add(u64::MAX) && load.try_add(2) && !load.try_add(2));
        assert_eq!((load.open(), load.count()), (Some(2), 2));
        load.close();
        assert!(!load.try_add(u64::MAX));
        load.add();
        assert_eq!((load.open(), load.count()), (None, 3));
        assert_eq!((load.sub(), load.sub(), load.sub(), load.count()), (3, 2, 1, 0));
    }

    #[test]
    fn a_tally_says_when_room_comes_and_goes() {
        let tally = Tally::new(2, Some(2));
        assert!(tally.is_limited() && tally.try_add(0) && tally.try_add(0));
        assert!(!tally.try_add(0) && !tally.has_room(0) && tally.has_room(1));
        assert!(tally.sub(0), "it was full");
        assert!(!tally.sub(0), "it was not");

        let unlimited = Tally::new(2, None);
        assert!(!unlimited.is_limited() && unlimited.try_add(0) && unlimited.has_room(1));
        assert!(!unlimited.sub(0), "nobody counts");
    }
}
