//! Figures over real sockets: where they are served, and what a program and a scraper see there.

mod rig;

use std::io::Write;
use std::net::{SocketAddr, TcpListener};

use rig::{ANY, Echo, Server, connect, eventually, read_to_end, round_trip};
use sluicegate::{BuildError, Error, Group, Runtime, Shutdown, TokenBucketConfig};

fn get(addr: SocketAddr, path: &str) -> String {
    let mut client = connect(addr);
    // Without chunks the body is what follows the head.
    write!(client, "GET {path} HTTP/1.0\r\n\r\n").expect("the server reads");
    String::from_utf8(read_to_end(&mut client)).expect("it is text")
}

/// The sum of the samples of a family.
fn sum(text: &str, family: &str) -> f64 {
    let samples = text.lines().filter_map(|line| line.strip_prefix(family));
    let values = samples
        .filter(|rest| rest.starts_with(['{', ' ']))
        .filter_map(|rest| rest.rsplit_once(' ').and_then(|(_, value)| value.parse::<f64>().ok()));
    values.sum()
}

#[test]
fn a_scraper_sees_what_the_program_sees() {
    let config = TokenBucketConfig::per_second("1GB/s".parse().expect("it is a rate"));
    let group = Group::builder(config).name("tenants").build().expect("the numbers fit");
    let mut runtime = Runtime::builder().cores(2).metrics(ANY).build().expect("a port is free");
    let metrics = runtime.metrics_addr().expect("it was asked for");
    assert_ne!(metrics.port(), 0);
    let member_of = group.clone();
    let echo = runtime.listen(ANY, move |conn| {
        conn.join(&member_of).expect("a seat for every core");
        Echo
    });
    let server = Server::run(echo.expect("a port is free"), runtime);
    let mut clients: Vec<_> = (0..8).map(|_| server.connect()).collect();
    for client in &mut clients {
        round_trip(client, &[3; 1000]);
    }
    let mut text = String::new();
    eventually("all bytes are shown", || {
        text = get(metrics, "/metrics");
        // A busy core shows what it did a moment later, a group at once.
        sum(&text, "sluicegate_group_moved_bytes_total") == 16_000.0
            && sum(&text, "sluicegate_core_received_bytes_total") >= 8_000.0
    });
    assert!(text.starts_with("HTTP/1.1 200 OK\r\n"), "{text}");
    let labels = format!("{{group=\"tenants\",id=\"{}\",direction=\"read\"}}", group.id().as_u64());
    let line = format!("\nsluicegate_group_rate_bytes_per_second{labels} 1000000000\n");
    assert!(text.contains(&line), "{text}");
    assert_eq!(sum(&text, "sluicegate_group_members"), 8.0);
    // Two cores; and the visit is a connection itself, as are those that still close.
    assert_eq!(text.matches("\nsluicegate_core_turns_total{").count(), 2);
    let connections = sum(&text, "sluicegate_core_connections");
    assert!((9.0..=24.0).contains(&connections), "{text}");
    assert!(sum(&text, "sluicegate_core_busy_seconds_total") > 0.0);

    drop(clients);
    server.wait_until_empty();
    server.handle.shutdown(Shutdown::Drain);
    server.join();
    TcpListener::bind(metrics).expect("the port is free again");
}

#[test]
fn a_place_that_cannot_be_had_is_an_error_of_building() {
    let other = TcpListener::bind(ANY).expect("a port is free");
    let addr = other.local_addr().expect("it is bound");
    let error = Runtime::builder().cores(1).metrics(addr).build().expect_err("it is taken");
    let BuildError::Metrics(inner) = &error else { panic!("{error:?}") };
    assert!(matches!(**inner, Error::Bind { addr: named, .. } if named == addr), "{error:?}");
    let message = error.to_string();
    assert!(message.starts_with(&format!("no place for the figures: cannot listen on {addr}: ")));
    assert!(message.ends_with("stop it, or use port 0 for a free one"), "{message}");

    let error = Runtime::builder().cores(1).metrics("9100").build().expect_err("no address");
    assert!(error.to_string().contains("cannot use address \"9100\""), "{error}");
    let absent = Runtime::builder().cores(1).build().expect("it can be built");
    assert_eq!(absent.metrics_addr(), None);
}
