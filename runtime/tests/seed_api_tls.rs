//! The seed, row by row: what each of its functions about TLS does here.
//!
//! One test for a row of the table "OpenSSL bufferevents", named for it, with the row in its
//! comment, and one for each row of the table of options that means something for TLS; in virtual
//! time but for what is about streams and threads of the machine. What happens at the edges stands
//! in `tls/`, what programs of others make of it in `interop_tls/`.
//!
//! | row | where |
//! |---|---|
//! | constructors, states, CONNECTED, options | this file |
//! | constructors, within a callback | `seed_api_tls/callback.rs` |
//! | the end: clean, lazy, dirty | `seed_api_tls/end.rs` |
//! | the object, errors, new keys | `seed_api_tls/session.rs` |
//! | the start, threads, the echo server | `seed_api_tls/start.rs` and `examples/tests/tls.rs` |
//! | BEV_OPT_THREADSAFE, BEV_OPT_UNLOCK_CALLBACKS | not needed: a core owns its sessions |
#![cfg(feature = "tls")]

#[path = "seed_api_tls/callback.rs"]
mod callback;
#[path = "seed_api_tls/end.rs"]
mod end;
#[path = "rig/mod.rs"]
mod outer;
#[allow(dead_code, reason = "each test binary uses a part of it")]
#[path = "tls/rig.rs"]
mod rig;
#[path = "seed_api_tls/session.rs"]
mod session;
#[path = "seed_api_tls/start.rs"]
mod start;
#[allow(dead_code, reason = "each test binary uses a part of it")]
#[path = "tls/wired.rs"]
mod wired;

use std::cell::RefCell;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::rc::Rc;
use std::sync::mpsc;
use std::thread;

use outer::ends::{End, Link, Noting, settle};
use outer::sim::ADDR;
use outer::tls::{Configs, VERSIONS, secured};
use outer::{BOUND, Server, pattern, receive};
use rig::{Keeper, VERSIONS as SSL_VERSIONS};
use sluicegate::openssl::ssl::{Ssl, SslStream};
use sluicegate::sim::Simulation;
use sluicegate::tls::TlsVersion;
use sluicegate::{
    BevMut, Context, Core, Direction, Error, Event, EventFlags, Handler, ListenOptions, StackError,
    TakenByFilter, TlsError, TlsOptions, TlsState,
};
use wired::Wired;

const READ: Direction = Direction::Read;
const WRITE: Direction = Direction::Write;

/// Turns in which whatever a test does must have settled.
const TURNS: usize = 10_000;

/// Some records.
const PLENTY: usize = 100_000;

/// What sessions stand on here, those in virtual time.
const LINKS: [Link; 4] = [Link::Sockets, Link::Pair, Link::OverSockets(1), Link::OverPair(1)];

/// Each version over each link.
fn every_kind(mut check: impl FnMut(&str, &mut Simulation, (End, End), &Configs)) {
    for version in VERSIONS {
        let configs = Configs::new(version);
        for link in LINKS {
            let mut sim = Simulation::new(1);
            let ends = link.ends(&mut sim);
            check(&format!("{version:?} over {link:?}"), &mut sim, ends, &configs);
        }
    }
}

/// Sends plenty both ways, and asserts that it comes; returns what else each end was told.
fn talk(case: &str, sim: &mut Simulation, (a, b): (&End, &End)) -> [Vec<EventFlags>; 2] {
    for end in [a, b] {
        end.write(sim, &pattern(PLENTY));
    }
    settle(sim, TURNS);
    [a, b].map(|end| {
        let heard = end.log.take();
        assert!(heard.got == pattern(PLENTY), "{case}: {} bytes", heard.got.len());
        heard.events
    })
}

/// The same, between ends that are told CONNECTED meanwhile.
fn assert_talk(case: &str, sim: &mut Simulation, ends: (&End, &End)) {
    assert_eq!(talk(case, sim, ends), [[EventFlags::CONNECTED]; 2], "{case}");
}

