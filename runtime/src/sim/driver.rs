//! The simulated operating system, as the core calls it.
//!
//! Owns the table of the core's sockets and injects the faults; the network behind it has none but
//! delays, some of them long. Time passes a little in every call, and while a core waits; where
//! there are several, while all of them do.
//!
//! Every fault keeps the contract of edges: a call that moved less than it could, for no reason
//! the caller can see, is followed by an edge. Never blocks the thread.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, ErrorKind, IoSlice};
use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::BorrowedFd;
use std::os::unix::net::SocketAddr as UnixSocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use core_buf::Readiness;
use groups::Time;
use parking_lot::{Mutex, MutexGuard};

use super::listener::Binding;
use super::loose::LooseEnd;
use super::network::{Network, Source};
use super::socket::End;
use crate::driver::{Driver, Listening, Ready, SystemCalls, WakeDriver};
use crate::id::{BevId, Key};
use crate::socket::{Origin, Socket};

/// The driver of a simulated core.
pub(super) struct SimDriver {
    core: u16,
    network: Arc<Mutex<Network>>,
    sockets: BTreeMap<Key, Source>,
    waker: Arc<SimWaker>,
    calls: SystemCalls,
    /// Events of closed sockets that are still to be told.
    stale: Vec<Ready>,
}

#[derive(Default)]
struct SimWaker(AtomicBool);

impl WakeDriver for SimWaker {
    fn wake(&self) {
        self.0.store(true, Ordering::Release);
    }
}

impl SimDriver {
    pub(super) fn new(core: u16, network: Arc<Mutex<Network>>) -> Self {
        Self {
            core,
            network,
            sockets: BTreeMap::new(),
            waker: Arc::default(),
            calls: SystemCalls::default(),
            stale: Vec::new(),
        }
    }

    fn id(&self, key: Key) -> BevId {
        BevId { core: self.core, key }
    }

    fn end(&self, key: Key) -> io::Result<End> {
        match self.sockets.get(&key) {
            Some(&Source::Stream(end)) => Ok(end),
            _ => Err(ErrorKind::NotConnected.into()),
        }
    }

    /// Accepts an end from a listener, to be known by a name if it has one already.
    fn take(&mut self, listener: Key, id: Option<BevId>) -> io::Result<(End, SocketAddr)> {
        self.calls.accepts += 1;
        let Some(&Source::Listener(door)) = self.sockets.get(&listener) else {
            return Err(ErrorKind::InvalidInput.into());
        };
        let mut network = enter(&self.network);
        let accept_errors = network.faults.accept_errors;
        if network.agenda.chance(accept_errors) {
            return Err(io::Error::from_raw_os_error(EMFILE));
        }
        network.accept(door, id)
    }

    /// Whether the system lets the core wait for one more socket.
    fn register(&self) -> io::Result<()> {
        let mut network = enter(&self.network);
        let register_errors = network.faults.register_errors;
        match network.agenda.chance(register_errors) {
            true => Err(io::Error::from_raw_os_error(ENOSPC)),
            false => Ok(()),
        }
    }

    /// A socket is here no more; an event of it may still come.
    fn tell_stale(&mut self, key: Key) {
        let mut network = enter(&self.network);
        let stale_events = network.faults.stale_events;
        if network.agenda.chance(stale_events) {
            self.stale.push(Ready { key, readiness: Readiness::all() });
        }
    }

    /// Begins a read or write of at most `want` bytes; says how many it may move, if it may.
    fn begin(&self, key: Key, want: usize, shortness: f64) -> io::Result<Transfer<'_>> {
        let end = self.end(key)?;
        let mut network = enter(&self.network);
        let faults = network.faults.clone();
        if network.agenda.chance(faults.interrupted) {
            return Err(ErrorKind::Interrupted.into());
        }
        if network.agenda.chance(faults.reset) {
            network.cut(end);
        }
        if network.agenda.chance(faults.would_block) {
            network.edge_later(end);
            return Err(ErrorKind::WouldBlock.into());
        }
        let mut most = want;
        if want > 1 && network.agenda.chance(shortness) {
            most = network.agenda.between(1, want as u64 - 1) as usize;
            network.edge_later(end);
        }
        Ok(Transfer { network, end, most })
    }
}

