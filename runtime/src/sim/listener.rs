//! Who listens where in a simulation, and who waits to be accepted.
//!
//! Owns the addresses in use, the doors at each and a bounded backlog for each door. An address has
//! one door, or several where all share it, as sockets do by `SO_REUSEPORT`. Never knows a
//! connection, only the names of ends.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io::{self, ErrorKind};
use std::net::SocketAddr;

use super::socket::End;
use crate::id::BevId;

/// Names a listening socket; never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Door(u64);

/// All listeners.
#[derive(Debug, Default)]
pub(super) struct Listeners {
    doors: BTreeMap<Door, Listener>,
    /// At which address which doors are.
    at: BTreeMap<SocketAddr, Vec<Door>>,
    /// Where nobody answers, not even that nobody listens.
    silent: BTreeSet<SocketAddr>,
    count: u64,
}

/// What a door is made with.
#[derive(Clone, Copy, Debug)]
pub(super) struct Binding {
    /// Under which name its core hears of it; those of the test have none.
    pub(super) id: Option<BevId>,
    pub(super) backlog: usize,
    /// Whether others may listen on the same address, if they share it too.
    pub(super) shared: bool,
}

#[derive(Debug)]
struct Listener {
    addr: SocketAddr,
    binding: Binding,
    waiting: VecDeque<End>,
}

impl Listeners {
    /// Takes an address, or a share in it; port 0 stands for a free one.
    pub(super) fn bind(
        &mut self,
        mut addr: SocketAddr,
        binding: Binding,
    ) -> io::Result<(SocketAddr, Door)> {
        if addr.port() == 0 {
            let mut ports = FIRST_FREE_PORT..=u16::MAX;
            let free = ports.find(|&port| {
                addr.set_port(port);
                !self.contains(addr)
            });
            free.ok_or(ErrorKind::AddrInUse)?;
        }
        let there = self.doors_at(addr);
        if !there.iter().all(|door| binding.shared && self.doors[door].binding.shared) {
            return Err(ErrorKind::AddrInUse.into());
        }
        let door = Door(self.count);
        self.count += 1;
        self.doors.insert(door, Listener { addr, binding, waiting: VecDeque::new() });
        self.at.entry(addr).or_default().push(door);
        Ok((addr, door))
    }

    /// Has nobody answer at an address.
    pub(super) fn silence(&mut self, addr: SocketAddr) {
        self.silent.insert(addr);
    }

    pub(super) fn is_silent(&self, addr: SocketAddr) -> bool {
        self.silent.contains(&addr)
    }

    pub(super) fn contains(&self, addr: SocketAddr) -> bool {
        self.at.contains_key(&addr)
    }

    /// The doors at an address, in the order in which they were bound.
    pub(super) fn doors_at(&self, addr: SocketAddr) -> &[Door] {
        self.at.get(&addr).map_or(&[], Vec::as_slice)
    }

    pub(super) fn id(&self, door: Door) -> Option<BevId> {
        self.doors.get(&door)?.binding.id
    }

    /// Lets an end wait at a door; `false` if the backlog is full.
    pub(super) fn queue(&mut self, door: Door, end: End) -> bool {
        let Some(listener) = self.doors.get_mut(&door) else { return false };
        let room = listener.waiting.len() < listener.binding.backlog;
        if room {
            listener.waiting.push_back(end);
        }
        room
    }

    /// Takes the end that has waited longest.
    pub(super) fn pop(&mut self, door: Door) -> io::Result<End> {
        let listener = self.doors.get_mut(&door).ok_or(ErrorKind::InvalidInput)?;
        listener.waiting.pop_front().ok_or_else(|| ErrorKind::WouldBlock.into())
    }

    /// Gives a door up, and the address with the last of them; returns who still waited.
    pub(super) fn remove(&mut self, door: Door) -> VecDeque<End> {
        let Some(listener) = self.doors.remove(&door) else { return VecDeque::new() };
        if let Some(doors) = self.at.get_mut(&listener.addr) {
            doors.retain(|&other| other != door);
            if doors.is_empty() {
                self.at.remove(&listener.addr);
            }
        }
        listener.waiting
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
        let alone = Binding { id: None, backlog: 1, shared: false };
        let (first, door) = listeners.bind(any, alone).expect("ports are free");
        assert_ne!(listeners.bind(any, alone).expect("ports are free").0, first);
        for shared in [false, true] {
            let taken = listeners.bind(first, Binding { shared, ..alone }).expect_err("taken");
            assert_eq!(taken.kind(), ErrorKind::AddrInUse);
        }
        assert!(listeners.queue(door, End(1)));
        assert!(!listeners.queue(door, End(3)), "the backlog is full");
        assert_eq!(listeners.pop(door).expect("one waits"), End(1));
        let empty = listeners.pop(door).expect_err("nobody waits");
        assert_eq!(empty.kind(), ErrorKind::WouldBlock);
    }

    #[test]
    fn an_address_is_shared_by_those_that_all_share_it() {
        let mut listeners = Listeners::default();
        let shared = Binding { id: None, backlog: 8, shared: true };
        let any = SocketAddr::from(([10, 0, 0, 1], 0));
        let (addr, first) = listeners.bind(any, shared).expect("ports are free");
        let (_, second) = listeners.bind(addr, shared).expect("it is shared");
        assert_eq!(listeners.doors_at(addr), [first, second]);
        assert!(listeners.queue(second, End(5)));
        listeners.bind(addr, Binding { shared: false, ..shared }).expect_err("taken");
        assert!(listeners.remove(first).is_empty() && listeners.contains(addr));
        assert_eq!(listeners.remove(second), [End(5)]);
        assert!(!listeners.contains(addr));
    }
}
