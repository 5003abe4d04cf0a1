//! The flags of `ab`.
//!
//! Owns how the flags of a side are read: those of the server alone, because both sides have the
//! same load. Never acts.

use std::convert::Infallible;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use clap::{Args, Parser};

use super::{By, LimitArguments, LoadArguments, PlacementArguments, WatchArguments};
use crate::units::{duration, percent};

#[derive(Args, Clone, Debug)]
pub(crate) struct AbArguments {
    #[command(flatten)]
    pub(crate) load: LoadArguments,
    /// Server flags of the first side, as in '--watchdog off'; '' for the defaults
    #[arg(
        long,
        value_name = "FLAGS",
        allow_hyphen_values = true,
        required_unless_present = "a_command"
    )]
    a: Option<Side>,
    /// Server flags of the second side
    #[arg(
        long,
        value_name = "FLAGS",
        allow_hyphen_values = true,
        required_unless_present = "b_command"
    )]
    b: Option<Side>,
    /// Command of a foreign server as the first side, as for run --server-command
    #[arg(long, value_name = "COMMAND", conflicts_with = "a", value_parser = Side::foreign)]
    a_command: Option<Side>,
    /// The same as the second side
    #[arg(long, value_name = "COMMAND", conflicts_with = "b", value_parser = Side::foreign)]
    b_command: Option<Side>,
    /// Measured part of each trial
    #[arg(short, long, value_name = "T", default_value = "10s", value_parser = duration)]
    pub(crate) duration: Duration,
    /// Part before it that is discarded
    #[arg(short, long, value_name = "T", default_value = "1s", value_parser = duration)]
    pub(crate) warmup: Duration,
    /// Figure to compare by [default: cost at a --rate, else throughput]
    #[arg(long, value_enum)]
    pub(crate) by: Option<By>,
    /// Pairs of trials, one of each side
    #[arg(long, value_name = "N", default_value_t = 12)]
    pub(crate) pairs: usize,
    /// Difference that does not matter
    #[arg(long, value_name = "PERCENT", default_value = "1%", value_parser = percent)]
    pub(crate) noise: f64,
    /// What the order within the pairs is drawn from [default: drawn, and printed]
    #[arg(long, value_name = "N")]
    pub(crate) seed: Option<u64>,
    /// Writes the result as JSON; - for standard output
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
}

/// The server of one side.
#[derive(Clone, Debug, Default)]
pub(crate) struct Side {
    /// As it was given.
    pub(crate) text: String,
    pub(crate) server: ServerArguments,
    /// Of a foreign server, which has no such flags.
    pub(crate) command: Option<String>,
}

impl AbArguments {
    /// The two sides.
    pub(crate) fn sides(&self) -> [Side; 2] {
        [(&self.a, &self.a_command), (&self.b, &self.b_command)].map(|(ours, foreign)| {
            foreign.as_ref().or(ours.as_ref()).expect("one of them is required").clone()
        })
    }
}

impl Side {
    /// The server of a command.
    fn foreign(command: &str) -> Result<Self, Infallible> {
        let command = command.to_owned();
        Ok(Self { text: command.clone(), command: Some(command), ..Self::default() })
    }
}

/// All that a side may choose.
#[derive(Clone, Debug, Default, Parser)]
#[command(no_binary_name = true, disable_help_flag = true)]
pub(crate) struct ServerArguments {
    #[command(flatten)]
    pub(crate) placement: PlacementArguments,
    #[command(flatten)]
    pub(crate) limits: LimitArguments,
    #[command(flatten)]
    pub(crate) watch: WatchArguments,
}

impl FromStr for Side {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let server = ServerArguments::try_parse_from(text.split_whitespace()).map_err(|error| {
            let error = error.to_string();
            // What follows is how to call the whole program.
            let said = error.lines().map(str::trim).take_while(|line| !line.starts_with("Usage"));
            let said: Vec<&str> = said.filter(|line| !line.is_empty()).collect();
            let said = said.join("; ");
            format!("{} (a side takes the server's flags)", said.trim_start_matches("error: "))
        })?;
        Ok(Self { text: text.trim().to_owned(), server, command: None })
    }
}

#[cfg(test)]
mod tests {
    use super::super::watch::Watchdog;
    use super::*;

    #[test]
    fn a_side_has_flags_of_the_server_and_no_others() {
        let side: Side = " --watchdog off --cores 2 ".parse().unwrap();
        assert_eq!(side.text, "--watchdog off --cores 2");
        assert_eq!(side.server.watch.watchdog, Some(Watchdog(None)));
        assert!(side.server.placement.cores.is_some());
        assert_eq!("".parse::<Side>().unwrap().server.watch, WatchArguments::default());
        let refused = "--connections 3".parse::<Side>().unwrap_err();
        assert!(refused.contains("--connections") && refused.contains("server"), "{refused}");
    }
}
