//! What is served, in virtual time; and the text for Prometheus, read by a parser of its own.
//!
//! Owns visitors of a simulated runtime. Real sockets are in `tests/metrics.rs`.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use groups::TokenBucketConfig;
use prometheus_parse::{Scrape, Value};
use proptest::prelude::*;

use super::exposition::Exposition;
use super::request::HEAD_MAX;
use super::snapshot::{
    Collection, DirectionFigures, GROUPS_MAX, GroupFigures, SeatFigures, Snapshot,
};
use super::{CORE, PATIENCE, VISIT_MAX, VISITS_MAX};
use crate::driver::Listening;
use crate::group::Group;
use crate::listen::Part;
use crate::sim::{Peer, Simulation};
use crate::stats::CoreStats;

const LIMIT: Duration = Duration::from_secs(5);

// ---- the text ----

fn text(snapshot: &Snapshot, piece: usize) -> String {
    let mut exposition = Exposition::new(snapshot.clone());
    let mut all = String::new();
    loop {
        let mut out = String::new();
        let more = exposition.write(&mut out, piece);
        all.push_str(&out);
        if !more {
            return all;
        }
        assert!(out.len() >= piece, "a piece is full unless it is the last");
    }
}

fn group(id: u64, name: Option<&str>) -> GroupFigures {
    let limited = DirectionFigures {
        bytes_per_second: Some(1_500_000.0),
        burst: Some(200_000),
        usable_burst: Some(150_000),
        level: Some(-3),
        leased: 7,
        moved: 1 << 40,
    };
    let directions = [limited, DirectionFigures { moved: 5, ..DirectionFigures::default() }];
    let name = name.map(Arc::from);
    GroupFigures { id, name, directions, draws: 11, refunds: 12, waits: 13, rebalances: 14 }
}

fn snapshot(cores: usize, groups: Vec<GroupFigures>) -> Snapshot {
    let stats = |core: usize| CoreStats {
        turns: core as u64,
        busy_ns: 1_000_000_001,
        connections: 3,
        bytes_in: u64::MAX,
        ..CoreStats::default()
    };
    let seat = |group: usize| SeatFigures { group, core: 1, members: 4, waiting: [5, 6] };
    let seats = (0..groups.len()).map(seat).collect();
    Snapshot { cores: (0..cores).map(stats).collect(), groups, seats, omitted: 2 }
}

fn parse(text: &str) -> Scrape {
    Scrape::parse(text.lines().map(|line| Ok(line.to_owned()))).expect("it is text")
}

/// The value of the sample with that name and those labels.
fn value(scrape: &Scrape, name: &str, labels: &[(&str, &str)]) -> f64 {
    let mut found = scrape.samples.iter().filter(|sample| {
        let fits = |(key, value): &(&str, &str)| sample.labels.get(key) == Some(value);
        sample.metric == name && labels.iter().all(fits)
    });
    let sample = found.next().unwrap_or_else(|| panic!("no sample of {name} {labels:?}"));
    assert!(found.next().is_none(), "two samples of {name} {labels:?}");
    match sample.value {
        Value::Counter(value) | Value::Gauge(value) => value,
        ref other => panic!("{name} is {other:?}"),
    }
}

/// The rules of the format that a lenient parser lets pass.
fn assert_well_formed(text: &str) {
    let (mut types, mut series) = (BTreeMap::new(), BTreeSet::new());
    let mut helped = String::new();
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, help) = rest.split_once(' ').expect("a help text follows");
            assert!(help.ends_with('.') && !help.contains(['\\', '[', '`']), "{line}");
            helped = name.to_owned();
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').expect("a type follows");
            assert_eq!(name, helped, "HELP stands before TYPE");
            assert!(types.insert(name.to_owned(), kind).is_none(), "{name} begins twice");
            assert_eq!(kind == "counter", name.ends_with("_total"), "{line}");
        } else {
            let (name_and_labels, number) = line.rsplit_once(' ').expect("a value follows");
            let name = name_and_labels.split('{').next().unwrap_or_default();
            assert_eq!(name, helped, "a sample stands in its family");
            assert!(name.chars().all(|c| c.is_ascii_lowercase() || c == '_'), "{name}");
            assert!(number == "+Inf" || number.parse::<f64>().is_ok(), "{line}");
            assert!(series.insert(name_and_labels.to_owned()), "{name_and_labels} occurs twice");
        }
    }
    assert!(text.ends_with('\n'), "the last line ends too");
}

