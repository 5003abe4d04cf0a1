//! The seed, row by row: what each of its functions does here. Limits are in this file; sockets,
//! pairs, filters, options, buffers and what all bufferevents have beside it.
//!
//! One test for a row of the tables "Largest single read and write" and "Rate limits", named for
//! it, with the row in its comment; all in virtual time, so that numbers are exact. What happens at
//! the edges stands in `seed_limits.rs`, what many cores and real sockets do in `limits.rs`.

#[path = "seed_api/base.rs"]
mod base;
#[path = "seed_api/connect.rs"]
mod connect;
#[path = "seed_api/filter.rs"]
mod filter;
#[path = "seed_api/pair.rs"]
mod pair;
#[path = "seed_api/presupposed.rs"]
mod presupposed;
mod rig;

use std::num::NonZeroU32;
use std::time::Duration;

use rig::ends::{over, taking};
use rig::log::Log;
use rig::sim::{Both, World, ms, per_second, per_tick};
use sluicegate::sim::Simulation;
use sluicegate::{
    BevMut, ConfigError, Direction, Group, NoLimit, PairOptions, RATE_LIMIT_MAX, ServiceOrder,
    Suspend, TokenBucketConfig,
};

const READ: Direction = Direction::Read;
const WRITE: Direction = Direction::Write;

/// The tick of most limits here: nothing refills between two steps of a test that takes less.
const TICK: Duration = Duration::from_millis(100);

/// What a peer can send before anybody reads: far more than the limits here let pass.
const PLENTY: usize = 50_000;

/// Lets a peer send plenty and the server take what it may before the next tick; returns how much.
fn burst(world: &mut World, from: Both) -> u64 {
    let before = world.sim.core().stats().bytes_in;
    world.sim.write(from.peer, &[7; PLENTY]);
    world.sim.run_for(ms(5));
    world.sim.core().stats().bytes_in - before
}

/// What the own limit holds for reading and for writing.
fn levels(world: &mut World, of: Both) -> (Option<i64>, Option<i64>) {
    let mut bev = world.bev(of);
    (bev.read_limit(), bev.write_limit())
}

fn max_singles(bev: &mut BevMut<'_>) -> (usize, usize) {
    (bev.max_single_read(), bev.max_single_write())
}

fn set_max_singles(bev: &mut BevMut<'_>, read: usize, write: usize) {
    bev.set_max_single_read(read);
    bev.set_max_single_write(write);
}

/// `bufferevent_set_max_single_read/write`, `bufferevent_get_max_single_read/write`: the default is
/// 16384; 0 or more than isize::MAX restores it; applies together with limits.
#[test]
fn max_single_read_and_write() {
    let most = isize::MAX as usize;
    let mut world = World::new(1);
    let one = world.connect();
    assert_eq!(max_singles(&mut world.bev(one)), (16_384, 16_384));
    for absurd in [0, most + 1, usize::MAX] {
        set_max_singles(&mut world.bev(one), 100, 200);
        assert_eq!(max_singles(&mut world.bev(one)), (100, 200));
        set_max_singles(&mut world.bev(one), absurd, absurd);
        assert_eq!(max_singles(&mut world.bev(one)), (16_384, 16_384), "after {absurd}");
    }
    set_max_singles(&mut world.bev(one), most, most);
    assert_eq!(max_singles(&mut world.bev(one)), (most, most), "the largest that is not absurd");

    // libevent lets a limit replace the maximum; here both hold, whichever is the lower.
    for (own, group) in [(Some(5000), None), (None, Some(5000)), (Some(5000), Some(9000))] {
        for (single, limited) in [(700, 300), (16_384, 16_384)] {
            let (mut world, log) = (World::new(1), Log::default());
            let one = world.connect();
            world.sim.observe(log.clone());
            if let Some(rate) = group {
                let group = world.group(per_tick(rate, rate, TICK));
                world.bev(one).join(&group).expect("a seat");
            }
            world.bev(one).set_rate_limit(own.map(|rate| per_tick(rate, rate, TICK)));
            set_max_singles(&mut world.bev(one), single, limited);
            burst(&mut world, one);
            world.pour(&[one], 10_000, ms(5));
            for (direction, single) in [(READ, single), (WRITE, limited)] {
                let largest = log.of(direction).iter().map(|one| one.bytes).max();
                let what = format!("{direction:?} under {own:?} and {group:?} by {single}");
                assert!(largest <= Some(single as u64), "{what}: {largest:?}");
                assert_eq!(log.bytes(direction), 5000, "{what}");
            }
        }
    }
}

