//! Choosing a core for a connection.
//!
//! Owns a cursor, by which cores take turns; a core that accepts has one for each of its listeners.
//! Sees the others through a function and nothing else. A core it cannot choose, because it has
//! gone or has as many connections as it may, looks to it as if it were not there.
//!
//! Source: HAProxy's `listener_accept` for the two candidates and the tie that stays local.
//! Differs: the slack.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::IpAddr;

use super::mode::{AcceptMode, Dispatch};

/// The least slack of a balanced listener, unless told otherwise.
const LEAST_SLACK: u64 = 2;

/// A slack is this part of the core's own connections, unless told otherwise.
const SLACK_PART: u64 = 20;

/// Chooses for the connections that one core accepts.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Chooser {
    own: usize,
    cores: usize,
    /// Who is next, in whatever the mode goes round.
    cursor: usize,
}

impl Chooser {
    /// The chooser of core `own` among `cores`.
    pub(crate) fn new(own: usize, cores: usize) -> Self {
        Self { own, cores, cursor: 0 }
    }

    /// The core for the next connection, which comes from `peer`; `None` if no core takes it.
    ///
    /// `look` tells how many connections a core has, or nothing of one that takes no more.
    pub(crate) fn choose(
        &mut self,
        mode: AcceptMode,
        peer: Option<IpAddr>,
        look: impl Fn(usize) -> Option<u64>,
    ) -> Option<usize> {
        match mode {
            AcceptMode::ReusePort | AcceptMode::Fixed(_) => look(self.own).map(|_| self.own),
            AcceptMode::Balanced { slack } => self.balanced(slack, look),
            AcceptMode::Single { by: Dispatch::LeastLoaded, .. } => self.least_loaded(look),
            AcceptMode::Single { by: Dispatch::RoundRobin, .. } => self.next(look),
            AcceptMode::Single { by: Dispatch::HashPeer, .. } => match peer {
                Some(peer) => first_from(home(peer, self.cores), self.cores, look),
                None => self.next(look),
            },
        }
    }

    fn balanced(
        &mut self,
        slack: Option<u32>,
        look: impl Fn(usize) -> Option<u64>,
    ) -> Option<usize> {
        let Some(own) = look(self.own) else { return self.least_loaded(look) };
        if self.cores == 1 {
            return Some(self.own);
        }
        let other = self.candidates().into_iter().filter_map(|core| Some((look(core)?, core)));
        let Some((load, other)) = other.min() else { return Some(self.own) };
        let slack = slack.map_or_else(|| LEAST_SLACK.max(own / SLACK_PART), u64::from);
        Some(if own + 1 > load.saturating_add(slack) { other } else { self.own })
    }

    /// The two others whose turn it is; twice the same if there is but one.
    fn candidates(&mut self) -> [usize; 2] {
        let others = self.cores - 1;
        let first = self.cursor;
        self.cursor = (self.cursor + 1) % others;
        [first, self.cursor].map(|at| (self.own + 1 + at) % self.cores)
    }

    fn least_loaded(&mut self, look: impl Fn(usize) -> Option<u64>) -> Option<usize> {
        let around = (0..self.cores).map(|step| (self.cursor + step) % self.cores);
        // The first of several equals is taken, and the next time another one is first.
        let (_, core) =
            around.filter_map(|core| Some((look(core)?, core))).min_by_key(|seen| seen.0)?;
        self.cursor = (core + 1) % self.cores;
        Some(core)
    }

    fn next(&mut self, look: impl Fn(usize) -> Option<u64>) -> Option<usize> {
        let core = first_from(self.cursor, self.cores, look)?;
        self.cursor = (core + 1) % self.cores;
        Some(core)
    }
}

/// The first core from `start` on, round and round, that can be chosen.
fn first_from(start: usize, cores: usize, look: impl Fn(usize) -> Option<u64>) -> Option<usize> {
    (0..cores).map(|step| (start + step) % cores).find(|&core| look(core).is_some())
}

