//! Short connections: connect, one exchange or a handshake alone, close, as many as are due.
//!
//! Owns a bounded number of slots, of which each holds one short connection at a time, and the
//! plan of when the next is due: at a rate, or as soon as a slot is free. A connection that is due
//! while all slots are taken waits, and its time counts from the moment it was due. One that fails
//! keeps its slot until the next sweep, so that a server that refuses is not hammered.
//!
//! The client closes first, with a FIN, so the port's TIME_WAIT is the client's; `source` says why
//! that limits nothing.
//! Source: the churn loads of neper (`tcp_crr`) and tcpkali. Differs: planned time, sources walked.

mod pacer;
mod short;
mod source;
mod ticker;

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use mio::event::Event;
use mio::{Registry, Token};

use self::pacer::Pacer;
use self::short::{Progress, Short};
use self::source::Sources;
pub(crate) use self::source::{MOST_SOURCES, parse_port_range};
use self::ticker::Ticker;
use super::connection::Shared;
use super::tally::ChurnTally;
use super::tls::Tls;
use super::{Load, share};

/// How short connections come and go.
#[derive(Clone, Debug)]
pub(crate) struct Churn {
    /// Begun per second by all threads together; without it a slot that is free is used at once.
    pub(crate) rate: Option<f64>,
    /// Most of them open at a time.
    pub(crate) slots: usize,
    /// Local addresses they come from, where the server is on the loopback.
    pub(crate) sources: u8,
    /// Closes with a reset instead of a FIN.
    pub(crate) reset: bool,
}

/// The short connections of one thread.
#[derive(Debug)]
pub(super) struct Churner {
    address: SocketAddr,
    reset: bool,
    tls: Option<Tls>,
    slots: Vec<Option<Short>>,
    /// Slots without a connection; those of failed ones come back with the next sweep.
    free: Vec<usize>,
    resting: Vec<usize>,
    pacer: Option<Pacer>,
    sources: Option<Sources>,
    ticker: Ticker,
    sweep_at: Instant,
    tally: ChurnTally,
}

impl Churner {
    /// The share of thread `index` of `threads`; nothing where others have all the slots.
    pub(super) fn new(
        load: &Load,
        churn: &Churn,
        (index, threads): (usize, usize),
        tls: Option<Tls>,
        registry: &Registry,
    ) -> io::Result<Option<Self>> {
        // Threads without a slot take no turns in the pace either.
        let threads = threads.min(churn.slots);
        if index >= threads {
            return Ok(None);
        }
        let slots = share(churn.slots, threads, index);
        let now = Instant::now();
        let address = load.address(0);
        Ok(Some(Self {
            address,
            reset: churn.reset,
            tls,
            slots: (0..slots).map(|_| None).collect(),
            free: (0..slots).rev().collect(),
            resting: Vec::new(),
            pacer: churn.rate.map(|rate| Pacer::new(rate, (index, threads), churn.slots, now)),
            sources: Sources::new(address, churn.sources, index, threads),
            ticker: Ticker::new(registry, TICKER)?,
            sweep_at: now,
            tally: ChurnTally::default(),
        }))
    }

    /// Whether an event of the poll is meant for it.
    pub(super) fn owns(token: Token) -> bool {
        token.0 >= FIRST_SLOT
    }

    /// Begins the warm-up.
    pub(super) fn begin(&mut self, now: Instant) {
        self.sweep_at = now;
        if let Some(pacer) = &mut self.pacer {
            pacer.restart(now);
        }
    }

    /// Begins the measured part: everything counted so far is discarded.
    pub(super) fn measure(&mut self) {
        self.tally = ChurnTally::default();
    }

    /// How long the thread may sleep, at most `most`; arms the timer that ends the sleep.
    pub(super) fn wait(&mut self, now: Instant, most: Duration) -> io::Result<Duration> {
        let most = most.min(self.sweep_at.saturating_duration_since(now));
        if self.free.is_empty() {
            return Ok(most);
        }
        // In a closed loop a free slot has been used by `launch`; what is left rests.
        let Some(pacer) = &self.pacer else { return Ok(Duration::ZERO) };
        let left = pacer.next_at().saturating_duration_since(now);
        if !left.is_zero() && left < most {
            self.ticker.arm(left)?;
        }
        Ok(if left.is_zero() { Duration::ZERO } else { most })
    }

    /// Takes the step that an event allows.
    pub(super) fn handle(&mut self, event: &Event, shared: &mut Shared) {
        let Some(index) = event.token().0.checked_sub(FIRST_SLOT) else { return };
        let Some(Some(short)) = self.slots.get_mut(index) else { return };
        let progress = short.step(shared, &mut self.tally);
        match progress {
            Ok(Progress::Wait) => {}
            Ok(Progress::Done) => {
                self.slots[index] = None;
                self.free.push(index);
            }
            Ok(Progress::Closed) => self.fail(index, None),
            Err(error) => self.fail(index, Some(&error)),
        }
    }

    /// Begins what is due, as far as slots are free.
    pub(super) fn launch(&mut self, registry: &Registry, shared: &mut Shared) {
        let now = Instant::now();
        if now >= self.sweep_at {
            self.sweep(now, shared);
        }
        for _ in 0..self.free.len() {
            let planned = match &mut self.pacer {
                None => now,
                Some(pacer) => match pacer.take(now) {
                    Some(planned) => planned,
                    None => return,
                },
            };
            let Some(index) = self.free.pop() else { return };
            match self.connect(index, planned, registry) {
                Ok(short) => self.slots[index] = Some(short),
                Err(error) => self.fail(index, Some(&error)),
            }
        }
    }

