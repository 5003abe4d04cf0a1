//! Filters without a runtime: what they are called with, and what becomes of what they answer.

use std::io;
use std::sync::mpsc;
use std::time::Duration;

use sluicegate_core_buf::testing::Stack;
use sluicegate_core_buf::{
    Buffer, Callback, Event, EventFlags, Filter, FilterError, FilterResult, Flush, FlushMode,
    Landing, ReadOutcome, Suspend,
};
use sluicegate_groups::{Direction, Time, TokenBucketConfig};

const READ: Direction = Direction::Read;
const WRITE: Direction = Direction::Write;

/// What a filter function was called with: bytes to take, limit, mode.
type Call = (usize, Option<usize>, FlushMode);

/// Runs `work` for both directions and notes each call.
struct Probe<W> {
    work: W,
    calls: mpsc::Sender<Call>,
}

impl<W> Filter for Probe<W>
where
    W: FnMut(&mut Buffer, &mut Buffer, FlushMode) -> FilterResult + Send,
{
    fn input(
        &mut self,
        src: &mut Buffer,
        dst: &mut Buffer,
        limit: Option<usize>,
        mode: FlushMode,
    ) -> FilterResult {
        let _unheard = self.calls.send((src.len(), limit, mode));
        (self.work)(src, dst, mode)
    }

    fn output(
        &mut self,
        src: &mut Buffer,
        dst: &mut Buffer,
        limit: Option<usize>,
        mode: FlushMode,
    ) -> FilterResult {
        self.input(src, dst, limit, mode)
    }
}

/// A stack over a filter that works like `work` in both directions, and its calls.
fn probe<W>(work: W) -> (Stack, impl Fn() -> Vec<Call>)
where
    W: FnMut(&mut Buffer, &mut Buffer, FlushMode) -> FilterResult + Send + 'static,
{
    let (calls, made) = mpsc::channel();
    (Stack::over_filter(Probe { work, calls }), move || made.try_iter().collect())
}

/// Makes two bytes of each, whatever the limit.
fn double(src: &mut Buffer, dst: &mut Buffer, _mode: FlushMode) -> FilterResult {
    let bytes = src.to_vec();
    src.clear();
    bytes.iter().for_each(|&byte| dst.add(&[byte, byte]));
    FilterResult::Ok
}

fn doubled(bytes: &[u8]) -> Vec<u8> {
    bytes.iter().flat_map(|&byte| [byte, byte]).collect()
}

/// Takes frames of four bytes; finished, adds a full stop.
fn frames(src: &mut Buffer, dst: &mut Buffer, mode: FlushMode) -> FilterResult {
    if src.len() >= 4 {
        src.move_to(dst, 4);
        return FilterResult::Ok;
    }
    if mode == FlushMode::Flush {
        src.move_to(dst, usize::MAX);
    }
    FilterResult::NeedMore
}

fn numbers(count: usize) -> Vec<u8> {
    (0..count).map(|i| i as u8).collect()
}

fn flush(stack: &mut Stack, direction: Direction, mode: FlushMode) {
    stack.upper().flush_stage(direction, Flush { mode, further: 0 });
    stack.run();
}

fn per_second(rate: u64) -> TokenBucketConfig {
    let tick = Some(Duration::from_secs(1));
    TokenBucketConfig::new(rate, rate, rate, rate, tick).expect("valid numbers")
}

fn only(mut events: Vec<Event>) -> Event {
    assert_eq!(events.len(), 1, "{events:?}");
    events.remove(0)
}

#[test]
fn a_filter_that_is_not_written_passes_everything_without_a_copy() {
    let mut stack = Stack::over_filter(());
    stack.upper().buffers().1.add(&numbers(10_000));
    let address = stack.upper().output().first().as_ptr();
    stack.stall(true);
    assert_eq!(stack.lower().output().first().as_ptr(), address);
    stack.stall(false);
    assert_eq!(stack.sent(), numbers(10_000));
    stack.arrive(&numbers(100_000));
    assert_eq!(stack.upper().input().to_vec(), numbers(100_000));
}

