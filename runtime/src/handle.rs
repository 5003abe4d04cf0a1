//! The way into the cores from anywhere.
//!
//! Owns what the cores share: one mailbox and one set of published figures each. A [`Handle`] is a
//! counted pointer to it. Sending never blocks and never loses: a message is carried out, or the
//! sender is told that the core has stopped.

use std::fmt;
use std::sync::{Arc, OnceLock};

use crate::driver::WakeDriver;
pub use crate::mailbox::SOFT_CAP as SUBMIT_CAP;
use crate::mailbox::{Mailbox, Refused};
use crate::placement::CpuSet;
use crate::reactor::Core;
use crate::stats::{CoreStats, Published};

/// How to shut down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shutdown {
    /// Stop accepting, tell handlers, write what is left, cut at the deadline.
    Drain,
    /// Cut at once.
    Now,
}

/// The core has stopped and takes no more work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("core {core} has stopped; it takes no more work")]
pub struct Stopped {
    /// The core that was asked.
    pub core: usize,
}

/// Why a core did not take a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SubmitError {
    /// As many messages wait as were allowed: try later, or shed the work.
    #[error("core {core} has {cap} messages waiting: try later, or allow more")]
    Full {
        /// The core that was asked.
        core: usize,
        /// How many messages were allowed to wait.
        cap: usize,
    },
    /// The core has stopped.
    #[error(transparent)]
    Stopped(#[from] Stopped),
}

pub(crate) enum Message {
    Run(Box<dyn FnOnce(&mut Core) + Send>),
    /// Something happened to the group of this shard.
    Group(u32),
    Shutdown(Shutdown),
}

/// What the cores of one runtime share.
pub(crate) struct Shared(Box<[Remote]>);

/// One core, as the others see it.
struct Remote {
    mailbox: Mailbox<Message>,
    published: Published,
    /// The CPU mask of the core's thread, read back after it was placed.
    mask: OnceLock<CpuSet>,
}

impl Shared {
    pub(crate) fn new(wakers: Vec<Arc<dyn WakeDriver>>) -> Arc<Self> {
        let remote = |waker: Arc<dyn WakeDriver>| Remote {
            mailbox: Mailbox::new(Box::new(move || waker.wake())),
            published: Published::default(),
            mask: OnceLock::new(),
        };
        Arc::new(Self(wakers.into_iter().map(remote).collect()))
    }

    pub(crate) fn core_count(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn mailbox(&self, core: usize) -> &Mailbox<Message> {
        &self.0[core].mailbox
    }

    pub(crate) fn publish(&self, core: usize, stats: &CoreStats) {
        self.0[core].published.publish(stats);
    }

    pub(crate) fn set_mask(&self, core: usize, mask: CpuSet) {
        // A core is placed once; a second mask would be a defect and changes nothing.
        let _kept = self.0[core].mask.set(mask);
    }

    fn stats(&self, core: usize) -> CoreStats {
        let remote = &self.0[core];
        let mail = remote.mailbox.stats();
        CoreStats {
            mailbox_depth: mail.depth as u64,
            wakes_sent: mail.wakes_sent,
            wakes_suppressed: mail.wakes_suppressed,
            ..remote.published.read()
        }
    }
}

/// A handle to a runtime.
///
/// # Shape
/// `Clone + Send + Sync`, a counted pointer; keeps no core alive.
#[derive(Clone)]
pub struct Handle(Arc<Shared>);

impl Handle {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self(shared)
    }

    /// How many cores there are.
    pub fn core_count(&self) -> usize {
        self.0.core_count()
    }

    /// Runs `task` on a core, soon. Never blocks; wakes the core if it sleeps.
    ///
    /// # Errors
    /// The core has stopped or there is none of that number; the task is dropped.
    pub fn submit_to(
        &self,
        core: usize,
        task: impl FnOnce(&mut Core) + Send + 'static,
    ) -> Result<(), Stopped> {
        self.send(core, Message::Run(Box::new(task)))
    }

    /// As [`submit_to`](Self::submit_to), but refuses when `cap` messages wait there already.
    ///
    /// For senders that can produce faster than a core consumes; see [`SUBMIT_CAP`].
    ///
    /// # Errors
    /// The mailbox is full, and the task is dropped; or the core has stopped.
    pub fn try_submit_to<T>(&self, core: usize, cap: usize, task: T) -> Result<(), SubmitError>
    where
        T: FnOnce(&mut Core) + Send + 'static,
    {
        let remote = self.0.0.get(core).ok_or(SubmitError::Stopped(Stopped { core }))?;
        let message = Message::Run(Box::new(task));
        remote.mailbox.try_send(message, cap).map_err(|refused| match refused {
            Refused::Full(_) => SubmitError::Full { core, cap },
            Refused::Stopped(_) => SubmitError::Stopped(Stopped { core }),
        })
    }

    /// Runs a copy of `task` on every core.
    ///
    /// # Errors
    /// A core has stopped, the first such is named; all others get the task.
    pub fn broadcast(
        &self,
        task: impl FnOnce(&mut Core) + Clone + Send + 'static,
    ) -> Result<(), Stopped> {
        let sent = (0..self.core_count()).map(|core| self.submit_to(core, task.clone()));
        sent.fold(Ok(()), Result::and)
    }

    /// Asks every core to shut down; returns at once.
    pub fn shutdown(&self, how: Shutdown) {
        for core in 0..self.core_count() {
            // One that has stopped needs no telling.
            let _stopped = self.send(core, Message::Shutdown(how));
        }
    }

    /// The figures of every core, as of a recent turn of each.
    pub fn stats(&self) -> Vec<CoreStats> {
        (0..self.core_count()).map(|core| self.0.stats(core)).collect()
    }

    /// The CPUs each core's thread may really run on, as read back from the kernel.
    ///
    /// `None` for a core that has not started, or whose mask could not be read.
    pub fn masks(&self) -> Vec<Option<CpuSet>> {
        self.0.0.iter().map(|remote| remote.mask.get().cloned()).collect()
    }

    fn send(&self, core: usize, message: Message) -> Result<(), Stopped> {
        let remote = self.0.0.get(core).ok_or(Stopped { core })?;
        remote.mailbox.send(message).map_err(|_refused| Stopped { core })
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handle").field("cores", &self.core_count()).finish_non_exhaustive()
    }
}
