//! Accept modes in virtual time: where connections go, in every mode, on several cores; how even
//! that is while they come and go; and that none is lost on its way, whatever happens there.

mod rig;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use rig::Echo;
use rig::sim::{ADDR, LIMIT, ms};
use sluicegate::sim::{Faults, Peer, Simulation};
use sluicegate::{
    AcceptMode, BevMut, Context, CoreStats, Dispatch, Error, Handler, ListenError, ListenOptions,
    Listener, Shutdown,
};

const BALANCED: AcceptMode = AcceptMode::Balanced { slack: None };

fn single(by: Dispatch) -> AcceptMode {
    AcceptMode::Single { acceptor: 1, by }
}

fn accept(mode: AcceptMode) -> ListenOptions {
    ListenOptions::new().accept(mode)
}

/// Listens for all cores, with echoes.
fn listen(sim: &mut Simulation, options: ListenOptions) -> Listener {
    sim.listen_with(ADDR, options, |_| Echo).expect("the address is free")
}

fn stats(sim: &mut Simulation) -> Vec<CoreStats> {
    sim.core().handle().stats()
}

fn sum(sim: &mut Simulation, figure: impl Fn(&CoreStats) -> u64) -> u64 {
    stats(sim).iter().map(figure).sum()
}

/// Connects peers that have said hello.
fn greet(sim: &mut Simulation, addr: SocketAddr, count: usize) -> Vec<Peer> {
    let one = |_| {
        let peer = sim.connect(addr).expect("somebody listens");
        assert_eq!(sim.write(peer, b"hello"), 5);
        peer
    };
    (0..count).map(one).collect()
}

/// Lets the peers read until `count` of them have been answered; returns which.
fn answered(sim: &mut Simulation, peers: &[Peer], count: usize) -> Vec<Peer> {
    let mut got = vec![0; peers.len()];
    let mut served = Vec::new();
    let all = sim.run_until(LIMIT, |sim| {
        for (&peer, got) in peers.iter().zip(&mut got) {
            *got += sim.read(peer).len();
            if *got == 5 && !served.contains(&peer) {
                served.push(peer);
            }
        }
        served.len() >= count
    });
    assert!(all, "{} of {count} are served", served.len());
    served
}

/// Connects peers one after another, each served before the next comes.
fn serve(sim: &mut Simulation, addr: SocketAddr, count: usize) -> Vec<Peer> {
    let one = |_| {
        let peer = greet(sim, addr, 1);
        answered(sim, &peer, 1)[0]
    };
    (0..count).map(one).collect()
}

/// Serves some peers on three cores, and returns how many live on each.
fn spread(mode: AcceptMode, count: usize, acceptors: &[usize]) -> Vec<u64> {
    let mut sim = Simulation::with_cores(3, 7, Faults::none());
    let listener = listen(&mut sim, accept(mode));
    let peers = serve(&mut sim, listener.local_addr(), count);
    let seen = stats(&mut sim);
    let live: Vec<_> = seen.iter().map(|core| core.connections).collect();
    assert_eq!(live.iter().sum::<u64>(), count as u64, "{mode}");
    let accepting: Vec<_> = (0..3).filter(|&core| seen[core].accepted > 0).collect();
    assert_eq!(accepting, acceptors, "{mode}");
    for core in &seen {
        assert_eq!(core.accepted, core.accepts_kept + core.accepts_handed_over, "{mode}");
        assert_eq!(core.connections, core.accepts_kept + core.accepts_received, "{mode}");
    }
    peers.iter().for_each(|&peer| sim.close(peer));
    sim.run_for(ms(10));
    assert_eq!(sum(&mut sim, |core| core.connections), 0, "{mode}");
    listener.close();
    sim.run_for(ms(1));
    assert_eq!(sim.held().slots, 0, "{mode}");
    assert!(sim.connect(listener.local_addr()).is_err(), "{mode}");
    live
}

