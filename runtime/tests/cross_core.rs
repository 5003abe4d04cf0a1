//! Messages to cores: none is lost or overtakes another of its sender, a full or stopped core says
//! so, and a sleeping core is woken once.

mod rig;

use std::collections::HashMap;
use std::sync::mpsc::{self, Sender};
use std::sync::{Arc, Mutex};
use std::thread;

use rig::{BOUND, Server, eventually, receive};
use sluicegate::{Core, Handle, Shutdown, Stopped, SubmitError};

/// One write wakes a core from a sleep, however many send to it meanwhile.
///
/// Of cores that nobody sends to any more: each comes to sleep once more than it was woken. Until
/// then one may have been woken from a sleep that is not counted yet.
fn assert_one_wake_a_sleep(handle: &Handle) {
    eventually("each wake ended a sleep of its own", || {
        handle.stats().iter().all(|core| core.wakes_sent < core.sleeps)
    });
}

#[test]
fn a_hundred_thousand_messages_arrive_in_the_order_of_each_sender() {
    const SENDERS: u64 = 4;
    const EACH: u64 = 25_000;
    let server = Server::idle(2);
    let seen: Arc<Mutex<HashMap<u64, u64>>> = Arc::default();
    thread::scope(|scope| {
        for sender in 0..SENDERS {
            let (handle, seen) = (server.handle.clone(), seen.clone());
            scope.spawn(move || {
                for number in 0..EACH {
                    let seen = seen.clone();
                    let task = move |_: &mut Core| {
                        let mut seen = seen.lock().expect("no panic while held");
                        let next = seen.entry(sender).or_default();
                        // One that is lost or overtaken stops the count for good.
                        if *next == number {
                            *next += 1;
                        }
                    };
                    handle.submit_to(1, task).expect("the core runs");
                }
            });
        }
    });
    eventually("every message is carried out", || {
        let stats = server.handle.stats();
        stats[1].messages == SENDERS * EACH && stats[1].mailbox_depth == 0
    });
    let seen = seen.lock().expect("no panic while held");
    assert_eq!(*seen, (0..SENDERS).map(|sender| (sender, EACH)).collect());
    assert_one_wake_a_sleep(&server.handle);
    let stats = server.handle.stats();
    assert_eq!(stats[1].wakes_sent + stats[1].wakes_suppressed, SENDERS * EACH);
    assert_eq!(stats[0].messages, 0, "the other core was not asked");
}

/// Passes on to the other core until `hops` have been made.
fn hop(core: &mut Core, hops: u32, done: Sender<usize>) {
    if hops == 0 {
        done.send(core.index()).expect("the test waits");
    } else {
        let next = move |core: &mut Core| hop(core, hops - 1, done);
        core.submit_to(1 - core.index(), next).expect("there are two cores");
    }
}

#[test]
fn a_message_between_idle_cores_does_not_wait_for_anything_else() {
    const HOPS: u32 = 1001;
    let server = Server::idle(2);
    let (done, arrival) = mpsc::channel();
    server.on_core(0, move |core| hop(core, HOPS, done));
    assert_eq!(receive(&arrival), 1);
    eventually("the figures are out", || server.sum(|core| core.messages) == u64::from(HOPS) + 1);
    assert_one_wake_a_sleep(&server.handle);
}

#[test]
fn messages_of_one_turn_go_out_together_and_in_order() {
    const MESSAGES: usize = 10_000;
    let server = Server::idle(2);
    let (arrived, arrivals) = mpsc::channel();
    server.on_core(0, move |core| {
        for number in 0..MESSAGES {
            let arrived = arrived.clone();
            let task = move |_: &mut Core| arrived.send(number).expect("the test waits");
            core.submit_to(1, task).expect("there are two cores");
        }
    });
    for number in 0..MESSAGES {
        assert_eq!(receive(&arrivals), number);
    }
    let stats = server.handle.stats();
    assert_eq!(stats[1].wakes_sent + stats[1].wakes_suppressed, 1, "it was one batch");
}

