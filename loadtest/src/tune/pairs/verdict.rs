//! What can be said of two servers.
//!
//! Owns the verdicts and their sentences; pure. Invariant: the same is said only where the client
//! was not the limit of the figure.

use serde::Serialize;

use super::super::interval::rounds_needed;
use super::super::ranking::{Comparison, Doubt, Standing};
use super::super::sentence::{CLIENT, Subject, percent, width};
use crate::exit::{Failure, Outcome};

/// How the second compares to the first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(super) enum Verdict {
    #[serde(rename = "B WORSE")]
    Worse,
    #[serde(rename = "B BETTER")]
    Better,
    #[serde(rename = "SAME")]
    Same,
    #[serde(rename = "INCONCLUSIVE")]
    Inconclusive,
    #[serde(rename = "DID NOT KEEP UP")]
    DidNotKeepUp,
}

impl Verdict {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Worse => "B WORSE",
            Self::Better => "B BETTER",
            Self::Same => "SAME",
            Self::Inconclusive => "INCONCLUSIVE",
            Self::DidNotKeepUp => "DID NOT KEEP UP",
        }
    }

    /// What the command ends with, so that a script can tell.
    ///
    /// # Errors
    /// The second server is worse, or that could not be told.
    pub(super) fn outcome(self, first_kept_up: bool, sentence: &str) -> Outcome {
        let told = format!("{}: {sentence}", self.name());
        match self {
            Self::Same | Self::Better => Ok(()),
            Self::Worse => Err(Failure::Worse(told)),
            // A second server that fails where the first does not is worse, whatever else it is.
            Self::DidNotKeepUp if first_kept_up => Err(Failure::Worse(told)),
            Self::DidNotKeepUp | Self::Inconclusive => Err(Failure::Inconclusive(told)),
        }
    }
}

/// The verdict, and what it means.
pub(super) fn judge(comparison: &Comparison, subject: &Subject<'_>) -> (Verdict, String) {
    let samples = &subject.trials.samples;
    let unfit: Vec<&str> = ["a", "b"]
        .into_iter()
        .zip(samples)
        .filter_map(|(name, sample)| (!sample.kept_up).then_some(name))
        .collect();
    let noise = percent(subject.noise);
    let (verdict, sentence) = match comparison.standing {
        _ if !unfit.is_empty() => {
            let (sides, remedy) = (unfit.join(" and "), subject.remedy());
            let sentence = format!("a trial of {sides} was OVERLOADED or had ERRORS; {remedy}.");
            (Verdict::DidNotKeepUp, sentence)
        }
        Standing::Worse | Standing::Best => {
            let is_worse = comparison.standing == Standing::Worse;
            let verdict = if is_worse { Verdict::Worse } else { Verdict::Better };
            (verdict, format!("for certain, by more than {noise} as estimated."))
        }
        Standing::Same => (Verdict::Same, format!("the difference is within {noise} for certain.")),
        Standing::Open | Standing::Unfit => (Verdict::Inconclusive, open(comparison, subject)),
    };
    let mut parts = vec![sentence];
    parts.extend(subject.circumstances());
    (verdict, parts.join(" "))
}

