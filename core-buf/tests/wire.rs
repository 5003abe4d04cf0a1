//! Streams without a socket: what one writes to a wire the other reads from it.

use sluicegate_core_buf::{Buffer, Bufferevent, Callback, Readiness};
use sluicegate_groups::{Direction, Time};

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
