//! Buffers beside their model: every operation is applied to both, and both must answer alike.
//!
//! Owns the buffers and their shadows. Panics where a result or the contents differ, where the
//! structure of a buffer breaks a promise, and where an owner outlives its last byte.

use std::io::{ErrorKind, IoSlice, Read};
use std::sync::{Arc, Weak};

use sluicegate_core_buf::testing::MemorySource;
use sluicegate_core_buf::{Buffer, Eol, Landing};

use crate::operation::{BUFFERS, Kind, Operation};
use crate::shadow::{Origin, Shadow, naive_eol, naive_search};

/// Most bytes all buffers may hold; what would add to more is left out.
const MAX_BYTES: usize = 1 << 17;

/// Few different bytes, so that there is something to find.
const ALPHABET: &[u8; 16] = b"\r\n\r\n\0abcdefghijk";

const EOLS: [Eol; 5] = [Eol::Any, Eol::Crlf, Eol::CrlfStrict, Eol::Lf, Eol::Nul];

/// Applies operations to buffers that begin empty.
pub(crate) fn run(operations: impl IntoIterator<Item = Operation>) {
    let mut model = Model::default();
    for operation in operations {
        model.apply(operation);
        model.check();
    }
}

#[derive(Default)]
struct Model {
    buffers: [Buffer; BUFFERS],
    shadows: [Shadow; BUFFERS],
    landing: Landing,
    /// The memory of every owner and source there has been.
    owners: Vec<Weak<[u8]>>,
    produced: u32,
}

impl Model {
    /// Bytes in an order that does not repeat soon.
    fn fresh(&mut self, count: usize) -> Vec<u8> {
        let bytes = (0..count).map(|_| {
            self.produced = self.produced.wrapping_add(1);
            let mixed = self.produced.wrapping_mul(2_654_435_761);
            let mixed = (mixed ^ mixed >> 15).wrapping_mul(2_246_822_519);
            ALPHABET[(mixed >> 28) as usize]
        });
        bytes.collect()
    }

    /// The same in memory that somebody owns, and the owner's number.
    fn owned(&mut self, count: usize) -> (Arc<[u8]>, usize) {
        let bytes: Arc<[u8]> = self.fresh(count).into();
        self.owners.push(Arc::downgrade(&bytes));
        (bytes, self.owners.len() - 1)
    }

    fn apply(&mut self, operation: Operation) {
        let Operation { kind, at, to, n, m } = operation;
        let held: usize = self.shadows.iter().map(Shadow::len).sum();
        let added = match kind {
            Kind::Add | Kind::Prepend | Kind::AddShared | Kind::AddOwner | Kind::AddSource => {
                n.max(m)
            }
            Kind::Reserve | Kind::ReserveExtents | Kind::Land => n,
            Kind::AppendShared => held,
            _ => 0,
        };
        if held + added > MAX_BYTES {
            return;
        }
        match kind {
            Kind::Add | Kind::Prepend => self.add(kind, at, n),
            Kind::AddShared | Kind::AddOwner => self.refer(kind, at, n, m),
            Kind::AddSource => self.add_source(at, n, m),
            Kind::Reserve | Kind::ReserveExtents | Kind::Land => self.read_in(kind, at, n, m),
            Kind::Append | Kind::PrependBuffer | Kind::MoveTo | Kind::AppendShared => {
                self.carry(kind, at, to, n);
            }
            Kind::Drain | Kind::Clear => self.consume(kind, at, n),
            Kind::Load | Kind::Remove | Kind::Read => self.take(kind, at, n),
            Kind::PullUp | Kind::Peek | Kind::CopyOut | Kind::IoSlices => self.view(kind, at, n, m),
            Kind::Search => self.search(at, n, m),
            Kind::SearchEol | Kind::ReadLine => self.find_line(kind, at, n, EOLS[m % 5]),
        }
    }

