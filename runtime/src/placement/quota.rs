//! The CPU time a control group grants, read from its files.
//!
//! Owns the way from `/proc/self/cgroup` and `/proc/self/mountinfo` to the quota files, in both
//! versions of control groups. Only reads, below a root directory given by the caller, and treats
//! whatever is missing or unreadable as "no quota": a quota is advice on how many cores to start,
//! and no reason to fail.
//!
//! Invariants: the smallest quota on the way from the process's own group up to the mount counts,
//! because each of them throttles.
//! Source: cgroups(7), proc_pid_mountinfo(5). Differs from the `num_cpus` crate: the groups above
//! the process's own are read too.

use std::cmp::Ordering;
use std::fmt;
use std::fs;
use std::num::NonZeroU64;
use std::path::{Path, PathBuf};

/// CPU time a control group may use in each period.
///
/// Prints as a number of CPUs, such as `1.50`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CpuQuota {
    /// CPU time in microseconds for each period.
    pub quota_us: u64,
    /// The period in microseconds.
    pub period_us: NonZeroU64,
}

impl CpuQuota {
    /// The number of CPUs the quota pays for, rounded up; at least one.
    #[must_use]
    pub fn cores(&self) -> usize {
        let cores = self.quota_us.div_ceil(self.period_us.get()).max(1);
        usize::try_from(cores).unwrap_or(usize::MAX)
    }

    /// The smallest quota that applies to this process, seen below `root`.
    pub(super) fn read(root: &Path) -> Option<Self> {
        let groups = fs::read_to_string(root.join("proc/self/cgroup")).ok()?;
        let mounts = fs::read_to_string(root.join("proc/self/mountinfo")).ok()?;
        let mounts = mounts.lines().filter_map(Mount::parse);
        mounts
            .filter_map(|mount| {
                let group = groups.lines().find_map(|line| mount.version.group(line))?;
                mount.smallest_quota(root, group)
            })
            .min_by(Self::compare)
    }

    fn new(quota_us: &str, period_us: &str) -> Option<Self> {
        // "max" in version 2 and -1 in version 1 mean no quota; neither parses.
        Some(Self { quota_us: quota_us.parse().ok()?, period_us: period_us.parse().ok()? })
    }

    fn compare(&self, other: &Self) -> Ordering {
        let scaled = |quota: &Self, period: NonZeroU64| {
            u128::from(quota.quota_us) * u128::from(period.get())
        };
        scaled(self, other.period_us).cmp(&scaled(other, self.period_us))
    }
}

impl fmt::Display for CpuQuota {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.2}", self.quota_us as f64 / self.period_us.get() as f64)
    }
}

/// The two versions of control groups; a machine may have both mounted at once.
#[derive(Clone, Copy)]
enum Version {
    One,
    Two,
}

impl Version {
    /// The path of the process's group, if this line of `/proc/self/cgroup` belongs here.
    fn group(self, line: &str) -> Option<&str> {
        let mut fields = line.splitn(3, ':');
        let (number, controllers, path) = (fields.next()?, fields.next()?, fields.next()?);
        let here = match self {
            Self::One => controllers.split(',').any(|controller| controller == "cpu"),
            Self::Two => number == "0" && controllers.is_empty(),
        };
        here.then_some(path)
    }

    fn quota_in(self, folder: &Path) -> Option<CpuQuota> {
        let read = |name: &str| fs::read_to_string(folder.join(name)).ok();
        match self {
            Self::One => {
                CpuQuota::new(read("cpu.cfs_quota_us")?.trim(), read("cpu.cfs_period_us")?.trim())
            }
            Self::Two => {
                let text = read("cpu.max")?;
                let (quota, period) = text.trim().split_once(' ')?;
                CpuQuota::new(quota, period)
            }
        }
    }
}

/// A mounted hierarchy of control groups that can hold CPU quotas.
struct Mount<'a> {
    version: Version,
    /// The group that is seen at the mount point; not `/` inside many containers.
    top: &'a str,
    point: &'a str,
}

impl<'a> Mount<'a> {
    /// Reads one line of `/proc/self/mountinfo`; nothing if it is another kind of mount.
    fn parse(line: &'a str) -> Option<Self> {
        let (mount, system) = line.split_once(" - ")?;
        let mut mount = mount.split(' ').skip(3);
        let (top, point) = (mount.next()?, mount.next()?);
        let mut system = system.split(' ');
        let (kind, options) = (system.next()?, system.nth(1)?);
        let version = match kind {
            "cgroup2" => Version::Two,
            "cgroup" if options.split(',').any(|option| option == "cpu") => Version::One,
            _ => return None,
        };
        Some(Self { version, top, point })
    }

