//! A token bucket: how many bytes one connection may move, and when to ask again.
//!
//! Owns a signed level for each direction and the instant it was last settled. Never reads a
//! clock, never allocates, never blocks; a single owner, plain integers.
//!
//! Invariants: level <= burst; the settled instant never moves backwards, so a clock that steps
//! back brings no bytes and takes none; a new config never raises a level.
//! Source: libevent `ev_token_bucket_update_` (bufferevent_ratelim.c). Differs: refill follows the
//! byte clock of `clock.rs`, levels above the burst cannot arise, a changed tick stays exact.

use std::time::Duration;

use crate::clock::ByteClock;
use crate::config::{Limit, TokenBucketConfig};
use crate::time::{Direction, Time};

/// The limit of a single connection, both directions.
///
/// # Examples
/// ```
/// use sluicegate_groups::{Direction, Time, TokenBucket, TokenBucketConfig};
/// use std::time::Duration;
///
/// let tick = Some(Duration::from_millis(100));
/// let config = TokenBucketConfig::new(300, 1200, 300, 1200, tick)?;
/// let mut bucket = TokenBucket::new(Time::ZERO, &config);
/// assert_eq!(bucket.available(Time::ZERO, Direction::Read), 300);
/// bucket.charge(Direction::Read, 300);
/// let ready = bucket.next_ready(Time::ZERO, Direction::Read);
/// assert_eq!(ready, Some(Time::ZERO + Duration::from_millis(100)));
/// # Ok::<(), sluicegate_groups::ConfigError>(())
/// ```
#[derive(Clone, Debug)]
pub struct TokenBucket {
    levels: [Option<Level>; 2],
}

impl TokenBucket {
    /// Makes a bucket that begins at `now` with one tick's worth, or, without a tick, with one
    /// quantum: 1 ms of the rate, from 64 bytes to 64 KiB, at most the burst.
    #[must_use]
    pub fn new(now: Time, config: &TokenBucketConfig) -> Self {
        let level = |limit| Level::new(now, config, limit, None);
        Self { levels: Direction::ALL.map(|direction| config.limit(direction).map(level)) }
    }

    /// Replaces the config; levels are clipped to the new burst, never raised.
    ///
    /// The tick or byte under way goes on; a tick ends once its new length is over. A direction
    /// that had no limit, or a limit of the other form, starts anew.
    pub fn set_config(&mut self, now: Time, config: &TokenBucketConfig) {
        for direction in Direction::ALL {
            let slot = &mut self.levels[direction.index()];
            if let Some(level) = slot {
                level.settle(now);
            }
            let limit = config.limit(direction);
            *slot = limit.map(|limit| Level::new(now, config, limit, slot.as_ref()));
        }
    }

    /// Returns the bytes that may move now: negative after a debit beyond the level, `i64::MAX`
    /// where there is no limit.
    pub fn available(&mut self, now: Time, direction: Direction) -> i64 {
        self.levels[direction.index()].as_mut().map_or(i64::MAX, |level| level.settle(now))
    }

    /// Takes `bytes` that moved since the last [`available`](Self::available).
    pub fn charge(&mut self, direction: Direction, bytes: u64) {
        if let Some(level) = &mut self.levels[direction.index()] {
            level.tokens = level.tokens.saturating_sub_unsigned(bytes);
        }
    }

    /// Debits `bytes` by hand, or credits them if negative; a credit is clipped at the burst.
    pub fn adjust(&mut self, now: Time, direction: Direction, bytes: i64) {
        if let Some(level) = &mut self.levels[direction.index()] {
            level.settle(now);
            level.tokens = level.tokens.saturating_sub(bytes).min(level.burst);
        }
    }

    /// Returns when to ask again, or `None` if bytes may move now.
    ///
    /// With a tick that is the first edge that lifts the level above zero. Without one it is when
    /// a quantum is there, so that a slow limit does not wake for every byte.
    pub fn next_ready(&mut self, now: Time, direction: Direction) -> Option<Time> {
        let level = self.levels[direction.index()].as_mut()?;
        let tokens = level.settle(now);
        if tokens > 0 {
            return None;
        }
        Some(level.clock.reach(level.worthwhile.saturating_sub(tokens), level.settled))
    }
}

