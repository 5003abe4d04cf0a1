//! What `loadtest` does without a command: the main job, shown in less than twenty seconds.
//!
//! Owns the two parts and their table. First echo without limits, our server against the bare loop
//! in interleaved short rounds, a fresh process each; the ratios are indicative, because a verdict
//! needs ten pairs. Then 64 hungry connections in one group, judged by the server's own log; the
//! command fails if the limit was not kept, not used or not shared.

use std::fmt::Write;
use std::time::Duration;

use clap::Parser;
use comfy_table::{CellAlignment, Table, presets};

use crate::arguments::{Arguments, Command, RatelimitArguments, ServeArguments, Service};
use crate::child::ServerProcess;
use crate::client::{Load, Target, Traffic};
use crate::cpus::{self, CpuChoice, Placement};
use crate::descriptors;
use crate::exit::{Failure, Outcome};
use crate::figure::{bytes, count, microseconds, plain};
use crate::measurement::{self, Subject};
use crate::median::median;
use crate::output::Output;
use crate::progress::Progress;
use crate::ratelimit::{self, Finding, Scenario};
use crate::run::Environment;
use crate::verdict::{Noise, Remark};

/// Figures of one echo round, or their medians.
#[derive(Clone, Copy, Debug)]
struct Round {
    requests_per_sec: f64,
    p50_us: f64,
    p99_us: f64,
    cpu_us: f64,
    user_us: f64,
    syscalls: f64,
    noise: Noise,
}

/// Shows both parts.
///
/// # Errors
/// Exit code 3 if the group's limit was not kept, used or shared; 1 if a part could not run.
pub(crate) fn run(break_limiter: bool) -> Outcome {
    descriptors::raise();
    let output = Output::new(None);
    let choice = CpuChoice::Auto;
    let placement = Placement::resolve(&choice, &choice, &cpus::allowed()?, cpus::quota())?;
    let scenario = Scenario::group(&group_arguments())?;
    let round = ROUND_WARMUP + ROUND;
    let total = round * 2 * ROUNDS as u32 + scenario.length();
    let mut progress = Progress::new(total);
    progress.aside(|| output.text(&heading(&placement)))?;

    let (mut bare, mut ours) = (Vec::new(), Vec::new());
    for index in 0..ROUNDS {
        let mut echo = |service, rounds: &mut Vec<Round>| -> Outcome {
            rounds.push(round_of(service, &placement, &mut progress)?);
            Ok(())
        };
        // Who goes first changes, so that a drift of the machine favours nobody.
        if index % 2 == 0 {
            echo(Service::Bare, &mut bare)?;
            echo(Service::Echo, &mut ours)?;
        } else {
            echo(Service::Echo, &mut ours)?;
            echo(Service::Bare, &mut bare)?;
        }
    }
    progress.aside(|| output.text(&echo_part(&bare, &ours)))?;

    let finding = ratelimit::check(&scenario, &placement, break_limiter, &mut progress)?;
    drop(progress);
    output.text(&group_part(&finding))?;
    output.text(NEXT)?;
    match finding.judgement.checks.iter().find(|check| check.fails()) {
        None => Ok(()),
        Some(check) => Err(Failure::CheckFailed(format!(
            "the group's limit did not hold: {} {}",
            check.name,
            plain(Some(check.value))
        ))),
    }
}

/// The flags of the group, written as a user would.
fn group_arguments() -> RatelimitArguments {
    let line = ["loadtest", "ratelimit", "group", "--duration", "6s"];
    match Arguments::parse_from(line).command {
        Some(Command::Ratelimit(arguments)) => arguments,
        _ => unreachable!("the line above is a ratelimit command"),
    }
}

/// One server process, loaded for one round.
fn round_of(service: Service, placement: &Placement, progress: &mut Progress) -> Outcome<Round> {
    let mut server = ServerProcess::start(&ServeArguments::local(service, &placement.server))?;
    let load = Load {
        targets: vec![Target { address: server.address(), connections: CONNECTIONS }],
        traffic: Traffic::Echo,
        churn: None,
        tls: None,
        size: REQUEST_BYTES,
        receive_buffer: None,
        threads: placement.client.len().max(1),
        cpus: placement.client.clone(),
        warmup: ROUND_WARMUP,
        duration: ROUND,
        keep_receipts: false,
    };
    let name = if service == Service::Bare { "echo, bare loop" } else { "echo, sluicegate" };
    progress.step(name, ROUND_WARMUP + ROUND);
    let subject = Subject::Child(&mut server);
    let measurement = measurement::take(&load, subject, &placement.server, progress)?;
    server.stop()?;
    let noise = measurement.noise(placement);
    let figures = measurement.server.expect("a child tells its figures");
    let cpu = figures.after.cpu.since(&figures.before.cpu);
    let tally = measurement.tally;
    let latency = tally.latency.percentiles();
    let ops = (tally.ops as f64).max(1.0);
    Ok(Round {
        requests_per_sec: tally.ops as f64 / tally.measured.as_secs_f64().max(1e-9),
        p50_us: latency.p50_us.unwrap_or(f64::NAN),
        p99_us: latency.p99_us.unwrap_or(f64::NAN),
        cpu_us: cpu.total_ns as f64 / 1e3 / ops,
        user_us: cpu.user_ns().map_or(f64::NAN, |ns| ns as f64 / 1e3 / ops),
        syscalls: figures.sum(|core| core.syscalls) as f64 / ops,
        noise,
    })
}

