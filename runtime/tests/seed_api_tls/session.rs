//! What the seed asks of a session: its object, its errors, new keys.

use sluicegate::openssl::ssl::{ErrorCode, NameType, Ssl, SslStream, SslVersion};
use sluicegate::sim::Simulation;
use sluicegate::tls::{MAX_PENDING_ERRORS, TlsVersion};
use sluicegate::{EventFlags, FilterOptions, TlsError, TlsOptions};

use crate::outer::ends::{Link, Noting, settle};
use crate::outer::tls::{Configs, HOST, VERSIONS, secured};
use crate::rig::context;
use crate::wired::{Pipe, Wired};
use crate::{SSL_VERSIONS, TURNS, every_kind};

/// `bufferevent_openssl_get_ssl`: `Bev::ssl()`, `None` when not TLS.
#[test]
fn bufferevent_openssl_get_ssl() {
    every_kind(|case, sim, lower, configs| {
        assert!(lower.0.bev(sim).ssl().is_none(), "{case}: not yet");
        let (a, b) = secured(sim, lower, configs, TlsOptions::new());
        settle(sim, TURNS);
        let bev = a.bev(sim);
        let ssl = bev.ssl().expect("there is one");
        assert!(case.contains(&ssl.version_str().replace("TLSv1.", "Tls1")), "{case}");
        assert!(!ssl.is_server() && ssl.peer_certificate().is_some(), "{case}");
        assert!(ssl.current_cipher().is_some(), "{case}");
        let low = bev.underlying().expect("it stands on something");
        drop(bev);
        let bev = b.bev(sim);
        let ssl = bev.ssl().expect("there is one");
        assert!(ssl.is_server() && ssl.peer_certificate().is_none(), "{case}");
        assert_eq!(ssl.servername(NameType::HOST_NAME), Some(HOST));
        drop(bev);
        assert!(sim.core().get(low).expect("it is open").ssl().is_none(), "{case}: below");
        let top = sim.core().filter(a.id, (), FilterOptions::new()).expect("it is open");
        assert!(sim.core().get(top).expect("it is open").ssl().is_none(), "{case}: a filter");
    });
}

/// Something that a peer sends once the session is open, or instead of a handshake.
#[derive(Clone, Copy, Debug)]
enum Sent {
    Garbage,
    BadRecord,
    Alert,
    Http,
}

impl Sent {
    fn bytes(self) -> Vec<u8> {
        match self {
            Self::Garbage => vec![0xA5; 4000],
            Self::BadRecord => [&[23, 3, 3, 0, 40][..], &[7; 40]].concat(),
            Self::Alert => vec![21, 3, 3, 0, 2, 2, 40],
            Self::Http => b"GET / HTTP/1.1\r\nHost: x\r\n\r\n".to_vec(),
        }
    }

    fn replaces_handshake(self) -> bool {
        matches!(self, Self::Http)
    }
}

/// The codes of the failing call of OpenSSL by hand, in the order of `ERR_get_error`.
fn by_hand(version: SslVersion, sent: Sent) -> Vec<u64> {
    // A record is read alike by client and server, not so the first one of a handshake.
    let mut tls = if sent.replaces_handshake() {
        let mut ssl = Ssl::new(&context(version)).expect("an object");
        ssl.set_accept_state();
        SslStream::new(ssl, Pipe::default()).expect("a stream")
    } else {
        Wired::open(version, TlsOptions::new()).tls
    };
    tls.get_mut().incoming.extend(sent.bytes());
    let error = match sent.replaces_handshake() {
        true => tls.do_handshake().expect_err("it is no TLS"),
        false => tls.ssl_read(&mut [0; 100]).expect_err("it is no TLS"),
    };
    assert_eq!(error.code(), ErrorCode::SSL, "{sent:?}");
    error.ssl_error().expect("it left errors").errors().iter().map(|it| it.code()).collect()
}

