//! Leaving a core: what cannot go or is not taken says why and is whole; what goes leaves nothing
//! behind; what is dropped on the way is closed.

use std::rc::Rc;

use sluicegate::sim::Held;
use sluicegate::{
    AttachRefusal, BevMut, Context, DetachError, EventFlags, FilterOptions, Handler, ListenOptions,
    NotAttached, PairOptions, Shutdown, SocketError,
};

use super::rig::Echo;
use super::rig::ends::{End, Noting, over, taking};
use super::rig::filter::Swap;
use super::rig::sim::{ADDR, LIMIT, connect, ms};
use super::{adopted, attach, calm, detach, far, moved};

#[test]
fn what_cannot_leave_says_why_and_stays() {
    let mut sim = calm(2);
    let (end, peer) = adopted(&mut sim);
    let refused = sim.core_at(1).detach(end.id).expect_err("it is elsewhere");
    assert!(matches!(refused, DetachError::Elsewhere { id, core: 0 } if id == end.id));

    let (a, b) = taking(&mut sim, PairOptions::new());
    let top = over(&mut sim, &a, Swap);
    for id in [b.id, top.id] {
        let refused = sim.core().detach(id).expect_err("it is in memory");
        assert!(matches!(refused, DetachError::InMemory), "{refused}");
    }

    let silent = "10.0.0.77:1".parse().expect("valid");
    sim.silence(silent);
    let connecting = sim.core().connect(silent, ()).expect("simulated");
    let over_it = sim.core().filter(connecting, Swap, FilterOptions::new()).expect("it is open");
    let dialing = sim.core().unconnected(());
    let mut bev = sim.core().get(dialing).expect("it is open");
    bev.connect_host("nowhere.test", 80).expect("it is a host");
    drop(bev);
    for id in [over_it, dialing] {
        let refused = sim.core().detach(id).expect_err("it is not connected");
        assert!(matches!(refused, DetachError::Connecting), "{refused}");
    }

    let (under, _) = adopted(&mut sim);
    let top = over(&mut sim, &under, Swap);
    let refused = sim.core().detach(under.id).expect_err("a filter stands over it");
    assert!(matches!(refused, DetachError::Taken(taken) if taken.0 == top.id));

    let (closing, _) = adopted(&mut sim);
    closing.write(&mut sim, b"left");
    closing.bev(&mut sim).close();
    under.bev(&mut sim).close();
    for (id, closed) in [(closing.id, closing.id), (top.id, under.id)] {
        let refused = sim.core().detach(id).expect_err("it closes");
        assert!(matches!(refused, DetachError::NotOpen(id) if id == closed), "{refused}");
    }
    let gone = moved(&mut sim, &end, 1);
    let refused = sim.core().detach(end.id).expect_err("it is gone");
    assert!(matches!(refused, DetachError::NotOpen(id) if id == end.id));

    sim.write(peer, b"still there");
    sim.run_for(ms(1));
    assert_eq!(gone.log.borrow().got, b"still there");
}

#[test]
fn a_connection_that_could_not_be_made_may_go_and_is_tried_elsewhere() {
    let mut sim = calm(2);
    let (handler, log) = Noting::new();
    let id = sim.core().connect(far(), handler).expect("refused later");
    let end = End { id, log };
    end.write(&mut sim, b"for whoever listens");
    sim.run_for(ms(5));
    assert_eq!(end.log.take().events, [EventFlags::ERROR]);
    let end = moved(&mut sim, &end, 1);
    sim.run_for(ms(5));
    assert!(end.log.borrow().events.is_empty(), "it was told already");
    let listener = sim.listen(far()).expect("it is free");
    end.bev(&mut sim).connect(listener).expect("it is simulated");
    sim.run_for(ms(5));
    assert_eq!(end.log.borrow().events, [EventFlags::CONNECTED]);
    let peer = sim.accept(listener).expect("it is connected");
    assert_eq!(sim.read(peer), b"for whoever listens");
}

/// Tries to leave when it is told that the core drains.
struct Stubborn(Rc<std::cell::Cell<bool>>);

impl Handler for Stubborn {
    fn on_drain(&mut self, cx: &mut Context<'_>) {
        let refused = cx.detach().expect_err("the core drains");
        self.0.set(matches!(refused, DetachError::Draining { core: 0 }));
        cx.me().close();
    }
}

#[test]
fn a_core_that_drains_keeps_what_it_has_and_takes_what_is_under_way() {
    let mut sim = calm(2);
    let was_refused = Rc::default();
    let (socket, _) = sim.socket(far());
    sim.core().adopt(socket, Stubborn(Rc::clone(&was_refused))).expect("it is connected");
    let (end, peer) = adopted(&mut sim);
    end.write(&mut sim, b"written there");
    let detached = detach(&mut sim, end.id);
    let handle = sim.core().handle();
    handle.shutdown(Shutdown::Drain);
    let pending = handle.attach(1, detached, |_| Echo).expect("the core runs");
    sim.run_for(ms(5));
    assert!(was_refused.get());
    assert_eq!(pending.wait().expect("it was taken").core(), 1);
    assert_eq!(sim.read(peer), b"written there");
    assert!(sim.is_eof(peer) && sim.is_stopped());
    assert_eq!(sim.core_at(1).stats().drained, 1);
}

