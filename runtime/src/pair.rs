//! How a pair is set up, and what goes wrong with one.
//!
//! Owns the options and the errors. What a pair does is in `wire.rs` and `reactor/pair.rs`.

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
