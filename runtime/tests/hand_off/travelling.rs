//! What a connection takes along: everything that was set, what waits in it, what it has still to
//! tell, and its filters.

use sluicegate::{
    BevId, BevMut, Buffer, Context, Direction, EventFlags, Filter, FilterOptions, FilterResult,
    FlushMode, Group, Handler, Priority, Suspend, Trigger, WriteEnded,
};

use super::rig::ends::{End, Noting, over};
use super::rig::filter::{Lazy, Trailer};
use super::rig::pattern;
use super::rig::sim::{LIMIT, ms, per_tick};
use super::{adopted, attach, calm, detach, far, moved};

const READ: Direction = Direction::Read;
const WRITE: Direction = Direction::Write;

#[test]
fn all_that_was_set_goes_along() {
    let mut sim = calm(2);
    let group = Group::builder(per_tick(500, 500, ms(100))).clock(sim.clock()).build();
    let group = group.expect("valid numbers");
    let (end, _peer) = adopted(&mut sim);
    let mut bev = end.bev(&mut sim);
    let local = bev.local_addr();
    bev.set_read_watermark(3, 4_000);
    bev.set_write_watermark(5, 6_000);
    bev.set_max_output(7_000);
    bev.set_max_single_read(800);
    bev.set_max_single_write(900);
    bev.set_timeout(READ, Some(LIMIT));
    bev.set_timeout(WRITE, Some(2 * LIMIT));
    bev.set_priority(Priority::High);
    bev.disable(READ);
    bev.set_rate_limit(Some(per_tick(100, 1_000, ms(100))));
    bev.decrement_read_limit(60).expect("there is one");
    bev.join(&group).expect("a seat");
    drop(bev);
    let gone = end.id;
    let end = moved(&mut sim, &end, 1);
    assert_ne!(end.id, gone);
    assert!(sim.core().get(gone).is_none(), "its old name finds nothing");
    let mut bev = end.bev(&mut sim);
    assert_eq!((bev.peer_addr(), bev.local_addr()), (Some(far()), local));
    assert_eq!((bev.read_watermark(), bev.write_watermark()), ((3, 4_000), (5, 6_000)));
    assert_eq!(
        (bev.max_output(), bev.max_single_read(), bev.max_single_write()),
        (7_000, 800, 900)
    );
    assert_eq!((bev.timeout(READ), bev.timeout(WRITE)), (Some(LIMIT), Some(2 * LIMIT)));
    assert_eq!(bev.priority(), Priority::High);
    assert_eq!((bev.is_enabled(READ), bev.is_enabled(WRITE)), (false, true));
    assert_eq!((bev.read_limit(), bev.write_limit()), (Some(40), Some(100)));
    assert_eq!(bev.group().map(|group| group.id()), Some(group.id()));
}

#[test]
fn bytes_of_every_kind_wait_on_the_way_and_follow_in_order() {
    let mut sim = calm(2);
    let (end, peer) = adopted(&mut sim);
    end.log.borrow_mut().keeps = true;
    end.bev(&mut sim).set_rate_limit(Some(per_tick(1_000, 1_000, ms(100))));
    sim.write(peer, b"came early, ");
    let mut bev = end.bev(&mut sim);
    let mut output = bev.output();
    output.add(&pattern(2_000));
    output.add_shared(pattern(500).into());
    drop(bev);
    sim.run_for(ms(1));
    sim.write(peer, b"came on the way");
    let detached = detach(&mut sim, end.id);
    assert_eq!(detached.peer_addr(), Some(far()));
    sim.run_for(ms(1));
    end.log.borrow_mut().keeps = false;
    let heard = std::mem::take(&mut end.log.borrow_mut().reads);
    assert_eq!(heard, [12], "it was called once here");
    let end = attach(&mut sim, detached, 1, &end);
    let mut came = Vec::new();
    sim.run_until(ms(500), |sim| {
        came.extend(sim.read(peer));
        false
    });
    assert_eq!(came, [pattern(2_000), pattern(500)].concat());
    assert_eq!(end.log.borrow().got, b"came early, came on the way");
}

#[test]
fn what_came_on_the_way_is_read_in_the_turn_of_the_arrival() {
    let mut sim = calm(2);
    let (end, peer) = adopted(&mut sim);
    sim.run_for(ms(5));
    let detached = detach(&mut sim, end.id);
    sim.write(peer, b"came on the way");
    sim.run_for(ms(5));
    let (made, lengths) = std::sync::mpsc::channel();
    let make = move |_: &mut BevMut<'_>| Tell(made);
    let pending = sim.core().handle().attach(1, detached, make).expect("the core runs");
    sim.turn();
    assert_eq!(lengths.try_recv(), Ok(15), "the new core waits for no edge");
    drop(pending);
}

/// Tells how much it finds in its input.
struct Tell(std::sync::mpsc::Sender<usize>);

