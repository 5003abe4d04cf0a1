//! The flags that put TLS under a load or a server.
//!
//! Owns their names, which of them a server takes too, and how those are written again for a child
//! process. Never acts: files are read and what contradicts itself is refused by `run` and `serve`.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, ValueEnum};

use crate::units::percent;

/// TLS as a server has it.
#[derive(Args, Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ServerTlsArguments {
    /// Speaks TLS
    #[arg(long, help_heading = TLS)]
    pub(crate) tls: bool,
    /// The server's certificate and those that signed it, as PEM
    /// [default: a P-256 certificate for localhost, made for this run]
    #[arg(long, value_name = "FILE", requires = "key", help_heading = TLS)]
    pub(crate) cert: Option<PathBuf>,
    /// Its private key, as PEM
    #[arg(long, value_name = "FILE", requires = "cert", help_heading = TLS)]
    pub(crate) key: Option<PathBuf>,
}

/// TLS as a load has it: the same flags, where the client trusts exactly that certificate, and the
/// client's.
#[derive(Args, Clone, Debug, Default, PartialEq)]
pub(crate) struct TlsArguments {
    /// Speaks TLS (handshake always does)
    #[arg(long, help_heading = TLS)]
    pub(crate) tls: bool,
    /// The server's certificate, as PEM; the client trusts exactly that
    /// [default: a P-256 certificate for localhost, made for this run]
    #[arg(long, value_name = "FILE", help_heading = TLS)]
    pub(crate) cert: Option<PathBuf>,
    /// Its private key, as PEM, for a server that is started
    #[arg(long, value_name = "FILE", requires = "cert", help_heading = TLS)]
    pub(crate) key: Option<PathBuf>,
    /// Trusts whom these certificates have signed instead, if the name is right too
    #[arg(long, value_name = "FILE", help_heading = TLS)]
    pub(crate) cacert: Option<PathBuf>,
    /// Name to ask for, and to find in the certificate [default: none; with --cacert: the address]
    #[arg(long, value_name = "NAME", help_heading = TLS)]
    pub(crate) sni: Option<String>,
    /// The only version to speak [default: 1.3, or 1.2 where the server has no other]
    #[arg(long, value_enum, value_name = "1.2|1.3", hide_possible_values = true, help_heading = TLS)]
    pub(crate) tls_version: Option<TlsVersion>,
    /// What to offer, as OpenSSL names it: suites of 1.3, with --tls-version 1.2 ciphers of that
    #[arg(long, value_name = "LIST", help_heading = TLS)]
    pub(crate) ciphersuites: Option<String>,
    /// handshake, churn: how many connections resume an earlier session; alone: all of them
    #[arg(
        long,
        value_name = "PERCENT",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "100%",
        value_parser = percent,
        help_heading = TLS
    )]
    pub(crate) resume: Option<f64>,
}

/// A version that both sides can be held to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum TlsVersion {
    #[value(name = "1.2")]
    Tls12,
    #[value(name = "1.3")]
    Tls13,
}

impl ServerTlsArguments {
    /// The arguments that make a child process speak it.
    pub(super) fn to_command_line(&self) -> Vec<OsString> {
        let mut line = Vec::new();
        line.extend(self.tls.then(|| "--tls".into()));
        for (name, path) in [("--cert", &self.cert), ("--key", &self.key)] {
            line.extend(path.iter().flat_map(|path| [name.into(), path.into()]));
        }
        line
    }

    /// The flag that means nothing without TLS and was given, by name.
    pub(crate) fn given(&self) -> Option<&'static str> {
        // The key requires the certificate.
        self.cert.as_ref().map(|_| "--cert")
    }
}

impl TlsArguments {
    /// The first flag that means nothing without TLS and was given, by name.
    pub(crate) fn given(&self) -> Option<&'static str> {
        let Self { tls: _, cert, key, cacert, sni, tls_version, ciphersuites, resume } = self;
        [
            ("--cert", cert.is_some()),
            ("--key", key.is_some()),
            ("--cacert", cacert.is_some()),
            ("--sni", sni.is_some()),
            ("--tls-version", tls_version.is_some()),
            ("--ciphersuites", ciphersuites.is_some()),
            ("--resume", resume.is_some()),
        ]
        .into_iter()
        .find_map(|(name, given)| given.then_some(name))
    }
}

/// Where they stand in the help.
const TLS: &str = "TLS";
