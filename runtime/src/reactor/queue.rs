//! Which slots have something to do, and the two ends of a slot's life.
//!
//! Fills the queues between the stages of a turn: the lanes of `order.rs` with their `ready` (may
//! move bytes), `callbacks` and `flush` (has output to write), `again` and `passed_over` (next
//! turn), and `closing`. [`Core::update`] is called after anything touched a stream and puts it
//! where it belongs, at most once in each.
//!
//! Invariants: a slot in a queue has that queue's flag; a slot given up may still stand in a queue,
//! which costs whoever got it since an empty look and nothing more.

use core_buf::{Bufferevent, WriteOutcome};
use groups::Time;

use super::{Core, Timer};
use crate::driver::Driver;
use crate::handler::Handler;
use crate::id::Key;
use crate::slot::{Occupant, Stream, Ties, Transport};
use crate::watchdog::Label;

/// Writes of one stream in a turn; what is left goes on in the next, after the others.
pub(super) const WRITES_PER_TURN: u32 = 4;

impl Core {
    /// Somebody had a stream in hand: its buffers and marks are looked at again.
    pub(crate) fn handle_touched(&mut self, key: Key) {
        let now = self.now;
        if let Some(stream) = self.slots.stream(key) {
            stream.bev.handle_callback(now);
        }
        self.update(key);
    }

    /// Looks at a stream after anything touched it: queues what it has to do, arms its timer.
    pub(crate) fn update(&mut self, key: Key) {
        if self.look_apart(key) {
            self.square(key);
        }
    }

    /// As [`update`](Self::update), but leaves its neighbours in a stack alone; `true` if it has
    /// some.
    pub(super) fn look_apart(&mut self, key: Key) -> bool {
        let turn = self.turn;
        let Some(slot) = self.slots.find(key) else { return false };
        let Occupant::Stream(stream) = &mut slot.occupant else { return false };
        let wake = match stream.transport {
            Transport::Pair(plug) => self.wires.publish(plug, &mut stream.bev),
            _ => None,
        };
        if stream.bev.is_ending() {
            if stream.bev.is_closed() {
                if !std::mem::replace(&mut slot.queued.closing, true) {
                    self.closing.push(key.slot);
                }
                if let Some(wake) = wake {
                    self.wake(wake);
                }
                return false;
            }
            end_writing(self.driver.as_mut(), self.now, key, stream);
        }
        let reads = stream.bev.poll_read().is_some();
        let writes = stream.bev.poll_write().is_some();
        if reads || writes {
            let is_socket = stream.transport.is_socket();
            let (has_read, has_written) = if is_socket {
                let has_written = stream.write_turn == turn && stream.writes >= WRITES_PER_TURN;
                (stream.read_turn == turn, has_written)
            } else {
                let spent = self.in_memory_left == 0
                    || (self.handshakes_left == 0 && stream.transport.shakes_hands());
                (spent, spent)
            };
            if reads && !has_read && !std::mem::replace(&mut slot.queued.ready, true) {
                self.lanes.of(slot.priority).ready.push_back(key.slot);
            }
            if writes && !has_written && !std::mem::replace(&mut slot.queued.flush, true) {
                self.lanes.of(slot.priority).flush.push_back(key.slot);
            }
            let later = reads && has_read || writes && has_written;
            if later && !std::mem::replace(&mut slot.queued.again, true) {
                let passed_over = !is_socket && stream.write_turn != turn;
                if passed_over { &mut self.passed_over } else { &mut self.again }.push(key.slot);
            }
        }
        let deadline = stream.bev.poll_deadline();
        let is_late = deadline.is_some_and(|due| stream.timer.is_none_or(|(_, at)| due < at));
        // A timer that fires too early is left where a deadline may soon need it; not that of a
        // handshake, of which there would be one for each connection of some seconds.
        let is_idle = deadline.is_none() && !stream.bev.has_recurring_deadlines();
        if (is_late || is_idle)
            && let Some((timer, _)) = stream.timer.take()
        {
            self.wheel.cancel(timer);
        }
        if let Some(deadline) = deadline.filter(|_| is_late) {
            stream.timer = Some((self.wheel.arm(deadline, Timer::Stream(key)), deadline));
        }
        if (stream.bev.has_callbacks() || stream.tells_drain())
            && !std::mem::replace(&mut slot.queued.callbacks, true)
        {
            self.lanes.of(slot.priority).callbacks.push_back(key.slot);
        }
        let stacked = stream.above.is_some() || matches!(stream.transport, Transport::Stage(_));
        if let Some(wake) = wake {
            self.wake(wake);
        }
        stacked
    }

