//! Unit tests of the bufferevent, one for each rule of its state machine.
//!
//! They speak to it as a driver does, without a link; whole transfers with faults are in the
//! crate's `tests/bufferevent.rs`. Here: readiness, connecting, callbacks, marks, errors.

mod deadline;
mod half_close;
mod hand_off;
mod high;
mod limit;
mod link;

use std::io;
use std::time::Duration;

use groups::{Direction, Time};

use super::*;

const READ: Direction = Direction::Read;
const WRITE: Direction = Direction::Write;

fn ms(ms: u64) -> Time {
    Time::from_nanos(ms * 1_000_000)
}

fn open() -> Bufferevent {
    Bufferevent::connected(Time::ZERO)
}

/// Reads `count` of the bytes asked for.
fn read(stream: &mut Bufferevent, now: Time, count: usize) {
    let mut landing = Landing::new();
    let asked = landing.space(stream.poll_read().expect("it wants to read")).len();
    stream.handle_read(now, ReadOutcome::Bytes(count), asked, &mut landing);
}

fn read_outcome(stream: &mut Bufferevent, outcome: ReadOutcome) {
    stream.handle_read(Time::ZERO, outcome, 1, &mut Landing::new());
}

fn put(stream: &mut Bufferevent, now: Time, count: usize) {
    stream.buffers().1.add(&vec![7; count]);
    stream.handle_callback(now);
}

fn write(stream: &mut Bufferevent, now: Time, count: usize) {
    let asked = stream.poll_write().expect("it wants to write");
    stream.handle_write(now, WriteOutcome::Bytes(count), asked);
}

/// All pending callbacks in short: `r`, `w`, or the flags of an event.
fn callbacks(stream: &mut Bufferevent) -> Vec<String> {
    let mut names = Vec::new();
    while let Some(callback) = stream.poll_callback() {
        names.push(match callback {
            Callback::Read => "r".to_owned(),
            Callback::Write => "w".to_owned(),
            Callback::Event(event) => {
                event.flags.iter_names().map(|(name, _)| name).collect::<Vec<_>>().join("+")
            }
        });
    }
    names
}

#[test]
fn a_stream_over_a_stage_takes_this_much_more() {
    assert_eq!(size_of::<Staged>(), 120);
}

#[test]
fn a_new_stream_tries_both_directions_once() {
    let mut stream = open();
    assert_eq!(stream.poll_read(), Some(DEFAULT_MAX_SINGLE));
    assert_eq!(stream.poll_write(), None, "nothing to write");
    put(&mut stream, Time::ZERO, 5);
    assert_eq!(stream.poll_write(), Some(5));
}

#[test]
fn would_block_and_short_operations_end_readiness_until_the_next_edge() {
    for short in [false, true] {
        let mut stream = open();
        put(&mut stream, Time::ZERO, 10);
        if short {
            read(&mut stream, Time::ZERO, 3);
            write(&mut stream, Time::ZERO, 3);
        } else {
            read_outcome(&mut stream, ReadOutcome::WouldBlock);
            stream.handle_write(Time::ZERO, WriteOutcome::WouldBlock, 10);
        }
        assert_eq!((stream.poll_read(), stream.poll_write()), (None, None), "short: {short}");
        stream.handle_ready(Readiness::READABLE | Readiness::WRITABLE);
        assert!(stream.poll_read().is_some() && stream.poll_write().is_some());
    }
}

#[test]
fn full_and_interrupted_operations_leave_readiness() {
    let mut stream = open();
    put(&mut stream, Time::ZERO, DEFAULT_MAX_SINGLE + 1);
    read(&mut stream, Time::ZERO, DEFAULT_MAX_SINGLE);
    write(&mut stream, Time::ZERO, DEFAULT_MAX_SINGLE);
    assert!(stream.poll_read().is_some() && stream.poll_write().is_some());
    read_outcome(&mut stream, ReadOutcome::Interrupted);
    stream.handle_write(Time::ZERO, WriteOutcome::Interrupted, 1);
    assert!(stream.poll_read().is_some() && stream.poll_write().is_some());
}

#[test]
fn after_a_hang_up_reading_goes_on_until_it_says_how_the_stream_ended() {
    let mut stream = open();
    read_outcome(&mut stream, ReadOutcome::WouldBlock);
    stream.handle_ready(Readiness::HANG_UP);
    read(&mut stream, Time::ZERO, 3);
    assert!(stream.poll_read().is_some(), "a short read proves nothing now");
    read_outcome(&mut stream, ReadOutcome::EndOfStream);
    assert_eq!(callbacks(&mut stream), ["r", "READING+EOF"]);
    assert_eq!(stream.poll_read(), None);
    assert!(!stream.is_enabled(READ) && stream.is_enabled(WRITE));
}