/// The same in memory, where segments move and the default is all that there is.
#[test]
fn max_single_read_and_write_in_memory() {
    for height in [0, 1] {
        let (mut sim, log) = (Simulation::new(1), Log::default());
        sim.observe(log.clone());
        let (mut near, far) = taking(&mut sim, PairOptions::new());
        if height > 0 {
            near = over(&mut sim, &near, ());
        }
        let most = isize::MAX as usize;
        set_max_singles(&mut near.bev(&mut sim), 70, 30);
        set_max_singles(&mut near.bev(&mut sim), 0, 0);
        assert_eq!(max_singles(&mut near.bev(&mut sim)), (most, most));
        // Operations are observed under a limit; this one is out of reach.
        near.bev(&mut sim).set_rate_limit(Some(per_tick(100_000, 100_000, TICK)));
        for (read, write) in [(0, 0), (70, 30)] {
            log.clear();
            set_max_singles(&mut near.bev(&mut sim), read, write);
            far.write(&mut sim, &[7; 5000]);
            near.write(&mut sim, &[7; 5000]);
            sim.run_for(ms(20));
            for (direction, single) in [(READ, read), (WRITE, write)] {
                let largest = log.of(direction).iter().map(|one| one.bytes).max();
                let expected = if single == 0 { 5000 } else { single as u64 };
                assert_eq!(largest, Some(expected), "{direction:?} at height {height}");
                assert_eq!(log.bytes(direction), 5000, "{direction:?} at height {height}");
            }
        }
    }
}

/// `EV_RATE_LIMIT_MAX` = isize::MAX: accepted, means unlimited in that direction; rates between
/// 2^40 B/s and it are a typed error.
#[test]
fn ev_rate_limit_max() {
    assert_eq!(RATE_LIMIT_MAX, isize::MAX as u64);
    let config = TokenBucketConfig::new(RATE_LIMIT_MAX, RATE_LIMIT_MAX, 500, 500, Some(TICK));
    let config = config.expect("one direction unlimited");
    let mut world = World::new(2);
    let one = world.connect();
    world.bev(one).set_rate_limit(Some(config));
    assert_eq!(burst(&mut world, one), PLENTY as u64);
    assert_eq!(world.pour(&[one], 10_000, ms(5)), [500]);
    let refused = TokenBucketConfig::new((1 << 40) + 1, 1 << 41, 5, 5, None).unwrap_err();
    let rate = (1 << 40) + 1;
    let period = Duration::from_secs(1);
    assert_eq!(refused, ConfigError::RateTooLarge { direction: READ, rate, period });
}

/// `ev_token_bucket_cfg_new(rr, rb, wr, wb, tick)`: rates per tick, no tick is 1 s; rejects zero
/// rates, a zero tick, a burst below a tick's rate, each naming the value; `per_second` configs
/// reject a zero burst; either direction may be unlimited; ticks below 1 ms and fractions work.
#[test]
fn ev_token_bucket_cfg_new() {
    let new = TokenBucketConfig::new;
    let refusals = [
        (new(0, 9, 9, 9, None), "read rate is 0"),
        (new(9, 9, 0, 9, None), "write rate is 0"),
        (new(9, 9, 9, 9, Some(Duration::ZERO)), "tick is 0"),
        (new(300, 299, 9, 9, None), "read burst 299 is below one tick's rate 300"),
        (new(9, 9, 300, 299, None), "write burst 299 is below one tick's rate 300"),
        (per_second(100).with_burst(0), "read burst is 0"),
    ];
    for (refused, says) in refusals {
        let message = refused.expect_err(says).to_string();
        assert!(message.contains(says), "{message}");
    }
    assert_eq!(new(9, 9, 9, 9, None).expect("valid").tick(), Some(Duration::from_secs(1)));
    let writes = TokenBucketConfig::builder().write("1MB/s".parse().expect("a rate"));
    let writes = writes.build().expect("valid");
    assert_eq!((writes.limit(READ), writes.tick()), (None, None));

    // Rates count per tick, and a tick may be a fraction of a millisecond long.
    for tick_us in [100_000, 1500, 500] {
        let mut world = World::new(3);
        let one = world.connect();
        let tick = Duration::from_micros(tick_us);
        world.bev(one).set_rate_limit(Some(per_tick(30, 3000, tick)));
        let moved = world.flood(&[one], Duration::from_secs(3));
        let ticks = 3_000_000 / tick_us;
        // The first tick's worth comes at once; the last may lie beyond the last look.
        let due = 30 * (ticks - 3)..=30 * (ticks + 1);
        assert!(due.contains(&moved), "{moved} bytes in {ticks} ticks of {tick:?}");
    }
}

