//! Listening: bad addresses are typed errors that name them, one core may listen alone, and limits
//! of accepting hold without losing anybody.

mod rig;

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rig::{ANY, Echo, Server, eventually, round_trip};
use sluicegate::{Context, Error, Handler, ListenOptions, Runtime};

fn built() -> Runtime {
    Runtime::builder().cores(2).build().expect("cores can be built")
}

fn assert_in_use(error: &Error, addr: SocketAddr) {
    assert!(matches!(error, Error::Bind { addr: named, .. } if *named == addr), "{error:?}");
    let message = error.to_string();
    assert!(message.starts_with(&format!("cannot listen on {addr}: ")), "{message}");
    assert!(message.ends_with("stop it, or use port 0 for a free one"), "{message}");
}

#[test]
fn a_port_in_use_is_an_error_that_names_it() {
    let other = TcpListener::bind(ANY).expect("a port is free");
    let addr = other.local_addr().expect("it is bound");
    let mut runtime = built();
    assert_in_use(&runtime.listen(addr, |_| Echo).expect_err("it is taken"), addr);

    // The runtime is as good as before.
    let free = runtime.listen(ANY, |_| Echo).expect("a port is free");
    Server::run(free, runtime).assert_echoes();
}

#[test]
fn a_port_another_runtime_shares_among_its_cores_is_in_use_too() {
    let server = Server::start(2, |_| Echo);
    let error = built().listen(server.addr, |_| Echo).expect_err("it is taken");
    assert_in_use(&error, server.addr);
    server.assert_echoes();
}

#[test]
fn an_address_that_does_not_parse_is_shown() {
    for text in ["nonsense", "127.0.0.1", "127.0.0.1:http", "127.0.0.1:65536", "no..name:80", ""] {
        let error = built().listen(text, |_| Echo).expect_err("no address");
        let Error::Address { addr, .. } = &error else { panic!("{text:?} gave {error:?}") };
        assert_eq!(*addr, format!("{text:?}"));
        let message = error.to_string();
        assert!(message.contains(text) && message.contains("write it as host:port"), "{message}");
    }
    let none: &[SocketAddr] = &[];
    let error = built().listen(none, |_| Echo).expect_err("no address").to_string();
    assert_eq!(
        error,
        "cannot use address []: no address found; write it as host:port, like 127.0.0.1:7777"
    );
}

#[test]
fn an_address_may_be_given_as_text_pair_or_number() {
    let mut runtime = built();
    let text = String::from(ANY);
    runtime.listen(&*text, |_| Echo).expect("text");
    runtime.listen(&text, |_| Echo).expect("borrowed string");
    runtime.listen(text, |_| Echo).expect("string");
    runtime.listen(("127.0.0.1", 0), |_| Echo).expect("pair");
    runtime.listen("localhost:0", |_| Echo).expect("name");
    let addr = SocketAddr::from(([127, 0, 0, 1], 0));
    let addr = runtime.listen(addr, |_| Echo).expect("address");
    Server::run(addr, runtime).assert_echoes();
}

#[test]
fn an_address_this_machine_does_not_have_is_an_error_with_a_remedy() {
    // Reserved for documentation, so nobody has it.
    let error = built().listen("192.0.2.1:0", |_| Echo).expect_err("not ours").to_string();
    assert!(error.starts_with("cannot listen on 192.0.2.1:0: "), "{error}");
    assert!(error.ends_with("use one of this machine, or 0.0.0.0"), "{error}");
}

#[test]
fn one_core_alone_may_listen() {
    const CLIENTS: u64 = 16;
    let server = Server::idle(2);
    let addr = server.on_core(1, |core| core.listen(ANY, ListenOptions::new(), |_| Echo));
    let addr = addr.expect("a port is free").local_addr();
    let mut clients: Vec<_> = (0..CLIENTS).map(|_| rig::connect(addr)).collect();
    for client in &mut clients {
        round_trip(client, b"to the second core");
    }
    eventually("its figures are out", || server.handle.stats()[1].connections == CLIENTS);
    assert_eq!(server.handle.stats()[0].accepts, 0);

    let error = server.on_core(0, move |core| core.listen(addr, ListenOptions::new(), |_| Echo));
    assert_in_use(&error.expect_err("it is taken"), addr);
}

/// Counts how many of its kind live at once.
struct Counted(Arc<Live>);

#[derive(Default)]
struct Live {
    now: AtomicUsize,
    most: AtomicUsize,
}

impl Counted {
    fn new(live: &Arc<Live>) -> Self {
        let now = live.now.fetch_add(1, Ordering::SeqCst) + 1;
        live.most.fetch_max(now, Ordering::SeqCst);
        Self(live.clone())
    }
}

impl Handler for Counted {
    fn on_read(&mut self, cx: &mut Context<'_>) {
        Echo.on_read(cx);
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.now.fetch_sub(1, Ordering::SeqCst);
    }
}

#[test]
fn at_the_limit_of_connections_accepting_rests_until_one_leaves() {
    const MOST: u32 = 3;
    const CLIENTS: usize = 24;
    let live = Arc::new(Live::default());
    let options = ListenOptions::new().max_connections(MOST);
    let seen = live.clone();
    let server = Server::start_with(1, options, move |_| Counted::new(&seen));
    let clients: Vec<_> = (0..CLIENTS).map(|_| server.connect()).collect();
    // They are accepted in the order in which they came.
    for mut client in clients {
        round_trip(&mut client, b"at last");
    }
    server.wait_until_empty();
    assert_eq!(live.most.load(Ordering::SeqCst), MOST as usize);
    assert_eq!(server.sum(|core| core.accepted), CLIENTS as u64);
    server.assert_echoes();
}

#[test]
fn more_connections_than_one_batch_are_all_accepted() {
    const CLIENTS: usize = 200;
    let mut runtime = Runtime::builder().cores(1).build().expect("cores can be built");
    let options = ListenOptions::new().accept_batch(3);
    let addr = runtime.listen_with(ANY, options, |_| Echo).expect("a port is free").local_addr();
    // Nobody accepts yet: all of them wait in the backlog.
    let mut clients: Vec<TcpStream> = (0..CLIENTS).map(|_| rig::connect(addr)).collect();
    let server = Server::run(addr, runtime);
    for client in &mut clients {
        round_trip(client, b"from the backlog");
    }
    eventually("its figures are out", || server.sum(|core| core.accepted) == CLIENTS as u64);
}

#[test]
fn a_closed_listener_takes_nobody_and_leaves_those_it_took() {
    let mut runtime = Runtime::builder().cores(2).build().expect("cores can be built");
    let listener =
        runtime.listen_with(ANY, ListenOptions::new(), |_| Echo).expect("a port is free");
    let server = Server::run(listener.local_addr(), runtime);
    let mut client = rig::connect(listener.local_addr());
    round_trip(&mut client, b"before");
    listener.close();
    eventually("nobody listens any more", || TcpStream::connect(listener.local_addr()).is_err());
    round_trip(&mut client, b"after");
    drop(server);
}

#[test]
fn a_runtime_that_never_starts_gives_its_port_back() {
    let mut runtime = Runtime::builder().cores(2).build().expect("cores can be built");
    let addr = runtime.listen(ANY, |_| Echo).expect("a port is free");
    let handle = runtime.handle();
    runtime.handle().submit_to(0, move |_| drop(handle)).expect("it may still start");
    drop(runtime);
    TcpListener::bind(addr).expect("the port is free again");
}
