//! The filtering bufferevents of the seed, row by row: what each of its functions does here.
//!
//! One test for a row of the table "Filtering bufferevents", named for it, with the row in its
//! comment; all in virtual time. What happens at the edges stands in `filter.rs`,
//! `schedules/` and core-buf's `tests/filter.rs`.

use std::cell::RefCell;
use std::rc::Rc;

use sluicegate::sim::Simulation;
use sluicegate::{
    Buffer, Context, EventFlags, Filter, FilterError, FilterOptions, FilterResult, FlushMode,
    Handler, PairOptions, Suspend, TakenByFilter,
};

use super::rig::ends::taking;
use super::rig::filter::{Lazy, Over, Swap, Trailer, filters, over_pair, over_socket, settle};
use super::rig::pattern;
use super::rig::sim::{LIMIT, per_tick};
use super::{READ, TICK, WRITE};

/// Bytes that wait, limit and mode of a call.
type Call = (usize, Option<usize>, FlushMode);

/// The calls of a filter, shared with the test.
#[derive(Clone, Default)]
struct Calls(std::sync::Arc<std::sync::Mutex<Vec<Call>>>);

impl Calls {
    fn take(&self) -> Vec<Call> {
        std::mem::take(&mut self.0.lock().expect("no panic while held"))
    }
}

/// Notes the calls of `input` and does what `work` says.
struct Probe<W>(Calls, W);

impl<W: FnMut(&mut Buffer, &mut Buffer) -> FilterResult + Send> Filter for Probe<W> {
    fn input(
        &mut self,
        src: &mut Buffer,
        dst: &mut Buffer,
        limit: Option<usize>,
        mode: FlushMode,
    ) -> FilterResult {
        self.0.0.lock().expect("no panic while held").push((src.len(), limit, mode));
        (self.1)(src, dst)
    }
}

/// The other way round: notes the calls of `output`, and lets what comes in pass.
struct ProbeOutput<W>(Probe<W>);

impl<W: FnMut(&mut Buffer, &mut Buffer) -> FilterResult + Send> Filter for ProbeOutput<W> {
    fn output(
        &mut self,
        src: &mut Buffer,
        dst: &mut Buffer,
        limit: Option<usize>,
        mode: FlushMode,
    ) -> FilterResult {
        self.0.input(src, dst, limit, mode)
    }
}

fn pass(src: &mut Buffer, dst: &mut Buffer) -> FilterResult {
    dst.append(src);
    FilterResult::Ok
}

/// `bufferevent_filter_new`: moves the underlying's handler on top; enables reading and writing
/// below, suspends reading below while the filter does not read; ctx and free_context are the
/// filter and its drop.
#[test]
fn bufferevent_filter_new() {
    struct Freed(Rc<RefCell<u32>>);
    impl Drop for Freed {
        fn drop(&mut self) {
            *self.0.borrow_mut() += 1;
        }
    }
    impl Handler for Freed {}
    struct Context(std::sync::mpsc::Sender<()>);
    impl Filter for Context {}
    impl Drop for Context {
        fn drop(&mut self) {
            self.0.send(()).expect("the test listens");
        }
    }

    let mut sim = Simulation::new(1);
    let (handlers, freed) = (Rc::default(), std::sync::mpsc::channel());
    let (near, _) = sim.core().pair(PairOptions::new(), Freed(Rc::clone(&handlers)), ());
    sim.core().get(near).expect("it is open").disable(READ);
    let filter = Context(freed.0);
    let top = sim.core().filter(near, filter, FilterOptions::new()).expect("it is open");
    assert_eq!(sim.core().get(near).expect("it is open").suspended(READ), Suspend::empty());
    sim.core().get(top).expect("it is open").disable(READ);
    let below = sim.core().get(near).expect("it is open");
    assert!(below.is_enabled(READ) && below.is_enabled(WRITE));
    assert_eq!(below.suspended(READ), Suspend::STAGE);
    drop(below);
    sim.core().get(top).expect("it is open").close();
    settle(&mut sim);
    assert_eq!((*handlers.borrow(), freed.1.try_iter().count()), (1, 1));
}

