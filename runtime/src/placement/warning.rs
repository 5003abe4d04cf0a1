//! What in a plan an operator should know of, though it is carried out.
//!
//! Owns the warnings and how to notice each. They are values in the plan, so that a program can
//! show them its own way; the runtime logs them when it is built.

use std::cmp::Reverse;
use std::collections::HashSet;
use std::fmt;

use super::asked::Placement;
use super::choice::{Cores, Pin, Smt};
use super::cpu_set::CpuSet;
use super::idle::Idle;
use super::plan::Plan;
use super::quota::CpuQuota;
use super::snapshot::Snapshot;
use super::topology::Guesses;
use super::variable::names;

/// A consequence of a plan that its asker may not have meant.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Warning {
    /// There are more cores than CPUs for them, so they take turns.
    MoreCoresThanCpus {
        /// How many cores.
        cores: usize,
        /// The CPUs they share.
        cpus: CpuSet,
    },
    /// There are more cores than the quota pays for: all stop together when it is used up.
    MoreCoresThanQuota {
        /// How many cores.
        cores: usize,
        /// The quota.
        quota: CpuQuota,
    },
    /// The quota is less than one CPU: even a single core stops in every period that it is busy.
    QuotaBelowOne {
        /// The quota.
        quota: CpuQuota,
    },
    /// Threads are tied to CPUs in a container with a quota, where the host may run others on them.
    PinnedUnderQuota {
        /// How they are tied.
        pin: Pin,
        /// The quota.
        quota: CpuQuota,
    },
    /// Some cores run on slower CPUs than others, and connections do not know.
    Hybrid {
        /// The fast CPUs among those of the cores.
        fast: CpuSet,
        /// The slow ones.
        efficient: CpuSet,
    },
    /// Cores park where they were asked not to.
    IdleRefused {
        /// What was asked for.
        asked: Idle,
        /// Why not.
        why: IdleRefusal,
    },
    /// A place that a list names has CPUs that the process may not use.
    PlaceCut {
        /// The place, as in the list.
        place: String,
        /// Its CPUs that count.
        usable: CpuSet,
        /// Those that do not.
        lost: CpuSet,
    },
    /// Something was asked for that changes nothing beside the rest.
    WithoutEffect {
        /// What was asked for, as `order pack`.
        asked: String,
        /// Why it changes nothing.
        why: NoEffect,
    },
    /// A variable of this project's prefix is set that nobody knows.
    UnknownVariable {
        /// Its name.
        name: String,
    },
    /// The plan rests on guesses.
    Guessed(Guesses),
}

/// Why cores may not look for events instead of sleeping.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum IdleRefusal {
    /// The time spent looking would come out of the CPU quota.
    Quota,
    /// The time spent looking would be taken from cores on the same CPUs.
    SharedCpus,
}

/// Why a choice changes nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NoEffect {
    /// No core is tied to CPUs, and their number does not come of the choice.
    Unpinned,
    /// Every core has the whole set: nothing is chosen from it.
    OneSet,
    /// Each core has the set that is listed for it.
    OwnSets,
}

/// What cores do when idle, and a warning if it is not what was asked.
pub(super) fn idle(
    asked: Idle,
    quota: Option<CpuQuota>,
    crowded: Option<&CpuSet>,
) -> (Idle, Option<Warning>) {
    let why = match (asked, quota, crowded) {
        (Idle::Park, ..) | (_, None, None) => return (asked, None),
        (_, Some(_), _) => IdleRefusal::Quota,
        (_, None, Some(_)) => IdleRefusal::SharedCpus,
    };
    (Idle::Park, Some(Warning::IdleRefused { asked, why }))
}

/// A set of CPUs on which more cores have to run than it has CPUs, and how many, if there is one.
///
/// `places` has for each core the CPUs it may run on.
pub(super) fn crowded(places: &[&CpuSet]) -> Option<(usize, CpuSet)> {
    let all = CpuSet::union(places.iter().copied())?;
    let mut seen = HashSet::new();
    let mut distinct: Vec<&CpuSet> =
        places.iter().copied().chain([&all]).filter(|set| seen.insert(*set)).collect();
    // From the widest, which says most; equals stay as the cores have them, not as hashes do.
    distinct.sort_by_key(|set| Reverse(set.count()));
    distinct.into_iter().find_map(|set| {
        let inside = places.iter().filter(|cpus| cpus.is_within(set)).count();
        (inside > set.count()).then(|| (inside, set.clone()))
    })
}

