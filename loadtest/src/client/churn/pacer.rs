//! When the next connection is due.
//!
//! Owns the plan of one thread at a constant rate: the moments go round the places of all threads,
//! so that all together are evenly spaced and each thread has as large a share of them as of the
//! places. Never looks at a clock; what is not taken in time stays due.
//! Invariant: the n-th moment depends on the rate and the beginning alone, so lateness never adds
//! up.

use std::time::{Duration, Instant};

use super::super::share;

/// The due moments of one thread.
#[derive(Debug)]
pub(super) struct Pacer {
    began: Instant,
    /// Seconds between two of all threads.
    gap: f64,
    turn: Turn,
    taken: u64,
}

/// Which moments are those of a thread: the n-th is that of place n modulo `places`, and place p
/// that of thread p modulo `threads`.
#[derive(Clone, Copy, Debug)]
struct Turn {
    index: u64,
    threads: u64,
    places: u64,
    /// Those of the thread.
    own: u64,
}

impl Pacer {
    /// `rate` per second by all threads together, a positive number; `places` are those of all
    /// threads, at least one for each.
    pub(super) fn new(
        rate: f64,
        (index, threads): (usize, usize),
        places: usize,
        now: Instant,
    ) -> Self {
        let own = share(places, threads, index) as u64;
        let (index, threads) = (index as u64, threads as u64);
        let turn = Turn { index, threads, places: places as u64, own };
        Self { began: now, gap: 1.0 / rate, turn, taken: 0 }
    }

    /// Begins again, with nothing due before `now`.
    pub(super) fn restart(&mut self, now: Instant) {
        (self.began, self.taken) = (now, 0);
    }

    /// The next moment, which may be past.
    pub(super) fn next_at(&self) -> Instant {
        self.began + Duration::from_secs_f64(self.turn.number(self.taken) as f64 * self.gap)
    }

    /// Takes one that is due, and says since when.
    pub(super) fn take(&mut self, now: Instant) -> Option<Instant> {
        let at = self.next_at();
        (at <= now).then(|| {
            self.taken += 1;
            at
        })
    }

    /// How many were due before `until` and not taken.
    pub(super) fn backlog(&self, until: Instant) -> u64 {
        let due = until.saturating_duration_since(self.began).as_secs_f64() / self.gap;
        self.turn.count(due.ceil() as u64).saturating_sub(self.taken)
    }
}

impl Turn {
    /// The number among all moments of the `nth` of this thread.
    fn number(self, nth: u64) -> u64 {
        nth / self.own * self.places + self.index + nth % self.own * self.threads
    }

    /// How many of the first `moments` are this thread's.
    fn count(self, moments: u64) -> u64 {
        let last_round = (moments % self.places).saturating_sub(self.index);
        moments / self.places * self.own + last_round.div_ceil(self.threads)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_go_to_threads_as_places_do_and_are_evenly_spaced() {
        // Of twelve moments, so many are each thread's.
        let cases: [(usize, &[usize]); 4] =
            [(1, &[12]), (2, &[6, 6]), (3, &[8, 4]), (5, &[5, 5, 2])];
        for (places, shares) in cases {
            let now = Instant::now();
            let end = now + Duration::from_micros(11_500);
            let mut moments: Vec<Duration> = Vec::new();
            for (index, share) in shares.iter().enumerate() {
                let mut pacer = Pacer::new(1000.0, (index, shares.len()), places, now);
                assert_eq!(pacer.backlog(end), *share as u64, "{places} places, {shares:?}");
                let taken: Vec<_> = std::iter::from_fn(|| pacer.take(end)).collect();
                assert_eq!(taken.len(), *share, "{places} places, {shares:?}");
                assert!(taken.is_sorted() && pacer.backlog(end) == 0);
                moments.extend(taken.into_iter().map(|at| at - now));
            }
            moments.sort();
            let even: Vec<Duration> = (0..12).map(Duration::from_millis).collect();
            assert_eq!(moments, even, "{places} places, {shares:?}");
        }
    }

    #[test]
    fn what_is_not_taken_stays_due_since_its_own_moment() {
        let now = Instant::now();
        let mut pacer = Pacer::new(10.0, (0, 1), 1, now);
        assert_eq!(pacer.take(now), Some(now));
        let late = now + Duration::from_millis(350);
        assert_eq!(pacer.backlog(late), 3);
        assert_eq!(pacer.take(late), Some(now + Duration::from_millis(100)));
        assert_eq!(pacer.backlog(late), 2);
        pacer.restart(late);
        assert_eq!((pacer.take(late), pacer.take(late)), (Some(late), None));
    }
}
