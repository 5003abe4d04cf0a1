//! Sessions and the tickets they are resumed from: where, for how long, how often, how many.

use std::time::Duration;

use sluicegate_groups::Time;
use sluicegate_tls::{
    Certificate, ClientCertificates, ClientChoices, ServerChoices, Tickets, TlsConfig,
    TlsConfigBuilder, TlsVersion,
};

use crate::authority::{Issued, NOW};
use crate::wire::{Pair, at, connect, connect_at};

const BOTH: [TlsVersion; 2] = [TlsVersion::Tls12, TlsVersion::Tls13];
const HOST: &str = "a.t.example";

/// A server whose keys change every 100 seconds, and a client of one version.
fn sides(
    version: TlsVersion,
) -> (TlsConfigBuilder<ServerChoices>, TlsConfigBuilder<ClientChoices>) {
    let certificate = Certificate::self_signed(&["*.t.example"], 1).expect("a certificate");
    let pem = certificate.chain_pem().expect("PEM");
    let tickets = Tickets::rotated(Duration::from_secs(400));
    let server = TlsConfig::server().certificate(certificate).tickets(tickets);
    (server, TlsConfig::client().roots_pem(pem).versions(version..=version))
}

fn both(version: TlsVersion) -> (TlsConfig, TlsConfig) {
    let (server, client) = sides(version);
    (server.build().expect("built"), client.build().expect("built"))
}

/// Whether the session was resumed; the connection is used and closed.
fn resumes(mut pair: Pair) -> bool {
    let resumed = pair.client.resumed();
    assert_eq!(pair.server.resumed(), resumed);
    assert_eq!(pair.talk(), Ok(()));
    pair.close();
    resumed
}

#[test]
fn a_client_resumes_on_every_core_of_the_server() {
    for version in BOTH {
        let (server, client) = both(version);
        let now = Time::ZERO;
        assert!(!resumes(connect_at(now, (&server, 0), (&client, 0), HOST)), "the first");
        for core in [0, 1, 7, TlsConfig::MAX_CORES - 1] {
            let pair = connect_at(now, (&server, core), (&client, 0), HOST);
            assert!(resumes(pair), "{version:?}, core {core}");
        }
    }
}

#[test]
fn a_session_is_resumed_only_with_its_host_and_on_the_clients_own_core() {
    for version in BOTH {
        let (server, client) = both(version);
        assert!(!resumes(connect(&server, &client, HOST)));
        assert!(!resumes(connect(&server, &client, "b.t.example")), "{version:?}, another host");
        let now = Time::ZERO;
        assert!(!resumes(connect_at(now, (&server, 0), (&client, 1), HOST)), "another core");
        assert!(resumes(connect(&server, &client, "A.T.Example.")), "{version:?}, same host");
    }
}

#[test]
fn a_ticket_outlives_its_key_by_a_lifetime_and_is_renewed() {
    for version in BOTH {
        // The first key is made at 0, seals until 100 and opens until 500.
        for (seconds, resumed) in [(99, true), (100, true), (499, true), (500, false)] {
            let (server, client) = both(version);
            let meet = |now, core| connect_at(at(now), (&server, core), (&client, 0), HOST);
            assert!(!resumes(meet(0, 0)));
            assert_eq!(resumes(meet(seconds, 1)), resumed, "{version:?} after {seconds} s");
            // The second key is made then, and opens what was renewed for 400 s more.
            let renewed = seconds >= 100 && resumed;
            assert_eq!(resumes(meet(501, 2)), renewed || seconds == 500, "{version:?} {seconds}");
        }
    }
}

/// The keys are copied by each core, and this one copied them before the newest was made.
#[test]
fn a_core_opens_what_another_sealed_with_a_key_it_has_not_seen() {
    for version in BOTH {
        let (server, client) = both(version);
        let meet = |now, core| connect_at(at(now), (&server, core), (&client, 0), HOST);
        let early = server.accept(1, at(0)).expect("an object");
        assert!(!resumes(meet(100, 0)), "sealed with a key that core 1 does not know");
        let connecting = client.connect(0, at(100), HOST).expect("an object");
        assert!(resumes(Pair::shake_hands(early, connecting)), "{version:?}");
    }
}

#[test]
fn a_tls_1_3_ticket_is_used_once_and_a_tls_1_2_session_again() {
    for (version, again) in [(TlsVersion::Tls12, true), (TlsVersion::Tls13, false)] {
        let (server, client) = both(version);
        assert!(!resumes(connect(&server, &client, HOST)));
        // A full handshake under TLS 1.3 brings two tickets.
        let connecting: Vec<_> =
            (0..3).map(|_| client.connect(0, Time::ZERO, HOST).expect("an object")).collect();
        // Held, since a connection that breaks off bars its session.
        let pairs: Vec<_> = connecting
            .into_iter()
            .map(|connecting| {
                let accepting = server.accept(0, Time::ZERO).expect("an object");
                Pair::shake_hands(accepting, connecting)
            })
            .collect();
        let resumed: Vec<_> = pairs.iter().map(|pair| pair.client.resumed()).collect();
        assert_eq!(resumed, [true, true, again], "{version:?}");
    }
}

