//! What a number of waiting members cost.
//!
//! Owns the figures of one slice, the medians of several, and what is judged of one number by
//! itself: that they did wait, and that the group's rate was served.

use serde::Serialize;

use crate::cpus::Placement;
use crate::measurement::Measurement;
use crate::median::median;
use crate::procfs::CpuTime;
use crate::ratelimit::judge::Check;
use crate::verdict::Remark;

/// One slice.
#[derive(Clone, Debug)]
pub(super) struct Sample {
    cpu: CpuTime,
    seconds: f64,
    /// Writes of the server.
    operations: u64,
    bytes: u64,
    draws: u64,
    /// The weight that waited when it was looked: at the beginning and at the end.
    waiting: [u64; 2],
    failed: u64,
    /// Of the busiest thread.
    client_cpu: f64,
    steal: f64,
    remarks: Vec<Remark>,
}

/// All slices of a kind.
#[derive(Clone, Debug)]
pub(super) struct Samples {
    all: Vec<Sample>,
    /// Those measured in quiet, or all if none was.
    judged: Vec<Sample>,
    noisy: bool,
}

/// A number of members, judged.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Finding {
    pub(crate) name: String,
    pub(crate) pass: bool,
    pub(crate) members: usize,
    /// As many of them waited at half of the looks.
    pub(crate) waiting: u64,
    pub(crate) configured_bytes_per_sec: f64,
    pub(crate) achieved_ratio: f64,
    /// Median of the slices.
    pub(crate) server_cpu_ms_per_sec: f64,
    pub(crate) slices_cpu_ms_per_sec: Vec<f64>,
    pub(crate) server_cpu_us_per_op: f64,
    /// Of that in user space, by the kernel's samples.
    pub(crate) server_user_us_per_op: Option<f64>,
    pub(crate) operations_per_sec: f64,
    pub(crate) draws_per_op: f64,
    pub(crate) client_cpu_fraction: f64,
    pub(crate) steal_fraction: f64,
    pub(crate) remarks: Vec<Remark>,
    pub(crate) checks: Vec<Check>,
}

impl Sample {
    pub(super) fn new(measurement: &Measurement, placement: &Placement) -> Self {
        let figures = measurement.server.as_ref().expect("a child tells its figures");
        let (before, after) = (&figures.before, &figures.after);
        let tally = &measurement.tally;
        Self {
            cpu: after.cpu.since(&before.cpu),
            seconds: tally.measured.as_secs_f64().max(1e-9),
            operations: figures.sum(|core| core.writes),
            bytes: figures.sum(|core| core.bytes_out),
            draws: after.group.draws - before.group.draws,
            waiting: [before, after].map(|stats| stats.group.waiting),
            failed: tally.errors.count(),
            client_cpu: tally.cpu_fractions.iter().copied().fold(0.0, f64::max),
            steal: measurement.steal,
            remarks: measurement.noise(placement).remarks(),
        }
    }

    pub(super) fn cpu_ms_per_sec(&self) -> f64 {
        self.cpu.total_ns as f64 / 1e6 / self.seconds
    }

    pub(super) fn is_quiet(&self) -> bool {
        self.remarks.is_empty()
    }
}

/// Those that are quiet, or all if none is; and whether none is.
pub(super) fn quiet_or_all<T>(all: Vec<T>, is_quiet: impl Fn(&T) -> bool) -> (Vec<T>, bool) {
    if !all.iter().any(&is_quiet) {
        return (all, true);
    }
    (all.into_iter().filter(is_quiet).collect(), false)
}

impl Samples {
    pub(super) fn new(all: Vec<Sample>) -> Self {
        let (judged, noisy) = quiet_or_all(all.clone(), Sample::is_quiet);
        Self { all, judged, noisy }
    }

    /// All of them, in order.
    pub(super) fn all(&self) -> &[Sample] {
        &self.all
    }

    /// The median.
    pub(super) fn cpu_ms_per_sec(&self) -> f64 {
        median(self.judged.iter().map(Sample::cpu_ms_per_sec).collect())
    }

    /// Over all of them.
    pub(super) fn cpu_us_per_op(&self) -> f64 {
        self.cpu().total_ns as f64 / 1e3 / self.operations()
    }

    /// Bytes of a write, over all of them.
    pub(super) fn bytes_per_op(&self) -> f64 {
        self.sum(|sample| sample.bytes) as f64 / self.operations()
    }

    fn user_us_per_op(&self) -> Option<f64> {
        self.cpu().user_ns().map(|ns| ns as f64 / 1e3 / self.operations())
    }

    /// The median of the looks: one may fall into a moment in which the client had no CPU. It did
    /// not read then, and a member whose socket is full waits for that and not for the group.
    fn waiting(&self) -> u64 {
        let looks = self.judged.iter().flat_map(|sample| sample.waiting);
        median(looks.map(|weight| weight as f64).collect()) as u64
    }

    fn cpu(&self) -> CpuTime {
        let all = self.judged.iter().map(|sample| sample.cpu);
        all.fold(CpuTime::default(), |sum, cpu| sum.plus(&cpu))
    }

    fn operations(&self) -> f64 {
        self.sum(|sample| sample.operations).max(1) as f64
    }

