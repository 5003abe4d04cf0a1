//! What can go wrong, and the exit code that says so.
//!
//! Owns the list of failures a command can end with. Never prints: `main` does, once, on standard
//! error. Exit codes: 0 fine, 1 could not run, 2 usage, 3 a check failed, 5 the second of two
//! servers is worse, 6 that could not be told.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use sluicegate::tls::TlsConfigError;
use thiserror::Error;

/// Why a command did not end with exit code 0.
#[derive(Debug, Error)]
pub(crate) enum Failure {
    #[error("-c 0: a run needs at least one connection; give -c 1 or more")]
    NoConnections,

    #[error(
        "{flag} needs {needed} file descriptors and this process may open {allowed}; \
         lower it or raise the hard limit (ulimit -Hn {needed})"
    )]
    TooFewDescriptors { flag: String, needed: u64, allowed: u64 },

    #[error("{flag}: CPU {cpu} is not available to this process; allowed: {allowed}")]
    CpuNotAllowed { flag: &'static str, cpu: usize, allowed: String },

    #[error("{0}")]
    Usage(String),

    #[error("cannot listen on {address}: {source}; choose another address or port 0")]
    Listen { address: String, source: io::Error },

    #[error(
        "none of {count} connections to {address} could be opened: {source}; {}",
        connect_remedy(.source)
    )]
    Connect { count: usize, address: SocketAddr, source: io::Error },

    #[error("the server process ended before it was asked to ({status}); its message is above")]
    ServerEnded { status: String },

    #[error("the server process did not answer within {0:?}; the machine may be overloaded")]
    ServerSilent(Duration),

    #[error("the server process answered {answer:?}, which is not {expected}")]
    ServerAnswer { answer: String, expected: &'static str },

    #[error("nothing was measured: {0}")]
    NothingMeasured(String),

    #[error("the trial of {flags} in round {round} failed: {source}")]
    Trial { flags: String, round: usize, source: Box<Self> },

    #[error("{doing}: {source}")]
    Io { doing: String, source: io::Error },

    #[error("{doing}: {source}")]
    Tls { doing: String, source: TlsConfigError },

    #[error("{0}")]
    Server(String),

    #[error("{0}")]
    CheckFailed(String),

    #[error("the second server is not as good: {0}")]
    Worse(String),

    #[error("not told: {0}")]
    Inconclusive(String),

    #[error("this machine is not ready to measure: {0}; what to do stands beside it")]
    NotReady(String),
}

impl Failure {
    /// Wraps an I/O error with what was being done.
    pub(crate) fn io(doing: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let doing = doing.into();
        move |source| Self::Io { doing, source }
    }

    /// Wraps what is wrong with a certificate or a key with what was being done.
    pub(crate) fn tls(doing: impl Into<String>) -> impl FnOnce(TlsConfigError) -> Self {
        let doing = doing.into();
        move |source| Self::Tls { doing, source }
    }

    /// Wraps an I/O error with the address that cannot be listened on.
    pub(crate) fn listen(address: &str) -> impl FnOnce(io::Error) -> Self {
        let address = address.to_owned();
        move |source| Self::Listen { address, source }
    }

    /// An address that does not parse or resolve.
    pub(crate) fn address(flag: &str, text: &str, why: &io::Error) -> Self {
        Self::Usage(format!(
            "{flag}: cannot use address {text:?}: {why}; write it as host:port, like 127.0.0.1:7777"
        ))
    }

    /// The exit code of the process.
    pub(crate) fn code(&self) -> u8 {
        match self {
            Self::NoConnections
            | Self::CpuNotAllowed { .. }
            | Self::Usage(_)
            | Self::TooFewDescriptors { .. } => 2,
            Self::CheckFailed(_) => 3,
            Self::Worse(_) => 5,
            Self::Inconclusive(_) => 6,
            _ => 1,
        }
    }
}

/// What to do about a connection that could not be opened.
pub(crate) fn connect_remedy(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => "is a server listening there?",
        io::ErrorKind::AddrNotAvailable => {
            "no local port is left: use fewer connections or widen net.ipv4.ip_local_port_range"
        }
        io::ErrorKind::InvalidData => {
            "does it speak TLS, as a version that the client takes, with the certificate it trusts?"
        }
        _ => "check the address and the way to it",
    }
}

/// What a command ends with.
pub(crate) type Outcome<T = ()> = Result<T, Failure>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_tell_usage_failure_and_check_apart() {
        assert_eq!(Failure::NoConnections.code(), 2);
        assert_eq!(Failure::ServerSilent(Duration::from_secs(1)).code(), 1);
        assert_eq!(Failure::CheckFailed("too fast".into()).code(), 3);
        assert_eq!(Failure::Worse("slower".into()).code(), 5);
        assert_eq!(Failure::Inconclusive("who knows".into()).code(), 6);
    }

    #[test]
    fn too_few_descriptors_names_flag_and_both_numbers() {
        let failure =
            Failure::TooFewDescriptors { flag: "-c 30000".into(), needed: 30_064, allowed: 1024 };
        let text = failure.to_string();
        assert!(text.contains("-c 30000") && text.contains("30064") && text.contains("1024"));
    }
}
