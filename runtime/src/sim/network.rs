//! The simulated network: connections, listeners, and what passes between them.
//!
//! Owns both ends of every connection and the agenda. It behaves as TCP on Linux does where a
//! program can tell: bytes and the end of a stream arrive later and in order; closing with bytes
//! unread, or sending to a closed socket, resets. Never knows what a core is: edges are told to
//! keys, and the test's own ends have none.
//!
//! Invariants: an edge is told once, with the state of the moment it is told, as epoll tells it;
//! who found no room gets an edge when a third of it is free; a stream that lost bytes ends in a
//! reset and in nothing else.
//!
//! A connection keeps about 300 bytes after its end, for the test to ask about it.

use std::collections::VecDeque;
use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, SocketAddr};

use core_buf::Readiness;
use groups::Time;

use super::agenda::Agenda;
use super::faults::Faults;
use super::listener::Listeners;
use super::pipe::Pipe;
use super::socket::{End, Socket};
use crate::driver::Ready;
use crate::id::Key;

/// What an edge is about.
#[derive(Clone, Copy, Debug)]
pub(super) enum Source {
    Stream(End),
    Listener(SocketAddr),
}

/// Something that will reach an end.
#[derive(Clone, Copy, Debug)]
enum Arrival {
    /// The first packet of a connection, at the listener of this address.
    Knock(SocketAddr),
    /// The answer to it.
    Made,
    Bytes(usize),
    EndOfStream,
    Broken(ErrorKind),
    /// Nothing but an edge.
    Edge,
}

/// An arrival at an end.
#[derive(Debug)]
pub(super) struct Event(End, Arrival);

/// All there is outside of the core.
#[derive(Debug)]
pub(super) struct Network {
    pub(super) agenda: Agenda<Event>,
    pub(super) faults: Faults,
    /// What one direction of a connection holds, for connections made from now on.
    pub(super) buffer_bytes: usize,
    sockets: Vec<Socket>,
    pub(super) listeners: Listeners,
    edges: VecDeque<Source>,
    /// Something has happened since the last wait: the test has not had its say.
    pub(super) stirred: bool,
}

impl Network {
    pub(super) fn new(seed: u64, faults: Faults, buffer_bytes: usize) -> Self {
        Self {
            agenda: Agenda::new(seed),
            faults,
            buffer_bytes,
            sockets: Vec::new(),
            listeners: Listeners::default(),
            edges: VecDeque::new(),
            stirred: false,
        }
    }

    pub(super) fn now(&self) -> Time {
        self.agenda.clock.now()
    }

    /// Moves on to the next event, at most to `until`, and lets it happen.
    pub(super) fn pass_time(&mut self, until: Time) {
        self.agenda.skip(until);
        self.catch_up();
    }

    /// Lets everything happen that is due.
    pub(super) fn catch_up(&mut self) {
        while let Some(Event(end, arrival)) = self.agenda.pop_due() {
            self.stirred = true;
            self.arrive(end, arrival);
        }
    }

    // ---- listeners and connections ----

    /// Stops listening; who was not accepted is reset.
    pub(super) fn close_listener(&mut self, addr: SocketAddr) {
        for end in self.listeners.remove(addr) {
            self.reset(end);
        }
    }

    /// Starts a connection; the answer comes later.
    pub(super) fn connect(&mut self, key: Option<Key>, to: SocketAddr) -> End {
        let client = End(self.sockets.len());
        let from = Ipv4Addr::from(u32::from(CLIENT_BLOCK).wrapping_add(client.0 as u32 / 2));
        let from = SocketAddr::from((from, CLIENT_PORT));
        for (key, addr) in [(key, from), (None, to)] {
            self.sockets.push(Socket::new(key, addr, Pipe::new(self.buffer_bytes)));
        }
        self.send(client.partner(), Arrival::Knock(to));
        client
    }

    /// Accepts who has waited longest, and says from which address it came.
    pub(super) fn accept(
        &mut self,
        listener: SocketAddr,
        key: Option<Key>,
    ) -> io::Result<(End, SocketAddr)> {
        let end = self.listeners.pop(listener)?;
        self.socket(end).key = key;
        // Registering tells the state of the moment, as epoll does.
        self.edge(end);
        Ok((end, self.socket(end.partner()).addr))
    }

    fn knock(&mut self, end: End, to: SocketAddr) {
        let client = end.partner();
        if self.listeners.queue(to, end) {
            self.edges.push_back(Source::Listener(to));
            self.send(client, Arrival::Made);
        } else {
            self.socket(end).closed = true;
            self.send(client, Arrival::Broken(ErrorKind::ConnectionRefused));
        }
    }

    // ---- what the owner of an end does ----

