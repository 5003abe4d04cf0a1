//! In which order a turn serves those who wait: by priority, then first come, first served.
//!
//! Owns the lanes, one for each priority. A round serves a batch of each lane, the most important
//! first, and is over where somebody is left ready. On a core where nobody has asked for a priority
//! there is one lane to look at. Groups grant by weight and timers fire by time, whatever the
//! priority; what they give waits in its lane.
//!
//! Invariants: every lane is served in every turn, because those above run out of who is ready: a
//! socket reads once, and operations in memory are counted; the first of each priority for whom
//! these did not suffice goes before everybody in the next turn.
//! Source: the active queues of libevent 2.1.12 (event.c, `event_process_active`). Differs: there a
//! lower priority waits until no higher one is active.

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

impl Lane {
    #[inline]
    fn has_work(&self) -> bool {
        !(self.ready.is_empty() && self.callbacks.is_empty() && self.flush.is_empty())
    }
}

/// The lanes of a core.
#[derive(Default)]
pub(super) struct Lanes {
    /// The one that is being served, taken out of its place so that all others cost nothing.
    pub(super) in_hand: Lane,
    /// Which one that is.
    priority: Priority,
    places: [Lane; Priority::IN_ORDER.len()],
    /// Somebody has asked for a priority: there is more than one lane to look at.
    in_use: bool,
}

impl Lanes {
    /// The lane of a priority.
    #[inline]
    pub(super) fn of(&mut self, priority: Priority) -> &mut Lane {
        if priority == self.priority {
            &mut self.in_hand
        } else {
            &mut self.places[priority as usize]
        }
    }

    /// Whether any slot of any lane waits for any stage.
    #[inline]
    pub(super) fn have_work(&self) -> bool {
        self.in_hand.has_work() || self.in_use && self.places.iter().any(Lane::has_work)
    }

    #[inline]
    pub(super) fn have_ready(&self) -> bool {
        !self.in_hand.ready.is_empty()
            || self.in_use && self.places.iter().any(|lane| !lane.ready.is_empty())
    }

    /// Takes the next lane in hand; `false` when the round is over.
    #[inline]
    fn advance(&mut self) -> bool {
        self.in_use && self.take_next()
    }

    #[cold]
    fn take_next(&mut self) -> bool {
        let next = match self.priority {
            // Those who became ready meanwhile and are more important go before the rest.
            _ if !self.in_hand.ready.is_empty() => Priority::High,
            Priority::High => Priority::Normal,
            Priority::Normal => Priority::Low,
            Priority::Low => Priority::High,
        };
        self.take_in_hand(next);
        next != Priority::High
    }

    fn take_in_hand(&mut self, priority: Priority) {
        let before = std::mem::replace(&mut self.priority, priority);
        std::mem::swap(&mut self.in_hand, &mut self.places[before as usize]);
        std::mem::swap(&mut self.in_hand, &mut self.places[priority as usize]);
    }
}

impl Core {
    /// One lane after another: a batch of reads, their callbacks and the writes these give.
    #[inline]
    pub(super) fn run_round(&mut self) {
        loop {
            self.run_io();
            self.run_callbacks();
            self.run_flush();
            if !self.lanes.advance() {
                return;
            }
        }
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
            self.lanes.take_in_hand(Priority::High);
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
