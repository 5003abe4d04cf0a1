//! The `run` command: one workload, measured once, told as a table and as JSON.
//!
//! Owns the order of a measurement, which `tune` takes too: check the flags, start a server where
//! no address is given, measure, judge, report. The parts are in `churn` (what short connections
//! add), `tls` (what TLS adds), `foreign` (servers that are not ours), `result` (figures and JSON)
//! and `table` (text).

mod churn;
mod foreign;
mod result;
mod table;
mod tls;

use sluicegate::placement::Snapshot;

pub(crate) use self::result::{Environment, RunResult, SCHEMA};
use self::tls::Tls;
use crate::arguments::{self, LoadArguments, RunArguments, ServeArguments, Service, Workload};
use crate::child::ServerProcess;
use crate::client::{Load, Target, Traffic};
use crate::cpus::{self, CpuChoice, Placement};
use crate::descriptors;
use crate::exit::{Failure, Outcome};
use crate::limits::Terms;
use crate::measurement::{self, Measurement, Subject};
use crate::output::Output;
use crate::procfs;
use crate::progress::Progress;
use crate::server;

/// Runs the command.
///
/// # Errors
/// Flags that contradict each other, a server that cannot be started or reached, or an output that
/// cannot be written.
pub(crate) fn run(arguments: &RunArguments, break_limiter: bool) -> Outcome {
    let tls = checked(arguments)?;
    let mut progress = Progress::new(arguments.warmup + arguments.duration);
    let result = once_over(arguments, tls, break_limiter, "measuring", &mut progress)?;
    drop(progress);
    let output = Output::new(arguments.json.as_deref());
    output.text(&table::render(&result))?;
    output.result(&result)
}

/// Where both sides of a load go.
///
/// # Errors
/// A CPU that is not allowed.
pub(crate) fn placement(load: &LoadArguments) -> Outcome<Placement> {
    let allowed = cpus::allowed()?;
    Placement::resolve(&load.server_cpus, &load.client_cpus, &allowed, cpus::quota())
}

/// Measures once, with a server process of its own where no address is given.
///
/// # Errors
/// A server that cannot be started or reached, or a load that moves nothing.
pub(crate) fn once(
    arguments: &RunArguments,
    break_limiter: bool,
    step: &str,
    progress: &mut Progress,
) -> Outcome<RunResult> {
    once_over(arguments, Tls::new(arguments)?, break_limiter, step, progress)
}

/// The same, over this TLS.
fn once_over(
    arguments: &RunArguments,
    tls: Option<Tls>,
    break_limiter: bool,
    step: &str,
    progress: &mut Progress,
) -> Outcome<RunResult> {
    let placement = placement(&arguments.load)?;
    let placement = match (arguments.address, &arguments.load.server_cpus) {
        // Where a foreign server runs is known only if the user says so.
        (Some(_), CpuChoice::Auto | CpuChoice::Unpinned) => Placement { shared: None, ..placement },
        _ => placement,
    };
    let mut server = match (arguments.address, &arguments.server_command) {
        (Some(_), _) => None,
        (None, Some(command)) => {
            let words = foreign::words(command, &placement.server, tls.as_ref())?;
            Some(ServerProcess::start_foreign(&words)?)
        }
        (None, None) => {
            let mut serve = ServeArguments::local(service(arguments), &placement.server);
            serve.limits = arguments.load.limits.clone();
            serve.placement = arguments.load.placement.clone();
            serve.watch = arguments.load.watch.clone();
            serve.tls = Tls::of_server(tls.as_ref());
            serve.break_limiter = break_limiter;
            Some(ServerProcess::start(&serve)?)
        }
    };
    progress.step(step, arguments.warmup + arguments.duration);
    let measurement = measure(arguments, &placement, tls, server.as_mut(), progress)?;
    if let Some(server) = server {
        server.stop()?;
    }
    Ok(RunResult::new(arguments, &placement, &measurement))
}

/// Refuses what cannot be run before anything is started.
///
/// # Errors
/// The flag, and what to give instead.
pub(crate) fn check(arguments: &RunArguments) -> Outcome {
    checked(arguments).map(drop)
}

