//! What the tests of TLS share: contexts, a handler that notes what it is told, two ends.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use sluicegate::openssl::asn1::Asn1Time;
use sluicegate::openssl::bn::BigNum;
use sluicegate::openssl::ec::{EcGroup, EcKey};
use sluicegate::openssl::hash::MessageDigest;
use sluicegate::openssl::nid::Nid;
use sluicegate::openssl::pkey::PKey;
use sluicegate::openssl::ssl::{Ssl, SslContext, SslContextBuilder, SslMethod, SslVersion};
use sluicegate::openssl::x509::{X509Builder, X509NameBuilder};
use sluicegate::sim::Simulation;
use sluicegate::{BevId, Context, Event, EventFlags, Handler, TlsOptions, TlsState};

/// A context of both ends: with a certificate, verifying nothing.
pub(crate) fn context(version: SslVersion) -> SslContext {
    context_with(version, |_| {})
}

/// As [`context`], with other settings.
pub(crate) fn context_with(
    version: SslVersion,
    set: impl FnOnce(&mut SslContextBuilder),
) -> SslContext {
    let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1).expect("P-256 is there");
    let key = PKey::from_ec_key(EcKey::generate(&group).expect("a key")).expect("a key");
    let mut name = X509NameBuilder::new().expect("a name");
    name.append_entry_by_text("CN", "test").expect("a name");
    let name = name.build();
    let mut cert = X509Builder::new().expect("a certificate");
    cert.set_version(2).expect("X.509 v3");
    let serial = BigNum::from_u32(1).and_then(|n| n.to_asn1_integer()).expect("a number");
    cert.set_serial_number(&serial).expect("a number");
    cert.set_subject_name(&name).expect("a name");
    cert.set_issuer_name(&name).expect("a name");
    cert.set_pubkey(&key).expect("a key");
    cert.set_not_before(&Asn1Time::days_from_now(0).expect("a date")).expect("a date");
    cert.set_not_after(&Asn1Time::days_from_now(1).expect("a date")).expect("a date");
    cert.sign(&key, MessageDigest::sha256()).expect("a signature");
    let mut builder = SslContext::builder(SslMethod::tls()).expect("a context");
    builder.set_certificate(&cert.build()).expect("a certificate");
    builder.set_private_key(&key).expect("its key");
    builder.set_min_proto_version(Some(version)).expect("a version");
    builder.set_max_proto_version(Some(version)).expect("a version");
    set(&mut builder);
    builder.build()
}

/// What a handler was told, in order.
#[derive(Clone, Default)]
pub(crate) struct Notes(pub(crate) Rc<RefCell<Vec<String>>>);

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
    let mut sim = Simulation::new(1);
    let told = [Notes::default(), Notes::default()];
    let keeper = |i: usize| Keeper { notes: told[i].clone(), echoes: i == 1 };
    let (a, b) = sim.core().pair(sluicegate::PairOptions::new(), keeper(0), keeper(1));
    let client = sim.core().tls_filter(a, ssl(), TlsState::Connecting, options).expect("client");
    let server = sim.core().tls_filter(b, ssl(), TlsState::Accepting, options).expect("server");
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
