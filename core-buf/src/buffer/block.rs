//! A block: a run of initialised memory with one owner.
//!
//! Owns bytes from the thread's free list and returns them there when dropped, on whichever thread
//! that happens. Never shared and never resized. What it holds is unspecified but initialised; the
//! segment around it knows which part means something.

use std::fmt;
use std::mem;
use std::ops::{Deref, DerefMut};

use super::pool;

/// Memory of one segment. The default is an empty block, which owns nothing.
#[derive(Default)]
pub(super) struct Block {
    bytes: Box<[u8]>,
}

impl Block {
    /// A block of at least `room` bytes: of the smallest class that fits, else of just that size.
    pub(super) fn with_room(room: usize) -> Self {
        Self { bytes: pool::take_block(room) }
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        pool::give_block(mem::take(&mut self.bytes));
    }
}

impl AsRef<[u8]> for Block {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Deref for Block {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

impl DerefMut for Block {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.bytes
    }
}

impl fmt::Debug for Block {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Block({} bytes)", self.bytes.len())
    }
}
