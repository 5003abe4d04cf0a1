//! What must come out of a scenario.
//!
//! Owns the bars and when each may be judged: a share only as exactly as turns divide the time, a
//! second's fairness only where a second holds many turns of everybody, steadiness only without
//! ticks, a wait only where a round is long beside the machine's own hiccups. Where a core was away
//! for so long that it could not hold a bar, missing it by no more than that proves nothing.

use std::time::Duration;

use super::{Check, Judgement, Trace};
use crate::exit::Outcome;
use crate::limits::Terms;
use crate::ratelimit::scenario::{Bars, GROUP_TOLERANCE, MEAN_TOLERANCE, Scenario};

/// The checks of a scenario.
pub(super) fn checks(
    scenario: &Scenario,
    trace: &Trace<'_>,
    judgement: &Judgement,
) -> Outcome<Vec<Check>> {
    let mut checks = vec![
        Check::at_most("operations missing from the audit", trace.log.lost as f64, 0.0),
        Check::at_most("connections that failed", trace.failed as f64, 0.0),
        Check::at_most("bytes in excess of any window", judgement.worst_excess_bytes as f64, 0.0),
    ];
    match scenario.bars {
        Bars::Peers { group, mean, deviation } => {
            let seen = peers(judgement, group, mean, deviation);
            checks.extend(seen.into_iter().map(|check| check.timing(trace.noisy)));
        }
        Bars::Shares => {
            let terms = Terms::group(&scenario.limits)?;
            let most = 1.0 + terms.map_or(0.0, |terms| terms.burst_share(trace.measured()));
            let ratio = judgement.achieved_ratio;
            let achieved = Check::within("achieved / configured", ratio, LEAST_ACHIEVED, most);
            checks.push(achieved.timing(trace.noisy && ratio < LEAST_ACHIEVED));
            let fair = Check::at_least("Jain's index", judgement.jain, LEAST_JAIN);
            // A core that gets no CPU loses its share to the others, as it should.
            let spoiled = trace.noisy && judgement.member_cores > 1;
            checks.push(fair.timing(spoiled));
            let timing = timing(scenario, trace, judgement)?;
            checks.extend(timing.into_iter().map(|check| check.timing(trace.noisy)));
        }
    }
    Ok(checks)
}

/// As in `test-ratelim`.
fn peers(
    judgement: &Judgement,
    group: Option<f64>,
    mean: Option<f64>,
    deviation: f64,
) -> Vec<Check> {
    let around = |name, value, expected: f64, tolerance: f64| {
        Check::within(name, value, expected - tolerance, expected + tolerance)
    };
    let (total, average) = (judgement.peer_bytes_per_sec, judgement.peer_mean_bytes_per_sec);
    let mut checks = Vec::new();
    checks.extend(group.map(|g| around("total, B/s", total, g, GROUP_TOLERANCE)));
    checks.extend(mean.map(|m| around("mean, B/s", average, m, MEAN_TOLERANCE)));
    let value = judgement.peer_deviation_bytes_per_sec;
    checks.push(Check::at_most("standard deviation, B/s", value, deviation));
    checks
}

/// What a busy machine spoils.
fn timing(scenario: &Scenario, trace: &Trace<'_>, judgement: &Judgement) -> Outcome<Vec<Check>> {
    let mut checks = Vec::new();
    let away = trace.loop_gap.as_secs_f64();
    let excused = LEAST_IN_WINDOW - away / scenario.window().as_secs_f64();
    checks.extend(judgement.least_window_ratio.map(|window| {
        Check::at_least("least window", window, LEAST_IN_WINDOW).timing(window >= excused)
    }));

    let turn = scenario.turn()?;
    let turns = trace.measured().as_secs_f64() / turn.as_secs_f64().max(1e-9);
    let tolerance = SHARE_TOLERANCE.max(TURNS_TOLERANCE / turns);
    let (least, most) = (judgement.min_share_ratio, judgement.max_share_ratio);
    checks.push(Check::at_least("least share of a member", least, 1.0 - tolerance));
    checks.push(Check::at_most("most share of a member", most, 1.0 + tolerance));

    let second = judgement.jain_1s.filter(|_| turn * TURNS_IN_SECOND <= SECOND);
    checks.extend(second.map(|jain| Check::at_least("Jain's index, any second", jain, LEAST_JAIN)));

    let is_fine = scenario.limits.tick.is_none() && turn <= FINEST * scenario.weight() as u32;
    let excused = MOST_PEAK + away / STEADY.as_secs_f64();
    let peak = judgement.smoothness.filter(|_| is_fine);
    checks.extend(peak.map(|peak| {
        Check::at_most("peak / mean of 100 ms", peak, MOST_PEAK).timing(peak <= excused)
    }));

    if turn >= LEAST_TURN_JUDGED {
        let rounds = if judgement.member_cores > 1 { ROUNDS_OVER_CORES } else { ROUNDS };
        let most = (turn * rounds + trace.loop_gap).as_secs_f64() * 1e3;
        let value = judgement.longest_service_gap_ms;
        checks.push(Check::at_most("longest time without service, ms", value, most));
    }
    Ok(checks)
}

/// Length of the windows in which a group without ticks must be steady.
pub(super) const STEADY: Duration = Duration::from_millis(100);
/// Length of the windows in which fairness must hold.
pub(super) const SECOND: Duration = Duration::from_secs(1);

const LEAST_ACHIEVED: f64 = 0.99;
const LEAST_JAIN: f64 = 0.99;
const LEAST_IN_WINDOW: f64 = 0.97;
/// Of a member's share, either way.
const SHARE_TOLERANCE: f64 = 0.03;
/// The same in turns: a span cuts one at either end.
const TURNS_TOLERANCE: f64 = 1.5;
/// Turns of everybody that a second must hold before it is judged by itself.
const TURNS_IN_SECOND: u32 = 10;
const MOST_PEAK: f64 = 1.3;
/// The longest an operation may last at the rate for the peak to be judged: twenty in a window.
const FINEST: Duration = Duration::from_millis(5);
/// Rounds of all members that one may have to wait, and over several cores.
const ROUNDS: u32 = 2;
const ROUNDS_OVER_CORES: u32 = 3;
/// The shortest turn that is long beside what a machine does to any program.
const LEAST_TURN_JUDGED: Duration = Duration::from_millis(50);
