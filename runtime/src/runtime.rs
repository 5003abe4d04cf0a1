//! The runtime: cores that are built, then started, then joined.
//!
//! Owns the drivers until the threads take them, and the threads until they end. Listeners for
//! all cores are added before the start, and wait in the cores' mailboxes for it; later a core may
//! listen by itself.

use std::fmt;
use std::net::{SocketAddr, TcpListener, ToSocketAddrs};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{self, Sender};
use std::thread;
use std::time::Duration;

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::bev::BevMut;
use crate::builder::{ObserverFactory, RuntimeBuilder};
use crate::clock::Clock;
use crate::dial::LookUp;
use crate::driver::{Driver, Listening};
use crate::ends::Patience;
use crate::error::{BuildError, Error, Result};
use crate::handle::{Handle, Message, Shared, Shutdown, Stopped};
use crate::handler::Handler;
use crate::listen::{self, ListenError, ListenOptions, Listener, Part};
use crate::panic::{CorePanic, PanicPolicy, drop_quietly, message};
use crate::placement::{CoreInfo, CorePlan, CpuSet, Idle, PlacementError, apply};
use crate::reactor::{Core, new_factory};
use crate::report::{DrainReport, StartReport, Unfinished};
use crate::socket::{UnixAddress, UnixError};
use crate::watchdog::{self, Watch, WatchdogOptions};

/// Cores with their drivers, not yet running.
///
/// # Examples
/// A metered echo server, one core per allowed CPU:
/// ```no_run
/// use sluicegate::{Context, Group, Handler, Runtime, TokenBucketConfig};
///
/// struct Echo;
/// impl Handler for Echo {
///     fn on_read(&mut self, cx: &mut Context<'_>) {
///         let (mut input, mut output) = cx.buffers();
///         output.append(&mut input);
///     }
/// }
///
/// let everyone = Group::new(TokenBucketConfig::per_second("10MB/s".parse()?))?;
/// let mut runtime = Runtime::builder().build()?;
/// let addr = runtime.listen("127.0.0.1:7777", move |conn| {
///     conn.join(&everyone).expect("a seat for every core");
///     Echo
/// })?;
/// println!("listening on {addr}");
/// runtime.run()
/// # ; Ok::<(), sluicegate::Error>(())
/// ```
pub struct Runtime {
    pub(crate) shared: Arc<Shared>,
    pub(crate) drivers: Vec<(Box<dyn Driver>, Farewell)>,
    pub(crate) lookups: Arc<dyn LookUp>,
    pub(crate) report: StartReport,
    pub(crate) patience: Patience,
    pub(crate) panic_policy: PanicPolicy,
    pub(crate) observer: Option<ObserverFactory>,
    pub(crate) watchdog: WatchdogOptions,
    /// Where threads run that serve all cores.
    pub(crate) helper_cpus: Option<CpuSet>,
}

impl Runtime {
    /// Starts building a runtime.
    pub fn builder() -> RuntimeBuilder {
        RuntimeBuilder::new()
    }

