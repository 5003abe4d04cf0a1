//! Which CPUs a list comes to on a machine, and what it is refused for.
//!
//! Owns the rules of names and exceptions, against a model of sets made piece by piece too.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use proptest::prelude::*;

use super::*;

#[test]
fn names_are_looked_up_on_the_machine() {
    let at = |list: &str| {
        let plan = plan(&machine(), &format!("cores 1 --cpus {list}"));
        plan.listed.to_string()
    };
    assert_eq!(at("node1"), "4-7");
    assert_eq!(at("pkg1,2"), "2,4-7");
    assert_eq!(at("core5"), "4-5");
    assert_eq!(at("core3,core6"), "2-3,6-7");
    assert_eq!(at("!5"), "2-4,6-7");
    assert_eq!(at("!node1"), "2-3");
    assert_eq!(at("4-7,!core5,5"), "5-7");
    assert_eq!(at("all,!0-1"), "2-7");
    assert_eq!(at("all,!node0,3"), "3-7");
}

#[test]
fn of_a_place_the_allowed_cpus_count_and_the_others_are_named() {
    assert_eq!(places(&machine(), "cpus node0 --pin each"), ["2", "3"]);
    assert_eq!(
        warned(&machine(), "cpus node0"),
        ["of `node0` only CPUs 2-3 count: the process may not use 0-1"]
    );
    assert!(warned(&machine(), "cpus node1,!node0").is_empty());
    assert!(line(&machine(), "cpus core0").starts_with("CPUs 0-1 of the list 0-1 are not avail"));
}

#[test]
fn a_place_that_is_not_there_is_refused_with_those_that_are() {
    for (list, expected) in [
        ("node7", "this machine has no node7: there are 0-1"),
        ("!pkg2", "this machine has no pkg2: there are 0-1"),
        ("core8", "this machine has no core8: there are 0-7"),
        ("pkg1024", "this machine has no pkg1024: there are 0-1"),
        (
            "2,!2-3",
            "CPU list \"2,!2-3\" leaves no CPU: remove fewer by `!`, or name what to remove from",
        ),
    ] {
        assert_eq!(line(&machine(), &format!("cpus {list}")), expected);
    }
    // Firmware may number places higher than the kernel can number CPUs.
    let tree = machine();
    tree.add_cpu(7, 4_096, "6-7");
    tree.add_cpu(6, usize::MAX, "6-7");
    tree.add("sys/devices/system/node/node1/cpulist", "4-6\n");
    tree.add("sys/devices/system/node/node1025/cpulist", "7\n");
    let refused = line(&tree, "cpus pkg7");
    assert_eq!(refused, "this machine has no pkg7: there are 0-1,4096,18446744073709551615");
    assert_eq!(line(&tree, "cpus node7"), "this machine has no node7: there are 0-1,1025");
    assert_eq!(places(&tree, "cpus node1025"), ["7"]);
}

/// One look at [`machine`] for many plans.
static SNAPSHOT: LazyLock<Snapshot> = LazyLock::new(|| Snapshot::read(machine().root()));

proptest! {
    /// What a list comes to on [`machine`], against sets that are made piece by piece.
    #[test]
    fn a_list_adds_and_removes_from_left_to_right(
        pieces in proptest::collection::vec((any::<bool>(), 0..6_usize, 0..8_usize), 1..7),
    ) {
        let allowed: BTreeSet<usize> = (2..8).collect();
        let mut model = if pieces[0].0 { allowed.clone() } else { BTreeSet::new() };
        let mut texts = Vec::new();
        for (removes, kind, number) in pieces {
            let (text, there): (String, BTreeSet<usize>) = match kind {
                0 => (format!("{number}"), [number].into()),
                1 => (format!("{number}-7:2"), (number..8).step_by(2).collect()),
                2 => ("all".to_owned(), (0..8).collect()),
                3 => ("allowed".to_owned(), allowed.clone()),
                4 => (format!("node{}", number % 2), (0..8).filter(|cpu| cpu / 4 == number % 2).collect()),
                _ => (format!("core{number}"), (0..8).filter(|cpu| cpu / 2 == number / 2).collect()),
            };
            let usable: BTreeSet<usize> = there.intersection(&allowed).copied().collect();
            if removes {
                model.retain(|cpu| !there.contains(cpu));
            } else if kind < 4 || usable.is_empty() {
                model.extend(there);
            } else {
                model.extend(usable);
            }
            texts.push(format!("{}{text}", if removes { "!" } else { "" }));
        }
        let list = texts.join(",");
        let found = asked(&format!("cores 1 --cpus {list}")).plan(&SNAPSHOT);
        match found {
            Ok(plan) => prop_assert_eq!(plan.listed.iter().collect::<BTreeSet<_>>(), model),
            Err(PlacementError::NothingLeft { .. }) => prop_assert!(model.is_empty()),
            Err(PlacementError::CpuNotAllowed { .. }) => prop_assert!(!model.is_subset(&allowed)),
            Err(error) => prop_assert!(false, "{list}: {error}"),
        }
    }
}

#[test]
fn cpus_outside_the_mask_or_offline_are_listed_with_the_allowed_ones() {
    assert_eq!(
        line(&machine(), "cpus 0,3"),
        "CPUs 0 of the list 0,3 are not available to this process: it may use 2-7; leave them \
         out, or widen the mask it is started with (taskset, cpuset)"
    );
    assert_eq!(
        line(&machine(), "cpus 0,3,8-9"),
        "CPUs 0,8-9 of the list 0,3,8-9 are not available to this process: it may use 2-7, and \
         8-9 are not online; leave them out, or widen the mask it is started with (taskset, cpuset)"
    );
    assert!(line(&machine(), "cpus all").starts_with("CPUs 0-1 of the list 0-7"));
    assert!(line(&machine(), "cpus 0 --pin none").starts_with("CPUs 0 of the list 0 "));
    assert!(line(&machine(), "cpus 3;0").starts_with("CPUs 0 of the list 0 "));
    // One that is in the mask and switched off is not allowed, and no plan names it.
    let tree = machine();
    tree.add("sys/devices/system/cpu/online", "0-4,6-7\n");
    assert_eq!(places(&tree, "pin each"), ["2", "3", "4", "6", "7"]);
    assert!(line(&tree, "cpus 5").contains("it may use 2-4,6-7, and 5 are not online"));
}
