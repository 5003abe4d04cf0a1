//! Certificates and keys, in memory for our side and in files for the programs.

use std::fs;
use std::path::Path;

use sluicegate::TlsConfig;
use sluicegate::tls::{Certificate, ClientChoices, Roots, ServerChoices, TlsConfigBuilder};
use tempfile::TempDir;

/// The flag of the programs, and what the version is called.
pub(crate) const VERSIONS: [(&str, &str); 2] = [("-tls1_2", "TLSv1.2"), ("-tls1_3", "TLSv1.3")];

/// The name of the server; [`ADDRESS`] is in its certificate too.
pub(crate) const NAME: &str = "localhost";
const ADDRESS: &str = "127.0.0.1";

/// The name in the certificate of the client.
pub(crate) const CLIENT: &str = "client.example";

/// A server's certificate and a client's, each its own root.
pub(crate) struct Material {
    pub(crate) server: Certificate,
    pub(crate) client: Certificate,
    folder: TempDir,
}

impl Material {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let make = |names: &[&str], file: &str| {
            let certificate = Certificate::self_signed(names, 2).expect("a certificate");
            let parts = [("pem", certificate.chain_pem()), ("key", certificate.key_pem())];
            for (end, pem) in parts {
                let pem = pem.expect("it can be written");
                fs::write(folder.path().join(file).with_extension(end), pem).expect("a file");
            }
            certificate
        };
        let server = make(&[NAME, ADDRESS], "server");
        let client = make(&[CLIENT], "client");
        Self { server, client, folder }
    }

    /// The path of a file: `server.pem`, `server.key`, those of the client, or a new one.
    pub(crate) fn path(&self, file: &str) -> String {
        Path::to_str(&self.folder.path().join(file)).expect("it is text").to_owned()
    }

    pub(crate) fn roots(certificate: &Certificate) -> Roots {
        Roots::from_pem(certificate.chain_pem().expect("it can be written")).expect("a root")
    }

    /// A server's configuration with the certificate.
    pub(crate) fn accepting(&self) -> TlsConfigBuilder<ServerChoices> {
        TlsConfig::server().certificate(self.server.clone())
    }

    /// A client's configuration that trusts the server.
    pub(crate) fn connecting(&self) -> TlsConfigBuilder<ClientChoices> {
        TlsConfig::client().roots(Self::roots(&self.server))
    }
}
