//! Adding, moving, draining: the everyday operations.

use std::error::Error;
use std::fmt::Write;
use std::io::{self, IoSlice};

use sluicegate_core_buf::{Buffer, ReserveError};

use crate::all;

/// regress_buffer.c `evbuffer`: the operations in a row, on two buffers.
#[test]
fn evbuffer() -> Result<(), Box<dyn Error>> {
    let (mut one, mut two) = (Buffer::new(), Buffer::new());
    let (name, number) = ("port", 7);
    write!(one, "{name}:{number}")?;
    assert_eq!((one.len(), one.first()), (6, &b"port:7"[..]));
    one.append(&mut two);
    assert_eq!(one.drain(5), 5);
    assert_eq!(one, *b"7");

    two.add(b":trop");
    one.append(&mut two);
    assert_eq!((one.len(), two.len()), (6, 0));
    let zeros = [0; 512];
    one.add(&zeros);
    assert_eq!(one.pull_up(6 + 512), Some(&[b"7:trop", &zeros[..]].concat()[..]));

    one.prepend(b"second,");
    one.prepend(b"first,");
    assert_eq!(one.pull_up(19), Some(&b"first,second,7:trop"[..]));
    assert_eq!(one.drain(usize::MAX), 19 + 512);

    for _ in 0..3 {
        two.add(&zeros);
        one.append(&mut two);
        assert!(two.is_empty());
    }
    assert_eq!(one.move_to(&mut two, 1_280), 1_280);
    assert_eq!((all(&mut one), all(&mut two)), (&[0; 256][..], &[0; 1_280][..]));

    for _ in 0..3 {
        let mut room = one.reserve(10_000)?;
        assert_eq!(room.first().len(), 10_000);
        room.first().fill(9);
        room.commit(10_000);
        assert!(one.len() >= 10_000);
        one.drain(50_000);
        assert!(one.is_empty());
    }
    Ok(())
}

/// regress_buffer.c `add1`: additions before and after room was asked for.
///
/// Differs: room that is not committed is given back, there is no `expand` to leave it in place.
#[test]
fn add1() -> Result<(), Box<dyn Error>> {
    let mut buffer = Buffer::from(b"1");
    drop(buffer.reserve(2_048)?);
    buffer.add(b"2");
    write!(buffer, "3")?;
    assert_eq!(all(&mut buffer), b"123");
    Ok(())
}

/// regress_buffer.c `add2`: the same with a block that is almost full.
#[test]
fn add2() -> Result<(), ReserveError> {
    let mut buffer = Buffer::from(&[b'P'; 1_014]);
    drop(buffer.reserve(100)?);
    buffer.add(b"2");
    buffer.add(b"3");
    assert_eq!(all(&mut buffer), [&[b'P'; 1_014], &b"23"[..]].concat());
    Ok(())
}

/// regress_buffer.c `iterative`: 103,000 formatted additions waste little.
///
/// There it is the waste in the blocks that must stay below an eighth. Here: all blocks but the
/// first few hold 16 KiB each, with no gap.
#[test]
fn iterative() -> Result<(), Box<dyn Error>> {
    let mut buffer = Buffer::new();
    let mut sum = 0;
    for _ in 0..1_000 {
        for width in 1..104 {
            write!(buffer, "{:>width$}", "x")?;
            sum += width;
        }
    }
    assert_eq!(buffer.len(), sum);
    let blocks = buffer.segment_count() - 4;
    assert!(blocks << 14 < sum + sum / 8, "{blocks} blocks of 16 KiB for {sum} bytes");
    Ok(())
}

/// regress_buffer.c `expand`: room in one piece, in place where it fits.
///
/// Differs: nothing is moved to make room behind it; one byte at the end of a block stays there.
#[test]
fn expand() -> Result<(), ReserveError> {
    let mut buffer = Buffer::new();
    assert_eq!(buffer.reserve(20_000)?.first().len(), 20_000);
    assert_eq!((buffer.len(), buffer.segment_count()), (0, 0));

    buffer.add(&[b'X'; 400]);
    let end = buffer.first().as_ptr_range().end;
    assert_eq!(buffer.reserve(600)?.first().as_ptr(), end, "there is room behind it");

    buffer.add(&[b'X'; 623]);
    buffer.drain(1_022);
    let last = buffer.first().as_ptr();
    assert_eq!(buffer.reserve(40)?.first().len(), 40);
    assert_eq!((buffer.first(), buffer.first().as_ptr()), (&b"X"[..], last));

    let mut buffer = Buffer::new();
    for _ in 0..3 {
        buffer.add(&[b'X'; 4_096]);
    }
    drop(buffer.reserve(1_024)?);
    assert_eq!(all(&mut buffer), [b'X'; 3 * 4_096]);
    Ok(())
}

/// regress_buffer.c `expand_overflow`: too much room is refused and nothing is changed.
///
/// Differs: the limit is 1 GiB, not the address space, so that no peer's number can ask for more.
#[test]
fn expand_overflow() {
    let mut buffer = Buffer::from(b"1");
    for asked in [Buffer::MAX_EXTENT + 1, usize::MAX] {
        let error = buffer.reserve(asked).expect_err("beyond the limit");
        let of_extents = buffer.reserve_extents(asked).expect_err("beyond the limit");
        assert_eq!((error.asked, of_extents.asked), (asked, asked));
        assert_eq!((buffer.segment_count(), buffer.first()), (1, &b"1"[..]));
    }
}

/// regress_buffer.c `add_iovec`: several slices are added at once.
#[test]
fn add_iovec() -> io::Result<()> {
    let texts = ["many hands", "make light work,", "", "too many cooks do not"];
    let slices = texts.map(|text| IoSlice::new(text.as_bytes()));
    let mut buffer = Buffer::new();
    let count = io::Write::write_vectored(&mut buffer, &slices)?;
    assert_eq!((count, buffer.len()), (47, 47));
    for text in texts {
        let mut out = vec![0; text.len()];
        assert_eq!(buffer.remove(&mut out), text.len());
        assert_eq!(out, text.as_bytes());
    }
    assert!(buffer.is_empty());
    Ok(())
}
