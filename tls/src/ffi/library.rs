//! The library as a whole: finds OpenSSL's functions in the process, calls them, is called back.
//!
//! Decides nothing. What OpenSSL has in all versions is
//! called through `openssl` and `openssl-sys`; what only some versions have is looked up by name
//! with `dlsym`, since naming it in a declaration would stop the program from linking with others.
//!
//! Rules, cited by the blocks below:
//!
//! 1. **Type.** A symbol is used under the prototype that `openssl/crypto.h` and `openssl/err.h`
//!    give it (1.0.2 for the old ones, 1.1.0 to 3.x for the new). A pointer and an
//!    `Option<extern fn>` have one size, and null is `None`.
//! 2. **Life.** The symbols are of libraries the process was linked or preloaded with. Those are
//!    never unloaded, so a pointer to one is good for as long as the process lives.
//! 3. **Callbacks** are plain functions over a table in a static: nothing they use is ever freed.
//!    They hold no Rust lock when they return, call nothing that can panic, and being `extern "C"`
//!    would abort the process rather than unwind into C.
//! 4. **Pointers from C**: a `CRYPTO_THREADID` is only passed on to `CRYPTO_THREADID_set_numeric`,
//!    within the callback it was given to. File names are never read.

#![expect(unsafe_code, reason = "looks up and calls the C functions of the linked OpenSSL")]

use std::ffi::{CStr, c_char, c_int, c_ulong, c_void};
use std::mem::transmute;
use std::ptr;
use std::sync::OnceLock;

use crate::lock_table::{LockTable, thread_number};
use crate::threading::{OldFunctions, ThreadId};

type Locking = unsafe extern "C" fn(mode: c_int, index: c_int, file: *const c_char, line: c_int);
type NameThread = unsafe extern "C" fn(id: *mut c_void);
type NumberThread = unsafe extern "C" fn() -> c_ulong;

type NumLocks = unsafe extern "C" fn() -> c_int;
type SetLocking = unsafe extern "C" fn(Option<Locking>);
type HasCallback = unsafe extern "C" fn() -> Option<unsafe extern "C" fn()>;
type SetNameThread = unsafe extern "C" fn(Option<NameThread>) -> c_int;
type SetNumeric = unsafe extern "C" fn(id: *mut c_void, number: c_ulong);
type SetNumberThread = unsafe extern "C" fn(Option<NumberThread>);
type CurrentId = unsafe extern "C" fn() -> libc::pthread_t;
type RemoveThreadState = unsafe extern "C" fn(id: *const c_void);
type ThreadStop = unsafe extern "C" fn();

/// Looks a function up by its C name and gives it a type.
macro_rules! function {
    ($name:literal as $kind:ty) => {
        // SAFETY: rule 1 for the type, rule 2 for the life.
        unsafe { transmute::<*mut c_void, Option<$kind>>(symbol($name)) }
    };
}

/// The locking and thread-id functions of OpenSSL before 1.1.0, as far as the process has them.
#[derive(Debug)]
pub(crate) struct OldLibrary {
    num_locks: Option<NumLocks>,
    set_locking: Option<SetLocking>,
    locking: Option<HasCallback>,
    ids: Option<IdFunctions>,
}

impl OldLibrary {
    /// Looks the old functions up and calls none.
    pub(crate) fn find() -> Self {
        Self {
            num_locks: function!(c"CRYPTO_num_locks" as NumLocks),
            set_locking: function!(c"CRYPTO_set_locking_callback" as SetLocking),
            locking: function!(c"CRYPTO_get_locking_callback" as HasCallback),
            ids: IdFunctions::find(),
        }
    }

    /// Asks the functions that were found what they can say without changing anything.
    pub(crate) fn describe(&self) -> OldFunctions {
        match (self.num_locks, self.set_locking, self.locking, &self.ids) {
            // Thread-id functions alone would be no library that needs locks.
            (None, None, None, _) => OldFunctions::Absent,
            (Some(num_locks), Some(_), Some(locking), Some(ids)) => OldFunctions::Whole {
                // SAFETY: rules 1 and 2; it takes no argument and changes nothing.
                lock_count: unsafe { num_locks() },
                locking_set: is_set(locking),
                ids_set: ids.are_set(),
            },
            _ => self.describe_part(),
        }
    }

    /// Installs callbacks over `locks` locks, and for thread ids if `ids`; true if they hold.
    ///
    /// Ids come first: OpenSSL compares them as soon as it locks.
    pub(crate) fn install(&self, locks: usize, ids: bool) -> bool {
        let (Some(set_locking), Some(locking)) = (self.set_locking, self.locking) else {
            return false;
        };
        TABLE.get_or_init(|| LockTable::new(locks));
        if ids && let Some(functions) = &self.ids {
            functions.install();
        }
        // SAFETY: rules 1 and 2 for the call, rule 3 for the callback it is given.
        unsafe { set_locking(Some(on_lock)) };
        is_set(locking)
    }

