//! The free list of a thread: memory that buffers hand back and take again without the allocator.
//!
//! Owns blocks of four size classes and emptied segment lists. Never hands out uninitialised
//! memory and never writes zeroes over a block it reuses: what a block held before stays in it,
//! hidden behind the range its segment claims. Never grows beyond the bounds below; what does not
//! fit goes back to the allocator.
//!
//! Memory goes to the list of the thread it dies on, so a block that crossed cores is reused where
//! it ended and no lock or atomic is needed. Every call is O(1).
//!
//! Invariants: a block on list `i` is exactly `CLASS_BYTES[i]` long; a segment list is empty.

use std::cell::RefCell;
use std::collections::VecDeque;

use super::segment::Segment;

struct Pool {
    blocks: [Vec<Box<[u8]>>; CLASS_BYTES.len()],
    lists: Vec<VecDeque<Segment>>,
    reused: u64,
    allocated: u64,
    returned: u64,
}

impl Pool {
    const fn new() -> Self {
        let blocks = [const { Vec::new() }; CLASS_BYTES.len()];
        Self { blocks, lists: Vec::new(), reused: 0, allocated: 0, returned: 0 }
    }
}

thread_local! {
    static POOL: RefCell<Pool> = const { RefCell::new(Pool::new()) };
}

/// What the free list of the calling thread has done and holds; counters but for one level.
///
/// A block may be taken on one thread and end on another: summed over all threads,
/// `reused + allocated - returned` is the number of blocks in use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct BlockStats {
    /// Blocks that were taken from the free list.
    pub reused: u64,
    /// Blocks that the allocator had to make.
    pub allocated: u64,
    /// Blocks that ended here, whether they are kept or not.
    pub returned: u64,
    /// Blocks that lie on the free list now.
    pub kept: u64,
}

impl BlockStats {
    /// Reads those of the calling thread; a few loads.
    #[must_use]
    pub fn of_this_thread() -> Self {
        let read = |pool: &RefCell<Pool>| {
            let pool = pool.borrow();
            let kept = pool.blocks.iter().map(|list| list.len() as u64).sum();
            let Pool { reused, allocated, returned, .. } = *pool;
            Self { reused, allocated, returned, kept }
        };
        // A thread that is ending has no list any more.
        POOL.try_with(read).unwrap_or_default()
    }
}

/// Takes a block of the smallest class that holds `room` bytes, or one of exactly `room` bytes
/// where no class is large enough.
pub(super) fn take_block(room: usize) -> Box<[u8]> {
    let class = CLASS_BYTES.iter().position(|&bytes| bytes >= room);
    let reused = POOL.try_with(|pool| {
        let mut pool = pool.borrow_mut();
        let block = class.and_then(|class| pool.blocks[class].pop());
        match block {
            Some(_) => pool.reused += 1,
            None => pool.allocated += 1,
        }
        block
    });
    let bytes = class.map_or(room, |class| CLASS_BYTES[class]);
    reused.ok().flatten().unwrap_or_else(|| allocate(bytes))
}

/// Keeps a block for the next `take_block`, or frees it where its class is full or has no list.
pub(super) fn give_block(block: Box<[u8]>) {
    if block.is_empty() {
        return;
    }
    let class = CLASS_BYTES.iter().position(|&bytes| bytes == block.len());
    // A thread that is ending has no list any more; the allocator takes the block instead.
    let _ = POOL.try_with(|pool| {
        let mut pool = pool.borrow_mut();
        pool.returned += 1;
        let Some(class) = class else { return };
        let list = &mut pool.blocks[class];
        if (list.len() + 1) * CLASS_BYTES[class] <= FREE_BYTES_PER_CLASS {
            list.push(block);
        }
    });
}

/// Takes an empty segment list, with capacity if one was given back earlier.
pub(super) fn take_list() -> VecDeque<Segment> {
    POOL.try_with(|pool| pool.borrow_mut().lists.pop()).ok().flatten().unwrap_or_default()
}

/// Keeps the memory of an emptied segment list, unless it grew beyond what is worth keeping.
pub(super) fn give_list(list: VecDeque<Segment>) {
    debug_assert!(list.is_empty(), "a kept list would drop segments inside the pool");
    if list.capacity() == 0 || list.capacity() > FREE_LIST_SEGMENTS {
        return;
    }
    let _ = POOL.try_with(|pool| {
        let lists = &mut pool.borrow_mut().lists;
        if lists.len() < FREE_LISTS {
            lists.push(list);
        }
    });
}

