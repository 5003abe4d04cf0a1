//! The figures of cores and groups: each counts what it says, time adds up, and all are exact once
//! a core is quiet.

mod rig;

use std::sync::mpsc;
use std::time::Duration;

use rig::sim::{ADDR, LIMIT};
use rig::{Echo, Server, eventually, receive, round_trip};
use sluicegate::sim::{Faults, Simulation};
use sluicegate::{Clock, Group, ListenOptions, Shutdown, TokenBucketConfig};

fn group(clock: Clock) -> Group {
    let config = TokenBucketConfig::per_second("100kB/s".parse().expect("it is a rate"));
    Group::builder(config).clock(clock).build().expect("the numbers fit")
}

#[test]
fn all_the_time_of_a_core_is_busy_idle_or_spent_looking() {
    let mut sim = Simulation::new(1);
    let began = sim.now();
    sim.core().after(Duration::from_millis(30), |_| ());
    sim.run_for(Duration::from_millis(100));
    let stats = sim.core().stats();
    let spent = stats.busy_ns + stats.idle_ns + stats.spin_ns;
    assert_eq!(u128::from(spent), sim.now().saturating_since(began).as_nanos());
    assert_eq!(stats.idle_ns, spent, "work takes no virtual time");
}

#[test]
fn work_is_busy_time() {
    let server = Server::idle(1);
    let span = Duration::from_millis(5);
    server.on_core(0, move |_| {
        let clock = Clock::process();
        let until = clock.now() + span;
        while clock.now() < until {}
    });
    eventually("its figures are out", || {
        u128::from(server.handle.stats()[0].busy_ns) >= span.as_nanos()
    });
}

#[test]
fn idle_time_goes_on_while_a_core_sleeps() {
    let server = Server::idle(1);
    let asleep = || server.handle.stats()[0].sleeps > 0;
    eventually("the core sleeps", asleep);
    let before = server.handle.stats()[0];
    eventually("more idle time", || server.handle.stats()[0].idle_ns > before.idle_ns + 20_000_000);
    let after = server.handle.stats()[0];
    assert_eq!((after.turns, after.polls), (before.turns, before.polls), "nothing woke it");
    assert_eq!(after.busy_ns, before.busy_ns);
}

#[test]
fn calls_that_would_block_are_counted() {
    for (faults, counted) in
        [(Faults::none(), false), (Faults { would_block: 1.0, ..Faults::none() }, true)]
    {
        let mut sim = Simulation::with_faults(1, faults);
        let listener = sim.core().listen(ADDR, ListenOptions::new(), |_| Echo).expect("it is free");
        let peer = sim.connect(listener.local_addr()).expect("it listens");
        sim.write(peer, b"once");
        sim.run_for(Duration::from_millis(1));
        let stats = sim.core().stats();
        let expected = if counted { stats.reads + stats.writes } else { 0 };
        assert_eq!((stats.would_block, stats.reads > 0), (expected, true));
    }
}

#[test]
fn sleeps_events_and_timers_are_counted() {
    let mut sim = Simulation::new(2);
    let listener = sim.core().listen(ADDR, ListenOptions::new(), |_| Echo).expect("it is free");
    let before = sim.core().stats();
    for millis in [10, 20, 30] {
        sim.core().after(Duration::from_millis(millis), |_| ());
    }
    let never = sim.core().after(Duration::from_millis(40), |_| ());
    assert!(sim.core().cancel(never));
    let peer = sim.connect(listener.local_addr()).expect("it listens");
    sim.write(peer, b"once");
    sim.run_for(Duration::from_millis(100));
    let after = sim.core().stats();
    assert_eq!(sim.read(peer), b"once");
    assert_eq!(after.timers_armed - before.timers_armed, 4);
    assert_eq!((after.timers_fired - before.timers_fired, after.timers), (3, 0));
    assert_eq!(after.slots, 2, "the listener and one stream");
    assert!(after.events - before.events >= 2, "{after:?}");
    let sleeps = after.sleeps - before.sleeps;
    assert!((4..=after.polls - before.polls).contains(&sleeps), "{after:?}");
}

