//! The part of a run that only short connections have: its flags, and its figures.
//!
//! Owns what the flags come to and how even the cores were. The spread of a moment is the
//! difference between the core with the most and the one with the fewest connections, by their
//! mean; the spread of the run is that of each core's mean over the moments, so a single
//! connection more or less does not count.

use std::fmt::{self, Write};
use std::net::IpAddr;

use serde::Serialize;

use crate::arguments::{RunArguments, Workload};
use crate::client::Churn;
use crate::exit::{Failure, Outcome};
use crate::figure::{count, plain};
use crate::measurement::{Live, Measurement};
use crate::server::CoreCounts;

/// What a run of short connections found out beside what all runs do.
#[derive(Debug, Serialize)]
pub(super) struct ChurnResult {
    /// Whether nothing is exchanged.
    #[serde(skip)]
    ends_with_handshake: bool,
    pub(super) connections_per_sec: f64,
    pub(super) offered_per_sec: Option<f64>,
    pub(super) most_open: usize,
    pub(super) long: usize,
    /// `127.0.0.2-127.0.0.65`, or absent where the kernel chose.
    pub(super) sources: Option<String>,
    pub(super) close: &'static str,
    /// Due by the end and never begun.
    pub(super) backlog: u64,
    /// Under way at the end.
    pub(super) unfinished: u64,
    /// Local ports passed over because they belonged to others.
    pub(super) skipped_ports: u64,
    /// Of a server of ours: connections that the core which accepted them kept, and those that
    /// another core got.
    pub(super) accepts_kept: Option<u64>,
    pub(super) accepts_handed_over: Option<u64>,
    /// Of a server of ours.
    pub(super) live: Option<LiveFigures>,
}

/// How the open connections were spread over the cores of the server.
#[derive(Debug, PartialEq, Serialize)]
pub(super) struct LiveFigures {
    pub(super) mean_per_core: Vec<f64>,
    /// Of the means, by the mean of all.
    pub(super) spread: f64,
    /// The largest of any moment.
    pub(super) worst_spread: f64,
    pub(super) samples: Vec<Live>,
}

/// Refuses flags of short connections where there are none, and those that contradict each other.
///
/// # Errors
/// The flag and what to do.
pub(super) fn check(arguments: &RunArguments) -> Outcome {
    let (given, workload) = (arguments.load.churn.given(), arguments.load.workload);
    if let Some(flag) = given.filter(|_| !workload.is_short()) {
        return Err(Failure::Usage(format!("{flag} is of run churn and handshake; drop it")));
    }
    let of_churn =
        [("--long", arguments.load.churn.long.is_some()), ("--reset", arguments.load.churn.reset)];
    let mut given = of_churn.iter().filter(|(_, given)| *given && workload == Workload::Handshake);
    if let Some((flag, _)) = given.next() {
        return Err(Failure::Usage(format!("{flag} is of run churn alone; drop it")));
    }
    if arguments.load.churn.sources.is_some() && sources(arguments).is_none() {
        return Err(Failure::Usage(
            "--sources needs a server on the IPv4 loopback; drop it and the kernel chooses"
                .to_owned(),
        ));
    }
    Ok(())
}

/// The short connections that the flags ask for.
pub(super) fn load(arguments: &RunArguments) -> Option<Churn> {
    arguments.load.workload.is_short().then(|| Churn {
        rate: arguments.load.churn.rate,
        slots: arguments.load.connections,
        sources: arguments.load.churn.sources.unwrap_or(DEFAULT_SOURCES),
        reset: arguments.load.churn.reset,
    })
}

/// How many addresses they come from, if not from where the kernel says.
fn sources(arguments: &RunArguments) -> Option<u8> {
    let on_loopback = match arguments.address.map(|address| address.ip()) {
        None => true,
        Some(IpAddr::V4(ip)) => ip.is_loopback(),
        Some(IpAddr::V6(_)) => false,
    };
    on_loopback.then_some(arguments.load.churn.sources.unwrap_or(DEFAULT_SOURCES))
}

