//! Connections of the operating system between real cores.

use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::{Arc, mpsc};
use std::thread;

use sluicegate::{AttachRefusal, BevId, BevMut, Context, Handler, Shutdown};

use super::rig::{BOUND, Echo, Server, pattern, read_exactly, read_to_end, receive, round_trip};

/// Moves that a busy echo makes.
const MOVES: u32 = 1_000;

/// Echoes, and moves on with every read until it has moved often enough.
struct Nomad {
    moves: u32,
}

impl Handler for Nomad {
    fn on_read(&mut self, cx: &mut Context<'_>) {
        let (mut input, mut output) = cx.buffers();
        output.append(&mut input);
        if self.moves == MOVES {
            return;
        }
        let moves = self.moves + 1;
        let (to, handle) = (1 - cx.core().index(), cx.core().handle());
        let detached = cx.detach().expect("it is open");
        drop(handle.attach(to, detached, move |_| Self { moves }).expect("the core runs"));
    }
}

#[test]
fn a_busy_echo_that_moves_a_thousand_times_loses_and_reorders_nothing() {
    let server = Server::start(2, |_| Nomad { moves: 0 });
    let mut client = server.connect();
    let mut reader = client.try_clone().expect("a descriptor is left");
    let sent = Arc::new(pattern(8 << 20));
    let expected = sent.clone();
    let reading = thread::spawn(move || {
        let mut piece = vec![0; 64 << 10];
        let mut at = 0;
        while at < expected.len() {
            let count = reader.read(&mut piece).expect("the server answers");
            assert!(count > 0, "the end after {at} bytes");
            assert!(piece[..count] == expected[at..at + count], "other bytes, from {at} on");
            at += count;
        }
    });
    // In pieces, so that there are as many reads as moves; the writer never waits for the echo.
    for piece in sent.chunks(4 << 10) {
        client.write_all(piece).expect("the server reads");
    }
    reading.join().expect("all came back as it was");
    // A fast client has needed fewer reads.
    let moved = || server.sum(|core| core.handed_off);
    while moved() < u64::from(MOVES) {
        round_trip(&mut client, b"move on");
    }
    client.shutdown(std::net::Shutdown::Write).expect("it is connected");
    assert!(read_to_end(&mut client).is_empty());
    server.wait_until_empty();
    let (off, over) = (moved(), server.sum(|core| core.taken_over));
    assert_eq!((off, over), (u64::from(MOVES), u64::from(MOVES)));
    assert_eq!(server.sum(|core| core.handler_panics), 0);
}

#[test]
fn any_thread_may_carry_a_connection_from_core_to_core_or_drop_it() {
    let (made, ids) = mpsc::channel();
    let server = Server::start(2, move |conn| {
        made.send(conn.id()).expect("the test waits");
        Echo
    });
    for (output, drops) in [(false, false), (false, true), (true, true)] {
        let mut client = server.connect();
        round_trip(&mut client, b"here");
        let id: BevId = receive(&ids);
        let detached = server.on_core(id.core(), move |core| {
            if output {
                core.get(id).expect("it is open").output().add(b"never written");
            }
            core.detach(id).expect("it is open")
        });
        if drops {
            drop(detached);
            let mut byte = [0];
            match client.read(&mut byte) {
                Ok(0) => assert!(!output, "a good end of a stream that is not whole"),
                Err(error) => assert!(output && error.kind() == ErrorKind::ConnectionReset),
                Ok(_) => panic!("nobody had it"),
            }
            continue;
        }
        client.write_all(b"while nobody has it").expect("the kernel keeps it");
        let pending = server.handle.attach(1 - id.core(), detached, |_| Echo);
        let there = pending.expect("the core runs").wait().expect("it is taken");
        assert_eq!(there.core(), 1 - id.core());
        assert_eq!(read_exactly(&mut client, 19), b"while nobody has it");
        assert!(server.on_core(id.core(), move |core| core.get(id).is_none()));
        round_trip(&mut client, b"there");
        drop(client);
        server.wait_until_empty();
    }
}

#[test]
fn a_connection_in_the_unix_domain_moves_as_well() {
    let server = Server::idle(2);
    let (ours, mut client) = UnixStream::pair().expect("descriptors are left");
    client.set_read_timeout(Some(BOUND)).expect("not zero");
    let detached = server.on_core(0, move |core| {
        let id = core.adopt(ours, ()).expect("it is connected");
        core.get(id).expect("it is open").output().add(b"put out here, ");
        core.detach(id).expect("it is open")
    });
    assert_eq!(detached.peer_addr(), None);
    let make = |conn: &mut BevMut<'_>| {
        conn.output().add(b"and there: ");
        Echo
    };
    let pending = server.handle.attach(1, detached, make).expect("the core runs");
    pending.wait().expect("it is taken");
    client.write_all(b"hello").expect("the server reads");
    let mut came = [0; 30];
    client.read_exact(&mut came).expect("the server answers");
    assert_eq!(&came, b"put out here, and there: hello");
}

#[test]
fn a_connection_outlives_the_runtime_it_was_sent_to() {
    let (made, ids) = mpsc::channel();
    let server = Server::start(1, move |conn| {
        made.send(conn.id()).expect("the test waits");
        Echo
    });
    let ended = Server::idle(1);
    let handle = ended.handle.clone();
    handle.shutdown(Shutdown::Now);
    ended.join();
    let mut client = server.connect();
    let id = receive(&ids);
    let detached = server.on_core(0, move |core| core.detach(id).expect("it is open"));
    let refused = handle.attach(0, detached, |_| Echo).expect_err("the core has stopped");
    assert!(matches!(refused.reason, AttachRefusal::Stopped(_)), "{refused}");
    let pending = server.handle.attach(0, refused.detached, |_| Echo).expect("this one runs");
    pending.wait().expect("it is taken");
    round_trip(&mut client, b"home again");
}