/// `bufferevent_get_openssl_error`: `take_tls_error`, the first pending, in order, packed as
/// `ERR_get_error` packs it; `None` when there is none.
///
/// libevent keeps three, gives them last first, and begins with the class of the failing call.
#[test]
fn bufferevent_get_openssl_error() {
    let mut most = 0;
    for (version, sent) in SSL_VERSIONS.into_iter().flat_map(|version| {
        [Sent::Garbage, Sent::BadRecord, Sent::Alert, Sent::Http].map(|sent| (version, sent))
    }) {
        let case = format!("{version:?} {sent:?}");
        let mut wired = match sent.replaces_handshake() {
            true => Wired::new(version, TlsOptions::new()),
            false => Wired::open(version, TlsOptions::new()),
        };
        let (noting, log) = Noting::new();
        wired.bev().set_handler(noting).expect("it is on top");
        assert_eq!(wired.bev().take_tls_error(), None, "{case}: nothing has failed");
        let bytes = sent.bytes();
        assert_eq!(wired.sim.write(wired.peer, &bytes), bytes.len(), "{case}");
        wired.run();
        assert_eq!(log.borrow().events, [EventFlags::ERROR], "{case}");
        let mut taken = Vec::new();
        while let Some(error) = wired.bev().take_tls_error() {
            taken.push(error);
            assert!(taken.len() <= MAX_PENDING_ERRORS, "{case}: no end of {taken:?}");
        }
        let codes: Vec<u64> = taken.iter().map(TlsError::code).collect();
        assert_eq!(codes, by_hand(version, sent), "{case}: {taken:?}");
        most = most.max(codes.len());
        assert_eq!(wired.bev().take_tls_error(), None, "{case}: nothing is left");
        let bottom = wired.bottom;
        if let Some(mut plain) = wired.sim.core().get(bottom) {
            assert_eq!(plain.take_tls_error(), None, "{case}: not TLS");
        }
    }
    assert!(most > 1, "a call never left more than one, so there was no order");
}

/// `bufferevent_ssl_renegotiate`: up to TLS 1.2 a renegotiation, with 1.3 new keys for both sides;
/// CONNECTED comes on completion.
#[test]
fn bufferevent_ssl_renegotiate() {
    for version in VERSIONS {
        for by_client in [false, true] {
            let case = format!("{version:?}, by the client: {by_client}");
            let (mut sim, configs) = (Simulation::new(1), Configs::new(version));
            let lower = Link::Sockets.ends(&mut sim);
            let (a, b) = secured(&mut sim, lower, &configs, TlsOptions::new());
            settle(&mut sim, TURNS);
            for end in [&a, &b] {
                assert_eq!(end.log.take().events, [EventFlags::CONNECTED], "{case}");
            }
            let (asker, other) = if by_client { (&a, &b) } else { (&b, &a) };
            let finished = |sim: &mut Simulation| {
                let mut verify = [0; 64];
                let bev = asker.bev(sim);
                let len = bev.ssl().expect("there is one").finished(&mut verify);
                verify[..len].to_vec()
            };
            let (before, sent) = (finished(&mut sim), sim.core().stats().bytes_out);
            asker.bev(&mut sim).renegotiate().expect("it may");
            settle(&mut sim, TURNS);
            assert_eq!(asker.log.take().events, [EventFlags::CONNECTED], "{case}");
            assert_eq!(other.log.take().events, [], "{case}: it was not asked");
            // A renegotiation is a handshake, with a Finished of its own; an update is one record.
            let is_handshake = finished(&mut sim) != before;
            assert_eq!(is_handshake, version == TlsVersion::Tls12, "{case}");
            assert!(sim.core().stats().bytes_out > sent, "{case}: nothing was said");
            a.write(&mut sim, b"there");
            b.write(&mut sim, b"and back");
            settle(&mut sim, TURNS);
            assert_eq!(b.log.take().got, b"there", "{case}");
            assert_eq!(a.log.take().got, b"and back", "{case}");
        }
    }
}

/// The same where it is impossible: a typed error.
#[test]
fn bufferevent_ssl_renegotiate_where_it_is_impossible() {
    for version in SSL_VERSIONS {
        let mut wired = Wired::new(version, TlsOptions::new());
        let mut errors = vec![wired.bev().renegotiate().expect_err("it shakes hands")];
        let bottom = wired.bottom;
        let mut plain = wired.sim.core().get(bottom).expect("it is open");
        errors.push(plain.renegotiate().expect_err("it is a socket"));
        drop(plain);
        wired.run();
        wired.bev().renegotiate().expect("it may");
        errors.push(wired.bev().renegotiate().expect_err("it was asked already"));
        wired.run();
        wired.bev().shutdown_write();
        wired.run();
        errors.push(wired.bev().renegotiate().expect_err("nothing can be said any more"));
        for error in errors {
            assert!(matches!(error, TlsError::Local { .. }), "{version:?}: {error}");
        }
    }
}
