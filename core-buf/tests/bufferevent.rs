//! Whole transfers between two bufferevents over a simulated link, in virtual time.
//!
//! First with one fault at every single operation, then under random schedules: whatever happens,
//! bytes come out in order and once, buffers stay within their bounds, and a stream that cannot go
//! on says so. A failing run names its seed, and the same seed fails the same way everywhere.

use std::time::Duration;

use rand::rngs::Xoshiro256PlusPlus;
use rand::{Rng, RngExt, SeedableRng};
use sluicegate_core_buf::testing::{Fault, Faults, Link, LinkOptions, Odds, Rig, Side};
use sluicegate_core_buf::{Bufferevent, Callback, EventFlags};
use sluicegate_groups::{Direction, Time, TokenBucketConfig};

const LINGER: Duration = Duration::from_secs(30);

/// Settings of one run: A sends `total` bytes, B echoes them, A closes when it has them all.
#[derive(Clone, Debug)]
struct Case {
    total: usize,
    link: LinkOptions,
    /// The high mark of both inputs.
    high: usize,
    max_output: usize,
    max_single: usize,
    /// How much a read callback consumes at most.
    bite: usize,
    /// The limit of B, both directions.
    limit: Option<TokenBucketConfig>,
}

impl Case {
    /// Small enough that a fault at every operation of it is quick, with every bound reached.
    fn small() -> Self {
        Self {
            total: 6_000,
            link: LinkOptions { capacity: 1_500, ..LinkOptions::default() },
            high: 700,
            max_output: 900,
            max_single: 512,
            bite: usize::MAX,
            limit: None,
        }
    }

    fn random(seed: u64) -> Self {
        let mut random = Xoshiro256PlusPlus::seed_from_u64(seed);
        let mut pick = |least: usize, most: usize| random.random_range(least..=most);
        let mut case = Self {
            total: pick(1, 20_000),
            link: LinkOptions {
                capacity: pick(1_000, 20_000),
                delay: Duration::from_micros(pick(0, 2_000) as u64),
                jitter: Duration::from_micros(pick(0, 500) as u64),
            },
            high: pick(300, 5_000),
            max_output: pick(300, 5_000),
            max_single: pick(200, 4_000),
            bite: pick(100, 6_000),
            limit: None,
        };
        if random.next_u32() % 4 == 0 {
            let rate = "1MB/s".parse().expect("a rate");
            let burst = random.random_range(500..5_000);
            let config = TokenBucketConfig::per_second(rate).with_burst(burst);
            case.limit = Some(config.expect("a valid burst"));
        }
        case
    }
}

/// What the applications on both sides have seen.
#[derive(Debug, Default)]
struct Seen {
    sent: usize,
    /// How many bytes came back to A, each of them checked.
    echoed: usize,
    errors: [u32; 2],
    ends: [u32; 2],
    timeouts: [u32; 2],
}

/// The byte at a place of the stream; neighbours differ, and so do places 251 apart and less.
fn byte(place: usize) -> u8 {
    (place % 251) as u8
}

impl Seen {
    fn send(&mut self, case: &Case, stream: &mut Bufferevent) {
        let room = case.max_output.saturating_sub(stream.output().len());
        let count = room.min(case.total - self.sent);
        let bytes: Vec<u8> = (self.sent..self.sent + count).map(byte).collect();
        stream.buffers().1.add(&bytes);
        self.sent += count;
    }

    fn handle(
        &mut self,
        case: &Case,
        side: Side,
        now: Time,
        stream: &mut Bufferevent,
        cb: Callback,
    ) {
        match (side, cb) {
            (Side::A, Callback::Write) => self.send(case, stream),
            (Side::A, Callback::Read) => {
                let mut bytes = vec![0; stream.input().len()];
                stream.buffers().0.remove(&mut bytes);
                let expected = (self.echoed..self.sent).map(byte);
                assert!(expected.take(bytes.len()).eq(bytes.iter().copied()), "out of order");
                self.echoed += bytes.len();
                if self.echoed == case.total {
                    stream.close(now + LINGER);
                }
            }
            (Side::B, Callback::Read) => {
                let (input, output) = stream.buffers();
                input.move_to(output, case.bite);
            }
            // What the last read callback has left is echoed as there is room again.
            (Side::B, Callback::Write) => {
                let (input, output) = stream.buffers();
                input.move_to(output, case.bite);
            }
            (side, Callback::Event(event)) => {
                self.errors[side as usize] += u32::from(event.flags.contains(EventFlags::ERROR));
                self.ends[side as usize] += u32::from(event.flags.contains(EventFlags::EOF));
                self.timeouts[side as usize] +=
                    u32::from(event.flags.contains(EventFlags::TIMEOUT));
                let (input, output) = stream.buffers();
                if side == Side::B {
                    output.append(input);
                }
                stream.close(now + LINGER);
            }
        }
    }
}

