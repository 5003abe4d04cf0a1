//! Stacks: streams that stand on other streams, and how bytes and news climb between them.
//!
//! Owns no state: a stream knows who is above it, its transport who is below. Bytes pass a stage in
//! [`Seam::step`], under the permits of the upper stream. What the lower stream would tell its
//! handler is told to the stream above instead; the handler itself stands on top.
//!
//! Invariants: after anything touched either of two neighbours they are squared, so that the lower
//! one reads only what is wanted and the upper one writes while there is room; no step is made
//! inside user code. A stage that panics cuts its stack.

use std::panic::{AssertUnwindSafe, catch_unwind};

use core_buf::{
    Bufferevent, Event, EventFlags, Filter, FilterStage, Flush, FlushMode, Readiness, Suspend,
};
use groups::{Direction, Time};

use super::Core;
use super::between::{Between, Over};
use super::io::Seam;
use super::panic::{answer, note};
use crate::filter::{FilterOptions, MAX_FILTERS, StackError, TakenByFilter};
use crate::handler::Handler;
use crate::id::{BevId, Key};
use crate::pair::FlushError;
use crate::slot::Transport;
use crate::watchdog::Label;

impl Core {
    /// Puts a filter over a bufferevent; returns the name of the one that now is on top.
    ///
    /// The handler of `underlying` moves on top, also while it is being called: from here on its
    /// callbacks are about what has passed the filter. Both directions are enabled below; there is
    /// read only what is wanted above. What has arrived already is filtered as well.
    ///
    /// # Errors
    /// `underlying` is not open on this core, has a filter over it (use the topmost), or stands on
    /// [`MAX_FILTERS`] of them.
    ///
    /// # Examples
    /// ```
    /// use sluicegate::sim::Simulation;
    /// use sluicegate::{Buffer, Filter, FilterOptions, FilterResult, FlushMode};
    /// use sluicegate::{Handler, PairOptions};
    ///
    /// /// Ends each flush by a full stop.
    /// struct FullStop;
    /// impl Filter for FullStop {
    ///     fn output(
    ///         &mut self,
    ///         src: &mut Buffer,
    ///         dst: &mut Buffer,
    ///         _limit: Option<usize>,
    ///         mode: FlushMode,
    ///     ) -> FilterResult {
    ///         dst.append(src);
    ///         if mode > FlushMode::Normal {
    ///             dst.add(b".");
    ///         }
    ///         FilterResult::NeedMore
    ///     }
    /// }
    ///
    /// /// Leaves what comes in its input.
    /// struct Keep;
    /// impl Handler for Keep {}
    ///
    /// let mut sim = Simulation::new(1);
    /// let (a, b) = sim.core().pair(PairOptions::new(), Keep, Keep);
    /// let top = sim.core().filter(a, FullStop, FilterOptions::new())?;
    /// let mut bev = sim.core().get(top).expect("it is open");
    /// bev.output().add(b"the end");
    /// bev.close();
    /// drop(bev);
    /// sim.turn();
    /// assert_eq!(sim.core().get(b).expect("it is open").input().first(), b"the end.");
    /// # Ok::<(), sluicegate::StackError>(())
    /// ```
    pub fn filter(
        &mut self,
        underlying: BevId,
        filter: impl Filter + 'static,
        options: FilterOptions,
    ) -> Result<BevId, StackError> {
        let label = self.shared.labels.intern(&format!("filter {}", type_name(&filter)));
        let stage = Box::new(FilterStage::new(filter));
        self.put_over(underlying, Between::Filter(stage), label, options)
    }

