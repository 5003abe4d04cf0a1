//! The bare echo loop: what a request costs when nothing is done but reading and writing.
//!
//! Owns one mio poll per core with a listener of its own (SO_REUSEPORT). One poll per batch of
//! events, one read and one write per request, no reading until would-block: a read is repeated
//! only after a full buffer or when the peer has closed. It calibrates the client and is the bar
//! the runtime is held to. Counts its own system calls.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use mio::event::Event;
use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token, Waker};
use sluicegate::Pin;
use socket2::{Domain, Protocol, Socket, Type};

use super::places::places;
use super::{CoreCounts, GroupCounts, Server};
use crate::arguments::ServeArguments;
use crate::cpus;
use crate::exit::{Failure, Outcome};

/// A running bare server.
pub(crate) struct Bare {
    address: SocketAddr,
    cores: Vec<Core>,
    stop: Arc<AtomicBool>,
    began: Instant,
}

/// One thread of it.
struct Core {
    thread: JoinHandle<io::Result<()>>,
    waker: Waker,
    counts: Arc<Counts>,
    cpus: Vec<usize>,
}

/// Counters one thread writes and others read; all relaxed, because each is a figure of its own.
#[derive(Default)]
struct Counts {
    connections: AtomicU64,
    accepted: AtomicU64,
    polls: AtomicU64,
    reads: AtomicU64,
    writes: AtomicU64,
    bytes: AtomicU64,
    other_calls: AtomicU64,
}

impl Bare {
    /// Binds and starts one thread per core.
    ///
    /// # Errors
    /// The address cannot be bound, or no thread can be started.
    pub(crate) fn start(arguments: &ServeArguments, list: &[usize]) -> Outcome<Self> {
        let (count, pin) = places(&arguments.placement, list)?;
        let mut address = resolve(&arguments.listen)?;
        // A shared port would also be shared with a stranger; alone it is an error if in use.
        let probe = listen_on(address, false).map_err(Failure::listen(&arguments.listen))?;
        address = probe.local_addr().map_err(Failure::io("reading the bound address"))?;
        drop(probe);
        let stop = Arc::new(AtomicBool::new(false));
        let mut cores = Vec::with_capacity(count);
        for index in 0..count {
            let listen = Failure::listen(&arguments.listen);
            let listener = listen_on(address, true).map_err(listen)?;
            let cpus = match pin {
                Pin::None => Vec::new(),
                Pin::Each => list.get(index % list.len().max(1)).copied().into_iter().collect(),
                Pin::Set | Pin::Node => list.to_vec(),
            };
            cores.push(Core::start(index, listener, cpus, Arc::clone(&stop))?);
        }
        Ok(Self { address, cores, stop, began: Instant::now() })
    }
}

impl Server for Bare {
    fn addresses(&self) -> &[SocketAddr] {
        std::slice::from_ref(&self.address)
    }

    fn cores(&self) -> Vec<CoreCounts> {
        self.cores.iter().map(Core::counts).collect()
    }

    fn group(&self) -> GroupCounts {
        GroupCounts::default()
    }

    fn clock_ns(&self) -> u64 {
        self.began.elapsed().as_nanos() as u64
    }

    fn go(&self) -> Outcome {
        // It has no limits and so holds nobody.
        Ok(())
    }

    fn stop(self: Box<Self>) -> Outcome {
        self.stop.store(true, Ordering::Release);
        for core in self.cores {
            // A failed wake leaves the thread to its next event; joining still ends.
            let _ = core.waker.wake();
            match core.thread.join() {
                Ok(result) => result.map_err(Failure::io("echo loop"))?,
                Err(_) => return Err(Failure::Server("an echo loop panicked".to_owned())),
            }
        }
        Ok(())
    }
}