#[test]
fn a_session_past_its_timeout_is_not_offered() {
    use TlsVersion::{Tls12, Tls13};
    // OpenSSL gives a client's session two hours; the server here would resume it for days. Under
    // TLS 1.3 each connection brings a new one, under 1.2 using it makes it no younger.
    let cases: [(TlsVersion, &[(u64, bool)]); 4] = [
        (Tls12, &[(0, false), (7_200, false)]),
        (Tls13, &[(0, false), (7_200, false)]),
        (Tls12, &[(0, false), (7_199, true), (7_200, false)]),
        (Tls13, &[(0, false), (7_199, true), (14_398, true), (21_598, false)]),
    ];
    for (version, meetings) in cases {
        let (server, client) = sides(version);
        let tickets = Tickets::rotated(Duration::from_secs(3 * 24 * 3_600));
        let server = server.tickets(tickets).build().expect("built");
        let client = client.build().expect("built");
        for (seconds, resumed) in meetings {
            let pair = connect_at(at(*seconds), (&server, 0), (&client, 0), HOST);
            assert_eq!(resumes(pair), *resumed, "{version:?} after {seconds} s of {meetings:?}");
        }
    }
}

#[test]
fn either_side_can_do_without() {
    for version in BOTH {
        for (tickets, resume) in [(true, true), (true, false), (false, true), (false, false)] {
            let (mut server, client) = sides(version);
            if !tickets {
                server = server.tickets(Tickets::off());
            }
            let server = server.build().expect("built");
            let client = client.resume(resume).build().expect("built");
            let first = connect(&server, &client, HOST);
            let tickets_sent = first.client.stream.get_ref().unread() > 0;
            assert_eq!(
                tickets_sent,
                tickets && version == TlsVersion::Tls13,
                "after the handshake"
            );
            assert!(!resumes(first));
            let again = resumes(connect(&server, &client, HOST));
            assert_eq!(again, tickets && resume, "{version:?} {tickets} {resume}");
        }
    }
}

#[test]
fn a_session_is_good_for_the_lifetime_of_a_ticket() {
    for version in BOTH {
        let (server, client) = both(version);
        let pair = connect(&server, &client, HOST);
        let session = pair.server.ssl().session().expect("a session");
        assert_eq!(session.timeout(), 400, "{version:?}");
    }
}

#[test]
fn a_reload_to_a_shorter_lifetime_holds_for_tickets_given_out_before() {
    for version in BOTH {
        // By the lifetime after, a key made at 0 opens until 500.
        for (seconds, resumed) in [(499, true), (500, false)] {
            let certificate = Certificate::self_signed(&[HOST], 1).expect("a certificate");
            let server_for = |lifetime| {
                let tickets = Tickets::rotated(Duration::from_secs(lifetime));
                let server = TlsConfig::server().certificate(certificate.clone());
                server.tickets(tickets).build().expect("built")
            };
            let client = sides(version).1.danger_accept_any_certificate().build().expect("built");
            let server = server_for(4_000);
            let meet = |now| connect_at(at(now), (&server, 0), (&client, 0), HOST);
            assert!(!resumes(meet(0)));
            server.reload(&server_for(400)).expect("a server's");
            assert_eq!(resumes(meet(seconds)), resumed, "{version:?} after {seconds} s");
        }
    }
}

#[test]
fn a_client_keeps_a_bounded_number_of_sessions() {
    let (server, client) = both(TlsVersion::Tls13);
    // Each brings two tickets; with one host more than fits, those of the first are dropped.
    let hosts = TlsConfig::MAX_SESSIONS / 2;
    for index in 0..=hosts {
        assert!(!resumes(connect(&server, &client, &format!("h{index}.t.example"))));
    }
    assert!(!resumes(connect(&server, &client, "h0.t.example")), "the oldest was dropped");
    for _ in 0..20 {
        assert!(resumes(connect(&server, &client, &format!("h{hosts}.t.example"))));
    }
    assert!(resumes(connect(&server, &client, "h2.t.example")), "no more was dropped than came");
}

#[test]
fn a_server_that_sends_many_tickets_drives_out_those_of_no_other() {
    let (server, client) = both(TlsVersion::Tls13);
    assert!(!resumes(connect(&server, &client, HOST)));
    let mut floods = server.accept(0, Time::ZERO).expect("an object");
    floods.set_num_tickets(TlsConfig::MAX_SESSIONS + 1).expect("it is for TLS 1.3");
    let meets = client.connect(0, Time::ZERO, "b.t.example").expect("an object");
    assert!(!resumes(Pair::shake_hands(floods, meets)));
    assert!(resumes(connect(&server, &client, HOST)), "they were dropped");
}

/// OpenSSL then bars the session of that connection: under TLS 1.3 the last of its two tickets.
#[test]
fn a_connection_that_broke_off_leaves_only_its_other_tickets() {
    for (version, resumed) in [(TlsVersion::Tls12, false), (TlsVersion::Tls13, true)] {
        let (server, client) = both(version);
        let mut pair = connect(&server, &client, HOST);
        assert_eq!(pair.talk(), Ok(()));
        drop(pair);
        assert_eq!(resumes(connect(&server, &client, HOST)), resumed, "{version:?}");
    }
}

#[test]
fn tickets_do_not_get_past_a_change_of_whom_the_server_trusts() {
    let (old_root, new_root) = (Issued::root("old"), Issued::root("new"));
    for version in BOTH {
        let (_, client) = sides(version);
        let shown = Certificate::self_signed(&[HOST], 1).expect("a certificate");
        let demand = |root: &Issued| {
            let server = TlsConfig::server().certificate(shown.clone());
            let demand = ClientCertificates::Required(root.as_root());
            server.client_certificates(demand).build().expect("built")
        };
        let client = client
            .danger_accept_any_certificate()
            .certificate(old_root.issue("client", NOW).to_present())
            .build()
            .expect("built");
        let server = demand(&old_root);
        assert!(!resumes(connect(&server, &client, HOST)));
        server.reload(&demand(&old_root)).expect("a server's");
        assert!(resumes(connect(&server, &client, HOST)), "{version:?}, the same root");
        server.reload(&demand(&new_root)).expect("a server's");
        let pair = connect(&server, &client, HOST);
        assert!(pair.server.outcome.is_err(), "{version:?}, another root");
    }
}
