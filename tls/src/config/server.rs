//! The server's side: what is chosen for it, and the context a core makes of that.
//!
//! Owns the choices only a server has. A core decodes the material for itself: nothing in one
//! core's context is counted or locked by another, except the ticket keys, which they share so
//! that a client resumes on any of them.
//!
//! Invariant: sessions are resumed from tickets alone; the server keeps none.

use std::collections::HashMap;
use std::sync::Arc;

use groups::Time;
use openssl::error::ErrorStack;
use openssl::sha::Sha256;
use openssl::ssl::{Ssl, SslAcceptor, SslContext, SslMethod, SslOptions, SslSessionCacheMode};

use super::TlsConfig;
use super::builder::TlsConfigBuilder;
use super::certificate::Certificate;
use super::error::{TlsConfigError, quietly};
use super::host::Host;
use super::material::Material;
use super::policy::Policy;
use super::roots::ClientCertificates;
use super::sni::Chooser;
use crate::ffi;
use crate::ticket::{CoreKeys, TicketKeys, Tickets};

/// What is chosen for a server only; see the methods of [`TlsConfigBuilder`].
#[derive(Debug, Default)]
pub struct ServerChoices {
    by_name: HashMap<String, Certificate>,
    clients: ClientCertificates,
    tickets: Tickets,
    client_renegotiation: bool,
}

impl TlsConfigBuilder<ServerChoices> {
    /// Presents this certificate to clients that ask for `name`.
    ///
    /// `name` is a DNS name or `*.` and one, which stands for every name with one label more. An
    /// exact name goes before a wildcard; case does not matter. At most
    /// [`TlsConfig::MAX_NAMES`] names. Each costs a core a context, which takes some two
    /// milliseconds of the first handshake there that asks for it, also after a reload.
    pub fn certificate_for(self, name: &str, certificate: Certificate) -> Self {
        let name = match Host::parse_pattern(name) {
            Ok(Host::Dns(name)) => Ok(name),
            Ok(Host::Ip(_)) => Err(TlsConfigError::BadHostName {
                name: name.to_owned(),
                reason: "clients ask for no addresses, only for DNS names",
            }),
            Err(error) => Err(error),
        };
        self.attempt(name, |mut builder, name| {
            builder.role.by_name.insert(name, certificate);
            builder
        })
    }

    /// Asks clients for certificates. Default: [`ClientCertificates::None`].
    pub fn client_certificates(mut self, clients: ClientCertificates) -> Self {
        self.role.clients = clients;
        self
    }

    /// Sets how clients resume sessions. Default: tickets for two hours.
    pub fn tickets(mut self, tickets: Tickets) -> Self {
        self.role.tickets = tickets;
        self
    }

    /// Lets clients ask for a new handshake within a TLS 1.2 connection. Default: no, since each
    /// costs the server much more than the client. A server may ask for one either way.
    ///
    /// A core makes few steps of first handshakes in a turn; these do not count among them, as what
    /// asks for one arrives as data does. What bounds them is that a client has to wait for answers
    /// and its socket is read once a turn: `n` clients that ask without end cost at most `n` steps
    /// of handshakes a turn.
    pub fn allow_client_renegotiation(mut self, allow: bool) -> Self {
        self.role.client_renegotiation = allow;
        self
    }

    /// Checks the choices and makes the configuration.
    ///
    /// Costs one context per certificate, made to see that it can be and dropped again.
    ///
    /// # Errors
    /// The first error of any method before, or what is wrong with the choices together.
    pub fn build(mut self) -> Result<TlsConfig, TlsConfigError> {
        quietly(|| {
            self.check()?;
            let certificate = self.certificate.ok_or(TlsConfigError::NoServerCertificate)?;
            self.role.tickets.check()?;
            let count = self.role.by_name.len();
            if count > TlsConfig::MAX_NAMES {
                return Err(TlsConfigError::TooManyCertificates {
                    count,
                    most: TlsConfig::MAX_NAMES,
                });
            }
            let material = ServerMaterial { policy: self.policy, certificate, choices: self.role };
            for certificate in material.by_name().values().chain([&material.certificate]) {
                let made = material.context(certificate, None, None);
                made.map_err(TlsConfigError::openssl("make a server's context"))?;
            }
            Ok(TlsConfig::new(Material::Server(Arc::new(material))))
        })
    }
}

