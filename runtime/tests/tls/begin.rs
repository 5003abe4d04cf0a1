//! Beginnings: every constructor, states that contradict the object, and new keys later on.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use sluicegate::openssl::ssl::{Ssl, SslContext, SslMethod, SslVersion};
use sluicegate::sim::{Faults, Simulation};
use sluicegate::{
    BevId, BevMut, Direction, FilterOptions, ListenOptions, PairOptions, TlsOptions, TlsState,
};

use crate::rig::{Ends, Keeper, Notes, VERSIONS, context, count, over_pair};
use crate::wired::Wired;

/// What the two ends of TLS stand on.
#[derive(Clone, Copy, Debug)]
enum On {
    Pair,
    Filter,
    Tls,
    Socket,
    SetSocket,
    Connect,
}

fn ends(version: SslVersion, on: On) -> Ends {
    let context = context(version);
    let ssl = || Ssl::new(&context).expect("an object");
    let mut sim = Simulation::with_faults(3, Faults::none());
    let told = [Notes::default(), Notes::default()];
    let keeper = |i: usize| Keeper { notes: told[i].clone(), echoes: i == 1 };
    let options = TlsOptions::new();
    let over = |sim: &mut Simulation, (a, b)| {
        let client = sim.core().tls_filter(a, ssl(), TlsState::Connecting, options);
        let server = sim.core().tls_filter(b, ssl(), TlsState::Accepting, options);
        (client.expect("a session"), server.expect("a session"))
    };
    let pair = |sim: &mut Simulation| sim.core().pair(PairOptions::new(), keeper(0), keeper(1));
    let (client, server) = match on {
        On::Pair => {
            let pair = pair(&mut sim);
            over(&mut sim, pair)
        }
        On::Filter => {
            let (a, b) = pair(&mut sim);
            let mut filter =
                |id| sim.core().filter(id, (), FilterOptions::new()).expect("it is open");
            let filters = (filter(a), filter(b));
            over(&mut sim, filters)
        }
        On::Tls => {
            let pair = pair(&mut sim);
            let inner = over(&mut sim, pair);
            over(&mut sim, inner)
        }
        On::Socket | On::SetSocket | On::Connect => over_sockets(&mut sim, on, &ssl, &keeper),
    };
    Ends { sim, client, server, told }
}

fn over_sockets(
    sim: &mut Simulation,
    on: On,
    ssl: &dyn Fn() -> Ssl,
    keeper: &dyn Fn(usize) -> Keeper,
) -> (BevId, BevId) {
    let options = TlsOptions::new();
    let accepted = Arc::new(Mutex::new(None));
    let noted = accepted.clone();
    let factory = move |conn: &mut BevMut<'_>| {
        *noted.lock().expect("no panic while held") = Some(conn.id());
    };
    let listening = ListenOptions::new();
    let addr = sim.core().listen("10.0.0.1:443", listening, factory).expect("free").local_addr();
    let client = match on {
        On::Socket => {
            let bottom = sim.core().connect(addr, keeper(0)).expect("it listens");
            sim.core().tls_filter(bottom, ssl(), TlsState::Connecting, options)
        }
        _ => sim.core().tls_socket(None, ssl(), TlsState::Connecting, options, keeper(0)),
    };
    let client = client.expect("a session");
    let lacks = !matches!(on, On::Socket);
    if lacks {
        // Nothing happens, and no time runs, before there is a socket.
        sim.core().get(client).expect("it is open").output().add(b"early");
        sim.run_for(Duration::from_secs(60));
        sim.core().get(client).expect("it waits").connect(addr).expect("it listens");
    }
    let made = accepted.clone();
    let is_there = move || made.lock().expect("no panic while held").is_some();
    assert!(sim.run_until(Duration::from_secs(1), |_| is_there()), "nobody was accepted");
    let bottom = accepted.lock().expect("no panic while held").expect("one");
    let mut bev = sim.core().get(bottom).expect("it is open");
    bev.set_handler(keeper(1)).expect("nobody is above");
    let server = match on {
        On::SetSocket => {
            let taken = bev.into_socket().expect("it has one").socket;
            let state = TlsState::Accepting;
            let top = sim.core().tls_socket(None, ssl(), state, options, keeper(1));
            let top = top.expect("a session");
            sim.core().get(top).expect("it waits").set_socket(taken).expect("it lacks one");
            top
        }
        _ => bev.tls(ssl(), TlsState::Accepting, options).expect("a session"),
    };
    (client, server)
}

