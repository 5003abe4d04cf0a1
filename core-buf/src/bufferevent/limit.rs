//! The one seam at which a bufferevent's bytes are metered; the only file here that knows groups.
//!
//! Owns the bufferevent's own limit and its place in a group. Before an operation the
//! driver asks [`Bufferevent::request`] how much may move, after it [`Bufferevent::settle`] charges
//! what moved, for every kind of bufferevent alike. Both limits apply and both are charged.
//!
//! Invariants: no operation moves more than its permit; a permit is settled exactly once; every
//! check of a bucket uses a clock reading made for it, as a reading of the past would let a long
//! turn spend the same time twice.
//! Source: libevent 2.1.12 `bufferevent_get_rlim_max_` and `bufferevent_decrement_*_buckets_`.
//! Differs: grants are cut before the operation, so nothing is over-committed.

use groups::{Direction, Grant, GroupShard, MemberId, NoLimit, Time, TokenBucketConfig};

use super::own_limit::OwnLimit;
use super::{Bufferevent, Suspend};

/// Where a bufferevent stands in its core's table of groups.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Membership {
    /// Index of the group's shard in the core's table.
    pub shard: u32,
    /// The member within that shard.
    pub member: MemberId,
}

/// Leave to move some bytes in one operation.
#[derive(Debug)]
#[must_use = "a permit holds tokens until it is settled"]
pub struct Permit {
    /// The most the operation may move; never 0.
    pub bytes: usize,
    direction: Direction,
    grant: Option<Grant>,
    /// The reading the own limit was asked with.
    own_at: Option<Time>,
    /// The member waited in its group's queue and goes back there if it has more to move.
    was_queued: bool,
}

impl Permit {
    /// The clock reading its bytes were checked with, where the own limit was asked or the group
    /// draws for each operation; of two the earlier.
    ///
    /// An audit begins the operation's window there; `None` says it may read a clock itself.
    pub fn checked_at(&self) -> Option<Time> {
        let drawn_at = self.grant.as_ref().and_then(Grant::drawn_at);
        match (self.own_at, drawn_at) {
            (Some(own), Some(drawn)) => Some(own.min(drawn)),
            (own, drawn) => own.or(drawn),
        }
    }
}

/// What [`Bufferevent::request`] answers.
#[derive(Debug)]
#[must_use]
pub enum Allowance {
    /// The operation may go ahead.
    Move(Permit),
    /// The direction waits for tokens and has been suspended.
    Wait,
}

/// The limits one bufferevent is under.
#[derive(Debug, Default)]
pub(super) struct Limits {
    own: Option<Box<OwnLimit>>,
    membership: Option<Membership>,
}

impl Limits {
    /// Whether a direction that waited for the own limit may try again.
    pub(super) fn handle_deadline(&mut self, now: Time, direction: Direction) -> bool {
        self.own.as_mut().is_some_and(|own| own.handle_deadline(now, direction))
    }

    #[inline]
    pub(super) fn has_own(&self) -> bool {
        self.own.is_some()
    }

    #[inline]
    pub(super) fn next_deadline(&self) -> Option<Time> {
        self.own.as_ref()?.next_deadline()
    }

    /// How much of `want` the own limit allows now, and the reading it was asked with; `None` to
    /// wait, until a time noted here.
    #[inline]
    fn own_allowance(
        &mut self,
        direction: Direction,
        want: usize,
        clock: &mut dyn FnMut() -> Time,
    ) -> Option<(usize, Option<Time>)> {
        let Some(own) = &mut self.own else { return Some((want, None)) };
        let now = clock();
        own.request(now, direction, want).map(|bytes| (bytes, Some(now)))
    }
}

impl Bufferevent {
    /// Asks for leave to move up to `want` bytes, by the own limit and by the group.
    ///
    /// `shard` is the shard of the [membership](Self::membership), where there is one. Without
    /// limits this costs two compares; under a group whose lease suffices no clock is read and no
    /// atomic touched but the totals.
    #[inline]
    pub fn request(
        &mut self,
        direction: Direction,
        want: usize,
        shard: Option<&mut GroupShard>,
        clock: &mut dyn FnMut() -> Time,
    ) -> Allowance {
        debug_assert_eq!(
            shard.is_some(),
            self.limits.membership.is_some(),
            "a member comes with its shard, or it would go unmetered"
        );
        let Some((bytes, own_at)) = self.limits.own_allowance(direction, want, clock) else {
            self.suspended.add(direction, Suspend::OWN_LIMIT);
            return Allowance::Wait;
        };
        let (Some(shard), Some(membership)) = (shard, self.limits.membership) else {
            return Allowance::Move(Permit {
                bytes,
                direction,
                grant: None,
                own_at,
                was_queued: false,
            });
        };
        match shard.request(membership.member, direction, bytes as u64, clock) {
            Some(grant) => {
                let bytes = bytes.min(grant.bytes as usize);
                let grant = Some(grant);
                Allowance::Move(Permit { bytes, direction, grant, own_at, was_queued: false })
            }
            None => {
                self.suspended.add(direction, Suspend::GROUP_LIMIT);
                Allowance::Wait
            }
        }
    }

