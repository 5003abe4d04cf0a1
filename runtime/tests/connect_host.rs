//! Connecting by name, in virtual time: which address wins, what is told, and that nothing stays
//! behind, whenever it ends.
//!
//! What the resolver's thread does is in `resolver.rs`; which address comes when is a state machine
//! with unit tests of its own.

mod rig;

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;

use rig::ends::{End, Log, Noting, settle};
use rig::pattern;
use rig::sim::{LIMIT, ms};
use sluicegate::sim::{Faults, Peer, Simulation};
use sluicegate::{
    ConnectHostError, Context, Direction, Error, Event, EventFlags, Filter, FilterOptions, Handler,
    HostError, Shutdown,
};

const WRITE: Direction = Direction::Write;
const PORT: u16 = 443;
const HOST: &str = "web.test";

/// How long a lookup takes here.
const LOOKUP: Duration = Duration::from_millis(40);

/// How long an attempt has before the next one starts.
const STAGGER: Duration = Duration::from_millis(250);

/// Turns in which anything here must have settled.
const TURNS: usize = 5000;

fn v4(last: u8) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, last], PORT))
}

fn v6(last: u16) -> SocketAddr {
    SocketAddr::from(([0xfd00, 0, 0, 0, 0, 0, 0, last], PORT))
}

/// A simulation that finds these addresses for [`HOST`].
fn world(seed: u64, addresses: &[SocketAddr]) -> Simulation {
    let mut sim = Simulation::new(seed);
    let ips: Vec<IpAddr> = addresses.iter().map(SocketAddr::ip).collect();
    sim.set_host(HOST, &ips, LOOKUP);
    sim
}

fn connect(sim: &mut Simulation, host: &str) -> End {
    let (handler, log) = Noting::new();
    End { id: sim.core().connect_host(host, PORT, handler).expect("it is a host"), log }
}

/// Runs until the handler is told something; returns how long that took.
fn until_told(sim: &mut Simulation, log: &Log) -> Duration {
    let since = sim.now();
    assert!(sim.run_until(LIMIT, |_| !log.borrow().events.is_empty()), "nothing is told");
    sim.now().saturating_since(since)
}

/// Asserts that nothing runs and nothing is left but `connections`.
fn assert_rest(sim: &mut Simulation, connections: u64, context: &str) {
    sim.run_for(LOOKUP + ms(2));
    let attempts = sim.core().stats().attempts;
    let held = sim.held();
    assert_eq!((held.slots as u64, attempts, held.timers), (connections, 0, 0), "{context}");
}

fn arrived(sim: &mut Simulation, peer: Peer) -> Vec<u8> {
    sim.run_for(ms(5));
    sim.read(peer)
}

/// Keeps the error of its event.
struct Failing(Rc<RefCell<Vec<io::Error>>>);

impl Handler for Failing {
    fn on_event(&mut self, _: &mut Context<'_>, event: Event) {
        assert_eq!(event.flags, EventFlags::ERROR);
        self.0.borrow_mut().extend(event.error);
    }
}

/// The one error of an attempt to reach a host.
fn failure(sim: &mut Simulation, host: &str) -> io::Error {
    let errors: Rc<RefCell<Vec<io::Error>>> = Rc::default();
    let id = sim.core().connect_host(host, PORT, Failing(errors.clone())).expect("it is a host");
    assert!(sim.run_until(LIMIT, |_| !errors.borrow().is_empty()), "nothing is told");
    assert_rest(sim, 1, "the bufferevent stays until it is closed");
    sim.core().get(id).expect("nobody closed it").close_now();
    assert_rest(sim, 0, "closed");
    let mut errors = errors.take();
    assert_eq!(errors.len(), 1);
    errors.remove(0)
}

fn typed(error: &io::Error) -> &ConnectHostError {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref());
    inner.expect("it was a host")
}

struct Identity;
impl Filter for Identity {}

// ---- who wins ----

