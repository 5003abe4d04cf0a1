//! libevent's cases of TLS, restated for what stands in their place here.
//!
//! One test for each upstream case, named for it; the first line of its comment names the case. A
//! test asserts what we do: where that differs from libevent on purpose, the comment says how and
//! why. Upstream: libevent 2.2, `test/regress_ssl.c`. Each runs under TLS 1.2 and 1.3, where
//! upstream takes what the two ends agree on. All in virtual time, over sockets of the core to
//! itself, but the one case that is about connecting, which uses the machine's.
//!
//! Here: the game of numbers, in which each end answers a number with the next one until 1001, and
//! how it ends. In `libevent_parity_tls/`: time, connecting and marks, and what was reported to
//! libevent and no upstream case covers: two crashes and the loss of tickets.
//!
//! Upstream, closing says no goodbye, so the peer of one that closes is told of an error. Here it
//! hears a clean end, unless the session is told to end in silence; the cases of a "dirty shutdown"
//! do that. `runtime/tests/tidy.rs` checks that the tests are as many as the upstream cases.
#![cfg(feature = "tls")]

#[path = "libevent_parity_tls/connect.rs"]
mod connect;
#[path = "libevent_parity_tls/crash.rs"]
mod crash;
#[path = "libevent_parity_tls/mark.rs"]
mod mark;
mod rig;
#[path = "libevent_parity_tls/timeout.rs"]
mod timeout;

use std::sync::{Arc, Mutex, MutexGuard};

use rig::ends::{End, Noting, settle, taking_sockets};
use rig::sim::LIMIT;
use rig::tls::{Configs, VERSIONS};
use sluicegate::openssl::ssl::Ssl;
use sluicegate::sim::Simulation;
use sluicegate::tls::{Shutdown, TlsVersion};
use sluicegate::{
    BevId, Context, Direction, Eol, Event, EventFlags, Handler, SocketError, TlsOptions, TlsState,
};

const READ: Direction = Direction::Read;
const WRITE: Direction = Direction::Write;

/// Turns in which whatever a test does must have settled.
const TURNS: usize = 10_000;

/// The number whose receiver closes.
const LAST: u32 = 1001;

/// The number at which new keys are asked for; the client receives it.
const NEW_KEYS_AT: u32 = 600;

/// What both ends together have been told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Score {
    /// How often the last number was reached.
    done: usize,
    connected: usize,
    eof: usize,
    errors: usize,
    timeouts: usize,
}

/// The score, shared by both ends and the test.
#[derive(Clone, Default)]
struct Board(Arc<Mutex<Score>>);

impl Board {
    fn score(&self) -> MutexGuard<'_, Score> {
        self.0.lock().expect("no panic while held")
    }
}

/// What the end that is told of an end does.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Then {
    Close,
    /// Takes the session off and the socket out before.
    TakeSocket,
    /// Shows that there is no socket to take out over a session, then closes.
    AskForSocket,
}

/// An end that answers numbers.
#[derive(Clone)]
struct Player {
    board: Board,
    is_client: bool,
    renegotiates: bool,
    /// Writes the first number when it is told CONNECTED.
    begins_connected: bool,
    then: Then,
}

impl Player {
    /// One that just plays.
    fn new(board: &Board, is_client: bool) -> Self {
        let board = board.clone();
        let (renegotiates, begins_connected, then) = (false, false, Then::Close);
        Self { board, is_client, renegotiates, begins_connected, then }
    }

    fn leave(&self, cx: &mut Context<'_>) {
        match self.then {
            Then::Close => {}
            Then::TakeSocket => {
                assert!(cx.me().peer_addr().is_some(), "the socket is there still");
                let (bottom, _ssl) = cx.me().release_tls().expect("it is on top");
                let bev = cx.get(bottom).expect("it was given back");
                let _closed = bev.into_socket().expect("it has one");
                assert!(cx.get(bottom).is_none(), "and now it is gone");
                return;
            }
            Then::AskForSocket => {
                let none = cx.me().into_socket().expect_err("its bytes move through another one");
                assert!(matches!(none, SocketError::InMemory), "{none}");
            }
        }
        cx.me().close();
    }
}

impl Handler for Player {
    fn on_read(&mut self, cx: &mut Context<'_>) {
        let mut me = cx.me();
        let Some(line) = me.input().read_line(Eol::Lf) else { return };
        let number = String::from_utf8(line).ok().and_then(|line| line.parse::<u32>().ok());
        let number = number.expect("a number comes");
        if number == LAST {
            self.board.score().done += 1;
            me.close();
            return;
        }
        if self.renegotiates && number == NEW_KEYS_AT {
            me.renegotiate().expect("it may");
        }
        me.output().add(format!("{}\n", number + 1).as_bytes());
        me.enable(WRITE);
        me.disable(READ);
    }

