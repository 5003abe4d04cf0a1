//! Limits on real sockets and two cores: totals are exact, the bound holds in every window without
//! slack, and members come and go cleanly.

mod rig;

use std::collections::{HashMap, HashSet};
use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::sync::mpsc::{self, Sender};
use std::thread;

use rig::log::{Log, bytes};
use rig::{ANY, Echo, Server, eventually, pattern, read_exactly, receive, round_trip};
use sluicegate::{
    BevId, BevMut, Context, Core, Direction, Event, Group, Handler, ListenOptions,
    MeteredOperation, NoSeat, Rate, Runtime, Shutdown, Suspend, Time, TokenBucketConfig,
};

fn per_second(bytes: u64, burst: u64) -> TokenBucketConfig {
    let rate = Rate::bytes_per_second(bytes).expect("a valid rate");
    TokenBucketConfig::per_second(rate).with_burst(burst).expect("a valid burst")
}

/// By how many bytes the worst window exceeds ceil(rate·T) + burst; 0 if none does.
///
/// The slow, obvious check: every window that reaches from the start of one operation to the end of
/// another, with all operations that lie within.
fn worst_excess(operations: &[MeteredOperation], rate: u64, burst: u64) -> u64 {
    let mut by_end = operations.to_vec();
    by_end.sort_by_key(|operation| operation.after);
    let starts: HashSet<Time> = operations.iter().map(|operation| operation.before).collect();
    let mut worst = 0;
    for start in starts {
        let mut moved = 0;
        for operation in by_end.iter().filter(|operation| operation.before >= start) {
            moved += operation.bytes;
            let span = operation.after.saturating_since(start).as_nanos();
            let earned = (u128::from(rate) * span).div_ceil(1_000_000_000) as u64;
            worst = worst.max(moved.saturating_sub(earned + burst));
        }
    }
    worst
}

/// Sends the pattern once, when the first byte comes, and leaves the closing to the peer.
struct Source(usize);

impl Handler for Source {
    fn on_read(&mut self, cx: &mut Context<'_>) {
        let (mut input, mut output) = cx.buffers();
        input.drain(usize::MAX);
        output.add(&pattern(self.0));
    }
}

/// Keeps a core from ever going to sleep.
fn keep_awake(core: &mut Core) {
    core.submit_to(0, keep_awake).expect("there is a first core");
}

#[test]
fn a_core_that_never_sleeps_claims_no_share_for_members_without_work() {
    const BYTES: usize = 100_000;
    let group = Group::new(per_second(1_000_000, 20_000)).expect("valid");
    let members = group.clone();
    let server = Server::start(1, move |conn| {
        conn.join(&members).expect("a seat");
        Source(BYTES)
    });
    server.on_core(0, keep_awake);
    let mut client = server.connect();
    client.write_all(b"?").expect("the server reads");
    assert!(read_exactly(&mut client, BYTES) == pattern(BYTES), "the bytes changed");
    assert!(group.stats().seats[0].waits > 0, "the member never had to wait");
    eventually("its share lapses", || group.stats().weight == [0, 0]);
}

