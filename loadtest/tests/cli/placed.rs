//! The flags that place a server's cores, on `serve` and on `run`.

use serde_json::Value;

use crate::harness::{Served, loadtest_with, number, patiently, positive, says, says_with, told};

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
fn a_server_that_a_person_starts_heeds_variables_and_flags_before_them() {
    let sets = ("SLUICEGATE_CPUS", "[allowed]*3");
    for (flags, variables, cores) in [
        (&[][..], &[("SLUICEGATE_CORES", "3")][..], 3),
        (&["--cores", "2"], &[("SLUICEGATE_CORES", "3")], 2),
        (&[], &[sets], 3),
        (&["--cpus", "none"], &[sets], 1),
        // Somebody else's, and one that says nothing.
        (&[], &[("SLUICEGATE_SEED", "4"), ("SLUICEGATE_CORES", "")], 1),
    ] {
        // With a port for each core they can be counted from outside.
        let serve = [&["echo", "--port-per-core"], flags].concat();
        let server = Served::start_with(&serve, variables);
        assert_eq!(server.addresses.len(), cores, "{flags:?} {variables:?}");
        let output = server.terminate();
        assert_eq!(output.status.code(), Some(0));
        let said = String::from_utf8(output.stderr).expect("messages are UTF-8");
        assert!(!said.contains("not heeded"), "{said}");
    }
}

#[test]
fn a_server_refuses_what_variables_cannot_mean() {
    for (name, text, flags, parts) in [
        ("SLUICEGATE_PIN", "eahc", &[][..], &["SLUICEGATE_PIN", "`each`"][..]),
        ("SLUICEGATE_PIN", "eahc", &["--pin", "none"], &["SLUICEGATE_PIN", "`each`"]),
        ("SLUICEGATE_CORE", "1", &[], &["SLUICEGATE_CORE:", "SLUICEGATE_CORES"]),
        ("SLUICEGATE_CORES", "1025", &[], &["1025", "1024"]),
        (
            "SLUICEGATE_CPUS",
            "allowed;allowed",
            &["--pin", "each"],
            &["pin each", "set of CPUs for each core"],
        ),
        ("SLUICEGATE_CPUS", "[allowed]*2", &["--cores", "3"], &["3 cores", "2 sets"]),
    ] {
        says_with(&[&["serve", "echo"], flags].concat(), &[(name, text)], 2, parts);
    }
    let paced = ["serve", "source", "--pace", "1MB/s", "--write-size", "1000"];
    says_with(&paced, &[("SLUICEGATE_CORES", "2")], 2, &["--pace", "--cores 1"]);
}

#[test]
fn what_measures_heeds_no_variable_and_says_so() {
    let said = |arguments: &[&str], variable: (&str, &str)| {
        let output = loadtest_with(arguments, &[variable]);
        String::from_utf8(output.stderr).expect("messages are UTF-8")
    };
    let refused = ["serve", "bare", "--pin", "each"];
    let bare = said(&refused, ("SLUICEGATE_PIN", "eahc"));
    assert!(bare.contains("not heeded: SLUICEGATE_PIN: \"eahc\" is no way to pin"), "{bare}");
    let unknown = said(&refused, ("SLUICEGATE_THREADS", "4"));
    assert!(unknown.contains("not heeded: SLUICEGATE_THREADS\n"), "{unknown}");
    let other = said(&refused, ("SLUICEGATE_SEED", "4"));
    assert!(!other.contains("note:"), "{other}");
    for measures in [
        &["run", "echo", "-c", "0"][..],
        &["tune", "echo", "-c", "0"],
        &["ab", "echo", "--a", "", "--b", "", "-c", "0"],
        &["ratelimit", "--list"],
    ] {
        let note = said(measures, ("SLUICEGATE_CORES", "4"));
        assert!(note.contains("not heeded: SLUICEGATE_CORES=4\n"), "{measures:?}: {note}");
    }
    assert_eq!(said(&["simulate", "--list"], ("SLUICEGATE_CORES", "4")), "");
}