/// `ev_token_bucket_cfg_free`: shared by value; dropping it early is safe.
#[test]
fn ev_token_bucket_cfg_free() {
    let mut world = World::new(4);
    let one = world.connect();
    let group = {
        let config = per_tick(300, 300, TICK);
        world.bev(one).set_rate_limit(Some(config.clone()));
        world.group(config)
    };
    assert_eq!(burst(&mut world, one), 300);
    assert_eq!(group.config(), per_tick(300, 300, TICK));
}

/// `bufferevent_set_rate_limit`: `None` removes; replacing clips the level down, never up.
#[test]
fn bufferevent_set_rate_limit() {
    let mut world = World::new(5);
    let one = world.connect();
    assert!(world.bev(one).rate_limit().is_none());
    world.bev(one).set_rate_limit(Some(per_tick(1000, 4000, TICK)));
    assert_eq!(world.bev(one).rate_limit(), Some(&per_tick(1000, 4000, TICK)));
    assert_eq!(world.bev(one).read_limit(), Some(1000), "one tick's worth, not the burst");
    world.bev(one).set_rate_limit(Some(per_tick(300, 300, TICK)));
    assert_eq!(world.bev(one).read_limit(), Some(300), "clipped");
    world.bev(one).set_rate_limit(Some(per_tick(1000, 4000, TICK)));
    assert_eq!(world.bev(one).read_limit(), Some(300), "not raised");
    assert_eq!(burst(&mut world, one), 300);
    assert_eq!(world.bev(one).suspended(READ), Suspend::OWN_LIMIT);
    world.bev(one).set_rate_limit(None);
    assert_eq!(world.bev(one).suspended(READ), Suspend::empty());
    world.sim.run_for(ms(5));
    assert_eq!(world.sim.core().stats().bytes_in, PLENTY as u64, "all that waited, at once");
}

/// `bufferevent_rate_limit_group_new`: `Group::new`, `Group::builder`; `Clone + Send + Sync`.
#[test]
fn bufferevent_rate_limit_group_new() {
    fn is_shared<T: Clone + Send + Sync + 'static>(_: &T) {}
    let group = Group::new(per_tick(300, 1200, TICK)).expect("valid numbers");
    is_shared(&group);
    assert_eq!(group.totals(), (0, 0));
    assert!(group.seats() >= 16);
    let refused = Group::builder(per_second(1000)).seats(0).build();
    assert_eq!(refused.expect_err("no core could join"), ConfigError::Seats { seats: 0 });

    let mut world = World::new(6);
    let group = world.builder(per_tick(300, 300, TICK)).seats(1).build().expect("valid");
    assert_eq!(group.seats(), 1);
    let both = [world.member(&group), world.member(&group.clone())];
    assert_eq!(both.map(|one| burst(&mut world, one)).iter().sum::<u64>(), 300);
}

