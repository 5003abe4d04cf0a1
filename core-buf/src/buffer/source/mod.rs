//! A source as a segment: bytes that are in a buffer and not in memory, such as those of a file.
//!
//! Owns the trait, its errors and the one way from a source into memory. Never opens, reads or
//! closes anything itself: what a source is, its implementor knows.
//!
//! One rule: a source's bytes count and move as all others do, but **nobody sees them before they
//! are loaded**. Views, searches and what copies out end where the first source begins;
//! [`Buffer::load`] is what brings bytes in, and so the only call that can fail. What reads by
//! itself, [`SourceRange::read`] and the standard library's `Read` and `BufRead`, returns a result.
//! A source that fails loses nothing: its bytes stay where they were.
//!
//! Source: libevent 2.1.12 `evbuffer_file_segment` (buffer.c). Differs: no descriptor is owned
//! here, mapping a file is [`Buffer::add_owner`], and clean-up is the source's `Drop`.

use std::fmt;
use std::io::{self, ErrorKind};
use std::ops::Range;
use std::os::fd::BorrowedFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use thiserror::Error;

use super::segment::Segment;
use super::{Buffer, pool};

#[cfg(test)]
mod tests;

/// Bytes that can be read at any position: a file, a part of one, an object store.
///
/// The same source may be in many buffers on many cores, whole or in ranges. Dropping it is its
/// clean-up: that happens once, when the last buffer has let it go.
///
/// # Examples
/// ```
/// use std::fs::File;
/// use std::io;
/// use std::os::fd::{AsFd, BorrowedFd};
/// use std::os::unix::fs::FileExt;
/// use std::sync::Arc;
///
/// use sluicegate_core_buf::{Buffer, Source};
///
/// struct Page(File, u64);
///
/// impl Source for Page {
///     fn len(&self) -> u64 {
///         self.1
///     }
///
///     fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<usize> {
///         self.0.read_at(out, offset)
///     }
///
///     fn file(&self) -> Option<(BorrowedFd<'_>, u64)> {
///         Some((self.0.as_fd(), 0))
///     }
/// }
///
/// # let path = std::env::temp_dir().join(format!("sluicegate-doc-{}", std::process::id()));
/// # std::fs::write(&path, "<p>hello</p>")?;
/// let file = File::open(&path)?;
/// # std::fs::remove_file(&path)?;
/// let length = file.metadata()?.len();
/// let mut output = Buffer::from(b"HTTP/1.1 200 OK\r\n\r\n");
/// output.add_source(Arc::new(Page(file, length)))?;
/// assert_eq!((output.len(), output.loaded()), (19 + 12, 19));
/// output.load(usize::MAX)?;
/// assert!(output.to_vec().ends_with(b"<p>hello</p>"));
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[expect(clippy::len_without_is_empty, reason = "a source is asked for its bytes, not whether")]
pub trait Source: Send + Sync {
    /// How many bytes there are; asked when the source is added, and not again.
    fn len(&self) -> u64;

    /// Reads bytes from `offset` on into `out`; returns how many, 0 only at the end.
    ///
    /// May return fewer than `out` holds. May block: it is called on the core that needs the bytes.
    ///
    /// # Errors
    /// Whatever keeps the bytes from being read; a panic counts as such. An interrupted read is
    /// tried again.
    fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<usize>;

    /// The file that the bytes lie in, and where in it they begin, for those who can have the
    /// kernel copy them: what `sendfile` takes from there is what `read_at` reads.
    fn file(&self) -> Option<(BorrowedFd<'_>, u64)> {
        None
    }
}

/// Why a source could not be added, or its bytes not be read.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SourceError {
    /// The range to be added does not lie inside the source: ask for its length again, perhaps it
    /// was truncated.
    #[error("range {start}..{end} does not lie inside a source of {len} bytes")]
    OutOfRange {
        /// First byte of the range.
        start: u64,
        /// First byte behind the range.
        end: u64,
        /// Bytes of the source.
        len: u64,
    },
    /// The buffer would have come to more than [`Buffer::MAX_LEN`]: drain it before adding more.
    #[error("{added} bytes do not fit behind the {held} held, at most {most} in all", most = Buffer::MAX_LEN)]
    TooLong {
        /// Bytes to be added.
        added: u64,
        /// Bytes in the buffer.
        held: usize,
    },
    /// Reading failed. The bytes are still in the buffer: try again, or give up what they are for.
    #[error("reading a source at byte {at} failed: {error}")]
    Read {
        /// Where in the source.
        at: u64,
        /// What the source said.
        #[source]
        error: io::Error,
    },
    /// The source ended before its length, so that what was promised cannot be delivered.
    #[error("a source ended at byte {at}, with {missing} bytes to come")]
    Ended {
        /// Where it ended.
        at: u64,
        /// How many bytes of it are missing.
        missing: u64,
    },
}

/// The source at the front of a buffer: for a driver that sends files without reading them.
///
/// Made by [`Buffer::front_source`]; drain what was sent.
#[derive(Clone, Copy)]
pub struct SourceRange<'a> {
    source: &'a dyn Source,
    start: usize,
    end: usize,
}

impl Buffer {
    /// Adds all bytes of `source` at the end. O(1): nothing is read.
    ///
    /// # Errors
    /// [`SourceError::TooLong`].
    pub fn add_source(&mut self, source: Arc<dyn Source>) -> Result<(), SourceError> {
        let all = 0..source.len();
        self.add_source_range(source, all)
    }

