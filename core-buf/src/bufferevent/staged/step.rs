//! A step: bytes pass a stage, in one direction, under the permit of the upper stream.
//!
//! Owns nothing; calls the stage, measures what moved, and notes what the stage has said. What is
//! remembered between steps is in the file above, and so is when a step is due.
//!
//! Invariants: a stage is told that nothing follows only when nothing does, be it in a source that
//! could not be read yet; what arrived is what the buffers say, whatever the stage says.
//! Source: libevent 2.1.12 `be_filter_process_output_inner`, `be_filter_process_input`.

use std::{io, mem};

use groups::{Direction, Time};

use super::{End, PASSED_BY_FLUSH};
use crate::buffer::{Buffer, SourceError};
use crate::bufferevent::{Bufferevent, Event, EventFlags, Readiness, Suspend, WriteOutcome};
use crate::flush::FlushMode;
use crate::stage::{InputEnd, Pass, Progress, Stage, Step, Wait};

impl End {
    fn how(&self) -> InputEnd {
        let failed = self.told.flags.contains(EventFlags::ERROR);
        if failed { InputEnd::Failed } else { InputEnd::Eof }
    }
}

impl Bufferevent {
    /// Moves up to `limit` bytes in one direction through `stage`; returns how many arrived.
    ///
    /// Reading, they come from the input of `lower` and arrive in this input; writing, they go to
    /// the output of `lower`. Ask for leave first, as for any operation. Look at `lower`
    /// afterwards: both its buffers may have changed. A source in the output is read first; what it
    /// gave before it failed passes, and then writing ends.
    pub fn step(
        &mut self,
        now: Time,
        direction: Direction,
        limit: usize,
        stage: &mut dyn Stage,
        lower: &mut Self,
    ) -> usize {
        // A stage has to see all of the output: it may need more than any part of it.
        if direction == Direction::Write
            && let Err(error) = self.output.load(usize::MAX)
        {
            return self.step_to_failure(now, limit, stage, lower, error);
        }
        self.step_all(now, direction, limit, stage, lower, None)
    }

    /// As [`step`](Self::step), for writing what could be read before a source failed; once the
    /// stage makes nothing of that, writing ends.
    #[cold]
    fn step_to_failure(
        &mut self,
        now: Time,
        limit: usize,
        stage: &mut dyn Stage,
        lower: &mut Self,
        error: SourceError,
    ) -> usize {
        let before = self.output.len();
        let loaded = self.output.loaded();
        let mut unread = mem::take(&mut self.output);
        unread.move_to(&mut self.output, loaded);
        let unread = Some(&mut unread);
        let moved = self.step_all(now, Direction::Write, limit, stage, lower, unread);
        if let Some(staged) = &mut self.staged {
            // It has not looked at all of it.
            staged.refused = 0;
        }
        if moved == 0 && self.output.len() == before {
            self.handle_write(now, WriteOutcome::Failed(error.into()), limit);
        }
        moved
    }

    /// Makes a step; what of the output the stage cannot see is `unread`.
    fn step_all(
        &mut self,
        now: Time,
        direction: Direction,
        limit: usize,
        stage: &mut dyn Stage,
        lower: &mut Self,
        unread: Option<&mut Buffer>,
    ) -> usize {
        let (finishes, outlook) = (self.finishes(), self.outlook());
        let hidden = unread.as_ref().map_or(0, |unread| unread.len());
        let leave = self.leave(direction, limit);
        self.note_call();
        let Some(staged) = &mut self.staged else { return 0 };
        // A call without leave is none for the sake of a flush, which is still to come.
        let flush = leave.and_then(|_| staged.flushes[direction.index()].take());
        let due = match direction {
            Direction::Read if staged.ended.is_some() => FlushMode::Finished,
            Direction::Write if finishes => FlushMode::Finished,
            _ => FlushMode::Normal,
        };
        let mode = flush.map_or(due, |flush| flush.mode.max(due));
        let mode = if hidden > 0 { mode.min(FlushMode::Flush) } else { mode };
        let room = match direction {
            Direction::Write if flush.is_none() => lower.room_to_write(),
            _ => usize::MAX,
        };
        let pass = leave.map(|limit| Pass { limit: limit.min(room), mode });
        let before = (self.input.len(), self.output.len() + hidden, lower.output.len());
        let progress = stage.step(Step {
            now,
            lower_input: &mut lower.input,
            lower_output: &mut lower.output,
            upper_input: &mut self.input,
            upper_output: &mut self.output,
            read: pass.filter(|_| direction == Direction::Read),
            write: pass.filter(|_| direction == Direction::Write),
            ended: staged.ended.as_ref().filter(|end| end.is_final).map(End::how),
            outlook,
            reads_after_output: self.suspended.of(Direction::Read).contains(Suspend::OUTPUT),
        });
        if let Some(unread) = unread {
            self.output.append(unread);
        }
        let wait = [progress.read, progress.write][direction.index()];
        // What has not passed as a whole goes on in the same mode.
        let is_part = wait == Wait::Room || (wait == Wait::Input && !self.output.is_empty());
        let slot = if is_part { &mut staged.flushes } else { &mut staged.passed };
        if flush.is_some() {
            slot[direction.index()] = flush;
        }
        let moved = match direction {
            Direction::Read => self.note_step_up(now, before.0, &progress),
            Direction::Write => {
                let down = lower.output.len().saturating_sub(before.2);
                self.note_step_down(now, before, down, &progress, mode, leave.is_some());
                down
            }
        };
        let moved = progress.used.unwrap_or(moved);
        self.note_own(direction, stage.deadline(), &progress, lower.input.is_empty());
        self.note_events(now, progress);
        lower.handle_callback(now);
        self.finish_flushing();
        self.sync_waits(now, lower);
        self.update_deadlines(now);
        moved
    }

