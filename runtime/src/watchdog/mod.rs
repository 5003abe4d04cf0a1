//! The watchdog: one thread that notices a core whose handler does not come back.
//!
//! Owns the thread, which looks at the cores' beats four times in the threshold, and what it says:
//! a warning in the log, figures, a call of the application. It sends no signal and stops nothing;
//! a core pays one relaxed store a call (`beat.rs`) and one load when it has slept (`post.rs`).
//! What is a stall is decided in `judge.rs`.
//!
//! Invariants: it sleeps without end while all cores do; it ends with the last of them; it never
//! runs on a core's thread, nor confined to a core's CPU.
//! Source: Seastar's stall detector (reactor.cc). Differs: no signal and no backtrace, so no
//! handler is interrupted; a thread that got no CPU is told from one that does not let go.

mod beat;
mod cpu_time;
mod judge;
mod label;
mod post;

use std::convert::Infallible;
use std::fmt;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use crossbeam::channel::{Receiver, RecvTimeoutError, bounded};

pub(crate) use self::beat::{BeatCell, Pulse};
use self::cpu_time::CpuTime;
use self::judge::{Finding, Judge};
pub(crate) use self::label::{KnownLabels, Label, Labels};
pub(crate) use self::post::Post;
use crate::clock::Clock;
use crate::handle::Shared;
use crate::placement::{CpuSet, confine};

/// How long a call may take before it is a stall, unless told otherwise.
///
/// Far above what a busy machine does to a thread, and far below what users take for a hang.
pub const DEFAULT_STALL_THRESHOLD: Duration = Duration::from_secs(1);

/// The least threshold: below it a timer or an ordinary preemption would be a stall.
pub const MIN_STALL_THRESHOLD: Duration = Duration::from_millis(1);

/// What a thread was mostly doing while its core stood still.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StallCause {
    /// It ran: the call computes, or spins. Some of the time a hypervisor took away may look so.
    Ran,
    /// It was ready to run and got no CPU: the machine is overcommitted, the call may be short.
    NoCpu,
    /// It was blocked: the call sleeps, waits for a lock, or for a disk.
    Blocked,
    /// The kernel keeps no figures of its threads.
    Unknown,
}

/// A core that has been at one call for longer than the threshold.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Stall {
    /// The core.
    pub core: usize,
    /// What it is at: see [`Handler::label`](crate::Handler::label).
    pub label: String,
    /// How long so far, at least; if it is over, how long it was, up to a quarter of the threshold.
    pub lasted: Duration,
    /// What its thread was doing.
    pub cause: StallCause,
    /// The call has come back.
    pub is_over: bool,
}

/// Whom the application has told about stalls.
pub(crate) type OnStall = Arc<dyn Fn(&Stall) + Send + Sync>;

/// The choices of a watchdog.
#[derive(Clone)]
pub(crate) struct WatchdogOptions {
    /// None: there is no watchdog.
    pub(crate) threshold: Option<Duration>,
    pub(crate) on_stall: Option<OnStall>,
}

impl Default for WatchdogOptions {
    fn default() -> Self {
        Self { threshold: Some(DEFAULT_STALL_THRESHOLD), on_stall: None }
    }
}

/// What an idle thread of a busy machine is given to end.
const LEAST_JOIN: Duration = Duration::from_millis(100);

/// The thread of a watchdog, which ends after the last core.
#[derive(Debug)]
pub(crate) struct Watch {
    thread: thread::JoinHandle<()>,
    /// Nothing comes; it is disconnected as the thread ends.
    runs: Receiver<Infallible>,
}

impl Watch {
    fn spawn(watch: impl FnOnce() + Send + 'static) -> io::Result<Self> {
        let (end, runs) = bounded(0);
        let thread = thread::Builder::new().name(String::from("sluicegate-watch"));
        let thread = thread.spawn(move || {
            let _end = end;
            watch();
        })?;
        Ok(Self { thread, runs })
    }

