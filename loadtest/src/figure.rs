//! Numbers for people: three significant digits and a unit.
//!
//! Owns the formatting of figures in tables and sentences. Machine formats never use it.

/// `1.23M`, `45.6k`, `789`.
pub(crate) fn count(value: f64) -> String {
    scaled(value, &["", "k", "M", "G", "T"])
}

/// `1.05 MB`.
pub(crate) fn bytes(value: f64) -> String {
    scaled(value, &[" B", " kB", " MB", " GB", " TB"])
}

/// `12.3 us`, `4.56 ms`, `1.20 s`, or `n/a`.
pub(crate) fn microseconds(value: Option<f64>) -> String {
    value.map_or_else(|| "n/a".to_owned(), |us| scaled(us, &[" us", " ms", " s"]))
}

/// A ratio or an index close to one, or `n/a`.
pub(crate) fn four_decimals(value: Option<f64>) -> String {
    value.map_or_else(|| "n/a".to_owned(), |value| format!("{value:.4}"))
}

/// A plain figure with three significant digits, or `n/a`.
pub(crate) fn plain(value: Option<f64>) -> String {
    value.map_or_else(|| "n/a".to_owned(), three_digits)
}

fn scaled(value: f64, units: &[&str]) -> String {
    let (mut value, mut index) = (value, 0);
    while value.abs() >= 999.5 && index + 1 < units.len() {
        value /= 1000.0;
        index += 1;
    }
    format!("{}{}", three_digits(value), units[index])
}

fn three_digits(value: f64) -> String {
    let digits = match value.abs() {
        v if v == 0.0 || v >= 99.95 => 0,
        v if v >= 9.995 => 1,
        v if v >= 0.9995 => 2,
        _ => 3,
    };
    // A whole number needs no decimals until it is rounded.
    if value.fract() == 0.0 && value.abs() < 10.0 && digits == 2 {
        return format!("{value:.0}");
    }
    format!("{value:.digits$}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_have_three_digits_and_a_unit() {
        assert_eq!(count(224_318.0), "224k");
        assert_eq!(count(999_700.0), "1.00M");
        assert_eq!(bytes(500.0), "500 B");
        assert_eq!(microseconds(Some(1234.5)), "1.23 ms");
        assert_eq!(microseconds(None), "n/a");
        assert_eq!(plain(Some(2.0234)), "2.02");
        assert_eq!(plain(Some(0.0903)), "0.090");
        assert_eq!(plain(Some(0.0)), "0");
    }
}
