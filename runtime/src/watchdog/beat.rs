//! The beat of a core: one word that says what the core is at, and changes with every call.
//!
//! Owns the word of each core and the count its core keeps of it. A core stores, and that is all it
//! ever does for the watchdog while it is awake: no clock, no read-modify-write, no line that
//! another core writes. Whoever sees the same beat twice knows that one and the same call was
//! running at both looks; what a call is named is in `label.rs`.
//!
//! Orderings: relaxed. The word publishes nothing but itself and has one writer, so a reader sees
//! beats in the order they were made; one that it sees late makes a call look shorter, not longer.
//! Who must know that a core is awake asks its wake word instead, see `post.rs`.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crossbeam::utils::CachePadded;

use super::label::Label;

/// What a core was at, at one look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Beat(u64);

impl Beat {
    pub(super) fn new(count: u64, label: Label) -> Self {
        Self(count.wrapping_mul(ONE) | u64::from(label.number()))
    }

    pub(crate) fn label(self) -> Label {
        Label::from_number(self.0 as u16)
    }

    /// Whether the core is neither waiting for events nor gone: its next beat is to come soon.
    pub(super) fn is_at_work(self) -> bool {
        !matches!(self.label(), Label::WAITING | Label::ENDED)
    }

    pub(super) fn has_ended(self) -> bool {
        self.label() == Label::ENDED
    }
}

/// The word of one core, for anybody to read.
#[derive(Clone, Debug)]
pub(crate) struct BeatCell(Arc<CachePadded<AtomicU64>>);

impl BeatCell {
    /// The word of a core that has nothing to do yet.
    pub(crate) fn new() -> Self {
        let first = Beat::new(0, Label::WAITING);
        Self(Arc::new(CachePadded::new(AtomicU64::new(first.0))))
    }

    pub(crate) fn read(&self) -> Beat {
        Beat(self.0.load(Ordering::Relaxed))
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.read().has_ended()
    }

    /// The core is gone and beats no more.
    pub(crate) fn end(&self) {
        self.0.store(Beat::new(0, Label::ENDED).0, Ordering::Relaxed);
    }
}

/// The side of the core, which alone beats.
#[derive(Debug)]
pub(crate) struct Pulse {
    count: u64,
    cell: BeatCell,
}

impl Pulse {
    pub(crate) fn new(cell: BeatCell) -> Self {
        Self { count: 0, cell }
    }

    /// What it has last begun.
    pub(crate) fn label(&self) -> Label {
        self.cell.read().label()
    }

    /// Something else begins. One relaxed store.
    #[inline]
    pub(crate) fn beat(&mut self, label: Label) {
        self.count = self.count.wrapping_add(1);
        self.cell.0.store(Beat::new(self.count, label).0, Ordering::Relaxed);
    }
}

/// One beat, above the bits of the label.
const ONE: u64 = 1 << 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_call_again_is_another_beat() {
        let cell = BeatCell::new();
        let mut pulse = Pulse::new(cell.clone());
        assert!(!cell.read().is_at_work(), "a core that has not begun is not at work");
        pulse.beat(Label::TASK);
        let first = cell.read();
        assert!(first.is_at_work() && first.label() == Label::TASK);
        pulse.beat(Label::TASK);
        assert_ne!(cell.read(), first);
        assert_eq!(pulse.label(), Label::TASK);
    }

    #[test]
    fn a_count_that_wraps_leaves_the_label_alone() {
        let beat = Beat::new(u64::MAX, Label::TIMER);
        assert_eq!((beat.label(), beat.is_at_work()), (Label::TIMER, true));
    }

    #[test]
    fn who_waits_or_has_ended_is_not_at_work() {
        let cell = BeatCell::new();
        let mut pulse = Pulse::new(cell.clone());
        pulse.beat(Label::WAITING);
        assert!(!cell.read().is_at_work() && !cell.read().has_ended());
        cell.end();
        assert!(!cell.read().is_at_work() && cell.read().has_ended());
    }
}
