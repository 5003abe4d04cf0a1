//! What moved, when, and whether it kept the bound.
//!
//! Owns sums over all cores of a simulation since the last `forget`; the bound alone is kept from
//! the beginning, as it has no beginning to forget. Bins of 10 ms show how smoothly bytes came.

use std::time::Duration;

use super::bound::Bound;
use crate::time::Time;

/// The sums over a simulation.
#[derive(Debug)]
pub struct Meter {
    /// The bound, since the simulation began; `None` without a limit.
    pub bound: Option<Bound>,
    /// Bytes moved.
    pub moved: u64,
    /// Operations that moved them.
    pub operations: u64,
    /// The longest time in which nothing moved anywhere.
    pub longest_pause: Duration,
    /// Instants and bytes of every operation, where [`Meter::keep_log`] asked for them.
    pub log: Option<Vec<(Time, u64)>>,
    since: Time,
    last: Time,
    bins: Vec<u64>,
}

impl Meter {
    pub(super) fn new(bound: Option<Bound>, now: Time) -> Self {
        Self {
            bound,
            moved: 0,
            operations: 0,
            longest_pause: Duration::ZERO,
            log: None,
            since: now,
            last: now,
            bins: Vec::new(),
        }
    }

    /// Keeps every operation from here on: for runs short enough to look at one by one.
    pub fn keep_log(&mut self) {
        self.log = Some(Vec::new());
    }

    /// Returns by how many bytes the worst of all windows exceeded the bound.
    #[must_use]
    pub fn excess(&self) -> u64 {
        self.bound.as_ref().map_or(0, Bound::excess)
    }

    /// Returns the bytes of the fullest 100 ms over what 100 ms carried on average, by bins of
    /// 10 ms; 1.0 where too little was seen.
    #[must_use]
    pub fn peak_ratio(&self) -> f64 {
        let windows = self.bins.windows(PEAK_BINS).map(|bins| bins.iter().sum::<u64>());
        let peak = windows.max().unwrap_or(0);
        let mean = self.bins.iter().sum::<u64>() as f64 * PEAK_BINS as f64 / self.bins.len() as f64;
        if mean > 0.0 { peak as f64 / mean } else { 1.0 }
    }

    pub(super) fn record(&mut self, now: Time, bytes: u64) {
        if let Some(bound) = &mut self.bound {
            bound.record(now, bytes);
        }
        self.moved += bytes;
        self.operations += 1;
        self.longest_pause = self.longest_pause.max(now.saturating_since(self.last));
        self.last = now;
        let bin = (now.saturating_since(self.since).as_nanos() / BIN.as_nanos()) as usize;
        if bin >= self.bins.len() && bin < BINS_MAX {
            self.bins.resize(bin + 1, 0);
        }
        if let Some(bin) = self.bins.get_mut(bin) {
            *bin += bytes;
        }
        if let Some(log) = &mut self.log {
            log.push((now, bytes));
        }
    }

    pub(super) fn forget(&mut self, now: Time) {
        let keeps_log = self.log.is_some();
        *self = Self::new(self.bound.take(), now);
        self.log = keeps_log.then(Vec::new);
    }
}

const BIN: Duration = Duration::from_millis(10);
/// Bins in the window whose peak is looked for.
const PEAK_BINS: usize = 10;
/// Bins kept: ten minutes of them.
const BINS_MAX: usize = 60_000;