#[test]
fn every_mode_serves_on_the_cores_it_should() {
    assert_eq!(spread(AcceptMode::Balanced { slack: Some(0) }, 30, &[0, 1, 2]), [10, 10, 10]);
    assert_eq!(spread(single(Dispatch::LeastLoaded), 30, &[1]), [10, 10, 10]);
    assert_eq!(spread(single(Dispatch::RoundRobin), 30, &[1]), [10, 10, 10]);
    assert_eq!(spread(AcceptMode::Fixed(2), 30, &[2]), [0, 0, 30]);
    let by_chance = spread(AcceptMode::ReusePort, 60, &[0, 1, 2]);
    assert!(by_chance.iter().all(|&live| live > 8) && by_chance != [20; 3], "{by_chance:?}");
    // Every simulated peer has an address of its own.
    let by_hash = spread(single(Dispatch::HashPeer), 60, &[1]);
    assert!(by_hash.iter().all(|&live| live > 8) && by_hash != [20; 3], "{by_hash:?}");
}

#[test]
fn the_default_is_balanced() {
    let mut sim = Simulation::with_cores(2, 3, Faults::none());
    let addr = listen(&mut sim, ListenOptions::new()).local_addr();
    for _ in 0..100 {
        serve(&mut sim, addr, 1);
        let live: Vec<_> = stats(&mut sim).iter().map(|core| core.connections).collect();
        assert!(live[0].abs_diff(live[1]) <= 2, "{live:?}");
    }
    assert!(sum(&mut sim, |core| core.accepts_handed_over) < 50, "most stay where they come");
}

/// A hundred connections that stay and ten thousand a second that do not; returns by how much the
/// live connections of two cores differ over the time, as a part of the more loaded core's.
fn unevenness(mode: AcceptMode, seed: u64) -> f64 {
    const LONG: usize = 100;
    const ARRIVAL: Duration = Duration::from_micros(100);
    const WARM_UP: usize = 5_000;
    const MEASURED: usize = 5_000;
    let mut sim = Simulation::with_cores(2, seed, Faults::none());
    let addr = listen(&mut sim, accept(mode)).local_addr();
    let mut short = VecDeque::new();
    let mut total = [0, 0];
    for step in 0..WARM_UP + MEASURED {
        if step % (WARM_UP / LONG) == 0 && step < WARM_UP {
            greet(&mut sim, addr, 1);
        }
        short.extend(greet(&mut sim, addr, 1));
        // They live for 1 to 8 ms, so about 50 of them at any moment.
        while short.len() > 10 + step * 7 % 71 {
            let peer = short.pop_front().expect("it is not empty");
            sim.read(peer);
            sim.close(peer);
        }
        sim.run_for(ARRIVAL);
        if step >= WARM_UP {
            let live = [0, 1].map(|core| sim.core_at(core).stats().connections);
            total = [total[0] + live[0], total[1] + live[1]];
        }
    }
    total[0].abs_diff(total[1]) as f64 / total[0].max(total[1]) as f64
}

#[test]
fn balanced_cores_stay_even_while_connections_come_and_go() {
    const SEED: u64 = 1;
    let balanced = unevenness(BALANCED, SEED);
    let by_chance = unevenness(AcceptMode::ReusePort, SEED);
    assert!(balanced <= 0.05, "seed {SEED}: {balanced}");
    assert!(balanced < by_chance, "seed {SEED}: {balanced} and {by_chance}");
}

/// Counts how many of its kind live at once on each core.
struct Counted(Arc<Live>, usize);

#[derive(Default)]
struct Live {
    now: [AtomicUsize; 3],
    most: AtomicUsize,
    made: AtomicUsize,
}

impl Counted {
    fn new(live: &Arc<Live>, conn: &mut BevMut<'_>) -> Self {
        let core = conn.id().core();
        let now = live.now[core].fetch_add(1, Ordering::Relaxed) + 1;
        live.most.fetch_max(now, Ordering::Relaxed);
        live.made.fetch_add(1, Ordering::Relaxed);
        Self(live.clone(), core)
    }
}

impl Handler for Counted {
    fn on_read(&mut self, cx: &mut Context<'_>) {
        Echo.on_read(cx);
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.now[self.1].fetch_sub(1, Ordering::Relaxed);
    }
}

const HANDING: [AcceptMode; 4] = [
    BALANCED,
    AcceptMode::Single { acceptor: 1, by: Dispatch::LeastLoaded },
    AcceptMode::Single { acceptor: 1, by: Dispatch::RoundRobin },
    AcceptMode::Single { acceptor: 1, by: Dispatch::HashPeer },
];