    /// Puts a stage over a bufferevent; returns the name of the one that now is on top.
    pub(super) fn put_over(
        &mut self,
        underlying: BevId,
        between: Between,
        label: Label,
        options: FilterOptions,
    ) -> Result<BevId, StackError> {
        let lower = underlying.key;
        let known = underlying.core() == self.index();
        let Some(under) = self.slots.look(lower).filter(|under| known && !under.bev.is_closing())
        else {
            return Err(StackError::NotOpen(underlying));
        };
        if under.above.is_some() {
            return Err(TakenByFilter(self.id(self.top(lower))).into());
        }
        let height = under.transport.height() + 1;
        if height > MAX_FILTERS {
            return Err(StackError::TooHigh { filters: height - 1 });
        }
        let now = self.now;
        let key = self.slots.reserve();
        let close_underlying = options.close_underlying;
        let bev = between.stream(now);
        let over = Over { between, label, lower, height, close_underlying, released: false };
        if options.tell_flushed {
            // Those below have to note it as well, though they tell nobody.
            let mut next = Some(lower);
            while let Some(stream) = next.and_then(|key| self.slots.stream(key)) {
                stream.bev.tell_flushed();
                next = stream.transport.lower();
            }
        }
        self.occupy(key, bev, None, Transport::Stage(Box::new(over)), None);
        self.slots.at_mut(key.slot).priority = self.priority(lower);
        if let Some((upper, under)) = self.slots.two_streams(key, lower) {
            let handler = under.set_handler(None);
            upper.set_handler(handler);
            upper.tell_drain = under.tell_drain;
            under.above = Some(key);
            under.bev.enter_stage();
            if options.tell_flushed {
                upper.bev.tell_flushed();
            }
            for direction in Direction::ALL {
                under.bev.enable(now, direction);
            }
            inherit(now, &mut upper.bev, &under.bev);
        }
        self.handle_step(key);
        Ok(self.id(key))
    }

    /// Gives the stream below back to the handler of this one, which is at its end.
    pub(crate) fn release(&mut self, key: Key) -> Option<BevId> {
        let now = self.now;
        let lower = self.slots.look(key)?.transport.lower()?;
        let (upper, under) = self.slots.two_streams(key, lower)?;
        let Transport::Stage(over) = &mut upper.transport else { return None };
        // After a failure what was written from here on would follow a gap, and so would an end of
        // writing that was asked for behind bytes that have not passed.
        let ends_behind_bytes = upper.bev.is_shut_down() && upper.bev.holds_output();
        let has_gap = ends_behind_bytes || upper.bev.is_truncated();
        if upper.above.is_some() || upper.bev.is_closing() || has_gap {
            return None;
        }
        over.released = true;
        upper.bev.hand_down(now, &mut under.bev);
        upper.bev.close_now();
        under.above = None;
        under.set_handler(upper.handler.take());
        under.bev.leave_stage(now);
        self.update(lower);
        Some(self.id(lower))
    }

    /// The topmost stream of a stack.
    pub(crate) fn top(&self, mut key: Key) -> Key {
        while let Some(above) = self.slots.look(key).and_then(|stream| stream.above) {
            key = above;
        }
        key
    }

    /// The stream whose bytes the limits of this one count.
    pub(crate) fn metered_key(&self, mut key: Key) -> Key {
        while let Some(Transport::Stage(over)) = self.slots.look(key).map(|it| &it.transport)
            && over.between.is_charged_below()
            && self.slots.look(over.lower).is_some()
        {
            key = over.lower;
        }
        key
    }

    /// The stream at the bottom of a stack.
    pub(crate) fn bottom(&self, mut key: Key) -> Key {
        while let Some(lower) = self.slots.look(key).and_then(|stream| stream.transport.lower()) {
            key = lower;
        }
        key
    }

    /// Where the handler of a stream belongs: on top, or below what was released.
    pub(super) fn home(&self, mut key: Key) -> Key {
        loop {
            key = self.top(key);
            match self.slots.look(key).map(|stream| &stream.transport) {
                Some(Transport::Stage(over)) if over.released => key = over.lower,
                _ => return key,
            }
        }
    }

    /// Moves bytes both ways through the stage between a stream and the one below it.
    pub(super) fn step(&mut self, key: Key, lower: Key) {
        let (slots, mut seam) = self.split();
        if let Some((upper, under)) = slots.two_streams(key, lower) {
            for direction in Direction::ALL {
                seam.operate(key, upper, Some(&mut *under), direction);
            }
        }
        self.handle_step(key);
    }

    /// A step was made or may be due: both streams are looked at, and flushes go on.
    pub(super) fn handle_step(&mut self, key: Key) {
        let Some(stream) = self.slots.look(key) else { return };
        let (lower, flushes) = (stream.transport.lower(), stream.bev.has_flush());
        if let Some(lower) = lower {
            if flushes {
                self.pass_flushes(key, lower);
            }
            self.update(lower);
        }
        self.update(key);
    }

