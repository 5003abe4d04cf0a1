//! Two cores step by step: queues, shares, debts and deadlines at exact instants.

mod seat;

use std::num::NonZeroU32;
use std::time::Duration;

use seat::READ;
use sluicegate_groups::{
    Group, GroupBuilder, GroupShard, MemberId, Rebalance, Time, TokenBucketConfig,
};

fn ms(ms: u64) -> Time {
    Time::from_nanos(ms * 1_000_000)
}

/// 10 MB/s on two seats: a lease and a quantum of 10,000, shares kept for 49 ms.
fn fast() -> GroupBuilder {
    Group::builder(TokenBucketConfig::per_second("10MB/s".parse().unwrap())).seats(2)
}

/// 3,000 bytes each 100 ms and nothing saved: no leases.
fn tight() -> GroupBuilder {
    let tick = Some(Duration::from_millis(100));
    Group::builder(TokenBucketConfig::new(3000, 3000, 3000, 3000, tick).unwrap()).seats(2)
}

fn core(group: &Group, weight: u32) -> (GroupShard, MemberId) {
    seat::take(group, ms(0), weight)
}

fn exhaust(shard: &mut GroupShard, member: MemberId, now: Time) -> u64 {
    seat::exhaust(shard, member, u64::MAX, now)
}

/// Moves all that waiting members may at `now`.
fn serve(shard: &mut GroupShard, now: Time) -> u64 {
    let mut moved = 0;
    while let Some((_, member, grant)) = shard.poll_grant(READ, || now) {
        let bytes = grant.bytes;
        moved += bytes;
        shard.settle(member, grant, bytes, true);
    }
    moved
}

/// A core with one of two members left waiting and half its lease of 10,000 in hand, at 50 ms.
fn half_served(group: &Group) -> GroupShard {
    let (mut shard, first) = core(group, 1);
    exhaust(&mut shard, first, ms(0));
    let second = shard.join(1, NonZeroU32::MIN);
    assert_eq!(shard.request(second, READ, u64::MAX, || ms(0)), None);
    shard.rebalance(ms(50));
    assert_eq!(shard.quantum(READ), 5000);
    let (_, member, grant) = shard.poll_grant(READ, || ms(50)).unwrap();
    assert_eq!((member, grant.bytes), (first, 5000));
    shard.settle(member, grant, 5000, false);
    assert!(shard.holds_lease() && shard.is_queued(second, READ));
    shard
}

/// A group that draws for each operation: a burst of a quantum for each of two.
fn bare() -> GroupBuilder {
    let config = TokenBucketConfig::per_second("1MB/s".parse().unwrap()).with_burst(2000).unwrap();
    Group::builder(config).seats(2).min_share(1500)
}

#[test]
fn a_member_in_the_way_of_another_of_its_core_makes_it_wait_and_not_spin() {
    for (group, quantum) in [(fast(), 10_000), (bare(), 1500)] {
        let group = group.build(ms(0)).unwrap();
        let (mut shard, first) = core(&group, 1);
        let second = shard.join(1, NonZeroU32::MIN);
        let grant = shard.request(first, READ, quantum, || ms(0)).unwrap();
        assert_eq!(grant.bytes, quantum);
        assert_eq!(shard.request(second, READ, quantum, || ms(50)), None, "all is lent");
        assert!(shard.poll_deadline() > Some(ms(50)), "the grant is still under way then");
        shard.settle(first, grant, quantum, false);
        assert!(shard.poll_deadline() <= Some(ms(50)), "now it is there");
        assert!(shard.poll_grant(READ, || ms(50)).is_some());
    }
}

#[test]
fn a_lease_in_hand_is_for_those_who_wait_not_for_newcomers() {
    let group = fast().build(ms(0)).unwrap();
    let mut shard = half_served(&group);
    let third = shard.join(2, NonZeroU32::MIN);
    assert_eq!(shard.request(third, READ, 10, || panic!("others wait")), None);
}

#[test]
fn a_member_that_waits_for_more_stays_only_while_work_is_pending() {
    for pending in [true, false] {
        let group = fast().build(ms(0)).unwrap();
        let (mut shard, member) = core(&group, 1);
        let grant = shard.request(member, READ, 100, || ms(0)).unwrap();
        assert_eq!(shard.request(member, READ, 10_000, || ms(0)), None);
        shard.settle(member, grant, 100, pending);
        assert_eq!(shard.is_queued(member, READ), pending);
    }
}

