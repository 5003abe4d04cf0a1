//! What is refused before any connection, with an error that says what to do.

use std::fs;
use std::path::Path;
use std::time::Duration;

use openssl::nid::Nid;
use openssl::symm::Cipher;
use openssl::x509::X509;
use sluicegate_groups::Time;
use sluicegate_tls::{
    Certificate, ClientCertificates, Roots, Tickets, TlsConfig, TlsConfigError, TlsVersion,
};

use crate::authority::{Issued, NOW};
use crate::wire::assert_no_errors;

/// A folder that goes with this value, and the files in it.
struct Folder(std::path::PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        fs::create_dir_all(&path).expect("a folder for the test");
        Self(path)
    }

    fn file(&self, name: &str, bytes: &[u8]) -> std::path::PathBuf {
        let path = self.0.join(name);
        fs::write(&path, bytes).expect("a file for the test");
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn expect_words<T>(outcome: Result<T, TlsConfigError>, words: &[&str]) {
    let Err(error) = outcome else { panic!("{words:?} was accepted") };
    let text = error.to_string();
    for word in words {
        assert!(text.contains(word), "{text:?} does not say {word:?}");
    }
    assert_no_errors();
}

#[test]
fn pem_that_cannot_be_used_is_refused_by_its_fault() {
    let root = Issued::root("root");
    let (one, two) = (root.issue("one", NOW), root.issue("two", NOW));
    let (chain, key) = (one.chain_pem(), one.key_pem());
    let cipher = Cipher::aes_256_cbc();
    let locked = one.key.private_key_to_pem_pkcs8_passphrase(cipher, b"secret").expect("PEM");
    let cut = &chain[..chain.len() / 2];
    let damaged = String::from_utf8(chain.clone()).expect("text").replace("\nM", "\n!");
    let cases: [(&[u8], &[u8], &[&str]); 9] = [
        (b"", &key, &["holds no certificate", "BEGIN CERTIFICATE"]),
        (b"text", &key, &["holds no certificate"]),
        (&key, &key, &["holds no certificate"]),
        (cut, &key, &["cannot be decoded"]),
        (damaged.as_bytes(), &key, &["cannot be decoded"]),
        (&chain, b"", &["no usable private key"]),
        (&chain, &chain, &["no usable private key"]),
        (&chain, &two.key_pem(), &["does not belong", "CN=one"]),
        (&chain, &locked, &["encrypted", "from_pem_encrypted"]),
    ];
    for (chain, key, words) in cases {
        expect_words(Certificate::from_pem(chain, key), words);
        expect_words(TlsConfig::server().certificate_pem(chain, key).build(), words);
    }
    assert!(Certificate::from_pem_encrypted(&chain, &locked, "secret").is_ok());
    assert_no_errors();
    let wrong = Certificate::from_pem_encrypted(&chain, &locked, "wrong");
    expect_words(wrong, &["no usable private key"]);
    let long = Certificate::from_pem_encrypted(&chain, &locked, "x".repeat(10_000));
    expect_words(long, &["no usable private key"]);
    expect_words(Roots::from_pem("text"), &["holds no certificate"]);
}

#[test]
fn files_are_read_and_named_when_they_cannot_be() {
    let folder = Folder::new("files_are_read");
    let issued = Issued::root("root").issue("a.example", NOW);
    let chain = folder.file("chain.pem", &issued.chain_pem());
    let key = folder.file("key.pem", &issued.key_pem());
    let both = folder.file("both.pem", &[issued.chain_pem(), issued.key_pem()].concat());
    let none = folder.0.join("none.pem");
    let build =
        |chain: &Path, key: &Path| TlsConfig::server().certificate_files(chain, key).build();
    assert!(build(&chain, &key).is_ok());
    assert!(build(&both, &both).is_ok());
    assert!(Roots::from_file(&chain).is_ok());
    expect_words(build(&none, &key), &["none.pem", "No such file"]);
    expect_words(build(&chain, &none), &["none.pem", "No such file"]);
    expect_words(build(&key, &key), &["key.pem", "holds no certificate"]);
    expect_words(build(&chain, &chain), &["chain.pem", "no usable private key"]);
    expect_words(Roots::from_file(&none), &["none.pem"]);
    expect_words(Roots::from_file(&key), &["key.pem", "holds no certificate"]);
}

#[test]
fn choices_that_cannot_be_kept_are_refused() {
    let certificate = Certificate::self_signed(&["a.example"], 1).expect("a certificate");
    let server = || TlsConfig::server().certificate(certificate.clone());
    let seconds = Duration::from_secs;
    let week = 7 * 24 * 3_600;
    expect_words(TlsConfig::server().build(), &["needs a certificate"]);
    expect_words(server().cipher_list("HIGH:NO-SUCH").build(), &["cipher_list", "NO-SUCH"]);
    expect_words(server().ciphersuites("NO-SUCH").build(), &["ciphersuites", "NO-SUCH"]);
    expect_words(TlsConfig::client().groups("NO-SUCH").build(), &["groups", "NO-SUCH"]);
    expect_words(server().alpn(["h2", ""]).build(), &["\"\"", "1 to 255"]);
    expect_words(server().alpn(["x".repeat(256)]).build(), &["1 to 255"]);
    let backwards = std::ops::RangeInclusive::new(TlsVersion::Tls13, TlsVersion::Tls12);
    expect_words(server().versions(backwards).build(), &["Tls13..=Tls12"]);
    for lifetime in [0, 59, week + 1] {
        let tickets = Tickets::rotated(seconds(lifetime));
        expect_words(server().tickets(tickets).build(), &["lifetime", "60s"]);
    }
    for lifetime in [60, week] {
        assert!(server().tickets(Tickets::rotated(seconds(lifetime))).build().is_ok());
    }
    for name in ["", "a b", "*", "10.0.0.1", "a:443"] {
        expect_words(server().certificate_for(name, certificate.clone()).build(), &[name]);
        let expected = name == "10.0.0.1";
        assert_eq!(Certificate::self_signed(&["a.example", name], 1).is_ok(), expected, "{name}");
    }
    expect_words(Certificate::self_signed(&[], 1), &["no name"]);
    let first = server().alpn([""]).certificate_pem("text", "text").build();
    expect_words(first, &["ALPN"]);
}

#[test]
fn a_server_has_a_bounded_number_of_names() {
    let certificate = Certificate::self_signed(&["a.example"], 1).expect("a certificate");
    let mut server = TlsConfig::server().certificate(certificate.clone());
    for index in 0..=TlsConfig::MAX_NAMES {
        server = server.certificate_for(&format!("h{index}.example"), certificate.clone());
    }
    expect_words(server.build(), &["1025", "1024"]);
}

#[test]
fn a_configuration_is_used_on_its_side_and_within_its_cores() {
    let certificate = Certificate::self_signed(&["a.example"], 1).expect("a certificate");
    let server = TlsConfig::server()
        .certificate(certificate)
        .client_certificates(ClientCertificates::Optional(Roots::system()))
        .build()
        .expect("built");
    let client = TlsConfig::client().build().expect("built");
    let now = Time::ZERO;
    expect_words(client.accept(0, now), &["of a client", "TlsConfig::server()"]);
    expect_words(server.connect(0, now, "a.example"), &["of a server", "TlsConfig::client()"]);
    expect_words(client.connect(0, now, "a.example:443"), &["a.example:443", "without a port"]);
    assert!(server.accept(TlsConfig::MAX_CORES - 1, now).is_ok());
    expect_words(server.accept(TlsConfig::MAX_CORES, now), &["1024", "0 to 1023"]);
    expect_words(server.prepare(TlsConfig::MAX_CORES), &["0 to 1023"]);
    expect_words(client.connect(usize::MAX, now, "a.example"), &["0 to 1023"]);
}

#[test]
fn a_throw_away_certificate_is_of_the_curve_that_costs_least() {
    let certificate = Certificate::self_signed(&["localhost"], 1).expect("a certificate");
    let pem = certificate.chain_pem().expect("it can be written");
    let key = X509::from_pem(&pem).and_then(|it| it.public_key()).expect("a certificate");
    let curve = key.ec_key().expect("a key on a curve").group().curve_name();
    assert_eq!(curve, Some(Nid::X9_62_PRIME256V1));
    let signed = X509::from_pem(&pem).expect("a certificate");
    assert_eq!(signed.signature_algorithm().object().nid(), Nid::ECDSA_WITH_SHA256);
}

#[test]
fn no_secret_is_printed() {
    let certificate = Certificate::self_signed(&["a.example"], 1).expect("a certificate");
    let text = format!("{certificate:?}");
    assert_eq!(text, r#"Certificate { subject: "CN=a.example", chain: 1, .. }"#);
}

/// A leftover of the program's, or of an OpenSSL that leaves some after success.
#[test]
fn every_call_leaves_the_error_queue_empty() {
    let certificate = Certificate::self_signed(&["a.example"], 1).expect("a certificate");
    let chain = certificate.chain_pem().expect("PEM");
    let key = certificate.key_pem().expect("PEM");
    let server = || TlsConfig::server().certificate(certificate.clone()).build();
    let client = || TlsConfig::client().danger_accept_any_certificate().build();
    let (built_server, built_client) = (server().expect("built"), client().expect("built"));
    let stale = X509::from_der(b"none").expect_err("no certificate");
    assert!(!stale.errors().is_empty());
    let calls: [&dyn Fn() -> bool; 11] = [
        &|| Certificate::self_signed(&["a.example"], 1).is_ok(),
        &|| Certificate::from_pem(&chain, &key).is_ok(),
        &|| certificate.chain_pem().is_ok(),
        &|| certificate.key_pem().is_ok(),
        &|| Roots::from_pem(&chain).is_ok(),
        &|| server().is_ok(),
        &|| client().is_ok(),
        &|| built_server.prepare(1).is_ok(),
        &|| built_server.reload(&built_server).is_ok(),
        &|| built_server.accept(0, Time::ZERO).is_ok(),
        &|| built_client.connect(0, Time::ZERO, "a.example").is_ok(),
    ];
    for call in calls {
        stale.put();
        assert!(call());
        assert_no_errors();
    }
}
