//! What waiting costs, beside what it may.
//!
//! Owns the bars and what they are compared with. Figures of one round stand beside each other:
//! they share what the machine was like then. The middle of the rounds is judged, and fails only if
//! not even the best of them held the bar. Bars in milliseconds are meant for the machine on which
//! libevent and the others were measured; how fast this one is beside it tells a bare echo loop.

use super::finding::{Sample, Samples, quiet_or_all};
use super::{NAME, Suspended};
use crate::median::median;
use crate::ratelimit::comparison::Comparison;
use crate::ratelimit::judge::Check;

/// All that was measured, each kind in the order of the rounds.
pub(super) struct Costs {
    /// For each number of members.
    pub(super) waiting: [Samples; 3],
    /// The same writes paced by a timer, to the fewest connections.
    pub(super) timed: Samples,
    /// And to the most.
    pub(super) timed_most: Samples,
    /// As fast as the sockets take them.
    pub(super) saturated: Samples,
    /// A bare echo loop.
    pub(super) bare: Samples,
}

/// A figure of each round.
struct Rounds {
    values: Vec<f64>,
    /// No round was quiet.
    noisy: bool,
}

impl Costs {
    /// Compares them.
    pub(super) fn compare(&self, scenario: &Suspended) -> Comparison {
        let [fewest, middle, most] = &self.waiting;
        let machine = self.bare.cpu_us_per_op() / BARE_ECHO_US;
        let cost = Sample::cpu_ms_per_sec;
        let flat = Rounds::of([most, fewest], |[most, fewest]| cost(most) / cost(fewest));
        let above = Rounds::of([fewest, &self.timed], |[group, timer]| {
            (cost(group) - cost(timer)) / machine
        });
        let at_5000 = Rounds::of([middle], |[sample]| cost(sample) / machine);
        let mut checks = vec![flat.at_most("CPU at most members / at fewest", FLAT)];
        if scenario.is_standard {
            checks.push(at_5000.at_most("CPU at 5,000 members, scaled ms/s", MOST_AT_5000));
            checks.push(above.at_most("CPU at 1,000 above unlimited, scaled ms/s", MOST_ABOVE));
        }
        let saturated = self.saturated.cpu_us_per_op() * scenario.operations_per_sec() / 1e3;
        Comparison::new(NAME, checks)
            .with("flat_ratio", flat.middle())
            .with("above_unlimited_ms_per_sec", above.middle() * machine)
            .with("unlimited_ms_per_sec", self.timed.cpu_ms_per_sec())
            .with("unlimited_most_members_ms_per_sec", self.timed_most.cpu_ms_per_sec())
            .with("unlimited_bytes_per_op", self.timed.bytes_per_op())
            .with("saturated_ms_per_sec", saturated)
            .with("saturated_bytes_per_op", self.saturated.bytes_per_op())
            .with("bare_echo_us", self.bare.cpu_us_per_op())
            .with("machine_factor", machine)
    }
}

impl Rounds {
    /// A figure of the samples that kinds have in the same round; of quiet rounds, if there are
    /// any.
    fn of<const N: usize>(kinds: [&Samples; N], figure: impl Fn([&Sample; N]) -> f64) -> Self {
        let count = kinds.iter().map(|kind| kind.all().len()).min().unwrap_or(0);
        let rounds = (0..count).map(|round| kinds.map(|kind| &kind.all()[round])).collect();
        let is_quiet = |round: &[&Sample; N]| round.iter().all(|sample| sample.is_quiet());
        let (rounds, noisy) = quiet_or_all(rounds, is_quiet);
        Self { values: rounds.into_iter().map(figure).collect(), noisy }
    }

    fn middle(&self) -> f64 {
        median(self.values.clone())
    }

    fn at_most(&self, name: &'static str, bar: f64) -> Check {
        let held_once = self.values.iter().any(|value| *value <= bar);
        Check::at_most(name, self.middle(), bar).timing(self.noisy || held_once)
    }
}

