//! What is told of a tuning and of a comparison alike: where it was made, how, and what its trials
//! suffered.
//!
//! Owns these fields of the JSON and these lines of the text. What came out is in the reports.

use serde::Serialize;

use super::rounds::{End, Plan};
use super::sentence::Subject;
use crate::cpus::{self, Placement};
use crate::run::{Environment, SCHEMA};

/// Part of what is written as JSON.
#[derive(Debug, Serialize)]
pub(super) struct Frame {
    schema: u32,
    environment: Environment,
    pub(super) server_cpus: String,
    client_cpus: String,
    /// Why both sides may have taken time from each other, if they may.
    shared: Option<String>,
    by: &'static str,
    noise: f64,
    seed: u64,
    /// What ended the rounds before all were taken.
    ended_by: Option<&'static str>,
    noisy_trials: usize,
    client_bound_trials: usize,
    /// Those that do not count.
    void_trials: usize,
    /// Those that were too short for the figure.
    unmeasured_trials: usize,
}

impl Frame {
    pub(super) fn new(placement: &Placement, subject: &Subject<'_>) -> Self {
        let &Subject { plan, trials, measure, noise, .. } = subject;
        Self {
            schema: SCHEMA,
            environment: Environment::read(),
            server_cpus: cpus::list(&placement.server),
            client_cpus: cpus::list(&placement.client),
            shared: placement.shared.clone(),
            by: measure.name(),
            noise,
            seed: plan.seed,
            ended_by: trials.end.as_ref().map(End::name),
            noisy_trials: trials.noisy,
            client_bound_trials: trials.client_bound,
            void_trials: trials.void,
            unmeasured_trials: trials.unmeasured,
        }
    }

    /// How many trials were disturbed, and by what.
    pub(super) fn disturbed(&self) -> String {
        format!("{} NOISY, {} CLIENT-BOUND", self.noisy_trials, self.client_bound_trials)
    }

    /// What stands below it all.
    pub(super) fn last_line(&self) -> &'static str {
        match self.environment.debug_build {
            true => "           debug build: use cargo run --release for real figures\n",
            false => "",
        }
    }
}

/// Where both sides run and how long it takes, for a heading.
pub(super) fn sides(placement: &Placement, plan: &Plan) -> String {
    let shared = placement
        .shared
        .as_ref()
        .map(|why| format!("SHARED-CORE: client and server take time from each other ({why}).\n"));
    format!(
        "server on CPU {} | client on CPU {} | takes {:.0} s and the starts of {} servers\n{}",
        cpus::list(&placement.server),
        cpus::list(&placement.client),
        plan.length().as_secs_f64(),
        plan.candidates * plan.rounds,
        shared.unwrap_or_default()
    )
}
