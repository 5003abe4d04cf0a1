//! What the limit flags mean: rates, bursts and ticks with their defaults filled in.
//!
//! Owns the one reading of the flags that the server's configuration, the audit's allowance and the
//! report all share. With a tick the rate per tick is bandwidth times tick and the burst defaults
//! to four ticks; without one it defaults to 100 ms of rate; it is at least 64 KiB either way.

use std::time::Duration;

use sluicegate::{Group, GroupBuilder, RATE_LIMIT_MAX, Rate, TokenBucketConfig};

use crate::arguments::{LimitArguments, Service};
use crate::audit::{Budget, Moment};
use crate::exit::{Failure, Outcome};
use crate::units::Size;

/// One limit, resolved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Terms {
    pub(crate) bytes_per_sec: u64,
    pub(crate) burst: u64,
    pub(crate) tick: Option<Tick>,
}

/// Tokens that come in steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tick {
    pub(crate) length: Duration,
    pub(crate) bytes: u64,
}

impl Terms {
    /// The limit of all connections together, if there is one.
    ///
    /// # Errors
    /// A tick too short to carry a byte, or a burst below one tick's rate.
    pub(crate) fn group(limits: &LimitArguments) -> Outcome<Option<Self>> {
        let new = |rate: Rate| {
            Self::new(
                "--group-limit",
                rate.as_bytes_per_second(),
                limits.burst,
                "--burst",
                limits.tick,
            )
        };
        limits.group_limit.map(new).transpose()
    }

    /// The limit of each connection, if there is one.
    ///
    /// # Errors
    /// As for [`Terms::group`].
    pub(crate) fn connection(limits: &LimitArguments) -> Outcome<Option<Self>> {
        let burst = limits.conn_burst.or(limits.burst);
        let flag = if limits.conn_burst.is_some() { "--conn-burst" } else { "--burst" };
        let new = |rate: Rate| {
            Self::new("--conn-limit", rate.as_bytes_per_second(), burst, flag, limits.tick)
        };
        limits.conn_limit.map(new).transpose()
    }

    /// Refuses limits that contradict each other, and flags that would change nothing.
    ///
    /// # Errors
    /// As for [`Terms::group`]; a flag without the limit it belongs to.
    pub(crate) fn check(limits: &LimitArguments) -> Outcome {
        let (group, each) = (Self::group(limits)?.is_some(), Self::connection(limits)?.is_some());
        let any = "--group-limit or --conn-limit";
        for (flag, is_given, applies, wanted) in [
            ("--burst", limits.burst.is_some(), group || each, any),
            ("--tick", limits.tick.is_some(), group || each, any),
            ("--conn-burst", limits.conn_burst.is_some(), each, "--conn-limit"),
            ("--min-share", limits.min_share.is_some(), group, "--group-limit"),
            ("--group-drain", limits.group_drain.is_some(), group, "--group-limit"),
        ] {
            if is_given && !applies {
                return Err(Failure::Usage(format!(
                    "{flag} changes nothing without a limit; add {wanted} or drop it"
                )));
            }
        }
        Ok(())
    }

    fn new(
        rate_flag: &str,
        bytes_per_sec: u64,
        burst: Option<Size>,
        burst_flag: &str,
        tick: Option<Duration>,
    ) -> Outcome<Self> {
        let tick = tick.map(|length| {
            let bytes = u128::from(bytes_per_sec) * length.as_nanos() / NANOSECONDS;
            // A tick is at most a day and a rate at most 2^40: it fits.
            Tick { length, bytes: bytes as u64 }
        });
        if let Some(Tick { length, bytes: 0 }) = tick {
            return Err(Failure::Usage(format!(
                "--tick {length:?}: {rate_flag} of {bytes_per_sec} bytes/s gives less than one \
                 byte per tick; use a longer tick"
            )));
        }
        let default = tick.map_or(bytes_per_sec / 10, |tick| tick.bytes * DEFAULT_TICKS);
        let burst = burst.map_or_else(|| default.max(LEAST_DEFAULT_BURST), |burst| burst.0);
        let least = tick.map_or(1, |tick| tick.bytes);
        if burst < least {
            return Err(Failure::Usage(format!(
                "{burst_flag} {burst}: below the {least} bytes of one tick of {rate_flag}; \
                 give at least {least} or a shorter --tick"
            )));
        }
        Ok(Self { bytes_per_sec, burst, tick })
    }

    /// The same limit 5 % too fast, which the checks must notice.
    pub(crate) fn broken(self) -> Self {
        let faster = |bytes: u64| bytes + bytes.div_ceil(20);
        let tick = self.tick.map(|tick| Tick { bytes: faster(tick.bytes), ..tick });
        Self {
            bytes_per_sec: faster(self.bytes_per_sec),
            burst: self.burst.max(tick.map_or(0, |tick| tick.bytes)),
            tick,
        }
    }

