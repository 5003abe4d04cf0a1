//! The process-wide start of OpenSSL: look, decide, install, remember.
//!
//! Owns the one outcome per process. Never starts a thread and never undoes anything: the
//! callbacks of an old library stay until the process ends, since any thread may be inside them.
//!
//! Invariant: the work is done at most once, and whoever calls [`init`] meanwhile waits for it.
//! Source: the `init_ssl_locking` recipe of libevent's book. Differs: what is needed is found out
//! at run time, not from the version the program was compiled against.

use std::sync::OnceLock;

use openssl::error::ErrorStack;

use crate::error::InitError;
use crate::ffi::{self, OldLibrary};
use crate::threading::{Plan, Probe, Threading, decide};

/// Makes OpenSSL safe to use from several cores, once per process.
///
/// The runtime calls this before it starts a core; a program that uses OpenSSL earlier may call it
/// itself. The first call looks the library over and, where it is older than 1.1.0 and nobody has
/// done so, installs locks and thread ids. Later calls return the first call's outcome: one load
/// and, for an error, a clone.
///
/// # Errors
/// [`InitError`] when the library has no entropy, no threads, or is not one whole library. Each
/// variant says what to change before the process is started again.
///
/// # Examples
/// ```
/// use sluicegate_tls::Threading;
///
/// let threading = sluicegate_tls::init()?;
/// println!("TLS threading: {threading}");
/// assert!(matches!(threading, Threading::LibraryLocksItself { .. }));
/// assert_eq!(sluicegate_tls::init()?, threading);
/// # Ok::<(), sluicegate_tls::InitError>(())
/// ```
pub fn init() -> Result<Threading, InitError> {
    static OUTCOME: OnceLock<Result<Threading, InitError>> = OnceLock::new();
    OUTCOME.get_or_init(start).clone()
}

/// Frees what OpenSSL keeps for the calling thread.
///
/// A core calls this as the last thing before it ends, after its TLS objects are dropped. Using
/// OpenSSL on the thread afterwards is allowed and merely sets the state up again. OpenSSL 1.1.0
/// and newer would do the same as the thread ends; where the library is linked statically that is
/// what happens, and this call does nothing.
pub fn thread_stop() {
    ffi::thread_stop();
}

fn start() -> Result<Threading, InitError> {
    openssl::init();
    let old_library = OldLibrary::find();
    let version = openssl::version::version();
    let plan = decide(&Probe {
        version,
        compiler_flags: openssl::version::c_flags(),
        entropy: entropy(),
        thread_id: ffi::thread_id(),
        old_functions: old_library.describe(),
    })?;
    match plan {
        Plan::LibraryLocks => Ok(Threading::LibraryLocksItself { version }),
        Plan::LeaveInstalled => Ok(Threading::AlreadyInstalled),
        Plan::Install { locks, ids } if old_library.install(locks, ids) => {
            Ok(Threading::InstalledCallbacks { locks })
        }
        Plan::Install { .. } => Err(InitError::CallbackIgnored { version }),
    }
}

/// Asks whether the random number generator is seeded, and if not, why.
fn entropy() -> Result<(), String> {
    if ffi::is_seeded() {
        return Ok(());
    }
    // Taking the errors empties the queue, so that none is mistaken for a later call's.
    let errors = ErrorStack::get();
    if errors.errors().is_empty() {
        return Err("0, no reason given".to_owned());
    }
    Err(errors.to_string())
}
