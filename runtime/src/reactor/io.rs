//! The I/O stage: one read and one write per stream and visit, each under its permit.
//!
//! Every byte of every stream passes through `Seam::operate` or [`Core::resume_groups`], and where
//! the stream has a limit or a group both end in `Seam::transfer`: make the system call, tell the
//! state machine, settle. There is no other way to a socket, so nothing goes unmetered.

use std::io::{self, IoSlice};

use core_buf::{
    Allowance, Buffer, Bufferevent, Landing, Membership, Permit, ReadOutcome, WriteOutcome,
};
use groups::{Direction, Time};

use super::{Core, Shards};
use crate::driver::Driver;
use crate::group::Group;
use crate::id::{BevId, Key};
use crate::observer::{MeteredOperation, Observer};
use crate::panic::PanicPolicy;
use crate::slot::{Occupant, Slots, Stream, Transport};
use crate::stats::CoreStats;
use crate::watchdog::{Label, Pulse};
use crate::wire::{Wake, Wires};

/// Pieces of the output offered to one write; what does not fit waits for the next.
const WRITE_SLICES: usize = 32;

/// Streams that read before their callbacks run and their output is written.
///
/// Few enough that what they read is still in the cache when it is written: with all ready streams
/// in one batch an echo of 16 KiB costs 8 % more.
const IO_BATCH: usize = 16;

/// Grants a group hands out in one visit; the rest follows in the next turn.
const GRANTS_PER_VISIT: usize = 256;

impl Core {
    /// Visits one batch of the slots that may move bytes.
    pub(super) fn run_io(&mut self) {
        for _ in 0..IO_BATCH {
            let Some(slot) = self.lanes.in_hand.ready.pop_front() else { break };
            let (slots, mut seam) = self.split();
            let entry = slots.at_mut(slot);
            entry.queued.ready = false;
            let key = entry.key(slot);
            match &mut entry.occupant {
                Occupant::Listener(_) => self.accept(key),
                Occupant::Stream(stream) => match stream.transport.lower() {
                    Some(lower) => self.step(key, lower),
                    None => {
                        if stream.read_turn != seam.turn {
                            seam.operate(key, stream, None, Direction::Read);
                        }
                        seam.operate(key, stream, None, Direction::Write);
                        let above = stream.above.filter(|_| stream.bev.has_callbacks());
                        self.tell(key, above);
                    }
                },
                Occupant::Attempt(_) | Occupant::None => {}
            }
        }
    }

    /// Writes what callbacks have put out, of every slot that stood in the queue when it began.
    pub(super) fn run_flush(&mut self) {
        for _ in 0..self.lanes.in_hand.flush.len() {
            let Some(slot) = self.lanes.in_hand.flush.pop_front() else { break };
            let entry = self.slots.at_mut(slot);
            entry.queued.flush = false;
            let key = entry.key(slot);
            let Occupant::Stream(stream) = &mut entry.occupant else { continue };
            match stream.transport.lower() {
                Some(lower) => self.write_down(key, lower),
                None => self.write_out(key),
            }
        }
    }

    /// A stream has been called: what it puts out in memory goes on at once, a socket's when that
    /// of the others does.
    pub(super) fn carry_on(&mut self, key: Key) {
        match self.slots.look(key).map(|stream| &stream.transport) {
            Some(Transport::Pair(_)) => self.write_out(key),
            Some(Transport::Stage(over)) => self.write_down(key, over.lower),
            _ => self.update(key),
        }
    }

    /// Writes what a stream puts out that has none below it.
    pub(super) fn write_out(&mut self, key: Key) {
        let (slots, mut seam) = self.split();
        let Some(stream) = slots.stream(key) else { return };
        seam.operate(key, stream, None, Direction::Write);
        // The reader stands in the queue before the writer, who then is called once for both, that
        // its output has gone and what comes in answer.
        if let Transport::Pair(plug) = stream.transport
            && let Some(wake) = seam.wires.take_fresh(plug)
        {
            self.hand_on(wake);
        }
        self.update(key);
    }

