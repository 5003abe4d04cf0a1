//! What the seed presupposes of every bufferevent: marks, timeouts, triggers, and who it is.
//!
//! One test for an entry of the row "watermarks, timeouts, connect, trigger" of its last table,
//! named for libevent's functions, and one for the half close, which libevent lacks. What happens
//! at the edges stands in `trigger.rs`, `half_close.rs` and `high_water.rs`.

use std::sync::mpsc;

use sluicegate::sim::Simulation;
use sluicegate::{EventFlags, FlushMode, PairOptions, Suspend, Trigger};

use super::rig::ends::{End, Link, Noting, keeping, settle};
use super::rig::sim::{LIMIT, ms};
use super::rig::{Server, pattern, receive};
use super::{READ, WRITE};

/// Turns in which anything here must have settled.
const TURNS: usize = 5000;

/// Two ends of every kind.
fn every_kind(mut check: impl FnMut(&mut Simulation, End, End)) {
    for link in Link::ALL {
        let mut sim = Simulation::new(1);
        let (a, b) = link.ends(&mut sim);
        check(&mut sim, a, b);
    }
}

/// `bufferevent_setwatermark`, `bufferevent_getwatermark`: the read callback waits for the low
/// mark, reading rests at the high one; the write callback comes at the low mark, and, beyond
/// libevent, an event at the high one. The defaults are none.
#[test]
fn bufferevent_setwatermark_and_getwatermark() {
    every_kind(|sim, a, b| {
        let bev = a.bev(sim);
        assert_eq!((bev.read_watermark(), bev.write_watermark()), ((0, 0), (0, 0)));
        assert_eq!(bev.max_output(), 1 << 20);
        drop(bev);
        b.bev(sim).set_read_watermark(10, 20);
        b.log.borrow_mut().keeps = true;
        a.bev(sim).set_write_watermark(100, 10_000);
        a.bev(sim).set_max_output(5_000_000);
        assert_eq!(b.bev(sim).read_watermark(), (10, 20));
        assert_eq!(a.bev(sim).write_watermark(), (100, 10_000));
        assert_eq!(a.bev(sim).max_output(), 5_000_000);
        a.write(sim, &[7; 9]);
        settle(sim, TURNS);
        assert_eq!(b.log.borrow().reads, []);
        a.write(sim, &pattern(4_000_000));
        settle(sim, TURNS);
        assert_eq!(b.log.borrow().reads, [20]);
        assert_eq!(a.log.borrow().events, [EventFlags::HIGH_WATER]);
        let writes = a.log.borrow().writes;
        b.log.borrow_mut().keeps = false;
        b.bev(sim).set_read_watermark(0, 0);
        let mut got = b.take(sim, 20).len();
        sim.run_until(LIMIT, |_| b.log.borrow().got.len() + got == 4_000_009);
        got += b.log.borrow().got.len();
        assert_eq!((got, a.log.borrow().writes), (4_000_009, writes + 1));
    });
}

/// `bufferevent_set_timeouts`: the time the peer has to act in a direction; then a TIMEOUT event
/// names the direction, which is disabled. No duration removes it.
#[test]
fn bufferevent_set_timeouts() {
    every_kind(|sim, a, b| {
        a.bev(sim).set_timeout(READ, Some(ms(100)));
        b.bev(sim).set_timeout(READ, Some(ms(100)));
        assert_eq!(a.bev(sim).timeout(READ), Some(ms(100)));
        assert_eq!(a.bev(sim).timeout(WRITE), None);
        b.bev(sim).set_timeout(READ, None);
        assert_eq!(b.bev(sim).timeout(READ), None);
        sim.run_for(ms(60));
        b.write(sim, b"in time");
        sim.run_for(ms(60));
        assert_eq!(a.log.borrow().events, []);
        sim.run_for(ms(60));
        assert_eq!(a.log.borrow().events, [EventFlags::READING | EventFlags::TIMEOUT]);
        assert!(!a.bev(sim).is_enabled(READ) && a.bev(sim).is_enabled(WRITE));
        sim.run_for(ms(500));
        assert_eq!((a.log.borrow().events.len(), b.log.borrow().events.len()), (1, 0));

        // Writing, the peer has to take what waits: far more than anything on the way holds.
        b.bev(sim).disable(READ);
        a.bev(sim).set_timeout(WRITE, Some(ms(100)));
        sim.run_for(ms(500));
        assert_eq!(a.log.take().events.len(), 1, "nothing waits");
        a.write(sim, &pattern(8 << 20));
        sim.run_for(ms(500));
        assert_eq!(a.log.borrow().events, [EventFlags::WRITING | EventFlags::TIMEOUT]);
        assert_eq!(a.bev(sim).suspended(WRITE) & Suspend::USER, Suspend::USER);
    });
}

/// `bufferevent_trigger`, `bufferevent_trigger_event`: callbacks the application asks for, deferred
/// like all others; marks are heeded unless told not to.
#[test]
fn bufferevent_trigger_and_trigger_event() {
    every_kind(|sim, a, b| {
        b.bev(sim).set_read_watermark(1, 0);
        let mut bev = b.bev(sim);
        bev.trigger(READ, Trigger::IfDue).expect("it is on top");
        bev.trigger(WRITE, Trigger::IfDue).expect("it is on top");
        bev.trigger_event(EventFlags::WRITING | EventFlags::EOF).expect("it is on top");
        drop(bev);
        assert_eq!(b.log.borrow().writes, 0, "not within the call");
        settle(sim, TURNS);
        let heard = b.log.take();
        assert_eq!((heard.reads, heard.writes), (vec![], 1));
        assert_eq!(heard.events, [EventFlags::WRITING | EventFlags::EOF]);
        b.bev(sim).trigger(READ, Trigger::Always).expect("it is on top");
        settle(sim, TURNS);
        assert_eq!(b.log.take().reads, [0]);
        assert_eq!(a.log.take().events, []);
    });
}

