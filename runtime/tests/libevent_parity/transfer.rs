//! Bytes that cross from one end to another: once, flushed or not, between marks.

use std::cell::Cell;
use std::rc::Rc;

use sluicegate::sim::Simulation;
use sluicegate::{Context, EventFlags, FlushMode, Handler, PairOptions};

use crate::rig::ends::{keeping, settle};
use crate::rig::pattern;
use crate::{Link, READ, TURNS, WRITE};

/// What upstream sends where one read suffices.
const SENT: usize = 8333;

/// What upstream sends between marks.
const SENT_BETWEEN_MARKS: usize = 65_000;

/// Sends from one end, flushes if told how, and checks what both ends are and hear.
fn check_transfer(link: Link, mode: Option<FlushMode>) {
    let mut sim = Simulation::new(1);
    let (a, b) = link.ends(&mut sim);
    let mut near = a.bev(&mut sim);
    assert!(near.is_enabled(READ) && near.is_enabled(WRITE));
    near.disable(READ);
    assert!(!near.is_enabled(READ) && near.is_enabled(WRITE));
    assert_eq!((near.underlying(), near.above()), (None, None));
    assert_eq!(near.partner(), (link == Link::Pair).then_some(b.id));
    assert_eq!(near.peer_addr().is_some(), link == Link::Sockets);
    drop(near);
    assert_eq!(b.bev(&mut sim).partner(), (link == Link::Pair).then_some(a.id));

    a.write(&mut sim, &pattern(SENT));
    if let Some(mode) = mode {
        a.bev(&mut sim).flush(WRITE, mode).expect("both ends are there");
    }
    settle(&mut sim, TURNS);
    let (heard_a, heard_b) = (a.log.take(), b.log.take());
    assert_eq!((heard_b.reads, heard_b.writes), (vec![SENT], 0));
    assert!(heard_b.got == pattern(SENT), "{} bytes", heard_b.got.len());
    assert_eq!((heard_a.reads, heard_a.writes, heard_a.events), (vec![], 1, vec![]));
    assert!(a.bev(&mut sim).output().is_empty());
    let told = link == Link::Pair && mode == Some(FlushMode::Finished);
    let end = EventFlags::READING | EventFlags::EOF;
    assert_eq!(heard_b.events, vec![end; usize::from(told)]);

    b.bev(&mut sim).close();
    assert_eq!(a.bev(&mut sim).partner(), None);
    a.bev(&mut sim).close();
    settle(&mut sim, TURNS);
    let stats = sim.core().stats();
    assert_eq!((stats.connections, stats.pair_ends, stats.timers), (0, 0, 0));
}

/// regress_bufferevent.c `bufferevent`: 8333 bytes cross between sockets, once.
///
/// Differs: reading runs from the start, as writing does, since a connection nobody reads from is
/// never wanted; and callbacks cannot be asked for, since a handler is owned, not shared.
#[test]
fn bufferevent() {
    check_transfer(Link::Sockets, None);
}

/// regress_bufferevent.c `bufferevent_pair`: the same over a pair, whose ends know each other.
#[test]
fn bufferevent_pair() {
    check_transfer(Link::Pair, None);
}

/// regress_bufferevent.c `bufferevent_flush_normal`: flushing a socket changes nothing.
#[test]
fn bufferevent_flush_normal() {
    check_transfer(Link::Sockets, Some(FlushMode::Normal));
}

/// regress_bufferevent.c `bufferevent_flush_flush`: nor does a stronger mode.
#[test]
fn bufferevent_flush_flush() {
    check_transfer(Link::Sockets, Some(FlushMode::Flush));
}

/// regress_bufferevent.c `bufferevent_flush_finished`: nor does the strongest; it ends no socket.
#[test]
fn bufferevent_flush_finished() {
    check_transfer(Link::Sockets, Some(FlushMode::Finished));
}

/// regress_bufferevent.c `bufferevent_pair_flush_normal`: bytes cross once, and nobody is told.
#[test]
fn bufferevent_pair_flush_normal() {
    check_transfer(Link::Pair, Some(FlushMode::Normal));
}

/// regress_bufferevent.c `bufferevent_pair_flush_flush`: the same in the stronger mode.
#[test]
fn bufferevent_pair_flush_flush() {
    check_transfer(Link::Pair, Some(FlushMode::Flush));
}

/// regress_bufferevent.c `bufferevent_pair_flush_finished`: the partner is told of an end.
#[test]
fn bufferevent_pair_flush_finished() {
    check_transfer(Link::Pair, Some(FlushMode::Finished));
}

