//! Which candidate is best, and whether that can be told from chance.
//!
//! Owns the statistics of a tuning; pure. Candidates are compared round by round, because what
//! disturbs a round disturbs all of them: the figure is the ratio of a candidate to the best one in
//! the same round, its estimate is the median over the rounds, and its interval is made of two of
//! the ratios themselves, which holds whatever their distribution. As the best one is chosen after
//! the fact, each interval is so wide that all pairs of candidates together are wrong in one case
//! of twenty (Bonferroni).
//!
//! Invariants: nothing is told with fewer rounds than that takes; a candidate is worse only if its
//! interval excludes 1 and its ratio is beyond the noise threshold; of those that are not worse the
//! first in the list is chosen, which is the one nearest to the defaults.
//! Source: Abedi & Brecht, ICPE 2017 (interleaving); Kalibera & Jones, ISMM 2013 (fresh processes).

use serde::Serialize;

use crate::median::median;

/// Whether less of a figure is better, or more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Aim {
    Least,
    Most,
}

/// What came out.
#[derive(Debug)]
pub(crate) struct Ranking {
    /// Best first.
    pub(crate) rows: Vec<Row>,
    pub(crate) verdict: Verdict,
    /// The candidate to use.
    pub(crate) choice: usize,
}

/// A candidate's figures.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Row {
    pub(crate) candidate: usize,
    pub(crate) median: f64,
    /// Its figure divided by the best one's.
    pub(crate) ratio: f64,
    /// Where the ratio lies; absent with too few rounds, and for the best itself.
    pub(crate) interval: Option<(f64, f64)>,
    pub(crate) standing: Standing,
}

/// How a candidate compares to the best.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Standing {
    Best,
    /// Within the noise threshold for certain.
    Same,
    /// Neither one nor the other: more rounds would tell.
    Open,
    Worse,
}

impl Standing {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Best => "best",
            Self::Same => "same",
            Self::Open => "open",
            Self::Worse => "worse",
        }
    }
}

/// What can be said of all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// All others are worse than the choice.
    Winner,
    /// Some are worse, the others are not told apart.
    Tied,
    /// None is worse than the best.
    NoDifference,
    /// This many rounds would be needed to say anything.
    TooFewRounds { needed: usize },
}

impl Verdict {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Winner => "WINNER",
            Self::Tied => "TIED",
            Self::NoDifference => "NO DIFFERENCE",
            Self::TooFewRounds { .. } => "TOO FEW ROUNDS",
        }
    }
}

/// Ranks candidates by their figures in each round: `figures[candidate][round]`, positive numbers.
///
/// `noise` is the difference that does not matter, as in 0.02.
///
/// # Panics
/// If there is no candidate, or one has fewer rounds than another.
pub(crate) fn rank(figures: &[Vec<f64>], aim: Aim, noise: f64) -> Ranking {
    let medians: Vec<f64> = figures.iter().map(|rounds| median(rounds.clone())).collect();
    let mut order: Vec<usize> = (0..figures.len()).collect();
    order.sort_by(|&one, &other| {
        let order = medians[one].total_cmp(&medians[other]);
        if aim == Aim::Least { order } else { order.reverse() }
    });
    let best = *order.first().expect("there is a candidate");
    let needed = rounds_needed(figures.len());
    let enough = figures[best].len() >= needed;
    let row = |&candidate: &usize| {
        let pairs = figures[candidate].iter().zip(&figures[best]);
        let mut ratios: Vec<f64> = pairs.map(|(figure, best)| figure / best).collect();
        ratios.sort_by(f64::total_cmp);
        let is_best = candidate == best;
        let interval = interval(&ratios, figures.len()).filter(|_| !is_best && enough);
        let ratio = median(ratios);
        let standing = match interval {
            _ if is_best => Standing::Best,
            None => Standing::Open,
            Some(interval) => standing(ratio, interval, aim, noise),
        };
        Row { candidate, median: medians[candidate], ratio, interval, standing }
    };
    let rows: Vec<Row> = order.iter().map(row).collect();
    let worse = rows.iter().filter(|row| row.standing == Standing::Worse).count();
    let verdict = match worse {
        _ if !enough => Verdict::TooFewRounds { needed },
        0 => Verdict::NoDifference,
        worse if worse + 1 == rows.len() => Verdict::Winner,
        _ => Verdict::Tied,
    };
    let eligible = rows.iter().filter(|row| row.standing != Standing::Worse);
    let choice = eligible.map(|row| row.candidate).min().unwrap_or(best);
    Ranking { rows, verdict, choice }
}

/// The rounds below which nothing can be told about so many candidates.
pub(crate) fn rounds_needed(candidates: usize) -> usize {
    // The widest interval there is, from the least to the most, must be wide enough.
    (1..).find(|&rounds| chance_outside(rounds, 1) <= risk(candidates)).unwrap_or(usize::MAX)
}

/// The risk that one interval may take, so that all pairs together take [`RISK`].
fn risk(candidates: usize) -> f64 {
    let pairs = candidates * candidates.saturating_sub(1) / 2;
    RISK / pairs.max(1) as f64
}

