//! A server that says nothing: one timeout, no CONNECTED.

use std::time::Duration;

use sluicegate::sim::Simulation;
use sluicegate::{TlsOptions, TlsState};

use crate::rig::ends::taking_sockets;
use crate::rig::tls::{Configs, VERSIONS};
use crate::{Board, On, Player, READ, Score, Then, WRITE, assert_freed};

const WITHIN: Duration = Duration::from_secs(2);

/// One end waits for a handshake that never begins at the other.
fn check_silent(then: Then) {
    for version in VERSIONS {
        let mut sim = Simulation::new(3);
        let board = Board::default();
        let (low, silent) = taking_sockets(&mut sim);
        for direction in [READ, WRITE] {
            silent.bev(&mut sim).disable(direction);
        }
        let player = Player { then, ..Player::new(&board, true) };
        let ssl = (Configs::new(version).objects().0, TlsState::Connecting);
        let id = On::Socket.secure(&mut sim, low.id, ssl, TlsOptions::new(), player);
        let mut bev = sim.core().get(id).expect("it is open");
        bev.output().add(b"1\n");
        for direction in [READ, WRITE] {
            bev.set_timeout(direction, Some(WITHIN));
        }
        drop(bev);
        let (just, least) = (Duration::from_millis(50), Duration::from_millis(1));
        sim.run_for(WITHIN - just);
        assert_eq!(*board.score(), Score::default(), "{version:?}: too early");
        sim.run_for(just + least + least);
        let due = Score { timeouts: 1, ..Score::default() };
        assert_eq!(*board.score(), due, "{version:?}");
        sim.run_for(WITHIN * 10);
        assert_eq!(*board.score(), due, "{version:?}: once");
        silent.bev(&mut sim).close_now();
        assert_freed(&mut sim);
    }
}

/// regress_ssl.c `bufferevent_socketpair_timeout`: a silent server is one timeout after 2 s.
///
/// The bound of the handshake itself, 10 s unless another is set, is not reached.
#[test]
fn bufferevent_socketpair_timeout() {
    check_silent(Then::Close);
}

/// regress_ssl.c `bufferevent_socketpair_timeout_freed_fd`: then the socket may be taken out.
///
/// Differs as `bufferevent_socketpair_fd` does.
#[test]
fn bufferevent_socketpair_timeout_freed_fd() {
    check_silent(Then::TakeSocket);
}
