//! A certificate chain with its private key, read and checked once, loaded by every core.
//!
//! Owns the DER of the chain and of the key. It does not keep OpenSSL's objects: each core decodes
//! its own, so that no reference count is shared between cores (`SSL_new` counts the certificate
//! and the key of its context up and down for every connection).
//!
//! Invariant: there is at least one certificate, and the key belongs to the first.

use std::fmt;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use openssl::error::ErrorStack;
use openssl::pkey::{PKey, Private};
use openssl::ssl::SslContextBuilder;
use openssl::x509::{X509, X509NameRef};

use super::error::{TlsConfigError, quietly};
use super::secret::Secret;

/// A certificate chain and the private key of its first certificate.
///
/// Cloning counts a reference. The key's bytes are zeroed when the last clone and the last
/// configuration with it are gone; `Debug` does not print them.
#[derive(Clone)]
pub struct Certificate {
    chain: Arc<[Box<[u8]>]>,
    key: Arc<Secret>,
    subject: Arc<str>,
}

impl Certificate {
    /// Reads a chain and a key from PEM in memory: the server's own certificate first.
    ///
    /// # Errors
    /// [`TlsConfigError`] when a part is missing, damaged or encrypted, or they do not match.
    pub fn from_pem(
        chain: impl AsRef<[u8]>,
        key: impl AsRef<[u8]>,
    ) -> Result<Self, TlsConfigError> {
        quietly(|| Self::read(Pem::given(chain.as_ref()), Pem::given(key.as_ref()), None))
    }

    /// Reads a chain and an encrypted key from PEM in memory.
    ///
    /// # Errors
    /// As [`from_pem`](Self::from_pem); a wrong password is [`TlsConfigError::BadKey`].
    pub fn from_pem_encrypted(
        chain: impl AsRef<[u8]>,
        key: impl AsRef<[u8]>,
        password: impl AsRef<[u8]>,
    ) -> Result<Self, TlsConfigError> {
        let password = Some(password.as_ref());
        quietly(|| Self::read(Pem::given(chain.as_ref()), Pem::given(key.as_ref()), password))
    }

    /// Reads a chain and a key from two PEM files; they may be one and the same.
    ///
    /// Blocks on the file system: call it at start or from a thread that may wait.
    ///
    /// # Errors
    /// As [`from_pem`](Self::from_pem), and [`TlsConfigError::Unreadable`].
    pub fn from_files(
        chain: impl AsRef<Path>,
        key: impl AsRef<Path>,
    ) -> Result<Self, TlsConfigError> {
        let (chain, key) = (chain.as_ref(), key.as_ref());
        let chain_bytes = read_file(chain)?;
        let key_bytes = Secret::new(read_file(key)?);
        quietly(|| Self::read(Pem::of(chain, &chain_bytes), Pem::of(key, &key_bytes), None))
    }

    /// Writes the chain as PEM, the server's own certificate first.
    ///
    /// # Errors
    /// [`TlsConfigError::OpenSsl`] when out of memory.
    pub fn chain_pem(&self) -> Result<Vec<u8>, TlsConfigError> {
        quietly(|| {
            let mut pem = Vec::new();
            for der in self.chain.iter() {
                pem.extend(X509::from_der(der)?.to_pem()?);
            }
            Ok(pem)
        })
        .map_err(TlsConfigError::openssl("write a certificate"))
    }

    /// Writes the private key as PEM, not encrypted.
    ///
    /// # Errors
    /// [`TlsConfigError::OpenSsl`] when out of memory.
    pub fn key_pem(&self) -> Result<Vec<u8>, TlsConfigError> {
        quietly(|| self.private_key()?.private_key_to_pem_pkcs8())
            .map_err(TlsConfigError::openssl("write a private key"))
    }

    /// Takes over a chain and a key that are known to match.
    pub(crate) fn of(chain: &[X509], key: &PKey<Private>) -> Result<Self, ErrorStack> {
        let subject = chain.first().map_or_else(String::new, |leaf| subject(leaf.subject_name()));
        let chain = chain.iter().map(|link| Ok(link.to_der()?.into_boxed_slice()));
        Ok(Self {
            chain: chain.collect::<Result<_, ErrorStack>>()?,
            key: Arc::new(Secret::new(key.private_key_to_pkcs8()?)),
            subject: subject.into(),
        })
    }

