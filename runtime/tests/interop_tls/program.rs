//! A program of others: started, talked to, waited for with a bound, killed with its test.
//!
//! Owns the child and the threads that collect what it says, apart for each of its two streams.

use std::env;
use std::io::{Read, Write};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;

use crate::rig::{BOUND, eventually};

/// Set where a missing program is a failure.
const REQUIRED: &str = "SLUICEGATE_REQUIRE_INTEROP";

/// Says what is missing, so that a run without it is not taken for more than it was.
pub(crate) fn is_there(program: &str) -> bool {
    let flag = if program == "openssl" { "version" } else { "--version" };
    let version = Command::new(program).arg(flag).output();
    let there = version.is_ok_and(|output| output.status.success());
    if !there {
        assert!(env::var_os(REQUIRED).is_none(), "{REQUIRED} is set and {program} does not run");
        eprintln!("SKIPPED: TLS with {program}: it does not run; install it to check this");
    }
    there
}

/// What a program has said so far: on its standard output, and on its standard error.
#[derive(Default)]
struct Said {
    streams: Mutex<[Stream; 2]>,
    more: Condvar,
}

#[derive(Debug, Default)]
struct Stream {
    said: String,
    /// Up to where a test has waited for it.
    heard: usize,
}

impl Stream {
    /// What follows `part` on its line, if it has been said since.
    fn hear(&mut self, part: &str) -> Option<String> {
        let since = &self.said[self.heard..];
        let at = since.find(part)? + part.len();
        let line = since[at..].split_once('\n')?.0.to_owned();
        self.heard += at + line.len();
        Some(line)
    }
}

/// A running program.
pub(crate) struct Program {
    child: Child,
    stdin: Option<ChildStdin>,
    said: Arc<Said>,
}

impl Program {
    pub(crate) fn start(program: &str, arguments: &[&str]) -> Self {
        let mut child = Command::new(program)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{program}: {error}"));
        let said = Arc::<Said>::default();
        let streams: [Box<dyn Read + Send>; 2] = [
            Box::new(child.stdout.take().expect("it is piped")),
            Box::new(child.stderr.take().expect("it is piped")),
        ];
        for (at, stream) in streams.into_iter().enumerate() {
            let said = said.clone();
            // Ends with the program.
            thread::spawn(move || said.collect(at, stream));
        }
        Self { stdin: child.stdin.take(), child, said }
    }

    /// Writes to its standard input.
    pub(crate) fn say(&mut self, text: &str) {
        let stdin = self.stdin.as_mut().expect("it is piped");
        stdin.write_all(text.as_bytes()).expect("it reads what it is told");
    }

    /// Waits until it says `part`, since what was waited for last; returns the rest of that line.
    pub(crate) fn wait_for(&self, part: &str) -> String {
        let mut line = None;
        let streams = self.said.streams.lock().expect("nobody panics while it is held");
        let waited = self.said.more.wait_timeout_while(streams, BOUND, |streams| {
            line = streams.iter_mut().find_map(|stream| stream.hear(part));
            line.is_none()
        });
        let streams = waited.expect("nobody panics while it is held").0;
        line.unwrap_or_else(|| panic!("it never said {part:?}; it said:\n{streams:?}"))
    }

    /// Whether it has said `part` since what was waited for last.
    pub(crate) fn has_said(&self, part: &str) -> bool {
        let mut streams = self.said.streams.lock().expect("nobody panics while it is held");
        streams.iter_mut().any(|stream| stream.hear(part).is_some())
    }

    /// Kills it as the system would for want of memory: it says goodbye to nobody.
    pub(crate) fn kill(mut self) {
        self.child.kill().expect("it runs");
        let status = self.child.wait().expect("it can be waited for");
        assert!(!status.success(), "it had ended by itself");
    }

    /// Waits for its end; returns how it ended, and what it said on both streams.
    pub(crate) fn wait(mut self) -> (ExitStatus, String) {
        let mut status = None;
        eventually("the program ends", || {
            status = self.child.try_wait().expect("it can be waited for");
            status.is_some()
        });
        // Only the readers hold it until they are at the end.
        eventually("all is read", || Arc::strong_count(&self.said) == 1);
        let streams = self.said.streams.lock().expect("nobody panics while it is held");
        let said = streams.iter().map(|stream| stream.said.as_str()).collect();
        (status.expect("it has ended"), said)
    }

    /// Waits for its end and asserts that it says success.
    pub(crate) fn assert_success(self) -> String {
        let (status, said) = self.wait();
        assert!(status.success(), "{status}; it said:\n{said}");
        said
    }
}

impl Said {
    fn collect(&self, at: usize, mut stream: impl Read) {
        let mut piece = [0; 4096];
        while let Ok(count @ 1..) = stream.read(&mut piece) {
            let text = String::from_utf8_lossy(&piece[..count]);
            self.streams.lock().expect("nobody panics while it is held")[at].said.push_str(&text);
            self.more.notify_all();
        }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // Fails, rightly, where it has ended.
        let _ended = self.child.kill();
        let _reaped = self.child.wait();
    }
}