    /// The smallest quota from `group` up to the mount point.
    fn smallest_quota(&self, root: &Path, group: &str) -> Option<CpuQuota> {
        let point = root.join(self.point.trim_start_matches('/'));
        self.folders(point, group)
            .iter()
            .filter_map(|folder| self.version.quota_in(folder))
            .min_by(CpuQuota::compare)
    }

    /// The folder of each group from the mount point down to `group`.
    fn folders(&self, point: PathBuf, group: &str) -> Vec<PathBuf> {
        // A group outside of what is mounted cannot be seen; the mount point itself then has the
        // nearest quota there is.
        let below = Path::new(group).strip_prefix(self.top).ok();
        let mut folders = vec![point.clone()];
        let mut folder = point;
        for name in below.into_iter().flat_map(Path::components) {
            folder.push(name);
            folders.push(folder.clone());
        }
        folders
    }
}

#[cfg(test)]
mod tests {
    use super::super::tree::Tree;
    use super::*;

    fn quota(files: &[(&str, &str)]) -> Option<String> {
        CpuQuota::read(Tree::new(files).root()).map(|quota| quota.to_string())
    }

    const V2_MOUNT: (&str, &str) = (
        "proc/self/mountinfo",
        "22 1 0:20 / /proc rw shared:5 - proc proc rw\n\
         30 23 0:27 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate\n",
    );

    #[test]
    fn version_2_takes_the_smallest_quota_on_the_way_up() {
        let files = [
            V2_MOUNT,
            ("proc/self/cgroup", "0::/pod/box\n"),
            ("sys/fs/cgroup/pod/cpu.max", "150000 100000\n"),
            ("sys/fs/cgroup/pod/box/cpu.max", "400000 100000\n"),
        ];
        assert_eq!(quota(&files).as_deref(), Some("1.50"));
    }

    #[test]
    fn version_2_without_a_limit_is_no_quota() {
        let files = [
            V2_MOUNT,
            ("proc/self/cgroup", "0::/box\n"),
            ("sys/fs/cgroup/box/cpu.max", "max 100000\n"),
        ];
        assert_eq!(quota(&files), None);
    }

    #[test]
    fn version_1_finds_the_cpu_controller_among_others() {
        let mount = "31 23 0:29 / /sys/fs/cgroup/mem rw - cgroup cgroup rw,memory\n\
                     32 23 0:30 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu,cpuacct\n";
        let mut files = vec![
            ("proc/self/mountinfo", mount),
            ("proc/self/cgroup", "5:memory:/m\n4:cpu,cpuacct:/box\n0::/elsewhere\n"),
            ("sys/fs/cgroup/cpu/box/cpu.cfs_quota_us", "50000\n"),
            ("sys/fs/cgroup/cpu/box/cpu.cfs_period_us", "100000\n"),
            ("sys/fs/cgroup/cpu/cpu.cfs_quota_us", "-1\n"),
            ("sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n"),
        ];
        assert_eq!(quota(&files).as_deref(), Some("0.50"));
        files[2].1 = "-1\n";
        assert_eq!(quota(&files), None);
    }

    #[test]
    fn a_container_sees_its_own_group_at_the_mount_point() {
        let mount = "32 23 0:30 /docker/1f /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n";
        for group in ["4:cpu:/docker/1f\n", "4:cpu:/../other\n"] {
            let files = [
                ("proc/self/mountinfo", mount),
                ("proc/self/cgroup", group),
                ("sys/fs/cgroup/cpu/cpu.cfs_quota_us", "250000"),
                ("sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000"),
            ];
            assert_eq!(quota(&files).as_deref(), Some("2.50"), "{group}");
        }
    }

    #[test]
    fn whatever_is_missing_or_odd_is_no_quota() {
        assert_eq!(quota(&[]), None);
        assert_eq!(quota(&[V2_MOUNT, ("proc/self/cgroup", "nonsense\n::\n")]), None);
        for odd in ["", "100000", "100000 0", "x y", "-5 100000"] {
            let files = [V2_MOUNT, ("proc/self/cgroup", "0::/\n"), ("sys/fs/cgroup/cpu.max", odd)];
            assert_eq!(quota(&files), None, "{odd:?}");
        }
    }

    #[test]
    fn a_quota_pays_for_whole_cores_rounded_up() {
        let cores = |quota_us, period_us| {
            CpuQuota { quota_us, period_us: NonZeroU64::new(period_us).expect("not zero") }.cores()
        };
        assert_eq!(cores(1, 100_000), 1);
        assert_eq!(cores(0, 100_000), 1);
        assert_eq!(cores(100_000, 100_000), 1);
        assert_eq!(cores(100_001, 100_000), 2);
    }
}
