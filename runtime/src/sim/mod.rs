//! Whole servers in virtual time, on one thread, from a seed.
//!
//! A [`Simulation`] is a core, or several, over a simulated operating system, and the other ends of
//! its connections for a test to drive. Time passes only when all cores wait, so an hour of
//! timeouts takes milliseconds; and all that is left to chance comes from the seed, so a failure
//! found once is found again. [`Faults`] says what goes wrong: short reads and writes, interrupted
//! calls, resets, delays, descriptors running out.
//!
//! What it cannot show: two cores within a turn at once (they take turns, in an order from the
//! seed), a kernel that is slow or full, and any defect of mio.
//!
//! ```text
//!   test -- Peer --> Network (pipes, listeners) <-- SimDriver <-- Core (the shipped reactor)
//!                       |
//!                    Agenda (clock, what arrives when, dice)
//! ```

mod agenda;
mod driver;
mod faults;
mod hosts;
mod listener;
mod loose;
mod network;
mod pipe;
mod socket;

use std::fmt;
use std::io::{self, ErrorKind};
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use std::time::Duration;

use groups::Time;
use parking_lot::{Mutex, MutexGuard};

use self::driver::SimDriver;
pub use self::faults::Faults;
use self::hosts::Hosts;
use self::listener::Binding;
pub(crate) use self::loose::LooseEnd;
use self::network::Network;
use self::socket::End;
use crate::bev::BevMut;
use crate::builder::DEFAULT_DRAIN_TIMEOUT;
use crate::clock::Clock;
use crate::driver::{Driver, Listening};
use crate::error::Result;
use crate::handle::{Handle, Shared};
use crate::handler::Handler;
use crate::id::BevId;
use crate::listen::{self, ListenOptions, Listener, Part};
use crate::observer::Observer;
use crate::placement::MAX_CORES;
use crate::reactor::{Core, new_factory};
use crate::report::CoreEnd;
use crate::runtime::Farewell;
use crate::socket::{Origin, Socket};

/// Bytes that one direction of a simulated connection holds, in both socket buffers together.
pub const DEFAULT_BUFFER_BYTES: usize = 64 * 1024;

/// An end of a connection that the test drives.
///
/// # Shape
/// `Copy`; a name for use with the [`Simulation`] that gave it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Peer(End);

/// One core, or several, in a simulated world.
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
pub struct Simulation {
    /// Each with what tells the others of its end, until it has stopped.
    cores: Vec<(Core, Option<Farewell>)>,
    network: Arc<Mutex<Network>>,
    hosts: Hosts,
    shared: Arc<Shared>,
}

/// What the cores of a simulation hold; nothing, once everything has been closed and is settled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Held {
    /// Bufferevents, listeners, and attempts to reach an address of a host.
    pub slots: usize,
    /// What joins the ends of pairs, and halves of it.
    pub wires: usize,
    /// Timers that are armed.
    pub timers: usize,
    /// Groups in which a core has a seat.
    pub seats: usize,
}

impl Simulation {
    /// A core on a network without faults.
    pub fn new(seed: u64) -> Self {
        Self::with_faults(seed, Faults::none())
    }

    /// A core on a network with faults.
    pub fn with_faults(seed: u64, faults: Faults) -> Self {
        Self::with_cores(1, seed, faults)
    }

    /// Several cores on a network with faults. They take turns, in an order from the seed.
    ///
    /// # Panics
    /// If there is no core, or more than [`MAX_CORES`].
    ///
    /// # Examples
    /// ```
    /// use sluicegate::PairOptions;
    /// use sluicegate::sim::{Faults, Simulation};
    ///
    /// let mut sim = Simulation::with_cores(2, 7, Faults::none());
    /// let handle = sim.core().handle();
    /// let pair = handle.pair(0, |_| (), 1, |_| (), PairOptions::new())?;
    /// sim.turn();
    /// let (_, b) = pair.ids().expect("both cores have had their turn")?;
    /// assert!(sim.core_at(1).get(b).is_some());
    /// # Ok::<(), sluicegate::Error>(())
    /// ```
    pub fn with_cores(cores: usize, seed: u64, faults: Faults) -> Self {
        assert!((1..=MAX_CORES).contains(&cores), "{cores} cores cannot be simulated");
        let network = Network::new(seed, faults, DEFAULT_BUFFER_BYTES, cores);
        let clock = network.agenda.clock.clone();
        let network = Arc::new(Mutex::new(network));
        let driver = |core: usize| SimDriver::new(core as u16, network.clone());
        let drivers: Vec<SimDriver> = (0..cores).map(driver).collect();
        let shared = Shared::new(clock, drivers.iter().map(Driver::waker).collect());
        let hosts = Hosts::default();
        let core = |(index, driver)| {
            let lookups = Arc::new(hosts.clone());
            let mut core = Core::new(index, Box::new(driver), shared.clone(), lookups, None);
            core.drain.timeout = DEFAULT_DRAIN_TIMEOUT;
            (core, Some(Farewell { shared: shared.clone(), index }))
        };
        let cores = drivers.into_iter().enumerate().map(core).collect();
        Self { cores, network, hosts, shared }
    }

    // ---- the cores and their time ----

    /// The core, or the first of several: listen, connect and set timers here.
    pub fn core(&mut self) -> &mut Core {
        self.core_at(0)
    }

    /// The core of that number.
    ///
    /// # Panics
    /// If there are not so many.
    pub fn core_at(&mut self, index: usize) -> &mut Core {
        &mut self.cores[index].0
    }

    /// The virtual clock, for [`GroupBuilder::clock`](crate::GroupBuilder::clock).
    pub fn clock(&self) -> Clock {
        self.network().agenda.clock.clone()
    }