    /// Adds the bytes of `source` inside `range` at the end. O(1): nothing is read.
    ///
    /// # Errors
    /// [`SourceError::OutOfRange`], [`SourceError::TooLong`]: the buffer is as it was.
    pub fn add_source_range(
        &mut self,
        source: Arc<dyn Source>,
        range: Range<u64>,
    ) -> Result<(), SourceError> {
        let Range { start, end } = range;
        let len = source.len();
        if start > end || end > len {
            return Err(SourceError::OutOfRange { start, end, len });
        }
        let (added, held) = (end - start, self.len);
        let too_long = SourceError::TooLong { added, held };
        let Ok(bounds) = usize::try_from(start).and_then(|start| Ok(start..usize::try_from(end)?))
        else {
            return Err(too_long);
        };
        if added > Self::MAX_LEN.saturating_sub(held) as u64 {
            return Err(too_long);
        }
        if added > 0 {
            self.attach(Segment::sourced(source, bounds));
        }
        Ok(())
    }

    /// Makes sure that the first `count` bytes can be seen, or all if there are fewer.
    ///
    /// Reads what of them lies in sources into blocks of at most 64 KiB. Costs nothing but a look
    /// at each segment where there are no sources. `count` bounds the memory: load what is wanted
    /// next, not everything.
    ///
    /// # Errors
    /// [`SourceError::Read`], [`SourceError::Ended`]: what could be read before that is loaded, and
    /// the rest is still in the buffer.
    ///
    /// # Examples
    /// See [`Source`].
    #[inline]
    pub fn load(&mut self, count: usize) -> Result<(), SourceError> {
        let wanted = count.min(self.len);
        if self.first().len() >= wanted || self.loaded() >= wanted {
            return Ok(());
        }
        self.load_sources(count)
    }

    #[cold]
    fn load_sources(&mut self, count: usize) -> Result<(), SourceError> {
        let mut ready = Self::new();
        let mut result = Ok(());
        while ready.len < count
            && result.is_ok()
            && let Some(mut front) = self.chain.pop_front()
        {
            self.len -= front.len();
            if front.source().is_none() {
                ready.attach(front);
                continue;
            }
            let wanted = front.len().min(count - ready.len);
            result = ready.add_from(&mut front, wanted);
            if front.len() > 0 {
                self.len += front.len();
                self.chain.push_front(front);
            }
        }
        self.prepend_buffer(&mut ready);
        result
    }

    /// How many bytes from the front can be seen: all before the first source. O(segments).
    #[must_use]
    pub fn loaded(&self) -> usize {
        self.slices().map(<[u8]>::len).sum()
    }

    /// The source that the buffer begins with, if it does. O(1).
    ///
    /// A driver that can send files looks here when [`first`](Self::first) shows nothing.
    #[must_use]
    pub fn front_source(&self) -> Option<SourceRange<'_>> {
        self.chain.front().and_then(Segment::source)
    }

    /// Moves `count` bytes of a source segment to the end, through memory.
    fn add_from(&mut self, segment: &mut Segment, count: usize) -> Result<(), SourceError> {
        let mut left = count;
        while left > 0
            && let Some(source) = segment.source()
        {
            let room = self.reserve_extents(left.min(PIECE_BYTES));
            let mut room = room.expect("a piece is within the limit");
            let read = source.read(room.first())?;
            room.commit(read);
            segment.advance(read);
            left -= read;
        }
        Ok(())
    }

    /// Most bytes a buffer may come to by adding sources, whose length is but a claim: 2^48.
    pub const MAX_LEN: usize = 1 << 48;
}

impl<'a> SourceRange<'a> {
    pub(in crate::buffer) fn new(source: &'a dyn Source, start: usize, end: usize) -> Self {
        Self { source, start, end }
    }

    /// How many bytes of it are in the buffer; never 0.
    #[expect(clippy::len_without_is_empty, reason = "there is no empty one")]
    #[must_use]
    pub fn len(&self) -> usize {
        self.end - self.start
    }

    /// The file they lie in, if any, and where in it they begin.
    #[must_use]
    pub fn file(&self) -> Option<(BorrowedFd<'a>, u64)> {
        self.source.file().map(|(file, base)| (file, base.saturating_add(self.start as u64)))
    }

    /// Reads the first of them into `out`; returns how many, 0 only if `out` has no room.
    ///
    /// They stay in the buffer until they are drained.
    ///
    /// # Errors
    /// [`SourceError::Read`], [`SourceError::Ended`].
    pub fn read(&self, out: &mut [u8]) -> Result<usize, SourceError> {
        let wanted = out.len().min(self.len());
        if wanted == 0 {
            return Ok(0);
        }
        let at = self.start as u64;
        loop {
            // A panic is a failure like any other: whoever loads has the buffer half in its hands.
            let read = AssertUnwindSafe(|| self.source.read_at(at, &mut out[..wanted]));
            let panicked = |_| Err(io::Error::other("the source panicked"));
            match catch_unwind(read).unwrap_or_else(panicked) {
                Ok(0) => return Err(SourceError::Ended { at, missing: self.len() as u64 }),
                Ok(count) if count <= wanted => return Ok(count),
                Ok(count) => {
                    let text = format!("{count} bytes read into {wanted}");
                    let error = io::Error::new(ErrorKind::InvalidData, text);
                    return Err(SourceError::Read { at, error });
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(SourceError::Read { at, error }),
            }
        }
    }
}

impl fmt::Debug for SourceRange<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SourceRange({}..{})", self.start, self.end)
    }
}

impl From<SourceError> for io::Error {
    fn from(error: SourceError) -> Self {
        let kind = match &error {
            SourceError::Read { error, .. } => error.kind(),
            SourceError::Ended { .. } => ErrorKind::UnexpectedEof,
            SourceError::OutOfRange { .. } | SourceError::TooLong { .. } => ErrorKind::InvalidInput,
        };
        Self::new(kind, error)
    }
}

/// How much is read from a source at once: one block of the largest class.
const PIECE_BYTES: usize = pool::MAX_CLASS_BYTES;
