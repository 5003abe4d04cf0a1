//! One core: a loop over the bufferevents it owns.
//!
//! Owns the slots, the driver, the timers, the shards of the groups and the queues between the
//! stages of a turn. Nothing here is shared but the mailbox and the published figures; other
//! threads reach a core only by message.
//!
//! A turn is: poll, whom the last had no time for, mailbox, mark ready, rounds, timers, waiting
//! members of groups, rounds for what these gave, sends to other cores, reap, groups. A round is a
//! batch of reads, their callbacks and the writes these give, of one priority after another
//! (`order.rs`). Every stage has a budget; what is left makes the next poll return at once. Nothing
//! but the poll stands between the last stage and the sleep, so what a message or timer does is
//! carried through first. In a turn a stream is read once and written a few times, so a busy peer
//! cannot starve the others.
//!
//! Invariants: user code (handlers, factories, tasks, observers) is never nested in itself, and a
//! panic of all but an observer is caught; `now` is the reading taken after the poll, and no bucket
//! is checked by it.

mod accept;
mod assign;
mod between;
mod dial;
mod dispatch;
mod drain;
mod hand_off;
mod io;
mod meter;
mod order;
mod pair;
mod pair_across;
mod panic;
mod queue;
mod seat_waker;
#[cfg(feature = "tls")]
mod session;
mod shards;
mod sleep;
mod socket;
mod stack;

use std::collections::VecDeque;
use std::fmt;
use std::net::ToSocketAddrs;
use std::sync::Arc;
use std::time::Duration;

use core_buf::Landing;
use groups::Time;

pub(crate) use self::accept::{Factory, new_factory};
pub(crate) use self::assign::{Accepted, HandOver};
pub(crate) use self::between::Over;
pub(crate) use self::drain::Drain;
use self::meter::{Meter, Spent};
use self::order::Lanes;
pub(crate) use self::pair_across::Make;
pub(crate) use self::shards::Shards;
use self::sleep::LONGEST_SLEEP;
use crate::bev::{BevMut, Two};
use crate::dial::LookUp;
use crate::driver::{Driver, Listening, Ready};
use crate::error::Result;
use crate::handle::{Handle, Message, Shared, Shutdown, Stopped};
use crate::handler::Handler;
use crate::id::{BevId, Key};
use crate::listen::{ListenOptions, Listener, Part};
use crate::observer::Observer;
use crate::panic::PanicPolicy;
use crate::placement::Idle;
use crate::slot::{Occupant, Slots};
use crate::stats::CoreStats;
use crate::timer::{TimerKey, Wheel};
use crate::watchdog::{KnownLabels, Label, Pulse};
use crate::wire::Wires;

/// Messages taken from the mailbox in one turn.
const MESSAGES_PER_TURN: usize = 1024;

/// Messages taken together: while they are carried out they do not count as waiting.
const MESSAGES_AT_ONCE: usize = 64;

/// Rounds of callbacks and writes in one turn after the last ready stream has been visited.
const ROUNDS_PER_TURN: usize = 4;

/// Operations of streams in memory in one turn. They carry a message from hop to hop, so that a
/// turn takes a chain of answers as far as this allows; what is left goes on in the next.
const OPERATIONS_IN_MEMORY: u32 = 1024;

/// Steps of handshakes in one turn: each may take as long as a hundred messages.
const HANDSHAKES_PER_TURN: u32 = 16;

/// Timers that fire in one turn.
const TIMERS_PER_TURN: usize = 4096;

/// A timer set by [`Core::after`]; cancels it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimerId(TimerKey);

/// What a timer of the wheel is for.
pub(crate) enum Timer {
    Stream(Key),
    Shard(u32),
    Accept(Key),
    /// The next attempt of a stream that dials.
    Dial(Key),
    DrainDeadline,
    Task(Box<dyn FnOnce(&mut Core)>),
}

