//! When the next connection is due.
//!
//! Owns the plan of one thread at a constant rate: the threads take turns, so that all together
//! are evenly spaced. Never looks at a clock; what is not taken in time stays due.
//! Invariant: the n-th moment depends on the rate and the beginning alone, so lateness never adds
//! up.

use std::time::{Duration, Instant};

/// The due moments of one thread.
#[derive(Debug)]
pub(super) struct Pacer {
    began: Instant,
    /// Seconds between two of all threads.
    gap: f64,
    index: u64,
    threads: u64,
    taken: u64,
}

impl Pacer {
    /// `rate` per second by all threads together, a positive number.
    pub(super) fn new(rate: f64, index: usize, threads: usize, now: Instant) -> Self {
        Self { began: now, gap: 1.0 / rate, index: index as u64, threads: threads as u64, taken: 0 }
    }

    /// Begins again, with nothing due before `now`.
    pub(super) fn restart(&mut self, now: Instant) {
        (self.began, self.taken) = (now, 0);
    }

    /// The next moment, which may be past.
    pub(super) fn next_at(&self) -> Instant {
        let number = self.taken * self.threads + self.index;
        self.began + Duration::from_secs_f64(number as f64 * self.gap)
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
        let due = (due - self.index as f64) / self.threads as f64;
        (due.ceil().max(0.0) as u64).saturating_sub(self.taken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_take_turns_at_the_common_rate() {
        let now = Instant::now();
        let mut moments: Vec<Duration> = Vec::new();
        for index in 0..2 {
            let mut pacer = Pacer::new(1000.0, index, 2, now);
            let end = now + Duration::from_micros(9500);
            moments.extend(std::iter::from_fn(|| pacer.take(end)).map(|at| at - now));
        }
        moments.sort();
        let even: Vec<Duration> = (0..10).map(Duration::from_millis).collect();
        assert_eq!(moments, even);
    }

    #[test]
    fn what_is_not_taken_stays_due_since_its_own_moment() {
        let now = Instant::now();
        let mut pacer = Pacer::new(10.0, 0, 1, now);
        assert_eq!(pacer.take(now), Some(now));
        let late = now + Duration::from_millis(350);
        assert_eq!(pacer.backlog(late), 3);
        assert_eq!(pacer.take(late), Some(now + Duration::from_millis(100)));
        assert_eq!(pacer.backlog(late), 2);
        pacer.restart(late);
        assert_eq!((pacer.take(late), pacer.take(late)), (Some(late), None));
    }
}
