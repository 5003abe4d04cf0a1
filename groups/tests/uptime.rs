//! Years of uptime in virtual time: counts wrap, and silence of any length leaves a full group.
//!
//! The count of bytes consumed wraps at 2^64, which the largest rate fills in 194 days. Whatever
//! lies between two uses of a group, and whoever looked at it meanwhile, it must then hold what it
//! can save up: not less, which would freeze it for weeks, and not more.

mod seat;

use std::num::NonZeroU32;
use std::time::Duration;

use seat::READ;
use sluicegate_groups::{Group, GroupShard, MemberId, Time, TokenBucket, TokenBucketConfig};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
const FIRST: Time = Time::from_nanos(DAY.as_nanos() as u64);
const RATES: [&str; 5] = ["1B/s", "1MB/s", "10GB/s", "100GB/s", "1TiB/s"];

/// Each hundredth of the time in which a rate fills 2^64 bytes, up to more than twice of it, as far
/// as centuries reach; and some round spans.
fn silences(rate: &str) -> Vec<Duration> {
    let wrap_seconds = (1u128 << 64) / u128::from(bytes(rate));
    (1..=230)
        .map(|percent| wrap_seconds * percent / 100)
        .filter_map(|seconds| u64::try_from(seconds).ok())
        .filter(|&seconds| seconds < 500 * 365 * 86_400)
        .chain([86_400, 365 * 86_400, 500 * 365 * 86_400])
        .map(Duration::from_secs)
        .collect()
}

fn bytes(rate: &str) -> u64 {
    rate.parse::<sluicegate_groups::Rate>().unwrap().as_bytes_per_second()
}

fn smooth(rate: &str) -> TokenBucketConfig {
    TokenBucketConfig::per_second(rate.parse().unwrap())
}

fn ticking(rate: &str) -> TokenBucketConfig {
    let tick = Duration::from_millis(100);
    let each = (bytes(rate) / 10).max(1);
    TokenBucketConfig::new(each, 4 * each, each, 4 * each, Some(tick)).unwrap()
}

fn seat(group: &Group, now: Time) -> (GroupShard, MemberId) {
    seat::take(group, now, 1)
}

/// Moves all that a lone member can at one instant, and leaves nobody waiting.
fn exhaust(shard: &mut GroupShard, member: MemberId, now: Time) -> u64 {
    let moved = seat::exhaust(shard, member, u64::MAX, now);
    shard.cancel(member, READ);
    shard.park();
    moved
}

/// A group that is used up at the end of its first day.
fn used_up(config: &TokenBucketConfig) -> (Group, GroupShard, MemberId) {
    let group = Group::builder(config.clone()).seats(2).build(FIRST).unwrap();
    let (mut shard, member) = seat(&group, FIRST);
    exhaust(&mut shard, member, FIRST);
    (group, shard, member)
}

/// Says whether a lone member moves just what a full group has, but for a last crumb.
fn is_full(group: &Group, shard: &mut GroupShard, member: MemberId, now: Time) -> bool {
    let full = group.usable_burst(READ);
    let moved = exhaust(shard, member, now);
    let burst = group.config().limit(READ).unwrap().burst();
    moved <= burst && moved + shard.quantum(READ) > full
}

#[test]
fn a_group_that_was_silent_for_any_time_is_full_and_no_more() {
    for rate in RATES {
        for config in [smooth(rate), ticking(rate)] {
            for silence in silences(rate) {
                let (group, mut shard, member) = used_up(&config);
                for round in 1..=2 {
                    let now = FIRST + silence * round;
                    let full = is_full(&group, &mut shard, member, now);
                    assert!(full, "{rate}, {silence:?}, round {round}");
                }
            }
        }
    }
}

#[test]
fn whoever_looks_first_after_a_long_silence_sees_a_full_group() {
    for rate in RATES {
        let config = smooth(rate);
        for silence in silences(rate) {
            let later = FIRST + silence;
            let (group, ..) = used_up(&config);
            let full = group.usable_burst(READ);
            assert_eq!(group.read_limit(later), full as i64, "{rate}, {silence:?}");

            let (group, ..) = used_up(&config);
            group.decrement(later, READ, 10).unwrap();
            assert_eq!(group.read_limit(later), full as i64 - 10, "{rate}, {silence:?}");

            let (group, ..) = used_up(&config);
            group.set_config(later, config.clone()).unwrap();
            assert_eq!(group.read_limit(later), full as i64, "{rate}, {silence:?}");

            let (_, shard, _) = used_up(&config);
            let foretold = shard.allowance(later, READ, u64::MAX);
            assert_eq!(foretold, shard.max_grant(READ).min(full), "{rate}, {silence:?}");
        }
    }
}

