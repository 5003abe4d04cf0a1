//! Loom models of the shared word: the bound holds and no byte is lost, whatever the interleaving.
//!
//! Owns a ledger that says what the word should hold if each of its operations were one step. It
//! stands behind a lock loom does not know, and is written right after the operation it books, so
//! it moves in the same step as the word; a draw that saw anything else than the ledger holds was
//! not one step. The clock is an atomic that may be read late, as a core that was interrupted
//! would, and a thread of its own pushes it.
//!
//! Invariants: I1, C is what was spent, is held, was discarded and was adjusted by hand; I2, no
//! draw leaves C ahead of the clock; I3, in no window is more spent than the rate brings, the depth
//! and the leases; I8, refunded bytes have left their lease before.
//!
//! Run with `RUSTFLAGS="--cfg loom" cargo test --release -p sluicegate-groups --lib loom`. Every
//! model explores all interleavings and all values a load may see, with at most three preemptions
//! in one run. A test names the bugs it prevents; one that expects a panic seeds such a bug and
//! shows that the model finds it.

use std::sync::Arc;

use loom::thread;
use parking_lot::Mutex;

use crate::pool::Word;
use crate::sync::{AtomicU64, Ordering};

/// b, L, and the number of cores that may hold a lease.
const DEPTH: u64 = 4;
const LEASE: u64 = 2;
const SEATS: usize = 2;

/// Runs a model in all its interleavings.
pub(crate) fn explore(run: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(run);
}

/// In no window is more moved than the rate brings and `most`.
///
/// Each entry of `moved` is a reading of the clock and the bytes moved then, in order of readings.
pub(crate) fn check_windows(moved: &[(u64, u64)], most: u64) {
    for (first, &(start, _)) in moved.iter().enumerate() {
        let mut sum = 0;
        for &(end, bytes) in &moved[first..] {
            sum += bytes;
            assert!(sum <= end - start + most, "I3: {sum} in {start}..={end} of {moved:?}");
        }
    }
}

/// What the word should hold, and where the bytes are that it gave out.
#[derive(Debug)]
struct Ledger {
    /// The clock as it is, which a core may read late.
    now: i64,
    consumed: i64,
    leases: [u64; SEATS],
    /// Bytes that left a lease and have not reached the word.
    returning: u64,
    discarded: i64,
    /// Debits less credits by hand.
    manual: i64,
    /// What was moved, and the reading at that moment.
    spent: Vec<(u64, u64)>,
}

impl Ledger {
    fn spent(&self) -> u64 {
        self.spent.iter().map(|&(_, bytes)| bytes).sum()
    }

    fn settle(&mut self, g: u64, depth: u64) {
        let floor = g as i64 - depth as i64;
        self.discarded += (floor - self.consumed).max(0);
        self.consumed = self.consumed.max(floor);
    }

    fn check(&self) {
        let held = (self.leases.iter().sum::<u64>() + self.returning + self.spent()) as i64;
        assert_eq!(self.consumed, held + self.discarded + self.manual, "I1: {self:?}");
        assert!(self.leases.iter().all(|&lease| lease <= LEASE), "I3: {self:?}");
    }
}

/// A word, the clock it is asked with, and the ledger it is held to.
struct Model {
    word: Word,
    clock: AtomicU64,
    ledger: Mutex<Ledger>,
}

impl Model {
    /// Starts full, so that there is something to discard.
    fn new() -> Arc<Self> {
        let ledger = Ledger {
            now: DEPTH as i64,
            consumed: 0,
            leases: [0; SEATS],
            returning: 0,
            discarded: 0,
            manual: 0,
            spent: Vec::new(),
        };
        Arc::new(Self {
            word: Word::new(),
            clock: AtomicU64::new(DEPTH),
            ledger: Mutex::new(ledger),
        })
    }

    fn push_clock(&self, bytes: u64) {
        self.clock.fetch_add(bytes, Ordering::Relaxed);
        self.ledger.lock().now += bytes as i64;
    }

    fn now(&self) -> u64 {
        self.clock.load(Ordering::Relaxed)
    }

    /// Fills the lease of `core` as far as the word has bytes.
    fn draw(&self, core: usize) {
        let (g, room, mut shown) = (self.now(), LEASE - self.ledger.lock().leases[core], 0);
        let taken = self.word.draw(g, DEPTH, |level| {
            shown = level;
            room.min(u64::try_from(level).unwrap_or(0))
        });
        if taken > 0 {
            let ledger = self.ledger.lock();
            let level = (g as i64 - ledger.consumed).min(DEPTH as i64);
            assert_eq!(level, shown, "drawn from a level that is not there: {ledger:?}");
            drop(ledger);
            self.book_draw(core, g, taken);
        }
    }

