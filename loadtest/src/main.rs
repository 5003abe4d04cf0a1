//! `loadtest`: measures servers and proves rate limits.
//!
//! Without a command it shows both. This file only dispatches: it reads the command line, runs the
//! command and turns the outcome into an exit code, which `exit` lists. Results go to standard
//! output, everything else to standard error.
//!
//! Unsafe code is denied and not forbidden because of one call in `client/session.rs`: the client's
//! TLS is the bare `openssl` crate, as a ruler is not made of what it measures, and resuming a
//! session is unsafe there.
#![deny(unsafe_code)]

mod arguments;
mod audit;
mod certificate;
mod child;
mod client;
mod cpus;
mod demonstration;
mod descriptors;
mod doctor;
mod exit;
mod fairness;
mod figure;
mod latency;
mod limits;
mod measurement;
mod median;
mod output;
mod procfs;
mod progress;
mod ratelimit;
mod run;
mod serve;
mod server;
mod simulate;
mod tune;
mod units;
mod verdict;

use std::process::ExitCode;

use clap::Parser;
use sluicegate::Placement;

use crate::arguments::{Arguments, Command};
use crate::exit::{Failure, Outcome};

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    note_variables(arguments.command.as_ref());
    match dispatch(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("error: {failure}");
            ExitCode::from(failure.code())
        }
    }
}

/// Says which variables place no server here: what is measured is what the flags say, or it could
/// not be measured again.
fn note_variables(command: Option<&Command>) {
    let has_server = match command {
        Some(Command::Serve(serve)) => !serve.controlled && !serve.heeds_variables(),
        Some(Command::Simulate(_) | Command::Doctor(_)) => false,
        Some(Command::Run(_) | Command::Ratelimit(_) | Command::Tune(_) | Command::Ab(_))
        | None => true,
    };
    let variables = match Placement::from_env() {
        Ok(asked) => {
            let known = Some(asked.to_string()).filter(|known| !known.is_empty());
            let unknown = asked.unknown_variables().map(str::to_owned);
            known.into_iter().chain(unknown).collect::<Vec<_>>().join(" ")
        }
        Err(error) => error.to_string(),
    };
    if has_server && !variables.is_empty() {
        eprintln!("note: flags alone place a server's cores here; not heeded: {variables}");
    }
}

fn dispatch(arguments: Arguments) -> Outcome {
    match arguments.command {
        Some(Command::Serve(mut serve)) => {
            serve.break_limiter = arguments.break_limiter;
            if serve.heeds_variables() {
                let said = Placement::from_env();
                serve.variables = said.map_err(|refused| Failure::Usage(refused.to_string()))?;
            }
            serve::run(&serve)
        }
        Some(Command::Run(run)) => run::run(&run, arguments.break_limiter),
        Some(Command::Ratelimit(ratelimit)) => ratelimit::run(&ratelimit, arguments.break_limiter),
        Some(Command::Simulate(simulate)) => simulate::run(&simulate),
        Some(Command::Tune(tune)) => tune::run(&tune),
        Some(Command::Ab(ab)) => tune::compare(&ab),
        Some(Command::Doctor(doctor)) => doctor::run(&doctor),
        None => demonstration::run(arguments.break_limiter),
    }
}
