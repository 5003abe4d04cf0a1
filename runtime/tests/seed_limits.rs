//! The edges of limits, where libevent goes wrong or says nothing: ticks that change, levels above
//! the burst, shares of nothing, members that come and go while they wait, absurd numbers.
//!
//! In virtual time on one core; what takes many cores stands in `limits.rs` and in the tests of
//! `groups`. What each function does where nothing is odd stands in `seed_api.rs`.

mod rig;

use std::time::Duration;

use rig::log::{Log, bytes};
use rig::sim::{Both, World, ms, per_second, per_tick};
use sluicegate::{ConfigError, Direction, Group, Rate, Rebalance, Suspend, TokenBucketConfig};

const READ: Direction = Direction::Read;
const WRITE: Direction = Direction::Write;
const TICK: Duration = Duration::from_millis(100);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// What a peer sends at once: more than the limits here let pass.
const PLENTY: usize = 20_000;

/// Connects members whose peers have sent plenty, and lets them take what there is.
fn waiting(world: &mut World, group: &Group, count: usize) -> Vec<Both> {
    let members: Vec<Both> = (0..count).map(|_| world.member(group)).collect();
    for member in &members {
        world.sim.write(member.peer, &[7; PLENTY]);
    }
    world.sim.run_for(ms(5));
    members
}

fn is_waiting(world: &mut World, member: Both) -> bool {
    world.bev(member).suspended(READ) == Suspend::GROUP_LIMIT
}

fn bytes_in(world: &mut World) -> u64 {
    world.sim.core().stats().bytes_in
}

/// Changes of a tick after which libevent refills nothing for years, or all at once.
const TICK_CHANGES_MS: [(u64, u64); 4] = [(1000, 100), (100, 1000), (50, 100), (10, 1000)];
const CHANGED_RATE: u64 = 20_000;

/// A group's least operation by default.
const MIN_SHARE: u64 = 64;

/// 20,000 bytes a second by so many milliseconds, saving up two ticks.
fn ticking(tick_ms: u64) -> TokenBucketConfig {
    let rate = CHANGED_RATE * tick_ms / 1000;
    per_tick(rate, 2 * rate, ms(tick_ms))
}

/// Floods before and after a change of tick and checks what moved after it.
fn check_tick_change(
    world: &mut World,
    from: &[Both],
    to_ms: u64,
    change: impl FnOnce(&mut World),
) {
    world.flood(from, ms(2550));
    change(world);
    let moved = world.flood(from, Duration::from_secs(10));
    let (due, tick) = (10 * CHANGED_RATE, CHANGED_RATE * to_ms / 1000);
    // What the last tick before the change had left may add to it; the last one in these seconds
    // may only just have come, and what the one before left is too little for an operation.
    let least = due - tick - MIN_SHARE;
    assert!((least..=due + 2 * tick).contains(&moved), "{moved} of {due}, now by {to_ms} ms");
}

#[test]
fn a_changed_tick_keeps_an_own_limit_right() {
    for (from_ms, to_ms) in TICK_CHANGES_MS {
        let mut world = World::new(from_ms);
        let one = world.connect();
        world.bev(one).set_rate_limit(Some(ticking(from_ms)));
        check_tick_change(&mut world, &[one], to_ms, |world| {
            world.bev(one).set_rate_limit(Some(ticking(to_ms)));
        });
    }
}

#[test]
fn a_changed_tick_keeps_a_groups_limit_right() {
    for (from_ms, to_ms) in TICK_CHANGES_MS {
        let mut world = World::new(from_ms);
        let group = world.builder(ticking(from_ms)).seats(1).build().expect("valid");
        let members = [(); 5].map(|()| world.member(&group));
        check_tick_change(&mut world, &members, to_ms, |_| {
            group.set_config(ticking(to_ms)).expect("valid");
        });
    }
}

