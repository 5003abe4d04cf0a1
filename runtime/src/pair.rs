//! How a pair is set up, and what goes wrong with one.
//!
//! Owns the options, the errors, and the promise of a pair that is still being made. What a pair
//! does is in `wire/` and `reactor/pair.rs`.

use crate::handle::Stopped;
use crate::id::BevId;
use crate::promise::{Pending, Promise};

/// How a pair behaves.
///
/// # Examples
/// ```
/// use sluicegate::PairOptions;
///
/// let options = PairOptions::new().eof_on_close(true);
/// assert_ne!(options, PairOptions::new());
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PairOptions {
    pub(crate) eof_on_close: bool,
}

impl PairOptions {
    /// The defaults, as each method names them.
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether the partner of an end that closes reads the end of the stream after its last byte,
    /// as it would from a socket. Default false: it is unlinked and told nothing.
    #[must_use]
    pub fn eof_on_close(mut self, on: bool) -> Self {
        self.eof_on_close = on;
        self
    }
}

/// The other end of the pair is gone: what is written here has no reader.
///
/// The source of the error in the event of such a write; close this end, or keep to what it has
/// still to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the other end of the pair is gone and reads nothing: close this one too")]
pub struct Unlinked;

/// Why a bufferevent could not be flushed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FlushError {
    /// It is an end of a pair whose other end is gone.
    #[error(transparent)]
    Unlinked(#[from] Unlinked),
}

/// The names of a pair between two cores, once both ends are made.
///
/// # Shape
/// `Clone + Send + Sync`. Dropping it changes nothing.
#[derive(Clone, Debug)]
pub struct PendingPair(Pending<Names>);

type Names = Result<(BevId, BevId), Stopped>;

impl PendingPair {
    /// The names, the first end's first; `None` while the cores have not made them.
    ///
    /// # Errors
    /// A core has stopped: there is no pair.
    pub fn ids(&self) -> Option<Result<(BevId, BevId), Stopped>> {
        self.0.look(|names| *names)
    }

    /// Waits for the names. Not for code that runs on a core, which would wait for itself.
    ///
    /// # Errors
    /// A core has stopped: there is no pair.
    pub fn wait(&self) -> Result<(BevId, BevId), Stopped> {
        self.0.wait(|names| *names)
    }

    /// A pair that nobody has made yet, and the promise of whoever is to make it, at first `core`.
    pub(crate) fn new(core: usize) -> (Self, PairPromise) {
        let (pending, promise) = Promise::new(Err(Stopped { core }));
        (Self(pending), PairPromise(promise))
    }
}

/// Answers for a pair: with its names, or dropped, with the core that has stopped.
#[derive(Debug)]
pub(crate) struct PairPromise(Promise<Names>);

impl PairPromise {
    /// Another core is to make the rest.
    pub(crate) fn depends_on(&mut self, core: usize) {
        self.0.fall_back_on(Err(Stopped { core }));
    }

    pub(crate) fn keep(self, ids: (BevId, BevId)) {
        self.0.keep(Ok(ids));
    }
}
