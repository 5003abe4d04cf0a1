//! What an observer saw: every metered operation, and the bytes of some of them.
//!
//! Owns the list, which all cores of a test append to. Judges nothing: how windows are checked is
//! up to each test.

use std::sync::{Arc, Mutex};

use sluicegate::{Direction, MeteredOperation, Observer};

/// Every metered operation of every core, in the order in which each core made its own.
#[derive(Clone, Default)]
pub(crate) struct Log(Arc<Mutex<Vec<MeteredOperation>>>);

impl Observer for Log {
    fn metered(&mut self, operation: &MeteredOperation) {
        self.0.lock().expect("no panic while held").push(*operation);
    }
}

impl Log {
    pub(crate) fn those(
        &self,
        wanted: impl Fn(&MeteredOperation) -> bool,
    ) -> Vec<MeteredOperation> {
        let all = self.0.lock().expect("no panic while held");
        all.iter().copied().filter(|operation| wanted(operation)).collect()
    }

    pub(crate) fn of(&self, direction: Direction) -> Vec<MeteredOperation> {
        self.those(|operation| operation.direction == direction)
    }

    pub(crate) fn bytes(&self, direction: Direction) -> u64 {
        bytes(&self.of(direction))
    }

    pub(crate) fn clear(&self) {
        self.0.lock().expect("no panic while held").clear();
    }
}

pub(crate) fn bytes(operations: &[MeteredOperation]) -> u64 {
    operations.iter().map(|operation| operation.bytes).sum()
}
