//! What a limit may give, in 128 bits: the bucket that the shipped ones are held against.
//!
//! Owns one signed number of bytes and the instant its clock began. Shares nothing with the clocks
//! and buckets it judges, and cannot overflow within any time there is.

use sluicegate_groups::{Time, TokenBucketConfig};

use crate::DIR;

/// An ideal bucket: what may still move, by sums that cannot overflow.
pub(crate) struct Ideal {
    pub(crate) now: u64,
    /// Since when the clock of this config runs, or could have.
    origin: u64,
    pub(crate) config: TokenBucketConfig,
    pub(crate) tokens: i128,
    /// The most it holds: the burst. While not all cores know of a new config it is the larger one,
    /// and what came since: a core that is late may hold a lease that the new one does not reserve.
    pub(crate) brim: i128,
    settled: bool,
    /// The deepest debt.
    pub(crate) floor: i128,
}

impl Ideal {
    pub(crate) fn new(config: TokenBucketConfig, tokens: i64, floor: i128) -> Self {
        let brim = burst(&config);
        Self { now: 0, origin: 0, config, tokens: tokens.into(), brim, settled: true, floor }
    }

    fn produced(&self) -> i128 {
        let age = u128::from(self.now - self.origin);
        let rate = u128::from(self.config.limit(DIR).unwrap().rate());
        let bytes = match self.config.tick() {
            Some(tick) => age / tick.as_nanos() * rate,
            None => age * rate / 1_000_000_000,
        };
        bytes as i128
    }

    pub(crate) fn advance(&mut self, span: u64) {
        let before = self.produced();
        self.now = self.now.saturating_add(span);
        self.gain(self.produced() - before);
    }

    fn gain(&mut self, bytes: i128) {
        if !self.settled {
            self.brim += bytes;
        }
        self.tokens = (self.tokens + bytes).min(self.brim);
    }

    /// Takes back what an operation did not use; its bytes went when it began.
    pub(crate) fn give_back(&mut self, bytes: u64) {
        self.tokens = (self.tokens + i128::from(bytes)).min(self.brim);
    }

    pub(crate) fn adjust(&mut self, bytes: i64) {
        if bytes < 0 {
            self.gain(i128::from(bytes.unsigned_abs()));
        } else {
            self.tokens = (self.tokens - i128::from(bytes)).max(self.floor);
        }
    }

    pub(crate) fn set_config(&mut self, config: TokenBucketConfig) {
        let rate = |config: &TokenBucketConfig| config.limit(DIR).unwrap().rate().into();
        let (before, after): (u128, u128) = (rate(&self.config), rate(&config));
        let age = u128::from(self.now - self.origin);
        // What of a tick or a byte is under way goes on, as far as whole nanoseconds can tell.
        let behind = match (self.config.tick(), config.tick()) {
            (Some(old), Some(new)) if old == new && before == after => age,
            (Some(old), Some(new)) => (age % old.as_nanos()).min(new.as_nanos() - 1),
            (None, None) if before == after => age,
            (None, None) => age * before % 1_000_000_000 / after,
            _ => 0,
        };
        self.origin = self.now.saturating_sub(behind as u64);
        self.brim = self.brim.max(burst(&config));
        self.settled = false;
        self.config = config;
    }

    /// The new config is all there is.
    pub(crate) fn settle(&mut self) {
        self.settled = true;
        self.brim = burst(&self.config);
        self.tokens = self.tokens.min(self.brim);
    }

    pub(crate) fn time(&self) -> Time {
        Time::from_nanos(self.now)
    }

    /// A reading made a while ago, as a slow core's is.
    pub(crate) fn earlier(&self, span: u64) -> Time {
        Time::from_nanos(self.now.saturating_sub(span))
    }
}

pub(crate) fn burst(config: &TokenBucketConfig) -> i128 {
    config.limit(DIR).unwrap().burst().into()
}
