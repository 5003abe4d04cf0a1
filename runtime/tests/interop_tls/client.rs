//! Our client with OpenSSL's `s_server`.

use std::net::SocketAddr;

use sluicegate::tls::TlsVersion;
use sluicegate::{EventFlags, TlsConfig, TlsError, TlsOptions};

use crate::ears::{Ears, Facts, Talk};
use crate::material::{Material, NAME, VERSIONS};
use crate::program::{Program, is_there};
use crate::rig::{Server, eventually};

/// A server of OpenSSL's, and a core to connect from.
struct World {
    material: Material,
    program: Program,
    addr: SocketAddr,
    core: Server,
}

impl World {
    fn new(arguments: &[&str]) -> Self {
        Self::with(Material::new(), arguments)
    }

    fn with(material: Material, arguments: &[&str]) -> Self {
        let (chain, key) = (material.path("server.pem"), material.path("server.key"));
        let fixed = ["s_server", "-accept", "127.0.0.1:0", "-cert", &chain, "-key", &key];
        let program = Program::start("openssl", &[&fixed[..], arguments].concat());
        let addr = program.wait_for("ACCEPT ").parse().expect("it says where");
        Self { material, program, addr, core: Server::idle(1) }
    }

    fn connect_to(&self, config: &TlsConfig, host: &'static str) -> Ears {
        let (talk, ears) = Talk::new(false);
        let (addr, config) = (self.addr, config.clone());
        self.core.on_core(0, move |core| {
            let id = core.tls_connect(addr, host, &config, TlsOptions::new(), talk);
            id.expect("it can be tried");
        });
        ears
    }

    fn connect(&self, config: &TlsConfig) -> Ears {
        self.connect_to(config, NAME)
    }

    /// Both sides get what the other says.
    fn talk(&mut self, facts: &Facts, ears: &Ears, text: &str) {
        let line = format!("{text} from the client\n");
        facts.on(&self.core, move |bev| bev.output().add(line.as_bytes()));
        self.program.wait_for(&format!("{text} from the client"));
        let line = format!("{text} from the server\n");
        self.program.say(&line);
        ears.reads(&line);
    }

    fn plain(&self) -> TlsConfig {
        self.material.connecting().build().expect("a client")
    }
}

#[test]
fn every_version_talks_resumes_and_hears_a_cut() {
    if !is_there("openssl") {
        return;
    }
    for (flag, version) in VERSIONS {
        let mut world = World::new(&[flag]);
        let config = world.plain();
        for (text, we_end) in [("first", false), ("second", true), ("third", false)] {
            let ears = world.connect(&config);
            let facts = ears.connected();
            assert_eq!((facts.version, facts.resumed), (version, text != "first"));
            world.talk(&facts, &ears, text);
            if we_end {
                facts.on(&world.core, |bev| bev.close());
            } else {
                // It closes its socket before it says goodbye.
                world.program.say("q\n");
                let error = ears.fails();
                assert!(error.to_string().contains("without close_notify"), "{error}");
            }
            // What it says at a good end, and at its own.
            world.program.wait_for("DONE");
            world.core.wait_until_empty();
        }
        assert_eq!(world.core.sum(|core| core.handshakes_resumed), 2);
    }
}

#[test]
fn a_goodbye_of_the_server_is_a_good_end() {
    if !is_there("openssl") {
        return;
    }
    for (flag, _) in VERSIONS {
        let world = World::new(&[flag, "-rev"]);
        let ears = world.connect(&world.plain());
        let facts = ears.connected();
        facts.on(&world.core, |bev| bev.output().add(b"desserts\n"));
        ears.reads("stressed\n");
        facts.on(&world.core, |bev| bev.output().add(b"CLOSE\n"));
        ears.ends_well();
        world.core.wait_until_empty();
    }
}

#[test]
fn a_server_that_asks_gets_our_certificate_or_refuses() {
    if !is_there("openssl") {
        return;
    }
    for (flag, _) in VERSIONS {
        let material = Material::new();
        let root = material.path("client.pem");
        let demand = [flag, "-Verify", "1", "-verify_return_error", "-CAfile", &root];
        let mut world = World::with(material, &demand);
        let own = world.material.client.clone();
        let config = world.material.connecting().certificate(own).build().expect("a client");
        let ears = world.connect(&config);
        let facts = ears.connected();
        world.talk(&facts, &ears, "hello");
        facts.on(&world.core, |bev| bev.close());

        // Under 1.3 a client is done before it is refused; before, the alert does not say why.
        let is_new = flag == "-tls1_3";
        let error = world.connect(&world.plain()).fails_by_tls(is_new);
        assert_eq!(matches!(error, TlsError::Certificate { .. }), is_new, "{error:?}");
        assert!(error.to_string().contains("alert"), "{error}");
    }
}

