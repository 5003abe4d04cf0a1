//! Pairs in virtual time: what one end writes the other reads, in order and once, under marks,
//! limits, flushes and closes, and no end can keep the others from their turn.

mod rig;

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use rig::ends::{keeping, settle, taking};
use rig::pattern;
use rig::sim::{World, connect, listen, ms, per_second, per_tick};
use sluicegate::sim::Simulation;
use sluicegate::{
    Context, Direction, EventFlags, FlushError, FlushMode, Group, Handler, PairOptions, Suspend,
    Unlinked,
};

const READ: Direction = Direction::Read;
const WRITE: Direction = Direction::Write;

/// Turns in which anything small must have settled.
const TURNS: usize = 50;

/// Answers each message with the same, and counts them.
struct Answer(Rc<Cell<u64>>);

impl Handler for Answer {
    fn on_read(&mut self, cx: &mut Context<'_>) {
        self.0.set(self.0.get() + 1);
        let (mut input, mut output) = cx.buffers();
        output.append(&mut input);
    }
}

/// Starts two ends that answer each other for ever; returns how often they were called.
fn answering(sim: &mut Simulation) -> Rc<Cell<u64>> {
    let done = Rc::new(Cell::new(0));
    let (a, _) = sim.core().pair(PairOptions::new(), Answer(done.clone()), Answer(done.clone()));
    sim.core().get(a).expect("it is open").output().add(&[7; 64]);
    done
}

#[test]
fn bytes_cross_by_reference_in_both_directions() {
    let mut sim = Simulation::new(1);
    let (a, b) = keeping(&mut sim, PairOptions::new());
    let page: Arc<[u8]> = Arc::from(pattern(65_536));
    a.bev(&mut sim).output().add_shared(page.clone());
    b.write(&mut sim, b"and back");
    sim.turn();
    assert_eq!(b.bev(&mut sim).input().first().as_ptr(), page.as_ptr(), "moved, not copied");
    assert_eq!(b.input(&mut sim), *page);
    assert_eq!(a.input(&mut sim), b"and back");
    for end in [&a, &b] {
        let log = end.log.borrow();
        assert_eq!((log.reads.len(), log.writes, log.events.len()), (1, 1, 0));
    }
    assert_eq!(a.bev(&mut sim).peer_addr(), None);
    assert_eq!(a.bev(&mut sim).partner(), Some(b.id));
    assert_eq!(b.bev(&mut sim).partner(), Some(a.id));
    let stats = sim.core().stats();
    assert_eq!((stats.connections, stats.pair_ends), (0, 2));
    assert_eq!((stats.bytes_in, stats.reads, stats.writes), (0, 0, 0), "no socket has moved");
}

#[test]
fn a_turn_carries_a_chain_as_far_as_its_budget() {
    let mut sim = Simulation::new(3);
    let done = answering(&mut sim);
    sim.turn();
    let first = done.get();
    // A message takes a write and a read.
    assert!((500..=512).contains(&first), "{first} hops in a turn");
    let polls = sim.core().stats().polls;
    for _ in 0..10 {
        sim.turn();
    }
    assert!((5000..=5632).contains(&done.get()), "{} hops in eleven turns", done.get());
    assert_eq!(sim.core().stats().polls, polls + 10, "it waits for nothing in between");
}

#[test]
fn an_endless_chain_leaves_sockets_their_turn() {
    let mut sim = Simulation::new(4);
    let addr = listen(&mut sim, |_| ());
    let peers = connect(&mut sim, addr, 8);
    let done = answering(&mut sim);
    let mut echoed = vec![0; peers.len()];
    for _ in 0..100 {
        for (&peer, echoed) in peers.iter().zip(&mut echoed) {
            sim.write(peer, &[7; 100]);
            *echoed += sim.read(peer).len();
        }
        sim.turn();
    }
    assert!(echoed.iter().all(|&bytes| bytes >= 90 * 100), "echoed {echoed:?} in 100 turns");
    assert!(done.get() >= 100 * 500);
}

