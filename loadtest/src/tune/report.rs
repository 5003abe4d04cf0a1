//! A tuning as text and as JSON.
//!
//! Owns the layout and the sentences: the candidates from best to worst, what was left out, what
//! can be said, and the flags to copy.

use std::fmt::Write;

use comfy_table::{CellAlignment, Table, presets};
use serde::Serialize;

use super::candidate::{Field, LeftOut};
use super::measure::Measure;
use super::ranking::{Ranking, Row, Standing, Verdict};
use super::rounds::{Plan, Trials};
use super::{MOST_ROUNDS, Tuning};
use crate::arguments::PlacementArguments;
use crate::cpus;
use crate::figure::plain;
use crate::run::{Environment, SCHEMA};

/// What is written as JSON.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    schema: u32,
    verdict: &'static str,
    /// What it means, in a sentence.
    sentence: String,
    /// What to give `run` or `serve`, with the defaults that depend on them; absent where none
    /// kept up.
    flags: Option<String>,
    environment: Environment,
    server_cpus: String,
    client_cpus: String,
    by: &'static str,
    noise: f64,
    seed: u64,
    rounds: usize,
    trials: usize,
    noisy_trials: usize,
    client_bound_trials: usize,
    /// How many more rounds would tell what is open.
    more_rounds: Option<usize>,
    /// The trial that failed and ended them, if one did.
    failure: Option<String>,
    candidates: Vec<CandidateResult>,
    left_out: Vec<LeftOut>,
    #[serde(skip)]
    measure: Measure,
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

impl Report {
    pub(super) fn new(
        tuning: &Tuning<'_>,
        plan: &Plan,
        trials: &Trials,
        ranking: &Ranking,
    ) -> Self {
        let Tuning { arguments, placement, field, measure } = tuning;
        let result = |row: &Row| CandidateResult {
            flags: field.candidates[row.candidate].line(),
            standing: row.standing,
            median: row.median,
            ratio_to_best: row.ratio,
            interval: row.interval,
            figures: trials.figures[row.candidate].clone(),
        };
        let failure = trials.failure.as_ref().map(|failed| {
            let flags = field.candidates[failed.candidate].line();
            format!("{} in round {}: {}", named(&flags), failed.round, failed.failure)
        });
        Self {
            schema: SCHEMA,
            verdict: ranking.verdict.name(),
            sentence: sentence(ranking, trials, arguments.noise),
            flags: ranking.choice.map(|choice| field.in_full(choice).line()),
            environment: Environment::read(),
            server_cpus: cpus::list(&placement.server),
            client_cpus: cpus::list(&placement.client),
            by: measure.name(),
            noise: arguments.noise,
            seed: plan.seed,
            rounds: trials.rounds(),
            trials: trials.count,
            noisy_trials: trials.noisy,
            client_bound_trials: trials.client_bound,
            more_rounds: ranking.more_rounds.filter(|&more| more <= MOST_ROUNDS),
            failure,
            candidates: ranking.rows.iter().map(result).collect(),
            left_out: field.left_out.clone(),
            measure: *measure,
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
                self.measure.text(candidate.median),
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
            "\n{} trials in {} rounds, {} of them NOISY, {} CLIENT-BOUND",
            self.trials, self.rounds, self.noisy_trials, self.client_bound_trials
        );
        if self.client_bound_trials > 0 {
            let _ = writeln!(
                text,
                "           where the client is the limit servers look alike: give it more with \
                 --client-cpus and -t, or compare --by cost"
            );
        }
        if let Some(failure) = &self.failure {
            let _ = writeln!(text, "failed     {failure}");
        }
        let _ = writeln!(text, "verdict    {}: {}", self.verdict, self.sentence);
        if let Some(flags) = &self.flags {
            let cpus = if self.server_cpus == "any" { "none" } else { &self.server_cpus };
            let _ = writeln!(
                text,
                "use        --server-cpus {cpus} {flags}   (serve: --cpus {cpus} {flags})"
            );
        }
        if self.environment.debug_build {
            let _ =
                writeln!(text, "           debug build: use cargo run --release for real figures");
        }
        text
    }
}

