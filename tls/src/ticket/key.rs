//! One ticket key: a name that goes with the ticket, and two secrets.
//!
//! Owns random bytes and when they may be used. Invariants: the secrets are overwritten on drop; a
//! key lives by the shorter of two lifetimes, that of its making and that in force.
//! Source: RFC 5077 §4, the ticket format OpenSSL writes: AES-256-CBC, then HMAC-SHA-256.

use std::fmt;
use std::time::Duration;

use groups::Time;
use openssl::error::ErrorStack;
use openssl::rand::{rand_bytes, rand_priv_bytes};

use crate::ffi;

/// A key for tickets.
pub(crate) struct TicketKey {
    /// Sent in the clear; tells which key a ticket was sealed with.
    pub(crate) name: [u8; NAME_BYTES],
    /// For AES-256-CBC.
    pub(crate) cipher: [u8; KEY_BYTES],
    /// For HMAC-SHA-256.
    pub(crate) mac: [u8; KEY_BYTES],
    made: Time,
    /// That of tickets when it was made.
    lifetime: Duration,
}

impl TicketKey {
    /// Makes a key from random bytes, in use from `now`.
    pub(crate) fn random(now: Time, lifetime: Duration) -> Result<Self, ErrorStack> {
        let mut key = Self {
            name: [0; NAME_BYTES],
            cipher: [0; KEY_BYTES],
            mac: [0; KEY_BYTES],
            made: now,
            lifetime,
        };
        rand_bytes(&mut key.name)?;
        rand_priv_bytes(&mut key.cipher)?;
        rand_priv_bytes(&mut key.mac)?;
        Ok(key)
    }

    /// When it stops sealing, where tickets now live for `lifetime`.
    pub(crate) fn seals_until(&self, lifetime: Duration) -> Time {
        self.made + self.lifetime.min(lifetime) / PERIODS
    }

    /// When it stops opening, where tickets now live for `lifetime`.
    pub(crate) fn opens_until(&self, lifetime: Duration) -> Time {
        self.seals_until(lifetime) + self.lifetime.min(lifetime)
    }
}

impl Drop for TicketKey {
    fn drop(&mut self) {
        ffi::cleanse(&mut self.cipher);
        ffi::cleanse(&mut self.mac);
    }
}

impl fmt::Debug for TicketKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TicketKey").field("name", &self.name).finish_non_exhaustive()
    }
}

/// How many keys seal, one after the other, within one lifetime.
pub(super) const PERIODS: u32 = 4;

pub(crate) const NAME_BYTES: usize = 16;
pub(crate) const KEY_BYTES: usize = 32;
