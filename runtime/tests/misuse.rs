//! What a program does wrong is a typed error, `None`, or an event; never a panic, and never done
//! to somebody else.
//!
//! Misuse of buffers (more reserved than may be, more committed than was reserved, ranges outside
//! of a source) stands with them, in `core-buf/src/buffer`; of pairs between threads in
//! `pair_across.rs`; of configurations in `seed_limits.rs`.

mod rig;

use rig::ends::{End, settle, taking, taking_sockets};
use rig::filter::{Over, over_pair};
use rig::sim::{ADDR, ms, per_second};
use sluicegate::sim::{Faults, Simulation};
use sluicegate::{
    BevId, Context, Direction, EventFlags, FilterOptions, FlushError, FlushMode, Group, Handler,
    ListenOptions, MAX_FILTERS, NoLimit, NoSeat, PairOptions, StackError, TakenByFilter, Unlinked,
};

/// Turns in which whatever a test does must have settled.
const TURNS: usize = 1000;

/// Asserts that nothing can be done by a name, and nothing is done to anybody.
fn assert_finds_nothing(sim: &mut Simulation, name: BevId, other: BevId) {
    let core = sim.core();
    assert!(core.get(name).is_none(), "{name}");
    assert!(core.two(name, other).is_none() && core.two(other, name).is_none(), "{name}");
    assert_eq!(core.filter(name, (), FilterOptions::new()), Err(StackError::NotOpen(name)));
}

#[test]
fn a_stale_name_finds_nothing_though_its_slot_is_used_again() {
    for link in [taking_sockets, |sim: &mut Simulation| taking(sim, PairOptions::new())] {
        let mut sim = Simulation::new(1);
        let (stale, other) = link(&mut sim);
        stale.bev(&mut sim).close();
        assert_finds_nothing(&mut sim, stale.id, other.id);
        settle(&mut sim, TURNS);
        let mut live: Vec<End> = Vec::new();
        for _ in 0..100 {
            let (a, b) = taking(&mut sim, PairOptions::new());
            live.extend([a, b]);
        }
        assert!(sim.lengths(stale.id).is_none());
        let names: Vec<BevId> = live.iter().map(|end| end.id).collect();
        names.iter().for_each(|&name| assert_finds_nothing(&mut sim, stale.id, name));
        settle(&mut sim, TURNS);
        let untouched = |end: &End| end.log.borrow().events.is_empty();
        assert!(live.iter().all(untouched), "it was done to somebody else");
        assert_eq!(sim.core().stats().filters, 0);
    }
}

#[test]
fn a_name_of_another_core_finds_nothing() {
    let mut sim = Simulation::with_cores(2, 1, Faults::none());
    let (a, b) = sim.core_at(1).pair(PairOptions::new(), (), ());
    let (same_slot, other) = sim.core().pair(PairOptions::new(), (), ());
    assert_finds_nothing(&mut sim, a, same_slot);
    assert_finds_nothing(&mut sim, b, other);
    assert!(sim.core_at(1).two(a, b).is_some());
}

#[test]
fn one_bufferevent_is_not_two() {
    let mut sim = Simulation::new(1);
    let (a, b) = taking(&mut sim, PairOptions::new());
    assert!(sim.core().two(a.id, a.id).is_none());
    assert!(sim.core().two(a.id, b.id).is_some());
}

/// Looks for itself and for another who is gone.
struct Looking(BevId);

impl Handler for Looking {
    fn on_read(&mut self, cx: &mut Context<'_>) {
        let (me, gone) = (cx.id(), self.0);
        assert!(cx.get(me).is_some() && cx.get(gone).is_none());
        assert!(cx.two(me, gone).is_none() && cx.two(me, me).is_none());
        cx.me().close();
        assert!(cx.get(me).is_none());
    }
}

#[test]
fn a_handler_finds_neither_who_is_gone_nor_itself_once_closed() {
    let mut sim = Simulation::new(1);
    let (gone, _) = taking(&mut sim, PairOptions::new());
    gone.bev(&mut sim).close_now();
    let (_, b) = sim.core().pair(PairOptions::new(), Looking(gone.id), ());
    sim.core().get(b).expect("it is open").output().add(b"?");
    settle(&mut sim, TURNS);
    let stats = sim.core().stats();
    assert_eq!((stats.handler_panics, stats.pair_ends), (0, 2));
}

#[test]
fn an_end_without_its_partner_says_so() {
    let mut sim = Simulation::new(1);
    let (a, b) = taking(&mut sim, PairOptions::new());
    b.bev(&mut sim).close();
    settle(&mut sim, TURNS);
    assert_eq!(a.bev(&mut sim).partner(), None);
    for direction in Direction::ALL {
        for mode in [FlushMode::Normal, FlushMode::Flush, FlushMode::Finished] {
            let refused = a.bev(&mut sim).flush(direction, mode);
            assert_eq!(refused, Err(FlushError::Unlinked(Unlinked)));
        }
    }
    a.write(&mut sim, b"to nobody");
    settle(&mut sim, TURNS);
    let heard = a.log.take();
    assert_eq!(heard.events, [EventFlags::WRITING | EventFlags::ERROR]);
    assert_eq!(heard.unlinked, 1);
    assert_eq!(a.bev(&mut sim).output().len(), 0, "it does not pile up");
}

