//! What a message over a pair costs, handlers included, beside tokio's duplex stream.
//!
//! Owns the measuring; everything runs on one thread, pairs on a simulated core and so without
//! system calls, of which a real core makes one for some five hundred messages. Time is CPU time of
//! the measuring thread, so that other programs disturb it little.
//!
//! `64_bytes` are answered from end to end, `64_bytes_filtered` through a filter over one of them;
//! of `64_kib` the handler of one end gives out the next when the last has gone, by reference or as
//! a copy, and that of the other takes it: dropped where it came by reference, else copied out, as
//! tokio's does both ways.

mod rig;

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;

use criterion::{Criterion, criterion_group, criterion_main};
use rig::cpu_time;
use sluicegate::sim::Simulation;
use sluicegate::{BevId, BevMut, Context, Direction, FilterOptions, Handler, PairOptions};
use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
use tokio::runtime::Builder;

const SMALL: usize = 64;
const LARGE: usize = 65_536;

/// Sends back what it gets while messages are left.
struct Answer(Rc<Cell<u64>>);

impl Handler for Answer {
    fn on_read(&mut self, cx: &mut Context<'_>) {
        let (mut input, mut output) = cx.buffers();
        match self.0.get().checked_sub(1) {
            Some(left) => {
                self.0.set(left);
                output.append(&mut input);
            }
            None => _ = input.drain(usize::MAX),
        }
    }
}

/// Gives out large messages, one after another.
struct Give {
    left: Rc<Cell<u64>>,
    page: Arc<[u8]>,
    copies: bool,
}

impl Handler for Give {
    fn on_write(&mut self, cx: &mut Context<'_>) {
        let Some(left) = self.left.get().checked_sub(1) else { return };
        self.left.set(left);
        let (_, mut output) = cx.buffers();
        if self.copies {
            output.add(&self.page);
        } else {
            output.add_shared(self.page.clone());
        }
    }
}

/// Takes large messages.
struct Take {
    room: Box<[u8]>,
    copies: bool,
}

impl Handler for Take {
    fn on_read(&mut self, cx: &mut Context<'_>) {
        let (mut input, _) = cx.buffers();
        if self.copies {
            while input.remove(&mut self.room) == self.room.len() {}
        } else {
            input.drain(usize::MAX);
        }
    }
}

/// A core with a pair on it, and how many messages it has still to carry.
struct Pair {
    sim: Simulation,
    first: BevId,
    left: Rc<Cell<u64>>,
    /// What sets the first end going.
    start: fn(&mut BevMut<'_>),
}

impl Pair {
    fn answering() -> Self {
        let (mut sim, left) = (Simulation::new(1), Rc::new(Cell::new(0)));
        let (a, b) = (Answer(left.clone()), Answer(left.clone()));
        let (first, _) = sim.core().pair(PairOptions::new(), a, b);
        Self { sim, first, left, start: |end| end.output().add(&[7; SMALL]) }
    }

    /// As [`answering`](Self::answering), with a filter over one end that changes nothing: each
    /// message passes it once, on the way down or on the way up.
    fn filtered() -> Self {
        let mut pair = Self::answering();
        let top = pair.sim.core().filter(pair.first, (), FilterOptions::new());
        pair.first = top.expect("the end is open");
        pair
    }

    fn giving(copies: bool) -> Self {
        let (mut sim, left) = (Simulation::new(1), Rc::new(Cell::new(0)));
        let give = Give { left: left.clone(), page: Arc::from([7; LARGE]), copies };
        let take = Take { room: Box::from([0; LARGE]), copies };
        let (first, _) = sim.core().pair(PairOptions::new(), give, take);
        Self { sim, first, left, start: |end| end.enable(Direction::Write) }
    }

    fn run(&mut self, messages: u64) {
        let waits = self.left.replace(messages);
        assert_eq!(waits, 0, "all were carried");
        (self.start)(&mut self.sim.core().get(self.first).expect("it is open"));
        while self.left.get() > 0 {
            self.sim.turn();
        }
    }
}

async fn tokio_answering(rounds: u64) {
    let (mut one, mut other) = duplex(LARGE);
    let answering = tokio::spawn(async move {
        let mut message = [0; SMALL];
        for _ in 0..rounds {
            other.read_exact(&mut message).await.expect("the other end is there");
            other.write_all(&message).await.expect("the other end is there");
        }
    });
    let mut message = [7; SMALL];
    for _ in 0..rounds {
        one.write_all(&message).await.expect("the other end is there");
        one.read_exact(&mut message).await.expect("the other end is there");
    }
    answering.await.expect("it does not panic");
}

async fn tokio_giving(messages: u64) {
    let (mut one, mut other) = duplex(LARGE);
    let taking = tokio::spawn(async move {
        let mut room = vec![0; LARGE];
        for _ in 0..messages {
            other.read_exact(&mut room).await.expect("the other end is there");
        }
    });
    let page = vec![7; LARGE];
    for _ in 0..messages {
        one.write_all(&page).await.expect("the other end is there");
    }
    taking.await.expect("it does not panic");
}

fn pairs(criterion: &mut Criterion) {
    let mut pair = Pair::answering();
    criterion.bench_function("pair/64_bytes", |bencher| {
        bencher.iter_custom(|count| cpu_time(|| pair.run(count)));
    });
    let mut pair = Pair::filtered();
    criterion.bench_function("pair/64_bytes_filtered", |bencher| {
        bencher.iter_custom(|count| cpu_time(|| pair.run(count)));
    });
    for (name, copies) in [("pair/64_kib_by_reference", false), ("pair/64_kib_by_copy", true)] {
        let mut pair = Pair::giving(copies);
        criterion.bench_function(name, |bencher| {
            bencher.iter_custom(|count| cpu_time(|| pair.run(count)));
        });
    }
}

fn duplexes(criterion: &mut Criterion) {
    let runtime = Builder::new_current_thread().build().expect("it needs no driver");
    criterion.bench_function("tokio_duplex/64_bytes", |bencher| {
        bencher.iter_custom(|count| {
            // A round is two messages.
            cpu_time(|| runtime.block_on(tokio_answering(count))) / 2
        });
    });
    criterion.bench_function("tokio_duplex/64_kib_by_copy", |bencher| {
        bencher.iter_custom(|count| cpu_time(|| runtime.block_on(tokio_giving(count))));
    });
}

criterion_group! { name = benches; config = rig::settings(); targets = pairs, duplexes }
criterion_main!(benches);
