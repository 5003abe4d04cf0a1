//! Shutting a core down: stop accepting, tell handlers, let output flow, then cut.
//!
//! Owns the state of the drain and what it reports. The core ends as soon as no connection is
//! left, at the latest at the deadline, when what still stands is cut.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use groups::Time;

use super::{Core, Timer};
use crate::id::Key;
use crate::report::{CoreEnd, Left};
use crate::slot::Occupant;
use crate::stats::CoreStats;
use crate::watchdog::Label;

#[derive(Debug, Default, PartialEq, Eq)]
enum Phase {
    #[default]
    Serving,
    Draining,
    Cutting,
    Over,
}

/// How far a core's shutdown is.
#[derive(Debug, Default)]
pub(crate) struct Drain {
    phase: Phase,
    pub(crate) timeout: Duration,
    /// When it was told.
    since: Option<Time>,
    /// Whom it had to cut off, and how many of a kind.
    left: HashMap<Label, u64>,
}

impl Drain {
    pub(crate) fn has_begun(&self) -> bool {
        self.phase != Phase::Serving
    }

    /// Whether connections still end by themselves.
    pub(crate) fn is_gentle(&self) -> bool {
        self.phase == Phase::Draining
    }

    pub(crate) fn is_over(&self) -> bool {
        self.phase == Phase::Over
    }
}

impl Core {
    /// Stops accepting and asks every handler to finish. A second call changes nothing.
    pub(super) fn start_drain(&mut self) {
        if self.drain.has_begun() {
            return;
        }
        self.drain.phase = Phase::Draining;
        self.shared.load(self.index()).close();
        self.drain.since = Some(self.now);
        self.wheel.arm(self.now + self.drain.timeout, Timer::DrainDeadline);
        self.close_listeners();
        for key in self.slots.keys() {
            if let Some(stream) = self.slots.stream(key) {
                stream.tell_drain = true;
                self.update(key);
            }
        }
    }

    /// The handler on top of a stack is told, and not again should it come to stand lower.
    pub(super) fn note_drain_told(&mut self, key: Key) {
        let mut next = Some(key);
        while let Some(stream) = next.and_then(|key| self.slots.stream(key)) {
            stream.tell_drain = false;
            next = stream.transport.lower();
        }
    }

    /// Ends now: whatever is still connected is closed with its output unsent.
    pub(super) fn cut_all(&mut self) {
        self.drain.phase = Phase::Cutting;
        self.shared.load(self.index()).close();
        self.drain.since.get_or_insert(self.now);
        self.close_listeners();
        for key in self.slots.keys() {
            self.note_left(key);
            if let Some(stream) = self.slots.stream(key) {
                stream.bev.close_now();
                self.update(key);
            }
        }
    }

    /// Takes down who is about to be cut off, and what it had not sent.
    fn note_left(&mut self, key: Key) {
        let Some(stream) = self.slots.stream(key) else { return };
        if stream.bev.is_closed() {
            return;
        }
        self.stats.cut_bytes += stream.bev.output().len() as u64;
        let Some(handler) = stream.handler.take() else { return };
        let label = match stream.label {
            Label::UNKNOWN => {
                let ask = AssertUnwindSafe(|| self.learn_label(key, &*handler));
                // It says so itself; here only its name is wanted.
                catch_unwind(ask).unwrap_or(Label::UNKNOWN)
            }
            label => label,
        };
        if let Some(stream) = self.slots.stream(key) {
            stream.handler = Some(handler);
        }
        *self.drain.left.entry(label).or_default() += 1;
    }

    fn close_listeners(&mut self) {
        for key in std::mem::take(&mut self.listeners) {
            // Those the kernel has already connected get their turn instead of a reset.
            if self.drain.is_gentle() {
                self.accept_backlog(key);
            }
            self.keep_waiting(key);
            self.driver.close(key);
            if let Occupant::Listener(_) = self.slots.vacate(key) {
                tracing::debug!(core = self.index(), "a listener is closed");
            }
        }
    }

    /// Accepts those the kernel holds, and no more than it can have held.
    fn accept_backlog(&mut self, listener: Key) {
        let Some(entry) = self.slots.listener(listener) else { return };
        entry.ready = true;
        let batches = entry.backlog.div_ceil(entry.accept_batch) + 1;
        for _ in 0..batches {
            self.accept(listener);
            if !self.slots.listener(listener).is_some_and(|entry| entry.accepts()) {
                return;
            }
        }
    }

    /// The core is over once a drain has begun, nothing lives and nothing is on its way here: what
    /// was assigned before it closed counts until it comes. Called at the end of each turn.
    pub(super) fn finish_drain(&mut self) {
        let awaited = |core: &Self| core.shared.load(core.index()).count() > 0;
        if self.drain.has_begun() && self.slots.len() == 0 && !awaited(self) {
            self.drain.phase = Phase::Over;
        }
    }

    /// The last act: no more mail, but what was accepted is still carried out.
    pub(crate) fn stop(&mut self) {
        let shared = self.shared.clone();
        let mailbox = shared.mailbox(self.index());
        mailbox.close(|message| self.handle_message(message));
        self.send_mail();
        debug_assert!(self.wires.are_unused(), "an end goes with its stream");
        self.report_end();
    }

    /// Publishes the last figures, and how this core has ended.
    pub(super) fn report_end(&mut self) {
        let labels = &self.shared.labels;
        let name = |(label, count)| Left { label: String::from(&*labels.name(label)), count };
        let mut left: Vec<Left> = self.drain.left.drain().map(name).collect();
        left.sort_by(|a, b| b.count.cmp(&a.count).then_with(|| a.label.cmp(&b.label)));
        let now = self.driver.now();
        let took = self.drain.since.map_or(Duration::ZERO, |since| now.saturating_since(since));
        let CoreStats { drained, cut, cut_bytes, .. } = self.stats;
        let core = self.index();
        self.publish();
        self.shared.ends.report(CoreEnd { core, took, drained, cut, cut_bytes, left });
    }
}