#[test]
fn only_the_grant_from_the_queue_places_its_member_there_again() {
    let group = fast().build(ms(0)).unwrap();
    let (mut shard, first) = core(&group, 1);
    exhaust(&mut shard, first, ms(0));
    shard.cancel(first, READ);
    assert_eq!(shard.request(first, READ, 4000, || ms(0)), None);
    let (_, _, from_queue) = shard.poll_grant(READ, || ms(50)).unwrap();
    let meanwhile = shard.request(first, READ, 100, || panic!("the lease suffices")).unwrap();
    let second = shard.join(1, NonZeroU32::MIN);
    assert_eq!(shard.request(second, READ, 10_000, || ms(50)), None);
    shard.settle(first, meanwhile, 100, true);
    assert!(!shard.is_queued(first, READ), "the other operation is under way");
    shard.settle(first, from_queue, 4000, true);
    assert!(shard.is_queued(first, READ));
}

#[test]
fn a_rebalance_gives_back_what_waiting_members_cannot_use() {
    let group = fast().build(ms(0)).unwrap();
    let mut shard = half_served(&group);
    let (mut other, crowd) = core(&group, 99);
    exhaust(&mut other, crowd, ms(50));
    shard.rebalance(ms(50));
    assert_eq!(shard.quantum(READ), 1000, "100 of weight wait");
    assert_eq!(group.stats().seats[0].lease[0], 1000);
}

#[test]
fn a_core_that_comes_waits_until_it_has_earned_what_it_draws() {
    let group = fast().build(ms(0)).unwrap();
    let ((mut one, a), (mut two, b)) = (core(&group, 1), core(&group, 1));
    exhaust(&mut one, a, ms(0));
    assert_eq!(exhaust(&mut two, b, ms(10)), 0);
    assert_eq!(assert_exact_deadline(&mut two), ms(12), "10,000 bytes are half of 2 ms");
}

#[test]
fn a_small_operation_waits_for_its_own_size_only() {
    let group = fast().build(ms(0)).unwrap();
    let ((mut one, a), (mut two, b)) = (core(&group, 1), core(&group, 1));
    exhaust(&mut one, a, ms(0));
    assert_eq!(two.request(b, READ, 100, || ms(10)), None);
    assert_eq!(assert_exact_deadline(&mut two), Time::from_nanos(10_020_000));
}

#[test]
fn who_comes_and_goes_pays_what_the_last_on_its_seat_overdrew() {
    let us = |us: u64| Time::from_nanos(us * 1000);
    // A depth of 20,000 and a quantum of 10,000: a core stakes 2500 and owes the rest.
    let config = TokenBucketConfig::per_second("10MB/s".parse().unwrap());
    let config = config.with_burst(40_000).unwrap();
    let group = Group::builder(config).seats(2).rebalance(Rebalance::Never);
    let group = group.build(ms(0)).unwrap();
    let ((mut one, a), (mut two, b)) = (core(&group, 1), core(&group, 1));
    exhaust(&mut one, a, ms(0));
    assert_eq!(exhaust(&mut two, b, us(500)), 0);
    assert_eq!(serve(&mut two, us(1000)), 10_000, "earned 2500");
    for at in [1000, 1200, 1400] {
        drop(two);
        let (mut next, c) = core(&group, 1);
        assert_eq!(next.request(c, READ, 100, || us(at)), None, "at {at} us");
        two = next;
    }
    assert_eq!(assert_exact_deadline(&mut two), us(2520), "7600 bytes are half of 1520 us");
}

#[test]
fn a_config_that_lifts_the_limit_while_a_member_queues_is_not_missed() {
    let group = fast().build(ms(0)).unwrap();
    let (mut shard, member) = core(&group, 1);
    assert_eq!(exhaust(&mut shard, member, ms(0)), 10_000);
    shard.cancel(member, READ);
    let lifted = TokenBucketConfig::builder().build().unwrap();
    let reading = || {
        group.set_config(ms(0), lifted).unwrap();
        ms(0)
    };
    let grant = shard.request(member, READ, 77, reading).expect("looked once more");
    assert_eq!(grant.bytes, 77);
    shard.settle(member, grant, 77, false);
}

#[test]
fn a_new_config_reaches_every_core_within_one_rebalance_and_drops_nobody() {
    let group = fast().seats(3).rebalance(Rebalance::Every(Duration::from_millis(20)));
    let group = group.build(ms(0)).unwrap();
    let mut cores: Vec<_> = (0..3).map(|_| core(&group, 1)).collect();
    for (shard, member) in &mut cores {
        exhaust(shard, *member, ms(0));
        assert_eq!(shard.max_grant(READ), 10_000);
    }
    // Nobody listens to the wake-ups here.
    let before = group.read_limit(ms(1));
    group.set_config(ms(1), TokenBucketConfig::per_second("1MB/s".parse().unwrap())).unwrap();
    assert_eq!(group.read_limit(ms(1)), before, "no level is raised");
    for (shard, member) in &mut cores {
        assert!(shard.poll_deadline() <= Some(ms(20)), "a rebalance is due");
        shard.handle_deadline(ms(20));
        assert_eq!(shard.max_grant(READ), 1000, "a lease of the new config");
        assert!(shard.is_queued(*member, READ) && shard.member_count() == 1);
    }
}

