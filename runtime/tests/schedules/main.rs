//! Random schedules over every link: whatever is done to two ends, in whatever order, and whatever
//! goes wrong between them, bytes come out in order and once, or the stream ends with an error; no
//! buffer outgrows its mark; and nothing is left behind.
//!
//! Each seed is one run. One that fails is made as short as it can be and printed as it is to be
//! kept in `kept.rs`. From the environment come `SLUICEGATE_SEED` to run one seed over every link,
//! `SLUICEGATE_SEEDS` to run more or fewer than usual, and `SLUICEGATE_CASE` to run a file that the
//! fuzzer has found.

mod kept;
mod machine;
#[path = "../rig/mod.rs"]
mod rig;
mod shrink;

use std::{env, fs};

use machine::{Case, Link};

/// Seeds over all links together, unless told otherwise.
const SEEDS: u64 = 10_000;

fn number(variable: &str) -> Option<u64> {
    env::var(variable).ok().map(|number| number.parse().expect("a number"))
}

/// Runs so many of a hundred seeds over these links in turn.
fn run_share(share: u64, links: &[Link]) {
    if let Some(file) = env::var_os("SLUICEGATE_CASE") {
        let bytes = fs::read(&file).expect("a file of the fuzzer");
        return shrink::run(&file.display(), &Case::decode(&bytes));
    }
    let count = number("SLUICEGATE_SEEDS").unwrap_or(SEEDS) * share / 100;
    let seeds = number("SLUICEGATE_SEED").map_or(0..count, |seed| seed..seed + 1);
    for seed in seeds {
        let link = links[seed as usize % links.len()];
        shrink::run(&format_args!("seed {seed}"), &Case::of_seed(seed, link));
    }
}

#[test]
fn over_sockets() {
    run_share(35, &[Link::Socket]);
}

#[test]
fn over_attempts_to_connect_in_vain() {
    run_share(3, &[Link::Refused]);
}

#[test]
fn over_pairs_on_a_core() {
    run_share(31, &[Link::Pair(false), Link::Pair(true)]);
}

#[test]
fn over_pairs_across_cores() {
    run_share(31, &[Link::Across(false), Link::Across(true)]);
}
