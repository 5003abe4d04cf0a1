//! Sockets of bufferevents, row by row: who closes them, how they come and go, and connecting.
//!
//! One test for a row that the seed has or presupposes, named for it, with the row in its comment;
//! in virtual time. What happens at the edges stands in `socket.rs` and `connect_host.rs`, what the
//! thread of lookups does in `resolver.rs`.

use std::cell::Cell;
use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;

use sluicegate::sim::Simulation;
use sluicegate::{ConnectHostError, Context, Event, EventFlags, Handler, SocketError};

use super::rig::ends::{End, Noting, settle};
use super::rig::sim::ms;
use super::{READ, WRITE};

/// Turns in which anything here must have settled.
const TURNS: usize = 5000;

fn addr(last: u8) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, last], 80))
}

/// `BEV_OPT_CLOSE_ON_FREE`: always, the slot owns the socket; `into_socket()` takes it out.
#[test]
fn bev_opt_close_on_free() {
    let mut sim = Simulation::new(1);
    let (socket, peer) = sim.socket(addr(9));
    let id = sim.core().adopt(socket, ()).expect("it is connected");
    let taken = sim.core().get(id).expect("it is open").into_socket().expect("it has one");
    settle(&mut sim, TURNS);
    assert!(sim.core().get(id).is_none() && !sim.is_eof(peer), "freed, and not closed");
    let id = sim.core().adopt(taken.socket, ()).expect("it still is");
    sim.core().get(id).expect("it is open").close();
    settle(&mut sim, TURNS);
    assert!(sim.is_eof(peer), "closed with its bufferevent");
}

/// `bufferevent_socket_new` with the descriptor -1, `bufferevent_setfd`, `bufferevent_replacefd`:
/// `Core::unconnected`, `Bev::set_socket`; `bufferevent_getfd` of one that has none is an error.
#[test]
fn bufferevent_setfd() {
    let mut sim = Simulation::new(2);
    let (handler, log) = Noting::new();
    let end = End { id: sim.core().unconnected(handler), log };
    end.write(&mut sim, b"one");
    let none = end.bev(&mut sim).into_socket().expect_err("it has none");
    assert!(matches!(none, SocketError::Unconnected));
    let [(first, one), (second, two)] = [1, 2].map(|last| sim.socket(addr(last)));
    end.bev(&mut sim).set_socket(first).expect("it is connected");
    settle(&mut sim, TURNS);
    assert_eq!(sim.read(one), b"one");
    end.bev(&mut sim).set_socket(second).expect("it is connected");
    end.write(&mut sim, b"two");
    settle(&mut sim, TURNS);
    assert_eq!((sim.read(two), sim.is_eof(one)), (b"two".to_vec(), true));
    assert!(end.log.borrow().events.is_empty(), "CONNECTED is for connects");
}

/// `bufferevent_socket_connect`: output may be queued before; success and failure are told later,
/// by one event, and CONNECTED comes by this call only.
#[test]
fn bufferevent_socket_connect() {
    let mut sim = Simulation::new(3);
    let (handler, log) = Noting::new();
    let end = End { id: sim.core().connect(addr(1), handler).expect("refused later"), log };
    end.write(&mut sim, b"queued");
    assert!(end.log.borrow().events.is_empty(), "not from within the call");
    settle(&mut sim, TURNS);
    assert_eq!(end.log.take().events, [EventFlags::ERROR]);
    for direction in [READ, WRITE] {
        assert!(!end.bev(&mut sim).is_enabled(direction), "it is over in both directions");
    }
    let listener = sim.listen(addr(2)).expect("it is free");
    end.bev(&mut sim).connect(listener).expect("it is simulated");
    settle(&mut sim, TURNS);
    assert_eq!(end.log.take().events, [EventFlags::CONNECTED]);
    let peer = sim.accept(listener).expect("it is connected");
    sim.run_for(ms(5));
    assert_eq!(sim.read(peer), b"queued");
}

/// `bufferevent_socket_connect_hostname`, `bufferevent_socket_get_dns_error`: both directions stand
/// still while the name is looked up; ports are 1 to 65535; all addresses are tried, where libevent
/// tries the first; the error of the event tells a failed lookup from a failed connection.
#[test]
fn bufferevent_socket_connect_hostname() {
    /// Says which kind of failure it was told of.
    struct Why(Rc<Cell<Option<bool>>>);
    impl Handler for Why {
        fn on_event(&mut self, _: &mut Context<'_>, event: Event) {
            let error = event.error.expect("it fails");
            let inner = error.get_ref().and_then(|inner| inner.downcast_ref());
            let inner: &ConnectHostError = inner.expect("it was a host");
            self.0.set(Some(matches!(inner, ConnectHostError::Lookup { .. })));
        }
    }
    let mut sim = Simulation::new(4);
    let ips: Vec<IpAddr> = [1, 2].map(|last| addr(last).ip()).to_vec();
    sim.set_host("seed.test", &ips, ms(20));
    let listener = sim.listen(addr(2)).expect("it is free");
    let (handler, log) = Noting::new();
    let id = sim.core().connect_host("seed.test", 80, handler).expect("it is a host");
    let end = End { id, log };
    end.write(&mut sim, b"queued");
    sim.run_for(ms(10));
    assert!(end.log.borrow().events.is_empty() && end.bev(&mut sim).is_enabled(WRITE));
    sim.run_for(ms(20));
    assert_eq!(end.log.take().events, [EventFlags::CONNECTED]);
    let peer = sim.accept(listener).expect("it is connected");
    assert_eq!(sim.read(peer), b"queued");

    assert!(sim.core().connect_host("seed.test", 0, ()).is_err(), "port 0");
    for (host, lookup) in [("unknown.test", true), ("10.0.0.3", false)] {
        let told = Rc::default();
        let why = Why(Rc::clone(&told));
        sim.core().connect_host(host, 80, why).expect("it fails later");
        sim.run_for(ms(5));
        assert_eq!(told.get(), Some(lookup), "{host}");
    }
    let (handler, log) = Noting::new();
    sim.core().connect_host("unknown.test", 80, handler).expect("it fails later");
    sim.run_for(ms(5));
    assert_eq!(log.borrow().errors, [ErrorKind::NotFound]);
}
