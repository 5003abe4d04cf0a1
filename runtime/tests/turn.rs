//! Who is served in a turn, and when: the more important first, and nobody is passed over for ever.
//!
//! All in virtual time on one core. What a turn spends on a chain of answers stands in `pair.rs`,
//! what a group grants to whom in `limits.rs`.

mod rig;

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use rig::ends::taking;
use rig::filter::over_pair;
use rig::log::Log;
use rig::sim::{World, ms, per_second};
use sluicegate::sim::Simulation;
use sluicegate::{BevId, Context, Core, Direction, FilterOptions, Handler, PairOptions, Priority};

/// The priorities in the order of a turn.
const ORDER: [Priority; 3] = [Priority::High, Priority::Normal, Priority::Low];

/// Sockets of each priority: more than are read in all rounds of a turn without any that are ready.
const SOCKETS: usize = 150;

/// Pairs of each priority: more than read before callbacks follow, and together fewer than a turn
/// has operations in memory for.
const PAIRS: usize = 20;

/// Gives out a message whenever the last has gone, and counts.
struct Give(Rc<Cell<u64>>);

impl Handler for Give {
    fn on_write(&mut self, cx: &mut Context<'_>) {
        self.0.set(self.0.get() + 1);
        cx.me().output().add(&[7; 100]);
    }
}

/// Ends that give without end, each over so many filters; how many messages each has given.
fn giving(
    sim: &mut Simulation,
    count: usize,
    filters: usize,
    priority: Priority,
) -> Vec<Rc<Cell<u64>>> {
    let give = |_| {
        let given = Rc::default();
        let (mut id, far) = sim.core().pair(PairOptions::new(), Give(Rc::clone(&given)), ());
        sim.core().get(far).expect("it is open").set_priority(priority);
        for _ in 0..filters {
            id = sim.core().filter(id, (), FilterOptions::new()).expect("it is open");
        }
        let mut bev = sim.core().get(id).expect("it is open");
        bev.set_priority(priority);
        bev.enable(Direction::Write);
        given
    };
    (0..count).map(give).collect()
}

/// Sends back what it gets, and notes that it was called.
#[derive(Clone)]
struct Noting(Rc<RefCell<Vec<BevId>>>);

impl Handler for Noting {
    fn on_read(&mut self, cx: &mut Context<'_>) {
        self.0.borrow_mut().push(cx.id());
        let (mut input, mut output) = cx.buffers();
        output.append(&mut input);
    }
}

/// Streams of some priority, the most important first.
struct Streams {
    /// Who is to be called.
    ids: Vec<(BevId, Priority)>,
    /// Lets one of them have something to read in the next turn.
    ask: fn(&mut World, BevId),
}

/// Asserts that in the next turn all are served, and that those of a higher priority read, are
/// called and write before a lower one does; returns whose operations these were, one by one.
fn assert_served_in_order(world: &mut World, streams: &Streams, what: &str) -> Vec<Priority> {
    let (called, log) = (Noting(Rc::default()), Log::default());
    world.sim.observe(log.clone());
    // The least important are asked first.
    for &(id, priority) in streams.ids.iter().rev() {
        let mut bev = world.sim.core().get(id).expect("it is open");
        assert_eq!(bev.priority(), priority, "{what}");
        bev.set_rate_limit(Some(per_second(1 << 40)));
        bev.set_handler(called.clone()).expect("it is the topmost");
        drop(bev);
        (streams.ask)(world, id);
    }
    world.sim.turn();
    let of = |id| streams.ids.iter().find(|one| one.0 == id).expect("only these are metered").1;
    let order: Vec<_> = called.0.take().into_iter().map(of).collect();
    assert_eq!(order.len(), streams.ids.len(), "{what}: each is called in the turn");
    assert!(order.is_sorted_by(|a, b| a >= b), "{what}: called {order:?}");
    for direction in Direction::ALL {
        assert_eq!(log.bytes(direction), 3 * order.len() as u64, "{what}: of {direction:?}");
        let order: Vec<_> = log.of(direction).into_iter().map(|one| of(one.bev)).collect();
        assert!(order.is_sorted_by(|a, b| a >= b), "{what}: {direction:?} {order:?}");
    }
    log.those(|_| true).into_iter().map(|one| of(one.bev)).collect()
}

