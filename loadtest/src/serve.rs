//! The `serve` command: a server in its own process, told what to do by its parent or by signals.
//!
//! Owns the control protocol's server side: one request a line on standard input (`stats`, `go`,
//! `stop`), one JSON line on standard output for each. A controlled server stops when its input
//! ends, so it never outlives its parent. SIGTERM and SIGINT drain; the exit code is then 0. The
//! runtime's events go to standard error: for a controlled server only warnings.

use std::io::{self, BufRead, Write};
use std::sync::mpsc::{self, Sender};
use std::thread;

use serde::{Deserialize, Serialize};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use tracing_subscriber::EnvFilter;

use crate::arguments::ServeArguments;
use crate::descriptors;
use crate::exit::{Failure, Outcome};
use crate::procfs::{self, CpuTime, Memory};
use crate::server::{self, CoreCounts, GroupCounts, Server};

/// Everything a server says about itself at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ServerStats {
    /// The clock audit records are stamped with.
    pub(crate) clock_ns: u64,
    pub(crate) cpu: CpuTime,
    pub(crate) memory: Memory,
    pub(crate) cores: Vec<CoreCounts>,
    pub(crate) group: GroupCounts,
}

impl ServerStats {
    /// What can be read of any process from outside.
    ///
    /// # Errors
    /// It is gone, or belongs to somebody else.
    pub(crate) fn of_process(pid: u32) -> Outcome<Self> {
        let process = pid.to_string();
        let read = procfs::cpu_time(&process).and_then(|cpu| Ok((cpu, procfs::memory(&process)?)));
        let (cpu, memory) =
            read.map_err(Failure::io(format!("reading CPU time and memory of process {pid}")))?;
        Ok(Self { cpu, memory, ..Self::default() })
    }
}

/// What makes the main thread act.
enum Request {
    Stats,
    Go,
    Stop,
}

/// Serves until told to stop.
///
/// # Errors
/// The server cannot start, or cannot write to standard output.
pub(crate) fn run(arguments: &ServeArguments) -> Outcome {
    start_log(if arguments.controlled { "warn" } else { "info" });
    descriptors::raise();
    let (requests, received) = mpsc::channel();
    on_signals(requests.clone())?;
    let server = server::start(arguments)?;
    let addresses: Vec<String> = server.addresses().iter().map(ToString::to_string).collect();
    say(&format!("READY {}", addresses.join(" ")))?;
    if arguments.controlled {
        on_lines(requests)?;
    }
    loop {
        match received.recv() {
            Ok(Request::Stats) => say_stats(server.as_ref())?,
            Ok(Request::Go) => {
                // The figures are those of the moment before.
                say_stats(server.as_ref())?;
                server.go()?;
            }
            // The signal thread keeps a sender, so the channel does not close by itself.
            Ok(Request::Stop) | Err(_) => return server.stop(),
        }
    }
}

/// Writes events to standard error, from `level` on unless RUST_LOG says otherwise.
fn start_log(level: &str) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(level));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr).init();
}

fn say_stats(server: &dyn Server) -> Outcome {
    let line = serde_json::to_string(&stats(server)?)
        .map_err(|error| Failure::io("writing figures")(error.into()))?;
    say(&line)
}

fn stats(server: &dyn Server) -> Outcome<ServerStats> {
    Ok(ServerStats {
        clock_ns: server.clock_ns(),
        cpu: procfs::cpu_time("self").map_err(Failure::io("reading CPU time"))?,
        memory: procfs::memory("self").map_err(Failure::io("reading memory"))?,
        cores: server.cores(),
        group: server.group(),
    })
}

/// Turns signals into requests. Must come before the server starts its threads.
fn on_signals(requests: Sender<Request>) -> Outcome {
    let mut signals = Signals::new([SIGTERM, SIGINT]).map_err(Failure::io("watching signals"))?;
    thread::Builder::new()
        .name("signals".to_owned())
        .spawn(move || {
            for _ in signals.forever() {
                if requests.send(Request::Stop).is_err() {
                    return;
                }
            }
        })
        .map_err(Failure::io("starting the signal thread"))?;
    Ok(())
}

/// Turns lines on standard input into requests, and its end into a stop.
fn on_lines(requests: Sender<Request>) -> Outcome {
    thread::Builder::new()
        .name("control".to_owned())
        .spawn(move || {
            for line in io::stdin().lock().lines() {
                let request = match line.as_deref() {
                    Ok("stats") => Request::Stats,
                    Ok("go") => Request::Go,
                    _ => break,
                };
                if requests.send(request).is_err() {
                    return;
                }
            }
            // The main thread may have stopped already.
            let _ = requests.send(Request::Stop);
        })
        .map_err(Failure::io("starting the control thread"))?;
    Ok(())
}

/// Writes one line to standard output at once.
fn say(line: &str) -> Outcome {
    let mut out = io::stdout().lock();
    writeln!(out, "{line}").and_then(|()| out.flush()).map_err(Failure::io("standard output"))
}
