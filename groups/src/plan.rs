//! The plan of one direction of a group: every number that follows from its configuration.
//!
//! Owns the byte clock and the constants of one config version; `Copy`, so that a core decides
//! with its own copy and reads nothing shared. Never changes once made.
//!
//! With burst B, rate R, P seats and r = one tick's worth (0 without a tick):
//! lease L = clamp(R * 1 ms, min_share, (B - r) / 2P), or 0 where that is too little to hold;
//! depth b = B - P * L; share window X = min(b / 2R, 50 ms), at least one tick;
//! but what the next tick would push out of the bucket is kept for half a tick only.
//! Invariants: b + P * L = B; b >= r; quantum <= L where L > 0, <= B where L = 0, always >= 1.

use std::time::Duration;

use crate::clock::ByteClock;
use crate::config::{Limit, TokenBucketConfig};
use crate::credit::Share;
use crate::error::ConfigError;
use crate::group::Rebalance;
use crate::time::Time;

/// What a group was built with apart from its config; constant but for `min_share`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Terms {
    pub(crate) seats: u64,
    pub(crate) min_share: u64,
    pub(crate) rebalance: Rebalance,
    pub(crate) sharing: Sharing,
}

/// How cores that are backlogged at the same time come by their parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sharing {
    /// By the weight of the members that wait on them.
    ByWeight,
    /// Whoever draws first has what is there: for comparison only.
    #[cfg(feature = "testing")]
    Greedy,
}

/// What a contended draw has to leave to others, and when it may take anything at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Reserve {
    /// The credit a core has to have saved up before it draws a quantum.
    pub(crate) stake: u64,
    /// The level up to which bytes are kept for those whose share they are.
    pub(crate) bytes: u64,
    /// The least beyond it that is worth moving for a core that has used its own share up.
    pub(crate) least: u64,
}

/// The constants of one direction in one config version.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    pub(crate) clock: ByteClock,
    /// b: the most bytes the shared word can save up.
    pub(crate) depth: u64,
    /// L: the most bytes a core may hold; 0 means that each operation draws what it moves.
    pub(crate) lease: u64,
    /// R * X: what is kept for those whose share it is.
    window_bytes: u64,
    /// How often a backlogged core rebalances; `None` for never.
    pub(crate) interval: Option<Duration>,
    /// How long the shared word may be read after it was known to be near the clock.
    pub(crate) fresh_for: Duration,
    pub(crate) sharing: Sharing,
    burst: u64,
    seats: u64,
    min_share: u64,
}

impl Plan {
    /// Derives the plan that goes by `clock`.
    pub(crate) fn new(limit: Limit, terms: Terms, clock: ByteClock) -> Result<Self, ConfigError> {
        let (burst, min_share) = (limit.burst(), terms.min_share);
        let lease_max = (burst - clock.tick_bytes()) / (2 * terms.seats);
        let lease = if lease_max < min_share.max(1) {
            0
        } else {
            clock.bytes_in(LEASE_SPAN).clamp(min_share, lease_max)
        };
        let depth = burst - terms.seats * lease;
        let window = clock.time_for(depth / 2).min(WINDOW_MAX).max(clock.tick());
        let window_bytes = clock.bytes_in(window);
        let interval = match terms.rebalance {
            Rebalance::Never => None,
            Rebalance::Default => Some((window / 4).max(INTERVAL_MIN)),
            Rebalance::Every(interval) if interval < INTERVAL_MIN => {
                let shortest = INTERVAL_MIN;
                return Err(ConfigError::RebalanceTooShort { interval, shortest });
            }
            Rebalance::Every(interval) => {
                let longest = window.max(INTERVAL_MIN);
                if interval > longest {
                    return Err(ConfigError::RebalanceTooLong { interval, longest });
                }
                Some(interval)
            }
        };
        let (fresh_for, sharing) = (clock.time_for(FRESH_BYTES), terms.sharing);
        Ok(Self {
            clock,
            depth,
            lease,
            window_bytes,
            interval,
            fresh_for,
            sharing,
            burst,
            seats: terms.seats,
            min_share,
        })
    }

