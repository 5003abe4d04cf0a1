//! The end of a runtime: idle connections close at once, busy ones are written out, the deadline
//! cuts what is left, and the report says how many were which.

mod rig;

use std::io::Read;
use std::net::{SocketAddr, TcpStream};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use rig::{
    ANY, BOUND, ChildServer, Echo, Server, child_command, is_child, pattern, read_exactly,
    read_to_end, receive, round_trip, wait_for_close,
};
use rustix::process::Signal;
use sluicegate::sim::Simulation;
use sluicegate::{
    Context, Core, DrainReport, Error, Handler, Left, ListenOptions, Runtime, Shutdown,
    SignalPolicy,
};
use tracing::span::{Attributes, Id, Record};
use tracing::{Metadata, Subscriber};

/// More than the buffers of both ends hold.
const MUCH: usize = 32 << 20;

/// A deadline no test waits for.
const FAR: Duration = Duration::from_secs(600);

fn drained(report: &DrainReport) -> u64 {
    report.cores.iter().map(|core| core.drained).sum()
}

fn cut(report: &DrainReport) -> u64 {
    report.cores.iter().map(|core| core.cut).sum()
}

/// Starts cores with a deadline for their drain.
fn start<H: Handler>(cores: usize, drain_timeout: Duration, handler: fn() -> H) -> Server {
    let builder = Runtime::builder().cores(cores).drain_timeout(drain_timeout);
    let mut runtime = builder.build().expect("cores can be built");
    let addr = runtime.listen(ANY, move |_| handler()).expect("a port is free");
    Server::run(addr, runtime)
}

/// Answers anything with [`MUCH`].
struct Generous;

impl Handler for Generous {
    fn on_read(&mut self, cx: &mut Context<'_>) {
        let (mut input, mut output) = cx.buffers();
        input.drain(usize::MAX);
        output.add_shared(pattern(MUCH).into());
    }
}

/// Asks for the answer and takes the first byte of it.
fn ask(server: &Server) -> TcpStream {
    let mut client = server.connect();
    std::io::Write::write_all(&mut client, b"?").expect("the server reads");
    assert_eq!(read_exactly(&mut client, 1), pattern(1));
    client
}

#[test]
fn a_drain_closes_idle_connections_at_once() {
    const CLIENTS: u64 = 8;
    let server = start(2, FAR, || Echo);
    let mut clients: Vec<_> = (0..CLIENTS).map(|_| server.connect()).collect();
    clients.iter_mut().for_each(|client| round_trip(client, b"hello"));
    let addr = server.addr;
    server.handle.shutdown(Shutdown::Drain);
    clients.iter_mut().for_each(|client| assert!(read_to_end(client).is_empty()));
    let report = server.join();
    assert_eq!((drained(&report), cut(&report)), (CLIENTS, 0));
    assert_eq!(report.to_string(), "2 cores ended; 8 connections drained, 0 cut");
    TcpStream::connect_timeout(&addr, BOUND).expect_err("nobody listens any more");
}

#[test]
fn a_drain_writes_out_what_a_busy_connection_has_left() {
    let server = start(1, FAR, || Generous);
    let (mut client, mut idle) = (ask(&server), server.connect());
    server.handle.shutdown(Shutdown::Drain);
    // Its end shows that the drain has begun before the rest is read.
    assert!(read_to_end(&mut idle).is_empty());
    let rest = read_to_end(&mut client);
    assert_eq!(rest.len(), MUCH - 1);
    assert!(rest == pattern(MUCH)[1..], "the bytes arrived changed");
    let report = server.join();
    assert_eq!((drained(&report), cut(&report)), (2, 0));
}