    fn note_step_up(&mut self, now: Time, before: usize, progress: &Progress) -> usize {
        let moved = self.input.len().saturating_sub(before);
        self.ready.set(Readiness::READABLE, progress.read == Wait::Room);
        if moved > 0 {
            self.note_arrival(now);
        }
        if self.staged.as_ref().is_some_and(|staged| staged.own.is_some()) {
            // It knows how the end is meant, and tells it.
            return moved;
        }
        if progress.read != Wait::Room
            && let Some(end) = self.staged.as_mut().and_then(|staged| staged.ended.take())
            && !progress.events.contains(EventFlags::READING | EventFlags::ERROR)
        {
            let End { told: Event { flags, error }, is_final } = end;
            if is_final {
                self.end_reading(flags.contains(EventFlags::ERROR));
            }
            self.trigger_event(flags, error);
        }
        moved
    }

    fn note_step_down(
        &mut self,
        now: Time,
        (input, output, _): (usize, usize, usize),
        count: usize,
        progress: &Progress,
        mode: FlushMode,
        asked: bool,
    ) {
        let took = self.output.len() < output;
        if self.input.len() > input {
            // The last of what a failed stage had for the user.
            self.note_arrival(now);
        }
        let (finishes, output_len) = (self.finishes(), self.output.len());
        let Some(staged) = &mut self.staged else { return };
        let more = progress.write == Wait::Room;
        staged.backlog = progress.backlog.max(usize::from(more));
        // Only what it was asked to take can it have refused.
        let refuses = !more && progress.write != Wait::Input && asked;
        staged.refused = if refuses { output_len } else { 0 };
        staged.unflushed |= count > 0;
        if mode == FlushMode::Finished && progress.write == Wait::Over {
            staged.finished = true;
            if finishes {
                // What the stage will never take must not keep the stream from its end. A filter
                // may have had enough, but the peer of a protocol has got less than was meant.
                self.truncated |= staged.own.is_some() && output_len > 0;
                self.output.clear();
            }
        } else if took || output_len > 0 {
            // Something has followed a flush that finished.
            staged.finished = false;
        }
        // What a protocol says on its own account, such as a handshake, is not the user's.
        let speaks = staged.own.is_some() && !took;
        if speaks && count > 0 {
            self.deadlines.restart(now, Direction::Write);
        }
        self.note_departure(now, usize::from(!speaks && (count > 0 || took)));
    }

    /// How many bytes the user's side has leave for; `None` while it stands still, and the stage is
    /// called for its own sake.
    fn leave(&self, direction: Direction, limit: usize) -> Option<usize> {
        let limit = if limit > Buffer::MAX_LEN { usize::MAX } else { limit };
        let staged = self.staged.as_ref().filter(|staged| staged.own.is_some());
        let Some(staged) = staged else { return Some(limit) };
        let flushes = staged.flushes[direction.index()].is_some();
        let passes = if flushes { PASSED_BY_FLUSH } else { Suspend::empty() };
        if !(self.suspended.of(direction) - passes).is_empty() {
            return None;
        }
        match direction {
            Direction::Read if !flushes => {
                Some(limit.min(self.marks.room_to_read(self.input.len()))).filter(|&room| room > 0)
            }
            _ => Some(limit),
        }
    }

    #[inline]
    fn note_events(&mut self, now: Time, progress: Progress) {
        let Progress { events, error, .. } = progress;
        if !events.is_empty() {
            self.note_stage_events(now, events, error);
        }
    }

    #[cold]
    fn note_stage_events(&mut self, now: Time, events: EventFlags, error: Option<io::Error>) {
        let (read, write) = (EventFlags::READING, EventFlags::WRITING);
        if events.contains(EventFlags::CONNECTED) {
            self.note_connected(now);
        }
        let told = events - EventFlags::CONNECTED;
        let failed = told.contains(EventFlags::ERROR);
        let is_whole = failed && !told.intersects(read | write);
        if told.contains(EventFlags::EOF | read) || is_whole || (failed && told.contains(read)) {
            self.end_reading(failed);
        }
        let error = error.or_else(|| {
            let end = self.staged.as_mut().and_then(|staged| staged.ended.as_mut());
            end.filter(|_| failed).and_then(|end| end.told.error.take())
        });
        if is_whole || (failed && told.contains(write)) {
            self.abandon_output();
            // What the stage has taken and not made anything of is not known.
            self.truncated = true;
        }
        if !told.is_empty() {
            self.trigger_event(told, error);
        }
    }
}
