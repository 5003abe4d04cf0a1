//! What the integration tests share: a server of real cores, and clients that never wait for ever.
//!
//! Owns servers on port 0 of a loopback address, which end with their value; plain blocking clients
//! whose reads and writes have a bound; and the second process some tests need, which is the test's
//! own binary run for that one test; [`sim`] has the same for servers in virtual time. Decides
//! nothing about what is tested.
//!
//! Invariant: no wait here is longer than [`BOUND`], and none is a sleep that hopes to suffice.

#![allow(dead_code, reason = "each test binary uses a part of it")]

use std::env;
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, ChildStderr, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use sluicegate::{
    BevId, BevMut, Context, Core, CoreStats, DrainReport, Handle, Handler, ListenOptions,
    PendingPair, Running, Runtime, Shutdown, Stopped,
};

pub(crate) mod audit;
pub(crate) mod ends;
pub(crate) mod filter;
pub(crate) mod log;
pub(crate) mod sim;
#[cfg(feature = "tls")]
pub(crate) mod tls;

/// The longest any wait may take; far more than a slow machine needs.
pub(crate) const BOUND: Duration = Duration::from_secs(30);

/// Any free port of the loopback interface.
pub(crate) const ANY: &str = "127.0.0.1:0";

/// Tells a process that it is the child of a test.
const CHILD: &str = "SLUICEGATE_TEST_CHILD";

/// The names of a pair, once its cores have made it.
pub(crate) fn made(pending: PendingPair) -> Result<(BevId, BevId), Stopped> {
    let (waited, names) = mpsc::channel();
    thread::spawn(move || waited.send(pending.wait()));
    names.recv_timeout(BOUND).expect("the cores answer")
}

/// Sends back what it gets.
pub(crate) struct Echo;

impl Handler for Echo {
    fn on_read(&mut self, cx: &mut Context<'_>) {
        let (mut input, mut output) = cx.buffers();
        output.append(&mut input);
    }
}

/// Running cores; they end at once when the value is dropped.
pub(crate) struct Server {
    pub(crate) addr: SocketAddr,
    pub(crate) handle: Handle,
    running: Option<Running>,
}

impl Server {
    /// Starts `cores` cores that all listen.
    pub(crate) fn start<H: Handler>(
        cores: usize,
        factory: impl Fn(&mut BevMut<'_>) -> H + Send + Sync + 'static,
    ) -> Self {
        Self::start_with(cores, ListenOptions::new(), factory)
    }

    /// As [`start`](Self::start), with options.
    pub(crate) fn start_with<H: Handler>(
        cores: usize,
        options: ListenOptions,
        factory: impl Fn(&mut BevMut<'_>) -> H + Send + Sync + 'static,
    ) -> Self {
        let mut runtime = Runtime::builder().cores(cores).build().expect("cores can be built");
        let listener = runtime.listen_with(ANY, options, factory).expect("a port is free");
        Self::run(listener.local_addr(), runtime)
    }

    /// Starts `cores` cores that do not listen yet.
    pub(crate) fn idle(cores: usize) -> Self {
        let runtime = Runtime::builder().cores(cores).build().expect("cores can be built");
        Self::run(SocketAddr::from(([127, 0, 0, 1], 0)), runtime)
    }

    /// Starts what was built, which listens on `addr`.
    pub(crate) fn run(addr: SocketAddr, runtime: Runtime) -> Self {
        let running = runtime.start().expect("threads can be started");
        Self { addr, handle: running.handle(), running: Some(running) }
    }

    pub(crate) fn connect(&self) -> TcpStream {
        connect(self.addr)
    }

    /// Runs `task` on a core and returns its answer.
    pub(crate) fn on_core<T: Send + 'static>(
        &self,
        core: usize,
        task: impl FnOnce(&mut Core) -> T + Send + 'static,
    ) -> T {
        let (answer, answers) = mpsc::channel();
        self.handle
            .submit_to(core, move |core| answer.send(task(core)).expect("the test waits"))
            .expect("the core runs");
        receive(&answers)
    }

    /// One figure, summed over the cores.
    pub(crate) fn sum(&self, figure: impl Fn(&CoreStats) -> u64) -> u64 {
        self.handle.stats().iter().map(figure).sum()
    }

    /// Waits until no connection is left on any core.
    pub(crate) fn wait_until_empty(&self) {
        eventually("every connection is gone", || self.sum(|core| core.connections) == 0);
    }

    /// Asserts that a new connection is served: two messages come back.
    pub(crate) fn assert_echoes(&self) {
        let mut client = self.connect();
        round_trip(&mut client, b"still");
        round_trip(&mut client, b"there");
    }

    /// Waits for cores that have been told to end.
    pub(crate) fn join(mut self) -> DrainReport {
        let running = self.running.take().expect("a server is joined once");
        let (report, reports) = mpsc::channel();
        let joining = thread::spawn(move || report.send(running.join()));
        let report = receive(&reports);
        joining.join().expect("joining does not panic").expect("the report was taken");
        assert!(report.panicked.is_empty(), "cores {:?} panicked", report.panicked);
        report
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(running) = self.running.take() {
            self.handle.shutdown(Shutdown::Now);
            // A test that fails must not hang here; one that passes loses nothing.
            if !thread::panicking() {
                assert!(running.join().panicked.is_empty(), "a core panicked");
            }
        }
    }
}

/// A client whose calls end after [`BOUND`].
pub(crate) fn connect(addr: SocketAddr) -> TcpStream {
    let client = TcpStream::connect_timeout(&addr, BOUND).expect("the server listens");
    client.set_read_timeout(Some(BOUND)).expect("not zero");
    client.set_write_timeout(Some(BOUND)).expect("not zero");
    client.set_nodelay(true).expect("TCP has it");
    client
}

/// Sends `message` and asserts that the same comes back.
pub(crate) fn round_trip(client: &mut TcpStream, message: &[u8]) {
    client.write_all(message).expect("the server reads");
    assert_eq!(read_exactly(client, message.len()), message);
}

pub(crate) fn read_exactly(client: &mut TcpStream, count: usize) -> Vec<u8> {
    let mut bytes = vec![0; count];
    client.read_exact(&mut bytes).expect("the server answers");
    bytes
}

/// Everything up to the end of the stream.
pub(crate) fn read_to_end(client: &mut TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    client.read_to_end(&mut bytes).expect("the server closes in order");
    bytes
}

/// Waits until the server has closed the connection, in order or by a reset.
pub(crate) fn wait_for_close(client: &mut TcpStream) {
    match client.read(&mut [0]) {
        Ok(0) => {}
        Ok(_) => panic!("the server sent something instead of closing"),
        Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionReset, "{error}"),
    }
}

