//! The scenarios: what is limited, how it is loaded, and what must come out.
//!
//! Owns the parameters and bars only. `libevent-1` … `libevent-4` are those of libevent's
//! `test-ratelim` with its tolerances; in the fourth its group check never ran, because it expected
//! 3500 − 500/0.1 bytes a second, and here it expects (3500 − 500)/0.1. `group` is ours.
//! Source: libevent test/test-ratelim.c.

use std::num::NonZeroU32;
use std::time::Duration;

use sluicegate::{Direction, Rate};

use crate::arguments::{LimitArguments, RatelimitArguments, Service};
use crate::client::Traffic;
use crate::exit::{Failure, Outcome};
use crate::limits::{self, Terms};
use crate::units::Size;

/// One check of a limit.
#[derive(Clone, Debug)]
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    pub(crate) members: usize,
    pub(crate) limits: LimitArguments,
    pub(crate) bars: Bars,
    pub(crate) warmup: Duration,
    /// The server reads nothing before the measured part begins, and then from everybody at once.
    pub(crate) hold: bool,
    pub(crate) duration: Duration,
    /// How many members go to each core's own port; empty if all share one.
    pub(crate) spread: Vec<usize>,
    /// Weights given out in turn; empty if all weigh 1.
    pub(crate) weights: Vec<NonZeroU32>,
    /// Over TLS.
    pub(crate) tls: bool,
}

/// What must come out, besides an audit without excess.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Bars {
    /// As in `test-ratelim`: what the clients received, in bytes a second.
    Peers {
        /// All together, within [`GROUP_TOLERANCE`].
        group: Option<f64>,
        /// Each on average, within [`MEAN_TOLERANCE`].
        mean: Option<f64>,
        /// Standard deviation between them, at most.
        deviation: f64,
    },
    /// The rate, every second of it, and equal shares, by the server's own log.
    Shares,
}

impl Scenario {
    /// The scenario of this name.
    ///
    /// # Errors
    /// No such scenario; the message lists them.
    pub(crate) fn named(name: &str, arguments: &RatelimitArguments) -> Outcome<Self> {
        let (each, all) = (Some(EACH), Some(ALL));
        let bars = |group, mean, deviation| Bars::Peers { group, mean, deviation };
        Ok(match name {
            "libevent-1" => Self::libevent(NAMES[0].0, None, all, bars(all, None, 100.0)),
            "libevent-2" => Self::libevent(NAMES[1].0, each, None, bars(None, each, 50.0)),
            "libevent-3" => Self::libevent(NAMES[2].0, each, all, bars(all, each, 50.0)),
            "libevent-4" => {
                let bars = bars(all, each, 50.0);
                let mut scenario = Self::libevent(NAMES[3].0, each, Some(ALL + DRAIN * 10.0), bars);
                scenario.limits.group_drain = Some(Size(DRAIN as u64));
                scenario
            }
            "group" => Self::group(arguments)?,
            _ => {
                let names: Vec<&str> = NAMES.iter().map(|(name, _)| *name).collect();
                return Err(Failure::Usage(format!(
                    "no scenario is called {name:?}; there are {}",
                    names.join(", ")
                )));
            }
        })
    }

    /// Equal hungry members of one group.
    ///
    /// # Errors
    /// No members, or a run too short to judge.
    pub(crate) fn group(arguments: &RatelimitArguments) -> Outcome<Self> {
        let rate = Rate::bytes_per_second(DEFAULT_RATE).expect("the default rate is in range");
        Self {
            name: "group",
            members: arguments.connections.unwrap_or(DEFAULT_MEMBERS),
            limits: LimitArguments {
                group_limit: Some(arguments.group_limit.unwrap_or(rate)),
                burst: arguments.burst,
                tick: arguments.tick,
                min_share: arguments.min_share,
                ..LimitArguments::default()
            },
            bars: Bars::Shares,
            warmup: Duration::from_secs(1),
            hold: false,
            duration: arguments.duration.unwrap_or(DEFAULT_DURATION),
            spread: Vec::new(),
            weights: Vec::new(),
            tls: arguments.tls,
        }
        .checked()
    }

    /// Refuses what could not be judged.
    ///
    /// # Errors
    /// No members, limits that contradict each other, or a run too short.
    pub(super) fn checked(self) -> Outcome<Self> {
        if self.members == 0 {
            return Err(Failure::NoConnections);
        }
        Terms::check(&self.limits)?;
        let least = LEAST_DURATION.max(self.turn()?.saturating_mul(LEAST_TURNS));
        if self.duration < least {
            return Err(Failure::Usage(format!(
                "-d {:?} is too short to judge this limit; give at least {least:?}",
                self.duration
            )));
        }
        Ok(self)
    }

