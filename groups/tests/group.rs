//! What an application does to a group by hand, and what its cores see of it.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Wake, Waker};
use std::time::Duration;

use sluicegate_groups::{
    ConfigError, Direction, Grant, Group, GroupShard, MemberId, NoLimit, NoSeat, RATE_LIMIT_MAX,
    Rebalance, ShardState, Time, TokenBucketConfig,
};

const READ: Direction = Direction::Read;
const WRITE: Direction = Direction::Write;

fn ms(ms: u64) -> Time {
    Time::from_nanos(ms * 1_000_000)
}

fn smooth(rate: &str) -> TokenBucketConfig {
    TokenBucketConfig::per_second(rate.parse().unwrap())
}

fn ticking(rate: u64, burst: u64, tick_ms: u64) -> TokenBucketConfig {
    let tick = Some(Duration::from_millis(tick_ms));
    TokenBucketConfig::new(rate, burst, rate, burst, tick).unwrap()
}

/// Counts how often it was woken.
#[derive(Default)]
struct Bell(AtomicUsize);

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

fn shard(group: &Group) -> (GroupShard, MemberId) {
    let mut shard = group.shard(ms(0), Waker::noop().clone()).unwrap();
    let member = shard.join(7, NonZeroU32::MIN);
    (shard, member)
}

/// Moves as much as a lone member can at `now`.
fn exhaust(shard: &mut GroupShard, member: MemberId, now: Time) -> u64 {
    let mut moved = 0;
    while let Some(grant) = shard.request(member, READ, 1 << 20, || now) {
        moved += grant.bytes;
        let bytes = grant.bytes;
        shard.settle(member, grant, bytes, true);
    }
    moved
}

#[test]
fn levels_are_reported_as_of_now_and_a_quiet_group_is_full_at_its_usable_burst() {
    let group = Group::new(ms(0), smooth("1MB/s")).unwrap();
    assert_eq!(group.read_limit(ms(0)), 1000);
    assert_eq!(group.write_limit(ms(3)), 4000);
    let usable = group.usable_burst(READ);
    assert_eq!(usable, 100_000 - 16 * 1000);
    assert_eq!(group.read_limit(ms(1 << 40)), usable as i64);
}

#[test]
fn debits_may_leave_a_debt_and_credits_are_clipped_after_any_idle_time() {
    let group = Group::new(ms(0), smooth("1MB/s")).unwrap();
    group.decrement(ms(0), READ, 5000).unwrap();
    assert_eq!(group.read_limit(ms(0)), -4000);
    assert_eq!(group.write_limit(ms(0)), 1000);
    let (mut shard, member) = shard(&group);
    assert_eq!(shard.request(member, READ, 100, || ms(4)), None, "still in debt");
    group.decrement(ms(4), READ, -200).unwrap();
    assert!(shard.poll_grant(READ, || ms(4)).is_some(), "the credit is there at once");
    group.decrement(ms(1 << 40), READ, -i64::MAX).unwrap();
    assert_eq!(group.read_limit(ms(1 << 40)), group.usable_burst(READ) as i64);
}

#[test]
fn credit_config_and_disbanding_wake_every_seat_and_debits_none() {
    let group = Group::new(ms(0), smooth("1MB/s")).unwrap();
    let bells: Vec<_> = (0..3).map(|_| Arc::new(Bell::default())).collect();
    let mut shards: Vec<_> = bells
        .iter()
        .map(|bell| group.shard(ms(0), Waker::from(Arc::clone(bell))).unwrap())
        .collect();
    let rung = || bells.iter().map(|bell| bell.0.load(Ordering::SeqCst)).collect::<Vec<_>>();
    group.decrement(ms(0), READ, 100).unwrap();
    assert_eq!(rung(), [0, 0, 0]);
    group.decrement(ms(0), READ, -100).unwrap();
    assert_eq!(rung(), [1, 1, 1]);
    group.set_config(ms(0), smooth("2MB/s")).unwrap();
    group.set_min_share(ms(0), 100).unwrap();
    assert_eq!(rung(), [3, 3, 3]);
    shards.pop();
    group.disband();
    assert_eq!(rung(), [4, 4, 3], "a seat that was given back is left alone");
}

#[test]
fn a_core_too_many_is_told_how_many_seats_there_are() {
    let group = Group::builder(smooth("1MB/s")).seats(2).build(ms(0)).unwrap();
    assert_eq!(group.seats(), 2);
    let (first, _second) = (shard(&group), shard(&group));
    assert_eq!(group.shard(ms(0), Waker::noop().clone()).unwrap_err(), NoSeat { seats: 2 });
    drop(first);
    assert!(group.shard(ms(0), Waker::noop().clone()).is_ok(), "a seat came free");
}

