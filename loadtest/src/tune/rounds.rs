//! The trials of a tuning, round by round.
//!
//! Owns their order: rounds of one trial of every candidate, in an order drawn anew for each round,
//! until the rounds or the time are used up or a trial fails; and which of them count. One that did
//! less than was asked of it while the host or the client was the limit does not: it says nothing
//! about its server. Invariants: a round is taken of all candidates or of none; one round at least
//! is begun; what was taken before a failure is kept.

use std::time::Duration;

use rand::SeedableRng;
use rand::rngs::SmallRng;
use rand::seq::SliceRandom;

use super::ranking::Sample;
use super::sentence;
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
    /// None where it was too short for it.
    pub(super) figure: Option<f64>,
    /// The names of its remarks.
    pub(super) remarks: Vec<&'static str>,
}

/// What all of them gave.
#[derive(Debug, Default)]
pub(super) struct Trials {
    /// Of each candidate.
    pub(super) samples: Vec<Sample>,
    pub(super) count: usize,
    pub(super) noisy: usize,
    pub(super) client_bound: usize,
    /// Those that do not count.
    pub(super) void: usize,
    /// Those that were too short for the figure.
    pub(super) unmeasured: usize,
    /// What ended them before all were taken.
    pub(super) end: Option<End>,
}

/// What ended them early.
#[derive(Debug)]
pub(super) enum End {
    /// The time was up.
    Budget,
    Failed(Failed),
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

    /// How many the budget leaves time for, but for the starts of servers.
    pub(super) fn rounds_in_budget(&self) -> usize {
        let round = self.trial.as_secs_f64() * self.candidates as f64;
        (self.budget.as_secs_f64() / round.max(1e-9)) as usize
    }
}

impl Trial {
    pub(super) fn new(figure: Option<f64>, remarks: &[Remark]) -> Self {
        Self { figure, remarks: remarks.iter().map(|remark| remark.name).collect() }
    }

    fn said(&self, name: &str) -> bool {
        self.remarks.contains(&name)
    }

    /// What it did not do may be the fault of the host or of the client. An error is neither's.
    fn is_void(&self) -> bool {
        let disturbed = self.said("NOISY") || self.said("CLIENT-BOUND");
        self.said("OVERLOADED") && disturbed && !self.said("ERRORS")
    }
}

impl End {
    /// As it is written to JSON.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Budget => "budget",
            Self::Failed(_) => "failed trial",
        }
    }
}

impl Failed {
    /// What the command ends with; `flags` are those of the candidate.
    pub(super) fn of(self, flags: &str) -> Failure {
        let (flags, source) = (sentence::named(flags).to_owned(), Box::new(self.failure));
        Failure::Trial { flags, round: self.round, source }
    }
}

impl Trials {
    fn new(plan: &Plan) -> Self {
        Self { samples: vec![Sample::new(plan.rounds); plan.candidates], ..Self::default() }
    }

    /// The rounds that were taken.
    pub(super) fn rounds(&self) -> usize {
        self.samples.first().map_or(0, |sample| sample.figures.len())
    }

    /// The trial that failed, if one did.
    pub(super) fn into_failed(self) -> Option<Failed> {
        match self.end? {
            End::Failed(failed) => Some(failed),
            End::Budget => None,
        }
    }

    /// Counts a trial, and gives its figure if it counts.
    fn count(&mut self, candidate: usize, trial: &Trial) -> Option<f64> {
        self.count += 1;
        self.noisy += usize::from(trial.said("NOISY"));
        self.client_bound += usize::from(trial.said("CLIENT-BOUND"));
        if trial.is_void() {
            self.void += 1;
            return None;
        }
        let sample = &mut self.samples[candidate];
        sample.kept_up &= !trial.said("OVERLOADED") && !trial.said("ERRORS");
        sample.client_bound |= trial.said("CLIENT-BOUND");
        self.unmeasured += usize::from(trial.figure.is_none());
        trial.figure
    }
}

