//! Who is believed: servers by clients, and clients by servers.

use sluicegate_tls::{Certificate, ClientCertificates, Roots, TlsConfig, TlsVersion};

use crate::authority::{Issued, NOW, PAST};
use crate::wire::connect;

/// What the client says to a certificate, and `None` if it is content.
type Verdict = Option<&'static str>;

const UNKNOWN: Verdict = Some("unable to get local issuer certificate");

#[test]
fn a_client_believes_a_chain_to_its_roots_for_the_host_it_meant() {
    let root = Issued::root("root");
    let stranger = Issued::root("stranger");
    let good = root.issue("good.example", NOW);
    let wildcard = root.issue("*.wild.example", NOW);
    let partial = root.issue("w*.wild.example", NOW);
    let cases: [(&Issued, Roots, &str, Verdict); 14] = [
        (&good, root.as_root(), "good.example", None),
        (&good, root.as_root(), "GOOD.example.", None),
        (&good, stranger.as_root().and(root.as_root()), "good.example", None),
        (&good, Roots::system().and(root.as_root()), "good.example", None),
        (&good, root.as_root(), "other.example", Some("ostname mismatch")),
        (&good, root.as_root(), "a.good.example", Some("ostname mismatch")),
        (&good, root.as_root(), "127.0.0.1", Some("IP address mismatch")),
        (&good, stranger.as_root(), "good.example", UNKNOWN),
        (&good, Roots::system(), "good.example", UNKNOWN),
        (&wildcard, root.as_root(), "a.wild.example", None),
        (&wildcard, root.as_root(), "wild.example", Some("ostname mismatch")),
        (&partial, root.as_root(), "www.wild.example", Some("ostname mismatch")),
        (&root.issue("good.example", PAST), root.as_root(), "good.example", Some("has expired")),
        (
            &root.intermediate("between").issue("good.example", NOW),
            root.as_root(),
            "good.example",
            None,
        ),
    ];
    for (place, (shown, roots, host, verdict)) in cases.into_iter().enumerate() {
        let server = TlsConfig::server().certificate(shown.to_present()).build().expect("built");
        let client = TlsConfig::client().roots(roots).build().expect("built");
        let pair = connect(&server, &client, host);
        match verdict {
            None => assert_eq!(pair.client.outcome, Ok(()), "case {place}"),
            Some(words) => {
                let error = pair.client.outcome.expect_err(words);
                assert!(error.contains(words), "case {place}: {error}");
                assert!(pair.server.outcome.is_err(), "case {place}: the server was told");
            }
        }
    }
}

#[test]
fn a_self_signed_certificate_is_believed_only_as_a_root_and_for_its_names() {
    let names = ["localhost", "*.local.example", "127.0.0.1", "::1"];
    let certificate = Certificate::self_signed(&names, 1).expect("a certificate");
    let pem = certificate.chain_pem().expect("PEM");
    let server = TlsConfig::server().certificate(certificate).build().expect("built");
    let stranger = TlsConfig::client().build().expect("built");
    let error = connect(&server, &stranger, "localhost").client.outcome.expect_err("not trusted");
    assert!(error.contains("self-signed certificate"), "{error}");

    let friend = TlsConfig::client().roots_pem(pem).build().expect("built");
    for host in ["localhost", "a.local.example", "127.0.0.1", "::1"] {
        assert_eq!(connect(&server, &friend, host).client.outcome, Ok(()), "{host}");
    }
    for host in ["local.example", "127.0.0.2", "::2"] {
        assert!(connect(&server, &friend, host).client.outcome.is_err(), "{host}");
    }
}

#[test]
fn danger_believes_anybody() {
    let expired = Issued::root("root").issue("good.example", PAST);
    let server = TlsConfig::server().certificate(expired.to_present()).build().expect("built");
    let client = TlsConfig::client().danger_accept_any_certificate().build().expect("built");
    for host in ["good.example", "other.example", "127.0.0.1"] {
        let mut pair = connect(&server, &client, host);
        assert_eq!(pair.client.outcome, Ok(()), "{host}");
        assert_eq!(pair.talk(), Ok(()), "{host}");
    }
}

