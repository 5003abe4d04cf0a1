//! Which candidate is best, and whether that can be told from chance.
//!
//! Owns the statistics of a tuning; pure. Candidates are compared round by round, because what
//! disturbs a round disturbs all of them: the figure is the ratio of a candidate to the best one in
//! the same round, its estimate is the median over the rounds, and its interval is made of two of
//! the ratios themselves, which holds whatever their distribution. The best one is the one whose
//! largest such loss to any other is the least. As it is chosen after the fact, each interval is so
//! wide that all pairs of candidates together are wrong in one case of twenty (Bonferroni).
//!
//! Invariants: nothing is told with fewer rounds than that takes; a candidate that did not keep up
//! with the load is neither the best nor chosen; one is worse only if its interval excludes 1 and
//! its ratio is beyond the noise threshold, and the same only if both ends of its interval are
//! within the threshold; of those that are not worse the first in the list is chosen, which is the
//! one nearest to the defaults.
//! Source: Abedi & Brecht, ICPE 2017 (interleaving); Kalibera & Jones, ISMM 2013 (fresh processes).

use serde::Serialize;

use super::interval::{interval, middle, ratios, rounds_needed};
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
    /// The candidate to use; none where none kept up.
    pub(crate) choice: Option<usize>,
    /// How many more rounds would tell those that are open, if they go on as they are.
    pub(crate) more_rounds: Option<usize>,
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

/// How one of two candidates compares to the other.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Comparison {
    /// Its figure divided by the other's.
    pub(super) ratio: f64,
    pub(super) interval: Option<(f64, f64)>,
    /// `Best` where it is better; nothing with too few rounds.
    pub(super) standing: Option<Standing>,
}

/// How a candidate compares to the best.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Standing {
    Best,
    /// Within the noise threshold for certain, both ways.
    Same,
    /// Neither one nor the other: more rounds would tell.
    Open,
    Worse,
    /// It did not do what was asked of it, so its figure says nothing.
    Unfit,
}

impl Standing {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Best => "best",
            Self::Same => "same",
            Self::Open => "open",
            Self::Worse => "worse",
            Self::Unfit => "unfit",
        }
    }
}

/// What can be said of all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// All others are worse than the choice, or unfit.
    Winner,
    /// Some are worse or unfit, the others are not told apart.
    Tied,
    /// All are the same as the best.
    NoDifference,
    /// Some are open, and none is worse.
    Inconclusive,
    /// All are unfit.
    NoneFit,
    /// This many rounds would be needed to say anything.
    TooFewRounds { needed: usize },
}

impl Verdict {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Winner => "WINNER",
            Self::Tied => "TIED",
            Self::NoDifference => "NO DIFFERENCE",
            Self::Inconclusive => "INCONCLUSIVE",
            Self::NoneFit => "NONE KEPT UP",
            Self::TooFewRounds { .. } => "TOO FEW ROUNDS",
        }
    }
}

/// Ranks candidates by their figures in each round: `figures[candidate][round]`, positive numbers.
///
/// `fit` says of each whether it kept up; `noise` is the difference that does not matter, as in
/// 0.02.
///
/// # Panics
/// If there is no candidate, or one has fewer rounds than another.
pub(crate) fn rank(figures: &[Vec<f64>], fit: &[bool], aim: Aim, noise: f64) -> Ranking {
    let best = best(figures, fit, aim);
    let needed = rounds_needed(figures.len());
    let enough = figures[best].len() >= needed;
    let row = |candidate: usize| {
        let ratios = ratios(&figures[candidate], &figures[best]);
        let interval = interval(&ratios, figures.len()).filter(|_| candidate != best && enough);
        let ratio = middle(&ratios);
        let standing = match interval {
            _ if !fit[candidate] => Standing::Unfit,
            _ if candidate == best => Standing::Best,
            None => Standing::Open,
            Some(interval) => standing(Loss::new(ratio, interval, aim), noise),
        };
        Row { candidate, median: median(figures[candidate].clone()), ratio, interval, standing }
    };
    let mut rows: Vec<Row> = (0..figures.len()).map(row).collect();
    let place = |row: &Row| (row.standing == Standing::Unfit, row.candidate != best);
    rows.sort_by(|one, other| {
        let better = one.ratio.total_cmp(&other.ratio);
        let better = if aim == Aim::Least { better } else { better.reverse() };
        place(one).cmp(&place(other)).then(better)
    });
    let stand = |standing: Standing| rows.iter().filter(|row| row.standing == standing).count();
    let (beaten, open) = (stand(Standing::Worse) + stand(Standing::Unfit), stand(Standing::Open));
    let verdict = match beaten {
        _ if !fit[best] => Verdict::NoneFit,
        _ if !enough => Verdict::TooFewRounds { needed },
        0 if open > 0 => Verdict::Inconclusive,
        0 => Verdict::NoDifference,
        beaten if beaten + 1 == rows.len() => Verdict::Winner,
        _ => Verdict::Tied,
    };
    let eligible = rows.iter().filter(|row| fit[row.candidate] && row.standing != Standing::Worse);
    let choice = eligible.map(|row| row.candidate).min();
    let open = rows.iter().filter(|row| row.standing == Standing::Open);
    let more = open.filter_map(|row| {
        let loss = Loss::new(row.ratio, row.interval?, aim);
        Some(more_rounds(loss, noise, figures[best].len()))
    });
    Ranking { verdict, choice, more_rounds: more.max(), rows }
}

