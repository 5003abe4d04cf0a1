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
    /// group, placement, suspended: members [default: 64, 1000, 19000]
    #[arg(short, long, value_name = "N")]
    pub(crate) connections: Option<usize>,
    /// group, placement: limit of all members together [default: 10MB/s, 50MB/s]
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
    /// group: over TLS, where the limit is of ciphertext
    #[arg(long)]
    pub(crate) tls: bool,
    /// CPUs of the server, one core each; placement takes two at least
    #[arg(long, value_name = "LIST", default_value = "auto")]
    pub(crate) server_cpus: CpuChoice,
    /// group, placement, suspended: measured part [default: 10s; suspended: 1200ms each]
    #[arg(short, long, value_name = "T", value_parser = duration)]
    pub(crate) duration: Option<Duration>,
}

impl RatelimitArguments {
    /// The first flag given that none of these scenarios heeds, with those that would.
    pub(crate) fn unheeded_flag(
        &self,
        names: &[&str],
    ) -> Option<(&'static str, &'static [&'static str])> {
        let flags: [(_, _, &[&str]); 7] = [
            ("-c", self.connections.is_some(), &["group", "placement", "suspended"]),
            ("--group-limit", self.group_limit.is_some(), &["group", "placement"]),
            ("--burst", self.burst.is_some(), &["group"]),
            ("--tick", self.tick.is_some(), &["group"]),
            ("--min-share", self.min_share.is_some(), &["group"]),
            ("--tls", self.tls, &["group"]),
            ("-d", self.duration.is_some(), &["group", "placement", "suspended"]),
        ];
        let unheeded = |heeding: &[&str]| !names.iter().any(|name| heeding.contains(name));
        let mut given = flags.iter().filter(|(_, is_given, _)| *is_given);
        given.find(|(_, _, heeding)| unheeded(heeding)).map(|&(flag, _, heeding)| (flag, heeding))
    }
}
