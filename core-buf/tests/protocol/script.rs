//! A stage that does what a test says, and the record of what it was called with.
//!
//! Owns no test. What a script answers is the test's business; how a peer's bytes are greeted and
//! passed on is here, since most tests need it.

use std::sync::mpsc;
use std::time::Duration;

use sluicegate_core_buf::testing::Stack;
use sluicegate_core_buf::{
    Callback, EventFlags, FlushMode, InputEnd, Link, Outlook, Pass, Progress, Stage, Step, Wait,
};
use sluicegate_groups::{Direction, Time, TokenBucketConfig};

pub(crate) const READ: Direction = Direction::Read;
pub(crate) const WRITE: Direction = Direction::Write;

/// What the peer sends to have a [`greeter`] connected.
pub(crate) const WELCOME: &[u8] = b"welcome";

/// What a stage was called with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Call {
    /// Bytes that have come from below, and that are to go there.
    pub(crate) waiting: (usize, usize),
    pub(crate) read: Option<Pass>,
    pub(crate) write: Option<Pass>,
    pub(crate) ended: Option<InputEnd>,
    pub(crate) outlook: Outlook,
}

impl Call {
    /// One for the sake of the stage: the user's bytes are not to be touched.
    pub(crate) fn is_bare(&self) -> bool {
        self.read.is_none() && self.write.is_none()
    }
}

/// What a script answers: how far it has come, and when it wants to be called again.
pub(crate) type Answer = (Progress, Option<Time>);

struct Script<W> {
    work: W,
    deadline: Option<Time>,
    calls: mpsc::Sender<Call>,
}

impl<W: FnMut(Step<'_>) -> Answer + Send> Stage for Script<W> {
    fn step(&mut self, step: Step<'_>) -> Progress {
        let _unheard = self.calls.send(Call {
            waiting: (step.lower_input.len(), step.upper_output.len()),
            read: step.read,
            write: step.write,
            ended: step.ended,
            outlook: step.outlook,
        });
        let (progress, deadline) = (self.work)(step);
        self.deadline = deadline;
        progress
    }

    fn deadline(&self) -> Option<Time> {
        self.deadline
    }
}

/// A stack over a protocol, not yet run, and the calls since it was last asked.
pub(crate) struct Played {
    pub(crate) stack: Stack,
    calls: mpsc::Receiver<Call>,
}

impl Played {
    /// Over a stage whose user waits for CONNECTED, on a stream that is connected.
    pub(crate) fn connecting<W>(work: W) -> Self
    where
        W: FnMut(Step<'_>) -> Answer + Send + 'static,
    {
        Self::new(work, true)
    }

    /// Over a stage that was connected before.
    pub(crate) fn open<W>(work: W) -> Self
    where
        W: FnMut(Step<'_>) -> Answer + Send + 'static,
    {
        Self::new(work, false)
    }

    fn new<W>(work: W, connects: bool) -> Self
    where
        W: FnMut(Step<'_>) -> Answer + Send + 'static,
    {
        let (sender, calls) = mpsc::channel();
        let script = Script { work, deadline: None, calls: sender };
        Self { stack: Stack::over_protocol(script, connects), calls }
    }

    /// Has the stream below be as far as `link`; for before the first run.
    pub(crate) fn linked(mut self, link: Link) -> Self {
        self.stack.lower().renew(Time::ZERO, link);
        self
    }

    /// Runs, and returns what the stage was called with since it was last asked.
    pub(crate) fn calls(&mut self) -> Vec<Call> {
        self.stack.run();
        self.calls.try_iter().collect()
    }

    pub(crate) fn write(&mut self, bytes: &[u8]) {
        self.stack.upper().buffers().1.add(bytes);
        self.stack.upper().handle_callback(Time::ZERO);
        self.stack.run();
    }

    /// The flags of what the user was told since the last call, in order; of bytes, none.
    pub(crate) fn told(&mut self) -> Vec<EventFlags> {
        let told = self.stack.told().into_iter().filter_map(|callback| match callback {
            Callback::Read => Some(EventFlags::empty()),
            Callback::Event(event) if event.flags != EventFlags::FLUSHED => {
                Some(event.flags - EventFlags::FLUSHED)
            }
            _ => None,
        });
        told.collect()
    }
}

/// Says "hello", waits for [`WELCOME`], tells CONNECTED and passes bytes; says "bye" at the end.
pub(crate) fn greeter() -> impl FnMut(Step<'_>) -> Answer + Send {
    let (mut has_said, mut is_connected) = (false, false);
    move |mut step| {
        let mut progress = Progress::default();
        if !has_said {
            step.lower_output.add(b"hello");
            has_said = true;
        }
        if !is_connected {
            if step.lower_input.len() < WELCOME.len() {
                let waits = Progress { write: Wait::Input, needs_input: true, ..progress };
                return (waits, None);
            }
            step.lower_input.drain(WELCOME.len());
            progress.events = EventFlags::CONNECTED;
            is_connected = true;
        }
        (pass(&mut step, progress), None)
    }
}

/// Passes what it has leave for, and tells the end.
pub(crate) fn pass(step: &mut Step<'_>, mut progress: Progress) -> Progress {
    if let Some(pass) = step.read {
        step.lower_input.move_to(step.upper_input, pass.limit);
    }
    if !step.lower_input.is_empty() {
        progress.read = Wait::Room;
    } else if step.ended == Some(InputEnd::Eof) {
        progress.read = Wait::Over;
        progress.events |= EventFlags::EOF | EventFlags::READING;
    }
    if let Some(pass) = step.write {
        step.upper_output.move_to(step.lower_output, pass.limit);
        if !step.upper_output.is_empty() {
            progress.write = Wait::Room;
        } else if pass.mode == FlushMode::Finished {
            step.lower_output.add(b"bye");
            progress.write = Wait::Over;
        }
    }
    progress
}

pub(crate) fn at(nanos: u64) -> Time {
    Time::from_nanos(nanos)
}

/// `rate` bytes each way in every second.
pub(crate) fn per_second(rate: u64) -> TokenBucketConfig {
    let tick = Some(Duration::from_secs(1));
    TokenBucketConfig::new(rate, rate, rate, rate, tick).expect("valid numbers")
}
