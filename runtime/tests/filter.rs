//! Filters in virtual time, over sockets, pairs and each other: where handlers stand, what becomes
//! of ends and closes, and that nothing is lost, reordered or left behind.

mod rig;

use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::time::Duration;

use rig::ends::{Log as Heard, taking};
use rig::filter::{Lazy, Over, Swap, Trailer, filters, over_pair, over_socket, settle};
use rig::log::Log;
use rig::pattern;
use rig::sim::{LIMIT, World, ms, per_tick};
use sluicegate::sim::{Faults, Peer, Simulation};
use sluicegate::{
    BevId, Buffer, Context, Core, Direction, EventFlags, Filter, FilterError, FilterOptions,
    FilterResult, FlushMode, Handler, MAX_FILTERS, PairOptions, Shutdown, StackError, Suspend,
    TakenByFilter, Trigger,
};

const READ: Direction = Direction::Read;
const WRITE: Direction = Direction::Write;

#[test]
fn a_handler_moves_on_top_and_is_told_what_has_passed() {
    let mut sim = Simulation::new(1);
    let Over { top, lower, far } = over_pair(&mut sim, Swap);
    far.write(&mut sim, b"abc");
    top.write(&mut sim, b"xyz");
    settle(&mut sim);
    assert_eq!(top.log.borrow().got, b"abc".map(|byte| !byte));
    assert_eq!(far.log.borrow().got, b"xyz".map(|byte| !byte));
    assert_eq!(top.bev(&mut sim).underlying(), Some(lower));
    let mut below = sim.core().get(lower).expect("it is open");
    assert_eq!((below.above(), below.underlying()), (Some(top.id), None));
    assert_eq!(below.set_handler(()), Err(TakenByFilter(top.id)));
    drop(below);
    assert_eq!(filters(&mut sim), 1);
}

/// Puts a filter over itself when it is first called.
struct Upgrade(Heard);

impl Handler for Upgrade {
    fn on_read(&mut self, cx: &mut Context<'_>) {
        let mut me = cx.me();
        let mut first = [0];
        me.input().remove(&mut first);
        self.0.borrow_mut().got.extend(first);
        if first[0] == b'!' {
            me.filter(Swap, FilterOptions::new()).expect("it is open and has none");
        }
    }
}

#[test]
fn a_filter_put_on_within_a_callback_takes_the_running_handler_and_what_is_there() {
    let mut sim = Simulation::new(2);
    let log = Heard::default();
    let (far, _) = sim.core().pair(PairOptions::new(), (), Upgrade(log.clone()));
    for bytes in [&[b'!', !b'a'][..], &[!b'b']] {
        sim.core().get(far).expect("it is open").output().add(bytes);
        settle(&mut sim);
    }
    assert_eq!(log.borrow().got, b"!ab", "the second byte was there before the filter");
    assert_eq!(filters(&mut sim), 1);
}

#[test]
fn a_factory_may_put_filters_on_and_its_handler_stands_on_top() {
    let mut sim = Simulation::new(3);
    let (top, peer) = over_socket(&mut sim, 3);
    sim.write(peer, b"hello");
    let mut back = Vec::new();
    assert!(sim.run_until(LIMIT, |sim| {
        back.extend(sim.read(peer));
        back.len() == 5
    }));
    assert_eq!(back, b"hello", "swapped three times on the way in, and three on the way out");
    let mut bev = sim.core().get(top).expect("it is open");
    assert!(bev.peer_addr().is_some(), "that of the socket at the bottom");
    bev.close();
    drop(bev);
    assert!(sim.run_until(LIMIT, |sim| sim.core().stats().connections == 0));
    assert_eq!(filters(&mut sim), 0);
}

