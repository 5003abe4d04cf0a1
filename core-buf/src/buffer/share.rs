//! Adding bytes by reference: memory that others read too, let go of with its last byte.
//!
//! Owns nothing of its own; a part of `Buffer`. Never copies, and never writes into what it shares.
//! Clean-up is the owner's `Drop`: it runs once, on whichever thread lets the last count go.
//!
//! Source: libevent 2.1.12 `evbuffer_add_reference`, `evbuffer_add_buffer_reference`. Differs: a
//! reference may be moved, split and referred to again; a buffer cannot be appended to itself.

use std::ops::Range;
use std::sync::Arc;

use super::Buffer;
use super::segment::Segment;

impl Buffer {
    /// Adds `bytes` at the end by reference: O(1), nothing is copied.
    ///
    /// The count on `bytes` is given up when the last of them is consumed. The same memory may be
    /// in any number of buffers, on any core.
    ///
    /// # Examples
    /// ```
    /// # use sluicegate_core_buf::Buffer;
    /// use std::sync::Arc;
    ///
    /// let page: Arc<[u8]> = Arc::from(&b"the same page for everyone"[..]);
    /// let mut output = Buffer::new();
    /// output.add_shared(Arc::clone(&page));
    /// assert_eq!(output.first().as_ptr(), page.as_ptr());
    /// ```
    pub fn add_shared(&mut self, bytes: Arc<[u8]>) {
        let all = 0..bytes.len();
        self.add_shared_range(bytes, all);
    }

    /// Adds the bytes of `bytes` inside `range` at the end by reference: O(1), nothing is copied.
    ///
    /// # Panics
    /// If `range` does not lie inside `bytes`.
    pub fn add_shared_range(&mut self, bytes: Arc<[u8]>, range: Range<usize>) {
        assert!(
            range.start <= range.end && range.end <= bytes.len(),
            "range {range:?} does not lie inside {} shared bytes",
            bytes.len()
        );
        if !range.is_empty() {
            self.attach(Segment::shared(bytes, range));
        }
    }

    /// Adds all bytes of `owner` at the end by reference, and drops it once the last is consumed.
    ///
    /// The owner may be anything that keeps bytes: a vector, a static slice, a memory map, a value
    /// whose `Drop` tells somebody, and ends there should it panic, see
    /// [`take_drop_panics`](crate::take_drop_panics). It must show the same bytes each time it is
    /// asked. O(1): one allocation, and a call of `as_ref` for each look at the segment.
    ///
    /// # Panics
    /// Not here, but where bytes are looked at, if `owner` then shows fewer.
    ///
    /// # Examples
    /// ```
    /// # use sluicegate_core_buf::Buffer;
    /// let mut output = Buffer::new();
    /// output.add_owner("a static page");
    /// output.add_owner(vec![b'!'; 3]);
    /// assert_eq!(output, *b"a static page!!!");
    /// ```
    pub fn add_owner(&mut self, owner: impl AsRef<[u8]> + Send + Sync + 'static) {
        let len = owner.as_ref().len();
        if len > 0 {
            self.attach(Segment::lent(Arc::new(owner), len));
        }
    }

    /// Adds all bytes of `other` at the end by reference, and leaves them in `other` too.
    ///
    /// So one message goes to many receivers. O(segments of `other`): a block of `other` becomes
    /// shared memory, which takes one allocation, and what is added to `other` later begins a new
    /// one; up to an eighth of a block is copied instead.
    ///
    /// # Examples
    /// ```
    /// # use sluicegate_core_buf::Buffer;
    /// let mut news = Buffer::from(&[7; 1_000]);
    /// let mut receivers = [Buffer::new(), Buffer::new()];
    /// for output in &mut receivers {
    ///     output.append_shared(&mut news);
    /// }
    /// assert_eq!(receivers[0].first().as_ptr(), receivers[1].first().as_ptr());
    /// assert_eq!(news, receivers[0]);
    /// ```
    pub fn append_shared(&mut self, other: &mut Self) {
        for segment in other.chain.iter_mut() {
            match segment.thin_bytes() {
                Some(bytes) => self.add(bytes),
                None => self.attach(segment.share()),
            }
        }
    }

    /// Adds `bytes` at the end by reference.
    ///
    /// O(1): one allocation, nothing is copied.
    #[cfg(feature = "bytes")]
    pub fn add_bytes(&mut self, bytes: bytes::Bytes) {
        self.add_owner(bytes);
    }
}

