//! How much worse one candidate is than another, and what that comes to.
//!
//! Owns the bars between worse, the same and open, and how many rounds are missing; pure. Above 1
//! is worse, whether less of a figure is better or more.

use super::{Aim, Doubt, Standing};

/// A ratio as a loss: above 1 is worse, whatever the aim.
pub(super) fn loss(ratio: f64, aim: Aim) -> f64 {
    if aim == Aim::Least { ratio } else { 1.0 / ratio }
}

/// A ratio and its interval as a loss.
#[derive(Clone, Copy, Debug)]
pub(super) struct Loss {
    pub(super) ratio: f64,
    pub(super) least: f64,
    pub(super) most: f64,
}

impl Loss {
    pub(super) fn new(ratio: f64, (least, most): (f64, f64), aim: Aim) -> Self {
        match aim {
            Aim::Least => Self { ratio, least, most },
            Aim::Most => Self { ratio, least, most }.inverse(),
        }
    }

    /// That of the other one.
    pub(super) fn inverse(self) -> Self {
        Self { ratio: 1.0 / self.ratio, least: 1.0 / self.most, most: 1.0 / self.least }
    }

    /// Whether the estimate is within the noise, both ways.
    pub(super) fn is_within(self, noise: f64) -> bool {
        (1.0 / (1.0 + noise)..=1.0 + noise).contains(&self.ratio)
    }

    pub(super) fn standing(self, noise: f64) -> Standing {
        let bar = 1.0 + noise;
        if self.least > 1.0 && self.ratio > bar {
            Standing::Worse
        } else if self.least >= 1.0 / bar && self.most <= bar {
            Standing::Same
        } else {
            Standing::Open
        }
    }

    /// Why it is open after so many rounds.
    pub(super) fn doubt(self, noise: f64, rounds: usize) -> Doubt {
        let more = self.more_rounds(noise, rounds);
        let excludes_one = self.least > 1.0 || self.most < 1.0;
        if excludes_one { Doubt::Little { more } } else { Doubt::Wide { more } }
    }

    /// How many more rounds would tell what is open after `rounds`, if the estimate stays and the
    /// interval narrows with the root of their number; [`usize::MAX`] where no number would.
    pub(super) fn more_rounds(self, noise: f64, rounds: usize) -> usize {
        let (estimate, bar) = (self.ratio.ln(), (1.0 + noise).ln());
        let half_width = (self.most.ln() - estimate).max(estimate - self.least.ln());
        // Beyond the threshold it has to exclude 1, within it has to be within altogether.
        let beyond = estimate.abs();
        let room = if beyond > bar { beyond } else { bar - beyond };
        let more = rounds as f64 * ((half_width / room).powi(2) - 1.0);
        if room > 0.0 && more < 1e9 { (more.ceil() as usize).max(1) } else { usize::MAX }
    }
}
