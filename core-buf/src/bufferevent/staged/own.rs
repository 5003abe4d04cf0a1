//! What a stage wants on its own account, and what the stream over it has to know of that.
//!
//! A filter acts when bytes pass it. A protocol also speaks by itself: it shakes hands before the
//! first byte, answers the peer while the user reads nothing, says goodbye and waits for the
//! answer. Owns what the last step has asked for. Never calls the stage: `step.rs` does.
//!
//! Invariants: a stage is called for its own sake only while the stream below is connected; it is
//! not called again before something has happened, so no wait of its is a busy one; until it has
//! told CONNECTED no byte of the user passes.

use std::mem;

use groups::{Direction, Time};

use super::Staged;
use crate::bufferevent::{Bufferevent, EventFlags, Link, Readiness, Suspend};
use crate::stage::{Outlook, Progress, Wait};

/// What a stage that speaks on its own account has asked for.
#[derive(Debug)]
pub(in crate::bufferevent) struct Own {
    /// It is to be called whatever else is to be done.
    called: bool,
    /// It waits for bytes from below, whatever the user wants.
    needs_input: bool,
    /// It has seen all that came: only more helps it, though the user may have to read some yet.
    used_up: bool,
    /// It has said that writing waits for bytes from below.
    rests: bool,
    /// The user has closed after the stage had told the end of writing: it may hear the peer's yet.
    lingers: bool,
    /// The stream below has failed as a whole: there is nothing to say and nobody to hear.
    lost: bool,
    deadline: Option<Time>,
}

impl Own {
    fn new() -> Self {
        Self {
            called: false,
            needs_input: false,
            used_up: false,
            rests: false,
            lingers: false,
            lost: false,
            deadline: None,
        }
    }
}

impl Staged {
    /// Whether bytes from below are wanted for the sake of the stage, where some that came before
    /// may be `waiting` for the user.
    pub(super) fn needs_input(&self, waiting: bool) -> bool {
        self.own.as_ref().is_some_and(|own| own.needs_input && (own.used_up || !waiting))
    }

    /// Something has come from below.
    pub(super) fn note_news(&mut self) {
        if let Some(own) = &mut self.own {
            own.used_up = false;
        }
    }

    /// The user closes: a stage that has told the end of writing is asked what is left.
    pub(in crate::bufferevent) fn linger_half_closed(&mut self) {
        if let Some(own) = &mut self.own {
            own.lingers = mem::replace(&mut self.finished, false);
            own.rests = false;
        }
    }

    /// Whether the stage hears the peer's end, though writing is over.
    pub(in crate::bufferevent) fn lingers(&self) -> bool {
        self.own.as_ref().is_some_and(|own| own.lingers)
    }

    /// Whether nothing is to be written before something has come from below.
    pub(super) fn rests(&self) -> bool {
        self.own.as_ref().is_some_and(|own| own.rests)
    }
}

impl Bufferevent {
    /// A stream over a stage that speaks on its own account, as [over any](Self::over_stage).
    ///
    /// The stage is called first as soon as the stream below is connected. If it `connects`, the
    /// user's bytes wait until a step has told CONNECTED.
    pub fn over_protocol(now: Time, connects: bool) -> Self {
        let mut stream = Self::over_stage(now);
        if let Some(staged) = &mut stream.staged {
            staged.own = Some(Own::new());
        }
        if connects {
            for direction in Direction::ALL {
                stream.suspended.add(direction, Suspend::CONNECTING);
            }
        } else {
            // The stage may hold bytes already, though nothing comes from below.
            stream.ready |= Readiness::READABLE;
        }
        stream
    }

    /// Has the stage begin anew with another connection below, whose buffers are emptied: what is
    /// in them belongs to the old one.
    ///
    /// As [`renew`](Self::renew) does for a socket: the user's buffers stay, a direction that was
    /// over starts anew, and CONNECTED comes again.
    pub fn restart_stage(&mut self, now: Time, lower: &mut Self) {
        let closing = self.is_closing();
        let Some(staged) = self.staged.as_mut().filter(|it| !closing && it.own.is_some()) else {
            return;
        };
        let tells_flushed = staged.tells_flushed;
        **staged = Staged { own: Some(Own::new()), tells_flushed, ..Staged::default() };
        lower.input.clear();
        lower.output.clear();
        lower.handle_callback(now);
        self.renew(now, Link::Awaited);
    }

    /// As [`restart_stage`](Self::restart_stage), for a stage that was never called, as its
    /// connection was not made: what is below is none of it.
    pub fn retry_stage(&mut self, now: Time) {
        let closing = self.is_closing();
        let own = self.staged.as_mut().and_then(|staged| staged.own.as_mut());
        if let Some(own) = own.filter(|own| own.lost && !closing) {
            *own = Own::new();
            self.renew(now, Link::Awaited);
        }
    }

    /// Has the stage called soon, though nothing else is to be done.
    pub fn call_stage(&mut self) {
        if let Some(own) = self.staged.as_mut().and_then(|staged| staged.own.as_mut()) {
            own.called = true;
        }
    }

