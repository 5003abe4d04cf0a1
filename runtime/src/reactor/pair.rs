//! Pairs: making them, flushing them, and waking one end for the other.
//!
//! Owns nothing: the bytes are on the wires (`wire.rs`), what waits is in the queues. A wake sets a
//! readiness bit and queues the slot, so ends that answer each other never nest.

use core_buf::{Bufferevent, FlushMode, Readiness};
use groups::Direction;

use super::Core;
use crate::handler::Handler;
use crate::id::{BevId, Key};
use crate::pair::{FlushError, PairOptions, Unlinked};
use crate::slot::Transport;
use crate::wire::{Partner, Plug, Wake};

impl Core {
    /// Joins two new bufferevents in memory: what one writes, the other reads.
    ///
    /// There is no socket and no copy; segments move. Everything else is as with sockets: marks,
    /// timeouts, limits and groups on either end, callbacks that are never nested. Without a high
    /// mark 256 KiB may wait for an end that does not read; what is more stays in the output of the
    /// other.
    ///
    /// On a core that has been told to end at once both are closed from the start.
    ///
    /// # Examples
    /// ```
    /// use sluicegate::sim::Simulation;
    /// use sluicegate::{Context, Handler, PairOptions};
    ///
    /// struct Echo;
    /// impl Handler for Echo {
    ///     fn on_read(&mut self, cx: &mut Context<'_>) {
    ///         let (mut input, mut output) = cx.buffers();
    ///         output.append(&mut input);
    ///     }
    /// }
    ///
    /// /// Leaves what comes in its input.
    /// struct Keep;
    /// impl Handler for Keep {}
    ///
    /// let mut sim = Simulation::new(1);
    /// let (a, b) = sim.core().pair(PairOptions::new(), Keep, Echo);
    /// let mut end = sim.core().get(a).expect("it is open");
    /// assert_eq!(end.partner(), Some(b));
    /// end.output().add(b"there and back");
    /// drop(end);
    /// sim.turn();
    /// assert_eq!(sim.core().get(a).expect("it is open").input().first(), b"there and back");
    /// ```
    pub fn pair(
        &mut self,
        options: PairOptions,
        a: impl Handler,
        b: impl Handler,
    ) -> (BevId, BevId) {
        let keys = [self.slots.reserve(), self.slots.reserve()];
        let plugs = self.wires.join(keys[0], keys[1], options);
        let handlers: [Box<dyn Handler>; 2] = [Box::new(a), Box::new(b)];
        for ((key, plug), handler) in keys.into_iter().zip(plugs).zip(handlers) {
            let bev = Bufferevent::in_memory(self.now);
            self.occupy(key, bev, Some(handler), Transport::Pair(plug), None);
        }
        for key in keys {
            self.settle_in(key);
        }
        (self.id(keys[0]), self.id(keys[1]))
    }

    /// A new stream is looked at for the first time; one that comes too late is closed.
    pub(super) fn settle_in(&mut self, key: Key) {
        let refused = self.refuses_streams();
        if let Some(stream) = self.slots.stream(key)
            && refused
        {
            stream.bev.close_now();
        }
        self.update(key);
    }

    /// Something has become possible for a stream in memory.
    pub(super) fn wake(&mut self, (key, readiness): Wake) {
        let Some(stream) = self.slots.stream(key) else { return };
        stream.bev.handle_ready(readiness);
        if Direction::ALL.iter().any(|&way| stream.bev.poll_operation(way).is_some()) {
            self.enqueue(key.slot);
        }
    }

    /// The stream of a plug is gone.
    pub(super) fn unplug(&mut self, plug: Plug, truncated: bool) {
        if let Some(wake) = self.wires.unplug(plug, truncated) {
            self.wake(wake);
        }
    }

    /// The other end of a pair, while it reads.
    pub(crate) fn partner(&self, key: Key) -> Option<BevId> {
        match self.slots.look(key)?.transport {
            Transport::Pair(plug) => match self.wires.partner(plug)? {
                Partner::Here(key) => Some(self.id(key)),
                Partner::There(id) => id,
            },
            _ => None,
        }
    }

    /// Moves what waits in one direction of an end past marks and switches of both.
    pub(crate) fn flush_pair(
        &mut self,
        key: Key,
        plug: Plug,
        direction: Direction,
        mode: FlushMode,
    ) -> Result<(), FlushError> {
        let (here, there) = self.wires.arrived(plug);
        let other = match self.wires.partner(plug).ok_or(Unlinked)? {
            Partner::Here(other) => other,
            Partner::There(_) => {
                let finish = mode == FlushMode::Finished;
                match direction {
                    Direction::Write => self.push(key, false, finish),
                    Direction::Read => self.pull(key, finish),
                }
                return Ok(());
            }
        };
        let (writer, reader, waiting) = match direction {
            Direction::Write => (key, other, there),
            Direction::Read => (other, key, here),
        };
        let finish = mode == FlushMode::Finished;
        let Some((writer, reader)) = self.slots.two_streams(writer, reader) else {
            return Err(Unlinked.into());
        };
        let count = writer.bev.output().len();
        // Only the partner is told that the flush is over.
        writer.bev.force(Direction::Write, count, finish && direction == Direction::Read);
        reader.bev.force(Direction::Read, waiting + count, finish && direction == Direction::Write);
        writer.bev.handle_ready(Readiness::WRITABLE);
        self.update(other);
        Ok(())
    }
}
