//! Which address of a host is tried next, and when.
//!
//! Owns the addresses that are left, the failures, and the time of the next attempt. Never opens a
//! socket, never reads a clock: it is told what failed and asked what to do.
//!
//! Invariants: each address is tried once, and [`MAX_ADDRESSES`] at most; attempts start
//! [`STAGGER`] apart, or at once when one has failed.
//! Source: RFC 8305 (Happy Eyeballs 2), sections 4 and 5. Differs: the answer comes whole and in
//! the resolver's order, so nothing waits for a second one and nothing is sorted but by family.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use groups::Time;

/// Most addresses of a host that are tried; what a lookup brings beyond them is left alone.
pub(crate) const MAX_ADDRESSES: usize = 16;

/// How long an attempt has for itself before the next one starts.
pub(crate) const STAGGER: Duration = Duration::from_millis(250);

/// Attempts to connect to one of several addresses.
#[derive(Debug)]
pub(crate) struct Race {
    /// Those that have not been tried, the next one last.
    left: Vec<SocketAddr>,
    running: usize,
    next_at: Time,
    failures: Vec<(SocketAddr, io::Error)>,
}

/// What to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Move {
    /// Try this address, and ask again.
    Try(SocketAddr),
    /// Wait for an attempt to end, and ask again at this time if there is one.
    Wait(Option<Time>),
    /// Nothing is left: see [`Race::take_failures`].
    Lost,
}

impl Race {
    /// A race between the addresses of an answer, families taking turns, the first one's first.
    pub(crate) fn new(now: Time, answer: Vec<SocketAddr>) -> Self {
        let mut left: Vec<SocketAddr> = Vec::new();
        let starts_v6 = answer.first().is_some_and(SocketAddr::is_ipv6);
        let (first, second): (Vec<_>, Vec<_>) =
            answer.into_iter().partition(|addr| addr.is_ipv6() == starts_v6);
        let mut families = [first.into_iter(), second.into_iter()];
        let mut turn = 0;
        while left.len() < MAX_ADDRESSES {
            let next = families[turn].next().or_else(|| families[1 - turn].next());
            let Some(addr) = next else { break };
            if !left.contains(&addr) {
                left.push(addr);
                turn = 1 - turn;
            }
        }
        left.reverse();
        Self { left, running: 0, next_at: now, failures: Vec::new() }
    }

    /// An attempt has failed; the next one need not wait.
    pub(crate) fn handle_failure(&mut self, now: Time, addr: SocketAddr, error: io::Error) {
        self.running -= 1;
        self.failures.push((addr, error));
        self.next_at = now;
    }

    /// What to do next; an address it names is being tried from then on.
    pub(crate) fn poll_move(&mut self, now: Time) -> Move {
        if self.left.is_empty() {
            return if self.running == 0 { Move::Lost } else { Move::Wait(None) };
        }
        match self.left.pop_if(|_| self.next_at <= now) {
            Some(addr) => {
                self.running += 1;
                self.next_at = now + STAGGER;
                Move::Try(addr)
            }
            None => Move::Wait(Some(self.next_at)),
        }
    }

    /// Each address that was tried, with its failure, in the order in which they failed.
    pub(crate) fn take_failures(&mut self) -> Vec<(SocketAddr, io::Error)> {
        std::mem::take(&mut self.failures)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn v4(last: u8) -> SocketAddr {
        SocketAddr::from(([10, 0, 0, last], 80))
    }

    fn v6(last: u16) -> SocketAddr {
        SocketAddr::from(([0xfd00, 0, 0, 0, 0, 0, 0, last], 80))
    }

    fn ms(ms: u64) -> Time {
        Time::from_nanos(ms * 1_000_000)
    }

    fn refused() -> io::Error {
        io::ErrorKind::ConnectionRefused.into()
    }

    /// The addresses in the order in which they are tried.
    fn order(answer: Vec<SocketAddr>) -> Vec<SocketAddr> {
        let mut race = Race::new(ms(0), answer);
        let mut tried = Vec::new();
        loop {
            match race.poll_move(ms(0)) {
                Move::Try(addr) => {
                    tried.push(addr);
                    race.handle_failure(ms(0), addr, refused());
                }
                Move::Wait(_) => panic!("nothing runs"),
                Move::Lost => return tried,
            }
        }
    }

    #[test]
    fn families_take_turns_and_the_first_answer_begins() {
        assert_eq!(
            order(vec![v6(1), v6(2), v6(3), v4(1), v4(2)]),
            [v6(1), v4(1), v6(2), v4(2), v6(3)]
        );
        assert_eq!(order(vec![v4(1), v6(1), v6(2)]), [v4(1), v6(1), v6(2)]);
    }

    #[test]
    fn an_address_is_tried_once_and_only_so_many_are() {
        assert_eq!(order(vec![v4(1), v4(2), v4(1)]), [v4(1), v4(2)]);
        let many: Vec<_> = (0..100).map(v4).collect();
        assert_eq!(order(many.clone()), many[..MAX_ADDRESSES]);
        assert_eq!(order(Vec::new()), []);
    }

    #[test]
    fn the_next_attempt_waits_its_turn_or_for_a_failure() {
        let mut race = Race::new(ms(10), vec![v4(1), v4(2), v4(3)]);
        assert_eq!(race.poll_move(ms(10)), Move::Try(v4(1)));
        assert_eq!(race.poll_move(ms(10)), Move::Wait(Some(ms(260))));
        assert_eq!(race.poll_move(ms(259)), Move::Wait(Some(ms(260))));
        assert_eq!(race.poll_move(ms(260)), Move::Try(v4(2)));
        race.handle_failure(ms(300), v4(1), refused());
        assert_eq!(race.poll_move(ms(300)), Move::Try(v4(3)));
        assert_eq!(race.poll_move(ms(300)), Move::Wait(None), "two still run");
        race.handle_failure(ms(400), v4(3), refused());
        assert_eq!(race.poll_move(ms(400)), Move::Wait(None));
        race.handle_failure(ms(500), v4(2), io::ErrorKind::TimedOut.into());
        assert_eq!(race.poll_move(ms(500)), Move::Lost);
        let failures = race.take_failures();
        let failed: Vec<_> = failures.iter().map(|(addr, error)| (*addr, error.kind())).collect();
        let refused = io::ErrorKind::ConnectionRefused;
        assert_eq!(failed, [(v4(1), refused), (v4(3), refused), (v4(2), io::ErrorKind::TimedOut)]);
    }
}
