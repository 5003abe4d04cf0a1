//! A made-up tree of system files, for tests.
//!
//! Owns a temporary directory that goes with it. Whole machines that other tests and programs
//! share are in `runtime/tests/machines`; this one is for what is missing or odd.

use std::fs;
use std::path::Path;

/// A root directory with the files it was given.
pub(super) struct Tree(tempfile::TempDir);

impl Tree {
    pub(super) fn new(files: &[(&str, &str)]) -> Self {
        let tree = Self(tempfile::tempdir().expect("a temporary directory"));
        files.iter().for_each(|(path, text)| tree.add(path, text));
        tree
    }

    pub(super) fn root(&self) -> &Path {
        self.0.path()
    }

    /// Writes a file, in place of one that is there.
    pub(super) fn add(&self, path: &str, text: &str) {
        let path = self.root().join(path);
        fs::create_dir_all(path.parent().expect("a file is in a folder")).expect("a folder");
        fs::write(path, text).expect("a file");
    }

    /// Writes the files that place a CPU in a package, beside its siblings.
    pub(super) fn add_cpu(&self, cpu: usize, package: usize, siblings: &str) {
        let folder = format!("sys/devices/system/cpu/cpu{cpu}/topology");
        self.add(&format!("{folder}/physical_package_id"), &format!("{package}\n"));
        self.add(&format!("{folder}/thread_siblings_list"), &format!("{siblings}\n"));
    }
}
