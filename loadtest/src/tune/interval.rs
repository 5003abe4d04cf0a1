//! How far apart two candidates are, and how sure that is.
//!
//! Owns the ratios of their figures, the median and the interval of these, and how many rounds that
//! takes; pure. Invariant: an interval is made of two of the ratios themselves (order statistics),
//! so that it holds whatever their distribution, and is so wide that all pairs of candidates
//! together are wrong in one case of twenty (Bonferroni).
//! Source: the interval of the sign test.

use crate::median::median;

/// The ratios of two candidates in each round that counts for both, sorted.
pub(super) fn ratios(mine: &[Option<f64>], others: &[Option<f64>]) -> Vec<f64> {
    let pairs = mine.iter().zip(others);
    let mut ratios: Vec<f64> =
        pairs.filter_map(|(mine, other)| Some((*mine)? / (*other)?)).collect();
    ratios.sort_by(f64::total_cmp);
    ratios
}

/// The median of ratios, by their logarithms: so that of the inverse is the inverse. Of none it is
/// not a number.
pub(super) fn middle(ratios: &[f64]) -> f64 {
    median(ratios.iter().map(|ratio| ratio.ln()).collect()).exp()
}

/// The rounds below which nothing can be told about so many candidates.
pub(super) fn rounds_needed(candidates: usize) -> usize {
    // The widest interval there is, from the least to the most, must be wide enough.
    rounds_for(candidates, 1)
}

/// The rounds from which on one that was disturbed decides nothing: the intervals leave out the
/// least and the most.
pub(super) fn rounds_forgiving(candidates: usize) -> usize {
    rounds_for(candidates, 2)
}

/// The least number of rounds at which intervals are made of figures of this rank.
fn rounds_for(candidates: usize, rank: usize) -> usize {
    let risk = risk(candidates);
    (2 * rank..).find(|&rounds| chance_outside(rounds, rank) <= risk).unwrap_or(usize::MAX)
}

/// The risk that one interval may take, so that all pairs together take [`RISK`].
fn risk(candidates: usize) -> f64 {
    let pairs = candidates * candidates.saturating_sub(1) / 2;
    RISK / pairs.max(1) as f64
}

/// The narrowest interval of two of the sorted figures that holds their median with little risk.
pub(super) fn interval(sorted: &[f64], candidates: usize) -> Option<(f64, f64)> {
    let (rounds, risk) = (sorted.len(), risk(candidates));
    let fits = |&rank: &usize| chance_outside(rounds, rank) <= risk;
    let rank = (1..=rounds / 2).take_while(fits).last()?;
    Some((sorted[rank - 1], sorted[rounds - rank]))
}

/// The chance that a median lies outside the figures of rank `rank` from either end.
fn chance_outside(rounds: usize, rank: usize) -> f64 {
    // Fewer than `rank` of the figures are below the median: 2 · P(Binomial(n, 1/2) < rank).
    let mut term = 0.5f64.powi(i32::try_from(rounds).unwrap_or(i32::MAX));
    let mut sum = 0.0;
    for below in 0..rank {
        sum += term;
        term *= (rounds - below) as f64 / (below + 1) as f64;
    }
    2.0 * sum
}

/// How often all intervals together may miss.
const RISK: f64 = 0.05;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_samples_give_the_known_intervals() {
        let known = [(5, 1, 0.0625), (6, 1, 0.03125), (8, 1, 0.0078125), (8, 2, 0.0703125)];
        for (rounds, rank, chance) in known {
            assert!((chance_outside(rounds, rank) - chance).abs() < 1e-12, "{rounds} {rank}");
        }
        assert!((1.0 - chance_outside(10, 2) - 0.979).abs() < 5e-4);
        assert!((1.0 - chance_outside(20, 6) - 0.959).abs() < 5e-4);
        let sorted: Vec<f64> = (1..=20).map(f64::from).collect();
        assert_eq!(interval(&sorted, 2), Some((6.0, 15.0)));
        assert_eq!(interval(&sorted[..5], 2), None);
        assert!((12..20).all(|rounds| interval(&sorted[..rounds], 8).is_some()));
    }

    #[test]
    fn more_candidates_need_more_rounds() {
        assert_eq!([2, 3, 5, 8, 12].map(rounds_needed), [6, 7, 9, 11, 12]);
    }

    #[test]
    fn with_a_few_more_one_disturbed_round_is_forgiven() {
        for (candidates, rounds) in [(2, 9), (5, 13), (13, 16)] {
            assert_eq!(rounds_forgiving(candidates), rounds);
            let mut ratios = vec![1.0; rounds];
            ratios[rounds - 1] = 9.0;
            assert_eq!(interval(&ratios, candidates), Some((1.0, 1.0)));
            assert_eq!(interval(&ratios[1..], candidates), Some((1.0, 9.0)), "{candidates}");
        }
    }

    #[test]
    fn the_ratio_the_other_way_round_is_the_inverse() {
        let (first, second) = ([1.0, 2.0, 4.0, 8.0].map(Some), [3.0, 1.0, 5.0, 2.0].map(Some));
        let both = middle(&ratios(&first, &second)) * middle(&ratios(&second, &first));
        assert!((both - 1.0).abs() < 1e-12, "{both}");
        assert_eq!(ratios(&[Some(1.0), None, Some(3.0)], &[None, Some(2.0), Some(2.0)]), [1.5]);
    }
}
