//! Filters of several natures, each its own opposite: two stacks of the same face each other.
//!
//! Owns what a filter has passed. Which bytes these are the filter does not know.

use std::sync::Arc;

use sluicegate::{Buffer, Direction, Filter, FilterError, FilterResult, FlushMode};

/// What a filter does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Nature {
    /// Nothing, within its limit, by reference.
    Identity,
    /// Inverts every byte, within its limit.
    Swap,
    /// Makes two bytes of one on the way down, whatever the limit, and one of two on the way up.
    Double,
    /// Packs up to 100 bytes behind their length; a whole frame or nothing, whatever the limit.
    Frames,
    /// Nothing, whatever the limit.
    Greedy,
    /// Nothing, up to a byte at which it fails.
    Fails(Direction, usize),
}

/// A filter of a nature.
pub(crate) struct Natural {
    nature: Nature,
    passed: [usize; 2],
    /// Shows that it is kept.
    _life: Arc<()>,
}

impl Natural {
    pub(crate) fn new(nature: Nature, life: &Arc<()>) -> Self {
        Self { nature, passed: [0; 2], _life: life.clone() }
    }

    fn pass(
        &mut self,
        way: Direction,
        src: &mut Buffer,
        dst: &mut Buffer,
        limit: usize,
    ) -> FilterResult {
        let passed = &mut self.passed[way.index()];
        let left = match self.nature {
            Nature::Fails(fails, at) if fails == way => at - *passed,
            _ => usize::MAX,
        };
        *passed += src.move_to(dst, limit.min(left));
        if left < limit && !src.is_empty() {
            return FilterResult::Error(FilterError::new("as it was told to"));
        }
        FilterResult::Ok
    }
}

impl Filter for Natural {
    fn input(
        &mut self,
        src: &mut Buffer,
        dst: &mut Buffer,
        limit: Option<usize>,
        _: FlushMode,
    ) -> FilterResult {
        let limit = limit.unwrap_or(usize::MAX);
        match self.nature {
            Nature::Swap => swap(src, dst, limit),
            Nature::Double => halve(src, dst, limit),
            Nature::Frames => unpack(src, dst),
            Nature::Greedy => greed(src, dst),
            Nature::Identity | Nature::Fails(..) => self.pass(Direction::Read, src, dst, limit),
        }
    }

    fn output(
        &mut self,
        src: &mut Buffer,
        dst: &mut Buffer,
        limit: Option<usize>,
        mode: FlushMode,
    ) -> FilterResult {
        let limit = limit.unwrap_or(usize::MAX);
        match self.nature {
            Nature::Swap => swap(src, dst, limit),
            Nature::Double => double(src, dst),
            Nature::Frames => pack(src, dst, mode),
            Nature::Greedy => greed(src, dst),
            Nature::Identity | Nature::Fails(..) => self.pass(Direction::Write, src, dst, limit),
        }
    }
}

fn take(src: &mut Buffer, count: usize) -> Vec<u8> {
    let mut bytes = vec![0; count.min(src.len())];
    assert_eq!(src.remove(&mut bytes), bytes.len(), "a filter sees all there is");
    bytes
}

fn greed(src: &mut Buffer, dst: &mut Buffer) -> FilterResult {
    dst.append(src);
    FilterResult::Ok
}

fn swap(src: &mut Buffer, dst: &mut Buffer, limit: usize) -> FilterResult {
    let mut bytes = take(src, limit);
    bytes.iter_mut().for_each(|byte| *byte = !*byte);
    dst.add(&bytes);
    FilterResult::Ok
}

fn double(src: &mut Buffer, dst: &mut Buffer) -> FilterResult {
    let bytes = take(src, 3000);
    dst.add(&bytes.iter().flat_map(|&byte| [byte, byte]).collect::<Vec<_>>());
    FilterResult::Ok
}

fn halve(src: &mut Buffer, dst: &mut Buffer, limit: usize) -> FilterResult {
    let count = (src.len() / 2).min(limit).min(5000);
    let bytes = take(src, 2 * count);
    assert!(bytes.chunks(2).all(|twice| twice[0] == twice[1]), "doubled bytes were torn apart");
    dst.add(&bytes.chunks(2).map(|twice| twice[0]).collect::<Vec<_>>());
    if count == 0 { FilterResult::NeedMore } else { FilterResult::Ok }
}

fn pack(src: &mut Buffer, dst: &mut Buffer, mode: FlushMode) -> FilterResult {
    let len = src.len().min(100);
    if len < 100 && mode == FlushMode::Normal || len == 0 {
        return FilterResult::NeedMore;
    }
    dst.add(&[len as u8]);
    src.move_to(dst, len);
    FilterResult::Ok
}

fn unpack(src: &mut Buffer, dst: &mut Buffer) -> FilterResult {
    let mut len = [0];
    if src.copy_out(0, &mut len) == 0 || src.len() <= usize::from(len[0]) {
        return FilterResult::NeedMore;
    }
    src.drain(1);
    src.move_to(dst, usize::from(len[0]));
    FilterResult::Ok
}