#[test]
fn the_server_of_a_run_is_what_the_flags_say_whatever_the_variables() {
    let run = ["run", "echo", "-w", "0s", "-c", "2", "--server-cpus", "none", "--json", "-"];
    for variable in [("SLUICEGATE_CORES", "3"), ("SLUICEGATE_PIN", "eahc")] {
        let result: Value = patiently(200, |duration| {
            let output = loadtest_with(&[&run[..], &["-d", duration]].concat(), &[variable]);
            let errors = String::from_utf8_lossy(&output.stderr);
            serde_json::from_slice(&output.stdout).map_err(|_| errors.into_owned())
        });
        assert_eq!(result["cores"].as_array().unwrap().len(), 1, "{variable:?}");
    }
}

#[test]
fn a_server_runs_however_it_is_placed() {
    for flags in [
        &["--cores", "2", "--pin", "none"][..],
        &["--cores", "auto", "--pin", "set", "--order", "pack"],
        &["--smt", "one", "--pin", "node", "--strict"],
        &["--strict=false"],
        &["--cores", "1", "--idle", "spin:50us"],
        &["--cores", "1", "--idle", "busy"],
    ] {
        let server = Served::start(&[&["echo"], flags].concat());
        assert_eq!(server.terminate().status.code(), Some(0), "{flags:?}");
    }
}

const KEPT: &str = "/churn/accepts_kept";
const HANDED: &str = "/churn/accepts_handed_over";

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
        let run = ["run", "churn", "-w", "0s", "-c", "4", "--cores", "2", "--pin", "none"];
        let result = told(300, &[&run[..], &["--accept", mode]].concat(), |result| {
            let [kept, handed] = [[KEPT], [HANDED]].map(|path| positive(&path)(result));
            // Who takes turns comes to both.
            if mode == "single:round-robin" { kept && handed } else { kept || handed }
        });
        let handed = number(&result, HANDED);
        assert!(handed == 0.0 || !kept_alone, "{mode} hands nothing over: {handed}");
        if mode.starts_with("single:") {
            assert_eq!(number(&result, "/cores/1/accepted"), 0.0, "{mode}: core 0 accepts alone");
            assert_eq!(number(&result, "/cores/1/accepts_kept"), 0.0, "{mode}");
        }
        if mode == "fixed:1" {
            assert_eq!(number(&result, "/cores/0/accepted"), 0.0);
        }
    }
}

#[test]
fn a_run_places_the_server_it_starts() {
    let run = ["run", "echo", "-w", "0s", "-c", "2", "--cores", "2", "--pin", "none"];
    let result = told(200, &run, positive(&["/totals/ops"]));
    assert_eq!(result["cores"].as_array().unwrap().len(), 2);
}

/// Said by the child each of them would be a failure, and in the middle of what was begun.
#[test]
fn what_cannot_be_placed_is_refused_before_any_server_starts() {
    for (server, load, parts) in [
        ("--cores 99999", &[][..], &["99999 cores", "1 to 1024"][..]),
        ("--cores 1024 --pin each", &["--server-cpus", "allowed"], &["1024 cores", "`set`"]),
        ("--cores 1024", &["--server-cpus", "allowed"], &["1024 cores", "`set`"]),
        ("--cores 2 --pin none --accept fixed:9", &[], &["fixed:9", "core 9", "there are 2"]),
        ("--cores 2 --pin none --accept single:hash@2", &[], &["single:hash@2", "there are 2"]),
        ("--accept fixed:1", &["--server-cpus", "none"], &["fixed:1", "there are 1"]),
    ] {
        let flags: Vec<&str> = server.split(' ').collect();
        says(&[&["run", "echo"], &flags[..], load].concat(), 2, parts);
        says(&[&["tune", "echo", "--list"], &flags[..], load].concat(), 2, parts);
        for (one, other) in [("--a", "--b"), ("--b", "--a")] {
            says(&[&["ab", "echo", one, server, other, ""], load].concat(), 2, parts);
        }
    }
    for (flags, part) in [(["--cores", "99999"], "1 to 1024"), (["--pin", "each"], "--server-cpus")]
    {
        let bare = ["run", "echo", "--server", "bare", "--server-cpus", "none"];
        says(&[&bare[..], &flags].concat(), 2, &[flags[1], part]);
    }
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
