//! What a tuning or a comparison came to, in sentences.
//!
//! Owns the words, and that none says more than was found: what is open is told by what kept it
//! open, and what ended or disturbed the trials is appended to whatever else is said.

use super::MOST_ROUNDS;
use super::measure::Measure;
use super::ranking::{Doubt, Ranking, Standing, Verdict};
use super::rounds::{End, Plan, Trials};
use crate::figure::plain;

/// What the sentences are about.
#[derive(Clone, Copy, Debug)]
pub(super) struct Subject<'a> {
    pub(super) plan: &'a Plan,
    pub(super) trials: &'a Trials,
    pub(super) measure: Measure,
    pub(super) noise: f64,
    /// What a round is called.
    pub(super) rounds: &'static str,
}

impl Subject<'_> {
    /// What can be said of a ranking.
    pub(super) fn tell(&self, ranking: &Ranking) -> String {
        let mut parts = vec![self.verdict(ranking)];
        if matches!(ranking.verdict, Verdict::Winner | Verdict::Tied | Verdict::Inconclusive) {
            parts.extend(self.doubts(ranking));
        }
        if let Some(behind) = ranking.behind {
            let behind = percent(behind);
            parts.push(format!("As estimated the one named is {behind} behind the best."));
        }
        parts.extend(self.circumstances());
        parts.join(" ")
    }

    /// What the trials suffered.
    pub(super) fn circumstances(&self) -> Vec<String> {
        let Trials { void, unmeasured, .. } = *self.trials;
        let mut parts = Vec::new();
        if void > 0 {
            parts.push(format!(
                "Trials that do not count: {void} (OVERLOADED while the host or the client was the \
                 limit: NOISY, CLIENT-BOUND)."
            ));
        }
        if unmeasured > 0 {
            let missing = self.measure.missing();
            parts.push(format!("Trials too short for {missing}: {unmeasured} (see -d)."));
        }
        if let Some(end) = &self.trials.end {
            let why = match end {
                End::Budget => "the budget was used up",
                End::Failed(_) => "a trial failed",
            };
            let (taken, planned) = (self.trials.rounds(), self.plan.rounds);
            let rounds = self.rounds;
            parts.push(format!("It ended after {taken} of {planned} {rounds}, because {why}."));
        }
        parts
    }

    /// What else to do about servers that were too slow.
    pub(super) fn remedy(&self) -> &'static str {
        match self.trials.client_bound {
            0 => "lower the load or give the server more CPUs",
            _ => "lower the load or give the client more (--client-cpus, -t)",
        }
    }

    /// What more rounds would tell.
    pub(super) fn more(&self, more: usize) -> String {
        let rounds = if more == 1 { self.rounds.trim_end_matches('s') } else { self.rounds };
        match more {
            ..=MOST_ROUNDS => format!("About {more} more {rounds} would tell."),
            _ => format!("{MOST_ROUNDS} more {rounds} would not tell."),
        }
    }

    fn verdict(&self, ranking: &Ranking) -> String {
        let noise = percent(self.noise);
        let [worse, unfit] = [Standing::Worse, Standing::Unfit].map(|of| ranking.count(of));
        let unfit_part = match unfit {
            0 => String::new(),
            _ => format!(" {unfit} did not keep up with the load (OVERLOADED or ERRORS)."),
        };
        let nearest = "the one nearest to the defaults is named.";
        match ranking.verdict {
            Verdict::Winner => {
                let others = if unfit == 0 { "the others" } else { "the others that kept up" };
                format!(
                    "{others} are worse for certain, by more than {noise} as estimated.{unfit_part}"
                )
            }
            Verdict::Alone => "no other kept up with the load (OVERLOADED or ERRORS), so there is \
                               nothing to compare."
                .to_owned(),
            Verdict::Tied => {
                let worse = match worse {
                    0 => String::new(),
                    _ => format!(
                        " {worse} {} worse for certain, by more than {noise} as estimated.",
                        are(worse)
                    ),
                };
                format!("no one is ahead of all.{worse}{unfit_part} Of the others {nearest}")
            }
            Verdict::NoDifference => {
                format!("all are within {noise} of the best for certain; {nearest}")
            }
            Verdict::Inconclusive => format!(
                "none is shown to be worse by more than {noise}, and not all to be the same; \
                 {nearest}"
            ),
            Verdict::NoneFit => format!(
                "no candidate did in every trial what was asked of it (OVERLOADED or ERRORS); {}.",
                self.remedy()
            ),
            Verdict::TooFewRounds { needed } => {
                let counted = ranking.counted;
                format!(
                    "{needed} rounds must count to tell so many candidates apart, and {counted} did."
                )
            }
        }
    }

    /// What keeps which of them open, and what it would take.
    fn doubts(&self, ranking: &Ranking) -> Vec<String> {
        let noise = percent(self.noise);
        let count = |is: fn(Doubt) -> bool| {
            ranking.rows.iter().filter(|row| row.doubt.is_some_and(is)).count()
        };
        let wide = ranking.rows.iter().filter(|row| matches!(row.doubt, Some(Doubt::Wide { .. })));
        let mut parts: Vec<String> = [
            (count(|doubt| doubt == Doubt::Few), "open, as too few of their rounds count".into()),
            (count(|doubt| doubt == Doubt::Client), format!("open, as {CLIENT}")),
            (
                count(|doubt| matches!(doubt, Doubt::Little { .. })),
                format!("different from the best for certain, but perhaps by no more than {noise}"),
            ),
        ]
        .into_iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, what)| format!("{count} {} {what}.", are(count)))
        .collect();
        let rows = wide.clone().count();
        if let Some(width) = width(wide.filter_map(|row| row.interval)) {
            let rounds = ranking.counted;
            parts.push(format!(
                "{rows} may be no different from the best: differences below {width} do not show \
                 in {rounds} rounds."
            ));
        }
        parts.extend(ranking.more_rounds.map(|more| self.more(more)));
        parts
    }
}

