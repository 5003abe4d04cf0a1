//! TLS sessions on a core: over any bufferevent, next to a socket, taken over from elsewhere.
//!
//! Owns nothing: a session is a stage, and stands where filters do (`reactor/stack.rs`). A stream
//! "next to a socket" is a socket's with a session over it. The short forms ask a configuration for
//! the object of this core and put it over a connection.
//!
//! Source: libevent 2.1.12 `bufferevent_openssl_filter_new`, `bufferevent_openssl_socket_new`.

use std::net::{SocketAddr, TcpStream};

use core_buf::{DEFAULT_MAX_SINGLE, Landing};
use groups::Direction;
use tls::openssl::ssl::{Ssl, SslStream};
use tls::{Session, TlsConfig, TlsOptions, TlsState};

use super::Core;
use super::between::{Between, Over};
use super::io::Seam;
use crate::error::Result;
use crate::filter::FilterOptions;
use crate::handler::Handler;
use crate::id::{BevId, Key};
use crate::slot::Transport;
use crate::socket::Socket;

impl Core {
    /// Puts a TLS session over a bufferevent; returns the name of the one that now is on top.
    ///
    /// As [`filter`](Self::filter) does for a filter: the handler of `underlying` moves on top, and
    /// from here on its callbacks are about plaintext. Unless `state` says that the handshake is
    /// over it begins as soon as the socket at the bottom is connected; CONNECTED comes when it is
    /// done, once and before anything else, or an ERROR event. Its error carries a
    /// [`TlsError`](crate::TlsError), or is that of the stream below if this one failed, as by a
    /// reset. Output may be given before.
    ///
    /// # Errors
    /// `state` contradicts `ssl`, which is dropped, or `underlying` takes no filter.
    ///
    /// # Examples
    /// A server's end and a client's, in one process:
    /// ```
    /// use sluicegate::openssl::ssl::{Ssl, SslContext, SslMethod};
    /// use sluicegate::sim::Simulation;
    /// use sluicegate::{Handler, PairOptions, TlsOptions, TlsState};
    ///
    /// /// Leaves what comes in its input.
    /// struct Keep;
    /// impl Handler for Keep {}
    ///
    /// // Of a client that verifies nothing and a server with no certificate: they will not agree.
    /// let context = SslContext::builder(SslMethod::tls())?.build();
    /// let mut sim = Simulation::new(1);
    /// let (a, b) = sim.core().pair(PairOptions::new(), Keep, Keep);
    /// let options = TlsOptions::new();
    /// let server = sim.core().tls_filter(a, Ssl::new(&context)?, TlsState::Accepting, options)?;
    /// let client = sim.core().tls_filter(b, Ssl::new(&context)?, TlsState::Connecting, options)?;
    /// sim.turn();
    /// assert!(sim.core().get(server).is_none() && sim.core().get(client).is_none());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn tls_filter(
        &mut self,
        underlying: BevId,
        ssl: Ssl,
        state: TlsState,
        options: TlsOptions,
    ) -> Result<BevId> {
        let session = Box::new(Session::new(ssl, state, &options)?);
        let label = self.shared.labels.intern("TLS session");
        let filter = FilterOptions::new().close_underlying(options.closes_underlying());
        let id = self.put_over(underlying, Between::Session(session), label, filter)?;
        if let Some(under) = self.slots.stream(underlying.key).filter(|it| it.transport.is_socket())
        {
            // A full record is a little more than the usual operation.
            for direction in Direction::ALL {
                if under.bev.max_single(direction) == DEFAULT_MAX_SINGLE {
                    under.bev.set_max_single(direction, Landing::MAX_BYTES);
                }
            }
        }
        Ok(id)
    }

    /// A bufferevent with a TLS session next to its socket; returns its name.
    ///
    /// Without a socket it waits for one: give it one by
    /// [`set_socket`](crate::BevMut::set_socket), or [`connect`](crate::BevMut::connect) it.
    ///
    /// # Errors
    /// As for [`tls_filter`](Self::tls_filter) and [`adopt`](Self::adopt); the socket is closed.
    ///
    /// # Examples
    /// A client that is there first, and connected later:
    /// ```
    /// use std::time::Duration;
    ///
    /// use sluicegate::sim::Simulation;
    /// use sluicegate::tls::Certificate;
    /// use sluicegate::{ListenOptions, TlsConfig, TlsOptions, TlsState};
    ///
    /// let certificate = Certificate::self_signed(&["example.com"], 7)?;
    /// let trusts = TlsConfig::client().roots_pem(certificate.chain_pem()?).build()?;
    /// let shows = TlsConfig::server().certificate(certificate).build()?;
    /// let mut sim = Simulation::new(1);
    /// let listener = sim.core().listen("10.0.0.1:443", ListenOptions::new(), move |conn| {
    ///     conn.tls_accept(&shows, TlsOptions::new()).expect("it has just been accepted");
    /// })?;
    ///
    /// let ssl = trusts.connect(0, sim.now(), "example.com")?;
    /// let (state, options) = (TlsState::Connecting, TlsOptions::new());
    /// let id = sim.core().tls_socket(None, ssl, state, options, ())?;
    /// sim.core().get(id).expect("it is open").connect(listener.local_addr())?;
    /// let both = |sim: &mut Simulation| sim.core().stats().handshakes == 2;
    /// assert!(sim.run_until(Duration::from_secs(1), both));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn tls_socket(
        &mut self,
        socket: Option<Socket>,
        ssl: Ssl,
        state: TlsState,
        options: TlsOptions,
        handler: impl Handler,
    ) -> Result<BevId> {
        let bottom = match socket {
            Some(socket) => self.adopt(socket, handler)?,
            None => self.unconnected(handler),
        };
        self.secure(bottom, ssl, state, options)
    }

    /// Connects to an address and speaks TLS with `host`, whose certificate must be shown there.
    ///
    /// CONNECTED comes when the handshake is done, or ERROR as an event. A session kept of an
    /// earlier connection to `host` from this core is offered for resumption.
    ///
    /// # Errors
    /// `config` is a server's, or `host` no name; otherwise as for [`connect`](Self::connect).
    ///
    /// # Examples
    /// ```
    /// use std::time::Duration;
    ///
    /// use sluicegate::sim::Simulation;
    /// use sluicegate::tls::Certificate;
    /// use sluicegate::{Context, Event, EventFlags, Handler, ListenOptions, TlsConfig, TlsOptions};
    ///
    /// /// Leaves what comes in its input.
    /// struct Keep;
    /// impl Handler for Keep {}
    ///
    /// /// Says hello once the client is sure whom it talks to.
    /// struct Greet;
    /// impl Handler for Greet {
    ///     fn on_event(&mut self, cx: &mut Context<'_>, event: Event) {
    ///         assert_eq!(event.flags, EventFlags::CONNECTED);
    ///         cx.me().output().add(b"hello");
    ///     }
    /// }
    ///
    /// let certificate = Certificate::self_signed(&["example.com"], 7)?;
    /// let client = TlsConfig::client().roots_pem(certificate.chain_pem()?).build()?;
    /// let server = TlsConfig::server().certificate(certificate).build()?;
    ///
    /// let mut sim = Simulation::new(1);
    /// let listener = sim.core().listen("10.0.0.1:443", ListenOptions::new(), move |conn| {
    ///     conn.tls_accept(&server, TlsOptions::new()).expect("it has just been accepted");
    ///     Greet
    /// })?;
    /// let (to, options) = (listener.local_addr(), TlsOptions::new());
    /// let id = sim.core().tls_connect(to, "example.com", &client, options, Keep)?;
    /// let came = sim.run_until(Duration::from_secs(1), |sim| {
    ///     sim.core().get(id).is_some_and(|mut bev| bev.input().first() == b"hello")
    /// });
    /// assert!(came);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn tls_connect(
        &mut self,
        to: SocketAddr,
        host: &str,
        config: &TlsConfig,
        options: TlsOptions,
        handler: impl Handler,
    ) -> Result<BevId> {
        let ssl = config.connect(self.index(), self.now, host)?;
        let bottom = self.connect(to, handler)?;
        self.secure(bottom, ssl, TlsState::Connecting, options)
    }

    /// As [`tls_connect`](Self::tls_connect), to an address of `host` that is looked up.
    ///
    /// # Errors
    /// As for it, and for [`connect_host`](Self::connect_host).
    pub fn tls_connect_host(
        &mut self,
        host: &str,
        port: u16,
        config: &TlsConfig,
        options: TlsOptions,
        handler: impl Handler,
    ) -> Result<BevId> {
        let ssl = config.connect(self.index(), self.now, host)?;
        let bottom = self.connect_host(host, port, handler)?;
        self.secure(bottom, ssl, TlsState::Connecting, options)
    }

    /// Takes over a stream whose handshake was made elsewhere, with the bytes inside it.
    ///
    /// No CONNECTED comes. The socket is made non-blocking.
    ///
    /// # Errors
    /// The handshake is not over, the socket is not connected, or no descriptor is left for the
    /// moment in which it is named twice; the stream is dropped.
    ///
    /// # Examples
    /// A server whose handshakes are made by threads that may wait:
    /// ```
    /// use std::io::{Read, Write};
    /// use std::net::{TcpListener, TcpStream};
    /// use std::thread;
    ///
    /// use sluicegate::openssl::ssl::SslStream;
    /// use sluicegate::tls::Certificate;
    /// use sluicegate::{Context, Handler, Runtime, Shutdown, Time, TlsConfig, TlsOptions};
    ///
    /// struct Echo;
    /// impl Handler for Echo {
    ///     fn on_read(&mut self, cx: &mut Context<'_>) {
    ///         let (mut input, mut output) = cx.buffers();
    ///         output.append(&mut input);
    ///     }
    /// }
    ///
    /// let certificate = Certificate::self_signed(&["localhost"], 7)?;
    /// let trusts = TlsConfig::client().roots_pem(certificate.chain_pem()?).build()?;
    /// let shows = TlsConfig::server().certificate(certificate).build()?;
    /// let running = Runtime::builder().cores(1).build()?.start()?;
    ///
    /// let listener = TcpListener::bind("127.0.0.1:0")?;
    /// let peer = TcpStream::connect(listener.local_addr()?)?;
    /// let mut peer = SslStream::new(trusts.connect(0, Time::ZERO, "localhost")?, peer)?;
    /// let peer = thread::spawn(move || peer.connect().map(|()| peer));
    /// let mut stream = SslStream::new(shows.accept(0, Time::ZERO)?, listener.accept()?.0)?;
    /// stream.accept()?;
    /// running.handle().submit_to(0, move |core| {
    ///     core.tls_from_stream(stream, TlsOptions::new(), Echo).expect("it is connected");
    /// })?;
    ///
    /// let (mut peer, mut back) = (peer.join().expect("it does not panic")?, [0; 5]);
    /// peer.write_all(b"hello")?;
    /// peer.read_exact(&mut back)?;
    /// assert_eq!(&back, b"hello");
    /// peer.shutdown()?;
    /// running.handle().shutdown(Shutdown::Drain);
    /// running.join();
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn tls_from_stream(
        &mut self,
        stream: SslStream<TcpStream>,
        options: TlsOptions,
        handler: impl Handler,
    ) -> Result<BevId> {
        let socket = stream.get_ref().try_clone()?;
        let ssl = tls::into_ssl(stream);
        self.tls_socket(Some(socket.into()), ssl, TlsState::Open, options, handler)
    }

    /// Whether what stands over a stream is one session, the topmost, that can begin anew.
    pub(super) fn restarts(&self, key: Key) -> bool {
        let above = self.slots.look(key).and_then(|stream| stream.above);
        let above = above.and_then(|key| self.slots.look(key)).filter(|it| it.above.is_none());
        let session = above.and_then(|stream| stream.transport.session());
        session.is_some_and(|session| session.can_restart())
    }

    /// The session over a stream, if there is one, begins anew: that has lost its connection.
    pub(super) fn restart_session(&mut self, lower: Key) {
        let now = self.now;
        let Some(key) = self.slots.look(lower).and_then(|stream| stream.above) else { return };
        let Some((upper, under)) = self.slots.two_streams(key, lower) else { return };
        let Some(session) = upper.transport.session_mut() else { return };
        if session.restart(now) {
            upper.bev.restart_stage(now, &mut under.bev);
        } else {
            upper.bev.retry_stage(now);
        }
        self.update(key);
    }

    /// Puts a session over a stream, which is closed if that fails: nothing passes unprotected.
    pub(crate) fn secure(
        &mut self,
        bottom: BevId,
        ssl: Ssl,
        state: TlsState,
        options: TlsOptions,
    ) -> Result<BevId> {
        self.tls_filter(bottom, ssl, state, options).inspect_err(|_| self.cut(bottom))
    }

    /// Closes a bufferevent, if it is open, without a further byte.
    pub(crate) fn cut(&mut self, id: BevId) {
        if let Some(mut bev) = self.get(id) {
            bev.close_now();
        }
    }

    /// Takes the session from over a stream, which its handler gets back.
    pub(crate) fn release_session(&mut self, key: Key) -> Option<(BevId, Ssl)> {
        // What is outside of the object would not go on with it.
        self.slots.look(key)?.transport.session().filter(|it| !it.keeps_plaintext())?;
        let lower = self.release(key)?;
        let Transport::Stage(over) = &mut self.slots.stream(key)?.transport else { return None };
        Some((lower, over.between.take_session()?.into_ssl()))
    }
}

impl Seam<'_> {
    /// Counts how a handshake has ended, if it has.
    #[cold]
    pub(super) fn note_handshake(&mut self, over: &Over) {
        let Some(session) = over.between.session().filter(|it| !it.is_connecting()) else { return };
        if session.has_connected() {
            self.stats.handshakes += 1;
            self.stats.handshakes_resumed += u64::from(session.is_resumed());
        } else {
            self.stats.handshakes_failed += 1;
        }
    }
}
