//! The live page in a browser: its numbers appear, and move while traffic runs.
//!
//! Needs `chromium`, which `.ci/run` installs: with `SLUICEGATE_REQUIRE_BROWSER` set its absence is
//! a failure, else the test says that it is skipped. What the page shows is read from the document
//! that the browser prints, as no other tool than the browser is needed for that.

mod rig;

use std::env;
use std::io::{Read, Write};
use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Instant;

use rig::{ANY, BOUND, Echo, Server};
use sluicegate::{Group, Runtime, TokenBucketConfig};

const BROWSER: &str = "chromium";

/// Set where a missing browser is a failure.
const REQUIRED: &str = "SLUICEGATE_REQUIRE_BROWSER";

/// Milliseconds of the page's time that go by before the document is printed: some six readings.
const SPAN_MS: u32 = 6000;

/// Says what is missing, so that a run without it is not taken for more than it was.
fn is_there() -> bool {
    let version = Command::new(BROWSER).arg("--version").output();
    let there = version.is_ok_and(|output| output.status.success());
    if !there {
        assert!(env::var_os(REQUIRED).is_none(), "{REQUIRED} is set and {BROWSER} does not run");
        eprintln!("SKIPPED: the live page: {BROWSER} does not run; install it to check the page");
    }
    there
}

/// The document at `addr` after [`SPAN_MS`], as the browser has it.
fn document(addr: SocketAddr) -> String {
    let profile = tempfile::tempdir().expect("a folder for the browser");
    let mut browser = Command::new(BROWSER)
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-sync"])
        .args(["--disable-background-networking", "--disable-component-update"])
        .arg(format!("--user-data-dir={}", profile.path().display()))
        .arg(format!("--virtual-time-budget={SPAN_MS}"))
        .args(["--dump-dom", &format!("http://{addr}/")])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("it has told its version");
    let mut stdout = browser.stdout.take().expect("it is piped");
    let reader = thread::spawn(move || {
        let mut document = String::new();
        stdout.read_to_string(&mut document).map(|_| document)
    });
    let start = Instant::now();
    while browser.try_wait().expect("it can be waited for").is_none() {
        if start.elapsed() > 2 * BOUND {
            let _ended = browser.kill();
            let _reaped = browser.wait();
            panic!("{BROWSER} has not printed the page within {:?}", 2 * BOUND);
        }
        // Leaves the processor to the browser.
        thread::sleep(std::time::Duration::from_millis(20));
    }
    reader.join().expect("reading does not panic").expect("it is text")
}

/// What the cells of that figure say, row by row.
fn cells(document: &str, figure: &str) -> Vec<String> {
    let open = format!("data-figure=\"{figure}\">");
    let pieces = document.split(&open).skip(1);
    pieces.map(|piece| piece.split('<').next().unwrap_or_default().to_owned()).collect()
}

fn updates(document: &str) -> u32 {
    let count = document.split("data-updates=\"").nth(1).and_then(|rest| rest.split('"').next());
    count.and_then(|count| count.parse().ok()).unwrap_or_else(|| panic!("no update: {document}"))
}

/// Sends and receives until told to stop, as fast as the group lets it.
fn talk(server: &Server, stop: &AtomicBool) {
    let mut client = server.connect();
    let mut piece = [7; 4096];
    // Only the flag matters; no other data hangs on it.
    while !stop.load(Ordering::Relaxed) {
        client.write_all(&piece).expect("the server reads");
        client.read_exact(&mut piece).expect("the server answers");
    }
}

#[test]
fn numbers_appear_and_move_while_traffic_runs() {
    if !is_there() {
        return;
    }
    let config = TokenBucketConfig::per_second("200kB/s".parse().expect("it is a rate"));
    // A name that would be markup, were it not kept text.
    let name = "<b>tenants & \"co\"</b>";
    let group = Group::builder(config).name(name).build().expect("the numbers fit");
    let mut runtime = Runtime::builder().cores(2).metrics(ANY).build().expect("a port is free");
    let metrics = runtime.metrics_addr().expect("it was asked for");
    let echo = runtime.listen(ANY, move |conn| {
        conn.join(&group).expect("a seat for every core");
        Echo
    });
    let server = Server::run(echo.expect("a port is free"), runtime);
    let stop = AtomicBool::new(false);
    let documents = thread::scope(|scope| {
        let clients = [(); 4].map(|()| scope.spawn(|| talk(&server, &stop)));
        let documents = [(); 2].map(|()| document(metrics));
        stop.store(true, Ordering::Relaxed);
        for client in clients {
            client.join().expect("the server answers");
        }
        documents
    });

    for document in &documents {
        assert!(updates(document) >= 2, "it goes on reading: {document}");
        assert_eq!(cells(document, "connections").len(), 2, "a row for each core: {document}");
        let connections = cells(document, "connections").iter().map(|it| it.parse::<u32>()).sum();
        assert!(matches!(connections, Ok(5..)), "four clients and the browser: {document}");
        assert!(document.contains("&lt;b&gt;tenants &amp; "), "names are text: {document}");
        assert_eq!(cells(document, "limit"), ["200K", "200K"], "{document}");
        assert_eq!(cells(document, "members"), ["4", "4"], "{document}");
        // A rate is the difference of two readings, so it shows that what is read moves.
        let moves = |rate: &String| rate.starts_with(|c: char| c.is_ascii_digit()) && rate != "0";
        assert!(cells(document, "now").iter().all(moves), "{document}");
        assert!(cells(document, "turns").iter().any(moves), "{document}");
    }
    let [first, second] = &documents;
    assert_ne!(cells(first, "total"), cells(second, "total"), "what was moved in all has moved");
}
