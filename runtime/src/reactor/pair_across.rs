//! Pairs whose ends are on two cores: making them, and the letters between their halves.
//!
//! Owns nothing: the halves are in `wire/far.rs`, the letters travel with the other mail of a turn.
//! A half that cannot be made, or whose core is gone, leaves the other unlinked, never waiting.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use core_buf::{Bufferevent, Readiness};
use groups::Direction;

use super::Core;
use crate::bev::BevMut;
use crate::handle::{Message, Shared};
use crate::handler::Handler;
use crate::id::{BevId, Key};
use crate::pair::{PairOptions, PairPromise};
use crate::slot::Transport;
use crate::wire::{Letter, Parcel, WireName};

/// Makes the handler of one end, on its core.
pub(crate) type Make = Box<dyn FnOnce(&mut BevMut<'_>) -> Box<dyn Handler> + Send>;

/// Tells the first half of a wire, unless the second is made, that it never will be.
struct Joint {
    shared: Arc<Shared>,
    first: WireName,
    core: usize,
    is_made: bool,
}

impl Joint {
    fn make_good(mut self) {
        self.is_made = true;
    }
}

impl Drop for Joint {
    fn drop(&mut self) {
        if !self.is_made {
            let (to, from) = (self.first, self.first);
            let letter = Letter { to, from, parcel: Parcel::void() };
            // A core that is gone has no half any more.
            let _gone = self.shared.mailbox(self.core).send(Message::Wire(Box::new(letter)));
        }
    }
}

impl Core {
    /// Makes the end on this core of a pair, and sends for the other.
    pub(crate) fn pair_across(
        &mut self,
        make: Make,
        (other, make_other): (usize, Make),
        options: PairOptions,
        mut promise: PairPromise,
    ) {
        if self.refuses_streams() {
            return;
        }
        let key = self.slots.reserve();
        if other == self.index() {
            let second = self.slots.reserve();
            let plugs = self.wires.join(key, second, options);
            for ((key, plug), make) in [key, second].into_iter().zip(plugs).zip([make, make_other])
            {
                self.occupy(
                    key,
                    Bufferevent::in_memory(self.now),
                    None,
                    Transport::Pair(plug),
                    None,
                );
                self.furnish(key, make);
            }
            promise.keep((self.id(key), self.id(second)));
            return;
        }
        let (plug, first) = self.wires.reach_out(key, other as u16, options);
        self.occupy(key, Bufferevent::in_memory(self.now), None, Transport::Pair(plug), None);
        let id = self.id(key);
        let (shared, core) = (self.shared.clone(), self.index());
        let joint = Joint { shared, first, core, is_made: false };
        promise.depends_on(other);
        let answer = move |core: &mut Self| {
            if core.refuses_streams() {
                return;
            }
            let other = core.answer((first, id), make_other, options);
            joint.make_good();
            promise.keep((id, other));
        };
        // Without such a core the task is dropped here, which tells all who wait for it.
        let _sent = self.submit_to(other, answer);
        self.furnish(key, make);
    }

    /// Makes the end on this core of a pair that another core has begun.
    fn answer(&mut self, first: (WireName, BevId), make: Make, options: PairOptions) -> BevId {
        let key = self.slots.reserve();
        let id = self.id(key);
        let plug = self.wires.answer(id, first, options);
        self.occupy(key, Bufferevent::in_memory(self.now), None, Transport::Pair(plug), None);
        self.furnish(key, make);
        id
    }

    /// Gives a new stream the handler that `make` makes; one that panics closes it.
    pub(super) fn furnish(
        &mut self,
        key: Key,
        make: impl FnOnce(&mut BevMut<'_>) -> Box<dyn Handler>,
    ) {
        let made = catch_unwind(AssertUnwindSafe(|| make(&mut BevMut::new(self, key))));
        let (handler, payload) = match made {
            Ok(handler) => (Some(handler), None),
            Err(payload) => (None, Some(payload)),
        };
        if let Some(payload) = &payload {
            self.note_panic(key, payload);
        }
        let replaced = self.put_back(key, handler);
        self.discard(key, replaced);
        self.update(key);
        if let Some(payload) = payload {
            self.answer_panic(payload);
        }
    }

    /// Whether the core ends and takes no new streams.
    pub(super) fn refuses_streams(&self) -> bool {
        self.drain.has_begun() && !self.drain.is_gentle()
    }

    /// Puts what the halves on this core have to tell in the outbox.
    pub(super) fn post(&mut self) {
        let outbox = &mut self.outbox;
        self.wires.pack(|core, letter| outbox[core].push(Message::Wire(letter)));
    }

    /// A message has found its core gone.
    pub(super) fn take_back(&mut self, message: Message) {
        match message {
            Message::Wire(letter) => self.receive(letter.from, Parcel::cut_off()),
            Message::HandOver(connection) => self.take_back_connection(*connection),
            _ => {}
        }
    }

    /// A core is gone: so are the far ends of all pairs that reached there, and its mail.
    pub(super) fn lose_core(&mut self, core: usize) {
        for half in self.wires.halves_to(core) {
            self.receive(half, Parcel::cut_off());
        }
        self.resume_listeners();
    }

    /// The other half of a wire has something to tell.
    pub(super) fn receive(&mut self, to: WireName, parcel: Parcel) {
        let Some(arrival) = self.wires.deliver(to, parcel) else { return };
        let (key, readiness) = arrival.wake;
        let Some(stream) = self.slots.stream(key) else { return };
        let (parcel, before) = (arrival.parcel, arrival.before);
        stream.bev.handle_ready(readiness);
        if parcel.void {
            stream.bev.close_now();
        }
        if let Some(ahead) = parcel.forced {
            stream.bev.force(Direction::Read, before + ahead, false);
        }
        if let Some(ahead) = parcel.finish {
            stream.bev.force(Direction::Read, before + ahead, true);
        }
        if let Some(finish) = parcel.pull {
            self.push(key, finish, false);
        }
        self.update(key);
    }

    /// Flushes what an end has written to another core; tells itself or the far end when it moved.
    pub(super) fn push(&mut self, key: Key, tell_here: bool, tell_there: bool) {
        let Some(stream) = self.slots.stream(key) else { return };
        let Transport::Pair(plug) = stream.transport else { return };
        let count = stream.bev.output().len();
        stream.bev.force(Direction::Write, count, tell_here);
        stream.bev.handle_ready(Readiness::WRITABLE);
        let (_, unsent) = self.wires.arrived(plug);
        self.wires.tell(plug, |parcel| parcel.force(unsent + count, tell_there));
    }

    /// Flushes what the far end has written; tells it when that moved, if `finish`.
    pub(super) fn pull(&mut self, key: Key, finish: bool) {
        let Some(stream) = self.slots.stream(key) else { return };
        let Transport::Pair(plug) = stream.transport else { return };
        let (arrived, _) = self.wires.arrived(plug);
        stream.bev.force(Direction::Read, arrived, false);
        self.wires.tell(plug, |parcel| parcel.pull = parcel.pull.max(Some(finish)));
    }
}
