//! What went wrong in a session, grouped by whose fault it is.
//!
//! Owns [`TlsError`] and the judgement which group an error of OpenSSL belongs to. The code of
//! each is that of `ERR_get_error`, so `openssl errstr` knows it.
//!
//! Source: the reasons of OpenSSL 3.0 to 3.6 (sslerr.h); those of 1000 and above are alerts that
//! the peer has sent, by their number in RFC 8446.

use std::io;
use std::time::Duration;

use openssl::error::{Error, ErrorStack};
use openssl::ssl::{ErrorCode, SslRef};
use openssl::x509::X509VerifyResult;

use crate::ffi::bio::Stop;

/// An error of a TLS session.
///
/// The error of an ERROR event carries one where it is TLS that failed: `error.get_ref()` and
/// `downcast_ref` find it. Where what is below failed, by a reset or a connect that was refused,
/// the error is a plain [`io::Error`], as without TLS.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// The peer does not keep to the protocol, offers what is not wanted here, or went away.
    ///
    /// Close the connection; nothing is to be mended on this side, unless all peers do so.
    #[error("the peer {detail}")]
    Peer {
        /// As `ERR_get_error` packs it; 0 if OpenSSL has no part in it.
        code: u64,
        /// What it did, and OpenSSL's words for it.
        detail: Box<str>,
    },
    /// A certificate was refused: the peer's here, or ours by the peer.
    ///
    /// Tell a person, who has to replace the certificate, the roots or the name that `detail` says;
    /// until then trying again ends the same way. Never go on without verification.
    #[error("certificate: {detail}")]
    Certificate {
        /// As `ERR_get_error` packs it.
        code: u64,
        /// Whose, why, and what to do.
        detail: Box<str>,
    },
    /// This program asks for what its own settings or the state of the session rule out.
    ///
    /// A defect of the program or its configuration: change the call or the setting that `detail`
    /// names. A refused call leaves the session as it was.
    #[error("local misuse: {detail}")]
    Local {
        /// As `ERR_get_error` packs it; 0 if OpenSSL has no part in it.
        code: u64,
        /// What, and what to do.
        detail: Box<str>,
    },
    /// OpenSSL itself failed: memory, entropy, a provider.
    ///
    /// Close the connection and log the code. Where all connections fail so, look at the memory and
    /// at the installation of OpenSSL (`openssl list -providers`).
    #[error("OpenSSL: {detail}")]
    OpenSsl {
        /// As `ERR_get_error` packs it.
        code: u64,
        /// OpenSSL's words.
        detail: Box<str>,
    },
}

impl TlsError {
    /// The code as `ERR_get_error` packs it: library, function where there are some, reason.
    ///
    /// 0 where OpenSSL has no part in the error, such as a handshake that took too long.
    pub fn code(&self) -> u64 {
        match self {
            Self::Peer { code, .. }
            | Self::Certificate { code, .. }
            | Self::Local { code, .. }
            | Self::OpenSsl { code, .. } => *code,
        }
    }

    /// The peer ended its stream without close_notify.
    pub(crate) fn truncated() -> Self {
        let detail = "closed without close_notify: what it sent may have been cut off; only where \
                      the protocol above marks its own end allow_dirty_shutdown is safe";
        Self::Peer { code: UNEXPECTED_EOF, detail: detail.into() }
    }

    /// The peer ended its stream, or said goodbye, before the handshake was over.
    pub(crate) fn cut_handshake() -> Self {
        let detail = "closed during the handshake: it may refuse this version, these ciphers or \
                      this certificate, or not speak TLS";
        Self::Peer { code: UNEXPECTED_EOF, detail: detail.into() }
    }

    /// The handshake took too long.
    pub(crate) fn stalled_handshake(after: Duration) -> Self {
        let detail = format!("did not finish the handshake within {after:?}");
        Self::Peer { code: 0, detail: detail.into() }
    }

    /// OpenSSL could not make what an object stands between.
    pub(super) fn from_stack(stack: &ErrorStack) -> Self {
        Self::OpenSsl { code: first_code(stack), detail: stack.to_string().into() }
    }

    /// OpenSSL does not begin new keys, though nothing is in their way.
    pub(super) fn refused_keys(stack: &ErrorStack) -> Self {
        let detail = format!("this session cannot have new keys: {stack}").into();
        Self::Local { code: first_code(stack), detail }
    }

    /// New keys and the bound on output have waited for each other.
    pub(crate) fn locked_keys() -> Self {
        Self::local(
            "new keys wait behind bytes that are not read, as reading rests behind output, which \
             waits for the keys: raise max_output, or ask for them while less is to be written",
        )
    }

    /// The peer has asked for answers and does not take them.
    pub(crate) fn answers_not_taken() -> Self {
        let detail = "asks for new keys or handshakes over and over and does not take the answers";
        Self::Peer { code: TOO_MANY_KEY_UPDATES, detail: detail.into() }
    }

