//! The command line: commands, flags, defaults.
//!
//! Owns the meaning of every flag. Never acts. Values are read by `units` and `cpus`, so a bad one
//! is refused with its text.

mod ab;
mod placement;
mod ratelimit;
mod run;
mod serve;
mod tls;
mod tune;
mod watch;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

pub(crate) use self::ab::{AbArguments, Side};
pub(crate) use self::placement::PlacementArguments;
pub(crate) use self::ratelimit::RatelimitArguments;
pub(crate) use self::run::{LoadArguments, RunArguments, Subject, Workload};
pub(crate) use self::serve::{LimitArguments, ServeArguments, Service};
pub(crate) use self::tls::{ServerTlsArguments, TlsArguments, TlsVersion};
pub(crate) use self::tune::{By, TuneArguments};
pub(crate) use self::watch::WatchArguments;

/// Measures servers and proves rate limits.
///
/// Without a command it shows both in less than twenty seconds.
#[derive(Debug, Parser)]
#[command(name = "loadtest", version)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,

    /// Makes the server's limiter 5 % too fast, to see that the checks notice.
    #[arg(long, global = true, hide = true)]
    pub(crate) break_limiter: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Serves until it is told to stop (SIGTERM drains).
    Serve(ServeArguments),
    /// Measures one workload.
    Run(RunArguments),
    /// Checks that limits are kept and shared fairly.
    Ratelimit(RatelimitArguments),
    /// Checks the same on many cores in virtual time, without a socket or a clock.
    Simulate(SimulateArguments),
    /// Tries where to place a server's cores and ranks the ways.
    Tune(TuneArguments),
    /// Compares two servers in interleaved pairs of runs.
    Ab(Box<AbArguments>),
    /// Says what this machine offers, what limits it and what to do about it.
    Doctor(DoctorArguments),
}

#[derive(Args, Clone, Debug)]
pub(crate) struct SimulateArguments {
    /// Scenarios to run [default: all]
    pub(crate) scenarios: Vec<String>,
    /// Cores, 1 to 128
    #[arg(long, value_name = "N", default_value_t = 8)]
    pub(crate) cores: usize,
    /// Members of the scenario crowd, up to a million
    #[arg(long, value_name = "N", default_value_t = 10_000)]
    pub(crate) members: usize,
    /// What random choices are drawn from; the same seed gives the same output
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) seed: u64,
    /// Breaks the limiter, to see that the checks notice; --list names the ways
    #[arg(long, value_name = "WAY")]
    pub(crate) broken: Option<String>,
    /// Writes the result here; - for standard output
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
    /// Lists the scenarios
    #[arg(long)]
    pub(crate) list: bool,
}

#[derive(Args, Clone, Debug)]
pub(crate) struct DoctorArguments {
    /// Looks at the files of another machine, copied below this folder, and measures nothing
    #[arg(long, value_name = "DIR", default_value = "/")]
    pub(crate) root: PathBuf,
    /// Also measures for two seconds what the client can do at most
    #[arg(long, conflicts_with = "root")]
    pub(crate) ceiling: bool,
    /// Writes the findings as JSON; - for standard output
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Arguments, String> {
        Arguments::try_parse_from(line.split_whitespace()).map_err(|error| error.to_string())
    }

    #[test]
    fn no_arguments_mean_the_demonstration() {
        assert!(parse("loadtest").unwrap().command.is_none());
    }

    #[test]
    fn bad_values_are_refused_with_their_text() {
        for (line, expected) in [
            ("loadtest run echo -d 10", "10s (seconds)"),
            ("loadtest run echo --group-limit 10M", "10M"),
            ("loadtest run echo --client-cpus 3-1", "3-1"),
            ("loadtest run echo -s 5Mb", "5Mb"),
            ("loadtest run echo nowhere", "127.0.0.1:7777"),
            ("loadtest serve tea", "tea"),
            ("loadtest run echo 127.0.0.1:1 --server bare", "cannot be used with"),
        ] {
            let error = parse(line).unwrap_err();
            assert!(error.contains(expected), "{line}: {error}");
        }
    }
}
