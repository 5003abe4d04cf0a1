//! One end of a run: its layers, and the account of what went in and came out.
//!
//! Shared between the schedule, which acts between turns, and the handler, which acts within them.
//! Says what is wrong in `wrong`, as a panic of a handler is caught.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use sluicegate::{
    BevId, Core, Direction, Event, EventFlags, FilterOptions, FlushMode, Group, Suspend,
};

use super::filter::{Natural, Nature};
use super::hand::Hand;
use super::layer::Layer;
use super::operation::{Act, How, Operation, Place};
use super::stream::{self, Owned, Part};
use crate::rig::sim::{ms, per_tick};

/// How far an end is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Life {
    /// Not made yet, or never.
    Unborn,
    Open,
    /// Closed, with all the time it needs to write what is left.
    Closed,
    /// Cut off, or closed with a bound: what it wrote may be lost.
    Cut,
}

/// What an end was told.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Told {
    /// The good end of what it reads.
    pub(crate) end: usize,
    pub(crate) errors: usize,
    pub(crate) connected: usize,
}

/// One end.
pub(crate) struct Side {
    pub(crate) side: usize,
    pub(crate) core: usize,
    /// From the bottom up.
    pub(crate) layers: Vec<Layer>,
    pub(crate) life: Life,
    /// Bytes of its stream that it has been given to write while it was open.
    pub(crate) written: usize,
    /// Bytes of the other's stream that were taken.
    pub(crate) got: usize,
    pub(crate) keeps: bool,
    /// It is called for all that comes and takes it.
    pub(crate) hears_all: bool,
    pub(crate) told: Told,
    /// It has ended writing.
    pub(crate) has_ended: bool,
    /// It was given a source that fails.
    pub(crate) has_broken: bool,
    /// Something of its own may fail: a source, a filter.
    pub(crate) is_fragile: bool,
    /// A flush may have passed marks.
    pub(crate) flushed: bool,
    /// It has left one core and not reached the other.
    pub(crate) is_away: bool,
    pub(crate) wrong: Option<String>,
    later: VecDeque<Operation>,
    groups: [Group; 2],
    pub(super) me: Weak<Mutex<Self>>,
    /// Held by all that must be dropped in the end.
    life_token: Arc<()>,
}

impl Side {
    pub(crate) fn new(
        side: usize,
        core: usize,
        groups: [Group; 2],
        (me, life): (&Weak<Mutex<Self>>, &Arc<()>),
    ) -> Self {
        Self {
            side,
            core,
            layers: Vec::new(),
            life: Life::Unborn,
            written: 0,
            got: 0,
            keeps: false,
            hears_all: true,
            told: Told::default(),
            has_ended: false,
            has_broken: false,
            is_fragile: false,
            flushed: false,
            is_away: false,
            wrong: None,
            later: VecDeque::new(),
            groups,
            me: me.clone(),
            life_token: life.clone(),
        }
    }

    /// The lowest stream of this end is there: puts filters over it.
    pub(crate) fn begin(&mut self, core: &mut Core, id: BevId, filters: &[Nature]) {
        self.life = Life::Open;
        self.layers.push(Layer::new(id, None));
        filters.iter().for_each(|&nature| self.put_over(core, nature));
    }

    /// The end is over: gives up what it holds itself.
    pub(crate) fn forget(&mut self) {
        self.life_token = Arc::default();
    }

    pub(crate) fn top(&self) -> Option<BevId> {
        self.layers.last().map(|layer| layer.id)
    }

    /// A handler that acts for this end.
    pub(crate) fn hand(&self) -> Hand {
        Hand::new(&self.me, &self.life_token)
    }

    pub(crate) fn blame(&mut self, is_wrong: bool, what: impl FnOnce() -> String) {
        if is_wrong && self.wrong.is_none() {
            self.wrong = Some(what());
        }
    }

    /// It was told something, when reading was `over` or not.
    pub(crate) fn note(&mut self, event: &Event, over: bool) {
        let failed = event.flags.contains(EventFlags::ERROR);
        let ended = event.flags.contains(EventFlags::READING | EventFlags::EOF);
        self.told.errors += usize::from(failed);
        // A flush that is over says EOF as well, and ends nothing.
        self.told.end += usize::from(ended && over && self.told.errors == 0);
        self.told.connected += usize::from(event.flags.contains(EventFlags::CONNECTED));
        self.blame(failed != event.error.is_some(), || format!("an error without one: {event:?}"));
    }

