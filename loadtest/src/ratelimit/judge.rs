//! The judgement of a scenario from what both sides recorded.
//!
//! Owns the bars and the arithmetic; pure, so that its tests can feed it with traces of limiters
//! that are too fast, burst too much or starve a member, and see each caught. Excess over any
//! window and the rate come from the server's log; what the clients saw is reported beside it and
//! judged only where libevent does.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

use super::scenario::{Bars, GROUP_TOLERANCE, MEAN_TOLERANCE, Scenario};
use crate::audit::{AuditLog, Budget, Record, Span, Way, worst_excess};
use crate::client::Receipt;
use crate::exit::Outcome;
use crate::fairness::{jain, mean_and_deviation};
use crate::limits::Terms;

/// What both sides recorded.
#[derive(Debug)]
pub(crate) struct Trace<'a> {
    pub(crate) log: &'a AuditLog,
    /// The measured part on the server's clock.
    pub(crate) from_ns: u64,
    pub(crate) to_ns: u64,
    /// Bytes each client connection received in the measured part.
    pub(crate) peers: &'a [u64],
    pub(crate) peer_time: Duration,
    /// What the clients received, if all of it fitted into their log.
    pub(crate) receipts: Option<&'a [Receipt]>,
    pub(crate) longest_gap: Duration,
    /// Connections that did not last.
    pub(crate) failed: u64,
    /// The machine was busy with something else, so a rate too low proves nothing.
    pub(crate) noisy: bool,
}

/// One bar and whether it held.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Check {
    pub(crate) name: &'static str,
    pub(crate) value: f64,
    pub(crate) least: f64,
    pub(crate) most: Option<f64>,
    pub(crate) pass: bool,
    /// Whether it says nothing about the limit, because the machine was busy.
    pub(crate) inconclusive: bool,
}

/// What a scenario came to.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Judgement {
    pub(crate) name: &'static str,
    pub(crate) pass: bool,
    pub(crate) members: usize,
    pub(crate) configured_bytes_per_sec: f64,
    /// Of the configured rate, by the server's log.
    pub(crate) achieved_ratio: f64,
    /// The least of it in any window of a second, or of ten ticks, of the measured part.
    pub(crate) least_window_ratio: Option<f64>,
    pub(crate) burst_bytes: u64,
    pub(crate) worst_excess_bytes: u64,
    /// Absent if the clients' log of receipts overflowed.
    pub(crate) peer_excess_bytes: Option<u64>,
    pub(crate) jain: f64,
    pub(crate) longest_gap_ms: f64,
    /// Without a group nobody waits for a turn.
    pub(crate) ideal_round_ms: Option<f64>,
    pub(crate) peer_bytes_per_sec: f64,
    pub(crate) peer_mean_bytes_per_sec: f64,
    pub(crate) peer_deviation_bytes_per_sec: f64,
    pub(crate) metered_per_sec: f64,
    pub(crate) checks: Vec<Check>,
}

/// Judges a trace.
///
/// # Errors
/// The scenario's limits contradict each other.
pub(crate) fn judge(scenario: &Scenario, trace: &Trace<'_>) -> Outcome<Judgement> {
    let group = Terms::group(&scenario.limits)?;
    let each = Terms::connection(&scenario.limits)?;
    let configured = configured(scenario, group, each);
    let measured = Duration::from_nanos(trace.to_ns.saturating_sub(trace.from_ns));
    let sent = || trace.log.records.iter().filter(|record| record.way == Way::Write);
    let inside =
        |record: &&Record| record.after_ns > trace.from_ns && record.after_ns <= trace.to_ns;
    let bytes: u64 = sent().filter(inside).map(|record| record.bytes).sum();
    let allowed = configured * measured.as_secs_f64().max(1e-9);
    let rates: Vec<f64> =
        trace.peers.iter().map(|&bytes| bytes as f64 / trace.peer_time.as_secs_f64()).collect();
    let (mean, deviation) = mean_and_deviation(&rates);
    // Every member loads the server all the time, so the narrowest limit is what they share.
    let narrow = group.or(each);
    // Without a group the members together may have what they may have one by one.
    let together = group.or_else(|| each.map(|terms| terms.times(scenario.members as u64)));
    let mut judgement = Judgement {
        name: scenario.name,
        pass: false,
        members: scenario.members,
        configured_bytes_per_sec: configured,
        achieved_ratio: bytes as f64 / allowed,
        least_window_ratio: least_window(sent(), trace, scenario, configured),
        burst_bytes: narrow.map_or(0, |terms| terms.burst),
        worst_excess_bytes: log_excess(trace.log, group, each),
        peer_excess_bytes: trace
            .receipts
            .map(|receipts| together.map_or(0, |terms| peer_excess(receipts, &terms))),
        jain: jain(&shares(sent().filter(inside), scenario.members)).unwrap_or(0.0),
        longest_gap_ms: trace.longest_gap.as_secs_f64() * 1e3,
        ideal_round_ms: scenario.ideal_round()?.map(|round| round.as_secs_f64() * 1e3),
        peer_bytes_per_sec: rates.iter().sum(),
        peer_mean_bytes_per_sec: mean,
        peer_deviation_bytes_per_sec: deviation,
        metered_per_sec: trace.log.records.iter().filter(inside).count() as f64
            / measured.as_secs_f64().max(1e-9),
        checks: Vec::new(),
    };
    judgement.checks = checks(scenario, trace, &judgement, narrow, measured);
    judgement.pass = judgement.checks.iter().all(|check| check.pass || check.inconclusive);
    Ok(judgement)
}

