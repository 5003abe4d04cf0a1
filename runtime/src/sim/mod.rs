//! Whole servers in virtual time, on one thread, from a seed.
//!
//! A [`Simulation`] is a core over a simulated operating system, and the other ends of its
//! connections for a test to drive. Time passes only when the core waits, so an hour of timeouts
//! takes milliseconds; and all that is left to chance comes from the seed, so a failure found once
//! is found again. [`Faults`] says what goes wrong: short reads and writes, interrupted calls,
//! resets, delays, descriptors running out.
//!
//! What it cannot show: two cores at once, a kernel that is slow or full, and any defect of mio.
//!
//! ```text
//!   test -- Peer --> Network (pipes, listeners) <-- SimDriver <-- Core (the shipped reactor)
//!                       |
//!                    Agenda (clock, what arrives when, dice)
//! ```

mod agenda;
mod driver;
mod faults;
mod listener;
mod network;
mod pipe;
mod socket;

use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use groups::Time;
use parking_lot::{Mutex, MutexGuard};

use self::driver::SimDriver;
pub use self::faults::Faults;
use self::network::Network;
use self::socket::End;
use crate::builder::DEFAULT_DRAIN_TIMEOUT;
use crate::clock::Clock;
use crate::driver::Driver;
use crate::handle::Shared;
use crate::observer::Observer;
use crate::reactor::Core;

/// Bytes that one direction of a simulated connection holds, in both socket buffers together.
pub const DEFAULT_BUFFER_BYTES: usize = 64 * 1024;

/// An end of a connection that the test drives.
///
/// # Shape
/// `Copy`; a name for use with the [`Simulation`] that gave it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Peer(End);

/// One core in a simulated world.
///
/// # Shape
/// Lives on one thread. The test acts between turns: it writes and reads as a [`Peer`], and lets
/// time pass with [`run_for`](Self::run_for) or [`run_until`](Self::run_until).
///
/// # Examples
/// ```
/// use std::time::Duration;
///
/// use sluicegate::sim::{Faults, Simulation};
/// use sluicegate::{Context, Handler, ListenOptions};
///
/// struct Echo;
/// impl Handler for Echo {
///     fn on_read(&mut self, cx: &mut Context<'_>) {
///         let (mut input, mut output) = cx.buffers();
///         output.append(&mut input);
///     }
/// }
///
/// let faults = Faults { short_reads: 0.5, short_writes: 0.5, ..Faults::none() };
/// let mut sim = Simulation::with_faults(7, faults);
/// let listener = sim.core().listen("10.0.0.1:7777", ListenOptions::new(), |_| Echo)?;
/// let peer = sim.connect(listener.local_addr())?;
/// assert_eq!(sim.write(peer, b"twice around"), 12);
///
/// let mut echoed = Vec::new();
/// let all = sim.run_until(Duration::from_secs(1), |sim| {
///     echoed.extend(sim.read(peer));
///     echoed.len() == 12
/// });
/// assert!(all);
/// assert_eq!(echoed, b"twice around");
/// # Ok::<(), sluicegate::Error>(())
/// ```
#[derive(Debug)]
pub struct Simulation {
    core: Core,
    network: Arc<Mutex<Network>>,
    stopped: bool,
}

impl Simulation {
    /// A core on a network without faults.
    pub fn new(seed: u64) -> Self {
        Self::with_faults(seed, Faults::none())
    }

    /// A core on a network with faults.
    pub fn with_faults(seed: u64, faults: Faults) -> Self {
        let network = Network::new(seed, faults, DEFAULT_BUFFER_BYTES);
        let network = Arc::new(Mutex::new(network));
        let driver = SimDriver::new(network.clone());
        let shared = Shared::new(vec![driver.waker()]);
        let mut core = Core::new(0, Box::new(driver), shared, None);
        core.drain.timeout = DEFAULT_DRAIN_TIMEOUT;
        Self { core, network, stopped: false }
    }

    // ---- the core and its time ----

    /// The core: listen, connect and set timers here.
    pub fn core(&mut self) -> &mut Core {
        &mut self.core
    }

    /// The virtual clock, for [`GroupBuilder::clock`](crate::GroupBuilder::clock).
    pub fn clock(&self) -> Clock {
        self.network().agenda.clock.clone()
    }

    /// The virtual time.
    pub fn now(&self) -> Time {
        self.network().now()
    }

    /// Has every metered operation from now on reported.
    pub fn observe(&mut self, observer: impl Observer + 'static) {
        self.core.set_observer(Box::new(observer));
    }

