//! Members that wait: what they cost must follow what is served and not how many wait.
//!
//! Owns the numbers of members and the slices of time in which each is measured. Every
//! slice has a server of its own; they take turns, so that a drift of the machine falls on all
//! alike. Beside them it measures the same writes without a limit: paced by a timer, so that they
//! come as a group's would, and as fast as they go. What is compared, and with which bar, is in
//! `cost`.
//!
//! Small socket buffers keep thousands of connections small. They never block a member: each gets
//! less at a time than they hold, long before its next turn.

mod cost;
mod finding;

use std::time::Duration;

use sluicegate::{Direction, Rate};

use super::comparison::Comparison;
use super::plan::Stage;
use crate::arguments::{LimitArguments, RatelimitArguments, ServeArguments, Service};
use crate::child::ServerProcess;
use crate::client::{Load, Target, Traffic};
use crate::exit::{Failure, Outcome};
use crate::limits::{self, Terms};
use crate::measurement::{self, Subject};
use crate::units::Size;

use self::cost::Costs;
pub(super) use self::finding::Finding;
use self::finding::{Sample, Samples};

/// The name to ask for it by.
pub(super) const NAME: &str = "suspended";

/// The scenario, resolved.
#[derive(Clone, Debug)]
pub(super) struct Suspended {
    /// Fewest first.
    counts: [usize; 3],
    rate: Rate,
    slice: Duration,
    /// Whether these are the numbers that the bars in milliseconds are meant for.
    is_standard: bool,
}

/// What makes a server write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Feed {
    /// The group, with everybody waiting for it.
    Group,
    /// A timer, to the same amount.
    Timer,
    /// Nothing but the sockets.
    Sockets,
    /// The requests of a bare echo loop, which tells how fast the machine is.
    Echo,
}

/// One measurement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Slice {
    members: usize,
    feed: Feed,
}

impl Suspended {
    /// Resolves the flags.
    ///
    /// # Errors
    /// Too few members, or slices too short.
    pub(super) fn new(arguments: &RatelimitArguments) -> Outcome<Self> {
        let most = arguments.connections.unwrap_or(MOST_MEMBERS);
        if most < LEAST_MOST_MEMBERS {
            return Err(Failure::Usage(format!(
                "-c {most}: suspended also runs with a nineteenth of it; give at least \
                 {LEAST_MOST_MEMBERS}"
            )));
        }
        let slice = arguments.duration.unwrap_or(SLICE);
        if slice < LEAST_SLICE {
            return Err(Failure::Usage(format!(
                "-d {slice:?} is too short to measure CPU time; give at least {LEAST_SLICE:?}"
            )));
        }
        Ok(Self {
            counts: [most / 19, most * 5 / 19, most],
            rate: Rate::bytes_per_second(RATE).expect("the rate is in range"),
            slice,
            is_standard: most == MOST_MEMBERS,
        })
    }

    /// The most connections open at once.
    pub(super) fn connections(&self) -> usize {
        self.counts[2]
    }

    /// How long it takes at least.
    pub(super) fn length(&self) -> Duration {
        self.schedule().iter().map(|slice| self.warmup(*slice) + self.slice).sum()
    }

    /// Measures everything; tells of each number of members, and what the comparison came to.
    ///
    /// # Errors
    /// A server could not be run.
    pub(super) fn run(&self, stage: &mut Stage<'_>) -> Outcome<(Vec<Finding>, Comparison)> {
        let mut measured = Vec::new();
        for slice in self.schedule() {
            measured.push((slice, self.measure(slice, stage)?));
        }
        let of = |members, feed| {
            let wanted = Slice { members, feed };
            let samples = measured.iter().filter(|(slice, _)| *slice == wanted);
            Samples::new(samples.map(|(_, sample)| sample.clone()).collect())
        };
        let [fewest, _, most] = self.counts;
        let costs = Costs {
            waiting: self.counts.map(|members| of(members, Feed::Group)),
            timed: of(fewest, Feed::Timer),
            timed_most: of(most, Feed::Timer),
            saturated: of(fewest, Feed::Sockets),
            bare: of(ECHOES, Feed::Echo),
        };
        let configured = self.rate.as_bytes_per_second() as f64;
        let findings = self.counts.iter().zip(&costs.waiting);
        let findings =
            findings.map(|(&members, samples)| Finding::new(members, configured, samples));
        Ok((findings.collect(), costs.compare(self)))
    }

    /// All slices, in order.
    fn schedule(&self) -> Vec<Slice> {
        let [fewest, _, most] = self.counts;
        let timed = Slice { members: fewest, feed: Feed::Timer };
        let mut slices = Vec::new();
        for round in 0..ROUNDS {
            slices.extend(self.counts.map(|members| Slice { members, feed: Feed::Group }));
            slices.extend([timed, Slice { members: ECHOES, feed: Feed::Echo }]);
            match round {
                0 => slices.push(Slice { members: most, ..timed }),
                1 => slices.push(Slice { feed: Feed::Sockets, ..timed }),
                _ => {}
            }
        }
        slices
    }

