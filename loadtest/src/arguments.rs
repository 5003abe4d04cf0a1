//! The command line: commands, flags, defaults.
//!
//! Owns the meaning of every flag and how a `serve` is written as a command for a child process.
//! Never acts. Values are read by `units` and `cpus`, so a bad one is refused with its text.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use sluicegate::Rate;

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

/// What a server does with its connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Service {
    /// Sends back what it receives.
    Echo,
    /// Sends as fast as it may.
    Source,
    /// Receives and discards.
    Sink,
    /// Echo by a bare poll loop, to compare with.
    Bare,
}

impl Service {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Echo => "echo",
            Self::Source => "source",
            Self::Sink => "sink",
            Self::Bare => "bare",
        }
    }
}

/// Which CPU a core's thread is pinned to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Pin {
    /// Wherever the kernel puts it.
    None,
    /// Each core to one CPU of the list.
    #[default]
    Each,
    /// Every core to the whole list.
    Set,
}

impl Pin {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Each => "each",
            Self::Set => "set",
        }
    }
}

/// Limits the server puts on its connections.
#[derive(Args, Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct LimitArguments {
    /// Limit of all connections together, as in 10MB/s
    #[arg(long, value_name = "BW")]
    pub(crate) group_limit: Option<Rate>,
    /// Limit of each connection
    #[arg(long, value_name = "BW")]
    pub(crate) conn_limit: Option<Rate>,
    /// Most that may pass at once after a silence [default: 100 ms of rate or four ticks, at least
    /// 64 KiB]
    #[arg(long, value_name = "SIZE")]
    pub(crate) burst: Option<Size>,
    /// The same for each connection's own limit [default: as --burst, by its own rate]
    #[arg(long, value_name = "SIZE")]
    pub(crate) conn_burst: Option<Size>,
    /// Gives out tokens in ticks instead of continuously
    #[arg(long, value_name = "T", value_parser = duration)]
    pub(crate) tick: Option<Duration>,
    /// Least that a member moves at a time
    #[arg(long, value_name = "SIZE")]
    pub(crate) min_share: Option<Size>,
    /// Bytes that something outside takes from the group each tick, both ways
    #[arg(long, value_name = "SIZE", hide = true, requires = "tick")]
    pub(crate) group_drain: Option<Size>,
}

impl LimitArguments {
    /// Whether any limit is set.
    pub(crate) fn any(&self) -> bool {
        self.group_limit.is_some() || self.conn_limit.is_some()
    }
}

#[derive(Args, Clone, Debug)]
pub(crate) struct ServeArguments {
    #[arg(value_enum)]
    pub(crate) service: Service,
    /// Address to listen on; port 0 takes a free one
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:0")]
    pub(crate) listen: String,
    /// Number of cores [default: one per CPU of --cpus, else one]
    #[arg(long, value_name = "N")]
    pub(crate) cores: Option<usize>,
    /// CPUs to run on, one core each: a list as in 0-3,8, auto (all), or none (wherever)
    #[arg(long, value_name = "LIST", default_value = "none")]
    pub(crate) cpus: CpuChoice,
    /// How cores are pinned to the CPUs of the list
    #[arg(long, value_enum, default_value = "each")]
    pub(crate) pin: Pin,
    #[command(flatten)]
    pub(crate) limits: LimitArguments,
    /// Writes every metered operation to this file at the end
    #[arg(long, value_name = "FILE")]
    pub(crate) audit: Option<PathBuf>,
    /// Takes requests on standard input and stops at its end
    #[arg(long, hide = true)]
    pub(crate) controlled: bool,
    /// Reads from no connection before it is told to go on
    #[arg(long, hide = true, requires = "controlled")]
    pub(crate) hold: bool,
    /// Set by the flag of the same name
    #[arg(skip)]
    pub(crate) break_limiter: bool,
}

impl ServeArguments {
    /// A server on a free local port, one core per CPU given.
    pub(crate) fn local(service: Service, cpus: &[usize]) -> Self {
        let choice = match cpus {
            [] => CpuChoice::Unpinned,
            cpus => CpuChoice::List(cpus.to_vec()),
        };
        Self {
            service,
            listen: "127.0.0.1:0".to_owned(),
            cores: Some(cpus.len().max(1)),
            cpus: choice,
            pin: if cpus.is_empty() { Pin::None } else { Pin::Each },
            limits: LimitArguments::default(),
            audit: None,
            controlled: true,
            hold: false,
            break_limiter: false,
        }
    }

