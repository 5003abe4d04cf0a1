//! A place for every core, and why it is so.
//!
//! Owns the outcome of planning and its line for the start-up report. The rules are in `asked.rs`.
//!
//! Invariants: a plan has between one and [`MAX_CORES`] cores; it names no CPU outside the
//! allowed mask.

use std::fmt;

use super::choice::{Order, Pin, Smt};
use super::cpu_set::CpuSet;
use super::idle::Idle;
use super::quota::CpuQuota;
use super::warning::Warning;

/// The most cores a runtime may have: 1,024, the number of CPUs a set can name.
pub const MAX_CORES: usize = CpuSet::CAPACITY;

/// A place for every core, and why it is so.
///
/// Prints as one line for the start-up report; the warnings are not in it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Plan {
    /// One entry a core, in order of index; never empty.
    pub cores: Vec<CorePlan>,
    /// The pinning that was asked for, or the default.
    pub pin: Pin,
    /// In which order CPUs were chosen.
    pub order: Order,
    /// Which CPUs of a physical core were used.
    pub smt: Smt,
    /// What cores do that have nothing to do; [`Idle::Park`] where another way was refused.
    pub idle: Idle,
    /// Whether a core that cannot be pinned keeps the runtime from starting.
    pub strict: bool,
    /// The CPUs that were listed, or all allowed.
    pub listed: CpuSet,
    /// The CPUs the process may use.
    pub allowed: CpuSet,
    /// The CPU time the control groups grant, if they limit it.
    pub quota: Option<CpuQuota>,
    /// What decided the number of cores.
    pub reason: Reason,
    /// What the one who asked may not have meant.
    pub warnings: Vec<Warning>,
}

/// The place of one core.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CorePlan {
    /// The number of the core, from 0.
    pub index: usize,
    /// The CPUs its thread is confined to; nothing leaves the thread as it is.
    pub cpus: Option<CpuSet>,
    /// Why these.
    pub why: Why,
}

/// Why a core is where it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Why {
    /// Nothing is pinned.
    Unpinned,
    /// It is confined to the CPUs among which was chosen.
    Shared,
    /// It is confined to the set that was listed for it.
    OwnSet,
    /// It has a CPU on a physical core where no other core is.
    PhysicalCore,
    /// It has a CPU on the physical core of another core: the lowest of the others there.
    SiblingOf(usize),
    /// It is confined to a NUMA node.
    Node(usize),
}

/// What decided the number of cores.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reason {
    /// The number was given.
    Asked,
    /// One core for each CPU listed.
    Listed,
    /// One core for each set listed.
    OwnSets,
    /// One core for each CPU that may be used.
    Allowed,
    /// One core for each physical core.
    Physical,
    /// The CPU quota pays for fewer cores than there are CPUs.
    Quota,
}

impl Plan {
    /// Where a thread runs that serves all cores: on listed CPUs that no core has for itself, or
    /// else on any of them. Nothing where cores are not confined: it then stays where it is.
    #[must_use]
    pub fn helper_cpus(&self) -> Option<CpuSet> {
        let pinned = || CpuSet::union(self.cores.iter().filter_map(|core| core.cpus.as_ref()));
        match self.pin {
            Pin::None => None,
            Pin::Each => pinned()
                .and_then(|pinned| self.listed.minus(&pinned))
                .or_else(|| Some(self.listed.clone())),
            Pin::Set | Pin::Node => Some(self.listed.clone()),
        }
    }

    /// The CPUs a core may run on, confined or not.
    #[must_use]
    pub fn cpus(&self, core: usize) -> &CpuSet {
        self.cores.get(core).and_then(|core| core.cpus.as_ref()).unwrap_or(&self.allowed)
    }

    /// Writes ` cpus=` and a set for every core; neighbours with the same set share one.
    fn write_cpus(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let runs: Vec<&[CorePlan]> = self.cores.chunk_by(|a, b| a.cpus == b.cpus).collect();
        for (place, run) in runs.iter().enumerate() {
            let [first @ CorePlan { cpus: Some(cpus), .. }, rest @ ..] = run else { continue };
            f.write_str(if place == 0 { " cpus=" } else { ";" })?;
            match rest.last() {
                _ if runs.len() == 1 && self.pin == Pin::Set => {}
                Some(last) => write!(f, "{}-{}:", first.index, last.index)?,
                None => write!(f, "{}:", first.index)?,
            }
            write!(f, "{cpus}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cores={} ({}) pin={}", self.cores.len(), self.reason, self.pin)?;
        self.write_cpus(f)?;
        if matches!(self.pin, Pin::Each | Pin::Node) {
            write!(f, " order={}", self.order)?;
        }
        if self.smt != Smt::All {
            write!(f, " smt={}", self.smt)?;
        }
        if self.idle != Idle::Park {
            write!(f, " idle={}", self.idle)?;
        }
        write!(f, " allowed={} quota=", self.allowed)?;
        match self.quota {
            Some(quota) => quota.fmt(f),
            None => f.write_str("none"),
        }
    }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unpinned => f.write_str("not pinned"),
            Self::Shared => f.write_str("confined to the CPUs of all cores"),
            Self::OwnSet => f.write_str("confined to the set listed for it"),
            Self::PhysicalCore => f.write_str("alone on its physical core"),
            Self::SiblingOf(core) => write!(f, "shares its physical core with core {core}"),
            Self::Node(node) => write!(f, "confined to NUMA node {node}"),
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Asked => "as asked",
            Self::Listed => "one for each CPU listed",
            Self::OwnSets => "one for each set listed",
            Self::Allowed => "one for each allowed CPU",
            Self::Physical => "one for each physical core",
            Self::Quota => "what the CPU quota pays for",
        })
    }
}
