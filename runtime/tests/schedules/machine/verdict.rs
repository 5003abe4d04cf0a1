//! How a run must end: whose bytes have to have come, who has to have been told, and what is left.
//!
//! The rule, for each of the two streams. W writes it, `written` bytes until it is closed; R reads
//! it and has got the first `got` of them, never anything else.
//!
//! 1. Bytes may be missing only if W was cut (closed at once, or with a bound that ran out) or has
//!    something that fails (a source, a filter), if R has closed, or if either was told an ERROR.
//! 2. An R that stays open and misses bytes when W is gone has been told an ERROR; a pair that
//!    tells no ends is excepted.
//! 3. An R that is told the good end of the stream misses nothing. W need not have closed well, if
//!    all that it wrote had gone.
//! 4. An R that stays open and misses nothing when W has ended writing, or has closed well, with
//!    all the time it needs, is told that end, once; or an ERROR, if it was writing to W. A pair
//!    that tells no ends tells those of writing only.
//!
//! 5. While both are open, a W whose source failed is told so, or somebody another ERROR.
//!
//! Over sockets back-pressure may hold them for ever: an R whose output waits reads nothing, and W
//! may not either. Then bytes that are missing are under way, and only 3 is judged.
//!
//! When both have closed, nothing is left: no slot, wire, timer or seat in a group, no handler, no
//! filter, and no bytes, source or owner.

use std::sync::Arc;
use std::time::Duration;

use sluicegate::sim::Held;
use sluicegate::{BevMut, CoreStats, Direction, FlushMode, Suspend};

use super::hand::Shared;
use super::side::{FOR_EVER, Life};
use super::world::World;
use crate::rig::sim::{ms, per_tick};

impl World {
    /// Takes away what holds bytes back, closes what is open, and judges.
    pub(crate) fn finish(mut self) {
        if self.sides.iter().any(|side| side.lock().life == Life::Unborn) {
            // After this it is there, or never will be.
            self.close_listener();
            self.settle();
        }
        while self.sides.iter().any(|side| side.lock().is_away) {
            self.run(ms(1));
        }
        let first = self.sides.iter().position(|side| side.lock().life != Life::Open);
        let is_bare = |side: &Shared| side.lock().layers.len() == 1;
        let bare = !self.plan.link.is_socket() && self.sides.iter().all(is_bare);
        for side in self.sides.clone() {
            let mut side = side.lock();
            let core = self.sim.core_at(side.core);
            side.lift(core, bare);
        }
        for group in &self.groups {
            // Refused where it was disbanded.
            let _refused = group.set_config(per_tick(50_000, 100_000, ms(10)));
        }
        let waits = first.is_none() && self.plan.seed.is_multiple_of(2);
        if waits {
            // All has to come although nobody closes.
            for side in self.sides.clone() {
                let mut side = side.lock();
                if !side.packs() {
                    continue;
                }
                side.flushed = true;
                let core = self.sim.core_at(side.core);
                if let Some(mut bev) = side.top().and_then(|top| core.get(top)) {
                    bev.flush(Direction::Write, FlushMode::Flush).expect("both are open");
                }
            }
            self.settle();
            self.judge_open();
        }
        let first = first.unwrap_or(self.plan.seed as usize / 2 % 2);
        self.close(first);
        self.settle();
        self.judge_closed(first);
        self.close(1 - first);
        self.settle();
        self.cut();
        self.settle();
        self.judge_rest();
    }

    /// Runs until nothing has moved for a while; nobody is touched meanwhile, which would have the
    /// core look at what it may have forgotten.
    fn settle(&mut self) {
        let mut patience = PATIENCE;
        let mut before = Vec::new();
        while before != self.figures() {
            before = self.figures();
            self.run(LULL);
            patience = patience.checked_sub(1).expect("it comes to rest");
        }
        for side in self.sides.clone() {
            let mut side = side.lock();
            let left = side.top().and_then(|top| self.sim.lengths(top)).unwrap_or_default().0;
            assert!(!side.hears_all || left == 0, "not called for {left} bytes: {side:?}");
            let core = self.sim.core_at(side.core);
            side.take(core, usize::MAX);
        }
    }

    /// What changes while something moves.
    fn figures(&mut self) -> Vec<usize> {
        let mut figures = Vec::new();
        for side in self.sides.clone() {
            let side = side.lock();
            let core = self.sim.core_at(side.core);
            figures.extend([core.stats().callbacks as usize, side.got]);
            for layer in &side.layers {
                let (input, output) = self.sim.lengths(layer.id).unwrap_or_default();
                figures.extend([input, output]);
            }
        }
        figures.extend([self.sim.held().slots, self.sim.held().wires]);
        figures
    }

