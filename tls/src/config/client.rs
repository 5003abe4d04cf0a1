//! The client's side: what is chosen for it, and the context a core makes of that.
//!
//! Owns the choices only a client has. Verification is on unless `danger.rs` was asked: the chain
//! must lead to a trusted root and the certificate must be for the host that was meant.
//!
//! Source: `SslConnector` of the `openssl` crate, whose cipher list and host flags these are.
//! Differs: the system's roots are not read where others were given.

use std::sync::{Arc, OnceLock};

use groups::Time;
use openssl::error::ErrorStack;
use openssl::ex_data::Index;
use openssl::ssl::{
    Ssl, SslContext, SslContextBuilder, SslMethod, SslOptions, SslRef, SslSessionCacheMode,
    SslVerifyMode,
};
use openssl::x509::verify::X509CheckFlags;

use super::TlsConfig;
use super::builder::TlsConfigBuilder;
use super::certificate::Certificate;
use super::error::{TlsConfigError, quietly};
use super::host::Host;
use super::material::Material;
use super::policy::Policy;
use super::resume::{Origin, Sessions};
use super::roots::Roots;
use crate::ffi;

/// What is chosen for a client only; see the methods of [`TlsConfigBuilder`].
#[derive(Debug)]
pub struct ClientChoices {
    roots: Roots,
    pub(crate) verify: bool,
    resume: bool,
}

impl Default for ClientChoices {
    fn default() -> Self {
        Self { roots: Roots::system(), verify: true, resume: true }
    }
}

impl TlsConfigBuilder<ClientChoices> {
    /// Trusts these authorities and no others. Default: [`Roots::system`].
    pub fn roots(mut self, roots: Roots) -> Self {
        self.role.roots = roots;
        self
    }

    /// Trusts the certificates in this PEM and no others: [`Roots::from_pem`].
    pub fn roots_pem(self, pem: impl AsRef<[u8]>) -> Self {
        self.attempt(Roots::from_pem(pem), Self::roots)
    }

    /// Resumes earlier sessions with a host. Default: yes.
    ///
    /// Each core keeps at most [`TlsConfig::MAX_SESSIONS`] sessions, 64 of a host, some kilobytes
    /// each.
    pub fn resume(mut self, resume: bool) -> Self {
        self.role.resume = resume;
        self
    }

    /// Checks the choices and makes the configuration.
    ///
    /// Costs one context, made to see that it can be and dropped again.
    ///
    /// # Errors
    /// The first error of any method before, or what is wrong with the choices together.
    pub fn build(mut self) -> Result<TlsConfig, TlsConfigError> {
        quietly(|| {
            self.check()?;
            let material = ClientMaterial {
                policy: self.policy,
                certificate: self.certificate,
                choices: self.role,
            };
            let made = material.context();
            made.map_err(TlsConfigError::openssl("make a client's context"))?;
            Ok(TlsConfig::new(Material::Client(Arc::new(material))))
        })
    }
}

/// All a core needs to make its context; never changes.
#[derive(Debug)]
pub(crate) struct ClientMaterial {
    policy: Policy,
    certificate: Option<Certificate>,
    choices: ClientChoices,
}

impl ClientMaterial {
    fn context(&self) -> Result<SslContext, ErrorStack> {
        let mut context = SslContextBuilder::new(SslMethod::tls_client())?;
        context.set_options(SslOptions::ALL);
        context.set_cipher_list(CIPHER_LIST)?;
        self.policy.load(&mut context)?;
        if self.choices.verify {
            self.choices.roots.load(&mut context)?;
            context.set_verify(SslVerifyMode::PEER);
        } else {
            context.set_verify(SslVerifyMode::NONE);
        }
        if let Some(certificate) = &self.certificate {
            certificate.load(&mut context)?;
        }
        if !self.policy.alpn.is_empty() {
            context.set_alpn_protos(self.policy.alpn.wire())?;
        }
        let mut mode = SslSessionCacheMode::OFF;
        if self.choices.resume {
            mode = SslSessionCacheMode::CLIENT | SslSessionCacheMode::NO_INTERNAL;
            let index = origin_index()?;
            context.set_new_session_callback(move |ssl, session| {
                if let Some(origin) = ssl.ex_data(index) {
                    origin.keep(ssl, session);
                }
            });
        }
        context.set_session_cache_mode(mode);
        Ok(context.build())
    }
}

/// What one core connects with.
#[derive(Debug)]
pub(crate) struct ClientCore {
    context: SslContext,
    sessions: Option<Arc<Sessions>>,
    verify: bool,
}

impl ClientCore {
    /// Decodes the material for one core.
    pub(crate) fn new(material: &ClientMaterial) -> Result<Self, ErrorStack> {
        let sessions = material.choices.resume.then(|| Arc::new(Sessions::default()));
        let context = material.context()?;
        Ok(Self { context, sessions, verify: material.choices.verify })
    }

    /// Makes the object for one connection to `host`.
    pub(crate) fn connect(&self, now: Time, host: &Host) -> Result<Ssl, ErrorStack> {
        let mut ssl = Ssl::new(&self.context)?;
        ssl.set_connect_state();
        if let Host::Dns(name) = host {
            ssl.set_hostname(name)?;
        }
        if self.verify {
            let param = ssl.param_mut();
            param.set_hostflags(X509CheckFlags::NO_PARTIAL_WILDCARDS);
            match host {
                Host::Dns(name) => param.set_host(name)?,
                Host::Ip(address) => param.set_ip(*address)?,
            }
        }
        if let Some(sessions) = &self.sessions {
            let origin = Origin { host: host.key(), sessions: Arc::clone(sessions) };
            origin.offer(now, &ssl)?;
            ssl.set_ex_data(origin_index()?, origin);
        }
        Ok(ssl)
    }
}

/// Keeps the session of a client's finished handshake that OpenSSL does not hand over by itself.
pub(crate) fn keep_session(ssl: &SslRef) {
    if let Some(origin) = origin_index().ok().and_then(|index| ssl.ex_data(index)) {
        origin.keep_renewed(ssl);
    }
}

/// Offers what is kept for the host of a client's object that begins anew, and no session else.
///
/// Nothing changes for an object that no configuration with sessions to resume has made.
pub(crate) fn offer_again(now: Time, ssl: &SslRef) {
    if let Some(origin) = origin_index().ok().and_then(|index| ssl.ex_data(index)) {
        ffi::offer_none(ssl);
        // Without it the handshake is a full one.
        let _refused = quietly(|| origin.offer(now, ssl));
    }
}

/// Where a connection keeps its origin.
fn origin_index() -> Result<Index<Ssl, Origin>, ErrorStack> {
    static INDEX: OnceLock<Index<Ssl, Origin>> = OnceLock::new();
    match INDEX.get() {
        Some(index) => Ok(*index),
        // Two threads that come here at once waste an index, once.
        None => Ssl::new_ex_index().map(|index| *INDEX.get_or_init(|| index)),
    }
}

/// What a client offers under TLS 1.2.
const CIPHER_LIST: &str = "DEFAULT:!aNULL:!eNULL:!MD5:!3DES:!DES:!RC4:!IDEA:!SEED:!aDSS:!SRP:!PSK";
