//! How a listener is set up, the sockets behind it, and its handle.
//!
//! Owns the options, the binding and the name of a listener; the sockets belong to the cores, one
//! each, and end with them, whatever becomes of the handle. They share an address by
//! `SO_REUSEPORT`, which any process of the same user may join; so a probe binds the address alone
//! first, and a port that is in use is an error instead of half the connections.
//!
//! Options that accepted sockets inherit from the listener are set on it, at no cost per accept.

use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpListener, ToSocketAddrs};

use socket2::{Domain, Protocol, Socket, Type};

use crate::error::Error;
use crate::handle::Handle;
use crate::reactor::Core;

/// How to listen.
///
/// # Examples
/// ```
/// use sluicegate::ListenOptions;
///
/// let options = ListenOptions::new().backlog(128).max_connections(10_000);
/// assert_eq!(options, ListenOptions::new().max_connections(10_000).backlog(128));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenOptions {
    pub(crate) backlog: u32,
    pub(crate) accept_batch: u32,
    pub(crate) max_connections: u32,
    pub(crate) no_delay: bool,
    pub(crate) send_buffer: Option<usize>,
    pub(crate) receive_buffer: Option<usize>,
}

impl Default for ListenOptions {
    fn default() -> Self {
        Self {
            backlog: 4096,
            accept_batch: 64,
            max_connections: u32::MAX,
            no_delay: true,
            send_buffer: None,
            receive_buffer: None,
        }
    }
}

impl ListenOptions {
    /// The defaults, as each method names them.
    pub fn new() -> Self {
        Self::default()
    }

    /// How many connections the kernel may hold before they are accepted.
    ///
    /// Default 4096; the kernel caps it at `net.core.somaxconn`.
    #[must_use]
    pub fn backlog(mut self, connections: u32) -> Self {
        self.backlog = connections;
        self
    }

    /// Most connections accepted in one turn of a core, at least 1. Default 64.
    ///
    /// More drains a backlog sooner; fewer lets connections that exist wait less.
    #[must_use]
    pub fn accept_batch(mut self, connections: u32) -> Self {
        self.accept_batch = connections.max(1);
        self
    }

    /// Most connections of this listener alive on one core, at least 1. Default: no limit.
    ///
    /// At the limit the core stops accepting until one closes; others wait in the backlog.
    #[must_use]
    pub fn max_connections(mut self, connections: u32) -> Self {
        self.max_connections = connections.max(1);
        self
    }

    /// Whether small writes go out at once (`TCP_NODELAY`). Default true.
    #[must_use]
    pub fn no_delay(mut self, on: bool) -> Self {
        self.no_delay = on;
        self
    }

    /// Size of the kernel's send buffer of each connection, in bytes. Default: the kernel's choice.
    ///
    /// Set, it no longer grows by itself; the kernel doubles the value for its own needs.
    #[must_use]
    pub fn send_buffer(mut self, bytes: usize) -> Self {
        self.send_buffer = Some(bytes);
        self
    }

    /// Size of the kernel's receive buffer of each connection, in bytes. Default: the kernel's
    /// choice.
    #[must_use]
    pub fn receive_buffer(mut self, bytes: usize) -> Self {
        self.receive_buffer = Some(bytes);
        self
    }
}

/// Names the sockets of one `listen` call, on whichever cores they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ListenerId {
    /// The core that made it, or [`ListenerId::RUNTIME`].
    pub(crate) core: u16,
    pub(crate) number: u32,
}

impl ListenerId {
    /// Stands for the runtime, which listens on every core.
    pub(crate) const RUNTIME: u16 = u16::MAX;
}

/// A listener, as [`Runtime::listen_with`](crate::Runtime::listen_with) and [`Core::listen`] give
/// it.
///
/// # Shape
/// `Clone + Send + Sync`. Dropping it leaves the listener open.
#[derive(Clone, Debug)]
pub struct Listener {
    addr: SocketAddr,
    id: ListenerId,
    handle: Handle,
}

impl Listener {
    pub(crate) fn new(addr: SocketAddr, id: ListenerId, handle: Handle) -> Self {
        Self { addr, id, handle }
    }

    /// The address it is bound to.
    pub fn local_addr(&self) -> SocketAddr {
        self.addr
    }

    /// Stops listening on every core, soon; connections that were accepted live on.
    ///
    /// Those the kernel has connected and nobody has accepted see a reset.
    pub fn close(&self) {
        let id = self.id;
        // A core that has stopped listens no more.
        let _stopped = self.handle.broadcast(move |core: &mut Core| core.close_listener(id));
    }
}

/// Listens on `addr`, which nobody else may listen on.
pub(crate) fn bind_alone(addr: SocketAddr, options: &ListenOptions) -> io::Result<TcpListener> {
    let socket = bind(addr, options, false)?;
    socket.listen(backlog(options))?;
    Ok(socket.into())
}

/// Listens on `addr` with `count` sockets among which the kernel spreads connections.
pub(crate) fn bind_shared(
    addr: SocketAddr,
    options: &ListenOptions,
    count: usize,
) -> io::Result<(SocketAddr, Vec<TcpListener>)> {
    let probe = bind(addr, options, false)?;
    let addr = socket_addr(&probe)?;
    drop(probe);
    let mut listeners = Vec::with_capacity(count);
    for _ in 0..count {
        let socket = bind(addr, options, true)?;
        socket.listen(backlog(options))?;
        listeners.push(socket.into());
    }
    Ok((addr, listeners))
}

fn bind(addr: SocketAddr, options: &ListenOptions, share: bool) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_nonblocking(true)?;
    // Without it a server cannot restart while connections of its predecessor linger.
    socket.set_reuse_address(true)?;
    if share {
        socket.set_reuse_port(true)?;
    }
    if options.no_delay {
        socket.set_tcp_nodelay(true)?;
    }
    if let Some(bytes) = options.send_buffer {
        socket.set_send_buffer_size(bytes)?;
    }
    if let Some(bytes) = options.receive_buffer {
        socket.set_recv_buffer_size(bytes)?;
    }
    socket.bind(&addr.into())?;
    Ok(socket)
}

fn backlog(options: &ListenOptions) -> i32 {
    i32::try_from(options.backlog).unwrap_or(i32::MAX)
}

fn socket_addr(socket: &Socket) -> io::Result<SocketAddr> {
    let addr = socket.local_addr()?.as_socket();
    addr.ok_or_else(|| io::Error::from(io::ErrorKind::AddrNotAvailable))
}

/// The first address that `addr` stands for; an error shows `addr` as its `Debug` does.
pub(crate) fn resolve(addr: impl ToSocketAddrs + fmt::Debug) -> Result<SocketAddr, Error> {
    let first = addr.to_socket_addrs().and_then(|mut addrs| {
        addrs.next().ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "no address found"))
    });
    first.map_err(|source| Error::Address { addr: format!("{addr:?}"), source })
}

/// The error of binding, with the address.
pub(crate) fn bind_error(addr: SocketAddr, source: io::Error) -> Error {
    Error::Bind { addr, source }
}
