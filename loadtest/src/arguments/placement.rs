//! The flags that place a server's cores.
//!
//! Owns their names, how they are written again for a child process and for people to copy, and
//! what they ask of the runtime, whose own words they take. Never acts.

use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use sluicegate::placement::Snapshot;
use sluicegate::{
    AcceptMode, Cores, CpuSet, Idle, ListenError, Order, Pin, Placement, PlacementError, Plan, Smt,
};

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
    #[arg(
        long, num_args = 0..=1, require_equals = true, default_missing_value = "true",
        value_parser = yes_or_no(), help_heading = CORES
    )]
    pub(crate) strict: Option<bool>,
}

/// Takes the words that the variable takes.
fn yes_or_no() -> impl TypedValueParser<Value = bool> {
    let words = PossibleValuesParser::new(["true", "false", "1", "0"]);
    words.map(|word| matches!(word.as_str(), "true" | "1"))
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
        flags.extend(self.strict.map(|is| (if is { "--strict" } else { "--strict=false" }, None)));
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

    /// What a server asks of the runtime that is given some CPUs, or none to be confined to: what
    /// the flags say, then what `variables` say, then the defaults of a server.
    ///
    /// # Errors
    /// A CPU that no set can name.
    pub(crate) fn asked(
        &self,
        cpus: &[usize],
        variables: Placement,
    ) -> Result<Placement, PlacementError> {
        let mut flags = Placement::default();
        flags.cores = self.cores;
        flags.pin = self.pin;
        flags.order = self.order;
        flags.smt = self.smt;
        flags.idle = self.idle;
        flags.strict = self.strict;
        if !cpus.is_empty() {
            flags.cpus = Some(CpuSet::from_cpus(cpus.iter().copied())?.into());
        }
        let mut asked = flags.or(variables);
        match &asked.cpus {
            None => asked.cores = asked.cores.or(Some(Cores::Count(1))),
            // A set for each core says both by itself.
            Some(sets) if sets.core_count().is_some() => {}
            Some(_) => asked.pin = asked.pin.or(Some(Pin::Each)),
        }
        Ok(asked)
    }

    /// Where a server on these CPUs would have its cores, found out without one.
    ///
    /// # Errors
    /// What the runtime would refuse: it says what would be accepted.
    pub(crate) fn plan(&self, cpus: &[usize], snapshot: &Snapshot) -> Result<Plan, String> {
        let asked = self.asked(cpus, Placement::default());
        let plan = asked.and_then(|asked| asked.plan(snapshot));
        let plan = plan.map_err(|refused| refused.to_string())?;
        let cores = plan.cores.len();
        match self.accept {
            Some(mode @ (AcceptMode::Fixed(core) | AcceptMode::Single { acceptor: core, .. }))
                if core >= cores =>
            {
                Err(ListenError::NoSuchCore { mode, core, cores }.to_string())
            }
            _ => Ok(plan),
        }
    }
}

/// Where they stand in the help.
const CORES: &str = "Cores of the server";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_go_before_variables_and_those_before_the_defaults_of_a_server() {
        let flags = PlacementArguments {
            cores: Some(Cores::Count(2)),
            strict: Some(false),
            ..PlacementArguments::default()
        };
        let none = PlacementArguments::default();
        let given = [0, 1].as_slice();
        for (flags, cpus, variables, expected) in [
            (&none, &[][..], "", "CORES=1"),
            (&none, &[], "CORES=3 IDLE=busy STRICT=1", "CORES=3 IDLE=busy STRICT=true"),
            (&none, &[], "CPUS=2-3", "CPUS=2-3 PIN=each"),
            (&none, &[], "CPUS=2-3 PIN=set", "CPUS=2-3 PIN=set"),
            (&none, &[], "CPUS=[2-3]*2", "CPUS=[2-3]*2"),
            (&none, given, "", "CPUS=0-1 PIN=each"),
            (&none, given, "CPUS=2-3 CORES=3", "CORES=3 CPUS=0-1 PIN=each"),
            (&flags, &[], "CORES=3 STRICT=true", "CORES=2 STRICT=false"),
        ] {
            let said = variables.split_whitespace().map(|one| one.split_once('=').unwrap());
            let said = said.map(|(name, text)| (format!("SLUICEGATE_{name}"), text));
            let asked = flags.asked(cpus, Placement::from_vars(said).unwrap()).unwrap();
            assert_eq!(asked.to_string().replace("SLUICEGATE_", ""), expected, "{variables:?}");
        }
    }
}
