//! Bad input: each message carries the value and the remedy, and the exit code tells usage (2)
//! from failure (1).

use std::net::TcpListener;

use crate::harness::says;

#[test]
fn usage_errors_exit_with_two_and_name_the_remedy() {
    says(&["run", "echo", "-c", "0"], 2, &["-c 0", "at least one"]);
    says(&["run", "echo", "-t", "0"], 2, &["-t 0"]);
    says(&["run", "echo", "-s", "0"], 2, &["-s 0"]);
    says(&["run", "echo", "-d", "10"], 2, &["\"10\"", "10s"]);
    says(&["run", "echo", "--group-limit", "10M"], 2, &["10M", "10MB/s", "10Mbit/s"]);
    says(&["run", "echo", "--client-cpus", "0-x"], 2, &["0-x"]);
    says(&["run", "echo", "--server-cpus", "1023"], 2, &["CPU 1023", "allowed"]);
    says(&["run", "echo", "localhost"], 2, &["localhost"]);
    says(&["run", "source", "--server", "bare"], 2, &["only echoes"]);
    says(&["run", "echo", "127.0.0.1:9", "--conn-limit", "1MB/s"], 2, &["limits"]);
    says(&["run", "echo", "-c", "4000000000"], 2, &["-c 4000000000", "file descriptors"]);
    says(&["ratelimit", "tea"], 2, &["tea", "libevent-1"]);
    says(&["ratelimit", "group", "-d", "1s"], 2, &["-d 1s", "2s"]);
    says(&["ratelimit", "placement", "-c", "1"], 2, &["-c 1", "at least 2"]);
    says(&["ratelimit", "suspended", "-c", "4000000"], 2, &["-c 4000000", "file descriptors"]);
    let paced = ["serve", "source", "--pace", "1MB/s", "--write-size", "1000"];
    says(&[&paced[..], &["--cores", "2"]].concat(), 2, &["--pace", "--cores 1"]);
    says(&["serve", "echo", "--weights", "0", "--group-limit", "1MB/s"], 2, &["--weights", "zero"]);
    for service in ["echo", "bare"] {
        let serve = ["serve", service, "--listen", "nowhere"];
        says(&serve, 2, &["--listen", "nowhere", "127.0.0.1:7777"]);
    }
    let figures = ["--metrics", "nowhere"];
    for command in [["serve", "echo"], ["run", "echo"]] {
        let parts = ["--metrics", "nowhere", "127.0.0.1:7777"];
        says(&[command, figures].concat(), 2, &parts);
    }
    says(&["ab", "echo", "--a", "", "--b", "--metrics nowhere"], 2, &["--metrics", "nowhere"]);
    says(&["serve", "bare", "--cores", "99999"], 2, &["99999", "1024"]);
    let crowd = ["serve", "echo", "--cores", "1024", "--cpus", "allowed"];
    says(&crowd, 2, &["1024 cores", "`set`"]);
}

#[test]
fn values_of_the_wrong_kind_or_out_of_range_are_named_with_their_flag() {
    let address = "127.0.0.1:9";
    let ab = ["ab", "echo", "--a", "", "--b"];
    for (command, flags, parts) in [
        (&["run", "echo"][..], &["-t", "x"][..], &["'x'", "--threads"][..]),
        (&["run", "echo"], &["-t", "-1"], &["-1"]),
        (&["run", "echo"], &["-w", "10"], &["\"10\"", "--warmup", "10s"]),
        (&["run", "echo"], &["-s", "17MiB"], &["-s 17825792", "16777216"]),
        (&["run", "echo"], &["-s", "1EB"], &["1EB", "--size", "GiB"]),
        (&["run", "echo"], &["--server", "sluicegat"], &["sluicegat", "'sluicegate'", "bare"]),
        (&["run", "echo"], &["--server-pid", "9"], &["ADDRESS"]),
        (&["run", "echo", address], &["--server-pid", "nine"], &["'nine'", "--server-pid"]),
        (&["run", "echo", address], &["--server-pid", "4294967295"], &["--server-pid 4294967295"]),
        (&["run", "echo"], &["--connection", "9"], &["--connection'", "--connections"]),
        (&["serve", "echo"], &["--send-buffer", "x"], &["\"x\"", "--send-buffer", "KiB"]),
        (&["serve", "ehco"], &[], &["ehco", "'echo'"]),
        (&ab, &["", "--by", "nonsense"], &["nonsense", "--by", "throughput"]),
        (&ab, &["", "--by", "thoughput"], &["'throughput'"]),
        (&ab, &["", "--noise", "x"], &["\"x\"", "--noise", "2%"]),
        (&ab, &["", "--noise", "101%"], &["101%", "100%"]),
        (&ab, &["", "--seed", "x"], &["'x'", "--seed"]),
        (&ab, &["", "--pairs", "1001"], &["--pairs 1001", "6 to 1000"]),
        (&ab, &["", "--pair", "9"], &["--pair'", "--pairs"]),
        (&ab, &["--watchdgo off"], &["--watchdgo", "--b", "'--watchdog'"]),
        (&ab, &["--pin eahc"], &["eahc", "--pin", "did you mean `each`?"]),
    ] {
        says(&[command, flags].concat(), 2, parts);
    }
}

