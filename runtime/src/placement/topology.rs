//! Which CPUs share a physical core, a package and a NUMA node, and which are slow.
//!
//! Owns what the kernel tells of it, for each CPU that is online or allowed. Only reads, below a
//! root directory given by the caller. What is missing or makes no sense is replaced by the
//! simplest guess (a core for each CPU, one package, one node) and noted, because a plan made on
//! guesses has to say so.
//!
//! Invariants: one location for each CPU, ascending; CPUs of one core have the same `core`.
//! Source: the kernel's admin-guide/cputopology.rst and ABI/stable/sysfs-devices-node.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use super::cpu_set::CpuSet;

/// Where a CPU is on the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Location {
    /// The number of the CPU.
    pub cpu: usize,
    /// The lowest CPU of its physical core: SMT siblings have the same.
    pub core: usize,
    /// The number of its package, which is a socket.
    pub package: usize,
    /// The number of its NUMA node.
    pub node: usize,
    /// Whether it is one of the slower CPUs of a hybrid machine.
    pub efficient: bool,
}

/// The locations of all CPUs that are online or allowed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topology {
    locations: Vec<Location>,
    guesses: Guesses,
}

/// What the system files do not say, or not so that it makes sense; nothing where they do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Guesses {
    /// The CPUs that are taken to be allowed.
    pub allowed: Option<CpuSet>,
    /// The CPUs that are taken to be online.
    pub online: Option<CpuSet>,
    /// Each is taken for a physical core of its own.
    pub cores: Option<CpuSet>,
    /// They are taken to be in package 0.
    pub packages: Option<CpuSet>,
    /// They are taken to be on node 0.
    pub nodes: Option<CpuSet>,
    /// The first file of the control groups that cannot be read or makes no sense: it is taken to
    /// set no CPU quota.
    pub quota: Option<PathBuf>,
}

impl Topology {
    /// Where each CPU is, ascending.
    #[must_use]
    pub fn locations(&self) -> &[Location] {
        &self.locations
    }

    /// Where a CPU is, if it is online or allowed.
    #[must_use]
    pub fn location(&self, cpu: usize) -> Option<&Location> {
        let at = self.locations.binary_search_by_key(&cpu, |location| location.cpu).ok()?;
        self.locations.get(at)
    }

    /// The CPUs whose location is as asked, or nothing if there are none.
    #[must_use]
    pub fn cpus_where(&self, mut asked: impl FnMut(&Location) -> bool) -> Option<CpuSet> {
        CpuSet::collect(self.locations.iter().filter(|at| asked(at)).map(|at| at.cpu)).ok()?
    }

    /// The CPUs on the same physical core as this one, itself among them.
    #[must_use]
    pub fn siblings(&self, cpu: usize) -> Option<CpuSet> {
        let core = self.location(cpu)?.core;
        self.cpus_where(|at| at.core == core)
    }

    /// What had to be guessed, because no file says it.
    #[must_use]
    pub fn guesses(&self) -> &Guesses {
        &self.guesses
    }

    /// Adds to what had to be guessed.
    pub(super) fn note(
        &mut self,
        allowed: Option<CpuSet>,
        online: Option<CpuSet>,
        quota: Option<PathBuf>,
    ) {
        self.guesses = Guesses { allowed, online, quota, ..std::mem::take(&mut self.guesses) };
    }