#[test]
fn a_server_demands_what_it_was_told_to_of_its_clients() {
    let root = Issued::root("root");
    let stranger = Issued::root("stranger");
    let shown = root.issue("good.example", NOW).to_present();
    let known = root.issue("client", NOW);
    let late = root.issue("client", PAST);
    let unknown = stranger.issue("client", NOW);
    let optional = || ClientCertificates::Optional(root.as_root());
    let required = || ClientCertificates::Required(root.as_root());
    let absent = Some("peer did not return a certificate");
    let cases: [(ClientCertificates, Option<&Issued>, Verdict); 10] = [
        (ClientCertificates::None, None, None),
        (ClientCertificates::None, Some(&unknown), None),
        (optional(), None, None),
        (optional(), Some(&known), None),
        (optional(), Some(&unknown), UNKNOWN),
        (required(), None, absent),
        (required(), Some(&known), None),
        (required(), Some(&unknown), UNKNOWN),
        (required(), Some(&late), Some("has expired")),
        (ClientCertificates::Required(stranger.as_root()), Some(&known), UNKNOWN),
    ];
    for version in [TlsVersion::Tls12, TlsVersion::Tls13] {
        for (place, (demand, certificate, verdict)) in cases.iter().enumerate() {
            let server = TlsConfig::server()
                .certificate(shown.clone())
                .client_certificates(demand.clone())
                .build()
                .expect("built");
            let mut client = TlsConfig::client().roots(root.as_root()).versions(version..=version);
            if let Some(certificate) = certificate {
                client = client.certificate(certificate.to_present());
            }
            let mut pair = connect(&server, &client.build().expect("built"), "good.example");
            let context = format!("case {place}, {version:?}");
            let outcome = std::mem::replace(&mut pair.server.outcome, Ok(()));
            match verdict {
                None => {
                    assert_eq!(outcome, Ok(()), "{context}");
                    assert_eq!(pair.talk(), Ok(()), "{context}");
                    let seen = pair.server.ssl().peer_certificate().is_some();
                    let asked = !matches!(demand, ClientCertificates::None);
                    assert_eq!(seen, asked && certificate.is_some(), "{context}");
                }
                Some(words) => {
                    let error = outcome.expect_err(words);
                    assert!(error.contains(words), "{context}: {error}");
                    assert!(pair.talk().is_err(), "{context}: the client was told");
                }
            }
        }
    }
}

#[test]
fn a_server_tells_its_clients_whose_certificates_it_accepts() {
    let root = Issued::root("root of the clients");
    let server = TlsConfig::server()
        .certificate(Issued::root("root").issue("good.example", NOW).to_present())
        .client_certificates(ClientCertificates::Optional(root.as_root()))
        .versions(TlsVersion::Tls12..=TlsVersion::Tls12)
        .build()
        .expect("built");
    let client = TlsConfig::client().danger_accept_any_certificate().build().expect("built");
    let pair = connect(&server, &client, "good.example");
    let name = b"root of the clients";
    let sent = &pair.server.stream.get_ref().sent;
    assert!(sent.windows(name.len()).any(|bytes| bytes == name), "in clear under TLS 1.2");
}

#[test]
fn self_signed_certificates_of_one_subject_are_told_apart() {
    let both = [0, 1].map(|_| Certificate::self_signed(&["a.example"], 1).expect("a certificate"));
    let pems = both.each_ref().map(|it| it.chain_pem().expect("PEM"));
    for roots in [pems.concat(), [&*pems[1], &*pems[0]].concat()] {
        let client = TlsConfig::client().roots_pem(roots).resume(false).build().expect("built");
        for shown in &both {
            let server = TlsConfig::server().certificate(shown.clone()).build().expect("built");
            assert_eq!(connect(&server, &client, "a.example").client.outcome, Ok(()));
        }
    }
}
