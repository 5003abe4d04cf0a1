//! The flags of `tune`.
//!
//! Owns what a tuning compares by. Never acts.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};

use super::LoadArguments;
use crate::units::{duration, percent};

/// The figure that candidates are compared by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum By {
    /// CPU time of the server per operation.
    Cost,
    /// The part of it in user space, which the kernel samples: it takes long runs, and many.
    User,
    /// Operations per second.
    Throughput,
    /// The 99th percentile of the latency from the planned moment.
    P99,
}

#[derive(Args, Clone, Debug)]
pub(crate) struct TuneArguments {
    #[command(flatten)]
    pub(crate) load: LoadArguments,
    /// Measured part of each trial [default: 2s; 10s --by user]
    #[arg(short, long, value_name = "T", value_parser = duration)]
    pub(crate) duration: Option<Duration>,
    /// Part before it that is discarded
    #[arg(short, long, value_name = "T", default_value = "500ms", value_parser = duration)]
    pub(crate) warmup: Duration,
    /// Figure to compare by [default: cost at a --rate, else throughput]
    #[arg(long, value_enum)]
    pub(crate) by: Option<By>,
    /// Rounds, each of one trial of every candidate [default: 12, or so many that one that was
    /// disturbed decides nothing, if --budget leaves time for them]
    #[arg(long, value_name = "N")]
    pub(crate) rounds: Option<usize>,
    /// Time after which no further round begins
    #[arg(long, value_name = "T", default_value = "15m", value_parser = duration)]
    pub(crate) budget: Duration,
    /// Difference that does not matter
    #[arg(long, value_name = "PERCENT", default_value = "2%", value_parser = percent)]
    pub(crate) noise: f64,
    /// What the order within the rounds is drawn from [default: drawn, and printed]
    #[arg(long, value_name = "N")]
    pub(crate) seed: Option<u64>,
    /// Lists the candidates and what was left out, and measures nothing
    #[arg(long)]
    pub(crate) list: bool,
    /// Writes the result as JSON; - for standard output
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
}

impl TuneArguments {
    /// The warm-up and the measured part of a trial.
    pub(crate) fn times(&self) -> (Duration, Duration) {
        let default = if self.by == Some(By::User) { LONG } else { SHORT };
        (self.warmup, self.duration.unwrap_or(default))
    }
}

const SHORT: Duration = Duration::from_secs(2);
/// Where the figure is a sample.
const LONG: Duration = Duration::from_secs(10);
