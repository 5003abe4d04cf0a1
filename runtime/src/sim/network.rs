//! The simulated network: connections, listeners, and what passes between them.
//!
//! Owns both ends of every connection and the agenda. It behaves as TCP on Linux does where a
//! program can tell: bytes and the end of a stream arrive later and in order; closing with bytes
//! unread, or sending to a closed socket, resets. Of a core it knows the names it gives to sockets,
//! by which edges are told, and until when it sleeps; the test's own ends have no names.
//!
//! Invariants: an edge is told once, with the state of the moment it is told, as epoll tells it;
//! who found no room gets an edge when a third of it is free; a stream that lost bytes ends in a
//! reset and in nothing else.
//!
//! A connection keeps about 300 bytes after its end, for the test to ask about it.

use std::collections::VecDeque;
use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use core_buf::Readiness;
use groups::Time;

use super::agenda::Agenda;
use super::faults::Faults;
use super::listener::{Door, Listeners};
use super::pipe::Pipe;
use super::socket::{End, Socket};
use crate::driver::Ready;
use crate::id::BevId;

/// What an edge is about.
#[derive(Clone, Copy, Debug)]
pub(super) enum Source {
    Stream(End),
    Listener(Door),
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
    /// What is still to be told, for each core.
    edges: Vec<VecDeque<Source>>,
    /// Until when each core sleeps, if its last wait found nothing.
    asleep: Vec<Option<Time>>,
    /// Something has happened since the last wait: the test has not had its say.
    pub(super) stirred: bool,
}