#[test]
fn a_name_is_looked_up_and_connected_and_then_told_once() {
    let mut sim = world(1, &[v6(1), v4(1)]);
    let listener = sim.listen(v6(1)).expect("it is free");
    let end = connect(&mut sim, HOST);
    end.write(&mut sim, b"early");
    assert_eq!(end.bev(&mut sim).peer_addr(), None, "not known yet");
    assert!(until_told(&mut sim, &end.log) >= LOOKUP);
    assert_eq!(end.bev(&mut sim).peer_addr(), Some(v6(1)));
    let peer = sim.accept(listener).expect("it is connected");
    assert_eq!(arrived(&mut sim, peer), b"early");
    sim.write(peer, b"back");
    settle(&mut sim, TURNS);
    let heard = end.log.take();
    assert_eq!((heard.events, heard.got), (vec![EventFlags::CONNECTED], b"back".to_vec()));
    assert_rest(&mut sim, 1, "connected");
}

#[test]
fn after_a_refusal_the_next_address_is_tried_at_once() {
    let mut sim = world(2, &[v4(1), v4(2), v4(3)]);
    sim.listen(v4(3)).expect("it is free");
    let end = connect(&mut sim, HOST);
    assert!(until_told(&mut sim, &end.log) < LOOKUP + ms(5));
    assert_eq!(end.bev(&mut sim).peer_addr(), Some(v4(3)));
    assert_eq!(end.log.borrow().events, [EventFlags::CONNECTED]);
}

#[test]
fn an_address_that_does_not_answer_costs_a_quarter_of_a_second() {
    let mut sim = world(3, &[v6(1), v6(2), v4(1)]);
    sim.silence(v6(1));
    // Both others would answer: the other family is tried first.
    sim.listen(v6(2)).expect("it is free");
    sim.listen(v4(1)).expect("it is free");
    let end = connect(&mut sim, HOST);
    let took = until_told(&mut sim, &end.log);
    assert_eq!(end.bev(&mut sim).peer_addr(), Some(v4(1)));
    assert!((LOOKUP + STAGGER..LOOKUP + STAGGER + ms(5)).contains(&took), "{took:?}");
    assert_rest(&mut sim, 1, "the silent attempt is given up");
}

#[test]
fn of_two_that_connect_the_second_is_closed() {
    let mut sim = world(4, &[v4(1), v4(2)]);
    let listeners = [v4(1), v4(2)].map(|addr| sim.listen(addr).expect("it is free"));
    // Longer than the second has to wait, and shorter than both ways.
    sim.set_faults(Faults { delay: ms(200)..ms(200), ..Faults::none() });
    let end = connect(&mut sim, HOST);
    until_told(&mut sim, &end.log);
    assert_eq!(end.bev(&mut sim).peer_addr(), Some(v4(1)));
    sim.run_for(ms(1000));
    let [kept, closed] = listeners.map(|addr| sim.accept(addr).expect("both are reached"));
    assert!(sim.is_eof(closed) || sim.is_reset(closed));
    assert!(!sim.is_eof(kept) && !sim.is_reset(kept));
    assert_eq!(end.log.borrow().events, [EventFlags::CONNECTED]);
    assert_rest(&mut sim, 1, "connected");
}

#[test]
fn an_address_needs_no_lookup() {
    let mut sim = world(5, &[]);
    for addr in [v4(1), v6(1)] {
        sim.listen(addr).expect("it is free");
        let end = connect(&mut sim, &addr.ip().to_string());
        assert!(until_told(&mut sim, &end.log) < ms(5));
        assert_eq!(end.bev(&mut sim).peer_addr(), Some(addr));
    }
    let error = failure(&mut world(6, &[]), "10.9.9.9");
    assert!(typed(&error).to_string().contains("10.9.9.9:443"), "{error}");
}

#[test]
fn no_more_than_sixteen_addresses_are_tried() {
    let many: Vec<_> = (1..=40).map(v4).collect();
    let mut sim = world(6, &many);
    many.iter().for_each(|&addr| sim.silence(addr));
    let end = connect(&mut sim, HOST);
    sim.run_for(STAGGER * 50);
    assert_eq!(sim.core().stats().attempts, 16);
    assert!(end.log.borrow().events.is_empty(), "they may still answer");
    end.bev(&mut sim).close_now();
    assert_rest(&mut sim, 0, "closed");
}

