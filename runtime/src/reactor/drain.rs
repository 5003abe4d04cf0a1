//! Shutting a core down: stop accepting, tell handlers, let output flow, then cut.
//!
//! Owns the state of the drain and what it reports. The core ends as soon as no connection is
//! left, at the latest at the deadline, when what still stands is cut.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use groups::Time;

use super::{Core, Timer};
use crate::id::Key;
use crate::report::{CoreEnd, Left};
use crate::stats::CoreStats;
use crate::watchdog::Label;

/// Connections that a drain accepts of one backlog.
const BACKLOG_MAX: u32 = 65_536;

#[derive(Debug, Default, PartialEq, Eq)]
enum Phase {
    #[default]
    Serving,
    Draining,
    Cutting,
    Over,
}

/// How far a core's shutdown is.
#[derive(Debug, Default)]
pub(crate) struct Drain {
    phase: Phase,
    pub(crate) timeout: Duration,
    /// When it was told.
    since: Option<Time>,
    /// Whom it had to cut off, and how many of a kind.
    left: HashMap<Label, u64>,
}

impl Drain {
    pub(crate) fn has_begun(&self) -> bool {
        self.phase != Phase::Serving
    }

    /// Whether connections still end by themselves.
    pub(crate) fn is_gentle(&self) -> bool {
        self.phase == Phase::Draining
    }

    pub(crate) fn is_over(&self) -> bool {
        self.phase == Phase::Over
    }
}

impl Core {
    /// Stops accepting and asks every handler to finish. A second call changes nothing.
    pub(super) fn start_drain(&mut self) {
        if self.drain.has_begun() {
            return;
        }
        self.drain.phase = Phase::Draining;
        self.shared.load(self.index()).close();
        self.drain.since = Some(self.now);
        self.wheel.arm(self.now + self.drain.timeout, Timer::DrainDeadline);
        self.close_listeners();
        for key in self.slots.keys() {
            if let Some(stream) = self.slots.stream(key) {
                stream.tell_drain = true;
                self.update(key);
            }
        }
    }

    /// The handler on top of a stack is told, and not again should it come to stand lower.
    pub(super) fn note_drain_told(&mut self, key: Key) {
        let mut next = Some(key);
        while let Some(stream) = next.and_then(|key| self.slots.stream(key)) {
            stream.tell_drain = false;
            next = stream.transport.lower();
        }
    }

    /// Ends now: whatever is still connected is closed with its output unsent.
    pub(super) fn cut_all(&mut self) {
        self.drain.phase = Phase::Cutting;
        self.shared.load(self.index()).close();
        self.drain.since.get_or_insert(self.now);
        self.close_listeners();
        for key in self.slots.keys() {
            self.note_left(key);
            if let Some(stream) = self.slots.stream(key) {
                stream.bev.close_now();
                self.update(key);
            }
        }
    }

    /// Takes down who is about to be cut off, and what it had not sent.
    fn note_left(&mut self, key: Key) {
        let Some(stream) = self.slots.stream(key) else { return };
        if stream.bev.is_closed() {
            return;
        }
        self.stats.cut_bytes += stream.bev.output().len() as u64;
        let Some(handler) = stream.handler.take() else { return };
        let label = match stream.label {
            Label::UNKNOWN => {
                let ask = AssertUnwindSafe(|| self.learn_label(key, &*handler));
                // It says so itself; here only its name is wanted.
                catch_unwind(ask).unwrap_or(Label::UNKNOWN)
            }
            label => label,
        };
        if let Some(stream) = self.slots.stream(key) {
            stream.handler = Some(handler);
        }
        *self.drain.left.entry(label).or_default() += 1;
    }

    /// A connection comes too late to be served: it is cut off as those that are here.
    pub(super) fn turn_away(&mut self, key: Key, label: Label) {
        if let Some(stream) = self.slots.stream(key) {
            stream.bev.abort();
        }
        *self.drain.left.entry(label).or_default() += 1;
        self.update(key);
    }

    fn close_listeners(&mut self) {
        for key in std::mem::take(&mut self.listeners) {
            // Those the kernel has already connected get their turn instead of a reset.
            if self.drain.is_gentle() {
                self.accept_backlog(key);
            }
            self.give_up_listener(key);
            tracing::debug!(core = self.index(), "a listener is closed");
        }
    }

    /// Accepts those the kernel holds, and no more than it can have held.
    fn accept_backlog(&mut self, listener: Key) {
        let own = self.index();
        let Some(entry) = self.slots.listener(listener) else { return };
        // Where other cores accept there is no socket to look at.
        entry.ready = entry.mode.accepts(own);
        // Whoever comes meanwhile is not among them. The kernel holds one more than it is told to.
        let most = entry.backlog.saturating_add(1).min(BACKLOG_MAX);
        self.accept_some(listener, most);
    }

