//! What a program of the runtime writes to its log as it starts: where its cores run, why, and what
//! the user may not have meant.
//!
//! Each test owns one child process on a free port, ends it once it has said that it listens, and
//! reads all that it has written until then.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

/// The log of `echo` up to the line that says that it listens.
fn log(flags: &[&str]) -> String {
    let mut child = Command::new(env!("CARGO_BIN_EXE_echo"))
        .args(["--listen", "127.0.0.1:0"])
        .args(flags)
        .env_remove("RUST_LOG")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the example starts");
    let mut line = String::new();
    let stdout = child.stdout.as_mut().expect("stdout is piped");
    BufReader::new(stdout).read_line(&mut line).expect("a line comes, or the end");
    child.kill().expect("it runs until it is ended");
    let output = child.wait_with_output().expect("it can be waited for");
    let said = String::from_utf8(output.stderr).expect("it prints text");
    assert!(line.starts_with("listening on "), "{line:?} after {said}");
    said
}

/// The lines of a level, without what stands before the message.
fn lines<'a>(log: &'a str, level: &str) -> Vec<&'a str> {
    let told = log.lines().filter(|line| line.contains(level));
    told.filter_map(|line| line.split_once(": ").map(|(_, message)| message)).collect()
}

/// The CPUs that this process may use, as the kernel writes them.
fn allowed() -> String {
    let status = std::fs::read_to_string("/proc/self/status").expect("there is /proc");
    let list = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"));
    list.expect("it has a mask").trim().to_owned()
}

#[test]
fn one_line_says_how_many_cores_where_they_run_and_why() {
    let allowed = allowed();
    for (flags, begins) in [
        (&["--cores", "1"][..], "cores=1 (as asked) pin=none allowed=".to_owned()),
        (
            &["--cpus", "allowed", "--cores", "1"],
            format!("cores=1 (as asked) pin=set cpus={allowed} allowed="),
        ),
        (
            &["--cpus", "[allowed]*2"],
            format!("cores=2 (one for each set listed) pin=set cpus={allowed} allowed="),
        ),
    ] {
        let log = log(flags);
        let starts: Vec<_> = lines(&log, " INFO ")
            .into_iter()
            .filter(|message| message.starts_with("cores="))
            .collect();
        let [start] = starts[..] else { panic!("one line, not {starts:?}") };
        assert!(start.starts_with(&begins), "{start:?} does not begin with {begins:?}");
        assert!(start.contains(&format!(" allowed={allowed} quota=")), "{start}");
        assert!(start.contains("; open files: "), "{start}");
    }
}

#[test]
fn what_may_not_be_meant_is_a_warning_beside_it() {
    let allowed = allowed();
    let first = allowed.split([',', '-']).next().expect("a list begins with a number");
    let log = log(&["--cpus", first, "--cores", "2"]);
    let warning = format!("2 cores share 1 CPUs ({first}) and take turns on them");
    assert_eq!(lines(&log, " WARN ").first(), Some(&warning.as_str()), "{log}");
    let start = log.find("cores=2 (as asked) pin=set").expect("it is carried out");
    assert!(log.find(&warning) > Some(start), "after the plan that it is about: {log}");
}
