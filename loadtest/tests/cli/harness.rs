//! The program under test: start it, wait for it with a bound, take its output.
//!
//! Owns child processes and never leaves one behind.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

/// Runs `loadtest` with these arguments to its end.
pub(crate) fn loadtest(arguments: &[&str]) -> Output {
    loadtest_with(arguments, &[])
}

/// The same with these variables in its environment.
pub(crate) fn loadtest_with(arguments: &[&str], variables: &[(&str, &str)]) -> Output {
    let child = command(arguments).envs(variables.iter().copied()).spawn();
    finish(child.expect("the program starts"))
}

/// Calls `attempt` with longer and longer times to measure for, until it gets what it is about.
///
/// How soon a machine comes to anything is its own business: it may serve others just then. An
/// attempt that saw too little says what it saw; whatever is wrong for ever it panics over.
#[track_caller]
pub(crate) fn patiently<T>(first_ms: u64, mut attempt: impl FnMut(&str) -> Result<T, String>) -> T {
    let mut ms = first_ms;
    again(|| {
        let result = attempt(&format!("{ms}ms"));
        ms *= 2;
        result
    })
}

/// The same for an attempt that has its own idea of how long it takes.
#[track_caller]
pub(crate) fn again<T>(attempt: impl FnMut() -> Result<T, String>) -> T {
    again_within(PATIENCE, attempt)
}

/// The same for programs that are killed after `patience`: no attempt begins that might be.
#[track_caller]
fn again_within<T>(patience: Duration, mut attempt: impl FnMut() -> Result<T, String>) -> T {
    let mut attempts = 0;
    loop {
        attempts += 1;
        let begun = Instant::now();
        let little = match attempt() {
            Ok(found) => return found,
            Err(little) => little,
        };
        let took = begun.elapsed();
        let another = attempts < ATTEMPTS && took * GROWTH < patience;
        assert!(another, "attempt {attempts} is the last, it took {took:?}: {little}");
    }
}

/// Runs `loadtest` with these arguments, and returns its exit code and the JSON that it writes; or
/// what it said instead, if nothing moved in its time.
#[track_caller]
pub(crate) fn tried(arguments: &[&str]) -> Result<(i32, Value), String> {
    let output = loadtest(&[arguments, &["--json", "-"]].concat());
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    if NOTHING_MOVED.iter().any(|nothing| errors.contains(nothing)) {
        return Err(errors);
    }
    let result = serde_json::from_slice(&output.stdout);
    let result = result.unwrap_or_else(|_| panic!("standard output is JSON alone: {errors}"));
    Ok((output.status.code().expect("no signal ends it"), result))
}

/// Runs `loadtest` with these arguments to its good end, for so long that its JSON has `enough`.
#[track_caller]
pub(crate) fn told(first_ms: u64, arguments: &[&str], enough: impl Fn(&Value) -> bool) -> Value {
    patiently(first_ms, |duration| {
        let (code, result) = tried(&[arguments, &["-d", duration]].concat())?;
        assert_eq!(code, 0, "{result}");
        if enough(&result) { Ok(result) } else { Err(result.to_string()) }
    })
}

/// Whether these figures of a result are more than nothing.
pub(crate) fn positive(paths: &[&str]) -> impl Fn(&Value) -> bool {
    move |result| {
        let figure = |path: &&str| result.pointer(path).and_then(Value::as_f64);
        paths.iter().all(|path| figure(path) > Some(0.0))
    }
}

/// Expects a command to end with this exit code and a message that has these parts.
#[track_caller]
pub(crate) fn says(arguments: &[&str], code: i32, parts: &[&str]) {
    says_with(arguments, &[], code, parts);
}

/// The same with these variables in its environment.
#[track_caller]
pub(crate) fn says_with(arguments: &[&str], variables: &[(&str, &str)], code: i32, parts: &[&str]) {
    let output = loadtest_with(arguments, variables);
    let message = String::from_utf8(output.stderr).expect("messages are UTF-8");
    for part in parts {
        assert!(message.contains(part), "{part:?} in: {message}");
    }
    assert_eq!(output.status.code(), Some(code), "{message}");
}

/// A figure of a result.
#[track_caller]
pub(crate) fn number(result: &Value, path: &str) -> f64 {
    let value = result.pointer(path).unwrap_or_else(|| panic!("{path} is there"));
    value.as_f64().unwrap_or_else(|| panic!("{path} is a number, not {value}"))
}