    /// Reads where `cpus` are from the files below `root`; three small files a CPU.
    pub(super) fn read(root: &Path, cpus: &CpuSet) -> Self {
        let system = root.join("sys/devices/system");
        let nodes = nodes(&system.join("node"));
        let slow = slow(root, &system, cpus);
        let (mut cores, mut packages, mut unplaced) = (Vec::new(), Vec::new(), Vec::new());
        let location = |cpu: usize| {
            let folder = system.join(format!("cpu/cpu{cpu}/topology"));
            let siblings = [folder.join("core_cpus_list"), folder.join("thread_siblings_list")];
            let siblings = siblings.iter().find_map(|path| value::<CpuSet>(path));
            let core = siblings.filter(|siblings| siblings.contains(cpu));
            let package = value(&folder.join("physical_package_id"));
            let node = nodes.iter().find(|(_, cpus)| cpus.contains(cpu));
            let noted = |guesses: &mut Vec<usize>| guesses.push(cpu);
            Location {
                cpu,
                core: core.and_then(|core| core.iter().next()).unwrap_or_else(|| {
                    noted(&mut cores);
                    cpu
                }),
                package: package.unwrap_or_else(|| {
                    noted(&mut packages);
                    0
                }),
                node: node.map_or_else(
                    || {
                        noted(&mut unplaced);
                        0
                    },
                    |(node, _)| *node,
                ),
                efficient: slow.as_ref().is_some_and(|slow| slow.contains(cpu)),
            }
        };
        let locations = cpus.iter().map(location).collect();
        let [cores, packages, nodes] =
            [cores, packages, unplaced].map(|cpus| CpuSet::collect(cpus).ok().flatten());
        let guesses = Guesses { cores, packages, nodes, ..Guesses::default() };
        Self { locations, guesses }
    }
}

/// The NUMA nodes that have CPUs, ascending.
fn nodes(folder: &Path) -> Vec<(usize, CpuSet)> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut nodes: Vec<_> = entries
        .filter_map(|entry| {
            let number = entry.file_name().to_str()?.strip_prefix("node")?.parse().ok()?;
            // A node of memory alone has an empty list.
            Some((number, value(&entry.path().join("cpulist"))?))
        })
        .collect();
    nodes.sort_unstable_by_key(|(number, _)| *number);
    nodes
}

/// The CPUs that are slower than the fastest by so much that a core there falls behind.
fn slow(root: &Path, system: &Path, cpus: &CpuSet) -> Option<CpuSet> {
    if let Some(slow) = value(&root.join("sys/devices/cpu_atom/cpus")) {
        return Some(slow);
    }
    let speeds_in = |file: &str| -> Vec<(usize, u64)> {
        let path = |cpu: usize| -> PathBuf { system.join(format!("cpu/cpu{cpu}/{file}")) };
        cpus.iter().filter_map(|cpu| Some((cpu, value(&path(cpu))?))).collect()
    };
    let mut speeds = speeds_in("cpu_capacity");
    if speeds.is_empty() {
        speeds = speeds_in("cpufreq/cpuinfo_max_freq");
    }
    let fastest = speeds.iter().map(|&(_, speed)| speed).max()?;
    let slow = speeds
        .into_iter()
        .filter(|&(_, speed)| u128::from(speed) * 100 < u128::from(fastest) * SLOW_PERCENT);
    CpuSet::collect(slow.map(|(cpu, _)| cpu)).ok()?
}

/// A file that holds one value, if it does.
pub(super) fn value<T: FromStr>(path: &Path) -> Option<T> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

/// Below so many hundredths of the fastest CPU's speed one is slow; HAProxy draws the line there
/// too. Favoured cores of one kind differ by less.
const SLOW_PERCENT: u128 = 80;