    /// Lets the reader of what has just been written take it at once: half the way of a message
    /// without a queue. Whom that wakes in turn has to queue.
    fn hand_on(&mut self, (key, readiness): Wake) {
        let (slots, mut seam) = self.split();
        let Some(stream) = slots.stream(key) else { return };
        stream.bev.handle_ready(readiness);
        seam.operate(key, stream, None, Direction::Read);
        let above = stream.above.filter(|_| stream.bev.has_callbacks());
        self.tell(key, above);
    }

    /// A stream has been read: its news go to the one above it at once, or to its handler later.
    fn tell(&mut self, key: Key, above: Option<Key>) {
        match above {
            Some(above) => self.climb(key, above),
            None => self.update(key),
        }
    }

    /// Serves the members of every group that has tokens for them now.
    pub(super) fn resume_groups(&mut self) {
        let mut due = std::mem::take(&mut self.due_shards);
        self.shards.take_due(&mut due);
        for shard in due.drain(..) {
            let now = self.driver.now();
            self.shards.handle_deadline(shard, now);
            for direction in Direction::ALL {
                self.resume_waiting(shard, direction);
            }
        }
        self.due_shards = due;
    }

    fn resume_waiting(&mut self, shard: u32, direction: Direction) {
        for _ in 0..GRANTS_PER_VISIT {
            let (slots, mut seam) = self.split();
            let Some(entry) = seam.shards.shard(shard) else { return };
            let driver = &mut *seam.driver;
            let Some((token, member, grant)) = entry.poll_grant(direction, || driver.now()) else {
                return;
            };
            let key = Key::from_bits(token);
            let Some((stream, lower)) = slots.with_lower(key) else {
                entry.settle(member, grant, 0, false);
                continue;
            };
            let permit = stream.bev.resume(direction, grant, entry, &mut || driver.now());
            if let Some(permit) = permit {
                seam.transfer(key, stream, lower, direction, permit);
            }
            self.handle_step(key);
        }
        self.shards.wake(shard);
    }

    /// The slots, and beside them what an operation needs.
    pub(super) fn split(&mut self) -> (&mut Slots, Seam<'_>) {
        let seam = Seam {
            driver: self.driver.as_mut(),
            shards: &mut self.shards,
            landing: &mut self.landing,
            stats: &mut self.stats,
            observer: self.observer.as_deref_mut(),
            now: self.now,
            turn: self.turn,
            wires: &mut self.wires,
            in_memory_left: &mut self.in_memory_left,
            handshakes_left: &mut self.handshakes_left,
            core: self.index,
            pulse: &mut self.pulse,
            panic_policy: self.panic_policy,
        };
        (&mut self.slots, seam)
    }
}

/// What one operation needs besides its stream: the seam at which bytes are metered.
pub(super) struct Seam<'a> {
    driver: &'a mut dyn Driver,
    shards: &'a mut Shards,
    landing: &'a mut Landing,
    pub(super) stats: &'a mut CoreStats,
    observer: Option<&'a mut (dyn Observer + 'static)>,
    pub(super) now: Time,
    turn: u32,
    wires: &'a mut Wires,
    in_memory_left: &'a mut u32,
    handshakes_left: &'a mut u32,
    pub(super) core: u16,
    pub(super) pulse: &'a mut Pulse,
    pub(super) panic_policy: PanicPolicy,
}

