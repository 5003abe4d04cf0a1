//! Panics of user code: what the application wants done about them, and what is known of one.
//!
//! Owns the choice and the report; the reactor catches and answers (`reactor/panic.rs`).

use std::any::Any;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// What a panic of a handler, factory, filter, task or timer ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PanicPolicy {
    /// Its connection, or itself where it has none. The core and everybody else go on.
    #[default]
    CloseConnection,
    /// Its core: nothing more is run there, its connections are closed, what waits in its mailbox
    /// is dropped, and other cores see it as gone. They go on; [`Running::join`] reports it.
    ///
    /// [`Running::join`]: crate::Running::join
    StopCore,
    /// The process, at once and without any clean-up: for those who let a supervisor begin anew.
    Abort,
}

/// A core that ended by a panic.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CorePanic {
    /// The core.
    pub core: usize,
    /// What it was at: see [`Handler::label`](crate::Handler::label).
    pub label: String,
    /// What the panic said.
    pub message: String,
}

/// What was thrown.
pub(crate) type Payload = Box<dyn Any + Send>;

/// Drops what holds user code, on the way out: a panic there ends there, and has printed itself.
pub(crate) fn drop_quietly<T>(value: T) {
    if let Err(thrown) = catch_unwind(AssertUnwindSafe(|| drop(value))) {
        // It might panic as it is dropped as well.
        std::mem::forget(thrown);
    }
}

/// What a panic said, if it was words.
pub(crate) fn message(payload: &(dyn Any + Send)) -> &str {
    match (payload.downcast_ref::<&str>(), payload.downcast_ref::<String>()) {
        (Some(text), _) => text,
        (_, Some(text)) => text,
        _ => "it threw something that is no message",
    }
}

impl fmt::Display for CorePanic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "core {} panicked in `{}`: {}", self.core, self.label, self.message)
    }
}
