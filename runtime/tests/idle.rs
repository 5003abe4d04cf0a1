//! A runtime with nothing to do does nothing: no thread of it is woken, not even the watchdog's.
//!
//! The kernel counts how often each thread gave up its CPU; a thread that sleeps does not. One test
//! in a process of its own, so that every thread of a runtime is this one's. It lasts as long as
//! the idleness it measures, however fast the machine is.

mod rig;

use std::collections::BTreeMap;
use std::fs;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use rig::{ANY, BOUND, Echo, Server, receive, round_trip};
use sluicegate::{Core, Group, Runtime, Stall, TokenBucketConfig};

/// How long nobody may be woken.
const IDLE: Duration = Duration::from_secs(5);

/// Of each thread of the runtime, by its number: its name, and how often it gave its CPU up.
fn switches() -> BTreeMap<String, (String, u64)> {
    let mut found = BTreeMap::new();
    for task in fs::read_dir("/proc/self/task").expect("Linux has it").flatten() {
        // One that has ended meanwhile has no files any more.
        let Ok(name) = fs::read_to_string(task.path().join("comm")) else { continue };
        let Ok(status) = fs::read_to_string(task.path().join("status")) else { continue };
        if name.starts_with("sluicegate") {
            let counts = status.lines().filter_map(|line| line.split_once("_ctxt_switches:"));
            let sum = counts.map(|(_, count)| count.trim().parse::<u64>().expect("a number")).sum();
            let number = task.file_name().to_string_lossy().into_owned();
            found.insert(number, (name.trim().to_owned(), sum));
        }
    }
    found
}

#[test]
fn an_idle_runtime_is_not_woken() {
    let everyone = Group::new(TokenBucketConfig::per_second("1MB/s".parse().expect("a rate")));
    let everyone = everyone.expect("valid numbers");
    let (stalls, stalled) = mpsc::channel();
    // Who has heard enough listens no more.
    let tell = move |stall: &Stall| drop(stalls.send(stall.label.clone()));
    let builder = Runtime::builder().cores(2).watchdog(Duration::from_millis(20)).on_stall(tell);
    let mut runtime = builder.build().expect("cores can be built");
    let addr = runtime.listen(ANY, move |conn| {
        conn.join(&everyone).expect("a seat for every core");
        Echo
    });
    let server = Server::run(addr.expect("a port is free"), runtime);
    let mut clients: Vec<_> = (0..4).map(|_| server.connect()).collect();
    clients.iter_mut().for_each(|client| round_trip(client, &[7; 4096]));

    // Until it has come to rest, and has stayed there.
    let start = Instant::now();
    let stalls = || server.sum(|core| core.stalls);
    let (mut before, mut since, mut stalled_before) = (switches(), start, stalls());
    while since.elapsed() < IDLE {
        let waited = start.elapsed();
        assert!(waited < IDLE + BOUND, "after {waited:?} a thread still was woken: {before:?}");
        thread::sleep(Duration::from_millis(100));
        let now = switches();
        if now != before {
            (before, since, stalled_before) = (now, Instant::now(), stalls());
        }
    }
    // A core that waits for a CPU in the middle of a turn stalls, one that sleeps does not.
    assert_eq!(stalls(), stalled_before, "sleeping is no stall");
    let names: Vec<&str> = before.values().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names.len(), 3, "two cores and the watchdog: {names:?}");
    clients.iter_mut().for_each(|client| round_trip(client, b"and yet it serves"));
    assert_ne!(switches(), before, "who serves is woken, and counted");

    // The watchdog, which has slept as well, is there when it is needed.
    let (open, latch) = mpsc::channel::<()>();
    let hold = move |_: &mut Core| {
        let _opened = latch.recv_timeout(BOUND);
    };
    server.handle.submit_to(1, hold).expect("the core runs");
    while receive(&stalled) != "task" {}
    drop(open);
}