    fn add(&mut self, kind: Kind, at: usize, n: usize) {
        let bytes = self.fresh(n);
        let (buffer, shadow) = (&mut self.buffers[at], &mut self.shadows[at]);
        let mut added = Shadow::default();
        added.add(&bytes, Origin::Memory);
        if kind == Kind::Add {
            buffer.add(&bytes);
            shadow.append(added);
        } else {
            buffer.prepend(&bytes);
            shadow.prepend(added);
        }
    }

    fn refer(&mut self, kind: Kind, at: usize, n: usize, m: usize) {
        let range = if kind == Kind::AddOwner { 0..n } else { n.min(m)..n.max(m) };
        let (bytes, number) = self.owned(range.end);
        self.shadows[at].add(&bytes[range.clone()], Origin::Owner(number));
        match kind {
            Kind::AddOwner => self.buffers[at].add_owner(bytes),
            _ => self.buffers[at].add_shared_range(bytes, range),
        }
    }

    /// A part of a source, every fourth of which breaks in the middle.
    fn add_source(&mut self, at: usize, n: usize, m: usize) {
        let (start, end) = (n.min(m), n.max(m));
        let (bytes, number) = self.owned(end);
        let broken = if m % 4 == 3 { start.midpoint(end) } else { end };
        let shadow = &mut self.shadows[at];
        shadow.add(&bytes[start..broken], Origin::Source(number));
        shadow.add(&bytes[broken..], Origin::Broken(number));
        let source = MemorySource::new(bytes).in_steps([1_000, 100_000][n % 2]);
        let source = source.failing_at(broken as u64, ErrorKind::TimedOut);
        let added = self.buffers[at].add_source_range(Arc::new(source), start as u64..end as u64);
        added.expect("no length drawn exceeds the limit");
    }

    /// Room for `n` bytes of which `m` come, if there are as many.
    fn read_in(&mut self, kind: Kind, at: usize, n: usize, m: usize) {
        let bytes = self.fresh(n.min(m).min(Landing::MAX_BYTES));
        self.shadows[at].add(&bytes, Origin::Memory);
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
            assert!(!extent.is_empty() && (index == 0 || !one), "{} at {index}", extent.len());
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
        let count = if kind == Kind::MoveTo { n } else { usize::MAX };
        let moved = self.shadows[at].take(count);
        match kind {
            Kind::MoveTo => assert_eq!(from.move_to(target, n), moved.len()),
            Kind::PrependBuffer => target.prepend_buffer(from),
            Kind::AppendShared => {
                target.append_shared(from);
                self.shadows[at] = moved.clone();
            }
            _ => target.append(from),
        }
        match kind {
            Kind::PrependBuffer => self.shadows[to].prepend(moved),
            _ => self.shadows[to].append(moved),
        }
    }

    fn consume(&mut self, kind: Kind, at: usize, n: usize) {
        let (buffer, shadow) = (&mut self.buffers[at], &mut self.shadows[at]);
        if kind == Kind::Clear {
            buffer.clear();
            shadow.take(usize::MAX);
        } else {
            assert_eq!(buffer.drain(n), shadow.take(n).len());
        }
    }

