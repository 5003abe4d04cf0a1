//! Which side of a connection a configuration is for.

use std::fmt;

/// Says whether a configuration accepts connections or makes them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TlsRole {
    /// Accepts connections: [`TlsConfig::accept`](crate::TlsConfig::accept).
    Server,
    /// Makes connections: [`TlsConfig::connect`](crate::TlsConfig::connect).
    Client,
}

impl fmt::Display for TlsRole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Server => "server",
            Self::Client => "client",
        })
    }
}
