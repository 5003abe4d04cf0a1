//! Limits that are changed all the time: what they bring is what their rates bring.
//!
//! Each change keeps what it can of the byte, or the tick, that was under way. No group or
//! connection may move less because somebody sets its limit again, or more.

mod seat;

use std::time::Duration;

use seat::READ;
use sluicegate_groups::{Group, GroupShard, MemberId, Time, TokenBucket, TokenBucketConfig};

const SECOND: u64 = 1_000_000_000;

fn smooth(rate: &str) -> TokenBucketConfig {
    TokenBucketConfig::per_second(rate.parse().unwrap())
}

/// `rate` bytes in each tick of so many milliseconds.
fn ticking(rate: u64, tick_ms: u64) -> TokenBucketConfig {
    let (burst, tick) = (1 << 20, Duration::from_millis(tick_ms));
    TokenBucketConfig::new(rate, burst, rate, burst, Some(tick)).unwrap()
}

/// What moves through a limit: a group with a lone member, or a connection's own.
trait Limited {
    fn set(&mut self, now: Time, config: &TokenBucketConfig);
    fn exhaust(&mut self, now: Time) -> u64;
}

impl Limited for TokenBucket {
    fn set(&mut self, now: Time, config: &TokenBucketConfig) {
        self.set_config(now, config);
    }

    fn exhaust(&mut self, now: Time) -> u64 {
        let bytes = u64::try_from(self.available(now, READ)).unwrap_or(0);
        self.charge(READ, bytes);
        bytes
    }
}

impl Limited for (Group, GroupShard, MemberId) {
    fn set(&mut self, now: Time, config: &TokenBucketConfig) {
        self.0.set_config(now, config.clone()).unwrap();
    }

    fn exhaust(&mut self, now: Time) -> u64 {
        let (_, shard, member) = self;
        // A byte at a time, so that none is left for being less than a quantum.
        let moved = seat::exhaust(shard, *member, 1, now);
        shard.cancel(*member, READ);
        moved
    }
}

fn both(config: &TokenBucketConfig) -> [(&'static str, Box<dyn Limited>); 2] {
    let group = Group::builder(config.clone()).min_share(1).build(Time::ZERO).unwrap();
    let (shard, member) = seat::take(&group, Time::ZERO, 1);
    let own = TokenBucket::new(Time::ZERO, config);
    [("group", Box::new((group, shard, member))), ("own limit", Box::new(own))]
}

/// Moves all that comes in `seconds`, with one config after the other set every `step_ns`.
fn run(limit: &mut dyn Limited, configs: &[TokenBucketConfig], step_ns: u64, seconds: u64) -> u64 {
    limit.exhaust(Time::ZERO);
    let (mut now, mut moved) = (Time::ZERO, 0);
    for config in configs.iter().cycle() {
        limit.set(now, config);
        now = now + Duration::from_nanos(step_ns);
        moved += limit.exhaust(now);
        if now.as_nanos() >= seconds * SECOND {
            break;
        }
    }
    moved
}

#[test]
fn setting_the_same_limit_again_changes_nothing() {
    for (config, due) in [(smooth("1B/s"), 1), (smooth("3B/s"), 3), (ticking(7, 1000), 7)] {
        for (kind, mut limit) in both(&config) {
            let moved = run(&mut *limit, std::slice::from_ref(&config), SECOND / 2, 100);
            assert_eq!(moved, 100 * due, "{kind}, {config:?}");
        }
    }
}

#[test]
fn setting_another_burst_or_smallest_share_changes_nothing_either() {
    let config = smooth("1B/s");
    let bursts = [1000, 2000].map(|burst| config.clone().with_burst(burst).unwrap());
    for (kind, mut limit) in both(&config) {
        assert_eq!(run(&mut *limit, &bursts, SECOND / 2, 100), 100, "{kind}");
    }
    let group = Group::builder(config).min_share(1).build(Time::ZERO).unwrap();
    let filled = group.read_limit(Time::ZERO);
    for half in 1..=60 {
        group.set_min_share(Time::from_nanos(half * SECOND / 2), 1 + half % 2).unwrap();
    }
    assert_eq!(group.read_limit(Time::from_nanos(30 * SECOND)), filled + 30);
}

#[test]
fn rates_that_take_turns_bring_what_each_brings_in_its_time() {
    let configs = [smooth("1B/s"), smooth("3B/s"), smooth("8B/s")];
    for (kind, mut limit) in both(&configs[0]) {
        let moved = run(&mut *limit, &configs, SECOND / 10, 300);
        assert!((1199..=1200).contains(&moved), "{kind}: {moved} of 1200");
    }
}

#[test]
fn ticks_that_take_turns_come_to_their_ends() {
    // 10 B/ms both: what a tick has behind it when its length changes counts.
    let configs = [ticking(1000, 100), ticking(10_000, 1000)];
    for step_ms in [40, 70, 90] {
        for (kind, mut limit) in both(&configs[0]) {
            let moved = run(&mut *limit, &configs, step_ms * 1_000_000, 100);
            let due = 1_000_000;
            assert!((due / 2..=due).contains(&moved), "{kind}, {step_ms} ms: {moved} of {due}");
        }
    }
}
