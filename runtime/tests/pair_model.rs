//! Pairs under random schedules, from seeds: whatever is done to both ends in whatever order, bytes
//! come out in order and once, no input exceeds its mark, and nothing is left behind.

mod rig;

use std::time::Duration;

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use rig::ends::{End, keeping, settle};
use rig::sim::{ms, per_second, per_tick};
use sluicegate::sim::Simulation;
use sluicegate::{Direction, FlushMode, Group, PairOptions};

const SEEDS: u64 = 1000;
const STEPS: usize = 120;

/// What one end has done and seen.
struct Side {
    end: End,
    /// Bytes it has been given to write, while the other was there to read them.
    written: usize,
    taken: Vec<u8>,
    /// The most its input may hold now; `None` once a flush may have passed the mark.
    ceiling: Option<usize>,
    high: usize,
    life: Life,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Life {
    Open,
    Closed,
    Cut,
}

impl Side {
    fn new(end: End) -> Self {
        let ceiling = Some(usize::MAX);
        Self { end, written: 0, taken: Vec::new(), ceiling, high: 0, life: Life::Open }
    }

    fn is_open(&self) -> bool {
        self.life == Life::Open
    }
}

/// The byte at a place of the stream that a side writes.
fn byte(side: usize, at: usize) -> u8 {
    (at ^ (at >> 8) ^ (at >> 16) ^ (side * 91)) as u8
}

/// A pair under a random schedule.
struct Schedule {
    sim: Simulation,
    dice: SmallRng,
    groups: [Group; 2],
    sides: [Side; 2],
    eof: bool,
    seed: u64,
}

impl Schedule {
    fn new(seed: u64) -> Self {
        let mut sim = Simulation::new(seed);
        let mut dice = SmallRng::seed_from_u64(seed);
        let group = |config| Group::builder(config).clock(sim.clock()).build();
        let groups = [per_second(3_000_000), per_tick(20_000, 50_000, ms(10))]
            .map(|config| group(config).expect("valid numbers"));
        let eof = dice.random();
        let (a, b) = keeping(&mut sim, PairOptions::new().eof_on_close(eof));
        Self { sim, dice, groups, sides: [a, b].map(Side::new), eof, seed }
    }

    /// Does one thing to one end.
    fn step(&mut self) {
        let at = self.dice.random_range(0..2);
        if !self.sides[at].is_open() {
            return self.turn();
        }
        let direction = Direction::ALL[self.dice.random_range(0..2)];
        match self.dice.random_range(0..100) {
            0..25 => self.write(at),
            25..45 => self.take(at),
            45..60 => self.turn(),
            60..66 => self.sim.run_for(ms(self.dice.random_range(1..30))),
            66..72 => self.set_marks(at),
            72..76 => self.sides[at].end.bev(&mut self.sim).disable(direction),
            76..84 => self.sides[at].end.bev(&mut self.sim).enable(direction),
            84..88 => self.limit(at),
            88..92 => self.flush(at, direction),
            92..95 => {
                let most = self.dice.random_range(0..3) * self.dice.random_range(1..5000);
                let mut bev = self.sides[at].end.bev(&mut self.sim);
                bev.set_max_single_read(most);
                bev.set_max_single_write(most);
            }
            95..98 => {
                let most = self.dice.random_range(0..100_000);
                self.sides[at].end.bev(&mut self.sim).set_max_output(most);
            }
            98 => self.close(at, Life::Closed),
            _ => self.close(at, Life::Cut),
        }
        self.check();
    }

    fn turn(&mut self) {
        self.sim.run_for(Duration::from_micros(10));
    }

    fn write(&mut self, at: usize) {
        let most = [10, 1000, 100_000][self.dice.random_range(0..3)];
        let count = self.dice.random_range(1..most);
        let is_read = self.sides[1 - at].is_open();
        let side = &mut self.sides[at];
        let bytes: Vec<u8> = (0..count).map(|i| byte(at, side.written + i)).collect();
        side.end.write(&mut self.sim, &bytes);
        if is_read {
            side.written += count;
        }
    }

    fn take(&mut self, at: usize) {
        let most = [10, 1000, 1_000_000][self.dice.random_range(0..3)];
        let count = self.dice.random_range(1..most);
        self.take_up_to(at, count);
    }

    fn take_up_to(&mut self, at: usize, count: usize) {
        let side = &mut self.sides[at];
        let bytes = side.end.take(&mut self.sim, count);
        side.taken.extend(bytes);
    }

    fn set_marks(&mut self, at: usize) {
        let high = [0, 1, 20, 1000, 50_000][self.dice.random_range(0..5)];
        let side = &mut self.sides[at];
        let mut bev = side.end.bev(&mut self.sim);
        bev.set_read_watermark(high / 2, high);
        let held = bev.input().len();
        drop(bev);
        side.high = high;
        let mark = if high == 0 { usize::MAX } else { high };
        side.ceiling = side.ceiling.map(|_| mark.max(held));
    }

