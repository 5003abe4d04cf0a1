//! One short connection, from connect to the last byte of the reply, and with TLS to its clean end.
//!
//! Owns the stream and where in its life it is. Edge triggered: each step goes on until the stream
//! would block. Without TLS it is dropped as soon as it is done. With TLS it says close_notify and
//! ends its direction first, and is done when the server has ended the other: closed earlier, what
//! the server still sends would meet a reset, and tickets would be lost.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use mio::net::TcpStream;
use rustix::io::Errno;
use socket2::Socket;

use super::super::connection::{Shared, would_block};
use super::super::stream::{Stream, handshake};
use super::super::tally::ChurnTally;
use super::super::tls::{Tls, negotiated};

/// What one step came to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Progress {
    Wait,
    /// The whole reply is there, or what stands for it.
    Done,
    /// The server closed before the reply was complete.
    Closed,
}

/// A connection on its way.
#[derive(Debug)]
pub(super) struct Short {
    stream: Stream,
    stage: Stage,
    /// Ends with a reset.
    reset: bool,
    moments: Moments,
    sent: usize,
    received: usize,
}

/// Where in its life it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Connecting,
    Handshake,
    Exchange,
    Closing,
}

/// When it got there; each is the one before it until it is known.
#[derive(Debug)]
struct Moments {
    planned: Instant,
    started: Instant,
    connected: Instant,
    secured: Instant,
    answered: Instant,
}

impl Short {
    /// Begins to connect a socket that does not block, after `register` has announced it.
    pub(super) fn new(
        socket: Socket,
        to: SocketAddr,
        (planned, started): (Instant, Instant),
        tls: Option<&Tls>,
        register: impl FnOnce(&mut TcpStream) -> io::Result<()>,
    ) -> io::Result<Self> {
        match socket.connect(&to.into()) {
            // How a connect that goes on is told.
            Err(error) if error.raw_os_error() != Some(Errno::INPROGRESS.raw_os_error()) => {
                return Err(error);
            }
            _ => {}
        }
        let mut stream = TcpStream::from_std(socket.into());
        register(&mut stream)?;
        let stream = match tls {
            None => Stream::Plain(stream),
            Some(tls) => Stream::Tls(tls.on(stream)?),
        };
        let moments =
            Moments { planned, started, connected: started, secured: started, answered: started };
        Ok(Self { stream, stage: Stage::Connecting, reset: false, moments, sent: 0, received: 0 })
    }

    /// Makes it end with a reset, which its socket was told to send.
    pub(super) fn ends_with_a_reset(mut self) -> Self {
        self.reset = true;
        self
    }

    /// How long it has been under way.
    pub(super) fn age(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.moments.started)
    }

    /// Goes on as far as the stream allows.
    pub(super) fn step(
        &mut self,
        shared: &mut Shared,
        churn: &mut ChurnTally,
    ) -> io::Result<Progress> {
        loop {
            let progress = match self.stage {
                Stage::Connecting => self.establish(churn)?,
                Stage::Handshake => self.secure(shared)?,
                Stage::Exchange => self.exchange(shared)?,
                Stage::Closing => self.close(shared, churn),
            };
            match progress {
                None => {}
                Some(Progress::Done) => {
                    self.count(shared, churn);
                    return Ok(Progress::Done);
                }
                Some(progress) => return Ok(progress),
            }
        }
    }

    /// Finds out whether it is connected by now.
    fn establish(&mut self, churn: &mut ChurnTally) -> io::Result<Option<Progress>> {
        let socket = self.stream.tcp();
        if let Some(error) = socket.take_error()? {
            return Err(error);
        }
        match socket.peer_addr() {
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::NotConnected => {
                return Ok(Some(Progress::Wait));
            }
            Err(error) => return Err(error),
        }
        let now = Instant::now();
        churn.connect.record(now - self.moments.started);
        (self.moments.connected, self.moments.secured) = (now, now);
        self.stage = Stage::Handshake;
        Ok(None)
    }

    /// Goes on with the handshake, where there is one.
    fn secure(&mut self, shared: &mut Shared) -> io::Result<Option<Progress>> {
        if let Stream::Tls(stream) = &mut self.stream {
            if !handshake(stream)? {
                return Ok(Some(Progress::Wait));
            }
            self.moments.secured = Instant::now();
            if shared.tally.negotiated.is_none() {
                shared.tally.negotiated = negotiated(stream);
            }
        }
        self.stage = Stage::Exchange;
        Ok(None)
    }

    fn exchange(&mut self, shared: &mut Shared) -> io::Result<Option<Progress>> {
        let size = shared.payload.len();
        shared.send(&mut self.stream, &mut self.sent)?;
        while self.received < size {
            let room = (size - self.received).min(shared.buffer.len());
            match would_block(self.stream.read(&mut shared.buffer[..room]))? {
                None => return Ok(Some(Progress::Wait)),
                Some(0) => return Ok(Some(Progress::Closed)),
                Some(bytes) => {
                    self.received += bytes;
                    shared.tally.bytes_in += bytes as u64;
                }
            }
        }
        self.moments.answered = if size > 0 { Instant::now() } else { self.moments.secured };
        if self.reset {
            self.stream.spare_session();
        }
        if self.reset || matches!(self.stream, Stream::Plain(_)) {
            return Ok(Some(Progress::Done));
        }
        self.stream.finish();
        self.stage = Stage::Closing;
        Ok(None)
    }

    /// Waits for the server's end of a connection that is through.
    fn close(&mut self, shared: &mut Shared, churn: &mut ChurnTally) -> Option<Progress> {
        match would_block(self.stream.read(&mut shared.buffer)) {
            Ok(None) => return Some(Progress::Wait),
            Ok(Some(0)) => {}
            // More than was asked for, a reset, an end without close_notify: it has served all the
            // same.
            Ok(Some(_)) | Err(_) => churn.unclean += 1,
        }
        Some(Progress::Done)
    }

    fn count(&self, shared: &mut Shared, churn: &mut ChurnTally) {
        let at = &self.moments;
        shared.tally.ops += 1;
        shared.tally.latency.record(at.answered - at.planned);
        if let Stream::Tls(stream) = &self.stream {
            let kind =
                if stream.ssl().session_reused() { &mut churn.resumed } else { &mut churn.full };
            kind.record(at.secured - at.connected);
        }
        if !shared.payload.is_empty() {
            churn.exchange.record(at.answered - at.secured);
        }
    }
}
