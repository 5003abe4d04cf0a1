//! How many files and sockets this process may have open.
//!
//! Owns the one change made to the process's limits: the soft descriptor limit is raised to the
//! hard one, which needs no privilege. Never touches the hard limit, never counts what is open.
//!
//! Invariants: a limit is never lowered; a raise that fails leaves everything as it was and is
//! visible in the report, because whether the rest is enough is for [`require`] to say.
//!
//! [`require`]: DescriptorLimit::require

use std::fmt;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// The descriptor limit of this process, before and after it was raised.
///
/// `u64::MAX` means unlimited. Prints as `1024 -> 524288 (hard 524288)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DescriptorLimit {
    /// The soft limit the process was started with.
    pub soft_before: u64,
    /// The soft limit now: the one that counts.
    pub soft_now: u64,
    /// The hard limit, which only a privileged process can raise.
    pub hard: u64,
}

/// More descriptors are needed than this process may open.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{flag} needs {needed} file descriptors and the limit is {available} (hard limit {hard}): \
     lower {flag}, or raise the limit with `ulimit -n {needed}` or LimitNOFILE={needed}"
)]
pub struct TooFewDescriptors {
    /// The flag or setting that asks for them, with its value.
    pub flag: String,
    /// How many are needed.
    pub needed: u64,
    /// How many may be open: the soft limit, already raised.
    pub available: u64,
    /// The hard limit.
    pub hard: u64,
}

impl DescriptorLimit {
    /// Raises the soft limit to the hard one, for the whole process, and reports both.
    ///
    /// A raise the kernel refuses is not an error: `soft_now` then still is `soft_before`.
    /// Two or three system calls.
    pub fn raise() -> Self {
        let before = getrlimit(Resource::Nofile);
        if before.current != before.maximum {
            // Refused only where the system-wide ceiling has sunk below the hard limit; the read
            // below then reports what is left to work with.
            let raised = Rlimit { current: before.maximum, maximum: before.maximum };
            let _ = setrlimit(Resource::Nofile, raised);
        }
        let now = getrlimit(Resource::Nofile);
        Self {
            soft_before: before.current.unwrap_or(u64::MAX),
            soft_now: now.current.unwrap_or(u64::MAX),
            hard: now.maximum.unwrap_or(u64::MAX),
        }
    }

    /// Checks that `needed` descriptors may be open at once, those in use already included.
    ///
    /// `flag` is what the user wrote to need so many, such as `-c 5000`; the error names it.
    ///
    /// # Errors
    ///
    /// [`TooFewDescriptors`] when the soft limit is lower: lower the flag or raise the limit.
    pub fn require(&self, needed: u64, flag: &str) -> Result<(), TooFewDescriptors> {
        if needed <= self.soft_now {
            return Ok(());
        }
        let (flag, available) = (flag.to_owned(), self.soft_now);
        Err(TooFewDescriptors { flag, needed, available, hard: self.hard })
    }
}

impl fmt::Display for DescriptorLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = |limit: u64| match limit {
            u64::MAX => "unlimited".to_owned(),
            limit => limit.to_string(),
        };
        let [before, now, hard] = [self.soft_before, self.soft_now, self.hard].map(number);
        if self.soft_before != self.soft_now {
            write!(f, "{before} -> ")?;
        }
        write!(f, "{now} (hard {hard})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RAISED: DescriptorLimit =
        DescriptorLimit { soft_before: 1024, soft_now: 4096, hard: 4096 };

    #[test]
    fn raising_reaches_the_hard_limit_and_a_second_time_changes_nothing() {
        let first = DescriptorLimit::raise();
        assert!(first.soft_now >= first.soft_before);
        let second = DescriptorLimit::raise();
        assert_eq!(second.soft_before, first.soft_now);
        assert_eq!(second.soft_now, first.soft_now);
    }

    #[test]
    fn the_limit_itself_is_enough_and_one_more_is_not() {
        assert_eq!(RAISED.require(4096, "-c 4000"), Ok(()));
        let error = RAISED.require(4097, "-c 4000").expect_err("one too many");
        assert_eq!(
            error.to_string(),
            "-c 4000 needs 4097 file descriptors and the limit is 4096 (hard limit 4096): lower \
             -c 4000, or raise the limit with `ulimit -n 4097` or LimitNOFILE=4097"
        );
    }

    #[test]
    fn the_report_shows_a_raise_only_if_there_was_one() {
        assert_eq!(RAISED.to_string(), "1024 -> 4096 (hard 4096)");
        let same = DescriptorLimit { soft_before: 4096, hard: u64::MAX, ..RAISED };
        assert_eq!(same.to_string(), "4096 (hard unlimited)");
    }
}
