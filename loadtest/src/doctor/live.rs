//! What only a measurement or a call tells: timers, the clock, shared ports, the TLS library.
//!
//! Owns measurements of a bounded length, together below a second.

use std::io;
use std::net::SocketAddr;
use std::num::NonZeroU64;
use std::thread;
use std::time::{Duration, Instant};

use rustix::thread::{current_timer_slack, set_current_timer_slack};
use socket2::{Domain, Protocol, Socket, Type};

use super::finding::{Finding, Grade};
use crate::figure::microseconds;
use crate::procfs;

/// Measures and calls all of it.
pub(super) fn findings() -> Vec<Finding> {
    let before = procfs::cpu_ticks();
    let timers = [timer("timer", None), timer("timer, no slack", NonZeroU64::new(1))];
    let ticks = procfs::ticks_between(&before, &procfs::cpu_ticks(), &[]);
    let stolen: u64 = ticks.iter().map(|cpu| cpu.stolen).sum();
    let all: u64 = ticks.iter().map(|cpu| cpu.all).sum();
    let mut findings = timers.to_vec();
    findings.extend([steal(stolen, all), clock(), reuse_port(), tls(), build()]);
    findings
}

/// How late a sleep of a millisecond ends.
fn timer(name: &'static str, slack: Option<NonZeroU64>) -> Finding {
    let limits = "how even a load at a fixed rate is, and how late a deadline fires";
    let old = current_timer_slack().ok();
    if slack.is_some() {
        // Where it cannot be set the two lines are alike.
        let _ = set_current_timer_slack(slack);
    }
    let mut late: Vec<Duration> = Vec::with_capacity(SLEEPS);
    let until = Instant::now() + LONGEST_MEASUREMENT;
    while late.len() < SLEEPS && Instant::now() < until {
        let begun = Instant::now();
        thread::sleep(SLEEP);
        late.push(begun.elapsed().saturating_sub(SLEEP));
    }
    let _ = set_current_timer_slack(old.and_then(NonZeroU64::new));
    late.sort();
    judge_timer(name, limits, &late)
}

fn judge_timer(name: &'static str, limits: &'static str, late: &[Duration]) -> Finding {
    let Some(last) = late.len().checked_sub(1) else {
        return Finding::new(name, "unknown: no sleep ended in time", limits).grade_if(
            true,
            Grade::Note,
            || "look again when the machine is quiet".to_owned(),
        );
    };
    let at = |share: f64| late[(last as f64 * share) as usize];
    let us = |share: f64| microseconds(Some(at(share).as_secs_f64() * 1e6));
    let value = format!("{} late (p50), {} (p90), {} at most", us(0.5), us(0.9), us(1.0));
    Finding::new(name, value, limits).grade_if(at(0.5) > LATE, Grade::Note, || {
        "stop other programs; on a virtual machine ask for a host that is not shared".to_owned()
    })
}

fn steal(stolen: u64, all: u64) -> Finding {
    let share = stolen as f64 / all.max(1) as f64;
    let limits = "all figures: the host gives the CPU to others";
    Finding::new("theft now", format!("{:.1} % of CPU time", share * 100.0), limits)
        // One tick of ten milliseconds is no evidence.
        .grade_if(stolen > 1 && share > STEAL_BAR, Grade::Bad, || {
            "measure when the host is quiet, or elsewhere".to_owned()
        })
}

fn clock() -> Finding {
    let begun = Instant::now();
    for _ in 0..CLOCK_READS {
        std::hint::black_box(Instant::now());
    }
    let ns = begun.elapsed().as_nanos() as f64 / f64::from(CLOCK_READS);
    let limits = "cost of every metered operation, which reads it";
    Finding::new("clock", format!("{ns:.0} ns a reading"), limits).grade_if(
        ns > SLOW_CLOCK_NS,
        Grade::Note,
        || "boot with a clock source that needs no system call: tsc or kvm-clock".to_owned(),
    )
}

fn reuse_port() -> Finding {
    let bind = |address: SocketAddr| -> io::Result<Socket> {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP))?;
        socket.set_reuse_port(true)?;
        socket.bind(&address.into())?;
        socket.listen(1)?;
        Ok(socket)
    };
    let twice = || -> io::Result<()> {
        let first = bind(SocketAddr::from(([127, 0, 0, 1], 0)))?;
        let address = first.local_addr()?.as_socket().ok_or(io::ErrorKind::InvalidData)?;
        bind(address).map(drop)
    };
    let limits = "accepting on several cores";
    match twice() {
        Ok(()) => Finding::new("shared ports", "SO_REUSEPORT works", limits),
        Err(error) => Finding::new("shared ports", error.to_string(), limits).grade_if(
            true,
            Grade::Bad,
            || "serve with one core, or allow SO_REUSEPORT in the sandbox".to_owned(),
        ),
    }
}

fn tls() -> Finding {
    let number = openssl::version::number();
    Finding::new("OpenSSL", openssl::version::version(), "TLS: versions, ciphers, speed").grade_if(
        number < OPENSSL_3,
        Grade::Note,
        || "it no longer gets fixes; link OpenSSL 3.0 or newer".to_owned(),
    )
}

fn build() -> Finding {
    let (value, is_debug) =
        if cfg!(debug_assertions) { ("debug", true) } else { ("release", false) };
    Finding::new("build of loadtest", value, "every figure it gives").grade_if(
        is_debug,
        Grade::Note,
        || "cargo run --release".to_owned(),
    )
}

const SLEEPS: usize = 100;
const SLEEP: Duration = Duration::from_millis(1);
const LONGEST_MEASUREMENT: Duration = Duration::from_millis(300);
/// Above this the median sleep is later than a quiet machine's, with the usual slack of 50 us.
const LATE: Duration = Duration::from_micros(500);
const STEAL_BAR: f64 = 0.05;
const CLOCK_READS: u32 = 10_000;
const SLOW_CLOCK_NS: f64 = 200.0;
const OPENSSL_3: i64 = 0x3000_0000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_late_timer_is_noted_by_its_median() {
        let judge = |us: &[u64]| {
            let late: Vec<Duration> = us.iter().copied().map(Duration::from_micros).collect();
            judge_timer("timer", "x", &late)
        };
        let quiet = judge(&[60, 70, 9100]);
        assert_eq!(quiet.grade, Grade::Ok);
        assert_eq!(quiet.value, "70.0 us late (p50), 70.0 us (p90), 9.10 ms at most");
        assert_eq!(judge(&[400, 501, 9000]).grade, Grade::Note);
        let none = judge(&[]);
        assert_eq!(none.grade, Grade::Note, "a machine may stand still: {}", none.value);
    }

    #[test]
    fn theft_needs_two_ticks_to_be_believed() {
        assert_eq!(steal(1, 10).grade, Grade::Ok);
        assert_eq!(steal(2, 10).grade, Grade::Bad);
        assert_eq!(steal(2, 40).grade, Grade::Ok);
    }

    #[test]
    fn this_machine_is_measured_in_bounded_time() {
        let begun = Instant::now();
        let names: Vec<&str> = findings().iter().map(|finding| finding.name).collect();
        let expected = [
            "timer",
            "timer, no slack",
            "theft now",
            "clock",
            "shared ports",
            "OpenSSL",
            "build of loadtest",
        ];
        assert_eq!(names, expected);
        assert!(begun.elapsed() < Duration::from_secs(60));
    }
}
