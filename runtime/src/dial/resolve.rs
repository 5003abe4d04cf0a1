//! From the name of a host to its addresses, without a core that waits.
//!
//! Owns the question and the answer. Who answers is behind two traits: [`Resolve`] is the user's
//! and may block, as it runs on a thread of its own (`desk.rs`); [`LookUp`] is what a core asks,
//! which a simulation answers in virtual time (`sim/hosts.rs`).

use std::fmt;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::Weak;

use super::HostError;
use crate::id::Key;
use crate::reactor::Core;

/// Finds the addresses of hosts.
///
/// # Shape
/// One for a runtime, called on one thread of its own, by one call at a time: it may block, and
/// other lookups wait meanwhile. A panic fails that lookup only.
///
/// # Examples
/// ```
/// use std::io;
/// use std::net::SocketAddr;
///
/// use sluicegate::{Resolve, Runtime, SystemResolver};
///
/// /// Knows one host by heart.
/// struct Hosts;
/// impl Resolve for Hosts {
///     fn resolve(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
///         match host {
///             "db.internal" => Ok(vec![([10, 0, 0, 7], port).into()]),
///             host => SystemResolver.resolve(host, port),
///         }
///     }
/// }
///
/// let runtime = Runtime::builder().cores(1).resolver(Hosts).build()?;
/// # Ok::<(), sluicegate::Error>(())
/// ```
pub trait Resolve: Send + Sync + 'static {
    /// The addresses of a host, the best first, each with the port.
    ///
    /// # Errors
    /// There are none, or nobody can be asked; an empty list is an error too.
    fn resolve(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>>;
}

/// Asks the operating system, by its files and name servers.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemResolver;

impl Resolve for SystemResolver {
    fn resolve(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        Ok((host, port).to_socket_addrs()?.collect())
    }
}

/// Whoever answers the lookups of a core.
pub(crate) trait LookUp: Send + Sync {
    /// Has a question answered later, by [`Question::answer`] on this core.
    ///
    /// # Errors
    /// It cannot be taken; no answer comes then.
    fn look_up(&self, core: &mut Core, question: Question) -> Result<(), HostError>;
}

/// A host whose addresses a core wants to know.
pub(crate) struct Question {
    pub(crate) host: Box<str>,
    pub(crate) port: u16,
    /// The stream that wants to connect there.
    pub(crate) key: Key,
    /// Held by that stream while it wants to.
    pub(crate) ticket: Weak<()>,
}

impl Question {
    /// Whether nobody wants to know any more.
    pub(crate) fn is_abandoned(&self) -> bool {
        self.ticket.strong_count() == 0
    }

    /// Gives the answer to whoever asked, on the core that did.
    pub(crate) fn answer(self, core: &mut Core, answer: io::Result<Vec<SocketAddr>>) {
        // One that is still wanted is wanted by the stream of this name.
        if !self.is_abandoned() {
            core.handle_answer(self.key, answer);
        }
    }
}

impl fmt::Debug for Question {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Question").field("host", &self.host).finish_non_exhaustive()
    }
}