/// Sockets with bytes that have arrived and are read when reading is enabled.
fn sockets(world: &mut World) -> Streams {
    let mut ids = Vec::new();
    for priority in ORDER {
        for _ in 0..SOCKETS {
            let one = world.connect();
            let mut bev = world.bev(one);
            bev.disable(Direction::Read);
            bev.set_priority(priority);
            drop(bev);
            world.sim.write(one.peer, b"ask");
            ids.push((one.id, priority));
        }
    }
    world.sim.run_for(ms(50));
    let ask = |world: &mut World, id| {
        world.sim.core().get(id).expect("it is open").enable(Direction::Read);
    };
    Streams { ids, ask }
}

/// Pairs, each with so many filters over one end, whose priority is set before or after these.
fn pairs(world: &mut World, filters: usize, set_before: bool) -> Streams {
    let mut ids = Vec::new();
    for priority in ORDER {
        for at in 0..PAIRS {
            let (near, far) = taking(&mut world.sim, PairOptions::new());
            far.bev(&mut world.sim).set_priority(priority);
            if set_before {
                near.bev(&mut world.sim).set_priority(priority);
            }
            let mut id = near.id;
            for _ in 0..filters {
                id = world.sim.core().filter(id, (), FilterOptions::new()).expect("it is open");
            }
            if !set_before {
                let told = if at % 2 == 0 { id } else { near.id };
                world.sim.core().get(told).expect("it is open").set_priority(priority);
            }
            assert_eq!(near.bev(&mut world.sim).priority(), priority, "one for all layers");
            ids.push((id, priority));
        }
    }
    let ask = |world: &mut World, mut id| {
        while let Some(lower) = world.sim.core().get(id).expect("it is open").underlying() {
            id = lower;
        }
        let far = world.sim.core().get(id).expect("it is open").partner().expect("it is whole");
        world.sim.core().get(far).expect("it is open").output().add(b"ask");
    };
    Streams { ids, ask }
}

#[test]
fn of_all_that_are_ready_the_more_important_are_served_first() {
    let mut world = World::new(1);
    let streams = sockets(&mut world);
    let order = assert_served_in_order(&mut world, &streams, "sockets");
    assert!(order.is_sorted_by(|a, b| a >= b), "who reads later also writes later: {order:?}");
    for filters in [0, 1, 3] {
        for set_before in [true, false] {
            let mut world = World::new(2);
            let streams = pairs(&mut world, filters, set_before);
            let what = format!("{filters} filters, priority set before: {set_before}");
            assert_served_in_order(&mut world, &streams, &what);
        }
    }
}

#[test]
fn a_priority_survives_a_release_and_lasts_until_the_close_is_over() {
    let mut sim = Simulation::new(3);
    let over = over_pair(&mut sim, ());
    over.top.bev(&mut sim).set_priority(Priority::High);
    assert_eq!(over.top.bev(&mut sim).release(), Some(over.lower));
    assert_eq!(sim.core().get(over.lower).expect("it is open").priority(), Priority::High);

    // Those that close write what is left in their order.
    let mut world = World::new(4);
    let log = Log::default();
    world.sim.observe(log.clone());
    let all = ORDER.map(|priority| (world.connect(), priority));
    for (one, priority) in all.into_iter().rev() {
        let mut bev = world.bev(one);
        bev.set_rate_limit(Some(per_second(1 << 40)));
        bev.set_priority(priority);
        bev.output().add(b"the rest");
        bev.close();
        assert_eq!(bev.priority(), priority);
    }
    world.sim.turn();
    let wrote: Vec<BevId> = log.of(Direction::Write).iter().map(|one| one.bev).collect();
    assert_eq!(wrote, all.map(|(one, _)| one.id));

    // Whoever gets the place of one that is gone does not inherit from it.
    assert!(world.sim.core().get(all[0].0.id).is_none(), "it has closed");
    for _ in 0..100 {
        let one = world.connect();
        assert_eq!(world.bev(one).priority(), Priority::Normal);
    }
}

