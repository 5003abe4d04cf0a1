//! How a bucket is configured: a rate and a burst for each direction, and the beat they keep.
//!
//! Owns the numbers and their validation. Never holds a level: one config serves any number of
//! buckets and groups and may be dropped as soon as it was passed on.
//!
//! Two forms. `new` is libevent's: rates count bytes *per tick* and tokens appear in whole ticks.
//! `per_second` lets tokens appear continuously.
//! Invariants: 1 <= rate, at most 2^40 bytes per second; 1 <= burst <= 2^50; in the tick form
//! burst >= one tick's rate.
//! Source: libevent `ev_token_bucket_cfg_new`. Differs: ticks down to 1 ns, fractions of a
//! millisecond kept, one direction may be unlimited.

use std::time::Duration;

use crate::error::ConfigError;
use crate::rate::Rate;
use crate::time::{Direction, NANOS_PER_SECOND};

/// As a rate: no limit in that direction.
pub const RATE_LIMIT_MAX: u64 = isize::MAX as u64;

/// The limit of one direction.
///
/// # Units
/// Bytes per tick in a tick config, bytes per second otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    rate: u64,
    burst: u64,
}

impl Limit {
    /// Returns the bytes that appear in one tick, or in one second where there is no tick.
    #[must_use]
    pub const fn rate(&self) -> u64 {
        self.rate
    }

    /// Returns the most bytes that can be saved up.
    #[must_use]
    pub const fn burst(&self) -> u64 {
        self.burst
    }
}

/// A validated configuration for a [`TokenBucket`](crate::TokenBucket) or
/// [`Group`](crate::Group).
///
/// # Examples
/// ```
/// use sluicegate_groups::{Direction, TokenBucketConfig, RATE_LIMIT_MAX};
/// use std::time::Duration;
///
/// // 10 MB/s both ways; the burst defaults to 100 ms of it, at least 64 KiB.
/// let smooth = TokenBucketConfig::per_second("10MB/s".parse()?);
/// assert_eq!(smooth.limit(Direction::Read).map(|l| l.burst()), Some(1_000_000));
///
/// // libevent's form: 300 bytes every 100 ms, saving up at most 1200; writes are free.
/// let tick = Some(Duration::from_millis(100));
/// let coarse = TokenBucketConfig::new(300, 1200, RATE_LIMIT_MAX, RATE_LIMIT_MAX, tick)?;
/// assert_eq!(coarse.limit(Direction::Write), None);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct TokenBucketConfig {
    limits: [Option<Limit>; 2],
    tick: Option<Duration>,
}

impl TokenBucketConfig {
    /// Makes a config whose rates count bytes per tick; no tick means one second.
    ///
    /// A bucket starts with one tick's worth, so N.1 ticks carry N + 1 ticks' worth. A rate of
    /// [`RATE_LIMIT_MAX`] leaves its direction unlimited and its burst unread. Any tick from 1 ns
    /// to one day works; how promptly tokens are used is up to how often the caller looks.
    ///
    /// # Errors
    /// Names the direction and value that is out of range, and the range: see [`ConfigError`].
    pub fn new(
        read_rate: u64,
        read_burst: u64,
        write_rate: u64,
        write_burst: u64,
        tick: Option<Duration>,
    ) -> Result<Self, ConfigError> {
        let tick = tick.unwrap_or(Duration::from_secs(1));
        if tick.is_zero() {
            return Err(ConfigError::ZeroTick);
        }
        if tick > TICK_MAX {
            return Err(ConfigError::TickTooLong { tick });
        }
        let given = |rate, burst| (rate != RATE_LIMIT_MAX).then_some(Limit { rate, burst });
        let limits = [given(read_rate, read_burst), given(write_rate, write_burst)];
        Self { limits, tick: Some(tick) }.validated()
    }

    /// Makes a config of `rate` in both directions in which tokens appear continuously.
    ///
    /// The burst is 100 ms of the rate, at least 64 KiB; [`with_burst`](Self::with_burst) sets
    /// another. N.1 seconds carry N.1 seconds' worth.
    #[must_use]
    pub fn per_second(rate: Rate) -> Self {
        let limit = Limit { rate: rate.as_bytes_per_second(), burst: default_burst(rate) };
        Self { limits: [Some(limit); 2], tick: None }
    }

    /// Starts a per-second config whose directions are set one by one, unlimited until set.
    pub fn builder() -> TokenBucketConfigBuilder {
        TokenBucketConfigBuilder::default()
    }

