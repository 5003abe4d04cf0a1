//! Connections that move between cores: everything goes along, nothing is lost, repeated, exchanged
//! or told twice, and nothing stays behind.

mod leaving;
mod limits;
mod moving;
#[path = "../rig/mod.rs"]
mod rig;
mod sockets;
mod travelling;

use std::net::SocketAddr;

use rig::ends::{End, Noting};
use sluicegate::sim::{Faults, Peer, Simulation};
use sluicegate::{BevId, Detached};

/// Where the peers of adopted sockets are.
fn far() -> SocketAddr {
    SocketAddr::from(([10, 0, 0, 9], 4000))
}

/// So many cores on a network without faults.
fn calm(cores: usize) -> Simulation {
    Simulation::with_cores(cores, 1, Faults::none())
}

/// A bufferevent over a socket on the first core, and the other end.
fn adopted(sim: &mut Simulation) -> (End, Peer) {
    let (handler, log) = Noting::new();
    let (socket, peer) = sim.socket(far());
    let id = sim.core().adopt(socket, handler).expect("it is connected");
    (End { id, log }, peer)
}

/// Takes a connection off its core.
fn detach(sim: &mut Simulation, id: BevId) -> Detached {
    sim.core_at(id.core()).detach(id).expect("it is open")
}

/// Has a connection go on at another core, with a handler that notes in the same log.
fn attach(sim: &mut Simulation, detached: Detached, core: usize, end: &End) -> End {
    let handler = Noting(end.log.clone());
    let id = sim.core_at(core).attach(detached, handler).expect("the core takes it");
    End { id, log: end.log.clone() }
}

/// Moves a connection from one core to another.
fn moved(sim: &mut Simulation, end: &End, core: usize) -> End {
    let detached = detach(sim, end.id);
    attach(sim, detached, core, end)
}
