//! A stack of two: a stream over a stage over a stream in memory, the wire in the test's hands.
//!
//! Owns both streams, the stage, what is on the wire and the time; drives them as a reactor would,
//! until nothing moves. Meant for testing filters: bytes go in at one end, come out at the other,
//! and every rule between (marks, limits, flushes, ends) holds as in a running server.

use groups::{Direction, Time};

use crate::{
    Allowance, Buffer, Bufferevent, Callback, Event, EventFlags, Filter, FilterStage, Landing,
    ReadOutcome, Readiness, Stage,
};

/// A stream over a stage, and all that is below it.
///
/// # Examples
/// ```
/// use sluicegate_core_buf::testing::Stack;
/// use sluicegate_core_buf::{Buffer, Filter, FilterResult, FlushMode};
///
/// /// Takes whole lines only.
/// struct Lines;
/// impl Filter for Lines {
///     fn input(
///         &mut self,
///         src: &mut Buffer,
///         dst: &mut Buffer,
///         _limit: Option<usize>,
///         _mode: FlushMode,
///     ) -> FilterResult {
///         match src.to_vec().iter().rposition(|&byte| byte == b'\n') {
///             Some(end) => {
///                 src.move_to(dst, end + 1);
///                 FilterResult::Ok
///             }
///             None => FilterResult::NeedMore,
///         }
///     }
/// }
///
/// let mut stack = Stack::over_filter(Lines);
/// stack.arrive(b"one\ntw");
/// assert_eq!(stack.upper().input().to_vec(), b"one\n");
/// stack.arrive(b"o\n");
/// assert_eq!(stack.upper().input().to_vec(), b"one\ntwo\n");
/// stack.upper().buffers().1.add(b"three");
/// stack.run();
/// assert_eq!(stack.sent(), b"three");
/// ```
pub struct Stack {
    now: Time,
    upper: Bufferevent,
    lower: Bufferevent,
    stage: Box<dyn Stage>,
    arriving: Buffer,
    ended: bool,
    sent: Buffer,
    is_stalled: bool,
    has_ended: bool,
    told: Vec<Callback>,
    steps: usize,
}

impl Stack {
    /// A stream over a filter.
    pub fn over_filter(filter: impl Filter + 'static) -> Self {
        Self::new(FilterStage::new(filter))
    }

    /// A stream over a stage.
    pub fn new(stage: impl Stage + 'static) -> Self {
        Self::of(stage, Bufferevent::over_stage(Time::ZERO))
    }

    /// A stream over a stage that speaks on its own account, and whose user may have to wait for
    /// it to connect: [`Bufferevent::over_protocol`].
    pub fn over_protocol(stage: impl Stage + 'static, connects: bool) -> Self {
        Self::of(stage, Bufferevent::over_protocol(Time::ZERO, connects))
    }

    fn of(stage: impl Stage + 'static, mut upper: Bufferevent) -> Self {
        let now = Time::ZERO;
        let mut lower = Bufferevent::in_memory(now);
        lower.set_max_single(Direction::Read, crate::DEFAULT_MAX_SINGLE);
        upper.tell_flushed();
        lower.enter_stage();
        Self {
            now,
            upper,
            lower,
            stage: Box::new(stage),
            arriving: Buffer::new(),
            ended: false,
            sent: Buffer::new(),
            is_stalled: false,
            has_ended: false,
            told: Vec::new(),
            steps: 0,
        }
    }

    /// Bytes come in from the peer.
    pub fn arrive(&mut self, bytes: &[u8]) {
        self.arriving.add(bytes);
        self.run();
    }

    /// The peer sends no more, once what is on its way has arrived.
    pub fn end(&mut self) {
        self.ended = true;
        self.run();
    }

    /// The stream below fails: what it has not sent is lost.
    pub fn fail(&mut self, error: std::io::Error) {
        self.lower.handle_write(self.now, crate::WriteOutcome::Failed(error), 1);
        self.run();
    }

