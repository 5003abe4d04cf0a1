//! What the tests of TLS share: a server and a client that trusts it, and sessions of theirs.
//!
//! Owns only those. Decides nothing about what is tested.

use std::ops::RangeInclusive;

use sluicegate::openssl::ssl::Ssl;
use sluicegate::sim::Simulation;
use sluicegate::tls::{Certificate, TlsVersion};
use sluicegate::{Time, TlsConfig, TlsOptions, TlsState};

use super::ends::End;

/// Every version that is spoken here.
pub(crate) const VERSIONS: [TlsVersion; 2] = [TlsVersion::Tls12, TlsVersion::Tls13];

/// Whom the server's certificate is for.
pub(crate) const HOST: &str = "localhost";

/// A server and a client that trusts it, of the same versions; resuming is up to the client.
#[derive(Clone)]
pub(crate) struct Configs {
    pub(crate) server: TlsConfig,
    pub(crate) client: TlsConfig,
}

impl Configs {
    pub(crate) fn new(version: TlsVersion) -> Self {
        Self::of(version..=version)
    }

    /// Of every version, the newest of which they agree on.
    pub(crate) fn of_all_versions() -> Self {
        Self::of(TlsVersion::Tls12..=TlsVersion::Tls13)
    }

    fn of(versions: RangeInclusive<TlsVersion>) -> Self {
        let certificate = Certificate::self_signed(&[HOST], 1).expect("a certificate");
        let roots = certificate.chain_pem().expect("it can be written");
        let client = TlsConfig::client().roots_pem(roots).versions(versions.clone());
        let server = TlsConfig::server().certificate(certificate).versions(versions);
        let server = server.allow_client_renegotiation(true);
        Self {
            server: server.build().expect("a server"),
            client: client.build().expect("a client"),
        }
    }

    /// The object of a client's end, and that of a server's.
    pub(crate) fn objects(&self) -> (Ssl, Ssl) {
        let client = self.client.connect(0, Time::ZERO, HOST).expect("an object");
        (client, self.server.accept(0, Time::ZERO).expect("an object"))
    }
}

/// Puts a client's session over the first end and a server's over the second; what is on top then.
pub(crate) fn secured(
    sim: &mut Simulation,
    (a, b): (End, End),
    configs: &Configs,
    options: TlsOptions,
) -> (End, End) {
    let (client, server) = configs.objects();
    let a_top = sim.core().tls_filter(a.id, client, TlsState::Connecting, options);
    let b_top = sim.core().tls_filter(b.id, server, TlsState::Accepting, options);
    let top = |id: sluicegate::Result<_>, end: End| End { id: id.expect("a session"), ..end };
    (top(a_top, a), top(b_top, b))
}