    /// Listens for every core and returns the bound address.
    ///
    /// Every core accepts, and keeps what it accepts unless it has clearly more than others:
    /// [`AcceptMode::Balanced`](crate::AcceptMode::Balanced).
    ///
    /// `factory` runs on the core that owns the connection, makes its handler and may set the
    /// connection up first: join groups, set limits, marks and timeouts.
    ///
    /// # Errors
    /// The address does not parse or resolve, or is in use: the message names it.
    pub fn listen<H: Handler>(
        &mut self,
        addr: impl ToSocketAddrs + fmt::Debug,
        factory: impl Fn(&mut BevMut<'_>) -> H + Send + Sync + 'static,
    ) -> Result<SocketAddr> {
        Ok(self.listen_with(addr, ListenOptions::default(), factory)?.local_addr())
    }

    /// As [`listen`](Self::listen), with options.
    ///
    /// # Errors
    /// As for [`listen`](Self::listen); and the accept mode names a core that there is not, or the
    /// backlog, accept batch or most connections are 0.
    pub fn listen_with<H: Handler>(
        &mut self,
        addr: impl ToSocketAddrs + fmt::Debug,
        options: ListenOptions,
        factory: impl Fn(&mut BevMut<'_>) -> H + Send + Sync + 'static,
    ) -> Result<Listener> {
        let asked = listen::resolve(addr)?;
        let cores = self.shared.core_count();
        let part = Part::of_runtime(cores, &options, new_factory(factory))?;
        let accepting = (0..cores).filter(|&core| part.mode.accepts(core)).count();
        let (addr, sockets) = listen::bind_all(asked, &options, accepting)
            .map_err(|error| listen::bind_error(asked, error))?;
        self.hand_out(&part, sockets.into_iter().map(Listening::Socket))?;
        Ok(Listener::new(addr, part.common, self.handle()))
    }

    /// As [`listen_with`](Self::listen_with), on a socket that somebody else has bound and that
    /// listens, as systemd or an older process of the same server hands it over.
    ///
    /// One core accepts from it: by default core 0, which gives each connection to the core that
    /// has the fewest. To accept on every core give each a socket of its own, which shares the
    /// address by `SO_REUSEPORT`, by [`Core::listen_on`].
    ///
    /// Who waits in the backlog already is served. What the options say is set on the socket, also
    /// the backlog, and it no longer blocks: whoever else holds it sees that, and goes on listening
    /// when the [`Listener`] is closed.
    ///
    /// # Errors
    /// [`ListenError`]: the socket does not listen or is none of TCP, or the options ask for
    /// [`only_v6`](ListenOptions::only_v6), or for an accept mode that wants a socket for each
    /// core. Else as for [`listen_with`](Self::listen_with).
    ///
    /// # Examples
    /// ```
    /// use std::net::TcpListener;
    ///
    /// use sluicegate::{ListenOptions, Runtime};
    ///
    /// let socket = TcpListener::bind("127.0.0.1:0")?;      // or `TcpListener::from(OwnedFd)`
    /// let addr = socket.local_addr()?;
    /// let mut runtime = Runtime::builder().cores(2).build()?;
    /// let listener = runtime.listen_on(socket, ListenOptions::new(), |_conn| ())?;
    /// assert_eq!(listener.local_addr(), addr);
    /// # Ok::<(), sluicegate::Error>(())
    /// ```
    pub fn listen_on<H: Handler>(
        &mut self,
        socket: TcpListener,
        options: ListenOptions,
        factory: impl Fn(&mut BevMut<'_>) -> H + Send + Sync + 'static,
    ) -> Result<Listener> {
        let refuse = |mode| Error::Listen(ListenError::OneSocket { mode });
        let cores = self.shared.core_count();
        let part = Part::of_one_socket(cores, &options, new_factory(factory), refuse)?;
        let addr = listen::take_over(&socket, &options)?;
        self.hand_out(&part, std::iter::once(Listening::Socket(socket)))?;
        Ok(Listener::new(addr, part.common, self.handle()))
    }

    /// As [`listen_with`](Self::listen_with), on a Unix-domain socket: a path, or a name after `@`.
    ///
    /// There is one socket, from which one core accepts: by default core 0, which gives each
    /// connection to the core that has the fewest. The file of a path is made here and removed when
    /// the listener is closed or the core that accepts ends.
    ///
    /// # Errors
    /// [`UnixError`]: the address is none, something is there already, or the accept mode wants a
    /// socket for each core. Else as for [`listen_with`](Self::listen_with).
    pub fn listen_unix<H: Handler>(
        &mut self,
        addr: impl Into<UnixAddress>,
        options: ListenOptions,
        factory: impl Fn(&mut BevMut<'_>) -> H + Send + Sync + 'static,
    ) -> Result<Listener<UnixAddress>> {
        let addr = addr.into();
        let refuse = |mode| Error::Unix(UnixError::OneSocket { address: addr.clone(), mode });
        let cores = self.shared.core_count();
        let part = Part::of_one_socket(cores, &options, new_factory(factory), refuse)?;
        let socket = listen::bind_unix(&addr, &options)?;
        self.hand_out(&part, std::iter::once(Listening::Unix(socket)))?;
        Ok(Listener::new(addr, part.common, self.handle()))
    }

    /// Gives each core its part in a listener, and those that accept a socket.
    fn hand_out(
        &self,
        part: &Part,
        mut sockets: impl Iterator<Item = Listening>,
    ) -> Result<(), Stopped> {
        for core in (0..self.shared.core_count()).filter(|&core| part.reaches(core)) {
            let socket = part.mode.accepts(core).then(|| sockets.next()).flatten();
            let part = part.clone();
            self.handle().submit_to(core, move |core| {
                let Some(socket) = socket else { return core.join_listener(part) };
                if let Err(error) = core.add_listener(part, socket) {
                    tracing::error!(%error, core = core.index(), "a core cannot listen");
                }
            })?;
        }
        Ok(())
    }

    /// A handle to the cores.
    pub fn handle(&self) -> Handle {
        Handle::new(self.shared.clone())
    }

    /// What was found and chosen; prints as one line.
    pub fn report(&self) -> &StartReport {
        &self.report
    }

    /// Where the figures are served, if [asked for](RuntimeBuilder::metrics).
    pub fn metrics_addr(&self) -> Option<SocketAddr> {
        self.report.metrics
    }

    /// Who keeps OpenSSL safe between threads.
    #[cfg(feature = "tls")]
    pub fn tls_threading(&self) -> &tls::Threading {
        &self.report.tls
    }

    /// Starts the cores, each on its thread. Signals stay the program's own business.
    ///
    /// # Errors
    /// A thread cannot be started, or was to be pinned strictly and cannot be; those that were
    /// started end again.
    pub fn start(self) -> Result<Running> {
        let Self { shared, drivers, lookups, report, patience, panic_policy, observer, .. } = self;
        let watchdog = watchdog::start(self.watchdog, shared.clone(), self.helper_cpus)
            .map_err(|source| BuildError::Helper { what: "watchdog", source })?;
        let handle = Handle::new(shared.clone());
        let mut running = Running { handle, threads: Vec::new(), watchdog, patience };
        let (placed, places) = mpsc::channel();
        let placed = report.plan.strict.then_some(placed);
        for (index, (driver, farewell)) in drivers.into_iter().enumerate() {
            let seed = Seed {
                index,
                driver,
                farewell,
                shared: shared.clone(),
                lookups: lookups.clone(),
                plan: report.plan.cores[index].clone(),
                idle: report.plan.idle,
                placed: placed.clone(),
                drain_timeout: patience.drain,
                panic_policy,
                observer: observer.clone(),
            };
            let thread = thread::Builder::new().name(format!("sluicegate-{index}"));
            match thread.spawn(move || seed.run()) {
                Ok(thread) => running.threads.push(thread),
                Err(source) => {
                    running.handle.shutdown(Shutdown::Now);
                    return Err(BuildError::Thread { core: index, source }.into());
                }
            }
        }
        drop(placed);
        // Without `strict` nobody sends, and this ends at once.
        if let Some(error) = places.iter().find_map(std::result::Result::err) {
            running.handle.shutdown(Shutdown::Now);
            running.join();
            return Err(BuildError::Placement(error).into());
        }
        Ok(running)
    }

    /// Starts the cores and blocks until they end.
    ///
    /// SIGINT and SIGTERM drain; a second one ends at once. All other signals, SIGHUP among them,
    /// are left as they are. As [`run_with`](Self::run_with) [`SignalPolicy::DrainThenNow`].
    ///
    /// # Errors
    /// A thread cannot be started, signals cannot be hooked, or a core panicked or did not end.
    pub fn run(self) -> Result<()> {
        self.run_with(SignalPolicy::DrainThenNow)
    }

    /// Starts the cores and blocks until they end: on signals, or asked by [`Handle::shutdown`].
    ///
    /// # Errors
    /// As for [`run`](Self::run).
    pub fn run_with(self, policy: SignalPolicy) -> Result<()> {
        match policy {
            SignalPolicy::DrainThenNow => self.run_until_signalled(),
            SignalPolicy::Leave => conclude(self.start()?.join()),
        }
    }

    fn run_until_signalled(self) -> Result<()> {
        let mut signals = Signals::new([SIGINT, SIGTERM]).map_err(BuildError::Signals)?;
        let stop = signals.handle();
        let running = self.start()?;
        let handle = running.handle();
        let thread = thread::Builder::new().name(String::from("sluicegate-signals"));
        let listener = thread.spawn(move || {
            let mut how = Shutdown::Drain;
            for signal in signals.forever() {
                handle.shutdown(how);
                // A log that panics, as some do whose output is closed, keeps nobody from ending.
                let _unwritten = catch_unwind(|| {
                    tracing::info!(signal, ?how, "told to end");
                });
                how = Shutdown::Now;
            }
        });
        let listener = match listener {
            Ok(listener) => listener,
            Err(error) => {
                running.handle().shutdown(Shutdown::Now);
                running.join();
                return Err(BuildError::Signals(error).into());
            }
        };
        let report = running.join();
        stop.close();
        if listener.join().is_err() {
            tracing::error!("the thread that listens to signals panicked");
        }
        conclude(report)
    }
}

/// Logs how a run ended, and says whether that was well.
fn conclude(report: DrainReport) -> Result<()> {
    tracing::info!("{report:#}");
    let DrainReport { panicked: panics, unfinished: cores, .. } = report;
    match (panics.is_empty(), cores.is_empty()) {
        (true, true) => Ok(()),
        (false, _) => Err(Error::CorePanicked { panics }),
        (true, false) => Err(Error::CoreUnfinished { cores }),
    }
}

/// What a running runtime makes of signals to its process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SignalPolicy {
    /// The first SIGINT or SIGTERM drains, a second one ends at once.
    #[default]
    DrainThenNow,
    /// Nothing: the program has its own way, and tells by [`Handle::shutdown`].
    Leave,
}

impl fmt::Debug for Runtime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Runtime").field("report", &self.report).finish_non_exhaustive()
    }
}

/// What a core is made of, on its way to its thread.
struct Seed {
    index: usize,
    driver: Box<dyn Driver>,
    farewell: Farewell,
    shared: Arc<Shared>,
    lookups: Arc<dyn LookUp>,
    plan: CorePlan,
    idle: Idle,
    /// Where to tell what became of the plan, if somebody waits for it.
    placed: Option<Sender<std::result::Result<(), PlacementError>>>,
    drain_timeout: Duration,
    panic_policy: PanicPolicy,
    observer: Option<ObserverFactory>,
}

impl Seed {
    fn run(mut self) {
        self.place();
        self.shared.set_thread_id(self.index, rustix::thread::gettid().as_raw_nonzero().get());
        // Kept to the end of the thread, however that comes.
        let _farewell = self.farewell;
        let observer = self.observer.map(|factory| factory(self.index));
        let (shared, index) = (self.shared.clone(), self.index);
        let mut core = Core::new(index, self.driver, self.shared, self.lookups, observer);
        core.drain.timeout = self.drain_timeout;
        core.idle = self.idle;
        core.panic_policy = self.panic_policy;
        if let Err(payload) = catch_unwind(AssertUnwindSafe(|| core.run())) {
            let label = shared.name_of_work(index);
            let message = message(&*payload).to_owned();
            shared.ends.report_panic(CorePanic { core: index, label, message });
            core.abandon();
        }
        core.drop_work();
        drop(core);
        #[cfg(feature = "tls")]
        tls::thread_stop();
    }

