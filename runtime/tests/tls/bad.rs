//! Peers that do not keep to the protocol: one error that names the fault, and nothing is left.

use std::time::Duration;

use sluicegate::openssl::ssl::SslVersion;
use sluicegate::{TlsOptions, TlsState};

use crate::rig::{VERSIONS, context};
use crate::wired::Wired;

/// More than the core's close waits for anything.
const LONG: Duration = Duration::from_secs(40);

/// Turns that no peer's bytes may cost more of, once they have come: to read them, to put out an
/// alert, to close and to wait for the peer.
const MOST_TURNS: u64 = 20;

/// Rests for long; asserts that this is cheap.
fn rest_long(case: &str, wired: &mut Wired) {
    let turns = wired.sim.core().stats().turns;
    wired.rest(LONG);
    let spent = wired.sim.core().stats().turns - turns;
    assert!(spent < MOST_TURNS, "{case}: {spent} turns");
}

/// The error event that came, alone of its kind.
fn only_error(wired: &Wired, case: &str) -> String {
    let told = wired.notes.all();
    let errors: Vec<_> = told.iter().filter(|it| it.contains("ERROR")).collect();
    let [error] = errors[..] else { panic!("{case}: one error, not {told:?}") };
    error.clone()
}

#[test]
fn bytes_that_are_no_tls_are_one_error_that_names_them() {
    let record = |len: u16| {
        let mut bytes = vec![22, 3, 1];
        bytes.extend(len.to_be_bytes());
        bytes.extend(vec![0; usize::from(len)]);
        bytes
    };
    for version in VERSIONS {
        for (bytes, says) in [
            (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n".to_vec(), "plain HTTP"),
            (b"CONNECT x:443 HTTP/1.1\r\n\r\n".to_vec(), "plain HTTP"),
            (vec![0xA5; 4_000], "the peer"),
            (vec![0; 4_000], "the peer"),
            (record(100), "the peer"),
            (record(u16::MAX - 5), "the peer"),
            ([21, 3, 3, 0, 2, 2, 40].repeat(1_000), "the peer"),
            ([21, 3, 3, 0, 2, 1, 90].repeat(1_000), "the peer"),
            ([22, 3, 3, 0, 0].repeat(10_000), "the peer"),
        ] {
            let mut wired = Wired::new(version, TlsOptions::new());
            let case = format!("{version:?} {:?}", &bytes[..10]);
            assert_eq!(wired.sim.write(wired.peer, &bytes), bytes.len(), "{case}");
            rest_long(&case, &mut wired);
            let error = only_error(&wired, &case);
            assert!(error.contains(says), "{case}: {error}");
            wired.assert_empty(&case);
            assert_eq!(wired.sim.core().stats().handshakes_failed, 1, "{case}");
        }
    }
}

#[test]
fn a_goodbye_in_a_handshake_is_the_deed_of_the_peer() {
    for version in VERSIONS {
        let (state, context) = (TlsState::Connecting, context(version));
        let mut wired = Wired::as_one(state, &context, TlsOptions::new(), |_| {});
        wired.sim.write(wired.peer, &[21, 3, 3, 0, 2, 1, 0]);
        let case = format!("{version:?}");
        rest_long(&case, &mut wired);
        let error = only_error(&wired, &case);
        assert!(error.contains("the peer closed during the handshake"), "{case}: {error}");
        wired.assert_empty(&case);
    }
}

#[test]
fn bytes_that_are_no_tls_end_an_open_session_as_well() {
    for version in VERSIONS {
        for bytes in [vec![0xA5; 4_000], vec![23, 3, 3, 255, 255], [23, 3, 3, 0, 40].repeat(20)] {
            let mut wired = Wired::open(version, TlsOptions::new());
            wired.write(b"good");
            wired.send();
            wired.sim.write(wired.peer, &bytes);
            let case = format!("{version:?} {:?}", &bytes[..5]);
            rest_long(&case, &mut wired);
            let error = only_error(&wired, &case);
            assert!(error.contains("the peer"), "{case}: {error}");
            assert_eq!(wired.notes.all()[1], "read 4", "{case}");
            wired.assert_empty(&case);
        }
    }
}

#[test]
fn the_end_of_the_wire_in_every_state_is_one_error() {
    for version in VERSIONS {
        for resets in [false, true] {
            for sent in [0, 1, 50, usize::MAX] {
                let case = format!("{version:?} resets {resets} after {sent}");
                let mut wired = Wired::new(version, TlsOptions::new());
                let _begun = wired.tls.do_handshake();
                wired.outgoing().truncate(sent);
                wired.send();
                wired.rest(Duration::from_millis(20));
                if resets {
                    wired.sim.reset(wired.peer);
                } else {
                    wired.sim.half_close(wired.peer);
                }
                rest_long(&case, &mut wired);
                let error = only_error(&wired, &case);
                let says = if resets { "reset" } else { "closed during the handshake" };
                assert!(error.to_lowercase().contains(says), "{case}: {error}");
                assert_eq!(wired.notes.all().len(), 1, "{case}");
                wired.assert_empty(&case);
                assert_eq!(wired.sim.core().stats().handshakes_failed, 1, "{case}");
            }
        }
    }
}

#[test]
fn a_wire_that_ends_while_the_core_waits_for_a_goodbye_leaves_nothing() {
    for resets in [false, true] {
        let mut wired = Wired::open(SslVersion::TLS1_3, TlsOptions::new());
        wired.bev().close();
        wired.run();
        if resets {
            wired.sim.reset(wired.peer);
        } else {
            wired.sim.half_close(wired.peer);
        }
        wired.rest(Duration::from_secs(1));
        wired.assert_empty(&format!("resets {resets}"));
        assert_eq!(wired.notes.all().len(), 1, "nothing is told after a close");
    }
}

#[test]
fn a_stalled_handshake_ends_at_its_deadline_and_costs_no_turns() {
    const WITHIN: Duration = Duration::from_secs(3);
    for version in VERSIONS {
        for sent in [0, 1, usize::MAX] {
            let options = TlsOptions::new().handshake_timeout(Some(WITHIN));
            let mut wired = Wired::new(version, options);
            let _begun = wired.tls.do_handshake();
            wired.outgoing().truncate(sent);
            wired.send();
            wired.rest(WITHIN - Duration::from_millis(100));
            let case = format!("{version:?} after {sent}");
            assert_eq!(wired.notes.all(), [""; 0], "{case}: too early");
            wired.rest(Duration::from_millis(200));
            let error = only_error(&wired, &case);
            assert!(error.contains("within 3s"), "{case}: {error}");
            let turns = wired.sim.core().stats().turns;
            assert!(turns < 50, "{case}: {turns} turns");
            wired.rest(LONG);
            wired.assert_empty(&case);
        }
    }
}
