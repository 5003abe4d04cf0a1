//! The worst window of a log: where most was moved beyond what the limit allows.
//!
//! For every window [t1, t2] the operations wholly inside it (begun at t1 or later, over by t2) may
//! carry at most the burst plus what the clock earned in the window. The search is exact over all
//! windows, with no slack, in O(n log n) time and O(n) memory, and operations may overlap:
//!
//! - Only windows that begin with some operation's start and end with some operation's end need be
//!   looked at: moving t1 later or t2 earlier up to the next operation loses no byte and no window
//!   grows, so the allowance only falls.
//! - The allowance splits into a part of t2 less a part of t1, earned(t2) - earned(t1), plus the
//!   burst. So for a fixed t2 the worst t1 maximises (bytes of operations begun at t1 or later and
//!   over by t2) + earned(t1).
//! - Operations are taken in order of their end. Each is a leaf of a tree ordered by start; a node
//!   holds the bytes below it and the best such maximum below it, and adding an operation updates
//!   one path. The root then answers for this t2.
//! - A limit with a tick begins with one tick's worth and not with its burst, so a window from its
//!   very start is allowed only that and what each edge since has brought. There t1 is fixed and a
//!   running sum in order of end answers for every t2.
//!
//! Everything is in whole numbers: with a rate, bytes are scaled by 10⁹ so that rate times
//! nanoseconds needs no division.

use super::Moment;

/// An operation, as far as the search is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) from_ns: u64,
    pub(crate) to_ns: u64,
    pub(crate) bytes: u64,
}

/// What a limit allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Budget {
    /// ceil(rate · length of the window) + burst.
    Continuous { bytes_per_sec: u64, burst: u64 },
    /// bytes per tick · tick edges in the window + burst, or + one tick's worth for a window from
    /// the limit's start; edges count from that start, and where it is known only to lie between
    /// two readings, each edge counts where it helps.
    Ticks { bytes_per_tick: u64, tick_ns: u64, burst: u64, start: Moment },
}

/// The most bytes by which any window exceeds the budget; 0 if none does.
pub(crate) fn worst_excess(spans: &[Span], budget: &Budget) -> u64 {
    let mut by_start: Vec<&Span> = spans.iter().collect();
    by_start.sort_by_key(|span| span.from_ns);
    let mut by_end: Vec<usize> = (0..by_start.len()).collect();
    by_end.sort_by_key(|&position| by_start[position].to_ns);

    let scale = budget.scale();
    let burst = i128::from(budget.burst()) * scale;
    let mut tree = Tree::new(by_start.len());
    let (mut worst, mut total) = (0, 0);
    for position in by_end {
        let span = by_start[position];
        let bytes = i128::from(span.bytes) * scale;
        total += bytes;
        tree.add(position, bytes, budget.earned_at_start(span.from_ns));
        let earned = budget.earned_at_end(span.to_ns);
        worst = worst.max(tree.best() - earned - burst);
        if let Some(first_fill) = budget.first_fill() {
            worst = worst.max(total - earned - first_fill);
        }
    }
    // Rounding down here is rounding the allowance up.
    u64::try_from(worst / scale).unwrap_or(u64::MAX)
}

impl Budget {
    fn burst(&self) -> u64 {
        match *self {
            Self::Continuous { burst, .. } | Self::Ticks { burst, .. } => burst,
        }
    }

    /// Bytes the limit began with, where that is known.
    fn first_fill(&self) -> Option<i128> {
        match *self {
            Self::Continuous { .. } => None,
            Self::Ticks { bytes_per_tick, .. } => Some(bytes_per_tick.into()),
        }
    }

    /// What one byte is multiplied by.
    fn scale(&self) -> i128 {
        match self {
            Self::Continuous { .. } => 1_000_000_000,
            Self::Ticks { .. } => 1,
        }
    }

    /// Scaled bytes earned until a window's beginning.
    fn earned_at_start(&self, at_ns: u64) -> i128 {
        match *self {
            Self::Continuous { bytes_per_sec, .. } => i128::from(bytes_per_sec) * i128::from(at_ns),
            Self::Ticks { bytes_per_tick, tick_ns, start, .. } => {
                edges(at_ns, start.not_after_ns, tick_ns) * i128::from(bytes_per_tick)
            }
        }
    }