#[test]
fn a_limit_of_connections_holds_wherever_they_go_and_nobody_waits_in_vain() {
    for (seed, mode) in (0..5).flat_map(|seed| HANDING.map(|mode| (seed, mode))) {
        let faults = Faults { reset: 0.0, ..Faults::harsh() };
        let mut sim = Simulation::with_cores(3, seed, faults);
        let live = Arc::new(Live::default());
        let seen = live.clone();
        let options = accept(mode).max_connections(2);
        let listener = sim.listen_with(ADDR, options, move |conn| Counted::new(&seen, conn));
        let addr = listener.expect("the address is free").local_addr();
        let mut waiting = greet(&mut sim, addr, 20);
        while !waiting.is_empty() {
            let served = answered(&mut sim, &waiting, waiting.len().min(6));
            waiting.retain(|peer| !served.contains(peer));
            served.iter().for_each(|&peer| sim.close(peer));
        }
        assert_eq!(live.most.load(Ordering::Relaxed), 2, "seed {seed}, {mode}");
        assert_eq!(live.made.load(Ordering::Relaxed), 20, "seed {seed}, {mode}");
    }
}

#[test]
fn at_the_limit_of_all_cores_nothing_turns() {
    for mode in HANDING {
        let mut sim = Simulation::with_cores(3, 1, Faults::none());
        let addr = listen(&mut sim, accept(mode).max_connections(1)).local_addr();
        let peers = greet(&mut sim, addr, 9);
        answered(&mut sim, &peers, 3);
        sim.run_for(ms(100));
        let before = sum(&mut sim, |core| core.turns);
        sim.run_for(Duration::from_secs(30));
        let turns = sum(&mut sim, |core| core.turns) - before;
        assert!(turns < 20, "{mode}: {turns} turns with nothing to do");
    }
}

#[test]
fn whoever_was_accepted_when_a_drain_begins_is_served_or_reported() {
    for (seed, mode) in (0..40).flat_map(|seed| HANDING.map(|mode| (seed, mode))) {
        let mut sim = Simulation::with_cores(3, seed, Faults::none());
        let live = Arc::new(Live::default());
        let seen = live.clone();
        // With a limit too, so that one may wait in the hands of its listener.
        let options = if seed % 2 == 0 { accept(mode) } else { accept(mode).max_connections(4) };
        let listener = sim.listen_with(ADDR, options, move |conn| Counted::new(&seen, conn));
        let addr = listener.expect("the address is free").local_addr();
        let peers = greet(&mut sim, addr, 16);
        sim.run_for(Duration::from_micros(40 + seed));
        (0..seed % 5).for_each(|_| sim.turn());
        sim.core().handle().shutdown(Shutdown::Drain);
        assert!(sim.run_until(LIMIT, |sim| sim.is_stopped()), "seed {seed}, {mode}");
        sim.run_for(ms(10));
        let all = stats(&mut sim);
        let sum = |figure: fn(&CoreStats) -> u64| all.iter().map(figure).sum::<u64>();
        let accepted = sum(|core| core.accepted);
        let made = live.made.load(Ordering::Relaxed) as u64;
        assert_eq!(made, accepted, "seed {seed}, {mode}: a factory for each");
        assert_eq!(sum(|core| core.accepts_handed_over), sum(|core| core.accepts_received));
        assert_eq!(sum(|core| core.drained + core.cut), accepted, "seed {seed}, {mode}");
        for &peer in &peers {
            sim.read(peer);
            assert!(sim.is_eof(peer) || sim.is_reset(peer), "seed {seed}, {mode}: {peer:?} hangs");
        }
    }
}

#[test]
fn told_to_end_at_once_cores_report_whoever_was_on_the_way_as_cut() {
    for seed in 0..40 {
        let mut sim = Simulation::with_cores(3, seed, Faults::none());
        let addr = listen(&mut sim, accept(single(Dispatch::RoundRobin))).local_addr();
        greet(&mut sim, addr, 16);
        sim.run_for(Duration::from_micros(45 + seed));
        sim.core().handle().shutdown(Shutdown::Now);
        assert!(sim.run_until(LIMIT, |sim| sim.is_stopped()), "seed {seed}");
        let all = stats(&mut sim);
        let sum = |figure: fn(&CoreStats) -> u64| all.iter().map(figure).sum::<u64>();
        assert_eq!(sum(|core| core.drained + core.cut), sum(|core| core.accepted), "seed {seed}");
    }
}