    /// The core is over once a drain has begun, nothing lives and nothing is on its way here: what
    /// was assigned before it closed counts until it comes. Told to end, or at the deadline, it
    /// awaits nobody: what finds its mailbox closed stays with the core that sent it. Called at the
    /// end of each turn.
    pub(super) fn finish_drain(&mut self) {
        let load = self.shared.load(self.index());
        let awaits = self.drain.is_gentle() && load.count() > 0;
        if self.drain.has_begun() && self.slots.len() == 0 && !awaits {
            self.drain.phase = Phase::Over;
        }
    }

    /// The last act: no more mail, but what was accepted is still carried out.
    pub(crate) fn stop(&mut self) {
        let shared = self.shared.clone();
        let mailbox = shared.mailbox(self.index());
        mailbox.close(|message| self.handle_message(message));
        self.send_mail();
        // What these have still opened, or given back.
        self.reap();
        debug_assert!(self.wires.are_unused(), "an end goes with its stream");
        self.report_end();
    }

    /// Publishes the last figures, and how this core has ended.
    pub(super) fn report_end(&mut self) {
        let labels = &self.shared.labels;
        let name = |(label, count)| Left { label: String::from(&*labels.name(label)), count };
        let mut left: Vec<Left> = self.drain.left.drain().map(name).collect();
        left.sort_by(|a, b| b.count.cmp(&a.count).then_with(|| a.label.cmp(&b.label)));
        let now = self.driver.now();
        let took = self.drain.since.map_or(Duration::ZERO, |since| now.saturating_since(since));
        let CoreStats { drained, cut, cut_bytes, .. } = self.stats;
        let core = self.index();
        self.publish();
        self.shared.ends.report(CoreEnd { core, took, drained, cut, cut_bytes, left });
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::rc::Rc;

    use crate::handle::Shutdown;
    use crate::handler::Handler;
    use crate::listen::ListenOptions;
    use crate::pair::PairOptions;
    use crate::sim::{Faults, Simulation};

    use super::*;

    /// Counts its own end.
    struct Dropped(Rc<Cell<u32>>);
    impl Handler for Dropped {}
    impl Drop for Dropped {
        fn drop(&mut self) {
            self.0.set(self.0.get() + 1);
        }
    }

    #[test]
    fn what_the_last_mail_opens_is_closed_before_the_core_reports() {
        let mut sim = Simulation::new(1);
        let core = sim.core();
        core.handle().shutdown(Shutdown::Now);
        core.turn(Duration::ZERO);
        assert!(core.drain.is_over());
        let task = |core: &mut Core| {
            let ends = Rc::new(Cell::new(0));
            let counts = || Dropped(ends.clone());
            core.pair(PairOptions::new(), counts(), counts());
            core.after(Duration::ZERO, move |_| assert_eq!(ends.get(), 2, "both are dropped"));
        };
        core.handle().submit_to(0, task).expect("its mailbox is open");
        core.stop();
        assert_eq!((core.stats().pair_ends, core.slots.len()), (0, 0));
        let Some(Timer::Task(check)) = core.wheel.poll_expired(Time::MAX) else {
            panic!("the task has run");
        };
        check(core);
    }

    #[test]
    fn a_drain_accepts_the_backlog_and_is_not_kept_by_a_large_one() {
        let mut sim = Simulation::with_cores(1, 1, Faults::none());
        let options = ListenOptions::new().backlog(u32::MAX).accept_batch(1).disabled();
        let greets = |conn: &mut crate::BevMut<'_>| conn.output().add(b"welcome");
        let listener = sim.listen_with("10.0.0.1:80", options, greets).expect("it is free");
        let peers = [(); 9].map(|()| sim.connect(listener.local_addr()).expect("it listens"));
        sim.run_for(Duration::from_millis(1));
        listener.enable();
        sim.core().handle().shutdown(Shutdown::Drain);
        assert!(sim.run_until(Duration::from_secs(1), |sim| sim.is_stopped()));
        sim.run_for(Duration::from_millis(1));
        assert!(peers.iter().all(|&peer| sim.read(peer) == b"welcome"));
    }

    #[test]
    fn a_drain_accepts_no_more_than_the_backlog_can_have_held() {
        let mut sim = Simulation::new(1);
        let options = ListenOptions::new().disabled();
        let listener = sim.listen_with("10.0.0.1:80", options, |_| ()).expect("it is free");
        for _ in 0..9 {
            sim.connect(listener.local_addr()).expect("it listens");
        }
        sim.run_for(Duration::from_millis(1));
        let core = sim.core();
        let key = core.listeners[0];
        core.slots.listener(key).expect("it listens").backlog = 2;
        listener.enable();
        core.accept_backlog(key);
        assert_eq!(core.stats().accepted, 3);
    }
}
