//! Certificates that are not good, a client's or a server's: what each side is told of them.

use sluicegate::tls::{Certificate, ClientCertificates, TlsVersion};
use sluicegate::{Time, TlsConfig, TlsOptions};

use crate::rig::authority::{FUTURE, Issued, NOW, PAST};
use crate::rig::over_pair_by;

const NAME: &str = "example.com";

/// How what a side is told begins.
const REFUSED: &str = "EventFlags(ERROR): certificate: the peer refuses the one it got";
const BY_ALERT: &str = "EventFlags(ERROR): the peer finds nothing to agree on";
const GAVE_NONE: &str = "EventFlags(ERROR): certificate: the peer gave none";
const NOT_GOOD: &str = "EventFlags(ERROR): certificate: the peer's is refused";

#[test]
fn a_client_without_a_good_certificate_is_refused_and_both_are_told_why() {
    use TlsVersion::{Tls12, Tls13};
    let (root, stranger) = (Issued::by_itself("root"), Issued::by_itself("stranger"));
    let itself = Issued::by_itself("client");
    let [good, late] = [NOW, PAST].map(|valid| root.issue("client", valid));
    let other = stranger.issue("client", NOW);
    let shown = Certificate::self_signed(&[NAME], 1).expect("a certificate");
    let server = TlsConfig::server().certificate(shown.clone());
    let server = server.client_certificates(ClientCertificates::Required(root.as_root()));
    let server = server.build().expect("a server");
    for (version, given, [to_client, alert], [to_server, why]) in [
        // The alert of its own for this is of TLS 1.3.
        (Tls12, None, [BY_ALERT, "handshake failure"], [GAVE_NONE, "did not return"]),
        (Tls13, None, [REFUSED, "certificate required"], [GAVE_NONE, "did not return"]),
        (Tls12, Some(&itself), [REFUSED, "unknown ca"], [NOT_GOOD, "self-signed"]),
        (Tls13, Some(&itself), [REFUSED, "unknown ca"], [NOT_GOOD, "self-signed"]),
        (Tls12, Some(&late), [REFUSED, "certificate expired"], [NOT_GOOD, "has expired"]),
        (Tls13, Some(&late), [REFUSED, "certificate expired"], [NOT_GOOD, "has expired"]),
        (Tls12, Some(&other), [REFUSED, "unknown ca"], [NOT_GOOD, "local issuer"]),
        (Tls13, Some(&other), [REFUSED, "unknown ca"], [NOT_GOOD, "local issuer"]),
        (Tls12, Some(&good), ["read 5", ""], ["read 5", ""]),
        (Tls13, Some(&good), ["read 5", ""], ["read 5", ""]),
    ] {
        let mut client = TlsConfig::client().versions(version..=version).resume(false);
        client = client.roots_pem(shown.chain_pem().expect("it can be written"));
        if let Some(given) = given {
            client = client.certificate(given.to_present());
        }
        let client = client.build().expect("a client");
        let connecting = client.connect(0, Time::ZERO, NAME).expect("an object");
        let accepting = server.accept(0, Time::ZERO).expect("an object");
        let mut ends = over_pair_by(connecting, accepting, TlsOptions::new());
        ends.add(ends.client, b"hello");
        ends.run();
        let told = ends.told.each_ref().map(|notes| notes.all());
        let case = format!("{version:?}: {told:?}");
        // A client of TLS 1.3 is done with its handshake before it can be told.
        let connected = [version == Tls13 || to_client == "read 5", to_server == "read 5"];
        for (told, connected) in told.iter().zip(connected) {
            assert_eq!(told.len(), 1 + usize::from(connected), "{case}");
            assert_eq!(told[0] == "EventFlags(CONNECTED)", connected, "{case}");
        }
        for (told, (begins, says)) in told.iter().zip([(to_client, alert), (to_server, why)]) {
            let last = told.last().expect("something was told");
            assert!(last.starts_with(begins) && last.contains(says), "{case}");
        }
    }
}

#[test]
fn a_server_whose_certificate_is_out_of_its_time_is_refused_and_both_are_told_why() {
    let root = Issued::by_itself("root");
    for (version, (valid, why, alert)) in
        [TlsVersion::Tls12, TlsVersion::Tls13].into_iter().flat_map(|version| {
            [
                (PAST, Some("has expired"), "certificate expired"),
                (FUTURE, Some("not yet valid"), "bad certificate"),
                (NOW, None, ""),
            ]
            .map(|it| (version, it))
        })
    {
        let server = TlsConfig::server().certificate(root.issue(NAME, valid).to_present());
        let client = TlsConfig::client().roots(root.as_root()).versions(version..=version);
        let client = client.build().expect("a client").connect(0, Time::ZERO, NAME);
        let server = server.build().expect("a server").accept(0, Time::ZERO);
        let (client, server) = (client.expect("an object"), server.expect("an object"));
        let mut ends = over_pair_by(client, server, TlsOptions::new());
        ends.run();
        let told = ends.told.each_ref().map(|notes| notes.all());
        let case = format!("{version:?}: {told:?}");
        let Some(why) = why else {
            assert_eq!(told, [["EventFlags(CONNECTED)"]; 2], "{case}");
            continue;
        };
        let [[to_client], [to_server]] = [&told[0][..], &told[1][..]] else { panic!("{case}") };
        assert!(to_client.starts_with(NOT_GOOD) && to_client.contains(why), "{case}");
        assert!(to_server.starts_with(REFUSED) && to_server.contains(alert), "{case}");
    }
}
