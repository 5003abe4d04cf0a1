//! Our server, on two cores that take turns, with OpenSSL's `s_client`.

use sluicegate::tls::{ClientCertificates, TlsError};
use sluicegate::{AcceptMode, Dispatch, ListenOptions, TlsConfig, TlsOptions};

use crate::ears::{Ears, Talk};
use crate::material::{CLIENT, Material, NAME, VERSIONS};
use crate::program::{Program, is_there};
use crate::rig::Server;

/// A server that sends back what it gets.
fn serve(config: TlsConfig) -> (Server, Ears) {
    let (talk, ears) = Talk::new(true);
    let turns = AcceptMode::Single { acceptor: 0, by: Dispatch::RoundRobin };
    let server = Server::start_with(2, ListenOptions::new().accept(turns), move |conn| {
        conn.tls_accept(&config, TlsOptions::new()).expect("it has just been accepted");
        talk.another()
    });
    (server, ears)
}

fn s_client(material: &Material, server: &Server, arguments: &[&str]) -> Program {
    let (to, root) = (server.addr.to_string(), material.path("server.pem"));
    let fixed = ["s_client", "-connect", &to, "-CAfile", &root, "-verify_return_error"];
    let names = ["-servername", NAME, "-verify_hostname", NAME];
    Program::start("openssl", &[&fixed[..], &names, arguments].concat())
}

/// Both sides get what the other says.
fn talk(program: &mut Program, ears: &Ears, text: &str) {
    program.say(&format!("{text}\n"));
    ears.reads(&format!("{text}\n"));
    program.wait_for(text);
}

/// The program takes its leave, both sides say that it was a good one; what it has said.
fn quit(mut program: Program, ears: &Ears) -> String {
    program.say("Q\n");
    ears.ends_well();
    program.assert_success()
}

#[test]
fn every_version_talks_and_ends_well_from_either_side() {
    if !is_there("openssl") {
        return;
    }
    let material = Material::new();
    let (server, ears) = serve(material.accepting().build().expect("a server"));
    for (flag, version) in VERSIONS {
        for we_end in [false, true] {
            let mut program = s_client(&material, &server, &[flag]);
            let facts = ears.connected();
            assert_eq!((facts.version, facts.resumed, &facts.peer), (version, false, &None));
            talk(&mut program, &ears, "hello");
            if we_end {
                facts.on(&server, |bev| bev.close());
            } else {
                program.say("Q\n");
                ears.ends_well();
            }
            let said = program.assert_success();
            assert!(said.contains("Verify return code: 0 (ok)"), "{said}");
            assert!(said.contains(&format!("{version}, Cipher is ")), "{said}");
            assert!(!said.contains("unexpected eof") && !said.contains("error:"), "{said}");
            server.wait_until_empty();
        }
    }
    assert_eq!(server.sum(|core| core.handshakes), 4);
    assert_eq!(server.sum(|core| core.handshakes_failed), 0);
}

#[test]
fn clients_show_their_certificate_or_are_refused() {
    if !is_there("openssl") {
        return;
    }
    let material = Material::new();
    let clients = ClientCertificates::Required(Material::roots(&material.client));
    let config = material.accepting().client_certificates(clients).build().expect("a server");
    let (server, ears) = serve(config);
    let (certificate, key) = (material.path("client.pem"), material.path("client.key"));
    let (stranger, its_key) = (material.path("server.pem"), material.path("server.key"));
    for (flag, _) in VERSIONS {
        let mut program =
            s_client(&material, &server, &[flag, "-cert", &certificate, "-key", &key]);
        assert_eq!(ears.connected().peer.as_deref(), Some(CLIENT));
        talk(&mut program, &ears, "hello");
        quit(program, &ears);

        for shown in [&[flag][..], &[flag, "-cert", &stranger, "-key", &its_key]] {
            let program = s_client(&material, &server, shown);
            let error = ears.fails_by_tls(false);
            assert!(matches!(error, TlsError::Certificate { .. }), "{error:?}");
            let (status, said) = program.wait();
            assert!(!status.success() && said.contains("alert"), "{status}: {said}");
        }
    }
    server.wait_until_empty();
    assert_eq!(server.sum(|core| core.handshakes_failed), 4);
}

