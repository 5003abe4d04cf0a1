//! Shares in virtual time: who gets how much, and whether anything is left over.
//!
//! Every number is exact and repeatable; no run depends on the machine.

use std::time::Duration;

use sluicegate_groups::testing::{Bound, Pace, Simulator};
use sluicegate_groups::{Direction, Group, GroupBuilder, ServiceOrder, Time, TokenBucketConfig};

/// Every busy member's share must come this close to the largest.
const EVEN: f64 = 0.98;

fn group(rate: &str) -> GroupBuilder {
    Group::builder(TokenBucketConfig::per_second(rate.parse().unwrap()))
}

fn simulator(builder: GroupBuilder) -> Simulator {
    Simulator::new(builder.build(Time::ZERO).unwrap(), 1)
}

fn assert_within(moved: u64, expected: u64, tolerance: f64) {
    let ratio = moved as f64 / expected as f64;
    assert!((ratio - 1.0).abs() <= tolerance, "moved {moved} of {expected}: ratio {ratio}");
}

/// Checks the bound over all windows since the beginning.
fn assert_bound(sim: &Simulator) {
    let excess = sim.meter().excess();
    assert_eq!(excess, 0, "a window exceeds its bound");
}

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

#[test]
fn shares_follow_weights_within_a_core_and_across_cores() {
    for cores in [vec![vec![3, 1, 3, 1]], vec![vec![3], vec![1, 1], vec![3]]] {
        let mut sim = simulator(group("10MB/s"));
        for weights in &cores {
            sim.add_core(Pace::Every(ms(1)), weights.iter().copied());
        }
        sim.run_for(ms(500));
        sim.forget();
        sim.run_for(ms(4000));
        let weights = cores.iter().flatten();
        let per_weight: Vec<f64> =
            sim.members().zip(weights).map(|(m, &w)| m.moved as f64 / f64::from(w)).collect();
        let least = per_weight.iter().copied().fold(f64::MAX, f64::min);
        let most = per_weight.iter().copied().fold(0.0, f64::max);
        assert!(least / most >= EVEN, "{cores:?}: {per_weight:?}");
    }
}

#[test]
fn a_core_alone_has_the_whole_rate_whatever_the_number_of_seats() {
    for seats in [1, 16, 1000] {
        let mut sim = simulator(group("10MB/s").seats(seats));
        sim.add_core(Pace::Every(ms(1)), [1]);
        sim.run_for(ms(100));
        sim.forget();
        sim.run_for(ms(1000));
        assert_within(sim.meter().moved, 10_000_000, 0.001);
    }
}

#[test]
fn what_idle_members_leave_goes_to_the_busy_ones_at_once() {
    let mut sim = simulator(group("10MB/s"));
    for _ in 0..4 {
        sim.add_core(Pace::Every(ms(1)), [1; 5]);
    }
    for hop in 0..40 {
        for core in 0..4 {
            for token in 0..5 {
                sim.set_busy(core, token, core == hop % 4);
            }
        }
        sim.run_for(ms(20));
    }
    assert_within(sim.meter().moved, 8_000_000, 0.02);
    assert_bound(&sim);
}

#[test]
fn a_core_that_joined_and_went_quiet_without_parking_holds_nothing_back() {
    let mut sim = simulator(group("10MB/s"));
    sim.add_core(Pace::Every(ms(1)), [1; 5]);
    sim.add_core(Pace::Every(ms(1)), [1; 5]).parks = false;
    sim.run_for(ms(200));
    for token in 0..5 {
        sim.set_busy(1, token, false);
    }
    sim.forget();
    sim.run_for(ms(1000));
    assert_within(sim.meter().moved, 10_000_000, 0.01);
}

#[test]
fn the_share_of_a_stalled_core_is_used_by_the_others() {
    let mut sim = simulator(group("10MB/s"));
    sim.add_core(Pace::Every(ms(1)), [1; 5]);
    sim.add_core(Pace::Every(ms(1)), [1; 5]);
    sim.run_for(ms(200));
    sim.stop_core(1);
    sim.forget();
    sim.run_for(ms(2000));
    assert_within(sim.meter().moved, 20_000_000, 0.03);
}

