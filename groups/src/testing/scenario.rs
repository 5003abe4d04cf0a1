//! The scenarios: loads that a limiter must stand, each with its bars.
//!
//! Owns the table and how a line of it is run. Sizes are asked for, so that the same line is a
//! quick test and a long one. What is due is counted in rounds: members that are compared get at
//! least a hundred quanta each, all others live through three rounds.

use std::time::Duration;

use super::core::Pace;
use super::load::{Activity, Crowd, Turns, set_all};
use super::mutant::Mutant;
use super::simulator::Simulator;
use super::verdict::{Bars, Figures, Verdict};
use crate::config::TokenBucketConfig;
use crate::group::{Group, Rebalance};
use crate::rate::Rate;
use crate::time::{NANOS_PER_SECOND, Time};

/// How large a run is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// Cores, at least 1; scenarios that need two have two.
    pub cores: usize,
    /// Members of the scenarios that leave it open.
    pub members: usize,
    /// What random choices are drawn from.
    pub seed: u64,
}

/// A load with its bars.
#[derive(Clone, Copy, Debug)]
pub struct Scenario {
    /// Its name.
    pub name: &'static str,
    /// What it shows, in a line.
    pub purpose: &'static str,
    rate: u64,
    /// 0: the default for the rate.
    burst: u64,
    /// Zero: bytes appear continuously.
    tick: Duration,
    crowd: Crowd,
    turns: Turns,
    activity: Activity,
    operation: Duration,
    stall: Duration,
    short_odds: u8,
    warmup: Duration,
    bars: Bars,
}

impl Scenario {
    /// Returns the scenario of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<&'static Self> {
        SCENARIOS.iter().find(|scenario| scenario.name == name)
    }

    /// Runs it, with the limiter as it is or broken.
    ///
    /// # Panics
    /// If `size` asks for more cores than a group has seats, or for none.
    #[must_use]
    pub fn run(&self, size: Size, mutant: Option<Mutant>) -> Verdict {
        let mut sim = self.build(size, mutant);
        let rate = self.rate as f64;
        self.activity.begin(&mut sim);
        let weight = sim.members().map(|member| u64::from(member.weight)).sum();
        let round = sim.ideal_round(weight, rate);
        let warmup = sim.whole_ticks(self.warmup.max(round.mul_f64(WARMUP_ROUNDS)));
        self.activity.run(&mut sim, warmup, size.seed);
        if self.activity == Activity::Late {
            for index in sim.seated() {
                set_all(&mut sim, index, true);
            }
        }
        sim.forget();
        let before = sim.group.stats();
        let span = sim.whole_ticks(SPAN.max(round.mul_f64(self.rounds(sim.cores().count()))));
        self.activity.run(&mut sim, span, size.seed.wrapping_add(1));
        Figures::read(&sim, rate, span, &before).judge(self.name, self.bars)
    }

    /// How many rounds are measured on so many cores.
    fn rounds(&self, cores: usize) -> f64 {
        let share = if self.bars.even { cores as f64 / CORES_EVEN } else { 1.0 };
        self.bars.rounds * share.max(1.0)
    }

    fn config(&self, rate: u64, burst: u64) -> TokenBucketConfig {
        if !self.tick.is_zero() {
            let each = u128::from(rate) * self.tick.as_nanos() / u128::from(NANOS_PER_SECOND);
            let each = u64::try_from(each).expect("the scenarios' rates are in range");
            let config = TokenBucketConfig::new(each, burst, each, burst, Some(self.tick));
            return config.expect("the scenarios' ticks are in range");
        }
        let rate = Rate::bytes_per_second(rate).expect("the scenarios' rates are in range");
        let config = TokenBucketConfig::per_second(rate);
        if burst == 0 {
            return config;
        }
        config.with_burst(burst).expect("the scenarios' bursts are in range")
    }

    fn build(&self, size: Size, mutant: Option<Mutant>) -> Simulator {
        let honest = self.config(self.rate, self.burst);
        let burst = honest.limit(super::core::DIR).expect("both ways are limited").burst();
        let config = match mutant {
            Some(Mutant::FivePercent) => self.config(self.rate + self.rate / 20, burst),
            Some(Mutant::DoubleBurst) => self.config(self.rate, burst * 2),
            _ => honest.clone(),
        };
        let cores = match (self.crowd, self.turns) {
            (Crowd::Each(_) | Crowd::Asked, Turns::All(_) | Turns::Alternate(..)) => size.cores,
            _ => size.cores.max(2),
        };
        let spare = usize::from(self.activity == Activity::Reseating);
        let mut builder = Group::builder(config).seats((cores + spare).max(SEATS_LEAST));
        match mutant {
            Some(Mutant::Greedy) => builder = builder.greedy_draws(),
            Some(Mutant::NeverRebalance) => builder = builder.rebalance(Rebalance::Never),
            _ => {}
        }
        let group = builder.build(Time::ZERO).expect("the scenarios' limits fit together");
        let mut sim = Simulator::watching(group, &honest, size.seed);
        sim.set_mutant(mutant);
        for index in 0..cores {
            let weights = self.crowd.weights(index, cores, size.members);
            let core = sim.add_core(self.turns.of(index), weights);
            (core.operation, core.short_odds) = (self.operation, self.short_odds);
            core.stall = if index % 2 == 0 { self.stall } else { Duration::ZERO };
        }
        sim
    }
}

