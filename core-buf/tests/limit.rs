//! Own limits and groups on streams over a simulated link: what moved, in every window.
//!
//! The check of a window has no slack: of all windows between two operations, the one with most
//! above `rate * T` has at most the burst above it.

use std::num::NonZeroU32;
use std::time::Duration;

use sluicegate_core_buf::Callback;
use sluicegate_core_buf::testing::{Faults, Link, LinkOptions, Odds, Operation, Rig, Side};
use sluicegate_groups::{Direction, Group, Time, TokenBucketConfig};

fn smooth(rate: u64, burst: u64) -> TokenBucketConfig {
    let rate = format!("{rate}B/s").parse().expect("a rate");
    TokenBucketConfig::per_second(rate).with_burst(burst).expect("a valid burst")
}

/// The most bytes above `ceil(rate * T)` in any window of length T.
///
/// `rate` is per `period`; with a tick time counts in whole periods from zero.
fn worst_excess(
    operations: impl Iterator<Item = Operation>,
    rate: u64,
    period: Duration,
    tick: bool,
) -> u64 {
    let period_ns = period.as_nanos() as i128;
    let (mut moved, mut least, mut worst) = (0i128, i128::MAX, 0i128);
    for operation in operations {
        let mut at_ns = i128::from(operation.at.as_nanos());
        if tick {
            at_ns -= at_ns % period_ns;
        }
        let level = |moved: i128| moved * period_ns - i128::from(rate) * at_ns;
        least = least.min(level(moved));
        moved += i128::from(operation.bytes);
        worst = worst.max(level(moved) - least);
    }
    // What moved is whole bytes, so a bound of ceil(rate * T) allows a fraction above rate * T.
    (worst / period_ns) as u64
}

/// A sends `total` bytes and B consumes them; returns how many came.
fn flood(rig: &mut Rig, total: usize, until: Time) -> usize {
    rig.stream(Side::A).buffers().1.add(&vec![7; total]);
    let mut received = 0;
    rig.run(until, &mut |side, _, stream, callback| {
        if let (Side::B, Callback::Read) = (side, callback) {
            received += stream.buffers().0.drain(usize::MAX);
        }
    });
    received
}

fn of(rig: &Rig, side: Side, direction: Direction) -> Vec<Operation> {
    let of = |operation: &&Operation| operation.side == side && operation.direction == direction;
    rig.operations().iter().filter(of).copied().collect()
}

fn faulty(seed: u64) -> Link {
    let odds = Odds { short: 150, would_block: 100, interrupted: 100, ..Odds::default() };
    let options = LinkOptions {
        capacity: 8_000,
        delay: Duration::from_micros(300),
        jitter: Duration::from_micros(200),
    };
    Link::new(options, Faults::random(seed, odds))
}

#[test]
fn an_own_limit_holds_in_every_window_and_is_used_up() {
    for seed in 0..50 {
        for (limited, direction) in [(Side::A, Direction::Write), (Side::B, Direction::Read)] {
            let mut rig = Rig::new(faulty(seed));
            let config = smooth(100_000, 3_000);
            rig.stream(limited).set_rate_limit(Time::ZERO, Some(config));
            assert_eq!(flood(&mut rig, 50_000, Time::MAX), 50_000, "seed {seed}");
            let operations = of(&rig, limited, direction);
            let second = Duration::from_secs(1);
            let excess = worst_excess(operations.iter().copied(), 100_000, second, false);
            assert!(excess <= 3_000, "{excess} bytes above the rate, seed {seed}");
            let took = operations.last().expect("some operations").at;
            assert!(took <= Time::from_nanos(510_000_000), "took {took:?}, seed {seed}");
            // A quantum is 100 bytes; short operations and rests of a buffer come on top.
            assert!(operations.len() < 800, "{} operations, seed {seed}", operations.len());
        }
    }
}