#[test]
fn a_group_that_is_only_looked_at_stays_full() {
    let (group, mut shard, member) = used_up(&smooth("1TiB/s"));
    for day in 1..1500 {
        let now = FIRST + DAY * day;
        assert_eq!(group.read_limit(now), group.usable_burst(READ) as i64, "day {day}");
    }
    let now = FIRST + DAY * 1500;
    assert!(is_full(&group, &mut shard, member, now));
    assert_eq!(exhaust(&mut shard, member, now), 0);
}

#[test]
fn a_core_that_slept_takes_nothing_that_another_has_used() {
    let group = Group::builder(smooth("1TiB/s")).seats(2).build(Time::ZERO).unwrap();
    let ((mut sleeper, idle), (mut worker, busy)) =
        (seat(&group, Time::ZERO), seat(&group, Time::ZERO));
    exhaust(&mut sleeper, idle, Time::ZERO);
    for day in 1..800 {
        let now = Time::ZERO + DAY * day;
        exhaust(&mut worker, busy, now);
        if day % 200 == 0 {
            assert_eq!(exhaust(&mut sleeper, idle, now), 0, "day {day}");
        }
    }
}

#[test]
fn a_debt_is_paid_back_to_the_day_whenever_it_is_looked_at() {
    // The deepest debt, 2^60 bytes, takes twelve days and a bit.
    let (group, mut shard, member) = used_up(&smooth("1TiB/s"));
    let debited = FIRST + DAY * 6;
    group.decrement(debited, READ, i64::MAX).unwrap();
    for days in 1..=12 {
        let now = debited + DAY * days;
        assert!(group.read_limit(now) < 0, "after {days} days");
        assert_eq!(exhaust(&mut shard, member, now), 0, "after {days} days");
    }
    assert!(is_full(&group, &mut shard, member, debited + DAY * 13));
}

#[test]
fn a_core_that_overslept_by_centuries_with_a_member_waiting_has_a_deadline() {
    // A byte in two nanoseconds: 2^63 of them until the end of time.
    let tick = Some(Duration::from_nanos(2));
    let config = TokenBucketConfig::new(1, 2, 1, 2, tick).unwrap();
    let group = Group::builder(config).min_share(1).build(Time::ZERO).unwrap();
    let ((mut light, waiting), (mut heavy, _)) =
        (seat(&group, Time::ZERO), seat(&group, Time::ZERO));
    assert_eq!(light.request(waiting, READ, 2, || Time::ZERO), None, "a byte is there");
    let member = heavy.join(0, NonZeroU32::new(2).unwrap());
    assert_eq!(heavy.request(member, READ, 2, || Time::ZERO), None, "others wait too");
    assert_eq!(group.read_limit(Time::MAX), 2, "the word is near its clock again");
    for shard in [&mut light, &mut heavy] {
        assert!(shard.poll_deadline().is_some());
        let (_, member, grant) = shard.poll_grant(READ, || Time::MAX).expect("all is there");
        shard.settle(member, grant, 0, false);
    }
}

#[test]
fn an_own_limit_that_was_silent_for_any_time_is_full() {
    for rate in RATES {
        for config in [smooth(rate), ticking(rate)] {
            for silence in silences(rate) {
                let mut bucket = TokenBucket::new(Time::ZERO, &config);
                let burst = config.limit(READ).unwrap().burst();
                let mut now = Time::ZERO;
                for _ in 0..2 {
                    let level = bucket.available(now, READ);
                    bucket.charge(READ, level as u64);
                    now = now + silence;
                    let earned = u128::from(bytes(rate)) * silence.as_nanos() / 1_000_000_000;
                    if earned >= 2 * u128::from(burst) {
                        assert_eq!(bucket.available(now, READ), burst as i64, "{rate} {silence:?}");
                    }
                }
            }
        }
    }
}