    /// As much as `count` such limits allow together.
    pub(crate) fn times(self, count: u64) -> Self {
        let tick = self.tick.map(|tick| Tick { bytes: tick.bytes * count, ..tick });
        Self { bytes_per_sec: self.bytes_per_sec * count, burst: self.burst * count, tick }
    }

    /// What the limit allows, for a limit set at `start`.
    pub(crate) fn budget(&self, start: Moment) -> Budget {
        match self.tick {
            None => Budget::Continuous { bytes_per_sec: self.bytes_per_sec, burst: self.burst },
            Some(Tick { length, bytes }) => Budget::Ticks {
                bytes_per_tick: bytes,
                tick_ns: length.as_nanos() as u64,
                burst: self.burst,
                start,
            },
        }
    }

    /// The configuration, in the directions the service moves data.
    ///
    /// # Errors
    /// The numbers do not fit together.
    pub(crate) fn config(&self, service: Service) -> Outcome<TokenBucketConfig> {
        let reads = service != Service::Source;
        let writes = service != Service::Sink;
        let refused = |error: &dyn std::fmt::Display| Failure::Usage(error.to_string());
        if let Some(tick) = self.tick {
            let rate = |limited: bool| if limited { tick.bytes } else { RATE_LIMIT_MAX };
            let (read, write) = (rate(reads), rate(writes));
            return TokenBucketConfig::new(read, self.burst, write, self.burst, Some(tick.length))
                .map_err(|error| refused(&error));
        }
        let rate = Rate::bytes_per_second(self.bytes_per_sec).map_err(|error| refused(&error))?;
        let mut builder = TokenBucketConfig::builder();
        if reads {
            builder = builder.read(rate).read_burst(self.burst);
        }
        if writes {
            builder = builder.write(rate).write_burst(self.burst);
        }
        builder.build().map_err(|error| refused(&error))
    }

    /// The largest share above one that `time` may end with: a burst saved up before it.
    pub(crate) fn burst_share(&self, time: Duration) -> f64 {
        self.burst as f64 / (self.bytes_per_sec as f64 * time.as_secs_f64())
    }
}

/// The group that the flags describe.
pub(crate) fn group(config: TokenBucketConfig, min_share: Option<Size>) -> GroupBuilder {
    let builder = Group::builder(config).name("connections");
    match min_share {
        Some(share) => builder.min_share(share.0 as usize),
        None => builder,
    }
}

const NANOSECONDS: u128 = 1_000_000_000;
const DEFAULT_TICKS: u64 = 4;
const LEAST_DEFAULT_BURST: u64 = 64 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(rate: &str, burst: Option<u64>, tick_ms: Option<u64>) -> LimitArguments {
        LimitArguments {
            group_limit: Some(rate.parse().unwrap()),
            burst: burst.map(Size),
            tick: tick_ms.map(Duration::from_millis),
            ..LimitArguments::default()
        }
    }

    #[test]
    fn defaults_follow_the_rate_or_the_tick() {
        let terms = |rate, tick| Terms::group(&limits(rate, None, tick)).unwrap().unwrap();
        assert_eq!(terms("10MB/s", None).burst, 1_000_000);
        assert_eq!(terms("10kB/s", None).burst, 65_536);
        let ticking = terms("10MB/s", Some(100));
        assert_eq!(ticking.burst, 4_000_000);
        assert_eq!(ticking.tick.unwrap().bytes, 1_000_000);
        assert_eq!(terms("30kB/s", Some(100)).burst, 65_536);
    }

    #[test]
    fn a_burst_below_one_tick_names_both_numbers() {
        let error = Terms::group(&limits("10MB/s", Some(999), Some(100))).unwrap_err();
        assert_eq!(error.code(), 2);
        let text = error.to_string();
        assert!(text.contains("999") && text.contains("1000000"), "{text}");
        assert!(Terms::group(&limits("10MB/s", Some(0), None)).is_err());
        assert!(Terms::group(&limits("10B/s", None, Some(1))).is_err());
    }

    #[test]
    fn a_flag_without_its_limit_is_refused() {
        let burst = LimitArguments { burst: Some(Size(1)), ..LimitArguments::default() };
        assert!(Terms::check(&burst).unwrap_err().to_string().contains("--burst"));
        let mut share = limits("1MB/s", None, None);
        share.min_share = Some(Size(64));
        assert!(Terms::check(&share).is_ok());
        share.conn_limit = share.group_limit.take();
        assert!(Terms::check(&share).unwrap_err().to_string().contains("--group-limit"));
    }

    #[test]
    fn a_broken_limit_is_five_percent_faster_and_still_valid() {
        let broken =
            Terms::group(&limits("30kB/s", Some(3000), Some(100))).unwrap().unwrap().broken();
        assert_eq!((broken.bytes_per_sec, broken.tick.unwrap().bytes), (31_500, 3150));
        assert_eq!(broken.burst, 3150);
    }
}
