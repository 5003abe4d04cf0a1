//! Files as segments, sent over a socket in every way there is.
//!
//! Differs throughout: a file is a [`Source`], whose drop is its clean-up and closes it. What
//! libevent chooses by flags is here what the application adds: a source with a file behind it is
//! sent by the kernel, one without is read through, a mapping is an owner of memory, and what is
//! loaded ahead is memory from then on.

#![expect(clippy::disallowed_types, reason = "a test may own what otherwise the runtime owns")]

use std::fs::File;
use std::io::{self, IoSlice, Read, Write};
use std::ops::Range;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::FileExt;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use rustix::fs::sendfile;
use sluicegate_core_buf::{Buffer, Source, SourceError};

/// A part of a file, from `base` on.
struct Segment {
    file: File,
    base: u64,
    length: u64,
    /// Whether the kernel may be asked to send it.
    sendable: bool,
    closed: Arc<AtomicU32>,
}

impl Source for Segment {
    fn len(&self) -> u64 {
        self.length
    }

    fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<usize> {
        self.file.read_at(out, self.base + offset)
    }

    fn file(&self) -> Option<(BorrowedFd<'_>, u64)> {
        self.sendable.then(|| (self.file.as_fd(), self.base))
    }
}

impl Drop for Segment {
    fn drop(&mut self) {
        self.closed.fetch_add(1, Ordering::Relaxed);
    }
}

/// A part of a mapped segment; a vector stands for the mapping, which takes unsafe code to make.
struct Mapping {
    bytes: Vec<u8>,
    view: Range<usize>,
    _segment: Arc<Segment>,
}

impl AsRef<[u8]> for Mapping {
    fn as_ref(&self) -> &[u8] {
        &self.bytes[self.view.clone()]
    }
}

/// How a file gets into the buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Sendfile,
    Mmap,
    Linear,
    /// As the first, and nobody else keeps the source.
    NoSegment,
}

/// Which part of which file.
#[derive(Clone, Copy, Debug)]
struct Part {
    /// 512 KiB instead of a line.
    big: bool,
    /// The segment is a part of the file.
    of_file: bool,
    /// What is added is a part of the segment.
    of_segment: bool,
}

const WHOLE_LINE: Part = Part { big: false, of_file: false, of_segment: false };
const WHOLE: Part = Part { big: true, ..WHOLE_LINE };
const PART_OF_FILE: Part = Part { of_file: true, ..WHOLE };
const PART_OF_SEGMENT: Part = Part { of_segment: true, ..WHOLE };
const PART_OF_BOTH: Part = Part { of_file: true, ..PART_OF_SEGMENT };

/// Most bytes sent at once, as a grant would allow.
const PIECE_BYTES: usize = 16_384;

fn contents(big: bool) -> Vec<u8> {
    if !big {
        return b"not a long line".to_vec();
    }
    (0..512 << 10).map(|place: u32| (place.wrapping_mul(2_654_435_761) >> 24) as u8).collect()
}

/// Puts contents into a file that has no name, and makes a part of it a segment.
fn segment(contents: &[u8], part: Range<usize>) -> io::Result<Segment> {
    let mut file = tempfile::tempfile()?;
    file.write_all(contents)?;
    let (base, length) = (part.start as u64, part.len() as u64);
    Ok(Segment { file, base, length, sendable: true, closed: Arc::default() })
}

/// Writes at most a piece of the output, by the kernel where it can; returns how much, and
/// whether it was.
fn send(socket: &mut UnixStream, output: &mut Buffer) -> io::Result<(usize, bool)> {
    if let Some(front) = output.front_source()
        && let Some((file, position)) = front.file()
    {
        let (mut position, piece) = (position, front.len().min(PIECE_BYTES));
        return Ok((sendfile(socket, file, Some(&mut position), piece)?, true));
    }
    output.load(PIECE_BYTES)?;
    let mut slices = [IoSlice::new(&[]); 8];
    let count = output.io_slices(PIECE_BYTES, &mut slices);
    Ok((socket.write_vectored(&slices[..count])?, false))
}

