//! The atomics of the mailbox: the standard library's, or loom's in its models.
//!
//! Owns nothing; it is the one place where the two are exchanged, so that the models run the very
//! code that ships.

#[cfg(all(test, loom))]
pub(super) use loom::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, AtomicUsize, Ordering};
#[cfg(not(all(test, loom)))]
pub(super) use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, AtomicUsize, Ordering};