    /// Takes bytes out of the input, and sees that they are the right ones.
    pub(crate) fn take(&mut self, core: &mut Core, count: usize) {
        let Some(mut bev) = self.top().and_then(|top| core.get(top)) else { return };
        let mut input = bev.input();
        let mut bytes = vec![0; count.min(input.len())];
        input.remove(&mut bytes);
        drop(bev);
        let (other, got) = (1 - self.side, self.got);
        self.got += bytes.len();
        let right = stream::matches(other, got, &bytes);
        self.blame(!right, || format!("other bytes than were written, from {got} on"));
    }

    /// Does what was to be done in a callback.
    pub(crate) fn apply_next(&mut self, core: &mut Core) {
        if let Some(operation) = self.later.pop_front() {
            self.apply(core, operation);
        }
    }

    /// Does what an operation says to this end.
    pub(crate) fn apply(&mut self, core: &mut Core, operation: Operation) {
        if self.life != Life::Open || self.is_away {
            return;
        }
        if operation.later {
            self.later.push_back(Operation { later: false, ..operation });
            return;
        }
        match operation.act {
            Act::Put(count, how) => self.put(core, count, how),
            Act::Take(count) => self.take(core, count),
            Act::Keep(keeps) => {
                self.keeps = keeps;
                self.hears_all &= !keeps;
            }
            Act::Regroup(group, amount) => {
                let config = per_tick(amount, 3 * amount, ms(10));
                // Refused once it is disbanded.
                let _refused = self.groups[group].set_config(config);
            }
            Act::Disband(group) => self.groups[group].disband(),
            Act::Filter(nature) if self.layers.len() <= MAX_LAYERS => self.put_over(core, nature),
            Act::Filter(_) | Act::Run(_) => {}
            Act::Release => self.release(core),
            Act::SetHandler => {
                let hand = self.hand();
                self.hears_all = false;
                let Some(mut bev) = self.top().and_then(|top| core.get(top)) else { return };
                let taken = bev.set_handler(hand).err();
                drop(bev);
                self.blame(taken.is_some(), || format!("the topmost: {taken:?}"));
            }
            Act::Move if self.layers.len() == 1 && !self.has_ended && self.told.errors == 0 => {
                self.migrate(core);
            }
            Act::Move => {}
            Act::HandOver => self.hand_over(core),
            Act::EndWriting | Act::Call(_) => self.tell_top(core, operation.at.way, operation.act),
            Act::Close | Act::CloseWithin(_) => self.close(core, operation.act),
            act => self.set(core, operation.at, act),
        }
    }

    /// Sets something of one layer.
    fn set(&mut self, core: &mut Core, at: Place, act: Act) {
        match act {
            Act::ReadMarks(low, _) => self.hears_all &= low == 0,
            Act::Push(_) => self.flushed = true,
            Act::CloseNow => {
                self.take(core, usize::MAX);
                self.life = Life::Cut;
            }
            _ => {}
        }
        let index = self.layers.len() - 1 - at.layer % self.layers.len();
        self.layers[index].set(core, at.way, act, &self.groups);
    }

    fn tell_top(&mut self, core: &mut Core, way: Direction, act: Act) {
        let Some(mut bev) = self.top().and_then(|top| core.get(top)) else { return };
        if let Act::Call(trigger) = act {
            let taken = bev.trigger(way, trigger).err();
            drop(bev);
            self.blame(taken.is_some(), || format!("the topmost: {taken:?}"));
        } else {
            bev.shutdown_write();
            self.has_ended = true;
        }
    }