#[test]
fn a_thousand_members_cost_at_most_12_000_operations_a_second() {
    for cores in [1, 2] {
        let mut sim = simulator(group("10MB/s"));
        for _ in 0..cores {
            sim.add_core(Pace::Every(ms(1)), vec![1; 1000 / cores]);
        }
        sim.run_for(ms(500));
        sim.forget();
        sim.run_for(ms(2000));
        let operations = sim.meter().operations;
        assert!(operations <= 24_000, "{operations} operations in 2 s on {cores} cores");
        assert_within(sim.meter().moved, 20_000_000, 0.005);
    }
}

#[test]
fn at_most_a_ticks_worth_of_smallest_shares_is_served_in_a_tick() {
    for (burst, order) in [
        (10_000, ServiceOrder::RoundRobin),
        (40_000, ServiceOrder::RoundRobin),
        (10_000, ServiceOrder::RandomEachTick),
    ] {
        let config = TokenBucketConfig::new(10_000, burst, 10_000, burst, Some(ms(100))).unwrap();
        let mut sim = simulator(Group::builder(config).service_order(order));
        sim.add_core(Pace::Every(ms(10)), vec![1; 10_000]);
        sim.run_until(Time::ZERO + ms(50));
        for tick in 1..=70 {
            sim.forget();
            sim.run_until(Time::ZERO + ms(100 * tick + 50));
            let served = sim.members().filter(|member| member.moved > 0).count();
            assert!((100..=157).contains(&served), "{served} served in tick {tick}");
        }
    }
}

#[test]
fn a_tick_that_cannot_be_saved_up_is_used_to_its_last_byte() {
    for (rate, burst, members) in [(300, 300, 1), (300, 330, 3), (10_000, 10_000, 500), (7, 7, 3)] {
        for cores in [1, 2] {
            let config = TokenBucketConfig::new(rate, burst, rate, burst, Some(ms(100))).unwrap();
            let mut sim = simulator(Group::builder(config));
            for _ in 0..cores {
                sim.add_core(Pace::Every(ms(10)), vec![1; members]);
            }
            sim.run_until(Time::ZERO + ms(10_050));
            let moved = sim.meter().moved;
            assert_eq!(moved, 101 * rate, "{rate} a tick, {members} on each of {cores} cores");
        }
    }
}

#[test]
fn round_robin_serves_everyone_within_a_round() {
    let config = TokenBucketConfig::new(10_000, 10_000, 10_000, 10_000, Some(ms(100))).unwrap();
    let mut sim = simulator(Group::builder(config));
    sim.add_core(Pace::Every(ms(10)), vec![1; 10_000]);
    // 156 of 64 bytes a tick, and every one of 10,000 once: 65 ticks.
    sim.run_for(ms(100 * 66));
    assert!(sim.members().all(|member| member.moved > 0));
    sim.run_for(ms(100 * 130));
    let longest = sim.members().map(|member| member.longest_gap(sim.now())).max().unwrap();
    assert!(longest <= ms(100 * 67), "{longest:?}");
}

#[test]
fn random_order_is_fair_in_the_long_run_and_differs_each_tick() {
    let config = TokenBucketConfig::new(640, 640, 640, 640, Some(ms(10))).unwrap();
    let builder = Group::builder(config).service_order(ServiceOrder::RandomEachTick);
    let mut sim = simulator(builder);
    sim.add_core(Pace::Every(ms(1)), [1; 40]);
    sim.run_for(ms(40_000));
    // 10 of 40 served in each of 4,000 ticks: 1,000 times each, give or take 5 deviations of 27.
    for member in sim.members() {
        assert!((54_000..=74_000).contains(&member.moved), "{}", member.moved);
    }
    let longest = sim.members().map(|member| member.longest_gap(sim.now())).max().unwrap();
    assert!(longest > ms(100), "round robin would come back after 40 ms; longest was {longest:?}");
}

