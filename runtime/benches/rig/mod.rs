//! What the benches share: the CPU time of a thread, cores that run, and how long to measure.
//!
//! Owns no measurement. CPU time is that of the calling thread, so that other programs disturb it
//! little; what crosses threads has to be measured by the clock on the wall, and says so.

#![allow(dead_code, reason = "no bench uses all of it")]

use std::sync::mpsc;
use std::time::Duration;

use criterion::Criterion;
use rustix::time::{ClockId, clock_gettime};
use sluicegate::{Core, Handle, Running, Runtime, Shutdown};

/// The CPU time this thread spends in `work`.
pub(crate) fn cpu_time(work: impl FnOnce()) -> Duration {
    let reading = || {
        Duration::try_from(clock_gettime(ClockId::ThreadCPUTime)).expect("CPU time is not negative")
    };
    let begun = reading();
    work();
    reading() - begun
}

/// Short enough for a machine that others use, long enough for a median.
pub(crate) fn settings() -> Criterion {
    Criterion::default()
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1))
}

/// Cores on threads of their own.
pub(crate) struct Cores {
    pub(crate) handle: Handle,
    running: Running,
}

impl Cores {
    pub(crate) fn start(count: usize) -> Self {
        let runtime = Runtime::builder().cores(count).build().expect("cores can be built");
        let running = runtime.start().expect("threads can be started");
        Self { handle: running.handle(), running }
    }

    /// Runs `task` on a core and waits for what it returns.
    pub(crate) fn on_core<T: Send + 'static>(
        &self,
        core: usize,
        task: impl FnOnce(&mut Core) -> T + Send + 'static,
    ) -> T {
        let (answers, answer) = mpsc::channel();
        let task = move |core: &mut Core| answers.send(task(core)).expect("the bench waits");
        self.handle.submit_to(core, task).expect("the core runs");
        answer.recv().expect("the task does not panic")
    }

    pub(crate) fn stop(self) {
        self.handle.shutdown(Shutdown::Now);
        let report = self.running.join();
        assert!(report.panicked.is_empty(), "{report}");
    }
}
