//! What the peers have in common: their flags, their CPU, their READY line.
//!
//! Owns the way from the command line to a socket that listens, and what becomes of an accept that
//! fails; [`tokio_echo`] has the rest of those on tokio. Each peer is an echo server over TLS in
//! one thread, as a user of its library would write it, and ends with SIGTERM.

pub mod tokio_echo;

use std::error::Error;
use std::io::{self, Write};
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, ValueEnum};
use core_affinity::CoreId;
use openssl::ssl::{SslAcceptor, SslAcceptorBuilder, SslFiletype, SslMethod, SslVersion};

/// An echo server over TLS, to compare with.
#[derive(Debug, Parser)]
pub struct Options {
    /// CPU to run on [default: any]
    #[arg(long, value_name = "N")]
    pub cpu: Option<usize>,
    /// Certificate and those that signed it, as PEM
    #[arg(long, value_name = "FILE")]
    pub cert: PathBuf,
    /// Its private key, as PEM
    #[arg(long, value_name = "FILE")]
    pub key: PathBuf,
    /// The only version to speak [default: both]
    #[arg(long, value_enum, value_name = "1.2|1.3", hide_possible_values = true)]
    pub tls_version: Option<Version>,
    /// Address to listen on; port 0 takes a free one
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:0")]
    pub listen: SocketAddr,
}

/// A version of TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Version {
    #[value(name = "1.2")]
    Tls12,
    #[value(name = "1.3")]
    Tls13,
}

/// What a peer ends with.
pub type Outcome<T = ()> = Result<T, Box<dyn Error + Send + Sync>>;

impl Options {
    /// Ties the thread to its CPU.
    pub fn pin(&self) -> Outcome {
        match self.cpu {
            Some(id) if !core_affinity::set_for_current(CoreId { id }) => {
                Err(format!("--cpu {id}: this process may not run there").into())
            }
            _ => Ok(()),
        }
    }

    /// A socket that listens and does not block.
    pub fn listener(&self) -> Outcome<TcpListener> {
        let listener = TcpListener::bind(self.listen)
            .map_err(|error| format!("--listen {}: {error}", self.listen))?;
        listener.set_nonblocking(true)?;
        Ok(listener)
    }

    /// An acceptor with OpenSSL's view of what Mozilla recommends.
    pub fn acceptor(&self) -> Outcome<SslAcceptorBuilder> {
        let mut acceptor = SslAcceptor::mozilla_intermediate_v5(SslMethod::tls_server())?;
        acceptor.set_certificate_chain_file(&self.cert)?;
        acceptor.set_private_key_file(&self.key, SslFiletype::PEM)?;
        if let Some(version) = self.tls_version {
            let version = match version {
                Version::Tls12 => SslVersion::TLS1_2,
                Version::Tls13 => SslVersion::TLS1_3,
            };
            acceptor.set_min_proto_version(Some(version))?;
            acceptor.set_max_proto_version(Some(version))?;
        }
        Ok(acceptor)
    }
}

/// Says that connections are accepted, as `loadtest serve` does.
pub fn ready(address: SocketAddr) -> Outcome {
    let mut out = io::stdout().lock();
    writeln!(out, "READY {address}")?;
    out.flush()?;
    Ok(())
}

/// Says that an accept failed, and what is done about it.
pub fn rests(error: &io::Error) {
    eprintln!("accepting failed: {error}; the next attempt is in {REST:?}");
}

/// How long nobody is accepted after an accept has failed: descriptors may run out, and come back.
pub const REST: Duration = Duration::from_millis(100);
/// What a connection reads at a time: one full record.
pub const BUFFER_BYTES: usize = 16 * 1024;
