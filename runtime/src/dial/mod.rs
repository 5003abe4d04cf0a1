//! Connecting to a host by name: what is remembered while it is looked up and tried.
//!
//! Owns the state of one such attempt and its errors. Which address comes when is decided in
//! `race.rs`, who is asked for addresses in `resolve.rs`; sockets and timers are in
//! `reactor/dial.rs`.

mod desk;
mod race;
mod resolve;

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

pub(crate) use self::desk::Desk;
pub(crate) use self::race::{Move, Race};
pub(crate) use self::resolve::{LookUp, Question};
pub use self::resolve::{Resolve, SystemResolver};
use crate::id::Key;
use crate::timer::TimerKey;

/// The longest host name, in bytes.
const MAX_HOST: usize = 253;

/// A host that is to be connected to.
#[derive(Debug)]
pub(crate) struct Dial {
    pub(crate) host: Box<str>,
    pub(crate) port: u16,
    pub(crate) phase: Phase,
    /// The names under which the driver knows the attempts that run.
    pub(crate) attempts: Vec<Key>,
    /// Fires when the next attempt is due.
    pub(crate) timer: Option<TimerKey>,
}

/// How far it is.
#[derive(Debug)]
pub(crate) enum Phase {
    /// Dropping this gives up the claim to an answer.
    LookingUp(#[expect(dead_code, reason = "it is held, and what counts is who does")] Arc<()>),
    Racing(Race),
}

/// The address that a host is, if it is not a name.
pub(crate) fn literal(host: &str, port: u16) -> Option<SocketAddr> {
    host.parse::<IpAddr>().ok().map(|ip| SocketAddr::from((ip, port)))
}

/// Checks what can be checked of a host and a port without asking anybody.
pub(crate) fn check(host: &str, port: u16) -> Result<(), HostError> {
    if host.is_empty() {
        return Err(HostError::Empty);
    }
    if host.len() > MAX_HOST {
        return Err(HostError::TooLong { host: host.to_owned() });
    }
    if port == 0 {
        return Err(HostError::PortZero { host: host.to_owned() });
    }
    Ok(())
}

/// Why a connection to a host cannot even be tried.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HostError {
    /// The name is empty.
    #[error("the host name is empty: give a name or an address")]
    Empty,
    /// The name is longer than one can be.
    #[error("the host name has {} bytes, and no more than {MAX_HOST} are a name: {host}", .host.len())]
    TooLong {
        /// The name.
        host: String,
    },
    /// Nobody listens on port 0.
    #[error("cannot connect to port 0 of {host}: give the port it listens on")]
    PortZero {
        /// The host.
        host: String,
    },
    /// Too many lookups wait already: try later, or have fewer connections made at once.
    #[error("cannot look up {host}: {waiting} lookups wait already; try later")]
    Busy {
        /// The host.
        host: String,
        /// How many wait.
        waiting: usize,
    },
    /// The thread that looks names up could not be started.
    #[error("cannot look up {host}, as its thread does not run: {source}")]
    Thread {
        /// The host.
        host: String,
        /// What the system said.
        source: io::Error,
    },
}

/// Why no connection to a host was made: the inner error of the ERROR event.
///
/// # Examples
/// ```
/// use std::time::Duration;
///
/// use sluicegate::sim::Simulation;
/// use sluicegate::{ConnectHostError, Context, Event, EventFlags, Handler};
///
/// struct Tell;
/// impl Handler for Tell {
///     fn on_event(&mut self, cx: &mut Context<'_>, event: Event) {
///         let error = event.error.expect("nobody listens there");
///         let inner = error.get_ref().and_then(|inner| inner.downcast_ref());
///         match inner.expect("it was a host name") {
///             ConnectHostError::Connect { host, port, attempts, .. } => {
///                 assert_eq!((host.as_str(), *port, attempts.len()), ("db.internal", 5432, 1));
///             }
///             other => panic!("{other}"),
///         }
///         cx.me().close();
///     }
/// }
///
/// let mut sim = Simulation::new(1);
/// sim.set_host("db.internal", &["10.0.0.7".parse()?], Duration::from_millis(3));
/// sim.core().connect_host("db.internal", 5432, Tell)?;
/// sim.run_for(Duration::from_secs(1));
/// assert_eq!(sim.core().stats().connections, 0);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectHostError {
    /// The name has no address: check it, or the resolver.
    #[error("cannot look up {host}: {source}")]
    Lookup {
        /// The name.
        host: String,
        /// What the resolver said.
        source: io::Error,
    },
    /// None of its addresses could be connected to.
    #[error("cannot connect to {host}:{port}: {}", List(.attempts))]
    Connect {
        /// The host.
        host: String,
        /// The port.
        port: u16,
        /// Each address that was tried and why it failed, in the order in which they failed.
        attempts: Vec<(SocketAddr, io::Error)>,
    },
}

impl From<ConnectHostError> for io::Error {
    /// The kind is that of the last failure.
    fn from(error: ConnectHostError) -> Self {
        let kind = match &error {
            ConnectHostError::Lookup { source, .. } => Some(source.kind()),
            ConnectHostError::Connect { attempts, .. } => {
                attempts.last().map(|(_, error)| error.kind())
            }
        };
        Self::new(kind.unwrap_or(io::ErrorKind::NotConnected), error)
    }
}

/// Failures in one line.
struct List<'a>(&'a [(SocketAddr, io::Error)]);

impl fmt::Display for List<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, (addr, error)) in self.0.iter().enumerate() {
            let comma = if at == 0 { "" } else { ", " };
            write!(f, "{comma}{addr}: {error}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_a_host_is_refused_with_its_value() {
        let longest = "x".repeat(MAX_HOST);
        assert!(check(&longest, 1).is_ok());
        let messages = [("", 1), (&format!("{longest}y"), 1), ("db", 0)]
            .map(|(host, port)| check(host, port).expect_err("it cannot be one").to_string());
        assert!(messages[0].contains("empty"), "{}", messages[0]);
        assert!(messages[1].contains("254 bytes") && messages[1].contains("xy"), "{}", messages[1]);
        assert!(messages[2].contains("port 0 of db"), "{}", messages[2]);
    }

    #[test]
    fn addresses_are_told_from_names() {
        let local = SocketAddr::from(([127, 0, 0, 1], 7));
        assert_eq!(literal("127.0.0.1", 7), Some(local));
        assert!(literal("::1", 7).is_some_and(|addr| addr.is_ipv6()));
        assert_eq!(literal("localhost", 7), None);
        assert_eq!(literal("127.1", 7), None, "left to the resolver");
    }

    #[test]
    fn a_failure_names_the_host_and_every_address() {
        let attempts = vec![
            (SocketAddr::from(([10, 0, 0, 1], 80)), io::ErrorKind::TimedOut.into()),
            (SocketAddr::from(([10, 0, 0, 2], 80)), io::ErrorKind::ConnectionRefused.into()),
        ];
        let error = ConnectHostError::Connect { host: "web".to_owned(), port: 80, attempts };
        let error = io::Error::from(error);
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
        let message = error.to_string();
        for part in ["web:80", "10.0.0.1:80: timed out, ", "10.0.0.2:80: connection refused"] {
            assert!(message.contains(part), "{message}");
        }
    }
}
