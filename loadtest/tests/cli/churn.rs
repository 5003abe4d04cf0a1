//! `run churn` from outside: connections that come and go, and what is said of them.
//!
//! Asserts what is there, never how fast it was.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::thread;

use serde_json::Value;

use crate::harness::{number, says, told};

/// Runs a short `run churn` with JSON on standard output.
fn churn(arguments: &[&str]) -> Value {
    let short = ["run", "churn", "-d", "600ms"];
    let warm_up: &[_] = if arguments.contains(&"-w") { &[] } else { &["-w", "100ms"] };
    told(&[&short[..], warm_up, arguments].concat())
}

#[test]
fn short_connections_are_counted_and_timed_in_their_parts() {
    for server in ["sluicegate", "bare"] {
        let result = churn(&["-c", "4", "--server", server]);
        let ops = number(&result, "/totals/ops");
        assert!(ops > 0.0);
        assert_eq!(number(&result, "/latency/planned/count"), ops);
        assert_eq!(number(&result, "/latency/exchange/count"), ops);
        assert!(number(&result, "/latency/connect/count") > 0.0);
        assert!(number(&result, "/latency/lateness/count") > 0.0);
        assert_eq!(
            number(&result, "/churn/connections_per_sec"),
            number(&result, "/totals/ops_per_sec")
        );
        assert!(number(&result, "/cores/0/accepted") > 0.0);
        assert!(number(&result, "/server/cpu_us_per_op") > 0.0);
        assert_eq!(result["churn"]["sources"], "127.0.0.2-127.0.0.65");
        assert_eq!(result["churn"]["close"], "fin");
        assert!(number(&result, "/churn/unfinished") <= 4.0);
        for kind in ["refused", "closed", "reset"] {
            assert_eq!(result["errors"][kind], 0, "{kind}");
        }
        assert_eq!(result["errors"]["other"], Value::Object(serde_json::Map::new()));
    }
}

#[test]
fn long_connections_stay_and_are_seen_on_the_cores() {
    let result = churn(&["--rate", "0.2k/s", "--long", "3", "-t", "2", "--sources", "2"]);
    assert_eq!(number(&result, "/churn/offered_per_sec"), 200.0);
    assert_eq!(number(&result, "/churn/long"), 3.0);
    assert_eq!(result["churn"]["sources"], "127.0.0.2-127.0.0.3");
    let samples = result["churn"]["live"]["samples"].as_array().unwrap();
    assert!(!samples.is_empty());
    for sample in samples {
        let cores = sample["cores"].as_array().unwrap();
        assert!(cores.iter().map(|core| core.as_u64().unwrap()).sum::<u64>() >= 3, "{sample}");
    }
    assert!(number(&result, "/cores/0/connections") >= 3.0);
    // Of 200 a second no more can have been begun, however fast the machine.
    assert!(number(&result, "/latency/lateness/count") <= 141.0);
}

#[test]
fn the_spread_tells_a_core_that_has_all_from_cores_that_share() {
    let spread = |mode: &str| {
        let placed = ["--cores", "2", "--pin", "none", "--accept", mode];
        let result = churn(&[&["-c", "4", "--long", "40"], &placed[..]].concat());
        ["/churn/live/spread", "/churn/live/worst_spread"].map(|path| number(&result, path))
    };
    // One core has twice the mean then, and the other nothing.
    assert_eq!(spread("fixed:0"), [2.0, 2.0]);
    let [mean, worst] = spread("balanced");
    // A balanced core keeps two or three more than the other, of some twenty.
    assert!(mean < 1.0 && mean <= worst, "{mean} {worst}");
}

#[test]
fn a_rate_that_cannot_be_met_is_said_to_be_overloaded() {
    let result = churn(&["-c", "1", "--rate", "10M"]);
    assert!(result["verdict"].as_str().unwrap().contains("OVERLOADED"), "{}", result["verdict"]);
    assert!(number(&result, "/churn/backlog") > 0.0);
}

#[test]
fn a_reset_is_only_used_when_asked_for() {
    let result = churn(&["--reset", "-c", "2"]);
    assert_eq!(result["churn"]["close"], "reset");
    assert!(number(&result, "/totals/ops") > 0.0);
}

#[test]
fn a_server_that_never_answers_leaves_nothing_measured() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    // It ends with the process.
    thread::spawn(move || listener.incoming().for_each(drop));
    says(
        &["run", "churn", &address, "-d", "200ms", "-w", "0s", "-c", "2"],
        1,
        &["no short connection got its reply"],
    );
}

#[test]
fn a_connection_that_is_cut_short_is_counted_and_the_next_one_follows() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    thread::spawn(move || {
        // The first finds out whether anybody listens, the second is cut short.
        for stream in listener.incoming().skip(2) {
            let mut stream = stream.unwrap();
            let mut request = [0; 64];
            let _ = stream.read_exact(&mut request).and_then(|()| stream.write_all(&request));
        }
    });
    // What fails in a warm-up is discarded.
    let result = churn(&[&address, "-c", "1", "-w", "0s"]);
    assert!(number(&result, "/totals/ops") > 0.0);
    let errors = &result["errors"];
    let cut = errors["closed"].as_u64().unwrap() + errors["reset"].as_u64().unwrap();
    assert_eq!(cut, 1, "{errors}");
    assert!(result["verdict"].as_str().unwrap().contains("ERRORS"));
    assert!(result["server"].is_null() && result["churn"]["live"].is_null());
}

#[test]
fn flags_of_churn_are_refused_elsewhere_and_out_of_range() {
    for flag in [&["--rate", "5"][..], &["--long", "1"], &["--sources", "2"], &["--reset"]] {
        says(&[&["run", "echo"], flag].concat(), 2, &[flag[0], "run churn"]);
    }
    let run = |flags: &[&'static str]| [&["run", "churn"], flags].concat();
    says(&run(&["--rate", "0"]), 2, &["\"0\"", "10k"]);
    says(&run(&["--rate", "fast"]), 2, &["\"fast\"", "10k"]);
    says(&run(&["--long", "many"]), 2, &["many", "--long"]);
    says(&run(&["--sources", "0"]), 2, &["0", "1..=253"]);
    says(&run(&["--sources", "254"]), 2, &["254", "1..=253"]);
    says(&run(&["[::1]:9", "--sources", "2"]), 2, &["--sources", "IPv4 loopback"]);
    says(&run(&["--long", "4000000000"]), 2, &["--long 4000000000 needs", "file descriptors"]);
    says(&run(&["-c", "4000000000", "--long", "9"]), 2, &["-c 4000000000 needs"]);
    says(&run(&["-c", "0"]), 2, &["-c 0"]);
    says(&run(&["--sourcs", "2"]), 2, &["--sourcs", "--sources"]);
    says(&["run", "chrun"], 2, &["chrun", "churn"]);
}

#[test]
fn nobody_listening_is_found_before_the_run() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = listener.local_addr().unwrap().to_string();
    drop(listener);
    says(&["run", "churn", &taken], 1, &[&taken, "is a server listening there?"]);
}
