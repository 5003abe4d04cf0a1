//! Bytes that must not outlive their use: a private key in DER.
//!
//! Owns their memory, whose length is fixed: a vector that grows leaves copies behind. Never copies
//! them for a caller.
//!
//! Invariant: the memory is overwritten before it is given back, and nothing prints it.
//! Source: the crate zeroize; here by `OPENSSL_cleanse`, which no compiler leaves out.

use std::fmt;
use std::ops::Deref;

use crate::ffi;

/// Secret bytes of a fixed length, zeroed on drop.
pub(crate) struct Secret(Box<[u8]>);

impl Secret {
    /// Takes over bytes; a vector with spare room is copied and zeroed too.
    pub(crate) fn new(mut bytes: Vec<u8>) -> Self {
        let secret = Self(bytes.as_slice().into());
        ffi::cleanse(&mut bytes);
        secret
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        ffi::cleanse(&mut self.0);
    }
}

impl Deref for Secret {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secret({} bytes)", self.0.len())
    }
}
