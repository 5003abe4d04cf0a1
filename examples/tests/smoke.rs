//! Starts every example and talks to it, as its header says a reader would.
//!
//! Each test owns one child process on a free port, waits for the line that says it listens, and
//! ends it by SIGTERM, which must drain and succeed; a program that ends by itself is just run.
//! Waits are bounded, on sockets by their timeouts.

use std::fs;
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(30);

struct Program {
    /// `None` once it has been told to end.
    child: Option<Child>,
    addr: String,
}

impl Program {
    /// Starts a program that prints `listening on HOST:PORT` first.
    fn start(path: &str, arguments: &[&str]) -> Self {
        Self::start_with(path, arguments, &[])
    }

    fn start_with(path: &str, arguments: &[&str], variables: &[(&str, &str)]) -> Self {
        let mut child = Command::new(path)
            .args(["--listen", "127.0.0.1:0"])
            .args(arguments)
            .envs(variables.iter().copied())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the example starts");
        let mut line = String::new();
        let stdout = child.stdout.take().expect("stdout is piped");
        BufReader::new(stdout).read_line(&mut line).expect("a line comes");
        let rest = line.strip_prefix("listening on ").unwrap_or_else(|| panic!("got {line:?}"));
        let addr = rest.split([',', '\n']).next().expect("an address").to_owned();
        Self { child: Some(child), addr }
    }

    /// Runs the same program as a client that sends `text`; returns what it prints.
    fn talk(&self, path: &str, text: &[u8]) -> Vec<u8> {
        let mut client = Command::new(path)
            .args(["--connect", &self.addr])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the client starts");
        let mut stdin = client.stdin.take().expect("stdin is piped");
        stdin.write_all(text).expect("it takes the text");
        drop(stdin);
        output(client)
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(&self.addr).expect("it accepts");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout can be set");
        stream
    }

    /// SIGTERM must drain and exit with 0.
    fn end(mut self) {
        let mut child = self.child.take().expect("it ends once");
        let pid = child.id().to_string();
        let killed = Command::new("kill").args(["-TERM", &pid]).status().expect("kill runs");
        assert!(killed.success());
        let (ended, end) = mpsc::channel();
        // A child that does not end is left to the test process's own end.
        std::thread::spawn(move || ended.send(child.wait()));
        let status = end.recv_timeout(PATIENCE).expect("it ends within the bound");
        let status = status.expect("it can be waited for");
        assert!(status.success(), "ended with {status}");
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // Reached with a child only when a test has failed.
        if let Some(mut child) = self.child.take() {
            let _gone = child.kill();
            let _reaped = child.wait();
        }
    }
}

/// Waits until a program ends well; returns what it has printed.
fn output(program: Child) -> Vec<u8> {
    let (ended, end) = mpsc::channel();
    // One that does not end is left to the test process's own end.
    std::thread::spawn(move || ended.send(program.wait_with_output()));
    let output = end.recv_timeout(PATIENCE).expect("it ends within the bound");
    let output = output.expect("it can be waited for");
    assert!(output.status.success(), "ended with {}", output.status);
    output.stdout
}

fn echoes(stream: &mut TcpStream, bytes: &[u8]) {
    stream.write_all(bytes).expect("it takes bytes");
    let mut back = vec![0; bytes.len()];
    stream.read_exact(&mut back).expect("they come back");
    assert!(back == bytes, "they come back changed");
}

/// Whether the connection ends within the bound, well or by a reset, whatever comes before.
fn is_ended(stream: &mut TcpStream) -> bool {
    match stream.read_to_end(&mut Vec::new()) {
        Ok(_) => true,
        Err(error) => error.kind() == ErrorKind::ConnectionReset,
    }
}

#[test]
fn echo_sends_back_what_it_gets_and_drains() {
    let program = Program::start(env!("CARGO_BIN_EXE_echo"), &["--cores", "2"]);
    let mut stream = program.connect();
    echoes(&mut stream, b"hello\n");
    echoes(&mut stream, &vec![7; 100_000]);
    program.end();
    assert_eq!(stream.read(&mut [0; 1]).expect("a clean end"), 0, "a drain closes the connection");
}