#[test]
fn marks_and_switches_hold_bytes_below_and_let_go_without_new_arrivals() {
    let mut sim = Simulation::new(5);
    let Over { top, lower, far } = over_pair(&mut sim, Swap);
    top.log.borrow_mut().keeps = true;
    top.bev(&mut sim).disable(READ);
    let bytes = pattern(100_000);
    far.write(&mut sim, &bytes);
    settle(&mut sim);
    let below = sim.core().get(lower).expect("it is open").input().len();
    assert_eq!(below, 0, "nobody wants it");
    top.bev(&mut sim).set_read_watermark(0, 1000);
    top.bev(&mut sim).enable(READ);
    let mut got = Vec::new();
    while got.len() < bytes.len() {
        settle(&mut sim);
        let piece = top.take(&mut sim, 5000);
        assert!(!piece.is_empty() && piece.len() <= 1000, "{} bytes at once", piece.len());
        got.extend(piece);
    }
    assert!(got.iter().zip(&bytes).all(|(got, byte)| *got == !*byte));
}

#[test]
fn limits_on_any_layer_are_kept_and_charged_once() {
    let tick = ms(100);
    for layer in 0..2 {
        let mut sim = Simulation::new(6);
        let log = Log::default();
        sim.observe(log.clone());
        let Over { top, lower, far } = over_pair(&mut sim, Swap);
        let limited = [top.id, lower][layer];
        let mut bev = sim.core().get(limited).expect("it is open");
        bev.set_rate_limit(Some(per_tick(1000, 1000, tick)));
        drop(bev);
        top.write(&mut sim, &pattern(5000));
        far.write(&mut sim, &pattern(5000));
        sim.run_for(ms(250));
        assert_eq!(far.log.borrow().got.len(), 3000, "layer {layer}");
        assert_eq!(top.log.borrow().got.len(), 3000, "layer {layer}");
        sim.run_for(ms(300));
        for direction in Direction::ALL {
            assert_eq!(log.bytes(direction), 5000, "layer {layer}: each byte is paid once");
        }
    }
}

#[test]
fn members_of_a_group_share_it_wherever_they_stand_in_a_stack() {
    let mut world = World::new(7);
    let group = world.group(per_tick(8000, 8000, ms(100)));
    let stacks: Vec<_> = (0..4).map(|_| over_pair(&mut world.sim, Swap)).collect();
    for stack in &stacks {
        stack.top.bev(&mut world.sim).join(&group).expect("a seat");
        stack.top.write(&mut world.sim, &pattern(1 << 20));
    }
    world.sim.run_for(Duration::from_secs(2));
    let got: Vec<usize> = stacks.iter().map(|stack| stack.far.log.borrow().got.len()).collect();
    let total: usize = got.iter().sum();
    assert!((150_000..=168_000).contains(&total), "{got:?}");
    assert!(got.iter().all(|&got| got.abs_diff(total / 4) < 8000), "{got:?}");
}

#[test]
fn a_close_finishes_the_filters_and_drains_what_is_below_first() {
    let mut sim = Simulation::new(8);
    let Over { top, far, .. } = over_pair(&mut sim, Trailer(b"1"));
    let second =
        sim.core().filter(top.id, Trailer(b"2"), FilterOptions::new()).expect("it is open");
    far.bev(&mut sim).set_read_watermark(0, 100);
    far.log.borrow_mut().keeps = true;
    let mut bev = sim.core().get(second).expect("it is open");
    bev.output().add(&pattern(2_000_000));
    bev.close();
    drop(bev);
    let mut got = Vec::new();
    far.bev(&mut sim).set_read_watermark(0, 50_000);
    loop {
        settle(&mut sim);
        let piece = far.take(&mut sim, usize::from(u16::MAX));
        if piece.is_empty() {
            break;
        }
        got.extend(piece);
    }
    assert_eq!(got.len(), 2_000_002);
    assert!(got == [pattern(2_000_000), b"21".to_vec()].concat());
    assert_eq!(filters(&mut sim), 0);
    assert_eq!(sim.core().stats().timers, 0);
}

