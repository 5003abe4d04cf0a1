//! What the machine offers this process, looked at once.
//!
//! Owns the allowed mask, the online CPUs and the CPU quota. Reads them together, before anything
//! is pinned, so that every default is derived from one view; never looks again. Everything that
//! follows from it is pure.

use std::fs;
use std::io;
use std::path::Path;

use super::cpu_set::CpuSet;
use super::quota::CpuQuota;

/// The CPUs and the CPU time this process may use, at one moment.
///
/// Take it on the main thread before pinning anything: a pinned thread sees only its own CPUs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Snapshot {
    /// The CPUs the calling thread may run on.
    pub(crate) allowed: CpuSet,
    /// The CPUs that are switched on; equal to `allowed` where the kernel does not tell.
    pub(crate) online: CpuSet,
    /// The CPU time the control groups grant, if they limit it.
    pub(crate) quota: Option<CpuQuota>,
}

impl Snapshot {
    /// Looks at the machine; three system files and a few system calls.
    ///
    /// Never fails: where a sandbox hides the mask, the CPUs are those from 0 to the count that
    /// `num_cpus` makes; a hidden quota is none.
    pub(crate) fn take() -> Self {
        Self::read(Path::new("/"), current_mask().unwrap_or_else(|_| counted(num_cpus::get())))
    }

    /// Completes a snapshot from the files below `root`.
    fn read(root: &Path, allowed: CpuSet) -> Self {
        let online = fs::read_to_string(root.join("sys/devices/system/cpu/online"));
        let online = online.ok().and_then(|list| list.parse().ok());
        let online = online.unwrap_or_else(|| allowed.clone());
        Self { allowed, online, quota: CpuQuota::read(root) }
    }
}

/// The CPUs the calling thread may run on, as the kernel tells.
pub(super) fn current_mask() -> io::Result<CpuSet> {
    let mask = rustix::thread::sched_getaffinity(None)?;
    let cpus = (0..CpuSet::CAPACITY).filter(|&cpu| mask.is_set(cpu));
    CpuSet::from_cpus(cpus).map_err(io::Error::other)
}

/// The first `count` CPUs.
fn counted(count: usize) -> CpuSet {
    CpuSet::from_cpus(0..count.clamp(1, CpuSet::CAPACITY))
        .expect("the range is neither empty nor beyond the capacity")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_has_a_cpu_to_run_on() {
        let snapshot = Snapshot::take();
        assert_eq!(snapshot.allowed.minus(&snapshot.online), None);
    }

    #[test]
    fn online_cpus_come_from_the_kernels_list_or_else_from_the_mask() {
        let allowed: CpuSet = "0-1".parse().expect("a valid list");
        let root = tempfile::tempdir().expect("a temporary directory");
        assert_eq!(Snapshot::read(root.path(), allowed.clone()).online, allowed);

        let folder = root.path().join("sys/devices/system/cpu");
        fs::create_dir_all(&folder).expect("a folder");
        fs::write(folder.join("online"), "0-7\n").expect("a file");
        let snapshot = Snapshot::read(root.path(), allowed.clone());
        assert_eq!(snapshot.online.to_string(), "0-7");
        assert_eq!((snapshot.allowed, snapshot.quota), (allowed, None));
    }

    #[test]
    fn a_hidden_mask_is_replaced_by_a_count_within_bounds() {
        assert_eq!(counted(4).to_string(), "0-3");
        assert_eq!(counted(0).to_string(), "0");
        assert_eq!(counted(5_000).count(), CpuSet::CAPACITY);
    }
}
