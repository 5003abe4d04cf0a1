//! One client connection and the step it takes when its socket is ready.
//!
//! Owns a stream and the place in the current request. Edge triggered: after a short read of a
//! socket or a would-block the next edge brings it back; a step that stops for its budget says so
//! and is taken again. Reads the clock once per reply, because that moment is both the end of one
//! request and the planned start of the next.

use std::io::{self, ErrorKind};
use std::time::Instant;

use mio::event::Event;

use super::stream::Stream;
use super::{Tally, Traffic};

/// What one step came to.
#[derive(Debug)]
pub(super) enum Step {
    /// Nothing more to do until the next edge.
    Wait,
    /// A reply is complete: the next request is to be sent once all that arrived is read.
    Send,
    /// The budget is spent and the socket may still be ready.
    Again,
    /// The server closed the connection, or it failed.
    Ended(Option<io::Error>),
}

/// What all connections of a thread share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) traffic: Traffic,
    pub(super) payload: Vec<u8>,
    pub(super) buffer: Vec<u8>,
    pub(super) keep_receipts: bool,
    pub(super) tally: Tally,
}

impl Shared {
    /// Writes a request from where it stands until it is out or the socket takes no more: TLS
    /// writes a record at a time.
    pub(super) fn send(&mut self, stream: &mut Stream, sent: &mut usize) -> io::Result<()> {
        while let rest @ [_, ..] = &self.payload[*sent..] {
            let Some(bytes @ 1..) = would_block(stream.write(rest))? else { break };
            *sent += bytes;
            self.tally.bytes_out += bytes as u64;
        }
        Ok(())
    }
}

/// A connection of this client.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) stream: Stream,
    /// Listed for another step already.
    pub(super) is_listed: bool,
    planned: Instant,
    sent: usize,
    received: usize,
}

impl Connection {
    pub(super) fn new(stream: Stream) -> Self {
        Self { stream, is_listed: false, planned: Instant::now(), sent: 0, received: 0 }
    }

    /// Takes the first step: sends the first request where there is one.
    pub(super) fn start(&mut self, index: usize, shared: &mut Shared) -> Step {
        self.planned = Instant::now();
        let result = match shared.traffic {
            Traffic::Echo | Traffic::Idle => self.send(shared).map(|()| Step::Wait),
            Traffic::Source => Ok(Step::Again),
            Traffic::Sink | Traffic::Flood => self.pump(index, true, shared),
        };
        result.unwrap_or_else(ended)
    }

    /// Reacts to an edge, or goes on after [`Step::Again`] (`None`).
    pub(super) fn step(
        &mut self,
        index: usize,
        event: Option<&Event>,
        shared: &mut Shared,
    ) -> Step {
        let readable = event.is_none_or(|event| event.is_readable() || event.is_error());
        let writable = event.is_none_or(Event::is_writable);
        let closing = event.is_some_and(Event::is_read_closed);
        let result = match shared.traffic {
            Traffic::Echo | Traffic::Idle => self.exchange(index, readable, closing, shared),
            Traffic::Source => self.drain(index, shared),
            Traffic::Sink | Traffic::Flood => self.pump(index, writable, shared),
        };
        result.unwrap_or_else(ended)
    }

    /// Sends the request that [`Step::Send`] asked for.
    pub(super) fn request(&mut self, shared: &mut Shared) -> Step {
        self.send(shared).map_or_else(ended, |()| Step::Wait)
    }

    /// Goes on with the current request until its reply is complete.
    fn exchange(
        &mut self,
        index: usize,
        readable: bool,
        closing: bool,
        shared: &mut Shared,
    ) -> io::Result<Step> {
        self.send(shared)?;
        if !readable {
            return Ok(Step::Wait);
        }
        let size = shared.payload.len();
        for _ in 0..READS_PER_STEP {
            // While idle there is nothing left to receive; a byte of room finds the end of stream.
            let room = (size - self.received).clamp(1, shared.buffer.len());
            let Some(bytes) = would_block(self.stream.read(&mut shared.buffer[..room]))? else {
                return Ok(Step::Wait);
            };
            if bytes == 0 {
                return Ok(Step::Ended(None));
            }
            self.received += bytes;
            shared.tally.bytes_in += bytes as u64;
            if self.received >= size {
                self.complete(index, shared);
                if !closing {
                    let is_idle = shared.traffic == Traffic::Idle;
                    return Ok(if is_idle { Step::Wait } else { Step::Send });
                }
            } else if bytes < room && !closing && self.stream.short_read_is_last() {
                return Ok(Step::Wait);
            }
        }
        Ok(Step::Again)
    }

