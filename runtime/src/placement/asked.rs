//! From what is asked and what is there to a place for every core: a pure function.
//!
//! Owns what a user may ask for, all of it together, and the rules: the default number of cores,
//! what a CPU list implies, and what is refused. Makes no system call and reads no file, so every
//! rule is tested on made-up machines.
//!
//! Invariants: nothing is pinned unless asked for, by a list or by a way to pin; the same inputs
//! give the same plan. CPUs that are chosen go to the cores ascending, sets as they are listed.

use std::collections::HashMap;

use super::choice::{Cores, Order, Pin, Smt};
use super::cpu_set::CpuSet;
use super::cpus::{Cpus, Resolved};
use super::error::PlacementError;
use super::idle::Idle;
use super::plan::{CorePlan, MAX_CORES, Plan, Reason, Why};
use super::ranking::choose;
use super::snapshot::Snapshot;
use super::topology::Topology;
use super::variable::Origin;
use super::warning::{Warning, crowded, idle, warnings, without_effect};

/// What is asked for of the cores of a runtime; what is not given has a default.
///
/// The same for flags, the builder and the environment ([`from_env`](Self::from_env)); prints as
/// the variables that would ask for it.
///
/// # Examples
///
/// ```
/// use sluicegate::{Pin, Placement};
/// use sluicegate::placement::Snapshot;
///
/// let mut asked = Placement::default();
/// asked.cores = Some(1.into());
/// asked.pin = Some(Pin::Each);
/// let plan = asked.plan(&Snapshot::take())?;
/// assert_eq!(plan.cores.len(), 1);
/// assert_eq!(plan.cores[0].cpus.as_ref().map(|cpus| cpus.count()), Some(1));
/// # Ok::<(), sluicegate::PlacementError>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Placement {
    /// How many cores. Default: one for each CPU or set of `cpus` if given, else one for each
    /// allowed CPU, no more than a container's CPU quota rounded up.
    pub cores: Option<Cores>,
    /// Which CPUs they run on. Default: all that the process may use.
    pub cpus: Option<Cpus>,
    /// How threads are tied to CPUs. Default: not, or to the whole list where one is given.
    pub pin: Option<Pin>,
    /// Which CPUs come first where there are more than cores. Default: spread.
    pub order: Option<Order>,
    /// Which CPUs of a physical core count. Default: all.
    pub smt: Option<Smt>,
    /// What cores do that have nothing to do. Default: park.
    pub idle: Option<Idle>,
    /// Whether a core that cannot be pinned keeps the runtime from starting. Default: it does not;
    /// it is a warning, and [`CoreInfo::pinned`](super::CoreInfo::pinned) tells.
    pub strict: Option<bool>,
    /// Which of it the environment says: two that ask for the same thing differ in this.
    pub(super) origin: Origin,
}

impl Placement {
    /// This, and where it leaves something open what `other` asks for.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        Self {
            origin: self.origin_or(&other),
            cores: self.cores.or(other.cores),
            cpus: self.cpus.or(other.cpus),
            pin: self.pin.or(other.pin),
            order: self.order.or(other.order),
            smt: self.smt.or(other.smt),
            idle: self.idle.or(other.idle),
            strict: self.strict.or(other.strict),
        }
    }

    /// Finds a place for every core.
    ///
    /// Without a CPU list nothing is pinned, and the number of cores is that of the allowed CPUs or
    /// what the quota pays for, whichever is less. A CPU list confines every core to it, unless
    /// `pin` is given as [`Pin::None`], and has one core for each CPU, unless `cores` is given:
    /// [`Cores::Auto`] and [`Cores::Physical`] then still heed the quota. Lists of CPUs for each
    /// core give the number of cores. Pure.
    ///
    /// # Errors
    ///
    /// [`PlacementError`] for a CPU or place that is not there or not allowed, for choices that
    /// contradict each other, for more cores than CPUs to pin each to one, for no core and for
    /// more than [`MAX_CORES`]. Each message lists what would be accepted; where variables of the
    /// environment had a part in it, it is a [`PlacementError::Variable`] that names them.
    pub fn plan(&self, snapshot: &Snapshot) -> Result<Plan, PlacementError> {
        self.place(snapshot).map_err(|error| self.name_variables(error))
    }

    fn place(&self, snapshot: &Snapshot) -> Result<Plan, PlacementError> {
        let topology = snapshot.topology();
        let (order, smt) = (self.order.unwrap_or_default(), self.smt.unwrap_or_default());
        let idle_asked = self.idle.unwrap_or_default().check()?;
        let mut notes = Vec::new();
        let resolved = self.cpus.as_ref().map(|cpus| cpus.resolve(snapshot, &mut notes));
        let listed = match resolved.transpose()? {
            None => Resolved::Shared(snapshot.allowed().clone()),
            Some(resolved) => resolved,
        };
        let usable = listed.with(|cpus| only(smt, topology, cpus));
        let (count, reason) = self.count(snapshot, &usable)?;
        if !(1..=MAX_CORES).contains(&count) {
            return Err(PlacementError::CoreCount { cores: count });
        }
        let by_default = if self.cpus.is_some() { Pin::Set } else { Pin::None };
        let pin = self.pin.unwrap_or(by_default);
        let own_sets = matches!(usable, Resolved::Each(_));
        let places = match usable {
            Resolved::Shared(usable) => shared(pin, topology, &usable, count, order)?,
            Resolved::Each(sets) => each_its_own(pin, sets)?,
        };
        let cores = places.into_iter().enumerate();
        let cores = cores.map(|(index, (cpus, why))| CorePlan { index, cpus, why }).collect();
        let mut plan = Plan {
            cores,
            pin,
            order,
            smt,
            idle: Idle::Park,
            strict: self.strict.unwrap_or_default(),
            listed: listed.together(),
            allowed: snapshot.allowed().clone(),
            quota: snapshot.quota(),
            reason,
            warnings: notes,
        };
        let places: Vec<&CpuSet> = (0..count).map(|core| plan.cpus(core)).collect();
        let crowded = crowded(&places);
        let (idle, refused) = idle(idle_asked, plan.quota, crowded.as_ref().map(|(_, set)| set));
        plan.idle = idle;
        let shared = crowded.map(|(cores, cpus)| Warning::MoreCoresThanCpus { cores, cpus });
        let found = warnings(&plan, snapshot);
        let vain = without_effect(self, pin, own_sets);
        plan.warnings.extend(shared.into_iter().chain(found).chain(refused).chain(vain));
        let unknown = self.unknown_variables().map(str::to_owned);
        plan.warnings.extend(unknown.map(|name| Warning::UnknownVariable { name }));
        Ok(plan)
    }

    /// How many cores, and what decides it.
    fn count(
        &self,
        snapshot: &Snapshot,
        usable: &Resolved,
    ) -> Result<(usize, Reason), PlacementError> {
        let physical = self.smt == Some(Smt::One);
        match (self.cores, usable) {
            (None | Some(Cores::Auto), Resolved::Each(sets)) => Ok((sets.len(), Reason::OwnSets)),
            (Some(Cores::Count(count)), Resolved::Each(sets)) if count == sets.len() => {
                Ok((count, Reason::Asked))
            }
            (Some(cores), Resolved::Each(sets)) => {
                Err(PlacementError::CoresBesideSets { cores, sets: sets.len() })
            }
            (Some(Cores::Count(count)), _) => Ok((count, Reason::Asked)),
            (Some(Cores::Physical), Resolved::Shared(usable)) => {
                let cores = only(Smt::One, snapshot.topology(), usable).count();
                Ok(within_quota(snapshot, cores, Reason::Physical))
            }
            (None, Resolved::Shared(usable)) if self.cpus.is_some() => {
                let reason = if physical { Reason::Physical } else { Reason::Listed };
                Ok((usable.count(), reason))
            }
            (None | Some(Cores::Auto), Resolved::Shared(usable)) => {
                let reason = if physical { Reason::Physical } else { Reason::Allowed };
                Ok(within_quota(snapshot, usable.count(), reason))
            }
        }
    }
}

