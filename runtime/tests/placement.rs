//! Placement as a program sees it: masks are read back, and CPUs that are not allowed are refused.
//!
//! Uses only CPUs that this process may use, whichever these are.

use std::time::{Duration, Instant};

use sluicegate::{BuildError, CpuSet, Pin, PlacementError, Runtime, Shutdown};

const PATIENCE: Duration = Duration::from_secs(30);

fn allowed() -> CpuSet {
    let runtime = Runtime::builder().cores(1).build().expect("a runtime of one core");
    runtime.report().plan.allowed.clone()
}

/// The masks of all cores, once each has started.
fn masks_when_started(builder: sluicegate::RuntimeBuilder) -> Vec<CpuSet> {
    let running = builder.build().expect("allowed CPUs").start().expect("threads");
    let handle = running.handle();
    let deadline = Instant::now() + PATIENCE;
    let masks = loop {
        let masks: Option<Vec<CpuSet>> = handle.masks().into_iter().collect();
        match masks {
            Some(masks) => break masks,
            None => assert!(Instant::now() < deadline, "no core was placed in {PATIENCE:?}"),
        }
        std::thread::yield_now();
    };
    handle.shutdown(Shutdown::Now);
    running.join();
    masks
}

#[test]
fn a_pinned_core_reports_the_one_cpu_it_has() {
    let last = allowed().iter().last().expect("a CPU");
    let one = CpuSet::from_cpus([last]).expect("one CPU");
    let builder = Runtime::builder().cpus(one.clone()).pin(Pin::Each);
    assert_eq!(masks_when_started(builder), [one]);
}

#[test]
fn cores_without_a_list_keep_the_mask_of_the_process() {
    let allowed = allowed();
    assert_eq!(masks_when_started(Runtime::builder().cores(2)), [allowed.clone(), allowed]);
}

#[test]
fn a_list_makes_one_core_a_cpu_and_confines_them_all_to_it() {
    let allowed = allowed();
    let masks = masks_when_started(Runtime::builder().cpus(allowed.clone()));
    assert_eq!(masks.len(), allowed.count());
    assert!(masks.iter().all(|mask| *mask == allowed));
}

#[test]
fn a_cpu_that_is_not_allowed_is_refused_with_those_that_are() {
    let outside = (0..CpuSet::CAPACITY).rev().find(|cpu| !allowed().contains(*cpu));
    let outside = outside.expect("fewer CPUs than a set can name");
    let cpus = CpuSet::from_cpus([outside]).expect("one CPU");
    let error = Runtime::builder().cpus(cpus).build().expect_err("that CPU is not allowed");
    let BuildError::Placement(PlacementError::CpuNotAllowed { allowed: listed, .. }) = &error
    else {
        panic!("another error: {error}");
    };
    assert_eq!(*listed, allowed());
    assert!(error.to_string().contains(&outside.to_string()), "{error}");
}
