//! The driver's own count of system calls is what the kernel saw, by strace.
//!
//! The server is a child under strace and the client is this process, so that the child makes no
//! calls on sockets but the server's. Without strace, or where tracing is forbidden, the check is
//! skipped and says so.

mod rig;

use std::collections::HashMap;
use std::fs;
use std::io::{self, Read};
use std::process::Command;

use rig::{ANY, ChildServer, Echo, child_command, is_child, pattern, round_trip};
use sluicegate::{CoreStats, Runtime, Shutdown};

/// A server that ends with its input, which no socket is, and says how many calls it made.
fn serve_and_count() {
    let mut runtime = Runtime::builder().cores(2).build().expect("cores can be built");
    let addr = runtime.listen(ANY, |_| Echo).expect("a port is free");
    let running = runtime.start().expect("threads can be started");
    eprintln!("READY {addr}");
    io::stdin().read_to_end(&mut Vec::new()).expect("the parent ends it");
    running.handle().shutdown(Shutdown::Drain);
    let cores = running.join().cores;
    let sum = |figure: fn(&CoreStats) -> u64| cores.iter().map(figure).sum::<u64>();
    eprintln!(
        "COUNTED {} {} {} {}",
        sum(|core| core.reads),
        sum(|core| core.writes),
        sum(|core| core.accepts),
        sum(|core| core.polls)
    );
}

/// Why strace cannot be used here, if it cannot.
fn obstacle() -> Option<String> {
    match Command::new("strace").args(["-f", "-c", "-o", "/dev/null", "true"]).output() {
        Err(error) => Some(format!("strace does not start: {error}")),
        Ok(output) if output.status.success() => None,
        Ok(output) => Some(String::from_utf8_lossy(&output.stderr).trim().to_owned()),
    }
}

/// Calls by name, from the table of `strace -c`.
fn calls(table: &str) -> HashMap<&str, u64> {
    let row = |line: &'_ str| -> Option<u64> { line.split_whitespace().nth(3)?.parse().ok() };
    table.lines().filter_map(|line| Some((line.split_whitespace().last()?, row(line)?))).collect()
}

#[test]
fn the_driver_counts_the_calls_that_strace_counts() {
    if is_child() {
        return serve_and_count();
    }
    if let Some(why) = obstacle() {
        return eprintln!("SKIPPED: {why}");
    }
    let folder = tempfile::tempdir().expect("there is room for a folder");
    let file = folder.path().join("calls");
    let path = file.to_str().expect("temporary folders have plain names");
    let name = "the_driver_counts_the_calls_that_strace_counts";
    let command = child_command(name, &["strace", "-f", "-c", "-o", path]);
    let mut child = ChildServer::spawn(command);
    let addr = child.wait_for("READY ").parse().expect("an address");
    let mut clients: Vec<_> = (0..8).map(|_| rig::connect(addr)).collect();
    for size in [1, 64, 1000, 100_000] {
        let message = pattern(size);
        clients.iter_mut().for_each(|client| round_trip(client, &message));
    }
    drop(clients);
    child.end_input();
    let counted = child.wait_for("COUNTED ");
    child.assert_success();

    let counted: Vec<u64> =
        counted.split(' ').map(|number| number.parse().expect("a number")).collect();
    let table = fs::read_to_string(&file).expect("strace has written it");
    let calls = calls(&table);
    let seen = |names: &[&str]| -> u64 { names.iter().filter_map(|name| calls.get(name)).sum() };
    assert_eq!(counted[0], seen(&["recvfrom"]), "reads\n{table}");
    assert_eq!(counted[1], seen(&["sendto", "writev"]), "writes\n{table}");
    assert_eq!(counted[2], seen(&["accept4", "accept"]), "accepts\n{table}");
    assert_eq!(counted[3], seen(&["epoll_wait", "epoll_pwait"]), "polls\n{table}");
    assert!(counted.iter().all(|&count| count > 0), "{counted:?}");
}