/// All a core needs to make its context; never changes.
#[derive(Debug)]
pub(crate) struct ServerMaterial {
    policy: Policy,
    certificate: Certificate,
    choices: ServerChoices,
}

impl ServerMaterial {
    /// The certificate for each name asked for.
    pub(crate) fn by_name(&self) -> &HashMap<String, Certificate> {
        &self.choices.by_name
    }

    /// Makes a context that presents `certificate`, and lets `chooser` present another.
    ///
    /// Contexts for other names have no chooser. They repeat all else: OpenSSL takes part of what
    /// it needs from the context chosen and part from the one the connection began with.
    pub(crate) fn context(
        &self,
        certificate: &Certificate,
        keys: Option<&Arc<CoreKeys>>,
        chooser: Option<Chooser>,
    ) -> Result<SslContext, ErrorStack> {
        let mut context = SslAcceptor::mozilla_intermediate_v5(SslMethod::tls_server())?;
        self.policy.load(&mut context)?;
        certificate.load(&mut context)?;
        self.choices.clients.load(&mut context)?;
        context.set_session_id_context(&self.session_id_context())?;
        context.set_session_cache_mode(SslSessionCacheMode::OFF);
        match (self.choices.tickets.lifetime(), keys) {
            (Some(lifetime), Some(keys)) => ffi::use_ticket_keys(&mut context, lifetime, keys)?,
            (Some(_), None) => {}
            (None, _) => {
                // The option alone would make TLS 1.3 send tickets that name a cached session.
                context.set_options(SslOptions::NO_TICKET);
                context.set_num_tickets(0)?;
            }
        }
        if self.choices.client_renegotiation {
            context.set_options(ALLOW_CLIENT_RENEGOTIATION);
        }
        if !self.policy.alpn.is_empty() {
            let alpn = self.policy.alpn.clone();
            context.set_alpn_select_callback(move |_, offered| alpn.choose(offered));
        }
        if let Some(chooser) = chooser {
            context.set_servername_callback(move |ssl, _| chooser.choose(ssl));
        }
        Ok(context.build().into_context())
    }

    /// What a session to be resumed must have been made under: the same demand on clients.
    ///
    /// A resumed session skips the check of the client's certificate. When a reload changes whom
    /// the server trusts, sessions from before must not come in by their tickets.
    fn session_id_context(&self) -> [u8; 32] {
        let mut hash = Sha256::new();
        for part in self.choices.clients.identity() {
            hash.update(&(part.len() as u64).to_be_bytes());
            hash.update(part);
        }
        hash.finish()
    }
}

/// What one core accepts with.
#[derive(Debug)]
pub(crate) struct ServerCore {
    context: SslContext,
    keys: Option<Arc<CoreKeys>>,
}

impl ServerCore {
    /// Decodes the material for one core.
    pub(crate) fn new(
        material: &Arc<ServerMaterial>,
        keys: &Arc<TicketKeys>,
    ) -> Result<Self, ErrorStack> {
        let keys = match material.choices.tickets.lifetime() {
            Some(lifetime) => Some(Arc::new(CoreKeys::new(Arc::clone(keys), lifetime)?)),
            None => None,
        };
        let chooser = (!material.by_name().is_empty())
            .then(|| Chooser::new(Arc::clone(material), keys.clone()));
        let context = material.context(&material.certificate, keys.as_ref(), chooser)?;
        Ok(Self { context, keys })
    }

    /// Makes the object for one connection.
    pub(crate) fn accept(&self, now: Time) -> Result<Ssl, ErrorStack> {
        if let Some(keys) = &self.keys {
            keys.advance(now)?;
        }
        let mut ssl = Ssl::new(&self.context)?;
        ssl.set_accept_state();
        Ok(ssl)
    }
}

/// `SSL_OP_ALLOW_CLIENT_RENEGOTIATION` of OpenSSL 3.0, which the `openssl` crate does not name.
const ALLOW_CLIENT_RENEGOTIATION: SslOptions = SslOptions::from_bits_retain(1 << 8);
