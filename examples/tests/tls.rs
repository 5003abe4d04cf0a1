//! Starts the examples that speak TLS and talks to them with OpenSSL's program, its library and
//! curl.
//!
//! Each test owns its child processes, on free ports. One whose program is missing says that it is
//! skipped, unless `SLUICEGATE_REQUIRE_INTEROP` is set.

use std::env;
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use sluicegate::openssl::ssl::{ShutdownState, SslConnector, SslMethod, SslVerifyMode};

/// Set where a missing program is a failure.
const REQUIRED: &str = "SLUICEGATE_REQUIRE_INTEROP";

/// Any free port of the loopback interface.
const ANY: &str = "127.0.0.1:0";

/// Where the SSL echo server of libevent's book listens.
const DEFAULT_ADDR: &str = "127.0.0.1:9999";

/// Says what is missing, so that a run without it is not taken for more than it was.
fn is_there(program: &str, flag: &str) -> bool {
    let there = Command::new(program).arg(flag).output().is_ok_and(|it| it.status.success());
    if !there {
        assert!(env::var_os(REQUIRED).is_none(), "{REQUIRED} is set and {program} does not run");
        eprintln!("SKIPPED: an example with {program}: it does not run; install it to check this");
    }
    there
}

/// A running example, killed with the value.
struct Example {
    child: Child,
    stdout: BufReader<ChildStdout>,
    addr: String,
}

impl Example {
    fn start(path: &str, folder: &Path, arguments: &[&str]) -> Self {
        let mut example = Self::spawn(path, folder, &[&["--listen", ANY], arguments].concat());
        let line = example.line();
        let rest = line.strip_prefix("listening on ").unwrap_or_else(|| panic!("got {line:?}"));
        example.addr = rest.split([',', '\n']).next().expect("an address").to_owned();
        example
    }

    /// One that is not told where to listen; `None` if somebody else listens there.
    fn start_at_default(path: &str, folder: &Path) -> Option<Self> {
        let mut example = Self::spawn(path, folder, &["--self-signed"]);
        let line = example.line();
        if line.is_empty() {
            let status = example.child.wait().expect("it can be waited for");
            let taken = TcpListener::bind(DEFAULT_ADDR).is_err();
            assert!(taken && !status.success(), "it does not listen at {DEFAULT_ADDR}: {status}");
            return None;
        }
        assert_eq!(line, format!("listening on {DEFAULT_ADDR}\n"));
        Some(example)
    }

    fn spawn(path: &str, folder: &Path, arguments: &[&str]) -> Self {
        let mut child = Command::new(path)
            .current_dir(folder)
            .args(arguments)
            .stdout(Stdio::piped())
            .spawn()
            .expect("the example starts");
        let stdout = BufReader::new(child.stdout.take().expect("it is piped"));
        Self { child, stdout, addr: String::new() }
    }

    /// The next line it prints; none at the end.
    fn line(&mut self) -> String {
        let mut line = String::new();
        self.stdout.read_line(&mut line).expect("it prints text");
        line
    }
}

impl Drop for Example {
    fn drop(&mut self) {
        let _ended = self.child.kill();
        let _reaped = self.child.wait();
    }
}

/// An empty folder of this test run.
fn folder(name: &str) -> std::path::PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _absent = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).expect("a folder");
    folder
}

/// Follows the advice of the example: `cert` and `pkey` in `folder`, for localhost.
fn make_certificate(folder: &Path) {
    for command in [
        "genrsa -out pkey 2048",
        "req -new -key pkey -out cert.req -subj /CN=localhost",
        "x509 -req -days 365 -in cert.req -signkey pkey -out cert",
    ] {
        let made = Command::new("openssl").current_dir(folder).args(command.split(' ')).output();
        let made = made.expect("it runs");
        assert!(made.status.success(), "{command}: {}", String::from_utf8_lossy(&made.stderr));
    }
}

/// Starts a program in `folder`, which `timeout` ends if nobody else does.
fn start(folder: &Path, arguments: &[&str]) -> Child {
    Command::new("timeout")
        .current_dir(folder)
        .arg("60")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it runs")
}

/// Runs a program in `folder` to its end.
fn run(folder: &Path, arguments: &[&str]) -> Output {
    start(folder, arguments).wait_with_output().expect("it can be waited for")
}

