//! The result of a run as text.
//!
//! Owns the layout only: a header with the resolved values, totals, latency, cost, one row per
//! server core, and the verdict with a sentence for each remark. No control codes.

use std::fmt::Write;

use comfy_table::{CellAlignment, Table, presets};

use super::result::{RunResult, ServerResult};
use crate::figure::{bytes, count, four_decimals, microseconds, plain};
use crate::latency::Percentiles;

/// Lays out a result.
pub(super) fn render(result: &RunResult) -> String {
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = header(&mut text, result);
    let _ = figures(&mut text, result);
    if !result.cores.is_empty() {
        let _ = writeln!(text, "\n{}", cores(result));
    }
    let _ = writeln!(text, "\nverdict    {}", result.verdict);
    for remark in &result.remarks {
        let _ = writeln!(text, "           {}: {}", remark.name, remark.sentence);
    }
    if result.environment.debug_build {
        let _ = writeln!(text, "           debug build: use cargo run --release for real figures");
    }
    text
}

fn header(text: &mut String, result: &RunResult) -> std::fmt::Result {
    let load = &result.load;
    write!(
        text,
        "loadtest run {}   {}   {} connections   {}   {} s (+{} s warm-up)",
        load.workload,
        load.address.as_deref().or(load.server_command.as_deref()).unwrap_or("own server"),
        load.connections,
        bytes(load.size_bytes as f64),
        load.duration_s,
        load.warmup_s
    )?;
    for (name, limit) in
        [("group", load.group_limit_bytes_per_sec), ("each", load.conn_limit_bytes_per_sec)]
    {
        if let Some(rate) = limit {
            write!(text, "   {name} limited to {}/s", bytes(rate as f64))?;
        }
    }
    let environment = &result.environment;
    writeln!(
        text,
        "\nclient {} threads on CPU {} | server on CPU {} | Linux {}, {}, allowed CPUs {}\n",
        load.threads,
        load.client_cpus,
        load.server_cpus,
        environment.kernel,
        environment.processor,
        environment.allowed_cpus
    )
}

fn figures(text: &mut String, result: &RunResult) -> std::fmt::Result {
    let totals = &result.totals;
    writeln!(
        text,
        "totals     {} operations in {:.2} s   {}/s   in {}/s   out {}/s",
        count(totals.ops as f64),
        totals.seconds,
        count(totals.ops_per_sec),
        bytes(totals.bytes_in as f64 / totals.seconds.max(1e-9)),
        bytes(totals.bytes_out as f64 / totals.seconds.max(1e-9))
    )?;
    let latency = &result.latency.planned;
    if latency.count > 0 {
        writeln!(text, "latency    from planned send   {}", percentiles(latency))?;
    }
    for (name, latency) in [
        ("connect ", result.latency.connect),
        ("full    ", result.latency.handshake_full),
        ("resumed ", result.latency.handshake_resumed),
        ("exchange", result.latency.exchange),
        ("lateness", result.latency.lateness),
    ] {
        if let Some(latency) = latency.filter(|latency| latency.count > 0) {
            writeln!(text, "           {name}            {}", percentiles(&latency))?;
        }
    }
    if let Some(churn) = &result.churn {
        churn.render(text)?;
    }
    if let Some(tls) = &result.tls {
        tls.render(text)?;
    }
    if let Some(server) = &result.server {
        cost(text, server)?;
    }
    writeln!(
        text,
        "           client {:.0} % of its busiest thread   steal {:.1} %",
        result.client.cpu_fraction * 100.0,
        result.client.steal_fraction * 100.0
    )?;
    if result.load.workload == "source" {
        writeln!(
            text,
            "fairness   Jain {}   longest wait {}",
            four_decimals(result.fairness.jain),
            microseconds(Some(result.fairness.longest_gap_ms * 1e3))
        )?;
    }
    let errors = &result.errors;
    if errors.count() > 0 {
        writeln!(text, "errors     {errors}")?;
    }
    Ok(())
}

fn percentiles(latency: &Percentiles) -> String {
    format!(
        "p50 {}   p90 {}   p99 {}   p99.9 {}   max {}",
        microseconds(latency.p50_us),
        microseconds(latency.p90_us),
        microseconds(latency.p99_us),
        microseconds(latency.p999_us),
        microseconds(latency.max_us)
    )
}

/// What the run cost the server.
fn cost(text: &mut String, server: &ServerResult) -> std::fmt::Result {
    writeln!(
        text,
        "cost       server {} CPU us/op ({} in user space)   {} system calls/op   {} CPU us/MB",
        plain(server.cpu_us_per_op),
        plain(server.user_us_per_op),
        plain(server.syscalls_per_op),
        plain(server.cpu_us_per_mb)
    )?;
    if server.metered > 0 {
        writeln!(
            text,
            "limits     {} metered operations   {} draws ({} per operation)   {} rebalances",
            count(server.metered as f64),
            count(server.draws as f64),
            plain(server.draws_per_op),
            count(server.rebalances as f64)
        )?;
    }
    writeln!(
        text,
        "memory     {} private   {} per connection",
        bytes(server.anonymous_bytes as f64),
        server.memory_bytes_per_connection.map_or_else(|| "n/a".to_owned(), bytes)
    )?;
    writeln!(text, "load       server {:.0} % of its cores", server.cpu_fraction * 100.0)
}

fn cores(result: &RunResult) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header([
        "core",
        "CPU",
        "connections",
        "operations",
        "system calls",
        "received",
        "sent",
    ]);
    for (index, core) in result.cores.iter().enumerate() {
        let counts = &core.counts;
        table.add_row([
            index.to_string(),
            counts.cpus.clone(),
            counts.connections.to_string(),
            count(core.ops as f64),
            count(counts.syscalls as f64),
            bytes(counts.bytes_in as f64),
            bytes(counts.bytes_out as f64),
        ]);
    }
    for column in table.column_iter_mut() {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}