/// The same, and returns the TLS that it made.
fn checked(arguments: &RunArguments) -> Outcome<Option<Tls>> {
    if arguments.load.connections == 0 {
        return Err(Failure::NoConnections);
    }
    if arguments.load.threads == Some(0) {
        return Err(Failure::Usage("-t 0: give at least one client thread".to_owned()));
    }
    if let Some(size) = arguments.load.size {
        if arguments.load.workload == Workload::Handshake {
            return Err(Failure::Usage("-s: a handshake has no request; drop it".to_owned()));
        }
        if !(1..=LARGEST_REQUEST).contains(&size.0) {
            return Err(Failure::Usage(format!(
                "-s {}: give a size from 1 byte to {LARGEST_REQUEST} bytes",
                size.0
            )));
        }
    }
    if arguments.duration.is_zero() {
        return Err(Failure::Usage("-d 0: give a duration such as 10s".to_owned()));
    }
    let is_foreign = arguments.address.is_some() || arguments.server_command.is_some();
    if is_foreign && arguments.load.limits.any() {
        return Err(Failure::Usage(
            "limits are set where a server of ours is started; drop the address or the command, or \
             the limits"
                .to_owned(),
        ));
    }
    let placed = arguments.load.placement.flags().first().map(|(flag, _)| *flag);
    let watched = arguments.load.watch.flags().first().map(|(flag, _)| *flag);
    if let Some(flag) = placed.or(watched).filter(|_| is_foreign) {
        return Err(Failure::Usage(format!(
            "{flag} is of a server of ours that is started; drop it, or the address or the command"
        )));
    }
    let bare = arguments.server == arguments::Subject::Bare;
    if let Some(flag) = watched.filter(|_| bare) {
        return Err(Failure::Usage(format!("--server bare has no {flag}; drop it")));
    }
    if bare && matches!(arguments.load.workload, Workload::Source | Workload::Sink) {
        return Err(Failure::Usage(
            "--server bare only echoes; use run echo, idle or churn".to_owned(),
        ));
    }
    if bare && arguments.load.limits.any() {
        return Err(Failure::Usage("--server bare has no limits; drop them".to_owned()));
    }
    churn::check(arguments)?;
    let tls = tls::check(arguments)?;
    Terms::check(&arguments.load.limits)?;
    arguments.load.watch.check()?;
    match (arguments.address, &arguments.server_command) {
        (Some(_), _) => check_process(arguments.server_pid)?,
        (None, Some(command)) => {
            let cpus = placement(&arguments.load)?.server;
            foreign::words(command, &cpus, tls.as_ref()).map(drop)?;
        }
        (None, None) => check_server(arguments)?,
    }
    let (open, long) = (arguments.load.connections, arguments.load.churn.long.unwrap_or_default());
    let most = if long > open { format!("--long {long}") } else { format!("-c {open}") };
    descriptors::check(&most, open.saturating_add(long), descriptors::raise())?;
    Ok(tls)
}

/// Refuses a server that could not start on this machine: said by the child it would be a failure.
fn check_server(arguments: &RunArguments) -> Outcome {
    let load = &arguments.load;
    let cpus = placement(load)?.server;
    if arguments.server == arguments::Subject::Bare {
        return server::bare_places(&load.placement, &cpus).map(drop);
    }
    load.placement.plan(&cpus, &Snapshot::take()).map(drop).map_err(Failure::Usage)
}

/// Refuses a process whose CPU time cannot be read.
fn check_process(pid: Option<u32>) -> Outcome {
    let Some(pid) = pid else { return Ok(()) };
    procfs::cpu_time(&pid.to_string()).map(drop).map_err(|why| {
        Failure::Usage(format!(
            "--server-pid {pid}: {why}; give the number of a process that runs here"
        ))
    })
}

fn service(arguments: &RunArguments) -> Service {
    match (arguments.server, arguments.load.workload) {
        (arguments::Subject::Bare, _) => Service::Bare,
        (_, Workload::Source) => Service::Source,
        (_, Workload::Sink) => Service::Sink,
        (_, Workload::Echo | Workload::Idle | Workload::Churn | Workload::Handshake) => {
            Service::Echo
        }
    }
}

fn measure(
    arguments: &RunArguments,
    placement: &Placement,
    tls: Option<Tls>,
    server: Option<&mut ServerProcess>,
    progress: &mut Progress,
) -> Outcome<Measurement> {
    let started = server.as_ref().map(|server| server.address());
    let address = arguments.address.or(started).expect("a server is started without an address");
    let load = Load {
        targets: vec![Target {
            address,
            connections: if arguments.load.workload.is_short() {
                arguments.load.churn.long.unwrap_or_default()
            } else {
                arguments.load.connections
            },
        }],
        traffic: match arguments.load.workload {
            Workload::Echo => Traffic::Echo,
            Workload::Source => Traffic::Source,
            Workload::Sink => Traffic::Sink,
            Workload::Idle | Workload::Churn | Workload::Handshake => Traffic::Idle,
        },
        churn: churn::load(arguments),
        tls: tls.map(|tls| tls.terms),
        size: arguments.load.size_bytes() as usize,
        receive_buffer: None,
        threads: arguments.load.threads.unwrap_or_else(|| placement.client.len().max(1)),
        cpus: placement.client.clone(),
        warmup: arguments.warmup,
        duration: arguments.duration,
        keep_receipts: false,
    };
    let subject = match (server, arguments.server_pid) {
        (Some(server), _) => Subject::Child(server),
        (None, Some(pid)) => Subject::Process(pid),
        (None, None) => Subject::Unknown,
    };
    measurement::take(&load, subject, &placement.server, progress)
}

/// Largest request: the client keeps one copy of it per thread.
const LARGEST_REQUEST: u64 = 16 << 20;
