//! Limits and timeouts of a whole server in virtual time: the bound holds in every window, nothing
//! is wasted, members share fairly, and a timeout blames the peer only for what the peer does.

mod rig;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rig::audit::{burst, jain, worst_excess};
use rig::log::Log;
use rig::sim::{ADDR, LIMIT, connect, listen, per_second, saturate};
use sluicegate::sim::{Faults, Simulation};
use sluicegate::{
    BevMut, Context, Direction, Event, EventFlags, Group, Handler, ListenOptions, MeteredOperation,
    Time,
};

#[test]
fn a_group_holds_its_bound_in_every_window_wastes_nothing_and_is_fair() {
    const RATE: u64 = 10_000_000;
    const SPAN: Duration = Duration::from_secs(10);
    for seed in 0..3 {
        let mut sim = Simulation::new(seed);
        let config = per_second(RATE);
        let burst = burst(&config);
        let group = Group::builder(config).clock(sim.clock()).build().expect("valid");
        let log = Log::default();
        sim.observe(log.clone());
        let addr = listen(&mut sim, move |conn| conn.join(&group).expect("a seat"));
        let peers = connect(&mut sim, addr, 64);
        let got = saturate(&mut sim, &peers, SPAN);

        let due = (RATE * SPAN.as_secs()) as f64;
        for direction in Direction::ALL {
            let excess = worst_excess(&log.of(direction), RATE, burst);
            assert_eq!(excess, 0, "seed {seed}: {direction:?}");
            let achieved = log.bytes(direction) as f64 / due;
            assert!(achieved >= 0.99, "seed {seed}: {direction:?} achieved {achieved}");
        }
        assert!(jain(&got) >= 0.999, "seed {seed}: shares {got:?}");
    }
}

#[test]
fn a_group_holds_its_bound_under_harsh_faults() {
    const RATE: u64 = 2_000_000;
    const SPAN: Duration = Duration::from_secs(5);
    for seed in 0..10 {
        let faults = Faults { reset: 0.0, ..Faults::harsh() };
        let mut sim = Simulation::with_faults(seed, faults);
        let config = per_second(RATE);
        let burst = burst(&config);
        let group = Group::builder(config).clock(sim.clock()).build().expect("valid");
        let log = Log::default();
        sim.observe(log.clone());
        let addr = listen(&mut sim, move |conn| conn.join(&group).expect("a seat"));
        let peers = connect(&mut sim, addr, 64);
        saturate(&mut sim, &peers, SPAN);
        let due = (RATE * SPAN.as_secs()) as f64;
        for direction in Direction::ALL {
            let excess = worst_excess(&log.of(direction), RATE, burst);
            assert_eq!(excess, 0, "seed {seed}: {direction:?}");
            let achieved = log.bytes(direction) as f64 / due;
            assert!(achieved >= 0.99, "seed {seed}: {direction:?} achieved {achieved}");
        }
    }
}

#[test]
fn a_group_that_was_quiet_may_burst_and_no_further() {
    const RATE: u64 = 10_000_000;
    let mut sim = Simulation::new(5);
    let config = per_second(RATE);
    let burst = burst(&config);
    let group = Group::builder(config).clock(sim.clock()).build().expect("valid");
    let usable = group.usable_burst(Direction::Read);
    let log = Log::default();
    sim.observe(log.clone());
    let addr = listen(&mut sim, move |conn| conn.join(&group).expect("a seat"));
    let peers = connect(&mut sim, addr, 64);
    for _ in 0..5 {
        sim.run_for(Duration::from_secs(2));
        let before = log.bytes(Direction::Read);
        saturate(&mut sim, &peers, Duration::from_millis(20));
        let moved = log.bytes(Direction::Read) - before;
        assert!(moved >= usable, "moved {moved} of a burst of {usable}");
    }
    for direction in Direction::ALL {
        assert_eq!(worst_excess(&log.of(direction), RATE, burst), 0, "{direction:?}");
    }
}

#[test]
fn the_window_check_catches_one_byte_too_many() {
    let operation = |after: u64, bytes| MeteredOperation {
        before: Time::from_nanos(after),
        after: Time::from_nanos(after),
        bytes,
        direction: Direction::Read,
        bev: any_id(),
        group: None,
    };
    let second = 1_000_000_000;
    let operations = |bytes| [operation(0, 150), operation(second, 50), operation(second, bytes)];
    assert_eq!(worst_excess(&operations(50), 100, 150), 0);
    assert_eq!(worst_excess(&operations(51), 100, 150), 1);
}

