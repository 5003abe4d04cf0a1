//! An echo server on real sockets: every byte comes back, once, in order, whoever sends how much.

mod rig;

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener};
use std::sync::mpsc::{self, Sender};
use std::thread;

use rig::{Echo, Server, pattern, read_to_end, receive, round_trip};
use sluicegate::{Context, Event, EventFlags, Handler, Runtime};

#[test]
fn connections_land_on_every_core_and_the_figures_add_up() {
    const CLIENTS: usize = 64;
    const ROUNDS: usize = 20;
    let server = Server::start(2, |_| Echo);
    let mut clients: Vec<_> = (0..CLIENTS).map(|_| server.connect()).collect();
    let mut bytes = 0;
    for round in 0..ROUNDS {
        for (at, client) in clients.iter_mut().enumerate() {
            let message = format!("message {round} of client {at}");
            round_trip(client, message.as_bytes());
            bytes += message.len() as u64;
        }
    }
    rig::eventually("both cores have published what they moved", || {
        server.sum(|core| core.bytes_in) == bytes && server.sum(|core| core.bytes_out) == bytes
    });
    let stats = server.handle.stats();
    assert_eq!(stats.iter().map(|core| core.accepted).sum::<u64>(), CLIENTS as u64);
    assert_eq!(stats.iter().map(|core| core.connections).sum::<u64>(), CLIENTS as u64);
    for (index, core) in stats.iter().enumerate() {
        assert!(core.accepted > 0, "core {index} got no connection: {stats:?}");
        assert!(core.bytes_in > 0, "core {index} served nobody: {stats:?}");
    }
    drop(clients);
    server.wait_until_empty();
}

#[test]
fn messages_of_any_size_come_back_whole_and_in_order() {
    const SIZES: [usize; 9] = [1, 2, 63, 4096, 16_383, 16_384, 16_385, 70_001, 3 << 20];
    let server = Server::start(2, |_| Echo);
    let clients: Vec<_> = (0..4).map(|_| server.connect()).collect();
    thread::scope(|scope| {
        for client in &clients {
            scope.spawn(move || {
                for size in SIZES {
                    (&mut &*client).write_all(&pattern(size)).expect("the server reads");
                }
            });
            scope.spawn(move || {
                for size in SIZES {
                    let mut back = vec![0; size];
                    (&mut &*client).read_exact(&mut back).expect("the server answers");
                    assert!(back == pattern(size), "{size} bytes came back changed");
                }
            });
        }
    });
}

#[test]
fn many_small_messages_on_one_connection_keep_their_order() {
    const MESSAGES: u32 = 20_000;
    let server = Server::start(1, |_| Echo);
    let client = server.connect();
    thread::scope(|scope| {
        scope.spawn(|| {
            for number in 0..MESSAGES {
                (&mut &client).write_all(&number.to_be_bytes()).expect("the server reads");
            }
        });
        for number in 0..MESSAGES {
            let mut back = [0; 4];
            (&mut &client).read_exact(&mut back).expect("the server answers");
            assert_eq!(u32::from_be_bytes(back), number);
        }
    });
}

#[test]
fn ipv6_is_served_like_ipv4() {
    if let Err(error) = TcpListener::bind("[::1]:0") {
        return eprintln!("SKIPPED: this machine has no IPv6 loopback: {error}");
    }
    let mut runtime = Runtime::builder().cores(2).build().expect("cores can be built");
    let addr = runtime.listen("[::1]:0", |_| Echo).expect("a port is free");
    assert!(addr.is_ipv6() && addr.port() != 0, "{addr}");
    let server = Server::run(addr, runtime);
    for _ in 0..8 {
        round_trip(&mut server.connect(), b"over the sixth version");
    }
}

#[test]
fn a_client_that_closes_its_sending_side_gets_all_that_is_left() {
    let server = Server::start(1, |_| Echo);
    let sent = pattern(3 << 20);
    let mut client = server.connect();
    let mut sender = client.try_clone().expect("a descriptor is free");
    thread::scope(|scope| {
        scope.spawn(|| {
            sender.write_all(&sent).expect("the server reads");
            sender.shutdown(Shutdown::Write).expect("it is connected");
        });
        assert!(read_to_end(&mut client) == sent, "what came back is not what was sent");
    });
    drop((client, sender));
    server.wait_until_empty();
}

/// Reports how much had arrived when the end of the stream did.
struct Counting {
    bytes: usize,
    at_end: Sender<usize>,
}

impl Handler for Counting {
    fn on_read(&mut self, cx: &mut Context<'_>) {
        let (mut input, _) = cx.buffers();
        self.bytes += input.drain(usize::MAX);
    }

    fn on_event(&mut self, cx: &mut Context<'_>, event: Event) {
        assert!(event.flags.contains(EventFlags::EOF | EventFlags::READING), "{event:?}");
        self.at_end.send(self.bytes).expect("the test waits");
        cx.me().close();
    }
}

#[test]
fn data_is_delivered_before_the_end_of_the_stream() {
    let (at_end, ends) = mpsc::channel();
    let server = Server::start(1, move |_| Counting { bytes: 0, at_end: at_end.clone() });
    for size in [0, 1, 16_384, 16_385, 1 << 20] {
        let mut client = server.connect();
        client.write_all(&pattern(size)).expect("the server reads");
        client.shutdown(Shutdown::Write).expect("it is connected");
        assert_eq!(receive(&ends), size);
        assert!(read_to_end(&mut client).is_empty());
    }
}
