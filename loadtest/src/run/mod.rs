//! The `run` command: one workload, measured once, told as a table and as JSON.
//!
//! Owns the order: check the flags, start a server where no address is given, measure, judge,
//! report. The parts are in `result` (figures and JSON) and `table` (text).

mod churn;
mod result;
mod table;

use self::result::RunResult;
pub(crate) use self::result::{Environment, SCHEMA};
use crate::arguments::{self, RunArguments, ServeArguments, Service, Workload};
use crate::child::ServerProcess;
use crate::client::{Load, Target, Traffic};
use crate::cpus::{self, CpuChoice, Placement};
use crate::descriptors;
use crate::exit::{Failure, Outcome};
use crate::limits::Terms;
use crate::measurement::{self, Measurement, Subject};
use crate::output::Output;
use crate::progress::Progress;

/// Runs the command.
///
/// # Errors
/// Flags that contradict each other, a server that cannot be started or reached, or an output that
/// cannot be written.
pub(crate) fn run(arguments: &RunArguments, break_limiter: bool) -> Outcome {
    check(arguments)?;
    let allowed = cpus::allowed()?;
    let placement = Placement::resolve(
        &arguments.server_cpus,
        &arguments.client_cpus,
        &allowed,
        cpus::quota(),
    )?;
    let placement = match (arguments.address, &arguments.server_cpus) {
        // Where a foreign server runs is known only if the user says so.
        (Some(_), CpuChoice::Auto | CpuChoice::Unpinned) => Placement { shared: None, ..placement },
        _ => placement,
    };
    let mut server = match arguments.address {
        Some(_) => None,
        None => {
            let mut serve = ServeArguments::local(service(arguments), &placement.server);
            serve.limits = arguments.limits.clone();
            serve.break_limiter = break_limiter;
            Some(ServerProcess::start(&serve)?)
        }
    };
    let measurement = measure(arguments, &placement, server.as_mut())?;
    if let Some(server) = server {
        server.stop()?;
    }
    let result = RunResult::new(arguments, &placement, &measurement);
    let output = Output::new(arguments.json.as_deref());
    output.text(&table::render(&result))?;
    output.result(&result)
}

/// Refuses what cannot be run before anything is started.
fn check(arguments: &RunArguments) -> Outcome {
    if arguments.connections == 0 {
        return Err(Failure::NoConnections);
    }
    if arguments.threads == Some(0) {
        return Err(Failure::Usage("-t 0: give at least one client thread".to_owned()));
    }
    if !(1..=LARGEST_REQUEST).contains(&arguments.size.0) {
        return Err(Failure::Usage(format!(
            "-s {}: give a size from 1 byte to {LARGEST_REQUEST} bytes",
            arguments.size.0
        )));
    }
    if arguments.duration.is_zero() {
        return Err(Failure::Usage("-d 0: give a duration such as 10s".to_owned()));
    }
    if arguments.address.is_some() && arguments.limits.any() {
        return Err(Failure::Usage(
            "limits are set where the server is started; drop the address or the limits".to_owned(),
        ));
    }
    let bare = arguments.server == arguments::Subject::Bare;
    if bare && matches!(arguments.workload, Workload::Source | Workload::Sink) {
        return Err(Failure::Usage(
            "--server bare only echoes; use run echo, idle or churn".to_owned(),
        ));
    }
    if bare && arguments.limits.any() {
        return Err(Failure::Usage("--server bare has no limits; drop them".to_owned()));
    }
    churn::check(arguments)?;
    Terms::check(&arguments.limits)?;
    let long = arguments.churn.long.unwrap_or_default();
    descriptors::check(arguments.connections.saturating_add(long), descriptors::raise())
}

fn service(arguments: &RunArguments) -> Service {
    match (arguments.server, arguments.workload) {
        (arguments::Subject::Bare, _) => Service::Bare,
        (_, Workload::Echo | Workload::Idle | Workload::Churn) => Service::Echo,
        (_, Workload::Source) => Service::Source,
        (_, Workload::Sink) => Service::Sink,
    }
}

fn measure(
    arguments: &RunArguments,
    placement: &Placement,
    server: Option<&mut ServerProcess>,
) -> Outcome<Measurement> {
    let started = server.as_ref().map(|server| server.address());
    let address = arguments.address.or(started).expect("a server is started without an address");
    let load = Load {
        targets: vec![Target {
            address,
            connections: match arguments.workload {
                Workload::Churn => arguments.churn.long.unwrap_or_default(),
                _ => arguments.connections,
            },
        }],
        traffic: match arguments.workload {
            Workload::Echo => Traffic::Echo,
            Workload::Source => Traffic::Source,
            Workload::Sink => Traffic::Sink,
            Workload::Idle | Workload::Churn => Traffic::Idle,
        },
        churn: churn::load(arguments),
        size: arguments.size.0 as usize,
        receive_buffer: None,
        threads: arguments.threads.unwrap_or_else(|| placement.client.len().max(1)),
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
    let length = arguments.warmup + arguments.duration;
    let mut progress = Progress::new(length);
    progress.step("measuring", length);
    measurement::take(&load, subject, &placement.server, &mut progress)
}

/// Largest request: the client keeps one copy of it per thread.
const LARGEST_REQUEST: u64 = 16 << 20;