/// Setting callbacks on the underlying: `Err(TakenByFilter(id))`; observers of the lengths of its
/// buffers still work.
#[test]
fn setting_callbacks_on_the_underlying() {
    let mut sim = Simulation::new(2);
    let Over { top, lower, far } = over_pair(&mut sim, Swap);
    let mut below = sim.core().get(lower).expect("it is open");
    assert_eq!(below.set_handler(()), Err(TakenByFilter(top.id)));
    assert_eq!((below.input().len(), below.output().len()), (0, 0));
    drop(below);
    top.bev(&mut sim).set_read_watermark(0, 10);
    top.log.borrow_mut().keeps = true;
    far.write(&mut sim, &pattern(25));
    settle(&mut sim);
    assert_eq!(sim.core().get(lower).expect("it is open").input().len(), 15);
}

/// enable and disable of the underlying on its own: allowed, as since libevent 2.0.8.
#[test]
fn enable_and_disable_of_the_underlying() {
    let mut sim = Simulation::new(3);
    let Over { top, lower, far } = over_pair(&mut sim, Swap);
    sim.core().get(lower).expect("it is open").disable(READ);
    far.write(&mut sim, b"x");
    settle(&mut sim);
    assert!(top.log.borrow().got.is_empty() && top.bev(&mut sim).is_enabled(READ));
    sim.core().get(lower).expect("it is open").enable(READ);
    settle(&mut sim);
    assert_eq!(top.log.borrow().got, [!b'x']);

    sim.core().get(lower).expect("it is open").disable(WRITE);
    top.write(&mut sim, b"y");
    settle(&mut sim);
    assert!(far.log.borrow().got.is_empty() && top.bev(&mut sim).is_enabled(WRITE));
    sim.core().get(lower).expect("it is open").enable(WRITE);
    settle(&mut sim);
    assert_eq!(far.log.borrow().got, [!b'y']);
}

/// `bufferevent_filter_cb`: called when bytes arrive below, and when bytes are put in the output;
/// both default to pass-through.
#[test]
fn bufferevent_filter_cb() {
    struct Default;
    impl Filter for Default {}
    let mut sim = Simulation::new(4);
    let Over { top, far, .. } = over_pair(&mut sim, Default);
    let second = sim.core().filter(top.id, Swap, FilterOptions::new()).expect("it is open");
    far.write(&mut sim, b"up");
    sim.core().get(second).expect("it is open").output().add(b"down");
    settle(&mut sim);
    assert_eq!(top.log.borrow().got, b"up".map(|byte| !byte));
    assert_eq!(far.log.borrow().got, b"down".map(|byte| !byte));
}

/// dst_limit, -1: None is "no limit"; reflects watermarks and rate limits; a filter that ignores it
/// loses nothing.
#[test]
fn dst_limit() {
    let mut sim = Simulation::new(5);
    let calls = Calls::default();
    let Over { top, far, .. } = over_pair(&mut sim, Probe(calls.clone(), pass));
    far.write(&mut sim, &pattern(5));
    settle(&mut sim);
    assert_eq!(calls.take(), [(5, None, FlushMode::Normal)]);
    top.bev(&mut sim).set_read_watermark(0, 100);
    far.write(&mut sim, &pattern(5));
    settle(&mut sim);
    assert_eq!(calls.take(), [(5, Some(100), FlushMode::Normal)]);
    top.bev(&mut sim).set_rate_limit(Some(per_tick(40, 40, TICK)));
    far.write(&mut sim, &pattern(90));
    sim.run_for(TICK / 2);
    assert_eq!(calls.take(), [(90, Some(40), FlushMode::Normal)]);
    assert_eq!(top.log.borrow().got.len(), 50, "what it made beyond the limit waits");
    sim.run_for(2 * TICK);
    let expected = [pattern(5), pattern(5), pattern(90)].concat();
    assert!(top.log.borrow().got == expected, "and nothing of it is lost");

    // The same on the way down. What may wait below is bounded always, and the mark is its own.
    let output = ProbeOutput(Probe(calls.clone(), pass));
    let Over { top, lower, far } = over_pair(&mut sim, output);
    top.write(&mut sim, &pattern(5));
    settle(&mut sim);
    assert_eq!(calls.take(), [(5, Some(1 << 20), FlushMode::Normal)]);
    sim.core().get(lower).expect("it is open").set_write_watermark(0, 100);
    top.write(&mut sim, &pattern(5));
    settle(&mut sim);
    assert_eq!(calls.take(), [(5, Some(100), FlushMode::Normal)]);
    top.bev(&mut sim).set_rate_limit(Some(per_tick(40, 40, TICK)));
    top.write(&mut sim, &pattern(90));
    sim.run_for(TICK / 2);
    assert_eq!(calls.take(), [(90, Some(40), FlushMode::Normal)]);
    sim.run_for(3 * TICK);
    assert!(far.log.borrow().got == expected, "nothing is lost here either");
}

