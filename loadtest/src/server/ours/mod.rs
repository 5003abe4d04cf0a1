//! The servers made of the runtime: echo, source and sink, with limits and an audit.
//!
//! Owns a running runtime and its listeners: one port for all cores, or one for each. What its
//! connections are under is in `limits`; with TLS that counts what the sockets carry. With an audit
//! every metered operation is recorded and written when it stops.

mod handler;
mod limits;
mod pace;
mod recorder;

use std::fs::File;
use std::io::{BufWriter, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc;
use std::time::Duration;

use sluicegate::{
    BevMut, BuildError, Clock, Core, Error, Handle, Handler, ListenOptions, Running, Runtime,
    Shutdown, Stopped, TlsConfig, TlsOptions,
};

use self::handler::{Echo, Sink, Source};
use self::limits::Limits;
use self::pace::Paced;
use self::recorder::Recording;
use super::{CoreCounts, GroupCounts, Server};
use crate::arguments::{ServeArguments, ServerTlsArguments, Service};
use crate::certificate::Identity;
use crate::exit::{Failure, Outcome};

/// A running server on the runtime.
pub(crate) struct Ours {
    addresses: Vec<SocketAddr>,
    running: Running,
    limits: Arc<Limits>,
    audit: Option<Audit>,
    /// Files that were made for this server stay as long as it.
    _identity: Option<Identity>,
}

/// Where the metered operations go.
struct Audit {
    path: PathBuf,
    file: File,
    recording: Recording,
}

impl Ours {
    /// Builds the runtime, listens and starts the cores.
    ///
    /// # Errors
    /// Limits that contradict each other, CPUs that are not allowed, an address in use, or an audit
    /// that cannot be written.
    pub(crate) fn start(arguments: &ServeArguments, cpus: &[usize]) -> Outcome<Self> {
        let (tls, identity) = secure(&arguments.tls)?.unzip();
        let audit = arguments.audit.as_deref().map(Audit::new).transpose()?;
        let recording = audit.as_ref().map(|audit| audit.recording.clone());
        let runtime = build(arguments, cpus, recording.as_ref())?;
        if let Some(config) = &tls {
            // The first connection of a core would wait for its context.
            let prepared = runtime.handle().prepare_tls(config);
            prepared.map_err(Failure::tls("preparing TLS on every core"))?;
        }
        let limits = Arc::new(Limits::new(arguments, runtime.handle(), recording)?);
        let (addresses, running) = match arguments.service {
            Service::Source => {
                let bytes = arguments.write_size.map(|size| size.0 as usize);
                match bytes.zip(arguments.pace) {
                    Some((bytes, rate)) => {
                        serve(runtime, arguments, &limits, tls, Paced::new(bytes, rate))
                    }
                    None => {
                        serve(runtime, arguments, &limits, tls, Source::new(SOURCE_PIECE, bytes))
                    }
                }
            }
            Service::Sink => serve(runtime, arguments, &limits, tls, Sink),
            Service::Echo | Service::Bare => serve(runtime, arguments, &limits, tls, Echo),
        }?;
        Ok(Self { addresses, running, limits, audit, _identity: identity })
    }
}

impl Server for Ours {
    fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    fn cores(&self) -> Vec<CoreCounts> {
        let handle = self.running.handle();
        let counts =
            handle.stats().into_iter().zip(handle.cores()).map(|(core, info)| CoreCounts {
                cpus: info.cpus.map_or_else(|| "any".to_owned(), |cpus| cpus.to_string()),
                connections: core.connections,
                accepted: core.accepted,
                accepts_kept: core.accepts_kept,
                accepts_handed_over: core.accepts_handed_over,
                accepts_received: core.accepts_received,
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
        let Some((group, _)) = self.limits.made() else { return GroupCounts::default() };
        let stats = group.stats();
        GroupCounts {
            draws: stats.draws(),
            rebalances: stats.rebalances(),
            waiting: stats.weight[0].max(stats.weight[1]),
        }
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
        let group = self.limits.made().map(|(_, made)| *made);
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

/// The TLS of a server, if it speaks it, and the files it is made of.
fn secure(arguments: &ServerTlsArguments) -> Outcome<Option<(TlsConfig, Identity)>> {
    if !arguments.tls {
        return Ok(None);
    }
    let identity = Identity::new(arguments.cert.as_deref().zip(arguments.key.as_deref()))?;
    let config = TlsConfig::server().certificate_files(&identity.cert, &identity.key).build();
    let config = config.map_err(|error| Failure::Usage(format!("--cert, --key: {error}")))?;
    if identity.is_throw_away() {
        eprintln!("certificate {}: give it to a client as --cert", identity.cert.display());
    }
    Ok(Some((config, identity)))
}

fn build(
    arguments: &ServeArguments,
    cpus: &[usize],
    recording: Option<&Recording>,
) -> Outcome<Runtime> {
    // A parent has its figures before it stops a server; nobody waits for the rest.
    let drain = if arguments.controlled { Duration::ZERO } else { DRAIN_TIMEOUT };
    let asked = arguments.asked(cpus).map_err(|refused| Failure::Usage(refused.to_string()))?;
    let mut builder = Runtime::builder().drain_timeout(drain).placement(asked);
    if let Some(recording) = recording {
        let recording = recording.clone();
        builder = builder.observer(move |_| Box::new(recording.recorder()));
    }
    if let Some(addr) = &arguments.watch.metrics {
        builder = builder.metrics(addr);
    }
    if let Some(watchdog) = arguments.watch.watchdog {
        builder = builder.watchdog(watchdog.0);
    }
    builder.build().map_err(|error| match error {
        BuildError::Placement(refused) => Failure::Usage(refused.to_string()),
        other => Failure::Server(other.to_string()),
    })
}

/// Listens, on one port or one for each core, and starts the cores.
fn serve<H: Handler + Prepare>(
    mut runtime: Runtime,
    arguments: &ServeArguments,
    limits: &Arc<Limits>,
    tls: Option<TlsConfig>,
    handler: H,
) -> Outcome<(Vec<SocketAddr>, Running)> {
    let limits = Arc::clone(limits);
    let accept = move |connection: &mut BevMut<'_>| {
        // Of what the socket carries, whatever comes over it.
        limits.admit(connection);
        let Some(config) = &tls else { return handler.prepare(connection) };
        match connection.tls_accept(config, TlsOptions::new()) {
            Ok(top) => match connection.core().get(top) {
                Some(mut top) => handler.prepare(&mut top),
                None => handler.clone(),
            },
            // It is closed. Peers decide how many there are, so a line for each is not for all.
            Err(error) => {
                let (id, peer) = (connection.id(), connection.peer_addr());
                tracing::debug!(connection = %id, ?peer, %error, "no TLS for a connection");
                handler.clone()
            }
        }
    };
    let listen = &arguments.listen;
    let refused = |error: Error| match error {
        Error::Address { source, .. } => Failure::address("--listen", listen, &source),
        Error::Listen(refused) => Failure::Usage(refused.to_string()),
        other => Failure::Server(other.to_string()),
    };
    let mut options = ListenOptions::new();
    if let Some(mode) = arguments.placement.accept {
        options = options.accept(mode);
    }
    if let Some(size) = arguments.send_buffer {
        options = options.send_buffer(size.0 as usize);
    }
    let start =
        |runtime: Runtime| runtime.start().map_err(|error| Failure::Server(error.to_string()));
    if !arguments.port_per_core {
        let listener = runtime.listen_with(listen, options, accept).map_err(refused)?;
        return Ok((vec![listener.local_addr()], start(runtime)?));
    }
    let running = start(runtime)?;
    let handle = running.handle();
    let open = |core| listen_on(&handle, core, listen, &options, accept.clone()).map_err(refused);
    let addresses = (0..handle.core_count()).map(open).collect::<Outcome<_>>()?;
    Ok((addresses, running))
}

/// Listens on one core alone.
fn listen_on<H: Handler>(
    handle: &Handle,
    core: usize,
    listen: &str,
    options: &ListenOptions,
    accept: impl Fn(&mut BevMut<'_>) -> H + Send + Sync + 'static,
) -> Result<SocketAddr, Error> {
    let (bound, answer) = mpsc::channel();
    let (listen, options) = (listen.to_owned(), options.clone());
    handle.submit_to(core, move |core| {
        // Nobody gives up waiting for it.
        let _ = bound.send(core.listen(listen, options, accept));
    })?;
    // A core that stops drops the message, and with it the sender.
    let listener = answer.recv().map_err(|_| Stopped { core })?;
    Ok(listener?.local_addr())
}

/// Makes the handler of a new connection, and whatever it begins with.
trait Prepare: Clone + Sync + Send {
    fn prepare(&self, connection: &mut BevMut<'_>) -> Self;
}

/// How long connections may take to finish after SIGTERM.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(5);
/// What a source appends at a time, by reference.
const SOURCE_PIECE: usize = 256 * 1024;