#[test]
fn a_loop_of_triggers_ends_its_turn() {
    /// Asks to be called again each time it is called.
    struct Again(Rc<Cell<u64>>);
    impl Handler for Again {
        fn on_write(&mut self, cx: &mut Context<'_>) {
            self.0.set(self.0.get() + 1);
            cx.me().enable(WRITE);
        }
    }
    let mut sim = Simulation::new(5);
    let calls = Rc::new(Cell::new(0));
    let (a, b) = sim.core().pair(PairOptions::new(), Again(calls.clone()), Again(calls.clone()));
    for id in [a, b] {
        sim.core().get(id).expect("it is open").enable(WRITE);
    }
    sim.turn();
    assert!((2..100).contains(&calls.get()), "{} calls in a turn", calls.get());
    answering(&mut sim);
    let before = calls.get();
    sim.turn();
    assert!(calls.get() - before < 20_000, "{} calls beside a chain", calls.get() - before);
}

#[test]
fn what_waits_for_a_reader_is_bounded_by_its_mark_or_the_window() {
    let mut sim = Simulation::new(7);
    for (high, enabled, bound) in
        [(0, true, usize::MAX), (500, true, 500), (0, false, 0), (500, false, 0)]
    {
        let (a, b) = keeping(&mut sim, PairOptions::new());
        b.bev(&mut sim).set_read_watermark(0, high);
        if !enabled {
            b.bev(&mut sim).disable(READ);
        }
        a.write(&mut sim, &pattern(1_000_000));
        settle(&mut sim, TURNS);
        let there = b.bev(&mut sim).input().len();
        assert_eq!(there, bound.min(1_000_000), "mark {high}, enabled {enabled}");
        assert_eq!(a.bev(&mut sim).output().len(), 1_000_000 - there);
        b.bev(&mut sim).set_read_watermark(0, 0);
        b.bev(&mut sim).enable(READ);
        settle(&mut sim, TURNS);
        assert_eq!(b.input(&mut sim), pattern(1_000_000), "all of it follows, in order");
    }
    // One that waits for tokens leaves no more on the wire than the window.
    let (a, b) = taking(&mut sim, PairOptions::new());
    b.bev(&mut sim).set_rate_limit(Some(per_second(10_000)));
    a.write(&mut sim, &[7; 1_000_000]);
    sim.run_for(ms(1000));
    let got = b.log.borrow().got.len();
    assert!((9_000..=11_000).contains(&got), "{got}");
    let left = a.bev(&mut sim).output().len();
    assert!(1_000_000 - left <= got + 256 * 1024, "{left} left after {got}");
}

#[test]
fn ends_that_are_both_backed_up_do_not_wait_for_each_other() {
    let mut sim = Simulation::new(17);
    let (a, b) = taking(&mut sim, PairOptions::new());
    for end in [&a, &b] {
        end.write(&mut sim, &pattern(3_000_000));
    }
    settle(&mut sim, TURNS);
    assert!(a.log.borrow().got == pattern(3_000_000) && b.log.borrow().got == pattern(3_000_000));
    // But an end that answers somebody who does not read stops reading in time.
    let (a, b) = keeping(&mut sim, PairOptions::new());
    a.bev(&mut sim).disable(READ);
    b.bev(&mut sim).set_handler(rig::Echo).expect("no filter stands over it");
    for _ in 0..100 {
        a.write(&mut sim, &[7; 100_000]);
        sim.turn();
    }
    let waiting = b.bev(&mut sim).output().len();
    assert!(waiting <= (1 << 20) + 256 * 1024, "{waiting} bytes");
    assert_eq!(b.bev(&mut sim).suspended(READ), Suspend::OUTPUT);
}