    /// Derives the plan of a direction that had no limit before and consumed `consumed` bytes:
    /// it starts with the first fill.
    pub(crate) fn first(
        config: &TokenBucketConfig,
        limit: Limit,
        terms: Terms,
        now: Time,
        consumed: u64,
    ) -> Result<Self, ConfigError> {
        let (period_ns, stepped) = (config.period_ns(), config.tick().is_some());
        let clock = |base| ByteClock::new(now, base, limit.rate(), period_ns, stepped);
        let plan = Self::new(limit, terms, clock(consumed))?;
        let base = consumed.wrapping_add(plan.first_fill());
        Self::new(limit, terms, clock(base))
    }

    /// Returns until when the word can be read as this plan's version left it.
    pub(crate) fn fresh_until(self) -> Time {
        self.clock.start() + self.fresh_for
    }

    /// Returns Q: what one operation moves when `backlogged` weight waits in the whole group.
    pub(crate) fn quantum(&self, backlogged: u64) -> u64 {
        let fair = self.clock.bytes_in(QUANTUM_SPAN) / backlogged.max(1);
        let paced = fair.max(self.clock.bytes_in(QUANTUM_SPAN_MIN)).min(QUANTUM_MAX);
        let most = if self.lease > 0 { self.lease } else { self.burst };
        paced.max(self.min_share).min(most).max(1)
    }

    /// Says whether bytes appear in ticks.
    pub(crate) fn has_tick(&self) -> bool {
        self.clock.tick_bytes() > 0
    }

    /// Says whether a tick may find what is left of the last one in its way.
    pub(crate) fn can_spill(&self) -> bool {
        self.lease == 0 && self.has_tick()
    }

    /// Returns the least worth moving while the bucket holds `level`: `least`, or what there is if
    /// that is less and the next tick would push it over the brim.
    pub(crate) fn worthwhile(&self, level: i64, least: u64) -> u64 {
        let crumb = u64::try_from(level).unwrap_or(0);
        let spills = self.can_spill() && crumb + self.clock.tick_bytes() > self.depth;
        if spills && crumb > 0 { least.min(crumb) } else { least }
    }

    /// Returns the most credit a core with this share saves up: its part of R * X and a quantum.
    ///
    /// A tick that comes at once may go to the others, each of which may draw a quantum too many,
    /// before this core has its turn; what it gets another time is a quantum more for each.
    pub(crate) fn credit_max(&self, share: Share, quantum: u64) -> u64 {
        let part = u128::from(self.window_bytes) * u128::from(share.own) / u128::from(share.all);
        let others = if self.has_tick() { (share.all - share.own).min(self.seats - 1) } else { 0 };
        let quanta = u128::from(quantum) * u128::from(1 + others);
        u64::try_from(part + quanta).map_or(self.depth, |most| most.min(self.depth))
    }

    /// Returns up to which level the bytes in the bucket are kept for those whose share they are.
    ///
    /// A tick comes at once, on top of what the last one left; less than a quantum of that is no
    /// sign that anybody failed to claim it. Were it free, whoever draws first at each tick would
    /// have it always, and whoever draws last would pay for it.
    ///
    /// Nor is a level that has room for a quantum each: where a quantum takes longer than X, that
    /// is as much as cores whose turns have come may be waiting to draw.
    pub(crate) fn reserved(&self, quantum: u64) -> u64 {
        if self.has_tick() {
            return self.window_bytes + quantum;
        }
        let each = quantum.saturating_mul(self.seats).min(self.depth / 2);
        self.window_bytes.max(each).max(quantum)
    }

    /// Returns what of that is still kept in the second half of a tick: no more than the next tick
    /// leaves in the bucket. `None` where it leaves everything.
    pub(crate) fn reserved_late(&self, quantum: u64) -> Option<u64> {
        if !self.has_tick() {
            return None;
        }
        let left = self.depth - self.clock.tick_bytes();
        (left < self.reserved(quantum)).then_some(left)
    }

    /// Says whether `now` lies in the second half of its tick.
    pub(crate) fn is_late(&self, now: Time) -> bool {
        now >= self.clock.half_tick(now)
    }

    /// Returns what a contended draw has to leave to others.
    ///
    /// The stake is a whole quantum, unless the bucket is too small to hold as much for each. So
    /// what cores have not drawn yet lies in the bucket, half a quantum for each on average, and
    /// whoever has the credit finds the bytes. If they drew first and earned afterwards, whoever
    /// comes last would find the bucket empty, and all would wake up for each quantum in it.
    pub(crate) fn reserve(&self, share: Share, quantum: u64, late: bool) -> Reserve {
        let cores = (share.all - share.own).saturating_add(1).min(self.seats);
        let fits = quantum.saturating_mul(cores) <= self.depth / STAKED_PART;
        let stake = if fits { quantum } else { self.depth / STAKED_PART / cores };
        let (bytes, least) = match self.reserved_late(quantum) {
            Some(bytes) if late => (bytes, 1),
            _ => (self.reserved(quantum), quantum),
        };
        Reserve { stake, bytes, least }
    }

