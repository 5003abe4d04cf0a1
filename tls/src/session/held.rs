//! Plaintext that a renegotiation had to read over, without leave to give it.
//!
//! Owns a buffer once there is some; nearly no session ever has, and pays one word. Never calls
//! OpenSSL: those that do put in what they decrypt, and give it before anything newer.
//!
//! Invariant: nothing is added once `MAX_HELD` is reached, so it holds a record more at most.
//! Source: the need is of OpenSSL's handshakes within a connection; libevent has no counterpart.

use core_buf::Buffer;

/// Most plaintext that is kept.
const MAX_HELD: usize = 64 << 10;

/// Plaintext that waits for leave.
#[derive(Debug, Default)]
pub(super) struct Held(Option<Box<Buffer>>);

impl Held {
    pub(super) fn is_empty(&self) -> bool {
        self.0.as_ref().is_none_or(|buffer| buffer.is_empty())
    }

    /// Whether more may be kept.
    pub(super) fn has_room(&self) -> bool {
        self.0.as_ref().is_none_or(|buffer| buffer.len() < MAX_HELD)
    }

    /// Where more is kept.
    pub(super) fn buffer(&mut self) -> &mut Buffer {
        self.0.get_or_insert_default()
    }

    /// Gives up to `count` bytes; returns how many.
    pub(super) fn give(&mut self, target: &mut Buffer, count: usize) -> usize {
        let Some(buffer) = &mut self.0 else { return 0 };
        let given = buffer.move_to(target, count);
        if buffer.is_empty() {
            self.0 = None;
        }
        given
    }

    pub(super) fn discard(&mut self) {
        self.0 = None;
    }
}
