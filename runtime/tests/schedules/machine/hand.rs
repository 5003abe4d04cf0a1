//! The handler of an end, and how the end is shared between it and the schedule.
//!
//! Owns nothing but a share: what is counted and what is still to be done stands in `side.rs`.

use std::sync::{Arc, Mutex, MutexGuard, Weak};

use sluicegate::{Context, Direction, Event, Group, Handler, Suspend};

use super::side::Side;

/// An end, as the schedule and its handler share it.
#[derive(Clone, Debug)]
pub(crate) struct Shared(Arc<Mutex<Side>>);

impl Shared {
    pub(crate) fn new(side: usize, core: usize, groups: [Group; 2], life: &Arc<()>) -> Self {
        let side = |me: &Weak<_>| Mutex::new(Side::new(side, core, groups, (me, life)));
        Self(Arc::new_cyclic(side))
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Side> {
        self.0.lock().expect("no panic while held")
    }
}

/// The handler of an end.
pub(crate) struct Hand {
    side: Shared,
    _life: Arc<()>,
}

impl Hand {
    /// One that acts for `side` and holds `life`.
    pub(crate) fn new(side: &Weak<Mutex<Side>>, life: &Arc<()>) -> Self {
        let side = side.upgrade().expect("it is borrowed from there");
        Self { side: Shared(side), _life: life.clone() }
    }

    fn called(&self, cx: &mut Context<'_>, act: impl FnOnce(&mut Side, &mut Context<'_>)) {
        let mut side = self.side.lock();
        let id = cx.id();
        let top = side.top();
        side.blame(top != Some(id), || format!("{id} was called, {top:?} is on top"));
        act(&mut side, cx);
        // What is done here may give cause to be called again, and then the next is done.
        side.apply_next(cx.core());
    }
}

impl Handler for Hand {
    fn on_read(&mut self, cx: &mut Context<'_>) {
        self.called(cx, |side, cx| {
            if !side.keeps {
                side.take(cx.core(), usize::MAX);
            }
        });
    }

    fn on_write(&mut self, cx: &mut Context<'_>) {
        self.called(cx, |_, _| ());
    }

    fn on_event(&mut self, cx: &mut Context<'_>, event: Event) {
        self.called(cx, |side, cx| {
            let over = cx.me().suspended(Direction::Read).contains(Suspend::ENDED);
            side.note(&event, over);
        });
    }
}
