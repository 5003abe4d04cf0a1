//! Unit tests of streams that go from one owner to another.

use groups::TokenBucketConfig;

use super::*;

#[test]
fn a_stream_departs_whole_and_leaves_a_closed_one() {
    let mut stream = open();
    put(&mut stream, Time::ZERO, 8);
    read(&mut stream, Time::ZERO, 3);
    read_outcome(&mut stream, ReadOutcome::EndOfStream);
    stream.disable(Time::ZERO, WRITE);
    let mut gone = stream.depart(ms(1));
    assert!(stream.is_closed() && !stream.is_truncated() && !stream.has_callbacks());
    assert_eq!(
        (stream.poll_read(), stream.poll_write(), stream.poll_deadline()),
        (None, None, None)
    );
    gone.arrive(ms(1), Duration::ZERO);
    assert_eq!((gone.input().len(), gone.output().len()), (3, 8));
    assert_eq!(gone.suspended(WRITE), Suspend::USER);
    assert_eq!(callbacks(&mut gone), ["r", "READING+EOF"]);
}

#[test]
fn the_way_is_not_counted_in_a_timeout_and_counts_for_a_bucket() {
    let mut stream = open();
    stream.set_timeout(Time::ZERO, READ, Some(Duration::from_millis(50)));
    let config = TokenBucketConfig::new(100, 1_000, 100, 1_000, Some(Duration::from_millis(10)));
    stream.set_rate_limit(Time::ZERO, Some(config.expect("valid numbers")));
    assert_eq!(stream.own_level(Time::ZERO, READ), Some(100));
    let mut gone = stream.depart(ms(20));
    gone.arrive(ms(60), Duration::from_millis(40));
    assert_eq!(gone.poll_deadline(), Some(ms(90)));
    assert_eq!(gone.own_level(ms(60), READ), Some(700));
}
