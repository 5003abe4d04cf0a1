//! The constructors of the seed's TLS, called by a handler in the middle of its callback.

use std::io::{Read, Write};
use std::sync::mpsc;

use sluicegate::sim::Simulation;
use sluicegate::{
    BevId, BevMut, Context, Core, EventFlags, Handler, ListenOptions, PairOptions, TlsOptions,
    TlsState,
};

use crate::outer::ends::{End, Link, Noting, settle};
use crate::outer::sim::ADDR;
use crate::outer::tls::{Configs, VERSIONS};
use crate::outer::{Echo, Server, receive};
use crate::{Mirror, TURNS, assert_talk, shaken_by_hand};

/// Does something once, in its first read callback, with the name of a bufferevent as outcome.
struct Once<F>(Option<F>, mpsc::Sender<BevId>);

impl<F: FnOnce(&mut Context<'_>) -> BevId + 'static> Handler for Once<F> {
    fn on_read(&mut self, cx: &mut Context<'_>) {
        let len = cx.me().input().len();
        cx.me().input().drain(len);
        if let Some(act) = self.0.take() {
            self.1.send(act(cx)).expect("the test waits");
        }
    }
}

/// `bufferevent_openssl_filter_new` as STARTTLS has it: a handler that is told to puts the session
/// over the bufferevent it is called for, and is on top then.
#[test]
fn bufferevent_openssl_filter_new_in_a_callback() {
    for version in VERSIONS {
        let configs = Configs::new(version);
        for link in [Link::Sockets, Link::Pair, Link::OverPair(1)] {
            let case = format!("{version:?} over {link:?}");
            let mut sim = Simulation::new(1);
            let (a, b) = link.ends(&mut sim);
            let (client, server) = configs.objects();
            let (made, ids) = mpsc::channel();
            let act = move |cx: &mut Context<'_>| {
                let (low, options) = (cx.me().id(), TlsOptions::new());
                cx.tls_filter(low, server, TlsState::Accepting, options).expect("it is open")
            };
            b.bev(&mut sim).set_handler(Once(Some(act), made)).expect("nobody is above");
            a.write(&mut sim, b"STARTTLS");
            settle(&mut sim, TURNS);
            let top = ids.try_recv().unwrap_or_else(|_| panic!("{case}: it was not called"));
            let (noting, log) = Noting::new();
            let server = End { id: top, log };
            server.bev(&mut sim).set_handler(noting).expect("it is on top");
            let (state, options) = (TlsState::Connecting, TlsOptions::new());
            let id = sim.core().tls_filter(a.id, client, state, options).expect("it is open");
            assert_talk(&case, &mut sim, (&End { id, ..a }, &server));
        }
    }
}

/// `bufferevent_openssl_socket_new` with no socket yet: a handler makes it and connects it.
#[test]
fn bufferevent_openssl_socket_new_in_a_callback() {
    for version in VERSIONS {
        let (mut sim, configs) = (Simulation::new(2), Configs::new(version));
        let accepting = configs.server.clone();
        let factory = move |conn: &mut BevMut<'_>| {
            conn.tls_accept(&accepting, TlsOptions::new()).expect("it is new");
            Echo
        };
        let listener = sim.core().listen(ADDR, ListenOptions::new(), factory);
        let to = listener.expect("it is free").local_addr();
        let (noting, log) = Noting::new();
        let (client, _) = configs.objects();
        let act = move |cx: &mut Context<'_>| {
            let (state, options) = (TlsState::Connecting, TlsOptions::new());
            let id = cx.tls_socket(None, client, state, options, noting).expect("a session");
            cx.get(id).expect("it waits").connect(to).expect("it can be tried");
            id
        };
        let (made, ids) = mpsc::channel();
        let (near, far) = sim.core().pair(PairOptions::new(), (), Once(Some(act), made));
        sim.core().get(near).expect("it is open").output().add(b"connect");
        settle(&mut sim, TURNS);
        let id = ids.try_recv().expect("it was called");
        assert_ne!(id, far);
        let end = End { id, log };
        end.write(&mut sim, b"hello");
        settle(&mut sim, TURNS);
        let heard = end.log.take();
        assert_eq!(heard.got, b"hello", "{version:?}");
        assert_eq!(heard.events, [EventFlags::CONNECTED], "{version:?}");
    }
}

/// `bufferevent_openssl_socket_new` of an SSL that has a socket: a handler takes it over.
#[test]
fn a_stream_is_taken_over_in_a_callback() {
    for version in VERSIONS {
        let (ours, mut peer) = shaken_by_hand(version);
        let cores = Server::idle(1);
        let (told, events) = mpsc::channel();
        let (made, ids) = mpsc::channel();
        cores.on_core(0, move |core: &mut Core| {
            let act = move |cx: &mut Context<'_>| {
                let (options, mirror) = (TlsOptions::new(), Mirror(told));
                cx.tls_from_stream(ours, options, mirror).expect("a session")
            };
            let (near, _) = core.pair(PairOptions::new(), (), Once(Some(act), made));
            core.get(near).expect("it is open").output().add(b"take it");
        });
        let id = receive(&ids);
        let mut back = [0; 5];
        peer.write_all(b"hello").expect("there is room");
        peer.read_exact(&mut back).expect("it comes back");
        assert_eq!(&back, b"hello", "{version:?}");
        peer.shutdown().expect("our goodbye is sent");
        assert_eq!(receive(&events), EventFlags::READING | EventFlags::EOF, "{version:?}");
        assert_eq!(peer.read(&mut back).expect("a clean end"), 0, "{version:?}");
        cores.wait_until_empty();
        assert!(cores.on_core(0, move |core| core.get(id).is_none()), "{version:?}");
    }
}
