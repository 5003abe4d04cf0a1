//! The flags that place a server's cores.
//!
//! Owns their names, how they are written again for a child process and for people to copy, and
//! what they ask of the runtime, whose own words they take. Never acts.

use clap::Args;
use sluicegate::{AcceptMode, Cores, CpuSet, Idle, Order, Pin, Placement, PlacementError, Smt};

/// Where the cores of a server run, what they do when idle and how connections come to them; what
/// is absent has a default.
#[derive(Args, Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct PlacementArguments {
    /// How many: a number, auto or physical [default: one per CPU it is given, else one]
    #[arg(long, value_name = "N", help_heading = CORES)]
    pub(crate) cores: Option<Cores>,
    /// How they are tied to CPUs: none, each, set or node [default: each, where CPUs are given]
    #[arg(long, value_name = "WAY", help_heading = CORES)]
    pub(crate) pin: Option<Pin>,
    /// Which CPUs come first where there are more than cores: spread or pack [default: spread]
    #[arg(long, value_name = "ORDER", help_heading = CORES)]
    pub(crate) order: Option<Order>,
    /// Which CPUs of a physical core count: all or one [default: all]
    #[arg(long, value_name = "WHICH", help_heading = CORES)]
    pub(crate) smt: Option<Smt>,
    /// What they do without work: park, spin:50us or busy [default: park]
    #[arg(long, value_name = "WAY", help_heading = CORES)]
    pub(crate) idle: Option<Idle>,
    /// Who accepts, and for whom: balanced, reuseport, single:least, single:round-robin,
    /// single:hash or fixed:CORE [default: balanced]
    #[arg(long, value_name = "MODE", help_heading = CORES)]
    pub(crate) accept: Option<AcceptMode>,
    /// Does not start if a core cannot be tied to its CPUs
    #[arg(long, help_heading = CORES)]
    pub(crate) strict: bool,
}

impl PlacementArguments {
    /// The flags that are given, with their values.
    pub(crate) fn flags(&self) -> Vec<(&'static str, Option<String>)> {
        fn text(value: Option<impl ToString>) -> Option<String> {
            value.map(|value| value.to_string())
        }
        let valued = [
            ("--cores", text(self.cores)),
            ("--pin", text(self.pin)),
            ("--order", text(self.order)),
            ("--smt", text(self.smt)),
            ("--idle", text(self.idle)),
            ("--accept", text(self.accept)),
        ];
        let mut flags: Vec<_> = valued.into_iter().filter(|(_, value)| value.is_some()).collect();
        flags.extend(self.strict.then_some(("--strict", None)));
        flags
    }

    /// The flags as they are typed; empty without any.
    pub(crate) fn line(&self) -> String {
        let flags = self.flags().into_iter().map(|(name, value)| match value {
            Some(value) => format!("{name} {value}"),
            None => name.to_owned(),
        });
        flags.collect::<Vec<_>>().join(" ")
    }

    /// How the cores of a server that is given some CPUs are tied to them; where it is given none
    /// the runtime's own default holds.
    pub(crate) fn default_pin(cpus: &[usize]) -> Option<Pin> {
        (!cpus.is_empty()).then_some(Pin::Each)
    }

    /// What this asks of the runtime, for a server that is given some CPUs, or none to be confined
    /// to.
    ///
    /// # Errors
    /// A CPU that no set can name.
    pub(crate) fn asked(&self, cpus: &[usize]) -> Result<Placement, PlacementError> {
        let mut asked = Placement::default();
        asked.cores = self.cores;
        asked.pin = self.pin.or_else(|| Self::default_pin(cpus));
        if cpus.is_empty() {
            asked.cores = asked.cores.or(Some(Cores::Count(1)));
        } else {
            asked.cpus = Some(CpuSet::from_cpus(cpus.iter().copied())?.into());
        }
        asked.order = self.order;
        asked.smt = self.smt;
        asked.idle = self.idle;
        asked.strict = self.strict.then_some(true);
        Ok(asked)
    }
}

/// Where they stand in the help.
const CORES: &str = "Cores of the server";
