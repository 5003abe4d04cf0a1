//! The rules of placement on made-up machines.
//!
//! Owns small machines as trees of system files; never touches the one it runs on. Whole machines
//! are in `runtime/tests/machines`. How many cores there are and where each is stands here; what a
//! list comes to, and what a plan warns of, have files of their own.

mod list;
mod warning;

use super::tree::Tree;
use super::*;

/// Eight CPUs online, of which 2 to 7 are allowed; pairs of them are one physical core, four are a
/// package and a node.
fn machine() -> Tree {
    let tree = Tree::new(&[
        ("sys/devices/system/cpu/online", "0-7\n"),
        ("sys/devices/system/node/node0/cpulist", "0-3\n"),
        ("sys/devices/system/node/node1/cpulist", "4-7\n"),
        ("proc/self/status", "Cpus_allowed_list:\t2-7\n"),
    ]);
    for cpu in 0..8 {
        let first = cpu / 2 * 2;
        tree.add_cpu(cpu, cpu / 4, &format!("{first}-{}", first + 1));
    }
    tree
}

/// The same with a CPU quota, in hundredths of a CPU.
fn with_quota(percent: u32) -> Tree {
    let tree = machine();
    tree.add("proc/self/mountinfo", "30 23 0:27 / /cg rw - cgroup2 cgroup2 rw\n");
    tree.add("proc/self/cgroup", "0::/\n");
    tree.add("cg/cpu.max", &format!("{percent}000 100000\n"));
    tree
}

/// Choices as flags would give them: `cores 2`, `pin each` and so on.
fn asked(choices: &str) -> Placement {
    let mut asked = Placement::default();
    for choice in choices.split_terminator(" --") {
        let (name, text) = choice.split_once(' ').expect("a name and a choice");
        let error = "a valid choice";
        match name {
            "cores" => asked.cores = Some(text.parse().expect(error)),
            "cpus" => asked.cpus = Some(text.parse().expect(error)),
            "pin" => asked.pin = Some(text.parse().expect(error)),
            "order" => asked.order = Some(text.parse().expect(error)),
            "smt" => asked.smt = Some(text.parse().expect(error)),
            "idle" => asked.idle = Some(text.parse().expect(error)),
            "strict" => asked.strict = Some(text.parse().expect(error)),
            other => panic!("no choice {other}"),
        }
    }
    asked
}

fn plan(tree: &Tree, choices: &str) -> Plan {
    let plan = asked(choices).plan(&Snapshot::read(tree.root()));
    plan.unwrap_or_else(|error| panic!("{choices}: {error}"))
}

/// The start-up line, or the error.
fn line(tree: &Tree, choices: &str) -> String {
    match asked(choices).plan(&Snapshot::read(tree.root())) {
        Ok(plan) => plan.to_string(),
        Err(error) => error.to_string(),
    }
}

/// The CPUs of each core.
fn places(tree: &Tree, choices: &str) -> Vec<String> {
    let plan = plan(tree, choices);
    let cpus =
        |core: &CorePlan| core.cpus.as_ref().map_or_else(|| "-".to_owned(), CpuSet::to_string);
    plan.cores.iter().map(cpus).collect()
}

fn warned(tree: &Tree, choices: &str) -> Vec<String> {
    plan(tree, choices).warnings.iter().map(Warning::to_string).collect()
}

#[test]
fn by_default_there_is_one_unpinned_core_for_each_allowed_cpu() {
    let plan = plan(&machine(), "");
    assert_eq!(
        plan.to_string(),
        "cores=6 (one for each allowed CPU) pin=none allowed=2-7 quota=none"
    );
    let indexes: Vec<_> = plan.cores.iter().map(|core| core.index).collect();
    assert_eq!(indexes, [0, 1, 2, 3, 4, 5]);
    assert!(plan.cores.iter().all(|core| core.cpus.is_none() && core.why == Why::Unpinned));
    assert_eq!((plan.idle, plan.strict, plan.warnings), (Idle::Park, false, vec![]));
}

