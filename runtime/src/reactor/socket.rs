//! Sockets of streams: from an address, from outside, back outside, one after another.
//!
//! Owns nothing: the socket is the driver's, under the key of its stream. A stream may be without
//! one, and then waits for it with whatever was put out. Everything that gives a stream a socket
//! passes `place` or the driver's `connect`, and everything that takes one away `hang_up`, a close
//! or [`Core::take_socket`].
//!
//! Invariant: the driver knows a socket under a stream's key exactly while its transport says so.

use std::io;
use std::net::SocketAddr;

use core_buf::{Bufferevent, Link, Readiness, Suspend};
use groups::Direction;

use super::Core;
use crate::driver::{Driver, Ready};
use crate::error::{Error, Result};
use crate::filter::TakenByFilter;
use crate::handle::Stopped;
use crate::handler::Handler;
use crate::id::{BevId, Key};
use crate::slot::Transport;
use crate::socket::{Socket, SocketError, TakenSocket, UnixAddress, UnixError};

impl Core {
    /// Starts connecting to an address; CONNECTED or ERROR comes as an event.
    ///
    /// Output may be given at once; it is written when the connection is made.
    ///
    /// # Errors
    /// The attempt fails at once: usually no descriptor or no route is left.
    pub fn connect(&mut self, to: SocketAddr, handler: impl Handler) -> Result<BevId> {
        self.open(handler, |core, key| core.reconnect(key, to))
    }

    /// As [`connect`](Self::connect), to a Unix-domain socket: a path, or a name after `@`.
    ///
    /// Such a connection is made at once or not at all; CONNECTED comes as for others. It has no
    /// [`peer_addr`](crate::BevMut::peer_addr), and its peer cannot always tell an end that cut
    /// something off from a good one.
    ///
    /// # Errors
    /// [`UnixError`]: the address is none, nobody listens there, or too many wait there.
    pub fn connect_unix(
        &mut self,
        to: impl Into<UnixAddress>,
        handler: impl Handler,
    ) -> Result<BevId> {
        let to = to.into();
        self.open(handler, |core, key| core.reconnect_unix(key, &to))
    }

