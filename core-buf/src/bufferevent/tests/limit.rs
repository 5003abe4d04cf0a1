//! Unit tests of the seam: own limits, groups, and what a wait for tokens does to timeouts.

use std::num::NonZeroU32;
use std::task::Waker;

use groups::{Group, GroupShard, TokenBucketConfig};

use super::*;

fn smooth(rate: &str, burst: u64) -> TokenBucketConfig {
    let rate = rate.parse().expect("a rate");
    TokenBucketConfig::per_second(rate).with_burst(burst).expect("a burst")
}

fn ask(stream: &mut Bufferevent, direction: Direction, now: Time) -> Option<usize> {
    let want = stream.poll_operation(direction).expect("it has something to move");
    match stream.request(direction, want, None, &mut || now) {
        Allowance::Move(permit) => {
            let bytes = permit.bytes;
            stream.settle(permit, bytes, None);
            Some(bytes)
        }
        Allowance::Wait => None,
    }
}

#[test]
fn a_smooth_limit_moves_quanta_and_no_crumbs() {
    let mut stream = open();
    stream.set_rate_limit(Time::ZERO, Some(smooth("1MB/s", 100_000)));
    assert_eq!(ask(&mut stream, READ, Time::ZERO), Some(1000), "a quantum is 1 ms of the rate");
    let soon = Time::from_nanos(10_000);
    assert_eq!(ask(&mut stream, READ, soon), None, "10 bytes are there");
    assert_eq!(stream.suspended(READ), Suspend::OWN_LIMIT);
    assert_eq!(stream.poll_deadline(), Some(ms(1)));
    stream.handle_deadline(ms(1));
    assert_eq!(ask(&mut stream, READ, ms(1)), Some(1000));
}

#[test]
fn a_smooth_limit_gives_less_than_a_quantum_to_who_wants_less() {
    let mut stream = open();
    stream.set_rate_limit(Time::ZERO, Some(smooth("1MB/s", 100_000)));
    put(&mut stream, Time::ZERO, 1010);
    assert_eq!(ask(&mut stream, WRITE, Time::ZERO), Some(1000));
    stream.handle_write(Time::ZERO, WriteOutcome::Bytes(1000), 1000);
    assert_eq!(ask(&mut stream, WRITE, Time::from_nanos(5_000)), None);
    assert_eq!(stream.poll_deadline(), Some(Time::from_nanos(10_000)), "when 10 bytes are there");
    stream.handle_deadline(Time::from_nanos(10_000));
    assert_eq!(ask(&mut stream, WRITE, Time::from_nanos(10_000)), Some(10));
}

#[test]
fn a_ticking_limit_moves_whatever_the_tick_brought() {
    let tick = Some(Duration::from_millis(100));
    let config = TokenBucketConfig::new(300, 1200, 300, 1200, tick).expect("a valid config");
    let mut stream = open();
    stream.set_rate_limit(Time::ZERO, Some(config));
    assert_eq!(ask(&mut stream, READ, Time::ZERO), Some(300));
    assert_eq!(ask(&mut stream, READ, ms(1)), None);
    assert_eq!(stream.poll_deadline(), Some(ms(100)));
}

#[test]
fn a_new_own_limit_keeps_the_level_and_lets_the_direction_ask_again() {
    let mut stream = open();
    stream.set_rate_limit(Time::ZERO, Some(smooth("1MB/s", 100_000)));
    assert_eq!(stream.own_level(ms(50), READ), Some(51_000));
    stream.set_rate_limit(ms(50), Some(smooth("1MB/s", 2_000)));
    assert_eq!(stream.own_level(ms(50), READ), Some(2_000), "clipped to the new burst");
    assert_eq!(ask(&mut stream, READ, ms(50)), Some(2_000));
    assert_eq!(ask(&mut stream, READ, ms(50)), None);
    stream.set_rate_limit(ms(50), None);
    assert_eq!(ask(&mut stream, READ, ms(50)), Some(DEFAULT_MAX_SINGLE));
    assert_eq!(stream.poll_deadline(), None);
}

