//! An echo server whose connections share one limit, and have one of their own.
//!
//! Teaches: a group that spans all cores, joining it, an own limit beside it, reading totals, and
//! showing figures to those who operate it.
//! Run it with `cargo run --release --bin rate_limited -- --group 64kB/s`, then send it a file from
//! a second terminal, `nc 127.0.0.1 7778 < /usr/share/dict/words | pv > /dev/null`: it comes back
//! at that rate. Open a second one and each gets half. Every second the totals are printed; with
//! `--metrics 127.0.0.1:9100` a browser shows there who waits and how much of the limit is used.

#![forbid(unsafe_code)]

use std::time::Duration;

use clap::Parser;
use sluicegate::{Context, Core, Group, Handler, Rate, Runtime, TokenBucketConfig};
use tracing_subscriber::EnvFilter;

/// A rate-limited echo server on sluicegate.
#[derive(Parser)]
struct Arguments {
    /// Where to listen.
    #[arg(long, default_value = "127.0.0.1:7778", value_name = "HOST:PORT")]
    listen: String,
    /// What all connections together may move in each direction, like 1MB/s or 8Mbit/s.
    #[arg(long, default_value = "1MB/s")]
    group: Rate,
    /// What each connection may move in each direction. Default: whatever the group gives it.
    #[arg(long)]
    each: Option<Rate>,
    /// Where to serve figures, for Prometheus and as a page. Default: nowhere.
    #[arg(long, value_name = "HOST:PORT")]
    metrics: Option<String>,
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

    let own = arguments.each.map(TokenBucketConfig::per_second);
    // SLUICEGATE_CORES and so on place the cores.
    let mut builder = Runtime::builder().env()?;
    if let Some(addr) = &arguments.metrics {
        builder = builder.metrics(addr);
    }
    let mut runtime = builder.build()?;
    let config = TokenBucketConfig::per_second(arguments.group);
    let group = Group::builder(config).name("everyone").seats(runtime.handle().core_count());
    let group = group.build()?;
    let member_of = group.clone();
    let addr = runtime.listen(&arguments.listen, move |conn| {
        conn.join(&member_of).expect("the group has a seat for every core");
        conn.set_rate_limit(own.clone());
        Echo
    })?;
    runtime.handle().submit_to(0, move |core| print_totals(core, group))?;
    say(format_args!("listening on {addr}, {} for all", arguments.group));
    runtime.run()
}

/// Prints what the group has moved, now and every second from now on.
fn print_totals(core: &mut Core, group: Group) {
    let (read, written) = group.totals();
    if read + written > 0 {
        say(format_args!("{read} bytes in, {written} bytes out"));
    }
    core.after(Duration::from_secs(1), move |core| print_totals(core, group));
}

#[expect(clippy::print_stdout, reason = "totals are the output of this program")]
fn say(line: std::fmt::Arguments<'_>) {
    println!("{line}");
}
