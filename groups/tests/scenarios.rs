//! The simulator's scenarios in small sizes, and a broken limiter for each check.
//!
//! Virtual time: no run depends on the machine. `loadtest simulate` runs the same in any size.

use sluicegate_groups::testing::{Mutant, SCENARIOS, Scenario, Size, Verdict};

fn size(cores: usize) -> Size {
    Size { cores, members: 2000, seed: 7 }
}

fn run(name: &str, size: Size, mutant: Option<Mutant>) -> Verdict {
    Scenario::named(name).expect("a scenario of this name").run(size, mutant)
}

fn assert_all_pass(cores: usize) {
    for scenario in SCENARIOS {
        let verdict = scenario.run(size(cores), None);
        assert!(verdict.passes(), "{:?} on {cores} cores: {verdict:#?}", verdict.failed());
    }
}

#[test]
fn every_scenario_passes_on_one_core() {
    assert_all_pass(1);
}

#[test]
fn every_scenario_passes_on_two_cores() {
    assert_all_pass(2);
}

#[test]
fn every_scenario_passes_on_nine_cores() {
    assert_all_pass(9);
}

#[test]
fn sixty_four_and_a_hundred_and_twenty_eight_cores_share_evenly() {
    for cores in [64, 128] {
        for name in ["even", "skew", "asleep"] {
            let verdict = run(name, size(cores), None);
            assert!(verdict.passes(), "{:?} on {cores} cores: {verdict:#?}", verdict.failed());
        }
    }
}

#[test]
fn what_rare_turns_lose_at_first_counts_no_more_on_a_hundred_and_twenty_eight_cores() {
    let verdict = run("stall", Size { seed: 8, ..size(128) }, None);
    assert!(verdict.passes(), "{:?}: {verdict:#?}", verdict.failed());
}

#[test]
fn where_a_quantum_takes_longer_than_shares_are_kept_every_core_has_its_turn() {
    for seed in [3, 7, 9] {
        let verdict = run("crawl", Size { seed, ..size(8) }, None);
        assert!(verdict.passes(), "{:?}, seed {seed}: {verdict:#?}", verdict.failed());
    }
}

#[test]
fn every_mutant_is_caught_by_the_check_named_for_it() {
    for cores in [2, 8] {
        for mutant in Mutant::ALL {
            let (scenario, check) = mutant.caught_by();
            let broken = run(scenario, size(cores), Some(mutant));
            let failed = broken.failed();
            assert!(failed.contains(&check), "{cores} cores, {mutant:?}: {failed:?} {broken:#?}");
        }
    }
}

#[test]
fn the_same_seed_gives_the_same_run_and_another_seed_another() {
    for name in ["even", "churn", "short"] {
        let first = run(name, size(3), None);
        assert_eq!(first, run(name, size(3), None), "{name}");
        assert_ne!(first.figures, run(name, Size { seed: 8, ..size(3) }, None).figures, "{name}");
    }
}
