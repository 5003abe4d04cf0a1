//! New keys in the middle of a session: what is in flight, what is held up, and what ends it.

use std::time::Duration;

use sluicegate::openssl::ssl::{SslOptions, SslVersion};
use sluicegate::tls::{Charge, Shutdown};
use sluicegate::{BevId, Direction, Group, TlsOptions, TlsState, TokenBucketConfig};

use crate::restart::{Noter, Stays};
use crate::rig::{Ends, Keeper, VERSIONS, allow_new_keys, context, context_with, count, over_pair};
use crate::wired::Wired;

/// More than a session keeps while nobody reads.
const MUCH: usize = 200_000;

fn on(ends: &mut Ends, id: BevId, what: impl FnOnce(&mut sluicegate::BevMut<'_>)) {
    what(&mut ends.sim.core().get(id).expect("it is open"));
}

#[test]
fn more_in_flight_than_is_kept_waits_for_the_reader_and_breaks_nothing() {
    for version in VERSIONS {
        let mut ends = over_pair(version, TlsOptions::new());
        ends.run();
        let (client, server) = (ends.client, ends.server);
        on(&mut ends, server, |bev| bev.disable(Direction::Read));
        ends.add(client, &[1; MUCH]);
        ends.run();
        // The client's answer is behind that, and does not come through.
        on(&mut ends, server, |bev| bev.renegotiate().expect("it may"));
        ends.run();
        on(&mut ends, client, |bev| bev.disable(Direction::Read));
        ends.add(server, &[2; MUCH]);
        ends.run();
        ends.add(client, &[3; MUCH]);
        // Longer than a handshake may take: nobody waits for the peer.
        ends.sim.run_for(Duration::from_secs(15));
        for id in [client, server] {
            on(&mut ends, id, |bev| bev.enable(Direction::Read));
        }
        ends.sim.run_for(Duration::from_secs(2));
        for told in &ends.told {
            assert_eq!(count(&told.all(), "ERROR"), 0, "{version:?}: {:?}", told.all());
        }
        assert_eq!(count(&ends.told[1].all(), "CONNECTED"), 2, "{version:?}");
        // The server echoes what it gets, behind what it has said itself.
        on(&mut ends, client, |bev| {
            let mut all = vec![0; bev.input().len()];
            bev.input().copy_out(0, &mut all);
            let (own, echoed) = all.split_at(MUCH);
            assert!(own.iter().all(|&byte| byte == 2), "{version:?}");
            assert_eq!(echoed, [[1; MUCH], [3; MUCH]].concat(), "{version:?}");
        });
    }
}

#[test]
fn an_end_while_new_keys_are_made_is_announced_when_they_are_there() {
    type End = fn(&mut sluicegate::BevMut<'_>);
    let ways: [(&str, End); 2] =
        [("close", |bev| bev.close()), ("shutdown_write", |bev| bev.shutdown_write())];
    for shutdown in [Shutdown::default(), Shutdown::Lazy] {
        for ((name, end), last) in ways.into_iter().flat_map(|way| [(way, ""), (way, "last")]) {
            let case = format!("{name} after {last:?}, {shutdown:?}");
            let mut wired = Wired::open(SslVersion::TLS1_2, TlsOptions::new().shutdown(shutdown));
            wired.bev().renegotiate().expect("it may");
            wired.rest(Duration::from_millis(5));
            // The request is answered, and what follows waits for the peer.
            wired.exchange();
            wired.rest(Duration::from_millis(5));
            wired.bev().output().add(last.as_bytes());
            end(&mut wired.bev());
            wired.rest(Duration::from_millis(500));
            assert!(wired.is_there(), "{case}: it waits for the peer");
            wired.run();
            let told = wired.notes.all();
            assert_eq!((&wired.got[..], wired.heard_goodbye), (last.as_bytes(), true), "{case}");
            assert_eq!(count(&told, "ERROR"), 0, "{case}: {told:?}");
        }
    }
}

#[test]
fn a_close_while_new_keys_are_made_waits_no_longer_than_for_a_handshake() {
    let options = TlsOptions::new().handshake_timeout(Some(Duration::from_secs(3)));
    let mut wired = Wired::open(SslVersion::TLS1_2, options);
    wired.bev().renegotiate().expect("it may");
    wired.rest(Duration::from_millis(5));
    wired.exchange();
    wired.rest(Duration::from_millis(5));
    wired.bev().close();
    wired.rest(Duration::from_secs(2));
    assert!(wired.is_there());
    wired.rest(Duration::from_secs(2));
    wired.assert_empty("nothing came");
}

#[test]
fn new_keys_begin_also_in_the_middle_of_a_record_that_nobody_reads() {
    for is_cut in [false, true] {
        let mut wired = Wired::open(SslVersion::TLS1_2, TlsOptions::new());
        wired.bev().set_read_watermark(0, 10);
        wired.write(&[7; 1_000]);
        let all = wired.outgoing().len();
        wired.send_first(if is_cut { all / 2 } else { all });
        wired.rest(Duration::from_millis(5));
        wired.bev().renegotiate().expect("it may");
        wired.rest(Duration::from_millis(5));
        wired.run();
        let told = wired.notes.all();
        assert_eq!(count(&told, "CONNECTED"), 2, "cut {is_cut}: {told:?}");
        wired.bev().set_read_watermark(0, 0);
        wired.run();
        assert_eq!(wired.bev().input().len(), 1_000, "cut {is_cut}");
    }
}

/// With the client, whose peer wants new keys, in the middle of making them.
fn between_keys(options: TlsOptions, behind: &[u8]) -> Ends {
    let mut ends = over_pair(SslVersion::TLS1_2, options);
    ends.run();
    let (client, server) = (ends.client, ends.server);
    // A trickle, so that there is a moment between the wish and what follows it.
    let trickle = TokenBucketConfig::new(50, 50, 1 << 20, 1 << 20, Some(Duration::from_secs(1)));
    let trickle = trickle.expect("a limit");
    on(&mut ends, client, |bev| bev.set_rate_limit(Some(trickle)));
    on(&mut ends, server, |bev| bev.renegotiate().expect("it may"));
    ends.run();
    ends.add(server, behind);
    for _ in 0..100 {
        let mut bev = ends.sim.core().get(client).expect("it is open");
        if !bev.ssl().expect("a session").is_init_finished() {
            bev.set_read_watermark(0, 10);
            bev.set_rate_limit(None);
            drop(bev);
            return ends;
        }
        drop(bev);
        ends.sim.run_for(Duration::from_millis(100));
    }
    panic!("the client was never asked for new keys");
}

#[test]
fn new_keys_that_the_peer_wants_are_made_though_nobody_reads() {
    let mut ends = between_keys(TlsOptions::new(), &[5; 100]);
    let client = ends.client;
    let twice = ends.sim.core().get(client).expect("it is open").renegotiate();
    let twice = twice.expect_err("they are being made").to_string();
    assert!(twice.contains("already"), "{twice}");
    ends.sim.run_for(Duration::from_secs(15));
    assert_eq!(count(&ends.told[1].all(), "CONNECTED"), 2, "{:?}", ends.told[1].all());
    on(&mut ends, client, |bev| {
        bev.set_read_watermark(0, 0);
        bev.output().add(b"answer");
    });
    ends.run();
    on(&mut ends, client, |bev| assert_eq!(bev.input().len(), 106, "with the echo"));
    for told in ends.told {
        assert_eq!(count(&told.all(), "ERROR"), 0, "{:?}", told.all());
    }
}

#[test]
fn what_was_read_over_comes_before_the_end() {
    const KEPT: usize = 30_000;
    for is_dirty in [false, true] {
        let options = TlsOptions::new().allow_dirty_shutdown(is_dirty);
        let mut wired = Wired::open(SslVersion::TLS1_2, options);
        wired.bev().disable(Direction::Read);
        wired.bev().renegotiate().expect("it may");
        wired.rest(Duration::from_millis(5));
        wired.write(&[5; KEPT]);
        // And the answer to the request; what follows it never comes.
        wired.exchange();
        wired.rest(Duration::from_millis(5));
        wired.bev().output().add(b"must wait");
        wired.sim.half_close(wired.peer);
        wired.rest(Duration::from_secs(1));
        assert_eq!(wired.notes.all().len(), 1, "{:?}", wired.notes.all());
        wired.bev().enable(Direction::Read);
        wired.rest(Duration::from_secs(1));
        let told = wired.notes.all();
        let read = told.iter().rposition(|it| *it == format!("read {KEPT}"));
        let end = told.iter().position(|it| it.contains("EOF") || it.contains("ERROR"));
        assert!(read.is_some() && read < end, "{is_dirty}: {told:?}");
    }
}

#[test]
fn an_end_that_new_keys_have_met_is_told_to_one_who_reads() {
    for (says_goodbye, end) in [(false, "READING | ERROR"), (true, "READING | EOF")] {
        let mut wired = Wired::open(SslVersion::TLS1_2, TlsOptions::new());
        wired.bev().disable(Direction::Read);
        // The answer is awaited, though nobody reads.
        wired.bev().renegotiate().expect("it may");
        wired.rest(Duration::from_millis(5));
        if says_goodbye {
            wired.tls.shutdown().expect("the pipe takes all");
            wired.send();
        }
        wired.sim.half_close(wired.peer);
        wired.rest(Duration::from_secs(1));
        assert_eq!(wired.notes.all().len(), 1, "{:?}", wired.notes.all());
        wired.bev().enable(Direction::Read);
        wired.rest(Duration::from_secs(1));
        let told = wired.notes.all();
        assert!(told.len() == 2 && told[1].contains(end), "{told:?}");
    }
}

#[test]
fn what_comes_behind_a_goodbye_keeps_nobody_busy() {
    let mut wired = Wired::open(SslVersion::TLS1_2, TlsOptions::new());
    wired.bev().disable(Direction::Read);
    wired.bev().renegotiate().expect("it may");
    wired.rest(Duration::from_millis(5));
    wired.write(&[5; 1_000]);
    wired.tls.shutdown().expect("the pipe takes all");
    wired.outgoing().extend(b"more");
    wired.send();
    let before = wired.sim.core().stats().turns;
    wired.rest(Duration::from_millis(5));
    let turns = wired.sim.core().stats().turns - before;
    assert!(turns < 20, "{turns} turns, and nothing to do");
    wired.bev().enable(Direction::Read);
    wired.rest(Duration::from_millis(5));
    let told = wired.notes.all();
    assert_eq!(told[1..], ["read 1000", "EventFlags(READING | EOF)"], "{told:?}");
}

#[test]
fn a_goodbye_in_the_middle_of_new_keys_ends_them() {
    let (state, context) = (TlsState::Connecting, context(SslVersion::TLS1_2));
    for behind in ["", "more"] {
        let options = TlsOptions::new().handshake_timeout(None);
        let mut wired = Wired::as_one(state, &context, options, |_| {}).opened();
        wired.bev().renegotiate().expect("it may");
        wired.rest(Duration::from_millis(5));
        wired.tls.shutdown().expect("the pipe takes all");
        wired.outgoing().extend(behind.as_bytes());
        wired.send();
        // The handler closes at the end of the stream.
        wired.rest(Duration::from_millis(5));
        let told = wired.notes.all();
        assert_eq!(told[1..], ["EventFlags(READING | EOF)"], "{behind:?}: {told:?}");
        wired.assert_empty("nothing can come any more");
    }
}

#[test]
fn an_end_behind_the_wish_for_new_keys_ends_it_too_and_fails_nobody() {
    let mut wired = Wired::open(SslVersion::TLS1_2, TlsOptions::new());
    wired.write(&[7; 1_000]);
    let half = wired.outgoing().len() / 2;
    wired.send_first(half);
    wired.rest(Duration::from_millis(5));
    // They cannot begin in the middle of a record.
    wired.bev().renegotiate().expect("it may");
    wired.bev().shutdown_write();
    wired.rest(Duration::from_millis(5));
    wired.run();
    let told = wired.notes.all();
    assert_eq!(told[1..], ["read 1000"], "new keys are of no use any more");
    assert!(wired.heard_goodbye);
    wired.rest(Duration::from_secs(30));
    assert_eq!(wired.notes.all(), told, "nobody waits for what the peer cannot do");
}

#[test]
fn an_end_behind_the_wish_for_new_keys_waits_for_none_that_cannot_begin() {
    let (state, context) = (TlsState::Connecting, context(SslVersion::TLS1_2));
    let mut wired = Wired::as_one(state, &context, TlsOptions::new(), |_| {}).opened();
    for _ in 0..3 {
        wired.write(&[7; 1_000]);
    }
    wired.send_first(500);
    wired.rest(Duration::from_millis(5));
    wired.bev().renegotiate().expect("it may");
    // Each piece ends a record and begins another, so a handshake would meet what is on its way.
    while !wired.outgoing().is_empty() {
        let piece = wired.outgoing().len().min(1_000);
        wired.send_first(piece);
        wired.rest(Duration::from_millis(5));
        wired.bev().shutdown_write();
    }
    wired.rest(Duration::from_secs(30));
    let told = wired.notes.all();
    assert_eq!(told.last().map(String::as_str), Some("read 3000"), "{told:?}");
    assert_eq!(count(&told, "ERROR"), 0, "{told:?}");
    wired.receive();
    assert!(wired.heard_goodbye);
}

#[test]
fn new_keys_that_both_want_are_made_once_and_writing_goes_on() {
    let context = context_with(SslVersion::TLS1_2, allow_new_keys);
    for state in [TlsState::Connecting, TlsState::Accepting] {
        let mut wired = Wired::as_one(state, &context, TlsOptions::new(), |_| {}).opened();
        wired.ask_for_keys();
        let half = wired.outgoing().len() / 2;
        wired.send_first(half);
        wired.rest(Duration::from_millis(5));
        // They cannot begin in the middle of a record, which is the peer's wish for them.
        wired.bev().renegotiate().expect("it may");
        wired.rest(Duration::from_millis(5));
        wired.run();
        wired.bev().output().add(b"and on");
        wired.run();
        let told = wired.notes.all();
        assert_eq!(told, ["EventFlags(CONNECTED)"; 2], "{state:?}");
        assert_eq!(wired.got, b"and on", "{state:?}");
    }
}

#[test]
fn new_keys_that_reading_and_writing_hold_up_for_each_other_fail_in_time() {
    let context = context_with(SslVersion::TLS1_2, allow_new_keys);
    let options = TlsOptions::new().handshake_timeout(Some(Duration::from_secs(3)));
    let mut wired = Wired::as_one(TlsState::Connecting, &context, options, |_| {}).opened();
    // The peer has sent more than is kept aside before it hears of new keys.
    wired.write(&[5; 2 * MUCH]);
    wired.bev().renegotiate().expect("it may");
    let more = wired.bev().max_output() + 1;
    wired.bev().output().add(&vec![7; more]);
    wired.send();
    wired.rest(Duration::from_secs(2));
    assert_eq!(wired.notes.all(), ["EventFlags(CONNECTED)"], "there is time yet");
    wired.rest(Duration::from_secs(2));
    let told = wired.notes.all();
    assert!(told.iter().any(|it| it.contains("ERROR") && it.contains("max_output")), "{told:?}");
}

#[test]
fn an_object_that_allows_no_new_keys_says_so_as_local_misuse() {
    let context = context_with(SslVersion::TLS1_2, |builder| {
        builder.set_options(SslOptions::NO_RENEGOTIATION);
    });
    let mut wired = Wired::by(&context, TlsOptions::new(), |_| {}).opened();
    let error = wired.bev().renegotiate().expect_err("it was forbidden");
    assert!(error.to_string().starts_with("local misuse: SSL_OP_NO_RENEGOTIATION"), "{error}");
}

#[test]
fn a_peer_that_begins_new_keys_and_falls_silent_is_given_up() {
    let options = TlsOptions::new().handshake_timeout(Some(Duration::from_secs(3)));
    let mut wired = Wired::open(SslVersion::TLS1_2, options);
    wired.bev().renegotiate().expect("it may");
    wired.rest(Duration::from_millis(5));
    // The ClientHello arrives, and nothing after it.
    wired.exchange();
    wired.rest(Duration::from_secs(2));
    wired.bev().output().add(b"must wait");
    assert!(wired.is_there());
    wired.rest(Duration::from_secs(2));
    let told = wired.notes.all();
    assert_eq!(count(&told, "did not finish the handshake within 3s"), 1, "{told:?}");
    wired.assert_empty("the stream is closed");
}

#[test]
fn a_peer_that_ignores_the_wish_for_new_keys_is_left_alone() {
    let options = TlsOptions::new().handshake_timeout(Some(Duration::from_secs(3)));
    let mut wired = Wired::open(SslVersion::TLS1_2, options);
    wired.bev().renegotiate().expect("it may");
    wired.rest(Duration::from_secs(10));
    assert!(wired.is_there(), "{:?}", wired.notes.all());
    wired.run();
    assert_eq!(count(&wired.notes.all(), "CONNECTED"), 2);
    wired.rest(Duration::from_secs(10));
    assert!(wired.is_there(), "{:?}", wired.notes.all());
}

#[test]
fn what_was_read_over_stays_within_a_limit_on_plaintext() {
    // The keys are being made and the reader has leave for less than there is, when a record that
    // is none ends the session.
    const BURST: u64 = 100;
    let options = TlsOptions::new().charge(Charge::Plaintext);
    let mut wired = Wired::open(SslVersion::TLS1_2, options);
    let limit = TokenBucketConfig::new(BURST, BURST, 1 << 20, 1 << 20, None).expect("a limit");
    let group = Group::builder(limit).clock(wired.sim.clock()).build().expect("a group");
    wired.bev().join(&group).expect("there is a seat");
    wired.bev().renegotiate().expect("it may");
    wired.write(&[5; 1_000]);
    wired.write(&[6; 1_000]);
    let last = wired.outgoing().len() - 1;
    wired.outgoing()[last] ^= 1;
    wired.send();
    wired.rest(Duration::from_millis(50));
    let told = wired.notes.all();
    assert_eq!(count(&told, "ERROR"), 1, "{told:?}");
    assert!(group.totals().0 <= 2 * BURST, "{:?}", group.totals());
}

#[test]
fn a_flood_behind_a_goodbye_is_not_read_though_new_keys_were_begun() {
    let (state, context) = (TlsState::Connecting, context(SslVersion::TLS1_2));
    let mut wired = Wired::as_one(state, &context, TlsOptions::new(), |_| {}).opened();
    wired.bev().set_handler(Stays).expect("it is on top");
    wired.bev().renegotiate().expect("it may");
    wired.rest(Duration::from_millis(5));
    wired.tls.shutdown().expect("the pipe takes all");
    wired.send();
    for _ in 0..100 {
        wired.sim.write(wired.peer, &[0; 64 << 10]);
        wired.rest(Duration::from_millis(5));
    }
    let id = wired.bottom;
    let kept = wired.sim.core().get(id).expect("it is open").input().len();
    assert!(kept < 100_000, "{kept} bytes that nobody will get");
}

#[test]
fn the_time_between_two_cores_is_not_taken_off_that_for_new_keys() {
    let context = context(SslVersion::TLS1_2);
    let (within, moment) = (Duration::from_secs(3), Duration::from_millis(10));
    let options = TlsOptions::new().handshake_timeout(Some(within));
    let mut wired = Wired::as_one(TlsState::Connecting, &context, options, |_| {}).opened();
    wired.bev().renegotiate().expect("it may");
    wired.rest(moment);
    let id = wired.id;
    let detached = wired.sim.core().detach(id).expect("it may leave");
    wired.rest(2 * within);
    let keeper = Keeper { notes: wired.notes.clone(), echoes: false };
    wired.id = wired.sim.core().attach(detached, keeper).expect("it may come");
    wired.write(b"x");
    wired.send();
    wired.rest(within - 2 * moment);
    assert_eq!(wired.notes.all(), ["EventFlags(CONNECTED)", "read 1"], "it has as much left");
    wired.rest(2 * moment);
    let last = wired.notes.all().pop().unwrap_or_default();
    assert!(last.contains("did not finish the handshake"), "{last}");
}

#[test]
fn a_reset_while_new_keys_are_made_is_told_once() {
    let context = context(SslVersion::TLS1_2);
    let connects = TlsState::Connecting;
    let mut wired = Wired::as_one(connects, &context, TlsOptions::new(), |_| {}).opened();
    let noter = Noter(wired.notes.clone());
    wired.bev().set_handler(noter).expect("it is on top");
    wired.bev().renegotiate().expect("it may");
    wired.rest(Duration::from_millis(10));
    let peer = wired.peer;
    wired.sim.reset(peer);
    wired.rest(Duration::from_secs(30));
    let told = wired.notes.all();
    assert_eq!(told[1..], ["EventFlags(READING | ERROR) connection reset"], "{told:?}");
}
