//! A server and a client that exchange messages, each behind its length.
//!
//! Teaches: a filter that makes messages of a stream, a bound on their length, who is told when one
//! is too long.
//! Run it with `cargo run --release --bin framing`, then in a second terminal
//! `printf 'one\ntwo\n' | cargo run --release --bin framing -- --connect 127.0.0.1:7780`: each line
//! comes back in capitals. One longer than `--longest` ends its connection, and the server says so.

#![forbid(unsafe_code)]

use std::io::{Read, Write};

use clap::Parser;
use sluicegate::{Context, Core, Event, EventFlags, FilterOptions, Handler, Runtime, Shutdown};
use sluicegate_examples::Frames;
use tracing_subscriber::EnvFilter;

/// A server of messages on sluicegate, or its client.
#[derive(Parser)]
struct Arguments {
    /// Where to listen.
    #[arg(long, default_value = "127.0.0.1:7780", value_name = "HOST:PORT")]
    listen: String,
    /// Be the client of a server there: send the lines of the standard input, print the answers.
    #[arg(long, value_name = "IP:PORT")]
    connect: Option<std::net::SocketAddr>,
    /// The longest message, in bytes.
    #[arg(long, default_value = "65536")]
    longest: usize,
}

/// Answers each message with the same in capitals.
struct Capitals;

impl Handler for Capitals {
    fn on_read(&mut self, cx: &mut Context<'_>) {
        let mut me = cx.me();
        let mut lines = vec![0; me.input().len()];
        me.input().remove(&mut lines);
        lines.make_ascii_uppercase();
        me.output().add(&lines);
    }

    fn on_event(&mut self, cx: &mut Context<'_>, event: Event) {
        if let Some(error) = event.error {
            tracing::warn!(%error, "a connection failed");
            cx.me().close_now();
        } else if event.flags.contains(EventFlags::EOF) {
            cx.me().close();
        }
    }
}

struct Client {
    /// Answers that have not come yet.
    left: usize,
}

impl Handler for Client {
    fn on_read(&mut self, cx: &mut Context<'_>) {
        let mut me = cx.me();
        let mut lines = vec![0; me.input().len()];
        me.input().remove(&mut lines);
        self.left -= lines.iter().filter(|&&byte| byte == b'\n').count().min(self.left);
        print(&lines);
        if self.left == 0 {
            // Closes this connection, as every other.
            me.core().handle().shutdown(Shutdown::Drain);
        }
    }

    fn on_event(&mut self, cx: &mut Context<'_>, event: Event) {
        let over = event.error.is_some() || event.flags.contains(EventFlags::EOF);
        if over {
            tracing::error!(error = ?event.error, missing = self.left, "the connection ended");
            cx.me().close_now();
            cx.core().handle().shutdown(Shutdown::Now);
        }
    }
}

fn main() -> sluicegate::Result<()> {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    let Arguments { listen, connect, longest } = Arguments::parse();

    if let Some(to) = connect {
        let mut lines = Vec::new();
        std::io::stdin().read_to_end(&mut lines)?;
        if lines.last().is_some_and(|&byte| byte != b'\n') {
            lines.push(b'\n');
        }
        let runtime = Runtime::builder().env()?.cores(1).build()?;
        runtime.handle().submit_to(0, move |core| {
            if let Err(error) = send(core, to, &lines, longest) {
                tracing::error!(%error, "nothing was sent");
                core.handle().shutdown(Shutdown::Now);
            }
        })?;
        return runtime.run();
    }
    // SLUICEGATE_CORES and so on place its cores.
    let mut runtime = Runtime::builder().env()?.build()?;
    let addr = runtime.listen(&listen, move |conn| {
        let top = conn.filter(Frames::new(longest), FilterOptions::new());
        top.expect("an accepted connection is open and has no filter");
        Capitals
    })?;
    print(format!("listening on {addr}\n").as_bytes());
    runtime.run()
}

fn send(
    core: &mut Core,
    to: std::net::SocketAddr,
    lines: &[u8],
    longest: usize,
) -> sluicegate::Result<()> {
    let left = lines.iter().filter(|&&byte| byte == b'\n').count();
    let id = core.connect(to, Client { left })?;
    let top = core.filter(id, Frames::new(longest), FilterOptions::new());
    let top = top.expect("a new connection is open and has no filter");
    if let Some(mut bev) = core.get(top) {
        bev.output().add(lines);
    }
    Ok(())
}

fn print(bytes: &[u8]) {
    let mut out = std::io::stdout().lock();
    out.write_all(bytes).and_then(|()| out.flush()).expect("the standard output takes bytes");
}
