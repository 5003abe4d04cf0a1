//! What arming and cancelling a timer costs, with few and with many others alive.
//!
//! Owns the measuring. `core` is what a user pays on a running core, by `Core::at` and `cancel`: a
//! closure in a box is in it. In `after`, by `Core::after`, so is a reading of the clock. `wheel`
//! is the part of the wheel alone, compiled in from the sources.
//!
//! Of `newest` the timer that was just armed is cancelled, as when an answer comes in time; of
//! `any` one of those alive is, whichever, and armed anew, as when a connection has been active:
//! what that one and its neighbours are in is seldom in the cache. Time is CPU time of the
//! measuring thread.

mod rig;
#[allow(dead_code, unused_imports, reason = "the wheel has more users than this bench")]
#[path = "../src/timer/mod.rs"]
mod timer;

use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use rig::{Cores, cpu_time};
use sluicegate::{Core, Time, TimerId};
use timer::{TimerKey, Wheel};

/// How many timers are alive beside the measured one.
const LIVE: [usize; 3] = [1, 1_000, 100_000];

/// Far enough that none fires while the bench runs.
const SOONEST_MS: u64 = 60_000;

/// Deadlines lie within two minutes of each other, on some levels of the wheel.
const SPREAD_MS: u64 = 120_000;

/// What arms and cancels: a core, or the wheel alone.
trait Timers {
    type Id: Copy;
    fn arm(&mut self, delay: Duration) -> Self::Id;
    fn disarm(&mut self, id: Self::Id);
}

/// A core whose deadlines count from the time of its turn, or from `NOW`.
struct On<'a, const NOW: bool>(&'a mut Core);

impl<const NOW: bool> Timers for On<'_, NOW> {
    type Id = TimerId;

    fn arm(&mut self, delay: Duration) -> TimerId {
        let number = delay.as_nanos();
        let task = move |_: &mut Core| _ = black_box(number);
        if NOW { self.0.after(delay, task) } else { self.0.at(self.0.now() + delay, task) }
    }

    fn disarm(&mut self, id: TimerId) {
        assert!(self.0.cancel(id), "none fires while the bench runs");
    }
}

/// A wheel at time zero, of values as large as a core's.
type Bare = Wheel<(u64, Box<dyn FnOnce()>)>;

impl Timers for Bare {
    type Id = TimerKey;

    fn arm(&mut self, delay: Duration) -> TimerKey {
        // Of a closure without captures the box is not allocated.
        Wheel::arm(self, Time::ZERO + delay, (7, Box::new(|| ())))
    }

    fn disarm(&mut self, id: TimerKey) {
        assert!(self.cancel(id).is_some(), "none fires while the bench runs");
    }
}

/// Delays and places without pattern, as far as a cache can tell.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        // The multiplier of Knuth's MMIX; its high bits are good enough.
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (self.0 >> 33) % bound
    }

    fn delay(&mut self) -> Duration {
        Duration::from_millis(SOONEST_MS + self.below(SPREAD_MS))
    }
}

/// Timers alive, and what to do with them.
struct Alive<I> {
    ids: Vec<I>,
    dice: Dice,
}

impl<I: Copy> Alive<I> {
    fn arm(timers: &mut impl Timers<Id = I>, live: usize) -> Self {
        let mut dice = Dice(1);
        let ids = (0..live).map(|_| timers.arm(dice.delay())).collect();
        Self { ids, dice }
    }

    fn newest(&mut self, timers: &mut impl Timers<Id = I>, count: u64) -> Duration {
        cpu_time(|| {
            for _ in 0..count {
                let id = timers.arm(self.dice.delay());
                timers.disarm(id);
            }
        })
    }

    fn any(&mut self, timers: &mut impl Timers<Id = I>, count: u64) -> Duration {
        cpu_time(|| {
            for _ in 0..count {
                let at = self.dice.below(self.ids.len() as u64) as usize;
                timers.disarm(self.ids[at]);
                self.ids[at] = timers.arm(self.dice.delay());
            }
        })
    }
}

fn wheel(criterion: &mut Criterion) {
    for live in LIVE {
        let mut wheel = Bare::new(Time::ZERO);
        let mut alive = Alive::arm(&mut wheel, live);
        criterion.bench_function(&format!("wheel/newest_of_{live}"), |bencher| {
            bencher.iter_custom(|count| alive.newest(&mut wheel, count));
        });
        criterion.bench_function(&format!("wheel/any_of_{live}"), |bencher| {
            bencher.iter_custom(|count| alive.any(&mut wheel, count));
        });
    }
}

fn core<const NOW: bool>(criterion: &mut Criterion) {
    let name = if NOW { "after" } else { "core" };
    for live in LIVE {
        let cores = Cores::start(1);
        let mut alive = Some(cores.on_core(0, move |core| Alive::arm(&mut On::<NOW>(core), live)));
        let mut run = |count, step: Step<NOW>| {
            let mut taken = alive.take().expect("it comes back");
            let (taken, spent) = cores.on_core(0, move |core| {
                let spent = step(&mut taken, &mut On(core), count);
                (taken, spent)
            });
            alive = Some(taken);
            spent
        };
        criterion.bench_function(&format!("{name}/newest_of_{live}"), |bencher| {
            bencher.iter_custom(|count| run(count, |alive, on, count| alive.newest(on, count)));
        });
        criterion.bench_function(&format!("{name}/any_of_{live}"), |bencher| {
            bencher.iter_custom(|count| run(count, |alive, on, count| alive.any(on, count)));
        });
        cores.stop();
    }
}

type Step<const NOW: bool> = fn(&mut Alive<TimerId>, &mut On<'_, NOW>, u64) -> Duration;

criterion_group! {
    name = benches;
    config = rig::settings();
    targets = wheel, core::<false>, core::<true>
}
criterion_main!(benches);
