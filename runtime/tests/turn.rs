//! Who is served in a turn, and when: nobody is passed over for ever.
//!
//! All in virtual time on one core. What a turn spends on a chain of answers stands in `pair.rs`,
//! what a group grants to whom in `limits.rs`.

mod rig;

use std::cell::Cell;
use std::rc::Rc;

use sluicegate::sim::Simulation;
use sluicegate::{Context, Direction, FilterOptions, Handler, PairOptions};

/// Gives out a message whenever the last has gone, and counts.
struct Give(Rc<Cell<u64>>);

impl Handler for Give {
    fn on_write(&mut self, cx: &mut Context<'_>) {
        self.0.set(self.0.get() + 1);
        cx.me().output().add(&[7; 100]);
    }
}

/// Ends that give without end, each over so many filters; how many messages each has given.
fn giving(sim: &mut Simulation, count: usize, filters: usize) -> Vec<Rc<Cell<u64>>> {
    let give = |_| {
        let given = Rc::default();
        let (mut id, _) = sim.core().pair(PairOptions::new(), Give(Rc::clone(&given)), ());
        for _ in 0..filters {
            id = sim.core().filter(id, (), FilterOptions::new()).expect("it is open");
        }
        sim.core().get(id).expect("it is open").enable(Direction::Write);
        given
    };
    (0..count).map(give).collect()
}

#[test]
fn more_streams_in_memory_than_a_turn_can_serve_take_turns() {
    for filters in [0, 1] {
        let mut sim = Simulation::new(1);
        let given = giving(&mut sim, 1000, filters);
        for _ in 0..200 {
            sim.turn();
        }
        let given: Vec<u64> = given.iter().map(|given| given.get()).collect();
        let mean = given.iter().sum::<u64>() / given.len() as u64;
        let (least, most) = (given.iter().min(), given.iter().max());
        let even = mean / 2..=mean * 2;
        assert!(mean > 10, "a turn moves {mean} messages each");
        assert!(
            even.contains(least.expect("many")) && even.contains(most.expect("many")),
            "from {least:?} to {most:?} messages where {mean} are due, with {filters} filters"
        );
    }
}
