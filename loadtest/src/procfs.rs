//! CPU time, memory and theft, read from `/proc`.
//!
//! Owns the few parsers needed, written by hand so that steal and per-thread run time are there.
//! Never caches. Total CPU time comes from `schedstat` (nanoseconds); the split into user and
//! system comes from `stat`, which the kernel samples and rounds to 10 ms: use long runs for it.

use std::collections::BTreeMap;
use std::fs;
use std::io;

use serde::{Deserialize, Serialize};

/// CPU time of a process so far, summed over its live threads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct CpuTime {
    /// Time on a CPU in nanoseconds.
    pub(crate) total_ns: u64,
    /// Time runnable but waiting for a CPU, in nanoseconds.
    pub(crate) waited_ns: u64,
    /// Sampled time in user space, in clock ticks of 10 ms.
    pub(crate) user_ticks: u64,
    /// Sampled time in the kernel, in clock ticks of 10 ms.
    pub(crate) system_ticks: u64,
}

impl CpuTime {
    /// What was used since `earlier`.
    pub(crate) fn since(&self, earlier: &Self) -> Self {
        Self {
            total_ns: self.total_ns.saturating_sub(earlier.total_ns),
            waited_ns: self.waited_ns.saturating_sub(earlier.waited_ns),
            user_ticks: self.user_ticks.saturating_sub(earlier.user_ticks),
            system_ticks: self.system_ticks.saturating_sub(earlier.system_ticks),
        }
    }

    /// What both used together.
    pub(crate) fn plus(&self, other: &Self) -> Self {
        Self {
            total_ns: self.total_ns + other.total_ns,
            waited_ns: self.waited_ns + other.waited_ns,
            user_ticks: self.user_ticks + other.user_ticks,
            system_ticks: self.system_ticks + other.system_ticks,
        }
    }

    /// The user part of the total in nanoseconds, or nothing where too few ticks were sampled.
    pub(crate) fn user_ns(&self) -> Option<u64> {
        let ticks = self.user_ticks + self.system_ticks;
        (ticks >= LEAST_TICKS)
            .then(|| (self.total_ns as f64 * self.user_ticks as f64 / ticks as f64) as u64)
    }
}

/// Memory of a process in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Memory {
    /// Private pages: heap, stacks.
    pub(crate) anonymous_bytes: u64,
    /// All resident pages.
    pub(crate) resident_bytes: u64,
}

/// Reads the CPU time of a process (`"self"` or a number).
///
/// # Errors
/// The process does not exist or belongs to somebody else.
pub(crate) fn cpu_time(process: &str) -> io::Result<CpuTime> {
    let mut sum = CpuTime::default();
    for task in fs::read_dir(format!("/proc/{process}/task"))? {
        let path = task?.path();
        // A thread may end between the listing and the reading; it is then idle time lost.
        let (Ok(schedstat), Ok(stat)) =
            (fs::read_to_string(path.join("schedstat")), fs::read_to_string(path.join("stat")))
        else {
            continue;
        };
        let (ran, waited) = parse_schedstat(&schedstat).unwrap_or((0, 0));
        sum.total_ns += ran;
        sum.waited_ns += waited;
        let (user, system) = parse_stat(&stat).unwrap_or((0, 0));
        sum.user_ticks += user;
        sum.system_ticks += system;
    }
    Ok(sum)
}

/// Reads the memory of a process (`"self"` or a number).
///
/// # Errors
/// The process does not exist.
pub(crate) fn memory(process: &str) -> io::Result<Memory> {
    let status = fs::read_to_string(format!("/proc/{process}/status"))?;
    Ok(Memory {
        anonymous_bytes: parse_kib(&status, "RssAnon:").unwrap_or(0) * 1024,
        resident_bytes: parse_kib(&status, "VmRSS:").unwrap_or(0) * 1024,
    })
}

/// Ticks of one CPU, of 10 ms each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Ticks {
    /// Taken away by the host.
    pub(crate) stolen: u64,
    /// Spent running anything.
    pub(crate) busy: u64,
    pub(crate) all: u64,
}

/// Ticks of each CPU.
pub(crate) type CpuTicks = BTreeMap<usize, Ticks>;

/// The ticks of every CPU since boot.
pub(crate) fn cpu_ticks() -> CpuTicks {
    fs::read_to_string("/proc/stat").map(|text| parse_cpu_ticks(&text)).unwrap_or_default()
}

/// The ticks of these CPUs, or of all where none is named, between two readings.
pub(crate) fn ticks_between(before: &CpuTicks, after: &CpuTicks, cpus: &[usize]) -> Vec<Ticks> {
    let between = |cpu: &usize| {
        let (before, after) = (before.get(cpu)?, after.get(cpu)?);
        Some(Ticks {
            stolen: after.stolen.saturating_sub(before.stolen),
            busy: after.busy.saturating_sub(before.busy),
            all: after.all.saturating_sub(before.all),
        })
    };
    if cpus.is_empty() {
        return after.keys().filter_map(between).collect();
    }
    cpus.iter().filter_map(between).collect()
}

/// The largest share of time stolen from one of some CPUs.
pub(crate) fn steal(ticks: &[Ticks]) -> f64 {
    ticks.iter().map(|cpu| cpu.stolen as f64 / cpu.all.max(1) as f64).fold(0.0, f64::max)
}