#[test]
fn a_parser_finds_every_figure_with_its_labels_and_unit() {
    let text = text(&snapshot(2, vec![group(7, Some("tenants")), group(9, None)]), usize::MAX);
    assert_well_formed(&text);
    let scrape = parse(&text);
    let samples = text.lines().filter(|line| !line.starts_with('#')).count();
    assert_eq!(scrape.samples.len(), samples, "it has understood every line");
    assert_eq!(samples, 2 + 2 * CoreStats::FIGURES.len() + 2 * (2 * 6 + 4 + 3));

    let core = |name: &str| value(&scrape, &format!("sluicegate_core_{name}"), &[("core", "1")]);
    assert_eq!(core("turns_total"), 1.0);
    assert_eq!(core("busy_seconds_total"), 1.000_000_001);
    assert_eq!(core("connections"), 3.0);
    assert_eq!(core("received_bytes_total"), u64::MAX as f64);
    let read = [("group", "tenants"), ("id", "7"), ("direction", "read")];
    let of = |name: &str, labels: &[(&str, &str)]| {
        value(&scrape, &format!("sluicegate_group_{name}"), labels)
    };
    assert_eq!(of("rate_bytes_per_second", &read), 1_500_000.0);
    assert_eq!(of("level_bytes", &read), -3.0);
    assert_eq!(of("moved_bytes_total", &read), (1_u64 << 40) as f64);
    let unlimited = [("group", "9"), ("id", "9"), ("direction", "write")];
    for name in ["rate_bytes_per_second", "burst_bytes", "usable_burst_bytes", "level_bytes"] {
        assert_eq!(of(name, &unlimited), f64::INFINITY, "{name}");
    }
    assert_eq!(of("waits_total", &[("id", "7")]), 13.0);
    assert_eq!(of("members", &[("id", "7"), ("core", "1")]), 4.0);
    assert_eq!(of("waiting_weight", &[("id", "9"), ("direction", "write")]), 6.0);
    assert_eq!(value(&scrape, "sluicegate_groups_omitted", &[]), 2.0);
}

#[test]
fn where_pieces_end_changes_nothing() {
    let snapshot = snapshot(3, vec![group(1, None)]);
    let whole = text(&snapshot, usize::MAX);
    for piece in [1, 2, 100, 1000, 4096, whole.len()] {
        assert_eq!(text(&snapshot, piece), whole, "pieces of {piece}");
    }
}

#[test]
fn a_runtime_without_groups_has_no_empty_family() {
    let text = text(&snapshot(1, Vec::new()), usize::MAX);
    assert_well_formed(&text);
    assert!(!text.contains("sluicegate_group_"), "a head without samples says nothing");
}

proptest! {
    #[test]
    fn any_name_of_a_group_comes_back_as_it_was(names in prop::collection::vec(
        prop_oneof![any::<String>(), "[\\\\\"\n{},= a]{0,12}"], 1..4,
    )) {
        let named = |(id, name): (usize, &String)| group(id as u64, Some(name));
        let text = text(&snapshot(1, names.iter().enumerate().map(named).collect()), 64);
        // Other line ends than \n are no ends in this format.
        let lines: Vec<&str> = text.split_terminator('\n').collect();
        let moved = "sluicegate_group_draws_total{";
        let labels: Vec<&str> = lines.iter().filter_map(|line| line.strip_prefix(moved)).collect();
        prop_assert_eq!(labels.len(), names.len());
        for ((id, name), line) in names.iter().enumerate().zip(labels) {
            let end = format!("\",id=\"{id}\"}} 11");
            let value = line.strip_prefix("group=\"").and_then(|rest| rest.strip_suffix(&end));
            prop_assert_eq!(unescape(value.expect("the labels are whole")), Some(name.clone()));
        }
    }
}

/// What a label says, by the rules of the format; `None` if it would have ended before.
fn unescape(escaped: &str) -> Option<String> {
    let mut chars = escaped.chars();
    let mut text = String::new();
    while let Some(c) = chars.next() {
        text.push(match c {
            '"' | '\n' => return None,
            '\\' => match chars.next()? {
                'n' => '\n',
                c @ ('"' | '\\') => c,
                _ => return None,
            },
            c => c,
        });
    }
    Some(text)
}

