//! Loom models of whole groups: seats on several threads while the group is changed by hand.
//!
//! Owns two stories. In the first, two cores move bytes while one of them credits, debits,
//! reconfigures or disbands: the books must come out even and the bound must hold. In the second a
//! core finds no tokens and goes to sleep as the runtime does: it must hear of what happens to its
//! group, or loom reports a deadlock.
//!
//! Built from the public calls of the crate only, but for the seeded bugs. Time stands still
//! unless a model pushes it, so no deadline hides a lost wake-up. Explored as in `pool_loom`.

use std::mem::ManuallyDrop;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::task::{Wake, Waker};

use loom::sync::atomic::AtomicBool;
use loom::thread;
use parking_lot::Mutex;

use crate::pool_loom::{check_windows, explore};
use crate::sync::Ordering;
use crate::{Direction, Group, GroupShard, MemberId, Time, TokenBucketConfig};

const DIR: Direction = Direction::Write;
/// One byte every half millisecond.
const RATE: &str = "2kB/s";
const NS_PER_BYTE: u64 = 500_000;
/// B for two seats with leases of two bytes each; four are left for the depth.
const BURST: u64 = 8;
const DEPTH: u64 = 4;
/// The least an operation moves.
const SMALL_SHARE: u64 = 1;
/// One that leases cannot hold, so that each operation draws for itself (L = 0).
const LARGE_SHARE: u64 = 3;
const SEATS: usize = 2;

fn config(burst: u64) -> TokenBucketConfig {
    let rate = RATE.parse().expect("a rate");
    TokenBucketConfig::per_second(rate).with_burst(burst).expect("a burst")
}

/// A group, the clock and what was moved.
///
/// The clock is read in one step with what the core did before, so a core that is interrupted
/// before it draws has an old reading.
struct Site {
    group: Group,
    /// The level at first.
    filled: i64,
    /// In bytes' worth of time.
    clock: Mutex<u64>,
    /// What the clock showed and how many bytes were moved then.
    moved: Mutex<Vec<(u64, u64)>>,
}

impl Site {
    fn new(min_share: u64) -> Arc<Self> {
        let builder = Group::builder(config(BURST)).seats(SEATS).min_share(min_share);
        let group = builder.build(Time::ZERO).expect("a group");
        let filled = group.write_limit(Time::ZERO);
        Arc::new(Self { group, filled, clock: Mutex::new(0), moved: Mutex::new(Vec::new()) })
    }

    fn push_clock(&self, bytes: u64) {
        *self.clock.lock() += bytes;
    }

    fn now(&self) -> Time {
        Time::from_nanos(*self.clock.lock() * NS_PER_BYTE)
    }

    fn configure(&self, burst: u64) {
        self.group.set_config(self.now(), config(burst)).expect("a valid config");
    }

    fn sit(&self) -> (GroupShard, MemberId) {
        let mut shard = self.group.shard(Time::ZERO, Waker::noop().clone()).expect("a seat");
        let member = shard.join(0, NonZeroU32::MIN);
        (shard, member)
    }

    /// Asks for two bytes, or again if it waits, and moves one.
    fn operate(&self, (shard, member): &mut (GroupShard, MemberId)) {
        let grant = match shard.is_waiting(DIR) {
            true => shard.poll_grant(DIR, || self.now()).map(|(_, _, grant)| grant),
            false => shard.request(*member, DIR, 2, || self.now()),
        };
        if let Some(grant) = grant {
            self.moved.lock().push((*self.clock.lock(), 1));
            shard.settle(*member, grant, 1, false);
        }
    }
}

/// What a core does to the group it has a seat of.
type Change = fn(&Site, &mut GroupShard);

/// Runs a core that asks, parks, asks again and leaves against one that asks between changes,
/// hears of them and leaves; looks at the books when both have left.
fn check_cores(min_share: u64, changes: [Change; 2], verify: fn(&Site, i64)) {
    explore(move || {
        let site = Site::new(min_share);
        let (mut seat, mut other_seat) = (site.sit(), site.sit());
        let other = {
            let site = Arc::clone(&site);
            thread::spawn(move || {
                site.operate(&mut other_seat);
                other_seat.0.park();
                site.operate(&mut other_seat);
            })
        };
        changes[0](&site, &mut seat.0);
        site.operate(&mut seat);
        changes[1](&site, &mut seat.0);
        seat.0.refresh();
        drop(seat);
        other.join().expect("a core does not panic");
        let stats = site.group.stats();
        assert_eq!((stats.weight, stats.lease(DIR)), ([0; 2], 0), "all was given back");
        let moved: u64 = site.moved.lock().iter().map(|&(_, bytes)| bytes).sum();
        assert_eq!(site.group.totals(), (0, moved));
        verify(&site, moved as i64);
    });
}