    /// Counts a reply; the next request is planned for this moment.
    fn complete(&mut self, index: usize, shared: &mut Shared) {
        let now = Instant::now();
        shared.tally.latency.record(now - self.planned);
        shared.tally.ops += 1;
        if shared.tally.is_measuring() {
            shared.tally.connections[index].bytes_in += shared.payload.len() as u64;
        }
        if shared.traffic != Traffic::Idle {
            (self.planned, self.sent, self.received) = (now, 0, 0);
        }
    }

    /// Writes what is left of the current request.
    fn send(&mut self, shared: &mut Shared) -> io::Result<()> {
        shared.send(&mut self.stream, &mut self.sent)
    }

    /// Reads what is there.
    fn drain(&mut self, index: usize, shared: &mut Shared) -> io::Result<Step> {
        for _ in 0..READS_PER_STEP {
            let Some(bytes) = would_block(self.stream.read(&mut shared.buffer))? else {
                return Ok(Step::Wait);
            };
            if bytes == 0 {
                return Ok(Step::Ended(None));
            }
            shared.tally.ops += 1;
            shared.tally.receive(index, bytes as u64, Instant::now(), shared.keep_receipts);
        }
        Ok(Step::Again)
    }

    /// Writes as much as the socket takes, and reads what came back.
    fn pump(&mut self, index: usize, writable: bool, shared: &mut Shared) -> io::Result<Step> {
        // A sink never answers, but reading finds the end of the stream.
        let step = self.drain(index, shared)?;
        if !writable || matches!(step, Step::Ended(_)) {
            return Ok(step);
        }
        for _ in 0..WRITES_PER_STEP {
            let Some(bytes) = would_block(self.stream.write(&shared.payload))? else {
                return Ok(step);
            };
            shared.tally.bytes_out += bytes as u64;
            if shared.traffic == Traffic::Sink {
                shared.tally.ops += 1;
            }
        }
        Ok(Step::Again)
    }
}

/// Turns "not now" into `None`.
pub(super) fn would_block(result: io::Result<usize>) -> io::Result<Option<usize>> {
    match result {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(None),
        Err(error) => Err(error),
    }
}

fn ended(error: io::Error) -> Step {
    Step::Ended(Some(error))
}

/// Reads of one connection before the others get their turn.
const READS_PER_STEP: usize = 16;
/// Writes of one connection before the others get their turn.
const WRITES_PER_STEP: usize = 16;

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::thread;
    use std::time::Duration;

    use mio::net::TcpStream;
    use openssl::ssl::{SslAcceptor, SslFiletype, SslMethod};
    use socket2::Socket;

    use super::super::tls::{Tls, TlsTerms};
    use super::*;
    use crate::certificate::Identity;

    const BOUND: Duration = Duration::from_secs(30);

    #[test]
    fn a_request_of_many_records_leaves_in_one_step_where_the_socket_takes_it() {
        let identity = Identity::new(None).unwrap();
        let mut acceptor = SslAcceptor::mozilla_intermediate_v5(SslMethod::tls_server()).unwrap();
        acceptor.set_certificate_chain_file(&identity.cert).unwrap();
        acceptor.set_private_key_file(&identity.key, SslFiletype::PEM).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        // It reads nothing of it.
        let server = thread::spawn(move || {
            let stream = listener.accept().unwrap().0;
            stream.set_read_timeout(Some(BOUND)).unwrap();
            acceptor.build().accept(stream).unwrap()
        });
        let socket = Socket::from(std::net::TcpStream::connect(address).unwrap());
        socket.set_send_buffer_size(4 * REQUEST).unwrap();
        socket.set_nonblocking(true).unwrap();
        let tls = Tls::new(&TlsTerms::trusting(identity.trust().unwrap()), address).unwrap();
        let stream = tls.connect(TcpStream::from_std(socket.into()), BOUND).unwrap();
        let _held = server.join().unwrap();

        let mut connection = Connection::new(Stream::Tls(stream));
        let mut shared = Shared {
            traffic: Traffic::Echo,
            payload: vec![7; REQUEST],
            buffer: Vec::new(),
            keep_receipts: false,
            tally: Tally::default(),
        };
        assert!(matches!(connection.request(&mut shared), Step::Wait));
        assert_eq!(connection.sent, REQUEST);
        assert_eq!(shared.tally.bytes_out, REQUEST as u64);
    }

    /// Four records; the kernel gives a socket as much.
    const REQUEST: usize = 64 * 1024;
}
