//! What both sides agree on: protocols, versions, ciphers, groups, and whether to begin again.

use std::io::Write;

use openssl::ssl::{Ssl, SslContext, SslMethod, SslStream, SslVersion};
use sluicegate_core_buf::{Buffer, Outlook, Stage, Step};
use sluicegate_groups::Time;
use sluicegate_tls::{
    Certificate, ClientChoices, ServerChoices, Session, TlsConfig, TlsConfigBuilder, TlsOptions,
    TlsState, TlsVersion, into_ssl,
};

use crate::authority::{Issued, NOW};
use crate::wire::{End, Pair, connect};

const BOTH: [TlsVersion; 2] = [TlsVersion::Tls12, TlsVersion::Tls13];

/// A server and a client that differ from the default only in what is tried.
fn sides() -> (TlsConfigBuilder<ServerChoices>, TlsConfigBuilder<ClientChoices>) {
    let certificate = Certificate::self_signed(&["a.example"], 1).expect("a certificate");
    let pem = certificate.chain_pem().expect("PEM");
    (TlsConfig::server().certificate(certificate), TlsConfig::client().roots_pem(pem))
}

fn meet(server: TlsConfigBuilder<ServerChoices>, client: TlsConfigBuilder<ClientChoices>) -> Pair {
    connect(&server.build().expect("built"), &client.build().expect("built"), "a.example")
}

#[test]
fn the_server_chooses_the_protocol_and_no_overlap_is_fatal() {
    let none: &[&str] = &[];
    for (speaks, offers, chosen) in [
        (&["h2", "http/1.1"][..], &["http/1.1", "h2"][..], Ok(Some("h2"))),
        (&["h2", "http/1.1"], &["http/1.1"], Ok(Some("http/1.1"))),
        (&["h2"], none, Ok(None)),
        (none, &["h2"], Ok(None)),
        (&["h2"], &["http/1.1"], Err("no application protocol")),
    ] {
        for version in BOTH {
            let (server, client) = sides();
            let pair = meet(server.alpn(speaks), client.alpn(offers).versions(version..=version));
            match chosen {
                Ok(chosen) => {
                    assert_eq!(pair.client.outcome, Ok(()), "{speaks:?} {offers:?}");
                    assert_eq!(pair.client.protocol(), chosen, "{speaks:?} {offers:?}");
                    assert_eq!(pair.server.protocol(), chosen, "{speaks:?} {offers:?}");
                }
                Err(words) => {
                    for side in [pair.client, pair.server] {
                        let error = side.outcome.expect_err(words);
                        assert!(error.contains(words), "{error}");
                    }
                }
            }
        }
    }
}

#[test]
fn the_newest_version_both_speak_is_spoken() {
    use TlsVersion::{Tls12, Tls13};
    for (server_speaks, client_speaks, spoken) in [
        (Tls12..=Tls13, Tls12..=Tls13, Some(SslVersion::TLS1_3)),
        (Tls12..=Tls12, Tls12..=Tls13, Some(SslVersion::TLS1_2)),
        (Tls13..=Tls13, Tls12..=Tls13, Some(SslVersion::TLS1_3)),
        (Tls13..=Tls13, Tls12..=Tls12, None),
        (Tls12..=Tls12, Tls13..=Tls13, None),
    ] {
        let (server, client) = sides();
        let pair = meet(server.versions(server_speaks), client.versions(client_speaks));
        let version = pair.client.outcome.ok().and_then(|()| pair.client.stream.ssl().version2());
        assert_eq!(version, spoken);
    }
}

/// An object of a program that still speaks TLS 1.1, which needs a low security level too.
fn ancient(server: bool) -> Ssl {
    let mut context = SslContext::builder(SslMethod::tls()).expect("a context");
    context.set_security_level(0);
    context.set_min_proto_version(Some(SslVersion::TLS1)).expect("a version");
    context.set_max_proto_version(Some(SslVersion::TLS1_1)).expect("a version");
    context.set_cipher_list("ALL:@SECLEVEL=0").expect("ciphers");
    let issued = Issued::root("root").issue("a.example", NOW);
    context.set_certificate(&issued.certificate).expect("a certificate");
    context.set_private_key(&issued.key).expect("a key");
    let mut ssl = Ssl::new(&context.build()).expect("an object");
    if server {
        ssl.set_accept_state()
    } else {
        ssl.set_connect_state()
    }
    ssl
}

