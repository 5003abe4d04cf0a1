//! The one file of the library that reads a clock.
//!
//! Owns the runtime's origin: every [`Time`] is the nanoseconds since the first reading in this
//! process, on the monotonic clock, so readings of different cores compare. A virtual clock stands
//! in for it in simulations; nothing else in the workspace's libraries asks what time it is.
//!
//! Invariant: readings never go back within a process. Suspending the machine adds no time.

use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use groups::Time;

/// A source of [`Time`]: the process's monotonic clock, or a virtual one.
///
/// # Shape
/// Cheap to clone and `Send + Sync`; clones of a virtual clock show the same time.
#[derive(Clone, Debug, Default)]
pub struct Clock(Source);

#[derive(Clone, Debug, Default)]
enum Source {
    #[default]
    Process,
    Virtual(Arc<AtomicU64>),
}

impl Clock {
    /// The monotonic clock of this process. A reading costs about 25 ns.
    pub fn process() -> Self {
        Self(Source::Process)
    }

    /// A clock that stands at [`Time::ZERO`] until it is [advanced](Self::advance).
    pub fn virtual_clock() -> Self {
        Self(Source::Virtual(Arc::new(AtomicU64::new(0))))
    }

    /// Reads the clock.
    pub fn now(&self) -> Time {
        match &self.0 {
            Source::Process => Time::from_nanos(nanos(origin().elapsed())),
            Source::Virtual(at) => Time::from_nanos(at.load(Ordering::Relaxed)),
        }
    }

    /// Moves a virtual clock forward; the process's clock moves by itself and is left alone.
    pub fn advance(&self, by: Duration) {
        if let Source::Virtual(at) = &self.0 {
            at.fetch_add(nanos(by), Ordering::Relaxed);
        }
    }
}

fn origin() -> Instant {
    static ORIGIN: OnceLock<Instant> = OnceLock::new();
    *ORIGIN.get_or_init(Instant::now)
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
