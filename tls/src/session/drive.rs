//! One step of a session: shake hands, read, write, take leave, as far as there is leave.
//!
//! Owns nothing; calls of OpenSSL that move bytes are made here, those for new keys in `keys.rs`.
//! OpenSSL's "want read" means that what arrived is used up: the step says whom that keeps waiting.
//!
//! Invariants: a record is decrypted only when some of it may be given, but where a renegotiation
//! or a goodbye needs what is behind it; after a failure OpenSSL is not called again, and what it
//! has put out (an alert) still leaves.

use core_buf::{Buffer, EventFlags, FlushMode, InputEnd, Outlook, Pass, Progress, Wait};
use groups::Time;
use openssl::ssl::ErrorCode;

use super::{Charge, Phase, Session, Shutdown};
use crate::config::TlsConfig;
use crate::ffi::bio::{Ends, Stop};
use crate::ffi::session as ffi;
use crate::session::TlsError;

/// Most plaintext of one record.
const RECORD_BYTES: usize = 16 << 10;

/// A first segment of this much goes out as a record of its own; less is put together with what
/// follows, so that many small writes make few full records.
const WORTH_A_RECORD: usize = 8 << 10;

/// Plaintext encrypted in one step, so that one stream with much to write lets others go on.
const WRITE_BYTES_PER_STEP: usize = 256 << 10;

/// What OpenSSL may have answered of its own and the peer not taken: more than any handshake.
const MAX_ANSWER_BYTES: usize = 64 << 10;

/// What a step may use.
pub(super) struct Leave<'a> {
    pub(super) now: Time,
    pub(super) upper_input: &'a mut Buffer,
    pub(super) upper_output: &'a mut Buffer,
    pub(super) ends: Ends<'a>,
    pub(super) read: Option<Pass>,
    pub(super) write: Option<Pass>,
    pub(super) ended: Option<InputEnd>,
    pub(super) outlook: Outlook,
    pub(super) reads_after_output: bool,
}

impl Session {
    pub(super) fn drive(&mut self, mut leave: Leave<'_>) -> Progress {
        let mut progress = Progress::default();
        let before = leave.upper_input.len();
        if self.phase == Phase::Broken {
            self.give_up(TlsError::cannot_restart(), &mut progress);
        }
        if self.phase == Phase::Handshake {
            self.shake_hands(&mut leave, &mut progress);
        }
        if self.phase == Phase::Open {
            // What is written needs nothing of what arrives, but for new keys and the goodbye.
            let writes_on = leave.write.is_some() && leave.outlook == Outlook::Open;
            let rekeys = self.is_rekeying();
            if rekeys {
                self.begin_rekeying(&mut leave, &mut progress);
            }
            if !writes_on || rekeys {
                self.read(&mut leave, &mut progress);
            }
            if rekeys {
                // What has been read may have been in its way.
                self.begin_rekeying(&mut leave, &mut progress);
                self.note_rekeying(&leave, &mut progress);
            }
        }
        if self.phase == Phase::Open {
            self.write(&mut leave, &mut progress);
        }
        if self.phase == Phase::Open {
            self.bound_rekeying(&leave, &mut progress);
        }
        if self.phase == Phase::Open && leave.outlook != Outlook::Open {
            self.take_leave(&mut leave, &mut progress);
        }
        if self.phase == Phase::Over {
            self.deadline = None;
            if leave.outlook != Outlook::Closed {
                // What was kept aside comes before the end; where plaintext is counted, no more of
                // it than there was leave for.
                let counted = leave.read.map_or(0, |pass| pass.limit);
                let counted = counted.saturating_sub(leave.upper_input.len() - before);
                let most = if self.charge == Charge::Plaintext { counted } else { usize::MAX };
                self.held.give(leave.upper_input, most);
            }
            // Reading is over: there will be no leave for the rest.
            self.held.discard();
            (progress.read, progress.write) = (Wait::Over, Wait::Over);
            progress.needs_input = false;
        }
        progress
    }

    fn shake_hands(&mut self, leave: &mut Leave<'_>, progress: &mut Progress) {
        if leave.outlook == Outlook::Closed && leave.upper_output.is_empty() {
            // Nobody waits for it any more.
            self.phase = Phase::Over;
            return;
        }
        if self.deadline.is_none() {
            self.deadline = self.handshake_timeout.map(|timeout| leave.now + timeout);
        }
        match self.link.do_handshake(&mut leave.ends) {
            Ok(()) => {
                self.phase = Phase::Open;
                self.connected = true;
                self.deadline = None;
                progress.events |= EventFlags::CONNECTED;
                TlsConfig::keep_session(self.ssl());
            }
            Err(stop) if stop.code == ErrorCode::WANT_READ => self.await_peer(leave, progress),
            Err(stop) => self.fail(&stop, progress),
        }
    }

