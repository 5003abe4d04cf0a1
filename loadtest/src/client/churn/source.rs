//! Where short connections come from: addresses and ports of our own choice.
//!
//! Owns the walk over them. A closed connection keeps its port for a minute (TIME_WAIT), and one
//! address has some 28,000 ports: by itself a client ends at 470 connections a second. So on the
//! loopback they come from several addresses, 127.0.0.2 and on, and ports are chosen here, one
//! after the other with SO_REUSEADDR: the kernel's own search grows long as ports fill up. With 64
//! addresses there are 1.8 million pairs.
//!
//! The walk begins where the time since boot points, on a circle that takes [`ROUND`] and so
//! longer than TIME_WAIT: a client that stays below `pairs / ROUND` a second, 28,000 with 64
//! addresses, never meets its own past nor that of the run before it.

use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use socket2::{Domain, Protocol, Socket, Type};

/// The pairs of address and port that one thread walks over.
#[derive(Debug)]
pub(super) struct Sources {
    addresses: u32,
    ports: RangeInclusive<u16>,
    /// The next pair, and how far the one after it is: threads take turns.
    next: u64,
    step: u64,
}

impl Sources {
    /// The walk of thread `index` of `threads`; none where the server is not on the loopback, so
    /// that the kernel chooses.
    pub(super) fn new(to: SocketAddr, addresses: u8, index: usize, threads: usize) -> Option<Self> {
        let IpAddr::V4(ip) = to.ip() else { return None };
        let ports = port_range();
        let since_boot = clock_gettime(ClockId::Monotonic);
        let since_boot = Duration::new(since_boot.tv_sec as u64, since_boot.tv_nsec as u32);
        ip.is_loopback().then(|| {
            let mut new =
                Self { addresses: addresses.into(), ports, next: 0, step: threads as u64 };
            let begin = new.begin(since_boot);
            new.next = begin - begin % new.step + index as u64;
            new
        })
    }

    /// Where the walk stands at a time.
    fn begin(&self, since_boot: Duration) -> u64 {
        let turn = since_boot.as_secs_f64() / ROUND.as_secs_f64();
        (turn.fract() * self.pairs() as f64) as u64
    }

    fn pairs(&self) -> u64 {
        u64::from(self.addresses) * self.ports.len() as u64
    }

    /// The next pair: all addresses with one port, then the next port.
    fn take(&mut self) -> SocketAddr {
        let pair = self.next % self.pairs();
        self.next += self.step;
        let (port, address) = (pair / u64::from(self.addresses), pair % u64::from(self.addresses));
        let address = Ipv4Addr::from_bits(FIRST.to_bits() + address as u32);
        // A port of the range, because `pair` is below their product.
        SocketAddr::from((address, self.ports.start() + port as u16))
    }
}

/// A socket that does not block and has its source, with the number of ports passed over because
/// somebody else has them.
pub(super) fn bind(to: SocketAddr, sources: Option<&mut Sources>) -> io::Result<(Socket, u64)> {
    let socket = Socket::new(Domain::for_address(to), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_nonblocking(true)?;
    socket.set_tcp_nodelay(true)?;
    let Some(sources) = sources else { return Ok((socket, 0)) };
    socket.set_reuse_address(true)?;
    let mut skipped = 0;
    loop {
        match socket.bind(&sources.take().into()) {
            Ok(()) => return Ok((socket, skipped)),
            Err(error) if error.kind() == ErrorKind::AddrInUse && skipped < MOST_SKIPPED => {
                skipped += 1;
            }
            Err(error) => return Err(error),
        }
    }
}

/// The ports the kernel gives to clients, or its default range.
fn port_range() -> RangeInclusive<u16> {
    let text = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range");
    text.ok().and_then(|text| parse_port_range(&text)).unwrap_or(32_768..=60_999)
}

/// Reads the first and the last port, with space between them.
pub(crate) fn parse_port_range(text: &str) -> Option<RangeInclusive<u16>> {
    let mut fields = text.split_whitespace().map(str::parse);
    let range = fields.next()?.ok()?..=fields.next()?.ok()?;
    (!range.is_empty() && *range.start() > 0).then_some(range)
}

const FIRST: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);
/// 127.0.0.2 to 127.0.0.254.
pub(crate) const MOST_SOURCES: u8 = 253;
/// How long the walk takes round the circle by the clock; TIME_WAIT is 60 s.
const ROUND: Duration = Duration::from_secs(64);
/// Ports in a row that may belong to others before a connection is given up.
const MOST_SKIPPED: u64 = 64;

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn sources(addresses: u32, next: u64, step: u64) -> Sources {
        Sources { addresses, ports: 100..=109, next, step }
    }

    #[test]
    fn every_pair_comes_once_before_any_comes_again() {
        let mut all = BTreeSet::new();
        let mut walks = [sources(3, 0, 2), sources(3, 1, 2)];
        for _ in 0..15 {
            for walk in &mut walks {
                assert!(all.insert(walk.take()), "{all:?}");
            }
        }
        assert_eq!(all.first(), Some(&"127.0.0.2:100".parse().unwrap()));
        assert_eq!(all.last(), Some(&"127.0.0.4:109".parse().unwrap()));
        assert_eq!(walks[0].take(), *all.first().unwrap());
    }

    #[test]
    fn a_later_run_begins_beyond_what_a_slower_one_used() {
        let walk = sources(4, 0, 1);
        let at = |seconds| walk.begin(Duration::from_secs(seconds));
        assert_eq!((at(0), at(32), at(64), at(80)), (0, 20, 0, 10));
    }

    #[test]
    fn only_the_loopback_has_sources_of_its_own() {
        let to = |text: &str| Sources::new(text.parse().unwrap(), 2, 0, 1);
        assert!(to("127.0.0.1:80").is_some());
        assert!(to("10.0.0.1:80").is_none());
        assert!(to("[::1]:80").is_none());
    }

    #[test]
    fn an_odd_range_of_ports_is_not_believed() {
        assert_eq!(parse_port_range("32768\t60999\n"), Some(32_768..=60_999));
        for odd in ["", "1", "9 8", "x y", "0 5", "1 70000"] {
            assert_eq!(parse_port_range(odd), None, "{odd:?}");
        }
    }
}
