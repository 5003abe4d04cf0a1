//! What is wrong with a list of CPUs, and where in it.
//!
//! Owns the error of a text that does not parse. Knows nothing of the machine: a list that parses
//! and does not fit is a [`PlacementError`](super::PlacementError) of another kind.

use std::fmt;

use super::cpu_set::CpuSet;
use super::plan::MAX_CORES;

/// A piece of a CPU list that cannot be understood, and where it stands.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub struct ListError {
    /// The whole list as given.
    pub list: String,
    /// The piece of it that is at fault; empty where something is missing.
    pub piece: String,
    /// Where the piece begins, in characters counted from 1.
    pub column: usize,
    /// What is wrong with it.
    pub fault: ListFault,
}

/// What is wrong with a piece of a CPU list.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ListFault {
    /// Nothing stands between two separators: fill the gap or close it.
    Empty,
    /// No number, range or name: write one.
    Unknown {
        /// What was probably meant.
        meant: Option<String>,
    },
    /// A name or a `!` where only numbers can stand, as in a [`CpuSet`]: parse it as `Cpus`.
    NotANumber,
    /// A CPU number beyond what the kernel's affinity calls can name: lower it.
    TooHigh {
        /// The number.
        cpu: usize,
    },
    /// A range that ends below its beginning: swap the two.
    Backward {
        /// The number before the dash.
        first: usize,
        /// The number behind the dash.
        last: usize,
    },
    /// A stride of zero would never leave the first CPU: leave it out.
    ZeroStride,
    /// A bracket without its partner, or a `*` without brackets: write `[0-3]*4`.
    Bracket,
    /// What stands behind `]` is no number of cores: write `*2`.
    Repeat,
    /// With this piece there are sets for more cores than a runtime can have: leave some out.
    TooManySets {
        /// How many sets there are up to here.
        sets: usize,
    },
}

impl fmt::Display for ListError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { list, piece, column, fault } = self;
        write!(f, "CPU list {list:?}: ")?;
        match fault {
            ListFault::Empty => write!(f, "nothing stands at column {column}: {fault}"),
            _ => write!(f, "{piece:?} at column {column} {fault}"),
        }
    }
}

impl fmt::Display for ListFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("write a CPU there, or leave the separator out"),
            Self::Unknown { meant: Some(meant) } => {
                write!(f, "is not a CPU: did you mean `{meant}`?")
            }
            Self::Unknown { meant: None } => f.write_str(
                "is not a CPU: write a number such as `3`, a range `0-7`, a range with a stride \
                 `0-14:2`, or one of `all`, `allowed`, `node0`, `pkg0`, `core0`",
            ),
            Self::NotANumber => f.write_str("is not a number: a set is made of numbers and ranges"),
            Self::TooHigh { cpu } => {
                write!(f, "names CPU {cpu}, the highest possible is {}", CpuSet::CAPACITY - 1)
            }
            Self::Backward { first, last } => write!(f, "runs backwards: write `{last}-{first}`"),
            Self::ZeroStride => f.write_str("has a stride of 0: write 1 or more, or leave it out"),
            Self::Bracket => f.write_str(
                "has no pair of brackets around a list: write `[0-3]*4` for four cores on 0-3",
            ),
            Self::Repeat => write!(
                f,
                "is not how often a set counts: write `*` and a number from 1 to {MAX_CORES}, or \
                 `;` before the next set"
            ),
            Self::TooManySets { sets } => write!(
                f,
                "makes it sets for {sets} cores: a runtime has at most {MAX_CORES}, leave some out"
            ),
        }
    }
}
