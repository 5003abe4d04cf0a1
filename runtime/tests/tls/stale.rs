//! OpenSSL's queue of errors, one for each thread: what others leave in it is no failure of a
//! session, and a session leaves nothing in it.
//!
//! libevent's #17 and #350: an error that some other call had left was taken for one of the
//! bufferevent's. Everything here runs on one thread, and what others left is put into its queue
//! just before the core does something.

use std::time::Duration;

use sluicegate::openssl::error::ErrorStack;
use sluicegate::openssl::ssl::{Ssl, SslOptions, SslVersion};
use sluicegate::openssl::x509::X509;
use sluicegate::{EventFlags, TlsOptions, TlsState};

use crate::outer::ends::Noting;
use crate::rig::{VERSIONS, context, context_with};
use crate::wired::Wired;

const MOMENT: Duration = Duration::from_millis(20);

/// An error of a call that has nothing to do with any session.
fn stale() -> ErrorStack {
    let stale = X509::from_pem(b"this is no certificate").expect_err("it is none");
    assert!(!stale.errors().is_empty());
    stale
}

/// What is in the queue; it is empty then.
fn left() -> Vec<String> {
    ErrorStack::get().errors().iter().map(|error| error.to_string()).collect()
}

/// Lets the core work after others have left an error; asserts that it has emptied the queue before
/// it called OpenSSL, and left nothing.
fn rest_after_others(case: &str, wired: &mut Wired) {
    stale().put();
    wired.rest(MOMENT);
    assert_eq!(left(), [""; 0], "{case}");
}

/// An operation of a session.
#[derive(Clone, Copy, Debug)]
enum Operation {
    /// Each step of the handshake.
    Handshake,
    /// Of a whole record, and of one that comes in two parts.
    Read,
    ReadPart,
    Write,
    NewKeys,
    /// The goodbye of one that ends its writing, and of one that closes.
    ShutdownWrite,
    Close,
}

#[test]
fn what_others_leave_in_the_queue_fails_no_operation() {
    use Operation as O;
    let all =
        [O::Handshake, O::Read, O::ReadPart, O::Write, O::NewKeys, O::ShutdownWrite, O::Close];
    for (version, operation) in VERSIONS.into_iter().flat_map(|it| all.map(|what| (it, what))) {
        let case = format!("{version:?} {operation:?}");
        let mut wired = match operation {
            O::Handshake => shaken_among_others(&case, version),
            _ => Wired::open(version, TlsOptions::new()),
        };
        match operation {
            O::Handshake => {}
            O::Read => {
                wired.write(&[1; 1_000]);
                wired.send();
            }
            O::ReadPart => {
                wired.write(&[1; 1_000]);
                wired.send_first(500);
                rest_after_others(&case, &mut wired);
                wired.send();
            }
            O::Write => wired.bev().output().add(&[2; 1_000]),
            O::NewKeys => wired.bev().renegotiate().expect("it may"),
            O::ShutdownWrite => wired.bev().shutdown_write(),
            O::Close => wired.bev().close(),
        }
        if !matches!(operation, O::Handshake) {
            rest_after_others(&case, &mut wired);
        }
        wired.run();
        let told = wired.notes.all();
        assert!(!told.iter().any(|it| it.contains("ERROR")), "{case}: {told:?}");
        match operation {
            O::Handshake => assert_eq!(told, ["EventFlags(CONNECTED)"], "{case}"),
            O::Read | O::ReadPart => assert_eq!(wired.bev().input().len(), 1_000, "{case}"),
            O::Write => assert_eq!(wired.got, [2; 1_000], "{case}"),
            O::NewKeys => assert_eq!(told, ["EventFlags(CONNECTED)"; 2], "{case}"),
            O::ShutdownWrite | O::Close => assert!(wired.heard_goodbye, "{case}"),
        }
    }
}

/// With an error of others before each step of the handshake that wants more: the peer's first
/// message comes in two parts.
fn shaken_among_others(case: &str, version: SslVersion) -> Wired {
    let mut wired = Wired::new(version, TlsOptions::new());
    let _begun = wired.tls.do_handshake();
    wired.send_first(50);
    rest_after_others(case, &mut wired);
    wired.send();
    rest_after_others(case, &mut wired);
    wired
}

#[test]
fn a_failure_leaves_nothing_in_the_queue_and_tells_of_its_own_only() {
    let record = |kind: u8, body: &[u8]| [&[kind, 3, 3, 0, body.len() as u8], body].concat();
    for version in VERSIONS {
        for (opens, bytes, says) in [
            (false, b"GET / HTTP/1.1\r\n\r\n".to_vec(), "plain HTTP"),
            (false, vec![0xA5; 400], "the peer"),
            (false, record(21, &[2, 40]), "the peer"),
            (true, record(23, &[7; 40]), "the peer"),
            (true, vec![0xA5; 400], "the peer"),
        ] {
            let case = format!("{version:?}, open {opens}: {:?}", &bytes[..6]);
            let mut wired = Wired::new(version, TlsOptions::new());
            if opens {
                wired = wired.opened();
            }
            // One that does not close when it is told, so that the errors can be asked for.
            let (noting, log) = Noting::new();
            wired.bev().set_handler(noting).expect("it is on top");
            wired.sim.write(wired.peer, &bytes);
            rest_after_others(&case, &mut wired);
            assert_eq!(log.take().events, [EventFlags::ERROR], "{case}");
            let mut bev = wired.bev();
            let told: Vec<_> = std::iter::from_fn(|| bev.take_tls_error()).collect();
            let told: Vec<_> = told.iter().map(|error| error.to_string()).collect();
            assert!(told.iter().any(|it| it.contains(says)), "{case}: {told:?}");
            assert!(!told.iter().any(|it| it.contains("PEM")), "{case}: {told:?}");
        }
    }
}

#[test]
fn a_refusal_leaves_nothing_in_the_queue_and_tells_of_its_own_only() {
    let barred = context_with(SslVersion::TLS1_2, |builder| {
        builder.set_options(SslOptions::NO_RENEGOTIATION);
    });
    let mut wired = Wired::by(&barred, TlsOptions::new(), |_| {}).opened();
    stale().put();
    let refused = wired.bev().renegotiate().expect_err("its context does not allow it");
    assert_eq!(left(), [""; 0]);
    assert!(refused.to_string().contains("NO_RENEGOTIATION"), "{refused}");

    let ssl = Ssl::new(&context(SslVersion::TLS1_3)).expect("an object");
    let refused = wired.sim.core().tls_socket(None, ssl, TlsState::Open, TlsOptions::new(), ());
    refused.expect_err("its handshake is not over");
    assert_eq!(left(), [""; 0]);
}
