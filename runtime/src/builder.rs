//! Building a runtime: every knob, its default and its price.
//!
//! Owns the choices until [`RuntimeBuilder::build`] turns them into cores. Everything that can be
//! refused is refused there or in `listen`, before a thread runs.

use std::fmt;
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use std::time::Duration;

use crate::clock::Clock;
use crate::descriptor::DescriptorLimit;
use crate::dial::{Desk, Resolve, SystemResolver};
use crate::driver::{Driver, MioDriver};
use crate::ends::Patience;
use crate::error::{BuildError, Error};
use crate::handle::Shared;
use crate::listen;
use crate::metrics;
use crate::observer::Observer;
use crate::panic::PanicPolicy;
use crate::placement::{Cores, Cpus, Idle, Order, Pin, Placement, PlacementError, Smt, Snapshot};
use crate::report::StartReport;
use crate::runtime::{Farewell, Runtime};
use crate::watchdog::{MIN_STALL_THRESHOLD, Stall, WatchdogOptions};

/// Makes the observer of a core.
pub(crate) type ObserverFactory = Arc<dyn Fn(usize) -> Box<dyn Observer> + Send + Sync>;

/// How long a drain may take, unless told otherwise.
pub const DEFAULT_DRAIN_TIMEOUT: Duration = Duration::from_secs(30);

/// How much longer a core may take to end before a join goes on without it, unless told otherwise.
pub const DEFAULT_JOIN_TIMEOUT: Duration = Duration::from_secs(10);

/// The choices of a runtime that is not built yet.
///
/// # Examples
/// ```
/// use sluicegate::{Pin, Runtime};
///
/// let runtime = Runtime::builder().cores(2).pin(Pin::None).build()?;
/// assert_eq!(runtime.handle().core_count(), 2);
/// # Ok::<(), sluicegate::Error>(())
/// ```
#[must_use]
pub struct RuntimeBuilder {
    /// What was asked for of the cores, call by call.
    asked: Placement,
    /// What goes before that.
    flags: Placement,
    /// What counts where both leave something open.
    environment: Placement,
    patience: Patience,
    panic_policy: PanicPolicy,
    observer: Option<ObserverFactory>,
    resolver: Arc<dyn Resolve>,
    metrics: Option<Result<SocketAddr, Error>>,
    watchdog: WatchdogOptions,
}

impl RuntimeBuilder {
    pub(crate) fn new() -> Self {
        Self {
            asked: Placement::default(),
            flags: Placement::default(),
            environment: Placement::default(),
            patience: Patience { drain: DEFAULT_DRAIN_TIMEOUT, grace: DEFAULT_JOIN_TIMEOUT },
            panic_policy: PanicPolicy::default(),
            observer: None,
            resolver: Arc::new(SystemResolver),
            metrics: None,
            watchdog: WatchdogOptions::default(),
        }
    }

    /// How many cores, each a thread with its own reactor.
    ///
    /// Default: one per CPU of [`cpus`](Self::cpus) if given, else one per allowed CPU, no more
    /// than a container's CPU quota rounded up.
    pub fn cores(mut self, cores: impl Into<Cores>) -> Self {
        self.asked.cores = Some(cores.into());
        self
    }

    /// Which CPUs the cores run on. Default: all that the process may use.
    ///
    /// A list confines the threads unless [`pin`](Self::pin) says `none`.
    pub fn cpus(mut self, cpus: impl Into<Cpus>) -> Self {
        self.asked.cpus = Some(cpus.into());
        self
    }

    /// How the threads are bound to CPUs. Default: not, or to the whole list where one is given.
    pub fn pin(mut self, pin: Pin) -> Self {
        self.asked.pin = Some(pin);
        self
    }

    /// Which CPUs come first where there are more than cores. Default: spread.
    pub fn order(mut self, order: Order) -> Self {
        self.asked.order = Some(order);
        self
    }

