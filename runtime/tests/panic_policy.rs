//! The panic policy: what panics takes its own connection along, is counted, and nothing else
//! notices; or it takes its core along, or the process, if the application wants that.

mod rig;

use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use rig::{
    ANY, ChildServer, Echo, Server, child_command, eventually, is_child, receive, round_trip,
    wait_for_close,
};
use rustix::process::Signal;
use sluicegate::{
    BevMut, Buffer, Context, Core, Direction, Error, Event, Filter, FilterOptions, FilterResult,
    FlushMode, Handle, Handler, ListenOptions, MeteredOperation, Observer, PanicPolicy, Runtime,
    Shutdown, SignalPolicy, Stopped, TokenBucketConfig,
};

/// Panics where its input says.
struct Fragile;

impl Handler for Fragile {
    fn on_read(&mut self, cx: &mut Context<'_>) {
        let (input, _) = cx.buffers();
        match input.first() {
            b"read" => panic!("asked to in on_read"),
            b"write" => cx.me().enable(Direction::Write),
            _ => Echo.on_read(cx),
        }
    }

    fn on_write(&mut self, cx: &mut Context<'_>) {
        let (input, _) = cx.buffers();
        assert!(input.first() != b"write", "asked to in on_write");
    }

    fn on_event(&mut self, _: &mut Context<'_>, event: Event) {
        panic!("asked to in on_event, {event:?}");
    }

    fn on_drain(&mut self, _: &mut Context<'_>) {
        panic!("asked to in on_drain");
    }
}

fn fragile() -> Server {
    Server::start(1, |_| Fragile)
}

/// One of a connection's own panics: counted, closed, and the next connection is served.
fn assert_contained(server: &Server, victim: &mut TcpStream, bystander: &mut TcpStream) {
    wait_for_close(victim);
    eventually("the panic is counted", || server.sum(|core| core.handler_panics) == 1);
    round_trip(bystander, b"nothing happened here");
    round_trip(&mut server.connect(), b"and the next is served");
}

#[test]
fn a_panic_in_on_read_closes_its_connection_only() {
    let server = fragile();
    let (mut victim, mut bystander) = (server.connect(), server.connect());
    round_trip(&mut bystander, b"hello");
    victim.write_all(b"read").expect("the server reads");
    assert_contained(&server, &mut victim, &mut bystander);
}

#[test]
fn a_panic_in_on_write_closes_its_connection_only() {
    let server = fragile();
    let (mut victim, mut bystander) = (server.connect(), server.connect());
    round_trip(&mut bystander, b"hello");
    victim.write_all(b"write").expect("the server reads");
    assert_contained(&server, &mut victim, &mut bystander);
}

#[test]
fn a_panic_in_on_event_closes_its_connection_only() {
    let server = fragile();
    let (mut victim, mut bystander) = (server.connect(), server.connect());
    round_trip(&mut bystander, b"hello");
    victim.shutdown(std::net::Shutdown::Write).expect("it is connected");
    assert_contained(&server, &mut victim, &mut bystander);
}

#[test]
fn a_panic_in_on_drain_does_not_hold_the_drain_up() {
    let server = fragile();
    let (mut victim, mut other) = (server.connect(), server.connect());
    round_trip(&mut victim, b"hello");
    round_trip(&mut other, b"hello");
    server.handle.shutdown(Shutdown::Drain);
    wait_for_close(&mut victim);
    wait_for_close(&mut other);
    assert_eq!(server.join().cores[0].handler_panics, 2);
}

#[test]
fn a_panic_in_the_factory_closes_the_new_connection_only() {
    let made = AtomicUsize::new(0);
    let server = Server::start(1, move |_| {
        assert!(made.fetch_add(1, Ordering::Relaxed) != 1, "asked to in the factory");
        Fragile
    });
    let mut bystander = server.connect();
    round_trip(&mut bystander, b"hello");
    let mut victim = server.connect();
    assert_contained(&server, &mut victim, &mut bystander);
}

