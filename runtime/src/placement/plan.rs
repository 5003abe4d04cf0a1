//! From what is asked and what is there to a place for every core: a pure function.
//!
//! Owns the rules: the default number of cores, what a CPU list implies, and what is refused.
//! Makes no system call and reads no file, so every rule is tested on made-up machines.
//!
//! Invariants: a plan has between one and [`MAX_CORES`] cores; it names no CPU outside the
//! allowed mask; the same inputs give the same plan.

use std::fmt;

use super::choice::{Cores, Cpus, Pin};
use super::cpu_set::CpuSet;
use super::error::PlacementError;
use super::quota::CpuQuota;
use super::snapshot::Snapshot;

/// The most cores a runtime may have: 1,024, the number of CPUs a set can name.
pub const MAX_CORES: usize = CpuSet::CAPACITY;

/// A place for every core, and why it is so.
///
/// Prints as one line for the start-up report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// One entry a core, in order of index; never empty.
    pub cores: Vec<CorePlan>,
    /// The pinning that was asked for, or the default.
    pub pin: Pin,
    /// The CPUs the process may use.
    pub allowed: CpuSet,
    /// The CPU time the control groups grant, if they limit it.
    pub quota: Option<CpuQuota>,
    /// What decided the number of cores.
    pub reason: Reason,
}

/// The place of one core.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CorePlan {
    /// The number of the core, from 0.
    pub index: usize,
    /// The CPUs its thread is confined to; nothing leaves the thread as it is.
    pub cpus: Option<CpuSet>,
}

/// What decided the number of cores.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reason {
    /// The number was given.
    Asked,
    /// One core for each CPU listed.
    Listed,
    /// One core for each CPU that may be used.
    Allowed,
    /// The CPU quota pays for fewer cores than there are CPUs.
    Quota,
}

/// Finds a place for every core.
///
/// Without a CPU list nothing is pinned, and the number of cores is that of the allowed CPUs or
/// what the quota pays for, whichever is less. A CPU list confines every core to it, unless
/// `pin` is given as [`Pin::None`], and has one core for each CPU, unless `cores` is given:
/// [`Cores::Auto`] then still heeds the quota. Pure; O(cores).
///
/// # Errors
///
/// [`PlacementError`] for a CPU outside the allowed mask, for more cores than CPUs to pin them
/// to, for no core and for more than [`MAX_CORES`]. Each message lists what would be accepted.
pub(crate) fn plan(
    snapshot: &Snapshot,
    cores: Option<Cores>,
    cpus: Option<&Cpus>,
    pin: Option<Pin>,
) -> Result<Plan, PlacementError> {
    let allowed = &snapshot.allowed;
    let usable = match cpus {
        None | Some(Cpus::Allowed) => allowed,
        Some(Cpus::All) => &snapshot.online,
        Some(Cpus::Listed(cpus)) => cpus,
    };
    if let Some(offending) = usable.minus(allowed) {
        let (asked, allowed) = (usable.clone(), allowed.clone());
        return Err(PlacementError::CpuNotAllowed { asked, offending, allowed });
    }
    let default_pin = if cpus.is_some() { Pin::Set } else { Pin::None };
    let pin = pin.unwrap_or(default_pin);
    let (count, reason) = match cores {
        Some(Cores::Count(count)) => (count, Reason::Asked),
        None if cpus.is_some() => (usable.count(), Reason::Listed),
        None | Some(Cores::Auto) => default_count(snapshot, usable),
    };
    if !(1..=MAX_CORES).contains(&count) {
        return Err(PlacementError::CoreCount { cores: count });
    }
    let cores = match pin {
        Pin::None => vec![None; count],
        Pin::Set => vec![Some(usable.clone()); count],
        Pin::Each => each(usable, count)?,
    };
    let cores = cores.into_iter().enumerate().map(|(index, cpus)| CorePlan { index, cpus });
    let (cores, allowed, quota) = (cores.collect(), allowed.clone(), snapshot.quota);
    Ok(Plan { cores, pin, allowed, quota, reason })
}

/// Where a thread runs that serves all cores: on the CPUs that were listed, else on all that are
/// allowed, rather than on those of the core that starts it. Nothing where cores are not confined.
pub(crate) fn helper_cpus(plan: &Plan, cpus: Option<&Cpus>) -> Option<CpuSet> {
    match (plan.pin, cpus) {
        (Pin::None, _) => None,
        (_, Some(Cpus::Listed(listed))) => Some(listed.clone()),
        _ => Some(plan.allowed.clone()),
    }
}