    /// Returns the same config with `burst` bytes in every limited direction.
    ///
    /// # Errors
    /// The burst is 0, above 2^50, or below one tick's rate: the message says which and how much.
    pub fn with_burst(mut self, burst: u64) -> Result<Self, ConfigError> {
        for limit in self.limits.iter_mut().flatten() {
            limit.burst = burst;
        }
        self.validated()
    }

    /// Returns the limit of a direction, or `None` where there is none.
    #[must_use]
    pub fn limit(&self, direction: Direction) -> Option<Limit> {
        self.limits[direction.index()]
    }

    /// Returns the tick, or `None` where tokens appear continuously.
    #[must_use]
    pub fn tick(&self) -> Option<Duration> {
        self.tick
    }

    /// Returns what rates are counted over, in nanoseconds: the tick, or one second.
    pub(crate) fn period_ns(&self) -> u64 {
        let tick = self.tick.map(|tick| u64::try_from(tick.as_nanos()));
        tick.map_or(NANOS_PER_SECOND, |ns| ns.expect("a tick is at most a day"))
    }

    fn validated(self) -> Result<Self, ConfigError> {
        let period_ns = self.period_ns();
        for direction in Direction::ALL {
            let Some(Limit { rate, burst }) = self.limit(direction) else { continue };
            let per_second =
                u128::from(rate) * u128::from(NANOS_PER_SECOND) / u128::from(period_ns);
            if rate == 0 {
                return Err(ConfigError::ZeroRate { direction });
            }
            if per_second > u128::from(Rate::MAX.as_bytes_per_second()) {
                let period = Duration::from_nanos(period_ns);
                return Err(ConfigError::RateTooLarge { direction, rate, period });
            }
            if burst == 0 {
                return Err(ConfigError::ZeroBurst { direction });
            }
            if self.tick.is_some() && burst < rate {
                return Err(ConfigError::BurstBelowRate { direction, burst, rate });
            }
            if burst > BURST_MAX {
                return Err(ConfigError::BurstTooLarge { direction, burst });
            }
        }
        Ok(self)
    }
}

/// Sets the directions of a per-second [`TokenBucketConfig`] one by one.
///
/// # Examples
/// ```
/// use sluicegate_groups::{Direction, TokenBucketConfig};
///
/// let downloads = TokenBucketConfig::builder().write("2MB/s".parse()?).build()?;
/// assert_eq!(downloads.limit(Direction::Read), None);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct TokenBucketConfigBuilder {
    rates: [Option<Rate>; 2],
    bursts: [Option<u64>; 2],
}

impl TokenBucketConfigBuilder {
    /// Limits reading.
    pub fn read(mut self, rate: Rate) -> Self {
        self.rates[Direction::Read.index()] = Some(rate);
        self
    }

    /// Sets the bytes that reading can save up; default 100 ms of the rate, at least 64 KiB.
    pub fn read_burst(mut self, burst: u64) -> Self {
        self.bursts[Direction::Read.index()] = Some(burst);
        self
    }

    /// Limits writing.
    pub fn write(mut self, rate: Rate) -> Self {
        self.rates[Direction::Write.index()] = Some(rate);
        self
    }

    /// Sets the bytes that writing can save up; default 100 ms of the rate, at least 64 KiB.
    pub fn write_burst(mut self, burst: u64) -> Self {
        self.bursts[Direction::Write.index()] = Some(burst);
        self
    }

    /// Checks the numbers and makes the config.
    ///
    /// # Errors
    /// A burst that is 0, above 2^50, or given without its rate: correct the one named.
    pub fn build(self) -> Result<TokenBucketConfig, ConfigError> {
        let mut limits = [None; 2];
        for direction in Direction::ALL {
            let index = direction.index();
            limits[index] = match (self.rates[index], self.bursts[index]) {
                (None, None) => None,
                (None, Some(burst)) => {
                    return Err(ConfigError::BurstWithoutRate { direction, burst });
                }
                (Some(rate), burst) => Some(Limit {
                    rate: rate.as_bytes_per_second(),
                    burst: burst.unwrap_or_else(|| default_burst(rate)),
                }),
            };
        }
        TokenBucketConfig { limits, tick: None }.validated()
    }
}

fn default_burst(rate: Rate) -> u64 {
    (rate.as_bytes_per_second() / 10).max(DEFAULT_BURST_MIN)
}