#[test]
fn the_bounds_of_group_and_own_limit_hold_in_every_window_and_totals_are_exact() {
    const RATE: u64 = 2_000_000;
    // Small against what moves, so that a rate 5 % too high shows.
    const BURST: u64 = 20_000;
    const OWN_RATE: u64 = 200_000;
    const OWN_BURST: u64 = 20_000;
    const CLIENTS: usize = 12;
    const EACH: usize = 150_000;
    let group = Group::builder(per_second(RATE, BURST)).seats(2).build().expect("valid");
    let log = Log::default();
    let observer = log.clone();
    let mut runtime = Runtime::builder()
        .cores(2)
        .observer(move |_| Box::new(observer.clone()))
        .build()
        .expect("cores can be built");
    let members = group.clone();
    let addr = runtime
        .listen(ANY, move |conn| {
            conn.join(&members).expect("a seat for every core");
            // A little above the fair share, so that now one binds and now the other.
            conn.set_rate_limit(Some(per_second(OWN_RATE, OWN_BURST)));
            Source(EACH)
        })
        .expect("a port is free");
    let server = Server::run(addr, runtime);
    let clients: Vec<TcpStream> = (0..CLIENTS).map(|_| server.connect()).collect();
    thread::scope(|scope| {
        for mut client in &clients {
            scope.spawn(move || {
                client.write_all(b"?").expect("the server reads");
                let mut client = client.try_clone().expect("a descriptor is free");
                assert!(read_exactly(&mut client, EACH) == pattern(EACH), "the bytes changed");
            });
        }
    });
    server.handle.shutdown(Shutdown::Drain);
    let report = server.join();

    let moved = (CLIENTS as u64, (CLIENTS * EACH) as u64);
    let cores = || report.cores.iter();
    assert_eq!(cores().map(|core| core.bytes_in).sum::<u64>(), moved.0);
    assert_eq!(cores().map(|core| core.bytes_out).sum::<u64>(), moved.1);
    assert_eq!(group.totals(), moved);
    let metered: u64 = cores().map(|core| core.metered_operations).sum();
    assert_eq!(log.those(|_| true).len() as u64, metered);
    assert!(cores().map(|core| core.limit_waits).sum::<u64>() > 0, "nobody ever had to wait");

    let written =
        log.those(|one| one.direction == Direction::Write && one.group == Some(group.id()));
    assert_eq!(bytes(&written), moved.1);
    assert_eq!(worst_excess(&written, RATE, BURST), 0);

    let mut by_member: HashMap<BevId, Vec<MeteredOperation>> = HashMap::new();
    written.iter().for_each(|one| by_member.entry(one.bev).or_default().push(*one));
    assert_eq!(by_member.len(), CLIENTS);
    for (id, operations) in by_member {
        assert_eq!(bytes(&operations), EACH as u64);
        assert_eq!(worst_excess(&operations, OWN_RATE, OWN_BURST), 0, "connection {id}");
    }
}

#[test]
fn an_own_limit_holds_in_every_window_for_each_connection() {
    const RATE: u64 = 400_000;
    const BURST: u64 = 5_000;
    const EACH: usize = 200_000;
    let log = Log::default();
    let observer = log.clone();
    let mut runtime = Runtime::builder()
        .cores(2)
        .observer(move |_| Box::new(observer.clone()))
        .build()
        .expect("cores can be built");
    let addr = runtime
        .listen(ANY, |conn| {
            conn.set_rate_limit(Some(per_second(RATE, BURST)));
            Source(EACH)
        })
        .expect("a port is free");
    let server = Server::run(addr, runtime);
    thread::scope(|scope| {
        for _ in 0..4 {
            let mut client = server.connect();
            scope.spawn(move || {
                client.write_all(b"?").expect("the server reads");
                assert!(read_exactly(&mut client, EACH) == pattern(EACH), "the bytes changed");
            });
        }
    });
    // The last records may be made after the peer has its bytes.
    server.handle.shutdown(Shutdown::Drain);
    server.join();
    let written = log.those(|one| one.direction == Direction::Write);
    let mut by_connection: HashMap<BevId, Vec<MeteredOperation>> = HashMap::new();
    written.iter().for_each(|one| by_connection.entry(one.bev).or_default().push(*one));
    assert_eq!(by_connection.len(), 4);
    for (id, operations) in by_connection {
        assert_eq!(bytes(&operations), EACH as u64);
        assert_eq!(worst_excess(&operations, RATE, BURST), 0, "connection {id}");
    }
}

/// Reports its name when it is made and echoes.
fn named(server_made: Sender<BevId>) -> impl Fn(&mut BevMut<'_>) -> Echo + Send + Sync {
    move |conn| {
        server_made.send(conn.id()).expect("the test waits");
        Echo
    }
}