    /// Reads what has arrived.
    pub(super) fn read(&mut self, end: End, into: &mut [u8]) -> io::Result<usize> {
        let socket = self.socket(end);
        let count = socket.read(into)?;
        let spacious = socket.inbox.is_spacious();
        if spacious && std::mem::take(&mut self.socket(end.partner()).wants_room) {
            self.edge(end.partner());
        }
        Ok(count)
    }

    /// Sends bytes, as many as there is room for.
    pub(super) fn write(&mut self, end: End, bytes: &[u8]) -> io::Result<usize> {
        let socket = self.socket(end);
        socket.check_sending()?;
        let connecting = socket.connecting;
        let count = if connecting { 0 } else { self.socket(end.partner()).inbox.send(bytes) };
        self.socket(end).wants_room |= count < bytes.len();
        if count > 0 {
            self.send(end.partner(), Arrival::Bytes(count));
        } else if !bytes.is_empty() {
            return Err(ErrorKind::WouldBlock.into());
        }
        Ok(count)
    }

    /// Sends no more; the partner reads what was sent and then the end.
    pub(super) fn shut(&mut self, end: End) {
        let socket = self.socket(end);
        if !socket.shut && !socket.broken && !socket.closed {
            socket.shut = true;
            self.send(end.partner(), Arrival::EndOfStream);
        }
    }

    /// Closes an end; if bytes were left unread the partner is reset.
    pub(super) fn close(&mut self, end: End) {
        if self.socket(end).closed {
            return;
        }
        if self.socket(end).inbox.arrived() > 0 {
            return self.reset(end);
        }
        self.shut(end);
        self.socket(end).closed = true;
    }

    /// Closes an end by a reset; what it had sent and has not arrived is lost.
    pub(super) fn reset(&mut self, end: End) {
        let socket = self.socket(end);
        if !socket.closed {
            socket.closed = true;
            socket.inbox.discard();
            self.break_later(end.partner());
        }
    }

    /// The network itself breaks a connection: now for one end, later for the other.
    pub(super) fn cut(&mut self, end: End) {
        self.arrive(end, Arrival::Broken(ErrorKind::ConnectionReset));
        self.break_later(end.partner());
    }

    /// Has the state of an end told again, later.
    pub(super) fn edge_later(&mut self, end: End) {
        let at = self.agenda.later(&self.faults.delay);
        self.agenda.put(at, Event(end, Arrival::Edge));
    }

    pub(super) fn socket(&mut self, end: End) -> &mut Socket {
        &mut self.sockets[end.0]
    }

    // ---- what reaches an end ----

    /// Schedules an arrival, after everything that was sent to that end before.
    fn send(&mut self, end: End, arrival: Arrival) {
        let at = self.agenda.later(&self.faults.delay);
        let at = self.socket(end).inbox.in_order(at);
        self.agenda.put(at, Event(end, arrival));
    }

    fn break_later(&mut self, end: End) {
        self.socket(end).inbox.lose_in_flight();
        self.send(end, Arrival::Broken(ErrorKind::ConnectionReset));
    }

    fn arrive(&mut self, end: End, arrival: Arrival) {
        let socket = self.socket(end);
        match arrival {
            Arrival::Knock(to) => return self.knock(end, to),
            Arrival::Made => socket.connecting = false,
            Arrival::Bytes(_) if socket.closed => {
                socket.inbox.discard();
                return self.break_later(end.partner());
            }
            Arrival::Bytes(count) => socket.inbox.arrive(count),
            Arrival::EndOfStream => socket.inbox.end(),
            Arrival::Broken(error) => {
                socket.break_by(error);
                self.socket(end.partner()).inbox.lose_in_flight();
            }
            Arrival::Edge => {}
        }
        self.edge(end);
    }

    fn edge(&mut self, end: End) {
        let socket = self.socket(end);
        if socket.key.is_some() && !std::mem::replace(&mut socket.edge, true) {
            self.edges.push_back(Source::Stream(end));
        }
    }

    /// Tells the edges that wait, at most `most`, each with the state of now.
    pub(super) fn tell(&mut self, most: usize, ready: &mut Vec<Ready>) {
        for _ in 0..most {
            let Some(source) = self.edges.pop_front() else { return };
            let (key, readiness) = match source {
                Source::Stream(end) => {
                    let spacious = self.socket(end.partner()).inbox.is_spacious();
                    let socket = self.socket(end);
                    socket.edge = false;
                    (socket.key.filter(|_| !socket.closed), socket.readiness(spacious))
                }
                Source::Listener(addr) => (self.listeners.key(addr), Readiness::READABLE),
            };
            if let Some(key) = key.filter(|_| !readiness.is_empty()) {
                ready.push(Ready { key, readiness });
            }
        }
    }
}

/// The addresses of clients count up from here; no real network uses 240.0.0.0/4.
const CLIENT_BLOCK: Ipv4Addr = Ipv4Addr::new(240, 0, 0, 0);

/// The port of every client.
const CLIENT_PORT: u16 = 20_000;