#[test]
fn a_close_that_lingers_too_long_and_one_now_cut_the_stack() {
    for now in [false, true] {
        let mut sim = Simulation::new(9);
        let Over { top, far, .. } = over_pair(&mut sim, ());
        far.bev(&mut sim).disable(READ);
        let mut bev = top.bev(&mut sim);
        bev.output().add(&pattern(3_000_000));
        if now {
            bev.close_now();
        } else {
            bev.close_within(ms(500));
        }
        drop(bev);
        sim.run_for(ms(499));
        assert_eq!(filters(&mut sim), u64::from(!now));
        sim.run_for(ms(3));
        assert_eq!((filters(&mut sim), sim.core().stats().pair_ends), (0, 1));
        assert_eq!(sim.core().stats().timers, 0);
    }
}

#[test]
fn room_below_lets_output_through_to_a_socket_and_a_cut_resets_it() {
    for cuts in [false, true] {
        let mut sim = Simulation::with_faults(20, Faults::none());
        let (top, peer) = over_socket(&mut sim, 2);
        let bytes = pattern(3_000_000);
        let mut bev = sim.core().get(top).expect("it is open");
        bev.output().add(&bytes);
        drop(bev);
        sim.run_for(ms(50));
        let mut bev = sim.core().get(top).expect("it is open");
        if cuts {
            bev.close_now();
        } else {
            bev.close();
        }
        drop(bev);
        let mut got = Vec::new();
        sim.run_until(LIMIT, |sim| {
            got.extend(sim.read(peer));
            sim.is_eof(peer) || sim.is_reset(peer)
        });
        assert_eq!(sim.is_reset(peer), cuts, "after {} bytes", got.len());
        assert!(bytes.starts_with(&got) && (cuts || got.len() == bytes.len()));
        assert_eq!(sim.core().stats().connections, 0);
    }
}

#[test]
fn the_stream_below_survives_a_filter_that_leaves_it() {
    let mut sim = Simulation::new(10);
    let (a, far) = taking(&mut sim, PairOptions::new());
    let options = FilterOptions::new().close_underlying(false);
    for round in 0..2 {
        let id = sim.core().filter(a.id, Swap, options).expect("it is open");
        let mut bev = sim.core().get(id).expect("it is open");
        bev.output().add(b"swapped");
        if round == 0 {
            bev.close();
        }
        drop(bev);
        settle(&mut sim);
        if round == 1 {
            assert_eq!(sim.core().get(id).expect("it is open").release(), Some(a.id));
            settle(&mut sim);
        }
        assert!(sim.core().get(id).is_none());
        assert_eq!(far.log.borrow_mut().got.split_off(0), b"swapped".map(|byte| !byte));
        a.write(&mut sim, b"plain");
        far.write(&mut sim, b"answer");
        settle(&mut sim);
        assert_eq!(far.log.borrow_mut().got.split_off(0), b"plain");
        assert_eq!(a.log.borrow_mut().got.split_off(0), b"answer", "its handler is back");
    }
    assert_eq!(filters(&mut sim), 0);
}

/// Gives the stream below back as soon as it is called.
struct Downgrade(Heard);

impl Handler for Downgrade {
    fn on_read(&mut self, cx: &mut Context<'_>) {
        let mut me = cx.me();
        let mut bytes = vec![0; me.input().len()];
        me.input().remove(&mut bytes);
        self.0.borrow_mut().got.extend(bytes);
        me.release();
    }
}

#[test]
fn a_handler_may_release_its_filter_while_it_is_called() {
    let mut sim = Simulation::new(11);
    let log = Heard::default();
    let (far, near) = sim.core().pair(PairOptions::new(), (), Downgrade(log.clone()));
    sim.core().filter(near, Swap, FilterOptions::new()).expect("it is open");
    for bytes in [[!b'a'], [b'b'], [b'c']] {
        sim.core().get(far).expect("it is open").output().add(&bytes);
        settle(&mut sim);
    }
    assert_eq!(log.borrow().got, b"abc");
    assert_eq!(filters(&mut sim), 0);
}