/// What a factory does to its listener.
type Act = fn(&Listener);

/// Five wait; the factory of the second acts. Returns how many were accepted, and the rest.
fn acting(sim: &mut Simulation, options: ListenOptions, act: Act) -> (Listener, Vec<Peer>) {
    let slot: Arc<OnceLock<Listener>> = Arc::default();
    let (own, made) = (slot.clone(), AtomicUsize::new(0));
    let factory = move |_: &mut BevMut<'_>| {
        if made.fetch_add(1, Ordering::Relaxed) == 1 {
            act(own.get().expect("it was set before anybody came"));
        }
        Echo
    };
    let listener = sim.listen_with(ADDR, options, factory).expect("the address is free");
    slot.set(listener.clone()).expect("only once");
    let peers = greet(sim, listener.local_addr(), 5);
    answered(sim, &peers, 2);
    sim.run_for(ms(10));
    assert_eq!(sum(sim, |core| core.accepted), 2, "no other was accepted in the same batch");
    (listener, peers)
}

#[test]
fn a_factory_may_disable_its_listener_at_once_and_anybody_enable_it() {
    for cores in [1, 2] {
        let mut sim = Simulation::with_cores(cores, 1, Faults::none());
        let options = accept(AcceptMode::Fixed(cores - 1));
        let (listener, peers) = acting(&mut sim, options, Listener::disable);
        assert!(!listener.is_enabled());
        sim.run_for(ms(100));
        assert!(peers[2..].iter().all(|&peer| sim.read(peer).is_empty()), "they wait");
        listener.enable();
        assert!(listener.is_enabled());
        answered(&mut sim, &peers[2..], 3);
        serve(&mut sim, listener.local_addr(), 3);
    }
}

#[test]
fn a_factory_may_close_its_listener_at_once_and_for_good() {
    let mut sim = Simulation::with_cores(2, 1, Faults::none());
    let (listener, peers) = acting(&mut sim, accept(AcceptMode::Fixed(1)), Listener::close);
    assert!(peers[2..].iter().all(|&peer| sim.is_reset(peer)), "the kernel resets who waited");
    assert!(!sim.is_reset(peers[0]) && !sim.is_reset(peers[1]), "who was accepted lives on");
    assert!(sim.connect(listener.local_addr()).is_err());
    listener.enable();
    assert!(!listener.is_enabled(), "it stays closed");
    assert_eq!(sim.held().slots, 2);
}

#[test]
fn a_listener_may_begin_disabled() {
    for mode in HANDING {
        let mut sim = Simulation::with_cores(3, 1, Faults::none());
        let listener = listen(&mut sim, accept(mode).disabled());
        let peers = greet(&mut sim, listener.local_addr(), 4);
        sim.run_for(ms(100));
        assert_eq!(sum(&mut sim, |core| core.accepted), 0, "{mode}");
        listener.enable();
        answered(&mut sim, &peers, 4);
        sim.run_for(ms(100));
        let failed =
            |sim: &mut Simulation| sum(sim, |core| core.accept_errors + core.accept_backoffs);
        assert_eq!(failed(&mut sim), 0, "{mode}: cores without a socket do not try");
        sim.core().handle().shutdown(Shutdown::Drain);
        sim.run_for(ms(100));
        assert_eq!(failed(&mut sim), 0, "{mode}: not for the last time either");
    }
}

