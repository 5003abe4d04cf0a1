//! Panics of user code on a core: noted where they are caught, then answered as the policy says.
//!
//! Owns the answer. Whoever catches one tells it here twice: [`note`] counts, logs and perhaps
//! aborts at once; [`answer`] is called when what panicked has been put away, and does not return
//! if the core is to stop: the panic goes on, out of the loop, to the core's thread. Streams are
//! then closed as far as that still can be done, see [`Core::abandon`].

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use core_buf::take_drop_panics;

use super::Core;
use crate::id::Key;
use crate::panic::{PanicPolicy, Payload, message};
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
        _ => dispose(payload),
    }
}

/// What was thrown may panic as it is dropped; what that throws is never dropped.
fn dispose(payload: Payload) {
    if let Err(another) = catch_unwind(AssertUnwindSafe(|| drop(payload))) {
        std::mem::forget(another);
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
    /// but `Drop`; what panics there changes nothing any more.
    pub(crate) fn abandon(&mut self) {
        self.panic_policy = PanicPolicy::CloseConnection;
        let close = AssertUnwindSafe(|| {
            self.cut_all();
            self.reap();
        });
        if let Err(payload) = catch_unwind(close) {
            tracing::error!(core = self.index(), "a core that panicked closes what it can");
            dispose(payload);
        }
        self.report_end();
    }
}
