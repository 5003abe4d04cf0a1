//! The trials of a tuning, round by round.
//!
//! Owns their order: rounds of one trial of every candidate, in an order drawn anew for each round,
//! until the rounds or the time are used up or a trial fails. Invariants: a round counts for all
//! candidates or for none; one round at least is begun; what was taken before a failure is kept.

use std::time::Duration;

use rand::SeedableRng;
use rand::rngs::SmallRng;
use rand::seq::SliceRandom;

use super::report;
use crate::exit::{Failure, Outcome};
use crate::verdict::Remark;

/// How many are to be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Plan {
    pub(super) candidates: usize,
    pub(super) rounds: usize,
    /// How long one takes, but for the start of its server.
    pub(super) trial: Duration,
    /// Time after which no further round begins.
    pub(super) budget: Duration,
    /// What the orders are drawn from.
    pub(super) seed: u64,
}

/// What one trial gave.
#[derive(Clone, Debug)]
pub(super) struct Trial {
    pub(super) figure: f64,
    /// The names of its remarks.
    pub(super) remarks: Vec<&'static str>,
}

/// What all of them gave.
#[derive(Debug, Default)]
pub(super) struct Trials {
    /// Of each candidate, one for each round.
    pub(super) figures: Vec<Vec<f64>>,
    /// Whether each candidate did in every trial what was asked of it.
    pub(super) kept_up: Vec<bool>,
    pub(super) count: usize,
    pub(super) noisy: usize,
    pub(super) client_bound: usize,
    /// The time was up before all rounds were taken.
    pub(super) budget_ended: bool,
    /// What ended them before all were taken.
    pub(super) failure: Option<Failed>,
}

/// A trial that could not be taken.
#[derive(Debug)]
pub(super) struct Failed {
    pub(super) candidate: usize,
    pub(super) round: usize,
    pub(super) failure: Failure,
}

impl Plan {
    /// How long all take, but for the starts of servers.
    pub(super) fn length(&self) -> Duration {
        self.trial * u32::try_from(self.candidates * self.rounds).unwrap_or(u32::MAX)
    }
}

impl Trial {
    pub(super) fn new(figure: f64, remarks: &[Remark]) -> Self {
        Self { figure, remarks: remarks.iter().map(|remark| remark.name).collect() }
    }
}

impl Failed {
    /// What the command ends with; `flags` are those of the candidate.
    pub(super) fn of(self, flags: &str) -> Failure {
        let (flags, source) = (report::named(flags).to_owned(), Box::new(self.failure));
        Failure::Trial { flags, round: self.round, source }
    }
}

impl Trials {
    /// The rounds that count.
    pub(super) fn rounds(&self) -> usize {
        self.figures.first().map_or(0, Vec::len)
    }

    fn count(&mut self, candidate: usize, trial: &Trial) {
        let said = |name| trial.remarks.contains(&name);
        self.count += 1;
        self.noisy += usize::from(said("NOISY"));
        self.client_bound += usize::from(said("CLIENT-BOUND"));
        self.kept_up[candidate] &= !said("OVERLOADED") && !said("ERRORS");
    }
}

/// Takes them: `trial` is given a candidate and the number of the round, from 1 on; `elapsed` is
/// the time since the beginning.
pub(super) fn take(
    plan: &Plan,
    mut elapsed: impl FnMut() -> Duration,
    mut trial: impl FnMut(usize, usize) -> Outcome<Trial>,
) -> Trials {
    let count = plan.candidates;
    let figures = vec![Vec::with_capacity(plan.rounds); count];
    let mut trials = Trials { figures, kept_up: vec![true; count], ..Trials::default() };
    let mut random = SmallRng::seed_from_u64(plan.seed);
    let mut longest = Duration::ZERO;
    for round in 1..=plan.rounds {
        let begun = elapsed();
        if round > 1 && begun + longest > plan.budget {
            trials.budget_ended = true;
            break;
        }
        let mut order: Vec<usize> = (0..count).collect();
        order.shuffle(&mut random);
        let mut figures = vec![0.0; count];
        for candidate in order {
            match trial(candidate, round) {
                Ok(trial) => {
                    trials.count(candidate, &trial);
                    figures[candidate] = trial.figure;
                }
                Err(failure) => {
                    trials.failure = Some(Failed { candidate, round, failure });
                    return trials;
                }
            }
        }
        for (candidate, figure) in trials.figures.iter_mut().zip(figures) {
            candidate.push(figure);
        }
        longest = longest.max(elapsed().saturating_sub(begun));
    }
    trials
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAN: Plan = Plan {
        candidates: 2,
        rounds: 4,
        trial: Duration::from_secs(10),
        budget: Duration::from_secs(100),
        seed: 1,
    };

    fn quiet(figure: f64) -> Outcome<Trial> {
        Ok(Trial { figure, remarks: Vec::new() })
    }

    #[test]
    fn each_round_has_one_trial_of_every_candidate() {
        let mut seen = Vec::new();
        let trials = take(
            &PLAN,
            || Duration::ZERO,
            |candidate, round| {
                seen.push((round, candidate));
                quiet((10 * candidate + round) as f64)
            },
        );
        assert_eq!(trials.figures, [[1.0, 2.0, 3.0, 4.0], [11.0, 12.0, 13.0, 14.0]]);
        assert_eq!((trials.count, trials.rounds(), trials.budget_ended), (8, 4, false));
        assert!(seen.is_sorted_by_key(|(round, _)| *round), "{seen:?}");
    }

    #[test]
    fn the_budget_ends_them_between_rounds_and_never_before_the_first() {
        let clock = |step: u64| {
            let mut now = 0;
            move || {
                now += step;
                Duration::from_secs(now)
            }
        };
        // Every look at the clock takes 20 s: rounds end at 40 s and at 80 s.
        let trials = take(&PLAN, clock(20), |_, _| quiet(1.0));
        assert_eq!((trials.rounds(), trials.budget_ended), (2, true));
        let trials = take(&PLAN, clock(1000), |_, _| quiet(1.0));
        assert_eq!((trials.rounds(), trials.budget_ended), (1, true));
    }

    #[test]
    fn a_trial_that_fails_leaves_the_rounds_before_it() {
        let trials = take(
            &PLAN,
            || Duration::ZERO,
            |candidate, round| match (candidate, round) {
                (1, 3) => Err(Failure::NothingMeasured("gone".to_owned())),
                _ => quiet(1.0),
            },
        );
        assert_eq!(trials.figures, [[1.0, 1.0], [1.0, 1.0]]);
        let failed = trials.failure.expect("it is named");
        assert_eq!((failed.candidate, failed.round), (1, 3));
        let told = failed.of("").to_string();
        assert!(told.contains("(defaults) in round 3") && told.contains("gone"), "{told}");
    }

    #[test]
    fn one_trial_that_did_not_keep_up_is_enough() {
        for remark in ["OVERLOADED", "ERRORS"] {
            let trials = take(
                &PLAN,
                || Duration::ZERO,
                |candidate, round| {
                    let hit = (candidate, round) == (1, 2);
                    let remarks = if hit { vec![remark] } else { vec!["NOISY", "CLIENT-BOUND"] };
                    Ok(Trial { figure: 1.0, remarks })
                },
            );
            assert_eq!(trials.kept_up, [true, false], "{remark}");
            assert_eq!((trials.noisy, trials.client_bound, trials.rounds()), (7, 7, 4));
        }
    }
}
