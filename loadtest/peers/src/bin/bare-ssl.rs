//! OpenSSL and a poll loop, and nothing else: what an SSL object costs at least.
//!
//! Owns one SSL object for each connection, which gives its buffers back while it is idle, and one
//! buffer for all. An echo that the socket does not take at once ends its connection, so it serves
//! handshakes and small requests alone.

use std::io::{ErrorKind, Write};

use clap::Parser;
use loadtest_peers::{BUFFER_BYTES, Options, Outcome, ready};
use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};
use openssl::ssl::{ErrorCode, Ssl, SslContext, SslMode, SslStream};

/// The connections, each in the place that its token names.
#[derive(Default)]
struct Connections {
    places: Vec<Option<SslStream<TcpStream>>>,
    free: Vec<usize>,
}

fn main() -> Outcome {
    let options = Options::parse();
    options.pin()?;
    let mut acceptor = options.acceptor()?;
    acceptor.set_mode(SslMode::RELEASE_BUFFERS);
    let context = acceptor.build().into_context();
    let mut listener = TcpListener::from_std(options.listener()?);
    let mut poll = Poll::new()?;
    poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
    ready(listener.local_addr()?)?;

    let (mut events, mut buffer) = (Events::with_capacity(1024), vec![0; BUFFER_BYTES]);
    let mut connections = Connections::default();
    loop {
        poll.poll(&mut events, None)?;
        for event in &events {
            if event.token() == LISTENER {
                connections.accept(&listener, &context, &poll)?;
                continue;
            }
            let index = event.token().0;
            let Some(Some(stream)) = connections.places.get_mut(index) else { continue };
            if !goes_on(stream, &mut buffer) {
                connections.places[index] = None;
                connections.free.push(index);
            }
        }
    }
}

impl Connections {
    fn accept(&mut self, listener: &TcpListener, context: &SslContext, poll: &Poll) -> Outcome {
        loop {
            let mut stream = match listener.accept() {
                Ok((stream, _)) => stream,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error.into()),
            };
            stream.set_nodelay(true)?;
            let index = self.free.pop().unwrap_or(self.places.len());
            if index == self.places.len() {
                self.places.push(None);
            }
            poll.registry().register(&mut stream, Token(index), Interest::READABLE)?;
            let mut ssl = Ssl::new(context)?;
            ssl.set_accept_state();
            self.places[index] = Some(SslStream::new(ssl, stream)?);
        }
    }
}

/// Echoes what is there; false where the connection is at its end.
fn goes_on(stream: &mut SslStream<TcpStream>, buffer: &mut [u8]) -> bool {
    loop {
        match stream.ssl_read(buffer) {
            Ok(bytes) => match stream.write_all(&buffer[..bytes]) {
                Ok(()) => {}
                Err(_) => return false,
            },
            Err(error) if error.code() == ErrorCode::WANT_READ => return true,
            Err(error) if error.code() == ErrorCode::ZERO_RETURN => {
                // The client has gone first; it may not wait for this.
                let _ = stream.shutdown();
                return false;
            }
            Err(_) => return false,
        }
    }
}

const LISTENER: Token = Token(usize::MAX - 1);
