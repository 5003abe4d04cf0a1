//! Why OpenSSL cannot be used by several cores, each reason with its remedy.
//!
//! Owns [`InitError`]. Every message carries the offending value and says what to do; none of
//! these heals by calling [`init`](crate::init()) again, so the first one found is remembered.

/// Says why [`init`](crate::init()) refused to start TLS in this process.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InitError {
    /// The random number generator has no seed, so every key would be guessable.
    ///
    /// Also what a library reports that could not start at all. Let the process reach the kernel's
    /// random source, then start it again.
    #[error(
        "OpenSSL has no entropy (RAND_status: {reason}); let this process call getrandom(2) or \
         read /dev/urandom (check its seccomp filter and chroot), then start it again"
    )]
    NoEntropy {
        /// OpenSSL's own words, or a note that it gave none.
        reason: String,
    },

    /// The library was built without threads, or nothing shows that it was built with them.
    ///
    /// Link a library configured with `threads`.
    #[error(
        "{version:?} shows no thread support ({evidence}); install an OpenSSL configured with \
         `threads`, or enable the feature `vendored` to build one"
    )]
    NoThreads {
        /// What the library calls itself.
        version: &'static str,
        /// What was looked at, and what was found there.
        evidence: String,
    },

    /// Some of the old locking functions are there and others are not.
    ///
    /// A sign of two libraries mixed in one process. Link one whole library.
    #[error(
        "the process has {found} but not {missing}; two OpenSSL libraries are mixed: check \
         LD_PRELOAD, LD_LIBRARY_PATH and what the program links"
    )]
    HalfPresent {
        /// An old function that is there.
        found: &'static str,
        /// An old function that is not.
        missing: &'static str,
    },

    /// The library asks for no locks, or for more than any known version has.
    ///
    /// The function found under this name is not OpenSSL's. Link one whole library.
    #[error(
        "CRYPTO_num_locks says {count}, expected 1 to {most}; the function is not OpenSSL's: \
         check LD_PRELOAD, LD_LIBRARY_PATH and what the program links"
    )]
    LockCount {
        /// The number of locks asked for.
        count: i32,
        /// The most this crate would supply.
        most: i32,
    },

    /// The library took the locking callback and does not show it afterwards.
    ///
    /// Nothing would exclude two cores from each other. Link OpenSSL 1.1.0 or newer.
    #[error(
        "{version:?} ignores CRYPTO_set_locking_callback; link OpenSSL 1.1.0 or newer, which \
         locks by itself, or enable the feature `vendored` to build one"
    )]
    CallbackIgnored {
        /// What the library calls itself.
        version: &'static str,
    },
}
