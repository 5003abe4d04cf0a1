//! One end of a simulated connection, as its owner and epoll see it.
//!
//! Owns what the end knows, and the rules that need nothing else: in which order bytes, an error
//! and the end of the stream come out of it, and which readiness it shows. As on Linux, what had
//! arrived before a reset can still be read, then the error is told once, then the end.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;

use core_buf::Readiness;

use super::pipe::Pipe;
use crate::id::BevId;

/// Names one end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct End(pub(super) usize);

impl End {
    /// The other end: the two have neighbouring numbers.
    pub(super) fn partner(self) -> Self {
        Self(self.0 ^ 1)
    }
}

/// One end of a connection.
#[derive(Debug)]
pub(super) struct Socket {
    /// Under which name its core hears of it; the test's ends have none.
    pub(super) id: Option<BevId>,
    pub(super) addr: SocketAddr,
    /// What the partner sent.
    pub(super) inbox: Pipe,
    /// The connection is not made yet.
    pub(super) connecting: bool,
    /// A reset or refusal has arrived: nothing will move any more.
    pub(super) broken: bool,
    /// The reason for it, until a call has told it.
    pub(super) error: Option<ErrorKind>,
    /// Its owner has closed it.
    pub(super) closed: bool,
    /// Its owner sends no more.
    pub(super) shut: bool,
    /// Its owner found no room and waits for an edge.
    pub(super) wants_room: bool,
    /// An edge waits to be told.
    pub(super) edge: bool,
}

impl Socket {
    pub(super) fn new(id: Option<BevId>, addr: SocketAddr, inbox: Pipe) -> Self {
        Self {
            id,
            addr,
            inbox,
            // The test's ends may send at once, as if they had waited for the answer.
            connecting: id.is_some(),
            broken: false,
            error: None,
            closed: false,
            shut: false,
            wants_room: false,
            edge: false,
        }
    }

    /// Reads what has arrived, then the error, then the end.
    pub(super) fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let count = self.inbox.receive(into);
        if count > 0 || into.is_empty() {
            return Ok(count);
        }
        match self.error.take() {
            Some(error) => Err(error.into()),
            None if self.broken || self.inbox.has_ended() => Ok(0),
            None => Err(ErrorKind::WouldBlock.into()),
        }
    }

    /// Says how the attempt to connect this end has ended, as an error if it has not.
    pub(super) fn check_connected(&mut self) -> io::Result<()> {
        match self.error.take() {
            Some(error) => Err(error.into()),
            None if self.connecting => Err(ErrorKind::WouldBlock.into()),
            None => Ok(()),
        }
    }

    /// Says why this end cannot send, if it cannot.
    pub(super) fn check_sending(&mut self) -> io::Result<()> {
        if let Some(error) = self.error.take() {
            return Err(error.into());
        }
        if self.broken || self.shut || self.closed {
            return Err(ErrorKind::BrokenPipe.into());
        }
        Ok(())
    }

    /// A reset or refusal has arrived; the first one counts.
    pub(super) fn break_by(&mut self, error: ErrorKind) {
        if !self.broken && !self.closed {
            self.broken = true;
            self.connecting = false;
            self.error = Some(error);
        }
        self.inbox.lose_in_flight();
    }

    /// What an edge says now, if the partner's inbox is `spacious`.
    pub(super) fn readiness(&mut self, spacious: bool) -> Readiness {
        let hang_up = self.broken || self.inbox.has_ended();
        let writable = self.broken || (!self.connecting && (self.shut || spacious));
        // Asked about room and told there is none: as after a failed write, an edge is due later.
        self.wants_room |= !writable;
        let mut readiness = Readiness::empty();
        readiness.set(Readiness::READABLE, hang_up || self.inbox.arrived() > 0);
        readiness.set(Readiness::HANG_UP, hang_up);
        readiness.set(Readiness::WRITABLE, writable);
        readiness
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_come_before_the_error_and_the_error_comes_once() {
        let addr = SocketAddr::from(([127, 0, 0, 1], 1));
        let mut socket = Socket::new(None, addr, Pipe::new(8));
        socket.inbox.send(b"abc");
        socket.inbox.arrive(3);
        socket.break_by(ErrorKind::ConnectionReset);
        socket.break_by(ErrorKind::ConnectionRefused);
        let mut into = [0; 8];
        assert_eq!(socket.read(&mut into).expect("bytes first"), 3);
        let error = socket.read(&mut into).expect_err("then the error");
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
        assert_eq!(socket.read(&mut into).expect("then the end"), 0);
        let error = socket.check_sending().expect_err("sending is over too");
        assert_eq!(error.kind(), ErrorKind::BrokenPipe);
    }
}
