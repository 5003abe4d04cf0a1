//! Why cores cannot be placed as asked.
//!
//! Owns the one error of the folder: texts that do not parse, plans that do not fit the machine,
//! and threads the kernel does not put where they belong. Every variant carries what was given
//! and its message says what would be accepted.

use std::io;

use super::cpu_set::CpuSet;
use super::plan::MAX_CORES;

/// A list of CPUs, a number of cores or a way to pin that does not parse or does not fit.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PlacementError {
    /// Nothing is listed, or nothing stands between two commas: fill the gap or close it.
    #[error(
        "CPU list {list:?} has an empty piece: write numbers or ranges joined by commas, such as \
         `0-3,8`"
    )]
    EmptyPiece {
        /// The whole list as given.
        list: String,
    },
    /// A piece of a CPU list is no number, no range and no range with a stride: write it as one.
    #[error(
        "CPU list: {piece:?} is not a CPU: write a number such as `3`, a range `0-7` or a range \
         with a stride `0-14:2`; `all` and `allowed` stand alone"
    )]
    NotACpu {
        /// The piece between two commas.
        piece: String,
    },
    /// A CPU number is beyond what the kernel's affinity calls can name: lower it.
    #[error(
        "CPU list: {piece:?} names CPU {cpu}, the highest possible is {max}: lower it",
        max = CpuSet::CAPACITY - 1
    )]
    CpuTooHigh {
        /// The piece between two commas.
        piece: String,
        /// The number in it.
        cpu: usize,
    },
    /// A range ends below its beginning: swap the two.
    #[error("CPU list: range {piece:?} runs backwards: write `{last}-{first}`")]
    BackwardRange {
        /// The piece between two commas.
        piece: String,
        /// The number before the dash.
        first: usize,
        /// The number behind the dash.
        last: usize,
    },
    /// A stride of zero would never leave the first CPU: leave it out.
    #[error("CPU list: {piece:?} has a stride of 0: write 1 or more, or leave `:0` out")]
    ZeroStride {
        /// The piece between two commas.
        piece: String,
    },
    /// A text is no number of cores: write a number or `auto`.
    #[error("{text:?} is not a number of cores: write 1 to {MAX_CORES}, or `auto`")]
    NotCores {
        /// The text as given.
        text: String,
    },
    /// No core at all, or more than a runtime can have: stay in the range.
    #[error("a runtime cannot have {cores} cores: ask for 1 to {MAX_CORES}, or `auto`")]
    CoreCount {
        /// The number of cores asked for.
        cores: usize,
    },
    /// A text is no way to pin: write one of the words known.
    #[error("{text:?} is no way to pin: write `none`, `each` or `set`")]
    NotAPin {
        /// The text as given.
        text: String,
    },
    /// A word with a meaning that is not offered yet: use what is.
    #[error("`{word}` is not offered yet: {instead}")]
    NotYet {
        /// The word as given.
        word: &'static str,
        /// What to write instead.
        instead: &'static str,
    },
    /// CPUs were asked for that this process may not use: leave them out or widen its mask.
    #[error(
        "CPUs {offending} of the list {asked} are not available to this process: it may use \
         {allowed}; leave them out, or widen the mask it is started with (taskset, cpuset)"
    )]
    CpuNotAllowed {
        /// The CPUs as asked for.
        asked: CpuSet,
        /// Those of them that are not allowed.
        offending: CpuSet,
        /// The CPUs that are allowed.
        allowed: CpuSet,
    },
    /// Pinning each core to a CPU of its own needs as many CPUs as cores.
    #[error(
        "{cores} cores cannot be pinned each to a CPU of its own among the {count} of {cpus}: ask \
         for at most {count} cores, list more CPUs, or pin to the `set`",
        count = cpus.count()
    )]
    TooFewCpus {
        /// The number of cores asked for.
        cores: usize,
        /// The CPUs there are for them.
        cpus: CpuSet,
    },
    /// The kernel refused to confine a thread: list other CPUs or do not pin.
    #[error(
        "core {core} cannot be pinned to CPUs {cpus}: {source}; list CPUs that are online and \
         allowed, or use `pin none`"
    )]
    PinRefused {
        /// The number of the core.
        core: usize,
        /// The CPUs it was to be confined to.
        cpus: CpuSet,
        /// The system's answer.
        source: io::Error,
    },
    /// The kernel accepted, and confined the thread otherwise: start the program again.
    #[error(
        "core {core} was to be confined to CPUs {asked} and is on {actual}: the CPUs of this \
         process changed while it started; start it again"
    )]
    PinNotEffective {
        /// The number of the core.
        core: usize,
        /// The CPUs asked for.
        asked: CpuSet,
        /// The CPUs read back.
        actual: CpuSet,
    },
    /// The kernel did not tell where a thread runs: allow the system call.
    #[error("core {core}: sched_getaffinity failed: {source}; allow it in the sandbox's filter")]
    MaskUnreadable {
        /// The number of the core.
        core: usize,
        /// The system's answer.
        source: io::Error,
    },
}