#[test]
fn a_panic_in_a_task_or_timer_ends_that_alone() {
    let server = fragile();
    let mut bystander = server.connect();
    round_trip(&mut bystander, b"hello");
    let (fired, fires) = mpsc::channel();
    server.handle.submit_to(0, |_| panic!("asked to in a task")).expect("the core runs");
    server.on_core(0, move |core| {
        core.after(Duration::ZERO, |_| panic!("asked to in a timer"));
        core.after(Duration::from_millis(2), move |_| fired.send(()).expect("the test waits"));
    });
    receive(&fires);
    eventually("the panics are counted", || server.sum(|core| core.handler_panics) == 2);
    round_trip(&mut bystander, b"nothing happened here");
    round_trip(&mut server.connect(), b"and the next is served");
}

#[test]
fn a_panic_of_a_filter_as_it_is_dropped_is_counted_and_no_more() {
    struct Fragile;
    impl Filter for Fragile {}
    impl Drop for Fragile {
        fn drop(&mut self) {
            panic!("asked to as it is dropped");
        }
    }
    let server = Server::start(1, |conn| {
        conn.filter(Fragile, FilterOptions::new()).expect("it is open");
        Echo
    });
    let (mut first, mut other) = (server.connect(), server.connect());
    round_trip(&mut first, b"hello");
    drop(first);
    eventually("the panic is counted", || server.sum(|core| core.handler_panics) == 1);
    round_trip(&mut other, b"nothing happened here");
    assert_eq!(server.sum(|core| core.filters), 1);
}

/// Panics, whatever comes.
struct Bursts;

impl Filter for Bursts {
    fn input(
        &mut self,
        _: &mut Buffer,
        _: &mut Buffer,
        _: Option<usize>,
        _: FlushMode,
    ) -> FilterResult {
        panic!("asked to in a filter");
    }
}

/// Panics as it is dropped, which is when its client has said something.
struct Crumbles;

impl Handler for Crumbles {
    fn on_read(&mut self, cx: &mut Context<'_>) {
        cx.me().close_now();
    }
}

impl Drop for Crumbles {
    fn drop(&mut self) {
        panic!("asked to as it is dropped");
    }
}

/// Writes a [`Page`] that its peer does not get to see.
struct Owes;

impl Handler for Owes {
    fn on_read(&mut self, cx: &mut Context<'_>) {
        cx.me().output().add_owner(Page);
        cx.me().close_now();
    }
}

/// Bytes whose owner panics as they have been written.
struct Page;

impl AsRef<[u8]> for Page {
    fn as_ref(&self) -> &[u8] {
        b"page"
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        panic!("asked to as the page is dropped");
    }
}

#[test]
fn a_panic_of_an_owner_of_bytes_is_counted_and_nothing_else_notices() {
    struct Gives;
    impl Handler for Gives {
        fn on_read(&mut self, cx: &mut Context<'_>) {
            let (mut input, mut output) = cx.buffers();
            output.add(b"a ");
            output.add_owner(Page);
            output.add(b": ");
            output.append(&mut input);
        }
    }
    // Its writes are metered too: what a limit lent must not be lost.
    let server = Server::start(1, |conn| {
        let rate = "1MB/s".parse().expect("a rate");
        conn.set_rate_limit(Some(TokenBucketConfig::per_second(rate)));
        Gives
    });
    let mut client = server.connect();
    for panics in 1..=3 {
        client.write_all(b"hello").expect("the server reads");
        assert_eq!(rig::read_exactly(&mut client, 13), b"a page: hello");
        eventually("it is counted", || server.sum(|core| core.handler_panics) == panics);
    }
    assert_eq!(server.sum(|core| core.connections), 1);
}

