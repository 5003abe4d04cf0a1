//! The byte clock: how many bytes a limit has produced by an instant.
//!
//! Owns no level and no last reading. g(t) = base + floor(rate * (t - start) / period), or, with a
//! tick, base + rate * floor((t - start) / tick): a pure function of absolute time, so nothing
//! drifts, nothing has to refill, and any core may evaluate it.
//!
//! g is a wrapping 64-bit count; sums are formed in 128 bits first. Two counts are compared by
//! their difference, which the callers keep within 63 bits.
//! Invariants: g never falls as t grows; before `start` it is `base`.

use std::time::Duration;

use crate::time::Time;

/// Produces bytes at a fixed rate from a fixed start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ByteClock {
    start: Time,
    base: u64,
    rate: u64,
    period_ns: u64,
    /// (2^64 - 1) / `period_ns`, rounded down: dividing by a constant is a multiplication.
    reciprocal: u64,
    stepped: bool,
}

impl ByteClock {
    /// Makes a clock that reads `base` at `start` and gains `rate` bytes every `period_ns`,
    /// all at once if `stepped`.
    pub(crate) fn new(start: Time, base: u64, rate: u64, period_ns: u64, stepped: bool) -> Self {
        debug_assert!(rate > 0 && period_ns > 0, "configs reject zero rates and ticks");
        // In lowest terms products stay within 64 bits: for years at round rates.
        let divisor = if stepped { 1 } else { common_divisor(rate, period_ns) };
        let (rate, period_ns) = (rate / divisor, period_ns / divisor);
        Self { start, base, rate, period_ns, reciprocal: u64::MAX / period_ns, stepped }
    }

    /// Returns when the clock began to gain.
    pub(crate) fn start(&self) -> Time {
        self.start
    }

    /// Returns the reading at `now`.
    pub(crate) fn at(&self, now: Time) -> u64 {
        // Wrapping on purpose: only differences of readings are ever used.
        self.base.wrapping_add(self.produced(now) as u64)
    }

    /// Returns the bytes produced from the start until `now`.
    pub(crate) fn produced(&self, now: Time) -> u128 {
        let elapsed_ns = now.as_nanos().saturating_sub(self.start.as_nanos());
        if self.stepped {
            return u128::from(elapsed_ns / self.period_ns) * u128::from(self.rate);
        }
        match elapsed_ns.checked_mul(self.rate) {
            Some(product) => u128::from(self.over_period(product)),
            None => u128::from(elapsed_ns) * u128::from(self.rate) / u128::from(self.period_ns),
        }
    }

    /// Returns `dividend / period_ns`, in a few cycles where a division takes tens.
    fn over_period(&self, dividend: u64) -> u64 {
        // Never too large, and too small by one at most: the reciprocal is less than one too small.
        let quotient = ((u128::from(dividend) * u128::from(self.reciprocal)) >> 64) as u64;
        quotient + u64::from(dividend - quotient * self.period_ns >= self.period_ns)
    }

    /// Returns the first instant at which the clock reads `bytes` more than at `from`; with a
    /// negative number, the first at which it read that much less.
    pub(crate) fn reach(&self, bytes: i64, from: Time) -> Time {
        let target = self.produced(from).saturating_add_signed(i128::from(bytes));
        let (rate, period_ns) = (u128::from(self.rate), u128::from(self.period_ns));
        let elapsed_ns = if self.stepped {
            target.div_ceil(rate).saturating_mul(period_ns)
        } else {
            target.saturating_mul(period_ns).div_ceil(rate)
        };
        u64::try_from(elapsed_ns).map_or(Time::MAX, |ns| self.start + Duration::from_nanos(ns))
    }

    /// Returns the number of whole periods from the start until `now`.
    pub(crate) fn periods(&self, now: Time) -> u64 {
        now.as_nanos().saturating_sub(self.start.as_nanos()) / self.period_ns
    }

    /// Returns the bytes a span of time is worth, rounded down.
    pub(crate) fn bytes_in(&self, span: Duration) -> u64 {
        let bytes = span.as_nanos() * u128::from(self.rate) / u128::from(self.period_ns);
        u64::try_from(bytes).unwrap_or(u64::MAX)
    }

    /// Returns the time it takes to produce `bytes`, rounded down.
    pub(crate) fn time_for(&self, bytes: u64) -> Duration {
        let ns = u128::from(bytes) * u128::from(self.period_ns) / u128::from(self.rate);
        Duration::from_nanos(u64::try_from(ns).unwrap_or(u64::MAX))
    }