/// A `loadtest` that runs.
pub(crate) struct Started {
    child: Option<Child>,
}

impl Started {
    pub(crate) fn new(arguments: &[&str]) -> Self {
        Self { child: Some(command(arguments).spawn().expect("the program starts")) }
    }

    /// Waits until it has started a process of its own and returns its number.
    pub(crate) fn await_child(&mut self) -> String {
        let pid = self.child.as_ref().expect("it was not finished yet").id();
        let path = format!("/proc/{pid}/task/{pid}/children");
        let deadline = Instant::now() + PATIENCE;
        loop {
            let children =
                std::fs::read_to_string(&path).expect("a process has a list of children");
            if let Some(child) = children.split_whitespace().next() {
                return child.to_owned();
            }
            assert!(Instant::now() < deadline, "it starts a process within {PATIENCE:?}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Waits for its end.
    pub(crate) fn finish(mut self) -> Output {
        finish(self.child.take().expect("it is finished once"))
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// A `loadtest serve` that listens.
pub(crate) struct Served {
    child: Option<Child>,
    pub(crate) addresses: Vec<SocketAddr>,
}

impl Served {
    /// Starts a server on a free port and waits for its READY line.
    pub(crate) fn start(arguments: &[&str]) -> Self {
        Self::start_with(arguments, &[])
    }

    pub(crate) fn start_with(arguments: &[&str], variables: &[(&str, &str)]) -> Self {
        let mut command = command(&[&["serve"], arguments].concat());
        let mut child = command.envs(variables.iter().copied()).spawn().expect("it starts");
        let mut line = String::new();
        let output = child.stdout.as_mut().expect("its output is a pipe");
        BufReader::new(output).read_line(&mut line).expect("it says something");
        let addresses = line.trim().strip_prefix("READY ").expect("it is ready").split(' ');
        let addresses = addresses.map(|address| address.parse().expect("it names its address"));
        Self { addresses: addresses.collect(), child: Some(child) }
    }

    /// The port that all its cores share.
    pub(crate) fn address(&self) -> SocketAddr {
        self.addresses[0]
    }

    /// Sends SIGTERM and returns how it ended.
    pub(crate) fn terminate(mut self) -> Output {
        let child = self.child.take().expect("a server is stopped once");
        let pid = child.id().to_string();
        let sent = Command::new("kill").args(["-TERM", &pid]).status().expect("kill runs");
        assert!(sent.success());
        finish(child)
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// The program with these arguments, not started yet.
fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_loadtest"));
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Waits for the end, but not for ever. What the program writes fits into its pipes.
fn finish(mut child: Child) -> Output {
    let deadline = Instant::now() + PATIENCE;
    while child.try_wait().expect("it can be waited for").is_none() {
        if Instant::now() > deadline {
            let _ = child.kill();
            panic!("the program did not end within {PATIENCE:?}");
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    child.wait_with_output().expect("its output can be read")
}

const PATIENCE: Duration = Duration::from_secs(120);
/// The last takes 32 times as long as the first, if it may.
const ATTEMPTS: u32 = 6;
/// How much longer than one attempt the next may be: it is to measure for twice the time.
const GROWTH: u32 = 3;
/// What is said where a run came to nothing, which a longer one may not.
const NOTHING_MOVED: [&str; 3] =
    ["no bytes moved in", "no short connection got its reply", "no handshake was completed"];

#[test]
fn attempts_double_their_time_until_one_gets_there() {
    let mut given = Vec::new();
    patiently(300, |duration| {
        given.push(duration.to_owned());
        if given.len() == 3 { Ok(()) } else { Err("nothing moved".to_owned()) }
    });
    assert_eq!(given, ["300ms", "600ms", "1200ms"]);
}

#[test]
#[should_panic(expected = "attempt 6 is the last")]
fn what_never_comes_is_given_up() {
    patiently(1, |_| Err::<(), _>("nothing moved".to_owned()));
}

#[test]
#[should_panic(expected = "attempt 1 is the last")]
fn no_attempt_begins_that_might_be_killed() {
    again_within(Duration::ZERO, || Err::<(), _>("nothing moved".to_owned()));
}
