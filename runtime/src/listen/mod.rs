//! Listeners: how they are set up, the sockets behind them, and the handle.
//!
//! Owns the handle; the sockets belong to the cores that accept, and end with them, whatever
//! becomes of the handle. How connections are accepted is `reactor/accept.rs`'s, and to which core
//! they go `balance`'s.

mod bind;
mod error;
mod given;
mod options;
mod shared;
mod unix;

use std::fmt;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::Arc;

pub(crate) use self::bind::{bind_all, bind_alone, bind_shared};
pub use self::error::ListenError;
pub(crate) use self::given::take_over;
pub use self::options::ListenOptions;
pub(crate) use self::shared::{Common, Part};
pub(crate) use self::unix::{SocketFile, UnixSocket, bind_unix};
pub use crate::balance::{AcceptMode, AcceptModeError, Dispatch};
use crate::error::Error;
use crate::handle::Handle;
use crate::reactor::Core;

/// A listener, as [`Runtime::listen_with`](crate::Runtime::listen_with), [`Core::listen`] and
/// their `listen_on` give it, or, with a [`UnixAddress`](crate::UnixAddress), their Unix-domain
/// kin.
///
/// # Shape
/// `Clone + Send + Sync`. Dropping it leaves the listener open. All it does may be done at any
/// time, on any thread, also in a callback or in the factory of a connection.
#[derive(Clone, Debug)]
pub struct Listener<A = SocketAddr> {
    addr: A,
    common: Arc<Common>,
    handle: Handle,
}

impl<A> Listener<A> {
    pub(crate) fn new(addr: A, common: Arc<Common>, handle: Handle) -> Self {
        Self { addr, common, handle }
    }

    /// The address it is bound to.
    pub fn local_addr(&self) -> A
    where
        A: Clone,
    {
        self.addr.clone()
    }

    /// Stops listening on every core; connections that were accepted live on.
    ///
    /// No other connection is accepted once this returns, but for one that a core on another thread
    /// may be accepting; the sockets are closed soon after. Those the kernel has connected and
    /// nobody has accepted see a reset, unless another process holds the socket too.
    pub fn close(&self) {
        self.common.close();
        self.tell(Core::close_listener);
    }

    /// Accepts nobody, on any core, until [`enable`](Self::enable); who comes waits in the backlog.
    ///
    /// Takes effect as [`close`](Self::close) does.
    pub fn disable(&self) {
        self.common.disable();
    }

    /// Accepts again after [`disable`](Self::disable), soon. A closed listener stays closed.
    pub fn enable(&self) {
        if self.common.enable() {
            self.tell(Core::resume_listener);
        }
    }

    /// Whether it accepts: it has been neither disabled nor closed.
    pub fn is_enabled(&self) -> bool {
        self.common.is_enabled()
    }

    /// Has a function called, in place of a line in the log, for accepts that fail for a reason
    /// which the next would meet too, such as descriptors running out.
    ///
    /// It runs on the core that accepts, which then rests 100 ms before it tries again. The last
    /// function that was set is called; one that panics is caught and counted.
    pub fn on_error(&self, handler: impl Fn(&mut Core, &io::Error) + Send + Sync + 'static) {
        self.common.set_on_error(Arc::new(handler));
    }

    fn tell(&self, what: impl FnOnce(&mut Core, &Arc<Common>) + Clone + Send + 'static) {
        let common = self.common.clone();
        // A core that has stopped listens no more.
        let _stopped = self.handle.broadcast(move |core: &mut Core| what(core, &common));
    }
}

/// The first address that `addr` stands for; an error shows `addr` as its `Debug` does.
pub(crate) fn resolve(addr: impl ToSocketAddrs + fmt::Debug) -> Result<SocketAddr, Error> {
    let first = addr.to_socket_addrs().and_then(|mut addrs| {
        addrs.next().ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "no address found"))
    });
    first.map_err(|source| Error::Address { addr: format!("{addr:?}"), source })
}

/// The error of binding, with the address.
pub(crate) fn bind_error(addr: SocketAddr, source: io::Error) -> Error {
    Error::Bind { addr, source }
}