#[test]
fn seats_default_to_sixteen_or_the_number_of_cores() {
    let seats = |hint| {
        let group = Group::builder(smooth("1MB/s")).seats_hint(hint).build(ms(0));
        group.unwrap().seats()
    };
    assert_eq!((seats(2), seats(64)), (16, 64));
    for seats in [0, 4097] {
        let refused = Group::builder(smooth("1MB/s")).seats(seats).build(ms(0));
        assert_eq!(refused.unwrap_err(), ConfigError::Seats { seats });
    }
}

#[test]
fn clones_are_the_same_group_and_others_are_not() {
    let group = Group::new(ms(0), smooth("1MB/s")).unwrap();
    let other = Group::new(ms(0), smooth("1MB/s")).unwrap();
    assert_eq!(group.clone(), group);
    assert_ne!(group, other);
    assert_ne!(group.id(), other.id());
    assert_eq!(shard(&group).0.group(), group);
}

#[test]
fn a_new_config_never_raises_the_level_even_if_the_bucket_was_overfull() {
    let group = Group::new(ms(0), smooth("1MB/s")).unwrap();
    let full = group.read_limit(ms(100_000));
    group.set_config(ms(100_000), smooth("1MB/s").with_burst(1 << 30).unwrap()).unwrap();
    assert_eq!(group.read_limit(ms(100_000)), full);
    group.set_config(ms(100_000), smooth("1MB/s").with_burst(5000).unwrap()).unwrap();
    assert_eq!(group.read_limit(ms(100_000)), group.usable_burst(READ) as i64);
    assert_eq!(group.config(), smooth("1MB/s").with_burst(5000).unwrap());
}

#[test]
fn a_config_set_at_an_earlier_reading_produces_no_byte_twice() {
    let group = Group::new(ms(50), smooth("1MB/s")).unwrap();
    group.set_config(ms(20), smooth("1MB/s")).unwrap();
    assert_eq!(group.read_limit(ms(50)), 1000);
    assert_eq!(group.read_limit(ms(51)), 2000);
}

#[test]
fn a_tick_under_way_goes_on_whatever_its_length_becomes() {
    let group = Group::new(ms(0), ticking(300, 30_000, 100)).unwrap();
    group.set_config(ms(150), ticking(500, 30_000, 100)).unwrap();
    assert_eq!(group.read_limit(ms(199)), 600);
    assert_eq!(group.read_limit(ms(200)), 1100);
    group.set_config(ms(220), ticking(10, 30_000, 30)).unwrap();
    assert_eq!(group.read_limit(ms(229)), 1100);
    assert_eq!(group.read_limit(ms(230)), 1110);
    group.set_config(ms(250), ticking(10, 30_000, 15)).unwrap();
    assert_eq!(group.read_limit(ms(250)), 1110, "a change by itself brings nothing");
    assert_eq!(group.read_limit(ms(251)), 1120, "but its tick is over");
}

#[test]
fn a_core_that_sees_a_new_config_gives_its_old_lease_back_first() {
    let group = Group::new(ms(0), smooth("10MB/s")).unwrap();
    let (mut shard, member) = shard(&group);
    let grant = shard.request(member, READ, 100, || ms(1)).unwrap();
    shard.settle(member, grant, 100, false);
    assert!(shard.holds_lease());
    let before = group.read_limit(ms(1));
    group.set_config(ms(1), smooth("1MB/s")).unwrap();
    assert_eq!(shard.refresh(), ShardState::Active);
    assert!(!shard.holds_lease());
    assert_eq!(group.read_limit(ms(1)), before + 9_900);
    assert_eq!(shard.max_grant(READ), 1000);
}

#[test]
fn a_grant_settled_under_a_new_config_returns_no_more_than_the_new_lease_holds() {
    let group = Group::new(ms(0), smooth("10MB/s")).unwrap();
    let (mut shard, member) = shard(&group);
    let grant = shard.request(member, READ, 9000, || ms(1)).unwrap();
    group.set_config(ms(1), smooth("1MB/s")).unwrap();
    shard.refresh();
    let before = group.read_limit(ms(1));
    shard.settle(member, grant, 0, false);
    assert_eq!(group.read_limit(ms(1)), before + 8000, "1,000 stay as the lease");
}