/// What keeps it open, and what it would take.
fn open(comparison: &Comparison, subject: &Subject<'_>) -> String {
    let [a, b] = [0, 1].map(|side: usize| &subject.trials.samples[side].figures);
    let pairs = a.iter().zip(b).filter(|(a, b)| a.is_some() && b.is_some()).count();
    match comparison.doubt {
        None | Some(Doubt::Few) => {
            let needed = rounds_needed(2);
            format!("{needed} pairs must count, and {pairs} did.")
        }
        Some(Doubt::Client) => format!("{CLIENT}."),
        Some(Doubt::Little { more }) => format!(
            "b differs for certain, but perhaps by no more than {}. {}",
            percent(subject.noise),
            subject.more(more)
        ),
        Some(Doubt::Wide { more }) => format!(
            "differences below {} do not show in {pairs} pairs. {}",
            width(comparison.interval.into_iter()).unwrap_or_default(),
            subject.more(more)
        ),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::super::measure::Measure;
    use super::super::super::ranking::{Sample, compare};
    use super::super::super::rounds::{End, Plan, Trials};
    use super::*;
    use crate::arguments::By;

    /// Of two servers of which the first has 1 in every pair.
    fn trials(second: &[f64]) -> Trials {
        let sample = |figures: Vec<f64>| Sample {
            figures: figures.into_iter().map(Some).collect(),
            kept_up: true,
            client_bound: false,
        };
        let samples = vec![sample(vec![1.0; second.len()]), sample(second.to_vec())];
        Trials { samples, ..Trials::default() }
    }

    fn told(trials: &Trials) -> (Verdict, String) {
        let plan = Plan {
            candidates: 2,
            rounds: 12,
            trial: Duration::ZERO,
            budget: Duration::MAX,
            seed: 1,
        };
        let (measure, noise) = (Measure::by(By::P99), 0.01);
        let comparison = compare(&trials.samples[0], &trials.samples[1], measure.terms(noise));
        let subject = Subject { plan: &plan, trials, measure, noise, rounds: "pairs" };
        judge(&comparison, &subject)
    }

    #[test]
    fn two_are_told_apart_by_their_ratio() {
        use Verdict::{Better, Inconclusive, Same, Worse};
        // The figures of the second by turns, in so many pairs.
        let cases = [
            ([1.0, 1.0], 12, Same, "the difference is within 1 % for certain."),
            ([1.02, 1.02], 12, Worse, "for certain, by more than 1 % as estimated."),
            ([0.98, 0.98], 12, Better, "for certain, by more than 1 % as estimated."),
            ([1.02, 1.02], 5, Inconclusive, "6 pairs must count, and 5 did."),
            (
                [0.98, 1.03],
                12,
                Inconclusive,
                "differences below 5.00 % do not show in 12 pairs. About 256 more pairs would tell.",
            ),
            (
                [1.005, 1.014],
                12,
                Inconclusive,
                "b differs for certain, but perhaps by no more than 1 %. About",
            ),
            (
                [0.988, 0.993],
                12,
                Inconclusive,
                "b differs for certain, but perhaps by no more than 1 %. About",
            ),
        ];
        for (ratios, pairs, verdict, sentence) in cases {
            let second: Vec<f64> = (0..pairs).map(|pair| ratios[pair % 2]).collect();
            let told = told(&trials(&second));
            assert_eq!(told.0, verdict, "{told:?}");
            assert!(told.1.starts_with(sentence), "{told:?}");
        }
    }

    #[test]
    fn the_same_is_not_said_where_the_client_was_the_limit() {
        for bound in [0, 1] {
            let mut trials = trials(&[1.0; 12]);
            trials.samples[bound].client_bound = true;
            let (verdict, sentence) = told(&trials);
            assert_eq!(verdict, Verdict::Inconclusive);
            assert!(sentence.contains("the client was the limit"), "{sentence}");
            assert!(sentence.contains("compare --by cost"), "{sentence}");
        }
    }

    #[test]
    fn a_side_that_did_not_keep_up_is_not_compared() {
        let mut trials = trials(&[0.5; 12]);
        trials.samples[1].kept_up = false;
        let (verdict, sentence) = told(&trials);
        assert_eq!(verdict, Verdict::DidNotKeepUp);
        assert!(sentence.contains("a trial of b was OVERLOADED"), "{sentence}");
    }

    #[test]
    fn a_script_can_tell_the_verdicts_apart() {
        let code = |verdict: Verdict, first_kept_up| {
            verdict.outcome(first_kept_up, "").map_or_else(|failure| failure.code(), |()| 0)
        };
        for (verdict, first_kept_up, expected) in [
            (Verdict::Same, true, 0),
            (Verdict::Better, true, 0),
            (Verdict::Worse, true, 5),
            (Verdict::DidNotKeepUp, true, 5),
            (Verdict::DidNotKeepUp, false, 6),
            (Verdict::Inconclusive, true, 6),
        ] {
            assert_eq!(code(verdict, first_kept_up), expected, "{verdict:?}");
        }
    }

    #[test]
    fn an_early_end_is_said_whatever_the_verdict() {
        let mut trials = trials(&[1.0; 7]);
        (trials.end, trials.void) = (Some(End::Budget), 2);
        let (verdict, sentence) = told(&trials);
        assert_eq!(verdict, Verdict::Same);
        assert!(sentence.contains("Trials that do not count: 2"), "{sentence}");
        let end = "It ended after 7 of 12 pairs, because the budget was used up.";
        assert!(sentence.ends_with(end), "{sentence}");
    }
}
