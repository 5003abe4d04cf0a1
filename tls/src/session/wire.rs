//! The two ends of a session's ciphertext, as OpenSSL reads and writes it.
//!
//! Owns both buffers only for the time of a step, in which they stand in for those of the stream
//! below. Reading takes what has arrived and says "not now" behind it, never "the end": how the
//! stream below ended is the session's to judge. Writing always takes everything; behind the
//! goodbye nothing may follow, and what OpenSSL answers to the peer then is dropped.

use std::io::{self, Read, Write};

use core_buf::Buffer;

/// What OpenSSL reads its records from and writes them to.
#[derive(Debug, Default)]
pub(super) struct Wire {
    pub(super) incoming: Buffer,
    pub(super) outgoing: Buffer,
    /// The goodbye has been written.
    pub(super) is_mute: bool,
}

impl Read for Wire {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if self.incoming.is_empty() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        Ok(self.incoming.remove(out))
    }
}

impl Write for Wire {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if !self.is_mute {
            self.outgoing.add(bytes);
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