/// `bufferevent_rate_limit_group_set_cfg`: no member dropped, level never raised. (That it reaches
/// every core within one rebalance is shown in `groups/tests/sharing.rs`.)
#[test]
fn bufferevent_rate_limit_group_set_cfg() {
    let mut world = World::new(7);
    let group = world.group(per_tick(1000, 1000, TICK));
    let one = world.member(&group);
    group.set_config(per_tick(2000, 8000, TICK)).expect("valid");
    assert_eq!(group.read_limit(), 1000, "not raised");
    group.set_config(per_tick(400, 400, TICK)).expect("valid");
    assert_eq!(group.read_limit(), 400, "clipped");
    assert_eq!(group.config(), per_tick(400, 400, TICK));
    assert_eq!(world.bev(one).group().expect("it is a member").id(), group.id());
    assert_eq!(burst(&mut world, one), 400);
    world.sim.run_for(TICK);
    assert_eq!(group.totals().0, 800, "at the new rate");
}

/// `bufferevent_rate_limit_group_free`: `disband` detaches the members, who run unlimited; dropping
/// handles changes nothing while members live.
#[test]
fn bufferevent_rate_limit_group_free() {
    let mut world = World::new(8);
    let group = world.group(per_tick(300, 300, TICK));
    let members = [world.member(&group), world.member(&group)];
    let handle = world.bev(members[0]).group().expect("it is a member");
    drop(group);
    assert_eq!(burst(&mut world, members[0]), 300, "limited by a group that nobody holds");
    assert_eq!(burst(&mut world, members[1]), 0);
    handle.disband();
    world.sim.run_for(ms(5));
    assert_eq!(world.sim.core().stats().bytes_in, 2 * PLENTY as u64, "all that waited");
    for member in members {
        assert!(world.bev(member).group().is_none());
        assert_eq!(world.bev(member).max_to_read(), 16_384);
    }
    assert_eq!(handle.set_config(per_second(1)), Err(ConfigError::Disbanded));
    world.bev(members[0]).join(&handle).expect("it has nothing to seat");
    assert!(world.bev(members[0]).group().is_none(), "a disbanded group has no members");
    assert!(handle.stats().seats.iter().all(|seat| !seat.taken), "and no core has a seat of it");
}

/// `bufferevent_add_to_rate_limit_group`, `..._remove_from_...`: at most one group; joining another
/// moves it; own and group limits both apply, the lower wins, both are charged; shares follow
/// weights.
#[test]
fn bufferevent_add_to_and_remove_from_rate_limit_group() {
    let mut world = World::new(9);
    let (slow, fast) =
        (world.group(per_tick(300, 300, TICK)), world.group(per_tick(900, 900, TICK)));
    let one = world.connect();
    assert!(world.bev(one).group().is_none());
    world.bev(one).join(&slow).expect("a seat");
    world.bev(one).join(&slow).expect("it is in there, and stays");
    assert_eq!(burst(&mut world, one), 300);
    assert_eq!(world.bev(one).suspended(READ), Suspend::GROUP_LIMIT);
    world.bev(one).join(&fast).expect("a seat");
    assert_eq!(world.bev(one).group().expect("it is a member").id(), fast.id());
    world.sim.run_for(ms(5));
    assert_eq!((slow.totals().0, fast.totals().0), (300, 900));
    world.bev(one).set_rate_limit(Some(per_tick(200, 200, TICK)));
    world.sim.run_for(TICK + ms(10));
    assert_eq!(fast.totals().0, 900 + 200 + 200, "the own limit is lower; the group is charged");
    world.bev(one).leave();
    world.bev(one).set_rate_limit(None);
    world.sim.run_for(ms(5));
    assert_eq!(world.sim.core().stats().bytes_in, PLENTY as u64, "unlimited");
    assert_eq!(fast.totals().0, 1300, "nothing is charged to a group that was left");

    let group = world.group(per_second(1_000_000));
    let three = NonZeroU32::new(3).expect("not zero");
    let members = [world.member(&group), world.connect()];
    world.bev(members[1]).join_weighted(&group, three).expect("a seat");
    for member in members {
        world.bev(member).output().add(&vec![7; 10_000_000]);
    }
    let got = world.pour(&members, 0, Duration::from_secs(4));
    let ratio = got[1] as f64 / got[0] as f64;
    assert!((ratio - 3.0).abs() < 0.05, "{got:?}");
}