/// One that did not would listen, or talk.
#[test]
fn every_example_reads_the_variables_and_refuses_what_they_cannot_mean() {
    let listen: &[&str] = &["--listen", "127.0.0.1:0"];
    let connect: &[&str] = &["--connect", "127.0.0.1:1"];
    let programs: [(&str, &[&str]); 10] = [
        (env!("CARGO_BIN_EXE_echo"), listen),
        (env!("CARGO_BIN_EXE_rate_limited"), listen),
        (env!("CARGO_BIN_EXE_deflate"), listen),
        (env!("CARGO_BIN_EXE_deflate"), connect),
        (env!("CARGO_BIN_EXE_framing"), listen),
        (env!("CARGO_BIN_EXE_framing"), connect),
        (env!("CARGO_BIN_EXE_self_tunnel"), &[]),
        (env!("CARGO_BIN_EXE_tls_echo"), listen),
        (env!("CARGO_BIN_EXE_tls_proxy"), listen),
        (env!("CARGO_BIN_EXE_placement"), &[]),
    ];
    for (path, arguments) in programs {
        let mut child = Command::new(path)
            .args(arguments)
            .env("SLUICEGATE_CORE", "1")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the example starts");
        let mut line = String::new();
        let stdout = child.stdout.take().expect("stdout is piped");
        BufReader::new(stdout).read_line(&mut line).expect("a line comes, or the end");
        // It ends by itself now, or not at all.
        let _ended = child.kill();
        let said = child.wait_with_output().expect("it can be waited for").stderr;
        let said = String::from_utf8_lossy(&said);
        assert_eq!(line, "", "{path}: {said}");
        assert!(said.contains("SLUICEGATE_CORES"), "{path}: {said}");
    }
}

#[test]
fn a_group_has_seats_for_as_many_cores_as_a_variable_asks_for() {
    let path = env!("CARGO_BIN_EXE_rate_limited");
    let program = Program::start_with(path, &[], &[("SLUICEGATE_CORES", "24")]);
    // Many at the same time, so that they come to nearly all of the cores.
    let mut streams: Vec<TcpStream> = (0..200).map(|_| program.connect()).collect();
    streams.iter_mut().for_each(|stream| echoes(stream, b"hello\n"));
    program.end();
}

/// What `placement` prints for one of the machines that the runtime's tests plan on.
fn placement(machine: &str, flags: &[&str], variables: &[(&str, &str)]) -> Output {
    let machines = Path::new(env!("CARGO_MANIFEST_DIR")).join("../runtime/tests/machines");
    plan_below(&machines.join(machine), flags, variables)
}

fn plan_below(root: &Path, flags: &[&str], variables: &[(&str, &str)]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_placement"));
    command.arg("--root").arg(root).args(flags).envs(variables.iter().copied());
    command.output().expect("the example starts")
}

fn planned(machine: &str, flags: &[&str], variables: &[(&str, &str)]) -> String {
    let output = placement(machine, flags, variables);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("it prints text")
}

#[test]
fn placement_prints_the_plan_for_any_machine() {
    let page = planned("server", &["--cores", "3", "--pin", "each"], &[]);
    assert!(
        page.starts_with("cores=3 (as asked) pin=each cpus=0:0;1:1;2:4 order=spread"),
        "{page}"
    );
    let row = page.lines().find(|line| line.starts_with("│ 2 ")).expect("a row for core 2");
    let cells: Vec<_> =
        row.split(['│', '┆']).map(str::trim).filter(|cell| !cell.is_empty()).collect();
    assert_eq!(cells, ["2", "4", "1", "1", "12", "alone on its physical core"]);

    let page = planned("hybrid", &[], &[]);
    assert!(page.contains("\nwarning: not all CPUs are equally fast: 0-7 are, 8-11"), "{page}");
}

#[test]
fn placement_prints_json_that_says_the_same() {
    for machine in ["container", "container-v1"] {
        let text = planned(machine, &["--json", "--pin", "node"], &[]);
        let plan: serde_json::Value = serde_json::from_str(&text).expect("it is JSON");
        assert_eq!(plan["reason"], "what the CPU quota pays for");
        assert_eq!((&plan["allowed"], &plan["online"]), (&"4-7".into(), &"0-7".into()));
        assert_eq!(plan["quota"], "1.50");
        assert_eq!(plan["cores"].as_array().map(Vec::len), Some(2));
        assert_eq!(plan["cores"][1]["cpus"], "4-7");
        assert_eq!(plan["cores"][1]["why"], "confined to NUMA node 0");
        assert!(plan["warnings"][0].as_str().is_some_and(|said| said.contains("quota of 1.50")));
    }
    let text = planned("server", &["--json", "--cores", "3", "--pin", "each"], &[]);
    let plan: serde_json::Value = serde_json::from_str(&text).expect("it is JSON");
    let core = serde_json::json!({
        "core": 2,
        "cpus": "4",
        "nodes": "1",
        "packages": "1",
        "siblings": "12",
        "why": "alone on its physical core",
    });
    assert_eq!(plan["cores"][2], core);
    assert_eq!(plan["cores"].as_array().map(Vec::len), Some(3));
    assert_eq!(
        (&plan["cores"][0]["nodes"], &plan["cores"][0]["packages"]),
        (&"0".into(), &"0".into())
    );
}

