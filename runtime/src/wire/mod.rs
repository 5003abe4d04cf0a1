//! Wires: what the two ends of a pair are joined by.
//!
//! Owns, for each end, who sits there, the bytes that have arrived for it and how many more it
//! takes. A writing end puts segments of its output on the wire, as many as the other has room
//! for; a reading end takes them off into its input. Both are operations under permits, made at the
//! same seam as those of sockets. Knows no queue and no handler: [`Wires::publish`] says whom to
//! wake, and the reactor does.
//!
//! Invariants: a byte is in one output, on the wire, or in one input, and passes them in order;
//! what has arrived and what is in the input stay within the high mark, or what has arrived within
//! [`WINDOW`] where there is none, but for what a flush or a close forces; an end that found no
//! room is woken when there is some, or nobody left to make it.
//! Source: libevent 2.1.12 bufferevent_pair.c. Differs: limits hold on both ends, the high mark
//! holds exactly, and a reader that is slow bounds what waits for it.

mod far;

use std::io;

use core_buf::{Buffer, Bufferevent, Landing, ReadOutcome, Readiness, WriteOutcome};
use groups::{Direction, Time};

use self::far::Far;
pub(crate) use self::far::{Letter, Parcel, WireName};
use crate::id::{BevId, Key};
use crate::pair::{PairOptions, Unlinked};

/// How many bytes may wait for an end without a high mark that has not read them yet.
pub(crate) const WINDOW: usize = 256 * 1024;

/// Where an end of a pair is plugged in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Plug {
    wire: u32,
    side: u8,
}

/// Who sits at an end of a wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Occupant {
    /// A stream of this core.
    Here(Key),
    /// A stream of another core: what has arrived for it is sent at the end of the turn, and its
    /// room is what it has given us credit for.
    There,
    /// Nobody any more.
    Gone,
    /// Nobody any more, and what was still to be written is lost.
    Cut,
}

/// One end of a wire.
#[derive(Debug)]
struct End {
    occupant: Occupant,
    /// Bytes for this end that it has not read.
    arrived: Buffer,
    /// How many more it takes.
    room: usize,
    /// Something has arrived and it has not been told.
    fresh: bool,
    /// Nothing follows what has arrived: its writer has ended.
    ended: bool,
    /// It had something to write and found no room.
    blocked: bool,
    /// It reads nothing because its own output waits, and for no other reason.
    backed_up: bool,
    /// It has been closed and reads nothing any more; what it wrote may still be under way.
    deaf: bool,
}

impl End {
    fn new(occupant: Occupant) -> Self {
        let arrived = Buffer::new();
        Self {
            occupant,
            arrived,
            room: 0,
            fresh: false,
            ended: false,
            blocked: false,
            backed_up: false,
            deaf: false,
        }
    }

    /// How much a writer may give this end: one that closes, and what a flush forces, find room.
    fn room_for(&self, writer: &Bufferevent) -> usize {
        if writer.is_closing() {
            usize::MAX
        } else {
            self.room.max(writer.forced(Direction::Write))
        }
    }

    /// How much this end takes from now on.
    ///
    /// A wait for tokens leaves it open, as a socket's buffer would be. So does back-pressure where
    /// the writer is held by it too: each would wait for the other to read.
    fn room_of(&mut self, bev: &mut Bufferevent, writer_backed_up: bool) -> usize {
        self.backed_up = bev.is_backed_up();
        bev.excuse_output(self.backed_up && writer_backed_up);
        bev.poll_room(WINDOW).saturating_sub(self.arrived.len())
    }

    fn is_occupied(&self) -> bool {
        !matches!(self.occupant, Occupant::Gone | Occupant::Cut)
    }
}

#[derive(Debug)]
struct Wire {
    ends: [End; 2],
    options: PairOptions,
    /// No wire of this core ever has the same.
    serial: u64,
    /// Where the second end is on another core.
    far: Option<Box<Far>>,
}

impl Wire {
    /// The end of one side, then the other.
    fn ends(&mut self, side: u8) -> (&mut End, &mut End) {
        let [a, b] = &mut self.ends;
        if side == 0 { (a, b) } else { (b, a) }
    }
}

