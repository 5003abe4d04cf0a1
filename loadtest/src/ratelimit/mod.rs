//! The `ratelimit` command: are limits kept, in every window, and shared fairly?
//!
//! Owns the running of a scenario: a limited server in a child process that logs every metered
//! operation, a client that loads it, and the log read back when the server has stopped. What must
//! come out is in `scenario`, whether it did is in `judge`, how it looks is in `table`.

mod judge;
mod scenario;
mod table;

use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use serde::Serialize;
use tempfile::NamedTempFile;

pub(crate) use self::judge::Judgement;
use self::judge::Trace;
use self::scenario::NAMES;
pub(crate) use self::scenario::Scenario;
use crate::arguments::{RatelimitArguments, ServeArguments};
use crate::audit::AuditLog;
use crate::child::ServerProcess;
use crate::client::Load;
use crate::cpus::{self, CpuChoice, Placement};
use crate::descriptors;
use crate::exit::{Failure, Outcome};
use crate::measurement::{self, Measurement, Subject};
use crate::output::Output;
use crate::progress::Progress;
use crate::run::{Environment, SCHEMA};
use crate::verdict::Remark;

/// A scenario's judgement and what it cost.
#[derive(Debug, Serialize)]
pub(crate) struct Finding {
    #[serde(flatten)]
    pub(crate) judgement: Judgement,
    pub(crate) draws: u64,
    pub(crate) draws_per_op: Option<f64>,
    pub(crate) rebalances: u64,
    pub(crate) server_cpu_ms_per_sec: f64,
    pub(crate) steal_fraction: f64,
    pub(crate) remarks: Vec<Remark>,
}

/// The command's JSON.
#[derive(Debug, Serialize)]
struct RatelimitResult {
    schema: u32,
    verdict: &'static str,
    command: Vec<String>,
    environment: Environment,
    server_cpus: String,
    client_cpus: String,
    shared_core: Option<String>,
    scenarios: Vec<Finding>,
}

/// Runs the command.
///
/// # Errors
/// Exit code 3 if a check failed; else flags that contradict each other or a server that failed.
pub(crate) fn run(arguments: &RatelimitArguments, break_limiter: bool) -> Outcome {
    let output = Output::new(arguments.json.as_deref());
    if arguments.list {
        return output.text(&table::list());
    }
    let names = match arguments.scenarios.as_slice() {
        [] => NAMES.iter().map(|(name, _)| (*name).to_owned()).filter(|n| n != "group").collect(),
        names => names.to_vec(),
    };
    if let Some(flag) = arguments.group_flag().filter(|_| !names.iter().any(|n| n == "group")) {
        return Err(Failure::Usage(format!(
            "{flag} is for the scenario group, which was not asked for; write ratelimit group \
             {flag}"
        )));
    }
    let descriptors = descriptors::raise();
    let mut scenarios = Vec::with_capacity(names.len());
    for name in &names {
        let scenario = Scenario::named(name, arguments)?;
        descriptors::check(scenario.members, descriptors)?;
        scenarios.push(scenario);
    }
    let placement = Placement::resolve(
        &arguments.server_cpus,
        &CpuChoice::Auto,
        &cpus::allowed()?,
        cpus::quota(),
    )?;
    if let Some(why) = &placement.shared {
        let line = "SHARED-CORE: client and server take time from each other";
        output.text(&format!("{line} ({why}).\n\n"))?;
    }
    let mut progress = Progress::new(scenarios.iter().map(|s| s.warmup + s.duration).sum());
    let mut findings = Vec::with_capacity(scenarios.len());
    for scenario in &scenarios {
        let finding = check(scenario, &placement, break_limiter, &mut progress)?;
        progress.aside(|| output.text(&table::render(&finding)))?;
        findings.push(finding);
    }
    drop(progress);
    let failed: Vec<&str> =
        findings.iter().map(|f| &f.judgement).filter(|j| !j.pass).map(|j| j.name).collect();
    let failed = failed.join(", ");
    output.result(&RatelimitResult {
        schema: SCHEMA,
        verdict: if failed.is_empty() { "PASS" } else { "FAIL" },
        command: std::env::args().skip(1).collect(),
        environment: Environment::read(),
        server_cpus: cpus::list(&placement.server),
        client_cpus: cpus::list(&placement.client),
        shared_core: placement.shared,
        scenarios: findings,
    })?;
    if failed.is_empty() {
        return Ok(());
    }
    Err(Failure::CheckFailed(format!("limits were not kept or not shared fairly: {failed}")))
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
    serve.limits = scenario.limits.clone();
    serve.audit = Some(file.path().to_owned());
    serve.break_limiter = break_limiter;
    serve.hold = scenario.hold;
    let mut server = ServerProcess::start(&serve)?;
    let load = Load {
        address: server.address(),
        traffic: scenario.traffic(),
        connections: scenario.members,
        size: WRITE_BYTES,
        threads: placement.client.len().max(1),
        cpus: placement.client.clone(),
        warmup: scenario.warmup,
        duration: scenario.duration,
        keep_receipts: true,
    };
    progress.step(scenario.name, scenario.warmup + scenario.duration);
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
