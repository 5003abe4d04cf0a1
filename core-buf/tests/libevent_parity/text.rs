//! Lines and searches.

use sluicegate_core_buf::{Buffer, Eol};

use crate::in_pieces;

/// What `read_line` gives until it gives nothing, and what is left then.
fn lines(pieces: &[&[u8]], eol: Eol) -> (Vec<String>, Vec<u8>) {
    let mut buffer = in_pieces(pieces);
    let mut lines = Vec::new();
    while let Some(line) = buffer.read_line(eol) {
        lines.push(String::from_utf8(line).expect("the cases are text"));
    }
    (lines, buffer.to_vec())
}

/// Asserts what is read of a text, whole and cut at every place.
fn assert_lines(text: &[u8], eol: Eol, expected: &[&str], left: &[u8]) {
    let expected = (expected.iter().map(ToString::to_string).collect(), left.to_vec());
    for cut in 0..text.len() {
        let (head, tail) = text.split_at(cut);
        assert_eq!(lines(&[head, tail], eol), expected, "{eol:?}, cut at {cut}");
    }
}

/// regress_buffer.c `readln`: the five ends of a line, also across segments.
///
/// Differs: there is no failing allocator to be survived; Rust's aborts.
#[test]
fn readln() {
    let any = b"a silly end\r\n\n\r\n\n\rmore\0\n\nno end";
    assert_lines(any, Eol::Any, &["a silly end", "more\0"], b"no end");
    assert_lines(b"\nno end", Eol::Any, &[""], b"no end");

    let crlf = b"with\rin it\nwith both\r\n\nlast\nx\r";
    assert_lines(crlf, Eol::Crlf, &["with\rin it", "with both", "", "last"], b"x\r");

    let strict = b"a bad end\nand a good one\r\n\r\na \r alone\r\nMore\r";
    let expected = ["a bad end\nand a good one", "", "a \r alone"];
    assert_lines(strict, Eol::CrlfStrict, &expected, b"More\r");

    assert_lines(b"one\rand its end\n\nText", Eol::Lf, &["one\rand its end", ""], b"Text");
    assert_lines(b"NUL\n\0\0time\0media", Eol::Nul, &["NUL\n", "", "time"], b"media");

    let mut late = Buffer::from(b"More\r");
    assert_eq!(late.read_line(Eol::CrlfStrict), None);
    late.add(b"\n");
    assert_eq!(late.read_line(Eol::CrlfStrict), Some(b"More".to_vec()));
    assert!(late.is_empty());
}

/// regress_buffer.c `search_eol`: where an end begins and how long it is, from any position.
#[test]
fn search_eol() {
    let buffer = Buffer::from(b"string! \r\n\r\nx\n");
    for (from, eol, end) in [
        (0, Eol::Crlf, Some(8..10)),
        (8, Eol::Crlf, Some(8..10)),
        (9, Eol::Crlf, Some(9..10)),
        (9, Eol::CrlfStrict, Some(10..12)),
        (0, Eol::Lf, Some(9..10)),
        (9, Eol::Lf, Some(9..10)),
        (10, Eol::Lf, Some(11..12)),
        (0, Eol::Any, Some(8..12)),
        (14, Eol::Lf, None),
        (15, Eol::Any, None),
    ] {
        assert_eq!(buffer.search_eol(from, eol), end, "{eol:?} from {from}");
    }
}

/// regress_buffer.c `find`: nothing is found behind the end, in memory that holds older bytes.
#[test]
fn find() {
    let mut buffer = Buffer::from(b"1234567890\r\n");
    buffer.drain(12);
    buffer.add(b"1234567890\r");
    assert_eq!(buffer.search(b"\r\n"), None);
    buffer.drain(11);
    buffer.add(&[b'a'; 1_023]);
    buffer.add(b"x");
    assert_eq!(buffer.search(b"xy"), None);
    assert_eq!(buffer.search(b"ax"), Some(1_022));
}

/// regress_buffer.c `ptr_set`: positions, up to the end and not beyond.
///
/// Differs: a position is a number, so setting and adding are arithmetic. What lies at or behind
/// the end is empty, not an error.
#[test]
fn ptr_set() {
    let buffer = in_pieces(&[&[1; 5_000], &[2; 4_000], &[3; 3_000]]);
    let mut position = 0;
    for (step, rest) in [(0, 12_000), (10_000, 2_000), (1_000, 1_000), (1_000, 0), (1_000, 0)] {
        position += step;
        assert_eq!(buffer.peek(position..usize::MAX).flatten().count(), rest);
        assert_eq!(buffer.copy_out(position, &mut [0; 12_001]), rest);
        assert_eq!(buffer.search_range(b"", position..usize::MAX).is_some(), position <= 12_000);
    }
    assert_eq!(Buffer::new().copy_out(1, &mut [0]), 0);
}

/// regress_buffer.c `search`: across segments, continued, and within bounds.
#[test]
fn search() {
    let empty = Buffer::new();
    for range in [0..0, 0..1, 0..usize::MAX] {
        assert_eq!(empty.search_range(b"x", range), None);
    }
    let buffer = in_pieces(&[b"hello", b"foo", b"cat", b"attack"]);
    for (needle, range, found) in [
        (&b"attack"[..], 0..17, Some(11)),
        (b"attacker", 0..17, None),
        (b"oc", 0..17, Some(7)),
        (b"cat", 7..17, Some(8)),
        (b"tacking", 8..17, None),
        (b"foo", 5..17, Some(5)),
        (b"tat", 7..17, Some(10)),
        (b"foo", 0..12, Some(5)),
        (b"foocata", 0..12, Some(5)),
        (b"foocatat", 0..12, None),
        (b"ack", 0..12, None),
        (b"attack", 11..17, Some(11)),
        (b"attack", 17..17, None),
        (b"attack", 17..usize::MAX, None),
    ] {
        assert_eq!(buffer.search_range(needle, range.clone()), found, "{range:?}");
    }
}
