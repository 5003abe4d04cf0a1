//! A TLS socket that gets another connection: the session begins anew, and may resume.

use std::time::Duration;

use sluicegate::openssl::ssl::{Ssl, SslRef, SslVersion};
use sluicegate::sim::Simulation;
use sluicegate::tls::{Certificate, TlsVersion};
use sluicegate::{Context, Event, Handler, TlsConfig, TlsOptions, TlsState};

use crate::rig::{Keeper, Notes, VERSIONS, context, count};

#[test]
fn another_connection_begins_with_a_handshake() {
    for version in VERSIONS {
        let context = context(version);
        let ssl = |_| Ssl::new(&context).expect("an object");
        let mut sim = Simulation::new(1);
        let told = Notes::default();
        let server = context.clone();
        let listener = sim.core().listen("10.0.0.9:443", Default::default(), move |conn| {
            let ssl = Ssl::new(&server).expect("an object");
            conn.tls(ssl, TlsState::Accepting, TlsOptions::new()).expect("it is new");
            Keeper { notes: Notes::default(), echoes: true }
        });
        let addr = listener.expect("it is free").local_addr();
        let keeper = Keeper { notes: told.clone(), echoes: false };
        let options = TlsOptions::new();
        let client = sim
            .core()
            .tls_socket(None, ssl(()), TlsState::Connecting, options, keeper)
            .expect("a session");
        for round in 1..=3 {
            let mut bev = sim.core().get(client).expect("it is open");
            bev.connect(addr).expect("it can be tried");
            bev.output().add(b"hello");
            drop(bev);
            sim.run_for(Duration::from_millis(50));
            assert_eq!(sim.core().get(client).expect("it is open").input().len(), 5 * round);
            let connected = count(&told.all(), "CONNECTED");
            assert_eq!((connected, told.all().len()), (round, 2 * round), "{:?}", told.all());
        }
    }
}

