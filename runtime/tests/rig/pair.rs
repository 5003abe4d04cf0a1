//! What the tests of pairs share: ends that note what they are called for, in virtual time.
//!
//! Owns the [`Log`] of an end, and two ends of a pair, or of a connection of the core to itself.
//! Decides nothing about what is tested.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::mpsc;

use sluicegate::sim::Simulation;
use sluicegate::{
    BevId, BevMut, Context, Event, EventFlags, Handler, ListenOptions, PairOptions, Unlinked,
};

use super::sim::{ADDR, LIMIT};

/// What an end has been called for.
#[derive(Debug, Default)]
pub(crate) struct Calls {
    /// Bytes in the input at each read callback.
    pub(crate) reads: Vec<usize>,
    /// All that was taken out of the input.
    pub(crate) got: Vec<u8>,
    pub(crate) writes: usize,
    pub(crate) events: Vec<EventFlags>,
    /// Events that carried [`Unlinked`].
    pub(crate) unlinked: usize,
    /// Events that said that something was cut off.
    pub(crate) resets: usize,
}

/// The calls of one end, shared with the test.
pub(crate) type Log = Rc<RefCell<Calls>>;

/// Notes its calls, and takes all that comes in if told to.
pub(crate) struct Noting {
    log: Log,
    takes: bool,
}

impl Noting {
    /// One that takes what comes in, or keeps it; and what it is called for.
    pub(crate) fn new(takes: bool) -> (Self, Log) {
        let log = Log::default();
        (Self { log: log.clone(), takes }, log)
    }
}

impl Handler for Noting {
    fn on_read(&mut self, cx: &mut Context<'_>) {
        let mut me = cx.me();
        let mut input = me.input();
        let mut log = self.log.borrow_mut();
        log.reads.push(input.len());
        if self.takes {
            let mut bytes = vec![0; input.len()];
            input.remove(&mut bytes);
            log.got.extend(bytes);
        }
    }

    fn on_write(&mut self, _: &mut Context<'_>) {
        self.log.borrow_mut().writes += 1;
    }

    fn on_event(&mut self, _: &mut Context<'_>, event: Event) {
        let mut log = self.log.borrow_mut();
        log.events.push(event.flags);
        let kind = event.error.as_ref().map(std::io::Error::kind);
        log.resets += usize::from(kind == Some(std::io::ErrorKind::ConnectionReset));
        let source = event.error.as_ref().and_then(|error| error.get_ref());
        log.unlinked += usize::from(source.is_some_and(|error| error.is::<Unlinked>()));
    }
}

/// One end, and what it was called for.
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

    /// What has come in and was not taken.
    pub(crate) fn input(&self, sim: &mut Simulation) -> Vec<u8> {
        let mut me = self.bev(sim);
        let input = me.input();
        let mut bytes = vec![0; input.len()];
        input.copy_out(0, &mut bytes);
        bytes
    }

    /// Takes up to `count` bytes.
    pub(crate) fn take(&self, sim: &mut Simulation, count: usize) -> Vec<u8> {
        let mut me = self.bev(sim);
        let mut input = me.input();
        let mut bytes = vec![0; count.min(input.len())];
        input.remove(&mut bytes);
        bytes
    }
}

/// A pair whose ends keep what comes in.
pub(crate) fn keeping(sim: &mut Simulation, options: PairOptions) -> (End, End) {
    pair(sim, options, false)
}

/// A pair whose ends take what comes in.
pub(crate) fn taking(sim: &mut Simulation, options: PairOptions) -> (End, End) {
    pair(sim, options, true)
}

fn pair(sim: &mut Simulation, options: PairOptions, takes: bool) -> (End, End) {
    let [(a, log_a), (b, log_b)] = [(); 2].map(|()| Noting::new(takes));
    let (a, b) = sim.core().pair(options, a, b);
    (End { id: a, log: log_a }, End { id: b, log: log_b })
}

/// The ends of a connection of the core to itself, which take what comes in: the one that asked for
/// it, and the one that was accepted. Neither has been called for anything yet.
pub(crate) fn taking_sockets(sim: &mut Simulation) -> (End, End) {
    let [(a, log_a), (b, log_b)] = [(); 2].map(|()| Noting::new(true));
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
    for _ in 0..most {
        let before = sim.core().stats();
        sim.run_for(std::time::Duration::from_millis(1));
        let after = sim.core().stats();
        if after.callbacks == before.callbacks && after.pair_ends == before.pair_ends {
            return;
        }
    }
    panic!("still moving after {most} turns");
}
