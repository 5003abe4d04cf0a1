//! Who listens where in a simulation, and who waits to be accepted.
//!
//! Owns the addresses in use and a bounded backlog for each. Never knows a connection, only the
//! names of ends.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io::{self, ErrorKind};
use std::net::SocketAddr;

use super::socket::End;
use crate::id::BevId;

/// All listeners, by address.
#[derive(Debug, Default)]
pub(super) struct Listeners {
    listening: BTreeMap<SocketAddr, Listener>,
    /// Where nobody answers, not even that nobody listens.
    silent: BTreeSet<SocketAddr>,
}

#[derive(Debug)]
struct Listener {
    /// Under which name its core hears of it; those of the test have none.
    id: Option<BevId>,
    waiting: VecDeque<End>,
    backlog: usize,
}

impl Listeners {
    /// Takes an address; port 0 stands for a free one.
    pub(super) fn bind(
        &mut self,
        id: Option<BevId>,
        mut addr: SocketAddr,
        backlog: usize,
    ) -> io::Result<SocketAddr> {
        if addr.port() == 0 {
            let mut ports = FIRST_FREE_PORT..=u16::MAX;
            let free = ports.find(|&port| {
                addr.set_port(port);
                !self.contains(addr)
            });
            free.ok_or(ErrorKind::AddrInUse)?;
        } else if self.contains(addr) {
            return Err(ErrorKind::AddrInUse.into());
        }
        self.listening.insert(addr, Listener { id, waiting: VecDeque::new(), backlog });
        Ok(addr)
    }

    /// Has nobody answer at an address.
    pub(super) fn silence(&mut self, addr: SocketAddr) {
        self.silent.insert(addr);
    }

    pub(super) fn is_silent(&self, addr: SocketAddr) -> bool {
        self.silent.contains(&addr)
    }

    pub(super) fn contains(&self, addr: SocketAddr) -> bool {
        self.listening.contains_key(&addr)
    }

    pub(super) fn id(&self, addr: SocketAddr) -> Option<BevId> {
        self.listening.get(&addr)?.id
    }

    /// Lets an end wait; `false` if nobody listens or the backlog is full.
    pub(super) fn queue(&mut self, addr: SocketAddr, end: End) -> bool {
        let Some(listener) = self.listening.get_mut(&addr) else { return false };
        let room = listener.waiting.len() < listener.backlog;
        if room {
            listener.waiting.push_back(end);
        }
        room
    }

    /// Takes the end that has waited longest.
    pub(super) fn pop(&mut self, addr: SocketAddr) -> io::Result<End> {
        let listener = self.listening.get_mut(&addr).ok_or(ErrorKind::InvalidInput)?;
        listener.waiting.pop_front().ok_or_else(|| ErrorKind::WouldBlock.into())
    }

    /// Gives an address up; returns who still waited.
    pub(super) fn remove(&mut self, addr: SocketAddr) -> VecDeque<End> {
        self.listening.remove(&addr).map(|listener| listener.waiting).unwrap_or_default()
    }
}

/// The first port for those that ask for any.
const FIRST_FREE_PORT: u16 = 30_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_taken_once_and_its_backlog_is_bounded() {
        let mut listeners = Listeners::default();
        let any = SocketAddr::from(([10, 0, 0, 1], 0));
        let first = listeners.bind(None, any, 1).expect("ports are free");
        assert_ne!(listeners.bind(None, any, 1).expect("ports are free"), first);
        let taken = listeners.bind(None, first, 1).expect_err("taken");
        assert_eq!(taken.kind(), ErrorKind::AddrInUse);
        assert!(listeners.queue(first, End(1)));
        assert!(!listeners.queue(first, End(3)), "the backlog is full");
        assert_eq!(listeners.pop(first).expect("one waits"), End(1));
        let empty = listeners.pop(first).expect_err("nobody waits");
        assert_eq!(empty.kind(), ErrorKind::WouldBlock);
    }
}