/// Adds a part of a file in one way, sends it, and asserts what comes out and who lets go.
fn add_file(way: Way, part: Part) -> io::Result<()> {
    let contents = contents(part.big);
    let len = contents.len();
    let of_file = if part.of_file { len / 4 + 1..len * 3 / 4 } else { 0..len };
    let len = of_file.len();
    let view = if part.of_segment { len / 3..len / 3 + len / 2 } else { 0..len };
    let expected = &contents[of_file.clone()][view.clone()];

    let mut segment = segment(&contents, of_file)?;
    segment.sendable = matches!(way, Way::Sendfile | Way::NoSegment);
    let closed = Arc::clone(&segment.closed);
    let segment = Arc::new(segment);
    let mut output = Buffer::new();
    let kept = (way != Way::NoSegment).then(|| Arc::clone(&segment));
    if way == Way::Mmap {
        let mut bytes = vec![0; len];
        segment.file.read_exact_at(&mut bytes, segment.base)?;
        output.add_owner(Mapping { bytes, view, _segment: segment });
    } else {
        output.add_source_range(segment, view.start as u64..view.end as u64)?;
    }
    if way == Way::Linear {
        output.load(usize::MAX)?;
    }
    assert_eq!(output.len(), expected.len());

    let (mut socket, mut peer) = UnixStream::pair()?;
    let mut input = Buffer::new();
    while !output.is_empty() {
        let (sent, by_kernel) = send(&mut socket, &mut output)?;
        assert!((1..=PIECE_BYTES).contains(&sent), "{sent} bytes at once");
        assert_eq!(by_kernel, matches!(way, Way::Sendfile | Way::NoSegment));
        output.drain(sent);
        let mut room = input.reserve(sent).expect("a piece is within the limit");
        peer.read_exact(room.first())?;
        room.commit(sent);
    }
    assert!(input == *expected, "{way:?} of {part:?} came out wrong");
    assert_eq!(closed.load(Ordering::Relaxed), u32::from(kept.is_none()));
    drop(kept);
    assert_eq!(closed.load(Ordering::Relaxed), 1);
    Ok(())
}

/// regress_buffer.c `add_file_sendfile`: a line, sent by the kernel.
#[test]
fn add_file_sendfile() -> io::Result<()> {
    add_file(Way::Sendfile, WHOLE_LINE)
}

/// regress_buffer.c `add_file_mmap`: a line, of mapped memory.
#[test]
fn add_file_mmap() -> io::Result<()> {
    add_file(Way::Mmap, WHOLE_LINE)
}

/// regress_buffer.c `add_file_linear`: a line, loaded ahead.
#[test]
fn add_file_linear() -> io::Result<()> {
    add_file(Way::Linear, WHOLE_LINE)
}

/// regress_buffer.c `add_file_nosegment`: a line, which the buffer alone keeps.
#[test]
fn add_file_nosegment() -> io::Result<()> {
    add_file(Way::NoSegment, WHOLE_LINE)
}

/// regress_buffer.c `add_big_file_sendfile`: 512 KiB, sent by the kernel.
#[test]
fn add_big_file_sendfile() -> io::Result<()> {
    add_file(Way::Sendfile, WHOLE)
}

/// regress_buffer.c `add_big_file_mmap`: 512 KiB, of mapped memory.
#[test]
fn add_big_file_mmap() -> io::Result<()> {
    add_file(Way::Mmap, WHOLE)
}

/// regress_buffer.c `add_big_file_linear`: 512 KiB, loaded ahead.
#[test]
fn add_big_file_linear() -> io::Result<()> {
    add_file(Way::Linear, WHOLE)
}

/// regress_buffer.c `add_big_file_nosegment`: 512 KiB, which the buffer alone keeps.
#[test]
fn add_big_file_nosegment() -> io::Result<()> {
    add_file(Way::NoSegment, WHOLE)
}

