//! The flags that place a server's cores, on `serve` and on `run`.

use crate::harness::{Served, command, finish, loadtest, number, says};

#[test]
fn every_word_is_the_runtimes_and_a_wrong_one_is_answered_with_the_nearest() {
    for command in [&["serve", "echo"][..], &["run", "echo"]] {
        let with = |flags: &[&'static str]| [command, flags].concat();
        says(&with(&["--cores", "0"]), 2, &["--cores", "\"0\""]);
        says(&with(&["--cores", "two"]), 2, &["\"two\"", "physical"]);
        says(&with(&["--pin", "eahc"]), 2, &["eahc", "did you mean `each`?"]);
        says(&with(&["--order", "pakc"]), 2, &["pakc", "did you mean `pack`?"]);
        says(&with(&["--smt", "3"]), 2, &["\"3\"", "`one`"]);
        says(&with(&["--idle", "spin:50"]), 2, &["spin:50", "spin:50us"]);
        says(&with(&["--idle", "spin:2s"]), 2, &["2s", "1s"]);
        says(&with(&["--accept", "reusport"]), 2, &["reusport", "did you mean `reuseport`?"]);
        says(&with(&["--accept", "single:lest"]), 2, &["did you mean `single:least`?"]);
        says(&with(&["--accept", "fixed:x"]), 2, &["fixed:x", "fixed:CORE"]);
        says(&with(&["--ordr", "pack"]), 2, &["--ordr", "--order"]);
    }
    says(&["serve", "echo", "--cores", "99999"], 2, &["99999", "1024"]);
    says(&["serve", "echo", "--cores", "2", "--accept", "fixed:2"], 2, &["core 2", "there are 2"]);
}

#[test]
fn variables_are_not_heeded_and_that_is_said() {
    let noted = |arguments: &[&str], variable: (&str, &str)| {
        let child = command(arguments).env(variable.0, variable.1).spawn();
        let output = finish(child.expect("the program starts"));
        String::from_utf8(output.stderr).expect("messages are UTF-8")
    };
    let refused = ["serve", "bare", "--pin", "each"];
    let said = noted(&refused, ("SLUICEGATE_CORES", "4"));
    assert!(said.contains("not heeded: SLUICEGATE_CORES=4\n"), "{said}");
    let said = noted(&refused, ("SLUICEGATE_PIN", "eahc"));
    assert!(said.contains("not heeded: SLUICEGATE_PIN: \"eahc\" is no way to pin"), "{said}");
    let said = noted(&refused, ("SLUICEGATE_THREADS", "4"));
    assert!(said.contains("not heeded: SLUICEGATE_THREADS\n"), "{said}");
    let said = noted(&refused, ("SLUICEGATE_SEED", "4"));
    assert!(!said.contains("note:"), "{said}");
    let said = noted(&["ratelimit", "--list"], ("SLUICEGATE_CORES", "4"));
    assert!(said.contains("SLUICEGATE_CORES=4"), "{said}");
    let said = noted(&["simulate", "--list"], ("SLUICEGATE_CORES", "4"));
    assert_eq!(said, "");
}

#[test]
fn a_server_runs_however_it_is_placed() {
    for flags in [
        &["--cores", "2", "--pin", "none"][..],
        &["--cores", "auto", "--pin", "set", "--order", "pack"],
        &["--smt", "one", "--pin", "node", "--strict"],
        &["--cores", "1", "--idle", "spin:50us"],
        &["--cores", "1", "--idle", "busy"],
    ] {
        let server = Served::start(&[&["echo"], flags].concat());
        assert_eq!(server.terminate().status.code(), Some(0), "{flags:?}");
    }
}

#[test]
fn connections_come_to_the_cores_as_asked() {
    for (mode, kept_alone) in [
        ("balanced", false),
        ("reuseport", true),
        ("single:least", false),
        ("single:round-robin", false),
        ("single:hash", false),
        ("fixed:1", true),
    ] {
        let output = loadtest(&[
            "run", "churn", "-d", "300ms", "-w", "0s", "-c", "4", "--cores", "2", "--pin", "none",
            "--accept", mode, "--json", "-",
        ]);
        let result: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON alone");
        let kept = number(&result, "/churn/accepts_kept");
        let handed = number(&result, "/churn/accepts_handed_over");
        assert!(kept + handed > 0.0, "{mode}");
        assert!(handed == 0.0 || !kept_alone, "{mode} hands nothing over: {handed}");
        if mode.starts_with("single:") {
            assert_eq!(number(&result, "/cores/1/accepted"), 0.0, "{mode}: core 0 accepts alone");
            assert_eq!(number(&result, "/cores/1/accepts_kept"), 0.0, "{mode}");
        }
        if mode == "single:round-robin" {
            // They are read while it runs, so a batch may be counted in one and not the other.
            let apart = (kept - handed).abs();
            assert!(apart <= 8.0 + (kept + handed) / 5.0, "by turns: {kept} and {handed}");
        }
        if mode == "fixed:1" {
            assert_eq!(number(&result, "/cores/0/accepted"), 0.0);
        }
    }
}

#[test]
fn a_run_places_the_server_it_starts() {
    let output = loadtest(&[
        "run", "echo", "-d", "200ms", "-w", "0s", "-c", "2", "--cores", "2", "--pin", "none",
        "--json", "-",
    ]);
    let result: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON alone");
    assert_eq!(result["cores"].as_array().unwrap().len(), 2);
    assert!(number(&result, "/totals/ops") > 0.0);
}

#[test]
fn what_places_nothing_is_refused() {
    says(&["run", "echo", "127.0.0.1:9", "--pin", "each"], 2, &["--pin", "address"]);
    for bare in [&["serve", "bare"][..], &["run", "echo", "--server", "bare"]] {
        let with = |flags: &[&'static str]| [bare, flags].concat();
        says(&with(&["--idle", "busy"]), 2, &["--idle", "bare"]);
        says(&with(&["--strict"]), 2, &["--strict", "bare"]);
        says(&with(&["--pin", "node"]), 2, &["node", "bare"]);
        says(&with(&["--cores", "auto"]), 2, &["bare", "--cores"]);
    }
    let ports = ["serve", "echo", "--port-per-core", "--accept", "reuseport"];
    says(&ports, 2, &["--port-per-core", "--accept"]);
    says(&["serve", "bare", "--pin", "each"], 2, &["--pin each", "--cpus"]);
}