#[test]
fn tls_echo_says_how_to_make_what_it_wants_and_serves_with_it() {
    if !is_there("openssl", "version") {
        return;
    }
    let folder = folder("tls_echo");
    let path = env!("CARGO_BIN_EXE_tls_echo");
    let output = run(&folder, &[path, "--listen", ANY]);
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stdout).expect("it prints text");
    assert_eq!(said.matches("\n  openssl ").count(), 3, "{said}");

    make_certificate(&folder);
    for arguments in [&[][..], &["--self-signed"]] {
        let mut example = Example::start(path, &folder, arguments);
        let command = ["openssl", "s_client", "-quiet", "-connect", &example.addr];
        let mut client = start(&folder, &command);
        client.stdin.as_mut().expect("it is piped").write_all(b"hello\n").expect("it reads");
        let mut back = [0; 6];
        client.stdout.as_mut().expect("it is piped").read_exact(&mut back).expect("it answers");
        assert_eq!(&back, b"hello\n");
        let mut printed = [0; 39];
        example.stdout.read_exact(&mut printed).expect("it prints");
        assert_eq!(&printed, b"Received 6 bytes\n----- data ----\nhello\n");
        client.kill().expect("it runs until it is ended");
        client.wait().expect("it can be waited for");
    }
}

#[test]
fn tls_echo_listens_where_libevents_does_with_a_backlog_of_1024() {
    let (folder, path) = (folder("tls_echo_defaults"), env!("CARGO_BIN_EXE_tls_echo"));
    let output = run(&folder, &[path, "--help"]);
    let help = String::from_utf8(output.stdout).expect("it prints text");
    assert!(help.contains(&format!("[default: {DEFAULT_ADDR}]")), "{help}");

    let Some(_example) = Example::start_at_default(path, &folder) else {
        eprintln!("SKIPPED: the port of tls_echo: somebody else listens at {DEFAULT_ADDR}");
        return;
    };
    if is_there("ss", "--version") {
        // What it waits for of a listening socket is its backlog, within what the system allows.
        let sockets = run(&folder, &["ss", "-Hltn", "sport = :9999"]).stdout;
        let sockets = String::from_utf8(sockets).expect("it prints text");
        let most = std::fs::read_to_string("/proc/sys/net/core/somaxconn").expect("it is there");
        let backlog = most.trim().parse::<u32>().expect("a number").min(1024).to_string();
        let is_ours = |line: &str| line.split_whitespace().nth(3) == Some(DEFAULT_ADDR);
        let ours = sockets.lines().find(|line| is_ours(line)).expect("it listens");
        assert_eq!(ours.split_whitespace().nth(2), Some(&*backlog), "{sockets}");
    }
}

/// A plain server behind a proxy, which answers each connection with a body.
struct Upstream {
    addr: String,
    /// Connections so far, counted before they are answered.
    asked: Arc<AtomicUsize>,
}

impl Upstream {
    /// Nobody is answered before so many have come.
    fn start(body: Vec<u8>, gathers: usize) -> Self {
        let listener = TcpListener::bind(ANY).expect("a port is free");
        let addr = listener.local_addr().expect("it is bound").to_string();
        let asked = Arc::<AtomicUsize>::default();
        let (count, body) = (asked.clone(), Arc::new(body));
        thread::spawn(move || {
            let mut streams = Vec::new();
            for stream in listener.incoming() {
                streams.push(stream.expect("a connection"));
                if count.fetch_add(1, Ordering::SeqCst) + 1 >= gathers {
                    for stream in streams.drain(..) {
                        let body = body.clone();
                        thread::spawn(move || answer(stream, &body));
                    }
                }
            }
        });
        Self { addr, asked }
    }
}

fn answer(mut stream: TcpStream, body: &[u8]) {
    let mut request = BufReader::new(&stream);
    let mut line = String::new();
    while request.read_line(&mut line).is_ok_and(|count| count > 2) {
        line.clear();
    }
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
    // A client may have had enough.
    let _sent = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body));
}