#[test]
fn placement_takes_variables_and_flags_before_them() {
    let variables = [("SLUICEGATE_CORES", "physical"), ("SLUICEGATE_PIN", "each")];
    let page = planned("server", &["--order", "pack"], &variables);
    assert!(
        page.starts_with("cores=8 (one for each physical core) pin=each cpus=0:0;1:1;"),
        "{page}"
    );
    let page = planned("server", &["--cores", "1"], &variables);
    assert!(page.starts_with("cores=1 (as asked) pin=each cpus=0:0 "), "{page}");
    let page = planned("vm", &["--strict=false"], &[("SLUICEGATE_STRICT", "true")]);
    assert!(page.starts_with("cores=2 (one for each allowed CPU) pin=none allowed=0-1"), "{page}");
    let said: [(&[&str], bool); 5] = [
        (&[], true),
        (&["--strict"], true),
        (&["--strict=1"], true),
        (&["--strict=false"], false),
        (&["--strict=0"], false),
    ];
    for (flags, strict) in said {
        let page = planned("vm", &[&["--json"], flags].concat(), &[("SLUICEGATE_STRICT", "1")]);
        let plan: serde_json::Value = serde_json::from_str(&page).expect("it is JSON");
        assert_eq!(plan["strict"], strict, "{flags:?}");
    }
}

#[test]
fn placement_names_packages_by_whatever_number_they_have() {
    let root = Path::new(env!("CARGO_TARGET_TMPDIR")).join("packages");
    let write = |path: &str, text: &str| {
        let path = root.join(path);
        fs::create_dir_all(path.parent().expect("a file is in a folder")).expect("a folder");
        fs::write(path, text).expect("a file");
    };
    write("proc/self/status", "Cpus_allowed_list:\t0-1\n");
    for (cpu, package) in [(0, "36\n"), (1, "4096\n")] {
        write(&format!("sys/devices/system/cpu/cpu{cpu}/topology/physical_package_id"), package);
    }
    let page = plan_below(&root, &["--json", "--pin", "set"], &[]);
    let plan: serde_json::Value = serde_json::from_slice(&page.stdout).expect("it is JSON");
    assert_eq!(plan["cores"][0]["packages"], "36,4096");
}

#[test]
fn placement_refuses_what_cannot_be() {
    type Case<'a> = (&'a str, &'a [&'a str], &'a [(&'a str, &'a str)], &'a [&'a str]);
    let cases: &[Case<'_>] = &[
        ("container", &["--cpus", "0-3"], &[], &["cannot place", "CPUs 0-3", "it may use 4-7"]),
        ("vm", &["--cpus", "0,nod1"], &[], &["did you mean `node1`?"]),
        ("vm", &[], &[("SLUICEGATE_CORE", "1")], &["did you mean SLUICEGATE_CORES?"]),
        ("vm", &[], &[("SLUICEGATE_PIN", "eahc")], &["SLUICEGATE_PIN", "did you mean `each`?"]),
        ("nowhere", &[], &[], &["nowhere is no folder"]),
        ("vm", &["--cores", "two"], &[], &["--cores", "\"two\"", "`physical`"]),
        ("vm", &["--cores", "physcal"], &[], &["did you mean `physical`?"]),
        ("vm", &["--cores", "0"], &[], &["--cores", "\"0\"", "1 to 1024"]),
        ("vm", &["--cores", "1025"], &[], &["1025 cores", "1 to 1024"]),
        ("vm", &["--pin", "eahc"], &[], &["--pin", "\"eahc\"", "did you mean `each`?"]),
        ("vm", &["--order", "pakc"], &[], &["--order", "\"pakc\"", "did you mean `pack`?"]),
        ("vm", &["--smt", "3"], &[], &["--smt", "\"3\"", "`one`"]),
        ("vm", &["--idle", "spin:50"], &[], &["--idle", "spin:50us"]),
        ("vm", &["--idle", "spin:2s"], &[], &["--idle", "2s", "1s"]),
        ("vm", &["--strict=maybe"], &[], &["--strict", "'maybe'", "true, false"]),
        ("vm", &["--cpu", "0"], &[], &["'--cpu'", "'--cpus'"]),
        ("vm", &["--cores", "3", "--pin", "each"], &[], &["3 cores", "the 2 of 0-1", "`set`"]),
        ("vm", &["--cpus", "0;1", "--pin", "each"], &[], &["`pin each`", "set of CPUs for each"]),
        ("vm", &["--cpus", "0;1", "--cores", "3"], &[], &["3 cores", "2 sets"]),
        (
            "vm",
            &[],
            &[("SLUICEGATE_CPUS", "0;1"), ("SLUICEGATE_PIN", "each")],
            &["SLUICEGATE_PIN and SLUICEGATE_CPUS: `pin each` contradicts"],
        ),
    ];
    for (machine, flags, variables, parts) in cases {
        let output = placement(machine, flags, variables);
        let said = String::from_utf8(output.stderr).expect("it prints text");
        assert_eq!(output.status.code(), Some(2), "{flags:?}: {said}");
        assert!(output.stdout.is_empty(), "{flags:?} has a plan");
        for part in *parts {
            assert!(said.contains(part), "{flags:?} {variables:?}: {part:?} in {said}");
        }
    }
}