#[test]
fn a_drain_cuts_at_its_deadline_what_the_peer_does_not_take() {
    const DEADLINE: Duration = Duration::from_millis(200);
    let server = start(1, DEADLINE, || Generous);
    let busy = ask(&server);
    let mut idle = server.connect();
    let start = Instant::now();
    server.handle.shutdown(Shutdown::Drain);
    assert!(read_to_end(&mut idle).is_empty());
    let report = server.join();
    assert!(start.elapsed() >= DEADLINE, "it was cut after {:?}", start.elapsed());
    assert_eq!((drained(&report), cut(&report)), (1, 1));
    drop(busy);
}

#[test]
fn shutting_down_now_cuts_everything() {
    let server = start(2, FAR, || Generous);
    let mut busy: Vec<_> = (0..4).map(|_| ask(&server)).collect();
    server.handle.shutdown(Shutdown::Now);
    let report = server.join();
    assert_eq!((drained(&report), cut(&report)), (0, 4));
    for client in &mut busy {
        let error = client.read_to_end(&mut Vec::new()).expect_err("it was cut");
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
    }
}

#[test]
fn without_connections_the_end_comes_at_once() {
    for how in [Shutdown::Drain, Shutdown::Now] {
        let server = start(2, FAR, || Echo);
        server.handle.shutdown(how);
        let report = server.join();
        assert_eq!((drained(&report), cut(&report)), (0, 0));
    }
}

#[test]
fn what_a_task_opens_after_the_cut_does_not_keep_a_core_alive() {
    let server = Server::idle(1);
    server.on_core(0, |core| {
        core.handle().shutdown(Shutdown::Now);
        let listen = |core: &mut Core| {
            let refused = core.listen(ANY, ListenOptions::new(), |_| Echo);
            assert!(refused.is_err(), "a core that ends must not listen");
        };
        core.submit_to(0, listen).expect("it is there");
    });
    server.join();
}

#[test]
fn a_second_shutdown_may_cut_what_the_first_lets_finish() {
    let server = start(1, FAR, || Generous);
    let (busy, mut idle) = (ask(&server), server.connect());
    server.handle.shutdown(Shutdown::Drain);
    server.handle.shutdown(Shutdown::Drain);
    assert!(read_to_end(&mut idle).is_empty());
    server.handle.shutdown(Shutdown::Now);
    let report = server.join();
    assert_eq!((drained(&report), cut(&report)), (1, 1));
    drop(busy);
}

/// Says goodbye when told to finish, and leaves the closing to the peer.
struct Polite(Option<Sender<()>>);

impl Handler for Polite {
    fn on_read(&mut self, cx: &mut Context<'_>) {
        Echo.on_read(cx);
    }

    fn on_drain(&mut self, cx: &mut Context<'_>) {
        cx.me().output().add(b"goodbye");
        if let Some(told) = &self.0 {
            told.send(()).expect("the test waits");
        }
    }
}

#[test]
fn a_handler_may_finish_its_work_during_a_drain() {
    let (told, tells) = mpsc::channel();
    let server = Server::start(1, move |_| Polite(Some(told.clone())));
    let mut client = server.connect();
    round_trip(&mut client, b"hello");
    server.handle.shutdown(Shutdown::Drain);
    assert_eq!(read_exactly(&mut client, 7), b"goodbye");
    round_trip(&mut client, b"one thing more");
    receive(&tells);
    drop(client);
    let report = server.join();
    assert_eq!((drained(&report), cut(&report)), (1, 0));
    tells.try_recv().expect_err("it is told once");
}

#[test]
fn the_report_says_who_was_cut_off_and_with_how_much() {
    let server = start(1, FAR, || Generous);
    let busy: Vec<_> = (0..2).map(|_| ask(&server)).collect();
    let mut idle = server.connect();
    server.handle.shutdown(Shutdown::Drain);
    assert!(read_to_end(&mut idle).is_empty());
    server.handle.shutdown(Shutdown::Now);
    let report = server.join();
    let [end] = &report.ends[..] else { panic!("one core: {report:#}") };
    assert_eq!((end.core, end.drained, end.cut), (0, 1, 2));
    // Some of it was under way already.
    assert!((1..2 * MUCH as u64).contains(&end.cut_bytes), "{report:#}");
    assert_eq!(end.cut_bytes, report.cores[0].cut_bytes);
    let [Left { label, count: 2, .. }] = &end.left[..] else { panic!("{report:#}") };
    assert!(label.ends_with("::Generous"), "{report:#}");
    assert!(report.unfinished.is_empty());
    drop(busy);
}