#[test]
fn resuming_with_the_bit_set_reads_at_once() {
    let mut stream = open();
    stream.disable(Time::ZERO, READ);
    stream.handle_ready(Readiness::READABLE);
    assert_eq!(stream.poll_read(), None);
    stream.enable(Time::ZERO, READ);
    assert!(stream.poll_read().is_some());
}

#[test]
fn a_connecting_stream_moves_nothing_and_then_reports_connected_first() {
    let mut stream = Bufferevent::connecting(Time::ZERO);
    put(&mut stream, Time::ZERO, 5);
    stream.handle_ready(Readiness::WRITABLE);
    assert_eq!((stream.poll_read(), stream.poll_write()), (None, None));
    stream.handle_connected(Time::ZERO, None);
    write(&mut stream, Time::ZERO, 5);
    assert_eq!(callbacks(&mut stream), ["CONNECTED", "w"]);
    stream.handle_connected(Time::ZERO, None);
    assert!(!stream.has_callbacks(), "a connected stream does not connect again");
}

#[test]
fn a_failed_connection_is_one_error_and_keeps_the_output() {
    let mut stream = Bufferevent::connecting(Time::ZERO);
    put(&mut stream, Time::ZERO, 5);
    stream.handle_connected(Time::ZERO, Some(io::ErrorKind::ConnectionRefused.into()));
    let Some(Callback::Event(event)) = stream.poll_callback() else { panic!("an event") };
    assert_eq!(event.flags, EventFlags::ERROR);
    assert_eq!(event.error.map(|error| error.kind()), Some(io::ErrorKind::ConnectionRefused));
    assert!(!stream.has_callbacks());
    assert_eq!((stream.poll_read(), stream.poll_write()), (None, None));
    assert_eq!(stream.output().len(), 5);
}

#[test]
fn the_write_timeout_bounds_a_connection_attempt() {
    let mut stream = Bufferevent::connecting(Time::ZERO);
    stream.set_timeout(Time::ZERO, READ, Some(Duration::from_millis(10)));
    stream.set_timeout(Time::ZERO, WRITE, Some(Duration::from_millis(100)));
    assert_eq!(stream.poll_deadline(), Some(ms(100)), "the read timeout waits for the connection");
    stream.handle_deadline(ms(100));
    assert_eq!(callbacks(&mut stream), ["WRITING+TIMEOUT"]);
}

#[test]
fn a_connection_that_is_made_starts_the_timeouts_anew() {
    let mut stream = Bufferevent::connecting(Time::ZERO);
    stream.set_timeout(Time::ZERO, WRITE, Some(Duration::from_millis(100)));
    put(&mut stream, Time::ZERO, 1);
    stream.handle_connected(ms(60), None);
    assert_eq!(stream.poll_deadline(), Some(ms(160)));
}

#[test]
fn the_read_callback_waits_for_the_low_mark() {
    let mut stream = open();
    stream.set_read_watermark(10, 0);
    stream.handle_ready(Readiness::HANG_UP);
    read(&mut stream, Time::ZERO, 9);
    assert!(!stream.has_callbacks());
    read(&mut stream, Time::ZERO, 1);
    assert_eq!(callbacks(&mut stream), ["r"]);
}

#[test]
fn the_write_callback_comes_at_the_low_mark() {
    let mut stream = open();
    stream.set_write_watermark(4, 0);
    put(&mut stream, Time::ZERO, 10);
    write(&mut stream, Time::ZERO, 5);
    assert!(!stream.has_callbacks());
    stream.handle_ready(Readiness::WRITABLE);
    write(&mut stream, Time::ZERO, 1);
    assert_eq!(callbacks(&mut stream), ["w"]);
}

#[test]
fn a_read_stops_exactly_at_the_high_mark_and_resumes_below_it() {
    let mut stream = open();
    stream.set_read_watermark(0, 100);
    assert_eq!(stream.poll_read(), Some(100));
    read(&mut stream, Time::ZERO, 100);
    assert_eq!(stream.suspended(READ), Suspend::WATERMARK);
    stream.buffers().0.drain(1);
    stream.handle_callback(Time::ZERO);
    assert_eq!(stream.poll_read(), Some(1));
}

#[test]
fn a_low_mark_above_the_high_mark_does_not_stall() {
    let mut stream = open();
    stream.set_read_watermark(200, 100);
    read(&mut stream, Time::ZERO, 100);
    assert_eq!(callbacks(&mut stream), ["r"]);
}

#[test]
fn an_input_filled_by_others_never_asks_for_a_read_of_no_bytes() {
    let mut stream = open();
    stream.set_read_watermark(0, 100);
    stream.buffers().0.add(&[0; 150]);
    assert_eq!(stream.poll_read(), None);
}

#[test]
fn reading_rests_while_the_output_is_above_its_maximum() {
    let mut stream = open();
    stream.set_max_output(100);
    put(&mut stream, Time::ZERO, 100);
    assert!(stream.poll_read().is_some(), "at the maximum it still reads");
    put(&mut stream, Time::ZERO, 1);
    assert_eq!(stream.suspended(READ), Suspend::OUTPUT);
    write(&mut stream, Time::ZERO, 1);
    assert!(stream.poll_read().is_some());
}

