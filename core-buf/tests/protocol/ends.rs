//! How a stream over a protocol ends: closed by the user, by the peer, or by an error.

use std::io;

use sluicegate_core_buf::{
    Bufferevent, EventFlags, InputEnd, Landing, Link, Outlook, Progress, ReadOutcome, Step, Wait,
};

use crate::script::{Call, Played, READ, WELCOME, WRITE, at, greeter, pass};

const LATER: u64 = 1_000;

/// How a close has come out: closed, and something was lost.
fn outcome(it: &mut Played) -> (bool, bool) {
    (it.stack.upper().is_closed(), it.stack.upper().is_truncated())
}

#[test]
fn a_close_during_the_handshake_goes_on_with_it_for_the_sake_of_the_output() {
    let mut it = Played::connecting(greeter());
    it.write(b"data");
    it.stack.upper().close(at(LATER));
    it.calls();
    assert_eq!(outcome(&mut it), (false, false));
    it.stack.arrive(WELCOME);
    assert_eq!(it.stack.sent(), b"hellodatabye");
    assert_eq!(outcome(&mut it), (true, false));
    assert!(it.stack.upper().drained_until().is_some(), "what is below may be closed");
    assert_eq!(it.told(), [], "no callback comes after a close");
}

#[test]
fn a_close_is_told_once_to_a_stage_that_rests() {
    for bytes in [b"".as_slice(), b"data"] {
        for connects in [false, true] {
            let script =
                |_: Step<'_>| (Progress { write: Wait::Input, ..Default::default() }, None);
            let mut it = if connects { Played::connecting(script) } else { Played::open(script) };
            it.write(bytes);
            it.stack.upper().call_stage();
            it.calls();
            it.stack.upper().close(at(LATER));
            let calls = it.calls();
            let [Call { outlook: Outlook::Closed, .. }] = calls[..] else {
                panic!("{bytes:?}, connects {connects}: {calls:?}")
            };
            it.stack.upper().close(at(LATER));
            assert_eq!(it.calls(), [], "{bytes:?}, connects {connects}: it rests again");
        }
    }
}

#[test]
fn a_close_during_the_handshake_ends_at_its_deadline() {
    let mut it = Played::connecting(greeter());
    it.write(b"data");
    it.stack.upper().close(at(LATER));
    it.calls();
    it.stack.advance_to(at(LATER - 1));
    assert_eq!((it.calls(), outcome(&mut it)), (vec![], (false, false)), "the stage rests");
    it.stack.advance_to(at(LATER));
    assert_eq!(outcome(&mut it), (true, true));
}

#[test]
fn a_close_with_nothing_to_write_tells_the_stage_which_may_end_it() {
    for (write, calls, closed) in [(Wait::Over, 1, true), (Wait::Input, 1, false)] {
        let mut it = Played::connecting(move |step| {
            let write = if step.outlook == Outlook::Closed { write } else { Wait::Input };
            (Progress { write, needs_input: true, ..Progress::default() }, None)
        });
        it.calls();
        it.stack.upper().close(at(LATER));
        it.stack.arrive(b"!");
        let made = it.calls();
        assert!(made.len() >= calls && made.len() <= calls + 1, "{write:?}: {made:?}");
        assert!(made.iter().all(|call| call.is_bare() && call.outlook == Outlook::Closed));
        assert_eq!(outcome(&mut it), (closed, false), "{write:?}");
    }
}

#[test]
fn output_that_the_handshake_leaves_behind_is_told_as_lost() {
    // It gives up when it learns of the close, without an error.
    let mut it = Played::connecting(|step| {
        let gives_up = step.outlook == Outlook::Closed;
        let write = if gives_up { Wait::Over } else { Wait::Input };
        (Progress { write, needs_input: !gives_up, ..Progress::default() }, None)
    });
    it.write(b"data");
    it.stack.upper().close(at(LATER));
    it.stack.arrive(b"!");
    it.calls();
    assert_eq!(outcome(&mut it), (true, true));
}

