//! The ends of the seed's TLS: clean by default, lazy on request, unclean by name, and what the
//! peer of one that is cut is told.

use std::time::Duration;

use sluicegate::openssl::ssl::SslVersion;
use sluicegate::sim::Simulation;
use sluicegate::tls::{DEFAULT_FAREWELL, Shutdown};
use sluicegate::{BevMut, EventFlags, ListenOptions, TlsError, TlsOptions};

use crate::outer::Echo;
use crate::outer::ends::{Noting, settle};
use crate::outer::sim::{ADDR, LIMIT, ms};
use crate::outer::tls::{Configs, HOST, VERSIONS};
use crate::wired::Wired;
use crate::{SSL_VERSIONS, TURNS};

/// Connects twice to an echo by `shutdown`; asserts that the second session resumes the first.
fn assert_resumes(shutdown: Shutdown) {
    for version in VERSIONS {
        let (mut sim, configs) = (Simulation::new(1), Configs::new(version));
        let options = TlsOptions::new().shutdown(shutdown);
        let server = configs.server.clone();
        let factory = move |conn: &mut BevMut<'_>| {
            conn.tls_accept(&server, options).expect("it is new");
            Echo
        };
        let listener = sim.core().listen(ADDR, ListenOptions::new(), factory);
        let to = listener.expect("it is free").local_addr();
        for resumed in [false, true] {
            let (noting, log) = Noting::new();
            let id = sim.core().tls_connect(to, HOST, &configs.client, options, noting);
            let id = id.expect("it can be tried");
            sim.core().get(id).expect("it is open").output().add(b"hello");
            assert!(sim.run_until(LIMIT, |_| log.borrow().got == b"hello"), "{version:?}");
            let mut bev = sim.core().get(id).expect("it is open");
            let ssl = bev.ssl().expect("there is a session");
            assert_eq!(ssl.session_reused(), resumed, "{version:?} {shutdown:?}");
            bev.close();
            drop(bev);
            settle(&mut sim, TURNS);
            let stats = sim.core().stats();
            assert_eq!((stats.connections, stats.filters), (0, 0), "{version:?} {shutdown:?}");
            assert_eq!(log.take().events, [EventFlags::CONNECTED], "{version:?} {shutdown:?}");
        }
        // Both ends count.
        let stats = sim.core().stats();
        assert_eq!((stats.handshakes, stats.handshakes_resumed), (4, 2), "{version:?}");
    }
}

/// `Bev::close()`: clean by default. close_notify follows the last byte, the peer's is awaited
/// within a deadline, and the session stays resumable.
#[test]
fn close_is_clean_by_default() {
    assert_resumes(Shutdown::default());
    for version in SSL_VERSIONS {
        for answers in [true, false] {
            let mut wired = Wired::open(version, TlsOptions::new());
            let mut bev = wired.bev();
            bev.output().add(&[1; 50_000]);
            bev.close();
            drop(bev);
            wired.run();
            let case = format!("{version:?}, answers: {answers}");
            assert_eq!((wired.got.len(), wired.heard_goodbye), (50_000, true), "{case}");
            assert_eq!(wired.sim.core().stats().filters, 1, "{case}: the answer is awaited");
            if answers {
                wired.tls.shutdown().expect("a goodbye");
                wired.run();
            } else {
                wired.run_for(DEFAULT_FAREWELL - ms(100));
                assert_eq!(wired.sim.core().stats().filters, 1, "{case}: within its deadline");
                wired.run_for(ms(100));
            }
            wired.assert_empty(&case);
            assert_eq!(wired.notes.all(), ["EventFlags(CONNECTED)"], "{case}");
        }
    }
}

/// `Bev::close_now()`: the unclean end, as libevent's free is one.
#[test]
fn close_now_is_the_unclean_end() {
    for version in SSL_VERSIONS {
        let mut wired = Wired::open(version, TlsOptions::new());
        wired.bev().close_now();
        wired.run();
        wired.assert_empty(&format!("{version:?}"));
        assert!(!wired.heard_goodbye, "{version:?}: nothing was said");
        assert!(wired.sim.is_eof(wired.peer) || wired.sim.is_reset(wired.peer), "{version:?}");
    }
}

