//! The machine that runs schedules: from bytes to a verdict.
//!
//! Shared by the tests, which take the bytes from seeds, and the fuzz target, which grows them.
//! Panics where a promise is broken.

mod case;
mod filter;
mod hand;
mod journey;
mod layer;
mod operation;
mod side;
mod stream;
mod verdict;
mod world;

pub(crate) use case::{Case, Link, Weather};
pub(crate) use filter::Nature;
pub(crate) use operation::{Act, How, later, on};
use world::World;

/// Runs a case to its end.
pub(crate) fn run(case: &Case) {
    let mut world = World::new(case.plan.clone());
    for &operation in &case.operations {
        world.step(operation);
    }
    world.finish();
}