    /// Which CPUs of a physical core count. Default: all.
    pub fn smt(mut self, smt: Smt) -> Self {
        self.asked.smt = Some(smt);
        self
    }

    /// What cores do that have nothing to do. Default: park.
    ///
    /// They park all the same, and the plan warns of it, where looking for events would take time
    /// from other cores or out of a CPU quota.
    pub fn idle(mut self, idle: Idle) -> Self {
        self.asked.idle = Some(idle);
        self
    }

    /// Whether a core that cannot be pinned keeps the runtime from starting. Default: it does not.
    pub fn strict(mut self, strict: bool) -> Self {
        self.asked.strict = Some(strict);
        self
    }

    /// What the command line says of cores; goes before what the other calls ask for, in whichever
    /// order they are made.
    pub fn placement(mut self, flags: Placement) -> Self {
        self.flags = flags;
        self
    }

    /// Reads from the environment what nothing else asks for, in whichever order the calls are
    /// made: see [`Placement::from_env`].
    ///
    /// # Errors
    /// A variable does not parse, or its name is nearly one of those that are known; any other of
    /// the same prefix is a warning of the plan.
    pub fn env(mut self) -> Result<Self, PlacementError> {
        self.environment = Placement::from_env()?;
        Ok(self)
    }

    /// How long a drain waits for connections to finish before it cuts them. Default 30 s.
    pub fn drain_timeout(mut self, timeout: Duration) -> Self {
        self.patience.drain = timeout;
        self
    }

    /// How much longer than that a core may take to end before [`join`](crate::Running::join) goes
    /// on without it. Default 10 s.
    ///
    /// A core ends in time unless user code there does not return. A shutdown at once has only this
    /// time. Without a shutdown a join waits for as long as the cores run. After the last core the
    /// watchdog has as long once more, for it may still be [telling](Self::on_stall) of a stall.
    pub fn join_timeout(mut self, timeout: Duration) -> Self {
        self.patience.grace = timeout;
        self
    }

    /// What a panic of user code ends. Default: its connection only.
    pub fn panic_policy(mut self, policy: PanicPolicy) -> Self {
        self.panic_policy = policy;
        self
    }

    /// Has every metered operation reported, core by core. Default: none.
    ///
    /// Costs two clock readings an operation, about 50 ns. A panic of an observer ends its core.
    pub fn observer(
        mut self,
        factory: impl Fn(usize) -> Box<dyn Observer> + Send + Sync + 'static,
    ) -> Self {
        self.observer = Some(Arc::new(factory));
        self
    }

    /// Serves the figures of cores and groups at an address: `/metrics` for Prometheus, and `/` as
    /// a page that shows them as they change. Default: nowhere.
    ///
    /// The first core answers, with a handler as any other: visits are connections in its figures.
    /// At most 16 at a time, of 30 s each; none blocks a core, however many groups there are. Who
    /// can connect can read; give a loopback address, or one that only operators reach. Port 0
    /// takes a free one, which [`Runtime::metrics_addr`] tells.
    ///
    /// # Examples
    /// ```
    /// use sluicegate::Runtime;
    ///
    /// let runtime = Runtime::builder().cores(1).metrics("127.0.0.1:0").build()?;
    /// let addr = runtime.metrics_addr().expect("it was asked for");
    /// assert!(runtime.report().to_string().ends_with(&format!("; figures at http://{addr}/")));
    /// # Ok::<(), sluicegate::Error>(())
    /// ```
    pub fn metrics(mut self, addr: impl ToSocketAddrs + fmt::Debug) -> Self {
        self.metrics = Some(listen::resolve(addr));
        self
    }

    /// Who finds the addresses of hosts that are connected to by name. Default:
    /// [`SystemResolver`].
    ///
    /// It has a thread of its own, which starts with the first name and ends with the cores.
    pub fn resolver(mut self, resolver: impl Resolve) -> Self {
        self.resolver = Arc::new(resolver);
        self
    }

