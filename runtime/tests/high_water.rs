//! The high write mark: producers that have their bytes from elsewhere stop at it and go on.

mod rig;

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use rig::ends::{keeping, settle, taking, taking_sockets};
use rig::filter::Swap;
use rig::pattern;
use rig::sim::{LIMIT, World, ms};
use sluicegate::sim::Simulation;
use sluicegate::{
    BevId, Context, Direction, Event, EventFlags, FilterOptions, FlushMode, Handler, PairOptions,
};

const READ: Direction = Direction::Read;
const WRITE: Direction = Direction::Write;

/// Turns in which anything here must have settled.
const TURNS: usize = 1000;

const LOW: usize = 1000;

const HIGH: usize = 5000;

/// By how much a mark can be passed: one read.
const READ_AT_ONCE: usize = 16_384;

/// What a proxy has seen.
#[derive(Default)]
struct Seen {
    highest: usize,
    stopped: usize,
    resumed: usize,
}

/// Sends what comes in to another one, and stops reading while that is full.
struct Forward {
    to: BevId,
    /// Asks the output, or else waits for the event.
    asks: bool,
    seen: Rc<RefCell<Seen>>,
}

impl Handler for Forward {
    fn on_read(&mut self, cx: &mut Context<'_>) {
        let me = cx.id();
        let mut two = cx.two(me, self.to).expect("both are open");
        let ((mut input, _), (_, mut output)) = two.buffers();
        output.append(&mut input);
        let mut seen = self.seen.borrow_mut();
        seen.highest = seen.highest.max(output.len());
        if self.asks && output.is_full() {
            two.first().disable(READ);
            seen.stopped += 1;
        }
    }

    fn on_write(&mut self, cx: &mut Context<'_>) {
        cx.get(self.to).expect("it is open").enable(READ);
        self.seen.borrow_mut().resumed += 1;
    }

    fn on_event(&mut self, cx: &mut Context<'_>, event: Event) {
        assert_eq!(event.flags, EventFlags::HIGH_WATER);
        if !self.asks {
            cx.get(self.to).expect("it is open").disable(READ);
            self.seen.borrow_mut().stopped += 1;
        }
    }
}

/// Lets a fast peer send through a proxy to a slow one.
fn forward(asks: bool, filtered: bool) {
    const SENT: usize = 400_000;
    let mut world = World::new(1);
    let from = world.connect();
    world.sim.set_buffer_bytes(2000);
    let to = world.connect();
    let top = if filtered {
        world.bev(to).set_write_watermark(0, 700);
        world.sim.core().filter(to.id, Swap, FilterOptions::new()).expect("it is open")
    } else {
        to.id
    };
    let seen = Rc::<RefCell<Seen>>::default();
    let handler = |to| Forward { to, asks, seen: seen.clone() };
    world.bev(from).set_handler(handler(top)).expect("no filter stands over it");
    let mut bev = world.sim.core().get(top).expect("it is open");
    bev.set_handler(handler(from.id)).expect("it is on top");
    bev.set_write_watermark(LOW, HIGH);
    drop(bev);
    let (mut sent, mut got) = (0, Vec::new());
    let all = pattern(SENT);
    assert!(world.sim.run_until(LIMIT, |sim| {
        sent += sim.write(from.peer, &all[sent..]);
        let below = sim.core().get(to.id).expect("it is open").output().len();
        assert!(!filtered || below <= 700, "the filter has put out {below} bytes");
        got.extend(sim.read(to.peer));
        got.len() == SENT
    }));
    if filtered {
        got.iter_mut().for_each(|byte| *byte = !*byte);
    }
    assert!(got == all, "bytes came changed, asks: {asks}, filtered: {filtered}");
    let seen = seen.borrow();
    assert!(seen.highest < HIGH + READ_AT_ONCE, "{} bytes waited", seen.highest);
    assert!(seen.stopped > 5 && seen.resumed >= seen.stopped, "{} stops", seen.stopped);
}

#[test]
fn a_proxy_holds_what_the_mark_allows_and_loses_nothing() {
    for (asks, filtered) in [(false, false), (false, true), (true, false), (true, true)] {
        forward(asks, filtered);
    }
}

#[test]
fn a_handler_that_knows_nothing_of_the_mark_is_not_closed_by_it() {
    struct Ignores;
    impl Handler for Ignores {}
    for sockets in [false, true] {
        let mut sim = Simulation::new(2);
        let ends = |sim: &mut _| taking(sim, PairOptions::new());
        let (a, b) = if sockets { taking_sockets(&mut sim) } else { ends(&mut sim) };
        let mut bev = a.bev(&mut sim);
        bev.set_handler(Ignores).expect("no filter stands over it");
        bev.set_write_watermark(0, 1);
        bev.output().add(&pattern(100_000));
        drop(bev);
        settle(&mut sim, TURNS);
        assert!(b.log.borrow().got == pattern(100_000) && b.log.borrow().events.is_empty());
    }
}

#[test]
fn the_event_comes_once_for_a_producer_that_goes_on_all_the_same() {
    let mut sim = Simulation::new(3);
    let (a, b) = keeping(&mut sim, PairOptions::new());
    b.bev(&mut sim).set_read_watermark(0, 10);
    a.bev(&mut sim).set_write_watermark(LOW, HIGH);
    for _ in 0..10 {
        a.write(&mut sim, &pattern(2 * LOW));
        sim.run_for(ms(1));
    }
    assert_eq!(a.log.borrow().events, [EventFlags::HIGH_WATER]);
    assert_eq!(a.log.borrow().writes, 0);
    b.bev(&mut sim).set_read_watermark(0, 0);
    settle(&mut sim, TURNS);
    assert_eq!((b.input(&mut sim).len(), a.log.borrow().writes), (20 * LOW, 1));
}

#[test]
fn a_producer_in_a_loop_asks_for_room() {
    let mut sim = Simulation::new(4);
    let (a, _b) = taking(&mut sim, PairOptions::new());
    let mut bev = a.bev(&mut sim);
    bev.disable(WRITE);
    for (high, max_output, limit) in [
        (0, 1 << 20, 1 << 20),
        (HIGH, 1 << 20, HIGH),
        (HIGH, 700, 700),
        (0, usize::MAX, usize::MAX),
    ] {
        bev.set_write_watermark(0, high);
        bev.set_max_output(max_output);
        assert_eq!(bev.output().room(), limit - bev.output().len());
        let page: Arc<[u8]> = pattern(300).into();
        let mut output = bev.output();
        while limit < usize::MAX && !output.is_full() {
            output.add_shared(page.clone());
        }
        assert_eq!(output.is_full(), limit < usize::MAX);
        assert!(limit == usize::MAX || output.len() < limit + 300);
        bev.flush(WRITE, FlushMode::Flush).expect("the partner is there");
        drop(bev);
        settle(&mut sim, TURNS);
        bev = a.bev(&mut sim);
        assert!(bev.output().is_empty());
    }
}
