//! TLS as the client speaks it: whom it trusts and what it offers.
//!
//! Owns one context for each thread, so that threads share nothing. Never trusts anybody for lack
//! of a certificate to compare with.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mio::net::TcpStream;
use openssl::error::ErrorStack;
use openssl::ssl::{
    SslContext, SslContextBuilder, SslMethod, SslMode, SslStream, SslVerifyMode, SslVersion,
};
use openssl::x509::X509;
use openssl::x509::verify::X509VerifyFlags;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::session::Sessions;
use super::stream::handshake;

/// What a client wants of TLS, fully resolved.
#[derive(Clone, Debug)]
pub(crate) struct TlsTerms {
    pub(crate) trust: Trust,
    /// Name to ask for and to find in the certificate.
    pub(crate) name: Option<String>,
    /// The only version to speak, if not the newest that both have.
    pub(crate) version: Option<SslVersion>,
    /// Suites of TLS 1.3, or ciphers where the version is 1.2, as OpenSSL names them.
    pub(crate) ciphersuites: Option<String>,
    /// Of the connections, from 0 to 1, how many resume a session if there is one.
    pub(crate) resume: f64,
    /// Connections are so many and so idle that their buffers are worth giving back.
    pub(crate) frugal: bool,
}

/// Whose word is taken for who the server is.
#[derive(Clone, Debug)]
pub(crate) enum Trust {
    /// The server has this certificate; its name says nothing more.
    Exactly(X509),
    /// One of these has signed the server's, which is for its name or, where none is asked for, for
    /// its address.
    Roots(Vec<X509>),
}

impl Trust {
    /// Trusts the first of the certificates that a server has; the others have signed it.
    pub(crate) fn exactly(chain: Vec<X509>) -> Self {
        Self::Exactly(chain.into_iter().next().expect("a chain has a certificate"))
    }
}

/// What a connection came to speak.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Negotiated {
    pub(crate) version: &'static str,
    pub(crate) cipher: &'static str,
}

/// The TLS of one thread.
#[derive(Clone, Debug)]
pub(super) struct Tls {
    sessions: Sessions,
    terms: Arc<TlsTerms>,
    to: SocketAddr,
}

impl TlsTerms {
    /// Those of a client that only cares who the server is.
    pub(crate) fn trusting(trust: Trust) -> Self {
        Self { trust, name: None, version: None, ciphersuites: None, resume: 0.0, frugal: false }
    }

    /// Finds out whether OpenSSL takes them.
    ///
    /// # Errors
    /// A version or suites that it does not have.
    pub(crate) fn check(&self) -> Result<(), ErrorStack> {
        self.context().map(drop)
    }

    fn context(&self) -> Result<SslContextBuilder, ErrorStack> {
        let mut context = SslContext::builder(SslMethod::tls_client())?;
        context.set_verify(SslVerifyMode::PEER);
        context.set_min_proto_version(Some(self.version.unwrap_or(SslVersion::TLS1_2)))?;
        context.set_max_proto_version(self.version)?;
        if let Some(list) = &self.ciphersuites {
            match self.version {
                Some(SslVersion::TLS1_2) => context.set_cipher_list(list)?,
                _ => context.set_ciphersuites(list)?,
            }
        }
        let (trusted, exactly) = match &self.trust {
            Trust::Exactly(certificate) => (std::slice::from_ref(certificate), true),
            Trust::Roots(roots) => (roots.as_slice(), false),
        };
        for certificate in trusted {
            context.cert_store_mut().add_cert(certificate.clone())?;
        }
        if exactly {
            // Whoever signed it need not be known.
            context.verify_param_mut().set_flags(X509VerifyFlags::PARTIAL_CHAIN)?;
        }
        context.set_mode(SslMode::ENABLE_PARTIAL_WRITE | SslMode::ACCEPT_MOVING_WRITE_BUFFER);
        if self.frugal {
            context.set_mode(SslMode::RELEASE_BUFFERS);
        } else {
            // One system call for a record instead of two.
            context.set_read_ahead(true);
        }
        Ok(context)
    }
}

impl Tls {
    /// A context for connections to one address.
    pub(super) fn new(terms: &TlsTerms, to: SocketAddr) -> io::Result<Self> {
        let sessions = Sessions::new(terms.context()?, terms.resume);
        Ok(Self { sessions, terms: Arc::new(terms.clone()), to })
    }

    /// Puts TLS on a socket; the handshake is still to be done.
    pub(super) fn on(&self, stream: TcpStream) -> io::Result<SslStream<TcpStream>> {
        let mut ssl = self.sessions.ssl()?;
        match (&self.terms.name, &self.terms.trust) {
            (Some(name), _) => {
                ssl.set_hostname(name)?;
                ssl.param_mut().set_host(name)?;
            }
            (None, Trust::Roots(_)) => ssl.param_mut().set_ip(self.to.ip())?,
            (None, Trust::Exactly(_)) => {}
        }
        Ok(SslStream::new(ssl, stream)?)
    }

    /// The same with the handshake done, within a time.
    pub(super) fn connect(
        &self,
        stream: TcpStream,
        within: Duration,
    ) -> io::Result<SslStream<TcpStream>> {
        let mut stream = self.on(stream)?;
        let deadline = Instant::now() + within;
        while !handshake(&mut stream)? {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                let late = format!("the TLS handshake took longer than {within:?}");
                return Err(io::Error::new(io::ErrorKind::TimedOut, late));
            }
            // A flight fits into the socket's buffer, so what it waits for is the peer's.
            let wait = Timespec::try_from(left).unwrap_or_default();
            let mut sockets = [PollFd::new(stream.get_ref(), PollFlags::IN)];
            match poll(&mut sockets, Some(&wait)) {
                Err(error) if error != rustix::io::Errno::INTR => return Err(error.into()),
                _ => {}
            }
        }
        Ok(stream)
    }
}

/// What a connection came to speak.
pub(super) fn negotiated(stream: &SslStream<TcpStream>) -> Option<Negotiated> {
    let cipher = stream.ssl().current_cipher()?;
    let version = stream.ssl().version_str();
    Some(Negotiated { version, cipher: cipher.standard_name().unwrap_or_else(|| cipher.name()) })
}
