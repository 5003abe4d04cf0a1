//! The slab of one core: every connection, attempt at one, and listener it owns.
//!
//! Owns the slots and their generations. A name ([`Key`]) finds its slot only while the generation
//! matches; giving a slot up counts the generation at once, so no old name and no late event finds
//! its successor. Slots stand in pages that never move and are never copied to grow.
//!
//! Invariants: a slot given up is reused only after [`Slots::reap`], hence never within the batch
//! of events that may still name it; one whose generation would wrap is never reused.

mod pages;

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::sync::Arc;

use core_buf::{Bufferevent, Membership};
use groups::Time;

pub(crate) use self::pages::Pages;
use crate::balance::{AcceptMode, Chooser};
use crate::dial::Dial;
use crate::handler::Handler;
use crate::id::Key;
use crate::listen::{Common, Part};
use crate::priority::Priority;
use crate::reactor::{Accepted, Factory, Over};
use crate::timer::TimerKey;
use crate::watchdog::Label;
use crate::wire::Plug;

/// What a bufferevent moves its bytes through.
#[derive(Debug)]
pub(crate) enum Transport {
    /// A socket of the driver, under the slot's key.
    Socket {
        /// The address at the other end; none in the Unix domain.
        peer: Option<SocketAddr>,
    },
    /// A socket that it has not got yet.
    Vacant,
    /// A socket that it gets when it has reached a host.
    Dialing(Box<Dial>),
    /// A wire to another stream.
    Pair(Plug),
    /// A stage, and another stream below it.
    Stage(Box<Over>),
    /// None any more: the stream has left, and its slot is given up with the turn.
    Gone,
}

impl Transport {
    /// Whether it is a socket, whose operations are system calls, or is to be one.
    pub(crate) fn is_socket(&self) -> bool {
        matches!(self, Self::Socket { .. } | Self::Vacant | Self::Dialing(_))
    }

    /// Streams over stages from here down.
    pub(crate) fn height(&self) -> usize {
        match self {
            Self::Stage(over) => over.height,
            _ => 0,
        }
    }

    /// Whether the next step of it may take as long as a handshake.
    #[inline]
    pub(crate) fn shakes_hands(&self) -> bool {
        matches!(self, Self::Stage(over) if over.between.shakes_hands())
    }

    /// The TLS session it stands on, where there is one.
    #[cfg(feature = "tls")]
    pub(crate) fn session(&self) -> Option<&tls::Session> {
        match self {
            Self::Stage(over) => over.between.session(),
            _ => None,
        }
    }

    /// As [`session`](Self::session), to be changed.
    #[cfg(feature = "tls")]
    pub(crate) fn session_mut(&mut self) -> Option<&mut tls::Session> {
        match self {
            Self::Stage(over) => over.between.session_mut(),
            _ => None,
        }
    }

    /// The stream below, where there is one.
    pub(crate) fn lower(&self) -> Option<Key> {
        match self {
            Self::Stage(over) => Some(over.lower),
            _ => None,
        }
    }
}

/// One bufferevent.
pub(crate) struct Stream {
    pub(crate) bev: Bufferevent,
    /// `None` while it is being called.
    pub(crate) handler: Option<Box<dyn Handler>>,
    /// What the handler is called; unknown until it is asked.
    pub(crate) label: Label,
    pub(crate) transport: Transport,
    /// The stream that stands over this one and is told what it would tell.
    pub(crate) above: Option<Key>,
    /// The listener it came from, which counts it.
    pub(crate) listener: Option<Key>,
    /// The one timer of the stream, and when it fires: at its deadline or before.
    pub(crate) timer: Option<(TimerKey, Time)>,
    /// The turn of the last read: one read a turn keeps the round robin fair.
    pub(crate) read_turn: u32,
    /// The turn of the last write, in memory of the last operation, and how many writes there were
    /// in it. One in memory that had none comes first in the next turn.
    pub(crate) write_turn: u32,
    pub(crate) writes: u32,
    /// The core is draining and the handler, here or above, has not been told yet.
    pub(crate) tell_drain: bool,
    /// A session that stood over it has said goodbye: what is left of the output ends with that.
    pub(crate) says_goodbye: bool,
}

