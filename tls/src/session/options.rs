//! How a session begins and ends, and what its limits count.
//!
//! Owns the choices and their defaults and acts on none: a session heeds them, and the runtime
//! those about the bufferevent below.
//!
//! Source: libevent 2.1.12 `enum bufferevent_ssl_state`, `BEV_OPT_CLOSE_ON_FREE`,
//! `bufferevent_openssl_set_allow_dirty_shutdown`. Differs: a goodbye is said by default, it and
//! the handshake have deadlines, and what limits count is a choice.

use std::time::Duration;

/// How far the handshake of an SSL object is when it becomes a session.
///
/// libevent's BUFFEREVENT_SSL_OPEN, CONNECTING and ACCEPTING.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsState {
    /// It is over: no CONNECTED is told, and what the object has read already is not lost.
    Open,
    /// It begins as a client's.
    Connecting,
    /// It begins as a server's.
    Accepting,
}

/// How a session ends when its user closes.
///
/// However it ends, an end that the peer did not announce is an error there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shutdown {
    /// close_notify follows the last byte, and the peer's is awaited for this long at most, within
    /// the linger of the close.
    Clean {
        /// How long, from when ours was put out.
        within: Duration,
    },
    /// close_notify follows the last byte; the peer's is not awaited.
    Lazy,
    /// Nothing follows the last byte: the peer cannot tell this end from a cut.
    Immediate,
}

impl Default for Shutdown {
    fn default() -> Self {
        Self::Clean { within: DEFAULT_FAREWELL }
    }
}

/// How long the peer's close_notify is awaited unless another time is set.
pub const DEFAULT_FAREWELL: Duration = Duration::from_secs(5);

/// How long a handshake may take unless another time is set.
pub const DEFAULT_HANDSHAKE: Duration = Duration::from_secs(10);

/// What the limits of a stream over TLS count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Charge {
    /// What passes the socket: records, their overhead, handshakes and alerts.
    #[default]
    Ciphertext,
    /// What the user reads and writes.
    Plaintext,
}

/// How a session behaves.
///
/// # Examples
/// ```
/// use std::time::Duration;
///
/// use sluicegate_tls::{Shutdown, TlsOptions};
///
/// let options = TlsOptions::new()
///     .shutdown(Shutdown::Lazy)
///     .handshake_timeout(Some(Duration::from_secs(3)));
/// assert_ne!(options, TlsOptions::new());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TlsOptions {
    shutdown: Shutdown,
    allow_dirty_shutdown: bool,
    handshake_timeout: Option<Duration>,
    charge: Charge,
    close_underlying: bool,
}

impl Default for TlsOptions {
    fn default() -> Self {
        Self {
            shutdown: Shutdown::default(),
            allow_dirty_shutdown: false,
            handshake_timeout: Some(DEFAULT_HANDSHAKE),
            charge: Charge::default(),
            close_underlying: true,
        }
    }
}

impl TlsOptions {
    /// The defaults, as each method names them.
    pub fn new() -> Self {
        Self::default()
    }

    /// How the session ends when its user closes. Default [`Shutdown::Clean`] within 5 s.
    #[must_use]
    pub fn shutdown(mut self, shutdown: Shutdown) -> Self {
        self.shutdown = shutdown;
        self
    }

    /// Whether a peer may end without close_notify: then the end of its stream is EOF, else an
    /// error. A reset is an error in any case. Default false.
    ///
    /// With some protocols over TLS this lets an attacker cut a message unnoticed.
    #[must_use]
    pub fn allow_dirty_shutdown(mut self, on: bool) -> Self {
        self.allow_dirty_shutdown = on;
        self
    }

    /// How long the handshake may take, from when the socket is connected, and as long one for new
    /// keys once it has begun. Default 10 s; `None` leaves it to the timeouts of the stream.
    ///
    /// With `None` and no read timeout a peer that says nothing is waited for for ever, and costs a
    /// descriptor and the memory of a handshake. A limit slows handshakes too, so a low one wants a
    /// longer time. The end is a [`TlsError::Peer`](crate::TlsError::Peer).
    #[must_use]
    pub fn handshake_timeout(mut self, timeout: Option<Duration>) -> Self {
        self.handshake_timeout = timeout;
        self
    }

    /// What the limits of the stream count. Default [`Charge::Ciphertext`].
    ///
    /// Costs nothing either way. With [`Charge::Plaintext`] the socket carries more than the limit
    /// says: 22 bytes a record with TLS 1.3, 29 with AES-GCM under 1.2, and handshakes and alerts,
    /// which are not charged at all. A limit on the bufferevent below counts ciphertext whatever
    /// is chosen.
    #[must_use]
    pub fn charge(mut self, charge: Charge) -> Self {
        self.charge = charge;
        self
    }

    /// Whether the bufferevent below is closed with this one. Default true.
    ///
    /// If not, it gets the handler back when this one has closed, and goes on in the clear: for
    /// protocols in which both sides know that TLS ends before the connection does.
    #[must_use]
    pub fn close_underlying(mut self, on: bool) -> Self {
        self.close_underlying = on;
        self
    }

    /// Whether the bufferevent below is closed with the one over the session.
    pub fn closes_underlying(&self) -> bool {
        self.close_underlying
    }

    /// What the limits of the stream count.
    pub fn charges(&self) -> Charge {
        self.charge
    }

    pub(super) fn parts(&self) -> (Shutdown, bool, Option<Duration>) {
        (self.shutdown, self.allow_dirty_shutdown, self.handshake_timeout)
    }
}
