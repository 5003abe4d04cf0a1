//! `init` against the OpenSSL this machine has.
//!
//! One test, so that its threads make the first call of the process: the race it is about happens
//! only once.

use std::sync::Barrier;
use std::thread;

use sluicegate_tls::{Threading, init, thread_stop};

#[test]
#[expect(clippy::disallowed_methods, reason = "a race for the first call needs threads")]
fn this_library_locks_itself_and_every_thread_hears_so() {
    const THREADS: usize = 8;
    let start = Barrier::new(THREADS);
    let outcomes: Vec<_> = thread::scope(|scope| {
        let call = || {
            start.wait();
            let outcome = init();
            thread_stop();
            outcome
        };
        let threads: Vec<_> = (0..THREADS).map(|_| scope.spawn(call)).collect();
        threads.into_iter().map(|thread| thread.join().expect("init does not panic")).collect()
    });
    let version = openssl::version::version();
    assert!(!version.is_empty());
    for outcome in outcomes {
        assert_eq!(outcome, Ok(Threading::LibraryLocksItself { version }));
    }

    assert_eq!(init(), Ok(Threading::LibraryLocksItself { version }), "a later call agrees");
    thread_stop();
    let mut bytes = [0; 32];
    openssl::rand::rand_bytes(&mut bytes).expect("OpenSSL still works after thread_stop");
    assert_ne!(bytes, [0; 32]);
}
