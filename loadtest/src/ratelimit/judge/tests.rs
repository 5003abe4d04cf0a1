//! Synthetic traces: a right limiter passes, and each wrong one is caught by the check made for it.

use super::*;
use crate::arguments::{Arguments, Command, RatelimitArguments};
use crate::audit::{Member, Moment, Record, Way};
use clap::Parser;

const MS: u64 = 1_000_000;
const MEMBERS: u64 = 10;

/// Ten members of a group of 1 MB/s, burst 100 kB, for ten seconds.
fn scenario() -> Scenario {
    group("-c 10 --group-limit 1MB/s --burst 100kB -d 10s")
}

fn group(flags: &str) -> Scenario {
    let line = format!("loadtest ratelimit group {flags}");
    Scenario::named("group", &arguments(&line)).unwrap()
}

fn arguments(line: &str) -> RatelimitArguments {
    match Arguments::parse_from(line.split_whitespace()).command {
        Some(Command::Ratelimit(arguments)) => arguments,
        other => panic!("{other:?}"),
    }
}

fn write(at_ns: u64, bytes: u64, connection: u64) -> Record {
    Record { before_ns: at_ns, after_ns: at_ns + 10, bytes, way: Way::Write, connection }
}

/// Every millisecond the next member sends what `bytes` says, for eleven seconds.
fn log(bytes: impl Fn(u64, u64) -> u64) -> AuditLog {
    let record = |ms: u64| write(ms * MS, bytes(ms, ms % MEMBERS), ms % MEMBERS);
    AuditLog {
        group: Some(Moment::default()),
        records: (1..11_000).map(record).collect(),
        ..AuditLog::default()
    }
}

/// A quiet run of ten seconds after one of warm-up.
fn trace(log: &AuditLog) -> Trace<'_> {
    Trace {
        log,
        from_ns: 1000 * MS,
        to_ns: 11_000 * MS,
        loop_gap: Duration::ZERO,
        peers: &[1_000_000; MEMBERS as usize],
        peer_time: Duration::from_secs(10),
        receipts: Some(&[]),
        longest_gap: Duration::from_millis(10),
        failed: 0,
        noisy: false,
    }
}

fn judged(log: &AuditLog) -> Judgement {
    judge(&scenario(), &trace(log)).unwrap()
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
        5020..5030 => 12_000,
        _ => 1000,
    }));
    assert_eq!(failed(&judgement), ["bytes in excess of any window", PEAK]);
}

#[test]
fn a_starved_member_is_caught() {
    let judgement = judged(&log(|_, member| match member {
        0 => 0,
        1 => 2000,
        _ => 1000,
    }));
    assert_eq!(failed(&judgement), ["Jain's index", LEAST_SHARE, MOST_SHARE, ANY_SECOND]);
    assert_eq!((judgement.min_share_ratio, judgement.max_share_ratio), (0.0, 2.0));
}

#[test]
fn one_starved_among_a_thousand_is_caught_although_jain_does_not_see_it() {
    let scenario = group("-c 1000 --group-limit 10MB/s -d 10s");
    let log = crowd(|member, _| if member == 7 { 8 } else { member });
    let judgement = judge(&scenario, &trace(&log)).unwrap();
    assert!(judgement.jain > 0.99, "{}", judgement.jain);
    assert_eq!(failed(&judgement), [LEAST_SHARE, MOST_SHARE, GAP]);
    assert_eq!(judgement.longest_service_gap_ms, 10_000.0);
}

#[test]
fn uneven_shares_are_caught_although_jain_does_not_see_them() {
    let judgement = judged(&log(|_, member| if member == 0 { 1180 } else { 980 }));
    assert!(judgement.jain > 0.99);
    assert_eq!(failed(&judgement), [MOST_SHARE]);
}

#[test]
fn shares_are_by_weight() {
    let mut heavy = log(|_, member| if member < 5 { 1500 } else { 500 });
    assert!(failed(&judged(&heavy)).contains(&MOST_SHARE));
    for member in 0..MEMBERS {
        let weight = if member < 5 { 3 } else { 1 };
        heavy.members.insert(member, Member { core: 0, weight });
    }
    let judgement = judged(&heavy);
    assert_eq!((failed(&judgement), judgement.member_weight), (vec![], 20));
    assert!((judgement.jain - 1.0).abs() < 1e-5 && judgement.max_share_ratio < 1.01);
}

#[test]
fn taking_seconds_by_turns_is_caught_although_everybody_gets_the_same() {
    let turns = |ms: u64, member: u64| (ms / 1000).is_multiple_of(2) == (member < 5);
    let judgement = judged(&log(|ms, member| if turns(ms, member) { 2000 } else { 0 }));
    assert_eq!(failed(&judgement), [ANY_SECOND]);
    assert!((judgement.jain_1s.unwrap() - 0.5).abs() < 0.01, "{:?}", judgement.jain_1s);
}

#[test]
fn a_peak_of_six_times_the_mean_is_caught_although_the_burst_allows_it() {
    let scenario = group("-c 10 --group-limit 1MB/s --burst 1MB -d 10s");
    let lumps = log(|ms, _| if ms % 1000 < 100 { 6000 } else { 444 });
    let judgement = judge(&scenario, &trace(&lumps)).unwrap();
    assert_eq!(failed(&judgement), [PEAK]);
    assert!((judgement.smoothness.unwrap() - 6.0).abs() < 0.1, "{:?}", judgement.smoothness);
    let ticking = group("-c 10 --group-limit 1MB/s --burst 1MB --tick 100ms -d 10s");
    let judgement = judge(&ticking, &trace(&lumps)).unwrap();
    assert!(!failed(&judgement).contains(&PEAK), "ticks come in lumps");
}

