//! What a plan warns of.
//!
//! Owns a case for each warning, and one beside it that warns of nothing.

use super::*;

#[test]
fn more_cores_than_cpus_are_warned_of_wherever_they_crowd() {
    for (choices, cores, cpus) in [
        ("cores 7", 7, "6 CPUs (2-7)"),
        ("cores 3 --cpus 3-4", 3, "2 CPUs (3-4)"),
        ("cpus 3;[4-5]*4", 5, "3 CPUs (3-5)"),
        ("cpus [3]*2;4-7", 2, "1 CPUs (3)"),
    ] {
        let expected = format!("{cores} cores share {cpus} and take turns on them");
        assert_eq!(warned(&machine(), choices), [expected], "{choices}");
    }
    assert!(warned(&machine(), "cores 6").is_empty());
    assert!(warned(&machine(), "cpus 3;3-4;3-5").is_empty());
}

#[test]
fn of_crowded_sets_of_one_size_the_first_listed_is_named() {
    let tree = machine();
    tree.add("proc/self/status", "Cpus_allowed_list:\t0-7\n");
    // Again and again, because what depends on hashes is right now and then.
    for _ in 0..32 {
        for (choices, named) in [
            ("cpus [2,4]*3;[2-3]*3;0-7", "2 CPUs (2,4)"),
            ("cpus [2-3]*3;[2,4]*3;0-7", "2 CPUs (2-3)"),
        ] {
            let expected = format!("3 cores share {named} and take turns on them");
            assert_eq!(warned(&tree, choices), [expected], "{choices}");
        }
    }
}

#[test]
fn a_quota_warns_of_more_cores_and_of_pinning() {
    assert!(warned(&with_quota(150), "").is_empty());
    let more = warned(&with_quota(150), "cores 3");
    assert!(more[0].starts_with("3 cores under a quota of 1.50 CPUs"), "{more:?}");
    assert!(more[0].ends_with("ask for at most 2 cores"), "{more:?}");
    let pinned = warned(&with_quota(150), "cores 2 --pin each");
    assert!(pinned[0].starts_with("`pin each` under a quota of 1.50 CPUs"), "{pinned:?}");
    assert_eq!((more.len(), pinned.len()), (1, 1));
}

#[test]
fn a_quota_below_one_cpu_is_warned_of_even_with_one_core() {
    for (percent, is_warned) in [(1, true), (50, true), (99, true), (100, false), (150, false)] {
        let quota = Snapshot::read(with_quota(percent).root()).quota().expect("it has one");
        let expected = Warning::QuotaBelowOne { quota };
        let plan = plan(&with_quota(percent), "");
        assert_eq!(plan.warnings, Vec::from_iter(is_warned.then_some(expected)), "{percent}");
    }
    assert_eq!(
        warned(&with_quota(50), ""),
        [
            "a quota of 0.50 CPUs is less than one: even a single core that is busy stops after 50000 \
          of every 100000 us; grant the control group one CPU at least"
        ]
    );
    let more = warned(&with_quota(50), "cores 2");
    assert!(more[0].ends_with("ask for at most 1 cores"), "{more:?}");
    assert_eq!(more.len(), 2);
}

#[test]
fn slow_cpus_among_those_of_cores_are_warned_of() {
    let tree = machine();
    tree.add("sys/devices/cpu_atom/cpus", "6-7\n");
    let expected = "not all CPUs are equally fast: 2-5 are, 6-7 are efficient ones; list only \
                    those of one kind for cores of one speed";
    assert_eq!(warned(&tree, ""), [expected]);
    assert!(warned(&tree, "cpus 2-5").is_empty());
    // Fast CPUs go first, after physical cores and before SMT siblings.
    assert_eq!(places(&tree, "cores 2 --pin each"), ["2", "4"]);
    assert_eq!(places(&tree, "cores 3 --pin each"), ["2", "4", "6"]);
    assert!(warned(&tree, "cores 2 --pin each").is_empty());
}