#[test]
fn a_core_that_ends_or_has_ended_gives_a_connection_back() {
    let mut sim = calm(3);
    let (end, peer) = adopted(&mut sim);
    let handle = sim.core().handle();
    // It has been told to end by the time it gets it.
    handle.submit_to(2, |core| core.handle().shutdown(Shutdown::Now)).expect("it runs");
    let (keeper, _kept) = adopted(&mut sim);
    let detached = detach(&mut sim, end.id);
    let pending = handle.attach(5, detached, |_| Echo).expect_err("there is no such core");
    assert!(matches!(pending.reason, AttachRefusal::Stopped(it) if it.core == 5));
    let text = pending.to_string();
    assert!(text.contains("given back") && text.contains("core 5"), "{text}");
    sim.run_for(ms(5));
    assert!(sim.is_stopped(), "all were told");
    let refused = handle.attach(1, pending.detached, |_| Echo).expect_err("it has stopped");
    let refused = sim.core_at(1).attach(refused.detached, ()).expect_err("it has stopped");
    assert!(matches!(refused.reason, AttachRefusal::Stopped(it) if it.core == 1));
    assert!(!sim.is_eof(peer) && !sim.is_reset(peer), "it is still whole");
    let mut other = calm(1);
    let refused = other.core().attach(refused.detached, ()).expect_err("another network");
    assert!(matches!(refused.reason, AttachRefusal::Driver(_)), "{refused}");
    assert_eq!(other.held(), Held::default());
    sim.run_for(ms(5));
    assert!(!sim.is_eof(peer) && !sim.is_reset(peer), "it is still whole");
    drop(refused);
    sim.run_for(ms(5));
    assert!(sim.is_eof(peer));
    drop(keeper);
}

#[test]
fn a_message_that_a_core_never_reads_gives_its_connection_back() {
    let mut sim = calm(2);
    let (end, peer) = adopted(&mut sim);
    let detached = detach(&mut sim, end.id);
    let handle = sim.core().handle();
    let pending = handle.attach(1, detached, |_| Echo).expect("the core runs");
    let pending = pending.try_wait().expect_err("it has not had a turn");
    drop(sim);
    let refused = pending.wait().expect_err("the core is gone");
    let NotAttached::Refused(refused) = refused else { panic!("{refused}") };
    assert!(matches!(refused.reason, AttachRefusal::Stopped(it) if it.core == 1));
    assert_eq!(refused.detached.peer_addr(), Some(far()));
    let _ = peer;
}

#[test]
fn one_that_is_dropped_on_the_way_is_closed_and_cut_short_by_a_reset() {
    for (output, filtered) in [(false, false), (true, false), (false, true), (true, true)] {
        let mut sim = calm(1);
        let (mut end, peer) = adopted(&mut sim);
        if filtered {
            end = over(&mut sim, &end, Swap);
        }
        if output {
            end.write(&mut sim, b"never written");
        }
        let detached = detach(&mut sim, end.id);
        sim.run_for(ms(5));
        assert!(!sim.is_eof(peer) && !sim.is_reset(peer));
        drop(detached);
        sim.run_for(ms(5));
        assert_eq!((sim.is_eof(peer), sim.is_reset(peer)), (!output, output), "{filtered}");
        assert_eq!(sim.held(), Held::default());
    }
}

#[test]
fn what_has_left_leaves_nothing_behind() {
    let mut sim = calm(2);
    let (end, peer) = adopted(&mut sim);
    end.bev(&mut sim).set_timeout(sluicegate::Direction::Read, Some(LIMIT));
    let middle = over(&mut sim, &end, Swap);
    let top = over(&mut sim, &middle, Swap);
    sim.run_for(ms(1));
    let detached = detach(&mut sim, top.id);
    for id in [end.id, top.id] {
        assert!(sim.core().get(id).is_none(), "its name finds nothing at once");
    }
    sim.run_for(ms(1));
    assert_eq!(sim.held(), Held::default());
    assert_eq!(Rc::strong_count(&end.log), 3, "those of the test: the handler is gone");
    let mut top = attach(&mut sim, detached, 1, &top);
    let logs = Rc::strong_count(&end.log);
    for round in 0..1_000 {
        top = moved(&mut sim, &top, round % 2);
        sim.run_for(ms(1));
    }
    assert_eq!((sim.held().slots, sim.held().timers), (3, 1));
    assert_eq!(Rc::strong_count(&end.log), logs, "one handler");
    sim.write(peer, b"around");
    sim.run_for(ms(1));
    assert_eq!(top.log.borrow().got, b"around");
}

