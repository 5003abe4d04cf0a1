//! The way into the cores from anywhere.
//!
//! Owns what the cores share: one mailbox and one set of published figures each. A [`Handle`] is a
//! counted pointer to it. Sending never blocks: a message is carried out, unless the core panics
//! first and may stop, or the sender is told that the core has stopped.

use std::fmt;
use std::sync::{Arc, OnceLock};

use crate::balance::Load;
use crate::bev::BevMut;
use crate::clock::Clock;
use crate::driver::WakeDriver;
use crate::ends::Ends;
use crate::handler::Handler;
pub use crate::mailbox::SOFT_CAP as SUBMIT_CAP;
use crate::mailbox::{Mailbox, Refused};
use crate::metrics::Registry;
use crate::pair::{PairOptions, PendingPair};
use crate::placement::{CoreInfo, Pinned};
use crate::reactor::{Core, HandOver, Make};
use crate::stats::{CoreStats, Published, PublishedStalls, StallStats};
use crate::watchdog::{BeatCell, Labels, Post};
use crate::wire::Letter;

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
    /// A connection that another core has accepted.
    HandOver(Box<HandOver>),
    /// Something happened to the group of this shard.
    Group(u32),
    /// The other half of a wire has something to tell.
    Wire(Box<Letter>),
    /// A core is gone, and with it whatever was on it.
    Gone(usize),
    Shutdown(Shutdown),
}

/// What the cores of one runtime share.
pub(crate) struct Shared {
    cores: Box<[Remote]>,
    /// The clock the cores go by.
    clock: Clock,
    /// The groups with members on any core, where somebody wants to know.
    groups: OnceLock<Registry>,
    /// Where cores that wake up find the watchdog.
    pub(crate) post: Post,
    /// What their user code is called.
    pub(crate) labels: Labels,
    pub(crate) ends: Ends,
}

/// One core, as the others see it.
struct Remote {
    mailbox: Mailbox<Message>,
    published: Published,
    /// The connections there, for who accepts to see.
    load: Load,
    /// Where the core's thread runs, once it has been placed.
    info: OnceLock<CoreInfo>,
    beat: BeatCell,
    stalls: PublishedStalls,
    /// The kernel's number of the core's thread.
    thread_id: OnceLock<i32>,
}

impl Shared {
    pub(crate) fn new(clock: Clock, wakers: Vec<Arc<dyn WakeDriver>>) -> Arc<Self> {
        let remote = |waker: Arc<dyn WakeDriver>| Remote {
            mailbox: Mailbox::new(Box::new(move || waker.wake())),
            published: Published::default(),
            load: Load::default(),
            info: OnceLock::new(),
            beat: BeatCell::new(),
            stalls: PublishedStalls::default(),
            thread_id: OnceLock::new(),
        };
        let cores: Box<[Remote]> = wakers.into_iter().map(remote).collect();
        let ends = Ends::new(cores.len());
        let (post, labels) = (Post::new(), Labels::new());
        Arc::new(Self { cores, clock, groups: OnceLock::new(), post, labels, ends })
    }

    pub(crate) fn core_count(&self) -> usize {
        self.cores.len()
    }

    pub(crate) fn mailbox(&self, core: usize) -> &Mailbox<Message> {
        &self.cores[core].mailbox
    }

    pub(crate) fn load(&self, core: usize) -> &Load {
        &self.cores[core].load
    }

    pub(crate) fn published(&self, core: usize) -> &Published {
        &self.cores[core].published
    }

    pub(crate) fn set_info(&self, info: CoreInfo) {
        // A core is placed once; a second time would be a defect and changes nothing.
        let _kept = self.cores[info.index].info.set(info);
    }

    /// The list of groups, if there is one.
    pub(crate) fn groups(&self) -> Option<&Registry> {
        self.groups.get()
    }