fn listen_on<H: Handler>(
    handle: &Handle,
    core: usize,
    factory: impl Fn(&mut BevMut<'_>) -> H + Send + Sync + 'static,
) -> SocketAddr {
    let (told, addr) = mpsc::channel();
    let listen = move |core: &mut Core| {
        let listener = core.listen(ANY, ListenOptions::new(), factory).expect("a port is free");
        told.send(listener.local_addr()).expect("the test waits");
    };
    handle.submit_to(core, listen).expect("the core runs");
    receive(&addr)
}

/// Starts two cores of which the second stops by a panic: of what `factory` makes there, once its
/// client has said "read", or of `hurt`. Returns what it was at and what the panic said.
fn stop_a_core<H: Handler>(
    factory: impl Fn(&mut BevMut<'_>) -> H + Send + Sync + 'static,
    hurt: impl FnOnce(&mut Core) + Send + 'static,
) -> (String, String) {
    let builder = Runtime::builder().cores(2).panic_policy(PanicPolicy::StopCore);
    let running = builder.build().expect("cores").start().expect("threads");
    let handle = running.handle();
    let [mut far, mut near] = [0, 1].map(|core| rig::connect(listen_on(&handle, core, |_| Echo)));
    round_trip(&mut far, b"hello");
    round_trip(&mut near, b"hello");
    let mut victim = rig::connect(listen_on(&handle, 1, factory));
    victim.write_all(b"read").expect("the kernel takes it");
    // It may have stopped already.
    let _stopped = handle.submit_to(1, hurt);
    wait_for_close(&mut victim);
    wait_for_close(&mut near);
    eventually("its mailbox is closed", || handle.submit_to(1, |_| {}) == Err(Stopped { core: 1 }));
    round_trip(&mut far, b"nothing happened here");
    let report = running.shutdown(Shutdown::Now);
    let [panic] = &report.panicked[..] else { panic!("one core: {report:#}") };
    assert_eq!(panic.core, 1, "{report:#}");
    let ends: Vec<usize> = report.ends.iter().map(|end| end.core).collect();
    assert_eq!(ends, [0, 1], "each says how it ended: {report:#}");
    assert_eq!(report.cores[1].connections, 0);
    (panic.label.clone(), panic.message.clone())
}

fn nothing(_: &mut Core) {}

#[test]
fn a_panic_may_stop_its_core_and_no_other() {
    let (label, message) = stop_a_core(|_| Fragile, nothing);
    assert!(label.ends_with("::Fragile"), "{label}");
    assert_eq!(message, "asked to in on_read");

    let (label, message) = stop_a_core(|_| Crumbles, nothing);
    assert_eq!((&*label, &*message), ("drop of a handler", "asked to as it is dropped"));

    let bursting = |conn: &mut BevMut<'_>| {
        conn.filter(Bursts, FilterOptions::new()).expect("it is open");
        Echo
    };
    let (label, message) = stop_a_core(bursting, nothing);
    assert!(label.starts_with("filter ") && label.ends_with("::Bursts"), "{label}");
    assert_eq!(message, "asked to in a filter");

    let failing = |_: &mut BevMut<'_>| -> Echo { panic!("asked to in the factory") };
    let (label, message) = stop_a_core(failing, nothing);
    assert!(label.starts_with("factory of 127.0.0.1:"), "{label}");
    assert_eq!(message, "asked to in the factory");

    let (label, message) = stop_a_core(|_| (), |_| panic!("asked to in {}", "a task"));
    assert_eq!((&*label, &*message), ("task", "asked to in a task"));

    let (label, message) = stop_a_core(|_| Owes, nothing);
    let what = "an owner of bytes, or a source, panicked as it was dropped";
    assert_eq!((&*label, &*message), ("the core itself", what));

    let arm = |core: &mut Core| {
        core.after(Duration::ZERO, |_| std::panic::panic_any(7));
    };
    let (label, message) = stop_a_core(|_| (), arm);
    assert_eq!((&*label, &*message), ("timer", "it threw something that is no message"));
}

#[test]
fn a_connection_that_is_lost_with_its_core_is_answered_for() {
    let builder = Runtime::builder().cores(2).panic_policy(PanicPolicy::StopCore);
    let running = builder.build().expect("cores").start().expect("threads");
    let handle = running.handle();
    let (told, detached) = mpsc::channel();
    let leave = move |core: &mut Core| {
        let id = core.unconnected(());
        told.send(core.detach(id).expect("it is open")).expect("the test waits");
    };
    handle.submit_to(0, leave).expect("the core runs");
    let failing = |_: &mut BevMut<'_>| -> Echo { panic!("asked to as it is attached") };
    let pending = handle.attach(1, receive(&detached), failing).expect("the core runs");
    let (answer, answers) = mpsc::channel();
    let waiting = thread::spawn(move || answer.send(pending.wait()));
    let lost = receive(&answers).expect_err("its core has stopped");
    waiting.join().expect("waiting does not panic").expect("the answer was taken");
    let text = "the connection is lost: core 1 panicked while it took it, and has closed it";
    assert_eq!(lost.to_string(), text);
    let report = running.shutdown(Shutdown::Now);
    assert_eq!(report.panicked.len(), 1, "{report:#}");
}

#[test]
fn a_core_that_stops_drops_what_waits_for_it_and_does_not_run_it() {
    struct Told(mpsc::Sender<&'static str>, &'static str);
    impl Drop for Told {
        fn drop(&mut self) {
            let _unheard = self.0.send(self.1);
        }
    }
    let (told, tells) = mpsc::channel();
    let builder = Runtime::builder().cores(1).panic_policy(PanicPolicy::StopCore);
    let runtime = builder.build().expect("cores");
    let (timer, task) = (Told(told.clone(), "timer"), Told(told, "task"));
    let first = move |core: &mut Core| {
        for page in [Page, Page] {
            core.after(Duration::from_secs(600), move |_| drop(page));
        }
        core.after(Duration::from_secs(600), move |_| drop(timer));
        panic!("asked to in a task");
    };
    runtime.handle().submit_to(0, first).expect("it is there");
    let second = move |_: &mut Core| {
        let Told(told, _) = &task;
        told.send("ran").expect("the test waits");
    };
    runtime.handle().submit_to(0, second).expect("it is there");
    // Those that panic even then keep nobody waiting, nor any other from being dropped.
    for page in [Page, Page] {
        runtime.handle().submit_to(0, move |_| drop(page)).expect("it is there");
        // More than the core takes out at once.
        for _ in 0..1024 {
            runtime.handle().submit_to(0, nothing).expect("it is there");
        }
    }
    let (joined, joins) = mpsc::channel();
    let joining = thread::spawn(move || joined.send(runtime.start().expect("threads").join()));
    let report = receive(&joins);
    joining.join().expect("joining does not panic").expect("the report was taken");
    assert_eq!((report.panicked.len(), report.unfinished.len()), (1, 0), "{report:#}");
    let mut dropped: Vec<_> = tells.try_iter().collect();
    dropped.sort_unstable();
    assert_eq!(dropped, ["task", "timer"]);
}

#[test]
fn a_run_says_which_core_panicked_and_in_what() {
    struct Deadly;
    impl Observer for Deadly {
        fn metered(&mut self, _: &MeteredOperation) {
            panic!("asked to in an observer");
        }
    }
    // Whatever the policy, an observer's panic ends its core.
    let builder = Runtime::builder().cores(1).observer(|_| Box::new(Deadly));
    let mut runtime = builder.build().expect("cores");
    let limited = |conn: &mut BevMut<'_>| {
        let rate = "1MB/s".parse().expect("a rate");
        conn.set_rate_limit(Some(TokenBucketConfig::per_second(rate)));
        Echo
    };
    let addr = runtime.listen(ANY, limited).expect("a port is free");
    let (result, results) = mpsc::channel();
    let running = thread::spawn(move || result.send(runtime.run_with(SignalPolicy::Leave)));
    let mut client = rig::connect(addr);
    client.write_all(b"?").expect("the kernel takes it");
    wait_for_close(&mut client);
    let error = receive(&results).expect_err("the core is lost");
    assert_eq!(
        error.to_string(),
        "connections are lost: core 0 panicked in `observer`: asked to in an observer; see what \
         it was at and mend that"
    );
    assert!(matches!(error, Error::CorePanicked { panics } if panics.len() == 1));
    running.join().expect("running does not panic").expect("the result was taken");
}

#[test]
fn a_panic_may_abort_the_process() {
    if is_child() {
        let builder = Runtime::builder().cores(1).panic_policy(PanicPolicy::Abort);
        let mut runtime = builder.build().expect("cores can be built");
        let addr = runtime.listen(ANY, |_| Fragile).expect("a port is free");
        eprintln!("READY {addr}");
        return runtime.run().expect("it runs until it aborts");
    }
    let mut child = ChildServer::spawn(child_command("a_panic_may_abort_the_process", &[]));
    let addr = child.wait_for("READY ").parse().expect("an address");
    let mut client = rig::connect(addr);
    round_trip(&mut client, b"hello");
    client.write_all(b"read").expect("the kernel takes it");
    wait_for_close(&mut client);
    child.assert_killed_by(Signal::ABORT);
}