    /// The arguments that make a child process start this server.
    pub(crate) fn to_command_line(&self) -> Vec<OsString> {
        let mut line: Vec<OsString> = vec!["serve".into(), self.service.name().into()];
        let mut flag = |name: &str, value: Option<String>| {
            if let Some(value) = value {
                line.push(name.into());
                line.push(value.into());
            }
        };
        let bytes = |size: Option<Size>| size.map(|size| size.0.to_string());
        let limits = &self.limits;
        flag("--listen", Some(self.listen.clone()));
        flag("--cores", self.cores.map(|cores| cores.to_string()));
        flag("--cpus", Some(self.cpus.to_string()));
        flag("--pin", Some(self.pin.name().to_owned()));
        flag("--group-limit", limits.group_limit.map(|rate| rate.to_string()));
        flag("--conn-limit", limits.conn_limit.map(|rate| rate.to_string()));
        flag("--burst", bytes(limits.burst));
        flag("--conn-burst", bytes(limits.conn_burst));
        flag("--tick", limits.tick.map(|tick| format!("{}ns", tick.as_nanos())));
        flag("--min-share", bytes(limits.min_share));
        flag("--group-drain", bytes(limits.group_drain));
        if let Some(path) = &self.audit {
            line.extend(["--audit".into(), path.into()]);
        }
        for (name, given) in [
            ("--controlled", self.controlled),
            ("--hold", self.hold),
            ("--break-limiter", self.break_limiter),
        ] {
            if given {
                line.push(name.into());
            }
        }
        line
    }
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
pub(crate) struct RatelimitArguments {
    /// Scenarios to check [default: all that libevent has]
    pub(crate) scenarios: Vec<String>,
    /// Lists the scenarios and what they expect
    #[arg(long)]
    pub(crate) list: bool,
    /// Writes the results as JSON; - for standard output
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
    /// group: members [default: 64]
    #[arg(short, long, value_name = "N")]
    pub(crate) connections: Option<usize>,
    /// group: limit of all members together [default: 10MB/s]
    #[arg(long, value_name = "BW")]
    pub(crate) group_limit: Option<Rate>,
    /// group: most that may pass at once
    #[arg(long, value_name = "SIZE")]
    pub(crate) burst: Option<Size>,
    /// group: gives out tokens in ticks
    #[arg(long, value_name = "T", value_parser = duration)]
    pub(crate) tick: Option<Duration>,
    /// group: least that a member moves at a time
    #[arg(long, value_name = "SIZE")]
    pub(crate) min_share: Option<Size>,
    /// CPUs of the server, one core each
    #[arg(long, value_name = "LIST", default_value = "auto")]
    pub(crate) server_cpus: CpuChoice,
    /// group: measured part [default: 10s]
    #[arg(short, long, value_name = "T", value_parser = duration)]
    pub(crate) duration: Option<Duration>,
}

impl RatelimitArguments {
    /// The first flag given that only the scenario `group` heeds.
    pub(crate) fn group_flag(&self) -> Option<&'static str> {
        let flags = [
            ("-c", self.connections.is_some()),
            ("--group-limit", self.group_limit.is_some()),
            ("--burst", self.burst.is_some()),
            ("--tick", self.tick.is_some()),
            ("--min-share", self.min_share.is_some()),
            ("-d", self.duration.is_some()),
        ];
        flags.iter().find(|(_, is_given)| *is_given).map(|(flag, _)| *flag)
    }
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
    fn a_server_survives_the_way_to_the_child() {
        let mut server = ServeArguments::local(Service::Source, &[0, 2]);
        server.limits = LimitArguments {
            group_limit: Some("10MB/s".parse().unwrap()),
            conn_limit: Some("80kbit/s".parse().unwrap()),
            burst: Some(Size(70_000)),
            conn_burst: Some(Size(7)),
            tick: Some(Duration::from_micros(1500)),
            min_share: Some(Size(64)),
            group_drain: Some(Size(500)),
        };
        server.break_limiter = true;
        let line = std::iter::once("loadtest".into()).chain(server.to_command_line());
        let arguments = Arguments::try_parse_from(line).unwrap();
        assert!(arguments.break_limiter);
        let Some(Command::Serve(read)) = arguments.command else { panic!("not a serve") };
        assert_eq!(read.limits, server.limits);
        assert_eq!((read.cpus, read.cores), (server.cpus, Some(2)));
        assert!(read.controlled);
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