fn allocate(bytes: usize) -> Box<[u8]> {
    #[cfg(test)]
    ALLOCATIONS.with(|count| count.set(count.get() + 1));
    vec![0; bytes].into_boxed_slice()
}

/// Sizes of the blocks that are reused. Four times apart: a block is then at least a quarter of
/// the next one, and a thread's spare memory is spread over few lists.
pub(super) const CLASS_BYTES: [usize; 4] = [1 << 10, 4 << 10, 16 << 10, 64 << 10];

/// The largest block that is reused.
pub(super) const MAX_CLASS_BYTES: usize = CLASS_BYTES[CLASS_BYTES.len() - 1];

/// Most bytes a thread keeps of each class, so 4 MiB in all. Each class has its own bound: one
/// shared bound would let a burst of large blocks send every small one to the allocator for good.
pub(super) const FREE_BYTES_PER_CLASS: usize = 1 << 20;

/// Most emptied segment lists a thread keeps.
pub(super) const FREE_LISTS: usize = 64;

/// A segment list with more capacity than this is freed instead of kept.
pub(super) const FREE_LIST_SEGMENTS: usize = 64;

#[cfg(test)]
thread_local! {
    static ALLOCATIONS: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
}

/// How many blocks this thread has asked the allocator for.
#[cfg(test)]
pub(super) fn allocations() -> usize {
    ALLOCATIONS.with(std::cell::Cell::get)
}

/// How many bytes of blocks lie on this thread's free list.
#[cfg(test)]
pub(super) fn free_bytes() -> usize {
    POOL.with(|pool| pool.borrow().blocks.iter().flatten().map(|block| block.len()).sum())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn block_takes_the_smallest_class_that_fits() {
        for (room, bytes) in [(1, 1024), (1024, 1024), (1025, 4096), (65_536, 65_536)] {
            assert_eq!(take_block(room).len(), bytes, "room {room}");
        }
        assert_eq!(take_block(65_537).len(), 65_537, "beyond the classes: exact");
    }

    #[test]
    fn given_block_is_taken_again() {
        let block = take_block(4096);
        let address = block.as_ptr();
        give_block(block);
        let before = allocations();
        let again = take_block(4000);
        assert_eq!(again.as_ptr(), address);
        assert_eq!(allocations(), before);
    }

    #[test]
    fn each_class_keeps_no_more_than_its_bound() {
        for bytes in CLASS_BYTES {
            let fit = FREE_BYTES_PER_CLASS / bytes;
            let blocks: Vec<_> = (0..=fit).map(|_| take_block(bytes)).collect();
            let before = free_bytes();
            blocks.into_iter().for_each(give_block);
            assert_eq!(free_bytes() - before, FREE_BYTES_PER_CLASS, "class {bytes}");
        }
    }

    #[test]
    fn what_the_list_did_is_counted() {
        let before = BlockStats::of_this_thread();
        for room in [4096, 4096, 100_000] {
            give_block(take_block(room));
        }
        give_block(Box::default());
        let after = BlockStats::of_this_thread();
        let (reused, allocated) =
            (after.reused - before.reused, after.allocated - before.allocated);
        assert_eq!((reused, allocated, after.returned - before.returned), (1, 2, 3));
        assert_eq!(after.kept - before.kept, 1);
    }

    #[test]
    fn odd_sized_block_is_not_kept() {
        let before = free_bytes();
        give_block(take_block(100_000));
        assert_eq!(free_bytes(), before);
    }

    #[test]
    fn oversized_and_surplus_lists_are_not_kept() {
        while take_list().capacity() > 0 {}
        give_list(VecDeque::with_capacity(FREE_LIST_SEGMENTS + 1));
        assert_eq!(take_list().capacity(), 0);
        for _ in 0..=FREE_LISTS {
            give_list(VecDeque::with_capacity(4));
        }
        let kept = (0..=FREE_LISTS).filter(|_| take_list().capacity() > 0).count();
        assert_eq!(kept, FREE_LISTS);
    }
}