// ---- what is told when nobody does ----

#[test]
fn a_failure_names_the_host_and_what_was_tried() {
    let mut sim = world(7, &[v4(1), v6(1)]);
    let error = failure(&mut sim, HOST);
    assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
    let ConnectHostError::Connect { host, port, attempts, .. } = typed(&error) else {
        panic!("{error}")
    };
    assert_eq!((host.as_str(), *port), (HOST, PORT));
    let tried: Vec<_> = attempts.iter().map(|(addr, error)| (*addr, error.kind())).collect();
    let refused = io::ErrorKind::ConnectionRefused;
    assert_eq!(tried, [(v4(1), refused), (v6(1), refused)]);
}

#[test]
fn a_last_address_without_a_route_leaves_no_timer() {
    let unreachable = SocketAddr::from((Ipv4Addr::BROADCAST, PORT));
    let mut sim = world(20, &[v4(1), unreachable]);
    let error = failure(&mut sim, HOST);
    let ConnectHostError::Connect { attempts, .. } = typed(&error) else { panic!("{error}") };
    let kinds: Vec<_> = attempts.iter().map(|(_, error)| error.kind()).collect();
    assert_eq!(kinds, [io::ErrorKind::ConnectionRefused, io::ErrorKind::NetworkUnreachable]);
    assert_eq!(sim.held().timers, 0);

    let mut sim = world(21, &[unreachable, v4(1)]);
    sim.listen(v4(1)).expect("it is free");
    let end = connect(&mut sim, HOST);
    assert!(until_told(&mut sim, &end.log) < LOOKUP + STAGGER, "the next is tried at once");
    assert_eq!(end.log.borrow().events, [EventFlags::CONNECTED]);
    assert_rest(&mut sim, 1, "a listener of a peer is none of the core's");
}

#[test]
fn a_name_that_is_not_found_is_named() {
    let mut sim = world(8, &[]);
    for (host, why) in [("nowhere.test", "no such host"), (HOST, "no address")] {
        let error = failure(&mut sim, host);
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
        assert!(matches!(typed(&error), ConnectHostError::Lookup { .. }), "{error}");
        let message = error.to_string();
        assert!(message.contains(host) && message.contains(why), "{message}");
    }
}

#[test]
fn what_cannot_be_a_host_is_refused_at_once_and_leaves_nothing() {
    let mut sim = world(9, &[]);
    let long = "x".repeat(254);
    for (host, port) in [("", PORT), (&long, PORT), (HOST, 0)] {
        let (handler, log) = Noting::new();
        let refused = sim.core().connect_host(host, port, handler);
        let Err(Error::Host(error)) = refused else { panic!("{refused:?}") };
        assert!(!matches!(error, HostError::Busy { .. } | HostError::Thread { .. }), "{error}");
        assert_rest(&mut sim, 0, host);
        assert!(log.borrow().events.is_empty());
    }
    let end = connect(&mut sim, HOST);
    assert!(end.bev(&mut sim).connect_host("", PORT).is_err());
    until_told(&mut sim, &end.log);
    assert_eq!(end.log.borrow().errors, [io::ErrorKind::NotFound], "the first one goes on");
}

#[test]
fn after_a_failure_another_host_may_have_the_output() {
    let mut sim = world(10, &[v4(1)]);
    let end = connect(&mut sim, "nowhere.test");
    end.write(&mut sim, b"for whoever answers");
    until_told(&mut sim, &end.log);
    assert_eq!(end.log.take().events, [EventFlags::ERROR]);
    let listener = sim.listen(v4(1)).expect("it is free");
    end.bev(&mut sim).connect_host(HOST, PORT).expect("it is a host");
    until_told(&mut sim, &end.log);
    assert_eq!(end.log.take().events, [EventFlags::CONNECTED]);
    let peer = sim.accept(listener).expect("it is connected");
    assert_eq!(arrived(&mut sim, peer), b"for whoever answers");
}

