//! The thread that looks names up, and real connections by name.
//!
//! Resolvers that answer, panic, hang and are asked too much; which address wins, and when, is
//! tested in virtual time in `connect_host.rs`.

mod rig;

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex};

use rig::{ANY, BOUND, Server, eventually, read_exactly, receive};
use rustix::thread::{CpuSet, sched_getaffinity};
use sluicegate::{
    BevId, ConnectHostError, Context, Core, Error, Event, EventFlags, Handler, HostError, Pin,
    Resolve, Runtime, Shutdown,
};

/// A resolver made of a function.
struct By<F>(F);

impl<F> Resolve for By<F>
where
    F: Fn(&str, u16) -> io::Result<Vec<SocketAddr>> + Send + Sync + 'static,
{
    fn resolve(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        self.0(host, port)
    }
}

fn serve(resolver: impl Resolve) -> Server {
    let runtime = Runtime::builder().cores(1).resolver(resolver).build();
    Server::run(([127, 0, 0, 1], 0).into(), runtime.expect("cores can be built"))
}

/// What a connection was told first, and whom it is connected to then.
type Told = (EventFlags, Option<String>, Option<SocketAddr>);

struct Report(Sender<Told>);

impl Handler for Report {
    fn on_event(&mut self, cx: &mut Context<'_>, event: Event) {
        let error = event.error.map(|error| {
            let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<ConnectHostError>());
            inner.expect("it was a host").to_string()
        });
        let peer = cx.me().peer_addr();
        // Connections that nobody asks about any more go on.
        let _nobody_waits = self.0.send((event.flags, error, peer));
    }
}

fn connect(server: &Server, host: &'static str, port: u16) -> Receiver<Told> {
    let (told, tells) = mpsc::channel();
    server.on_core(0, move |core| {
        let id = core.connect_host(host, port, Report(told)).expect("it is a host");
        core.get(id).expect("it is open").output().add(b"hello");
    });
    tells
}

fn greeted(listener: &TcpListener) {
    let (mut peer, _) = listener.accept().expect("the core connects");
    peer.set_read_timeout(Some(BOUND)).expect("not zero");
    assert_eq!(read_exactly(&mut peer, 5), b"hello");
}

/// A port of the loopback interface on which nobody listens.
fn refusing() -> SocketAddr {
    let listener = TcpListener::bind(ANY).expect("a port is free");
    listener.local_addr().expect("it is bound")
}

#[test]
fn localhost_is_found_by_the_system() {
    let listener = TcpListener::bind(ANY).expect("a port is free");
    let addr = listener.local_addr().expect("it is bound");
    let server = Server::idle(2);
    // Whichever family comes first, the one that listens is reached.
    let tells = connect(&server, "localhost", addr.port());
    greeted(&listener);
    assert_eq!(receive(&tells), (EventFlags::CONNECTED, None, Some(addr)));
}

#[test]
fn a_refused_address_gives_way_to_the_next() {
    let listener = TcpListener::bind(ANY).expect("a port is free");
    let addr = listener.local_addr().expect("it is bound");
    let refused = refusing();
    let server = serve(By(move |host: &str, port| {
        assert_eq!((host, port), ("db.internal", 5432));
        Ok(vec![refused, addr])
    }));
    let tells = connect(&server, "db.internal", 5432);
    greeted(&listener);
    assert_eq!(receive(&tells), (EventFlags::CONNECTED, None, Some(addr)));
    eventually("nothing is left", || server.sum(|core| core.attempts + core.timers) == 0);
}

#[test]
fn a_resolver_that_panics_fails_that_lookup_only() {
    let listener = TcpListener::bind(ANY).expect("a port is free");
    let addr = listener.local_addr().expect("it is bound");
    let server = serve(By(move |host: &str, _| {
        assert_ne!(host, "cursed.internal", "as the test wants it");
        Ok(vec![addr])
    }));
    let (flags, error, _) = receive(&connect(&server, "cursed.internal", 1));
    assert_eq!(flags, EventFlags::ERROR);
    let error = error.expect("it failed");
    assert!(error.contains("cursed.internal") && error.contains("panicked"), "{error}");
    assert_eq!(receive(&connect(&server, "db.internal", 1)).2, Some(addr));
}

/// A resolver that says when it is asked, and answers when it is told to.
struct Gate {
    asked: Sender<String>,
    answers: Mutex<Receiver<SocketAddr>>,
}

impl Resolve for Gate {
    fn resolve(&self, host: &str, _: u16) -> io::Result<Vec<SocketAddr>> {
        let _nobody_waits = self.asked.send(host.to_owned());
        let answers = self.answers.lock().expect("nobody panics with it");
        answers.recv().map(|addr| vec![addr]).map_err(io::Error::other)
    }
}

