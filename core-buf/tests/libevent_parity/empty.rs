//! Nothing among something: upstream, chains of no bytes led to lost or reordered ones.
//!
//! Here there are none: what would add an empty segment adds nothing. The cases stay, as what they
//! assert about the bytes must hold all the same.

use sluicegate_core_buf::{Buffer, ReserveError};

use crate::{all, in_pieces, shared};

/// "foo" copied, then "foo" by reference: the second part of a buffer in the cases below.
fn copied_and_shared() -> Buffer {
    let mut buffer = Buffer::from(b"foo");
    buffer.add_shared(shared(b"foo"));
    buffer
}

/// A piece, and behind it one of no bytes.
fn piece_and_nothing() -> Buffer {
    in_pieces(&[b"foo", b""])
}

/// regress_buffer.c `remove_buffer_with_empty`: a part of a reference moves behind nothing.
#[test]
fn remove_buffer_with_empty() {
    let mut from = in_pieces(&[b"AA", b"AA"]);
    let mut to = Buffer::from(b"AA");
    to.add_shared(shared(b""));
    assert_eq!((all(&mut from), all(&mut to)), (&b"AAAA"[..], &b"AA"[..]));
    assert_eq!(from.move_to(&mut to, 3), 3);
    assert_eq!((all(&mut from), all(&mut to)), (&b"A"[..], &b"AAAAA"[..]));
}

/// regress_buffer.c `remove_buffer_with_empty2`: nothing amid three segments, on both sides.
#[test]
fn remove_buffer_with_empty2() {
    let [mut from, mut to] = [(), ()].map(|()| {
        let mut buffer = piece_and_nothing();
        buffer.append(&mut copied_and_shared());
        assert_eq!((buffer.len(), all(&mut buffer)), (9, &b"foofoofoo"[..]));
        buffer
    });
    assert_eq!(from.move_to(&mut to, 8), 8);
    assert_eq!((from.len(), all(&mut from)), (1, &b"o"[..]));
    assert_eq!((to.len(), all(&mut to)), (17, &b"foofoofoofoofoofo"[..]));
}

/// regress_buffer.c `remove_buffer_with_empty3`: nothing comes to the front by a prepend.
#[test]
fn remove_buffer_with_empty3() {
    let [mut from, mut to] = [(), ()].map(|()| {
        let mut buffer = piece_and_nothing();
        let mut front = Buffer::from(b"foo");
        front.add_shared(shared(b""));
        buffer.prepend_buffer(&mut front);
        assert_eq!((buffer.len(), all(&mut buffer)), (6, &b"foofoo"[..]));
        buffer
    });
    assert_eq!(from.move_to(&mut to, 5), 5);
    assert_eq!((from.len(), all(&mut from)), (1, &b"o"[..]));
    assert_eq!((to.len(), all(&mut to)), (11, &b"foofoofoofo"[..]));
}

/// regress_buffer.c `remove_buffer_with_empty_front`: nothing is prepended, then one byte moves.
#[test]
fn remove_buffer_with_empty_front() {
    let (mut from, mut to) = (in_pieces(&[b"foo"]), Buffer::new());
    from.prepend(b"");
    assert_eq!(from.move_to(&mut to, 1), 1);
    from.add(b"bar");
    assert_eq!((all(&mut from), all(&mut to)), (&b"oobar"[..], &b"f"[..]));
}

/// regress_buffer.c `remove_buffer_adjust_last_with_datap_with_empty`: a reservation that was not
/// needed whole, then a prepend, an append and a move.
#[test]
fn remove_buffer_adjust_last_with_datap_with_empty() -> Result<(), ReserveError> {
    let (mut one, mut two) = (Buffer::from(b"aaaaaa"), Buffer::new());
    let mut room = one.reserve_extents(2_000)?;
    assert_eq!(room.extents().count(), 2);
    room.first()[0] = b'b';
    room.commit(1);

    two.add(b"cc");
    two.prepend(b"ddd");
    two.prepend_buffer(&mut one);
    one.append(&mut two);
    assert_eq!(one.move_to(&mut two, 11), 11);
    assert_eq!((all(&mut two), all(&mut one)), (&b"aaaaaabdddc"[..], &b"c"[..]));
    Ok(())
}

/// regress_buffer.c `add_buffer_with_empty`: a buffer is appended behind nothing.
#[test]
fn add_buffer_with_empty() {
    let mut buffer = piece_and_nothing();
    buffer.append(&mut Buffer::from(b"bar"));
    assert_eq!((buffer.len(), all(&mut buffer)), (6, &b"foobar"[..]));
}

/// regress_buffer.c `add_buffer_with_empty2`: a buffer is appended to one of a piece of no bytes.
#[test]
fn add_buffer_with_empty2() {
    let mut buffer = in_pieces(&[b""]);
    buffer.append(&mut Buffer::from(b"foo"));
    assert_eq!((buffer.len(), all(&mut buffer)), (3, &b"foo"[..]));
}

/// regress_buffer.c `pullup_with_empty`: nothing behind the bytes does not hide them.
///
/// Differs: pulling up nothing of an empty buffer gives nothing, not an error.
#[test]
fn pullup_with_empty() {
    let mut buffer = Buffer::from(b"foo");
    buffer.add_shared(shared(b""));
    assert_eq!((buffer.len(), buffer.pull_up(3)), (3, Some(&b"foo"[..])));
    assert_eq!(buffer.pull_up(4), None);
    let mut empty = Buffer::new();
    assert_eq!(empty.pull_up(0), Some(&b""[..]));
    assert_eq!(empty.pull_up(1), None);
}
