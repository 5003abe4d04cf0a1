//! Session tickets: how long they are good for, and the keys that seal them.
//!
//! Owns [`Tickets`], the choice, and the keys: [`TicketKeys`] for all cores, and a [`CoreKeys`] for
//! each, which copies the list so that cores meet only when a key is added. Reads no clock.
//!
//! A new key is made every quarter of the lifetime, when the first `accept` after that comes. The
//! newest key seals; the others open what they sealed until that is past its lifetime.
//!
//! Invariants: a key seals for at most a quarter of the lifetime by the clock of `now`, opens for
//! at most five quarters, and is overwritten in memory when the last list with it is gone; there
//! are at most `ring::MAX_KEYS`. A reload to a shorter lifetime holds for the keys there are; a
//! ticket may then be refused before its time, which costs one full handshake.
//!
//! **Forward secrecy.** Whoever reads the keys out of the server's memory can open the tickets
//! sealed by them, that is of at most the last five quarters of the lifetime. Under TLS 1.2 that
//! opens whole recorded connections that began with or were given such a ticket, since the ticket
//! holds their master secret. Under TLS 1.3 resumption does a new key exchange, and recorded data
//! stays closed. An idle server drops keys only when the next connection comes, and a connection
//! from before a reload keeps the list of its context. A shorter lifetime narrows the window;
//! [`Tickets::off`] closes it.

mod key;
mod ring;

use std::time::Duration;

pub(crate) use self::key::{KEY_BYTES, NAME_BYTES};
pub(crate) use self::ring::{CoreKeys, TicketKeys};

use crate::config::TlsConfigError;

/// Whether a server gives out tickets, and for how long they are good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tickets {
    lifetime: Option<Duration>,
}

impl Tickets {
    /// Tickets good for `lifetime`, sealed with keys that change four times in it.
    ///
    /// From a minute to seven days (RFC 8446 §4.6.1), in whole seconds; [`Tickets::default`] is
    /// two hours. The keys lie in memory for up to five quarters of `lifetime`, and a recorded
    /// TLS 1.2 connection can be read by whoever gets them; TLS 1.3 does a new key exchange.
    #[must_use]
    pub const fn rotated(lifetime: Duration) -> Self {
        Self { lifetime: Some(lifetime) }
    }

    /// No tickets: every connection does a full handshake.
    #[must_use]
    pub const fn off() -> Self {
        Self { lifetime: None }
    }

    /// The lifetime, if there are tickets.
    pub(crate) const fn lifetime(self) -> Option<Duration> {
        self.lifetime
    }

    /// Refuses lifetimes that are too short to be of use or longer than clients accept.
    pub(crate) fn check(self) -> Result<(), TlsConfigError> {
        match self.lifetime {
            Some(lifetime) if !(LEAST..=MOST).contains(&lifetime) => {
                Err(TlsConfigError::TicketLifetime { lifetime, least: LEAST, most: MOST })
            }
            _ => Ok(()),
        }
    }
}

impl Default for Tickets {
    /// Two hours, what OpenSSL gives a session by itself.
    fn default() -> Self {
        Self::rotated(Duration::from_secs(7_200))
    }
}

const LEAST: Duration = Duration::from_secs(60);
const MOST: Duration = Duration::from_secs(7 * 24 * 3_600);
