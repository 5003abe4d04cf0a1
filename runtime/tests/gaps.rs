//! How long a core was away from its events: sleep it meant does not count, all else does.
//!
//! In virtual time: a task that takes long and a thread that gets no CPU are both the test's doing.

use std::time::Duration;

use sluicegate::sim::Simulation;
use sluicegate::{Handler, ListenOptions};

const MS: Duration = Duration::from_millis(1);

struct Silent;
impl Handler for Silent {}

fn longest_gap(sim: &mut Simulation) -> Duration {
    Duration::from_nanos(sim.core().stats().longest_gap_ns)
}

#[test]
fn sleeping_as_meant_is_no_gap() {
    let mut sim = Simulation::new(1);
    sim.core().after(700 * MS, |_| {});
    sim.run_for(5000 * MS);
    assert!(longest_gap(&mut sim) < MS, "{:?}", longest_gap(&mut sim));
}

#[test]
fn a_long_turn_is_a_gap() {
    let mut sim = Simulation::new(2);
    let clock = sim.clock();
    sim.core().after(10 * MS, move |_| clock.advance(40 * MS));
    sim.run_for(100 * MS);
    let gap = longest_gap(&mut sim);
    assert!((40 * MS..42 * MS).contains(&gap), "{gap:?}");
    assert!(gap.as_nanos() as u64 >= sim.core().stats().longest_turn_ns);
}

#[test]
fn an_event_that_ends_the_sleep_early_does_not_hide_the_turn_before_it() {
    let mut sim = Simulation::new(4);
    let clock = sim.clock();
    let addr = sim
        .core()
        .listen("10.0.0.1:7777", ListenOptions::new(), |_| Silent)
        .expect("the address is free")
        .local_addr();
    sim.run_for(MS);
    sim.core().after(10 * MS, move |_| clock.advance(40 * MS));
    sim.core().after(500 * MS, |_| {});
    sim.run_until(100 * MS, |sim| sim.core().stats().longest_turn_ns >= 40_000_000);
    sim.connect(addr).expect("it listens");
    sim.run_for(10 * MS);
    assert!(longest_gap(&mut sim) >= 40 * MS, "{:?}", longest_gap(&mut sim));
}

#[test]
fn a_thread_that_got_no_cpu_was_away_although_its_turns_were_short() {
    let mut sim = Simulation::new(3);
    sim.run_for(10 * MS);
    sim.clock().advance(25 * MS);
    sim.run_for(10 * MS);
    let gap = longest_gap(&mut sim);
    assert!((25 * MS..27 * MS).contains(&gap), "{gap:?}");
    assert!(sim.core().stats().longest_turn_ns < MS.as_nanos() as u64);
}
