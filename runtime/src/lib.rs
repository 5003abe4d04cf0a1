//! Sluicegate: a thread-per-core network runtime in which every byte can be metered.
//!
//! Each core runs its own reactor over its own buffered connections, without locks. A rate-limit
//! [`Group`] spans all cores with an exact bound and max-min fairness. Nothing here is called from
//! two threads: other threads reach a core by message, through a [`Handle`].
//!
//! Start with the [`guide`], or with [`Runtime`], whose example is a whole server; then [`Handler`]
//! for what a connection does, [`BevMut`] for what can be set on it, [`Group`] for limits, and
//! [`Handle`] for reaching cores from elsewhere. [`sim`] runs the same servers in virtual time,
//! from a seed.
//!
//! | feature | default | what it does |
//! |---|---|---|
//! | `tls` | yes | TLS over bufferevents; sets OpenSSL up when a runtime is built |
//! | `vendored` | no | builds OpenSSL from source where its headers are missing |
//!
//! Linux only.

#![warn(missing_docs)]

#[cfg(not(target_os = "linux"))]
compile_error!(
    "sluicegate runs on Linux only: it relies on epoll, SO_REUSEPORT and affinity masks"
);

#[cfg(not(target_pointer_width = "64"))]
compile_error!("sluicegate needs 64 bits: names of sockets carry their generation in one word");

extern crate sluicegate_core_buf as core_buf;
extern crate sluicegate_groups as groups;
/// TLS: configurations and certificates, sessions, their options and errors, OpenSSL's start.
#[cfg(feature = "tls")]
pub extern crate sluicegate_tls as tls;

mod balance;
mod bev;
mod builder;
mod clock;
mod context;
mod descriptor;
mod dial;
mod driver;
mod ends;
mod error;
mod file;
mod filter;
mod group;
pub mod guide;
mod hand_off;
mod handle;
mod handler;
mod id;
mod listen;
mod mailbox;
mod metrics;
mod observer;
mod pair;
mod panic;
pub mod placement;
mod priority;
mod promise;
mod reactor;
mod report;
mod runtime;
pub mod sim;
mod slot;
mod socket;
mod stats;
mod timer;
mod watchdog;
mod wire;

pub use core_buf::{
    Buffer, Eol, Event, EventFlags, Filter, FilterError, FilterResult, FlushMode, Source,
    SourceError, Suspend, Trigger, WriteEnded,
};
pub use groups::{
    ConfigError, Direction, GroupId, GroupStats, Limit, NoLimit, NoSeat, RATE_LIMIT_MAX, Rate,
    RateError, Rebalance, SeatStats, ServiceOrder, Time, TokenBucketConfig,
    TokenBucketConfigBuilder,
};

pub use self::{bev::BevMut, bev::DEFAULT_LINGER, bev::Two, panic::CorePanic, panic::PanicPolicy};
pub use self::{clock::Clock, file::File, handler::Handler, priority::Priority, stats::CoreStats};
pub use self::{context::Context, context::Input, context::Output, observer::MeteredOperation};
pub use self::{descriptor::DescriptorLimit, descriptor::TooFewDescriptors, observer::Observer};
pub use self::{group::Group, group::GroupBuilder, id::BevId, reactor::Core, reactor::TimerId};
pub use builder::{DEFAULT_DRAIN_TIMEOUT, DEFAULT_JOIN_TIMEOUT, RuntimeBuilder};
pub use dial::{ConnectHostError, HostError, Resolve, SystemResolver};
pub use error::{BuildError, Error, Result};
pub use filter::{FilterOptions, MAX_FILTERS, StackError, TakenByFilter};
pub use hand_off::{AttachError, AttachRefusal, DetachError, Detached, NotAttached, PendingAttach};
pub use handle::{Handle, SUBMIT_CAP, Shutdown, Stopped, SubmitError};
pub use listen::{AcceptMode, AcceptModeError, Dispatch, ListenError, ListenOptions, Listener};
pub use pair::{FlushError, PairOptions, PendingPair, Unlinked};
pub use placement::{
    CoreInfo, Cores, CpuSet, Cpus, Idle, MAX_CORES, Order, Pin, Pinned, Placement, PlacementError,
    Plan, Smt,
};
pub use report::{CoreEnd, DrainReport, Left, StartReport, Unfinished};
pub use runtime::{Running, Runtime, SignalPolicy};
pub use socket::{Socket, SocketError, TakenSocket, UnixAddress, UnixError};
#[cfg(feature = "tls")]
pub use tls::{Charge, InitError, Threading, TlsConfig, TlsError, TlsOptions, TlsState, openssl};
pub use watchdog::{DEFAULT_STALL_THRESHOLD, MIN_STALL_THRESHOLD, Stall, StallCause};