/// Bytes a second that all members together should get.
fn configured(scenario: &Scenario, group: Option<Terms>, each: Option<Terms>) -> f64 {
    let drain = match (scenario.limits.group_drain, scenario.limits.tick) {
        (Some(drain), Some(tick)) => drain.0 as f64 / tick.as_secs_f64(),
        _ => 0.0,
    };
    let group = group.map_or(f64::INFINITY, |terms| terms.bytes_per_sec as f64 - drain);
    let each =
        each.map_or(f64::INFINITY, |terms| (terms.bytes_per_sec * scenario.members as u64) as f64);
    group.min(each)
}

fn checks(
    scenario: &Scenario,
    trace: &Trace<'_>,
    judgement: &Judgement,
    narrow: Option<Terms>,
    measured: Duration,
) -> Vec<Check> {
    let mut checks = vec![
        Check::at_most("operations missing from the audit", trace.log.lost as f64, 0.0),
        Check::at_most("connections that failed", trace.failed as f64, 0.0),
        Check::at_most("bytes in excess of any window", judgement.worst_excess_bytes as f64, 0.0),
    ];
    match scenario.bars {
        Bars::Peers { group, mean, deviation } => {
            let around = |name, value, expected: f64, tolerance: f64| {
                Check::within(name, value, expected - tolerance, expected + tolerance)
            };
            let (total, average) =
                (judgement.peer_bytes_per_sec, judgement.peer_mean_bytes_per_sec);
            checks.extend(group.map(|g| around("total, B/s", total, g, GROUP_TOLERANCE)));
            checks.extend(mean.map(|m| around("mean, B/s", average, m, MEAN_TOLERANCE)));
            let value = judgement.peer_deviation_bytes_per_sec;
            checks.push(Check::at_most("standard deviation, B/s", value, deviation));
        }
        Bars::Shares => {
            let most = 1.0 + narrow.map_or(0.0, |terms| terms.burst_share(measured));
            let ratio = judgement.achieved_ratio;
            checks.push(Check::within("achieved / configured", ratio, LEAST_ACHIEVED, most));
            checks.push(Check::at_least("Jain's index", judgement.jain, LEAST_JAIN));
            let window = judgement.least_window_ratio;
            let window = window.map(|w| Check::at_least(LEAST_WINDOW, w, LEAST_IN_WINDOW));
            checks.extend(window.map(|w| Check { inconclusive: trace.noisy && !w.pass, ..w }));
        }
    }
    checks
}

