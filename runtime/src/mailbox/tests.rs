//! The mailbox with real threads; every loop is bounded by a number of messages.

use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::{Duration, Instant};

use super::*;

/// A mailbox whose wakes are only counted.
fn silent<M: Send>() -> Mailbox<M> {
    Mailbox::new(Box::new(|| ()))
}

fn drain<M: Send>(mailbox: &Mailbox<M>) -> Vec<M> {
    let mut taken = VecDeque::new();
    mailbox.take(usize::MAX, &mut taken);
    taken.into()
}

#[test]
fn messages_of_one_sender_arrive_in_order_and_the_depth_follows() {
    let mailbox = silent();
    for message in 0..100 {
        assert_eq!(mailbox.send(message), Ok(()));
    }
    assert_eq!(mailbox.stats().depth, 100);
    assert_eq!(drain(&mailbox), (0..100).collect::<Vec<_>>());
    assert_eq!(mailbox.stats().depth, 0);
}

#[test]
fn no_more_messages_are_taken_than_asked_for_and_the_rest_waits() {
    let mailbox = silent();
    (0..5).for_each(|message| assert_eq!(mailbox.send(message), Ok(())));
    let mut taken = VecDeque::from([-1]);
    assert_eq!(mailbox.take(3, &mut taken), 3);
    assert_eq!((taken, mailbox.stats().depth), (VecDeque::from([-1, 0, 1, 2]), 2));
    assert!(!mailbox.is_empty());
    assert_eq!(drain(&mailbox), [3, 4]);
    assert!(mailbox.is_empty());
}

#[test]
fn an_awake_core_is_not_woken_and_a_sleeping_one_once() {
    let mailbox = silent();
    assert_eq!(mailbox.send('a'), Ok(()));
    assert_eq!(mailbox.stats().wakes_sent, 0);
    assert!(!mailbox.park(), "a message waits");
    mailbox.unpark();
    assert_eq!(drain(&mailbox), ['a']);

    assert!(mailbox.park());
    assert_eq!(mailbox.send('b'), Ok(()));
    assert_eq!(mailbox.send('c'), Ok(()));
    let stats = MailboxStats { depth: 2, wakes_sent: 1, wakes_suppressed: 2 };
    assert_eq!(mailbox.stats(), stats);
}

#[test]
fn a_batch_wakes_once_and_keeps_its_allocation() {
    let mailbox = silent();
    assert!(mailbox.park());
    let mut batch: Vec<_> = (0..50).collect();
    let capacity = batch.capacity();
    assert_eq!(mailbox.send_batch(&mut batch), Ok(()));
    assert_eq!((batch.len(), batch.capacity()), (0, capacity));
    let stats = MailboxStats { depth: 50, wakes_sent: 1, wakes_suppressed: 0 };
    assert_eq!(mailbox.stats(), stats);
    assert_eq!(mailbox.send_batch(&mut batch), Ok(()));
    assert_eq!(mailbox.stats(), stats, "an empty batch does nothing");
    assert_eq!(drain(&mailbox), (0..50).collect::<Vec<_>>());
}

#[test]
fn the_cap_refuses_only_those_who_ask_for_it() {
    let mailbox = silent();
    assert_eq!(mailbox.try_send('a', 1), Ok(()));
    assert_eq!(mailbox.try_send('b', 1), Err(Refused::Full('b')));
    assert_eq!(mailbox.send('c'), Ok(()));
    assert_eq!(drain(&mailbox), ['a', 'c']);
    assert_eq!(mailbox.try_send('d', 1), Ok(()));
}

#[test]
fn a_closed_mailbox_passes_on_what_it_had_and_refuses_the_rest() {
    let mailbox = silent();
    assert_eq!(mailbox.send(1), Ok(()));
    let mut taken = Vec::new();
    mailbox.close(|message| {
        taken.push(message);
        assert_eq!(mailbox.send(2), Err(2), "a message sent while closing");
    });
    assert_eq!(taken, [1]);
    assert_eq!(mailbox.send(3), Err(3));
    assert_eq!(mailbox.try_send(4, 1), Err(Refused::Stopped(4)));
    let mut batch = vec![5, 6];
    assert_eq!(mailbox.send_batch(&mut batch), Err(Stopped));
    assert_eq!(batch, [5, 6]);
    assert_eq!(mailbox.stats().depth, 0);
}

/// A core that sleeps for real: its wake function unparks its thread, and each wake is counted.
#[test]
fn no_message_and_no_wake_is_lost_among_threads() {
    const SENDERS: u64 = 4;
    const EACH: u64 = 20_000;
    /// Far longer than any sender needs to be scheduled.
    const LOST: Duration = Duration::from_secs(60);

    let core = thread::current();
    let woken = Arc::new(AtomicBool::new(false));
    let set_woken = Arc::clone(&woken);
    let mailbox = Mailbox::new(Box::new(move || {
        assert!(!set_woken.swap(true, Ordering::SeqCst), "two wakes for one sleep");
        core.unpark();
    }));
    let mut next = [0; SENDERS as usize];
    let mut sleeps = 0;
    thread::scope(|scope| {
        for sender in 0..SENDERS {
            let mailbox = &mailbox;
            scope.spawn(move || {
                for number in 0..EACH {
                    assert_eq!(mailbox.send((sender, number)), Ok(()));
                }
            });
        }
        let mut left = SENDERS * EACH;
        while left > 0 {
            if mailbox.park() {
                sleeps += 1;
                let asleep = Instant::now();
                while !woken.swap(false, Ordering::SeqCst) {
                    thread::park_timeout(LOST);
                    assert!(asleep.elapsed() < LOST, "a wake was lost");
                }
            }
            mailbox.unpark();
            for (sender, number) in drain(&mailbox) {
                assert_eq!(number, next[sender as usize], "a message lost, doubled or reordered");
                next[sender as usize] += 1;
                left -= 1;
            }
        }
    });
    let stats = mailbox.stats();
    assert_eq!(stats.depth, 0);
    assert_eq!(stats.wakes_sent, sleeps, "every sleep here ended by exactly one wake");
    assert_eq!(stats.wakes_sent + stats.wakes_suppressed, SENDERS * EACH);
}

#[test]
fn closing_among_threads_loses_nothing_that_was_accepted() {
    const ROUNDS: usize = 300;
    const SENDERS: usize = 3;
    const EACH: usize = 50;

    for round in 0..ROUNDS {
        let mailbox = silent();
        let accepted = AtomicU64::new(0);
        let start = Barrier::new(SENDERS + 1);
        let mut taken = 0;
        thread::scope(|scope| {
            for _ in 0..SENDERS {
                scope.spawn(|| {
                    start.wait();
                    let sent = (0..EACH).take_while(|&number| mailbox.send(number).is_ok());
                    accepted.fetch_add(sent.count() as u64, Ordering::SeqCst);
                });
            }
            start.wait();
            // A few messages later each round, so that closing falls in many places.
            while taken < round as u64 % 100 {
                taken += mailbox.take(1, &mut VecDeque::new()) as u64;
            }
            mailbox.close(|_| taken += 1);
        });
        assert_eq!(taken, accepted.into_inner());
        assert_eq!(drain(&mailbox), []);
    }
}