#[test]
fn an_accept_that_fails_is_told_and_another_tried_after_a_rest() {
    let mut sim = Simulation::with_faults(1, Faults { accept_errors: 1.0, ..Faults::none() });
    let listener = listen(&mut sim, ListenOptions::new());
    let told = Arc::new(Mutex::new(Vec::new()));
    let log = told.clone();
    listener.on_error(move |core, error| {
        log.lock().expect("no panic while held").push((core.now(), error.to_string()));
    });
    let peers = greet(&mut sim, listener.local_addr(), 1);
    sim.run_for(ms(50));
    // That there is room, or that it is wanted, gives it no descriptor.
    listener.disable();
    listener.enable();
    sim.run_for(ms(300));
    let seen = told.lock().expect("no panic while held").clone();
    assert_eq!(seen.len(), 4, "at once, and every 100 ms");
    assert!(seen[0].1.contains("os error 24"), "{seen:?}");
    assert!(seen.windows(2).all(|two| two[1].0.saturating_since(two[0].0) >= ms(100)), "{seen:?}");
    assert_eq!(sum(&mut sim, |core| core.accept_backoffs), 4);
    listener.on_error(|_, _| panic!("a handler of errors may fail too"));
    sim.run_for(ms(100));
    assert_eq!(sum(&mut sim, |core| core.handler_panics), 1);
    sim.set_faults(Faults::none());
    answered(&mut sim, &peers, 1);
}

#[test]
fn a_connection_that_cannot_be_waited_for_is_lost_and_who_accepts_rests() {
    for (mode, room) in [(AcceptMode::Fixed(1), 1), (single(Dispatch::RoundRobin), 3)] {
        let faults = Faults { register_errors: 1.0, ..Faults::none() };
        let mut sim = Simulation::with_cores(3, 1, faults);
        let listener = listen(&mut sim, accept(mode).max_connections(1));
        let told = Arc::new(Mutex::new(Vec::new()));
        let log = told.clone();
        listener.on_error(move |core, error| {
            log.lock().expect("no panic while held").push((core.index(), error.to_string()));
        });
        let lost = greet(&mut sim, listener.local_addr(), 1);
        sim.run_for(ms(50));
        assert!(sim.is_eof(lost[0]) || sim.is_reset(lost[0]), "{mode}");
        let others = greet(&mut sim, listener.local_addr(), room);
        sim.run_for(ms(40));
        let figures = |core: &CoreStats| [core.accepted, core.accept_errors, core.accept_backoffs];
        let sums = [0, 1, 2].map(|at| sum(&mut sim, |core| figures(core)[at]));
        assert_eq!(sums, [1, 1, 1], "{mode}: one is lost, and then there is a rest");
        let seen = told.lock().expect("no panic while held").clone();
        assert!(matches!(&seen[..], [(1, text)] if text.contains("os error 28")), "{seen:?}");
        sim.set_faults(Faults::none());
        answered(&mut sim, &others, room);
        assert_eq!(
            sum(&mut sim, |core| core.connections),
            room as u64,
            "the lost one left a place"
        );
    }
}

#[test]
fn a_mode_that_does_not_fit_is_an_error_that_names_it() {
    let mut sim = Simulation::with_cores(2, 1, Faults::none());
    for (mode, core) in [
        (AcceptMode::Fixed(2), 2),
        (AcceptMode::Single { acceptor: 9, by: Dispatch::RoundRobin }, 9),
    ] {
        let error = sim.listen_with(ADDR, accept(mode), |_| Echo).expect_err("no such core");
        assert!(
            matches!(error, Error::Listen(ListenError::NoSuchCore { core: c, cores: 2, .. }) if c == core)
        );
        assert!(error.to_string().contains(&format!("`{mode}` names core {core}")), "{error}");
    }
    let error = sim.core().listen(ADDR, accept(BALANCED), |_| Echo).expect_err("one core");
    assert!(matches!(error, Error::Listen(ListenError::OneCore { mode: BALANCED })), "{error:?}");
    let new = ListenOptions::new;
    for (none, expected) in [
        (new().backlog(0), ListenError::NoBacklog),
        (new().accept_batch(0), ListenError::NoBatch),
        (new().max_connections(0), ListenError::NoConnections),
    ] {
        for error in [
            sim.listen_with(ADDR, none.clone(), |_| Echo).expect_err("nobody is accepted"),
            sim.core().listen(ADDR, none, |_| Echo).expect_err("nobody is accepted"),
        ] {
            let Error::Listen(found) = &error else { panic!("{error:?}") };
            assert_eq!(*found, expected);
            assert!(error.to_string().contains("ask for 1 or more"), "{error}");
        }
    }
    assert_eq!(sim.held().slots, 0);
}
