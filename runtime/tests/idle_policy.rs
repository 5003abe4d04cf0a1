//! What cores do that have nothing to do: nobody has to wake one that looks for events, one that
//! looks for a while sleeps in the end, and neither keeps what others need.
//!
//! Cores may not look for events under a CPU quota; there the tests have nothing to test.

mod rig;

use std::time::Duration;

use rig::{ANY, Echo, Server, eventually, round_trip};
use sluicegate::placement::{IdleRefusal, Warning};
use sluicegate::{Group, Idle, ListenOptions, Runtime, TokenBucketConfig};

/// One core that idles in this way, unless the machine does not let it.
fn runtime(idle: Idle) -> Option<Runtime> {
    let runtime = Runtime::builder().cores(1).idle(idle).build().expect("a core can be built");
    let plan = &runtime.report().plan;
    if plan.quota.is_none() {
        assert_eq!(plan.idle, idle);
        return Some(runtime);
    }
    let why = IdleRefusal::Quota;
    assert!(plan.warnings.contains(&Warning::IdleRefused { asked: idle, why }), "{plan:?}");
    None
}

fn idle(idle: Idle) -> Option<Server> {
    runtime(idle).map(|runtime| Server::run(([127, 0, 0, 1], 0).into(), runtime))
}

#[test]
fn nobody_has_to_wake_a_core_that_never_sleeps() {
    let Some(server) = idle(Idle::Busy) else { return };
    for round in 0..100 {
        server.on_core(0, move |_| round);
    }
    // Its figures move although nobody asks anything of it.
    let spun = server.handle.stats()[0].spin_ns;
    eventually("it goes on looking", || server.handle.stats()[0].spin_ns > spun);
    let stats = &server.handle.stats()[0];
    assert_eq!((stats.sleeps, stats.idle_ns), (0, 0));
    assert_eq!((stats.messages, stats.wakes_sent, stats.wakes_suppressed), (100, 0, 100));
}

#[test]
fn a_core_that_never_sleeps_serves_connections_and_timers() {
    let Some(mut runtime) = runtime(Idle::Busy) else { return };
    let addr = runtime.listen(ANY, |_| Echo).expect("a port is free");
    let server = Server::run(addr, runtime);
    server.assert_echoes();
    let (fired, fires) = std::sync::mpsc::channel();
    server.on_core(0, |core| {
        core.after(Duration::from_millis(3), move |_| fired.send(()).expect("the test waits"));
    });
    rig::receive(&fires);
}

#[test]
fn a_core_that_looks_for_a_while_sleeps_in_the_end() {
    let Some(server) = idle(Idle::Spin(Duration::from_micros(10))) else { return };
    // Once it sleeps, a message has to wake it.
    eventually("it sleeps", || {
        server.on_core(0, |_| ());
        server.handle.stats()[0].wakes_sent > 0
    });
}

#[test]
fn a_core_that_looks_for_events_holds_no_lease() {
    let Some(mut runtime) = runtime(Idle::Busy) else { return };
    let group = Group::new(TokenBucketConfig::per_second("1GB/s".parse().expect("a rate")));
    let group = group.expect("valid numbers");
    let joined = group.clone();
    let listener = runtime
        .listen_with(ANY, ListenOptions::new(), move |conn| {
            conn.join(&joined).expect("a seat for the core");
            Echo
        })
        .expect("a port is free");
    let server = Server::run(listener.local_addr(), runtime);
    let mut client = server.connect();
    round_trip(&mut client, &[7; 1000]);
    assert!(group.stats().draws() > 0, "the echo was paid for");
    eventually("the lease goes back", || {
        group.stats().seats.iter().all(|seat| seat.lease == [0, 0])
    });
    round_trip(&mut client, &[7; 1000]);
    assert_eq!(server.handle.stats()[0].wakes_sent, 0, "it never slept");
}