/// A member of a group of 1 MB/s that has one seat.
fn member(stream: &mut Bufferevent) -> (Group, GroupShard) {
    let group = Group::builder(smooth("1MB/s", 4_000)).seats(1).build(Time::ZERO);
    let group = group.expect("a valid group");
    let mut shard = group.shard(Time::ZERO, Waker::noop().clone()).expect("a seat");
    let member = shard.join(0, NonZeroU32::MIN);
    stream.set_membership(Some(Membership { shard: 0, member }));
    (group, shard)
}

/// Reads until the limits say no; returns the bytes read.
fn exhaust(stream: &mut Bufferevent, shard: &mut GroupShard, now: Time) -> usize {
    let mut total = 0;
    while let Some(want) = stream.poll_read() {
        let Allowance::Move(permit) = stream.request(READ, want, Some(shard), &mut || now) else {
            break;
        };
        let bytes = permit.bytes;
        stream.settle(permit, bytes, Some(shard));
        total += bytes;
    }
    total
}

#[test]
fn own_limit_and_group_are_both_charged() {
    let mut stream = open();
    let (group, mut shard) = member(&mut stream);
    stream.set_rate_limit(Time::ZERO, Some(smooth("100kB/s", 10_000)));
    let moved = exhaust(&mut stream, &mut shard, Time::ZERO);
    assert_eq!(moved, 100, "the own limit is the tighter");
    assert_eq!(stream.own_level(Time::ZERO, READ), Some(0));
    assert_eq!(group.totals(), (100, 0));
}

#[test]
fn a_member_waits_for_its_group_and_goes_on_with_the_grant_it_gets() {
    let mut stream = open();
    let (group, mut shard) = member(&mut stream);
    let first = exhaust(&mut stream, &mut shard, Time::ZERO);
    assert_eq!(stream.suspended(READ), Suspend::GROUP_LIMIT);
    assert!(shard.is_waiting(READ));
    let now = shard.poll_deadline().expect("it waits");
    shard.handle_deadline(now);
    let (_, _, grant) = shard.poll_grant(READ, || now).expect("tokens have come");
    let permit = stream.resume(READ, grant, &mut shard, &mut || now).expect("it wants to read");
    let bytes = permit.bytes;
    stream.settle(permit, bytes, Some(&mut shard));
    assert_eq!(stream.suspended(READ), Suspend::GROUP_LIMIT, "behind the others, with more to do");
    assert_eq!(group.totals(), ((first + bytes) as u64, 0));
}

#[test]
fn a_grant_of_the_group_is_cut_to_the_own_limit_and_given_back_if_that_is_used_up() {
    let mut stream = open();
    let (group, mut shard) = member(&mut stream);
    let first = exhaust(&mut stream, &mut shard, Time::ZERO) as u64;
    stream.set_rate_limit(Time::ZERO, Some(smooth("1kB/s", 64)));
    let (_, _, grant) = shard.poll_grant(READ, || ms(10)).expect("tokens have come");
    let permit = stream.resume(READ, grant, &mut shard, &mut || ms(10)).expect("a permit");
    assert_eq!(permit.bytes, 64);
    stream.settle(permit, 64, Some(&mut shard));
    let (_, _, grant) = shard.poll_grant(READ, || ms(20)).expect("it has more to read");
    assert!(stream.resume(READ, grant, &mut shard, &mut || ms(20)).is_none());
    assert_eq!(stream.suspended(READ), Suspend::OWN_LIMIT);
    assert!(!shard.is_waiting(READ), "it does not hold the others up");
    assert_eq!(stream.poll_deadline(), Some(ms(74)));
    assert_eq!(group.totals(), (first + 64, 0));
}