    fn sum(&self, figure: impl Fn(&Sample) -> u64) -> u64 {
        self.judged.iter().map(figure).sum()
    }

    /// The first thing that was said of any, if none was quiet.
    fn remark(&self) -> Option<&Remark> {
        self.judged.iter().find_map(|sample| sample.remarks.first())
    }

    fn most(&self, figure: impl Fn(&Sample) -> f64) -> f64 {
        self.judged.iter().map(figure).fold(0.0, f64::max)
    }
}

impl Finding {
    pub(super) fn new(members: usize, configured_bytes_per_sec: f64, samples: &Samples) -> Self {
        let seconds: f64 = samples.judged.iter().map(|sample| sample.seconds).sum();
        let seconds = seconds.max(1e-9);
        let waiting = samples.waiting();
        let achieved = samples.sum(|s| s.bytes) as f64 / seconds / configured_bytes_per_sec;
        let least_waiting = (members as f64 * LEAST_WAITING).floor();
        let checks = vec![
            Check::at_most("connections that failed", samples.sum(|s| s.failed) as f64, 0.0),
            Check::at_least("members that wait", waiting as f64, least_waiting)
                .timing(samples.noisy),
            Check::at_least("achieved / configured", achieved, LEAST_ACHIEVED)
                .timing(samples.noisy),
        ];
        Self {
            name: format!("{}-{members}", super::NAME),
            pass: !checks.iter().any(Check::fails),
            members,
            waiting,
            configured_bytes_per_sec,
            achieved_ratio: achieved,
            server_cpu_ms_per_sec: samples.cpu_ms_per_sec(),
            slices_cpu_ms_per_sec: samples.judged.iter().map(Sample::cpu_ms_per_sec).collect(),
            server_cpu_us_per_op: samples.cpu_us_per_op(),
            server_user_us_per_op: samples.user_us_per_op(),
            operations_per_sec: samples.operations() / seconds,
            draws_per_op: samples.sum(|s| s.draws) as f64 / samples.operations(),
            client_cpu_fraction: samples.most(|s| s.client_cpu),
            steal_fraction: samples.most(|s| s.steal),
            remarks: samples.remark().into_iter().cloned().collect(),
            checks,
        }
    }
}

/// Of the members; the rest may just be served.
const LEAST_WAITING: f64 = 0.95;
const LEAST_ACHIEVED: f64 = 0.97;

#[cfg(test)]
impl Sample {
    /// A second of 10 MB/s to a hundred waiting members at this cost.
    pub(super) fn of(cpu_ms_per_sec: f64, noisy: bool) -> Self {
        let remark = || Remark { name: "NOISY", sentence: "It was noisy.".to_owned() };
        let total_ns = (cpu_ms_per_sec * 1e6) as u64;
        Self {
            cpu: CpuTime { total_ns, ..CpuTime::default() },
            seconds: 1.0,
            operations: 10_000,
            bytes: 10_000_000,
            draws: 1000,
            waiting: [100; 2],
            failed: 0,
            client_cpu: 0.1,
            steal: 0.0,
            remarks: noisy.then(remark).into_iter().collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finding(samples: Vec<Sample>) -> Finding {
        Finding::new(100, 1e7, &Samples::new(samples))
    }

    #[test]
    fn the_median_of_quiet_slices_counts() {
        let sample = Sample::of;
        let found = finding(vec![sample(50.0, false), sample(900.0, true), sample(60.0, false)]);
        assert_eq!(found.server_cpu_ms_per_sec, 55.0);
        assert_eq!((found.remarks.len(), found.slices_cpu_ms_per_sec.len()), (0, 2));
        let noisy = finding(vec![sample(50.0, true), sample(900.0, true), sample(60.0, true)]);
        assert_eq!((noisy.server_cpu_ms_per_sec, noisy.remarks.len()), (60.0, 1));
        assert_eq!((noisy.server_cpu_us_per_op, noisy.draws_per_op), (1010.0 / 30.0, 0.1));
    }

    #[test]
    fn members_that_do_not_wait_fail_unless_the_machine_was_busy() {
        let at = |looks: &[u64], noisy| {
            let sample =
                |looks: &[u64]| Sample { waiting: [looks[0], looks[1]], ..Sample::of(50.0, noisy) };
            finding(looks.chunks(2).map(sample).collect())
        };
        assert!(at(&[95, 95], false).pass && !at(&[94, 94], false).pass);
        let busy = at(&[94, 94], true);
        assert!(busy.pass && busy.checks[1].inconclusive, "{busy:?}");
        // One look in a bad moment does not decide, half of them do.
        assert_eq!(at(&[100, 1, 100, 100], false).waiting, 100);
        assert!(!at(&[100, 1, 1, 100], false).pass);
    }

    #[test]
    fn a_rate_that_was_not_served_fails_unless_the_machine_was_busy() {
        let at = |noisy| finding(vec![Sample { bytes: 9_600_000, ..Sample::of(50.0, noisy) }]);
        assert!(!at(false).pass && at(true).pass);
        assert!(!finding(vec![Sample { failed: 1, ..Sample::of(50.0, false) }]).pass);
    }
}