#[test]
fn tokens_above_the_burst_are_clipped_and_breed_none() {
    let mut world = World::new(1);
    let one = world.connect();
    let group = world.builder(per_tick(300, 1200, TICK)).seats(1).build().expect("valid");
    world.bev(one).set_rate_limit(Some(per_tick(300, 1200, TICK)));
    let full = group.usable_burst(READ) as i64;
    for credit in [0, 1, 5000, i64::MAX, i64::MAX] {
        world.bev(one).decrement_read_limit(-credit).expect("it has a limit");
        group.decrement_read(-credit).expect("it has a limit");
        // In libevent a level above the burst grows at every tick.
        world.sim.run_for(TICK * 20);
        assert_eq!((world.bev(one).read_limit(), group.read_limit()), (Some(1200), full));
    }
    world.sim.write(one.peer, &[7; PLENTY]);
    world.sim.run_for(ms(5));
    assert_eq!(bytes_in(&mut world), 1200);
}

#[test]
fn a_share_of_nothing_serves_more_members_than_there_are_bytes() {
    const MEMBERS: usize = 300;
    const EACH: usize = 20;
    let mut world = World::new(2);
    let log = Log::default();
    world.sim.observe(log.clone());
    let group = world.builder(per_tick(100, 100, TICK)).min_share(0).build().expect("valid");
    let members: Vec<Both> = (0..MEMBERS).map(|_| world.member(&group)).collect();
    let before = world.sim.core().stats();
    for member in &members {
        world.sim.write(member.peer, &[7; EACH]);
        world.bev(*member).output().add(&[7; EACH]);
    }
    // 60 ticks for all bytes. Three are a round, in which everybody has had one.
    let mut got = vec![0; MEMBERS];
    for tick in 1..=62 {
        world.sim.run_for(TICK);
        for (member, got) in members.iter().zip(&mut got) {
            *got += world.sim.read(member.peer).len();
        }
        let (least, most) = (got.iter().min().expect("some"), got.iter().max().expect("some"));
        assert!(most - least <= 1 || tick >= 58, "between {least} and {most} after {tick} ticks");
    }
    assert!(got.iter().all(|&bytes| bytes == EACH), "all had all of it");
    assert_eq!(log.bytes(READ), (MEMBERS * EACH) as u64);
    // libevent takes a share of nothing for the end of the stream.
    let after = world.sim.core().stats();
    assert_eq!(after.connections, MEMBERS as u64, "nobody was closed");
    assert!(log.of(WRITE).iter().all(|one| one.bytes > 0), "a write of nothing");
    let empty = log.of(READ).iter().filter(|one| one.bytes == 0).count();
    assert!(empty <= 2 * MEMBERS, "{empty} reads found nothing: one each at first and at last");
    // Rebalances and what the peers' reads tell: far fewer than there are operations.
    let (turns, operations) = (after.turns - before.turns, after.metered_operations);
    assert!(turns <= operations / 2, "{turns} turns for {operations} operations");
}

#[test]
fn of_own_and_group_limit_the_lower_wins_and_both_are_charged() {
    let mut world = World::new(3);
    let group = world.builder(per_tick(600, 600, TICK)).seats(1).build().expect("valid");
    let one = world.member(&group);
    world.bev(one).set_rate_limit(Some(per_tick(200, 200, TICK)));
    world.sim.write(one.peer, &[7; PLENTY]);
    world.sim.run_for(ms(5));
    assert_eq!((world.bev(one).read_limit(), group.read_limit()), (Some(0), 400));
    assert_eq!(world.bev(one).suspended(READ), Suspend::OWN_LIMIT);
    world.bev(one).set_rate_limit(Some(per_tick(5000, 5000, TICK)));
    world.bev(one).decrement_read_limit(-5000).expect("it has a limit");
    world.sim.run_for(ms(5));
    assert_eq!((world.bev(one).read_limit(), group.read_limit()), (Some(4600), 0));
    assert!(is_waiting(&mut world, one));
}

#[test]
fn a_member_may_join_while_its_own_limit_has_it_wait() {
    let mut world = World::new(4);
    let group = world.builder(per_tick(640, 640, TICK)).seats(1).build().expect("valid");
    let one = world.connect();
    world.bev(one).set_rate_limit(Some(per_tick(100, 100, TICK)));
    world.sim.write(one.peer, &[7; PLENTY]);
    world.sim.run_for(ms(5));
    assert_eq!(world.bev(one).suspended(READ), Suspend::OWN_LIMIT);
    world.bev(one).join(&group).expect("a seat");
    world.sim.run_for(ms(5));
    assert_eq!(group.totals().0, 0, "it still waits");
    world.sim.run_for(TICK);
    assert_eq!((bytes_in(&mut world), group.totals().0), (200, 100));
}