    fn book_draw(&self, core: usize, g: u64, taken: u64) {
        let mut ledger = self.ledger.lock();
        ledger.settle(g, DEPTH);
        ledger.consumed += taken as i64;
        ledger.leases[core] += taken;
        assert!(ledger.consumed <= ledger.now, "I2: {ledger:?}");
        ledger.check();
    }

    /// Moves up to `bytes` out of the lease of `core`.
    fn spend(&self, core: usize, bytes: u64) {
        let mut ledger = self.ledger.lock();
        let moved = bytes.min(ledger.leases[core]);
        ledger.leases[core] -= moved;
        let now = ledger.now as u64;
        ledger.spent.push((now, moved));
    }

    /// The lease of `core` gives up all it has; returns how much that is.
    fn give_up(&self, core: usize) -> u64 {
        let mut ledger = self.ledger.lock();
        let bytes = std::mem::take(&mut ledger.leases[core]);
        ledger.returning += bytes;
        bytes
    }

    fn refund(&self, bytes: u64) {
        self.word.refund(bytes);
        let mut ledger = self.ledger.lock();
        assert!(bytes <= ledger.returning, "I8: {bytes} of {ledger:?}");
        ledger.consumed -= bytes as i64;
        ledger.returning -= bytes;
        ledger.check();
    }

    fn adjust(&self, bytes: i64) {
        let g = self.now();
        self.word.adjust(g, DEPTH, bytes);
        let mut ledger = self.ledger.lock();
        ledger.settle(g, DEPTH);
        let level = g as i64 - ledger.consumed;
        let changed = level - (level - bytes).min(DEPTH as i64);
        ledger.consumed += changed;
        ledger.manual += changed;
        ledger.check();
    }

    /// Says what must hold when all is quiet.
    fn finish(&self, credited: u64) {
        let ledger = self.ledger.lock();
        assert_eq!(self.word.consumed() as i64, ledger.consumed, "I1: {ledger:?}");
        ledger.check();
        check_windows(&ledger.spent, DEPTH + LEASE * SEATS as u64 + credited);
    }
}

/// Runs two cores and a clock that is pushed twice, and looks at the books afterwards.
fn check_cores(core: impl Fn(&Model, usize) + Copy + Send + Sync + 'static, credited: u64) {
    explore(move || {
        let model = Model::new();
        let cores: Vec<_> = (0..SEATS)
            .map(|index| {
                let model = Arc::clone(&model);
                thread::spawn(move || core(&model, index))
            })
            .collect();
        model.push_clock(1);
        model.push_clock(DEPTH);
        for core in cores {
            core.join().expect("a core does not panic");
        }
        model.finish(credited);
    });
}

/// Bugs: settling and taking in two steps, a refund that lifts what was discarded, a draw that
/// leaves C ahead of the clock.
#[test]
fn cores_that_draw_spend_and_return_stay_within_the_bound() {
    let core = |model: &Model, index: usize| {
        model.draw(index);
        model.spend(index, 1);
        let unused = model.give_up(index);
        model.refund(unused);
        model.draw(index);
        model.spend(index, LEASE);
    };
    check_cores(core, 0);
}

/// Bugs: a debit or credit that overwrites a draw, a credit beyond the depth.
#[test]
fn adjusting_by_hand_loses_no_draw() {
    let core = |model: &Model, index: usize| match index {
        0 => {
            model.draw(index);
            let unused = model.give_up(index);
            model.refund(unused);
            model.draw(index);
            model.spend(index, LEASE);
        }
        _ => {
            model.adjust(3);
            model.adjust(-2);
            model.draw(index);
            model.spend(index, LEASE);
        }
    };
    check_cores(core, 2);
}

/// Seeded: the draw looks at the level, and takes in another step.
#[test]
#[should_panic(expected = "I2")]
fn a_draw_in_two_steps_is_found() {
    let core = |model: &Model, index: usize| {
        for _ in 0..2 {
            let g = model.now();
            if model.word.level(g, DEPTH) >= LEASE as i64 {
                model.word.adjust(g, DEPTH, LEASE as i64);
                model.book_draw(index, g, LEASE);
            }
            model.spend(index, LEASE);
        }
    };
    check_cores(core, 0);
}

