//! What the tests of TLS share: contexts, a handler that notes what it is told, two ends.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use sluicegate::openssl::ssl::{
    Ssl, SslContext, SslContextBuilder, SslMethod, SslOptions, SslVersion,
};
use sluicegate::sim::Simulation;
use sluicegate::{BevId, Context, Event, EventFlags, Handler, TlsOptions, TlsState};

#[path = "authority.rs"]
pub(crate) mod authority;

use self::authority::Issued;

/// Every version that is spoken here, as OpenSSL names them.
pub(crate) const VERSIONS: [SslVersion; 2] = [SslVersion::TLS1_2, SslVersion::TLS1_3];

/// A context of both ends: with a certificate, verifying nothing.
pub(crate) fn context(version: SslVersion) -> SslContext {
    context_with(version, |_| {})
}

/// As [`context`], with other settings.
pub(crate) fn context_with(
    version: SslVersion,
    set: impl FnOnce(&mut SslContextBuilder),
) -> SslContext {
    let issued = Issued::by_itself("test");
    let mut builder = SslContext::builder(SslMethod::tls()).expect("a context");
    builder.set_certificate(&issued.certificate).expect("a certificate");
    builder.set_private_key(&issued.key).expect("its key");
    builder.set_min_proto_version(Some(version)).expect("a version");
    builder.set_max_proto_version(Some(version)).expect("a version");
    set(&mut builder);
    builder.build()
}

/// Has a server make new keys at the wish of a client: SSL_OP_ALLOW_CLIENT_RENEGOTIATION.
pub(crate) fn allow_new_keys(builder: &mut SslContextBuilder) {
    builder.set_options(SslOptions::from_bits_retain(1 << 8));
}

/// How often it was told of something.
pub(crate) fn count(told: &[String], what: &str) -> usize {
    told.iter().filter(|note| note.contains(what)).count()
}

/// What a handler was told, in order.
#[derive(Clone, Default)]
pub(crate) struct Notes(Rc<RefCell<Vec<String>>>);

impl Notes {
    pub(crate) fn add(&self, note: impl Into<String>) {
        self.0.borrow_mut().push(note.into());
    }

    pub(crate) fn all(&self) -> Vec<String> {
        self.0.borrow().clone()
    }
}

/// Notes what it is told and keeps what comes; closes at the end of the stream.
pub(crate) struct Keeper {
    pub(crate) notes: Notes,
    pub(crate) echoes: bool,
}

impl Handler for Keeper {
    fn on_read(&mut self, cx: &mut Context<'_>) {
        let (mut input, mut output) = cx.buffers();
        self.notes.add(format!("read {}", input.len()));
        if self.echoes {
            output.append(&mut input);
        }
    }

    fn on_event(&mut self, cx: &mut Context<'_>, event: Event) {
        let error = event.error.map(|error| format!(": {error}")).unwrap_or_default();
        self.notes.add(format!("{:?}{error}", event.flags));
        if event.flags.intersects(EventFlags::EOF | EventFlags::ERROR | EventFlags::TIMEOUT) {
            cx.me().close();
        }
    }
}

/// Two ends of TLS over a pair: client and server.
pub(crate) struct Ends {
    pub(crate) sim: Simulation,
    pub(crate) client: BevId,
    pub(crate) server: BevId,
    pub(crate) told: [Notes; 2],
}

pub(crate) fn over_pair(version: SslVersion, options: TlsOptions) -> Ends {
    let context = context(version);
    let ssl = || Ssl::new(&context).expect("an object");
    over_pair_by(ssl(), ssl(), options)
}

/// As [`over_pair`], of a client's object and a server's.
pub(crate) fn over_pair_by(connecting: Ssl, accepting: Ssl, options: TlsOptions) -> Ends {
    let mut sim = Simulation::new(1);
    let told = [Notes::default(), Notes::default()];
    let keeper = |i: usize| Keeper { notes: told[i].clone(), echoes: i == 1 };
    let (a, b) = sim.core().pair(sluicegate::PairOptions::new(), keeper(0), keeper(1));
    let client = sim.core().tls_filter(a, connecting, TlsState::Connecting, options);
    let server = sim.core().tls_filter(b, accepting, TlsState::Accepting, options);
    let (client, server) = (client.expect("a session"), server.expect("a session"));
    Ends { sim, client, server, told }
}

impl Ends {
    pub(crate) fn run(&mut self) {
        self.sim.run_for(Duration::from_millis(20));
    }

    pub(crate) fn add(&mut self, id: BevId, bytes: &[u8]) {
        self.sim.core().get(id).expect("it is open").output().add(bytes);
    }
}