#[test]
fn a_protocol_is_agreed_on_or_the_connection_refused() {
    if !is_there("openssl") {
        return;
    }
    let material = Material::new();
    let config = material.accepting().alpn(["h2", "http/1.1"]).build().expect("a server");
    let (server, ears) = serve(config);
    for (flag, _) in VERSIONS {
        for (offered, agreed) in [("http/1.1,h2", Some("h2")), ("spdy,http/1.1", Some("http/1.1"))]
        {
            let program = s_client(&material, &server, &[flag, "-alpn", offered]);
            assert_eq!(ears.connected().alpn.as_deref(), agreed);
            let said = quit(program, &ears);
            assert!(said.contains(&format!("ALPN protocol: {}\n", agreed.expect("one"))), "{said}");
        }
        let program = s_client(&material, &server, &[flag, "-alpn", "spdy"]);
        let error = ears.fails_by_tls(false);
        assert!(matches!(error, TlsError::Peer { .. }), "{error:?}");
        let (status, said) = program.wait();
        assert!(!status.success() && said.contains("no application protocol"), "{said}");
    }
}

#[test]
fn a_session_is_resumed_on_the_other_core() {
    if !is_there("openssl") {
        return;
    }
    let material = Material::new();
    let (server, ears) = serve(material.accepting().build().expect("a server"));
    for (flag, version) in VERSIONS {
        let session = material.path(version);
        let mut cores = Vec::new();
        for (file, resumed) in [("-sess_out", false), ("-sess_in", true)] {
            let mut program = s_client(&material, &server, &[flag, file, &session]);
            let facts = ears.connected();
            assert_eq!((facts.version, facts.resumed), (version, resumed));
            cores.push(facts.id.core());
            // A ticket of TLS 1.3 comes before what is sent back.
            talk(&mut program, &ears, "hello");
            let said = quit(program, &ears);
            assert_eq!(said.contains(&format!("Reused, {version}")), resumed, "{said}");
        }
        assert_ne!(cores[0], cores[1], "they take turns");
    }
    assert_eq!(server.sum(|core| core.handshakes_resumed), 2);
}

#[test]
fn version_1_2_renegotiates_where_that_is_allowed() {
    if !is_there("openssl") {
        return;
    }
    let material = Material::new();
    for allowed in [true, false] {
        let config = material.accepting().allow_client_renegotiation(allowed);
        let (server, ears) = serve(config.build().expect("a server"));
        let mut program = s_client(&material, &server, &["-tls1_2"]);
        let facts = ears.connected();
        // A server may ask in any case.
        facts.on(&server, |bev| bev.renegotiate()).expect("the handshake is over");
        assert_eq!(ears.connected().id, facts.id);
        talk(&mut program, &ears, "before");
        program.say("R\n");
        program.wait_for("RENEGOTIATING");
        if allowed {
            talk(&mut program, &ears, "behind");
            quit(program, &ears);
        } else {
            let (status, said) = program.wait();
            assert!(!status.success() && said.contains("no renegotiation"), "{said}");
            let _how = ears.rest();
            server.wait_until_empty();
        }
    }
}

#[test]
fn version_1_3_updates_its_keys_from_either_side() {
    if !is_there("openssl") {
        return;
    }
    let material = Material::new();
    let (server, ears) = serve(material.accepting().build().expect("a server"));
    let mut program = s_client(&material, &server, &["-tls1_3"]);
    let facts = ears.connected();
    for (command, text) in [("K\n", "1st line"), ("k\n", "2nd line"), ("K\n", "3rd line")] {
        program.say(command);
        program.wait_for("KEYUPDATE");
        talk(&mut program, &ears, text);
        facts.on(&server, |bev| bev.renegotiate()).expect("the handshake is over");
        assert_eq!(ears.connected().id, facts.id);
        talk(&mut program, &ears, &format!("behind {text}"));
    }
    quit(program, &ears);
}

#[test]
fn a_client_that_is_killed_has_not_ended_well() {
    if !is_there("openssl") {
        return;
    }
    let material = Material::new();
    let (server, ears) = serve(material.accepting().build().expect("a server"));
    for (flag, _) in VERSIONS {
        let mut program = s_client(&material, &server, &[flag]);
        let _facts = ears.connected();
        talk(&mut program, &ears, "hello");
        program.kill();
        let error = ears.fails();
        assert!(error.to_string().contains("without close_notify"), "{error}");
        server.wait_until_empty();
    }
}
