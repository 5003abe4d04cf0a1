//! A group on real threads: the bound and the books hold whatever the interleaving.
//!
//! Threads draw, settle, park, rebalance and change places as fast as they can, for a fixed number
//! of operations. The clock is a shared counter that they push forward themselves, so the run does
//! not depend on how fast or how busy the machine is.

use std::num::NonZeroU32;
use std::sync::Barrier;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Waker;
use std::thread;
use std::time::Duration;

use sluicegate_groups::{Direction, Group, GroupShard, MemberId, Rate, Time, TokenBucketConfig};

const DIR: Direction = Direction::Write;
const THREADS: u64 = 4;
const OPERATIONS: u64 = 20_000;
const STEP_NS: u64 = 50_000;

/// One operation, between two readings of the clock.
#[derive(Clone, Copy)]
struct Moved {
    from: u64,
    to: u64,
    bytes: u64,
}

/// A clock that only moves when it is pushed.
#[derive(Default)]
struct Clock(AtomicU64);

impl Clock {
    fn now(&self) -> Time {
        Time::from_nanos(self.0.load(Ordering::SeqCst))
    }

    fn push(&self) {
        self.0.fetch_add(STEP_NS, Ordering::SeqCst);
    }
}

/// Numbers that differ from thread to thread and repeat from run to run.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % sides
    }
}

fn sit(group: &Group, clock: &Clock) -> (GroupShard, Vec<MemberId>) {
    let mut shard = group.shard(clock.now(), Waker::noop().clone()).unwrap();
    let members = (0..4).map(|token| shard.join(token, NonZeroU32::MIN)).collect();
    (shard, members)
}

/// Runs one core, with `between` between some operations; returns what it moved.
fn run_core(group: &Group, clock: &Clock, between: impl Fn(), seed: u64) -> Vec<Moved> {
    let mut dice = Dice(seed);
    let mut log = Vec::new();
    let (mut shard, mut members) = sit(group, clock);
    for operation in 0..OPERATIONS {
        let from = clock.now();
        let member = members[dice.roll(4) as usize];
        let granted = match dice.roll(2) {
            0 => {
                shard.request(member, DIR, 1 + dice.roll(9000), || clock.now()).map(|g| (member, g))
            }
            _ => shard.poll_grant(DIR, || clock.now()).map(|(_, member, grant)| (member, grant)),
        };
        if let Some((member, grant)) = granted {
            let bytes = dice.roll(grant.bytes + 1);
            let from = grant.drawn_at().unwrap_or(from).as_nanos();
            log.push(Moved { from, to: clock.now().as_nanos(), bytes });
            shard.settle(member, grant, bytes, dice.roll(4) > 0);
        }
        match dice.roll(64) {
            0..=7 => clock.push(),
            8..=11 => shard.park(),
            12 | 13 => shard.handle_deadline(clock.now()),
            14 => shard.rebalance(clock.now()),
            16 => between(),
            15 if operation % 16 == 0 => {
                drop(shard);
                (shard, members) = sit(group, clock);
            }
            _ => {}
        }
    }
    log
}

/// Runs all cores at once, each with `between` at times; returns what they moved.
fn run(group: &Group, clock: &Clock, between: impl Fn() + Sync) -> Vec<Moved> {
    let (start, between) = (Barrier::new(THREADS as usize), &between);
    thread::scope(|scope| {
        let cores: Vec<_> = (1..=THREADS)
            .map(|seed| {
                let start = &start;
                scope.spawn(move || {
                    start.wait();
                    run_core(group, clock, between, seed * 0x9e37_79b9)
                })
            })
            .collect();
        cores.into_iter().flat_map(|core| core.join().unwrap()).collect()
    })
}

