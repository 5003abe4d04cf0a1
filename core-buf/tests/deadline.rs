//! Timeouts, the linger of a close and back-pressure, over a simulated link in virtual time.
//!
//! Every instant asserted here is exact: the clock is the rig's and moves only when nothing is left
//! to do.

use std::time::Duration;

use sluicegate_core_buf::testing::{Fault, Faults, Link, LinkOptions, Odds, Rig, Side};
use sluicegate_core_buf::{Callback, EventFlags, Suspend};
use sluicegate_groups::{Direction, Time, TokenBucketConfig};

fn ms(ms: u64) -> Time {
    Time::from_nanos(ms * 1_000_000)
}

fn rig(capacity: usize) -> Rig {
    Rig::new(Link::new(LinkOptions { capacity, ..LinkOptions::default() }, Faults::none()))
}

/// Runs until `until` with a handler that consumes its input; returns the timeouts of a side.
fn timeouts_until(rig: &mut Rig, until: Time, of: Side) -> Vec<(Time, EventFlags)> {
    let mut seen = Vec::new();
    rig.run(until, &mut |side, now, stream, callback| match callback {
        Callback::Event(event) if side == of => seen.push((now, event.flags)),
        _ => stream.buffers().0.clear(),
    });
    seen
}

#[test]
fn a_read_timeout_fires_exactly_when_due_after_the_last_arrival() {
    let mut rig = rig(1_000);
    rig.stream(Side::A).set_timeout(Time::ZERO, Direction::Read, Some(Duration::from_millis(50)));
    for at in [30, 79, 128] {
        rig.run(ms(at), &mut |_, _, _, _| {});
        rig.stream(Side::B).buffers().1.add(b"here");
    }
    let seen = timeouts_until(&mut rig, ms(10_000), Side::A);
    assert_eq!(seen, [(ms(178), EventFlags::READING | EventFlags::TIMEOUT)]);
}

#[test]
fn bytes_that_arrive_at_the_very_deadline_are_in_time() {
    let link = LinkOptions { delay: Duration::from_millis(50), ..LinkOptions::default() };
    let mut rig = Rig::new(Link::new(link, Faults::none()));
    rig.stream(Side::A).set_timeout(Time::ZERO, Direction::Read, Some(Duration::from_millis(50)));
    rig.stream(Side::B).buffers().1.add(b"just in time");
    let seen = timeouts_until(&mut rig, ms(10_000), Side::A);
    assert_eq!(seen, [(ms(100), EventFlags::READING | EventFlags::TIMEOUT)]);
}

#[test]
fn a_write_timeout_blames_a_peer_that_does_not_read() {
    let mut rig = rig(1_000);
    let stream = rig.stream(Side::A);
    stream.set_timeout(Time::ZERO, Direction::Write, Some(Duration::from_millis(50)));
    stream.buffers().1.add(&[7; 5_000]);
    rig.stream(Side::B).set_read_watermark(0, 500);
    let mut seen = Vec::new();
    rig.run(ms(10), &mut |_, _, _, _| {});
    // B makes room once: the timeout starts anew.
    rig.stream(Side::B).buffers().0.clear();
    rig.run(ms(10_000), &mut |side, now, _, callback| {
        if let (Side::A, Callback::Event(event)) = (side, callback) {
            seen.push((now, event.flags));
        }
    });
    assert_eq!(seen, [(ms(60), EventFlags::WRITING | EventFlags::TIMEOUT)]);
    assert_eq!(rig.stream(Side::A).output().len(), 5_000 - 1_000 - 2 * 500);
}

#[test]
fn a_wait_for_our_own_tokens_is_not_blamed_on_the_peer() {
    let mut rig = rig(100_000);
    rig.stream(Side::A).buffers().1.add(&[7; 3_010]);
    let config = TokenBucketConfig::new(100, 100, 100, 100, Some(Duration::from_millis(100)));
    let stream = rig.stream(Side::B);
    stream.set_rate_limit(Time::ZERO, Some(config.expect("a valid config")));
    stream.set_timeout(Time::ZERO, Direction::Read, Some(Duration::from_millis(30)));
    let mut received = 0;
    let mut seen = Vec::new();
    rig.run(ms(10_000), &mut |side, now, stream, callback| match callback {
        Callback::Event(event) if side == Side::B => seen.push((now, event.flags)),
        Callback::Read => received += stream.buffers().0.drain(usize::MAX),
        _ => {}
    });
    // 100 bytes a tick from the start: the last ten come with tick 30, and the peer owes from then.
    assert_eq!(received, 3_010);
    assert_eq!(seen, [(ms(3_030), EventFlags::READING | EventFlags::TIMEOUT)]);
    assert_eq!(rig.stream(Side::B).excused_timeouts(), 90, "three in each of thirty waits");
}