/// One core of the runtime, as code that runs on it sees it.
///
/// # Shape
/// Lives on one thread; reach it from elsewhere by [`Handle::submit_to`].
pub struct Core {
    index: u16,
    pub(crate) driver: Box<dyn Driver>,
    pub(crate) slots: Slots,
    pub(crate) shards: Shards,
    pub(crate) wires: Wires,
    pub(crate) wheel: Wheel<Timer>,
    /// What is counted as it happens; [`stats`](Self::stats) has all figures.
    pub(crate) stats: CoreStats,
    meter: Meter,
    /// The reading taken after the last poll; good for timers, never for buckets.
    pub(crate) now: Time,
    landing: Landing,
    events: Vec<Ready>,
    /// Slots that have something to do in this turn.
    lanes: Lanes,
    /// Slots that have had their share of this turn and may move more bytes in the next.
    again: Vec<u32>,
    /// Slots that found no operation in memory left in this turn: the first of the next.
    passed_over: Vec<u32>,
    closing: Vec<u32>,
    /// Memory for the list of due shards while it is walked.
    due_shards: Vec<u32>,
    listeners: Vec<Key>,
    turn: u32,
    /// Operations in memory that this turn may still make.
    in_memory_left: u32,
    /// Steps of handshakes that this turn may still make.
    handshakes_left: u32,
    failed_polls: u32,
    observer: Option<Box<dyn Observer>>,
    /// What the watchdog sees of this core.
    pulse: Pulse,
    known_labels: KnownLabels,
    pub(crate) shared: Arc<Shared>,
    /// Whom to ask for the addresses of hosts.
    lookups: Arc<dyn LookUp>,
    outbox: Vec<Vec<Message>>,
    /// Messages that were taken together; the rest of them, if one ends the core.
    mail: VecDeque<Message>,
    pub(crate) drain: Drain,
    pub(crate) panic_policy: PanicPolicy,
    pub(crate) idle: Idle,
}

impl Core {
    pub(crate) fn new(
        index: usize,
        mut driver: Box<dyn Driver>,
        shared: Arc<Shared>,
        lookups: Arc<dyn LookUp>,
        observer: Option<Box<dyn Observer>>,
    ) -> Self {
        let now = driver.now();
        let outbox = std::iter::repeat_with(Vec::new).take(shared.core_count()).collect();
        Self {
            index: index as u16,
            driver,
            slots: Slots::default(),
            shards: Shards::default(),
            wires: Wires::default(),
            wheel: Wheel::new(now),
            stats: CoreStats::default(),
            meter: Meter::new(now),
            now,
            landing: Landing::new(),
            events: Vec::new(),
            lanes: Lanes::default(),
            again: Vec::new(),
            passed_over: Vec::new(),
            closing: Vec::new(),
            due_shards: Vec::new(),
            listeners: Vec::new(),
            turn: 0,
            in_memory_left: OPERATIONS_IN_MEMORY,
            handshakes_left: HANDSHAKES_PER_TURN,
            failed_polls: 0,
            observer,
            pulse: Pulse::new(shared.beat(index).clone()),
            known_labels: KnownLabels::default(),
            shared,
            lookups,
            outbox,
            mail: VecDeque::new(),
            drain: Drain::default(),
            panic_policy: PanicPolicy::default(),
            idle: Idle::Park,
        }
    }

    /// The number of this core, counted from 0.
    pub fn index(&self) -> usize {
        usize::from(self.index)
    }

    /// The time of this turn: a reading taken after its poll.
    pub fn now(&self) -> Time {
        self.now
    }

    /// A handle to the whole runtime.
    pub fn handle(&self) -> Handle {
        Handle::new(self.shared.clone())
    }

