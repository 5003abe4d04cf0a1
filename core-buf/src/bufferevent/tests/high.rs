//! Unit tests of the high write mark: when it is told, once, and what a stage makes of it.

use super::*;
use crate::FilterStage;

/// A stream whose write marks are 10 and 100.
fn marked() -> Bufferevent {
    let mut stream = open();
    stream.set_write_watermark(10, 100);
    assert_eq!(stream.write_watermark(), (10, 100));
    stream
}

#[test]
fn the_mark_is_told_once_and_again_only_after_the_low_one() {
    let mut stream = marked();
    put(&mut stream, Time::ZERO, 99);
    assert!(!stream.has_callbacks());
    put(&mut stream, Time::ZERO, 1);
    assert_eq!(callbacks(&mut stream), ["HIGH_WATER"]);
    write(&mut stream, Time::ZERO, 89);
    put(&mut stream, Time::ZERO, 500);
    assert!(!stream.has_callbacks(), "it has not been at the low mark");
    stream.handle_ready(Readiness::WRITABLE);
    write(&mut stream, Time::ZERO, 501);
    assert_eq!((stream.output().len(), callbacks(&mut stream)), (10, vec!["w".to_owned()]));
    put(&mut stream, Time::ZERO, 90);
    assert_eq!(callbacks(&mut stream), ["HIGH_WATER"]);
}

#[test]
fn what_has_drained_before_it_was_told_is_not_told() {
    let mut stream = marked();
    put(&mut stream, Time::ZERO, 100);
    assert!(stream.has_callbacks());
    write(&mut stream, Time::ZERO, 100);
    assert_eq!(callbacks(&mut stream), ["w"], "the last word is that there is room");
    put(&mut stream, Time::ZERO, 100);
    write(&mut stream, Time::ZERO, 100);
    put(&mut stream, Time::ZERO, 100);
    assert_eq!(callbacks(&mut stream), ["w", "HIGH_WATER"], "the last word is that there is none");
}

#[test]
fn output_that_is_refused_leaves_room() {
    let mut stream = marked();
    for _ in 0..2 {
        put(&mut stream, Time::ZERO, 100);
        stream.refuse_write(Time::ZERO, io::ErrorKind::NotConnected.into());
        assert_eq!(callbacks(&mut stream), ["WRITING+ERROR"]);
    }
    put(&mut stream, Time::ZERO, 100);
    assert_eq!(callbacks(&mut stream), ["HIGH_WATER"]);
}

#[test]
fn the_mark_is_told_anew_once_a_failure_has_discarded_the_output() {
    let mut stream = marked();
    for tells_in_time in [true, false] {
        put(&mut stream, Time::ZERO, 100);
        if tells_in_time {
            assert_eq!(callbacks(&mut stream), ["HIGH_WATER"]);
        }
        let failed = WriteOutcome::Failed(io::ErrorKind::BrokenPipe.into());
        stream.handle_write(Time::ZERO, failed, 100);
        assert_eq!(callbacks(&mut stream), ["WRITING+ERROR"], "there is no output any more");
        stream.renew(Time::ZERO, Link::Made);
    }
    put(&mut stream, Time::ZERO, 100);
    assert_eq!(callbacks(&mut stream), ["HIGH_WATER"]);
}

#[test]
fn marks_that_change_are_looked_at_anew_and_the_same_are_no_change() {
    let mut stream = marked();
    put(&mut stream, Time::ZERO, 100);
    assert_eq!(callbacks(&mut stream), ["HIGH_WATER"]);
    stream.set_write_watermark(10, 100);
    assert!(!stream.has_callbacks());
    stream.set_write_watermark(10, 50);
    assert_eq!(callbacks(&mut stream), ["HIGH_WATER"]);
    stream.set_write_watermark(10, 60);
    stream.set_write_watermark(10, 0);
    assert!(!stream.has_callbacks(), "taken back with the mark");
    assert_eq!(stream.write_watermark(), (10, 0));
    stream.set_write_watermark(100, 7);
    assert_eq!(stream.write_watermark(), (100, 101), "above the low one");
    put(&mut stream, Time::ZERO, 1);
    assert_eq!(callbacks(&mut stream), ["HIGH_WATER"]);
}

#[test]
fn the_lower_of_mark_and_max_output_is_the_limit_and_each_has_its_own_effect() {
    let mut stream = marked();
    assert_eq!(stream.output_limit(), 100);
    put(&mut stream, Time::ZERO, 150);
    assert_eq!(callbacks(&mut stream), ["HIGH_WATER"]);
    assert!(stream.suspended(READ).is_empty(), "a mark suspends nothing");
    stream.set_max_output(60);
    assert_eq!((stream.output_limit(), stream.max_output()), (60, 60));
    assert_eq!(stream.suspended(READ), Suspend::OUTPUT);
    write(&mut stream, Time::ZERO, 90);
    assert_eq!(stream.suspended(READ), Suspend::empty());
    assert!(!stream.has_callbacks());
    stream.set_max_output(0);
    assert_eq!(stream.output_limit(), 1, "something must fit, or nothing would ever move");
}

#[test]
fn nobody_is_told_who_has_closed_or_ended_writing() {
    for ends in [Bufferevent::close_now, |it: &mut _| Bufferevent::close(it, ms(9))] {
        let mut stream = marked();
        put(&mut stream, Time::ZERO, 99);
        ends(&mut stream);
        put(&mut stream, Time::ZERO, 99);
        assert!(!stream.has_callbacks());
    }
    let mut stream = marked();
    put(&mut stream, Time::ZERO, 100);
    stream.shutdown_write(Time::ZERO);
    assert!(!stream.has_callbacks());
}

#[test]
fn a_stage_stays_below_the_mark_of_the_stream_below_whose_user_hears_of_it_later() {
    let mut stage = FilterStage::new(());
    let (mut lower, mut upper) = (marked(), Bufferevent::over_stage(Time::ZERO));
    put(&mut lower, Time::ZERO, 100);
    lower.enter_stage();
    assert!(!lower.has_callbacks(), "a stage asks for itself");
    write(&mut lower, Time::ZERO, 40);
    put(&mut upper, Time::ZERO, 1000);
    upper.sync_below(Time::ZERO, &mut lower);
    let want = upper.poll_write().expect("there is room");
    assert_eq!(upper.step(Time::ZERO, WRITE, want, &mut stage, &mut lower), 40);
    upper.sync_below(Time::ZERO, &mut lower);
    assert_eq!((lower.output().len(), upper.poll_write()), (100, None));
    assert!(!lower.has_callbacks());
    lower.leave_stage(Time::ZERO);
    assert_eq!(callbacks(&mut lower), ["HIGH_WATER"]);
}