    /// Writes a second of the group at its rate.
    fn operations_per_sec(&self) -> f64 {
        self.rate.as_bytes_per_second() as f64 / self.quantum(self.counts[0]) as f64
    }

    /// What a member gets at a time.
    fn quantum(&self, members: usize) -> u64 {
        let terms = Terms::group(&self.limits()).ok().flatten().expect("the limits are ours");
        let config = terms.config(Service::Source).expect("the limits are ours");
        let group = limits::group(config, None).build().expect("the limits are ours");
        group.quantum(Direction::Write, members as u64)
    }

    /// A round of all: after it no member's socket is new.
    fn warmup(&self, slice: Slice) -> Duration {
        let bytes = slice.members as u64 * self.quantum(slice.members);
        let round = bytes as f64 / self.rate.as_bytes_per_second() as f64;
        Duration::from_secs_f64(round).max(LEAST_WARMUP)
    }

    fn limits(&self) -> LimitArguments {
        LimitArguments { group_limit: Some(self.rate), ..LimitArguments::default() }
    }

    fn server(&self, slice: Slice, cpus: &[usize]) -> ServeArguments {
        if slice.feed == Feed::Echo {
            return ServeArguments::local(Service::Bare, cpus);
        }
        let mut serve = ServeArguments::local(Service::Source, cpus);
        serve.send_buffer = Some(Size(SOCKET_BUFFER as u64));
        if slice.feed == Feed::Group {
            serve.limits = self.limits();
        } else {
            serve.write_size = Some(Size(self.quantum(slice.members)));
            serve.pace = (slice.feed == Feed::Timer).then_some(self.rate);
        }
        serve
    }

    fn measure(&self, slice: Slice, stage: &mut Stage<'_>) -> Outcome<Sample> {
        let placement = stage.placement;
        // One core: the timer paces one, and the cost of waiting is a core's own.
        let cpus = &placement.server[..placement.server.len().min(1)];
        let mut server = ServerProcess::start(&self.server(slice, cpus))?;
        let echoes = slice.feed == Feed::Echo;
        let load = Load {
            targets: vec![Target { address: server.address(), connections: slice.members }],
            traffic: if echoes { Traffic::Echo } else { Traffic::Source },
            churn: None,
            tls: None,
            size: ECHO_BYTES,
            receive_buffer: (!echoes).then_some(SOCKET_BUFFER),
            threads: placement.client.len().max(1),
            cpus: placement.client.clone(),
            warmup: self.warmup(slice),
            duration: self.slice,
            keep_receipts: false,
        };
        stage.progress.step(NAME, load.warmup + load.duration);
        let subject = Subject::Child(&mut server);
        let measurement = measurement::take(&load, subject, cpus, &mut stage.progress)?;
        server.stop()?;
        Ok(Sample::new(&measurement, placement))
    }
}

const MOST_MEMBERS: usize = 19_000;
const LEAST_MOST_MEMBERS: usize = 19;
const RATE: u64 = 10_000_000;
const SLICE: Duration = Duration::from_millis(1200);
const LEAST_SLICE: Duration = Duration::from_millis(100);
const LEAST_WARMUP: Duration = Duration::from_millis(300);
const ROUNDS: usize = 3;
/// Connections and bytes of the bare echo.
const ECHOES: usize = 64;
const ECHO_BYTES: usize = 64;
/// Of the kernel, on both sides; it doubles it for its own needs.
const SOCKET_BUFFER: usize = 16 * 1024;

#[cfg(test)]
pub(super) mod tests {
    use clap::Parser;

    use super::*;
    use crate::arguments::{Arguments, Command};

    pub(in crate::ratelimit::suspended) fn suspended(flags: &str) -> Outcome<Suspended> {
        let line = format!("loadtest ratelimit suspended {flags}");
        match Arguments::parse_from(line.split_whitespace()).command {
            Some(Command::Ratelimit(arguments)) => Suspended::new(&arguments),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn members_are_in_the_proportion_of_1_to_5_to_19() {
        assert_eq!(suspended("").unwrap().counts, [1000, 5000, 19_000]);
        assert_eq!(suspended("-c 38").unwrap().counts, [2, 10, 38]);
        assert!(suspended("-c 18").unwrap_err().to_string().contains("-c 18"));
        assert!(suspended("-d 99ms").unwrap_err().to_string().contains("99ms"));
    }

    #[test]
    fn every_number_of_members_has_its_turn_in_each_round_and_all_fits_in_a_minute() {
        let suspended = suspended("").unwrap();
        let schedule = suspended.schedule();
        let count =
            |members, feed| schedule.iter().filter(|s| **s == Slice { members, feed }).count();
        assert_eq!([1000, 5000, 19_000].map(|members| count(members, Feed::Group)), [3; 3]);
        assert_eq!(count(1000, Feed::Timer), 3);
        assert_eq!(count(ECHOES, Feed::Echo), 3);
        assert_eq!((count(19_000, Feed::Timer), count(1000, Feed::Sockets)), (1, 1));
        assert!(suspended.length() < Duration::from_secs(35), "{:?}", suspended.length());
    }
}