    /// Lets the peer take nothing, or everything again.
    pub fn stall(&mut self, on: bool) {
        self.is_stalled = on;
        self.run();
    }

    /// Lets time pass.
    pub fn advance_to(&mut self, now: Time) {
        self.now = now;
        for stream in [&mut self.upper, &mut self.lower] {
            if stream.poll_deadline().is_some_and(|at| at <= now) {
                stream.handle_deadline(now);
            }
        }
        self.run();
    }

    /// The stream over the stage. Call [`run`](Self::run) after a change.
    pub fn upper(&mut self) -> &mut Bufferevent {
        &mut self.upper
    }

    /// The stream below it.
    pub fn lower(&mut self) -> &mut Bufferevent {
        &mut self.lower
    }

    /// What the peer has got so far.
    pub fn sent(&self) -> Vec<u8> {
        self.sent.to_vec()
    }

    /// Whether the peer has read the end of the stream, after all that was sent.
    pub fn has_ended(&self) -> bool {
        self.has_ended
    }

    /// What the user was told since the last call, in order.
    pub fn told(&mut self) -> Vec<Callback> {
        std::mem::take(&mut self.told)
    }

    /// The events the user was told since the last call; other callbacks are forgotten.
    pub fn events(&mut self) -> Vec<Event> {
        let events = self.told().into_iter().filter_map(|callback| match callback {
            Callback::Event(event) if event.flags != EventFlags::FLUSHED => Some(event),
            _ => None,
        });
        events.collect()
    }

    /// How often the stage was asked to do something.
    pub fn steps(&self) -> usize {
        self.steps
    }

    /// Moves bytes until nothing can move.
    ///
    /// # Panics
    /// If it never comes to rest: something spins.
    pub fn run(&mut self) {
        for _ in 0..ROUNDS {
            let mut busy = self.sync();
            busy |= self.run_lower();
            busy |= self.sync();
            for direction in Direction::ALL {
                busy |= self.step(direction);
            }
            busy |= self.sync();
            while let Some(callback) = self.upper.poll_callback() {
                self.told.push(callback);
                busy = true;
            }
            if !busy {
                return;
            }
        }
        panic!("spins: {:?} over {:?}", self.upper, self.lower);
    }

    fn sync(&mut self) -> bool {
        let (upper, lower) = self.upper.sync_below(self.now, &mut self.lower);
        upper || lower
    }

    fn run_lower(&mut self) -> bool {
        let now = self.now;
        let mut busy = false;
        let reads = self.lower.suspended(Direction::Read).is_empty();
        if !self.arriving.is_empty() {
            self.lower.handle_ready(Readiness::READABLE);
        } else if self.ended && reads {
            self.lower.handle_read(now, ReadOutcome::EndOfStream, 1, &mut Landing::new());
        }
        if let Some(count) = self.lower.poll_read() {
            busy |= self.lower.read_wire(now, &mut self.arriving, count) > 0;
        }
        if let Some(count) = self.lower.poll_write().filter(|_| !self.is_stalled) {
            busy |= self.lower.write_wire(now, &mut self.sent, count) > 0;
        }
        self.has_ended |= self.lower.poll_shutdown();
        busy | self.upper.handle_news(now, &mut self.lower)
    }

    fn step(&mut self, direction: Direction) -> bool {
        let now = self.now;
        let Some(want) = self.upper.poll_operation(direction) else { return false };
        if let Allowance::Move(permit) = self.upper.request(direction, want, None, &mut || now) {
            let stage = self.stage.as_mut();
            let used = self.upper.step(now, direction, permit.bytes, stage, &mut self.lower);
            self.upper.settle(permit, used, None);
            self.steps += 1;
        }
        true
    }
}

impl std::fmt::Debug for Stack {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut debug = f.debug_struct("Stack");
        debug.field("upper", &self.upper).field("lower", &self.lower).finish_non_exhaustive()
    }
}

/// More rounds than any honest transfer in a test takes.
const ROUNDS: usize = 100_000;