/// `bufferevent_openssl_filter_new`: `tls_filter`, over a socket, a pair or another filter.
#[test]
fn bufferevent_openssl_filter_new() {
    every_kind(|case, sim, lower, configs| {
        let (low_a, low_b) = (lower.0.id, lower.1.id);
        let (a, b) = secured(sim, lower, configs, TlsOptions::new());
        assert_talk(case, sim, (&a, &b));
        for (top, low) in [(&a, low_a), (&b, low_b)] {
            assert_eq!(top.bev(sim).underlying(), Some(low), "{case}");
            let refused = sim.core().get(low).expect("it is open").set_handler(());
            assert_eq!(refused, Err(TakenByFilter(top.id)), "{case}: its handler is on top");
        }
        // And over another session.
        let (a, b) = secured(sim, (a, b), configs, TlsOptions::new());
        assert_talk(&format!("{case}, twice"), sim, (&a, &b));
        a.bev(sim).close();
        settle(sim, TURNS);
        let end = [EventFlags::READING | EventFlags::EOF];
        assert_eq!(b.log.take().events, end, "{case}");
        let (ssl, _) = configs.objects();
        let refused = sim.core().tls_filter(a.id, ssl, TlsState::Connecting, TlsOptions::new());
        let refused = refused.expect_err("it is closed");
        assert!(
            matches!(refused, Error::Stack(StackError::NotOpen(id)) if id == a.id),
            "{refused}"
        );
    });
}

/// `bufferevent_openssl_socket_new`: `tls_socket`, OpenSSL next to the socket; without one it is
/// given later by `set_socket` (bufferevent_setfd), or made by `connect`.
#[test]
fn bufferevent_openssl_socket_new() {
    #[derive(Clone, Copy, Debug)]
    enum Given {
        AtOnce,
        Later,
        ByConnecting,
    }
    for (version, given) in VERSIONS.into_iter().flat_map(|version| {
        [Given::AtOnce, Given::Later, Given::ByConnecting].map(|given| (version, given))
    }) {
        let case = format!("{version:?} {given:?}");
        let (mut sim, configs) = (Simulation::new(2), Configs::new(version));
        let (server, (made, ids)) = (configs.server.clone(), mpsc::channel());
        let factory = move |conn: &mut BevMut<'_>| {
            let top = conn.tls_accept(&server, TlsOptions::new()).expect("it is new");
            made.send(top).expect("the test waits");
        };
        let listener = sim.core().listen(ADDR, ListenOptions::new(), factory);
        let to = listener.expect("it is free").local_addr();
        let mut connected = || {
            let id = sim.core().connect(to, ()).expect("it can be tried");
            settle(&mut sim, TURNS);
            sim.core().get(id).expect("it is open").into_socket().expect("it is connected").socket
        };
        let (ssl, _) = configs.objects();
        let (state, options) = (TlsState::Connecting, TlsOptions::new());
        let (noting, log) = Noting::new();
        let socket = matches!(given, Given::AtOnce).then(&mut connected);
        let later = matches!(given, Given::Later).then(&mut connected);
        let id = sim.core().tls_socket(socket, ssl, state, options, noting).expect("a session");
        settle(&mut sim, TURNS);
        let mut bev = sim.core().get(id).expect("it is open");
        match (given, later) {
            (Given::Later, Some(socket)) => bev.set_socket(socket).expect("it has none"),
            (Given::ByConnecting, _) => bev.connect(to).expect("it can be tried"),
            _ => {}
        }
        drop(bev);
        settle(&mut sim, TURNS);
        let [accepted] = ids.try_iter().collect::<Vec<_>>()[..] else { panic!("{case}: not one") };
        let (noting, heard) = Noting::new();
        let server = End { id: accepted, log: heard };
        server.bev(&mut sim).set_handler(noting).expect("it is on top");
        let told = talk(&case, &mut sim, (&End { id, log }, &server));
        assert_eq!(told, [vec![EventFlags::CONNECTED], vec![]], "{case}: the server's before");
    }
}

/// `bufferevent_openssl_socket_new` where the SSL has a socket and none is given:
/// `tls_from_stream`, a stream that was shaken hands elsewhere, over real sockets.
#[test]
fn bufferevent_openssl_socket_new_of_an_ssl_that_has_a_socket() {
    for version in VERSIONS {
        for takes_server in [false, true] {
            check_taken_over(version, takes_server);
        }
    }
}