#[cfg(feature = "bytes")]
impl From<bytes::Bytes> for Buffer {
    /// A buffer that refers to `bytes`.
    fn from(bytes: bytes::Bytes) -> Self {
        let mut buffer = Self::new();
        buffer.add_bytes(bytes);
        buffer
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An owner whose drop is seen by whoever keeps the other count.
    struct Kept(Arc<[u8]>);

    impl AsRef<[u8]> for Kept {
        fn as_ref(&self) -> &[u8] {
            &self.0
        }
    }

    fn kept(len: usize) -> (Kept, Arc<[u8]>) {
        let bytes: Arc<[u8]> = vec![7; len].into();
        (Kept(Arc::clone(&bytes)), bytes)
    }

    #[test]
    fn owner_is_dropped_with_its_last_byte_wherever_that_is() {
        let (owner, seen) = kept(100);
        let (mut one, mut two) = (Buffer::new(), Buffer::new());
        one.add_owner(owner);
        assert_eq!(one.first().as_ptr(), seen.as_ptr(), "nothing was copied");
        one.move_to(&mut two, 60);
        assert_eq!(Arc::strong_count(&seen), 2, "one owner, however many segments");
        one.clear();
        two.drain(59);
        assert_eq!(Arc::strong_count(&seen), 2);
        two.drain(1);
        assert_eq!(Arc::strong_count(&seen), 1);
    }

    #[test]
    fn owner_of_nothing_is_dropped_at_once() {
        let (owner, seen) = kept(0);
        let mut buffer = Buffer::new();
        buffer.add_owner(owner);
        assert_eq!((Arc::strong_count(&seen), buffer.segment_count()), (1, 0));
    }

    #[test]
    fn nothing_is_written_around_lent_bytes() {
        let (owner, seen) = kept(10);
        let mut buffer = Buffer::new();
        buffer.add_owner(owner);
        buffer.drain(5);
        buffer.prepend(b"before");
        buffer.add(b"behind");
        assert_eq!(buffer, *b"before\x07\x07\x07\x07\x07behind");
        assert_eq!(*seen, [7; 10]);
    }

    #[test]
    fn shared_block_serves_every_receiver_and_then_the_free_list() {
        let mut news = Buffer::from(&[7; 1_000]);
        let address = news.first().as_ptr();
        let mut outputs = [const { Buffer::new() }; 3];
        for output in &mut outputs {
            output.append_shared(&mut news);
            assert_eq!((output.first().as_ptr(), output.len()), (address, 1_000));
        }
        news.add(b"more");
        news.prepend(b"less");
        assert!(outputs.iter().all(|output| *output == [7; 1_000]), "receivers see no change");
        let before = super::super::pool::free_bytes();
        drop(news);
        drop(outputs);
        assert_eq!(super::super::pool::free_bytes() - before, 3 * 1024);
    }

    #[test]
    fn few_bytes_are_copied_to_receivers() {
        let mut news = Buffer::from(b"short");
        let mut output = Buffer::new();
        output.append_shared(&mut news);
        assert_ne!(output.first().as_ptr(), news.first().as_ptr());
        assert_eq!(output, news);
    }

    #[test]
    fn what_was_shared_is_shared_again() {
        let (owner, seen) = kept(100);
        let mut buffers = [const { Buffer::new() }; 3];
        buffers[0].add_owner(owner);
        buffers[0].add_shared(Arc::clone(&seen));
        for (from, to) in [(0, 1), (1, 2), (2, 0)] {
            let [from, to] = buffers.get_disjoint_mut([from, to]).expect("not the same");
            to.append_shared(from);
        }
        assert_eq!(buffers.map(|buffer| buffer.len()), [400, 200, 200]);
        assert_eq!(Arc::strong_count(&seen), 1);
    }

    #[cfg(feature = "bytes")]
    #[test]
    fn bytes_are_referred_to_and_let_go() {
        let (owner, seen) = kept(10);
        let mut buffer = Buffer::from(bytes::Bytes::from_owner(owner));
        assert_eq!((buffer.first().as_ptr(), Arc::strong_count(&seen)), (seen.as_ptr(), 2));
        buffer.drain(10);
        assert_eq!(Arc::strong_count(&seen), 1);
    }
}