#[test]
fn the_quota_lowers_the_default_but_never_below_one_core() {
    assert_eq!(
        line(&with_quota(150), ""),
        "cores=2 (what the CPU quota pays for) pin=none allowed=2-7 quota=1.50"
    );
    for percent in [1, 50, 100] {
        assert!(line(&with_quota(percent), "").starts_with("cores=1 (what the CPU quota"));
    }
    assert!(line(&with_quota(900), "").starts_with("cores=6 (one for each"));
}

#[test]
fn a_list_confines_every_core_to_it_and_gives_their_number() {
    assert_eq!(
        line(&with_quota(100), "cpus 3,5-6"),
        "cores=3 (one for each CPU listed) pin=set cpus=3,5-6 allowed=2-7 quota=1.00"
    );
    assert_eq!(places(&machine(), "cpus allowed"), ["2-7"; 6]);
    assert_eq!(places(&machine(), "cores 1 --pin set"), ["2-7"]);
}

#[test]
fn cores_given_override_the_number_of_cpus_listed() {
    assert!(line(&machine(), "cores 9 --cpus 3-4").starts_with("cores=9 (as asked)"));
    let auto = line(&with_quota(100), "cores auto --cpus 3-4");
    assert!(auto.starts_with("cores=1 (what the CPU quota pays for) pin=set cpus=3-4"), "{auto}");
}

#[test]
fn pin_none_beside_a_list_takes_only_its_number() {
    assert_eq!(places(&machine(), "cpus 3-4 --pin none"), ["-", "-"]);
    assert_eq!(places(&machine(), "cpus [3-4]*3 --pin none"), ["-", "-", "-"]);
}

#[test]
fn physical_cores_are_counted_as_far_as_cpus_of_them_may_be_used() {
    assert!(line(&machine(), "cores physical").starts_with("cores=3 (one for each physical core)"));
    assert!(line(&machine(), "cores physical --cpus 3-4,7").starts_with("cores=3 (one for each p"));
    assert!(line(&machine(), "cores physical --cpus 2-3").starts_with("cores=1 (one for each phy"));
    assert!(line(&with_quota(150), "cores physical").starts_with("cores=2 (what the CPU quota"));
}

#[test]
fn one_cpu_of_each_physical_core_counts_with_smt_one() {
    assert_eq!(
        line(&machine(), "smt one"),
        "cores=3 (one for each physical core) pin=none smt=one allowed=2-7 quota=none"
    );
    assert_eq!(places(&machine(), "smt one --pin each"), ["2", "4", "6"]);
    assert_eq!(places(&machine(), "smt one --cpus 3-5"), ["3-4"; 2]);
    assert_eq!(places(&machine(), "smt one --cpus 2-3;4-7"), ["2", "4,6"]);
    assert!(line(&machine(), "smt one --cores 4 --pin each").contains("among the 3 of 2,4,6"));
}

#[test]
fn spread_takes_physical_cores_first_and_then_even_nodes() {
    let at = |cores: usize| places(&machine(), &format!("cores {cores} --pin each"));
    assert_eq!(at(1), ["2"]);
    assert_eq!(at(2), ["2", "4"]);
    assert_eq!(at(3), ["2", "4", "6"]);
    assert_eq!(at(4), ["2", "3", "4", "6"]);
    assert_eq!(at(6), ["2", "3", "4", "5", "6", "7"]);
    assert_eq!(
        line(&machine(), "cores 2 --cpus 7,4,5 --pin each"),
        "cores=2 (as asked) pin=each cpus=0:4;1:7 order=spread allowed=2-7 quota=none"
    );
}

#[test]
fn pack_fills_a_physical_core_then_its_node() {
    let at = |choices: &str| places(&machine(), &format!("pin each --order pack --{choices}"));
    assert_eq!(at("cores 2"), ["2", "3"]);
    assert_eq!(at("cores 4"), ["2", "3", "4", "5"]);
    assert_eq!(at("cores 3 --cpus 3-7"), ["3", "4", "5"]);
}

