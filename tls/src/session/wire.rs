//! The two ends of a session's ciphertext, as OpenSSL reads and writes it.
//!
//! Owns both buffers only for the time of a step, in which they stand in for those of the stream
//! below; between steps it owns none, and costs a session two words. Reading takes what has arrived
//! and says "not now" behind it, never "the end": how the stream below ended is the session's to
//! judge. Writing always takes everything; behind the goodbye nothing may follow, and what OpenSSL
//! answers to the peer then is dropped.

use std::cell::Cell;
use std::io::{self, Read, Write};
use std::mem;

use core_buf::Buffer;

/// What OpenSSL reads its records from and writes them to.
#[derive(Debug, Default)]
pub(super) struct Wire {
    lent: Option<Box<Lent>>,
    /// The goodbye has been written.
    pub(super) is_mute: bool,
}

/// The buffers of a step.
#[derive(Debug, Default)]
struct Lent {
    incoming: Buffer,
    outgoing: Buffer,
}

thread_local! {
    /// The place for the buffers of the next step on this thread.
    static SPARE: Cell<Option<Box<Lent>>> = const { Cell::new(None) };
}

impl Wire {
    /// Takes the buffers of a step, and leaves empty ones.
    pub(super) fn lend(&mut self, incoming: &mut Buffer, outgoing: &mut Buffer) {
        let mut lent = SPARE.take().unwrap_or_default();
        mem::swap(&mut lent.incoming, incoming);
        mem::swap(&mut lent.outgoing, outgoing);
        self.lent = Some(lent);
    }

    /// Gives them back.
    pub(super) fn give_back(&mut self, incoming: &mut Buffer, outgoing: &mut Buffer) {
        let Some(mut lent) = self.lent.take() else { return };
        mem::swap(&mut lent.incoming, incoming);
        mem::swap(&mut lent.outgoing, outgoing);
        SPARE.set(Some(lent));
    }

    /// How many bytes have arrived and are not read, and how many are put out.
    pub(super) fn lengths(&self) -> (usize, usize) {
        self.lent.as_ref().map_or((0, 0), |lent| (lent.incoming.len(), lent.outgoing.len()))
    }

    /// Exchanges what has arrived.
    pub(super) fn swap_incoming(&mut self, other: &mut Buffer) {
        if let Some(lent) = &mut self.lent {
            mem::swap(&mut lent.incoming, other);
        }
    }
}

impl Read for Wire {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        match &mut self.lent {
            Some(lent) if !lent.incoming.is_empty() => Ok(lent.incoming.remove(out)),
            _ => Err(io::ErrorKind::WouldBlock.into()),
        }
    }
}

impl Write for Wire {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.lent {
            _ if self.is_mute => {}
            Some(lent) => lent.outgoing.add(bytes),
            None => return Err(io::ErrorKind::WouldBlock.into()),
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
