//! What the machine is: CPUs and how many of them are ours, clocks, theft, memory.
//!
//! Owns the bars for them. Everything here is a file; the CPUs are read as the runtime reads them.

use std::collections::BTreeSet;

use sluicegate::placement::Snapshot;

use super::finding::{Finding, Grade};
use super::tree::Tree;
use crate::cpus;
use crate::figure::bytes;
use crate::procfs;

/// Looks at all of it.
pub(super) fn findings(tree: &Tree) -> Vec<Finding> {
    let snapshot = Snapshot::read(tree.root());
    vec![
        kernel(tree),
        cpus(&snapshot),
        quota(&snapshot),
        topology(&snapshot),
        governor(tree),
        clock_source(tree),
        steal(tree),
        pressure(tree),
        counters(tree),
        memory(tree),
        ring(tree),
    ]
}

fn kernel(tree: &Tree) -> Finding {
    const PATH: &str = "proc/sys/kernel/osrelease";
    let (name, limits) = ("kernel", "what the drivers can ask for");
    let Some(release) = tree.text(PATH) else { return Finding::unknown(name, PATH, limits) };
    let guest = tree.text("proc/cpuinfo").is_some_and(|text| {
        let flags = text.lines().find(|line| line.starts_with("flags"));
        flags.is_some_and(|flags| flags.split_whitespace().any(|flag| flag == "hypervisor"))
    });
    let processor = tree.text("proc/cpuinfo").and_then(|text| procfs::parse_processor(&text));
    let processor = processor.unwrap_or_else(|| "an unnamed processor".to_owned());
    let place = if guest { ", virtual machine" } else { "" };
    let version = |text: &str| {
        let mut parts = text.split(|c: char| !c.is_ascii_digit()).map(str::parse::<u32>);
        Some((parts.next()?.ok()?, parts.next()?.ok()?))
    };
    let old = version(&release).is_some_and(|version| version < OLDEST_KERNEL);
    Finding::new(name, format!("Linux {release}, {processor}{place}"), limits).grade_if(
        old,
        Grade::Note,
        || "nothing is tested on kernels before 4.19; use a newer one".to_owned(),
    )
}

fn cpus(snapshot: &Snapshot) -> Finding {
    let (allowed, online) = (snapshot.allowed(), snapshot.online());
    let value = format!("{allowed} allowed of {online} online");
    let limits = "cores of a server, and whether the client disturbs it";
    Finding::new("CPUs", value, limits)
        .grade_if(allowed.count() < 2, Grade::Note, || {
            "client and server take turns on one CPU (SHARED-CORE); widen the mask (taskset, \
             cpuset), and compare CPU per operation alone"
                .to_owned()
        })
        .grade_if(allowed.count() < online.count(), Grade::Note, || {
            "the mask hides some; widen it (taskset, cpuset) if they are meant to be used"
                .to_owned()
        })
}

fn quota(snapshot: &Snapshot) -> Finding {
    let limits = "CPU time: threads stop when it is used up";
    let Some(quota) = snapshot.quota() else { return Finding::new("CPU quota", "none", limits) };
    let paid_for = cpus::paid_for(quota);
    Finding::new("CPU quota", format!("{quota}"), limits)
        .grade_if(paid_for < 2.0, Grade::Bad, || {
            "client and server share less than two CPUs and are stopped in between; raise cpu.max"
                .to_owned()
        })
        .grade_if(paid_for < snapshot.allowed().count() as f64, Grade::Note, || {
            "fewer CPUs than the mask shows; use no more cores than it pays for, and do not spin"
                .to_owned()
        })
}