    /// The virtual time.
    pub fn now(&self) -> Time {
        self.network().now()
    }

    /// Has every metered operation of every core from now on reported, to a copy for each.
    pub fn observe(&mut self, observer: impl Observer + Clone + 'static) {
        for (core, _) in &mut self.cores {
            core.set_observer(Box::new(observer.clone()));
        }
    }

    /// Bytes in the input and in the output of a bufferevent; `None` if the name is stale.
    ///
    /// Looks only. A [`BevMut`] has its core look again at what it lent, which would
    /// hide that the core had forgotten something.
    pub fn lengths(&self, id: BevId) -> Option<(usize, usize)> {
        let (core, _) = self.cores.get(id.core())?;
        let bev = &core.slots.look(id.key)?.bev;
        Some((bev.input().len(), bev.output().len()))
    }

    /// What the cores hold, all together: a test that closes everything can see that nothing leaks.
    pub fn held(&self) -> Held {
        let add = |held: Held, (core, _): &(Core, Option<Farewell>)| Held {
            slots: held.slots + core.slots.len(),
            wires: held.wires + core.wires.len(),
            timers: held.timers + core.wheel.len(),
            seats: held.seats + core.shards.len(),
        };
        self.cores.iter().fold(Held::default(), add)
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

    /// Runs one turn of every core, which may wait for the next event.
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

    /// How a core has ended, once it has drained and stopped.
    pub fn end_of(&self, core: usize) -> Option<CoreEnd> {
        self.shared.ends.end_of(core)
    }

    /// Whether every core has drained and stopped; the network goes on.
    pub fn is_stopped(&self) -> bool {
        self.cores.iter().all(|(_, farewell)| farewell.is_none())
    }

    fn turn_within(&mut self, longest: Duration) {
        let until = self.now() + longest;
        let mut order: Vec<usize> = (0..self.cores.len()).collect();
        if order.len() > 1 {
            self.network().agenda.shuffle(&mut order);
        }
        for index in order {
            let (core, farewell) = &mut self.cores[index];
            if farewell.is_none() {
                continue;
            }
            core.turn(longest);
            if core.drain.is_over() {
                core.stop();
                *farewell = None;
                self.network().stop(index);
            }
        }
        let is_idle = (0..self.cores.len()).all(|core| self.shared.mailbox(core).is_empty());
        if is_idle && (self.cores.len() > 1 || self.is_stopped()) {
            self.network().pass_if_idle(until);
        }
    }

    /// Listens for all cores, as [`Runtime::listen_with`](crate::Runtime::listen_with) does.
    ///
    /// A connection to a port that several sockets share comes to one of them by chance.
    ///
    /// # Errors
    /// The address does not parse or is in use, or the options ask for what cannot be.
    pub fn listen_with<H: Handler>(
        &mut self,
        addr: impl ToSocketAddrs + fmt::Debug,
        options: ListenOptions,
        factory: impl Fn(&mut BevMut<'_>) -> H + Send + Sync + 'static,
    ) -> Result<Listener> {
        let asked = listen::resolve(addr)?;
        let part = Part::of_runtime(self.cores.len(), &options, new_factory(factory))?;
        let mut addr = asked;
        for (index, (core, _)) in self.cores.iter_mut().enumerate() {
            if part.mode.accepts(index) {
                let source = Listening::Shared(addr, options.clone());
                let added = core.add_listener(part.clone(), source);
                let bound = added.map_err(|error| listen::bind_error(asked, error))?;
                addr = bound.unwrap_or(addr);
            } else if part.reaches(index) {
                core.join_listener(part.clone());
            }
        }
        Ok(Listener::new(addr, part.common, Handle::new(self.shared.clone())))
    }

    // ---- the other ends ----

    /// Gives a host addresses, which a lookup finds after `delay`; none means that it has none.
    ///
    /// [`Core::connect_host`] knows no other hosts here: others are not found. An attempt to
    /// connect to 255.255.255.255 fails at once, as it does for want of a route.
    pub fn set_host(&mut self, host: &str, addresses: &[IpAddr], delay: Duration) {
        self.hosts.set(host, addresses, delay);
    }

    /// Has nothing answer at an address, as behind a firewall: who connects there waits.
    pub fn silence(&mut self, addr: SocketAddr) {
        self.network().listeners.silence(addr);
    }

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
        let binding = Binding { id: None, backlog: PEER_BACKLOG, shared: false };
        Ok(self.network().listeners.bind(addr, binding)?.0)
    }

    /// Accepts, as a peer, a connection that the core made; `None` if none has arrived.
    pub fn accept(&mut self, listener: SocketAddr) -> Option<Peer> {
        let mut network = self.network();
        let door = *network.listeners.doors_at(listener).first()?;
        let (end, _) = network.accept(door, None).ok()?;
        Some(Peer(end))
    }

    /// A connection that no core owns yet, and its other end.
    ///
    /// Give it to [`Core::adopt`] or [`BevMut::set_socket`](crate::BevMut::set_socket), which see
    /// `peer` as the address at the other end.
    pub fn socket(&mut self, peer: SocketAddr) -> (Socket, Peer) {
        let end = self.network().join(None, peer);
        let loose = LooseEnd::new(self.network.clone(), end);
        (Socket(Origin::Simulated(loose)), Peer(end.partner()))
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

impl fmt::Debug for Simulation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cores: Vec<&Core> = self.cores.iter().map(|(core, _)| core).collect();
        f.debug_struct("Simulation")
            .field("cores", &cores)
            .field("network", &self.network)
            .finish_non_exhaustive()
    }
}

/// How long one turn may wait when nothing at all is to come.
const LONGEST_TURN: Duration = Duration::from_secs(60);

/// Connections of the core that may wait for a peer to accept them.
const PEER_BACKLOG: usize = 4096;