/// The share of the time of some CPUs that others than ourselves, who used `own_ns`, ran on them.
pub(crate) fn strangers(ticks: &[Ticks], own_ns: u64) -> f64 {
    let sum = |part: fn(&Ticks) -> u64| ticks.iter().map(part).sum::<u64>() as f64 * TICK_NS;
    ((sum(|cpu| cpu.busy) - own_ns as f64) / sum(|cpu| cpu.all).max(1.0)).max(0.0)
}

/// The kernel's release, for the report.
pub(crate) fn kernel() -> String {
    fs::read_to_string("/proc/sys/kernel/osrelease")
        .map(|text| text.trim().to_owned())
        .unwrap_or_default()
}

/// The processor's name, for the report.
pub(crate) fn processor() -> String {
    let text = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    parse_processor(&text).unwrap_or_default()
}

/// The first processor's name in `cpuinfo`.
pub(crate) fn parse_processor(text: &str) -> Option<String> {
    let named = |line: &str| Some(line.strip_prefix("model name")?.split_once(':')?.1.to_owned());
    text.lines().find_map(named).map(|name| name.trim().to_owned())
}

/// The first two fields of `schedstat`: nanoseconds on a CPU and waiting for one.
fn parse_schedstat(text: &str) -> Option<(u64, u64)> {
    let mut fields = text.split_whitespace();
    Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
}

/// User and system ticks of `stat`, fields 14 and 15; the name in brackets may hold anything.
fn parse_stat(text: &str) -> Option<(u64, u64)> {
    let after_name = &text[text.rfind(')')? + 1..];
    let mut fields = after_name.split_whitespace().skip(11);
    Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
}

/// A `Name:   123 kB` line of `status` or `meminfo`, in kibibytes.
pub(crate) fn parse_kib(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}

/// The `cpuN` lines of `/proc/stat`: idle time is the fourth and fifth figure, steal is the eighth,
/// the first eight are all time.
pub(crate) fn parse_cpu_ticks(text: &str) -> CpuTicks {
    let parse_line = |line: &str| {
        let mut fields = line.strip_prefix("cpu")?.split_whitespace();
        let cpu = fields.next()?.parse().ok()?;
        let ticks: Vec<u64> = fields.take(8).map_while(|field| field.parse().ok()).collect();
        let stolen = *ticks.get(7)?;
        let sum = |ticks: &[u64]| ticks.iter().fold(0u64, |sum, tick| sum.saturating_add(*tick));
        let (all, busy) = (sum(&ticks), sum(&ticks[..3]).saturating_add(sum(&ticks[5..7])));
        Some((cpu, Ticks { stolen, busy, all }))
    };
    text.lines().filter(|line| !line.starts_with("cpu ")).filter_map(parse_line).collect()
}

const TICK_NS: f64 = 1e7;
/// Ticks below which their split into user and system says nothing.
pub(crate) const LEAST_TICKS: u64 = 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stat_survives_a_name_with_brackets_and_spaces() {
        let text = "77 (a) b (c)) R 1 77 77 0 -1 4194304 100 0 0 0 123 456 0 0 20 0 1 0 5";
        assert_eq!(parse_stat(text), Some((123, 456)));
        assert_eq!(parse_stat("77 (cut"), None);
        assert_eq!(parse_stat("77 (cut) R 1"), None);
    }

    #[test]
    fn schedstat_gives_nanoseconds() {
        assert_eq!(parse_schedstat("762273 80120 2\n"), Some((762_273, 80_120)));
        assert_eq!(parse_schedstat(""), None);
    }

    #[test]
    fn status_lines_are_found_by_name() {
        let text = "VmRSS:\t    2048 kB\nRssAnon:\t     512 kB\n";
        assert_eq!(parse_kib(text, "RssAnon:"), Some(512));
        assert_eq!(parse_kib(text, "VmSwap:"), None);
    }

    #[test]
    fn steal_is_the_worst_of_the_used_cpus_and_strangers_are_what_is_not_ours() {
        let before = parse_cpu_ticks(
            "cpu  9 9 9 9 9 9 9 9 0 0\ncpu0 0 0 0 0 0 0 0 0 0 0\ncpu1 0 0 0 0 0 0 0 0 0 0\n",
        );
        let after =
            parse_cpu_ticks("cpu0 50 0 40 0 0 0 0 10 0 0\ncpu1 60 0 0 38 2 0 0 0 0 0\nintr 5\n");
        assert_eq!(before.len(), 2);
        let between = |cpus: &[usize]| ticks_between(&before, &after, cpus);
        assert!((steal(&between(&[0, 1])) - 0.1).abs() < 1e-9);
        assert!((steal(&between(&[])) - 0.1).abs() < 1e-9, "no CPU named means all");
        assert_eq!(steal(&between(&[1])), 0.0);
        // Of two seconds they were busy for 1.5, of which one was ours.
        assert_eq!(strangers(&between(&[]), 1_000_000_000), 0.25);
        assert_eq!(strangers(&between(&[]), 1_600_000_000), 0.0);
    }

    #[test]
    fn the_user_part_is_scaled_to_the_exact_total() {
        let time =
            CpuTime { total_ns: 1_000, user_ticks: 5, system_ticks: 15, ..CpuTime::default() };
        assert_eq!(time.user_ns(), Some(250));
        assert_eq!(CpuTime { user_ticks: 4, ..time }.user_ns(), None);
    }

    #[test]
    fn this_process_has_used_time_and_memory() {
        assert!(cpu_time("self").unwrap().total_ns > 0);
        assert!(memory("self").unwrap().resident_bytes > 0);
    }
}