impl Handler for Tell {
    fn on_read(&mut self, cx: &mut Context<'_>) {
        self.0.send(cx.me().input().len()).expect("the test waits");
    }
}

#[test]
fn input_that_nobody_took_is_told_to_the_new_handler_at_its_mark() {
    for (bytes, mark, calls) in [(5, 0, 1), (5, 5, 1), (5, 6, 0), (0, 0, 0)] {
        let mut sim = calm(2);
        let (end, peer) = adopted(&mut sim);
        end.log.borrow_mut().keeps = true;
        sim.write(peer, &b"12345"[..bytes]);
        sim.run_for(ms(1));
        end.log.take();
        end.bev(&mut sim).set_read_watermark(mark, 0);
        moved(&mut sim, &end, 1);
        sim.run_for(ms(1));
        assert_eq!(end.log.borrow().reads, vec![5; calls], "{bytes} bytes, mark {mark}");
    }
}

#[test]
fn what_was_not_told_yet_is_told_there_once() {
    let mut sim = calm(2);
    let (end, _peer) = adopted(&mut sim);
    let ended = EventFlags::EOF | EventFlags::READING;
    let mut bev = end.bev(&mut sim);
    bev.trigger_event(EventFlags::CONNECTED | ended).expect("no filter stands over it");
    bev.trigger(WRITE, Trigger::Always).expect("no filter stands over it");
    bev.set_write_watermark(0, 10);
    bev.disable(WRITE);
    bev.output().add(&[1; 20]);
    drop(bev);
    let end = moved(&mut sim, &end, 1);
    let end = moved(&mut sim, &end, 0);
    assert!(end.log.borrow().events.is_empty() && end.log.borrow().writes == 0);
    sim.run_for(ms(5));
    let heard = end.log.take();
    assert_eq!(heard.events, [EventFlags::CONNECTED, ended | EventFlags::HIGH_WATER]);
    assert_eq!(heard.writes, 1);
    let end = moved(&mut sim, &end, 1);
    sim.run_for(ms(5));
    assert_eq!((end.log.borrow().events.len(), end.log.borrow().writes), (0, 0), "told once");
}

#[test]
fn a_half_close_goes_along_done_or_not() {
    for told in [false, true] {
        let mut sim = calm(2);
        let (end, peer) = adopted(&mut sim);
        let mut bev = end.bev(&mut sim);
        if !told {
            bev.set_rate_limit(Some(per_tick(1_000, 1_000, ms(100))));
        }
        bev.output().add(&pattern(3_000));
        bev.shutdown_write();
        drop(bev);
        sim.run_for(ms(1));
        let mut came = sim.read(peer);
        assert_eq!(sim.is_eof(peer), told);
        let end = moved(&mut sim, &end, 1);
        sim.run_for(ms(500));
        came.extend(sim.read(peer));
        assert!(came == pattern(3_000) && sim.is_eof(peer), "{} bytes came", came.len());
        sim.write(peer, b"still read");
        end.bev(&mut sim).output().add(b"too late");
        sim.run_for(ms(5));
        let heard = end.log.take();
        assert_eq!(heard.got, b"still read");
        assert_eq!(heard.events, [EventFlags::WRITING | EventFlags::ERROR]);
        assert_eq!(heard.errors, [std::io::Error::from(WriteEnded).kind()]);
    }
}

#[test]
fn an_end_that_the_peer_made_is_not_told_again() {
    let mut sim = calm(2);
    let (end, peer) = adopted(&mut sim);
    sim.half_close(peer);
    sim.run_for(ms(1));
    assert_eq!(end.log.take().events, [EventFlags::READING | EventFlags::EOF]);
    let end = moved(&mut sim, &end, 1);
    sim.run_for(ms(1));
    assert!(end.log.borrow().events.is_empty());
    assert_eq!(end.bev(&mut sim).suspended(READ), Suspend::ENDED);
    end.bev(&mut sim).output().add(b"goes on");
    sim.run_for(ms(1));
    assert_eq!(sim.read(peer), b"goes on");
}

#[test]
fn a_timeout_has_as_much_left_as_it_had() {
    let mut sim = calm(2);
    let (end, _peer) = adopted(&mut sim);
    end.bev(&mut sim).set_timeout(READ, Some(ms(100)));
    sim.run_for(ms(60));
    let detached = detach(&mut sim, end.id);
    sim.run_for(LIMIT);
    assert_eq!(sim.held().timers, 0, "none waits on the old core");
    let end = attach(&mut sim, detached, 1, &end);
    sim.run_for(ms(35));
    assert!(end.log.borrow().events.is_empty(), "the time on the way is not the peer's");
    sim.run_for(ms(10));
    assert_eq!(end.log.borrow().events, [EventFlags::READING | EventFlags::TIMEOUT]);
}