#[test]
fn tls_proxy_serves_curl_what_is_behind_it_at_the_rate_of_the_client() {
    if !is_there("curl", "--version") || !is_there("openssl", "version") {
        return;
    }
    let folder = folder("tls_proxy");
    make_certificate(&folder);
    let body: Vec<u8> = (0..100_000_u32).flat_map(|at| (at / 3).to_be_bytes()).collect();
    let upstream = Upstream::start(body.clone(), 2);
    let arguments = ["--upstream", &upstream.addr, "--each-client", "1MB/s"];
    let example = Example::start(env!("CARGO_BIN_EXE_tls_proxy"), &folder, &arguments);
    let port = example.addr.rsplit(':').next().expect("a port");
    let (url, to) = (format!("https://localhost:{port}/"), format!("localhost:{port}:127.0.0.1"));
    let fixed = ["curl", "-q", "-sS", "--fail", "--noproxy", "*", "--resolve", &to, &url];
    let begun = Instant::now();
    let clients = [(); 2].map(|()| start(&folder, &[&fixed[..], &["--cacert", "cert"]].concat()));
    for client in clients {
        let output = client.wait_with_output().expect("it can be waited for");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        assert!(output.stdout == body, "it comes changed");
    }
    // Both came before either was answered, so of both bodies all but one burst, a tenth of a
    // second's worth, comes at the one rate.
    assert!(begun.elapsed().as_millis() >= 690, "it took {:?}", begun.elapsed());

    let output = run(&folder, &fixed);
    assert_eq!(output.status.code(), Some(60), "curl trusts nobody it was not told of");
}

#[test]
fn tls_proxy_dials_only_for_those_who_have_made_the_handshake() {
    if !is_there("curl", "--version") {
        return;
    }
    let folder = folder("tls_proxy_handshake");
    let upstream = Upstream::start(b"well met".to_vec(), 1);
    let arguments = ["--self-signed", "--upstream", &upstream.addr];
    let example = Example::start(env!("CARGO_BIN_EXE_tls_proxy"), &folder, &arguments);
    let mut stranger = TcpStream::connect(&example.addr).expect("it listens");
    stranger.set_read_timeout(Some(Duration::from_secs(60))).expect("not zero");
    stranger.write_all(b"GET / HTTP/1.1\r\n\r\n").expect("it takes bytes");
    // Thrown out, by whatever kind of end.
    let end = stranger.read_to_end(&mut Vec::new()).map_err(|error| error.kind());
    assert!(matches!(end, Ok(_) | Err(ErrorKind::ConnectionReset)), "{end:?}");
    let url = format!("https://{}/", example.addr);
    let output = run(&folder, &["curl", "-q", "-sS", "--insecure", "--noproxy", "*", &url]);
    assert_eq!(output.stdout, b"well met", "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(upstream.asked.load(Ordering::SeqCst), 1, "it was dialled for the stranger too");
}

/// All that comes over TLS until a goodbye; `None` where it ends without one.
fn all_from(addr: &str) -> Option<Vec<u8>> {
    let socket = TcpStream::connect(addr).expect("it listens");
    socket.set_read_timeout(Some(Duration::from_secs(60))).expect("not zero");
    let mut connector = SslConnector::builder(SslMethod::tls()).expect("a context");
    connector.set_verify(SslVerifyMode::NONE);
    let mut stream = connector.build().connect("localhost", socket).expect("a handshake");
    // It may have ended before.
    let _sent = stream.write_all(b"GET / HTTP/1.0\r\n\r\n");
    let mut came = Vec::new();
    let end = stream.read_to_end(&mut came).map_err(|error| error.kind());
    assert_ne!(end, Err(ErrorKind::WouldBlock), "it does not end");
    stream.get_shutdown().contains(ShutdownState::RECEIVED).then_some(came)
}

#[test]
fn tls_proxy_passes_an_end_on_as_one_and_a_failure_as_a_failure() {
    // It takes connections and resets them after a part of its answer.
    let listener = TcpListener::bind(ANY).expect("a port is free");
    let failing = listener.local_addr().expect("it is bound").to_string();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.expect("a connection");
            // Of the request one byte is read: the kernel answers the rest by a reset.
            let _part =
                stream.read_exact(&mut [0]).and_then(|()| stream.write_all(b"HTTP/1.0 200"));
        }
    });
    let whole = Upstream::start(b"well met".to_vec(), 1).addr;
    let folder = folder("tls_proxy_end");
    for (upstream, ends_well) in [(&*whole, true), (&*failing, false), ("127.0.0.1:1", false)] {
        let arguments = ["--self-signed", "--upstream", upstream];
        let example = Example::start(env!("CARGO_BIN_EXE_tls_proxy"), &folder, &arguments);
        let came = all_from(&example.addr);
        assert_eq!(came.is_some(), ends_well, "{upstream}: {came:?}");
        assert!(came.is_none_or(|came| came.ends_with(b"well met")));
    }
}
