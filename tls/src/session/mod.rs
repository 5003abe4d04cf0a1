//! A TLS session between plaintext and ciphertext: a stage without a socket.
//!
//! Owns the SSL object, how far the session is, and the errors nobody has asked for yet. The bytes
//! of both sides belong to the streams above and below; a step lends them.
//!
//! ```text
//!   upper_input  <--- SSL_read  --- lower_input      one record at a time, as much as is wanted
//!   upper_output ---> SSL_write --> lower_output     full records where there is enough
//! ```
//!
//! Invariants: the error queue of the thread is empty before each call of OpenSSL; how the stream
//! below ended is never told to OpenSSL, so its object stays usable and a reset cannot pass for an
//! end; what it has read and may not give yet stays inside it, and the step says so.
//! Source: libevent 2.1.12 bufferevent_openssl.c. Differs: a close says goodbye and waits for the
//! answer, a limit or mark never strands plaintext, CONNECTED comes before the first byte, errors
//! come in order.

mod drive;
mod error;
mod held;
mod keys;
mod options;

use std::io::{Read, Write};
use std::time::Duration;

use core_buf::{EventFlags, Outlook, Progress, Stage, Step};
use groups::Time;
use openssl::ssl::{ShutdownState, Ssl, SslMode, SslRef, SslStream, SslVersion};

pub use self::error::TlsError;
use self::held::Held;
use self::keys::Rekeying;
pub use self::options::{
    Charge, DEFAULT_FAREWELL, DEFAULT_HANDSHAKE, Shutdown, TlsOptions, TlsState,
};
use crate::config::TlsConfig;
use crate::ffi::bio::{Ends, Linked};
use crate::ffi::session as ffi;

/// Errors kept for [`Session::take_error`]; of more the first are kept.
pub const MAX_PENDING_ERRORS: usize = 16;

/// How far a session is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Handshake,
    Open,
    /// It could not begin anew, which the next step tells.
    Broken,
    /// It has failed, or taken leave: OpenSSL is not called any more.
    Over,
}

/// A TLS session.
///
/// # Shape
/// `Send`, one owner at a time: the SSL object and its buffers go where it goes. While nothing is
/// under way OpenSSL's record buffers are released.
pub struct Session {
    link: Linked,
    phase: Phase,
    /// It began with a handshake and can do so again.
    restarts: bool,
    shutdown: Shutdown,
    allow_dirty_shutdown: bool,
    handshake_timeout: Option<Duration>,
    charge: Charge,
    deadline: Option<Time>,
    /// The handshake was made.
    connected: bool,
    /// The peer has said that it will send no more.
    peer_closed: bool,
    /// The end of reading has been told.
    end_told: bool,
    /// The object has asked for more since something came: what it holds is part of a record.
    used_up: bool,
    /// Our close_notify has been put out.
    notified: bool,
    /// New keys were asked for here: to begin, or to tell that they are there.
    rekeying: Option<Rekeying>,
    /// Plaintext that a renegotiation had to read over, without leave to give it.
    held: Held,
    /// Bytes of answers to the peer that wait below, at most.
    answers: u32,
    errors: Vec<TlsError>,
}

impl Session {
    /// Makes a session of an SSL object; nothing passes yet.
    ///
    /// # Errors
    /// [`TlsError::Local`]: `state` contradicts the object; it is dropped. Or OpenSSL has no
    /// memory.
    pub fn new(mut ssl: Ssl, state: TlsState, options: &TlsOptions) -> Result<Self, TlsError> {
        check_state(&ssl, state)?;
        let restarts = state != TlsState::Open;
        match state {
            TlsState::Open => {}
            TlsState::Connecting => ssl.set_connect_state(),
            TlsState::Accepting => ssl.set_accept_state(),
        }
        // Partial writes tell of each record that is full; buffers are nobody's while idle.
        ffi::add_mode(
            &ssl,
            SslMode::ENABLE_PARTIAL_WRITE
                | SslMode::ACCEPT_MOVING_WRITE_BUFFER
                | SslMode::RELEASE_BUFFERS,
        );
        ffi::read_by_record(&ssl);
        // Of an object that goes on: what was said, and heard, before.
        let said = ffi::said(&ssl);
        let link = Linked::new(ssl).map_err(|stack| TlsError::from_stack(&stack))?;
        let (shutdown, allow_dirty_shutdown, handshake_timeout) = options.parts();
        Ok(Self {
            link,
            phase: if restarts { Phase::Handshake } else { Phase::Open },
            restarts,
            shutdown,
            allow_dirty_shutdown,
            handshake_timeout,
            charge: options.charges(),
            deadline: None,
            connected: !restarts,
            peer_closed: said.contains(ShutdownState::RECEIVED),
            end_told: false,
            used_up: false,
            notified: said.contains(ShutdownState::SENT),
            rekeying: None,
            held: Held::default(),
            answers: 0,
            errors: Vec::new(),
        })
    }