#[test]
fn a_core_says_with_whom_it_shares() {
    let why = |tree: &Tree, choices: &str| -> Vec<Why> {
        plan(tree, choices).cores.iter().map(|core| core.why).collect()
    };
    let (alone, with) = (Why::PhysicalCore, Why::SiblingOf);
    assert_eq!(why(&machine(), "cores 3 --pin each"), [alone; 3]);
    assert_eq!(why(&machine(), "cores 4 --pin each"), [with(1), with(0), alone, alone]);
    let all = [with(1), with(0), with(3), with(2), with(5), with(4)];
    assert_eq!(why(&machine(), "pin each"), all);
    // Four threads on a core: each names the lowest of the others.
    let tree = machine();
    (4..8).for_each(|cpu| tree.add_cpu(cpu, 1, "4-7"));
    let four = [with(1), with(0), with(0), with(0)];
    assert_eq!(why(&tree, "cpus 4-7 --pin each"), four);
    assert_eq!(with(3).to_string(), "shares its physical core with core 3");
}

#[test]
fn pin_node_keeps_each_core_on_the_cpus_of_one_node() {
    assert_eq!(places(&machine(), "cores 3 --pin node"), ["2-3", "4-7", "4-7"]);
    assert_eq!(places(&machine(), "cores 2 --pin node --order pack"), ["2-3", "2-3"]);
    assert_eq!(
        places(&machine(), "cores 7 --pin node --cpus 3,5-6").join(" "),
        "3 3 3 5-6 5-6 5-6 5-6"
    );
    assert_eq!(
        line(&machine(), "cores 3 --pin node"),
        "cores=3 (as asked) pin=node cpus=0:2-3;1-2:4-7 order=spread allowed=2-7 quota=none"
    );
}

#[test]
fn a_set_for_each_core_is_its_own() {
    assert_eq!(places(&machine(), "cpus 2-3;[4-5]*2"), ["2-3", "4-5", "4-5"]);
    assert_eq!(
        line(&machine(), "cores 3 --cpus 2-3;[4-5]*2"),
        "cores=3 (as asked) pin=set cpus=0:2-3;1-2:4-5 allowed=2-7 quota=none"
    );
    assert!(line(&machine(), "cpus node1;2").starts_with("cores=2 (one for each set listed)"));
    assert!(line(&machine(), "cores 2 --cpus [4-5]*3").starts_with("2 cores are asked for beside"));
    assert!(
        line(&machine(), "cores physical --cpus [4]*3").starts_with("physical cores are asked")
    );
    for pin in ["each", "node"] {
        let refused = line(&machine(), &format!("cpus 2;3 --pin {pin}"));
        assert!(refused.starts_with(&format!("`pin {pin}` contradicts")), "{refused}");
    }
    // They stay in the order in which they are listed, which CPUs never are that are chosen.
    assert_eq!(places(&machine(), "cpus 4-5;2-3"), ["4-5", "2-3"]);
    assert_eq!(places(&machine(), "cpus 4,2 --pin each"), ["2", "4"]);
}

#[test]
fn pin_each_with_more_cores_than_cpus_is_refused() {
    assert_eq!(
        line(&machine(), "cores 3 --cpus 4-5 --pin each"),
        "3 cores cannot be pinned each to a CPU of its own among the 2 of 4-5: ask for at most 2 \
         cores, list more CPUs, or pin to the `set`"
    );
}

#[test]
fn no_core_and_one_core_too_many_are_refused() {
    assert_eq!(plan(&machine(), &format!("cores {MAX_CORES}")).cores.len(), MAX_CORES);
    for cores in [0, MAX_CORES + 1] {
        let asked = Placement { cores: Some(cores.into()), ..Placement::default() };
        assert_eq!(
            asked.plan(&Snapshot::read(machine().root())).expect_err("refused").to_string(),
            format!("a runtime cannot have {cores} cores: ask for 1 to 1024, or `auto`")
        );
    }
}