/// A half close, which libevent's bufferevents lack: what was written arrives, then the end, and
/// the answer still comes; writing does not come back.
#[test]
fn half_close() {
    every_kind(|sim, a, b| {
        a.write(sim, b"question");
        a.bev(sim).shutdown_write();
        settle(sim, TURNS);
        assert_eq!(b.log.borrow().got, b"question");
        assert_eq!(b.log.borrow().events, [EventFlags::READING | EventFlags::EOF]);
        a.bev(sim).enable(WRITE);
        assert!(!a.bev(sim).is_enabled(WRITE) && a.bev(sim).is_enabled(READ));
        b.write(sim, b"answer");
        settle(sim, TURNS);
        assert_eq!((a.log.borrow().got.as_slice(), a.log.borrow().writes), (&b"answer"[..], 0));
        a.write(sim, b"!");
        settle(sim, TURNS);
        assert_eq!(a.log.borrow().events, [EventFlags::WRITING | EventFlags::ERROR]);
    });
}

/// `bufferevent_enable`, `bufferevent_disable`, `bufferevent_get_enabled`: per direction; enabling
/// writing with nothing to write calls the write callback once. Both run from the start.
#[test]
fn bufferevent_enable_disable_and_get_enabled() {
    every_kind(|sim, a, b| {
        assert!([READ, WRITE].iter().all(|&way| a.bev(sim).is_enabled(way)));
        a.bev(sim).disable(WRITE);
        b.bev(sim).disable(READ);
        assert_eq!([READ, WRITE].map(|way| a.bev(sim).is_enabled(way)), [true, false]);
        a.write(sim, b"waits");
        settle(sim, TURNS);
        assert_eq!(a.bev(sim).output().len(), 5);
        a.bev(sim).enable(WRITE);
        settle(sim, TURNS);
        assert_eq!(b.log.borrow().reads, []);
        b.bev(sim).enable(READ);
        settle(sim, TURNS);
        assert_eq!((b.log.borrow().got.as_slice(), a.log.borrow().writes), (&b"waits"[..], 1));
        a.bev(sim).enable(WRITE);
        settle(sim, TURNS);
        assert_eq!(a.log.borrow().writes, 2);
    });
}

/// `bufferevent_setcb`, with NULL too: a handler is replaced; `()` stands for none, and discards
/// what comes in. `bufferevent_get_base` is `core`.
#[test]
fn bufferevent_setcb_and_get_base() {
    every_kind(|sim, a, b| {
        assert_eq!(b.bev(sim).core().index(), 0);
        b.bev(sim).set_handler(()).expect("it is on top");
        a.write(sim, b"unheard");
        settle(sim, TURNS);
        assert!(b.bev(sim).input().is_empty() && b.log.borrow().reads.is_empty());
    });
}

/// `bufferevent_flush` returns whether there is anybody; `bufferevent_get_underlying`,
/// `bufferevent_getfd`: here the bufferevent below, and the addresses of the socket at the bottom.
#[test]
fn bufferevent_get_underlying_and_addresses() {
    every_kind(|sim, a, b| {
        a.bev(sim).flush(WRITE, FlushMode::Normal).expect("the partner is there");
        let [(a_local, a_peer), (b_local, b_peer)] = [&a, &b].map(|end| {
            let mut bev = end.bev(sim);
            (bev.local_addr(), bev.peer_addr())
        });
        assert_eq!((a_local, a_peer), (b_peer, b_local));
        let mut lowest = a.id;
        while let Some(below) = sim.core().get(lowest).expect("it is open").underlying() {
            lowest = below;
        }
        let has_socket = sim.core().get(lowest).expect("it is open").partner().is_none();
        assert_eq!((a_local.is_some(), a_local != b_local), (has_socket, has_socket));
    });
}

/// `bufferevent_socket_connect`: the connection is being made until CONNECTED comes; what is asked
/// of a bufferevent meanwhile holds afterwards.
#[test]
fn bufferevent_socket_connect() {
    let mut sim = Simulation::new(9);
    let addr = sim.listen("10.0.0.9:80".parse().expect("an address")).expect("it is free");
    let (handler, log) = Noting::new();
    let id = sim.core().connect(addr, handler).expect("it is simulated");
    let end = End { id, log };
    end.write(&mut sim, b"early");
    assert!(end.bev(&mut sim).is_connecting());
    assert_eq!(end.bev(&mut sim).suspended(WRITE), Suspend::CONNECTING);
    assert!(sim.run_until(LIMIT, |_| !end.log.borrow().events.is_empty()));
    assert_eq!(end.log.borrow().events, [EventFlags::CONNECTED]);
    assert!(!end.bev(&mut sim).is_connecting());
    assert_eq!(end.bev(&mut sim).peer_addr(), Some(addr));
    let peer = sim.accept(addr).expect("it has connected");
    assert!(sim.run_until(LIMIT, |sim| sim.read(peer) == b"early"));
    let (kept, _) = keeping(&mut sim, PairOptions::new());
    assert!(!kept.bev(&mut sim).is_connecting(), "a pair is joined from the start");
}

/// The addresses of a real socket are those its peer sees.
#[test]
fn addresses_of_a_real_socket() {
    let (made, addresses) = mpsc::channel();
    let server = Server::start(1, move |conn| {
        made.send((conn.local_addr(), conn.peer_addr())).expect("the test waits");
    });
    let client = server.connect();
    assert_eq!(receive(&addresses), (Some(server.addr), client.local_addr().ok()));
}
