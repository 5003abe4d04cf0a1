/* A stand-in for libcrypto before 1.1.0: the old locking and thread-id functions, and a few of our
 * own to use them from a test. Written from threads(3) of OpenSSL 1.0.2; nothing is copied.
 *
 * Whole by default. Each macro makes it one kind of odd:
 *   NUMBERED_IDS       ids by CRYPTO_set_id_callback, as before 1.0.0
 *   NO_LOCK_COUNT      CRYPTO_num_locks is missing
 *   IGNORES_CALLBACKS  the setter does nothing
 *   PRESET             the program has set a locking callback before anything else runs
 *   NO_ENTROPY         RAND_status says no
 *   NO_THREADS         the function of 1.1.0 that names the thread, built without threads
 */
#include <sched.h>
#include <stddef.h>

enum { LOCK = 1, UNLOCK = 2, WRITE = 8, LOCKS = 3 };

typedef void locking(int mode, int index, const char *file, int line);

static locking *locking_callback;

void CRYPTO_set_locking_callback(locking *callback) {
#ifndef IGNORES_CALLBACKS
    locking_callback = callback;
#else
    (void)callback;
#endif
}

locking *CRYPTO_get_locking_callback(void) { return locking_callback; }

#ifndef NO_LOCK_COUNT
int CRYPTO_num_locks(void) { return LOCKS; }
#endif

#ifdef NUMBERED_IDS
typedef unsigned long number_thread(void);
static number_thread *id_callback;
void CRYPTO_set_id_callback(number_thread *callback) { id_callback = callback; }
number_thread *CRYPTO_get_id_callback(void) { return id_callback; }
unsigned long stand_in_thread_id(void) { return id_callback != NULL ? id_callback() : 0; }
#else
typedef struct { void *pointer; unsigned long number; } thread_name;
typedef void name_thread(thread_name *);
static name_thread *id_callback;
int CRYPTO_THREADID_set_callback(name_thread *callback) {
    if (id_callback != NULL) return 0;
    id_callback = callback;
    return 1;
}
name_thread *CRYPTO_THREADID_get_callback(void) { return id_callback; }
void CRYPTO_THREADID_set_numeric(thread_name *id, unsigned long number) { id->number = number; }
unsigned long stand_in_thread_id(void) {
    thread_name id = {NULL, 0};
    if (id_callback != NULL) id_callback(&id);
    return id.number;
}
#endif

#ifdef PRESET
static long preset_calls;
static void preset(int mode, int index, const char *file, int line) {
    (void)mode, (void)index, (void)file, (void)line;
    preset_calls++;
}
__attribute__((constructor)) static void set_before(void) { locking_callback = preset; }
long stand_in_preset_calls(void) { return preset_calls; }
#endif

#ifdef NO_ENTROPY
int RAND_status(void) { return 0; }
#endif

#ifdef NO_THREADS
unsigned long CRYPTO_THREAD_get_current_id(void) { return 0; }
#endif

static long states_removed;
void ERR_remove_thread_state(const void *id) {
    if (id == NULL) states_removed++;
}
long stand_in_states_removed(void) { return states_removed; }

/* Takes (mode 1) or gives back (mode 2) a lock as the library itself would. */
void stand_in_lock(int mode, int index) {
    if (locking_callback != NULL) locking_callback(mode | WRITE, index, __FILE__, __LINE__);
}

/* A plain counter: it comes out right only if the lock around it excludes. Yielding between the
 * read and the write makes a missing lock show on a machine with one processor too. */
static volatile long counter;
long stand_in_counter(void) { return counter; }
void stand_in_count(int index, long rounds) {
    for (long round = 0; round < rounds; round++) {
        stand_in_lock(LOCK, index);
        long seen = counter;
        if (round % 16 == 0) sched_yield();
        counter = seen + 1;
        stand_in_lock(UNLOCK, index);
    }
}