    /// How long a round over all members takes if each gets one quantum: the wait to compare with.
    /// Without a group nobody waits for a turn.
    ///
    /// # Errors
    /// The limits contradict each other.
    pub(crate) fn ideal_round(&self) -> Outcome<Option<Duration>> {
        let Some(terms) = Terms::group(&self.limits)? else { return Ok(None) };
        let group = limits::group(terms.config(self.service())?, self.limits.min_share).build();
        let group = group.map_err(|error| Failure::Usage(error.to_string()))?;
        let weight = self.weight();
        let bytes = weight.saturating_mul(group.quantum(Direction::Write, weight));
        let seconds = bytes as f64 / terms.bytes_per_sec as f64;
        Ok(Some(Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX)))
    }

    /// How long a run takes at least.
    pub(crate) fn length(&self) -> Duration {
        self.warmup + self.duration
    }

    /// How often a member gets a turn at best: once a round, and in no less than a tick.
    ///
    /// # Errors
    /// The limits contradict each other.
    pub(crate) fn turn(&self) -> Outcome<Duration> {
        let round = self.ideal_round()?.unwrap_or_default();
        Ok(round.max(self.limits.tick.unwrap_or_default()))
    }

    /// Length of the windows in which the rate must hold: a second, or ten ticks.
    pub(crate) fn window(&self) -> Duration {
        self.limits.tick.map_or(WINDOW, |tick| WINDOW.max(tick * 10))
    }

    /// What the members count together.
    pub(crate) fn weight(&self) -> u64 {
        let weights = self.weights.iter().copied().cycle().map(|weight| u64::from(weight.get()));
        weights.chain(std::iter::repeat(1)).take(self.members).sum()
    }

    fn libevent(name: &'static str, each: Option<f64>, all: Option<f64>, bars: Bars) -> Self {
        let tick = Duration::from_millis(100);
        let rate = |bytes: f64| {
            Rate::bytes_per_second(bytes as u64).expect("the scenarios' rates are in range")
        };
        let four_ticks = |bytes: f64| Size((bytes * 0.4) as u64);
        Self {
            name,
            members: 30,
            limits: LimitArguments {
                group_limit: all.map(rate),
                burst: all.map(four_ticks),
                conn_limit: each.map(rate),
                conn_burst: each.map(four_ticks),
                tick: Some(tick),
                min_share: all.map(|_| Size(64)),
                group_drain: None,
            },
            bars,
            // Long enough that every connection has something to read when the limits begin.
            warmup: Duration::from_millis(200),
            hold: true,
            duration: Duration::from_secs(5),
            spread: Vec::new(),
            weights: Vec::new(),
            tls: false,
        }
    }

    /// What the server does with its connections.
    pub(crate) fn service(&self) -> Service {
        match self.bars {
            Bars::Peers { .. } => Service::Echo,
            Bars::Shares => Service::Source,
        }
    }

    /// What the client does.
    pub(crate) fn traffic(&self) -> Traffic {
        match self.bars {
            Bars::Peers { .. } => Traffic::Flood,
            Bars::Shares => Traffic::Source,
        }
    }
}

/// Names and one line each, in order.
pub(crate) const NAMES: [(&str, &str); 7] = [
    (
        "libevent-1",
        "30 echoes in a group of 30 kB/s, tick 100 ms: total ± 1000 B/s, deviation ≤ 100",
    ),
    ("libevent-2", "30 echoes of 1 kB/s each: mean ± 50 B/s, deviation ≤ 50"),
    ("libevent-3", "both limits: total ± 1000 B/s, mean ± 50 B/s, deviation ≤ 50"),
    ("libevent-4", "as 3 with a group of 35 kB/s of which 500 B a tick are taken from outside"),
    ("group", "-c hungry members, --group-limit: rate, every second, equal shares, no excess"),
    (
        "placement",
        "a group all on one core, spread evenly, 999:1 and by weights 3:1: no difference",
    ),
    (
        "suspended",
        "1,000 to 19,000 members waiting for 10 MB/s: CPU per second within 1.3 x, ≤ 70 ms",
    ),
];

pub(crate) const GROUP_TOLERANCE: f64 = 1000.0;
pub(crate) const MEAN_TOLERANCE: f64 = 50.0;

const EACH: f64 = 1000.0;
const ALL: f64 = 30_000.0;
const DRAIN: f64 = 500.0;

const WINDOW: Duration = Duration::from_secs(1);
const DEFAULT_MEMBERS: usize = 64;
const DEFAULT_RATE: u64 = 10_000_000;
const DEFAULT_DURATION: Duration = Duration::from_secs(10);
const LEAST_DURATION: Duration = Duration::from_secs(2);
/// Turns each member must have, and ticks there must be, to tell equal shares from luck.
const LEAST_TURNS: u32 = 50;