#[test]
fn rate_limited_echoes_at_its_limit() {
    let arguments = ["--group", "200kB/s", "--each", "1MB/s"];
    let program = Program::start(env!("CARGO_BIN_EXE_rate_limited"), &arguments);
    let mut stream = program.connect();
    let begun = Instant::now();
    // The burst is 64 KiB; the rest comes at the rate, so this cannot be quick.
    echoes(&mut stream, &vec![1; 165_536]);
    assert!(begun.elapsed() > Duration::from_millis(250), "it took {:?}", begun.elapsed());
    program.end();
}

#[test]
fn deflate_brings_back_what_it_compressed() {
    let path = env!("CARGO_BIN_EXE_deflate");
    let program = Program::start(path, &[]);
    let text: Vec<u8> = (0..100_000_u32).flat_map(|i| (i / 7).to_be_bytes()).collect();
    assert!(program.talk(path, &text) == text, "it comes back changed");
    // One who does not speak the protocol is thrown out.
    let mut stream = program.connect();
    stream.write_all(b"GET / HTTP/1.0").expect("it takes bytes");
    assert!(is_ended(&mut stream));
    program.end();
}

#[test]
fn framing_answers_each_message_and_refuses_long_ones() {
    let path = env!("CARGO_BIN_EXE_framing");
    let program = Program::start(path, &["--longest", "1000"]);
    assert_eq!(program.talk(path, b"one\ntwo, last"), b"ONE\nTWO, LAST\n");
    let mut stream = program.connect();
    stream.write_all(b"\0\0\0\x02hi").expect("it takes bytes");
    let mut answer = [0; 6];
    stream.read_exact(&mut answer).expect("it answers");
    assert_eq!(&answer, b"\0\0\0\x02HI");
    stream.write_all(&1001_u32.to_be_bytes()).expect("it takes bytes");
    assert!(is_ended(&mut stream), "too long");
    program.end();
}

#[test]
fn self_tunnel_shows_messages_and_sealed_records_without_a_socket() {
    let program = Command::new(env!("CARGO_BIN_EXE_self_tunnel"))
        .args(["hi", "how are you"])
        .stdout(Stdio::piped())
        .spawn()
        .expect("the example starts");
    let lines = [
        "client -> hi",
        "client <- its length is 2",
        "client -> how are you",
        "client <- its length is 11",
        "socket reads: 0, writes: 0",
    ];
    let shown = String::from_utf8(output(program)).expect("it prints text");
    let (wire, said): (Vec<_>, Vec<_>) = shown.lines().partition(|line| line.starts_with("wire "));
    assert_eq!(said, lines);
    assert!(wire[0].starts_with("wire   -> ") && wire[0].ends_with(": handshake"), "{shown}");
    assert!(wire[1..].iter().all(|line| line.ends_with("sealed")), "{shown}");
    // A record's head, a length, the message, its kind, a tag.
    assert!(wire.contains(&"wire   -> 37 bytes: sealed"), "{shown}");
}
