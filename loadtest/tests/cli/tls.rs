//! TLS from outside: every workload over it, whom the client trusts, and what is said when it
//! fails.
//!
//! Asserts what is there, never how fast it was.

use std::fs;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener};
use std::path::PathBuf;
use std::thread;

use openssl::ssl::{SslAcceptor, SslFiletype, SslMethod};
use serde_json::{Value, json};
use sluicegate::tls::Certificate;
use tempfile::TempDir;

use crate::harness::{Served, loadtest, number, patiently, positive, says, told, tried};

const SHORT: [&str; 4] = ["-w", "200ms", "-c", "3"];

/// Runs `run` over TLS for as short a time as brings these figures, with JSON on standard output.
fn result(arguments: &[&str], figures: &[&str]) -> Value {
    told(400, &[&["run"], arguments, &["--tls"], &SHORT].concat(), positive(figures))
}

const OPS: &str = "/totals/ops";

/// A certificate of `elsewhere.example` alone, and its key.
struct Files {
    _folder: TempDir,
    cert: PathBuf,
    key: PathBuf,
}

impl Files {
    fn new() -> Self {
        let folder = TempDir::new().unwrap();
        let (cert, key) = (folder.path().join("cert.pem"), folder.path().join("key.pem"));
        let certificate = Certificate::self_signed(&["elsewhere.example"], 1).unwrap();
        fs::write(&cert, certificate.chain_pem().unwrap()).unwrap();
        fs::write(&key, certificate.key_pem().unwrap()).unwrap();
        Self { _folder: folder, cert, key }
    }

    fn flags(&self) -> [&str; 4] {
        ["--cert", self.cert(), "--key", self.key.to_str().unwrap()]
    }

    fn cert(&self) -> &str {
        self.cert.to_str().unwrap()
    }
}

#[test]
fn every_workload_moves_its_bytes_over_tls() {
    for (arguments, moves) in [
        (&["echo"][..], true),
        // Replies of many records, which no single read takes.
        (&["echo", "-s", "200KiB", "--tls-version", "1.2"], true),
        (&["source"], true),
        (&["sink", "-s", "40000"], true),
        (&["idle"], false),
        (&["churn", "-s", "20000"], true),
    ] {
        // Some bytes move too where a reply gets stuck.
        let result = result(arguments, if moves { &[OPS] } else { &[] });
        let bytes = number(&result, "/totals/bytes_in") + number(&result, "/totals/bytes_out");
        assert_eq!(bytes > 0.0, moves, "{arguments:?}");
        let version = if arguments.contains(&"1.2") { "TLSv1.2" } else { "TLSv1.3" };
        assert_eq!(result["tls"]["version"], version, "{arguments:?}");
        assert!(result["tls"]["openssl"].as_str().unwrap().starts_with("OpenSSL "));
        assert!(result["tls"]["cipher"].as_str().unwrap().starts_with("TLS_"), "{arguments:?}");
        let errors = json!({
            "refused": 0, "refused_because": null, "closed": 0, "reset": 0, "other": {}
        });
        assert_eq!(result["errors"], errors, "{arguments:?}");
    }
}

#[test]
fn handshakes_are_full_or_resumed_and_told_apart() {
    for (version, flags) in [
        ("1.3", &[][..]),
        ("1.2", &[]),
        ("1.3", &["--resume"]),
        ("1.2", &["--resume"]),
        ("1.3", &["--resume=50%"]),
        ("1.2", &["--resume=50%"]),
    ] {
        let arguments = [&["handshake", "--tls-version", version], flags].concat();
        let figures = [OPS, "/tls/resumed_handshakes"];
        let result = result(&arguments, if flags.is_empty() { &figures[..1] } else { &figures });
        let ops = number(&result, OPS);
        let full = number(&result, "/tls/full_handshakes");
        let resumed = number(&result, "/tls/resumed_handshakes");
        assert_eq!(full + resumed, ops, "{arguments:?}");
        assert_eq!(resumed > 0.0, !flags.is_empty(), "{arguments:?}");
        // Every second one of each thread, but for those at the edges of the measured part.
        assert!(flags != ["--resume=50%"] || resumed <= full + 8.0, "{resumed} of {ops}");
        assert_eq!(number(&result, "/latency/handshake_full/count"), full);
        assert_eq!(number(&result, "/latency/handshake_resumed/count"), resumed);
        assert_eq!(number(&result, "/latency/exchange/count"), 0.0);
        assert_eq!(number(&result, "/totals/bytes_in"), 0.0, "there is no request");
        assert_eq!(number(&result, "/tls/unclean"), 0.0, "{arguments:?}");
        // Those that are open at a moment are not those that took it.
        assert!(result["server"]["memory_bytes_per_connection"].is_null(), "{arguments:?}");
        assert_eq!(result["errors"]["other"], json!({}), "{arguments:?}");
    }
}

