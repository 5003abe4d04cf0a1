//! Watermarks, the largest single operation, and back-pressure.
//!
//! Owns the numbers that say how full a buffer may get and how much one operation may move; lifts
//! and adds the suspend reasons that follow from them, and tells producers when to stop. Never
//! moves a byte.
//!
//! The output has two bounds. `max_output` protects from a peer that sends and does not read: by
//! itself it makes reading rest, of the same stream. The high write mark is for producers that have
//! their bytes from elsewhere: it is told as an event, and the write callback says when to go on.
//!
//! Invariants: a read never takes the input beyond its high mark; reading rests while the output
//! holds more than `max_output`, so a peer that sends and never reads cannot fill our memory; the
//! high write mark is told once before the output has been at its low mark again.
//! Source: libevent 2.1.12 `bufferevent_setwatermark`, `bufferevent_set_max_single_read`.
//! Differs: the largest single operation holds together with limits, and back-pressure exists, as
//! does a high write mark for others than filters.
//! Reading resumes as soon as the output is at `max_output` again, not at some lower mark: as
//! suspending costs no system call, there is nothing that hysteresis would save.

use groups::Direction;

use super::{Bufferevent, EventFlags, Suspend};

/// Largest single read and write unless set otherwise, in bytes.
pub const DEFAULT_MAX_SINGLE: usize = 16_384;

/// How much output may wait before reading rests, in bytes, unless set otherwise.
pub const DEFAULT_MAX_OUTPUT: usize = 1 << 20;

/// The marks of one bufferevent, in bytes.
#[derive(Debug)]
pub(super) struct Watermarks {
    read_low: usize,
    /// 0 is no mark.
    read_high: usize,
    write_low: usize,
    /// `usize::MAX` is no mark.
    write_high: usize,
    max_output: usize,
    /// The lower of the two, at least 1: below it nothing follows from how long the output is.
    output_limit: usize,
    max_single: [usize; 2],
    /// More output than `max_output` does not make reading rest.
    output_excused: bool,
    /// The high write mark has been told, and the output not been at its low mark since.
    high_told: bool,
    /// One operation moves what there is, unless `max_single` is set.
    in_memory: bool,
    /// A stage takes what comes: the low read mark is for a handler.
    under_stage: bool,
}

impl Default for Watermarks {
    fn default() -> Self {
        Self {
            read_low: 0,
            read_high: 0,
            write_low: 0,
            write_high: usize::MAX,
            max_output: DEFAULT_MAX_OUTPUT,
            output_limit: DEFAULT_MAX_OUTPUT,
            max_single: [DEFAULT_MAX_SINGLE; 2],
            output_excused: false,
            high_told: false,
            in_memory: false,
            under_stage: false,
        }
    }
}

impl Watermarks {
    /// The marks of a stream in memory: one operation moves what there is.
    pub(super) fn in_memory() -> Self {
        Self { max_single: [IN_MEMORY_SINGLE; 2], in_memory: true, ..Self::default() }
    }

    /// Whether the read callback is due: at the low mark, or when no more would come.
    #[inline]
    pub(super) fn input_is_due(&self, input_len: usize) -> bool {
        input_len >= self.read_low || self.under_stage || self.input_is_full(input_len)
    }

    #[inline]
    pub(super) fn output_is_due(&self, output_len: usize) -> bool {
        output_len <= self.write_low
    }

    #[inline]
    pub(super) fn max_single(&self, direction: Direction) -> usize {
        self.max_single[direction.index()]
    }

    pub(super) fn stand_under_stage(&mut self, on: bool) {
        self.under_stage = on;
    }

    /// How many bytes one read may take; 0 at the high mark.
    #[inline]
    pub(super) fn room_to_read(&self, input_len: usize) -> usize {
        let most = self.max_single(Direction::Read);
        if self.read_high == 0 { most } else { most.min(self.read_high.saturating_sub(input_len)) }
    }

    /// How many bytes the input may still take: up to its high mark, or `window` without one.
    #[inline]
    pub(super) fn window(&self, input_len: usize, window: usize) -> usize {
        if self.read_high == 0 { window } else { self.read_high.saturating_sub(input_len) }
    }

    /// How many bytes may still be put out by a stage; at least one into an empty output.
    pub(super) fn room_to_write(&self, output_len: usize) -> usize {
        match self.output_limit {
            usize::MAX => usize::MAX,
            most => most.saturating_sub(output_len),
        }
    }

    fn bound_output(&mut self) {
        self.output_limit = self.max_output.max(1).min(self.write_high);
    }

    #[inline]
    fn input_is_full(&self, input_len: usize) -> bool {
        self.read_high != 0 && input_len >= self.read_high
    }
}

impl Bufferevent {
    /// Sets the read marks: the read callback waits for `low` bytes, reading rests at `high`.
    ///
    /// # Units
    /// Bytes; a `high` of 0 is no mark. The defaults are 0 and 0.
    pub fn set_read_watermark(&mut self, low: usize, high: usize) {
        self.marks.read_low = low;
        self.marks.read_high = high;
        self.update_marks();
    }

