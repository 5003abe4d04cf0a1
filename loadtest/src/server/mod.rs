//! The servers a run can load, and what they count.
//!
//! Owns the choice between the bare loop that calibrates and the servers made of the runtime. Both
//! count the same things, so that a run reads them the same way.

mod bare;
mod ours;
mod places;

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};
use sluicegate::placement::Snapshot;

use self::bare::Bare;
use self::ours::Ours;
pub(crate) use self::places::places as bare_places;
use crate::arguments::{ServeArguments, Service, WatchArguments};
use crate::cpus;
use crate::exit::{Failure, Outcome};
use crate::limits::Terms;

/// A server that listens in threads of its own.
pub(crate) trait Server {
    /// The addresses actually bound: one, or one for each core.
    fn addresses(&self) -> &[SocketAddr];
    /// A snapshot of the counters of every core.
    fn cores(&self) -> Vec<CoreCounts>;
    /// The counters of the group, zero where there is none.
    fn group(&self) -> GroupCounts;
    /// Nanoseconds on the clock that audit records are stamped with.
    fn clock_ns(&self) -> u64;
    /// Lets the connections run that were held, all at once.
    ///
    /// # Errors
    /// A core has stopped.
    fn go(&self) -> Outcome;
    /// Finishes what is begun and ends the threads.
    fn stop(self: Box<Self>) -> Outcome;
}

/// Counters of one core since it started.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct CoreCounts {
    /// CPUs the core's thread may run on, as a list.
    pub(crate) cpus: String,
    /// Connections open now.
    pub(crate) connections: u64,
    pub(crate) accepted: u64,
    /// Of those it accepted, the ones it kept, and the ones that other cores got.
    pub(crate) accepts_kept: u64,
    pub(crate) accepts_handed_over: u64,
    /// Connections that other cores accepted for it.
    pub(crate) accepts_received: u64,
    pub(crate) polls: u64,
    pub(crate) reads: u64,
    pub(crate) writes: u64,
    pub(crate) bytes_in: u64,
    pub(crate) bytes_out: u64,
    /// System calls of the driver, all kinds.
    pub(crate) syscalls: u64,
    /// Reads and writes that went through a limit.
    pub(crate) metered: u64,
    /// The longest it was away from its events, since it started.
    pub(crate) longest_gap_ns: u64,
}

/// Counters of the group all connections share.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct GroupCounts {
    /// Times a core took from the group's shared word.
    pub(crate) draws: u64,
    pub(crate) rebalances: u64,
    /// Weight of the members that wait, as last published.
    pub(crate) waiting: u64,
}

impl CoreCounts {
    /// What was counted since `earlier`; levels and maxima stay as they are.
    pub(crate) fn since(&self, earlier: &Self) -> Self {
        Self {
            cpus: self.cpus.clone(),
            connections: self.connections,
            accepted: self.accepted.saturating_sub(earlier.accepted),
            accepts_kept: self.accepts_kept.saturating_sub(earlier.accepts_kept),
            accepts_handed_over: self
                .accepts_handed_over
                .saturating_sub(earlier.accepts_handed_over),
            accepts_received: self.accepts_received.saturating_sub(earlier.accepts_received),
            polls: self.polls.saturating_sub(earlier.polls),
            reads: self.reads.saturating_sub(earlier.reads),
            writes: self.writes.saturating_sub(earlier.writes),
            bytes_in: self.bytes_in.saturating_sub(earlier.bytes_in),
            bytes_out: self.bytes_out.saturating_sub(earlier.bytes_out),
            syscalls: self.syscalls.saturating_sub(earlier.syscalls),
            metered: self.metered.saturating_sub(earlier.metered),
            longest_gap_ns: self.longest_gap_ns,
        }
    }
}

/// Starts the server the arguments ask for.
///
/// # Errors
/// The address cannot be bound, a CPU is not allowed, or the limits contradict each other.
pub(crate) fn start(arguments: &ServeArguments) -> Outcome<Box<dyn Server>> {
    let cpus = match &arguments.cpus {
        Some(choice) => cpus::resolve("--cpus", choice, &cpus::allowed()?)?,
        None => Vec::new(),
    };
    Terms::check(&arguments.limits)?;
    arguments.watch.check()?;
    if arguments.write_size.is_some() && arguments.service != Service::Source {
        return Err(Failure::Usage("--write-size is of serve source; drop it".to_owned()));
    }
    if arguments.pace.is_some() {
        let plan = arguments.asked(&cpus).and_then(|asked| asked.plan(&Snapshot::take()));
        if plan.map_err(|refused| Failure::Usage(refused.to_string()))?.cores.len() != 1 {
            return Err(Failure::Usage("--pace runs on one core; give --cores 1".to_owned()));
        }
    }
    if arguments.port_per_core && arguments.placement.accept.is_some() {
        return Err(Failure::Usage(
            "--port-per-core leaves nothing to --accept: each core has a port; drop one of them"
                .to_owned(),
        ));
    }
    if let Some(flag) = arguments.tls.given().filter(|_| !arguments.tls.tls) {
        return Err(Failure::Usage(format!("{flag} is of TLS; give --tls too")));
    }
    match arguments.service {
        Service::Bare if arguments.tls.tls => {
            Err(Failure::Usage("serve bare speaks no TLS; drop --tls or serve echo".to_owned()))
        }
        Service::Bare if arguments.limits.any() || arguments.audit.is_some() => Err(
            Failure::Usage("serve bare has no limits to audit; drop them or serve echo".to_owned()),
        ),
        Service::Bare
            if arguments.port_per_core
                || arguments.send_buffer.is_some()
                || arguments.watch != WatchArguments::default() =>
        {
            Err(Failure::Usage(
                "serve bare has one port, the kernel's buffers, no figures and no watchdog; drop \
                 --port-per-core, --send-buffer, --metrics and --watchdog or serve echo"
                    .to_owned(),
            ))
        }
        Service::Bare => Ok(Box::new(Bare::start(arguments, &cpus)?)),
        Service::Echo | Service::Source | Service::Sink => {
            Ok(Box::new(Ours::start(arguments, &cpus)?))
        }
    }
}
