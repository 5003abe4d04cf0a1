//! Accepting: from a listener's readiness to a stream with a handler.
//!
//! Owns the batch, the limit of connections and the back-off when descriptors run out. A listener
//! that rests keeps its readiness in mind: no edge comes for those who already wait.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use core_buf::Bufferevent;
use rustix::io::Errno;

use super::{Core, Timer};
use crate::bev::BevMut;
use crate::driver::Listening;
use crate::handler::Handler;
use crate::id::Key;
use crate::listen::{ListenOptions, ListenerId};
use crate::slot::{Listener, Occupant, Transport};

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
    /// Descriptors or memory have run out, or something else that is not over at once.
    BackOff,
}

impl Core {
    pub(crate) fn add_listener(
        &mut self,
        id: ListenerId,
        source: Listening,
        options: ListenOptions,
        factory: Factory,
    ) -> io::Result<std::net::SocketAddr> {
        if self.drain.has_begun() {
            return Err(io::Error::other(crate::handle::Stopped { core: self.index() }));
        }
        let key = self.slots.reserve();
        let addr = match self.driver.listen(key, source) {
            Ok(addr) => addr,
            Err(error) => {
                self.slots.unreserve(key);
                return Err(error);
            }
        };
        let listener = Listener { id, options, factory, ready: true, resting: false, live: 0 };
        self.slots.occupy(key, Occupant::Listener(Box::new(listener)));
        self.listeners.push(key);
        self.enqueue(key.slot);
        Ok(addr)
    }

    /// Stops listening; whom the kernel has connected meanwhile sees a reset.
    pub(crate) fn close_listener(&mut self, id: ListenerId) {
        let mut listeners = std::mem::take(&mut self.listeners);
        listeners.retain(|&key| {
            let closes = self.slots.listener(key).is_some_and(|listener| listener.id == id);
            if closes {
                self.driver.close(key);
                self.slots.vacate(key);
            }
            !closes
        });
        self.listeners = listeners;
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
                        AcceptError::Skip => self.stats.accept_errors += 1,
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
        let transport = Transport::Socket { peer };
        self.occupy(key, Bufferevent::connected(self.now), None, transport, Some(listener));
        self.furnish(key, |conn| factory(conn));
    }

    fn rest_until_event(&mut self, listener: Key) {
        if let Some(entry) = self.slots.listener(listener) {
            entry.ready = false;
        }
    }

    fn back_off(&mut self, listener: Key, error: &io::Error) {
        self.stats.accept_backoffs += 1;
        tracing::warn!(%error, rest = ?ACCEPT_BACKOFF, "accepting failed and rests");
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

    /// A connection of a listener is gone.
    pub(super) fn count_departure(&mut self, key: Key) {
        let Some(entry) = self.slots.listener(key) else { return };
        entry.live = entry.live.saturating_sub(1);
        if entry.resting && entry.live + 1 == entry.options.max_connections {
            self.resume_accepting(key);
        }
    }
}

fn classify(error: &io::Error) -> AcceptError {
    if error.kind() == io::ErrorKind::WouldBlock {
        return AcceptError::Empty;
    }
    match Errno::from_io_error(error) {
        // Those that accept(2) tells to treat like an empty queue and try again.
        Some(
            Errno::CONNABORTED
            | Errno::INTR
            | Errno::PROTO
            | Errno::PERM
            | Errno::NETDOWN
            | Errno::NOPROTOOPT
            | Errno::HOSTDOWN
            | Errno::NONET
            | Errno::HOSTUNREACH
            | Errno::OPNOTSUPP
            | Errno::NETUNREACH
            | Errno::TIMEDOUT,
        ) => AcceptError::Skip,
        _ => AcceptError::BackOff,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_of_accept_are_told_apart() {
        let classified = |errno: Errno| classify(&errno.into());
        assert_eq!(classified(Errno::AGAIN), AcceptError::Empty);
        assert_eq!(classified(Errno::MFILE), AcceptError::BackOff);
        assert_eq!(classified(Errno::CONNABORTED), AcceptError::Skip);
        assert_eq!(classified(Errno::INVAL), AcceptError::BackOff, "a lasting error must not spin");
    }
}
