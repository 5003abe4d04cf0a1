//! Looking at a buffer's bytes without taking them: by segment, by copy, or for one `writev`.
//!
//! Owns nothing of its own; a part of `Buffer`. Never changes which bytes there are. Nothing here
//! allocates but `pull_up`, where bytes must be brought together, and `to_vec`.

use std::fmt;
use std::io::IoSlice;
use std::ops::Range;

use super::Buffer;
use super::segment::Segment;

impl Buffer {
    /// The first bytes that lie in one piece. O(1).
    ///
    /// Empty only if the buffer is, or begins with a [source](Self::front_source).
    #[must_use]
    pub fn first(&self) -> &[u8] {
        self.chain.front().and_then(Segment::bytes).unwrap_or_default()
    }

    /// All loaded bytes in order, one slice a segment, none of them empty.
    ///
    /// # Examples
    /// ```
    /// # use sluicegate_core_buf::Buffer;
    /// let buffer = Buffer::from(b"abc");
    /// assert!(buffer.slices().flatten().eq(b"abc"));
    /// ```
    pub fn slices(&self) -> impl Iterator<Item = &[u8]> + Clone {
        self.chain.iter().map_while(Segment::bytes)
    }

    /// The bytes of `range` where they lie, one slice a segment, none of them empty.
    ///
    /// Fewer if the loaded bytes end first. The first and the last slice are cut to the range, so
    /// how many slices there are is what a vectored write of it needs. O(segments up to the end).
    ///
    /// # Examples
    /// ```
    /// # use sluicegate_core_buf::Buffer;
    /// let mut buffer = Buffer::from(b"abc");
    /// buffer.add_shared(b"defg"[..].into());
    /// let slices: Vec<_> = buffer.peek(1..5).collect();
    /// assert_eq!(slices, [b"bc", b"de"]);
    /// ```
    pub fn peek(&self, range: Range<usize>) -> impl Iterator<Item = &[u8]> + Clone {
        let mut skip = range.start;
        let rest = self.slices().filter_map(move |bytes| {
            let rest = bytes.get(skip..).filter(|rest| !rest.is_empty());
            skip -= skip.min(bytes.len());
            rest
        });
        cut(rest, range.len())
    }

    /// Brings the first `count` bytes together in one piece and shows them; `None` if fewer are
    /// loaded, or `count` exceeds [`Buffer::MAX_EXTENT`].
    ///
    /// Costs nothing where they lie together already. Else copies them: those behind the first
    /// segment into its block if that has the room, else all into a new one.
    ///
    /// # Examples
    /// ```
    /// # use sluicegate_core_buf::Buffer;
    /// let mut input = Buffer::from(b"\0\x05he");
    /// input.add_shared(b"llo"[..].into());
    /// let Some(&[0, length]) = input.pull_up(2) else { panic!("a header") };
    /// input.drain(2);
    /// assert_eq!(input.pull_up(length.into()), Some(&b"hello"[..]));
    /// assert_eq!(input.pull_up(6), None, "not yet there");
    /// ```
    pub fn pull_up(&mut self, count: usize) -> Option<&[u8]> {
        if self.first().len() < count {
            if count > Self::MAX_EXTENT || count > self.loaded() {
                return None;
            }
            self.gather(count);
        }
        self.first().get(..count)
    }

    /// Makes the first segment one that holds the first `count` bytes; as many are loaded.
    fn gather(&mut self, count: usize) {
        let fits = |first: &Segment| first.tail_room() >= count - first.len();
        let first =
            if self.chain.front().is_some_and(fits) { self.chain.pop_front() } else { None };
        let mut whole = first.unwrap_or_else(|| Segment::with_tail_room(count));
        while whole.len() < count
            && let Some(next) = self.chain.front_mut()
            && let Some(bytes) = next.bytes()
        {
            let copied = whole.fill(&bytes[..bytes.len().min(count - whole.len())]);
            if copied == bytes.len() {
                self.chain.pop_front();
            } else {
                next.advance(copied);
            }
        }
        self.chain.push_front(whole);
    }

