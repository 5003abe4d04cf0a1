//! An echo server of tokio and tokio-openssl in one thread.
//!
//! Owns one task and one buffer for each connection. A connection that fails ends alone.

use std::pin::Pin;

use clap::Parser;
use loadtest_peers::{BUFFER_BYTES, Options, Outcome, ready};
use openssl::ssl::{Ssl, SslAcceptor};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_openssl::SslStream;

fn main() -> Outcome {
    let options = Options::parse();
    options.pin()?;
    let acceptor = options.acceptor()?.build();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    runtime.block_on(async {
        let listener = TcpListener::from_std(options.listener()?)?;
        ready(listener.local_addr()?)?;
        loop {
            let (stream, _) = listener.accept().await?;
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                // Whoever measures counts what failed.
                let _ = echo(&acceptor, stream).await;
            });
        }
    })
}

async fn echo(acceptor: &SslAcceptor, stream: TcpStream) -> Outcome {
    stream.set_nodelay(true)?;
    let mut stream = SslStream::new(Ssl::new(acceptor.context())?, stream)?;
    Pin::new(&mut stream).accept().await?;
    let mut buffer = vec![0; BUFFER_BYTES];
    loop {
        match stream.read(&mut buffer).await? {
            0 => break,
            bytes => stream.write_all(&buffer[..bytes]).await?,
        }
    }
    stream.shutdown().await?;
    Ok(())
}
