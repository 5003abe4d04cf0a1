//! How long replies took, counted from the moment each request was planned to leave.
//!
//! Owns one histogram per client thread (three digits, 1 ns to 60 s, 32-bit counters: 110 KB) and
//! their sum. In a closed loop the planned moment is the completion of the previous request, so a
//! client that is late to send is charged for it. A percentile is given only where at least ten
//! samples lie beyond it.

use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;

/// Latencies of one thread or of all.
#[derive(Clone, Debug)]
pub(crate) struct Latency(Histogram<u32>);

/// The figures reported, in microseconds; absent where too few samples lie beyond.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub(crate) struct Percentiles {
    pub(crate) count: u64,
    pub(crate) p50_us: Option<f64>,
    pub(crate) p90_us: Option<f64>,
    pub(crate) p99_us: Option<f64>,
    pub(crate) p999_us: Option<f64>,
    pub(crate) max_us: Option<f64>,
}

impl Latency {
    pub(crate) fn new() -> Self {
        let histogram = Histogram::new_with_bounds(1, LONGEST.as_nanos() as u64, DIGITS);
        Self(histogram.expect("the bounds are constants the histogram accepts"))
    }

    /// Records one reply; longer than a minute counts as a minute.
    pub(crate) fn record(&mut self, latency: Duration) {
        self.0.saturating_record(u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX));
    }

    /// Adds another thread's replies.
    pub(crate) fn merge(&mut self, other: &Self) {
        self.0.add(&other.0).expect("all histograms have the same bounds");
    }

    /// How many there are.
    pub(crate) fn count(&self) -> u64 {
        self.0.len()
    }

    pub(crate) fn percentiles(&self) -> Percentiles {
        let count = self.count();
        let at = |quantile: f64| {
            let beyond = count as f64 * (1.0 - quantile);
            (beyond >= SAMPLES_BEYOND - 1e-6)
                .then(|| self.0.value_at_quantile(quantile) as f64 / 1e3)
        };
        Percentiles {
            count,
            p50_us: at(0.5),
            p90_us: at(0.9),
            p99_us: at(0.99),
            p999_us: at(0.999),
            max_us: (count > 0).then(|| self.0.max() as f64 / 1e3),
        }
    }
}

const LONGEST: Duration = Duration::from_secs(60);
const DIGITS: u8 = 3;
const SAMPLES_BEYOND: f64 = 10.0;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_of_a_known_series_are_within_three_digits() {
        let mut latency = Latency::new();
        for us in 1..=10_000 {
            latency.record(Duration::from_micros(us));
        }
        let percentiles = latency.percentiles();
        let near = |value: Option<f64>, expected: f64| {
            (value.unwrap() - expected).abs() <= expected * 1e-3
        };
        assert!(near(percentiles.p50_us, 5_000.0), "{percentiles:?}");
        assert!(near(percentiles.p99_us, 9_900.0), "{percentiles:?}");
        assert!(near(percentiles.p999_us, 9_990.0), "{percentiles:?}");
        assert!(near(percentiles.max_us, 10_000.0), "{percentiles:?}");
    }

    #[test]
    fn too_few_samples_give_no_tail() {
        let mut latency = Latency::new();
        for _ in 0..999 {
            latency.record(Duration::from_micros(5));
        }
        assert!(latency.percentiles().p50_us.is_some());
        assert_eq!(latency.percentiles().p99_us, None);
        latency.record(Duration::from_micros(5));
        assert!(latency.percentiles().p99_us.is_some());
        assert_eq!(Latency::new().percentiles(), Percentiles::default());
    }

    #[test]
    fn merging_adds_and_a_slow_reply_is_never_dropped() {
        let (mut all, mut one) = (Latency::new(), Latency::new());
        one.record(Duration::from_secs(600));
        all.merge(&one);
        all.merge(&one);
        assert_eq!(all.percentiles().count, 2);
        assert!(all.percentiles().max_us.unwrap() >= 59e6);
    }
}
