//! One scenario, run and judged.
//!
//! Owns the order of a run: a limited server in a child process that logs every metered operation,
//! a client that loads it, and the log read back when the server has stopped.

use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use serde::Serialize;
use sluicegate::Pin;
use tempfile::NamedTempFile;

use super::Scenario;
use super::judge::{self, Judgement, Trace};
use crate::arguments::ServeArguments;
use crate::audit::AuditLog;
use crate::certificate::Identity;
use crate::child::ServerProcess;
use crate::client::{Load, Target, TlsTerms};
use crate::cpus::Placement;
use crate::exit::{Failure, Outcome};
use crate::measurement::{self, Measurement, Subject};
use crate::progress::Progress;
use crate::verdict::Remark;

/// A scenario's judgement and what it cost.
#[derive(Debug, Serialize)]
pub(crate) struct Finding {
    #[serde(flatten)]
    pub(crate) judgement: Judgement,
    /// Over TLS: what the server moved and was limited to is ciphertext, what the clients saw is
    /// not.
    pub(crate) tls: bool,
    pub(crate) draws: u64,
    pub(crate) draws_per_op: Option<f64>,
    pub(crate) rebalances: u64,
    pub(crate) server_cpu_ms_per_sec: f64,
    pub(crate) steal_fraction: f64,
    pub(crate) remarks: Vec<Remark>,
}

/// Runs one scenario and judges it.
///
/// # Errors
/// The server could not be run, or its log could not be read.
pub(crate) fn check(
    scenario: &Scenario,
    placement: &Placement,
    break_limiter: bool,
    progress: &mut Progress,
) -> Outcome<Finding> {
    let file = NamedTempFile::new().map_err(Failure::io("making a file for the audit"))?;
    let mut serve = ServeArguments::local(scenario.service(), &placement.server);
    if scenario.spread.len() > placement.server.len() {
        serve.placement.cores = Some(scenario.spread.len().into());
        serve.placement.pin = (!placement.server.is_empty()).then_some(Pin::Set);
    }
    serve.port_per_core = !scenario.spread.is_empty();
    serve.weights = scenario.weights.clone();
    serve.limits = scenario.limits.clone();
    serve.audit = Some(file.path().to_owned());
    serve.break_limiter = break_limiter;
    serve.hold = scenario.hold;
    let identity = scenario.tls.then(|| Identity::new(None)).transpose()?;
    serve.tls = identity.as_ref().map(Identity::arguments).unwrap_or_default();
    let mut server = ServerProcess::start(&serve)?;
    let spread = match scenario.spread.as_slice() {
        [] => &[scenario.members],
        spread => spread,
    };
    let target = |(&address, &connections)| Target { address, connections };
    let load = Load {
        targets: server.addresses().iter().zip(spread).map(target).collect(),
        traffic: scenario.traffic(),
        churn: None,
        tls: identity.map(|one| one.trust().map(TlsTerms::trusting)).transpose()?,
        size: WRITE_BYTES,
        receive_buffer: None,
        threads: placement.client.len().max(1),
        cpus: placement.client.clone(),
        warmup: scenario.warmup,
        duration: scenario.duration,
        keep_receipts: true,
    };
    progress.step(scenario.name, scenario.length());
    let subject =
        if scenario.hold { Subject::Held(&mut server) } else { Subject::Child(&mut server) };
    let measurement = measurement::take(&load, subject, &placement.server, progress)?;
    server.stop()?;
    let log = read_log(file.path())?;
    finding(scenario, placement, &measurement, &log)
}

fn finding(
    scenario: &Scenario,
    placement: &Placement,
    measurement: &Measurement,
    log: &AuditLog,
) -> Outcome<Finding> {
    let tally = &measurement.tally;
    let remarks = measurement.noise(placement).remarks();
    let figures = measurement.server.as_ref().expect("a child tells its figures");
    let peers: Vec<u64> = tally.connections.iter().map(|c| c.bytes_in).collect();
    let judgement = judge::judge(
        scenario,
        &Trace {
            log,
            from_ns: figures.before.clock_ns,
            to_ns: figures.after.clock_ns,
            loop_gap: figures.loop_gap(),
            peers: &peers,
            peer_time: tally.measured,
            receipts: (tally.receipts_lost == 0).then_some(tally.receipts.as_slice()),
            longest_gap: tally.connections.iter().map(|c| c.longest_gap).max().unwrap_or_default(),
            failed: tally.errors.count(),
            noisy: !remarks.is_empty(),
        },
    )?;
    let metered = figures.sum(|core| core.metered);
    let cpu = figures.after.cpu.since(&figures.before.cpu);
    let draws = figures.after.group.draws - figures.before.group.draws;
    Ok(Finding {
        judgement,
        tls: scenario.tls,
        draws,
        draws_per_op: (metered > 0).then(|| draws as f64 / metered as f64),
        rebalances: figures.after.group.rebalances - figures.before.group.rebalances,
        server_cpu_ms_per_sec: cpu.total_ns as f64 / 1e6 / tally.measured.as_secs_f64().max(1e-9),
        steal_fraction: measurement.steal,
        remarks,
    })
}

fn read_log(path: &Path) -> Outcome<AuditLog> {
    let doing = || format!("reading the audit {}", path.display());
    let file = File::open(path).map_err(Failure::io(doing()))?;
    AuditLog::read(BufReader::new(file)).map_err(Failure::io(doing()))
}

/// What libevent's clients keep ready to write.
const WRITE_BYTES: usize = 8 * 1024;
