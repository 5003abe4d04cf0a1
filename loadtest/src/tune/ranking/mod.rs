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

#[cfg(test)]
mod tests;

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