    fn on_write(&mut self, cx: &mut Context<'_>) {
        let mut me = cx.me();
        if me.output().is_empty() {
            me.disable(WRITE);
            me.enable(READ);
        }
    }

    fn on_event(&mut self, cx: &mut Context<'_>, event: Event) {
        let has = |flag| usize::from(event.flags.contains(flag));
        let mut score = self.board.score();
        score.connected += has(EventFlags::CONNECTED);
        score.eof += has(EventFlags::EOF);
        score.errors += has(EventFlags::ERROR);
        score.timeouts += has(EventFlags::TIMEOUT);
        drop(score);
        if event.flags != EventFlags::CONNECTED {
            return self.leave(cx);
        }
        let mut me = cx.me();
        let shown = me.ssl().expect("there is a session").peer_certificate();
        assert_eq!(shown.is_some(), self.is_client, "only the server has a certificate");
        if self.begins_connected {
            me.output().add(b"1\n");
        }
    }
}

/// How the session stands.
#[derive(Clone, Copy, Debug, PartialEq)]
enum On {
    /// Next to the socket.
    Socket,
    /// Over a bufferevent that has the socket.
    Filter,
}

impl On {
    /// Puts a session over an end, with its handler on top.
    fn secure(
        self,
        sim: &mut Simulation,
        low: BevId,
        (ssl, state): (Ssl, TlsState),
        options: TlsOptions,
        handler: impl Handler,
    ) -> BevId {
        let mut bottom = sim.core().get(low).expect("it is open");
        let made = match self {
            Self::Filter => {
                bottom.set_handler(handler).expect("nobody is above");
                drop(bottom);
                sim.core().tls_filter(low, ssl, state, options)
            }
            Self::Socket => {
                let taken = bottom.into_socket().expect("it has one");
                assert!(taken.input.is_empty() && taken.output.is_empty());
                sim.core().tls_socket(Some(taken.socket), ssl, state, options, handler)
            }
        };
        let id = made.expect("a session");
        let below = sim.core().get(id).expect("it is open").underlying();
        assert_eq!(below == Some(low), self == Self::Filter);
        id
    }
}

/// A case of the game.
#[derive(Clone, Copy, Debug)]
struct Case {
    on: On,
    renegotiates: bool,
    /// The sessions are taken off once they are connected, and put back open.
    starts_open: bool,
    /// The one who closes says no goodbye.
    dirty: bool,
    begins_connected: bool,
    then: Then,
}

impl Case {
    const fn new(on: On) -> Self {
        let (renegotiates, starts_open, dirty, begins_connected) = (false, false, false, false);
        Self { on, renegotiates, starts_open, dirty, begins_connected, then: Then::Close }
    }

    const fn renegotiates(self) -> Self {
        Self { renegotiates: true, ..self }
    }

    const fn starts_open(self) -> Self {
        Self { starts_open: true, ..self }
    }

    const fn dirty(self) -> Self {
        Self { dirty: true, ..self }
    }

    const fn begins_connected(self) -> Self {
        Self { begins_connected: true, ..self }
    }

    const fn then(self, then: Then) -> Self {
        Self { then, ..self }
    }

    /// Plays under each version, and where the end is dirty with both opinions of that.
    fn check(self) {
        for version in VERSIONS {
            let opinions = if self.dirty { &[true, false][..] } else { &[false] };
            for &allows_dirty in opinions {
                self.play(version, allows_dirty);
            }
        }
    }

    fn options(self, allows_dirty: bool) -> TlsOptions {
        let shutdown = if self.dirty { Shutdown::Immediate } else { Shutdown::default() };
        TlsOptions::new().shutdown(shutdown).allow_dirty_shutdown(allows_dirty)
    }

