//! The flags of `ratelimit`.
//!
//! Owns which scenario heeds which flag. Never acts.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use sluicegate::Rate;

use crate::cpus::CpuChoice;
use crate::units::{Size, duration};

#[derive(Args, Clone, Debug)]
pub(crate) struct RatelimitArguments {
    /// Scenarios to check [default: all that libevent has]
    pub(crate) scenarios: Vec<String>,
    /// Lists the scenarios and what they expect
    #[arg(long)]
    pub(crate) list: bool,
    /// Writes the results as JSON; - for standard output
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
    /// group: members [default: 64]
    #[arg(short, long, value_name = "N")]
    pub(crate) connections: Option<usize>,
    /// group: limit of all members together [default: 10MB/s]
    #[arg(long, value_name = "BW")]
    pub(crate) group_limit: Option<Rate>,
    /// group: most that may pass at once
    #[arg(long, value_name = "SIZE")]
    pub(crate) burst: Option<Size>,
    /// group: gives out tokens in ticks
    #[arg(long, value_name = "T", value_parser = duration)]
    pub(crate) tick: Option<Duration>,
    /// group: least that a member moves at a time
    #[arg(long, value_name = "SIZE")]
    pub(crate) min_share: Option<Size>,
    /// CPUs of the server, one core each
    #[arg(long, value_name = "LIST", default_value = "auto")]
    pub(crate) server_cpus: CpuChoice,
    /// group: measured part [default: 10s]
    #[arg(short, long, value_name = "T", value_parser = duration)]
    pub(crate) duration: Option<Duration>,
}

impl RatelimitArguments {
    /// The first flag given that only the scenario `group` heeds.
    pub(crate) fn group_flag(&self) -> Option<&'static str> {
        let flags = [
            ("-c", self.connections.is_some()),
            ("--group-limit", self.group_limit.is_some()),
            ("--burst", self.burst.is_some()),
            ("--tick", self.tick.is_some()),
            ("--min-share", self.min_share.is_some()),
            ("-d", self.duration.is_some()),
        ];
        flags.iter().find(|(_, is_given)| *is_given).map(|(flag, _)| *flag)
    }
}
