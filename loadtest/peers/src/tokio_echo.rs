//! An echo server of tokio in one thread, whatever its TLS is made by.
//!
//! Owns one task and one buffer for each connection. A connection that fails ends alone.

use std::future::Future;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::{BUFFER_BYTES, Options, Outcome, REST, ready, rests};

/// Accepts for ever; `accept` makes the handshake of a connection.
///
/// # Errors
/// It cannot run there or listen.
pub fn serve<S, F>(options: &Options, accept: impl Fn(TcpStream) -> F) -> Outcome
where
    F: Future<Output = Outcome<S>> + Send + 'static,
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    options.pin()?;
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build()?;
    runtime.block_on(async {
        let listener = TcpListener::from_std(options.listener()?)?;
        ready(listener.local_addr()?)?;
        loop {
            match listener.accept().await {
                Ok((stream, _)) => {
                    let accepting = stream.set_nodelay(true).map(|()| accept(stream));
                    // Whoever measures counts what failed.
                    tokio::spawn(async move { echo(accepting?.await?).await });
                }
                Err(error) => {
                    rests(&error);
                    tokio::time::sleep(REST).await;
                }
            }
        }
    })
}

async fn echo(mut stream: impl AsyncRead + AsyncWrite + Unpin) -> Outcome {
    let mut buffer = vec![0; BUFFER_BYTES];
    loop {
        match stream.read(&mut buffer).await? {
            0 => break,
            bytes => {
                stream.write_all(&buffer[..bytes]).await?;
                stream.flush().await?;
            }
        }
    }
    stream.shutdown().await?;
    Ok(())
}
