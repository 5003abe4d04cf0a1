//! Atomics: from `std`, or from loom when the models run.
//!
//! The only file that names an atomic module, so that a model checks the code that ships. Never
//! holds logic beyond handing out group numbers.
//! Invariant: two groups of one process never carry the same number.

#[cfg(loom)]
pub(crate) use loom::sync::atomic::{AtomicU64, Ordering};
#[cfg(not(loom))]
pub(crate) use std::sync::atomic::{AtomicU64, Ordering};

/// Returns a number no other group of this process has.
///
/// Always a `std` atomic: loom's cannot live in a `static`, and no decision depends on this one.
pub(crate) fn next_group_number() -> u64 {
    use std::sync::atomic::{AtomicU64 as Counter, Ordering as Order};
    static NEXT: Counter = Counter::new(1);
    NEXT.fetch_add(1, Order::Relaxed)
}