/// What ties a stream to its core, besides its slot and its transport.
pub(crate) struct Ties {
    pub(crate) listener: Option<Key>,
    pub(crate) timer: Option<(TimerKey, Time)>,
    pub(crate) membership: Option<Membership>,
}

impl Stream {
    /// Takes the ties off, for the core to undo.
    pub(crate) fn untie(&mut self) -> Ties {
        let membership = self.bev.membership();
        self.bev.set_membership(None);
        Ties { listener: self.listener.take(), timer: self.timer.take(), membership }
    }

    /// Gives it a handler that has not been called here; returns the one it had.
    pub(crate) fn set_handler(
        &mut self,
        handler: Option<Box<dyn Handler>>,
    ) -> Option<Box<dyn Handler>> {
        self.label = Label::UNKNOWN;
        std::mem::replace(&mut self.handler, handler)
    }

    /// Whether its handler stands here, and not above or below.
    pub(crate) fn keeps_handler(&self) -> bool {
        let released = matches!(&self.transport, Transport::Stage(over) if over.released);
        self.above.is_none() && !released
    }

    /// Whether its handler is to be told that the core is draining.
    pub(crate) fn tells_drain(&self) -> bool {
        self.tell_drain && self.above.is_none() && !self.bev.is_closing()
    }
}

/// This core's part in a listener; without a socket where other cores accept.
pub(crate) struct Listener {
    pub(crate) common: Arc<Common>,
    pub(crate) mode: AcceptMode,
    pub(crate) accept_batch: u32,
    pub(crate) backlog: u32,
    pub(crate) factory: Factory,
    /// Where connections that are accepted here go.
    pub(crate) chooser: Chooser,
    /// Somebody may be waiting to be accepted.
    pub(crate) ready: bool,
    /// Accepting rests for want of room, until a close or a message lifts it.
    pub(crate) resting: bool,
    /// Accepting rests for want of descriptors or memory, until this timer lifts it and nothing
    /// else.
    pub(crate) backs_off: Option<TimerKey>,
    /// One that has been accepted and that no core had room for.
    pub(crate) waiting: Option<Accepted>,
    /// What its factory is called.
    pub(crate) label: Label,
}

impl Listener {
    pub(crate) fn new(part: Part, own: usize, cores: usize, label: Label) -> Self {
        let Part { common, mode, accept_batch, backlog, factory } = part;
        let chooser = Chooser::new(own, cores);
        // Without a socket there is never anybody to accept.
        let (ready, resting, waiting) = (mode.accepts(own), false, None);
        Self {
            common,
            mode,
            accept_batch,
            backlog,
            factory,
            chooser,
            ready,
            resting,
            backs_off: None,
            waiting,
            label,
        }
    }

    /// Whether another connection may be accepted now.
    pub(crate) fn accepts(&self) -> bool {
        let rests = self.resting || self.backs_off.is_some();
        self.ready && !rests && self.waiting.is_none() && self.common.is_enabled()
    }
}

/// An attempt to connect to one address of a host; the driver knows its socket by its slot.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Attempt {
    /// The stream that wants to be connected.
    pub(crate) owner: Key,
    pub(crate) addr: SocketAddr,
}

/// Which of the core's queues a slot stands in.
#[derive(Clone, Copy, Default)]
pub(crate) struct Queued {
    pub(crate) ready: bool,
    pub(crate) again: bool,
    pub(crate) flush: bool,
    pub(crate) callbacks: bool,
    pub(crate) closing: bool,
}

pub(crate) enum Occupant {
    None,
    Stream(Box<Stream>),
    Listener(Box<Listener>),
    Attempt(Box<Attempt>),
}

pub(crate) struct Slot {
    generation: NonZeroU32,
    pub(crate) queued: Queued,
    /// Which queues these are.
    pub(crate) priority: Priority,
    pub(crate) occupant: Occupant,
}

