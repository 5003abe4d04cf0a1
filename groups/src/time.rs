//! Instants and directions: the two small types everything else is written in.
//!
//! Owns nothing but a number of nanoseconds since an origin the runtime picked. Never reads a
//! clock: whoever calls passes `now`.
//!
//! Invariant: arithmetic saturates, so no reading, however odd, can overflow.

use std::fmt;
use std::ops::Add;
use std::time::Duration;

/// A monotonic instant: nanoseconds since the runtime's origin.
///
/// Eight bytes, `Copy`, totally ordered. The range is 584 years.
///
/// # Examples
/// ```
/// use sluicegate_groups::Time;
/// use std::time::Duration;
///
/// let start = Time::from_nanos(5);
/// let later = start + Duration::from_nanos(10);
/// assert_eq!(later.as_nanos(), 15);
/// assert_eq!(start.saturating_since(later), Duration::ZERO);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Time(u64);

impl Time {
    /// The origin itself.
    pub const ZERO: Self = Self(0);

    /// The last instant that can be named; stands for "never".
    pub const MAX: Self = Self(u64::MAX);

    /// Makes an instant from nanoseconds since the origin.
    #[must_use]
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// Returns the nanoseconds since the origin.
    #[must_use]
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// Returns how long after `earlier` this is, or zero if it is not after it.
    #[must_use]
    pub const fn saturating_since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }

    /// Returns how long after `earlier` this is, or `None` if it lies before it.
    #[must_use]
    pub fn checked_since(self, earlier: Self) -> Option<Duration> {
        self.0.checked_sub(earlier.0).map(Duration::from_nanos)
    }

    /// Returns the instant `duration` later, or `None` beyond [`Time::MAX`].
    #[must_use]
    pub fn checked_add(self, duration: Duration) -> Option<Self> {
        let nanos = u64::try_from(duration.as_nanos()).ok()?;
        self.0.checked_add(nanos).map(Self)
    }
}

impl Add<Duration> for Time {
    type Output = Self;

    /// Returns the instant `duration` later, at most [`Time::MAX`].
    fn add(self, duration: Duration) -> Self {
        self.checked_add(duration).unwrap_or(Self::MAX)
    }
}

impl fmt::Debug for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:09}s", self.0 / NANOS_PER_SECOND, self.0 % NANOS_PER_SECOND)
    }
}

/// Which way bytes go: every limit exists once for each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Direction {
    /// From the peer to us.
    Read,
    /// From us to the peer.
    Write,
}

impl Direction {
    /// Both directions, in index order.
    pub const ALL: [Self; 2] = [Self::Read, Self::Write];

    /// Returns 0 for `Read` and 1 for `Write`: the place in a two-element array.
    #[must_use]
    pub const fn index(self) -> usize {
        match self {
            Self::Read => 0,
            Self::Write => 1,
        }
    }
}

impl fmt::Display for Direction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Read => "read",
            Self::Write => "write",
        })
    }
}

pub(crate) const NANOS_PER_SECOND: u64 = 1_000_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addition_saturates_instead_of_wrapping() {
        assert_eq!(Time::MAX + Duration::from_nanos(1), Time::MAX);
        assert_eq!(Time::from_nanos(7) + Duration::MAX, Time::MAX);
        assert_eq!(Time::MAX.checked_add(Duration::from_nanos(1)), None);
    }

    #[test]
    fn differences_know_which_instant_came_first() {
        let (early, late) = (Time::from_nanos(10), Time::from_nanos(30));
        assert_eq!(late.checked_since(early), Some(Duration::from_nanos(20)));
        assert_eq!(early.checked_since(late), None);
        assert_eq!(early.saturating_since(late), Duration::ZERO);
    }

    #[test]
    fn debug_prints_seconds() {
        assert_eq!(format!("{:?}", Time::from_nanos(1_500_000_000)), "1.500000000s");
    }

    #[test]
    fn directions_index_their_own_place() {
        for (place, direction) in Direction::ALL.iter().enumerate() {
            assert_eq!(direction.index(), place);
        }
        assert_eq!(format!("{} {}", Direction::Read, Direction::Write), "read write");
    }
}
