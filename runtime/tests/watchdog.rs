//! The watchdog: a core that does not come back from user code is reported, with what it is at, how
//! long and why, and is left alone.
//!
//! No call here takes a time: each holds its core until the report has come.

mod rig;

use std::fs;
use std::net::TcpStream;
use std::path::Path;
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use rig::{ANY, BOUND, Echo, Server, eventually, receive, round_trip};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use sluicegate::{
    Buffer, Context, Filter, FilterOptions, FilterResult, FlushMode, Handler, MIN_STALL_THRESHOLD,
    Pin, Runtime, Shutdown, Stall, StallCause,
};

const THRESHOLD: Duration = Duration::from_millis(20);

/// Holds a core until it is let go, and lets go for good.
#[derive(Clone)]
struct Latch(Arc<Mutex<Receiver<()>>>);

impl Latch {
    fn new() -> (Sender<()>, Self) {
        let (open, opened) = mpsc::channel();
        (open, Self(Arc::new(Mutex::new(opened))))
    }

    /// Blocks until the other end is dropped.
    fn hold(&self) {
        let _opened = self.0.lock().expect("one core holds it").recv_timeout(BOUND);
    }
}

/// A server of one core whose stalls are told to the test.
fn watched<H: Handler>(
    factory: impl Fn(&mut sluicegate::BevMut<'_>) -> H + Send + Sync + 'static,
) -> (Server, Receiver<Stall>) {
    let (stalls, stalled) = mpsc::channel();
    let tell = move |stall: &Stall| {
        // A test that has seen enough listens no more.
        let _unheard = stalls.send(stall.clone());
    };
    let builder = Runtime::builder().cores(1).watchdog(THRESHOLD).on_stall(tell);
    let mut runtime = builder.build().expect("cores can be built");
    let addr = runtime.listen(ANY, factory).expect("a port is free");
    (Server::run(addr, runtime), stalled)
}

/// The next report that a stall has begun; another label may have had a slow moment before.
fn stall_of(stalled: &Receiver<Stall>, label: &str) -> Stall {
    loop {
        let stall = receive(stalled);
        if stall.label.contains(label) && !stall.is_over {
            assert!(stall.lasted >= THRESHOLD, "{stall}");
            assert_eq!(stall.core, 0);
            return stall;
        }
    }
}

fn end_of(stalled: &Receiver<Stall>, label: &str) -> Stall {
    loop {
        let stall = receive(stalled);
        if stall.label.contains(label) && stall.is_over {
            return stall;
        }
    }
}

struct Holds(Latch);

impl Handler for Holds {
    fn on_read(&mut self, cx: &mut Context<'_>) {
        self.0.hold();
        Echo.on_read(cx);
    }

    fn label(&self) -> &'static str {
        "the one that holds"
    }
}

fn ask(server: &Server) -> TcpStream {
    let mut client = server.connect();
    std::io::Write::write_all(&mut client, b"?").expect("the server reads");
    client
}

#[test]
fn a_handler_that_does_not_come_back_is_reported_while_it_does_not() {
    let (open, latch) = Latch::new();
    let (server, stalled) = watched(move |_| Holds(latch.clone()));
    let mut client = ask(&server);
    stall_of(&stalled, "the one that holds");
    let again = stall_of(&stalled, "the one that holds");
    assert!(again.lasted >= 2 * THRESHOLD, "{again}");
    // On a busy machine it may have waited for a CPU until it could block.
    let is_blocked =
        |stall: Stall| matches!(stall.cause, StallCause::Blocked | StallCause::Unknown);
    while !is_blocked(stall_of(&stalled, "the one that holds")) {}
    eventually("the stall is counted", || server.sum(|core| core.stalls) > 0);
    // On a slow machine others may have come before it, but none while it lasts.
    let counted = server.sum(|core| core.stalls);
    stall_of(&stalled, "the one that holds");
    let stalls = server.sum(|core| core.stalls);
    assert_eq!(stalls, counted, "it is one, however often it is told");
    drop(open);
    let over = end_of(&stalled, "the one that holds");
    assert!(over.lasted >= again.lasted, "{over}");
    assert_eq!(rig::read_exactly(&mut client, 1), b"?");
    round_trip(&mut client, b"the core goes on");
    let stats = server.handle.stats()[0];
    assert!(u128::from(stats.longest_stall_ns) >= over.lasted.as_nanos(), "{stats:?}");
    assert!(stats.stalled_ns >= stats.longest_stall_ns, "{stats:?}");
    assert!(stats.stalls > 1 || stats.stalled_ns == stats.longest_stall_ns, "{stats:?}");
}

#[test]
fn a_task_that_spins_is_reported_as_running() {
    let (server, stalled) = watched(|_| Echo);
    let (open, latch) = mpsc::channel::<()>();
    let spin = move |_: &mut sluicegate::Core| {
        let start = Instant::now();
        while latch.try_recv() == Err(mpsc::TryRecvError::Empty) && start.elapsed() < BOUND {
            std::hint::spin_loop();
        }
    };
    server.handle.submit_to(0, spin).expect("the core runs");
    let stall = stall_of(&stalled, "task");
    // On a busy machine it may rather have waited for a CPU.
    assert_ne!(stall.cause, StallCause::Blocked, "{stall}");
    drop(open);
    server.assert_echoes();
}