/// How the second of two candidates, with their figures in each round, compares to the first.
///
/// # Panics
/// If there is no round.
pub(super) fn compare(first: &[f64], second: &[f64], aim: Aim, noise: f64) -> Comparison {
    let ratios = ratios(second, first);
    let (ratio, interval) = (middle(&ratios), interval(&ratios, 2));
    let standing = interval.map(|interval| {
        let loss = Loss::new(ratio, interval, aim);
        match standing(loss, noise) {
            // What is worse the other way round is better.
            Standing::Open if standing(loss.inverse(), noise) == Standing::Worse => Standing::Best,
            standing => standing,
        }
    });
    Comparison { ratio, interval, standing }
}

/// The candidate whose largest loss to any other is the least; of the fit ones, if there are any.
fn best(figures: &[Vec<f64>], fit: &[bool], aim: Aim) -> usize {
    let any_fits = fit.contains(&true);
    let eligible: Vec<usize> =
        (0..figures.len()).filter(|&candidate| fit[candidate] || !any_fits).collect();
    let largest_loss = |&candidate: &usize| {
        let others = eligible.iter().filter(|&&other| other != candidate);
        let losses = others.map(|&other| {
            let ratio = middle(&ratios(&figures[candidate], &figures[other]));
            if aim == Aim::Least { ratio } else { 1.0 / ratio }
        });
        losses.fold(0.0, f64::max)
    };
    let best = eligible.iter().copied().min_by(|one, other| {
        let (one, other) = (largest_loss(one), largest_loss(other));
        one.total_cmp(&other)
    });
    best.expect("there is a candidate")
}

/// A ratio and its interval as a loss: above 1 is worse, whatever the aim.
#[derive(Clone, Copy, Debug)]
struct Loss {
    ratio: f64,
    least: f64,
    most: f64,
}

impl Loss {
    fn new(ratio: f64, (least, most): (f64, f64), aim: Aim) -> Self {
        match aim {
            Aim::Least => Self { ratio, least, most },
            Aim::Most => Self { ratio, least, most }.inverse(),
        }
    }

    /// That of the other one.
    fn inverse(self) -> Self {
        Self { ratio: 1.0 / self.ratio, least: 1.0 / self.most, most: 1.0 / self.least }
    }
}

fn standing(loss: Loss, noise: f64) -> Standing {
    let bar = 1.0 + noise;
    if loss.least > 1.0 && loss.ratio > bar {
        Standing::Worse
    } else if loss.least >= 1.0 / bar && loss.most <= bar {
        Standing::Same
    } else {
        Standing::Open
    }
}

