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
