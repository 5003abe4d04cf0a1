//! A server in a child process, as its parent sees it.
//!
//! Owns the child: starts this program again with `serve`, or the command of a foreign server,
//! waits for its READY line, asks for figures, stops it, and never leaves it behind. A foreign
//! server answers nothing: its figures are those that any process has, and a signal stops it. Every
//! wait has a bound.

use std::env;
use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::arguments::ServeArguments;
use crate::exit::{Failure, Outcome};
use crate::serve::ServerStats;

/// A running server process.
#[derive(Debug)]
pub(crate) struct ServerProcess {
    child: Child,
    /// Of a server of ours; a foreign one takes none.
    requests: Option<ChildStdin>,
    lines: Receiver<String>,
    addresses: Vec<SocketAddr>,
}

impl ServerProcess {
    /// Starts a server and waits until it listens.
    ///
    /// # Errors
    /// The process cannot be started, ends at once (its own message says why) or stays silent.
    pub(crate) fn start(arguments: &ServeArguments) -> Outcome<Self> {
        let program = env::current_exe().map_err(Failure::io("finding this program"))?;
        let mut command = Command::new(program);
        Self::spawn(command.args(arguments.to_command_line()).stdin(Stdio::piped()))
    }

    /// Starts a foreign server, a program and its arguments, and waits until it listens.
    ///
    /// # Errors
    /// As for [`ServerProcess::start`].
    pub(crate) fn start_foreign(words: &[String]) -> Outcome<Self> {
        let (program, arguments) = words.split_first().expect("a command has a first word");
        Self::spawn(Command::new(program).args(arguments).stdin(Stdio::null()))
    }

    fn spawn(command: &mut Command) -> Outcome<Self> {
        let program = command.get_program().to_string_lossy().into_owned();
        let mut child = command
            .stdout(Stdio::piped())
            .spawn()
            .map_err(Failure::io(format!("starting the server process {program}")))?;
        let requests = child.stdin.take();
        let output = child.stdout.take().expect("standard output was asked to be a pipe");
        let (sender, lines) = mpsc::channel();
        thread::Builder::new()
            .name("server-output".to_owned())
            .spawn(move || {
                for line in BufReader::new(output).lines().map_while(Result::ok) {
                    if sender.send(line).is_err() {
                        return;
                    }
                }
            })
            .map_err(Failure::io("starting a thread"))?;
        let mut server = Self { child, requests, lines, addresses: Vec::new() };
        let ready = server.line()?;
        let addresses: Option<Vec<SocketAddr>> = ready
            .strip_prefix("READY ")
            .and_then(|list| list.split(' ').map(|address| address.parse().ok()).collect());
        server.addresses = addresses
            .ok_or(Failure::ServerAnswer { answer: ready, expected: "READY host:port" })?;
        Ok(server)
    }

    /// The port that all cores share, or the first core's.
    pub(crate) fn address(&self) -> SocketAddr {
        self.addresses[0]
    }

    /// The ports of the cores, in order, or the one that all share.
    pub(crate) fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Asks the server for its figures.
    ///
    /// # Errors
    /// The server is gone or does not answer in time.
    pub(crate) fn stats(&mut self) -> Outcome<ServerStats> {
        if self.requests.is_none() {
            self.check()?;
            return ServerStats::of_process(self.child.id());
        }
        self.request("stats")?;
        self.figures()
    }

    /// Lets the connections run that the server held; the figures are those of the moment before.
    ///
    /// # Errors
    /// The server is gone or does not answer in time.
    pub(crate) fn go(&mut self) -> Outcome<ServerStats> {
        self.request("go")?;
        self.figures()
    }

    fn figures(&mut self) -> Outcome<ServerStats> {
        let line = self.line()?;
        serde_json::from_str(&line)
            .map_err(|_| Failure::ServerAnswer { answer: line, expected: "its figures" })
    }

    /// Fails if the server has ended.
    ///
    /// # Errors
    /// It was killed or failed; its own message says why.
    pub(crate) fn check(&mut self) -> Outcome {
        match self.child.try_wait().map_err(Failure::io("looking after the server"))? {
            None => Ok(()),
            Some(status) => Err(Failure::ServerEnded { status: status.to_string() }),
        }
    }

    /// Lets the server drain and waits for its end, which for a foreign one may be the signal's.
    ///
    /// # Errors
    /// It ends with an error, or not in time; it is then killed.
    pub(crate) fn stop(mut self) -> Outcome {
        let requests = self.requests.take();
        let is_foreign = requests.is_none();
        // A server that is gone already is found by the wait below.
        let _ = match requests {
            Some(mut pipe) => writeln!(pipe, "stop"),
            None => kill_process(Pid::from_child(&self.child), Signal::TERM).map_err(Into::into),
        };
        match self.await_end()? {
            status if status.success() => Ok(()),
            status if is_foreign && status.signal() == Some(Signal::TERM.as_raw()) => Ok(()),
            status => Err(Failure::ServerEnded { status: status.to_string() }),
        }
    }

    fn request(&mut self, request: &str) -> Outcome {
        let sent = match &mut self.requests {
            Some(pipe) => writeln!(pipe, "{request}").and_then(|()| pipe.flush()),
            None => Ok(()),
        };
        if sent.is_err() {
            return Err(self.ended());
        }
        Ok(())
    }

    fn line(&mut self) -> Outcome<String> {
        match self.lines.recv_timeout(PATIENCE) {
            Ok(line) => Ok(line),
            Err(RecvTimeoutError::Timeout) => Err(Failure::ServerSilent(PATIENCE)),
            Err(RecvTimeoutError::Disconnected) => Err(self.ended()),
        }
    }

    /// The error for a server that has closed its end.
    fn ended(&mut self) -> Failure {
        match self.await_end() {
            Ok(status) => Failure::ServerEnded { status: status.to_string() },
            Err(failure) => failure,
        }
    }

    fn await_end(&mut self) -> Outcome<ExitStatus> {
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            let ended = self.child.try_wait().map_err(Failure::io("waiting for the server"))?;
            if let Some(status) = ended {
                return Ok(status);
            }
            thread::sleep(POLL);
        }
        Err(Failure::ServerSilent(PATIENCE))
    }
}

impl Drop for ServerProcess {
    fn drop(&mut self) {
        // After a regular stop both calls find nothing to do.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// How long the server may take for any answer.
const PATIENCE: Duration = Duration::from_secs(30);
/// How often its end is looked for.
const POLL: Duration = Duration::from_millis(5);