#[test]
fn every_constructor_shakes_hands_tells_it_once_and_first_and_ends_clean() {
    let all = [On::Pair, On::Filter, On::Tls, On::Socket, On::SetSocket, On::Connect];
    for (version, on) in VERSIONS.into_iter().flat_map(|v| all.map(|on| (v, on))) {
        let mut ends = ends(version, on);
        let bytes: Vec<u8> = (0..100_000).map(|i| i as u8).collect();
        ends.add(ends.client, &bytes);
        ends.sim.run_for(Duration::from_secs(1));
        let case = format!("{version:?} {on:?}: {:?} {:?}", ends.told[0].all(), ends.told[1].all());
        for told in &ends.told {
            let told = told.all();
            let connected = |it: &&String| it.contains("CONNECTED");
            assert!(told[0].contains("CONNECTED"), "{case}");
            assert_eq!(told.iter().filter(connected).count(), 1, "{case}");
        }
        let client = ends.client;
        let mut bev = ends.sim.core().get(client).expect("it is open");
        let len = bev.input().len();
        assert!(bev.input().pull_up(len).is_some_and(|it| it.ends_with(&bytes)), "{case}");
        bev.close();
        drop(bev);
        ends.sim.run_for(Duration::from_secs(1));
        let told = ends.told[1].all();
        assert_eq!(told.last().map(String::as_str), Some("EventFlags(READING | EOF)"), "{case}");
        let stats = ends.sim.core().stats();
        assert_eq!((stats.connections, stats.filters, stats.pair_ends), (0, 0, 0), "{case}");
    }
}

#[test]
fn a_state_that_contradicts_the_object_is_a_typed_error_and_leaves_nothing() {
    let context = context(SslVersion::TLS1_3);
    let fresh = || Ssl::new(&context).expect("an object");
    let finished = || {
        let mut ends = over_pair(SslVersion::TLS1_3, TlsOptions::new());
        ends.run();
        let client = ends.client;
        let bev = ends.sim.core().get(client);
        bev.expect("it is open").release_tls().expect("it is on top").1
    };
    let one_way = |method| Ssl::new(&SslContext::builder(method).expect("a context").build());
    let one_way = |method| one_way(method).expect("an object");
    let (accepts, connects) = (SslMethod::tls_server, SslMethod::tls_client);
    let mut turned_round = one_way(connects());
    turned_round.set_accept_state();
    for (ssl, state, says) in [
        (fresh(), TlsState::Open, "handshake is over"),
        (finished(), TlsState::Connecting, "has begun"),
        (finished(), TlsState::Accepting, "has begun"),
        (one_way(accepts()), TlsState::Connecting, "is a server's"),
        (one_way(connects()), TlsState::Accepting, "is a client's"),
        (turned_round, TlsState::Accepting, "is a client's"),
    ] {
        let mut sim = Simulation::new(1);
        let (socket, _peer) = sim.socket("10.0.0.2:443".parse().expect("an address"));
        let keeper = Keeper { notes: Notes::default(), echoes: false };
        let options = TlsOptions::new();
        let refused = sim.core().tls_socket(Some(socket), ssl, state, options, keeper);
        let refused = refused.expect_err("it contradicts").to_string();
        assert!(refused.contains(says), "{state:?}: {refused}");
        sim.turn();
        assert_eq!(sim.core().stats().slots, 0, "{state:?}");
    }
}

#[test]
fn a_session_taken_off_and_put_back_open_loses_no_byte() {
    for version in VERSIONS {
        let mut wired = Wired::open(version, TlsOptions::new());
        // One record, of which a part is given when the session is taken off.
        wired.bev().set_read_watermark(0, 1_000);
        wired.write(&[1; 10_000]);
        wired.exchange();
        wired.rest(Duration::from_millis(20));
        wired.bev().output().add(&[2; 30_000]);
        wired.rest(Duration::from_millis(20));
        // What was given is the handler's, and not the session's any more.
        assert_eq!(wired.bev().input().drain(usize::MAX), 1_000);
        let (bottom, ssl) = wired.bev().release_tls().expect("it is on top");
        assert_eq!(bottom, wired.bottom);
        let top = wired.sim.core().tls_filter(bottom, ssl, TlsState::Open, TlsOptions::new());
        wired.id = top.expect("it is open");
        wired.write(&[1; 10_000]);
        wired.run();
        let told = wired.notes.all();
        assert_eq!(wired.bev().input().len(), 19_000, "{version:?}: {told:?}");
        assert_eq!(wired.got.len(), 30_000, "{version:?}: {told:?}");
        let connected = count(&told, "CONNECTED");
        assert_eq!(connected, 1, "{version:?}: not for an open one: {told:?}");
    }
}