#[test]
fn a_member_that_is_done_leaves_the_queue_and_gives_its_grant_back() {
    for disable in [true, false] {
        let mut stream = open();
        let (group, mut shard) = member(&mut stream);
        let first = exhaust(&mut stream, &mut shard, Time::ZERO) as u64;
        let now = ms(10);
        let (_, _, grant) = shard.poll_grant(READ, || now).expect("tokens have come");
        if disable {
            stream.disable(now, READ);
            assert!(stream.resume(READ, grant, &mut shard, &mut || now).is_none());
        } else {
            let permit = stream.resume(READ, grant, &mut shard, &mut || now).expect("a permit");
            stream.handle_read(now, ReadOutcome::WouldBlock, permit.bytes, &mut Landing::new());
            stream.settle(permit, 0, Some(&mut shard));
        }
        assert!(!shard.is_waiting(READ));
        assert!(!stream.suspended(READ).intersects(Suspend::LIMITS));
        assert_eq!(group.totals(), (first, 0));
    }
}

#[test]
fn leaving_a_group_ends_the_wait_for_it() {
    let mut stream = open();
    let (_group, mut shard) = member(&mut stream);
    exhaust(&mut stream, &mut shard, Time::ZERO);
    let membership = stream.membership().expect("it is a member");
    shard.leave(membership.member);
    stream.set_membership(None);
    assert_eq!(ask(&mut stream, READ, Time::ZERO), Some(DEFAULT_MAX_SINGLE));
}

#[test]
fn a_timeout_while_waiting_for_tokens_is_excused_even_if_both_are_due_at_once() {
    let mut stream = open();
    stream.set_rate_limit(Time::ZERO, Some(smooth("1kB/s", 100)));
    stream.set_timeout(Time::ZERO, READ, Some(Duration::from_millis(50)));
    assert_eq!(ask(&mut stream, READ, Time::ZERO), Some(64), "the first quantum");
    assert_eq!(ask(&mut stream, READ, Time::ZERO), None);
    stream.handle_deadline(ms(50));
    assert_eq!((stream.excused_timeouts(), stream.has_callbacks()), (1, false));
    assert_eq!(stream.poll_deadline(), Some(ms(64)), "tokens before the next timeout");
    stream.handle_deadline(ms(100));
    assert_eq!((stream.excused_timeouts(), stream.has_callbacks()), (2, false));
    assert!(stream.poll_read().is_some(), "and the tokens have come");
    stream.handle_read(ms(100), ReadOutcome::WouldBlock, 1, &mut Landing::new());
    stream.handle_deadline(ms(150));
    assert_eq!(callbacks(&mut stream), ["READING+TIMEOUT"], "now it is the peer");
}

fn ticking(rate: u64, burst: u64) -> TokenBucketConfig {
    let tick = Some(Duration::from_millis(100));
    TokenBucketConfig::new(rate, burst, rate, burst, tick).expect("a valid config")
}

#[test]
fn an_adjustment_that_crosses_zero_suspends_and_one_back_resumes() {
    let mut stream = open();
    stream.set_rate_limit(Time::ZERO, Some(ticking(300, 1200)));
    stream.decrement_own(Time::ZERO, READ, 299).expect("it has a limit");
    assert_eq!(stream.suspended(READ), Suspend::empty(), "a byte is left");
    stream.decrement_own(Time::ZERO, READ, 1).expect("it has a limit");
    assert_eq!(stream.suspended(READ), Suspend::OWN_LIMIT);
    assert_eq!(stream.suspended(WRITE), Suspend::empty());
    assert_eq!(stream.poll_deadline(), Some(ms(100)), "when the next tick comes");
    stream.decrement_own(ms(10), READ, -5).expect("it has a limit");
    assert_eq!((stream.suspended(READ), stream.poll_deadline()), (Suspend::empty(), None));
    assert_eq!(ask(&mut stream, READ, ms(10)), Some(5));
}

