//! Ends: who says goodbye, who waits for it, and what the end without one is.

use std::time::Duration;

use sluicegate::openssl::ssl::SslVersion;
use sluicegate::tls::Shutdown;
use sluicegate::{Direction, TlsOptions, TlsState};

use crate::outer::sim::per_second;
use crate::restart::Noter;
use crate::rig::{VERSIONS, context};
use crate::wired::Wired;

/// What the core is.
const ROLES: [TlsState; 2] = [TlsState::Accepting, TlsState::Connecting];

const WITHIN: Duration = Duration::from_secs(2);

#[test]
fn a_clean_end_waits_for_the_peers_goodbye_and_no_longer_than_its_deadline() {
    for version in VERSIONS {
        for answers in [false, true] {
            let options = TlsOptions::new().shutdown(Shutdown::Clean { within: WITHIN });
            let mut wired = Wired::open(version, options);
            let mut bev = wired.bev();
            bev.output().add(&[1; 50_000]);
            bev.close();
            drop(bev);
            wired.run();
            let case = format!("{version:?}, answers {answers}");
            assert_eq!((wired.got.len(), wired.heard_goodbye), (50_000, true), "{case}");
            assert_eq!(wired.sim.core().stats().filters, 1, "{case}: it waits");
            let turns = wired.sim.core().stats().turns;
            if answers {
                wired.tls.shutdown().expect("a goodbye");
                wired.run();
            } else {
                wired.run_for(WITHIN);
            }
            wired.assert_empty(&case);
            assert!(wired.sim.is_eof(wired.peer), "{case}: a good end of the stream");
            let spent = wired.sim.core().stats().turns - turns;
            assert!(spent < 100 + WITHIN.as_millis() as u64, "{case}: {spent} turns");
        }
    }
}

#[test]
fn other_ends_wait_for_nobody() {
    for version in VERSIONS {
        for (shutdown, now, goodbye) in [
            (Shutdown::Lazy, false, true),
            (Shutdown::Immediate, false, false),
            (Shutdown::default(), true, false),
        ] {
            let mut wired = Wired::open(version, TlsOptions::new().shutdown(shutdown));
            wired.bev().output().add(b"the last");
            wired.run();
            if now {
                wired.bev().close_now();
            } else {
                wired.bev().close();
            }
            wired.run();
            let case = format!("{version:?} {shutdown:?} now {now}");
            assert_eq!(wired.got, b"the last", "{case}");
            assert_eq!(wired.heard_goodbye, goodbye, "{case}");
            wired.assert_empty(&case);
        }
    }
}

