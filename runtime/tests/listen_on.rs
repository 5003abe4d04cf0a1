//! Listening on sockets that somebody else has bound: who waits already is served, the options are
//! set on the socket, and what cannot be accepted from is a typed error.

mod rig;

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixListener;
use std::time::Duration;

use rig::{ANY, BOUND, Echo, Server, connect, eventually, round_trip};
use rustix::io::FdFlags;
use sluicegate::sim::Simulation;
use sluicegate::{
    AcceptMode, Core, Dispatch, Error, ListenError, ListenOptions, Listener, Runtime,
};
use socket2::{Domain, SockRef, Socket, Type};

fn built() -> Runtime {
    Runtime::builder().cores(2).build().expect("cores can be built")
}

/// A socket that blocks and that is passed on to children, as one from elsewhere may be.
fn bound(addr: &str) -> (TcpListener, SocketAddr) {
    let socket = TcpListener::bind(addr).expect("a port is free");
    rustix::io::fcntl_setfd(&socket, FdFlags::empty()).expect("it can be set");
    let addr = socket.local_addr().expect("it is bound");
    (socket, addr)
}

fn refused(socket: TcpListener, options: ListenOptions) -> ListenError {
    let error = built().listen_on(socket, options, |_| Echo).expect_err("refused");
    let Error::Listen(error) = error else { panic!("{error:?}") };
    error
}

/// Live connections of each core, once there are so many.
fn live(server: &Server, count: u64) -> [u64; 2] {
    eventually("the figures are out", || server.sum(|core| core.connections) == count);
    let stats = server.handle.stats();
    [stats[0].connections, stats[1].connections]
}

/// Waits until the first core has nothing but connections.
fn wait_until_closed(server: &Server) {
    let closed = |core: &mut Core| core.stats().slots == core.stats().connections;
    eventually("the listener is closed", || server.on_core(0, closed));
}

#[test]
fn one_core_accepts_for_all_also_those_who_wait_already() {
    for family in [ANY, "[::1]:0"] {
        let (socket, addr) = bound(family);
        let mut clients: Vec<TcpStream> = (0..4).map(|_| connect(addr)).collect();
        let mut runtime = built();
        let listener = runtime.listen_on(socket, ListenOptions::new(), |_| Echo);
        assert_eq!(listener.expect("it listens").local_addr(), addr);
        let server = Server::run(addr, runtime);
        clients.extend((0..4).map(|_| connect(addr)));
        for client in &mut clients {
            round_trip(client, b"through a socket of somebody else");
        }
        assert_eq!(live(&server, 8), [4, 4], "{family}");
        assert_eq!(server.handle.stats()[1].accepted, 0, "{family}");
    }
}

#[test]
fn modes_of_one_acceptor_are_heeded_and_others_refused() {
    let accept = |mode| ListenOptions::new().accept(mode);
    for (mode, expected) in [
        (AcceptMode::default(), [2, 2]),
        (AcceptMode::Single { acceptor: 1, by: Dispatch::RoundRobin }, [2, 2]),
        (AcceptMode::Fixed(1), [0, 4]),
    ] {
        let (socket, addr) = bound(ANY);
        let mut runtime = built();
        runtime.listen_on(socket, accept(mode), |_| Echo).expect("it listens");
        let server = Server::run(addr, runtime);
        let mut clients: Vec<TcpStream> = (0..4).map(|_| connect(addr)).collect();
        clients.iter_mut().for_each(|client| round_trip(client, b"to some core"));
        assert_eq!(live(&server, 4), expected, "{mode}");
    }
    for mode in [AcceptMode::ReusePort, AcceptMode::Balanced { slack: Some(3) }] {
        let error = refused(bound(ANY).0, accept(mode));
        assert_eq!(error, ListenError::OneSocket { mode });
        let expected =
            format!("accept mode `{mode}` wants a socket for each core, and there is one");
        assert!(error.to_string().starts_with(&expected), "{error}");
    }
    let error = refused(bound(ANY).0, accept(AcceptMode::Fixed(2)));
    assert!(matches!(error, ListenError::NoSuchCore { core: 2, cores: 2, .. }), "{error}");
}

