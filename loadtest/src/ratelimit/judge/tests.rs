//! Synthetic traces: a right limiter passes, and each wrong one is caught by the check made for it.

use super::*;
use crate::arguments::{Arguments, Command, RatelimitArguments};
use crate::audit::Moment;
use clap::Parser;

const MS: u64 = 1_000_000;
const MEMBERS: u64 = 10;

/// Ten members of a group of 1 MB/s, burst 100 kB, for ten seconds.
fn scenario() -> Scenario {
    let line = "loadtest ratelimit group -c 10 --group-limit 1MB/s --burst 100kB -d 10s";
    Scenario::named("group", &arguments(line)).unwrap()
}

fn arguments(line: &str) -> RatelimitArguments {
    match Arguments::parse_from(line.split_whitespace()).command {
        Some(Command::Ratelimit(arguments)) => arguments,
        other => panic!("{other:?}"),
    }
}

/// Every millisecond the next member sends what `bytes` says, for eleven seconds.
fn log(bytes: impl Fn(u64, u64) -> u64) -> AuditLog {
    let record = |ms: u64| Record {
        before_ns: ms * MS,
        after_ns: ms * MS + 10,
        bytes: bytes(ms, ms % MEMBERS),
        way: Way::Write,
        connection: ms % MEMBERS,
    };
    AuditLog {
        group: Some(Moment::default()),
        records: (1..11_000).map(record).collect(),
        ..AuditLog::default()
    }
}

fn judged(log: &AuditLog) -> Judgement {
    let trace = Trace {
        log,
        from_ns: 1000 * MS,
        to_ns: 11_000 * MS,
        peers: &[1_000_000; MEMBERS as usize],
        peer_time: Duration::from_secs(10),
        receipts: Some(&[]),
        longest_gap: Duration::from_millis(10),
        failed: 0,
        noisy: false,
    };
    judge(&scenario(), &trace).unwrap()
}

fn failed(judgement: &Judgement) -> Vec<&'static str> {
    judgement.checks.iter().filter(|check| !check.pass).map(|check| check.name).collect()
}

#[test]
fn a_right_limiter_passes_every_check() {
    let judgement = judged(&log(|_, _| 1000));
    assert_eq!(failed(&judgement), [""; 0]);
    assert!(judgement.pass);
    assert!((judgement.achieved_ratio - 1.0).abs() < 1e-3, "{}", judgement.achieved_ratio);
    assert!((judgement.jain - 1.0).abs() < 1e-5);
    assert_eq!(judgement.worst_excess_bytes, 0);
    assert_eq!(judgement.burst_bytes, 100_000);
}

#[test]
fn five_percent_too_fast_is_caught_twice() {
    let judgement = judged(&log(|_, _| 1050));
    assert_eq!(failed(&judgement), ["bytes in excess of any window", "achieved / configured"]);
}

#[test]
fn a_burst_too_big_is_caught_although_the_average_is_right() {
    // Silent for 20 ms, then more than the burst at once.
    let judgement = judged(&log(|ms, _| match ms {
        5000..5020 => 0,
        5020 => 110_000,
        _ => 1000,
    }));
    assert_eq!(failed(&judgement), ["bytes in excess of any window"]);
}

#[test]
fn a_starved_member_is_caught() {
    let judgement = judged(&log(|_, member| match member {
        0 => 0,
        1 => 2000,
        _ => 1000,
    }));
    assert_eq!(failed(&judgement), ["Jain's index"]);
}

#[test]
fn a_member_that_never_appears_counts_as_starved() {
    let mut log = log(|_, _| 1000);
    log.records.retain(|record| record.connection != 3);
    for record in &mut log.records {
        record.bytes = 1111;
    }
    assert_eq!(failed(&judged(&log)), ["Jain's index"]);
}

#[test]
fn an_idle_second_is_caught_although_the_rest_makes_up_for_it() {
    // Half a second of silence in which too little is saved up.
    let judgement = judged(&log(|ms, _| match ms {
        5000..5050 => 0,
        9900.. => 1000 + 50_000 / 1100,
        _ => 1000,
    }));
    assert_eq!(failed(&judgement), ["least window"]);
}

