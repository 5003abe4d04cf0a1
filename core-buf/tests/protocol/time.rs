//! Limits, timeouts, and a stream that goes to another owner in the middle of a handshake.

use std::time::Duration;

use sluicegate_core_buf::{EventFlags, Link, Progress, Wait};
use sluicegate_groups::Direction;

use crate::script::{Played, READ, WELCOME, WRITE, at, greeter, pass, per_second};

/// Timeouts of these tests, in nanoseconds.
const TIMEOUT: u64 = 100;

fn set_timeout(it: &mut Played, direction: Direction) {
    it.stack.upper().set_timeout(at(0), direction, Some(Duration::from_nanos(TIMEOUT)));
}

/// What may pass at once is counted by what the step says it has used.
#[test]
fn what_a_step_has_used_settles_its_permit_not_what_moved() {
    for (direction, used, left) in
        [(READ, None, 96), (READ, Some(30), 70), (WRITE, None, 96), (WRITE, Some(0), 100)]
    {
        let mut it = Played::open(move |mut step| {
            let is_ours = match direction {
                READ => step.read.is_some() && !step.lower_input.is_empty(),
                WRITE => step.write.is_some() && !step.upper_output.is_empty(),
            };
            let used = if is_ours { used } else { Some(0) };
            (Progress { used, ..pass(&mut step, Progress::default()) }, None)
        });
        it.calls();
        it.stack.upper().set_rate_limit(at(0), Some(per_second(100)));
        match direction {
            READ => it.stack.arrive(b"data"),
            WRITE => it.write(b"data"),
        }
        let level = it.stack.upper().own_level(at(0), direction);
        assert_eq!(level, Some(left), "{direction:?} {used:?}");
    }
}

#[test]
fn a_timeout_runs_during_the_handshake_once_there_is_somebody_to_wait_for() {
    let cases = [
        (READ, EventFlags::READING | EventFlags::TIMEOUT),
        (WRITE, EventFlags::WRITING | EventFlags::TIMEOUT),
    ];
    for (direction, flags) in cases {
        for (link, runs) in [(Link::Missing, false), (Link::Awaited, true), (Link::Made, true)] {
            let mut it = Played::connecting(greeter()).linked(link);
            set_timeout(&mut it, direction);
            it.calls();
            assert_eq!(it.stack.upper().poll_deadline(), runs.then_some(at(TIMEOUT)), "{link:?}");
            it.stack.advance_to(at(TIMEOUT - 1));
            assert_eq!(it.told(), []);
            it.stack.advance_to(at(TIMEOUT));
            let told = if runs { vec![flags] } else { vec![] };
            assert_eq!(it.told(), told, "{direction:?} {link:?}");
        }
    }
}

#[test]
fn connected_starts_the_timeouts_anew() {
    let mut it = Played::connecting(greeter());
    set_timeout(&mut it, READ);
    set_timeout(&mut it, WRITE);
    it.calls();
    it.stack.advance_to(at(60));
    it.stack.arrive(WELCOME);
    assert_eq!(it.told(), [EventFlags::CONNECTED]);
    // Reading waits for the peer's first byte; nothing waits to be written.
    assert_eq!(it.stack.upper().poll_deadline(), Some(at(160)));
    it.stack.advance_to(at(500));
    assert_eq!(it.told(), [EventFlags::READING | EventFlags::TIMEOUT]);
    assert_eq!(it.stack.upper().poll_deadline(), None);
}

#[test]
fn a_link_that_comes_late_starts_the_timeouts_then() {
    let mut it = Played::connecting(greeter()).linked(Link::Missing);
    set_timeout(&mut it, WRITE);
    it.calls();
    it.stack.advance_to(at(70));
    it.stack.lower().renew(at(70), Link::Awaited);
    it.stack.run();
    assert_eq!(it.stack.upper().poll_deadline(), Some(at(170)));
}

#[test]
fn a_stream_that_moves_in_the_middle_of_a_handshake_goes_on_with_it() {
    let mut it = Played::connecting(greeter());
    set_timeout(&mut it, READ);
    it.write(b"data");
    it.calls();
    it.stack.arrive(&WELCOME[..3]);
    it.stack.advance_to(at(40));
    it.calls();
    let moved = it.stack.upper().depart(at(40));
    assert!(it.stack.upper().is_closed(), "what stays behind asks for nothing");
    *it.stack.upper() = moved;
    it.stack.upper().arrive(at(1_040), Duration::from_nanos(1_000));
    assert_eq!(it.calls(), [], "it still waits for the peer, and for nothing else");
    // Of the timeout 60 are left, as before.
    assert_eq!(it.stack.upper().poll_deadline(), Some(at(1_100)));
    it.stack.arrive(&[&WELCOME[3..], b"first"].concat());
    assert_eq!(it.told(), [EventFlags::CONNECTED, EventFlags::empty()]);
    assert_eq!(it.stack.sent(), b"hellodata");
}

#[test]
fn what_a_stage_has_asked_for_goes_along() {
    let asks = |needs_input, deadline| {
        let write = Wait::Input;
        let answer = move || (Progress { write, needs_input, ..Progress::default() }, deadline);
        let mut it = Played::open(move |_| answer());
        it.stack.upper().disable(at(0), READ);
        it.calls();
        it
    };
    let moves = |it: &mut Played| {
        let moved = it.stack.upper().depart(at(0));
        *it.stack.upper() = moved;
        it.stack.upper().arrive(at(5), Duration::from_nanos(5));
    };
    // Bytes from below.
    let mut it = asks(true, None);
    moves(&mut it);
    it.stack.arrive(b"!");
    assert_eq!(it.calls().len(), 1);
    // A call at its time, which is the stage's own and does not move.
    let mut it = asks(false, Some(at(10)));
    moves(&mut it);
    assert_eq!((it.calls(), it.stack.upper().poll_deadline()), (vec![], Some(at(10))));
    // A call that was not made yet.
    let mut it = asks(false, None);
    it.stack.upper().call_stage();
    moves(&mut it);
    assert_eq!(it.calls().len(), 1);
}