    fn play(self, version: TlsVersion, allows_dirty: bool) {
        let mut sim = Simulation::new(1);
        let (options, board) = (self.options(allows_dirty), Board::default());
        let (low_a, low_b) = taking_sockets(&mut sim);
        let (ssl_a, ssl_b) = Configs::new(version).objects();
        let ends = [(low_a, ssl_a, TlsState::Connecting), (low_b, ssl_b, TlsState::Accepting)];
        let mut ids = ends.map(|(low, ssl, state)| {
            let player = Player {
                renegotiates: self.renegotiates,
                begins_connected: self.begins_connected && state == TlsState::Connecting,
                then: self.then,
                ..Player::new(&board, state == TlsState::Connecting)
            };
            self.on.secure(&mut sim, low.id, (ssl, state), options, player)
        });
        if self.starts_open {
            settle(&mut sim, TURNS);
            assert_eq!(board.score().connected, 2);
            ids = ids.map(|id| self.put_back(&mut sim, id, options, &board));
        }
        if !self.begins_connected {
            sim.core().get(ids[0]).expect("it is open").output().add(b"1\n");
        }
        // Nothing may be called from within what the test calls.
        let told = if self.starts_open { 2 } else { 0 };
        assert_eq!(*board.score(), Score { connected: told, ..Score::default() });
        sim.run_until(LIMIT, |sim| sim.core().stats().connections == 0);

        let (eof, errors) = if self.dirty && !allows_dirty { (0, 1) } else { (1, 0) };
        let connected = 2 + usize::from(self.renegotiates);
        let due = Score { done: 1, connected, eof, errors, timeouts: 0 };
        assert_eq!(*board.score(), due, "{self:?} {version:?}, dirty ends allowed: {allows_dirty}");
        assert_freed(&mut sim);
    }

    /// Takes the session off and puts it back with its handshake over.
    fn put_back(
        self,
        sim: &mut Simulation,
        id: BevId,
        options: TlsOptions,
        board: &Board,
    ) -> BevId {
        let mut bev = sim.core().get(id).expect("it is open");
        let (low, ssl) = bev.release_tls().expect("it is on top");
        drop(bev);
        let player = Player { then: self.then, ..Player::new(board, !ssl.is_server()) };
        self.on.secure(sim, low, (ssl, TlsState::Open), options, player)
    }
}

/// Nothing of either end is left, and nothing is to happen: only whoever listens is there.
fn assert_freed(sim: &mut Simulation) {
    settle(sim, TURNS);
    let (held, stats) = (sim.held(), sim.core().stats());
    assert_eq!((stats.connections, stats.filters), (0, 0));
    assert_eq!((held.slots, held.wires, held.timers, held.seats), (1, 0, 0, 0), "{held:?}");
    let callbacks = stats.callbacks;
    sim.run_for(LIMIT);
    assert_eq!(sim.core().stats().callbacks, callbacks, "nobody is called any more");
}

/// regress_ssl.c `bufferevent_socketpair`: numbers to 1001, two CONNECTED, one good end.
///
/// Differs: the end is a good one, as closing says goodbye.
#[test]
fn bufferevent_socketpair() {
    Case::new(On::Socket).check();
}

/// regress_ssl.c `bufferevent_socketpair_batch_write`: many small writes make one record.
///
/// Differs: an option upstream, which copies all that waits at each write; here it is always so,
/// and copies what goes into a record once.
#[test]
fn bufferevent_socketpair_batch_write() {
    const PIECES: usize = 64;
    const PIECE: [u8; 16] = *b"sixteen bytes...";
    for version in VERSIONS {
        let mut sim = Simulation::new(2);
        let (a, b) = taking_sockets(&mut sim);
        let (ssl_a, ssl_b) = Configs::new(version).objects();
        let [(top, _), (_, far)] =
            [(a, (ssl_a, TlsState::Connecting)), (b, (ssl_b, TlsState::Accepting))].map(
                |(low, ssl)| {
                    let (noting, log) = Noting::new();
                    let id = On::Socket.secure(&mut sim, low.id, ssl, TlsOptions::new(), noting);
                    (End { id, log: log.clone() }, log)
                },
            );
        settle(&mut sim, TURNS);
        let sent = sim.core().stats().bytes_out;
        for _ in 0..PIECES {
            top.write(&mut sim, &PIECE);
        }
        settle(&mut sim, TURNS);
        assert_eq!(far.take().got, PIECE.repeat(PIECES), "{version:?}");
        // The overhead of a record is 22 bytes in TLS 1.3 and 29 in TLS 1.2 with these ciphers.
        let overhead = sim.core().stats().bytes_out - sent - (PIECES * PIECE.len()) as u64;
        assert!((1..=40).contains(&overhead), "{version:?}: {overhead} bytes");
    }
    Case::new(On::Socket).check();
}

/// regress_ssl.c `bufferevent_socketpair_write_after_connect`: the first number waits till then.
#[test]
fn bufferevent_socketpair_write_after_connect() {
    Case::new(On::Socket).begins_connected().check();
}

