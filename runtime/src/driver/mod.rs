//! Everything the operating system does for a core, behind one object-safe trait.
//!
//! A driver owns the sockets of its core, keyed by slot, and tells readiness by edges. It decides
//! nothing: which socket to read, how much and when is the reactor's. [`MioDriver`] is the real
//! one; the driver of [`sim`](crate::sim) runs whole servers in virtual time from a seed.
//!
//! The contract: readiness is edge triggered, so an edge is told once and the caller remembers it;
//! events of a closed key may still come and carry its old generation; `WouldBlock` and
//! `Interrupted` are ordinary answers; a driver never blocks outside `poll`.

mod mio;
mod stream;

use std::fmt;
use std::io::{self, IoSlice};
use std::net::{SocketAddr, TcpListener};
use std::os::fd::BorrowedFd;
use std::os::unix::net::SocketAddr as UnixSocketAddr;
use std::sync::Arc;
use std::time::Duration;

use core_buf::Readiness;
use groups::Time;

pub(crate) use self::mio::MioDriver;
use crate::id::Key;
use crate::listen::{ListenOptions, UnixSocket};
use crate::socket::Socket;

/// One readiness event.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ready {
    /// The slot the event is for, with the generation it was registered under.
    pub(crate) key: Key,
    /// What the event said.
    pub(crate) readiness: Readiness,
}

/// Ends the sleep of one core's driver; may be called from any thread.
pub(crate) trait WakeDriver: Send + Sync {
    /// Makes the running or next `poll` return at once.
    fn wake(&self);
}

/// What a listener is made of.
#[derive(Debug)]
pub(crate) enum Listening {
    /// Bind here, alone on this address.
    Address(SocketAddr, ListenOptions),
    /// Bind here, beside others that share the address.
    Shared(SocketAddr, ListenOptions),
    /// A socket that is bound and listening already.
    Socket(TcpListener),
    /// The same of the Unix domain, with its file.
    Unix(UnixSocket),
}

/// System calls a driver has made, by kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct SystemCalls {
    /// Waits for events.
    pub(crate) polls: u64,
    /// Reads from streams.
    pub(crate) reads: u64,
    /// Writes to streams.
    pub(crate) writes: u64,
    /// Accepts, also those that found nothing.
    pub(crate) accepts: u64,
    /// All others: registering, connecting, shutting down, closing.
    pub(crate) others: u64,
}

impl SystemCalls {
    /// All of them together.
    pub(crate) fn total(&self) -> u64 {
        self.polls + self.reads + self.writes + self.accepts + self.others
    }
}

/// The operating system as one core sees it.
///
/// # Shape
/// Owned by one core; made on the thread that builds the runtime and moved once.
///
/// # Errors
/// All errors are those of the system call; the key of a failed `listen`, `accept` or `connect`
/// stays free.
pub(crate) trait Driver: Send + fmt::Debug {
    /// Reads the clock; every call is a new reading.
    fn now(&mut self) -> Time;

    /// Waits for events, at most `timeout`, and appends them to `ready`.
    ///
    /// # Errors
    /// Those of the system call, except that an interrupted wait is an empty one.
    fn poll(&mut self, timeout: Option<Duration>, ready: &mut Vec<Ready>) -> io::Result<()>;

    /// What other threads wake this driver by.
    fn waker(&self) -> Arc<dyn WakeDriver>;

    /// Starts listening under `key` and returns the bound address; none in the Unix domain.
    ///
    /// # Errors
    /// Those of binding and registering.
    fn listen(&mut self, key: Key, source: Listening) -> io::Result<Option<SocketAddr>>;

    /// Accepts one connection of a listener under `key` and returns the peer's address; none in the
    /// Unix domain.
    ///
    /// # Errors
    /// `WouldBlock` if nobody waits; those of accepting. Within, those of registering what was
    /// accepted, which is lost then.
    fn accept(&mut self, listener: Key, key: Key) -> io::Result<io::Result<Option<SocketAddr>>>;

    /// Accepts one connection of a listener for another core, and returns it with the peer's
    /// address.
    ///
    /// # Errors
    /// `WouldBlock` if nobody waits; those of accepting.
    fn accept_loose(&mut self, listener: Key) -> io::Result<(Socket, Option<SocketAddr>)>;

    /// Starts connecting under `key`; a writable event tells that the attempt is over.
    ///
    /// # Errors
    /// Those of creating and registering the socket, and of an attempt that fails at once.
    fn connect(&mut self, key: Key, to: SocketAddr) -> io::Result<()>;

    /// As [`connect`](Self::connect), in the Unix domain.
    ///
    /// # Errors
    /// Those of creating, connecting and registering the socket; `WouldBlock` if as many wait there
    /// as may. `Unsupported` where there is no such domain.
    fn connect_unix(&mut self, key: Key, to: &UnixSocketAddr) -> io::Result<()>;

    /// Reads once.
    ///
    /// # Errors
    /// Those of the system call.
    fn read(&mut self, key: Key, into: &mut [u8]) -> io::Result<usize>;

    /// Writes once, from several pieces.
    ///
    /// # Errors
    /// Those of the system call.
    fn writev(&mut self, key: Key, from: &[IoSlice<'_>]) -> io::Result<usize>;

    /// Sends `count` bytes of a file from `offset` on, without reading them; 0 at its end.
    ///
    /// # Errors
    /// `Unsupported` where this file cannot be sent so: read it and write. Else those of the system
    /// call.
    fn send_file(
        &mut self,
        key: Key,
        file: BorrowedFd<'_>,
        offset: u64,
        count: usize,
    ) -> io::Result<usize>;

    /// The address of our end of a stream.
    ///
    /// # Errors
    /// Those of asking; `Unsupported` in the Unix domain.
    fn local_addr(&mut self, key: Key) -> io::Result<SocketAddr>;

    /// Asks how a connection attempt ended.
    ///
    /// # Errors
    /// What made it fail; `WouldBlock` if it goes on.
    fn check_connected(&mut self, key: Key) -> io::Result<()>;

    /// Takes a connected socket in under `key`; its state is told by an edge.
    ///
    /// # Errors
    /// `Unsupported` for a socket that is not of this driver's kind; those of registering. The
    /// socket comes back then, and the key stays free.
    fn attach(&mut self, key: Key, socket: Socket) -> Result<(), (Socket, io::Error)>;

    /// Gives the socket of a stream out, non-blocking; the key is free then.
    ///
    /// # Errors
    /// Those of the system call; nothing has changed then.
    fn detach(&mut self, key: Key) -> io::Result<Socket>;

    /// Ends the sending side of a stream: the peer reads what was written, then the end.
    ///
    /// # Errors
    /// Those of the system call: there is no connection any more.
    fn shutdown(&mut self, key: Key) -> io::Result<()>;

    /// Closes a stream or listener; an unknown key is ignored.
    fn close(&mut self, key: Key);

    /// Closes a stream so that the peer sees a reset: what it got is not all; an unknown key is
    /// ignored.
    fn abort(&mut self, key: Key);

    /// The system calls made so far.
    fn system_calls(&self) -> SystemCalls;
}