/// Begins a system call, which takes some time.
fn enter(network: &Mutex<Network>) -> MutexGuard<'_, Network> {
    let mut network = network.lock();
    let nanos = network.agenda.between(CALL_NANOS.0, CALL_NANOS.1);
    network.agenda.clock.advance(Duration::from_nanos(nanos));
    network.catch_up();
    network
}

/// A read or write that was let through.
struct Transfer<'a> {
    network: MutexGuard<'a, Network>,
    end: End,
    most: usize,
}

impl Driver for SimDriver {
    fn now(&mut self) -> Time {
        self.network.lock().now()
    }

    fn poll(&mut self, timeout: Option<Duration>, ready: &mut Vec<Ready>) -> io::Result<()> {
        self.calls.polls += 1;
        let mut network = enter(&self.network);
        network.wake(self.core);
        let interrupted = network.faults.interrupted;
        if network.agenda.chance(interrupted) {
            return Ok(());
        }
        let before = ready.len();
        network.tell(self.core, EVENTS_PER_POLL, ready);
        ready.append(&mut self.stale);
        let timeout = timeout.unwrap_or(LONGEST_WAIT).min(LONGEST_WAIT);
        let woken = self.waker.0.swap(false, Ordering::Acquire);
        if ready.len() == before && !woken && !timeout.is_zero() {
            // One step at most: what it brings may be for the test, which acts between turns.
            if !network.stirred {
                let until = network.now() + timeout;
                network.sleep(self.core, until);
                network.tell(self.core, EVENTS_PER_POLL, ready);
            }
            network.stirred = false;
        }
        network.agenda.shuffle(&mut ready[before..]);
        Ok(())
    }

    fn waker(&self) -> Arc<dyn WakeDriver> {
        self.waker.clone()
    }

    fn listen(&mut self, key: Key, source: Listening) -> io::Result<Option<SocketAddr>> {
        self.calls.others += 1;
        let (addr, options, shared) = match source {
            Listening::Address(addr, options) => (addr, options, false),
            Listening::Shared(addr, options) => (addr, options, true),
            Listening::Socket(_) | Listening::Unix(_) => return Err(ErrorKind::Unsupported.into()),
        };
        let backlog = options.backlog as usize;
        let binding = Binding { id: Some(self.id(key)), backlog, shared };
        let (addr, door) = enter(&self.network).listeners.bind(addr, binding)?;
        self.sockets.insert(key, Source::Listener(door));
        Ok(Some(addr))
    }

    fn accept(&mut self, listener: Key, key: Key) -> io::Result<io::Result<Option<SocketAddr>>> {
        let (end, peer) = self.take(listener, Some(self.id(key)))?;
        if let Err(error) = self.register() {
            drop(LooseEnd::new(self.network.clone(), end));
            return Ok(Err(error));
        }
        self.sockets.insert(key, Source::Stream(end));
        Ok(Ok(Some(peer)))
    }

    fn accept_loose(&mut self, listener: Key) -> io::Result<(Socket, Option<SocketAddr>)> {
        let (end, peer) = self.take(listener, None)?;
        let loose = LooseEnd::new(self.network.clone(), end);
        Ok((Socket(Origin::Simulated(loose)), Some(peer)))
    }

    fn connect(&mut self, key: Key, to: SocketAddr) -> io::Result<()> {
        self.calls.others += 1;
        let mut network = enter(&self.network);
        if to.ip() == Ipv4Addr::BROADCAST {
            return Err(ErrorKind::NetworkUnreachable.into());
        }
        let end = network.connect(Some(self.id(key)), to);
        drop(network);
        self.sockets.insert(key, Source::Stream(end));
        Ok(())
    }

