//! How long a thread has run and how long it has waited for a CPU, as the kernel counts it.
//!
//! Owns the reading of one small file below `/proc`, which the watchdog does for a core it suspects
//! and nobody else ever. A kernel without scheduler statistics gives nothing; then a stall's cause
//! is unknown. Time that a hypervisor takes away counts as running.

use std::fs;
use std::time::Duration;

/// What a thread has got and missed since it began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct CpuTime {
    pub(super) ran: Duration,
    /// Ready to run, and none of its CPUs was free.
    pub(super) waited: Duration,
}

impl CpuTime {
    /// Reads the file of a thread of this process. About 5 µs.
    pub(super) fn of_thread(id: i32) -> Option<Self> {
        let text = fs::read_to_string(format!("/proc/self/task/{id}/schedstat")).ok()?;
        Self::parse(&text)
    }

    /// Nanoseconds run, nanoseconds waited, and times it was given a CPU.
    fn parse(text: &str) -> Option<Self> {
        let mut fields = text.split_ascii_whitespace().map(|field| field.parse().ok());
        let mut next = || Some(Duration::from_nanos(fields.next()??));
        Some(Self { ran: next()?, waited: next()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_line_is_read() {
        let (ran, waited) = (Duration::from_nanos(812), Duration::from_nanos(3_000_000_001));
        assert_eq!(CpuTime::parse("812 3000000001 17\n"), Some(CpuTime { ran, waited }));
    }

    #[test]
    fn what_is_no_such_line_gives_nothing() {
        for text in ["", "812", "812 x 3", "-1 2 3", "0x1 2"] {
            assert_eq!(CpuTime::parse(text), None, "{text:?}");
        }
        assert_eq!(CpuTime::of_thread(-1), None);
    }
}
