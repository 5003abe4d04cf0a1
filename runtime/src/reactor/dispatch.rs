//! The callback stage: the only place, with timers and messages, where user code runs.
//!
//! Takes the handler out of its slot, calls it, and puts it back if the connection still lives and
//! has got no other. A handler that panics is caught here: its connection is closed and counted,
//! the core goes on. That is sound because the handler was taken out, is dropped, and every method
//! of the context leaves the core consistent before it returns.

use std::panic::{AssertUnwindSafe, catch_unwind};

use core_buf::Callback;

use super::Core;
use super::panic::note;
use crate::context::Context;
use crate::handler::Handler;
use crate::id::Key;
use crate::slot::Stream;
use crate::watchdog::Label;

/// Callbacks of one stream in one visit; CONNECTED, read, write and an event.
const CALLBACKS_PER_VISIT: usize = 4;

impl Core {
    /// Visits every slot that stood in the queue when the stage began.
    pub(super) fn run_callbacks(&mut self) {
        for _ in 0..self.lanes.in_hand.callbacks.len() {
            let Some(slot) = self.lanes.in_hand.callbacks.pop_front() else { break };
            let entry = self.slots.at_mut(slot);
            entry.queued.callbacks = false;
            let key = entry.key(slot);
            self.dispatch(key);
            self.carry_on(key);
        }
        self.pulse.beat(Label::CORE);
    }

    fn dispatch(&mut self, key: Key) {
        let Some(stream) = self.slots.stream(key) else { return };
        if let Some(above) = stream.above {
            return self.climb(key, above);
        }
        let Some(mut handler) = stream.handler.take() else { return };
        let outcome = catch_unwind(AssertUnwindSafe(|| self.visit(key, &mut *handler)));
        let handler = match outcome {
            Ok(()) => Some(handler),
            Err(payload) => {
                self.note_panic(key, &payload);
                self.drop_guarded(key, handler);
                self.answer_panic(payload);
                None
            }
        };
        let replaced = match self.slots.stream(key) {
            Some(stream) if stream.keeps_handler() => seat(stream, handler),
            _ => self.put_back(key, handler),
        };
        self.discard(key, replaced);
    }

    /// Calls a handler for what is due, as long as it is the one to be called.
    fn visit(&mut self, key: Key, handler: &mut dyn Handler) {
        let now = self.now;
        for _ in 0..CALLBACKS_PER_VISIT {
            let Some(stream) = self.slots.stream(key) else { return };
            if stream.handler.is_some() || !stream.keeps_handler() {
                return;
            }
            let mut label = stream.label;
            let callback = stream.bev.poll_callback();
            if callback.is_none() {
                if !stream.tells_drain() {
                    return;
                }
                self.note_drain_told(key);
            }
            if label == Label::UNKNOWN {
                label = self.learn_label(key, handler);
            }
            self.pulse.beat(label);
            self.stats.callbacks += 1;
            let cx = &mut Context::new(self, key);
            match callback {
                Some(Callback::Read) => handler.on_read(cx),
                Some(Callback::Write) => handler.on_write(cx),
                Some(Callback::Event(event)) => handler.on_event(cx, event),
                None => handler.on_drain(cx),
            }
            if let Some(stream) = self.slots.stream(key) {
                stream.bev.handle_callback(now);
            }
        }
    }

    /// Asks a handler what it is called, once.
    #[cold]
    pub(super) fn learn_label(&mut self, key: Key, handler: &dyn Handler) -> Label {
        let label = self.known_labels.find(&self.shared.labels, handler.label());
        if let Some(stream) = self.slots.stream(key) {
            stream.label = label;
        }
        label
    }

    /// Puts a handler where it belongs now, unless it has panicked; returns one that is not needed.
    pub(super) fn put_back(
        &mut self,
        key: Key,
        handler: Option<Box<dyn Handler>>,
    ) -> Option<Box<dyn Handler>> {
        let home = self.home(key);
        let Some(stream) = self.slots.stream(home) else { return handler };
        stream.label = Label::UNKNOWN;
        let replaced = seat(stream, handler);
        self.update(home);
        replaced
    }

    /// Runs a task of a message or timer; one that panics is counted and ends alone.
    pub(super) fn guard(&mut self, label: Label, task: impl FnOnce(&mut Self)) {
        self.pulse.beat(label);
        if let Err(payload) = catch_unwind(AssertUnwindSafe(|| task(self))) {
            let (core, name) = (self.index(), self.shared.labels.name(label));
            let what = format_args!("a {name} panicked on core {core}; it is over");
            note(self.panic_policy, &mut self.stats, &payload, what);
            self.answer_panic(payload);
        }
    }

    #[inline]
    pub(super) fn discard(&mut self, key: Key, handler: Option<Box<dyn Handler>>) {
        if let Some(handler) = handler {
            self.drop_guarded(key, handler);
        }
    }

    /// Drops a handler or a filter; its `Drop` is user code too and may panic.
    pub(super) fn drop_guarded<T>(&mut self, key: Key, value: T) {
        let before = self.pulse.label();
        self.pulse.beat(Label::DROP);
        if let Err(payload) = catch_unwind(AssertUnwindSafe(|| drop(value))) {
            self.note_panic(key, &payload);
            self.answer_panic(payload);
        }
        self.pulse.beat(before);
    }
}

/// Gives a stream its handler back, or closes it if that has panicked; returns one that is not
/// needed.
fn seat(stream: &mut Stream, handler: Option<Box<dyn Handler>>) -> Option<Box<dyn Handler>> {
    match handler {
        // One that was set meanwhile stays.
        Some(handler) if stream.handler.is_some() => Some(handler),
        Some(handler) => stream.handler.replace(handler),
        None => {
            stream.bev.close_now();
            None
        }
    }
}
