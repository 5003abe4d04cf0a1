//! Room in one or several extents, committed in part.

use sluicegate_core_buf::{Buffer, Reservation, ReserveError};

use crate::{all, shared};

/// Where the extents lie and how long they are.
fn extents(room: &mut Reservation<'_>) -> Vec<(*const u8, usize)> {
    room.extents().map(|extent| (extent.as_ptr(), extent.len())).collect()
}

/// Fills the extents with `bytes` in order and commits as many.
fn fill(mut room: Reservation<'_>, bytes: &[u8]) {
    let mut left = bytes;
    for extent in room.extents() {
        let (head, rest) = left.split_at(left.len().min(extent.len()));
        extent[..head.len()].copy_from_slice(head);
        left = rest;
    }
    room.commit(bytes.len());
}

/// regress_buffer.c `reserve2`: the rest of a block, and a second one behind it.
///
/// Differs: extents are as long together as was asked, and are filled in order, as a vectored read
/// fills them: there is one count to commit, not a length for each.
#[test]
fn reserve2() -> Result<(), ReserveError> {
    let mut buffer = Buffer::new();
    let mut room = buffer.reserve_extents(1_024)?;
    let [(block, 1_024)] = extents(&mut room)[..] else { panic!("one extent of 1,024") };
    fill(room, &[b'X'; 512]);
    assert_eq!(buffer.len(), 512);

    let mut room = buffer.reserve_extents(32)?;
    assert_eq!(extents(&mut room), [(block.wrapping_add(512), 32)]);
    fill(room, &[b'Y'; 8]);

    let mut room = buffer.reserve_extents(504 + 64)?;
    let split = extents(&mut room);
    assert_eq!((split[0], split[1].1, split.len()), ((block.wrapping_add(520), 504), 64, 2));
    fill(room, b"Z");
    assert_eq!((buffer.len(), buffer.segment_count()), (521, 1));

    fill(buffer.reserve_extents(503 + 264)?, &[[b'W'; 503].as_slice(), &[b'x'; 200]].concat());
    let lengths: Vec<_> = buffer.slices().map(<[u8]>::len).collect();
    assert_eq!(lengths, [1_024, 200]);
    let parts = [(b'X', 512), (b'Y', 8), (b'Z', 1), (b'W', 503), (b'x', 200)];
    let expected: Vec<u8> = parts.iter().flat_map(|&(byte, count)| vec![byte; count]).collect();
    assert_eq!(all(&mut buffer), expected);
    Ok(())
}

/// What the three cases `reserve_many` do, in a buffer whose last block has `tail` bytes left.
///
/// Differs: a reservation that was not committed leaves no block behind, so nothing must be found
/// again or thrown away at the next; it may have any number of extents, or one.
fn reserve_more_and_more(buffer: &mut Buffer, tail: usize) -> Result<(), ReserveError> {
    let held = (buffer.len(), buffer.segment_count());
    for blocks in 0..3 {
        let count = tail + blocks * 65_536 + 128;
        let mut expected = vec![tail; usize::from(tail > 0)];
        expected.resize(expected.len() + blocks, 65_536);
        expected.push(128);
        let mut room = buffer.reserve_extents(count)?;
        assert!(room.extents().map(|extent| extent.len()).eq(expected));
        assert_eq!(extents(&mut buffer.reserve(count)?)[0].1, count);
    }
    assert_eq!((buffer.len(), buffer.segment_count()), held);
    Ok(())
}

/// regress_buffer.c `reserve_many`: more and more room in an empty buffer.
#[test]
fn reserve_many() -> Result<(), ReserveError> {
    let mut buffer = Buffer::new();
    drop(buffer.reserve(128)?);
    reserve_more_and_more(&mut buffer, 0)
}

/// regress_buffer.c `reserve_many2`: the same behind one byte.
#[test]
fn reserve_many2() -> Result<(), ReserveError> {
    let mut buffer = Buffer::from(b"X");
    reserve_more_and_more(&mut buffer, 1_023)
}

/// regress_buffer.c `reserve_many3`: the same behind a full block.
#[test]
fn reserve_many3() -> Result<(), ReserveError> {
    let mut buffer = Buffer::new();
    fill(buffer.reserve(1_024)?, &[b'X'; 1_024]);
    reserve_more_and_more(&mut buffer, 0)
}

/// regress_buffer.c `reserve_with_empty`: of two extents one byte is used, and another added.
#[test]
fn reserve_with_empty() -> Result<(), ReserveError> {
    let mut buffer = Buffer::from(b"a");
    let mut room = buffer.reserve_extents(4_096)?;
    assert_eq!(room.extents().count(), 2);
    fill(room, b"b");
    buffer.add(b"c");
    assert_eq!(all(&mut buffer), b"abc");
    Ok(())
}

/// regress_buffer.c `reserve_invalid_last_with_datap`: nothing, a prepend, and room given up twice.
#[test]
fn reserve_invalid_last_with_datap() -> Result<(), ReserveError> {
    let mut buffer = Buffer::new();
    buffer.add_shared(shared(b""));
    buffer.prepend(b"foo");
    buffer.add(b"");
    buffer.reserve_extents(1 << 12)?.commit(0);
    let room = extents(&mut buffer.reserve_extents(1 << 13)?);
    assert_eq!(room.iter().map(|(_, length)| length).sum::<usize>(), 1 << 13);
    assert_eq!(buffer, *b"foo");
    Ok(())
}
