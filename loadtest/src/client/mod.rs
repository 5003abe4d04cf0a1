//! The client: threads that load a server and count what comes back.
//!
//! Owns the order of a run: connect everything, start together, discard the warm-up, measure, stop.
//! Built on mio, plain sockets and OpenSSL alone, because a ruler is not made of what it measures.
//! Never talks to the server process; whoever runs it takes the server's figures at the two moments
//! it is told.

mod churn;
mod connection;
mod session;
mod stream;
mod tally;
mod tls;
mod worker;

use std::net::SocketAddr;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

pub(crate) use self::churn::{Churn, MOST_SOURCES, parse_port_range};
pub(crate) use self::tally::{ChurnTally, Errors, Receipt, Tally};
pub(crate) use self::tls::{TlsTerms, Trust};
use self::worker::{Opened, Worker};
use crate::exit::{Failure, Outcome, connect_remedy};

/// What the connections do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Traffic {
    /// One request of `size` bytes in flight on each connection, answered in kind.
    Echo,
    /// Written as fast as the server takes it.
    Sink,
    /// Read as fast as the server gives it.
    Source,
    /// Written and read as fast as possible, as libevent's `test-ratelim` does.
    Flood,
    /// One request each, then held open in silence.
    Idle,
}

/// A run, fully resolved.
#[derive(Clone, Debug)]
pub(crate) struct Load {
    /// At least one.
    pub(crate) targets: Vec<Target>,
    pub(crate) traffic: Traffic,
    /// Short connections beside those of the targets, to the first of them.
    pub(crate) churn: Option<Churn>,
    /// TLS under all of them.
    pub(crate) tls: Option<TlsTerms>,
    /// Bytes of a request; short connections without any end with their handshake.
    pub(crate) size: usize,
    /// The kernel's receive buffer of each connection, if it is not to choose.
    pub(crate) receive_buffer: Option<usize>,
    pub(crate) threads: usize,
    /// CPUs of the threads, round robin; empty means unpinned.
    pub(crate) cpus: Vec<usize>,
    pub(crate) warmup: Duration,
    pub(crate) duration: Duration,
    /// Keeps every receipt, so that windows can be checked afterwards.
    pub(crate) keep_receipts: bool,
}

/// Where some of the connections go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) address: SocketAddr,
    pub(crate) connections: usize,
}

/// The moments of a run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Schedule {
    pub(crate) measure_from: Instant,
    pub(crate) until: Instant,
}

/// Called by [`run`] in the thread that runs it.
pub(crate) trait Spectator {
    /// The connections are open, the measured part begins now.
    fn measure(&mut self) -> Outcome;
    /// The measured part has just ended, the connections are still open.
    fn stop(&mut self) -> Outcome;
    /// Called about four times a second in between; an error calls the run off.
    fn tick(&mut self, elapsed: Duration) -> Outcome;
}

/// Runs the load and returns the figures of all threads together.
///
/// # Errors
/// No connection could be opened, a thread could not be pinned, or the spectator failed.
pub(crate) fn run(load: &Load, spectator: &mut dyn Spectator) -> Outcome<Tally> {
    let connections = load.connections();
    let slots = load.churn.as_ref().map_or(0, |churn| churn.slots);
    if connections + slots == 0 {
        return Err(Failure::NoConnections);
    }
    let threads = load.threads.clamp(1, connections.max(slots));
    let (opened_sender, opened) = mpsc::channel();
    let mut workers = Vec::with_capacity(threads);
    let mut first = 0;
    for index in 0..threads {
        let load = load.clone();
        let share = first..first + share(connections, threads, index);
        first = share.end;
        let opened = opened_sender.clone();
        let (start_sender, start) = mpsc::channel();
        let thread = thread::Builder::new()
            .name(format!("client-{index}"))
            .spawn(move || Worker::run(&load, (index, threads), share, &opened, &start))
            .map_err(Failure::io("starting a client thread"))?;
        workers.push((start_sender, thread));
    }
    drop(opened_sender);
    let errors = await_open(load, threads, &opened)?;

    let measure_from = Instant::now() + load.warmup;
    let schedule = Schedule { measure_from, until: measure_from + load.duration };
    for (start, _) in &workers {
        // A worker that is gone reports its error when joined.
        let _ = start.send(schedule);
    }
    let watched = watch(schedule, spectator);
    let mut total = Tally::default();
    for (start, thread) in workers {
        // Connections stay open until here, so that the spectator sees them at the end.
        drop(start);
        let tally = thread.join().map_err(|_| {
            Failure::NothingMeasured("a client thread panicked; this is a defect".to_owned())
        })??;
        total.merge(tally);
    }
    watched?;
    total.errors.merge(errors);
    Ok(total)
}

