//! A TLS server that prints what it gets and sends it back.
//!
//! Teaches: certificates from files or made on the spot, a session on each accepted connection.
//! Run it with `cargo run --release --bin tls_echo -- --self-signed`, then
//! `openssl s_client -connect 127.0.0.1:9999` in a second terminal and type: every line is printed
//! here and comes back. Without the flag it wants the files `cert` and `pkey` in the current folder
//! and says how to make them. It is the SSL echo server of libevent's book.

#![forbid(unsafe_code)]

use std::io::Write;
use std::process::ExitCode;

use clap::Parser;
use sluicegate::tls::{Certificate, TlsConfigError};
use sluicegate::{Context, Handler, ListenOptions, Runtime, TlsConfig, TlsOptions};
use tracing_subscriber::EnvFilter;

const HOW_TO_MAKE_THEM: &str = "\
Couldn't read 'pkey' or 'cert' file.  To generate a key
and self-signed certificate, run:
  openssl genrsa -out pkey 2048
  openssl req -new -key pkey -out cert.req
  openssl x509 -req -days 365 -in cert.req -signkey pkey -out cert
";

/// A TLS echo server on sluicegate.
#[derive(Parser)]
struct Arguments {
    /// Where to listen.
    #[arg(long, default_value = "127.0.0.1:9999", value_name = "HOST:PORT")]
    listen: String,
    /// Make a certificate for localhost that lasts a day, instead of reading `cert` and `pkey`.
    #[arg(long)]
    self_signed: bool,
}

struct Echo;

impl Handler for Echo {
    fn on_read(&mut self, cx: &mut Context<'_>) {
        let (mut input, mut output) = cx.buffers();
        let mut text = format!("Received {} bytes\n----- data ----\n", input.len()).into_bytes();
        text.extend(input.peek(0..input.len()).flatten());
        text.push(b'\n');
        print(&text);
        output.append(&mut input);
    }
}

fn certificate(self_signed: bool) -> Result<Certificate, TlsConfigError> {
    if self_signed {
        return Certificate::self_signed(&["localhost", "127.0.0.1"], 1);
    }
    Certificate::from_files("cert", "pkey")
}

fn main() -> sluicegate::Result<ExitCode> {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    let arguments = Arguments::parse();

    // SLUICEGATE_CORES and so on place the cores.
    let mut runtime = Runtime::builder().env()?.build()?;
    let certificate = match certificate(arguments.self_signed) {
        Ok(certificate) => certificate,
        Err(error) => {
            tracing::error!(%error, "there is no certificate");
            print(HOW_TO_MAKE_THEM.as_bytes());
            return Ok(ExitCode::FAILURE);
        }
    };
    let config = TlsConfig::server().certificate(certificate).build()?;
    let options = ListenOptions::new().backlog(1024);
    let listener = runtime.listen_with(&arguments.listen, options, move |conn| {
        conn.tls_accept(&config, TlsOptions::new()).expect("it has just been accepted");
        Echo
    })?;
    print(format!("listening on {}\n", listener.local_addr()).as_bytes());
    runtime.run()?;
    Ok(ExitCode::SUCCESS)
}

fn print(bytes: &[u8]) {
    let mut out = std::io::stdout().lock();
    out.write_all(bytes).and_then(|()| out.flush()).expect("the standard output takes bytes");
}
