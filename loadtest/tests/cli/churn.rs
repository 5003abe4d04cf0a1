//! `run churn` from outside: connections that come and go, and what is said of them.
//!
//! Asserts what is there, never how fast it was.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::thread;

use serde_json::Value;

use crate::harness::{number, patiently, positive, says, told, tried};

/// Runs a `run churn` for as short a time as brings enough, with JSON on standard output.
fn churn(arguments: &[&str], enough: impl Fn(&Value) -> bool) -> Value {
    told(600, &[&["run", "churn", "-w", "100ms"], arguments].concat(), enough)
}

#[test]
fn short_connections_are_counted_and_timed_in_their_parts() {
    for server in ["sluicegate", "bare"] {
        let figures = [
            "/totals/ops",
            "/latency/connect/count",
            "/latency/lateness/count",
            "/cores/0/accepted",
            "/server/cpu_us_per_op",
        ];
        let result = churn(&["-c", "4", "--server", server], positive(&figures));
        let ops = number(&result, "/totals/ops");
        assert_eq!(number(&result, "/latency/planned/count"), ops);
        assert_eq!(number(&result, "/latency/exchange/count"), ops);
        assert_eq!(
            number(&result, "/churn/connections_per_sec"),
            number(&result, "/totals/ops_per_sec")
        );
        assert_eq!(result["churn"]["sources"], "127.0.0.2-127.0.0.65");
        assert_eq!(result["churn"]["close"], "fin");
        assert!(number(&result, "/churn/unfinished") <= 4.0);
        for kind in ["refused", "closed", "reset"] {
            assert_eq!(result["errors"][kind], 0, "{kind}");
        }
        assert_eq!(result["errors"]["other"], Value::Object(serde_json::Map::new()));
    }
}

/// How many connections the cores had together each time it was looked.
fn looks(result: &Value) -> Vec<u64> {
    let samples = result["churn"]["live"]["samples"].as_array().into_iter().flatten();
    let cores = samples.map(|sample| sample["cores"].as_array().unwrap());
    cores.map(|cores| cores.iter().map(|core| core.as_u64().unwrap()).sum()).collect()
}

#[test]
fn long_connections_stay_and_are_seen_on_the_cores() {
    let arguments = ["--rate", "0.2k/s", "--long", "3", "-t", "2", "--sources", "2"];
    let result = churn(&arguments, |result| {
        !looks(result).is_empty() && looks(result).iter().all(|&open| open >= 3)
    });
    assert_eq!(number(&result, "/churn/offered_per_sec"), 200.0);
    assert_eq!(number(&result, "/churn/long"), 3.0);
    assert_eq!(result["churn"]["sources"], "127.0.0.2-127.0.0.3");
    assert!(number(&result, "/cores/0/connections") >= 3.0);
    assert!(result["server"]["memory_bytes_per_connection"].is_null());
    // Of 200 a second no more can have been begun, however fast the machine.
    let seconds = number(&result, "/load/duration_s") + number(&result, "/load/warmup_s");
    assert!(number(&result, "/latency/lateness/count") <= 200.0 * seconds + 1.0);
}

#[test]
fn the_spread_tells_a_core_that_has_all_from_cores_that_share() {
    let mean = |result: &Value| number(result, "/churn/live/spread");
    let spread = |mode: &str, enough: &dyn Fn(&Value) -> bool| {
        let placed = ["--cores", "2", "--pin", "none", "--accept", mode];
        let arguments = [&["-c", "4", "--long", "40"], &placed[..]].concat();
        let result = churn(&arguments, |result| {
            let looks = looks(result);
            !looks.is_empty() && looks.iter().all(|&open| open > 0) && enough(result)
        });
        [mean(&result), number(&result, "/churn/live/worst_spread")]
    };
    // One core has twice the mean then, and the other nothing.
    assert_eq!(spread("fixed:0", &|_| true), [2.0, 2.0]);
    // A balanced core keeps two or three more than the other, of some twenty; but one without a
    // CPU has not taken yet what was handed to it.
    let [mean, worst] = spread("balanced", &|result| mean(result) < 1.0);
    assert!(mean <= worst, "{mean} {worst}");
}

#[test]
fn a_rate_that_cannot_be_met_is_said_to_be_overloaded() {
    let result = churn(&["-c", "1", "--rate", "10M"], positive(&["/churn/backlog"]));
    assert!(result["verdict"].as_str().unwrap().contains("OVERLOADED"), "{}", result["verdict"]);
}

#[test]
fn a_reset_is_only_used_when_asked_for() {
    let result = churn(&["--reset", "-c", "2"], positive(&["/totals/ops"]));
    assert_eq!(result["churn"]["close"], "reset");
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
    let result = patiently(600, |duration| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        // It ends with the process.
        thread::spawn(move || {
            // The first finds out whether anybody listens, the second is cut short.
            for stream in listener.incoming().skip(2) {
                let mut stream = stream.unwrap();
                let mut request = [0; 64];
                let _ = stream.read_exact(&mut request).and_then(|()| stream.write_all(&request));
            }
        });
        // What fails in a warm-up is discarded.
        let (code, result) =
            tried(&["run", "churn", &address, "-c", "1", "-w", "0s", "-d", duration])?;
        assert_eq!(code, 0, "{result}");
        Ok(result)
    });
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
