//! The bytes that an end writes: each follows from its place in the stream, so that any loss,
//! repetition or exchange shows.
//!
//! Owns one table. Nothing is remembered of what was written but how much.

use std::io::{self, ErrorKind};
use std::sync::{Arc, OnceLock};

use sluicegate::Source;

/// After how many bytes a stream repeats itself; a prime, so that no round number hides behind it.
const PERIOD: usize = 65_521;

/// How far the streams of the two ends are apart.
const SHIFT: usize = 30_011;

fn table() -> &'static [u8] {
    static TABLE: OnceLock<Vec<u8>> = OnceLock::new();
    TABLE.get_or_init(|| {
        let mixed = (0..PERIOD as u32).map(|at| at.wrapping_mul(2_654_435_761));
        mixed.map(|mixed| ((mixed ^ mixed >> 15).wrapping_mul(2_246_822_519) >> 24) as u8).collect()
    })
}

/// The pieces of the table that make up `count` bytes of a stream from `from` on.
fn pieces(side: usize, from: usize, count: usize) -> impl Iterator<Item = &'static [u8]> {
    let (mut at, mut left) = ((from + side * SHIFT) % PERIOD, count);
    std::iter::from_fn(move || {
        let piece = &table()[at..PERIOD.min(at + left)];
        (at, left) = (0, left - piece.len());
        (!piece.is_empty()).then_some(piece)
    })
}

/// `count` bytes of the stream of a side, from `from` on.
pub(crate) fn bytes(side: usize, from: usize, count: usize) -> Vec<u8> {
    pieces(side, from, count).flatten().copied().collect()
}

/// Whether these are the bytes of the stream of a side from `from` on.
pub(crate) fn matches(side: usize, from: usize, mut seen: &[u8]) -> bool {
    pieces(side, from, seen.len()).all(|piece| {
        let (front, rest) = seen.split_at(piece.len());
        seen = rest;
        front == piece
    })
}

/// A part of a stream as a source, which breaks at some byte of it, or never.
pub(crate) struct Part {
    pub(crate) side: usize,
    pub(crate) from: usize,
    pub(crate) count: usize,
    pub(crate) breaks_at: Option<usize>,
    /// Shows that it is kept.
    pub(crate) _life: Arc<()>,
}

impl Source for Part {
    fn len(&self) -> u64 {
        self.count as u64
    }

    fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<usize> {
        let offset = offset as usize;
        let end = self.breaks_at.unwrap_or(self.count);
        if offset >= end {
            return Err(ErrorKind::TimedOut.into());
        }
        let count = out.len().min(end - offset);
        out[..count].copy_from_slice(&bytes(self.side, self.from + offset, count));
        Ok(count)
    }
}

/// A part of a stream that somebody owns, added by reference.
pub(crate) struct Owned {
    pub(crate) bytes: Vec<u8>,
    /// Shows that it is kept.
    pub(crate) _life: Arc<()>,
}

impl AsRef<[u8]> for Owned {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}