#[test]
fn a_change_loses_nobody_who_waits() {
    /// Changes its priority whenever it is called, and answers.
    struct Restless(u32);
    impl Handler for Restless {
        fn on_read(&mut self, cx: &mut Context<'_>) {
            self.0 += 1;
            cx.me().set_priority(ORDER[self.0 as usize % 3]);
            let (mut input, mut output) = cx.buffers();
            output.append(&mut input);
        }
    }
    for priority in ORDER {
        for next in ORDER {
            let mut world = World::new(5);
            let one = world.connect();
            world.bev(one).set_handler(Restless(priority as u32)).expect("no filter is over it");
            world.bev(one).set_priority(priority);
            for round in 0..20 {
                world.bev(one).disable(Direction::Read);
                world.sim.write(one.peer, b"ask");
                world.sim.run_for(ms(5));
                // It stands in a queue already when its priority changes.
                world.bev(one).enable(Direction::Read);
                world.bev(one).set_priority(if round % 2 == 0 { next } else { priority });
                world.sim.turn();
                world.sim.run_for(ms(5));
                assert_eq!(world.sim.read(one.peer), b"ask", "{priority:?} to {next:?}");
            }
        }
    }
}

#[test]
fn in_memory_the_less_important_wait_for_their_own_kind_and_no_longer() {
    const TURNS: usize = 1000;
    const FEW: usize = 5;
    for filters in [0, 1] {
        let mut sim = Simulation::new(6);
        // These alone use up what a turn may do in memory, several times.
        let high = giving(&mut sim, 2000, filters, Priority::High);
        let normal = giving(&mut sim, FEW, filters, Priority::Normal);
        let low = giving(&mut sim, FEW, filters, Priority::Low);
        for _ in 0..TURNS {
            sim.turn();
        }
        let least = |given: &[Rc<Cell<u64>>]| given.iter().map(|one| one.get()).min();
        for few in [normal, low] {
            let most = few.iter().map(|one| one.get()).max();
            // Every turn the first of them goes first, and the others move up: the ends that give,
            // those that take, and the filters.
            let due = (TURNS / (FEW * (2 + filters))) as u64;
            assert!(least(&few) >= Some(due - 5), "{:?} of {due}", least(&few));
            assert!(most < Some(4 * due), "{most:?}: little goes to them");
        }
        assert!(least(&high) > Some(50), "{:?}", least(&high));
    }
}

#[test]
fn one_that_mail_names_in_every_turn_is_passed_over_no_longer_for_that() {
    /// Takes what comes, and counts its calls.
    struct Count(Rc<Cell<u64>>);
    impl Handler for Count {
        fn on_read(&mut self, cx: &mut Context<'_>) {
            self.0.set(self.0.get() + 1);
            cx.me().input().drain(usize::MAX);
        }
    }
    let mut sim = Simulation::new(7);
    giving(&mut sim, 1000, 0, Priority::High);
    let called = Rc::default();
    let (giver, taker) =
        sim.core().pair(PairOptions::new(), Give(Rc::default()), Count(Rc::clone(&called)));
    for id in [giver, taker] {
        sim.core().get(id).expect("it is open").set_priority(Priority::Low);
    }
    sim.core().get(giver).expect("it is open").enable(Direction::Write);
    let handle = sim.core().handle();
    for _ in 0..200 {
        // Whoever has it in hand has the core look at it, and queue it, as a letter from another
        // core does.
        let look = move |core: &mut Core| drop(core.get(taker).expect("it is open"));
        handle.submit_to(0, look).expect("it runs");
        sim.turn();
    }
    assert!(called.get() >= 50, "{} calls in 200 turns", called.get());
}

#[test]
fn more_streams_in_memory_than_a_turn_can_serve_take_turns() {
    for filters in [0, 1] {
        let mut sim = Simulation::new(1);
        let given = giving(&mut sim, 1000, filters, Priority::Normal);
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
