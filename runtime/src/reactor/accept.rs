//! Accepting: listeners of this core, and what comes of each accept.
//!
//! Owns the batch and the back-off when descriptors run out. Which core a connection goes to is
//! decided and carried out in `assign.rs`. A listener that rests, or is disabled, keeps its
//! readiness in mind: no edge comes for those who already wait.
//!
//! Keeps no spare descriptor to accept and drop with when they run out, which would turn away one
//! whom a short wait serves: it rests, counts that, and the peer stays in the backlog. Cores with
//! as many connections are not told apart by how busy they were: a tie stays local, which saves a
//! message, and a mean of busy time would lag behind every burst.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use rustix::io::Errno;

use super::{Core, Timer};
use crate::bev::BevMut;
use crate::driver::Listening;
use crate::error::Result;
use crate::handle::Stopped;
use crate::handler::Handler;
use crate::id::Key;
use crate::listen::{self, Common, ListenOptions, Part};
use crate::slot::{Listener, Occupant};
use crate::socket::{UnixAddress, UnixError};
use crate::watchdog::Label;

/// How long accepting rests when no descriptor or memory is left.
const ACCEPT_BACKOFF: Duration = Duration::from_millis(100);

/// Makes the handler of an accepted connection; shared by the cores.
pub(crate) type Factory = Arc<dyn Fn(&mut BevMut<'_>) -> Box<dyn Handler> + Send + Sync>;

pub(crate) fn new_factory<H: Handler>(
    factory: impl Fn(&mut BevMut<'_>) -> H + Send + Sync + 'static,
) -> Factory {
    Arc::new(move |conn| Box::new(factory(conn)))
}

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
    /// Accepts from a socket of its own, and returns its address; none in the Unix domain.
    pub(crate) fn add_listener(
        &mut self,
        part: Part,
        source: Listening,
    ) -> io::Result<Option<SocketAddr>> {
        if self.drain.has_begun() {
            return Err(io::Error::other(Stopped { core: self.index() }));
        }
        let key = self.slots.reserve();
        match self.driver.listen(key, source) {
            Ok(addr) => {
                let name = match addr {
                    Some(addr) => format!("factory of {addr}"),
                    None => String::from("factory of a Unix-domain listener"),
                };
                let label = self.shared.labels.intern_factory(&name);
                self.seat_listener(key, part, label);
                self.enqueue(key.slot);
                Ok(addr)
            }
            Err(error) => {
                self.slots.unreserve(key);
                Err(error)
            }
        }
    }

    /// As [`listen`](Self::listen), on a socket that somebody else has bound and that listens: see
    /// [`Runtime::listen_on`](crate::Runtime::listen_on).
    ///
    /// # Errors
    /// [`ListenError`](crate::ListenError): the socket does not listen or is none of TCP, the
    /// options ask for an accept mode or [`only_v6`](ListenOptions::only_v6), or a number among
    /// them is 0. [`Error::Bind`](crate::Error::Bind): the core cannot wait for it, as a simulated
    /// one never can.
    pub fn listen_on<H: Handler>(
        &mut self,
        socket: TcpListener,
        options: ListenOptions,
        factory: impl Fn(&mut BevMut<'_>) -> H + Send + Sync + 'static,
    ) -> Result<listen::Listener> {
        let part = Part::of_core(self.index(), &options, new_factory(factory))?;
        let common = part.common.clone();
        let addr = listen::take_over(&socket, &options)?;
        self.add_listener(part, Listening::Socket(socket))
            .map_err(|source| listen::bind_error(addr, source))?;
        Ok(listen::Listener::new(addr, common, self.handle()))
    }

    /// As [`listen`](Self::listen), on a Unix-domain socket: a path, or a name after `@`.
    ///
    /// The file of a path is removed when the listener is closed or the core ends.
    ///
    /// # Errors
    /// [`UnixError`]: the address is none, or something is there already. The
    /// options ask for an accept mode, or a number among them is 0.
    pub fn listen_unix<H: Handler>(
        &mut self,
        addr: impl Into<UnixAddress>,
        options: ListenOptions,
        factory: impl Fn(&mut BevMut<'_>) -> H + Send + Sync + 'static,
    ) -> Result<listen::Listener<UnixAddress>> {
        let addr = addr.into();
        let part = Part::of_core(self.index(), &options, new_factory(factory))?;
        let common = part.common.clone();
        let socket = listen::bind_unix(&addr, &options)?;
        self.add_listener(part, Listening::Unix(socket))
            .map_err(|source| UnixError::Listen { address: addr.clone(), source })?;
        Ok(listen::Listener::new(addr, common, self.handle()))
    }

    /// Gets connections of a listener from the core that accepts them.
    pub(crate) fn join_listener(&mut self, part: Part) {
        if !self.drain.has_begun() {
            let key = self.slots.reserve();
            let label = self.shared.labels.intern_factory("factory of connections handed over");
            self.seat_listener(key, part, label);
        }
    }

    fn seat_listener(&mut self, key: Key, part: Part, label: Label) {
        let listener = Listener::new(part, self.index(), self.shared.core_count(), label);
        self.slots.occupy(key, Occupant::Listener(Box::new(listener)));
        self.listeners.push(key);
    }

    /// This core's part in a listener, if it has one.
    pub(super) fn part_in(&mut self, common: &Arc<Common>) -> Option<Key> {
        let slots = &mut self.slots;
        self.listeners
            .iter()
            .copied()
            .find(|&key| slots.listener(key).is_some_and(|part| Arc::ptr_eq(&part.common, common)))
    }

    /// Stops listening; whom the kernel has connected meanwhile sees a reset.
    pub(crate) fn close_listener(&mut self, common: &Arc<Common>) {
        let Some(key) = self.part_in(common) else { return };
        self.listeners.retain(|&listener| listener != key);
        self.give_up_listener(key);
    }

    /// A listener ends: what it holds stays, and nothing waits for it.
    pub(super) fn give_up_listener(&mut self, key: Key) {
        self.keep_waiting(key);
        self.driver.close(key);
        if let Occupant::Listener(entry) = self.slots.vacate(key)
            && let Some(timer) = entry.backs_off
        {
            self.wheel.cancel(timer);
        }
    }

    /// A listener may accept again: it was enabled, or there is room on some core.
    pub(crate) fn resume_listener(&mut self, common: &Arc<Common>) {
        if let Some(key) = self.part_in(common) {
            self.resume_accepting(key);
        }
    }

    /// A core has gone, and with it the message that might have told of room.
    pub(super) fn resume_listeners(&mut self) {
        for at in 0..self.listeners.len() {
            self.resume_accepting(self.listeners[at]);
        }
    }

    /// Accepts one batch; what is left waits for the next turn.
    pub(super) fn accept(&mut self, listener: Key) {
        if let Some(entry) = self.slots.listener(listener) {
            let most = entry.accept_batch;
            self.accept_some(listener, most);
        }
    }

    /// Accepts so many, if they wait.
    pub(super) fn accept_some(&mut self, listener: Key, most: u32) {
        if self.slots.listener(listener).is_some_and(|entry| entry.backs_off.is_none()) {
            self.assign_waiting(listener);
        }
        for _ in 0..most {
            // Whoever ran last may have disabled or closed it.
            if !self.slots.listener(listener).is_some_and(|entry| entry.accepts()) {
                return;
            }
            if let Err(error) = self.accept_one(listener) {
                match classify(&error) {
                    AcceptError::Skip => self.stats.accept_errors += 1,
                    AcceptError::Empty => return self.rest_until_event(listener),
                    AcceptError::BackOff => return self.back_off(listener, &error),
                }
            }
        }
        self.look_again(listener);
    }

    /// Comes back to a listener in the next turn.
    pub(super) fn look_again(&mut self, listener: Key) {
        if !std::mem::replace(&mut self.slots.at_mut(listener.slot).queued.again, true) {
            self.again.push(listener.slot);
        }
    }

    fn rest_until_event(&mut self, listener: Key) {
        if let Some(entry) = self.slots.listener(listener) {
            entry.ready = false;
        }
    }

    /// Accepts nobody for a while, whoever says meanwhile that there is room, and tells; once,
    /// however many fail meanwhile.
    pub(super) fn back_off(&mut self, listener: Key, error: &io::Error) {
        let Some(entry) = self.slots.listener(listener) else { return };
        if entry.backs_off.is_some() {
            return;
        }
        entry.backs_off = Some(self.wheel.arm(self.now + ACCEPT_BACKOFF, Timer::Accept(listener)));
        self.stats.accept_backoffs += 1;
        match entry.common.on_error() {
            Some(handler) => {
                let label = entry.label;
                self.guard(label, |core| handler(core, error));
            }
            None => tracing::warn!(%error, rest = ?ACCEPT_BACKOFF, "accepting failed and rests"),
        }
    }

    /// The rest is over.
    pub(super) fn end_back_off(&mut self, listener: Key) {
        if let Some(entry) = self.slots.listener(listener) {
            entry.backs_off = None;
            self.enqueue(listener.slot);
        }
    }

    /// There may be room, or it was enabled: accepts again, if somebody may be waiting.
    pub(super) fn resume_accepting(&mut self, listener: Key) {
        if let Some(entry) = self.slots.listener(listener) {
            entry.resting = false;
            self.enqueue(listener.slot);
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