impl Slot {
    /// The name of whoever stands in this slot, which is number `slot`.
    pub(crate) fn key(&self, slot: u32) -> Key {
        Key { slot, generation: self.generation }
    }
}

/// All slots of one core.
#[derive(Default)]
pub(crate) struct Slots {
    pages: Pages<Slot>,
    free: Vec<u32>,
    given_up: Vec<u32>,
    live: usize,
}

impl Slots {
    /// Takes a free slot, which stays vacant until an occupant is put there.
    pub(crate) fn reserve(&mut self) -> Key {
        if self.free.is_empty() {
            self.grow();
        }
        let slot = self.free.pop().expect("a page was just added");
        Key { slot, generation: self.at(slot).generation }
    }

    /// Gives a reserved slot back under the same generation: nothing was named by it.
    pub(crate) fn unreserve(&mut self, key: Key) {
        self.free.push(key.slot);
    }

    pub(crate) fn occupy(&mut self, key: Key, occupant: Occupant) {
        self.live += 1;
        self.at_mut(key.slot).occupant = occupant;
    }

    /// Gives a slot up, unless it is vacant: its names find nothing from here on.
    pub(crate) fn vacate(&mut self, key: Key) -> Occupant {
        let slot = self.at_mut(key.slot);
        if slot.generation != key.generation || matches!(slot.occupant, Occupant::None) {
            return Occupant::None;
        }
        slot.queued = Queued::default();
        slot.priority = Priority::default();
        let occupant = std::mem::replace(&mut slot.occupant, Occupant::None);
        let next = slot.generation.checked_add(1);
        if let Some(generation) = next {
            slot.generation = generation;
            self.given_up.push(key.slot);
        }
        self.live -= 1;
        occupant
    }

    /// Makes the slots that were given up free again; call it when no event of the batch is left.
    pub(crate) fn reap(&mut self) {
        self.free.append(&mut self.given_up);
    }

    /// The occupied slot of a name, unless the name is stale.
    pub(crate) fn find(&mut self, key: Key) -> Option<&mut Slot> {
        let slot = self.pages.get_mut(key.slot)?;
        let live = slot.generation == key.generation && !matches!(slot.occupant, Occupant::None);
        live.then_some(slot)
    }

    pub(crate) fn stream(&mut self, key: Key) -> Option<&mut Stream> {
        match &mut self.find(key)?.occupant {
            Occupant::Stream(stream) => Some(stream),
            _ => None,
        }
    }

    /// The stream of a name, to look at only.
    pub(crate) fn look(&self, key: Key) -> Option<&Stream> {
        let slot = self.pages.get(key.slot)?;
        match &slot.occupant {
            Occupant::Stream(stream) if slot.generation == key.generation => Some(stream),
            _ => None,
        }
    }

    /// A stream, and the one below it where there is one that lives.
    pub(crate) fn with_lower(&mut self, key: Key) -> Option<(&mut Stream, Option<&mut Stream>)> {
        let lower = self.look(key)?.transport.lower();
        match lower.filter(|&lower| self.look(lower).is_some()) {
            None => self.stream(key).map(|stream| (stream, None)),
            Some(lower) => self.two_streams(key, lower).map(|(upper, lower)| (upper, Some(lower))),
        }
    }

    /// Two different streams at once.
    pub(crate) fn two_streams(
        &mut self,
        first: Key,
        second: Key,
    ) -> Option<(&mut Stream, &mut Stream)> {
        let (slot_a, slot_b) = self.pages.two_mut(first.slot, second.slot)?;
        if slot_a.generation != first.generation || slot_b.generation != second.generation {
            return None;
        }
        match (&mut slot_a.occupant, &mut slot_b.occupant) {
            (Occupant::Stream(a), Occupant::Stream(b)) => Some((a, b)),
            _ => None,
        }
    }

    pub(crate) fn listener(&mut self, key: Key) -> Option<&mut Listener> {
        match &mut self.find(key)?.occupant {
            Occupant::Listener(listener) => Some(listener),
            _ => None,
        }
    }