#[test]
fn what_a_core_could_not_serve_while_it_was_away_proves_nothing() {
    let late = log(|ms, _| match ms {
        5000..5040 => 0,
        5040..5050 => 5000,
        _ => 1000,
    });
    let mut trace = trace(&late);
    assert_eq!(failed(&judge(&scenario(), &trace).unwrap()), ["least window", PEAK]);
    trace.loop_gap = Duration::from_millis(40);
    let judgement = judge(&scenario(), &trace).unwrap();
    let open = judgement.checks.iter().filter(|check| check.inconclusive);
    assert_eq!(open.map(|check| check.name).collect::<Vec<_>>(), ["least window", PEAK]);
    assert!(judgement.pass && !judgement.checks.iter().any(Check::fails));
    trace.loop_gap = Duration::from_millis(5);
    let judgement = judge(&scenario(), &trace).unwrap();
    let missed = judgement.checks.iter().filter(|check| check.fails());
    let missed: Vec<_> = missed.map(|check| check.name).collect();
    assert_eq!(missed, ["least window", PEAK], "it was not away for that long");
}

/// A thousand members of 10 MB/s, ten of them a millisecond in turn, or those that `instead` says
/// for a member in a round.
fn crowd(instead: impl Fn(u64, u64) -> u64) -> AuditLog {
    let record = |turn: u64| write(turn * MS / 10, 1000, instead(turn % 1000, turn / 1000));
    AuditLog { records: (0..110_000).map(record).collect(), ..AuditLog::default() }
}

#[test]
fn a_member_that_waits_two_and_a_half_rounds_is_late_on_one_core_and_not_on_two() {
    let scenario = group("-c 1000 --group-limit 10MB/s -d 10s");
    // Two turns of member 7 are taken by 507, which gives two of its own back half a round later.
    let mut log = crowd(|member, round| match (member, round) {
        (7, 50 | 51) => 507,
        (507, 51 | 52) => 7,
        _ => member,
    });
    let judgement = judge(&scenario, &trace(&log)).unwrap();
    assert_eq!(judgement.longest_service_gap_ms, 250.0);
    assert_eq!(failed(&judgement), [GAP]);
    let mut away = trace(&log);
    away.loop_gap = Duration::from_millis(51);
    assert_eq!(failed(&judge(&scenario, &away).unwrap()), [""; 0]);
    log.members.insert(0, Member { core: 0, weight: 1 });
    log.members.insert(1, Member { core: 1, weight: 1 });
    assert_eq!(failed(&judge(&scenario, &trace(&log)).unwrap()), [""; 0]);
}

#[test]
fn a_member_that_never_appears_counts_as_starved() {
    let mut log = log(|_, _| 1000);
    log.records.retain(|record| record.connection != 3);
    for record in &mut log.records {
        record.bytes = 1111;
    }
    let judgement = judged(&log);
    assert_eq!(failed(&judgement), ["Jain's index", LEAST_SHARE, MOST_SHARE, ANY_SECOND]);
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
        4400..4420 | 5600..5620 => 2000,
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
        let trace = Trace { receipts: None, noisy: true, ..trace(log) };
        judge(&scenario(), &trace).unwrap()
    };
    let slow = judge_noisy(&log(|ms, _| if (5000..5050).contains(&ms) { 0 } else { 1000 }));
    assert!(slow.pass && slow.checks.iter().any(|check| check.inconclusive));
    assert_eq!(slow.peer_excess_bytes, None);
    assert!(!judge_noisy(&log(|_, _| 1050)).pass);
    let starved = |ms: u64, _: u64| if ms % 100 < 30 { 0 } else { 1000 };
    assert!(failed(&judged(&log(starved))).contains(&"achieved / configured"));
    let starved = judge_noisy(&log(starved));
    assert!(starved.pass, "seven tenths of the rate: {:?}", starved.checks);
    let mut uneven = log(|_, member| if member == 0 { 0 } else { 1111 });
    assert!(!judge_noisy(&uneven).pass, "one core serves its members in turn however slowly");
    uneven.members = [0, 1].map(|n| (n, Member { core: n as usize, weight: 1 })).into();
    assert!(judge_noisy(&uneven).pass, "the other core may have got no CPU");
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
    let judge_peers = |each: u64, noisy| {
        let peers = [each; 30];
        let peer_time = Duration::from_secs(5);
        let trace = Trace { peers: &peers, peer_time, noisy, ..trace(&log) };
        judge(&scenario, &trace).unwrap()
    };
    assert!(judge_peers(5100, false).pass);
    for each in [5355, 4700] {
        let judgement = judge_peers(each, false);
        assert_eq!(failed(&judgement), ["total, B/s", "mean, B/s"]);
        // When they received it was up to the machine.
        assert!(!judgement.pass && judge_peers(each, true).pass);
    }
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

const PEAK: &str = "peak / mean of 100 ms";
const LEAST_SHARE: &str = "least share of a member";
const MOST_SHARE: &str = "most share of a member";
const ANY_SECOND: &str = "Jain's index, any second";
const GAP: &str = "longest time without service, ms";
