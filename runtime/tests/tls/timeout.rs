//! Before the handshake is over: timeouts of the stream, and closes.

use std::time::Duration;

use sluicegate::{Direction, TlsOptions};

use crate::rig::VERSIONS;
use crate::wired::Wired;

/// What the peer has sent of its first message before it falls silent.
const SENT: [usize; 3] = [0, 50, usize::MAX];

const WITHIN: Duration = Duration::from_secs(3);
const MOMENT: Duration = Duration::from_millis(10);

/// A peer that falls silent in its first message, with every combination of output that waits.
fn silent(test: impl Fn(&str, Wired, bool)) {
    for (version, sent) in VERSIONS.into_iter().flat_map(|it| SENT.map(|sent| (it, sent))) {
        for has_output in [false, true] {
            let mut wired = Wired::new(version, TlsOptions::new().handshake_timeout(None));
            if has_output {
                wired.bev().output().add(b"early");
            }
            let _begun = wired.tls.do_handshake();
            wired.outgoing().truncate(sent);
            wired.send();
            test(&format!("{version:?} after {sent}, output {has_output}"), wired, has_output);
        }
    }
}

#[test]
fn the_streams_timeouts_run_during_the_handshake() {
    for (direction, told) in [
        (Direction::Read, "EventFlags(READING | TIMEOUT)"),
        (Direction::Write, "EventFlags(WRITING | TIMEOUT)"),
    ] {
        silent(|case, mut wired, has_output| {
            wired.bev().set_timeout(direction, Some(WITHIN));
            wired.rest(WITHIN - MOMENT);
            assert_eq!(wired.notes.all(), [""; 0], "{direction:?}, {case}: too early");
            wired.rest(2 * MOMENT);
            assert_eq!(wired.notes.all(), [told], "{direction:?}, {case}");
            // The handler closes then, which waits for output only.
            assert_eq!(wired.sim.held().slots > 0, has_output, "{direction:?}, {case}");
            wired.rest(Duration::from_secs(40));
            wired.assert_empty(case);
        });
    }
}

#[test]
fn a_close_during_the_handshake_waits_only_for_output_and_tells_nothing() {
    silent(|case, mut wired, has_output| {
        wired.rest(MOMENT);
        wired.bev().close_within(WITHIN);
        wired.rest(MOMENT);
        assert_eq!(wired.sim.held().slots > 0, has_output, "{case}");
        wired.rest(WITHIN);
        wired.assert_empty(case);
        assert_eq!(wired.notes.all(), [""; 0], "{case}");
        assert_eq!(wired.got, b"", "{case}");
    });
}

#[test]
fn output_given_before_a_close_is_delivered_once_the_handshake_is_over() {
    for version in VERSIONS {
        let mut wired = Wired::new(version, TlsOptions::new());
        let mut bev = wired.bev();
        bev.output().add(b"early");
        bev.close();
        drop(bev);
        wired.run();
        assert_eq!((wired.got.as_slice(), wired.heard_goodbye), (&b"early"[..], true));
        let _goodbye = wired.tls.shutdown();
        wired.run();
        wired.assert_empty(&format!("{version:?}"));
        assert_eq!(wired.notes.all(), [""; 0], "{version:?}");
    }
}
