//! The judge: from looks at the cores' beats to what is a stall, how long, and why.
//!
//! Owns what was seen of each core: its last beat, since when, and what has been said about it.
//! Never reads a clock or a file and knows no thread: `now` and the thread's CPU time are handed
//! in, so every rule is tested by itself.
//!
//! Invariants: what is reported has lasted at least as long as it says, between two looks that saw
//! one and the same beat; time in which nobody looked, because the watchdog itself got no CPU or
//! the machine stood still, proves nothing and is not counted.

use std::time::Duration;

use groups::Time;

use super::StallCause;
use super::beat::Beat;
use super::cpu_time::CpuTime;
use super::label::Label;
use crate::stats::StallStats;

/// Looks in the time of a threshold: a stall is found late by at most a part in so many.
pub(super) const LOOKS_PER_THRESHOLD: u32 = 4;

/// New stalls of one core that come closer than this are counted, but not said.
const QUIET: Duration = Duration::from_secs(1);

/// The longest tick of a kernel: how late it counts what a thread runs.
const TICK: Duration = Duration::from_millis(10);

/// Something to say about a core.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Finding {
    pub(super) label: Label,
    pub(super) lasted: Duration,
    pub(super) cause: StallCause,
    /// It has come to its end.
    pub(super) is_over: bool,
    /// It is no repetition of what has just been said.
    pub(super) is_news: bool,
}

/// What was seen of one core.
#[derive(Debug)]
struct Suspect {
    beat: Option<Beat>,
    since: Time,
    looked_at: Time,
    /// The thread's CPU time at the second look at this beat, and when that was.
    baseline: Option<(Time, Option<CpuTime>)>,
    said: Option<Finding>,
    next_report: Duration,
    quiet_until: Time,
    stats: StallStats,
}

/// Watches cores through somebody else's eyes.
#[derive(Debug)]
pub(super) struct Judge {
    threshold: Duration,
    cores: Vec<Suspect>,
}

impl Judge {
    pub(super) fn new(cores: usize, threshold: Duration) -> Self {
        let suspect = || Suspect {
            beat: None,
            since: Time::ZERO,
            looked_at: Time::ZERO,
            baseline: None,
            said: None,
            next_report: threshold,
            quiet_until: Time::ZERO,
            stats: StallStats::default(),
        };
        Self { threshold, cores: std::iter::repeat_with(suspect).take(cores).collect() }
    }

    /// How often to look.
    pub(super) fn period(&self) -> Duration {
        self.threshold / LOOKS_PER_THRESHOLD
    }

    /// What has been found out about a core so far.
    pub(super) fn stats(&self, core: usize) -> StallStats {
        self.cores[core].stats
    }

    /// Takes note of a core's beat; `cpu_time` is called only if that is suspicious.
    pub(super) fn look(
        &mut self,
        now: Time,
        core: usize,
        beat: Beat,
        cpu_time: impl FnOnce() -> Option<CpuTime>,
    ) -> Option<Finding> {
        let period = self.period();
        let suspect = &mut self.cores[core];
        let missed = now.saturating_since(suspect.looked_at).saturating_sub(2 * period);
        suspect.looked_at = now;
        if suspect.beat != Some(beat) {
            let finding = suspect.conclude(now, missed);
            suspect.beat = beat.is_at_work().then_some(beat);
            suspect.since = now;
            suspect.baseline = None;
            suspect.next_report = self.threshold;
            return finding;
        }
        suspect.since = suspect.since + missed;
        let lasted = now.saturating_since(suspect.since);
        match suspect.baseline {
            None => suspect.baseline = Some((now, cpu_time())),
            Some(baseline) if lasted >= suspect.next_report => {
                while suspect.next_report <= lasted {
                    suspect.next_report *= 2;
                }
                return Some(suspect.accuse(now, beat, lasted, cause(now, baseline, cpu_time())));
            }
            Some(_) => {}
        }
        None
    }
}

impl Suspect {
    /// It has been at one thing for long.
    fn accuse(&mut self, now: Time, beat: Beat, lasted: Duration, cause: StallCause) -> Finding {
        let before = self.said.map(|said| said.cause);
        if cause == StallCause::NoCpu {
            self.stats.starvations += u64::from(before.is_none());
        } else {
            self.stats.stalls += u64::from(before.is_none_or(|cause| cause == StallCause::NoCpu));
            self.stats.note_length(lasted);
        }
        let is_news = match self.said {
            Some(said) => said.is_news,
            None => now >= self.quiet_until,
        };
        if is_news {
            self.quiet_until = now + QUIET;
        }
        let finding = Finding { label: beat.label(), lasted, cause, is_over: false, is_news };
        self.said = Some(finding);
        finding
    }