/// A number of cores as far as the quota goes.
fn within_quota(snapshot: &Snapshot, cores: usize, reason: Reason) -> (usize, Reason) {
    match snapshot.quota().map(|quota| quota.cores()) {
        Some(paid) if paid < cores => (paid, Reason::Quota),
        _ => (cores, reason),
    }
}

/// What is left of some CPUs where only one of each physical core counts, the lowest.
fn only(smt: Smt, topology: &Topology, cpus: &CpuSet) -> CpuSet {
    if smt == Smt::All {
        return cpus.clone();
    }
    let mut last = HashMap::new();
    let firsts = cpus.iter().filter(|&cpu| {
        let core = topology.location(cpu).map_or(cpu, |at| at.core);
        last.insert(core, cpu).is_none()
    });
    CpuSet::from_cpus(firsts).expect("the lowest of all is the first of its physical core")
}

/// What cores have that share one set of CPUs.
fn shared(
    pin: Pin,
    topology: &Topology,
    usable: &CpuSet,
    count: usize,
    order: Order,
) -> Result<Vec<(Option<CpuSet>, Why)>, PlacementError> {
    match pin {
        Pin::None => Ok(vec![(None, Why::Unpinned); count]),
        Pin::Set => Ok(vec![(Some(usable.clone()), Why::Shared); count]),
        Pin::Each => {
            if count > usable.count() {
                return Err(PlacementError::TooFewCpus { cores: count, cpus: usable.clone() });
            }
            Ok(each(topology, &choose(topology, usable, count, order)))
        }
        Pin::Node => {
            let places = choose(topology, usable, count, order).into_iter().map(|cpu| {
                let node = topology.location(cpu).map_or(0, |at| at.node);
                let cpus = topology.cpus_where(|at| at.node == node);
                (cpus.and_then(|cpus| cpus.within(usable)), Why::Node(node))
            });
            Ok(places.collect())
        }
    }
}

/// What cores have with a CPU each.
fn each(topology: &Topology, chosen: &[usize]) -> Vec<(Option<CpuSet>, Why)> {
    let core_of = |cpu: usize| topology.location(cpu).map_or(cpu, |at| at.core);
    let mut on_core: HashMap<usize, Vec<usize>> = HashMap::new();
    for (index, &cpu) in chosen.iter().enumerate() {
        on_core.entry(core_of(cpu)).or_default().push(index);
    }
    let places = chosen.iter().enumerate().map(|(index, &cpu)| {
        let other = on_core[&core_of(cpu)].iter().find(|&&other| other != index);
        let why = other.map_or(Why::PhysicalCore, |&other| Why::SiblingOf(other));
        (CpuSet::from_cpus([cpu]).ok(), why)
    });
    places.collect()
}

/// What cores have with a set of CPUs each.
fn each_its_own(pin: Pin, sets: Vec<CpuSet>) -> Result<Vec<(Option<CpuSet>, Why)>, PlacementError> {
    match pin {
        Pin::None => Ok(vec![(None, Why::Unpinned); sets.len()]),
        Pin::Set => Ok(sets.into_iter().map(|cpus| (Some(cpus), Why::OwnSet)).collect()),
        Pin::Each | Pin::Node => Err(PlacementError::PinBesideSets { pin }),
    }
}
