//! A source that a timer paces and no limit: what the same writes cost without one.
//!
//! Owns the list of its connections and whose turn it is. Every tick it gives as many of them, in
//! turn, one piece each as keep the rate; the pattern of the writes is that of a group's members
//! under the same rate. Runs on one core only.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use sluicegate::{BevId, BevMut, Core, Handler, Rate, Time};

use super::Prepare;

/// The handler of a connection that is paced.
#[derive(Clone, Debug)]
pub(super) struct Paced(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    piece: Arc<[u8]>,
    rate: Rate,
    connections: Mutex<Vec<BevId>>,
}

/// How far the timer has come.
#[derive(Debug)]
struct Progress {
    since: Time,
    pieces: u64,
    next: usize,
}

impl Paced {
    pub(super) fn new(piece_bytes: usize, rate: Rate) -> Self {
        let piece = vec![b'p'; piece_bytes].into();
        Self(Arc::new(Shared { piece, rate, connections: Mutex::default() }))
    }
}

impl Handler for Paced {}

impl Prepare for Paced {
    fn prepare(&self, connection: &mut BevMut<'_>) -> Self {
        let id = connection.id();
        // Two pieces that are due at once stay two writes.
        connection.set_max_single_write(self.0.piece.len());
        let mut connections = self.0.connections.lock().expect("nobody panics while holding it");
        connections.push(id);
        if connections.len() == 1 {
            let core = connection.core();
            let progress = Progress { since: core.now(), pieces: 0, next: 0 };
            arm(core, Arc::clone(&self.0), progress);
        }
        self.clone()
    }
}

fn arm(core: &mut Core, shared: Arc<Shared>, mut progress: Progress) {
    core.after(TICK, move |core| {
        shared.send(core, &mut progress);
        arm(core, shared, progress);
    });
}

impl Shared {
    /// Gives a piece to each of the next connections, as many as are due.
    fn send(&self, core: &mut Core, progress: &mut Progress) {
        let connections = self.connections.lock().expect("nobody panics while holding it");
        let elapsed = core.now().saturating_since(progress.since);
        let bytes = u128::from(self.rate.as_bytes_per_second()) * elapsed.as_nanos() / NANOSECONDS;
        let due = bytes / self.piece.len().max(1) as u128;
        while u128::from(progress.pieces) < due {
            progress.pieces += 1;
            progress.next = (progress.next + 1) % connections.len();
            // One that has closed misses its turn.
            if let Some(mut connection) = core.get(connections[progress.next]) {
                connection.output().add_shared(Arc::clone(&self.piece));
            }
        }
    }
}

/// The wheel rounds it up, so that the core wakes about as often as for a group: some 560 times a
/// second.
const TICK: Duration = Duration::from_micros(500);
const NANOSECONDS: u128 = 1_000_000_000;