#[test]
fn a_close_without_a_stream_below_is_over_at_once() {
    for (link, output, closed) in [
        (Link::Missing, &b""[..], true),
        (Link::Missing, b"data", true),
        (Link::Awaited, b"data", false),
    ] {
        let mut it = Played::connecting(greeter()).linked(link);
        it.write(output);
        it.stack.upper().close(at(LATER));
        assert_eq!(it.calls(), [], "nobody is there to greet");
        assert_eq!(outcome(&mut it), (closed, closed && !output.is_empty()), "{link:?} {output:?}");
    }
    // The connection is lost on the way.
    let mut it = Played::connecting(greeter());
    it.write(b"data");
    it.stack.upper().close(at(LATER));
    it.calls();
    it.stack.lower().renew(at(0), Link::Missing);
    it.calls();
    assert_eq!(outcome(&mut it), (true, true));
}

#[test]
fn a_close_over_two_protocols_asks_what_is_below_both() {
    for (link, closed) in [(Link::Missing, true), (Link::Awaited, false), (Link::Made, false)] {
        let mut bottom = Bufferevent::unconnected(at(0));
        bottom.renew(at(0), link);
        let mut middle = Bufferevent::over_protocol(at(0), true);
        let mut top = Bufferevent::over_protocol(at(0), true);
        top.buffers().1.add(b"data");
        top.close(at(LATER));
        let _again = top.sync_below(at(0), &mut middle);
        assert!(!top.is_closed(), "{link:?}: the middle has not looked yet");
        let _again = middle.sync_below(at(0), &mut bottom);
        let _again = top.sync_below(at(0), &mut middle);
        assert_eq!(top.is_closed(), closed, "{link:?}");
    }
}

#[test]
fn nothing_is_told_after_a_close() {
    for flags in [EventFlags::EOF, EventFlags::ERROR, EventFlags::empty()] {
        let mut it = Played::open(move |step| {
            let has_come = !step.lower_input.is_empty();
            step.lower_input.clear();
            let told = EventFlags::CONNECTED | EventFlags::READING | flags;
            let events = if has_come { told } else { EventFlags::empty() };
            (
                Progress { events, write: Wait::Input, needs_input: true, ..Progress::default() },
                None,
            )
        });
        it.calls();
        it.stack.upper().close(at(LATER));
        it.stack.arrive(b"!");
        assert_eq!((it.told(), outcome(&mut it)), (vec![], (false, false)), "{flags:?}");
    }
}

#[test]
fn the_goodbye_follows_the_last_byte_and_its_answer_is_awaited() {
    let mut has_said = false;
    let mut it = Played::open(move |mut step| {
        if step.outlook == Outlook::Open {
            return (pass(&mut step, Progress::default()), None);
        }
        step.upper_output.move_to(step.lower_output, step.write.map_or(0, |pass| pass.limit));
        if !std::mem::replace(&mut has_said, true) {
            step.lower_output.add(b"bye");
        }
        let answered = !step.lower_input.is_empty();
        let write = if answered { Wait::Over } else { Wait::Input };
        (Progress { write, needs_input: !answered, ..Progress::default() }, None)
    });
    it.calls();
    it.stack.upper().buffers().1.add(b"last");
    it.stack.upper().close(at(LATER));
    let calls = it.calls();
    assert!(calls.len() <= 3, "{calls:?}");
    assert_eq!((it.stack.sent(), outcome(&mut it)), (b"lastbye".to_vec(), (false, false)));
    assert_eq!(it.calls(), [], "it rests until the answer comes");
    it.stack.arrive(b"bye");
    assert_eq!(outcome(&mut it), (true, false));
}

