//! Sessions of which one side has ended: what the peer may still do, and what goes on without it.

use std::time::Duration;

use sluicegate::openssl::ssl::{Ssl, SslVersion};
use sluicegate::sim::Simulation;
use sluicegate::{Context, Event, Handler, PairOptions, TlsOptions, TlsState};

use crate::forge::{DATA, HANDSHAKE, forged};
use crate::rig::{Notes, VERSIONS, context, count};

/// Notes what it is told, and never closes.
struct Noter(Notes);

impl Handler for Noter {
    fn on_event(&mut self, _cx: &mut Context<'_>, event: Event) {
        self.0.add(format!("{:?}", event.flags));
    }
}

#[test]
fn new_keys_of_the_peer_after_our_goodbye_neither_fail_nor_spin() {
    let (mut wired, mut forger) = forged(SslVersion::TLS1_3);
    wired.bev().shutdown_write();
    wired.rest(Duration::from_millis(5));
    // An update in two records: between them a handshake is under way.
    for part in [&[24, 0, 0, 1][..], &[0]] {
        let record = forger.record(HANDSHAKE, part);
        wired.sim.write(wired.peer, &record);
        wired.rest(Duration::from_millis(5));
    }
    forger.renew_keys();
    // Updates that ask for ours, which nobody would get.
    for _ in 0..3 {
        let record = forger.key_update(true);
        wired.sim.write(wired.peer, &record);
    }
    wired.sim.write(wired.peer, &forger.record(DATA, b"and yet"));
    let turns = wired.sim.core().stats().turns;
    wired.rest(Duration::from_secs(60));
    let spent = wired.sim.core().stats().turns - turns;
    assert!(spent < 50, "{spent} turns");
    assert_eq!(wired.notes.all()[1..], ["read 7"], "{:?}", wired.notes.all());
    // The deadline of no handshake is left over: the peer's goodbye is awaited.
    wired.bev().close();
    wired.rest(Duration::from_secs(2));
    assert!(wired.is_there());
    wired.rest(Duration::from_secs(4));
    wired.assert_empty("it has waited long enough");
}

#[test]
fn an_object_that_goes_on_knows_what_was_said_and_heard() {
    for version in VERSIONS {
        let context = context(version);
        let ssl = || Ssl::new(&context).expect("an object");
        let mut sim = Simulation::new(1);
        let told = [Notes::default(), Notes::default()];
        let noter = |i: usize| Noter(told[i].clone());
        let (a, b) = sim.core().pair(PairOptions::new(), noter(0), noter(1));
        let options = TlsOptions::new();
        let client = sim.core().tls_filter(a, ssl(), TlsState::Connecting, options);
        let server = sim.core().tls_filter(b, ssl(), TlsState::Accepting, options);
        let (client, server) = (client.expect("a client"), server.expect("a server"));
        sim.run_for(Duration::from_millis(5));
        sim.core().get(server).expect("it is open").shutdown_write();
        sim.run_for(Duration::from_millis(5));
        assert_eq!(told[0].all()[1..], ["EventFlags(READING | EOF)"]);
        // The side that has heard the goodbye, and the one that has said it.
        for (i, id) in [client, server].into_iter().enumerate() {
            let mut bev = sim.core().get(id).expect("it is open");
            let (lower, object) = bev.release_tls().expect("nothing is held");
            drop(bev);
            let again = sim.core().tls_filter(lower, object, TlsState::Open, options);
            let again = again.expect("the handshake is over");
            let turns = sim.core().stats().turns;
            sim.run_for(Duration::from_secs(20));
            let spent = sim.core().stats().turns - turns;
            assert!(spent < 50, "{version:?} {i}: {spent} turns");
            assert!(!told[i].all().iter().any(|it| it.contains("ERROR")), "{:?}", told[i].all());
            let eofs = count(&told[i].all(), "EOF");
            assert_eq!(eofs, 2, "{version:?} {i}: before and after: {:?}", told[i].all());
            sim.core().get(again).expect("it is open").shutdown_write();
            sim.run_for(Duration::from_millis(5));
            assert!(!told[i].all().iter().any(|it| it.contains("ERROR")), "{:?}", told[i].all());
        }
    }
}
