//! Wires whose second end is on another core: each core has a half, and the halves write letters.
//!
//! Owns what a half knows of the other and what it has still to tell. Bytes that an end writes wait
//! on its half, at most as many as the other has given credit for, and leave with the turn; credit
//! goes back as bytes enter the input. One letter a turn carries all of it, so a busy pair costs
//! one message each way.
//!
//! Invariants: bytes under way and bytes that have arrived stay within the high mark of the end
//! they are for, or [`WINDOW`](super::WINDOW); a letter finds its wire by a serial number that is
//! never used again, or nothing; of two halves the one that is left alone learns it, by a letter or
//! because none can be sent.

use core_buf::{Buffer, Bufferevent, Readiness};

use super::{End, Occupant, Plug, Wake, Wires};
use crate::id::{BevId, Key};
use crate::pair::PairOptions;

/// One half of a wire, as the core of the other names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct WireName {
    index: u32,
    serial: u64,
}

/// What one half of a wire tells the other.
#[derive(Debug, Default)]
pub(crate) struct Parcel {
    /// What was written since the last.
    bytes: Buffer,
    /// How many more bytes the sender takes.
    credit: usize,
    /// How many bytes from this parcel on a flush is under.
    pub(crate) forced: Option<usize>,
    /// After how many of them the end of the flush is to be told.
    pub(crate) finish: Option<usize>,
    /// The receiver is to flush what it has written, and to tell when that has moved.
    pub(crate) pull: Option<bool>,
    /// The sender reads nothing because its own output waits.
    backed_up: bool,
    /// The sender reads nothing any more.
    deaf: bool,
    /// The sender writes nothing any more.
    ended: bool,
    /// The sender's stream is gone; whether with something unwritten.
    unplugged: Option<bool>,
    /// The half that answers, and its stream.
    joined: Option<(WireName, BevId)>,
    /// The second half was never made.
    pub(crate) void: bool,
}

impl Parcel {
    /// Says that the second half of a wire was never made.
    pub(crate) fn void() -> Self {
        Self { void: true, ..Self::cut_off() }
    }

    /// Puts the next `ahead` bytes under a flush; `finish` asks for its end to be told.
    pub(crate) fn force(&mut self, ahead: usize, finish: bool) {
        self.forced = self.forced.max(Some(ahead));
        if finish {
            self.finish.get_or_insert(ahead);
        }
    }

    /// Says what a core that is gone cannot say itself.
    pub(crate) fn cut_off() -> Self {
        Self { unplugged: Some(true), ..Self::default() }
    }
}

/// A parcel with its address.
#[derive(Debug)]
pub(crate) struct Letter {
    pub(crate) to: WireName,
    pub(crate) from: WireName,
    pub(crate) parcel: Parcel,
}

/// The other half.
#[derive(Debug)]
pub(super) struct Far {
    core: u16,
    /// Its name and its stream, once it has answered.
    joined: Option<(WireName, BevId)>,
    /// What it is to be told.
    parcel: Parcel,
    /// Stands in the list of those who have something to send.
    posted: bool,
}

impl Far {
    pub(super) fn id(&self) -> Option<BevId> {
        self.joined.map(|(_, id)| id)
    }
}

/// What a letter has brought to a stream.
#[derive(Debug)]
pub(crate) struct Arrival {
    pub(crate) wake: Wake,
    /// Bytes that had arrived before.
    pub(crate) before: usize,
    pub(crate) parcel: Parcel,
}

impl Wires {
    /// Makes the first half of a wire to a core, which is still to answer.
    pub(crate) fn reach_out(
        &mut self,
        key: Key,
        core: u16,
        options: PairOptions,
    ) -> (Plug, WireName) {
        self.insert_half(key, core, options, None)
    }

    /// Makes the second half of a wire, for the stream `id`, and tells the first.
    pub(crate) fn answer(
        &mut self,
        id: BevId,
        first: (WireName, BevId),
        options: PairOptions,
    ) -> Plug {
        let (plug, name) = self.insert_half(id.key, first.1.core, options, Some(first));
        self.with_far(plug, |far| far.parcel.joined = Some((name, id)));
        plug
    }

    fn insert_half(
        &mut self,
        key: Key,
        core: u16,
        options: PairOptions,
        joined: Option<(WireName, BevId)>,
    ) -> (Plug, WireName) {
        let ends = [End::new(Occupant::Here(key)), End::new(Occupant::There)];
        let far = Far { core, joined, parcel: Parcel::default(), posted: false };
        let serial = self.next_serial;
        let index = self.insert(ends, options, Some(Box::new(far)));
        (Plug { wire: index, side: 0 }, WireName { index, serial })
    }

    /// Notes something for the other half, and that there is something to send.
    pub(crate) fn tell(&mut self, plug: Plug, note: impl FnOnce(&mut Parcel)) {
        self.with_far(plug, |far| note(&mut far.parcel));
    }