#[test]
fn timers_factories_and_filters_go_by_names_of_their_own() {
    struct Slow(Latch);
    impl Filter for Slow {
        fn input(
            &mut self,
            src: &mut Buffer,
            dst: &mut Buffer,
            _: Option<usize>,
            _: FlushMode,
        ) -> FilterResult {
            self.0.hold();
            dst.append(src);
            FilterResult::NeedMore
        }
    }
    let (open_factory, factory) = Latch::new();
    let (open_filter, filter) = Latch::new();
    let (open_timer, timer) = Latch::new();
    let (server, stalled) = watched(move |conn| {
        factory.hold();
        conn.filter(Slow(filter.clone()), FilterOptions::new()).expect("it is open");
        Echo
    });
    let mut client = ask(&server);
    stall_of(&stalled, &format!("factory of {}", server.addr));
    drop(open_factory);
    let stall = stall_of(&stalled, "filter ");
    assert!(stall.label.ends_with("::Slow"), "{stall}");
    drop(open_filter);
    assert_eq!(rig::read_exactly(&mut client, 1), b"?");
    let arm = move |core: &mut sluicegate::Core| {
        core.after(Duration::ZERO, move |_| timer.hold());
    };
    server.handle.submit_to(0, arm).expect("the core runs");
    stall_of(&stalled, "timer");
    drop(open_timer);
    round_trip(&mut client, b"the core goes on");
}

#[test]
fn who_is_told_about_stalls_may_panic() {
    let (told, tells) = mpsc::channel();
    let tell = move |_: &Stall| {
        let _unheard = told.send(());
        panic!("asked to when told about a stall");
    };
    let builder = Runtime::builder().cores(1).watchdog(THRESHOLD).on_stall(tell);
    let (open, latch) = Latch::new();
    let mut runtime = builder.build().expect("cores can be built");
    let addr = runtime.listen(ANY, move |_| Holds(latch.clone())).expect("a port is free");
    let server = Server::run(addr, runtime);
    let mut client = ask(&server);
    receive(&tells);
    receive(&tells);
    drop(open);
    assert_eq!(rig::read_exactly(&mut client, 1), b"?");
    eventually("the stall is over", || server.sum(|core| core.stalled_ns) > 0);
}

#[test]
fn who_does_not_come_back_when_told_about_a_stall_keeps_no_join_waiting() {
    let (told, tells) = mpsc::channel();
    let (come_back, never) = Latch::new();
    let tell = move |_: &Stall| {
        told.send(()).expect("the test waits");
        never.hold();
    };
    let builder = Runtime::builder().cores(1).watchdog(THRESHOLD).on_stall(tell);
    let builder = builder.join_timeout(Duration::from_secs(1));
    let running = builder.build().expect("cores can be built").start().expect("threads");
    let (open, latch) = Latch::new();
    running.handle().submit_to(0, move |_| latch.hold()).expect("the core runs");
    receive(&tells);
    drop(open);
    // Who joins is the one who would let it come back.
    let start = Instant::now();
    let report = running.shutdown(Shutdown::Now);
    assert!(start.elapsed() < BOUND / 2, "{report:#}");
    drop(come_back);
}

/// The CPUs of a thread of this process, as the kernel lists them.
fn cpus_of(task: &Path) -> Option<String> {
    let status = fs::read_to_string(task.join("status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"))?;
    Some(line.trim().to_owned())
}

#[test]
fn the_watchdog_is_not_confined_to_the_cpu_of_whoever_starts_it() {
    let all = cpus_of(Path::new("/proc/thread-self")).expect("it has some");
    let builder = Runtime::builder().cores(1).pin(Pin::Set).watchdog(THRESHOLD);
    let runtime = builder.build().expect("cores can be built");
    let confined = move || {
        let mut allowed = sched_getaffinity(None).expect("it has some");
        let first = (0..CpuSet::MAX_CPU).find(|&cpu| allowed.is_set(cpu)).expect("it has some");
        allowed.clear();
        allowed.set(first);
        sched_setaffinity(None, &allowed).expect("it may run there");
        runtime.start().expect("threads")
    };
    let running = thread::spawn(confined).join().expect("it starts");
    // Those of other tests beside this one run anywhere too.
    eventually("all watchdogs may run anywhere", || {
        let tasks = fs::read_dir("/proc/self/task").expect("Linux has it").flatten();
        let watchdogs = tasks.map(|task| task.path()).filter(|task| {
            fs::read_to_string(task.join("comm")).is_ok_and(|name| name.starts_with("sluicegate-w"))
        });
        let masks: Vec<String> = watchdogs.filter_map(|task| cpus_of(&task)).collect();
        !masks.is_empty() && masks.iter().all(|mask| *mask == all)
    });
    running.shutdown(Shutdown::Now);
}

#[test]
fn a_threshold_below_the_least_is_refused() {
    let below = MIN_STALL_THRESHOLD - Duration::from_nanos(1);
    let refused = Runtime::builder().cores(1).watchdog(below).build();
    let error = refused.expect_err("it is too short").to_string();
    assert_eq!(error, "a watchdog cannot call 999.999µs a stall: give it 1 ms at least, or none");
    assert!(Runtime::builder().cores(1).watchdog(MIN_STALL_THRESHOLD).build().is_ok());
    assert!(Runtime::builder().cores(1).watchdog(None).build().is_ok());
}