// ---- the server ----

struct Served {
    sim: Simulation,
    addr: SocketAddr,
}

impl Served {
    fn new() -> Self {
        let mut sim = Simulation::new(5);
        let shared = sim.core().shared.clone();
        shared.list_groups();
        let asked = "10.0.0.1:9100".parse().expect("it is an address");
        let source = Listening::Address(asked, super::options());
        let (options, factory) = (super::options(), super::factory(shared));
        let part = Part::of_core(CORE, &options, factory).expect("the options are valid");
        let addr = sim.core().add_listener(part, source);
        Self { sim, addr: addr.expect("it is free").expect("it has a number") }
    }

    /// So many groups, each with a member.
    fn with_groups(&mut self, count: usize) -> Vec<Group> {
        let groups: Vec<Group> =
            (0..count).map(|number| named(&self.sim, &number.to_string())).collect();
        for group in &groups {
            let (a, _) = self.sim.core().pair(crate::PairOptions::new(), (), ());
            self.sim.core().get(a).expect("it is open").join(group).expect("a seat");
        }
        groups
    }

    fn visit(&mut self, request: &[u8]) -> Peer {
        let peer = self.sim.connect(self.addr).expect("it listens");
        assert_eq!(self.sim.write(peer, request), request.len());
        peer
    }

    /// Head and body of the answer, once it is whole; the visitor closes then, and all is over.
    fn answer(&mut self, peer: Peer) -> (String, Vec<u8>) {
        let mut got = Vec::new();
        assert!(self.sim.run_until(LIMIT, |sim| {
            got.extend(sim.read(peer));
            sim.is_eof(peer)
        }));
        self.sim.close(peer);
        let end = got.windows(4).position(|end| end == b"\r\n\r\n").expect("a head") + 4;
        let body = got.split_off(end);
        (String::from_utf8(got).expect("it is text"), body)
    }

    fn get(&mut self, path: &str) -> (String, Vec<u8>) {
        let peer = self.visit(format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes());
        self.answer(peer)
    }

    /// Only the listener is left, and no timer.
    fn assert_over(&mut self) {
        self.sim.run_for(Duration::from_millis(10));
        let held = self.sim.held();
        assert_eq!((held.slots, held.timers), (1, 0));
    }
}

fn unchunk(mut body: &[u8]) -> String {
    let mut text = Vec::new();
    loop {
        let end = body.windows(2).position(|end| end == b"\r\n").expect("a length");
        let length = std::str::from_utf8(&body[..end]).expect("it is text");
        let length = usize::from_str_radix(length, 16).expect("it is a number");
        let (piece, rest) = body[end + 2..].split_at(length);
        text.extend_from_slice(piece);
        assert_eq!(&rest[..2], b"\r\n");
        body = &rest[2..];
        if length == 0 {
            assert!(body.is_empty(), "nothing follows the end");
            return String::from_utf8(text).expect("it is text");
        }
    }
}

fn named(sim: &Simulation, name: &str) -> Group {
    let config = TokenBucketConfig::per_second("1MB/s".parse().expect("it is a rate"));
    Group::builder(config).clock(sim.clock()).name(name).build().expect("the numbers fit")
}

#[test]
fn figures_are_served_in_chunks_and_to_old_clients_without() {
    let mut served = Served::new();
    let (head, body) = served.get("/metrics");
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
    assert!(head.contains("\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\n"));
    assert!(head.contains("\r\nTransfer-Encoding: chunked\r\nCache-Control: no-store\r\n"));
    let text = unchunk(&body);
    assert_well_formed(&text);
    let scrape = parse(&text);
    assert_eq!(value(&scrape, "sluicegate_core_accepted_total", &[("core", "0")]), 1.0);
    served.assert_over();

    let peer = served.visit(b"GET /metrics HTTP/1.0\r\n\r\n");
    let (head, body) = served.answer(peer);
    assert!(!head.contains("chunked"), "{head}");
    assert_well_formed(&String::from_utf8(body).expect("it is text"));
    served.assert_over();
}

