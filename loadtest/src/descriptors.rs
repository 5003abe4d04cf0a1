//! The limit on open files, raised once and checked before connections are opened.
//!
//! Owns nothing but the rule: soft limit up to the hard one; a flag that needs more is refused with
//! both numbers instead of failing in the middle of a run.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::exit::{Failure, Outcome};

/// Raises the soft limit to the hard one and returns how many files may be open.
pub(crate) fn raise() -> u64 {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    // Refusal leaves the limit that `allowed` then reports.
    let _ = setrlimit(Resource::Nofile, raised);
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}

/// Fails if `connections` cannot all be open at once, by the flag that asks for them.
///
/// # Errors
/// The flag, what is needed and what is allowed.
pub(crate) fn check(flag: &str, connections: usize, allowed: u64) -> Outcome {
    let needed = connections as u64 + RESERVED;
    if needed > allowed {
        return Err(Failure::TooFewDescriptors { flag: flag.to_owned(), needed, allowed });
    }
    Ok(())
}

/// Files a process needs besides its connections: standard streams, polls, listeners, files.
const RESERVED: u64 = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_past_the_limit_is_refused() {
        assert!(check("-c 960", 960, 1024).is_ok());
        assert!(
            check("-c 961", 961, 1024).unwrap_err().to_string().starts_with("-c 961 needs 1025")
        );
    }
}
