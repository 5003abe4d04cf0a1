//! Reading sizes, durations and addresses from the command line.
//!
//! Owns the rule for units: sizes may be bare bytes, `K M G` and `KiB MiB GiB` are powers of 1024,
//! `kB MB GB` powers of 1000; a bandwidth or a duration without a unit is an error that names the
//! possible readings, because tools disagree about the bare number by a factor of up to 10⁹.
//! Never guesses.

use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;
use std::time::Duration;

/// A number of bytes, as in `64`, `16KiB` or `8kB`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Size(pub(crate) u64);

impl FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let refuse = || {
            format!(
                "{text:?} is not a size; write bytes (4096) or a unit: \
                 K M G KiB MiB GiB (powers of 1024), kB MB GB (powers of 1000)"
            )
        };
        let (number, unit) = split_number(text);
        let factor: f64 = match unit {
            "" | "B" => 1.0,
            "K" | "KiB" => 1024.0,
            "M" | "MiB" => 1024.0 * 1024.0,
            "G" | "GiB" => 1024.0 * 1024.0 * 1024.0,
            "kB" => 1e3,
            "MB" => 1e6,
            "GB" => 1e9,
            _ => return Err(refuse()),
        };
        let bytes = number.parse::<f64>().map_err(|_| refuse())? * factor;
        if !(0.0..=LARGEST_SIZE).contains(&bytes) || bytes.fract() != 0.0 {
            return Err(format!("{text:?} is not a whole number of bytes up to 1 TiB"));
        }
        // In range and whole, checked above.
        Ok(Self(bytes as u64))
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (unit, factor) in [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)] {
            if self.0 >= factor && self.0.is_multiple_of(factor) {
                return write!(f, "{} {unit}", self.0 / factor);
            }
        }
        write!(f, "{} B", self.0)
    }
}

/// Reads a duration with a unit, as in `10s`, `250ms` or `1m30s`.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    if text.parse::<f64>().is_ok() {
        return Err(format!(
            "{text:?} has no unit; did you mean {text}s (seconds) or {text}ms (milliseconds)?"
        ));
    }
    let duration = humantime::parse_duration(text)
        .map_err(|error| format!("{text:?} is not a duration such as 10s or 250ms: {error}"))?;
    if duration > LONGEST_DURATION {
        return Err(format!("{text:?} is longer than a day; give at most 24h"));
    }
    Ok(duration)
}

/// Reads a number of events a second, as in `500`, `10k` or `1.5M/s`: powers of 1000.
pub(crate) fn per_second(text: &str) -> Result<f64, String> {
    let (number, unit) = split_number(text.strip_suffix("/s").unwrap_or(text));
    let factor = match unit {
        "" => Some(1.0),
        "k" => Some(1e3),
        "M" => Some(1e6),
        _ => None,
    };
    let rate = factor.and_then(|factor| Some(number.parse::<f64>().ok()? * factor));
    rate.filter(|rate| (SMALLEST_RATE..=LARGEST_RATE).contains(rate)).ok_or_else(|| {
        format!("{text:?} is not a rate from 0.1 to 10M per second; write it like 500, 10k or 1M/s")
    })
}

/// Reads a share, as in `2%` or `0.5%`.
pub(crate) fn percent(text: &str) -> Result<f64, String> {
    let share = text.strip_suffix('%').and_then(|number| number.parse::<f64>().ok());
    share
        .filter(|share| (0.0..=100.0).contains(share))
        .map(|share| share / 100.0)
        .ok_or_else(|| format!("{text:?} is not a share from 0% to 100%; write it like 2%"))
}

/// Reads a numeric address with a port, as in `127.0.0.1:7777`.
pub(crate) fn address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| {
        format!("{text:?} is not an IP address and a port; write it like 127.0.0.1:7777")
    })
}

/// Splits `16KiB` into `16` and `KiB`.
fn split_number(text: &str) -> (&str, &str) {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    (&text[..end], text[end..].trim_start())
}

const LARGEST_SIZE: f64 = (1u64 << 40) as f64;
const SMALLEST_RATE: f64 = 0.1;
const LARGEST_RATE: f64 = 1e7;
const LONGEST_DURATION: Duration = Duration::from_secs(24 * 60 * 60);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_follow_the_two_families_of_units() {
        for (text, bytes) in [
            ("64", 64),
            ("16KiB", 16_384),
            ("16K", 16_384),
            ("16kB", 16_000),
            ("1.5MiB", 1_572_864),
        ] {
            assert_eq!(text.parse(), Ok(Size(bytes)), "{text}");
        }
    }

    #[test]
    fn a_size_with_a_foreign_unit_names_the_known_ones() {
        let error = "10Mb".parse::<Size>().unwrap_err();
        assert!(error.contains("10Mb") && error.contains("MiB"), "{error}");
        assert!("0.3".parse::<Size>().is_err());
        assert!("-1".parse::<Size>().is_err());
        assert!("9999GiB".parse::<Size>().is_err());
    }

    #[test]
    fn sizes_print_with_the_largest_exact_unit() {
        assert_eq!(Size(16_384).to_string(), "16 KiB");
        assert_eq!(Size(64).to_string(), "64 B");
    }

    #[test]
    fn rates_are_positive_counts_in_powers_of_1000() {
        let rates = ["500", "10k", "1.5M/s", "0.1"].map(per_second);
        assert_eq!(rates, [Ok(500.0), Ok(10e3), Ok(1.5e6), Ok(0.1)]);
        for text in ["0", "-1", "fast", "10K", "11M", "1e3", ""] {
            assert!(per_second(text).unwrap_err().contains("10k"), "{text:?}");
        }
    }

    #[test]
    fn shares_have_their_sign() {
        assert_eq!(["2%", "0.5%", "100%"].map(percent), [Ok(0.02), Ok(0.005), Ok(1.0)]);
        for text in ["2", "-1%", "101%", "%", "x%", "NaN%"] {
            assert!(percent(text).unwrap_err().contains("2%"), "{text:?}");
        }
    }

    #[test]
    fn a_duration_needs_a_unit() {
        assert_eq!(duration("1m30s"), Ok(Duration::from_secs(90)));
        assert_eq!(duration("250ms"), Ok(Duration::from_millis(250)));
        let error = duration("10").unwrap_err();
        assert!(error.contains("10s") && error.contains("10ms"), "{error}");
        assert!(duration("soon").unwrap_err().contains("soon"));
        assert!(duration("25h").unwrap_err().contains("24h"));
    }
}
