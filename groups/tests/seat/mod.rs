//! A core with one member at its seat, for tests that go step by step.
//!
//! Shared by test files; owns no group and no time.

use std::num::NonZeroU32;
use std::task::Waker;

use sluicegate_groups::{Direction, Group, GroupShard, MemberId, Time};

pub(crate) const READ: Direction = Direction::Read;

/// Seats a core with a member of this weight.
pub(crate) fn take(group: &Group, now: Time, weight: u32) -> (GroupShard, MemberId) {
    let mut shard = group.shard(now, Waker::noop().clone()).unwrap();
    let member = shard.join(0, NonZeroU32::new(weight).unwrap());
    (shard, member)
}

/// Moves all the member may at `now`, by operations that want `want` bytes, until it waits.
pub(crate) fn exhaust(shard: &mut GroupShard, member: MemberId, want: u64, now: Time) -> u64 {
    let mut moved = 0;
    while let Some(grant) = shard.request(member, READ, want, || now) {
        moved += grant.bytes;
        let bytes = grant.bytes;
        shard.settle(member, grant, bytes, true);
    }
    moved
}