#[test]
fn a_ticking_limit_holds_over_tick_edges() {
    let tick = Duration::from_millis(100);
    for seed in 0..50 {
        let mut rig = Rig::new(faulty(seed));
        let config = TokenBucketConfig::new(1_000, 2_500, 1_000, 2_500, Some(tick));
        rig.stream(Side::B).set_rate_limit(Time::ZERO, Some(config.expect("a valid config")));
        assert_eq!(flood(&mut rig, 20_000, Time::MAX), 20_000, "seed {seed}");
        let operations = of(&rig, Side::B, Direction::Read);
        let excess = worst_excess(operations.iter().copied(), 1_000, tick, true);
        assert!(excess <= 2_500, "{excess} bytes above the rate, seed {seed}");
        // The first fill and one at each edge: 19 edges for 20,000 bytes.
        assert_eq!(operations.last().expect("some operations").at.as_nanos(), 1_900_000_000);
    }
}

#[test]
fn own_limit_and_group_both_hold_and_both_are_charged() {
    for seed in 0..20 {
        let group = Group::builder(smooth(200_000, 8_000)).seats(1).build(Time::ZERO);
        let group = group.expect("a valid group");
        let mut rig = Rig::new(faulty(seed));
        for side in Side::BOTH {
            rig.join(side, &group, NonZeroU32::MIN);
        }
        rig.stream(Side::B).set_rate_limit(Time::ZERO, Some(smooth(50_000, 2_000)));
        assert_eq!(flood(&mut rig, 30_000, Time::MAX), 30_000, "seed {seed}");
        assert_eq!(group.totals(), (30_000, 30_000), "seed {seed}");
        let second = Duration::from_secs(1);
        let reads = of(&rig, Side::B, Direction::Read);
        let own = worst_excess(reads.iter().copied(), 50_000, second, false);
        assert!(own <= 2_000, "{own} bytes above the own rate, seed {seed}");
        let writes = of(&rig, Side::A, Direction::Write);
        let shared = worst_excess(writes.into_iter(), 200_000, second, false);
        assert!(shared <= 8_000, "{shared} bytes above the group's rate, seed {seed}");
        let took = reads.last().expect("some reads").at;
        assert!(took <= Time::from_nanos(610_000_000), "took {took:?}, seed {seed}");
    }
}

#[test]
fn members_that_flood_each_other_share_their_group() {
    let group = Group::builder(smooth(1_000_000, 20_000)).seats(1).build(Time::ZERO);
    let group = group.expect("a valid group");
    let mut rig = Rig::new(Link::new(LinkOptions::default(), Faults::none()));
    for side in Side::BOTH {
        rig.join(side, &group, NonZeroU32::MIN);
        rig.stream(side).buffers().1.add(&vec![7; 900_000]);
    }
    rig.run(Time::from_nanos(1_000_000_000), &mut |_, _, stream, _| stream.buffers().0.clear());
    let moved = |side, direction| -> u64 {
        of(&rig, side, direction).iter().map(|operation| operation.bytes).sum()
    };
    for direction in Direction::ALL {
        let (a, b) = (moved(Side::A, direction), moved(Side::B, direction));
        assert!((990_000..=1_020_000).contains(&(a + b)), "{direction}: {a} and {b}");
        assert!(a.abs_diff(b) <= 10_000, "{direction}: {a} and {b}");
    }
    let writes = rig.operations().iter().filter(|one| one.direction == Direction::Write).copied();
    let excess = worst_excess(writes, 1_000_000, Duration::from_secs(1), false);
    assert!(excess <= 20_000, "{excess} bytes above the rate");
}

#[test]
fn an_unlimited_direction_beside_a_limited_one_runs_freely() {
    let config = TokenBucketConfig::builder().write("1kB/s".parse().expect("a rate")).build();
    let mut rig = Rig::new(Link::new(LinkOptions::default(), Faults::none()));
    rig.stream(Side::B).set_rate_limit(Time::ZERO, Some(config.expect("a valid config")));
    assert_eq!(flood(&mut rig, 1_000_000, Time::ZERO), 1_000_000);
}

#[test]
fn the_window_check_sees_one_byte_too_many() {
    let operation = |at_ms: u64, bytes| Operation {
        at: Time::from_nanos(at_ms * 1_000_000),
        side: Side::A,
        direction: Direction::Read,
        bytes,
    };
    let excess = |bytes| {
        let operations = [operation(0, 500), operation(5_000, 1_000), operation(5_100, bytes)];
        worst_excess(operations.into_iter(), 1_000, Duration::from_secs(1), false)
    };
    assert_eq!((excess(100), excess(101)), (1_000, 1_001));
}
