//! What a connection of the client reads and writes: a socket, or TLS on one.
//!
//! Owns the translation of OpenSSL's outcomes into those of a socket: "not now" is would-block, a
//! close_notify is the end of the stream, and all else is an error that says what failed, in a
//! bounded number of words: OpenSSL's own. A plain socket pays for the choice with one branch.

use std::io::{self, ErrorKind, Read, Write};

use mio::net::TcpStream;
use openssl::ssl::{Error, ErrorCode, ShutdownState, SslStream};
use openssl::x509::X509VerifyResult;
use thiserror::Error as ThisError;

/// Where the bytes of a connection go.
#[derive(Debug)]
pub(super) enum Stream {
    Plain(TcpStream),
    Tls(SslStream<TcpStream>),
}

/// What failed in TLS.
#[derive(Debug, ThisError)]
#[error("{doing}: {what}")]
pub(crate) struct Fault {
    doing: &'static str,
    what: String,
}

impl Stream {
    #[inline]
    pub(super) fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.read(into),
            Self::Tls(stream) => match stream.ssl_read(into) {
                Ok(bytes) => Ok(bytes),
                Err(error) if error.code() == ErrorCode::ZERO_RETURN => Ok(0),
                Err(error) => Err(failed("TLS", error, stream)),
            },
        }
    }

    #[inline]
    pub(super) fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.write(bytes),
            Self::Tls(stream) => {
                stream.ssl_write(bytes).map_err(|error| failed("TLS", error, stream))
            }
        }
    }

    /// Whether a read that was short of what it asked for has found all there is: a socket's has,
    /// while one of TLS ends with a record.
    #[inline]
    pub(super) fn short_read_is_last(&self) -> bool {
        matches!(self, Self::Plain(_))
    }

    pub(super) fn tcp(&self) -> &TcpStream {
        match self {
            Self::Plain(stream) => stream,
            Self::Tls(stream) => stream.get_ref(),
        }
    }

    /// Says that nothing more will be sent, as far as the socket takes it now.
    pub(super) fn finish(&mut self) {
        if let Self::Tls(stream) = self {
            // What the peer makes of it is found when its end is read.
            let _ = stream.shutdown();
        }
        let _ = self.tcp().shutdown(std::net::Shutdown::Write);
    }

    /// Keeps the session fit to be resumed although its connection ends without a close_notify.
    pub(super) fn spare_session(&mut self) {
        if let Self::Tls(stream) = self {
            stream.set_shutdown(ShutdownState::SENT | ShutdownState::RECEIVED);
        }
    }
}

/// Goes on with a handshake: whether it is complete.
pub(super) fn handshake(stream: &mut SslStream<TcpStream>) -> io::Result<bool> {
    match stream.connect().map_err(|error| failed("TLS handshake", error, stream)) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(false),
        Err(error) => Err(error),
    }
}

/// What OpenSSL said, as a socket says it.
fn failed(doing: &'static str, error: Error, stream: &SslStream<TcpStream>) -> io::Error {
    if [ErrorCode::WANT_READ, ErrorCode::WANT_WRITE].contains(&error.code()) {
        return ErrorKind::WouldBlock.into();
    }
    let error = match error.into_io_error() {
        Ok(error) => return error,
        Err(error) => error,
    };
    // The first that was queued is the cause, those behind it are who passed it on.
    let first = error.ssl_error().and_then(|stack| stack.errors().first());
    let what = match first {
        None if error.code() == ErrorCode::ZERO_RETURN => GOODBYE.to_owned(),
        // The BIO of the openssl crate does not say that it is at its end, so there is no error.
        None => CUT_OFF.to_owned(),
        Some(error) => {
            let words =
                error.reason().map_or_else(|| format!("{:08X}", error.code()), str::to_owned);
            match stream.ssl().verify_result() {
                X509VerifyResult::OK => words,
                refused => format!("{words} ({})", refused.error_string()),
            }
        }
    };
    io::Error::new(ErrorKind::InvalidData, Fault { doing, what })
}

const GOODBYE: &str = "ended by close_notify";
const CUT_OFF: &str = "ended without close_notify";