// ---- it ends meanwhile ----

/// A host whose first address is silent and whose second takes its time, so that there is always
/// something to cancel.
fn slow(seed: u64) -> (Simulation, SocketAddr) {
    let mut sim = world(seed, &[v4(1), v4(2)]);
    sim.silence(v4(1));
    let listener = sim.listen(v4(2)).expect("it is free");
    sim.set_faults(Faults { delay: ms(60)..ms(60), stale_events: 1.0, ..Faults::none() });
    (sim, listener)
}

#[test]
fn a_close_at_any_time_leaves_nothing_and_tells_nothing() {
    for at in (0..400).step_by(10) {
        let (mut sim, listener) = slow(11);
        let end = connect(&mut sim, HOST);
        sim.run_for(ms(at));
        let connected = !end.log.borrow().events.is_empty();
        end.bev(&mut sim).close();
        assert_rest(&mut sim, 0, &format!("closed after {at} ms"));
        sim.run_for(ms(1000));
        let told = end.log.borrow().events.len();
        assert_eq!(told, usize::from(connected), "closed after {at} ms");
        let reached = sim.accept(listener);
        assert!(reached.is_none_or(|peer| sim.is_eof(peer) || sim.is_reset(peer)));
    }
}

#[test]
fn a_socket_given_meanwhile_ends_the_attempt() {
    for at in (0..400).step_by(10) {
        let (mut sim, _) = slow(12);
        let end = connect(&mut sim, HOST);
        sim.run_for(ms(at));
        end.log.take();
        let (socket, peer) = sim.socket(v4(9));
        end.bev(&mut sim).set_socket(socket).expect("it is open");
        end.write(&mut sim, b"here");
        assert_rest(&mut sim, 1, &format!("after {at} ms"));
        sim.run_for(ms(1000));
        assert_eq!(sim.read(peer), b"here");
        assert_eq!(end.bev(&mut sim).peer_addr(), Some(v4(9)));
        assert!(end.log.borrow().events.is_empty(), "after {at} ms");
    }
}

#[test]
fn another_host_takes_the_place_of_what_there_was() {
    for at in (0..400).step_by(10) {
        let (mut sim, _) = slow(20);
        sim.set_host("other.test", &[v4(3).ip()], LOOKUP);
        let listener = sim.listen(v4(3)).expect("it is free");
        let end = connect(&mut sim, HOST);
        sim.run_for(ms(at));
        end.log.take();
        end.bev(&mut sim).connect_host("other.test", PORT).expect("it is a host");
        until_told(&mut sim, &end.log);
        assert_eq!(end.bev(&mut sim).peer_addr(), Some(v4(3)), "after {at} ms");
        assert_rest(&mut sim, 1, &format!("after {at} ms"));
        sim.run_for(ms(1000));
        assert_eq!(end.log.borrow().events, [EventFlags::CONNECTED], "after {at} ms");
        let peer = sim.accept(listener).expect("it is connected");
        assert!(!sim.is_eof(peer) && !sim.is_reset(peer), "after {at} ms");
    }
}

#[test]
fn a_socket_that_a_host_replaces_is_closed_and_its_news_are_not_those_of_the_host() {
    let (mut sim, _) = slow(21);
    let (handler, log) = Noting::new();
    let (socket, old) = sim.socket(v4(9));
    let end = End { id: sim.core().adopt(socket, handler).expect("it is connected"), log };
    // The driver tells of the old socket under the same name.
    end.bev(&mut sim).connect_host(HOST, PORT).expect("it is a host");
    until_told(&mut sim, &end.log);
    assert_eq!(end.log.borrow().events, [EventFlags::CONNECTED]);
    assert!(sim.is_eof(old));
}

