//! The judgement of a scenario from what both sides recorded.
//!
//! Owns the figures; pure, so that its tests can feed it with traces of limiters that are too fast,
//! burst too much or starve a member, and see each caught. Excess over any window, the rate, shares
//! and waits come from the server's log; what the clients saw is reported beside it and judged only
//! where libevent does. The bars are in `bars`.

mod bars;
mod check;
mod excess;

use std::collections::BTreeSet;
use std::time::Duration;

use serde::Serialize;

use self::bars::{SECOND, STEADY};
pub(crate) use self::check::Check;
use super::scenario::Scenario;
use crate::audit::{AuditLog, Service};
use crate::client::Receipt;
use crate::exit::Outcome;
use crate::fairness::{jain, mean_and_deviation};
use crate::limits::Terms;

/// What both sides recorded.
#[derive(Clone, Debug)]
pub(crate) struct Trace<'a> {
    pub(crate) log: &'a AuditLog,
    /// The measured part on the server's clock.
    pub(crate) from_ns: u64,
    pub(crate) to_ns: u64,
    /// The longest that a core of the server was away from its events.
    pub(crate) loop_gap: Duration,
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

/// What a scenario came to.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Judgement {
    pub(crate) name: &'static str,
    pub(crate) pass: bool,
    pub(crate) members: usize,
    /// What they weigh together, and how many cores they live on.
    pub(crate) member_weight: u64,
    pub(crate) member_cores: usize,
    pub(crate) configured_bytes_per_sec: f64,
    /// Of the configured rate, by the server's log.
    pub(crate) achieved_ratio: f64,
    /// The least of it in any window of a second, or of ten ticks, of the measured part.
    pub(crate) least_window_ratio: Option<f64>,
    /// The fullest 100 ms ÷ the mean of 100 ms.
    pub(crate) smoothness: Option<f64>,
    pub(crate) burst_bytes: u64,
    pub(crate) worst_excess_bytes: u64,
    /// Absent if the clients' log of receipts overflowed.
    pub(crate) peer_excess_bytes: Option<u64>,
    /// Of bytes by weight, as are the shares: 1 is what is due.
    pub(crate) jain: f64,
    pub(crate) min_share_ratio: f64,
    pub(crate) max_share_ratio: f64,
    /// The least Jain's index of any second.
    pub(crate) jain_1s: Option<f64>,
    /// Between two writes of a member, by the server's log.
    pub(crate) longest_service_gap_ms: f64,
    /// The longest that a core was away from its events.
    pub(crate) longest_loop_gap_ms: f64,
    /// Between two receipts of a client.
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
    let seconds = trace.measured().as_secs_f64().max(1e-9);
    let service = Service::new(trace.log, scenario.members, trace.from_ns, trace.to_ns);
    let shares = service.shares();
    let rates: Vec<f64> =
        trace.peers.iter().map(|&bytes| bytes as f64 / trace.peer_time.as_secs_f64()).collect();
    let (mean, deviation) = mean_and_deviation(&rates);
    // Without a group the members together may have what they may have one by one.
    let together = group.or_else(|| each.map(|terms| terms.times(scenario.members as u64)));
    let window = scenario.window();
    let ratio = |bytes: u64, of_rate: f64, time: Duration| {
        bytes as f64 / (of_rate * time.as_secs_f64().max(1e-9))
    };
    let mut judgement = Judgement {
        name: scenario.name,
        pass: false,
        members: scenario.members,
        member_weight: trace.log.members.values().map(|member| u64::from(member.weight)).sum(),
        member_cores: cores(trace.log),
        configured_bytes_per_sec: configured,
        achieved_ratio: ratio(service.bytes(), configured, trace.measured()),
        least_window_ratio: service
            .extremes(window)
            .map(|seen| ratio(seen.least, configured, window)),
        smoothness: service
            .extremes(STEADY)
            .filter(|_| service.bytes() > 0)
            .map(|seen| ratio(seen.most, service.bytes() as f64 / seconds, STEADY)),
        // Every member loads the server all the time, so the narrowest limit is what they share.
        burst_bytes: group.or(each).map_or(0, |terms| terms.burst),
        worst_excess_bytes: excess::of_log(trace.log, group, each),
        peer_excess_bytes: trace
            .receipts
            .map(|receipts| together.map_or(0, |terms| excess::of_receipts(receipts, &terms))),
        jain: jain(&shares).unwrap_or(0.0),
        min_share_ratio: shares.iter().copied().fold(f64::INFINITY, f64::min),
        max_share_ratio: shares.iter().copied().fold(0.0, f64::max),
        jain_1s: service.least_jain(SECOND),
        longest_service_gap_ms: service.longest_gap().as_secs_f64() * 1e3,
        longest_loop_gap_ms: trace.loop_gap.as_secs_f64() * 1e3,
        longest_gap_ms: trace.longest_gap.as_secs_f64() * 1e3,
        ideal_round_ms: scenario.ideal_round()?.map(|round| round.as_secs_f64() * 1e3),
        peer_bytes_per_sec: rates.iter().sum(),
        peer_mean_bytes_per_sec: mean,
        peer_deviation_bytes_per_sec: deviation,
        metered_per_sec: trace.metered() as f64 / seconds,
        checks: Vec::new(),
    };
    judgement.checks = bars::checks(scenario, trace, &judgement)?;
    judgement.pass = !judgement.checks.iter().any(Check::fails);
    Ok(judgement)
}

impl Trace<'_> {
    /// Length of the measured part.
    fn measured(&self) -> Duration {
        Duration::from_nanos(self.to_ns.saturating_sub(self.from_ns))
    }

    /// Operations of the measured part, in both directions.
    fn metered(&self) -> usize {
        let inside = |end_ns: u64| end_ns > self.from_ns && end_ns <= self.to_ns;
        self.log.records.iter().filter(|record| inside(record.after_ns)).count()
    }
}

/// Cores on which members live.
fn cores(log: &AuditLog) -> usize {
    log.members.values().map(|member| member.core).collect::<BTreeSet<_>>().len()
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

#[cfg(test)]
mod tests;