    /// Returns what is worth waking up for even if the member in front wants less.
    pub(crate) fn wake_bytes(&self) -> u64 {
        self.clock.bytes_in(QUANTUM_SPAN_MIN)
    }

    /// Returns what a new bucket starts with: one tick's worth, or one quantum.
    fn first_fill(&self) -> u64 {
        match self.clock.tick_bytes() {
            0 => self.quantum(1).min(self.depth),
            tick => tick,
        }
    }

    /// Returns the number of the service order that holds at `now`: one for each tick.
    pub(crate) fn tick_number(&self, now: Time) -> Option<u64> {
        self.has_tick().then(|| self.clock.periods(now))
    }
}

/// The word is settled at least once while so many bytes are produced: a fraction of what would
/// bring its count out of the range in which it can be compared.
const FRESH_BYTES: u64 = 1 << 60;
/// A core's lease is what the group's rate brings in this time.
const LEASE_SPAN: Duration = Duration::from_millis(1);
/// Shares are reserved for at most this long; afterwards anyone who waits may have them.
const WINDOW_MAX: Duration = Duration::from_millis(50);
/// Rebalancing more often than this costs more than it levels.
const INTERVAL_MIN: Duration = Duration::from_millis(1);
/// At most this part of the bucket is for stakes.
const STAKED_PART: u64 = 4;
/// One round of all waiting members takes about this long, ...
const QUANTUM_SPAN: Duration = Duration::from_millis(1);
/// ... unless operations would come faster than one in this time, ...
const QUANTUM_SPAN_MIN: Duration = Duration::from_micros(100);
/// ... and no operation needs to be larger than this.
const QUANTUM_MAX: u64 = 64 * 1024;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Direction;

    fn plan(config: &TokenBucketConfig, seats: u64, min_share: u64) -> Plan {
        let terms =
            Terms { seats, min_share, rebalance: Rebalance::Default, sharing: Sharing::ByWeight };
        let limit = config.limit(Direction::Read).unwrap();
        Plan::first(config, limit, terms, Time::ZERO, 0).unwrap()
    }

    fn ticking(rate: u64, burst: u64) -> TokenBucketConfig {
        let tick = Some(Duration::from_millis(100));
        TokenBucketConfig::new(rate, burst, rate, burst, tick).unwrap()
    }

    #[test]
    fn leases_and_depth_make_up_the_burst() {
        let fast = plan(&TokenBucketConfig::per_second("10MB/s".parse().unwrap()), 16, 64);
        assert_eq!((fast.lease, fast.depth), (10_000, 1_000_000 - 160_000));
        assert_eq!(fast.window_bytes, 420_000, "half the depth, at most 50 ms");
        assert_eq!(fast.interval, Some(Duration::from_micros(10_500)));
    }

    #[test]
    fn slow_limits_hold_the_smallest_share_and_tight_ones_nothing() {
        let slow = plan(&ticking(3000, 12_000), 16, 64);
        assert_eq!((slow.lease, slow.depth), (64, 12_000 - 16 * 64));
        let tight = plan(&ticking(3000, 3000), 16, 64);
        assert_eq!((tight.lease, tight.depth), (0, 3000));
        let edge = plan(&ticking(3000, 3000 + 32 * 64), 16, 64);
        assert_eq!(edge.lease, 64, "just enough for one share on every seat");
        assert_eq!(plan(&ticking(3000, 2999 + 32 * 64), 16, 64).lease, 0);
    }

    #[test]
    fn the_depth_always_takes_a_whole_tick() {
        for burst in 3000..6000 {
            assert!(plan(&ticking(3000, burst), 1, 1).depth >= 3000, "burst {burst}");
        }
    }

    #[test]
    fn credit_is_saved_up_for_the_window_and_what_others_may_draw_before() {
        let fast = plan(&TokenBucketConfig::per_second("10MB/s".parse().unwrap()), 16, 64);
        assert_eq!(fast.credit_max(Share { own: 1, all: 42 }, 1000), 10_000 + 1000);
        assert_eq!(fast.credit_max(Share { own: 1, all: 42 }, 1 << 50), fast.depth);
        let ticks = plan(&ticking(3000, 12_000), 16, 64);
        assert_eq!(ticks.credit_max(Share { own: 1, all: 3 }, 64), 1000 + 3 * 64, "two others");
        assert_eq!(ticks.credit_max(Share { own: 1, all: 30 }, 64), 100 + 16 * 64, "16 seats");
        assert_eq!(ticks.credit_max(Share { own: 30, all: 30 }, 64), 3000 + 64);
    }

    #[test]
    fn a_level_is_free_above_the_window_and_with_ticks_a_quantum_more() {
        let fast = plan(&TokenBucketConfig::per_second("10MB/s".parse().unwrap()), 16, 64);
        assert_eq!((fast.reserved(1000), fast.reserved(500_000)), (420_000, 500_000));
        assert_eq!(plan(&ticking(3000, 12_000), 16, 64).reserved(64), 3064);
        let slow = plan(&TokenBucketConfig::per_second("1kB/s".parse().unwrap()), 16, 64);
        assert_eq!((slow.window_bytes, slow.reserved(64)), (50, 16 * 64), "a quantum for each");
    }

    #[test]
    fn late_in_a_tick_no_more_is_kept_than_the_next_one_leaves() {
        let (early, late) = (Time::from_nanos(149_999_999), Time::from_nanos(150_000_000));
        for (burst, kept) in [(3000, 0), (4500, 1500), (6063, 3063), (6064, 3064), (9000, 3064)] {
            let ticks = plan(&ticking(3000, burst), 1000, 64);
            let share = Share { own: 1, all: 2 };
            let at = |now| {
                let reserve = ticks.reserve(share, 64, ticks.is_late(now));
                (reserve.bytes, reserve.least)
            };
            assert_eq!(at(early), (3064, 64), "{burst}");
            let least = if burst < 6064 { 1 } else { 64 };
            assert_eq!(at(late), (kept, least), "{burst}");
        }
        let fast = plan(&TokenBucketConfig::per_second("10MB/s".parse().unwrap()), 16, 64);
        assert_eq!(fast.reserved_late(1000), None);
    }

    #[test]
    fn quanta_shrink_with_the_backlog_down_to_a_floor() {
        let fast = plan(&TokenBucketConfig::per_second("10MB/s".parse().unwrap()), 16, 64);
        assert_eq!(fast.quantum(0), 10_000);
        assert_eq!(fast.quantum(4), 2500);
        assert_eq!(fast.quantum(1000), 1000, "10,000 operations a second");
        let slow = plan(&ticking(3000, 12_000), 16, 64);
        assert_eq!(slow.quantum(1000), 64);
    }

    #[test]
    fn without_a_floor_a_quantum_is_still_a_byte() {
        let config = TokenBucketConfig::per_second("10B/s".parse().unwrap());
        assert_eq!(plan(&config, 16, 0).quantum(1000), 1);
        let tiny = config.with_burst(3).unwrap();
        assert_eq!(plan(&tiny, 16, 64).quantum(1), 3, "at most the burst");
    }

    #[test]
    fn rebalancing_must_come_before_shares_lapse_and_leave_time_to_work() {
        let config = TokenBucketConfig::per_second("10MB/s".parse().unwrap());
        let limit = config.limit(Direction::Read).unwrap();
        let make = |us| {
            let rebalance = Rebalance::Every(Duration::from_micros(us));
            let terms = Terms { seats: 16, min_share: 64, rebalance, sharing: Sharing::ByWeight };
            Plan::first(&config, limit, terms, Time::ZERO, 0).map(|plan| plan.interval)
        };
        let (longest, shortest) = (Duration::from_millis(42), Duration::from_millis(1));
        assert_eq!(make(42_000), Ok(Some(longest)));
        let interval = Duration::from_micros(42_001);
        assert_eq!(make(42_001), Err(ConfigError::RebalanceTooLong { interval, longest }));
        assert_eq!(make(1000), Ok(Some(shortest)));
        for us in [0, 999] {
            let interval = Duration::from_micros(us);
            assert_eq!(make(us), Err(ConfigError::RebalanceTooShort { interval, shortest }));
        }
    }
}
