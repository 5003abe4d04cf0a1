//! Unit tests of timeouts and of the end of a stream.

use super::*;

#[test]
fn a_silent_peer_is_a_timeout_exactly_when_due_and_disables_reading() {
    let mut stream = open();
    stream.set_timeout(Time::ZERO, READ, Some(Duration::from_millis(50)));
    stream.handle_deadline(Time::from_nanos(49_999_999));
    assert!(!stream.has_callbacks());
    stream.handle_deadline(ms(50));
    assert_eq!(callbacks(&mut stream), ["READING+TIMEOUT"]);
    assert_eq!(stream.suspended(READ), Suspend::USER);
    assert_eq!(stream.poll_deadline(), None);
    stream.enable(ms(60), READ);
    assert_eq!(stream.poll_deadline(), Some(ms(110)));
}

#[test]
fn progress_restarts_a_timeout_and_would_block_does_not() {
    let mut stream = open();
    stream.set_timeout(Time::ZERO, READ, Some(Duration::from_millis(50)));
    read(&mut stream, ms(20), 1);
    assert_eq!(stream.poll_deadline(), Some(ms(70)));
    stream.handle_ready(Readiness::READABLE);
    stream.handle_read(ms(30), ReadOutcome::WouldBlock, 1, &mut Landing::new());
    assert_eq!(stream.poll_deadline(), Some(ms(70)));
}

#[test]
fn the_write_timeout_runs_only_while_something_waits() {
    let mut stream = open();
    stream.set_timeout(Time::ZERO, WRITE, Some(Duration::from_millis(50)));
    assert_eq!(stream.poll_deadline(), None);
    put(&mut stream, ms(10), 8);
    assert_eq!(stream.poll_deadline(), Some(ms(60)));
    write(&mut stream, ms(20), 4);
    assert_eq!(stream.poll_deadline(), Some(ms(70)));
    stream.handle_ready(Readiness::WRITABLE);
    write(&mut stream, ms(30), 4);
    assert_eq!(stream.poll_deadline(), None);
}

#[test]
fn a_timeout_rests_while_we_do_not_want_bytes() {
    let mut stream = open();
    stream.set_read_watermark(0, 10);
    stream.set_timeout(Time::ZERO, READ, Some(Duration::from_millis(50)));
    read(&mut stream, ms(10), 10);
    assert_eq!(stream.poll_deadline(), None);
    stream.buffers().0.drain(10);
    stream.handle_callback(ms(30));
    assert_eq!(stream.poll_deadline(), Some(ms(80)));
}

#[test]
fn a_close_with_nothing_to_write_is_closed_at_once() {
    let mut stream = open();
    stream.close(ms(100));
    assert!(stream.is_closed());
    assert_eq!((stream.poll_read(), stream.poll_deadline()), (None, None));
}

#[test]
fn a_close_writes_what_is_left_and_tells_nothing_more() {
    let mut stream = open();
    stream.set_timeout(Time::ZERO, WRITE, Some(Duration::from_millis(1)));
    read(&mut stream, Time::ZERO, 5);
    put(&mut stream, Time::ZERO, 10);
    stream.disable(Time::ZERO, WRITE);
    stream.close(ms(100));
    assert!(!stream.has_callbacks(), "what was pending is not told");
    stream.disable(Time::ZERO, WRITE);
    assert!(stream.is_closing() && !stream.is_closed());
    assert_eq!(stream.poll_deadline(), Some(ms(100)), "the linger deadline alone");
    stream.handle_deadline(ms(50));
    write(&mut stream, ms(50), 4);
    stream.handle_ready(Readiness::WRITABLE);
    write(&mut stream, ms(50), 6);
    assert!(stream.is_closed() && !stream.has_callbacks());
}

#[test]
fn the_linger_deadline_ends_a_close_and_can_only_come_forward() {
    let mut stream = open();
    stream.set_timeout(Time::ZERO, WRITE, Some(Duration::from_millis(1)));
    put(&mut stream, Time::ZERO, 10);
    stream.close(ms(100));
    stream.close(ms(200));
    assert_eq!(stream.poll_deadline(), Some(ms(100)));
    stream.close(ms(80));
    stream.handle_deadline(ms(79));
    assert!(!stream.is_closed());
    stream.handle_deadline(ms(80));
    assert!(stream.is_closed() && stream.output().is_empty());
}

#[test]
fn a_close_ends_with_a_failed_write_or_connection_without_an_event() {
    let mut stream = open();
    put(&mut stream, Time::ZERO, 10);
    stream.close(ms(100));
    stream.handle_write(Time::ZERO, WriteOutcome::Failed(io::ErrorKind::BrokenPipe.into()), 10);
    assert!(stream.is_closed() && !stream.has_callbacks());

    let mut stream = Bufferevent::connecting(Time::ZERO);
    put(&mut stream, Time::ZERO, 10);
    stream.close(ms(100));
    stream.handle_connected(Time::ZERO, Some(io::ErrorKind::ConnectionRefused.into()));
    assert!(stream.is_closed() && !stream.has_callbacks());
}

#[test]
fn a_close_while_connecting_writes_when_the_connection_is_made() {
    let mut stream = Bufferevent::connecting(Time::ZERO);
    put(&mut stream, Time::ZERO, 10);
    stream.close(ms(100));
    stream.handle_connected(ms(1), None);
    assert!(!stream.has_callbacks());
    write(&mut stream, ms(1), 10);
    assert!(stream.is_closed());
}
