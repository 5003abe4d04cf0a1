//! A landing: the block a core reads its sockets into, before anyone knows how much comes.
//!
//! Owns at most one block, lent to the reader by [`Landing::space`] and settled by
//! [`Buffer::land`]. One landing serves all connections of a core, so that a connection with
//! nothing to read holds no memory, and one with little to read holds little.
//!
//! Invariants: a read of more bytes than were lent is refused; a block passed on to a buffer is
//! more than an eighth full.

use std::mem;

use super::Buffer;
use super::block::Block;
use super::segment::{Segment, thin_limit};

/// The memory that the next read of any connection of a core goes to.
///
/// An unused landing owns nothing; a used one keeps one block of 16 or 64 KiB between reads.
///
/// # Examples
/// ```
/// # use sluicegate_core_buf::{Buffer, Landing};
/// use std::io::Read;
///
/// let mut socket = &b"GET / HTTP/1.1\r\n"[..];
/// let (mut landing, mut input) = (Landing::new(), Buffer::new());
/// let count = socket.read(landing.space(16_384))?;
/// input.land(&mut landing, count);
/// assert_eq!(input.first(), b"GET / HTTP/1.1\r\n");
/// # std::io::Result::Ok(())
/// ```
#[derive(Debug, Default)]
pub struct Landing {
    block: Block,
    lent_bytes: usize,
}

impl Landing {
    /// Creates a landing that owns nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Lends `limit` bytes to read into, or [`Landing::MAX_BYTES`] if that is less.
    ///
    /// What the space holds is unspecified: earlier reads, not zeroes. O(1); takes a block from
    /// the thread's free list when the last one was passed on or is of the wrong size.
    pub fn space(&mut self, limit: usize) -> &mut [u8] {
        let limit = limit.min(Self::MAX_BYTES);
        let block_bytes =
            if limit <= Self::USUAL_BYTES { Self::USUAL_BYTES } else { Self::MAX_BYTES };
        if self.block.len() != block_bytes {
            self.block = Block::with_room(block_bytes);
        }
        self.lent_bytes = limit;
        &mut self.block[..limit]
    }

    /// Bytes of the block behind any [`space`](Self::space) that is not larger: 16 KiB.
    pub const USUAL_BYTES: usize = 16 << 10;

    /// Most bytes one read can bring: 64 KiB.
    pub const MAX_BYTES: usize = 64 << 10;
}

impl Buffer {
    /// Adds the first `count` bytes of the space last lent by `landing`.
    ///
    /// Up to an eighth of the landing's block (2 KiB of 16) is copied into the buffer's tail room
    /// or a small block, so that ten unread bytes do not hold 16 KiB. More than that costs no copy:
    /// the block itself becomes the buffer's last segment, and the landing takes another when
    /// asked for space again. Either way the space is settled and must be lent anew.
    ///
    /// # Panics
    /// If `count` exceeds what `landing` has lent since the last call.
    pub fn land(&mut self, landing: &mut Landing, count: usize) {
        let lent_bytes = mem::take(&mut landing.lent_bytes);
        assert!(count <= lent_bytes, "{count} bytes landed where {lent_bytes} were lent");
        if count <= thin_limit(&landing.block) {
            self.add(&landing.block[..count]);
        } else {
            self.attach(Segment::owned(mem::take(&mut landing.block), count));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(landing: &mut Landing, limit: usize, count: usize) -> *const u8 {
        let space = landing.space(limit);
        space[..count].fill(7);
        space.as_ptr()
    }

    #[test]
    fn space_is_cut_to_the_limit_and_the_maximum() {
        let mut landing = Landing::new();
        for (limit, lent) in [(0, 0), (1, 1), (16_384, 16_384), (16_385, 16_385), (1 << 30, 65_536)]
        {
            assert_eq!(landing.space(limit).len(), lent, "limit {limit}");
        }
        landing.space(10);
        assert_eq!(landing.block.len(), Landing::USUAL_BYTES, "back to the usual size");
    }

    #[test]
    fn small_read_is_copied_and_large_read_passes_the_block_on() {
        for (limit, block_bytes) in [(16_384, 16_384), (65_536, 65_536)] {
            let thin = block_bytes / 8;
            for (count, copied) in [(1, true), (thin, true), (thin + 1, false)] {
                let (mut landing, mut buffer) = (Landing::new(), Buffer::new());
                let address = read(&mut landing, limit, count);
                buffer.land(&mut landing, count);
                assert_eq!(buffer.to_vec(), vec![7; count]);
                assert_eq!(buffer.first().as_ptr() != address, copied, "{count} of {limit}");
                assert_eq!(landing.block.is_empty(), !copied, "{count} of {limit}");
            }
        }
    }

    #[test]
    fn reading_nothing_adds_no_segment() {
        let (mut landing, mut buffer) = (Landing::new(), Buffer::new());
        landing.space(100);
        buffer.land(&mut landing, 0);
        assert_eq!(buffer.segment_count(), 0);
    }

    #[test]
    fn tail_room_of_a_passed_block_takes_later_bytes() {
        let (mut landing, mut buffer) = (Landing::new(), Buffer::new());
        read(&mut landing, 16_384, 10_000);
        buffer.land(&mut landing, 10_000);
        read(&mut landing, 16_384, 100);
        buffer.land(&mut landing, 100);
        buffer.add(&[8; 100]);
        assert_eq!((buffer.len(), buffer.segment_count()), (10_200, 1));
    }

    #[test]
    #[should_panic(expected = "101 bytes landed where 100 were lent")]
    fn landing_more_than_was_lent_is_refused() {
        let mut landing = Landing::new();
        landing.space(100);
        Buffer::new().land(&mut landing, 101);
    }

    #[test]
    #[should_panic(expected = "1 bytes landed where 0 were lent")]
    fn the_same_space_does_not_land_twice() {
        let (mut landing, mut buffer) = (Landing::new(), Buffer::new());
        landing.space(100);
        buffer.land(&mut landing, 1);
        buffer.land(&mut landing, 1);
    }
}