    fn connect_unix(&mut self, _: Key, _: &UnixSocketAddr) -> io::Result<()> {
        Err(ErrorKind::Unsupported.into())
    }

    fn read(&mut self, key: Key, into: &mut [u8]) -> io::Result<usize> {
        self.calls.reads += 1;
        let shortness = self.network.lock().faults.short_reads;
        let Transfer { mut network, end, most } = self.begin(key, into.len(), shortness)?;
        network.read(end, &mut into[..most])
    }

    fn writev(&mut self, key: Key, from: &[IoSlice<'_>]) -> io::Result<usize> {
        self.calls.writes += 1;
        let shortness = self.network.lock().faults.short_writes;
        let bytes = from.iter().map(|piece| &**piece).collect::<Vec<_>>().concat();
        let Transfer { mut network, end, most } = self.begin(key, bytes.len(), shortness)?;
        network.write(end, &bytes[..most])
    }

    fn send_file(&mut self, _: Key, _: BorrowedFd<'_>, _: u64, _: usize) -> io::Result<usize> {
        Err(ErrorKind::Unsupported.into())
    }

    fn local_addr(&mut self, key: Key) -> io::Result<SocketAddr> {
        self.calls.others += 1;
        let end = self.end(key)?;
        Ok(enter(&self.network).socket(end).addr)
    }

    fn check_connected(&mut self, key: Key) -> io::Result<()> {
        self.calls.others += 1;
        let end = self.end(key)?;
        enter(&self.network).socket(end).check_connected()
    }

    fn attach(&mut self, key: Key, socket: Socket) -> Result<(), (Socket, io::Error)> {
        self.calls.others += 1;
        if let Err(error) = self.register() {
            return Err((socket, error));
        }
        let end = match socket.0 {
            Origin::Simulated(end) if end.is_of(&self.network) => end.into_end(),
            foreign => return Err((Socket(foreign), ErrorKind::Unsupported.into())),
        };
        let id = self.id(key);
        enter(&self.network).name(end, Some(id));
        self.sockets.insert(key, Source::Stream(end));
        Ok(())
    }

    fn detach(&mut self, key: Key) -> io::Result<Socket> {
        self.calls.others += 1;
        let end = self.end(key)?;
        self.sockets.remove(&key);
        enter(&self.network).name(end, None);
        self.tell_stale(key);
        Ok(Socket(Origin::Simulated(LooseEnd::new(self.network.clone(), end))))
    }

    fn shutdown(&mut self, key: Key) -> io::Result<()> {
        self.calls.others += 1;
        let end = self.end(key)?;
        let mut network = enter(&self.network);
        if network.socket(end).broken {
            return Err(ErrorKind::NotConnected.into());
        }
        network.shut(end);
        Ok(())
    }

    fn abort(&mut self, key: Key) {
        if let Ok(end) = self.end(key) {
            self.calls.others += 1;
            enter(&self.network).reset(end);
        }
        self.close(key);
    }

    fn close(&mut self, key: Key) {
        let Some(source) = self.sockets.remove(&key) else { return };
        self.calls.others += 1;
        let mut network = enter(&self.network);
        match source {
            Source::Stream(end) => network.close(end),
            Source::Listener(door) => network.close_listener(door),
        }
        drop(network);
        self.tell_stale(key);
    }

    fn system_calls(&self) -> SystemCalls {
        self.calls
    }
}

impl fmt::Debug for SimDriver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SimDriver").field("system_calls", &self.calls).finish_non_exhaustive()
    }
}

/// What a system call takes, in nanoseconds: the least and the most.
const CALL_NANOS: (u64, u64) = (200, 2_000);

/// Most events told by one poll, as with the real driver.
const EVENTS_PER_POLL: usize = 1024;

/// How long a wait without a timeout may be.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// Linux's number for "too many open files"; std has no kind for it.
const EMFILE: i32 = 24;
const ENOSPC: i32 = 28;
