//! One client thread: its connections, its poll loop and its figures.
//!
//! Owns a share of the connections. Pins itself, connects, reports, waits for the common start, and
//! then runs until the planned end; the two moments are absolute, so no other thread has to wake
//! it. Requests leave in batches, after everything that arrived was read: sent one by one between
//! the reads, a fast server is woken for each of them and pays for polls that the client caused.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::ops::Range;
use std::sync::mpsc::{Receiver, Sender};
use std::time::{Duration, Instant};

use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};
use rustix::time::{ClockId, clock_gettime};
use socket2::{Domain, Protocol, Socket, Type};

use super::churn::Churner;
use super::connection::{Connection, Shared, Step};
use super::stream::Stream;
use super::tls::{Tls, negotiated};
use super::{Load, Schedule, Tally};
use crate::cpus;
use crate::exit::{Failure, Outcome};

/// What came of opening a thread's connections.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) open: usize,
    pub(super) refused: u64,
    pub(super) error: Option<io::Error>,
}

/// A client thread.
#[derive(Debug)]
pub(super) struct Worker {
    poll: Poll,
    connections: Vec<Option<Connection>>,
    live: usize,
    /// Connections whose step ended with its budget; at most all of them.
    again: Vec<usize>,
    /// Connections whose next request leaves at the end of the batch; at most all of them.
    sending: Vec<usize>,
    churner: Option<Churner>,
    tls: Option<Tls>,
    shared: Shared,
}

impl Worker {
    /// The body of the thread.
    pub(super) fn run(
        load: &Load,
        (index, threads): (usize, usize),
        share: Range<usize>,
        opened: &Sender<Opened>,
        start: &Receiver<Schedule>,
    ) -> Outcome<Tally> {
        if let Some(cpu) = load.cpus.get(index % load.cpus.len().max(1)) {
            cpus::pin(&[*cpu])?;
        }
        let mut worker = Self::new(load, index, threads).map_err(Failure::io("creating a poll"))?;
        let report = worker.open(load, share);
        // The receiver lives until all threads have reported.
        let _ = opened.send(report);
        match start.recv() {
            Ok(schedule) => {
                let tally = worker.work(&schedule)?;
                // Nothing is sent a second time: this waits for the sender to be dropped.
                let _ = start.recv();
                Ok(tally)
            }
            // The run was called off; whoever called it off has the reason.
            Err(_) => Ok(Tally::default()),
        }
    }

    fn new(load: &Load, index: usize, threads: usize) -> io::Result<Self> {
        let poll = Poll::new()?;
        let tls = load.tls.as_ref().map(|terms| Tls::new(terms, load.address(0))).transpose()?;
        let churner = load
            .churn
            .as_ref()
            .map(|churn| Churner::new(load, churn, (index, threads), tls.clone(), poll.registry()));
        Ok(Self {
            poll,
            connections: Vec::new(),
            live: 0,
            again: Vec::new(),
            sending: Vec::new(),
            churner: churner.transpose()?.flatten(),
            tls,
            shared: Shared {
                traffic: load.traffic,
                payload: vec![b'x'; load.size],
                buffer: vec![0; BUFFER_BYTES],
                keep_receipts: load.keep_receipts,
                tally: Tally::default(),
            },
        })
    }

    fn open(&mut self, load: &Load, share: Range<usize>) -> Opened {
        let mut opened = Opened { open: 0, refused: 0, error: None };
        let mut in_a_row = 0;
        for index in share.clone() {
            match self.connect(load, index) {
                Ok(connection) => {
                    self.connections.push(Some(connection));
                    opened.open += 1;
                    in_a_row = 0;
                }
                Err(error) => {
                    opened.refused += 1;
                    opened.error = Some(error);
                    in_a_row += 1;
                    if in_a_row == REFUSALS_BEFORE_GIVING_UP {
                        opened.refused += (share.end - index - 1) as u64;
                        break;
                    }
                }
            }
        }
        self.live = opened.open;
        if self.churner.is_some() && share.is_empty() {
            // A server that is not there is found now and not by thousands of refusals.
            match self.connect(load, 0) {
                Ok(mut connection) => {
                    connection.stream.finish();
                    opened.open += 1;
                }
                Err(error) => {
                    opened.refused += 1;
                    opened.error = Some(error);
                }
            }
        }
        opened
    }

    fn connect(&mut self, load: &Load, index: usize) -> io::Result<Connection> {
        let address = load.address(index);
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
        if let Some(bytes) = load.receive_buffer {
            // Before it connects, because the window's scale follows from it.
            socket.set_recv_buffer_size(bytes)?;
        }
        if let Some(source) = source(address, index) {
            // A port that waits after its end would be missed by the next run.
            socket.set_linger(Some(Duration::ZERO))?;
            socket.bind(&source.into())?;
        }
        socket.connect_timeout(&address.into(), CONNECT_TIMEOUT)?;
        socket.set_tcp_nodelay(true)?;
        socket.set_nonblocking(true)?;
        let mut stream = TcpStream::from_std(socket.into());
        let both = Interest::READABLE | Interest::WRITABLE;
        self.poll.registry().register(&mut stream, Token(self.connections.len()), both)?;
        let stream = match &self.tls {
            None => Stream::Plain(stream),
            Some(tls) => {
                let stream = tls.connect(stream, CONNECT_TIMEOUT)?;
                self.shared.tally.negotiated = negotiated(&stream);
                Stream::Tls(stream)
            }
        };
        Ok(Connection::new(stream))
    }

