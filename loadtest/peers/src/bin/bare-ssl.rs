//! OpenSSL and a poll loop, and nothing else: what an SSL object costs at least.
//!
//! Owns one SSL object for each connection, which gives its buffers back while it is idle, and one
//! buffer for all. An echo that the socket does not take at once ends its connection, so it serves
//! handshakes and small requests alone.

use std::io::{self, ErrorKind, Write};
use std::time::Instant;

use clap::Parser;
use loadtest_peers::{BUFFER_BYTES, Options, Outcome, REST, ready, rests};
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
    let (mut connections, mut rests_until) = (Connections::default(), None::<Instant>);
    loop {
        let rest = rests_until.map(|at| at.saturating_duration_since(Instant::now()));
        match poll.poll(&mut events, rest) {
            Err(error) if error.kind() != ErrorKind::Interrupted => return Err(error.into()),
            _ => {}
        }
        let mut is_announced = false;
        for event in &events {
            if event.token() == LISTENER {
                is_announced = true;
                continue;
            }
            let index = event.token().0;
            let Some(Some(stream)) = connections.places.get_mut(index) else { continue };
            if !goes_on(stream, &mut buffer) {
                connections.places[index] = None;
                connections.free.push(index);
            }
        }
        // No event tells that an accept which has failed may succeed.
        if rests_until.map_or(is_announced, |at| at <= Instant::now()) {
            rests_until = connections.accept(&listener, &context, &poll).err().map(|error| {
                rests(&error);
                Instant::now() + REST
            });
        }
    }
}

impl Connections {
    /// Takes in whoever waits, until nobody does or an accept fails.
    fn accept(
        &mut self,
        listener: &TcpListener,
        context: &SslContext,
        poll: &Poll,
    ) -> io::Result<()> {
        loop {
            match listener.accept() {
                // A connection that fails ends alone.
                Ok((stream, _)) => drop(self.house(stream, context, poll)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
        }
    }

    fn house(&mut self, mut stream: TcpStream, context: &SslContext, poll: &Poll) -> Outcome {
        stream.set_nodelay(true)?;
        let mut ssl = Ssl::new(context)?;
        ssl.set_accept_state();
        let index = self.free.last().copied().unwrap_or(self.places.len());
        poll.registry().register(&mut stream, Token(index), Interest::READABLE)?;
        let stream = Some(SslStream::new(ssl, stream)?);
        if self.free.pop().is_some() {
            self.places[index] = stream;
        } else {
            self.places.push(stream);
        }
        Ok(())
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
