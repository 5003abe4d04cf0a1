//! Why a TLS configuration cannot be made or used, each reason with its remedy.
//!
//! Owns [`TlsConfigError`]. The variants are grouped by fault: what was read, what was chosen, how
//! the configuration was used, and last OpenSSL itself. Every message carries the offending value.
//! What goes wrong between two peers later is not an error of this type.

use std::io;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use openssl::error::ErrorStack;

use super::policy::TlsVersion;
use super::role::TlsRole;
use crate::ffi::session::clear_errors;

/// Says why a [`TlsConfig`](crate::TlsConfig) cannot be built, reloaded or used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsConfigError {
    // What was read.
    /// A file cannot be read. Correct the path or the file's permissions.
    #[error("cannot read {}: {source}; check the path and who may read it", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },

    /// There is no certificate where at least one is needed. Give PEM, not DER.
    #[error("{origin} holds no certificate; expected PEM with `-----BEGIN CERTIFICATE-----`")]
    NoCertificate {
        /// The file, or a note that bytes were given.
        origin: String,
    },

    /// A certificate cannot be decoded. Export it again.
    #[error("{origin} holds a certificate that cannot be decoded ({reason}); export it again")]
    BadCertificate {
        /// The file, or a note that bytes were given.
        origin: String,
        /// OpenSSL's words.
        reason: String,
    },

    /// A private key cannot be decoded. Give it as PEM.
    #[error("{origin} holds no usable private key ({reason}); expected PEM, PKCS#8 or older")]
    BadKey {
        /// The file, or a note that bytes were given.
        origin: String,
        /// OpenSSL's words.
        reason: String,
    },

    /// The private key is encrypted and no password was given; nobody is ever prompted.
    ///
    /// Use [`Certificate::from_pem_encrypted`](crate::Certificate::from_pem_encrypted).
    #[error("the private key in {origin} is encrypted; give its password with from_pem_encrypted")]
    KeyEncrypted {
        /// The file, or a note that bytes were given.
        origin: String,
    },

    /// The private key is not that of the first certificate of the chain.
    #[error(
        "the private key in {origin} does not belong to the certificate of {subject}; put the \
         server's own certificate first in the chain and give its key"
    )]
    KeyMismatch {
        /// Where the key came from.
        origin: String,
        /// The subject of the first certificate.
        subject: String,
    },

    // What was chosen.
    /// A server has no certificate. Call one of the `certificate` methods.
    #[error("a server needs a certificate; call certificate, certificate_pem or certificate_files")]
    NoServerCertificate,

    /// A list of ciphers or groups names one that does not exist, or nothing at all.
    #[error("{list} {value:?} is not usable: {reason}; see `openssl ciphers -v`")]
    BadList {
        /// The method it was given to: `cipher_list`, `ciphersuites` or `groups`.
        list: &'static str,
        /// The whole list.
        value: String,
        /// The name that does not exist, or OpenSSL's words.
        reason: String,
    },

    /// The range of versions is empty. Give the older one first.
    #[error("no version lies in {versions:?}; give the older version first")]
    NoVersion {
        /// The range.
        versions: RangeInclusive<TlsVersion>,
    },

    /// A protocol name for ALPN is empty or too long, or all of them together are.
    #[error("ALPN name {name:?} makes the list unusable: {reason}")]
    BadAlpn {
        /// The name.
        name: String,
        /// What is wrong with it and what is allowed.
        reason: &'static str,
    },

    /// A host name is not one. Give a DNS name in ASCII or an IP address, without a port.
    #[error("{name:?} is no host name: {reason}; give a DNS name or an IP address, without a port")]
    BadHostName {
        /// The name.
        name: String,
        /// What is wrong with it.
        reason: &'static str,
    },

    /// There are more certificates than a server may have.
    #[error("{count} certificates by name, at most {most}; use wildcard names or more servers")]
    TooManyCertificates {
        /// How many there are.
        count: usize,
        /// The most there may be.
        most: usize,
    },

    /// Tickets would live too short or too long.
    #[error("a ticket lifetime of {lifetime:?}; choose {least:?} to {most:?}, or Tickets::off()")]
    TicketLifetime {
        /// The lifetime.
        lifetime: Duration,
        /// The shortest allowed.
        least: Duration,
        /// The longest allowed: RFC 8446 §4.6.1.
        most: Duration,
    },

    // How the configuration was used.
    /// A server's configuration was used as a client's, or the other way round.
    #[error(
        "this is a configuration of a {is}, used as one of a {used_as}; build TlsConfig::{used_as}()"
    )]
    WrongRole {
        /// What it was built for.
        is: TlsRole,
        /// What it was used for.
        used_as: TlsRole,
    },

    /// A core's number is out of range. Number cores from 0.
    #[error("core {core} is out of range; cores are numbered from 0 to {}", most - 1)]
    NoSuchCore {
        /// The number given.
        core: usize,
        /// How many cores one configuration serves.
        most: usize,
    },

    // OpenSSL itself.
    /// OpenSSL refused something it should not have; out of memory or of random bytes, mostly.
    #[error("OpenSSL failed to {what}: {reason}; check memory and the process's random source")]
    OpenSsl {
        /// What was attempted.
        what: &'static str,
        /// OpenSSL's words.
        reason: String,
    },
}

impl TlsConfigError {
    /// Makes a conversion for `map_err`: OpenSSL failed to do `what`.
    pub(crate) fn openssl(what: &'static str) -> impl FnOnce(ErrorStack) -> Self {
        move |errors| Self::OpenSsl { what, reason: errors.to_string() }
    }
}

/// Leaves OpenSSL's error queue of this thread empty, whatever `call` does.
///
/// A leftover would be taken for the failure of a later call. OpenSSL leaves some after success
/// too: its decoders try formats until one fits.
pub(crate) fn quietly<T>(call: impl FnOnce() -> T) -> T {
    let outcome = call();
    clear_errors();
    outcome
}