/// `BEV_OK`, `BEV_NEED_MORE`, `BEV_ERROR`: after NeedMore it is called again on new input or on a
/// flush with a stronger mode; Error reaches the user as one ERROR event; Ok without progress does
/// not spin.
#[test]
fn bev_ok_need_more_error() {
    let mut sim = Simulation::new(6);
    for idle in [true, false] {
        let calls = Calls::default();
        let answer = move |_: &mut Buffer, _: &mut Buffer| {
            if idle { FilterResult::Ok } else { FilterResult::NeedMore }
        };
        let Over { top, far, .. } = over_pair(&mut sim, Probe(calls.clone(), answer));
        far.write(&mut sim, b"ab");
        settle(&mut sim);
        assert_eq!(calls.take(), [(2, None, FlushMode::Normal)]);
        far.write(&mut sim, b"c");
        settle(&mut sim);
        assert_eq!(calls.take(), [(3, None, FlushMode::Normal)]);
        top.bev(&mut sim).flush(READ, FlushMode::Flush).expect("the pair is whole");
        settle(&mut sim);
        assert_eq!(calls.take(), [(3, None, FlushMode::Flush)]);
    }
    let calls = Calls::default();
    let fails =
        |_: &mut Buffer, _: &mut Buffer| FilterResult::Error(FilterError::new("not this protocol"));
    let Over { top, far, .. } = over_pair(&mut sim, Probe(calls.clone(), fails));
    for _ in 0..3 {
        far.write(&mut sim, b"x");
        settle(&mut sim);
    }
    assert_eq!(calls.take().len(), 1);
    assert_eq!(top.log.borrow().events, [EventFlags::READING | EventFlags::ERROR]);
    let Over { top, far, .. } = over_pair(&mut sim, ProbeOutput(Probe(calls.clone(), fails)));
    for _ in 0..3 {
        top.write(&mut sim, b"x");
        settle(&mut sim);
    }
    assert_eq!(calls.take().len(), 1);
    assert_eq!(top.log.borrow().events, [EventFlags::WRITING | EventFlags::ERROR]);
    assert!(far.log.borrow().got.is_empty());
}

/// `BEV_NORMAL`, `BEV_FLUSH`, `BEV_FINISHED`: Normal is what converts conveniently, Flush
/// everything possible, Finished end-of-stream work, at EOF from below and on flush.
#[test]
fn bev_normal_flush_finished() {
    let mut sim = Simulation::new(7);
    let Over { top, far, .. } = over_pair(&mut sim, Lazy);
    top.write(&mut sim, b"held back");
    settle(&mut sim);
    assert!(far.log.borrow().got.is_empty());
    top.bev(&mut sim).flush(WRITE, FlushMode::Flush).expect("the pair is whole");
    settle(&mut sim);
    assert_eq!(far.log.borrow().got, b"held back");
    let Over { top, far, .. } = over_pair(&mut sim, Trailer(b" and over"));
    top.write(&mut sim, b"done");
    top.bev(&mut sim).flush(WRITE, FlushMode::Finished).expect("the pair is whole");
    settle(&mut sim);
    assert_eq!(far.log.borrow().got, b"done and over");
    let calls = Calls::default();
    let (near, far) = taking(&mut sim, PairOptions::new().eof_on_close(true));
    let filter = Probe(calls.clone(), pass);
    sim.core().filter(near.id, filter, FilterOptions::new()).expect("it is open");
    far.bev(&mut sim).close();
    settle(&mut sim);
    assert_eq!(calls.take(), [(0, None, FlushMode::Finished)]);
    assert_eq!(near.log.borrow().events, [EventFlags::READING | EventFlags::EOF]);
}

