//! The paired bufferevents of the seed, row by row: what each of its functions does here.
//!
//! One test for a row of the table "Paired bufferevents", named for it, with the row in its
//! comment; in virtual time but for the row about two cores. What happens at the edges stands in
//! `pair.rs`, `pair_across.rs` and `schedules/`.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use sluicegate::sim::Simulation;
use sluicegate::{
    BevMut, Context, EventFlags, FlushError, FlushMode, Group, Handler, PairOptions, Unlinked,
};

use super::rig::ends::{keeping, settle, taking};
use super::rig::sim::{World, ms, per_tick};
use super::rig::{Echo, Server, made, pattern, receive};
use super::{READ, TICK, WRITE};

/// Turns in which anything here must have settled.
const TURNS: usize = 5000;

/// `bufferevent_pair_new`: joined in memory, no socket; callbacks always deferred, so two ends that
/// answer each other for 100,000 rounds never grow the stack.
#[test]
fn bufferevent_pair_new() {
    /// Answers, and notes how deep the stack is.
    struct Deep(Rc<Cell<(u32, usize, usize)>>);
    impl Handler for Deep {
        fn on_read(&mut self, cx: &mut Context<'_>) {
            let mark = 0_u8;
            let at = std::ptr::from_ref(&mark) as usize;
            let (calls, low, high) = self.0.get();
            self.0.set((calls + 1, low.min(at), high.max(at)));
            let (mut input, mut output) = cx.buffers();
            output.append(&mut input);
        }
    }
    /// Makes a pair from within a handler.
    struct Make(Rc<Cell<(u32, usize, usize)>>);
    impl Handler for Make {
        fn on_write(&mut self, cx: &mut Context<'_>) {
            let ends = (Deep(self.0.clone()), Deep(self.0.clone()));
            let (a, _) = cx.pair(PairOptions::new(), ends.0, ends.1);
            cx.get(a).expect("it is open").output().add(b"ping");
            cx.me().close();
        }
    }
    let mut sim = Simulation::new(1);
    let calls = Rc::new(Cell::new((0, usize::MAX, 0)));
    let (a, _) = sim.core().pair(PairOptions::new(), Make(calls.clone()), ());
    sim.core().get(a).expect("it is open").enable(WRITE);
    assert_eq!(calls.get().0, 0, "nothing is called before a turn");
    assert!(sim.run_until(Duration::from_secs(60), |_| calls.get().0 >= 200_000));
    let (_, low, high) = calls.get();
    assert_eq!(low, high, "every call stands at the same depth");
    let stats = sim.core().stats();
    assert_eq!((stats.connections, stats.reads, stats.writes), (0, 0, 0));
}

/// `Handle::pair`: ends on two cores, same meaning.
#[test]
fn handle_pair() {
    struct Tell(mpsc::Sender<Vec<u8>>);
    impl Handler for Tell {
        fn on_read(&mut self, cx: &mut Context<'_>) {
            let mut me = cx.me();
            let mut input = me.input();
            let mut bytes = vec![0; input.len()];
            input.remove(&mut bytes);
            self.0.send(bytes).expect("the test waits");
        }
    }
    let server = Server::idle(2);
    let (pieces, piece) = mpsc::channel();
    let ask = move |end: &mut BevMut<'_>| {
        end.output().add(&pattern(100_000));
        Tell(pieces)
    };
    let pending = server.handle.pair(0, ask, 1, |_: &mut BevMut<'_>| Echo, PairOptions::new());
    let (a, b) = made(pending.expect("the cores run")).expect("the cores run");
    let mut got = Vec::new();
    while got.len() < 100_000 {
        got.extend(receive(&piece));
    }
    assert_eq!(got, pattern(100_000));
    assert_eq!((a.core(), b.core()), (0, 1));
    let partner = server.on_core(0, move |core| core.get(a).expect("it is open").partner());
    assert_eq!(partner, Some(b));
}

/// `bufferevent_pair_get_partner`: `None` when not a pair or unlinked.
#[test]
fn bufferevent_pair_get_partner() {
    let mut world = World::new(2);
    let one = world.connect();
    assert_eq!(world.bev(one).partner(), None);
    let (a, b) = keeping(&mut world.sim, PairOptions::new());
    assert_eq!(a.bev(&mut world.sim).partner(), Some(b.id));
    assert_eq!(b.bev(&mut world.sim).partner(), Some(a.id));
    a.bev(&mut world.sim).close();
    assert_eq!(b.bev(&mut world.sim).partner(), None);
}