    /// Has every group listed from now on in which a core takes a seat.
    pub(crate) fn list_groups(&self) -> &Registry {
        self.groups.get_or_init(Registry::default)
    }

    pub(crate) fn beat(&self, core: usize) -> &BeatCell {
        &self.cores[core].beat
    }

    /// What a core is at now, in words.
    pub(crate) fn name_of_work(&self, core: usize) -> String {
        String::from(&*self.labels.name(self.beat(core).read().label()))
    }

    /// Whether a core sleeps or is gone; if not, it looks at the [`post`](Self::post) yet.
    pub(crate) fn is_asleep(&self, core: usize) -> bool {
        let remote = &self.cores[core];
        remote.beat.has_ended() || remote.mailbox.is_asleep()
    }

    pub(crate) fn publish_stalls(&self, core: usize, stats: &StallStats) {
        self.cores[core].stalls.publish(stats);
    }

    pub(crate) fn set_thread_id(&self, core: usize, id: i32) {
        // A core has one thread.
        let _kept = self.cores[core].thread_id.set(id);
    }

    pub(crate) fn thread_id(&self, core: usize) -> Option<i32> {
        self.cores[core].thread_id.get().copied()
    }

    pub(crate) fn stats(&self, core: usize) -> CoreStats {
        let remote = &self.cores[core];
        let now = self.clock.now();
        let mail = remote.mailbox.stats();
        let stalls = remote.stalls.read();
        CoreStats {
            stalls: stalls.stalls,
            starvations: stalls.starvations,
            stalled_ns: stalls.stalled_ns,
            longest_stall_ns: stalls.longest_stall_ns,
            mailbox_depth: mail.depth as u64,
            wakes_sent: mail.wakes_sent,
            wakes_suppressed: mail.wakes_suppressed,
            pin_failures: u64::from(
                remote.info.get().is_some_and(|info| info.pinned == Pinned::Failed),
            ),
            ..remote.published.read(now)
        }
    }
}

