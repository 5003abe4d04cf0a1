//! What the client can do at most on this machine, against a server that does the least.
//!
//! Owns one short run of the bare loop. Only on request: it takes two seconds and both sides' CPUs.

use std::time::Duration;

use clap::Parser;

use super::finding::{Finding, Grade};
use crate::arguments::{Arguments, Command};
use crate::exit::Outcome;
use crate::figure::count;
use crate::progress::Progress;
use crate::run;

/// Measures it.
///
/// # Errors
/// The run could not be done.
pub(super) fn finding() -> Outcome<Finding> {
    let line = ["loadtest", "run", "echo", "--server", "bare", "-d", "1500ms", "-w", "500ms"];
    let Some(Command::Run(arguments)) = Arguments::parse_from(line).command else {
        unreachable!("the line says run")
    };
    let mut progress = Progress::new(Duration::from_secs(2));
    let result = run::once(&arguments, false, "client ceiling", &mut progress)?;
    let names: Vec<&str> = result.remarks().iter().map(|remark| remark.name).collect();
    Ok(judge(result.ops_per_sec(), &names))
}

fn judge(ops_per_sec: f64, remarks: &[&str]) -> Finding {
    // Unless the client was the limit it can do more than it did.
    let least = if remarks.contains(&"CLIENT-BOUND") { "" } else { "at least " };
    let value = format!("{least}{} requests/s of 64 bytes on 64 connections", count(ops_per_sec));
    let limits = "throughput that can be measured: beyond 80 % of it the client may be the limit";
    Finding::new("client ceiling", value, limits)
        .grade_if(remarks.contains(&"NOISY"), Grade::Bad, || {
            "the run was NOISY: stop other programs, or measure when the host is quiet".to_owned()
        })
        .grade_if(remarks.contains(&"SHARED-CORE"), Grade::Note, || {
            "client and server share CPUs, so it is both sides': compare CPU per operation"
                .to_owned()
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_that_cannot_be_believed_is_no_ceiling() {
        assert_eq!(judge(1e5, &[]).grade, Grade::Ok);
        let bound = judge(1e5, &["CLIENT-BOUND"]);
        assert_eq!(bound.grade, Grade::Ok);
        assert!(bound.value.starts_with("100k requests/s"), "{}", bound.value);
        assert_eq!(judge(1e5, &["SHARED-CORE"]).grade, Grade::Note);
        let noisy = judge(123_456.0, &["SHARED-CORE", "NOISY"]);
        assert_eq!(noisy.grade, Grade::Bad);
        assert!(noisy.value.starts_with("at least 123k requests/s"));
    }
}