/// `bufferevent_flush` on a pair: Normal and Flush move everything past the watermarks; Finished
/// also gives the partner EOF; unlinked: an error.
#[test]
fn bufferevent_flush() {
    let mut sim = Simulation::new(3);
    for (mode, eof) in
        [(FlushMode::Normal, false), (FlushMode::Flush, false), (FlushMode::Finished, true)]
    {
        for direction in [READ, WRITE] {
            let (a, b) = keeping(&mut sim, PairOptions::new());
            let (writer, reader) = if direction == WRITE { (&a, &b) } else { (&b, &a) };
            reader.bev(&mut sim).set_read_watermark(0, 7);
            writer.write(&mut sim, &pattern(5000));
            settle(&mut sim, TURNS);
            assert_eq!(reader.input(&mut sim).len(), 7);
            a.bev(&mut sim).flush(direction, mode).expect("they are linked");
            settle(&mut sim, TURNS);
            assert_eq!(reader.input(&mut sim), pattern(5000));
            let side = if direction == WRITE { EventFlags::READING } else { EventFlags::WRITING };
            let told = if eof { vec![side | EventFlags::EOF] } else { vec![] };
            assert_eq!(b.log.borrow().events, told, "{mode:?} of {direction:?}");
            assert!(a.log.borrow().events.is_empty());
            assert!(b.bev(&mut sim).is_enabled(READ) && b.bev(&mut sim).is_enabled(WRITE));
            b.bev(&mut sim).close();
            let refused = a.bev(&mut sim).flush(direction, mode);
            assert_eq!(refused, Err(FlushError::Unlinked(Unlinked)));
        }
    }
}

/// Freeing one end: partner unlinked, no EOF, no events; bytes already delivered stay readable and
/// a pending read callback still runs once; writes fail with a typed error; timers and group
/// membership of the freed end are gone; `eof_on_close`.
#[test]
fn free_one_end() {
    let mut sim = Simulation::new(4);
    let group = Group::builder(per_tick(9000, 9000, TICK)).clock(sim.clock()).build();
    let group = group.expect("valid numbers");
    for eof in [false, true] {
        let (a, b) = keeping(&mut sim, PairOptions::new().eof_on_close(eof));
        a.bev(&mut sim).join(&group).expect("a seat");
        a.bev(&mut sim).set_timeout(READ, Some(TICK));
        a.write(&mut sim, b"delivered");
        a.bev(&mut sim).close();
        settle(&mut sim, TURNS);
        assert_eq!(b.log.borrow().reads, [9], "the callback runs once");
        assert_eq!(b.input(&mut sim), b"delivered");
        let events = if eof { vec![EventFlags::READING | EventFlags::EOF] } else { vec![] };
        assert_eq!(b.log.borrow().events, events);
        assert!(group.stats().seats.iter().all(|seat| !seat.taken));
        assert_eq!(sim.core().stats().timers, 0);
        sim.run_for(TICK * 3);
        assert_eq!(a.log.borrow().events, [], "its timeout is gone with it");
        b.write(&mut sim, b"lost");
        settle(&mut sim, TURNS);
        let last = b.log.borrow().events.last().copied();
        assert_eq!(last, Some(EventFlags::WRITING | EventFlags::ERROR));
        assert_eq!(b.log.borrow().unlinked, 1);
    }
}

/// Transfer: moves segments; the high watermark is respected exactly.
#[test]
fn transfer() {
    let mut sim = Simulation::new(5);
    let (a, b) = keeping(&mut sim, PairOptions::new());
    let page: Arc<[u8]> = Arc::from(pattern(65_536));
    a.bev(&mut sim).output().add_shared(page.clone());
    settle(&mut sim, TURNS);
    assert_eq!(b.bev(&mut sim).input().first().as_ptr(), page.as_ptr(), "no byte is copied");
    let (a, b) = taking(&mut sim, PairOptions::new());
    b.bev(&mut sim).set_read_watermark(10, 20);
    a.write(&mut sim, &pattern(65_000));
    sim.run_for(ms(100));
    settle(&mut sim, TURNS);
    assert_eq!(b.log.borrow().got, pattern(65_000));
    let log = b.log.borrow();
    assert!(log.reads.iter().all(|bytes| (10..=20).contains(bytes)));
    assert_eq!(log.reads.len(), 3250, "as many as there are slices of 20 bytes");
}
