//! How long a thread has run and how long it has waited for a CPU, as the kernel counts it.
//!
//! Owns the reading of two small files below `/proc`, which the watchdog does for a core that it
//! suspects and nobody else ever. A kernel without scheduler statistics gives nothing; then a
//! stall's cause is unknown.
//!
//! The kernel's counts are late: of a thread that runs up to a tick, and a wait is counted when it
//! is over. So it matters besides whether the thread is runnable now.

use std::fs;
use std::time::Duration;

/// What a thread has got and missed since it began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct CpuTime {
    pub(super) ran: Duration,
    /// Ready to run, and none of its CPUs was free.
    pub(super) waited: Duration,
    /// It runs, or is ready to.
    pub(super) is_runnable: bool,
}

impl CpuTime {
    /// Reads the files of a thread of this process. About 10 µs.
    pub(super) fn of_thread(id: i32) -> Option<Self> {
        let read = |file| fs::read_to_string(format!("/proc/self/task/{id}/{file}")).ok();
        Self::parse(&read("schedstat")?, &read("stat")?)
    }

    /// The one file has nanoseconds run, nanoseconds waited, and times it was given a CPU; the
    /// other its state, as a letter behind the name in parentheses, which may have any of its own.
    fn parse(times: &str, stat: &str) -> Option<Self> {
        let mut fields = times.split_ascii_whitespace().map(|field| field.parse().ok());
        let mut next = || Some(Duration::from_nanos(fields.next()??));
        let (ran, waited) = (next()?, next()?);
        let (_, rest) = stat.rsplit_once(')')?;
        let is_runnable = rest.split_ascii_whitespace().next()? == "R";
        Some(Self { ran, waited, is_runnable })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAT: &str = "17 (odd) S (name)) R 1 17 17 0";

    #[test]
    fn the_kernels_lines_are_read() {
        let (ran, waited) = (Duration::from_nanos(812), Duration::from_nanos(3_000_000_001));
        let times = "812 3000000001 17\n";
        let expected = CpuTime { ran, waited, is_runnable: true };
        assert_eq!(CpuTime::parse(times, STAT), Some(expected));
        let asleep = CpuTime::parse(times, "17 (R) S 1 17").expect("both are good");
        assert!(!asleep.is_runnable);
    }

    #[test]
    fn what_is_no_such_line_gives_nothing() {
        for times in ["", "812", "812 x 3", "-1 2 3", "0x1 2"] {
            assert_eq!(CpuTime::parse(times, STAT), None, "{times:?}");
        }
        for stat in ["", "17 name R", "17 (name)"] {
            assert_eq!(CpuTime::parse("1 2 3", stat), None, "{stat:?}");
        }
        assert_eq!(CpuTime::of_thread(-1), None);
    }
}
