//! Which CPUs of many the cores get: a choice that depends on nothing but the machine.
//!
//! Owns the two orders. One CPU is chosen after the other, each time the best by a key of how many
//! cores its core, node and package have so far; the lowest of equals. Knows nothing of pinning.
//!
//! Invariants: no CPU is chosen twice before all are chosen once; the same inputs give the same
//! choice; the result ascends.
//! Source: glommio's MaxSpread and MaxPack. Differs: deterministic, and aware of hybrid machines.

use std::collections::BTreeMap;

use super::choice::Order;
use super::cpu_set::CpuSet;
use super::topology::{Location, Topology};

/// The CPUs for `count` cores, ascending; one comes again where there are more cores than CPUs.
///
/// O(CPUs² log CPUs) at most, on a machine where CPUs are left over.
pub(super) fn choose(
    topology: &Topology,
    usable: &CpuSet,
    count: usize,
    order: Order,
) -> Vec<usize> {
    let (rounds, rest) = (count / usable.count(), count % usable.count());
    let mut chosen: Vec<usize> =
        usable.iter().flat_map(|cpu| std::iter::repeat_n(cpu, rounds)).collect();
    let mut free: Vec<Location> =
        topology.locations().iter().filter(|at| usable.contains(at.cpu)).copied().collect();
    let mut taken = Taken::default();
    for _ in 0..rest {
        let best = free.iter().enumerate().min_by_key(|(_, at)| taken.rank(at, order));
        let (place, _) = best.expect("fewer are chosen than there are CPUs");
        let at = free.remove(place);
        taken.add(&at);
        chosen.push(at.cpu);
    }
    chosen.sort_unstable();
    chosen
}

/// How many CPUs are taken of each place, by its number.
#[derive(Default)]
struct Taken {
    cores: BTreeMap<usize, usize>,
    nodes: BTreeMap<usize, usize>,
    packages: BTreeMap<usize, usize>,
}

impl Taken {
    fn add(&mut self, at: &Location) {
        *self.cores.entry(at.core).or_default() += 1;
        *self.nodes.entry(at.node).or_default() += 1;
        *self.packages.entry(at.package).or_default() += 1;
    }

    /// How good a CPU is as the next one: the least is the best.
    fn rank(&self, at: &Location, order: Order) -> [usize; 5] {
        let count = |of: &BTreeMap<usize, usize>, number: usize| of.get(&number).map_or(0, |n| *n);
        let on_core = count(&self.cores, at.core);
        let on_node = count(&self.nodes, at.node);
        let in_package = count(&self.packages, at.package);
        let slow = usize::from(at.efficient);
        match order {
            Order::Spread => [on_core, slow, on_node, in_package, at.cpu],
            Order::Pack => {
                let fresh = |count: usize| usize::from(count == 0);
                [fresh(on_core), fresh(on_node), fresh(in_package), slow, at.cpu]
            }
        }
    }
}