/// `bufferevent_get_read_limit`, `..._write_limit`: may be negative; `None` without own limit.
#[test]
fn bufferevent_get_read_and_write_limit() {
    let mut world = World::new(10);
    let group = world.group(per_tick(5, 5, TICK));
    let one = world.member(&group);
    assert_eq!(world.bev(one).read_limit(), None, "the group's limit is not its own");
    world.bev(one).set_rate_limit(Some(per_tick(300, 1200, TICK)));
    assert_eq!(levels(&mut world, one), (Some(300), Some(300)));
    world.bev(one).decrement_write_limit(1000).expect("it has a limit");
    assert_eq!(world.bev(one).write_limit(), Some(-700));
    world.sim.run_for(TICK);
    assert_eq!(levels(&mut world, one), (Some(600), Some(-400)));
    let config = TokenBucketConfig::new(9, 9, RATE_LIMIT_MAX, 9, None).expect("valid");
    world.bev(one).set_rate_limit(Some(config));
    assert_eq!(levels(&mut world, one), (Some(9), None));
}

/// `bufferevent_rate_limit_group_get_read_limit`, `..._write_limit`: as of now; leases held by
/// cores are not counted, their sum is in the statistics; a quiet full group reports
/// `usable_burst()`.
#[test]
fn bufferevent_rate_limit_group_get_read_and_write_limit() {
    let mut world = World::new(11);
    let group = world.group(per_second(10_000_000));
    assert_eq!(group.read_limit(), 10_000, "the first quantum");
    let clock = world.clock();
    clock.advance(ms(2));
    assert_eq!(group.read_limit(), 30_000, "without anybody having refilled it");
    clock.advance(ms(1000));
    for direction in Direction::ALL {
        let full = group.usable_burst(direction) as i64;
        assert_eq!(full, 1_000_000 - group.seats() as i64 * 10_000);
        assert_eq!([group.read_limit(), group.write_limit()][direction.index()], full);
    }
    // One byte moves under a lease of 10,000.
    let one = world.member(&group);
    let full = group.read_limit();
    world.sim.write(one.peer, b"!");
    assert!(world.sim.run_until(ms(50), |sim| sim.core().stats().bytes_in == 1));
    assert_eq!(group.stats().lease(READ), 10_000, "as of its last draw");
    // Microseconds have passed since the draw.
    let drawn = full - group.read_limit();
    assert!((9000..=10_000).contains(&drawn), "{drawn}");
    world.sim.run_for(ms(5));
    assert_eq!((group.read_limit(), group.stats().lease(READ)), (full, 0), "back before it sleeps");
}

/// `bufferevent_get_max_to_read`, `..._write`: what the next operation may move, by own limit,
/// group and single maximum together.
#[test]
fn bufferevent_get_max_to_read_and_write() {
    // A group of 5 MB/s gives a lone member 1 ms of that; an own limit ticks once in all the test.
    const GROUP: u64 = 5_000_000;
    const HOUR: Duration = Duration::from_secs(3600);
    for (own, group, single, most) in [
        (None, None, 0, 16_384),
        (None, None, 9000, 9000),
        (None, Some(GROUP), 9000, 5000),
        (Some(700), Some(GROUP), 9000, 700),
        (Some(20_000), Some(GROUP), 9000, 5000),
        (Some(20_000), Some(GROUP), 300, 300),
        (Some(700), None, 9000, 700),
    ] {
        let mut world = World::new(12);
        let one = world.connect();
        let log = Log::default();
        world.sim.observe(log.clone());
        world.bev(one).set_max_single_read(single);
        world.bev(one).set_max_single_write(single);
        world.bev(one).set_rate_limit(own.map(|own| per_tick(own, own, HOUR)));
        if let Some(group) = group {
            let group = world.group(per_second(group));
            world.bev(one).join(&group).expect("a seat");
        }
        assert_eq!(world.bev(one).max_to_read(), most, "{own:?} {group:?} {single}");
        assert_eq!(world.bev(one).max_to_write(), most, "{own:?} {group:?} {single}");
        burst(&mut world, one);
        world.pour(&[one], PLENTY, ms(5));
        if own.or(group).is_some() {
            for direction in Direction::ALL {
                assert_eq!(log.of(direction)[0].bytes, most as u64, "it moves just that");
            }
        }
        if own.is_some_and(|own| own < PLENTY as u64) && group.is_none() {
            assert_eq!(world.bev(one).max_to_read(), 0, "it waits");
        }
    }
}