    /// The object cannot begin anew: that of a connection which was lost while new keys were made.
    pub(crate) fn cannot_restart() -> Self {
        let detail = "its object cannot begin anew, as new keys were being made when the connection \
                      was lost: make a new one";
        Self::OpenSsl { code: 0, detail: detail.into() }
    }

    /// What an ended session was asked for.
    pub(crate) fn local(detail: &str) -> Self {
        Self::Local { code: 0, detail: detail.into() }
    }

    /// A session was asked for something where there is none.
    pub fn no_session() -> Self {
        Self::local("there is no TLS session on this bufferevent: name the one that stands over it")
    }

    /// The errors of a failed call, in order; at least one.
    pub(super) fn from_stop(stop: &Stop, ssl: &SslRef) -> Vec<Self> {
        let verified = ssl.verify_result();
        let errors = stop.errors.errors();
        if errors.is_empty() && stop.code == ErrorCode::ZERO_RETURN {
            // Where only a handshake goes on: reading takes a goodbye for what it is.
            return vec![Self::cut_handshake()];
        }
        if errors.is_empty() {
            let code = stop.code.as_raw();
            let detail = format!("a call failed and gave no reason (SSL_get_error says {code})");
            return vec![Self::OpenSsl { code: 0, detail: detail.into() }];
        }
        errors.iter().map(|error| Self::from_error(error, verified)).collect()
    }

    fn from_error(error: &Error, verified: X509VerifyResult) -> Self {
        let library = error.library().unwrap_or("a library");
        Self::judge(error.code(), library, error.reason().unwrap_or("unknown reason"), verified)
    }

    /// Whose fault a packed code is, where a library raised it for a reason in words.
    fn judge(code: u64, library: &str, words: &str, verified: X509VerifyResult) -> Self {
        let said = |what: &str| format!("{what} ({words}, {code:08X})").into_boxed_str();
        if (code >> 23) & 0xFF != ERR_LIB_SSL {
            return Self::OpenSsl { code, detail: said(library) };
        }
        match code & 0x7F_FFFF {
            // Common to all libraries: a wrong argument; or memory, a provider, a fault inside.
            reason if reason & COMMON != 0 && !MISUSE.contains(&(reason & !COMMON)) => {
                Self::OpenSsl { code, detail: said("internal error") }
            }
            CERTIFICATE_VERIFY_FAILED => {
                let why = verified.error_string();
                let what = format!(
                    "the peer's is refused: {why}; trust its issuer, use the name it \
                                    is for, or have it replaced"
                );
                Self::Certificate { code, detail: said(&what) }
            }
            PEER_GAVE_NO_CERTIFICATE => Self::Certificate {
                code,
                detail: said("the peer gave none, and one is required here"),
            },
            reason if is_about_certificate(reason) => Self::Certificate {
                code,
                detail: said("the peer refuses the one it got, or wants one it did not get"),
            },
            HTTP_REQUEST | HTTPS_PROXY_REQUEST => {
                Self::Peer { code, detail: said("sent plain HTTP to a TLS port: let it use https") }
            }
            WRONG_VERSION_NUMBER => Self::Peer {
                code,
                detail: said("does not speak TLS here, or a version of it that is none"),
            },
            reason if reason & COMMON != 0 || LOCAL.contains(&reason) => {
                Self::Local { code, detail: said("the settings or the state do not allow it") }
            }
            CALLBACK_FAILED => Self::OpenSsl { code, detail: said("a callback of ours failed") },
            reason => Self::Peer { code, detail: said(deed(reason)) },
        }
    }
}

/// The code of the first error, which is the cause; 0 if there is none.
fn first_code(stack: &ErrorStack) -> u64 {
    stack.errors().first().map_or(0, Error::code)
}

/// What the peer did where there is a remedy, or which kind of thing.
fn deed(reason: u64) -> &'static str {
    match DEEDS.iter().find(|deed| deed.0 == reason) {
        Some((_, what)) => what,
        None if (ALERTS..ALERTS + 256).contains(&reason) => "refused by an alert",
        None => "broke off or does not fit",
    }
}

/// Whether the reason is an alert of the peer about a certificate: bad, unsupported, revoked,
/// expired, unknown, unknown_ca, access_denied, certificate_required.
fn is_about_certificate(reason: u64) -> bool {
    matches!(reason.wrapping_sub(ALERTS), 42..=46 | 48 | 49 | 116)
}

impl From<TlsError> for io::Error {
    fn from(error: TlsError) -> Self {
        let kind = match &error {
            TlsError::Peer { code: UNEXPECTED_EOF, .. } => io::ErrorKind::UnexpectedEof,
            TlsError::Peer { code: 0, .. } => io::ErrorKind::TimedOut,
            TlsError::Peer { .. } | TlsError::Certificate { .. } => io::ErrorKind::InvalidData,
            TlsError::Local { .. } => io::ErrorKind::InvalidInput,
            TlsError::OpenSsl { .. } => io::ErrorKind::Other,
        };
        Self::new(kind, error)
    }
}