impl Seam<'_> {
    /// Moves bytes in one direction, if the stream has some to move and its limits let it.
    pub(super) fn operate(
        &mut self,
        key: Key,
        stream: &mut Stream,
        lower: Option<&mut Stream>,
        direction: Direction,
    ) {
        let Some(mut want) = stream.bev.poll_operation(direction) else { return };
        if !stream.transport.is_socket() {
            let Some(left) = self.in_memory_left.checked_sub(1) else { return };
            if stream.transport.shakes_hands() {
                let Some(left) = self.handshakes_left.checked_sub(1) else { return };
                *self.handshakes_left = left;
            }
            *self.in_memory_left = left;
            stream.write_turn = self.turn;
            if let Transport::Pair(plug) = stream.transport {
                let ready = self.wires.ready(plug, &stream.bev, direction, want);
                if ready == 0 {
                    // It learns that it has to wait, or that all is over: that takes no tokens, and
                    // reads no source.
                    let _nothing = match direction {
                        Direction::Read => self.read(key, stream, want),
                        Direction::Write => self.wires.write(self.now, plug, &mut stream.bev, want),
                    };
                    return;
                }
                want = ready;
            }
        }
        // A handshake is nobody's to pay where plaintext is counted, and waits in no group's queue,
        // as there would be no bound on the steps of all that get their grants at once.
        if !stream.bev.is_metered() || stream.transport.shakes_hands() {
            self.carry(key, stream, lower, direction, want);
            return;
        }
        let shard = self.shards.of(stream.bev.membership());
        let driver = &mut *self.driver;
        match stream.bev.request(direction, want, shard, &mut || driver.now()) {
            Allowance::Move(permit) => self.transfer(key, stream, lower, direction, permit),
            Allowance::Wait => self.stats.limit_waits += 1,
        }
    }

    /// Makes one metered operation under a permit and settles it.
    fn transfer(
        &mut self,
        key: Key,
        stream: &mut Stream,
        lower: Option<&mut Stream>,
        direction: Direction,
        permit: Permit,
    ) {
        let observed = self.observer.is_some();
        let before = observed.then(|| permit.checked_at().unwrap_or_else(|| self.driver.now()));
        let used = self.carry(key, stream, lower, direction, permit.bytes);
        let membership = stream.bev.membership();
        if let Some(before) = before {
            self.report(key, direction, used, before, membership);
        }
        self.stats.metered_operations += 1;
        stream.bev.settle(permit, used, self.shards.of(membership));
    }

    /// Makes one operation of at most `limit` bytes; returns how many moved.
    fn carry(
        &mut self,
        key: Key,
        stream: &mut Stream,
        lower: Option<&mut Stream>,
        direction: Direction,
        limit: usize,
    ) -> usize {
        if let Transport::Stage(over) = &mut stream.transport {
            let Some(lower) = lower else { return 0 };
            return self.step(key, &mut stream.bev, over, &mut lower.bev, direction, limit);
        }
        match direction {
            Direction::Read => self.read(key, stream, limit),
            Direction::Write => self.write(key, stream, limit),
        }
    }

    fn read(&mut self, key: Key, stream: &mut Stream, limit: usize) -> usize {
        if let Transport::Pair(plug) = stream.transport {
            return self.wires.read(self.now, plug, &mut stream.bev, limit, self.landing);
        }
        stream.read_turn = self.turn;
        let space = self.landing.space(limit);
        let asked = space.len();
        let outcome = read(self.driver, key, space);
        let used = if let ReadOutcome::Bytes(count) = outcome { count } else { 0 };
        self.stats.would_block += u64::from(matches!(outcome, ReadOutcome::WouldBlock));
        stream.bev.handle_read(self.now, outcome, asked, self.landing);
        self.stats.bytes_in += used as u64;
        used
    }

    fn write(&mut self, key: Key, stream: &mut Stream, limit: usize) -> usize {
        let bev = &mut stream.bev;
        if let Transport::Pair(plug) = stream.transport {
            let Some(limit) = load(self.now, bev, limit) else { return 0 };
            return self.wires.write(self.now, plug, bev, limit);
        }
        if stream.write_turn != self.turn {
            stream.write_turn = self.turn;
            stream.writes = 0;
        }
        stream.writes += 1;
        let (outcome, asked) = write(self.driver, key, bev.buffers().1, limit);
        let used = if let WriteOutcome::Bytes(count) = outcome { count } else { 0 };
        self.stats.would_block += u64::from(matches!(outcome, WriteOutcome::WouldBlock));
        bev.handle_write(self.now, outcome, asked);
        self.stats.bytes_out += used as u64;
        used
    }

    /// Tells the observer; out of the way of those who have none.
    #[cold]
    fn report(
        &mut self,
        key: Key,
        direction: Direction,
        used: usize,
        before: Time,
        membership: Option<Membership>,
    ) {
        let after = self.driver.now();
        let group = membership.and_then(|membership| self.shards.group(membership)).map(Group::id);
        let (bytes, bev) = (used as u64, BevId { core: self.core, key });
        if let Some(observer) = self.observer.as_deref_mut() {
            self.pulse.beat(Label::OBSERVER);
            observer.metered(&MeteredOperation { before, after, bytes, direction, bev, group });
            self.pulse.beat(Label::CORE);
        }
    }
}

