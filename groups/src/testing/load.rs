//! The parts a scenario is put together from: who is there, how often cores turn, who has work.
//!
//! Owns data and how it becomes a simulation; what must come out is in `verdict.rs`.

use std::time::Duration;

use rand::rngs::SmallRng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};

use super::core::Pace;
use super::simulator::Simulator;

/// The members of each core.
#[derive(Clone, Copy, Debug)]
pub(super) enum Crowd {
    /// So many on every core, of weight 1.
    Each(usize),
    /// So many on the first core, one on each of the others.
    Skewed(usize),
    /// So many on every core: those of the first core have this weight, the others 1.
    Weighted(usize, u32),
    /// As many as asked for, spread evenly.
    Asked,
}

/// How often the cores turn.
#[derive(Clone, Copy, Debug)]
pub(super) enum Turns {
    /// All alike.
    All(Pace),
    /// The first core by itself, the others alike.
    First(Pace, Pace),
    /// Every other core, from the first on, and those between.
    Alternate(Pace, Pace),
}

/// Who has work, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Activity {
    /// Everybody, always.
    Always,
    /// The members of the first core only.
    Alone,
    /// The members of one core after the other, each for so long.
    Hopping(Duration),
    /// Everybody but a few, who change each millisecond.
    Churning,
    /// Everybody, but one core after the other is dropped and another takes its seat.
    Reseating,
    /// Nobody at first, then everybody at once.
    Late,
    /// The members of each core for some of the time, at random, so that often nobody has any.
    Spells,
}

impl Crowd {
    /// Returns the weights of the members of core `index` of `cores`, where `asked` were asked for.
    pub(super) fn weights(self, index: usize, cores: usize, asked: usize) -> Vec<u32> {
        match self {
            Self::Each(count) => vec![1; count],
            Self::Skewed(count) => vec![1; if index == 0 { count } else { 1 }],
            Self::Weighted(count, weight) => vec![if index == 0 { weight } else { 1 }; count],
            Self::Asked => vec![1; asked / cores + usize::from(index < asked % cores)],
        }
    }
}

impl Turns {
    pub(super) fn of(self, index: usize) -> Pace {
        match self {
            Self::All(pace) => pace,
            Self::First(first, _) if index == 0 => first,
            Self::First(_, others) => others,
            Self::Alternate(even, _) if index.is_multiple_of(2) => even,
            Self::Alternate(_, odd) => odd,
        }
    }
}

impl Activity {
    /// Sets who has work at the begin.
    pub(super) fn begin(self, sim: &mut Simulator) {
        match self {
            Self::Alone | Self::Hopping(_) => set_others(sim, 0),
            Self::Late => set_others(sim, usize::MAX),
            Self::Always | Self::Churning | Self::Reseating | Self::Spells => {}
        }
    }

    /// Runs a simulation for `span`; with a change of activity where this has one.
    pub(super) fn run(self, sim: &mut Simulator, span: Duration, seed: u64) {
        let end = sim.now() + span;
        let mut random = SmallRng::seed_from_u64(seed);
        for step in 0.. {
            let wait = match self {
                Self::Always | Self::Alone | Self::Late => span,
                Self::Hopping(stay) => {
                    let cores = sim.cores().count();
                    set_others(sim, step % cores);
                    stay
                }
                Self::Churning => {
                    churn(sim, &mut random);
                    CHURN_EVERY
                }
                Self::Reseating => {
                    reseat(sim);
                    RESEAT_EVERY
                }
                Self::Spells => {
                    let seated = sim.seated();
                    let odds = SPELLS_AT_ONCE / seated.len() as f64;
                    for index in seated {
                        set_all(sim, index, random.random_bool(odds.min(1.0)));
                    }
                    SPELL
                }
            };
            sim.run_until(end.min(sim.now() + wait));
            if sim.now() >= end {
                return;
            }
        }
    }
}

/// Gives the members of one core work and takes it from all others.
fn set_others(sim: &mut Simulator, busy: usize) {
    for index in sim.seated() {
        set_all(sim, index, index == busy);
    }
}

/// Gives all members of a core work, or takes it from them.
pub(super) fn set_all(sim: &mut Simulator, index: usize, busy: bool) {
    for token in 0..sim.core(index).members.len() {
        sim.set_busy(index, token, busy);
    }
}

/// Gives all but a few members work, others than before.
fn churn(sim: &mut Simulator, random: &mut SmallRng) {
    for index in sim.seated() {
        let count = sim.core(index).members.len();
        set_all(sim, index, true);
        let tokens: Vec<usize> = (0..count).collect();
        let idle = random.random_range(0..=count / 4);
        for &token in tokens.sample(random, idle) {
            sim.set_busy(index, token, false);
        }
    }
}

/// Drops the oldest core that is left and seats another with as many members.
fn reseat(sim: &mut Simulator) {
    let Some(&oldest) = sim.seated().first() else { return };
    let (pace, count) = (sim.core(oldest).pace, sim.core(oldest).members.len());
    sim.drop_core(oldest);
    sim.add_core(pace, vec![1; count]);
}

/// Cores that have work in a spell, on average.
const SPELLS_AT_ONCE: f64 = 0.7;
const SPELL: Duration = Duration::from_millis(3);
const CHURN_EVERY: Duration = Duration::from_millis(1);
const RESEAT_EVERY: Duration = Duration::from_millis(25);
