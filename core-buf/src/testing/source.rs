//! A source in memory, as slow and as broken as a test wants it.
//!
//! Owns its bytes. Never reads anything else; the same reads give the same answers.

use std::fmt;
use std::io::{self, ErrorKind};
use std::sync::Arc;

use crate::Source;

/// Bytes to be added with [`Buffer::add_source`](crate::Buffer::add_source).
///
/// # Examples
/// ```
/// # use sluicegate_core_buf::{Buffer, SourceError, testing::MemorySource};
/// use std::io::ErrorKind;
/// use std::sync::Arc;
///
/// let source = MemorySource::new(&b"abcdef"[..]).in_steps(2).failing_at(4, ErrorKind::TimedOut);
/// let mut buffer = Buffer::new();
/// buffer.add_source(Arc::new(source))?;
/// assert!(buffer.load(6).is_err());
/// assert_eq!((buffer.len(), buffer.first()), (6, &b"abcd"[..]));
/// # Ok::<_, SourceError>(())
/// ```
#[derive(Clone)]
pub struct MemorySource {
    bytes: Arc<[u8]>,
    claimed: u64,
    step: usize,
    fault: Option<(u64, ErrorKind)>,
}

impl MemorySource {
    /// A source of these bytes that never fails.
    #[must_use]
    pub fn new(bytes: impl Into<Arc<[u8]>>) -> Self {
        let bytes = bytes.into();
        Self { claimed: bytes.len() as u64, bytes, step: usize::MAX, fault: None }
    }

    /// Lets each read bring at most `step` bytes.
    ///
    /// # Panics
    /// If `step` is 0: a read of no bytes says that the source has ended.
    #[must_use]
    pub fn in_steps(mut self, step: usize) -> Self {
        assert!(step > 0, "a read of no bytes says that the source has ended");
        self.step = step;
        self
    }

    /// Lets every read that begins at byte `at` or behind it fail; one before it ends there.
    #[must_use]
    pub fn failing_at(mut self, at: u64, kind: ErrorKind) -> Self {
        self.fault = Some((at, kind));
        self
    }

    /// Lets it say that it has `len` bytes, however many there are.
    #[must_use]
    pub fn claiming(mut self, len: u64) -> Self {
        self.claimed = len;
        self
    }
}

impl Source for MemorySource {
    fn len(&self) -> u64 {
        self.claimed
    }

    fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<usize> {
        let mut end = self.bytes.len() as u64;
        if let Some((at, kind)) = self.fault {
            if offset >= at {
                return Err(kind.into());
            }
            end = end.min(at);
        }
        let place = |at: u64| usize::try_from(at).unwrap_or(usize::MAX).min(self.bytes.len());
        let rest = &self.bytes[place(offset.min(end))..place(end)];
        let count = rest.len().min(out.len()).min(self.step);
        out[..count].copy_from_slice(&rest[..count]);
        Ok(count)
    }
}

impl fmt::Debug for MemorySource {
    /// Prints everything but the bytes.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemorySource")
            .field("len", &self.bytes.len())
            .field("claimed", &self.claimed)
            .field("step", &self.step)
            .field("fault", &self.fault)
            .finish()
    }
}
