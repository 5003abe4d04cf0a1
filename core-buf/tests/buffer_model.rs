//! Buffers against a model of plain byte vectors, under random operations on several at once.
//!
//! Every operation is applied to a `Buffer` and to a `Vec<u8>`; results and contents must agree
//! after each. Lengths are drawn around the sizes at which the code takes another path.

use std::io::IoSlice;
use std::sync::Arc;

use proptest::prelude::*;
use sluicegate_core_buf::{Buffer, Landing};

const BUFFERS: usize = 3;

#[derive(Clone, Debug)]
enum Op {
    Add(usize, usize),
    AddShared(usize, usize),
    AddSharedRange(usize, usize, usize),
    Append(usize, usize),
    MoveTo(usize, usize, usize),
    Drain(usize, usize),
    Remove(usize, usize),
    CopyOut(usize, usize, usize),
    Reserve(usize, usize, usize),
    Land(usize, usize, usize),
    IoSlices(usize, usize, usize),
    Clear(usize),
}

/// Lengths near nothing, near each block size and its eighth, and beyond the largest block.
fn length() -> impl Strategy<Value = usize> {
    prop_oneof![
        4 => 0..20usize,
        2 => 120..136usize,
        2 => 500..1030usize,
        2 => 2040..4100usize,
        1 => 8185..16390usize,
        1 => 65530..70000usize,
    ]
}

fn operation() -> impl Strategy<Value = Op> {
    let buffer = || 0..BUFFERS;
    prop_oneof![
        4 => (buffer(), length()).prop_map(|(b, n)| Op::Add(b, n)),
        1 => (buffer(), length()).prop_map(|(b, n)| Op::AddShared(b, n)),
        2 => (buffer(), length(), length()).prop_map(|(b, n, m)| Op::AddSharedRange(b, n, m)),
        3 => (buffer(), buffer()).prop_map(|(a, b)| Op::Append(a, b)),
        3 => (buffer(), buffer(), length()).prop_map(|(a, b, n)| Op::MoveTo(a, b, n)),
        3 => (buffer(), length()).prop_map(|(b, n)| Op::Drain(b, n)),
        2 => (buffer(), length()).prop_map(|(b, n)| Op::Remove(b, n)),
        2 => (buffer(), length(), length()).prop_map(|(b, n, m)| Op::CopyOut(b, n, m)),
        3 => (buffer(), length(), length()).prop_map(|(b, n, m)| Op::Reserve(b, n, m)),
        4 => (buffer(), length(), length()).prop_map(|(b, n, m)| Op::Land(b, n, m)),
        2 => (buffer(), length(), 0..5usize).prop_map(|(b, n, m)| Op::IoSlices(b, n, m)),
        1 => buffer().prop_map(Op::Clear),
    ]
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
            (self.produced.wrapping_mul(2_654_435_761) >> 24) as u8
        });
        bytes.collect()
    }

    fn apply(&mut self, op: &Op) {
        match *op {
            Op::Add(b, n) => {
                let bytes = self.fresh(n);
                self.buffers[b].add(&bytes);
                self.models[b].extend(bytes);
            }
            Op::AddShared(b, n) => {
                let bytes = self.fresh(n);
                self.buffers[b].add_shared(Arc::from(&bytes[..]));
                self.models[b].extend(bytes);
            }
            Op::AddSharedRange(b, n, m) => {
                let bytes = self.fresh(n.max(m));
                let range = n.min(m)..n.max(m);
                self.models[b].extend(&bytes[range.clone()]);
                self.buffers[b].add_shared_range(Arc::from(bytes), range);
            }
            Op::Append(a, b) => {
                let mut moved = std::mem::take(&mut self.buffers[b]);
                self.buffers[a].append(&mut moved);
                assert!(moved.is_empty() || a == b);
                let bytes = std::mem::take(&mut self.models[b]);
                self.models[a].extend(bytes);
            }
            Op::MoveTo(a, b, n) if a != b => {
                let [from, to] = self.buffers.get_disjoint_mut([a, b]).expect("a and b differ");
                let count = from.move_to(to, n);
                assert_eq!(count, n.min(self.models[a].len()));
                let bytes: Vec<u8> = self.models[a].drain(..count).collect();
                self.models[b].extend(bytes);
            }
            Op::MoveTo(..) => {}
            Op::Drain(b, n) => {
                let count = self.buffers[b].drain(n);
                assert_eq!(count, n.min(self.models[b].len()));
                self.models[b].drain(..count);
            }
            Op::Clear(b) => {
                self.buffers[b].clear();
                self.models[b].clear();
            }
            Op::Reserve(b, n, m) => {
                let bytes = self.fresh(n.min(m));
                let mut room = self.buffers[b].reserve(n).expect("within the limit");
                assert_eq!(room.first().len(), n);
                room.first()[..bytes.len()].copy_from_slice(&bytes);
                room.commit(bytes.len());
                self.models[b].extend(bytes);
            }
            Op::Land(b, n, m) => {
                let bytes = self.fresh(n.min(m).min(Landing::MAX_BYTES));
                self.landing.space(n)[..bytes.len()].copy_from_slice(&bytes);
                self.buffers[b].land(&mut self.landing, bytes.len());
                self.models[b].extend(bytes);
            }
            Op::Remove(..) | Op::CopyOut(..) | Op::IoSlices(..) => self.apply_view(op),
        }
    }

    fn apply_view(&mut self, op: &Op) {
        match *op {
            Op::Remove(b, n) => {
                let mut out = vec![0; n];
                let count = self.buffers[b].remove(&mut out);
                let expected: Vec<u8> =
                    self.models[b].drain(..n.min(self.models[b].len())).collect();
                assert_eq!(out[..count], expected);
            }
            Op::CopyOut(b, offset, n) => {
                let mut out = vec![0; n];
                let count = self.buffers[b].copy_out(offset, &mut out);
                let tail = self.models[b].get(offset..).unwrap_or_default();
                assert_eq!(out[..count], tail[..n.min(tail.len())]);
            }
            Op::IoSlices(b, limit, places) => {
                let mut slices = vec![IoSlice::new(&[]); places];
                let count = self.buffers[b].io_slices(limit, &mut slices);
                let seen: Vec<u8> =
                    slices[..count].iter().flat_map(|slice| slice.to_vec()).collect();
                assert!(slices[..count].iter().all(|slice| !slice.is_empty()));
                assert!(self.models[b].starts_with(&seen));
                let all = limit.min(self.models[b].len());
                assert!(seen.len() == all || (seen.len() < all && count == places));
            }
            _ => unreachable!("apply handles what changes more than one buffer"),
        }
    }

    fn check(&self) {
        for (buffer, model) in self.buffers.iter().zip(&self.models) {
            assert_eq!(buffer.len(), model.len());
            assert_eq!(buffer.is_empty(), model.is_empty());
            assert!(*buffer == model[..], "contents differ");
            assert_eq!(buffer.segment_count(), buffer.slices().count(), "an empty segment stayed");
            assert!(model.starts_with(buffer.first()));
            assert_eq!(buffer.first().is_empty(), model.is_empty());
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn buffers_agree_with_byte_vectors(ops in prop::collection::vec(operation(), 1..80)) {
        let mut pair = Pair::default();
        for op in &ops {
            pair.apply(op);
            pair.check();
        }
    }
}
