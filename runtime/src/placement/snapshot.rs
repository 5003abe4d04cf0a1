//! What the machine offers this process, looked at once.
//!
//! Owns the allowed mask, the online CPUs, the CPU quota and the topology. Reads them together,
//! before anything is pinned, so that every default is derived from one view; never looks again.
//! Everything that follows from it is pure.

use std::fs;
use std::io;
use std::path::Path;

use super::cpu_set::CpuSet;
use super::error::PlacementError;
use super::quota::{CpuQuota, Reading};
use super::topology::{Topology, value};

/// The CPUs and the CPU time this process may use, at one moment.
///
/// Take it on the main thread before pinning anything: a pinned thread sees only its own CPUs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    allowed: CpuSet,
    online: CpuSet,
    quota: Option<CpuQuota>,
    topology: Topology,
}

impl Snapshot {
    /// Looks at the machine: one system call, and three small files a CPU.
    ///
    /// Never fails: where a sandbox hides the mask, the CPUs are those from 0 to the count that
    /// `num_cpus` makes; see [`Topology::guesses`] for the rest.
    #[must_use]
    pub fn take() -> Self {
        Self::complete(Path::new("/"), current_mask().map_err(|_| counted(num_cpus::get())))
    }

    /// Looks at another machine, or at this one through a copy of its files below `root`: `/proc`
    /// and `/sys` as a process there sees them.
    ///
    /// The mask is that of `proc/self/status`, without CPUs that are not online; where no file
    /// tells it, all that are online, or else CPU 0.
    #[must_use]
    pub fn read(root: &Path) -> Self {
        let online = online(root);
        let allowed = match (status_mask(root), &online) {
            (Some(mask), Some(online)) => Ok(mask.within(online).unwrap_or(mask)),
            (Some(mask), None) => Ok(mask),
            (None, Some(online)) => Err(online.clone()),
            (None, None) => Err(counted(1)),
        };
        Self::complete(root, allowed)
    }

    /// The CPUs that the thread which took the snapshot may run on.
    #[must_use]
    pub fn allowed(&self) -> &CpuSet {
        &self.allowed
    }

    /// The CPUs that are switched on; the allowed ones where the kernel does not tell.
    #[must_use]
    pub fn online(&self) -> &CpuSet {
        &self.online
    }

    /// The CPU time the control groups grant, if they limit it.
    #[must_use]
    pub fn quota(&self) -> Option<CpuQuota> {
        self.quota
    }

    /// Where the CPUs are.
    #[must_use]
    pub fn topology(&self) -> &Topology {
        &self.topology
    }

    /// Whether cores may run on all of these.
    pub(super) fn check_allowed(&self, asked: &CpuSet) -> Result<(), PlacementError> {
        let Some(offending) = asked.minus(&self.allowed) else { return Ok(()) };
        Err(PlacementError::CpuNotAllowed {
            asked: asked.clone(),
            offline: offending.minus(&self.online),
            offending,
            allowed: self.allowed.clone(),
        })
    }

    /// Completes a snapshot from the files below `root`; the mask is told, or else guessed.
    fn complete(root: &Path, mask: Result<CpuSet, CpuSet>) -> Self {
        let guessed = mask.as_ref().err().cloned();
        let (Ok(allowed) | Err(allowed)) = mask;
        let online = online(root).ok_or_else(|| allowed.clone());
        let online_guessed = online.as_ref().err().cloned();
        let (Ok(online) | Err(online)) = online;
        let mut topology = Topology::read(root, &allowed.plus(&online));
        let Reading { quota, odd } = Reading::take(root);
        topology.note(guessed, online_guessed, odd);
        Self { allowed, online, quota, topology }
    }
}

/// The CPUs the calling thread may run on, as the kernel tells.
pub(super) fn current_mask() -> io::Result<CpuSet> {
    let mask = rustix::thread::sched_getaffinity(None)?;
    let cpus = (0..CpuSet::CAPACITY).filter(|&cpu| mask.is_set(cpu));
    CpuSet::from_cpus(cpus).map_err(io::Error::other)
}

