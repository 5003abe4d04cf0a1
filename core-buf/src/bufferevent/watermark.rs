//! Watermarks, the largest single operation, and back-pressure.
//!
//! Owns the numbers that say how full a buffer may get and how much one operation may move; lifts
//! and adds the suspend reasons that follow from them. Never moves a byte.
//!
//! Invariants: a read never takes the input beyond its high mark; reading rests while the output
//! holds more than `max_output`, so a peer that sends and never reads cannot fill our memory.
//! Source: libevent 2.1.12 `bufferevent_setwatermark`, `bufferevent_set_max_single_read`.
//! Differs: the largest single operation holds together with limits, and back-pressure exists.
//! Reading resumes as soon as the output is at `max_output` again, not at some lower mark: as
//! suspending costs no system call, there is nothing that hysteresis would save.

use groups::Direction;

use super::{Bufferevent, Suspend};

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
    max_output: usize,
    /// More output than that does not make reading rest.
    output_excused: bool,
    max_single: [usize; 2],
    /// What `max_single` is unless set.
    default_single: usize,
}

impl Default for Watermarks {
    fn default() -> Self {
        Self {
            read_low: 0,
            read_high: 0,
            write_low: 0,
            max_output: DEFAULT_MAX_OUTPUT,
            output_excused: false,
            max_single: [DEFAULT_MAX_SINGLE; 2],
            default_single: DEFAULT_MAX_SINGLE,
        }
    }
}

impl Watermarks {
    /// The marks of a stream in memory: one operation moves what there is.
    pub(super) fn in_memory() -> Self {
        let all = isize::MAX as usize;
        Self { max_single: [all; 2], default_single: all, ..Self::default() }
    }

    /// Whether the read callback is due: at the low mark, or when no more would come.
    #[inline]
    pub(super) fn input_is_due(&self, input_len: usize) -> bool {
        input_len >= self.read_low || self.input_is_full(input_len)
    }

    #[inline]
    pub(super) fn output_is_due(&self, output_len: usize) -> bool {
        output_len <= self.write_low
    }

    #[inline]
    pub(super) fn max_single(&self, direction: Direction) -> usize {
        self.max_single[direction.index()]
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
        match self.max_output {
            usize::MAX => usize::MAX,
            most => most.max(1).saturating_sub(output_len),
        }
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

    /// Sets the write mark: the write callback runs when the output has drained to `low` bytes.
    pub fn set_write_watermark(&mut self, low: usize) {
        self.marks.write_low = low;
    }

    /// Sets how much output may wait before reading rests.
    ///
    /// # Units
    /// Bytes. The default is [`DEFAULT_MAX_OUTPUT`]; `usize::MAX` turns back-pressure off, and
    /// then a peer that never reads can fill the memory.
    pub fn set_max_output(&mut self, bytes: usize) {
        self.marks.max_output = bytes;
        self.update_marks();
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
        let bytes = if fits { bytes } else { self.marks.default_single };
        self.marks.max_single[direction.index()] = bytes;
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
        let backed_up = self.output.len() > self.marks.max_output && !self.marks.output_excused;
        self.suspended.set(Direction::Read, Suspend::OUTPUT, backed_up);
    }
}
