//! What is chosen before a configuration is built, for both sides.
//!
//! Owns the choices both sides have; `server.rs` and `client.rs` add those of one side to the same
//! type. Each method keeps the last value it was given. An error is kept too, the first one, and
//! comes out of `build`, so that a configuration reads as one chain of calls.

use std::ops::RangeInclusive;
use std::path::Path;

use super::alpn::Alpn;
use super::certificate::Certificate;
use super::error::TlsConfigError;
use super::policy::{Policy, TlsVersion};

/// Collects the choices for a [`TlsConfig`](crate::TlsConfig).
///
/// `R` is [`ServerChoices`](crate::ServerChoices) or [`ClientChoices`](crate::ClientChoices).
#[derive(Debug, Default)]
#[must_use = "a builder does nothing until `build`"]
pub struct TlsConfigBuilder<R> {
    pub(crate) policy: Policy,
    pub(crate) certificate: Option<Certificate>,
    pub(crate) role: R,
    pub(crate) fault: Option<TlsConfigError>,
}

impl<R> TlsConfigBuilder<R> {
    /// Presents this certificate: a server always, a client when it is asked for one.
    ///
    /// Required of a server, where it is the one for clients that ask for no name or for one
    /// that no other certificate is for.
    pub fn certificate(mut self, certificate: Certificate) -> Self {
        self.certificate = Some(certificate);
        self
    }

    /// Presents the certificate in this PEM: [`Certificate::from_pem`].
    pub fn certificate_pem(self, chain: impl AsRef<[u8]>, key: impl AsRef<[u8]>) -> Self {
        self.attempt(Certificate::from_pem(chain, key), Self::certificate)
    }

    /// Presents the certificate in these PEM files, read now: [`Certificate::from_files`].
    pub fn certificate_files(self, chain: impl AsRef<Path>, key: impl AsRef<Path>) -> Self {
        self.attempt(Certificate::from_files(chain, key), Self::certificate)
    }

    /// Speaks these application protocols, the preferred one first. Default: ALPN is not used.
    ///
    /// A server takes the first of its names that the client offers. If there is none it refuses
    /// the connection with the alert `no_application_protocol` (RFC 7301 §3.2); a client that does
    /// not use ALPN is accepted without a protocol.
    pub fn alpn<N: AsRef<[u8]>>(self, names: impl IntoIterator<Item = N>) -> Self {
        self.attempt(Alpn::new(names), |mut builder, alpn| {
            builder.policy.alpn = alpn;
            builder
        })
    }

    /// Speaks these versions. Default: 1.2 and 1.3.
    pub fn versions(mut self, versions: RangeInclusive<TlsVersion>) -> Self {
        self.policy.versions = versions;
        self
    }

    /// Sets the ciphers for TLS 1.2, in the form of `openssl ciphers`. Default: a server has those
    /// of Mozilla's intermediate configuration, a client OpenSSL's without weak ones.
    pub fn cipher_list(mut self, list: impl Into<String>) -> Self {
        self.policy.cipher_list = Some(list.into());
        self
    }

    /// Sets the ciphersuites for TLS 1.3, names with colons between. Default: those with AES-GCM
    /// and ChaCha20-Poly1305.
    pub fn ciphersuites(mut self, list: impl Into<String>) -> Self {
        self.policy.ciphersuites = Some(list.into());
        self
    }

    /// Sets the groups for the key exchange, names with colons between: `X25519:P-256`. Default:
    /// OpenSSL's. Under TLS 1.2 the curve of an ECDSA certificate has to be among them.
    ///
    /// A peer that has none of them is refused. A TLS 1.3 client sends a key for the first one
    /// only: where the server has others alone, the handshake takes a round trip more.
    pub fn groups(mut self, list: impl Into<String>) -> Self {
        self.policy.groups = Some(list.into());
        self
    }

    /// Goes on with an outcome, or keeps the error unless there is an earlier one.
    pub(crate) fn attempt<T>(
        mut self,
        outcome: Result<T, TlsConfigError>,
        go_on: impl FnOnce(Self, T) -> Self,
    ) -> Self {
        match outcome {
            Ok(value) => go_on(self, value),
            Err(error) => {
                self.fault.get_or_insert(error);
                self
            }
        }
    }

    /// Gives out the error kept, or checks the choices both sides have.
    pub(crate) fn check(&mut self) -> Result<(), TlsConfigError> {
        self.fault.take().map_or_else(|| self.policy.check(), Err)
    }
}