    /// Fills `out` with slices of the first `limit` bytes for one vectored write; returns how many
    /// slices were set.
    ///
    /// The last slice is cut so that together they never exceed `limit`; with too few places in
    /// `out`, or a source behind them, they cover less. O(slices set), nothing is copied.
    ///
    /// # Examples
    /// ```
    /// # use sluicegate_core_buf::Buffer;
    /// use std::io::{IoSlice, Write};
    ///
    /// let mut output = Buffer::from(b"abcdef");
    /// let mut slices = [IoSlice::new(&[]); 8];
    /// let count = output.io_slices(4, &mut slices);
    /// let mut socket = Vec::new();
    /// let written = socket.write_vectored(&slices[..count])?;
    /// output.drain(written);
    /// assert_eq!((&socket[..], output.first()), (&b"abcd"[..], &b"ef"[..]));
    /// # std::io::Result::Ok(())
    /// ```
    pub fn io_slices<'a>(&'a self, limit: usize, out: &mut [IoSlice<'a>]) -> usize {
        let mut count = 0;
        for (slot, bytes) in out.iter_mut().zip(cut(self.slices(), limit)) {
            *slot = IoSlice::new(bytes);
            count += 1;
        }
        count
    }

    /// Copies bytes from `offset` on into `out` and leaves them in the buffer; returns how many
    /// were copied.
    ///
    /// Fills `out` unless the loaded bytes end first; 0 from an offset at or past the end.
    /// O(segments skipped + bytes copied).
    pub fn copy_out(&self, offset: usize, out: &mut [u8]) -> usize {
        let range = offset..offset.saturating_add(out.len());
        // Most of what is wanted lies in the first segment.
        if let Some(bytes) = self.first().get(range.clone()) {
            out.copy_from_slice(bytes);
            return out.len();
        }
        let mut count = 0;
        for bytes in self.peek(range) {
            out[count..count + bytes.len()].copy_from_slice(bytes);
            count += bytes.len();
        }
        count
    }

    /// A copy of all loaded bytes, for tests and small messages. O(bytes), one allocation.
    #[must_use]
    pub fn to_vec(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.loaded());
        self.slices().for_each(|slice| bytes.extend_from_slice(slice));
        bytes
    }
}

/// Those of the slices that hold the first `limit` bytes, the last of them cut.
fn cut<'a>(
    slices: impl Iterator<Item = &'a [u8]> + Clone,
    limit: usize,
) -> impl Iterator<Item = &'a [u8]> + Clone {
    let mut left = limit;
    slices.map_while(move |bytes| {
        let bytes = &bytes[..bytes.len().min(left)];
        left -= bytes.len();
        (!bytes.is_empty()).then_some(bytes)
    })
}

impl<T: AsRef<[u8]> + ?Sized> From<&T> for Buffer {
    /// A buffer that holds a copy of `bytes`.
    fn from(bytes: &T) -> Self {
        let mut buffer = Self::new();
        buffer.add(bytes.as_ref());
        buffer
    }
}

impl PartialEq<[u8]> for Buffer {
    /// Whether the buffer holds these bytes, all of them loaded.
    fn eq(&self, other: &[u8]) -> bool {
        let mut rest = other;
        self.len == other.len()
            && self.slices().all(|bytes| {
                let (head, tail) = rest.split_at(bytes.len());
                rest = tail;
                bytes == head
            })
            && rest.is_empty()
    }
}

impl<const N: usize> PartialEq<[u8; N]> for Buffer {
    fn eq(&self, other: &[u8; N]) -> bool {
        *self == other[..]
    }
}

impl PartialEq for Buffer {
    /// Whether both hold the same bytes, however they are cut into segments.
    ///
    /// What is not loaded equals nothing, not even itself.
    fn eq(&self, other: &Self) -> bool {
        let loaded = self.len == self.loaded() && self.len == other.loaded();
        loaded && self.len == other.len && self.slices().flatten().eq(other.slices().flatten())
    }
}

impl fmt::Debug for Buffer {
    /// Prints sizes only: the bytes are the users', and may be many.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Buffer")
            .field("len", &self.len)
            .field("segments", &self.segment_count())
            .finish()
    }
}
