//! The limit of one bufferevent alone, and when a direction that waits for it may go on.
//!
//! Owns the token bucket, its config, and for each direction the least worth moving and the time a
//! wait ends. Never reads a clock; never suspends anything: it answers, and the seam in `limit.rs`
//! acts on it.
//!
//! Invariants: what it allows is covered by the bucket at the reading it was asked with; a
//! direction that was told to wait has a time to ask again, and a level changed by hand moves it.
//! Source: libevent 2.1.12 `bufferevent_decrement_read_limit`. Differs: a credit stops at the
//! burst, and no sum overflows.

use std::time::Duration;

use groups::{Direction, NoLimit, Time, TokenBucket, TokenBucketConfig};

/// A bucket of a bufferevent's own.
#[derive(Debug)]
pub(super) struct OwnLimit {
    pub(super) config: TokenBucketConfig,
    pub(super) bucket: TokenBucket,
    /// The least worth moving: with fewer tokens than that an operation waits for more.
    least: [u64; 2],
    /// When a suspended direction has tokens again.
    ready_at: [Option<Time>; 2],
}

impl OwnLimit {
    pub(super) fn new(now: Time, config: TokenBucketConfig) -> Self {
        let bucket = TokenBucket::new(now, &config);
        let mut fresh = bucket.clone();
        let least = Direction::ALL.map(|direction| {
            if config.tick().is_some() {
                return 1;
            }
            // Without a tick a bucket begins with exactly one quantum.
            u64::try_from(fresh.available(now, direction)).unwrap_or(1)
        });
        Self { config, bucket, least, ready_at: [None; 2] }
    }

    /// Replaces the limit; the bucket keeps its level, clipped to the new burst.
    pub(super) fn replace(&mut self, now: Time, config: TokenBucketConfig) {
        let mut bucket = self.bucket.clone();
        bucket.set_config(now, &config);
        *self = Self { bucket, ..Self::new(now, config) };
    }

    /// How much of `want` may move now, or when to ask again.
    ///
    /// Tokens of a limit without a tick trickle in byte by byte; whoever asks often would move
    /// crumbs, so nothing moves before a quantum is there, or all that is wanted.
    pub(super) fn allowance(
        &mut self,
        now: Time,
        direction: Direction,
        want: usize,
    ) -> Result<usize, Time> {
        let available = self.bucket.available(now, direction);
        let least = self.least[direction.index()].min(want as u64);
        match u64::try_from(available) {
            Ok(tokens) if tokens >= least => Ok(usize::try_from(tokens).unwrap_or(want).min(want)),
            Ok(tokens) if tokens > 0 => {
                let rate = self.config.limit(direction).map_or(u64::MAX, |limit| limit.rate());
                let wait_ns = ((least - tokens) * NANOS_PER_SECOND).div_ceil(rate);
                Err(now + Duration::from_nanos(wait_ns))
            }
            _ => Err(self.bucket.next_ready(now, direction).unwrap_or(now)),
        }
    }

    /// As [`allowance`](Self::allowance) for an operation that begins now; a wait is noted.
    #[inline]
    pub(super) fn request(
        &mut self,
        now: Time,
        direction: Direction,
        want: usize,
    ) -> Option<usize> {
        let allowance = self.allowance(now, direction, want);
        self.ready_at[direction.index()] = allowance.err();
        allowance.ok()
    }

    /// Bytes the bucket holds, negative in debt; `None` in a direction without a limit.
    pub(super) fn level(&mut self, now: Time, direction: Direction) -> Option<i64> {
        self.config.limit(direction).map(|_| self.bucket.available(now, direction))
    }

    /// Debits bytes, or credits them if negative; says whether the level is above zero then. If it
    /// is not, the time to ask again is noted.
    pub(super) fn decrement(
        &mut self,
        now: Time,
        direction: Direction,
        bytes: i64,
    ) -> Result<bool, NoLimit> {
        self.config.limit(direction).ok_or(NoLimit { direction })?;
        self.bucket.adjust(now, direction, bytes);
        let ready_at = self.bucket.next_ready(now, direction);
        self.ready_at[direction.index()] = ready_at;
        Ok(ready_at.is_none())
    }

    /// Whether a direction that waited may try again.
    pub(super) fn handle_deadline(&mut self, now: Time, direction: Direction) -> bool {
        let at = &mut self.ready_at[direction.index()];
        let due = at.is_some_and(|at| at <= now);
        if due {
            *at = None;
        }
        due
    }

    pub(super) fn next_deadline(&self) -> Option<Time> {
        self.ready_at.into_iter().flatten().min()
    }
}

const NANOS_PER_SECOND: u64 = 1_000_000_000;