/// The narrowest interval of two of the sorted figures that holds their median with little risk.
fn interval(sorted: &[f64], candidates: usize) -> Option<(f64, f64)> {
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

fn standing(ratio: f64, (least, most): (f64, f64), aim: Aim, noise: f64) -> Standing {
    // As a loss: above 1 is worse, whatever the aim.
    let (ratio, least, most) = match aim {
        Aim::Least => (ratio, least, most),
        Aim::Most => (1.0 / ratio, 1.0 / most, 1.0 / least),
    };
    if least > 1.0 && ratio > 1.0 + noise {
        Standing::Worse
    } else if most <= 1.0 + noise {
        Standing::Same
    } else {
        Standing::Open
    }
}

/// How often all intervals together may miss.
const RISK: f64 = 0.05;

#[cfg(test)]
mod tests {
    use rand::rngs::SmallRng;
    use rand::{RngExt, SeedableRng};

    use super::*;

    /// Rounds around a figure, each disturbed by as much for all candidates and a little apart.
    fn rounds(figure: f64, count: usize, own: u64) -> Vec<f64> {
        let disturbed = |round: usize| {
            let common = 1.0 + (round % 4) as f64 / 4.0;
            let apart = (round as u64 * 7 + own * 3) % 5;
            figure * common * (1.0 + apart as f64 / 1000.0)
        };
        (0..count).map(disturbed).collect()
    }

    fn standings(ranking: &Ranking) -> Vec<(usize, Standing)> {
        ranking.rows.iter().map(|row| (row.candidate, row.standing)).collect()
    }

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
    fn a_clear_winner_is_told_through_common_disturbance() {
        let figures = [rounds(11.0, 12, 0), rounds(10.0, 12, 1), rounds(12.0, 12, 2)];
        let ranking = rank(&figures, Aim::Least, 0.02);
        assert_eq!(ranking.verdict, Verdict::Winner);
        assert_eq!(ranking.choice, 1);
        use Standing::{Best, Worse};
        assert_eq!(standings(&ranking), [(1, Best), (0, Worse), (2, Worse)]);
        let (least, most) = ranking.rows[1].interval.unwrap();
        assert!(least > 1.09 && least <= ranking.rows[1].ratio && most < 1.11);
    }

    #[test]
    fn the_most_wins_where_more_is_better() {
        let figures = [rounds(11.0, 12, 0), rounds(10.0, 12, 1)];
        let ranking = rank(&figures, Aim::Most, 0.02);
        assert_eq!((ranking.verdict, ranking.choice), (Verdict::Winner, 0));
        assert!(ranking.rows[1].ratio < 0.92);
    }

    #[test]
    fn without_a_difference_there_is_none_and_the_first_is_chosen() {
        let figures = [rounds(10.01, 12, 0), rounds(10.02, 12, 1), rounds(10.0, 12, 2)];
        let ranking = rank(&figures, Aim::Least, 0.02);
        assert_eq!((ranking.verdict, ranking.choice), (Verdict::NoDifference, 0));
        assert!(ranking.rows[1..].iter().all(|row| row.standing == Standing::Same), "{ranking:?}");
    }

    #[test]
    fn a_difference_below_the_threshold_does_not_matter() {
        let figures = [rounds(10.15, 12, 0), rounds(10.0, 12, 0)];
        let same = rank(&figures, Aim::Least, 0.02);
        assert_eq!((same.verdict, same.choice), (Verdict::NoDifference, 0));
        let told = rank(&figures, Aim::Least, 0.01);
        assert_eq!((told.verdict, told.choice), (Verdict::Winner, 1));
    }

    #[test]
    fn a_wide_spread_leaves_it_open() {
        let wild = |sign: f64| -> Vec<f64> {
            (0..12).map(|n| 10.0 * (1.0 + sign * if n % 2 == 0 { 0.2 } else { -0.19 })).collect()
        };
        let ranking = rank(&[wild(1.0), wild(-1.0)], Aim::Least, 0.02);
        assert_eq!(ranking.rows[1].standing, Standing::Open);
        assert_eq!((ranking.verdict, ranking.choice), (Verdict::NoDifference, 0));
    }

    #[test]
    fn some_may_tie_for_the_first_place() {
        let figures = [rounds(12.0, 12, 0), rounds(10.0, 12, 1), rounds(10.01, 12, 2)];
        let ranking = rank(&figures, Aim::Least, 0.02);
        assert_eq!((ranking.verdict, ranking.choice), (Verdict::Tied, 1));
    }

    #[test]
    fn too_few_rounds_tell_nothing_however_clear_they_look() {
        let figures = [rounds(20.0, 5, 0), rounds(10.0, 5, 1)];
        let ranking = rank(&figures, Aim::Least, 0.02);
        assert_eq!(ranking.verdict, Verdict::TooFewRounds { needed: 6 });
        assert_eq!(ranking.rows[1].interval, None);
        assert_eq!(ranking.choice, 0);
    }

    #[test]
    fn equal_candidates_are_seldom_told_apart() {
        let mut told = 0;
        for seed in 0..200 {
            let mut random = SmallRng::seed_from_u64(seed);
            let mut candidate =
                || -> Vec<f64> { (0..12).map(|_| 1.0 + 0.3 * random.random::<f64>()).collect() };
            let figures: Vec<Vec<f64>> = (0..6).map(|_| candidate()).collect();
            let verdict = rank(&figures, Aim::Least, 0.02).verdict;
            told += usize::from(verdict != Verdict::NoDifference);
        }
        assert!(told <= 10, "{told} of 200 seeds, from 0, found a difference that is not there");
    }

    #[test]
    fn a_single_candidate_is_compared_to_nobody() {
        let ranking = rank(&[rounds(1.0, 6, 0)], Aim::Least, 0.02);
        assert_eq!((ranking.rows.len(), ranking.choice), (1, 0));
        assert_eq!(ranking.rows[0].standing, Standing::Best);
    }
}
