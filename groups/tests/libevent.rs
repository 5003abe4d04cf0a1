//! libevent's four `test-ratelim` scenarios in virtual time, on one, two and three cores.
//!
//! 30 connections for 5 seconds, 100 ms ticks, bursts of four ticks. Tolerances are libevent's;
//! scenario 4 has the expectation its own arithmetic should have led to.
//! Source: libevent test/test-ratelim.c and test/test.sh.

use std::time::Duration;

use sluicegate_groups::testing::{Pace, Simulator};
use sluicegate_groups::{Direction, Group, RATE_LIMIT_MAX, Time, TokenBucketConfig};

const MEMBERS: usize = 30;
const SECONDS: f64 = 5.0;

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// A limit of so many bytes per 100 ms.
fn per_tick(rate: u64) -> TokenBucketConfig {
    let burst = if rate == RATE_LIMIT_MAX { rate } else { 4 * rate };
    TokenBucketConfig::new(rate, burst, rate, burst, Some(ms(100))).unwrap()
}

struct Outcome {
    /// Bytes a second of all together, ...
    group: f64,
    /// ... of one on average, ...
    mean: f64,
    /// ... and how far they lie apart.
    deviation: f64,
}

fn run(cores: usize, group: u64, own: Option<u64>, drain: i64) -> Outcome {
    let mut sim = Simulator::new(Group::new(Time::ZERO, per_tick(group)).unwrap(), 1);
    for _ in 0..cores {
        let core = sim.add_core(Pace::Every(ms(1)), []);
        for _ in 0..MEMBERS / cores {
            core.add(Time::ZERO, 1, own.map(per_tick).as_ref());
        }
    }
    for tick in 0..50 {
        if tick > 0 && drain > 0 {
            sim.group.decrement(sim.now(), Direction::Write, drain).unwrap();
        }
        sim.run_until(Time::ZERO + ms(100 * tick + 99));
    }
    let rates: Vec<f64> = sim.members().map(|member| member.moved as f64 / SECONDS).collect();
    let group = rates.iter().sum::<f64>();
    let mean = group / MEMBERS as f64;
    let squares = rates.iter().map(|rate| (rate - mean).powi(2)).sum::<f64>();
    Outcome { group, mean, deviation: (squares / MEMBERS as f64).sqrt() }
}

fn near(value: f64, expected: f64, tolerance: f64) -> bool {
    (value - expected).abs() <= tolerance
}

#[test]
fn one_group_only() {
    for cores in [1, 2, 3] {
        let outcome = run(cores, 3000, None, 0);
        assert!(near(outcome.group, 30_000.0, 1000.0), "group {}", outcome.group);
        assert!(outcome.deviation <= 100.0, "deviation {}", outcome.deviation);
    }
}

#[test]
fn two_connections_only() {
    for cores in [1, 2, 3] {
        let outcome = run(cores, RATE_LIMIT_MAX, Some(100), 0);
        assert!(near(outcome.mean, 1000.0, 50.0), "mean {}", outcome.mean);
        assert!(outcome.deviation <= 50.0, "deviation {}", outcome.deviation);
    }
}

#[test]
fn three_both() {
    for cores in [1, 2, 3] {
        let outcome = run(cores, 3000, Some(100), 0);
        assert!(near(outcome.group, 30_000.0, 1000.0), "group {}", outcome.group);
        assert!(near(outcome.mean, 1000.0, 50.0), "mean {}", outcome.mean);
        assert!(outcome.deviation <= 50.0, "deviation {}", outcome.deviation);
    }
}

#[test]
fn four_both_with_bytes_drained_by_hand() {
    for cores in [1, 2, 3] {
        let outcome = run(cores, 3500, Some(100), 500);
        assert!(near(outcome.group, 30_000.0, 1000.0), "group {}", outcome.group);
        assert!(near(outcome.mean, 1000.0, 50.0), "mean {}", outcome.mean);
        assert!(outcome.deviation <= 50.0, "deviation {}", outcome.deviation);
    }
}
