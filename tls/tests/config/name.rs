//! Which certificate a client gets by the name it asks for.

use sluicegate_tls::{Certificate, TlsConfig};

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
