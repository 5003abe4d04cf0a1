//! Simulations of several cores: they share one time and one network, take turns, and a seed is one
//! run; and what only a simulation shows of one core.

mod rig;

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use rig::Echo;
use rig::ends::Noting;
use rig::sim::{ADDR, LIMIT, ms};
use sluicegate::sim::{Faults, Held, Simulation};
use sluicegate::{BevMut, EventFlags, ListenOptions, PairOptions, Shutdown};

/// Ends of a pair on two cores that answer each other for a while; returns all figures.
fn answering(seed: u64) -> (u64, Vec<u64>) {
    let mut sim = Simulation::with_cores(2, seed, Faults::harsh());
    let handle = sim.core().handle();
    let ask = |end: &mut BevMut<'_>| {
        end.output().add(b"around");
        Echo
    };
    let pair = handle.pair(0, ask, 1, |_| Echo, PairOptions::new()).expect("the cores run");
    sim.run_for(ms(5));
    let (a, b) = pair.ids().expect("both have had their turns").expect("the cores run");
    assert_eq!((a.core(), b.core()), (0, 1));
    let figures = |core: usize| {
        let stats = handle.stats()[core];
        [stats.turns, stats.callbacks, stats.messages]
    };
    (sim.now().as_nanos(), [figures(0), figures(1)].concat())
}

#[test]
fn a_seed_is_one_run_on_any_number_of_cores() {
    let first = answering(3);
    assert!(first.1.iter().all(|&figure| figure > 100), "they answered: {first:?}");
    assert_eq!(first, answering(3));
    assert_ne!(first, answering(4));
}

#[test]
fn cores_share_one_time_in_which_nobody_is_late() {
    let mut sim = Simulation::with_cores(3, 1, Faults::none());
    let fired = Rc::new(RefCell::new(Vec::new()));
    for (core, delay) in [(0, 5), (1, 20), (2, 10), (1, 1), (0, 4_000), (2, 3_999)] {
        let (fired, due) = (fired.clone(), sim.now() + ms(delay));
        let note = move |core: &mut sluicegate::Core| {
            let late = core.now().saturating_since(due);
            assert!(core.now() >= due && late < ms(2), "{late:?} late");
            fired.borrow_mut().push(delay);
        };
        sim.core_at(core).after(ms(delay), note);
    }
    sim.run_for(Duration::from_secs(5));
    assert_eq!(*fired.borrow(), [1, 5, 10, 20, 3_999, 4_000]);
    assert_eq!(sim.held(), Held::default());
    let turns: u64 = (0..3).map(|core| sim.core_at(core).stats().turns).sum();
    assert!(turns < 200, "cores with nothing to do do not turn: {turns}");
}

#[test]
fn cores_connect_to_each_other() {
    let mut sim = Simulation::with_cores(2, 1, Faults { reset: 0.0, ..Faults::harsh() });
    let listener = sim.core_at(1).listen(ADDR, ListenOptions::new(), |_| Echo);
    let addr = listener.expect("the address is free").local_addr();
    let (handler, log) = Noting::new();
    let id = sim.core().connect(addr, handler).expect("simulated");
    sim.core().get(id).expect("just made").output().add(&[7; 100_000]);
    assert!(sim.run_until(LIMIT, |_| log.borrow().got.len() == 100_000));
    assert_eq!(sim.core_at(1).stats().connections, 1);
    assert_eq!(sim.held().slots, 3, "two ends and a listener");
}

#[test]
fn a_core_that_stops_is_missed_and_time_goes_on() {
    let mut sim = Simulation::with_cores(2, 1, Faults::none());
    let handle = sim.core().handle();
    let pair = handle.pair(0, |_| Echo, 1, |_| (), PairOptions::new()).expect("the cores run");
    sim.run_for(ms(5));
    let (a, _) = pair.ids().expect("made").expect("the cores run");
    sim.core_at(1).listen(ADDR, ListenOptions::new(), |_| ()).expect("free");
    handle.submit_to(1, |core| core.handle().shutdown(Shutdown::Drain)).expect("it runs");
    assert!(sim.run_until(LIMIT, |sim| sim.is_stopped()));
    assert!(handle.submit_to(0, |_| ()).is_err() && sim.lengths(a).is_none());
    let before = sim.now();
    sim.run_for(LIMIT);
    assert_eq!(sim.now().saturating_since(before), LIMIT);
}

#[test]
fn what_a_peer_does_before_the_answer_to_a_connection_comes_with_it() {
    let faults = Faults { late_connects: 1.0, ..Faults::none() };
    for resets in [false, true] {
        let mut sim = Simulation::with_faults(1, faults.clone());
        let addr = sim.listen(ADDR.parse().expect("valid")).expect("free");
        let (handler, log) = Noting::new();
        sim.core().connect(addr, handler).expect("simulated");
        let mut peer = None;
        assert!(sim.run_until(LIMIT, |sim| {
            peer = sim.accept(addr);
            peer.is_some()
        }));
        let peer = peer.expect("accepted");
        sim.write(peer, b"all at once");
        if resets {
            sim.reset(peer)
        } else {
            sim.close(peer)
        }
        sim.run_for(ms(50));
        assert!(log.borrow().events.is_empty(), "the answer is late");
        sim.run_for(ms(100));
        let heard = log.take();
        if resets {
            // The reset is what the attempt came to.
            assert_eq!((heard.events, heard.got.len()), (vec![EventFlags::ERROR], 0));
        } else {
            let told = [EventFlags::CONNECTED, EventFlags::READING | EventFlags::EOF];
            assert_eq!((&heard.events[..], &heard.got[..]), (&told[..], &b"all at once"[..]));
        }
    }
}
