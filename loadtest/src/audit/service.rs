//! How the members of a group were served: shares, steadiness and waits, from the log.
//!
//! Owns the arithmetic over what was written in one span of time; pure. An operation counts where
//! it ends. Windows are looked at wherever they begin: what a window holds changes only where an
//! operation enters at its end or leaves at its beginning, so those places are all there is to see,
//! and one walk over the operations sees them in O(n).
//!
//! Invariants: every member counts, also one that never moved a byte; a share is of what is due to
//! the member by its weight, 1 when it got exactly that.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{AuditLog, Way};

/// What was written in a span of time, and by whom.
#[derive(Debug)]
pub(crate) struct Service {
    from_ns: u64,
    to_ns: u64,
    /// In order of their ends, each after `from_ns` and not after `to_ns`.
    moves: Vec<Move>,
    weights: Vec<f64>,
}

/// Bytes that one member moved.
#[derive(Clone, Copy, Debug)]
struct Move {
    at_ns: u64,
    bytes: u64,
    member: usize,
}

/// The least and the most bytes in any window of one length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Extremes {
    pub(crate) least: u64,
    pub(crate) most: u64,
}

impl Service {
    /// The writes of a log in a span, by at least `members` members; one of whom the log tells
    /// nothing has weight 1 and moved nothing.
    pub(crate) fn new(log: &AuditLog, members: usize, from_ns: u64, to_ns: u64) -> Self {
        let mut numbers = BTreeMap::new();
        let mut weights = Vec::new();
        for (&connection, member) in &log.members {
            numbers.insert(connection, weights.len());
            weights.push(f64::from(member.weight));
        }
        let mut moves = Vec::new();
        for record in &log.records {
            let inside = record.after_ns > from_ns && record.after_ns <= to_ns;
            if record.way != Way::Write || !inside || record.bytes == 0 {
                continue;
            }
            let member = *numbers.entry(record.connection).or_insert_with(|| {
                weights.push(1.0);
                weights.len() - 1
            });
            moves.push(Move { at_ns: record.after_ns, bytes: record.bytes, member });
        }
        moves.sort_by_key(|step| step.at_ns);
        weights.resize(weights.len().max(members), 1.0);
        Self { from_ns, to_ns, moves, weights }
    }

    /// Bytes in all.
    pub(crate) fn bytes(&self) -> u64 {
        self.moves.iter().map(|step| step.bytes).sum()
    }

    /// Each member's bytes as a share of what was due to it by its weight.
    pub(crate) fn shares(&self) -> Vec<f64> {
        let mut shares = vec![0.0; self.weights.len()];
        for step in &self.moves {
            shares[step.member] += step.bytes as f64;
        }
        let due = self.bytes().max(1) as f64 / self.weights.iter().sum::<f64>();
        shares.iter().zip(&self.weights).map(|(bytes, weight)| bytes / weight / due).collect()
    }

    /// The bytes of the emptiest and the fullest window of this length; nothing if none fits.
    pub(crate) fn extremes(&self, length: Duration) -> Option<Extremes> {
        let mut sums = Sums { now: 0, seen: Extremes { least: u64::MAX, most: 0 } };
        self.slide(length, &mut sums)?;
        Some(sums.seen)
    }

    /// The least Jain's index, by weight, of any window of this length; nothing if none fits.
    pub(crate) fn least_jain(&self, length: Duration) -> Option<f64> {
        let mut fairness = Fairness {
            weights: &self.weights,
            shares: vec![0.0; self.weights.len()],
            sum: 0.0,
            squares: 0.0,
            least: 1.0,
        };
        self.slide(length, &mut fairness)?;
        Some(fairness.least)
    }

    /// The longest that any member went without moving a byte; silence at either end of the span
    /// counts as far as it lies in it.
    pub(crate) fn longest_gap(&self) -> Duration {
        let mut last = vec![self.from_ns; self.weights.len()];
        let mut longest = 0;
        for step in &self.moves {
            longest = longest.max(step.at_ns - last[step.member]);
            last[step.member] = step.at_ns;
        }
        let until_the_end = last.iter().map(|last| self.to_ns.saturating_sub(*last));
        Duration::from_nanos(until_the_end.fold(longest, u64::max))
    }

    /// Moves a window from the beginning of the span to its end; `None` if it does not fit.
    ///
    /// Half open: an operation at its beginning has left, one at its end is in it.
    fn slide(&self, length: Duration, contents: &mut impl Contents) -> Option<()> {
        let length_ns = u64::try_from(length.as_nanos()).ok()?;
        let last_begin = self.to_ns.checked_sub(length_ns).filter(|&b| b >= self.from_ns)?;
        let (mut entering, mut leaving) = (self.moves.iter().peekable(), self.moves.iter());
        let mut leaving = leaving.by_ref().peekable();
        let mut begin = self.from_ns;
        while begin <= last_begin {
            while let Some(step) = entering.next_if(|step| step.at_ns <= begin + length_ns) {
                contents.enter(step);
            }
            while let Some(step) = leaving.next_if(|step| step.at_ns <= begin) {
                contents.leave(step);
            }
            contents.look();
            let enters = entering.peek().map(|step| step.at_ns - length_ns);
            let leaves = leaving.peek().map(|step| step.at_ns);
            begin = enters.into_iter().chain(leaves).min().unwrap_or(u64::MAX);
        }
        Some(())
    }
}