/// The number of cores when none was given: a core for each CPU, as far as the quota goes.
fn default_count(snapshot: &Snapshot, usable: &CpuSet) -> (usize, Reason) {
    let cpus = usable.count();
    match snapshot.quota.map(|quota| quota.cores()) {
        Some(cores) if cores < cpus => (cores, Reason::Quota),
        _ => (cpus, Reason::Allowed),
    }
}

/// A CPU of its own for each core, in ascending order.
fn each(usable: &CpuSet, count: usize) -> Result<Vec<Option<CpuSet>>, PlacementError> {
    if count > usable.count() {
        return Err(PlacementError::TooFewCpus { cores: count, cpus: usable.clone() });
    }
    let single = |cpu| CpuSet::from_cpus([cpu]).ok();
    Ok(usable.iter().take(count).map(single).collect())
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cores={} ({}) pin={}", self.cores.len(), self.reason, self.pin)?;
        match self.pin {
            Pin::None => {}
            Pin::Set => {
                if let Some(cpus) = self.cores.first().and_then(|core| core.cpus.as_ref()) {
                    write!(f, " cpus={cpus}")?;
                }
            }
            Pin::Each => {
                let pairs =
                    self.cores.iter().filter_map(|core| Some((core.index, core.cpus.as_ref()?)));
                for (place, (index, cpus)) in pairs.enumerate() {
                    write!(f, "{}{index}:{cpus}", if place == 0 { " cpus=" } else { "," })?;
                }
            }
        }
        write!(f, " allowed={} quota=", self.allowed)?;
        match self.quota {
            Some(quota) => quota.fmt(f),
            None => f.write_str("none"),
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Asked => "as asked",
            Self::Listed => "one for each CPU listed",
            Self::Allowed => "one for each allowed CPU",
            Self::Quota => "what the CPU quota pays for",
        })
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU64;

    use super::*;

    fn set(list: &str) -> CpuSet {
        list.parse().expect("a valid list")
    }

    fn listed(list: &str) -> Option<Cpus> {
        Some(Cpus::Listed(set(list)))
    }

    fn count(count: usize) -> Option<Cores> {
        Some(Cores::Count(count))
    }

    /// Eight CPUs online, of which 2 to 7 are allowed.
    fn machine() -> Snapshot {
        Snapshot { allowed: set("2-7"), online: set("0-7"), quota: None }
    }

    fn with_quota(quota_us: u64) -> Snapshot {
        let period_us = NonZeroU64::new(100_000).expect("not zero");
        Snapshot { quota: Some(CpuQuota { quota_us, period_us }), ..machine() }
    }

    fn places(plan: &Plan) -> Vec<Option<String>> {
        plan.cores.iter().map(|core| core.cpus.as_ref().map(CpuSet::to_string)).collect()
    }

    fn line(
        snapshot: &Snapshot,
        cores: Option<Cores>,
        cpus: Option<Cpus>,
        pin: Option<Pin>,
    ) -> String {
        match plan(snapshot, cores, cpus.as_ref(), pin) {
            Ok(plan) => plan.to_string(),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn by_default_there_is_one_unpinned_core_for_each_allowed_cpu() {
        let plan = plan(&machine(), None, None, None).expect("a plan");
        assert_eq!(places(&plan), vec![None; 6]);
        assert_eq!(
            plan.to_string(),
            "cores=6 (one for each allowed CPU) pin=none allowed=2-7 quota=none"
        );
        let indexes: Vec<_> = plan.cores.iter().map(|core| core.index).collect();
        assert_eq!(indexes, [0, 1, 2, 3, 4, 5]);
    }

    #[test]
    fn the_quota_lowers_the_default_but_never_below_one_core() {
        assert_eq!(
            line(&with_quota(150_000), None, None, None),
            "cores=2 (what the CPU quota pays for) pin=none allowed=2-7 quota=1.50"
        );
        assert!(line(&with_quota(1), None, None, None).starts_with("cores=1 (what the CPU quota"));
        assert!(line(&with_quota(900_000), None, None, None).starts_with("cores=6 (one for each"));
    }

    #[test]
    fn a_list_confines_every_core_to_it_and_gives_their_number() {
        let plan = plan(&with_quota(100_000), None, listed("3,5-6").as_ref(), None);
        let plan = plan.expect("a plan");
        assert_eq!(places(&plan), vec![Some("3,5-6".to_owned()); 3]);
        assert_eq!((plan.pin, plan.reason), (Pin::Set, Reason::Listed));
        assert_eq!(
            plan.to_string(),
            "cores=3 (one for each CPU listed) pin=set cpus=3,5-6 allowed=2-7 quota=1.00"
        );
    }

    #[test]
    fn cores_given_override_the_number_of_cpus_listed() {
        assert!(line(&machine(), count(9), listed("3-4"), None).starts_with("cores=9 (as asked)"));
        let auto = line(&with_quota(100_000), Some(Cores::Auto), listed("3-4"), None);
        assert!(auto.starts_with("cores=1 (what the CPU quota pays for) pin=set cpus=3-4"));
    }

    #[test]
    fn pin_none_beside_a_list_takes_only_its_number() {
        let plan = plan(&machine(), None, listed("3-4").as_ref(), Some(Pin::None));
        assert_eq!(places(&plan.expect("a plan")), [None, None]);
    }

    #[test]
    fn pin_set_without_a_list_confines_to_the_allowed_cpus() {
        let plan = plan(&machine(), count(1), None, Some(Pin::Set)).expect("a plan");
        assert_eq!(places(&plan), [Some("2-7".to_owned())]);
    }

    #[test]
    fn pin_each_gives_core_i_the_ith_cpu_in_ascending_order() {
        assert_eq!(
            line(&machine(), count(2), listed("7,4,5"), Some(Pin::Each)),
            "cores=2 (as asked) pin=each cpus=0:4,1:5 allowed=2-7 quota=none"
        );
    }

    #[test]
    fn pin_each_with_more_cores_than_cpus_is_refused() {
        assert_eq!(
            line(&machine(), count(3), listed("4-5"), Some(Pin::Each)),
            "3 cores cannot be pinned each to a CPU of its own among the 2 of 4-5: ask for at \
             most 2 cores, list more CPUs, or pin to the `set`"
        );
    }

    #[test]
    fn cpus_outside_the_mask_are_listed_with_the_allowed_ones() {
        assert_eq!(
            line(&machine(), None, listed("0,3,9"), None),
            "CPUs 0,9 of the list 0,3,9 are not available to this process: it may use 2-7; leave \
             them out, or widen the mask it is started with (taskset, cpuset)"
        );
        assert!(line(&machine(), None, Some(Cpus::All), None).starts_with("CPUs 0-1 of the list"));
        let even_unpinned = plan(&machine(), None, listed("0").as_ref(), Some(Pin::None));
        assert!(matches!(even_unpinned, Err(PlacementError::CpuNotAllowed { .. })));
    }

    #[test]
    fn allowed_is_the_mask_itself() {
        let plan = plan(&machine(), None, Some(&Cpus::Allowed), None).expect("a plan");
        assert_eq!(places(&plan), vec![Some("2-7".to_owned()); 6]);
    }

    #[test]
    fn no_core_and_one_core_too_many_are_refused() {
        assert!(plan(&machine(), count(MAX_CORES), None, None).is_ok());
        for cores in [0, MAX_CORES + 1] {
            assert_eq!(
                line(&machine(), count(cores), None, None),
                format!("a runtime cannot have {cores} cores: ask for 1 to 1024, or `auto`")
            );
        }
    }

    #[test]
    fn threads_that_serve_all_cores_run_where_any_of_them_may() {
        let helper = |cpus: Option<Cpus>, pin| {
            let plan = plan(&machine(), count(1), cpus.as_ref(), pin).expect("it fits");
            helper_cpus(&plan, cpus.as_ref()).map(|cpus| cpus.to_string())
        };
        assert_eq!(helper(None, None), None);
        assert_eq!(helper(listed("3-4"), Some(Pin::None)), None);
        assert_eq!(helper(None, Some(Pin::Each)).as_deref(), Some("2-7"));
        assert_eq!(helper(listed("3-4"), None).as_deref(), Some("3-4"));
        assert_eq!(helper(listed("3-4"), Some(Pin::Each)).as_deref(), Some("3-4"));
    }
}
