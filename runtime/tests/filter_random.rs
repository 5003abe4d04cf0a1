//! Stacks of filters under random schedules: whatever is limited, marked, switched, flushed, cut or
//! broken, bytes come out in order and once, or the stream ends; and nothing is left behind.
//!
//! Owns a model that knows what was sent and got. Both ends carry the same filters, so that what
//! goes into one stack must come out of the other. Every run follows from its seed, which a failure
//! names.

mod rig;

use std::time::Duration;

use rand::rngs::Xoshiro256PlusPlus;
use rand::{RngExt, SeedableRng};
use rig::ends::{End, Log, Noting, taking};
use rig::filter::Swap;
use rig::sim::{ADDR, ms, per_tick};
use sluicegate::sim::{Faults, Simulation};
use sluicegate::{
    BevId, BevMut, Buffer, Direction, EventFlags, Filter, FilterOptions, FilterResult, FlushMode,
    Group, ListenOptions, PairOptions,
};

/// Runs of the random test, each of another seed.
const SEEDS: u64 = 2_500;

/// Steps of a run.
const STEPS: usize = 60;

/// Makes two bytes of one on the way down, whatever the limit, and one of two on the way up.
struct Double;

impl Filter for Double {
    fn input(
        &mut self,
        src: &mut Buffer,
        dst: &mut Buffer,
        limit: Option<usize>,
        _: FlushMode,
    ) -> FilterResult {
        let count = (src.len() / 2).min(limit.unwrap_or(usize::MAX)).min(5000);
        let mut bytes = vec![0; 2 * count];
        src.remove(&mut bytes);
        dst.add(&bytes.chunks(2).map(|twice| twice[0]).collect::<Vec<_>>());
        if count == 0 { FilterResult::NeedMore } else { FilterResult::Ok }
    }

    fn output(
        &mut self,
        src: &mut Buffer,
        dst: &mut Buffer,
        _: Option<usize>,
        _: FlushMode,
    ) -> FilterResult {
        let mut bytes = vec![0; src.len().min(3000)];
        src.remove(&mut bytes);
        dst.add(&bytes.iter().flat_map(|&byte| [byte, byte]).collect::<Vec<_>>());
        FilterResult::Ok
    }
}

/// Frames of up to 100 bytes, each behind its length; a whole frame or nothing, whatever the limit.
struct Frames;

impl Filter for Frames {
    fn input(
        &mut self,
        src: &mut Buffer,
        dst: &mut Buffer,
        _: Option<usize>,
        _: FlushMode,
    ) -> FilterResult {
        let mut len = [0];
        if src.copy_out(0, &mut len) == 0 || src.len() <= usize::from(len[0]) {
            return FilterResult::NeedMore;
        }
        src.drain(1);
        src.move_to(dst, usize::from(len[0]));
        FilterResult::Ok
    }

    fn output(
        &mut self,
        src: &mut Buffer,
        dst: &mut Buffer,
        _: Option<usize>,
        mode: FlushMode,
    ) -> FilterResult {
        let len = src.len().min(100);
        if len < 100 && mode == FlushMode::Normal || len == 0 {
            return FilterResult::NeedMore;
        }
        dst.add(&[len as u8]);
        src.move_to(dst, len);
        FilterResult::Ok
    }
}

fn add_filter(conn: &mut BevMut<'_>, kind: usize) -> BevId {
    let options = FilterOptions::new();
    let put_over = match kind {
        0 => conn.filter((), options),
        1 => conn.filter(Swap, options),
        2 => conn.filter(Double, options),
        _ => conn.filter(Frames, options),
    };
    put_over.expect("it is open and the topmost")
}

/// One end of the run: its layers from the bottom up, and what went in at the top.
struct Stack {
    layers: Vec<BevId>,
    log: Log,
    sent: Vec<u8>,
}

impl Stack {
    fn top(&self) -> BevId {
        *self.layers.last().expect("there is at least a stream")
    }

    fn new(sim: &mut Simulation, end: End, kinds: &[usize]) -> Self {
        let mut layers = vec![end.id];
        for &kind in kinds {
            let mut bev = sim.core().get(*layers.last().expect("not empty")).expect("it is open");
            layers.push(add_filter(&mut bev, kind));
        }
        Self { layers, log: end.log, sent: Vec::new() }
    }

