//! What a core does that has nothing to do: sleep, look again for a while, or never sleep.
//!
//! Owns the choice behind `--idle` and its text. The waiting itself is in `reactor/sleep.rs`.
//!
//! Invariants: printing a choice and parsing the result gives the same choice.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use super::error::PlacementError;
use super::list::number;
use super::nearest::nearest;

/// What a core does when there is nothing to do: `park`, `spin:50us`, or `busy`.
///
/// Looking again answers sooner than waking up, and no other core has to spend a system call on
/// waking it; it costs the CPU time of all the looking, which comes out of a quota. Where cores
/// share CPUs it takes the time from the core that has work. In both cases cores park all the same,
/// and the [plan](super::Plan) warns of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Idle {
    /// Sleep at once, until an event.
    #[default]
    Park,
    /// Look for events for so long, then sleep: [`SPIN_MIN`] to [`SPIN_MAX`], which is checked
    /// when the cores are placed.
    Spin(Duration),
    /// Look for events for ever.
    Busy,
}

/// The shortest time to look for events before a sleep: less than one look takes.
pub const SPIN_MIN: Duration = Duration::from_micros(1);

/// The longest time to look for events before a sleep; who wants more wants [`Idle::Busy`].
pub const SPIN_MAX: Duration = Duration::from_secs(1);

impl Idle {
    /// Refuses times that mean something else.
    pub(super) fn check(self) -> Result<Self, PlacementError> {
        match self {
            Self::Spin(time) if !(SPIN_MIN..=SPIN_MAX).contains(&time) => {
                Err(PlacementError::SpinTime { time })
            }
            _ => Ok(self),
        }
    }
}

impl FromStr for Idle {
    type Err = PlacementError;

    fn from_str(text: &str) -> Result<Self, PlacementError> {
        let word = text.trim();
        let unknown = || {
            let nearest = nearest(word, ["park", "spin:50us", "busy"]);
            PlacementError::NotIdle { text: text.to_owned(), nearest }
        };
        match word {
            "park" => Ok(Self::Park),
            "busy" => Ok(Self::Busy),
            _ => {
                let time = word.strip_prefix("spin:").and_then(time);
                Self::Spin(time.ok_or_else(unknown)?).check()
            }
        }
    }
}

/// A whole number and its unit.
fn time(text: &str) -> Option<Duration> {
    let text = text.trim();
    let unit = text.find(|letter: char| !letter.is_ascii_digit())?;
    let (count, unit) = text.split_at(unit);
    let (_, unit_ns) = UNITS.iter().find(|(name, _)| *name == unit.trim())?;
    Some(Duration::from_nanos(u64::try_from(number(count)?).ok()?.checked_mul(*unit_ns)?))
}

/// Units of time and their nanoseconds, the largest first.
const UNITS: [(&str, u64); 4] = [("s", 1_000_000_000), ("ms", 1_000_000), ("us", 1_000), ("ns", 1)];

impl fmt::Display for Idle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Park => f.write_str("park"),
            Self::Busy => f.write_str("busy"),
            Self::Spin(time) => write!(f, "spin:{}", Written(*time)),
        }
    }
}

/// A time in the largest unit that divides it, as a choice writes it.
pub(super) struct Written(pub(super) Duration);

impl fmt::Display for Written {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ns = self.0.as_nanos();
        let whole = UNITS.iter().find(|(_, unit)| ns.is_multiple_of(u128::from(*unit)));
        let (name, unit) = whole.expect("the last unit divides every number");
        write!(f, "{}{name}", ns / u128::from(*unit))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn idle(text: &str) -> Idle {
        text.parse().expect("a valid choice")
    }

    #[test]
    fn a_choice_prints_as_it_parses() {
        for text in ["park", "busy", "spin:1us", "spin:50us", "spin:2ms", "spin:1s", "spin:1500ns"]
        {
            assert_eq!(idle(text).to_string(), text);
        }
        assert_eq!(idle(" spin: 50 us"), Idle::Spin(Duration::from_micros(50)));
        assert_eq!(idle("spin:1000000ns").to_string(), "spin:1ms");
    }

    #[test]
    fn a_time_has_a_unit_and_bounds() {
        let message = |text: &str| text.parse::<Idle>().expect_err("invalid").to_string();
        assert_eq!(
            message("spin:50"),
            "\"spin:50\" is no way to idle: write `park`, `busy`, or `spin` with a time from 1us \
             to 1s such as `spin:50us`; did you mean `spin:50us`?"
        );
        for wrong in
            ["spin", "spin:", "spin:us", "spin:1.5us", "spin:99999999999999999999s", "50us"]
        {
            assert!(message(wrong).contains("is no way to idle"), "{}", message(wrong));
        }
        assert!(message("prak").ends_with("did you mean `park`?"));
        for outside in ["spin:0us", "spin:999ns", "spin:2s", "spin:1001ms"] {
            assert!(message(outside).contains("a core cannot look for events for"), "{outside}");
        }
        assert!(message("spin:2s").ends_with("write a time from 1us to 1s, `park` or `busy`"));
    }
}
