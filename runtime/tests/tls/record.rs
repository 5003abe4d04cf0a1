//! Records on the wire: full ones of many small writes, several in one call, read many at once.

use sluicegate::openssl::ssl::SslVersion;
use sluicegate::{Direction, TlsOptions};

use crate::outer::log::Log;
use crate::outer::sim::per_second;
use crate::rig::VERSIONS;
use crate::wired::Wired;

/// Most plaintext of a record.
const RECORD_BYTES: usize = 16 << 10;

/// A record's header, and more than encryption adds to its plaintext.
const HEADER_BYTES: usize = 5;
const OVERHEAD_BYTES: usize = 32;

/// What one operation at the socket may take.
const OPERATION_BYTES: usize = 64 << 10;

/// An open session whose operations at the socket are noted.
fn observed(version: SslVersion) -> (Wired, Log) {
    let log = Log::default();
    let wired = Wired::observed(version, TlsOptions::new(), |sim| {
        sim.set_buffer_bytes(1 << 20);
        sim.observe(log.clone());
    });
    let mut wired = wired.opened();
    // Only what is metered is noted.
    wired.bev().set_rate_limit(Some(per_second(1 << 40)));
    wired.run();
    log.clear();
    wired.received.clear();
    (wired, log)
}

/// The lengths of records without their headers; all are whole.
fn records(mut bytes: &[u8]) -> Vec<usize> {
    let mut lens = Vec::new();
    while let Some((header, rest)) = bytes.split_at_checked(HEADER_BYTES) {
        let len = usize::from(u16::from_be_bytes([header[3], header[4]]));
        let (_, rest) = rest.split_at_checked(len).expect("a whole record");
        lens.push(len);
        bytes = rest;
    }
    assert!(bytes.is_empty(), "{} bytes of a header", bytes.len());
    lens
}

/// Records that hold `bytes` of plaintext with as few as can be.
fn assert_full(lens: &[usize], bytes: usize, case: &str) {
    assert_eq!(lens.len(), bytes.div_ceil(RECORD_BYTES), "{case}: {lens:?}");
    let all: usize = lens.iter().sum();
    assert!((bytes..bytes + OVERHEAD_BYTES * lens.len()).contains(&all), "{case}: {lens:?}");
}

/// The bytes of each operation at the socket: as few operations as can be.
fn assert_few(log: &Log, direction: Direction, bytes: usize, case: &str) {
    let operations: Vec<u64> = log.of(direction).iter().map(|it| it.bytes).collect();
    let few = bytes.div_ceil(OPERATION_BYTES);
    assert_eq!(operations.len(), few, "{case}, {direction:?}: {operations:?}");
    assert_eq!(operations.iter().sum::<u64>(), bytes as u64, "{case}, {direction:?}");
}

#[test]
fn writes_of_one_turn_make_full_records_and_several_records_one_call() {
    for version in VERSIONS {
        for (count, size) in [
            (1, 1),
            (4_000, 25),
            (100_000, 1),
            (100, 1_000),
            (7, 15_000),
            (2, 50_000),
            (1, 100_000),
        ] {
            let case = format!("{version:?}, {count} of {size} bytes");
            let (mut wired, log) = observed(version);
            for place in 0..count {
                wired.bev().output().add(&vec![place as u8; size]);
            }
            wired.run();
            assert_full(&records(&wired.received), count * size, &case);
            assert_few(&log, Direction::Write, wired.received.len(), &case);
            assert_eq!(wired.got.len(), count * size, "{case}");
        }
    }
}

#[test]
fn a_small_write_does_not_wait_for_another() {
    for version in VERSIONS {
        let (mut wired, log) = observed(version);
        for round in 1..=3 {
            wired.bev().output().add(b"small");
            wired.run();
            assert_eq!(records(&wired.received).len(), round, "{version:?}");
            assert_eq!(log.of(Direction::Write).len(), round, "{version:?}");
        }
    }
}

#[test]
fn one_read_takes_many_records_and_tells_them_together() {
    for version in VERSIONS {
        for (count, size) in [(1, 1), (4_000, 1), (500, 100), (40, 2_000), (7, RECORD_BYTES)] {
            let case = format!("{version:?}, {count} records of {size} bytes");
            let (mut wired, log) = observed(version);
            for place in 0..count {
                wired.write(&vec![place as u8; size]);
            }
            let bytes = wired.outgoing().len();
            assert_eq!(records(wired.outgoing()).len(), count, "{case}");
            wired.run();
            assert_few(&log, Direction::Read, bytes, &case);
            assert_eq!(wired.bev().input().len(), count * size, "{case}");
            let told = wired.notes.all().len() - 1;
            assert!(told <= bytes.div_ceil(OPERATION_BYTES), "{case}: told {told} times");
        }
    }
}
