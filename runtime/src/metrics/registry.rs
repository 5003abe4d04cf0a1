//! The groups that have, or had, members on the cores of one runtime.
//!
//! Owns a list of handles that keep no group alive, and which core sits on which seat. Filled when
//! a core takes its first seat of a group, which is when the group's own lock is taken too; read
//! when somebody looks. No byte waits for it, and a runtime without metrics has none.
//!
//! Invariant: at most half of the entries, and 64 more, are of groups that are gone.

use std::collections::BTreeMap;
use std::ops::Bound;

use groups::GroupId;
use parking_lot::Mutex;

use crate::group::{Group, WeakGroup};

/// Entries that are not worth looking through for groups that are gone.
const FEW: usize = 64;

/// Which groups there are, and which core has which of their seats.
#[derive(Debug, Default)]
pub(crate) struct Registry(Mutex<Directory>);

#[derive(Debug, Default)]
struct Directory {
    groups: BTreeMap<GroupId, Known>,
    /// How many were left when those that are gone were last taken out.
    swept: usize,
}

#[derive(Clone, Debug)]
struct Known {
    group: WeakGroup,
    /// How many seats the group has.
    seats: usize,
    /// The last core on each seat that was ever taken, each core on the last of its seats.
    cores: Vec<Option<usize>>,
}

/// A group that lives, and the last core on each of its seats.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) group: Group,
    pub(super) cores: Vec<Option<usize>>,
}

impl Registry {
    /// A core has taken a seat of a group.
    pub(crate) fn note(&self, group: &Group, seat: usize, core: usize) {
        let mut directory = self.0.lock();
        directory.sweep();
        let known = directory.groups.entry(group.id()).or_insert_with(|| Known {
            group: group.downgrade(),
            seats: group.seats(),
            cores: Vec::new(),
        });
        if known.cores.len() <= seat {
            known.cores.resize(seat + 1, None);
        }
        // It may have had another, which somebody who is not listed here has now.
        known.cores.iter_mut().filter(|on| **on == Some(core)).for_each(|on| *on = None);
        known.cores[seat] = Some(core);
    }

    /// Groups that live, in the order of their numbers, and the number of the last one looked at:
    /// those behind `after`, one at least if there is one, and more as long as all have no more
    /// than `seats` seats.
    pub(super) fn find(
        &self,
        after: Option<GroupId>,
        seats: usize,
    ) -> (Vec<Found>, Option<GroupId>) {
        let mut known = Vec::new();
        let (mut left, mut last) = (seats, None);
        {
            let directory = self.0.lock();
            let from = after.map_or(Bound::Unbounded, Bound::Excluded);
            for (&id, entry) in directory.groups.range((from, Bound::Unbounded)) {
                if last.is_some() && entry.seats > left {
                    break;
                }
                left = left.saturating_sub(entry.seats.max(1));
                last = Some(id);
                known.push(entry.clone());
            }
        }
        let found = known
            .into_iter()
            .filter_map(|known| Some(Found { group: known.group.upgrade()?, cores: known.cores }));
        (found.collect(), last)
    }
}

impl Directory {
    /// Forgets groups that are gone, once there may be as many as others.
    fn sweep(&mut self) {
        if self.groups.len() >= 2 * self.swept + FEW {
            self.groups.retain(|_, known| !known.group.is_gone());
            self.swept = self.groups.len();
        }
    }
}

#[cfg(test)]
mod tests {
    use groups::TokenBucketConfig;

    use super::*;

    fn group(seats: usize) -> Group {
        let rate = "1MB/s".parse().expect("it is a rate");
        let config = TokenBucketConfig::per_second(rate);
        Group::builder(config).seats(seats).build().expect("the numbers fit")
    }

    fn ids(found: &[Found]) -> Vec<GroupId> {
        found.iter().map(|found| found.group.id()).collect()
    }

    #[test]
    fn groups_are_found_a_few_at_a_time_and_none_twice() {
        let registry = Registry::default();
        let groups: Vec<Group> = (0..7).map(|_| group(4)).collect();
        for group in &groups {
            registry.note(group, 2, 9);
        }
        let mut all = Vec::new();
        let mut after = None;
        loop {
            let (found, last) = registry.find(after, 10);
            assert!(found.len() <= 2, "{} groups of 4 seats, 10 asked for", found.len());
            let Some(last) = last else { break };
            assert_eq!(found[0].cores, [None, None, Some(9)]);
            all.extend(ids(&found));
            after = Some(last);
        }
        assert_eq!(all, groups.iter().map(Group::id).collect::<Vec<_>>());
    }

    #[test]
    fn a_core_is_found_on_the_last_of_its_seats_only() {
        let registry = Registry::default();
        let group = group(3);
        for (seat, core) in [(0, 7), (1, 8), (2, 7)] {
            registry.note(&group, seat, core);
        }
        let (found, _) = registry.find(None, 10);
        assert_eq!(found[0].cores, [None, Some(8), Some(7)]);
    }

    #[test]
    fn a_group_with_more_seats_than_asked_for_is_found_alone() {
        let registry = Registry::default();
        let (large, small) = (group(100), group(1));
        registry.note(&large, 0, 0);
        registry.note(&small, 0, 0);
        let (found, last) = registry.find(None, 10);
        assert_eq!((ids(&found), last), (vec![large.id()], Some(large.id())));
        assert_eq!(ids(&registry.find(last, 10).0), [small.id()]);
    }

    #[test]
    fn a_group_that_is_gone_is_not_found_and_at_last_forgotten() {
        let registry = Registry::default();
        let kept = group(1);
        registry.note(&kept, 0, 0);
        for _ in 0..10 * FEW {
            registry.note(&group(1), 0, 0);
        }
        assert_eq!(ids(&registry.find(None, usize::MAX).0), [kept.id()]);
        let entries = registry.0.lock().groups.len();
        assert!(entries <= FEW + 2, "{entries} entries for one group");
    }
}