    /// Writes what a stream puts out through its stage, and on to where it leaves the stack.
    pub(super) fn write_down(&mut self, key: Key, lower: Key) {
        let (slots, mut seam) = self.split();
        let Some((upper, under)) = slots.two_streams(key, lower) else { return };
        seam.operate(key, upper, Some(&mut *under), Direction::Write);
        let (above, below) = (upper.above, under.transport.lower());
        let waits = under.transport.is_socket();
        if upper.bev.has_flush() {
            self.pass_flushes(key, lower);
        }
        match below {
            Some(below) => self.write_down(lower, below),
            // Its turn comes with the other sockets.
            None if waits => self.update(lower),
            None => self.write_out(lower),
        }
        self.look_apart(key);
        if let Some(above) = above {
            self.square_pair(above, key);
        }
    }

    /// Flushes that have passed a stream go on to the next.
    fn pass_flushes(&mut self, key: Key, lower: Key) {
        let Some(stream) = self.slots.stream(key) else { return };
        let above = stream.above;
        if let Some(Flush { mode, .. }) = stream.bev.poll_flush(Direction::Write) {
            // An end of a pair that has lost the other has told so itself.
            let _told = self.flush(lower, Direction::Write, mode);
        }
        let Some(stream) = self.slots.stream(key) else { return };
        if let Some(Flush { mode, further }) = stream.bev.poll_flush(Direction::Read)
            && let (Some(above), Some(further)) = (above, further.checked_sub(1))
        {
            self.flush_stage(above, Direction::Read, Flush { mode, further });
        }
    }

    fn flush_stage(&mut self, key: Key, direction: Direction, flush: Flush) {
        if let Some(stream) = self.slots.stream(key) {
            stream.bev.flush_stage(direction, flush);
            self.handle_step(key);
        }
    }

    /// Flushes a stream of any kind.
    pub(crate) fn flush(
        &mut self,
        key: Key,
        direction: Direction,
        mode: FlushMode,
    ) -> Result<(), FlushError> {
        let Some(stream) = self.slots.stream(key) else { return Ok(()) };
        match stream.transport {
            Transport::Socket { .. } | Transport::Vacant | Transport::Dialing(_) => {
                stream.bev.handle_ready(match direction {
                    Direction::Read => Readiness::READABLE,
                    Direction::Write => Readiness::WRITABLE,
                });
                self.update(key);
            }
            Transport::Pair(plug) => return self.flush_pair(key, plug, direction, mode),
            Transport::Stage(_) => self.flush_stack(key, direction, mode),
            Transport::Gone => {}
        }
        Ok(())
    }

    /// Flushes a stream that stands over another one.
    fn flush_stack(&mut self, key: Key, direction: Direction, mode: FlushMode) {
        let mut lowest = key;
        let mut further = 0;
        if direction == Direction::Read {
            // From the bottom up, so that what comes out below is there for those above.
            while let Some(lower) = self.slots.look(lowest).and_then(|s| s.transport.lower()) {
                if self.slots.look(lower).is_none_or(|under| under.transport.lower().is_none()) {
                    let _told = self.flush(lower, direction, mode);
                    break;
                }
                lowest = lower;
                further += 1;
            }
        }
        self.flush_stage(lowest, direction, Flush { mode, further });
    }

    /// Tells the stream above what this one would have told its handler, and lets it read.
    pub(super) fn climb(&mut self, key: Key, above: Key) {
        let now = self.now;
        let (slots, mut seam) = self.split();
        let Some((upper, under)) = slots.two_streams(above, key) else { return };
        upper.bev.handle_news(now, &mut under.bev);
        seam.operate(above, upper, Some(&mut *under), Direction::Read);
        upper.bev.sync_below(now, &mut under.bev);
        let next = upper.above.filter(|_| upper.bev.has_callbacks());
        let (over, below) = (upper.above, under.transport.lower());
        if upper.bev.has_flush() {
            self.pass_flushes(above, key);
        }
        self.look_apart(key);
        if let Some(below) = below {
            self.square_pair(key, below);
        }
        match (next, over) {
            (Some(next), _) => self.climb(above, next),
            (None, Some(_)) => self.update(above),
            (None, None) => {
                self.look_apart(above);
            }
        }
    }

    /// Squares a stream with its neighbours: the one below, and the one above.
    pub(super) fn square(&mut self, key: Key) {
        let Some(stream) = self.slots.look(key) else { return };
        let (lower, above) = (stream.transport.lower(), stream.above);
        if let Some(lower) = lower {
            self.square_pair(key, lower);
        }
        if let Some(above) = above {
            self.square_pair(above, key);
        }
    }

