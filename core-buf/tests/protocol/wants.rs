//! What a stage may ask for: to be called, bytes from below, a rest until they come, a time.
//!
//! Each test counts calls: one that makes no progress is not repeated before something happens.

use sluicegate_core_buf::{EventFlags, Outlook, Progress, Wait};

use crate::script::{Played, READ, WRITE, at, greeter, pass, per_second};

/// A stage that never makes anything, but says what it waits for.
fn idle(write: Wait, needs_input: bool) -> Played {
    Played::open(move |_| (Progress { write, needs_input, ..Progress::default() }, None))
}

#[test]
fn what_it_needs_is_read_below_though_the_users_reading_stands_still() {
    // A close asks for leave to write besides: each arrival may let the stage finish.
    for (case, most, stops) in [
        ("disabled", 1, (|it| it.stack.upper().disable(at(0), READ)) as fn(&mut Played)),
        ("at its mark", 1, |it| {
            it.stack.upper().set_read_watermark(0, 1);
            it.stack.upper().buffers().0.add(b"full");
            it.stack.upper().handle_callback(at(0));
        }),
        ("over", 2, |it| it.stack.upper().close(at(1_000))),
    ] {
        let mut it = idle(Wait::Input, true);
        stops(&mut it);
        it.calls();
        for arrived in 1..4 {
            it.stack.arrive(b"!");
            let calls = it.calls();
            assert_eq!(calls.len(), most, "{case}: {calls:?}");
            assert_eq!(calls[0].waiting.0, arrived, "{case}: it came up");
            assert!(calls[0].is_bare(), "{case}: but the user takes nothing");
        }
    }
}

#[test]
fn what_nobody_needs_is_not_read_below() {
    let mut it = idle(Wait::Source, false);
    it.stack.upper().disable(at(0), READ);
    it.calls();
    it.stack.arrive(b"unwanted");
    assert_eq!((it.calls(), it.stack.lower().input().len()), (vec![], 0));
}

#[test]
fn a_need_ends_with_the_step_that_does_not_repeat_it() {
    let mut it = Played::open(|step| {
        let needs_input = step.lower_input.is_empty();
        step.lower_input.clear();
        (Progress { needs_input, ..Progress::default() }, None)
    });
    it.stack.upper().disable(at(0), READ);
    assert_eq!(it.calls().len(), 1);
    it.stack.arrive(b"one");
    assert_eq!(it.calls().len(), 1);
    it.stack.arrive(b"two");
    assert_eq!((it.calls(), it.stack.lower().input().len()), (vec![], 0));
}

#[test]
fn writing_that_waits_for_input_rests_until_some_comes() {
    let mut it = idle(Wait::Input, true);
    it.calls();
    it.stack.upper().call_stage();
    it.calls();
    it.stack.upper().buffers().1.add(b"data");
    // What it said before there was output holds.
    assert_eq!(it.calls(), []);
    it.write(b"more");
    assert_eq!(it.calls(), []);
    it.stack.arrive(b"!");
    let calls = it.calls();
    assert_eq!(calls.iter().filter(|call| call.read.is_some()).count(), 1, "{calls:?}");
    assert_eq!(calls.iter().filter(|call| call.write.is_some()).count(), 1, "{calls:?}");
    assert_eq!(calls.len(), 2, "{calls:?}");
    // What it would not take then has to wait for the next bytes, and is not refused for good.
    it.stack.arrive(b"!");
    assert_eq!(it.calls().iter().filter(|call| call.write.is_some()).count(), 1);
}

#[test]
fn it_is_called_when_asked_for_once() {
    let mut it = idle(Wait::Input, false);
    it.calls();
    it.stack.upper().call_stage();
    let calls = it.calls();
    assert_eq!(calls.len(), 1, "though it rests and nothing waits");
    assert_eq!(it.calls(), []);
}

#[test]
fn its_deadline_calls_it_once_and_is_asked_anew() {
    // Wants to be called at 10, again at 20, and not after that.
    let mut it = Played::open(|step| {
        let next = [at(10), at(20)].into_iter().find(|&at| at > step.now);
        (Progress { write: Wait::Input, ..Progress::default() }, next)
    });
    assert_eq!(it.stack.upper().poll_deadline(), None, "nothing is known before the first call");
    it.calls();
    for (now, calls, next) in
        [(9, 0, Some(at(10))), (10, 1, Some(at(20))), (15, 0, Some(at(20))), (25, 1, None)]
    {
        it.stack.advance_to(at(now));
        let made = it.calls();
        assert_eq!((made.len(), it.stack.upper().poll_deadline()), (calls, next), "at {now}");
    }
}