#[test]
fn what_waits_in_a_mailbox_is_seen_at_its_most() {
    let server = Server::idle(1);
    let (go, going) = mpsc::channel::<()>();
    let (held, holds) = mpsc::channel();
    let hold = move |_: &mut sluicegate::Core| {
        held.send(()).expect("the test waits");
        // It goes on once the test drops its end.
        let _over = going.recv();
    };
    server.handle.submit_to(0, hold).expect("the core runs");
    receive(&holds);
    for _ in 0..5000 {
        server.handle.submit_to(0, |_| ()).expect("the core runs");
    }
    assert_eq!(server.handle.stats()[0].mailbox_depth, 5000);
    drop(go);
    server.on_core(0, |_| ());
    eventually("its figures are out", || server.handle.stats()[0].mailbox_depth_max >= 5000);
    assert!(server.handle.stats()[0].mailbox_depth_max <= 5002);
}

#[test]
fn a_core_counts_what_its_seats_do_also_those_it_has_left() {
    let mut sim = Simulation::new(3);
    let group = group(sim.clock());
    let member_of = group.clone();
    let factory = move |conn: &mut sluicegate::BevMut<'_>| {
        conn.join(&member_of).expect("a seat");
        Echo
    };
    let listener = sim.core().listen(ADDR, ListenOptions::new(), factory).expect("it is free");
    let peers = [(); 3].map(|()| sim.connect(listener.local_addr()).expect("it listens"));
    for peer in peers {
        sim.write(peer, &[7; 20_000]);
    }
    let mut back = 0;
    assert!(sim.run_until(LIMIT, |sim| {
        back += peers.map(|peer| sim.read(peer).len()).iter().sum::<usize>();
        back == 60_000
    }));
    sim.run_for(Duration::from_secs(1));
    let seats = group.stats().seats;
    assert_eq!(seats.iter().map(|seat| seat.members).collect::<Vec<_>>()[..2], [3, 0]);
    for peer in peers {
        sim.close(peer);
    }
    sim.run_for(Duration::from_secs(1));
    let (stats, core) = (group.stats(), sim.core().stats());
    assert_eq!(core.connections, 0);
    assert!(stats.seats.iter().all(|seat| !seat.taken && seat.members == 0));
    assert!(stats.draws() > 2 && stats.rebalances() > 0, "{stats:?}");
    let refunds: u64 = stats.seats.iter().map(|seat| seat.refunds).sum();
    assert_eq!(
        (core.draws, core.refunds, core.rebalances),
        (stats.draws(), refunds, stats.rebalances())
    );
    assert!(core.limit_waits > 0);
}

#[test]
fn published_figures_are_exact_once_the_core_is_quiet() {
    let server = Server::start(1, |_| Echo);
    let mut client = server.connect();
    for _ in 0..100 {
        round_trip(&mut client, &[1; 1000]);
    }
    eventually("all bytes are counted", || server.sum(|core| core.bytes_in) == 100_000);
    drop(client);
    server.wait_until_empty();
    let inner = server.on_core(0, |core| core.stats());
    eventually("the core is quiet", || server.sum(|core| core.messages) == inner.messages);
    let outer = server.handle.stats()[0];
    assert_eq!(outer.bytes_out, 100_000);
    assert_eq!((outer.callbacks, outer.accepted), (inner.callbacks, inner.accepted));
    assert_eq!(outer.turns, inner.turns + 1, "the turn of the question, and no other");
    let in_use = |stats: &sluicegate::CoreStats| {
        stats.blocks_reused + stats.blocks_allocated - stats.blocks_returned
    };
    assert!(outer.blocks_kept > 0 && outer.blocks_allocated > 0, "{outer:?}");
    assert!(in_use(&outer) <= 1, "the landing block at most: {outer:?}");
    server.handle.shutdown(Shutdown::Now);
    let report = server.join();
    assert_eq!(report.cores[0].bytes_out, 100_000);
    assert!(report.cores[0].turns > outer.turns);
}
