//! A file as a source of bytes.
//!
//! Owns the open file and how long it was when it was opened. Never moves its cursor, so the same
//! file may be sent on many connections of many cores at once.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::FileExt;

use core_buf::Source;

/// A file that an output sends without reading it: see [`Output::add_source`].
///
/// # Shape
/// `Send + Sync`; share one by `Arc`. Closed when the last output that holds it lets it go.
///
/// # Examples
/// ```
/// use std::sync::Arc;
///
/// use sluicegate::{Context, File, Handler};
///
/// struct Download(Arc<File>);
/// impl Handler for Download {
///     fn on_read(&mut self, cx: &mut Context<'_>) {
///         let (mut input, mut output) = cx.buffers();
///         input.drain(usize::MAX);
///         if output.add_source(self.0.clone()).is_err() {
///             cx.me().close();
///         }
///     }
/// }
/// ```
///
/// [`Output::add_source`]: crate::Output::add_source
#[derive(Debug)]
pub struct File {
    file: std::fs::File,
    len: u64,
}

impl File {
    /// Takes an open file, to send as many bytes as it has now.
    ///
    /// # Errors
    /// Its length cannot be asked for.
    pub fn new(file: std::fs::File) -> io::Result<Self> {
        let len = file.metadata()?.len();
        Ok(Self { file, len })
    }
}

impl Source for File {
    fn len(&self) -> u64 {
        self.len
    }

    fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<usize> {
        self.file.read_at(out, offset)
    }

    fn file(&self) -> Option<(BorrowedFd<'_>, u64)> {
        Some((self.file.as_fd(), 0))
    }
}
