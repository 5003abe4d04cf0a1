//! The command line: commands, flags, defaults.
//!
//! Owns the meaning of every flag. Never acts. Values are read by `units` and `cpus`, so a bad one
//! is refused with its text.

mod ratelimit;
mod serve;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};

pub(crate) use self::ratelimit::RatelimitArguments;
pub(crate) use self::serve::{LimitArguments, Pin, ServeArguments, Service};
use crate::cpus::CpuChoice;
use crate::units::{Size, address, duration};

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
}

/// What a run does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Workload {
    /// One request in flight on each connection, answered in kind.
    Echo,
    /// The server sends, the client reads.
    Source,
    /// The client sends, the server reads.
    Sink,
    /// One echo on each connection, then silence.
    Idle,
}

/// Which server a run starts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Subject {
    #[default]
    Sluicegate,
    /// The bare poll loop (echo and idle only).
    Bare,
}

#[derive(Args, Clone, Debug)]
pub(crate) struct RunArguments {
    #[arg(value_enum)]
    pub(crate) workload: Workload,
    /// Server to load [default: one is started on CPUs of its own]
    #[arg(value_parser = address)]
    pub(crate) address: Option<SocketAddr>,
    /// Connections, spread over the threads
    #[arg(short, long, value_name = "N", default_value_t = 64)]
    pub(crate) connections: usize,
    /// Measured part
    #[arg(short, long, value_name = "T", default_value = "10s", value_parser = duration)]
    pub(crate) duration: Duration,
    /// Part before it that is discarded
    #[arg(short, long, value_name = "T", default_value = "2s", value_parser = duration)]
    pub(crate) warmup: Duration,
    /// Bytes of a request or of a write
    #[arg(short, long, value_name = "SIZE", default_value = "64")]
    pub(crate) size: Size,
    /// Client threads [default: one per client CPU]
    #[arg(short, long, value_name = "N")]
    pub(crate) threads: Option<usize>,
    /// CPUs of the client
    #[arg(long, value_name = "LIST", default_value = "auto")]
    pub(crate) client_cpus: CpuChoice,
    /// CPUs of the server that is started, one core each
    #[arg(long, value_name = "LIST", default_value = "auto")]
    pub(crate) server_cpus: CpuChoice,
    /// Server that is started
    #[arg(long, value_enum, default_value = "sluicegate", conflicts_with = "address")]
    pub(crate) server: Subject,
    /// Process whose CPU time is the server's, when it was started elsewhere
    #[arg(long, value_name = "PID", requires = "address")]
    pub(crate) server_pid: Option<u32>,
    #[command(flatten)]
    pub(crate) limits: LimitArguments,
    /// Writes the result as JSON; - for standard output
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
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
