//! The steady state allocates nothing: after a warm-up no byte of an echo makes its core ask for
//! memory.
//!
//! Owns an allocator that counts, thread by thread, and otherwise is the system's. A core's count
//! is read on the core, and answered through atomics, because a channel would allocate.

#![expect(unsafe_code, reason = "an allocator is an unsafe trait; it forwards to the system's")]

mod rig;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use rig::filter::Swap;
use rig::{Echo, Server, eventually, pattern, round_trip};
use sluicegate::{
    BevId, BevMut, Core, Direction, Filter, FilterOptions, Group, PairOptions, Priority,
    TokenBucketConfig,
};

thread_local! {
    /// How often this thread has asked for memory. Needs no allocation and no destructor itself.
    static ASKED: Cell<u64> = const { Cell::new(0) };
}

struct Counting;

fn count() {
    ASKED.set(ASKED.get() + 1);
}

// SAFETY: every call goes to the system's allocator unchanged, which keeps the contract; counting
// touches a thread-local cell that neither allocates nor unwinds.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller keeps the contract of `alloc`, which is the same.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller keeps the contract of `alloc_zeroed`, which is the same.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        // SAFETY: the caller keeps the contract of `realloc`, and `memory` is the system's.
        unsafe { System.realloc(memory, layout, size) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps the contract of `dealloc`, and `memory` is the system's.
        unsafe { System.dealloc(memory, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// How often the first core has asked for memory so far.
fn asked(server: &Server) -> u64 {
    const UNANSWERED: u64 = u64::MAX;
    let answer = Arc::new(AtomicU64::new(UNANSWERED));
    let cell = answer.clone();
    let task = move |_: &mut Core| cell.store(ASKED.get(), Ordering::Release);
    server.handle.submit_to(0, task).expect("the core runs");
    eventually("the core answers", || answer.load(Ordering::Acquire) != UNANSWERED);
    answer.load(Ordering::Acquire)
}

fn rounds(clients: &mut [TcpStream], count: usize, message: &[u8]) {
    for _ in 0..count {
        clients.iter_mut().for_each(|client| round_trip(client, message));
    }
}

/// Asserts that a core asks for no memory while `run` has it do what it has done before.
///
/// It may have to run again: a queue grows for good when a busy machine first gives a thread no CPU
/// for as long. What asks for memory now and then does so in every one of these.
fn assert_none(server: &Server, what: &str, mut run: impl FnMut()) {
    const ATTEMPTS: usize = 10;
    // The task that asks is one allocation, made on the asking thread.
    let mut asked_in_a_run = || {
        let before = asked(server);
        run();
        asked(server) - before
    };
    let counts: Vec<u64> = (0..ATTEMPTS)
        .map(|_| asked_in_a_run())
        .scan(false, |clean, count| (!std::mem::replace(clean, count == 0)).then_some(count))
        .collect();
    assert_eq!(counts.last(), Some(&0), "allocations in {what}, run after run: {counts:?}");
}

/// Asserts that an echo server whose connections are set up so allocates nothing.
fn assert_steady(setup: impl Fn(&mut BevMut<'_>) + Send + Sync + 'static) {
    let server = Server::start(1, move |conn| {
        setup(conn);
        Echo
    });
    let mut clients: Vec<_> = (0..8).map(|_| server.connect()).collect();
    for size in [64, 4096, 16_384] {
        let message = pattern(size);
        rounds(&mut clients, 200, &message);
        assert!(asked(&server) > 0, "the allocator does not count");
        let what = format!("4000 echoes of {size} bytes");
        assert_none(&server, &what, || rounds(&mut clients, 500, &message));
    }
}

#[test]
fn a_plain_echo_allocates_nothing() {
    assert_steady(|_| ());
}

#[test]
fn an_echo_under_limits_and_timeouts_allocates_nothing() {
    let group = Group::new(ample()).expect("valid");
    assert_steady(move |conn| {
        conn.join(&group).expect("a seat");
        conn.set_rate_limit(Some(ample()));
        conn.set_timeout(Direction::Read, Some(Duration::from_secs(60)));
    });
}

#[test]
fn an_echo_through_filters_allocates_nothing() {
    let group = Group::new(ample()).expect("valid");
    assert_steady(move |conn| {
        conn.set_priority(Priority::High);
        let id = conn.id();
        // Two that invert change nothing together.
        let below = filtered(conn.core(), id, (Swap, Swap));
        let mut top = conn.core().get(below).expect("it is open");
        top.join(&group).expect("a seat");
        top.filter((), FilterOptions::new()).expect("it is open");
    });
}

#[test]
fn a_pair_that_answers_allocates_nothing() {
    assert_pair_steady(&[64, 65_536], |_, a, _| a);
}

#[test]
fn a_pair_under_limits_and_timeouts_allocates_nothing() {
    assert_pair_steady(&[64, 65_536], |core, a, b| {
        let group = Group::new(ample()).expect("valid");
        for id in [a, b] {
            let mut end = core.get(id).expect("it is open");
            end.join(&group).expect("a seat");
            end.set_rate_limit(Some(ample()));
            end.set_timeout(Direction::Read, Some(Duration::from_secs(60)));
        }
        a
    });
}

#[test]
fn a_pair_that_waits_for_its_group_allocates_nothing() {
    // Grants cut a long message into ever other pieces, and more pieces take more memory.
    assert_pair_steady(&[64], |core, a, b| {
        let scarce = TokenBucketConfig::per_second("2MB/s".parse().expect("a rate"));
        let group = Group::new(scarce).expect("valid");
        for id in [a, b] {
            core.get(id).expect("it is open").join(&group).expect("a seat");
        }
        a
    });
}

#[test]
fn a_pair_through_filters_allocates_nothing() {
    assert_pair_steady(&[64, 65_536], |core, a, b| {
        filtered(core, b, (Swap, ()));
        let group = Group::new(ample()).expect("valid");
        let top = filtered(core, a, ((), Swap));
        core.get(top).expect("it is open").join(&group).expect("a seat");
        core.get(top).expect("it is open").set_priority(Priority::Low);
        top
    });
}

/// A limit that is never reached.
fn ample() -> TokenBucketConfig {
    TokenBucketConfig::per_second("100GB/s".parse().expect("a rate"))
}

/// Puts two filters over a bufferevent, the lower first; returns what is on top.
fn filtered(
    core: &mut Core,
    id: BevId,
    (lower, upper): (impl Filter + 'static, impl Filter + 'static),
) -> BevId {
    let id = core.filter(id, lower, FilterOptions::new()).expect("it is open");
    core.filter(id, upper, FilterOptions::new()).expect("it is open")
}

/// Asserts that two ends that send a message to and fro allocate nothing, set up so; `setup`
/// returns which one begins.
fn assert_pair_steady(sizes: &[usize], setup: fn(&mut Core, BevId, BevId) -> BevId) {
    for &size in sizes {
        let server = Server::idle(1);
        server.on_core(0, move |core| {
            let (a, b) = core.pair(PairOptions::new(), Echo, Echo);
            let begins = setup(core, a, b);
            core.get(begins).expect("it is open").output().add(&pattern(size));
        });
        let callbacks = || server.sum(|core| core.callbacks);
        // A pause saves up tokens, and the burst after it fills the queues of a turn that has no
        // operations left: they grow when a busy machine first gives the thread no CPU for as long.
        server.on_core(0, |_| thread::sleep(Duration::from_millis(100)));
        let from = callbacks();
        eventually("it is warm", || callbacks() > from + 4000);
        assert_none(&server, &format!("5000 answers of {size} bytes"), || {
            let from = callbacks();
            eventually("it has answered often", || callbacks() > from + 5000);
        });
    }
}