#[test]
fn limit_is_none_without_one_and_tells_marks_and_tokens() {
    let (mut stack, calls) = probe(|src, dst, _| {
        src.move_to(dst, usize::MAX);
        FilterResult::Ok
    });
    stack.arrive(&[1; 10]);
    assert_eq!(calls(), [(10, None, FlushMode::Normal)]);
    stack.upper().set_read_watermark(0, 50);
    stack.arrive(&[1; 10]);
    assert_eq!(calls(), [(10, Some(40), FlushMode::Normal)]);
    stack.upper().set_rate_limit(Time::ZERO, Some(per_second(7)));
    stack.arrive(&[1; 10]);
    assert_eq!(calls(), [(10, Some(7), FlushMode::Normal)]);
    stack.lower().set_max_output(5);
    stack.stall(true);
    stack.upper().set_rate_limit(Time::ZERO, None);
    stack.upper().buffers().1.add(&[1; 10]);
    stack.run();
    assert_eq!(calls(), [(10, Some(5), FlushMode::Normal)]);
    stack.stall(false);
    assert_eq!(stack.sent(), [1; 10], "what was beyond the limit followed");
    stack.lower().set_max_output(usize::MAX);
    stack.upper().buffers().1.add(&[1; 10]);
    stack.run();
    assert_eq!(calls(), [(10, None, FlushMode::Normal)]);
}

#[test]
fn what_is_made_beyond_the_limit_waits_and_passes_before_the_next_call() {
    let (mut stack, calls) = probe(double);
    stack.upper().set_read_watermark(0, 10);
    stack.arrive(&numbers(20));
    let mut got = Vec::new();
    while !stack.upper().input().is_empty() {
        assert!(stack.upper().input().len() <= 10, "the mark holds whatever the filter does");
        got.extend(stack.upper().input().to_vec());
        stack.upper().buffers().0.clear();
        stack.upper().handle_callback(Time::ZERO);
        stack.run();
    }
    assert_eq!(got, doubled(&numbers(20)));
    assert_eq!(calls().len(), 1, "nothing was asked of the filter while it had given enough");
    // And under tokens, in both directions, by what comes out.
    let (mut stack, _) = probe(double);
    stack.upper().set_rate_limit(Time::ZERO, Some(per_second(8)));
    stack.upper().buffers().1.add(&numbers(9));
    stack.arrive(&numbers(9));
    for second in 0..3 {
        let most = 8 * (second + 1);
        assert_eq!(stack.sent(), doubled(&numbers(9))[..most.min(18)]);
        assert_eq!(stack.upper().input().to_vec(), doubled(&numbers(9))[..most.min(18)]);
        stack.advance_to(Time::from_nanos(1_000_000_000 * (second as u64 + 1)));
    }
}

#[test]
fn a_filter_that_does_nothing_is_called_once_for_what_there_is() {
    let (mut stack, calls) = probe(|_, _, _| FilterResult::Ok);
    stack.arrive(&[1; 3]);
    stack.run();
    assert_eq!(calls(), [(3, None, FlushMode::Normal)]);
    stack.arrive(&[1; 2]);
    assert_eq!(calls(), [(5, None, FlushMode::Normal)]);
    stack.upper().buffers().1.add(&[1; 3]);
    stack.run();
    stack.run();
    assert_eq!(calls().len(), 1);
    assert!(stack.steps() < 10, "{} steps", stack.steps());
}

#[test]
fn one_that_needs_more_is_called_again_on_more_and_in_a_stronger_mode() {
    let (mut stack, calls) = probe(frames);
    stack.arrive(&numbers(3));
    stack.run();
    assert_eq!(calls(), [(3, None, FlushMode::Normal)]);
    stack.arrive(&numbers(2));
    assert_eq!(stack.upper().input().len(), 4);
    assert_eq!(calls(), [(5, None, FlushMode::Normal), (1, None, FlushMode::Normal)]);
    flush(&mut stack, READ, FlushMode::Flush);
    assert_eq!((calls(), stack.upper().input().len()), (vec![(1, None, FlushMode::Flush)], 5));
    // Writing goes by the same rules; what is refused is no output that the peer holds up.
    stack.upper().set_timeout(Time::ZERO, WRITE, Some(Duration::from_nanos(5)));
    stack.upper().buffers().1.add(&numbers(3));
    stack.run();
    stack.advance_to(Time::from_nanos(100));
    assert_eq!((stack.sent().len(), stack.events().len()), (0, 0));
    flush(&mut stack, WRITE, FlushMode::Normal);
    assert_eq!((calls().len(), stack.sent().len()), (1, 0), "it has been called already");
    flush(&mut stack, WRITE, FlushMode::Flush);
    assert_eq!(stack.sent(), numbers(3));
}

