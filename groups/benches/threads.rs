//! Two threads on one group against one: what sharing costs.
//!
//! Owns the comparison: rounds of one thread alone, two threads on one group, and two threads with
//! a group each, in turn, so that what disturbs the machine disturbs all alike. Threads are pinned
//! where the system allows it and read a real clock, as a virtual one could not be told to both.
//! What two groups reach is what the machine has to give; only the rest is the cost of sharing.
//!
//! Arguments: `--test` for one short round.

use std::num::NonZeroU32;
use std::sync::Barrier;
use std::task::Waker;
use std::thread;
use std::time::Instant;

use core_affinity::CoreId;
use sluicegate_groups::{Direction, Group, Time, TokenBucketConfig};

#[expect(clippy::print_stdout, reason = "a program that reports")]
fn main() {
    let test = std::env::args().any(|arg| arg == "--test");
    let (rounds, operations) = if test { (1, 1_000) } else { (ROUNDS, OPERATIONS) };
    println!("times one thread, median [range] of {rounds} rounds of {operations} operations");
    for (name, parks, operations) in
        [("charging under leases", false, operations), ("parking each time", true, operations / 10)]
    {
        let (mut shared, mut apart, mut ns) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..rounds {
            let clock = Clock::start();
            let group = || fast(clock.now());
            let one = rate(&[group()], clock, operations, parks);
            let both = group();
            shared.push(rate(&[both.clone(), both], clock, operations, parks) / one);
            apart.push(rate(&[group(), group()], clock, operations, parks) / one);
            ns.push(1.0 / one);
        }
        println!("{name}: one thread {} ns an operation", Spread::of(ns));
        println!("  two threads on one group    {}", Spread::of(shared));
        println!("  two threads, a group each   {}", Spread::of(apart));
    }
}

/// Runs a thread on each group and returns their operations per nanosecond.
fn rate(groups: &[Group], clock: Clock, operations: u64, parks: bool) -> f64 {
    let cpus = core_affinity::get_core_ids().unwrap_or_default();
    let start = Barrier::new(groups.len());
    let spans: Vec<(u64, u64)> = thread::scope(|scope| {
        let start = &start;
        let threads: Vec<_> = (groups.iter().enumerate())
            .map(|(at, group)| {
                let cpu = cpus.get(at).copied();
                scope.spawn(move || run(group, clock, operations, parks, (cpu, start)))
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().expect("no thread panics")).collect()
    });
    let begun = spans.iter().map(|span| span.0).min().expect("a thread ran");
    let ended = spans.iter().map(|span| span.1).max().expect("a thread ran");
    (groups.len() as u64 * operations) as f64 / (ended - begun) as f64
}

/// Charges one core's operations; returns when it began and when it was done.
fn run(
    group: &Group,
    clock: Clock,
    operations: u64,
    parks: bool,
    (cpu, start): (Option<CoreId>, &Barrier),
) -> (u64, u64) {
    cpu.map(core_affinity::set_for_current);
    let mut shard = group.shard(clock.now(), Waker::noop().clone()).expect("a seat");
    let member = shard.join(0, NonZeroU32::MIN);
    start.wait();
    let begun = clock.now();
    let mut done = 0;
    while done < operations {
        if let Some(grant) = shard.request(member, DIR, BYTES, || clock.now()) {
            shard.settle(member, grant, BYTES, false);
            done += 1;
        } else {
            // The system stopped this thread between its reading and its draw, for longer than
            // the burst lasts. Again, as if it had not asked.
            shard.cancel(member, DIR);
            shard.park();
        }
        if parks {
            shard.park();
        }
    }
    (begun.as_nanos(), clock.now().as_nanos())
}

/// Nanoseconds since it was started.
#[derive(Clone, Copy)]
struct Clock(Instant);

#[expect(clippy::disallowed_methods, reason = "threads share no other time")]
impl Clock {
    fn start() -> Self {
        Self(Instant::now())
    }

    fn now(self) -> Time {
        Time::from_nanos(self.0.elapsed().as_nanos() as u64)
    }
}

/// A group that is full and that two threads cannot exhaust: 1 TB/s, leases of 100 MB.
fn fast(now: Time) -> Group {
    let config = TokenBucketConfig::per_second("1TB/s".parse().expect("a rate"));
    let config = config.with_burst(32 * LEASE).expect("a burst");
    let group = Group::new(now, config).expect("a group");
    group.decrement(now, DIR, -(16 * LEASE as i64)).expect("a limit");
    group
}

/// The median and the range of some measurements.
struct Spread(Vec<f64>);

impl Spread {
    fn of(mut values: Vec<f64>) -> Self {
        values.sort_unstable_by(f64::total_cmp);
        Self(values)
    }
}

impl std::fmt::Display for Spread {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let values = &self.0;
        let (median, last) = (values[values.len() / 2], values[values.len() - 1]);
        write!(f, "{median:.2} [{:.2}-{last:.2}]", values[0])
    }
}

const DIR: Direction = Direction::Write;
/// Small enough that two threads stay below the rate.
const BYTES: u64 = 64;
/// What a seat may hold: some milliseconds of charging.
const LEASE: u64 = 100_000_000;
const OPERATIONS: u64 = 5_000_000;
const ROUNDS: usize = 15;