#[test]
fn a_lazy_goodbye_behind_records_that_do_not_leave_in_time_is_counted() {
    let options = TlsOptions::new().shutdown(Shutdown::Lazy);
    let mut wired = Wired::open(SslVersion::TLS1_3, options);
    wired.bev().output().add(&vec![1; 1 << 20]);
    wired.rest(Duration::from_millis(50));
    let (_, left) = wired.sim.lengths(wired.id).expect("it is open");
    let mut read = 0;
    let mut want = left;
    while want > 0 {
        // The session has taken all, and the socket not.
        read += wired.sim.read(wired.peer).len();
        wired.rest(Duration::from_millis(1));
        want = wired.sim.lengths(wired.id).expect("it is open").1;
    }
    assert!(read < 1 << 20, "the socket below has taken everything");
    wired.bev().close_within(Duration::from_secs(1));
    wired.rest(Duration::from_secs(3));
    wired.assert_empty("nobody reads the rest");
    assert_eq!(wired.sim.core().stats().goodbyes_lost, 1);
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Cut {
    Fin,
    Reset,
    Goodbye,
}

impl Cut {
    fn end(self, wired: &mut Wired) {
        match self {
            Self::Fin => wired.sim.half_close(wired.peer),
            Self::Reset => wired.sim.reset(wired.peer),
            Self::Goodbye => {
                let _goodbye = wired.tls.shutdown();
            }
        }
    }
}

#[test]
fn only_a_goodbye_is_an_end_unless_a_bare_one_is_allowed_and_a_reset_never_is() {
    let bytes = b"before the end";
    for (version, role) in VERSIONS.into_iter().flat_map(|it| ROLES.map(|role| (it, role))) {
        for (cut, dirty, end) in [
            (Cut::Goodbye, false, "READING | EOF"),
            (Cut::Goodbye, true, "READING | EOF"),
            (Cut::Fin, false, "READING | ERROR"),
            (Cut::Fin, true, "READING | EOF"),
            (Cut::Reset, false, "ERROR"),
            (Cut::Reset, true, "ERROR"),
        ] {
            let options = TlsOptions::new().allow_dirty_shutdown(dirty);
            let mut wired = Wired::as_one(role, &context(version), options, |_| {}).opened();
            assert_eq!(wired.bev().allow_dirty_shutdown(), Some(dirty));
            wired.write(bytes);
            wired.run();
            cut.end(&mut wired);
            wired.run_for(Duration::from_secs(6));
            let told = wired.notes.all();
            let case = format!("{version:?} {role:?} {cut:?} dirty {dirty}: {told:?}");
            assert_eq!(told.len(), 3, "{case}");
            assert_eq!(told[1], format!("read {}", bytes.len()), "{case}");
            let flags = told[2].split(')').next().expect("flags");
            assert!(flags.ends_with(end), "{case}");
            if cut == Cut::Fin && !dirty {
                assert!(told[2].contains("without close_notify"), "{case}");
            }
            wired.assert_empty(&case);
        }
    }
}

#[test]
fn nothing_is_told_behind_an_error_though_its_alert_finds_no_way_out() {
    for version in VERSIONS {
        let mut wired = Wired::open(version, TlsOptions::new());
        let noter = Noter(wired.notes.clone());
        wired.bev().set_handler(noter).expect("it is on top");
        wired.bev().disable(Direction::Read);
        wired.rest(Duration::from_millis(5));
        wired.outgoing().extend(b"this is no record");
        wired.send();
        wired.rest(Duration::from_millis(5));
        wired.sim.reset(wired.peer);
        wired.rest(Duration::from_millis(5));
        wired.bev().enable(Direction::Read);
        wired.rest(Duration::from_secs(1));
        let told = wired.notes.all();
        let fault = told.len() == 2 && told[1].contains("ERROR) the peer");
        assert!(fault, "{version:?}: {told:?}");
    }
}

#[test]
fn each_side_may_end_its_half_and_read_on() {
    for version in VERSIONS {
        let mut wired = Wired::open(version, TlsOptions::new());
        wired.bev().output().add(b"all");
        wired.bev().shutdown_write();
        wired.run();
        assert_eq!((wired.got.as_slice(), wired.heard_goodbye), (&b"all"[..], true));
        assert!(wired.is_there());
        wired.write(&[2; 40_000]);
        wired.run();
        assert_eq!(wired.bev().input().len(), 40_000, "{version:?}");
        let _goodbye = wired.tls.shutdown();
        wired.run();
        wired.assert_empty(&format!("{version:?}"));
    }
}

/// How what an open session is told of an end begins.
fn told_of(cut: Cut, dirty: bool) -> &'static str {
    match (cut, dirty) {
        (Cut::Reset, _) => "EventFlags(READING | ERROR): connection reset",
        (Cut::Goodbye, _) | (Cut::Fin, true) => "EventFlags(READING | EOF)",
        (Cut::Fin, false) => "EventFlags(READING | ERROR): the peer closed without close_notify",
    }
}

/// Where in the course of a session the wire ends.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Place {
    /// Within the client's first message, and behind it.
    Hello(usize),
    /// Within a record.
    Record,
    /// Once the core has ended its writing, and within a record then.
    Half,
    HalfRecord,
    /// While new keys are made: under TLS 1.2 the core waits for the peer's second flight.
    Rekeying,
}

#[test]
fn an_end_out_of_place_is_told_once_and_a_reset_is_no_end() {
    use TlsState::{Accepting, Connecting};
    let places = [
        (Accepting, Place::Hello(50)),
        (Accepting, Place::Hello(usize::MAX)),
        (Accepting, Place::Record),
        (Accepting, Place::Half),
        (Accepting, Place::HalfRecord),
        (Accepting, Place::Rekeying),
        (Connecting, Place::Hello(50)),
        (Connecting, Place::Record),
        (Connecting, Place::Half),
        (Connecting, Place::HalfRecord),
    ];
    let cuts = [(Cut::Fin, false), (Cut::Fin, true), (Cut::Reset, false), (Cut::Reset, true)];
    for (place, (cut, dirty)) in places.into_iter().flat_map(|it| cuts.map(|cut| (it, cut))) {
        let (role, place) = place;
        let expected = match (place, cut, dirty) {
            (Place::Hello(_), Cut::Reset, _) => "EventFlags(ERROR): connection reset",
            (Place::Hello(_), ..) => "EventFlags(ERROR): the peer closed during the handshake",
            // Where a protocol above marks its own end it misses the rest of a record as well.
            _ => told_of(cut, dirty),
        };
        for version in VERSIONS {
            let case = format!("{version:?} {role:?} {place:?} {cut:?} dirty {dirty}");
            let options = TlsOptions::new().allow_dirty_shutdown(dirty);
            let wired = Wired::as_one(role, &context(version), options, |_| {});
            let mut wired = brought_to(place, wired);
            let (told, turns) = (wired.notes.all().len(), wired.sim.core().stats().turns);
            cut.end(&mut wired);
            wired.rest(Duration::from_secs(40));
            let all = wired.notes.all();
            let [end] = &all[told..] else { panic!("{case}: {all:?}") };
            assert!(end.starts_with(expected), "{case}: {end}");
            wired.assert_empty(&case);
            let spent = wired.sim.core().stats().turns - turns;
            assert!(spent < 20, "{case}: {spent} turns");
        }
    }
}

