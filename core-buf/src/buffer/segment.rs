//! A segment: one contiguous run of a buffer's bytes, owned, shared or still to be read.
//!
//! Owns a block, or a count on memory or on a source that others read too, and the range of it that
//! belongs to the buffer. Never writes into shared memory, and never into the part of a block that
//! is in use.
//!
//! Invariants: `start <= end <= length of the backing`. A block's bytes behind `end` are tail room,
//! those before `start` head room.

use std::fmt;
use std::mem;
use std::ops::Range;
use std::sync::Arc;

use super::block::Block;
use super::kept::Kept;
use super::pool;
use super::source::{Source, SourceRange};

pub(super) struct Segment {
    backing: Backing,
    start: usize,
    end: usize,
}

enum Backing {
    Owned(Block),
    Shared(Arc<[u8]>),
    /// Shared memory of any type; costs a call for each look.
    Lent(Kept<Owner>),
    /// No memory: bytes to be read, `start` and `end` are positions there.
    Source(Kept<dyn Source>),
}

/// Whatever keeps bytes: its clean-up is its `Drop`.
pub(super) type Owner = dyn AsRef<[u8]> + Send + Sync;

impl Segment {
    /// A segment of the first `len` bytes of a block; the rest is tail room.
    pub(super) fn owned(block: Block, len: usize) -> Self {
        debug_assert!(len <= block.len());
        Self { backing: Backing::Owned(block), start: 0, end: len }
    }

    /// A segment of no bytes yet, all room, of which at least `room` bytes.
    pub(super) fn with_tail_room(room: usize) -> Self {
        Self::owned(Block::with_room(room), 0)
    }

    /// A segment of no bytes yet, all head room, of which at least `room` bytes.
    pub(super) fn with_head_room(room: usize) -> Self {
        let block = Block::with_room(room);
        let end = block.len();
        Self { backing: Backing::Owned(block), start: end, end }
    }

    /// A segment that reads `range` of memory kept alive by others as well.
    pub(super) fn shared(bytes: Arc<[u8]>, range: Range<usize>) -> Self {
        debug_assert!(range.start <= range.end && range.end <= bytes.len());
        Self { backing: Backing::Shared(bytes), start: range.start, end: range.end }
    }

    /// A segment of all the bytes of an owner, of which there are `len`.
    pub(super) fn lent(owner: Arc<Owner>, len: usize) -> Self {
        Self { backing: Backing::Lent(Kept::new(owner)), start: 0, end: len }
    }

    /// A segment of the bytes of a source in `range`, without reading them.
    pub(super) fn sourced(source: Arc<dyn Source>, range: Range<usize>) -> Self {
        Self { backing: Backing::Source(Kept::new(source)), start: range.start, end: range.end }
    }

    /// The room behind the bytes; none in shared memory.
    pub(super) fn tail_mut(&mut self) -> &mut [u8] {
        match &mut self.backing {
            Backing::Owned(block) => &mut block[self.end..],
            _ => &mut [],
        }
    }

    /// Copies as much of `bytes` as the tail room holds; returns how much that was.
    pub(super) fn fill(&mut self, bytes: &[u8]) -> usize {
        let tail = self.tail_mut();
        let count = bytes.len().min(tail.len());
        tail[..count].copy_from_slice(&bytes[..count]);
        self.end += count;
        count
    }

    /// Copies as much of the end of `bytes` as the head room holds; returns how much that was.
    pub(super) fn fill_front(&mut self, bytes: &[u8]) -> usize {
        let Backing::Owned(block) = &mut self.backing else { return 0 };
        let count = bytes.len().min(self.start);
        let start = self.start - count;
        block[start..self.start].copy_from_slice(&bytes[bytes.len() - count..]);
        self.start = start;
        count
    }

    /// Makes the first `count` bytes of the tail room part of the segment.
    pub(super) fn extend(&mut self, count: usize) {
        debug_assert!(count <= self.tail_room());
        self.end += count;
    }