/// The core where the connections of a client meet, by whichever family it comes.
fn home(peer: IpAddr, cores: usize) -> usize {
    let mut hasher = DefaultHasher::new();
    peer.to_canonical().hash(&mut hasher);
    (hasher.finish() % cores as u64) as usize
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use rand::rngs::Xoshiro256PlusPlus;
    use rand::{RngExt, SeedableRng};

    use super::*;

    const BALANCED: AcceptMode = AcceptMode::Balanced { slack: None };

    fn single(by: Dispatch) -> AcceptMode {
        AcceptMode::Single { acceptor: 0, by }
    }

    /// What the chooser of core 0 says when the cores have these loads.
    fn chosen(mode: AcceptMode, loads: &[Option<u64>]) -> Option<usize> {
        Chooser::new(0, loads.len()).choose(mode, None, |core| loads[core])
    }

    #[test]
    fn a_connection_stays_unless_its_core_would_be_beyond_the_slack() {
        let two = |own, other| chosen(BALANCED, &[Some(own), Some(other)]);
        assert_eq!(two(0, 0), Some(0), "a tie stays");
        assert_eq!(two(1, 0), Some(0), "two above is the slack");
        assert_eq!(two(2, 0), Some(1));
        assert_eq!(two(0, 9), Some(0));
        assert_eq!(two(104, 100), Some(0), "5 % of 104 are 5");
        assert_eq!(two(105, 100), Some(1));
        let strict = AcceptMode::Balanced { slack: Some(0) };
        assert_eq!(chosen(strict, &[Some(3), Some(4)]), Some(0));
        assert_eq!(chosen(strict, &[Some(4), Some(4)]), Some(1), "it would be one above");
        let lenient = AcceptMode::Balanced { slack: Some(u32::MAX) };
        assert_eq!(chosen(lenient, &[Some(1 << 20), Some(0)]), Some(0));
        assert_eq!(chosen(BALANCED, &[Some(9)]), Some(0), "there is but one core");
    }

    #[test]
    fn candidates_take_turns_and_the_less_loaded_wins() {
        let mut chooser = Chooser::new(1, 4);
        let pairs: Vec<_> = (0..4).map(|_| chooser.candidates()).collect();
        assert_eq!(pairs, [[2, 3], [3, 0], [0, 2], [2, 3]]);
        let mut chooser = Chooser::new(1, 4);
        let look = |core: usize| Some([5, 99, 7, 6][core]);
        let choices: Vec<_> = (0..3).map(|_| chooser.choose(BALANCED, None, look)).collect();
        assert_eq!(choices, [Some(3), Some(0), Some(0)]);
    }

    #[test]
    fn cores_that_take_no_more_are_passed_over() {
        assert_eq!(chosen(BALANCED, &[Some(9), None]), Some(0), "nobody else is there");
        assert_eq!(chosen(BALANCED, &[Some(9), None, Some(0)]), Some(2));
        assert_eq!(chosen(BALANCED, &[None, Some(7)]), Some(1), "the own core is full");
        assert_eq!(chosen(BALANCED, &[None, None, None, None, Some(1)]), Some(4));
        for mode in [BALANCED, AcceptMode::ReusePort, AcceptMode::Fixed(0)] {
            assert_eq!(chosen(mode, &[None, None]), None);
        }
        for mode in [AcceptMode::ReusePort, AcceptMode::Fixed(0)] {
            assert_eq!(chosen(mode, &[None, Some(0)]), None, "{mode} hands nothing over");
            assert_eq!(chosen(mode, &[Some(9), Some(0)]), Some(0));
        }
        for by in [Dispatch::LeastLoaded, Dispatch::RoundRobin, Dispatch::HashPeer] {
            assert_eq!(chosen(single(by), &[None, None, Some(8)]), Some(2), "{by}");
            assert_eq!(chosen(single(by), &[None, None]), None, "{by}");
        }
    }

    #[test]
    fn equals_take_turns_under_the_least_loaded() {
        let mut chooser = Chooser::new(0, 3);
        let mut loads = [4, 4, 4];
        let mut order = Vec::new();
        for _ in 0..6 {
            let core =
                chooser.choose(single(Dispatch::LeastLoaded), None, |core| Some(loads[core]));
            let core = core.expect("all are there");
            loads[core] += 1;
            order.push(core);
        }
        assert_eq!(order, [0, 1, 2, 0, 1, 2]);
        assert_eq!(chosen(single(Dispatch::LeastLoaded), &[Some(4), Some(3), Some(9)]), Some(1));
    }

    #[test]
    fn round_robin_counts_nothing() {
        let mut chooser = Chooser::new(0, 3);
        let look = |core| (core != 1).then_some(100 - core as u64);
        let mut next = || chooser.choose(single(Dispatch::RoundRobin), None, look);
        assert_eq!([next(), next(), next()], [Some(0), Some(2), Some(0)]);
    }

    #[test]
    fn the_connections_of_a_client_meet_and_clients_spread() {
        const CORES: usize = 4;
        let at = |peer| {
            let mut chooser = Chooser::new(0, CORES);
            let core = chooser.choose(single(Dispatch::HashPeer), Some(peer), |_| Some(0));
            core.expect("all are there")
        };
        let mut counts = [0; CORES];
        for client in 0..4000_u32 {
            let v4 = Ipv4Addr::from(0x0a00_0000 + client);
            counts[at(v4.into())] += 1;
            assert_eq!(at(v4.into()), at(v4.into()));
            assert_eq!(at(v4.into()), at(v4.to_ipv6_mapped().into()), "it is the same client");
        }
        assert!(counts.iter().all(|count| (900..1100).contains(count)), "{counts:?}");
        let home = at(Ipv6Addr::LOCALHOST.into());
        let mut chooser = Chooser::new(0, CORES);
        let look = |core| (core != home).then_some(0);
        let mode = single(Dispatch::HashPeer);
        let next = chooser.choose(mode, Some(Ipv6Addr::LOCALHOST.into()), look);
        assert_eq!(next, Some((home + 1) % CORES), "the next, where its own takes none");
    }

    /// Connections that come to the cores unevenly and leave at random; returns the worst spread
    /// seen after each arrival, over the slack at that moment.
    fn worst_excess(cores: usize, seed: u64, uneven: f64) -> i64 {
        const STEPS: usize = 20_000;
        let mut dice = Xoshiro256PlusPlus::seed_from_u64(seed);
        let mut choosers: Vec<_> = (0..cores).map(|own| Chooser::new(own, cores)).collect();
        let mut loads = vec![0_u64; cores];
        let mut worst = i64::MIN;
        for step in 0..STEPS {
            // As many come as go once there are some hundreds; at first more come.
            let total: u64 = loads.iter().sum();
            if step > STEPS / 4 && total > 0 && dice.random_bool(0.5) {
                // Every connection is as likely to end as any other.
                let mut ends = dice.random_range(0..total);
                let core = loads.iter().position(|&load| {
                    let here = ends < load;
                    ends = ends.wrapping_sub(load);
                    here
                });
                loads[core.expect("one of them ends")] -= 1;
                continue;
            }
            let at = if dice.random_bool(uneven) { 0 } else { dice.random_range(0..cores) };
            let before = loads[at];
            let core = choosers[at].choose(BALANCED, None, |core| Some(loads[core]));
            let core = core.expect("all are there");
            loads[core] += 1;
            if core == at {
                let slack = LEAST_SLACK.max(before / SLACK_PART) as i64;
                let least = *loads.iter().min().expect("there are cores") as i64;
                worst = worst.max(loads[at] as i64 - least - slack);
            }
        }
        worst
    }

    #[test]
    fn a_core_that_keeps_a_connection_stays_within_the_slack() {
        for seed in 0..20 {
            for uneven in [0.0, 0.5, 1.0] {
                assert!(worst_excess(2, seed, uneven) <= 0, "seed {seed}, {uneven} at core 0");
            }
        }
    }

    #[test]
    fn of_many_cores_two_candidates_keep_all_close() {
        // Two of the others are looked at, so one that nobody looks at may be lower still.
        for seed in 0..5 {
            for cores in [3, 4, 8, 16] {
                for uneven in [0.0, 0.5, 1.0] {
                    let worst = worst_excess(cores, seed, uneven);
                    assert!(worst <= 24, "seed {seed}, {cores} cores, {uneven}: {worst}");
                }
            }
        }
    }
}