#[test]
fn a_group_is_shown_from_its_first_member_until_it_is_gone() {
    let mut served = Served::new();
    let group = named(&served.sim, "tenants \"a\"\n");
    let (a, _) = served.sim.core().pair(crate::PairOptions::new(), (), ());
    served.sim.core().get(a).expect("it is open").join(&group).expect("a seat");
    let id = group.id().as_u64().to_string();
    let text = unchunk(&served.get("/metrics").1);
    let labels = format!("{{group=\"tenants \\\"a\\\"\\n\",id=\"{id}\",core=\"0\"}} 1\n");
    assert!(text.contains(&format!("sluicegate_group_members{labels}")), "{text}");
    let rate = value(
        &parse(&text),
        "sluicegate_group_rate_bytes_per_second",
        &[("id", &id), ("direction", "read")],
    );
    assert_eq!(rate, 1_000_000.0);
    drop(group);
    served.sim.core().get(a).expect("it is open").close_now();
    served.sim.run_for(Duration::from_millis(10));
    assert!(!unchunk(&served.get("/metrics").1).contains("sluicegate_group_"));
}

#[test]
fn a_thousand_groups_are_collected_in_slices_and_more_are_counted() {
    let mut served = Served::new();
    let _groups = served.with_groups(GROUPS_MAX + 10);
    let shared = served.sim.core().shared.clone();
    let mut collection = Collection::begin(shared);
    let slices = 1 + (0..100).take_while(|_| collection.step().is_none()).count();
    // 64 groups of 16 seats fill a slice, where groups have no more seats by the CPUs there are.
    assert!((17..100).contains(&slices), "{slices} slices");

    let text = unchunk(&served.get("/metrics").1);
    assert_well_formed(&text);
    let scrape = parse(&text);
    assert_eq!(value(&scrape, "sluicegate_groups_omitted", &[]), 10.0);
    let members = scrape.samples.iter().filter(|it| it.metric == "sluicegate_group_members");
    assert_eq!(members.count(), GROUPS_MAX);
}

#[test]
fn the_page_needs_nothing_from_elsewhere() {
    let mut served = Served::new();
    let (head, page) = served.get("/");
    assert!(head.contains("\r\nContent-Type: text/html; charset=utf-8\r\n"), "{head}");
    assert!(head.contains("Content-Security-Policy: default-src 'none'; script-src 'self'"));
    assert!(head.contains(&format!("\r\nContent-Length: {}\r\n", page.len())));
    let page = String::from_utf8(page).expect("it is text");
    assert!(!page.contains("://") && !page.contains("style=") && !page.contains("onload"));
    for link in page.split(['"']).filter(|piece| piece.starts_with('/')) {
        let (head, body) = served.get(link);
        assert!(head.starts_with("HTTP/1.1 200 OK\r\n") && !body.is_empty(), "{link}");
    }
    let (_, script) = served.get("/page.js");
    let script = String::from_utf8(script).expect("it is text");
    assert!(!script.contains("innerHTML") && !script.contains("eval("), "names are not markup");
    served.assert_over();
}

#[test]
fn a_head_is_answered_without_a_body() {
    let mut served = Served::new();
    for path in ["/", "/metrics"] {
        let peer = served.visit(format!("HEAD {path} HTTP/1.1\r\n\r\n").as_bytes());
        let (head, body) = served.answer(peer);
        assert!(head.starts_with("HTTP/1.1 200 OK\r\n") && body.is_empty(), "{path}: {head}");
    }
    let peer = served.visit(b"HEAD /none HTTP/1.1\r\n\r\n");
    let (head, body) = served.answer(peer);
    assert!(head.starts_with("HTTP/1.1 404 Not Found\r\n") && body.is_empty(), "{head}");
}

#[test]
fn refusals_say_why() {
    let mut served = Served::new();
    let long = [b"GET / HTTP/1.1\r\nA: ", &[b'a'; HEAD_MAX][..]].concat();
    for (request, status) in [
        (&b"GET /favicon.ico HTTP/1.1\r\n\r\n"[..], "404 Not Found"),
        (b"POST /metrics HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc", "405 Method Not Allowed"),
        (b"\x16\x03\x01\x02\x00", "400 Bad Request"),
        (&long, "431 Request Header Fields Too Large"),
    ] {
        let peer = served.visit(request);
        let (head, body) = served.answer(peer);
        assert!(head.starts_with(&format!("HTTP/1.1 {status}\r\n")), "{head}");
        assert_eq!(head.contains("\r\nAllow: GET, HEAD\r\n"), status.starts_with("405"));
        assert_eq!(body, format!("{status}\n").into_bytes());
        served.assert_over();
    }
}