/// Rounds before anything is measured, at least.
const WARMUP_ROUNDS: f64 = 2.0;
/// What is measured, at least.
const SPAN: Duration = Duration::from_secs(1);
/// A group has at least so many seats, as by default.
const SEATS_LEAST: usize = 16;

/// So many cores share evenly within the quanta that the bars ask for.
///
/// Before the bucket holds what cores have earned, those that look most rarely lose a quantum or
/// two: once, whatever the span. On more cores rounds are longer, and each core is late for more.
const CORES_EVEN: f64 = 64.0;

/// Members whose shares are compared get 110 quanta.
const EVEN: Bars =
    Bars { utilisation: 0.995, even: true, waits: true, asleep: false, rounds: 110.0 };
/// Others live through a little more than three rounds.
const LIVED: Bars = Bars { even: false, rounds: 3.2, ..EVEN };

const BASE: Scenario = Scenario {
    name: "even",
    purpose: "as many members on every core, turning about every millisecond",
    rate: 125_000_000,
    burst: 2_500_000,
    tick: Duration::ZERO,
    crowd: Crowd::Each(16),
    turns: Turns::All(Pace::About(Duration::from_millis(1))),
    activity: Activity::Always,
    operation: Duration::ZERO,
    stall: Duration::ZERO,
    short_odds: 0,
    warmup: Duration::from_millis(500),
    bars: EVEN,
};

/// What a tick of 100 ms brings at the base's rate.
const PER_TICK: u64 = 12_500_000;

const TICKS: Scenario =
    Scenario { tick: ms(100), turns: Turns::Alternate(Pace::Deadline, Pace::About(ms(1))), ..BASE };

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

const fn us(us: u64) -> Duration {
    Duration::from_micros(us)
}

