//! Streams without a socket: what one writes to a wire the other reads from it.

use sluicegate_core_buf::{Allowance, Buffer, Bufferevent, Callback, EventFlags, Readiness};
use sluicegate_groups::{Direction, Time, TokenBucketConfig};

fn stream() -> Bufferevent {
    Bufferevent::in_memory(Time::ZERO)
}

#[test]
fn what_one_writes_the_other_reads_without_a_copy() {
    let (mut one, mut two, mut wire) = (stream(), stream(), Buffer::new());
    one.buffers().1.add(&[7; 10_000]);
    let address = one.output().first().as_ptr();
    let count = one.poll_write().expect("writable from the start");
    assert_eq!(one.write_wire(Time::ZERO, &mut wire, count), 10_000, "in one operation");
    assert!(matches!(one.poll_callback(), Some(Callback::Write)));
    assert_eq!(two.poll_read(), None, "nobody has told it");
    two.handle_ready(Readiness::READABLE);
    assert_eq!(two.read_wire(Time::ZERO, &mut wire, usize::MAX), 10_000);
    assert!(matches!(two.poll_callback(), Some(Callback::Read)));
    assert_eq!((two.poll_read(), two.input().len()), (None, 10_000));
    assert_eq!(two.input().first().as_ptr(), address);
}

#[test]
fn a_reader_stays_readable_while_more_waits() {
    let (mut two, mut wire) = (stream(), Buffer::new());
    wire.add(b"hello");
    two.handle_ready(Readiness::READABLE);
    assert_eq!(two.read_wire(Time::ZERO, &mut wire, 2), 2);
    assert!(two.poll_read().is_some());
    assert_eq!(two.read_wire(Time::ZERO, &mut wire, 2), 2);
    assert_eq!(two.read_wire(Time::ZERO, &mut wire, 2), 1);
    assert_eq!((two.poll_read(), two.input().to_vec()), (None, b"hello".to_vec()));
    assert_eq!(two.read_wire(Time::ZERO, &mut wire, 2), 0);
}

#[test]
fn the_largest_operation_is_unlimited_unless_set() {
    let mut one = stream();
    for (set, max) in [(100, 100), (0, isize::MAX as usize), (usize::MAX, isize::MAX as usize)] {
        one.set_max_single(Direction::Write, set);
        assert_eq!(one.max_single(Direction::Write), max, "set to {set}");
    }
}

#[test]
fn forced_bytes_pass_marks_and_switches_and_then_the_end_is_told_once() {
    let (mut two, mut wire) = (stream(), Buffer::new());
    two.set_read_watermark(0, 10);
    two.disable(Time::ZERO, Direction::Read);
    wire.add(&[7; 100]);
    two.handle_ready(Readiness::READABLE);
    assert_eq!((two.poll_read(), two.poll_room(500)), (None, 0));
    two.force(Direction::Read, 60, true);
    assert_eq!(two.poll_read(), Some(60));
    two.read_wire(Time::ZERO, &mut wire, 59);
    assert!(matches!(two.poll_callback(), Some(Callback::Read)));
    assert!(two.poll_callback().is_none(), "one byte is under way");
    two.read_wire(Time::ZERO, &mut wire, 1);
    assert!(matches!(two.poll_callback(), Some(Callback::Read)));
    let Some(Callback::Event(end)) = two.poll_callback() else { panic!("all of them moved") };
    assert_eq!(end.flags, EventFlags::READING | EventFlags::EOF);
    assert_eq!(two.poll_read(), None, "the others are not forced");
    two.force(Direction::Write, 0, true);
    let Some(Callback::Event(end)) = two.poll_callback() else { panic!("there was nothing") };
    assert_eq!(end.flags, EventFlags::WRITING | EventFlags::EOF);
    assert!(two.is_enabled(Direction::Write) && two.poll_callback().is_none());
}

#[test]
fn forced_bytes_wait_for_tokens_like_any_other() {
    let mut one = stream();
    one.buffers().1.add(&[7; 100]);
    let tick = TokenBucketConfig::new(30, 30, 30, 30, None).expect("valid numbers");
    one.set_rate_limit(Time::ZERO, Some(tick));
    one.disable(Time::ZERO, Direction::Write);
    one.force(Direction::Write, 100, false);
    let want = one.poll_write().expect("it is forced");
    let Allowance::Move(permit) = one.request(Direction::Write, want, None, &mut || Time::ZERO)
    else {
        panic!("there are tokens")
    };
    let moved = one.write_wire(Time::ZERO, &mut Buffer::new(), permit.bytes);
    one.settle(permit, moved, None);
    assert_eq!((moved, one.forced(Direction::Write)), (30, 70));
    let waits = one.request(Direction::Write, 70, None, &mut || Time::ZERO);
    assert!(matches!(waits, Allowance::Wait));
    assert_eq!(one.poll_write(), None);
}

#[test]
fn a_refused_write_is_told_each_time_and_the_stream_goes_on() {
    let mut one = stream();
    for _ in 0..2 {
        one.buffers().1.add(b"hello");
        one.refuse_write(Time::ZERO, std::io::ErrorKind::NotConnected.into());
        let Some(Callback::Event(event)) = one.poll_callback() else { panic!("it was refused") };
        assert_eq!(event.flags, EventFlags::WRITING | EventFlags::ERROR);
        assert!(one.output().is_empty() && one.is_enabled(Direction::Write));
    }
    one.buffers().1.add(b"hello");
    one.close(Time::from_nanos(1));
    one.refuse_write(Time::ZERO, std::io::ErrorKind::NotConnected.into());
    assert!(one.is_closed() && one.is_truncated());
}

#[test]
fn room_ends_at_the_high_mark_and_without_one_at_the_window() {
    let mut two = stream();
    assert_eq!(two.poll_room(500), 500);
    two.buffers().0.add(&[7; 4]);
    assert_eq!(two.poll_room(500), 500);
    two.set_read_watermark(0, 10);
    assert_eq!(two.poll_room(500), 6);
    two.disable(Time::ZERO, Direction::Read);
    assert_eq!(two.poll_room(500), 0);
}

#[test]
fn back_pressure_can_be_excused_and_nothing_else_with_it() {
    let mut one = stream();
    one.set_max_output(10);
    one.buffers().1.add(&[7; 11]);
    one.handle_callback(Time::ZERO);
    assert_eq!((one.is_backed_up(), one.poll_room(500)), (true, 0));
    one.excuse_output(true);
    assert_eq!((one.is_backed_up(), one.poll_room(500)), (true, 500));
    one.disable(Time::ZERO, Direction::Read);
    assert_eq!((one.is_backed_up(), one.poll_room(500)), (false, 0));
    one.enable(Time::ZERO, Direction::Read);
    one.excuse_output(false);
    assert_eq!((one.is_backed_up(), one.poll_room(500)), (true, 0));
}
