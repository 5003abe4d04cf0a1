//! The words all cores of a group share: bytes consumed, weight backlogged, and each seat's counts.
//!
//! `consumed` (C) alone decides admission: against a byte-clock reading g the level is
//! min(g - C, b). Every change of C but a refund is one compare-and-swap that first settles
//! C = max(C, g - b), so bytes beyond the depth are gone before anything is taken. A refund only
//! subtracts bytes a lease has already given up; the next settling discards what is too much.
//!
//! Where operations draw for themselves no lease bounds what is under way, and a bucket that
//! refills meanwhile would overflow by what comes back. So they are counted as they launch and as
//! they land; the difference F is in flight, and the depth is b - F. `launched` grows before C,
//! `landed` after the refund.
//!
//! Ordering: Relaxed for W, which is a hint, and for the seats' counts, which publish nothing. A
//! swap reads `landed`, then C, then `launched`; with Acquire on the first two and Release on what
//! changes them, every landing it counts has its refund in that C and every launch in that C is
//! counted, so F is never read as less than it was.
//! Nor has F grown when the swap finds C unchanged: what lifted C was made up for by bytes that
//! landed, or by a credit, which is an admission of its own. A single count of F would not do,
//! read before C or after it: a landing and a launch of as many bytes would leave C as it was.
//! A refund is Relaxed: it adds nothing to what C has published before, and `landed` publishes it.
//! Bounds: a swap fails only because another core's succeeded, so cores as a whole progress.
//!
//! C wraps, so g and C are compared by their difference, which must stay within 2^63. It is no
//! deeper than the deepest debt, 2^60; but while nobody draws it grows with g, by 2^63 in 97 days
//! at 2^40 B/s or 3 years at 100 GB/s. So the board sees to it that the word is settled before it
//! is read by a clock that has gone far since (`Board::freshen`).

use crossbeam::utils::CachePadded;

use crate::sync::{AtomicU64, Counter, Ordering};
use crate::time::Direction;

/// The bytes of operations that draw for themselves; both counts only grow, and wrap.
#[derive(Debug)]
struct InFlight {
    launched: AtomicU64,
    landed: AtomicU64,
}

/// The shared state of one direction.
#[derive(Debug)]
pub(crate) struct Word {
    consumed: CachePadded<AtomicU64>,
    in_flight: CachePadded<InFlight>,
    weight: CachePadded<AtomicU64>,
}

impl Word {
    pub(crate) fn new() -> Self {
        Self {
            consumed: CachePadded::new(AtomicU64::new(0)),
            in_flight: CachePadded::new(InFlight {
                launched: AtomicU64::new(0),
                landed: AtomicU64::new(0),
            }),
            weight: CachePadded::new(AtomicU64::new(0)),
        }
    }

    /// Returns C, the bytes consumed so far.
    pub(crate) fn consumed(&self) -> u64 {
        self.consumed.load(Ordering::Relaxed)
    }

    /// Returns W, the weight of all members backlogged anywhere.
    pub(crate) fn weight(&self) -> u64 {
        self.weight.load(Ordering::Relaxed)
    }

    /// Returns the level against the reading `g`.
    pub(crate) fn level(&self, g: u64, depth: u64) -> i64 {
        level(g, self.consumed(), depth)
    }

    /// Takes what `policy` makes of the level, in one step with settling.
    ///
    /// `policy` must answer with at most the level it is shown. Returns the bytes taken.
    pub(crate) fn draw(&self, g: u64, depth: u64, policy: impl FnMut(i64) -> u64) -> u64 {
        self.take(g, depth, 0, policy)
    }

    /// Takes exactly `bytes` for one operation, or nothing, as `policy` says; returns what it took.
    ///
    /// The bytes are in flight until they [`land`](Self::land).
    pub(crate) fn launch(
        &self,
        g: u64,
        depth: u64,
        bytes: u64,
        mut policy: impl FnMut(i64) -> u64,
    ) -> u64 {
        if policy(self.level(g, depth)) == 0 {
            return 0; // Most refusals end here and disturb nobody.
        }
        self.in_flight.launched.fetch_add(bytes, Ordering::Relaxed);
        let taken = self.take(g, depth, bytes, policy);
        if taken == 0 {
            self.land(bytes, 0);
        }
        taken
    }

    /// Ends an operation that launched `bytes`, of which `unused` go back.
    pub(crate) fn land(&self, bytes: u64, unused: u64) {
        if unused > 0 {
            self.refund(unused);
        }
        self.in_flight.landed.fetch_add(bytes, Ordering::Release);
    }

    /// Debits `bytes`, or credits them if negative; a credit is clipped at the depth.
    pub(crate) fn adjust(&self, g: u64, depth: u64, bytes: i64) {
        let (floor, ceiling) = (-DEBT_MAX, depth as i64);
        self.update(g, depth, 0, |level| Some(level.saturating_sub(bytes).clamp(floor, ceiling)));
    }

