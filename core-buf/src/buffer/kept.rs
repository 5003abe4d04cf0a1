//! What a buffer keeps for somebody else, an owner of bytes or a source: counted, and let go of
//! without a panic.
//!
//! Owns the count on it. Its `Drop` is user code, and it runs wherever bytes are consumed: between
//! a system call and its accounts, or in the midst of a chain. So a panic there ends here; it is
//! noted for the thread, which may ask for it where it can answer.

use std::cell::Cell;
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

thread_local! {
    static PANICS: Cell<u64> = const { Cell::new(0) };
}

/// A count on something that somebody else made.
pub(super) struct Kept<T: ?Sized>(Option<Arc<T>>);

impl<T: ?Sized> Kept<T> {
    pub(super) fn new(kept: Arc<T>) -> Self {
        Self(Some(kept))
    }

    /// One more count on the same.
    pub(super) fn share(&self) -> Self {
        Self(self.0.clone())
    }

    pub(super) fn get(&self) -> &T {
        self.0.as_deref().expect("it is taken out only as it is dropped")
    }
}

impl<T: ?Sized> Drop for Kept<T> {
    fn drop(&mut self) {
        let kept = self.0.take();
        if let Err(thrown) = catch_unwind(AssertUnwindSafe(|| drop(kept))) {
            PANICS.set(PANICS.get().wrapping_add(1));
            // It might panic as well.
            mem::forget(thrown);
        }
    }
}

/// How many owners and sources have panicked as this thread let go of them, since it last asked.
///
/// Such a panic has printed its message, and has gone no further: the buffer is whole. O(1).
///
/// # Examples
/// ```
/// # use sluicegate_core_buf::{Buffer, take_drop_panics};
/// struct Page;
/// impl AsRef<[u8]> for Page {
///     fn as_ref(&self) -> &[u8] {
///         b"page"
///     }
/// }
/// impl Drop for Page {
///     fn drop(&mut self) {
///         panic!("no");
///     }
/// }
///
/// let mut buffer = Buffer::new();
/// buffer.add_owner(Page);
/// buffer.add(b"!");
/// buffer.drain(4);
/// assert_eq!(buffer, *b"!");
/// assert_eq!((take_drop_panics(), take_drop_panics()), (1, 0));
/// ```
pub fn take_drop_panics() -> u64 {
    PANICS.take()
}

#[cfg(test)]
mod tests {
    use std::panic::panic_any;

    use super::*;
    use crate::{Buffer, Source};

    /// Panics as it is dropped, with something that does so too.
    struct Mine;

    impl AsRef<[u8]> for Mine {
        fn as_ref(&self) -> &[u8] {
            &[7; 1000]
        }
    }

    impl Source for Mine {
        fn len(&self) -> u64 {
            1000
        }

        fn read_at(&self, _: u64, room: &mut [u8]) -> std::io::Result<usize> {
            room.fill(7);
            Ok(room.len())
        }
    }

    impl Drop for Mine {
        fn drop(&mut self) {
            struct Shrapnel;
            impl Drop for Shrapnel {
                fn drop(&mut self) {
                    panic!("asked to as what was thrown is dropped");
                }
            }
            panic_any(Shrapnel);
        }
    }

    #[test]
    fn a_buffer_is_whole_though_an_owner_panics() {
        let mut buffer = Buffer::from(b"before");
        buffer.add_owner(Mine);
        buffer.add(b"after");
        let mut other = Buffer::new();
        other.append_shared(&mut buffer);
        buffer.drain(6 + 1000);
        assert_eq!((&buffer == b"after", take_drop_panics()), (true, 0), "another keeps it");
        other.drain(6 + 999);
        assert_eq!((other.len(), take_drop_panics()), (6, 0));
        other.drain(1);
        assert_eq!((&other == b"after", take_drop_panics()), (true, 1));
    }

    #[test]
    fn a_source_may_panic_as_well_and_so_may_all_of_a_buffer_at_once() {
        let mut buffer = Buffer::new();
        for _ in 0..3 {
            buffer.add_source(Arc::new(Mine)).expect("it fits");
            buffer.add_owner(Mine);
        }
        drop(buffer);
        assert_eq!(take_drop_panics(), 6);
    }
}