#[test]
fn an_answer_for_a_lookup_before_is_not_taken_for_that_of_the_next() {
    let mut sim = world(13, &[v4(1)]);
    sim.set_host("later.test", &[v4(2).ip()], LOOKUP * 3);
    for addr in [v4(1), v4(2)] {
        sim.listen(addr).expect("it is free");
    }
    let end = connect(&mut sim, HOST);
    end.bev(&mut sim).connect_host("later.test", PORT).expect("it is a host");
    until_told(&mut sim, &end.log);
    assert_eq!(end.bev(&mut sim).peer_addr(), Some(v4(2)));
}

#[test]
fn the_write_timeout_bounds_lookup_and_attempts_together() {
    let (mut sim, _) = slow(14);
    let end = connect(&mut sim, HOST);
    end.bev(&mut sim).set_timeout(WRITE, Some(ms(300)));
    let took = until_told(&mut sim, &end.log);
    assert_eq!(end.log.take().events, [EventFlags::WRITING | EventFlags::TIMEOUT]);
    assert!((ms(300)..ms(302)).contains(&took), "{took:?}");
    end.bev(&mut sim).close_now();
    assert_rest(&mut sim, 0, "closed");
    // The usual handler closes by itself.
    let id = sim.core().connect_host(HOST, PORT, ()).expect("it is a host");
    sim.core().get(id).expect("it is open").set_timeout(WRITE, Some(ms(20)));
    sim.run_for(ms(25));
    assert_rest(&mut sim, 0, "timed out");
}

#[test]
fn a_close_with_output_waits_for_the_connection_and_writes_it() {
    let (mut sim, listener) = slow(15);
    let end = connect(&mut sim, HOST);
    end.write(&mut sim, b"last words");
    end.bev(&mut sim).close();
    sim.run_for(ms(600));
    let peer = sim.accept(listener).expect("it was connected");
    assert_eq!(sim.read(peer), b"last words");
    assert!(sim.is_eof(peer));
    assert_rest(&mut sim, 0, "closed");
    // Where nobody answers, the linger ends it.
    let mut sim = world(16, &[v4(1)]);
    sim.silence(v4(1));
    let end = connect(&mut sim, HOST);
    end.write(&mut sim, b"for nobody");
    end.bev(&mut sim).close_within(ms(700));
    sim.run_for(ms(690));
    assert_eq!(sim.core().stats().attempts, 1);
    sim.run_for(ms(20));
    assert_rest(&mut sim, 0, "lingered");
}

#[test]
fn a_half_close_waits_for_the_connection_too() {
    for output in [&b"last words"[..], b""] {
        let (mut sim, listener) = slow(22);
        let end = connect(&mut sim, HOST);
        end.write(&mut sim, output);
        end.bev(&mut sim).shutdown_write();
        sim.run_for(ms(700));
        let peer = sim.accept(listener).expect("it was connected");
        assert_eq!(sim.read(peer), output);
        assert!(sim.is_eof(peer));
        sim.write(peer, b"heard");
        sim.run_for(ms(100));
        let heard = end.log.take();
        assert_eq!((heard.events, heard.got), (vec![EventFlags::CONNECTED], b"heard".to_vec()));
        // Ended with nothing to end it for.
        let end = connect(&mut sim, HOST);
        end.bev(&mut sim).shutdown_write();
        end.bev(&mut sim).close();
        assert_rest(&mut sim, 1, "closed");
    }
}

#[test]
fn a_drain_waits_for_what_is_to_be_written_and_not_for_a_lookup() {
    for (output, at) in [(true, 10), (true, 200), (false, 10), (false, 200)] {
        let (mut sim, listener) = slow(17);
        let id = sim.core().connect_host(HOST, PORT, ()).expect("it is a host");
        if output {
            sim.core().get(id).expect("it is open").output().add(b"last words");
        }
        sim.run_for(ms(at));
        sim.core().handle().shutdown(Shutdown::Drain);
        sim.run_for(ms(1));
        assert_eq!(sim.is_stopped(), !output, "output {output}, after {at} ms");
        sim.run_for(ms(1000));
        assert!(sim.is_stopped());
        let peer = sim.accept(listener);
        let got = peer.map_or(Vec::new(), |peer| sim.read(peer));
        assert_eq!(got == b"last words", output, "after {at} ms");
        let late = sim.core().connect_host(HOST, PORT, ());
        assert!(matches!(late, Err(Error::Stopped(_))), "{late:?}");
    }
}