#[test]
fn each_core_may_have_one_of_the_sockets_that_share_a_port() {
    let shared = |addr: SocketAddr| {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
        socket.set_reuse_port(true).expect("it can be set");
        socket.bind(&addr.into()).expect("a port is free");
        socket.listen(16).expect("it is bound");
        TcpListener::from(socket)
    };
    let first = shared(ANY.parse().expect("an address"));
    let addr = first.local_addr().expect("it is bound");
    let second = shared(addr);
    let server = Server::idle(2);
    let give = |core: usize, socket: TcpListener| -> Listener {
        let listen = move |core: &mut Core| {
            core.listen_on(socket, ListenOptions::new(), |_| Echo).expect("it listens")
        };
        server.on_core(core, listen)
    };
    let listeners = [give(0, first), give(1, second)];
    assert!(listeners.iter().all(|listener| listener.local_addr() == addr));
    // Whom the kernel gives them to is not ours to say, but each is kept where it arrives.
    let mut clients: Vec<TcpStream> = (0..8).map(|_| connect(addr)).collect();
    clients.iter_mut().for_each(|client| round_trip(client, b"to either core"));
    live(&server, 8);
    assert_eq!(server.sum(|core| core.accepts_handed_over), 0);
    // One that ends takes nothing from the other.
    listeners[0].close();
    wait_until_closed(&server);
    round_trip(&mut connect(addr), b"to the second core");

    let mode = AcceptMode::Fixed(0);
    let (socket, _) = bound(ANY);
    let error = server.on_core(0, move |core| {
        core.listen_on(socket, ListenOptions::new().accept(mode), |_| Echo).expect_err("one core")
    });
    assert!(matches!(error, Error::Listen(ListenError::OneCore { .. })), "{error:?}");
}

#[test]
fn the_options_are_set_on_the_socket_and_others_who_hold_it_keep_it() {
    let (socket, addr) = bound(ANY);
    SockRef::from(&socket).listen(1).expect("it listens");
    let kept = socket.try_clone().expect("descriptors are left");
    let held = rustix::io::dup(&socket).expect("descriptors are left");
    let number = socket.as_raw_fd();
    let mut runtime = built();
    let options = ListenOptions::new().keep_alive(Some(Duration::from_secs(77))).disabled();
    let listener = runtime.listen_on(socket, options, |_| Echo).expect("it listens");
    let seen = SockRef::from(&held);
    assert!(seen.nonblocking().expect("it can be asked"));
    assert!(seen.tcp_nodelay().expect("it can be asked"));
    let after = seen.tcp_keepalive_time().expect("it can be asked");
    assert_eq!(after, Duration::from_secs(77));
    let flags = std::fs::read_to_string(format!("/proc/self/fdinfo/{number}"));
    let flags = flags.expect("it is open");
    let flags = flags.lines().find_map(|line| line.strip_prefix("flags:")).expect("it has flags");
    let flags = u32::from_str_radix(flags.trim(), 8).expect("an octal number");
    assert_ne!(flags & rustix::fs::OFlags::CLOEXEC.bits(), 0, "children would have it too");

    let server = Server::run(addr, runtime);
    // More than the backlog held that it came with.
    let waiting = (0..8).map(|_| TcpStream::connect_timeout(&addr, BOUND));
    let mut waiting: Vec<TcpStream> =
        waiting.map(|client| client.expect("the backlog holds them all")).collect();
    listener.enable();
    waiting.iter_mut().for_each(|client| round_trip(client, b"from the backlog"));
    listener.close();
    wait_until_closed(&server);
    let late = TcpStream::connect(addr).expect("another still holds the socket");
    let (_, peer) = kept.accept().expect("that one waits");
    assert_eq!(peer, late.local_addr().expect("it is connected"));
}

#[test]
fn what_cannot_be_accepted_from_is_refused_by_what_it_is() {
    let new = ListenOptions::new;
    let tcp = |addr: &str| {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
        socket.bind(&addr.parse::<SocketAddr>().expect("an address").into()).expect("it is free");
        socket
    };
    let silent = TcpListener::from(tcp(ANY));
    let addr = silent.local_addr().expect("it is bound");
    let error = refused(silent, new());
    assert_eq!(error, ListenError::NotListening { addr });
    assert!(error.to_string().contains("call listen(2) first"), "{error}");

    let (listener, to) = bound(ANY);
    let connected = TcpListener::from(OwnedFd::from(connect(to)));
    assert!(matches!(refused(connected, new()), ListenError::NotListening { .. }));
    let datagrams = std::net::UdpSocket::bind(ANY).expect("a port is free");
    let datagrams = TcpListener::from(OwnedFd::from(datagrams));
    assert_eq!(refused(datagrams, new()), ListenError::NotTcp);
    let folder = tempfile::tempdir().expect("a folder");
    let unix = UnixListener::bind(folder.path().join("socket")).expect("the folder is ours");
    assert_eq!(refused(TcpListener::from(OwnedFd::from(unix)), new()), ListenError::NotTcp);

    let options = new().only_v6(true);
    let again = listener.try_clone().expect("descriptors are left");
    assert_eq!(refused(again, options), ListenError::BoundAlready { addr: to });
    let again = listener.try_clone().expect("descriptors are left");
    assert_eq!(refused(again, new().backlog(0)), ListenError::NoBacklog);
    let blocks = !SockRef::from(&listener).nonblocking().expect("it can be asked");
    assert!(blocks, "what is refused is left as it was");
    let error = Simulation::new(1).core().listen_on(listener, new(), |_| Echo);
    let error = error.expect_err("a simulation has sockets of its own");
    assert!(matches!(error, Error::Bind { addr, .. } if addr == to), "{error:?}");
}
