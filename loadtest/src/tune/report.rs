//! A tuning as text and as JSON.
//!
//! Owns the layout and the sentences: the candidates from best to worst, what was left out, what
//! can be said, and the flags to copy.

use std::fmt::Write;

use comfy_table::{CellAlignment, Table, presets};
use serde::Serialize;

use super::candidate::{Field, LeftOut};
use super::ranking::{Ranking, Row, Standing, Verdict};
use crate::arguments::{By, PlacementArguments, TuneArguments};
use crate::cpus::{self, Placement};
use crate::figure::{count, microseconds};
use crate::run::{Environment, SCHEMA};

/// What the trials gave.
#[derive(Debug)]
pub(super) struct Trials {
    pub(super) by: By,
    pub(super) seed: u64,
    /// Of each candidate, one for each round.
    pub(super) figures: Vec<Vec<f64>>,
    pub(super) count: usize,
    pub(super) noisy: usize,
    /// The time was up before all rounds were taken.
    pub(super) budget_ended: bool,
}

/// What is written as JSON.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    schema: u32,
    verdict: &'static str,
    /// What it means, in a sentence.
    sentence: String,
    /// What to give `run` or `serve`; empty for the defaults.
    flags: String,
    environment: Environment,
    server_cpus: String,
    client_cpus: String,
    by: &'static str,
    noise: f64,
    seed: u64,
    rounds: usize,
    trials: usize,
    noisy_trials: usize,
    candidates: Vec<CandidateResult>,
    left_out: Vec<LeftOut>,
    #[serde(skip)]
    unit: fn(f64) -> String,
}

#[derive(Debug, Serialize)]
struct CandidateResult {
    flags: String,
    standing: Standing,
    median: f64,
    ratio_to_best: f64,
    interval: Option<(f64, f64)>,
    figures: Vec<f64>,
}

impl Default for Trials {
    fn default() -> Self {
        Self {
            by: By::Throughput,
            seed: 0,
            figures: Vec::new(),
            count: 0,
            noisy: 0,
            budget_ended: false,
        }
    }
}

impl Report {
    pub(super) fn new(
        arguments: &TuneArguments,
        placement: &Placement,
        field: &Field,
        trials: &Trials,
        ranking: &Ranking,
    ) -> Self {
        let result = |row: &Row| CandidateResult {
            flags: field.candidates[row.candidate].line(),
            standing: row.standing,
            median: row.median,
            ratio_to_best: row.ratio,
            interval: row.interval,
            figures: trials.figures[row.candidate].clone(),
        };
        let rounds = trials.figures.first().map_or(0, Vec::len);
        Self {
            schema: SCHEMA,
            verdict: ranking.verdict.name(),
            sentence: sentence(ranking, trials, rounds, arguments.noise),
            flags: field.candidates[ranking.choice].line(),
            environment: Environment::read(),
            server_cpus: cpus::list(&placement.server),
            client_cpus: cpus::list(&placement.client),
            by: name(trials.by),
            noise: arguments.noise,
            seed: trials.seed,
            rounds,
            trials: trials.count,
            noisy_trials: trials.noisy,
            candidates: ranking.rows.iter().map(result).collect(),
            left_out: field.left_out.clone(),
            unit: unit(trials.by),
        }
    }

    pub(super) fn render(&self) -> String {
        let mut table = Table::new();
        table.load_style(presets::NOTHING);
        table.set_header(["", "median", "ratio to best", "interval", ""]);
        for candidate in &self.candidates {
            let interval = candidate.interval;
            table.add_row([
                named(&candidate.flags).to_owned(),
                (self.unit)(candidate.median),
                format!("{:.3}", candidate.ratio_to_best),
                interval.map_or_else(String::new, |(least, most)| format!("{least:.3}-{most:.3}")),
                candidate.standing.name().to_owned(),
            ]);
        }
        for column in table.column_iter_mut().skip(1).take(3) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        let mut text = format!("{table}\n");
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "\n{} trials in {} rounds, {} of them NOISY",
            self.trials, self.rounds, self.noisy_trials
        );
        let _ = writeln!(text, "verdict    {}: {}", self.verdict, self.sentence);
        let cpus = if self.server_cpus == "any" { "none" } else { &self.server_cpus };
        let flags = if self.flags.is_empty() { "" } else { &*format!(" {}", self.flags) };
        let _ = writeln!(
            text,
            "use        --server-cpus {cpus}{flags}   (serve: --cpus {cpus}{flags})"
        );
        if self.environment.debug_build {
            let _ =
                writeln!(text, "           debug build: use cargo run --release for real figures");
        }
        text
    }
}

