//! The `doctor` command: what this machine offers, what limits it, and what to do about it.
//!
//! Owns the order of the findings and the exit code: 1 if anything is `bad`, so that a measurement
//! would fail or could not be believed now, else 0. What a file says is read below a root that is a
//! parameter; what only a measurement tells is left out where that root is not this machine's.
//! Changes nothing, and takes less than a second unless the client's ceiling is asked for.

mod ceiling;
mod finding;
mod live;
mod machine;
mod network;
mod tree;

use std::fmt::Write;
use std::path::Path;

use serde::Serialize;

pub(crate) use self::finding::{Finding, Grade};
use self::tree::Tree;
use crate::arguments::DoctorArguments;
use crate::exit::{Failure, Outcome};
use crate::output::Output;
use crate::run::SCHEMA;

/// What is written as JSON.
#[derive(Debug, Serialize)]
struct Report {
    schema: u32,
    verdict: &'static str,
    findings: Vec<Finding>,
}

/// Runs the command.
///
/// # Errors
/// Exit code 1 if something is `bad`; 2 if the root holds no machine.
pub(crate) fn run(arguments: &DoctorArguments) -> Outcome {
    let tree = Tree::new(&arguments.root);
    if !tree.holds_a_machine() {
        return Err(Failure::Usage(format!(
            "--root {}: there is neither proc nor sys below it; give a copy of a machine's files, \
             or drop it",
            arguments.root.display()
        )));
    }
    let mut findings = machine::findings(&tree);
    findings.extend(network::findings(&tree));
    if arguments.root == Path::new("/") {
        findings.extend(live::findings());
    }
    if arguments.ceiling {
        findings.push(ceiling::finding()?);
    }
    let bad: Vec<&str> =
        findings.iter().filter(|f| f.grade == Grade::Bad).map(|f| f.name).collect();
    let failure = (!bad.is_empty()).then(|| Failure::NotReady(bad.join(", ")));
    let verdict = if failure.is_some() { "BAD" } else { "READY" };
    let output = Output::new(arguments.json.as_deref());
    output.text(&render(&findings, verdict))?;
    output.result(&Report { schema: SCHEMA, verdict, findings })?;
    failure.map_or(Ok(()), Err)
}

/// A finding takes two lines, and a third that says what to do where there is something.
fn render(findings: &[Finding], verdict: &str) -> String {
    let mut text = String::new();
    for finding in findings {
        // Writing to a string cannot fail.
        let _ =
            writeln!(text, "{:<5} {:<19} {}", finding.grade.name(), finding.name, finding.value);
        let _ = writeln!(text, "{:<25} limits {}", "", finding.limits);
        if let Some(remedy) = &finding.remedy {
            let _ = writeln!(text, "{:<25} do: {remedy}", "");
        }
    }
    let _ = writeln!(text, "\nverdict    {verdict}");
    text
}
