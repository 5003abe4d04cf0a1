//! Bufferevents whose handlers note what they are called for, in virtual time.
//!
//! Owns the [`Log`] of a handler, two ends of a pair or of a connection of the core to itself, with
//! filters over them or without, and how to run until nothing moves. Decides nothing about what is
//! tested.

use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::sync::mpsc;
use std::time::Duration;

use sluicegate::sim::Simulation;
use sluicegate::{
    BevId, BevMut, Context, Event, EventFlags, Filter, FilterOptions, Handler, ListenOptions,
    PairOptions, Unlinked,
};

use super::filter::Swap;
use super::sim::{ADDR, LIMIT};

/// What a handler has been called for.
#[derive(Debug, Default)]
pub(crate) struct Heard {
    /// Bytes in the input at each read callback.
    pub(crate) reads: Vec<usize>,
    /// All that was taken out of the input.
    pub(crate) got: Vec<u8>,
    pub(crate) writes: usize,
    /// Events but for FLUSHED, which is counted.
    pub(crate) events: Vec<EventFlags>,
    pub(crate) flushed: usize,
    pub(crate) errors: Vec<io::ErrorKind>,
    /// Events that carried [`Unlinked`].
    pub(crate) unlinked: usize,
    /// What comes in stays in the input.
    pub(crate) keeps: bool,
}

/// What a handler has heard, shared with the test.
pub(crate) type Log = Rc<RefCell<Heard>>;

/// Notes what it hears, and takes what comes in unless told to keep it.
pub(crate) struct Noting(pub(crate) Log);

impl Noting {
    /// One that takes what comes in, and what it hears.
    pub(crate) fn new() -> (Self, Log) {
        let log = Log::default();
        (Self(log.clone()), log)
    }
}

impl Handler for Noting {
    fn on_read(&mut self, cx: &mut Context<'_>) {
        let mut me = cx.me();
        let mut input = me.input();
        let mut heard = self.0.borrow_mut();
        heard.reads.push(input.len());
        if !heard.keeps {
            let mut bytes = vec![0; input.len()];
            input.remove(&mut bytes);
            heard.got.extend(bytes);
        }
    }

    fn on_write(&mut self, _: &mut Context<'_>) {
        self.0.borrow_mut().writes += 1;
    }

    fn on_event(&mut self, _: &mut Context<'_>, event: Event) {
        let mut heard = self.0.borrow_mut();
        heard.flushed += usize::from(event.flags.contains(EventFlags::FLUSHED));
        let flags = event.flags - EventFlags::FLUSHED;
        heard.events.extend((!flags.is_empty()).then_some(flags));
        if let Some(error) = event.error {
            heard.errors.push(error.kind());
            heard.unlinked += usize::from(error.get_ref().is_some_and(|it| it.is::<Unlinked>()));
        }
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
        sim.core_at(self.id.core()).get(self.id).expect("it is open")
    }

    pub(crate) fn write(&self, sim: &mut Simulation, bytes: &[u8]) {
        self.bev(sim).output().add(bytes);
    }

    /// What has come in and was not taken.
    pub(crate) fn input(&self, sim: &mut Simulation) -> Vec<u8> {
        let mut me = self.bev(sim);
        let input = me.input();
        let mut bytes = vec![0; input.len()];
        input.copy_out(0, &mut bytes);
        bytes
    }

    /// Takes up to `count` bytes out of the input.
    pub(crate) fn take(&self, sim: &mut Simulation, count: usize) -> Vec<u8> {
        let mut me = self.bev(sim);
        let mut input = me.input();
        let mut bytes = vec![0; count.min(input.len())];
        input.remove(&mut bytes);
        bytes
    }
}

/// What joins two ends.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Link {
    Sockets,
    Pair,
    /// So many filters over each of two sockets.
    OverSockets(usize),
    /// So many filters over each end of a pair.
    OverPair(usize),
}

impl Link {
    /// One of each kind, with filters in lower and higher stacks.
    pub(crate) const ALL: [Self; 6] = [
        Self::Sockets,
        Self::Pair,
        Self::OverSockets(1),
        Self::OverSockets(3),
        Self::OverPair(1),
        Self::OverPair(3),
    ];

    /// Two ends joined by it, which take what comes in.
    pub(crate) fn ends(self, sim: &mut Simulation) -> (End, End) {
        let (mut a, mut b) = match self {
            Self::Sockets | Self::OverSockets(_) => taking_sockets(sim),
            Self::Pair | Self::OverPair(_) => taking(sim, PairOptions::new()),
        };
        if let Self::OverSockets(height) | Self::OverPair(height) = self {
            for _ in 0..height {
                (a, b) = (over(sim, &a, Swap), over(sim, &b, Swap));
            }
        }
        (a, b)
    }
}

/// What stands over a filter over an end, with the end's handler.
pub(crate) fn over(sim: &mut Simulation, end: &End, filter: impl Filter + 'static) -> End {
    let id = sim.core().filter(end.id, filter, FilterOptions::new()).expect("it is open");
    End { id, log: end.log.clone() }
}

/// A pair whose ends keep what comes in.
pub(crate) fn keeping(sim: &mut Simulation, options: PairOptions) -> (End, End) {
    let (a, b) = taking(sim, options);
    for end in [&a, &b] {
        end.log.borrow_mut().keeps = true;
    }
    (a, b)
}

/// A pair whose ends take what comes in.
pub(crate) fn taking(sim: &mut Simulation, options: PairOptions) -> (End, End) {
    let [(a, log_a), (b, log_b)] = [(); 2].map(|()| Noting::new());
    let (a, b) = sim.core().pair(options, a, b);
    (End { id: a, log: log_a }, End { id: b, log: log_b })
}

/// The ends of a connection of the core to itself, which take what comes in: the one that asked for
/// it, and the one that was accepted. Neither has been called for anything yet.
pub(crate) fn taking_sockets(sim: &mut Simulation) -> (End, End) {
    let [(a, log_a), (b, log_b)] = [(); 2].map(|()| Noting::new());
    let (made, ids) = mpsc::channel();
    let factory = move |conn: &mut BevMut<'_>| made.send(conn.id()).expect("the test waits");
    let listener = sim.core().listen(ADDR, ListenOptions::new(), factory);
    let addr = listener.expect("it is free").local_addr();
    let asked = sim.core().connect(addr, a).expect("it is simulated");
    let mut accepted = None;
    assert!(sim.run_until(LIMIT, |_| {
        accepted = accepted.or_else(|| ids.try_recv().ok());
        accepted.is_some() && log_a.take().events == [EventFlags::CONNECTED]
    }));
    let (a, b_id) = (End { id: asked, log: log_a }, accepted.expect("one was"));
    let b_end = End { id: b_id, log: log_b };
    b_end.bev(sim).set_handler(b).expect("no filter stands over it");
    (a, b_end)
}

/// Turns until nothing has moved for a turn; at most `most` turns.
pub(crate) fn settle(sim: &mut Simulation, most: usize) {
    let figures = |sim: &mut Simulation| {
        let stats = sim.core().stats();
        (stats.callbacks, stats.filters, stats.pair_ends, stats.connections)
    };
    for _ in 0..most {
        let before = figures(sim);
        sim.run_for(Duration::from_millis(1));
        if figures(sim) == before {
            return;
        }
    }
    panic!("still moving after {most} turns");
}
