//! How to listen: every knob, its default and its price.
//!
//! Owns the choices only. Those that accepted sockets inherit are set on the listening socket, at
//! no cost per connection.

use std::time::Duration;

use super::error::ListenError;
use crate::balance::{AcceptMode, Dispatch};

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
    pub(crate) accept: Option<AcceptMode>,
    pub(crate) backlog: u32,
    pub(crate) accept_batch: u32,
    pub(crate) max_connections: Option<u32>,
    pub(crate) enabled: bool,
    pub(crate) no_delay: bool,
    pub(crate) keep_alive: Option<Duration>,
    pub(crate) only_v6: Option<bool>,
    pub(crate) replace_dead_socket: bool,
    pub(crate) send_buffer: Option<usize>,
    pub(crate) receive_buffer: Option<usize>,
}

impl Default for ListenOptions {
    fn default() -> Self {
        Self {
            accept: None,
            backlog: 4096,
            accept_batch: 64,
            max_connections: None,
            enabled: true,
            no_delay: true,
            keep_alive: Some(KEEP_ALIVE),
            only_v6: None,
            replace_dead_socket: false,
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

    /// How connections come to the cores. Default [`AcceptMode::Balanced`].
    ///
    /// For listeners of a runtime; one that a core makes by itself keeps what it accepts, and
    /// asking it for a mode is an error. So it is where there is one socket only, at a path or by
    /// [`listen_on`](crate::Runtime::listen_on), to ask for one on each core; the default there is
    /// a [`Single`](AcceptMode::Single) acceptor for the least loaded core.
    #[must_use]
    pub fn accept(mut self, mode: AcceptMode) -> Self {
        self.accept = Some(mode);
        self
    }

    /// How many connections the kernel may hold before they are accepted, at least 1: 0 is an error
    /// of listening.
    ///
    /// Default 4096, for each socket; the kernel caps it at `net.core.somaxconn`.
    #[must_use]
    pub fn backlog(mut self, connections: u32) -> Self {
        self.backlog = connections;
        self
    }

    /// Most connections accepted in one turn of a core, at least 1: 0 is an error of listening.
    /// Default 64.
    ///
    /// More drains a backlog sooner; fewer lets connections that exist wait less.
    #[must_use]
    pub fn accept_batch(mut self, connections: u32) -> Self {
        self.accept_batch = connections;
        self
    }

    /// Most connections of this listener alive on one core, at least 1: 0 is an error of listening.
    /// Default: no limit.
    ///
    /// It holds wherever a connection goes: one is handed over only to a core that has room. A core
    /// that finds none, on itself and where the [mode](Self::accept) lets it hand over, stops
    /// accepting until a connection ends; others wait in the backlog, one at most in its hands.
    /// One whose target stopped while it was on its way may exceed the limit of where it stays. One
    /// that is [detached](crate::Core::detach) gives its place free and takes none where it goes.
    #[must_use]
    pub fn max_connections(mut self, connections: u32) -> Self {
        self.max_connections = Some(connections);
        self
    }

    /// Binds and accepts nobody until [`Listener::enable`](crate::Listener::enable). Default: it
    /// accepts from the start.
    #[must_use]
    pub fn disabled(mut self) -> Self {
        self.enabled = false;
        self
    }

    /// Whether small writes go out at once (`TCP_NODELAY`). Default true.
    #[must_use]
    pub fn no_delay(mut self, on: bool) -> Self {
        self.no_delay = on;
        self
    }

    /// After what silence the kernel asks whether the peer still lives (`SO_KEEPALIVE`). Default
    /// 300 s, as libevent sets it; `None` leaves the system's default, which is not to ask.
    ///
    /// # Units
    /// Whole seconds, rounded up; 1 to 32,767, else the nearest of them.
    #[must_use]
    pub fn keep_alive(mut self, after: Option<Duration>) -> Self {
        self.keep_alive = after;
        self
    }

    /// Whether a listener on an IPv6 address takes IPv6 only (`true`), or IPv4 too where the
    /// address is `::` (`false`). Default: as the system is set, usually the latter.
    ///
    /// Without meaning for an IPv4 address.
    #[must_use]
    pub fn only_v6(mut self, only: bool) -> Self {
        self.only_v6 = Some(only);
        self
    }

    /// Whether a socket that is left at a path, and that nobody listens on, is removed and
    /// replaced. Default: whatever is at a path is an error.
    ///
    /// Without meaning but for a path.
    #[must_use]
    pub fn replace_dead_socket(mut self) -> Self {
        self.replace_dead_socket = true;
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

    /// The backlog as the system takes it.
    pub(super) fn backlog_of_system(&self) -> i32 {
        i32::try_from(self.backlog).unwrap_or(i32::MAX)
    }

    /// The mode where there is one socket for all of `cores` cores: one of them accepts for those
    /// that would otherwise share the work. `Err` with a mode that wants a socket for each core.
    pub(super) fn mode_of_one_socket(
        &self,
        cores: usize,
    ) -> Result<Result<AcceptMode, AcceptMode>, ListenError> {
        Ok(match self.mode(cores)? {
            AcceptMode::Balanced { slack: None } => {
                Ok(AcceptMode::Single { acceptor: 0, by: Dispatch::LeastLoaded })
            }
            mode @ (AcceptMode::ReusePort | AcceptMode::Balanced { slack: Some(_) }) => Err(mode),
            mode @ (AcceptMode::Single { .. } | AcceptMode::Fixed(_)) => Ok(mode),
        })
    }

    /// The mode among `cores` cores.
    pub(super) fn mode(&self, cores: usize) -> Result<AcceptMode, ListenError> {
        self.check()?;
        let mode = self.accept.unwrap_or_default();
        match mode.named() {
            Some(core) if core >= cores => Err(ListenError::NoSuchCore { mode, core, cores }),
            _ => Ok(mode),
        }
    }

    /// The mode of a listener that one core has for itself.
    pub(super) fn own_mode(&self, core: usize) -> Result<AcceptMode, ListenError> {
        self.check()?;
        match self.accept {
            Some(mode) => Err(ListenError::OneCore { mode }),
            None => Ok(AcceptMode::Fixed(core)),
        }
    }

    /// Refuses numbers by which nobody would ever be accepted.
    fn check(&self) -> Result<(), ListenError> {
        match self {
            Self { backlog: 0, .. } => Err(ListenError::NoBacklog),
            Self { accept_batch: 0, .. } => Err(ListenError::NoBatch),
            Self { max_connections: Some(0), .. } => Err(ListenError::NoConnections),
            _ => Ok(()),
        }
    }
}

/// After what silence the kernel asks for a peer; libevent's.
const KEEP_ALIVE: Duration = Duration::from_secs(300);