fn topology(snapshot: &Snapshot) -> Finding {
    let topology = snapshot.topology();
    let ours = topology.locations().iter().filter(|place| snapshot.allowed().contains(place.cpu));
    let (mut cores, mut packages, mut nodes) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    let (mut count, mut efficient) = (0, 0);
    for place in ours {
        cores.insert(place.core);
        packages.insert(place.package);
        nodes.insert(place.node);
        count += 1;
        efficient += usize::from(place.efficient);
    }
    let (cores, packages, nodes) = (cores.len(), packages.len(), nodes.len());
    let mut value = format!("physical cores: {cores}, packages: {packages}, NUMA nodes: {nodes}");
    if efficient > 0 {
        value += &format!(", slower CPUs: {efficient}");
    }
    let limits = "what a second CPU adds, and what memory far away costs";
    let siblings = cores < count;
    Finding::new("topology", value, limits)
        .grade_if(siblings, Grade::Note, || {
            "two CPUs of a physical core share it; --smt one keeps siblings free".to_owned()
        })
        .grade_if(nodes > 1, Grade::Note, || {
            "keep client and server on a node each: --server-cpus, --client-cpus".to_owned()
        })
        .grade_if(efficient > 0, Grade::Note, || {
            "cores differ in speed; list the fast ones with --server-cpus".to_owned()
        })
        .grade_if(!topology.guesses().is_empty(), Grade::Note, || {
            format!("part of it is guessed: {}", topology.guesses())
        })
}

fn governor(tree: &Tree) -> Finding {
    let limits = "how far one run is from the next";
    let value = tree.text("sys/devices/system/cpu/cpu0/cpufreq/scaling_governor");
    let Some(governor) = value else { return Finding::new("frequency", "not ours to set", limits) };
    let steady = governor == "performance";
    Finding::new("frequency", format!("governor {governor}"), limits).grade_if(
        !steady,
        Grade::Note,
        || "cpupower frequency-set -g performance".to_owned(),
    )
}

fn clock_source(tree: &Tree) -> Finding {
    const PATH: &str = "sys/devices/system/clocksource/clocksource0/current_clocksource";
    let (name, limits) = ("clock source", "cost of reading the clock");
    let Some(source) = tree.text(PATH) else { return Finding::unknown(name, PATH, limits) };
    let fast = QUICK_CLOCKS.contains(&&*source);
    Finding::new(name, source, limits).grade_if(!fast, Grade::Note, || {
        format!("each reading is a system call; boot with one of {}", QUICK_CLOCKS.join(", "))
    })
}

fn steal(tree: &Tree) -> Finding {
    let (name, limits) = ("theft since boot", "all figures, while the host serves others");
    let Some(text) = tree.text("proc/stat") else {
        return Finding::unknown(name, "proc/stat", limits);
    };
    let ticks: Vec<procfs::Ticks> = procfs::parse_cpu_ticks(&text).into_values().collect();
    let share = procfs::steal(&ticks);
    Finding::new(name, format!("{:.1} % of the worst CPU", share * 100.0), limits).grade_if(
        share > STEAL_BAR,
        Grade::Note,
        || {
            "the host is shared: repeat runs, and believe ratios of interleaved ones only"
                .to_owned()
        },
    )
}

fn pressure(tree: &Tree) -> Finding {
    const PATH: &str = "proc/pressure/cpu";
    let (name, limits) = ("waiting for CPU", "all figures, while other programs run");
    let average = tree.text(PATH).and_then(|text| {
        let line = text.lines().find_map(|line| line.strip_prefix("some "))?.to_owned();
        line.split_whitespace().find_map(|field| field.strip_prefix("avg10="))?.parse::<f64>().ok()
    });
    let Some(percent) = average else { return Finding::unknown(name, PATH, limits) };
    Finding::new(name, format!("{percent:.1} % of the last ten seconds"), limits)
        .grade_if(percent > BUSY_PERCENT, Grade::Bad, || {
            "others want the CPUs; stop them and look again".to_owned()
        })
        .grade_if(percent > QUIET_PERCENT, Grade::Note, || {
            "something else runs; stop it before measuring".to_owned()
        })
}

fn counters(tree: &Tree) -> Finding {
    let limits = "counting instructions: without them compare CPU time";
    let there = tree.has_entry("sys/bus/event_source/devices", &["cpu", "armv8"]);
    let value = if there { "hardware counters" } else { "none, software events only" };
    Finding::new("PMU", value, limits)
}

