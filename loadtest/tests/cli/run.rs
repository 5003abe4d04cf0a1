//! The `run` and `serve` commands from outside: results, JSON, exit codes.
//!
//! Asserts what is there, never how fast it was.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::harness::{Served, Started, loadtest, number, patiently, positive, told};

const SHORT: [&str; 4] = ["-w", "100ms", "-c", "5"];

/// Runs `run` for as short a time as brings enough, with JSON on standard output.
fn result(arguments: &[&str], enough: impl Fn(&Value) -> bool) -> Value {
    told(300, &[&["run"], arguments, &SHORT].concat(), enough)
}

/// Whether the server has accepted all connections, which clients do not wait for.
fn all_came(result: &Value) -> bool {
    result["cores"][0]["connections"] == 5
}

#[test]
fn echo_reports_every_key_others_rely_on() {
    for server in ["sluicegate", "bare"] {
        let figures = positive(&[
            "/totals/ops",
            "/totals/ops_per_sec",
            "/totals/bytes_out",
            "/latency/planned/max_us",
            "/server/cpu_us_per_op",
            "/server/syscalls_per_op",
            "/client/cpu_fraction",
            "/cores/0/ops",
        ]);
        let result = result(&["echo", "--server", server], |it| figures(it) && all_came(it));
        assert_eq!(result["schema"], 1);
        assert!(result["verdict"].is_string());
        let (ops, size) = (number(&result, "/totals/ops"), 64.0);
        assert!(number(&result, "/totals/bytes_in") >= ops * size);
        assert_eq!(number(&result, "/latency/planned/count"), ops);
        for key in ["p50_us", "p99_us", "p999_us"] {
            assert!(result["latency"]["planned"].get(key).is_some(), "{key}");
        }
        for key in ["user_us_per_op", "draws_per_op"] {
            assert!(result["server"].get(key).is_some(), "{key}");
        }
        assert!(result["cores"][0]["cpus"].as_str().is_some_and(|cpus| !cpus.is_empty()));
    }
}

#[test]
fn source_and_sink_move_bytes_in_their_direction_only() {
    let source = result(&["source"], positive(&["/totals/bytes_in", "/fairness/jain"]));
    assert_eq!(number(&source, "/totals/bytes_out"), 0.0);
    let sink = result(&["sink", "-s", "16KiB"], positive(&["/totals/bytes_out"]));
    assert_eq!(number(&sink, "/totals/bytes_in"), 0.0);
}

#[test]
fn large_requests_survive_full_socket_buffers() {
    let result = result(&["echo", "-s", "4MiB"], positive(&["/totals/ops"]));
    assert_eq!(number(&result, "/errors/closed"), 0.0);
}

#[test]
fn idle_connections_are_held_and_weighed() {
    let result = result(&["idle"], all_came);
    assert_eq!(number(&result, "/totals/ops"), 0.0);
    assert!(number(&result, "/server/memory_bytes_per_connection") >= 0.0);
}

#[test]
fn a_limited_echo_reports_draws() {
    result(
        &["echo", "--group-limit", "100MB/s"],
        positive(&["/server/metered", "/server/draws_per_op"]),
    );
}

#[test]
fn a_foreign_server_gives_the_clients_figures_and_with_its_pid_its_cpu_time() {
    let server = Served::start(&["bare"]);
    let address = server.address().to_string();
    let alone = result(&["echo", &address], positive(&["/totals/ops"]));
    assert!(alone["server"].is_null());
    let pid = std::process::id().to_string();
    let known = result(&["echo", &address, "--server-pid", &pid], positive(&["/totals/ops"]));
    assert!(known["server"]["syscalls_per_op"].is_null());
    assert!(known["server"].get("cpu_us_per_op").is_some());
}

