//! Before the handshake is over: timeouts of the stream, and closes.

use std::time::Duration;

use sluicegate::openssl::ssl::Ssl;
use sluicegate::sim::Simulation;
use sluicegate::tls::Charge;
use sluicegate::{Context, Direction, Event, EventFlags, Group, Handler, TlsOptions, TlsState};

use crate::outer::sim::per_second;
use crate::rig::{Notes, VERSIONS, context};
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
fn a_handshake_that_was_made_leaves_no_timer_behind() {
    let mut wired = Wired::new(VERSIONS[0], TlsOptions::new());
    wired.rest(Duration::from_millis(5));
    assert_eq!(wired.sim.core().stats().timers, 1, "the handshake has a deadline");
    let mut wired = wired.opened();
    assert_eq!(wired.sim.core().stats().timers, 0);
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
fn a_close_before_the_connection_is_made_waits_only_for_output() {
    for (has_output, layers) in [(false, 1), (true, 1), (false, 2), (true, 2)] {
        let context = context(VERSIONS[1]);
        let mut sim = Simulation::new(1);
        let addr = "10.0.0.9:443".parse().expect("an address");
        sim.silence(addr);
        let mut id = sim.core().connect(addr, ()).expect("it can be tried");
        for _ in 0..layers {
            let ssl = Ssl::new(&context).expect("an object");
            let (state, options) = (TlsState::Connecting, TlsOptions::new());
            id = sim.core().tls_filter(id, ssl, state, options).expect("a session");
        }
        let mut bev = sim.core().get(id).expect("it is open");
        if has_output {
            bev.output().add(b"early");
        }
        bev.close_within(WITHIN);
        drop(bev);
        sim.run_for(MOMENT);
        assert_eq!(sim.held().slots > 0, has_output, "{layers} layers");
        sim.run_for(WITHIN);
        assert_eq!(sim.held().slots, 0, "{layers} layers");
    }
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

#[test]
fn a_record_that_waits_for_tokens_below_is_not_held_against_the_peer() {
    const ALL: usize = 16_000;
    for (version, by_group) in VERSIONS.into_iter().flat_map(|it| [(it, false), (it, true)]) {
        let mut wired = Wired::open(version, TlsOptions::new().charge(Charge::Ciphertext));
        let slow = per_second(1_000).with_burst(100).expect("valid");
        let clock = wired.sim.clock();
        let mut bev = wired.bev();
        bev.set_timeout(Direction::Read, Some(WITHIN));
        if by_group {
            let group = Group::builder(slow).clock(clock).build().expect("valid");
            bev.join(&group).expect("a seat");
        } else {
            bev.set_rate_limit(Some(slow));
        }
        drop(bev);
        wired.write(&[7; ALL]);
        wired.send();
        let case = format!("{version:?}, group {by_group}");
        wired.rest(Duration::from_secs(15));
        assert_eq!(wired.notes.all(), ["EventFlags(CONNECTED)"], "{case}: it is on its way");
        wired.rest(Duration::from_secs(3));
        assert_eq!(wired.bev().input().len(), ALL, "{case}");
        assert!(wired.sim.core().stats().excused_timeouts > 0, "{case}");
        wired.rest(2 * WITHIN);
        let last = wired.notes.all().pop();
        assert_eq!(last.as_deref(), Some("EventFlags(READING | TIMEOUT)"), "{case}: now it is");
    }
}

#[test]
fn a_peer_that_takes_nothing_runs_into_the_write_timeout_though_its_records_are_made() {
    // Of the first all records are made at once, though the kernel takes but a part of them.
    for (version, size) in VERSIONS.into_iter().flat_map(|it| [(it, 900_000), (it, 3_000_000)]) {
        for ends in [false, true] {
            let mut wired = Wired::open(version, TlsOptions::new());
            let mut bev = wired.bev();
            bev.set_timeout(Direction::Write, Some(WITHIN));
            bev.output().add(&vec![7; size]);
            if ends {
                bev.shutdown_write();
            }
            drop(bev);
            let case = format!("{version:?}, {size}, {ends}");
            wired.rest(WITHIN / 2);
            wired.receive();
            wired.rest(WITHIN - MOMENT);
            assert_eq!(wired.notes.all().len(), 1, "{case}: it has taken some");
            wired.rest(3 * MOMENT);
            let last = wired.notes.all().pop();
            assert_eq!(last.as_deref(), Some("EventFlags(WRITING | TIMEOUT)"), "{case}");
        }
    }
}

#[test]
fn output_that_waits_for_tokens_below_is_not_held_against_the_peer() {
    for version in VERSIONS {
        let mut wired = Wired::open(version, TlsOptions::new());
        let mut bev = wired.bev();
        bev.set_timeout(Direction::Write, Some(WITHIN));
        bev.set_rate_limit(Some(per_second(1_000).with_burst(100).expect("valid")));
        bev.decrement_write_limit(10_000).expect("there is a limit");
        bev.output().add(b"hello");
        drop(bev);
        wired.run_for(Duration::from_secs(12));
        assert_eq!((wired.got.as_slice(), wired.notes.all().len()), (&b"hello"[..], 1));
        wired.rest(3 * WITHIN);
        assert_eq!(wired.notes.all().len(), 1, "{version:?}: nothing waits");
    }
}

/// Goes on after a timeout.
struct Patient(Notes);
impl Handler for Patient {
    fn on_event(&mut self, cx: &mut Context<'_>, event: Event) {
        self.0.add(format!("{:?}", event.flags));
        if event.flags.contains(EventFlags::TIMEOUT) {
            cx.me().enable(Direction::Read);
        }
    }
}

#[test]
fn a_timeout_that_was_set_below_is_over_when_the_handler_enables_reading() {
    for version in VERSIONS {
        let mut wired = Wired::open(version, TlsOptions::new());
        let (bottom, notes) = (wired.bottom, Notes::default());
        wired.bev().set_handler(Patient(notes.clone())).expect("it is on top");
        let mut below = wired.sim.core().get(bottom).expect("it is open");
        below.set_timeout(Direction::Read, Some(WITHIN));
        drop(below);
        wired.rest(2 * WITHIN + 2 * MOMENT);
        assert_eq!(notes.all(), ["EventFlags(READING | TIMEOUT)"; 2], "{version:?}");
        wired.write(b"hello");
        wired.run();
        assert_eq!(wired.bev().input().first(), b"hello", "{version:?}");
    }
}