/// What was asked for explicitly and changes nothing; `own_sets` if each core has its own list.
pub(super) fn without_effect(asked: &Placement, pin: Pin, own_sets: bool) -> Vec<Warning> {
    let order = match pin {
        Pin::None => Some(NoEffect::Unpinned),
        Pin::Set if own_sets => Some(NoEffect::OwnSets),
        Pin::Set => Some(NoEffect::OneSet),
        Pin::Each | Pin::Node => None,
    };
    let unpinned = (pin == Pin::None).then_some(NoEffect::Unpinned);
    // Without pins it still decides their number, unless that is given otherwise.
    let counts = !own_sets && matches!(asked.cores, None | Some(Cores::Auto));
    let smt = unpinned.filter(|_| !counts);
    let choices = [
        (asked.order.map(|order| format!("order {order}")), order),
        // All is what there is without a word.
        (asked.smt.filter(|smt| *smt != Smt::All).map(|smt| format!("smt {smt}")), smt),
        (asked.strict.filter(|strict| *strict).map(|_| String::from("strict")), unpinned),
    ];
    let vain = choices.into_iter().filter_map(|(asked, why)| asked.zip(why));
    vain.map(|(asked, why)| Warning::WithoutEffect { asked, why }).collect()
}

/// The warnings that follow from where cores run, and on what machine.
pub(super) fn warnings(plan: &Plan, snapshot: &Snapshot) -> Vec<Warning> {
    let mut warnings = Vec::new();
    let cores = plan.cores.len();
    if let Some(quota) = plan.quota {
        if cores > quota.cores() {
            warnings.push(Warning::MoreCoresThanQuota { cores, quota });
        }
        if quota.quota_us < quota.period_us.get() {
            warnings.push(Warning::QuotaBelowOne { quota });
        }
        if plan.pin != Pin::None {
            warnings.push(Warning::PinnedUnderQuota { pin: plan.pin, quota });
        }
    }
    let used = plan.cores.iter().filter_map(|core| core.cpus.as_ref());
    let used = CpuSet::union(used).unwrap_or_else(|| plan.allowed.clone());
    let kind = |efficient: bool| {
        snapshot.topology().cpus_where(|at| at.efficient == efficient)?.within(&used)
    };
    if let (Some(fast), Some(efficient)) = (kind(false), kind(true)) {
        warnings.push(Warning::Hybrid { fast, efficient });
    }
    if !snapshot.topology().guesses().is_empty() {
        warnings.push(Warning::Guessed(snapshot.topology().guesses().clone()));
    }
    warnings
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::MoreCoresThanCpus { cores, cpus } => {
                let count = cpus.count();
                write!(f, "{cores} cores share {count} CPUs ({cpus}) and take turns on them")
            }
            Self::MoreCoresThanQuota { cores, quota } => write!(
                f,
                "{cores} cores under a quota of {quota} CPUs: all of them stop whenever it is used \
                 up; ask for at most {} cores",
                quota.cores()
            ),
            Self::QuotaBelowOne { quota } => write!(
                f,
                "a quota of {quota} CPUs is less than one: even a single core that is busy stops \
                 after {} of every {} us; grant the control group one CPU at least",
                quota.quota_us, quota.period_us
            ),
            Self::PinnedUnderQuota { pin, quota } => write!(
                f,
                "`pin {pin}` under a quota of {quota} CPUs: the host may have given these CPUs to \
                 other containers too; `pin none` lets the kernel move the threads"
            ),
            Self::Hybrid { fast, efficient } => write!(
                f,
                "not all CPUs are equally fast: {fast} are, {efficient} are efficient ones; list \
                 only those of one kind for cores of one speed"
            ),
            Self::IdleRefused { asked, why } => {
                write!(f, "`idle {asked}` is refused and cores park: {why}")
            }
            Self::PlaceCut { place, usable, lost } => {
                write!(f, "of `{place}` only CPUs {usable} count: the process may not use {lost}")
            }
            Self::WithoutEffect { asked, why } => {
                write!(f, "`{asked}` has no effect: {why}")
            }
            Self::UnknownVariable { name } => {
                write!(f, "there is no variable {name}, and it says nothing: there are {}", names())
            }
            Self::Guessed(guesses) => guesses.fmt(f),
        }
    }
}

impl fmt::Display for IdleRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Quota => "the time spent looking for events would come out of the CPU quota",
            Self::SharedCpus => {
                "there are more cores than CPUs, and one that looks for events keeps others waiting"
            }
        })
    }
}

impl fmt::Display for NoEffect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unpinned => "no core is tied to CPUs; ask for another `pin` than `none`",
            Self::OneSet => "every core has the whole set; ask for `pin each` or `pin node`",
            Self::OwnSets => "each core has the set listed for it; write one list for all of them",
        })
    }
}
