//! A whole echo server in simulated worlds: every byte comes back once and in order, or the
//! connection ends visibly; and nothing stays behind in the core.

mod rig;

use std::fmt;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rand::rngs::Xoshiro256PlusPlus;
use rand::{Rng, RngExt, SeedableRng};
use rig::Echo;
use rig::sim::{ADDR, LIMIT, listen};
use sluicegate::sim::{DEFAULT_BUFFER_BYTES, Faults, Peer, Simulation};
use sluicegate::{BevId, BevMut, Context, Event, EventFlags, Handler, ListenOptions, Shutdown};

fn echo(sim: &mut Simulation) -> SocketAddr {
    listen(sim, |_| {})
}

/// How a client means to end.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Plan {
    /// Sends all, half-closes, reads to the end.
    Finish,
    /// Resets half-way.
    Reset,
    /// Closes half-way, with bytes of the echo still to come.
    Leave,
}

struct Client {
    peer: Peer,
    plan: Plan,
    payload: Vec<u8>,
    sent: usize,
    echoed: usize,
    over: bool,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { peer, plan, payload, sent, echoed, .. } = self;
        write!(f, "{peer:?}, plan {plan:?}: {echoed} echoed, {sent} sent of {}", payload.len())
    }
}

impl Client {
    fn new(sim: &mut Simulation, addr: SocketAddr, dice: &mut Xoshiro256PlusPlus) -> Self {
        let mut payload = vec![0; dice.random_range(0..200_000)];
        dice.fill_bytes(&mut payload);
        let plan = match dice.random_range(0..10) {
            0 => Plan::Reset,
            1 => Plan::Leave,
            _ => Plan::Finish,
        };
        let peer = sim.connect(addr).expect("the server listens");
        Self { peer, plan, payload, sent: 0, echoed: 0, over: false }
    }

    /// Writes and reads what it can; checks what came back.
    fn step(&mut self, sim: &mut Simulation, dice: &mut Xoshiro256PlusPlus, seed: u64) {
        if self.over {
            return;
        }
        let bytes = sim.read(self.peer);
        let expected = self.payload[..self.sent].get(self.echoed..self.echoed + bytes.len());
        assert_eq!(Some(&bytes[..]), expected, "seed {seed}: lost, doubled or out of order");
        self.echoed += bytes.len();
        if sim.is_reset(self.peer) {
            self.over = true;
            return sim.close(self.peer);
        }
        if sim.is_eof(self.peer) {
            assert_eq!(self.echoed, self.payload.len(), "seed {seed}: an early end, {self:?}");
            self.over = true;
            return sim.close(self.peer);
        }
        let half = self.sent > self.payload.len() / 2;
        match self.plan {
            Plan::Reset if half => sim.reset(self.peer),
            Plan::Leave if half => sim.close(self.peer),
            _ => return self.send(sim, dice),
        }
        self.over = true;
    }

    fn send(&mut self, sim: &mut Simulation, dice: &mut Xoshiro256PlusPlus) {
        if self.sent < self.payload.len() {
            let left = &self.payload[self.sent..];
            let want = dice.random_range(1..=left.len().min(50_000));
            self.sent += sim.write(self.peer, &left[..want]);
        }
        if self.sent == self.payload.len() {
            match self.plan {
                Plan::Finish => sim.half_close(self.peer),
                // Too short to have a half-way.
                Plan::Reset | Plan::Leave => {
                    sim.reset(self.peer);
                    self.over = true;
                }
            }
        }
    }
}

/// Runs clients against the echo server until all are over and the core is empty again.
///
/// Returns what can be compared between runs: the figures that do not measure this machine.
fn run(seed: u64, faults: Faults) -> (Vec<usize>, u64, Vec<u64>) {
    let mut dice = Xoshiro256PlusPlus::seed_from_u64(seed);
    let mut sim = Simulation::with_faults(seed, faults);
    sim.set_buffer_bytes(dice.random_range(1..DEFAULT_BUFFER_BYTES));
    let addr = echo(&mut sim);
    let count = dice.random_range(1..20);
    let mut clients: Vec<_> = (0..count).map(|_| Client::new(&mut sim, addr, &mut dice)).collect();
    let over = sim.run_until(LIMIT, |sim| {
        clients.iter_mut().for_each(|client| client.step(sim, &mut dice, seed));
        clients.iter().all(|client| client.over)
    });
    assert!(over, "seed {seed}: stuck: {:?}", clients.iter().find(|client| !client.over));
    let empty = sim.run_until(LIMIT, |sim| sim.core().stats().connections == 0);
    assert!(empty, "seed {seed}: connections are left: {:?}", sim.core().stats());
    let stats = sim.core().stats();
    assert_eq!(stats.handler_panics, 0, "seed {seed}");
    let echoed = clients.iter().map(|client| client.echoed).collect();
    let figures = vec![
        stats.turns,
        stats.reads,
        stats.writes,
        stats.bytes_in,
        stats.bytes_out,
        stats.callbacks,
    ];
    (echoed, sim.now().as_nanos(), figures)
}