    /// What was counted, and what was due and never begun.
    pub(super) fn finish(mut self, until: Instant) -> ChurnTally {
        self.tally.backlog = self.pacer.map_or(0, |pacer| pacer.backlog(until));
        self.tally.unfinished = self.slots.iter().flatten().count() as u64;
        self.tally
    }

    fn connect(
        &mut self,
        index: usize,
        planned: Instant,
        registry: &Registry,
    ) -> io::Result<Short> {
        let (socket, skipped) = source::bind(self.address, self.sources.as_mut())?;
        self.tally.skipped_ports += skipped;
        if self.reset {
            socket.set_linger(Some(Duration::ZERO))?;
        }
        let started = Instant::now();
        self.tally.lateness.record(started.saturating_duration_since(planned));
        let moments = (planned, started);
        let short = Short::new(socket, self.address, moments, self.tls.as_ref(), |stream| {
            let both = mio::Interest::READABLE | mio::Interest::WRITABLE;
            registry.register(stream, Token(FIRST_SLOT + index), both)
        })?;
        Ok(if self.reset { short.ends_with_a_reset() } else { short })
    }

    fn fail(&mut self, index: usize, error: Option<&io::Error>) {
        self.tally.errors.note(error);
        self.slots[index] = None;
        self.resting.push(index);
    }

    /// Ends connections that took too long and frees the slots of those that failed.
    fn sweep(&mut self, now: Instant, shared: &mut Shared) {
        self.sweep_at = now + SWEEP;
        self.free.append(&mut self.resting);
        for index in 0..self.slots.len() {
            let late = |short: &Short| short.age(now) > TIMEOUT;
            if self.slots[index].as_ref().is_some_and(late) {
                shared.tally.latency.record(TIMEOUT);
                self.fail(index, Some(&io::ErrorKind::TimedOut.into()));
            }
        }
    }
}

/// Tokens below belong to the connections that stay.
const FIRST_SLOT: usize = 1 << 32;
const TICKER: Token = Token(usize::MAX - 1);
/// How often slots are looked over.
const SWEEP: Duration = Duration::from_millis(100);
/// A connection that takes longer has failed; its time is recorded as this.
const TIMEOUT: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use mio::Poll;

    use super::super::{Tally, Target, Traffic};
    use super::*;

    fn load(address: SocketAddr, churn: &Churn) -> Load {
        let churn = Some(churn.clone());
        Load { churn, ..Load::idle(vec![Target { address, connections: 0 }]) }
    }

    #[test]
    fn a_connection_that_takes_too_long_fails_and_gives_its_place_back_later() {
        // It accepts nobody, so nothing is ever answered.
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let churn = Churn { rate: None, slots: 2, sources: 1, reset: true };
        let load = load(listener.local_addr().unwrap(), &churn);
        let poll = Poll::new().unwrap();
        let mut shared = Shared {
            traffic: Traffic::Idle,
            payload: vec![b'x'],
            buffer: vec![0; 1],
            keep_receipts: false,
            tally: Tally::default(),
        };
        let mut churner =
            Churner::new(&load, &churn, (0, 1), None, poll.registry()).unwrap().unwrap();
        let now = Instant::now();
        churner.begin(now);
        churner.launch(poll.registry(), &mut shared);
        assert_eq!(churner.slots.iter().flatten().count(), 2);
        assert!(
            churner.wait(Instant::now(), Duration::from_secs(9)).unwrap() <= SWEEP,
            "it looks again"
        );

        churner.sweep(now + TIMEOUT - SWEEP, &mut shared);
        assert_eq!(churner.tally.errors.count(), 0, "not yet");
        churner.sweep(now + TIMEOUT * 2, &mut shared);
        assert_eq!(churner.tally.errors.to_string(), "2 timed out");
        assert!(shared.tally.latency.percentiles().max_us >= Some(4.9e6), "at its value");
        assert!(churner.free.is_empty(), "a server that fails is not hammered");
        churner.sweep(now + TIMEOUT * 2 + SWEEP, &mut shared);
        assert_eq!(churner.free.len(), 2);
        churner.measure();
        assert_eq!(churner.tally.errors.count(), 0, "what failed in the warm-up is discarded");
        assert_eq!(churner.finish(now).unfinished, 0);
    }

    #[test]
    fn the_rate_is_that_of_the_threads_by_their_slots() {
        let poll = Poll::new().unwrap();
        let now = Instant::now();
        let cases: [(usize, &[u64]); 3] =
            [(2, &[50, 50]), (3, &[34, 33, 33]), (5, &[40, 20, 20, 20])];
        for (slots, expected) in cases {
            let churn = Churn { rate: Some(100.0), slots, sources: 1, reset: true };
            let load = load("127.0.0.1:9".parse().unwrap(), &churn);
            let due = (0..4).filter_map(|index| {
                let share = (index, 4);
                let mut churner =
                    Churner::new(&load, &churn, share, None, poll.registry()).unwrap()?;
                churner.begin(now);
                Some(churner.finish(now + Duration::from_secs(1)).backlog)
            });
            assert_eq!(due.collect::<Vec<_>>(), expected, "{slots} slots");
        }
    }
}