    fn send(&mut self, sim: &mut Simulation, count: usize) {
        let bytes: Vec<u8> = (0..count).map(|i| ((self.sent.len() + i) % 251) as u8).collect();
        if let Some(mut bev) = sim.core().get(self.top())
            && bev.is_enabled(Direction::Write)
        {
            bev.output().add(&bytes);
            self.sent.extend(bytes);
        }
    }
}

/// A run: two stacks that face each other.
struct Run {
    sim: Simulation,
    stacks: [Stack; 2],
    group: Group,
    /// Something was cut: bytes may be missing at the end.
    is_cut: bool,
}

impl Run {
    fn new(seed: u64, rng: &mut Xoshiro256PlusPlus) -> Self {
        let over_socket = seed.is_multiple_of(3);
        let faults = if over_socket && rng.random_bool(0.5) {
            Faults { reset: 0.0, accept_errors: 0.0, ..Faults::harsh() }
        } else {
            Faults::none()
        };
        let mut sim = Simulation::with_faults(seed, faults);
        let group = Group::builder(per_tick(20_000, 20_000, ms(10)));
        let group = group.clock(sim.clock()).build().expect("valid numbers");
        let kinds: Vec<usize> =
            (0..rng.random_range(1..4)).map(|_| rng.random_range(0..4)).collect();
        let (a, b) = if over_socket {
            connected(&mut sim)
        } else {
            taking(&mut sim, PairOptions::new().eof_on_close(true))
        };
        let stacks = [a, b].map(|end| Stack::new(&mut sim, end, &kinds));
        Self { sim, stacks, group, is_cut: false }
    }

