//! What a client thread counted in the measured part.
//!
//! Owns the per-connection figures that fairness is judged by (bytes, longest silence) and the log
//! of receipts, whose length is bounded. Never decides anything.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::time::{Duration, Instant};

use serde::Serialize;

use super::stream::Fault;
use super::tls::Negotiated;
use crate::latency::Latency;

/// Figures of one thread, or of all after [`Tally::merge`].
#[derive(Clone, Debug)]
pub(crate) struct Tally {
    /// Replies completed (echo), reads (source, flood) or writes (sink).
    pub(crate) ops: u64,
    pub(crate) bytes_in: u64,
    pub(crate) bytes_out: u64,
    pub(crate) latency: Latency,
    pub(crate) connections: Vec<ConnectionTally>,
    pub(crate) receipts: Vec<Receipt>,
    /// Receipts that did not fit in the log.
    pub(crate) receipts_lost: u64,
    pub(crate) errors: Errors,
    /// What one of the connections came to speak, where TLS is spoken.
    pub(crate) negotiated: Option<Negotiated>,
    /// Short connections, where the load has any.
    pub(crate) churn: Option<Box<ChurnTally>>,
    /// CPU time of each thread as a fraction of the measured time.
    pub(crate) cpu_fractions: Vec<f64>,
    /// Length of the measured part; the longest of the threads.
    pub(crate) measured: Duration,
    began: Option<Instant>,
}

/// Figures of the short connections.
#[derive(Clone, Debug)]
pub(crate) struct ChurnTally {
    /// From the call that connects to the moment it was seen to be connected.
    pub(crate) connect: Latency,
    /// From there to the end of the handshake, where TLS is spoken: of new sessions, and of those
    /// that were resumed.
    pub(crate) full: Latency,
    pub(crate) resumed: Latency,
    /// From there to the last byte of the reply.
    pub(crate) exchange: Latency,
    /// From the planned moment to the call that connects.
    pub(crate) lateness: Latency,
    /// Due by the end and never begun.
    pub(crate) backlog: u64,
    /// Under way at the end.
    pub(crate) unfinished: u64,
    /// Served, and then not ended by the server as TLS wants it.
    pub(crate) unclean: u64,
    /// Local ports that belonged to somebody else.
    pub(crate) skipped_ports: u64,
    /// Those that failed, until the thread adds them to its own.
    pub(super) errors: Errors,
}

/// Figures of one connection.
#[derive(Clone, Debug, Default)]
pub(crate) struct ConnectionTally {
    pub(crate) bytes_in: u64,
    pub(crate) longest_gap: Duration,
    last_receipt: Option<Instant>,
}

/// Bytes one read returned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Receipt {
    /// Nanoseconds since the measured part began.
    pub(crate) at_ns: u64,
    pub(crate) bytes: u64,
}

/// Connections that failed, by kind.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Errors {
    /// Could not be opened.
    pub(crate) refused: u64,
    /// What the system said to the last of those.
    pub(crate) refused_because: Option<String>,
    /// Closed by the server in the middle of the run.
    pub(crate) closed: u64,
    /// Reset by the server.
    pub(crate) reset: u64,
    /// Other errors by the name of their kind, those of TLS by what failed.
    pub(crate) other: BTreeMap<String, u64>,
}

impl Tally {
    /// Forgets the warm-up: everything counted so far is discarded, but for connections that ended
    /// in it, because the measured part has to do without them.
    pub(super) fn begin(&mut self, now: Instant, connections: usize) {
        let (errors, negotiated) =
            (std::mem::take(&mut self.errors), std::mem::take(&mut self.negotiated));
        *self = Self { errors, negotiated, began: Some(now), ..Self::default() };
        let blank = ConnectionTally { last_receipt: Some(now), ..ConnectionTally::default() };
        self.connections = vec![blank; connections];
    }

    pub(super) fn is_measuring(&self) -> bool {
        self.began.is_some()
    }

    /// Notes how long the measured part really was, and silences that last until its end.
    pub(super) fn end(&mut self, now: Instant) {
        let Some(began) = self.began else { return };
        self.measured = now - began;
        for connection in &mut self.connections {
            connection.note_gap(now);
        }
    }

    /// Counts bytes received on a connection.
    pub(super) fn receive(&mut self, index: usize, bytes: u64, now: Instant, keep: bool) {
        self.bytes_in += bytes;
        let Some(began) = self.began else { return };
        let since = now.saturating_duration_since(began);
        let connection = &mut self.connections[index];
        connection.bytes_in += bytes;
        connection.note_gap(now);
        if keep && self.receipts.len() < MOST_RECEIPTS {
            self.receipts.push(Receipt { at_ns: since.as_nanos() as u64, bytes });
        } else if keep {
            self.receipts_lost += 1;
        }
    }

    /// Adds the figures of another thread.
    pub(super) fn merge(&mut self, other: Self) {
        self.ops += other.ops;
        self.bytes_in += other.bytes_in;
        self.bytes_out += other.bytes_out;
        self.latency.merge(&other.latency);
        self.connections.extend(other.connections);
        self.receipts.extend(other.receipts);
        self.receipts_lost += other.receipts_lost;
        self.errors.merge(other.errors);
        self.negotiated = other.negotiated.or_else(|| self.negotiated.take());
        match (&mut self.churn, other.churn) {
            (Some(mine), Some(other)) => mine.merge(&other),
            (mine, other) => *mine = mine.take().or(other),
        }
        self.cpu_fractions.extend(other.cpu_fractions);
        self.measured = self.measured.max(other.measured);
    }
}

