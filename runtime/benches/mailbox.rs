//! What a message to another core costs, beside tokio's channels, and how often it wakes.
//!
//! Owns the measuring. What the sender pays is CPU time of its thread: `submit_to_busy` for a
//! message to a core that is awake and in the middle of something, `submit_to_reading` to one that
//! empties its mailbox at the same time on another CPU, with which it then shares cache lines and
//! the allocator. tokio's is an unbounded channel of boxed closures to a task of another runtime.
//! `both_halves` is a message sent by one core and run by another, on one thread.
//!
//! `round_trip` is there and back between two threads, by the clock on the wall: both sleep in
//! between, and each hop is a wake. tokio's are two runtimes that each wait for sockets too, a
//! channel there and a oneshot back.
//!
//! How many of 1,000 messages wrote to the eventfd is counted and printed; no sleep is woken twice.

mod rig;

use std::hint::black_box;
use std::sync::{Arc, Weak, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use criterion::{Criterion, criterion_group, criterion_main};
use rig::{Cores, cpu_time};
use sluicegate::Core;
use sluicegate::sim::{Faults, Simulation};
use tokio::runtime::Builder;
use tokio::sync::mpsc::error::TryRecvError;
use tokio::sync::{mpsc as channel, oneshot};

/// Messages sent before the sender waits for them to have been run.
const BURST: u64 = 1_000;

/// Runs `burst` for `count` messages, a burst of at most [`BURST`] at a time, and adds up.
fn in_bursts(count: u64, mut burst: impl FnMut(u64) -> Duration) -> Duration {
    let full = (0..count / BURST).map(|_| BURST);
    full.chain([count % BURST]).map(&mut burst).sum()
}

/// Keeps a core from sleeping as long as somebody holds the order.
fn stay_awake(core: &mut Core, order: Weak<()>) {
    if order.upgrade().is_some() {
        let again = move |core: &mut Core| stay_awake(core, order);
        core.submit_to(core.index(), again).expect("it is this core");
    }
}

/// A closure for another thread.
type Job = Box<dyn FnOnce() + Send>;

/// Has the other thread run a job and waits until it does; dropping what it returns ends the job.
fn hold(run: impl Fn(Job)) -> mpsc::Sender<()> {
    let (begins, has_begun) = mpsc::channel();
    let (held, is_over) = mpsc::channel();
    run(Box::new(move || {
        begins.send(()).expect("the bench waits");
        let Err(mpsc::RecvError) = is_over.recv() else { unreachable!("nothing is ever sent") };
    }));
    has_begun.recv().expect("no job panics");
    held
}

/// What the sender of numbered closures pays; `run` hands the other thread any job.
fn measure(
    criterion: &mut Criterion,
    (name, busy): (&str, bool),
    send: impl Fn(u64),
    run: impl Fn(Job),
) {
    criterion.bench_function(name, |bencher| {
        bencher.iter_custom(|count| {
            in_bursts(count, |messages| {
                let held = busy.then(|| hold(&run));
                let spent = cpu_time(|| (0..messages).for_each(&send));
                drop(held);
                // The last to run, so all have.
                drop(hold(&run));
                spent
            })
        });
    });
}

fn submit_to(criterion: &mut Criterion) {
    for (name, busy) in [("mailbox/submit_to_busy", true), ("mailbox/submit_to_reading", false)] {
        let cores = Cores::start(1);
        let order = Arc::new(());
        let held = Arc::downgrade(&order);
        cores.on_core(0, move |core| stay_awake(core, held));
        let handle = &cores.handle;
        let send = |number| {
            let task = move |_: &mut Core| _ = black_box(number);
            handle.submit_to(0, task).expect("the core runs");
        };
        let run = |job: Job| handle.submit_to(0, |_| job()).expect("the core runs");
        measure(criterion, (name, busy), send, run);
        drop(order);
        cores.stop();
    }
}

fn both_halves(criterion: &mut Criterion) {
    let mut sim = Simulation::with_cores(2, 1, Faults::none());
    criterion.bench_function("mailbox/both_halves", |bencher| {
        bencher.iter_custom(|count| {
            in_bursts(count, |messages| {
                cpu_time(|| {
                    let before = sim.core_at(1).stats().messages;
                    for number in 0..messages {
                        let task = move |_: &mut Core| _ = black_box(number);
                        sim.core().submit_to(1, task).expect("there is one");
                    }
                    while sim.core_at(1).stats().messages - before < messages {
                        sim.turn();
                    }
                })
            })
        });
    });
}

/// There and back, `left` times.
fn ping(core: &mut Core, left: u64, done: mpsc::Sender<()>) {
    let Some(left) = left.checked_sub(1) else {
        return done.send(()).expect("the bench waits");
    };
    let there = move |core: &mut Core| {
        core.submit_to(0, move |core| ping(core, left, done)).expect("there is one");
    };
    core.submit_to(1, there).expect("there is one");
}

fn round_trip(criterion: &mut Criterion) {
    let cores = Cores::start(2);
    criterion.bench_function("mailbox/round_trip", |bencher| {
        bencher.iter_custom(|count| {
            let (done, is_done) = mpsc::channel();
            let begun = Instant::now();
            cores.handle.submit_to(0, move |core| ping(core, count, done)).expect("it runs");
            is_done.recv().expect("no task panics");
            begun.elapsed()
        });
    });
    cores.stop();
}

/// Counts wakes: of messages that come together, and of those that come one by one to a core that
/// has gone to sleep in between, as far as it gets there.
fn wakes(_: &mut Criterion) {
    for (name, together) in [("together", true), ("one by one", false)] {
        let cores = Cores::start(1);
        cores.on_core(0, |_| ());
        let before = cores.handle.stats()[0];
        if together {
            let send = |_| cores.handle.submit_to(0, |_| ()).expect("the core runs");
            (1..BURST).for_each(send);
            cores.on_core(0, |_| ());
        } else {
            (0..BURST).for_each(|_| cores.on_core(0, |_| ()));
        }
        let after = cores.on_core(0, |core| core.stats());
        let sent = cores.handle.stats()[0].wakes_sent - before.wakes_sent;
        let sleeps = after.sleeps - before.sleeps;
        // It may have been asleep as the count began.
        assert!(sent <= sleeps + 1, "{sent} wakes of a core that has slept {sleeps} times");
        eprintln!("{BURST} messages {name}: {sent} writes to the eventfd, {sleeps} sleeps");
        cores.stop();
    }
}

/// A tokio runtime for one thread, which waits for sockets as a core does.
fn tokio_runtime() -> tokio::runtime::Runtime {
    Builder::new_current_thread().enable_io().build().expect("a poll can be opened")
}

fn tokio_submit_to(criterion: &mut Criterion) {
    let names = ["tokio_channel/submit_to_busy", "tokio_channel/submit_to_reading"];
    for (name, busy) in names.into_iter().zip([true, false]) {
        let (jobs, mut job) = channel::unbounded_channel::<Job>();
        let runs = thread::spawn(move || {
            tokio_runtime().block_on(async move {
                loop {
                    match job.try_recv() {
                        Ok(job) => job(),
                        Err(TryRecvError::Empty) => tokio::task::yield_now().await,
                        Err(TryRecvError::Disconnected) => break,
                    }
                }
            });
        });
        let run = |job: Job| assert!(jobs.send(job).is_ok(), "the other thread runs");
        let send = |number: u64| run(Box::new(move || _ = black_box(number)));
        measure(criterion, (name, busy), send, run);
        drop(jobs);
        runs.join().expect("it does not panic");
    }
}

fn tokio_round_trip(criterion: &mut Criterion) {
    let (questions, mut question) = channel::channel::<oneshot::Sender<()>>(64);
    let answers = thread::spawn(move || {
        tokio_runtime().block_on(async move {
            while let Some(answer) = question.recv().await {
                answer.send(()).expect("the asking side waits");
            }
        });
    });
    let runtime = tokio_runtime();
    criterion.bench_function("tokio_channel/round_trip", |bencher| {
        bencher.iter_custom(|count| {
            runtime.block_on(async {
                let begun = Instant::now();
                for _ in 0..count {
                    let (answer, is_answered) = oneshot::channel();
                    questions.send(answer).await.expect("the answering side runs");
                    is_answered.await.expect("the answering side runs");
                }
                begun.elapsed()
            })
        });
    });
    drop(questions);
    answers.join().expect("it does not panic");
}

criterion_group! {
    name = benches;
    config = rig::settings();
    targets = submit_to, tokio_submit_to, both_halves, round_trip, tokio_round_trip, wakes
}
criterion_main!(benches);
