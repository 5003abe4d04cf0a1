//! Ending writing and reading on: on sockets, pairs and filters over either, simulated and real.

mod rig;

use std::io::{ErrorKind, Write};
use std::net::Shutdown;
use std::sync::mpsc::{self, Sender};
use std::time::Duration;

use rig::ends::{End, Link, Noting, over, settle};
use rig::filter::{Lazy, Swap, Trailer};
use rig::sim::{LIMIT, World, ms, per_second, per_tick};
use rig::{Server, eventually, pattern, read_to_end, receive};
use sluicegate::sim::Simulation;
use sluicegate::{
    Context, CoreStats, Direction, Event, EventFlags, FilterOptions, FlushMode, Handler, WriteEnded,
};

const READ: Direction = Direction::Read;
const WRITE: Direction = Direction::Write;

/// Turns in which anything here must have settled.
const TURNS: usize = 10_000;

const END_OF_STREAM: EventFlags = EventFlags::READING.union(EventFlags::EOF);
const WRITE_ERROR: EventFlags = EventFlags::WRITING.union(EventFlags::ERROR);

fn shut_down(sim: &mut Simulation, end: &End) {
    end.bev(sim).shutdown_write();
}

/// Calls to the operating system that are neither waits nor transfers.
fn other_calls(sim: &mut Simulation) -> u64 {
    let CoreStats { system_calls, polls, reads, writes, accepts, .. } = sim.core().stats();
    system_calls - polls - reads - writes - accepts
}

#[test]
fn what_was_written_is_read_then_the_end_and_the_answer_still_comes() {
    for link in Link::ALL {
        let mut sim = Simulation::new(1);
        let (a, b) = link.ends(&mut sim);
        let calls = other_calls(&mut sim);
        a.write(&mut sim, &pattern(100_000));
        shut_down(&mut sim, &a);
        settle(&mut sim, TURNS);
        let heard = b.log.take();
        assert!(heard.got == pattern(100_000), "{link:?}: {} bytes", heard.got.len());
        assert_eq!(heard.events, [END_OF_STREAM], "{link:?}");
        shut_down(&mut sim, &a);
        let flushed = a.bev(&mut sim).flush(WRITE, FlushMode::Flush);
        assert_eq!(flushed, Ok(()), "{link:?}");
        b.write(&mut sim, &pattern(50_000));
        settle(&mut sim, TURNS);
        let heard = a.log.take();
        assert!(heard.got == pattern(50_000), "{link:?}: {} bytes", heard.got.len());
        assert_eq!((heard.writes, heard.events), (0, vec![]), "{link:?}");
        let sockets = matches!(link, Link::Sockets | Link::OverSockets(_));
        assert_eq!(other_calls(&mut sim) - calls, u64::from(sockets), "{link:?}: one shutdown");
    }
}

#[test]
fn when_both_have_ended_nothing_closes_before_it_is_told_to() {
    for link in Link::ALL {
        let mut sim = Simulation::new(2);
        let (a, b) = link.ends(&mut sim);
        for end in [&a, &b] {
            shut_down(&mut sim, end);
            settle(&mut sim, TURNS);
        }
        for end in [&a, &b] {
            assert_eq!(end.log.borrow().events, [END_OF_STREAM], "{link:?}");
            let bev = end.bev(&mut sim);
            assert_eq!((bev.is_enabled(READ), bev.is_enabled(WRITE)), (false, false));
        }
        for end in [&a, &b] {
            end.bev(&mut sim).close();
            sim.turn();
        }
        let stats = sim.core().stats();
        let left = (stats.connections, stats.pair_ends, stats.filters, stats.timers);
        assert_eq!(left, (0, 0, 0, 0), "{link:?}: nothing is waited for");
        assert_eq!((a.log.borrow().events.len(), b.log.borrow().events.len()), (1, 1), "{link:?}");
    }
}

/// Notes whether an error says that writing was ended before.
struct TooLate(Sender<(EventFlags, bool)>);