#[test]
fn a_stale_name_finds_nothing_even_when_its_slot_is_used_again() {
    let (made, ids) = mpsc::channel();
    let server = Server::start(1, named(made));
    let mut seen = HashSet::new();
    for _ in 0..50 {
        let mut client = server.connect();
        round_trip(&mut client, b"hello");
        let id = receive(&ids);
        assert!(seen.insert(id), "{id} was given out twice");
        assert!(server.on_core(0, move |core| core.get(id).is_some()));
        drop(client);
        server.wait_until_empty();
        let stale = seen.clone();
        server.on_core(0, move |core| {
            stale.iter().for_each(|&id| assert!(core.get(id).is_none(), "{id} found another"));
        });
    }
    let mut client = server.connect();
    round_trip(&mut client, b"hello");
    assert_eq!(
        server.on_core(0, move |core| seen.iter().filter(|&&id| core.get(id).is_some()).count()),
        0,
        "an old name found the new connection"
    );
}

#[test]
fn a_name_is_good_on_its_own_core_only() {
    let (made, ids) = mpsc::channel();
    let server = Server::start(2, named(made));
    let mut client = server.connect();
    round_trip(&mut client, b"hello");
    let id = receive(&ids);
    assert!(server.on_core(id.core(), move |core| core.get(id).is_some()));
    assert!(server.on_core(1 - id.core(), move |core| core.get(id).is_none()));
}

/// Listens with an echo on one core alone; each connection reports whether it got a seat.
fn listen_alone(
    server: &Server,
    core: usize,
    group: &Group,
    joined: &Sender<Result<(), NoSeat>>,
) -> SocketAddr {
    let (group, joined) = (group.clone(), joined.clone());
    listen_on(server, core, move |conn| {
        joined.send(conn.join(&group)).expect("the test waits");
    })
}

