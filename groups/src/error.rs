//! Errors: what can be wrong with a rate, a configuration, an adjustment or a request for a seat.
//!
//! Owns the messages. Each carries the offending value and says what to do instead; none is ever
//! raised once bytes flow, where every outcome is a value.
//! Invariant: no variant is reachable from a peer's input.

use std::time::Duration;

use thiserror::Error;

use crate::time::Direction;

/// Why a text or number is not a [`Rate`](crate::Rate).
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum RateError {
    /// No unit was given, and bytes and bits differ eightfold: write which one is meant.
    #[error("rate `{text}` has no unit: write `{bytes}` for bytes or `{bits}` for bits per second")]
    NoUnit {
        /// The text as given.
        text: String,
        /// The same number read as bytes per second.
        bytes: String,
        /// The same number read as bits per second.
        bits: String,
    },
    /// The unit is not known: use one of those listed.
    #[error(
        "rate `{text}` has the unknown unit `{unit}`: use B/s, kB/s, MB/s, GB/s, TB/s, KiB/s, \
         MiB/s, GiB/s, TiB/s, or bit/s, kbit/s, Mbit/s, Gbit/s, Tbit/s"
    )]
    UnknownUnit {
        /// The text as given.
        text: String,
        /// The part after the number.
        unit: String,
    },
    /// The text does not begin with a decimal number: write one, as in `10MB/s`.
    #[error("rate `{text}` does not begin with a decimal number: write it as in `10MB/s`")]
    NotANumber {
        /// The text as given.
        text: String,
    },
    /// Nothing would ever pass: leave the limit out, or close the connection instead.
    #[error("rate `{text}` is less than one byte per second: the smallest rate is 1B/s")]
    Zero {
        /// The text as given.
        text: String,
    },
    /// Beyond 2^40 bytes per second: leave the limit out to have none.
    #[error("rate `{text}` is above the largest, 1TiB/s: leave the limit out to have none")]
    TooLarge {
        /// The text as given.
        text: String,
    },
}

/// Why a bucket or group cannot be configured like this.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// A rate of zero would stop the direction for ever: use at least 1, or `RATE_LIMIT_MAX`.
    #[error("{direction} rate is 0: use at least 1, or RATE_LIMIT_MAX for no limit")]
    ZeroRate {
        /// The direction with the bad rate.
        direction: Direction,
    },
    /// The rate is above 2^40 bytes per second: lower it, or pass `RATE_LIMIT_MAX`.
    #[error(
        "{direction} rate of {rate} bytes per {period:?} is above 1TiB/s: lower it, or use \
         RATE_LIMIT_MAX for no limit"
    )]
    RateTooLarge {
        /// The direction with the bad rate.
        direction: Direction,
        /// The rate as given.
        rate: u64,
        /// What the rate is counted over.
        period: Duration,
    },
    /// A bucket that cannot hold one tick's worth would lose bytes: raise the burst.
    #[error("{direction} burst {burst} is below one tick's rate {rate}: use at least {rate}")]
    BurstBelowRate {
        /// The direction with the bad burst.
        direction: Direction,
        /// The burst as given.
        burst: u64,
        /// Bytes in one tick.
        rate: u64,
    },
    /// A bucket of no size never holds a byte: use a burst of at least 1.
    #[error("{direction} burst is 0: use at least 1 byte")]
    ZeroBurst {
        /// The direction with the bad burst.
        direction: Direction,
    },
    /// The burst is above 2^50 bytes: lower it.
    #[error("{direction} burst {burst} is above the largest, 2^50 bytes (1 PiB): lower it")]
    BurstTooLarge {
        /// The direction with the bad burst.
        direction: Direction,
        /// The burst as given.
        burst: u64,
    },
    /// A burst was given for a direction that has no rate: give the rate too.
    #[error("{direction} burst {burst} was given without a {direction} rate: give both or neither")]
    BurstWithoutRate {
        /// The direction without a rate.
        direction: Direction,
        /// The burst as given.
        burst: u64,
    },
    /// A tick of no length: use at least 1 ns, or `None` for one second.
    #[error("tick is 0: use at least 1 ns, or None for one second")]
    ZeroTick,
    /// The tick is above one day: shorten it.
    #[error(
        "tick of {tick:?} is above the longest, one day: shorten it and lower the rate with it"
    )]
    TickTooLong {
        /// The tick as given.
        tick: Duration,
    },
    /// A group without seats can serve no core: use at least 1.
    #[error("group has {seats} seats: use 1 to 4096, one for each core that joins it")]
    Seats {
        /// The number as given.
        seats: usize,
    },
    /// The rebalance interval is longer than shares stay reserved: shorten it.
    #[error("rebalance interval {interval:?} is above {longest:?}, how long shares are kept")]
    RebalanceTooLong {
        /// The interval as given.
        interval: Duration,
        /// The longest that this configuration allows.
        longest: Duration,
    },
    /// The rebalance interval is so short that a core would do little else: lengthen it.
    #[error("rebalance interval {interval:?} is below {shortest:?}, the shortest: lengthen it")]
    RebalanceTooShort {
        /// The interval as given.
        interval: Duration,
        /// The shortest.
        shortest: Duration,
    },
    /// The group was disbanded and limits nothing: make a new one.
    #[error("group was disbanded and limits nothing any more: make a new group")]
    Disbanded,
}

/// A direction without a limit has no level to adjust.
///
/// Set a limit in that direction first. A group that was disbanded has none and gets none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("there is no {direction} limit to adjust: set one first; a disbanded group has none")]
pub struct NoLimit {
    /// The direction that was to be adjusted.
    pub direction: Direction,
}

/// Every seat of the group is taken by another core.
///
/// Build the group with more seats (`Group::builder(config).seats(n)`), or drop a shard first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("all {seats} seats of the group are taken: build it with `.seats(n)` for more cores")]
pub struct NoSeat {
    /// How many seats the group has.
    pub seats: usize,
}
