//! Tests of what a buffer does with memory: sharing, reuse, and how much of it is held.

use std::sync::Arc;

use super::pool::{allocations, free_bytes};
use super::{Buffer, Landing, Segment};

const fn assert_send<T: Send>() {}
const _: () = assert_send::<Buffer>();
const _: () = assert_send::<Landing>();

fn shared(len: usize) -> Arc<[u8]> {
    (0..len).map(|i| i as u8).collect()
}

fn land(buffer: &mut Buffer, landing: &mut Landing, count: usize) {
    landing.space(count)[..count].fill(7);
    buffer.land(landing, count);
}

fn memory_bytes(buffer: &Buffer) -> usize {
    buffer.chain.iter().map(Segment::memory_bytes).sum()
}

#[test]
fn empty_buffer_is_small_and_option_adds_none() {
    assert_eq!(size_of::<Buffer>(), 80);
    assert_eq!(size_of::<Option<Buffer>>(), 80);
}

#[test]
fn blocks_come_back_when_a_buffer_is_drained_cleared_or_dropped() {
    let ends: [fn(Buffer) -> Buffer; 3] = [
        |mut buffer| {
            buffer.drain(usize::MAX);
            buffer
        },
        |mut buffer| {
            buffer.clear();
            buffer
        },
        |_| Buffer::new(),
    ];
    for end in ends {
        let before = free_bytes();
        let mut buffer = Buffer::new();
        buffer.add(&[1; 50_000]);
        let held = end(buffer);
        assert_eq!(held.segment_count(), 0);
        let after = free_bytes();
        assert!(after >= before && after >= 50_000, "before {before}, after {after}");
    }
}

#[test]
fn steady_echo_allocates_nothing() {
    let (mut landing, mut input, mut output) = (Landing::new(), Buffer::new(), Buffer::new());
    let mut turn = |reads: &[usize]| {
        for &count in reads {
            land(&mut input, &mut landing, count);
        }
        output.append(&mut input);
        output.drain(usize::MAX);
    };
    let rounds: [&[usize]; 4] = [&[64], &[5_000], &[16_384; 10], &[65_536, 64, 9_000]];
    rounds.iter().for_each(|reads| turn(reads));
    let before = allocations();
    for _ in 0..100 {
        rounds.iter().for_each(|reads| turn(reads));
    }
    assert_eq!(allocations(), before);
}

#[test]
fn shared_memory_is_let_go_exactly_once() {
    let bytes = shared(100);
    let (mut one, mut two) = (Buffer::new(), Buffer::new());
    one.add_shared(Arc::clone(&bytes));
    one.add_shared_range(Arc::clone(&bytes), 10..20);
    assert_eq!(Arc::strong_count(&bytes), 3);
    one.move_to(&mut two, 50);
    assert_eq!(Arc::strong_count(&bytes), 4, "the split segment counts twice");
    two.drain(49);
    assert_eq!(Arc::strong_count(&bytes), 4);
    two.drain(1);
    assert_eq!(Arc::strong_count(&bytes), 3);
    one.drain(50);
    assert_eq!(Arc::strong_count(&bytes), 2);
    drop(one);
    assert_eq!(Arc::strong_count(&bytes), 1);
}

#[test]
fn adding_behind_shared_memory_leaves_it_unchanged() {
    let bytes = shared(10);
    let mut buffer = Buffer::new();
    buffer.add_shared_range(Arc::clone(&bytes), 0..5);
    buffer.add(b"xyz");
    assert_eq!(bytes, shared(10));
    assert_eq!(buffer, [0, 1, 2, 3, 4, b'x', b'y', b'z']);
}

#[test]
#[should_panic(expected = "range 5..11 does not lie inside 10 shared bytes")]
fn shared_range_past_the_end_is_refused() {
    Buffer::new().add_shared_range(shared(10), 5..11);
}

#[test]
fn append_moves_blocks_without_copying() {
    let (mut from, mut to) = (Buffer::from(&[1; 10_000]), Buffer::from(b"x"));
    let address = from.first().as_ptr();
    to.append(&mut from);
    assert_eq!(to.slices().nth(1).map(<[u8]>::as_ptr), Some(address));
    assert_eq!((to.len(), from.len(), from.segment_count()), (10_001, 0, 0));
}

#[test]
fn bytes_appended_one_by_one_share_blocks() {
    let (mut landing, mut input, mut output) = (Landing::new(), Buffer::new(), Buffer::new());
    for _ in 0..100_000 {
        land(&mut input, &mut landing, 1);
        output.append(&mut input);
    }
    assert_eq!(output.len(), 100_000);
    assert!(memory_bytes(&output) <= 120_000, "{} bytes held", memory_bytes(&output));
}

