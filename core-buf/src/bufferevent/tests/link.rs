//! Unit tests of streams without a connection, and of one connection after another.

use super::*;

#[test]
fn without_a_connection_nothing_moves_and_no_peer_is_late() {
    let mut stream = Bufferevent::unconnected(Time::ZERO);
    for direction in Direction::ALL {
        stream.set_timeout(Time::ZERO, direction, Some(Duration::from_millis(50)));
    }
    put(&mut stream, Time::ZERO, 8);
    stream.handle_ready(Readiness::all());
    assert_eq!((stream.poll_read(), stream.poll_write()), (None, None));
    assert_eq!(stream.poll_deadline(), None);
    assert_eq!(stream.suspended(WRITE), Suspend::UNCONNECTED);
    stream.renew(ms(10), Link::Awaited);
    assert_eq!((stream.poll_write(), stream.poll_deadline()), (None, Some(ms(60))));
    stream.handle_connected(ms(20), None);
    assert_eq!(callbacks(&mut stream), ["CONNECTED"]);
    assert_eq!(stream.poll_write(), Some(8));
}

#[test]
fn a_close_without_a_connection_waits_for_nobody() {
    let mut stream = Bufferevent::unconnected(Time::ZERO);
    put(&mut stream, Time::ZERO, 8);
    stream.close(ms(50));
    assert!(stream.is_closed() && stream.is_truncated());
    stream.renew(ms(1), Link::Made);
    assert!(stream.is_closed(), "a closed stream stays closed");
    assert_eq!(stream.poll_write(), None);
}

#[test]
fn another_connection_starts_anew_with_the_old_buffers() {
    let mut stream = open();
    put(&mut stream, Time::ZERO, 8);
    read(&mut stream, Time::ZERO, 3);
    stream.disable(Time::ZERO, READ);
    read_outcome(&mut stream, ReadOutcome::EndOfStream);
    let broken = || WriteOutcome::Failed(io::ErrorKind::BrokenPipe.into());
    stream.handle_write(Time::ZERO, broken(), 8);
    assert!(stream.is_truncated());
    put(&mut stream, Time::ZERO, 5);
    stream.renew(Time::ZERO, Link::Made);
    assert!(!stream.is_truncated(), "that was another connection");
    assert_eq!(callbacks(&mut stream), ["r"], "no event of the old one, but its bytes");
    assert_eq!((stream.input().len(), stream.poll_write()), (3, Some(5)));
    assert_eq!(stream.suspended(READ), Suspend::USER, "that is the application's");
    stream.enable(Time::ZERO, READ);
    assert_eq!(stream.poll_read(), Some(DEFAULT_MAX_SINGLE));
}

#[test]
fn an_end_of_writing_waits_for_a_connection_and_ends_with_the_one_it_was_told_on() {
    let mut stream = Bufferevent::unconnected(Time::ZERO);
    stream.shutdown_write(Time::ZERO);
    assert!(!stream.poll_shutdown(), "nobody is there to be told");
    stream.renew(Time::ZERO, Link::Made);
    assert!(stream.poll_shutdown());
    stream.renew(Time::ZERO, Link::Made);
    put(&mut stream, Time::ZERO, 5);
    assert_eq!((stream.poll_write(), stream.poll_shutdown()), (Some(5), false));
    write(&mut stream, Time::ZERO, 5);
    assert_eq!(callbacks(&mut stream), ["w"]);
}

#[test]
fn a_dissolved_stream_has_given_its_bytes_out_and_lost_none() {
    let mut stream = open();
    put(&mut stream, Time::ZERO, 8);
    read(&mut stream, Time::ZERO, 3);
    let (input, output) = stream.dissolve();
    assert_eq!((input.len(), output.len()), (3, 8));
    assert!(stream.is_closed() && !stream.is_truncated());
    assert!(!stream.has_callbacks());
}