fn brought_to(place: Place, mut wired: Wired) -> Wired {
    let is_handshake = matches!(place, Place::Hello(_));
    if is_handshake {
        // A client speaks first.
        wired.rest(Duration::from_millis(5));
        wired.receive();
        let _begun = wired.tls.do_handshake();
    } else {
        wired = wired.opened();
    }
    if matches!(place, Place::Half | Place::HalfRecord) {
        wired.bev().shutdown_write();
        wired.run();
        assert!(wired.heard_goodbye);
    }
    let sent = match place {
        Place::Hello(sent) => sent,
        Place::Half => 0,
        Place::Record | Place::HalfRecord => {
            wired.write(&[7; 1_000]);
            500
        }
        Place::Rekeying => {
            wired.bev().renegotiate().expect("it may");
            wired.rest(Duration::from_millis(5));
            // The request is answered by a first message, or by keys that are not sent.
            wired.receive();
            match wired.tls.ssl().version2() {
                Some(SslVersion::TLS1_3) => 0,
                _ => usize::MAX,
            }
        }
    };
    wired.outgoing().truncate(sent);
    wired.send();
    wired.rest(Duration::from_millis(20));
    wired
}

/// What keeps the reader from what has come.
#[derive(Clone, Copy, Debug)]
enum Held {
    Mark,
    /// All that comes is in the input, which is at its mark then.
    Full,
    Limit,
}

const HELD: [Held; 3] = [Held::Mark, Held::Full, Held::Limit];

#[test]
fn an_end_behind_bytes_that_are_held_back_is_told_behind_them_and_a_reset_is_no_end() {
    const ALL: usize = 1_000;
    for (held, cut, dirty) in HELD.into_iter().flat_map(|held| {
        let cuts = [(Cut::Goodbye, false), (Cut::Fin, false), (Cut::Fin, true)];
        let cuts = cuts.into_iter().chain([(Cut::Reset, false), (Cut::Reset, true)]);
        cuts.map(move |(cut, dirty)| (held, cut, dirty))
    }) {
        for (version, role) in VERSIONS.into_iter().flat_map(|it| ROLES.map(|role| (it, role))) {
            let case = format!("{version:?} {role:?} {held:?} {cut:?} dirty {dirty}");
            let options = TlsOptions::new().allow_dirty_shutdown(dirty);
            let mut wired = Wired::as_one(role, &context(version), options, |_| {}).opened();
            match held {
                Held::Mark => wired.bev().set_read_watermark(0, 100),
                Held::Full => wired.bev().set_read_watermark(0, ALL),
                Held::Limit => {
                    let slow = per_second(100).with_burst(100).expect("valid");
                    wired.bev().set_rate_limit(Some(slow));
                }
            }
            wired.write(&[7; ALL]);
            wired.send();
            wired.rest(Duration::from_millis(20));
            cut.end(&mut wired);
            wired.send();
            wired.rest(Duration::from_secs(2));
            let told = wired.notes.all();
            assert!(!told.iter().any(|it| it.contains("READING")), "{case}: too early: {told:?}");
            let mut bev = wired.bev();
            bev.set_read_watermark(0, 0);
            bev.set_rate_limit(None);
            drop(bev);
            let turns = wired.sim.core().stats().turns;
            wired.rest(Duration::from_secs(40));
            let all = wired.notes.all();
            let [.., read, end] = &all[..] else { panic!("{case}: {all:?}") };
            assert_eq!(*read, format!("read {ALL}"), "{case}");
            let more = if matches!(held, Held::Full) { 1 } else { 2 };
            assert_eq!(all.len(), told.len() + more, "{case}: {all:?}");
            assert!(end.starts_with(told_of(cut, dirty)), "{case}: {end}");
            wired.assert_empty(&case);
            let spent = wired.sim.core().stats().turns - turns;
            assert!(spent < 20, "{case}: {spent} turns");
        }
    }
}