    /// Ties the thread to its CPUs and lets everybody know what became of it.
    fn place(&mut self) {
        let placed = apply(&self.plan);
        let info = CoreInfo::new(&self.plan, placed.as_ref());
        match &placed {
            Ok(mask) => tracing::debug!(core = self.index, %mask, "placed"),
            Err(error) => tracing::warn!(core = self.index, %error, "not placed as planned"),
        }
        self.shared.set_info(info);
        if let Some(waiting) = self.placed.take() {
            // One that has given up over another core need not know.
            let _gone = waiting.send(placed.map(drop));
        }
    }
}

/// Closes a core's mailbox however the core ends, even if it never started: no sender waits for a
/// dead core, and what waits in the mailbox, such as a listening socket, is dropped with it.
pub(crate) struct Farewell {
    pub(crate) shared: Arc<Shared>,
    pub(crate) index: usize,
}

impl Drop for Farewell {
    fn drop(&mut self) {
        self.shared.load(self.index).close();
        // What follows must happen whatever these hold: somebody waits for it.
        self.shared.mailbox(self.index).close(drop_quietly);
        self.shared.beat(self.index).end();
        self.shared.post.tell_end();
        for core in (0..self.shared.core_count()).filter(|&core| core != self.index) {
            // One that is gone too need not know.
            let _gone = self.shared.mailbox(core).send(Message::Gone(self.index));
        }
        self.shared.ends.note(self.index);
    }
}

/// Cores that run.
///
/// # Shape
/// Owns the threads. Dropped without [`join`](Self::join), it lets them run on by themselves.
#[derive(Debug)]
pub struct Running {
    handle: Handle,
    threads: Vec<thread::JoinHandle<()>>,
    watchdog: Option<Watch>,
    patience: Patience,
}

impl Running {
    /// A handle to the cores.
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// Asks every core to end, and waits for that.
    pub fn shutdown(self, how: Shutdown) -> DrainReport {
        self.handle.shutdown(how);
        self.join()
    }

