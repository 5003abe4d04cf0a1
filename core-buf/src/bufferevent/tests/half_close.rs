//! Unit tests of ending writing alone; over a link with faults it is in the crate's
//! `tests/half_close.rs`.

use super::*;

/// The error of the one pending event, which must be that output came too late.
fn assert_refused(stream: &mut Bufferevent) {
    let Some(Callback::Event(event)) = stream.poll_callback() else { panic!("an event") };
    assert_eq!(event.flags, EventFlags::WRITING | EventFlags::ERROR);
    let error = event.error.expect("an ERROR carries one");
    assert!(error.get_ref().is_some_and(|inner| inner.is::<WriteEnded>()), "{error}");
    assert!(!stream.has_callbacks());
}

fn close(stream: &mut Bufferevent) {
    stream.close(ms(1000));
}

#[test]
fn the_end_is_told_once_after_the_last_byte_and_reading_goes_on() {
    let mut stream = open();
    put(&mut stream, Time::ZERO, 10);
    assert!(!stream.poll_shutdown(), "nobody has asked");
    stream.shutdown_write(Time::ZERO);
    assert!(!stream.poll_shutdown(), "ten bytes before the end");
    write(&mut stream, Time::ZERO, 9);
    stream.handle_ready(Readiness::WRITABLE);
    assert!(!stream.poll_shutdown(), "one byte before the end");
    write(&mut stream, Time::ZERO, 1);
    assert!(stream.poll_shutdown());
    stream.shutdown_write(Time::ZERO);
    assert!(!stream.poll_shutdown(), "once");
    assert!(!stream.has_callbacks(), "who has ended writing need not know that he could");
    assert_eq!((stream.is_enabled(READ), stream.is_enabled(WRITE)), (true, false));
    read(&mut stream, Time::ZERO, 5);
    assert_eq!(callbacks(&mut stream), ["r"]);
}

#[test]
fn what_comes_too_late_is_discarded_and_told_each_time() {
    let mut stream = open();
    put(&mut stream, Time::ZERO, 10);
    stream.shutdown_write(Time::ZERO);
    stream.buffers().1.add(b"late");
    stream.buffers().1.add(b"later");
    stream.handle_callback(Time::ZERO);
    assert_eq!(stream.output().to_vec(), [7; 10], "what came before is whole");
    assert_refused(&mut stream);
    write(&mut stream, Time::ZERO, 6);
    put(&mut stream, Time::ZERO, 6);
    assert_eq!(stream.output().len(), 4);
    assert_refused(&mut stream);
    stream.handle_ready(Readiness::WRITABLE);
    write(&mut stream, Time::ZERO, 4);
    assert!(stream.poll_shutdown());
    put(&mut stream, Time::ZERO, 1);
    assert_eq!((stream.output().len(), stream.poll_write()), (0, None));
    assert_refused(&mut stream);
    assert!(!stream.poll_shutdown());
}

#[test]
fn nothing_brings_writing_back_and_what_waits_is_written_though_disabled() {
    let mut stream = open();
    put(&mut stream, Time::ZERO, 10);
    stream.disable(Time::ZERO, WRITE);
    stream.shutdown_write(Time::ZERO);
    write(&mut stream, Time::ZERO, 10);
    assert!(stream.poll_shutdown());
    stream.enable(Time::ZERO, WRITE);
    stream.trigger(WRITE, Trigger::Always);
    stream.handle_ready(Readiness::WRITABLE);
    assert!(!stream.is_enabled(WRITE) && !stream.has_callbacks());
    put(&mut stream, Time::ZERO, 1);
    assert_eq!(stream.poll_write(), None);
}

#[test]
fn a_connection_is_made_first_and_one_that_fails_has_no_end() {
    for error in [None, Some(io::Error::from(io::ErrorKind::ConnectionRefused))] {
        let failed = error.is_some();
        let mut stream = Bufferevent::connecting(Time::ZERO);
        stream.shutdown_write(Time::ZERO);
        assert!(!stream.poll_shutdown());
        stream.handle_connected(Time::ZERO, error);
        assert_eq!(stream.poll_shutdown(), !failed);
    }
}

#[test]
fn the_write_timeout_holds_until_everything_is_written() {
    let mut stream = open();
    stream.set_timeout(Time::ZERO, WRITE, Some(Duration::from_millis(10)));
    put(&mut stream, Time::ZERO, 10);
    stream.shutdown_write(ms(5));
    assert_eq!(stream.poll_deadline(), Some(ms(10)));
    write(&mut stream, ms(6), 10);
    assert!(stream.poll_shutdown());
    assert_eq!(stream.poll_deadline(), None);
    stream.handle_callback(ms(7));
    assert_eq!(stream.poll_deadline(), None);
}

#[test]
fn an_end_is_not_told_to_one_who_lacks_something() {
    let mut stream = open();
    put(&mut stream, Time::ZERO, 10);
    stream.shutdown_write(Time::ZERO);
    stream.handle_write(Time::ZERO, WriteOutcome::Failed(io::ErrorKind::BrokenPipe.into()), 10);
    assert!(!stream.poll_shutdown());
    close(&mut stream);
    assert!(stream.is_closed() && stream.is_truncated() && !stream.poll_shutdown());
}

#[test]
fn a_close_after_the_end_waits_for_nothing() {
    let mut stream = open();
    stream.shutdown_write(Time::ZERO);
    assert!(stream.poll_shutdown());
    close(&mut stream);
    put(&mut stream, Time::ZERO, 3);
    assert!(stream.is_closed() && !stream.is_truncated(), "what came too late cuts nothing off");
}

#[test]
fn an_end_that_was_asked_for_is_told_by_a_close_as_well() {
    let mut stream = open();
    put(&mut stream, Time::ZERO, 10);
    stream.shutdown_write(Time::ZERO);
    close(&mut stream);
    put(&mut stream, Time::ZERO, 3);
    assert_eq!(stream.output().len(), 10);
    assert!(!stream.poll_shutdown());
    write(&mut stream, Time::ZERO, 10);
    assert!(stream.is_closed() && stream.poll_shutdown() && !stream.poll_shutdown());

    let mut cut = open();
    put(&mut cut, Time::ZERO, 10);
    cut.shutdown_write(Time::ZERO);
    cut.close_now();
    assert!(cut.is_truncated() && !cut.poll_shutdown());
}

#[test]
fn a_stream_that_closes_does_not_end_writing_apart() {
    let mut stream = open();
    put(&mut stream, Time::ZERO, 10);
    close(&mut stream);
    stream.shutdown_write(Time::ZERO);
    write(&mut stream, Time::ZERO, 10);
    assert!(stream.is_closed() && !stream.poll_shutdown());
}
