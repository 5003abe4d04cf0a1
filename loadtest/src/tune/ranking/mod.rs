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
//! within the threshold and the client was not the limit of either figure; of those that are not
//! worse the first in the list is chosen, which is the one nearest to the defaults.
//! Source: Abedi & Brecht, ICPE 2017 (interleaving); Kalibera & Jones, ISMM 2013 (fresh processes).

use serde::Serialize;

use self::loss::{Loss, loss};
use super::interval::{interval, middle, ratios, rounds_needed};
use crate::median::median;

mod loss;
#[cfg(test)]
mod tests;

/// Whether less of a figure is better, or more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Aim {
    Least,
    Most,
}

/// What is told apart.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Terms {
    pub(crate) aim: Aim,
    /// The difference that does not matter, as in 0.02.
    pub(crate) noise: f64,
    /// Where the client is the limit, the figure is the client's.
    pub(crate) client_hides: bool,
}

/// What the trials of a candidate gave.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Sample {
    /// Of each round, a positive number; none where its trial does not count.
    pub(crate) figures: Vec<Option<f64>>,
    /// It did in every trial that counts what was asked of it.
    pub(crate) kept_up: bool,
    /// In one of them the client was the limit.
    pub(crate) client_bound: bool,
}

impl Sample {
    /// Nothing yet.
    pub(super) fn new(rounds: usize) -> Self {
        Self { figures: Vec::with_capacity(rounds), kept_up: true, client_bound: false }
    }

    /// The rounds that count.
    pub(super) fn counted(&self) -> usize {
        self.figures.iter().flatten().count()
    }

    /// The figure in the middle.
    pub(super) fn median(&self) -> Option<f64> {
        let figures: Vec<f64> = self.figures.iter().copied().flatten().collect();
        (!figures.is_empty()).then(|| median(figures))
    }
}

/// What came out.
#[derive(Debug)]
pub(crate) struct Ranking {
    /// Best first.
    pub(crate) rows: Vec<Row>,
    pub(crate) verdict: Verdict,
    /// The rounds of the best that count.
    pub(crate) counted: usize,
    /// The candidate to use; none where none kept up.
    pub(crate) choice: Option<usize>,
    /// How far it is behind the best as estimated, as in 0.1, where that is beyond the noise.
    pub(crate) behind: Option<f64>,
    /// How many more rounds would tell those that are open, if they go on as they are.
    pub(crate) more_rounds: Option<usize>,
}

/// A candidate's figures.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Row {
    pub(crate) candidate: usize,
    pub(crate) median: Option<f64>,
    /// Its figure divided by the best one's; not a number where no round has both.
    pub(crate) ratio: f64,
    /// Where the ratio lies; absent with too few rounds, and for the best itself.
    pub(crate) interval: Option<(f64, f64)>,
    pub(crate) standing: Standing,
    /// Why it is open.
    pub(crate) doubt: Option<Doubt>,
}

/// How one of two candidates compares to the other.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Comparison {
    /// Its figure divided by the other's.
    pub(super) ratio: f64,
    pub(super) interval: Option<(f64, f64)>,
    /// `Best` where it is better.
    pub(super) standing: Standing,
    pub(super) doubt: Option<Doubt>,
}

/// How a candidate compares to the best.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Standing {
    Best,
    /// Within the noise threshold for certain, both ways.
    Same,
    /// Neither one nor the other.
    Open,
    Worse,
    /// It did not do what was asked of it, so its figure says nothing.
    Unfit,
}

/// Why a comparison is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Doubt {
    /// Too few rounds count.
    Few,
    /// They look alike, and the client was the limit.
    Client,
    /// They differ, but perhaps by no more than the noise; so many more rounds would tell.
    Little { more: usize },
    /// They may be no different; so many more rounds would tell.
    Wide { more: usize },
}

impl Doubt {
    /// How many more rounds would tell, if they go on as they are.
    pub(super) fn more(self) -> Option<usize> {
        match self {
            Self::Few | Self::Client => None,
            Self::Little { more } | Self::Wide { more } => Some(more),
        }
    }
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
    /// All others are worse than the choice or unfit, and one at least is worse.
    Winner,
    /// All others are unfit.
    Alone,
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
            Self::Alone => "ONE KEPT UP",
            Self::Tied => "TIED",
            Self::NoDifference => "NO DIFFERENCE",
            Self::Inconclusive => "INCONCLUSIVE",
            Self::NoneFit => "NONE KEPT UP",
            Self::TooFewRounds { .. } => "TOO FEW ROUNDS",
        }
    }
}

impl Ranking {
    /// How many candidates stand so.
    pub(crate) fn count(&self, standing: Standing) -> usize {
        self.rows.iter().filter(|row| row.standing == standing).count()
    }
}