#[test]
fn what_is_asked_for_in_vain_is_named_with_the_reason() {
    use NoEffect::{OneSet, OwnSets, Unpinned};
    let cases: [(&str, &[(&str, NoEffect)]); 18] = [
        ("order pack", &[("order pack", Unpinned)]),
        ("order spread", &[("order spread", Unpinned)]),
        ("order pack --pin each", &[]),
        ("order pack --pin node", &[]),
        ("order pack --cpus 2-4", &[("order pack", OneSet)]),
        ("order pack --pin set", &[("order pack", OneSet)]),
        ("order pack --cpus 2;3", &[("order pack", OwnSets)]),
        ("order pack --cpus 2;3 --pin none", &[("order pack", Unpinned)]),
        ("smt one", &[]),
        ("smt one --cores auto --cpus 2-4 --pin none", &[]),
        ("smt one --cores 2", &[("smt one", Unpinned)]),
        ("smt one --cores physical", &[("smt one", Unpinned)]),
        ("smt one --cpus 2-3;4 --pin none", &[("smt one", Unpinned)]),
        ("smt one --cpus 2-3;4", &[]),
        ("smt all --cores 2", &[]),
        ("strict true", &[("strict", Unpinned)]),
        ("strict false", &[]),
        ("strict true --cpus 2", &[]),
    ];
    for (choices, expected) in cases {
        let expected = expected
            .iter()
            .map(|&(asked, why)| Warning::WithoutEffect { asked: asked.to_owned(), why });
        assert_eq!(plan(&machine(), choices).warnings, Vec::from_iter(expected), "{choices}");
    }
    assert_eq!(
        warned(&machine(), "order pack --cpus 2-4"),
        [
            "`order pack` has no effect: every core has the whole set; ask for `pin each` or `pin node`"
        ]
    );
}

#[test]
fn a_variable_that_nobody_knows_is_named_with_those_there_are() {
    let asked = Placement::from_vars([("SLUICEGATE_THREADS", "4"), ("SLUICEGATE_SEED", "1")]);
    let plan =
        asked.expect("not refused").plan(&Snapshot::read(machine().root())).expect("it fits");
    assert_eq!(
        plan.warnings.iter().map(ToString::to_string).collect::<Vec<_>>(),
        [
            "there is no variable SLUICEGATE_THREADS, and it says nothing: there are SLUICEGATE_CORES, \
          _CPUS, _PIN, _ORDER, _SMT, _IDLE, _STRICT"
        ]
    );
}

#[test]
fn a_plan_says_that_it_rests_on_guesses() {
    let tree = Tree::new(&[("sys/devices/system/cpu/online", "0-1\n")]);
    let warned = warned(&tree, "");
    assert!(warned[0].ends_with("that CPUs 0-1 are allowed, 0-1 are a physical core each, 0-1 are in one package, 0-1 are on one NUMA node"), "{warned:?}");
    assert_eq!(places(&tree, "pin each"), ["0", "1"]);
    assert_eq!(places(&tree, "pin node"), ["0-1", "0-1"]);
    assert_eq!(places(&tree, "cores physical --cpus node0,core1"), ["0-1", "0-1"]);
}

#[test]
fn a_plan_says_that_a_quota_makes_no_sense() {
    let tree = with_quota(150);
    tree.add("cg/cpu.max", "plenty\n");
    let said = "/cg/cpu.max cannot be read or makes no sense: no CPU quota of it counts";
    assert_eq!(warned(&tree, ""), [said]);
    assert!(line(&tree, "").ends_with(" quota=none"));
    tree.add("sys/devices/system/node/node1/cpulist", "4-6\n");
    assert!(warned(&tree, "")[0].ends_with(&format!("CPUs 7 are on one NUMA node; {said}")));
}

#[test]
fn idling_awake_is_refused_where_it_takes_time_from_others() {
    let idle = |tree: &Tree, choices: &str| {
        let plan = plan(tree, choices);
        let refused = plan.warnings.iter().find_map(|warning| match warning {
            Warning::IdleRefused { why, .. } => Some(*why),
            _ => None,
        });
        (plan.idle.to_string(), refused)
    };
    let park = "park".to_owned();
    assert_eq!(idle(&machine(), "idle spin:50us"), ("spin:50us".to_owned(), None));
    assert_eq!(idle(&machine(), "idle busy --cores 6"), ("busy".to_owned(), None));
    assert_eq!(idle(&with_quota(900), "idle park"), (park.clone(), None));
    let shared = Some(IdleRefusal::SharedCpus);
    assert_eq!(idle(&machine(), "idle busy --cores 7"), (park.clone(), shared));
    assert_eq!(idle(&machine(), "idle spin:1ms --cpus [2]*2"), (park.clone(), shared));
    assert_eq!(idle(&with_quota(900), "idle busy"), (park, Some(IdleRefusal::Quota)));
    let said = warned(&with_quota(900), "idle spin:50us");
    assert_eq!(
        said,
        ["`idle spin:50us` is refused and cores park: the time spent looking for events would \
          come out of the CPU quota"]
    );
    assert!(line(&machine(), "idle busy").contains(" idle=busy allowed"));
}
