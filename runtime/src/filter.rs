//! How a filter is put over a bufferevent, and why it cannot be.
//!
//! Owns the options and the errors. What a filter is stands in `core-buf` (`stage/filter.rs`), what
//! a stack of them does in `reactor/stack.rs`.

use crate::id::BevId;

/// What becomes of the bufferevent below a filter.
///
/// # Examples
/// ```
/// use sluicegate::FilterOptions;
///
/// let options = FilterOptions::new().close_underlying(false);
/// assert_ne!(options, FilterOptions::new());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FilterOptions {
    pub(crate) close_underlying: bool,
    pub(crate) tell_flushed: bool,
}

impl Default for FilterOptions {
    fn default() -> Self {
        Self { close_underlying: true, tell_flushed: false }
    }
}

impl FilterOptions {
    /// The defaults, as each method names them.
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether the bufferevent below is closed with the one over the filter. Default true.
    ///
    /// If not, it gets the handler back when that one has closed, and goes on.
    #[must_use]
    pub fn close_underlying(mut self, on: bool) -> Self {
        self.close_underlying = on;
        self
    }

    /// Whether the handler gets a [`FLUSHED`](crate::EventFlags::FLUSHED) event each time
    /// everything it put out has left every layer. Default false.
    ///
    /// It comes once a burst of output at most, and on a busy connection with nearly every message.
    #[must_use]
    pub fn tell_flushed(mut self, on: bool) -> Self {
        self.tell_flushed = on;
        self
    }
}

/// A filter stands over this bufferevent, and the handler with it: use the topmost, named here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a filter stands over this bufferevent: use the topmost, {0}")]
pub struct TakenByFilter(pub BevId);

/// Why a filter cannot be put over a bufferevent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StackError {
    /// It is closed or closing, or lives on another core: filter it there, before it is closed.
    #[error("{0} is not open on this core: a filter needs a bufferevent that is, and stays")]
    NotOpen(BevId),
    /// It has a filter over it already: put this one over the topmost.
    #[error(transparent)]
    Taken(#[from] TakenByFilter),
    /// As many filters as may be stand on each other here: let one do the work of several.
    #[error("{filters} filters stand on each other here, and no more may")]
    TooHigh {
        /// Filters in the stack; [`MAX_FILTERS`].
        filters: usize,
    },
}

/// Most filters over one bufferevent.
///
/// News climbs a stack by calls, so a higher one needs a deeper machine stack. A thread's usual
/// 2 MiB have carried 4,000 in a debug build, and not 10,000.
pub const MAX_FILTERS: usize = 1024;