#[test]
fn suites_are_those_that_were_asked_for() {
    let suite = "TLS_CHACHA20_POLY1305_SHA256";
    let new = result(&["echo", "--ciphersuites", suite], &[]);
    assert_eq!(new["tls"]["cipher"], suite);
    let cipher = "ECDHE-ECDSA-CHACHA20-POLY1305";
    let old = result(&["echo", "--tls-version", "1.2", "--ciphersuites", cipher], &[]);
    let expected = "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256";
    assert_eq!(old["tls"]["cipher"], expected);
}

#[test]
fn the_client_trusts_one_certificate_or_who_signed_it_for_a_name() {
    let (files, other) = (Files::new(), Files::new());
    let server = Served::start(&[&["echo", "--tls"], &files.flags()[..]].concat());
    let address = server.address().to_string();
    let name = "elsewhere.example";
    for flags in [
        &["--cert", files.cert()][..],
        &["--cert", files.cert(), "--sni", name],
        &["--cacert", files.cert(), "--sni", name],
    ] {
        result(&[&["echo", &address], flags].concat(), &[OPS]);
    }
    for (flags, part) in [
        (&["--cert", other.cert()][..], "self-signed certificate"),
        (&["--cacert", other.cert(), "--sni", name], "self-signed certificate"),
        (&["--cacert", files.cert()], "IP address mismatch"),
        (&["--cacert", files.cert(), "--sni", "localhost"], "hostname mismatch"),
    ] {
        let run = [&["run", "echo", &address, "--tls"], flags, &SHORT].concat();
        says(&run, 1, &["TLS handshake: certificate verify failed", part, "the certificate it"]);
    }
}

#[test]
fn a_server_that_makes_its_certificate_says_where_it_is() {
    let server = Served::start(&["echo", "--tls"]);
    let address = server.address().to_string();
    says(&["run", "echo", &address, "--tls"], 2, &["--cert", "--cacert", "nobody"]);
    let said = String::from_utf8(server.terminate().stderr).unwrap();
    let path = said.lines().find_map(|line| line.strip_prefix("certificate ")).unwrap();
    let path = path.split_once(": give it").unwrap().0;
    assert!(!fs::exists(path).unwrap(), "it goes with the server");
}

#[test]
fn a_server_that_makes_no_handshake_is_named() {
    let files = Files::new();
    let run = |answer: &'static [u8]| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        // It ends with the process.
        thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let _ = stream.read(&mut [0; 4096]).and_then(|_| stream.write_all(answer));
            }
        });
        move |workload: &'static str, files: &Files, part: &str| {
            let flags = ["run", workload, &address, "--tls", "--cert", files.cert()];
            says(&[&flags[..], &SHORT].concat(), 1, &["TLS handshake: ", part]);
        }
    };
    let http = run(b"HTTP/1.1 400 Bad Request\r\n\r\n");
    http("echo", &files, "wrong version number");
    http("handshake", &files, "wrong version number");
    run(b"")("echo", &files, "ended without close_notify");
    // A close_notify in the clear.
    run(b"\x15\x03\x03\0\x02\x01\0")("echo", &files, "ended by close_notify");
}

#[test]
fn an_end_without_close_notify_is_an_error_of_its_own_kind() {
    let files = Files::new();
    let mut acceptor = SslAcceptor::mozilla_intermediate_v5(SslMethod::tls_server()).unwrap();
    acceptor.set_certificate_chain_file(&files.cert).unwrap();
    acceptor.set_private_key_file(&files.key, SslFiletype::PEM).unwrap();
    let acceptor = acceptor.build();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    // It ends with the process.
    thread::spawn(move || {
        for stream in listener.incoming() {
            // A client whose time is up ends in the middle of anything.
            let Ok(mut stream) = acceptor.accept(stream.unwrap()) else { continue };
            thread::spawn(move || {
                let mut request = [0; 64];
                let _ = stream.read_exact(&mut request).and_then(|()| stream.write_all(&request));
                // Closed with a request unread it would be a reset.
                let _ = stream.get_ref().shutdown(Shutdown::Write);
                let _ = stream.get_mut().read_to_end(&mut Vec::new());
            });
        }
    });
    let lost = "none of 3 connections lasted until the end: 3 TLS: ended without close_notify";
    patiently(400, |duration| {
        let run = ["run", "echo", &address, "--tls", "--cert", files.cert(), "-d", duration];
        let output = loadtest(&[&run[..], &SHORT].concat());
        let message = String::from_utf8(output.stderr).unwrap();
        if message.contains(lost) { Ok(()) } else { Err(message) }
    });
    // Of a handshake nothing is missing: the client had said that it was the end.
    let run = ["handshake", &address, "--cert", files.cert()];
    let result = result(&run, &[OPS]);
    assert_eq!(number(&result, "/tls/unclean"), number(&result, "/totals/ops"));
}