    fn put(&mut self, core: &mut Core, count: usize, how: How) {
        if self.has_ended {
            return;
        }
        let Some(mut bev) = self.top().and_then(|top| core.get(top)) else { return };
        let (side, from, life) = (self.side, self.written, self.life_token.clone());
        let mut output = bev.output();
        match how {
            How::Copied => output.add(&stream::bytes(side, from, count)),
            How::Shared => output.add_shared(stream::bytes(side, from, count).into()),
            How::Owned => {
                output.add_owner(Owned { bytes: stream::bytes(side, from, count), _life: life });
            }
            How::Source | How::Broken => {
                let breaks = how == How::Broken && count > 0;
                let breaks_at = breaks.then_some(count / 2);
                self.has_broken |= breaks;
                self.is_fragile |= self.has_broken;
                let part = Part { side, from, count, breaks_at, _life: life };
                output.add_source(Arc::new(part)).expect("far from the limit");
            }
        }
        self.written += count;
    }

    fn put_over(&mut self, core: &mut Core, nature: Nature) {
        let Some(lower) = self.layers.last_mut() else { return };
        let filter = Natural::new(nature, &self.life_token);
        self.is_fragile |= matches!(nature, Nature::Fails(..));
        let put = core.filter(lower.id, filter, FilterOptions::new());
        match put {
            Ok(id) => {
                lower.note_filtered(core, true);
                self.layers.push(Layer::new(id, Some(nature)));
                // What is on top now ends on its own, also where the one below has.
                self.told.end = 0;
            }
            Err(error) => {
                let is_open = core.get(lower.id).is_some();
                self.blame(is_open, || error.to_string());
            }
        }
    }

    /// Ends the topmost filter, where nothing is lost by it.
    fn release(&mut self, core: &mut Core) {
        let Some(Layer { id, nature: Some(Nature::Identity), .. }) = self.layers.last() else {
            return;
        };
        let id = *id;
        let Some(mut bev) = core.get(id) else { return };
        if !bev.output().is_empty() {
            return;
        }
        let has_failed = bev.suspended(Direction::Write).contains(Suspend::ENDED);
        drop(bev);
        self.take(core, usize::MAX);
        let released = core.get(id).and_then(|mut bev| bev.release());
        if released.is_none() && has_failed {
            return;
        }
        self.layers.pop();
        let below = self.top();
        self.blame(released != below, || format!("{released:?} released, {below:?} was below"));
        if let Some(below) = self.layers.last_mut() {
            below.note_filtered(core, false);
        }
    }

    fn close(&mut self, core: &mut Core, act: Act) {
        self.take(core, usize::MAX);
        let Some(mut bev) = self.top().and_then(|top| core.get(top)) else { return };
        let (linger, life) = match act {
            Act::CloseWithin(linger) => (ms(linger), Life::Cut),
            _ => (FOR_EVER, Life::Closed),
        };
        bev.close_within(linger);
        self.life = life;
    }

    /// Whether a flush alone brings out all that its filters hold.
    pub(crate) fn packs(&self) -> bool {
        self.layers.iter().any(|layer| layer.nature == Some(Nature::Frames))
    }

    /// Takes away what holds bytes back, of those layers alone that were given something; a limit
    /// stays if it is fast enough.
    /// So does back-pressure on `bare` ends of a pair, which do not wait for each other.
    pub(crate) fn lift(&mut self, core: &mut Core, bare: bool) {
        if self.life == Life::Unborn {
            return;
        }
        self.later.clear();
        if std::mem::take(&mut self.keeps) {
            self.take(core, usize::MAX);
        }
        self.layers.iter_mut().for_each(|layer| layer.lift(core, bare));
        let (_, below) = self.layers.split_last().expect("there is a stream");
        if below.iter().any(|layer| layer.has_low_mark)
            && let Some(mut top) = self.top().and_then(|top| core.get(top))
        {
            // Nobody is called again for what a mark has held back.
            self.flushed = true;
            let _unlinked = top.flush(Direction::Read, FlushMode::Flush);
        }
    }
}

impl fmt::Debug for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { life, layers, written, got, told, is_fragile, .. } = self;
        let layers: Vec<_> = layers.iter().map(|layer| (layer.id, layer.nature)).collect();
        write!(f, "{life:?} {layers:?}, wrote {written}, got {got}, {told:?}, fragile {is_fragile}")
    }
}

/// Streams over filters that one end has at most.
const MAX_LAYERS: usize = 4;

/// Longer than any run.
pub(crate) const FOR_EVER: Duration = Duration::from_secs(1_000_000);