#[test]
fn a_close_writes_what_is_left_in_order_whatever_the_faults() {
    let odds = Odds { short: 200, would_block: 100, interrupted: 100, ..Odds::default() };
    for seed in 0..500 {
        let link = LinkOptions { capacity: 700, ..LinkOptions::default() };
        let mut rig = Rig::new(Link::new(link, Faults::random(seed, odds)));
        let bytes: Vec<u8> = (0..9_000usize).map(|place| (place % 251) as u8).collect();
        let stream = rig.stream(Side::A);
        stream.buffers().1.add(&bytes);
        stream.close(ms(1));
        let (mut received, mut ends) = (Vec::new(), 0);
        rig.run(Time::MAX, &mut |side, _, stream, callback| {
            assert_eq!(side, Side::B, "a closed stream is told nothing, seed {seed}");
            match callback {
                Callback::Event(event) => {
                    assert_eq!(event.flags, EventFlags::READING | EventFlags::EOF, "seed {seed}");
                    ends += 1;
                }
                _ => {
                    received.extend(stream.input().to_vec());
                    stream.buffers().0.clear();
                }
            }
        });
        assert!(received == bytes, "{} bytes came, seed {seed}", received.len());
        assert_eq!((ends, rig.stream(Side::A).is_closed()), (1, true), "seed {seed}");
    }
}

#[test]
fn a_close_is_over_at_the_linger_deadline_if_the_peer_takes_nothing() {
    let mut rig = rig(700);
    rig.stream(Side::B).disable(Time::ZERO, Direction::Read);
    rig.stream(Side::A).buffers().1.add(&[7; 5_000]);
    rig.stream(Side::A).close(ms(30_000));
    rig.run(Time::from_nanos(ms(30_000).as_nanos() - 1), &mut |_, _, _, _| {});
    assert!(!rig.stream(Side::A).is_closed());
    assert_eq!(rig.stream(Side::A).output().len(), 4_300);
    rig.run(ms(30_000), &mut |_, _, _, _| {});
    assert!(rig.stream(Side::A).is_closed());
}

#[test]
fn a_peer_that_sends_and_never_reads_cannot_fill_the_memory() {
    let mut rig = rig(10_000);
    rig.stream(Side::A).disable(Time::ZERO, Direction::Read);
    rig.stream(Side::A).buffers().1.add(&[7; 1_000_000]);
    let stream = rig.stream(Side::B);
    stream.set_max_output(50_000);
    rig.run(Time::MAX, &mut |side, _, stream, _| {
        if side == Side::B {
            let (input, output) = stream.buffers();
            output.append(input);
        }
    });
    let peak = rig.peak(Side::B);
    assert!(peak.output > 50_000 && peak.output <= 50_000 + 16_384, "{peak:?}");
    assert_eq!(rig.stream(Side::B).suspended(Direction::Read), Suspend::OUTPUT);
    // Nothing is lost: as the peer reads at last, all of it comes back.
    rig.stream(Side::A).enable(Time::ZERO, Direction::Read);
    let mut echoed = 0;
    rig.run(Time::MAX, &mut |side, _, stream, _| {
        let (input, output) = stream.buffers();
        match side {
            Side::A => echoed += input.drain(usize::MAX),
            Side::B => output.append(input),
        }
    });
    assert_eq!(echoed, 1_000_000);
}

#[test]
fn a_reset_in_the_middle_of_writing_is_one_error_event_even_if_nobody_closes() {
    // A reads and writes, B reads, A writes again, and so on: most of these cut a write of A.
    for operation in 0..12 {
        let link = LinkOptions { capacity: 40_000, ..LinkOptions::default() };
        let mut rig = Rig::new(Link::new(link, Faults::once(operation, Fault::Reset)));
        rig.stream(Side::A).buffers().1.add(&[7; 300_000]);
        let mut errors = [0; 2];
        rig.run(Time::MAX, &mut |side, _, stream, callback| {
            stream.buffers().0.clear();
            if let Callback::Event(event) = callback {
                errors[side as usize] += u32::from(event.flags.contains(EventFlags::ERROR));
            }
        });
        assert_eq!(errors, [1, 1], "at operation {operation}");
    }
}
