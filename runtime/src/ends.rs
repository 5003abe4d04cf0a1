//! The ends of the cores: when they were asked to end, which have, and how.
//!
//! Owns one lock, taken when somebody asks and as a core ends, and the wait of whoever joins them.
//! A core that does not come to its end is given up some time after it should have: user code that
//! never returns cannot be stopped, but nobody has to wait for it for ever.

use std::time::Duration;

use groups::Time;
use parking_lot::{Condvar, Mutex};

use crate::clock::Clock;
use crate::handle::Shutdown;
use crate::panic::CorePanic;
use crate::report::CoreEnd;

/// How long cores may take to end after they have been asked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience {
    /// For a drain.
    pub(crate) drain: Duration,
    /// Longer than they should need.
    pub(crate) grace: Duration,
}

/// The ends of all cores of one runtime.
#[derive(Debug)]
pub(crate) struct Ends {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug)]
struct State {
    asked_to_drain: Option<Time>,
    asked_to_end: Option<Time>,
    has_ended: Vec<bool>,
    ends: Vec<CoreEnd>,
    panics: Vec<CorePanic>,
}

impl Ends {
    pub(crate) fn new(cores: usize) -> Self {
        let state = State {
            asked_to_drain: None,
            asked_to_end: None,
            has_ended: vec![false; cores],
            ends: Vec::new(),
            panics: Vec::new(),
        };
        Self { state: Mutex::new(state), changed: Condvar::new() }
    }

    /// Somebody asks the cores to end.
    pub(crate) fn ask(&self, now: Time, how: Shutdown) {
        let state = &mut *self.state.lock();
        let asked = match how {
            Shutdown::Drain => &mut state.asked_to_drain,
            Shutdown::Now => &mut state.asked_to_end,
        };
        asked.get_or_insert(now);
        self.changed.notify_all();
    }

    /// A core has come to the end of its loop.
    pub(crate) fn report(&self, end: CoreEnd) {
        self.state.lock().ends.push(end);
    }

    /// A core has panicked.
    pub(crate) fn report_panic(&self, panic: CorePanic) {
        self.state.lock().panics.push(panic);
    }

    /// The thread of a core is about to end.
    pub(crate) fn note(&self, core: usize) {
        self.state.lock().has_ended[core] = true;
        self.changed.notify_all();
    }

    /// Waits for all cores to end; returns those that have been given up.
    pub(crate) fn wait(&self, clock: &Clock, patience: Patience) -> Vec<usize> {
        let mut state = self.state.lock();
        loop {
            let unfinished: Vec<usize> =
                (0..state.has_ended.len()).filter(|&core| !state.has_ended[core]).collect();
            if unfinished.is_empty() {
                return unfinished;
            }
            match state.given_up_at(patience) {
                None => self.changed.wait(&mut state),
                Some(at) => {
                    let left = at.saturating_since(clock.now());
                    if left.is_zero() {
                        return unfinished;
                    }
                    self.changed.wait_for(&mut state, left);
                }
            }
        }
    }

    /// How a core has ended, if it has.
    pub(crate) fn end_of(&self, core: usize) -> Option<CoreEnd> {
        self.state.lock().ends.iter().find(|end| end.core == core).cloned()
    }

    /// How the cores have ended, in the order of their numbers, and those that panicked.
    pub(crate) fn take(&self) -> (Vec<CoreEnd>, Vec<CorePanic>) {
        let state = &mut *self.state.lock();
        let (mut ends, mut panics) =
            (std::mem::take(&mut state.ends), std::mem::take(&mut state.panics));
        ends.sort_by_key(|end| end.core);
        panics.sort_by_key(|panic| panic.core);
        (ends, panics)
    }
}

impl State {
    /// When whoever still runs is given up; never, unless they have been asked to end.
    fn given_up_at(&self, patience: Patience) -> Option<Time> {
        let drain = self.asked_to_drain.map(|asked| asked + patience.drain);
        let end = match (drain, self.asked_to_end) {
            (Some(drain), Some(now)) => Some(drain.min(now)),
            (drain, now) => drain.or(now),
        };
        end.map(|end| end + patience.grace)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Patience =
        Patience { drain: Duration::from_secs(30), grace: Duration::from_secs(10) };

    fn at(seconds: u64) -> Time {
        Time::ZERO + Duration::from_secs(seconds)
    }

    fn given_up_at(asked: &[(u64, Shutdown)]) -> Option<Time> {
        let ends = Ends::new(1);
        asked.iter().for_each(|&(second, how)| ends.ask(at(second), how));
        ends.state.lock().given_up_at(PATIENCE)
    }

    #[test]
    fn nobody_is_given_up_who_has_not_been_asked() {
        assert_eq!(given_up_at(&[]), None);
    }

    #[test]
    fn a_drain_has_its_time_and_the_grace_and_a_second_one_no_more() {
        let drain = Shutdown::Drain;
        assert_eq!(given_up_at(&[(5, drain)]), Some(at(45)));
        assert_eq!(given_up_at(&[(5, drain), (20, drain)]), Some(at(45)));
    }

    #[test]
    fn an_end_at_once_has_the_grace_only_and_never_lengthens_a_drain() {
        let (drain, now) = (Shutdown::Drain, Shutdown::Now);
        assert_eq!(given_up_at(&[(5, now)]), Some(at(15)));
        assert_eq!(given_up_at(&[(5, drain), (7, now)]), Some(at(17)));
        assert_eq!(given_up_at(&[(5, drain), (44, now)]), Some(at(45)));
        assert_eq!(given_up_at(&[(5, now), (6, drain)]), Some(at(15)));
    }

    #[test]
    fn who_has_ended_is_waited_for_no_more() {
        let ends = Ends::new(2);
        ends.ask(Time::ZERO, Shutdown::Now);
        ends.note(1);
        let clock = Clock::virtual_clock();
        clock.advance(PATIENCE.grace);
        assert_eq!(ends.wait(&clock, PATIENCE), [0]);
        ends.note(0);
        assert_eq!(ends.wait(&clock, PATIENCE), Vec::<usize>::new());
    }
}