/// Leaves its end open whatever the client does.
pub(crate) struct Stays;
impl Handler for Stays {
    fn on_event(&mut self, _cx: &mut Context<'_>, _event: Event) {}
}

/// Notes what it is told, and never closes.
pub(crate) struct Noter(pub(crate) Notes);
impl Handler for Noter {
    fn on_event(&mut self, _cx: &mut Context<'_>, event: Event) {
        let error = event.error.map(|error| error.to_string()).unwrap_or_default();
        self.0.add(format!("{:?} {error}", event.flags));
    }
}

#[test]
fn an_object_that_cannot_begin_anew_is_an_error_and_no_silence() {
    let context = context(SslVersion::TLS1_2);
    let mut sim = Simulation::new(1);
    let server = context.clone();
    let listener = sim.core().listen("10.0.0.9:443", Default::default(), move |conn| {
        let ssl = Ssl::new(&server).expect("an object");
        conn.tls(ssl, TlsState::Accepting, TlsOptions::new()).expect("it is new");
        Stays
    });
    let addr = listener.expect("it is free").local_addr();
    let (told, ssl) = (Notes::default(), Ssl::new(&context).expect("an object"));
    let noter = Noter(told.clone());
    let client = sim.core().tls_socket(None, ssl, TlsState::Connecting, TlsOptions::new(), noter);
    let client = client.expect("a session");
    for round in 0..2 {
        let mut bev = sim.core().get(client).expect("it is open");
        bev.connect(addr).expect("it can be tried");
        drop(bev);
        sim.run_for(Duration::from_millis(50));
        if round == 0 {
            // Which the server refuses: the connection is lost while it is under way.
            let mut bev = sim.core().get(client).expect("it is open");
            bev.renegotiate().expect("it may ask");
            drop(bev);
            sim.run_for(Duration::from_millis(50));
        }
    }
    let told = told.all();
    assert!(told[1].contains("no renegotiation"), "{told:?}");
    assert!(told.len() == 3 && told[2].contains("cannot begin anew"), "{told:?}");
    let stats = sim.core().stats();
    assert_eq!((stats.handshakes, stats.handshakes_failed), (2, 1));
}

/// What an object offers to resume.
fn offered(ssl: &SslRef) -> Option<Vec<u8>> {
    ssl.session().map(|session| session.id().to_vec())
}

#[test]
fn what_is_resumed_is_what_the_configuration_keeps_and_a_ticket_is_offered_once() {
    use TlsVersion::{Tls12, Tls13};
    const NAME: &str = "example.com";
    // A connection that ended without a goodbye bars its session: under TLS 1.3 the last ticket of
    // it, of which there are two after a full handshake and one after a resumed one.
    for (version, goodbye, expected) in [
        (Tls12, true, [true, true, true]),
        (Tls12, false, [false, false, false]),
        (Tls13, true, [true, true, true]),
        (Tls13, false, [true, false, true]),
    ] {
        let certificate = Certificate::self_signed(&[NAME], 1).expect("a certificate");
        let roots = certificate.chain_pem().expect("it can be written");
        let client = TlsConfig::client().roots_pem(roots).versions(version..=version);
        let client = client.build().expect("a client");
        let server = TlsConfig::server().certificate(certificate).build().expect("a server");
        let mut sim = Simulation::new(1);
        let listener = sim.core().listen("10.0.0.9:443", Default::default(), move |conn| {
            conn.tls_accept(&server, TlsOptions::new()).expect("it is new");
            Stays
        });
        let addr = listener.expect("it is free").local_addr();
        let options = TlsOptions::new();
        let id = sim.core().tls_connect(addr, NAME, &client, options, Stays).expect("it can try");
        sim.run_for(Duration::from_millis(50));
        for (round, resumed) in expected.into_iter().enumerate() {
            let case = format!("{version:?}, goodbye {goodbye}, round {round}");
            if goodbye {
                sim.core().get(id).expect("it is open").shutdown_write();
                sim.run_for(Duration::from_millis(50));
            }
            let now = sim.now();
            let mut bev = sim.core().get(id).expect("it is open");
            bev.connect(addr).expect("it can be tried");
            let ours = offered(bev.ssl().expect("it has a session"));
            drop(bev);
            let another = client.connect(0, now, NAME).expect("an object");
            assert_eq!(ours.is_some(), resumed, "{case}");
            if version == Tls13 && resumed {
                assert_ne!(ours, offered(&another), "{case}: a ticket was given out twice");
            }
            sim.run_for(Duration::from_millis(50));
            let bev = sim.core().get(id).expect("it is open");
            let ssl = bev.ssl().expect("it has a session");
            assert!(ssl.is_init_finished(), "{case}");
            assert_eq!(ssl.session_reused(), resumed, "{case}");
            drop(bev);
        }
    }
}

#[test]
fn a_connection_that_is_not_made_is_one_error_and_keeps_the_output_for_another() {
    for version in VERSIONS {
        let context = context(version);
        let mut sim = Simulation::new(1);
        let (told, addr) = (Notes::default(), "10.0.0.9:443".parse().expect("an address"));
        let ssl = Ssl::new(&context).expect("an object");
        let (noter, options) = (Noter(told.clone()), TlsOptions::new());
        let client = sim.core().tls_socket(None, ssl, TlsState::Connecting, options, noter);
        let client = client.expect("a session");
        let refused = "EventFlags(ERROR) connection refused";
        for round in 1..=2 {
            let mut bev = sim.core().get(client).expect("it is open");
            bev.connect(addr).expect("it can be tried");
            bev.output().add(b"early");
            drop(bev);
            // As long as a handshake may take, and longer.
            sim.run_for(Duration::from_secs(30));
            assert_eq!(told.all(), vec![refused; round], "{version:?}");
        }
        assert_eq!(sim.core().stats().handshakes_failed, 0, "{version:?}: none was begun");
        let listener = sim.core().listen(addr, Default::default(), move |conn| {
            let ssl = Ssl::new(&context).expect("an object");
            conn.tls(ssl, TlsState::Accepting, TlsOptions::new()).expect("it is new");
            Keeper { notes: Notes::default(), echoes: true }
        });
        listener.expect("it is free");
        sim.core().get(client).expect("it is open").connect(addr).expect("it can be tried");
        sim.run_for(Duration::from_secs(1));
        let mut bev = sim.core().get(client).expect("it is open");
        assert_eq!(bev.input().pull_up(10), Some(&b"earlyearly"[..]), "{version:?}");
    }
}