/// A server whose lookups wait, what it is asked, and how it is answered.
fn gated() -> (Server, Receiver<String>, Sender<SocketAddr>) {
    let (asked, asks) = mpsc::channel();
    let (answer, answers) = mpsc::channel();
    (serve(Gate { asked, answers: Mutex::new(answers) }), asks, answer)
}

#[test]
fn lookups_that_wait_are_bounded_and_those_given_up_are_not_made() {
    let (server, asks, answer) = gated();
    connect(&server, "first.internal", 1);
    assert_eq!(receive(&asks), "first.internal");
    // The thread is busy: these wait.
    let (waiting, refused) = server.on_core(0, |core| {
        let mut waiting = Vec::new();
        loop {
            match core.connect_host("more.internal", 1, ()) {
                Ok(id) => waiting.push(id),
                Err(error) => return (waiting, error),
            }
        }
    });
    assert_eq!(waiting.len(), 1024);
    let Error::Host(HostError::Busy { host, waiting: most }) = refused else { panic!("{refused}") };
    assert_eq!((host.as_str(), most), ("more.internal", 1024));
    let close = |core: &mut Core, id: BevId| core.get(id).expect("it is open").close();
    server.on_core(0, move |core| waiting.into_iter().for_each(|id| close(core, id)));
    // They are given up at the end of that turn.
    let left = || server.on_core(0, |core| core.stats().connections);
    eventually("they are closed", || left() == 1);
    answer.send(refusing()).expect("the resolver waits");
    // The next question it is asked is one that somebody waits for.
    eventually("there is room", || {
        server.on_core(0, |core| core.connect_host("last.internal", 1, ()).is_ok())
    });
    assert_eq!(receive(&asks), "last.internal");
}

#[test]
fn a_runtime_ends_although_its_resolver_hangs_and_the_thread_after_it() {
    for how in [Shutdown::Now, Shutdown::Drain] {
        let (server, asks, answer) = gated();
        server.on_core(0, |core| core.connect_host("slow.internal", 1, ()).expect("a host"));
        receive(&asks);
        server.on_core(0, |core| core.connect_host("later.internal", 1, ()).expect("a host"));
        let handle = server.handle.clone();
        handle.shutdown(how);
        let report = server.join();
        assert!(report.panicked.is_empty());
        // Its answer finds nobody, and then it goes, without another question.
        answer.send(refusing()).expect("it still hangs");
        assert_eq!(asks.recv_timeout(BOUND), Err(mpsc::RecvTimeoutError::Disconnected));
        drop(handle);
    }
}

#[test]
fn the_thread_is_not_confined_to_the_cpu_of_a_core() {
    let (masks, mask) = mpsc::channel();
    let masks = Mutex::new(masks);
    let resolver = By(move |_: &str, _| {
        let mask = sched_getaffinity(None).expect("a mask");
        masks.lock().expect("nobody panics with it").send(mask).expect("the test waits");
        Ok(Vec::new())
    });
    let runtime = Runtime::builder().cores(1).pin(Pin::Each).resolver(resolver).build();
    let runtime = runtime.expect("there is a CPU");
    let planned = runtime.report().plan.helper_cpus().expect("cores are pinned");
    let server = Server::run(([127, 0, 0, 1], 0).into(), runtime);
    let tells = connect(&server, "any.internal", 1);
    let found: CpuSet = receive(&mask);
    let cpus: Vec<usize> = (0..CpuSet::MAX_CPU).filter(|&cpu| found.is_set(cpu)).collect();
    assert_eq!(cpus, planned.iter().collect::<Vec<_>>());
    assert!(receive(&tells).1.expect("it has no address").contains("any.internal"));
}

#[test]
fn a_resolver_is_shared_by_all_cores() {
    let listener = TcpListener::bind(ANY).expect("a port is free");
    let addr = listener.local_addr().expect("it is bound");
    let asked = Arc::new(Mutex::new(0));
    let count = asked.clone();
    let resolver = By(move |_: &str, _| {
        *count.lock().expect("nobody panics with it") += 1;
        Ok(vec![addr])
    });
    let runtime = Runtime::builder().cores(2).resolver(resolver).build();
    let server = Server::run(addr, runtime.expect("cores can be built"));
    for core in 0..2 {
        let (told, tells) = mpsc::channel();
        server.on_core(core, move |core| {
            core.connect_host("db.internal", 1, Report(told)).expect("it is a host")
        });
        assert_eq!(receive(&tells).2, Some(addr));
    }
    assert_eq!(*asked.lock().expect("nobody panics with it"), 2);
}