    /// The name of whoever stands in a slot now.
    pub(crate) fn key(&self, slot: u32) -> Key {
        self.at(slot).key(slot)
    }

    pub(crate) fn at(&self, slot: u32) -> &Slot {
        self.pages.get(slot).expect(MADE)
    }

    pub(crate) fn at_mut(&mut self, slot: u32) -> &mut Slot {
        self.pages.get_mut(slot).expect(MADE)
    }

    /// The names of all occupied slots.
    pub(crate) fn keys(&self) -> Vec<Key> {
        let slots = self.pages.iter().enumerate();
        let live = slots.filter(|(_, slot)| !matches!(slot.occupant, Occupant::None));
        live.map(|(i, slot)| Key { slot: i as u32, generation: slot.generation }).collect()
    }

    /// Occupied slots: streams, listeners, attempts.
    pub(crate) fn len(&self) -> usize {
        self.live
    }

    fn grow(&mut self) {
        let vacant = || Slot {
            generation: NonZeroU32::MIN,
            queued: Queued::default(),
            priority: Priority::default(),
            occupant: Occupant::None,
        };
        // Low numbers first, so that a core's live slots stay together.
        self.free.extend(self.pages.grow(vacant).rev());
    }
}

/// A number of a slot comes from a slot.
const MADE: &str = "a slot that was numbered is there";

#[cfg(test)]
mod tests {
    use super::pages::PAGE;
    use super::*;

    #[test]
    fn a_connection_takes_this_much() {
        // Beside its handler, its place in the driver's table and what is in its buffers.
        assert_eq!((size_of::<Slot>(), size_of::<Stream>()), (32, 408));
    }

    fn stream() -> Occupant {
        Occupant::Stream(Box::new(Stream {
            bev: Bufferevent::connected(Time::ZERO),
            handler: None,
            label: Label::UNKNOWN,
            transport: Transport::Socket { peer: None },
            above: None,
            listener: None,
            timer: None,
            read_turn: 0,
            write_turn: 0,
            writes: 0,
            tell_drain: false,
            says_goodbye: false,
        }))
    }

    fn occupied(slots: &mut Slots) -> Key {
        let key = slots.reserve();
        slots.occupy(key, stream());
        key
    }

    #[test]
    fn a_name_finds_nothing_once_its_slot_is_given_up() {
        let mut slots = Slots::default();
        let old = occupied(&mut slots);
        assert!(slots.stream(old).is_some());
        slots.vacate(old);
        assert!(slots.stream(old).is_none());
        slots.reap();
        let new = occupied(&mut slots);
        assert_eq!(new.slot, old.slot, "the slot is used again");
        assert!(slots.stream(old).is_none() && slots.stream(new).is_some());
        assert_eq!(slots.len(), 1);
    }

    #[test]
    fn a_slot_is_not_used_again_within_its_batch() {
        let mut slots = Slots::default();
        let old = occupied(&mut slots);
        slots.vacate(old);
        assert_ne!(slots.reserve().slot, old.slot);
    }

    #[test]
    fn a_slot_whose_generation_would_wrap_is_retired() {
        let mut slots = Slots::default();
        let key = slots.reserve();
        slots.at_mut(key.slot).generation = NonZeroU32::MAX;
        let last = Key { generation: NonZeroU32::MAX, ..key };
        slots.occupy(last, stream());
        slots.vacate(last);
        slots.reap();
        for _ in 0..2 * PAGE {
            assert_ne!(slots.reserve().slot, key.slot);
        }
    }

    #[test]
    fn two_streams_are_lent_from_one_page_and_from_two() {
        let mut slots = Slots::default();
        let keys: Vec<Key> = (0..PAGE + 1).map(|_| occupied(&mut slots)).collect();
        assert!(slots.two_streams(keys[0], keys[1]).is_some());
        assert!(slots.two_streams(keys[0], keys[PAGE]).is_some());
        assert!(slots.two_streams(keys[0], keys[0]).is_none());
        slots.vacate(keys[1]);
        assert!(slots.two_streams(keys[0], keys[1]).is_none());
    }
}
