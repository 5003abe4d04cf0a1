//! Accepting on real sockets: every mode over each family of addresses, what each core gets, and a
//! drain or the death of a core in the middle of it.

mod rig;

use std::net::{Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::thread;

use rig::{BOUND, Echo, Server, connect, eventually, read_to_end, round_trip};
use sluicegate::{
    AcceptMode, BevMut, CoreStats, Dispatch, Error, ListenError, ListenOptions, MeteredOperation,
    Observer, Rate, Runtime, Shutdown, TokenBucketConfig,
};

const FAMILIES: [&str; 2] = ["127.0.0.1:0", "[::1]:0"];

fn single(by: Dispatch) -> AcceptMode {
    AcceptMode::Single { acceptor: 1, by }
}

fn accept(mode: AcceptMode) -> ListenOptions {
    ListenOptions::new().accept(mode)
}

fn built(cores: usize) -> Runtime {
    Runtime::builder().cores(cores).build().expect("cores can be built")
}

fn listening(addr: &str, options: ListenOptions) -> Server {
    let mut runtime = built(2);
    let listener = runtime.listen_with(addr, options, |_| Echo).expect("a port is free");
    Server::run(listener.local_addr(), runtime)
}

/// Serves `count` clients one after another; returns the cores' figures while all live.
fn served(server: &Server, count: usize) -> (Vec<TcpStream>, Vec<CoreStats>) {
    let one = |_| {
        let mut client = connect(server.addr);
        round_trip(&mut client, b"whose core is this");
        client
    };
    let clients = (0..count).map(one).collect();
    eventually("the figures are out", || server.sum(|core| core.connections) == count as u64);
    (clients, server.handle.stats())
}

fn live(stats: &[CoreStats]) -> [u64; 2] {
    [stats[0].connections, stats[1].connections]
}

/// Checks a mode over both families, and what is true of any; returns what lives where.
fn check(mode: AcceptMode) -> [[u64; 2]; 2] {
    FAMILIES.map(|family| {
        let server = listening(family, accept(mode));
        assert_eq!(server.addr.is_ipv6(), family.starts_with('['));
        let (clients, stats) = served(&server, 40);
        for core in &stats {
            assert_eq!(core.accepted, core.accepts_kept + core.accepts_handed_over, "{mode}");
            assert_eq!(core.connections, core.accepts_kept + core.accepts_received, "{mode}");
        }
        drop(clients);
        server.wait_until_empty();
        server.assert_echoes();
        live(&stats)
    })
}

#[test]
fn balanced_cores_differ_by_the_slack_at_most() {
    for [a, b] in check(AcceptMode::Balanced { slack: Some(0) }) {
        assert_eq!((a, b), (20, 20), "each came after the last was counted");
    }
    for [a, b] in check(AcceptMode::default()) {
        assert!(a.abs_diff(b) <= 2, "{a} and {b}");
    }
}

#[test]
fn plain_reuseport_hands_nothing_over() {
    let server = listening(FAMILIES[0], accept(AcceptMode::ReusePort));
    let (_clients, stats) = served(&server, 40);
    assert_eq!(stats.iter().map(|core| core.accepts_handed_over).sum::<u64>(), 0);
    assert_eq!(live(&stats).iter().sum::<u64>(), 40);
    check(AcceptMode::ReusePort);
}

#[test]
fn a_single_acceptor_dispatches_to_the_least_loaded_or_in_turn() {
    for by in [Dispatch::LeastLoaded, Dispatch::RoundRobin] {
        assert_eq!(check(single(by)), [[20, 20]; 2], "{by}");
    }
}

#[test]
fn a_single_acceptor_has_the_connections_of_a_client_meet() {
    for live in check(single(Dispatch::HashPeer)) {
        assert!(live == [40, 0] || live == [0, 40], "{live:?}");
    }
}

#[test]
fn a_fixed_core_has_them_all() {
    assert_eq!(check(AcceptMode::Fixed(1)), [[0, 40]; 2]);
    let server = listening(FAMILIES[0], accept(AcceptMode::Fixed(1)));
    let (_clients, stats) = served(&server, 3);
    assert_eq!(stats[0].accepts, 0, "the other core has no socket");
}

#[test]
fn connections_that_all_come_at_once_are_spread_and_served() {
    const CLIENTS: usize = 200;
    for mode in [AcceptMode::default(), single(Dispatch::LeastLoaded)] {
        let server = listening(FAMILIES[0], accept(mode).accept_batch(16));
        let addr = server.addr;
        let clients: Vec<_> = (0..4)
            .map(|_| {
                thread::spawn(move || -> Vec<_> {
                    (0..CLIENTS / 4).map(|_| connect(addr)).collect()
                })
            })
            .collect();
        let clients = clients.into_iter().flat_map(|some| some.join().expect("they connect"));
        let mut clients: Vec<_> = clients.collect();
        clients.iter_mut().for_each(|client| round_trip(client, b"one of many"));
        eventually("the figures are out", || server.sum(|core| core.connections) == CLIENTS as u64);
        let [a, b] = live(&server.handle.stats());
        // Both cores choose at once, by what they see of each other.
        assert!(a.abs_diff(b) <= CLIENTS as u64 / 10, "{mode}: {a} and {b}");
    }
}

#[test]
fn an_ipv6_listener_takes_ipv4_as_well_or_not_as_asked() {
    let at = |options: ListenOptions| {
        let server = listening("[::]:0", options);
        let addr = |ip| SocketAddr::new(ip, server.addr.port());
        round_trip(&mut connect(addr(Ipv6Addr::LOCALHOST.into())), b"over IPv6");
        let v4 = TcpStream::connect_timeout(&addr([127, 0, 0, 1].into()), BOUND);
        if let Ok(client) = &v4 {
            client.set_read_timeout(Some(BOUND)).expect("not zero");
            round_trip(&mut client.try_clone().expect("it can be"), b"over IPv4");
        }
        v4.is_ok()
    };
    assert!(at(ListenOptions::new().only_v6(false)));
    assert!(!at(ListenOptions::new().only_v6(true)));
    // Said of an IPv4 address it means nothing.
    listening(FAMILIES[0], ListenOptions::new().only_v6(true)).assert_echoes();
}

#[test]
fn a_listener_is_disabled_enabled_and_closed_from_another_thread() {
    let mut runtime = built(2);
    let options = ListenOptions::new().disabled();
    let listener = runtime.listen_with(FAMILIES[0], options, |_| Echo).expect("a port is free");
    let server = Server::run(listener.local_addr(), runtime);
    let mut waits = connect(server.addr);
    assert_eq!(server.sum(|core| core.accepted), 0);
    listener.enable();
    round_trip(&mut waits, b"accepted now");
    listener.disable();
    let mut later = connect(server.addr);
    // Both cores have had a turn since it was disabled, and did not accept.
    server.on_core(0, |_| ());
    server.on_core(1, |_| ());
    assert_eq!(server.sum(|core| core.accepted), 1);
    listener.enable();
    round_trip(&mut later, b"and now");
    listener.close();
    eventually("nobody listens", || TcpStream::connect(server.addr).is_err());
    round_trip(&mut later, b"lives on");
}

#[test]
fn whoever_comes_while_a_drain_begins_is_served_or_reported() {
    for mode in [AcceptMode::default(), single(Dispatch::RoundRobin)] {
        let server = listening(FAMILIES[0], accept(mode));
        let addr = server.addr;
        let client = move || {
            // Connects until nobody listens any more; each is served, or ends.
            let mut ended = 0;
            while let Ok(client) = TcpStream::connect_timeout(&addr, BOUND) {
                client.set_read_timeout(Some(BOUND)).expect("not zero");
                let mut client = client;
                if std::io::Write::write_all(&mut client, b"hello").is_ok() {
                    let mut got = [0; 5];
                    // Reset, if the kernel had connected it and nobody accepted it in time.
                    ended += usize::from(std::io::Read::read(&mut client, &mut got).is_ok());
                }
            }
            ended
        };
        let clients: Vec<_> = (0..4).map(|_| thread::spawn(client)).collect();
        // Of those that are accepted one of each client may not have been served.
        eventually("some are served", || server.sum(|core| core.accepted) > 50 + 4);
        server.handle.shutdown(Shutdown::Drain);
        let ended: usize = clients.into_iter().map(|all| all.join().expect("no hang")).sum();
        assert!(ended > 50);
        let report = server.join();
        let (given, got) = report.cores.iter().fold((0, 0), |(given, got), core| {
            (given + core.accepts_handed_over, got + core.accepts_received)
        });
        assert_eq!(given, got, "{mode}: all arrived");
        assert!(report.cores.iter().all(|core| core.connections == 0), "{mode}");
    }
}

#[test]
fn idle_connections_that_were_handed_over_are_drained_where_they_live() {
    let server = listening(FAMILIES[0], accept(single(Dispatch::RoundRobin)));
    let (mut clients, _) = served(&server, 10);
    server.handle.shutdown(Shutdown::Drain);
    clients.iter_mut().for_each(|client| assert!(read_to_end(client).is_empty()));
    let report = server.join();
    assert_eq!([report.cores[0].drained, report.cores[1].drained], [5, 5]);
}

/// Ends its core by a panic as soon as anything is metered.
struct Fatal;

impl Observer for Fatal {
    fn metered(&mut self, _: &MeteredOperation) {
        panic!("a defect");
    }
}

#[test]
fn when_a_core_has_died_the_others_keep_what_comes() {
    let builder = Runtime::builder().cores(2).observer(|_| Box::new(Fatal));
    let mut runtime = builder.build().expect("cores can be built");
    let limit = TokenBucketConfig::per_second(Rate::bytes_per_second(1 << 20).expect("valid"));
    let factory = move |conn: &mut BevMut<'_>| {
        // Only those of core 0 are metered, and the first of them is its end.
        if conn.id().core() == 0 {
            conn.set_rate_limit(Some(limit.clone()));
        }
        Echo
    };
    let options = accept(single(Dispatch::RoundRobin));
    let listener = runtime.listen_with(FAMILIES[0], options, factory).expect("a port is free");
    let running = runtime.start().expect("threads can be started");
    let handle = running.handle();
    let mut fatal = connect(listener.local_addr());
    std::io::Write::write_all(&mut fatal, b"?").expect("it is connected");
    eventually("the core is dead", || handle.submit_to(0, |_| ()).is_err());
    let mut clients: Vec<_> = (0..10).map(|_| connect(listener.local_addr())).collect();
    clients.iter_mut().for_each(|client| round_trip(client, b"served all the same"));
    eventually("the figures are out", || handle.stats()[1].connections == 10);
    handle.shutdown(Shutdown::Now);
    let panicked: Vec<_> = running.join().panicked.iter().map(|panic| panic.core).collect();
    assert_eq!(panicked, [0]);
}

#[test]
fn a_mode_must_name_a_core_that_there_is() {
    for mode in [AcceptMode::Fixed(2), AcceptMode::Single { acceptor: 2, by: Dispatch::HashPeer }] {
        let error =
            built(2).listen_with(FAMILIES[0], accept(mode), |_| Echo).expect_err("no core 2");
        let expected = ListenError::NoSuchCore { mode, core: 2, cores: 2 };
        assert!(matches!(&error, Error::Listen(error) if *error == expected), "{error:?}");
    }
    let taken = TcpListener::bind(FAMILIES[1]).expect("a port is free");
    let addr = taken.local_addr().expect("it is bound");
    let error = built(2).listen(addr, |_| Echo).expect_err("it is taken");
    assert!(matches!(error, Error::Bind { addr: named, .. } if named == addr), "{error:?}");
}
