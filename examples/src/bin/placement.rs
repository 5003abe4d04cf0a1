//! Prints where the cores of a runtime would run, and why; runs nothing.
//!
//! Teaches: a plan is a value that follows from what is asked and a look at the machine, or at a
//! copy of another machine's system files.
//! Run it with `cargo run --bin placement`, then with flags such as `--pin each --smt one`, and on
//! a server with two sockets: `--root runtime/tests/machines/server`.

#![forbid(unsafe_code)]

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use comfy_table::Table;
use comfy_table::presets::UTF8_FULL_CONDENSED;
use serde_json::{Value, json};
use sluicegate::placement::{Location, Snapshot};
use sluicegate::{CpuSet, Placement, Plan};
use sluicegate_examples::PlacementFlags;

/// Where the cores of a runtime would run, and why.
#[derive(Parser)]
struct Arguments {
    #[command(flatten)]
    placement: PlacementFlags,
    /// Look at the machine whose /proc and /sys are below this folder.
    #[arg(long, value_name = "DIR")]
    root: Option<PathBuf>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// A core of the plan, as both outputs show it.
struct Row {
    core: usize,
    cpus: String,
    nodes: String,
    packages: String,
    siblings: String,
    why: String,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let snapshot = match &arguments.root {
        None => Snapshot::take(),
        Some(root) if root.is_dir() => Snapshot::read(root),
        Some(root) => return refuse(&format!("--root: {} is no folder", root.display())),
    };
    let asked = Placement::from_env().map(|variables| arguments.placement.asked().or(variables));
    let plan = asked.and_then(|asked| asked.plan(&snapshot));
    match plan {
        Ok(plan) if arguments.json => say(&format!("{:#}", document(&snapshot, &plan))),
        Ok(plan) => say(&page(&snapshot, &plan)),
        Err(error) => return refuse(&format!("cannot place the cores: {error}")),
    }
    ExitCode::SUCCESS
}

fn rows<'a>(snapshot: &'a Snapshot, plan: &'a Plan) -> impl Iterator<Item = Row> + 'a {
    plan.cores.iter().map(|core| {
        let cpus = plan.cpus(core.index);
        let every = |of: fn(&Location) -> usize| {
            let places = cpus.iter().filter_map(|cpu| snapshot.topology().location(cpu)).map(of);
            // Packages may have higher numbers than CPUs can, so they make no set of those.
            let numbers: BTreeSet<usize> = places.collect();
            numbers.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
        };
        let siblings = cpus.iter().filter_map(|cpu| snapshot.topology().siblings(cpu));
        let siblings = siblings.flat_map(|set| set.iter().collect::<Vec<_>>());
        let others = CpuSet::from_cpus(siblings.filter(|&cpu| !cpus.contains(cpu)));
        Row {
            core: core.index,
            cpus: cpus.to_string(),
            nodes: every(|at| at.node),
            packages: every(|at| at.package),
            siblings: others.map_or_else(|_| "-".to_owned(), |others| others.to_string()),
            why: core.why.to_string(),
        }
    })
}

fn page(snapshot: &Snapshot, plan: &Plan) -> String {
    let mut table = Table::new();
    table.load_style(UTF8_FULL_CONDENSED);
    table.set_header(["core", "CPUs", "node", "package", "SMT siblings", "why"]);
    for row in rows(snapshot, plan) {
        let core = row.core.to_string();
        table.add_row([core, row.cpus, row.nodes, row.packages, row.siblings, row.why]);
    }
    let mut page = format!("{plan} online={}\n{table}", snapshot.online());
    for warning in &plan.warnings {
        page += &format!("\nwarning: {warning}");
    }
    page
}

fn document(snapshot: &Snapshot, plan: &Plan) -> Value {
    let cores: Vec<Value> = rows(snapshot, plan)
        .map(|row| {
            json!({
                "core": row.core,
                "cpus": row.cpus,
                "nodes": row.nodes,
                "packages": row.packages,
                "siblings": row.siblings,
                "why": row.why,
            })
        })
        .collect();
    json!({
        "cores": cores,
        "reason": plan.reason.to_string(),
        "pin": plan.pin.to_string(),
        "order": plan.order.to_string(),
        "smt": plan.smt.to_string(),
        "idle": plan.idle.to_string(),
        "strict": plan.strict,
        "allowed": plan.allowed.to_string(),
        "online": snapshot.online().to_string(),
        "quota": plan.quota.map(|quota| quota.to_string()),
        "warnings": plan.warnings.iter().map(ToString::to_string).collect::<Vec<_>>(),
    })
}

#[expect(clippy::print_stdout, reason = "the plan is the output of this program")]
fn say(text: &str) {
    println!("{text}");
}

fn refuse(why: &str) -> ExitCode {
    eprintln!("{why}");
    ExitCode::from(2)
}