fn read(driver: &mut dyn Driver, key: Key, space: &mut [u8]) -> ReadOutcome {
    match driver.read(key, space) {
        Ok(0) => ReadOutcome::EndOfStream,
        Ok(count) => ReadOutcome::Bytes(count),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => ReadOutcome::WouldBlock,
        Err(error) if error.kind() == io::ErrorKind::Interrupted => ReadOutcome::Interrupted,
        Err(error) => ReadOutcome::Failed(error),
    }
}

fn write(
    driver: &mut dyn Driver,
    key: Key,
    output: &mut Buffer,
    limit: usize,
) -> (WriteOutcome, usize) {
    let limit = limit.min(output.len());
    let first = output.first();
    // Most output is one segment: no list to fill.
    if first.len() >= limit {
        return (outcome(driver.writev(key, &[IoSlice::new(&first[..limit])])), limit);
    }
    if first.is_empty() {
        return write_source(driver, key, output, limit);
    }
    let mut slices = [IoSlice::new(&[]); WRITE_SLICES];
    let count = output.io_slices(limit, &mut slices);
    let asked = slices[..count].iter().map(|slice| slice.len()).sum();
    (outcome(driver.writev(key, &slices[..count])), asked)
}

/// Writes from the source at the front of an output: by the kernel if it can, else through memory.
#[cold]
fn write_source(
    driver: &mut dyn Driver,
    key: Key,
    output: &mut Buffer,
    limit: usize,
) -> (WriteOutcome, usize) {
    let Some(source) = output.front_source() else { return (WriteOutcome::Bytes(0), 0) };
    let count = limit.min(source.len());
    if let Some((file, offset)) = source.file() {
        match driver.send_file(key, file, offset, count) {
            // The file is shorter than it was: reading says so, with where it ended.
            Ok(0) => {}
            // Fewer than asked for need not mean that the socket is full.
            Ok(sent) => return (WriteOutcome::Bytes(sent), sent),
            Err(error) if error.kind() == io::ErrorKind::Unsupported => {}
            Err(error) => return (outcome(Err(error)), count),
        }
    }
    let loaded = output.load(count);
    match loaded {
        Err(error) if output.first().is_empty() => (WriteOutcome::Failed(error.into()), count),
        // What could be read before it failed goes first.
        _ => write(driver, key, output, count.min(output.loaded())),
    }
}

fn outcome(result: io::Result<usize>) -> WriteOutcome {
    match result {
        Ok(count) => WriteOutcome::Bytes(count),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => WriteOutcome::WouldBlock,
        Err(error) if error.kind() == io::ErrorKind::Interrupted => WriteOutcome::Interrupted,
        Err(error) => WriteOutcome::Failed(error),
    }
}

/// Brings up to `limit` bytes that are to be moved in memory there; returns how many may be moved.
/// What could be read before a source failed goes first; `None` if there is nothing of it, which
/// ends the direction.
fn load(now: Time, bev: &mut Bufferevent, limit: usize) -> Option<usize> {
    let output = bev.buffers().1;
    let Err(error) = output.load(limit) else { return Some(limit) };
    match output.loaded() {
        0 => {
            bev.handle_write(now, WriteOutcome::Failed(error.into()), limit);
            None
        }
        loaded => Some(loaded),
    }
}