#[test]
fn an_end_below_is_the_stages_to_tell() {
    for (tells, told, reads) in [
        (EventFlags::empty(), vec![], true),
        (EventFlags::EOF | EventFlags::READING, vec![EventFlags::EOF | EventFlags::READING], false),
        (
            EventFlags::ERROR | EventFlags::READING,
            vec![EventFlags::ERROR | EventFlags::READING],
            false,
        ),
    ] {
        let mut has_told = false;
        let mut it = Played::open(move |step| {
            let tells_now =
                step.ended.is_some() && !std::mem::replace(&mut has_told, step.ended.is_some());
            let events = if tells_now { tells } else { EventFlags::empty() };
            (Progress { events, needs_input: true, ..Progress::default() }, None)
        });
        it.calls();
        it.stack.end();
        let calls = it.calls();
        assert_eq!(calls.iter().map(|call| call.ended).collect::<Vec<_>>(), [Some(InputEnd::Eof)]);
        assert_eq!(it.told(), told);
        assert_eq!(it.stack.upper().is_enabled(READ), reads);
        assert!(it.stack.upper().is_enabled(WRITE), "writing goes on");
        assert_eq!(it.calls(), [], "nothing comes any more, which is no reason to spin");
    }
}

#[test]
fn a_failure_below_lends_its_error_to_the_one_told() {
    let mut it = Played::open(|step| {
        let failed = step.ended == Some(InputEnd::Failed);
        let flag = if failed { EventFlags::ERROR } else { EventFlags::empty() };
        (Progress { events: flag, needs_input: !failed, ..Progress::default() }, None)
    });
    it.calls();
    let reset = io::Error::from(io::ErrorKind::ConnectionReset);
    it.stack.lower().handle_read(at(0), ReadOutcome::Failed(reset), 1, &mut Landing::new());
    it.stack.run();
    let events = it.stack.events();
    assert_eq!(events.len(), 1, "{events:?}");
    assert_eq!(events[0].flags, EventFlags::ERROR);
    let kind = events[0].error.as_ref().map(io::Error::kind);
    assert_eq!(kind, Some(io::ErrorKind::ConnectionReset));
}

#[test]
fn an_error_ends_the_directions_it_names_or_both() {
    let (read, write) = (EventFlags::READING, EventFlags::WRITING);
    for (named, reads, writes) in [
        (EventFlags::empty(), false, false),
        (read, false, true),
        (write, true, false),
        (read | write, false, false),
    ] {
        let flags = EventFlags::ERROR | named;
        let mut has_told = false;
        let mut it = Played::open(move |step| {
            if step.lower_input.is_empty() || std::mem::replace(&mut has_told, true) {
                return (Progress { write: Wait::Input, ..Progress::default() }, None);
            }
            let error = Some(io::Error::other("a bad record"));
            (Progress { events: flags, error, ..Progress::default() }, None)
        });
        it.write(b"data");
        it.stack.arrive(b"garbage");
        let mut events = it.stack.events();
        assert_eq!(events.len(), 1, "{events:?}");
        let event = events.remove(0);
        assert_eq!(event.flags, flags);
        assert_eq!(event.error.expect("the stage's").to_string(), "a bad record");
        let upper = it.stack.upper();
        assert_eq!((upper.is_enabled(READ), upper.is_enabled(WRITE)), (reads, writes), "{named:?}");
        assert_eq!((upper.output().is_empty(), upper.is_truncated()), (!writes, !writes));
        assert_eq!(upper.has_failed_reading(), !reads);
        let calls = it.calls();
        assert!(calls.len() < 6, "{calls:?}");
    }
}

#[test]
fn an_error_during_the_handshake_lets_a_close_be_over() {
    let mut it = Played::connecting(|step| {
        let flags =
            if step.lower_input.is_empty() { EventFlags::empty() } else { EventFlags::ERROR };
        step.lower_input.clear();
        (
            Progress {
                events: flags,
                write: Wait::Input,
                needs_input: true,
                ..Progress::default()
            },
            None,
        )
    });
    it.write(b"data");
    it.stack.upper().close(at(LATER));
    it.stack.arrive(b"garbage");
    assert_eq!((outcome(&mut it), it.told()), ((true, true), vec![]));
}