#[test]
fn a_filtered_bufferevent_has_no_handler_of_its_own_and_no_second_filter() {
    let mut sim = Simulation::new(4);
    let Over { top, lower, .. } = over_pair(&mut sim, ());
    let options = FilterOptions::new();
    let taken = |by: BevId| TakenByFilter(by);
    let set = sim.core().get(lower).expect("it is open").set_handler(());
    assert_eq!(set, Err(taken(top.id)));
    assert_eq!(sim.core().filter(lower, (), options), Err(taken(top.id).into()));
    let second = sim.core().filter(top.id, (), options).expect("it is the topmost");
    assert_eq!(sim.core().filter(lower, (), options), Err(taken(second).into()));
    assert_eq!(top.bev(&mut sim).set_handler(()), Err(taken(second)));
    assert_eq!(top.bev(&mut sim).release(), None, "not the topmost");
    let (a, _) = taking(&mut sim, PairOptions::new());
    assert_eq!(a.bev(&mut sim).release(), None, "there is no filter");
}

#[test]
fn a_filter_needs_a_bufferevent_that_stays() {
    let mut sim = Simulation::new(4);
    let options = FilterOptions::new();
    let (a, b) = taking(&mut sim, PairOptions::new());
    // So much that it takes its time to close.
    b.bev(&mut sim).set_rate_limit(Some(per_second(1000)));
    a.bev(&mut sim).set_rate_limit(Some(per_second(1000)));
    a.write(&mut sim, &[7; 100_000]);
    let mut bev = a.bev(&mut sim);
    bev.close();
    assert_eq!(bev.filter((), options), Err(StackError::NotOpen(a.id)), "it is closing");
    assert_eq!(bev.release(), None);
    drop(bev);
    settle(&mut sim, TURNS);
    assert_eq!(sim.core().stats().pair_ends, 2, "it is still closing");
    assert_eq!(sim.core().filter(a.id, (), options), Err(StackError::NotOpen(a.id)));
    b.bev(&mut sim).close_now();
    sim.run_for(ms(200_000));
    assert_eq!(sim.core().filter(b.id, (), options), Err(StackError::NotOpen(b.id)), "closed");
}

#[test]
fn a_stack_has_a_greatest_height() {
    let mut sim = Simulation::new(1);
    let (a, _) = taking(&mut sim, PairOptions::new());
    let mut top = a.id;
    for _ in 0..MAX_FILTERS {
        top = sim.core().filter(top, (), FilterOptions::new()).expect("not too high yet");
    }
    let refused = sim.core().filter(top, (), FilterOptions::new());
    assert_eq!(refused, Err(StackError::TooHigh { filters: MAX_FILTERS }));
    assert_eq!(sim.core().stats().filters, MAX_FILTERS as u64);
}

#[test]
fn what_is_written_to_a_closed_bufferevent_is_discarded_and_the_peer_is_reset() {
    let mut sim = Simulation::new(1);
    let (a, b) = taking_sockets(&mut sim);
    let mut bev = a.bev(&mut sim);
    bev.close();
    bev.output().add(b"too late");
    bev.enable(Direction::Write);
    bev.close();
    drop(bev);
    settle(&mut sim, TURNS);
    let heard = b.log.take();
    assert_eq!(heard.events, [EventFlags::READING | EventFlags::ERROR]);
    assert!(heard.got.is_empty());
}

#[test]
fn limits_that_are_not_there_and_seats_that_are_taken() {
    let mut sim = Simulation::with_cores(2, 1, Faults::none());
    let group = Group::builder(per_second(1_000_000)).clock(sim.clock()).seats(1);
    let group = group.build().expect("valid numbers");
    let [(a, _), (b, _)] = [0, 1].map(|core| sim.core_at(core).pair(PairOptions::new(), (), ()));
    let mut first = sim.core().get(a).expect("it is open");
    assert_eq!(first.decrement_read_limit(1), Err(NoLimit { direction: Direction::Read }));
    assert_eq!(first.decrement_write_limit(1), Err(NoLimit { direction: Direction::Write }));
    first.leave();
    assert_eq!(first.join(&group), Ok(()));
    drop(first);
    let mut second = sim.core_at(1).get(b).expect("it is open");
    assert_eq!(second.join(&group), Err(NoSeat { seats: 1 }));
    assert!(second.group().is_none());
}

#[test]
fn a_core_that_is_not_there_takes_nothing() {
    let mut sim = Simulation::new(1);
    let core = sim.core();
    assert_eq!(core.submit_to(7, |_| ()).map_err(|stopped| stopped.core), Err(7));
    assert_eq!(core.handle().submit_to(7, |_| ()).map_err(|stopped| stopped.core), Err(7));
    let timer = core.after(ms(1), |_| ());
    assert!(core.cancel(timer) && !core.cancel(timer));
    core.listen(ADDR, ListenOptions::new(), |_| ()).expect("it is free");
    let taken = core.listen(ADDR, ListenOptions::new(), |_| ());
    assert!(taken.expect_err("it is taken").to_string().contains(ADDR));
}
