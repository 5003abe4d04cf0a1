//! A filter: two functions that turn bytes into other bytes.
//!
//! Owns the trait that users implement and what its functions answer. How often and with what they
//! are called is the business of [`FilterStage`](super::FilterStage).
//! Source: libevent 2.1.12 `bufferevent_filter_cb`. Differs: no limit is `None` and not -1, the
//! context is the filter itself, and an error says what it is.

use std::error::Error;
use std::fmt;
use std::io;

use crate::buffer::Buffer;
use crate::flush::FlushMode;

/// What a filter function answers.
#[derive(Debug)]
#[must_use]
pub enum FilterResult {
    /// Bytes were consumed or made. It is called again while there are bytes left and leave to make
    /// more; one that has done neither is taken to need more.
    Ok,
    /// More bytes are needed before anything can be made: it is called again when there are more,
    /// or in a stronger mode.
    NeedMore,
    /// The stream is beyond repair: its direction ends with this error.
    Error(FilterError),
}

/// Why a filter gave up.
///
/// Comes to the handler inside the [`io::Error`] of its ERROR event.
///
/// # Examples
/// ```
/// use sluicegate_core_buf::FilterError;
///
/// let error = std::io::Error::from(FilterError::new("frame of 5 GB"));
/// let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<FilterError>());
/// assert_eq!(inner.map(ToString::to_string).as_deref(), Some("the filter failed: frame of 5 GB"));
/// ```
#[derive(Debug)]
pub struct FilterError(Box<dyn Error + Send + Sync>);

impl FilterError {
    /// An error with its cause: a text or another error.
    pub fn new(cause: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self(cause.into())
    }
}

impl fmt::Display for FilterError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the filter failed: {}", self.0)
    }
}

impl Error for FilterError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(self.0.as_ref())
    }
}

impl From<FilterError> for io::Error {
    fn from(error: FilterError) -> Self {
        Self::other(error)
    }
}

/// Two functions that stand between a user and what is below.
///
/// Both take from the front of `src` and append to the end of `dst`; both pass everything through
/// unless they are written, by segment and without a copy.
///
/// `limit` is how many bytes are wanted at most: what marks leave room for and rate limits let
/// pass; `None` is no limit. It may be ignored: what is made beyond it waits and passes later,
/// before the function is called again. Do not wait for a larger one: there may never be. Nor keep
/// back what could be put out within it: one that was not stopped by it is asked again only when
/// there is more in `src`, or in a stronger mode.
///
/// `mode` is [`Finished`](FlushMode::Finished) once nothing will follow: in `input` when what is
/// below has ended, in `output` when the stream is closed; a user may ask for it and for
/// [`Flush`](FlushMode::Flush) at any time. Then a function is called although `src` may be empty,
/// until it answers that it needs more or does nothing. What it leaves in `src` at the end is
/// dropped.
///
/// # Examples
/// ```
/// use sluicegate_core_buf::{Buffer, Filter, FilterResult, FlushMode};
///
/// /// Inverts every bit: its own opposite.
/// struct Invert;
///
/// fn invert(src: &mut Buffer, dst: &mut Buffer, limit: Option<usize>) -> FilterResult {
///     let mut bytes = vec![0; src.len().min(limit.unwrap_or(usize::MAX))];
///     src.remove(&mut bytes);
///     bytes.iter_mut().for_each(|byte| *byte = !*byte);
///     dst.add(&bytes);
///     FilterResult::Ok
/// }
///
/// impl Filter for Invert {
///     fn input(
///         &mut self,
///         src: &mut Buffer,
///         dst: &mut Buffer,
///         limit: Option<usize>,
///         _mode: FlushMode,
///     ) -> FilterResult {
///         invert(src, dst, limit)
///     }
///
///     fn output(
///         &mut self,
///         src: &mut Buffer,
///         dst: &mut Buffer,
///         limit: Option<usize>,
///         _mode: FlushMode,
///     ) -> FilterResult {
///         invert(src, dst, limit)
///     }
/// }
/// ```
pub trait Filter: Send {
    /// Turns bytes from below into bytes for the user.
    fn input(
        &mut self,
        src: &mut Buffer,
        dst: &mut Buffer,
        limit: Option<usize>,
        mode: FlushMode,
    ) -> FilterResult {
        pass_through(src, dst, limit, mode)
    }

    /// Turns bytes of the user into bytes for below.
    fn output(
        &mut self,
        src: &mut Buffer,
        dst: &mut Buffer,
        limit: Option<usize>,
        mode: FlushMode,
    ) -> FilterResult {
        pass_through(src, dst, limit, mode)
    }
}

/// The filter that changes nothing.
impl Filter for () {}

fn pass_through(
    src: &mut Buffer,
    dst: &mut Buffer,
    limit: Option<usize>,
    _mode: FlushMode,
) -> FilterResult {
    src.move_to(dst, limit.unwrap_or(usize::MAX));
    FilterResult::Ok
}
