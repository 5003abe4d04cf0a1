//! `doctor` from outside: this machine, and others by their files.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::harness::{again, loadtest, says, tried};

/// A machine by its files.
fn machine(files: &[(&str, &str)]) -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    for (path, text) in files {
        let path = root.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    root
}

/// The exit code and the findings for a machine.
fn examine(root: &Path) -> (i32, Value) {
    let output = loadtest(&["doctor", "--root", root.to_str().unwrap(), "--json", "-"]);
    let result = serde_json::from_slice(&output.stdout).expect("standard output is JSON alone");
    (output.status.code().unwrap(), result)
}

fn finding<'a>(result: &'a Value, name: &str) -> &'a Value {
    let findings = result["findings"].as_array().unwrap();
    findings.iter().find(|f| f["name"] == name).unwrap_or_else(|| panic!("{name} in {result}"))
}

const GUEST: [(&str, &str); 10] = [
    ("proc/sys/kernel/osrelease", "6.1.0-test\n"),
    ("proc/cpuinfo", "model name\t: Some CPU\nflags\t\t: fpu hypervisor tsc\n"),
    ("proc/self/status", "Cpus_allowed_list:\t0-1\n"),
    (
        "proc/self/limits",
        "Max open files            1024                 65536                files\n",
    ),
    ("proc/stat", "cpu  1 0 1 98 0 0 0 0 0 0\ncpu0 1 0 1 98 0 0 0 0 0 0\n"),
    ("proc/pressure/cpu", "some avg10=0.50 avg60=1.00 avg300=2.00 total=5\n"),
    ("proc/meminfo", "MemTotal: 8000000 kB\nMemAvailable:    4000000 kB\n"),
    ("proc/sys/net/core/somaxconn", "4096\n"),
    ("sys/devices/system/cpu/online", "0-1\n"),
    ("sys/devices/system/clocksource/clocksource0/current_clocksource", "kvm-clock\n"),
];

#[test]
fn a_quiet_guest_is_ready_and_exits_with_zero() {
    let root = machine(&GUEST);
    let (code, result) = examine(root.path());
    assert_eq!((code, &result["verdict"]), (0, &Value::from("READY")), "{result}");
    assert_eq!(result["schema"], 1);
    let kernel = finding(&result, "kernel")["value"].as_str().unwrap();
    assert_eq!(kernel, "Linux 6.1.0-test, Some CPU, virtual machine");
    assert_eq!(finding(&result, "CPUs")["value"], "0-1 allowed of 0-1 online");
    assert_eq!(finding(&result, "clock source")["grade"], "ok");
    assert_eq!(finding(&result, "CPU quota")["value"], "none");
    assert_eq!(finding(&result, "local ports")["grade"], "note");
    for finding in result["findings"].as_array().unwrap() {
        let told = finding["remedy"].is_string();
        assert_eq!(told, finding["grade"] != "ok", "what is not ok says what to do: {finding}");
        assert!(!finding["limits"].as_str().unwrap().is_empty(), "{finding}");
    }
    // What only a measurement tells is not told of another machine.
    assert!(!result.to_string().contains("OpenSSL"));
}

#[test]
fn a_busy_narrow_machine_exits_with_one_and_says_what_to_do() {
    let mut files = GUEST.to_vec();
    files.extend([
        ("proc/pressure/cpu", "some avg10=80.00 avg60=1.00 avg300=2.00 total=5\n"),
        ("proc/self/limits", "Max open files 64 100 files\n"),
        ("proc/self/cgroup", "0::/box\n"),
        ("proc/self/mountinfo", "30 1 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n"),
        ("sys/fs/cgroup/box/cpu.max", "50000 100000\n"),
        ("sys/fs/cgroup/box/memory.max", "33554432\n"),
        ("proc/stat", "cpu0 10 0 10 60 0 0 0 20 0 0\n"),
        ("sys/devices/system/clocksource/clocksource0/current_clocksource", "hpet\n"),
        ("sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", "powersave\n"),
    ]);
    let root = machine(&files);
    let (code, result) = examine(root.path());
    assert_eq!((code, &result["verdict"]), (1, &Value::from("BAD")));
    for (name, grade, part) in [
        ("waiting for CPU", "bad", "stop them"),
        ("open files", "bad", "ulimit -Hn"),
        ("CPU quota", "bad", "cpu.max"),
        ("memory", "bad", "memory.max"),
        ("theft since boot", "note", "interleaved"),
        ("clock source", "note", "kvm-clock"),
        ("frequency", "note", "performance"),
    ] {
        let finding = finding(&result, name);
        assert_eq!(finding["grade"], grade, "{finding}");
        assert!(finding["remedy"].as_str().unwrap().contains(part), "{finding}");
    }
    let root = root.path().to_str().unwrap();
    says(&["doctor", "--root", root], 1, &["not ready", "open files", "memory"]);
}

#[test]
fn a_machine_that_tells_nothing_is_unknown_and_not_bad() {
    let root = machine(&[("proc/empty", "")]);
    let (code, result) = examine(root.path());
    assert_eq!(code, 0, "{result}");
    assert_eq!(finding(&result, "kernel")["value"], "unknown");
    assert_eq!(finding(&result, "memory")["grade"], "note");
}

#[test]
fn this_machine_is_measured_and_the_exit_code_is_the_verdict() {
    let output = loadtest(&["doctor"]);
    let text = String::from_utf8(output.stdout).unwrap();
    let names = ["kernel", "CPUs", "topology", "timer", "clock", "shared ports", "OpenSSL"];
    for name in names {
        assert!(text.lines().any(|line| line.get(6..).unwrap_or("").starts_with(name)), "{text}");
    }
    let ready = text.contains("verdict    READY");
    assert_eq!(output.status.code(), Some(if ready { 0 } else { 1 }), "{text}");
    assert!(!text.contains('\u{1b}'), "no control codes");
}

#[test]
fn the_clients_ceiling_is_measured_on_request() {
    // A machine that stood still is asked again.
    let (_, result) = again(|| tried(&["doctor", "--ceiling"]));
    let value = finding(&result, "client ceiling")["value"].as_str().unwrap();
    assert!(value.contains("requests/s"), "{value}");
}

#[test]
fn bad_flags_are_refused_with_what_is_right() {
    says(&["doctor", "--root", "/no/such/root"], 2, &["/no/such/root", "drop it"]);
    says(&["doctor", "--ceiling", "--root", "/"], 2, &["--ceiling", "--root"]);
    says(&["doctor", "--jsn", "-"], 2, &["--jsn", "--json"]);
    says(&["doctr"], 2, &["doctr", "doctor"]);
    says(&["doctor", "echo"], 2, &["echo"]);
}
