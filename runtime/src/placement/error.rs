//! Why cores cannot be placed as asked.
//!
//! Owns the one error of the folder: texts that do not parse, plans that do not fit the machine,
//! and threads the kernel does not put where they belong. Every variant carries what was given
//! and its message says what would be accepted.

use std::io;
use std::time::Duration;

use super::choice::{Cores, Pin};
use super::cpu_set::CpuSet;
use super::idle::{SPIN_MAX, SPIN_MIN, Written};
use super::list_error::ListError;
use super::plan::MAX_CORES;

/// A choice of cores and CPUs that does not parse or does not fit the machine.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PlacementError {
    /// A list of CPUs does not parse: correct the piece it names.
    #[error(transparent)]
    List(#[from] ListError),
    /// A set was to be made of no CPU: name one.
    #[error("a set of CPUs cannot be empty: name one at least")]
    NoCpu,
    /// A CPU number is beyond what the kernel's affinity calls can name: lower it.
    #[error("there is no CPU {cpu}, the highest possible is {max}", max = CpuSet::CAPACITY - 1)]
    CpuTooHigh {
        /// The number.
        cpu: usize,
    },
    /// A list removes all CPUs that it has named: remove fewer.
    #[error("CPU list {list:?} leaves no CPU: remove fewer by `!`, or name what to remove from")]
    NothingLeft {
        /// The list, in its shortest form.
        list: String,
    },
    /// A list names a place that this machine does not have: name one of those it has.
    #[error("this machine has no {place}: there are {known}")]
    NoSuchPlace {
        /// The place as written.
        place: String,
        /// The numbers of the places of its kind; of all CPUs where it is a physical core.
        known: String,
    },
    /// A text is no number of cores: write a number, `auto` or `physical`.
    #[error(
        "{text:?} is not a number of cores: write 1 to {MAX_CORES}, `auto`, or `physical`{}",
        meant(.nearest)
    )]
    NotCores {
        /// The text as given.
        text: String,
        /// The word that was probably meant.
        nearest: Option<&'static str>,
    },
    /// No core at all, or more than a runtime can have: stay in the range.
    #[error("a runtime cannot have {cores} cores: ask for 1 to {MAX_CORES}, or `auto`")]
    CoreCount {
        /// The number of cores asked for.
        cores: usize,
    },
    /// A text is none of the words of a choice: write one of them.
    #[error("{text:?} is no {what}: write {}{}", words(.known), meant(.nearest))]
    UnknownWord {
        /// What kind of word it should be.
        what: &'static str,
        /// The text as given.
        text: String,
        /// The words there are.
        known: Vec<&'static str>,
        /// The one that was probably meant.
        nearest: Option<&'static str>,
    },
    /// A text is no way to idle: write `park`, `busy`, or `spin` with a time.
    #[error(
        "{text:?} is no way to idle: write `park`, `busy`, or `spin` with a time from {} to {} \
         such as `spin:50us`{}",
        Written(SPIN_MIN),
        Written(SPIN_MAX),
        meant(.nearest)
    )]
    NotIdle {
        /// The text as given.
        text: String,
        /// The choice that was probably meant.
        nearest: Option<&'static str>,
    },
    /// A time to look for events that is none, or so long that it means something else.
    #[error("a core cannot look for events for {} before it sleeps: write a time from {} to \
         {}, `park` or `busy`", Written(*.time), Written(SPIN_MIN), Written(SPIN_MAX))]
    SpinTime {
        /// The time as given.
        time: Duration,
    },
    /// A number of cores was given that is not the number of sets listed: leave it out.
    #[error(
        "{cores} cores are asked for beside {sets} sets of CPUs, one for each core: leave the \
         number out, or list a set for each"
    )]
    CoresBesideSets {
        /// The cores asked for.
        cores: Cores,
        /// How many sets are listed.
        sets: usize,
    },
    /// Sets for each core say where each is; a way to choose among them contradicts that.
    #[error(
        "`pin {pin}` contradicts a set of CPUs for each core: leave it out, or write one list \
         without `;` and brackets"
    )]
    PinBesideSets {
        /// The way to pin.
        pin: Pin,
    },
    /// A variable of the environment has a text that its flag would not take either, or does not
    /// go with the machine or with what else is asked for.
    #[error("{name}: {source}")]
    Variable {
        /// The name of the variable; of all of them if several had a part in it.
        name: String,
        /// What is wrong.
        source: Box<Self>,
    },
    /// A variable is nearly one of those that are known: write it so, or unset it.
    #[error("there is no variable {name}: did you mean {nearest}? Unset it otherwise")]
    UnknownVariable {
        /// The name as set.
        name: String,
        /// The one that was probably meant.
        nearest: String,
    },
    /// A variable is not text: set it anew.
    #[error("{name} is not text in UTF-8: set it anew")]
    NotText {
        /// The name of the variable.
        name: String,
    },
    /// CPUs were asked for that this process may not use: leave them out or widen its mask.
    #[error(
        "CPUs {offending} of the list {asked} are not available to this process: it may use \
         {allowed}{}; leave them out, or widen the mask it is started with (taskset, cpuset)",
        and_offline(.offline.as_ref())
    )]
    CpuNotAllowed {
        /// The CPUs as asked for.
        asked: CpuSet,
        /// Those of them that are not allowed.
        offending: CpuSet,
        /// Those that are switched off or do not exist, for anyone.
        offline: Option<CpuSet>,
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

/// A hint at what was probably meant, if anything is known.
fn meant(nearest: &Option<&'static str>) -> String {
    nearest.map_or_else(String::new, |word| format!("; did you mean `{word}`?"))
}

/// Words to choose from, as a sentence lists them.
fn words(known: &[&'static str]) -> String {
    let quoted: Vec<String> = known.iter().map(|word| format!("`{word}`")).collect();
    match quoted.split_last() {
        Some((last, before)) if !before.is_empty() => format!("{} or {last}", before.join(", ")),
        _ => quoted.concat(),
    }
}

fn and_offline(offline: Option<&CpuSet>) -> String {
    offline.map_or_else(String::new, |cpus| format!(", and {cpus} are not online"))
}
