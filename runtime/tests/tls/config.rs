//! Connections made by a configuration: the short forms, and what they refuse.

use std::sync::mpsc;
use std::time::Duration;

use sluicegate::sim::Simulation;
use sluicegate::tls::TlsConfigError;
use sluicegate::{
    BevMut, Charge, Error, Group, ListenOptions, TlsConfig, TlsOptions, TokenBucketConfig,
};

use crate::outer::Echo;
use crate::outer::tls::{Configs, HOST};
use crate::rig::{Keeper, Notes};

const SERVER: &str = "10.0.0.1:443";
const LIMIT: Duration = Duration::from_secs(5);

/// Listens with a configuration, and sends each error of `tls_accept`.
fn listen(sim: &mut Simulation, config: TlsConfig) -> mpsc::Receiver<Error> {
    let (refusal, refusals) = mpsc::channel();
    let factory = move |conn: &mut BevMut<'_>| {
        if let Err(error) = conn.tls_accept(&config, TlsOptions::new()) {
            refusal.send(error).expect("the test listens");
        }
        Echo
    };
    sim.core().listen(SERVER, ListenOptions::new(), factory).expect("it is free");
    refusals
}

#[test]
fn a_client_meets_the_host_it_means_by_address_and_by_name_and_nobody_else() {
    let Configs { server, client } = Configs::of_all_versions();
    let mut sim = Simulation::new(1);
    sim.set_host(HOST, &["10.0.0.1".parse().expect("an address")], Duration::from_millis(3));
    let _refusals = listen(&mut sim, server);
    let (addr, options) = (SERVER.parse().expect("an address"), TlsOptions::new());
    for (host, by_name) in [(HOST, false), (HOST, true), ("example.net", false)] {
        let notes = Notes::default();
        let keeper = Keeper { notes: notes.clone(), echoes: false };
        let id = match by_name {
            true => sim.core().tls_connect_host(host, 443, &client, options, keeper),
            false => sim.core().tls_connect(addr, host, &client, options, keeper),
        };
        let id = id.expect("it can be tried");
        sim.core().get(id).expect("it is open").output().add(b"hello");
        assert!(sim.run_until(LIMIT, |_| notes.all().len() == 1 + usize::from(host == HOST)));
        match host {
            HOST => assert_eq!(notes.all(), ["EventFlags(CONNECTED)", "read 5"]),
            _ => assert!(notes.all()[0].contains("certificate: "), "{:?}", notes.all()),
        }
    }
    // The second connection to the host has resumed the session of the first; both ends count.
    assert_eq!(sim.core().stats().handshakes_resumed, 2);
}

#[test]
fn a_connection_that_cannot_be_secured_is_closed_before_a_byte() {
    let Configs { server, client } = Configs::of_all_versions();
    let mut sim = Simulation::new(1);
    let refusals = listen(&mut sim, client.clone());
    let peer = sim.connect(SERVER.parse().expect("an address")).expect("it listens");
    sim.write(peer, b"in the clear");
    assert!(sim.run_until(LIMIT, |sim| sim.is_reset(peer) || sim.is_eof(peer)));
    assert_eq!(sim.read(peer), b"");
    let refused = refusals.try_recv().expect("it was refused");
    assert!(matches!(refused, Error::TlsConfig(TlsConfigError::WrongRole { .. })), "{refused}");

    let addr = "10.0.0.9:443".parse().expect("an address");
    let listener = sim.listen(addr).expect("it is free");
    let options = TlsOptions::new();
    for (host, config) in [(HOST, &server), ("", &client), ("two words", &client)] {
        let refused = sim.core().tls_connect(addr, host, config, options, ());
        let refused = refused.expect_err("it cannot be made");
        assert!(matches!(refused, Error::TlsConfig(_)), "{refused}");
    }
    let refused = sim.core().tls_connect_host("10.0.0.9", 443, &server, options, ());
    assert!(matches!(refused, Err(Error::TlsConfig(_))));
    sim.run_for(LIMIT);
    assert!(sim.accept(listener).is_none(), "somebody connected");
    assert_eq!(sim.core().stats().connections, 0);
}

#[test]
fn a_group_counts_ciphertext_in_either_place_and_plaintext_where_that_is_asked_for() {
    const BYTES: usize = 1000;
    let limit = TokenBucketConfig::per_second("100MB/s".parse().expect("a rate"));
    for (on_top, charge) in [
        (false, Charge::Ciphertext),
        (false, Charge::Plaintext),
        (true, Charge::Ciphertext),
        (true, Charge::Plaintext),
    ] {
        let Configs { server, client } = Configs::of_all_versions();
        let mut sim = Simulation::new(1);
        let group = Group::builder(limit.clone()).clock(sim.clock()).build().expect("a group");
        let (member_of, options) = (group.clone(), TlsOptions::new().charge(charge));
        let factory = move |conn: &mut BevMut<'_>| {
            let bottom = conn.id();
            let top = conn.tls_accept(&server, options).expect("it has just been accepted");
            let id = if on_top { top } else { bottom };
            let joined = conn.core().get(id).expect("it is open").join(&member_of);
            joined.expect("there is a seat");
            Echo
        };
        sim.core().listen(SERVER, ListenOptions::new(), factory).expect("it is free");
        let (addr, notes) = (SERVER.parse().expect("an address"), Notes::default());
        let keeper = Keeper { notes, echoes: false };
        let id = sim.core().tls_connect(addr, HOST, &client, TlsOptions::new(), keeper);
        let id = id.expect("it can be tried");
        sim.core().get(id).expect("it is open").output().add(&[7; BYTES]);
        assert!(sim.run_until(LIMIT, |sim| sim.lengths(id).is_some_and(|it| it.0 == BYTES)));
        let (read, written) = group.totals();
        let plain = on_top && charge == Charge::Plaintext;
        for count in [read, written] {
            assert_eq!(count == BYTES as u64, plain, "{on_top} {charge:?}: {read}, {written}");
            assert!(plain || count > BYTES as u64 + 200, "{on_top} {charge:?}: {read}, {written}");
        }
    }
}