    /// A random layer of a random end.
    fn layer(&mut self, rng: &mut Xoshiro256PlusPlus) -> Option<BevMut<'_>> {
        let stack = &self.stacks[rng.random_range(0..2)];
        let id = stack.layers[rng.random_range(0..stack.layers.len())];
        self.sim.core().get(id)
    }

    fn step(&mut self, rng: &mut Xoshiro256PlusPlus) {
        let way = Direction::ALL[rng.random_range(0..2)];
        let group = self.group.clone();
        match rng.random_range(0..100) {
            0..30 => {
                let count = rng.random_range(1..4_000);
                let Self { sim, stacks, .. } = self;
                stacks[rng.random_range(0..2)].send(sim, count);
            }
            30..38 => {
                let amount = rng.random_range(500..5_000);
                let limit = rng.random_bool(0.7).then(|| per_tick(amount, amount, ms(10)));
                if let Some(mut bev) = self.layer(rng) {
                    bev.set_rate_limit(limit);
                }
            }
            38..44 => {
                let joins = rng.random_bool(0.7);
                self.layer(rng).into_iter().for_each(|mut bev| {
                    if joins { bev.join(&group).expect("a seat") } else { bev.leave() }
                });
            }
            44..52 => {
                let high = if rng.random_bool(0.7) { rng.random_range(300..3_000) } else { 0 };
                self.layer(rng).into_iter().for_each(|mut bev| bev.set_read_watermark(0, high));
            }
            52..56 => {
                let most = rng.random_range(1..5_000);
                self.layer(rng).into_iter().for_each(|mut bev| bev.set_max_output(most));
            }
            56..66 => {
                let on = rng.random_bool(0.6);
                self.layer(rng)
                    .into_iter()
                    .for_each(|mut bev| if on { bev.enable(way) } else { bev.disable(way) });
            }
            66..74 => {
                let mode = if rng.random_bool(0.5) { FlushMode::Normal } else { FlushMode::Flush };
                // An end of a pair whose other end is gone says so.
                if let Some(mut bev) = self.layer(rng) {
                    let _told = bev.flush(way, mode);
                }
            }
            74..76 => {
                let keeps = rng.random_bool(0.5);
                self.stacks[rng.random_range(0..2)].log.borrow_mut().keeps = keeps;
            }
            76..77 if rng.random_bool(0.2) => {
                self.is_cut = true;
                self.layer(rng).into_iter().for_each(|mut bev| bev.close_now());
            }
            _ => self.sim.run_for(Duration::from_micros(rng.random_range(1..20_000))),
        }
    }

    /// What has come out so far is what went in at the other end, from its beginning.
    fn check(&mut self, seed: u64, step: usize) {
        for (here, there) in [(0, 1), (1, 0)] {
            let id = self.stacks[here].top();
            let mut got = self.stacks[here].log.borrow().got.clone();
            if let Some(mut bev) = self.sim.core().get(id) {
                let mut rest = vec![0; bev.input().len()];
                bev.input().copy_out(0, &mut rest);
                got.extend(rest);
            }
            let sent = &self.stacks[there].sent;
            assert!(sent.starts_with(&got), "seed {seed}, step {step}: changed on its way");
        }
    }

    /// Lifts whatever holds bytes back, and closes one end after all has come.
    fn finish(self, seed: u64, rng: &mut Xoshiro256PlusPlus) {
        let Self { mut sim, stacks, is_cut, .. } = self;
        let sim = &mut sim;
        for stack in &stacks {
            stack.log.borrow_mut().keeps = false;
            for &id in &stack.layers {
                let Some(mut bev) = sim.core().get(id) else { continue };
                bev.set_rate_limit(None);
                bev.set_read_watermark(0, 0);
                bev.set_max_output(1 << 20);
                bev.enable(Direction::Read);
                bev.enable(Direction::Write);
            }
            if let Some(mut bev) = sim.core().get(stack.top()) {
                // Kept input is taken with what comes next; this takes it now.
                let mut rest = vec![0; bev.input().len()];
                bev.input().remove(&mut rest);
                stack.log.borrow_mut().got.extend(rest);
                let _told = bev.flush(Direction::Write, FlushMode::Flush);
            }
        }
        sim.run_for(Duration::from_secs(5));
        let first = rng.random_range(0..2);
        for end in [first, 1 - first] {
            if let Some(mut bev) = sim.core().get(stacks[end].top()) {
                bev.close();
            }
            sim.run_for(Duration::from_secs(5));
        }
        for (here, there) in [(0, 1), (1, 0)] {
            let heard = stacks[here].log.borrow();
            let sent = &stacks[there].sent;
            assert!(sent.starts_with(&heard.got), "seed {seed}: changed on its way");
            if !is_cut {
                let (got, sent) = (heard.got.len(), sent.len());
                assert_eq!(got, sent, "seed {seed}: end {here} misses bytes, heard {heard:?}");
            }
        }
        if !is_cut {
            let heard = stacks[1 - first].log.borrow();
            let eof = [EventFlags::READING | EventFlags::EOF];
            assert_eq!(heard.events, eof, "seed {seed}: the other end closed");
        }
        let stats = sim.core().stats();
        let left = (stats.filters, stats.pair_ends, stats.connections, stats.timers);
        assert_eq!(left, (0, 0, 0, 0), "seed {seed}: filters, ends, connections, timers are left");
        assert_eq!(stats.handler_panics, 0, "seed {seed}");
    }
}

/// Two ends of a connection, both on this core.
fn connected(sim: &mut Simulation) -> (End, End) {
    let (made, ids) = std::sync::mpsc::channel();
    let factory = move |conn: &mut BevMut<'_>| made.send(conn.id()).expect("the test waits");
    let listener = sim.core().listen(ADDR, ListenOptions::new(), factory);
    let listener = listener.expect("the address is free");
    let log = Log::default();
    let client = sim.core().connect(listener.local_addr(), Noting(log.clone()));
    let client = End { id: client.expect("it listens"), log };
    let mut server = None;
    assert!(sim.run_until(Duration::from_secs(60), |_| {
        server = server.or_else(|| ids.try_recv().ok());
        server.is_some()
    }));
    listener.close();
    sim.run_for(Duration::from_secs(1));
    let end = End { id: server.expect("accepted"), log: Log::default() };
    end.bev(sim).set_handler(Noting(end.log.clone())).expect("no filter yet");
    client.log.borrow_mut().events.clear();
    (client, end)
}

fn run(seed: u64) {
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
    let mut run = Run::new(seed, &mut rng);
    for step in 0..STEPS {
        run.step(&mut rng);
        run.check(seed, step);
    }
    run.finish(seed, &mut rng);
}

#[test]
fn bytes_come_out_in_order_and_once_whatever_happens() {
    for seed in 0..SEEDS {
        run(seed);
    }
}
