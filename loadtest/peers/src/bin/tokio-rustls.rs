//! An echo server of tokio and tokio-rustls in one thread, with the cryptography of aws-lc.
//!
//! Tickets carry the session, as OpenSSL's do.

use std::sync::Arc;

use clap::Parser;
use loadtest_peers::{Options, Outcome, Version, tokio_echo};
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::version::{TLS12, TLS13};
use tokio_rustls::TlsAcceptor;

fn main() -> Outcome {
    let options = Options::parse();
    let acceptor = TlsAcceptor::from(Arc::new(config(&options)?));
    tokio_echo::serve(&options, |stream| {
        let accepting = acceptor.accept(stream);
        async move { Ok(accepting.await?) }
    })
}

fn config(options: &Options) -> Outcome<ServerConfig> {
    let certs = CertificateDer::pem_file_iter(&options.cert)?.collect::<Result<_, _>>()?;
    let key = PrivateKeyDer::from_pem_file(&options.key)?;
    let versions = match options.tls_version {
        None => [&TLS12, &TLS13].to_vec(),
        Some(Version::Tls12) => vec![&TLS12],
        Some(Version::Tls13) => vec![&TLS13],
    };
    let provider = Arc::new(aws_lc_rs::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&versions)?
        .with_no_client_auth()
        .with_single_cert(certs, key)?;
    config.ticketer = aws_lc_rs::Ticketer::new()?;
    Ok(config)
}
