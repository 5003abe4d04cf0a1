//! The locks lent to an OpenSSL older than 1.1.0, which has none of its own.
//!
//! Owns a fixed row of exclusive locks, each with the name of the thread that holds it. Never
//! grows, never panics, trusts nothing the C side says: an index outside the row and an unlock by
//! a thread that does not hold the lock are ignored.
//!
//! Invariant: only the thread named as owner can free a lock. That is why this is a mutex and a
//! condition variable around the owner, and not a raw lock: a raw lock freed by the wrong thread
//! is undefined behaviour, this one costs two more atomic operations and needs no `unsafe`.
//! A thread that takes a lock twice waits forever, as it would with OpenSSL's own examples.
//! Source: OpenSSL 1.0.2 threads(3). Differs: shared (`CRYPTO_READ`) locking is exclusive too,
//! and dynamic locks, which only some hardware engines used, are not supplied.

use std::ffi::{c_int, c_ulong};

use parking_lot::{Condvar, Mutex};

/// The bit of a locking mode that asks for the lock; without it the lock is given back.
pub(crate) const CRYPTO_LOCK: c_int = 1;

/// A fixed row of locks, addressed by index from C.
#[derive(Debug)]
pub(crate) struct LockTable {
    locks: Box<[Lock]>,
}

impl LockTable {
    /// Makes `count` free locks.
    pub(crate) fn new(count: usize) -> Self {
        Self { locks: (0..count).map(|_| Lock::default()).collect() }
    }

    /// Takes or gives back lock `index` for the calling thread, as `mode` says.
    ///
    /// Blocks while another thread holds the lock. An index outside the table does nothing.
    pub(crate) fn handle(&self, mode: c_int, index: c_int) {
        let Some(lock) = usize::try_from(index).ok().and_then(|index| self.locks.get(index)) else {
            return;
        };
        if mode & CRYPTO_LOCK != 0 {
            lock.take();
        } else {
            lock.give_back();
        }
    }
}

/// Returns a number that no other living thread has; never 0.
///
/// The address of a variable each thread has its own copy of: no counter, no system call. A thread
/// may inherit the number of one that has ended, which is why a core calls
/// [`thread_stop`](crate::thread_stop) before it ends.
pub(crate) fn thread_number() -> c_ulong {
    thread_local!(static MARK: u8 = const { 0 });
    // An address fits: on every Linux target `unsigned long` is as wide as a pointer.
    MARK.with(|mark| std::ptr::from_ref(mark).addr() as c_ulong)
}

/// One exclusive lock that knows its owner.
#[derive(Debug, Default)]
struct Lock {
    owner: Mutex<Option<c_ulong>>,
    freed: Condvar,
}

impl Lock {
    fn take(&self) {
        let mut owner = self.owner.lock();
        while owner.is_some() {
            self.freed.wait(&mut owner);
        }
        *owner = Some(thread_number());
    }

    fn give_back(&self) {
        let mut owner = self.owner.lock();
        if *owner == Some(thread_number()) {
            *owner = None;
            self.freed.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const UNLOCK: c_int = 2;

    fn owners(table: &LockTable) -> Vec<bool> {
        table.locks.iter().map(|lock| lock.owner.lock().is_some()).collect()
    }

    #[test]
    fn the_lock_bit_decides_whatever_else_the_mode_says() {
        let table = LockTable::new(2);
        table.handle(CRYPTO_LOCK | 8, 1);
        assert_eq!(owners(&table), [false, true]);
        table.handle(UNLOCK | 8, 1);
        assert_eq!(owners(&table), [false, false]);
    }

    #[test]
    fn an_index_outside_the_table_is_ignored() {
        let table = LockTable::new(1);
        for index in [1, -1, c_int::MAX, c_int::MIN] {
            table.handle(CRYPTO_LOCK, index);
            table.handle(UNLOCK, index);
        }
        assert_eq!(owners(&table), [false]);
    }

    #[test]
    fn giving_back_a_free_lock_leaves_it_usable() {
        let table = LockTable::new(1);
        table.handle(UNLOCK, 0);
        table.handle(CRYPTO_LOCK, 0);
        assert_eq!(owners(&table), [true]);
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "only a second thread can be the wrong owner")]
    fn a_thread_cannot_give_back_the_lock_of_another() {
        let table = LockTable::new(1);
        table.handle(CRYPTO_LOCK, 0);
        std::thread::scope(|scope| {
            scope.spawn(|| table.handle(UNLOCK, 0));
        });
        assert_eq!(owners(&table), [true]);
    }
}
