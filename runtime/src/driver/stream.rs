//! Sockets of the operating system, of either family, as the driver holds them.
//!
//! Owns a registered stream or listener and knows in which calls TCP and Unix-domain sockets
//! differ; the driver does not. Never decides when to call what.

use std::io::{self, IoSlice, Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd};

use mio::event::Source;
use mio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use mio::{Interest, Registry, Token};

use crate::listen::{SocketFile, UnixSocket};
use crate::socket::{Origin, Socket, reset_on_close};

/// A connected socket, or one on its way there.
#[derive(Debug)]
pub(super) enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

/// A socket that listens.
#[derive(Debug)]
pub(super) enum Door {
    Tcp(TcpListener),
    /// With the file that goes when it does.
    Unix(UnixListener, #[expect(dead_code, reason = "kept for its Drop")] Option<SocketFile>),
}

impl Stream {
    /// Takes a socket over, and makes it non-blocking; one that it cannot use comes back.
    pub(super) fn from_socket(socket: Socket) -> Result<Self, (Socket, io::Error)> {
        match socket.0 {
            Origin::System(stream) => match stream.set_nonblocking(true) {
                Ok(()) => Ok(Self::Tcp(TcpStream::from_std(stream))),
                Err(error) => Err((stream.into(), error)),
            },
            Origin::Unix(stream) => match stream.set_nonblocking(true) {
                Ok(()) => Ok(Self::Unix(UnixStream::from_std(stream))),
                Err(error) => Err((stream.into(), error)),
            },
            Origin::Simulated(_) => Err((socket, io::ErrorKind::Unsupported.into())),
        }
    }

    pub(super) fn into_socket(self) -> Socket {
        match self {
            Self::Tcp(stream) => std::net::TcpStream::from(stream).into(),
            Self::Unix(stream) => std::os::unix::net::UnixStream::from(stream).into(),
        }
    }

    pub(super) fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.read(into),
            Self::Unix(stream) => stream.read(into),
        }
    }

    pub(super) fn write(&mut self, from: &[IoSlice<'_>]) -> io::Result<usize> {
        match (self, from) {
            (Self::Tcp(stream), [one]) => stream.write(one),
            (Self::Tcp(stream), many) => stream.write_vectored(many),
            (Self::Unix(stream), [one]) => stream.write(one),
            (Self::Unix(stream), many) => stream.write_vectored(many),
        }
    }

    pub(super) fn shutdown(&self) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => stream.shutdown(Shutdown::Write),
            Self::Unix(stream) => stream.shutdown(Shutdown::Write),
        }
    }

    /// Has the close that follows tell the peer of a reset. A Unix-domain socket tells it only if
    /// something was left unread; else its peer reads an end.
    pub(super) fn reset_on_close(&self) {
        if let Self::Tcp(stream) = self {
            reset_on_close(stream);
        }
    }

    pub(super) fn take_error(&self) -> io::Result<Option<io::Error>> {
        match self {
            Self::Tcp(stream) => stream.take_error(),
            Self::Unix(stream) => stream.take_error(),
        }
    }

    /// Whether there is an other end.
    pub(super) fn check_peer(&self) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => stream.peer_addr().map(|_| ()),
            Self::Unix(stream) => stream.peer_addr().map(|_| ()),
        }
    }

    /// Our own address; `Unsupported` for a Unix-domain socket.
    pub(super) fn local_addr(&self) -> io::Result<SocketAddr> {
        match self {
            Self::Tcp(stream) => stream.local_addr(),
            Self::Unix(_) => Err(io::ErrorKind::Unsupported.into()),
        }
    }

    fn source(&mut self) -> &mut dyn Source {
        match self {
            Self::Tcp(stream) => stream,
            Self::Unix(stream) => stream,
        }
    }
}

impl AsFd for Stream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Tcp(stream) => stream.as_fd(),
            Self::Unix(stream) => stream.as_fd(),
        }
    }
}

impl From<UnixSocket> for Door {
    fn from(socket: UnixSocket) -> Self {
        Self::Unix(UnixListener::from_std(socket.listener), socket.file)
    }
}

impl From<std::net::TcpListener> for Door {
    fn from(listener: std::net::TcpListener) -> Self {
        Self::Tcp(TcpListener::from_std(listener))
    }
}

impl Door {
    /// The bound address; none of a Unix-domain socket.
    pub(super) fn local_addr(&self) -> io::Result<Option<SocketAddr>> {
        match self {
            Self::Tcp(listener) => listener.local_addr().map(Some),
            Self::Unix(..) => Ok(None),
        }
    }

    /// Accepts one connection, non-blocking, and says from which address it came.
    pub(super) fn accept(&self) -> io::Result<(Stream, Option<SocketAddr>)> {
        match self {
            Self::Tcp(listener) => {
                let (stream, peer) = listener.accept()?;
                Ok((Stream::Tcp(stream), Some(peer)))
            }
            Self::Unix(listener, _) => {
                let (stream, _) = listener.accept()?;
                Ok((Stream::Unix(stream), None))
            }
        }
    }

    fn source(&mut self) -> &mut dyn Source {
        match self {
            Self::Tcp(listener) => listener,
            Self::Unix(listener, _) => listener,
        }
    }
}

macro_rules! delegate_source {
    ($socket:ty) => {
        impl Source for $socket {
            fn register(&mut self, to: &Registry, token: Token, on: Interest) -> io::Result<()> {
                self.source().register(to, token, on)
            }

            fn reregister(&mut self, to: &Registry, token: Token, on: Interest) -> io::Result<()> {
                self.source().reregister(to, token, on)
            }

            fn deregister(&mut self, from: &Registry) -> io::Result<()> {
                self.source().deregister(from)
            }
        }
    };
}

delegate_source!(Stream);
delegate_source!(Door);
