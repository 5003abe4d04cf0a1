//! The figures of a run, in base units, as they are written to JSON.
//!
//! Owns the result's schema: a reader may rely on `schema`, `verdict`, `totals`, `latency.planned`,
//! `server` and `client`; a figure that could not be taken is null. An operation is a reply (echo,
//! idle), a handshake or, where nobody replies, one read or write of the server that moved the
//! data.

use std::env;

use serde::Serialize;

use super::churn::ChurnResult;
use super::tls::TlsResult;
use crate::arguments::{RunArguments, Workload};
use crate::client::{ChurnTally, Errors, Tally};
use crate::cpus::{self, Placement};
use crate::fairness::jain;
use crate::latency::{Latency, Percentiles};
use crate::measurement::{Measurement, ServerFigures};
use crate::procfs;
use crate::server::CoreCounts;
use crate::verdict::{self, Evidence, Offered, Remark};

/// Version of the JSON schemas of all commands.
pub(crate) const SCHEMA: u32 = 1;

/// Everything a run found out.
#[derive(Debug, Serialize)]
pub(crate) struct RunResult {
    schema: u32,
    pub(super) verdict: String,
    pub(super) remarks: Vec<Remark>,
    pub(super) command: Vec<String>,
    pub(super) environment: Environment,
    pub(super) load: LoadFigures,
    pub(super) totals: Totals,
    pub(super) latency: LatencyFigures,
    pub(super) server: Option<ServerResult>,
    pub(super) client: ClientResult,
    pub(super) fairness: Fairness,
    pub(super) errors: Errors,
    pub(super) cores: Vec<CoreResult>,
    pub(super) churn: Option<ChurnResult>,
    pub(super) tls: Option<TlsResult>,
}

/// A core of the server.
#[derive(Debug, Serialize)]
pub(super) struct CoreResult {
    /// Its reads (sink) or writes (all others): on an echo core one for each reply.
    pub(super) ops: u64,
    #[serde(flatten)]
    pub(super) counts: CoreCounts,
}

/// Where a result comes from.
#[derive(Debug, Serialize)]
pub(crate) struct Environment {
    pub(crate) version: &'static str,
    pub(crate) debug_build: bool,
    pub(crate) kernel: String,
    pub(crate) processor: String,
    pub(crate) allowed_cpus: String,
    pub(crate) quota_cpus: Option<f64>,
}

impl Environment {
    pub(crate) fn read() -> Self {
        Self {
            version: env!("CARGO_PKG_VERSION"),
            debug_build: cfg!(debug_assertions),
            kernel: procfs::kernel(),
            processor: procfs::processor(),
            allowed_cpus: cpus::allowed().map(|allowed| cpus::list(&allowed)).unwrap_or_default(),
            quota_cpus: cpus::quota(),
        }
    }
}

/// The load as it was resolved.
#[derive(Debug, Serialize)]
pub(super) struct LoadFigures {
    pub(super) workload: &'static str,
    pub(super) address: Option<String>,
    /// Of a foreign server that was started.
    pub(super) server_command: Option<String>,
    pub(super) connections: usize,
    pub(super) size_bytes: u64,
    pub(super) duration_s: f64,
    pub(super) warmup_s: f64,
    pub(super) threads: usize,
    pub(super) server_cpus: String,
    pub(super) client_cpus: String,
    pub(super) group_limit_bytes_per_sec: Option<u64>,
    pub(super) conn_limit_bytes_per_sec: Option<u64>,
}

#[derive(Debug, Serialize)]
pub(super) struct Totals {
    pub(super) ops: u64,
    pub(super) ops_per_sec: f64,
    pub(super) bytes_in: u64,
    pub(super) bytes_out: u64,
    pub(super) seconds: f64,
}

#[derive(Debug, Serialize)]
pub(super) struct LatencyFigures {
    /// From the planned moment to the last byte of the reply, or to the end of the handshake.
    pub(super) planned: Percentiles,
    /// Of short connections: from the call that connects until connected.
    pub(super) connect: Option<Percentiles>,
    /// With TLS, from there to the end of the handshake: of new sessions and of resumed ones.
    pub(super) handshake_full: Option<Percentiles>,
    pub(super) handshake_resumed: Option<Percentiles>,
    /// From there to the last byte of the reply.
    pub(super) exchange: Option<Percentiles>,
    /// From the planned moment to the call that connects.
    pub(super) lateness: Option<Percentiles>,
}