/// The least share of the configured rate in any window of the measured part, wherever it begins.
///
/// An operation counts where it ends. A window loses bytes only by beginning right after an
/// operation, so those beginnings and the first moment are all that need be looked at.
fn least_window<'a>(
    sent: impl Iterator<Item = &'a Record>,
    trace: &Trace<'_>,
    scenario: &Scenario,
    configured: f64,
) -> Option<f64> {
    let length = scenario.limits.tick.map_or(WINDOW, |tick| WINDOW.max(tick * 10));
    let length_ns = length.as_nanos() as u64;
    let last_begin_ns = trace.to_ns.checked_sub(length_ns).filter(|&b| b >= trace.from_ns)?;
    let inside = |end: &(u64, u64)| end.0 > trace.from_ns && end.0 <= trace.to_ns;
    let mut ends: Vec<(u64, u64)> =
        sent.map(|record| (record.after_ns, record.bytes)).filter(inside).collect();
    ends.sort_unstable();
    let (mut least, mut in_window, mut next) = (u64::MAX, 0, 0);
    for &(begin_ns, leaving) in std::iter::once(&(trace.from_ns, 0)).chain(&ends) {
        if begin_ns > last_begin_ns {
            break;
        }
        in_window -= leaving;
        while let Some((_, bytes)) = ends.get(next).filter(|end| end.0 <= begin_ns + length_ns) {
            in_window += bytes;
            next += 1;
        }
        least = least.min(in_window);
    }
    Some(least as f64 / (configured * length.as_secs_f64()))
}

/// The worst excess of the group and of every connection's own limit, in both directions.
fn log_excess(log: &AuditLog, group: Option<Terms>, each: Option<Terms>) -> u64 {
    let mut worst = 0;
    for way in [Way::Read, Way::Write] {
        let spans = |records: &[&Record]| -> Vec<Span> {
            records.iter().map(|record| Span::from(*record)).collect()
        };
        let records: Vec<&Record> = log.records.iter().filter(|r| r.way == way).collect();
        if let Some(terms) = group {
            let budget = terms.budget(log.group.unwrap_or_default());
            worst = worst.max(worst_excess(&spans(&records), &budget));
        }
        let Some(terms) = each else { continue };
        let mut by_connection: BTreeMap<u64, Vec<&Record>> = BTreeMap::new();
        for record in records {
            by_connection.entry(record.connection).or_default().push(record);
        }
        for (connection, records) in by_connection {
            let start = log.limits.get(&connection).copied().unwrap_or_default();
            worst = worst.max(worst_excess(&spans(&records), &terms.budget(start)));
        }
    }
    worst
}

/// The excess the clients saw. When ticks began is unknown to them, so one tick more is allowed.
fn peer_excess(receipts: &[Receipt], terms: &Terms) -> u64 {
    let spans: Vec<Span> = receipts
        .iter()
        .map(|receipt| Span { from_ns: receipt.at_ns, to_ns: receipt.at_ns, bytes: receipt.bytes })
        .collect();
    let burst = terms.burst + terms.tick.map_or(0, |tick| tick.bytes);
    worst_excess(&spans, &Budget::Continuous { bytes_per_sec: terms.bytes_per_sec, burst })
}

/// Bytes of each member; one that never moved any counts as zero.
fn shares<'a>(records: impl Iterator<Item = &'a Record>, members: usize) -> Vec<f64> {
    let mut by_connection: BTreeMap<u64, f64> = BTreeMap::new();
    for record in records {
        *by_connection.entry(record.connection).or_default() += record.bytes as f64;
    }
    let mut shares: Vec<f64> = by_connection.into_values().collect();
    shares.resize(shares.len().max(members), 0.0);
    shares
}

impl Check {
    fn within(name: &'static str, value: f64, least: f64, most: f64) -> Self {
        let pass = value >= least && value <= most;
        Self { name, value, least, most: Some(most), pass, inconclusive: false }
    }

    fn at_most(name: &'static str, value: f64, most: f64) -> Self {
        Self::within(name, value, 0.0, most)
    }

    fn at_least(name: &'static str, value: f64, least: f64) -> Self {
        Self { name, value, least, most: None, pass: value >= least, inconclusive: false }
    }
}

impl From<&Record> for Span {
    fn from(record: &Record) -> Self {
        Self { from_ns: record.before_ns, to_ns: record.after_ns, bytes: record.bytes }
    }
}

/// Name of the check of every window of a second.
pub(crate) const LEAST_WINDOW: &str = "least window";

/// Length of the windows in which the rate must hold, where no tick is longer.
const WINDOW: Duration = Duration::from_secs(1);
const LEAST_ACHIEVED: f64 = 0.99;
const LEAST_JAIN: f64 = 0.99;
const LEAST_IN_WINDOW: f64 = 0.97;

#[cfg(test)]
mod tests;