#[test]
fn after_disbanding_everything_is_granted_and_nothing_can_be_configured() {
    let group = Group::new(ms(0), smooth("1kB/s")).unwrap();
    let (mut shard, member) = shard(&group);
    exhaust(&mut shard, member, ms(0));
    assert!(shard.is_waiting(READ));
    group.disband();
    assert_eq!(shard.refresh(), ShardState::Disbanded);
    assert!(shard.is_disbanded());
    assert_eq!(shard.poll_deadline(), Some(Time::ZERO), "whoever waits is to be served now");
    let (token, waiting, grant) = shard.poll_grant(READ, || ms(0)).unwrap();
    assert_eq!((token, waiting), (7, member));
    shard.settle(member, grant, 1 << 20, false);
    let grant = shard.request(member, WRITE, 1 << 30, || ms(0)).unwrap();
    assert_eq!(grant.bytes, 1 << 30);
    shard.settle(member, grant, 5, false);
    assert_eq!(group.totals().1, 5);
    assert_eq!(group.set_config(ms(0), smooth("1MB/s")), Err(ConfigError::Disbanded));
    assert_eq!(group.read_limit(ms(0)), i64::MAX);
    assert_eq!(group.decrement(ms(0), WRITE, 1), Err(NoLimit { direction: WRITE }));
}

#[test]
fn an_unlimited_direction_counts_totals_and_starts_afresh_when_limited() {
    let config = TokenBucketConfig::builder().write("1MB/s".parse().unwrap()).build().unwrap();
    let group = Group::new(ms(0), config).unwrap();
    let (mut shard, member) = shard(&group);
    let grant = shard.request(member, READ, 1 << 40, || panic!("no draw, no reading")).unwrap();
    shard.settle(member, grant, 1 << 40, false);
    assert_eq!(group.totals(), (1 << 40, 0));
    assert_eq!((group.read_limit(ms(0)), group.usable_burst(READ)), (i64::MAX, RATE_LIMIT_MAX));
    let refused = group.decrement(ms(0), READ, -1).unwrap_err();
    assert_eq!(refused, NoLimit { direction: READ });
    assert!(refused.to_string().contains("no read limit"), "{refused}");
    assert_eq!(group.quantum(READ, 1000), RATE_LIMIT_MAX);
    group.set_config(ms(9), smooth("1MB/s")).unwrap();
    assert_eq!(group.read_limit(ms(9)), 1000, "the first fill");
    assert_eq!(exhaust(&mut shard, member, ms(9)), 1000);
}

#[test]
fn no_clock_is_read_while_the_lease_suffices() {
    let group = Group::new(ms(0), smooth("10MB/s")).unwrap();
    let (mut shard, member) = shard(&group);
    let grant = shard.request(member, READ, 100, || ms(50)).unwrap();
    shard.settle(member, grant, 100, false);
    for _ in 0..99 {
        let grant = shard.request(member, READ, 100, || panic!("the lease suffices")).unwrap();
        shard.settle(member, grant, 100, false);
    }
    assert_eq!(group.stats().draws(), 1);
}

#[test]
fn without_leases_each_operation_draws_just_what_it_moves() {
    let group = Group::new(ms(0), ticking(3000, 3000, 100)).unwrap();
    let (mut shard, member) = shard(&group);
    let grant = shard.request(member, READ, 50, || ms(1)).unwrap();
    assert_eq!((grant.bytes, grant.drawn_at()), (50, Some(ms(1))));
    assert_eq!(group.read_limit(ms(1)), 2950);
    shard.settle(member, grant, 20, false);
    assert_eq!(group.read_limit(ms(1)), 2980, "the rest went back at once");
    assert!(!shard.holds_lease());
    let grant: Grant = shard.request(member, READ, 50, || ms(1)).unwrap();
    drop(shard);
    assert_eq!(group.read_limit(ms(100)), 3000, "a grant that vanished with its core is over");
    assert_eq!(grant.bytes, 50);
}

#[test]
fn bytes_in_flight_cannot_come_back_into_a_bucket_that_refilled_meanwhile() {
    let group = Group::new(ms(0), ticking(3000, 3000, 100)).unwrap();
    let ((mut slow, waiting), (mut fast, busy)) = (shard(&group), shard(&group));
    let grant = slow.request(waiting, READ, 64, || ms(0)).unwrap();
    let mut moved = exhaust(&mut fast, busy, ms(100));
    slow.settle(waiting, grant, 0, false);
    while let Some((_, member, grant)) = fast.poll_grant(READ, || ms(100)) {
        moved += grant.bytes;
        let bytes = grant.bytes;
        fast.settle(member, grant, bytes, true);
    }
    assert!(moved <= 3000, "{moved} bytes at one instant");
}

#[test]
fn a_lease_too_short_for_an_operation_is_left_to_others() {
    let group = Group::builder(smooth("1MB/s")).seats(2).build(ms(0)).unwrap();
    let (mut shard, member) = shard(&group);
    assert_eq!(exhaust(&mut shard, member, ms(0)), 1000);
    // Half a quantum has appeared: not worth an operation, so it stays where all can have it.
    let half = Time::from_nanos(500_000);
    assert_eq!(shard.poll_grant(READ, || half), None);
    assert_eq!(group.read_limit(half), 500);
    assert!(shard.poll_deadline() <= Some(ms(1)));
    let (_, _, grant) = shard.poll_grant(READ, || ms(1)).unwrap();
    assert_eq!(grant.bytes, 1000);
    shard.settle(member, grant, 1000, false);
}