/// What is said before the trials begin.
pub(super) fn heading(tuning: &Tuning<'_>, plan: &Plan) -> String {
    let Tuning { arguments, placement, field, measure } = tuning;
    let &Plan { candidates, rounds, seed, .. } = plan;
    let mut text = format!(
        "loadtest tune {}   {candidates} candidates, {rounds} rounds in random order (seed {seed}), \
         by {}\nserver on CPU {} | client on CPU {} | takes {:.0} s and the starts of {} servers\n",
        arguments.load.workload.name(),
        measure.name(),
        cpus::list(&placement.server),
        cpus::list(&placement.client),
        plan.length().as_secs_f64(),
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

/// A candidate's flags, or what to call it without any.
pub(super) fn named(line: &str) -> &str {
    if line.is_empty() { "(defaults)" } else { line }
}

/// What can be said, and how far it can be trusted.
fn sentence(ranking: &Ranking, trials: &Trials, noise: f64) -> String {
    let rounds = trials.rounds();
    let percent = plain(Some(noise * 100.0));
    let unfit = ranking.rows.iter().filter(|row| row.standing == Standing::Unfit).count();
    let unfit = match unfit {
        0 => String::new(),
        unfit => format!(" {unfit} did not keep up with the load (OVERLOADED or ERRORS)."),
    };
    let open = open(ranking, rounds);
    match ranking.verdict {
        Verdict::Winner => {
            let worse = ranking.rows.iter().any(|row| row.standing == Standing::Worse);
            let beaten =
                format!("the others are worse for certain, by more than {percent} % as estimated.");
            format!("{}{unfit}", if worse { &*beaten } else { "no other is left to compare." })
        }
        Verdict::Tied => format!(
            "some are worse; of the others the one nearest to the defaults is named.{open}{unfit}"
        ),
        Verdict::NoDifference => format!(
            "all are within {percent} % of the best; the one nearest to the defaults is named."
        ),
        Verdict::Inconclusive => format!(
            "none is worse for certain, and not all are the same; the one nearest to the defaults \
             is named.{open}"
        ),
        Verdict::NoneFit => "no candidate did in every trial what was asked of it (OVERLOADED or \
                             ERRORS); lower the load or give the server more CPUs."
            .to_owned(),
        Verdict::TooFewRounds { needed } => {
            let why = match &trials.failure {
                Some(_) => "a trial failed",
                None if trials.budget_ended => "the budget ended",
                None => "they ended",
            };
            format!("{why} after {rounds} of the {needed} rounds that so many candidates need.")
        }
    }
}

/// What did not show, and what it would take.
fn open(ranking: &Ranking, rounds: usize) -> String {
    let open = ranking.rows.iter().filter(|row| row.standing == Standing::Open);
    let widest = open.filter_map(|row| row.interval).map(|(least, most)| most - least);
    let Some(widest) = widest.max_by(f64::total_cmp) else { return String::new() };
    let more = match ranking.more_rounds {
        Some(more) if more <= MOST_ROUNDS => format!("about {more} more would tell"),
        _ => format!("{MOST_ROUNDS} more would not tell"),
    };
    let percent = plain(Some(widest * 100.0));
    format!(" Differences below {percent} % do not show in {rounds} rounds; {more}.")
}

#[cfg(test)]
mod tests {
    use super::super::ranking::{Aim, rank};
    use super::*;

    fn told(figures: &[Vec<f64>], fit: &[bool], budget_ended: bool) -> (Ranking, String) {
        let ranking = rank(figures, fit, Aim::Least, 0.02);
        let trials = Trials { figures: figures.to_vec(), budget_ended, ..Trials::default() };
        let text = sentence(&ranking, &trials, 0.02);
        (ranking, text)
    }

    #[test]
    fn each_verdict_has_its_sentence() {
        let all = [true; 2];
        let (_, winner) = told(&[vec![2.0; 12], vec![1.0; 12]], &all, false);
        assert!(winner.contains("more than 2 % as estimated"), "{winner}");
        let (_, same) = told(&[vec![1.0; 12], vec![1.0; 12]], &all, false);
        assert!(same.contains("within 2 %"), "{same}");
        let wild = |n: usize| 1.0 + (n % 2) as f64 / 2.0;
        let wild = [(0..12).map(wild).collect(), (1..13).map(wild).collect()];
        let (ranking, open) = told(&wild, &all, false);
        assert_eq!(ranking.verdict, Verdict::Inconclusive);
        assert!(open.contains("do not show in 12 rounds"), "{open}");
        assert!(open.contains("1000 more would not tell"), "{open}");
        let (_, few) = told(&[vec![2.0; 3], vec![1.0; 3]], &all, true);
        assert!(few.contains("budget ended after 3 of the 6 rounds"), "{few}");
        let (_, alone) = told(&[vec![2.0; 12], vec![1.0; 12]], &[true, false], false);
        assert_eq!(
            alone,
            "no other is left to compare. 1 did not keep up with the load (OVERLOADED or ERRORS)."
        );
        let (_, none) = told(&[vec![2.0; 12], vec![1.0; 12]], &[false; 2], false);
        assert!(none.contains("lower the load"), "{none}");
    }

    #[test]
    fn what_is_open_by_little_is_not_said_to_be_nothing() {
        // The ratios are 1.0205 and 1.0195 by turns: on the threshold.
        let other = |n: usize| if n.is_multiple_of(2) { 1.0205 } else { 1.0195 };
        let figures = [vec![1.0; 12], (0..12).map(other).collect()];
        let (_, open) = told(&figures, &[true; 2], false);
        assert!(open.contains("below 0.100 %"), "{open}");
    }

    #[test]
    fn the_list_names_the_defaults_and_the_reasons() {
        let mut field = Field::default();
        field.candidates.push(PlacementArguments::default());
        field.left_out.push(LeftOut { flags: "--idle busy".into(), why: "a quota".into() });
        assert_eq!(list(&field), "(defaults)\nleft out   --idle busy: a quota\n");
    }
}