    /// Whether the stage is called for its own sake, in the place of an operation.
    pub(super) fn calls_stage(&self, staged: &Staged, direction: Direction) -> bool {
        let Some(own) = &staged.own else { return false };
        let suspended = self.suspended.of(direction);
        // Before it has connected nothing of the user's passes, which limits here are for.
        let connects = suspended.contains(Suspend::CONNECTING);
        let is_limited = suspended.intersects(Suspend::LIMITS) && !connects;
        if staged.link != Link::Made || own.lost || self.is_closed() || is_limited {
            return false;
        }
        match direction {
            Direction::Read => {
                own.needs_input && !own.used_up && self.ready.contains(Readiness::READABLE)
            }
            Direction::Write => {
                // Where bytes are left to write they come first, as far as there is room.
                let bare = self.output.is_empty() || suspended.contains(Suspend::CONNECTING);
                // Without leave for the end it could only be asked again and again.
                let over = if own.lingers { Suspend::ENDED } else { Suspend::empty() };
                let may_end = (suspended - Suspend::CONNECTING - over).is_empty();
                let ends = self.finishes() && !staged.finished && !own.rests;
                own.called || (bare && may_end && ends)
            }
        }
    }

    /// The stream below has failed as a whole; says whether the stage had not connected before.
    pub(super) fn note_lost(&mut self) -> bool {
        let Some(own) = self.staged.as_mut().and_then(|staged| staged.own.as_mut()) else {
            return false;
        };
        own.lost = true;
        own.deadline = None;
        self.is_connecting()
    }

    /// What the user will still do.
    pub(super) fn outlook(&self) -> Outlook {
        match (self.is_closing(), self.is_ending()) {
            (true, _) => Outlook::Closed,
            (_, true) => Outlook::Ending,
            _ => Outlook::Open,
        }
    }

    /// The stage is about to be called, which was what it may have asked for.
    pub(super) fn note_call(&mut self) {
        if let Some(own) = self.staged.as_mut().and_then(|staged| staged.own.as_mut()) {
            own.called = false;
        }
    }

    /// Remembers what a step has asked for.
    pub(super) fn note_own(
        &mut self,
        direction: Direction,
        deadline: Option<Time>,
        step: &Progress,
        used_up: bool,
    ) {
        let Some(own) = self.staged.as_mut().and_then(|staged| staged.own.as_mut()) else { return };
        own.deadline = deadline;
        own.needs_input = step.needs_input;
        own.used_up = used_up;
        own.rests = match direction {
            Direction::Read => false,
            Direction::Write => step.write == Wait::Input,
        };
    }

    /// Looks whether the stream below has been connected, or has lost its connection; says whether
    /// this one has to be looked at again.
    pub(super) fn sync_link(&mut self, now: Time, lower: &Self) -> bool {
        let link = lower.link();
        let Some(staged) = &mut self.staged else { return false };
        let is_new = mem::replace(&mut staged.link, link) != link;
        // A stream over a filter passes it up.
        let Some(own) = &mut staged.own else { return is_new };
        own.called |= is_new && link == Link::Made;
        // There is nobody to take leave of, nor will be anything to say.
        let may_come = link != Link::Missing && (link == Link::Made || self.holds_output());
        let is_alone = !may_come && self.is_closing() && !self.is_closed();
        if is_alone {
            self.close_now();
        }
        if is_new {
            self.update_deadlines(now);
        }
        is_new || is_alone
    }

    /// Whether a direction waits for the peer to shake hands.
    pub(in crate::bufferevent) fn awaits_handshake(&self) -> bool {
        let staged = self.staged.as_ref().filter(|staged| staged.own.is_some());
        self.is_connecting() && staged.is_some_and(|staged| staged.link != Link::Missing)
    }

    /// When the stage wants to be called.
    pub(in crate::bufferevent) fn stage_deadline(&self) -> Option<Time> {
        self.staged.as_ref()?.own.as_ref()?.deadline
    }

    /// Calls the stage if its time has come.
    pub(in crate::bufferevent) fn handle_stage_deadline(&mut self, now: Time) {
        if let Some(own) = self.staged.as_mut().and_then(|staged| staged.own.as_mut())
            && own.deadline.is_some_and(|at| at <= now)
        {
            own.deadline = None;
            own.called = true;
        }
    }

    /// The stage has connected: the user's bytes pass from here on.
    pub(super) fn note_connected(&mut self, now: Time) {
        for direction in Direction::ALL {
            self.suspended.lift(direction, Suspend::CONNECTING);
            self.deadlines.restart(now, direction);
        }
        if self.staged.as_ref().is_some_and(|staged| staged.flushes[0].is_some()) {
            // It has waited for leave, and is worth a call.
            self.ready |= Readiness::READABLE;
        }
        self.trigger_event(EventFlags::CONNECTED, None);
    }

    /// How far the connection of this stream is.
    fn link(&self) -> Link {
        let reasons = self.suspended.of(Direction::Write);
        // One over a stage has no connection where the stream below has none.
        let below = self.staged.as_ref().map_or(Link::Made, |staged| staged.link);
        if reasons.contains(Suspend::UNCONNECTED) {
            Link::Missing
        } else if reasons.contains(Suspend::CONNECTING) {
            below.min(Link::Awaited)
        } else {
            below
        }
    }
}