impl ChurnResult {
    pub(super) fn new(arguments: &RunArguments, measurement: &Measurement) -> Option<Self> {
        let tally = &measurement.tally;
        let churn = tally.churn.as_deref()?;
        let server = measurement.server.as_ref().filter(|server| !server.after.cores.is_empty());
        let accepts = |counter: fn(&CoreCounts) -> u64| server.map(|server| server.sum(counter));
        let last = |addresses: u8| format!("127.0.0.2-127.0.0.{}", u16::from(addresses) + 1);
        Some(Self {
            ends_with_handshake: arguments.load.workload == Workload::Handshake,
            connections_per_sec: tally.ops as f64 / tally.measured.as_secs_f64().max(1e-9),
            offered_per_sec: arguments.load.churn.rate,
            most_open: arguments.load.connections,
            long: arguments.load.churn.long.unwrap_or_default(),
            sources: sources(arguments).map(last),
            close: if arguments.load.churn.reset { "reset" } else { "fin" },
            backlog: churn.backlog,
            unfinished: churn.unfinished,
            skipped_ports: churn.skipped_ports,
            accepts_kept: accepts(|core| core.accepts_kept),
            accepts_handed_over: accepts(|core| core.accepts_handed_over),
            live: LiveFigures::new(&measurement.live),
        })
    }

    /// Two lines of text, or one where the server's cores are not known.
    pub(super) fn render(&self, text: &mut String) -> fmt::Result {
        let (name, unit) = match self.ends_with_handshake {
            true => ("handshake ", "handshakes"),
            false => ("churn     ", "connections"),
        };
        write!(text, "{name} {} {unit}/s", count(self.connections_per_sec))?;
        if let Some(offered) = self.offered_per_sec {
            write!(text, " of {} offered   {} not begun", count(offered), self.backlog)?;
        }
        write!(text, "   at most {} open", self.most_open)?;
        if self.long > 0 {
            write!(text, " and {} long ones", self.long)?;
        }
        let sources = self.sources.as_deref().unwrap_or("wherever the kernel says");
        writeln!(text, "   from {sources}   closed with {}", self.close.to_uppercase())?;
        let Some(live) = self.live.as_ref().filter(|live| live.mean_per_core.len() > 1) else {
            return Ok(());
        };
        let means: Vec<String> = live.mean_per_core.iter().map(|mean| plain(Some(*mean))).collect();
        writeln!(
            text,
            "live       {} connections per core on average   apart by {:.1} %, at worst {:.1} %, \
             in {} looks   {} handed over",
            means.join(", "),
            live.spread * 100.0,
            live.worst_spread * 100.0,
            live.samples.len(),
            count(self.accepts_handed_over.unwrap_or_default() as f64)
        )
    }
}

impl LiveFigures {
    fn new(samples: &[Live]) -> Option<Self> {
        let cores = samples.first()?.cores.len();
        let mean = |core: usize| {
            let sum: u64 = samples.iter().filter_map(|sample| sample.cores.get(core)).sum();
            sum as f64 / samples.len() as f64
        };
        let mean_per_core: Vec<f64> = (0..cores).map(mean).collect();
        let of_moment = |sample: &Live| {
            spread(&sample.cores.iter().map(|&core| core as f64).collect::<Vec<_>>())
        };
        Some(Self {
            spread: spread(&mean_per_core),
            worst_spread: samples.iter().map(of_moment).fold(0.0, f64::max),
            mean_per_core,
            samples: samples.to_vec(),
        })
    }
}

/// How far the largest and the smallest are apart, by the mean; zero where all are.
fn spread(values: &[f64]) -> f64 {
    let most = values.iter().copied().fold(0.0, f64::max);
    let least = values.iter().copied().fold(f64::INFINITY, f64::min);
    let mean = values.iter().sum::<f64>() / values.len().max(1) as f64;
    if mean > 0.0 { (most - least) / mean } else { 0.0 }
}

const DEFAULT_SOURCES: u8 = 64;

#[cfg(test)]
mod tests {
    use super::*;

    fn live(samples: &[&[u64]]) -> Option<LiveFigures> {
        let sample = |cores: &&[u64]| Live { at_s: 0.0, cores: cores.to_vec() };
        LiveFigures::new(&samples.iter().map(sample).collect::<Vec<_>>())
    }

    #[test]
    fn moments_that_differ_by_turns_even_out_in_the_mean() {
        let figures = live(&[&[50, 54], &[54, 50]]).unwrap();
        assert_eq!(figures.mean_per_core, [52.0, 52.0]);
        assert_eq!(figures.spread, 0.0);
        assert!((figures.worst_spread - 4.0 / 52.0).abs() < 1e-9);
    }

    #[test]
    fn a_core_that_has_more_all_the_time_shows() {
        let figures = live(&[&[30, 90], &[30, 90]]).unwrap();
        assert_eq!((figures.spread, figures.worst_spread), (1.0, 1.0));
        assert_eq!(live(&[&[0, 0]]).unwrap().spread, 0.0);
        assert_eq!(live(&[]), None);
    }
}