#[test]
fn a_second_is_looked_at_wherever_it_begins() {
    // Too little from 4.98 s to 5.02 s, made up for before and after within each whole second.
    let log = log(|ms, _| match ms {
        4980..5020 => 0,
        4400 | 5600 => 21_000,
        _ => 1000,
    });
    let judgement = judged(&log);
    assert_eq!(failed(&judgement), ["least window"]);
    assert_eq!(judgement.least_window_ratio, Some(0.96));
    assert!(!judgement.pass);
}

#[test]
fn on_a_busy_machine_too_little_proves_nothing_but_too_much_does() {
    let judge_noisy = |log: &AuditLog| {
        let trace = Trace {
            log,
            from_ns: 1000 * MS,
            to_ns: 11_000 * MS,
            peers: &[1_000_000; MEMBERS as usize],
            peer_time: Duration::from_secs(10),
            receipts: None,
            longest_gap: Duration::ZERO,
            failed: 0,
            noisy: true,
        };
        judge(&scenario(), &trace).unwrap()
    };
    let slow = judge_noisy(&log(|ms, _| if (5000..5050).contains(&ms) { 0 } else { 1000 }));
    assert!(slow.pass && slow.checks.iter().any(|check| check.inconclusive));
    assert_eq!(slow.peer_excess_bytes, None);
    assert!(!judge_noisy(&log(|_, _| 1050)).pass);
}

#[test]
fn lost_records_and_failed_connections_are_not_a_pass() {
    let mut log = log(|_, _| 1000);
    log.lost = 1;
    assert_eq!(failed(&judged(&log)), ["operations missing from the audit"]);
}

#[test]
fn libevent_bars_judge_what_the_clients_received() {
    let arguments = arguments("loadtest ratelimit");
    let scenario = Scenario::named("libevent-3", &arguments).unwrap();
    let log = AuditLog::default();
    let judge_peers = |each: u64| {
        let peers = [each; 30];
        let trace = Trace {
            log: &log,
            from_ns: 0,
            to_ns: 5000 * MS,
            peers: &peers,
            peer_time: Duration::from_secs(5),
            receipts: Some(&[]),
            longest_gap: Duration::ZERO,
            failed: 0,
            noisy: false,
        };
        judge(&scenario, &trace).unwrap()
    };
    assert!(judge_peers(5100).pass);
    assert_eq!(failed(&judge_peers(5355)), ["total, B/s", "mean, B/s"]);
    assert_eq!(failed(&judge_peers(4700)), ["total, B/s", "mean, B/s"]);
}

#[test]
fn the_drained_group_expects_what_is_left() {
    let arguments = arguments("loadtest ratelimit");
    let scenario = Scenario::named("libevent-4", &arguments).unwrap();
    let group = Terms::group(&scenario.limits).unwrap();
    assert_eq!(group.unwrap().tick.unwrap().bytes, 3500);
    assert_eq!(configured(&scenario, group, None), 30_000.0);
}

#[test]
fn an_unknown_scenario_lists_the_known_ones() {
    let error = Scenario::named("tea", &arguments("loadtest ratelimit")).unwrap_err();
    assert!(error.to_string().contains("libevent-1") && error.code() == 2);
}

#[test]
fn a_run_too_short_to_judge_is_refused() {
    let short = arguments("loadtest ratelimit group --tick 1s -d 10s");
    assert!(Scenario::named("group", &short).unwrap_err().to_string().contains("50s"));
    // A thousand members take turns every 100 ms, and each should have fifty.
    let crowded = |duration| {
        let line = format!("loadtest ratelimit group -c 1000 -d {duration}");
        Scenario::named("group", &arguments(&line))
    };
    assert!(crowded("4999ms").unwrap_err().to_string().contains("5s"));
    assert!(crowded("5s").is_ok());
}
