//! Finding bytes in a buffer: a sequence, the end of a line, a whole line.
//!
//! Owns nothing of its own; a part of `Buffer`. Positions are plain numbers, counted from the first
//! byte: they cannot dangle, and what consumes bytes shifts them. Never joins segments: a match may
//! lie across them.
//!
//! Source: libevent 2.1.12 `evbuffer_search`, `evbuffer_search_eol`, `evbuffer_readln` (buffer.c).
//! Differs: a position is a `usize` instead of an `evbuffer_ptr`.

use std::io::BufRead;
use std::ops::Range;

use super::Buffer;

/// What ends a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Eol {
    /// Any run of carriage returns and line feeds, as long as it is: empty lines are swallowed.
    Any,
    /// A line feed, with a carriage return before it or without: most internet protocols.
    Crlf,
    /// A carriage return and a line feed.
    CrlfStrict,
    /// A line feed.
    Lf,
    /// A zero byte.
    Nul,
}

impl Buffer {
    /// Finds where `needle` begins for the first time; an empty one is at 0.
    ///
    /// Looks at loaded bytes only. O(bytes × `needle`) at worst, O(bytes) where its first byte is
    /// rare.
    ///
    /// # Examples
    /// ```
    /// # use sluicegate_core_buf::Buffer;
    /// let input = Buffer::from(b"GET / HTTP/1.1\r\n\r\n");
    /// assert_eq!(input.search(b"\r\n\r\n"), Some(14));
    /// assert_eq!(input.search(b"\n\n"), None);
    /// ```
    #[must_use]
    pub fn search(&self, needle: &[u8]) -> Option<usize> {
        self.search_range(needle, 0..self.len)
    }

    /// Finds where `needle` begins for the first time of those that lie in `range` altogether.
    ///
    /// A search that found nothing can go on where it ended, less what of the needle may be there
    /// already, when more bytes have come.
    ///
    /// # Examples
    /// ```
    /// # use sluicegate_core_buf::Buffer;
    /// let input = Buffer::from(b"attack at dawn");
    /// assert_eq!(input.search_range(b"at", 1..14), Some(7));
    /// assert_eq!(input.search_range(b"dawn", 0..13), None);
    /// ```
    #[must_use]
    pub fn search_range(&self, needle: &[u8], range: Range<usize>) -> Option<usize> {
        let Some(&head) = needle.first() else {
            return (range.start <= range.end.min(self.loaded())).then_some(range.start);
        };
        let mut base = range.start;
        let mut pieces = self.peek(range);
        while let Some(piece) = pieces.next() {
            let mut from = 0;
            while let Some(skipped) = find_byte(&piece[from..], head) {
                let start = from + skipped;
                let rest = &piece[start..];
                if rest.starts_with(needle)
                    || (rest.len() < needle.len() && begins_with(rest, pieces.clone(), needle))
                {
                    return Some(base + start);
                }
                from = start + 1;
            }
            base += piece.len();
        }
        None
    }

    /// Finds the first end of a line at or behind `from`: where it begins and ends.
    ///
    /// `None` also where only a part of it is there yet, but for [`Eol::Any`], which takes the run
    /// as long as it is. O(bytes up to it).
    ///
    /// # Examples
    /// A line is handed on without a copy:
    /// ```
    /// # use sluicegate_core_buf::{Buffer, Eol};
    /// let mut input = Buffer::from(b"QUIT\r\nrest");
    /// if let Some(end) = input.search_eol(0, Eol::Crlf) {
    ///     assert_eq!(input.pull_up(end.start), Some(&b"QUIT"[..]));
    ///     input.drain(end.end);
    /// }
    /// assert_eq!(input, *b"rest");
    /// ```
    #[must_use]
    pub fn search_eol(&self, from: usize, eol: Eol) -> Option<Range<usize>> {
        let rest = from..self.len;
        match eol {
            Eol::CrlfStrict => self.search_range(b"\r\n", rest).map(|start| start..start + 2),
            Eol::Nul => self.find_byte(b'\0', rest).map(|start| start..start + 1),
            Eol::Lf => self.find_byte(b'\n', rest).map(|start| start..start + 1),
            Eol::Crlf => {
                let feed = self.find_byte(b'\n', rest)?;
                let before = self.peek(feed.saturating_sub(1).max(from)..feed).next();
                Some(feed - usize::from(before == Some(b"\r"))..feed + 1)
            }
            Eol::Any => {
                let start = self.position(rest, |piece| {
                    let cr = find_byte(piece, b'\r');
                    find_byte(&piece[..cr.unwrap_or(piece.len())], b'\n').or(cr)
                })?;
                let end = self.position(start..self.len, |piece| {
                    piece.iter().position(|byte| !matches!(byte, b'\r' | b'\n'))
                });
                Some(start..end.unwrap_or_else(|| self.loaded()))
            }
        }
    }

    /// Takes the first line out, its end drained and left off; `None` while it is incomplete.
    ///
    /// Looks through the whole line at each call and copies it to a new vector; with
    /// [`search_eol`](Self::search_eol) a caller can do without either. How long a line may get is
    /// bounded by the read high watermark.
    ///
    /// # Examples
    /// ```
    /// # use sluicegate_core_buf::{Buffer, Eol};
    /// let mut input = Buffer::from(b"HELO there\r\n\nDA");
    /// assert_eq!(input.read_line(Eol::Crlf), Some(b"HELO there".to_vec()));
    /// assert_eq!(input.read_line(Eol::Crlf), Some(vec![]));
    /// assert_eq!(input.read_line(Eol::Crlf), None);
    /// assert_eq!(input, *b"DA");
    /// ```
    pub fn read_line(&mut self, eol: Eol) -> Option<Vec<u8>> {
        let end = self.search_eol(0, eol)?;
        let mut line = vec![0; end.start];
        self.copy_out(0, &mut line);
        self.drain(end.end);
        Some(line)
    }

    fn find_byte(&self, byte: u8, range: Range<usize>) -> Option<usize> {
        self.position(range, |piece| find_byte(piece, byte))
    }

    /// The position of what `find` finds first in a piece of `range`.
    fn position(
        &self,
        range: Range<usize>,
        find: impl Fn(&[u8]) -> Option<usize>,
    ) -> Option<usize> {
        let mut base = range.start;
        for piece in self.peek(range) {
            if let Some(at) = find(piece) {
                return Some(base + at);
            }
            base += piece.len();
        }
        None
    }
}

/// The position of the first `byte`: `skip_until` of a slice runs the C library's `memchr`.
fn find_byte(bytes: &[u8], byte: u8) -> Option<usize> {
    let mut rest = bytes;
    let skipped = rest.skip_until(byte).unwrap_or(0);
    skipped.checked_sub(1).filter(|&at| bytes[at] == byte)
}

/// Whether `piece` and the pieces that follow it begin with `needle`.
fn begins_with<'a>(
    piece: &'a [u8],
    mut following: impl Iterator<Item = &'a [u8]>,
    needle: &[u8],
) -> bool {
    let (mut piece, mut needle) = (piece, needle);
    loop {
        let count = piece.len().min(needle.len());
        let (head, rest) = needle.split_at(count);
        if piece[..count] != *head {
            return false;
        }
        if rest.is_empty() {
            return true;
        }
        let Some(next) = following.next() else { return false };
        (piece, needle) = (next, rest);
    }
}