    /// What brings bytes out of sources, or stops there.
    fn take(&mut self, kind: Kind, at: usize, n: usize) {
        let (buffer, shadow) = (&mut self.buffers[at], &mut self.shadows[at]);
        let mut out = vec![0; n];
        let count = match kind {
            Kind::Load => {
                assert_eq!(buffer.load(n).is_ok(), shadow.load(n));
                return;
            }
            Kind::Remove => {
                let count = buffer.remove(&mut out);
                assert_eq!(count, n.min(shadow.seen().len()));
                count
            }
            _ => match buffer.read(&mut out) {
                Ok(count) => count,
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::TimedOut);
                    assert!(n > 0 && !shadow.load(1), "{error}");
                    return;
                }
            },
        };
        assert!(count > 0 || n == 0 || shadow.seen().is_empty());
        assert!(shadow.clone().load(count), "a broken byte was read");
        assert_eq!(out[..count], *shadow.take(count).bytes());
    }

    fn view(&mut self, kind: Kind, at: usize, n: usize, m: usize) {
        let (buffer, seen) = (&mut self.buffers[at], self.shadows[at].seen());
        let range = n.min(seen.len())..(n + m).min(seen.len());
        match kind {
            Kind::PullUp => assert_eq!(buffer.pull_up(n), seen.get(..n)),
            Kind::Peek => {
                let slices = buffer.peek(n..n + m).inspect(|slice| assert!(!slice.is_empty()));
                assert_eq!(slices.flatten().copied().collect::<Vec<_>>(), seen[range]);
            }
            Kind::CopyOut => {
                let mut out = vec![0; m];
                let count = buffer.copy_out(n, &mut out);
                assert_eq!(out[..count], seen[range]);
            }
            _ => {
                let mut slices = vec![IoSlice::new(&[]); m % 5];
                let count = buffer.io_slices(n, &mut slices);
                let shown: Vec<u8> = slices[..count].iter().flat_map(|s| s.to_vec()).collect();
                assert!(slices[..count].iter().all(|slice| !slice.is_empty()));
                assert!(seen.starts_with(&shown));
                let all = n.min(seen.len());
                assert!(shown.len() == all || (shown.len() < all && count == m % 5));
            }
        }
    }

    /// Looks for bytes that are there, and then for the same with others behind them.
    fn search(&self, at: usize, n: usize, m: usize) {
        let (buffer, seen) = (&self.buffers[at], self.shadows[at].seen());
        let start = n.min(seen.len());
        let mut needle = seen[start..(start + m % 9).min(seen.len())].to_vec();
        for range in [0..seen.len(), start / 2..start + needle.len(), start + 1..usize::MAX] {
            let found = buffer.search_range(&needle, range.clone());
            assert_eq!(found, naive_search(seen, &needle, range.clone()), "{needle:?} {range:?}");
            needle.extend(seen.get(start / 3));
        }
        assert_eq!(buffer.search(&needle), naive_search(seen, &needle, 0..seen.len()));
    }

    fn find_line(&mut self, kind: Kind, at: usize, from: usize, eol: Eol) {
        let (buffer, shadow) = (&mut self.buffers[at], &mut self.shadows[at]);
        if kind == Kind::SearchEol {
            // From inside an end of a line, too.
            let end = naive_eol(shadow.seen(), from, eol);
            for from in [from, end.map_or(0, |end| end.start + 1)] {
                let expected = naive_eol(shadow.seen(), from, eol);
                assert_eq!(buffer.search_eol(from, eol), expected, "{eol:?} from {from}");
            }
            return;
        }
        let expected = naive_eol(shadow.seen(), 0, eol)
            .map(|end| shadow.take(end.end).bytes()[..end.start].to_vec());
        assert_eq!(buffer.read_line(eol), expected, "{eol:?}");
    }

    fn check(&self) {
        for (buffer, shadow) in self.buffers.iter().zip(&self.shadows) {
            let seen = shadow.seen();
            assert_eq!((buffer.len(), buffer.loaded()), (shadow.len(), seen.len()));
            assert_eq!(buffer.is_empty(), shadow.len() == 0);
            assert!(buffer.to_vec() == seen, "contents differ");
            assert_eq!(*buffer == *seen, seen.len() == shadow.len());
            assert!(buffer.slices().all(|slice| !slice.is_empty()), "an empty segment stayed");
            assert_eq!(buffer.first().is_empty(), seen.is_empty());
            let unseen = buffer.len() > seen.len();
            assert_eq!(buffer.front_source().is_some(), seen.is_empty() && unseen);
            assert!(buffer.segment_count() >= buffer.slices().count() + usize::from(unseen));
        }
        let mut referred = vec![false; self.owners.len()];
        self.shadows.iter().flat_map(Shadow::owners).for_each(|number| referred[number] = true);
        for (number, owner) in self.owners.iter().enumerate() {
            let kept = owner.strong_count() > 0;
            assert!(referred[number] || !kept, "owner {number} outlives its last byte");
        }
    }
}
