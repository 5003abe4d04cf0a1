//! Connecting from a core: one event tells how it ended, and output given before waits for it.

mod rig;

use std::io::{ErrorKind, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{self, Receiver, Sender};

use rig::{ANY, BOUND, Server, pattern, read_exactly, receive};
use sluicegate::{BevId, Context, Event, EventFlags, Handler};

/// What a handler was told.
#[derive(Debug, PartialEq, Eq)]
enum Told {
    Event(EventFlags, Option<ErrorKind>),
    Read(Vec<u8>),
}

/// Reports every call and never closes by itself.
struct Reporting(Sender<Told>);

impl Handler for Reporting {
    fn on_read(&mut self, cx: &mut Context<'_>) {
        let (mut input, _) = cx.buffers();
        let mut bytes = vec![0; input.len()];
        input.remove(&mut bytes);
        self.0.send(Told::Read(bytes)).expect("the test waits");
    }

    fn on_event(&mut self, _: &mut Context<'_>, event: Event) {
        let error = event.error.map(|error| error.kind());
        self.0.send(Told::Event(event.flags, error)).expect("the test waits");
    }
}

/// Connects from the first core, with `early` as output given at once.
fn connect(server: &Server, to: SocketAddr, early: Vec<u8>) -> (BevId, Receiver<Told>) {
    let (told, tells) = mpsc::channel();
    let id = server.on_core(0, move |core| {
        let id = core.connect(to, Reporting(told)).expect("descriptors are free");
        core.get(id).expect("it was just made").output().add(&early);
        id
    });
    (id, tells)
}

fn accept(listener: &TcpListener) -> TcpStream {
    let (peer, _) = listener.accept().expect("the core connects");
    peer.set_read_timeout(Some(BOUND)).expect("not zero");
    peer
}

#[test]
fn connected_comes_first_then_data_then_the_end() {
    let listener = TcpListener::bind(ANY).expect("a port is free");
    let server = Server::idle(1);
    let addr = listener.local_addr().expect("it is bound");
    let (_, tells) = connect(&server, addr, Vec::new());
    let mut peer = accept(&listener);
    peer.write_all(b"welcome").expect("the core reads");
    assert_eq!(receive(&tells), Told::Event(EventFlags::CONNECTED, None));
    assert_eq!(receive(&tells), Told::Read(b"welcome".to_vec()));
    drop(peer);
    assert_eq!(receive(&tells), Told::Event(EventFlags::EOF | EventFlags::READING, None));
}

#[test]
fn an_end_that_is_there_before_the_core_looks_is_told() {
    let listener = TcpListener::bind(ANY).expect("a port is free");
    let addr = listener.local_addr().expect("it is bound");
    let server = Server::idle(1);
    let (told, tells) = mpsc::channel();
    // One event brings all of it: the core cannot look while it does this.
    server.on_core(0, move |core| {
        core.connect(addr, Reporting(told)).expect("descriptors are free");
        accept(&listener).write_all(b"welcome").expect("there is room");
    });
    assert_eq!(receive(&tells), Told::Event(EventFlags::CONNECTED, None));
    assert_eq!(receive(&tells), Told::Read(b"welcome".to_vec()));
    assert_eq!(receive(&tells), Told::Event(EventFlags::EOF | EventFlags::READING, None));
}

#[test]
fn output_given_before_the_connection_is_made_is_written_then() {
    let listener = TcpListener::bind(ANY).expect("a port is free");
    let server = Server::idle(1);
    let addr = listener.local_addr().expect("it is bound");
    let early = pattern(100_000);
    let (_, tells) = connect(&server, addr, early.clone());
    let mut peer = accept(&listener);
    assert!(read_exactly(&mut peer, early.len()) == early, "the bytes arrived changed");
    assert_eq!(receive(&tells), Told::Event(EventFlags::CONNECTED, None));
}

#[test]
fn a_refused_port_gives_one_error_and_nothing_else() {
    let listener = TcpListener::bind(ANY).expect("a port is free");
    let addr = listener.local_addr().expect("it is bound");
    drop(listener);
    let server = Server::idle(1);
    let (id, tells) = connect(&server, addr, b"for nobody".to_vec());
    let Told::Event(flags, error) = receive(&tells) else { panic!("data from nowhere") };
    assert!(flags.contains(EventFlags::ERROR) && !flags.contains(EventFlags::CONNECTED));
    assert_eq!(error, Some(ErrorKind::ConnectionRefused));
    // Each question and answer is a turn of the core in which more could be told.
    for _ in 0..20 {
        server.on_core(0, |_| ());
    }
    assert_eq!(tells.try_recv(), Err(mpsc::TryRecvError::Empty));
    server.on_core(0, move |core| core.get(id).expect("nobody closed it").close_now());
    server.wait_until_empty();
    assert_eq!(tells.recv_timeout(BOUND), Err(mpsc::RecvTimeoutError::Disconnected));
}

#[test]
fn a_connection_can_be_given_up_before_it_is_made() {
    let listener = TcpListener::bind(ANY).expect("a port is free");
    let addr = listener.local_addr().expect("it is bound");
    let server = Server::idle(1);
    server.on_core(0, move |core| {
        let id = core.connect(addr, ()).expect("descriptors are free");
        core.get(id).expect("it was just made").close_now();
        assert!(core.get(id).is_none(), "a closed one is not found");
    });
    server.wait_until_empty();
}
