//! Sockets that somebody else has bound and that listen already.
//!
//! Owns what makes one fit for a core: it has to be TCP and to listen, must not block, and gets
//! what the options say, as a socket has that is bound here. Never binds, and never asks who else
//! holds the socket: its state is theirs too.
//!
//! Source: libevent 2.1.12 `evconnlistener_new` (listener.c). Differs: a socket that does not
//! listen is refused, not made to.

use std::io;
use std::net::{SocketAddr, TcpListener};

use socket2::{SockRef, Type};

use super::bind::set_up;
use super::bind_error;
use super::error::ListenError;
use super::options::ListenOptions;
use crate::error::Error;

/// Makes a socket fit for a core; returns where it listens.
pub(crate) fn take_over(
    listener: &TcpListener,
    options: &ListenOptions,
) -> Result<SocketAddr, Error> {
    let socket = SockRef::from(listener);
    let name = socket.local_addr()?.as_socket();
    let (Some(addr), Type::STREAM) = (name, socket.r#type()?) else {
        return Err(ListenError::NotTcp.into());
    };
    if !socket.is_listener()? {
        return Err(ListenError::NotListening { addr }.into());
    }
    if options.only_v6.is_some() {
        return Err(ListenError::BoundAlready { addr }.into());
    }
    let set_up = || -> io::Result<()> {
        socket.set_nonblocking(true)?;
        socket.set_cloexec(true)?;
        set_up(&socket, options)?;
        // Once more, which changes the backlog and nothing else.
        socket.listen(options.backlog_of_system())
    };
    set_up().map_err(|source| bind_error(addr, source))?;
    Ok(addr)
}
