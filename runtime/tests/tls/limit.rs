//! Limits: what is counted, to the byte, and that no plaintext is stranded where they suspend.

use std::time::Duration;

use sluicegate::openssl::ssl::{Ssl, SslVersion};
use sluicegate::sim::Simulation;
use sluicegate::tls::Charge;
use sluicegate::{Direction, Group, TlsOptions, TlsState};

use crate::outer::audit::{burst, worst_excess};
use crate::outer::log::{Log, bytes};
use crate::outer::sim::per_second;
use crate::rig::{Keeper, Notes, context};
use crate::wired::Wired;

const VERSIONS: [SslVersion; 2] = [SslVersion::TLS1_2, SslVersion::TLS1_3];

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
    let charges = [Charge::Plaintext, Charge::Ciphertext];
    let limits = charges.into_iter().flat_map(|it| [Held::OwnLimit(it), Held::Group(it)]);
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
