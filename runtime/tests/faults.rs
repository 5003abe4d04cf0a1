//! Peers that fail: each costs its own connection, which is counted out, and the next is served.

mod rig;

use std::io::{ErrorKind, Write};
use std::net::TcpStream;
use std::sync::mpsc::{self, Sender};

use rig::{
    ANY, ChildServer, Echo, Server, child_command, eventually, is_child, pattern, read_exactly,
    receive, reset, round_trip,
};
use rustix::process::{Resource, Rlimit, Signal, getrlimit, setrlimit};
use sluicegate::{Context, Event, EventFlags, Handler, Runtime};

/// More than the buffers of both ends hold.
const MUCH: usize = 32 << 20;

/// Answers anything with [`MUCH`] and reports its events.
struct Generous(Sender<(EventFlags, Option<ErrorKind>)>);

impl Handler for Generous {
    fn on_read(&mut self, cx: &mut Context<'_>) {
        let (mut input, mut output) = cx.buffers();
        input.drain(usize::MAX);
        output.add_shared(pattern(MUCH).into());
    }

    fn on_event(&mut self, cx: &mut Context<'_>, event: Event) {
        let error = event.error.map(|error| error.kind());
        self.0.send((event.flags, error)).expect("the test waits");
        cx.me().close_now();
    }
}

#[test]
fn a_peer_that_resets_in_the_middle_of_a_write_is_one_error() {
    let (told, tells) = mpsc::channel();
    let server = Server::start(1, move |_| Generous(told.clone()));
    for _ in 0..5 {
        let mut client = server.connect();
        client.write_all(b"?").expect("the server reads");
        assert_eq!(read_exactly(&mut client, 1000), pattern(1000));
        reset(client);
        let (flags, error) = receive(&tells);
        assert!(flags.contains(EventFlags::ERROR), "{flags:?}");
        let error = error.expect("an error comes with its reason");
        assert!(matches!(error, ErrorKind::ConnectionReset | ErrorKind::BrokenPipe), "{error}");
        server.wait_until_empty();
    }
    tells.try_recv().expect_err("no second event came");

    let mut next = server.connect();
    next.write_all(b"?").expect("the server reads");
    assert!(read_exactly(&mut next, MUCH) == pattern(MUCH), "the next got something else");
}

#[test]
fn clients_that_vanish_leave_nothing_behind() {
    let server = Server::start(2, |_| Echo);
    for size in [0, 1, 100_000] {
        for _ in 0..20 {
            let mut client = server.connect();
            client.write_all(&pattern(size)).expect("the server reads");
            reset(client);
        }
        server.assert_echoes();
        server.wait_until_empty();
    }
    assert_eq!(server.sum(|core| core.handler_panics), 0);
}

#[test]
fn clients_that_vanish_before_they_are_accepted_are_passed_over() {
    let mut runtime = Runtime::builder().cores(1).build().expect("cores can be built");
    let addr = runtime.listen(ANY, |_| Echo).expect("a port is free");
    for _ in 0..20 {
        reset(rig::connect(addr));
        drop(rig::connect(addr));
    }
    let mut patient = rig::connect(addr);
    let server = Server::run(addr, runtime);
    round_trip(&mut patient, b"still here");
    server.assert_echoes();
    drop(patient);
    server.wait_until_empty();
}

#[test]
fn a_peer_that_stops_reading_does_not_hold_a_closed_connection_for_ever() {
    struct Hurried;
    impl Handler for Hurried {
        fn on_read(&mut self, cx: &mut Context<'_>) {
            cx.buffers().1.add_shared(pattern(MUCH).into());
            cx.me().close_within(std::time::Duration::from_millis(100));
        }
    }
    let server = Server::start(1, |_| Hurried);
    let mut client = server.connect();
    client.write_all(b"?").expect("the server reads");
    eventually("it is accepted", || server.sum(|core| core.accepted) == 1);
    server.wait_until_empty();
    assert!(server.sum(|core| core.bytes_out) < MUCH as u64);
    drop(client);
}

/// How many connections the parent opens, all at once.
const CROWD: usize = 100;

/// How many descriptors the child has left for them, at most.
const DESCRIPTORS: u64 = 50;

/// A server that runs out of descriptors; says so, then serves until it is told to end.
fn serve_with_few_descriptors() {
    let mut runtime = Runtime::builder().cores(1).build().expect("cores can be built");
    let addr = runtime.listen(ANY, |_| Echo).expect("a port is free");
    // Building has raised the limit to the hard one, so it is lowered after that.
    let maximum = getrlimit(Resource::Nofile).maximum;
    let few = Rlimit { current: Some(DESCRIPTORS), maximum };
    setrlimit(Resource::Nofile, few).expect("a limit may be lowered");
    let handle = runtime.handle();
    eprintln!("READY {addr}");
    let watch = std::thread::spawn(move || {
        eventually("accepting rests", || handle.stats()[0].accept_backoffs > 0);
        let stats = handle.stats()[0];
        assert!(stats.connections < DESCRIPTORS, "{stats:?}");
        eprintln!("OUT after {}", stats.accepted);
    });
    runtime.run().expect("it runs");
    watch.join().expect("what it watched for came");
}

#[test]
fn out_of_descriptors_accepting_rests_and_goes_on_when_some_are_free() {
    if is_child() {
        return serve_with_few_descriptors();
    }
    let name = "out_of_descriptors_accepting_rests_and_goes_on_when_some_are_free";
    let mut child = ChildServer::spawn(child_command(name, &[]));
    let addr = child.wait_for("READY ").parse().expect("an address");
    let clients: Vec<TcpStream> = (0..CROWD).map(|_| rig::connect(addr)).collect();
    let accepted: usize = child.wait_for("OUT after ").parse().expect("a number");
    assert!(accepted < CROWD);
    // They are accepted in the order in which they came, as others leave.
    for mut client in clients {
        round_trip(&mut client, b"served after all");
    }
    round_trip(&mut rig::connect(addr), b"and the next too");
    child.signal(Signal::TERM);
    child.assert_success();
}