#[test]
fn remains_of_large_reads_do_not_hold_their_blocks() {
    let (mut landing, mut input, mut output) = (Landing::new(), Buffer::new(), Buffer::new());
    for _ in 0..100 {
        land(&mut input, &mut landing, 16_384);
        input.drain(16_300);
        assert_eq!(memory_bytes(&input), 1024, "84 bytes left unread");
        output.append(&mut input);
    }
    assert_eq!(output.len(), 8_400);
    assert!(memory_bytes(&output) <= 4 * 8_400, "{} bytes held", memory_bytes(&output));
}

#[test]
fn long_buffer_of_short_additions_has_few_segments() {
    let mut buffer = Buffer::new();
    for _ in 0..1 << 18 {
        buffer.add(b"abcd");
    }
    assert!(buffer.segment_count() <= (1 << 20) / (16 << 10) + 8, "{buffer:?}");
}

#[test]
fn equality_ignores_how_bytes_are_cut() {
    let mut cut = Buffer::new();
    cut.add_shared(shared(5));
    cut.add(&[5, 6]);
    assert_eq!(cut, Buffer::from(&[0, 1, 2, 3, 4, 5, 6]));
    assert_ne!(cut, [0, 1, 2, 3, 4, 5]);
    assert_ne!(cut, [0, 1, 2, 3, 4, 5, 7]);
}

#[test]
fn debug_output_shows_sizes_not_contents() {
    assert_eq!(format!("{:?}", Buffer::from(b"secret")), "Buffer { len: 6, segments: 1 }");
}

#[test]
fn prepending_uses_the_room_that_draining_left() {
    let mut buffer = Buffer::from(&[1; 1000]);
    let address = buffer.first().as_ptr();
    buffer.drain(100);
    buffer.prepend(&[2; 100]);
    assert_eq!((buffer.first().as_ptr(), buffer.segment_count()), (address, 1));
    for _ in 0..1024 {
        buffer.prepend(b"x");
    }
    assert_eq!((buffer.len(), buffer.segment_count()), (2024, 2), "one block for many bytes");
}

#[test]
fn prepending_before_shared_memory_leaves_it_unchanged() {
    let bytes = shared(10);
    let mut buffer = Buffer::new();
    buffer.add_shared_range(Arc::clone(&bytes), 5..10);
    buffer.prepend(b"xyz");
    assert_eq!(bytes, shared(10));
    assert_eq!(buffer, [b'x', b'y', b'z', 5, 6, 7, 8, 9]);
}

#[test]
fn buffers_prepended_one_by_one_share_blocks() {
    let mut buffer = Buffer::new();
    for _ in 0..10_000 {
        buffer.prepend_buffer(&mut Buffer::from(b"0123456789"));
    }
    assert_eq!(buffer.len(), 100_000);
    assert!(memory_bytes(&buffer) <= 120_000, "{} bytes held", memory_bytes(&buffer));
}

#[test]
fn pulling_up_what_lies_together_moves_nothing() {
    let mut buffer = Buffer::from(&[1; 1000]);
    let address = buffer.first().as_ptr();
    assert_eq!(buffer.pull_up(1000).map(<[u8]>::as_ptr), Some(address));
    assert_eq!(buffer.pull_up(0), Some(&[][..]));
}

#[test]
fn pulling_up_fills_the_first_block_before_it_takes_another() {
    let mut buffer = Buffer::from(&[1; 1000]);
    let address = buffer.first().as_ptr();
    buffer.add_shared(shared(100));
    assert_eq!(buffer.pull_up(1024).map(<[u8]>::as_ptr), Some(address));
    assert_eq!((buffer.len(), buffer.segment_count(), buffer.first().len()), (1100, 2, 1024));
    assert_ne!(buffer.pull_up(1025).map(<[u8]>::as_ptr), Some(address));
    assert_eq!((buffer.len(), buffer.segment_count(), buffer.first().len()), (1100, 2, 1025));
}

#[test]
fn more_than_one_piece_may_hold_is_not_pulled_up() {
    let mut buffer = Buffer::new();
    let bytes = shared(1 << 20);
    for _ in 0..1025 {
        buffer.add_shared(Arc::clone(&bytes));
    }
    assert_eq!(buffer.pull_up(Buffer::MAX_EXTENT + 1), None);
    assert_eq!((buffer.len(), buffer.segment_count()), (1025 << 20, 1025));
}
