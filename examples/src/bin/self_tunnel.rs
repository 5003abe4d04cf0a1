//! A program that talks a protocol to itself: client and server in one process, without a socket.
//!
//! Teaches: a pair in place of a connection, layers over each end of it: framing over TLS, and
//! below a filter that shows what crosses; ending the program from a handler.
//! Run it with `cargo run --release --bin self_tunnel -- hello "how are you"`: each message crosses
//! behind its length, sealed, and is answered. What is said and what kinds of records cross are
//! shown as they come, and at the end that no socket was read or written.

#![forbid(unsafe_code)]

use clap::Parser;
use sluicegate::tls::Certificate;
use sluicegate::{
    BevMut, Context, Core, Eol, Event, EventFlags, FilterOptions, Handler, PairOptions, Runtime,
    Shutdown, TlsConfig, TlsOptions, TlsState,
};
use sluicegate_examples::{Frames, Tap};

/// The longest message, in bytes.
const LONGEST: usize = 65_536;

/// A client and a server of messages in one process, on sluicegate.
#[derive(Parser)]
struct Arguments {
    /// What the client says; each line is a message.
    #[arg(default_values = ["hello", "how are you"])]
    messages: Vec<String>,
}

/// Answers each message.
struct Server;

impl Handler for Server {
    fn on_read(&mut self, cx: &mut Context<'_>) {
        let (mut input, mut output) = cx.buffers();
        while let Some(line) = input.read_line(Eol::Lf) {
            output.add(format!("its length is {}\n", line.len()).as_bytes());
        }
    }
}

/// Says one message after another, each when the last has been answered.
struct Client {
    messages: std::vec::IntoIter<String>,
}

impl Handler for Client {
    fn on_read(&mut self, cx: &mut Context<'_>) {
        let mut me = cx.me();
        while let Some(answer) = me.input().read_line(Eol::Lf) {
            say(format_args!("client <- {}", answer.escape_ascii()));
            if let Some(message) = self.messages.next() {
                send(&mut me, &message);
            } else {
                let stats = me.core().stats();
                say(format_args!("socket reads: {}, writes: {}", stats.reads, stats.writes));
                // Closes both ends, each after what is left, and then the program ends.
                me.core().handle().shutdown(Shutdown::Drain);
            }
        }
    }

    fn on_event(&mut self, cx: &mut Context<'_>, event: Event) {
        if event.flags.contains(EventFlags::CONNECTED) {
            return;
        }
        if let Some(error) = event.error {
            say(format_args!("the client fails: {error}"));
        }
        cx.core().handle().shutdown(Shutdown::Now);
    }
}

fn send(client: &mut BevMut<'_>, message: &str) {
    say(format_args!("client -> {message}"));
    let mut output = client.output();
    output.add(message.as_bytes());
    output.add(b"\n");
}

/// Joins a client and a server by a pair, and puts framing over TLS over its ends.
fn tunnel(
    core: &mut Core,
    (shows, trusts): (&TlsConfig, &TlsConfig),
    mut messages: std::vec::IntoIter<String>,
) -> sluicegate::Result<()> {
    let (index, now, options) = (core.index(), core.now(), TlsOptions::new());

    let first = messages.next().unwrap_or_default();
    let (client, server) = core.pair(PairOptions::new(), Client { messages }, Server);
    let ssl = shows.accept(index, now)?;
    let server = core.tls_filter(server, ssl, TlsState::Accepting, options)?;
    core.filter(server, Frames::new(LONGEST), FilterOptions::new())?;

    let tapped = core.filter(client, Tap::new(say), FilterOptions::new())?;
    let ssl = trusts.connect(index, now, "localhost")?;
    let client = core.tls_filter(tapped, ssl, TlsState::Connecting, options)?;
    let top = core.filter(client, Frames::new(LONGEST), FilterOptions::new())?;
    if let Some(mut client) = core.get(top) {
        send(&mut client, &first);
    }
    Ok(())
}

fn main() -> sluicegate::Result<()> {
    let Arguments { messages } = Arguments::parse();
    let lines: Vec<String> =
        messages.iter().flat_map(|it| it.split('\n')).map(str::to_owned).collect();
    let runtime = Runtime::builder().env()?.cores(1).build()?;

    let certificate = Certificate::self_signed(&["localhost"], 1)?;
    let trusts = TlsConfig::client().roots_pem(certificate.chain_pem()?).build()?;
    let shows = TlsConfig::server().certificate(certificate).build()?;
    runtime.handle().submit_to(0, move |core| {
        let made = tunnel(core, (&shows, &trusts), lines.into_iter());
        made.expect("a new pair takes every layer");
    })?;
    runtime.run()
}

#[expect(clippy::print_stdout, reason = "what is said is the output of this program")]
fn say(line: std::fmt::Arguments<'_>) {
    println!("{line}");
}
