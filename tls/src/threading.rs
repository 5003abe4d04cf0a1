//! Who locks inside OpenSSL, decided from what was found in the process.
//!
//! Owns [`Threading`], the outcome, and [`decide`], the rules. Calls nothing of OpenSSL: the
//! findings come in as a plain [`Probe`], so that a library without threads or entropy, or half of
//! one, can be tested on a machine whose library is whole.
//!
//! Before 1.1.0 OpenSSL asked the program for locks and thread ids through callbacks. Since then
//! those names are macros, so a library that exports none of them is a new one and locks by itself
//! unless it was built without threads. No call says which, so `decide` wants evidence:
//!
//! 1. `CRYPTO_THREAD_get_current_id` names the calling thread. It returns `pthread_self()` in a
//!    library with threads and a constant in one without (`crypto/threads_none.c`).
//!    `CRYPTO_THREAD_lock_new` shows nothing: it succeeds in both.
//! 2. In a program that OpenSSL is linked into statically the loader cannot see that function; the
//!    recorded compiler flags then hold `-pthread` or `-DOPENSSL_THREADS`.
//! 3. LibreSSL, BoringSSL and AWS-LC keep the old names as empty functions, cannot be built
//!    without threads on Linux, and are known by their name.

use std::fmt;

use crate::error::InitError;

/// Says who does the locking inside OpenSSL in this process.
///
/// Printed by the runtime when it starts. `Display` gives the words, the variant is for programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Threading {
    /// The library is older than 1.1.0 and now uses the locks of this crate.
    InstalledCallbacks {
        /// How many locks the library asked for.
        locks: usize,
    },
    /// The library is older than 1.1.0 and the program had given it locks before.
    ///
    /// They were left alone: replacing locks that a thread may hold would break both owners.
    AlreadyInstalled,
    /// The library locks by itself, and was built to.
    LibraryLocksItself {
        /// What the library calls itself, for example `OpenSSL 3.0.19 27 Jan 2026`.
        version: &'static str,
    },
}

impl fmt::Display for Threading {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InstalledCallbacks { locks } => {
                write!(f, "callbacks over {locks} locks of sluicegate")
            }
            Self::AlreadyInstalled => f.write_str("callbacks that the program had set before"),
            Self::LibraryLocksItself { version } => write!(f, "{version} locks by itself"),
        }
    }
}

/// What was found in the process, before anything in it is changed.
#[derive(Clone, Debug)]
pub(crate) struct Probe {
    /// What the library calls itself.
    pub(crate) version: &'static str,
    /// How it was compiled, as it recorded it itself.
    pub(crate) compiler_flags: &'static str,
    /// Whether the random number generator is seeded, and if not, OpenSSL's words for it.
    pub(crate) entropy: Result<(), String>,
    /// What the library calls the calling thread.
    pub(crate) thread_id: ThreadId,
    /// The functions that OpenSSL had before 1.1.0.
    pub(crate) old_functions: OldFunctions,
}

/// What `CRYPTO_THREAD_get_current_id` says about the calling thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ThreadId {
    /// The loader sees no such function.
    Absent,
    /// Not what the operating system calls the thread: built without threads.
    Wrong,
    /// What the operating system calls the thread.
    Right,
}

/// The locking and thread-id functions of OpenSSL before 1.1.0, as found in the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OldFunctions {
    /// None of the locking functions is there.
    Absent,
    /// Some are and some are not; one of each, by name.
    Partly { found: &'static str, missing: &'static str },
    /// All that is needed is there.
    Whole { lock_count: i32, locking_set: bool, ids_set: bool },
}

/// What to do about locking.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Plan {
    /// Install callbacks over that many locks, and for thread ids unless somebody set those.
    Install { locks: usize, ids: bool },
    /// Somebody set the locking callback: change nothing.
    LeaveInstalled,
    /// The library locks by itself: change nothing.
    LibraryLocks,
}