    /// Returns the bytes one tick brings, or 0 where there is no tick.
    pub(crate) fn tick_bytes(&self) -> u64 {
        if self.stepped { self.rate } else { 0 }
    }

    /// Returns the tick's length, or zero where there is none.
    pub(crate) fn tick(&self) -> Duration {
        if self.stepped { Duration::from_nanos(self.period_ns) } else { Duration::ZERO }
    }

    /// Returns when the second half of the tick around `now` begins, which may be past; `now`
    /// itself where there is no tick.
    pub(crate) fn half_tick(&self, now: Time) -> Time {
        if !self.stepped {
            return now;
        }
        let edge_ns = self.periods(now).saturating_mul(self.period_ns);
        self.start + Duration::from_nanos(edge_ns.saturating_add(self.period_ns / 2))
    }

    /// Returns the clock that takes over at `now`: this one, if it would produce alike.
    ///
    /// It reads the same there, and what was under way goes on: a tick has as much time behind it,
    /// a byte as much of it, rounded down to a nanosecond. So however often a clock is replaced, it
    /// comes to its next byte, and no rate brings more than in its own time. A tick that turns out
    /// to be over ends after a nanosecond. Only between ticks and none a clock starts anew.
    pub(crate) fn successor(&self, now: Time, rate: u64, period_ns: u64, stepped: bool) -> Self {
        let now = now.max(self.start);
        let fresh = Self::new(now, self.at(now), rate, period_ns, stepped);
        if (fresh.rate, fresh.period_ns, stepped) == (self.rate, self.period_ns, self.stepped) {
            return *self;
        }
        let elapsed_ns = now.saturating_since(self.start).as_nanos();
        let (old_period, new_period) = (u128::from(self.period_ns), u128::from(fresh.period_ns));
        let behind_ns = match (self.stepped, stepped) {
            (true, true) => (elapsed_ns % old_period).min(new_period - 1),
            (false, false) => {
                let fraction = elapsed_ns * u128::from(self.rate) % old_period;
                fraction * new_period / (old_period * u128::from(fresh.rate))
            }
            _ => 0,
        };
        // Less than a period; and there is no time before the origin.
        let start = Time::from_nanos(now.as_nanos().saturating_sub(behind_ns as u64));
        Self { start, ..fresh }
    }
}

