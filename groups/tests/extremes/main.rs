//! Numbers from one end of their ranges to the other: nothing overflows, nothing panics, and what
//! is promised of a limit holds all the same.
//!
//! Buckets and groups go through random operations with rates from 1 B/s to 2^40 B/s, ticks from a
//! nanosecond to a day, bursts to 2^50, shares, wants and adjustments of any size, and times up to
//! the last nanosecond there is. Debug builds panic where sums overflow. An ideal bucket in 128
//! bits runs beside them: the limit of one connection agrees with it to the byte, and all cores of
//! a group together never move what it does not hold.

mod group;
mod ideal;

use std::time::Duration;

use ideal::Ideal;
use proptest::prelude::*;
use sluicegate_groups::{Direction, Rate, Time, TokenBucket, TokenBucketConfig};

const DIR: Direction = Direction::Write;
const DAY_NS: u64 = 86_400_000_000_000;
const BURST_MAX: u64 = 1 << 50;
const CASES: u32 = 2000;

/// A number of any magnitude up to 2^`bits`, each magnitude as likely as another.
fn magnitude(bits: u32) -> impl Strategy<Value = u64> {
    (0..=bits, any::<u64>()).prop_map(move |(bit, noise)| {
        let top = 1u64.checked_shl(bit).unwrap_or(u64::MAX);
        let number = top | (noise & (top - 1));
        if bits < 64 { number.min(1 << bits) } else { number }
    })
}

/// An adjustment of any magnitude and sign.
fn adjustment() -> impl Strategy<Value = i64> {
    let signed = (magnitude(62), any::<bool>())
        .prop_map(|(bytes, debit)| if debit { bytes as i64 } else { -(bytes as i64) });
    prop_oneof![8 => signed, 1 => Just(i64::MAX), 1 => Just(i64::MIN), 1 => Just(0)]
}

fn config() -> impl Strategy<Value = TokenBucketConfig> {
    let ticking = (magnitude(40), magnitude(46), magnitude(50)).prop_map(|(rate, tick, extra)| {
        let tick_ns = tick.min(DAY_NS);
        let rate = u128::from(rate) * u128::from(tick_ns) / 1_000_000_000;
        let rate = (rate as u64).clamp(1, BURST_MAX);
        let burst = (rate + extra).min(BURST_MAX);
        let tick = Some(Duration::from_nanos(tick_ns));
        TokenBucketConfig::new(rate, burst, rate, burst, tick)
    });
    let smooth = (magnitude(40), magnitude(50)).prop_map(|(rate, burst)| {
        TokenBucketConfig::per_second(Rate::bytes_per_second(rate).unwrap()).with_burst(burst)
    });
    // A byte in a nanosecond's tick is within the range, a few are not.
    prop_oneof![ticking, smooth].prop_filter_map("a rate above the largest", Result::ok)
}

/// How time goes on: by a span of any length, or to the end of time.
fn span() -> impl Strategy<Value = u64> {
    prop_oneof![20 => magnitude(50), 2 => magnitude(63), 1 => Just(u64::MAX)]
}

#[derive(Clone, Debug)]
enum BucketStep {
    Advance(u64),
    Look(u64),
    Move(u64),
    Adjust(i64),
    SetConfig(TokenBucketConfig),
}

fn bucket_step() -> impl Strategy<Value = BucketStep> {
    prop_oneof![
        4 => span().prop_map(BucketStep::Advance),
        2 => span().prop_map(BucketStep::Look),
        4 => magnitude(64).prop_map(BucketStep::Move),
        2 => adjustment().prop_map(BucketStep::Adjust),
        1 => config().prop_map(BucketStep::SetConfig),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(CASES))]

    #[test]
    fn a_bucket_keeps_its_promises(
        first in config(),
        steps in prop::collection::vec(bucket_step(), 1..40),
    ) {
        let mut bucket = TokenBucket::new(Time::ZERO, &first);
        let fill = bucket.available(Time::ZERO, DIR);
        let mut ideal = Ideal::new(first, fill, i64::MIN.into());
        for step in steps {
            match step {
                BucketStep::Advance(span) => ideal.advance(span),
                BucketStep::Look(span) => {
                    let now = ideal.earlier(span);
                    let level = bucket.available(now, DIR);
                    prop_assert_eq!(bucket.next_ready(now, DIR).is_none(), level > 0);
                }
                BucketStep::Move(want) => {
                    let level = bucket.available(ideal.time(), DIR);
                    let used = u64::try_from(level).unwrap_or(0).min(want);
                    bucket.charge(DIR, used);
                    ideal.tokens -= i128::from(used);
                }
                BucketStep::Adjust(bytes) => {
                    ideal.adjust(bytes);
                    bucket.adjust(ideal.time(), DIR, bytes);
                }
                BucketStep::SetConfig(config) => {
                    bucket.set_config(ideal.time(), &config);
                    ideal.set_config(config);
                    ideal.settle();
                }
            }
            prop_assert_eq!(i128::from(bucket.available(ideal.time(), DIR)), ideal.tokens);
        }
    }
}
