//! The driver that asks the operating system, by mio.
//!
//! Owns one epoll instance and the sockets registered with it. Both interests of a stream are
//! registered once, at birth; suspending, resuming, enabling and disabling cost no system call.
//! Counts its system calls, as mio 1.2 makes them on Linux.
//!
//! Invariant: the table has an entry for a key exactly as long as the socket is open.

use std::fmt;
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::os::fd::BorrowedFd;
use std::os::unix::net::SocketAddr as UnixSocketAddr;
use std::sync::Arc;
use std::time::Duration;

use core_buf::Readiness;
use groups::Time;
use mio::event::{Event, Source};
use mio::net::{TcpStream, UnixStream};
use mio::{Events, Interest, Poll, Token, Waker};
use rustix::io::Errno;

use super::stream::{Door, Stream};
use super::{Driver, Listening, Ready, SystemCalls, WakeDriver};
use crate::clock::Clock;
use crate::id::Key;
use crate::listen;
use crate::slot::Pages;
use crate::socket::Socket;

/// Most events one poll brings; more stay in the kernel for the next.
const EVENTS_PER_POLL: usize = 1024;

/// The token of the waker, which no key can have: slots end far below.
const WAKE: Token = Token(usize::MAX);

/// The real driver: epoll through mio, sockets of the operating system.
pub(crate) struct MioDriver {
    poll: Poll,
    events: Events,
    waker: Arc<MioWaker>,
    sockets: Pages<Entry>,
    clock: Clock,
    calls: SystemCalls,
}

/// What stands under a key.
#[derive(Default)]
enum Entry {
    #[default]
    None,
    Stream(Stream),
    /// Few, and much larger than streams, of which a table has many.
    Listener(Box<Door>),
}

struct MioWaker(Waker);

impl WakeDriver for MioWaker {
    fn wake(&self) {
        if let Err(error) = self.0.wake() {
            tracing::error!(%error, "waking a core failed; it sees its mail at its next timer");
        }
    }
}

impl MioDriver {
    /// Opens an epoll instance and its waker.
    ///
    /// # Errors
    /// Those of the system calls: usually that no descriptor is left.
    pub(crate) fn new() -> io::Result<Self> {
        let poll = Poll::new()?;
        let waker = Arc::new(MioWaker(Waker::new(poll.registry(), WAKE)?));
        Ok(Self {
            poll,
            events: Events::with_capacity(EVENTS_PER_POLL),
            waker,
            sockets: Pages::default(),
            clock: Clock::process(),
            calls: SystemCalls::default(),
        })
    }

    fn register(
        &mut self,
        key: Key,
        source: &mut impl Source,
        interest: Interest,
    ) -> io::Result<()> {
        self.calls.others += 1;
        self.poll.registry().register(source, Token(key.to_bits() as usize), interest)
    }

    /// Registers a stream for both interests, once for its life.
    fn put_stream(&mut self, key: Key, mut stream: Stream) -> Result<(), (Stream, io::Error)> {
        let both = Interest::READABLE | Interest::WRITABLE;
        if let Err(error) = self.register(key, &mut stream, both) {
            return Err((stream, error));
        }
        self.put(key, Entry::Stream(stream));
        Ok(())
    }

    fn put(&mut self, key: Key, socket: Entry) {
        loop {
            if let Some(place) = self.sockets.get_mut(key.slot) {
                *place = socket;
                return;
            }
            self.sockets.grow(Entry::default);
        }
    }

    fn stream(&mut self, key: Key) -> io::Result<&mut Stream> {
        match self.sockets.get_mut(key.slot) {
            Some(Entry::Stream(stream)) => Ok(stream),
            _ => Err(io::ErrorKind::NotConnected.into()),
        }
    }

    /// A listener that is about to be asked for a connection.
    fn listener(&mut self, key: Key) -> io::Result<&Door> {
        self.calls.accepts += 1;
        match self.sockets.get_mut(key.slot) {
            Some(Entry::Listener(listener)) => Ok(listener),
            _ => Err(io::ErrorKind::NotConnected.into()),
        }
    }

    fn readiness(event: &Event) -> Readiness {
        let mut readiness = Readiness::empty();
        let hang_up = event.is_read_closed() || event.is_error();
        readiness.set(Readiness::READABLE, event.is_readable() || hang_up);
        readiness.set(Readiness::HANG_UP, hang_up);
        let writable = event.is_writable() || event.is_write_closed() || event.is_error();
        readiness.set(Readiness::WRITABLE, writable);
        readiness
    }
}

impl Driver for MioDriver {
    fn now(&mut self) -> Time {
        self.clock.now()
    }