#[test]
fn one_without_a_socket_moves_too_and_gets_it_there() {
    let mut sim = calm(2);
    let (handler, log) = Noting::new();
    let end = End { id: sim.core().unconnected(handler), log };
    end.write(&mut sim, b"for whoever comes");
    let end = moved(&mut sim, &end, 1);
    assert_eq!(end.bev(&mut sim).suspended(WRITE), Suspend::UNCONNECTED);
    let (socket, peer) = sim.socket(far());
    end.bev(&mut sim).set_socket(socket).expect("it is open");
    sim.run_for(ms(1));
    assert_eq!(sim.read(peer), b"for whoever comes");
}

/// Adds its place in the stream to every byte, both ways.
#[derive(Default)]
struct Counter([u8; 2]);

impl Counter {
    fn pass(&mut self, way: Direction, src: &mut Buffer, dst: &mut Buffer) -> FilterResult {
        let mut bytes = vec![0; src.len()];
        src.remove(&mut bytes);
        let count = &mut self.0[way as usize];
        for byte in &mut bytes {
            *count = count.wrapping_add(1);
            *byte = byte.wrapping_add(*count);
        }
        dst.add(&bytes);
        FilterResult::Ok
    }
}

impl Filter for Counter {
    fn input(
        &mut self,
        src: &mut Buffer,
        dst: &mut Buffer,
        _: Option<usize>,
        _: FlushMode,
    ) -> FilterResult {
        self.pass(READ, src, dst)
    }

    fn output(
        &mut self,
        src: &mut Buffer,
        dst: &mut Buffer,
        _: Option<usize>,
        _: FlushMode,
    ) -> FilterResult {
        self.pass(WRITE, src, dst)
    }
}

#[test]
fn filters_go_along_with_what_they_remember() {
    let mut sim = calm(2);
    let (end, peer) = adopted(&mut sim);
    let options = FilterOptions::new().tell_flushed(true);
    let id = sim.core().filter(end.id, Counter::default(), options).expect("it is open");
    let mut top = End { id, log: end.log };
    let mut came = Vec::new();
    for round in 0..10 {
        top.write(&mut sim, &[0; 5]);
        sim.write(peer, &[100; 5]);
        sim.run_for(ms(1));
        came.extend(sim.read(peer));
        top = moved(&mut sim, &top, (round + 1) % 2);
        let under = top.bev(&mut sim).underlying().expect("it stands on the socket");
        let core = sim.core_at(under.core());
        assert_eq!(core.get(under).and_then(|bev| bev.above()), Some(top.id));
        let figures = [0, 1].map(|core| sim.core_at(core).stats());
        let levels = figures.map(|it| (it.connections, it.filters));
        assert_eq!(levels[(round + 1) % 2], (1, 1));
        assert_eq!(levels[round % 2], (0, 0));
    }
    assert_eq!(came, (1..=50).collect::<Vec<u8>>());
    let heard = top.log.take();
    assert_eq!(heard.got, (101..=150).collect::<Vec<u8>>());
    assert_eq!(heard.flushed, 10);
}

#[test]
fn bytes_between_the_layers_go_along_and_the_filter_is_finished_where_it_ends() {
    let mut sim = calm(2);
    let (end, peer) = adopted(&mut sim);
    let lazy = over(&mut sim, &end, Lazy);
    let top = over(&mut sim, &lazy, Trailer(b", the end."));
    top.write(&mut sim, b"held back");
    sim.write(peer, b"waits below");
    sim.run_for(ms(1));
    assert!(sim.read(peer).is_empty() && top.log.borrow().got.is_empty());
    let top = moved(&mut sim, &top, 1);
    // Goes down through both layers, on the core where they are now.
    top.bev(&mut sim).flush(READ, FlushMode::Flush).expect("a stack can be flushed");
    let top = moved(&mut sim, &top, 0);
    sim.run_for(ms(1));
    assert_eq!(top.log.borrow().got, b"waits below", "the flush went along");
    let top = moved(&mut sim, &top, 1);
    top.bev(&mut sim).close();
    sim.run_for(ms(5));
    assert_eq!(sim.read(peer), b"held back, the end.");
    assert!(sim.is_eof(peer));
}

#[test]
fn a_filter_that_leaves_its_underlying_open_still_does() {
    let mut sim = calm(2);
    let (end, peer) = adopted(&mut sim);
    let options = FilterOptions::new().close_underlying(false);
    let id = sim.core().filter(end.id, Trailer(b"!"), options).expect("it is open");
    let top = moved(&mut sim, &End { id, log: end.log }, 1);
    let below: BevId = top.bev(&mut sim).underlying().expect("it stands on the socket");
    top.write(&mut sim, b"over");
    top.bev(&mut sim).close();
    sim.run_for(ms(5));
    sim.write(peer, b"and on");
    sim.run_for(ms(5));
    assert_eq!(sim.read(peer), b"over!");
    assert_eq!(top.log.borrow().got, b"and on", "the handler went down");
    assert!(sim.core_at(1).get(below).is_some() && !sim.is_eof(peer));
}