impl Handler for TooLate {
    fn on_event(&mut self, _: &mut Context<'_>, event: Event) {
        let source = event.error.as_ref().and_then(|error| error.get_ref());
        let late = source.is_some_and(|source| source.is::<WriteEnded>());
        self.0.send((event.flags, late)).expect("the test waits");
    }
}

#[test]
fn output_that_comes_too_late_is_discarded_and_told() {
    for link in Link::ALL {
        let mut sim = Simulation::new(3);
        let (a, b) = link.ends(&mut sim);
        let (told, tells) = mpsc::channel();
        a.bev(&mut sim).set_handler(TooLate(told)).expect("it is on top");
        a.write(&mut sim, b"in time");
        shut_down(&mut sim, &a);
        for _ in 0..2 {
            a.write(&mut sim, b"too late");
            let mut bev = a.bev(&mut sim);
            bev.enable(WRITE);
            drop(bev);
            settle(&mut sim, TURNS);
            assert_eq!(tells.try_iter().collect::<Vec<_>>(), [(WRITE_ERROR, true)], "{link:?}");
        }
        assert_eq!(b.log.borrow().got, b"in time", "{link:?}");
        assert_eq!(b.log.borrow().events, [END_OF_STREAM], "{link:?}");
    }
}

#[test]
fn a_limit_holds_the_end_back_with_the_bytes() {
    for link in Link::ALL {
        let mut sim = Simulation::new(4);
        let (a, b) = link.ends(&mut sim);
        let limit = per_second(10_000).with_burst(1000).expect("valid");
        a.bev(&mut sim).set_rate_limit(Some(limit));
        a.write(&mut sim, &pattern(20_000));
        shut_down(&mut sim, &a);
        sim.run_for(ms(1800));
        assert!(b.log.borrow().got.len() < 20_000 && b.log.borrow().events.is_empty(), "{link:?}");
        sim.run_for(ms(400));
        assert!(b.log.borrow().got == pattern(20_000), "{link:?}");
        assert_eq!(b.log.borrow().events, [END_OF_STREAM], "{link:?}");
    }
}

#[test]
fn a_close_that_follows_at_once_takes_no_end_away() {
    for link in Link::ALL {
        for reads_later in [false, true] {
            let mut sim = Simulation::new(5);
            let (a, b) = link.ends(&mut sim);
            b.bev(&mut sim).set_read_watermark(0, usize::from(reads_later) * 100);
            b.log.borrow_mut().keeps = reads_later;
            let mut bev = a.bev(&mut sim);
            bev.output().add(&pattern(70_000));
            bev.shutdown_write();
            bev.close();
            drop(bev);
            settle(&mut sim, TURNS);
            b.log.borrow_mut().keeps = false;
            b.bev(&mut sim).set_read_watermark(0, 0);
            let got = b.take(&mut sim, usize::MAX);
            settle(&mut sim, TURNS);
            let heard = b.log.take();
            let all = [got, heard.got].concat();
            assert!(all == pattern(70_000), "{link:?}, later: {reads_later}: {}", all.len());
            assert_eq!(heard.events, [END_OF_STREAM], "{link:?}, later: {reads_later}");
        }
    }
}

#[test]
fn a_filter_is_finished_and_everything_flushed_before_the_end() {
    for sockets in [false, true] {
        let mut sim = Simulation::new(6);
        let link = if sockets { Link::Sockets } else { Link::Pair };
        let (a, b) = link.ends(&mut sim);
        let options = FilterOptions::new().tell_flushed(true);
        let lower = sim.core().filter(a.id, Trailer(b" and all."), options).expect("it is open");
        let top = sim.core().filter(lower, Lazy, options).expect("it is open");
        let top = End { id: top, log: a.log };
        top.write(&mut sim, b"held back");
        settle(&mut sim, TURNS);
        assert_eq!(b.log.borrow().got, b"");
        shut_down(&mut sim, &top);
        settle(&mut sim, TURNS);
        assert_eq!(b.log.borrow().got, b"held back and all.", "sockets: {sockets}");
        assert_eq!(b.log.borrow().events, [END_OF_STREAM], "sockets: {sockets}");
        assert_eq!((top.log.borrow().flushed, top.log.borrow().events.len()), (1, 0));
        assert_eq!(top.bev(&mut sim).underlying(), Some(lower), "nothing was released");
    }
}

