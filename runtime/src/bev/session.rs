//! What an application does with the TLS session of one bufferevent.
//!
//! Owns nothing; the session stands between this bufferevent and the one below it, and what is
//! asked of it is done in `tls/src/session/`. Where there is no TLS the answer is `None` or a
//! typed error, never a panic.
//!
//! Source: libevent 2.1.12 `bufferevent_openssl_get_ssl`, `bufferevent_get_openssl_error`,
//! `bufferevent_ssl_renegotiate`. Differs: errors come in order; a session can be taken off again.

use tls::openssl::ssl::{Ssl, SslRef};
use tls::{TlsConfig, TlsError, TlsOptions, TlsState};

use super::BevMut;
use crate::error::Result;
use crate::id::BevId;

/// TLS.
impl BevMut<'_> {
    /// Puts a TLS session over this bufferevent; returns the name of the one that is on top then.
    ///
    /// As [`Core::tls_filter`](crate::Core::tls_filter), where a factory or handler has this
    /// bufferevent in hand.
    ///
    /// # Errors
    /// `state` contradicts `ssl`, or this bufferevent is closing or has a filter over it.
    pub fn tls(&mut self, ssl: Ssl, state: TlsState, options: TlsOptions) -> Result<BevId> {
        let id = self.id();
        self.core.tls_filter(id, ssl, state, options)
    }

    /// Speaks TLS on this connection as the server; returns the name of the one on top then.
    ///
    /// For the factory of a listener, whose handler then reads and writes plaintext. On failure the
    /// connection is closed: a factory that goes on serves nobody in the clear.
    ///
    /// # Errors
    /// `config` is a client's, or OpenSSL has no memory; otherwise as for [`tls`](Self::tls).
    ///
    /// # Examples
    /// ```
    /// use sluicegate::tls::Certificate;
    /// use sluicegate::{Context, Handler, Runtime, TlsConfig, TlsOptions};
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
    /// let config = TlsConfig::server().certificate(certificate).build()?;
    /// let mut runtime = Runtime::builder().cores(1).build()?;
    /// runtime.listen("127.0.0.1:0", move |conn| {
    ///     conn.tls_accept(&config, TlsOptions::new()).expect("it has just been accepted");
    ///     Echo
    /// })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn tls_accept(&mut self, config: &TlsConfig, options: TlsOptions) -> Result<BevId> {
        let (id, core) = (self.id(), &mut *self.core);
        match config.accept(core.index(), core.now()) {
            Ok(ssl) => core.secure(id, ssl, TlsState::Accepting, options),
            Err(error) => {
                core.cut(id);
                Err(error.into())
            }
        }
    }

    /// The SSL object, to look at: version, cipher, certificates, protocol. `None` when not TLS.
    ///
    /// Of the topmost of a stack only: ask the [`underlying`](Self::underlying) where a filter
    /// stands over the session.
    pub fn ssl(&self) -> Option<&SslRef> {
        Some(self.look().transport.session()?.ssl())
    }

    /// Takes the first error of the session that nobody has taken yet, in the order in which they
    /// happened; `None` when there is none, or no TLS.
    ///
    /// Of those that nobody takes the first 16 are kept. An example is at
    /// [`release_tls`](Self::release_tls).
    pub fn take_tls_error(&mut self) -> Option<TlsError> {
        self.stream().transport.session_mut()?.take_error()
    }

    /// Asks for new keys: up to TLS 1.2 by a renegotiation, with 1.3 by an update of both sides'.
    ///
    /// CONNECTED comes once more when they are there, with 1.3 when ours are, unless an end comes
    /// first. Under 1.2 output waits meanwhile, and a server that ends writing before CONNECTED may
    /// lose what its client still sends: wait for it. An example is at
    /// [`release_tls`](Self::release_tls).
    ///
    /// # Errors
    /// [`TlsError::Local`]: there is no session here, the handshake is not over, or may not be made
    /// again.
    pub fn renegotiate(&mut self) -> Result<(), TlsError> {
        let stream = self.stream();
        stream.transport.session_mut().ok_or_else(TlsError::no_session)?.renegotiate()?;
        stream.bev.call_stage();
        Ok(())
    }

    /// Whether the end of the peer's stream without close_notify passes for EOF; `None` when not
    /// TLS.
    pub fn allow_dirty_shutdown(&self) -> Option<bool> {
        Some(self.look().transport.session()?.allows_dirty_shutdown())
    }

    /// Sets whether it does. A reset is an error in any case.
    ///
    /// # Errors
    /// [`TlsError::Local`]: there is no session here.
    pub fn set_allow_dirty_shutdown(&mut self, on: bool) -> Result<(), TlsError> {
        let session = self.stream().transport.session_mut().ok_or_else(TlsError::no_session)?;
        session.set_allow_dirty_shutdown(on);
        Ok(())
    }

    /// Ends the session without a goodbye and gives the bufferevent below back, with the handler of
    /// this one, and the SSL object, which can become a session again ([`TlsState::Open`]).
    ///
    /// `None` when not TLS, where [`release`](Self::release) refuses, or while the session keeps
    /// what a renegotiation had to read over: read on first. What the session has read and not
    /// given is inside the object.
    ///
    /// # Examples
    /// ```
    /// use std::time::Duration;
    ///
    /// use sluicegate::sim::Simulation;
    /// use sluicegate::tls::Certificate;
    /// use sluicegate::{ListenOptions, TlsConfig, TlsOptions};
    ///
    /// let certificate = Certificate::self_signed(&["example.com"], 7)?;
    /// let trusts = TlsConfig::client().roots_pem(certificate.chain_pem()?).build()?;
    /// let shows = TlsConfig::server().certificate(certificate).build()?;
    /// let mut sim = Simulation::new(1);
    /// let listener = sim.core().listen("10.0.0.1:443", ListenOptions::new(), move |conn| {
    ///     conn.tls_accept(&shows, TlsOptions::new()).expect("it has just been accepted");
    /// })?;
    /// let (to, options) = (listener.local_addr(), TlsOptions::new());
    /// let id = sim.core().tls_connect(to, "example.com", &trusts, options, ())?;
    /// let made = sim.run_until(Duration::from_secs(1), |sim| {
    ///     sim.core().get(id).is_some_and(|mut bev| bev.renegotiate().is_ok())
    /// });
    /// assert!(made, "not before the handshake is over");
    /// sim.run_for(Duration::from_secs(1));             // both sides have new keys
    ///
    /// let mut bev = sim.core().get(id).expect("it is open");
    /// assert_eq!(bev.take_tls_error(), None);
    /// let (below, ssl) = bev.release_tls().expect("a session that keeps nothing back");
    /// assert_eq!(ssl.version_str(), "TLSv1.3");
    /// drop(bev);
    /// assert!(sim.core().get(id).is_none() && sim.core().get(below).is_some());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn release_tls(&mut self) -> Option<(BevId, Ssl)> {
        self.core.release_session(self.key)
    }
}
