//! Simulated scenarios as text: a line each as it ends, and what they mean.
//!
//! Owns the layout only.

use std::fmt::Write;

use sluicegate_groups::testing::{Mutant, SCENARIOS, Size};

use super::Pair;
use crate::figure::{count, microseconds};

/// The scenarios and the ways to break the limiter, a line each.
pub(super) fn list() -> String {
    let mut text = String::new();
    // Writing to a string cannot fail.
    for scenario in SCENARIOS {
        let _ = writeln!(text, "{:<12}{}", scenario.name, scenario.purpose);
    }
    for mutant in Mutant::ALL {
        let (scenario, check) = mutant.caught_by();
        let _ = writeln!(text, "--broken {:<16} is seen by {check} in {scenario}", mutant.name());
    }
    text
}

/// What is simulated, and the heads of the columns.
pub(super) fn heading(size: Size, broken: Option<Mutant>) -> String {
    let broken = broken.map_or(String::new(), |mutant| format!("   broken: {}", mutant.name()));
    format!(
        "loadtest simulate   {} cores   seed {}{broken}\n\
         in brackets the same limit with greedy draws; wait in rounds over all members; peak is \
         the fullest 100 ms over the mean\n\n\
         {:<11} {:>8} {:>8} {:>15} {:>7} {:>15} {:>9} {:>6} {:>6} {:>7} {:>7}\n",
        size.cores,
        size.seed,
        "scenario",
        "members",
        "used",
        "least/most",
        "Jain",
        "longest wait",
        "round",
        "excess",
        "peak",
        "draws/s",
        "turns/s"
    )
}

/// One scenario.
pub(super) fn row(pair: &Pair) -> String {
    let (policy, greedy) = (&pair.policy.figures, &pair.greedy.figures);
    let rounds = |figures: &sluicegate_groups::testing::Figures| {
        figures.longest_wait.as_secs_f64() / figures.round.as_secs_f64().max(1e-9)
    };
    let shares = format!("{:.4} ({:.3})", policy.evenness(), greedy.evenness());
    let waits = format!("{:.2} ({:.1})", rounds(policy), rounds(greedy));
    let mut text = format!(
        "{:<11} {:>8} {:>8.4} {shares:>15} {:>7.4} {waits:>15} {:>9} {:>6} {:>6.2} {:>7} {:>7}",
        pair.policy.scenario,
        policy.members,
        policy.utilisation,
        policy.jain,
        microseconds(Some(policy.round.as_secs_f64() * 1e6)),
        policy.excess,
        policy.peak,
        count(policy.draws_per_sec),
        count(policy.turns_per_sec),
    );
    for check in pair.policy.checks.iter().filter(|check| !check.passes()) {
        let _ = write!(
            text,
            "\n  FAIL {}: {} (bar {} to {})",
            check.name, check.value, check.least, check.most
        );
    }
    text.push('\n');
    text
}