    fn limit(&mut self, at: usize) {
        let kind = self.dice.random_range(0..5);
        let group = self.groups[self.dice.random_range(0..2)].clone();
        let mut bev = self.sides[at].end.bev(&mut self.sim);
        match kind {
            0 => bev.set_rate_limit(Some(per_second(1_000_000))),
            1 => bev.set_rate_limit(Some(per_tick(3000, 9000, ms(5)))),
            2 => bev.set_rate_limit(None),
            3 => bev.join(&group).expect("a seat"),
            _ => bev.leave(),
        }
    }

    fn flush(&mut self, at: usize, direction: Direction) {
        let modes = [FlushMode::Normal, FlushMode::Flush, FlushMode::Finished];
        let mode = modes[self.dice.random_range(0..3)];
        let flushed = self.sides[at].end.bev(&mut self.sim).flush(direction, mode);
        assert_eq!(flushed.is_ok(), self.sides[1 - at].is_open(), "seed {}", self.seed);
        let reader = if direction == Direction::Read { at } else { 1 - at };
        self.sides[reader].ceiling = None;
    }

    fn close(&mut self, at: usize, life: Life) {
        let mut bev = self.sides[at].end.bev(&mut self.sim);
        match life {
            Life::Cut => bev.close_now(),
            _ => bev.close_within(Duration::from_secs(100_000)),
        }
        self.sides[at].life = life;
    }

    /// What must hold at any time.
    fn check(&mut self) {
        for (at, side) in self.sides.iter_mut().enumerate() {
            if !side.is_open() {
                continue;
            }
            let held = side.end.bev(&mut self.sim).input().len();
            if let Some(ceiling) = &mut side.ceiling {
                assert!(held <= *ceiling, "seed {}: {held} above {ceiling}", self.seed);
                if side.high > 0 && held <= side.high {
                    *ceiling = side.high;
                }
            }
            let wrong = side.taken.iter().enumerate().find(|&(i, &b)| b != byte(1 - at, i));
            assert_eq!(wrong, None, "seed {}: side {at} got something else", self.seed);
        }
    }

    /// Lifts all that holds bytes back, and sees what then must have come.
    fn finish(mut self) {
        for at in 0..2 {
            if self.sides[at].is_open() {
                let mut bev = self.sides[at].end.bev(&mut self.sim);
                bev.set_read_watermark(0, 0);
                bev.set_rate_limit(None);
                bev.leave();
                bev.set_max_output(usize::MAX);
                Direction::ALL.into_iter().for_each(|direction| bev.enable(direction));
            }
        }
        let open = |schedule: &Self| schedule.sides.iter().filter(|side| side.is_open()).count();
        let expected = open(&self) as u64;
        let settled = |sim: &mut Simulation| sim.core().stats().pair_ends == expected;
        assert!(self.sim.run_until(Duration::from_secs(100_000), settled), "seed {}", self.seed);
        settle(&mut self.sim, 1000);
        let left: Vec<usize> = (0..2).filter(|&at| self.sides[at].is_open()).collect();
        for &at in &left {
            self.take_up_to(at, usize::MAX);
            self.check_end(at);
        }
        self.check();
        left.into_iter().for_each(|at| self.close(at, Life::Closed));
        self.sim.run_for(Duration::from_secs(60));
        let stats = self.sim.core().stats();
        assert_eq!((stats.pair_ends, stats.timers), (0, 0), "seed {}", self.seed);
        let seats = self.groups.iter().flat_map(|group| group.stats().seats);
        assert!(seats.into_iter().all(|seat| !seat.taken), "seed {}: a member stayed", self.seed);
    }

    fn check_end(&mut self, at: usize) {
        let reads = self.sides[at].end.bev(&mut self.sim).is_enabled(Direction::Read);
        let (side, other) = (&self.sides[at], &self.sides[1 - at]);
        let (got, sent) = (side.taken.len(), other.written);
        match other.life {
            Life::Open | Life::Closed => assert_eq!(got, sent, "seed {}: side {at}", self.seed),
            Life::Cut => assert!(got <= sent, "seed {}: side {at}", self.seed),
        }
        assert_eq!(reads, !self.eof || other.is_open(), "seed {}: {:?}", self.seed, other.life);
        if other.life != Life::Cut {
            let errors = &side.end.log.borrow().errors;
            let reset = errors.contains(&std::io::ErrorKind::ConnectionReset);
            assert!(!reset, "seed {}: it was whole", self.seed);
        }
    }
}

#[test]
fn random_schedules_lose_and_reorder_nothing_and_leave_nothing_behind() {
    for seed in 0..SEEDS {
        let mut schedule = Schedule::new(seed);
        for _ in 0..STEPS {
            schedule.step();
        }
        schedule.finish();
    }
}
