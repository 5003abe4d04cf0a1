//! What happens at the two ends of a buffer: prepending, freezing, being told of changes.

use std::io::{self, BufRead, IoSlice, Write};

use sluicegate_core_buf::Buffer;

use crate::{all, in_pieces, shared};

/// Makes a change and notes the lengths before and after it.
fn noted(buffer: &mut Buffer, notes: &mut Vec<(usize, usize)>, change: impl FnOnce(&mut Buffer)) {
    let before = buffer.len();
    change(buffer);
    notes.push((before, buffer.len()));
}

/// regress_buffer.c `callbacks`: the lengths before and after each change.
///
/// Differs: a buffer calls nobody. It has one owner, who makes every change and knows of it; what
/// libevent uses callbacks for, watermarks and deferred events, the bufferevent does after each
/// callback of the application. So there is nothing to enable, disable or remove.
#[test]
fn callbacks() {
    let (mut buffer, mut notes) = (Buffer::new(), Vec::new());
    noted(&mut buffer, &mut notes, |buffer| buffer.add(&[b'x'; 36]));
    noted(&mut buffer, &mut notes, |buffer| assert_eq!(buffer.drain(10), 10));
    noted(&mut buffer, &mut notes, |buffer| buffer.prepend(b"Hello"));
    noted(&mut buffer, &mut notes, |buffer| buffer.add_shared(shared(b"Goodbye")));
    noted(&mut buffer, &mut notes, |buffer| assert_eq!(buffer.drain(usize::MAX), 38));
    noted(&mut buffer, &mut notes, |buffer| buffer.add(b"X"));
    assert_eq!(notes, [(0, 36), (36, 26), (26, 31), (31, 38), (38, 0), (0, 1)]);
}

/// regress_buffer.c `prepend`: into nothing, into room, into room and a block, and whole buffers.
#[test]
fn prepend() {
    let mut buffer = Buffer::new();
    buffer.prepend(b"these are 27 bytes together");
    buffer.prepend(b"Short.");
    buffer.drain(6 + 10);
    buffer.prepend(b"no ");
    assert_eq!((buffer.first(), buffer.segment_count()), (&b"no 27 bytes together"[..], 1));
    buffer.prepend(&[b'.'; 2_000]);
    buffer.drain(1_990);
    assert_eq!(buffer.pull_up(30), Some(&b"..........no 27 bytes together"[..]));
    buffer.clear();

    let mut other = Buffer::new();
    for number in 998..1_000 {
        buffer.add(format!("number {number}, ").as_bytes());
        other.prepend_buffer(&mut buffer);
        assert!(buffer.is_empty());
    }
    assert_eq!(other, *b"number 999, number 998, ");

    let mut buffer = Buffer::from(b"foo");
    let mut notes = Vec::new();
    noted(&mut buffer, &mut notes, |buffer| buffer.prepend(&[b'A'; 8_096]));
    assert_eq!(notes, [(3, 3 + 8_096)]);
    assert_eq!(buffer.pull_up(8_096), Some(&[b'A'; 8_096][..]));
    buffer.drain(8_096);
    assert_eq!(buffer, *b"foo");
}

/// regress_buffer.c `empty_reference_prepend`: in front of a reference to nothing.
#[test]
fn empty_reference_prepend() {
    let mut buffer = in_pieces(&[b""]);
    buffer.prepend(b"foo");
    assert_eq!(all(&mut buffer), b"foo");
}

/// regress_buffer.c `empty_reference_prepend_buffer`: a reference to nothing in front of bytes.
#[test]
fn empty_reference_prepend_buffer() {
    let (mut nothing, mut buffer) = (in_pieces(&[b""]), Buffer::from(b"foo"));
    buffer.prepend_buffer(&mut nothing);
    assert_eq!(all(&mut buffer), b"foo");
    assert_eq!(nothing.pull_up(1), None);
}

/// regress_buffer.c `freeze_start`: whoever may only add cannot touch what is at the front.
///
/// Differs: a buffer is frozen by what is lent of it, in types and not in flags: `Write` here,
/// `Output` in the runtime. What libevent refuses with -1 has no name there.
#[test]
fn freeze_start() -> io::Result<()> {
    let mut buffer = Buffer::from(b"kept");
    let end: &mut dyn Write = &mut buffer;
    assert_eq!(end.write(b" abc")?, 4);
    end.write_all(b"")?;
    assert_eq!(end.write_vectored(&[IoSlice::new(b" d"), IoSlice::new(b"ef")])?, 4);
    write!(end, " {}", 7)?;
    end.flush()?;
    assert_eq!(buffer, *b"kept abc def 7");
    Ok(())
}

/// regress_buffer.c `freeze_end`: whoever may only consume cannot touch what is at the end.
///
/// Differs: as above; `BufRead` here, `Input` in the runtime.
#[test]
fn freeze_end() -> io::Result<()> {
    let mut buffer = Buffer::from(b"one\ntwo\nthree, kept");
    let mut line = String::new();
    {
        let front: &mut dyn BufRead = &mut buffer;
        assert_eq!(front.read_line(&mut line)?, 4);
        assert!(front.fill_buf()?.starts_with(b"two"));
        front.consume(3);
        let mut out = [0; 1];
        front.read_exact(&mut out)?;
        assert_eq!((line.as_str(), out), ("one\n", *b"\n"));
        assert_eq!(front.skip_until(b' ')?, 7);
    }
    assert_eq!(buffer, *b"kept");
    Ok(())
}
