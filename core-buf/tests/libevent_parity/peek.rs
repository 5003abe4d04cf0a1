//! Looking at bytes where they lie, and copying them out.

use std::io::IoSlice;

use sluicegate_core_buf::Buffer;

use crate::{in_pieces, shared};

/// Sixteen segments, "piece [0]\n" to "piece [15]\n": ten of 10 bytes and six of 11.
fn fragments() -> Buffer {
    let texts: Vec<_> = (0..16).map(|number| format!("piece [{number}]\n")).collect();
    in_pieces(&texts.iter().map(String::as_bytes).collect::<Vec<_>>())
}

/// regress_buffer.c `peek`: how many slices a range takes, and which.
///
/// Differs: the last slice is cut to the range, so that a vectored write of it sends no more; and
/// how many are needed is a count of the same iterator.
#[test]
fn peek() {
    let buffer = fragments();
    assert_eq!((buffer.len(), buffer.peek(0..usize::MAX).count()), (166, 16));
    let pieces: Vec<_> = buffer.peek(0..166).collect();
    for number in [0, 3, 12, 15] {
        assert_eq!(pieces[number], format!("piece [{number}]\n").as_bytes());
    }
    for (range, count) in
        [(0..1, 1), (0..10, 1), (0..20, 2), (0..45, 5), (0..1_000, 16), (166..170, 0), (5..5, 0)]
    {
        assert_eq!(buffer.peek(range.clone()).count(), count, "{range:?}");
    }
    let pieces: Vec<_> = buffer.peek(15..33).collect();
    assert_eq!(pieces, [&b" [1]\n"[..], b"piece [2]\n", b"pie"]);
    assert_eq!(buffer.peek(20..30).collect::<Vec<_>>(), [b"piece [2]\n"]);
    assert_eq!(Buffer::new().peek(0..50).count(), 0);

    let mut slices = [IoSlice::new(&[]); 3];
    assert_eq!(buffer.io_slices(usize::MAX, &mut slices), 3, "no more than there are places");
    assert_eq!(*slices[2], *b"piece [2]\n");
    assert_eq!(buffer.io_slices(13, &mut slices), 2);
    assert_eq!((&*slices[0], &*slices[1]), (&b"piece [0]\n"[..], &b"pie"[..]));
}

/// regress_buffer.c `peek_first_gt`: ranges that begin behind the first bytes of a segment.
#[test]
fn peek_first_gt() {
    let buffer = in_pieces(&[b"Contents of segment 100\n", b"Contents of segment 1\n"]);
    for (range, count) in [(0..46, 2), (22..46, 2), (22..24, 1), (22..25, 2), (24..25, 1)] {
        assert_eq!(buffer.peek(range.clone()).count(), count, "{range:?}");
    }
}

/// regress_buffer.c `copyout`: from the front and from a position, in any number of segments.
#[test]
fn copyout() {
    let text: Vec<u8> = (0..206).collect();
    let mut buffer = Buffer::new();
    buffer.add_shared(shared(&text[..80]));
    buffer.add_shared(shared(&text[80..160]));
    buffer.add(&text[160..]);
    for (offset, room, count) in [
        (0, 10, 10),
        (0, 100, 100),
        (0, 230, 206),
        (15, 10, 10),
        (15, 65, 65),
        (15, 90, 90),
        (15, 160, 160),
        (15, 999, 191),
        (206, 1, 0),
    ] {
        let mut out = vec![0; room];
        assert_eq!(buffer.copy_out(offset, &mut out), count, "{room} from {offset}");
        assert_eq!(out[..count], text[offset..offset + count]);
        assert_eq!(buffer.len(), 206, "nothing is consumed");
    }
}
