//! Issues certificates: for servers and clients, of the past, through an intermediate.

use openssl::asn1::{Asn1Integer, Asn1Time};
use openssl::bn::BigNum;
use openssl::ec::{EcGroup, EcKey};
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::pkey::{PKey, Private};
use openssl::x509::extension::{BasicConstraints, SubjectAlternativeName};
use openssl::x509::{X509, X509Name};
use sluicegate_tls::{Certificate, Roots};

/// A certificate with its key; one of an authority can issue others.
pub(crate) struct Issued {
    pub(crate) certificate: X509,
    pub(crate) key: PKey<Private>,
    /// The authorities between this and the root, the nearest first.
    between: Vec<X509>,
}

/// When a certificate is valid, in years of 365 days since 1970.
pub(crate) const NOW: [i64; 2] = [30, 130];
pub(crate) const PAST: [i64; 2] = [30, 31];

impl Issued {
    pub(crate) fn root(name: &str) -> Self {
        make(name, NOW, true, None)
    }

    /// One of a key of another kind.
    pub(crate) fn root_of(name: &str, key: PKey<Private>) -> Self {
        make_of(key, name, NOW, true, None)
    }

    pub(crate) fn intermediate(&self, name: &str) -> Self {
        make(name, NOW, true, Some(self))
    }

    pub(crate) fn issue(&self, name: &str, valid: [i64; 2]) -> Self {
        make(name, valid, false, Some(self))
    }

    /// The chain to present, without the root.
    pub(crate) fn chain_pem(&self) -> Vec<u8> {
        let links = [&self.certificate].into_iter().chain(&self.between);
        links.flat_map(|link| link.to_pem().expect("PEM")).collect()
    }

    pub(crate) fn key_pem(&self) -> Vec<u8> {
        self.key.private_key_to_pem_pkcs8().expect("PEM")
    }

    pub(crate) fn to_present(&self) -> Certificate {
        Certificate::from_pem(self.chain_pem(), self.key_pem()).expect("a good certificate")
    }

    pub(crate) fn as_root(&self) -> Roots {
        Roots::from_pem(self.certificate.to_pem().expect("PEM")).expect("a good root")
    }
}

fn make(name: &str, valid: [i64; 2], authority: bool, issuer: Option<&Issued>) -> Issued {
    let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1).expect("P-256");
    let key = PKey::from_ec_key(EcKey::generate(&group).expect("a key")).expect("a key");
    make_of(key, name, valid, authority, issuer)
}

fn make_of(
    key: PKey<Private>,
    name: &str,
    [from, until]: [i64; 2],
    authority: bool,
    issuer: Option<&Issued>,
) -> Issued {
    const YEAR: i64 = 365 * 24 * 3_600;
    let time = |years| Asn1Time::from_unix(years * YEAR).expect("a time");
    let mut subject = X509Name::builder().expect("a name");
    subject.append_entry_by_nid(Nid::COMMONNAME, name).expect("a name");
    let subject = subject.build();
    let mut serial = BigNum::new().expect("a number");
    serial.rand(64, openssl::bn::MsbOption::MAYBE_ZERO, false).expect("random bytes");

    let mut builder = X509::builder().expect("a builder");
    let build = |builder: &mut openssl::x509::X509Builder| {
        builder.set_version(2)?;
        builder.set_serial_number(&*Asn1Integer::from_bn(&serial)?)?;
        builder.set_subject_name(&subject)?;
        let issuer_name = issuer.map_or(&*subject, |by| by.certificate.subject_name());
        builder.set_issuer_name(issuer_name)?;
        builder.set_pubkey(&key)?;
        builder.set_not_before(&time(from))?;
        builder.set_not_after(&time(until))?;
        if authority {
            builder.append_extension2(&*BasicConstraints::new().critical().ca().build()?)?;
        } else {
            let names = SubjectAlternativeName::new()
                .dns(name)
                .build(&builder.x509v3_context(issuer.map(|by| &*by.certificate), None))?;
            builder.append_extension2(&names)?;
        }
        builder.sign(issuer.map_or(&key, |by| &by.key), MessageDigest::sha256())
    };
    build(&mut builder).expect("a certificate");
    // Everything an authority issues is presented with the authority, unless that is the root.
    let between = issuer.map_or_else(Vec::new, |by| {
        let is_root = by.certificate.subject_name().try_cmp(by.certificate.issuer_name());
        if is_root.expect("names compare").is_eq() {
            Vec::new()
        } else {
            [by.certificate.clone()].into_iter().chain(by.between.clone()).collect()
        }
    });
    Issued { certificate: builder.build(), key, between }
}
