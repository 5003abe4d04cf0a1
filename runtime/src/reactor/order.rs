//! In which order a turn serves those who wait: by priority, then first come, first served.
//!
//! Owns the lanes, one for each priority. A round takes the most important lane that has somebody
//! ready, one batch of it, and goes on to the next lane when nobody is ready there any more. On a
//! core where nobody has asked for a priority only one lane is looked at.
//!
//! Invariants: every lane is served in every turn, as a lane runs out of those who are ready: each
//! reads once, and operations in memory are counted; the first of each priority whom these did not
//! suffice for goes before everybody in the next turn.

use std::collections::VecDeque;

use super::Core;
use crate::id::Key;
use crate::priority::Priority;

/// Slots of one priority that wait for a stage of this turn.
#[derive(Default)]
pub(super) struct Lane {
    /// They may move bytes.
    pub(super) ready: VecDeque<u32>,
    /// Callbacks have put out something to write.
    pub(super) flush: VecDeque<u32>,
    pub(super) callbacks: VecDeque<u32>,
}

/// The lanes of a core.
#[derive(Default)]
pub(super) struct Lanes {
    lanes: [Lane; Priority::COUNT],
    /// Somebody has asked for a priority: there is more than one lane to look at.
    pub(super) in_use: bool,
}

impl Lanes {
    #[inline]
    pub(super) fn of(&mut self, priority: Priority) -> &mut Lane {
        &mut self.lanes[priority as usize]
    }

    #[inline]
    pub(super) fn has_ready(&self) -> bool {
        self.any(|lane| !lane.ready.is_empty())
    }

    #[inline]
    pub(super) fn have_work(&self) -> bool {
        self.any(|lane| {
            !(lane.ready.is_empty() && lane.callbacks.is_empty() && lane.flush.is_empty())
        })
    }

    #[inline]
    fn any(&self, has: impl Fn(&Lane) -> bool) -> bool {
        has(&self.lanes[Priority::Normal as usize]) || self.in_use && self.lanes.iter().any(has)
    }
}

impl Core {
    /// One batch of reads, their callbacks, and the writes these give.
    pub(super) fn run_round(&mut self) {
        if !self.lanes.in_use {
            return self.run_lane(Priority::Normal);
        }
        for priority in Priority::IN_ORDER {
            self.run_lane(priority);
            if !self.lanes.of(priority).ready.is_empty() {
                return;
            }
        }
    }

    fn run_lane(&mut self, priority: Priority) {
        self.run_io(priority);
        self.run_callbacks(priority);
        self.run_flush(priority);
    }

    pub(super) fn enqueue(&mut self, slot: u32) {
        let entry = self.slots.at_mut(slot);
        if !std::mem::replace(&mut entry.queued.ready, true) {
            self.lanes.of(entry.priority).ready.push_back(slot);
        }
    }

    /// Queues whom the last turn had no time for: first those it passed over.
    pub(super) fn enqueue_waiting(&mut self) {
        // Lists are taken out to be walked and put back, so that they keep their memory.
        let mut passed_over = std::mem::take(&mut self.passed_over);
        let mut again = std::mem::take(&mut self.again);
        if self.lanes.in_use {
            self.put_first(&passed_over);
        }
        for slot in passed_over.drain(..).chain(again.drain(..)) {
            self.slots.at_mut(slot).queued.again = false;
            self.enqueue(slot);
        }
        (self.passed_over, self.again) = (passed_over, again);
    }

    /// Puts the first of each priority before everybody.
    fn put_first(&mut self, passed_over: &[u32]) {
        for priority in Priority::IN_ORDER {
            let first = passed_over.iter().find(|&&slot| self.slots.at(slot).priority == priority);
            let Some(&slot) = first else { continue };
            if !std::mem::replace(&mut self.slots.at_mut(slot).queued.ready, true) {
                self.lanes.of(Priority::High).ready.push_front(slot);
            }
        }
    }

    /// The priority of a stream, which is that of its stack.
    pub(crate) fn priority(&self, key: Key) -> Priority {
        self.slots.at(key.slot).priority
    }

    /// Sets the priority of a stream and of all in its stack, from when they are next queued.
    pub(crate) fn set_priority(&mut self, key: Key, priority: Priority) {
        self.lanes.in_use |= priority != Priority::default();
        let mut next = Some(self.top(key));
        while let Some(key) = next {
            self.slots.at_mut(key.slot).priority = priority;
            next = self.slots.look(key).and_then(|stream| stream.transport.lower());
        }
    }
}