#[test]
fn a_core_may_send_to_itself_for_later() {
    let server = Server::idle(1);
    let (told, tells) = mpsc::channel();
    server.on_core(0, move |core| {
        let later = told.clone();
        let task = move |_: &mut Core| later.send("later").expect("the test waits");
        core.submit_to(0, task).expect("it is there");
        told.send("now").expect("the test waits");
    });
    assert_eq!([receive(&tells), receive(&tells)], ["now", "later"]);
}

#[test]
fn a_broadcast_reaches_every_core_once() {
    let server = Server::idle(4);
    let (told, tells) = mpsc::channel();
    let task = move |core: &mut Core| told.send(core.index()).expect("the test waits");
    server.handle.broadcast(task).expect("all cores run");
    let mut reached: Vec<usize> = (0..4).map(|_| receive(&tells)).collect();
    reached.sort_unstable();
    assert_eq!(reached, [0, 1, 2, 3]);
    assert_eq!(tells.recv_timeout(BOUND), Err(mpsc::RecvTimeoutError::Disconnected));
}

#[test]
fn a_full_core_refuses_when_asked_to_and_takes_more_when_it_has_caught_up() {
    const CAP: usize = 10;
    let server = Server::idle(1);
    let (entered, entries) = mpsc::channel();
    let (release, released) = mpsc::channel::<()>();
    let block = move |_: &mut Core| {
        entered.send(()).expect("the test waits");
        receive(&released);
    };
    server.handle.submit_to(0, block).expect("the core runs");
    receive(&entries);

    let (done, dones) = mpsc::channel();
    let attempt = |number: usize| {
        let done = done.clone();
        server.handle.try_submit_to(0, CAP, move |_| done.send(number).expect("the test waits"))
    };
    for number in 0..CAP {
        assert_eq!(attempt(number), Ok(()));
    }
    assert_eq!(server.handle.stats()[0].mailbox_depth, CAP as u64);
    let full = attempt(CAP).expect_err("ten wait already");
    assert_eq!(full, SubmitError::Full { core: 0, cap: CAP });
    assert_eq!(full.to_string(), "core 0 has 10 messages waiting: try later, or allow more");

    release.send(()).expect("the core waits");
    for number in 0..CAP {
        assert_eq!(receive(&dones), number);
    }
    assert_eq!(attempt(CAP), Ok(()));
    assert_eq!(receive(&dones), CAP);
}

#[test]
fn a_core_that_has_stopped_or_never_was_says_so() {
    let server = Server::idle(2);
    let handle = server.handle.clone();
    assert_eq!(handle.submit_to(7, |_| ()), Err(Stopped { core: 7 }));
    handle.shutdown(Shutdown::Now);
    server.join();
    let stopped = Stopped { core: 1 };
    assert_eq!(handle.submit_to(1, |_| ()), Err(stopped));
    assert_eq!(handle.try_submit_to(1, 1, |_| ()), Err(SubmitError::Stopped(stopped)));
    assert_eq!(handle.broadcast(|_| ()), Err(Stopped { core: 0 }));
    assert_eq!(stopped.to_string(), "core 1 has stopped; it takes no more work");
    handle.shutdown(Shutdown::Drain);
}

#[test]
fn what_a_stopping_core_has_accepted_is_carried_out() {
    let server = Server::idle(1);
    let done = Arc::new(Mutex::new(0));
    let (started, starts) = mpsc::channel();
    let senders: Vec<_> = (0..3)
        .map(|_| {
            let (handle, done, started) = (server.handle.clone(), done.clone(), started.clone());
            thread::spawn(move || {
                let mut accepted = 0;
                loop {
                    let done = done.clone();
                    let task = move |_: &mut Core| *done.lock().expect("no panic while held") += 1;
                    if handle.submit_to(0, task).is_err() {
                        return accepted;
                    }
                    accepted += 1;
                    if accepted == 1 {
                        started.send(()).expect("the test waits");
                    }
                }
            })
        })
        .collect();
    (0..3).for_each(|_| receive(&starts));
    server.handle.shutdown(Shutdown::Now);
    let accepted: u64 = senders.into_iter().map(|sender| sender.join().expect("no panic")).sum();
    server.join();
    assert_eq!(*done.lock().expect("no panic while held"), accepted);
}
