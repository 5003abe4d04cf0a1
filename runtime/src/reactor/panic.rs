//! Panics of user code on a core: noted where they are caught, then answered as the policy says.
//!
//! Owns the answer. Whoever catches one tells it here twice: [`note`] counts, logs and perhaps
//! aborts at once; [`answer`] is called when what panicked has been put away, and does not return
//! if the core is to stop: the panic goes on, out of the loop, to the core's thread. Streams are
//! then closed as far as that still can be done, see [`Core::abandon`].

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use core_buf::take_drop_panics;
use groups::Time;

use super::Core;
use crate::id::Key;
use crate::panic::{PanicPolicy, Payload, drop_quietly, message};
use crate::stats::CoreStats;

/// What is known of a panic that `core-buf` has caught.
const OWNER_PANICKED: &str = "an owner of bytes, or a source, panicked as it was dropped";

/// Counts and logs a panic; `what` says who it was and what becomes of it otherwise.
#[cold]
pub(super) fn note(
    policy: PanicPolicy,
    stats: &mut CoreStats,
    payload: &Payload,
    what: fmt::Arguments<'_>,
) {
    stats.handler_panics += 1;
    let message = message(&**payload);
    match policy {
        PanicPolicy::CloseConnection => tracing::error!(message, "{what}"),
        PanicPolicy::StopCore => tracing::error!(message, "{what}, and its core with it"),
        PanicPolicy::Abort => {
            tracing::error!(message, "{what}, and the process with it");
            std::process::abort();
        }
    }
}

/// Lets a panic end here, or has it end the core.
#[cold]
pub(super) fn answer(policy: PanicPolicy, payload: Payload) {
    match policy {
        PanicPolicy::StopCore => resume_unwind(payload),
        // What was thrown may panic as well.
        _ => drop_quietly(payload),
    }
}

impl Core {
    pub(super) fn note_panic(&mut self, key: Key, payload: &Payload) {
        let what = format_args!("the handler of {} panicked; it is closed", self.id(key));
        note(self.panic_policy, &mut self.stats, payload, what);
    }

    /// What was let go of in this turn, owners of bytes and sources, may have panicked.
    #[inline]
    pub(super) fn answer_drop_panics(&mut self) {
        for _ in 0..take_drop_panics() {
            let payload: Payload = Box::new(OWNER_PANICKED);
            note(self.panic_policy, &mut self.stats, &payload, format_args!("it is gone"));
            answer(self.panic_policy, payload);
        }
    }

    pub(super) fn answer_panic(&mut self, payload: Payload) {
        answer(self.panic_policy, payload);
    }

    /// The core has panicked: everything on it is closed, as far as it still can. Runs no user code
    /// but `Drop`, and `Handler::label` for who was never called; what panics there changes nothing
    /// any more.
    pub(crate) fn abandon(&mut self) {
        self.panic_policy = PanicPolicy::CloseConnection;
        let close = AssertUnwindSafe(|| {
            self.cut_all();
            self.reap();
        });
        if let Err(payload) = catch_unwind(close) {
            tracing::error!(core = self.index(), "a core that panicked closes what it can");
            drop_quietly(payload);
        }
        self.report_end();
    }

    /// Drops what it was still to run, each by itself, so that one that panics keeps no other.
    pub(crate) fn drop_work(&mut self) {
        self.mail.drain(..).for_each(drop_quietly);
        self.outbox.iter_mut().flat_map(|messages| messages.drain(..)).for_each(drop_quietly);
        while let Some(timer) = self.wheel.poll_expired(Time::MAX) {
            drop_quietly(timer);
        }
    }
}
