//! A throw-away certificate, for programs that are being tried out.
//!
//! Owns the recipe: P-256, version 3, names in `subjectAltName`, its own issuer and an authority
//! for nothing but itself. Its key has an identifier, by which a client that trusts several of one
//! subject tells them apart. The only place where this crate lets OpenSSL read the system's clock
//! for a caller.

use openssl::asn1::{Asn1Integer, Asn1Time};
use openssl::bn::{BigNum, MsbOption};
use openssl::ec::{EcGroup, EcKey};
use openssl::error::ErrorStack;
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::pkey::PKey;
use openssl::x509::extension::{
    AuthorityKeyIdentifier, BasicConstraints, SubjectAlternativeName, SubjectKeyIdentifier,
};
use openssl::x509::{X509, X509NameBuilder};

use super::certificate::Certificate;
use super::error::{TlsConfigError, quietly};
use super::host::Host;

impl Certificate {
    /// Makes a new P-256 key and a certificate for it that nobody vouches for.
    ///
    /// `names` are DNS names, wildcards and IP addresses. It is valid from an hour ago, so that a
    /// peer whose clock is slow accepts it, for `days` days. A client accepts it when it is given
    /// as a root: `Roots::from_pem(certificate.chain_pem()?)`.
    ///
    /// # Errors
    /// [`TlsConfigError::BadHostName`] for the first name that is none or when there is none.
    ///
    /// # Examples
    /// ```
    /// use sluicegate_tls::{Certificate, TlsConfig};
    ///
    /// let certificate = Certificate::self_signed(&["localhost", "127.0.0.1"], 7)?;
    /// let server = TlsConfig::server().certificate(certificate).build()?;
    /// # Ok::<(), sluicegate_tls::TlsConfigError>(())
    /// ```
    pub fn self_signed(names: &[&str], days: u32) -> Result<Self, TlsConfigError> {
        let mut alternatives = SubjectAlternativeName::new();
        for name in names {
            match Host::parse_pattern(name)? {
                Host::Dns(name) => alternatives.dns(&name),
                Host::Ip(address) => alternatives.ip(&address.to_string()),
            };
        }
        let Some(first) = names.first() else {
            return Err(TlsConfigError::BadHostName { name: String::new(), reason: "no name" });
        };
        quietly(|| sign(first, &alternatives, days))
            .map_err(TlsConfigError::openssl("make a self-signed certificate"))
    }
}

fn sign(
    name: &str,
    alternatives: &SubjectAlternativeName,
    days: u32,
) -> Result<Certificate, ErrorStack> {
    let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1)?;
    let key = PKey::from_ec_key(EcKey::generate(&group)?)?;
    let mut subject = X509NameBuilder::new()?;
    // A common name holds 64 characters; what counts is the alternative name.
    let common_name: String = name.chars().take(COMMON_NAME_CHARS).collect();
    subject.append_entry_by_nid(Nid::COMMONNAME, &common_name)?;
    let subject = subject.build();
    let mut serial = BigNum::new()?;
    serial.rand(SERIAL_BITS, MsbOption::MAYBE_ZERO, false)?;

    let mut builder = X509::builder()?;
    builder.set_version(2)?; // Counted from 0: version 3.
    builder.set_serial_number(&*Asn1Integer::from_bn(&serial)?)?;
    builder.set_subject_name(&subject)?;
    builder.set_issuer_name(&subject)?;
    builder.set_pubkey(&key)?;
    builder.set_not_before(&*an_hour_ago()?)?;
    builder.set_not_after(&*Asn1Time::days_from_now(days)?)?;
    builder.append_extension2(&*BasicConstraints::new().critical().ca().pathlen(0).build()?)?;
    let alternatives = alternatives.build(&builder.x509v3_context(None, None))?;
    builder.append_extension2(&alternatives)?;
    let own = SubjectKeyIdentifier::new().build(&builder.x509v3_context(None, None))?;
    builder.append_extension2(&own)?;
    // Copied from the one before, as the issuer is the same.
    let mut issuers = AuthorityKeyIdentifier::new();
    let issuers = issuers.keyid(true).build(&builder.x509v3_context(None, None))?;
    builder.append_extension2(&issuers)?;
    builder.sign(&key, MessageDigest::sha256())?;
    Certificate::of(&[builder.build()], &key)
}

/// What OpenSSL's clock said an hour ago.
fn an_hour_ago() -> Result<Asn1Time, ErrorStack> {
    let (now, epoch) = (Asn1Time::days_from_now(0)?, Asn1Time::from_unix(0)?);
    let since = epoch.diff(&now)?;
    Asn1Time::from_unix(i64::from(since.days) * 86_400 + i64::from(since.secs) - 3_600)
}

const COMMON_NAME_CHARS: usize = 64;

/// Bits of a serial number; RFC 5280 allows 20 bytes.
const SERIAL_BITS: i32 = 127;
