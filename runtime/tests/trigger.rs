//! Callbacks that an application asks for: what they collapse with, and where there are none.

mod rig;

use rig::ends::{End, Noting, keeping, over, settle, taking};
use rig::filter::Swap;
use sluicegate::sim::Simulation;
use sluicegate::{Direction, EventFlags, PairOptions, TakenByFilter, Trigger};

const READ: Direction = Direction::Read;
const WRITE: Direction = Direction::Write;

/// Turns in which anything here must have settled.
const TURNS: usize = 1000;

fn trigger(sim: &mut Simulation, end: &End, direction: Direction, trigger: Trigger) {
    end.bev(sim).trigger(direction, trigger).expect("no filter stands over it");
}

#[test]
fn several_triggers_and_what_was_due_anyway_are_one_call() {
    let mut sim = Simulation::new(1);
    let (a, b) = keeping(&mut sim, PairOptions::new());
    a.write(&mut sim, b"four");
    for _ in 0..3 {
        trigger(&mut sim, &a, WRITE, Trigger::Always);
        b.bev(&mut sim).trigger_event(EventFlags::READING | EventFlags::EOF).expect("on top");
        b.bev(&mut sim).trigger_event(EventFlags::TIMEOUT).expect("on top");
    }
    settle(&mut sim, TURNS);
    // The write is the one asked for before anything was written, and then that of the writing.
    assert_eq!(a.log.borrow().writes, 2);
    let all = EventFlags::READING | EventFlags::EOF | EventFlags::TIMEOUT;
    assert_eq!((&b.log.borrow().reads, &b.log.borrow().events), (&vec![4], &vec![all]));

    for (asks, times) in [(Trigger::IfDue, 1), (Trigger::Always, 2)] {
        trigger(&mut sim, &b, READ, asks);
        trigger(&mut sim, &b, READ, asks);
        settle(&mut sim, TURNS);
        assert_eq!(b.log.borrow().reads, vec![4; 1 + times], "{asks:?}");
    }
    let mut bev = b.bev(&mut sim);
    assert!(bev.is_enabled(READ) && bev.is_enabled(WRITE), "events made up end nothing");
    assert_eq!(bev.input().len(), 4);
}

#[test]
fn a_trigger_that_is_due_heeds_the_low_marks() {
    let mut sim = Simulation::new(2);
    let (a, b) = keeping(&mut sim, PairOptions::new());
    b.bev(&mut sim).set_read_watermark(5, 0);
    a.write(&mut sim, b"four");
    settle(&mut sim, TURNS);
    trigger(&mut sim, &b, READ, Trigger::IfDue);
    settle(&mut sim, TURNS);
    assert_eq!(b.log.borrow().reads, [], "below the mark");
    b.bev(&mut sim).set_read_watermark(4, 0);
    trigger(&mut sim, &b, READ, Trigger::IfDue);
    settle(&mut sim, TURNS);
    assert_eq!(b.log.borrow().reads, [4]);

    a.log.take();
    a.bev(&mut sim).disable(WRITE);
    a.write(&mut sim, b"waits");
    trigger(&mut sim, &a, WRITE, Trigger::IfDue);
    settle(&mut sim, TURNS);
    assert_eq!(a.log.borrow().writes, 0, "above the mark");
    trigger(&mut sim, &a, WRITE, Trigger::Always);
    settle(&mut sim, TURNS);
    assert_eq!(a.log.borrow().writes, 1);
}

#[test]
fn a_closing_bufferevent_tells_nothing() {
    let mut sim = Simulation::new(3);
    let (a, _b) = taking(&mut sim, PairOptions::new());
    let mut bev = a.bev(&mut sim);
    bev.output().add(b"left");
    bev.close();
    bev.trigger(READ, Trigger::Always).expect("no filter stands over it");
    bev.trigger(WRITE, Trigger::Always).expect("no filter stands over it");
    bev.trigger_event(EventFlags::TIMEOUT).expect("no filter stands over it");
    drop(bev);
    settle(&mut sim, TURNS);
    let heard = a.log.take();
    assert_eq!((heard.reads.len(), heard.writes, heard.events.len()), (0, 0, 0));
}

#[test]
fn below_a_filter_the_topmost_is_named_instead() {
    let mut sim = Simulation::new(4);
    let (a, _b) = taking(&mut sim, PairOptions::new());
    let middle = over(&mut sim, &a, Swap);
    let top = over(&mut sim, &middle, Swap);
    for end in [&a, &middle] {
        let mut bev = end.bev(&mut sim);
        let refused = Err(TakenByFilter(top.id));
        assert_eq!(bev.trigger(READ, Trigger::Always), refused);
        assert_eq!(bev.trigger(WRITE, Trigger::IfDue), refused);
        assert_eq!(bev.trigger_event(EventFlags::TIMEOUT), refused);
    }
    settle(&mut sim, TURNS);
    assert_eq!((a.log.borrow().reads.len(), a.log.borrow().writes), (0, 0));
    trigger(&mut sim, &top, READ, Trigger::Always);
    trigger(&mut sim, &top, WRITE, Trigger::Always);
    settle(&mut sim, TURNS);
    assert_eq!((&top.log.borrow().reads, top.log.borrow().writes), (&vec![0], 1));
}

#[test]
fn a_new_handler_is_called_for_what_has_come_already() {
    let mut sim = Simulation::new(5);
    let (a, b) = keeping(&mut sim, PairOptions::new());
    a.write(&mut sim, b"early");
    settle(&mut sim, TURNS);
    let (handler, log) = Noting::new();
    let mut bev = b.bev(&mut sim);
    bev.set_handler(handler).expect("no filter stands over it");
    bev.trigger(READ, Trigger::IfDue).expect("no filter stands over it");
    drop(bev);
    settle(&mut sim, TURNS);
    assert_eq!(log.borrow().got, b"early");
}