    /// Discards what lies beyond the depth, before a config with another depth takes over.
    pub(crate) fn settle(&self, g: u64, depth: u64) {
        self.update(g, depth, 0, Some);
    }

    /// Makes the bucket full, whatever C says: so many bytes have gone by that it cannot be read.
    pub(crate) fn fill(&self, g: u64, depth: u64) {
        // A swap and no store, so that what earlier draws published is not lost.
        self.consumed.swap(g.wrapping_sub(depth), Ordering::AcqRel);
    }

    /// Gives back bytes that a lease no longer counts.
    pub(crate) fn refund(&self, bytes: u64) {
        self.consumed.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Replaces one core's part of W.
    pub(crate) fn publish_weight(&self, before: u64, after: u64) {
        self.weight.fetch_add(after.wrapping_sub(before), Ordering::Relaxed);
    }

    fn take(&self, g: u64, depth: u64, own: u64, mut policy: impl FnMut(i64) -> u64) -> u64 {
        let mut taken = 0;
        self.update(g, depth, own, |level| {
            taken = policy(level);
            debug_assert!(taken == 0 || taken as i64 <= level, "drew {taken} from {level}");
            (taken > 0).then(|| level - taken as i64)
        });
        taken
    }

    /// Replaces the level by what `change` makes of it, until a swap succeeds or it says `None`.
    ///
    /// `own` bytes in flight are the caller's and do not make the bucket shallower for it.
    fn update(&self, g: u64, depth: u64, own: u64, mut change: impl FnMut(i64) -> Option<i64>) {
        loop {
            let landed = self.in_flight.landed.load(Ordering::Acquire);
            let seen = self.consumed.load(Ordering::Acquire);
            let launched = self.in_flight.launched.load(Ordering::Relaxed);
            let others = launched.wrapping_sub(landed).saturating_sub(own);
            let Some(after) = change(level(g, seen, depth.saturating_sub(others))) else { return };
            let next = g.wrapping_sub(after as u64);
            let swapped = self.consumed.compare_exchange_weak(
                seen,
                next,
                Ordering::AcqRel,
                Ordering::Relaxed,
            );
            if swapped.is_ok() {
                return;
            }
        }
    }
}

/// min(g - C, b), wrapping.
fn level(g: u64, consumed: u64, depth: u64) -> i64 {
    (g.wrapping_sub(consumed) as i64).min(depth as i64)
}

/// Everything the cores of a group share while bytes flow.
#[derive(Debug)]
pub(crate) struct Pool {
    words: [Word; 2],
    tallies: Box<[CachePadded<Tally>]>,
    /// What the seats had moved at the last reset of the totals.
    baseline: [Counter; 2],
}

impl Pool {
    pub(crate) fn new(seats: usize) -> Self {
        Self {
            words: [Word::new(), Word::new()],
            tallies: (0..seats).map(|_| CachePadded::new(Tally::new())).collect(),
            baseline: [Counter::new(0), Counter::new(0)],
        }
    }

    pub(crate) fn seats(&self) -> usize {
        self.tallies.len()
    }

    pub(crate) fn word(&self, direction: Direction) -> &Word {
        &self.words[direction.index()]
    }

    pub(crate) fn tally(&self, seat: usize) -> &Tally {
        &self.tallies[seat]
    }

    /// Returns the bytes all seats moved since the last reset, wrapping.
    ///
    /// The baseline first: with Acquire, here and by Release there, every count read after it is at
    /// least what the reset has read, so the difference is never below zero.
    pub(crate) fn total(&self, direction: Direction) -> u64 {
        let baseline = self.baseline[direction.index()].load(Ordering::Acquire);
        self.moved(direction).wrapping_sub(baseline)
    }

    /// Has the totals begin at zero again; of two at once either may be the last.
    pub(crate) fn reset_totals(&self) {
        for direction in Direction::ALL {
            let moved = self.moved(direction);
            self.baseline[direction.index()].store(moved, Ordering::Release);
        }
    }

    /// Returns the bytes all seats moved since the group was built, wrapping.
    fn moved(&self, direction: Direction) -> u64 {
        self.tallies.iter().fold(0, |sum, tally| sum.wrapping_add(tally.moved(direction)))
    }
}

/// What one seat counts: written by its owner alone, read by anybody.
#[derive(Debug)]
pub(crate) struct Tally {
    /// 1 while it has an owner; written under the lock by who comes or goes.
    pub(crate) taken: Counter,
    pub(crate) moved: [Counter; 2],
    pub(crate) lease: [Counter; 2],
    pub(crate) weight: [Counter; 2],
    pub(crate) quantum: [Counter; 2],
    pub(crate) draws: Counter,
    pub(crate) refunds: Counter,
    pub(crate) waits: Counter,
    pub(crate) rebalances: Counter,
    pub(crate) members: Counter,
}

impl Tally {
    pub(crate) fn new() -> Self {
        let pair = || [Counter::new(0), Counter::new(0)];
        Self {
            taken: Counter::new(0),
            moved: pair(),
            lease: pair(),
            weight: pair(),
            quantum: pair(),
            draws: Counter::new(0),
            refunds: Counter::new(0),
            waits: Counter::new(0),
            rebalances: Counter::new(0),
            members: Counter::new(0),
        }
    }

