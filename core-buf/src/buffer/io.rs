//! A buffer as one of the standard library's streams: read from it, write to it, format into it.
//!
//! Owns nothing of its own; a part of `Buffer`. Reading consumes at the front, writing adds at the
//! end. An empty buffer reads as the end of a stream, as std's `VecDeque<u8>` does: whether more
//! will come is not known here.

use std::fmt;
use std::io::{self, BufRead, IoSlice, Read, Write};

use super::Buffer;

impl Read for Buffer {
    /// Takes the first bytes out, as [`Buffer::remove`] does, and those of a source unloaded.
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let Some(source) = self.front_source() else { return Ok(self.remove(out)) };
        let count = source.read(out)?;
        Ok(self.drain(count))
    }
}

impl BufRead for Buffer {
    /// The first bytes that lie in one piece, without a copy but from a source; empty only if the
    /// buffer is.
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.front_source().is_some() {
            self.load(SOURCE_PIECE_BYTES)?;
        }
        Ok(self.first())
    }

    fn consume(&mut self, count: usize) {
        self.drain(count);
    }
}

impl Write for Buffer {
    /// Adds a copy of all `bytes`, and so never writes short.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.add(bytes);
        Ok(bytes.len())
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        slices.iter().for_each(|slice| self.add(slice));
        Ok(slices.iter().map(|slice| slice.len()).sum())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl fmt::Write for Buffer {
    /// Adds a copy of `text`; never fails.
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.add(text.as_bytes());
        Ok(())
    }
}

/// How much of a source is loaded for a reader of whom it is not known how much it wants.
const SOURCE_PIECE_BYTES: usize = 16 << 10;

#[cfg(test)]
mod tests {
    use std::io::Error;

    use super::*;

    #[test]
    fn what_is_written_is_read_in_order() -> Result<(), Error> {
        let mut buffer = Buffer::new();
        write!(buffer, "{}-{:02}", 12, 3)?;
        assert_eq!(buffer.write_vectored(&[IoSlice::new(b" ab"), IoSlice::new(b"c\n")])?, 5);
        buffer.flush()?;
        let mut line = String::new();
        assert_eq!(BufRead::read_line(&mut buffer, &mut line)?, 10);
        assert_eq!((line.as_str(), buffer.len()), ("12-03 abc\n", 0));
        assert_eq!(buffer.read(&mut [0; 4])?, 0, "empty reads as the end");
        Ok(())
    }

    #[test]
    fn reading_crosses_segments() -> Result<(), Error> {
        let mut buffer = Buffer::from(&[1; 10_000]);
        buffer.add_shared([2; 10][..].into());
        let mut out = Vec::new();
        buffer.read_to_end(&mut out)?;
        assert_eq!(out, [vec![1; 10_000], vec![2; 10]].concat());
        Ok(())
    }

    #[test]
    fn text_is_formatted_into_the_buffer() {
        let mut buffer = Buffer::from(b"a");
        assert_eq!(fmt::write(&mut buffer, format_args!("{:>3}", 7)), Ok(()));
        assert_eq!(buffer, *b"a  7");
    }
}
