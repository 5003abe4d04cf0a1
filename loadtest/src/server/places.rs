//! How many threads the bare loop has, and how they are tied to CPUs.
//!
//! Owns what it takes of the flags that place cores: a number and a way to pin. The loop is the
//! ruler and not the runtime, so it knows nothing of orders, siblings and idling.

use sluicegate::{Cores, MAX_CORES, Pin};

use crate::arguments::PlacementArguments;
use crate::exit::{Failure, Outcome};

/// Refuses flags that the loop knows nothing of.
///
/// # Errors
/// The flag and what to do.
fn check_placement(placement: &PlacementArguments) -> Outcome {
    let flags = placement.flags();
    if let Some((flag, _)) = flags.iter().find(|(name, _)| !matches!(*name, "--cores" | "--pin")) {
        return Err(Failure::Usage(format!(
            "the bare loop only knows --cores and --pin; drop {flag} or serve echo"
        )));
    }
    match (placement.cores, placement.pin) {
        (Some(Cores::Auto | Cores::Physical), _) => {
            Err(Failure::Usage("the bare loop wants a number for --cores".to_owned()))
        }
        (Some(Cores::Count(count)), _) if count > MAX_CORES => {
            Err(Failure::Usage(format!("--cores {count}: give 1 to {MAX_CORES}")))
        }
        (_, Some(Pin::Node)) => {
            Err(Failure::Usage("the bare loop knows no --pin node; give each or set".to_owned()))
        }
        _ => Ok(()),
    }
}

/// How many cores, and how they are tied to the CPUs of the list.
///
/// # Errors
/// A flag that the loop does not know, or a way to pin without CPUs to pin to.
pub(crate) fn places(placement: &PlacementArguments, list: &[usize]) -> Outcome<(usize, Pin)> {
    check_placement(placement)?;
    let count = match placement.cores {
        Some(Cores::Count(count)) => count,
        _ => list.len().max(1),
    };
    match placement.pin {
        None => Ok((count, if list.is_empty() { Pin::None } else { Pin::Each })),
        Some(pin) if pin != Pin::None && list.is_empty() => Err(Failure::Usage(format!(
            "--pin {pin} needs CPUs to tie the bare loop to; list some (--cpus, of a run --server-cpus) \
             or give --pin none"
        ))),
        Some(pin) => Ok((count, pin)),
    }
}