    /// Decodes the chain and the key anew into a context that is being built.
    pub(crate) fn load(&self, context: &mut SslContextBuilder) -> Result<(), ErrorStack> {
        let mut chain = self.chain.iter().map(|der| X509::from_der(der));
        if let Some(leaf) = chain.next() {
            context.set_certificate(&*leaf?)?;
        }
        for link in chain {
            context.add_extra_chain_cert(link?)?;
        }
        context.set_private_key(&*self.private_key()?)
    }

    fn private_key(&self) -> Result<PKey<Private>, ErrorStack> {
        PKey::private_key_from_der(&self.key)
    }

    fn read(chain: Pem<'_>, key: Pem<'_>, password: Option<&[u8]>) -> Result<Self, TlsConfigError> {
        let links = chain.certificates()?;
        let private_key = key.private_key(password)?;
        let matches = links[0].public_key().is_ok_and(|public| public.public_eq(&private_key));
        if !matches {
            let subject = subject(links[0].subject_name());
            return Err(TlsConfigError::KeyMismatch { origin: key.origin, subject });
        }
        Self::of(&links, &private_key).map_err(TlsConfigError::openssl("copy a certificate"))
    }
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct("Certificate");
        out.field("subject", &self.subject).field("chain", &self.chain.len());
        out.finish_non_exhaustive()
    }
}

/// PEM and where it came from, for errors.
pub(crate) struct Pem<'a> {
    origin: String,
    bytes: &'a [u8],
}

impl<'a> Pem<'a> {
    /// PEM given in memory.
    pub(crate) fn given(bytes: &'a [u8]) -> Self {
        Self { origin: "the PEM given".to_owned(), bytes }
    }

    /// PEM read from a file.
    pub(crate) fn of(path: &Path, bytes: &'a [u8]) -> Self {
        Self { origin: path.display().to_string(), bytes }
    }

    /// Decodes the certificates; at least one.
    pub(crate) fn certificates(&self) -> Result<Vec<X509>, TlsConfigError> {
        let origin = self.origin.clone();
        match X509::stack_from_pem(self.bytes) {
            Ok(links) if links.is_empty() => Err(TlsConfigError::NoCertificate { origin }),
            Ok(links) => Ok(links),
            Err(errors) => {
                Err(TlsConfigError::BadCertificate { origin, reason: errors.to_string() })
            }
        }
    }

    /// Decodes the private key. Never prompts: OpenSSL would, were it given no callback.
    fn private_key(&self, password: Option<&[u8]>) -> Result<PKey<Private>, TlsConfigError> {
        let mut asked_in_vain = false;
        let key = PKey::private_key_from_pem_callback(self.bytes, |room| match password {
            Some(password) if password.len() <= room.len() => {
                room[..password.len()].copy_from_slice(password);
                Ok(password.len())
            }
            _ => {
                asked_in_vain = true;
                Ok(0)
            }
        });
        let origin = self.origin.clone();
        key.map_err(|errors| match password {
            None if asked_in_vain => TlsConfigError::KeyEncrypted { origin },
            _ => TlsConfigError::BadKey { origin, reason: errors.to_string() },
        })
    }
}

/// Reads a whole file.
pub(crate) fn read_file(path: &Path) -> Result<Vec<u8>, TlsConfigError> {
    fs::read(path).map_err(|source| TlsConfigError::Unreadable { path: path.to_owned(), source })
}

/// Prints a subject as `CN=name, O=organisation`.
fn subject(name: &X509NameRef) -> String {
    let part = |entry: &openssl::x509::X509NameEntryRef| {
        let kind = entry.object().nid().short_name().unwrap_or("?");
        format!("{kind}={}", String::from_utf8_lossy(entry.data().as_slice()))
    };
    name.entries().map(part).collect::<Vec<_>>().join(", ")
}