    /// Takes over a connected socket, such as one that other code has accepted or connected.
    ///
    /// It is made non-blocking and is closed with its bufferevent; its other options stay. No
    /// CONNECTED comes.
    ///
    /// # Errors
    /// The socket is not connected, or the core has no use for it: it is closed.
    ///
    /// # Examples
    /// ```
    /// use std::time::Duration;
    ///
    /// use sluicegate::sim::Simulation;
    /// use sluicegate::{Context, Handler};
    ///
    /// struct Echo;
    /// impl Handler for Echo {
    ///     fn on_read(&mut self, cx: &mut Context<'_>) {
    ///         let (mut input, mut output) = cx.buffers();
    ///         output.append(&mut input);
    ///     }
    /// }
    ///
    /// let mut sim = Simulation::new(1);
    /// // On real cores a `std::net::TcpStream` takes the place of this.
    /// let (socket, peer) = sim.socket("10.0.0.9:4000".parse()?);
    /// sim.core().adopt(socket, Echo)?;
    /// sim.write(peer, b"hello");
    /// sim.run_for(Duration::from_millis(1));
    /// assert_eq!(sim.read(peer), b"hello");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn adopt(&mut self, socket: impl Into<Socket>, handler: impl Handler) -> Result<BevId> {
        let socket = socket.into();
        self.open(handler, |core, key| Ok(core.set_socket(key, socket)?))
    }

    /// A bufferevent that has no socket yet: give it one by [`set_socket`], or [`connect`] it.
    ///
    /// Output may be given, limits, marks, timeouts and filters set; timeouts run from the moment
    /// it connects. Closed before, it discards its output. On a core that has been told to end at
    /// once it is closed from the start.
    ///
    /// [`set_socket`]: crate::BevMut::set_socket
    /// [`connect`]: crate::BevMut::connect
    pub fn unconnected(&mut self, handler: impl Handler) -> BevId {
        let key = self.slots.reserve();
        let bev = Bufferevent::unconnected(self.now);
        self.occupy(key, bev, Some(Box::new(handler)), Transport::Vacant, None);
        self.settle_in(key);
        self.id(key)
    }

    /// A new stream that `connect` gives a socket or the prospect of one.
    pub(super) fn open(
        &mut self,
        handler: impl Handler,
        connect: impl FnOnce(&mut Self, Key) -> Result<()>,
    ) -> Result<BevId> {
        if self.refuses_streams() {
            return Err(Stopped { core: self.index() }.into());
        }
        let id = self.unconnected(handler);
        match connect(self, id.key) {
            Ok(()) => Ok(id),
            Err(error) => {
                if let Some(stream) = self.slots.stream(id.key) {
                    stream.bev.close_now();
                }
                self.update(id.key);
                Err(error)
            }
        }
    }

    /// Takes the socket out of a stream, which is closed.
    pub(crate) fn take_socket(&mut self, key: Key) -> Result<TakenSocket, SocketError> {
        self.check_open(key)?;
        let Some(stream) = self.slots.stream(key) else { return Err(SocketError::Closing) };
        match stream.transport {
            Transport::Pair(_) | Transport::Stage(_) => return Err(SocketError::InMemory),
            Transport::Gone => return Err(SocketError::Closing),
            Transport::Vacant => return Err(SocketError::Unconnected),
            Transport::Dialing(_) => return Err(SocketError::Connecting),
            Transport::Socket { .. } if stream.bev.is_connecting() => {
                return Err(SocketError::Connecting);
            }
            Transport::Socket { .. } => {}
        }
        let socket = self.driver.detach(key).map_err(SocketError::Driver)?;
        stream.transport = Transport::Vacant;
        let (input, output) = stream.bev.dissolve();
        self.update(key);
        Ok(TakenSocket { socket, input, output })
    }

    /// Gives a stream, or the one at the bottom of its stack, another socket.
    pub(crate) fn set_socket(&mut self, key: Key, socket: Socket) -> Result<(), SocketError> {
        let key = self.socket_place(key)?;
        let peer = socket.peer().map_err(SocketError::NotConnected)?;
        self.hang_up(key);
        self.place(key, socket, peer).map_err(SocketError::Driver)?;
        if let Some(stream) = self.slots.stream(key) {
            stream.bev.renew(self.now, Link::Made);
        }
        self.update(key);
        Ok(())
    }

    /// Connects a stream, or the one at the bottom of its stack, to an address.
    pub(crate) fn reconnect(&mut self, key: Key, to: SocketAddr) -> Result<()> {
        self.reconnect_by(key, Some(to), |driver, key| {
            driver.connect(key, to).map_err(|source| Error::Connect { addr: to, source })
        })
    }

    /// As [`reconnect`](Self::reconnect), in the Unix domain.
    pub(crate) fn reconnect_unix(&mut self, key: Key, to: &UnixAddress) -> Result<()> {
        let addr = to.to_std()?;
        self.reconnect_by(key, None, |driver, key| {
            let connecting = driver.connect_unix(key, &addr);
            let refused = |source| UnixError::Connect { address: to.clone(), source };
            connecting.map_err(|source| refused(source).into())
        })
    }

    fn reconnect_by(
        &mut self,
        key: Key,
        peer: Option<SocketAddr>,
        connect: impl FnOnce(&mut dyn Driver, Key) -> Result<()>,
    ) -> Result<()> {
        let key = self.socket_place(key)?;
        self.hang_up(key);
        connect(self.driver.as_mut(), key)?;
        if let Some(stream) = self.slots.stream(key) {
            stream.transport = Transport::Socket { peer };
            stream.bev.renew(self.now, Link::Awaited);
        }
        self.update(key);
        Ok(())
    }

    /// The stream that takes the socket which is meant for `key`: itself, or the one at the bottom.
    pub(super) fn socket_place(&self, key: Key) -> Result<Key, SocketError> {
        self.check_open(self.top(key))?;
        let key = self.bottom(key);
        let Some(stream) = self.slots.look(key) else { return Err(SocketError::Closing) };
        let has_failed = stream.bev.suspended(Direction::Write).contains(Suspend::ENDED);
        match stream.transport {
            _ if stream.bev.is_closing() => Err(SocketError::Closing),
            Transport::Vacant | Transport::Dialing(_) if !has_failed => Ok(key),
            Transport::Pair(_) => Err(SocketError::InMemory),
            // A session can begin again. Others above know how the old connection went.
            #[cfg(feature = "tls")]
            _ if self.restarts(key) => Ok(key),
            _ => self.check_open(key).map(|()| key),
        }
    }

    /// Checks that a stream is not closing and has nothing above it.
    fn check_open(&self, key: Key) -> Result<(), SocketError> {
        match self.slots.look(key) {
            Some(stream) if stream.above.is_some() => {
                Err(TakenByFilter(self.id(self.top(key))).into())
            }
            Some(stream) if !stream.bev.is_closing() => Ok(()),
            _ => Err(SocketError::Closing),
        }
    }

    /// Puts a connected socket under the key of a stream that has none.
    pub(super) fn place(
        &mut self,
        key: Key,
        socket: Socket,
        peer: Option<SocketAddr>,
    ) -> io::Result<()> {
        // One that it cannot use is closed.
        self.driver.attach(key, socket).map_err(|(_closed, error)| error)?;
        if let Some(stream) = self.slots.stream(key) {
            stream.transport = Transport::Socket { peer };
        }
        Ok(())
    }

    /// Takes a stream's socket away and closes it; one whose bytes have not all passed is reset.
    pub(super) fn hang_up(&mut self, key: Key) {
        let now = self.now;
        let Some(stream) = self.slots.stream(key) else { return };
        let cut = !stream.bev.output().is_empty() || stream.bev.is_truncated();
        let transport = std::mem::replace(&mut stream.transport, Transport::Vacant);
        stream.bev.renew(now, Link::Missing);
        #[cfg(feature = "tls")]
        self.restart_session(key);
        match transport {
            Transport::Dialing(dial) => self.cancel_dial(*dial),
            Transport::Socket { .. } if cut => self.driver.abort(key),
            Transport::Socket { .. } => self.driver.close(key),
            _ => {}
        }
    }

    /// The connection of a stream may have been made.
    pub(super) fn finish_connecting(&mut self, event: Ready) {
        let key = event.key;
        // One that dials has its attempts elsewhere: this is about a socket it had before.
        let tries = self
            .slots
            .look(key)
            .is_some_and(|stream| matches!(stream.transport, Transport::Socket { .. }));
        if tries && let Some(outcome) = self.outcome(event) {
            self.conclude(key, event.readiness, outcome.err());
        }
    }

    /// How the attempt to connect a socket ended that something was told about, if it has.
    pub(super) fn outcome(&mut self, event: Ready) -> Option<io::Result<()>> {
        if !event.readiness.intersects(Readiness::WRITABLE | Readiness::HANG_UP) {
            return None;
        }
        match self.driver.check_connected(event.key) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => None,
            outcome => Some(outcome),
        }
    }

    /// A stream is connected, or is not and has nothing left to try.
    pub(super) fn conclude(&mut self, key: Key, readiness: Readiness, error: Option<io::Error>) {
        let now = self.now;
        if let Some(stream) = self.slots.stream(key) {
            stream.bev.handle_connected(now, error);
            // The peer may have closed already; no other event will say so.
            stream.bev.handle_ready(readiness);
        }
        self.update(key);
    }
}
