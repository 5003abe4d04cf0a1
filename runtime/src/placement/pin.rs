//! Ties the calling thread to its CPUs, and reads back what the kernel made of it.
//!
//! Owns the two system calls of affinity. Never decides where a thread goes, never touches
//! another thread. A mask that differs from the one asked for is an error: a cpuset may take CPUs
//! away between the snapshot and this call.

use std::io;

use super::cpu_set::CpuSet;
use super::error::PlacementError;
use super::plan::CorePlan;
use super::snapshot::current_mask;

/// Confines the calling thread to the CPUs of its plan; returns the mask it then has.
///
/// A plan without CPUs changes nothing. Threads spawned afterwards inherit the mask. One or two
/// system calls; call it first thing on a core's thread, so that its memory is local.
///
/// # Errors
///
/// [`PlacementError`] when the kernel refuses, or does not do as asked; the thread may then run
/// anywhere it did before.
pub(crate) fn apply(core: &CorePlan) -> Result<CpuSet, PlacementError> {
    let index = core.index;
    if let Some(cpus) = &core.cpus {
        confine(cpus).map_err(|source| PlacementError::PinRefused {
            core: index,
            cpus: cpus.clone(),
            source,
        })?;
    }
    let actual =
        current_mask().map_err(|source| PlacementError::MaskUnreadable { core: index, source })?;
    match &core.cpus {
        Some(asked) if *asked != actual => {
            Err(PlacementError::PinNotEffective { core: index, asked: asked.clone(), actual })
        }
        _ => Ok(actual),
    }
}

/// Confines the calling thread to some CPUs.
pub(crate) fn confine(cpus: &CpuSet) -> io::Result<()> {
    let mut members = cpus.iter();
    if let (Some(id), None) = (members.next(), members.next()) {
        // It reports failure only as `false`; the reason is still in errno.
        return match core_affinity::set_for_current(core_affinity::CoreId { id }) {
            true => Ok(()),
            false => Err(io::Error::last_os_error()),
        };
    }
    let mut mask = rustix::thread::CpuSet::new();
    for cpu in cpus.iter() {
        mask.set(cpu);
    }
    Ok(rustix::thread::sched_setaffinity(None, &mask)?)
}

#[cfg(test)]
mod tests {
    use super::super::plan::Why;
    use super::*;

    /// Runs on a thread of its own, so that no other test inherits the mask.
    fn on_a_thread<T: Send>(run: impl FnOnce() -> T + Send) -> T {
        std::thread::scope(|scope| scope.spawn(run).join().expect("the thread does not panic"))
    }

    fn plan(index: usize, cpus: Option<CpuSet>) -> CorePlan {
        CorePlan { index, cpus, why: Why::Shared }
    }

    #[test]
    fn a_plan_without_cpus_leaves_the_mask_as_it_is() {
        let before = current_mask().expect("a mask");
        let after = on_a_thread(|| apply(&plan(0, None)).expect("no change"));
        assert_eq!(after, before);
    }

    #[test]
    fn the_mask_read_back_is_the_mask_asked_for() {
        let allowed = current_mask().expect("a mask");
        let lowest = CpuSet::from_cpus(allowed.iter().take(1)).expect("a mask is not empty");
        for cpus in [allowed, lowest] {
            let plan = plan(0, Some(cpus.clone()));
            assert_eq!(on_a_thread(|| apply(&plan).expect("an allowed CPU")), cpus);
        }
    }

    #[test]
    fn a_cpu_that_does_not_exist_is_refused_with_its_number() {
        let cpus: CpuSet = "1023".parse().expect("a valid list");
        let plan = plan(3, Some(cpus));
        let error = on_a_thread(|| apply(&plan)).expect_err("no machine here has 1024 CPUs");
        let message = error.to_string();
        assert!(message.starts_with("core 3 cannot be pinned to CPUs 1023: "), "{message}");
    }

    #[test]
    fn a_set_the_kernel_cuts_short_is_not_taken_for_success() {
        let lowest = current_mask().expect("a mask").iter().next().expect("a mask is not empty");
        let cpus = CpuSet::from_cpus([lowest, 1023]).expect("two CPUs");
        let plan = plan(0, Some(cpus.clone()));
        let error = on_a_thread(|| apply(&plan)).expect_err("no machine here has 1024 CPUs");
        assert!(
            matches!(error, PlacementError::PinNotEffective { ref asked, .. } if *asked == cpus),
            "{error}"
        );
    }
}
