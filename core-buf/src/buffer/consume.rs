//! Taking bytes out of a buffer: drained, copied out, or moved to another buffer.
//!
//! Owns nothing of its own; a part of `Buffer`. Never copies where a segment can move whole, and
//! gives each block back as its last byte goes.

use super::Buffer;

impl Buffer {
    /// Forgets the first `count` bytes, or all if there are fewer; returns how many that was.
    ///
    /// O(segments dropped). Their memory goes to the free list, shared memory loses its count. When
    /// an eighth of a block is left its bytes move to a smaller one, at most 8 KiB.
    pub fn drain(&mut self, count: usize) -> usize {
        if count >= self.len {
            let all = self.len;
            self.clear();
            return all;
        }
        let mut left = count;
        while let Some(front) = self.chain.front_mut() {
            if left < front.len() {
                front.advance(left);
                break;
            }
            left -= front.len();
            self.chain.pop_front();
        }
        self.len -= count;
        count
    }

    /// Copies the first bytes into `out` and drains them; returns how many that was.
    ///
    /// Fills `out` unless the buffer holds less. O(bytes copied).
    ///
    /// # Examples
    /// ```
    /// # use sluicegate_core_buf::Buffer;
    /// let mut buffer = Buffer::new();
    /// buffer.add(b"headbody");
    /// let mut head = [0; 4];
    /// assert_eq!(buffer.remove(&mut head), 4);
    /// assert_eq!((&head, buffer.first()), (b"head", &b"body"[..]));
    /// ```
    pub fn remove(&mut self, out: &mut [u8]) -> usize {
        let count = self.copy_out(0, out);
        self.drain(count)
    }

    /// Moves the first `count` bytes, or all if there are fewer, to the end of `target`; returns
    /// how many that was.
    ///
    /// O(segments moved), and one split if the last of them goes in part: of shared memory by
    /// reference, of a block by copying the shorter side, so at most half of that segment.
    ///
    /// # Examples
    /// ```
    /// # use sluicegate_core_buf::Buffer;
    /// let (mut from, mut to) = (Buffer::new(), Buffer::new());
    /// from.add(b"abcdef");
    /// assert_eq!(from.move_to(&mut to, 4), 4);
    /// assert_eq!((from, to), (Buffer::from(b"ef"), Buffer::from(b"abcd")));
    /// ```
    #[inline]
    pub fn move_to(&mut self, target: &mut Self, count: usize) -> usize {
        if count >= self.len {
            let all = self.len;
            target.append(self);
            return all;
        }
        self.move_part(target, count)
    }

    /// As [`move_to`](Self::move_to), for less than all.
    fn move_part(&mut self, target: &mut Self, count: usize) -> usize {
        let mut left = count;
        while left > 0
            && let Some(front) = self.chain.front_mut()
        {
            if left < front.len() {
                target.attach(front.split_front(left));
                break;
            }
            left -= front.len();
            self.chain.pop_front().into_iter().for_each(|segment| target.attach(segment));
        }
        self.len -= count;
        count
    }

    /// Forgets everything and gives all memory back. O(segments).
    pub fn clear(&mut self) {
        self.chain.clear();
        self.len = 0;
    }
}