#[test]
fn threads_that_serve_all_cores_run_where_no_core_is_alone() {
    let helper = |choices: &str| {
        let cpus = plan(&machine(), choices).helper_cpus();
        cpus.map(|cpus| cpus.to_string())
    };
    assert_eq!(helper("cores 1"), None);
    assert_eq!(helper("cpus 3-4 --pin none"), None);
    assert_eq!(helper("cores 1 --pin each").as_deref(), Some("3-7"));
    assert_eq!(helper("cpus 3-4").as_deref(), Some("3-4"));
    assert_eq!(helper("cpus 3-4 --pin each").as_deref(), Some("3-4"));
    assert_eq!(helper("cpus 4-7 --pin each --smt one").as_deref(), Some("5,7"));
    assert_eq!(helper("cpus 3;5-6").as_deref(), Some("3,5-6"));
}

#[test]
fn what_is_left_open_comes_from_whoever_is_asked_next() {
    let flags = asked("cores 2 --idle busy");
    let builder = asked("cores 3 --pin each");
    let merged = flags.or(builder).or(asked("pin set --strict true --smt one --order pack"));
    assert_eq!(
        merged,
        asked("cores 2 --idle busy --pin each --strict true --smt one --order pack")
    );
}

#[test]
fn an_error_names_the_variables_that_had_a_part_in_it() {
    let snapshot = Snapshot::read(machine().root());
    for (variables, flags, named) in [
        (&[("CPUS", "2;3"), ("PIN", "each")][..], "", "SLUICEGATE_PIN and SLUICEGATE_CPUS: "),
        (&[("CPUS", "2;3"), ("PIN", "none")], "pin each", "SLUICEGATE_CPUS: "),
        (&[("PIN", "node")], "cpus 2;3", "SLUICEGATE_PIN: "),
        (&[("PIN", "node"), ("CPUS", "2")], "cpus 2;3 --pin each", ""),
        (&[("CORES", "3"), ("CPUS", "2;3")], "", "SLUICEGATE_CORES and SLUICEGATE_CPUS: "),
        (&[("CORES", "1025"), ("PIN", "each")], "", "SLUICEGATE_CORES: "),
        (&[("CPUS", "0")], "cores 1", "SLUICEGATE_CPUS: "),
        (&[("CPUS", "2,!2")], "", "SLUICEGATE_CPUS: "),
        (&[("CPUS", "node9")], "", "SLUICEGATE_CPUS: "),
        (&[("SMT", "one"), ("PIN", "each")], "cores 4", "SLUICEGATE_PIN and SLUICEGATE_SMT: "),
        (&[("ORDER", "pack")], "cores 7 --pin each", ""),
    ] {
        let variables = variables.iter().map(|(name, text)| (format!("SLUICEGATE_{name}"), text));
        let environment = Placement::from_vars(variables).expect("each is valid");
        let merged = asked(flags).or(environment);
        let refused = merged.plan(&snapshot).expect_err("refused");
        let source = match refused {
            PlacementError::Variable { ref name, ref source } => {
                assert_eq!(format!("{name}: "), named, "{merged}");
                source
            }
            ref refused => {
                assert_eq!(named, "", "{merged}");
                refused
            }
        };
        assert_eq!(refused.to_string(), format!("{named}{source}"));
    }
}

#[test]
fn a_time_to_spin_is_checked_wherever_it_comes_from() {
    let spin = |time| Placement { idle: Some(Idle::Spin(time)), ..Placement::default() };
    let snapshot = Snapshot::read(machine().root());
    for time in [SPIN_MIN, SPIN_MAX] {
        assert!(spin(time).plan(&snapshot).is_ok());
    }
    for time in [SPIN_MIN / 2, SPIN_MAX + SPIN_MIN] {
        let refused = spin(time).plan(&snapshot).expect_err("out of range");
        assert!(matches!(refused, PlacementError::SpinTime { time: given } if given == time));
    }
}