#[test]
fn sleeping_until_the_deadline_loses_nothing_and_does_not_spin() {
    for (rate, bytes) in [("30kB/s", 30_000), ("10MB/s", 10_000_000), ("1GB/s", 1_000_000_000)] {
        for cores in [1, 3] {
            let mut sim = simulator(group(rate));
            for _ in 0..cores {
                sim.add_core(Pace::Deadline, [1; 10]);
            }
            sim.run_for(ms(500));
            sim.forget();
            sim.run_for(ms(2000));
            let turns: u64 = sim.cores().map(|core| core.turns).sum();
            assert_within(sim.meter().moved, 2 * bytes, 0.02);
            assert!(turns <= 2 * 12_000 * cores, "{rate}, {cores} cores: {turns} turns");
            assert_bound(&sim);
        }
    }
}

#[test]
fn a_machine_that_stood_still_for_a_day_may_burst_once_and_shares_evenly_again() {
    let mut sim = simulator(group("10MB/s"));
    for _ in 0..3 {
        sim.add_core(Pace::Every(ms(1)), [1; 10]);
    }
    sim.run_for(ms(500));
    sim.forget();
    sim.pause(Duration::from_secs(86_400));
    sim.run_for(Duration::ZERO);
    let burst = sim.group.usable_burst(Direction::Write);
    let saved = sim.meter().moved;
    assert!((burst * 9 / 10..=burst).contains(&saved), "{saved} of {burst} at once");
    sim.forget();
    sim.run_for(ms(4000));
    assert_within(sim.meter().moved, 40_000_000, 0.005);
    assert!(sim.evenness() >= EVEN, "{}", sim.evenness());
    assert_bound(&sim);
}

#[test]
fn cores_whose_members_have_no_work_never_wake() {
    let mut sim = simulator(group("10MB/s"));
    for core in 0..3 {
        sim.add_core(Pace::Deadline, [1; 5]);
        for token in 0..5 {
            sim.set_busy(core, token, false);
        }
    }
    sim.run_for(ms(10));
    sim.forget();
    sim.run_for(Duration::from_secs(1000));
    assert_eq!(sim.cores().map(|core| core.turns).sum::<u64>(), 0);
}

#[test]
fn sleeping_until_the_deadline_meets_every_tick() {
    let config = TokenBucketConfig::new(3000, 12_000, 3000, 12_000, Some(ms(100))).unwrap();
    let mut sim = simulator(Group::builder(config));
    sim.add_core(Pace::Deadline, [1; 10]);
    sim.add_core(Pace::Deadline, [1; 20]);
    sim.run_until(Time::ZERO + ms(10_050));
    assert_within(sim.meter().moved, 303_000, 0.01);
    let turns: u64 = sim.cores().map(|core| core.turns).sum();
    assert!(turns < 2000, "{turns} turns for 101 ticks");
}

#[test]
fn whoever_draws_last_at_a_tick_has_its_share_all_the_same() {
    // A round takes about a tick or several; cores wake at the edge, always in the same order.
    for (rate, burst) in [(300, 1200), (1000, 4000), (3000, 12_000)] {
        for cores in [2, 4, 16] {
            let config = TokenBucketConfig::new(rate, burst, rate, burst, Some(ms(100))).unwrap();
            let mut sim = simulator(Group::builder(config));
            for _ in 0..cores {
                sim.add_core(Pace::Deadline, [1; 5]);
            }
            sim.run_for(ms(20_000));
            sim.forget();
            sim.run_for(ms(400_000));
            let evenness = sim.evenness();
            assert!(evenness >= EVEN, "{rate} a tick on {cores} cores: {evenness}");
            assert_within(sim.meter().moved, 4000 * rate, 0.001);
            assert_bound(&sim);
        }
    }
}

#[test]
fn n_and_a_tenth_seconds_carry_that_much_and_ticks_one_more() {
    let coarse = TokenBucketConfig::new(10_000, 40_000, 10_000, 40_000, None).unwrap();
    let mut sim = simulator(Group::builder(coarse));
    sim.add_core(Pace::Every(ms(1)), [1]);
    sim.run_until(Time::ZERO + ms(5100));
    assert!((59_936..=60_000).contains(&sim.meter().moved), "N + 1 ticks: {}", sim.meter().moved);

    let mut sim = simulator(group("10kB/s"));
    sim.add_core(Pace::Every(ms(1)), [1]);
    sim.run_until(Time::ZERO + ms(5100));
    let moved = sim.meter().moved;
    assert!((51_000..=51_064).contains(&moved), "N.1 seconds and a quantum: {moved}");
}