    /// Listens on this core alone, which keeps what it accepts.
    ///
    /// `factory` makes the handler of each accepted connection and may set it up first. A host name
    /// is resolved at once, which blocks the core; give addresses where that matters.
    ///
    /// # Errors
    /// The address does not parse or resolve, or cannot be bound: the message names it. The options
    /// ask for an [accept mode](ListenOptions::accept), or a number among them is 0.
    pub fn listen<H: Handler>(
        &mut self,
        addr: impl ToSocketAddrs + fmt::Debug,
        options: ListenOptions,
        factory: impl Fn(&mut BevMut<'_>) -> H + Send + Sync + 'static,
    ) -> Result<Listener> {
        let addr = crate::listen::resolve(addr)?;
        let part = Part::of_core(self.index(), &options, new_factory(factory))?;
        let common = part.common.clone();
        let bound = self
            .add_listener(part, Listening::Address(addr, options))
            .map_err(|error| crate::listen::bind_error(addr, error))?;
        Ok(Listener::new(bound.unwrap_or(addr), common, self.handle()))
    }

    /// Runs `task` on this core after a time, rounded up to the next millisecond.
    ///
    /// The time begins now, which costs a reading of the clock; [`at`](Self::at) does without.
    pub fn after(&mut self, delay: Duration, task: impl FnOnce(&mut Self) + 'static) -> TimerId {
        let now = self.driver.now();
        self.at(now + delay, task)
    }

    /// Runs `task` on this core at `deadline`, rounded up to the next millisecond; one that has
    /// passed is due at once.
    ///
    /// For what repeats without drifting, and for deadlines by the dozen: [`now`](Self::now) is one
    /// reading for a whole turn.
    pub fn at(&mut self, deadline: Time, task: impl FnOnce(&mut Self) + 'static) -> TimerId {
        TimerId(self.wheel.arm(deadline, Timer::Task(Box::new(task))))
    }

    /// Cancels a timer; `false` if it has fired or been cancelled.
    pub fn cancel(&mut self, timer: TimerId) -> bool {
        self.wheel.cancel(timer.0).is_some()
    }

    /// The connection of that name, if it lives here.
    pub fn get(&mut self, id: BevId) -> Option<BevMut<'_>> {
        self.is_open(id).then(|| BevMut::new(self, id.key))
    }