/// Decides what to do about locking, or why TLS must not start.
///
/// # Errors
/// As documented at [`InitError`]; all but [`InitError::CallbackIgnored`] come from here.
pub(crate) fn decide(probe: &Probe) -> Result<Plan, InitError> {
    if let Err(reason) = &probe.entropy {
        return Err(InitError::NoEntropy { reason: reason.clone() });
    }
    if FORKS.iter().any(|name| probe.version.starts_with(name)) {
        return Ok(Plan::LibraryLocks);
    }
    // Asked before the old functions: those may be another library's, in the same process.
    if probe.thread_id == ThreadId::Wrong {
        let evidence = "CRYPTO_THREAD_get_current_id does not tell threads apart".to_owned();
        return Err(InitError::NoThreads { version: probe.version, evidence });
    }
    match probe.old_functions {
        OldFunctions::Partly { found, missing } => Err(InitError::HalfPresent { found, missing }),
        OldFunctions::Whole { locking_set: true, .. } => Ok(Plan::LeaveInstalled),
        OldFunctions::Whole { lock_count, ids_set, .. } => match usize::try_from(lock_count) {
            Ok(locks @ 1..=MAX_LOCKS) => Ok(Plan::Install { locks, ids: !ids_set }),
            _ => Err(InitError::LockCount { count: lock_count, most: MAX_LOCKS as i32 }),
        },
        OldFunctions::Absent if probe.thread_id == ThreadId::Right => Ok(Plan::LibraryLocks),
        OldFunctions::Absent => flags_show_threads(probe),
    }
}

/// Accepts a library that the loader cannot look into if its compiler flags name threads.
fn flags_show_threads(probe: &Probe) -> Result<Plan, InitError> {
    let mut flags = probe.compiler_flags.split_ascii_whitespace();
    if flags.any(|flag| THREAD_FLAGS.contains(&flag)) {
        return Ok(Plan::LibraryLocks);
    }
    let evidence = format!(
        "no CRYPTO_THREAD_get_current_id, and none of {} in its flags {:?}",
        THREAD_FLAGS.join(", "),
        probe.compiler_flags
    );
    Err(InitError::NoThreads { version: probe.version, evidence })
}

/// The most locks supplied to an old library; OpenSSL 1.0.2 asks for 41.
const MAX_LOCKS: usize = 1024;

/// How the libraries that descend from OpenSSL and always lock by themselves begin their version.
const FORKS: [&str; 3] = ["LibreSSL", "BoringSSL", "AWS-LC"];

/// The compiler flags that only a library with threads is built with.
const THREAD_FLAGS: [&str; 2] = ["-pthread", "-DOPENSSL_THREADS"];

#[cfg(test)]
mod tests {
    use super::*;

    const OLD: OldFunctions =
        OldFunctions::Whole { lock_count: 41, locking_set: false, ids_set: false };

    /// A shared OpenSSL 3 in good order.
    fn modern() -> Probe {
        Probe {
            version: "OpenSSL 3.0.19 27 Jan 2026",
            compiler_flags: "compiler: gcc -fPIC -pthread -m64",
            entropy: Ok(()),
            thread_id: ThreadId::Right,
            old_functions: OldFunctions::Absent,
        }
    }

    /// A shared OpenSSL 1.0.2 that nobody has set up yet.
    fn old() -> Probe {
        Probe {
            version: "OpenSSL 1.0.2u  20 Dec 2019",
            thread_id: ThreadId::Absent,
            old_functions: OLD,
            ..modern()
        }
    }

    #[test]
    fn a_modern_library_with_threads_locks_itself() {
        assert_eq!(decide(&modern()), Ok(Plan::LibraryLocks));
    }

    #[test]
    fn a_modern_library_that_gives_all_threads_one_name_is_refused() {
        let error = decide(&Probe { thread_id: ThreadId::Wrong, ..modern() }).unwrap_err();
        assert!(matches!(error, InitError::NoThreads { .. }), "{error:?}");
        assert!(error.to_string().contains("OpenSSL 3.0.19 27 Jan 2026"), "{error}");
        assert!(error.to_string().contains("`vendored`"), "{error}");
    }

