//! The limits of a server, and who comes under them when.
//!
//! Owns the group that the connections share. It is made when the first comes under it, so that a
//! test measures from the limit's own start and not from a burst saved up before. Connections can
//! be held, so that all come under it at the same time and with something to move: whoever came
//! first would else get the whole first tick. Weights are given out in turn.

use std::num::NonZeroU32;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, OnceLock};
use std::time::Duration;

use sluicegate::{
    BevId, BevMut, Clock, Core, Direction, Group, GroupBuilder, Handle, TokenBucketConfig,
};

use super::recorder::Recording;
use crate::arguments::ServeArguments;
use crate::audit::Moment;
use crate::exit::{Failure, Outcome};
use crate::limits::{self, Terms};

/// The limits of a server and what they apply to.
pub(super) struct Limits {
    group: Option<GroupBuilder>,
    /// The n-th member joins with the n-th of these, and round again.
    weights: Vec<NonZeroU32>,
    joined: AtomicUsize,
    each: Option<TokenBucketConfig>,
    /// Bytes taken from the group each tick by something outside it.
    drain: Option<(i64, Duration)>,
    made: OnceLock<(Group, Moment)>,
    handle: Handle,
    recording: Option<Recording>,
    /// Connections that wait for the word to go, where connections are held.
    held: Option<Mutex<Vec<BevId>>>,
}

impl Limits {
    pub(super) fn new(
        arguments: &ServeArguments,
        handle: Handle,
        recording: Option<Recording>,
    ) -> Outcome<Self> {
        let limits = &arguments.limits;
        let config = |terms: Option<Terms>| -> Outcome<Option<TokenBucketConfig>> {
            let broken = arguments.break_limiter;
            let terms = terms.map(|terms| if broken { terms.broken() } else { terms });
            terms.map(|terms| terms.config(arguments.service)).transpose()
        };
        let group = config(Terms::group(limits)?)?;
        let new = Self {
            group: group.map(|config| limits::group(config, limits.min_share)),
            weights: arguments.weights.clone(),
            joined: AtomicUsize::new(0),
            each: config(Terms::connection(limits)?)?,
            drain: limits.group_drain.zip(limits.tick).map(|(size, tick)| (size.0 as i64, tick)),
            made: OnceLock::new(),
            handle,
            recording,
            held: arguments.hold.then(Mutex::default),
        };
        // A group that cannot be built is refused now and not at the first connection.
        let trial = new.group.as_ref().map(|group| group.clone().build());
        trial.transpose().map_err(|error| Failure::Usage(error.to_string()))?;
        Ok(new)
    }

    /// The group and when it was made, once somebody has joined it.
    pub(super) fn made(&self) -> Option<&(Group, Moment)> {
        self.made.get()
    }

    /// Puts a new connection under the limits, or holds it.
    pub(super) fn admit(&self, connection: &mut BevMut<'_>) {
        match &self.held {
            None => self.apply(connection),
            Some(held) => {
                connection.disable(Direction::Read);
                held.lock().expect("nobody panics while holding it").push(connection.id());
            }
        }
    }

    /// Puts the connections that one core holds under the limits and lets them run.
    pub(super) fn release(&self, core: &mut Core) {
        let Some(held) = &self.held else { return };
        for id in held.lock().expect("nobody panics while holding it").iter() {
            if let Some(mut connection) = core.get(*id) {
                self.apply(&mut connection);
                connection.enable(Direction::Read);
            }
        }
    }

    /// Puts a connection under the limits.
    fn apply(&self, connection: &mut BevMut<'_>) {
        if let Some(builder) = &self.group {
            let (group, _) = self.made.get_or_init(|| self.make(builder));
            let weight = self.next_weight();
            connection
                .join_weighted(group, weight)
                .expect("the group has a seat for every core of this machine");
            if let Some(recording) = &self.recording {
                recording.note_member(connection.id(), weight.get());
            }
        }
        if let Some(config) = &self.each {
            let (_, set) = bracket(|| connection.set_rate_limit(Some(config.clone())));
            if let Some(recording) = &self.recording {
                recording.note_limit(connection.id(), set);
            }
        }
    }

    fn next_weight(&self) -> NonZeroU32 {
        if self.weights.is_empty() {
            return NonZeroU32::MIN;
        }
        // Only the count matters: no other data hangs on it.
        let number = self.joined.fetch_add(1, Ordering::Relaxed);
        self.weights[number % self.weights.len()]
    }

    fn make(&self, builder: &GroupBuilder) -> (Group, Moment) {
        let build = || builder.clone().build();
        let (group, made) =
            bracket(|| build().expect("the same numbers were accepted at the start"));
        if let Some((bytes, tick)) = self.drain {
            let group = group.clone();
            // A core that has stopped needs no drain.
            let _ = self.handle.submit_to(0, move |core| arm_drain(core, group, bytes, tick));
        }
        (group, made)
    }
}

/// Takes bytes from both directions of a group at every tick from the next on.
fn arm_drain(core: &mut Core, group: Group, bytes: i64, tick: Duration) {
    core.after(tick, move |core| {
        // A direction the service does not use has no limit and nothing to drain.
        let _unlimited = group.decrement_read(bytes);
        let _unlimited = group.decrement_write(bytes);
        arm_drain(core, group, bytes, tick);
    });
}

/// Does something and says between which clock readings.
fn bracket<T>(act: impl FnOnce() -> T) -> (T, Moment) {
    let clock = Clock::process();
    let not_before_ns = clock.now().as_nanos();
    let done = act();
    (done, Moment { not_before_ns, not_after_ns: clock.now().as_nanos() })
}
