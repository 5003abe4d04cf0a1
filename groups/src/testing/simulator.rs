//! The simulation: a group, its cores, and the order in which they run.
//!
//! Owns virtual time. The core whose next step is due first runs it; of two at the same instant the
//! one that ran last goes on, else the lower number. Never guesses: an instant passes only when no
//! core has anything left to do in it.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, Sender};
use std::task::{Wake, Waker};
use std::time::Duration;

use rand::SeedableRng;
use rand::rngs::SmallRng;

use super::bound::Bound;
use super::core::{Around, Core, DIR, Member, Pace};
use super::meter::Meter;
use super::mutant::Mutant;
use crate::config::TokenBucketConfig;
use crate::group::Group;
use crate::time::Time;

/// Cores of one group in virtual time.
///
/// # Examples
/// ```
/// use sluicegate_groups::testing::{Pace, Simulator};
/// use sluicegate_groups::{Group, Time, TokenBucketConfig};
/// use std::time::Duration;
///
/// let config = TokenBucketConfig::per_second("10MB/s".parse()?);
/// let mut sim = Simulator::new(Group::new(Time::ZERO, config)?, 1);
/// sim.add_core(Pace::Deadline, [1, 1, 2]);
/// sim.run_for(Duration::from_secs(1));
/// assert!(sim.meter().moved.abs_diff(10_000_000) < 100_000);
/// assert_eq!(sim.meter().excess(), 0);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Simulator {
    /// The group.
    pub group: Group,
    /// Its cores; `None` where one was dropped.
    cores: Vec<Option<Core>>,
    /// When each core's next step is due.
    due: Vec<Time>,
    order: BinaryHeap<Reverse<(Time, usize)>>,
    now: Time,
    around: Around,
    wakes: (Sender<usize>, Receiver<usize>),
}

impl Simulator {
    /// Makes a simulation of `group`, which was built at [`Time::ZERO`], and no cores.
    #[must_use]
    pub fn new(group: Group, seed: u64) -> Self {
        let promised = group.config();
        Self::watching(group, &promised, seed)
    }

    /// As [`new`](Self::new), where the group should keep `promised` and perhaps does not.
    pub(super) fn watching(group: Group, promised: &TokenBucketConfig, seed: u64) -> Self {
        let bound = Bound::new(promised, DIR, Time::ZERO);
        Self {
            group,
            cores: Vec::new(),
            due: Vec::new(),
            order: BinaryHeap::new(),
            now: Time::ZERO,
            around: Around {
                meter: Meter::new(bound, Time::ZERO),
                random: SmallRng::seed_from_u64(seed),
                mutant: None,
            },
            wakes: mpsc::channel(),
        }
    }

    /// Breaks the limiter, as far as that is done from outside, or mends it.
    pub fn set_mutant(&mut self, mutant: Option<Mutant>) {
        self.around.mutant = mutant;
    }

    /// Adds a core with a busy member of each of these weights; returns it for more.
    ///
    /// # Panics
    /// If the group has no seat left.
    pub fn add_core(&mut self, pace: Pace, weights: impl IntoIterator<Item = u32>) -> &mut Core {
        let index = self.cores.len();
        let waker = Waker::from(Arc::new(Alarm { wakes: self.wakes.0.clone(), index }));
        let shard = self.group.shard(self.now, waker).expect("a seat for every simulated core");
        let mut core = Core::new(shard, pace, self.now);
        for weight in weights {
            core.add(self.now, weight, None);
        }
        self.due.push(Time::MAX);
        self.schedule(index, self.now);
        self.cores.push(Some(core));
        self.core_mut(index)
    }

    /// Drops a core with its shard, whatever it holds; its number is not used again.
    pub fn drop_core(&mut self, index: usize) {
        self.cores[index] = None;
    }

    /// Stops a core where it stands: it keeps what it holds and never runs again.
    pub fn stop_core(&mut self, index: usize) {
        self.due[index] = Time::MAX;
    }

    /// Starts or stops a member's work; a core that sleeps is woken for it.
    pub fn set_busy(&mut self, index: usize, token: usize, busy: bool) {
        let now = self.now;
        self.core_mut(index).set_busy(now, token, busy);
        if busy {
            self.wake(index);
        }
    }

