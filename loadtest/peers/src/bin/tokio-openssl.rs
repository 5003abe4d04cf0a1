//! An echo server of tokio and tokio-openssl in one thread.

use std::pin::Pin;

use clap::Parser;
use loadtest_peers::{Options, Outcome, tokio_echo};
use openssl::ssl::Ssl;
use tokio_openssl::SslStream;

fn main() -> Outcome {
    let options = Options::parse();
    let acceptor = options.acceptor()?.build();
    tokio_echo::serve(&options, |stream| {
        let acceptor = acceptor.clone();
        async move {
            let mut stream = SslStream::new(Ssl::new(acceptor.context())?, stream)?;
            Pin::new(&mut stream).accept().await?;
            Ok(stream)
        }
    })
}
