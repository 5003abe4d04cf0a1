//! How equal shares are: Jain's index and the spread of a set of rates.
//!
//! Pure arithmetic. Jain's index is (Σx)² / (n·Σx²) = 1/(1 + CV²): 1 when all are equal, 1/n when
//! one has everything.

/// Jain's index of the shares; nothing when there are none or all are zero.
pub(crate) fn jain(shares: &[f64]) -> Option<f64> {
    let sum: f64 = shares.iter().sum();
    let squares: f64 = shares.iter().map(|share| share * share).sum();
    (squares > 0.0).then(|| sum * sum / (shares.len() as f64 * squares))
}

/// Mean and standard deviation (of the whole population) of some figures.
pub(crate) fn mean_and_deviation(values: &[f64]) -> (f64, f64) {
    let count = values.len().max(1) as f64;
    let mean = values.iter().sum::<f64>() / count;
    let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / count;
    (mean, variance.sqrt())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_shares_are_one_and_a_single_owner_is_a_fraction() {
        assert_eq!(jain(&[5.0; 7]), Some(1.0));
        assert_eq!(jain(&[4.0, 0.0, 0.0, 0.0]), Some(0.25));
        assert_eq!(jain(&[0.0, 0.0]), None);
        assert_eq!(jain(&[]), None);
    }

    #[test]
    fn a_ten_percent_spread_is_0_990() {
        let index = jain(&[0.9, 1.1]).unwrap();
        assert!((index - 1.0 / 1.01).abs() < 1e-12, "{index}");
    }

    #[test]
    fn mean_and_deviation_of_a_pair() {
        assert_eq!(mean_and_deviation(&[2.0, 4.0]), (3.0, 1.0));
        assert_eq!(mean_and_deviation(&[]), (0.0, 0.0));
    }
}