#[test]
fn without_faults_every_byte_comes_back() {
    for seed in 0..300 {
        run(seed, Faults::none());
    }
}

#[test]
fn under_harsh_faults_no_byte_is_lost_or_reordered() {
    for seed in 0..200 {
        run(seed, Faults::harsh());
    }
}

#[test]
fn a_seed_is_one_run_and_another_seed_another() {
    let first = run(7, Faults::harsh());
    assert_eq!(first, run(7, Faults::harsh()));
    assert_ne!(first, run(8, Faults::harsh()));
}

#[test]
fn a_peer_that_never_reads_fills_the_output_to_its_bound_and_no_further() {
    const MAX_OUTPUT: usize = 100_000;
    const ONE_READ: usize = 16_384;
    let longest = Arc::new(Mutex::new(0));
    let mut sim = Simulation::new(1);
    let ids = Arc::new(Mutex::new(Vec::new()));
    let made = ids.clone();
    let listen = sim.core().listen(ADDR, ListenOptions::new(), move |conn: &mut BevMut<'_>| {
        conn.set_max_output(MAX_OUTPUT);
        made.lock().expect("no panic while held").push(conn.id());
        Echo
    });
    let peer =
        sim.connect(listen.expect("the address is free").local_addr()).expect("the server listens");
    let mut written = 0;
    sim.run_until(Duration::from_secs(10), |sim| {
        written += sim.write(peer, &[7; 10_000]);
        for &id in ids.lock().expect("no panic while held").iter() {
            let waits = sim.core().get(id).map_or(0, |mut bev| bev.output().len());
            let mut longest = longest.lock().expect("no panic while held");
            *longest = waits.max(*longest);
        }
        false
    });
    let longest = *longest.lock().expect("no panic while held");
    assert!(longest > MAX_OUTPUT, "the bound was reached: {longest}");
    assert!(longest <= MAX_OUTPUT + ONE_READ, "the output grew to {longest}");
    // Both pipes are full too, and then the peer is stopped.
    assert!(written <= MAX_OUTPUT + ONE_READ + 2 * DEFAULT_BUFFER_BYTES, "wrote {written}");

    // Once it reads, everything flows again.
    let mut echoed = 0;
    let all = sim.run_until(LIMIT, |sim| {
        echoed += sim.read(peer).len();
        echoed == written
    });
    assert!(all, "{echoed} of {written} bytes came back");
}

#[test]
fn draining_lets_output_flow_and_then_stops() {
    let mut sim = Simulation::with_faults(3, Faults { reset: 0.0, ..Faults::harsh() });
    let addr = echo(&mut sim);
    let peer = sim.connect(addr).expect("the server listens");
    let idle = sim.connect(addr).expect("the server listens");
    let sent = sim.write(peer, &[7; 60_000]);
    let all_in = sim.run_until(LIMIT, |sim| sim.core().stats().bytes_in == sent as u64);
    assert!(all_in);

    sim.core().handle().shutdown(Shutdown::Drain);
    let mut echoed = 0;
    let over = sim.run_until(LIMIT, |sim| {
        echoed += sim.read(peer).len();
        sim.is_stopped() && sim.is_eof(peer) && sim.is_eof(idle)
    });
    assert!(over, "{sim:?}");
    assert_eq!(echoed, sent);
    assert_eq!(sim.core().stats().cut, 0);
    assert!(sim.connect(addr).is_err(), "a drained core does not listen");
    assert!(sim.core().handle().submit_to(0, |_| {}).is_err(), "a stopped core takes no work");
}

struct Fragile;
impl Handler for Fragile {
    fn on_read(&mut self, cx: &mut Context<'_>) {
        let (mut input, mut output) = cx.buffers();
        assert_ne!(input.first().first(), Some(&b'!'), "told to panic");
        output.append(&mut input);
    }
}

#[test]
fn a_handler_that_panics_takes_only_its_connection_down() {
    let mut sim = Simulation::new(4);
    let addr =
        sim.core().listen(ADDR, ListenOptions::new(), |_| Fragile).expect("free").local_addr();
    let [doomed, other] = [(); 2].map(|()| sim.connect(addr).expect("the server listens"));
    sim.write(doomed, b"!");
    assert!(sim.run_until(LIMIT, |sim| sim.is_eof(doomed) || sim.is_reset(doomed)));
    assert_eq!(sim.core().stats().handler_panics, 1);
    sim.write(other, b"still here");
    let mut echoed = Vec::new();
    assert!(sim.run_until(LIMIT, |sim| {
        echoed.extend(sim.read(other));
        echoed == b"still here"
    }));
    assert_eq!(sim.core().stats().connections, 1);
}