/// Ranks candidates by what their trials gave.
///
/// # Panics
/// If there is no candidate.
pub(crate) fn rank(samples: &[Sample], terms: Terms) -> Ranking {
    let aim = terms.aim;
    let needed = rounds_needed(samples.len());
    let best = best(samples, aim, needed);
    let counted = samples[best].counted();
    let row = |candidate: usize| {
        let sample = &samples[candidate];
        let against = against(sample, &samples[best], samples.len(), terms);
        let (interval, standing, doubt) = match against {
            _ if !sample.kept_up => (against.interval, Standing::Unfit, None),
            _ if candidate == best => (None, Standing::Best, None),
            against => (against.interval, against.standing, against.doubt),
        };
        let (ratio, median) = (against.ratio, sample.median());
        Row { candidate, median, ratio, interval, standing, doubt }
    };
    let mut rows: Vec<Row> = (0..samples.len()).map(row).collect();
    let place = |row: &Row| (row.standing == Standing::Unfit, row.candidate != best);
    rows.sort_by(|one, other| {
        let better = loss(one.ratio, aim).total_cmp(&loss(other.ratio, aim));
        place(one).cmp(&place(other)).then(better)
    });
    let is_told = counted >= needed;
    let mut ranking = Ranking {
        verdict: Verdict::NoneFit,
        choice: choice(&rows, is_told),
        counted,
        behind: None,
        more_rounds: rows.iter().filter_map(|row| row.doubt?.more()).max(),
        rows,
    };
    let chosen = ranking.rows.iter().find(|row| Some(row.candidate) == ranking.choice);
    let behind = chosen.map(|row| loss(row.ratio, aim) - 1.0);
    ranking.behind = behind.filter(|&behind| behind > terms.noise && is_told);
    ranking.verdict = match is_told {
        _ if !samples[best].kept_up => Verdict::NoneFit,
        false => Verdict::TooFewRounds { needed },
        true => verdict(&ranking),
    };
    ranking
}

/// What can be said where the best kept up and has rounds enough.
fn verdict(ranking: &Ranking) -> Verdict {
    let [worse, unfit, open] =
        [Standing::Worse, Standing::Unfit, Standing::Open].map(|standing| ranking.count(standing));
    let others = ranking.rows.len() - 1;
    match (worse, unfit, open) {
        (0, 0, 0) => Verdict::NoDifference,
        (0, 0, _) => Verdict::Inconclusive,
        (0, unfit, _) if unfit == others => Verdict::Alone,
        (worse, unfit, _) if worse + unfit == others => Verdict::Winner,
        _ => Verdict::Tied,
    }
}

/// The first of those that are not worse; where anything is told, of those that were compared.
fn choice(rows: &[Row], is_told: bool) -> Option<usize> {
    let is_left = |row: &&Row| match row.standing {
        Standing::Best | Standing::Same => true,
        Standing::Open => row.doubt != Some(Doubt::Few) || !is_told,
        Standing::Worse | Standing::Unfit => false,
    };
    rows.iter().filter(is_left).map(|row| row.candidate).min()
}

/// How the second of two candidates compares to the first.
pub(super) fn compare(first: &Sample, second: &Sample, terms: Terms) -> Comparison {
    let comparison = against(second, first, 2, terms);
    let Comparison { ratio, interval, standing, .. } = comparison;
    let inverse = interval.map(|interval| Loss::new(ratio, interval, terms.aim).inverse());
    match inverse.map(|inverse| inverse.standing(terms.noise)) {
        // What is worse the other way round is better.
        Some(Standing::Worse) if standing == Standing::Open => {
            Comparison { standing: Standing::Best, doubt: None, ..comparison }
        }
        _ => comparison,
    }
}

/// How a candidate compares to another one of so many.
fn against(
    mine: &Sample,
    other: &Sample,
    candidates: usize,
    Terms { aim, noise, client_hides }: Terms,
) -> Comparison {
    let ratios = ratios(&mine.figures, &other.figures);
    let (ratio, interval) = (middle(&ratios), interval(&ratios, candidates));
    let hidden = client_hides && (mine.client_bound || other.client_bound);
    let (standing, doubt) = match interval.map(|interval| Loss::new(ratio, interval, aim)) {
        None => (Standing::Open, Some(Doubt::Few)),
        Some(loss) => match loss.standing(noise) {
            // A server that could do more would look like this one, however many rounds.
            Standing::Same | Standing::Open if hidden && loss.is_within(noise) => {
                (Standing::Open, Some(Doubt::Client))
            }
            Standing::Open => (Standing::Open, Some(loss.doubt(noise, ratios.len()))),
            standing => (standing, None),
        },
    };
    Comparison { ratio, interval, standing, doubt }
}

/// The candidate whose largest loss to any other is the least; of the fit ones with enough rounds,
/// if there are any.
fn best(samples: &[Sample], aim: Aim, needed: usize) -> usize {
    let short = |sample: &Sample| (!sample.kept_up, needed.saturating_sub(sample.counted()));
    let least_short = samples.iter().map(short).min();
    let eligible: Vec<usize> = (0..samples.len())
        .filter(|&candidate| Some(short(&samples[candidate])) == least_short)
        .collect();
    let largest_loss = |&candidate: &usize| {
        let others = eligible.iter().filter(|&&other| other != candidate);
        let losses = others.map(|&other| {
            let ratios = ratios(&samples[candidate].figures, &samples[other].figures);
            loss(middle(&ratios), aim)
        });
        losses.fold(0.0, f64::max)
    };
    let best = eligible.iter().copied().min_by(|one, other| {
        let (one, other) = (largest_loss(one), largest_loss(other));
        one.total_cmp(&other)
    });
    best.expect("there is a candidate")
}
