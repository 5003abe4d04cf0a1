//! Why a listener cannot be had as it was asked for.
//!
//! Owns what is wrong with the request itself; what the system says about an address is in
//! [`Error::Bind`](crate::Error::Bind).

use std::net::SocketAddr;

use crate::balance::AcceptMode;

/// A listener was asked for that cannot be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ListenError {
    /// The accept mode names a core that there is not: name another, or have more cores.
    #[error(
        "accept mode `{mode}` names core {core}, and there are {cores}, counted from 0: name one \
         of them"
    )]
    NoSuchCore {
        /// The mode as asked for.
        mode: AcceptMode,
        /// The core it names.
        core: usize,
        /// How many cores there are.
        cores: usize,
    },
    /// One core listens alone and was to share with others: let the runtime listen.
    #[error(
        "accept mode `{mode}` is about several cores, and `Core::listen` is one core's: leave the \
         mode out, or use `Runtime::listen_with`"
    )]
    OneCore {
        /// The mode as asked for.
        mode: AcceptMode,
    },
    /// One socket was given, and the mode wants one for each core: let one core accept.
    #[error(
        "accept mode `{mode}` wants a socket for each core, and there is one: use `single:least` \
         or `fixed:CORE`, leave the mode out, or give each core a socket by `Core::listen_on`"
    )]
    OneSocket {
        /// The mode as asked for.
        mode: AcceptMode,
    },
    /// A socket was given that is bound, or connected, and does not listen: have it listen first.
    #[error("the socket of {addr} does not listen: call listen(2) first, or let the runtime bind")]
    NotListening {
        /// Its own address.
        addr: SocketAddr,
    },
    /// A socket was given that is none of TCP: for a Unix-domain address use `listen_unix`.
    #[error("the socket is none of TCP: give one, or use `listen_unix` for a Unix-domain address")]
    NotTcp,
    /// Whether a socket takes IPv6 only is settled when it is bound, and this one is: leave it out.
    #[error("the socket of {addr} is bound, which settles whether it is `only_v6`: leave that out")]
    BoundAlready {
        /// Its own address.
        addr: SocketAddr,
    },
    /// A backlog of 0 would hold nobody: ask for 1 or more.
    #[error("a backlog of 0 would refuse whoever is not accepted at once: ask for 1 or more")]
    NoBacklog,
    /// A batch of 0 would accept nobody, ever: ask for 1 or more.
    #[error("an accept batch of 0 would accept nobody: ask for 1 or more")]
    NoBatch,
    /// A limit of 0 connections would accept nobody, ever: ask for 1 or more, or begin disabled.
    #[error(
        "at most 0 connections would accept nobody: ask for 1 or more, leave the limit out, or \
         begin `disabled`"
    )]
    NoConnections,
}
