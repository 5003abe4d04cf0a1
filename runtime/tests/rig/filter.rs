//! What the tests of filters share: some filters, and stacks of them.
//!
//! Owns only those. Decides nothing about what is tested.

use std::sync::mpsc;

use sluicegate::sim::{Peer, Simulation};
use sluicegate::{
    BevId, BevMut, Buffer, Filter, FilterOptions, FilterResult, FlushMode, ListenOptions,
    PairOptions,
};

use super::Echo;
use super::ends::{End, over, taking};
use super::sim::{ADDR, LIMIT};

/// Inverts every byte, its own opposite. Asks for no memory of its own.
pub(crate) struct Swap;

impl Filter for Swap {
    fn input(
        &mut self,
        src: &mut Buffer,
        dst: &mut Buffer,
        limit: Option<usize>,
        _: FlushMode,
    ) -> FilterResult {
        let mut piece = [0; 512];
        let mut left = limit.unwrap_or(usize::MAX);
        while left > 0 {
            let most = left.min(piece.len());
            let piece = &mut piece[..most];
            let count = src.remove(piece);
            if count == 0 {
                break;
            }
            piece[..count].iter_mut().for_each(|byte| *byte = !*byte);
            dst.add(&piece[..count]);
            left -= count;
        }
        FilterResult::Ok
    }

    fn output(
        &mut self,
        src: &mut Buffer,
        dst: &mut Buffer,
        limit: Option<usize>,
        mode: FlushMode,
    ) -> FilterResult {
        self.input(src, dst, limit, mode)
    }
}

/// Ends what is written by a text, whatever the limit.
pub(crate) struct Trailer(pub(crate) &'static [u8]);

impl Filter for Trailer {
    fn output(
        &mut self,
        src: &mut Buffer,
        dst: &mut Buffer,
        _: Option<usize>,
        mode: FlushMode,
    ) -> FilterResult {
        dst.append(src);
        if mode == FlushMode::Finished {
            dst.add(std::mem::take(&mut self.0));
        }
        FilterResult::Ok
    }
}

/// Passes nothing before it is flushed.
pub(crate) struct Lazy;

impl Filter for Lazy {
    fn input(
        &mut self,
        src: &mut Buffer,
        dst: &mut Buffer,
        _: Option<usize>,
        mode: FlushMode,
    ) -> FilterResult {
        if mode > FlushMode::Normal {
            dst.append(src);
        }
        FilterResult::NeedMore
    }

    fn output(
        &mut self,
        src: &mut Buffer,
        dst: &mut Buffer,
        limit: Option<usize>,
        mode: FlushMode,
    ) -> FilterResult {
        self.input(src, dst, limit, mode)
    }
}

/// A filter over one end of a pair.
pub(crate) struct Over {
    /// Over the filter.
    pub(crate) top: End,
    /// Below it.
    pub(crate) lower: BevId,
    /// The other end of the pair.
    pub(crate) far: End,
}

pub(crate) fn over_pair(sim: &mut Simulation, filter: impl Filter + 'static) -> Over {
    let (near, far) = taking(sim, PairOptions::new());
    Over { top: over(sim, &near, filter), lower: near.id, far }
}

/// An echo over so many filters over a socket; the topmost, and the peer.
pub(crate) fn over_socket(sim: &mut Simulation, depth: usize) -> (BevId, Peer) {
    let (made, tops) = mpsc::channel();
    let factory = move |conn: &mut BevMut<'_>| {
        let mut top = conn.id();
        for _ in 0..depth {
            top = conn.core().filter(top, Swap, FilterOptions::new()).expect("it is open");
        }
        made.send(top).expect("the test waits");
        Echo
    };
    let listener = sim.core().listen(ADDR, ListenOptions::new(), factory);
    let peer = sim.connect(listener.expect("it is free").local_addr()).expect("it listens");
    let mut top = None;
    assert!(sim.run_until(LIMIT, |_| {
        top = tops.try_recv().ok();
        top.is_some()
    }));
    (top.expect("one was accepted"), peer)
}

/// Streams over filters that live.
pub(crate) fn filters(sim: &mut Simulation) -> u64 {
    sim.core().stats().filters
}

/// Runs until nothing has moved for a turn.
pub(crate) fn settle(sim: &mut Simulation) {
    super::ends::settle(sim, 100);
}
