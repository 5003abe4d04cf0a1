//! Buffers beside their model: every operation is applied to both, and both must answer alike.
//!
//! Owns the buffers and the byte vectors. Panics where a result or the contents differ, and where
//! the structure of a buffer breaks a promise.

use std::io::IoSlice;
use std::mem;
use std::ops::Range;

use sluicegate_core_buf::{Buffer, Eol, Landing};

use crate::operation::{BUFFERS, Kind, Operation};

/// Most bytes a model may hold; what would add to more is left out.
const MAX_BYTES: usize = 1 << 20;

/// Few different bytes, so that there is something to find.
const ALPHABET: &[u8; 16] = b"\r\n\r\n\0abcdefghijk";

const EOLS: [Eol; 5] = [Eol::Any, Eol::Crlf, Eol::CrlfStrict, Eol::Lf, Eol::Nul];

/// Applies operations to buffers that begin empty.
pub(crate) fn run(operations: &[Operation]) {
    let mut pair = Pair::default();
    for operation in operations {
        pair.apply(*operation);
        pair.check();
    }
}

/// The system under test beside its model, and a source of bytes that never repeats soon.
#[derive(Default)]
struct Pair {
    buffers: [Buffer; BUFFERS],
    models: [Vec<u8>; BUFFERS],
    landing: Landing,
    produced: u32,
}

impl Pair {
    fn fresh(&mut self, count: usize) -> Vec<u8> {
        let bytes = (0..count).map(|_| {
            self.produced = self.produced.wrapping_add(1);
            ALPHABET[(self.produced.wrapping_mul(2_654_435_761) >> 28) as usize]
        });
        bytes.collect()
    }

    fn apply(&mut self, operation: Operation) {
        let Operation { kind, at, to, n, m } = operation;
        let held: usize = self.models.iter().map(Vec::len).sum();
        if held + n.max(m) > MAX_BYTES {
            return;
        }
        match kind {
            Kind::Add | Kind::Prepend | Kind::AddShared => self.add(kind, at, n, m),
            Kind::Reserve | Kind::ReserveExtents | Kind::Land => self.read_in(kind, at, n, m),
            Kind::Append | Kind::PrependBuffer | Kind::MoveTo => self.carry(kind, at, to, n),
            Kind::Drain | Kind::Remove | Kind::Clear => self.consume(kind, at, n),
            Kind::PullUp | Kind::Peek | Kind::CopyOut | Kind::IoSlices => self.view(kind, at, n, m),
            Kind::Search => self.search(at, n, m),
            Kind::SearchEol | Kind::ReadLine => self.find_line(kind, at, n, EOLS[m % 5]),
        }
    }

    fn add(&mut self, kind: Kind, at: usize, n: usize, m: usize) {
        let bytes = self.fresh(n.max(m));
        let (buffer, model) = (&mut self.buffers[at], &mut self.models[at]);
        match kind {
            Kind::AddShared => {
                let range = n.min(m)..n.max(m);
                model.extend(&bytes[range.clone()]);
                buffer.add_shared_range(bytes.into(), range);
            }
            Kind::Prepend => {
                buffer.prepend(&bytes[..n]);
                model.splice(..0, bytes[..n].iter().copied());
            }
            _ => {
                buffer.add(&bytes[..n]);
                model.extend(&bytes[..n]);
            }
        }
    }

    /// Room for `n` bytes of which `m` come, if there are as many.
    fn read_in(&mut self, kind: Kind, at: usize, n: usize, m: usize) {
        let bytes = self.fresh(n.min(m).min(Landing::MAX_BYTES));
        self.models[at].extend(&bytes);
        let buffer = &mut self.buffers[at];
        if kind == Kind::Land {
            self.landing.space(n)[..bytes.len()].copy_from_slice(&bytes);
            buffer.land(&mut self.landing, bytes.len());
            return;
        }
        let one = kind == Kind::Reserve;
        let room = if one { buffer.reserve(n) } else { buffer.reserve_extents(n) };
        let mut room = room.expect("no length drawn exceeds the limit");
        let mut left = &bytes[..];
        let mut reserved = 0;
        for (index, extent) in room.extents().enumerate() {
            assert!(!extent.is_empty() && (index == 0 || !one), "{extent:?} at {index}");
            reserved += extent.len();
            let count = extent.len().min(left.len());
            extent[..count].copy_from_slice(&left[..count]);
            left = &left[count..];
        }
        assert_eq!(reserved, n);
        room.commit(bytes.len());
    }

