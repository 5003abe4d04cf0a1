//! A chain: the segments of a buffer in order, the first of them in place.
//!
//! Owns its segments. Never allocates for fewer than two of them: most buffers of most connections
//! hold none or one. The list for the others comes from the thread's free list and goes back there
//! when the chain runs empty.
//!
//! Invariants: without a first segment there are no others.

use std::collections::VecDeque;
use std::mem;

use super::pool;
use super::segment::Segment;

#[derive(Debug, Default)]
pub(super) struct Chain {
    first: Option<Segment>,
    rest: VecDeque<Segment>,
}

impl Chain {
    pub(super) const fn new() -> Self {
        Self { first: None, rest: VecDeque::new() }
    }

    /// Puts a segment at the end. O(1), amortised.
    pub(super) fn push_back(&mut self, segment: Segment) {
        if self.first.is_none() {
            self.first = Some(segment);
            return;
        }
        self.take_list_for_rest();
        self.rest.push_back(segment);
    }

    /// Puts a segment at the front. O(1), amortised.
    pub(super) fn push_front(&mut self, segment: Segment) {
        if let Some(second) = self.first.replace(segment) {
            self.take_list_for_rest();
            self.rest.push_front(second);
        }
    }

    /// Gives the only segment to an empty chain; `false` if there are more, or that is not empty.
    #[inline]
    pub(super) fn hand_over(&mut self, target: &mut Self) -> bool {
        let moves =
            self.rest.capacity() == 0 && target.rest.capacity() == 0 && target.first.is_none();
        if moves {
            target.first = self.first.take();
        }
        moves
    }

    /// Takes the first segment off. O(1).
    pub(super) fn pop_front(&mut self) -> Option<Segment> {
        let segment = mem::replace(&mut self.first, self.rest.pop_front());
        if self.first.is_none() {
            self.give_list_back();
        }
        segment
    }

    /// Takes the last segment off. O(1).
    pub(super) fn pop_back(&mut self) -> Option<Segment> {
        self.rest.pop_back().or_else(|| {
            self.give_list_back();
            self.first.take()
        })
    }

    /// Drops every segment. O(segments).
    pub(super) fn clear(&mut self) {
        self.first = None;
        if self.rest.capacity() > 0 {
            self.rest.clear();
            self.give_list_back();
        }
    }

    pub(super) fn front_mut(&mut self) -> Option<&mut Segment> {
        self.first.as_mut()
    }

    pub(super) fn back_mut(&mut self) -> Option<&mut Segment> {
        self.rest.back_mut().or(self.first.as_mut())
    }

    pub(super) fn front(&self) -> Option<&Segment> {
        self.first.as_ref()
    }

    pub(super) fn back(&self) -> Option<&Segment> {
        self.rest.back().or(self.first.as_ref())
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Segment> + Clone {
        self.first.iter().chain(&self.rest)
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Segment> {
        self.first.iter_mut().chain(&mut self.rest)
    }

    pub(super) fn count(&self) -> usize {
        usize::from(self.first.is_some()) + self.rest.len()
    }

    fn take_list_for_rest(&mut self) {
        if self.rest.capacity() == 0 {
            self.rest = pool::take_list();
        }
    }

    /// Most chains never had a list, and find that out in one compare.
    #[inline]
    fn give_list_back(&mut self) {
        if self.rest.capacity() > 0 {
            pool::give_list(mem::take(&mut self.rest));
        }
    }
}

impl Drop for Chain {
    fn drop(&mut self) {
        self.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::super::block::Block;
    use super::*;

    fn segment(len: usize) -> Segment {
        Segment::owned(Block::with_room(len), len)
    }

    #[test]
    fn list_is_taken_for_the_second_segment_and_given_back_when_empty() {
        while pool::take_list().capacity() > 0 {}
        pool::give_list(VecDeque::with_capacity(50));
        let mut chain = Chain::new();
        chain.push_back(segment(1));
        assert_eq!(chain.rest.capacity(), 0);
        chain.push_back(segment(1));
        assert!(chain.rest.capacity() >= 50, "the kept list is used");
        chain.pop_front();
        assert!(chain.rest.capacity() >= 50, "not yet empty");
        chain.pop_front();
        assert_eq!((chain.rest.capacity(), chain.count()), (0, 0));
        assert!(pool::take_list().capacity() >= 50, "the list came back");
    }

    #[test]
    fn segments_keep_their_order_at_either_end() {
        let lengths = |chain: &Chain| chain.iter().map(Segment::len).collect::<Vec<_>>();
        let mut chain = Chain::new();
        for len in [3, 2, 1] {
            chain.push_front(segment(len));
        }
        chain.push_back(segment(4));
        assert_eq!(lengths(&chain), [1, 2, 3, 4]);
        for (len, left) in [(4, 3), (3, 2), (2, 1), (1, 0)] {
            assert_eq!(chain.pop_back().map(|segment| segment.len()), Some(len));
            assert_eq!(chain.count(), left);
        }
        assert!(chain.pop_back().is_none());
        assert_eq!(chain.rest.capacity(), 0, "an emptied chain keeps no list");
    }
}
