//! What a runtime found and chose at start, and what became of it at the end.
//!
//! Owns the two reports. The first prints as one line for the log, so that an operator sees what
//! the machine allows and where the cores run; the second says what a drain closed and what it cut,
//! and which core did not end as it should.

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use crate::descriptor::DescriptorLimit;
use crate::panic::CorePanic;
use crate::placement::Plan;
use crate::stats::CoreStats;

/// What the runtime found and chose.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct StartReport {
    /// How many cores there are.
    pub cores: usize,
    /// Where they run, and why there.
    pub plan: Plan,
    /// The limit of open files, before and now.
    pub descriptors: DescriptorLimit,
    /// Who keeps OpenSSL safe between threads.
    #[cfg(feature = "tls")]
    pub tls: tls::Threading,
    /// Where the figures are served.
    pub metrics: Option<SocketAddr>,
}

impl fmt::Display for StartReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; open files: {}", self.plan, self.descriptors)?;
        #[cfg(feature = "tls")]
        write!(f, "; OpenSSL: {}", self.tls)?;
        self.metrics.map_or(Ok(()), |addr| write!(f, "; figures at http://{addr}/"))
    }
}

/// What became of the cores and their connections when the runtime ended.
///
/// Prints as one line, and with `{:#}` as one more for each core.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct DrainReport {
    /// The last figures of each core, among them `drained`, `cut` and `cut_bytes`.
    pub cores: Vec<CoreStats>,
    /// How each core ended; one that panicked or has not ended may be missing.
    pub ends: Vec<CoreEnd>,
    /// Cores that ended by a panic: of a handler if the policy is
    /// [`StopCore`](crate::PanicPolicy::StopCore), else of an observer, or a defect of the runtime.
    pub panicked: Vec<CorePanic>,
    /// Cores that did not come to their end in time; their threads are left behind.
    pub unfinished: Vec<Unfinished>,
}

/// How one core ended.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CoreEnd {
    /// The core.
    pub core: usize,
    /// How long it took from when the core was told; nothing if it ended by itself.
    pub took: Duration,
    /// Connections that ended with all their output written.
    pub drained: u64,
    /// Connections that ended with output discarded.
    pub cut: u64,
    /// Bytes that were discarded as the deadline, or a shutdown at once, cut what was left.
    pub cut_bytes: u64,
    /// Who was still there then: most first.
    pub left: Vec<Left>,
}

/// Handlers that a shutdown has cut off.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Left {
    /// What they are called: see [`Handler::label`](crate::Handler::label).
    pub label: String,
    /// How many there were.
    pub count: u64,
}

/// A core that did not come to its end in time.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Unfinished {
    /// The core.
    pub core: usize,
    /// What it was at when it was given up: see [`Handler::label`](crate::Handler::label).
    pub label: String,
}

impl fmt::Display for DrainReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sum = |figure: fn(&CoreStats) -> u64| self.cores.iter().map(figure).sum::<u64>();
        let all = self.cores.len();
        match all - self.unfinished.len() {
            ended if ended == all => write!(f, "{all} cores ended")?,
            ended => write!(f, "{ended} of {all} cores ended")?,
        }
        write!(
            f,
            "; {} connections drained, {} cut",
            sum(|core| core.drained),
            sum(|core| core.cut)
        )?;
        match sum(|core| core.cut_bytes) {
            0 => {}
            bytes => write!(f, " with {bytes} bytes unsent")?,
        }
        self.panicked.iter().try_for_each(|panic| write!(f, "; {panic}"))?;
        self.unfinished.iter().try_for_each(|core| write!(f, "; {core}"))?;
        if f.alternate() {
            self.ends.iter().try_for_each(|end| write!(f, "\n  {end}"))?;
        }
        Ok(())
    }
}

impl fmt::Display for CoreEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { core, took, drained, cut, cut_bytes, left } = self;
        write!(
            f,
            "core {core}: {drained} drained, {cut} cut, {cut_bytes} bytes unsent, in {took:.1?}"
        )?;
        for (place, Left { label, count }) in left.iter().enumerate() {
            write!(f, "{} {count} `{label}`", if place == 0 { "; left:" } else { "," })?;
        }
        Ok(())
    }
}

impl fmt::Display for Unfinished {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "core {} is still in `{}`", self.core, self.label)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_is_a_line_and_a_line_for_each_core() {
        let stats =
            |drained, cut, cut_bytes| CoreStats { drained, cut, cut_bytes, ..CoreStats::default() };
        let left = |label: &str, count| Left { label: label.to_owned(), count };
        let end = CoreEnd {
            core: 0,
            took: Duration::from_millis(1250),
            drained: 5,
            cut: 3,
            cut_bytes: 70,
            left: vec![left("Echo", 2), left("Proxy", 1)],
        };
        let mut report = DrainReport {
            cores: vec![stats(5, 3, 70), stats(1, 0, 0)],
            ends: vec![end],
            ..DrainReport::default()
        };
        let line = "2 cores ended; 6 connections drained, 3 cut with 70 bytes unsent";
        assert_eq!(report.to_string(), line);
        let more = "core 0: 5 drained, 3 cut, 70 bytes unsent, in 1.2s; left: 2 `Echo`, 1 `Proxy`";
        assert_eq!(format!("{report:#}"), format!("{line}\n  {more}"));
        report.unfinished.push(Unfinished { core: 1, label: "Sleeper".to_owned() });
        assert_eq!(
            report.to_string(),
            "1 of 2 cores ended; 6 connections drained, 3 cut with 70 bytes unsent; \
             core 1 is still in `Sleeper`"
        );
    }
}