/// regress_ssl.c `bufferevent_filter`: the game over bufferevents that have the sockets.
#[test]
fn bufferevent_filter() {
    Case::new(On::Filter).check();
}

/// regress_ssl.c `bufferevent_filter_write_after_connect`: the same, begun at CONNECTED.
#[test]
fn bufferevent_filter_write_after_connect() {
    Case::new(On::Filter).begins_connected().check();
}

/// regress_ssl.c `bufferevent_renegotiate_socketpair`: new keys at 600, told by one CONNECTED more.
///
/// Differs: upstream calls OpenSSL past the bufferevent, nobody is told, and the case is compiled
/// out with OpenSSL. Here the bufferevent is asked, and under TLS 1.3 updates its keys.
#[test]
fn bufferevent_renegotiate_socketpair() {
    Case::new(On::Socket).renegotiates().check();
}

/// regress_ssl.c `bufferevent_renegotiate_filter`: the same over a bufferevent.
///
/// Differs as `bufferevent_renegotiate_socketpair` does.
#[test]
fn bufferevent_renegotiate_filter() {
    Case::new(On::Filter).renegotiates().check();
}

/// regress_ssl.c `bufferevent_socketpair_startopen`: sessions go on that were shaken hands before.
#[test]
fn bufferevent_socketpair_startopen() {
    Case::new(On::Socket).starts_open().check();
}

/// regress_ssl.c `bufferevent_filter_startopen`: the same over bufferevents.
#[test]
fn bufferevent_filter_startopen() {
    Case::new(On::Filter).starts_open().check();
}

/// regress_ssl.c `bufferevent_socketpair_dirty_shutdown`: an end without goodbye is EOF if allowed.
///
/// Where it is not allowed the same end is an error.
#[test]
fn bufferevent_socketpair_dirty_shutdown() {
    Case::new(On::Socket).dirty().check();
}

/// regress_ssl.c `bufferevent_filter_dirty_shutdown`: the same over bufferevents.
#[test]
fn bufferevent_filter_dirty_shutdown() {
    Case::new(On::Filter).dirty().check();
}

/// regress_ssl.c `bufferevent_renegotiate_socketpair_dirty_shutdown`: the same after new keys.
#[test]
fn bufferevent_renegotiate_socketpair_dirty_shutdown() {
    Case::new(On::Socket).renegotiates().dirty().check();
}

/// regress_ssl.c `bufferevent_renegotiate_filter_dirty_shutdown`: the same over bufferevents.
#[test]
fn bufferevent_renegotiate_filter_dirty_shutdown() {
    Case::new(On::Filter).renegotiates().dirty().check();
}

/// regress_ssl.c `bufferevent_socketpair_startopen_dirty_shutdown`: the same of open sessions.
#[test]
fn bufferevent_socketpair_startopen_dirty_shutdown() {
    Case::new(On::Socket).starts_open().dirty().check();
}

/// regress_ssl.c `bufferevent_filter_startopen_dirty_shutdown`: the same over bufferevents.
#[test]
fn bufferevent_filter_startopen_dirty_shutdown() {
    Case::new(On::Filter).starts_open().dirty().check();
}

/// regress_ssl.c `bufferevent_socketpair_fd`: who is told of the end may take the socket out.
///
/// Differs: upstream detaches it and keeps an empty bufferevent. Here the session is taken off
/// first, and the bufferevent ends with its socket.
#[test]
fn bufferevent_socketpair_fd() {
    Case::new(On::Socket).then(Then::TakeSocket).check();
}

/// regress_ssl.c `bufferevent_socketpair_freed`: after the end nothing waits for the socket.
///
/// Upstream looks at two events of the bufferevent; here the core has nothing left of it, be it a
/// socket, a session or a timer, and calls nobody. Every game checks that.
#[test]
fn bufferevent_socketpair_freed() {
    Case::new(On::Socket).check();
}

/// regress_ssl.c `bufferevent_socketpair_freed_fd`: nor does anything once it was taken out.
///
/// Differs as `bufferevent_socketpair_fd` does.
#[test]
fn bufferevent_socketpair_freed_fd() {
    Case::new(On::Socket).dirty().then(Then::TakeSocket).check();
}

/// regress_ssl.c `bufferevent_filter_freed_fd`: over another bufferevent there is none to take out.
#[test]
fn bufferevent_filter_freed_fd() {
    Case::new(On::Filter).then(Then::AskForSocket).check();
}