#[test]
fn an_end_comes_after_the_last_byte_through_every_layer() {
    let mut sim = Simulation::new(12);
    let (near, far) = taking(&mut sim, PairOptions::new().eof_on_close(true));
    let mut top = near.id;
    for _ in 0..3 {
        top = sim.core().filter(top, Swap, FilterOptions::new()).expect("it is open");
    }
    let mut bev = sim.core().get(top).expect("it is open");
    bev.set_rate_limit(Some(per_tick(1000, 1000, ms(100))));
    drop(bev);
    far.write(&mut sim, &pattern(4500));
    far.bev(&mut sim).close();
    sim.run_for(ms(350));
    assert_eq!((near.log.borrow().got.len(), near.log.borrow().events.len()), (4000, 0));
    sim.run_for(ms(200));
    assert_eq!(near.log.borrow().got.len(), 4500);
    assert_eq!(near.log.borrow().events, [EventFlags::READING | EventFlags::EOF]);
    let bev = sim.core().get(top).expect("it is open");
    assert!(!bev.is_enabled(READ) && bev.is_enabled(WRITE));
}

#[test]
fn an_end_that_was_told_below_is_told_on_top_whatever_waits_to_be_told() {
    const END: EventFlags = EventFlags::READING.union(EventFlags::EOF);
    let (read, all) = (EventFlags::empty(), END | EventFlags::TIMEOUT);
    for (waits, told) in [(read, END), (EventFlags::TIMEOUT, all), (END, END)] {
        let mut sim = Simulation::new(23);
        let (near, far) = taking(&mut sim, PairOptions::new().eof_on_close(true));
        far.bev(&mut sim).close();
        settle(&mut sim);
        assert_eq!(near.log.take().events, [END]);
        let mut bev = near.bev(&mut sim);
        bev.trigger(READ, Trigger::Always).expect("nothing stands over it");
        bev.trigger_event(waits).expect("nothing stands over it");
        bev.filter(Swap, FilterOptions::new()).expect("it is open");
        drop(bev);
        settle(&mut sim);
        assert_eq!(near.log.take().events, [told]);
    }
}

#[test]
fn a_stream_that_dies_below_is_one_error_above() {
    let mut sim = Simulation::new(13);
    let Over { top, lower, .. } = over_pair(&mut sim, ());
    sim.core().get(lower).expect("it is open").close_now();
    settle(&mut sim);
    assert_eq!(top.log.borrow().events, [EventFlags::ERROR]);
    assert_eq!(top.log.borrow().errors, [io::ErrorKind::NotConnected]);
    top.bev(&mut sim).output().add(b"nobody reads this");
    top.bev(&mut sim).close();
    settle(&mut sim);
    assert_eq!((filters(&mut sim), top.log.borrow().events.len()), (0, 1));
    assert_eq!(sim.core().stats().timers, 0);
}

/// Fails at the first byte, or panics.
struct Broken {
    panics: bool,
}

impl Filter for Broken {
    fn input(
        &mut self,
        _: &mut Buffer,
        _: &mut Buffer,
        _: Option<usize>,
        _: FlushMode,
    ) -> FilterResult {
        assert!(!self.panics, "a filter panics");
        FilterResult::Error(FilterError::new("bad byte"))
    }
}

#[test]
fn an_error_of_a_filter_reaches_the_handler_once() {
    let mut sim = Simulation::new(14);
    let Over { top, far, .. } = over_pair(&mut sim, Broken { panics: false });
    for _ in 0..3 {
        far.write(&mut sim, b"x");
        settle(&mut sim);
    }
    assert_eq!(top.log.borrow().events, [EventFlags::READING | EventFlags::ERROR]);
    top.write(&mut sim, b"still works");
    settle(&mut sim);
    assert_eq!(far.log.borrow().got, b"still works");
}

#[test]
fn a_filter_that_panics_cuts_its_stack_and_nothing_else() {
    let mut sim = Simulation::new(15);
    let broken = over_pair(&mut sim, Broken { panics: true });
    let sound = over_pair(&mut sim, Swap);
    broken.far.write(&mut sim, b"x");
    sound.far.write(&mut sim, b"y");
    settle(&mut sim);
    assert!(sim.core().get(broken.top.id).is_none() && sim.core().get(broken.lower).is_none());
    assert_eq!(sim.core().stats().handler_panics, 1);
    assert_eq!(sound.top.log.borrow().got, [!b'y']);
}

