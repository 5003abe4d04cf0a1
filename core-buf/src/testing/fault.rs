//! Faults: what goes wrong with a link, and at which operation.
//!
//! Owns the plan and the count of operations; says for each operation which fault it meets, if
//! any. Never carries a fault out: that is the link's.
//!
//! The generator is xoshiro256++, whose numbers are the same on every machine and in every version.

use rand::rngs::Xoshiro256PlusPlus;
use rand::{RngExt, SeedableRng};

/// What goes wrong with one read or write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It moves fewer bytes than it could; the rest is ready a moment later.
    Short,
    /// It finds the link not ready; a moment later it is.
    WouldBlock,
    /// A signal comes in between.
    Interrupted,
    /// The connection is reset: what is under way is lost, both sides learn of it.
    Reset,
    /// Whoever sends to (reading) or is (writing) the side has shut its sending direction: what is
    /// under way arrives, then the end of the stream; later writes fail.
    HalfClose,
}

/// How often each fault strikes, in operations of a thousand.
#[derive(Clone, Copy, Debug, Default)]
pub struct Odds {
    /// Of [`Fault::Short`].
    pub short: u32,
    /// Of [`Fault::WouldBlock`].
    pub would_block: u32,
    /// Of [`Fault::Interrupted`].
    pub interrupted: u32,
    /// Of [`Fault::Reset`].
    pub reset: u32,
    /// Of [`Fault::HalfClose`].
    pub half_close: u32,
}

#[derive(Clone, Copy, Debug)]
enum Plan {
    Once(u64, Fault),
    Random(Odds),
}

/// A plan of faults, and how many operations it has seen.
///
/// # Examples
/// ```
/// use sluicegate_core_buf::testing::{Fault, Faults};
///
/// let mut faults = Faults::once(1, Fault::Reset);
/// assert_eq!([faults.next(), faults.next(), faults.next()], [None, Some(Fault::Reset), None]);
/// assert_eq!(faults.operations(), 3);
/// ```
#[derive(Debug)]
pub struct Faults {
    plan: Option<Plan>,
    random: Xoshiro256PlusPlus,
    operations: u64,
}

impl Faults {
    /// No faults.
    #[must_use]
    pub fn none() -> Self {
        Self { plan: None, random: Xoshiro256PlusPlus::seed_from_u64(0), operations: 0 }
    }

    /// One fault, at the operation of that number, counted from 0.
    #[must_use]
    pub fn once(operation: u64, fault: Fault) -> Self {
        Self { plan: Some(Plan::Once(operation, fault)), ..Self::none() }
    }

    /// Random faults, the same for the same seed.
    #[must_use]
    pub fn random(seed: u64, odds: Odds) -> Self {
        let random = Xoshiro256PlusPlus::seed_from_u64(seed);
        Self { plan: Some(Plan::Random(odds)), random, operations: 0 }
    }

    /// What the next operation meets.
    #[expect(clippy::should_implement_trait, reason = "an operation without a fault ends nothing")]
    pub fn next(&mut self) -> Option<Fault> {
        let operation = self.operations;
        self.operations += 1;
        match self.plan? {
            Plan::Once(at, fault) => (operation == at).then_some(fault),
            Plan::Random(odds) => self.draw(odds),
        }
    }

    /// How many operations there have been.
    #[must_use]
    pub fn operations(&self) -> u64 {
        self.operations
    }

    /// A number from 0 to `most`, both included.
    pub(super) fn up_to(&mut self, most: u64) -> u64 {
        self.random.random_range(0..=most)
    }

    fn draw(&mut self, odds: Odds) -> Option<Fault> {
        let mut draw = self.random.random_range(0..1000u32);
        let odds = [
            (odds.short, Fault::Short),
            (odds.would_block, Fault::WouldBlock),
            (odds.interrupted, Fault::Interrupted),
            (odds.reset, Fault::Reset),
            (odds.half_close, Fault::HalfClose),
        ];
        for (share, fault) in odds {
            if draw < share {
                return Some(fault);
            }
            draw -= share;
        }
        None
    }
}
