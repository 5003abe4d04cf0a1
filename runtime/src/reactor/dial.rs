//! Connecting by the name of a host: a lookup, then several attempts, of which the first wins.
//!
//! Owns the steps between the state of a stream that dials (`dial/`) and the driver. Each attempt
//! has a slot and a key of its own; the winner's socket moves under the key of the stream, as one
//! from outside would. Whatever ends a dial takes its attempts, its timer and its claim to an
//! answer with it.
//!
//! Invariants: the dial of a stream is in its transport, or in the hands of one function here;
//! every attempt in the table belongs to a dial that lists it.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use core_buf::{Link, Readiness};

use super::{Core, Timer};
use crate::dial::{self, ConnectHostError, Dial, Move, Phase, Question, Race};
use crate::driver::Ready;
use crate::error::Result;
use crate::handler::Handler;
use crate::id::{BevId, Key};
use crate::slot::{Attempt, Occupant, Transport};

impl Core {
    /// Starts connecting to a host by name or address; CONNECTED or ERROR comes as an event.
    ///
    /// The name is looked up by the runtime's [`Resolve`](crate::Resolve), off this core. Its
    /// addresses are tried in turn, IPv6 and IPv4 alternating, each a quarter of a second after the
    /// one before or as soon as one fails, at most 16; the first that connects is kept, and is then
    /// the [`peer_addr`](crate::BevMut::peer_addr). Output given before is written to it. A write
    /// timeout bounds the whole, lookup included. ERROR carries a [`ConnectHostError`].
    ///
    /// # Errors
    /// The host or port cannot be one, too many lookups wait, or the core ends.
    ///
    /// # Examples
    /// ```
    /// use std::time::Duration;
    ///
    /// use sluicegate::sim::Simulation;
    ///
    /// let mut sim = Simulation::new(1);
    /// let listener = sim.listen("10.0.0.7:5432".parse()?)?;
    /// let addresses = ["fd00::7".parse()?, "10.0.0.7".parse()?];
    /// sim.set_host("db.internal", &addresses, Duration::from_millis(20));
    /// let id = sim.core().connect_host("db.internal", 5432, ())?;
    /// sim.core().get(id).expect("it is open").output().add(b"hello");
    /// sim.run_for(Duration::from_secs(1));
    /// let peer = sim.accept(listener).expect("it was the second address");
    /// assert_eq!(sim.read(peer), b"hello");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn connect_host(&mut self, host: &str, port: u16, handler: impl Handler) -> Result<BevId> {
        self.open(handler, |core, key| core.dial(key, host, port))
    }

    /// Has a stream, or the one at the bottom of its stack, connect to a host.
    pub(crate) fn dial(&mut self, key: Key, host: &str, port: u16) -> Result<()> {
        let key = self.socket_place(key)?;
        dial::check(host, port)?;
        let now = self.now;
        let host = Box::<str>::from(host);
        let phase = match dial::literal(&host, port) {
            Some(addr) => Phase::Racing(Race::new(now, vec![addr])),
            None => {
                let ticket = Arc::new(());
                let (host, ticket) = (host.clone(), (Arc::downgrade(&ticket), ticket));
                let question = Question { host, port, key, ticket: ticket.0 };
                self.lookups.clone().look_up(self, question)?;
                Phase::LookingUp(ticket.1)
            }
        };
        self.hang_up(key);
        if let Some(stream) = self.slots.stream(key) {
            stream.bev.renew(now, Link::Awaited);
        }
        let dial = Dial { host, port, phase, attempts: Vec::new(), timer: None };
        self.advance(key, Box::new(dial));
        Ok(())
    }

    /// The lookup of a stream that still waits for it is over.
    pub(crate) fn handle_answer(&mut self, key: Key, answer: io::Result<Vec<SocketAddr>>) {
        let Some(mut dial) = self.take_dial(key) else { return };
        match answer.and_then(not_empty) {
            Ok(addresses) => {
                dial.phase = Phase::Racing(Race::new(self.now, addresses));
                self.advance(key, dial);
            }
            Err(source) => {
                let error = ConnectHostError::Lookup { host: dial.host.into_string(), source };
                self.conclude(key, Readiness::empty(), Some(error.into()));
            }
        }
    }

    /// The next attempt of a dial is due.
    pub(super) fn fire_dial_timer(&mut self, key: Key) {
        if let Some(mut dial) = self.take_dial(key) {
            dial.timer = None;
            self.advance(key, dial);
        }
    }

    /// An attempt may be over.
    pub(super) fn finish_attempt(&mut self, event: Ready, Attempt { owner, addr }: Attempt) {
        let key = event.key;
        let Some(outcome) = self.outcome(event) else { return };
        let Some(mut dial) = self.take_dial(owner) else { return };
        let outcome = outcome
            .and_then(|()| self.driver.detach(key))
            .and_then(|socket| self.place(owner, socket, Some(addr)));
        dial.attempts.retain(|&attempt| attempt != key);
        self.end_attempt(key);
        match outcome {
            Ok(()) => {
                self.cancel_dial(*dial);
                self.conclude(owner, event.readiness, None);
            }
            Err(error) => {
                if let Phase::Racing(race) = &mut dial.phase {
                    race.handle_failure(self.now, addr, error);
                }
                self.advance(owner, dial);
            }
        }
    }

    /// Ends a dial whose stream goes on without it, or ends.
    pub(super) fn cancel_dial(&mut self, dial: Dial) {
        for attempt in dial.attempts {
            self.end_attempt(attempt);
        }
        if let Some(timer) = dial.timer {
            self.wheel.cancel(timer);
        }
    }

    /// Starts the attempts that are due and puts the dial back; or tells that none is left.
    fn advance(&mut self, key: Key, mut dial: Box<Dial>) {
        let now = self.now;
        if let Some(timer) = dial.timer.take() {
            self.wheel.cancel(timer);
        }
        while let Phase::Racing(race) = &mut dial.phase {
            match race.poll_move(now) {
                Move::Try(addr) => match self.attempt(key, addr) {
                    Ok(attempt) => dial.attempts.push(attempt),
                    Err(error) => race.handle_failure(now, addr, error),
                },
                Move::Wait(at) => {
                    dial.timer = at.map(|at| self.wheel.arm(at, Timer::Dial(key)));
                    break;
                }
                Move::Lost => {
                    let (attempts, host) = (race.take_failures(), dial.host.into_string());
                    let error = ConnectHostError::Connect { host, port: dial.port, attempts };
                    return self.conclude(key, Readiness::empty(), Some(error.into()));
                }
            }
        }
        if let Some(stream) = self.slots.stream(key) {
            stream.transport = Transport::Dialing(dial);
        }
        self.update(key);
    }

    /// Starts an attempt, under a key of its own.
    fn attempt(&mut self, owner: Key, addr: SocketAddr) -> io::Result<Key> {
        let key = self.slots.reserve();
        if let Err(error) = self.driver.connect(key, addr) {
            self.slots.unreserve(key);
            return Err(error);
        }
        self.slots.occupy(key, Occupant::Attempt(Box::new(Attempt { owner, addr })));
        self.stats.attempts += 1;
        Ok(key)
    }

    /// Closes the socket of an attempt, unless that has moved on, and frees its slot.
    fn end_attempt(&mut self, key: Key) {
        self.driver.close(key);
        self.slots.vacate(key);
        self.stats.attempts -= 1;
    }

    /// Takes the dial of a stream in hand, if it dials.
    fn take_dial(&mut self, key: Key) -> Option<Box<Dial>> {
        let transport = &mut self.slots.stream(key)?.transport;
        match std::mem::replace(transport, Transport::Vacant) {
            Transport::Dialing(dial) => Some(dial),
            other => {
                *transport = other;
                None
            }
        }
    }
}

fn not_empty(addresses: Vec<SocketAddr>) -> io::Result<Vec<SocketAddr>> {
    if addresses.is_empty() {
        return Err(io::Error::new(io::ErrorKind::NotFound, "it has no address"));
    }
    Ok(addresses)
}
