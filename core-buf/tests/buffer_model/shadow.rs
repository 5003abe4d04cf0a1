//! What a buffer should hold: plain bytes, and of each where it comes from.
//!
//! Owns two vectors of equal length. Slow and obvious on purpose.

use std::mem;
use std::ops::Range;

use sluicegate_core_buf::Eol;

/// Where a byte comes from; the numbers are those of owners.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// Copied or shared memory.
    Memory,
    /// Memory of an owner; copied out of it perhaps.
    Owner(usize),
    /// A source from which it has not been read.
    Source(usize),
    /// A source from which it cannot be read.
    Broken(usize),
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Shadow {
    bytes: Vec<u8>,
    origins: Vec<Origin>,
}

impl Shadow {
    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }

    pub(crate) fn add(&mut self, bytes: &[u8], origin: Origin) {
        self.bytes.extend(bytes);
        self.origins.resize(self.bytes.len(), origin);
    }

    pub(crate) fn append(&mut self, mut other: Self) {
        self.bytes.append(&mut other.bytes);
        self.origins.append(&mut other.origins);
    }

    pub(crate) fn prepend(&mut self, mut other: Self) {
        mem::swap(self, &mut other);
        self.append(other);
    }

    /// Takes the first bytes off, all if there are fewer.
    pub(crate) fn take(&mut self, count: usize) -> Self {
        let count = count.min(self.len());
        Self {
            bytes: self.bytes.drain(..count).collect(),
            origins: self.origins.drain(..count).collect(),
        }
    }

    /// The bytes that can be seen: those before the first that is still in a source.
    pub(crate) fn seen(&self) -> &[u8] {
        let unseen = |origin: &Origin| matches!(origin, Origin::Source(_) | Origin::Broken(_));
        &self.bytes[..self.origins.iter().position(unseen).unwrap_or(self.len())]
    }

    /// Loads the first `count` bytes; `false` if one of them is broken, and it ends there.
    pub(crate) fn load(&mut self, count: usize) -> bool {
        for origin in self.origins.iter_mut().take(count) {
            match *origin {
                Origin::Broken(_) => return false,
                Origin::Source(_) => *origin = Origin::Memory,
                _ => {}
            }
        }
        true
    }

    /// All bytes, whether they can be seen or not.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The numbers of the owners and sources that some byte comes from.
    pub(crate) fn owners(&self) -> impl Iterator<Item = usize> {
        self.origins.iter().filter_map(|origin| match *origin {
            Origin::Memory => None,
            Origin::Owner(number) | Origin::Source(number) | Origin::Broken(number) => Some(number),
        })
    }
}

pub(crate) fn naive_search(bytes: &[u8], needle: &[u8], range: Range<usize>) -> Option<usize> {
    let end = range.end.min(bytes.len());
    (range.start..=end).find(|&at| at + needle.len() <= end && bytes[at..].starts_with(needle))
}

pub(crate) fn naive_eol(bytes: &[u8], from: usize, eol: Eol) -> Option<Range<usize>> {
    let run = |at: usize| bytes[at..].iter().take_while(|byte| b"\r\n".contains(byte)).count();
    (from..bytes.len()).find_map(|at| {
        let rest = &bytes[at..];
        let length = match eol {
            Eol::Any => run(at),
            Eol::Crlf if rest.starts_with(b"\r\n") => 2,
            Eol::Crlf | Eol::Lf => usize::from(rest[0] == b'\n'),
            Eol::CrlfStrict => 2 * usize::from(rest.starts_with(b"\r\n")),
            Eol::Nul => usize::from(rest[0] == 0),
        };
        (length > 0).then(|| at..at + length)
    })
}
