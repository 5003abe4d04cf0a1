//! Bytes by reference: of one owner, and of one buffer in many.

use std::sync::Arc;

use sluicegate_core_buf::{Buffer, ReserveError};

use crate::{all, shared, watched};

const FIRST: &[u8] = b"a question that was asked long ago and often since";
const SECOND: &[u8] = b"an answer which nobody has written down so far";

fn taken(buffer: &mut Buffer, count: usize) -> Vec<u8> {
    let mut out = vec![0; count];
    let count = buffer.remove(&mut out);
    out.truncate(count);
    out
}

/// regress_buffer.c `reference`: a reference is read in two parts with a prepend between them.
///
/// Differs: the clean-up is the owner's drop, which needs no arguments.
#[test]
fn reference() -> Result<(), ReserveError> {
    let (owner, seen) = watched(FIRST);
    let (mut from, mut to) = (Buffer::new(), Buffer::new());
    from.add_owner(owner);
    let mut room = to.reserve(FIRST.len())?;
    assert_eq!(from.remove(&mut room.first()[..10]), 10);
    from.prepend(b"aaaaa");
    assert_eq!(*seen, *FIRST, "not written to before its bytes");
    from.drain(5);
    assert_eq!(Arc::strong_count(&seen), 2);
    assert_eq!(from.remove(&mut room.first()[10..]), FIRST.len() - 10);
    assert_eq!(Arc::strong_count(&seen), 1);
    room.commit(FIRST.len());
    assert_eq!(all(&mut to), FIRST);
    Ok(())
}

/// regress_buffer.c `reference2`: a reference between copies.
#[test]
fn reference2() -> Result<(), ReserveError> {
    let mut buffer = Buffer::from(&[b'P'; 1_014]);
    drop(buffer.reserve(100)?);
    buffer.add_shared(shared(b"2"));
    buffer.add(b"3");
    assert_eq!(all(&mut buffer), [&[b'P'; 1_014], &b"23"[..]].concat());
    Ok(())
}

/// regress_buffer.c `add_reference`: each owner goes with its last byte, and not before.
#[test]
fn add_reference() {
    let (one, one_seen) = watched(FIRST);
    let (two, two_seen) = watched(SECOND);
    let (three, three_seen) = watched(b"not read at all");
    let alive = || [&one_seen, &two_seen, &three_seen].map(|seen| Arc::strong_count(seen) - 1);
    let mut buffer = Buffer::new();
    buffer.add_owner(one);
    buffer.add(b"; ");
    buffer.add_owner(two);
    assert_eq!(buffer.len(), FIRST.len() + 2 + SECOND.len());

    assert_eq!(taken(&mut buffer, 10), b"a question");
    buffer.prepend(b"this ");
    assert_eq!(taken(&mut buffer, 5), b"this ");
    buffer.drain(FIRST.len() - 10 - 1);
    assert_eq!(alive(), [1, 1, 1]);
    assert_eq!(taken(&mut buffer, 1), b"e");
    assert_eq!(alive(), [0, 1, 1]);

    buffer.drain(2 + 2);
    let mut other = Buffer::from(b"The");
    other.append(&mut buffer);
    assert_eq!(taken(&mut other, 10), b"The answer");
    assert_eq!(alive(), [0, 1, 1]);
    other.clear();
    assert_eq!(alive(), [0, 0, 1]);

    buffer.add(b"before ");
    buffer.add_owner(three);
    buffer.add(b" behind");
    drop(buffer);
    assert_eq!(alive(), [0, 0, 0]);
}

/// regress_buffer.c `add_reference_with_offset`: a part of a reference; the whole goes with it.
#[test]
fn add_reference_with_offset() {
    let seen = shared(FIRST);
    let mut buffer = Buffer::new();
    buffer.add_shared_range(Arc::clone(&seen), 2..10);
    assert_eq!((all(&mut buffer), Arc::strong_count(&seen)), (&b"question"[..], 2));
    buffer.drain(7);
    assert_eq!(Arc::strong_count(&seen), 2);
    buffer.drain(1);
    assert_eq!(Arc::strong_count(&seen), 1);
}

/// A buffer of copies, and one that refers to what is in it.
fn sender_and_receiver() -> (Buffer, Buffer) {
    let mut sender = Buffer::from(FIRST);
    sender.add(b"; ");
    sender.add(SECOND);
    let mut receiver = Buffer::new();
    receiver.append_shared(&mut sender);
    assert_eq!((sender.len(), &sender), (FIRST.len() + 2 + SECOND.len(), &receiver));
    (sender, receiver)
}

/// regress_buffer.c `multicast`: one buffer in two, and neither sees what the other does.
///
/// Differs: a reference may be referred to again. To a buffer itself it cannot be: two exclusive
/// borrows of one buffer do not compile.
#[test]
fn multicast() {
    let (mut sender, mut receiver) = sender_and_receiver();
    let mut second_hand = Buffer::new();
    second_hand.append_shared(&mut receiver);
    for buffer in [&mut sender, &mut receiver] {
        assert_eq!(taken(buffer, 10), b"a question");
        buffer.prepend(b"some questions");
    }
    drop(sender);
    assert_eq!(taken(&mut receiver, 24), b"some questions that was ");
    assert_eq!(taken(&mut second_hand, 24), &FIRST[..24]);
}

/// regress_buffer.c `multicast_drain`: drained in one buffer, still there in the other.
#[test]
fn multicast_drain() {
    let (mut sender, mut receiver) = sender_and_receiver();
    let len = sender.len();
    assert_eq!(sender.drain(len), len);
    assert_eq!((sender.len(), receiver.len()), (0, len));
    assert_eq!(receiver.drain(len), len);
    assert!(receiver.is_empty());
}