/// How many more rounds would tell what is open after `rounds`, if the estimate stays and the
/// interval narrows with the root of their number; [`usize::MAX`] where no number would.
fn more_rounds(loss: Loss, noise: f64, rounds: usize) -> usize {
    let (estimate, bar) = (loss.ratio.ln(), (1.0 + noise).ln());
    let half_width = (loss.most.ln() - estimate).max(estimate - loss.least.ln());
    // Beyond the threshold it has to exclude 1, within it has to be within altogether.
    let room = if estimate > bar { estimate } else { bar - estimate.abs() };
    let more = rounds as f64 * ((half_width / room).powi(2) - 1.0);
    if room > 0.0 && more < 1e9 { (more.ceil() as usize).max(1) } else { usize::MAX }
}

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

    /// With all of them fit.
    fn ranked(figures: &[Vec<f64>], aim: Aim, noise: f64) -> Ranking {
        rank(figures, &vec![true; figures.len()], aim, noise)
    }

    fn standings(ranking: &Ranking) -> Vec<(usize, Standing)> {
        ranking.rows.iter().map(|row| (row.candidate, row.standing)).collect()
    }

    #[test]
    fn a_clear_winner_is_told_through_common_disturbance() {
        let figures = [rounds(11.0, 12, 0), rounds(10.0, 12, 1), rounds(12.0, 12, 2)];
        let ranking = ranked(&figures, Aim::Least, 0.02);
        assert_eq!(ranking.verdict, Verdict::Winner);
        assert_eq!(ranking.choice, Some(1));
        use Standing::{Best, Worse};
        assert_eq!(standings(&ranking), [(1, Best), (0, Worse), (2, Worse)]);
        let (least, most) = ranking.rows[1].interval.unwrap();
        assert!(least > 1.09 && least <= ranking.rows[1].ratio && most < 1.11);
    }

    #[test]
    fn the_most_wins_where_more_is_better() {
        let figures = [rounds(11.0, 12, 0), rounds(10.0, 12, 1)];
        let ranking = ranked(&figures, Aim::Most, 0.02);
        assert_eq!((ranking.verdict, ranking.choice), (Verdict::Winner, Some(0)));
        assert!(ranking.rows[1].ratio < 0.92);
    }

    #[test]
    fn without_a_difference_there_is_none_and_the_first_is_chosen() {
        let figures = [rounds(10.01, 12, 0), rounds(10.02, 12, 1), rounds(10.0, 12, 2)];
        let ranking = ranked(&figures, Aim::Least, 0.02);
        assert_eq!((ranking.verdict, ranking.choice), (Verdict::NoDifference, Some(0)));
        assert!(ranking.rows[1..].iter().all(|row| row.standing == Standing::Same), "{ranking:?}");
    }

    #[test]
    fn a_difference_below_the_threshold_does_not_matter() {
        let figures = [rounds(10.15, 12, 0), rounds(10.0, 12, 0)];
        let same = ranked(&figures, Aim::Least, 0.02);
        assert_eq!((same.verdict, same.choice), (Verdict::NoDifference, Some(0)));
        let told = ranked(&figures, Aim::Least, 0.01);
        assert_eq!((told.verdict, told.choice), (Verdict::Winner, Some(1)));
    }

    #[test]
    fn a_wide_spread_leaves_it_open() {
        let wild = |sign: f64| -> Vec<f64> {
            (0..12).map(|n| 10.0 * (1.0 + sign * if n % 2 == 0 { 0.2 } else { -0.19 })).collect()
        };
        let ranking = ranked(&[wild(1.0), wild(-1.0)], Aim::Least, 0.02);
        assert_eq!(ranking.rows[1].standing, Standing::Open);
        assert_eq!((ranking.verdict, ranking.choice), (Verdict::Inconclusive, Some(0)));
        assert!(ranking.more_rounds.unwrap() > 100, "{ranking:?}");
    }

    #[test]
    fn some_may_tie_for_the_first_place() {
        let figures = [rounds(12.0, 12, 0), rounds(10.0, 12, 1), rounds(10.01, 12, 2)];
        let ranking = ranked(&figures, Aim::Least, 0.02);
        assert_eq!((ranking.verdict, ranking.choice), (Verdict::Tied, Some(1)));
    }

    #[test]
    fn the_best_is_best_in_the_rounds_and_not_in_the_middle_of_all() {
        // The second is better by a twentieth in ten rounds of twelve; in the two rounds whose
        // figures are the middle ones of all it is worse, so its own median is worse.
        let first: Vec<f64> = (1..=12).map(f64::from).collect();
        let apart = |figure: &f64| figure * if (6.0..=7.0).contains(figure) { 1.3 } else { 0.95 };
        let second: Vec<f64> = first.iter().map(apart).collect();
        assert!(median(second.clone()) > median(first.clone()));
        let ranking = ranked(&[first, second], Aim::Least, 0.02);
        use Standing::{Best, Worse};
        assert_eq!(standings(&ranking), [(1, Best), (0, Worse)]);
    }

    #[test]
    fn the_same_is_within_the_noise_at_both_ends() {
        let of = |least, most| standing(Loss::new(1.0, (least, most), Aim::Least), 0.02);
        assert_eq!(of(0.99, 1.01), Standing::Same);
        assert_eq!(of(0.99, 1.03), Standing::Open);
        assert_eq!(of(0.90, 1.01), Standing::Open, "it may be the better one");
    }

    #[test]
    fn one_that_is_open_is_no_sign_of_no_difference() {
        let even = rounds(10.0, 12, 0);
        let wild = |(n, figure): (usize, &f64)| figure * if n % 2 == 0 { 1.1 } else { 0.9 };
        let wild = even.iter().enumerate().map(wild).collect();
        let figures = [even.clone(), even, wild];
        let ranking = ranked(&figures, Aim::Least, 0.02);
        assert_eq!(ranking.verdict, Verdict::Inconclusive);
        assert!(ranking.more_rounds.is_some());
        assert_eq!(ranked(&figures[..2], Aim::Least, 0.02).more_rounds, None);
    }

    #[test]
    fn the_rounds_that_are_missing_follow_from_the_width() {
        let more = |ratio: f64, width: f64| {
            let loss = Loss { ratio, least: ratio / width, most: ratio * width };
            more_rounds(loss, 0.02, 12)
        };
        // To halve an interval takes four times the rounds.
        assert_eq!(more(1.0, 1.02f64.powi(2) - 1e-9), 36);
        assert_eq!(more(1.1, 1.1f64.powi(2) - 1e-9), 36);
        assert_eq!(more(1.1, 1.05), 1, "it would be told already if the interval were even");
        assert_eq!(more(1.02, 1.05), usize::MAX, "on the threshold nothing is told");
    }

    #[test]
    fn of_two_the_second_is_worse_better_or_the_same() {
        let stands = |first: f64, second: f64, count: usize, aim| {
            let (first, second) = (rounds(first, count, 0), rounds(second, count, 1));
            compare(&first, &second, aim, 0.02).standing
        };
        assert_eq!(stands(10.0, 11.0, 12, Aim::Least), Some(Standing::Worse));
        assert_eq!(stands(10.0, 11.0, 12, Aim::Most), Some(Standing::Best));
        assert_eq!(stands(11.0, 10.0, 12, Aim::Least), Some(Standing::Best));
        assert_eq!(stands(10.0, 10.0, 12, Aim::Least), Some(Standing::Same));
        assert_eq!(stands(10.0, 11.0, 5, Aim::Least), None);
    }

    #[test]
    fn what_did_not_keep_up_is_neither_best_nor_chosen() {
        let figures = [rounds(11.0, 12, 0), rounds(5.0, 12, 1), rounds(12.0, 12, 2)];
        let ranking = rank(&figures, &[true, false, true], Aim::Least, 0.02);
        use Standing::{Best, Unfit, Worse};
        assert_eq!(standings(&ranking), [(0, Best), (2, Worse), (1, Unfit)]);
        assert_eq!((ranking.verdict, ranking.choice), (Verdict::Winner, Some(0)));
        let none = rank(&figures, &[false; 3], Aim::Least, 0.02);
        assert_eq!((none.verdict, none.choice), (Verdict::NoneFit, None));
    }

    #[test]
    fn too_few_rounds_tell_nothing_however_clear_they_look() {
        let figures = [rounds(20.0, 5, 0), rounds(10.0, 5, 1)];
        let ranking = ranked(&figures, Aim::Least, 0.02);
        assert_eq!(ranking.verdict, Verdict::TooFewRounds { needed: 6 });
        assert_eq!(ranking.rows[1].interval, None);
        assert_eq!(ranking.choice, Some(0));
    }

    #[test]
    fn equal_candidates_are_seldom_told_apart() {
        let mut told = 0;
        for seed in 0..200 {
            let mut random = SmallRng::seed_from_u64(seed);
            let mut candidate =
                || -> Vec<f64> { (0..12).map(|_| 1.0 + 0.3 * random.random::<f64>()).collect() };
            let figures: Vec<Vec<f64>> = (0..6).map(|_| candidate()).collect();
            let verdict = ranked(&figures, Aim::Least, 0.02).verdict;
            told += usize::from(matches!(verdict, Verdict::Winner | Verdict::Tied));
        }
        assert!(told <= 10, "{told} of 200 seeds, from 0, found a difference that is not there");
    }

    #[test]
    fn a_single_candidate_is_compared_to_nobody() {
        let ranking = ranked(&[rounds(1.0, 6, 0)], Aim::Least, 0.02);
        assert_eq!((ranking.rows.len(), ranking.choice), (1, Some(0)));
        assert_eq!(ranking.rows[0].standing, Standing::Best);
    }
}
