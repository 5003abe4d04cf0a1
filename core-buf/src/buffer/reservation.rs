//! A reservation: room behind the last byte of a buffer, to be filled before it counts.
//!
//! Owns the blocks it had to take and borrows the buffer meanwhile, so that nothing can come
//! between reserving and committing, and no byte counts that was not lent. Never part of the buffer
//! before [`Reservation::commit`]: dropped, it leaves no trace.
//!
//! Invariants: the extents are `count` bytes in all; a block is taken only where the tail room of
//! the last segment does not do.
//! Source: libevent 2.1.12 `evbuffer_reserve_space`, `evbuffer_commit_space`. Differs: vectors that
//! went stale do not compile instead of failing, and a commit is one count over all extents, as a
//! vectored read reports it.

use thiserror::Error;

use super::chain::Chain;
use super::segment::Segment;
use super::{Buffer, GROWTH_BYTES, pool};

/// Room for bytes at the end of a buffer, lent by [`Buffer::reserve`] or
/// [`Buffer::reserve_extents`].
///
/// What it holds is unspecified: earlier bytes of whoever used that memory, not zeroes. Fill it
/// from the front and [`commit`](Self::commit) what was filled; dropping it gives it back.
///
/// # Examples
/// ```
/// # use sluicegate_core_buf::Buffer;
/// use std::io::{IoSliceMut, Read};
///
/// let mut socket = &[7; 5_000][..];
/// let mut buffer = Buffer::from(b"begun");
/// let mut room = buffer.reserve_extents(4_096)?;
/// let mut extents: Vec<_> = room.extents().map(IoSliceMut::new).collect();
/// assert_eq!(extents.len(), 2, "the tail of the last block, and a new one");
/// let count = socket.read_vectored(&mut extents)?;
/// room.commit(count);
/// assert_eq!(buffer.len(), 5 + 4_096);
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
#[must_use = "what is reserved counts only once committed"]
pub struct Reservation<'a> {
    buffer: &'a mut Buffer,
    count: usize,
    /// How much of it is tail room of the buffer's last segment.
    in_tail: usize,
    fresh: Chain,
}

/// More bytes were to be reserved at once than [`Buffer::MAX_EXTENT`]: reserve them in parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error(
    "cannot reserve {asked} bytes at once, at most {most}: reserve and commit them in parts",
    most = Buffer::MAX_EXTENT
)]
#[non_exhaustive]
pub struct ReserveError {
    /// How many bytes were asked for.
    pub asked: usize,
}

impl Buffer {
    /// Reserves room for `count` bytes in one extent.
    ///
    /// It comes from the last segment if that has enough, else from a new block: of up to 64 KiB
    /// through the free list, beyond that from the allocator, and zeroed. O(1) but for that.
    ///
    /// # Errors
    /// If `count` exceeds [`Buffer::MAX_EXTENT`]: nothing is reserved, ask for less.
    ///
    /// # Examples
    /// ```
    /// # use sluicegate_core_buf::{Buffer, ReserveError};
    /// let mut buffer = Buffer::new();
    /// let mut room = buffer.reserve(100)?;
    /// room.first()[..3].copy_from_slice(b"abc");
    /// room.commit(3);
    /// assert_eq!(buffer, *b"abc");
    /// # Ok::<_, ReserveError>(())
    /// ```
    pub fn reserve(&mut self, count: usize) -> Result<Reservation<'_>, ReserveError> {
        let fits = self.chain.back().map_or(0, Segment::tail_room) >= count;
        let mut room = Reservation::new(self, count, if fits { count } else { 0 })?;
        if !fits {
            let bytes = count.max(room.buffer.len.min(GROWTH_BYTES));
            room.fresh.push_back(Segment::with_tail_room(bytes));
        }
        Ok(room)
    }

    /// Reserves room for `count` bytes in as many extents as come cheap, for a vectored read.
    ///
    /// The first is the tail room of the last segment, if any; the others are blocks of up to
    /// 64 KiB, through the free list. Never zeroes memory that was used before. O(extents).
    ///
    /// # Errors
    /// If `count` exceeds [`Buffer::MAX_EXTENT`]: nothing is reserved, ask for less.
    pub fn reserve_extents(&mut self, count: usize) -> Result<Reservation<'_>, ReserveError> {
        let in_tail = self.chain.back().map_or(0, Segment::tail_room).min(count);
        let mut room = Reservation::new(self, count, in_tail)?;
        let mut left = count - in_tail;
        while left > 0 {
            let segment = Segment::with_tail_room(left.min(pool::MAX_CLASS_BYTES));
            left -= left.min(segment.tail_room());
            room.fresh.push_back(segment);
        }
        Ok(room)
    }

    /// Most bytes that one reservation or one contiguous piece may have: 1 GiB.
    pub const MAX_EXTENT: usize = 1 << 30;
}

impl<'a> Reservation<'a> {
    fn new(buffer: &'a mut Buffer, count: usize, in_tail: usize) -> Result<Self, ReserveError> {
        if count > Buffer::MAX_EXTENT {
            return Err(ReserveError { asked: count });
        }
        Ok(Self { buffer, count, in_tail, fresh: Chain::new() })
    }