    /// The SSL object, to look at: versions, ciphers, certificates.
    pub fn ssl(&self) -> &SslRef {
        self.link.ssl()
    }

    /// Whether the handshake is still to be made.
    pub fn is_connecting(&self) -> bool {
        matches!(self.phase, Phase::Handshake | Phase::Broken)
    }

    /// Whether nothing passes any more: it has failed, or both sides have taken leave.
    pub fn is_over(&self) -> bool {
        self.phase == Phase::Over
    }

    /// Whether the handshake was made, whatever has come after it.
    pub fn has_connected(&self) -> bool {
        self.connected
    }

    /// Whether the session was made by resuming an earlier one.
    pub fn is_resumed(&self) -> bool {
        self.ssl().session_reused()
    }

    /// Takes the first error that nobody has asked for yet, in the order in which they happened.
    pub fn take_error(&mut self) -> Option<TlsError> {
        (!self.errors.is_empty()).then(|| self.errors.remove(0))
    }

    /// Whether the end of the peer's stream without close_notify passes for a good one.
    pub fn allows_dirty_shutdown(&self) -> bool {
        self.allow_dirty_shutdown
    }

    /// Sets whether it does; see [`TlsOptions::allow_dirty_shutdown`].
    pub fn set_allow_dirty_shutdown(&mut self, on: bool) {
        self.allow_dirty_shutdown = on;
    }

    /// Whether it keeps plaintext outside of the object, as a renegotiation had to read over it.
    pub fn keeps_plaintext(&self) -> bool {
        !self.held.is_empty()
    }

    /// What the limits of the stream over this session count.
    pub fn charges(&self) -> Charge {
        self.charge
    }

    /// Asks for new keys: up to TLS 1.2 by a renegotiation, with 1.3 by an update of both sides'.
    ///
    /// Call the stage afterwards. CONNECTED is told when they are there, with 1.3 when ours are,
    /// unless an end comes first.
    ///
    /// # Errors
    /// [`TlsError::Local`]: the handshake is not over, the session is, or it may not renegotiate.
    pub fn renegotiate(&mut self) -> Result<(), TlsError> {
        if self.phase != Phase::Open || self.notified || self.peer_closed {
            return Err(TlsError::local(
                "new keys need an open session: ask between CONNECTED and the end of either side",
            ));
        }
        if self.is_rekeying() {
            return Err(TlsError::local(
                "new keys were asked for already, here (wait for CONNECTED) or by the peer",
            ));
        }
        ffi::clear_errors();
        let ssl = self.ssl();
        let updates = ssl.version2() == Some(SslVersion::TLS1_3);
        if !updates && !ffi::may_renegotiate(ssl) {
            return Err(TlsError::local(
                "the peer does not support secure renegotiation (RFC 5746): open a new connection",
            ));
        }
        if !updates && ffi::forbids_renegotiation(ssl) {
            return Err(TlsError::local(
                "SSL_OP_NO_RENEGOTIATION is set on this object: clear it, or open a new connection",
            ));
        }
        self.rekeying = Some(Rekeying::Wanted);
        Ok(())
    }

    /// Whether the session can begin anew with another connection: it did not begin
    /// [open](TlsState::Open).
    pub fn can_restart(&self) -> bool {
        self.restarts
    }