    /// Two connections at once, unless one does not live here or they are the same.
    pub fn two(&mut self, first: BevId, second: BevId) -> Option<Two<'_>> {
        let both = first != second && self.is_open(first) && self.is_open(second);
        both.then(|| Two::new(self, (first.key, second.key)))
    }

    fn is_open(&mut self, id: BevId) -> bool {
        id.core == self.index
            && self.slots.stream(id.key).is_some_and(|stream| !stream.bev.is_closed())
    }

    /// Runs `task` on another core, or later on this one; sends of one turn go out together.
    ///
    /// # Errors
    /// There is no core of that number. One that has stopped meanwhile drops the task, which is
    /// logged; [`Handle::submit_to`] tells at once.
    pub fn submit_to(
        &mut self,
        core: usize,
        task: impl FnOnce(&mut Self) + Send + 'static,
    ) -> Result<(), Stopped> {
        let messages = self.outbox.get_mut(core).ok_or(Stopped { core })?;
        messages.push(Message::Run(Box::new(task)));
        Ok(())
    }

    pub(crate) fn set_observer(&mut self, observer: Box<dyn Observer>) {
        self.observer = Some(observer);
    }

    // ---- the loop ----

    /// Turns until the core has been told to stop and has.
    pub(crate) fn run(&mut self) {
        while !self.drain.is_over() {
            self.turn(LONGEST_SLEEP);
        }
        self.stop();
    }

    /// One turn, sleeping at most `longest` when nothing is to do.
    pub(crate) fn turn(&mut self, longest: Duration) {
        self.poll(longest);
        // Before anything else queues them, or they would not come first.
        self.enqueue_waiting();
        self.read_mail();
        self.mark_ready();
        self.run_rounds();
        self.fire_timers();
        self.resume_groups();
        // What timers and groups gave is carried through in the same turn.
        self.run_rounds();
        self.send_mail();
        self.reap();
        self.answer_drop_panics();
        self.service_groups();
        self.end_turn();
    }

    fn run_rounds(&mut self) {
        let mut rounds = 0;
        let mut in_memory_left = 0;
        while rounds < ROUNDS_PER_TURN && self.lanes.have_work() {
            // A socket is ready once a turn, and operations in memory are counted, so the batches
            // and the hops of a chain end.
            let goes_on =
                std::mem::replace(&mut in_memory_left, self.in_memory_left) > self.in_memory_left;
            rounds += usize::from(!self.lanes.have_ready() && !goes_on);
            self.run_round();
        }
    }

    fn read_mail(&mut self) {
        let (before, index) = (self.stats.messages, self.index());
        for _ in 0..MESSAGES_PER_TURN / MESSAGES_AT_ONCE {
            let count = self.shared.mailbox(index).take(MESSAGES_AT_ONCE, &mut self.mail);
            while let Some(message) = self.mail.pop_front() {
                self.stats.messages += 1;
                self.handle_message(message);
            }
            if count < MESSAGES_AT_ONCE {
                break;
            }
        }
        self.note_mail(self.stats.messages - before);
        self.pulse.beat(Label::CORE);
    }

    fn handle_message(&mut self, message: Message) {
        match message {
            Message::Run(task) => self.guard(Label::TASK, task),
            Message::Group(shard) => self.handle_group(shard),
            Message::HandOver(connection) => self.receive_connection(*connection),
            Message::Wire(letter) => self.receive(letter.to, letter.parcel),
            Message::Gone(core) => self.lose_core(core),
            Message::Shutdown(Shutdown::Drain) => self.start_drain(),
            Message::Shutdown(Shutdown::Now) => self.cut_all(),
        }
    }

    fn mark_ready(&mut self) {
        let mut events = std::mem::take(&mut self.events);
        self.stats.events += events.len() as u64;
        for event in events.drain(..) {
            let Some(slot) = self.slots.find(event.key) else { continue };
            match &mut slot.occupant {
                Occupant::Stream(stream) => {
                    if stream.bev.is_connecting() {
                        self.finish_connecting(event);
                        continue;
                    }
                    stream.bev.handle_ready(event.readiness);
                }
                Occupant::Listener(listener) => listener.ready = true,
                Occupant::Attempt(attempt) => {
                    let attempt = **attempt;
                    self.finish_attempt(event, attempt);
                    continue;
                }
                Occupant::None => continue,
            }
            self.enqueue(event.key.slot);
        }
        self.events = events;
    }

    fn fire_timers(&mut self) {
        for _ in 0..TIMERS_PER_TURN {
            let Some(timer) = self.wheel.poll_expired(self.now) else { break };
            self.stats.timers_fired += 1;
            match timer {
                Timer::Stream(key) => self.fire_stream_timer(key),
                Timer::Shard(shard) => self.shards.fire(shard),
                Timer::Accept(key) => self.end_back_off(key),
                Timer::Dial(key) => self.fire_dial_timer(key),
                Timer::DrainDeadline => self.cut_all(),
                Timer::Task(task) => self.guard(Label::TIMER, task),
            }
        }
        self.pulse.beat(Label::CORE);
    }

    fn fire_stream_timer(&mut self, key: Key) {
        let now = self.now;
        let Some(stream) = self.slots.stream(key) else { return };
        stream.timer = None;
        let before = stream.bev.excused_timeouts();
        stream.bev.handle_deadline(now);
        self.stats.excused_timeouts += u64::from(stream.bev.excused_timeouts() - before);
        self.update(key);
    }

    fn send_mail(&mut self) {
        self.post();
        let mut undelivered = Vec::new();
        for (core, messages) in self.outbox.iter_mut().enumerate() {
            if messages.is_empty() {
                continue;
            }
            if self.shared.mailbox(core).send_batch(messages).is_err() {
                tracing::warn!(to = core, "messages to a stopped core were dropped");
                undelivered.append(messages);
            }
        }
        undelivered.into_iter().for_each(|message| self.take_back(message));
    }

    fn end_turn(&mut self) {
        self.turn = self.turn.wrapping_add(1);
        self.in_memory_left = OPERATIONS_IN_MEMORY;
        self.handshakes_left = HANDSHAKES_PER_TURN;
        self.stats.turns += 1;
        let ended = self.driver.now();
        self.spend(ended, Spent::Busy);
        let took = ended.saturating_since(self.now);
        self.stats.longest_turn_ns = self.stats.longest_turn_ns.max(nanos(took));
        // An event ends a sleep early, and hides as much of the turn before it.
        self.note_gap(took);
    }

    pub(crate) fn id(&self, key: Key) -> BevId {
        BevId { core: self.index, key }
    }
}

fn nanos(span: Duration) -> u64 {
    u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)
}

impl fmt::Debug for Core {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Core")
            .field("index", &self.index)
            .field("slots", &self.slots.len())
            .field("now", &self.now)
            .finish_non_exhaustive()
    }
}