#[test]
fn in_virtual_time_a_drain_takes_until_its_deadline_and_no_longer() {
    let mut sim = Simulation::new(1);
    let listen = |sim: &mut Simulation| {
        let listener = sim.core().listen("10.0.0.1:7777", ListenOptions::new(), |conn| {
            conn.output().add_shared(pattern(1 << 20).into());
            Echo
        });
        listener.expect("the address is free").local_addr()
    };
    let addr = listen(&mut sim);
    let [greedy, slow] = [(); 2].map(|()| sim.connect(addr).expect("it listens"));
    sim.run_for(Duration::from_secs(1));
    let begun = sim.now();
    sim.core().handle().shutdown(Shutdown::Drain);
    let half = Duration::from_secs(15);
    // One takes all it is sent, the other nothing.
    sim.run_until(half, |sim| {
        sim.read(greedy);
        false
    });
    assert!(sim.is_eof(greedy) && sim.end_of(0).is_none(), "one is waited for");
    assert!(sim.run_until(2 * half, |sim| sim.is_stopped()), "at its deadline it ends");
    let end = sim.end_of(0).expect("it has stopped");
    assert_eq!((end.drained, end.cut, end.left.len()), (1, 1, 1), "{end}");
    assert!(end.cut_bytes > 0 && end.cut_bytes < 1 << 20, "{end}");
    let tick = Duration::from_millis(2);
    assert!((2 * half..2 * half + tick).contains(&end.took), "{end}");
    assert!(sim.now().saturating_since(begun) < 2 * half + tick);
    assert!(sim.is_reset(slow));
}

#[test]
fn in_virtual_time_a_drain_ends_with_the_last_connection() {
    let mut sim = Simulation::new(2);
    let listener = sim.core().listen("10.0.0.1:7777", ListenOptions::new(), |_| Polite(None));
    let addr = listener.expect("the address is free").local_addr();
    let peer = sim.connect(addr).expect("it listens");
    sim.run_for(Duration::from_secs(1));
    sim.core().handle().shutdown(Shutdown::Drain);
    sim.run_for(Duration::from_secs(7));
    assert!(!sim.is_stopped(), "it is waited for");
    assert_eq!(sim.read(peer), b"goodbye");
    sim.close(peer);
    assert!(sim.run_until(Duration::from_secs(1), |sim| sim.is_stopped()));
    let end = sim.end_of(0).expect("it has stopped");
    assert_eq!((end.drained, end.cut, end.cut_bytes, end.left.len()), (1, 0, 0, 0), "{end}");
    assert!(end.took >= Duration::from_secs(7) && end.took < Duration::from_secs(8), "{end}");
}

/// Says that it is in its call, and does not come back before its test is over.
struct Stuck(Sender<()>, Arc<Mutex<Receiver<()>>>);

impl Handler for Stuck {
    fn on_read(&mut self, _: &mut Context<'_>) {
        self.0.send(()).expect("the test waits");
        let _over = self.1.lock().expect("one core has it").recv_timeout(BOUND);
    }

    fn label(&self) -> &'static str {
        "the stuck one"
    }
}

