//! The flags by which a program lets its user place the cores of a runtime.
//!
//! Teaches: the choices parse themselves, so that each is one line, and flags go before what the
//! program and its environment say.

use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use sluicegate::{Cores, Cpus, Idle, Order, Pin, Placement, Smt};

/// How many cores, on which CPUs, tied how; `SLUICEGATE_CORES` and so on where a flag is not given.
#[derive(Args, Debug)]
pub struct PlacementFlags {
    /// How many cores: auto, physical or a number.
    #[arg(long)]
    cores: Option<Cores>,
    /// Which CPUs they run on, like 0-3,8 or node0,!core0; with ; or brackets a set for each core,
    /// like 0-1;2-3 or [0-3]*4.
    #[arg(long, value_name = "LIST")]
    cpus: Option<Cpus>,
    /// How threads are tied to CPUs: none, each, set or node.
    #[arg(long)]
    pin: Option<Pin>,
    /// Which CPUs come first where there are more than cores: spread or pack.
    #[arg(long)]
    order: Option<Order>,
    /// Which CPUs of a physical core count: all or one.
    #[arg(long)]
    smt: Option<Smt>,
    /// What cores do that have nothing to do: park, spin:50us or busy.
    #[arg(long)]
    idle: Option<Idle>,
    /// Do not start if a core cannot be tied to its CPUs.
    #[arg(
        long, num_args = 0..=1, require_equals = true, default_missing_value = "true",
        value_parser = yes_or_no()
    )]
    strict: Option<bool>,
}

/// Takes the words that the variable takes.
fn yes_or_no() -> impl TypedValueParser<Value = bool> {
    let words = PossibleValuesParser::new(["true", "false", "1", "0"]);
    words.map(|word| matches!(word.as_str(), "true" | "1"))
}

impl PlacementFlags {
    /// What was asked for; [`RuntimeBuilder::placement`](sluicegate::RuntimeBuilder::placement)
    /// takes it.
    #[must_use]
    pub fn asked(self) -> Placement {
        let mut asked = Placement::default();
        asked.cores = self.cores;
        asked.cpus = self.cpus;
        asked.pin = self.pin;
        asked.order = self.order;
        asked.smt = self.smt;
        asked.idle = self.idle;
        asked.strict = self.strict;
        asked
    }
}