impl Guesses {
    /// Whether nothing had to be guessed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl fmt::Display for Guesses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let guesses = [
            (&self.allowed, "are allowed"),
            (&self.online, "are online"),
            (&self.cores, "are a physical core each"),
            (&self.packages, "are in one package"),
            (&self.nodes, "are on one NUMA node"),
        ];
        let mut separator = "no system file tells it, so it is taken for granted that CPUs ";
        for (cpus, guess) in guesses {
            let Some(cpus) = cpus else { continue };
            write!(f, "{separator}{cpus} {guess}")?;
            separator = ", ";
        }
        if let Some(path) = &self.quota {
            let separator = if separator == ", " { "; " } else { "" };
            let path = path.display();
            write!(
                f,
                "{separator}{path} cannot be read or makes no sense: no CPU quota of it counts"
            )?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::tree::Tree;
    use super::*;

    fn read(tree: &Tree, cpus: &str) -> Topology {
        Topology::read(tree.root(), &cpus.parse().expect("a list"))
    }

    fn places(topology: &Topology) -> Vec<(usize, usize, usize, usize)> {
        let locations = topology.locations().iter();
        locations.map(|at| (at.cpu, at.core, at.package, at.node)).collect()
    }

    #[test]
    fn cores_packages_and_nodes_come_from_the_kernels_files() {
        let tree = Tree::new(&[("sys/devices/system/node/node0/cpulist", "0,2\n")]);
        tree.add("sys/devices/system/node/node3/cpulist", "1,3\n");
        tree.add("sys/devices/system/node/node4/cpulist", "\n");
        for cpu in 0..4 {
            tree.add_cpu(cpu, cpu % 2, &format!("{},{}", cpu % 2, cpu % 2 + 2));
        }
        let topology = read(&tree, "0-3");
        assert_eq!(places(&topology), [(0, 0, 0, 0), (1, 1, 1, 3), (2, 0, 0, 0), (3, 1, 1, 3)]);
        assert!(topology.guesses().is_empty(), "{}", topology.guesses());
        assert_eq!(topology.siblings(2).map(|set| set.to_string()).as_deref(), Some("0,2"));
        assert_eq!((topology.siblings(4), topology.location(4)), (None, None));
    }

    #[test]
    fn newer_names_of_files_go_before_older_ones() {
        let tree = Tree::new(&[("sys/devices/system/cpu/cpu1/topology/core_cpus_list", "0-1")]);
        tree.add_cpu(1, 0, "1");
        assert_eq!(places(&read(&tree, "1")), [(1, 0, 0, 0)]);
    }

    #[test]
    fn without_files_each_cpu_is_a_core_of_one_package_and_node() {
        let topology = read(&Tree::new(&[]), "2-3");
        assert_eq!(places(&topology), [(2, 2, 0, 0), (3, 3, 0, 0)]);
        assert_eq!(
            topology.guesses().to_string(),
            "no system file tells it, so it is taken for granted that CPUs 2-3 are a physical core \
             each, 2-3 are in one package, 2-3 are on one NUMA node"
        );
    }

    #[test]
    fn odd_files_are_taken_for_missing() {
        let tree = Tree::new(&[("sys/devices/system/node/node0/cpulist", "0-1\n")]);
        tree.add("sys/devices/system/node/nodeX/cpulist", "2\n");
        tree.add("sys/devices/system/node/node1/cpulist", "two\n");
        // A CPU that is no sibling of its own, and a package of which ARM machines without
        // firmware tables speak.
        tree.add_cpu(0, 0, "1");
        tree.add_cpu(1, 0, "0-1");
        tree.add_cpu(2, 0, "");
        tree.add("sys/devices/system/cpu/cpu1/topology/physical_package_id", "-1\n");
        let topology = read(&tree, "0-2");
        assert_eq!(places(&topology), [(0, 0, 0, 0), (1, 0, 0, 0), (2, 2, 0, 0)]);
        let guesses = topology.guesses().to_string();
        assert!(guesses.contains("CPUs 0,2 are a physical core each"), "{guesses}");
        assert!(guesses.contains(" 1 are in one package"), "{guesses}");
        assert!(guesses.contains(" 2 are on one NUMA node"), "{guesses}");
    }

    #[test]
    fn slow_cpus_are_told_by_kind_capacity_or_frequency() {
        let slow = |files: &[(&str, &str)]| {
            let topology = read(&Tree::new(files), "0-3");
            topology.cpus_where(|at| at.efficient).map(|cpus| cpus.to_string())
        };
        let path = |cpu: usize, file: &str| format!("sys/devices/system/cpu/cpu{cpu}/{file}");
        let (a, b) = (path(0, "cpu_capacity"), path(1, "cpu_capacity"));
        let (c, d) = (path(0, "cpufreq/cpuinfo_max_freq"), path(3, "cpufreq/cpuinfo_max_freq"));
        assert_eq!(slow(&[]), None);
        assert_eq!(slow(&[("sys/devices/cpu_atom/cpus", "2-3\n")]).as_deref(), Some("2-3"));
        assert_eq!(slow(&[(&a, "1024"), (&b, "446")]).as_deref(), Some("1"));
        assert_eq!(slow(&[(&c, "5200000"), (&d, "3900000")]).as_deref(), Some("3"));
        // Turbo of a favoured core.
        assert_eq!(slow(&[(&c, "5800000"), (&d, "5500000")]), None);
        assert_eq!(slow(&[(&a, "fast"), (&b, "0")]), None);
    }
}