/// A runtime whose one core will not come back from its first read, where to connect, and what
/// tells that it is there. It comes back when the sender is dropped.
fn sticky() -> (Runtime, SocketAddr, Receiver<()>, Sender<()>) {
    let (over, waits) = mpsc::channel();
    let (entered, enters) = mpsc::channel();
    let waits = Arc::new(Mutex::new(waits));
    let builder = Runtime::builder().cores(1).drain_timeout(Duration::ZERO);
    let builder = builder.join_timeout(Duration::from_millis(100));
    let mut runtime = builder.build().expect("cores can be built");
    let addr = runtime.listen(ANY, move |_| Stuck(entered.clone(), waits.clone()));
    (runtime, addr.expect("a port is free"), enters, over)
}

fn stick(addr: SocketAddr, enters: &Receiver<()>) -> TcpStream {
    let mut client = rig::connect(addr);
    std::io::Write::write_all(&mut client, b"?").expect("the kernel takes it");
    receive(enters);
    client
}

#[test]
fn a_core_that_does_not_return_is_given_up_and_named() {
    for how in [Shutdown::Drain, Shutdown::Now] {
        let (runtime, addr, enters, over) = sticky();
        let running = runtime.start().expect("threads start");
        let mut client = stick(addr, &enters);
        let (report, reports) = mpsc::channel();
        let joining = thread::spawn(move || report.send(running.shutdown(how)));
        let report = receive(&reports);
        joining.join().expect("joining does not panic").expect("the report was taken");
        let [core] = &report.unfinished[..] else { panic!("one core: {report}") };
        assert_eq!((core.core, core.label.as_str()), (0, "the stuck one"));
        let line = report.to_string();
        assert!(line.starts_with("0 of 1 cores ended; "), "{line}");
        assert!(line.ends_with("; core 0 is still in `the stuck one`"), "{line}");
        // It ends by itself when it comes back after all.
        drop(over);
        wait_for_close(&mut client);
    }
}

#[test]
fn a_run_ends_without_a_core_that_does_not_return() {
    let (runtime, addr, enters, over) = sticky();
    let handle = runtime.handle();
    let (result, results) = mpsc::channel();
    let run = move || result.send(runtime.run_with(SignalPolicy::Leave));
    let running = thread::spawn(run);
    let client = stick(addr, &enters);
    handle.shutdown(Shutdown::Now);
    let error = receive(&results).expect_err("a core is left behind");
    assert_eq!(
        error.to_string(),
        "a shutdown went on without some cores: core 0 is still in `the stuck one`; it must \
         return to its core"
    );
    assert!(matches!(error, Error::CoreUnfinished { cores } if cores.len() == 1));
    running.join().expect("running does not panic").expect("the result was taken");
    drop((over, client));
}

#[test]
fn without_a_shutdown_a_join_waits_for_as_long_as_it_takes() {
    let (runtime, addr, enters, over) = sticky();
    let running = runtime.start().expect("threads start");
    let handle = running.handle();
    let client = stick(addr, &enters);
    let (report, reports) = mpsc::channel();
    let joining = thread::spawn(move || report.send(running.join()));
    let waited = reports.recv_timeout(Duration::from_millis(300));
    assert!(waited.is_err(), "nobody has asked the core to end: {waited:?}");
    drop((over, client));
    handle.shutdown(Shutdown::Drain);
    assert!(receive(&reports).unfinished.is_empty());
    joining.join().expect("joining does not panic").expect("the report was taken");
}

#[test]
fn a_shutdown_that_waits_is_one_call() {
    let running = Runtime::builder().cores(2).build().expect("cores").start().expect("threads");
    let report = running.shutdown(Shutdown::Drain);
    assert_eq!(report.ends.iter().map(|end| end.core).collect::<Vec<_>>(), [0, 1]);
    assert!(report.panicked.is_empty() && report.unfinished.is_empty());
}

/// The server of the tests with signals: runs until one ends it.
fn serve_until_signalled(policy: SignalPolicy) {
    let builder = Runtime::builder().cores(2).drain_timeout(FAR);
    let mut runtime = builder.build().expect("cores can be built");
    let addr = runtime.listen(ANY, |_| Polite(None)).expect("a port is free");
    let said = thread::spawn(move || {
        // The signals are hooked before the cores run, and the cores run before this is served.
        round_trip(&mut rig::connect(addr), b"ready?");
        eprintln!("READY {addr}");
    });
    runtime.run_with(policy).expect("it runs");
    said.join().expect("it was served");
}