#[test]
fn writing_is_ended_below_after_the_goodbye() {
    let mut it = Played::connecting(greeter());
    it.write(b"data");
    it.stack.upper().shutdown_write(at(0));
    assert!(it.calls().iter().all(Call::is_bare));
    assert!(!it.stack.has_ended(), "the handshake is not over");
    it.stack.arrive(WELCOME);
    it.stack.arrive(b"answer");
    assert_eq!((it.stack.sent(), it.stack.has_ended()), (b"hellodatabye".to_vec(), true));
    assert_eq!(it.stack.upper().input().to_vec(), b"answer", "reading goes on");
    assert_eq!(outcome(&mut it), (false, false));
}

#[test]
fn a_stream_below_that_is_lost_ends_all() {
    let mut it = Played::connecting(greeter());
    it.write(b"data");
    it.calls();
    it.stack.upper().handle_lost(at(0));
    assert_eq!(it.calls(), []);
    let events = it.stack.events();
    assert_eq!(events.len(), 1, "{events:?}");
    let kind = events[0].error.as_ref().map(io::Error::kind);
    assert_eq!((events[0].flags, kind), (EventFlags::ERROR, Some(io::ErrorKind::NotConnected)));
    assert!(it.stack.upper().is_truncated());
}

#[test]
fn an_end_that_may_not_be_written_is_not_asked_for_again_and_again() {
    let mut it = Played::open(|mut step| (pass(&mut step, Progress::default()), None));
    it.calls();
    it.stack.upper().shutdown_write(at(0));
    it.stack.upper().disable(at(0), WRITE);
    let calls = it.calls();
    assert!(calls.len() <= 1, "{calls:?}");
    assert_eq!(it.stack.sent(), b"");
    it.stack.upper().enable(at(0), WRITE);
    it.calls();
    assert_eq!(it.stack.sent(), b"bye");
}

#[test]
fn a_close_after_the_end_of_writing_lets_the_stage_hear_the_peers() {
    let mut it = Played::open(|mut step| {
        let mut progress = pass(&mut step, Progress::default());
        if step.outlook == Outlook::Closed {
            let has_heard = step.ended.is_some() || !step.lower_input.is_empty();
            progress.write = if has_heard { Wait::Over } else { Wait::Input };
            progress.needs_input = !has_heard;
        }
        (progress, None)
    });
    it.stack.upper().shutdown_write(at(0));
    it.calls();
    assert_eq!(it.stack.sent(), b"bye");
    it.stack.upper().close(at(LATER));
    assert!(it.calls().len() <= 2);
    assert_eq!(outcome(&mut it), (false, false), "it waits for the peer");
    it.stack.arrive(b"bye");
    it.calls();
    assert_eq!(outcome(&mut it), (true, false));
    assert!(it.stack.upper().drained_until().is_some(), "what is below may be closed");
}

#[test]
fn a_close_after_the_end_of_writing_waits_no_longer_than_it_may() {
    let mut it = Played::open(|mut step| {
        let mut progress = pass(&mut step, Progress::default());
        if step.outlook == Outlook::Closed {
            (progress.write, progress.needs_input) = (Wait::Input, true);
        }
        (progress, None)
    });
    it.stack.upper().shutdown_write(at(0));
    it.calls();
    it.stack.upper().close(at(LATER));
    it.calls();
    it.stack.advance_to(at(LATER));
    it.calls();
    assert!(it.stack.upper().is_closed());
}

#[test]
fn a_close_after_both_ends_waits_for_nobody() {
    type End = fn(&mut Played);
    let ends: [(&str, End); 2] = [
        ("the stream below is gone", |it| it.stack.upper().handle_lost(at(0))),
        ("the peer's end was heard", |it| {
            it.stack.lower().handle_read(at(0), ReadOutcome::EndOfStream, 1, &mut Landing::new());
            it.calls();
        }),
    ];
    for (case, end) in ends {
        let mut it = Played::open(|mut step| (pass(&mut step, Progress::default()), None));
        it.stack.upper().shutdown_write(at(0));
        it.calls();
        assert_eq!(it.stack.sent(), b"bye", "{case}");
        end(&mut it);
        it.stack.upper().close(at(LATER));
        assert!(it.stack.upper().is_closed(), "{case}");
    }
}