    fn carry(&mut self, kind: Kind, at: usize, to: usize, n: usize) {
        let Ok([from, target]) = self.buffers.get_disjoint_mut([at, to]) else { return };
        let mut bytes = mem::take(&mut self.models[at]);
        match kind {
            Kind::MoveTo => {
                let count = from.move_to(target, n);
                assert_eq!(count, n.min(bytes.len()));
                self.models[at] = bytes.split_off(count);
                self.models[to].extend(bytes);
            }
            Kind::PrependBuffer => {
                target.prepend_buffer(from);
                self.models[to].splice(..0, bytes);
            }
            _ => {
                target.append(from);
                self.models[to].extend(bytes);
            }
        }
    }

    fn consume(&mut self, kind: Kind, at: usize, n: usize) {
        let (buffer, model) = (&mut self.buffers[at], &mut self.models[at]);
        let expected: Vec<u8> = match kind {
            Kind::Clear => mem::take(model),
            _ => model.drain(..n.min(model.len())).collect(),
        };
        match kind {
            Kind::Clear => buffer.clear(),
            Kind::Drain => assert_eq!(buffer.drain(n), expected.len()),
            _ => {
                let mut out = vec![0; n];
                let count = buffer.remove(&mut out);
                assert_eq!(out[..count], expected);
            }
        }
    }

    fn view(&mut self, kind: Kind, at: usize, n: usize, m: usize) {
        let (buffer, model) = (&mut self.buffers[at], &self.models[at]);
        let range = n.min(model.len())..n.saturating_add(m).min(model.len());
        match kind {
            Kind::PullUp => assert_eq!(buffer.pull_up(n), model.get(..n)),
            Kind::Peek => {
                let seen = buffer.peek(n..n + m).inspect(|slice| assert!(!slice.is_empty()));
                assert_eq!(seen.flatten().copied().collect::<Vec<_>>(), model[range]);
            }
            Kind::CopyOut => {
                let mut out = vec![0; m];
                let count = buffer.copy_out(n, &mut out);
                assert_eq!(out[..count], model[range]);
            }
            _ => {
                let mut slices = vec![IoSlice::new(&[]); m % 5];
                let count = buffer.io_slices(n, &mut slices);
                let seen: Vec<u8> = slices[..count].iter().flat_map(|s| s.to_vec()).collect();
                assert!(slices[..count].iter().all(|slice| !slice.is_empty()));
                assert!(model.starts_with(&seen));
                let all = n.min(model.len());
                assert!(seen.len() == all || (seen.len() < all && count == m % 5));
            }
        }
    }

    /// Looks for bytes that are there, and behind them for the same with a change.
    fn search(&self, at: usize, n: usize, m: usize) {
        let (buffer, model) = (&self.buffers[at], &self.models[at]);
        let start = n.min(model.len());
        let mut needle = model[start..(start + m % 9).min(model.len())].to_vec();
        for range in [0..model.len(), start / 2..start + needle.len(), start + 1..usize::MAX] {
            let found = buffer.search_range(&needle, range.clone());
            assert_eq!(
                found,
                naive_search(model, &needle, range.clone()),
                "{needle:?} in {range:?}"
            );
            needle.extend(model.get(start / 3));
        }
        assert_eq!(buffer.search(&needle), naive_search(model, &needle, 0..model.len()));
    }

    fn find_line(&mut self, kind: Kind, at: usize, from: usize, eol: Eol) {
        let (buffer, model) = (&mut self.buffers[at], &mut self.models[at]);
        if kind == Kind::SearchEol {
            assert_eq!(buffer.search_eol(from, eol), naive_eol(model, from, eol), "{eol:?}");
            return;
        }
        let line = buffer.read_line(eol);
        let expected = naive_eol(model, 0, eol).map(|end| {
            let mut line: Vec<u8> = model.drain(..end.end).collect();
            line.truncate(end.start);
            line
        });
        assert_eq!(line, expected, "{eol:?}");
    }

    fn check(&self) {
        for (buffer, model) in self.buffers.iter().zip(&self.models) {
            assert_eq!(buffer.len(), model.len());
            assert_eq!(buffer.is_empty(), model.is_empty());
            assert!(*buffer == model[..], "contents differ");
            assert_eq!(buffer.segment_count(), buffer.slices().count());
            assert!(buffer.slices().all(|slice| !slice.is_empty()), "an empty segment stayed");
            assert!(model.starts_with(buffer.first()));
            assert_eq!(buffer.first().is_empty(), model.is_empty());
        }
    }
}

fn naive_search(bytes: &[u8], needle: &[u8], range: Range<usize>) -> Option<usize> {
    let end = range.end.min(bytes.len());
    (range.start..=end).find(|&at| at + needle.len() <= end && bytes[at..].starts_with(needle))
}

fn naive_eol(bytes: &[u8], from: usize, eol: Eol) -> Option<Range<usize>> {
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