#[test]
fn a_new_config_reaches_every_core_and_drops_no_member() {
    let mut sim = simulator(group("10MB/s"));
    for _ in 0..3 {
        sim.add_core(Pace::Every(ms(1)), [1; 10]);
    }
    sim.run_for(ms(500));
    let slower = TokenBucketConfig::per_second("1MB/s".parse().unwrap());
    sim.group.set_config(sim.now(), slower.clone()).unwrap();
    sim.run_for(ms(100));
    sim.forget();
    sim.meter_mut().bound = Bound::new(&slower, Direction::Write, sim.now());
    sim.run_for(ms(10_000));
    assert_within(sim.meter().moved, 10_000_000, 0.005);
    assert!(sim.evenness() >= EVEN, "{}", sim.evenness());
    assert_bound(&sim);
}

#[test]
fn no_core_pays_at_a_slow_rate_for_what_it_took_at_a_fast_one() {
    let mut sim = simulator(group("1GB/s"));
    for _ in 0..4 {
        sim.add_core(Pace::Every(ms(1)), [1]);
    }
    sim.run_for(ms(503));
    let slower = TokenBucketConfig::per_second("10kB/s".parse().unwrap());
    sim.group.set_config(sim.now(), slower).unwrap();
    sim.run_for(ms(500));
    sim.forget();
    sim.run_for(ms(5000));
    assert!(sim.evenness() >= 0.9, "{:?}", sim.members().map(|m| m.moved).collect::<Vec<_>>());
}

#[test]
fn cores_that_sleep_let_no_burst_of_a_single_operation_run_over() {
    for burst in [64, 70, 100, 200] {
        for cores in [2, 4, 16] {
            let config = TokenBucketConfig::per_second("1MB/s".parse().unwrap());
            let mut sim = simulator(Group::builder(config.with_burst(burst).unwrap()));
            for _ in 0..cores {
                sim.add_core(Pace::Deadline, [1; 2]);
            }
            sim.run_for(ms(100));
            sim.forget();
            sim.run_for(ms(1000));
            assert_within(sim.meter().moved, 1_000_000, 0.002);
        }
    }
}

#[test]
fn without_a_smallest_share_no_grant_is_empty() {
    let config = TokenBucketConfig::per_second("100B/s".parse().unwrap()).with_burst(20).unwrap();
    let mut sim = simulator(Group::builder(config).min_share(0));
    sim.meter_mut().keep_log();
    sim.add_core(Pace::Deadline, [1; 10]);
    sim.run_for(Duration::from_secs(20));
    let log = sim.meter().log.as_deref().expect("it was kept");
    assert!(!log.is_empty() && log.iter().all(|&(_, bytes)| bytes > 0));
    assert_within(sim.meter().moved, 2000, 0.02);
}

#[test]
fn totals_and_statistics_add_up() {
    let mut sim = simulator(group("10MB/s"));
    sim.add_core(Pace::Every(ms(1)), [1; 10]);
    sim.add_core(Pace::Every(ms(1)), [2; 5]);
    sim.run_for(ms(300));
    assert_eq!(sim.group.totals(), (0, sim.meter().moved));
    let stats = sim.group.stats();
    let write = Direction::Write.index();
    assert_eq!(stats.weight, [0, 20]);
    assert_eq!(stats.seats[1].weight[write], 10);
    let share = |seat| stats.share(seat, Direction::Write);
    assert_eq!([share(0), share(1), share(2), share(1 << 40)], [0.5, 0.5, 0.0, 0.0]);
    assert_eq!(stats.share(0, Direction::Read), 0.0, "nobody reads");
    assert_eq!(stats.seats.iter().filter(|seat| seat.taken).count(), 2);
    assert!(stats.draws() > 0 && stats.rebalances() > 0 && stats.seats[0].waits > 0);
    sim.group.reset_totals();
    assert_eq!(sim.group.totals(), (0, 0));
    for core in 0..2 {
        sim.drop_core(core);
    }
    let stats = sim.group.stats();
    assert_eq!((stats.weight, stats.lease(Direction::Write)), ([0, 0], 0));
}