    /// It has gone on to something else: what was said about it is over.
    fn conclude(&mut self, now: Time, missed: Duration) -> Option<Finding> {
        let said = self.said.take()?;
        let lasted = now.saturating_since(self.since + missed).max(said.lasted);
        if said.cause != StallCause::NoCpu {
            self.stats.note_length(lasted);
            self.stats.stalled_ns += u64::try_from(lasted.as_nanos()).unwrap_or(u64::MAX);
        }
        Some(Finding { lasted, is_over: true, ..said })
    }
}

/// What a thread has mostly done since its baseline.
fn cause(now: Time, (at, before): (Time, Option<CpuTime>), after: Option<CpuTime>) -> StallCause {
    let (Some(before), Some(after)) = (before, after) else { return StallCause::Unknown };
    let mut ran = after.ran.saturating_sub(before.ran);
    let mut waited = after.waited.saturating_sub(before.waited);
    let mut blocked = now.saturating_since(at).saturating_sub(ran + waited);
    if after.is_runnable {
        // It runs, and its last tick is not counted yet, or it waits, and no part of that is.
        ran += blocked.min(TICK);
        waited += blocked.saturating_sub(TICK);
        blocked = Duration::ZERO;
    }
    if waited > ran && waited > blocked {
        StallCause::NoCpu
    } else if blocked > ran {
        StallCause::Blocked
    } else {
        StallCause::Ran
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const THRESHOLD: Duration = Duration::from_millis(100);
    const ECHO: Label = Label::TASK;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    /// A judge of one core, looked at every 25 ms, whose thread does what the test says.
    struct Court {
        judge: Judge,
        now: Time,
        cpu: Option<CpuTime>,
        asked: u32,
    }

    impl Court {
        fn new() -> Self {
            let cpu = Some(CpuTime { ran: ms(7), waited: ms(5), is_runnable: false });
            Self { judge: Judge::new(1, THRESHOLD), now: Time::from_nanos(1), cpu, asked: 0 }
        }

        /// Lets time pass in which the thread runs, waits and is blocked; then looks.
        fn look_after(&mut self, beat: Beat, [ran, waited, blocked]: [u64; 3]) -> Option<Finding> {
            self.now = self.now + ms(ran + waited + blocked);
            if let Some(cpu) = &mut self.cpu {
                cpu.ran += ms(ran);
                cpu.waited += ms(waited);
            }
            let (cpu, asked) = (self.cpu, &mut self.asked);
            self.judge.look(self.now, 0, beat, || {
                *asked += 1;
                cpu
            })
        }

        /// Looks every 25 ms, during `spans` of them.
        fn looks(&mut self, beat: Beat, spans: u64, way: [u64; 3]) -> Vec<Finding> {
            (0..spans).filter_map(|_| self.look_after(beat, way)).collect()
        }
    }

    const RUNS: [u64; 3] = [25, 0, 0];

    fn beat(count: u64, label: Label) -> Beat {
        Beat::new(count, label)
    }

    #[test]
    fn a_call_is_a_stall_at_the_threshold_and_not_before() {
        let mut court = Court::new();
        assert_eq!(court.looks(beat(1, ECHO), 4, RUNS), []);
        let found = court.look_after(beat(1, ECHO), RUNS).expect("it has lasted 100 ms");
        assert_eq!((found.label, found.lasted), (ECHO, THRESHOLD));
        assert_eq!((found.cause, found.is_over, found.is_news), (StallCause::Ran, false, true));
        let stats = court.judge.stats(0);
        assert_eq!((stats.stalls, stats.starvations, stats.stalled_ns), (1, 0, 0));
        assert_eq!(stats.longest_stall_ns, 100_000_000, "known while it lasts");
    }

    #[test]
    fn it_is_said_again_whenever_its_length_has_doubled() {
        let mut court = Court::new();
        let lengths = court.looks(beat(1, ECHO), 60, RUNS).into_iter().map(|found| found.lasted);
        assert_eq!(lengths.collect::<Vec<_>>(), [ms(100), ms(200), ms(400), ms(800)]);
        assert_eq!(court.judge.stats(0).stalls, 1, "it is one stall");
    }

    #[test]
    fn its_end_is_said_with_its_length() {
        for next in [beat(2, ECHO), beat(2, Label::WAITING), beat(0, Label::ENDED)] {
            let mut court = Court::new();
            court.looks(beat(1, ECHO), 6, RUNS);
            let over = court.look_after(next, RUNS).expect("it is over");
            assert_eq!((over.is_over, over.lasted, over.label), (true, ms(150), ECHO));
            let stats = court.judge.stats(0);
            assert_eq!((stats.stalled_ns, stats.longest_stall_ns), (150_000_000, 150_000_000));
            assert_eq!(court.look_after(next, RUNS), None, "once");
        }
    }

    #[test]
    fn calls_that_change_are_no_stall_however_long_they_go_on() {
        let mut court = Court::new();
        for count in 0..1000 {
            assert_eq!(court.look_after(beat(count, ECHO), RUNS), None);
        }
        assert_eq!(court.asked, 0, "nobody was suspected");
    }

    #[test]
    fn a_core_that_waits_or_has_ended_never_stalls() {
        for label in [Label::WAITING, Label::ENDED] {
            let mut court = Court::new();
            assert_eq!(court.looks(beat(1, label), 1000, [0, 0, 25]), []);
            assert_eq!(court.asked, 0);
        }
    }

    #[test]
    fn a_thread_without_a_cpu_is_told_apart() {
        let mut court = Court::new();
        let found = court.looks(beat(1, ECHO), 5, [10, 15, 0]).pop().expect("a finding");
        assert_eq!(found.cause, StallCause::NoCpu);
        let over = court.look_after(beat(2, ECHO), RUNS).expect("it is over");
        assert_eq!((over.cause, over.is_over), (StallCause::NoCpu, true));
        let stats = court.judge.stats(0);
        assert_eq!((stats.stalls, stats.starvations), (0, 1));
        assert_eq!((stats.stalled_ns, stats.longest_stall_ns), (0, 0), "its own it was not");
    }

    #[test]
    fn a_starved_call_that_then_runs_on_is_a_stall_after_all() {
        let mut court = Court::new();
        court.looks(beat(1, ECHO), 5, [0, 25, 0]);
        let found = court.looks(beat(1, ECHO), 8, [40, 0, 0]).pop().expect("at the doubling");
        assert_eq!(found.cause, StallCause::Ran);
        let stats = court.judge.stats(0);
        assert_eq!((stats.stalls, stats.starvations), (1, 1));
    }

    #[test]
    fn a_call_that_blocks_its_thread_is_a_stall_of_that_kind() {
        let mut court = Court::new();
        let found = court.looks(beat(1, ECHO), 5, [1, 2, 22]).pop().expect("a finding");
        assert_eq!(found.cause, StallCause::Blocked);
        assert_eq!(court.judge.stats(0).stalls, 1);
    }

    #[test]
    fn time_that_is_not_counted_yet_is_a_tick_of_running_and_else_a_wait() {
        for (uncounted, cause) in [(10, StallCause::Ran), (60, StallCause::NoCpu)] {
            let mut court = Court::new();
            court.cpu = court.cpu.map(|cpu| CpuTime { is_runnable: true, ..cpu });
            court.looks(beat(1, ECHO), 4, [0, 0, 25]);
            let cpu = court.cpu.as_mut().expect("it is there");
            cpu.ran += ms(75 - uncounted);
            let found = court.look_after(beat(1, ECHO), [0, 0, 25]).expect("a finding");
            assert_eq!(found.cause, cause, "{uncounted} ms are missing");
        }
    }

    #[test]
    fn without_the_kernels_figures_the_cause_is_unknown_and_it_counts() {
        let mut court = Court::new();
        court.cpu = None;
        let found = court.looks(beat(1, ECHO), 5, RUNS).pop().expect("a finding");
        assert_eq!(found.cause, StallCause::Unknown);
        assert_eq!(court.judge.stats(0).stalls, 1);
    }

    #[test]
    fn time_in_which_nobody_looked_proves_nothing() {
        let mut court = Court::new();
        court.looks(beat(1, ECHO), 2, RUNS);
        // The whole process stood still, or only the watchdog: it cannot know.
        assert_eq!(court.look_after(beat(1, ECHO), [0, 0, 10_000]), None);
        let found = court.look_after(beat(1, ECHO), RUNS).expect("what it saw adds up");
        assert_eq!(found.lasted, ms(25 + 50 + 25));
        let over = court.look_after(beat(2, ECHO), [10_000, 0, 0]).expect("it is over");
        assert_eq!(over.lasted, ms(100 + 50), "nor does it lengthen what ends meanwhile");
    }

    #[test]
    fn stalls_in_quick_succession_are_counted_and_said_once_a_second() {
        let mut court = Court::new();
        let mut news = 0;
        for count in 0..40 {
            let found = court.looks(beat(count, ECHO), 5, RUNS);
            news += found.iter().filter(|found| found.is_news && !found.is_over).count();
        }
        assert_eq!(court.judge.stats(0).stalls, 40);
        assert!((4..=6).contains(&news), "said {news} times in 5 s");
    }
}