#[test]
fn a_request_in_pieces_is_answered() {
    let mut served = Served::new();
    let peer = served.sim.connect(served.addr).expect("it listens");
    for byte in b"GET /metrics HTTP/1.1\r\n\r\n" {
        assert_eq!(served.sim.write(peer, &[*byte]), 1);
        served.sim.run_for(Duration::from_millis(1));
    }
    let (_, body) = served.answer(peer);
    assert_well_formed(&unchunk(&body));
    served.assert_over();
}

#[test]
fn a_visitor_that_says_no_more_is_answered() {
    let mut served = Served::new();
    let groups = served.with_groups(200);
    let peer = served.visit(b"GET /metrics HTTP/1.1\r\n\r\n");
    served.sim.half_close(peer);
    let (_, body) = served.answer(peer);
    assert_eq!(unchunk(&body).matches("\nsluicegate_group_members{").count(), groups.len());
}

#[test]
fn a_visitor_that_stalls_is_cut() {
    let mut served = Served::new();
    // Says nothing; or not all; or a byte now and then; or does not read.
    let silent = served.visit(b"");
    let half = served.visit(b"GET /metrics HT");
    served.sim.run_for(PATIENCE + Duration::from_secs(1));
    assert!(served.sim.is_eof(silent) || served.sim.is_reset(silent));
    assert!(served.sim.is_eof(half) || served.sim.is_reset(half));
    served.assert_over();

    let slow = served.visit(b"GET /");
    let begun = served.sim.now();
    while !served.sim.is_eof(slow) && !served.sim.is_reset(slow) {
        served.sim.run_for(PATIENCE / 2);
        served.sim.write(slow, b"a");
        assert!(served.sim.now().saturating_since(begun) < 2 * VISIT_MAX);
    }
    served.assert_over();

    served.sim.set_buffer_bytes(100);
    let full = served.visit(b"GET /metrics HTTP/1.1\r\n\r\n");
    served.sim.run_for(PATIENCE + PATIENCE);
    assert!(served.sim.is_reset(full), "an answer that was cut is not taken for whole");
    served.assert_over();
}

#[test]
fn a_visitor_that_reads_slowly_and_steadily_gets_it_all() {
    let mut served = Served::new();
    let (head, body) = served.get("/page.js");
    let whole = head.len() + body.len();
    // All of it is in the output at once; the visitor takes half as long again as it may be silent.
    let seconds = PATIENCE.as_secs() * 3 / 2;
    served.sim.set_buffer_bytes(whole / seconds as usize);
    let peer = served.visit(b"GET /page.js HTTP/1.1\r\n\r\n");
    let mut got = 0;
    for _ in 0..2 * seconds {
        got += served.sim.read(peer).len();
        served.sim.run_for(Duration::from_secs(1));
    }
    assert_eq!(got, whole);
    assert!(served.sim.is_eof(peer));
}

#[test]
fn visits_are_bounded_and_those_beyond_wait() {
    let mut served = Served::new();
    let silent: Vec<Peer> = (0..VISITS_MAX).map(|_| served.visit(b"")).collect();
    let late = served.visit(b"GET / HTTP/1.1\r\n\r\n");
    served.sim.run_for(Duration::from_secs(1));
    assert_eq!(served.sim.core().stats().connections, u64::from(VISITS_MAX));
    assert!(served.sim.read(late).is_empty());
    served.sim.close(silent[0]);
    let (head, _) = served.answer(late);
    assert!(head.starts_with("HTTP/1.1 200 OK"));
}

#[test]
fn a_drain_lets_an_answer_be_written_and_ends_idle_visits() {
    let mut served = Served::new();
    let _groups = served.with_groups(200);
    served.sim.set_buffer_bytes(1000);
    let idle = served.visit(b"");
    let reading = served.visit(b"GET /metrics HTTP/1.1\r\n\r\n");
    served.sim.turn();
    served.sim.turn();
    served.sim.core().handle().shutdown(crate::Shutdown::Drain);
    let (_, body) = served.answer(reading);
    // Members have left meanwhile, but what was begun is whole.
    assert_well_formed(&unchunk(&body));
    assert!(served.sim.is_eof(idle));
    assert!(served.sim.run_until(LIMIT, |sim| sim.is_stopped()));
}
