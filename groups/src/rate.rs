//! A rate in bytes per second, and how people write one.
//!
//! Owns parsing and printing. Never guesses: a number without a unit is refused, because bytes and
//! bits differ eightfold. Decimal prefixes are powers of 1000, binary ones (`Ki`, `Mi`, ...) of
//! 1024.
//!
//! Invariants: 1 <= rate <= 2^40 bytes per second; what `Display` prints parses to the same rate.

use std::fmt;
use std::num::NonZeroU64;
use std::str::FromStr;

use crate::error::RateError;

/// Bytes per second, from 1 to 2^40 (1 TiB/s).
///
/// # Examples
/// ```
/// use sluicegate_groups::Rate;
///
/// let rate: Rate = "80Mbit/s".parse()?;
/// assert_eq!(rate.as_bytes_per_second(), 10_000_000);
/// assert_eq!(rate.to_string(), "10MB/s");
/// let refused = "10M".parse::<Rate>().unwrap_err();
/// assert_eq!(
///     refused.to_string(),
///     "rate `10M` has no unit: write `10MB/s` for bytes or `10Mbit/s` for bits per second",
/// );
/// # Ok::<(), sluicegate_groups::RateError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Rate(NonZeroU64);

impl Rate {
    /// The largest rate: 2^40 bytes per second.
    pub const MAX: Self = Self(NonZeroU64::new(LARGEST).expect("2^40 is not zero"));

    /// Makes a rate from whole bytes per second.
    ///
    /// # Errors
    /// [`RateError::Zero`] and [`RateError::TooLarge`]: use 1 to 2^40, or no limit at all.
    pub fn bytes_per_second(bytes: u64) -> Result<Self, RateError> {
        match NonZeroU64::new(bytes) {
            None => Err(RateError::Zero { text: "0B/s".to_owned() }),
            Some(_) if bytes > LARGEST => Err(RateError::TooLarge { text: format!("{bytes}B/s") }),
            Some(bytes) => Ok(Self(bytes)),
        }
    }

    /// Returns the rate in whole bytes per second.
    #[must_use]
    pub const fn as_bytes_per_second(self) -> u64 {
        self.0.get()
    }
}

impl FromStr for Rate {
    type Err = RateError;

    /// Reads a decimal number and a unit; a fraction of a byte per second is dropped.
    fn from_str(text: &str) -> Result<Self, RateError> {
        let text = text.trim();
        let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
        let (number, unit) = text.split_at(digits);
        let unit = unit.trim_start();
        let (mantissa, divisor) =
            decimal(number).ok_or_else(|| RateError::NotANumber { text: text.to_owned() })?;
        let (prefix, scale) = prefix_of(unit);
        let per_byte: u128 = match &unit[prefix.len()..] {
            "B/s" | "Bps" => 1,
            "bit/s" | "bits/s" | "bps" | "b/s" => 8,
            "" => {
                return Err(RateError::NoUnit {
                    text: text.to_owned(),
                    bytes: format!("{number}{prefix}B/s"),
                    bits: format!("{number}{prefix}bit/s"),
                });
            }
            _ => {
                return Err(RateError::UnknownUnit {
                    text: text.to_owned(),
                    unit: unit.to_owned(),
                });
            }
        };
        // At most 10^19 x 2^40: far inside 128 bits.
        let bytes = mantissa * u128::from(scale) / (divisor * per_byte);
        match u64::try_from(bytes) {
            Ok(0) => Err(RateError::Zero { text: text.to_owned() }),
            Ok(bytes) if bytes <= LARGEST => Self::bytes_per_second(bytes),
            _ => Err(RateError::TooLarge { text: text.to_owned() }),
        }
    }
}

impl fmt::Display for Rate {
    /// Prints the shortest exact form: `1MiB/s`, `1.5MB/s`, `999B/s`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = self.0.get();
        if !bytes.is_multiple_of(1000) {
            let whole = PREFIXES.iter().filter(|(name, _)| name.ends_with('i'));
            if let Some((name, scale)) = whole.rev().find(|(_, scale)| bytes.is_multiple_of(*scale))
            {
                return write!(f, "{}{name}B/s", bytes / scale);
            }
        }
        let decimal = PREFIXES.iter().filter(|(name, _)| !name.ends_with('i'));
        let (name, scale) =
            decimal.rev().find(|(_, scale)| bytes >= *scale).copied().unwrap_or(("", 1));
        let (whole, rest) = (bytes / scale, bytes % scale);
        if rest == 0 {
            return write!(f, "{whole}{name}B/s");
        }
        let width = scale.ilog10() as usize;
        let fraction = format!("{rest:0width$}");
        write!(f, "{whole}.{}{name}B/s", fraction.trim_end_matches('0'))
    }
}