#[test]
fn newcomers_go_behind_those_who_wait() {
    let group = Group::new(ms(0), smooth("1MB/s")).unwrap();
    let (mut shard, first) = shard(&group);
    exhaust(&mut shard, first, ms(0));
    let second = shard.join(8, NonZeroU32::MIN);
    assert_eq!(shard.request(second, READ, 1, || panic!("others wait")), None);
    assert_eq!(shard.allowance(ms(50), READ, 1), 0);
    let order: Vec<u64> = (0..2)
        .map(|_| {
            let (token, member, grant) = shard.poll_grant(READ, || ms(50)).unwrap();
            let bytes = grant.bytes;
            shard.settle(member, grant, bytes, false);
            token
        })
        .collect();
    assert_eq!(order, [7, 8]);
    assert_eq!(shard.poll_deadline(), None, "nobody waits, no timer");
}

#[test]
fn leaving_and_cancelling_take_a_member_out_of_the_queue() {
    let group = Group::new(ms(0), smooth("1MB/s")).unwrap();
    let (mut shard, first) = shard(&group);
    exhaust(&mut shard, first, ms(0));
    let second = shard.join(8, NonZeroU32::new(5).unwrap());
    assert_eq!(shard.request(second, READ, 9, || ms(0)), None);
    assert_eq!((shard.weight(first).get(), shard.weight(second).get()), (1, 5));
    shard.leave(first);
    shard.cancel(second, WRITE);
    assert!(shard.is_waiting(READ));
    shard.cancel(second, READ);
    assert!(!shard.is_waiting(READ) && shard.member_count() == 1);
    assert_eq!(shard.poll_grant(READ, || panic!("nobody waits")), None);
    shard.park();
    assert_eq!(group.stats().weight, [0, 0]);
}

#[test]
fn a_share_that_nobody_uses_is_something_to_give_back() {
    let group = Group::new(ms(0), smooth("1MB/s")).unwrap();
    let (mut shard, member) = shard(&group);
    exhaust(&mut shard, member, ms(0));
    shard.cancel(member, READ);
    assert_eq!(group.stats().weight, [1, 0]);
    assert!(shard.holds_lease());
    shard.park();
    assert!(!shard.holds_lease());
}

#[test]
fn the_allowance_foretells_what_a_request_grants() {
    let group = Group::new(ms(0), smooth("10MB/s")).unwrap();
    let (mut shard, member) = shard(&group);
    let mut waits = 0;
    for step in 0..400 {
        let now = Time::from_nanos(step / 4 * 700_000);
        let want = [u64::MAX, 4000, 12_345, 1][step as usize % 4];
        let foretold = shard.allowance(now, READ, want);
        match shard.request(member, READ, want, || now) {
            Some(grant) => {
                assert_eq!(grant.bytes, foretold, "{want} at {now:?}");
                let bytes = grant.bytes;
                shard.settle(member, grant, bytes, false);
            }
            None => {
                assert_eq!(foretold, 0, "{want} at {now:?}");
                shard.cancel(member, READ);
                waits += 1;
            }
        }
    }
    assert!((100..300).contains(&waits), "both outcomes were foretold: {waits} waits of 400");
}

#[test]
fn the_smallest_share_and_the_rebalance_interval_are_checked_together() {
    let interval = Duration::from_millis(20);
    let group = Group::builder(smooth("1MB/s")).rebalance(Rebalance::Every(interval));
    let group = group.build(ms(0)).unwrap();
    let refused = group.set_config(ms(0), smooth("1MB/s").with_burst(10_000).unwrap());
    assert!(matches!(refused, Err(ConfigError::RebalanceTooLong { .. })), "{refused:?}");
    assert_eq!(group.config(), smooth("1MB/s"), "the old config stays");
    group.set_min_share(ms(0), 3000).unwrap();
    assert_eq!(group.usable_burst(READ), 100_000 - 16 * 3000);
    group.set_min_share(ms(0), 4000).unwrap();
    assert_eq!(group.usable_burst(READ), 100_000, "too much to hold: each operation draws");
}

#[test]
fn the_quantum_of_a_backlog_can_be_asked_for() {
    let config = TokenBucketConfig::per_second("10MB/s".parse().unwrap());
    let group = Group::new(Time::ZERO, config).unwrap();
    assert_eq!((group.quantum(READ, 1), group.quantum(READ, 4)), (10_000, 2500));
    assert_eq!(group.quantum(READ, 1000), 1000, "10,000 operations a second");
}
