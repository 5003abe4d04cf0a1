//! Looking at a buffer's bytes without taking them: by segment, by copy, or for one `writev`.
//!
//! Owns nothing of its own; a part of `Buffer`. Never changes the buffer and never allocates, but
//! for `to_vec`.

use std::fmt;
use std::io::IoSlice;

use super::Buffer;
use super::segment::Segment;

impl Buffer {
    /// The first bytes that lie in one piece: empty only if the buffer is. O(1).
    #[must_use]
    pub fn first(&self) -> &[u8] {
        self.chain.front().map_or(&[], Segment::bytes)
    }

    /// All bytes in order, one slice a segment, none of them empty.
    ///
    /// # Examples
    /// ```
    /// # use sluicegate_core_buf::Buffer;
    /// let buffer = Buffer::from(b"abc");
    /// assert!(buffer.slices().flatten().eq(b"abc"));
    /// ```
    pub fn slices(&self) -> impl Iterator<Item = &[u8]> {
        self.chain.iter().map(Segment::bytes)
    }

    /// Fills `out` with slices of the first `limit` bytes for one vectored write; returns how many
    /// slices were set.
    ///
    /// The last slice is cut so that together they never exceed `limit`; with too few places in
    /// `out` they cover less. O(slices set), nothing is copied.
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
        let (mut left, mut count) = (limit, 0);
        for (slot, bytes) in out.iter_mut().zip(self.slices()) {
            if left == 0 {
                break;
            }
            let bytes = &bytes[..bytes.len().min(left)];
            *slot = IoSlice::new(bytes);
            left -= bytes.len();
            count += 1;
        }
        count
    }

    /// Copies bytes from `offset` on into `out` and leaves them in the buffer; returns how many
    /// were copied.
    ///
    /// Fills `out` unless the buffer ends first; 0 from an offset at or past the end. O(segments
    /// skipped + bytes copied).
    pub fn copy_out(&self, offset: usize, out: &mut [u8]) -> usize {
        let (mut skip, mut count) = (offset, 0);
        for bytes in self.slices() {
            if count == out.len() {
                break;
            }
            if skip >= bytes.len() {
                skip -= bytes.len();
                continue;
            }
            let bytes = &bytes[skip..];
            skip = 0;
            let part = bytes.len().min(out.len() - count);
            out[count..count + part].copy_from_slice(&bytes[..part]);
            count += part;
        }
        count
    }

    /// A copy of all bytes, for tests and small messages. O(bytes), one allocation.
    #[must_use]
    pub fn to_vec(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.len);
        self.slices().for_each(|slice| bytes.extend_from_slice(slice));
        bytes
    }
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
    fn eq(&self, other: &[u8]) -> bool {
        let mut rest = other;
        self.len == other.len()
            && self.slices().all(|bytes| {
                let (head, tail) = rest.split_at(bytes.len());
                rest = tail;
                bytes == head
            })
    }
}

impl<const N: usize> PartialEq<[u8; N]> for Buffer {
    fn eq(&self, other: &[u8; N]) -> bool {
        *self == other[..]
    }
}

impl PartialEq for Buffer {
    /// Whether both hold the same bytes, however they are cut into segments.
    fn eq(&self, other: &Self) -> bool {
        self.len == other.len && self.slices().flatten().eq(other.slices().flatten())
    }
}

impl Eq for Buffer {}

impl fmt::Debug for Buffer {
    /// Prints sizes only: the bytes are the users', and may be many.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Buffer")
            .field("len", &self.len)
            .field("segments", &self.segment_count())
            .finish()
    }
}
