//! Members that wait for their group cost nothing: what a core does follows what it serves.
//!
//! In virtual time, so that the counts are exact: forty times the members, waiting for the same
//! rate, make no more turns, system calls, callbacks, refusals, draws or timers.

mod rig;

use std::sync::Arc;

use rig::sim::{ADDR, ms, per_second};
use sluicegate::sim::Simulation;
use sluicegate::{CoreStats, Group, Handler, ListenOptions};

struct Source;
impl Handler for Source {}

/// What a second costs in which `members` wait for 10 MB/s: the figures that may not grow.
fn second_of(members: usize) -> [(&'static str, u64); 7] {
    let mut sim = Simulation::new(1);
    let group = Group::builder(per_second(10_000_000)).clock(sim.clock()).build();
    let group = group.expect("valid numbers");
    let (joined, piece): (_, Arc<[u8]>) = (group.clone(), vec![7; 1 << 20].into());
    let addr = sim
        .core()
        .listen(ADDR, ListenOptions::new(), move |conn| {
            conn.join(&joined).expect("there is a seat");
            conn.output().add_shared(piece.clone());
            Source
        })
        .expect("the address is free")
        .local_addr();
    let peers = rig::sim::connect(&mut sim, addr, members);
    let run = |sim: &mut Simulation, steps| {
        for _ in 0..steps {
            sim.run_for(ms(100));
            peers.iter().for_each(|&peer| drop(sim.read(peer)));
        }
    };
    run(&mut sim, 2);
    assert_eq!(sim.core().stats().connections, members as u64);
    assert!(group.stats().weight[1] + 1 >= members as u64, "everybody waits");
    let (before, draws) = (sim.core().stats(), group.stats().draws());
    run(&mut sim, 10);
    let after = sim.core().stats();
    let since = |figure: fn(&CoreStats) -> u64| figure(&after) - figure(&before);
    [
        ("turns", since(|core| core.turns)),
        ("system calls", since(|core| core.system_calls)),
        ("metered operations", since(|core| core.metered_operations)),
        ("callbacks", since(|core| core.callbacks)),
        ("refusals", since(|core| core.limit_waits)),
        ("draws", group.stats().draws() - draws),
        ("timers", after.timers),
    ]
}

#[test]
fn forty_times_the_members_cost_no_more() {
    let (few, many) = (second_of(100), second_of(4_000));
    assert!((9_900..=10_100).contains(&few[2].1), "ten thousand operations: {few:?}");
    for ((what, few), (_, many)) in few.into_iter().zip(many) {
        assert!(many <= few + few / 20 + 1, "{what}: {few} for a hundred, {many} for 4,000");
    }
}