impl Core {
    fn start(
        index: usize,
        listener: TcpListener,
        cpus: Vec<usize>,
        stop: Arc<AtomicBool>,
    ) -> Outcome<Self> {
        let counts = Arc::new(Counts::default());
        let setup = || -> io::Result<(Loop, Waker)> {
            let poll = Poll::new()?;
            let waker = Waker::new(poll.registry(), WAKER)?;
            Ok((Loop::new(poll, listener, Arc::clone(&counts))?, waker))
        };
        let (mut echo, waker) = setup().map_err(Failure::io("creating a poll"))?;
        let mine = cpus.clone();
        let thread = thread::Builder::new()
            .name(format!("bare-{index}"))
            .spawn(move || {
                cpus::pin(&mine).map_err(|failure| io::Error::other(failure.to_string()))?;
                echo.run(&stop)
            })
            .map_err(Failure::io("starting a server thread"))?;
        Ok(Self { thread, waker, counts, cpus })
    }

    fn counts(&self) -> CoreCounts {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let counts = &self.counts;
        let (polls, reads, writes) =
            (read(&counts.polls), read(&counts.reads), read(&counts.writes));
        CoreCounts {
            cpus: cpus::list(&self.cpus),
            connections: read(&counts.connections),
            accepted: read(&counts.accepted),
            polls,
            reads,
            writes,
            bytes_in: read(&counts.bytes),
            bytes_out: read(&counts.bytes),
            syscalls: polls + reads + writes + read(&counts.other_calls),
            ..CoreCounts::default()
        }
    }
}

/// The state of one thread.
struct Loop {
    poll: Poll,
    listener: TcpListener,
    connections: Vec<Option<Connection>>,
    free: Vec<usize>,
    /// Connections that stopped for their budget; at most all of them.
    again: Vec<usize>,
    /// The listener may hold more, after a full batch or a lack of descriptors.
    accept_at: Option<Instant>,
    buffer: Vec<u8>,
    counts: Arc<Counts>,
}

struct Connection {
    stream: TcpStream,
    /// What a short write left over; while it is not empty nothing is read.
    unsent: Vec<u8>,
    is_listed: bool,
}

impl Loop {
    fn new(poll: Poll, mut listener: TcpListener, counts: Arc<Counts>) -> io::Result<Self> {
        poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
        Ok(Self {
            poll,
            listener,
            connections: Vec::new(),
            free: Vec::new(),
            again: Vec::new(),
            accept_at: None,
            buffer: vec![0; BUFFER_BYTES],
            counts,
        })
    }

    fn run(&mut self, stop: &AtomicBool) -> io::Result<()> {
        let mut events = Events::with_capacity(EVENTS_PER_POLL);
        while !stop.load(Ordering::Acquire) {
            let wait = match self.accept_at {
                _ if !self.again.is_empty() => Some(Duration::ZERO),
                Some(at) => Some(at.saturating_duration_since(Instant::now())),
                None => None,
            };
            add(&self.counts.polls, 1);
            match self.poll.poll(&mut events, wait) {
                Err(error) if error.kind() != ErrorKind::Interrupted => return Err(error),
                _ => {}
            }
            for slot in std::mem::take(&mut self.again) {
                if let Some(connection) = &mut self.connections[slot] {
                    connection.is_listed = false;
                    self.serve(slot, None);
                }
            }
            for event in &events {
                match event.token() {
                    LISTENER => self.accept()?,
                    WAKER => {}
                    Token(slot) => self.serve(slot, Some(event)),
                }
            }
            if self.accept_at.is_some_and(|at| at <= Instant::now()) {
                self.accept()?;
            }
        }
        Ok(())
    }

    fn accept(&mut self) -> io::Result<()> {
        self.accept_at = None;
        for _ in 0..ACCEPTS_PER_BATCH {
            add(&self.counts.other_calls, 1);
            match self.listener.accept() {
                Ok((stream, _)) => self.adopt(stream)?,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                // Out of descriptors, or a peer that left again: others may follow.
                Err(_) => {
                    self.accept_at = Some(Instant::now() + ACCEPT_PAUSE);
                    return Ok(());
                }
            }
        }
        self.accept_at = Some(Instant::now());
        Ok(())
    }