#[test]
fn a_foreign_server_is_started_and_weighed() {
    let loadtest = env!("CARGO_BIN_EXE_loadtest");
    let command = format!("{loadtest} serve echo --tls --cert {{cert}} --key {{key}}");
    let cost = "/server/cpu_us_per_op";
    for (workload, figures) in [("echo", &[cost][..]), ("idle", &[])] {
        let figures = [figures, &["/server/memory_bytes_per_connection"]].concat();
        let result = result(&[workload, "--server-command", &command], &figures);
        let cost = result.pointer(cost).unwrap();
        assert_eq!(cost.is_number(), workload == "echo", "{workload} {cost}");
        assert!(result["server"]["syscalls_per_op"].is_null(), "{workload}");
        assert_eq!(result["load"]["server_command"], command);
        assert_eq!(result["cores"], json!([]));
    }
}

#[test]
fn a_foreign_server_is_a_side_of_a_comparison() {
    let command = format!("{} serve echo --cpus {{cpu}}", env!("CARGO_BIN_EXE_loadtest"));
    let sides = ["ab", "echo", "--a", "", "--b-command", &command, "--server-cpus", "auto"];
    let pairs = ["--pairs", "6", "-w", "0s", "-c", "1", "--by", "cost"];
    let result = patiently(100, |duration| {
        let (_, result) = tried(&[&sides, &pairs[..], &["-d", duration]].concat())?;
        let figures = result["b"]["figures"].as_array().unwrap();
        let all = figures.iter().filter(|figure| figure.as_f64() > Some(0.0)).count() == 6;
        if all { Ok(result) } else { Err(result.to_string()) }
    });
    assert_eq!(result["b"]["flags"], command);
}

#[test]
fn a_group_over_tls_keeps_to_its_limit() {
    let group = ["ratelimit", "group", "--tls", "-c", "4", "--group-limit", "2MB/s"];
    let (_, result) = patiently(2000, |duration| tried(&[&group[..], &["-d", duration]].concat()));
    let scenario = &result["scenarios"][0];
    assert_eq!(scenario["tls"], true);
    let (failed, excess) = (&scenario["checks"][1], &scenario["worst_excess_bytes"]);
    assert_eq!((&failed["value"], excess), (&json!(0.0), &json!(0)), "{scenario}");
}

#[test]
fn flags_of_tls_are_refused_where_they_mean_nothing() {
    let files = Files::new();
    let cert = files.cert();
    let address = "127.0.0.1:9";
    for (command, flags, parts) in [
        (&["run", "echo"][..], &["--resume"][..], &["--resume", "--tls"][..]),
        (&["run", "echo"], &["--sni", "a"], &["--sni", "--tls"]),
        (&["run", "echo", "--tls"], &["--resume"], &["--resume", "run handshake and churn"]),
        (&["run", "handshake"], &["--resume=101%"], &["101%", "--resume", "0% to 100%"]),
        (&["run", "handshake"], &["--resume=half"], &["half", "--resume", "2%"]),
        (&["run", "echo", "--tls"], &["--cert", cert], &["--cert", "--key"]),
        (&["run", "echo", "--tls"], &["--key", cert], &["--cert"]),
        (&["run", "echo", "--tls"], &["--sni", "127.0.0.1"], &["--sni 127.0.0.1", "host name"]),
        (&["run", "echo", "--tls"], &["--tls-version", "1.1"], &["1.1", "1.2", "1.3"]),
        (&["run", "echo", "--tls"], &["--ciphersuites", "AES"], &["AES", "openssl ciphers"]),
        (&["run", "echo", "--tls"], &["--cacert", "/no/such"], &["--cacert /no/such", "PEM"]),
        (&["run", "echo", "--tls"], &["--server", "bare"], &["bare", "no TLS"]),
        (&["run", "echo", address, "--tls"], &[], &["--cert", "--cacert"]),
        (
            &["run", "echo", address, "--tls"],
            &["--cert", cert, "--key", cert],
            &["--key", "address"],
        ),
        (&["run", "handshake"], &["--long", "3"], &["--long", "run churn"]),
        (&["run", "handshake"], &["--reset"], &["--reset", "run churn"]),
        (&["run", "handshake"], &["-s", "64"], &["-s", "no request"]),
        (&["run", "handshake"], &["--server", "bare"], &["bare", "no TLS"]),
        (&["run", "echo"], &["--server-command", "x {cert}"], &["{cert}", "--tls"]),
        (&["run", "echo"], &["--server-command", "x", "--cores", "1"], &["--cores", "command"]),
        (&["run", "echo", address], &["--server-command", "x"], &["cannot be used with"]),
        (&["ab", "echo", "--a", ""], &[], &["--b"]),
        (&["ab", "echo", "--a", "", "--b", ""], &["--b-command", "x"], &["cannot be used with"]),
        (&["serve", "echo"], &files.flags(), &["--cert", "--tls"]),
        (&["serve", "bare"], &["--tls"], &["serve bare", "no TLS"]),
        (&["serve", "echo", "--tls"], &["--cert", cert, "--key", cert], &["--cert, --key"]),
        (&["ratelimit", "libevent-1"], &["--tls"], &["--tls", "ratelimit group"]),
    ] {
        says(&[command, flags].concat(), 2, parts);
    }
    let gone = ["run", "echo", "--server-command", "/no/such/program"];
    says(&gone, 1, &["/no/such/program"]);
}