/// Takes them: `trial` is given a candidate and the number of the round, from 1 on; `elapsed` is
/// the time since the beginning.
pub(super) fn take(
    plan: &Plan,
    mut elapsed: impl FnMut() -> Duration,
    mut trial: impl FnMut(usize, usize) -> Outcome<Trial>,
) -> Trials {
    let mut trials = Trials::new(plan);
    let mut random = SmallRng::seed_from_u64(plan.seed);
    let mut longest = Duration::ZERO;
    for round in 1..=plan.rounds {
        let begun = elapsed();
        if round > 1 && begun + longest > plan.budget {
            trials.end = Some(End::Budget);
            break;
        }
        let mut order: Vec<usize> = (0..plan.candidates).collect();
        order.shuffle(&mut random);
        let mut figures = vec![None; plan.candidates];
        for candidate in order {
            match trial(candidate, round) {
                Ok(trial) => figures[candidate] = trials.count(candidate, &trial),
                Err(failure) => {
                    trials.end = Some(End::Failed(Failed { candidate, round, failure }));
                    return trials;
                }
            }
        }
        for (sample, figure) in trials.samples.iter_mut().zip(figures) {
            sample.figures.push(figure);
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
        Ok(Trial { figure: Some(figure), remarks: Vec::new() })
    }

    fn figures(trials: &Trials) -> Vec<Vec<f64>> {
        let all = |sample: &Sample| sample.figures.iter().copied().flatten().collect();
        trials.samples.iter().map(all).collect()
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
        assert_eq!(figures(&trials), [[1.0, 2.0, 3.0, 4.0], [11.0, 12.0, 13.0, 14.0]]);
        assert_eq!((trials.count, trials.rounds(), trials.end.is_none()), (8, 4, true));
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
        for (step, rounds) in [(20, 2), (1000, 1)] {
            let trials = take(&PLAN, clock(step), |_, _| quiet(1.0));
            assert_eq!(trials.rounds(), rounds);
            assert!(matches!(trials.end, Some(End::Budget)));
        }
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
        assert_eq!(figures(&trials), [[1.0, 1.0], [1.0, 1.0]]);
        let failed = trials.into_failed().expect("it is named");
        assert_eq!((failed.candidate, failed.round), (1, 3));
        let told = failed.of("").to_string();
        assert!(told.contains("(defaults) in round 3") && told.contains("gone"), "{told}");
    }

    /// Trials of which the second candidate's in the second round is this one.
    fn with(figure: Option<f64>, remarks: &[&'static str]) -> Trials {
        take(
            &PLAN,
            || Duration::ZERO,
            |candidate, round| match (candidate, round) {
                (1, 2) => Ok(Trial { figure, remarks: remarks.to_vec() }),
                _ => quiet(1.0),
            },
        )
    }

    #[test]
    fn a_trial_that_did_not_keep_up_is_its_servers_fault_if_nobody_disturbed_it() {
        // Whether it kept up, whether its figure counts.
        let cases: [(&[&str], (bool, bool)); 8] = [
            (&[], (true, true)),
            (&["NOISY"], (true, true)),
            (&["CLIENT-BOUND"], (true, true)),
            (&["OVERLOADED"], (false, true)),
            (&["ERRORS"], (false, true)),
            (&["OVERLOADED", "NOISY"], (true, false)),
            (&["OVERLOADED", "CLIENT-BOUND"], (true, false)),
            (&["ERRORS", "OVERLOADED", "NOISY"], (false, true)),
        ];
        for (remarks, (kept_up, counts)) in cases {
            let trials = with(Some(1.0), remarks);
            let [first, second] = [&trials.samples[0], &trials.samples[1]];
            assert_eq!((first.kept_up, second.kept_up), (true, kept_up), "{remarks:?}");
            assert_eq!(second.figures[1].is_some(), counts, "{remarks:?}");
            assert_eq!((trials.void, trials.unmeasured), (usize::from(!counts), 0));
            assert_eq!((first.counted(), trials.rounds()), (4, 4), "of the others it counts");
            assert_eq!(trials.noisy, usize::from(remarks.contains(&"NOISY")));
            assert_eq!(trials.client_bound, usize::from(remarks.contains(&"CLIENT-BOUND")));
            let bound = counts && remarks.contains(&"CLIENT-BOUND");
            assert_eq!((first.client_bound, second.client_bound), (false, bound), "{remarks:?}");
        }
    }

    #[test]
    fn a_trial_that_was_too_short_for_its_figure_ends_nothing() {
        let trials = with(None, &[]);
        assert_eq!((trials.unmeasured, trials.void, trials.rounds()), (1, 0, 4));
        assert_eq!(trials.samples[1].counted(), 3);
        assert!(trials.end.is_none() && trials.samples[1].kept_up);
    }
}
