//! Placement as a program sees it: masks are read back, and CPUs that are not allowed are refused.
//!
//! Uses only CPUs that this process may use, whichever these are.

mod rig;

use std::path::Path;
use std::time::{Duration, Instant};

use sluicegate::placement::Snapshot;
use sluicegate::{
    BuildError, Cores, CpuSet, Pin, Pinned, Placement, PlacementError, Runtime, RuntimeBuilder,
    Shutdown,
};

const PATIENCE: Duration = Duration::from_secs(30);

fn allowed() -> CpuSet {
    let runtime = Runtime::builder().cores(1).build().expect("a runtime of one core");
    runtime.report().plan.allowed.clone()
}

/// The masks of all cores, once each has started.
fn masks_when_started(builder: RuntimeBuilder, pinned: Pinned) -> Vec<CpuSet> {
    let running = builder.build().expect("allowed CPUs").start().expect("threads");
    let handle = running.handle();
    let deadline = Instant::now() + PATIENCE;
    let masks = loop {
        let cores = handle.cores();
        let masks: Option<Vec<CpuSet>> = cores.iter().map(|core| core.cpus.clone()).collect();
        match masks {
            Some(masks) => {
                assert!(cores.iter().all(|core| core.pinned == pinned), "{cores:?}");
                break masks;
            }
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
    assert_eq!(masks_when_started(builder, Pinned::Yes), [one]);
}

#[test]
fn cores_without_a_list_keep_the_mask_of_the_process() {
    let allowed = allowed();
    let masks = masks_when_started(Runtime::builder().cores(2), Pinned::No);
    assert_eq!(masks, [allowed.clone(), allowed]);
}

#[test]
fn a_list_makes_one_core_a_cpu_and_confines_them_all_to_it() {
    let allowed = allowed();
    let masks =
        masks_when_started(Runtime::builder().cpus(allowed.clone()).strict(true), Pinned::Yes);
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

/// The start-up line for a machine of `tests/machines`, and the warnings.
fn planned(machine: &str, cores: Option<Cores>, pin: Option<Pin>) -> (String, Vec<String>) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/machines").join(machine);
    let mut asked = Placement::default();
    (asked.cores, asked.pin) = (cores, pin);
    let plan = asked.plan(&Snapshot::read(&root)).expect("it fits");
    (plan.to_string(), plan.warnings.iter().map(ToString::to_string).collect())
}

#[test]
fn whole_machines_have_their_defaults() {
    let all = "one for each allowed CPU";
    let paid = "what the CPU quota pays for";
    for (machine, cores, reason, allowed, quota, warnings) in [
        ("vm", 2, all, "0-1", "none", 0),
        ("server", 16, all, "0-15", "none", 0),
        ("hybrid", 12, all, "0-11", "none", 1),
        ("container", 2, paid, "4-7", "1.50", 0),
        ("container-v1", 2, paid, "4-7", "1.50", 0),
    ] {
        let (line, warned) = planned(machine, None, None);
        let expected = format!("cores={cores} ({reason}) pin=none allowed={allowed} quota={quota}");
        assert_eq!((line, warned.len()), (expected, warnings), "{machine}: {warned:?}");
    }
}

#[test]
fn whole_machines_are_spread_over() {
    for (machine, cores, cpus) in [
        ("vm", Cores::Physical, "0:0;1:1"),
        ("server", Cores::Physical, "0:0;1:1;2:2;3:3;4:4;5:5;6:6;7:7"),
        ("server", Cores::Count(2), "0:0;1:4"),
        ("hybrid", Cores::Count(4), "0:0;1:2;2:4;3:6"),
        ("hybrid", Cores::Physical, "0:0;1:2;2:4;3:6;4:8;5:9;6:10;7:11"),
        ("container", Cores::Auto, "0:4;1:5"),
    ] {
        let (line, _) = planned(machine, Some(cores), Some(Pin::Each));
        assert!(line.contains(&format!(" pin=each cpus={cpus} order=spread")), "{machine}: {line}");
    }
    let (line, _) = planned("server", Some(Cores::Count(4)), Some(Pin::Node));
    assert!(line.contains(" cpus=0-1:0-3,8-11;2-3:4-7,12-15 "), "{line}");
}

/// The CPUs of this process's threads that a runtime has beside its cores, by name.
fn helpers() -> Vec<(String, String)> {
    let tasks = std::fs::read_dir("/proc/self/task").expect("the threads are listed").flatten();
    let threads = tasks.filter_map(|task| {
        // A thread may end meanwhile.
        let name = std::fs::read_to_string(task.path().join("comm")).ok()?.trim().to_owned();
        let status = std::fs::read_to_string(task.path().join("status")).ok()?;
        let cpus = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"))?;
        let rest = name.strip_prefix("sluicegate-")?;
        let is_core = rest.starts_with(|letter: char| letter.is_ascii_digit());
        (!is_core).then(|| (rest.to_owned(), cpus.trim().to_owned()))
    });
    threads.collect()
}

#[test]
fn threads_beside_the_cores_are_not_born_onto_the_cpu_of_one() {
    // Alone in a process: which threads there are is the question.
    if !rig::is_child() {
        let name = "threads_beside_the_cores_are_not_born_onto_the_cpu_of_one";
        let child = rig::child_command(name, &[]).output().expect("the child can be started");
        assert!(child.status.success(), "{}", String::from_utf8_lossy(&child.stderr));
        return;
    }
    let runtime = Runtime::builder().cores(1).pin(Pin::Each).build().expect("there is a CPU");
    let plan = runtime.report().plan.clone();
    let beside = plan.helper_cpus().expect("the core is pinned");
    let handle = runtime.handle();
    let running = std::thread::spawn(move || runtime.run());
    let deadline = Instant::now() + PATIENCE;
    let found = loop {
        let found = helpers();
        if handle.cores()[0].pinned == Pinned::Yes && !found.is_empty() {
            break found;
        }
        assert!(Instant::now() < deadline, "no thread beside the core: {:?}", handle.cores());
        std::thread::yield_now();
    };
    for (name, cpus) in found {
        let free = [&plan.allowed, &beside].iter().any(|free| cpus == free.to_string());
        assert!(free, "{name} runs on {cpus}");
    }
    handle.shutdown(Shutdown::Now);
    running.join().expect("it does not panic").expect("it ends well");
}
