//! Which certificate a client gets that asks for a host by name.
//!
//! Owns one context per certificate and core, made in the handshake of the client that first asks
//! for it, also after a reload: a server with many names does not pay for those nobody asks for.
//!
//! Invariant: an exact name goes before a wildcard, and a name nobody has gets the certificate of
//! the context the connection began with.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, OnceLock};

use openssl::ssl::{NameType, SniError, SslContext, SslRef};

use super::error::quietly;
use super::server::ServerMaterial;
use crate::ticket::CoreKeys;

/// Switches a connection to the context for the name its client asks for.
pub(crate) struct Chooser {
    material: Arc<ServerMaterial>,
    keys: Option<Arc<CoreKeys>>,
    /// `None` inside: the context could not be made, which is not tried again.
    contexts: HashMap<String, OnceLock<Option<SslContext>>>,
}

impl Chooser {
    pub(crate) fn new(material: Arc<ServerMaterial>, keys: Option<Arc<CoreKeys>>) -> Self {
        let names = material.by_name().keys();
        let contexts = names.map(|name| (name.clone(), OnceLock::new())).collect();
        Self { material, keys, contexts }
    }

    /// Called by OpenSSL once it has read the client's first message.
    pub(crate) fn choose(&self, ssl: &mut SslRef) -> Result<(), SniError> {
        let Some(asked) = ssl.servername(NameType::HOST_NAME) else { return Ok(()) };
        let Some(name) = find(self.material.by_name(), asked) else { return Ok(()) };
        let slot = self.contexts.get(name).ok_or(SniError::ALERT_FATAL)?;
        let context = slot.get_or_init(|| self.context(name)).as_ref();
        ssl.set_ssl_context(context.ok_or(SniError::ALERT_FATAL)?)
            .map_err(|_| SniError::ALERT_FATAL)
    }

    /// Makes a context in the middle of a handshake, which would take a leftover for its failure.
    fn context(&self, name: &str) -> Option<SslContext> {
        let certificate = self.material.by_name().get(name)?;
        quietly(|| self.material.context(certificate, self.keys.as_ref(), None)).ok()
    }
}

impl fmt::Debug for Chooser {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Chooser").field("names", &self.contexts.len()).finish_non_exhaustive()
    }
}

/// Finds the name in `names` that stands for the one asked for.
fn find<'a, T>(names: &'a HashMap<String, T>, asked: &str) -> Option<&'a str> {
    let asked = asked.to_ascii_lowercase();
    let wildcard = || {
        let (first, rest) = asked.split_once('.')?;
        if first.is_empty() { None } else { names.get_key_value(&format!("*.{rest}")) }
    };
    names.get_key_value(&asked).or_else(wildcard).map(|(name, _)| name.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::material::Material;
    use crate::{Certificate, TlsConfig};

    /// Whether decoding leaves errors behind depends on the release of OpenSSL.
    #[test]
    fn a_context_made_within_a_handshake_leaves_no_error_to_it() {
        let certificate = Certificate::self_signed(&["a.example"], 1).expect("a certificate");
        let config = TlsConfig::server().certificate(certificate.clone());
        let config = config.certificate_for("a.example", certificate).build().expect("built");
        let Material::Server(material) = config.shared.material.lock().clone() else {
            panic!("it is a server's")
        };
        let stale = openssl::x509::X509::from_der(b"none").expect_err("no certificate");
        stale.put();
        assert!(Chooser::new(material, None).context("a.example").is_some());
        assert!(openssl::error::ErrorStack::get().errors().is_empty());
    }

    #[test]
    fn exact_goes_before_wildcard_and_a_wildcard_stands_for_one_label() {
        let names = ["a.example", "*.example", "*.b.example"];
        let names: HashMap<String, ()> = names.map(|name| (name.to_owned(), ())).into();
        for (asked, found) in [
            ("a.example", Some("a.example")),
            ("A.Example", Some("a.example")),
            ("c.example", Some("*.example")),
            ("c.b.example", Some("*.b.example")),
            ("d.c.b.example", None),
            ("example", None),
            (".example", None),
            ("*.example", Some("*.example")),
            ("", None),
        ] {
            assert_eq!(find(&names, asked), found, "{asked}");
        }
    }
}
