//! A proxy that takes TLS off connections and passes them on in the clear, each client at its rate.
//!
//! Teaches: a handler that gives way to another, two connections coupled with back-pressure, a
//! group for each client address, ends and failures passed on as what they are.
//! Run a plain server, `python3 -m http.server 8080 --bind 127.0.0.1`, then
//! `cargo run --release --bin tls_proxy -- --self-signed --each-client 200kB/s`, and in a third
//! terminal `curl --insecure https://127.0.0.1:8443/`. All connections that a client opens share
//! its rate in each direction, counted as it crosses the wire.

#![forbid(unsafe_code)]

use std::cell::Cell;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use clap::Parser;
use sluicegate::tls::Certificate;
use sluicegate::{
    BevId, Context, Direction, Event, EventFlags, Handler, Rate, Runtime, TlsConfig, TlsOptions,
    TokenBucketConfig,
};
use sluicegate_examples::{Claim, Clients};
use tracing_subscriber::EnvFilter;

/// How long a side may be silent once the other has nothing more to say.
const HALF_OVER: Duration = Duration::from_secs(60);

/// A TLS-terminating proxy on sluicegate.
#[derive(Parser)]
struct Arguments {
    /// Where to listen.
    #[arg(long, default_value = "127.0.0.1:8443", value_name = "HOST:PORT")]
    listen: String,
    /// Where to pass connections on to.
    #[arg(long, default_value = "127.0.0.1:8080", value_name = "IP:PORT")]
    upstream: SocketAddr,
    /// The certificate chain, a PEM file.
    #[arg(long, default_value = "cert")]
    cert: PathBuf,
    /// Its private key, a PEM file.
    #[arg(long, default_value = "pkey")]
    key: PathBuf,
    /// Make a certificate for localhost that lasts a day, instead of reading files.
    #[arg(long)]
    self_signed: bool,
    /// What all connections of one client together may move in each direction.
    #[arg(long, default_value = "1MB/s")]
    each_client: Rate,
}

/// A client that has not completed its handshake; until then nobody is dialled for it.
struct Guest {
    upstream: SocketAddr,
    claim: Option<Claim>,
}

impl Handler for Guest {
    fn on_event(&mut self, cx: &mut Context<'_>, event: Event) {
        let client = cx.id();
        if !event.flags.contains(EventFlags::CONNECTED) {
            return fail(cx, &[client], event.error.map(|error| error.to_string()));
        }
        let half_over = Rc::<Cell<bool>>::default();
        let side = |other, _claim| Side { other, half_over: half_over.clone(), _claim };
        match cx.core().connect(self.upstream, side(client, None)) {
            Ok(other) => cx.me().set_handler(side(other, self.claim.take())).expect("it is on top"),
            Err(error) => fail(cx, &[client], Some(error.to_string())),
        }
    }
}

/// Ends them in a way that nobody takes for a good end.
fn fail(cx: &mut Context<'_>, ids: &[BevId], error: Option<String>) {
    tracing::warn!(error, "a connection failed");
    for &id in ids {
        cx.get(id).iter_mut().for_each(|bev| bev.close_now());
    }
}

/// One side; sends what comes in to the other.
struct Side {
    other: BevId,
    /// One of both has been read to its end.
    half_over: Rc<Cell<bool>>,
    _claim: Option<Claim>,
}

impl Handler for Side {
    fn on_read(&mut self, cx: &mut Context<'_>) {
        let me = cx.id();
        let Some(mut two) = cx.two(me, self.other) else { return cx.me().close() };
        let ((mut input, _), (_, mut output)) = two.buffers();
        output.append(&mut input);
        if output.is_full() {
            two.first().disable(Direction::Read);
        }
    }

    fn on_write(&mut self, cx: &mut Context<'_>) {
        if let Some(mut other) = cx.get(self.other) {
            other.enable(Direction::Read);
        }
    }

    fn on_event(&mut self, cx: &mut Context<'_>, event: Event) {
        let sides = [cx.id(), self.other];
        if event.flags.intersects(EventFlags::ERROR | EventFlags::TIMEOUT) {
            fail(cx, &sides, event.error.map(|error| error.to_string()));
        } else if event.flags.contains(EventFlags::EOF) {
            if self.half_over.replace(true) {
                for id in sides {
                    cx.get(id).iter_mut().for_each(|bev| bev.close());
                }
            } else if let Some(mut other) = cx.get(self.other) {
                other.shutdown_write();
                other.set_timeout(Direction::Read, Some(HALF_OVER));
            }
        }
    }
}

#[expect(clippy::print_stdout, reason = "the address is the output of this program")]
fn main() -> sluicegate::Result<()> {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    let Arguments { listen, upstream, cert, key, self_signed, each_client } = Arguments::parse();

    // SLUICEGATE_CORES and so on place the cores.
    let mut runtime = Runtime::builder().env()?.build()?;
    let certificate = match self_signed {
        true => Certificate::self_signed(&["localhost", "127.0.0.1"], 1)?,
        false => Certificate::from_files(cert, key)?,
    };
    let config = TlsConfig::server().certificate(certificate).build()?;
    let cores = runtime.handle().core_count();
    let clients = Clients::new(TokenBucketConfig::per_second(each_client), cores)?;
    let addr = runtime.listen(&listen, move |conn| {
        // What is counted is what crosses the socket, the handshake included.
        let claim = Some(clients.join(conn));
        // One that cannot have a session is closed, and nobody is dialled for it.
        conn.tls_accept(&config, TlsOptions::new()).expect("there is memory");
        Guest { upstream, claim }
    })?;
    println!("listening on {addr}, each client at {each_client}");
    runtime.run()
}