#[test]
fn an_adjustment_moves_the_time_at_which_a_wait_ends() {
    let mut stream = open();
    stream.set_rate_limit(Time::ZERO, Some(smooth("1MB/s", 100_000)));
    assert_eq!(ask(&mut stream, READ, Time::ZERO), Some(1000));
    assert_eq!(ask(&mut stream, READ, Time::ZERO), None);
    assert_eq!(stream.poll_deadline(), Some(ms(1)));
    stream.decrement_own(Time::ZERO, READ, 5000).expect("it has a limit");
    assert_eq!(stream.poll_deadline(), Some(ms(6)), "the debt and a quantum");
    stream.handle_deadline(ms(1));
    assert_eq!(stream.suspended(READ), Suspend::OWN_LIMIT, "the old time means nothing now");
    stream.decrement_own(ms(1), READ, -2000).expect("it has a limit");
    assert_eq!(stream.poll_deadline(), Some(ms(4)));
    stream.handle_deadline(ms(4));
    assert_eq!(ask(&mut stream, READ, ms(4)), Some(1000));
}

#[test]
fn adjustments_of_any_size_are_clipped_at_the_burst_and_overflow_nothing() {
    let mut stream = open();
    stream.set_rate_limit(Time::ZERO, Some(ticking(300, 1200)));
    for bytes in [i64::MAX, i64::MAX, i64::MIN, 1, i64::MIN] {
        stream.decrement_own(Time::MAX, READ, bytes).expect("it has a limit");
        let _deadline = stream.poll_deadline();
    }
    assert_eq!(stream.own_level(Time::MAX, READ), Some(1200));
    assert_eq!(stream.suspended(READ), Suspend::empty());
}

#[test]
fn without_an_own_limit_there_is_no_level_and_nothing_to_adjust() {
    let mut stream = open();
    let refused = |stream: &mut Bufferevent, direction| {
        assert_eq!(stream.own_level(ms(1), direction), None);
        let refused = stream.decrement_own(ms(1), direction, -1);
        assert_eq!(refused, Err(groups::NoLimit { direction }));
    };
    refused(&mut stream, READ);
    let config = TokenBucketConfig::builder().write("1kB/s".parse().expect("a rate")).build();
    stream.set_rate_limit(Time::ZERO, Some(config.expect("a valid config")));
    refused(&mut stream, READ);
    assert_eq!(stream.own_level(Time::ZERO, WRITE), Some(64));
    stream.set_rate_limit(Time::ZERO, None);
    refused(&mut stream, WRITE);
}

#[test]
fn the_most_to_move_is_what_a_request_is_granted() {
    let mut stream = open();
    assert_eq!(stream.max_to_move(Time::ZERO, READ, None), DEFAULT_MAX_SINGLE);
    stream.set_max_single(READ, 700);
    let (_group, mut shard) = member(&mut stream);
    let most = |stream: &mut Bufferevent, shard: &GroupShard, now| {
        stream.max_to_move(now, READ, Some(shard))
    };
    assert_eq!(most(&mut stream, &shard, Time::ZERO), 700, "the largest single read binds");
    stream.set_max_single(READ, 0);
    assert_eq!(most(&mut stream, &shard, Time::ZERO), 1000, "the group does");
    stream.set_rate_limit(Time::ZERO, Some(ticking(300, 1200)));
    assert_eq!(most(&mut stream, &shard, Time::ZERO), 300, "the own limit does");
    assert_eq!(exhaust(&mut stream, &mut shard, Time::ZERO), 300);
    assert_eq!(most(&mut stream, &shard, Time::ZERO), 0);
    stream.decrement_own(Time::ZERO, READ, -1200).expect("it has a limit");
    assert_eq!(most(&mut stream, &shard, Time::ZERO), 0, "less than a quantum of the group's left");
    assert_eq!(most(&mut stream, &shard, ms(1)), 1000);
    assert_eq!(exhaust(&mut stream, &mut shard, ms(1)), 1200, "a lease, and the rest of the own");
    stream.set_rate_limit(ms(1), None);
    exhaust(&mut stream, &mut shard, ms(1));
    assert_eq!(most(&mut stream, &shard, ms(50)), 0, "it waits in its group");
}
