//! What the tests of filters share: some filters, and stacks whose handlers note what they hear.
//!
//! Owns the [`Log`] of a handler and the stacks it stands on. Decides nothing about what is tested.

use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::sync::mpsc;
use std::time::Duration;

use sluicegate::sim::{Peer, Simulation};
use sluicegate::{
    BevId, BevMut, Buffer, Context, Event, EventFlags, Filter, FilterOptions, FilterResult,
    FlushMode, Handler, ListenOptions, PairOptions,
};

use super::Echo;
use super::sim::{ADDR, LIMIT};

/// Inverts every byte, its own opposite.
pub(crate) struct Swap;

impl Filter for Swap {
    fn input(
        &mut self,
        src: &mut Buffer,
        dst: &mut Buffer,
        limit: Option<usize>,
        _: FlushMode,
    ) -> FilterResult {
        let mut bytes = vec![0; src.len().min(limit.unwrap_or(usize::MAX))];
        src.remove(&mut bytes);
        bytes.iter_mut().for_each(|byte| *byte = !*byte);
        dst.add(&bytes);
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

/// What a handler has been called for.
#[derive(Debug, Default)]
pub(crate) struct Heard {
    /// All that was taken out of the input.
    pub(crate) got: Vec<u8>,
    /// Events but for FLUSHED, which is counted.
    pub(crate) events: Vec<EventFlags>,
    pub(crate) errors: Vec<io::ErrorKind>,
    pub(crate) flushed: usize,
    /// What comes in stays in the input.
    pub(crate) keeps: bool,
}

/// What a handler has heard, shared with the test.
pub(crate) type Log = Rc<RefCell<Heard>>;

/// Notes what it hears, and takes what comes in unless told to keep it.
pub(crate) struct Noting(pub(crate) Log);

impl Handler for Noting {
    fn on_read(&mut self, cx: &mut Context<'_>) {
        let mut heard = self.0.borrow_mut();
        if !heard.keeps {
            let mut me = cx.me();
            let mut bytes = vec![0; me.input().len()];
            me.input().remove(&mut bytes);
            heard.got.extend(bytes);
        }
    }

    fn on_event(&mut self, _: &mut Context<'_>, event: Event) {
        let mut heard = self.0.borrow_mut();
        if event.flags.contains(EventFlags::FLUSHED) {
            heard.flushed += 1;
        }
        let flags = event.flags - EventFlags::FLUSHED;
        if !flags.is_empty() {
            heard.events.push(flags);
        }
        heard.errors.extend(event.error.map(|error| error.kind()));
    }
}

/// A bufferevent, and what its handler has heard.
#[derive(Clone)]
pub(crate) struct End {
    pub(crate) id: BevId,
    pub(crate) log: Log,
}

impl End {
    pub(crate) fn bev<'a>(&self, sim: &'a mut Simulation) -> BevMut<'a> {
        sim.core().get(self.id).expect("it is open")
    }

    pub(crate) fn write(&self, sim: &mut Simulation, bytes: &[u8]) {
        self.bev(sim).output().add(bytes);
    }

    /// Takes up to `count` bytes out of the input.
    pub(crate) fn take(&self, sim: &mut Simulation, count: usize) -> Vec<u8> {
        let mut bytes = vec![0; count];
        let taken = self.bev(sim).input().remove(&mut bytes);
        bytes.truncate(taken);
        bytes
    }
}

/// Two ends of a pair.
pub(crate) fn ends(sim: &mut Simulation, options: PairOptions) -> (End, End) {
    let logs = [Log::default(), Log::default()];
    let [a, b] = logs.clone().map(Noting);
    let (a, b) = sim.core().pair(options, a, b);
    let [log_a, log_b] = logs;
    (End { id: a, log: log_a }, End { id: b, log: log_b })
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
    let (near, far) = ends(sim, PairOptions::new());
    let id = sim.core().filter(near.id, filter, FilterOptions::new()).expect("it is open");
    Over { top: End { id, log: near.log }, lower: near.id, far }
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

/// Runs until nothing has moved for a while.
pub(crate) fn settle(sim: &mut Simulation) {
    for _ in 0..100 {
        let figures = |sim: &mut Simulation| {
            let stats = sim.core().stats();
            (stats.callbacks, stats.filters, stats.pair_ends, stats.connections)
        };
        let before = figures(sim);
        sim.run_for(Duration::from_millis(1));
        if figures(sim) == before {
            return;
        }
    }
    panic!("still moving after 100 turns");
}
