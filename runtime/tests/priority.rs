//! Priorities: who goes first in a turn, that a stack has one, and that nobody waits for ever.

mod rig;

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;

use rig::ends::{over, taking};
use rig::filter::Swap;
use rig::sim::ms;
use sluicegate::sim::Simulation;
use sluicegate::{BevId, Context, Core, Direction, Handler, PairOptions, Priority};

use Priority::{High, Low, Normal};

/// Where the peers of adopted sockets are.
fn far() -> SocketAddr {
    SocketAddr::from(([10, 0, 0, 9], 4000))
}

type Order = Rc<RefCell<Vec<Priority>>>;

/// Notes when it is called to read.
struct Reads(Order);

impl Handler for Reads {
    fn on_read(&mut self, cx: &mut Context<'_>) {
        let mut me = cx.me();
        me.input().drain(usize::MAX);
        self.0.borrow_mut().push(me.priority());
    }
}

#[test]
fn all_of_a_higher_priority_are_called_before_the_first_of_a_lower_one() {
    let mut sim = Simulation::new(1);
    let order = Order::default();
    let mut peers = Vec::new();
    // More of each than read before callbacks follow.
    for _ in 0..20 {
        for priority in [Low, Normal, High] {
            let (socket, peer) = sim.socket(far());
            let id = sim.core().adopt(socket, Reads(order.clone())).expect("it is connected");
            sim.core().get(id).expect("it is open").set_priority(priority);
            peers.push(peer);
        }
    }
    sim.run_for(ms(5));
    for _ in 0..2 {
        peers.iter().for_each(|&peer| _ = sim.write(peer, b"all at once"));
        sim.run_for(ms(5));
        let expected = [[High; 20], [Normal; 20], [Low; 20]].concat();
        assert_eq!(order.take(), expected);
    }
}

#[test]
fn a_stack_has_one_priority_and_what_comes_after_it_has_the_default() {
    let mut sim = Simulation::new(2);
    let (a, b) = taking(&mut sim, PairOptions::new());
    let middle = over(&mut sim, &a, Swap);
    let top = over(&mut sim, &middle, Swap);
    let stack = [a.id, middle.id, top.id];
    let priorities =
        |sim: &mut Simulation| stack.map(|id| sim.core().get(id).expect("it is open").priority());
    for (id, priority) in stack.into_iter().zip([High, Low, Normal]) {
        sim.core().get(id).expect("it is open").set_priority(priority);
        assert_eq!(priorities(&mut sim), [priority; 3]);
    }
    top.bev(&mut sim).set_priority(High);
    let higher = over(&mut sim, &top, Swap);
    assert_eq!(higher.bev(&mut sim).priority(), High, "it is the stack's");
    assert_eq!(b.bev(&mut sim).priority(), Normal, "each end has its own");
    assert_eq!(higher.bev(&mut sim).release(), Some(top.id));
    assert_eq!(priorities(&mut sim), [High; 3]);
    top.bev(&mut sim).close_now();
    sim.run_for(ms(5));
    for _ in 0..4 {
        let (c, _) = taking(&mut sim, PairOptions::new());
        assert_eq!(c.bev(&mut sim).priority(), Normal, "its slot may have been another's");
    }
}

/// Gives out a message whenever the last has gone.
struct Give;

impl Handler for Give {
    fn on_write(&mut self, cx: &mut Context<'_>) {
        cx.me().output().add(&[7; 100]);
    }
}

/// Counts how often it is called to read.
struct Count(Rc<Cell<u64>>);

impl Handler for Count {
    fn on_read(&mut self, cx: &mut Context<'_>) {
        self.0.set(self.0.get() + 1);
        cx.me().input().drain(usize::MAX);
    }
}

/// An end that takes what the other gives without end, and how often it was called to.
fn giving(sim: &mut Simulation, priority: Priority) -> (BevId, Rc<Cell<u64>>) {
    let taken = Rc::default();
    let (giver, taker) = sim.core().pair(PairOptions::new(), Give, Count(Rc::clone(&taken)));
    for id in [giver, taker] {
        sim.core().get(id).expect("it is open").set_priority(priority);
    }
    sim.core().get(giver).expect("it is open").enable(Direction::Write);
    (taker, taken)
}

#[test]
fn one_below_those_who_could_use_up_every_turn_goes_on_also_if_mail_names_it() {
    for named in [false, true] {
        let mut sim = Simulation::new(3);
        for _ in 0..1000 {
            giving(&mut sim, High);
        }
        let others = [Normal, Low].map(|priority| giving(&mut sim, priority));
        let handle = sim.core().handle();
        for _ in 0..200 {
            for &(id, _) in others.iter().filter(|_| named) {
                // Whoever has it in hand has the core look at it, and queue it.
                let look = move |core: &mut Core| drop(core.get(id).expect("it is open"));
                handle.submit_to(0, look).expect("it runs");
            }
            sim.turn();
        }
        let taken = others.map(|(_, taken)| taken.get());
        assert!(taken.iter().all(|&taken| taken >= 50), "{taken:?}, named: {named}");
    }
}
