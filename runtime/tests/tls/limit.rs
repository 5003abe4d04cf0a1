//! Limits: what is counted, to the byte, and that no plaintext is stranded where they suspend.

use std::time::Duration;

use sluicegate::openssl::ssl::{Ssl, SslVersion};
use sluicegate::sim::Simulation;
use sluicegate::tls::Charge;
use sluicegate::{Direction, Group, Suspend, TlsOptions, TlsState};

use crate::outer::audit::{burst, worst_excess};
use crate::outer::log::{Log, bytes};
use crate::outer::sim::per_second;
use crate::rig::{Keeper, Notes, VERSIONS, context};
use crate::wired::Wired;

const CHARGES: [Charge; 2] = [Charge::Ciphertext, Charge::Plaintext];

/// A burst far below one record, so that every record is cut to the grant.
const BURST: u64 = 300;

#[test]
fn ciphertext_is_counted_at_the_socket_to_the_byte_and_cut_within_records() {
    const RATE: u64 = 20_000;
    for version in VERSIONS {
        for by_group in [false, true] {
            let config = per_second(RATE).with_burst(BURST).expect("valid");
            let log = Log::default();
            let options = TlsOptions::new().handshake_timeout(None);
            let mut wired = Wired::observed(version, options, |sim| sim.observe(log.clone()));
            if by_group {
                let clock = wired.sim.clock();
                let group = Group::builder(config.clone()).clock(clock).build().expect("valid");
                wired.bev().join(&group).expect("a seat");
            } else {
                wired.bev().set_rate_limit(Some(config.clone()));
            }
            wired.bev().output().add(&[1; 20_000]);
            let up = vec![2; 20_000];
            wired.exchange();
            wired.run_for(Duration::from_secs(2));
            wired.write(&up);
            wired.run_for(Duration::from_secs(3));
            let case = format!("{version:?}, group {by_group}: {:?}", wired.notes.all());
            assert_eq!(wired.got.len(), 20_000, "{case}");
            assert_eq!(wired.bev().input().len(), 20_000, "{case}");
            for (direction, crossed) in Direction::ALL.into_iter().zip(wired.crossed) {
                let ours = log.of(direction);
                assert_eq!(bytes(&ours), crossed as u64, "{case}");
                assert!(ours.iter().all(|it| it.bev == wired.bottom), "{case}");
                assert!(ours.iter().all(|it| it.bytes <= BURST), "{case}");
                assert_eq!(worst_excess(&ours, RATE, burst(&config)), 0, "{case}");
            }
        }
    }
}

#[test]
fn plaintext_is_counted_over_the_session_if_asked_for() {
    for version in VERSIONS {
        let log = Log::default();
        let options = TlsOptions::new().charge(Charge::Plaintext);
        let mut wired = Wired::observed(version, options, |sim| sim.observe(log.clone()));
        let config = per_second(20_000).with_burst(BURST).expect("valid");
        wired.bev().set_rate_limit(Some(config));
        wired.run_for(Duration::from_secs(1));
        wired.bev().output().add(&[1; 20_000]);
        wired.write(&[2; 20_000]);
        wired.run_for(Duration::from_secs(3));
        let case = format!("{version:?}: {:?}", wired.notes.all());
        assert_eq!(wired.got.len(), 20_000, "{case}");
        assert_eq!(wired.bev().input().len(), 20_000, "{case}");
        for direction in Direction::ALL {
            let ours = log.those(|it| it.direction == direction && it.bev == wired.id);
            assert_eq!(bytes(&ours), 20_000, "{case}");
            assert_eq!(worst_excess(&ours, 20_000, BURST), 0, "{case}");
        }
    }
}

/// What keeps plaintext inside the SSL object, and what lets it out.
#[derive(Clone, Copy, Debug)]
enum Held {
    Mark,
    Disabled,
    OwnLimit(Charge),
    Group(Charge),
}