/// A handle to a runtime.
///
/// # Shape
/// `Clone + Send + Sync`, a counted pointer; keeps no core alive.
#[derive(Clone)]
pub struct Handle(pub(crate) Arc<Shared>);

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
        let remote = self.0.cores.get(core).ok_or(SubmitError::Stopped(Stopped { core }))?;
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

    /// Joins two new bufferevents on two cores: what one writes, the other reads.
    ///
    /// As [`Core::pair`], and with the same meaning: marks, limits, flushes, a close that writes
    /// what is left first. Each handler is made on its core, by a function that may set its end up.
    /// Bytes travel with the other mail of a turn, at most as many as the reading end has room for:
    /// up to its high mark, or 256 KiB. Until the second core has answered the first end knows no
    /// [`partner`](BevMut::partner) and what it writes waits. An end whose partner's core stops or
    /// dies is unlinked; if the second has stopped before it could answer, the first is closed.
    ///
    /// # Errors
    /// The first core has stopped, or there is none of one of the numbers. Whether the second has
    /// stopped the [`PendingPair`] tells.
    ///
    /// # Examples
    /// ```
    /// use std::sync::mpsc;
    ///
    /// use sluicegate::{BevMut, Context, Handler, PairOptions, Runtime, Shutdown};
    ///
    /// struct Echo;
    /// impl Handler for Echo {
    ///     fn on_read(&mut self, cx: &mut Context<'_>) {
    ///         let (mut input, mut output) = cx.buffers();
    ///         output.append(&mut input);
    ///     }
    /// }
    ///
    /// struct Tell(mpsc::Sender<usize>);
    /// impl Handler for Tell {
    ///     fn on_read(&mut self, cx: &mut Context<'_>) {
    ///         let _nobody_waits = self.0.send(cx.me().input().len());
    ///     }
    /// }
    ///
    /// let running = Runtime::builder().cores(2).build()?.start()?;
    /// let (lengths, length) = mpsc::channel();
    /// let ask = move |end: &mut BevMut<'_>| {
    ///     end.output().add(b"hello, other core");
    ///     Tell(lengths)
    /// };
    /// let pair = running.handle().pair(0, ask, 1, |_: &mut BevMut<'_>| Echo, PairOptions::new())?;
    /// let (a, b) = pair.wait()?;
    /// assert_eq!((a.core(), b.core()), (0, 1));
    /// assert_eq!(length.recv(), Ok(17));
    /// running.handle().shutdown(Shutdown::Drain);
    /// running.join();
    /// # Ok::<(), sluicegate::Error>(())
    /// ```
    pub fn pair<A: Handler, B: Handler>(
        &self,
        core_a: usize,
        make_a: impl FnOnce(&mut BevMut<'_>) -> A + Send + 'static,
        core_b: usize,
        make_b: impl FnOnce(&mut BevMut<'_>) -> B + Send + 'static,
        options: PairOptions,
    ) -> Result<PendingPair, Stopped> {
        if core_b >= self.core_count() {
            return Err(Stopped { core: core_b });
        }
        let make_a: Make = Box::new(|end| Box::new(make_a(end)));
        let make_b: Make = Box::new(|end| Box::new(make_b(end)));
        let (pending, promise) = PendingPair::new(core_a);
        self.submit_to(core_a, move |core| {
            core.pair_across(make_a, (core_b, make_b), options, promise);
        })?;
        Ok(pending)
    }

    /// Makes each core's context of a TLS configuration now, on this thread, so that no core stops
    /// for it when its first connection comes.
    ///
    /// Costs some milliseconds a core, or some 60 for a client that reads the system's roots. What
    /// is there already stays. The contexts of names that were given to `certificate_for` are not
    /// made: for one a core stops some two milliseconds, in the first handshake that asks for it,
    /// and again in the first after a reload.
    ///
    /// # Errors
    /// [`TlsConfigError::OpenSsl`](tls::TlsConfigError::OpenSsl): a context cannot be made.
    ///
    /// # Examples
    /// ```
    /// use sluicegate::tls::Certificate;
    /// use sluicegate::{Runtime, TlsConfig};
    ///
    /// let certificate = Certificate::self_signed(&["localhost"], 7)?;
    /// let config = TlsConfig::server().certificate(certificate).build()?;
    /// let runtime = Runtime::builder().cores(2).build()?;
    /// runtime.handle().prepare_tls(&config)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[cfg(feature = "tls")]
    pub fn prepare_tls(&self, config: &tls::TlsConfig) -> Result<(), tls::TlsConfigError> {
        (0..self.core_count()).try_for_each(|core| config.prepare(core))
    }

    /// Asks every core to shut down; returns at once.
    pub fn shutdown(&self, how: Shutdown) {
        self.0.ends.ask(Clock::process().now(), how);
        for core in 0..self.core_count() {
            // One that has stopped needs no telling.
            let _stopped = self.send(core, Message::Shutdown(how));
        }
    }

    /// The figures of every core: exact while it sleeps, and else as they were some
    /// microseconds or a turn ago. Takes no lock and disturbs nobody.
    pub fn stats(&self) -> Vec<CoreStats> {
        (0..self.core_count()).map(|core| self.0.stats(core)).collect()
    }

    /// Where each core runs, as read back from the kernel.
    pub fn cores(&self) -> Vec<CoreInfo> {
        let info = |(index, remote): (usize, &Remote)| {
            remote.info.get().cloned().unwrap_or_else(|| CoreInfo::not_yet(index))
        };
        self.0.cores.iter().enumerate().map(info).collect()
    }

    pub(crate) fn send(&self, core: usize, message: Message) -> Result<(), Stopped> {
        let remote = self.0.cores.get(core).ok_or(Stopped { core })?;
        remote.mailbox.send(message).map_err(|_refused| Stopped { core })
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handle").field("cores", &self.core_count()).finish_non_exhaustive()
    }
}