/// What the run cost the server.
#[derive(Debug, Serialize)]
pub(super) struct ServerResult {
    pub(super) cpu_us_per_op: Option<f64>,
    pub(super) user_us_per_op: Option<f64>,
    pub(super) syscalls_per_op: Option<f64>,
    pub(super) draws_per_op: Option<f64>,
    pub(super) cpu_us_per_mb: Option<f64>,
    /// Of the time of its cores.
    pub(super) cpu_fraction: f64,
    pub(super) draws: u64,
    pub(super) rebalances: u64,
    pub(super) metered: u64,
    pub(super) anonymous_bytes: u64,
    /// Growth of private memory since before the first connection, by the connections open at the
    /// end; null where they come and go, since those that are gone have grown it too.
    pub(super) memory_bytes_per_connection: Option<f64>,
}

#[derive(Debug, Serialize)]
pub(super) struct ClientResult {
    /// Of the busiest thread.
    pub(super) cpu_fraction: f64,
    pub(super) steal_fraction: f64,
}

/// How the connections shared what was received.
#[derive(Debug, Serialize)]
pub(super) struct Fairness {
    pub(super) jain: Option<f64>,
    pub(super) longest_gap_ms: f64,
}

impl RunResult {
    pub(crate) fn ops_per_sec(&self) -> f64 {
        self.totals.ops_per_sec
    }

    /// Bytes of payload in the direction that had more of them.
    pub(crate) fn bytes_per_sec(&self) -> f64 {
        let totals = &self.totals;
        totals.bytes_in.max(totals.bytes_out) as f64 / totals.seconds.max(1e-9)
    }

    /// CPU time of the server for a million of those bytes, in microseconds.
    pub(crate) fn cost_us_per_mb(&self) -> Option<f64> {
        self.server.as_ref()?.cpu_us_per_mb
    }

    /// CPU time of the server per operation in microseconds.
    pub(crate) fn cost_us(&self) -> Option<f64> {
        self.server.as_ref()?.cpu_us_per_op
    }

    /// The part of it in user space, where the run was long enough to tell.
    pub(crate) fn user_us(&self) -> Option<f64> {
        self.server.as_ref()?.user_us_per_op
    }

    /// The 99th percentile of the latency, where there are enough replies.
    pub(crate) fn p99_us(&self) -> Option<f64> {
        self.latency.planned.p99_us
    }

    pub(crate) fn remarks(&self) -> &[Remark] {
        &self.remarks
    }

    pub(super) fn new(
        arguments: &RunArguments,
        placement: &Placement,
        measurement: &Measurement,
    ) -> Self {
        let tally = &measurement.tally;
        let seconds = tally.measured.as_secs_f64();
        let ops = operations(arguments.load.workload, tally, measurement.server.as_ref());
        let server = measurement
            .server
            .as_ref()
            .map(|figures| ServerResult::new(arguments.load.workload, figures, ops, tally));
        let client_cpu = tally.cpu_fractions.iter().copied().fold(0.0, f64::max);
        let remarks = verdict::judge(&Evidence {
            client_cpu,
            server_cpu: server.as_ref().map(|server| server.cpu_fraction),
            noise: measurement.noise(placement),
            shared: placement.shared.clone(),
            errors: (tally.errors.count() > 0).then(|| tally.errors.to_string()),
            offered: arguments.load.churn.rate.map(|per_sec| Offered {
                per_sec,
                done: ops,
                seconds,
            }),
        });
        Self {
            schema: SCHEMA,
            verdict: verdict::summary(&remarks),
            remarks,
            command: env::args().skip(1).collect(),
            environment: Environment::read(),
            load: LoadFigures::new(arguments, placement, tally),
            totals: Totals {
                ops,
                ops_per_sec: ops as f64 / seconds.max(1e-9),
                bytes_in: tally.bytes_in,
                bytes_out: tally.bytes_out,
                seconds,
            },
            latency: LatencyFigures::new(tally),
            server,
            client: ClientResult { cpu_fraction: client_cpu, steal_fraction: measurement.steal },
            fairness: Fairness::new(arguments.load.workload, tally),
            errors: tally.errors.clone(),
            cores: measurement
                .server
                .iter()
                .flat_map(|f| cores(arguments.load.workload, f))
                .collect(),
            churn: ChurnResult::new(arguments, measurement),
            tls: TlsResult::new(arguments, tally),
        }
    }
}

/// Replies where there are any; else the server's own operations, or the client's if unknown.
fn operations(workload: Workload, tally: &Tally, server: Option<&ServerFigures>) -> u64 {
    let of_server = |counter: fn(&CoreCounts) -> u64| {
        server.map(|figures| figures.sum(counter)).filter(|&sum| sum > 0).unwrap_or(tally.ops)
    };
    match workload {
        Workload::Echo | Workload::Idle | Workload::Churn | Workload::Handshake => tally.ops,
        Workload::Source => of_server(|core| core.writes),
        Workload::Sink => of_server(|core| core.reads),
    }
}