/// regress_buffer.c `add_file_offset_sendfile`: a segment that is a part of the file, sent by the
/// kernel.
#[test]
fn add_file_offset_sendfile() -> io::Result<()> {
    add_file(Way::Sendfile, PART_OF_FILE)
}

/// regress_buffer.c `add_file_offset_mmap`: a segment that is a part of the file, of mapped memory.
#[test]
fn add_file_offset_mmap() -> io::Result<()> {
    add_file(Way::Mmap, PART_OF_FILE)
}

/// regress_buffer.c `add_file_offset_linear`: a segment that is a part of the file, loaded ahead.
#[test]
fn add_file_offset_linear() -> io::Result<()> {
    add_file(Way::Linear, PART_OF_FILE)
}

/// regress_buffer.c `add_file_offset_nosegment`: a segment that is a part of the file, which the
/// buffer alone keeps.
#[test]
fn add_file_offset_nosegment() -> io::Result<()> {
    add_file(Way::NoSegment, PART_OF_FILE)
}

/// regress_buffer.c `add_file_offset2_sendfile`: a part of a segment, sent by the kernel.
#[test]
fn add_file_offset2_sendfile() -> io::Result<()> {
    add_file(Way::Sendfile, PART_OF_SEGMENT)
}

/// regress_buffer.c `add_file_offset2_mmap`: a part of a segment, of mapped memory.
#[test]
fn add_file_offset2_mmap() -> io::Result<()> {
    add_file(Way::Mmap, PART_OF_SEGMENT)
}

/// regress_buffer.c `add_file_offset2_linear`: a part of a segment, loaded ahead.
#[test]
fn add_file_offset2_linear() -> io::Result<()> {
    add_file(Way::Linear, PART_OF_SEGMENT)
}

/// regress_buffer.c `add_file_offset3_sendfile`: a part of a segment that is a part of the file,
/// sent by the kernel.
#[test]
fn add_file_offset3_sendfile() -> io::Result<()> {
    add_file(Way::Sendfile, PART_OF_BOTH)
}

/// regress_buffer.c `add_file_offset3_mmap`: a part of a segment that is a part of the file, of
/// mapped memory.
#[test]
fn add_file_offset3_mmap() -> io::Result<()> {
    add_file(Way::Mmap, PART_OF_BOTH)
}

/// regress_buffer.c `add_file_offset3_linear`: a part of a segment that is a part of the file,
/// loaded ahead.
#[test]
fn add_file_offset3_linear() -> io::Result<()> {
    add_file(Way::Linear, PART_OF_BOTH)
}

/// regress_buffer.c `add_file_leak1`: a file that is refused is closed all the same.
#[test]
fn add_file_leak1() -> io::Result<()> {
    let segment = segment(b"0123456789", 0..10)?;
    let closed = Arc::clone(&segment.closed);
    let mut output = Buffer::new();
    let refused = output.add_source_range(Arc::new(segment), 5..11);
    assert!(matches!(refused, Err(SourceError::OutOfRange { end: 11, len: 10, .. })));
    assert_eq!((output.len(), closed.load(Ordering::Relaxed)), (0, 1));
    Ok(())
}

/// regress_buffer.c `file_segment_add_cleanup_cb`: clean-up once, when the last holder lets go.
#[test]
fn file_segment_add_cleanup_cb() -> io::Result<()> {
    let segment = segment(b"0123456789", 0..10)?;
    let closed = Arc::clone(&segment.closed);
    let segment = Arc::new(segment);
    let mut output = Buffer::new();
    output.add_source(Arc::clone(&segment) as Arc<dyn Source>)?;
    assert_eq!(closed.load(Ordering::Relaxed), 0);
    drop(segment);
    assert_eq!(closed.load(Ordering::Relaxed), 0);
    drop(output);
    assert_eq!(closed.load(Ordering::Relaxed), 1);
    Ok(())
}