/// Both ends of a connection of this machine, shaken hands by hand: client and server.
fn shaken_by_hand(version: TlsVersion) -> (SslStream<TcpStream>, SslStream<TcpStream>) {
    let (ours, theirs) = Configs::new(version).objects();
    let listener = TcpListener::bind(outer::ANY).expect("a port is free");
    let to = listener.local_addr().expect("it is bound");
    let stream = |ssl: Ssl, socket: TcpStream| {
        let mut stream = SslStream::new(ssl, socket).expect("a stream");
        stream.do_handshake().expect("the handshake is made");
        stream
    };
    let client = thread::spawn(move || stream(ours, outer::connect(to)));
    let (socket, _) = listener.accept().expect("somebody connects");
    for set in [TcpStream::set_read_timeout, TcpStream::set_write_timeout] {
        set(&socket, Some(BOUND)).expect("not zero");
    }
    let server = stream(theirs, socket);
    (client.join().expect("it does not panic"), server)
}

/// Echoes what comes, and reports the events.
struct Mirror(mpsc::Sender<EventFlags>);

impl Handler for Mirror {
    fn on_read(&mut self, cx: &mut Context<'_>) {
        let (mut input, mut output) = cx.buffers();
        output.append(&mut input);
    }

    fn on_event(&mut self, cx: &mut Context<'_>, event: Event) {
        self.0.send(event.flags).expect("the test waits");
        cx.me().close();
    }
}

fn check_taken_over(version: TlsVersion, takes_server: bool) {
    let (client, server) = shaken_by_hand(version);
    let (mut ours, mut peer) = if takes_server { (server, client) } else { (client, server) };
    // One record, of which all but a byte is inside the object when it is taken over.
    let message = pattern(10_000);
    peer.write_all(&message).expect("there is room");
    let mut first = [0];
    ours.read_exact(&mut first).expect("a byte comes");
    assert_eq!((first[0], ours.ssl().pending()), (message[0], message.len() - 1));

    let cores = Server::idle(1);
    let (told, events) = mpsc::channel();
    let (version, id) = cores.on_core(0, move |core: &mut Core| {
        let id = core.tls_from_stream(ours, TlsOptions::new(), Mirror(told)).expect("a session");
        let bev = core.get(id).expect("it is open");
        (bev.ssl().expect("there is one").version_str(), bev.id())
    });
    let case = format!("{version}, takes the server's: {takes_server}");
    let mut rest = vec![0; message.len() - 1];
    peer.read_exact(&mut rest).expect("what was inside comes back");
    assert!(rest == message[1..], "{case}");
    for _ in 0..3 {
        // More than fits on the way, so that the other end has to be read at the same time.
        let mut back = vec![0; message.len()];
        peer.write_all(&message).expect("there is room");
        peer.read_exact(&mut back).expect("it comes back");
        assert!(back == message, "{case}");
    }
    assert!(events.try_recv().is_err(), "{case}: no CONNECTED is told of it");
    peer.shutdown().expect("our goodbye is sent");
    assert_eq!(receive(&events), EventFlags::READING | EventFlags::EOF, "{case}");
    assert_eq!(peer.read(&mut first).expect("a clean end"), 0, "{case}");
    cores.wait_until_empty();
    assert!(cores.on_core(0, move |core| core.get(id).is_none()));
}

/// The same of a stream that has not been shaken hands: a typed error, and the socket is closed.
#[test]
fn a_stream_that_was_not_shaken_hands_is_not_taken_over() {
    let (listener, cores) = (TcpListener::bind(outer::ANY).expect("a port"), Server::idle(1));
    let mut client = outer::connect(listener.local_addr().expect("it is bound"));
    let (socket, _) = listener.accept().expect("somebody connects");
    let (_, ssl) = Configs::new(TlsVersion::Tls13).objects();
    let early = SslStream::new(ssl, socket).expect("a stream");
    let refused = cores.on_core(0, |core| {
        let refused = core.tls_from_stream(early, TlsOptions::new(), ());
        refused.expect_err("the handshake is not over")
    });
    assert!(matches!(refused, Error::Tls(TlsError::Local { .. })), "{refused}");
    outer::wait_for_close(&mut client);
    cores.wait_until_empty();
}