    /// Scaled bytes earned until a window's end.
    fn earned_at_end(&self, at_ns: u64) -> i128 {
        match *self {
            Self::Continuous { .. } => self.earned_at_start(at_ns),
            Self::Ticks { bytes_per_tick, tick_ns, start, .. } => {
                edges(at_ns, start.not_before_ns, tick_ns) * i128::from(bytes_per_tick)
            }
        }
    }
}

/// Tick edges from the start until a moment.
fn edges(at_ns: u64, start_ns: u64, tick_ns: u64) -> i128 {
    i128::from(at_ns.saturating_sub(start_ns) / tick_ns)
}

/// Sums and best suffixes over operations in order of their start.
struct Tree {
    /// Per node: bytes of the operations below it that were added.
    sums: Vec<i128>,
    /// Per node: the most over its added operations p of (bytes from p on, below it) + earned(p).
    bests: Vec<i128>,
    leaves: usize,
}

impl Tree {
    fn new(count: usize) -> Self {
        let leaves = count.next_power_of_two().max(1);
        Self { sums: vec![0; 2 * leaves], bests: vec![NOTHING; 2 * leaves], leaves }
    }

    fn add(&mut self, position: usize, bytes: i128, earned: i128) {
        let mut node = self.leaves + position;
        self.sums[node] = bytes;
        self.bests[node] = bytes + earned;
        while node > 1 {
            node /= 2;
            let (left, right) = (2 * node, 2 * node + 1);
            self.sums[node] = self.sums[left] + self.sums[right];
            self.bests[node] = self.bests[right].max(self.bests[left] + self.sums[right]);
        }
    }

    fn best(&self) -> i128 {
        self.bests[1]
    }
}

/// Below every real sum, and far enough from the end of the range to be added to.
const NOTHING: i128 = i128::MIN / 4;

#[cfg(test)]
mod tests {
    use rand::rngs::SmallRng;
    use rand::{RngExt, SeedableRng};

    use super::*;

    const SECOND: u64 = 1_000_000_000;

    fn span(from_ns: u64, to_ns: u64, bytes: u64) -> Span {
        Span { from_ns, to_ns, bytes }
    }

    /// `count` operations of `bytes`, one each `gap_ns`.
    fn steady(count: u64, gap_ns: u64, bytes: u64) -> Vec<Span> {
        (0..count).map(|index| span(index * gap_ns, index * gap_ns, bytes)).collect()
    }

    /// All pairs of a start and an end, summed anew each time.
    fn slow_excess(spans: &[Span], budget: &Budget) -> u64 {
        let mut worst = 0;
        if let Budget::Ticks { bytes_per_tick, tick_ns, start, .. } = *budget {
            for last in spans {
                let over = spans.iter().filter(|span| span.to_ns <= last.to_ns);
                let moved: u64 = over.map(|span| span.bytes).sum();
                let edges = last.to_ns.saturating_sub(start.not_before_ns) / tick_ns;
                worst = worst.max(moved.saturating_sub((edges + 1) * bytes_per_tick));
            }
        }
        for first in spans {
            for last in spans.iter().filter(|last| last.to_ns >= first.from_ns) {
                let inside =
                    |span: &&Span| span.from_ns >= first.from_ns && span.to_ns <= last.to_ns;
                let moved: u64 = spans.iter().filter(inside).map(|span| span.bytes).sum();
                let allowed = match *budget {
                    Budget::Continuous { bytes_per_sec, burst } => {
                        let length = u128::from(last.to_ns - first.from_ns);
                        (u128::from(bytes_per_sec) * length).div_ceil(1_000_000_000) as u64 + burst
                    }
                    Budget::Ticks { bytes_per_tick, tick_ns, burst, start } => {
                        let begin = first.from_ns.saturating_sub(start.not_after_ns) / tick_ns;
                        let end = last.to_ns.saturating_sub(start.not_before_ns) / tick_ns;
                        (end - begin) * bytes_per_tick + burst
                    }
                };
                worst = worst.max(moved.saturating_sub(allowed));
            }
        }
        worst
    }