    /// The read marks, low and high, in bytes.
    pub fn read_watermark(&self) -> (usize, usize) {
        (self.marks.read_low, self.marks.read_high)
    }

    /// Sets the write marks: the write callback runs when the output has drained to `low` bytes,
    /// and a [`HIGH_WATER`](EventFlags::HIGH_WATER) event comes when it has grown to `high`.
    ///
    /// The event comes once; again only after the output has been at `low` or below. Nothing is
    /// refused: what is put out beyond the mark is written as well. A stage over this stream puts
    /// out no more than fits below the mark.
    ///
    /// # Units
    /// Bytes; a `high` of 0 is no mark, and one that is not above `low` is `low + 1`. The defaults
    /// are 0 and 0.
    pub fn set_write_watermark(&mut self, low: usize, high: usize) {
        let high = if high == 0 { usize::MAX } else { high.max(low.saturating_add(1)) };
        let marks = &mut self.marks;
        if (marks.write_low, marks.write_high) != (low, high) {
            (marks.write_low, marks.write_high) = (low, high);
            marks.bound_output();
            self.forget_high();
            self.update_marks();
        }
    }

    /// The write marks, low and high, in bytes; a high mark of 0 is none.
    pub fn write_watermark(&self) -> (usize, usize) {
        let high = self.marks.write_high;
        (self.marks.write_low, if high == usize::MAX { 0 } else { high })
    }

    /// Sets how much output may wait before reading rests.
    ///
    /// # Units
    /// Bytes. The default is [`DEFAULT_MAX_OUTPUT`]; `usize::MAX` turns back-pressure off, and
    /// then a peer that never reads can fill the memory.
    pub fn set_max_output(&mut self, bytes: usize) {
        self.marks.max_output = bytes;
        self.marks.bound_output();
        self.update_marks();
    }

    /// How much output may wait before reading rests, in bytes.
    pub fn max_output(&self) -> usize {
        self.marks.max_output
    }

    /// How long the output may get before its producers should stop: up to the high write mark or
    /// `max_output`, whichever is lower.
    #[inline]
    pub fn output_limit(&self) -> usize {
        self.marks.output_limit
    }

    /// Lets reading go on whatever the output holds, or rest again where it holds too much.
    ///
    /// For a stream whose peer does not read before this one does.
    #[inline]
    pub fn excuse_output(&mut self, on: bool) {
        if self.marks.output_excused != on {
            self.marks.output_excused = on;
            self.update_marks();
        }
    }

    /// Whether reading rests because the output waits, or would if it were not excused, and for no
    /// other reason but want of tokens.
    #[inline]
    pub fn is_backed_up(&self) -> bool {
        let others = self.suspended.of(Direction::Read) - Suspend::LIMITS - Suspend::OUTPUT;
        self.output.len() > self.marks.max_output && others.is_empty()
    }

    /// Sets the largest single read or write.
    ///
    /// # Units
    /// Bytes, above 64 KiB without effect on reads from a socket, as one
    /// [`Landing`](crate::Landing) lends no more; 0 or more than `isize::MAX` restores the default,
    /// which is [`DEFAULT_MAX_SINGLE`] and [in memory](Self::in_memory) `isize::MAX`.
    pub fn set_max_single(&mut self, direction: Direction, bytes: usize) {
        let fits = bytes != 0 && isize::try_from(bytes).is_ok();
        let unless_set = if self.marks.in_memory { IN_MEMORY_SINGLE } else { DEFAULT_MAX_SINGLE };
        self.marks.max_single[direction.index()] = if fits { bytes } else { unless_set };
    }

    /// The largest single read or write, in bytes.
    pub fn max_single(&self, direction: Direction) -> usize {
        self.marks.max_single(direction)
    }

    /// Suspends and resumes reading as the buffers and marks say.
    #[inline]
    pub(super) fn update_marks(&mut self) {
        let full = self.marks.input_is_full(self.input.len());
        self.suspended.set(Direction::Read, Suspend::WATERMARK, full);
        if self.output.len() < self.marks.output_limit {
            self.suspended.lift(Direction::Read, Suspend::OUTPUT);
        } else {
            self.note_full_output();
        }
    }

    fn note_full_output(&mut self) {
        let output_len = self.output.len();
        let backed_up = output_len > self.marks.max_output && !self.marks.output_excused;
        self.suspended.set(Direction::Read, Suspend::OUTPUT, backed_up);
        if output_len >= self.marks.write_high
            && !self.pending.mutes_writes()
            && !std::mem::replace(&mut self.marks.high_told, true)
        {
            self.trigger_event(EventFlags::HIGH_WATER, None);
        }
    }

    /// The high mark is to be told anew: the output has been at the low one, or nobody has heard.
    #[inline]
    pub(super) fn forget_high(&mut self) {
        self.marks.high_told = false;
        self.pending.withdraw(EventFlags::HIGH_WATER);
    }
}

/// The largest single operation in memory unless set otherwise, in bytes.
const IN_MEMORY_SINGLE: usize = isize::MAX as usize;