    fn poll(&mut self, timeout: Option<Duration>, ready: &mut Vec<Ready>) -> io::Result<()> {
        self.calls.polls += 1;
        match self.poll.poll(&mut self.events, timeout) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(()),
            result => result?,
        }
        for event in &self.events {
            if event.token() != WAKE {
                let key = Key::from_bits(event.token().0 as u64);
                ready.push(Ready { key, readiness: Self::readiness(event) });
            }
        }
        Ok(())
    }

    fn waker(&self) -> Arc<dyn WakeDriver> {
        self.waker.clone()
    }

    fn listen(&mut self, key: Key, source: Listening) -> io::Result<Option<SocketAddr>> {
        let mut listener: Door = match source {
            Listening::Address(addr, options) => listen::bind_alone(addr, &options)?.into(),
            Listening::Shared(addr, options) => listen::bind_shared(addr, &options)?.into(),
            Listening::Socket(listener) => listener.into(),
            Listening::Unix(socket) => socket.into(),
        };
        let addr = listener.local_addr()?;
        self.register(key, &mut listener, Interest::READABLE)?;
        self.put(key, Entry::Listener(Box::new(listener)));
        Ok(addr)
    }

    fn accept(&mut self, listener: Key, key: Key) -> io::Result<io::Result<Option<SocketAddr>>> {
        let (stream, peer) = self.listener(listener)?.accept()?;
        Ok(self.put_stream(key, stream).map(|()| peer).map_err(closing))
    }

    fn accept_loose(&mut self, listener: Key) -> io::Result<(Socket, Option<SocketAddr>)> {
        let (stream, peer) = self.listener(listener)?.accept()?;
        Ok((stream.into_socket(), peer))
    }

    fn connect(&mut self, key: Key, to: SocketAddr) -> io::Result<()> {
        // A socket, its options, the connect itself.
        self.calls.others += 3;
        let stream = TcpStream::connect(to)?;
        stream.set_nodelay(true)?;
        self.put_stream(key, Stream::Tcp(stream)).map_err(closing)
    }

    fn connect_unix(&mut self, key: Key, to: &UnixSocketAddr) -> io::Result<()> {
        self.calls.others += 2;
        let stream = UnixStream::connect_addr(to)?;
        self.put_stream(key, Stream::Unix(stream)).map_err(closing)
    }

    fn read(&mut self, key: Key, into: &mut [u8]) -> io::Result<usize> {
        self.calls.reads += 1;
        self.stream(key)?.read(into)
    }

    fn writev(&mut self, key: Key, from: &[IoSlice<'_>]) -> io::Result<usize> {
        self.calls.writes += 1;
        self.stream(key)?.write(from)
    }

    fn send_file(
        &mut self,
        key: Key,
        file: BorrowedFd<'_>,
        mut offset: u64,
        count: usize,
    ) -> io::Result<usize> {
        self.calls.writes += 1;
        let sent = rustix::fs::sendfile(self.stream(key)?, file, Some(&mut offset), count);
        sent.map_err(|error| match error {
            // Not a file of a kind that the kernel copies from, or further on than it counts.
            Errno::INVAL | Errno::NOSYS | Errno::OVERFLOW | Errno::SPIPE => {
                io::ErrorKind::Unsupported.into()
            }
            error => error.into(),
        })
    }

    fn local_addr(&mut self, key: Key) -> io::Result<SocketAddr> {
        self.calls.others += 1;
        self.stream(key)?.local_addr()
    }

    fn check_connected(&mut self, key: Key) -> io::Result<()> {
        self.calls.others += 2;
        let stream = self.stream(key)?;
        if let Some(error) = stream.take_error()? {
            return Err(error);
        }
        stream.check_peer().map_err(|error| match error.kind() {
            io::ErrorKind::NotConnected => io::ErrorKind::WouldBlock.into(),
            _ => error,
        })
    }

    fn attach(&mut self, key: Key, socket: Socket) -> Result<(), (Socket, io::Error)> {
        self.calls.others += 1;
        let stream = Stream::from_socket(socket)?;
        self.put_stream(key, stream).map_err(|(stream, error)| (stream.into_socket(), error))
    }

    fn detach(&mut self, key: Key) -> io::Result<Socket> {
        let place = self.sockets.get_mut(key.slot).ok_or(io::ErrorKind::NotConnected)?;
        let Entry::Stream(stream) = place else {
            return Err(io::ErrorKind::NotConnected.into());
        };
        self.calls.others += 1;
        self.poll.registry().deregister(stream)?;
        let Entry::Stream(stream) = std::mem::take(place) else {
            unreachable!("it was looked at just now")
        };
        Ok(stream.into_socket())
    }

    fn shutdown(&mut self, key: Key) -> io::Result<()> {
        self.calls.others += 1;
        self.stream(key)?.shutdown()
    }

    fn close(&mut self, key: Key) {
        if let Some(socket) = self.sockets.get_mut(key.slot) {
            if !matches!(socket, Entry::None) {
                self.calls.others += 1;
            }
            // Closing the descriptor also takes it out of the epoll set.
            *socket = Entry::None;
        }
    }

    fn abort(&mut self, key: Key) {
        if let Ok(stream) = self.stream(key) {
            stream.reset_on_close();
            self.calls.others += 1;
        }
        self.close(key);
    }

    fn system_calls(&self) -> SystemCalls {
        self.calls
    }
}

/// Closes a stream that cannot be used, and keeps why.
fn closing((_closed, error): (Stream, io::Error)) -> io::Error {
    error
}

impl fmt::Debug for MioDriver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MioDriver").field("system_calls", &self.calls).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_takes_no_more_of_the_table_for_the_sake_of_listeners() {
        // Its own size is mio's affair, and larger in a debug build.
        assert!(size_of::<Entry>() <= size_of::<Stream>() + size_of::<usize>());
    }
}
