//! The bucket of one connection against a model that counts nanosecond by nanosecond.
//!
//! The model holds one number and knows nothing of byte clocks: in each nanosecond it adds what
//! appears in it, byte by byte, and throws away what the burst cannot hold.

use std::time::Duration;

use proptest::prelude::*;
use sluicegate_groups::{Direction, Limit, Time, TokenBucket, TokenBucketConfig};

const DIR: Direction = Direction::Read;

struct Model {
    now: u64,
    level: i64,
    limit: Limit,
    tick: Option<u64>,
    /// Nanoseconds since the last edge, or the part of a byte that has appeared, in 1e-9 bytes.
    phase: u64,
}

impl Model {
    fn new(config: &TokenBucketConfig, fill: i64) -> Self {
        let limit = config.limit(DIR).unwrap();
        Self { now: 0, level: fill, limit, tick: tick_ns(config), phase: 0 }
    }

    fn advance(&mut self, now: u64) {
        let burst = self.limit.burst() as i64;
        while self.now < now {
            self.now += 1;
            match self.tick {
                Some(tick) => {
                    self.phase += 1;
                    if self.phase == tick {
                        self.phase = 0;
                        self.level = (self.level + self.limit.rate() as i64).min(burst);
                    }
                }
                None => {
                    self.phase += self.limit.rate();
                    while self.phase >= 1_000_000_000 {
                        self.phase -= 1_000_000_000;
                        self.level = (self.level + 1).min(burst);
                    }
                }
            }
        }
    }

    fn set_config(&mut self, config: &TokenBucketConfig) {
        let (limit, tick) = (config.limit(DIR).unwrap(), tick_ns(config));
        self.phase = match (self.tick, tick) {
            (Some(_), Some(tick)) => self.phase.min(tick - 1),
            (None, None) if limit.rate() == self.limit.rate() => self.phase,
            // As much of a byte, in whole nanoseconds, of which there were only so many.
            (None, None) => (self.phase / limit.rate()).min(self.now) * limit.rate(),
            _ => 0,
        };
        (self.limit, self.tick) = (limit, tick);
        self.level = self.level.min(self.limit.burst() as i64);
    }
}

fn tick_ns(config: &TokenBucketConfig) -> Option<u64> {
    config.tick().map(|tick| tick.as_nanos() as u64)
}

#[derive(Clone, Debug)]
enum Step {
    Advance(u64),
    Reverse(u64),
    /// Moves this many thousandths of what is available.
    Move(u64),
    Adjust(i64),
    SetConfig(TokenBucketConfig),
}

fn config() -> impl Strategy<Value = TokenBucketConfig> {
    let ticking = (1u64..50, 0u64..200, 1u64..300).prop_map(|(rate, extra, tick)| {
        let burst = rate + extra;
        let tick = Some(Duration::from_nanos(tick));
        TokenBucketConfig::new(rate, burst, rate, burst, tick).unwrap()
    });
    let smooth = (1u64..4_000_000_000, 1u64..5000).prop_map(|(rate, burst)| {
        let rate = sluicegate_groups::Rate::bytes_per_second(rate).unwrap();
        TokenBucketConfig::per_second(rate).with_burst(burst).unwrap()
    });
    prop_oneof![ticking, smooth]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0u64..400).prop_map(Step::Advance),
        1 => (0u64..400).prop_map(Step::Reverse),
        4 => (0u64..=1000).prop_map(Step::Move),
        1 => (-2000i64..2000).prop_map(Step::Adjust),
        1 => config().prop_map(Step::SetConfig),
    ]
}

proptest! {
    #[test]
    fn the_bucket_agrees_with_counting_every_nanosecond(
        first in config(),
        steps in prop::collection::vec(step(), 1..60),
    ) {
        let mut bucket = TokenBucket::new(Time::ZERO, &first);
        let fill = bucket.available(Time::ZERO, DIR);
        let limit = first.limit(DIR).unwrap();
        match first.tick() {
            Some(_) => prop_assert_eq!(fill as u64, limit.rate()),
            None => {
                let quantum = (limit.rate() / 1000).clamp(64, 65_536);
                prop_assert_eq!(fill as u64, quantum.min(limit.burst()));
            }
        }
        let mut model = Model::new(&first, fill);
        for step in steps {
            let now = Time::from_nanos(model.now);
            match step {
                Step::Advance(ns) => model.advance(model.now + ns),
                Step::Reverse(ns) => {
                    let earlier = Time::from_nanos(model.now.saturating_sub(ns));
                    prop_assert_eq!(bucket.available(earlier, DIR), model.level);
                }
                Step::Move(thousandths) => {
                    let bytes = bucket.available(now, DIR).max(0) as u64 * thousandths / 1000;
                    bucket.charge(DIR, bytes);
                    model.level -= bytes as i64;
                }
                Step::Adjust(bytes) => {
                    bucket.adjust(now, DIR, bytes);
                    model.level = (model.level - bytes).min(model.limit.burst() as i64);
                }
                Step::SetConfig(config) => {
                    bucket.set_config(now, &config);
                    model.set_config(&config);
                }
            }
            let now = Time::from_nanos(model.now);
            prop_assert_eq!(bucket.available(now, DIR), model.level);
            prop_assert_eq!(bucket.next_ready(now, DIR).is_none(), model.level > 0);
        }
    }

    #[test]
    fn the_bucket_is_ready_when_it_said_and_not_before(
        config in config(),
        debt in 0i64..3000,
        start in 0u64..1000,
    ) {
        let start = Time::from_nanos(start);
        let mut bucket = TokenBucket::new(start, &config);
        let level = bucket.available(start, DIR);
        bucket.adjust(start, DIR, level + debt);
        let ready = bucket.next_ready(start, DIR).unwrap();
        let worthwhile = match config.tick() {
            Some(_) => 1,
            None => level,
        };
        let mut before = bucket.clone();
        let just_before = Time::from_nanos(ready.as_nanos() - 1);
        prop_assert!(before.available(just_before, DIR) < worthwhile);
        prop_assert!(bucket.available(ready, DIR) >= worthwhile);
    }
}