#[test]
fn a_flush_passes_marks_and_a_disabled_direction_but_no_limit() {
    let (mut stack, calls) = probe(frames);
    stack.upper().disable(Time::ZERO, READ);
    stack.upper().disable(Time::ZERO, WRITE);
    stack.upper().set_read_watermark(0, 2);
    stack.upper().buffers().1.add(&numbers(10));
    // What is below is read only when somebody wants it; so one end is disabled late.
    stack.upper().enable(Time::ZERO, READ);
    stack.arrive(&numbers(10));
    assert_eq!(stack.upper().input().len(), 2);
    stack.upper().disable(Time::ZERO, READ);
    flush(&mut stack, READ, FlushMode::Flush);
    assert_eq!(stack.upper().input().to_vec(), numbers(10));
    stack.upper().set_rate_limit(Time::ZERO, Some(per_second(8)));
    flush(&mut stack, WRITE, FlushMode::Flush);
    assert_eq!(stack.sent(), numbers(8));
    stack.advance_to(Time::from_nanos(1_000_000_000));
    assert_eq!(stack.sent(), numbers(10), "the flush waited for tokens");
    assert!(calls().iter().any(|call| call.2 == FlushMode::Flush));
}

#[test]
fn an_error_is_told_once_after_what_was_made_before_it() {
    let (mut stack, calls) = probe(|src: &mut Buffer, dst: &mut Buffer, _| {
        let _made = double(src, dst, FlushMode::Normal);
        FilterResult::Error(FilterError::new("bad magic"))
    });
    stack.upper().set_read_watermark(0, 4);
    stack.arrive(&numbers(3));
    assert_eq!((stack.upper().input().len(), stack.events().len()), (4, 0));
    stack.upper().buffers().0.clear();
    stack.upper().handle_callback(Time::ZERO);
    stack.run();
    assert_eq!(stack.upper().input().len(), 2);
    let event = only(stack.events());
    assert_eq!(event.flags, EventFlags::READING | EventFlags::ERROR);
    let error = event.error.expect("it carries the error");
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<FilterError>());
    assert_eq!(inner.expect("the filter's").to_string(), "the filter failed: bad magic");
    stack.arrive(&numbers(30));
    stack.end();
    assert!(stack.events().is_empty() && !stack.upper().is_enabled(READ));
    assert_eq!(calls().len(), 1, "a failed direction is over");
    stack.upper().buffers().1.add(&numbers(3));
    stack.run();
    let event = only(stack.events());
    assert_eq!(event.flags, EventFlags::WRITING | EventFlags::ERROR);
    assert!(stack.upper().output().is_empty());
}

#[test]
fn the_end_comes_after_the_last_byte_and_finishes_the_filter() {
    let mut ended = false;
    let (mut stack, calls) = probe(move |src: &mut Buffer, dst: &mut Buffer, mode| {
        src.move_to(dst, usize::MAX);
        if mode == FlushMode::Finished && !std::mem::replace(&mut ended, true) {
            dst.add(b"!");
        }
        FilterResult::NeedMore
    });
    stack.upper().set_read_watermark(0, 4);
    stack.arrive(b"hello, world");
    // The end is learnt while bytes still wait, as it is with bytes and end in one event.
    stack.lower().handle_read(Time::ZERO, ReadOutcome::EndOfStream, 1, &mut Landing::new());
    stack.run();
    let mut got = Vec::new();
    while got.len() < 12 {
        assert_eq!(stack.events().len(), 0, "after {} bytes more wait for room", got.len());
        got.extend(stack.upper().input().to_vec());
        stack.upper().buffers().0.clear();
        stack.upper().handle_callback(Time::ZERO);
        stack.run();
    }
    assert_eq!((&got[..], stack.upper().input().to_vec()), (&b"hello, world"[..], b"!".to_vec()));
    let event = only(stack.events());
    assert_eq!((event.flags, event.error.is_none()), (EventFlags::READING | EventFlags::EOF, true));
    assert!(calls().iter().any(|call| call.2 == FlushMode::Finished));
}

#[test]
fn what_was_refused_counts_again_with_what_follows() {
    let (mut stack, _) = probe(frames);
    for (count, sent) in [(3, 0), (2, 4), (3, 8), (1, 8), (3, 12)] {
        stack.upper().buffers().1.add(&numbers(count));
        stack.run();
        assert_eq!(stack.sent().len(), sent);
    }
    // One that once needed a lot may need less later.
    let mut needs = 10;
    let (mut stack, _) = probe(move |src: &mut Buffer, dst: &mut Buffer, _| {
        if src.len() < needs {
            return FilterResult::NeedMore;
        }
        needs = 2;
        src.move_to(dst, 9);
        FilterResult::Ok
    });
    for (count, sent) in [(9, 0), (1, 9), (1, 11)] {
        stack.upper().buffers().1.add(&numbers(count));
        stack.run();
        assert_eq!(stack.sent().len(), sent);
    }
}

