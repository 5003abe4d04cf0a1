//! The panic policy: what panics takes its own connection along, is counted, and nothing else
//! notices.

mod rig;

use std::io::Write;
use std::net::TcpStream;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use rig::{Echo, Server, eventually, receive, round_trip, wait_for_close};
use sluicegate::{Context, Direction, Event, Filter, FilterOptions, Handler, Shutdown};

/// Panics where its input says.
struct Fragile;

impl Handler for Fragile {
    fn on_read(&mut self, cx: &mut Context<'_>) {
        let (input, _) = cx.buffers();
        match input.first() {
            b"read" => panic!("asked to in on_read"),
            b"write" => cx.me().enable(Direction::Write),
            _ => Echo.on_read(cx),
        }
    }

    fn on_write(&mut self, cx: &mut Context<'_>) {
        let (input, _) = cx.buffers();
        assert!(input.first() != b"write", "asked to in on_write");
    }

    fn on_event(&mut self, _: &mut Context<'_>, event: Event) {
        panic!("asked to in on_event, {event:?}");
    }

    fn on_drain(&mut self, _: &mut Context<'_>) {
        panic!("asked to in on_drain");
    }
}

fn fragile() -> Server {
    Server::start(1, |_| Fragile)
}

/// One of a connection's own panics: counted, closed, and the next connection is served.
fn assert_contained(server: &Server, victim: &mut TcpStream, bystander: &mut TcpStream) {
    wait_for_close(victim);
    eventually("the panic is counted", || server.sum(|core| core.handler_panics) == 1);
    round_trip(bystander, b"nothing happened here");
    round_trip(&mut server.connect(), b"and the next is served");
}

#[test]
fn a_panic_in_on_read_closes_its_connection_only() {
    let server = fragile();
    let (mut victim, mut bystander) = (server.connect(), server.connect());
    round_trip(&mut bystander, b"hello");
    victim.write_all(b"read").expect("the server reads");
    assert_contained(&server, &mut victim, &mut bystander);
}

#[test]
fn a_panic_in_on_write_closes_its_connection_only() {
    let server = fragile();
    let (mut victim, mut bystander) = (server.connect(), server.connect());
    round_trip(&mut bystander, b"hello");
    victim.write_all(b"write").expect("the server reads");
    assert_contained(&server, &mut victim, &mut bystander);
}

#[test]
fn a_panic_in_on_event_closes_its_connection_only() {
    let server = fragile();
    let (mut victim, mut bystander) = (server.connect(), server.connect());
    round_trip(&mut bystander, b"hello");
    victim.shutdown(std::net::Shutdown::Write).expect("it is connected");
    assert_contained(&server, &mut victim, &mut bystander);
}

#[test]
fn a_panic_in_on_drain_does_not_hold_the_drain_up() {
    let server = fragile();
    let (mut victim, mut other) = (server.connect(), server.connect());
    round_trip(&mut victim, b"hello");
    round_trip(&mut other, b"hello");
    server.handle.shutdown(Shutdown::Drain);
    wait_for_close(&mut victim);
    wait_for_close(&mut other);
    assert_eq!(server.join().cores[0].handler_panics, 2);
}

#[test]
fn a_panic_in_the_factory_closes_the_new_connection_only() {
    let made = AtomicUsize::new(0);
    let server = Server::start(1, move |_| {
        assert!(made.fetch_add(1, Ordering::Relaxed) != 1, "asked to in the factory");
        Fragile
    });
    let mut bystander = server.connect();
    round_trip(&mut bystander, b"hello");
    let mut victim = server.connect();
    assert_contained(&server, &mut victim, &mut bystander);
}

#[test]
fn a_panic_in_a_task_or_timer_ends_that_alone() {
    let server = fragile();
    let mut bystander = server.connect();
    round_trip(&mut bystander, b"hello");
    let (fired, fires) = mpsc::channel();
    server.handle.submit_to(0, |_| panic!("asked to in a task")).expect("the core runs");
    server.on_core(0, move |core| {
        core.after(Duration::ZERO, |_| panic!("asked to in a timer"));
        core.after(Duration::from_millis(2), move |_| fired.send(()).expect("the test waits"));
    });
    receive(&fires);
    eventually("the panics are counted", || server.sum(|core| core.handler_panics) == 2);
    round_trip(&mut bystander, b"nothing happened here");
    round_trip(&mut server.connect(), b"and the next is served");
}

#[test]
fn a_panic_of_a_filter_as_it_is_dropped_is_counted_and_no_more() {
    struct Fragile;
    impl Filter for Fragile {}
    impl Drop for Fragile {
        fn drop(&mut self) {
            panic!("asked to as it is dropped");
        }
    }
    let server = Server::start(1, |conn| {
        conn.filter(Fragile, FilterOptions::new()).expect("it is open");
        Echo
    });
    let (mut first, mut other) = (server.connect(), server.connect());
    round_trip(&mut first, b"hello");
    drop(first);
    eventually("the panic is counted", || server.sum(|core| core.handler_panics) == 1);
    round_trip(&mut other, b"nothing happened here");
    assert_eq!(server.sum(|core| core.filters), 1);
}
