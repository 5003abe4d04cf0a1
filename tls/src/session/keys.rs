//! New keys in the middle of a session: up to TLS 1.2 a handshake among data, with 1.3 an update.
//!
//! Owns how far new keys are that were asked for here. A handshake meets what is in flight under
//! the old keys: OpenSSL tells data from handshake only where it reads, so nothing is written while
//! there is something to be read first, and what nobody has leave to read yet is kept aside.
//!
//! Never asks OpenSSL to go on with a handshake by a call that cannot meet data.
//! Source: libevent 2.1.12 `bufferevent_ssl_renegotiate`, which keeps nothing aside.

use core_buf::{Buffer, EventFlags, InputEnd, Outlook, Progress, Wait};
use openssl::error::ErrorStack;
use openssl::ssl::{ErrorCode, SslVersion};

use super::drive::Leave;
use super::{Phase, Session, TlsError};
use crate::ffi::bio::{Ends, Stop};
use crate::ffi::session as ffi;

/// How far new keys are that were asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rekeying {
    /// OpenSSL has not been asked.
    Wanted,
    Begun,
}

impl Session {
    /// Whether new keys are asked for, or made at the peer's wish.
    pub(super) fn is_rekeying(&self) -> bool {
        self.rekeying.is_some() || ffi::is_shaking_hands(self.ssl())
    }

    /// Puts out what begins new keys that were asked for.
    pub(super) fn begin_rekeying(&mut self, leave: &mut Leave<'_>, progress: &mut Progress) {
        if self.rekeying != Some(Rekeying::Wanted) || self.phase != Phase::Open {
            return;
        }
        if ffi::is_shaking_hands(self.ssl()) {
            // The peer has begun meanwhile. Its keys are as new; asked now, OpenSSL would wait
            // behind them for a handshake that nobody begins. With 1.3 ours come after its own.
            if self.ssl().version2() != Some(SslVersion::TLS1_3) {
                self.rekeying = Some(Rekeying::Begun);
            }
            return;
        }
        // What has arrived belongs to the old keys and must not be met by the handshake.
        let mut nothing = Buffer::new();
        let mut ends = Ends {
            incoming: &mut nothing,
            outgoing: &mut *leave.ends.outgoing,
            is_mute: leave.ends.is_mute,
        };
        let outcome = match self.give_way(&mut ends) {
            Ok(true) => {
                // Asked before, OpenSSL would begin in the middle of what has arrived.
                if !self.ask_for_keys() {
                    self.give_up(TlsError::refused_keys(&ErrorStack::get()), progress);
                    return;
                }
                self.rekeying = Some(Rekeying::Begun);
                self.link.do_handshake(&mut ends)
            }
            Ok(false) => Ok(()),
            Err(stop) => Err(stop),
        };
        if let Err(stop) = outcome
            && stop.code != ErrorCode::WANT_READ
        {
            self.fail(&stop, progress);
        }
    }

    fn ask_for_keys(&self) -> bool {
        let ssl = self.ssl();
        ffi::clear_errors();
        let updates = ssl.version2() == Some(SslVersion::TLS1_3);
        if updates { ffi::update_keys(ssl) } else { ffi::renegotiate(ssl) }
    }

    /// Keeps what the object has decrypted and not given, as a handshake would meet it; says
    /// whether nothing of the old keys is inside any more.
    fn give_way(&mut self, ends: &mut Ends<'_>) -> Result<bool, Stop> {
        while self.pending() > 0 {
            if !self.held.has_room() {
                return Ok(false);
            }
            let inside = self.pending();
            let Ok(mut room) = self.held.buffer().reserve(inside) else { return Ok(false) };
            let count = self.link.read(ends, room.first())?;
            room.commit(count);
        }
        // Up to TLS 1.2 a record that has come in part has to be read to its end.
        let is_cut = ffi::holds_bytes(self.ssl());
        Ok(!is_cut || self.ssl().version2() == Some(SslVersion::TLS1_3))
    }

    /// Tells when the new keys are there.
    pub(super) fn note_rekeying(&mut self, leave: &Leave<'_>, progress: &mut Progress) {
        if self.rekeying.is_none() || self.phase != Phase::Open {
            return;
        }
        let ssl = self.ssl();
        let is_over = !ffi::is_renegotiating(ssl) && !ffi::is_shaking_hands(ssl);
        if is_over && self.rekeying == Some(Rekeying::Begun) {
            self.rekeying = None;
            progress.events |= EventFlags::CONNECTED;
        } else {
            // It goes on with what comes, unless that has no place to go.
            progress.needs_input |= self.reads_on(leave);
        }
    }

    /// A handshake for new keys, whoever has begun it, may take as long as the first while the peer
    /// is the one to act.
    pub(super) fn bound_rekeying(&mut self, leave: &Leave<'_>, progress: &mut Progress) {
        let says_goodbye = self.notified && leave.outlook == Outlook::Closed;
        let shakes = ffi::is_shaking_hands(self.ssl());
        progress.needs_input |= shakes && self.reads_on(leave);
        // What is kept aside waits for the user first, unless reading waits for output, which waits
        // for the keys: they cannot come. Behind our goodbye nothing is answered, and behind an end
        // that was told there is nothing to add, unless more is written.
        let waits_for_user = !self.held.is_empty() && !leave.reads_after_output;
        if !shakes || waits_for_user || self.notified || self.end_told {
            self.deadline = self.deadline.filter(|_| says_goodbye);
            return;
        }
        let Some(timeout) = self.handshake_timeout else { return };
        if *self.deadline.get_or_insert(leave.now + timeout) <= leave.now {
            let is_ours = !self.held.is_empty();
            let peers = TlsError::stalled_handshake(timeout);
            self.give_up(if is_ours { TlsError::locked_keys() } else { peers }, progress);
        }
    }

    /// Whether plaintext is kept here, as a renegotiation needs what is behind it.
    pub(super) fn holds(&self) -> bool {
        self.held.has_room() && self.is_rekeying()
    }

    /// Whether more from the peer helps a handshake for new keys, though the user reads nothing.
    fn reads_on(&self, leave: &Leave<'_>) -> bool {
        let helps = !self.has_more(leave) || self.holds();
        // Behind its goodbye nothing is read.
        helps && self.held.has_room() && !self.peer_closed
    }

    /// Whether a call that writes would go on with a handshake, and meet what is of the old keys.
    pub(super) fn is_in_the_way(&self, leave: &Leave<'_>) -> bool {
        ffi::is_shaking_hands(self.ssl()) && self.has_more(leave)
    }

    /// Whether something has come that is still to be read.
    fn has_more(&self, leave: &Leave<'_>) -> bool {
        self.pending() > 0 || !leave.ends.incoming.is_empty()
    }

    /// Writing waits for new keys, and they for the peer.
    pub(super) fn await_keys(&mut self, leave: &Leave<'_>, progress: &mut Progress) -> Wait {
        let reads_first = !self.held.is_empty() || (self.has_more(leave) && !self.peer_closed);
        // A peer that has said goodbye makes no keys any more.
        let ended = if self.peer_closed { Some(InputEnd::Eof) } else { leave.ended };
        match ended {
            // Reading tells the end behind it.
            Some(_) if reads_first => {}
            Some(InputEnd::Eof) => self.give_up(TlsError::cut_handshake(), progress),
            Some(InputEnd::Failed) => {
                self.phase = Phase::Over;
                progress.events |= EventFlags::ERROR;
            }
            None => progress.needs_input |= self.reads_on(leave),
        }
        Wait::Input
    }
}
