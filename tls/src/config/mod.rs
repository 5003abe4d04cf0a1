//! [`TlsConfig`]: everything that makes an `Ssl` ready for a connection, for every core.
//!
//! Owns the handle, and for each core a place for the context that it makes when it first asks.
//! Cores share no `SSL_CTX`, certificate or key object: each decodes its own from the material,
//! because OpenSSL counts references to them for every connection. Does no handshake.
//!
//! Invariants: a core reads the material under the lock of its own place, and a reload puts new
//! material in force before it visits the places; so a connection begun after `reload` returned
//! never sees old material. OpenSSL's error queue is empty after every call.

mod alpn;
mod builder;
mod certificate;
mod client;
mod danger;
mod error;
mod host;
mod material;
mod policy;
mod resume;
mod role;
mod roots;
mod secret;
mod self_signed;
mod server;
mod sni;

use std::fmt;
use std::mem;
use std::sync::{Arc, OnceLock};

use groups::Time;
use openssl::error::ErrorStack;
use openssl::ssl::{Ssl, SslRef};
use parking_lot::Mutex;

pub use self::builder::TlsConfigBuilder;
pub use self::certificate::Certificate;
pub use self::client::ClientChoices;
pub use self::error::TlsConfigError;
pub use self::policy::TlsVersion;
pub use self::role::TlsRole;
pub use self::roots::{ClientCertificates, Roots};
pub use self::server::ServerChoices;

use self::error::quietly;
use self::host::Host;
use self::material::{Core, Material};
use crate::ticket::TicketKeys;

/// How TLS connections are made: certificates, trust, versions, tickets; for all cores at once.
///
/// # Shape
/// A handle: cloning counts a reference, and all clones are one configuration. `Send` and `Sync`.
/// Each core uses a number of its own, from 0; then no call waits for another core. Two threads
/// that use one number wait for each other.
///
/// # Examples
/// ```
/// use sluicegate_groups::Time;
/// use sluicegate_tls::{Certificate, TlsConfig};
///
/// let certificate = Certificate::self_signed(&["localhost"], 7)?;
/// let client = TlsConfig::client().roots_pem(certificate.chain_pem()?).build()?;
/// let server = TlsConfig::server().certificate(certificate).alpn(["h2"]).build()?;
///
/// let (core, now) = (0, Time::ZERO);
/// let accepting = server.accept(core, now)?;
/// let connecting = client.connect(core, now, "localhost")?;
/// assert!(accepting.is_server() && !connecting.is_server());
///
/// let renewed = Certificate::self_signed(&["localhost"], 7)?;
/// server.reload(&TlsConfig::server().certificate(renewed).build()?)?;
/// # Ok::<(), sluicegate_tls::TlsConfigError>(())
/// ```
#[derive(Clone)]
pub struct TlsConfig {
    shared: Arc<Shared>,
}

struct Shared {
    role: TlsRole,
    material: Mutex<Material>,
    reloading: Mutex<()>,
    ticket_keys: Arc<TicketKeys>,
    /// One allocation a core, so that no two cores write to one cache line.
    cores: Box<[OnceLock<Box<Slot>>]>,
}

/// Where a core keeps its context; empty before the first use.
type Slot = Mutex<Option<Core>>;

impl TlsConfig {
    /// Begins a configuration for accepting connections. It needs a certificate.
    pub fn server() -> TlsConfigBuilder<ServerChoices> {
        TlsConfigBuilder::default()
    }

    /// Begins a configuration for making connections. It trusts the system's roots.
    pub fn client() -> TlsConfigBuilder<ClientChoices> {
        TlsConfigBuilder::default()
    }

    pub(crate) fn new(material: Material) -> Self {
        Self {
            shared: Arc::new(Shared {
                role: material.role(),
                material: Mutex::new(material),
                reloading: Mutex::default(),
                ticket_keys: Arc::default(),
                cores: (0..Self::MAX_CORES).map(|_| OnceLock::new()).collect(),
            }),
        }
    }

    /// Makes the object for one connection that a client opened.
    ///
    /// The first call of a core makes its context, about two milliseconds unless
    /// [`prepare`](Self::prepare) did; later ones take some microseconds. `now` drives the
    /// rotation of ticket keys.
    ///
    /// # Errors
    /// [`TlsConfigError::WrongRole`], [`TlsConfigError::NoSuchCore`], [`TlsConfigError::OpenSsl`].
    pub fn accept(&self, core: usize, now: Time) -> Result<Ssl, TlsConfigError> {
        self.with_core(core, |core| match core {
            Core::Server(server) => server.accept(now).map_err(TlsConfigError::openssl("accept")),
            Core::Client(_) => Err(self.wrong_role(TlsRole::Server)),
        })
    }

