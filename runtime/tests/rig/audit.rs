//! What an audit of metered operations finds, in one window or another.
//!
//! Owns nothing; the test that it finds one byte too many is in `sim_limit.rs`.

use sluicegate::{Direction, MeteredOperation, Time, TokenBucketConfig};

/// The burst of a limit both ways.
pub(crate) fn burst(config: &TokenBucketConfig) -> u64 {
    config.limit(Direction::Read).expect("both directions are limited").burst()
}

/// By how many bytes the worst window exceeds ceil(rate·T) + burst; 0 if none does.
///
/// A window reaches from the start of one operation to the end of the same or a later one and
/// holds what began and ended within. One pass: it keeps the window start that allows least.
pub(crate) fn worst_excess(operations: &[MeteredOperation], rate: u64, burst: u64) -> i128 {
    const SECOND: i128 = 1_000_000_000;
    let elapsed = |at: Time| i128::from(at.as_nanos()) * i128::from(rate);
    let (mut moved, mut least, mut worst) = (0, i128::MAX, i128::MIN);
    for operation in operations {
        least = least.min(moved - elapsed(operation.before));
        moved += i128::from(operation.bytes) * SECOND;
        worst = worst.max(moved - elapsed(operation.after) - least);
    }
    // moved - ceil(rate·T) is the floor of moved - rate·T.
    (worst.div_euclid(SECOND) - i128::from(burst)).max(0)
}

/// How even shares are: 1 if all are the same.
pub(crate) fn jain(shares: &[u64]) -> f64 {
    let sum: f64 = shares.iter().map(|&share| share as f64).sum();
    let squares: f64 = shares.iter().map(|&share| (share as f64).powi(2)).sum();
    sum * sum / (shares.len() as f64 * squares)
}
