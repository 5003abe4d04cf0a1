//! Bytes pass, both ways, under each version.

use std::time::Duration;

use sluicegate::openssl::ssl::{Ssl, SslContext, SslMethod, SslStream, SslVersion};
use sluicegate::sim::Simulation;
use sluicegate::tls::into_ssl;
use sluicegate::{Charge, Group, PairOptions, TlsOptions, TlsState, TokenBucketConfig};

use crate::rig::{Keeper, Notes, VERSIONS, context, over_pair};
use crate::wired::{Pipe, Wired};

#[test]
fn an_echo_over_a_pair_and_a_clean_end() {
    for version in VERSIONS {
        for size in [1, 1_000, 16_384, 100_000] {
            let mut ends = over_pair(version, TlsOptions::new());
            let bytes: Vec<u8> = (0..size).map(|i| i as u8).collect();
            ends.add(ends.client, &bytes);
            ends.run();
            let client = ends.client;
            let mut bev = ends.sim.core().get(client).expect("it is open");
            assert_eq!(bev.input().len(), size, "{:?}", ends.told[0].all());
            assert_eq!(bev.input().pull_up(size), Some(&bytes[..]));
            bev.close();
            drop(bev);
            ends.run();
            let told = ends.told[1].all();
            assert_eq!(told[0], "EventFlags(CONNECTED)");
            assert_eq!(told[told.len() - 1], "EventFlags(READING | EOF)");
            assert!(ends.sim.core().get(ends.server).is_none());
            let stats = ends.sim.core().stats();
            assert_eq!((stats.handshakes, stats.handshakes_failed), (2, 0));
            assert_eq!((stats.filters, stats.pair_ends), (0, 0));
        }
    }
}

#[test]
fn new_keys_are_told_as_connected() {
    // By whom they are asked for: only a server may renegotiate, either may update.
    for (version, by) in [(SslVersion::TLS1_2, 1), (SslVersion::TLS1_3, 0), (SslVersion::TLS1_3, 1)]
    {
        let mut ends = over_pair(version, TlsOptions::new());
        ends.run();
        let id = [ends.client, ends.server][by];
        let mut bev = ends.sim.core().get(id).expect("it is open");
        bev.renegotiate().expect("it may");
        bev.output().add(b"after");
        drop(bev);
        ends.run();
        let told = ends.told[by].all();
        assert_eq!(told[..2], ["EventFlags(CONNECTED)", "EventFlags(CONNECTED)"], "{version:?}");
        assert_eq!(ends.told[1 - by].all(), ["EventFlags(CONNECTED)", "read 5"], "{version:?}");
    }
}

#[test]
fn a_server_refuses_a_renegotiation_by_its_client() {
    let mut ends = over_pair(SslVersion::TLS1_2, TlsOptions::new());
    ends.run();
    let client = ends.client;
    ends.sim.core().get(client).expect("it is open").renegotiate().expect("it may ask");
    ends.run();
    let told = ends.told[0].all();
    assert!(told[1].contains("ERROR") && told[1].contains("no renegotiation"), "{told:?}");
}

#[test]
fn what_a_session_holds_comes_out_of_it_though_the_wire_is_silent() {
    for version in VERSIONS {
        let mut ends = over_pair(version, TlsOptions::new());
        ends.run();
        let client = ends.client;
        ends.sim.core().get(client).expect("it is open").set_read_watermark(0, 4);
        ends.add(ends.server, b"0123456789");
        ends.run();
        let mut bev = ends.sim.core().get(client).expect("it is open");
        assert_eq!(bev.input().drain(10), 4, "the rest is inside the object");
        let (lower, ssl) = bev.release_tls().expect("it is the topmost");
        drop(bev);
        let options = TlsOptions::new();
        let again = ends.sim.core().tls_filter(lower, ssl, TlsState::Open, options);
        let again = again.expect("the handshake is over");
        ends.run();
        let mut bev = ends.sim.core().get(again).expect("it is open");
        assert_eq!(bev.input().first(), b"456789", "{version:?}");
    }
}

#[test]
fn a_handshake_takes_nothing_from_a_group_that_counts_plaintext() {
    let limit = TokenBucketConfig::per_second("1MB/s".parse().expect("a rate"));
    let mut ends = over_pair(SslVersion::TLS1_3, TlsOptions::new().charge(Charge::Plaintext));
    let group = Group::builder(limit).clock(ends.sim.clock()).build().expect("a group");
    let client = ends.client;
    ends.sim.core().get(client).expect("it is open").join(&group).expect("there is a seat");
    ends.run();
    assert_eq!((ends.told[0].all().len(), group.totals()), (1, (0, 0)), "CONNECTED alone");
    ends.add(client, &[7; 1_000]);
    ends.run();
    assert_eq!(group.totals(), (1_000, 1_000));
}

#[test]
fn records_that_an_object_has_read_ahead_are_not_stranded() {
    for version in VERSIONS {
        let mut ahead = SslContext::builder(SslMethod::tls()).expect("a context");
        ahead.set_read_ahead(true);
        let mut ends = [ahead.build(), context(version)].map(|context| {
            let ssl = Ssl::new(&context).expect("an object");
            SslStream::new(ssl, Pipe::default()).expect("a stream")
        });
        let pass = |ends: &mut [SslStream<Pipe>; 2]| {
            for (from, to) in [(0, 1), (1, 0)] {
                let bytes = std::mem::take(&mut ends[from].get_mut().outgoing);
                ends[to].get_mut().incoming.extend(bytes);
            }
        };
        for _ in 0..4 {
            let [client, server] = &mut ends;
            let _unfinished = (client.connect(), server.accept());
            pass(&mut ends);
        }
        for record in [b"0123", b"4567", b"89ab"] {
            assert_eq!(ends[1].ssl_write(record).expect("the pipe takes it"), 4);
        }
        pass(&mut ends);
        let mut first = [0; 2];
        assert_eq!(ends[0].ssl_read(&mut first).expect("it has come"), 2);
        let [client, _server] = ends;
        assert!(client.get_ref().incoming.is_empty(), "all of it is inside the object");

        let mut sim = Simulation::new(1);
        let keep = || Keeper { notes: Notes::default(), echoes: false };
        let (bottom, _wire) = sim.core().pair(PairOptions::new(), keep(), keep());
        let (state, options) = (TlsState::Open, TlsOptions::new());
        let top = sim.core().tls_filter(bottom, into_ssl(client), state, options);
        let top = top.expect("the handshake is over");
        sim.core().get(top).expect("it is open").set_read_watermark(0, 5);
        for expected in [&b"23456"[..], b"789ab"] {
            sim.run_for(Duration::from_millis(5));
            let mut bev = sim.core().get(top).expect("it is open");
            let mut found = [0; 9];
            let count = bev.input().copy_out(0, &mut found);
            assert_eq!(&found[..count], expected, "{version:?}");
            bev.input().drain(count);
        }
    }
}

#[test]
fn a_low_mark_below_holds_no_record_back() {
    for (version, low) in VERSIONS.into_iter().flat_map(|it| [(it, 50), (it, 8_000)]) {
        let mut wired = Wired::new(version, TlsOptions::new());
        let bottom = wired.bottom;
        let mut below = wired.sim.core().get(bottom).expect("it is open");
        below.set_read_watermark(low, 0);
        drop(below);
        let mut wired = wired.opened();
        wired.write(b"hello");
        wired.run();
        assert_eq!(wired.bev().input().first(), b"hello", "{version:?}, {low}");
    }
}