    #[test]
    fn exactly_the_rate_and_burst_is_allowed_and_one_byte_more_is_not() {
        let budget = Budget::Continuous { bytes_per_sec: 1000, burst: 500 };
        let half = SECOND / 2;
        let mut spans = vec![span(0, 0, 500), span(half, half, 500), span(SECOND, SECOND, 500)];
        assert_eq!(worst_excess(&spans, &budget), 0);
        spans[2].bytes += 1;
        assert_eq!(worst_excess(&spans, &budget), 1);
        assert_eq!(worst_excess(&[], &budget), 0);
    }

    #[test]
    fn five_percent_too_fast_is_found_once_the_burst_is_used_up() {
        // 10 MB/s with a burst of 1 MB: in ten seconds 5 MB too many, less the burst.
        let budget = Budget::Continuous { bytes_per_sec: 10_000_000, burst: 1_000_000 };
        let spans = steady(10_001, 1_000_000, 10_500);
        assert_eq!(worst_excess(&spans, &budget), 4_000_000 + 10_500);
        assert_eq!(worst_excess(&steady(10_001, 1_000_000, 10_000), &budget), 0);
    }

    #[test]
    fn a_burst_too_big_is_found_in_the_middle_of_silence() {
        let budget = Budget::Continuous { bytes_per_sec: 1000, burst: 1000 };
        let spans = [
            span(0, 1, 10),
            span(60 * SECOND, 60 * SECOND, 2000),
            span(90 * SECOND, 90 * SECOND, 10),
        ];
        assert_eq!(worst_excess(&spans, &budget), 1000);
    }

    #[test]
    fn an_operation_that_began_before_the_window_is_not_inside_it() {
        let budget = Budget::Continuous { bytes_per_sec: 1000, burst: 0 };
        // Two overlapping operations: together they took from 0 to 2 s.
        let spans = [span(0, 2 * SECOND, 1000), span(SECOND, 2 * SECOND, 1000)];
        assert_eq!(worst_excess(&spans, &budget), 0);
    }

    #[test]
    fn ticks_count_edges_from_the_start_of_the_limit() {
        let start = Moment { not_before_ns: 50, not_after_ns: 50 };
        let budget = Budget::Ticks { bytes_per_tick: 100, tick_ns: 100, burst: 200, start };
        // Edges at 950 and 1050: from 949 to 1050 two of them, from 950 to 1049 none.
        assert_eq!(worst_excess(&[span(949, 949, 200), span(1050, 1050, 200)], &budget), 0);
        assert_eq!(worst_excess(&[span(950, 950, 200), span(1049, 1049, 200)], &budget), 200);
    }

    #[test]
    fn a_ticking_limit_begins_with_one_tick_and_not_with_its_burst() {
        let start = Moment { not_before_ns: 0, not_after_ns: 0 };
        let budget = Budget::Ticks { bytes_per_tick: 100, tick_ns: 100, burst: 400, start };
        let ticks = |bytes| (0..51).map(|tick| span(tick * 100, tick * 100, bytes)).collect();
        let (right, fast): (Vec<Span>, Vec<Span>) = (ticks(100), ticks(105));
        assert_eq!(worst_excess(&right, &budget), 0);
        // The burst would hide five percent for as long as eighty ticks.
        assert_eq!(worst_excess(&fast, &budget), 51 * 5);
    }

    #[test]
    fn the_tree_agrees_with_trying_every_window() {
        for seed in 0..200 {
            let mut random = SmallRng::seed_from_u64(seed);
            let spans: Vec<Span> = (0..random.random_range(1..30))
                .map(|_| {
                    let from = random.random_range(0..200u64);
                    span(from, from + random.random_range(0..40u64), random.random_range(0..50u64))
                })
                .collect();
            let begun = random.random_range(0..20u64);
            let start = Moment { not_before_ns: begun, not_after_ns: begun + 3 };
            let budgets = [
                Budget::Continuous { bytes_per_sec: 700_000_001, burst: 20 },
                Budget::Ticks { bytes_per_tick: 30, tick_ns: 17, burst: 35, start },
            ];
            for budget in budgets {
                let expected = slow_excess(&spans, &budget);
                assert_eq!(worst_excess(&spans, &budget), expected, "seed {seed} {budget:?}");
            }
        }
    }
}