/// What is said before the trials begin.
pub(super) fn heading(
    arguments: &TuneArguments,
    placement: &Placement,
    field: &Field,
    by: By,
    rounds: usize,
    seed: u64,
) -> String {
    let candidates = field.candidates.len();
    let trial = arguments.warmup + arguments.duration;
    let all = trial * u32::try_from(candidates * rounds).unwrap_or(u32::MAX);
    let mut text = format!(
        "loadtest tune {}   {candidates} candidates, {rounds} rounds in random order (seed {seed}), \
         by {}\nserver on CPU {} | client on CPU {} | takes {:.0} s and the starts of {} servers\n",
        arguments.load.workload.name(),
        name(by),
        cpus::list(&placement.server),
        cpus::list(&placement.client),
        all.as_secs_f64(),
        candidates * rounds
    );
    if let Some(why) = &placement.shared {
        let _ = writeln!(text, "SHARED-CORE: client and server take time from each other ({why}).");
    }
    let _ = writeln!(text, "{}", left_out_lines(field));
    text
}

/// The candidates and what was left out.
pub(super) fn list(field: &Field) -> String {
    let lines: Vec<String> = field.candidates.iter().map(PlacementArguments::line).collect();
    let mut text: String = lines.iter().map(|line| format!("{}\n", named(line))).collect();
    text += &left_out_lines(field);
    text
}

fn left_out_lines(field: &Field) -> String {
    let line = |left: &LeftOut| format!("left out   {}: {}\n", left.flags, left.why);
    field.left_out.iter().map(line).collect()
}

fn named(line: &str) -> &str {
    if line.is_empty() { "(defaults)" } else { line }
}

fn name(by: By) -> &'static str {
    match by {
        By::Cost => "server CPU time per operation, less is better",
        By::Throughput => "operations per second, more is better",
        By::P99 => "99th percentile of the latency, less is better",
    }
}

fn unit(by: By) -> fn(f64) -> String {
    match by {
        By::Throughput => |value| format!("{}/s", count(value)),
        By::Cost | By::P99 => |value| microseconds(Some(value)),
    }
}

/// What can be said, and how far it can be trusted.
fn sentence(ranking: &Ranking, trials: &Trials, rounds: usize, noise: f64) -> String {
    let open = ranking.rows.iter().filter(|row| row.standing == Standing::Open);
    let widest = open.filter_map(|row| row.interval).map(|(least, most)| most - least);
    let widest = widest.fold(0.0, f64::max);
    let blur = if widest > 0.0 {
        format!(" Differences below {:.0} % do not show in {rounds} rounds.", widest * 100.0)
    } else {
        String::new()
    };
    let percent = noise * 100.0;
    match ranking.verdict {
        Verdict::Winner => format!("all others are worse by more than {percent} %."),
        Verdict::Tied => format!(
            "some are worse by more than {percent} %; of the others the one nearest to the \
             defaults is named.{blur}"
        ),
        Verdict::NoDifference if widest > 0.0 => format!(
            "none is told apart from the best; the one nearest to the defaults is named.{blur}"
        ),
        Verdict::NoDifference => {
            format!(
                "all are within {percent} % of the best; the one nearest to the defaults is named."
            )
        }
        Verdict::TooFewRounds { needed } => {
            let why = if trials.budget_ended { "the budget ended" } else { "they ended" };
            format!("{why} after {rounds} of the {needed} rounds that so many candidates need.")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::ranking::{Aim, rank};
    use super::*;

    fn told(figures: &[Vec<f64>], budget_ended: bool) -> (Ranking, String) {
        let ranking = rank(figures, Aim::Least, 0.02);
        let trials = Trials { figures: figures.to_vec(), budget_ended, ..Trials::default() };
        let text = sentence(&ranking, &trials, figures[0].len(), 0.02);
        (ranking, text)
    }

    #[test]
    fn each_verdict_has_its_sentence() {
        let (_, winner) = told(&[vec![2.0; 12], vec![1.0; 12]], false);
        assert!(winner.contains("all others are worse by more than 2 %"), "{winner}");
        let (_, same) = told(&[vec![1.0; 12], vec![1.0; 12]], false);
        assert!(same.contains("within 2 %"), "{same}");
        let wild = |n: usize| 1.0 + (n % 2) as f64 / 2.0;
        let wild = [(0..12).map(wild).collect(), (1..13).map(wild).collect()];
        let (ranking, open) = told(&wild, false);
        assert_eq!(ranking.verdict, Verdict::NoDifference);
        assert!(open.contains("do not show in 12 rounds"), "{open}");
        let (_, few) = told(&[vec![2.0; 3], vec![1.0; 3]], true);
        assert!(few.contains("budget ended after 3 of the 6 rounds"), "{few}");
    }

    #[test]
    fn the_list_names_the_defaults_and_the_reasons() {
        let mut field = Field::default();
        field.candidates.push(PlacementArguments::default());
        field.left_out.push(LeftOut { flags: "--idle busy".into(), why: "a quota".into() });
        assert_eq!(list(&field), "(defaults)\nleft out   --idle busy: a quota\n");
    }
}