/// The lazy recipe (mark received, SSL_shutdown, free): `TlsOptions::shutdown(Shutdown::Lazy)`.
/// close_notify is queued and drained, the peer's is not awaited; a later session resumes.
#[test]
fn lazy_shutdown() {
    assert_resumes(Shutdown::Lazy);
    for version in SSL_VERSIONS {
        let mut wired = Wired::open(version, TlsOptions::new().shutdown(Shutdown::Lazy));
        let mut bev = wired.bev();
        bev.output().add(&[1; 50_000]);
        bev.close();
        drop(bev);
        // The peer reads, and never answers.
        wired.run();
        wired.assert_empty(&format!("{version:?}"));
        assert_eq!((wired.got.len(), wired.heard_goodbye), (50_000, true), "{version:?}");
        assert_eq!(wired.sim.core().stats().goodbyes_lost, 0, "{version:?}");
    }
}

/// The same where the socket is not writable in time: counted and reported.
#[test]
fn lazy_shutdown_that_does_not_leave_in_time() {
    let mut wired = Wired::open(SslVersion::TLS1_3, TlsOptions::new().shutdown(Shutdown::Lazy));
    let mut bev = wired.bev();
    bev.output().add(&vec![1; 4 << 20]);
    bev.close_within(Duration::from_secs(1));
    drop(bev);
    wired.rest(Duration::from_secs(3));
    wired.assert_empty("nobody reads");
    assert_eq!(wired.sim.core().stats().goodbyes_lost, 1);
    assert!(wired.sim.is_reset(wired.peer), "what is left is not taken for all");
}

/// How the peer of a session ends.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Cut {
    Goodbye,
    Fin,
    Reset,
}

/// `bufferevent_openssl_get_allow_dirty_shutdown`, `..._set_...`: false by default, and then all
/// but an authenticated close is an ERROR; true: a bare FIN is EOF, a reset is an ERROR still. Set
/// in the middle of the session, the last word counts.
#[test]
fn bufferevent_openssl_get_and_set_allow_dirty_shutdown() {
    let [eof, error] = [EventFlags::EOF, EventFlags::ERROR];
    for version in SSL_VERSIONS {
        for (words, cut, how) in [
            (&[][..], Cut::Goodbye, eof),
            (&[], Cut::Fin, error),
            (&[], Cut::Reset, error),
            (&[true], Cut::Goodbye, eof),
            (&[true], Cut::Fin, eof),
            (&[true], Cut::Reset, error),
            (&[true, false], Cut::Fin, error),
            (&[false, true], Cut::Fin, eof),
        ] {
            let case = format!("{version:?} {words:?} {cut:?}");
            let mut wired = Wired::open(version, TlsOptions::new());
            let (noting, log) = Noting::new();
            wired.bev().set_handler(noting).expect("it is on top");
            assert_eq!(wired.bev().allow_dirty_shutdown(), Some(false), "{case}");
            for (at, &word) in words.iter().enumerate() {
                wired.write(&[at as u8]);
                wired.run();
                wired.bev().set_allow_dirty_shutdown(word).expect("there is a session");
                assert_eq!(wired.bev().allow_dirty_shutdown(), Some(word), "{case}");
            }
            match cut {
                Cut::Goodbye => drop(wired.tls.shutdown()),
                Cut::Fin => wired.sim.half_close(wired.peer),
                Cut::Reset => wired.sim.reset(wired.peer),
            }
            wired.run();
            let heard = log.take();
            assert_eq!(heard.got.len(), words.len(), "{case}");
            let [event] = heard.events[..] else { panic!("{case}: {:?}", heard.events) };
            assert_eq!(event & (eof | error), how, "{case}: {event:?}");
        }
    }
}

/// The same on a bufferevent that is not TLS: `None`, and a typed error.
#[test]
fn allow_dirty_shutdown_where_there_is_no_session() {
    let mut wired = Wired::open(SslVersion::TLS1_3, TlsOptions::new());
    let bottom = wired.bottom;
    let mut plain = wired.sim.core().get(bottom).expect("it is open");
    assert_eq!(plain.allow_dirty_shutdown(), None);
    let refused = plain.set_allow_dirty_shutdown(true).expect_err("it is a socket");
    assert!(matches!(refused, TlsError::Local { code: 0, .. }), "{refused}");
    assert_eq!(plain.allow_dirty_shutdown(), None);
}