    /// Forgets the first `count` bytes, and leaves the block once what is left of it is thin.
    pub(super) fn advance(&mut self, count: usize) {
        debug_assert!(count <= self.len());
        self.start += count;
        self.slim();
    }

    /// Cuts off the first `count` bytes as a segment of their own.
    ///
    /// Shared memory is counted once more. Of a block one side stays and the shorter side is
    /// copied, so at most half of the segment.
    pub(super) fn split_front(&mut self, count: usize) -> Self {
        debug_assert!(count <= self.len());
        let middle = self.start + count;
        let front = match &self.backing {
            Backing::Owned(block) if count <= self.end - middle => {
                Self::copied(&block[self.start..middle])
            }
            Backing::Owned(block) => {
                let back = Self::copied(&block[middle..self.end]);
                let mut front = mem::replace(self, back);
                front.end = middle;
                return front;
            }
            _ => {
                let mut front = self.share();
                front.end = middle;
                front
            }
        };
        self.advance(count);
        front
    }

    /// A second segment of the same bytes. A block becomes shared memory for it, and so loses its
    /// room; it goes back to the free list with its last segment.
    pub(super) fn share(&mut self) -> Self {
        let backing = match &mut self.backing {
            Backing::Owned(block) => {
                let owner = Kept::<Owner>::new(Arc::new(mem::take(block)));
                self.backing = Backing::Lent(owner.share());
                Backing::Lent(owner)
            }
            Backing::Shared(bytes) => Backing::Shared(Arc::clone(bytes)),
            Backing::Lent(owner) => Backing::Lent(owner.share()),
            Backing::Source(source) => Backing::Source(source.share()),
        };
        Self { backing, start: self.start, end: self.end }
    }

    pub(super) fn len(&self) -> usize {
        self.end - self.start
    }

    /// The bytes, unless they are still in a source.
    pub(super) fn bytes(&self) -> Option<&[u8]> {
        let memory: &[u8] = match &self.backing {
            Backing::Owned(block) => block,
            Backing::Shared(bytes) => bytes,
            _ => self.lent_memory()?,
        };
        Some(&memory[self.start..self.end])
    }

    /// What an owner shows when asked; out of the way of the segments that need not ask.
    #[cold]
    fn lent_memory(&self) -> Option<&[u8]> {
        match &self.backing {
            Backing::Lent(owner) => Some(owner.get().as_ref()),
            _ => None,
        }
    }

    /// Where the bytes are to be read, if they are still in a source.
    pub(super) fn source(&self) -> Option<SourceRange<'_>> {
        match &self.backing {
            Backing::Source(source) => Some(SourceRange::new(source.get(), self.start, self.end)),
            _ => None,
        }
    }

    pub(super) fn tail_room(&self) -> usize {
        match &self.backing {
            Backing::Owned(block) => block.len() - self.end,
            _ => 0,
        }
    }

    /// Bytes of memory the segment keeps alive.
    #[cfg(test)]
    pub(super) fn memory_bytes(&self) -> usize {
        match &self.backing {
            Backing::Owned(block) => block.len(),
            Backing::Shared(bytes) => bytes.len(),
            _ => self.lent_memory().map_or(0, <[u8]>::len),
        }
    }

    /// The bytes, if they fill so little of a block that copying them elsewhere pays.
    pub(super) fn thin_bytes(&self) -> Option<&[u8]> {
        match &self.backing {
            Backing::Owned(block) if self.len() <= thin_limit(block) => {
                Some(&block[self.start..self.end])
            }
            _ => None,
        }
    }

    /// Moves thin contents to a smaller block. A block shrinks to a quarter or less each time, so
    /// few bytes of it are copied however slowly it is consumed.
    fn slim(&mut self) {
        if let Backing::Owned(block) = &self.backing
            && block.len() > pool::CLASS_BYTES[0]
            && let Some(bytes) = self.thin_bytes()
        {
            *self = Self::copied(bytes);
        }
    }

    fn copied(bytes: &[u8]) -> Self {
        let mut segment = Self::with_tail_room(bytes.len());
        segment.fill(bytes);
        segment
    }
}

