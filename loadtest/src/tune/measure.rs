//! What candidates are compared by.
//!
//! Owns which figure of a run counts. Where data streams, an operation is whatever the server
//! happened to read or write at once, which its placement changes; there bytes count instead.

use std::time::Duration;

use super::ranking::{Aim, Terms};
use crate::arguments::{By, LoadArguments, Workload};
use crate::exit::{Failure, Outcome};
use crate::figure::{bytes, count, microseconds};
use crate::procfs::LEAST_TICKS;
use crate::run::RunResult;

/// A figure of a run, and which way is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Measure {
    by: By,
    /// By bytes instead of operations.
    streams: bool,
}

impl Measure {
    /// At a fixed rate all do the same and what differs is its cost; else what differs is how much.
    ///
    /// # Errors
    /// A workload in which nothing is done, a figure of replies where nobody replies, or a time too
    /// short for one that is sampled.
    pub(super) fn new(load: &LoadArguments, by: Option<By>, duration: Duration) -> Outcome<Self> {
        let fixed = load.churn.rate.is_some();
        let by = by.unwrap_or(if fixed { By::Cost } else { By::Throughput });
        let workload = load.workload;
        if workload == Workload::Idle {
            return Err(Failure::Usage(
                "idle does nothing that could be compared; give echo, source, sink, churn or \
                 handshake"
                    .to_owned(),
            ));
        }
        let streams = matches!(workload, Workload::Source | Workload::Sink);
        if streams && matches!(by, By::P99 | By::User) {
            let name = if by == By::P99 { "p99" } else { "user" };
            return Err(Failure::Usage(format!(
                "--by {name}: nobody replies in {}; give --by cost or throughput",
                workload.name()
            )));
        }
        if by == By::User && duration < LEAST_USER_TIME {
            return Err(Failure::Usage(format!(
                "-d {duration:?} --by user: the kernel samples that figure, and coarsely; give -d \
                 {LEAST_USER_TIME:?} or more, or compare --by cost, which is exact"
            )));
        }
        Ok(Self { by, streams })
    }

    /// As nobody gives it.
    #[cfg(test)]
    pub(super) fn by(by: By) -> Self {
        Self { by, streams: false }
    }

    /// What is told apart; `noise` is the difference that does not matter.
    pub(super) fn terms(self, noise: f64) -> Terms {
        let aim = if self.by == By::Throughput { Aim::Most } else { Aim::Least };
        Terms { aim, noise, client_hides: matches!(self.by, By::Throughput | By::P99) }
    }

    pub(super) fn name(self) -> &'static str {
        match (self.by, self.streams) {
            (By::Cost, false) => "server CPU time per operation, less is better",
            (By::Cost, true) => "server CPU time per megabyte, less is better",
            (By::Throughput, false) => "operations per second, more is better",
            (By::Throughput, true) => "bytes per second, more is better",
            (By::User, _) => "user CPU time per operation, less is better",
            (By::P99, _) => "99th percentile of the latency, less is better",
        }
    }

    /// How it is printed.
    pub(super) fn text(self, value: f64) -> String {
        match (self.by, self.streams) {
            (By::Throughput, false) => format!("{}/s", count(value)),
            (By::Throughput, true) => format!("{}/s", bytes(value)),
            (By::Cost, true) => format!("{}/MB", microseconds(Some(value))),
            (By::Cost, false) | (By::User | By::P99, _) => microseconds(Some(value)),
        }
    }

    /// The figure of a run; none where it was too short for it.
    pub(super) fn of(self, result: &RunResult) -> Option<f64> {
        let figure = match (self.by, self.streams) {
            (By::Throughput, false) => Some(result.ops_per_sec()),
            (By::Throughput, true) => Some(result.bytes_per_sec()),
            (By::Cost, false) => result.cost_us(),
            (By::Cost, true) => result.cost_us_per_mb(),
            (By::User, _) => result.user_us(),
            (By::P99, _) => result.p99_us(),
        };
        figure.filter(|figure| *figure > 0.0)
    }

    /// What a run was too short for.
    pub(super) fn missing(self) -> String {
        match self.by {
            By::User => format!("{LEAST_TICKS} ticks of CPU time, of which its user part is told"),
            By::P99 => "the replies that a 99th percentile takes".to_owned(),
            By::Cost | By::Throughput => "a single operation".to_owned(),
        }
    }
}

/// What a server that works for a tenth of the time needs to be sampled at all.
const LEAST_USER_TIME: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::arguments::{Arguments, Command};

    fn measure(line: &str) -> Outcome<Measure> {
        let Some(Command::Tune(arguments)) = Arguments::parse_from(line.split(' ')).command else {
            panic!("the line says tune")
        };
        Measure::new(&arguments.load, arguments.by, arguments.times().1)
    }

    #[test]
    fn a_fixed_rate_is_compared_by_its_cost_and_all_else_by_how_much() {
        let paced = measure("loadtest tune churn --rate 10").unwrap();
        assert_eq!((paced.by, paced.terms(0.1).aim), (By::Cost, Aim::Least));
        assert!(!paced.terms(0.1).client_hides);
        let closed = measure("loadtest tune churn").unwrap();
        assert_eq!((closed.by, closed.terms(0.1).aim), (By::Throughput, Aim::Most));
        assert!(closed.terms(0.1).client_hides);
    }

    #[test]
    fn what_is_sampled_takes_its_time() {
        assert!(measure("loadtest tune echo --by user").is_ok(), "by default it has it");
        assert!(measure("loadtest tune echo --by user -d 2s").is_ok());
        let refused = measure("loadtest tune echo --by user -d 1999ms").unwrap_err().to_string();
        assert!(refused.contains("1.999s") && refused.contains("--by cost"), "{refused}");
        assert!(measure("loadtest tune echo --by cost -d 100ms").is_ok());
    }

    #[test]
    fn streams_are_compared_by_bytes() {
        for workload in ["source", "sink"] {
            let most = measure(&format!("loadtest tune {workload}")).unwrap();
            assert!(most.name().starts_with("bytes"), "{}", most.name());
            assert_eq!(most.text(2e9), "2 GB/s");
            let cost = measure(&format!("loadtest tune {workload} --by cost")).unwrap();
            assert!(cost.name().contains("per megabyte"), "{}", cost.name());
            let refused = measure(&format!("loadtest tune {workload} --by p99")).unwrap_err();
            assert!(refused.to_string().contains("nobody replies"), "{refused}");
        }
        assert!(measure("loadtest tune echo").unwrap().name().starts_with("operations"));
    }
}
