//! `ab` from outside: what it tells and what it refuses.
//!
//! Never asserts which side wins: that is the machine's business.

use crate::harness::{loadtest, number, patiently, says, tried};

#[test]
fn two_servers_are_compared_in_pairs() {
    let sides = ["--a", "", "--b", "--watchdog off", "--server-cpus", "none"];
    let short = ["-w", "0s", "-c", "2", "--pairs", "6", "--seed", "3"];
    let (ended, result) = patiently(300, |duration| {
        tried(&[&["ab", "echo", "-d", duration], &sides[..], &short].concat())
    });
    let code = match result["verdict"].as_str().expect("it is told") {
        "SAME" | "B BETTER" => 0,
        "B WORSE" => 5,
        _ => 6,
    };
    assert_eq!(ended, code, "{result}");
    assert_eq!(number(&result, "/planned_pairs"), 6.0);
    assert!(result["ended_by"].is_null(), "{result}");
    assert_eq!(result["shared"], "a side is not pinned");
    assert_eq!((number(&result, "/pairs"), number(&result, "/seed")), (6.0, 3.0));
    assert_eq!(result["a"]["flags"], "");
    assert_eq!(result["b"]["flags"], "--watchdog off");
    for side in ["a", "b"] {
        assert_eq!(result[side]["figures"].as_array().unwrap().len(), 6);
    }
    let (least, most) = (number(&result, "/interval/0"), number(&result, "/interval/1"));
    assert!((least..=most).contains(&number(&result, "/ratio")), "{result}");
}

#[test]
fn sides_that_share_cpus_are_said_to_and_a_trial_that_fails_is_named() {
    // The second server finds its port taken.
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("there is a port");
    let flags = format!("--metrics {}", taken.local_addr().expect("it has an address"));
    let sides = ["--a", "", "--b", &flags, "--server-cpus", "none"];
    let short = ["-d", "50ms", "-w", "0s", "-c", "1", "--pairs", "6"];
    let output = loadtest(&[&["ab", "echo"], &sides[..], &short].concat());
    let (text, errors) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(text.contains("SHARED-CORE: client and server"), "{text}");
    assert!(text.contains("a side is not pinned"), "{text}");
    assert!(errors.contains("in round 1 failed"), "{errors}");
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn bad_flags_are_refused_with_what_is_right() {
    let ab = |flags: &[&'static str]| [&["ab", "echo"], flags].concat();
    says(&ab(&["--a", ""]), 2, &["--b"]);
    says(&ab(&["--a", "", "--b", "--connections 2"]), 2, &["--connections", "server"]);
    says(&ab(&["--a", "", "--b", "--watchdog 10"]), 2, &["10s", "off"]);
    says(&ab(&["--a", "", "--b", "", "--watchdog", "off"]), 2, &["--watchdog", "--a, --b"]);
    says(&ab(&["--a", "", "--b", "", "--by", "user", "-d", "1s"]), 2, &["-d 1s", "--by cost"]);
    says(&ab(&["--a", "", "--b", "", "--pairs", "5"]), 2, &["--pairs 5", "6"]);
    says(&ab(&["--a", "", "--b", "", "-c", "0"]), 2, &["-c 0"]);
    says(
        &["ab", "idle", "--a", "", "--b", ""],
        2,
        &["idle", "echo, source, sink, churn or handshake"],
    );
    let sides = ["--a", "--group-limit 10MB/s", "--b", "--group-limit 20MB/s"];
    for flag in [["--burst", "1MiB"], ["--tick", "10ms"], ["--group-limit", "1MB/s"]] {
        says(&ab(&[&sides[..], &flag].concat()), 2, &[flag[0], "within --a, --b or both"]);
    }
}

#[test]
fn a_watchdog_is_of_a_server_of_ours() {
    says(&["serve", "echo", "--watchdog", "1us"], 2, &["1us", "1ms", "off"]);
    says(&["serve", "bare", "--watchdog", "off"], 2, &["bare", "--watchdog"]);
    says(&["run", "echo", "--server", "bare", "--watchdog", "off"], 2, &["bare", "--watchdog"]);
    says(&["run", "echo", "127.0.0.1:9", "--metrics", "127.0.0.1:0"], 2, &["--metrics", "address"]);
}