    /// Squares two neighbours, and looks again at those for which that changed something.
    fn square_pair(&mut self, upper: Key, lower: Key) {
        let now = self.now;
        let Some((up, low)) = self.slots.two_streams(upper, lower) else { return };
        let (look_up, look_low) = up.bev.sync_below(now, &mut low.bev);
        // Each depends on the other stream alone, so looking again ends.
        if look_up {
            self.update(upper);
        }
        if look_low {
            self.update(lower);
        }
    }

    /// A stream over a stage is gone: what becomes of the one below, and of the handler.
    pub(super) fn end_stage(
        &mut self,
        key: Key,
        over: &Over,
        bev: &mut Bufferevent,
        truncated: bool,
        handler: &mut Option<Box<dyn Handler>>,
    ) {
        let now = self.now;
        let Some(under) = self.slots.stream(over.lower).filter(|under| under.above == Some(key))
        else {
            return;
        };
        under.above = None;
        if bev.poll_shutdown() {
            under.bev.shutdown_write(now);
        }
        if !over.close_underlying && handler.is_some() {
            under.set_handler(handler.take());
            under.bev.leave_stage(now);
        } else if over.between.marks_its_end() {
            // What it has put out, an alert or part of its records, can do no harm.
            match bev.linger_until() {
                Some(until) => {
                    under.says_goodbye = true;
                    under.bev.close(until);
                }
                None => under.bev.close_now(),
            }
        } else if truncated {
            under.bev.abort();
        } else if let Some(until) = bev.drained_until() {
            under.bev.close(until);
        } else {
            under.bev.close_now();
        }
        self.update(over.lower);
    }

    /// Whether something will never come down to the stream below `above` that should have.
    pub(super) fn is_truncated_above(&self, mut above: Option<Key>) -> bool {
        while let Some(stream) = above.and_then(|key| self.slots.look(key)) {
            if stream.bev.is_truncated() || stream.bev.holds_output() {
                return true;
            }
            above = stream.above;
        }
        false
    }

    /// The stream below `above` is gone.
    pub(super) fn end_below(&mut self, above: Option<Key>) {
        let now = self.now;
        if let Some(key) = above
            && let Some(upper) = self.slots.stream(key)
        {
            upper.bev.handle_lost(now);
            self.update(key);
        }
    }
}

/// A new stream learns what has happened below already.
fn inherit(now: Time, upper: &mut Bufferevent, under: &Bufferevent) {
    if !under.input().is_empty() {
        upper.handle_ready(Readiness::READABLE);
    }
    let over = |direction| under.suspended(direction).contains(Suspend::ENDED);
    if over(Direction::Read) && !under.has_untold_end(Direction::Read) {
        let failed = under.has_failed_reading();
        let how = if failed { EventFlags::ERROR } else { EventFlags::EOF };
        let error = failed.then(|| std::io::ErrorKind::NotConnected.into());
        upper.handle_below(now, Event { flags: EventFlags::READING | how, error }, under);
    }
    if under.is_shut_down() {
        upper.inherit_shutdown();
    } else if over(Direction::Write) && !under.has_untold_end(Direction::Write) {
        let flags = EventFlags::WRITING | EventFlags::ERROR;
        let error = Some(std::io::ErrorKind::NotConnected.into());
        upper.handle_below(now, Event { flags, error }, under);
    }
}

impl Seam<'_> {
    /// Moves up to `limit` bytes through a stage; returns how many arrived.
    pub(super) fn step(
        &mut self,
        key: Key,
        upper: &mut Bufferevent,
        over: &mut Over,
        lower: &mut Bufferevent,
        direction: Direction,
        limit: usize,
    ) -> usize {
        let now = self.now;
        #[cfg(feature = "tls")]
        let shakes = over.between.shakes_hands();
        let stage = over.between.stage();
        self.pulse.beat(over.label);
        let step = AssertUnwindSafe(|| upper.step(now, direction, limit, stage, lower));
        let moved = catch_unwind(step).unwrap_or_else(|payload| {
            let id = BevId { core: self.core, key };
            let what = format_args!("the filter of {id} panicked; its stack is cut");
            note(self.panic_policy, self.stats, &payload, what);
            upper.abort();
            answer(self.panic_policy, payload);
            0
        });
        self.pulse.beat(Label::CORE);
        #[cfg(feature = "tls")]
        if shakes {
            self.note_handshake(over);
        }
        moved
    }
}

fn type_name<T>(_: &T) -> &'static str {
    std::any::type_name::<T>()
}
