//! The ten commonest error messages, word for word: each names the value and says what to do.

mod rig;

use std::net::TcpListener;
use std::time::Duration;

use rig::{ANY, Echo};
use sluicegate::{
    CpuSet, Error, ListenOptions, NoSeat, RATE_LIMIT_MAX, Rate, Runtime, TokenBucketConfig,
    TooFewDescriptors,
};

fn rate_error(text: &str) -> String {
    text.parse::<Rate>().expect_err("no rate").to_string()
}

#[test]
fn a_rate_that_does_not_parse() {
    assert_eq!(
        rate_error("fast"),
        "rate `fast` does not begin with a decimal number: write it as in `10MB/s`"
    );
    assert_eq!(
        rate_error("10 furlongs"),
        "rate `10 furlongs` has the unknown unit `furlongs`: use B/s, kB/s, MB/s, GB/s, TB/s, \
         KiB/s, MiB/s, GiB/s, TiB/s, or bit/s, kbit/s, Mbit/s, Gbit/s, Tbit/s"
    );
}

#[test]
fn a_rate_without_unit() {
    assert_eq!(
        rate_error("10"),
        "rate `10` has no unit: write `10B/s` for bytes or `10bit/s` for bits per second"
    );
}

#[test]
fn a_cpu_list_that_does_not_parse() {
    assert_eq!(
        "0,two".parse::<CpuSet>().expect_err("no list").to_string(),
        "CPU list \"0,two\": \"two\" at column 3 is not a CPU: write a number such as `3`, a range \
         `0-7`, a range with a stride `0-14:2`, or one of `all`, `allowed`, `node0`, `pkg0`, `core0`"
    );
}

#[test]
fn a_cpu_that_is_not_allowed() {
    // One that no machine this runs on has; which are allowed is the machine's business.
    let cpus: CpuSet = "1023".parse().expect("a list");
    let message = Runtime::builder().cpus(cpus).build().expect_err("not allowed").to_string();
    let allowed = rustix::thread::sched_getaffinity(None).expect("it can always be read");
    let allowed: CpuSet = (0..CpuSet::CAPACITY)
        .filter(|&cpu| cpu < rustix::thread::CpuSet::MAX_CPU && allowed.is_set(cpu))
        .map(|cpu| cpu.to_string())
        .collect::<Vec<_>>()
        .join(",")
        .parse()
        .expect("numbers joined by commas are a list");
    assert_eq!(
        message,
        format!(
            "CPUs 1023 of the list 1023 are not available to this process: it may use {allowed}, \
             and 1023 are not online; leave them out, or widen the mask it is started with (taskset, cpuset)"
        )
    );
}

#[test]
fn no_cores() {
    assert_eq!(
        Runtime::builder().cores(0).build().expect_err("no core").to_string(),
        "a runtime cannot have 0 cores: ask for 1 to 1024, or `auto`"
    );
}

#[test]
fn an_address_that_does_not_parse() {
    let mut runtime = Runtime::builder().cores(1).build().expect("cores can be built");
    assert_eq!(
        runtime.listen("127.0.0.1", |_| Echo).expect_err("no port").to_string(),
        "cannot use address \"127.0.0.1\": invalid socket address; write it as host:port, like \
         127.0.0.1:7777"
    );
}

#[test]
fn a_port_in_use() {
    let other = TcpListener::bind(ANY).expect("a port is free");
    let addr = other.local_addr().expect("it is bound");
    let mut runtime = Runtime::builder().cores(1).build().expect("cores can be built");
    let options = ListenOptions::new();
    let error = runtime.listen_with(addr, options, |_| Echo).expect_err("it is taken");
    assert_eq!(
        error.to_string(),
        format!(
            "cannot listen on {addr}: Address already in use (os error 98); another socket has \
             this port: stop it, or use port 0 for a free one"
        )
    );
}

#[test]
fn a_burst_below_one_ticks_rate() {
    let error =
        TokenBucketConfig::new(1000, 999, RATE_LIMIT_MAX, 0, Some(Duration::from_millis(1)));
    assert_eq!(
        error.expect_err("too small").to_string(),
        "read burst 999 is below one tick's rate 1000: use at least 1000"
    );
}

#[test]
fn no_seat() {
    assert_eq!(
        Error::from(NoSeat { seats: 2 }).to_string(),
        "all 2 seats of the group are taken: build it with `.seats(n)` for more cores"
    );
}

#[test]
fn too_few_descriptors() {
    let error = TooFewDescriptors {
        flag: "-c 5000".to_owned(),
        needed: 10_020,
        available: 4096,
        hard: 4096,
    };
    assert_eq!(
        error.to_string(),
        "-c 5000 needs 10020 file descriptors and the limit is 4096 (hard limit 4096): lower \
         -c 5000, or raise the limit with `ulimit -n 10020` or LimitNOFILE=10020"
    );
}