impl Load {
    /// Connections to all targets.
    pub(crate) fn connections(&self) -> usize {
        self.targets.iter().map(|target| target.connections).sum()
    }

    /// Where connection `index` goes, counted from the first target's first.
    fn address(&self, index: usize) -> SocketAddr {
        let mut end = 0;
        let target = self.targets.iter().find(|target| {
            end += target.connections;
            index < end
        });
        target.or_else(|| self.targets.last()).expect("a load has a target").address
    }
}

/// Spreads `total` over `parts`, the remainder over the first ones.
pub(crate) fn share(total: usize, parts: usize, index: usize) -> usize {
    total / parts + usize::from(index < total % parts)
}

/// Waits until every thread has opened its connections; some may be refused, not all.
fn await_open(load: &Load, threads: usize, opened: &mpsc::Receiver<Opened>) -> Outcome<Errors> {
    let (mut open, mut refused, mut last) = (0, 0, None);
    for _ in 0..threads {
        // A worker that fails before it reports closes its sender; joining tells why.
        let Ok(report) = opened.recv() else { break };
        open += report.open;
        refused += report.refused;
        last = report.error.or(last);
    }
    match last {
        Some(source) if open == 0 => Err(Failure::Connect {
            count: load.connections().max(1),
            address: load.address(0),
            source,
        }),
        last => {
            let refused_because = last.map(|e| format!("{e}; {}", connect_remedy(&e)));
            Ok(Errors { refused, refused_because, ..Errors::default() })
        }
    }
}

/// Sleeps through the run, calling the spectator at its moments.
fn watch(schedule: Schedule, spectator: &mut dyn Spectator) -> Outcome {
    let began = Instant::now();
    for (moment, is_end) in [(schedule.measure_from, false), (schedule.until, true)] {
        while let Some(left) = moment.checked_duration_since(Instant::now()) {
            if left.is_zero() {
                break;
            }
            thread::sleep(left.min(TICK));
            spectator.tick(began.elapsed())?;
        }
        if is_end { spectator.stop()? } else { spectator.measure()? }
    }
    Ok(())
}

/// How often the spectator is told of the time.
const TICK: Duration = Duration::from_millis(250);

#[cfg(test)]
impl Load {
    /// Connections that do nothing, on one thread.
    fn idle(targets: Vec<Target>) -> Self {
        Self {
            targets,
            traffic: Traffic::Idle,
            churn: None,
            tls: None,
            size: 1,
            receive_buffer: None,
            threads: 1,
            cpus: Vec::new(),
            warmup: Duration::ZERO,
            duration: Duration::ZERO,
            keep_receipts: false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_go_to_the_targets_in_order() {
        let target = |port, connections| Target {
            address: SocketAddr::from(([127, 0, 0, 1], port)),
            connections,
        };
        let load = Load::idle(vec![target(1, 2), target(2, 0), target(3, 1)]);
        let ports: Vec<u16> = (0..3).map(|index| load.address(index).port()).collect();
        assert_eq!((load.connections(), ports), (3, vec![1, 1, 3]));
    }

    #[test]
    fn the_remainder_is_spread_and_nothing_is_lost() {
        let shares: Vec<usize> = (0..3).map(|index| share(10, 3, index)).collect();
        assert_eq!(shares, [4, 3, 3]);
        assert_eq!((0..7).map(|index| share(3, 7, index)).sum::<usize>(), 3);
    }
}
