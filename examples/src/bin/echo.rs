//! A server that sends back what it gets, on every CPU the process may use.
//!
//! Teaches: a handler, a listener on every core, running until a signal.
//! Run it with `cargo run --release --bin echo`, then `nc 127.0.0.1 7777` in a second terminal and
//! type: every line comes back. Ctrl-C drains and ends it.

#![forbid(unsafe_code)]

use clap::Parser;
use sluicegate::{Context, Handler, Runtime};
use sluicegate_examples::PlacementFlags;
use tracing_subscriber::EnvFilter;

/// An echo server on sluicegate.
#[derive(Parser)]
struct Arguments {
    /// Where to listen.
    #[arg(long, default_value = "127.0.0.1:7777", value_name = "HOST:PORT")]
    listen: String,
    #[command(flatten)]
    placement: PlacementFlags,
}

struct Echo;

impl Handler for Echo {
    fn on_read(&mut self, cx: &mut Context<'_>) {
        let (mut input, mut output) = cx.buffers();
        output.append(&mut input);
    }
}

fn main() -> sluicegate::Result<()> {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    let arguments = Arguments::parse();

    // A flag goes before the variable of its name, SLUICEGATE_CORES and so on.
    let builder = Runtime::builder().env()?.placement(arguments.placement.asked());
    let mut runtime = builder.build()?;
    let addr = runtime.listen(&arguments.listen, |_conn| Echo)?;
    say(format_args!("listening on {addr}"));
    runtime.run()
}

#[expect(clippy::print_stdout, reason = "the address is the output of this program")]
fn say(line: std::fmt::Arguments<'_>) {
    println!("{line}");
}
