//! A buffer: a queue of bytes in segments, filled at either end and consumed at the front.
//!
//! Owns its segments and their total length. Never copies bytes once they are in, except out of a
//! block they fill too little of, and never writes to memory it shares. Has no lock: one owner at a
//! time, `Send`, and everything it holds goes where it goes.
//!
//! This file makes buffers and fills them with copies and from each other, `share.rs` by reference
//! and `source.rs` without reading them; `reservation.rs` and `landing.rs` lend the room of reads.
//! `consume.rs` takes bytes out, `view.rs` looks at them, `search.rs` finds them; `io.rs` is the
//! standard library's view of all that. `chain.rs`, `segment.rs`, `block.rs` and `pool.rs` are the
//! storeys below, in that order; `kept.rs` is what is kept for others.
//!
//! Invariants: `len` is the sum of the segments' lengths; no segment is empty.
//! Source: libevent 2.1.12 `evbuffer` (buffer.c). Differs: no locks or callbacks, memory is reused
//! through a list per thread, and the room of a read is lent by the core, not by each connection.

mod block;
mod chain;
mod consume;
mod io;
mod kept;
mod landing;
mod pool;
mod reservation;
mod search;
mod segment;
mod share;
mod source;
#[cfg(test)]
mod tests;
mod view;

use self::chain::Chain;
pub use self::kept::take_drop_panics;
pub use self::landing::Landing;
pub use self::pool::BlockStats;
pub use self::reservation::{Reservation, ReserveError};
pub use self::search::Eol;
use self::segment::Segment;
pub use self::source::{Source, SourceError, SourceRange};

/// A queue of bytes: added at either end, consumed at the front, moved between buffers by segment.
///
/// # Shape
/// `Send`, one owner at a time. An empty buffer is 80 bytes and owns nothing else; one with a
/// single segment owns that segment's memory alone. What is consumed is given back to the free
/// list of the current thread, 4 MiB at most, so a steady flow asks the allocator for nothing.
/// Memory held is at most about eight times the bytes, plus one block, plus 1 KiB for each run of
/// copied bytes between shared ones: thin contents move to smaller blocks. (Shared memory is kept
/// whole.)
///
/// # Sources
/// What was [added as a source](Self::add_source) counts and moves as all bytes do but is not in
/// memory: whatever shows bytes ends where the first source begins. [`load`](Self::load) brings
/// bytes in. Buffers that nobody adds a source to need no thought of this.
///
/// # Examples
/// ```
/// use sluicegate_core_buf::Buffer;
///
/// let (mut input, mut output) = (Buffer::new(), Buffer::new());
/// input.add(b"hello, ");
/// input.add(b"world");
/// output.append(&mut input);
/// assert!(input.is_empty());
/// assert_eq!(output.drain(7), 7);
/// assert_eq!(output, *b"world");
/// ```
#[derive(Default)]
pub struct Buffer {
    chain: Chain,
    len: usize,
}

impl Buffer {
    /// Creates an empty buffer, which owns no memory.
    #[must_use]
    pub const fn new() -> Self {
        Self { chain: Chain::new(), len: 0 }
    }

    /// Adds a copy of `bytes` at the end.
    ///
    /// Fills the tail room of the last segment first, then blocks of 1 to 16 KiB that grow with
    /// the buffer. O(`bytes`); memory shared with others is left alone.
    pub fn add(&mut self, bytes: &[u8]) {
        self.len += bytes.len();
        let mut left = bytes;
        if let Some(last) = self.chain.back_mut() {
            left = &left[last.fill(left)..];
        }
        let held = self.len - left.len();
        while !left.is_empty() {
            let mut segment = Segment::with_tail_room(left.len().max(held).min(GROWTH_BYTES));
            left = &left[segment.fill(left)..];
            self.chain.push_back(segment);
        }
    }

    /// Moves everything in `other` to the end of this buffer and leaves `other` empty.
    ///
    /// O(1) into an empty buffer, else O(segments of `other`). Segments move as they are; only the
    /// bytes of a block no more than an eighth full are copied, so that many small appends do not
    /// hold a block each.
    #[inline]
    pub fn append(&mut self, other: &mut Self) {
        if other.is_empty() {
            return;
        }
        if other.chain.hand_over(&mut self.chain) {
            self.len = std::mem::take(&mut other.len);
        } else {
            self.append_chain(other);
        }
    }

    fn append_chain(&mut self, other: &mut Self) {
        if self.is_empty() {
            std::mem::swap(self, other);
            return;
        }
        while let Some(segment) = other.chain.pop_front() {
            self.attach(segment);
        }
        other.len = 0;
    }

    /// Adds a copy of `bytes` at the front.
    ///
    /// Fills the head room of the first segment first: there is some once bytes were drained or
    /// prepended. O(`bytes`); memory shared with others is left alone.
    ///
    /// # Examples
    /// ```
    /// # use sluicegate_core_buf::Buffer;
    /// let mut message = Buffer::from(b"payload");
    /// let length = u16::try_from(message.len())?;
    /// message.prepend(&length.to_be_bytes());
    /// assert_eq!(message, *b"\0\x07payload");
    /// # Ok::<_, std::num::TryFromIntError>(())
    /// ```
    pub fn prepend(&mut self, bytes: &[u8]) {
        self.len += bytes.len();
        let mut left = bytes;
        if let Some(first) = self.chain.front_mut() {
            left = &left[..left.len() - first.fill_front(left)];
        }
        while !left.is_empty() {
            let mut segment = Segment::with_head_room(left.len().min(GROWTH_BYTES));
            left = &left[..left.len() - segment.fill_front(left)];
            self.chain.push_front(segment);
        }
    }

    /// Moves everything in `other` to the front of this buffer and leaves `other` empty.
    ///
    /// O(1) into an empty buffer, else O(segments of `other`), with the same copies as
    /// [`append`](Self::append).
    pub fn prepend_buffer(&mut self, other: &mut Self) {
        if self.is_empty() {
            std::mem::swap(self, other);
            return;
        }
        while let Some(segment) = other.chain.pop_back() {
            self.attach_front(segment);
        }
        other.len = 0;
    }

    /// The number of bytes in the buffer. O(1).
    #[must_use]
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether the buffer holds no bytes. O(1).
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The number of segments the bytes lie in. O(1).
    #[must_use]
    pub fn segment_count(&self) -> usize {
        self.chain.count()
    }

    /// Puts a segment at the end, or a copy of its bytes where they are few for their block.
    fn attach(&mut self, segment: Segment) {
        if let Some(bytes) = segment.thin_bytes() {
            self.add(bytes);
        } else {
            self.len += segment.len();
            self.chain.push_back(segment);
        }
    }

    /// Puts a segment at the front, or a copy of its bytes where they are few for their block.
    fn attach_front(&mut self, segment: Segment) {
        if let Some(bytes) = segment.thin_bytes() {
            self.prepend(bytes);
        } else {
            self.len += segment.len();
            self.chain.push_front(segment);
        }
    }
}

/// Blocks for copied bytes grow with the buffer up to this size, so that a long buffer of short
/// additions has few segments and a short one little unused room.
const GROWTH_BYTES: usize = 16 << 10;