/// The greatest number that divides both, which are above zero.
fn common_divisor(a: u64, b: u64) -> u64 {
    let (mut a, mut b) = (a, b);
    while b > 0 {
        (a, b) = (b, a % b);
    }
    a
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::time::NANOS_PER_SECOND;

    fn at(ns: u64) -> Time {
        Time::from_nanos(ns)
    }

    #[test]
    fn one_byte_a_second_for_a_century_loses_nothing() {
        let clock = ByteClock::new(Time::ZERO, 0, 1, NANOS_PER_SECOND, false);
        let century = 100 * 365 * 86_400;
        assert_eq!(clock.at(at(century * NANOS_PER_SECOND)), century);
        assert_eq!(clock.at(at(century * NANOS_PER_SECOND - 1)), century - 1);
    }

    #[test]
    fn the_largest_rate_wraps_without_overflow() {
        let clock = ByteClock::new(Time::ZERO, 0, 1 << 40, NANOS_PER_SECOND, false);
        let produced = clock.produced(Time::MAX);
        assert_eq!(produced, (u128::from(u64::MAX) << 40) / u128::from(NANOS_PER_SECOND));
        assert_eq!(clock.at(Time::MAX), produced as u64);
        assert_eq!(clock.reach(i64::MAX, Time::MAX), Time::MAX);
    }

    #[test]
    fn ticks_bring_their_bytes_at_the_edge() {
        let clock = ByteClock::new(at(7), 100, 30, 10, true);
        for (ns, bytes) in [(0, 100), (7, 100), (16, 100), (17, 130), (26, 130), (27, 160)] {
            assert_eq!(clock.at(at(ns)), bytes, "at {ns}");
        }
        assert_eq!(clock.reach(1, at(20)), at(27));
        assert_eq!(clock.reach(31, at(20)), at(37));
    }

    #[test]
    fn the_second_half_of_a_tick_begins_in_its_middle() {
        let clock = ByteClock::new(at(7), 100, 30, 10, true);
        for (ns, half) in [(0, 12), (7, 12), (16, 12), (17, 22), (26, 22)] {
            assert_eq!(clock.half_tick(at(ns)), at(half), "at {ns}");
        }
        assert_eq!(clock.half_tick(Time::MAX).as_nanos() / 10, u64::MAX / 10);
        assert_eq!(ByteClock::new(at(7), 100, 30, 10, false).half_tick(at(16)), at(16));
    }

    #[test]
    fn a_successor_that_produces_alike_is_the_same_clock() {
        let smooth = ByteClock::new(at(7), 100, 3000, NANOS_PER_SECOND, false);
        assert_eq!(smooth.successor(at(1 << 40), 3000, NANOS_PER_SECOND, false), smooth);
        let ticking = ByteClock::new(at(7), 0, 30, 10, true);
        assert_eq!(ticking.successor(at(29), 30, 10, true), ticking);
    }

    #[test]
    fn a_tick_has_as_much_time_behind_it_after_a_change() {
        let clock = ByteClock::new(at(7), 0, 30, 10, true);
        for (now, tick, start) in [(29, 10, 27), (29, 15, 27), (36, 5, 32), (3, 10, 7), (3, 11, 7)]
        {
            let next = clock.successor(at(now), 20, tick, true);
            assert_eq!(next, ByteClock::new(at(start), clock.at(at(now)), 20, tick, true), "{now}");
        }
    }

    #[test]
    fn a_byte_has_as_much_of_it_behind_it_after_a_change() {
        let slow = ByteClock::new(at(0), 0, 1, NANOS_PER_SECOND, false);
        let half = at(7 * NANOS_PER_SECOND / 2);
        let fast = slow.successor(half, 1000, NANOS_PER_SECOND, false);
        assert_eq!((fast.at(half), fast.reach(1, half)), (3, half + Duration::from_micros(500)));
        let ticking = slow.successor(half, 10, 20, true);
        assert_eq!(ticking, ByteClock::new(half, 3, 10, 20, true), "another form starts anew");
    }

    proptest! {
        #[test]
        fn readings_are_exact_within_64_bits_and_beyond(
            start in 0u64..1 << 50,
            rate in 1u64..1 << 40,
            period_ns in prop_oneof![Just(NANOS_PER_SECOND), 1u64..1 << 40],
            now_bits in 0u32..64,
            now: u64,
        ) {
            let clock = ByteClock::new(at(start), 3, rate, period_ns, false);
            let now = now >> now_bits;
            let elapsed = u128::from(now.saturating_sub(start));
            let exact = elapsed * u128::from(rate) / u128::from(period_ns);
            prop_assert_eq!(clock.produced(at(now)), exact);
        }

        #[test]
        fn reach_is_the_first_instant_that_suffices(
            start in 0u64..1 << 50,
            rate in 1u64..1 << 40,
            period_ns in 1u64..1 << 40,
            stepped: bool,
            from in 0u64..1 << 51,
            bytes in 1i64..1 << 40,
        ) {
            let clock = ByteClock::new(at(start), 3, rate, period_ns, stepped);
            let goal = clock.produced(at(from)) + bytes as u128;
            let reached = clock.reach(bytes, at(from));
            prop_assume!(reached < Time::MAX);
            prop_assert!(clock.produced(reached) >= goal);
            prop_assert!(clock.produced(at(reached.as_nanos() - 1)) < goal);
        }

        /// Against the exact sum of what each rate brought in its time, in parts of a nanobyte.
        #[test]
        fn any_number_of_changes_brings_no_byte_too_many_and_loses_a_nanosecond_each(
            origin in (1u64 << 33)..1 << 50,
            changes in proptest::collection::vec((1u64..1 << 33, 1u64..1 << 32), 1..40),
        ) {
            let mut now = at(origin);
            let mut clock = ByteClock::new(now, 0, 1, NANOS_PER_SECOND, false);
            let (mut exact, mut lost, mut rate) = (0u128, 0u128, 1u64);
            for (span, next) in changes {
                now = now + Duration::from_nanos(span);
                exact += u128::from(span) * u128::from(rate);
                let before = clock.at(now);
                let changed = clock.successor(now, next, NANOS_PER_SECOND, false);
                prop_assert_eq!(changed.at(now), before);
                lost += u128::from(if changed == clock { 0 } else { next });
                (clock, rate) = (changed, next);
                let most = exact / u128::from(NANOS_PER_SECOND);
                let least = exact.saturating_sub(lost) / u128::from(NANOS_PER_SECOND);
                let read = u128::from(clock.at(now));
                prop_assert!(least <= read && read <= most, "{} not in {}..={}", read, least, most);
            }
        }
    }
}
