//! A TLS socket that gets another connection: the session begins anew.

use std::time::Duration;

use sluicegate::openssl::ssl::{Ssl, SslVersion};
use sluicegate::sim::Simulation;
use sluicegate::{TlsOptions, TlsState};

use crate::rig::{Keeper, Notes, context};

#[test]
fn another_connection_begins_with_a_handshake() {
    for version in [SslVersion::TLS1_2, SslVersion::TLS1_3] {
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
            let connected = told.all().iter().filter(|it| it.contains("CONNECTED")).count();
            assert_eq!((connected, told.all().len()), (round, 2 * round), "{:?}", told.all());
        }
    }
}
