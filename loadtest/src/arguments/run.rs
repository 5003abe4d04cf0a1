//! The flags of `run`, and of the load that `tune` shares with it.
//!
//! Owns the names of the workloads and what each flag means. Never acts: what contradicts itself is
//! refused by the command.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum, value_parser};

use super::{LimitArguments, PlacementArguments, TlsArguments, WatchArguments};
use crate::client::MOST_SOURCES;
use crate::cpus::CpuChoice;
use crate::units::{Size, address, duration, per_second};

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
    /// Connect, one echo, close: again and again.
    Churn,
    /// Connect, a TLS handshake, a clean close: again and again.
    Handshake,
}

impl Workload {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Echo => "echo",
            Self::Source => "source",
            Self::Sink => "sink",
            Self::Idle => "idle",
            Self::Churn => "churn",
            Self::Handshake => "handshake",
        }
    }

    /// Whether its connections come and go.
    pub(crate) fn is_short(self) -> bool {
        matches!(self, Self::Churn | Self::Handshake)
    }
}

/// Which server a run starts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Subject {
    #[default]
    Sluicegate,
    /// The bare poll loop (echo, idle and churn).
    Bare,
}

/// What is done to a server, and where both sides run.
#[derive(Args, Clone, Debug)]
pub(crate) struct LoadArguments {
    #[arg(value_enum)]
    pub(crate) workload: Workload,
    /// Connections, spread over the threads; churn, handshake: most of them open at a time
    #[arg(short, long, value_name = "N", default_value_t = 64)]
    pub(crate) connections: usize,
    /// Bytes of a request or of a write; handshake: there is none [default: 64]
    #[arg(short, long, value_name = "SIZE")]
    pub(crate) size: Option<Size>,
    /// Client threads [default: one per client CPU]
    #[arg(short, long, value_name = "N")]
    pub(crate) threads: Option<usize>,
    /// CPUs of the client
    #[arg(long, value_name = "LIST", default_value = "auto")]
    pub(crate) client_cpus: CpuChoice,
    /// CPUs of the server that is started, one core each
    #[arg(long, value_name = "LIST", default_value = "auto")]
    pub(crate) server_cpus: CpuChoice,
    #[command(flatten)]
    pub(crate) churn: ChurnArguments,
    #[command(flatten)]
    pub(crate) tls: TlsArguments,
    #[command(flatten)]
    pub(crate) limits: LimitArguments,
    #[command(flatten)]
    pub(crate) placement: PlacementArguments,
    #[command(flatten)]
    pub(crate) watch: WatchArguments,
}

impl LoadArguments {
    /// Bytes of a request, none where there is no request.
    pub(crate) fn size_bytes(&self) -> u64 {
        match self.workload {
            Workload::Handshake => 0,
            _ => self.size.map_or(DEFAULT_SIZE, |size| size.0),
        }
    }
}

#[derive(Args, Clone, Debug)]
pub(crate) struct RunArguments {
    #[command(flatten)]
    pub(crate) load: LoadArguments,
    /// Server to load [default: one is started on CPUs of its own]
    #[arg(value_parser = address)]
    pub(crate) address: Option<SocketAddr>,
    /// Measured part
    #[arg(short, long, value_name = "T", default_value = "10s", value_parser = duration)]
    pub(crate) duration: Duration,
    /// Part before it that is discarded
    #[arg(short, long, value_name = "T", default_value = "2s", value_parser = duration)]
    pub(crate) warmup: Duration,
    /// Server that is started
    #[arg(long, value_enum, default_value = "sluicegate", conflicts_with = "address")]
    pub(crate) server: Subject,
    /// Command of a foreign server to start instead: says READY host:port, ends with SIGTERM. In it
    /// {cpu} is its first CPU, {cpus} all of them, {cert} and {key} are files for --tls
    #[arg(long, value_name = "COMMAND", conflicts_with_all = ["address", "server"])]
    pub(crate) server_command: Option<String>,
    /// Process whose CPU time is the server's, when it was started elsewhere
    #[arg(long, value_name = "PID", requires = "address")]
    pub(crate) server_pid: Option<u32>,
    /// Writes the result as JSON; - for standard output
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
}

/// What short connections know beside the others.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct ChurnArguments {
    /// churn, handshake: connections begun per second, as in 10k
    /// [default: as soon as one has closed]
    #[arg(short, long, value_name = "N/s", value_parser = per_second)]
    pub(crate) rate: Option<f64>,
    /// churn: connections that stay open beside the short ones
    #[arg(long, value_name = "N")]
    pub(crate) long: Option<usize>,
    /// churn, handshake: local addresses to come from, 127.0.0.2 and on [default: 64]
    #[arg(long, value_name = "N", value_parser = value_parser!(u8).range(1..=MOST_SOURCES.into()))]
    pub(crate) sources: Option<u8>,
    /// churn: closes with a reset, so that no port waits after its end
    #[arg(long)]
    pub(crate) reset: bool,
}

impl ChurnArguments {
    /// The first flag that was given, by name.
    pub(crate) fn given(&self) -> Option<&'static str> {
        [
            ("--rate", self.rate.is_some()),
            ("--long", self.long.is_some()),
            ("--sources", self.sources.is_some()),
            ("--reset", self.reset),
        ]
        .into_iter()
        .find_map(|(name, given)| given.then_some(name))
    }
}

const DEFAULT_SIZE: u64 = 64;
