//! Certificates: those that are given, and one that is made for a run.
//!
//! Owns the files a server is told of; those of a throw-away certificate go with it. It is a
//! self-signed one over P-256, for localhost and the loopback addresses. Never trusts anything.

use std::fs;
use std::path::{Path, PathBuf};

use openssl::x509::X509;
use sluicegate::tls::Certificate;
use tempfile::TempDir;

use crate::arguments::ServerTlsArguments;
use crate::client::Trust;
use crate::exit::{Failure, Outcome};

/// The files that say who a server is.
#[derive(Debug)]
pub(crate) struct Identity {
    pub(crate) cert: PathBuf,
    pub(crate) key: PathBuf,
    /// Where they are, if they were made for this run.
    folder: Option<TempDir>,
}

impl Identity {
    /// The files that were given, or new ones.
    ///
    /// # Errors
    /// Nowhere to write new ones.
    pub(crate) fn new(given: Option<(&Path, &Path)>) -> Outcome<Self> {
        match given {
            Some((cert, key)) => {
                Ok(Self { cert: cert.to_owned(), key: key.to_owned(), folder: None })
            }
            None => Self::throw_away(),
        }
    }

    /// Whether it is gone with this value.
    pub(crate) fn is_throw_away(&self) -> bool {
        self.folder.is_some()
    }

    /// How a server in a child process is told.
    pub(crate) fn arguments(&self) -> ServerTlsArguments {
        let (cert, key) = (Some(self.cert.clone()), Some(self.key.clone()));
        ServerTlsArguments { tls: true, cert, key }
    }

    /// What a client trusts that knows the server.
    ///
    /// # Errors
    /// The file has gone bad.
    pub(crate) fn trust(&self) -> Outcome<Trust> {
        read("--cert", &self.cert).map(Trust::exactly)
    }

    fn throw_away() -> Outcome<Self> {
        let doing = "making a certificate";
        let certificate = Certificate::self_signed(&NAMES, DAYS).map_err(Failure::tls(doing))?;
        let cert = certificate.chain_pem().map_err(Failure::tls(doing))?;
        let key = certificate.key_pem().map_err(Failure::tls(doing))?;
        // Nobody else can look into it.
        let folder = TempDir::with_prefix("loadtest-").map_err(Failure::io(doing))?;
        let write = |name: &str, pem: &[u8]| {
            let path = folder.path().join(name);
            fs::write(&path, pem).map_err(Failure::io(doing)).map(|()| path)
        };
        Ok(Self {
            cert: write("cert.pem", &cert)?,
            key: write("key.pem", &key)?,
            folder: Some(folder),
        })
    }
}

/// Reads the certificates in a file, of which there is one at least.
///
/// # Errors
/// The flag, the file and what is wrong with it.
pub(crate) fn read(flag: &str, path: &Path) -> Outcome<Vec<X509>> {
    let refused = |why: String| {
        let path = path.display();
        Failure::Usage(format!("{flag} {path}: {why}; give a file of PEM certificates"))
    };
    let pem = fs::read(path).map_err(|error| refused(error.to_string()))?;
    match X509::stack_from_pem(&pem) {
        Ok(certificates) if !certificates.is_empty() => Ok(certificates),
        Ok(_) => Err(refused("there is no certificate in it".to_owned())),
        Err(error) => Err(refused(error.to_string())),
    }
}

/// Whom one that is made for a run is for.
const NAMES: [&str; 3] = ["localhost", "127.0.0.1", "::1"];
/// How long it holds.
const DAYS: u32 = 30;

#[cfg(test)]
mod tests {
    use openssl::pkey::PKey;

    use super::*;

    #[test]
    fn a_throw_away_certificate_is_its_own_and_goes_with_its_value() {
        let identity = Identity::new(None).unwrap();
        assert!(identity.is_throw_away());
        let certificates = read("--cert", &identity.cert).unwrap();
        let key = PKey::private_key_from_pem(&fs::read(&identity.key).unwrap()).unwrap();
        assert!(certificates[0].public_key().unwrap().public_eq(&key));
        assert!(certificates[0].verify(&key).unwrap(), "it has signed itself");
        let other = Identity::new(None).unwrap();
        assert_ne!(fs::read(&other.key).unwrap(), fs::read(&identity.key).unwrap());
        let path = identity.cert.clone();
        drop(identity);
        assert!(!path.exists());
    }

    #[test]
    fn what_is_no_certificate_is_refused_with_flag_and_file() {
        let folder = TempDir::new().unwrap();
        let (empty, cut) = (folder.path().join("empty"), folder.path().join("cut"));
        fs::write(&empty, "").unwrap();
        fs::write(&cut, "-----BEGIN CERTIFICATE-----\nTUlJ\n-----END CERTIFICATE-----\n").unwrap();
        for path in [&empty, &cut, &folder.path().join("absent")] {
            let refused = read("--cacert", path).unwrap_err();
            assert_eq!(refused.code(), 2);
            let text = refused.to_string();
            assert!(text.starts_with(&format!("--cacert {}", path.display())), "{text}");
        }
    }
}