#[test]
fn a_filter_put_over_it_later_reads_and_refuses_output() {
    for link in [Link::Sockets, Link::Pair] {
        let mut sim = Simulation::new(7);
        let (a, b) = link.ends(&mut sim);
        shut_down(&mut sim, &a);
        settle(&mut sim, TURNS);
        let top = over(&mut sim, &a, Trailer(b"nobody reads this"));
        b.write(&mut sim, b"answer");
        settle(&mut sim, TURNS);
        assert_eq!(
            (top.log.borrow().got.as_slice(), top.log.borrow().events.len()),
            (&b"answer"[..], 0)
        );
        top.write(&mut sim, b"too late");
        settle(&mut sim, TURNS);
        assert_eq!(top.log.borrow().events, [WRITE_ERROR]);
        assert_eq!(top.log.borrow().errors, [ErrorKind::BrokenPipe]);
        assert_eq!(b.log.borrow().got, b"");
    }
}

#[test]
fn a_filter_put_over_it_that_closes_lets_what_still_waits_below_be_written() {
    for link in [Link::Sockets, Link::Pair] {
        let mut sim = Simulation::new(16);
        let (a, b) = link.ends(&mut sim);
        b.bev(&mut sim).set_read_watermark(0, 10);
        b.log.borrow_mut().keeps = true;
        a.write(&mut sim, &pattern(400_000));
        shut_down(&mut sim, &a);
        let top = over(&mut sim, &a, Swap);
        settle(&mut sim, TURNS);
        top.bev(&mut sim).close();
        settle(&mut sim, TURNS);
        b.log.borrow_mut().keeps = false;
        b.bev(&mut sim).set_read_watermark(0, 0);
        let first = b.take(&mut sim, usize::MAX);
        settle(&mut sim, TURNS);
        let heard = b.log.take();
        assert!([first, heard.got].concat() == pattern(400_000), "{link:?}");
        assert_eq!(heard.events, [END_OF_STREAM], "{link:?}");
    }
}

#[test]
fn one_that_ends_below_a_filter_fails_what_the_filter_puts_out() {
    let mut sim = Simulation::new(8);
    let (a, b) = Link::Pair.ends(&mut sim);
    let top = over(&mut sim, &a, Swap);
    shut_down(&mut sim, &a);
    settle(&mut sim, TURNS);
    assert_eq!((top.log.borrow().events.len(), b.log.borrow().events.len()), (0, 1));
    top.write(&mut sim, b"too late");
    settle(&mut sim, TURNS);
    assert_eq!(top.log.borrow().events, [WRITE_ERROR]);
    b.write(&mut sim, &[!7; 3]);
    settle(&mut sim, TURNS);
    assert_eq!(top.log.borrow().got, [7; 3], "reading goes on");
}

#[test]
fn a_connection_that_is_being_made_ends_writing_when_it_is() {
    let mut sim = Simulation::new(9);
    let addr = sim.listen("10.0.0.9:80".parse().expect("an address")).expect("it is free");
    let (handler, log) = Noting::new();
    let id = sim.core().connect(addr, handler).expect("it is simulated");
    let mut bev = sim.core().get(id).expect("it is open");
    bev.output().add(b"request");
    bev.shutdown_write();
    drop(bev);
    let mut peer = None;
    assert!(sim.run_until(LIMIT, |sim| {
        peer = peer.or_else(|| sim.accept(addr));
        peer.is_some()
    }));
    let peer = peer.expect("it was accepted");
    let mut got = Vec::new();
    assert!(sim.run_until(LIMIT, |sim| {
        got.extend(sim.read(peer));
        sim.is_eof(peer)
    }));
    assert_eq!(got, b"request");
    sim.write(peer, b"answer");
    assert!(sim.run_until(LIMIT, |_| log.borrow().got == b"answer"));
    assert_eq!(log.borrow().events, [EventFlags::CONNECTED]);
}

