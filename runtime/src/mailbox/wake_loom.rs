//! Loom models of the wake word, the gate and the notice.
//!
//! Run with `RUSTFLAGS="--cfg loom" cargo test --release wake_loom`. Every model explores all
//! interleavings and all values a relaxed load may see, with at most three preemptions in one
//! run. The queue is the weakest there can be: a relaxed cell for each message, so that nothing
//! but the code under test can make a push visible. The operating system's wake-up is a relaxed
//! flag and a relaxed read of it, because an eventfd orders nothing that the word does not.

use loom::sync::Arc;
use loom::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use loom::thread;

use super::gate::Gate;
use super::notice::Notice;
use super::wake::WakeWord;

const SENDERS: usize = 2;

fn model(run: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(run);
}

/// The cells of the queue and what surrounds them.
struct Shared {
    word: WakeWord,
    gate: Gate,
    cells: [AtomicBool; SENDERS],
    wakes: AtomicUsize,
}

impl Shared {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            word: WakeWord::new(),
            gate: Gate::new(),
            cells: [AtomicBool::new(false), AtomicBool::new(false)],
            wakes: AtomicUsize::new(0),
        })
    }

    /// What `Mailbox::send` does, on this queue.
    fn send(&self, cell: usize) -> bool {
        if !self.gate.admit(1) {
            return false;
        }
        self.cells[cell].store(true, Ordering::Relaxed);
        if self.word.notify() {
            self.wakes.fetch_add(1, Ordering::Relaxed);
        }
        true
    }

    /// What `Mailbox::take` does, on this queue; returns how many messages were visible.
    fn drain(&self) -> usize {
        let mut count = 0;
        for cell in &self.cells {
            if cell.load(Ordering::Relaxed) {
                cell.store(false, Ordering::Relaxed);
                count += 1;
            }
        }
        self.gate.release(count);
        count
    }
}

fn spawn_senders(shared: &Arc<Shared>) -> Vec<thread::JoinHandle<bool>> {
    (0..SENDERS)
        .map(|cell| {
            let shared = Arc::clone(shared);
            thread::spawn(move || shared.send(cell))
        })
        .collect()
}

/// Bug: a core that stores RUNNING, or looks before it has swapped, sleeps on a full queue.
#[test]
fn a_core_never_sleeps_through_a_message() {
    model(|| {
        let shared = Shared::new();
        let senders = spawn_senders(&shared);
        let mut taken = shared.drain();
        let mut sleeps = 0;
        while taken < SENDERS {
            if shared.word.park() {
                sleeps += 1;
                // If no wake ever comes, loom reports that this loop cannot end.
                while shared.wakes.load(Ordering::Relaxed) < sleeps {
                    thread::yield_now();
                }
            }
            shared.word.unpark();
            taken += shared.drain();
        }
        for sender in senders {
            assert!(sender.join().expect("a sender does not panic"));
        }
        assert!(shared.wakes.load(Ordering::Relaxed) <= sleeps, "two wakes for one sleep");
        assert_eq!(shared.gate.count(), 0);
    });
}

/// Bug: a sender passes the gate, the core closes and leaves, and the message is never seen.
#[test]
fn closing_waits_for_every_message_that_was_accepted() {
    model(|| {
        let shared = Shared::new();
        let senders = spawn_senders(&shared);
        let mut taken = 0;
        shared.gate.close();
        while shared.gate.count() > 0 {
            let now = shared.drain();
            if now == 0 {
                thread::yield_now();
            }
            taken += now;
        }
        let accepted = senders
            .into_iter()
            .map(|sender| sender.join().expect("a sender does not panic"))
            .filter(|&accepted| accepted)
            .count();
        assert_eq!(taken, accepted);
        assert_eq!(shared.gate.count(), 0);
        assert!(!shared.send(0), "a closed gate refuses");
    });
}

/// Two threads change something and post a notice; the core sleeps until it has seen both changes.
/// `hear` is what it does when the message has come.
fn check_notice(hear: fn(&Notice, &AtomicUsize) -> usize) {
    model(move || {
        let shared = Shared::new();
        let notice = Arc::new(Notice::new());
        let changes = Arc::new(AtomicUsize::new(0));
        let senders: Vec<_> = (0..SENDERS)
            .map(|cell| {
                let shared = Arc::clone(&shared);
                let (notice, changes) = (Arc::clone(&notice), Arc::clone(&changes));
                thread::spawn(move || {
                    changes.fetch_add(1, Ordering::Relaxed);
                    if notice.post() {
                        assert!(shared.send(cell));
                    }
                })
            })
            .collect();
        let (mut seen, mut sleeps) = (0, 0);
        while seen < SENDERS {
            if shared.word.park() {
                sleeps += 1;
                while shared.wakes.load(Ordering::Relaxed) < sleeps {
                    thread::yield_now();
                }
            }
            shared.word.unpark();
            if shared.drain() > 0 {
                seen = hear(&notice, &changes);
            }
        }
        for sender in senders {
            sender.join().expect("a sender does not panic");
        }
    });
}

/// Bugs: a post that counts on a message the core has already answered, a change that the core
/// does not see although its post found the notice up.
#[test]
fn a_notice_that_is_up_is_looked_at() {
    check_notice(|notice, changes| {
        notice.take_down();
        changes.load(Ordering::Relaxed)
    });
}

/// Seeded: the core looks first, and takes down what was posted meanwhile.
#[test]
#[should_panic(expected = "exceeded maximum number of branches")]
fn a_notice_taken_down_after_looking_is_found() {
    check_notice(|notice, changes| {
        let seen = changes.load(Ordering::Relaxed);
        notice.take_down();
        seen
    });
}

/// A watchdog goes to sleep while a core wakes up, as in `watchdog/post.rs`; `asks` is how it finds
/// out whether the core sleeps.
fn check_watchdog(asks: fn(&WakeWord) -> bool) {
    model(move || {
        let (core, dog) = (Arc::new(WakeWord::new()), Arc::new(WakeWord::new()));
        let wakes = Arc::new(AtomicUsize::new(0));
        assert!(core.park());
        let awake = {
            let (core, dog, wakes) = (Arc::clone(&core), Arc::clone(&dog), Arc::clone(&wakes));
            thread::spawn(move || {
                core.unpark();
                if dog.notify_parked() {
                    wakes.fetch_add(1, Ordering::Relaxed);
                }
            })
        };
        let mut sleeps = 0;
        while asks(&core) {
            if dog.park() && asks(&core) {
                sleeps += 1;
                // If no wake ever comes, the watchdog sleeps while the core works: no end to this.
                while wakes.load(Ordering::Relaxed) < sleeps {
                    thread::yield_now();
                }
            }
            dog.unpark();
        }
        awake.join().expect("a core does not panic");
        assert!(wakes.load(Ordering::Relaxed) <= 1, "two wakes for one sleep");
    });
}

/// Bug: a core that wakes up as the watchdog goes to sleep finds it awake, and is not watched.
#[test]
fn a_watchdog_never_sleeps_while_a_core_is_awake() {
    check_watchdog(WakeWord::is_parked);
}

/// Seeded: the watchdog only looks at the core's word, which orders nothing.
#[test]
#[should_panic(expected = "exceeded maximum number of branches")]
fn a_watchdog_that_only_looks_is_found() {
    check_watchdog(WakeWord::looks_parked);
}