#[test]
fn all_flushed_is_told_on_top_when_every_layer_is_empty() {
    let mut sim = Simulation::new(16);
    let Over { top, far, .. } = over_pair(&mut sim, Swap);
    let second = sim
        .core()
        .filter(top.id, Swap, FilterOptions::new().tell_flushed(true))
        .expect("it is open");
    far.log.borrow_mut().keeps = true;
    far.bev(&mut sim).set_read_watermark(0, 10);
    let flushed = || top.log.borrow().flushed;
    sim.core().get(second).expect("it is open").output().add(&pattern(15));
    settle(&mut sim);
    assert_eq!(flushed(), 0, "five bytes wait at the bottom");
    far.take(&mut sim, 10);
    settle(&mut sim);
    assert_eq!(flushed(), 1);
}

#[test]
fn timeouts_run_only_while_the_peer_is_to_act() {
    let mut sim = Simulation::new(17);
    let Over { top, far, .. } = over_pair(&mut sim, ());
    top.bev(&mut sim).set_timeout(WRITE, Some(ms(50)));
    top.bev(&mut sim).set_timeout(READ, Some(ms(150)));
    top.write(&mut sim, b"taken at once");
    sim.run_for(ms(100));
    assert!(top.log.borrow().events.is_empty(), "nothing waits");
    sim.run_for(ms(60));
    assert_eq!(top.log.borrow().events, [EventFlags::READING | EventFlags::TIMEOUT]);
    far.bev(&mut sim).disable(READ);
    top.write(&mut sim, &pattern(3_000_000));
    sim.run_for(ms(60));
    let events = top.log.borrow().events.clone();
    assert_eq!(events[1..], [EventFlags::WRITING | EventFlags::TIMEOUT]);
}

#[test]
fn a_flush_goes_through_every_layer() {
    let mut sim = Simulation::new(18);
    let Over { top, far, lower } = over_pair(&mut sim, Lazy);
    let second = sim.core().filter(top.id, Lazy, FilterOptions::new());
    let second = second.expect("it is open");
    let flush = |sim: &mut Simulation, direction, mode| {
        let mut bev = sim.core().get(second).expect("it is open");
        bev.flush(direction, mode).expect("the pair is whole");
        drop(bev);
        settle(sim);
    };
    sim.core().get(second).expect("it is open").output().add(b"down");
    far.write(&mut sim, b"up");
    settle(&mut sim);
    flush(&mut sim, WRITE, FlushMode::Normal);
    assert!(far.log.borrow().got.is_empty() && top.log.borrow().got.is_empty());
    flush(&mut sim, WRITE, FlushMode::Flush);
    assert_eq!(far.log.borrow().got, b"down");
    assert!(top.log.borrow().got.is_empty());
    flush(&mut sim, READ, FlushMode::Flush);
    assert_eq!(top.log.borrow().got, b"up");
    flush(&mut sim, WRITE, FlushMode::Finished);
    assert_eq!(far.log.borrow().events, [EventFlags::READING | EventFlags::EOF]);
    let suspended = sim.core().get(lower).expect("it is open").suspended(READ);
    assert_eq!(suspended, Suspend::empty());
}

#[test]
fn a_flush_reaches_the_top_of_the_highest_stack() {
    let mut sim = Simulation::new(21);
    let (near, far) = taking(&mut sim, PairOptions::new());
    let mut top = near.id;
    for _ in 0..MAX_FILTERS {
        top = sim.core().filter(top, Lazy, FilterOptions::new()).expect("it is open");
    }
    far.write(&mut sim, b"up");
    settle(&mut sim);
    assert!(near.log.borrow().got.is_empty());
    let mut bev = sim.core().get(top).expect("it is open");
    bev.flush(READ, FlushMode::Flush).expect("the pair is whole");
    drop(bev);
    settle(&mut sim);
    assert_eq!(near.log.borrow().got, b"up");
}

