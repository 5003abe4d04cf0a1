//! Findings as text.
//!
//! Owns the layout only: a line of verdict, the figures, and every check with its bar.

use std::fmt::Write;

use super::{Finding, NAMES};
use crate::figure::{bytes, count, four_decimals, microseconds, plain};

/// The scenarios, a line each.
pub(super) fn list() -> String {
    NAMES.iter().map(|(name, what)| format!("{name:<12}{what}\n")).collect()
}

/// One finding.
pub(super) fn render(finding: &Finding) -> String {
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = write(&mut text, finding);
    text
}

fn write(text: &mut String, finding: &Finding) -> std::fmt::Result {
    let judgement = &finding.judgement;
    let verdict = if judgement.pass { "PASS" } else { "FAIL" };
    writeln!(
        text,
        "{:<12}{verdict}   {} members, {}/s configured, burst {}",
        judgement.name,
        judgement.members,
        bytes(judgement.configured_bytes_per_sec),
        bytes(judgement.burst_bytes as f64)
    )?;
    writeln!(
        text,
        "  achieved / configured {:.4}   least window {}   Jain {:.4}",
        judgement.achieved_ratio,
        four_decimals(judgement.least_window_ratio),
        judgement.jain
    )?;
    writeln!(
        text,
        "  worst excess {} (peers saw {})   longest wait {} (ideal round {})",
        bytes(judgement.worst_excess_bytes as f64),
        judgement.peer_excess_bytes.map_or_else(|| "too much".to_owned(), |b| bytes(b as f64)),
        microseconds(Some(judgement.longest_gap_ms * 1e3)),
        microseconds(judgement.ideal_round_ms.map(|ms| ms * 1e3))
    )?;
    writeln!(
        text,
        "  peers {} B/s in all, {} B/s each, deviation {} B/s",
        plain(Some(judgement.peer_bytes_per_sec)),
        plain(Some(judgement.peer_mean_bytes_per_sec)),
        plain(Some(judgement.peer_deviation_bytes_per_sec))
    )?;
    writeln!(
        text,
        "  {} metered operations/s   {} draws ({} per operation)   {} rebalances   \
         server {:.1} ms CPU/s   steal {:.1} %",
        count(judgement.metered_per_sec),
        count(finding.draws as f64),
        plain(finding.draws_per_op),
        count(finding.rebalances as f64),
        finding.server_cpu_ms_per_sec,
        finding.steal_fraction * 100.0
    )?;
    for remark in &finding.remarks {
        writeln!(text, "  {}: {}", remark.name, remark.sentence)?;
    }
    for check in &judgement.checks {
        let mark = match (check.pass, check.inconclusive) {
            (true, _) => "ok  ",
            (false, true) => "busy",
            (false, false) => "FAIL",
        };
        let most = check.most.map_or(String::new(), |most| format!(" to {}", exact(most)));
        let (value, least) = (exact(check.value), exact(check.least));
        writeln!(text, "  {mark} {}: {value} (bar {least}{most})", check.name)?;
    }
    writeln!(text)
}

/// Four decimals where there are any.
fn exact(value: f64) -> String {
    if value.fract() == 0.0 { format!("{value:.0}") } else { format!("{value:.4}") }
}
