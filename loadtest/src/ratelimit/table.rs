//! Findings as text.
//!
//! Owns the layout only: a line of verdict, the figures, and every check with its bar.

use std::fmt::Write;

use super::comparison::Comparison;
use super::judge::{Check, Judgement};
use super::{Finding, NAMES, suspended};
use crate::figure::{bytes, count, four_decimals, microseconds, plain};
use crate::verdict::Remark;

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

/// What scenarios came to beside each other.
pub(super) fn compared(comparison: &Comparison) -> String {
    let mut text = String::new();
    let (name, pass) = (comparison.name, verdict(comparison.pass));
    // Writing to a string cannot fail.
    let _ = writeln!(text, "{name:<20}{pass}   compared");
    for (name, value) in &comparison.figures {
        let _ = writeln!(text, "  {}: {}", name.replace('_', " "), plain(Some(*value)));
    }
    for check in &comparison.checks {
        let _ = bar(&mut text, check);
    }
    text + "\n"
}

/// What a number of waiting members cost.
pub(super) fn suspended(finding: &suspended::Finding) -> String {
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = write_suspended(&mut text, finding);
    text
}

fn write_suspended(text: &mut String, finding: &suspended::Finding) -> std::fmt::Result {
    let slices: Vec<String> =
        finding.slices_cpu_ms_per_sec.iter().map(|ms| format!("{ms:.1}")).collect();
    writeln!(
        text,
        "{:<20}{}   {} of {} members waiting, {}/s configured",
        finding.name,
        verdict(finding.pass),
        finding.waiting,
        finding.members,
        bytes(finding.configured_bytes_per_sec)
    )?;
    writeln!(
        text,
        "  server {:.1} ms CPU/s ({})   {} us per operation, {} of it in user space",
        finding.server_cpu_ms_per_sec,
        slices.join(", "),
        plain(Some(finding.server_cpu_us_per_op)),
        plain(finding.server_user_us_per_op)
    )?;
    writeln!(
        text,
        "  {} operations/s   {} draws per operation   client {:.0} % of its CPU   steal {:.1} %",
        count(finding.operations_per_sec),
        plain(Some(finding.draws_per_op)),
        finding.client_cpu_fraction * 100.0,
        finding.steal_fraction * 100.0
    )?;
    remarks_and_bars(text, &finding.remarks, &finding.checks)?;
    writeln!(text)
}

fn verdict(pass: bool) -> &'static str {
    if pass { "PASS" } else { "FAIL" }
}

fn write(text: &mut String, finding: &Finding) -> std::fmt::Result {
    let judgement = &finding.judgement;
    writeln!(
        text,
        "{:<20}{}   {} members{}{}, {}/s configured, burst {}",
        judgement.name,
        verdict(judgement.pass),
        judgement.members,
        match judgement.member_cores {
            // Without a group nobody is a member.
            0 => String::new(),
            1 => " on one core".to_owned(),
            cores => format!(" on {cores} cores"),
        },
        if finding.tls { " over TLS" } else { "" },
        bytes(judgement.configured_bytes_per_sec),
        bytes(judgement.burst_bytes as f64)
    )?;
    figures(text, judgement)?;
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
    remarks_and_bars(text, &finding.remarks, &judgement.checks)?;
    writeln!(text)
}

fn remarks_and_bars(text: &mut String, remarks: &[Remark], checks: &[Check]) -> std::fmt::Result {
    for remark in remarks {
        writeln!(text, "  {}: {}", remark.name, remark.sentence)?;
    }
    checks.iter().try_for_each(|check| bar(text, check))
}

fn figures(text: &mut String, judgement: &Judgement) -> std::fmt::Result {
    writeln!(
        text,
        "  achieved / configured {:.4}   least window {}   peak / mean of 100 ms {}",
        judgement.achieved_ratio,
        four_decimals(judgement.least_window_ratio),
        plain(judgement.smoothness)
    )?;
    writeln!(
        text,
        "  shares of a member {:.4} to {:.4} of what is due   Jain {:.4}   in any second {}",
        judgement.min_share_ratio,
        judgement.max_share_ratio,
        judgement.jain,
        four_decimals(judgement.jain_1s)
    )?;
    let milliseconds = |ms: f64| microseconds(Some(ms * 1e3));
    writeln!(
        text,
        "  longest without service {} (peers {}; ideal round {}; a core was away for {})",
        milliseconds(judgement.longest_service_gap_ms),
        milliseconds(judgement.longest_gap_ms),
        judgement.ideal_round_ms.map_or_else(|| "n/a".to_owned(), milliseconds),
        milliseconds(judgement.longest_loop_gap_ms)
    )?;
    writeln!(
        text,
        "  worst excess {} (peers saw {})",
        bytes(judgement.worst_excess_bytes as f64),
        judgement.peer_excess_bytes.map_or_else(|| "too much".to_owned(), |b| bytes(b as f64))
    )?;
    writeln!(
        text,
        "  peers {} B/s in all, {} B/s each, deviation {} B/s",
        plain(Some(judgement.peer_bytes_per_sec)),
        plain(Some(judgement.peer_mean_bytes_per_sec)),
        plain(Some(judgement.peer_deviation_bytes_per_sec))
    )
}

/// A check with its bar.
fn bar(text: &mut String, check: &Check) -> std::fmt::Result {
    let mark = match (check.pass, check.inconclusive) {
        (true, _) => "ok  ",
        (false, true) => "open",
        (false, false) => "FAIL",
    };
    let bar = match (check.least, check.most) {
        (Some(least), Some(most)) => format!("{} to {}", exact(least), exact(most)),
        (Some(least), None) => format!("at least {}", exact(least)),
        (None, Some(most)) => format!("at most {}", exact(most)),
        (None, None) => "none".to_owned(),
    };
    writeln!(text, "  {mark} {}: {} (bar {bar})", check.name, exact(check.value))
}

/// Four decimals where there are any.
fn exact(value: f64) -> String {
    if value.fract() == 0.0 { format!("{value:.0}") } else { format!("{value:.4}") }
}
