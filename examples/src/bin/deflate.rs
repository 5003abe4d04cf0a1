//! An echo server and a client between which everything is compressed.
//!
//! Teaches: a filter on accepted connections and on one that is made, flushing at the end of a
//! message, ending a compressed stream while answers still come.
//! Run it with `cargo run --release --bin deflate`, then in a second terminal
//! `cargo run --release --bin deflate -- --connect 127.0.0.1:7779 < README.md`: the text comes
//! back, and a line on the standard error says how few bytes that took each way.

#![forbid(unsafe_code)]

use std::io::{Read, Write};

use clap::Parser;
use sluicegate::{
    BevId, Context, Core, Direction, Event, FilterOptions, FlushMode, Handler, Runtime, Shutdown,
};
use sluicegate_examples::Deflate;
use tracing_subscriber::EnvFilter;

/// A compressing echo server on sluicegate, or its client.
#[derive(Parser)]
struct Arguments {
    /// Where to listen.
    #[arg(long, default_value = "127.0.0.1:7779", value_name = "HOST:PORT")]
    listen: String,
    /// Be the client of a server there: send the standard input, print what comes back.
    #[arg(long, value_name = "IP:PORT")]
    connect: Option<std::net::SocketAddr>,
}

/// How much decompressed input may wait; what more it would make stays compressed meanwhile.
const WAITING: usize = 64 * 1024;

struct Echo;

impl Handler for Echo {
    fn on_read(&mut self, cx: &mut Context<'_>) {
        let (mut input, mut output) = cx.buffers();
        output.append(&mut input);
        // Else the compressor would wait for more to compress it with.
        flush(cx, FlushMode::Flush);
    }
}

struct Client {
    /// Bytes that have not come back yet.
    left: usize,
}

impl Handler for Client {
    fn on_read(&mut self, cx: &mut Context<'_>) {
        let mut me = cx.me();
        let mut bytes = vec![0; me.input().len()];
        me.input().remove(&mut bytes);
        self.left = self.left.saturating_sub(bytes.len());
        print(&bytes);
        if self.left == 0 {
            let stats = me.core().stats();
            tracing::info!(sent = stats.bytes_out, received = stats.bytes_in, "compressed");
            // Closes this connection, as every other.
            me.core().handle().shutdown(Shutdown::Drain);
        }
    }

    fn on_event(&mut self, cx: &mut Context<'_>, event: Event) {
        if let Some(error) = event.error {
            tracing::error!(%error, missing = self.left, "the connection failed");
            cx.me().close_now();
            cx.core().handle().shutdown(Shutdown::Now);
        }
    }
}

fn main() -> sluicegate::Result<()> {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    let arguments = Arguments::parse();

    if let Some(to) = arguments.connect {
        let mut text = Vec::new();
        std::io::stdin().read_to_end(&mut text)?;
        let runtime = Runtime::builder().env()?.cores(1).build()?;
        runtime.handle().submit_to(0, move |core| {
            if let Err(error) = send(core, to, &text) {
                tracing::error!(%error, "nothing was sent");
                core.handle().shutdown(Shutdown::Now);
            }
        })?;
        return runtime.run();
    }
    // SLUICEGATE_CORES and so on place its cores.
    let mut runtime = Runtime::builder().env()?.build()?;
    let addr = runtime.listen(&arguments.listen, |conn| {
        let top = conn.filter(Deflate::new(), FilterOptions::new());
        let top = top.expect("an accepted connection is open and has no filter");
        if let Some(mut top) = conn.core().get(top) {
            top.set_read_watermark(0, WAITING);
        }
        Echo
    })?;
    print(format!("listening on {addr}\n").as_bytes());
    runtime.run()
}

/// Connects, sends `text` and ends the compressed stream; answers still come.
fn send(core: &mut Core, to: std::net::SocketAddr, text: &[u8]) -> sluicegate::Result<()> {
    let id: BevId = core.connect(to, Client { left: text.len() })?;
    let top = core.filter(id, Deflate::new(), FilterOptions::new());
    let top = top.expect("a new connection is open and has no filter");
    if let Some(mut bev) = core.get(top) {
        bev.output().add(text);
        bev.flush(Direction::Write, FlushMode::Finished).expect("there is no pair below");
    }
    Ok(())
}

fn flush(cx: &mut Context<'_>, mode: FlushMode) {
    cx.me().flush(Direction::Write, mode).expect("there is no pair below");
}

fn print(bytes: &[u8]) {
    let mut out = std::io::stdout().lock();
    out.write_all(bytes).and_then(|()| out.flush()).expect("the standard output takes bytes");
}
