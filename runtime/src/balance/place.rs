//! The place of a connection on a core that it has not reached.
//!
//! Owns one count of the core's load, so that whoever chooses a core sees who is on the way there,
//! and a core that drains waits for them. Never counts for listeners.
//!
//! Invariant: given back when dropped, be it that the connection has arrived and counts by itself.

use std::sync::Arc;

use crate::handle::Shared;

/// A connection on its way to a core, counted there.
pub(crate) struct Place {
    shared: Arc<Shared>,
    core: usize,
}

impl Place {
    /// Takes a place on a core, unless it takes no more from others.
    pub(crate) fn take(shared: &Arc<Shared>, core: usize) -> Option<Self> {
        let is_taken = shared.load(core).try_add(u64::MAX);
        is_taken.then(|| Self { shared: shared.clone(), core })
    }

    /// The core.
    pub(crate) fn core(&self) -> usize {
        self.core
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.shared.load(self.core).sub();
    }
}