    fn work(&mut self, schedule: &Schedule) -> Outcome<Tally> {
        let mut events = Events::with_capacity(EVENTS_PER_POLL);
        for index in 0..self.connections.len() {
            self.advance(index, |connection, shared| connection.start(index, shared));
        }
        if let Some(churner) = &mut self.churner {
            churner.begin(Instant::now());
        }
        let mut cpu_at_start = Duration::ZERO;
        loop {
            let now = Instant::now();
            let measuring = self.shared.tally.is_measuring();
            if now >= schedule.until || (self.live == 0 && self.churner.is_none()) {
                break;
            }
            if !measuring && now >= schedule.measure_from {
                cpu_at_start = thread_cpu();
                self.shared.tally.begin(now, self.connections.len());
                if let Some(churner) = &mut self.churner {
                    churner.measure();
                }
            }
            if let Some(churner) = &mut self.churner {
                churner.launch(self.poll.registry(), &mut self.shared);
            }
            let next =
                if now < schedule.measure_from { schedule.measure_from } else { schedule.until };
            let wait = match &mut self.churner {
                _ if !self.again.is_empty() => Duration::ZERO,
                None => next - now,
                Some(churner) => {
                    churner.wait(now, next - now).map_err(Failure::io("setting a timer"))?
                }
            };
            match self.poll.poll(&mut events, Some(wait)) {
                Err(error) if error.kind() != io::ErrorKind::Interrupted => {
                    return Err(Failure::io("polling")(error));
                }
                _ => {}
            }
            self.turn(&events);
        }
        let mut tally = std::mem::take(&mut self.shared.tally);
        if !tally.is_measuring() {
            // All connections ended in the warm-up, which counts for nothing.
            tally.begin(schedule.measure_from, self.connections.len());
            cpu_at_start = thread_cpu();
        }
        // The time is the planned one even if no connection lasted: a rate over less would flatter.
        tally.end(Instant::now().max(schedule.until));
        tally.churn = self.churner.take().map(|churner| {
            let mut churn = churner.finish(schedule.until);
            tally.errors.merge(std::mem::take(&mut churn.errors));
            Box::new(churn)
        });
        let cpu = thread_cpu().saturating_sub(cpu_at_start);
        tally.cpu_fractions.push(cpu.as_secs_f64() / tally.measured.as_secs_f64().max(1e-9));
        Ok(tally)
    }

    /// Reacts to what a poll brought and to what was left from the turn before.
    fn turn(&mut self, events: &Events) {
        for index in std::mem::take(&mut self.again) {
            if let Some(connection) = &mut self.connections[index] {
                connection.is_listed = false;
            }
            self.advance(index, |connection, shared| connection.step(index, None, shared));
        }
        for event in events {
            match &mut self.churner {
                Some(churner) if Churner::owns(event.token()) => {
                    churner.handle(event, &mut self.shared);
                }
                _ => {
                    let index = event.token().0;
                    self.advance(index, |connection, shared| {
                        connection.step(index, Some(event), shared)
                    });
                }
            }
        }
        let mut sending = std::mem::take(&mut self.sending);
        for index in sending.drain(..) {
            self.advance(index, Connection::request);
        }
        self.sending = sending;
    }

    /// Takes a step of one connection and does what it asks for.
    fn advance(&mut self, index: usize, step: impl FnOnce(&mut Connection, &mut Shared) -> Step) {
        let Some(connection) = &mut self.connections[index] else { return };
        match step(connection, &mut self.shared) {
            Step::Wait => {}
            Step::Send => self.sending.push(index),
            Step::Again if connection.is_listed => {}
            Step::Again => {
                connection.is_listed = true;
                self.again.push(index);
            }
            Step::Ended(error) => {
                self.shared.tally.errors.note(error.as_ref());
                self.connections[index] = None;
                self.live -= 1;
            }
        }
    }
}

/// Where connection `index` comes from, if the kernel is not to choose: on the local machine every
/// ten thousand have an address of their own. Once half its ports are taken the kernel searches the
/// same half for each further connection, and with nineteen thousand needs a quarter of a minute.
fn source(to: SocketAddr, index: usize) -> Option<SocketAddr> {
    let number = u32::try_from(index / CONNECTIONS_PER_SOURCE).ok().filter(|&number| number > 0)?;
    match to.ip() {
        IpAddr::V4(to) if to.is_loopback() => {
            let source = Ipv4Addr::from_bits(to.to_bits().wrapping_add(number));
            source.is_loopback().then(|| SocketAddr::from((source, 0)))
        }
        _ => None,
    }
}

/// CPU time of the calling thread.
fn thread_cpu() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

const BUFFER_BYTES: usize = 256 * 1024;
const EVENTS_PER_POLL: usize = 1024;
const CONNECTIONS_PER_SOURCE: usize = 10_000;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// After this many refusals in a row the rest is not tried: each may take [`CONNECT_TIMEOUT`].
const REFUSALS_BEFORE_GIVING_UP: u32 = 3;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_ten_thousand_local_connections_have_a_source_of_their_own() {
        let local = "127.0.0.1:7777".parse().unwrap();
        assert_eq!(source(local, 9_999), None);
        assert_eq!(source(local, 10_000), Some("127.0.0.2:0".parse().unwrap()));
        assert_eq!(source(local, 39_999), Some("127.0.0.4:0".parse().unwrap()));
        for other in ["10.0.0.1:80", "[::1]:80", "127.255.255.255:80"] {
            assert_eq!(source(other.parse().unwrap(), 10_000), None, "{other}");
        }
    }
}
