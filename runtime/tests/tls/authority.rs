//! Issues certificates: of P-256 keys, by another or by themselves, for now, for the past or for
//! times to come.

use sluicegate::openssl::asn1::Asn1Time;
use sluicegate::openssl::bn::{BigNum, MsbOption};
use sluicegate::openssl::ec::{EcGroup, EcKey};
use sluicegate::openssl::hash::MessageDigest;
use sluicegate::openssl::nid::Nid;
use sluicegate::openssl::pkey::{PKey, Private};
use sluicegate::openssl::x509::extension::BasicConstraints;
use sluicegate::openssl::x509::{X509, X509Builder, X509NameBuilder};
use sluicegate::tls::{Certificate, Roots};

/// A certificate and its key.
pub(crate) struct Issued {
    pub(crate) certificate: X509,
    pub(crate) key: PKey<Private>,
}

/// When a certificate is valid, in years of 365 days since 1970.
pub(crate) const NOW: [i64; 2] = [30, 130];
pub(crate) const PAST: [i64; 2] = [30, 31];
pub(crate) const FUTURE: [i64; 2] = [130, 131];

impl Issued {
    /// One that nobody vouches for, and may vouch for others.
    pub(crate) fn by_itself(name: &str) -> Self {
        Self::new(name, NOW, None)
    }

    pub(crate) fn issue(&self, name: &str, valid: [i64; 2]) -> Self {
        Self::new(name, valid, Some(self))
    }

    pub(crate) fn to_present(&self) -> Certificate {
        let chain = self.certificate.to_pem().expect("it can be written");
        let key = self.key.private_key_to_pem_pkcs8().expect("it can be written");
        Certificate::from_pem(chain, key).expect("they match")
    }

    pub(crate) fn as_root(&self) -> Roots {
        Roots::from_pem(self.certificate.to_pem().expect("it can be written")).expect("a root")
    }

    fn new(name: &str, [from, until]: [i64; 2], issuer: Option<&Self>) -> Self {
        let year = |count| Asn1Time::from_unix(count * 365 * 24 * 3_600).expect("a time");
        let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1).expect("P-256 is there");
        let key = EcKey::generate(&group).and_then(PKey::from_ec_key).expect("a key");
        let mut subject = X509NameBuilder::new().expect("a name");
        subject.append_entry_by_text("CN", name).expect("a name");
        let subject = subject.build();
        let mut serial = BigNum::new().expect("a number");
        serial.rand(64, MsbOption::MAYBE_ZERO, false).expect("random bytes");
        let mut builder = X509Builder::new().expect("a certificate");
        let build = |builder: &mut X509Builder| {
            builder.set_version(2)?;
            builder.set_serial_number(&*serial.to_asn1_integer()?)?;
            builder.set_subject_name(&subject)?;
            let issuer_name = issuer.map_or(&*subject, |by| by.certificate.subject_name());
            builder.set_issuer_name(issuer_name)?;
            builder.set_pubkey(&key)?;
            builder.set_not_before(&year(from))?;
            builder.set_not_after(&year(until))?;
            if issuer.is_none() {
                builder.append_extension2(&*BasicConstraints::new().critical().ca().build()?)?;
            }
            builder.sign(issuer.map_or(&key, |by| &by.key), MessageDigest::sha256())
        };
        build(&mut builder).expect("a certificate");
        Self { certificate: builder.build(), key }
    }
}