#[test]
fn each_flush_is_worth_a_call() {
    let (mut stack, calls) = probe(|_, _, _| FilterResult::NeedMore);
    for direction in Direction::ALL {
        for mode in [FlushMode::Flush, FlushMode::Flush, FlushMode::Finished] {
            flush(&mut stack, direction, mode);
            assert_eq!(calls(), [(0, None, mode)]);
        }
    }
}

#[test]
fn what_a_filter_never_takes_hangs_neither_the_end_nor_a_close() {
    let (mut stack, _) = probe(frames);
    stack.arrive(&numbers(6));
    stack.end();
    assert_eq!(stack.upper().input().len(), 4);
    assert_eq!(only(stack.events()).flags, EventFlags::READING | EventFlags::EOF);
    stack.upper().buffers().1.add(&numbers(6));
    stack.upper().close(Time::MAX);
    stack.run();
    assert!(stack.upper().is_closed());
    assert_eq!((stack.sent().len(), stack.upper().drained_until()), (4, Some(Time::MAX)));
}

#[test]
fn a_close_finishes_the_filter_and_waits_for_room_below() {
    let mut ended = false;
    let (mut stack, calls) = probe(move |src: &mut Buffer, dst: &mut Buffer, mode| {
        let _made = double(src, dst, mode);
        if mode == FlushMode::Finished && !std::mem::replace(&mut ended, true) {
            dst.add(b"end");
        }
        FilterResult::Ok
    });
    stack.lower().set_max_output(5);
    stack.stall(true);
    stack.upper().buffers().1.add(&numbers(5));
    stack.upper().close(Time::from_nanos(7));
    stack.run();
    assert!(!stack.upper().is_closed() && stack.lower().output().len() == 5);
    stack.stall(false);
    assert_eq!(stack.sent(), [doubled(&numbers(5)), b"end".to_vec()].concat());
    assert_eq!(stack.upper().drained_until(), Some(Time::from_nanos(7)));
    assert_eq!(calls()[0].2, FlushMode::Finished);
    // Nothing to write is no reason not to finish.
    let (mut stack, _) = probe(|_, dst: &mut Buffer, _| {
        if dst.is_empty() {
            dst.add(b"end");
        }
        FilterResult::NeedMore
    });
    stack.upper().close(Time::MAX);
    stack.run();
    assert_eq!((stack.sent(), stack.upper().is_closed()), (b"end".to_vec(), true));
    // One that is cut, or finished late, has not drained.
    let (mut stack, _) = probe(double);
    stack.lower().set_max_output(5);
    stack.stall(true);
    stack.upper().buffers().1.add(&numbers(5));
    stack.upper().close(Time::from_nanos(7));
    stack.run();
    stack.advance_to(Time::from_nanos(7));
    assert!(stack.upper().is_closed() && stack.upper().drained_until().is_none());
}

#[test]
fn nothing_is_finished_twice() {
    let (mut stack, calls) = probe(|src, dst, mode| {
        src.move_to(dst, usize::MAX);
        if mode == FlushMode::Finished { FilterResult::NeedMore } else { FilterResult::Ok }
    });
    flush(&mut stack, WRITE, FlushMode::Finished);
    stack.upper().close(Time::MAX);
    stack.run();
    assert!(stack.upper().is_closed());
    assert_eq!(calls(), [(0, None, FlushMode::Finished)]);
}

#[test]
fn the_stream_below_reads_only_while_its_bytes_are_wanted() {
    let mut stack = Stack::over_filter(());
    stack.upper().disable(Time::ZERO, READ);
    stack.arrive(&numbers(100_000));
    assert_eq!(stack.lower().input().len(), 0);
    assert_eq!(stack.lower().suspended(READ), Suspend::STAGE);
    stack.upper().enable(Time::ZERO, READ);
    stack.upper().set_read_watermark(0, 1000);
    stack.run();
    assert_eq!(stack.upper().input().len(), 1000);
    let waits = stack.lower().input().len();
    assert!(waits <= 16_384, "{waits} bytes wait below");
    // What waits below is used as soon as there is room, without new arrivals.
    stack.upper().buffers().0.clear();
    stack.upper().handle_callback(Time::ZERO);
    stack.run();
    assert_eq!(stack.upper().input().len(), 1000);
    stack.upper().set_read_watermark(0, 0);
    stack.run();
    assert_eq!(stack.upper().input().len(), 99_000);
    assert_eq!(stack.lower().suspended(READ), Suspend::empty());
}

