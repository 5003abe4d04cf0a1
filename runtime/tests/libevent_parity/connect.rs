//! Connecting, with and without success: one event says which, then come text and end.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::mpsc::{self, Receiver, Sender};

use sluicegate::sim::Simulation;
use sluicegate::{BevMut, Context, Core, Event, EventFlags, Handler, ListenOptions};

use crate::TURNS;
use crate::rig::ends::{Log, Noting, settle};
use crate::rig::sim::{ADDR, LIMIT};
use crate::rig::{Server, receive};

/// What a server says before it closes.
const TEXT: &[u8] = b"whoever connects hears this, and nothing after it";

/// How many clients connect.
const CLIENTS: usize = 2;

/// The factory of a server that speaks once.
fn speak(conn: &mut BevMut<'_>) {
    conn.output().add(TEXT);
    conn.close();
}

/// What a client has seen until the end: its events and the bytes.
type Seen = (Vec<EventFlags>, Vec<u8>);

/// Reports what it saw when the end has come.
struct Client {
    seen: Seen,
    over: Sender<Seen>,
    /// Where another client is to connect to as soon as this one is connected.
    next: Option<SocketAddr>,
}

impl Client {
    fn connect(core: &mut Core, to: SocketAddr, over: Sender<Seen>, next: Option<SocketAddr>) {
        core.connect(to, Self { seen: Seen::default(), over, next }).expect("descriptors are free");
    }
}

impl Handler for Client {
    fn on_read(&mut self, cx: &mut Context<'_>) {
        let mut me = cx.me();
        let mut bytes = vec![0; me.input().len()];
        me.input().remove(&mut bytes);
        self.seen.1.extend(bytes);
    }

    fn on_event(&mut self, cx: &mut Context<'_>, event: Event) {
        self.seen.0.push(event.flags);
        if event.flags != EventFlags::CONNECTED {
            self.over.send(self.seen.clone()).expect("the test waits");
            cx.me().close();
        } else if let Some(to) = self.next.take() {
            Self::connect(cx.core(), to, self.over.clone(), None);
        }
    }
}

fn check_seen(seen: &Seen) {
    assert_eq!(seen.0, [EventFlags::CONNECTED, EventFlags::READING | EventFlags::EOF]);
    assert_eq!(seen.1, TEXT);
}

fn speaking(sim: &mut Simulation) -> SocketAddr {
    let listener = sim.core().listen(ADDR, ListenOptions::new(), speak);
    listener.expect("it is free").local_addr()
}

/// Runs until both clients have come to the end.
fn check_ends(sim: &mut Simulation, ends: &Receiver<Seen>) {
    let mut all = Vec::new();
    assert!(sim.run_until(LIMIT, |_| {
        all.extend(ends.try_iter());
        all.len() == CLIENTS
    }));
    all.iter().for_each(check_seen);
    settle(sim, TURNS);
    assert_eq!(sim.core().stats().connections, 0);
}

/// regress_bufferevent.c `bufferevent_connect`: two clients connect, read a text and the end.
#[test]
fn bufferevent_connect() {
    let mut sim = Simulation::new(1);
    let to = speaking(&mut sim);
    let (over, ends) = mpsc::channel();
    for _ in 0..CLIENTS {
        Client::connect(sim.core(), to, over.clone(), None);
    }
    check_ends(&mut sim, &ends);
}

/// regress_bufferevent.c `bufferevent_connect_defer`: nobody is called from within what he calls.
///
/// Differs: an option upstream, the only mode here.
#[test]
fn bufferevent_connect_defer() {
    let mut sim = Simulation::new(2);
    let to = speaking(&mut sim);
    let logs = [(); CLIENTS].map(|()| {
        let (handler, log) = Noting::new();
        sim.core().connect(to, handler).expect("it is simulated");
        log
    });
    assert_eq!(sim.core().stats().callbacks, 0);
    settle(&mut sim, TURNS);
    for log in logs {
        let heard = log.take();
        assert_eq!(heard.events, [EventFlags::CONNECTED, EventFlags::READING | EventFlags::EOF]);
        assert_eq!((heard.got, heard.writes), (TEXT.to_vec(), 0));
    }
}

/// Clients on so many cores, asked for by a thread that is none.
fn check_threads(cores: usize) {
    let server = Server::start(cores, speak);
    let (over, ends) = mpsc::channel();
    for client in 0..CLIENTS {
        let (to, over) = (server.addr, over.clone());
        server.on_core(client % cores, move |core| Client::connect(core, to, over, None));
    }
    for _ in 0..CLIENTS {
        check_seen(&receive(&ends));
    }
    server.wait_until_empty();
}

/// regress_bufferevent.c `bufferevent_connect_lock`: a thread has connections made elsewhere.
///
/// Differs: upstream a bufferevent that threads share has a lock. Here it belongs to a core, and
/// other threads ask that core by message.
#[test]
fn bufferevent_connect_lock() {
    check_threads(1);
}

/// regress_bufferevent.c `bufferevent_connect_lock_defer`: the same on a core for each client.
///
/// Differs as `bufferevent_connect_lock` does, and callbacks are always deferred.
#[test]
fn bufferevent_connect_lock_defer() {
    check_threads(CLIENTS);
}

/// regress_bufferevent.c `bufferevent_connect_unlocked_cbs`: while called, one may do anything.
///
/// Differs: upstream a lock has to be given up around a callback for that; here there is none.
#[test]
fn bufferevent_connect_unlocked_cbs() {
    let mut sim = Simulation::new(3);
    let to = speaking(&mut sim);
    let (over, ends) = mpsc::channel();
    Client::connect(sim.core(), to, over, Some(to));
    check_ends(&mut sim, &ends);
}

/// Where nobody listens.
const NOBODY: ([u8; 4], u16) = ([10, 0, 0, 3], 1);

/// regress_bufferevent.c `bufferevent_connect_fail`: a refused port is an error that says so.
#[test]
fn bufferevent_connect_fail() {
    let mut sim = Simulation::new(4);
    let log = Log::default();
    sim.core().connect(NOBODY.into(), Noting(log.clone())).expect("refused later");
    settle(&mut sim, TURNS);
    let heard = log.take();
    assert_eq!(heard.events, [EventFlags::ERROR]);
    assert_eq!(heard.errors, [ErrorKind::ConnectionRefused]);
}

/// Counts the callbacks of an attempt that fails.
fn check_one_event() {
    let mut sim = Simulation::new(5);
    let (handler, log) = Noting::new();
    let id = sim.core().connect(NOBODY.into(), handler).expect("refused later");
    assert_eq!(sim.core().stats().callbacks, 0, "not from within the call");
    sim.run_for(LIMIT);
    let heard = log.take();
    assert_eq!((heard.reads.len(), heard.writes, heard.events), (0, 0, vec![EventFlags::ERROR]));
    sim.core().get(id).expect("its handler has not closed it").close();
    settle(&mut sim, TURNS);
    assert_eq!((sim.core().stats().connections, log.take().events), (0, vec![]));
}

/// regress_bufferevent.c `bufferevent_connect_fail_eventcb`: the error is the only callback.
#[test]
fn bufferevent_connect_fail_eventcb() {
    check_one_event();
}

/// regress_bufferevent.c `bufferevent_connect_fail_eventcb_defer`: and it comes after the call.
///
/// Differs: an option upstream, the only mode here.
#[test]
fn bufferevent_connect_fail_eventcb_defer() {
    check_one_event();
}