#[test]
fn a_member_that_waits_in_one_group_may_go_to_another() {
    let mut world = World::new(5);
    let config = per_tick(640, 640, TICK);
    let left = world.builder(config.clone()).seats(1).build().expect("valid");
    let joined = world.builder(config).seats(1).build().expect("valid");
    let member = waiting(&mut world, &left, 1)[0];
    assert!(is_waiting(&mut world, member));
    world.bev(member).join(&joined).expect("a seat");
    world.sim.run_for(ms(5));
    assert_eq!((left.totals().0, joined.totals().0), (640, 640));
    let stats = left.stats();
    assert!(!stats.seats[0].taken && stats.weight == [0, 0], "it left nothing behind: {stats:?}");
}

#[test]
fn a_member_that_leaves_while_it_waits_goes_on_at_once() {
    let mut world = World::new(6);
    let log = Log::default();
    world.sim.observe(log.clone());
    let group = world.builder(per_tick(640, 640, TICK)).seats(1).build().expect("valid");
    let members = waiting(&mut world, &group, 2);
    assert!(members.iter().all(|&member| is_waiting(&mut world, member)));
    let had = bytes(&log.those(|operation| operation.bev == members[0].id));
    world.bev(members[0]).leave();
    world.sim.run_for(ms(5));
    assert_eq!(bytes_in(&mut world), 640 + PLENTY as u64 - had);
    assert_eq!(group.totals().0, 640, "the group has nothing to do with it");
    assert!(is_waiting(&mut world, members[1]));
}

#[test]
fn members_that_close_while_they_wait_leave_nothing_behind_and_the_others_go_on() {
    let mut world = World::new(7);
    let group = world.builder(per_tick(640, 640, TICK)).seats(1).build().expect("valid");
    let timers = world.sim.core().stats().timers;
    let members = waiting(&mut world, &group, 3);
    assert!(members.iter().all(|&member| is_waiting(&mut world, member)));
    world.bev(members[0]).close_now();
    world.bev(members[1]).close();
    world.sim.run_for(ms(5));
    assert_eq!(world.sim.core().stats().connections, 1);
    let before = group.totals().0;
    world.sim.run_for(TICK * 4);
    assert_eq!(group.totals().0 - before, 4 * 640, "the last has all of it");
    world.bev(members[2]).close_now();
    world.sim.run_for(ms(5));
    assert_eq!(world.sim.core().stats().connections, 0);
    let stats = group.stats();
    assert!(!stats.seats[0].taken, "its seat is free");
    assert_eq!((stats.weight, stats.lease(READ)), ([0, 0], 0));
    assert_eq!(world.sim.core().stats().timers, timers, "no timer is left");
}

#[test]
fn a_debit_after_a_long_idle_time_counts_from_a_full_bucket() {
    let mut world = World::new(8);
    let group = world.builder(per_tick(640, 6400, TICK)).seats(1).build().expect("valid");
    let one = world.member(&group);
    world.bev(one).set_rate_limit(Some(per_tick(640, 6400, TICK)));
    world.sim.run_for(DAY);
    world.bev(one).decrement_read_limit(6400 + 100).expect("it has a limit");
    assert_eq!(world.bev(one).read_limit(), Some(-100));
    let full = group.usable_burst(READ) as i64;
    group.decrement_read(full + 740).expect("it has a limit");
    assert_eq!(group.read_limit(), -740);
    world.sim.write(one.peer, &[7; PLENTY]);
    world.sim.run_for(TICK - ms(5));
    assert_eq!(bytes_in(&mut world), 0, "both are in debt");
    world.sim.run_for(TICK + ms(10));
    // The group's two ticks came to 540, of whole shares.
    assert_eq!(bytes_in(&mut world), 540 / 64 * 64);
}

