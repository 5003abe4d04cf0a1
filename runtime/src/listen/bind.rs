//! Sockets that listen.
//!
//! Owns how they are made. Those of several cores share an address by `SO_REUSEPORT`, which any
//! process of the same user may join; so a probe binds the address alone first, and a port that is
//! in use is an error instead of half the connections.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, TcpKeepalive, Type};

use super::options::ListenOptions;

/// Listens on `addr`, which nobody else may listen on.
pub(crate) fn bind_alone(addr: SocketAddr, options: &ListenOptions) -> io::Result<TcpListener> {
    listen(bind(addr, options, false)?, options)
}

/// One more socket on `addr`, among which the kernel spreads connections.
pub(crate) fn bind_shared(addr: SocketAddr, options: &ListenOptions) -> io::Result<TcpListener> {
    listen(bind(addr, options, true)?, options)
}

/// Listens on `addr`, which nobody else may listen on, with as many sockets as will accept.
pub(crate) fn bind_all(
    addr: SocketAddr,
    options: &ListenOptions,
    count: usize,
) -> io::Result<(SocketAddr, Vec<TcpListener>)> {
    if count == 1 {
        let listener = bind_alone(addr, options)?;
        return Ok((listener.local_addr()?, vec![listener]));
    }
    let probe = bind(addr, options, false)?;
    let addr = socket_addr(&probe)?;
    drop(probe);
    let listeners = (0..count).map(|_| bind_shared(addr, options)).collect::<io::Result<_>>()?;
    Ok((addr, listeners))
}

fn bind(addr: SocketAddr, options: &ListenOptions, share: bool) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_nonblocking(true)?;
    // Without it a server cannot restart while connections of its predecessor linger.
    socket.set_reuse_address(true)?;
    if share {
        socket.set_reuse_port(true)?;
    }
    if let Some(only) = options.only_v6.filter(|_| addr.is_ipv6()) {
        socket.set_only_v6(only)?;
    }
    set_up(&socket, options)?;
    socket.bind(&addr.into())?;
    Ok(socket)
}

/// Sets what connections inherit from the socket that accepts them.
pub(super) fn set_up(socket: &Socket, options: &ListenOptions) -> io::Result<()> {
    if options.no_delay {
        socket.set_tcp_nodelay(true)?;
    }
    if let Some(after) = options.keep_alive {
        socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(in_seconds(after)))?;
    }
    if let Some(bytes) = options.send_buffer {
        socket.set_send_buffer_size(bytes)?;
    }
    if let Some(bytes) = options.receive_buffer {
        socket.set_recv_buffer_size(bytes)?;
    }
    Ok(())
}

fn listen(socket: Socket, options: &ListenOptions) -> io::Result<TcpListener> {
    socket.listen(options.backlog_of_system())?;
    Ok(socket.into())
}

fn socket_addr(socket: &Socket) -> io::Result<SocketAddr> {
    let addr = socket.local_addr()?.as_socket();
    addr.ok_or_else(|| io::Error::from(io::ErrorKind::AddrNotAvailable))
}

/// Whole seconds, rounded up, of which the kernel counts from 1 to 32,767.
fn in_seconds(span: Duration) -> Duration {
    let seconds = span.as_secs().saturating_add(u64::from(span.subsec_nanos() > 0));
    Duration::from_secs(seconds.clamp(1, 32_767))
}

#[cfg(test)]
mod tests {
    use socket2::SockRef;

    use super::*;

    fn bound(options: ListenOptions) -> TcpListener {
        let addr = SocketAddr::from(([127, 0, 0, 1], 0));
        bind_alone(addr, &options).expect("a port is free")
    }

    #[test]
    fn the_kernel_asks_for_a_silent_peer_after_whole_seconds() {
        let after = |options| {
            let listener = bound(options);
            let socket = SockRef::from(&listener);
            let asks = socket.keepalive().expect("it can be asked");
            asks.then(|| socket.tcp_keepalive_time().expect("it can be asked").as_secs())
        };
        let set = |span| after(ListenOptions::new().keep_alive(span));
        assert_eq!(after(ListenOptions::new()), Some(300));
        assert_eq!(set(None), None);
        assert_eq!(set(Some(Duration::ZERO)), Some(1));
        assert_eq!(set(Some(Duration::from_millis(1001))), Some(2));
        assert_eq!(set(Some(Duration::MAX)), Some(32_767));
    }
}