/// `bufferevent_rate_limit_group_get_totals`, `..._reset_totals`: start at 0, exact when quiet.
#[test]
fn bufferevent_rate_limit_group_get_and_reset_totals() {
    let mut world = World::new(13);
    let group = world.group(per_second(100_000_000));
    assert_eq!(group.totals(), (0, 0));
    let members = [world.member(&group), world.member(&group)];
    world.sim.write(members[0].peer, &[7; 12_345]);
    assert_eq!(world.pour(&members, 50_000, ms(100)), [50_000; 2]);
    assert_eq!(group.totals(), (12_345, 100_000));
    group.decrement_read(77).expect("it has a limit");
    assert_eq!(group.totals().0, 12_345, "an adjustment is no traffic");
    group.reset_totals();
    assert_eq!(group.totals(), (0, 0));
    assert_eq!(world.pour(&members[..1], 10, ms(100)), [10]);
    assert_eq!(group.totals(), (0, 10));
}

/// `bufferevent_decrement_read_limit`, `..._write_limit`: signed; negative adds, clipped at the
/// burst; crossing zero suspends, back resumes; without own limit `Err(NoLimit)`.
#[test]
fn bufferevent_decrement_read_and_write_limit() {
    let mut world = World::new(14);
    let one = world.connect();
    let refused = world.bev(one).decrement_read_limit(1);
    assert_eq!(refused, Err(NoLimit { direction: READ }));
    let refused = world.bev(one).decrement_write_limit(-1);
    assert_eq!(refused, Err(NoLimit { direction: WRITE }));

    world.bev(one).set_rate_limit(Some(per_tick(300, 1200, TICK)));
    world.bev(one).decrement_read_limit(299).expect("it has a limit");
    assert_eq!(world.bev(one).suspended(READ), Suspend::empty());
    world.bev(one).decrement_read_limit(2).expect("it has a limit");
    assert_eq!(world.bev(one).suspended(READ), Suspend::OWN_LIMIT);
    assert_eq!(world.bev(one).suspended(WRITE), Suspend::empty());
    assert_eq!(burst(&mut world, one), 0);
    world.bev(one).decrement_read_limit(-11).expect("it has a limit");
    world.sim.run_for(ms(5));
    assert_eq!(world.sim.core().stats().bytes_in, 10, "it goes on at once");
    world.bev(one).decrement_read_limit(i64::MIN).expect("it has a limit");
    world.sim.run_for(ms(5));
    assert_eq!(world.sim.core().stats().bytes_in, 1210, "a credit is clipped at the burst");

    assert_eq!(world.pour(&[one], 1000, ms(5)), [300]);
    world.bev(one).decrement_write_limit(-100).expect("it has a limit");
    assert_eq!(world.pour(&[one], 0, ms(5)), [100]);
}

/// `bufferevent_rate_limit_group_decrement_read`, `..._write`: as above, clipped at
/// `usable_burst()`, on all cores, also after a long idle time.
#[test]
fn bufferevent_rate_limit_group_decrement_read_and_write() {
    let mut world = World::new(15);
    let group = world.group(per_tick(3000, 12_000, TICK));
    let one = world.member(&group);
    group.decrement_read(3001).expect("it has a limit");
    assert_eq!((group.read_limit(), group.write_limit()), (-1, 3000));
    assert_eq!(burst(&mut world, one), 0);
    assert_eq!(world.bev(one).suspended(READ), Suspend::GROUP_LIMIT);
    group.decrement_read(-641).expect("it has a limit");
    world.sim.run_for(ms(5));
    assert_eq!(group.totals().0, 640, "it goes on at once, by ten smallest shares");

    world.sim.run_for(Duration::from_secs(3600));
    let full = group.usable_burst(WRITE) as i64;
    group.decrement_write(-1_000_000).expect("it has a limit");
    assert_eq!(group.write_limit(), full);
    group.decrement_write(full + 5).expect("it has a limit");
    assert_eq!(group.write_limit(), -5);
    for bytes in [i64::MIN, i64::MAX, i64::MAX, i64::MIN] {
        group.decrement_write(bytes).expect("it has a limit");
    }
    assert_eq!(group.write_limit(), full);

    let writes = TokenBucketConfig::builder().write("1MB/s".parse().expect("a rate"));
    group.set_config(writes.build().expect("valid")).expect("valid");
    assert_eq!(group.decrement_read(1), Err(NoLimit { direction: READ }));
    group.disband();
    assert_eq!(group.decrement_write(1), Err(NoLimit { direction: WRITE }));
}