/// Who sits at the other end.
pub(crate) enum Partner {
    Here(Key),
    /// A stream of another core, which is not known before it has answered.
    There(Option<BevId>),
}

/// A stream to wake, and what has become possible for it.
pub(crate) type Wake = (Key, Readiness);

/// The wires of one core.
#[derive(Debug, Default)]
pub(crate) struct Wires {
    entries: Vec<Option<Wire>>,
    free: Vec<u32>,
    next_serial: u64,
    /// Wires that have something to send.
    posts: Vec<u32>,
}

impl Wires {
    /// Joins two streams of this core.
    pub(crate) fn join(&mut self, a: Key, b: Key, options: PairOptions) -> [Plug; 2] {
        let ends = [a, b].map(|key| End::new(Occupant::Here(key)));
        let wire = self.insert(ends, options, None);
        [Plug { wire, side: 0 }, Plug { wire, side: 1 }]
    }

    /// Wires, and halves of them.
    pub(crate) fn len(&self) -> usize {
        self.entries.iter().flatten().count()
    }

    /// Whether nobody of this core sits at a wire.
    pub(crate) fn are_unused(&self) -> bool {
        let mut ends = self.entries.iter().flatten().flat_map(|wire| &wire.ends);
        !ends.any(|end| matches!(end.occupant, Occupant::Here(_)))
    }

    /// How many of `want` bytes an operation of an end could move; 0 if it is to find out why not.
    pub(crate) fn ready(
        &mut self,
        plug: Plug,
        bev: &Bufferevent,
        direction: Direction,
        want: usize,
    ) -> usize {
        let (me, other) = self.at(plug).ends(plug.side);
        match direction {
            Direction::Read => want.min(me.arrived.len()),
            Direction::Write if other.deaf => 0,
            Direction::Write => want.min(other.room_for(bev)),
        }
    }

    /// Moves up to `limit` bytes of an end's output onto the wire; returns how many.
    ///
    /// One that closes leaves everything behind, whatever the room: nothing else will move it.
    pub(crate) fn write(
        &mut self,
        now: Time,
        plug: Plug,
        bev: &mut Bufferevent,
        limit: usize,
    ) -> usize {
        let (me, other) = self.at(plug).ends(plug.side);
        if other.deaf {
            bev.refuse_write(now, io::Error::new(io::ErrorKind::NotConnected, Unlinked));
            return 0;
        }
        let room = other.room_for(bev);
        let mut moved = 0;
        if room > 0 {
            moved = bev.write_wire(now, &mut other.arrived, limit.min(room));
            other.room = other.room.saturating_sub(moved);
            other.fresh = true;
        }
        if room < limit {
            bev.handle_write(now, WriteOutcome::WouldBlock, limit);
            me.blocked = true;
        }
        moved
    }

    /// Moves up to `limit` bytes that have arrived into an end's input; returns how many.
    pub(crate) fn read(
        &mut self,
        now: Time,
        plug: Plug,
        bev: &mut Bufferevent,
        limit: usize,
        landing: &mut Landing,
    ) -> usize {
        let wire = self.at(plug);
        let ends_here = wire.options.eof_on_close;
        let (me, other) = wire.ends(plug.side);
        if !me.arrived.is_empty() {
            let moved = bev.read_wire(now, &mut me.arrived, limit);
            let is_last = || me.ended || (ends_here && !other.is_occupied());
            if me.arrived.is_empty() && is_last() {
                // The end of the stream is still to be read.
                bev.handle_ready(Readiness::READABLE);
            }
            return moved;
        }
        let outcome = match other.occupant {
            _ if me.ended => ReadOutcome::EndOfStream,
            Occupant::Gone if ends_here => ReadOutcome::EndOfStream,
            Occupant::Cut if ends_here => {
                ReadOutcome::Failed(io::ErrorKind::ConnectionReset.into())
            }
            _ => ReadOutcome::WouldBlock,
        };
        bev.handle_read(now, outcome, limit, landing);
        0
    }