#[test]
fn a_drain_tells_the_handler_on_top_and_ends_every_layer() {
    let mut sim = Simulation::new(19);
    let (_, peer) = over_socket(&mut sim, 2);
    sim.write(peer, b"hello");
    sim.run_for(ms(5));
    sim.core().handle().shutdown(Shutdown::Drain);
    assert!(sim.run_until(LIMIT, |sim| sim.is_stopped()));
    let stats = sim.core().stats();
    assert_eq!((stats.drained, stats.cut, stats.filters), (1, 0, 0));
    assert_eq!(sim.read(peer), b"hello");
}

/// Notes when it is told of the drain, and closes then; releases its filter when it is called to
/// read.
struct Drains(Told);

type Told = Rc<RefCell<Vec<&'static str>>>;

impl Handler for Drains {
    fn on_read(&mut self, cx: &mut Context<'_>) {
        self.0.borrow_mut().push("released");
        cx.me().release().expect("it is on top");
    }

    fn on_drain(&mut self, cx: &mut Context<'_>) {
        self.0.borrow_mut().push("drain");
        cx.me().close();
    }
}

/// A filter over a simulated socket, under a handler that notes the drain; and the peer.
fn draining(sim: &mut Simulation, options: FilterOptions) -> (BevId, Peer, Told) {
    let log = Told::default();
    let (socket, peer) = sim.socket("10.0.0.9:4000".parse().expect("an address"));
    let id = sim.core().adopt(socket, Drains(log.clone())).expect("it is connected");
    (sim.core().filter(id, Swap, options).expect("it is open"), peer, log)
}

#[test]
fn a_handler_that_moves_down_during_a_drain_is_told_of_it_once() {
    let mut sim = Simulation::new(21);
    let (top, _, log) = draining(&mut sim, FilterOptions::new());
    let handle = sim.core().handle();
    handle.shutdown(Shutdown::Drain);
    let release = move |core: &mut Core| {
        let mut bev = core.get(top).expect("it is open");
        bev.trigger(READ, Trigger::Always).expect("it is on top");
    };
    handle.submit_to(0, release).expect("it runs");
    assert!(sim.run_until(ms(100), |sim| sim.is_stopped()));
    assert_eq!(*log.borrow(), ["released", "drain"]);

    let mut sim = Simulation::new(22);
    let options = FilterOptions::new().close_underlying(false);
    let (top, peer, log) = draining(&mut sim, options);
    let mut bev = sim.core().get(top).expect("it is open");
    bev.output().add(&pattern(2_000_000));
    bev.close();
    drop(bev);
    sim.run_for(ms(50));
    sim.core().handle().shutdown(Shutdown::Drain);
    sim.run_for(ms(50));
    assert_eq!(log.borrow().len(), 0, "it is above, where all is closed already");
    let mut got = 0;
    assert!(sim.run_until(ms(1000), |sim| {
        got += sim.read(peer).len();
        sim.is_stopped() && sim.is_eof(peer)
    }));
    assert_eq!((*log.borrow()).as_slice(), ["drain"]);
    assert_eq!(got, 2_000_000);
}

#[test]
fn a_stack_carries_bytes_at_its_greatest_height_and_grows_no_higher() {
    let mut sim = Simulation::new(20);
    let (near, far) = taking(&mut sim, PairOptions::new());
    let mut top = near.id;
    for _ in 0..MAX_FILTERS {
        top = sim.core().filter(top, (), FilterOptions::new()).expect("it is open");
    }
    let error = sim.core().filter(top, (), FilterOptions::new()).expect_err("it is full");
    assert_eq!(error, StackError::TooHigh { filters: MAX_FILTERS });
    sim.core().get(top).expect("it is open").output().add(b"down");
    far.write(&mut sim, b"up");
    settle(&mut sim);
    assert_eq!((&far.log.borrow().got[..], &near.log.borrow().got[..]), (&b"down"[..], &b"up"[..]));
    sim.core().get(top).expect("it is open").close();
    settle(&mut sim);
    assert_eq!(filters(&mut sim), 0);
}
