//! What a group wakes when something happened that no timer tells.
//!
//! Owns one flag: while a message to the core is on its way no second one is sent, so credits in
//! any number cost one message. Both sides touch the flag by swaps only: a waker that finds it set
//! did its change before the core clears it and looks at the group, and so is seen.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Wake;

use crate::handle::{Message, Shared};

/// Wakes the core that has taken a seat.
pub(super) struct SeatWaker {
    shared: Arc<Shared>,
    core: usize,
    shard: u32,
    on_its_way: AtomicBool,
}

impl SeatWaker {
    pub(super) fn new(shared: Arc<Shared>, core: usize, shard: u32) -> Self {
        Self { shared, core, shard, on_its_way: AtomicBool::new(false) }
    }

    /// The message has arrived: the next wake sends another. Call it before looking at the group.
    pub(super) fn rearm(&self) {
        self.on_its_way.swap(false, Ordering::AcqRel);
    }
}

impl Wake for SeatWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.on_its_way.swap(true, Ordering::AcqRel) {
            // A stopped core has no members left to serve.
            let _stopped = self.shared.mailbox(self.core).send(Message::Group(self.shard));
        }
    }
}