/// `BUFFEREVENT_SSL_OPEN`: the handshake is over, no CONNECTED ever comes, and the bytes inside the
/// SSL are not lost.
#[test]
fn bufferevent_ssl_open() {
    every_kind(|case, sim, lower, configs| {
        let (a, mut b) = secured(sim, lower, configs, TlsOptions::new());
        settle(sim, TURNS);
        // One record, of which a part is given.
        b.bev(sim).set_read_watermark(0, 1000);
        b.log.borrow_mut().keeps = true;
        a.write(sim, &pattern(10_000));
        settle(sim, TURNS);
        let mut got = b.take(sim, 1000);
        let (low, ssl) = b.bev(sim).release_tls().expect("it is on top");
        let options = TlsOptions::new();
        b.id = sim.core().tls_filter(low, ssl, TlsState::Open, options).expect("it is open");
        settle(sim, TURNS);
        got.extend(b.input(sim));
        assert!(got == pattern(10_000), "{case}: {} bytes", got.len());
        let connected = [EventFlags::CONNECTED];
        assert_eq!(b.log.take().events, connected, "{case}: only that of the handshake");
        b.write(sim, b"and back");
        settle(sim, TURNS);
        assert_eq!(a.log.take().got, b"and back", "{case}");
    });
}

/// `BUFFEREVENT_SSL_CONNECTING`, `BUFFEREVENT_SSL_ACCEPTING`: they start the handshake; a state
/// that contradicts the object is a typed error, and leaves nothing.
#[test]
fn bufferevent_ssl_connecting_and_accepting() {
    let configs = Configs::new(TlsVersion::Tls13);
    let finished = || {
        let mut sim = Simulation::new(3);
        let lower = Link::Pair.ends(&mut sim);
        let (a, _) = secured(&mut sim, lower, &configs, TlsOptions::new());
        settle(&mut sim, TURNS);
        a.bev(&mut sim).release_tls().expect("it is on top").1
    };
    for (ssl, state) in [
        (configs.objects().0, TlsState::Open),
        (configs.objects().0, TlsState::Accepting),
        (finished(), TlsState::Connecting),
        (finished(), TlsState::Accepting),
    ] {
        let mut sim = Simulation::new(3);
        let (socket, peer) = sim.socket("10.0.0.9:443".parse().expect("an address"));
        let refused = sim.core().tls_socket(Some(socket), ssl, state, TlsOptions::new(), ());
        let refused = refused.expect_err("it contradicts");
        assert!(matches!(refused, Error::Tls(TlsError::Local { .. })), "{state:?}: {refused}");
        settle(&mut sim, TURNS);
        assert!(sim.is_eof(peer) || sim.is_reset(peer), "{state:?}: the socket is closed");
        assert_eq!(sim.held().slots, 0, "{state:?}");
    }
}