/// Seeded: a refund reaches the word while the lease still counts its bytes.
#[test]
#[should_panic(expected = "I8")]
fn a_refund_before_the_lease_gives_it_up_is_found() {
    let core = |model: &Model, index: usize| {
        model.draw(index);
        let held = model.ledger.lock().leases[index];
        model.refund(held);
        model.give_up(index);
    };
    check_cores(core, 0);
}

/// A word from which each operation draws for itself (L = 0), and what was moved.
///
/// Each operation comes with the reading it draws with, in any order, as of cores that were
/// interrupted after they had read the clock.
struct Direct {
    word: Word,
    /// The reading an operation drew with, and what it moved.
    moved: Mutex<Vec<(u64, u64)>>,
}

/// How an operation launches and lands: the shipped way, or one with a bug in it.
#[derive(Clone, Copy)]
struct Way {
    launch: fn(&Word, u64, u64) -> u64,
    land: fn(&Word, u64, u64),
}

fn all_or_nothing(bytes: u64) -> impl FnMut(i64) -> u64 {
    move |level| if level >= bytes as i64 { bytes } else { 0 }
}

const SHIPPED: Way = Way {
    launch: |word, g, bytes| word.launch(g, DEPTH, bytes, all_or_nothing(bytes)),
    land: Word::land,
};

impl Direct {
    fn new() -> Arc<Self> {
        Arc::new(Self { word: Word::new(), moved: Mutex::new(Vec::new()) })
    }

    /// Launches `bytes` with the reading `g`, moves `used` of them if they are there, lands.
    fn operate(&self, way: Way, g: u64, bytes: u64, used: u64) {
        if (way.launch)(&self.word, g, bytes) == 0 {
            return;
        }
        self.moved.lock().push((g, used));
        (way.land)(&self.word, bytes, bytes - used);
    }

    /// Takes all there is at `last`, and says what must hold in any window of readings.
    fn finish(&self, last: u64) {
        let bytes = self.word.draw(last, DEPTH, |level| u64::try_from(level).unwrap_or(0));
        let mut moved = self.moved.lock();
        moved.push((last, bytes));
        moved.sort_by_key(|&(g, _)| g);
        check_windows(&moved, DEPTH);
    }
}

/// Runs two cores that launch and land twice.
fn check_operations(way: Way) {
    const FULL: u64 = DEPTH;
    const REFILLED: u64 = 3 * DEPTH;
    explore(move || {
        let direct = Direct::new();
        let other = {
            let direct = Arc::clone(&direct);
            thread::spawn(move || {
                direct.operate(way, FULL, 3, 0);
                direct.operate(way, REFILLED, 2, 1);
            })
        };
        direct.operate(way, FULL, 1, 0);
        direct.operate(way, REFILLED, 1, 1);
        other.join().expect("a core does not panic");
        direct.finish(REFILLED);
    });
}

/// Bugs: F that shrinks before the refund is there, or is read as less than it was.
#[test]
fn operations_that_return_bytes_stay_within_the_bound() {
    check_operations(SHIPPED);
}

/// Seeded: what is in flight is not counted, and comes back into a bucket that has refilled.
#[test]
#[should_panic(expected = "I3")]
fn operations_that_nobody_counts_are_found() {
    let launch = |word: &Word, g, bytes| word.draw(g, DEPTH, all_or_nothing(bytes));
    let land = |word: &Word, _, unused| word.refund(unused);
    check_operations(Way { launch, land });
}

/// Seeded: an operation has landed before what it did not use is back.
#[test]
#[should_panic(expected = "I3")]
fn landing_before_the_refund_is_found() {
    let land = |word: &Word, bytes, unused| {
        word.land(bytes, 0);
        word.refund(unused);
    };
    check_operations(Way { land, ..SHIPPED });
}

/// Bug: a core reads C, another lands, and the first reads an F without that operation; a third,
/// late, launches as much and brings C back to where it was, so that the first one's swap
/// succeeds and fills the bucket beyond what may come back. One thread plays the two others.
#[test]
fn a_consumed_count_that_comes_back_hides_nothing_in_flight() {
    const EARLY: u64 = DEPTH - 1;
    const LATE: u64 = DEPTH + 1;
    explore(|| {
        let direct = Direct::new();
        assert_eq!((SHIPPED.launch)(&direct.word, EARLY, 1), 1);
        let others = {
            let direct = Arc::clone(&direct);
            thread::spawn(move || {
                direct.word.land(1, 1);
                direct.operate(SHIPPED, EARLY, 1, 0);
            })
        };
        direct.operate(SHIPPED, LATE, 1, 1);
        others.join().expect("a core does not panic");
        direct.finish(LATE);
    });
}
