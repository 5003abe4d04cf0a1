//! The servers made of the runtime: echo, source and sink, with limits and an audit.
//!
//! Owns a running runtime and the group its connections share. The group is made when the first
//! connection comes under it, so that a test measures from the limit's own start and not from a
//! burst saved up before. Connections can be held, so that all come under it at the same time and
//! with something to move: whoever came first would else get the whole first tick. With an audit
//! every metered operation is recorded and written when it stops.

mod handler;
mod recorder;

use std::fs::File;
use std::io::{BufWriter, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use sluicegate::{
    BevId, BevMut, BuildError, Clock, Core, CpuSet, Direction, Error, Group, GroupBuilder, Handle,
    Handler, Pin, Running, Runtime, Shutdown, TokenBucketConfig,
};

use self::handler::{Echo, Sink, Source};
use self::recorder::Recording;
use super::{CoreCounts, GroupCounts, Server};
use crate::arguments::{self, ServeArguments, Service};
use crate::audit::Moment;
use crate::exit::{Failure, Outcome};
use crate::limits::{self, Terms};

/// A running server on the runtime.
pub(crate) struct Ours {
    address: SocketAddr,
    running: Running,
    limits: Arc<Limits>,
    audit: Option<Audit>,
}

/// Where the metered operations go.
struct Audit {
    path: PathBuf,
    file: File,
    recording: Recording,
}

/// The limits of a server and what they apply to.
struct Limits {
    group: Option<GroupBuilder>,
    each: Option<TokenBucketConfig>,
    /// Bytes taken from the group each tick by something outside it.
    drain: Option<(i64, Duration)>,
    made: OnceLock<(Group, Moment)>,
    handle: Handle,
    recording: Option<Recording>,
    /// Connections that wait for [`Server::go`], where connections are held.
    held: Option<Mutex<Vec<BevId>>>,
}

impl Ours {
    /// Builds the runtime, listens and starts the cores.
    ///
    /// # Errors
    /// Limits that contradict each other, CPUs that are not allowed, an address in use, or an audit
    /// that cannot be written.
    pub(crate) fn start(arguments: &ServeArguments, cpus: &[usize]) -> Outcome<Self> {
        let audit = arguments.audit.as_deref().map(Audit::new).transpose()?;
        let recording = audit.as_ref().map(|audit| audit.recording.clone());
        let mut runtime = build(arguments, cpus, recording.as_ref())?;
        let limits = Arc::new(Limits::new(arguments, runtime.handle(), recording)?);
        let listen = &arguments.listen;
        let address = match arguments.service {
            Service::Source => serve(&mut runtime, listen, &limits, Source::new(SOURCE_PIECE)),
            Service::Sink => serve(&mut runtime, listen, &limits, Sink),
            Service::Echo | Service::Bare => serve(&mut runtime, listen, &limits, Echo),
        }?;
        let running = runtime.start().map_err(|error| Failure::Server(error.to_string()))?;
        Ok(Self { address, running, limits, audit })
    }
}

impl Server for Ours {
    fn address(&self) -> SocketAddr {
        self.address
    }

    fn cores(&self) -> Vec<CoreCounts> {
        let handle = self.running.handle();
        let counts =
            handle.stats().into_iter().zip(handle.masks()).map(|(core, mask)| CoreCounts {
                cpus: mask.map_or_else(|| "any".to_owned(), |mask| mask.to_string()),
                connections: core.connections,
                accepted: core.accepted,
                polls: core.polls,
                reads: core.reads,
                writes: core.writes,
                bytes_in: core.bytes_in,
                bytes_out: core.bytes_out,
                syscalls: core.system_calls,
                metered: core.metered_operations,
                longest_gap_ns: core.longest_gap_ns,
            });
        counts.collect()
    }

    fn group(&self) -> GroupCounts {
        let Some((group, _)) = self.limits.made.get() else { return GroupCounts::default() };
        let stats = group.stats();
        GroupCounts { draws: stats.draws(), rebalances: stats.rebalances() }
    }

    fn clock_ns(&self) -> u64 {
        Clock::process().now().as_nanos()
    }

    fn go(&self) -> Outcome {
        let limits = Arc::clone(&self.limits);
        let begin = move |core: &mut Core| limits.release(core);
        self.running.handle().broadcast(begin).map_err(|error| Failure::Server(error.to_string()))
    }

    fn stop(self: Box<Self>) -> Outcome {
        let cores = self.running.handle().core_count();
        self.running.handle().shutdown(Shutdown::Drain);
        let report = self.running.join();
        if !report.panicked.is_empty() {
            return Err(Failure::Server(format!("the runtime ended badly: {report}")));
        }
        let Some(Audit { path, file, recording }) = self.audit else { return Ok(()) };
        let group = self.limits.made.get().map(|(_, made)| *made);
        let log = recording.into_log(group, cores);
        let mut file = BufWriter::new(file);
        log.write(&mut file)
            .and_then(|()| file.flush())
            .map_err(Failure::io(format!("writing the audit {}", path.display())))
    }
}

impl Audit {
    /// Creates the file at once: an audit that cannot be written is refused before the work.
    fn new(path: &Path) -> Outcome<Self> {
        let file = File::create(path)
            .map_err(Failure::io(format!("creating the audit {}", path.display())))?;
        Ok(Self { path: path.to_owned(), file, recording: Recording::new() })
    }
}

impl Limits {
    fn new(
        arguments: &ServeArguments,
        handle: Handle,
        recording: Option<Recording>,
    ) -> Outcome<Self> {
        let limits = &arguments.limits;
        let config = |terms: Option<Terms>| -> Outcome<Option<TokenBucketConfig>> {
            let broken = arguments.break_limiter;
            let terms = terms.map(|terms| if broken { terms.broken() } else { terms });
            terms.map(|terms| terms.config(arguments.service)).transpose()
        };
        let group = config(Terms::group(limits)?)?;
        let new = Self {
            group: group.map(|config| limits::group(config, limits.min_share)),
            each: config(Terms::connection(limits)?)?,
            drain: limits.group_drain.zip(limits.tick).map(|(size, tick)| (size.0 as i64, tick)),
            made: OnceLock::new(),
            handle,
            recording,
            held: arguments.hold.then(Mutex::default),
        };
        // A group that cannot be built is refused now and not at the first connection.
        let trial = new.group.as_ref().map(|group| group.clone().build());
        trial.transpose().map_err(|error| Failure::Usage(error.to_string()))?;
        Ok(new)
    }

    /// Puts a new connection under the limits, or holds it.
    fn admit(&self, connection: &mut BevMut<'_>) {
        match &self.held {
            None => self.apply(connection),
            Some(held) => {
                connection.disable(Direction::Read);
                held.lock().expect("nobody panics while holding it").push(connection.id());
            }
        }
    }

    /// Puts the connections that one core holds under the limits and lets them run.
    fn release(&self, core: &mut Core) {
        let Some(held) = &self.held else { return };
        for id in held.lock().expect("nobody panics while holding it").iter() {
            if let Some(mut connection) = core.get(*id) {
                self.apply(&mut connection);
                connection.enable(Direction::Read);
            }
        }
    }

    /// Puts a connection under the limits.
    fn apply(&self, connection: &mut BevMut<'_>) {
        if let Some(builder) = &self.group {
            let (group, _) = self.made.get_or_init(|| self.make(builder));
            connection.join(group).expect("the group has a seat for every core of this machine");
            if let Some(recording) = &self.recording {
                recording.note_member(connection.id(), 1);
            }
        }
        if let Some(config) = &self.each {
            let (_, set) = bracket(|| connection.set_rate_limit(Some(config.clone())));
            if let Some(recording) = &self.recording {
                recording.note_limit(connection.id(), set);
            }
        }
    }

    fn make(&self, builder: &GroupBuilder) -> (Group, Moment) {
        let build = || builder.clone().build();
        let (group, made) =
            bracket(|| build().expect("the same numbers were accepted at the start"));
        if let Some((bytes, tick)) = self.drain {
            let group = group.clone();
            // A core that has stopped needs no drain.
            let _ = self.handle.submit_to(0, move |core| arm_drain(core, group, bytes, tick));
        }
        (group, made)
    }
}

/// Takes bytes from both directions of a group at every tick from the next on.
fn arm_drain(core: &mut Core, group: Group, bytes: i64, tick: Duration) {
    core.after(tick, move |core| {
        // A direction the service does not use has no limit and nothing to drain.
        let _unlimited = group.decrement_read(bytes);
        let _unlimited = group.decrement_write(bytes);
        arm_drain(core, group, bytes, tick);
    });
}

/// Does something and says between which clock readings.
fn bracket<T>(act: impl FnOnce() -> T) -> (T, Moment) {
    let clock = Clock::process();
    let not_before_ns = clock.now().as_nanos();
    let done = act();
    (done, Moment { not_before_ns, not_after_ns: clock.now().as_nanos() })
}

fn build(
    arguments: &ServeArguments,
    cpus: &[usize],
    recording: Option<&Recording>,
) -> Outcome<Runtime> {
    // A parent has its figures before it stops a server; nobody waits for the rest.
    let drain = if arguments.controlled { Duration::ZERO } else { DRAIN_TIMEOUT };
    let mut builder = Runtime::builder().drain_timeout(drain);
    let pin = match arguments.pin {
        arguments::Pin::Each => Pin::Each,
        arguments::Pin::Set => Pin::Set,
        arguments::Pin::None => Pin::None,
    };
    if cpus.is_empty() {
        builder = builder.cores(arguments.cores.unwrap_or(1)).pin(Pin::None);
    } else {
        let set = CpuSet::from_cpus(cpus.iter().copied());
        let set = set.map_err(|error| Failure::Usage(error.to_string()))?;
        builder = builder.cores(arguments.cores.unwrap_or(cpus.len())).cpus(set).pin(pin);
    }
    if let Some(recording) = recording {
        let recording = recording.clone();
        builder = builder.observer(move |_| Box::new(recording.recorder()));
    }
    builder.build().map_err(|error| match error {
        BuildError::Placement(refused) => Failure::Usage(refused.to_string()),
        other => Failure::Server(other.to_string()),
    })
}

fn serve<H: Handler + Prepare>(
    runtime: &mut Runtime,
    listen: &str,
    limits: &Arc<Limits>,
    handler: H,
) -> Outcome<SocketAddr> {
    let limits = Arc::clone(limits);
    let accept = move |connection: &mut BevMut<'_>| {
        limits.admit(connection);
        handler.prepare(connection)
    };
    runtime.listen(listen, accept).map_err(|error| match error {
        Error::Address { source, .. } => Failure::address(listen, &source),
        other => Failure::Server(other.to_string()),
    })
}

/// Makes the handler of a new connection, and whatever it begins with.
trait Prepare: Sync + Send {
    fn prepare(&self, connection: &mut BevMut<'_>) -> Self;
}

/// How long connections may take to finish after SIGTERM.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(5);
/// What a source appends at a time, by reference.
const SOURCE_PIECE: usize = 256 * 1024;
