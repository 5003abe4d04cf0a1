//! One stream of a stack: what was set, and how full that lets its buffers be.
//!
//! Owns the ceilings of both buffers. Never looks at bytes.

use std::time::Duration;

use sluicegate::{BevId, BevMut, Core, Direction, Group};

use super::filter::Nature;
use super::operation::Act;
use crate::rig::sim::{ms, per_second, per_tick};

/// One stream of a stack.
#[derive(Debug)]
pub(crate) struct Layer {
    pub(crate) id: BevId,
    pub(crate) nature: Option<Nature>,
    /// 0 is none.
    high: usize,
    max_output: usize,
    /// The most its input and its output may hold now.
    ceilings: [usize; 2],
    /// Something was set that may hold bytes back.
    is_set: bool,
    /// Its limits are so slow that bytes under them are not worth waiting for.
    is_slow: bool,
    /// A low mark may hold back the news of what has come.
    pub(crate) has_low_mark: bool,
}

impl Layer {
    pub(crate) fn new(id: BevId, nature: Option<Nature>) -> Self {
        Self {
            id,
            nature,
            high: 0,
            max_output: 1 << 20,
            ceilings: [usize::MAX; 2],
            is_set: false,
            is_slow: false,
            has_low_mark: false,
        }
    }

    /// A filter writes into its output from here on, or with `false` the application, unbounded.
    pub(crate) fn note_filtered(&mut self, core: &mut Core, on: bool) {
        let held = core.get(self.id).map_or(0, |mut bev| bev.output().len());
        self.ceilings[1] = if on { self.max_output.max(held) } else { usize::MAX };
    }

    /// Sees that buffers are as full as marks allow at most, as far as nobody has passed them.
    pub(crate) fn check(&mut self, lengths: (usize, usize), flushed: bool) -> Result<(), String> {
        let marks = [if self.high == 0 { usize::MAX } else { self.high }, self.max_output];
        for ((held, ceiling), mark) in
            [lengths.0, lengths.1].into_iter().zip(&mut self.ceilings).zip(marks)
        {
            if held > *ceiling && !flushed {
                return Err(format!("{held} bytes where {ceiling} may be, in {}", self.id));
            }
            if held <= mark && *ceiling != usize::MAX {
                *ceiling = mark;
            }
        }
        Ok(())
    }

    /// Sets something.
    pub(crate) fn set(&mut self, core: &mut Core, way: Direction, act: Act, groups: &[Group; 2]) {
        let Some(mut bev) = core.get(self.id) else { return };
        self.is_set = true;
        match act {
            Act::ReadMarks(low, high) => {
                self.high = high;
                self.has_low_mark |= low > 0;
                bev.set_read_watermark(low, high);
                let held = bev.input().len();
                self.ceilings[0] = if high == 0 { usize::MAX } else { high.max(held) };
            }
            Act::WriteMarks(low, high) => bev.set_write_watermark(low, high),
            Act::Prefer(priority) => bev.set_priority(priority),
            Act::MaxOutput(most) => {
                self.max_output = most.max(1);
                bev.set_max_output(most);
                if self.ceilings[1] != usize::MAX {
                    self.ceilings[1] = self.max_output.max(bev.output().len());
                }
            }
            Act::MaxSingle(most) if way == Direction::Read => bev.set_max_single_read(most),
            Act::MaxSingle(most) => bev.set_max_single_write(most),
            Act::Enable => bev.enable(way),
            Act::Disable => bev.disable(way),
            Act::Timeout(after) => {
                let after = Duration::from_micros(after);
                bev.set_timeout(way, Some(after).filter(|after| !after.is_zero()));
            }
            Act::LimitByTick(amount) => {
                self.is_slow = amount < 1_000;
                bev.set_rate_limit(Some(per_tick(amount, 2 * amount, ms(10))));
            }
            Act::Limit(rate) => {
                self.is_slow = rate < 100_000;
                bev.set_rate_limit(Some(per_second(rate)));
            }
            Act::Unlimit => bev.set_rate_limit(None),
            Act::Adjust(bytes) => {
                self.is_slow |= bytes > 1_000;
                adjust(&mut bev, way, bytes);
            }
            Act::Join(group, weight) => {
                let weight = weight.try_into().expect("not zero");
                bev.join_weighted(&groups[group], weight).expect("a seat for each core");
            }
            Act::Leave => bev.leave(),
            Act::Push(mode) => {
                // An end of a pair that has lost the other says so.
                let _unlinked = bev.flush(way, mode);
            }
            Act::CloseNow => bev.close_now(),
            _ => unreachable!("not something of one layer: {act:?}"),
        }
    }

    /// Takes away what was set and holds bytes back; a limit stays if it is fast enough.
    pub(crate) fn lift(&mut self, core: &mut Core, keeps_max_output: bool) {
        let Some(mut bev) = core.get(self.id).filter(|_| self.is_set) else { return };
        self.ceilings = [usize::MAX; 2];
        bev.set_read_watermark(0, 0);
        bev.set_write_watermark(0, 0);
        if !keeps_max_output {
            bev.set_max_output(1 << 20);
        }
        bev.set_max_single_read(0);
        bev.set_max_single_write(0);
        if self.is_slow {
            bev.set_rate_limit(None);
        }
        for way in Direction::ALL {
            bev.set_timeout(way, None);
            bev.enable(way);
        }
    }
}

fn adjust(bev: &mut BevMut<'_>, way: Direction, bytes: i64) {
    // There need not be a limit.
    let _none = match way {
        Direction::Read => bev.decrement_read_limit(bytes),
        Direction::Write => bev.decrement_write_limit(bytes),
    };
}