#[test]
fn absurd_numbers_are_refused_with_the_number_and_the_remedy() {
    let build = |change: &dyn Fn(sluicegate::GroupBuilder) -> sluicegate::GroupBuilder| {
        change(Group::builder(per_second(10_000_000))).build().expect_err("absurd")
    };
    for seats in [0, 4097, usize::MAX] {
        let refused = build(&|group| group.seats(seats));
        assert_eq!(refused, ConfigError::Seats { seats });
    }
    for interval in [Duration::ZERO, Duration::from_micros(999)] {
        let refused = build(&|group| group.rebalance(Rebalance::Every(interval)));
        assert_eq!(refused, ConfigError::RebalanceTooShort { interval, shortest: ms(1) });
    }
    for interval in [ms(43), Duration::MAX] {
        let refused = build(&|group| group.rebalance(Rebalance::Every(interval)));
        assert_eq!(refused, ConfigError::RebalanceTooLong { interval, longest: ms(42) });
        assert!(refused.to_string().contains("42ms"), "{refused}");
    }
    Group::builder(per_second(1)).rebalance(Rebalance::Never).build().expect("for those who want");
    for share in [0, 1, usize::MAX] {
        let group = Group::builder(per_second(1)).min_share(share).build().expect("any will do");
        group.set_min_share(usize::MAX - share).expect("any will do");
    }
    for text in ["0B/s", "10", "2TiB/s", "-1MB/s"] {
        let refused = text.parse::<Rate>().expect_err(text).to_string();
        assert!(refused.contains(text), "{refused}");
    }
    let tick = Duration::from_secs(86_401);
    let refused = TokenBucketConfig::new(1, 1, 1, 1, Some(tick));
    assert_eq!(refused, Err(ConfigError::TickTooLong { tick }));
}

#[test]
fn any_rate_moves_what_it_should() {
    const SPAN: Duration = Duration::from_millis(300);
    for exponent in 0..=40 {
        let rate = 1 << exponent;
        let config = per_second(rate);
        let most = rate * 3 / 10 + config.limit(READ).expect("it is limited").burst();
        // What the peer can send binds the fast ones.
        let least = (rate * 3 / 10 * 9 / 10).clamp(1, 1_000_000);
        for grouped in [false, true] {
            let mut world = World::new(exponent);
            let group = world.group(config.clone());
            let one = world.connect();
            if grouped {
                world.bev(one).join(&group).expect("a seat");
            } else {
                world.bev(one).set_rate_limit(Some(config.clone()));
            }
            let moved = world.flood(&[one], SPAN);
            assert!((least..=most).contains(&moved), "{moved} of {least} to {most} at {rate} B/s");
        }
    }
}

#[test]
fn debts_of_any_depth_hold_and_a_credit_ends_them() {
    let mut world = World::new(9);
    let group = world.builder(per_tick(640, 640, TICK)).seats(1).build().expect("valid");
    let members = [world.connect(), world.member(&group)];
    world.bev(members[0]).set_rate_limit(Some(per_tick(640, 640, TICK)));
    for bytes in [i64::MAX, i64::MAX, -1, 1] {
        world.bev(members[0]).decrement_read_limit(bytes).expect("it has a limit");
        group.decrement_read(bytes).expect("it has a limit");
    }
    for member in members {
        world.sim.write(member.peer, &[7; PLENTY]);
    }
    let turns = world.sim.core().stats().turns;
    world.sim.run_for(Duration::from_secs(600));
    assert_eq!(bytes_in(&mut world), 0);
    // It rebalances, four times a tick, for those who might join it.
    let turns = world.sim.core().stats().turns - turns;
    assert!(turns <= 600 * 41, "{turns} turns in ten minutes in which nothing could be done");
    world.bev(members[0]).decrement_read_limit(i64::MIN).expect("it has a limit");
    for _ in 0..2 {
        group.decrement_read(i64::MIN).expect("it has a limit");
    }
    world.sim.run_for(ms(5));
    assert_eq!(bytes_in(&mut world), 2 * 640);
}

#[test]
fn a_group_that_was_quiet_for_years_is_full_and_serves_as_before() {
    let mut world = World::new(10);
    let group = world.group(per_second(100_000_000_000));
    let one = world.member(&group);
    world.flood(&[one], ms(5));
    // A year has 365 days, not the 365 x 1440 turns of a core that sleeps a minute at most.
    for _ in 0..7 {
        world.clock().advance(DAY * 365);
        assert_eq!(group.read_limit(), group.usable_burst(READ) as i64);
        let moved = world.flood(&[one], ms(5));
        assert!(moved >= 300_000, "{moved} bytes in 5 ms");
    }
}
