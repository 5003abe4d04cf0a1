//! A handle to a listener, on one core or on all.
//!
//! Owns the name of a listener only. The sockets belong to the cores, one each, and end with them;
//! dropping the handle changes nothing.

use std::net::SocketAddr;

use crate::handle::Handle;
use crate::reactor::Core;

/// Names the sockets of one `listen` call, on whichever cores they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ListenerId {
    /// The core that made it, or [`ListenerId::RUNTIME`].
    pub(crate) core: u16,
    pub(crate) number: u32,
}

impl ListenerId {
    /// Stands for the runtime, which listens on every core.
    pub(crate) const RUNTIME: u16 = u16::MAX;
}

/// A listener, as [`Runtime::listen_with`](crate::Runtime::listen_with) and [`Core::listen`] give
/// it.
///
/// # Shape
/// `Clone + Send + Sync`. Dropping it leaves the listener open.
#[derive(Clone, Debug)]
pub struct Listener {
    addr: SocketAddr,
    id: ListenerId,
    handle: Handle,
}

impl Listener {
    pub(crate) fn new(addr: SocketAddr, id: ListenerId, handle: Handle) -> Self {
        Self { addr, id, handle }
    }

    /// The address it is bound to.
    pub fn local_addr(&self) -> SocketAddr {
        self.addr
    }

    /// Stops listening on every core, soon; connections that were accepted live on.
    ///
    /// Those the kernel has connected and nobody has accepted see a reset.
    pub fn close(&self) {
        let id = self.id;
        // A core that has stopped listens no more.
        let _stopped = self.handle.broadcast(move |core: &mut Core| core.close_listener(id));
    }
}
