//! Two ends of a connection in memory, and a handshake over it.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::rc::Rc;

use openssl::error::ErrorStack;
use openssl::ssl::{Error, ErrorCode, Ssl, SslRef, SslStream};
use sluicegate_groups::Time;
use sluicegate_tls::TlsConfig;

/// The two directions; an end reads one and writes the other.
type Directions = Rc<RefCell<[VecDeque<u8>; 2]>>;

/// One end.
pub(crate) struct End {
    directions: Directions,
    reads: usize,
    /// All that was written here.
    pub(crate) sent: Vec<u8>,
}

impl End {
    /// How much has come and was not read.
    pub(crate) fn unread(&self) -> usize {
        self.directions.borrow()[self.reads].len()
    }
}

impl Read for End {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let from = &mut self.directions.borrow_mut()[self.reads];
        if from.is_empty() { Err(io::ErrorKind::WouldBlock.into()) } else { from.read(buf) }
    }
}

impl Write for End {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.sent.extend_from_slice(buf);
        self.directions.borrow_mut()[1 - self.reads].write(buf)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn ends() -> [End; 2] {
    let directions = Directions::default();
    [0, 1].map(|reads| End { directions: Rc::clone(&directions), reads, sent: Vec::new() })
}

/// One side of a connection and how its handshake went.
pub(crate) struct Side {
    pub(crate) stream: SslStream<End>,
    /// The error says in OpenSSL's words what went wrong.
    pub(crate) outcome: Result<(), String>,
}

impl Side {
    pub(crate) fn ssl(&self) -> &SslRef {
        self.stream.ssl()
    }

    /// The common name of the certificate the peer showed.
    pub(crate) fn peer(&self) -> String {
        let certificate = self.ssl().peer_certificate().expect("the peer showed a certificate");
        let entry = certificate.subject_name().entries().next().expect("a subject");
        String::from_utf8_lossy(entry.data().as_slice()).into_owned()
    }

    pub(crate) fn protocol(&self) -> Option<&str> {
        let protocol = self.ssl().selected_alpn_protocol();
        protocol.map(|name| std::str::from_utf8(name).expect("the names are text"))
    }

    pub(crate) fn resumed(&self) -> bool {
        assert_eq!(self.outcome, Ok(()));
        self.ssl().session_reused()
    }
}

/// Both sides after the handshake, whether or not it succeeded.
pub(crate) struct Pair {
    pub(crate) server: Side,
    pub(crate) client: Side,
}

impl Pair {
    /// Lets the handshake run until both sides are done with it or have failed.
    pub(crate) fn shake_hands(server: Ssl, client: Ssl) -> Self {
        let [server_end, client_end] = ends();
        let stream = |ssl, end| SslStream::new(ssl, end).expect("a stream");
        Self::run(stream(server, server_end), stream(client, client_end))
    }

    pub(crate) fn run(mut server: SslStream<End>, mut client: SslStream<End>) -> Self {
        let (mut served, mut connected) = (None, None);
        for _ in 0..ROUNDS {
            let step = |outcome: &mut Option<_>, stream: &mut SslStream<End>| {
                if outcome.is_none() {
                    *outcome = finished(stream.do_handshake(), stream.ssl());
                }
            };
            step(&mut connected, &mut client);
            step(&mut served, &mut server);
        }
        TlsConfig::keep_session(client.ssl());
        let stalled = || Err("stalled".to_owned());
        let server = Side { stream: server, outcome: served.unwrap_or_else(stalled) };
        let client = Side { stream: client, outcome: connected.unwrap_or_else(stalled) };
        Self { server, client }
    }

    /// Sends a byte each way, so that tickets arrive, and alerts that follow TLS 1.3 handshakes.
    pub(crate) fn talk(&mut self) -> Result<(), String> {
        exchange(&mut self.client.stream, &mut self.server.stream)?;
        exchange(&mut self.server.stream, &mut self.client.stream)
    }

    /// Ends the connection as one does that wants to resume its session.
    pub(crate) fn close(mut self) {
        for side in [&mut self.client, &mut self.server] {
            side.stream.shutdown().expect("a goodbye");
        }
    }
}

fn exchange(from: &mut SslStream<End>, to: &mut SslStream<End>) -> Result<(), String> {
    let words = |error: Error, ssl: &SslRef| describe(&error, ssl);
    from.ssl_write(b"x").map_err(|error| words(error, from.ssl()))?;
    let mut byte = [0; 1];
    to.ssl_read(&mut byte).map_err(|error| words(error, to.ssl()))?;
    assert_eq!(&byte, b"x");
    Ok(())
}

/// `None` while the handshake waits for the other side.
fn finished(outcome: Result<(), Error>, ssl: &SslRef) -> Option<Result<(), String>> {
    match outcome {
        Ok(()) => Some(Ok(())),
        Err(error) if error.code() == ErrorCode::WANT_READ => None,
        Err(error) => Some(Err(describe(&error, ssl))),
    }
}

fn describe(error: &Error, ssl: &SslRef) -> String {
    format!("{error}; {}", ssl.verify_result().error_string())
}

/// Makes a connection between core 0 of both and lets the handshake run.
pub(crate) fn connect(server: &TlsConfig, client: &TlsConfig, host: &str) -> Pair {
    connect_at(Time::ZERO, (server, 0), (client, 0), host)
}

/// The same at some time and on some cores. The error queue stays empty.
pub(crate) fn connect_at(
    now: Time,
    (server, server_core): (&TlsConfig, usize),
    (client, client_core): (&TlsConfig, usize),
    host: &str,
) -> Pair {
    let accepting = server.accept(server_core, now).expect("a server's object");
    let connecting = client.connect(client_core, now, host).expect("a client's object");
    assert_no_errors();
    Pair::shake_hands(accepting, connecting)
}

pub(crate) fn assert_no_errors() {
    let left = ErrorStack::get();
    assert!(left.errors().is_empty(), "left in the queue: {left}");
}

pub(crate) fn at(seconds: u64) -> Time {
    Time::from_nanos(seconds * 1_000_000_000)
}

/// More flights than any handshake has.
const ROUNDS: usize = 10;