/// regress_bufferevent.c `bufferevent_pair_flush`: finishing nothing is an end of reading, no more.
#[test]
fn bufferevent_pair_flush() {
    let mut sim = Simulation::new(2);
    let (a, b) = Link::Pair.ends(&mut sim);
    a.bev(&mut sim).flush(WRITE, FlushMode::Finished).expect("both ends are there");
    sim.turn();
    let heard = b.log.take();
    assert_eq!(heard.events, [EventFlags::READING | EventFlags::EOF]);
    assert_eq!((heard.reads.len(), heard.writes), (0, 0));
    settle(&mut sim, TURNS);
    assert_eq!(b.log.take().events, [], "once");
}

/// regress_bufferevent.c `bufferevent_pair_release_lock`: both ends end in turn, in any order.
///
/// Differs: upstream traces that no freed lock is touched. Here no lock is shared by the ends, and
/// what is asserted is what it was for: nothing outlives the second.
#[test]
fn bufferevent_pair_release_lock() {
    let mut sim = Simulation::new(3);
    for first in 0..2 {
        let (a, b) = keeping(&mut sim, PairOptions::new());
        let ends = [a, b];
        for end in [&ends[first], &ends[1 - first]] {
            end.bev(&mut sim).close();
        }
        settle(&mut sim, TURNS);
        for end in &ends {
            assert!(sim.core().get(end.id).is_none());
            assert_eq!(Rc::strong_count(&end.log), 1, "the handler is gone");
        }
        let stats = sim.core().stats();
        assert_eq!((stats.pair_ends, stats.timers), (0, 0));
    }
}

/// Sends with marks at both ends and checks at how many bytes each is called.
fn check_watermarks(link: Link) {
    let mut sim = Simulation::new(4);
    let (a, b) = link.ends(&mut sim);
    a.bev(&mut sim).disable(READ);
    b.bev(&mut sim).set_read_watermark(10, 20);
    a.bev(&mut sim).set_write_watermark(100, 2000);
    assert_eq!(b.bev(&mut sim).read_watermark(), (10, 20));
    assert_eq!(a.bev(&mut sim).write_watermark(), (100, 2000));
    a.write(&mut sim, &pattern(SENT_BETWEEN_MARKS));
    settle(&mut sim, TURNS);
    let (heard_a, heard_b) = (a.log.take(), b.log.take());
    assert!(heard_b.reads.iter().all(|bytes| (10..=20).contains(bytes)), "{:?}", heard_b.reads);
    assert!(heard_b.got == pattern(SENT_BETWEEN_MARKS));
    assert!(a.bev(&mut sim).output().is_empty());
    let writes = if link == Link::Pair { 2..=6 } else { 1..=1 };
    assert!(writes.contains(&heard_a.writes), "at {} lengths from 100 down", heard_a.writes);
    assert_eq!((heard_a.events, heard_b.events), (vec![EventFlags::HIGH_WATER], vec![]));
}

/// regress_bufferevent.c `bufferevent_watermarks`: a reader between 10 and 20 bytes gets them all.
///
/// Differs: marks are set and asked for one direction at a time, so asking for those of both is no
/// mistake that can be made; and the upper half of the write marks is told, where upstream reads it
/// for filters only.
#[test]
fn bufferevent_watermarks() {
    check_watermarks(Link::Sockets);
}

/// regress_bufferevent.c `bufferevent_pair_watermarks`: the same over a pair.
#[test]
fn bufferevent_pair_watermarks() {
    check_watermarks(Link::Pair);
}

/// Takes all but one byte, the last, and then nothing.
struct Thrice(Rc<Cell<bool>>);

impl Handler for Thrice {
    fn on_read(&mut self, cx: &mut Context<'_>) {
        let (mut input, _) = cx.buffers();
        assert_eq!(input.len(), 9);
        let mut bytes = [0; 8];
        assert_eq!((input.remove(&mut bytes), &bytes), (8, b"all but "));
        assert_eq!((input.remove(&mut bytes), bytes[0]), (1, b'1'));
        assert_eq!((input.remove(&mut bytes), bytes[0]), (0, b'1'));
        self.0.set(true);
    }
}

/// regress_bufferevent.c `bufferevent_read_failed`: a read that cannot give anything gives 0.
///
/// Differs: upstream freezes the buffer to make a read fail. Here freezing is in the types: an
/// input can always be consumed and nothing else, so only an empty one gives nothing.
#[test]
fn bufferevent_read_failed() {
    let mut sim = Simulation::new(5);
    let (a, b) = Link::Sockets.ends(&mut sim);
    let done = Rc::new(Cell::new(false));
    b.bev(&mut sim).set_handler(Thrice(done.clone())).expect("no filter stands over it");
    a.write(&mut sim, b"all but 1");
    settle(&mut sim, TURNS);
    assert!(done.get() && sim.core().stats().handler_panics == 0);
}
