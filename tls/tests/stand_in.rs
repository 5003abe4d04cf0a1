//! `init` against a stand-in for a libcrypto older than 1.1.0, and against broken ones.
//!
//! Each test builds `stand_in/old_crypto.c` with the C compiler, starts this test program again
//! for itself alone with the result preloaded, and makes its assertions in that child: what `init`
//! finds and installs belongs to a whole process. Needs a C compiler and says so if there is none.
//!
//! Rule for `unsafe`: the functions called are those of `old_crypto.c`, under the prototypes they
//! have there, in a library that stays loaded.

#![expect(unsafe_code, reason = "calls the stand-in library, which only dlsym can find")]

use std::collections::HashSet;
use std::env;
use std::ffi::{CStr, c_int, c_long, c_ulong, c_void};
use std::mem::transmute;
use std::path::Path;
use std::process::Command;
use std::sync::mpsc;
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::Duration;

use sluicegate_tls::{InitError, Threading, init, thread_stop};

const THREADS: usize = 8;
const LOCKS: usize = 3;
const INSTALLED: Result<Threading, InitError> = Ok(Threading::InstalledCallbacks { locks: LOCKS });

#[test]
fn installed_callbacks_keep_eight_threads_apart() {
    if !in_child("installed_callbacks_keep_eight_threads_apart", &[]) {
        return;
    }
    const ROUNDS: c_long = 5_000;
    assert_eq!(init(), INSTALLED);
    for index in [0, LOCKS as c_int - 1] {
        let before = number(c"stand_in_counter");
        on_each_thread(move || count(index, ROUNDS));
        assert_eq!(number(c"stand_in_counter") - before, THREADS as c_long * ROUNDS);
    }
}

#[test]
fn each_thread_has_an_id_of_its_own() {
    if !in_child("each_thread_has_an_id_of_its_own", &[]) {
        return;
    }
    assert_eq!(init(), INSTALLED);
    assert_ids_distinct();
}

#[test]
fn a_library_that_numbers_its_threads_gets_distinct_ids_too() {
    if !in_child("a_library_that_numbers_its_threads_gets_distinct_ids_too", &["NUMBERED_IDS"]) {
        return;
    }
    assert_eq!(init(), INSTALLED);
    assert_ids_distinct();
}

#[test]
fn a_lock_index_out_of_range_is_ignored() {
    if !in_child("a_lock_index_out_of_range_is_ignored", &[]) {
        return;
    }
    assert_eq!(init(), INSTALLED);
    for index in [LOCKS as c_int, -1, c_int::MAX, c_int::MIN] {
        // Twice: a lock that existed would hold the second call for ever.
        lock(1, index);
        lock(1, index);
        lock(2, index);
    }
    on_each_thread(|| count(0, 10));
    assert_eq!(number(c"stand_in_counter"), THREADS as c_long * 10);
}

#[test]
fn callbacks_set_by_the_program_are_left_alone() {
    if !in_child("callbacks_set_by_the_program_are_left_alone", &["PRESET"]) {
        return;
    }
    assert_eq!(init(), Ok(Threading::AlreadyInstalled));
    lock(1, 0);
    assert_eq!(number(c"stand_in_preset_calls"), 1);
    assert_eq!(thread_id(), 0, "no thread-id callback was added");
}

#[test]
fn thread_stop_removes_the_state_an_old_library_keeps() {
    if !in_child("thread_stop_removes_the_state_an_old_library_keeps", &[]) {
        return;
    }
    assert_eq!(init(), INSTALLED);
    thread_stop();
    assert_eq!(number(c"stand_in_states_removed"), 1);
}

#[test]
fn half_of_the_old_functions_is_refused() {
    if !in_child("half_of_the_old_functions_is_refused", &["NO_LOCK_COUNT"]) {
        return;
    }
    let found = "CRYPTO_set_locking_callback";
    let missing = "CRYPTO_num_locks";
    assert_eq!(init(), Err(InitError::HalfPresent { found, missing }));
}

#[test]
fn a_library_that_ignores_callbacks_is_refused() {
    if !in_child("a_library_that_ignores_callbacks_is_refused", &["IGNORES_CALLBACKS"]) {
        return;
    }
    assert!(matches!(init(), Err(InitError::CallbackIgnored { .. })), "{:?}", init());
}

// A vendored OpenSSL is linked statically, where no preloaded function can take RAND_status' place.
#[cfg(not(feature = "vendored"))]
#[test]
fn a_library_without_entropy_is_refused_each_time() {
    if !in_child("a_library_without_entropy_is_refused_each_time", &["NO_ENTROPY"]) {
        return;
    }
    for _ in 0..2 {
        assert!(matches!(init(), Err(InitError::NoEntropy { .. })), "{:?}", init());
    }
}