/// What a moving window holds.
trait Contents {
    fn enter(&mut self, step: &Move);
    fn leave(&mut self, step: &Move);
    /// All that changed at one place has entered and left.
    fn look(&mut self);
}

struct Sums {
    now: u64,
    seen: Extremes,
}

impl Contents for Sums {
    fn enter(&mut self, step: &Move) {
        self.now += step.bytes;
    }

    fn leave(&mut self, step: &Move) {
        self.now -= step.bytes;
    }

    fn look(&mut self) {
        self.seen.least = self.seen.least.min(self.now);
        self.seen.most = self.seen.most.max(self.now);
    }
}

struct Fairness<'a> {
    weights: &'a [f64],
    shares: Vec<f64>,
    sum: f64,
    squares: f64,
    least: f64,
}

impl Fairness<'_> {
    fn add(&mut self, member: usize, bytes: f64) {
        let before = self.shares[member];
        let after = before + bytes / self.weights[member];
        self.shares[member] = after;
        self.sum += after - before;
        self.squares += after * after - before * before;
    }
}

impl Contents for Fairness<'_> {
    fn enter(&mut self, step: &Move) {
        self.add(step.member, step.bytes as f64);
    }

    fn leave(&mut self, step: &Move) {
        self.add(step.member, -(step.bytes as f64));
    }

    fn look(&mut self) {
        // Running sums of what came and went end a little beside zero.
        let count = self.shares.len() as f64;
        let index = if self.sum < 0.5 { 0.0 } else { self.sum * self.sum / count / self.squares };
        self.least = self.least.min(index);
    }
}

#[cfg(test)]
mod tests {
    use rand::rngs::SmallRng;
    use rand::{RngExt, SeedableRng};

    use super::*;
    use crate::audit::{Member, Record};
    use crate::fairness::jain;

    /// Writes at these moments, of these bytes, by these connections.
    fn log(writes: &[(u64, u64, u64)]) -> AuditLog {
        let record = |&(at_ns, bytes, connection): &(u64, u64, u64)| Record {
            before_ns: at_ns,
            after_ns: at_ns,
            bytes,
            way: Way::Write,
            connection,
        };
        AuditLog { records: writes.iter().map(record).collect(), ..AuditLog::default() }
    }

    fn ns(nanos: u64) -> Duration {
        Duration::from_nanos(nanos)
    }

    #[test]
    fn shares_are_of_what_is_due_and_follow_weight() {
        let mut log = log(&[(1, 30, 0), (2, 10, 1), (3, 20, 2)]);
        log.members.insert(0, Member { core: 0, weight: 3 });
        assert_eq!(
            Service::new(&log, 3, 0, 9).shares(),
            [0.8333333333333334, 0.8333333333333334, 1.6666666666666667]
        );
        assert_eq!(Service::new(&log, 4, 0, 9).shares()[3], 0.0, "it never appears");
        assert_eq!(Service::new(&log, 3, 0, 2).bytes(), 40, "the third comes after the span");
    }

    #[test]
    fn gaps_count_from_and_to_the_ends_of_the_span() {
        let log = log(&[(10, 1, 0), (40, 1, 0), (45, 0, 0), (60, 1, 0)]);
        assert_eq!(Service::new(&log, 1, 0, 65).longest_gap(), ns(30));
        assert_eq!(Service::new(&log, 1, 0, 200).longest_gap(), ns(140));
        assert_eq!(Service::new(&log, 1, 30, 50).longest_gap(), ns(10));
        assert_eq!(Service::new(&log, 2, 0, 65).longest_gap(), ns(65), "the other never moved");
    }

    #[test]
    fn a_window_that_does_not_fit_has_no_figures() {
        let service = Service::new(&log(&[(5, 1, 0)]), 1, 0, 10);
        assert!(service.extremes(ns(11)).is_none() && service.least_jain(ns(11)).is_none());
        assert_eq!(service.extremes(ns(10)), Some(Extremes { least: 1, most: 1 }));
    }

    #[test]
    fn the_walk_agrees_with_looking_at_every_window() {
        for seed in 0..200 {
            let mut random = SmallRng::seed_from_u64(seed);
            let writes: Vec<_> = (0..random.random_range(0..40))
                .map(|_| {
                    let at = random.random_range(0..120u64);
                    (at, random.random_range(1..50u64), random.random_range(0..3u64))
                })
                .collect();
            let mut log = log(&writes);
            log.members.insert(1, Member { core: 0, weight: 2 });
            let (from, to, length) = (10, 100, random.random_range(1..90u64));
            let service = Service::new(&log, 3, from, to);
            let (mut least, mut most, mut fairness) = (u64::MAX, 0, 1.0f64);
            for begin in from..=to - length {
                let inside = writes.iter().filter(|w| w.0 > begin && w.0 <= begin + length);
                let mut shares = [0.0; 3];
                let mut sum = 0;
                for &(_, bytes, connection) in inside {
                    sum += bytes;
                    let weight = if connection == 1 { 2.0 } else { 1.0 };
                    shares[connection as usize] += bytes as f64 / weight;
                }
                (least, most) = (least.min(sum), most.max(sum));
                fairness = fairness.min(jain(&shares).unwrap_or(0.0));
            }
            assert_eq!(service.extremes(ns(length)), Some(Extremes { least, most }), "seed {seed}");
            let found = service.least_jain(ns(length)).unwrap();
            assert!((found - fairness).abs() < 1e-9, "seed {seed}: {found} is not {fairness}");
        }
    }
}