/// Moves the clock on by a byte and debits it.
const DEBIT: Change = |site, _| {
    site.push_clock(1);
    site.group.decrement(site.now(), DIR, 1).expect("a limit");
};

/// Bugs: a refund, an adjustment or a weight that is lost while others change the words.
#[test]
fn cores_and_adjustments_keep_the_books_even() {
    let credit: Change = |site, _| site.group.decrement(site.now(), DIR, -1).expect("a limit");
    check_cores(SMALL_SHARE, [DEBIT, credit], |site, moved| {
        check_windows(&site.moved.lock(), BURST + 1);
        assert_eq!(site.group.write_limit(site.now()), site.filled + 1 - moved);
    });
}

/// Bug: bytes of an operation that drew for itself and are never given back.
#[test]
fn cores_without_leases_keep_the_books_even() {
    check_cores(LARGE_SHARE, [DEBIT, |_, _| {}], |site, moved| {
        assert_eq!(site.group.usable_burst(DIR), BURST, "no leases");
        assert_eq!(site.group.write_limit(site.now()), site.filled - moved);
    });
}

/// Bug: bytes of a lease that are lost when the config changes, or spent twice.
#[test]
fn a_new_config_keeps_the_books_even() {
    let push: Change = |site, _| site.push_clock(1);
    let deepen: Change = |site, _| site.configure(2 * BURST);
    check_cores(SMALL_SHARE, [push, deepen], |site, moved| {
        assert_eq!(site.group.write_limit(site.now()), site.filled + 1 - moved);
    });
}

/// Bug: what lay beyond the depth comes back when the depth grows.
#[test]
fn a_deeper_bucket_is_not_a_fuller_one() {
    let deepen: Change = |site, _| {
        site.push_clock(BURST);
        site.configure(2 * BURST);
    };
    check_cores(SMALL_SHARE, [deepen, |_, _| {}], |site, moved| {
        check_windows(&site.moved.lock(), BURST);
        let left = site.group.write_limit(site.now());
        assert!(left + moved <= DEPTH as i64 + site.filled, "{moved} moved, {left} left");
    });
}

/// Bug: a core that goes on with the lease, or the depth, of the config before.
#[test]
fn a_shallower_bucket_clips_what_is_held() {
    let push: Change = |site, _| site.push_clock(DEPTH);
    let shrink: Change = |site, shard| {
        site.configure(BURST / 2);
        shard.refresh();
        let held = site.group.stats().seats[0].lease[DIR.index()];
        assert_eq!(held, 0, "a lease of the config before");
    };
    check_cores(SMALL_SHARE, [push, shrink], |site, moved| {
        check_windows(&site.moved.lock(), BURST);
        let left = site.group.write_limit(site.now());
        assert!(left <= DEPTH as i64 / 2, "{left} left of a bucket half as deep");
        assert!(left + moved <= DEPTH as i64 + site.filled, "{moved} moved, {left} left");
    });
}

/// Bug: a core that goes on counting for a group that has ended, or keeps a share of it.
#[test]
fn a_disbanded_group_grants_everything() {
    let disband: Change = |site, _| site.group.disband();
    check_cores(SMALL_SHARE, [|_, _| {}, disband], |site, _| {
        let (mut shard, member) = site.sit();
        let granted = shard.request(member, DIR, 1000, || site.now());
        assert_eq!(granted.map(|grant| grant.bytes), Some(1000));
    });
}

/// What a sleeping core is woken with: rung any number of times, it is heard once.
struct Bell {
    rung: AtomicBool,
    core: thread::Thread,
}

impl Bell {
    fn new() -> Arc<Self> {
        Arc::new(Self { rung: AtomicBool::new(false), core: thread::current() })
    }

    /// Sleeps until the bell rings, or comes back at once if it has since the last time.
    fn wait(&self) {
        while !self.rung.swap(false, Ordering::AcqRel) {
            thread::park();
        }
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        if !self.rung.swap(true, Ordering::AcqRel) {
            self.core.unpark();
        }
    }
}

