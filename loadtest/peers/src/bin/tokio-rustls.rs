//! An echo server of tokio and tokio-rustls in one thread, with the cryptography of aws-lc.
//!
//! Owns one task and one buffer for each connection. A connection that fails ends alone. Tickets
//! carry the session, as OpenSSL's do.

use std::sync::Arc;

use clap::Parser;
use loadtest_peers::{BUFFER_BYTES, Options, Outcome, Version, ready};
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::version::{TLS12, TLS13};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

fn main() -> Outcome {
    let options = Options::parse();
    options.pin()?;
    let acceptor = TlsAcceptor::from(Arc::new(config(&options)?));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    runtime.block_on(async {
        let listener = TcpListener::from_std(options.listener()?)?;
        ready(listener.local_addr()?)?;
        loop {
            let (stream, _) = listener.accept().await?;
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                // Whoever measures counts what failed.
                let _ = echo(&acceptor, stream).await;
            });
        }
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

async fn echo(acceptor: &TlsAcceptor, stream: TcpStream) -> Outcome {
    stream.set_nodelay(true)?;
    let mut stream = acceptor.accept(stream).await?;
    let mut buffer = vec![0; BUFFER_BYTES];
    loop {
        match stream.read(&mut buffer).await? {
            0 => break,
            bytes => {
                stream.write_all(&buffer[..bytes]).await?;
                stream.flush().await?;
            }
        }
    }
    stream.shutdown().await?;
    Ok(())
}
