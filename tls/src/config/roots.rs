//! Whom a side trusts to vouch for its peers.
//!
//! Owns the DER of the roots given, decoded anew by each core like every other certificate. The
//! system's roots are found by OpenSSL, where it was told to look when it was built or where
//! `SSL_CERT_FILE` and `SSL_CERT_DIR` say; it reads them when a core builds its context and, from
//! a directory, when it first needs one.

use std::path::Path;
use std::sync::Arc;

use openssl::error::ErrorStack;
use openssl::ssl::{SslContextBuilder, SslVerifyMode};
use openssl::x509::X509;
use openssl::x509::store::X509StoreBuilder;

use super::certificate::{Pem, read_file};
use super::error::{TlsConfigError, quietly};

/// The authorities that are trusted. Cloning counts references.
#[derive(Clone, Debug)]
pub struct Roots {
    system: bool,
    given: Vec<Arc<[u8]>>,
}

impl Roots {
    /// The authorities the system trusts; with a usual list a core takes 60 ms to read them.
    #[must_use]
    pub fn system() -> Self {
        Self { system: true, given: Vec::new() }
    }

    /// The certificates in PEM in memory.
    ///
    /// # Errors
    /// [`TlsConfigError::NoCertificate`], [`TlsConfigError::BadCertificate`].
    pub fn from_pem(pem: impl AsRef<[u8]>) -> Result<Self, TlsConfigError> {
        quietly(|| Self::read(&Pem::given(pem.as_ref())))
    }

    /// The certificates in a PEM file.
    ///
    /// # Errors
    /// As [`from_pem`](Self::from_pem), and [`TlsConfigError::Unreadable`].
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self, TlsConfigError> {
        let bytes = read_file(path.as_ref())?;
        quietly(|| Self::read(&Pem::of(path.as_ref(), &bytes)))
    }

    /// Both these and `others`.
    #[must_use]
    pub fn and(mut self, others: Self) -> Self {
        self.system |= others.system;
        self.given.extend(others.given);
        self
    }

    /// What tells one set of roots from another.
    pub(crate) fn identity(&self) -> impl Iterator<Item = &[u8]> {
        let system: &[u8] = if self.system { b"system" } else { b"" };
        std::iter::once(system).chain(self.given.iter().map(|der| &**der))
    }

    /// Makes a context that is being built trust these and nobody else.
    pub(crate) fn load(&self, context: &mut SslContextBuilder) -> Result<(), ErrorStack> {
        let mut store = X509StoreBuilder::new()?;
        if self.system {
            store.set_default_paths()?;
        }
        for der in &self.given {
            store.add_cert(X509::from_der(der)?)?;
        }
        context.set_cert_store(store.build());
        Ok(())
    }

    fn read(pem: &Pem<'_>) -> Result<Self, TlsConfigError> {
        let ders = pem.certificates()?.into_iter().map(|root| root.to_der().map(Arc::from));
        let given = ders
            .collect::<Result<_, ErrorStack>>()
            .map_err(TlsConfigError::openssl("copy a certificate"))?;
        Ok(Self { system: false, given })
    }
}

/// Whether a server asks its clients for certificates, and whom it trusts to vouch for them.
#[derive(Clone, Debug, Default)]
pub enum ClientCertificates {
    /// Does not ask. The default.
    #[default]
    None,
    /// Asks; a client may have none, but one it sends must be good.
    Optional(Roots),
    /// Asks; a client without a good one is refused.
    Required(Roots),
}

impl ClientCertificates {
    /// What tells sessions made under one demand from those made under another.
    pub(crate) fn identity(&self) -> impl Iterator<Item = &[u8]> {
        let (name, roots): (&[u8], _) = match self {
            Self::None => (b"none", None),
            Self::Optional(roots) => (b"optional", Some(roots)),
            Self::Required(roots) => (b"required", Some(roots)),
        };
        std::iter::once(name).chain(roots.into_iter().flat_map(Roots::identity))
    }

    /// Makes a server's context that is being built ask as this says.
    pub(crate) fn load(&self, context: &mut SslContextBuilder) -> Result<(), ErrorStack> {
        let (mode, roots) = match self {
            Self::None => return Ok(()),
            Self::Optional(roots) => (SslVerifyMode::PEER, roots),
            Self::Required(roots) => {
                (SslVerifyMode::PEER | SslVerifyMode::FAIL_IF_NO_PEER_CERT, roots)
            }
        };
        roots.load(context)?;
        for der in &roots.given {
            // Told to the client, so that it can choose among its certificates.
            context.add_client_ca(&*X509::from_der(der)?)?;
        }
        context.set_verify(mode);
        Ok(())
    }
}
