//! The first call, and CONNECTED: the user's bytes wait for it and it is told before them.

use sluicegate_core_buf::{
    Callback, DEFAULT_MAX_OUTPUT, EventFlags, Flush, FlushMode, Link, Outlook, Pass, Progress,
    Suspend, Wait,
};

use crate::script::{Call, Played, READ, WELCOME, WRITE, at, greeter, pass};

const FIRST: Call =
    Call { waiting: (0, 4), read: None, write: None, ended: None, outlook: Outlook::Open };

#[test]
fn a_stage_is_called_when_the_stream_below_is_connected_and_not_before() {
    let mut it = Played::connecting(greeter()).linked(Link::Missing);
    it.write(b"data");
    assert_eq!(it.calls(), [], "there is no stream below");
    it.stack.lower().renew(at(0), Link::Awaited);
    assert_eq!(it.calls(), [], "its connection is being made");
    it.stack.lower().handle_connected(at(0), None);
    let calls = it.calls();
    // Once for the connection, and once more as that was told to it.
    assert!((1..=2).contains(&calls.len()) && calls.iter().all(|&call| call == FIRST), "{calls:?}");
    assert_eq!(it.stack.sent(), b"hello");
    assert_eq!(it.told(), [], "CONNECTED is the stage's to tell");
    // Over a stream that is connected at once.
    let mut it = Played::connecting(greeter());
    it.stack.upper().buffers().1.add(b"data");
    assert_eq!(it.calls(), [FIRST]);
}

#[test]
fn connected_lifts_the_wait_and_is_told_before_bytes() {
    let mut it = Played::connecting(greeter());
    it.write(b"data");
    for direction in [READ, WRITE] {
        assert_eq!(it.stack.upper().suspended(direction), Suspend::CONNECTING);
    }
    it.stack.arrive(&WELCOME[..3]);
    assert_eq!((it.told(), it.stack.sent()), (vec![], b"hello".to_vec()));
    it.stack.arrive(&[&WELCOME[3..], b"first"].concat());
    assert_eq!(it.told(), [EventFlags::CONNECTED, EventFlags::empty()]);
    assert_eq!(it.stack.upper().input().to_vec(), b"first");
    assert_eq!(it.stack.sent(), b"hellodata");
    for direction in [READ, WRITE] {
        assert_eq!(it.stack.upper().suspended(direction), Suspend::empty());
    }
}

#[test]
fn what_the_stage_says_itself_is_no_output_that_has_drained() {
    let mut it = Played::connecting(greeter());
    let drained = |it: &mut Played| {
        it.stack.run();
        it.stack.told().iter().filter(|told| matches!(told, Callback::Write)).count()
    };
    assert_eq!((drained(&mut it), it.stack.sent()), (0, b"hello".to_vec()));
    it.stack.arrive(WELCOME);
    assert_eq!(drained(&mut it), 0);
    it.write(b"data");
    assert_eq!(drained(&mut it), 1);
}

#[test]
fn a_flush_during_the_handshake_waits_for_its_end() {
    let mut it = Played::connecting(greeter());
    it.write(b"data");
    let flush = Flush { mode: FlushMode::Flush, further: 0 };
    for direction in [READ, WRITE] {
        it.stack.upper().flush_stage(direction, flush);
    }
    it.stack.upper().call_stage();
    it.stack.arrive(&WELCOME[..3]);
    assert!(it.calls().iter().all(Call::is_bare));
    assert!(!it.stack.upper().has_flush(), "it has not passed here");
    it.stack.arrive(&WELCOME[3..]);
    let calls = it.calls();
    let flushed = |pass: fn(&Call) -> Option<Pass>| {
        calls.iter().filter_map(pass).any(|pass| pass.mode == FlushMode::Flush)
    };
    assert!(flushed(|call| call.read) && flushed(|call| call.write), "{calls:?}");
    assert!(it.stack.upper().has_flush());
    assert_eq!(it.stack.sent(), b"hellodata");
}

#[test]
fn one_that_was_connected_before_is_called_and_has_leave_at_once() {
    let mut it = Played::open(|mut step| (pass(&mut step, Progress::default()), None));
    it.stack.upper().buffers().1.add(b"data");
    let calls = it.calls();
    let all = Some(Pass { limit: DEFAULT_MAX_OUTPUT, mode: FlushMode::Normal });
    // It may hold bytes for the user already, and is asked for those first.
    let asked: Vec<_> = calls.iter().map(|call| (call.read.is_some(), call.write)).collect();
    assert_eq!(asked, [(true, None), (false, all)]);
    assert_eq!((it.stack.sent(), it.told()), (b"data".to_vec(), vec![]));
}

#[test]
fn connected_below_is_told_neither_twice_nor_too_early() {
    let mut it = Played::connecting(greeter()).linked(Link::Awaited);
    it.stack.lower().handle_connected(at(0), None);
    it.stack.arrive(WELCOME);
    assert_eq!(it.told(), [EventFlags::CONNECTED]);
    assert_eq!(it.stack.sent(), b"hello");
}

#[test]
fn a_second_connected_is_told_again_as_after_a_renegotiation() {
    let mut it = Played::open(|step| {
        let events = if step.lower_input.is_empty() {
            EventFlags::empty()
        } else {
            step.lower_input.clear();
            EventFlags::CONNECTED
        };
        (Progress { events, write: Wait::Source, ..Progress::default() }, None)
    });
    for _ in 0..2 {
        it.stack.arrive(b"again");
        assert_eq!(it.told(), [EventFlags::CONNECTED]);
    }
}

#[test]
fn a_flush_that_meets_output_waiting_for_input_goes_on_with_it() {
    // Writes nothing until something has come, as while new keys are made.
    let mut has_come = false;
    let mut it = Played::open(move |mut step| {
        has_come |= !step.lower_input.is_empty();
        step.lower_input.clear();
        if has_come {
            return (pass(&mut step, Progress::default()), None);
        }
        (Progress { write: Wait::Input, needs_input: true, ..Progress::default() }, None)
    });
    it.write(b"data");
    let flush = Flush { mode: FlushMode::Flush, further: 0 };
    it.stack.upper().flush_stage(WRITE, flush);
    it.stack.run();
    assert_eq!(it.stack.upper().poll_flush(WRITE), None, "its bytes have not passed");
    it.stack.arrive(b"!");
    it.stack.run();
    assert_eq!(
        (it.stack.sent(), it.stack.upper().poll_flush(WRITE)),
        (b"data".to_vec(), Some(flush))
    );
}