#[test]
fn plaintext_inside_the_object_comes_out_though_the_wire_is_silent() {
    const ALL: usize = 16_384;
    let limits = CHARGES.into_iter().flat_map(|it| [Held::OwnLimit(it), Held::Group(it)]);
    for held in [Held::Mark, Held::Disabled].into_iter().chain(limits) {
        for version in VERSIONS {
            let options = match held {
                Held::OwnLimit(charge) | Held::Group(charge) => TlsOptions::new().charge(charge),
                _ => TlsOptions::new(),
            };
            let mut wired = Wired::open(version, options);
            let slow = per_second(1_000).with_burst(100).expect("valid");
            let clock = wired.sim.clock();
            let mut bev = wired.bev();
            match held {
                Held::Mark | Held::Disabled => bev.set_read_watermark(0, 100),
                Held::OwnLimit(_) => bev.set_rate_limit(Some(slow)),
                Held::Group(_) => {
                    let group = Group::builder(slow).clock(clock).build().expect("valid");
                    bev.join(&group).expect("a seat");
                }
            }
            drop(bev);
            let bytes: Vec<u8> = (0..ALL).map(|i| i as u8).collect();
            wired.write(&bytes);
            wired.exchange();
            wired.rest(Duration::from_secs(2));
            let case = format!("{held:?}, {version:?}");
            assert!(wired.bev().input().len() < ALL, "{case}: it was not held");
            match held {
                Held::Mark => wired.bev().set_read_watermark(0, 0),
                Held::Disabled => {
                    wired.bev().disable(Direction::Read);
                    wired.bev().set_read_watermark(0, 0);
                    wired.rest(Duration::from_secs(1));
                    assert!(wired.bev().input().len() < ALL, "{case}: it was not held");
                    wired.bev().enable(Direction::Read);
                }
                Held::OwnLimit(_) => wired.bev().set_rate_limit(None),
                Held::Group(_) => wired.bev().leave(),
            }
            wired.rest(Duration::from_secs(1));
            assert_eq!(wired.bev().input().pull_up(ALL), Some(&bytes[..]), "{case}");
        }
    }
}

#[test]
fn the_size_of_an_operation_is_a_records_unless_somebody_has_set_it() {
    let mut sim = Simulation::new(1);
    let context = context(SslVersion::TLS1_3);
    let mut filtered = |set: Option<usize>| {
        let (socket, _peer) = sim.socket("10.0.0.2:443".parse().expect("an address"));
        let keeper = Keeper { notes: Notes::default(), echoes: false };
        let bottom = sim.core().adopt(socket, keeper).expect("there is room");
        let mut bev = sim.core().get(bottom).expect("it is open");
        if let Some(bytes) = set {
            bev.set_max_single_write(bytes);
        }
        let usual = bev.max_single_read();
        drop(bev);
        let ssl = Ssl::new(&context).expect("an object");
        let options = TlsOptions::new();
        sim.core().tls_filter(bottom, ssl, TlsState::Accepting, options).expect("a session");
        let bev = sim.core().get(bottom).expect("it is open");
        (usual, bev.max_single_read(), bev.max_single_write())
    };
    let (usual, read, write) = filtered(None);
    assert!(read > usual + 1_000 && write == read, "{usual} {read} {write}");
    assert_eq!(filtered(Some(5_000)), (usual, read, 5_000));
}

/// What is asked of a limit, of each of the streams of a session.
fn answers(wired: &mut Wired) -> [[Option<i64>; 2]; 2] {
    let (top, bottom) = (wired.id, wired.bottom);
    [top, bottom].map(|id| {
        let mut bev = wired.sim.core().get(id).expect("it is open");
        assert_eq!(bev.rate_limit().is_some(), bev.read_limit().is_some());
        [bev.read_limit(), bev.write_limit()]
    })
}