/// The smallest burst a per-second config picks by itself: one large socket read.
const DEFAULT_BURST_MIN: u64 = 64 * 1024;

/// Keeps every difference of byte counts far below 2^63.
const BURST_MAX: u64 = 1 << 50;

/// The longest tick: beyond it a limit is an accounting period, not a pace.
const TICK_MAX: Duration = Duration::from_secs(24 * 60 * 60);

#[cfg(test)]
mod tests {
    use super::*;

    const TICK: Option<Duration> = Some(Duration::from_millis(100));

    #[test]
    fn tick_configs_reject_what_could_never_work() {
        let (read, write) = (Direction::Read, Direction::Write);
        let new = TokenBucketConfig::new;
        assert_eq!(new(0, 1, 1, 1, TICK), Err(ConfigError::ZeroRate { direction: read }));
        assert_eq!(new(1, 1, 0, 1, TICK), Err(ConfigError::ZeroRate { direction: write }));
        assert_eq!(new(1, 1, 1, 1, Some(Duration::ZERO)), Err(ConfigError::ZeroTick));
        assert_eq!(
            new(300, 299, 1, 1, TICK),
            Err(ConfigError::BurstBelowRate { direction: read, burst: 299, rate: 300 })
        );
        assert_eq!(
            new(1, 1, 1, (1 << 50) + 1, TICK),
            Err(ConfigError::BurstTooLarge { direction: write, burst: (1 << 50) + 1 })
        );
        let tick = TICK_MAX + Duration::from_nanos(1);
        assert_eq!(new(1, 1, 1, 1, Some(tick)), Err(ConfigError::TickTooLong { tick }));
    }

    #[test]
    fn rates_are_unlimited_at_the_maximum_and_refused_below_it() {
        let config = TokenBucketConfig::new(RATE_LIMIT_MAX, 0, 5, 5, None).unwrap();
        assert_eq!(config.limit(Direction::Read), None);
        assert_eq!(config.limit(Direction::Write), Some(Limit { rate: 5, burst: 5 }));
        for rate in [(1 << 40) + 1, RATE_LIMIT_MAX - 1, RATE_LIMIT_MAX + 1, u64::MAX] {
            let refused = TokenBucketConfig::new(rate, rate, 5, 5, None).unwrap_err();
            assert!(matches!(refused, ConfigError::RateTooLarge { .. }), "{refused}");
            assert!(refused.to_string().contains(&rate.to_string()), "{refused}");
        }
        assert!(TokenBucketConfig::new(1 << 40, 1 << 40, 5, 5, None).is_ok());
    }

    #[test]
    fn the_rate_bound_counts_seconds_not_ticks() {
        let short = Some(Duration::from_nanos(1));
        assert!(TokenBucketConfig::new(1000, 1000, 1000, 1000, short).is_ok());
        assert!(TokenBucketConfig::new(2000, 2000, 1, 1, short).is_err());
        let hour = Some(Duration::from_secs(3600));
        assert!(TokenBucketConfig::new(1 << 45, 1 << 45, 1, 1, hour).is_ok());
    }

    #[test]
    fn per_second_bursts_default_to_a_tenth_of_a_second() {
        let burst = |text: &str| {
            let config = TokenBucketConfig::per_second(text.parse().unwrap());
            config.limit(Direction::Write).unwrap().burst()
        };
        assert_eq!(burst("10MB/s"), 1_000_000);
        assert_eq!(burst("1kB/s"), 65_536);
    }

    #[test]
    fn per_second_bursts_are_checked() {
        let config = TokenBucketConfig::per_second("1MB/s".parse().unwrap());
        assert_eq!(
            config.clone().with_burst(1).unwrap().limit(Direction::Read).unwrap().burst(),
            1
        );
        let direction = Direction::Read;
        assert_eq!(config.with_burst(0), Err(ConfigError::ZeroBurst { direction }));
    }

    #[test]
    fn the_builder_leaves_missing_directions_unlimited() {
        let rate = "1MB/s".parse().unwrap();
        let config = TokenBucketConfig::builder().read(rate).read_burst(10).build().unwrap();
        assert_eq!(config.limit(Direction::Read), Some(Limit { rate: 1_000_000, burst: 10 }));
        assert_eq!(config.limit(Direction::Write), None);
        assert_eq!(
            TokenBucketConfig::builder().read(rate).write_burst(7).build(),
            Err(ConfigError::BurstWithoutRate { direction: Direction::Write, burst: 7 })
        );
    }
}
