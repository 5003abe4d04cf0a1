//! Errors of building and using a runtime.
//!
//! Each carries the offending value and says what to do. Errors of single connections are not
//! here: they come as events to the handler.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use groups::{ConfigError, NoLimit, NoSeat, RateError};

use crate::dial::HostError;
use crate::filter::StackError;
use crate::hand_off::{AttachRefusal, DetachError};
use crate::handle::Stopped;
use crate::listen::ListenError;
use crate::panic::CorePanic;
use crate::placement::{ListError, PlacementError};
use crate::report::Unfinished;
use crate::socket::{SocketError, UnixError};

/// The result of most calls of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What can go wrong outside of a connection.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The runtime could not be built.
    #[error(transparent)]
    Build(#[from] BuildError),
    /// An address could not be bound: choose another, or stop who has it.
    #[error("cannot listen on {addr}: {source}; {}", bind_remedy(.source))]
    Bind {
        /// The address asked for.
        addr: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// A listener was asked for that cannot be: the message says why.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// A Unix-domain socket cannot be listened on or connected to: the message says why.
    #[error(transparent)]
    Unix(#[from] UnixError),
    /// A connection could not even be tried: usually no descriptor or no route is left.
    #[error("cannot connect to {addr}: {source}; check the route and the limit of open files")]
    Connect {
        /// The address asked for.
        addr: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// Cores ended by a panic, and their connections with them: of a handler where the policy is
    /// [`StopCore`](crate::PanicPolicy::StopCore), of an observer, or else a defect to be reported.
    #[error("connections are lost: {}; see what it was at and mend that", list(.panics))]
    CorePanicked {
        /// Which, and in what.
        panics: Vec<CorePanic>,
    },
    /// Cores did not end in time: what they are at does not come back. Their threads end with the
    /// process.
    #[error("a shutdown went on without some cores: {}; it must return to its core", list(.cores))]
    CoreUnfinished {
        /// Which, and what they are at.
        cores: Vec<Unfinished>,
    },
    /// A bufferevent gives no socket away, or takes none.
    #[error(transparent)]
    Socket(#[from] SocketError),
    /// A filter or session cannot be put over a bufferevent.
    #[error(transparent)]
    Stack(#[from] StackError),
    /// An SSL object cannot become the session that was asked for.
    #[cfg(feature = "tls")]
    #[error(transparent)]
    Tls(#[from] tls::TlsError),
    /// A configuration of TLS cannot be made, or not be used for this.
    #[cfg(feature = "tls")]
    #[error(transparent)]
    TlsConfig(#[from] tls::TlsConfigError),
    /// A connection cannot leave its core.
    #[error(transparent)]
    Detach(#[from] DetachError),
    /// A core has not taken a connection over; of an [`AttachError`](crate::AttachError), which
    /// has the connection, this is the `reason`.
    #[error(transparent)]
    Attach(#[from] AttachRefusal),
    /// A host cannot be connected to by this name or port, or not now.
    #[error(transparent)]
    Host(#[from] HostError),
    /// An address does not parse or resolve: write it as host:port.
    #[error("cannot use address {addr}: {source}; write it as host:port, like 127.0.0.1:7777")]
    Address {
        /// The address as given, a text in quotes.
        addr: String,
        /// What resolving said.
        source: io::Error,
    },
    /// A rate does not parse.
    #[error(transparent)]
    Rate(#[from] RateError),
    /// A token bucket's numbers do not fit together.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A group has members on as many cores as it has seats.
    #[error(transparent)]
    NoSeat(#[from] NoSeat),
    /// A limit was to be adjusted that is not there.
    #[error(transparent)]
    NoLimit(#[from] NoLimit),
    /// A core has stopped.
    #[error(transparent)]
    Stopped(#[from] Stopped),
    /// A choice of cores and CPUs does not parse or does not fit the machine.
    #[error(transparent)]
    Placement(#[from] PlacementError),
    /// A list of CPUs does not parse.
    #[error(transparent)]
    CpuList(#[from] ListError),
    /// A system call failed.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// What can keep a runtime from being built.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// The cores cannot be placed as asked: the message lists what is allowed.
    #[error(transparent)]
    Placement(#[from] PlacementError),
    /// OpenSSL cannot be used from several threads, or has no entropy.
    #[cfg(feature = "tls")]
    #[error(transparent)]
    Tls(#[from] tls::InitError),
    /// A core could not get its epoll instance: usually the descriptor limit is too low.
    #[error("core {core} got no driver: {source}; raise the limit of open files (ulimit -n)")]
    Driver {
        /// The core.
        core: usize,
        /// What the system said.
        source: io::Error,
    },
    /// A core's thread could not be started.
    #[error("core {core} got no thread: {source}; raise the limit of processes (ulimit -u)")]
    Thread {
        /// The core.
        core: usize,
        /// What the system said.
        source: io::Error,
    },
    /// The figures cannot be served where they should be: the message names the address.
    #[error("no place for the figures: {0}")]
    Metrics(#[source] Box<Error>),
    /// A thread that serves all cores could not be started.
    #[error("the {what} got no thread: {source}; raise the limit of processes (ulimit -u)")]
    Helper {
        /// What for.
        what: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// A stall must last a while before it is one.
    #[error("a watchdog cannot call {threshold:?} a stall: give it 1 ms at least, or none")]
    StallThreshold {
        /// The threshold asked for.
        threshold: Duration,
    },
    /// Signals could not be hooked.
    #[error("cannot handle SIGINT and SIGTERM: {0}; use `start` and handle them yourself")]
    Signals(io::Error),
}

fn list<T: ToString>(items: &[T]) -> String {
    let items: Vec<String> = items.iter().map(T::to_string).collect();
    items.join("; ")
}

fn bind_remedy(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::AddrInUse => {
            "another socket has this port: stop it, or use port 0 for a free one"
        }
        io::ErrorKind::AddrNotAvailable => {
            "no interface has this address: use one of this machine, or 0.0.0.0"
        }
        io::ErrorKind::PermissionDenied => "ports below 1024 need a privilege: use a higher one",
        _ => "see the system's message",
    }
}
