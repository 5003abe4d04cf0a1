//! Accepting: from a listener's readiness to a stream with a handler.
//!
//! Owns the batch, the limit of connections and the back-off when descriptors run out. A listener
//! that rests keeps its readiness in mind: no edge comes for those who already wait.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use core_buf::Bufferevent;

use super::{Core, Timer};
use crate::bev::BevMut;
use crate::driver::Listening;
use crate::handler::Handler;
use crate::id::Key;
use crate::listen::ListenOptions;
use crate::slot::{Listener, Occupant};

/// How long accepting rests when no descriptor or memory is left.
const ACCEPT_BACKOFF: Duration = Duration::from_millis(100);

/// Makes the handler of an accepted connection; shared by the cores.
pub(crate) type Factory = Arc<dyn Fn(&mut BevMut<'_>) -> Box<dyn Handler> + Send + Sync>;

/// What to do about a failed accept.
#[derive(Debug, PartialEq, Eq)]
enum AcceptError {
    /// Nobody waits.
    Empty,
    /// That connection is gone; the next may be fine.
    Skip,
    /// Descriptors or memory have run out.
    BackOff,
}

impl Core {
    pub(crate) fn add_listener(
        &mut self,
        source: Listening,
        options: ListenOptions,
        factory: Factory,
    ) -> io::Result<std::net::SocketAddr> {
        let key = self.slots.reserve();
        let addr = match self.driver.listen(key, source) {
            Ok(addr) => addr,
            Err(error) => {
                self.slots.unreserve(key);
                return Err(error);
            }
        };
        let listener = Listener { options, factory, ready: true, resting: false, live: 0 };
        self.slots.occupy(key, Occupant::Listener(Box::new(listener)));
        self.listeners.push(key);
        self.enqueue(key.slot);
        Ok(addr)
    }

    /// Accepts one batch; what is left waits for the next turn.
    pub(super) fn accept(&mut self, listener: Key) {
        let Some(entry) = self.slots.listener(listener) else { return };
        for _ in 0..entry.options.accept_batch {
            let Some(entry) = self.slots.listener(listener) else { return };
            if !entry.ready || entry.resting {
                return;
            }
            if entry.live >= entry.options.max_connections {
                entry.resting = true;
                return;
            }
            let key = self.slots.reserve();
            match self.driver.accept(listener, key) {
                Ok(peer) => self.welcome(listener, key, peer),
                Err(error) => {
                    self.slots.unreserve(key);
                    match classify(&error) {
                        AcceptError::Skip => {}
                        AcceptError::Empty => return self.rest_until_event(listener),
                        AcceptError::BackOff => return self.back_off(listener, &error),
                    }
                }
            }
        }
        if !std::mem::replace(&mut self.slots.at_mut(listener.slot).queued.again, true) {
            self.again.push(listener.slot);
        }
    }

    fn welcome(&mut self, listener: Key, key: Key, peer: std::net::SocketAddr) {
        let Some(entry) = self.slots.listener(listener) else { return };
        entry.live += 1;
        let factory = entry.factory.clone();
        self.stats.accepted += 1;
        self.occupy(key, Bufferevent::connected(self.now), None, peer, Some(listener.slot));
        let made = catch_unwind(AssertUnwindSafe(|| factory(&mut BevMut::new(self, key))));
        if made.is_err() {
            self.count_panic(self.id(key));
        }
        let draining = self.drain.has_begun();
        if let Some(stream) = self.slots.stream(key) {
            match made {
                Ok(handler) => stream.handler = stream.handler.take().or(Some(handler)),
                Err(_) => stream.bev.close_now(),
            }
            stream.tell_drain = draining;
        }
        self.update(key);
    }

    fn rest_until_event(&mut self, listener: Key) {
        if let Some(entry) = self.slots.listener(listener) {
            entry.ready = false;
        }
    }

    fn back_off(&mut self, listener: Key, error: &io::Error) {
        self.stats.accept_backoffs += 1;
        tracing::warn!(%error, rest = ?ACCEPT_BACKOFF, "accepting rests: out of descriptors or memory");
        if let Some(entry) = self.slots.listener(listener) {
            entry.resting = true;
        }
        self.wheel.arm(self.now + ACCEPT_BACKOFF, Timer::Accept(listener));
    }

    /// Accepts again after a rest, if somebody may be waiting.
    pub(super) fn resume_accepting(&mut self, listener: Key) {
        if let Some(entry) = self.slots.listener(listener) {
            entry.resting = false;
            self.enqueue(listener.slot);
        }
    }

    /// A connection of the listener in `slot` is gone.
    pub(super) fn count_departure(&mut self, slot: u32) {
        let key = self.slots.key(slot);
        let Some(entry) = self.slots.listener(key) else { return };
        entry.live = entry.live.saturating_sub(1);
        if entry.resting && entry.live + 1 == entry.options.max_connections {
            self.resume_accepting(key);
        }
    }
}

fn classify(error: &io::Error) -> AcceptError {
    // Numbers of Linux, which is all this runtime supports; std has no kinds for them.
    const ENFILE: i32 = 23;
    const EMFILE: i32 = 24;
    const ENOBUFS: i32 = 105;
    const ENOMEM: i32 = 12;
    if error.kind() == io::ErrorKind::WouldBlock {
        return AcceptError::Empty;
    }
    match error.raw_os_error() {
        Some(ENFILE | EMFILE | ENOBUFS | ENOMEM) => AcceptError::BackOff,
        _ => AcceptError::Skip,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_of_accept_are_told_apart() {
        let classified = |number| classify(&io::Error::from_raw_os_error(number));
        assert_eq!(classified(11), AcceptError::Empty);
        assert_eq!(classified(24), AcceptError::BackOff);
        assert_eq!(classified(103), AcceptError::Skip, "the peer gave up while waiting");
    }
}