#[test]
fn a_core_that_is_cut_ends_with_all_attempts() {
    for at in [0, 10, 200, 320] {
        let (mut sim, _) = slow(18);
        connect(&mut sim, HOST);
        sim.run_for(ms(at));
        sim.core().handle().shutdown(Shutdown::Now);
        sim.turn();
        assert!(sim.is_stopped(), "after {at} ms");
        let stats = sim.core().stats();
        assert_eq!((stats.connections, stats.attempts), (0, 0), "after {at} ms");
    }
}

#[test]
fn a_stack_connects_by_name_too() {
    let mut sim = world(19, &[v4(1)]);
    let listener = sim.listen(v4(1)).expect("it is free");
    let (handler, log) = Noting::new();
    let id = sim.core().unconnected(handler);
    let top = sim.core().filter(id, Identity, FilterOptions::new()).expect("it is open");
    let top = End { id: top, log };
    top.write(&mut sim, b"through");
    top.bev(&mut sim).connect_host(HOST, PORT).expect("it is a host");
    assert!(top.bev(&mut sim).is_connecting());
    until_told(&mut sim, &top.log);
    assert!(!top.bev(&mut sim).is_connecting());
    assert_eq!(top.log.borrow().events, [EventFlags::CONNECTED]);
    let peer = sim.accept(listener).expect("it is connected");
    assert_eq!(arrived(&mut sim, peer), b"through");
}

/// Any mix of addresses that answer, refuse and are silent, under every fault but resets.
#[test]
fn under_any_schedule_one_connection_is_made_if_one_can_be() {
    for seed in 0..600_u64 {
        let faults = Faults { reset: 0.0, delay: ms(0)..ms(400), ..Faults::harsh() };
        let mut sim = Simulation::with_faults(seed, faults);
        let count = 1 + (seed % 7) as u8;
        let addresses: Vec<_> =
            (0..count).map(|i| if seed >> i & 1 == 0 { v4(i) } else { v6(i.into()) }).collect();
        let mut listening = BTreeSet::new();
        for (place, &addr) in addresses.iter().enumerate() {
            match (seed / 7 + place as u64 * 5) % 4 {
                0 => _ = listening.insert(sim.listen(addr).expect("it is free")),
                1 => sim.silence(addr),
                _ => {}
            }
        }
        let ips: Vec<IpAddr> = addresses.iter().map(SocketAddr::ip).collect();
        sim.set_host(HOST, &ips, ms(seed % 90));
        let end = connect(&mut sim, HOST);
        end.write(&mut sim, &pattern(3000));
        sim.run_for(Duration::from_secs(30));
        let heard = end.log.take();
        let silent = listening.is_empty() && sim.core().stats().attempts > 0;
        let told = match (listening.is_empty(), silent) {
            (false, _) => vec![EventFlags::CONNECTED],
            (true, false) => vec![EventFlags::ERROR],
            (true, true) => vec![],
        };
        assert_eq!(heard.events, told, "seed {seed}");
        let winner = end.bev(&mut sim).peer_addr();
        assert_eq!(winner.is_some(), !listening.is_empty(), "seed {seed}");
        let mut served = 0;
        for &addr in &listening {
            while let Some(peer) = sim.accept(addr) {
                let mut got = Vec::new();
                sim.run_until(LIMIT, |sim| {
                    got.extend(sim.read(peer));
                    got.len() == 3000 || sim.is_eof(peer) || sim.is_reset(peer)
                });
                if got.is_empty() {
                    continue;
                }
                served += 1;
                assert!(got == pattern(3000) && winner == Some(addr), "seed {seed}");
            }
        }
        assert_eq!(served, usize::from(winner.is_some()), "seed {seed}");
        end.bev(&mut sim).close();
        sim.run_for(Duration::from_secs(60));
        let held = sim.held();
        assert_eq!((held.slots, held.timers), (0, 0), "seed {seed}");
    }
}
