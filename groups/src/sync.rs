//! Atomics and the lock: the standard library's and parking_lot's, or loom's when the models run.
//!
//! The only file that names an atomic module, so that a model checks the code that ships. Never
//! holds logic beyond handing out group numbers.
//! Invariant: two groups of one process never carry the same number.

#[cfg(all(test, loom))]
pub(crate) use loom::sync::atomic::{AtomicU64, Ordering};
#[cfg(not(all(test, loom)))]
pub(crate) use std::sync::atomic::{AtomicU64, Ordering};

#[cfg(not(all(test, loom)))]
pub(crate) use parking_lot::Mutex;

#[cfg(all(test, loom))]
pub(crate) use self::modelled::Mutex;

/// A number that is only counted and shown: `std`'s also in a model, as no decision depends on it.
pub(crate) use std::sync::atomic::AtomicU64 as Counter;

/// Returns a number no other group of this process has.
///
/// Not loom's, which cannot live in a `static`.
pub(crate) fn next_group_number() -> u64 {
    static NEXT: Counter = Counter::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

#[cfg(all(test, loom))]
mod modelled {
    use loom::sync::MutexGuard;

    /// Loom's lock with parking_lot's interface: it cannot be poisoned.
    #[derive(Debug)]
    pub(crate) struct Mutex<T>(loom::sync::Mutex<T>);

    impl<T> Mutex<T> {
        pub(crate) fn new(value: T) -> Self {
            Self(loom::sync::Mutex::new(value))
        }

        pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
            self.0.lock().expect("a model ends with its first panic")
        }
    }
}