/// The most that the largest number of members may cost of the smallest's.
const FLAT: f64 = 1.3;
/// Bars of 10 MB/s in writes of 1,000 bytes, in milliseconds of CPU a second.
const MOST_AT_5000: f64 = 70.0;
const MOST_ABOVE: f64 = 15.0;
/// An echo of 64 bytes on 64 connections by a bare loop on the machine of those bars.
const BARE_ECHO_US: f64 = 4.4;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ratelimit::suspended::tests::suspended;

    /// What fails and what is inconclusive, of rounds in which few, more and most members and a
    /// timer took these milliseconds a second, on a machine `machine` times as slow as that of the
    /// bars.
    fn judged(
        flags: &str,
        rounds: &[[f64; 4]],
        machine: f64,
        noisy: bool,
    ) -> (Vec<&'static str>, Vec<&'static str>) {
        let samples =
            |kind: usize| Samples::new(rounds.iter().map(|r| Sample::of(r[kind], noisy)).collect());
        let costs = Costs {
            waiting: [0, 1, 2].map(samples),
            timed: samples(3),
            timed_most: samples(3),
            saturated: samples(3),
            // Of ten thousand operations.
            bare: Samples::new(vec![Sample::of(machine * BARE_ECHO_US * 10.0, noisy)]),
        };
        let checks = costs.compare(&suspended(flags).unwrap()).checks;
        let named = |wanted: fn(&Check) -> bool| {
            checks.iter().filter(|check| wanted(check)).map(|check| check.name).collect()
        };
        (named(Check::fails), named(|check| check.inconclusive))
    }

    #[test]
    fn flat_and_cheap_costs_pass_and_each_bar_is_judged_by_itself() {
        let judged = |round| judged("", &[round], 1.0, false);
        assert_eq!(judged([50.0, 60.0, 65.0, 40.0]), (vec![], vec![]));
        assert_eq!(judged([50.0, 60.0, 65.0, 55.0]), (vec![], vec![]), "the timer cost more");
        assert_eq!(judged([50.0, 60.0, 65.1, 40.0]), (vec![NOT_FLAT], vec![]));
        assert_eq!(judged([60.0, 70.1, 65.0, 50.0]), (vec![AT_5000], vec![]));
        assert_eq!(judged([55.1, 60.0, 65.0, 40.0]), (vec![ABOVE], vec![]));
    }

    #[test]
    fn a_round_that_held_a_bar_leaves_it_open_and_the_middle_decides_what_passes() {
        let (good, bad) = ([50.0, 60.0, 65.0, 40.0], [50.0, 75.0, 80.0, 30.0]);
        let all = vec![NOT_FLAT, AT_5000, ABOVE];
        assert_eq!(judged("", &[bad, bad, bad], 1.0, false), (all.clone(), vec![]));
        assert_eq!(judged("", &[bad, good, bad], 1.0, false), (vec![], all));
        assert_eq!(judged("", &[good, bad, good], 1.0, false), (vec![], vec![]));
    }

    #[test]
    fn a_slower_machine_moves_the_bars_in_milliseconds_and_not_the_ratio() {
        let round = [75.0, 90.0, 95.0, 60.0];
        assert_eq!(judged("", &[round], 1.5, false), (vec![], vec![]));
        assert_eq!(judged("", &[round], 1.2, false), (vec![AT_5000], vec![]));
        let steep = [75.0, 90.0, 98.0, 60.0];
        assert_eq!(judged("", &[steep], 1.5, false), (vec![NOT_FLAT], vec![]));
    }

    #[test]
    fn a_busy_machine_proves_nothing_and_other_numbers_have_no_bars_in_milliseconds() {
        let round = [90.0, 150.0, 250.0, 10.0];
        assert_eq!(judged("", &[round], 1.0, true), (vec![], vec![NOT_FLAT, AT_5000, ABOVE]));
        assert_eq!(judged("-c 190", &[round], 1.0, false), (vec![NOT_FLAT], vec![]));
    }

    const NOT_FLAT: &str = "CPU at most members / at fewest";
    const AT_5000: &str = "CPU at 5,000 members, scaled ms/s";
    const ABOVE: &str = "CPU at 1,000 above unlimited, scaled ms/s";
}