/// One direction of a bucket.
#[derive(Clone, Debug)]
struct Level {
    clock: ByteClock,
    tokens: i64,
    settled: Time,
    /// What the clock had produced when it was settled.
    produced: u128,
    burst: i64,
    /// The level worth waking up for.
    worthwhile: i64,
}

impl Level {
    /// Makes the level of a limit, continuing a settled one if there was one.
    fn new(now: Time, config: &TokenBucketConfig, limit: Limit, before: Option<&Self>) -> Self {
        let (period_ns, stepped) = (config.period_ns(), config.tick().is_some());
        // A clock that stepped back must not produce the same bytes a second time.
        let now = before.map_or(now, |level| level.settled.max(now));
        let clock = match before {
            None => ByteClock::new(now, 0, limit.rate(), period_ns, stepped),
            Some(level) => level.clock.successor(now, limit.rate(), period_ns, stepped),
        };
        let burst = limit.burst() as i64;
        let quantum = clock.bytes_in(QUANTUM_SPAN).clamp(QUANTUM_MIN, QUANTUM_MAX) as i64;
        let (fill, worthwhile) = match stepped {
            true => (limit.rate() as i64, 1),
            false => (quantum.min(burst), quantum.min(burst)),
        };
        let tokens = before.map_or(fill, |level| level.tokens.min(burst));
        Self { clock, tokens, settled: now, produced: clock.produced(now), burst, worthwhile }
    }

    /// Adds what the clock produced since the last time and returns the level.
    fn settle(&mut self, now: Time) -> i64 {
        if now > self.settled {
            let produced = self.clock.produced(now);
            // As much as fills the deepest debt: 64 bits without a sign.
            let gained = u64::try_from(produced - self.produced).unwrap_or(u64::MAX);
            self.tokens = self.tokens.saturating_add_unsigned(gained).min(self.burst);
            (self.settled, self.produced) = (now, produced);
        }
        self.tokens
    }
}