    /// The group has tokens for this member: turns its grant into a permit.
    ///
    /// Gives the grant back to `shard` and answers `None` if the direction has nothing to move or
    /// its own limit says no; the member then has left the group's queue.
    pub fn resume(
        &mut self,
        direction: Direction,
        grant: Grant,
        shard: &mut GroupShard,
        clock: &mut dyn FnMut() -> Time,
    ) -> Option<Permit> {
        let membership = self.limits.membership?;
        self.suspended.lift(direction, Suspend::GROUP_LIMIT);
        let want = self.poll_operation(direction).map(|want| want.min(grant.bytes as usize));
        let allowed = want.and_then(|want| {
            let allowed = self.limits.own_allowance(direction, want, clock);
            if allowed.is_none() {
                self.suspended.add(direction, Suspend::OWN_LIMIT);
            }
            allowed
        });
        match allowed {
            Some((bytes, own_at)) => {
                Some(Permit { bytes, direction, grant: Some(grant), own_at, was_queued: true })
            }
            None => {
                shard.settle(membership.member, grant, 0, false);
                None
            }
        }
    }

    /// Charges what an operation moved and gives the rest of its permit back.
    ///
    /// Call it after [`handle_read`](Self::handle_read) or [`handle_write`](Self::handle_write), so
    /// that it is known whether the direction has more to move.
    #[inline]
    pub fn settle(&mut self, permit: Permit, used: usize, shard: Option<&mut GroupShard>) {
        let Permit { direction, grant, was_queued, .. } = permit;
        if let Some(own) = &mut self.limits.own {
            own.bucket.charge(direction, used as u64);
        }
        let (Some(grant), Some(shard), Some(membership)) = (grant, shard, self.limits.membership)
        else {
            return;
        };
        let pending = self.poll_operation(direction).is_some();
        shard.settle(membership.member, grant, used as u64, pending);
        if pending && was_queued {
            self.suspended.add(direction, Suspend::GROUP_LIMIT);
        }
    }

    /// Sets, replaces or with `None` removes the own limit.
    ///
    /// Replacing clips the level down to the new burst and never raises it.
    pub fn set_rate_limit(&mut self, now: Time, config: Option<TokenBucketConfig>) {
        match (config, &mut self.limits.own) {
            (None, own) => *own = None,
            (Some(config), Some(own)) => own.replace(now, config),
            (Some(config), own) => *own = Some(Box::new(OwnLimit::new(now, config))),
        }
        for direction in Direction::ALL {
            self.suspended.lift(direction, Suspend::OWN_LIMIT);
        }
    }

    /// The own limit, if there is one.
    pub fn rate_limit(&self) -> Option<&TokenBucketConfig> {
        self.limits.own.as_ref().map(|own| &own.config)
    }

    /// Bytes the own limit holds now, negative in debt; `None` without one in that direction.
    pub fn own_level(&mut self, now: Time, direction: Direction) -> Option<i64> {
        self.limits.own.as_mut()?.level(now, direction)
    }

    /// Takes bytes out of the own limit, or with a negative number puts some in.
    ///
    /// A direction left without tokens is suspended, one that has some again goes on at once. A
    /// credit is clipped at the burst; a debt is paid back by the rate.
    ///
    /// # Errors
    /// There is no own limit in that direction: set one first.
    pub fn decrement_own(
        &mut self,
        now: Time,
        direction: Direction,
        bytes: i64,
    ) -> Result<(), NoLimit> {
        let own = self.limits.own.as_mut().ok_or(NoLimit { direction })?;
        let runs = own.decrement(now, direction, bytes)?;
        self.suspended.set(direction, Suspend::OWN_LIMIT, !runs);
        Ok(())
    }

    /// Bytes the next operation in a direction may move by the own limit, the group and the largest
    /// single operation together; 0 if it would wait.
    ///
    /// `shard` is the shard of the [membership](Self::membership), where there is one. What there
    /// is to move, marks and other reasons to stand still do not count.
    pub fn max_to_move(
        &mut self,
        now: Time,
        direction: Direction,
        shard: Option<&GroupShard>,
    ) -> usize {
        let single = self.max_single(direction);
        let own = match &mut self.limits.own {
            Some(own) => own.allowance(now, direction, single).unwrap_or(0),
            None => single,
        };
        let group = shard.map_or(u64::MAX, |shard| shard.allowance(now, direction, own as u64));
        usize::try_from(group).map_or(own, |group| group.min(own))
    }

    /// Places this bufferevent in a group's shard, or takes it out.
    ///
    /// The caller joins and leaves the shard itself; waiting for the old group ends here.
    pub fn set_membership(&mut self, membership: Option<Membership>) {
        self.limits.membership = membership;
        for direction in Direction::ALL {
            self.suspended.lift(direction, Suspend::GROUP_LIMIT);
        }
    }

    /// Where this bufferevent stands in a group.
    #[inline]
    pub fn membership(&self) -> Option<Membership> {
        self.limits.membership
    }

    /// Whether operations are metered by an own limit or a group.
    #[inline]
    pub fn is_metered(&self) -> bool {
        self.limits.own.is_some() || self.limits.membership.is_some()
    }
}