    /// Waits until it has ended, `longest` at most, or the time it takes to be scheduled: what it
    /// tells of stalls may never come back, as it may wait for the very thread that waits here.
    /// Returns whether it has ended well.
    pub(crate) fn join(self, longest: Duration) -> bool {
        let longest = longest.max(LEAST_JOIN);
        if self.runs.recv_timeout(longest) == Err(RecvTimeoutError::Timeout) {
            tracing::error!(?longest, "the watchdog has not ended in time and is left behind");
            return false;
        }
        let ended = self.thread.join();
        if ended.is_err() {
            tracing::error!("the watchdog panicked");
        }
        ended.is_ok()
    }
}

/// Starts the thread, unless there is to be none.
///
/// # Errors
/// The system gives no thread.
pub(crate) fn start(
    options: WatchdogOptions,
    shared: Arc<Shared>,
    cpus: Option<CpuSet>,
) -> io::Result<Option<Watch>> {
    let Some(threshold) = options.threshold else { return Ok(None) };
    let judge = Judge::new(shared.core_count(), threshold);
    let mut watchdog = Watchdog { judge, on_stall: options.on_stall, shared };
    let watch = move || {
        if let Some(error) = cpus.and_then(|cpus| confine(&cpus).err()) {
            tracing::warn!(%error, "the watchdog stays on the CPU of a core");
        }
        watchdog.run();
    };
    Watch::spawn(watch).map(Some)
}

struct Watchdog {
    judge: Judge,
    on_stall: Option<OnStall>,
    shared: Arc<Shared>,
}

impl Watchdog {
    fn run(&mut self) {
        let shared = self.shared.clone();
        let clock = Clock::process();
        shared.post.man();
        loop {
            let (mut has_ended, mut waits) = (true, true);
            let now = clock.now();
            for core in 0..shared.core_count() {
                let beat = shared.beat(core).read();
                has_ended &= beat.has_ended();
                waits &= !beat.is_at_work();
                let cpu_time = || shared.thread_id(core).and_then(CpuTime::of_thread);
                if let Some(finding) = self.judge.look(now, core, beat, cpu_time) {
                    shared.publish_stalls(core, &self.judge.stats(core));
                    self.tell(core, finding);
                }
            }
            if has_ended {
                return;
            }
            let all_asleep = || (0..shared.core_count()).all(|core| shared.is_asleep(core));
            if !waits || !shared.post.sleep_if(all_asleep) {
                thread::park_timeout(self.judge.period());
            }
        }
    }

    fn tell(&self, core: usize, finding: Finding) {
        let Finding { label, lasted, cause, is_over, is_news } = finding;
        let label = String::from(&*self.shared.labels.name(label));
        let stall = Stall { core, label, lasted, cause, is_over };
        if is_news {
            tracing::warn!("{stall}");
        }
        if let Some(on_stall) = &self.on_stall
            && catch_unwind(AssertUnwindSafe(|| on_stall(&stall))).is_err()
        {
            tracing::error!("the function told about stalls panicked; the watchdog goes on");
        }
    }
}

impl fmt::Display for Stall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { core, label, lasted, cause, is_over } = self;
        let verb = if *is_over { "was" } else { "has been" };
        write!(f, "core {core} {verb} in `{label}` for {lasted:.1?}, its thread {cause}")
    }
}

impl fmt::Display for StallCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ran => "running",
            Self::NoCpu => "waiting for a CPU",
            Self::Blocked => "blocked",
            Self::Unknown => "doing nobody knows what",
        })
    }
}

impl fmt::Debug for WatchdogOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WatchdogOptions")
            .field("threshold", &self.threshold)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_watchdog_that_does_not_come_back_is_left_behind() {
        let (release, held) = bounded::<()>(0);
        let watch = Watch::spawn(move || {
            let _released = held.recv();
        })
        .expect("a thread");
        assert!(!watch.join(Duration::from_millis(1)));
        drop(release);
    }

    #[test]
    fn one_that_ends_is_waited_for_and_a_panic_is_known() {
        let long = Duration::from_secs(60);
        assert!(Watch::spawn(|| {}).expect("a thread").join(long));
        assert!(!Watch::spawn(|| panic!("asked to")).expect("a thread").join(long));
    }
}