/// `bufferevent_flush` on other kinds: a filter as above and downwards; a socket tries now.
#[test]
fn bufferevent_flush() {
    let mut sim = Simulation::new(8);
    let Over { top, far, .. } = over_pair(&mut sim, Lazy);
    let second = sim.core().filter(top.id, Lazy, FilterOptions::new()).expect("it is open");
    let mut bev = sim.core().get(second).expect("it is open");
    bev.output().add(b"through both");
    bev.flush(WRITE, FlushMode::Finished).expect("the pair is whole");
    drop(bev);
    settle(&mut sim);
    assert_eq!(far.log.borrow().got, b"through both");
    assert_eq!(far.log.borrow().events, [EventFlags::READING | EventFlags::EOF], "to the pair");
    let (top, peer) = over_socket(&mut sim, 0);
    let mut bev = sim.core().get(top).expect("it is open");
    bev.output().add(b"to a socket");
    assert_eq!(bev.flush(WRITE, FlushMode::Normal), Ok(()));
    drop(bev);
    assert!(sim.run_until(LIMIT, |sim| sim.read(peer) == b"to a socket"));
}

/// Stacks to any depth over sockets and pairs; close drains the layers below first; an event when
/// all layers are flushed.
#[test]
fn stacks() {
    let mut sim = Simulation::new(9);
    let Over { top, far, .. } = over_pair(&mut sim, Trailer(b"0"));
    let mut id = top.id;
    for name in [b"1", b"2", b"3", b"4"] {
        let options = FilterOptions::new().tell_flushed(true);
        id = sim.core().filter(id, Trailer(name), options).expect("it is the topmost");
    }
    let mut bev = sim.core().get(id).expect("it is open");
    bev.output().add(b"five deep ");
    drop(bev);
    settle(&mut sim);
    assert_eq!(top.log.borrow().flushed, 1);
    sim.core().get(id).expect("it is open").close();
    settle(&mut sim);
    assert_eq!(far.log.borrow().got, b"five deep 43210");
    assert_eq!(filters(&mut sim), 0);
    let (top, peer) = over_socket(&mut sim, 8);
    sim.write(peer, b"eight deep");
    assert!(sim.run_until(LIMIT, |sim| sim.read(peer) == b"eight deep"));
    sim.core().get(top).expect("it is open").close();
    assert!(sim.run_until(LIMIT, |sim| filters(sim) == 0 && sim.is_eof(peer)));
}

/// `BEV_OPT_CLOSE_ON_FREE` of a filter: `close_underlying`, by default; off, the one below is given
/// back. `release` gives it back at any time.
#[test]
fn bev_opt_close_on_free() {
    struct Release;
    impl Handler for Release {
        fn on_read(&mut self, cx: &mut Context<'_>) {
            cx.me().input().drain(usize::MAX);
            cx.me().release();
        }
    }
    let mut sim = Simulation::new(10);
    for closes in [true, false] {
        let (near, _) = taking(&mut sim, PairOptions::new());
        let options = FilterOptions::new().close_underlying(closes);
        let top = sim.core().filter(near.id, Swap, options).expect("it is open");
        sim.core().get(top).expect("it is open").close();
        settle(&mut sim);
        assert_eq!(sim.core().get(near.id).is_none(), closes);
    }
    let (near, far) = sim.core().pair(PairOptions::new(), Release, ());
    let top = sim.core().filter(near, Swap, FilterOptions::new()).expect("it is open");
    sim.core().get(far).expect("it is open").output().add(b"x");
    settle(&mut sim);
    assert!(sim.core().get(top).is_none() && sim.core().get(near).is_some());
}
