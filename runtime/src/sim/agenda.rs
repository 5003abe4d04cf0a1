//! Virtual time: the clock, what falls due when, and the dice.
//!
//! Owns the only ways in which a simulation moves on or leaves anything to chance, so that one
//! seed is one run. Never looks at what it schedules.
//!
//! Invariants: the clock never goes back; what falls due at the same time comes out in the order
//! it was put in.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::time::Duration;

use groups::Time;
use rand::rngs::Xoshiro256PlusPlus;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};

use crate::clock::Clock;

/// A clock, a list of what will happen, and the dice.
pub(super) struct Agenda<T> {
    pub(super) clock: Clock,
    /// Named by its algorithm, whose output is the same on every machine.
    dice: Xoshiro256PlusPlus,
    entries: BTreeMap<(Time, u64), T>,
    /// Entries put in so far; tells those of one time apart.
    count: u64,
}

impl<T> Agenda<T> {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            clock: Clock::virtual_clock(),
            dice: Xoshiro256PlusPlus::seed_from_u64(seed),
            entries: BTreeMap::new(),
            count: 0,
        }
    }

    pub(super) fn put(&mut self, at: Time, entry: T) {
        self.count += 1;
        self.entries.insert((at, self.count), entry);
    }

    /// Takes the first entry that is due.
    pub(super) fn pop_due(&mut self) -> Option<T> {
        let first = self.entries.first_entry()?;
        (first.key().0 <= self.clock.now()).then(|| first.remove())
    }

    /// Moves the clock to the next entry, at most to `until`.
    pub(super) fn skip(&mut self, until: Time) {
        let next = self.entries.first_key_value().map_or(until, |(&(at, _), _)| at.min(until));
        self.clock.advance(next.saturating_since(self.clock.now()));
    }

    /// Whether something of this probability happens.
    pub(super) fn chance(&mut self, probability: f64) -> bool {
        // What cannot happen takes no roll: switching it on changes no other roll before its first.
        probability > 0.0 && self.dice.random_bool(probability.min(1.0))
    }

    /// A number from `low` to `high`, both included.
    pub(super) fn between(&mut self, low: u64, high: u64) -> u64 {
        if low < high { self.dice.random_range(low..=high) } else { low }
    }

    /// A time from now on, by a delay within a range.
    pub(super) fn later(&mut self, delay: &Range<Duration>) -> Time {
        let nanos = |delay: Duration| u64::try_from(delay.as_nanos()).unwrap_or(u64::MAX);
        let nanos = self.between(nanos(delay.start), nanos(delay.end));
        self.clock.now() + Duration::from_nanos(nanos)
    }

    pub(super) fn shuffle<E>(&mut self, entries: &mut [E]) {
        entries.shuffle(&mut self.dice);
    }
}

impl<T> fmt::Debug for Agenda<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Agenda")
            .field("now", &self.clock.now())
            .field("entries", &self.entries.len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_come_when_due_in_the_order_of_time_and_then_of_putting() {
        let mut agenda = Agenda::new(1);
        let at = |millis| Time::ZERO + Duration::from_millis(millis);
        for (entry, time) in [("c", at(2)), ("a", at(1)), ("b", at(1))] {
            agenda.put(time, entry);
        }
        assert_eq!(agenda.pop_due(), None);
        agenda.skip(at(9));
        assert_eq!(agenda.clock.now(), at(1));
        assert_eq!(
            [agenda.pop_due(), agenda.pop_due(), agenda.pop_due()],
            [Some("a"), Some("b"), None]
        );
        agenda.skip(at(9));
        assert_eq!(agenda.pop_due(), Some("c"));
        agenda.skip(at(9));
        assert_eq!(agenda.clock.now(), at(9));
    }
}