#[test]
fn limits_of_both_ends_hold_and_both_are_charged() {
    let mut sim = Simulation::new(8);
    let (a, b) = taking(&mut sim, PairOptions::new());
    let group = Group::builder(per_tick(500, 500, ms(100))).clock(sim.clock()).build();
    let group = group.expect("valid numbers");
    a.bev(&mut sim).join(&group).expect("a seat");
    b.bev(&mut sim).set_rate_limit(Some(per_tick(200, 200, ms(100))));
    a.write(&mut sim, &pattern(10_000));
    sim.run_for(ms(50));
    assert_eq!(b.log.borrow().got.len(), 200);
    assert_eq!(group.totals(), (0, 500), "the writer's group is charged for what was written");
    assert_eq!(b.bev(&mut sim).suspended(READ), Suspend::OWN_LIMIT);
    assert_eq!(a.bev(&mut sim).suspended(WRITE), Suspend::GROUP_LIMIT);
    sim.run_for(ms(100) * 10);
    assert_eq!(b.log.borrow().got.len(), 2200);
    sim.run_for(Duration::from_secs(60));
    assert_eq!(b.log.borrow().got, pattern(10_000));
    assert_eq!(group.totals(), (0, 10_000));
}

#[test]
fn pairs_between_two_contended_groups_neither_stand_still_nor_spin() {
    const PAIRS: usize = 16;
    const RATE: u64 = 1_000_000;
    const SPAN: Duration = Duration::from_secs(5);
    let mut sim = Simulation::new(9);
    let group = |sim: &Simulation| Group::builder(per_second(RATE)).clock(sim.clock()).build();
    let groups = [0, 1].map(|_| group(&sim).expect("valid numbers"));
    let pairs: Vec<_> = (0..PAIRS).map(|_| taking(&mut sim, PairOptions::new())).collect();
    for (at, (a, b)) in pairs.iter().enumerate() {
        a.bev(&mut sim).join(&groups[at % 2]).expect("a seat");
        b.bev(&mut sim).join(&groups[1 - at % 2]).expect("a seat");
        a.write(&mut sim, &vec![7; 2_000_000]);
        b.write(&mut sim, &vec![7; 2_000_000]);
    }
    let polls = sim.core().stats().polls;
    sim.run_for(SPAN);
    let polls = sim.core().stats().polls - polls;
    // A core comes back for 100 µs worth of each rate at most, and for its timers of 1 ms.
    assert!(polls < 2 * 2 * 10_000 * SPAN.as_secs(), "{polls} polls");
    let due = (RATE * SPAN.as_secs()) as f64;
    for group in &groups {
        let (read, written) = group.totals();
        assert!(read as f64 >= 0.95 * due && written as f64 >= 0.95 * due, "{read} {written}");
    }
    let got = |end: &rig::ends::End| end.log.borrow().got.len() as f64;
    let shares: Vec<f64> = pairs.iter().flat_map(|(a, b)| [got(a), got(b)]).collect();
    let mean = shares.iter().sum::<f64>() / shares.len() as f64;
    assert!(shares.iter().all(|share| (share / mean - 1.0).abs() < 0.1), "shares {shares:?}");
}