/// Each core with what it counted in the measured part.
fn cores(workload: Workload, figures: &ServerFigures) -> Vec<CoreResult> {
    let result = |counts: CoreCounts| CoreResult {
        ops: if workload == Workload::Sink { counts.reads } else { counts.writes },
        counts,
    };
    figures.cores().into_iter().map(result).collect()
}

impl LoadFigures {
    fn new(arguments: &RunArguments, placement: &Placement, tally: &Tally) -> Self {
        let foreign = arguments.address.is_some();
        Self {
            workload: arguments.load.workload.name(),
            address: arguments.address.map(|address| address.to_string()),
            server_command: arguments.server_command.clone(),
            connections: arguments.load.connections,
            size_bytes: arguments.load.size_bytes(),
            duration_s: arguments.duration.as_secs_f64(),
            warmup_s: arguments.warmup.as_secs_f64(),
            threads: tally.cpu_fractions.len(),
            server_cpus: if foreign { "?".into() } else { cpus::list(&placement.server) },
            client_cpus: cpus::list(&placement.client),
            group_limit_bytes_per_sec: arguments
                .load
                .limits
                .group_limit
                .map(|rate| rate.as_bytes_per_second()),
            conn_limit_bytes_per_sec: arguments
                .load
                .limits
                .conn_limit
                .map(|rate| rate.as_bytes_per_second()),
        }
    }
}

impl LatencyFigures {
    fn new(tally: &Tally) -> Self {
        let of_churn = |latency: fn(&ChurnTally) -> &Latency| {
            tally.churn.as_deref().map(|churn| latency(churn).percentiles())
        };
        Self {
            planned: tally.latency.percentiles(),
            connect: of_churn(|churn| &churn.connect),
            handshake_full: of_churn(|churn| &churn.full),
            handshake_resumed: of_churn(|churn| &churn.resumed),
            exchange: of_churn(|churn| &churn.exchange),
            lateness: of_churn(|churn| &churn.lateness),
        }
    }
}

impl ServerResult {
    fn new(workload: Workload, figures: &ServerFigures, ops: u64, tally: &Tally) -> Self {
        let seconds = tally.measured.as_secs_f64();
        let cpu = figures.after.cpu.since(&figures.before.cpu);
        let cores = figures.after.cores.len().max(1) as f64;
        let known = !figures.after.cores.is_empty();
        let metered = figures.sum(|core| core.metered);
        let group = (figures.before.group, figures.after.group);
        let draws = group.1.draws.saturating_sub(group.0.draws);
        let per = |value: f64, count: f64| (count > 0.0).then(|| value / count);
        let megabytes = (tally.bytes_in.max(tally.bytes_out)) as f64 / 1e6;
        let grown = figures.after.memory.anonymous_bytes as f64
            - figures.at_start.memory.anonymous_bytes as f64;
        // Those that last, where the server does not say.
        let lasting = (tally.connections.len() as u64).saturating_sub(tally.errors.count());
        let connections = if known { figures.sum(|core| core.connections) } else { lasting } as f64;
        let syscalls = figures.sum(|core| core.syscalls) as f64;
        Self {
            cpu_us_per_op: per(cpu.total_ns as f64 / 1e3, ops as f64),
            user_us_per_op: cpu.user_ns().and_then(|ns| per(ns as f64 / 1e3, ops as f64)),
            syscalls_per_op: per(syscalls, ops as f64).filter(|_| known),
            draws_per_op: per(draws as f64, metered as f64),
            cpu_us_per_mb: per(cpu.total_ns as f64 / 1e3, megabytes),
            cpu_fraction: cpu.total_ns as f64 / 1e9 / seconds.max(1e-9) / cores,
            draws,
            rebalances: group.1.rebalances.saturating_sub(group.0.rebalances),
            metered,
            anonymous_bytes: figures.after.memory.anonymous_bytes,
            memory_bytes_per_connection: per(grown.max(0.0), connections)
                .filter(|_| !workload.is_short()),
        }
    }
}

impl Fairness {
    fn new(workload: Workload, tally: &Tally) -> Self {
        let bytes: Vec<f64> = tally.connections.iter().map(|c| c.bytes_in as f64).collect();
        let gaps = tally.connections.iter().map(|connection| connection.longest_gap);
        let gap = if workload == Workload::Source { gaps.max() } else { None };
        Self { jain: jain(&bytes), longest_gap_ms: gap.unwrap_or_default().as_secs_f64() * 1e3 }
    }
}
