//! What a handler sees while it is called.
//!
//! Owns nothing: a [`Context`] lends the core for the time of one call.

mod views;

use std::fmt;
#[cfg(feature = "tls")]
use std::net::TcpStream;

use core_buf::Filter;
use groups::Time;
#[cfg(feature = "tls")]
use tls::openssl::ssl::{Ssl, SslStream};
#[cfg(feature = "tls")]
use tls::{TlsOptions, TlsState};

pub(crate) use self::views::lend;
pub use self::views::{Input, Output};
use crate::bev::{BevMut, Two};
#[cfg(feature = "tls")]
use crate::error::Result;
use crate::filter::{FilterOptions, StackError};
use crate::hand_off::{DetachError, Detached};
use crate::handler::Handler;
use crate::id::{BevId, Key};
use crate::pair::PairOptions;
use crate::reactor::Core;
use crate::slot::Stream;
#[cfg(feature = "tls")]
use crate::socket::Socket;

/// The core and the connection a handler is called for.
///
/// # Shape
/// Borrows the core for one call; never leaves it.
pub struct Context<'a> {
    core: &'a mut Core,
    key: Key,
}

impl<'a> Context<'a> {
    pub(crate) fn new(core: &'a mut Core, key: Key) -> Self {
        Self { core, key }
    }

    /// The name of this connection.
    pub fn id(&self) -> BevId {
        self.core.id(self.key)
    }

    /// Both buffers of this connection, the input first.
    pub fn buffers(&mut self) -> (Input<'_>, Output<'_>) {
        lend(&mut self.stream().bev)
    }

    /// This connection.
    pub fn me(&mut self) -> BevMut<'_> {
        BevMut::new(self.core, self.key)
    }

    /// Another connection of this core, or this one, if it is open.
    pub fn get(&mut self, id: BevId) -> Option<BevMut<'_>> {
        self.core.get(id)
    }

    /// Two open connections of this core at once, for a proxy; `None` unless both are open and
    /// not the same.
    ///
    /// # Examples
    /// What bounds a connection's input is its own output, so a proxy has to stop reading while the
    /// other side is slow:
    /// ```
    /// use sluicegate::{BevId, Context, Direction, Event, EventFlags, Handler};
    ///
    /// /// Sends what comes in to the connection it is coupled with.
    /// struct Forward(BevId);
    /// impl Handler for Forward {
    ///     fn on_read(&mut self, cx: &mut Context<'_>) {
    ///         let me = cx.id();
    ///         let Some(mut two) = cx.two(me, self.0) else { return cx.me().close() };
    ///         let ((mut input, _), (_, mut output)) = two.buffers();
    ///         output.append(&mut input);
    ///         if output.is_full() {
    ///             two.first().disable(Direction::Read);
    ///         }
    ///     }
    ///
    ///     fn on_write(&mut self, cx: &mut Context<'_>) {
    ///         if let Some(mut other) = cx.get(self.0) {
    ///             other.enable(Direction::Read);
    ///         }
    ///     }
    ///
    ///     fn on_event(&mut self, cx: &mut Context<'_>, event: Event) {
    ///         let over = EventFlags::EOF | EventFlags::ERROR | EventFlags::TIMEOUT;
    ///         if event.flags.intersects(over) {
    ///             cx.me().close();
    ///             if let Some(mut other) = cx.get(self.0) {
    ///                 other.close();
    ///             }
    ///         }
    ///     }
    /// }
    /// ```
    pub fn two(&mut self, first: BevId, second: BevId) -> Option<Two<'_>> {
        self.core.two(first, second)
    }

    /// Takes this connection off its core, to live on another: see [`Core::detach`].
    ///
    /// This handler is dropped at the end of the call. Another connection of this core goes by
    /// `cx.core().detach(id)`.
    ///
    /// # Errors
    /// It is closing or still connecting, is an end of a pair, has a filter over it that was put
    /// there in this call, or the core is shutting down: nothing has changed.
    pub fn detach(&mut self) -> Result<Detached, DetachError> {
        self.core.detach(self.id())
    }

    /// Joins two new bufferevents in memory: see [`Core::pair`].
    pub fn pair(
        &mut self,
        options: PairOptions,
        a: impl Handler,
        b: impl Handler,
    ) -> (BevId, BevId) {
        self.core.pair(options, a, b)
    }

    /// Puts a filter over a bufferevent of this core: see [`Core::filter`].
    ///
    /// # Errors
    /// `underlying` is not open on this core, or has a filter over it: use the topmost.
    pub fn filter(
        &mut self,
        underlying: BevId,
        filter: impl Filter + 'static,
        options: FilterOptions,
    ) -> Result<BevId, StackError> {
        self.core.filter(underlying, filter, options)
    }

    /// Puts a TLS session over a bufferevent of this core: see [`Core::tls_filter`].
    ///
    /// # Errors
    /// `state` contradicts `ssl`, or `underlying` takes no filter.
    #[cfg(feature = "tls")]
    pub fn tls_filter(
        &mut self,
        underlying: BevId,
        ssl: Ssl,
        state: TlsState,
        options: TlsOptions,
    ) -> Result<BevId> {
        self.core.tls_filter(underlying, ssl, state, options)
    }

    /// Makes a bufferevent with a TLS session next to its socket: see [`Core::tls_socket`].
    ///
    /// # Errors
    /// `state` contradicts `ssl`, or the core cannot have the socket, which is closed.
    #[cfg(feature = "tls")]
    pub fn tls_socket(
        &mut self,
        socket: Option<Socket>,
        ssl: Ssl,
        state: TlsState,
        options: TlsOptions,
        handler: impl Handler,
    ) -> Result<BevId> {
        self.core.tls_socket(socket, ssl, state, options, handler)
    }

    /// Takes over a stream whose handshake was made elsewhere: see [`Core::tls_from_stream`].
    ///
    /// # Errors
    /// The handshake is not over, or the core cannot have the socket; the stream is dropped.
    #[cfg(feature = "tls")]
    pub fn tls_from_stream(
        &mut self,
        stream: SslStream<TcpStream>,
        options: TlsOptions,
        handler: impl Handler,
    ) -> Result<BevId> {
        self.core.tls_from_stream(stream, options, handler)
    }

    /// The core, to listen, connect, set timers or write to other cores.
    pub fn core(&mut self) -> &mut Core {
        self.core
    }

    /// The time of this turn.
    pub fn now(&self) -> Time {
        self.core.now()
    }

    fn stream(&mut self) -> &mut Stream {
        self.core.slots.stream(self.key).expect("a slot is not given up while its handler runs")
    }
}

impl fmt::Debug for Context<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context").field("id", &self.id()).finish_non_exhaustive()
    }
}
