//! What a group wakes when something happened that no timer tells.
//!
//! Owns a notice, so that credits in any number cost one message to the core until it looks.

use std::sync::Arc;
use std::task::Wake;

use crate::handle::{Message, Shared};
use crate::mailbox::Notice;

/// Wakes the core that has taken a seat.
pub(super) struct SeatWaker {
    shared: Arc<Shared>,
    core: usize,
    shard: u32,
    notice: Notice,
}

impl SeatWaker {
    pub(super) fn new(shared: Arc<Shared>, core: usize, shard: u32) -> Self {
        Self { shared, core, shard, notice: Notice::new() }
    }

    /// The message has arrived: the next wake sends another. Call it before looking at the group.
    pub(super) fn rearm(&self) {
        self.notice.take_down();
    }
}

impl Wake for SeatWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if self.notice.post() {
            // A stopped core has no members left to serve.
            let _stopped = self.shared.mailbox(self.core).send(Message::Group(self.shard));
        }
    }
}