fn heading(placement: &Placement) -> String {
    let environment = Environment::read();
    let mut text = format!(
        "loadtest {}   Linux {}, {}\nserver on CPU {}, client on CPU {}\n",
        environment.version,
        environment.kernel,
        environment.processor,
        cpus::list(&placement.server),
        cpus::list(&placement.client)
    );
    if let Some(why) = &placement.shared {
        text += &format!("SHARED-CORE: client and server take time from each other ({why}).\n");
    }
    if environment.debug_build {
        text += "Debug build: figures are not representative; use cargo run --release.\n";
    }
    text
}

fn echo_part(bare: &[Round], ours: &[Round]) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header([
        "",
        "requests/s",
        "p50",
        "p99",
        "CPU us/request",
        "of it user",
        "system calls/request",
    ]);
    for (name, rounds) in [("bare loop", bare), ("sluicegate", ours)] {
        let median = |figure: fn(&Round) -> f64| median(rounds.iter().map(figure).collect());
        table.add_row([
            name.to_owned(),
            count(median(|round| round.requests_per_sec)),
            microseconds(Some(median(|round| round.p50_us))),
            microseconds(Some(median(|round| round.p99_us))),
            plain(Some(median(|round| round.cpu_us))),
            plain(Some(median(|round| round.user_us))),
            plain(Some(median(|round| round.syscalls))),
        ]);
    }
    for column in table.column_iter_mut() {
        column.set_cell_alignment(CellAlignment::Right);
    }
    let ratios: Vec<f64> = ours.iter().zip(bare).map(|(o, b)| o.cpu_us / b.cpu_us).collect();
    let least = ratios.iter().copied().fold(f64::INFINITY, f64::min);
    let most = ratios.iter().copied().fold(0.0, f64::max);
    let mut text = format!(
        "\n1. Echo without limits: {CONNECTIONS} connections, {REQUEST_BYTES} bytes, medians of \
         {ROUNDS} interleaved rounds of {ROUND:?}\n\n{table}\n\n   server CPU, sluicegate / bare \
         loop: {:.3} ({least:.3} to {most:.3}), indicative: a verdict needs 10 pairs\n",
        median(ratios)
    );
    let noisy: Vec<Remark> =
        bare.iter().chain(ours).filter_map(|round| round.noise.remarks().pop()).collect();
    if let Some(Remark { name, sentence }) = noisy.first() {
        text += &format!("   {name} in {} of {} rounds: {sentence}\n", noisy.len(), 2 * ROUNDS);
    }
    text
}

fn group_part(finding: &Finding) -> String {
    let judgement = &finding.judgement;
    let mut text = format!(
        "\n2. {} connections that always want more share {}/s\n\n",
        judgement.members,
        bytes(judgement.configured_bytes_per_sec)
    );
    let mut row = |name: &str, value: String| {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "   {name:<37}{value}");
    };
    row("achieved / configured", format!("{:.4}", judgement.achieved_ratio));
    row("most above the limit in any window", bytes(judgement.worst_excess_bytes as f64));
    row("fairness (Jain, 1 is equal)", format!("{:.4}", judgement.jain));
    row(
        "longest wait of a connection",
        format!(
            "{} (a round of all takes {} at best)",
            microseconds(Some(judgement.longest_gap_ms * 1e3)),
            microseconds(judgement.ideal_round_ms.map(|ms| ms * 1e3))
        ),
    );
    row(
        "operations, draws, rebalances",
        format!(
            "{}/s, {} ({} per operation), {}",
            count(judgement.metered_per_sec),
            count(finding.draws as f64),
            plain(finding.draws_per_op),
            count(finding.rebalances as f64)
        ),
    );
    row("server CPU", format!("{:.1} ms per second", finding.server_cpu_ms_per_sec));
    for remark in &finding.remarks {
        row(remark.name, remark.sentence.clone());
    }
    for check in judgement.checks.iter().filter(|check| check.fails()) {
        row("FAILED", format!("{}: {}", check.name, plain(Some(check.value))));
    }
    text
}

const CONNECTIONS: usize = 64;
const REQUEST_BYTES: usize = 64;
const ROUNDS: usize = 3;
const ROUND: Duration = Duration::from_secs(1);
const ROUND_WARMUP: Duration = Duration::from_millis(250);

const NEXT: &str = "
What to try next
   loadtest run echo -c 1000 -s 16KiB              another load; --server bare to compare
   loadtest run echo --group-limit 1GB/s           what a limit costs
   loadtest ratelimit                              libevent's four scenarios, with its bars
   loadtest ratelimit group -c 1000 --group-limit 100MB/s
   loadtest ratelimit placement suspended          where members live, and how many wait
   loadtest serve echo --listen 127.0.0.1:7777     a server for any other client
";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_group_of_the_demonstration_is_64_members_of_10_mb_a_second() {
        let scenario = Scenario::group(&group_arguments()).unwrap();
        assert_eq!(scenario.members, 64);
        assert_eq!(scenario.limits.group_limit.unwrap().as_bytes_per_second(), 10_000_000);
    }
}