/// A quantum is what the rate brings in this time, ...
const QUANTUM_SPAN: Duration = Duration::from_millis(1);
/// ... at least this, so that slow limits do not move single bytes, ...
const QUANTUM_MIN: u64 = 64;
/// ... and at most this: beyond it a larger operation saves nothing.
const QUANTUM_MAX: u64 = 64 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    const READ: Direction = Direction::Read;

    fn ms(ms: u64) -> Time {
        Time::from_nanos(ms * 1_000_000)
    }

    fn ticking(rate: u64, burst: u64) -> TokenBucketConfig {
        let tick = Some(Duration::from_millis(100));
        TokenBucketConfig::new(rate, burst, rate, burst, tick).unwrap()
    }

    fn smooth(rate: &str, burst: u64) -> TokenBucketConfig {
        TokenBucketConfig::per_second(rate.parse().unwrap()).with_burst(burst).unwrap()
    }

    #[test]
    fn a_tick_bucket_starts_with_one_tick_and_fills_to_the_burst() {
        let mut bucket = TokenBucket::new(ms(0), &ticking(300, 1000));
        assert_eq!(bucket.available(ms(99), READ), 300);
        assert_eq!(bucket.available(ms(100), READ), 600);
        assert_eq!(bucket.available(ms(100_000), READ), 1000);
    }

    #[test]
    fn a_smooth_bucket_starts_with_one_quantum() {
        let mut bucket = TokenBucket::new(ms(0), &smooth("1MB/s", 100_000));
        assert_eq!(bucket.available(ms(0), READ), 1000);
        let mut slow = TokenBucket::new(ms(0), &smooth("10B/s", 20));
        assert_eq!(slow.available(ms(0), READ), 20, "a quantum is at most the burst");
    }

    #[test]
    fn a_clock_that_steps_back_changes_nothing() {
        let mut bucket = TokenBucket::new(ms(1000), &smooth("1MB/s", 100_000));
        bucket.charge(READ, 1000);
        assert_eq!(bucket.available(ms(1010), READ), 10_000);
        assert_eq!(bucket.available(ms(500), READ), 10_000);
        assert_eq!(bucket.available(ms(1011), READ), 11_000);
    }

    #[test]
    fn debts_are_waited_out_and_credits_clipped() {
        let mut bucket = TokenBucket::new(ms(0), &smooth("1MB/s", 5000));
        bucket.adjust(ms(0), READ, 3000);
        assert_eq!(bucket.available(ms(0), READ), -2000);
        assert_eq!(bucket.next_ready(ms(0), READ), Some(ms(3)), "2000 owed and a quantum of 1000");
        bucket.adjust(ms(0), READ, -i64::MAX);
        assert_eq!(bucket.available(ms(0), READ), 5000);
        for _ in 0..3 {
            bucket.adjust(ms(0), READ, i64::MAX);
        }
        assert_eq!(bucket.available(ms(0), READ), i64::MIN, "debts saturate");
        assert!(bucket.next_ready(ms(0), READ) > Some(ms(1 << 40)));
    }

    #[test]
    fn a_tick_bucket_is_ready_at_the_first_edge_that_lifts_it_above_zero() {
        let mut bucket = TokenBucket::new(ms(0), &ticking(300, 300));
        assert_eq!(bucket.next_ready(ms(0), READ), None);
        bucket.charge(READ, 300);
        assert_eq!(bucket.next_ready(ms(50), READ), Some(ms(100)));
        bucket.adjust(ms(50), READ, 300);
        assert_eq!(bucket.next_ready(ms(50), READ), Some(ms(200)));
    }

    #[test]
    fn unlimited_directions_never_wait() {
        let config = TokenBucketConfig::builder().write("1B/s".parse().unwrap()).build().unwrap();
        let mut bucket = TokenBucket::new(ms(0), &config);
        bucket.charge(READ, u64::MAX);
        assert_eq!(bucket.available(ms(0), READ), i64::MAX);
        assert_eq!(bucket.next_ready(ms(0), READ), None);
    }

    #[test]
    fn a_new_config_clips_down_and_never_raises() {
        let mut bucket = TokenBucket::new(ms(0), &ticking(300, 1200));
        assert_eq!(bucket.available(ms(1000), READ), 1200);
        bucket.set_config(ms(1000), &ticking(100, 500));
        assert_eq!(bucket.available(ms(1000), READ), 500);
        bucket.set_config(ms(1000), &smooth("1GB/s", 1 << 30));
        assert_eq!(bucket.available(ms(1000), READ), 500);
    }

    #[test]
    fn a_config_set_at_an_earlier_reading_produces_no_byte_twice() {
        let mut bucket = TokenBucket::new(ms(0), &smooth("1MB/s", 100_000));
        assert_eq!(bucket.available(ms(50), READ), 51_000);
        bucket.set_config(ms(20), &smooth("1MB/s", 100_000));
        assert_eq!(bucket.available(ms(50), READ), 51_000);
        assert_eq!(bucket.available(ms(51), READ), 52_000);
    }

    #[test]
    fn a_begun_tick_goes_on_whatever_its_length_becomes() {
        let mut bucket = TokenBucket::new(ms(0), &ticking(300, 1200));
        bucket.charge(READ, 300);
        bucket.set_config(ms(150), &ticking(100, 1200));
        assert_eq!(bucket.available(ms(199), READ), 300, "the tick at 100 ms, at the old rate");
        assert_eq!(bucket.available(ms(200), READ), 400);
        let other = |ms| {
            TokenBucketConfig::new(10, 1200, 10, 1200, Some(Duration::from_millis(ms))).unwrap()
        };
        bucket.set_config(ms(220), &other(30));
        assert_eq!(bucket.available(ms(229), READ), 400);
        assert_eq!(bucket.available(ms(230), READ), 410);
        bucket.set_config(ms(250), &other(15));
        assert_eq!(bucket.available(ms(250), READ), 410, "a change by itself brings nothing");
        assert_eq!(bucket.available(ms(251), READ), 420, "but its tick is over");
    }

    #[test]
    fn n_and_a_tenth_seconds_carry_that_much_or_the_next_whole_tick() {
        let mut coarse = TokenBucket::new(ms(0), &ticking(100, 100));
        let mut fine = TokenBucket::new(ms(0), &smooth("1000B/s", 1000));
        let (mut coarse_moved, mut fine_moved) = (0, 0);
        for now in (0..=1010).map(ms) {
            for (bucket, moved) in [(&mut coarse, &mut coarse_moved), (&mut fine, &mut fine_moved)]
            {
                let bytes = bucket.available(now, READ).max(0) as u64;
                bucket.charge(READ, bytes);
                *moved += bytes;
            }
        }
        assert_eq!(coarse_moved, 1100, "ten ticks and the one it started with");
        assert_eq!(fine_moved, 1010 + 64, "its time's worth and the first quantum");
    }
}