    #[test]
    fn old_functions_do_not_excuse_a_modern_library_without_threads() {
        let probe = Probe { thread_id: ThreadId::Wrong, old_functions: OLD, ..modern() };
        assert!(matches!(decide(&probe), Err(InitError::NoThreads { .. })));
    }

    #[test]
    fn a_static_library_is_judged_by_its_compiler_flags() {
        let hidden = Probe { thread_id: ThreadId::Absent, ..modern() };
        assert_eq!(decide(&hidden), Ok(Plan::LibraryLocks));
        for flags in ["compiler: gcc -fPIC -m64", "compiler: cc -DNO-pthread", ""] {
            let error = decide(&Probe { compiler_flags: flags, ..hidden.clone() }).unwrap_err();
            assert!(matches!(error, InitError::NoThreads { .. }), "{flags}: {error:?}");
            assert!(error.to_string().contains(&format!("{flags:?}")[1..]), "{error}");
        }
    }

    #[test]
    fn a_fork_with_empty_old_functions_locks_itself() {
        for version in ["LibreSSL 3.9.2", "BoringSSL", "AWS-LC 1.30.0"] {
            assert_eq!(decide(&Probe { version, ..old() }), Ok(Plan::LibraryLocks), "{version}");
        }
    }

    #[test]
    fn an_old_library_gets_the_locks_it_asks_for() {
        assert_eq!(decide(&old()), Ok(Plan::Install { locks: 41, ids: true }));
    }

    #[test]
    fn thread_ids_set_by_the_program_are_kept() {
        let old_functions =
            OldFunctions::Whole { lock_count: 41, locking_set: false, ids_set: true };
        let plan = decide(&Probe { old_functions, ..old() });
        assert_eq!(plan, Ok(Plan::Install { locks: 41, ids: false }));
    }

    #[test]
    fn locking_set_by_the_program_is_left_alone() {
        let old_functions =
            OldFunctions::Whole { lock_count: 41, locking_set: true, ids_set: false };
        assert_eq!(decide(&Probe { old_functions, ..old() }), Ok(Plan::LeaveInstalled));
    }

    #[test]
    fn half_of_the_old_functions_is_refused_by_name() {
        let old_functions = OldFunctions::Partly {
            found: "CRYPTO_num_locks",
            missing: "CRYPTO_set_locking_callback",
        };
        let error = decide(&Probe { old_functions, ..old() }).unwrap_err();
        let text = error.to_string();
        assert!(text.contains("CRYPTO_num_locks but not CRYPTO_set_locking_callback"), "{text}");
    }

    #[test]
    fn a_lock_count_is_accepted_from_one_to_the_maximum() {
        let with = |lock_count| {
            let old_functions =
                OldFunctions::Whole { lock_count, locking_set: false, ids_set: false };
            decide(&Probe { old_functions, ..old() })
        };
        assert_eq!(with(1), Ok(Plan::Install { locks: 1, ids: true }));
        assert_eq!(with(1024), Ok(Plan::Install { locks: 1024, ids: true }));
        for count in [i32::MIN, -1, 0, 1025, i32::MAX] {
            assert_eq!(with(count), Err(InitError::LockCount { count, most: 1024 }));
        }
    }

    #[test]
    fn no_entropy_is_refused_before_anything_else() {
        for probe in [modern(), old()] {
            let probe = Probe { entropy: Err("no seed".to_owned()), ..probe };
            let error = decide(&probe).unwrap_err();
            assert_eq!(error, InitError::NoEntropy { reason: "no seed".to_owned() });
            assert!(error.to_string().contains("getrandom(2)"), "{error}");
        }
    }

    #[test]
    fn each_outcome_reads_as_one_phrase() {
        let installed = Threading::InstalledCallbacks { locks: 41 };
        assert_eq!(installed.to_string(), "callbacks over 41 locks of sluicegate");
        let itself = Threading::LibraryLocksItself { version: "OpenSSL 3.0.19" };
        assert_eq!(itself.to_string(), "OpenSSL 3.0.19 locks by itself");
        let before = Threading::AlreadyInstalled.to_string();
        assert_eq!(before, "callbacks that the program had set before");
    }
}