    /// Runs everything that is due up to and including `end`.
    pub fn run_until(&mut self, end: Time) {
        while let Ok(index) = self.wakes.1.try_recv() {
            self.wake(index);
        }
        while let Some(&Reverse((due, index))) = self.order.peek() {
            if due > end {
                break;
            }
            self.order.pop();
            if self.due[index] != due {
                continue; // It was woken earlier, or stopped.
            }
            let Some(core) = &mut self.cores[index] else { continue };
            let others = self.order.peek().map_or(end, |&Reverse((due, _))| due.min(end));
            let mut next = due;
            while next <= others {
                self.now = next;
                next = core.step(next, &mut self.around);
            }
            self.schedule(index, next);
        }
        self.now = end;
    }

    /// Runs for `span`.
    pub fn run_for(&mut self, span: Duration) {
        self.run_until(self.now + span);
    }

    /// Lets time pass in which no core runs, as when the machine is suspended: what was due is
    /// late.
    pub fn pause(&mut self, span: Duration) {
        self.now = self.now + span;
        for index in self.seated() {
            if self.due[index] < self.now {
                self.schedule(index, self.now);
            }
        }
    }

    /// Forgets what was moved so far, but for the bound: the next figures are free of the start.
    pub fn forget(&mut self) {
        let now = self.now;
        self.around.meter.forget(now);
        for core in self.cores.iter_mut().flatten() {
            core.forget(now);
        }
    }

    /// Returns the instant reached.
    #[must_use]
    pub fn now(&self) -> Time {
        self.now
    }

    /// Returns what moved.
    #[must_use]
    pub fn meter(&self) -> &Meter {
        &self.around.meter
    }

    /// Returns what moved, to keep a log or to watch another bound.
    pub fn meter_mut(&mut self) -> &mut Meter {
        &mut self.around.meter
    }

    /// Returns a core.
    ///
    /// # Panics
    /// If there is no such core, or it was dropped.
    #[must_use]
    pub fn core(&self, index: usize) -> &Core {
        self.cores[index].as_ref().expect("a core that was not dropped")
    }

    /// Returns a core, to change it.
    ///
    /// # Panics
    /// If there is no such core, or it was dropped.
    pub fn core_mut(&mut self, index: usize) -> &mut Core {
        self.cores[index].as_mut().expect("a core that was not dropped")
    }

    /// Returns the numbers of all cores that were not dropped.
    #[must_use]
    pub fn seated(&self) -> Vec<usize> {
        (0..self.cores.len()).filter(|&index| self.cores[index].is_some()).collect()
    }

    /// Returns all cores that were not dropped.
    pub fn cores(&self) -> impl Iterator<Item = &Core> {
        self.cores.iter().flatten()
    }

    /// Returns all members of all cores.
    pub fn members(&self) -> impl Iterator<Item = &Member> {
        self.cores().flat_map(|core| &core.members)
    }

    /// Returns the smallest share over the largest, by weight, among members that are busy.
    #[must_use]
    pub fn evenness(&self) -> f64 {
        let busy = self.members().filter(|member| member.busy);
        let shares = busy.map(|member| member.moved as f64 / f64::from(member.weight));
        let (least, most) =
            shares.fold((f64::MAX, 0.0_f64), |(least, most), s| (least.min(s), most.max(s)));
        if most > 0.0 { least / most } else { 0.0 }
    }

    /// Returns how long a round over members of `weight` in all takes at `rate` bytes a second.
    pub(super) fn ideal_round(&self, weight: u64, rate: f64) -> Duration {
        let bytes = weight as f64 * self.group.quantum(DIR, weight) as f64;
        self.whole_ticks(Duration::from_secs_f64(bytes / rate))
    }

    /// Returns `span`, lengthened to whole ticks where there are any.
    pub(super) fn whole_ticks(&self, span: Duration) -> Duration {
        let Some(tick) = self.group.config().tick() else { return span };
        let ticks = span.as_nanos().div_ceil(tick.as_nanos());
        tick * u32::try_from(ticks).expect("no more ticks than a run can go through")
    }

    fn wake(&mut self, index: usize) {
        if self.due[index] > self.now {
            let asleep = self.cores[index].as_ref().is_some_and(Core::is_asleep);
            if asleep {
                self.schedule(index, self.now);
            }
        }
    }

    fn schedule(&mut self, index: usize, due: Time) {
        self.due[index] = due;
        if due < Time::MAX {
            self.order.push(Reverse((due, index)));
        }
    }
}

/// Wakes a core that sleeps until its deadline.
struct Alarm {
    wakes: Sender<usize>,
    index: usize,
}

impl Wake for Alarm {
    fn wake(self: Arc<Self>) {
        // A simulation that is gone has nobody to wake.
        let _ = self.wakes.send(self.index);
    }
}