fn online(root: &Path) -> Option<CpuSet> {
    value(&root.join("sys/devices/system/cpu/online"))
}

fn status_mask(root: &Path) -> Option<CpuSet> {
    let status = fs::read_to_string(root.join("proc/self/status")).ok()?;
    status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"))?.parse().ok()
}

/// The first `count` CPUs.
fn counted(count: usize) -> CpuSet {
    CpuSet::from_cpus(0..count.clamp(1, CpuSet::CAPACITY))
        .expect("the range is neither empty nor beyond the capacity")
}

#[cfg(test)]
mod tests {
    use super::super::tree::Tree;
    use super::*;

    #[test]
    fn this_machine_has_a_cpu_to_run_on() {
        let snapshot = Snapshot::take();
        assert_eq!(snapshot.allowed.minus(&snapshot.online), None);
        assert!(snapshot.allowed.iter().all(|cpu| snapshot.topology.location(cpu).is_some()));
    }

    #[test]
    fn this_machine_is_the_same_through_its_files() {
        assert_eq!(Snapshot::read(Path::new("/")), Snapshot::take());
    }

    #[test]
    fn online_cpus_come_from_the_kernels_list_or_else_from_the_mask() {
        let allowed: CpuSet = "0-1".parse().expect("a valid list");
        let tree = Tree::new(&[]);
        assert_eq!(Snapshot::complete(tree.root(), Ok(allowed.clone())).online, allowed);

        tree.add("sys/devices/system/cpu/online", "0-7\n");
        let snapshot = Snapshot::complete(tree.root(), Ok(allowed.clone()));
        assert_eq!(snapshot.online.to_string(), "0-7");
        assert_eq!((snapshot.allowed, snapshot.quota), (allowed, None));
        assert_eq!(snapshot.topology.locations().len(), 8);
    }

    #[test]
    fn a_mask_read_from_a_file_is_what_is_online_of_it() {
        let allowed =
            |files: &[(&str, &str)]| Snapshot::read(Tree::new(files).root()).allowed.to_string();
        let status = ("proc/self/status", "Name:\tx\nCpus_allowed:\tf0\nCpus_allowed_list:\t4-9\n");
        let online = ("sys/devices/system/cpu/online", "0-5,7\n");
        assert_eq!(allowed(&[status, online]), "4-5,7");
        assert_eq!(allowed(&[status]), "4-9");
        assert_eq!(allowed(&[online]), "0-5,7");
        assert_eq!(allowed(&[]), "0");
        assert_eq!(allowed(&[("proc/self/status", "Cpus_allowed_list:\tnone\n"), online]), "0-5,7");
    }

    #[test]
    fn a_mask_or_list_that_is_not_told_is_said_to_be_guessed() {
        let status = ("proc/self/status", "Cpus_allowed_list:\t4-5\n");
        let online = ("sys/devices/system/cpu/online", "0-5\n");
        for (files, allowed_guess, online_guess) in [
            (vec![status, online], None, None),
            (vec![status], None, Some("4-5")),
            (vec![online], Some("0-5"), None),
            (vec![status, ("sys/devices/system/cpu/online", "0-\n")], None, Some("4-5")),
            (vec![], Some("0"), Some("0")),
        ] {
            let snapshot = Snapshot::read(Tree::new(&files).root());
            let guesses = snapshot.topology.guesses();
            let text = |cpus: &Option<CpuSet>| cpus.as_ref().map(ToString::to_string);
            assert_eq!(text(&guesses.allowed).as_deref(), allowed_guess, "{files:?}");
            assert_eq!(text(&guesses.online).as_deref(), online_guess, "{files:?}");
        }
    }

    #[test]
    fn a_hidden_mask_is_replaced_by_a_count_within_bounds() {
        assert_eq!(counted(4).to_string(), "0-3");
        assert_eq!(counted(0).to_string(), "0");
        assert_eq!(counted(5_000).count(), CpuSet::CAPACITY);
    }
}
