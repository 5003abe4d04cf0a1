//! One group, its members placed on the cores in different ways: it must make no difference.
//!
//! Owns the ways and the comparison of their totals; each way is judged by itself as any group. A
//! core has a port of its own, so the client decides who lives where.

use std::num::NonZeroU32;
use std::time::Duration;

use sluicegate::Rate;

use super::comparison::Comparison;
use super::judge::Check;
use super::scenario::{Bars, Scenario};
use super::trial::Finding;
use crate::arguments::{LimitArguments, RatelimitArguments};
use crate::client;
use crate::exit::{Failure, Outcome};

/// The name to ask for it by.
pub(super) const NAME: &str = "placement";

/// Cores it needs.
pub(super) const LEAST_CORES: usize = 2;

/// The ways, over this many cores.
///
/// # Errors
/// Too few members, or a run too short to judge.
pub(super) fn scenarios(arguments: &RatelimitArguments, cores: usize) -> Outcome<Vec<Scenario>> {
    let members = arguments.connections.unwrap_or(DEFAULT_MEMBERS);
    if members < cores {
        return Err(Failure::Usage(format!(
            "-c {members}: placing members on {cores} cores takes at least {cores}"
        )));
    }
    let rate = Rate::bytes_per_second(DEFAULT_RATE).expect("the default rate is in range");
    let way = |name, spread, weights: &[NonZeroU32]| {
        Scenario {
            name,
            members,
            limits: LimitArguments {
                group_limit: Some(arguments.group_limit.unwrap_or(rate)),
                ..LimitArguments::default()
            },
            bars: Bars::Shares,
            warmup: Duration::from_secs(1),
            hold: false,
            duration: arguments.duration.unwrap_or(DEFAULT_DURATION),
            spread,
            weights: weights.to_vec(),
            tls: false,
        }
        .checked()
    };
    let even: Vec<usize> = (0..cores).map(|core| client::share(members, cores, core)).collect();
    let mut one = vec![0; cores];
    one[0] = members;
    let mut skewed = vec![1; cores];
    skewed[0] = members - (cores - 1);
    Ok(vec![
        way("placement-one", one, &[])?,
        way("placement-even", even.clone(), &[])?,
        way("placement-skewed", skewed, &[])?,
        way("placement-weighted", even, &WEIGHTS)?,
    ])
}

/// Compares what the members got together.
pub(super) fn compare(findings: &[Finding]) -> Comparison {
    let totals = || findings.iter().map(|finding| finding.judgement.achieved_ratio);
    let (least, most) = (totals().fold(f64::INFINITY, f64::min), totals().fold(0.0, f64::max));
    let noisy = findings.iter().any(|finding| !finding.remarks.is_empty());
    let check = Check::at_most("largest total / smallest", most / least, MOST_BETWEEN_TOTALS);
    Comparison::new(NAME, vec![check.timing(noisy)])
}

const DEFAULT_MEMBERS: usize = 1000;
const DEFAULT_RATE: u64 = 50_000_000;
const DEFAULT_DURATION: Duration = Duration::from_secs(10);
const WEIGHTS: [NonZeroU32; 2] = [NonZeroU32::new(3).unwrap(), NonZeroU32::MIN];
const MOST_BETWEEN_TOTALS: f64 = 1.01;

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::arguments::{Arguments, Command};

    fn ways(line: &str, cores: usize) -> Outcome<Vec<Scenario>> {
        match Arguments::parse_from(line.split_whitespace()).command {
            Some(Command::Ratelimit(arguments)) => scenarios(&arguments, cores),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn every_member_has_a_place_in_each_way() {
        let ways = ways("loadtest ratelimit placement", 2).unwrap();
        let spreads: Vec<&[usize]> = ways.iter().map(|way| way.spread.as_slice()).collect();
        assert_eq!(spreads, [[1000, 0], [500, 500], [999, 1], [500, 500]]);
        assert_eq!(ways[3].weight(), 2000);
        assert_eq!(ways[3].turn().unwrap(), ways[0].turn().unwrap() * 2);
    }

    #[test]
    fn the_remainder_of_an_even_spread_is_placed_too() {
        let ways = ways("loadtest ratelimit placement -c 8", 3).unwrap();
        assert_eq!(
            (ways[1].spread.clone(), ways[2].spread.clone()),
            (vec![3, 3, 2], vec![6, 1, 1])
        );
    }

    #[test]
    fn fewer_members_than_cores_and_short_runs_are_refused() {
        let refused = |line, cores| ways(line, cores).unwrap_err().to_string();
        assert!(refused("loadtest ratelimit placement -c 2", 3).contains("-c 2"));
        // Turns of members of weights 3 and 1 come every 200 ms, and each should have fifty.
        assert!(refused("loadtest ratelimit placement -d 9s", 2).contains("10s"));
    }
}