/// A candidate's flags, or what to call it without any.
pub(super) fn named(line: &str) -> &str {
    if line.is_empty() { "(defaults)" } else { line }
}

fn are(count: usize) -> &'static str {
    if count == 1 { "is" } else { "are" }
}

/// A fraction in per cent.
pub(super) fn percent(fraction: f64) -> String {
    format!("{} %", plain(Some(fraction * 100.0)))
}

/// The widest of some intervals.
pub(super) fn width(intervals: impl Iterator<Item = (f64, f64)>) -> Option<String> {
    intervals.map(|(least, most)| most - least).max_by(f64::total_cmp).map(percent)
}

/// Why what looks alike may not be, and what to do.
pub(super) const CLIENT: &str = "the client was the limit, where servers look alike; compare --by \
                                 cost, or give the client more with --client-cpus and -t";

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::ranking::{Sample, rank};
    use super::super::rounds::Failed;
    use super::*;
    use crate::arguments::By;
    use crate::exit::Failure;

    const PLAN: Plan =
        Plan { candidates: 2, rounds: 12, trial: Duration::ZERO, budget: Duration::ZERO, seed: 1 };

    fn trials(figures: &[&[f64]]) -> Trials {
        let sample = |figures: &&[f64]| Sample {
            figures: figures.iter().copied().map(Some).collect(),
            kept_up: true,
            client_bound: false,
        };
        Trials { samples: figures.iter().map(sample).collect(), ..Trials::default() }
    }

    fn told(trials: &Trials) -> (Verdict, String) {
        let measure = Measure::by(By::P99);
        let ranking = rank(&trials.samples, measure.terms(0.02));
        let subject = Subject { plan: &PLAN, trials, measure, noise: 0.02, rounds: "rounds" };
        (ranking.verdict, subject.tell(&ranking))
    }

    /// Twelve figures, the two by turns.
    fn turns(one: f64, other: f64) -> [f64; 12] {
        std::array::from_fn(|n| if n.is_multiple_of(2) { one } else { other })
    }

    const ONE: &[f64] = &[1.0; 12];
    const TWO: &[f64] = &[2.0; 12];

    #[test]
    fn each_verdict_has_its_sentence() {
        let wild = [turns(1.0, 1.5), turns(1.5, 1.0)];
        let cases: [(&[&[f64]], Verdict, &str); 6] = [
            (
                &[TWO, ONE],
                Verdict::Winner,
                "the others are worse for certain, by more than 2 % as estimated.",
            ),
            (&[ONE, ONE], Verdict::NoDifference, "all are within 2 % of the best for certain;"),
            (
                &[&wild[0], &wild[1]],
                Verdict::Inconclusive,
                "is named. 1 may be no different from the best: differences below 83.3 % do not \
                 show in 12 rounds. 1000 more rounds would not tell.",
            ),
            (
                &[ONE, &turns(1.01, 1.025)],
                Verdict::Inconclusive,
                "is named. 1 is different from the best for certain, but perhaps by no more than \
                 2 %. About",
            ),
            (
                &[TWO, ONE, &turns(0.99, 1.03)],
                Verdict::Tied,
                "no one is ahead of all. 1 is worse for certain, by more than 2 % as estimated. \
                 Of the others the one nearest to the defaults is named. 1 may be no different",
            ),
            (
                &[&TWO[..3], &ONE[..3]],
                Verdict::TooFewRounds { needed: 6 },
                "6 rounds must count to tell so many candidates apart, and 3 did.",
            ),
        ];
        for (figures, verdict, part) in cases {
            let told = told(&trials(figures));
            assert_eq!(told.0, verdict, "{told:?}");
            assert!(told.1.contains(part), "{part:?} in {:?}", told.1);
        }
    }

    #[test]
    fn who_did_not_keep_up_is_not_said_to_be_worse() {
        let mut trials = trials(&[ONE, ONE, TWO]);
        trials.samples[1].kept_up = false;
        let (verdict, winner) = told(&trials);
        assert_eq!(verdict, Verdict::Winner);
        assert!(winner.starts_with("the others that kept up are worse"), "{winner}");
        assert!(winner.contains("1 did not keep up"), "{winner}");
        trials.samples[2] = trials.samples[0].clone();
        let (verdict, tied) = told(&trials);
        assert_eq!(verdict, Verdict::Tied);
        assert!(!tied.contains("worse") && tied.contains("1 did not keep up"), "{tied}");
        trials.samples[2].kept_up = false;
        let (verdict, alone) = told(&trials);
        assert_eq!(verdict, Verdict::Alone);
        assert!(alone.starts_with("no other kept up") && !alone.contains("worse"), "{alone}");
        trials.samples[0].kept_up = false;
        assert!(told(&trials).1.contains("give the server more CPUs"));
        trials.client_bound = 1;
        let (_, none) = told(&trials);
        assert!(none.contains("give the client more") && !none.contains("server"), "{none}");
    }

    #[test]
    fn where_the_client_was_the_limit_nothing_is_said_to_be_the_same() {
        let mut trials = trials(&[ONE, ONE]);
        trials.samples[0].client_bound = true;
        let (verdict, sentence) = told(&trials);
        assert_eq!(verdict, Verdict::Inconclusive);
        assert!(sentence.contains("1 is open, as the client was the limit"), "{sentence}");
        assert!(sentence.contains("--by cost") && !sentence.contains("more rounds"), "{sentence}");
    }

    #[test]
    fn a_choice_that_is_behind_as_estimated_is_said_to_be() {
        let behind: Vec<f64> = (0..12).map(|n| if n < 7 { 1.1 } else { 0.9 }).collect();
        let (_, sentence) = told(&trials(&[&behind, ONE]));
        assert!(sentence.contains("the one named is 10.0 % behind the best"), "{sentence}");
    }

    #[test]
    fn what_ended_or_disturbed_the_trials_is_said_after_whatever_else() {
        let failed =
            Failed { candidate: 0, round: 8, failure: Failure::NothingMeasured(String::new()) };
        for (end, why) in
            [(End::Budget, "the budget was used up."), (End::Failed(failed), "a trial failed.")]
        {
            let mut trials = trials(&[&TWO[..7], &ONE[..7]]);
            (trials.end, trials.void, trials.unmeasured) = (Some(end), 3, 2);
            let (verdict, sentence) = told(&trials);
            assert_eq!(verdict, Verdict::Winner);
            assert!(sentence.contains("Trials that do not count: 3 (OVERLOADED"), "{sentence}");
            assert!(sentence.contains("percentile takes: 2 (see -d)."), "{sentence}");
            let end = format!("It ended after 7 of 12 rounds, because {why}");
            assert!(sentence.ends_with(&end), "{sentence}");
        }
    }
}