    /// The handshake can go on only when more has come.
    fn await_peer(&mut self, leave: &Leave<'_>, progress: &mut Progress) {
        let late = self.deadline.is_some_and(|at| at <= leave.now);
        match leave.ended {
            Some(InputEnd::Eof) => self.give_up(TlsError::cut_handshake(), progress),
            Some(InputEnd::Failed) => {
                self.phase = Phase::Over;
                progress.events |= EventFlags::ERROR;
            }
            None if late => {
                let after = self.handshake_timeout.unwrap_or_default();
                self.give_up(TlsError::stalled_handshake(after), progress);
            }
            None => {
                progress.needs_input = true;
                progress.write = Wait::Input;
            }
        }
    }

    // ---- reading ----

    fn read(&mut self, leave: &mut Leave<'_>, progress: &mut Progress) {
        let discards = leave.outlook == Outlook::Closed;
        if discards {
            self.held.discard();
        }
        let mut left = leave.read.map_or(0, |pass| pass.limit);
        left -= self.held.give(leave.upper_input, left);
        let put_out = leave.ends.outgoing.len();
        progress.read = self.decrypt(leave, left, discards, progress);
        let grown = leave.ends.outgoing.len() - put_out;
        self.bound_answers(put_out, grown, progress);
        if self.end_told || self.phase != Phase::Open {
            return;
        }
        let says_goodbye = progress.read == Wait::Over;
        if !says_goodbye && (progress.read != Wait::Source || leave.ended.is_none()) {
            return;
        }
        if leave.read.is_none() && !discards {
            progress.read = Wait::Room;
            return;
        }
        self.end_told = true;
        progress.read = Wait::Over;
        if says_goodbye {
            progress.events |= EventFlags::READING | EventFlags::EOF;
            return;
        }
        // The stream below has ended, and the peer has not said that it would.
        let how = match leave.ended {
            Some(InputEnd::Eof) if self.allow_dirty_shutdown => EventFlags::EOF,
            Some(InputEnd::Eof) => {
                progress.error = self.keep(vec![TlsError::truncated()]).map(Into::into);
                EventFlags::ERROR
            }
            _ => EventFlags::ERROR,
        };
        progress.events |= EventFlags::READING | how;
    }

    /// Decrypts what has arrived, as far as there is a place for it.
    fn decrypt(
        &mut self,
        leave: &mut Leave<'_>,
        mut left: usize,
        discards: bool,
        progress: &mut Progress,
    ) -> Wait {
        loop {
            if self.peer_closed {
                return if self.held.is_empty() { Wait::Over } else { Wait::Room };
            }
            let (arrived, inside) = (leave.ends.incoming.len(), self.pending());
            self.used_up &= arrived == 0;
            // One that began open may hold records that it has read ahead.
            let is_empty = self.used_up || !ffi::holds_bytes(self.ssl());
            if arrived == 0 && inside == 0 && is_empty {
                return self.await_source();
            }
            let holds = left == 0 && !discards && self.holds();
            if left == 0 && !discards && !holds {
                return Wait::Room;
            }
            let most = if discards || holds { RECORD_BYTES } else { left.min(RECORD_BYTES) };
            let target = if holds { self.held.buffer() } else { &mut *leave.upper_input };
            let room = target.reserve(arrived.max(inside).max(1).min(most));
            let Ok(mut room) = room else { return Wait::Room };
            match self.link.read(&mut leave.ends, room.first()) {
                Ok(count) if discards => drop((room, count)),
                Ok(count) => {
                    room.commit(count);
                    left -= if holds { 0 } else { count };
                }
                Err(stop) => {
                    drop(room);
                    if let Some(wait) = self.stop_reading(&stop, progress) {
                        return wait;
                    }
                }
            }
        }
    }

    /// Only more from below makes more, but for what is kept here.
    fn await_source(&self) -> Wait {
        if self.held.is_empty() { Wait::Source } else { Wait::Room }
    }

    /// Gives up on a peer that asks for answers of OpenSSL's, to new keys or to renegotiations that
    /// are refused, and does not take them: they would fill the memory. Reading has added `grown`
    /// to what was put out `before`.
    fn bound_answers(&mut self, before: usize, grown: usize, progress: &mut Progress) {
        let answers = before.min(self.answers as usize) + grown;
        self.answers = u32::try_from(answers).unwrap_or(u32::MAX);
        if answers > MAX_ANSWER_BYTES && self.phase == Phase::Open {
            self.give_up(TlsError::answers_not_taken(), progress);
        }
    }