#[test]
fn single_operations_are_cut_to_their_maximum() {
    let mut stream = open();
    stream.set_max_single(READ, 10);
    stream.set_max_single(WRITE, 20);
    put(&mut stream, Time::ZERO, 100);
    assert_eq!((stream.poll_read(), stream.poll_write()), (Some(10), Some(20)));
    stream.set_max_single(READ, 0);
    stream.set_max_single(WRITE, usize::MAX);
    assert_eq!((stream.max_single(READ), stream.max_single(WRITE)), (16_384, 16_384));
}

#[test]
fn enabling_writing_with_nothing_to_write_calls_back_once() {
    let mut stream = open();
    stream.enable(Time::ZERO, WRITE);
    assert_eq!(callbacks(&mut stream), ["w"]);
    put(&mut stream, Time::ZERO, 1);
    stream.enable(Time::ZERO, WRITE);
    assert!(!stream.has_callbacks(), "there is something to write");
    stream.handle_write(Time::ZERO, WriteOutcome::Failed(io::ErrorKind::BrokenPipe.into()), 1);
    stream.enable(Time::ZERO, WRITE);
    assert_eq!(callbacks(&mut stream), ["WRITING+ERROR"], "writing is over");
}

#[test]
fn enabling_does_not_lift_other_reasons() {
    let mut stream = open();
    stream.set_read_watermark(0, 10);
    read(&mut stream, Time::ZERO, 10);
    stream.disable(Time::ZERO, READ);
    stream.enable(Time::ZERO, READ);
    assert_eq!(stream.suspended(READ), Suspend::WATERMARK);
}

#[test]
fn an_error_ends_its_direction_only() {
    let mut stream = open();
    put(&mut stream, Time::ZERO, 5);
    read_outcome(&mut stream, ReadOutcome::Failed(io::ErrorKind::ConnectionReset.into()));
    assert_eq!(callbacks(&mut stream), ["READING+ERROR"]);
    assert_eq!((stream.poll_read(), stream.poll_write()), (None, Some(5)));
}

#[test]
fn a_failed_write_discards_the_output_so_that_reading_goes_on() {
    let mut stream = open();
    stream.set_max_output(3);
    put(&mut stream, Time::ZERO, 5);
    assert_eq!(stream.poll_read(), None);
    stream.handle_write(Time::ZERO, WriteOutcome::Failed(io::ErrorKind::BrokenPipe.into()), 5);
    assert_eq!(callbacks(&mut stream), ["WRITING+ERROR"]);
    assert!(stream.output().is_empty() && stream.poll_read().is_some());
}

#[test]
fn errors_of_both_directions_are_one_event_with_the_first() {
    let mut stream = open();
    put(&mut stream, Time::ZERO, 5);
    stream.handle_write(Time::ZERO, WriteOutcome::Failed(io::ErrorKind::ConnectionReset.into()), 5);
    read_outcome(&mut stream, ReadOutcome::Failed(io::ErrorKind::BrokenPipe.into()));
    let Some(Callback::Event(event)) = stream.poll_callback() else { panic!("an event") };
    assert_eq!(event.error.map(|error| error.kind()), Some(io::ErrorKind::ConnectionReset));
    assert!(event.flags.contains(EventFlags::READING | EventFlags::WRITING));
    assert!(!stream.has_callbacks());
}

#[test]
fn a_close_that_discards_output_is_a_truncation_and_one_that_wrote_it_is_not() {
    let mut whole = Bufferevent::connected(Time::ZERO);
    whole.buffers().1.add(b"all");
    whole.close(Time::from_nanos(9));
    whole.handle_write(Time::ZERO, WriteOutcome::Bytes(3), 3);
    assert!(whole.is_closed() && !whole.is_truncated());

    let mut cut = Bufferevent::connected(Time::ZERO);
    cut.buffers().1.add(b"all");
    cut.close(Time::from_nanos(9));
    cut.handle_deadline(Time::from_nanos(9));
    assert!(cut.is_closed() && cut.is_truncated());
}

#[test]
fn a_failed_write_truncates_however_the_stream_is_closed_then() {
    let fail = |stream: &mut Bufferevent| {
        let error = io::ErrorKind::PermissionDenied.into();
        stream.handle_write(Time::ZERO, WriteOutcome::Failed(error), 3);
    };
    let mut open = Bufferevent::connected(Time::ZERO);
    open.buffers().1.add(b"all");
    fail(&mut open);
    open.close(Time::from_nanos(9));
    assert!(open.is_closed() && open.is_truncated());

    let mut flushing = Bufferevent::connected(Time::ZERO);
    flushing.buffers().1.add(b"all");
    flushing.close(Time::from_nanos(9));
    fail(&mut flushing);
    assert!(flushing.is_closed() && flushing.is_truncated());
}