/// `bufferevent_rate_limit_group_set_min_share`, and who goes first: default 64; 0 is no floor;
/// 10,000 members and 10,000 B per tick at share 64: at most 157 served per tick, the others
/// nothing, all served over time; round robin, or random each tick on request.
#[test]
fn bufferevent_rate_limit_group_set_min_share() {
    const MEMBERS: usize = 10_000;
    let mut world = World::new(16);
    let group = world.group(per_tick(10_000, 10_000, TICK));
    let members: Vec<Both> = (0..MEMBERS).map(|_| world.member(&group)).collect();
    let mut got = vec![0; MEMBERS];
    let start = world.sim.now();
    for &member in &members {
        world.bev(member).output().add(&[7; 640]);
    }
    for tick in 0..80 {
        let until = start + TICK * tick + TICK / 2;
        world.sim.run_for(until.saturating_since(world.sim.now()));
        let mut served = 0;
        for (member, got) in members.iter().zip(&mut got) {
            let bytes = world.sim.read(member.peer).len();
            *got += bytes;
            served += usize::from(bytes > 0);
        }
        // The first look is half a tick long and has the first fill in it.
        assert!(tick == 0 || served <= 157, "{served} served in tick {tick}");
        assert!(tick == 0 || served > 150, "{served} served in tick {tick}");
    }
    assert!(got.iter().all(|&bytes| bytes > 0), "all are served over time");

    // A larger share serves fewer, more at a time; no share still moves something.
    for (share, order, expected, usual) in [
        (1000, ServiceOrder::RandomEachTick, 10..=60, 1000),
        (0, ServiceOrder::RoundRobin, 100..=100, 10),
    ] {
        let log = Log::default();
        world.sim.observe(log.clone());
        let group = world.builder(per_tick(10_000, 10_000, TICK)).service_order(order);
        let group = group.build().expect("valid");
        group.set_min_share(share).expect("valid");
        for &member in &members[..100] {
            world.bev(member).join(&group).expect("a seat");
            world.bev(member).output().add(&[7; 5000]);
        }
        let got = world.pour(&members[..100], 0, ms(450));
        let served = got.iter().filter(|&&bytes| bytes > 0).count();
        assert!(expected.contains(&served), "{served} served at share {share}");
        let operations = log.those(|one| one.group == Some(group.id()));
        let mut sizes: Vec<u64> = operations.iter().map(|one| one.bytes).collect();
        sizes.sort_unstable();
        assert_eq!(sizes[sizes.len() / 2], usual, "what one operation moves at share {share}");
    }
}

/// The list of limitations: nothing over-commits; `per_second` configs carry N.1 seconds' worth in
/// N.1 seconds, tick configs N + 1 ticks' on purpose.
#[test]
fn limitations() {
    for (config, worth) in [
        (per_tick(1000, 1000, Duration::from_secs(1)), 4000..=4000),
        (per_second(1000).with_burst(1000).expect("valid"), 3100 - 64..=3100 + 64),
    ] {
        let mut world = World::new(17);
        let one = world.connect();
        world.bev(one).set_rate_limit(Some(config));
        let mut lowest = i64::MAX;
        let until = world.sim.now() + ms(3100);
        while world.sim.now() < until {
            world.sim.write(one.peer, &[7; 5000]);
            world.sim.run_for(ms(10).min(until.saturating_since(world.sim.now())));
            lowest = lowest.min(world.bev(one).read_limit().expect("it has a limit"));
        }
        let moved = world.sim.core().stats().bytes_in;
        assert!(worth.contains(&moved), "{moved} bytes in 3.1 s, not {worth:?}");
        assert!(lowest >= 0, "the level fell to {lowest}");
    }
}