    fn with_far(&mut self, plug: Plug, note: impl FnOnce(&mut Far)) {
        let wire = self.entries[plug.wire as usize].as_mut();
        let Some(far) = wire.and_then(|wire| wire.far.as_mut()) else { return };
        note(far);
        if !std::mem::replace(&mut far.posted, true) {
            self.posts.push(plug.wire);
        }
    }

    /// As [`publish`](Self::publish): room becomes credit, bytes wait for the end of the turn.
    pub(super) fn publish_far(&mut self, plug: Plug, bev: &mut Bufferevent) {
        let wire = self.at(plug);
        let (me, other) = wire.ends(plug.side);
        let was_backed_up = me.backed_up;
        let mut news = std::mem::take(&mut other.fresh);
        let mut credit = 0;
        if bev.is_closing() {
            news |= !std::mem::replace(&mut me.deaf, true);
            bev.handle_ready(Readiness::WRITABLE);
        } else {
            let room = me.room_of(bev, other.backed_up);
            // Little by little is not worth a letter of its own, unless the writer has none left.
            credit = room.saturating_sub(me.room);
            news |= credit > 0 && (me.room == 0 || credit >= room / 2);
            news |= me.backed_up != was_backed_up;
        }
        let posted = wire.far.as_ref().is_some_and(|far| far.posted);
        if news || posted {
            wire.ends[usize::from(plug.side)].room += credit;
            self.with_far(plug, |far| far.parcel.credit += credit);
        }
    }

    pub(super) fn unplug_far(&mut self, plug: Plug, truncated: bool) {
        self.tell(plug, |parcel| parcel.unplugged = Some(truncated));
    }

    /// Whether some half has something to send.
    pub(crate) fn have_posts(&self) -> bool {
        !self.posts.is_empty()
    }

    /// Packs what is to be sent in this turn: each letter and the core it is for.
    pub(crate) fn pack(&mut self, mut send: impl FnMut(usize, Box<Letter>)) {
        let mut posts = std::mem::take(&mut self.posts);
        for index in posts.drain(..) {
            let Some(wire) = &mut self.entries[index as usize] else { continue };
            let Some(far) = &mut wire.far else { continue };
            far.posted = false;
            let [me, other] = &mut wire.ends;
            // Before it has answered there is nobody to tell; the answer posts it again.
            let Some((to, _)) = far.joined else { continue };
            if !other.is_occupied() {
                continue;
            }
            let mut parcel = std::mem::take(&mut far.parcel);
            parcel.bytes.append(&mut other.arrived);
            (parcel.backed_up, parcel.deaf, parcel.ended) = (me.backed_up, me.deaf, other.ended);
            let from = WireName { index, serial: wire.serial };
            send(usize::from(far.core), Box::new(Letter { to, from, parcel }));
            if !me.is_occupied() {
                self.remove(index);
            }
        }
        debug_assert!(self.posts.is_empty(), "packing posts nothing");
        self.posts = posts;
    }

    /// Takes a letter in; says whom it concerns, unless it finds nobody.
    pub(crate) fn deliver(&mut self, to: WireName, mut parcel: Parcel) -> Option<Arrival> {
        let wire = self.entries.get_mut(to.index as usize)?.as_mut()?;
        if wire.serial != to.serial {
            return None;
        }
        let plug = Plug { wire: to.index, side: 0 };
        let [me, other] = &mut wire.ends;
        let before = me.arrived.len();
        me.room = me.room.saturating_sub(parcel.bytes.len());
        me.arrived.append(&mut parcel.bytes);
        me.ended |= parcel.ended;
        other.room += parcel.credit;
        other.backed_up = parcel.backed_up;
        other.deaf |= parcel.deaf || parcel.unplugged.is_some();
        if let Some(truncated) = parcel.unplugged {
            other.occupant = if truncated { Occupant::Cut } else { Occupant::Gone };
            other.arrived.clear();
        }
        let Occupant::Here(key) = me.occupant else {
            me.arrived.clear();
            if parcel.unplugged.is_some() {
                self.remove(to.index);
            } else {
                // It went before it was joined, and has still to say so.
                self.with_far(plug, |far| far.joined = parcel.joined.or(far.joined));
            }
            return None;
        };
        let mut readiness = Readiness::empty();
        let is_last = me.ended || !other.is_occupied();
        readiness.set(Readiness::READABLE, !me.arrived.is_empty() || is_last);
        if me.blocked && (other.room > 0 || other.deaf) {
            me.blocked = false;
            readiness |= Readiness::WRITABLE;
        }
        if parcel.joined.is_some() {
            self.with_far(plug, |far| far.joined = parcel.joined);
        }
        Some(Arrival { wake: (key, readiness), before, parcel })
    }

    /// The halves whose other half is on a core, which is gone.
    pub(crate) fn halves_to(&self, core: usize) -> Vec<WireName> {
        let named = |(index, wire): (usize, &Option<super::Wire>)| {
            let wire = wire.as_ref()?;
            let far = wire.far.as_ref()?;
            let there = usize::from(far.core) == core && wire.ends[1].is_occupied();
            there.then_some(WireName { index: index as u32, serial: wire.serial })
        };
        self.entries.iter().enumerate().filter_map(named).collect()
    }
}