    /// Begins anew, for another connection, with the settings of the object.
    ///
    /// A client of a [`TlsConfig`] offers to resume what that keeps for the host at `now`, as a new
    /// object would; one of another object what it had, unless that ended without a goodbye.
    ///
    /// Nothing happens to a session that began open or has not begun, which is `false`. One that
    /// OpenSSL cannot reset, as new keys were being made, fails at its next step.
    pub fn restart(&mut self, now: Time) -> bool {
        let is_fresh = self.phase == Phase::Handshake && ffi::is_fresh(self.ssl());
        if !self.restarts || is_fresh {
            return false;
        }
        ffi::clear_errors();
        self.phase = if ffi::reset(self.ssl()) { Phase::Handshake } else { Phase::Broken };
        ffi::clear_errors();
        TlsConfig::offer_again(now, self.ssl());
        self.deadline = None;
        (self.connected, self.peer_closed, self.end_told) = Default::default();
        (self.used_up, self.notified) = Default::default();
        self.rekeying = None;
        self.held.discard();
        self.answers = 0;
        true
    }

    /// Gives the SSL object out, to go on elsewhere; it reads and writes nowhere then.
    ///
    /// What it has read and not given is still inside it.
    pub fn into_ssl(self) -> Ssl {
        self.link.into_ssl()
    }

    /// Keeps errors for [`take_error`](Self::take_error); returns the one that names the fault.
    fn keep(&mut self, errors: Vec<TlsError>) -> Option<TlsError> {
        // Below the protocol is only told how it failed, such as a cipher that a record does not
        // fit; the protocol says behind it whose fault that is.
        let names = |error: &&TlsError| !matches!(error, TlsError::OpenSsl { .. });
        let fault = errors.iter().find(names).or_else(|| errors.first()).cloned();
        let room = MAX_PENDING_ERRORS - self.errors.len();
        self.errors.extend(errors.into_iter().take(room));
        fault
    }
}

impl Stage for Session {
    fn step(&mut self, step: Step<'_>) -> Progress {
        let mut progress = self.drive(drive::Leave {
            now: step.now,
            upper_input: &mut *step.upper_input,
            upper_output: &mut *step.upper_output,
            ends: Ends {
                incoming: step.lower_input,
                outgoing: step.lower_output,
                is_mute: self.notified,
            },
            read: step.read,
            write: step.write,
            ended: step.ended,
            outlook: step.outlook,
            reads_after_output: step.reads_after_output,
        });
        if self.charge == Charge::Plaintext && step.read.is_none() {
            // What the session says on its own account is nobody's.
            progress.used.get_or_insert(0);
        }
        if step.outlook == Outlook::Closed && step.upper_output.is_empty() {
            // Nothing of the user's can be lost any more.
            progress.events = EventFlags::empty();
        }
        progress
    }

    fn deadline(&self) -> Option<Time> {
        self.deadline
    }

    fn delay(&mut self, by: Duration) {
        self.deadline = self.deadline.map(|at| at + by);
    }
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session")
            .field("state", &self.ssl().state_string_long())
            .field("phase", &self.phase)
            .finish_non_exhaustive()
    }
}

/// Gives out the SSL object of a stream, which is dropped with what it read from and wrote to.
///
/// What the object has read and not given is still inside it.
pub fn into_ssl<S: Read + Write>(stream: SslStream<S>) -> Ssl {
    ffi::into_ssl(stream)
}

/// Whether a session of `state` can be made of an object.
fn check_state(ssl: &SslRef, state: TlsState) -> Result<(), TlsError> {
    let fault = match state {
        TlsState::Open if !ssl.is_init_finished() => {
            "TlsState::Open needs an SSL object whose handshake is over: use Connecting or Accepting"
        }
        TlsState::Connecting | TlsState::Accepting if !ffi::is_fresh(ssl) => {
            "the handshake of this SSL object has begun: use TlsState::Open once it is over, or a \
             new object"
        }
        TlsState::Accepting if !ssl.is_server() || ffi::connects_only(ssl) => {
            "this SSL object is a client's: use TlsState::Connecting, or a server's context"
        }
        TlsState::Connecting if ffi::accepts_only(ssl) => {
            "this SSL object is a server's: use TlsState::Accepting, or a client's context"
        }
        _ => return Ok(()),
    };
    Err(TlsError::local(fault))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_takes_no_more_than_this_beside_its_object() {
        // One block of 112 bytes, with the allocator's word.
        assert!(size_of::<Session>() <= 104, "{}", size_of::<Session>());
    }
}