/// Closes so that the peer gets a reset.
pub(crate) fn reset(client: TcpStream) {
    let socket = socket2::Socket::from(client);
    socket.set_linger(Some(Duration::ZERO)).expect("TCP has it");
}

/// Bytes of which any loss, repetition or exchange shows.
pub(crate) fn pattern(count: usize) -> Vec<u8> {
    (0..count).map(|at| (at ^ (at >> 8) ^ (at >> 16)) as u8).collect()
}

/// The next thing a core reports.
pub(crate) fn receive<T>(from: &Receiver<T>) -> T {
    from.recv_timeout(BOUND).expect("a core reports in time")
}

/// Waits for what other threads bring about.
pub(crate) fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < BOUND, "waited in vain until {what}");
        // Leaves the processor to those who bring it about; how long does not matter.
        thread::sleep(Duration::from_millis(1));
    }
}

/// Whether this process is the child of a test.
pub(crate) fn is_child() -> bool {
    env::var_os(CHILD).is_some()
}

/// The command that runs one test of this binary as a child.
pub(crate) fn child_command(test: &str, wrapper: &[&str]) -> Command {
    let this = env::current_exe().expect("the test binary has a path");
    let mut command = match wrapper {
        [] => Command::new(this),
        [program, args @ ..] => {
            let mut command = Command::new(program);
            command.args(args).arg(this);
            command
        }
    };
    command.args([test, "--exact", "--nocapture"]).env(CHILD, "1");
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
    command
}

/// A child process, killed if it outlives the value.
pub(crate) struct ChildServer {
    child: Child,
    lines: BufReader<ChildStderr>,
}

impl ChildServer {
    pub(crate) fn spawn(mut command: Command) -> Self {
        let mut child = command.spawn().expect("the child can be started");
        let lines = BufReader::new(child.stderr.take().expect("it is piped"));
        Self { child, lines }
    }

    /// The rest of the next line that begins with `word`.
    ///
    /// Ends, if the child says nothing and stays, with the time limit of the whole run.
    pub(crate) fn wait_for(&mut self, word: &str) -> String {
        let mut seen = String::new();
        loop {
            let start = seen.len();
            let count = self.lines.read_line(&mut seen).expect("the child prints text");
            assert!(count > 0, "the child ended without {word}; it said:\n{seen}");
            if let Some(rest) = seen[start..].strip_prefix(word) {
                return rest.trim().to_owned();
            }
        }
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let number = i32::try_from(self.child.id()).expect("process ids are positive and small");
        let process = Pid::from_raw(number).expect("no process has the id 0");
        kill_process(process, signal).expect("the child lives");
    }

    /// Ends the child's standard input.
    pub(crate) fn end_input(&mut self) {
        drop(self.child.stdin.take());
    }

    /// Waits for the child to end; returns how, and what it has said since.
    pub(crate) fn wait(mut self) -> (ExitStatus, String) {
        let mut status = None;
        eventually("the child ends", || {
            status = self.child.try_wait().expect("the child can be waited for");
            status.is_some()
        });
        let mut rest = String::new();
        self.lines.read_to_string(&mut rest).expect("the child prints text");
        (status.expect("it ended"), rest)
    }

    /// Waits for the child to end and asserts that it says success.
    pub(crate) fn assert_success(self) {
        let (status, rest) = self.wait();
        assert!(status.success(), "the child failed:\n{rest}");
    }

    /// Waits for the child to end and asserts that a signal killed it.
    pub(crate) fn assert_killed_by(self, signal: Signal) {
        let (status, rest) = self.wait();
        assert_eq!(status.signal(), Some(signal.as_raw()), "{status}; it said:\n{rest}");
    }
}

impl Drop for ChildServer {
    fn drop(&mut self) {
        // Fails, rightly, where it has ended.
        let _ended = self.child.kill();
        let _reaped = self.child.wait();
    }
}