/// Reads `12.34` as (1234, 100); `None` for anything but digits with at most one point inside.
fn decimal(number: &str) -> Option<(u128, u128)> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    let readable = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    if !readable(whole) || !readable(fraction) || whole.len() + fraction.len() > LONGEST_NUMBER {
        return None;
    }
    let divisor = 10u128.pow(u32::try_from(fraction.len()).ok()?);
    let mantissa = whole.parse::<u128>().ok()? * divisor + fraction.parse::<u128>().ok()?;
    Some((mantissa, divisor))
}

/// Returns the prefix a unit begins with and what it multiplies by.
fn prefix_of(unit: &str) -> (&str, u64) {
    let found = PREFIXES.iter().rev().find(|(name, _)| unit.starts_with(name));
    found.map_or(("", 1), |(name, scale)| (&unit[..name.len()], *scale))
}

const LARGEST: u64 = 1 << 40;

/// Digits a number may have in all: enough for every exact print, and 128 bits hold the product.
const LONGEST_NUMBER: usize = 24;

/// Ascending; of two spellings the one to print comes later, and a binary prefix comes after the
/// decimal one it begins with.
const PREFIXES: [(&str, u64); 10] = [
    ("K", 1_000),
    ("k", 1_000),
    ("ki", 1 << 10),
    ("Ki", 1 << 10),
    ("M", 1_000_000),
    ("Mi", 1 << 20),
    ("G", 1_000_000_000),
    ("Gi", 1 << 30),
    ("T", 1_000_000_000_000),
    ("Ti", 1 << 40),
];

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn common_forms_mean_what_they_say() {
        for (text, bytes) in [
            ("10MB/s", 10_000_000),
            ("80Mbit/s", 10_000_000),
            ("80Mbps", 10_000_000),
            ("80 Mbits/s", 10_000_000),
            ("1GiB/s", 1 << 30),
            ("500B/s", 500),
            ("1.5MB/s", 1_500_000),
            ("64KiB/s", 65_536),
            ("64kB/s", 64_000),
            ("1TiB/s", 1 << 40),
            (" 8bit/s ", 1),
        ] {
            assert_eq!(text.parse::<Rate>().unwrap().as_bytes_per_second(), bytes, "{text}");
        }
    }

    #[test]
    fn a_number_without_a_unit_names_both_readings() {
        for text in ["10", "10M", "1.5Gi"] {
            let message = text.parse::<Rate>().unwrap_err().to_string();
            assert!(message.contains(&format!("{text}B/s")), "{message}");
            assert!(message.contains(&format!("{text}bit/s")), "{message}");
        }
    }

    #[test]
    fn nonsense_is_refused_with_the_text_in_the_message() {
        let kinds = |text: &str| text.parse::<Rate>().unwrap_err();
        assert!(matches!(kinds("MB/s"), RateError::NotANumber { .. }));
        assert!(matches!(kinds(""), RateError::NotANumber { .. }));
        assert!(matches!(kinds("1.2.3MB/s"), RateError::NotANumber { .. }));
        assert!(matches!(kinds(".5MB/s"), RateError::NotANumber { .. }));
        assert!(matches!(kinds("-1MB/s"), RateError::NotANumber { .. }));
        assert!(matches!(kinds("10MB"), RateError::UnknownUnit { .. }));
        assert!(matches!(kinds("10µB/s"), RateError::UnknownUnit { .. }));
        assert!(matches!(kinds("0MB/s"), RateError::Zero { .. }));
        assert!(matches!(kinds("7bit/s"), RateError::Zero { .. }));
        assert!(matches!(kinds("2TiB/s"), RateError::TooLarge { .. }));
        assert!(matches!(kinds("99999999999999999999TB/s"), RateError::TooLarge { .. }));
        assert!(kinds("10MB").to_string().contains("`10MB`"));
    }

    #[test]
    fn numbers_are_checked_at_both_ends() {
        assert!(matches!(Rate::bytes_per_second(0), Err(RateError::Zero { .. })));
        assert_eq!(Rate::bytes_per_second(1 << 40), Ok(Rate::MAX));
        assert!(matches!(Rate::bytes_per_second((1 << 40) + 1), Err(RateError::TooLarge { .. })));
    }

    #[test]
    fn printing_is_short_and_exact() {
        for text in ["1MiB/s", "10MB/s", "1.5MB/s", "999B/s", "1.000001TB/s", "1TiB/s", "3KiB/s"] {
            assert_eq!(text.parse::<Rate>().unwrap().to_string(), text);
        }
    }

    proptest! {
        #[test]
        fn what_is_printed_parses_back(bytes in 1u64..=1 << 40) {
            let rate = Rate::bytes_per_second(bytes).unwrap();
            prop_assert_eq!(rate.to_string().parse::<Rate>(), Ok(rate));
        }

        #[test]
        fn no_text_makes_parsing_panic(text in "\\PC{0,40}") {
            let _ = text.parse::<Rate>();
        }
    }
}
