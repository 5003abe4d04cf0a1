//! A case: what joins two ends, what stands over them, what goes wrong, and what is done.
//!
//! Any bytes are a case, so that seeds and a fuzzer run the same; printed, it is its own source.

use std::fmt;

use rand::rngs::Xoshiro256PlusPlus;
use rand::{Rng, SeedableRng};
use sluicegate::Direction;
use sluicegate::sim::{DEFAULT_BUFFER_BYTES, Faults};

use super::filter::Nature;
use super::operation::{Act, Operation};

/// Everything a run follows from.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Case {
    pub(crate) plan: Plan,
    pub(crate) operations: Vec<Operation>,
}

/// What is there before anything is done.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Plan {
    pub(crate) link: Link,
    pub(crate) weather: Weather,
    /// What stands over both ends, from the bottom up.
    pub(crate) filters: Vec<Nature>,
    /// Bytes that one direction of a connection holds.
    pub(crate) buffer: usize,
    /// Of the simulation.
    pub(crate) seed: u64,
}

/// What joins two ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Link {
    /// A connection of a core to itself; its ends may move to another.
    Socket,
    /// An attempt to connect where nobody listens: there is one end only.
    Refused,
    /// A pair on one core, with or without `eof_on_close`.
    Pair(bool),
    /// A pair across two cores.
    Across(bool),
}

/// What goes wrong with connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Weather {
    Calm,
    /// Everything but resets.
    Rough,
    /// Resets too.
    Breaking,
}

impl Link {
    pub(crate) fn is_socket(self) -> bool {
        matches!(self, Self::Socket | Self::Refused)
    }

    /// Whether an end learns how the other has ended.
    pub(crate) fn tells_ends(self) -> bool {
        self.is_socket() || matches!(self, Self::Pair(true) | Self::Across(true))
    }

    pub(crate) fn cores(self) -> usize {
        if matches!(self, Self::Pair(_)) { 1 } else { 2 }
    }

    /// The core on which an end begins.
    pub(crate) fn core(self, side: usize) -> usize {
        if matches!(self, Self::Across(_)) { side } else { 0 }
    }
}

impl Weather {
    pub(crate) fn faults(self) -> Faults {
        match self {
            Self::Calm => Faults::none(),
            Self::Rough => Faults { reset: 0.0, ..Faults::harsh() },
            Self::Breaking => Faults { reset: 0.01, late_connects: 0.7, ..Faults::harsh() },
        }
    }
}

impl Case {
    /// Reads a case; any bytes are one.
    pub(crate) fn decode(bytes: &[u8]) -> Self {
        let mut head = [0; HEAD];
        let count = bytes.len().min(HEAD);
        head[..count].copy_from_slice(&bytes[..count]);
        let (operations, _) = bytes[count..].as_chunks();
        let operations = operations.iter().take(MAX_OPERATIONS).copied();
        Self { plan: Plan::decode(head), operations: operations.map(Operation::decode).collect() }
    }

    /// A case that is written out.
    pub(crate) fn new(
        (link, weather, filters): (Link, Weather, &[Nature]),
        (buffer, seed): (usize, u64),
        operations: &[Operation],
    ) -> Self {
        let plan = Plan { link, weather, filters: filters.to_vec(), buffer, seed };
        Self { plan, operations: operations.to_vec() }
    }

    /// The case of a seed, over a link of that kind.
    pub(crate) fn of_seed(seed: u64, link: Link) -> Self {
        let mut dice = Xoshiro256PlusPlus::seed_from_u64(seed);
        let mut bytes = [0; HEAD + 4 * OPERATIONS];
        dice.fill_bytes(&mut bytes);
        let mut case = Self::decode(&bytes);
        case.plan.link = link;
        if seed.is_multiple_of(3) {
            // Where no flush passes them, marks are seen to hold to the end.
            case.operations.retain(|operation| !matches!(operation.act, Act::Push(_)));
        }
        case
    }
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Plan { link, weather, filters, buffer, seed } = &self.plan;
        writeln!(f, "Case::new(({link:?}, {weather:?}, &{filters:?}), ({buffer}, {seed}), &[")?;
        self.operations.iter().try_for_each(|operation| writeln!(f, "    {operation},"))?;
        write!(f, "])")
    }
}

impl Plan {
    fn decode([link, weather, filters, a, b, c, buffer, seed]: [u8; HEAD]) -> Self {
        let link = match link % 8 {
            0 | 1 => Link::Pair(link & 8 != 0),
            2 | 3 => Link::Across(link & 8 != 0),
            4 => Link::Refused,
            _ => Link::Socket,
        };
        let weather = [Weather::Calm, Weather::Rough, Weather::Breaking][usize::from(weather % 3)];
        let nature = |byte: u8| match byte % 8 {
            0 => Nature::Identity,
            1 | 2 => Nature::Swap,
            3 | 4 => Nature::Frames,
            5 => Nature::Double,
            6 => Nature::Greedy,
            _ => Nature::Fails(Direction::ALL[usize::from(byte >> 7)], usize::from(byte) * 32),
        };
        let filters = [a, b, c].into_iter().take(usize::from(filters % 4)).map(nature);
        let buffer = [DEFAULT_BUFFER_BYTES, 5_000, 400][usize::from(buffer % 3)];
        Self { link, weather, filters: filters.collect(), buffer, seed: u64::from(seed) }
    }
}

/// Bytes of a plan.
const HEAD: usize = 8;

/// Operations of the case of a seed.
const OPERATIONS: usize = 48;

/// More are not run, so that a case takes milliseconds.
const MAX_OPERATIONS: usize = 200;
