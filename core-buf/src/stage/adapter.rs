//! A filter as a stage: when its functions are called, and what becomes of what they make.
//!
//! Owns the filter and, for each direction, what the filter made beyond its limit, the error that
//! waits behind that, and what the last call said. Never gives more than it has leave for and never
//! loses a byte of it.
//!
//! Invariants: nothing is asked of the filter while something of it waits; a call that moves
//! nothing is not repeated before there is more to take, more leave, or a stronger mode.
//! Source: libevent 2.1.12 `be_filter_process_input` and `be_filter_process_output_inner`. Differs:
//! the limit is kept whatever the filter does, an error is told, and idle calls do not spin.

use std::mem;

use super::{Filter, FilterError, FilterResult, Pass, Progress, Stage, Step, Wait};
use crate::buffer::Buffer;
use crate::bufferevent::EventFlags;
use crate::flush::FlushMode;

/// Calls of a filter function in one step; one that always makes a little lets others go on.
const CALLS_PER_STEP: usize = 64;

/// A [`Filter`] in the place of a [`Stage`].
///
/// # Examples
/// ```
/// use sluicegate_core_buf::{Bufferevent, FilterStage};
/// use sluicegate_groups::{Direction, Time};
///
/// let now = Time::ZERO;
/// let mut stage = FilterStage::new(());
/// let mut lower = Bufferevent::in_memory(now);
/// let mut upper = Bufferevent::over_stage(now);
/// upper.buffers().1.add(b"down");
/// let want = upper.poll_write().expect("something waits");
/// assert_eq!(upper.step(now, Direction::Write, want, &mut stage, &mut lower), 4);
/// assert_eq!((lower.output().to_vec(), upper.output().len()), (b"down".to_vec(), 0));
/// ```
#[derive(Debug)]
pub struct FilterStage<F> {
    filter: F,
    read: Way,
    write: Way,
}

/// One direction of a filter.
#[derive(Debug, Default)]
struct Way {
    /// Made beyond the limit: passes before the filter is called again.
    held: Buffer,
    /// Told when nothing is held any more.
    failed: Option<FilterError>,
    /// Has failed: is never called again.
    over: bool,
    /// The filter was stopped by its limit and may hold more inside.
    stopped: bool,
    /// How much it left when it last needed more, and in which mode it was called.
    starved: Option<(usize, FlushMode)>,
}

impl<F: Filter> FilterStage<F> {
    /// Puts a filter in the place of a stage.
    pub fn new(filter: F) -> Self {
        Self { filter, read: Way::default(), write: Way::default() }
    }

    /// The filter.
    pub fn filter(&mut self) -> &mut F {
        &mut self.filter
    }
}

impl<F: Filter> Stage for FilterStage<F> {
    fn step(&mut self, step: Step<'_>) -> Progress {
        let Self { filter, read, write } = self;
        let mut progress = Progress::default();
        if let Some(pass) = step.read {
            let call = |src: &mut _, dst: &mut _, limit, mode| filter.input(src, dst, limit, mode);
            progress.read = read.run(step.lower_input, step.upper_input, pass, call);
            note_failure(&mut progress, read, EventFlags::READING);
        }
        if let Some(pass) = step.write {
            let call = |src: &mut _, dst: &mut _, limit, mode| filter.output(src, dst, limit, mode);
            progress.write = write.run(step.upper_output, step.lower_output, pass, call);
            note_failure(&mut progress, write, EventFlags::WRITING);
        }
        progress.backlog = write.held.len();
        progress
    }
}

#[inline]
fn note_failure(progress: &mut Progress, way: &mut Way, side: EventFlags) {
    if way.over
        && let Some(error) = way.failed.take()
    {
        progress.events |= side | EventFlags::ERROR;
        progress.error.get_or_insert_with(|| error.into());
    }
}

/// One of the functions of a filter.
trait Call: FnMut(&mut Buffer, &mut Buffer, Option<usize>, FlushMode) -> FilterResult {}
impl<F: FnMut(&mut Buffer, &mut Buffer, Option<usize>, FlushMode) -> FilterResult> Call for F {}

impl Way {
    #[inline]
    fn run(&mut self, src: &mut Buffer, dst: &mut Buffer, pass: Pass, mut call: impl Call) -> Wait {
        if pass.mode > FlushMode::Normal {
            // Each flush is worth a call.
            self.starved = None;
        }
        let mut left = pass.limit - self.held.move_to(dst, pass.limit);
        for _ in 0..CALLS_PER_STEP {
            if !self.held.is_empty() {
                return Wait::Room;
            }
            self.over |= self.failed.is_some();
            if self.over {
                return Wait::Over;
            }
            if !self.is_due(src, pass.mode) {
                let finished = pass.mode == FlushMode::Finished;
                return if finished { Wait::Over } else { Wait::Source };
            }
            if left == 0 {
                self.stopped = true;
                return Wait::Room;
            }
            left -= self.make(src, dst, left, pass.mode, &mut call);
        }
        Wait::Room
    }

    /// Whether a call can come to anything.
    fn is_due(&self, src: &Buffer, mode: FlushMode) -> bool {
        match self.starved {
            Some((left, starved_in)) => src.len() != left || mode > starved_in,
            None => !src.is_empty() || self.stopped || mode > FlushMode::Normal,
        }
    }

    /// Calls the filter once; returns how many bytes it has put into `dst`.
    fn make(
        &mut self,
        src: &mut Buffer,
        dst: &mut Buffer,
        left: usize,
        mode: FlushMode,
        call: &mut impl Call,
    ) -> usize {
        let (there, here) = (src.len(), dst.len());
        // No limit is the largest number, which no buffer comes near to using up.
        let result = call(src, dst, (left <= Buffer::MAX_LEN).then_some(left), mode);
        let made = dst.len().saturating_sub(here);
        let idle = made == 0 && src.len() == there;
        (self.starved, self.stopped) = match result {
            FilterResult::Ok if !idle => (None, made == left),
            FilterResult::Ok | FilterResult::NeedMore => (Some((src.len(), mode)), false),
            FilterResult::Error(error) => {
                self.failed = Some(error);
                (None, false)
            }
        };
        if made <= left {
            return made;
        }
        // The tail beyond the limit waits here.
        self.held = mem::take(dst);
        self.held.move_to(dst, here + left);
        left
    }
}