    /// What the end of a read means; `None` to try again.
    fn stop_reading(&mut self, stop: &Stop, progress: &mut Progress) -> Option<Wait> {
        match stop.code {
            ErrorCode::WANT_READ => {
                self.used_up = true;
                Some(self.await_source())
            }
            ErrorCode::ZERO_RETURN => {
                self.peer_closed = true;
                None
            }
            _ => {
                self.fail(stop, progress);
                Some(Wait::Over)
            }
        }
    }

    /// Bytes of a record that are decrypted and not given.
    pub(super) fn pending(&self) -> usize {
        self.ssl().pending()
    }

    // ---- writing ----

    fn write(&mut self, leave: &mut Leave<'_>, progress: &mut Progress) {
        let Some(pass) = leave.write else {
            return;
        };
        let before = leave.upper_output.len();
        let mut left = pass.limit.min(WRITE_BYTES_PER_STEP);
        progress.write = loop {
            if leave.upper_output.is_empty() {
                break Wait::Source;
            }
            if left == 0 {
                break Wait::Room;
            }
            if self.is_in_the_way(leave) {
                break self.await_keys(leave, progress);
            }
            let output = &mut *leave.upper_output;
            let whole = output.len().min(RECORD_BYTES);
            let small = output.first().len() < whole.min(WORTH_A_RECORD);
            let bytes = if small { output.pull_up(whole) } else { Some(output.first()) };
            let bytes = bytes.unwrap_or_default();
            let bytes = &bytes[..bytes.len().min(left).min(RECORD_BYTES)];
            match self.link.write(&mut leave.ends, bytes) {
                Ok(count) => {
                    output.drain(count);
                    left -= count;
                }
                Err(stop) if stop.code == ErrorCode::WANT_READ => {
                    break self.await_keys(leave, progress);
                }
                Err(stop) => {
                    self.fail(&stop, progress);
                    break Wait::Over;
                }
            }
        };
        if self.charge == Charge::Plaintext {
            progress.used = Some(before - leave.upper_output.len());
        }
    }

    // ---- the end ----

    /// Says goodbye once nothing is left to write, and if the user has closed hears the peer's.
    fn take_leave(&mut self, leave: &mut Leave<'_>, progress: &mut Progress) {
        let closed = leave.outlook == Outlook::Closed;
        let finishes = leave.write.is_some_and(|pass| pass.mode == FlushMode::Finished);
        if !leave.upper_output.is_empty() || (!finishes && !self.notified) {
            // A goodbye never overtakes bytes.
            progress.needs_input |= closed && self.notified;
            return;
        }
        let silent = closed && self.shutdown == Shutdown::Immediate;
        if !silent && !self.notified {
            if ffi::is_shaking_hands(self.ssl()) {
                // Nothing else may be said before the new keys are there.
                progress.write = self.await_keys(leave, progress);
                return;
            }
            if let Err(stop) = self.link.shutdown(&mut leave.ends) {
                self.fail(&stop, progress);
                return;
            }
            // New keys that are only asked for are of no use any more.
            (self.notified, self.rekeying) = (true, None);
            leave.ends.is_mute = true;
        }
        if let (true, Shutdown::Clean { within }) = (closed, self.shutdown) {
            self.deadline.get_or_insert(leave.now + within);
        }
        if !closed {
            progress.write = Wait::Over;
            return;
        }
        let late = self.deadline.is_some_and(|at| at <= leave.now);
        let hears = matches!(self.shutdown, Shutdown::Clean { .. });
        if hears && !late && !self.peer_closed && leave.ended.is_none() {
            progress.needs_input = true;
            progress.write = Wait::Input;
        } else {
            self.phase = Phase::Over;
        }
    }

    /// OpenSSL has failed for good.
    pub(super) fn fail(&mut self, stop: &Stop, progress: &mut Progress) {
        let errors = TlsError::from_stop(stop, self.ssl());
        self.phase = Phase::Over;
        progress.events |= EventFlags::ERROR;
        progress.error = self.keep(errors).map(Into::into);
    }

    /// The session has failed without OpenSSL.
    pub(super) fn give_up(&mut self, error: TlsError, progress: &mut Progress) {
        self.phase = Phase::Over;
        progress.events |= EventFlags::ERROR;
        progress.error = self.keep(vec![error]).map(Into::into);
    }
}
