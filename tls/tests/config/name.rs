//! Which certificate a client gets by the name it asks for.

use openssl::ec::{EcGroup, EcKey};
use openssl::nid::Nid;
use openssl::pkey::PKey;
use openssl::rsa::Rsa;
use sluicegate_tls::{Certificate, TlsConfig, TlsVersion};

use crate::authority::{Issued, NOW};
use crate::wire::connect;

#[test]
fn a_client_gets_the_certificate_for_the_name_it_asks_for() {
    let issued = ["default", "a.example", "*.example"].map(|name| {
        let root = Issued::root("root");
        root.issue(name, NOW).to_present()
    });
    let [default, exact, wildcard] = issued;
    let server = TlsConfig::server()
        .certificate_for("A.example", exact)
        .certificate_for("*.EXAMPLE", wildcard)
        .certificate(default)
        .build()
        .expect("built");
    let client = TlsConfig::client().danger_accept_any_certificate().build().expect("built");
    for _ in 0..2 {
        for (host, shown) in [
            ("a.example", "a.example"),
            ("b.example", "*.example"),
            ("c.b.example", "default"),
            ("unknown", "default"),
            ("127.0.0.1", "default"),
        ] {
            let pair = connect(&server, &client, host);
            assert_eq!(pair.client.outcome, Ok(()), "{host}");
            assert_eq!(pair.client.peer(), shown, "{host}");
        }
    }
}

#[test]
fn whatever_certificate_is_chosen_all_else_stays() {
    let certificate = || Certificate::self_signed(&["a.example"], 1).expect("a certificate");
    let server = TlsConfig::server()
        .certificate(certificate())
        .certificate_for("a.example", certificate())
        .alpn(["h2"])
        .build()
        .expect("built");
    let client =
        TlsConfig::client().danger_accept_any_certificate().alpn(["h2"]).build().expect("built");
    for (host, server_name) in
        [("a.example", Some("a.example")), ("b.example", Some("b.example")), ("::1", None)]
    {
        let mut pair = connect(&server, &client, host);
        assert_eq!(pair.talk(), Ok(()), "{host}");
        assert_eq!(pair.client.protocol(), Some("h2"), "{host}");
        let asked = pair.server.ssl().servername(openssl::ssl::NameType::HOST_NAME);
        assert_eq!(asked, server_name);
        pair.close();
        assert!(connect(&server, &client, host).client.resumed(), "{host}");
    }
}

/// The context for a name is made within the first handshake that asks for it, and what decoding
/// leaves in OpenSSL's queue would be taken for errors of that.
#[test]
fn keys_of_any_kind_are_decoded_within_a_handshake() {
    let rsa = Rsa::generate(2_048).and_then(PKey::from_rsa).expect("a key");
    let group = EcGroup::from_curve_name(Nid::SECP384R1).expect("P-384");
    let curve = EcKey::generate(&group).and_then(PKey::from_ec_key).expect("a key");
    let of_key = |key| Issued::root_of("a.example", key).to_present();
    let certificates = [("RSA", of_key(rsa)), ("P-384", of_key(curve))];
    for version in [TlsVersion::Tls12, TlsVersion::Tls13] {
        for (kind, certificate) in &certificates {
            let server = TlsConfig::server()
                .certificate(Certificate::self_signed(&["default"], 1).expect("a certificate"))
                .certificate_for("a.example", certificate.clone())
                .build()
                .expect("built");
            let client = TlsConfig::client().danger_accept_any_certificate();
            let client = client.versions(version..=version).build().expect("built");
            let pair = connect(&server, &client, "a.example");
            assert_eq!(pair.server.outcome, Ok(()), "{kind} {version:?}");
            assert_eq!(pair.client.peer(), "a.example", "{kind} {version:?}");
        }
    }
}
