//! An answer that somebody waits for, given once whatever happens to who owes it.
//!
//! Owns the answer until it is taken. A [`Promise`] holds at all times the answer that it gives
//! when it is dropped: because its message was refused, its core has stopped, or what was to keep
//! it panics. Giving an answer is changing that one and dropping the promise, so there is no other
//! way out.
//!
//! Invariant: whoever waits is answered as soon as the promise is gone.

use std::sync::Arc;

use parking_lot::{Condvar, Mutex};

/// An answer that is still to come, or has come.
#[derive(Clone, Debug)]
pub(crate) struct Pending<T>(Arc<Desk<T>>);

/// The duty to answer.
#[derive(Debug)]
pub(crate) struct Promise<T> {
    desk: Arc<Desk<T>>,
    /// The answer if it is dropped now; `None` once it has been given.
    answer: Option<T>,
}

/// Where the answer is left.
#[derive(Debug)]
struct Desk<T> {
    answer: Mutex<Option<T>>,
    given: Condvar,
}

impl<T> Pending<T> {
    /// What `look` makes of the answer; it finds `None` while there is none.
    pub(crate) fn look<R>(&self, look: impl FnOnce(&mut Option<T>) -> Option<R>) -> Option<R> {
        look(&mut self.0.answer.lock())
    }

    /// Waits until `look` makes something of the answer.
    pub(crate) fn wait<R>(&self, look: impl Fn(&mut Option<T>) -> Option<R>) -> R {
        let mut answer = self.0.answer.lock();
        loop {
            if let Some(made) = look(&mut answer) {
                return made;
            }
            self.0.given.wait(&mut answer);
        }
    }
}

impl<T> Promise<T> {
    /// A promise that answers so if nothing better comes.
    pub(crate) fn new(otherwise: T) -> (Pending<T>, Self) {
        let desk = Arc::new(Desk { answer: Mutex::new(None), given: Condvar::new() });
        (Pending(desk.clone()), Self { desk, answer: Some(otherwise) })
    }

    /// Changes what it answers if it is dropped; returns what that was.
    pub(crate) fn fall_back_on(&mut self, otherwise: T) -> Option<T> {
        self.answer.replace(otherwise)
    }

    /// Answers.
    pub(crate) fn keep(mut self, answer: T) {
        self.answer = Some(answer);
    }
}

impl<T> Drop for Promise<T> {
    fn drop(&mut self) {
        *self.desk.answer.lock() = self.answer.take();
        self.desk.given.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_promise_answers_with_what_it_was_last_given() {
        let (pending, mut promise) = Promise::new("dropped");
        assert_eq!(pending.look(|answer| *answer), None);
        assert_eq!(promise.fall_back_on("lost"), Some("dropped"));
        drop(promise);
        assert_eq!(pending.wait(|answer| *answer), "lost");
        let (pending, promise) = Promise::new("dropped");
        promise.keep("kept");
        assert_eq!(pending.wait(Option::take), "kept");
    }

    #[test]
    fn one_that_unwinds_answers_too() {
        let (pending, promise) = Promise::new("dropped");
        let work = std::panic::catch_unwind(std::panic::AssertUnwindSafe(move || {
            let _owed = promise;
            panic!("asked to");
        }));
        assert!(work.is_err());
        assert_eq!(pending.wait(Option::take), "dropped");
    }
}
