//! A session made before there is a connection, also as it was reported to lose its tickets, and
//! one whose server takes its time.

use std::sync::mpsc;
use std::time::Duration;

use sluicegate::sim::Simulation;
use sluicegate::{BevMut, ListenOptions, TlsOptions, TlsState};

use crate::rig::ends::{End, Noting, settle};
use crate::rig::sim::{ADDR, LIMIT};
use crate::rig::tls::{Configs, HOST, VERSIONS};
use crate::rig::{Echo, Server, eventually};
use crate::{Board, Player, READ, Score, TURNS, WRITE, assert_freed};

/// The game to its good end.
const PLAYED: Score = Score { done: 1, connected: 2, eof: 1, errors: 0, timeouts: 0 };

/// regress_ssl.c `bufferevent_connect`: a session without a socket gets one by connecting.
#[test]
fn bufferevent_connect() {
    for version in VERSIONS {
        let (board, configs) = (Board::default(), Configs::new(version));
        let (accepting, theirs) = (configs.server, Player::new(&board, false));
        let server = Server::start(1, move |conn| {
            conn.tls_accept(&accepting, TlsOptions::new()).expect("it has just been accepted");
            theirs.clone()
        });
        let (to, ours, client) = (server.addr, Player::new(&board, true), configs.client);
        server.on_core(0, move |core| {
            let ssl = client.connect(0, core.now(), HOST).expect("an object");
            let (state, options) = (TlsState::Connecting, TlsOptions::new());
            let id = core.tls_socket(None, ssl, state, options, ours).expect("a session");
            let mut bev = core.get(id).expect("it waits");
            bev.connect(to).expect("it can be tried");
            bev.output().add(b"1\n");
        });
        eventually("one end has heard of the end", || {
            let score = *board.score();
            score.eof + score.errors + score.timeouts > 0
        });
        server.wait_until_empty();
        assert_eq!(*board.score(), PLAYED, "{version:?}");
    }
}

/// regress_ssl.c `bufferevent_connect_sleep`: while the server takes its time the client does not
/// try again and again.
///
/// Differs: upstream allows a hundred calls for the whole game, counted in a BIO. Here the core
/// counts its own; in the second of waiting it makes none at all but to send its first flight.
#[test]
fn bufferevent_connect_sleep() {
    for version in VERSIONS {
        let mut sim = Simulation::new(4);
        let (board, configs) = (Board::default(), Configs::new(version));
        let (made, ids) = mpsc::channel();
        let factory = move |conn: &mut BevMut<'_>| {
            conn.disable(READ);
            conn.disable(WRITE);
            made.send(conn.id()).expect("the test waits");
        };
        let listener = sim.core().listen(ADDR, ListenOptions::new(), factory);
        let addr = listener.expect("it is free").local_addr();
        let (ours, theirs) = configs.objects();
        let (state, options) = (TlsState::Connecting, TlsOptions::new());
        let player = Player::new(&board, true);
        let id = sim.core().tls_socket(None, ours, state, options, player).expect("a session");
        let mut bev = sim.core().get(id).expect("it waits");
        bev.connect(addr).expect("it can be tried");
        bev.output().add(b"1\n");
        drop(bev);
        let mut accepted = None;
        assert!(sim.run_until(LIMIT, |_| {
            accepted = accepted.or_else(|| ids.try_recv().ok());
            accepted.is_some()
        }));
        sim.run_for(Duration::from_secs(1));
        let stats = sim.core().stats();
        let (calls, turns) = (stats.reads + stats.writes, stats.turns);
        assert!(
            (1..=4).contains(&calls) && turns < 20,
            "{version:?}: {calls} calls, {turns} turns"
        );
        assert_eq!(*board.score(), Score::default(), "{version:?}");

        let mut bev = sim.core().get(accepted.expect("one was")).expect("it is open");
        bev.set_handler(Player::new(&board, false)).expect("nobody is above");
        bev.tls(theirs, TlsState::Accepting, options).expect("a session");
        drop(bev);
        sim.run_until(LIMIT, |sim| sim.core().stats().connections == 0);
        assert_eq!(*board.score(), PLAYED, "{version:?}");
        assert_freed(&mut sim);
    }
}

/// The broken tickets of libevent's #1897: a session that is made without a socket (-1) and gets
/// one later resumes as any other does, and what it is given resumes others.
#[test]
fn issue_1897_a_session_made_without_a_socket_resumes_by_its_ticket() {
    for (version, connects) in VERSIONS.into_iter().flat_map(|it| [(it, true), (it, false)]) {
        let case = format!("{version:?}, by connecting: {connects}");
        let (mut sim, configs) = (Simulation::new(4), Configs::new(version));
        let accepting = configs.server.clone();
        let factory = move |conn: &mut BevMut<'_>| {
            conn.tls_accept(&accepting, TlsOptions::new()).expect("it is new");
            Echo
        };
        let listener = sim.core().listen(ADDR, ListenOptions::new(), factory);
        let to = listener.expect("it is free").local_addr();
        for resumed in [false, true, true] {
            let ssl = configs.client.connect(0, sim.now(), HOST).expect("an object");
            let (noting, log) = Noting::new();
            let (state, options) = (TlsState::Connecting, TlsOptions::new());
            let id = sim.core().tls_socket(None, ssl, state, options, noting).expect("a session");
            if connects {
                sim.core().get(id).expect("it waits").connect(to).expect("it can be tried");
            } else {
                let bottom = sim.core().connect(to, ()).expect("it can be tried");
                settle(&mut sim, TURNS);
                let bottom = sim.core().get(bottom).expect("it is open");
                let socket = bottom.into_socket().expect("it is connected").socket;
                sim.core().get(id).expect("it waits").set_socket(socket).expect("it has none");
            }
            let end = End { id, log };
            end.write(&mut sim, b"hello");
            settle(&mut sim, TURNS);
            assert_eq!(end.log.take().got, b"hello", "{case}");
            let mut bev = end.bev(&mut sim);
            let ssl = bev.ssl().expect("there is a session");
            assert_eq!(ssl.session_reused(), resumed, "{case}");
            bev.close();
            drop(bev);
            settle(&mut sim, TURNS);
        }
        assert_freed(&mut sim);
    }
}