#[test]
fn a_flush_passes_marks_and_switches_and_what_limits_hold_back_follows() {
    let mut sim = Simulation::new(10);
    for mode in [FlushMode::Normal, FlushMode::Flush, FlushMode::Finished] {
        for from_reader in [false, true] {
            let (a, b) = keeping(&mut sim, PairOptions::new());
            b.bev(&mut sim).set_read_watermark(0, 10);
            a.write(&mut sim, &pattern(1000));
            settle(&mut sim, TURNS);
            assert_eq!(b.input(&mut sim).len(), 10);
            b.bev(&mut sim).disable(READ);
            a.bev(&mut sim).disable(WRITE);
            b.bev(&mut sim).set_rate_limit(Some(per_tick(300, 300, ms(100))));
            let (end, direction) = if from_reader { (&b, READ) } else { (&a, WRITE) };
            end.bev(&mut sim).flush(direction, mode).expect("both ends are there");
            a.bev(&mut sim).output().add(b"later");
            settle(&mut sim, TURNS);
            assert_eq!(b.input(&mut sim).len(), 310, "as far as the tokens go");
            let told = if from_reader { &a } else { &b };
            let side = if from_reader { EventFlags::WRITING } else { EventFlags::READING };
            let early = told.log.borrow().events.len();
            assert_eq!(early, usize::from(from_reader && mode == FlushMode::Finished));
            sim.run_for(ms(400));
            assert_eq!(b.input(&mut sim), pattern(1000), "the rest ignores the mark, no more does");
            let expected = match mode {
                FlushMode::Finished => vec![side | EventFlags::EOF],
                _ => vec![],
            };
            assert_eq!(told.log.borrow().events, expected, "{mode:?} by the reader: {from_reader}");
            a.bev(&mut sim).enable(WRITE);
            b.bev(&mut sim).enable(READ);
            b.bev(&mut sim).set_read_watermark(0, 0);
            sim.run_for(ms(200));
            assert_eq!(b.input(&mut sim).len(), 1005, "it goes on after the flush");
            a.bev(&mut sim).close();
            b.bev(&mut sim).close();
            settle(&mut sim, TURNS);
        }
    }
}

#[test]
fn a_flush_of_nothing_calls_nobody_and_finished_tells_at_once() {
    let mut sim = Simulation::new(11);
    let (a, b) = keeping(&mut sim, PairOptions::new());
    for direction in Direction::ALL {
        a.bev(&mut sim).flush(direction, FlushMode::Flush).expect("both ends are there");
    }
    sim.turn();
    for end in [&a, &b] {
        let log = end.log.borrow();
        assert_eq!((log.reads.len(), log.writes, log.events.len()), (0, 0, 0));
    }
    a.bev(&mut sim).flush(WRITE, FlushMode::Finished).expect("both ends are there");
    a.bev(&mut sim).flush(READ, FlushMode::Finished).expect("both ends are there");
    sim.turn();
    let both = EventFlags::READING | EventFlags::WRITING | EventFlags::EOF;
    assert_eq!(b.log.borrow().events, [both]);
    assert!(a.log.borrow().events.is_empty());
}

#[test]
fn a_flush_of_a_socket_tries_now() {
    let mut world = World::new(12);
    let one = world.connect();
    for direction in Direction::ALL {
        world.bev(one).flush(direction, FlushMode::Finished).expect("a socket can be flushed");
    }
    assert_eq!(world.bev(one).partner(), None);
    assert_eq!(world.pour(&[one], 100, ms(5)), [100]);
}

#[test]
fn a_close_writes_what_is_left_and_unlinks_without_a_word() {
    let mut sim = Simulation::new(13);
    let group = Group::builder(per_tick(300, 300, ms(100))).clock(sim.clock()).build();
    let group = group.expect("valid numbers");
    let (a, b) = keeping(&mut sim, PairOptions::new());
    b.bev(&mut sim).set_read_watermark(0, 100);
    a.bev(&mut sim).join(&group).expect("a seat");
    a.bev(&mut sim).set_timeout(READ, Some(Duration::from_secs(5)));
    a.write(&mut sim, &pattern(1000));
    a.bev(&mut sim).close();
    assert_eq!(b.bev(&mut sim).partner(), None, "unlinked at once");
    let refused = b.bev(&mut sim).flush(READ, FlushMode::Flush);
    assert_eq!(refused, Err(FlushError::Unlinked(Unlinked)));
    sim.run_for(ms(150));
    assert_eq!(group.totals(), (0, 600), "what is left is written under the permits");
    assert_eq!(sim.core().stats().pair_ends, 2);
    sim.run_for(ms(300));
    assert_eq!((group.totals(), sim.core().stats().pair_ends), ((0, 1000), 1));
    assert!(sim.core().get(a.id).is_none());
    assert!(group.stats().seats.iter().all(|seat| !seat.taken), "it has left its group");
    assert_eq!(sim.core().stats().timers, 0, "its timers are gone");
    let mut got = Vec::new();
    while got.len() < 1000 {
        let piece = b.take(&mut sim, 100);
        assert_eq!(piece.len(), 100, "what was delivered stays, within the mark");
        got.extend(piece);
        sim.turn();
    }
    assert_eq!(got, pattern(1000));
    settle(&mut sim, TURNS);
    let log = b.log.borrow();
    assert!((10..20).contains(&log.reads.len()) && log.events.is_empty(), "{log:?}");
}