    /// Changes what goes wrong from now on.
    pub fn set_faults(&mut self, faults: Faults) {
        self.network().faults = faults;
    }

    /// Changes what one direction of a connection holds, for connections made from now on.
    ///
    /// # Units
    /// Bytes, at least 1; the default is [`DEFAULT_BUFFER_BYTES`].
    pub fn set_buffer_bytes(&mut self, bytes: usize) {
        self.network().buffer_bytes = bytes.max(1);
    }

    /// Runs one turn of the core, which may wait for the next event.
    pub fn turn(&mut self) {
        self.turn_within(LONGEST_TURN);
    }

    /// Lets a span of virtual time pass.
    pub fn run_for(&mut self, span: Duration) {
        self.run_until(span, |_| false);
    }

    /// Runs until `over` says so, at most for `limit` of virtual time; `false` if that ran out.
    ///
    /// `over` is asked before the first turn and after every one, and may act as peers.
    pub fn run_until(&mut self, limit: Duration, mut over: impl FnMut(&mut Self) -> bool) -> bool {
        let until = self.now() + limit;
        loop {
            if over(self) {
                return true;
            }
            let left = until.saturating_since(self.now());
            if left.is_zero() {
                return false;
            }
            self.turn_within(left);
        }
    }

    /// Whether the core has drained and stopped; the network goes on.
    pub fn is_stopped(&self) -> bool {
        self.stopped
    }

    fn turn_within(&mut self, longest: Duration) {
        if self.stopped {
            let mut network = self.network();
            let until = network.now() + longest;
            return network.pass_time(until);
        }
        self.core.turn(longest);
        if self.core.drain.is_over() {
            self.core.stop();
            self.stopped = true;
        }
    }

    // ---- the other ends ----

    /// Connects to a listener of the core; what is written arrives after the connection.
    ///
    /// # Errors
    /// `ConnectionRefused` if nobody listens there. A backlog that is full resets the peer later.
    pub fn connect(&mut self, to: SocketAddr) -> io::Result<Peer> {
        let mut network = self.network();
        if !network.listeners.contains(to) {
            return Err(ErrorKind::ConnectionRefused.into());
        }
        Ok(Peer(network.connect(None, to)))
    }

    /// Listens as a peer, for connections that the core makes. Port 0 takes a free one.
    ///
    /// # Errors
    /// `AddrInUse` if somebody listens there.
    pub fn listen(&mut self, addr: SocketAddr) -> io::Result<SocketAddr> {
        self.network().listeners.bind(None, addr, PEER_BACKLOG)
    }

    /// Accepts, as a peer, a connection that the core made; `None` if none has arrived.
    pub fn accept(&mut self, listener: SocketAddr) -> Option<Peer> {
        let (end, _) = self.network().accept(listener, None).ok()?;
        Some(Peer(end))
    }

    /// Writes what there is room for and returns how much; 0 too when the connection is over.
    pub fn write(&mut self, peer: Peer, bytes: &[u8]) -> usize {
        self.network().write(peer.0, bytes).unwrap_or(0)
    }

    /// Reads all that has arrived.
    pub fn read(&mut self, peer: Peer) -> Vec<u8> {
        let mut network = self.network();
        let mut bytes = vec![0; network.socket(peer.0).inbox.arrived()];
        let count = network.read(peer.0, &mut bytes).unwrap_or(0);
        bytes.truncate(count);
        bytes
    }

    /// Sends no more; reading goes on.
    pub fn half_close(&mut self, peer: Peer) {
        self.network().shut(peer.0);
    }

    /// Closes; if something was left unread, or comes later, the core's end is reset.
    pub fn close(&mut self, peer: Peer) {
        self.network().close(peer.0);
    }

    /// Closes by a reset; what is on its way to the core is lost.
    pub fn reset(&mut self, peer: Peer) {
        self.network().reset(peer.0);
    }

    /// Whether the core has closed its sending side in order and all it sent has been read.
    pub fn is_eof(&self, peer: Peer) -> bool {
        let mut network = self.network();
        let inbox = &network.socket(peer.0).inbox;
        inbox.has_ended() && inbox.arrived() == 0
    }

    /// Whether a reset or refusal has reached the peer.
    pub fn is_reset(&self, peer: Peer) -> bool {
        self.network().socket(peer.0).broken
    }

    fn network(&self) -> MutexGuard<'_, Network> {
        self.network.lock()
    }
}

/// How long one turn may wait when nothing at all is to come.
const LONGEST_TURN: Duration = Duration::from_secs(60);

/// Connections of the core that may wait for a peer to accept them.
const PEER_BACKLOG: usize = 4096;
