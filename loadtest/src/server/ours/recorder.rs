//! Recording of metered operations while the server runs.
//!
//! Owns one list per core, filled without a lock by the core's observer and handed over when the
//! core ends. Bounded: what does not fit is counted as lost, and a log with losses proves nothing.

use std::collections::BTreeMap;
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sluicegate::{BevId, Direction, MeteredOperation, Observer};

use crate::audit::{AuditLog, Member, Moment, Record, Way};

/// What all cores of a server record.
#[derive(Clone, Debug)]
pub(super) struct Recording {
    shared: Arc<Shared>,
    lists: Sender<List>,
}

#[derive(Debug)]
struct Shared {
    received: Mutex<Receiver<List>>,
    notes: Mutex<Notes>,
}

/// What is known of connections besides their operations.
#[derive(Debug, Default)]
struct Notes {
    limits: Vec<(BevId, Moment)>,
    weights: Vec<(BevId, u32)>,
}

/// The list of one core.
#[derive(Debug, Default)]
struct List {
    operations: Vec<MeteredOperation>,
    lost: u64,
}

/// The observer of one core.
#[derive(Debug)]
pub(super) struct Recorder {
    list: List,
    lists: Sender<List>,
}

impl Recording {
    pub(super) fn new() -> Self {
        let (lists, received) = mpsc::channel();
        let notes = Mutex::default();
        Self { shared: Arc::new(Shared { received: Mutex::new(received), notes }), lists }
    }

    /// A recorder for one core.
    pub(super) fn recorder(&self) -> Recorder {
        Recorder { list: List::default(), lists: self.lists.clone() }
    }

    /// Notes when a connection got its own limit.
    pub(super) fn note_limit(&self, connection: BevId, set: Moment) {
        self.notes().limits.push((connection, set));
    }

    /// Notes with which weight a connection joined the group.
    pub(super) fn note_member(&self, connection: BevId, weight: u32) {
        self.notes().weights.push((connection, weight));
    }

    fn notes(&self) -> MutexGuard<'_, Notes> {
        self.shared.notes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gathers the lists of `cores` cores that have ended.
    pub(super) fn into_log(self, group: Option<Moment>, cores: usize) -> AuditLog {
        let received = self.shared.received.lock().unwrap_or_else(PoisonError::into_inner);
        let notes = self.notes();
        let mut log = AuditLog { group, ..AuditLog::default() };
        let mut numbers = BTreeMap::new();
        for _ in 0..cores {
            // A core that does not hand over its list has lost all of it.
            let list =
                received.recv_timeout(PATIENCE).unwrap_or(List { operations: Vec::new(), lost: 1 });
            log.lost += list.lost;
            log.records.extend(list.operations.iter().map(|operation| Record {
                before_ns: operation.before.as_nanos(),
                after_ns: operation.after.as_nanos(),
                bytes: operation.bytes,
                way: match operation.direction {
                    Direction::Read => Way::Read,
                    Direction::Write => Way::Write,
                },
                connection: number(&mut numbers, operation.bev),
            }));
        }
        for (connection, set) in &notes.limits {
            log.limits.insert(number(&mut numbers, *connection), *set);
        }
        for &(connection, weight) in &notes.weights {
            let member = Member { core: connection.core(), weight };
            log.members.insert(number(&mut numbers, connection), member);
        }
        log
    }
}

impl Observer for Recorder {
    fn metered(&mut self, operation: &MeteredOperation) {
        if self.list.operations.len() < MOST_OPERATIONS {
            self.list.operations.push(*operation);
        } else {
            self.list.lost += 1;
        }
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        // Without a receiver nobody wants the list.
        let _ = self.lists.send(std::mem::take(&mut self.list));
    }
}

/// The number a connection has in the log: 0 for the first that is seen.
fn number(numbers: &mut BTreeMap<BevId, u64>, connection: BevId) -> u64 {
    let next = numbers.len() as u64;
    *numbers.entry(connection).or_insert(next)
}

/// Operations kept per core: 300 MB at most.
const MOST_OPERATIONS: usize = 1 << 22;
/// How long an ended core may take to hand over its list.
const PATIENCE: Duration = Duration::from_secs(5);