/// All scenarios.
pub const SCENARIOS: &[Scenario] = &[
    BASE,
    Scenario {
        name: "lockstep",
        purpose: "the same with cores that turn at the same instants, one after the other",
        turns: Turns::All(Pace::Every(ms(1))),
        ..BASE
    },
    Scenario {
        name: "slow",
        purpose: "one core turns every 4 ms, the others twenty times as often",
        turns: Turns::First(Pace::Every(ms(4)), Pace::About(us(200))),
        ..BASE
    },
    Scenario {
        name: "slower",
        purpose: "one core turns every 8 ms, longer than shares are kept",
        turns: Turns::First(Pace::Every(ms(8)), Pace::About(us(200))),
        bars: LIVED,
        ..BASE
    },
    Scenario {
        name: "slowest",
        purpose: "one core turns every 50 ms; the burst, and so how long shares are kept, is as usual",
        burst: 0,
        turns: Turns::First(Pace::Every(ms(50)), Pace::About(us(200))),
        // What it cannot claim first fills the window, and is free to the others from then on.
        warmup: ms(5000),
        bars: LIVED,
        ..BASE
    },
    Scenario {
        name: "stall",
        purpose: "every other core is busy for 5 ms of each turn before it draws",
        stall: ms(5),
        ..BASE
    },
    Scenario {
        name: "interleaved",
        purpose: "operations take 20 us, and other cores run theirs meanwhile",
        operation: us(20),
        ..BASE
    },
    Scenario {
        name: "skew",
        purpose: "999 members on one core, one on each of the others",
        rate: 50_000_000,
        burst: 0,
        crowd: Crowd::Skewed(999),
        ..BASE
    },
    Scenario {
        name: "weights",
        purpose: "one core's members weigh 100, all others' 1",
        crowd: Crowd::Weighted(4, 100),
        ..BASE
    },
    Scenario {
        name: "alone",
        purpose: "one core is busy, the others have members without work",
        activity: Activity::Alone,
        ..BASE
    },
    Scenario {
        name: "hop",
        purpose: "all work moves to the next core every 20 ms",
        activity: Activity::Hopping(ms(20)),
        bars: LIVED,
        ..BASE
    },
    Scenario {
        name: "churn",
        purpose: "up to a quarter of the members pause, others each millisecond",
        activity: Activity::Churning,
        bars: LIVED,
        ..BASE
    },
    Scenario {
        name: "reseat",
        purpose: "a core is dropped with all it holds every 25 ms, and another joins",
        activity: Activity::Reseating,
        bars: LIVED,
        ..BASE
    },
    Scenario {
        name: "short",
        purpose: "peers take a part of what was granted",
        short_odds: 64,
        // What a peer did not take it gets later: up to a quantum more lies between any two.
        bars: Bars { rounds: 250.0, ..EVEN },
        ..BASE
    },
    Scenario {
        name: "idle-start",
        purpose: "everybody becomes busy at once after the group was idle",
        activity: Activity::Late,
        bars: LIVED,
        ..BASE
    },
    Scenario {
        name: "bursts",
        purpose: "work comes in spells, so that the bucket is often full when a stalled core draws",
        rate: 1_000_000,
        burst: 2000,
        crowd: Crowd::Each(4),
        turns: Turns::First(Pace::About(ms(1)), Pace::About(us(200))),
        activity: Activity::Spells,
        stall: ms(5),
        // There is work for a quarter to a half of what the rate brings.
        bars: Bars { utilisation: 0.25, waits: false, ..LIVED },
        ..BASE
    },
    Scenario {
        name: "tight",
        purpose: "the burst is smaller than a quantum for each core",
        rate: 100_000,
        burst: 2048,
        crowd: Crowd::Each(3),
        turns: Turns::First(Pace::Every(ms(4)), Pace::About(us(200))),
        ..BASE
    },
    Scenario {
        name: "ticks",
        purpose: "bytes come every 100 ms, every other core sleeps and the others turn",
        burst: 4 * PER_TICK,
        ..TICKS
    },
    Scenario {
        name: "ticks-brim",
        purpose: "the same where nothing can be saved from tick to tick",
        burst: PER_TICK,
        ..TICKS
    },
    Scenario {
        name: "ticks-away",
        purpose: "nothing can be saved, and one core with work turns every 5 s",
        burst: PER_TICK,
        turns: Turns::First(Pace::Every(ms(5000)), Pace::About(ms(1))),
        bars: Bars { even: false, waits: false, rounds: 60.0, ..EVEN },
        ..TICKS
    },
    Scenario {
        name: "crawl",
        purpose: "1 kB/s",
        rate: 1000,
        burst: 0,
        crowd: Crowd::Each(2),
        turns: Turns::All(Pace::About(ms(5))),
        ..BASE
    },
    Scenario {
        name: "flood",
        purpose: "100 GB/s",
        rate: 100_000_000_000,
        burst: 0,
        crowd: Crowd::Each(4),
        turns: Turns::All(Pace::About(us(100))),
        ..BASE
    },
    Scenario {
        name: "asleep",
        purpose: "cores sleep until their deadlines",
        rate: 10_000_000,
        burst: 0,
        turns: Turns::All(Pace::Deadline),
        bars: Bars { asleep: true, ..EVEN },
        ..BASE
    },
    Scenario {
        name: "crowd",
        purpose: "as many members as asked for",
        rate: 100_000_000,
        burst: 0,
        crowd: Crowd::Asked,
        bars: LIVED,
        ..BASE
    },
];