/// Listens with an echo on one core alone.
fn listen_on(
    server: &Server,
    core: usize,
    setup: impl Fn(&mut BevMut<'_>) + Send + Sync + 'static,
) -> SocketAddr {
    let addr = server.on_core(core, move |core| {
        core.listen(ANY, ListenOptions::new(), move |conn| {
            setup(conn);
            Echo
        })
    });
    addr.expect("a port is free").local_addr()
}

#[test]
fn beyond_its_seats_a_group_refuses_until_a_core_has_left() {
    let group = Group::builder(per_second(1_000_000, 100_000)).seats(1).build().expect("valid");
    let server = Server::idle(2);
    let (joined, joins) = mpsc::channel();
    let first = listen_alone(&server, 0, &group, &joined);
    let second = listen_alone(&server, 1, &group, &joined);

    let mut here = [rig::connect(first), rig::connect(first)];
    here.iter_mut().for_each(|client| round_trip(client, b"a seat serves a whole core"));
    assert_eq!([receive(&joins), receive(&joins)], [Ok(()), Ok(())]);

    let mut there = rig::connect(second);
    let refused = receive(&joins).expect_err("the other core has the only seat");
    assert_eq!(refused, NoSeat { seats: 1 });
    assert!(refused.to_string().contains("all 1 seats") && refused.to_string().contains(".seats("));
    round_trip(&mut there, b"served all the same, unlimited");
    assert_eq!(group.totals().0, 2 * 26);

    drop(here);
    eventually("the first core has left", || server.handle.stats()[0].connections == 0);
    let mut again = rig::connect(second);
    round_trip(&mut again, b"now there is one");
    assert_eq!(receive(&joins), Ok(()));
}

/// Starts a member of a group so slow that it waits, and returns it with its name.
fn waiting_member(group: &Group, much: usize) -> (Server, TcpStream, BevId) {
    let (made, ids) = mpsc::channel();
    let members = group.clone();
    let server = Server::start(1, move |conn| {
        conn.join(&members).expect("a seat");
        made.send(conn.id()).expect("the test waits");
        Source(much)
    });
    let mut client = server.connect();
    client.write_all(b"?").expect("the server reads");
    let id = receive(&ids);
    eventually("it waits for tokens", || {
        server.on_core(0, move |core| {
            let conn = core.get(id).expect("it is open");
            conn.suspended(Direction::Write).contains(Suspend::GROUP_LIMIT)
        })
    });
    (server, client, id)
}

/// So slow that a million bytes would take days.
fn slow() -> Group {
    Group::builder(per_second(10, 1000)).seats(1).build().expect("valid")
}

const MUCH: usize = 1_000_000;

#[test]
fn a_member_that_leaves_no_longer_waits() {
    let group = slow();
    let (server, mut client, id) = waiting_member(&group, MUCH);
    server.on_core(0, move |core| core.get(id).expect("it is open").leave());
    assert!(read_exactly(&mut client, MUCH) == pattern(MUCH), "the bytes changed");
    let (_, written) = group.totals();
    assert!(written < MUCH as u64, "{written} bytes were charged to a group that was left");
}

#[test]
fn a_group_that_is_disbanded_from_elsewhere_lets_its_members_go() {
    let group = slow();
    let (_server, mut client, _) = waiting_member(&group, MUCH);
    group.disband();
    assert!(read_exactly(&mut client, MUCH) == pattern(MUCH), "the bytes changed");
}

#[test]
fn a_group_disbanded_while_members_wait_on_three_cores_lets_all_of_them_go() {
    const CORES: usize = 3;
    const EACH: usize = 60_000;
    let group = Group::builder(per_second(10, 1000)).seats(CORES).build().expect("valid");
    let server = Server::idle(CORES);
    let mut clients = Vec::new();
    for core in 0..CORES {
        let (made, ids) = mpsc::channel();
        let members = group.clone();
        let addr = listen_on(&server, core, move |conn| {
            conn.join(&members).expect("a seat for every core");
            made.send(conn.id()).expect("the test waits");
        });
        for _ in 0..2 {
            let mut client = rig::connect(addr);
            client.write_all(&pattern(EACH)).expect("the kernel takes that much");
            clients.push((client, receive(&ids)));
        }
    }
    let look = |id: BevId, what: fn(&mut BevMut<'_>) -> bool| {
        server.on_core(id.core(), move |core| what(&mut core.get(id).expect("it is open")))
    };
    for &(_, id) in &clients {
        eventually("it waits for tokens", || {
            look(id, |conn| conn.suspended(Direction::Read).contains(Suspend::GROUP_LIMIT))
        });
        assert!(look(id, |conn| conn.group().is_some()));
    }
    group.disband();
    for (client, id) in &mut clients {
        assert!(read_exactly(client, EACH) == pattern(EACH), "the bytes changed");
        assert!(look(*id, |conn| conn.group().is_none()), "it is no member any more");
    }
    let stats = group.stats();
    assert_eq!(stats.weight, [0, 0], "somebody still counts as waiting");
    assert!(stats.seats.iter().all(|seat| !seat.taken), "a seat is still taken");
}

#[test]
fn a_faster_configuration_from_elsewhere_reaches_a_sleeping_core() {
    let group = slow();
    let (_server, mut client, _) = waiting_member(&group, MUCH);
    group.set_config(per_second(100_000_000, 10_000_000)).expect("valid");
    assert!(read_exactly(&mut client, MUCH) == pattern(MUCH), "the bytes changed");
}

#[test]
fn a_member_whose_peer_vanishes_while_it_waits_is_forgotten() {
    struct Silent;
    impl Handler for Silent {
        fn on_event(&mut self, cx: &mut Context<'_>, _: Event) {
            cx.me().close_now();
        }
    }
    let group = slow();
    let (server, client, id) = waiting_member(&group, MUCH);
    server.on_core(0, move |core| {
        core.get(id).expect("it is open").set_handler(Silent).expect("no filter")
    });
    rig::reset(client);
    server.wait_until_empty();
    assert_eq!(group.stats().weight, [0, 0], "it still counts as waiting");
    assert!(group.stats().seats.iter().all(|seat| !seat.taken), "its seat is still taken");
}