/// Checks all windows between two readings: what was moved wholly inside must fit.
fn assert_bound(log: &[Moved], burst: u64, produced: impl Fn(u64, u64) -> u64) {
    let last = log.iter().map(|moved| moved.to).max().unwrap() / STEP_NS;
    let mut begun_at = vec![Vec::new(); last as usize + 1];
    for moved in log {
        begun_at[(moved.from / STEP_NS) as usize].push(moved);
    }
    // For each start, going backwards: bytes of operations begun since, by when they ended.
    let mut ended_at = vec![0; last as usize + 1];
    for start in (0..=last).rev() {
        for moved in &begun_at[start as usize] {
            ended_at[(moved.to / STEP_NS) as usize] += moved.bytes;
        }
        let mut inside = 0;
        for end in start..=last {
            inside += ended_at[end as usize];
            let bound = burst + produced(start * STEP_NS, end * STEP_NS);
            assert!(
                inside <= bound,
                "burst {burst}: {inside} bytes in steps {start}..{end}, bound {bound}"
            );
        }
    }
}

fn smooth(rate: u64, burst: u64) -> TokenBucketConfig {
    TokenBucketConfig::per_second(Rate::bytes_per_second(rate).unwrap()).with_burst(burst).unwrap()
}

#[test]
fn all_windows_keep_the_bound_with_leases_without_and_with_ticks() {
    let tick = Some(Duration::from_nanos(4 * STEP_NS));
    let rate = 100_000_000;
    let per_second = move |from: u64, to: u64| ((to - from) * (rate / 1000)).div_ceil(1_000_000);
    let per_tick = |from: u64, to: u64| 20_000 * (to / (4 * STEP_NS) - from / (4 * STEP_NS));
    for burst in [1_000_000, 300] {
        let group = Group::new(Time::ZERO, smooth(rate, burst)).unwrap();
        let clock = Clock::default();
        let log = run(&group, &clock, || {});
        assert_bound(&log, burst, per_second);
    }
    for burst in [80_000, 20_000] {
        let config = TokenBucketConfig::new(20_000, burst, 20_000, burst, tick).unwrap();
        let group = Group::new(Time::ZERO, config).unwrap();
        let clock = Clock::default();
        let log = run(&group, &clock, || {});
        assert_bound(&log, burst, per_tick);
    }
}

#[test]
fn every_byte_is_accounted_for() {
    // A burst that is never reached: nothing can be discarded, so the books must balance.
    let group = Group::new(Time::ZERO, smooth(100_000_000, 1 << 45)).unwrap();
    let clock = Clock::default();
    let fill = group.write_limit(Time::ZERO);
    let debits = AtomicU64::new(0);
    let log = run(&group, &clock, || {
        group.decrement(clock.now(), DIR, 700).unwrap();
        group.decrement(clock.now(), DIR, -300).unwrap();
        debits.fetch_add(1, Ordering::Relaxed);
    });
    let debits = debits.into_inner() as i64;
    let moved: u64 = log.iter().map(|moved| moved.bytes).sum();
    let now = clock.now();
    let produced = now.as_nanos() / 10;
    assert_eq!(group.write_limit(now), fill + produced as i64 - moved as i64 - debits * 400);
    assert_eq!(group.totals(), (0, moved));
    let stats = group.stats();
    assert_eq!((stats.weight, stats.lease(DIR)), ([0, 0], 0));
    assert!(moved > produced / 2, "{moved} of {produced}: the threads hardly met");
}

#[test]
fn changing_the_config_all_the_time_keeps_the_larger_bound() {
    let fast = smooth(100_000_000, 1_000_000);
    // Where only the burst changes, nothing that a change gives away hides behind the larger rate.
    for small in [smooth(50_000_000, 200_000), smooth(100_000_000, 200_000)] {
        // As many seats as cores, so that all that is kept for leases can be held.
        let seats = THREADS as usize;
        let group = Group::builder(small.clone()).seats(seats).build(Time::ZERO).unwrap();
        let clock = Clock::default();
        let round = AtomicU64::new(0);
        let log = run(&group, &clock, || {
            let even = round.fetch_add(1, Ordering::Relaxed).is_multiple_of(2);
            let config = if even { &fast } else { &small };
            group.set_config(clock.now(), config.clone()).unwrap();
        });
        // The larger bound is the fast one's; what a core holds of the small one comes on top.
        let leases = THREADS * (200_000 / (2 * THREADS));
        assert_bound(&log, 1_000_000 + leases, |from, to| ((to - from) / 10) + 1);
        assert_eq!(group.stats().weight, [0, 0]);
    }
}