fn memory(tree: &Tree) -> Finding {
    const PATH: &str = "proc/meminfo";
    let (name, limits) = (
        "memory",
        "connections: each takes some hundred bytes here, more in the \
                                     kernel",
    );
    let available = tree.text(PATH).and_then(|text| procfs::parse_kib(&text, "MemAvailable:"));
    let Some(available) = available.map(|kib| kib.saturating_mul(1024)) else {
        return Finding::unknown(name, PATH, limits);
    };
    let granted = tree.group_limit("memory.max", "memory", "memory.limit_in_bytes");
    // Without a limit version 1 says a number beyond all memory.
    let granted = granted.filter(|granted| *granted < NO_LIMIT);
    let mut value = format!("{} available", bytes(available as f64));
    if let Some(granted) = granted {
        value += &format!(", {} granted by the control group", bytes(granted as f64));
    }
    let least = granted.unwrap_or(u64::MAX).min(available);
    Finding::new(name, value, limits)
        .grade_if(least < TOO_LITTLE_MEMORY, Grade::Bad, || {
            "free some, or raise memory.max: client and server need a few dozen megabytes"
                .to_owned()
        })
        .grade_if(least < LITTLE_MEMORY, Grade::Note, || {
            "enough for thousands of connections, not for a hundred thousand".to_owned()
        })
}

fn ring(tree: &Tree) -> Finding {
    let value = match tree.number("proc/sys/kernel/io_uring_disabled") {
        Some(0) => "allowed",
        Some(1) => "for privileged processes",
        Some(_) => "switched off",
        None => "not told by this kernel",
    };
    Finding::new("io_uring", value, "nothing today: the driver uses epoll")
}

const OLDEST_KERNEL: (u32, u32) = (4, 19);
const QUICK_CLOCKS: [&str; 4] =
    ["tsc", "kvm-clock", "arch_sys_counter", "hyperv_clocksource_tsc_page"];
const STEAL_BAR: f64 = 0.01;
const QUIET_PERCENT: f64 = 5.0;
const BUSY_PERCENT: f64 = 25.0;
const NO_LIMIT: u64 = 1 << 60;
const TOO_LITTLE_MEMORY: u64 = 64 << 20;
const LITTLE_MEMORY: u64 = 1 << 30;

#[cfg(test)]
mod tests {
    use super::super::tree::tests::tree;
    use super::*;

    /// A machine whose mask has as many CPUs.
    fn granted(cpus: usize, quota: &str) -> Grade {
        let status = format!("Cpus_allowed_list:\t0-{}\n", cpus - 1);
        let online = format!("0-{}\n", cpus - 1);
        let (_root, tree) = tree(&[
            ("proc/self/status", &status),
            ("sys/devices/system/cpu/online", &online),
            ("proc/self/cgroup", "0::/box\n"),
            ("proc/self/mountinfo", "30 1 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n"),
            ("sys/fs/cgroup/box/cpu.max", quota),
        ]);
        super::quota(&Snapshot::read(tree.root())).grade
    }

    #[test]
    fn a_quota_is_judged_by_its_fraction() {
        assert_eq!(granted(4, "150000 100000\n"), Grade::Bad, "it is less than two CPUs");
        assert_eq!(granted(2, "200000 100000\n"), Grade::Ok);
        assert_eq!(granted(3, "250000 100000\n"), Grade::Note, "it is less than the mask");
        assert_eq!(granted(3, "max 100000\n"), Grade::Ok);
    }

    #[test]
    fn numbers_that_no_machine_has_are_told_all_the_same() {
        let most = u64::MAX;
        let stat = format!("cpu0 {most} 0 {most} {most} {most} 0 0 {most} 0 0\n");
        let memory = format!("MemAvailable: {most} kB\n");
        let odd = tree(&[("proc/stat", &stat), ("proc/meminfo", &memory)]);
        assert!(findings(&odd.1).iter().all(|finding| !finding.value.is_empty()));
    }
}
