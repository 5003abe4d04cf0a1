//! Requests that end writing and are answered, with one fault at every single operation.
//!
//! A sends a request and ends writing; B takes it to its end, answers and closes; A reads the
//! answer to its end. Whatever happens, each gets all of it and then the end, or an error.

use std::time::Duration;

use sluicegate_core_buf::testing::{Fault, Faults, Link, LinkOptions, Rig, Side, Stack};
use sluicegate_core_buf::{
    Buffer, Bufferevent, Callback, EventFlags, Filter, FilterResult, FlushMode,
};
use sluicegate_groups::{Direction, Time, TokenBucketConfig};

const LINGER: Duration = Duration::from_secs(30);

const REQUEST: usize = 3000;

const ANSWER: usize = 5000;

/// What the sides have got, and what they were told.
#[derive(Debug, Default)]
struct Seen {
    request: Vec<u8>,
    answer: Vec<u8>,
    ends: [bool; 2],
    errors: [bool; 2],
}

fn bytes(count: usize) -> Vec<u8> {
    (0..count).map(|at| (at % 251) as u8).collect()
}

impl Seen {
    fn handle(&mut self, side: Side, now: Time, stream: &mut Bufferevent, callback: Callback) {
        match callback {
            Callback::Read => {
                let got = stream.input().to_vec();
                stream.buffers().0.clear();
                let all = if side == Side::A { &mut self.answer } else { &mut self.request };
                all.extend(got);
            }
            Callback::Write => {}
            Callback::Event(event) => {
                self.ends[side as usize] |= event.flags.contains(EventFlags::EOF);
                self.errors[side as usize] |= event.flags.contains(EventFlags::ERROR);
                if side == Side::B && event.flags == EventFlags::READING | EventFlags::EOF {
                    stream.buffers().1.add(&bytes(ANSWER));
                }
                stream.close(now + LINGER);
            }
        }
    }
}

/// Runs one exchange; returns what was seen and how many operations it took.
fn exchange(faults: Faults, limit: Option<TokenBucketConfig>) -> (Seen, u64) {
    let options = LinkOptions { capacity: 1500, ..LinkOptions::default() };
    let mut rig = Rig::new(Link::new(options, faults));
    let asker = rig.stream(Side::A);
    asker.set_max_single(Direction::Write, 700);
    asker.set_rate_limit(Time::ZERO, limit);
    asker.buffers().1.add(&bytes(REQUEST));
    asker.shutdown_write(Time::ZERO);
    let mut seen = Seen::default();
    rig.run(Time::MAX, &mut |side, now, stream, callback| seen.handle(side, now, stream, callback));
    (seen, rig.link().operations())
}

#[test]
fn a_request_that_ends_writing_is_answered_whole_whatever_single_fault_comes() {
    let faults = [Fault::Interrupted, Fault::WouldBlock, Fault::Short, Fault::Reset];
    for fault in faults {
        let mut hits = 0;
        for place in 0.. {
            let (seen, operations) = exchange(Faults::once(place, fault), None);
            if operations <= place {
                break;
            }
            hits += 1;
            let whole = (seen.request == bytes(REQUEST), seen.answer == bytes(ANSWER));
            assert!(bytes(REQUEST).starts_with(&seen.request), "{fault:?} at {place}");
            assert!(bytes(ANSWER).starts_with(&seen.answer), "{fault:?} at {place}");
            assert!(!seen.ends[1] || whole.0, "an end cut short, {fault:?} at {place}");
            assert!(!seen.ends[0] || whole.1, "an end cut short, {fault:?} at {place}");
            if fault != Fault::Reset {
                assert_eq!(
                    (seen.ends, seen.errors),
                    ([true; 2], [false; 2]),
                    "{fault:?} at {place}"
                );
                assert_eq!(whole, (true, true), "{fault:?} at {place}");
            }
        }
        assert!(hits > 10, "{hits} operations are no transfer");
    }
}

#[test]
fn the_end_waits_for_tokens_like_the_bytes_before_it() {
    let config = TokenBucketConfig::per_second("1kB/s".parse().expect("a rate"));
    let limit = config.with_burst(500).expect("a burst");
    let (seen, _) = exchange(Faults::none(), Some(limit));
    assert_eq!((seen.ends, seen.errors), ([true; 2], [false; 2]));
    assert!(seen.request == bytes(REQUEST) && seen.answer == bytes(ANSWER));
}

/// Ends what it is given by a full stop.
struct FullStop;

impl Filter for FullStop {
    fn output(
        &mut self,
        src: &mut Buffer,
        dst: &mut Buffer,
        _: Option<usize>,
        mode: FlushMode,
    ) -> FilterResult {
        dst.append(src);
        if mode == FlushMode::Finished {
            dst.add(b".");
        }
        FilterResult::NeedMore
    }
}

fn shut_down(stack: &mut Stack) {
    stack.upper().shutdown_write(Time::ZERO);
    stack.run();
}

#[test]
fn a_stage_is_finished_before_the_stream_below_ends() {
    let mut stack = Stack::over_filter(FullStop);
    stack.lower().set_max_output(4);
    stack.stall(true);
    stack.upper().buffers().1.add(b"the end");
    stack.run();
    shut_down(&mut stack);
    assert!(!stack.has_ended());
    stack.stall(false);
    assert!(stack.has_ended());
    assert_eq!(stack.sent(), b"the end.");
    assert!(stack.events().is_empty());
    stack.arrive(b"answer");
    assert_eq!(stack.upper().input().to_vec(), b"answer", "reading goes on");
    shut_down(&mut stack);
    stack.upper().buffers().1.add(b"late");
    stack.upper().handle_callback(Time::ZERO);
    stack.run();
    let told: Vec<EventFlags> = stack.events().iter().map(|event| event.flags).collect();
    assert_eq!(told, [EventFlags::WRITING | EventFlags::ERROR]);
    assert_eq!(stack.sent(), b"the end.", "finished once");
}

#[test]
fn a_close_after_the_end_lets_the_stream_below_drain() {
    let mut stack = Stack::over_filter(FullStop);
    stack.stall(true);
    stack.upper().buffers().1.add(b"bye");
    shut_down(&mut stack);
    let until = Time::from_nanos(1_000_000);
    stack.upper().close(until);
    assert!(stack.upper().is_closed(), "everything is below");
    assert_eq!(stack.upper().drained_until(), Some(until));
}

#[test]
fn a_failure_below_leaves_no_end_to_tell() {
    let mut stack = Stack::over_filter(FullStop);
    stack.stall(true);
    stack.upper().buffers().1.add(b"lost");
    stack.run();
    stack.fail(std::io::ErrorKind::ConnectionReset.into());
    shut_down(&mut stack);
    stack.stall(false);
    assert!(!stack.has_ended());
    assert_eq!(stack.sent(), b"");
}
