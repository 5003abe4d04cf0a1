//! Names for bufferevents that never come to mean another one.
//!
//! Owns the numbering only. A slot is reused, a name is not: the generation counts up whenever a
//! slot is given up, and a slot whose generation would wrap is retired for good.

use std::fmt;
use std::num::NonZeroU32;

/// The name of one bufferevent on one core.
///
/// # Shape
/// `Copy + Send`; keep it as long as you like. Once its bufferevent is gone it finds nothing.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BevId {
    pub(crate) core: u16,
    pub(crate) key: Key,
}

impl BevId {
    /// The core that owns the bufferevent.
    pub fn core(self) -> usize {
        usize::from(self.core)
    }
}

impl fmt::Debug for BevId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BevId({}:{}.{})", self.core, self.key.slot, self.key.generation)
    }
}

impl fmt::Display for BevId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}.{}", self.core, self.key.slot, self.key.generation)
    }
}

/// A slot of a core, as it was at one time; names sockets to the driver.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Key {
    /// Index of the slot in its core.
    pub(crate) slot: u32,
    /// One more than how often the slot had been given up when this name was made: so an optional
    /// key is no larger.
    pub(crate) generation: NonZeroU32,
}

impl Key {
    /// The key as one word.
    pub(crate) fn to_bits(self) -> u64 {
        u64::from(self.generation.get()) << 32 | u64::from(self.slot)
    }

    /// The key that [`to_bits`](Self::to_bits) made this word of.
    ///
    /// # Panics
    /// Of a word below 2^32, which it makes of none.
    pub(crate) fn from_bits(bits: u64) -> Self {
        let generation = NonZeroU32::new((bits >> 32) as u32).expect("a key has a generation");
        Self { slot: bits as u32, generation }
    }
}
