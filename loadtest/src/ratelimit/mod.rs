//! The `ratelimit` command: are limits kept, in every window, and shared fairly?
//!
//! Owns the order: flags, plans, runs, report. What is run is in `plan` and `trial`, what must come
//! out in `scenario`, whether it did in `judge`, how it looks in `table`.

mod comparison;
mod judge;
mod placement;
mod plan;
mod scenario;
mod suspended;
mod table;
mod trial;

use serde::Serialize;

use self::comparison::Comparison;
use self::plan::{Entry, Plan, Results, Stage};
use self::scenario::NAMES;
pub(crate) use self::scenario::Scenario;
pub(crate) use self::trial::{Finding, check};
use crate::arguments::RatelimitArguments;
use crate::cpus::{self, CpuChoice, Placement};
use crate::descriptors;
use crate::exit::{Failure, Outcome};
use crate::output::Output;
use crate::progress::Progress;
use crate::run::{Environment, SCHEMA};

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
    scenarios: Vec<Entry>,
    comparisons: Vec<Comparison>,
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
    let names: Vec<&str> = match arguments.scenarios.as_slice() {
        [] => NAMES.iter().map(|(name, _)| *name).filter(|n| n.starts_with("libevent")).collect(),
        names => names.iter().map(String::as_str).collect(),
    };
    if let Some((flag, heeding)) = arguments.unheeded_flag(&names) {
        return Err(Failure::Usage(format!(
            "{flag} is for {}, and none of them was asked for; write ratelimit {} {flag}",
            heeding.join(", "),
            heeding[0]
        )));
    }
    let placement = place(arguments, &names)?;
    let descriptors = descriptors::raise();
    let mut plans = Vec::with_capacity(names.len());
    for name in &names {
        let cores = placement.server.len().max(Plan::least_cores(name));
        let plan = Plan::named(name, arguments, cores)?;
        let connections = plan.connections();
        descriptors::check(&format!("-c {connections}"), connections, descriptors)?;
        plans.push(plan);
    }
    if let Some(why) = &placement.shared {
        let line = "SHARED-CORE: client and server take time from each other";
        output.text(&format!("{line} ({why}).\n\n"))?;
    }
    let progress = Progress::new(plans.iter().map(Plan::length).sum());
    let mut stage = Stage { placement: &placement, break_limiter, output: &output, progress };
    let mut results = Results::default();
    for plan in &plans {
        plan.run(&mut stage, &mut results)?;
    }
    drop(stage);
    let failed = results.failed().join(", ");
    output.result(&RatelimitResult {
        schema: SCHEMA,
        verdict: if failed.is_empty() { "PASS" } else { "FAIL" },
        command: std::env::args().skip(1).collect(),
        environment: Environment::read(),
        server_cpus: cpus::list(&placement.server),
        client_cpus: cpus::list(&placement.client),
        shared_core: placement.shared,
        scenarios: results.scenarios,
        comparisons: results.comparisons,
    })?;
    if failed.is_empty() {
        return Ok(());
    }
    Err(Failure::CheckFailed(format!("limits were not kept or not shared fairly: {failed}")))
}

/// Where both sides go: on CPUs of their own, but the server has those it needs.
fn place(arguments: &RatelimitArguments, names: &[&str]) -> Outcome<Placement> {
    let allowed = cpus::allowed()?;
    let chosen = &arguments.server_cpus;
    let placement = Placement::resolve(chosen, &CpuChoice::Auto, &allowed, cpus::quota())?;
    let least = names.iter().map(|name| Plan::least_cores(name)).max().unwrap_or(1);
    Ok(placement.with_server_cpus(least, chosen, &allowed))
}