/// Runs an echo to its end and checks what must hold whatever the faults were.
fn echo(case: &Case, faults: Faults) -> (Seen, u64) {
    let mut rig = Rig::new(Link::new(case.link, faults));
    let mut seen = Seen::default();
    for side in Side::BOTH {
        let stream = rig.stream(side);
        stream.set_read_watermark(0, case.high);
        stream.set_max_output(case.max_output);
        for direction in Direction::ALL {
            stream.set_max_single(direction, case.max_single);
        }
    }
    rig.stream(Side::B).set_rate_limit(Time::ZERO, case.limit.clone());
    seen.send(case, rig.stream(Side::A));
    rig.run(Time::MAX, &mut |side, now, stream, callback| {
        seen.handle(case, side, now, stream, callback);
    });
    for side in Side::BOTH {
        let peak = rig.peak(side);
        assert!(peak.input <= case.high, "{peak:?} of {side:?} under {case:?}");
        // An echo adds what it has read to an output that may just be at its maximum: one read,
        // or all that it had left in the input.
        let more = if case.bite < case.high { case.high } else { case.max_single.min(case.high) };
        assert!(peak.output <= case.max_output + more, "{peak:?} of {side:?} under {case:?}");
    }
    assert!(seen.errors.iter().all(|&errors| errors <= 1), "{seen:?}");
    assert!(rig.stream(Side::A).is_closed() && rig.stream(Side::B).is_closed(), "{seen:?} {rig:?}");
    let operations = rig.link().operations();
    (seen, operations)
}

/// Whether a run ended as a run without losses must.
fn is_whole(case: &Case, seen: &Seen) -> bool {
    seen.echoed == case.total
        && seen.errors == [0, 0]
        && seen.ends == [0, 1]
        && seen.timeouts == [0, 0]
}

#[test]
fn a_fault_that_loses_nothing_at_any_operation_changes_nothing() {
    let case = Case::small();
    let (seen, operations) = echo(&case, Faults::none());
    assert!(is_whole(&case, &seen), "{seen:?}");
    assert!(operations > 50, "every bound was reached, in {operations} operations");
    for operation in 0..operations {
        for fault in [Fault::Short, Fault::WouldBlock, Fault::Interrupted] {
            let (seen, _) = echo(&case, Faults::once(operation, fault));
            assert!(is_whole(&case, &seen), "{fault:?} at operation {operation}: {seen:?}");
        }
    }
}

#[test]
fn a_reset_at_any_operation_is_one_error_on_each_side() {
    let case = Case::small();
    let (_, operations) = echo(&case, Faults::none());
    let mut cut = 0;
    for operation in 0..operations {
        let (seen, _) = echo(&case, Faults::once(operation, Fault::Reset));
        if seen.echoed < case.total {
            assert_eq!(seen.errors, [1, 1], "at operation {operation}: {seen:?}");
            cut += 1;
        }
    }
    assert!(cut > operations / 2, "only {cut} of {operations} transfers were cut");
}

#[test]
fn an_end_of_stream_at_any_operation_is_told_and_what_came_before_it_is_kept() {
    let case = Case::small();
    let (_, operations) = echo(&case, Faults::none());
    for operation in 0..operations {
        let (seen, _) = echo(&case, Faults::once(operation, Fault::HalfClose));
        let told = seen.errors[0] + seen.ends[0];
        assert!(told == 1 || seen.echoed == case.total, "at {operation}: {seen:?}");
    }
}

#[test]
fn random_schedules_without_losses_deliver_everything() {
    let odds = Odds { short: 200, would_block: 100, interrupted: 100, ..Odds::default() };
    for seed in 0..2_000 {
        let case = Case::random(seed);
        let (seen, _) = echo(&case, Faults::random(seed, odds));
        assert!(is_whole(&case, &seen), "seed {seed}: {case:?} {seen:?}");
    }
}

#[test]
fn random_schedules_with_losses_deliver_a_prefix_and_say_so() {
    let odds = Odds { short: 200, would_block: 100, interrupted: 100, reset: 10, half_close: 10 };
    let mut cut = 0;
    for seed in 0..2_000 {
        let case = Case::random(seed);
        let (seen, _) = echo(&case, Faults::random(seed, odds));
        if seen.echoed < case.total {
            assert_eq!(seen.errors[0] + seen.ends[0], 1, "seed {seed}: {case:?} {seen:?}");
            cut += 1;
        }
    }
    assert!((200..1_900).contains(&cut), "{cut} of 2000 transfers were cut");
}

#[test]
fn the_same_seed_gives_the_same_run() {
    let odds = Odds { short: 200, would_block: 100, reset: 5, ..Odds::default() };
    for seed in [3, 4, 5] {
        let run = || echo(&Case::random(seed), Faults::random(seed, odds));
        let ((first, operations), (second, again)) = (run(), run());
        assert_eq!((first.echoed, operations), (second.echoed, again), "seed {seed}");
    }
}