#[test]
fn a_listener_does_not_count_who_has_left() {
    let mut sim = calm(2);
    let options = ListenOptions::new().max_connections(1);
    let (made, ids) = std::sync::mpsc::channel();
    let factory = move |conn: &mut BevMut<'_>| made.send(conn.id()).expect("the test waits");
    let listener = sim.core().listen(ADDR, options, factory).expect("the address is free");
    connect(&mut sim, listener.local_addr(), 2);
    sim.run_for(ms(5));
    let first = ids.try_recv().expect("one was accepted");
    assert!(ids.try_recv().is_err(), "there is room for one");
    let detached = detach(&mut sim, first);
    sim.core_at(1).attach(detached, ()).expect("it is taken");
    sim.run_for(ms(5));
    ids.try_recv().expect("the next was accepted");
}

#[test]
fn a_factory_may_send_a_connection_away_at_once() {
    let mut sim = calm(2);
    let factory = |conn: &mut BevMut<'_>| {
        let id = conn.id();
        let detached = conn.core().detach(id).expect("it was just accepted");
        let sent = conn.core().handle().attach(1, detached, |_| Echo);
        drop(sent.expect("the core runs"));
    };
    let listener = sim.core().listen(ADDR, ListenOptions::new(), factory);
    let peer = connect(&mut sim, listener.expect("free").local_addr(), 1)[0];
    sim.write(peer, b"dispatched");
    sim.run_for(ms(5));
    assert_eq!(sim.read(peer), b"dispatched");
    assert_eq!([0, 1].map(|core| sim.core_at(core).stats().connections), [0, 1]);
}

/// Uses its connection after it has given it away.
struct Clinging(Noting);

impl Handler for Clinging {
    fn on_read(&mut self, cx: &mut Context<'_>) {
        let detached = cx.detach().expect("it is open");
        cx.me().output().add(b"said to nobody");
        assert!(matches!(cx.detach(), Err(DetachError::NotOpen(_))));
        assert!(matches!(cx.me().into_socket(), Err(SocketError::Closing)));
        cx.me().close_now();
        let id = cx.core().attach(detached, Noting(self.0.0.clone())).expect("it runs");
        assert_ne!(id, cx.id());
        cx.get(id).expect("it is open").output().add(b"said to the peer");
    }

    fn on_event(&mut self, _: &mut Context<'_>, _: sluicegate::Event) {
        unreachable!("nothing is told of what has left");
    }
}

#[test]
fn a_handler_that_has_left_may_still_speak_and_is_not_heard() {
    let mut sim = calm(1);
    let (noting, log) = Noting::new();
    let (socket, peer) = sim.socket(far());
    sim.core().adopt(socket, Clinging(noting)).expect("it is connected");
    sim.write(peer, b"go");
    sim.half_close(peer);
    sim.run_for(ms(5));
    assert_eq!(sim.read(peer), b"said to the peer");
    let heard = log.take();
    assert_eq!(heard.got, b"go", "the input went along");
    assert_eq!(heard.events, [EventFlags::READING | EventFlags::EOF]);
    assert_eq!(sim.core().stats().handler_panics, 0);
    assert_eq!((sim.core().stats().handed_off, sim.core().stats().taken_over), (1, 1));
}

#[test]
fn a_handler_that_panics_after_it_has_left_takes_nothing_with_it() {
    struct Doomed;
    impl Handler for Doomed {
        fn on_read(&mut self, cx: &mut Context<'_>) {
            let detached = cx.detach().expect("it is open");
            let sent = cx.core().handle().attach(1, detached, |_| Echo);
            drop(sent.expect("the core runs"));
            panic!("on purpose");
        }
    }
    let mut sim = calm(2);
    let (socket, peer) = sim.socket(far());
    sim.core().adopt(socket, Doomed).expect("it is connected");
    sim.write(peer, b"go");
    sim.run_for(ms(5));
    assert_eq!(sim.read(peer), b"go");
    assert_eq!((sim.held().slots, sim.core().stats().handler_panics), (1, 1));
}

#[test]
fn a_handler_that_cannot_be_made_closes_the_connection_and_is_counted() {
    let mut sim = calm(2);
    let (end, peer) = adopted(&mut sim);
    let detached = detach(&mut sim, end.id);
    let make = |_: &mut BevMut<'_>| -> Echo { panic!("on purpose") };
    let pending = sim.core().handle().attach(1, detached, make).expect("the core runs");
    sim.run_for(ms(5));
    pending.wait().expect("it was taken");
    assert!(sim.is_eof(peer));
    assert_eq!((sim.core_at(1).stats().handler_panics, sim.held().slots), (1, 0));
}

#[test]
fn what_is_on_its_way_may_be_sent_to_any_thread() {
    fn is_send<T: Send>() {}
    is_send::<sluicegate::Detached>();
    is_send::<sluicegate::AttachError>();
    is_send::<sluicegate::PendingAttach>();
}