#[test]
fn a_peer_that_is_gone_is_told_as_an_error_of_writing() {
    let mut world = World::new(10);
    let both = world.connect();
    let (handler, log) = Noting::new();
    let mut bev = world.bev(both);
    bev.set_handler(handler).expect("no filter stands over it");
    // Nobody reads, so nobody learns of the reset before the end is to be sent.
    bev.disable(READ);
    drop(bev);
    world.sim.reset(both.peer);
    world.sim.run_for(ms(50));
    world.bev(both).shutdown_write();
    world.sim.run_for(ms(50));
    assert_eq!(log.borrow().events, [WRITE_ERROR]);
    assert_eq!(log.borrow().errors, [ErrorKind::NotConnected]);
}

#[test]
fn the_write_timeout_bounds_what_waits_and_can_be_waited_out() {
    let mut sim = Simulation::new(11);
    let (a, b) = Link::Pair.ends(&mut sim);
    b.bev(&mut sim).set_read_watermark(0, 10);
    b.log.borrow_mut().keeps = true;
    a.bev(&mut sim).set_timeout(WRITE, Some(Duration::from_millis(100)));
    a.write(&mut sim, &pattern(30));
    shut_down(&mut sim, &a);
    sim.run_for(ms(150));
    assert_eq!(a.log.borrow().events, [EventFlags::WRITING | EventFlags::TIMEOUT]);
    a.bev(&mut sim).enable(WRITE);
    b.log.borrow_mut().keeps = false;
    let first = b.take(&mut sim, usize::MAX);
    settle(&mut sim, TURNS);
    assert_eq!([first, b.log.take().got].concat(), pattern(30));
    sim.run_for(ms(500));
    assert_eq!(a.log.borrow().events.len(), 1, "the timeout stops with writing");
}

/// An end of a pair, a filter over it through which 30 bytes and the end of writing have passed,
/// and the other end, which keeps what it reads and takes 10.
fn ended_behind_a_slow_reader(sim: &mut Simulation) -> (End, End, End) {
    let (a, b) = Link::Pair.ends(sim);
    b.bev(sim).set_read_watermark(0, 10);
    b.log.borrow_mut().keeps = true;
    let top = over(sim, &a, Swap);
    top.write(sim, &[7; 30]);
    shut_down(sim, &top);
    settle(sim, TURNS);
    (a, top, b)
}

#[test]
fn a_flush_after_the_end_moves_what_still_waits_below() {
    let mut sim = Simulation::new(12);
    let (_, top, b) = ended_behind_a_slow_reader(&mut sim);
    assert!(!top.bev(&mut sim).is_enabled(WRITE), "everything is below");
    assert_eq!(b.input(&mut sim).len(), 10);
    top.bev(&mut sim).flush(WRITE, FlushMode::Flush).expect("the partner is there");
    settle(&mut sim, TURNS);
    assert_eq!(b.input(&mut sim), [!7; 30]);
    assert_eq!(b.log.borrow().events, [], "the end is read when there is room to read");
    b.take(&mut sim, 21);
    settle(&mut sim, TURNS);
    assert_eq!(b.log.borrow().events, [END_OF_STREAM]);
}

#[test]
fn an_end_asked_for_with_the_close_passes_a_filter_that_is_finished_already() {
    let mut sim = Simulation::new(14);
    let (a, b) = Link::Pair.ends(&mut sim);
    let top = over(&mut sim, &a, Swap);
    top.bev(&mut sim).flush(WRITE, FlushMode::Finished).expect("the partner is there");
    settle(&mut sim, TURNS);
    assert_eq!(b.log.take().events, [END_OF_STREAM], "of the flush, which ends nothing");
    let mut bev = top.bev(&mut sim);
    bev.shutdown_write();
    bev.close();
    drop(bev);
    settle(&mut sim, TURNS);
    assert_eq!(b.log.borrow().events, [END_OF_STREAM]);
    assert!(!b.bev(&mut sim).is_enabled(READ));
}

