//! Members that wait: what they cost must follow what is served and not how many wait.
//!
//! Owns the numbers of members, the slices of time in which each is measured, and the bars. Every
//! slice has a server of its own; they take turns, so that a drift of the machine falls on all
//! alike, and medians are compared. Beside them it measures the same writes without a limit: paced
//! by a timer, so that they come as a group's would, and as fast as they go.
//!
//! Small socket buffers keep thousands of connections small. They never block a member: each gets
//! less at a time than they hold, long before its next turn.

mod finding;

use std::time::Duration;

use sluicegate::{Direction, Rate};

use super::comparison::Comparison;
use super::judge::Check;
use super::plan::Stage;
use crate::arguments::{LimitArguments, RatelimitArguments, ServeArguments, Service};
use crate::child::ServerProcess;
use crate::client::{Load, Target, Traffic};
use crate::exit::{Failure, Outcome};
use crate::limits::{self, Terms};
use crate::measurement::{self, Subject};
use crate::units::Size;

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
        let configured = self.rate.as_bytes_per_second() as f64;
        let waiting = self.counts.map(|members| of(members, Feed::Group));
        let findings = self.counts.iter().zip(&waiting);
        let findings =
            findings.map(|(&members, samples)| Finding::new(members, configured, samples));
        let [fewest, _, most] = self.counts;
        let costs = Costs {
            timed_fewest: of(fewest, Feed::Timer),
            timed_most: of(most, Feed::Timer),
            saturated: of(fewest, Feed::Sockets),
            waiting: &waiting,
        };
        Ok((findings.collect(), self.compare(&costs)))
    }

    /// All slices, in order.
    fn schedule(&self) -> Vec<Slice> {
        let [fewest, _, most] = self.counts;
        let timed = Slice { members: fewest, feed: Feed::Timer };
        let mut slices = Vec::new();
        for round in 0..ROUNDS {
            slices.extend(self.counts.map(|members| Slice { members, feed: Feed::Group }));
            slices.push(timed);
            match round {
                0 => slices.push(Slice { members: most, ..timed }),
                1 => slices.push(Slice { feed: Feed::Sockets, ..timed }),
                _ => {}
            }
        }
        slices
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

    fn measure(&self, slice: Slice, stage: &mut Stage<'_>) -> Outcome<Sample> {
        let placement = stage.placement;
        // One core: the timer paces one, and the cost of waiting is a core's own.
        let cpus = &placement.server[..placement.server.len().min(1)];
        let mut serve = ServeArguments::local(Service::Source, cpus);
        serve.send_buffer = Some(Size(SOCKET_BUFFER as u64));
        serve.break_limiter = stage.break_limiter;
        match slice.feed {
            Feed::Group => serve.limits = self.limits(),
            Feed::Timer => serve.pace = Some(self.rate),
            Feed::Sockets => {}
        }
        if slice.feed != Feed::Group {
            serve.write_size = Some(Size(self.quantum(slice.members)));
        }
        let mut server = ServerProcess::start(&serve)?;
        let load = Load {
            targets: vec![Target { address: server.address(), connections: slice.members }],
            traffic: Traffic::Source,
            size: 1,
            receive_buffer: Some(SOCKET_BUFFER),
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

    fn compare(&self, costs: &Costs<'_>) -> Comparison {
        let [fewest, middle, most] = costs.waiting;
        let timed = &costs.timed_fewest;
        let noisy = |samples: &[&Samples]| samples.iter().any(|samples| samples.are_noisy());
        let flat = most.cpu_ms_per_sec() / fewest.cpu_ms_per_sec();
        let above = fewest.cpu_ms_per_sec() - timed.cpu_ms_per_sec();
        let mut checks = vec![
            Check::at_most("CPU at most members / at fewest", flat, FLAT)
                .timing(noisy(&[fewest, most])),
        ];
        if self.is_standard {
            let at_5000 = middle.cpu_ms_per_sec();
            checks.push(
                Check::at_most("CPU at 5,000 members, ms/s", at_5000, MOST_AT_5000)
                    .timing(noisy(&[middle])),
            );
            checks.push(
                Check::at_most("CPU at 1,000 members above unlimited, ms/s", above, MOST_ABOVE)
                    .timing(noisy(&[fewest, timed])),
            );
        }
        let quantum = self.quantum(self.counts[0]) as f64;
        let operations = self.rate.as_bytes_per_second() as f64 / quantum;
        Comparison::new(NAME, checks)
            .with("flat_ratio", flat)
            .with("write_bytes", quantum)
            .with("above_unlimited_ms_per_sec", above)
            .with("unlimited_ms_per_sec", timed.cpu_ms_per_sec())
            .with("unlimited_most_members_ms_per_sec", costs.timed_most.cpu_ms_per_sec())
            .with("saturated_ms_per_sec", costs.saturated.cpu_us_per_op() * operations / 1e3)
    }
}

/// What everything cost.
struct Costs<'a> {
    /// For each number of members.
    waiting: &'a [Samples; 3],
    timed_fewest: Samples,
    timed_most: Samples,
    saturated: Samples,
}

const MOST_MEMBERS: usize = 19_000;
const LEAST_MOST_MEMBERS: usize = 19;
const RATE: u64 = 10_000_000;
const SLICE: Duration = Duration::from_millis(1200);
const LEAST_SLICE: Duration = Duration::from_millis(100);
const LEAST_WARMUP: Duration = Duration::from_millis(300);
const ROUNDS: usize = 3;
/// Of the kernel, on both sides; it doubles it for its own needs.
const SOCKET_BUFFER: usize = 16 * 1024;
/// The most that the largest number of members may cost of the smallest's.
const FLAT: f64 = 1.3;
/// Bars of 10 MB/s in writes of 1,000 bytes, in milliseconds of CPU a second.
const MOST_AT_5000: f64 = 70.0;
const MOST_ABOVE: f64 = 15.0;

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::arguments::{Arguments, Command};

    fn suspended(flags: &str) -> Outcome<Suspended> {
        let line = format!("loadtest ratelimit suspended {flags}");
        match Arguments::parse_from(line.split_whitespace()).command {
            Some(Command::Ratelimit(arguments)) => Suspended::new(&arguments),
            other => panic!("{other:?}"),
        }
    }

    /// What fails and what is inconclusive, of servers that took these milliseconds a second with
    /// few, more and most members, and with few of them paced.
    fn judged(flags: &str, costs: [f64; 3], timed: f64, noisy: bool) -> (Vec<&str>, Vec<&str>) {
        let samples = |ms| Samples::new(vec![Sample::of(ms, noisy)]);
        let comparison = suspended(flags).unwrap().compare(&Costs {
            waiting: &costs.map(samples),
            timed_fewest: samples(timed),
            timed_most: samples(timed),
            saturated: samples(timed),
        });
        let named = |wanted: fn(&Check) -> bool| {
            comparison.checks.iter().filter(|c| wanted(c)).map(|c| c.name).collect()
        };
        (named(Check::fails), named(|check| check.inconclusive))
    }

    #[test]
    fn flat_and_cheap_costs_pass_and_each_bar_is_judged_by_itself() {
        assert_eq!(judged("", [50.0, 60.0, 65.0], 40.0, false), (vec![], vec![]));
        assert_eq!(judged("", [50.0, 60.0, 65.1], 40.0, false), (vec![NOT_FLAT], vec![]));
        assert_eq!(judged("", [60.0, 70.1, 65.0], 50.0, false), (vec![AT_5000], vec![]));
        assert_eq!(judged("", [55.1, 60.0, 65.0], 40.0, false), (vec![ABOVE], vec![]));
    }

    #[test]
    fn a_busy_machine_proves_nothing_and_other_numbers_have_no_bars_in_milliseconds() {
        let costs = [90.0, 150.0, 250.0];
        assert_eq!(judged("", costs, 10.0, true), (vec![], vec![NOT_FLAT, AT_5000, ABOVE]));
        assert_eq!(judged("-c 190", costs, 10.0, false), (vec![NOT_FLAT], vec![]));
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
        assert_eq!((count(19_000, Feed::Timer), count(1000, Feed::Sockets)), (1, 1));
        assert!(suspended.length() < Duration::from_secs(35), "{:?}", suspended.length());
    }

    const NOT_FLAT: &str = "CPU at most members / at fewest";
    const AT_5000: &str = "CPU at 5,000 members, ms/s";
    const ABOVE: &str = "CPU at 1,000 members above unlimited, ms/s";
}