impl fmt::Debug for Segment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Segment({} bytes)", self.len())
    }
}

/// The most bytes of a block that are copied out of it rather than handed on with it.
pub(super) fn thin_limit(block: &Block) -> usize {
    block.len() / THIN_SHARE
}

/// A block less full than one part in this many is not worth passing on: its bytes are copied.
///
/// This bounds both costs at once. A copy out of a 16 KiB block is at most 2 KiB, which costs some
/// 10 ns more than passing the block on. And memory held for unread bytes stays within about this
/// multiple of them, so a peer that sends one byte at a time cannot pin a block with each.
const THIN_SHARE: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(segment: &Segment) -> &[u8] {
        segment.bytes().expect("in memory")
    }

    #[test]
    fn segment_is_five_words_and_option_adds_none() {
        assert_eq!(size_of::<Segment>(), 40);
        assert_eq!(size_of::<Option<Segment>>(), 40);
    }

    #[test]
    fn fill_stops_at_the_end_of_the_block() {
        let mut segment = Segment::with_tail_room(1024);
        assert_eq!(segment.fill(&[1; 1000]), 1000);
        assert_eq!(segment.fill(&[2; 1000]), 24);
        assert_eq!(segment.tail_room(), 0);
        assert_eq!(shown(&segment)[999..1002], [1, 2, 2]);
    }

    #[test]
    fn fill_front_takes_the_end_of_what_does_not_fit() {
        let mut segment = Segment::with_head_room(1024);
        assert_eq!((segment.tail_room(), segment.len()), (0, 0));
        assert_eq!(segment.fill_front(&[1; 1000]), 1000);
        let bytes: Vec<u8> = (0..100).collect();
        assert_eq!(segment.fill_front(&bytes), 24);
        assert_eq!(segment.fill_front(&bytes), 0);
        assert_eq!((segment.len(), &shown(&segment)[..24]), (1024, &bytes[76..]));
    }

    #[test]
    fn shared_segment_has_no_room_and_is_never_thin() {
        let mut segment = Segment::shared(Arc::from(&b"abcdef"[..]), 2..3);
        assert_eq!((segment.fill(b"x"), segment.fill_front(b"x")), (0, 0));
        assert!(segment.thin_bytes().is_none());
        assert_eq!(shown(&segment), b"c");
    }

    #[test]
    fn splitting_a_block_keeps_the_longer_side_in_place() {
        let bytes: Vec<u8> = (0..100).collect();
        for count in [0, 1, 50, 51, 99, 100] {
            let mut back = Segment::copied(&bytes);
            let address = shown(&back).as_ptr();
            let front = back.split_front(count);
            assert_eq!(shown(&front), &bytes[..count], "count {count}");
            assert_eq!(shown(&back), &bytes[count..], "count {count}");
            let front_stayed = shown(&front).as_ptr() == address;
            assert_eq!(front_stayed, count > 50, "count {count}");
        }
    }

    #[test]
    fn slowly_consumed_block_is_left_for_smaller_ones() {
        let mut segment = Segment::owned(Block::with_room(65_536), 65_536);
        let mut seen = vec![segment.memory_bytes()];
        while segment.len() > 0 {
            segment.advance(1);
            seen.push(segment.memory_bytes());
        }
        seen.dedup();
        assert_eq!(seen, [65_536, 16_384, 4096, 1024]);
    }

    #[test]
    fn splitting_shared_memory_copies_nothing() {
        let bytes: Arc<[u8]> = Arc::from(&b"abcdef"[..]);
        let mut back = Segment::shared(Arc::clone(&bytes), 1..6);
        let front = back.split_front(2);
        assert_eq!((shown(&front), shown(&back)), (&b"bc"[..], &b"def"[..]));
        assert_eq!(Arc::strong_count(&bytes), 3);
    }
}
