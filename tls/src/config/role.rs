//! Which side of a connection a configuration is for.
//!
//! Owns the two roles and their names in errors. What each may choose is in `server.rs` and
//! `client.rs`, and that a configuration is only used for its own is checked in `mod.rs`.
//! Source: `SSL_set_accept_state` and `SSL_set_connect_state` of OpenSSL.

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
