//! A core's credit: how much of what the group produced is its share and not yet drawn.
//!
//! Owns a signed balance and the byte-clock reading up to which it was settled. Decides how much
//! a contended draw may take; safety does not depend on it, only fairness. Plain integers, owned
//! by one core.
//!
//! Invariants, at constant W and once settled: -Q <= balance <= what the plan lets it save up
//! (`Plan::credit_max`), and balance >= 0 where the bucket is deep enough to hold a quantum for
//! each core; no credit is gained while idle; remainders are carried, so the slowest rate loses
//! none.

use crate::plan::Reserve;

/// A core's part of the group's backlogged weight.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Share {
    /// w: what this core published; at least 1.
    pub(crate) own: u64,
    /// W: what all published; at least `own`.
    pub(crate) all: u64,
}

/// What a draw may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Allowance {
    /// Bytes nobody claimed in time: free to anyone who waits.
    pub(crate) surplus: u64,
    /// The most this draw may take, surplus included.
    pub(crate) most: u64,
}

/// The running account of one core in one direction.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Credit {
    balance: i64,
    settled: u64,
    remainder: u64,
}

impl Credit {
    /// Starts over at the reading `g`: a core that is alone owes nothing and is owed nothing.
    pub(crate) fn reset(&mut self, g: u64) {
        *self = Self { balance: 0, settled: g, remainder: 0 };
    }

    /// Adds the core's share of what was produced since the last time, up to a balance of `most`.
    pub(crate) fn settle(&mut self, g: u64, share: Share, most: u64) {
        let produced = g.wrapping_sub(self.settled) as i64;
        if produced <= 0 {
            return; // An older reading: no time has passed.
        }
        let (own, all) = (u128::from(share.own), u128::from(share.all));
        let earned = produced as u128 * own + u128::from(self.carried(share));
        // `own <= all`, so the quotient is at most `produced` + 1 and fits; so does a depth.
        let cap = most as i64;
        let balance = self.balance.saturating_add((earned / all) as i64);
        self.balance = balance.min(cap);
        self.remainder = if balance > cap { 0 } else { (earned % all) as u64 };
        self.settled = g;
    }

    /// Resumes after an idle time: it pays debts back but brings no credit.
    pub(crate) fn rejoin(&mut self, g: u64, share: Share) {
        self.settle(g, share, 0);
        self.balance = self.balance.min(0);
        self.settled = g;
    }

    /// Leaves at most a quantum of debt: at a new rate an old one could take days to pay back.
    pub(crate) fn forgive(&mut self, quantum: u64) {
        self.balance = self.balance.max(0_i64.saturating_sub_unsigned(quantum));
    }

    /// Returns what a draw of `short` or more may take from `level` where `reserve` is kept for
    /// others.
    pub(crate) fn allowance(&self, level: i64, reserve: Reserve, short: u64) -> Allowance {
        let level = u64::try_from(level).unwrap_or(0);
        let surplus = level.saturating_sub(reserve.bytes);
        let most = match u64::try_from(self.balance) {
            Ok(credit) if credit >= reserve.stake.min(short) => {
                credit.max(short).saturating_add(surplus)
            }
            _ if surplus >= reserve.least => surplus,
            _ => 0,
        };
        Allowance { surplus, most: most.min(level) }
    }

    /// Books a draw; the surplus in it costs nothing.
    pub(crate) fn spend(&mut self, taken: u64, surplus: u64) {
        self.balance -= taken.saturating_sub(surplus) as i64;
    }

    /// Books bytes given back unused; the next settling caps what they lift the balance to.
    pub(crate) fn give_back(&mut self, bytes: u64) {
        self.balance = self.balance.saturating_add_unsigned(bytes);
    }

    /// Returns the reading at which the balance will be `credit` or more.
    pub(crate) fn reaches(&self, share: Share, credit: u64) -> u64 {
        let missing = (credit as i64).saturating_sub(self.balance).max(0).unsigned_abs();
        let missing = u128::from(missing) * u128::from(share.all);
        let carried = u128::from(self.carried(share));
        let produced = missing.saturating_sub(carried).div_ceil(share.own.into());
        // Not beyond what a difference of readings can say: further ahead would read as past.
        self.settled.wrapping_add(produced.min(REACHES_MAX) as u64)
    }

    /// Returns the remainder in parts of `share.all`; one left from a larger W is less than a byte.
    fn carried(&self, share: Share) -> u64 {
        self.remainder.min(share.all - 1)
    }
}

/// The furthest ahead that credit is foretold: decades even at the largest rate.
const REACHES_MAX: u128 = 1 << 62;

#[cfg(test)]
mod tests {
    use super::*;

    const THIRD: Share = Share { own: 1, all: 3 };
    const RESERVE: Reserve = Reserve { stake: 10, bytes: 1000, least: 10 };

