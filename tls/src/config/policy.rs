//! What both sides decide alike: versions, ciphers, groups, application protocols.
//!
//! Owns the choices and their checks. OpenSSL accepts a list when one name of it is known and
//! says nothing of the others, so a misspelt name would silently weaken or empty a list; here
//! every name is asked for by itself.
//!
//! The defaults are Mozilla's intermediate ones, version 5, as the `openssl` crate keeps them.
//! TLS 1.0 and 1.1 cannot be chosen: RFC 8996 forbids them.

use std::ops::RangeInclusive;

use openssl::error::ErrorStack;
use openssl::ssl::{SslContextBuilder, SslMethod, SslMode, SslOptions, SslVersion};

use super::alpn::Alpn;
use super::error::TlsConfigError;

/// A version of TLS, in order of age.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum TlsVersion {
    /// TLS 1.2, RFC 5246.
    Tls12,
    /// TLS 1.3, RFC 8446.
    Tls13,
}

impl TlsVersion {
    fn openssl(self) -> SslVersion {
        match self {
            Self::Tls12 => SslVersion::TLS1_2,
            Self::Tls13 => SslVersion::TLS1_3,
        }
    }
}

/// The choices; `None` leaves the default.
#[derive(Clone, Debug)]
pub(crate) struct Policy {
    pub(crate) versions: RangeInclusive<TlsVersion>,
    pub(crate) cipher_list: Option<String>,
    pub(crate) ciphersuites: Option<String>,
    pub(crate) groups: Option<String>,
    pub(crate) alpn: Alpn,
}

impl Policy {
    /// Refuses what OpenSSL would refuse, and the unknown names it would not.
    pub(crate) fn check(&self) -> Result<(), TlsConfigError> {
        if self.versions.is_empty() {
            return Err(TlsConfigError::NoVersion { versions: self.versions.clone() });
        }
        let mut scratch = SslContextBuilder::new(SslMethod::tls())
            .map_err(TlsConfigError::openssl("make a context"))?;
        let bad = |list, value: &str, reason| {
            let value = value.to_owned();
            Err(TlsConfigError::BadList { list, value, reason })
        };
        if let Some(list) = &self.cipher_list {
            for name in cipher_names(list) {
                if scratch.set_cipher_list(name).is_err() {
                    return bad(
                        "cipher_list",
                        list,
                        format!("no cipher before TLS 1.3 is {name:?}"),
                    );
                }
            }
            if let Err(errors) = scratch.set_cipher_list(list) {
                return bad("cipher_list", list, errors.to_string());
            }
        }
        if let Some(list) = &self.ciphersuites {
            if let Some(name) = list.split(':').find(|name| !CIPHERSUITES.contains(name)) {
                return bad("ciphersuites", list, format!("no ciphersuite of TLS 1.3 is {name:?}"));
            }
            if let Err(errors) = scratch.set_ciphersuites(list) {
                return bad("ciphersuites", list, errors.to_string());
            }
        }
        if let Some(list) = &self.groups {
            for name in list.split(':') {
                if name.is_empty() || scratch.set_groups_list(name).is_err() {
                    return bad("groups", list, format!("no group is {name:?}"));
                }
            }
            if let Err(errors) = scratch.set_groups_list(list) {
                return bad("groups", list, errors.to_string());
            }
        }
        Ok(())
    }

    /// Applies the choices to a context that is being built; [`check`](Self::check) accepted them.
    ///
    /// The chain shown is the chain given: OpenSSL would otherwise look for the rest of a short one
    /// among the roots it trusts, for every handshake anew.
    pub(crate) fn load(&self, context: &mut SslContextBuilder) -> Result<(), ErrorStack> {
        context.set_options(SslOptions::NO_COMPRESSION);
        context.set_mode(SslMode::NO_AUTO_CHAIN);
        context.set_min_proto_version(Some(self.versions.start().openssl()))?;
        context.set_max_proto_version(Some(self.versions.end().openssl()))?;
        if let Some(list) = &self.cipher_list {
            context.set_cipher_list(list)?;
        }
        if let Some(list) = &self.ciphersuites {
            context.set_ciphersuites(list)?;
        }
        if let Some(list) = &self.groups {
            context.set_groups_list(list)?;
        }
        Ok(())
    }
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            versions: TlsVersion::Tls12..=TlsVersion::Tls13,
            cipher_list: None,
            ciphersuites: None,
            groups: None,
            alpn: Alpn::default(),
        }
    }
}

/// The names of a cipher list that add ciphers; what removes or reorders may name what is absent.
fn cipher_names(list: &str) -> impl Iterator<Item = &str> {
    list.split([':', ',', ' '])
        .filter(|name| !name.is_empty() && !name.starts_with(['!', '-', '+', '@']))
}

/// The ciphersuites of RFC 8446 appendix B.4 under OpenSSL's names, which are the RFC's.
const CIPHERSUITES: [&str; 5] = [
    "TLS_AES_128_GCM_SHA256",
    "TLS_AES_256_GCM_SHA384",
    "TLS_CHACHA20_POLY1305_SHA256",
    "TLS_AES_128_CCM_SHA256",
    "TLS_AES_128_CCM_8_SHA256",
];

#[cfg(test)]
mod tests {
    use super::*;

    fn check(cipher_list: &str, ciphersuites: &str, groups: &str) -> Result<(), TlsConfigError> {
        let some = |list: &str| (list != "default").then(|| list.to_owned());
        let policy = Policy {
            cipher_list: some(cipher_list),
            ciphersuites: some(ciphersuites),
            groups: some(groups),
            ..Policy::default()
        };
        policy.check()
    }

    #[test]
    fn lists_of_known_names_are_accepted() {
        let suites = CIPHERSUITES.join(":");
        for (ciphers, suites, groups) in [
            ("default", "default", "default"),
            ("ECDHE-RSA-AES128-GCM-SHA256", &suites, "P-256"),
            ("HIGH:!aNULL:-kRSA:+SHA:@STRENGTH", "TLS_AES_256_GCM_SHA384", "X25519:P-384"),
            ("ECDHE+AESGCM DHE+AESGCM", "default", "default"),
        ] {
            assert!(check(ciphers, suites, groups).is_ok(), "{ciphers} {suites} {groups}");
            assert!(ErrorStack::get().errors().is_empty());
        }
    }

    #[test]
    fn one_unknown_name_spoils_a_list() {
        let default = "default";
        for (ciphers, suites, groups, list, reason) in [
            ("HIGH:NO-SUCH", default, default, "cipher_list", "\"NO-SUCH\""),
            ("TLS_AES_128_GCM_SHA256", default, default, "cipher_list", "before TLS 1.3"),
            ("", default, default, "cipher_list", "no cipher match"),
            ("HIGH:!ALL", default, default, "cipher_list", "no cipher match"),
            (default, "TLS_AES_128_GCM_SHA256:NO-SUCH", default, "ciphersuites", "\"NO-SUCH\""),
            (default, "", default, "ciphersuites", "\"\""),
            (default, default, "P-256:NO-SUCH", "groups", "\"NO-SUCH\""),
            (default, default, "", "groups", "\"\""),
        ] {
            let text = check(ciphers, suites, groups).expect_err("a bad list").to_string();
            assert!(text.starts_with(list) && text.contains(reason), "{text}");
        }
    }
}