/// How a core sleeps and looks: the runtime's way, or one with a bug in it.
type Sleep = fn(&Bell, &mut dyn FnMut() -> bool);

/// Hears the bell first and looks at the group then.
const AS_THE_RUNTIME: Sleep = |bell, served| {
    while !served() {
        bell.wait();
    }
};

/// Waits for a grant of one byte, as the runtime does: looks, gives back what it holds, asks how
/// long it may sleep, sleeps, looks again.
fn wait_for_grant(group: &Group, sleep: Sleep) {
    let bell = Bell::new();
    let shard = group.shard(Time::ZERO, Waker::from(Arc::clone(&bell))).expect("a seat");
    // Loom unwinds a thread that hangs, and a shard that left then would use loom's lock again.
    let mut shard = ManuallyDrop::new(shard);
    let member = shard.join(0, NonZeroU32::MIN);
    let mut granted = shard.request(member, DIR, 1, || Time::ZERO);
    sleep(&bell, &mut || {
        while granted.is_none() {
            shard.refresh();
            granted = shard.poll_grant(DIR, || Time::ZERO).map(|(_, _, grant)| grant);
            shard.park();
            if shard.poll_deadline().is_none_or(|due| due > Time::ZERO) {
                break;
            }
        }
        granted.is_some()
    });
    shard.settle(member, granted.expect("it slept until then"), 1, false);
    drop(ManuallyDrop::into_inner(shard));
}

/// Lets `cores` cores wait for a group that is empty, and changes it.
fn check_wake_up(cores: usize, sleep: Sleep, change: fn(&Group)) {
    explore(move || {
        let site = Site::new(SMALL_SHARE);
        let group = site.group.clone();
        group.decrement(Time::ZERO, DIR, site.filled).expect("a limit");
        let cores: Vec<_> = (0..cores)
            .map(|_| {
                let group = group.clone();
                thread::spawn(move || wait_for_grant(&group, sleep))
            })
            .collect();
        change(&group);
        for core in cores {
            core.join().expect("a core does not panic");
        }
    });
}

/// Bugs: a credit that wakes nobody, or that a core overlooks between asking and sleeping.
#[test]
fn a_credit_wakes_a_core_that_waits() {
    check_wake_up(1, AS_THE_RUNTIME, |group| {
        group.decrement(Time::ZERO, DIR, 1).expect("a limit");
        group.set_config(Time::ZERO, config(2 * BURST)).expect("valid");
        group.decrement(Time::ZERO, DIR, -2).expect("a limit");
    });
}

/// Bug: a config that lifts the limit and is not heard of.
#[test]
fn a_new_config_wakes_a_core_that_waits() {
    check_wake_up(1, AS_THE_RUNTIME, |group| {
        group
            .set_config(Time::ZERO, TokenBucketConfig::builder().build().expect("valid"))
            .expect("valid");
    });
}

/// Bug: members that wait for ever for a group that has ended.
#[test]
fn disbanding_wakes_a_core_that_waits() {
    check_wake_up(1, AS_THE_RUNTIME, Group::disband);
}

/// Bug: a waker list that leaves a seat out, or tokens that the first core to wake keeps.
#[test]
fn a_credit_wakes_every_core_that_waits() {
    check_wake_up(2, AS_THE_RUNTIME, |group| {
        group.decrement(Time::ZERO, DIR, -(DEPTH as i64)).expect("a limit");
    });
}

/// Seeded: the seats are woken before the level has changed.
#[test]
#[should_panic(expected = "deadlock")]
fn waking_before_the_change_is_found() {
    check_wake_up(1, AS_THE_RUNTIME, |group| {
        group.shared.wake_all();
        group.shared.adjust(Time::ZERO, DIR, -1).expect("a limit");
    });
}

/// Seeded: the core looks first, and forgets then what rang meanwhile.
#[test]
#[should_panic(expected = "deadlock")]
fn a_bell_silenced_after_looking_is_found() {
    let sleep: Sleep = |bell, served| {
        while !served() {
            bell.rung.store(false, Ordering::Release);
            bell.wait();
        }
    };
    check_wake_up(1, sleep, |group| {
        group.decrement(Time::ZERO, DIR, -1).expect("a limit");
    });
}
