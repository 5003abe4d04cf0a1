//! What the tests in virtual time share: one simulated server, and peers that send and read.
//!
//! Owns the listening, the connecting and the steady load; a [`World`] adds the names of what was
//! accepted, so that a test reaches a connection from both ends. Decides nothing about what is
//! tested.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sluicegate::sim::{Faults, Peer, Simulation};
use sluicegate::{
    BevId, BevMut, Clock, Context, Group, GroupBuilder, Handler, ListenOptions, Rate,
    TokenBucketConfig,
};

use super::Echo;

/// Where simulated servers listen.
pub(crate) const ADDR: &str = "10.0.0.1:7777";

/// Virtual time within which whatever a test waits for must have come.
pub(crate) const LIMIT: Duration = Duration::from_secs(300);

pub(crate) fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// A limit of so many bytes a second both ways.
pub(crate) fn per_second(bytes: u64) -> TokenBucketConfig {
    TokenBucketConfig::per_second(Rate::bytes_per_second(bytes).expect("a valid rate"))
}

/// A limit of so many bytes a tick both ways.
pub(crate) fn per_tick(rate: u64, burst: u64, tick: Duration) -> TokenBucketConfig {
    TokenBucketConfig::new(rate, burst, rate, burst, Some(tick)).expect("valid numbers")
}

/// Listens with an echo that `setup` prepares.
pub(crate) fn listen(
    sim: &mut Simulation,
    setup: impl Fn(&mut BevMut<'_>) + Send + Sync + 'static,
) -> SocketAddr {
    let factory = move |conn: &mut BevMut<'_>| {
        setup(conn);
        Echo
    };
    sim.core()
        .listen(ADDR, ListenOptions::new(), factory)
        .expect("the address is free")
        .local_addr()
}

pub(crate) fn connect(sim: &mut Simulation, addr: SocketAddr, count: usize) -> Vec<Peer> {
    (0..count).map(|_| sim.connect(addr).expect("the server listens")).collect()
}

/// Peers that send all they can and read all they get; returns what each got in `span`.
pub(crate) fn saturate(sim: &mut Simulation, peers: &[Peer], span: Duration) -> Vec<u64> {
    const STEP: Duration = Duration::from_millis(1);
    let mut got = vec![0; peers.len()];
    let until = sim.now() + span;
    while sim.now() < until {
        for (&peer, got) in peers.iter().zip(&mut got) {
            while sim.write(peer, &[7; 4096]) > 0 {}
            *got += sim.read(peer).len() as u64;
        }
        sim.run_for(STEP.min(until.saturating_since(sim.now())));
    }
    got
}

/// Takes what comes and says nothing.
struct Sink;

impl Handler for Sink {
    fn on_read(&mut self, cx: &mut Context<'_>) {
        cx.me().input().drain(usize::MAX);
    }
}

/// A simulated server whose connections take what comes, known by both ends.
pub(crate) struct World {
    pub(crate) sim: Simulation,
    addr: SocketAddr,
    made: Arc<Mutex<Vec<BevId>>>,
}

/// A connection, from the core's end and from the peer's.
#[derive(Clone, Copy)]
pub(crate) struct Both {
    pub(crate) id: BevId,
    pub(crate) peer: Peer,
}

impl World {
    pub(crate) fn new(seed: u64) -> Self {
        let mut sim = Simulation::with_faults(seed, Faults::none());
        let made: Arc<Mutex<Vec<BevId>>> = Arc::default();
        let noted = made.clone();
        let factory = move |conn: &mut BevMut<'_>| {
            noted.lock().expect("no panic while held").push(conn.id());
            Sink
        };
        let listener = sim.core().listen(ADDR, ListenOptions::new(), factory);
        let addr = listener.expect("the address is free").local_addr();
        Self { sim, addr, made }
    }

    /// Builds a group on this world's clock.
    pub(crate) fn group(&self, config: TokenBucketConfig) -> Group {
        self.builder(config).build().expect("valid numbers")
    }

    /// Starts building a group on this world's clock.
    pub(crate) fn builder(&self, config: TokenBucketConfig) -> GroupBuilder {
        Group::builder(config).clock(self.clock())
    }

    pub(crate) fn clock(&self) -> Clock {
        self.sim.clock()
    }

    /// Connects a peer and waits until it is accepted.
    pub(crate) fn connect(&mut self) -> Both {
        let peer = self.sim.connect(self.addr).expect("the server listens");
        let made = self.made.clone();
        let last = move || made.lock().expect("no panic while held").last().copied();
        let before = last();
        assert!(self.sim.run_until(LIMIT, |_| last() != before), "nobody was accepted");
        Both { id: last().expect("one was accepted"), peer }
    }

    /// As [`connect`](Self::connect), and makes it a member.
    pub(crate) fn member(&mut self, group: &Group) -> Both {
        let both = self.connect();
        self.bev(both).join(group).expect("a seat");
        both
    }

    pub(crate) fn bev(&mut self, both: Both) -> BevMut<'_> {
        self.sim.core().get(both.id).expect("it is open")
    }

    /// Lets the peers send all they can for a time; returns the bytes the server read.
    pub(crate) fn flood(&mut self, peers: &[Both], span: Duration) -> u64 {
        let before = self.sim.core().stats().bytes_in;
        let peers: Vec<Peer> = peers.iter().map(|both| both.peer).collect();
        saturate(&mut self.sim, &peers, span);
        self.sim.core().stats().bytes_in - before
    }

    /// Gives connections something to write; returns the bytes that their peers have got after a
    /// time.
    pub(crate) fn pour(&mut self, from: &[Both], bytes: usize, span: Duration) -> Vec<usize> {
        for &both in from {
            self.bev(both).output().add(&vec![7; bytes]);
        }
        let mut got = vec![0; from.len()];
        self.sim.run_until(span, |sim| {
            for (both, got) in from.iter().zip(&mut got) {
                *got += sim.read(both.peer).len();
            }
            false
        });
        got
    }
}