    /// The extents in the order in which they are to be filled; none of them is empty.
    pub fn extents(&mut self) -> impl Iterator<Item = &mut [u8]> {
        let tail = self.buffer.chain.back_mut().map(|last| &mut last.tail_mut()[..self.in_tail]);
        let fresh = self.fresh.iter_mut().map(Segment::tail_mut);
        let mut left = self.count;
        tail.into_iter().chain(fresh).filter_map(move |extent| {
            let count = extent.len().min(left);
            left -= count;
            (count > 0).then(|| &mut extent[..count])
        })
    }

    /// The first extent: all of the room of [`Buffer::reserve`]. Empty if nothing was reserved.
    pub fn first(&mut self) -> &mut [u8] {
        self.extents().next().unwrap_or_default()
    }

    /// Makes the first `count` bytes of the room part of the buffer and gives the rest back.
    ///
    /// O(extents filled). Up to an eighth of a new block is copied to a smaller one.
    ///
    /// # Panics
    /// If `count` exceeds what was reserved.
    pub fn commit(mut self, count: usize) {
        assert!(count <= self.count, "{count} bytes committed where {} are reserved", self.count);
        let in_tail = count.min(self.in_tail);
        if let Some(last) = self.buffer.chain.back_mut() {
            last.extend(in_tail);
            self.buffer.len += in_tail;
        }
        let mut left = count - in_tail;
        while left > 0
            && let Some(mut segment) = self.fresh.pop_front()
        {
            let filled = left.min(segment.tail_room());
            left -= filled;
            segment.extend(filled);
            self.buffer.attach(segment);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lengths(room: &mut Reservation<'_>) -> Vec<usize> {
        room.extents().map(|extent| extent.len()).collect()
    }

    #[test]
    fn one_extent_is_tail_room_or_a_new_block() -> Result<(), ReserveError> {
        let mut buffer = Buffer::from(b"abc");
        buffer.reserve(1_021)?.commit(1_021);
        assert_eq!(buffer.segment_count(), 1);
        let mut room = buffer.reserve(200_000)?;
        assert_eq!(lengths(&mut room), [200_000]);
        room.commit(200_000);
        assert_eq!((buffer.len(), buffer.segment_count()), (201_024, 2));
        assert_eq!(lengths(&mut buffer.reserve(0)?), [0; 0]);
        Ok(())
    }

    #[test]
    fn extents_begin_with_tail_room_and_go_on_in_blocks_of_the_free_list()
    -> Result<(), ReserveError> {
        let mut buffer = Buffer::from(&[1; 1_000]);
        for (count, extents) in [
            (0, &[][..]),
            (24, &[24]),
            (25, &[24, 1]),
            (24 + 65_536, &[24, 65_536]),
            (24 + 150_000, &[24, 65_536, 65_536, 18_928]),
        ] {
            assert_eq!(lengths(&mut buffer.reserve_extents(count)?), extents, "{count} bytes");
        }
        assert_eq!((buffer.len(), buffer.segment_count()), (1_000, 1), "only lent");
        Ok(())
    }

    #[test]
    fn commit_ends_inside_any_extent() -> Result<(), ReserveError> {
        for count in [0, 1, 24, 25, 24 + 65_536, 24 + 65_537, 100_000] {
            let mut buffer = Buffer::from(&[1; 1_000]);
            let mut room = buffer.reserve_extents(100_000)?;
            room.extents().for_each(|extent| extent.fill(2));
            room.commit(count);
            assert_eq!(buffer.to_vec(), [vec![1; 1_000], vec![2; count]].concat());
        }
        Ok(())
    }

    #[test]
    fn what_is_not_committed_leaves_no_trace() -> Result<(), ReserveError> {
        let mut buffer = Buffer::new();
        buffer.reserve(100)?.commit(0);
        buffer.reserve_extents(100_000)?.commit(0);
        drop(buffer.reserve(100)?);
        assert_eq!((buffer.len(), buffer.segment_count()), (0, 0));
        Ok(())
    }

    #[test]
    fn few_bytes_do_not_hold_the_block_reserved_for_many() -> Result<(), ReserveError> {
        let mut buffer = Buffer::new();
        for _ in 0..100 {
            buffer.reserve(65_536)?.commit(10);
        }
        assert_eq!((buffer.len(), buffer.segment_count()), (1_000, 1));
        Ok(())
    }

    #[test]
    fn more_than_the_limit_is_an_error_that_says_so() {
        let mut buffer = Buffer::new();
        let asked = Buffer::MAX_EXTENT + 1;
        assert_eq!(buffer.reserve(asked).err(), Some(ReserveError { asked }));
        let error = buffer.reserve_extents(usize::MAX).expect_err("beyond any limit");
        assert!(error.to_string().contains("at most 1073741824: reserve"), "{error}");
        assert_eq!(
            buffer.reserve(Buffer::MAX_EXTENT).map(|mut room| room.first().len()),
            Ok(1 << 30)
        );
    }

    #[test]
    #[should_panic(expected = "11 bytes committed where 10 are reserved")]
    fn committing_more_than_was_reserved_is_refused() {
        let mut buffer = Buffer::new();
        buffer.reserve(10).expect("within the limit").commit(11);
    }
}