#[test]
fn a_server_of_another_name_or_of_nobody_we_trust_is_refused() {
    if !is_there("openssl") {
        return;
    }
    let mut world = World::new(&[]);
    let stranger = TlsConfig::client().roots(Material::roots(&world.material.client));
    let stranger = stranger.build().expect("a client");
    for (config, host, why) in [
        (&world.plain(), "example.net", "ostname mismatch"),
        (&world.plain(), "127.0.0.2", "IP address mismatch"),
        (&stranger, NAME, "self-signed certificate"),
    ] {
        let error = world.connect_to(config, host).fails_by_tls(false);
        assert!(matches!(error, TlsError::Certificate { .. }), "{error:?}");
        assert!(error.to_string().contains(why), "{error}");
    }
    let ears = world.connect_to(&world.plain(), "127.0.0.1");
    let facts = ears.connected();
    world.talk(&facts, &ears, "hello");
}

#[test]
fn a_protocol_is_agreed_on() {
    if !is_there("openssl") {
        return;
    }
    for (flag, _) in VERSIONS {
        let world = World::new(&[flag, "-alpn", "h2,http/1.1"]);
        let config = world.material.connecting().alpn(["http/1.1"]).build().expect("a client");
        assert_eq!(world.connect(&config).connected().alpn.as_deref(), Some("http/1.1"));
    }
}

#[test]
fn version_1_2_renegotiates_where_that_is_allowed() {
    if !is_there("openssl") {
        return;
    }
    for allowed in [true, false] {
        let flags: &[&str] = if allowed { &["-client_renegotiation"] } else { &[] };
        let mut world = World::new(&[&["-tls1_2"], flags].concat());
        let ears = world.connect(&world.plain());
        let facts = ears.connected();
        world.program.say("r\n");
        world.program.wait_for("SSL_do_handshake -> 1");
        world.talk(&facts, &ears, "behind theirs");
        facts.on(&world.core, |bev| bev.renegotiate()).expect("the handshake is over");
        if allowed {
            assert_eq!(ears.connected().id, facts.id);
            world.talk(&facts, &ears, "behind ours");
        } else {
            let error = ears.fails_by_tls(false);
            assert!(error.to_string().contains("no renegotiation"), "{error}");
        }
    }
}

#[test]
fn version_1_3_updates_its_keys_from_either_side() {
    if !is_there("openssl") {
        return;
    }
    let mut world = World::new(&["-tls1_3"]);
    let ears = world.connect(&world.plain());
    let facts = ears.connected();
    for (command, text) in [("K\n", "one"), ("k\n", "two"), ("K\n", "three")] {
        world.program.say(command);
        // Its own words leave it only with those of its peer.
        eventually("it has updated", || {
            facts.on(&world.core, |bev| bev.output().add(b"go on\n"));
            world.program.has_said("SSL_do_handshake -> 1")
        });
        world.talk(&facts, &ears, &format!("update {text}"));
        facts.on(&world.core, |bev| bev.renegotiate()).expect("the handshake is over");
        assert_eq!(ears.connected().id, facts.id);
        world.talk(&facts, &ears, &format!("answer {text}"));
    }
}

#[test]
fn a_server_that_is_killed_has_not_ended_well() {
    if !is_there("openssl") {
        return;
    }
    for (flag, _) in VERSIONS {
        let mut world = World::new(&[flag]);
        let ears = world.connect(&world.plain());
        let facts = ears.connected();
        world.talk(&facts, &ears, "hello");
        world.program.kill();
        let error = ears.fails();
        assert!(error.to_string().contains("without close_notify"), "{error}");
        world.core.wait_until_empty();
    }
}

#[test]
fn its_status_page_comes_whole() {
    if !is_there("openssl") {
        return;
    }
    let world = World::new(&["-www"]);
    for version in [TlsVersion::Tls12, TlsVersion::Tls13] {
        let config = world.material.connecting().versions(version..=version).build();
        let ears = world.connect(&config.expect("a client"));
        let facts = ears.connected();
        facts.on(&world.core, |bev| bev.output().add(b"GET / HTTP/1.0\r\n\r\n"));
        let (page, flags, error) = ears.rest();
        assert!(error.is_none() && flags == EventFlags::READING | EventFlags::EOF, "{error:?}");
        assert!(page.starts_with("HTTP/1.0 200 ok") && page.ends_with("</HTML>\r\n\r\n"), "{page}");
        assert!(page.contains(facts.version), "{page}");
    }
}