impl Default for Tally {
    fn default() -> Self {
        Self {
            ops: 0,
            bytes_in: 0,
            bytes_out: 0,
            latency: Latency::new(),
            connections: Vec::new(),
            receipts: Vec::new(),
            receipts_lost: 0,
            errors: Errors::default(),
            negotiated: None,
            churn: None,
            cpu_fractions: Vec::new(),
            measured: Duration::ZERO,
            began: None,
        }
    }
}

impl ChurnTally {
    fn merge(&mut self, other: &Self) {
        self.connect.merge(&other.connect);
        self.full.merge(&other.full);
        self.resumed.merge(&other.resumed);
        self.exchange.merge(&other.exchange);
        self.lateness.merge(&other.lateness);
        self.backlog += other.backlog;
        self.unfinished += other.unfinished;
        self.unclean += other.unclean;
        self.skipped_ports += other.skipped_ports;
    }
}

impl Default for ChurnTally {
    fn default() -> Self {
        Self {
            connect: Latency::new(),
            full: Latency::new(),
            resumed: Latency::new(),
            exchange: Latency::new(),
            lateness: Latency::new(),
            backlog: 0,
            unfinished: 0,
            unclean: 0,
            skipped_ports: 0,
            errors: Errors::default(),
        }
    }
}

impl ConnectionTally {
    fn note_gap(&mut self, now: Instant) {
        if let Some(last) = self.last_receipt.replace(now) {
            self.longest_gap = self.longest_gap.max(now.saturating_duration_since(last));
        }
    }
}

impl Errors {
    /// Counts a connection that ended before it was to: by an error, or closed by the server.
    pub(super) fn note(&mut self, error: Option<&io::Error>) {
        let Some(error) = error else {
            self.closed += 1;
            return;
        };
        let fault = error.get_ref().and_then(|inner| inner.downcast_ref::<Fault>());
        let name = match (error.kind(), fault) {
            (io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe, _) => {
                self.reset += 1;
                return;
            }
            (_, Some(fault)) => fault.to_string(),
            (kind, None) => kind.to_string(),
        };
        *self.other.entry(name).or_default() += 1;
    }

    pub(crate) fn count(&self) -> u64 {
        self.refused + self.closed + self.reset + self.other.values().sum::<u64>()
    }

    pub(super) fn merge(&mut self, other: Self) {
        self.refused += other.refused;
        self.refused_because = other.refused_because.or_else(|| self.refused_because.take());
        self.closed += other.closed;
        self.reset += other.reset;
        for (kind, count) in other.other {
            *self.other.entry(kind).or_default() += count;
        }
    }
}

impl fmt::Display for Errors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let because = self.refused_because.as_ref().map(|why| format!(" ({why})"));
        let refused = format!("refused{}", because.unwrap_or_default());
        let named = [
            (&*refused, self.refused),
            ("closed by the server", self.closed),
            ("reset", self.reset),
        ];
        let other = self.other.iter().map(|(kind, count)| (kind.as_str(), *count));
        let mut separator = "";
        for (kind, count) in named.into_iter().chain(other).filter(|(_, count)| *count > 0) {
            write!(f, "{separator}{count} {kind}")?;
            separator = ", ";
        }
        Ok(())
    }
}

/// Receipts kept per thread: 64 MB.
const MOST_RECEIPTS: usize = 1 << 22;

#[cfg(test)]
mod tests {
    use super::*;

    fn measuring(now: Instant) -> Tally {
        let mut tally = Tally::default();
        tally.receive(0, 99, now, true);
        tally.begin(now, 1);
        tally
    }

    #[test]
    fn the_warm_up_is_discarded() {
        let now = Instant::now();
        let mut tally = measuring(now);
        assert_eq!((tally.bytes_in, tally.receipts.len()), (0, 0));
        tally.errors.note(None);
        tally.begin(now, 1);
        assert_eq!(tally.errors.closed, 1, "that connection is missing in the measured part");
    }

    #[test]
    fn bytes_are_summed_and_gaps_run_to_the_end() {
        let second = Duration::from_secs(1);
        let now = Instant::now();
        let mut tally = measuring(now);
        tally.receive(0, 10, now + second / 2, true);
        tally.receive(0, 20, now + second, false);
        tally.receive(0, 40, now + second * 3, true);
        tally.end(now + second * 6);
        let connection = &tally.connections[0];
        assert_eq!(connection.bytes_in, 70);
        assert_eq!(connection.longest_gap, second * 3);
        assert_eq!(tally.receipts.len(), 2);
        assert_eq!(tally.measured, second * 6);
    }

    #[test]
    fn failures_are_counted_by_kind() {
        let mut tally = Tally::default();
        tally.errors.note(None);
        tally.errors.note(Some(&io::ErrorKind::ConnectionReset.into()));
        tally.errors.note(Some(&io::ErrorKind::TimedOut.into()));
        assert_eq!((tally.errors.closed, tally.errors.reset), (1, 1));
        assert_eq!(tally.errors.to_string(), "1 closed by the server, 1 reset, 1 timed out");
        assert_eq!(tally.errors.count(), 3);
        let refused_because = Some("no port is left".to_owned());
        tally.errors.merge(Errors { refused: 2, refused_because, ..Errors::default() });
        let text = tally.errors.to_string();
        assert_eq!(
            text,
            "2 refused (no port is left), 1 closed by the server, 1 reset, 1 timed out"
        );
    }
}