const ERR_LIB_SSL: u64 = 20;
/// SSL_R_UNEXPECTED_EOF_WHILE_READING of the SSL library, packed.
const UNEXPECTED_EOF: u64 = 0x0A00_0126;
/// SSL_R_TOO_MANY_KEY_UPDATES, packed.
const TOO_MANY_KEY_UPDATES: u64 = 0x0A00_0084;
const CERTIFICATE_VERIFY_FAILED: u64 = 134;
const HTTPS_PROXY_REQUEST: u64 = 155;
const HTTP_REQUEST: u64 = 156;
const PEER_GAVE_NO_CERTIFICATE: u64 = 199;
/// The flags that mark a reason which all libraries of 3.x share.
const COMMON: u64 = 3 << 18;
/// Those of the common reasons that a caller is to blame for: called where it must not be, a null
/// parameter, an invalid argument.
const MISUSE: [u64; 3] = [257, 258, 262];
const CALLBACK_FAILED: u64 = 234;
const WRONG_VERSION_NUMBER: u64 = 267;
/// What is added to the number of an alert.
const ALERTS: u64 = 1000;
/// no ciphers available, no protocols available, no certificate set, protocol is shutdown,
/// uninitialized, wrong ssl version, connection type not set.
const LOCAL: [u64; 7] = [181, 191, 179, 207, 276, 266, 144];
/// What two sides that cannot agree, or a bad wire, look like; what to do is said with it.
const DEEDS: [(u64, &str); 13] = [
    (258, "offers no version that is allowed here: let both sides allow TLS 1.2 or 1.3"),
    (ALERTS + 70, "allows no version that is offered here: let both sides allow TLS 1.2 or 1.3"),
    (193, "shares no cipher suite with this side: compare both lists, and the kind of the key"),
    (101, "shares no group for the key exchange with this side: compare both lists"),
    (295, "shares no group for the key exchange with this side: compare both lists"),
    (410, "shares no group for the key exchange with this side: compare both lists"),
    (118, "accepts no signature of the key here: use one of another kind, such as P-256"),
    (ALERTS + 40, "finds nothing to agree on: compare versions, suites and certificates"),
    (235, "offers no protocol (ALPN) of this side's: compare both lists"),
    (ALERTS + 120, "takes no protocol (ALPN) of this side's: compare both lists"),
    (ALERTS + 112, "has no certificate for the name that was asked for: use a name it is for"),
    (281, "sent a record that was changed on its way, or is under other keys"),
    (339, "allows no renegotiation: open a new connection"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_code_is_one_partys_fault() {
        let cases: [(u64, u64, &str); 18] = [
            (ERR_LIB_SSL, CERTIFICATE_VERIFY_FAILED, "certificate"),
            (ERR_LIB_SSL, PEER_GAVE_NO_CERTIFICATE, "certificate"),
            (ERR_LIB_SSL, 1042, "certificate"),
            (ERR_LIB_SSL, 1116, "certificate"),
            (ERR_LIB_SSL, HTTP_REQUEST, "peer"),
            (ERR_LIB_SSL, WRONG_VERSION_NUMBER, "peer"),
            (ERR_LIB_SSL, 1040, "peer"),
            (ERR_LIB_SSL, 1255, "peer"),
            (ERR_LIB_SSL, 118, "peer"),
            (ERR_LIB_SSL, 281, "peer"),
            (ERR_LIB_SSL, 282, "peer"),
            (ERR_LIB_SSL, 181, "local"),
            (ERR_LIB_SSL, 257 | COMMON, "local"),
            (ERR_LIB_SSL, 262 | 2 << 18, "local"),
            (ERR_LIB_SSL, 256 | COMMON, "openssl"),
            (ERR_LIB_SSL, 259 | 2 << 18, "openssl"),
            (ERR_LIB_SSL, CALLBACK_FAILED, "openssl"),
            (4, CERTIFICATE_VERIFY_FAILED, "openssl"),
        ];
        for (library, reason, fault) in cases {
            let code = library << 23 | reason;
            let error = TlsError::judge(code, "a library", "words", X509VerifyResult::OK);
            let found = match &error {
                TlsError::Peer { .. } => "peer",
                TlsError::Certificate { .. } => "certificate",
                TlsError::Local { .. } => "local",
                TlsError::OpenSsl { .. } => "openssl",
            };
            assert_eq!((found, error.code()), (fault, code), "{library} {reason}: {error}");
        }
    }

    #[test]
    fn what_has_a_remedy_says_it_and_the_rest_says_its_kind() {
        for (reason, says) in [
            (258, "let both sides allow"),
            (ALERTS + 40, "compare versions"),
            (ALERTS + 71, "refused by an alert"),
            (282, "broke off or does not fit"),
        ] {
            let code = ERR_LIB_SSL << 23 | reason;
            let error = TlsError::judge(code, "a library", "words", X509VerifyResult::OK);
            let text = error.to_string();
            assert!(text.starts_with("the peer ") && text.contains(says), "{reason}: {text}");
            assert!(text.ends_with(&format!("(words, {code:08X})")), "{text}");
        }
    }
}