    fn adopt(&mut self, mut stream: TcpStream) -> io::Result<()> {
        let slot = self.free.pop().unwrap_or(self.connections.len());
        let both = Interest::READABLE | Interest::WRITABLE;
        self.poll.registry().register(&mut stream, Token(slot), both)?;
        add(&self.counts.other_calls, 2);
        add(&self.counts.accepted, 1);
        add(&self.counts.connections, 1);
        // Without it replies are only slower.
        let _ = stream.set_nodelay(true);
        let connection = Some(Connection { stream, unsent: Vec::new(), is_listed: false });
        if slot == self.connections.len() {
            self.connections.push(connection);
        } else {
            self.connections[slot] = connection;
        }
        Ok(())
    }

    /// Serves one connection; `None` goes on where the budget stopped it.
    fn serve(&mut self, slot: usize, event: Option<&Event>) {
        let Some(Some(connection)) = self.connections.get_mut(slot) else { return };
        match connection.echo(event, &mut self.buffer, &self.counts) {
            Ok(true) if !connection.is_listed => {
                connection.is_listed = true;
                self.again.push(slot);
            }
            Ok(_) => {}
            // The peer has closed or is gone; either way there is nobody left to answer.
            Err(_) => {
                self.connections[slot] = None;
                self.free.push(slot);
                add(&self.counts.other_calls, 1);
                self.counts.connections.fetch_sub(1, Ordering::Relaxed);
            }
        }
    }
}

impl Connection {
    /// Reads and writes back; true if there may be more to read.
    fn echo(
        &mut self,
        event: Option<&Event>,
        buffer: &mut [u8],
        counts: &Counts,
    ) -> io::Result<bool> {
        let closing = event.is_some_and(|event| event.is_read_closed() || event.is_error());
        let resumed = !self.unsent.is_empty();
        if resumed && !self.flush(counts)? {
            return Ok(false);
        }
        if event.is_some_and(|event| !event.is_readable() && !closing) && !resumed {
            return Ok(false);
        }
        for _ in 0..READS_PER_STEP {
            add(&counts.reads, 1);
            let count = match self.stream.read(buffer) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(count) => count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(error),
            };
            add(&counts.bytes, count as u64);
            let sent = write(&mut self.stream, &buffer[..count], counts)?;
            if sent < count {
                self.unsent.extend_from_slice(&buffer[sent..count]);
                return Ok(false);
            }
            if count < buffer.len() && !closing {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Writes what was left over; true when nothing is.
    fn flush(&mut self, counts: &Counts) -> io::Result<bool> {
        let sent = write(&mut self.stream, &self.unsent, counts)?;
        self.unsent.drain(..sent);
        Ok(self.unsent.is_empty())
    }
}

/// One write; zero bytes when the socket is full.
fn write(stream: &mut TcpStream, bytes: &[u8], counts: &Counts) -> io::Result<usize> {
    add(&counts.writes, 1);
    match stream.write(bytes) {
        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(0),
        result => result,
    }
}

/// Adds to a counter only this thread writes: a load and a store, no locked instruction.
fn add(counter: &AtomicU64, count: u64) {
    counter.store(counter.load(Ordering::Relaxed) + count, Ordering::Relaxed);
}

/// The first address a `host:port` stands for.
fn resolve(text: &str) -> Outcome<SocketAddr> {
    let refuse = |source: io::Error| Failure::address("--listen", text, &source);
    text.to_socket_addrs().map_err(refuse)?.next().ok_or_else(|| refuse(ErrorKind::NotFound.into()))
}

/// Binds a listener; a port shared between cores must be asked for by each of them.
fn listen_on(address: SocketAddr, shared: bool) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(shared)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(TcpListener::from_std(socket.into()))
}

const LISTENER: Token = Token(usize::MAX - 1);
const WAKER: Token = Token(usize::MAX - 2);
const BUFFER_BYTES: usize = 64 * 1024;
const EVENTS_PER_POLL: usize = 1024;
const ACCEPTS_PER_BATCH: usize = 64;
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// Full buffers of one connection before the others get their turn.
const READS_PER_STEP: usize = 16;
const BACKLOG: i32 = 4096;