#[test]
fn one_that_is_given_back_by_a_filter_hears_no_more_of_room() {
    let mut sim = Simulation::new(13);
    let (a, top, b) = ended_behind_a_slow_reader(&mut sim);
    assert_eq!(top.bev(&mut sim).release(), Some(a.id));
    b.bev(&mut sim).set_read_watermark(0, 0);
    b.write(&mut sim, b"answer");
    settle(&mut sim, TURNS);
    assert_eq!(b.log.borrow().events, [END_OF_STREAM]);
    assert_eq!((a.log.borrow().got.as_slice(), a.log.borrow().writes), (&b"answer"[..], 0));
}

#[test]
fn a_filter_stays_until_what_was_written_before_the_end_has_passed_it() {
    for link in [Link::OverSockets(1), Link::OverPair(1)] {
        let mut sim = Simulation::new(1);
        let (a, b) = link.ends(&mut sim);
        a.bev(&mut sim).set_rate_limit(Some(per_tick(10, 10, Duration::from_secs(3600))));
        a.write(&mut sim, &pattern(100));
        shut_down(&mut sim, &a);
        settle(&mut sim, TURNS);
        assert_eq!(a.bev(&mut sim).release(), None, "{link:?}: the peer would take 10 for whole");
        a.bev(&mut sim).set_rate_limit(None);
        settle(&mut sim, TURNS);
        assert!(a.bev(&mut sim).release().is_some(), "{link:?}");
        settle(&mut sim, TURNS);
        let heard = b.log.take();
        assert_eq!((heard.got, heard.events), (pattern(100), vec![END_OF_STREAM]), "{link:?}");
    }
}

#[test]
fn one_without_a_socket_ends_the_one_it_gets_and_the_next_can_be_written_to() {
    let mut sim = Simulation::new(15);
    let (handler, log) = Noting::new();
    let id = sim.core().unconnected(handler);
    let end = End { id, log };
    let top = over(&mut sim, &end, Trailer(b" and over"));
    top.write(&mut sim, b"early");
    shut_down(&mut sim, &top);
    settle(&mut sim, TURNS);
    let (socket, peer) = sim.socket("10.0.0.9:4000".parse().expect("an address"));
    top.bev(&mut sim).set_socket(socket).expect("it has none yet");
    settle(&mut sim, TURNS);
    assert_eq!(sim.read(peer), b"early and over");
    assert!(sim.is_eof(peer));

    let id = sim.core().unconnected(());
    for text in [b"first", b"later"] {
        let (socket, peer) = sim.socket("10.0.0.9:4000".parse().expect("an address"));
        let mut bev = sim.core().get(id).expect("it is open");
        bev.set_socket(socket).expect("it takes any");
        bev.output().add(text);
        bev.shutdown_write();
        drop(bev);
        settle(&mut sim, TURNS);
        assert_eq!(sim.read(peer), text);
        assert!(sim.is_eof(peer));
    }
}

/// Answers at length and ends writing, and reports what comes after that.
struct Answer(Sender<Vec<u8>>);

impl Handler for Answer {
    fn on_read(&mut self, cx: &mut Context<'_>) {
        let mut me = cx.me();
        let mut bytes = vec![0; me.input().len()];
        me.input().remove(&mut bytes);
        if bytes == b"request" {
            me.output().add(&pattern(3_000_000));
            me.shutdown_write();
        } else {
            self.0.send(bytes).expect("the test waits");
        }
    }
}

#[test]
fn a_real_peer_reads_the_end_and_is_still_heard() {
    let (heard, hears) = mpsc::channel();
    let server = Server::start(1, move |_| Answer(heard.clone()));
    let mut client = server.connect();
    client.write_all(b"request").expect("the server reads");
    assert!(read_to_end(&mut client) == pattern(3_000_000));
    client.write_all(b"thanks").expect("only one side has ended");
    assert_eq!(receive(&hears), b"thanks");
    assert_eq!(server.sum(|core| core.connections), 1);
    client.shutdown(Shutdown::Write).expect("it is connected");
    eventually("both have ended", || server.sum(|core| core.connections) == 0);
}