#[test]
fn new_keys_lose_no_byte_in_flight_also_where_nobody_reads() {
    for (version, by, reads) in VERSIONS
        .into_iter()
        .flat_map(|version| [0, 1].map(|by| (version, by)))
        .flat_map(|(version, by)| [false, true].map(|reads| (version, by, reads)))
    {
        if version == SslVersion::TLS1_2 && by == 0 {
            // A client may ask only where the server's context allows it.
            continue;
        }
        let case = format!("{version:?} by {by}, reads {reads}");
        let mut ends = over_pair(version, TlsOptions::new());
        ends.run();
        let ids = [ends.client, ends.server];
        for id in ids {
            if !reads {
                ends.sim.core().get(id).expect("it is open").disable(Direction::Read);
            }
            ends.add(id, &[3; 20_000]);
        }
        ends.sim.core().get(ids[by]).expect("it is open").renegotiate().expect("it may");
        for id in ids {
            ends.add(id, &[4; 20_000]);
        }
        let turns = ends.sim.core().stats().turns;
        ends.run();
        let spent = ends.sim.core().stats().turns - turns;
        assert!(spent < 50, "{case}: {spent} turns");
        // Of a handshake the answer is behind what nobody reads.
        let waits = version == SslVersion::TLS1_2 && !reads;
        let again = ends.sim.core().get(ids[by]).expect("it is open").renegotiate();
        assert_eq!(again.is_err(), waits, "{case}: {again:?}");
        let connected = count(&ends.told[by].all(), "CONNECTED");
        assert_eq!(connected, if waits { 1 } else { 2 }, "{case}");
        for id in ids {
            ends.sim.core().get(id).expect("it is open").enable(Direction::Read);
        }
        ends.sim.run_for(Duration::from_secs(1));
        // The server echoes what it gets.
        let mut client = ends.sim.core().get(ends.client).expect("it is open");
        assert_eq!(client.input().len(), 80_000, "{case}: {:?}", ends.told[0].all());
        drop(client);
        let told = ends.told[by].all();
        let connected = count(&told, "CONNECTED");
        assert_eq!(connected, if waits { 2 } else { 3 }, "{case}: {told:?}");
        assert!(!told.iter().any(|it| it.contains("ERROR")), "{case}: {told:?}");
    }
}

#[test]
fn new_keys_where_they_cannot_be_made_are_a_typed_error() {
    let mut wired = Wired::new(SslVersion::TLS1_3, TlsOptions::new());
    let early = wired.bev().renegotiate().expect_err("the handshake is not over");
    assert!(early.to_string().contains("open session"), "{early}");
    wired.run();
    wired.bev().shutdown_write();
    wired.run();
    wired.bev().renegotiate().expect_err("nothing can be said any more");
    let bottom = wired.bottom;
    let mut plain = wired.sim.core().get(bottom).expect("it is open");
    let none = plain.renegotiate().expect_err("it is a socket");
    assert!(none.to_string().contains("no TLS session"), "{none}");
    assert!(plain.ssl().is_none() && plain.take_tls_error().is_none());
    assert_eq!(plain.allow_dirty_shutdown(), None);
}

#[test]
fn a_handshake_over_a_filter_begins_no_sooner_than_the_connection_is_made() {
    for version in VERSIONS {
        let context = context(version);
        let mut sim = Simulation::with_faults(3, Faults::none());
        let notes = Notes::default();
        let keeper = Keeper { notes: notes.clone(), echoes: false };
        let bottom = sim.core().unconnected(keeper);
        let filter = sim.core().filter(bottom, (), FilterOptions::new()).expect("it is open");
        let ssl = Ssl::new(&context).expect("an object");
        let (state, options) = (TlsState::Connecting, TlsOptions::new());
        let top = sim.core().tls_filter(filter, ssl, state, options).expect("a session");
        // Longer than a handshake may take.
        sim.run_for(Duration::from_secs(30));
        assert_eq!(notes.all(), [""; 0], "{version:?}");
        let listener = sim.core().listen("10.0.0.9:443", Default::default(), move |conn| {
            let ssl = Ssl::new(&context).expect("an object");
            conn.tls(ssl, TlsState::Accepting, TlsOptions::new()).expect("it is new");
        });
        let addr = listener.expect("it is free").local_addr();
        sim.core().get(top).expect("it is open").connect(addr).expect("it can be tried");
        sim.run_for(Duration::from_secs(1));
        assert_eq!(notes.all(), ["EventFlags(CONNECTED)"], "{version:?}");
    }
}
