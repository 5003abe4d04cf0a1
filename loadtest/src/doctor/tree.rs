//! The system files of a machine, below a root.
//!
//! Owns the reading of small files and of control groups. Never fails: what is not there or not
//! readable is nothing.

use std::fs;
use std::path::{Path, PathBuf};

/// The files of this machine, or a copy of another one's.
#[derive(Debug)]
pub(crate) struct Tree(PathBuf);

impl Tree {
    pub(crate) fn new(root: &Path) -> Self {
        Self(root.to_owned())
    }

    pub(crate) fn root(&self) -> &Path {
        &self.0
    }

    /// Whether there is anything to look at.
    pub(crate) fn holds_a_machine(&self) -> bool {
        ["proc", "sys"].iter().any(|folder| self.0.join(folder).is_dir())
    }

    /// What a file says, without space around it.
    pub(crate) fn text(&self, path: &str) -> Option<String> {
        fs::read_to_string(self.0.join(path)).ok().map(|text| text.trim().to_owned())
    }

    /// The whole number that a file holds.
    pub(crate) fn number(&self, path: &str) -> Option<u64> {
        self.text(path)?.parse().ok()
    }

    /// Whether a folder has an entry that begins like one of these.
    pub(crate) fn has_entry(&self, folder: &str, beginnings: &[&str]) -> bool {
        let entries = fs::read_dir(self.0.join(folder)).into_iter().flatten().flatten();
        let mut names = entries.map(|entry| entry.file_name());
        names.any(|name| beginnings.iter().any(|b| name.to_string_lossy().starts_with(b)))
    }

    /// The least that the control groups of this process grant of something: `unified` is the file
    /// of version 2, `controller` and `legacy` name that of version 1.
    pub(crate) fn group_limit(&self, unified: &str, controller: &str, legacy: &str) -> Option<u64> {
        let groups = self.text("proc/self/cgroup")?;
        let mut least = None;
        for line in groups.lines() {
            let mut fields = line.splitn(3, ':');
            let (Some(number), Some(names), Some(path)) =
                (fields.next(), fields.next(), fields.next())
            else {
                continue;
            };
            let (mount, file) = match number {
                "0" if names.is_empty() => ("sys/fs/cgroup".to_owned(), unified),
                _ if names.split(',').any(|name| name == controller) => {
                    (format!("sys/fs/cgroup/{names}"), legacy)
                }
                _ => continue,
            };
            // A parent's limit holds for its children.
            let parents = Path::new(path.trim_start_matches('/')).ancestors();
            let limits = parents
                .filter_map(|group| self.number(&format!("{mount}/{}/{file}", group.display())));
            least = limits.chain(least).min();
        }
        least
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(crate) fn tree(files: &[(&str, &str)]) -> (tempfile::TempDir, Tree) {
        let root = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let tree = Tree::new(root.path());
        (root, tree)
    }

    #[test]
    fn the_least_limit_of_a_group_and_its_parents_holds() {
        let (_root, unified) = tree(&[
            ("proc/self/cgroup", "0::/a/b\n"),
            ("sys/fs/cgroup/a/memory.max", "1000\n"),
            ("sys/fs/cgroup/a/b/memory.max", "max\n"),
        ]);
        let limit = |tree: &Tree| tree.group_limit("memory.max", "memory", "memory.limit_in_bytes");
        assert_eq!(limit(&unified), Some(1000));
        let (_root, legacy) = tree(&[
            ("proc/self/cgroup", "odd\n4:memory:/a\n1:cpu,cpuacct:/\nodd:\n0::/\n"),
            ("sys/fs/cgroup/memory/memory.limit_in_bytes", "900\n"),
            ("sys/fs/cgroup/memory/a/memory.limit_in_bytes", "950\n"),
        ]);
        assert_eq!(limit(&legacy), Some(900));
        assert_eq!(limit(&tree(&[]).1), None);
    }
}