    /// How long a call of user code may take before it is reported as a stall; `None` for no
    /// watchdog. Default [`DEFAULT_STALL_THRESHOLD`](crate::DEFAULT_STALL_THRESHOLD), 1 s.
    ///
    /// A thread of its own looks at all cores four times in that time, and sleeps while they do. A
    /// stall is logged when it passes the threshold and whenever it has doubled, and counted in
    /// [`CoreStats::stalls`](crate::CoreStats::stalls). One store a call is the price.
    pub fn watchdog(mut self, threshold: impl Into<Option<Duration>>) -> Self {
        self.watchdog.threshold = threshold.into();
        self
    }

    /// What to do about a stall, besides logging it: when one passes the threshold, whenever it
    /// has doubled, and when it is over.
    ///
    /// Called on the watchdog's thread, so that the stalled core cannot keep it from being heard;
    /// while it runs, nobody watches. It should not block: who joins the cores waits for it too,
    /// [for a time](Self::join_timeout).
    pub fn on_stall(mut self, tell: impl Fn(&Stall) + Send + Sync + 'static) -> Self {
        self.watchdog.on_stall = Some(Arc::new(tell));
        self
    }

    /// Builds the runtime: sets OpenSSL up, raises the descriptor limit, places the cores and
    /// opens their drivers. No thread runs yet.
    ///
    /// # Errors
    /// See [`BuildError`]: CPUs that are not allowed, an unusable OpenSSL, no descriptors, an
    /// address for the figures that is in use.
    pub fn build(self) -> Result<Runtime, BuildError> {
        if let Some(threshold) = self.watchdog.threshold
            && threshold < MIN_STALL_THRESHOLD
        {
            return Err(BuildError::StallThreshold { threshold });
        }
        // One look at the machine, before any thread is confined.
        let snapshot = Snapshot::take();
        let plan = self.flags.or(self.asked).or(self.environment).plan(&snapshot)?;
        #[cfg(feature = "tls")]
        let tls = tls::init()?;
        let descriptors = DescriptorLimit::raise();
        let mut drivers: Vec<Box<dyn Driver>> = Vec::new();
        for core in 0..plan.cores.len() {
            let driver = MioDriver::new().map_err(|source| BuildError::Driver { core, source })?;
            drivers.push(Box::new(driver));
        }
        let helper_cpus = plan.helper_cpus();
        let lookups = Desk::new(self.resolver, helper_cpus.clone());
        let wakers = drivers.iter().map(|driver| driver.waker()).collect();
        let shared = Shared::new(Clock::process(), wakers);
        let serve = |addr: Result<SocketAddr, Error>| metrics::serve(&shared, addr?);
        let metrics = self.metrics.map(serve).transpose();
        let metrics = metrics.map_err(|error| BuildError::Metrics(Box::new(error)))?;
        let farewells = (0..).map(|index| Farewell { shared: shared.clone(), index });
        let drivers = drivers.into_iter().zip(farewells).collect();
        let report = StartReport {
            cores: plan.cores.len(),
            plan,
            descriptors,
            #[cfg(feature = "tls")]
            tls,
            metrics,
        };
        tracing::info!("{report}");
        for warning in &report.plan.warnings {
            tracing::warn!("{warning}");
        }
        Ok(Runtime {
            shared,
            drivers,
            lookups: Arc::new(lookups),
            report,
            patience: self.patience,
            panic_policy: self.panic_policy,
            observer: self.observer,
            watchdog: self.watchdog,
            helper_cpus,
        })
    }
}

impl fmt::Debug for RuntimeBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RuntimeBuilder")
            .field("asked", &self.asked)
            .field("flags", &self.flags)
            .field("environment", &self.environment)
            .field("patience", &self.patience)
            .field("panic_policy", &self.panic_policy)
            .field("watchdog", &self.watchdog)
            .finish_non_exhaustive()
    }
}