    /// Whom to wake because something has arrived there, if it has not been told.
    pub(crate) fn take_fresh(&mut self, plug: Plug) -> Option<Wake> {
        let (_, other) = self.at(plug).ends(plug.side);
        match other.occupant {
            Occupant::Here(key) if std::mem::take(&mut other.fresh) => {
                Some((key, Readiness::READABLE))
            }
            _ => None,
        }
    }

    /// Something has touched the stream at an end: publishes its room and the end of its writing,
    /// and says whether the other end can go on now.
    pub(crate) fn publish(&mut self, plug: Plug, bev: &mut Bufferevent) -> Option<Wake> {
        let wire = self.at(plug);
        if bev.poll_shutdown() {
            let (_, other) = wire.ends(plug.side);
            (other.ended, other.fresh) = (true, true);
        }
        if wire.far.is_some() {
            self.publish_far(plug, bev);
            return None;
        }
        let (me, other) = wire.ends(plug.side);
        if bev.is_closing() {
            me.deaf = true;
            me.room = 0;
            bev.handle_ready(Readiness::WRITABLE);
        } else {
            me.room = me.room_of(bev, other.backed_up);
        }
        let mut readiness = Readiness::empty();
        if std::mem::take(&mut other.fresh) {
            readiness |= Readiness::READABLE;
        }
        if other.blocked && (me.room > 0 || me.deaf) {
            other.blocked = false;
            readiness |= Readiness::WRITABLE;
        }
        match other.occupant {
            Occupant::Here(key) if !readiness.is_empty() => Some((key, readiness)),
            _ => None,
        }
    }

    /// The stream at an end is gone; says whether the other has something to find out.
    pub(crate) fn unplug(&mut self, plug: Plug, truncated: bool) -> Option<Wake> {
        let wire = self.at(plug);
        let ends_there = wire.options.eof_on_close;
        let (me, other) = wire.ends(plug.side);
        me.occupant = if truncated { Occupant::Cut } else { Occupant::Gone };
        me.deaf = true;
        me.arrived.clear();
        match other.occupant {
            Occupant::There => {
                self.unplug_far(plug, truncated);
                None
            }
            Occupant::Here(key) => {
                let mut readiness = Readiness::empty();
                readiness.set(Readiness::READABLE, ends_there || std::mem::take(&mut other.fresh));
                readiness.set(Readiness::WRITABLE, std::mem::take(&mut other.blocked));
                Some((key, readiness))
            }
            Occupant::Gone | Occupant::Cut => {
                self.remove(plug.wire);
                None
            }
        }
    }

    /// Who sits at the other end and still reads.
    pub(crate) fn partner(&self, plug: Plug) -> Option<Partner> {
        let wire = self.entries[plug.wire as usize].as_ref()?;
        let other = &wire.ends[usize::from(1 - plug.side)];
        match other.occupant {
            _ if other.deaf => None,
            Occupant::Here(key) => Some(Partner::Here(key)),
            Occupant::There => Some(Partner::There(wire.far.as_ref().and_then(|far| far.id()))),
            Occupant::Gone | Occupant::Cut => None,
        }
    }

    /// How many bytes have arrived for each side: this one, then the other.
    pub(crate) fn arrived(&mut self, plug: Plug) -> (usize, usize) {
        let (me, other) = self.at(plug).ends(plug.side);
        (me.arrived.len(), other.arrived.len())
    }

    fn at(&mut self, plug: Plug) -> &mut Wire {
        self.entries[plug.wire as usize].as_mut().expect("a wire lives as long as one of its ends")
    }

    fn remove(&mut self, index: u32) {
        self.entries[index as usize] = None;
        self.free.push(index);
    }

    fn insert(&mut self, ends: [End; 2], options: PairOptions, far: Option<Box<Far>>) -> u32 {
        let serial = self.next_serial;
        self.next_serial += 1;
        let wire = Wire { ends, options, serial, far };
        match self.free.pop() {
            Some(index) => {
                self.entries[index as usize] = Some(wire);
                index
            }
            None => {
                self.entries.push(Some(wire));
                (self.entries.len() - 1) as u32
            }
        }
    }
}