fn spawn_and_connect(test: &str) -> (ChildServer, TcpStream) {
    let mut child = ChildServer::spawn(child_command(test, &[]));
    let addr = child.wait_for("READY ").parse().expect("an address");
    let mut client = rig::connect(addr);
    round_trip(&mut client, b"hello");
    (child, client)
}

#[test]
fn a_signal_drains_and_the_program_ends_well() {
    if is_child() {
        return serve_until_signalled(SignalPolicy::default());
    }
    for signal in [Signal::TERM, Signal::INT] {
        let (child, mut client) = spawn_and_connect("a_signal_drains_and_the_program_ends_well");
        child.signal(signal);
        assert_eq!(read_exactly(&mut client, 7), b"goodbye");
        round_trip(&mut client, b"one thing more");
        drop(client);
        child.assert_success();
    }
}

#[test]
fn a_second_signal_ends_at_once() {
    if is_child() {
        return serve_until_signalled(SignalPolicy::default());
    }
    let (child, mut client) = spawn_and_connect("a_second_signal_ends_at_once");
    child.signal(Signal::TERM);
    assert_eq!(read_exactly(&mut client, 7), b"goodbye");
    child.signal(Signal::TERM);
    wait_for_close(&mut client);
    child.assert_success();
}

/// A log that cannot be written, where the thread that listens to signals tries.
struct BrokenLog;

impl Subscriber for BrokenLog {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, _: &tracing::Event<'_>) {
        assert_ne!(thread::current().name(), Some("sluicegate-signals"), "the output is closed");
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

#[test]
fn signals_end_a_program_whose_log_is_broken() {
    if is_child() {
        tracing::subscriber::set_global_default(BrokenLog).expect("it is the first");
        return serve_until_signalled(SignalPolicy::default());
    }
    let (child, mut client) = spawn_and_connect("signals_end_a_program_whose_log_is_broken");
    child.signal(Signal::TERM);
    assert_eq!(read_exactly(&mut client, 7), b"goodbye");
    child.signal(Signal::TERM);
    wait_for_close(&mut client);
    child.assert_success();
}

#[test]
fn other_signals_are_left_as_they_are() {
    if is_child() {
        return serve_until_signalled(SignalPolicy::default());
    }
    let (child, _client) = spawn_and_connect("other_signals_are_left_as_they_are");
    child.signal(Signal::HUP);
    child.assert_killed_by(Signal::HUP);
}

#[test]
fn a_program_may_keep_all_signals_to_itself() {
    if is_child() {
        return serve_until_signalled(SignalPolicy::Leave);
    }
    let (child, _client) = spawn_and_connect("a_program_may_keep_all_signals_to_itself");
    child.signal(Signal::TERM);
    child.assert_killed_by(Signal::TERM);
}

#[test]
fn a_drain_still_serves_those_the_kernel_had_connected() {
    const CLIENTS: u64 = 100;
    let builder = Runtime::builder().cores(1).drain_timeout(FAR);
    let mut runtime = builder.build().expect("cores can be built");
    let options = ListenOptions::new().accept_batch(8);
    let addr =
        runtime.listen_with(ANY, options, |_| Polite(None)).expect("a port is free").local_addr();
    let mut clients: Vec<_> = (0..CLIENTS).map(|_| rig::connect(addr)).collect();
    runtime.handle().shutdown(Shutdown::Drain);
    let server = Server::run(addr, runtime);
    clients.iter_mut().for_each(|client| assert_eq!(read_exactly(client, 7), b"goodbye"));
    drop(clients);
    let report = server.join();
    assert_eq!((drained(&report), cut(&report)), (CLIENTS, 0));
}
