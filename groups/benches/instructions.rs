//! The instructions each operation of a group takes, counted by valgrind.
//!
//! Owns the counting: it runs itself under valgrind for N and for 2N steps, and what the second run
//! took more is N steps without the set-up. Counts do not depend on how busy the machine is, so
//! they guard against regressions: one above twice its figure in `README.md` fails the run.
//! Without valgrind it says SKIPPED.
//!
//! Arguments: names of operations, default all; `--test` for N = 1 without valgrind.

use std::process::{Command, ExitCode};

mod rig;
use rig::{OPERATIONS, Operation};

#[expect(clippy::print_stdout, reason = "a program that reports")]
fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if let [flag, name, steps] = &args[..]
        && flag == RUN
    {
        let operation = OPERATIONS.iter().find(|operation| operation.name == name);
        operation.expect("a name from the table").prepare()(steps.parse().expect("a number"));
        return ExitCode::SUCCESS;
    }
    if args.iter().any(|arg| arg == "--test") {
        OPERATIONS.iter().for_each(|operation| operation.prepare()(1));
        return ExitCode::SUCCESS;
    }
    if let Err(error) = Command::new("valgrind").arg("--version").output() {
        println!("SKIPPED instructions: valgrind: {error}");
        return ExitCode::SUCCESS;
    }
    let names: Vec<_> = args.iter().filter(|arg| !arg.starts_with('-')).collect();
    let mut failed = false;
    println!("{:<18} {:>12} {:>12}", "operation", "instructions", "README.md");
    for operation in OPERATIONS {
        if !names.is_empty() && !names.iter().any(|name| *name == operation.name) {
            continue;
        }
        let (counted, documented) = (count(operation), documented(operation.name));
        let verdict = match documented {
            None => "  FAILED: has no row",
            Some(figure) if counted > 2.0 * figure => "  FAILED: more than twice as many",
            Some(_) => "",
        };
        failed |= !verdict.is_empty();
        println!(
            "{:<18} {counted:>12.1} {:>12}{verdict}",
            operation.name,
            documented.map_or_else(|| "-".to_owned(), |figure| format!("{figure:.1}")),
        );
    }
    if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

/// Returns the instructions of one operation.
fn count(operation: &Operation) -> f64 {
    let (once, twice) = (total(operation, STEPS), total(operation, 2 * STEPS));
    (twice - once) as f64 / (STEPS * u64::from(operation.per_step)) as f64
}

/// Returns the instructions of a whole run of `steps`, its set-up included.
fn total(operation: &Operation, steps: u64) -> u64 {
    let program = std::env::current_exe().expect("a program knows its own path");
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(program)
        .args([RUN, operation.name, &steps.to_string()])
        .output()
        .expect("valgrind was found");
    let report = String::from_utf8_lossy(&output.stderr);
    let collected = report.lines().find_map(|line| line.split_once("Collected :"));
    let collected = collected.and_then(|(_, number)| number.trim().parse().ok());
    collected.unwrap_or_else(|| panic!("no count in valgrind's report:\n{report}"))
}

/// Returns the figure in the operation's row of the table: its third column.
fn documented(name: &str) -> Option<f64> {
    let row = include_str!("../README.md")
        .lines()
        .find(|line| line.starts_with(&format!("| `{name}` |")))?;
    row.split('|').nth(3)?.trim().parse().ok()
}

/// Tells this program that it is the one under valgrind.
const RUN: &str = "--run";

/// N: a lease of the fastest group lasts 610 turns, and many of them should come and go.
const STEPS: u64 = 20_000;