    fn describe_part(&self) -> OldFunctions {
        let names = [
            ("CRYPTO_num_locks", self.num_locks.is_some()),
            ("CRYPTO_set_locking_callback", self.set_locking.is_some()),
            ("CRYPTO_get_locking_callback", self.locking.is_some()),
            ("CRYPTO_THREADID_set_callback or CRYPTO_set_id_callback", self.ids.is_some()),
        ];
        let first = |there| names.iter().find(|entry| entry.1 == there).map(|entry| entry.0);
        match (first(true), first(false)) {
            (Some(found), Some(missing)) => OldFunctions::Partly { found, missing },
            _ => OldFunctions::Absent,
        }
    }
}

/// The two ways an old library learns which thread calls it.
#[derive(Clone, Copy, Debug)]
enum IdFunctions {
    /// Since 1.0.0: the callback fills in a `CRYPTO_THREADID`.
    Named { set: SetNameThread, current: HasCallback, set_numeric: SetNumeric },
    /// Before that: the callback returns a number.
    Numbered { set: SetNumberThread, current: HasCallback },
}

impl IdFunctions {
    fn find() -> Option<Self> {
        let set = function!(c"CRYPTO_THREADID_set_callback" as SetNameThread);
        let current = function!(c"CRYPTO_THREADID_get_callback" as HasCallback);
        let set_numeric = function!(c"CRYPTO_THREADID_set_numeric" as SetNumeric);
        if let (Some(set), Some(current), Some(set_numeric)) = (set, current, set_numeric) {
            return Some(Self::Named { set, current, set_numeric });
        }
        let set = function!(c"CRYPTO_set_id_callback" as SetNumberThread)?;
        let current = function!(c"CRYPTO_get_id_callback" as HasCallback)?;
        Some(Self::Numbered { set, current })
    }

    fn are_set(&self) -> bool {
        match *self {
            Self::Named { current, .. } | Self::Numbered { current, .. } => is_set(current),
        }
    }

    fn install(&self) {
        match *self {
            Self::Named { set, set_numeric, .. } => {
                SET_NUMERIC.get_or_init(|| set_numeric);
                // SAFETY: rules 1 and 2 for the call, rules 3 and 4 for the callback. It answers 0
                // if another callback is there already, which serves as well.
                unsafe { set(Some(on_name_thread)) };
            }
            Self::Numbered { set, .. } => {
                // SAFETY: rules 1 and 2 for the call, rule 3 for the callback it is given.
                unsafe { set(Some(on_number_thread)) };
            }
        }
    }
}

/// Compares what the library calls the calling thread with what the operating system calls it.
pub(crate) fn thread_id() -> ThreadId {
    let Some(current_id) = function!(c"CRYPTO_THREAD_get_current_id" as CurrentId) else {
        return ThreadId::Absent;
    };
    // SAFETY: rules 1 and 2. Without threads it returns a narrower 0, and any value is valid here.
    let library = unsafe { current_id() };
    // SAFETY: takes no argument and cannot fail.
    let system = unsafe { libc::pthread_self() };
    if library == system { ThreadId::Right } else { ThreadId::Wrong }
}

/// Asks whether the random number generator is seeded.
pub(crate) fn is_seeded() -> bool {
    // SAFETY: takes no argument and is called after the library's own initialisation.
    (unsafe { openssl_sys::RAND_status() }) == 1
}

/// Calls what the library has to free the state of the calling thread.
///
/// Both functions may be there: 3.x still exports the old one, which then does nothing.
pub(crate) fn thread_stop() {
    static FOUND: OnceLock<(Option<ThreadStop>, Option<RemoveThreadState>)> = OnceLock::new();
    let (stop, remove) = *FOUND.get_or_init(|| {
        let stop = function!(c"OPENSSL_thread_stop" as ThreadStop);
        (stop, function!(c"ERR_remove_thread_state" as RemoveThreadState))
    });
    if let Some(remove) = remove {
        // SAFETY: rules 1 and 2; null stands for the calling thread.
        unsafe { remove(ptr::null()) };
    }
    if let Some(stop) = stop {
        // SAFETY: rules 1 and 2; it frees this thread's state only, and later calls renew it.
        unsafe { stop() };
    }
}

/// The locks of [`on_lock`]; set before that is installed.
static TABLE: OnceLock<LockTable> = OnceLock::new();

/// How [`on_name_thread`] answers; set before that is installed.
static SET_NUMERIC: OnceLock<SetNumeric> = OnceLock::new();

extern "C" fn on_lock(mode: c_int, index: c_int, _file: *const c_char, _line: c_int) {
    if let Some(table) = TABLE.get() {
        table.handle(mode, index);
    }
}

extern "C" fn on_name_thread(id: *mut c_void) {
    if let Some(set_numeric) = SET_NUMERIC.get() {
        // SAFETY: rules 1 and 2 for the call, rule 4 for `id`.
        unsafe { set_numeric(id, thread_number()) };
    }
}

extern "C" fn on_number_thread() -> c_ulong {
    thread_number()
}

fn is_set(current: HasCallback) -> bool {
    // SAFETY: rules 1 and 2; the function it returns is only compared with null, never called.
    (unsafe { current() }).is_some()
}

fn symbol(name: &CStr) -> *mut c_void {
    // SAFETY: `name` ends in a zero byte, and the pseudo-handle RTLD_DEFAULT is always valid.
    unsafe { libc::dlsym(libc::RTLD_DEFAULT, name.as_ptr()) }
}
