//! The two buffers of a bufferevent, as its application sees them.
//!
//! Own nothing. [`Input`] only looks and consumes, [`Output`] only appends: libevent's freezing of
//! buffers, in types. Never block, but for what reads a source into memory when it is told to.

use std::ops::Range;
use std::sync::Arc;

use core_buf::{Buffer, Bufferevent, Eol, Source, SourceError};

/// Lends both buffers of a bufferevent to its application.
pub(crate) fn lend(bev: &mut Bufferevent) -> (Input<'_>, Output<'_>) {
    let limit = bev.output_limit();
    let (input, buffer) = bev.buffers();
    (Input(input), Output { buffer, limit })
}

/// The bytes that have arrived; they can be looked at and consumed.
#[derive(Debug)]
pub struct Input<'a>(&'a mut Buffer);

impl<'a> Input<'a> {
    /// Bytes that are there.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether none are there.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The first contiguous piece; empty only if the whole input is.
    pub fn first(&self) -> &[u8] {
        self.0.first()
    }

    /// The bytes inside a range, piece by piece; what lies beyond the end is left out.
    pub fn peek(&self, range: Range<usize>) -> impl Iterator<Item = &[u8]> {
        self.0.peek(range)
    }

    /// The first `count` bytes in one piece, copied together if they are not; `None` if there are
    /// fewer.
    pub fn pull_up(&mut self, count: usize) -> Option<&[u8]> {
        self.0.pull_up(count)
    }

    /// Where `pattern` begins for the first time.
    pub fn search(&self, pattern: &[u8]) -> Option<usize> {
        self.0.search(pattern)
    }

    /// Takes the first line out, without what ends it; `None` if none is complete.
    pub fn read_line(&mut self, eol: Eol) -> Option<Vec<u8>> {
        self.0.read_line(eol)
    }

    /// Copies bytes out from a position without consuming them; returns how many.
    pub fn copy_out(&self, offset: usize, out: &mut [u8]) -> usize {
        self.0.copy_out(offset, out)
    }

    /// Consumes up to `count` bytes; returns how many.
    pub fn drain(&mut self, count: usize) -> usize {
        self.0.drain(count)
    }

    /// Consumes bytes into `out`; returns how many.
    pub fn remove(&mut self, out: &mut [u8]) -> usize {
        self.0.remove(out)
    }

    /// Moves up to `count` bytes to an output, whole segments by reference; returns how many.
    pub fn move_to(&mut self, output: &mut Output<'_>, count: usize) -> usize {
        self.0.move_to(output.buffer, count)
    }

    /// Moves up to `count` bytes to a buffer, whole segments by reference; returns how many.
    pub fn move_to_buffer(&mut self, target: &mut Buffer, count: usize) -> usize {
        self.0.move_to(target, count)
    }
}

/// The bytes that wait to be written; more can be appended.
#[derive(Debug)]
pub struct Output<'a> {
    buffer: &'a mut Buffer,
    /// How long it may get before its producers should stop.
    limit: usize,
}

impl<'a> Output<'a> {
    /// Bytes that wait.
    pub fn len(&self) -> usize {
        self.buffer.len()
    }

    /// Whether none wait.
    pub fn is_empty(&self) -> bool {
        self.buffer.is_empty()
    }

    /// How many more bytes its producers should put out before they wait for the write callback.
    ///
    /// What is left up to the high write mark or `max_output`, whichever is lower. It is advice:
    /// what is added beyond is written as well.
    pub fn room(&self) -> usize {
        self.limit.saturating_sub(self.buffer.len())
    }

    /// Whether there is no [`room`](Self::room).
    pub fn is_full(&self) -> bool {
        self.room() == 0
    }

    /// Moves a whole input here: segments, no copy.
    pub fn append(&mut self, input: &mut Input<'_>) {
        self.buffer.append(input.0);
    }

    /// Moves a whole buffer here: segments, no copy.
    pub fn append_buffer(&mut self, buffer: &mut Buffer) {
        self.buffer.append(buffer);
    }

    /// Appends a copy of `bytes`.
    pub fn add(&mut self, bytes: &[u8]) {
        self.buffer.add(bytes);
    }

    /// Appends shared bytes by reference: they are not copied and freed with their last reference.
    pub fn add_shared(&mut self, bytes: Arc<[u8]>) {
        self.buffer.add_shared(bytes);
    }

    /// Appends the bytes of any owner by reference; dropping it, once, is its clean-up.
    pub fn add_owner(&mut self, owner: impl AsRef<[u8]> + Send + Sync + 'static) {
        self.buffer.add_owner(owner);
    }

    /// Appends all bytes of a source, such as a [`File`](crate::File), without reading them.
    ///
    /// A socket has the kernel send a file, in pieces no larger than its limits allow. A pair gets
    /// the bytes through memory as it moves them, and a filter all of them at once: give it a large
    /// file in ranges. A source that fails is an ERROR event of writing, whose error carries a
    /// [`SourceError`].
    ///
    /// # Errors
    /// [`SourceError::TooLong`]: nothing was added.
    pub fn add_source(&mut self, source: Arc<dyn Source>) -> Result<(), SourceError> {
        self.buffer.add_source(source)
    }

    /// As [`add_source`](Self::add_source), of the bytes inside `range` alone.
    ///
    /// # Errors
    /// [`SourceError::OutOfRange`], [`SourceError::TooLong`]: nothing was added.
    pub fn add_source_range(
        &mut self,
        source: Arc<dyn Source>,
        range: Range<u64>,
    ) -> Result<(), SourceError> {
        self.buffer.add_source_range(source, range)
    }
}
