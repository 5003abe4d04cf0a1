//! The CPU time a control group grants, read from its files.
//!
//! Owns the way from `/proc/self/cgroup` and `/proc/self/mountinfo` to the quota files, in both
//! versions of control groups. Only reads, below a root directory given by the caller. A file that
//! is missing means that there is no quota; one that cannot be read or makes no sense counts as
//! none too, because a quota is advice on how many cores to start and no reason to fail, but is
//! named.
//!
//! Invariants: the smallest quota on the way from the process's own group up to the mount counts,
//! because each of them throttles.
//! Source: cgroups(7), proc_pid_mountinfo(5). Differs from the `num_cpus` crate: the groups above
//! the process's own are read too.

use std::cmp::Ordering;
use std::fmt;
use std::fs;
use std::io;
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

    fn new(quota_us: &str, period_us: &str) -> Option<Self> {
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

/// What the files of the control groups say.
#[derive(Debug, Default)]
pub(super) struct Reading {
    /// The smallest quota that applies to this process.
    pub(super) quota: Option<CpuQuota>,
    /// The first file that is there and cannot be read, or makes no sense.
    pub(super) odd: Option<PathBuf>,
}

impl Reading {
    /// Reads the files below `root`.
    pub(super) fn take(root: &Path) -> Self {
        let mut reading = Self::default();
        let [groups, mounts] = ["proc/self/cgroup", "proc/self/mountinfo"]
            .map(|path| reading.text(root.join(path)).unwrap_or_default());
        for mount in mounts.lines().filter_map(Mount::parse) {
            match groups.lines().find_map(|line| mount.version.group(line)) {
                Some(group) => mount.read(root, group, &mut reading),
                None => reading.note(root.join("proc/self/cgroup")),
            }
        }
        reading.odd = reading.odd.map(|path| match path.strip_prefix(root) {
            Ok(path) => Path::new("/").join(path),
            Err(_) => path,
        });
        reading
    }

    /// A file without the blanks around it, if it is there.
    fn text(&mut self, path: PathBuf) -> Option<String> {
        match fs::read_to_string(&path) {
            Ok(text) => Some(text.trim().to_owned()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(_) => {
                self.note(path);
                None
            }
        }
    }

    fn note(&mut self, odd: PathBuf) {
        self.odd.get_or_insert(odd);
    }

    /// Takes the quota a file tells, or notes the file if it tells none.
    fn add(&mut self, quota: Option<CpuQuota>, path: PathBuf) {
        match quota {
            Some(quota) => {
                self.quota = self.quota.into_iter().chain([quota]).min_by(CpuQuota::compare);
            }
            None => self.note(path),
        }
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

    /// Adds what the files in the folder of a group say.
    fn read(self, folder: &Path, reading: &mut Reading) {
        match self {
            Self::One => {
                let (path, period) = (folder.join("cpu.cfs_quota_us"), "cpu.cfs_period_us");
                let Some(quota) = reading.text(path.clone()) else { return };
                if quota != "-1" {
                    let period = reading.text(folder.join(period)).unwrap_or_default();
                    reading.add(CpuQuota::new(&quota, &period), path);
                }
            }
            Self::Two => {
                let path = folder.join("cpu.max");
                let Some(text) = reading.text(path.clone()) else { return };
                let (quota, period) = text.split_once(' ').unwrap_or((&text, ""));
                if quota != "max" {
                    reading.add(CpuQuota::new(quota, period), path);
                }
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

    /// Adds what is said of each group from `group` up to the mount point.
    fn read(&self, root: &Path, group: &str, reading: &mut Reading) {
        let point = root.join(self.point.trim_start_matches('/'));
        for folder in self.folders(point, group) {
            self.version.read(&folder, reading);
        }
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
        let reading = Reading::take(Tree::new(files).root());
        assert_eq!(reading.odd, None, "{files:?}");
        reading.quota.map(|quota| quota.to_string())
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
    fn whatever_is_missing_is_no_quota() {
        assert_eq!(quota(&[]), None);
        assert_eq!(quota(&[("proc/self/cgroup", "0::/\n")]), None);
        assert_eq!(quota(&[V2_MOUNT, ("proc/self/cgroup", "0::/pod/box\n")]), None);
    }

    /// The quota, and the file that is odd.
    fn odd(files: &[(&str, &str)]) -> (Option<String>, Option<PathBuf>) {
        let reading = Reading::take(Tree::new(files).root());
        (reading.quota.map(|quota| quota.to_string()), reading.odd)
    }

    #[test]
    fn whatever_is_odd_is_no_quota_and_named() {
        let group = Some(PathBuf::from("/proc/self/cgroup"));
        assert_eq!(odd(&[V2_MOUNT]), (None, group.clone()));
        assert_eq!(odd(&[V2_MOUNT, ("proc/self/cgroup", "nonsense\n::\n")]), (None, group));
        for text in ["", "100000", "100000 0", "x y", "-5 100000", "maximum 100000"] {
            let files = [V2_MOUNT, ("proc/self/cgroup", "0::/\n"), ("sys/fs/cgroup/cpu.max", text)];
            let named = Some(PathBuf::from("/sys/fs/cgroup/cpu.max"));
            assert_eq!(odd(&files), (None, named), "{text:?}");
        }
        let mount = ("proc/self/mountinfo", "32 23 0:30 / /cpu rw - cgroup cgroup rw,cpu\n");
        for (quota, period) in [("", "100000"), ("-2", "100000"), ("50000", ""), ("50000", "0")] {
            let files = [
                mount,
                ("proc/self/cgroup", "4:cpu:/\n"),
                ("cpu/cpu.cfs_quota_us", quota),
                ("cpu/cpu.cfs_period_us", period),
            ];
            let named = Some(PathBuf::from("/cpu/cpu.cfs_quota_us"));
            assert_eq!(odd(&files), (None, named), "{quota:?} {period:?}");
        }
    }

    #[test]
    fn a_file_that_cannot_be_read_is_odd_and_those_above_it_count() {
        let files = [
            V2_MOUNT,
            ("proc/self/cgroup", "0::/box\n"),
            ("sys/fs/cgroup/cpu.max", "150000 100000\n"),
            // A folder, which whoever runs the test cannot read as a file.
            ("sys/fs/cgroup/box/cpu.max/x", ""),
        ];
        let named = Some(PathBuf::from("/sys/fs/cgroup/box/cpu.max"));
        assert_eq!(odd(&files), (Some("1.50".to_owned()), named));
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