    /// Makes the object for one connection to `host`, a DNS name or an IP address without a port.
    ///
    /// The peer's certificate must be for `host`. If this core kept a session with it, that is
    /// offered for resumption. The first call of a core makes its context and reads the roots: with
    /// [`Roots::system`] some 60 ms, so [`prepare`](Self::prepare) before the core has other work.
    ///
    /// # Errors
    /// As [`accept`](Self::accept), and [`TlsConfigError::BadHostName`].
    pub fn connect(&self, core: usize, now: Time, host: &str) -> Result<Ssl, TlsConfigError> {
        let host = Host::parse(host)?;
        self.with_core(core, |core| match core {
            Core::Client(client) => {
                client.connect(now, &host).map_err(TlsConfigError::openssl("connect"))
            }
            Core::Server(_) => Err(self.wrong_role(TlsRole::Client)),
        })
    }

    /// Makes a core's context now, so that its first connection does not wait for it.
    ///
    /// Any thread may: a program does it for all its cores before it starts them. The contexts of
    /// names given to `certificate_for` come later, each in the first handshake that asks for it.
    ///
    /// # Errors
    /// [`TlsConfigError::NoSuchCore`], [`TlsConfigError::OpenSsl`].
    pub fn prepare(&self, core: usize) -> Result<(), TlsConfigError> {
        self.with_core(core, |_| Ok(()))
    }

    /// Puts what `other` was built from in force, for connections made from now on, on all cores.
    ///
    /// Connections made before keep what they began with. Ticket keys stay, so clients resume
    /// across a reload unless it changes whom the server trusts to vouch for them; sessions a
    /// client kept are forgotten. The contexts in use are made anew here, on the calling thread,
    /// while the cores go on with the old ones; a core waits only where it makes its first.
    ///
    /// # Errors
    /// [`TlsConfigError::WrongRole`], [`TlsConfigError::OpenSsl`]; then nothing has changed.
    pub fn reload(&self, other: &Self) -> Result<(), TlsConfigError> {
        let material = other.shared.material.lock().clone();
        if material.role() != self.shared.role {
            return Err(self.wrong_role(material.role()));
        }
        // One at a time: what an earlier one made must not replace what a later one put in force.
        let _turn = self.shared.reloading.lock();
        let made = quietly(|| self.remake(&material))
            .map_err(TlsConfigError::openssl("make a core's context"))?;
        *self.shared.material.lock() = material;
        for (slot, new) in self.shared.cores.iter().zip(made) {
            // A core that made its first context since `remake` looked may have used the old
            // material: there is no new one for it, and it makes its own again.
            let old = slot.get().map(|slot| mem::replace(&mut *slot.lock(), new));
            drop(old);
        }
        Ok(())
    }

    /// Keeps the session of a handshake that is over, for the next connection to the same host.
    ///
    /// Does nothing but for a client's TLS 1.2 connection that was resumed and got a new ticket,
    /// which OpenSSL tells nobody of; all other sessions are kept as they come. A
    /// [`Session`](crate::Session) calls this; who drives an `Ssl` otherwise should too.
    pub fn keep_session(ssl: &SslRef) {
        client::keep_session(ssl);
    }

    /// Offers a session on a client's object that begins anew, as [`connect`](Self::connect) does.
    pub(crate) fn offer_again(now: Time, ssl: &SslRef) {
        client::offer_again(now, ssl);
    }

    /// Returns which side this is for.
    #[must_use]
    pub fn role(&self) -> TlsRole {
        self.shared.role
    }

    /// The most cores one configuration serves.
    pub const MAX_CORES: usize = 1_024;

    /// The most names a server has certificates for.
    pub const MAX_NAMES: usize = 1_024;

    /// The most sessions a core of a client keeps for resumption.
    pub const MAX_SESSIONS: usize = resume::MAX_SESSIONS;

    fn with_core<T>(
        &self,
        core: usize,
        call: impl FnOnce(&Core) -> Result<T, TlsConfigError>,
    ) -> Result<T, TlsConfigError> {
        let no_such = TlsConfigError::NoSuchCore { core, most: Self::MAX_CORES };
        let slot = self.shared.cores.get(core).ok_or(no_such)?;
        let mut slot = slot.get_or_init(Box::default).lock();
        quietly(|| {
            if let Some(core) = &*slot {
                return call(core);
            }
            let material = self.shared.material.lock().clone();
            let made = material.core(&self.shared.ticket_keys);
            call(slot.insert(made.map_err(TlsConfigError::openssl("make a core's context"))?))
        })
    }

    /// Makes the contexts in use anew, in the order of the cores.
    fn remake(&self, material: &Material) -> Result<Vec<Option<Core>>, ErrorStack> {
        let remake = |slot: &OnceLock<Box<Slot>>| {
            let used = slot.get().is_some_and(|slot| slot.lock().is_some());
            used.then(|| material.core(&self.shared.ticket_keys)).transpose()
        };
        self.shared.cores.iter().map(remake).collect()
    }

    fn wrong_role(&self, used_as: TlsRole) -> TlsConfigError {
        TlsConfigError::WrongRole { is: self.shared.role, used_as }
    }
}

impl fmt::Debug for TlsConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cores = self.shared.cores.iter().filter(|slot| slot.get().is_some()).count();
        let mut out = f.debug_struct("TlsConfig");
        out.field("role", &self.shared.role).field("cores", &cores).finish_non_exhaustive()
    }
}