/// Some connection's name; only a core makes them.
fn any_id() -> sluicegate::BevId {
    let mut sim = Simulation::new(0);
    let addr = sim.listen(ADDR.parse().expect("valid")).expect("free");
    sim.core().connect(addr, ()).expect("simulated")
}

#[test]
fn an_own_limit_holds_its_bound_and_wastes_nothing() {
    const RATE: u64 = 1_000_000;
    let mut sim = Simulation::new(2);
    let log = Log::default();
    sim.observe(log.clone());
    let addr = listen(&mut sim, |conn| conn.set_rate_limit(Some(per_second(RATE))));
    let peers = connect(&mut sim, addr, 1);
    saturate(&mut sim, &peers, Duration::from_secs(10));
    let burst = burst(&per_second(RATE));
    for direction in Direction::ALL {
        assert_eq!(worst_excess(&log.of(direction), RATE, burst), 0, "{direction:?}");
        let achieved = log.bytes(direction) as f64 / (10 * RATE) as f64;
        assert!(achieved >= 0.99, "{direction:?} achieved {achieved}");
    }
}

/// Echoes, and notes when it timed out.
struct Watched(Arc<Mutex<Vec<Time>>>);
impl Handler for Watched {
    fn on_read(&mut self, cx: &mut Context<'_>) {
        let (mut input, mut output) = cx.buffers();
        output.append(&mut input);
    }

    fn on_event(&mut self, cx: &mut Context<'_>, event: Event) {
        if event.flags == EventFlags::READING | EventFlags::TIMEOUT {
            self.0.lock().expect("no panic while held").push(cx.now());
        }
        cx.me().close();
    }
}

fn listen_watched(
    sim: &mut Simulation,
    setup: impl Fn(&mut BevMut<'_>) + Send + Sync + 'static,
) -> (SocketAddr, Arc<Mutex<Vec<Time>>>) {
    let timeouts: Arc<Mutex<Vec<Time>>> = Arc::default();
    let noted = timeouts.clone();
    let factory = move |conn: &mut BevMut<'_>| {
        setup(conn);
        Watched(noted.clone())
    };
    let addr = sim.core().listen(ADDR, ListenOptions::new(), factory).expect("free").local_addr();
    (addr, timeouts)
}

#[test]
fn a_silent_peer_times_out_when_its_time_is_over_and_not_before() {
    const TIMEOUT: Duration = Duration::from_secs(20);
    let mut sim = Simulation::new(3);
    let (addr, timeouts) = listen_watched(&mut sim, |conn| {
        conn.set_timeout(Direction::Read, Some(TIMEOUT));
    });
    let peer = sim.connect(addr).expect("the server listens");
    sim.run_for(Duration::from_secs(15));
    sim.write(peer, b"still here");
    let spoke = sim.now();
    assert!(sim.run_until(LIMIT, |sim| {
        sim.read(peer);
        sim.is_eof(peer)
    }));
    let timeouts = timeouts.lock().expect("no panic while held");
    let [at] = timeouts[..] else { panic!("one timeout, not {timeouts:?}") };
    let waited = at.saturating_since(spoke);
    assert!(waited >= TIMEOUT, "{waited:?}");
    assert!(waited <= TIMEOUT + Duration::from_millis(3), "{waited:?}");
    assert_eq!(sim.core().stats().excused_timeouts, 0);
}

#[test]
fn a_timeout_is_excused_while_the_stream_waits_for_tokens_of_ours() {
    // A hundred peers share what lets one of them move every few seconds.
    const TIMEOUT: Duration = Duration::from_millis(50);
    let mut sim = Simulation::new(4);
    let config = per_second(10_000).with_burst(2_000).expect("valid");
    let group = Group::builder(config).clock(sim.clock()).seats(1).build().expect("valid");
    let (addr, timeouts) = listen_watched(&mut sim, move |conn| {
        conn.join(&group).expect("a seat");
        conn.set_timeout(Direction::Read, Some(TIMEOUT));
    });
    let peers = connect(&mut sim, addr, 100);
    let got = saturate(&mut sim, &peers, Duration::from_secs(20));
    assert!(sim.core().stats().excused_timeouts > 0);
    assert_eq!(timeouts.lock().expect("no panic while held").len(), 0, "nobody was to blame");
    assert!(got.iter().all(|&bytes| bytes > 0), "all were served: {got:?}");
}
