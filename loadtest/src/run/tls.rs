//! The part of a run that only TLS has: its flags, and what was spoken.
//!
//! Owns what the flags come to for the client, and which certificate the server has. The client
//! trusts exactly that one, unless --cacert says whose word to take instead; without either it
//! trusts nobody, and says so before the run.

use std::fmt::{self, Write};
use std::net::IpAddr;

use openssl::ssl::SslVersion;
use serde::Serialize;

use crate::arguments::{RunArguments, ServerTlsArguments, Subject, TlsVersion, Workload};
use crate::certificate::{self, Identity};
use crate::client::{ChurnTally, Tally, TlsTerms, Trust};
use crate::exit::{Failure, Outcome};
use crate::figure::count;

/// TLS of both sides.
#[derive(Debug)]
pub(super) struct Tls {
    pub(super) terms: TlsTerms,
    /// Of a server that is started.
    pub(super) identity: Option<Identity>,
}

/// What a run found out about TLS.
#[derive(Debug, Serialize)]
pub(super) struct TlsResult {
    /// The release this program is linked with: of the client, and of a server of ours.
    openssl: &'static str,
    /// As one of the connections came to speak it.
    version: Option<&'static str>,
    cipher: Option<&'static str>,
    /// Of short connections: handshakes with a new session, and those that resumed one.
    full_handshakes: Option<u64>,
    resumed_handshakes: Option<u64>,
    /// Short connections that the server ended without close_notify, after the client's.
    unclean: Option<u64>,
}

impl Tls {
    /// What the flags ask for, if TLS is spoken.
    ///
    /// # Errors
    /// A file that cannot be read, or what OpenSSL does not have.
    pub(super) fn new(arguments: &RunArguments) -> Outcome<Option<Self>> {
        if !is_spoken(arguments) {
            return Ok(None);
        }
        let tls = &arguments.load.tls;
        let identity = match arguments.address {
            Some(_) => None,
            None => Some(Identity::new(tls.cert.as_deref().zip(tls.key.as_deref()))?),
        };
        let cert = identity.as_ref().map(|identity| identity.cert.as_path());
        let trust = match (&tls.cacert, cert.or(tls.cert.as_deref())) {
            (Some(roots), _) => Trust::Roots(certificate::read("--cacert", roots)?),
            (None, Some(cert)) => Trust::exactly(certificate::read("--cert", cert)?),
            (None, None) => return Err(Failure::Usage(NOBODY_TRUSTED.to_owned())),
        };
        let terms = TlsTerms {
            name: tls.sni.clone(),
            version: tls.tls_version.map(|version| match version {
                TlsVersion::Tls12 => SslVersion::TLS1_2,
                TlsVersion::Tls13 => SslVersion::TLS1_3,
            }),
            ciphersuites: tls.ciphersuites.clone(),
            resume: tls.resume.unwrap_or_default(),
            frugal: arguments.load.workload == Workload::Idle,
            ..TlsTerms::trusting(trust)
        };
        terms.check().map_err(|why| match &terms.ciphersuites {
            Some(list) => Failure::Usage(format!(
                "--ciphersuites {list:?}: {why}; give names of OpenSSL separated by colons, of TLS \
                 1.3 or, with --tls-version 1.2, of that (`openssl ciphers -v` lists them)"
            )),
            None => Failure::Io { doing: "setting up TLS".to_owned(), source: why.into() },
        })?;
        Ok(Some(Self { terms, identity }))
    }

    /// How a server of ours is told.
    pub(super) fn of_server(tls: Option<&Self>) -> ServerTlsArguments {
        let identity = tls.and_then(|tls| tls.identity.as_ref());
        identity.map(Identity::arguments).unwrap_or_default()
    }
}

/// Refuses flags of TLS where there is none, and those that contradict each other; else makes what
/// they ask for, of which a throw-away certificate is no small part.
///
/// # Errors
/// The flag and what to do.
pub(super) fn check(arguments: &RunArguments) -> Outcome<Option<Tls>> {
    let (tls, workload) = (&arguments.load.tls, arguments.load.workload);
    let refused = |why: String| Err(Failure::Usage(why));
    if !is_spoken(arguments) {
        let given = tls.given();
        return given.map_or(Ok(None), |flag| refused(format!("{flag} is of TLS; give --tls too")));
    }
    if arguments.server == Subject::Bare {
        return refused("--server bare speaks no TLS; drop one of them".to_owned());
    }
    if tls.resume.is_some() && !workload.is_short() {
        return refused("--resume is of run handshake and churn; drop it".to_owned());
    }
    if arguments.address.is_some() && tls.key.is_some() {
        return refused("--key is of the server that is started; drop it or the address".into());
    }
    if arguments.address.is_none() && tls.cert.is_some() && tls.key.is_none() {
        return refused("--cert needs its --key for the server that is started".to_owned());
    }
    if let Some(name) = tls.sni.as_ref().filter(|name| name.parse::<IpAddr>().is_ok()) {
        return refused(format!("--sni {name}: nobody asks for addresses; give a host name"));
    }
    Tls::new(arguments)
}

fn is_spoken(arguments: &RunArguments) -> bool {
    arguments.load.tls.tls || arguments.load.workload == Workload::Handshake
}

impl TlsResult {
    pub(super) fn new(arguments: &RunArguments, tally: &Tally) -> Option<Self> {
        let of_churn = |figure: fn(&ChurnTally) -> u64| tally.churn.as_deref().map(figure);
        is_spoken(arguments).then(|| Self {
            openssl: openssl::version::version(),
            version: tally.negotiated.as_ref().map(|negotiated| negotiated.version),
            cipher: tally.negotiated.as_ref().map(|negotiated| negotiated.cipher),
            full_handshakes: of_churn(|churn| churn.full.count()),
            resumed_handshakes: of_churn(|churn| churn.resumed.count()),
            unclean: of_churn(|churn| churn.unclean),
        })
    }

    /// One line of text.
    pub(super) fn render(&self, text: &mut String) -> fmt::Result {
        let (version, cipher) = (self.version.unwrap_or("n/a"), self.cipher.unwrap_or("n/a"));
        write!(text, "TLS        {version}   {cipher}")?;
        if let Some((full, resumed)) = self.full_handshakes.zip(self.resumed_handshakes) {
            let share = resumed as f64 / (full + resumed).max(1) as f64;
            write!(
                text,
                "   {} full and {} resumed handshakes ({:.1} %)",
                count(full as f64),
                count(resumed as f64),
                share * 100.0
            )?;
        }
        if let Some(unclean) = self.unclean.filter(|&unclean| unclean > 0) {
            write!(text, "   {} ended without close_notify", count(unclean as f64))?;
        }
        writeln!(text)
    }
}

const NOBODY_TRUSTED: &str = "TLS to an address needs --cert, the server's certificate, or \
     --cacert, those of who signed it: without either nobody could be trusted";
