//! The I/O stage: one read and one write per stream and visit, each under its permit.
//!
//! Every byte of every stream passes through [`Core::operate`] or [`Core::resume_groups`], and both
//! end in `transfer`: ask the limits, make the system call, tell the state machine, settle. There
//! is no other way to a socket, so nothing goes unmetered.

use std::io::{self, IoSlice};

use core_buf::{Allowance, Bufferevent, Permit, ReadOutcome, Readiness, WriteOutcome};
use groups::Direction;

use super::Core;
use crate::driver::{Driver, Ready};
use crate::id::Key;
use crate::observer::MeteredOperation;
use crate::slot::Occupant;

/// Pieces of the output offered to one write; what does not fit waits for the next.
const WRITE_SLICES: usize = 32;

/// Grants a group hands out in one visit; the rest follows in the next turn.
const GRANTS_PER_VISIT: usize = 256;

impl Core {
    /// Visits every slot that stood in the queue when the stage began.
    pub(super) fn run_io(&mut self) {
        for _ in 0..self.ready.len() {
            let Some(slot) = self.ready.pop_front() else { break };
            self.slots.at_mut(slot).queued.ready = false;
            let key = self.slots.key(slot);
            match &self.slots.at(slot).occupant {
                Occupant::Listener(_) => self.accept(key),
                Occupant::Stream(_) => {
                    self.operate(key, Direction::Read);
                    self.operate(key, Direction::Write);
                    self.update(key);
                }
                Occupant::None => {}
            }
        }
    }

    /// Moves bytes in one direction, if the stream has some to move and its limits let it.
    fn operate(&mut self, key: Key, direction: Direction) {
        let turn = self.turn;
        let Some(stream) = self.slots.stream(key) else { return };
        let Some(want) = stream.bev.poll_operation(direction) else { return };
        if direction == Direction::Read && stream.read_turn == turn {
            return;
        }
        let shard = self.shards.of(stream.bev.membership());
        let driver = &mut self.driver;
        match stream.bev.request(direction, want, shard, &mut || driver.now()) {
            Allowance::Move(permit) => self.transfer(key, direction, permit),
            Allowance::Wait => self.stats.limit_waits += 1,
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
            let driver = &mut self.driver;
            let Some(entry) = self.shards.shard(shard) else { return };
            let Some((token, member, grant)) = entry.poll_grant(direction, || driver.now()) else {
                return;
            };
            let key = Key::from_bits(token);
            let Some(stream) = self.slots.stream(key) else {
                entry.settle(member, grant, 0, false);
                continue;
            };
            let permit = stream.bev.resume(direction, grant, entry, &mut || driver.now());
            if let Some(permit) = permit {
                self.transfer(key, direction, permit);
            }
            self.update(key);
        }
        self.shards.wake(shard);
    }

    /// Makes one operation under a permit and settles it.
    fn transfer(&mut self, key: Key, direction: Direction, permit: Permit) {
        let Self { slots, shards, driver, landing, stats, observer, now, .. } = self;
        let Some(stream) = slots.stream(key) else { return };
        let bev = &mut stream.bev;
        let metered = bev.is_metered();
        let before = match observer {
            Some(_) if metered => Some(permit.drawn_at().unwrap_or_else(|| driver.now())),
            _ => None,
        };
        let used = match direction {
            Direction::Read => {
                stream.read_turn = self.turn;
                let space = landing.space(permit.bytes);
                let asked = space.len();
                let outcome = read(driver.as_mut(), key, space);
                let used = if let ReadOutcome::Bytes(count) = outcome { count } else { 0 };
                bev.handle_read(*now, outcome, asked, landing);
                stats.bytes_in += used as u64;
                used
            }
            Direction::Write => {
                let (outcome, asked) = write(driver.as_mut(), key, bev, permit.bytes);
                let used = if let WriteOutcome::Bytes(count) = outcome { count } else { 0 };
                bev.handle_write(*now, outcome, asked);
                stats.bytes_out += used as u64;
                used
            }
        };
        if metered {
            stats.metered_operations += 1;
        }
        if let (Some(observer), Some(before)) = (observer, before) {
            let group = bev.membership().and_then(|membership| shards.group_id(membership));
            observer.metered(&MeteredOperation {
                before,
                after: driver.now(),
                bytes: used as u64,
                direction,
                bev: crate::id::BevId { core: self.index, key },
                group,
            });
        }
        let shard = shards.of(bev.membership());
        bev.settle(permit, used, shard);
    }

    /// A connection attempt may be over: asks how it ended.
    pub(super) fn finish_connecting(&mut self, event: Ready) {
        if !event.readiness.intersects(Readiness::WRITABLE | Readiness::HANG_UP) {
            return;
        }
        let key = event.key;
        let error = self.driver.take_error(key).unwrap_or_else(Some);
        let now = self.now;
        if let Some(stream) = self.slots.stream(key) {
            stream.bev.handle_connected(now, error);
        }
        self.update(key);
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
    bev: &Bufferevent,
    limit: usize,
) -> (WriteOutcome, usize) {
    let mut slices = [IoSlice::new(&[]); WRITE_SLICES];
    let count = bev.output().io_slices(limit, &mut slices);
    let asked = slices[..count].iter().map(|slice| slice.len()).sum();
    let outcome = match driver.writev(key, &slices[..count]) {
        Ok(count) => WriteOutcome::Bytes(count),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => WriteOutcome::WouldBlock,
        Err(error) if error.kind() == io::ErrorKind::Interrupted => WriteOutcome::Interrupted,
        Err(error) => WriteOutcome::Failed(error),
    };
    (outcome, asked)
}
