//! One short connection, from connect to the last byte of the reply.
//!
//! Owns the socket and where in its life it is. Edge triggered: each step goes on until the socket
//! would block. Never closes by itself: it is dropped when it is done.

use std::io::{self, ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use mio::net::TcpStream;
use rustix::io::Errno;
use socket2::Socket;

use super::super::connection::{Shared, would_block};
use super::super::tally::ChurnTally;

/// What one step came to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Progress {
    Wait,
    /// The whole reply is there.
    Done,
    /// The server closed before the reply was complete.
    Closed,
}

/// A connection on its way.
#[derive(Debug)]
pub(super) struct Short {
    stream: TcpStream,
    planned: Instant,
    started: Instant,
    connected: Option<Instant>,
    sent: usize,
    received: usize,
}

impl Short {
    /// Begins to connect a socket that does not block, after `register` has announced it.
    pub(super) fn new(
        socket: Socket,
        to: SocketAddr,
        (planned, started): (Instant, Instant),
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
        Ok(Self { stream, planned, started, connected: None, sent: 0, received: 0 })
    }

    /// How long it has been under way.
    pub(super) fn age(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.started)
    }

    /// Goes on as far as the socket allows.
    pub(super) fn step(
        &mut self,
        shared: &mut Shared,
        churn: &mut ChurnTally,
    ) -> io::Result<Progress> {
        if self.connected.is_none() && !self.establish(churn)? {
            return Ok(Progress::Wait);
        }
        while self.sent < shared.payload.len() {
            let rest = &shared.payload[self.sent..];
            let Some(bytes) = would_block(self.stream.write(rest))? else { break };
            self.sent += bytes;
            shared.tally.bytes_out += bytes as u64;
        }
        let size = shared.payload.len();
        while self.received < size {
            let room = (size - self.received).min(shared.buffer.len());
            match would_block(self.stream.read(&mut shared.buffer[..room]))? {
                None => return Ok(Progress::Wait),
                Some(0) => return Ok(Progress::Closed),
                Some(bytes) => {
                    self.received += bytes;
                    shared.tally.bytes_in += bytes as u64;
                }
            }
        }
        let now = Instant::now();
        shared.tally.ops += 1;
        shared.tally.latency.record(now - self.planned);
        churn.exchange.record(now - self.connected.unwrap_or(self.started));
        Ok(Progress::Done)
    }

    /// Whether it is connected by now.
    fn establish(&mut self, churn: &mut ChurnTally) -> io::Result<bool> {
        if let Some(error) = self.stream.take_error()? {
            return Err(error);
        }
        match self.stream.peer_addr() {
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::NotConnected => return Ok(false),
            Err(error) => return Err(error),
        }
        let now = Instant::now();
        churn.connect.record(now - self.started);
        self.connected = Some(now);
        Ok(true)
    }
}