    fn close(&mut self, at: usize) {
        let mut side = self.sides[at].lock();
        let core = self.sim.core_at(side.core);
        // A mark may have held back the news of it.
        side.take(core, usize::MAX);
        if let Some(mut bev) = side.top().and_then(|top| core.get(top)) {
            bev.close_within(FOR_EVER);
        }
        if side.life == Life::Open {
            side.life = Life::Closed;
        }
    }

    /// Ends what still lingers: neither may read what the other has to write.
    fn cut(&mut self) {
        self.close_listener();
        for side in &self.sides {
            let side = side.lock();
            for layer in &side.layers {
                let bev = self.sim.core_at(side.core).get(layer.id);
                bev.into_iter().for_each(|mut bev| bev.close_now());
            }
        }
    }

    /// Both are open: all has come, unless somebody was told otherwise.
    fn judge_open(&mut self) {
        for (writer, reader) in [(0, 1), (1, 0)] {
            self.judge_missing(writer, reader);
            let is_held = self.is_held(reader);
            let (w, r) = (self.sides[writer].lock(), self.sides[reader].lock());
            let is_open = w.life == Life::Open && r.life == Life::Open && !is_held;
            let told = w.told.errors + r.told.errors;
            assert!(!w.has_broken || !is_open || told > 0, "no word of what broke: {w:?}, {r:?}");
        }
    }

    fn judge_missing(&mut self, writer: usize, reader: usize) {
        let is_held = self.is_held(reader);
        let (w, r) = (self.sides[writer].lock(), self.sides[reader].lock());
        assert!(r.got <= w.written, "side {reader} got {} of {}", r.got, w.written);
        let is_excused = w.life == Life::Cut
            || w.is_fragile
            || is_held
            || r.life != Life::Open
            || w.told.errors + r.told.errors > 0;
        let missing = w.written - r.got;
        assert!(missing == 0 || is_excused, "side {reader} misses {missing} bytes: {w:?}, {r:?}");
        assert!(missing == 0 || r.told.end == 0, "a good end, {missing} missing: {w:?}, {r:?}");
        if r.life == Life::Open && w.life != Life::Cut && w.has_ended && !is_excused {
            assert_eq!(r.told.end, 1, "times told that writing has ended: {w:?}, {r:?}");
        }
    }

    /// One has closed, and the other goes on.
    fn judge_closed(&mut self, writer: usize) {
        let reader = 1 - writer;
        self.judge_missing(writer, reader);
        let is_held = self.is_held(reader);
        let (w, r) = (self.sides[writer].lock(), self.sides[reader].lock());
        let told = r.told.end + r.told.errors;
        if r.life != Life::Open || is_held || !self.plan.link.tells_ends() {
            return;
        }
        assert!(w.written == r.got || r.told.errors > 0, "cut short in silence: {w:?}, {r:?}");
        assert!(w.life != Life::Closed || told > 0, "the end was not told: {w:?}, {r:?}");
        assert!(r.told.end <= 1, "told {} times: {r:?}", r.told.end);
    }

    /// Whether an end reads nothing from its socket because its own output waits.
    fn is_held(&mut self, reader: usize) -> bool {
        let side = self.sides[reader].lock();
        let core = self.sim.core_at(side.core);
        let held = |bev: BevMut<'_>| bev.suspended(Direction::Read).contains(Suspend::OUTPUT);
        let mut layers = side.layers.iter();
        self.plan.link.is_socket() && layers.any(|layer| core.get(layer.id).is_some_and(held))
    }

    fn judge_rest(mut self) {
        self.judge_open();
        let Self { mut sim, plan, sides, groups, life, .. } = self;
        let connected = sides.each_ref().map(|side| side.lock().told.connected);
        assert!(connected[0] <= 1 && connected[1] == 0, "told {connected:?} times");
        assert_eq!(sim.held(), Held::default(), "something is left: {sides:?}");
        let figures: Vec<_> =
            (0..plan.link.cores()).map(|core| sim.core_at(core).stats()).collect();
        let sum = |figure: fn(&CoreStats) -> u64| figures.iter().map(figure).sum::<u64>();
        assert_eq!(sum(|it| it.handed_off), sum(|it| it.taken_over), "left and arrived");
        for stats in &figures {
            assert_eq!((stats.connections, stats.pair_ends, stats.filters), (0, 0, 0));
            assert_eq!((stats.handler_panics, stats.timers), (0, 0), "panics, timers");
        }
        let seats = groups.iter().flat_map(|group| group.stats().seats);
        assert!(seats.into_iter().all(|seat| !seat.taken), "a member stayed");
        sides.iter().for_each(|side| side.lock().forget());
        assert_eq!(Arc::strong_count(&life), 1, "a handler, filter, source or owner stayed");
    }
}

/// How long nothing moves that does not wait for anything; longer than the latest answer.
const LULL: Duration = Duration::from_millis(500);

/// Lulls that a run takes at most.
const PATIENCE: usize = 2_000;
