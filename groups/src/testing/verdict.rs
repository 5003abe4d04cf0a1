//! What a simulated load came to, and whether that is good enough.
//!
//! Owns figures and bars. Every check has a name, so that a test can say which must see a mutant.
//! All figures are of the measured span; the bound alone looks at the whole run.

use std::time::Duration;

use super::bound::Bound;
use super::simulator::Simulator;
use crate::stats::GroupStats;

/// The figures of a run.
#[derive(Clone, Debug, PartialEq)]
pub struct Figures {
    /// Cores with a shard, at the end.
    pub cores: usize,
    /// Members of all cores.
    pub members: usize,
    /// The measured span of virtual time.
    pub span: Duration,
    /// Bytes moved over the configured rate's worth.
    pub utilisation: f64,
    /// The least and the most any member got, over its fair share by weight.
    pub least_share: f64,
    /// See `least_share`.
    pub most_share: f64,
    /// Jain's index of the bytes by weight; 1.0 where nobody got any.
    pub jain: f64,
    /// The longest a busy member waited for its next bytes.
    pub longest_wait: Duration,
    /// How long a round over all members takes at their quantum; whole ticks where there are any.
    pub round: Duration,
    /// The longest time in which no byte of anybody moved.
    pub longest_pause: Duration,
    /// The longest time from turn to turn of any core.
    pub longest_loop: Duration,
    /// Bytes by which the worst of all windows exceeded its bound.
    pub excess: u64,
    /// The part of the burst that the worst window used.
    pub burst_used: f64,
    /// The fullest 100 ms over the mean.
    pub peak: f64,
    /// Draws from the shared word, per second.
    pub draws_per_sec: f64,
    /// Operations per second.
    pub operations_per_sec: f64,
    /// Turns of all cores per second.
    pub turns_per_sec: f64,
    /// Rebalances of all cores per second.
    pub rebalances_per_sec: f64,
}

/// One bar and whether it was reached.
#[derive(Clone, Debug, PartialEq)]
pub struct Check {
    /// What is checked.
    pub name: &'static str,
    /// What came out.
    pub value: f64,
    /// What had to, at least ...
    pub least: f64,
    /// ... and at most.
    pub most: f64,
}

impl Check {
    /// Says whether the bar was reached.
    #[must_use]
    pub fn passes(&self) -> bool {
        (self.least..=self.most).contains(&self.value)
    }
}

/// The figures of a run with the bars they were held against.
#[derive(Clone, Debug, PartialEq)]
pub struct Verdict {
    /// The scenario's name.
    pub scenario: &'static str,
    /// What came out.
    pub figures: Figures,
    /// Bar by bar.
    pub checks: Vec<Check>,
}

impl Verdict {
    /// Says whether all bars were reached.
    #[must_use]
    pub fn passes(&self) -> bool {
        self.checks.iter().all(Check::passes)
    }

    /// Returns the names of the checks that failed.
    #[must_use]
    pub fn failed(&self) -> Vec<&'static str> {
        self.checks.iter().filter(|check| !check.passes()).map(|check| check.name).collect()
    }
}

/// What a scenario must reach.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bars {
    pub(super) utilisation: f64,
    /// Whether all members are busy all the time and every core turns often enough for full shares.
    pub(super) even: bool,
    /// Whether the longest wait is bounded: everybody is there from the begin to the end.
    pub(super) waits: bool,
    /// Whether cores sleep until their deadlines, so that turns are wake-ups.
    pub(super) asleep: bool,
    /// How many rounds over everybody are measured, at least.
    pub(super) rounds: f64,
}

impl Figures {
    /// Reads the figures off a simulation of a limit of `rate` bytes a second that was measured
    /// for `span`; `before` is what the group had counted when it began.
    pub(super) fn read(sim: &Simulator, rate: f64, span: Duration, before: &GroupStats) -> Self {
        let (now, meter, seconds) = (sim.now(), sim.meter(), span.as_secs_f64());
        let busy = || sim.members().filter(|member| member.busy);
        let weight: u64 = busy().map(|member| u64::from(member.weight)).sum();
        let fair = meter.moved as f64 / weight.max(1) as f64;
        let (mut least, mut most, mut sum, mut squares) = (f64::MAX, 0.0_f64, 0.0, 0.0);
        for member in busy() {
            let share = member.moved as f64 / f64::from(member.weight) / fair.max(1e-9);
            (least, most) = (least.min(share), most.max(share));
            (sum, squares) = (sum + share, squares + share * share);
        }
        let (round, after) = (sim.ideal_round(weight, rate), sim.group.stats());
        Self {
            cores: sim.cores().count(),
            members: sim.members().count(),
            span,
            utilisation: meter.moved as f64 / (rate * seconds),
            least_share: if squares > 0.0 { least } else { 0.0 },
            most_share: most,
            jain: if squares > 0.0 { sum * sum / (busy().count() as f64 * squares) } else { 1.0 },
            longest_wait: sim.members().map(|m| m.longest_gap(now)).max().unwrap_or_default(),
            round,
            longest_pause: meter.longest_pause,
            longest_loop: sim.cores().map(|core| core.longest_loop).max().unwrap_or_default(),
            excess: meter.excess(),
            burst_used: meter.bound.as_ref().map_or(0.0, Bound::burst_used),
            peak: meter.peak_ratio(),
            draws_per_sec: (after.draws() - before.draws()) as f64 / seconds,
            operations_per_sec: meter.operations as f64 / seconds,
            rebalances_per_sec: (after.rebalances() - before.rebalances()) as f64 / seconds,
            turns_per_sec: sim.cores().map(|core| core.turns).sum::<u64>() as f64 / seconds,
        }
    }

    /// Returns the least share over the most; 1.0 where nobody got anything.
    #[must_use]
    pub fn evenness(&self) -> f64 {
        if self.most_share > 0.0 { self.least_share / self.most_share } else { 1.0 }
    }

    pub(super) fn judge(self, scenario: &'static str, bars: Bars) -> Verdict {
        let check = |name, value, least, most| Check { name, value, least, most };
        let mut checks = vec![
            check("excess", self.excess as f64, 0.0, 0.0),
            check("utilisation", self.utilisation, bars.utilisation, 1.0 + BURST_SLACK),
        ];
        if bars.even {
            checks.push(check("least share", self.evenness(), LEAST_SHARE, 1.0));
            checks.push(check("Jain's index", self.jain, LEAST_JAIN, 1.0 + 1e-9));
        }
        if bars.waits {
            let away = if bars.asleep { Duration::ZERO } else { self.longest_loop };
            let most = 2.0 * self.round.as_secs_f64() + away.as_secs_f64();
            checks.push(check("longest wait", self.longest_wait.as_secs_f64(), 0.0, most));
        }
        if bars.asleep {
            let wakes = self.turns_per_sec - self.rebalances_per_sec;
            checks.push(check("wakes", wakes / self.operations_per_sec, 0.0, MOST_WAKES));
        }
        Verdict { scenario, figures: self, checks }
    }
}

/// What may be left of a burst when the measured span begins, as a part of what it carries.
const BURST_SLACK: f64 = 0.02;
/// Wake-ups for an operation, besides those to rebalance.
const MOST_WAKES: f64 = 2.0;
/// The least share over the largest.
const LEAST_SHARE: f64 = 0.98;
const LEAST_JAIN: f64 = 0.999;