#[test]
fn a_read_callback_that_waits_when_the_partner_goes_runs_once() {
    let mut sim = Simulation::new(14);
    let (a, b) = keeping(&mut sim, PairOptions::new());
    a.write(&mut sim, b"last words");
    a.bev(&mut sim).close();
    settle(&mut sim, TURNS);
    assert_eq!(b.input(&mut sim), b"last words");
    assert_eq!((b.log.borrow().reads.len(), b.log.borrow().events.len()), (1, 0));
}

#[test]
fn with_the_option_the_partner_reads_the_end_after_the_last_byte() {
    let mut sim = Simulation::new(15);
    let options = PairOptions::new().eof_on_close(true);
    for waits in [0, 1, 1000] {
        let (a, b) = keeping(&mut sim, options);
        b.bev(&mut sim).set_read_watermark(0, 100);
        a.write(&mut sim, &pattern(waits));
        a.bev(&mut sim).close();
        settle(&mut sim, TURNS);
        let mut got = b.take(&mut sim, 100);
        while got.len() < waits {
            assert!(b.log.borrow().events.is_empty(), "not before the last byte");
            settle(&mut sim, TURNS);
            got.extend(b.take(&mut sim, 100));
        }
        settle(&mut sim, TURNS);
        assert_eq!(got, pattern(waits));
        assert_eq!(b.log.borrow().events, [EventFlags::READING | EventFlags::EOF]);
        assert!(!b.bev(&mut sim).is_enabled(READ));
        b.bev(&mut sim).close();
        settle(&mut sim, TURNS);
    }
    // What was cut off must not pass for whole.
    let (a, b) = keeping(&mut sim, options);
    b.bev(&mut sim).disable(READ);
    a.write(&mut sim, &pattern(1000));
    settle(&mut sim, TURNS);
    a.bev(&mut sim).close_now();
    b.bev(&mut sim).enable(READ);
    settle(&mut sim, TURNS);
    assert_eq!(b.log.borrow().events, [EventFlags::READING | EventFlags::ERROR]);
}

#[test]
fn writing_to_an_end_that_is_gone_fails_each_time() {
    let mut sim = Simulation::new(16);
    let (a, b) = keeping(&mut sim, PairOptions::new());
    b.bev(&mut sim).set_read_watermark(0, 10);
    a.write(&mut sim, &[7; 100]);
    settle(&mut sim, TURNS);
    assert_eq!(a.bev(&mut sim).output().len(), 80 + 10, "it waits for room");
    b.bev(&mut sim).close();
    settle(&mut sim, TURNS);
    for times in 1..4 {
        let log = a.log.borrow();
        assert_eq!(log.events, vec![EventFlags::WRITING | EventFlags::ERROR; times]);
        assert_eq!(log.unlinked, times);
        drop(log);
        assert_eq!(a.bev(&mut sim).output().len(), 0);
        a.write(&mut sim, b"is anybody there?");
        settle(&mut sim, TURNS);
    }
    a.write(&mut sim, b"good bye");
    a.bev(&mut sim).close();
    settle(&mut sim, TURNS);
    assert_eq!(sim.core().stats().pair_ends, 0);
}