    pub(crate) fn occupy(
        &mut self,
        key: Key,
        bev: Bufferevent,
        handler: Option<Box<dyn Handler>>,
        transport: Transport,
        listener: Option<Key>,
    ) {
        let read_turn = self.turn.wrapping_sub(1);
        let stream = Stream {
            bev,
            handler,
            label: Label::UNKNOWN,
            transport,
            above: None,
            listener,
            timer: None,
            read_turn,
            write_turn: read_turn,
            writes: 0,
            tell_drain: self.drain.has_begun(),
            says_goodbye: false,
        };
        if let Some(level) = self.level(&stream.transport) {
            *level += 1;
        }
        if stream.transport.is_socket() {
            self.shared.load(self.index()).add();
        }
        self.slots.occupy(key, Occupant::Stream(Box::new(stream)));
    }

    /// Closes what ended in this turn and frees its slots: nothing of this turn names them now.
    pub(super) fn reap(&mut self) {
        // A stream that ends may end others.
        let mut next = 0;
        while let Some(&slot) = self.closing.get(next) {
            let key = self.slots.key(slot);
            self.retire(key);
            next += 1;
        }
        self.closing.clear();
        self.slots.reap();
        self.finish_drain();
    }

    fn retire(&mut self, key: Key) {
        let Occupant::Stream(mut stream) = self.slots.vacate(key) else { return };
        let mut handler = stream.handler.take();
        let ties = stream.untie();
        let truncated = stream.bev.is_truncated() || self.is_truncated_above(stream.above);
        self.sign_off(&stream.transport, ties);
        if truncated && stream.says_goodbye {
            self.note_lost_goodbye(&stream.transport);
        }
        match stream.transport {
            Transport::Gone => {}
            Transport::Socket { .. } | Transport::Vacant => self.end_socket(key, truncated),
            Transport::Dialing(dial) => {
                self.cancel_dial(*dial);
                self.end_socket(key, truncated);
            }
            Transport::Pair(plug) => self.unplug(plug, truncated),
            Transport::Stage(over) => {
                self.end_stage(key, &over, &mut stream.bev, truncated, &mut handler);
                self.drop_guarded(key, over);
            }
        }
        self.end_below(stream.above);
        self.discard(key, handler);
    }

    /// Peers decide how many there are, so a line for each is for those who ask for it.
    #[cold]
    fn note_lost_goodbye(&mut self, transport: &Transport) {
        self.stats.goodbyes_lost += 1;
        let peer = match transport {
            Transport::Socket { peer } => *peer,
            _ => None,
        };
        tracing::debug!(core = self.index(), ?peer, "a goodbye of TLS was not taken in time");
    }

    /// A stream leaves this core, for good or for another: nothing here waits for it or counts it.
    pub(super) fn sign_off(&mut self, transport: &Transport, ties: Ties) {
        if let Some(level) = self.level(transport) {
            *level -= 1;
        }
        if transport.is_socket() {
            self.shared.load(self.index()).sub();
        }
        if let Some((timer, _)) = ties.timer {
            self.wheel.cancel(timer);
        }
        if let Some(membership) = ties.membership {
            self.shards.leave(membership, &mut self.wheel);
        }
        if let Some(listener) = ties.listener {
            self.count_departure(listener);
        }
    }

    fn end_socket(&mut self, key: Key, truncated: bool) {
        if truncated {
            self.driver.abort(key);
        } else {
            self.driver.close(key);
        }
        if self.drain.has_begun() {
            self.stats.drained += u64::from(!truncated);
            self.stats.cut += u64::from(truncated);
        }
    }

    /// The figure that counts the living streams of a kind.
    fn level(&mut self, transport: &Transport) -> Option<&mut u64> {
        match transport {
            Transport::Gone => None,
            Transport::Pair(_) => Some(&mut self.stats.pair_ends),
            Transport::Stage(_) => Some(&mut self.stats.filters),
            _ => Some(&mut self.stats.connections),
        }
    }
}

/// Has the peer of a socket read the end of the stream, once everything has been written.
#[cold]
fn end_writing(driver: &mut dyn Driver, now: Time, key: Key, stream: &mut Stream) {
    if stream.transport.is_socket()
        && stream.bev.poll_shutdown()
        && let Err(error) = driver.shutdown(key)
    {
        stream.bev.handle_write(now, WriteOutcome::Failed(error), 0);
    }
}