    #[test]
    fn shares_follow_weight_and_remainders_are_kept() {
        let mut credit = Credit::default();
        for g in 1..=100 {
            credit.settle(g, THIRD, 1010);
        }
        assert_eq!(credit.balance, 33);
        credit.settle(101, THIRD, 1010);
        credit.settle(102, THIRD, 1010);
        assert_eq!(credit.balance, 34);
    }

    #[test]
    fn credit_is_capped() {
        let mut credit = Credit::default();
        credit.settle(1 << 40, THIRD, 110);
        assert_eq!(credit.balance, 110);
    }

    #[test]
    fn an_older_reading_changes_nothing() {
        let mut credit = Credit::default();
        credit.settle(90, THIRD, 1010);
        credit.settle(30, THIRD, 1010);
        credit.settle(90, THIRD, 1010);
        assert_eq!((credit.balance, credit.settled), (30, 90));
    }

    #[test]
    fn a_share_is_earned_before_it_is_drawn() {
        let mut credit = Credit::default();
        assert_eq!(credit.allowance(500, RESERVE, 10).most, 0);
        assert_eq!(credit.reaches(THIRD, 10), 30);
        credit.settle(29, THIRD, 1010);
        assert_eq!(credit.allowance(500, RESERVE, 10).most, 0);
        assert_eq!(credit.allowance(500, RESERVE, 9), Allowance { surplus: 0, most: 9 });
        credit.settle(30, THIRD, 1010);
        assert_eq!(credit.allowance(500, RESERVE, 10), Allowance { surplus: 0, most: 10 });
        assert_eq!(credit.allowance(7, RESERVE, 10).most, 7, "what there is");
    }

    #[test]
    fn where_the_bucket_holds_no_whole_quanta_a_part_of_one_is_earned_and_the_rest_owed() {
        let mut credit = Credit::default();
        let shallow = Reserve { stake: 4, ..RESERVE };
        credit.settle(12, THIRD, 1010);
        assert_eq!(credit.allowance(500, shallow, 10), Allowance { surplus: 0, most: 10 });
        credit.spend(10, 0);
        assert_eq!((credit.balance, credit.reaches(THIRD, 4)), (-6, 12 + 30));
    }

    #[test]
    fn a_debt_is_settled_when_foretold_also_if_others_left_meanwhile() {
        let (many, few) = (Share { own: 1, all: 10 }, Share { own: 1, all: 2 });
        let mut credit = Credit::default();
        credit.spend(1, 0);
        credit.settle(8, many, 1010);
        let solvent = credit.reaches(few, 0);
        assert!(solvent > 8, "the remainder is not worth a byte of the smaller whole");
        credit.settle(solvent, few, 1010);
        assert_eq!(credit.balance, 0);
    }

    #[test]
    fn a_debt_that_takes_ages_still_ends_in_the_future() {
        for bits in 0..50 {
            let mut credit = Credit::default();
            credit.spend(1 << bits, 0);
            let distance = credit.reaches(Share { own: 1, all: (1 << 32) - 1 }, 0) as i64;
            assert!(distance > 0, "a debt of 2^{bits} bytes: {distance}");
        }
    }

    #[test]
    fn a_new_config_leaves_at_most_its_quantum_of_debt() {
        let mut credit = Credit::default();
        credit.spend(1000, 0);
        credit.forgive(64);
        assert_eq!(credit.balance, -64);
        credit.give_back(100);
        credit.forgive(64);
        assert_eq!(credit.balance, 36);
    }

    #[test]
    fn what_nobody_claims_is_free_even_to_a_debtor() {
        let mut credit = Credit::default();
        credit.spend(10, 0);
        assert_eq!(
            credit.allowance(1009, RESERVE, 10).most,
            0,
            "less than a quantum is not worth it"
        );
        let allowed = credit.allowance(1010, RESERVE, 10);
        assert_eq!(allowed, Allowance { surplus: 10, most: 10 });
        credit.spend(10, allowed.surplus);
        assert_eq!(credit.balance, -10);
        let late = Reserve { least: 1, ..RESERVE };
        assert_eq!(credit.allowance(1001, late, 10), Allowance { surplus: 1, most: 1 });
        assert_eq!(credit.allowance(1000, late, 10).most, 0);
    }

    #[test]
    fn idle_time_brings_no_credit_but_pays_debts() {
        let mut credit = Credit::default();
        credit.rejoin(600, THIRD);
        assert_eq!(credit.balance, 0);
        credit.spend(100, 0);
        credit.rejoin(630, THIRD);
        assert_eq!(credit.balance, -90);
        credit.rejoin(100_000, THIRD);
        assert_eq!(credit.balance, 0);
    }

    #[test]
    fn bytes_given_back_undo_their_draw_and_count_no_further_than_the_cap() {
        let mut credit = Credit::default();
        credit.spend(10, 0);
        credit.give_back(4);
        assert_eq!(credit.balance, -6);
        credit.give_back(4000);
        credit.settle(1, THIRD, 110);
        assert_eq!(credit.balance, 110);
    }
}