/// What a handler was called for, in order.
#[derive(Clone, Default)]
struct Order(Rc<RefCell<Vec<&'static str>>>);

impl Handler for Order {
    fn on_read(&mut self, _: &mut Context<'_>) {
        self.0.borrow_mut().push("read");
    }

    fn on_write(&mut self, _: &mut Context<'_>) {
        self.0.borrow_mut().push("write");
    }

    fn on_event(&mut self, cx: &mut Context<'_>, event: Event) {
        assert_eq!(event.flags, EventFlags::CONNECTED);
        assert!(cx.me().ssl().expect("there is one").is_init_finished(), "it is over");
        self.0.borrow_mut().push("connected");
    }
}

/// `BEV_EVENT_CONNECTED` after the handshake: exactly once, before any read callback; and before
/// any write callback, also where bytes wait from before.
#[test]
fn bev_event_connected_after_the_handshake() {
    every_kind(|case, sim, lower, configs| {
        let orders = [Order::default(), Order::default()];
        for (end, order) in [&lower.0, &lower.1].into_iter().zip(&orders) {
            end.bev(sim).set_handler(order.clone()).expect("nobody is above");
        }
        let (a, b) = secured(sim, lower, configs, TlsOptions::new());
        assert!(a.bev(sim).is_connecting(), "{case}");
        b.write(sim, b"early");
        settle(sim, TURNS);
        let told = orders.clone().map(|order| order.0.take());
        assert_eq!(told, [vec!["connected", "read"], vec!["connected", "write"]], "{case}");
        a.write(sim, b"late");
        settle(sim, TURNS);
        assert!(!a.bev(sim).is_connecting(), "{case}");
        let told = orders.map(|order| order.0.take());
        assert_eq!(told, [["write"], ["read"]], "{case}: once");
    });
}

/// `BEV_OPT_CLOSE_ON_FREE` of a TLS filter: `close_underlying`, true by default. Without it the
/// session takes its leave, and the underlying goes on in the clear, with the handler.
#[test]
fn bev_opt_close_on_free() {
    every_kind(|case, sim, lower, configs| {
        let (low_a, low_b) = (lower.0.clone(), lower.1.clone());
        let options = TlsOptions::new().close_underlying(false);
        let (a, b) = secured(sim, lower, configs, options);
        assert_talk(case, sim, (&a, &b));
        a.bev(sim).close();
        settle(sim, TURNS);
        let end = [EventFlags::READING | EventFlags::EOF];
        assert_eq!(b.log.take().events, end, "{case}: a goodbye was said");
        b.bev(sim).close();
        settle(sim, TURNS);
        for (top, low) in [(&a, &low_a), (&b, &low_b)] {
            assert!(sim.core().get(top.id).is_none(), "{case}: the session is over");
            assert_eq!(low.bev(sim).above(), None, "{case}");
        }
        low_a.write(sim, b"in the clear");
        settle(sim, TURNS);
        assert_eq!(low_b.log.take().got, b"in the clear", "{case}");

        let (a, b) = secured(sim, (low_a.clone(), low_b.clone()), configs, TlsOptions::new());
        assert_talk(&format!("{case}, again"), sim, (&a, &b));
        a.bev(sim).close();
        b.bev(sim).close();
        settle(sim, TURNS);
        for low in [low_a, low_b] {
            assert!(sim.core().get(low.id).is_none(), "{case}: closed along with it");
        }
    });
}

/// `BEV_OPT_CLOSE_ON_FREE` of a TLS socket: `release_tls` gives stream and SSL, which go on
/// elsewhere; here by hand.
#[test]
fn bev_opt_close_on_free_of_a_tls_socket() {
    for version in SSL_VERSIONS {
        let mut wired = Wired::open(version, TlsOptions::new());
        let (bottom, ssl) = wired.bev().release_tls().expect("it is on top");
        assert!(ssl.is_init_finished() && bottom == wired.bottom);
        let bev = wired.sim.core().get(bottom).expect("it was given back");
        let taken = bev.into_socket().expect("it has one");
        let keeper = Keeper { notes: wired.notes.clone(), echoes: true };
        let (state, options) = (TlsState::Open, TlsOptions::new());
        let again = wired.sim.core().tls_socket(Some(taken.socket), ssl, state, options, keeper);
        wired.id = again.expect("a session");
        wired.write(b"hello");
        wired.run();
        assert_eq!(wired.got, b"hello", "{version:?}");
    }
}

/// `BEV_OPT_DEFER_CALLBACKS`: always on; nobody is called from within what he calls.
#[test]
fn bev_opt_defer_callbacks() {
    every_kind(|case, sim, lower, configs| {
        settle(sim, TURNS);
        let before = sim.core().stats().callbacks;
        let (a, b) = secured(sim, lower, configs, TlsOptions::new());
        a.write(sim, b"hello");
        for direction in [READ, WRITE] {
            b.bev(sim).disable(direction);
            b.bev(sim).enable(direction);
        }
        b.bev(sim).close();
        assert_eq!(sim.core().stats().callbacks, before, "{case}");
        settle(sim, TURNS);
        assert!(sim.core().stats().callbacks > before, "{case}");
    });
}
