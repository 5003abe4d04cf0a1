//! A peer that writes and never reads: what the server holds for it is bounded, and nothing is
//! lost once it reads again.

mod rig;

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::mpsc;
use std::thread;
use std::time::Instant;

use rig::{BOUND, Echo, Server, pattern, receive};
use sluicegate::{BevId, Direction, Handler, ListenOptions, Suspend};

/// The most output the server may hold before it stops reading.
const MAX_OUTPUT: usize = 64 << 10;

/// The largest single read, by which the limit may be passed.
const MAX_READ: usize = 16 << 10;

/// Size of each kernel buffer asked for, so that little is enough to fill them.
const KERNEL_BUFFER: usize = 64 << 10;

/// Far more than all buffers on the way hold.
const MUCH: usize = 64 << 20;

/// How often in a row nothing must move before the flow counts as stopped.
const STILL: u32 = 100;

/// What the server holds for a connection, and what it has moved.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Held {
    input: usize,
    output: usize,
    bytes_in: u64,
    bytes_out: u64,
    suspended: Suspend,
}

fn held(server: &Server, id: BevId) -> Held {
    server.on_core(0, move |core| {
        let stats = core.stats();
        let mut conn = core.get(id).expect("it is open");
        Held {
            input: conn.input().len(),
            output: conn.output().len(),
            bytes_in: stats.bytes_in,
            bytes_out: stats.bytes_out,
            suspended: conn.suspended(Direction::Read),
        }
    })
}

/// Writes the pattern until nothing moves any more; returns how much was taken.
fn write_until_stopped(client: &mut TcpStream, server: &Server, id: BevId) -> usize {
    let data = pattern(MUCH);
    let (mut sent, mut still, mut last) = (0, 0, None);
    let start = Instant::now();
    client.set_nonblocking(true).expect("a socket can be");
    while still < STILL {
        assert!(start.elapsed() < BOUND, "the flow never stopped");
        assert!(sent < MUCH, "the server takes whatever it is sent");
        match client.write(&data[sent..]) {
            Ok(count) => sent += count,
            Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock, "{error}"),
        }
        let now = held(server, id);
        assert!(now.output <= MAX_OUTPUT + MAX_READ, "it holds {} bytes", now.output);
        assert!(now.input <= MAX_READ, "it holds {} bytes unread", now.input);
        still = if last == Some((sent, now)) { still + 1 } else { 0 };
        last = Some((sent, now));
    }
    client.set_nonblocking(false).expect("a socket can be");
    sent
}

#[test]
fn a_peer_that_never_reads_is_not_read_from_and_later_gets_everything() {
    let (made, ids) = mpsc::channel();
    let options = ListenOptions::new().send_buffer(KERNEL_BUFFER).receive_buffer(KERNEL_BUFFER);
    let server = Server::start_with(1, options, move |conn| {
        conn.set_max_output(MAX_OUTPUT);
        made.send(conn.id()).expect("the test waits");
        Echo
    });
    let mut client = server.connect();
    let id = receive(&ids);
    let sent = write_until_stopped(&mut client, &server, id);
    let stopped = held(&server, id);
    assert!(!stopped.suspended.is_empty(), "it stands still without having been suspended");
    assert!(stopped.output >= MAX_OUTPUT, "it stopped at {} bytes already", stopped.output);
    assert_eq!(stopped.bytes_in, stopped.bytes_out + (stopped.input + stopped.output) as u64);

    // Others are served meanwhile.
    server.assert_echoes();

    let mut back = Vec::new();
    let mut reader = client.try_clone().expect("a descriptor is free");
    client.shutdown(Shutdown::Write).expect("it is connected");
    thread::scope(|scope| {
        scope.spawn(|| reader.read_to_end(&mut back).expect("the server closes in order"));
    });
    assert_eq!(back.len(), sent);
    assert!(back == pattern(sent), "the bytes came back changed");
    drop((client, reader));
    server.wait_until_empty();
}

/// Leaves its input where it is.
struct Leaves;
impl Handler for Leaves {}

#[test]
fn reading_rests_at_the_high_mark_until_the_input_is_consumed() {
    const HIGH: usize = 32 << 10;
    let (made, ids) = mpsc::channel();
    let server = Server::start(1, move |conn| {
        conn.set_read_watermark(0, HIGH);
        made.send(conn.id()).expect("the test waits");
        Leaves
    });
    let mut client = server.connect();
    client.write_all(&pattern(4 * HIGH)).expect("the kernel takes it");
    let id = receive(&ids);
    rig::eventually("the input is full", || held(&server, id).input >= HIGH);
    for _ in 0..STILL {
        assert_eq!(held(&server, id).input, HIGH, "it reads past its mark");
    }
    let mut seen = Vec::new();
    while seen.len() < 4 * HIGH {
        let piece = server.on_core(0, move |core| {
            let mut conn = core.get(id).expect("it is open");
            let mut input = conn.input();
            let mut piece = vec![0; input.len()];
            input.remove(&mut piece);
            piece
        });
        assert!(piece.len() <= HIGH);
        seen.extend(piece);
    }
    assert!(seen == pattern(4 * HIGH), "the bytes arrived changed");
}