#[test]
fn a_server_that_hangs_up_leaves_nothing_measured() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    // It ends with the process.
    thread::spawn(move || {
        for stream in listener.incoming() {
            // One reply is given, mostly in the warm-up, which must not be counted.
            let mut stream = stream.unwrap();
            let mut request = [0; 64];
            let _ = stream.read_exact(&mut request).and_then(|()| stream.write_all(&request));
        }
    });
    patiently(300, |duration| {
        let output = loadtest(&[&["run", "echo", &address, "-d", duration], &SHORT[..]].concat());
        let message = String::from_utf8(output.stderr).unwrap();
        if !message.contains("none of 5 connections lasted") {
            return Err(message);
        }
        assert_eq!(output.status.code(), Some(1));
        Ok(())
    });
}

#[test]
fn a_server_process_that_dies_ends_the_run_at_once() {
    let mut run = Started::new(&["run", "echo", "-c", "5", "-d", "1h"]);
    let server = run.await_child();
    let killed = Command::new("kill").args(["-KILL", &server]).status().unwrap();
    assert!(killed.success());
    let output = run.finish();
    let message = String::from_utf8(output.stderr).unwrap();
    assert!(message.contains("ended before it was asked to (signal: 9"), "{message}");
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn the_table_is_plain_text_with_a_verdict() {
    for (run, memory) in [
        (&["run", "echo", "--server", "bare"][..], "B per connection"),
        (&["run", "handshake"], "n/a per connection"),
    ] {
        let text = patiently(300, |duration| {
            let output = loadtest(&[run, &["-d", duration], &SHORT].concat());
            let text = String::from_utf8(output.stdout).unwrap();
            if output.status.success() {
                Ok(text)
            } else {
                Err(String::from_utf8(output.stderr).unwrap())
            }
        });
        for part in ["totals", "latency", "cost", memory, "core", "verdict"] {
            assert!(text.contains(part), "{part} in {text}");
        }
        assert!(!text.contains('\u{1b}'), "no control codes");
    }
}

#[test]
fn served_connections_are_echoed_and_sigterm_ends_with_zero() {
    for service in ["echo", "bare"] {
        let server = Served::start(&[service, "--cores", "2"]);
        let mut stream = TcpStream::connect(server.address()).unwrap();
        stream.write_all(b"sluice").unwrap();
        let mut reply = [0; 6];
        stream.read_exact(&mut reply).unwrap();
        assert_eq!(&reply, b"sluice");
        drop(stream);
        let output = server.terminate();
        assert_eq!(output.status.code(), Some(0), "{service}");
    }
}

#[test]
fn each_core_can_have_a_port_of_its_own() {
    let server = Served::start(&["echo", "--cores", "2", "--port-per-core"]);
    assert_eq!(server.addresses.len(), 2);
    for address in &server.addresses {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.write_all(b"gate").unwrap();
        let mut reply = [0; 4];
        stream.read_exact(&mut reply).unwrap();
        assert_eq!(&reply, b"gate");
    }
    assert_eq!(server.terminate().status.code(), Some(0));
}

#[test]
fn a_paced_source_keeps_its_rate_without_a_limit() {
    let begun = Instant::now();
    let server = Served::start(&["source", "--pace", "1MB/s", "--write-size", "1000"]);
    let mut streams = [0; 3].map(|_| TcpStream::connect(server.address()).unwrap());
    for stream in &mut streams {
        stream.read_exact(&mut [0; 100_000]).unwrap();
    }
    // Three times a tenth of a second's worth, and nothing was there before the server began.
    assert!(begun.elapsed() >= Duration::from_millis(299), "{:?}", begun.elapsed());
    assert_eq!(server.terminate().status.code(), Some(0));
}

#[test]
fn a_source_stops_although_its_data_has_no_end() {
    let server = Served::start(&["source", "--conn-limit", "1kB/s"]);
    let mut stream = TcpStream::connect(server.address()).unwrap();
    stream.read_exact(&mut [0; 16]).unwrap();
    assert_eq!(server.terminate().status.code(), Some(0));
}

#[test]
fn a_controlled_server_ends_with_its_input() {
    // The harness gives it an empty input.
    let output = loadtest(&["serve", "bare", "--controlled"]);
    assert_eq!(output.status.code(), Some(0));
    assert!(output.stdout.starts_with(b"READY 127.0.0.1:"));
}