#[test]
fn what_is_asked_of_a_session_is_answered_where_its_bytes_are_charged() {
    const RATE: u64 = 1_000;
    const BURST: u64 = 5_000;
    for (version, charge) in VERSIONS.into_iter().flat_map(|it| CHARGES.map(|by| (it, by))) {
        let case = format!("{version:?} {charge:?}");
        let mut wired = Wired::open(version, TlsOptions::new().charge(charge));
        let below = charge == Charge::Ciphertext;
        assert_eq!(answers(&mut wired), [[None; 2]; 2], "{case}");
        let refused = wired.bev().decrement_read_limit(1);
        refused.expect_err("there is no limit to take from");

        let config = per_second(RATE).with_burst(BURST).expect("valid");
        wired.bev().set_rate_limit(Some(config.clone()));
        assert_eq!(wired.bev().rate_limit(), Some(&config), "{case}");
        wired.rest(Duration::from_secs(60));
        let mut bev = wired.bev();
        bev.decrement_read_limit(1_000).expect("there is a limit");
        bev.decrement_write_limit(2_000).expect("there is a limit");
        assert_eq!((bev.max_to_read(), bev.max_to_write()), (4_000, 3_000), "{case}");
        drop(bev);
        let [top, bottom] = answers(&mut wired);
        assert_eq!(top, [Some(4_000), Some(3_000)], "{case}");
        assert_eq!(bottom, if below { top } else { [None; 2] }, "{case}");

        let tight = per_second(RATE).with_burst(700).expect("valid");
        let group = Group::builder(tight).clock(wired.sim.clock()).build().expect("valid");
        wired.bev().join(&group).expect("a seat");
        wired.rest(Duration::from_secs(60));
        let bottom = wired.bottom;
        let joined = wired.sim.core().get(bottom).expect("it is open").group().is_some();
        assert_eq!((wired.bev().group().is_some(), joined), (true, below), "{case}");
        let mut bev = wired.bev();
        for most in [bev.max_to_read(), bev.max_to_write()] {
            assert!((1..=700).contains(&most), "{case}: the lower wins, not {most}");
        }
        bev.leave();
        assert!(bev.group().is_none(), "{case}");
        assert_eq!((bev.max_to_read(), bev.max_to_write()), (5_000, 5_000), "{case}");
        bev.set_rate_limit(None);
        drop(bev);
        assert_eq!(answers(&mut wired), [[None; 2]; 2], "{case}");
    }
}

#[test]
fn a_debt_made_through_the_session_suspends_who_is_charged_and_a_credit_resumes_it() {
    const BURST: i64 = 5_000;
    /// More than the rate pays back while the test waits.
    const DEBT: i64 = 100_000;
    let wait = Duration::from_secs(2);
    let soon = Duration::from_millis(20);
    for (version, charge) in VERSIONS.into_iter().flat_map(|it| CHARGES.map(|by| (it, by))) {
        for direction in Direction::ALL {
            let case = format!("{version:?} {charge:?} {direction:?}");
            let log = Log::default();
            let options = TlsOptions::new().charge(charge);
            let mut wired =
                Wired::observed(version, options, |sim| sim.observe(log.clone())).opened();
            let config = per_second(1_000).with_burst(BURST as u64).expect("valid");
            wired.bev().set_rate_limit(Some(config));
            let charged = match charge {
                Charge::Ciphertext => wired.bottom,
                _ => wired.id,
            };
            let decrement = |wired: &mut Wired, bytes| {
                let mut bev = wired.bev();
                let changed = match direction {
                    Direction::Read => bev.decrement_read_limit(bytes),
                    Direction::Write => bev.decrement_write_limit(bytes),
                };
                changed.expect("there is a limit");
            };
            let is_suspended = |wired: &mut Wired| {
                let bev = wired.sim.core().get(charged).expect("it is open");
                bev.suspended(direction).contains(Suspend::OWN_LIMIT)
            };
            decrement(&mut wired, DEBT);
            log.clear();
            wired.bev().output().add(b"hello");
            wired.write(b"hello");
            wired.run_for(wait);
            assert!(is_suspended(&mut wired), "{case}");
            let moved = log.those(|it| it.bev == charged && it.direction == direction);
            assert_eq!(bytes(&moved), 0, "{case}: in debt");
            let came = |wired: &mut Wired| {
                let input = wired.bev().input().len();
                [input, wired.got.len()]
            };
            let other = match direction {
                Direction::Read => [0, 5],
                Direction::Write => [5, 0],
            };
            assert_eq!(came(&mut wired), other, "{case}: the other direction has no debt");
            // Zero is none either.
            let level = |wired: &mut Wired| match direction {
                Direction::Read => wired.bev().read_limit(),
                Direction::Write => wired.bev().write_limit(),
            };
            let debt = level(&mut wired).expect("there is a limit");
            assert!((-DEBT..-DEBT / 2).contains(&debt), "{case}: {debt}");
            decrement(&mut wired, debt - BURST);
            assert_eq!(level(&mut wired), Some(BURST), "{case}");
            wired.run_for(soon);
            assert!(!is_suspended(&mut wired), "{case}");
            assert_eq!(came(&mut wired), [5, 5], "{case}: {:?}", wired.notes.all());
        }
    }
}