#[test]
fn a_deadline_that_has_to_wait_for_tokens_is_not_asked_for_again_and_again() {
    let answer = || Progress { write: Wait::Input, used: Some(30), ..Progress::default() };
    let mut it = Played::open(move |_| (answer(), Some(at(10))));
    it.stack.upper().set_rate_limit(at(0), Some(per_second(10)));
    it.calls();
    it.stack.upper().call_stage();
    assert_eq!(it.calls().len(), 1);
    it.stack.upper().call_stage();
    assert_eq!(it.calls(), [], "in debt");
    it.stack.advance_to(at(10));
    assert_eq!(it.calls(), []);
    assert!(it.stack.upper().poll_deadline().is_some_and(|next| next > at(10)));
}

#[test]
fn the_earlier_of_its_deadline_and_the_streams_holds() {
    for (timeout, next) in [(5, 5), (15, 10)] {
        let mut it = Played::open(|_| (Progress::default(), Some(at(10))));
        it.calls();
        let timeout = std::time::Duration::from_nanos(timeout);
        it.stack.upper().set_timeout(at(0), READ, Some(timeout));
        assert_eq!(it.stack.upper().poll_deadline(), Some(at(next)));
        it.stack.upper().close_now();
        assert_eq!(it.stack.upper().poll_deadline(), None, "a closed stream asks for no timer");
        it.stack.upper().call_stage();
        assert_eq!(it.calls(), [], "nor is its stage called");
    }
}

#[test]
fn a_limit_holds_its_own_calls_too() {
    let mut it = Played::open(|mut step| {
        (Progress { used: Some(8), ..pass(&mut step, Progress::default()) }, None)
    });
    it.calls();
    it.stack.upper().set_rate_limit(at(0), Some(per_second(10)));
    it.write(b"one");
    it.calls();
    // Two tokens are left, of which the next call uses eight.
    it.write(b"two");
    assert_eq!(it.calls().len(), 1);
    it.write(b"three");
    it.stack.upper().call_stage();
    assert_eq!(it.calls(), [], "in debt");
    it.stack.advance_to(at(1_000_000_000));
    assert!(!it.calls().is_empty());
}

#[test]
fn it_learns_what_the_user_will_still_do() {
    for (outlook, ends) in [
        (Outlook::Open, (|_| ()) as fn(&mut Played)),
        (Outlook::Ending, |it| it.stack.upper().shutdown_write(at(0))),
        (Outlook::Closed, |it| it.stack.upper().close(at(1_000))),
        (Outlook::Closed, |it| {
            it.stack.upper().shutdown_write(at(0));
            it.stack.upper().close(at(1_000));
        }),
    ] {
        let mut it = idle(Wait::Input, true);
        it.calls();
        ends(&mut it);
        it.stack.upper().call_stage();
        let calls = it.calls();
        assert_eq!(calls.iter().map(|call| call.outlook).collect::<Vec<_>>(), [outlook]);
    }
}

#[test]
fn room_below_holds_for_the_users_bytes() {
    let mut it = Played::connecting(greeter());
    it.stack.lower().set_max_output(7);
    it.stack.stall(true);
    it.write(b"some data");
    it.stack.arrive(crate::script::WELCOME);
    assert_eq!(it.told(), [EventFlags::CONNECTED]);
    assert_eq!(it.stack.lower().output().to_vec(), b"helloso");
    it.calls();
    it.stack.run();
    assert_eq!(it.calls(), [], "a full stream below is waited for");
    it.stack.stall(false);
    assert_eq!(it.stack.sent(), b"hellosome data");
    assert_eq!(it.stack.upper().suspended(WRITE), sluicegate_core_buf::Suspend::empty());
}

#[test]
fn what_it_had_no_leave_for_it_has_not_refused() {
    let mut it = Played::open(|mut step| (pass(&mut step, Progress::default()), None));
    it.calls();
    it.stack.upper().disable(at(0), WRITE);
    it.write(b"data");
    it.stack.upper().call_stage();
    let calls = it.calls();
    assert!(calls.len() == 1 && calls[0].is_bare(), "{calls:?}");
    it.stack.upper().enable(at(0), WRITE);
    it.calls();
    assert_eq!(it.stack.sent(), b"data");
}