    /// Returns the bytes this seat moved.
    pub(crate) fn moved(&self, direction: Direction) -> u64 {
        read(&self.moved[direction.index()])
    }
}

/// Adds to a counter that only the caller writes: a plain load and store, no bus lock.
pub(crate) fn add(counter: &Counter, amount: u64) {
    counter.store(read(counter).wrapping_add(amount), Ordering::Relaxed);
}

/// Sets a gauge that only the caller writes.
pub(crate) fn set(gauge: &Counter, value: u64) {
    gauge.store(value, Ordering::Relaxed);
}

/// Reads a counter or gauge; exact once its writer is quiet.
pub(crate) fn read(counter: &Counter) -> u64 {
    counter.load(Ordering::Relaxed)
}

/// The deepest debt a manual debit can leave, in bytes.
const DEBT_MAX: i64 = 1 << 60;

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_draw_settles_first_so_an_idle_group_saves_only_its_depth() {
        let word = Word::new();
        assert_eq!(word.draw(1_000_000, 100, |level| level as u64), 100);
        assert_eq!(word.level(1_000_000, 100), 0);
        assert_eq!(word.level(1_000_040, 100), 40);
    }

    #[test]
    fn a_refund_never_lifts_the_level_above_the_depth() {
        let word = Word::new();
        assert_eq!(word.draw(500, 100, |_| 60), 60);
        word.refund(60);
        assert_eq!(word.level(500, 100), 100);
        assert_eq!(word.level(900, 100), 100);
    }

    #[test]
    fn credits_are_clipped_also_after_a_long_idle_time() {
        let word = Word::new();
        word.adjust(1 << 40, 100, -1000);
        assert_eq!(word.level(1 << 40, 100), 100);
        word.adjust(1 << 40, 100, 250);
        assert_eq!(word.level(1 << 40, 100), -150);
        word.adjust(1 << 40, 100, -200);
        assert_eq!(word.level(1 << 40, 100), 50);
    }

    #[test]
    fn debts_stop_where_they_could_be_mistaken_for_something_saved() {
        let word = Word::new();
        for _ in 0..5 {
            word.adjust(0, 100, i64::MAX);
        }
        assert_eq!(word.level(0, 100), -DEBT_MAX);
        assert_eq!(word.draw(0, 100, |level| level.max(0) as u64), 0);
    }

    #[test]
    fn the_count_wraps_without_anyone_noticing() {
        let word = Word::new();
        let mut g = u64::MAX - 50;
        for quarter in 1..=4 {
            word.settle(g / 4 * quarter, 100);
        }
        assert!(word.consumed() > u64::MAX - 200);
        for _ in 0..10 {
            g = g.wrapping_add(100);
            assert_eq!(word.draw(g, 100, |level| level as u64), 100);
        }
    }

    #[test]
    fn a_word_that_is_filled_holds_the_depth_wherever_its_count_stood() {
        let word = Word::new();
        for g in [50, (1 << 63) + 12_345, u64::MAX, 7] {
            word.fill(g, 100);
            assert_eq!(word.level(g, 100), 100);
            assert_eq!(word.draw(g, 100, |level| level as u64), 100);
        }
    }

    #[test]
    fn what_is_in_flight_makes_the_bucket_shallower_until_it_lands() {
        let word = Word::new();
        assert_eq!(word.launch(100, 100, 60, |_| 60), 60);
        assert_eq!(word.draw(1000, 100, |level| level as u64), 40, "60 may still come back");
        word.land(60, 60);
        assert_eq!(word.draw(1000, 100, |level| level as u64), 60);
        assert_eq!(word.draw(5000, 100, |level| level as u64), 100);
    }

    #[test]
    fn a_launch_that_is_refused_leaves_nothing_in_flight() {
        let word = Word::new();
        assert_eq!(word.launch(100, 100, 60, |_| 0), 0);
        assert_eq!(word.draw(100, 100, |level| level as u64), 100);
    }

    #[test]
    fn weight_is_the_sum_of_what_cores_published() {
        let word = Word::new();
        word.publish_weight(0, 7);
        word.publish_weight(0, 5);
        word.publish_weight(7, 2);
        assert_eq!(word.weight(), 7);
        word.publish_weight(2, 0);
        assert_eq!(word.weight(), 5);
    }
}