#[test]
fn tokens_pay_for_what_arrives_above_and_below() {
    let (mut stack, _) = probe(double);
    stack.upper().set_rate_limit(Time::ZERO, Some(per_second(100)));
    stack.arrive(&numbers(10));
    assert_eq!(stack.upper().own_level(Time::ZERO, READ), Some(80));
    stack.upper().buffers().1.add(&numbers(10));
    stack.run();
    assert_eq!(stack.upper().own_level(Time::ZERO, WRITE), Some(80));
    stack.arrive(&numbers(200));
    assert_eq!(stack.upper().input().len(), 100);
    assert_eq!(stack.upper().suspended(READ), Suspend::OWN_LIMIT);
    assert_eq!(stack.lower().suspended(READ), Suspend::STAGE);
}

#[test]
fn a_write_timeout_runs_only_while_something_waits() {
    let mut stack = Stack::over_filter(());
    stack.upper().set_timeout(Time::ZERO, WRITE, Some(Duration::from_nanos(10)));
    stack.upper().enable(Time::ZERO, WRITE);
    stack.upper().buffers().1.add(b"taken at once");
    stack.run();
    stack.advance_to(Time::from_nanos(1000));
    assert!(stack.events().is_empty());
    stack.stall(true);
    stack.lower().set_max_output(5);
    stack.upper().buffers().1.add(b"waits for room");
    stack.upper().handle_callback(Time::from_nanos(1000));
    stack.run();
    stack.advance_to(Time::from_nanos(1010));
    assert_eq!(only(stack.events()).flags, EventFlags::WRITING | EventFlags::TIMEOUT);
    assert!(!stack.upper().is_enabled(WRITE));
}

#[test]
fn flushed_is_told_when_everything_below_is_empty_again() {
    let flushed = |told: Vec<Callback>| {
        let all = told.into_iter().filter(|callback| {
            matches!(callback, Callback::Event(event) if event.flags == EventFlags::FLUSHED)
        });
        all.count()
    };
    let mut stack = Stack::over_filter(());
    stack.run();
    assert_eq!(flushed(stack.told()), 0, "nothing was put out");
    stack.stall(true);
    stack.upper().buffers().1.add(b"hello");
    stack.run();
    assert!(stack.upper().output().is_empty());
    assert_eq!(flushed(stack.told()), 0, "it is still below");
    stack.stall(false);
    assert_eq!(flushed(stack.told()), 1);
    stack.run();
    assert_eq!(flushed(stack.told()), 0);
}

#[test]
fn a_failure_below_ends_writing_and_lets_what_came_pass() {
    let mut stack = Stack::over_filter(());
    stack.upper().set_read_watermark(0, 3);
    stack.arrive(b"hello");
    stack.upper().buffers().1.add(b"lost");
    stack.fail(io::ErrorKind::ConnectionReset.into());
    let event = only(stack.events());
    assert_eq!(event.flags, EventFlags::WRITING | EventFlags::ERROR);
    assert_eq!(event.error.map(|e| e.kind()), Some(io::ErrorKind::ConnectionReset));
    assert!(stack.upper().output().is_empty() && !stack.upper().is_enabled(WRITE));
    stack.upper().set_read_watermark(0, 0);
    stack.run();
    assert_eq!(stack.upper().input().to_vec(), b"hello");
    stack.upper().close(Time::MAX);
    assert!(stack.upper().is_closed() && stack.upper().drained_until().is_none());
}

#[test]
fn a_stream_below_that_is_gone_is_told_once() {
    let mut stack = Stack::over_filter(());
    stack.upper().buffers().1.add(b"lost");
    for _ in 0..2 {
        stack.upper().handle_lost(Time::ZERO);
    }
    stack.run();
    let event = only(stack.events());
    assert_eq!(event.flags, EventFlags::ERROR);
    assert_eq!(event.error.map(|e| e.kind()), Some(io::ErrorKind::NotConnected));
    assert!(stack.upper().output().is_empty());
}