#[test]
fn a_library_without_threads_is_refused() {
    if !in_child("a_library_without_threads_is_refused", &["NO_THREADS"]) {
        return;
    }
    assert!(matches!(init(), Err(InitError::NoThreads { .. })), "{:?}", init());
}

/// Answers whether this is the child; in the parent, runs the child and demands its success.
fn in_child(test: &str, macros: &[&str]) -> bool {
    const CHILD: &str = "SLUICEGATE_STAND_IN_CHILD";
    if env::var_os(CHILD).is_some() {
        return true;
    }
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let library = folder.join(format!("{test}-{}.so", std::process::id()));
    build(&library, macros);
    let program = env::current_exe().expect("the test program has a path");
    let output = Command::new(program)
        .args(["--exact", test, "--nocapture"])
        .env(CHILD, "1")
        .env("LD_PRELOAD", &library)
        .output()
        .expect("the test program starts again");
    std::fs::remove_file(&library).expect("the stand-in can be removed");
    let stdout = String::from_utf8_lossy(&output.stdout);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "the child failed\n{stdout}\n{stderr}");
    assert!(stdout.contains("1 passed"), "the child ran no test\n{stdout}\n{stderr}");
    false
}

fn build(library: &Path, macros: &[&str]) {
    let compiler = env::var_os("CC").unwrap_or_else(|| "cc".into());
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/stand_in/old_crypto.c");
    let output = Command::new(&compiler)
        .args(["-std=gnu99", "-Wall", "-Wextra", "-Werror", "-O1", "-shared", "-fPIC", "-o"])
        .arg(library)
        .args(macros.iter().map(|name| format!("-D{name}")))
        .arg(source)
        .output()
        .unwrap_or_else(|error| {
            panic!("no C compiler {compiler:?} ({error}): install gcc, or name one in CC")
        });
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "the stand-in does not compile\n{stderr}");
}

/// Runs `work` on eight threads that start together, and returns what each brought back.
///
/// Fails if they do not finish: a lock that is never freed must not hold the test for ever.
#[expect(clippy::disallowed_methods, reason = "locks exclude threads, so the test needs some")]
fn on_each_thread<T: Send + 'static>(work: impl Fn() -> T + Clone + Send + 'static) -> Vec<T> {
    const PATIENCE: Duration = Duration::from_secs(60);
    let start = Arc::new(Barrier::new(THREADS));
    // All stay alive until the last is done, since an id may be used again after its thread.
    let end = Arc::new(Barrier::new(THREADS));
    let (sender, results) = mpsc::channel();
    for _ in 0..THREADS {
        let (start, end) = (Arc::clone(&start), Arc::clone(&end));
        let (work, sender) = (work.clone(), sender.clone());
        thread::spawn(move || {
            start.wait();
            let result = work();
            end.wait();
            sender.send(result).expect("the test waits for every thread");
        });
    }
    let next = |_| results.recv_timeout(PATIENCE).expect("every thread gets every lock in time");
    (0..THREADS).map(next).collect()
}

fn assert_ids_distinct() {
    let ids = on_each_thread(thread_id);
    let distinct: HashSet<_> = ids.iter().copied().collect();
    assert_eq!(distinct.len(), THREADS, "{ids:?}");
    assert!(!distinct.contains(&0), "{ids:?}");
}

fn symbol(name: &CStr) -> *mut c_void {
    // SAFETY: `name` ends in a zero byte, and RTLD_DEFAULT is always valid.
    let address = unsafe { libc::dlsym(libc::RTLD_DEFAULT, name.as_ptr()) };
    assert!(!address.is_null(), "{name:?} is missing: was the stand-in preloaded?");
    address
}

fn number(name: &CStr) -> c_long {
    // SAFETY: the rule in the header; every function asked for here is `long f(void)`.
    let function = unsafe { transmute::<*mut c_void, extern "C" fn() -> c_long>(symbol(name)) };
    function()
}

fn thread_id() -> c_ulong {
    type ThreadId = extern "C" fn() -> c_ulong;
    // SAFETY: the rule in the header.
    let function = unsafe { transmute::<*mut c_void, ThreadId>(symbol(c"stand_in_thread_id")) };
    function()
}

fn lock(mode: c_int, index: c_int) {
    type Lock = extern "C" fn(c_int, c_int);
    // SAFETY: the rule in the header.
    let function = unsafe { transmute::<*mut c_void, Lock>(symbol(c"stand_in_lock")) };
    function(mode, index);
}

fn count(index: c_int, rounds: c_long) {
    type Count = extern "C" fn(c_int, c_long);
    // SAFETY: the rule in the header.
    let function = unsafe { transmute::<*mut c_void, Count>(symbol(c"stand_in_count")) };
    function(index, rounds);
}
