//! Connected sockets on their way into and out of cores.
//!
//! Owns a socket while no core does: of the operating system, or of a simulation. Dropped, it is
//! closed. What a core does with one is in `reactor/socket.rs`.

mod unix;

use std::io;
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use core_buf::Buffer;
use socket2::SockRef;

pub use self::unix::{UnixAddress, UnixError};
use crate::filter::TakenByFilter;
use crate::sim::LooseEnd;

/// A connected socket that no core owns.
///
/// Made from a [`TcpStream`] or [`UnixStream`], or by a
/// [`Simulation`](crate::sim::Simulation::socket); given to [`Core::adopt`](crate::Core::adopt) or
/// [`BevMut::set_socket`](crate::BevMut::set_socket), and taken out of a core by
/// [`BevMut::into_socket`](crate::BevMut::into_socket).
///
/// # Shape
/// `Send`: it may go to another core or thread. Dropped, it is closed.
#[derive(Debug)]
pub struct Socket(pub(crate) Origin);

/// Whose socket it is.
#[derive(Debug)]
pub(crate) enum Origin {
    System(TcpStream),
    Unix(UnixStream),
    Simulated(LooseEnd),
}

impl From<TcpStream> for Socket {
    fn from(stream: TcpStream) -> Self {
        Self(Origin::System(stream))
    }
}

impl From<UnixStream> for Socket {
    fn from(stream: UnixStream) -> Self {
        Self(Origin::Unix(stream))
    }
}

impl Socket {
    /// The TCP socket of the operating system; `None`, and it is closed, if it is simulated or of
    /// the Unix domain.
    ///
    /// One that comes from a core is non-blocking: call
    /// [`set_nonblocking(false)`](TcpStream::set_nonblocking) for code that expects to wait.
    pub fn into_std(self) -> Option<TcpStream> {
        match self.0 {
            Origin::System(stream) => Some(stream),
            Origin::Unix(_) | Origin::Simulated(_) => None,
        }
    }

    /// As [`into_std`](Self::into_std), for a socket of the Unix domain.
    pub fn into_unix(self) -> Option<UnixStream> {
        match self.0 {
            Origin::Unix(stream) => Some(stream),
            Origin::System(_) | Origin::Simulated(_) => None,
        }
    }

    /// Closes it so that the peer sees a reset: what it got is not all.
    pub(crate) fn abort(self) {
        match self.0 {
            Origin::System(stream) => reset_on_close(&stream),
            // It has no resets: its peer reads an end.
            Origin::Unix(stream) => drop(stream),
            Origin::Simulated(end) => end.reset(),
        }
    }

    /// The address at the other end.
    ///
    /// # Errors
    /// `NotConnected` where there is no other end, or no longer; `Unsupported` for a socket of the
    /// Unix domain.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.peer()?.ok_or_else(|| io::ErrorKind::Unsupported.into())
    }

    /// As [`peer_addr`](Self::peer_addr), but a socket of the Unix domain has one that is `None`.
    pub(crate) fn peer(&self) -> io::Result<Option<SocketAddr>> {
        match &self.0 {
            Origin::System(stream) => stream.peer_addr().map(Some),
            Origin::Unix(stream) => stream.peer_addr().map(|_| None),
            Origin::Simulated(end) => end.peer_addr().map(Some),
        }
    }
}

/// Has a socket end by a reset when it is closed.
pub(crate) fn reset_on_close(socket: &impl AsFd) {
    // Without it the close would look like a good end; there is nobody to tell an error.
    let _closed_all_the_same = SockRef::from(socket).set_linger(Some(Duration::ZERO));
}

/// A socket that was taken out of a bufferevent, with the bytes that had not passed.
#[derive(Debug)]
pub struct TakenSocket {
    /// The socket; non-blocking.
    pub socket: Socket,
    /// What had arrived and was not consumed: it comes before what the socket still brings.
    pub input: Buffer,
    /// What was put out and not written: it goes before anything else.
    pub output: Buffer,
}

/// Why a bufferevent gives no socket away, or takes none.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SocketError {
    /// It is an end of a pair, or stands over a filter: take or give the socket at the bottom.
    #[error("no socket belongs here: this bufferevent moves its bytes through another one")]
    InMemory,
    /// It has no socket yet.
    #[error("there is no socket yet: give it one, or connect it")]
    Unconnected,
    /// Its connection is still being made: wait for CONNECTED.
    #[error("the connection is still being made: wait for CONNECTED")]
    Connecting,
    /// It is closed or closing.
    #[error("the bufferevent is closing: take the socket before it is closed")]
    Closing,
    /// A filter stands over it, whose bytes belong to the connection there is: release it first.
    #[error(transparent)]
    Taken(#[from] TakenByFilter),
    /// The socket is not connected: connect it first.
    #[error("the socket is not connected: {0}; connect it first, or let `connect` do both")]
    NotConnected(#[source] io::Error),
    /// The driver of the core cannot use it: it has no memory left, or the socket is of another
    /// kind, as a simulated one is for real cores.
    #[error("the core cannot wait for this socket: {0}")]
    Driver(#[source] io::Error),
}
