//! The socket of a bufferevent: taken out, given, connected.
//!
//! Owns nothing; the core does it (`reactor/socket.rs`).

use std::net::SocketAddr;

use super::BevMut;
use crate::error::Result;
use crate::socket::{Socket, SocketError, TakenSocket, UnixAddress};

impl BevMut<'_> {
    /// Takes the socket out, with the bytes that had not passed; this bufferevent is closed.
    ///
    /// The socket stays connected and non-blocking. No byte is lost: what the kernel had brought is
    /// in the input, what it has not taken in the output. The handler is dropped, at the end of its
    /// call if it is running; limits and groups end here, as does a
    /// [`shutdown_write`](Self::shutdown_write) that still waits for output. To have all of it go
    /// on at another core, [detach](crate::Core::detach) it.
    ///
    /// # Errors
    /// There is no socket here, it is still connecting, the bufferevent is closing, or a filter
    /// stands over it; nothing has changed then.
    ///
    /// # Examples
    /// ```
    /// use sluicegate::sim::Simulation;
    ///
    /// let mut sim = Simulation::new(1);
    /// let (socket, peer) = sim.socket("10.0.0.9:4000".parse()?);
    /// let id = sim.core().adopt(socket, ())?;
    /// let taken = sim.core().get(id).expect("it is open").into_socket()?;
    /// assert!(sim.core().get(id).is_none() && !sim.is_eof(peer));
    /// // On real cores: `taken.socket.into_std()`.
    /// sim.core().adopt(taken.socket, ())?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn into_socket(self) -> Result<TakenSocket, SocketError> {
        self.core.take_socket(self.key)
    }

    /// Gives this bufferevent a connected socket, in place of the one it may have.
    ///
    /// The buffers stay: output that waits goes to the new socket. Limits, marks, timeouts and what
    /// was disabled stay too; a direction that was over starts anew. The old socket is closed, or
    /// reset if it has not got all of its output; no event tells of it. No CONNECTED comes.
    ///
    /// Over a filter it is the bufferevent at the bottom that gets the socket, if it has none yet
    /// and no attempt to connect it has failed, of which those above have heard. A TLS session next
    /// to the socket begins anew with each, where it began with a handshake: CONNECTED comes again.
    ///
    /// # Errors
    /// The socket is not connected, or this bufferevent takes none: nothing has changed, but the
    /// socket is closed. Where the core cannot use it the bufferevent is left unconnected.
    pub fn set_socket(&mut self, socket: impl Into<Socket>) -> Result<(), SocketError> {
        self.core.set_socket(self.key, socket.into())
    }

    /// Connects this bufferevent to an address, in place of the connection it may have.
    ///
    /// As [`set_socket`](Self::set_socket), and CONNECTED or ERROR comes as an event.
    ///
    /// # Errors
    /// This bufferevent takes no socket: nothing has changed. Or the attempt fails at once, and it
    /// is left unconnected: try another address.
    pub fn connect(&mut self, to: SocketAddr) -> Result<()> {
        self.core.reconnect(self.key, to)
    }

    /// Connects this bufferevent to a Unix-domain socket, in place of the connection it may have.
    ///
    /// As [`connect`](Self::connect) and [`Core::connect_unix`](crate::Core::connect_unix).
    ///
    /// # Errors
    /// As for those.
    pub fn connect_unix(&mut self, to: impl Into<UnixAddress>) -> Result<()> {
        self.core.reconnect_unix(self.key, &to.into())
    }

    /// Connects this bufferevent to a host by name, in place of the connection it may have.
    ///
    /// As [`Core::connect_host`](crate::Core::connect_host); the buffers stay.
    ///
    /// # Errors
    /// The host or port cannot be one, too many lookups wait, or this bufferevent takes no socket:
    /// nothing has changed.
    pub fn connect_host(&mut self, host: &str, port: u16) -> Result<()> {
        self.core.dial(self.key, host, port)
    }
}