#[test]
fn a_stale_name_finds_nothing_when_its_slot_is_used_again() {
    let faults = Faults { stale_events: 1.0, ..Faults::none() };
    let mut sim = Simulation::with_faults(5, faults);
    let ids: Arc<Mutex<Vec<BevId>>> = Arc::default();
    let made = ids.clone();
    let listen = sim.core().listen(ADDR, ListenOptions::new(), move |conn| {
        made.lock().expect("no panic while held").push(conn.id());
        Echo
    });
    let addr = listen.expect("the address is free").local_addr();
    for round in 0..20 {
        let peer = sim.connect(addr).expect("the server listens");
        let accepted = |sim: &mut Simulation| sim.core().stats().accepted == round + 1;
        assert!(sim.run_until(LIMIT, accepted));
        let ids = ids.lock().expect("no panic while held").clone();
        let (&newest, stale) = ids.split_last().expect("one was accepted");
        assert!(sim.core().get(newest).is_some());
        assert!(stale.iter().all(|&id| sim.core().get(id).is_none()), "round {round}");
        sim.close(peer);
        assert!(sim.run_until(LIMIT, |sim| sim.core().stats().connections == 0));
        assert!(sim.core().get(newest).is_none());
    }
}

#[test]
fn accepting_recovers_when_descriptors_are_there_again() {
    let mut sim = Simulation::with_faults(6, Faults { accept_errors: 1.0, ..Faults::none() });
    let addr = echo(&mut sim);
    let peer = sim.connect(addr).expect("the server listens");
    sim.write(peer, b"patience");
    sim.run_for(Duration::from_secs(1));
    let stats = sim.core().stats();
    assert_eq!(stats.accepted, 0);
    assert!(stats.accept_backoffs > 0);
    assert!(stats.accept_backoffs <= 11, "one try each 100 ms, not {}", stats.accept_backoffs);

    sim.set_faults(Faults::none());
    let mut echoed = Vec::new();
    let recovered = sim.run_until(Duration::from_millis(200), |sim| {
        echoed.extend(sim.read(peer));
        echoed == b"patience"
    });
    assert!(recovered, "no edge comes for who already waits, so the core must remember");
}

/// Sends a greeting when connected and remembers how it ended.
struct Caller(Arc<Mutex<Vec<String>>>);
impl Handler for Caller {
    fn on_event(&mut self, cx: &mut Context<'_>, event: Event) {
        let mut log = self.0.lock().expect("no panic while held");
        if event.flags.contains(EventFlags::CONNECTED) {
            log.push(String::from("connected"));
        } else {
            log.push(
                event.error.map_or_else(|| String::from("end"), |error| error.kind().to_string()),
            );
            cx.me().close();
        }
    }
}

#[test]
fn the_core_connects_to_peers_to_itself_and_to_nobody() {
    let mut sim = Simulation::with_faults(8, Faults { reset: 0.0, ..Faults::harsh() });
    let log: Arc<Mutex<Vec<String>>> = Arc::default();
    let peer_addr = sim.listen("10.0.0.2:1".parse().expect("valid")).expect("free");
    let id = sim.core().connect(peer_addr, Caller(log.clone())).expect("simulated");
    sim.core().get(id).expect("just made").output().add(b"hello");
    let mut peer = None;
    assert!(sim.run_until(LIMIT, |sim| {
        peer = sim.accept(peer_addr);
        peer.is_some()
    }));
    let peer = peer.expect("accepted");
    let mut greeting = Vec::new();
    assert!(sim.run_until(LIMIT, |sim| {
        greeting.extend(sim.read(peer));
        greeting == b"hello"
    }));
    sim.close(peer);
    assert!(sim.run_until(LIMIT, |sim| sim.core().stats().connections == 0));
    assert_eq!(std::mem::take(&mut *log.lock().expect("free")), ["connected", "end"]);

    let nobody = "10.0.0.3:1".parse().expect("valid");
    sim.core().connect(nobody, Caller(log.clone())).expect("refused later");
    assert!(sim.run_until(LIMIT, |sim| sim.core().stats().connections == 0));
    assert_eq!(std::mem::take(&mut *log.lock().expect("free")), ["connection refused"]);

    let own = echo(&mut sim);
    let id = sim.core().connect(own, Caller(log.clone())).expect("simulated");
    sim.core().get(id).expect("just made").output().add(&[7; 200_000]);
    assert!(sim.run_until(LIMIT, |sim| {
        sim.core().get(id).is_some_and(|mut bev| bev.input().len() == 200_000)
    }));
}