#[test]
fn a_flag_that_would_change_nothing_is_refused() {
    says(&["run", "echo", "--burst", "1MB"], 2, &["--burst", "--group-limit"]);
    says(&["serve", "echo", "--tick", "10ms"], 2, &["--tick", "--group-limit"]);
    says(&["serve", "bare", "--conn-limit", "1MB/s"], 2, &["serve bare", "no limits"]);
    says(&["ratelimit", "-c", "9"], 2, &["-c", "ratelimit group"]);
    says(&["ratelimit", "libevent-1", "--burst", "9MB"], 2, &["--burst", "ratelimit group"]);
    says(&["ratelimit", "placement", "--tick", "10ms"], 2, &["--tick", "ratelimit group"]);
    says(&["ratelimit", "suspended", "--group-limit", "1MB/s"], 2, &["--group-limit", "placement"]);
    says(&["serve", "echo", "--write-size", "1000"], 2, &["--write-size", "serve source"]);
    says(&["serve", "source", "--pace", "1MB/s"], 2, &["--write-size"]);
    says(&["serve", "bare", "--port-per-core"], 2, &["serve bare", "--port-per-core"]);
    says(&["serve", "echo", "--weights", "3,1"], 2, &["--group-limit"]);
}

#[test]
fn a_burst_below_one_tick_is_refused_with_both_numbers() {
    let limit = ["--group-limit", "1MB/s", "--tick", "100ms", "--burst", "10kB"];
    says(&[&["run", "echo"], &limit[..]].concat(), 2, &["10000", "100000"]);
    says(&[&["serve", "echo"], &limit[..]].concat(), 2, &["10000", "100000"]);
    says(&[&["ratelimit", "group", "-d", "6s"], &limit[..]].concat(), 2, &["10000", "100000"]);
}

#[test]
fn what_cannot_run_exits_with_one() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = listener.local_addr().unwrap().to_string();
    for service in ["echo", "bare"] {
        for cores in ["1", "2"] {
            let serve = ["serve", service, "--listen", &taken, "--cores", cores];
            says(&serve, 1, &[&taken, "port 0"]);
        }
    }
    says(&["serve", "echo", "--metrics", &taken], 1, &["figures", &taken, "port 0"]);
    // Of the addresses that are for documentation.
    let elsewhere = "192.0.2.1:7777";
    let remedy = "no interface has this address";
    says(&["serve", "echo", "--listen", elsewhere], 1, &[elsewhere, remedy]);
    says(&["serve", "bare", "--listen", elsewhere], 1, &[elsewhere, "choose another address"]);
    says(&["serve", "echo", "--metrics", elsewhere], 1, &["figures", elsewhere, remedy]);
    drop(listener);
    says(&["run", "echo", &taken], 1, &[&taken, "is a server listening there?"]);
    says(&["serve", "echo", "--audit", "/no/such/folder/x"], 1, &["/no/such/folder/x"]);
    says(
        &[
            "run",
            "echo",
            "--server",
            "bare",
            "--json",
            "/no/such/folder/x",
            "-d",
            "100ms",
            "-w",
            "0s",
        ],
        1,
        &["/no/such/folder/x"],
    );
}