#[test]
fn tls_1_1_is_refused_on_both_sides() {
    let ancients = Pair::shake_hands(ancient(true), ancient(false));
    assert_eq!(ancients.client.outcome, Ok(()), "they understand each other");

    let (server, client) = sides();
    let accepting = server.build().expect("built").accept(0, Time::ZERO).expect("an object");
    let pair = Pair::shake_hands(accepting, ancient(false));
    let error = pair.server.outcome.expect_err("too old");
    assert!(error.contains("unsupported protocol"), "{error}");
    assert!(pair.client.outcome.is_err());

    let client = client.build().expect("built");
    let connecting = client.connect(0, Time::ZERO, "a.example").expect("an object");
    let pair = Pair::shake_hands(ancient(true), connecting);
    assert!(pair.server.outcome.is_err() && pair.client.outcome.is_err());
}

#[test]
fn ciphers_and_groups_are_those_chosen_on_either_side() {
    use TlsVersion::{Tls12, Tls13};
    const CIPHER: &str = "ECDHE-ECDSA-CHACHA20-POLY1305";
    const SUITE: &str = "TLS_CHACHA20_POLY1305_SHA256";
    for (version, cipher) in [(Tls12, CIPHER), (Tls13, SUITE)] {
        let (server, client) = sides();
        let server = server.cipher_list(CIPHER).ciphersuites(SUITE).groups("P-256");
        let by_server = meet(server, client.versions(version..=version));
        let (server, client) = sides();
        let client = client.cipher_list(CIPHER).ciphersuites(SUITE).groups("P-256");
        let by_client = meet(server, client.versions(version..=version));
        for pair in [by_server, by_client] {
            assert_eq!(pair.client.outcome, Ok(()), "{version:?}");
            let used = pair.client.ssl().current_cipher().expect("a cipher").name();
            assert_eq!(used, cipher);
            let group = pair.client.ssl().peer_tmp_key().expect("a key exchange").bits();
            assert_eq!(group, 256, "X25519, the default, has 253");
        }
    }
    let (server, client) = sides();
    let pair = meet(server.groups("P-256"), client.groups("X25519"));
    assert!(pair.server.outcome.is_err(), "no common group");
}

/// Asks for a new handshake on one side; true if both sides then went through one.
fn begins_again(pair: Pair, by_server: bool) -> bool {
    let ask = |stream: SslStream<End>| {
        let session = Session::new(into_ssl(stream), TlsState::Open, &TlsOptions::new());
        let mut session = session.expect("an open session");
        session.renegotiate().expect("it may be asked for");
        // The step puts out what begins it.
        let mut buffers: [Buffer; 4] = Default::default();
        let [lower_input, lower_output, upper_input, upper_output] = &mut buffers;
        session.step(Step {
            now: Time::ZERO,
            lower_input,
            lower_output,
            upper_input,
            upper_output,
            read: None,
            write: None,
            ended: None,
            outlook: Outlook::Open,
            reads_after_output: false,
        });
        (session.into_ssl(), buffers[1].to_vec())
    };
    let proofs = |pair: &Pair| {
        [&pair.server, &pair.client].map(|side| {
            let mut proof = [0; 64];
            side.ssl().finished(&mut proof);
            proof
        })
    };
    let before = proofs(&pair);
    let (server, client) = (pair.server.stream, pair.client.stream);
    let mut pair = if by_server {
        let (server, first) = ask(server);
        let mut pair = Pair::shake_hands(server, into_ssl(client));
        pair.server.stream.get_mut().write_all(&first).expect("there is room");
        pair
    } else {
        let (client, first) = ask(client);
        let mut pair = Pair::shake_hands(into_ssl(server), client);
        pair.client.stream.get_mut().write_all(&first).expect("there is room");
        pair
    };
    for _ in 0..4 {
        // Reading answers a handshake that the other side began. No data comes: it returns errors.
        for side in [&mut pair.server, &mut pair.client] {
            side.stream.ssl_read(&mut [0]).expect_err("nothing was sent");
        }
    }
    let after = proofs(&pair);
    before[0] != after[0] && before[1] != after[1]
}

#[test]
fn a_client_may_ask_for_a_new_handshake_only_if_allowed_and_a_server_always() {
    for (allowed, by_server, outcome) in
        [(false, false, false), (true, false, true), (false, true, true)]
    {
        let (server, client) = sides();
        let server = server.allow_client_renegotiation(allowed);
        let pair = meet(server, client.versions(TlsVersion::Tls12..=TlsVersion::Tls12));
        assert_eq!(pair.client.outcome, Ok(()));
        assert_eq!(begins_again(pair, by_server), outcome, "{allowed} {by_server}");
    }
}
