//! New certificates for new connections, without a connection dropped.

use std::sync::Barrier;
use std::thread;

use sluicegate_groups::Time;
use sluicegate_tls::{Certificate, TlsConfig, TlsConfigError, TlsRole};

use crate::wire::{Pair, connect_at};

fn server(name: &str) -> TlsConfig {
    let certificate = Certificate::self_signed(&[name], 1).expect("a certificate");
    TlsConfig::server().certificate(certificate).build().expect("built")
}

/// It does not resume: that would show the certificate of an earlier connection.
fn client() -> TlsConfig {
    let client = TlsConfig::client().danger_accept_any_certificate().resume(false);
    client.build().expect("built")
}

fn meet(server: &TlsConfig, core: usize) -> Pair {
    connect_at(Time::ZERO, (server, core), (&client(), 0), "a.example")
}

#[test]
fn all_cores_show_the_new_certificate_and_old_connections_go_on() {
    let config = server("old");
    let handle = config.clone();
    let mut old: Vec<Pair> = (0..3).map(|core| meet(&config, core)).collect();
    let begun = config.accept(0, Time::ZERO).expect("an object");

    handle.reload(&server("new")).expect("a server's");
    for core in 0..4 {
        assert_eq!(meet(&config, core).client.peer(), "new", "core {core}");
    }
    for pair in &mut old {
        assert_eq!(pair.client.peer(), "old");
        assert_eq!(pair.talk(), Ok(()));
    }
    let connecting = client().connect(0, Time::ZERO, "a.example").expect("an object");
    let pair = Pair::shake_hands(begun, connecting);
    assert_eq!(pair.client.peer(), "old", "what was begun goes on as it began");
}

#[test]
fn the_last_of_several_reloads_counts_on_every_core() {
    let config = server("first");
    // Cores 0 and 1 have a context when it comes, the others make theirs later.
    for core in [0, 1] {
        config.prepare(core).expect("a context");
    }
    for name in ["second", "third"] {
        config.reload(&server(name)).expect("a server's");
        for core in 0..4 {
            assert_eq!(meet(&config, core).client.peer(), name, "core {core}");
        }
    }
}

#[test]
fn a_failed_reload_changes_nothing() {
    let config = server("old");
    assert_eq!(meet(&config, 0).client.peer(), "old");
    let error = config.reload(&client()).expect_err("a client's");
    let wrong = matches!(
        error,
        TlsConfigError::WrongRole { is: TlsRole::Server, used_as: TlsRole::Client }
    );
    assert!(wrong, "{error}");
    for core in [0, 1] {
        assert_eq!(meet(&config, core).client.peer(), "old");
    }
}

#[test]
fn a_client_reloads_whom_it_trusts() {
    let root = Certificate::self_signed(&["a.example"], 1).expect("a certificate");
    let trusts = |root: &Certificate| {
        TlsConfig::client().roots_pem(root.chain_pem().expect("PEM")).build().expect("built")
    };
    let server = TlsConfig::server().certificate(root.clone()).build().expect("built");
    let other = Certificate::self_signed(&["a.example"], 1).expect("a certificate");
    let client = trusts(&root);
    let meet = || connect_at(Time::ZERO, (&server, 0), (&client, 0), "a.example");
    let mut pair = meet();
    assert_eq!(pair.talk(), Ok(()));
    pair.close();
    client.reload(&trusts(&other)).expect("a client's");
    assert!(meet().client.outcome.is_err(), "and no session of before is offered");
}

/// A core that made its context from old material while a reload ran would keep it for ever.
#[test]
#[expect(clippy::disallowed_methods, reason = "a race needs threads")]
fn cores_that_accept_during_a_reload_end_with_the_new_certificate() {
    const CORES: usize = 4;
    const ROUNDS: usize = 20;
    for _ in 0..ROUNDS {
        let (config, client, new) = (server("old"), client(), server("new"));
        let meet =
            |core| connect_at(Time::ZERO, (&config, core), (&client, core), "a.example").client;
        let start = Barrier::new(CORES + 1);
        thread::scope(|scope| {
            for core in 0..CORES {
                let (start, meet) = (&start, &meet);
                scope.spawn(move || {
                    start.wait();
                    assert_eq!(meet(core).outcome, Ok(()));
                });
            }
            start.wait();
            config.reload(&new).expect("a server's");
        });
        for core in 0..CORES {
            assert_eq!(meet(core).peer(), "new", "core {core}");
        }
    }
}