    /// Blocks until every core has ended; ask them to by [`Handle::shutdown`].
    ///
    /// A core that has been asked and does not end, because user code there does not return, is
    /// given up [some time](RuntimeBuilder::join_timeout) after it should have: it is reported, and
    /// its thread left behind.
    pub fn join(self) -> DrainReport {
        let shared = self.handle.0.clone();
        let unfinished = shared.ends.wait(&Clock::process(), self.patience);
        let (ends, mut panicked) = shared.ends.take();
        for (core, thread) in self.threads.into_iter().enumerate() {
            if !unfinished.contains(&core)
                && let Err(payload) = thread.join()
            {
                let (label, message) = ("the end of its thread".into(), message(&*payload).into());
                panicked.push(CorePanic { core, label, message });
            }
        }
        // It runs as long as there is a core to watch.
        if let Some(watchdog) = self.watchdog.filter(|_| unfinished.is_empty()) {
            watchdog.join(self.patience.grace);
        }
        let name = |core| Unfinished { core, label: shared.name_of_work(core) };
        let unfinished = unfinished.into_iter().map(name).collect();
        DrainReport { cores: self.handle.stats(), ends, panicked, unfinished }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;
    use crate::placement::{CpuSet, Pin, Pinned};

    /// Two cores, the second of which is to run where no machine that tests run on has a CPU: as
    /// if it had been taken away since the plan was made.
    fn misplaced(strict: bool) -> Runtime {
        let builder = Runtime::builder().cores(2).pin(Pin::Set).strict(strict);
        let mut runtime = builder.build().expect("two cores can be built");
        let gone: CpuSet = "1023".parse().expect("a list");
        runtime.report.plan.cores[1].cpus = Some(gone);
        runtime
    }

    #[test]
    fn a_core_that_must_be_pinned_and_cannot_be_keeps_the_runtime_from_starting() {
        let runtime = misplaced(true);
        let handle = runtime.handle();
        let refused = runtime.start().expect_err("strict");
        let Error::Build(BuildError::Placement(PlacementError::PinRefused { core: 1, .. })) =
            &refused
        else {
            panic!("another error: {refused}");
        };
        // No core is left behind.
        for core in 0..2 {
            assert!(handle.submit_to(core, |_| {}).is_err(), "core {core} still runs");
        }
    }

    #[test]
    fn a_core_that_cannot_be_pinned_is_counted_and_runs_all_the_same() {
        let running = misplaced(false).start().expect("a failure to pin is a warning");
        let handle = running.handle();
        let bound = Instant::now() + Duration::from_secs(30);
        while handle.cores().iter().any(|core| core.pinned == Pinned::NotYet) {
            assert!(Instant::now() < bound, "a core did not start");
            thread::yield_now();
        }
        let pinned: Vec<_> = handle.cores().iter().map(|core| core.pinned).collect();
        assert_eq!(pinned, [Pinned::Yes, Pinned::Failed]);
        assert_eq!(handle.cores()[1].cpus, None);
        let failures: Vec<_> = handle.stats().iter().map(|core| core.pin_failures).collect();
        assert_eq!(failures, [0, 1]);
        handle.submit_to(1, |core| core.handle().shutdown(Shutdown::Now)).expect("it runs");
        assert!(running.join().panicked.is_empty());
    }
}