impl Network {
    pub(super) fn new(seed: u64, faults: Faults, buffer_bytes: usize, cores: usize) -> Self {
        Self {
            agenda: Agenda::new(seed),
            faults,
            buffer_bytes,
            sockets: Vec::new(),
            listeners: Listeners::default(),
            edges: vec![VecDeque::new(); cores],
            asleep: vec![None; cores],
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

    /// A core looks around.
    pub(super) fn wake(&mut self, core: u16) {
        self.asleep[usize::from(core)] = None;
    }

    /// A core has nothing to do before `until`. Alone it lets time pass at once; of several one
    /// may still give another something to do.
    pub(super) fn sleep(&mut self, core: u16, until: Time) {
        self.asleep[usize::from(core)] = Some(until);
        if self.asleep.len() == 1 {
            self.pass_time(until);
        }
    }

    /// Lets time pass, at most to `until`, if all cores sleep and nothing waits to be told.
    pub(super) fn pass_if_idle(&mut self, until: Time) {
        let hears = |&(edges, asleep): &(&VecDeque<Source>, &Option<Time>)| {
            !edges.is_empty() && *asleep != Some(Time::MAX)
        };
        let untold = self.edges.iter().zip(&self.asleep).any(|core| hears(&core));
        let wakes = self.asleep.iter().copied().min().flatten();
        if let Some(wakes) = wakes.filter(|_| !untold) {
            self.pass_time(until.min(wakes));
            self.stirred = false;
        }
    }

    /// A core has stopped: it never wakes again, and nothing can be told it.
    pub(super) fn stop(&mut self, core: usize) {
        self.asleep[core] = Some(Time::MAX);
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
    pub(super) fn close_listener(&mut self, door: Door) {
        for end in self.listeners.remove(door) {
            self.reset(end);
        }
    }

    /// Starts a connection; the answer comes later.
    pub(super) fn connect(&mut self, id: Option<BevId>, to: SocketAddr) -> End {
        let client = self.join(id, to);
        self.send(client.partner(), Arrival::Knock(to));
        client
    }

    /// Makes the two ends of a connection, that of the client and, its partner, at address `to`.
    pub(super) fn join(&mut self, id: Option<BevId>, to: SocketAddr) -> End {
        let client = End(self.sockets.len());
        let from = Ipv4Addr::from(u32::from(CLIENT_BLOCK).wrapping_add(client.0 as u32 / 2));
        let from = SocketAddr::from((from, CLIENT_PORT));
        for (id, addr) in [(id, from), (None, to)] {
            self.sockets.push(Socket::new(id, addr, Pipe::new(self.buffer_bytes)));
        }
        client
    }

    /// Accepts who has waited longest, and says from which address it came.
    pub(super) fn accept(
        &mut self,
        door: Door,
        id: Option<BevId>,
    ) -> io::Result<(End, SocketAddr)> {
        let end = self.listeners.pop(door)?;
        self.name(end, id);
        Ok((end, self.socket(end.partner()).addr))
    }

    /// Has the edges of an end told under a name, or to nobody.
    pub(super) fn name(&mut self, end: End, id: Option<BevId>) {
        let socket = self.socket(end);
        let told = std::mem::replace(&mut socket.id, id);
        // What waits to be told the owner before is not for this one, who may be another core.
        if let Some(told) = told.filter(|_| std::mem::take(&mut socket.edge)) {
            let is_other = |source: &Source| !matches!(source, Source::Stream(at) if *at == end);
            self.edges[told.core()].retain(is_other);
        }
        // Registering tells the state of the moment, as epoll does.
        self.edge(end);
    }

    fn knock(&mut self, end: End, to: SocketAddr) {
        let client = end.partner();
        if self.listeners.is_silent(to) {
            return;
        }
        if let Some(door) = self.queue(to, end) {
            if let Some(id) = self.listeners.id(door) {
                self.edges[id.core()].push_back(Source::Listener(door));
            }
            let odds = self.faults.late_connects;
            let late = self.socket(client).id.is_some() && self.agenda.chance(odds);
            self.send_late(client, Arrival::Made, if late { LATE } else { Duration::ZERO });
        } else {
            self.socket(end).closed = true;
            self.send(client, Arrival::Broken(ErrorKind::ConnectionRefused));
        }
    }

    /// Lets an end wait at one of the doors of an address, by chance as the kernel's hash is; says
    /// which, if one is there and has room.
    fn queue(&mut self, to: SocketAddr, end: End) -> Option<Door> {
        let doors = self.listeners.doors_at(to);
        let last = doors.len().checked_sub(1)?;
        let door = doors[self.agenda.between(0, last as u64) as usize];
        self.listeners.queue(door, end).then_some(door)
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
        self.send_late(end, arrival, Duration::ZERO);
    }

    /// As [`send`](Self::send), with so much more delay, which what is sent later waits out too.
    fn send_late(&mut self, end: End, arrival: Arrival, by: Duration) {
        let at = self.agenda.later(&self.faults.delay) + by;
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
        if let Some(id) = socket.id
            && !std::mem::replace(&mut socket.edge, true)
        {
            self.edges[id.core()].push_back(Source::Stream(end));
        }
    }

    /// Tells a core the edges that wait for it, at most `most`, each with the state of now.
    pub(super) fn tell(&mut self, core: u16, most: usize, ready: &mut Vec<Ready>) {
        for _ in 0..most {
            let Some(source) = self.edges[usize::from(core)].pop_front() else { return };
            let (id, readiness) = match source {
                Source::Stream(end) => {
                    let spacious = self.socket(end.partner()).inbox.is_spacious();
                    let socket = self.socket(end);
                    socket.edge = false;
                    (socket.id.filter(|_| !socket.closed), socket.readiness(spacious))
                }
                Source::Listener(door) => (self.listeners.id(door), Readiness::READABLE),
            };
            if let Some(id) = id.filter(|_| !readiness.is_empty()) {
                ready.push(Ready { key: id.key, readiness });
            }
        }
    }
}

/// The addresses of clients count up from here; no real network uses 240.0.0.0/4.
const CLIENT_BLOCK: Ipv4Addr = Ipv4Addr::new(240, 0, 0, 0);

/// How late a late answer to a connection is: enough to accept, to write and to close meanwhile.
const LATE: Duration = Duration::from_millis(100);

/// The port of every client.
const CLIENT_PORT: u16 = 20_000;
