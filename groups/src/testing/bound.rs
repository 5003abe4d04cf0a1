//! The bound over all windows, checked while bytes move: the promise of a limit, exactly.
//!
//! Owns running sums only. In any window of length T at most ceil(R * T) + B bytes may move, or,
//! with a tick, B and one tick's worth for each edge inside. The worst window that ends now begins
//! where `moved - produced` was least, so one minimum kept on the way covers all of them.
//! Arithmetic of its own, in 128 bits and scaled so that it is whole: it shares nothing with the
//! clock it judges. Operations are points in time and must come in their order.

use crate::config::TokenBucketConfig;
use crate::time::{Direction, Time};

/// The bound of one direction of a config.
///
/// # Examples
/// ```
/// use sluicegate_groups::testing::Bound;
/// use sluicegate_groups::{Direction, Time, TokenBucketConfig};
///
/// let config = TokenBucketConfig::per_second("1kB/s".parse()?).with_burst(10)?;
/// let mut bound = Bound::new(&config, Direction::Read, Time::ZERO).expect("reading is limited");
/// bound.record(Time::ZERO, 10);
/// assert_eq!(bound.excess(), 0);
/// bound.record(Time::from_nanos(1_000_000), 3);
/// assert_eq!(bound.excess(), 2, "1 ms brought a single byte");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Bound {
    rate: i128,
    period_ns: i128,
    stepped: bool,
    burst: i128,
    start: Time,
    /// Bytes moved so far, times `period_ns`.
    moved: i128,
    /// The least of `moved - produced` before any operation, and the largest rise above it.
    least: i128,
    worst: i128,
}

impl Bound {
    /// Starts watching a limit whose ticks, if it has any, are counted from `start`; `None` where
    /// the direction has no limit.
    #[must_use]
    pub fn new(config: &TokenBucketConfig, direction: Direction, start: Time) -> Option<Self> {
        let limit = config.limit(direction)?;
        Some(Self {
            rate: i128::from(limit.rate()),
            period_ns: i128::from(config.period_ns()),
            stepped: config.tick().is_some(),
            burst: i128::from(limit.burst()),
            start,
            moved: 0,
            least: i128::MAX,
            worst: i128::MIN,
        })
    }

    /// Notes an operation; `now` is not before the previous one's.
    pub fn record(&mut self, now: Time, bytes: u64) {
        let produced = self.produced(now);
        self.least = self.least.min(self.moved - produced);
        self.moved += i128::from(bytes) * self.period_ns;
        self.worst = self.worst.max(self.moved - produced - self.least);
    }

    /// Returns by how many bytes the worst of all windows so far exceeds the bound; 0 if none does.
    #[must_use]
    pub fn excess(&self) -> u64 {
        let excess = self.peak() - self.burst;
        u64::try_from(excess.max(0)).unwrap_or(u64::MAX)
    }

    /// Returns the part of the burst that the worst window used: 1.0 is all of it.
    #[must_use]
    pub fn burst_used(&self) -> f64 {
        self.peak() as f64 / self.burst as f64
    }

    /// The most that any window carried beyond what was produced in it, in whole bytes.
    fn peak(&self) -> i128 {
        self.worst.max(0).div_euclid(self.period_ns)
    }

    /// Bytes produced by `now`, times `period_ns`.
    fn produced(&self, now: Time) -> i128 {
        let elapsed = i128::from(now.as_nanos().saturating_sub(self.start.as_nanos()));
        let counted = if self.stepped { elapsed - elapsed % self.period_ns } else { elapsed };
        counted * self.rate
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn at(ns: u64) -> Time {
        Time::from_nanos(ns)
    }

    fn watch(config: &TokenBucketConfig) -> Bound {
        Bound::new(config, Direction::Write, Time::ZERO).unwrap()
    }

    #[test]
    fn a_window_may_begin_at_any_operation() {
        let config = TokenBucketConfig::per_second("1GB/s".parse().unwrap());
        let mut bound = watch(&config.with_burst(100).unwrap());
        bound.record(at(0), 1);
        // Nothing for 999 ns, then burst and one more byte at once.
        bound.record(at(1000), 100);
        assert_eq!(bound.excess(), 0);
        bound.record(at(1000), 1);
        assert_eq!(bound.excess(), 1);
        assert!(bound.burst_used() > 1.0);
    }

    #[test]
    fn a_fraction_of_a_byte_counts_as_a_whole_one() {
        let config = TokenBucketConfig::per_second("1B/s".parse().unwrap());
        let mut bound = watch(&config.with_burst(1).unwrap());
        bound.record(at(0), 1);
        bound.record(at(1), 1);
        assert_eq!(bound.excess(), 0, "ceil(1e-9) and a burst of 1");
        bound.record(at(2), 1);
        assert_eq!(bound.excess(), 1);
    }

    #[test]
    fn ticks_count_where_their_edges_fall() {
        let tick = Some(Duration::from_nanos(10));
        let mut bound = watch(&TokenBucketConfig::new(5, 5, 5, 5, tick).unwrap());
        bound.record(at(9), 5);
        bound.record(at(10), 5);
        assert_eq!(bound.excess(), 0);
        bound.record(at(19), 1);
        assert_eq!(bound.excess(), 1);
    }
}