#[test]
fn a_core_whose_limit_went_and_came_back_joins_again() {
    let group = fast().build(ms(0)).unwrap();
    let (mut shard, member) = core(&group, 1);
    exhaust(&mut shard, member, ms(0));
    let config = group.config();
    group.set_config(ms(0), TokenBucketConfig::builder().build().unwrap()).unwrap();
    shard.refresh();
    assert_eq!(group.stats().weight, [0, 0]);
    group.set_config(ms(0), config).unwrap();
    group.decrement(ms(0), READ, 10_000).unwrap();
    assert_eq!(shard.poll_grant(READ, || ms(0)), None);
    assert_eq!(group.stats().weight, [1, 0]);
}

#[test]
fn an_earlier_reading_means_that_no_time_has_passed() {
    let group = fast().build(ms(0)).unwrap();
    let (mut shard, member) = core(&group, 1);
    for now in [ms(10), ms(0)] {
        let grant = shard.request(member, READ, 10_000, || now).unwrap();
        assert_eq!(grant.bytes, 10_000);
        shard.settle(member, grant, 10_000, false);
    }
}

#[test]
fn bytes_in_flight_end_with_their_core() {
    let group = tight().build(ms(0)).unwrap();
    let ((mut one, a), (mut two, b)) = (core(&group, 1), core(&group, 1));
    let grant = one.request(a, READ, 64, || ms(0)).unwrap();
    assert_eq!(grant.bytes, 64);
    drop(one);
    assert_eq!(exhaust(&mut two, b, ms(100)), 3000);
}

/// Checks that a core that waits is served at its deadline and not a nanosecond before.
fn assert_exact_deadline(shard: &mut GroupShard) -> Time {
    let due = shard.poll_deadline().unwrap();
    let before = Time::from_nanos(due.as_nanos() - 1);
    assert_eq!(shard.poll_grant(READ, || before), None, "before {due:?}");
    let (_, member, grant) = shard.poll_grant(READ, || due).expect("the deadline was promised");
    let bytes = grant.bytes;
    shard.settle(member, grant, bytes, true);
    due
}

#[test]
fn a_core_is_served_as_soon_as_others_leave_enough_unclaimed() {
    let group = fast().rebalance(Rebalance::Never).build(ms(0)).unwrap();
    let ((mut crowd, a), (mut two, b)) = (core(&group, 99), core(&group, 1));
    exhaust(&mut crowd, a, ms(0));
    assert_eq!(exhaust(&mut two, b, ms(1)), 0);
    // Its own share would take 100 ms. 490,000 bytes are reserved; a quantum more is free.
    assert_eq!(assert_exact_deadline(&mut two), ms(50));
}

#[test]
fn a_core_is_served_late_in_a_tick_where_the_next_would_be_lost() {
    let group = tight().rebalance(Rebalance::Never).build(ms(0)).unwrap();
    let ((mut crowd, a), (mut two, b)) = (core(&group, 99), core(&group, 1));
    exhaust(&mut crowd, a, ms(0));
    assert_eq!(exhaust(&mut two, b, ms(1000)), 0);
    // Its own share would take three ticks. The bucket holds one: half of each is for the others.
    assert_eq!(assert_exact_deadline(&mut two), ms(1050));
    assert_eq!(serve(&mut crowd, ms(1100)), 3000);
    assert_eq!(assert_exact_deadline(&mut two), ms(1250), "nothing is left of the tick between");
}

#[test]
fn a_core_that_stops_does_not_take_its_share_of_the_ticks_with_it() {
    for burst in [3000, 4500] {
        let tick = Some(Duration::from_millis(100));
        let config = TokenBucketConfig::new(3000, burst, 3000, burst, tick).unwrap();
        let group = Group::builder(config).seats(2).build(ms(0)).unwrap();
        let ((mut stopped, a), (mut two, b)) = (core(&group, 1), core(&group, 1));
        exhaust(&mut stopped, a, ms(0));
        exhaust(&mut two, b, ms(0));
        for tick in 1..10 {
            let early = serve(&mut two, ms(100 * tick));
            let late = serve(&mut two, ms(100 * tick + 50));
            let most = 1500 + 64 + burst - 3000;
            assert!(early <= most, "{early} in tick {tick}: the other may come yet");
            let full = tick > 2;
            assert!(
                !full || early + late > 3000 - 64,
                "{early} + {late} of tick {tick} at {burst}"
            );
        }
    }
}
