//! Limits over moves: no token is made or lost, the bound of a group holds in every window, shares
//! follow weights as before, and a group without a seat for a core says so.

use std::num::NonZeroU32;
use std::time::Duration;

use rand::rngs::Xoshiro256PlusPlus;
use rand::{RngExt, SeedableRng};
use sluicegate::sim::{Faults, Peer, Simulation};
use sluicegate::{AttachRefusal, Direction, Group};

use super::rig::audit::{burst, jain, worst_excess};
use super::rig::ends::{End, over};
use super::rig::filter::Swap;
use super::rig::log::Log;
use super::rig::sim::{ms, per_second, per_tick};
use super::{adopted, attach, calm, detach, moved};

/// Lets peers send all they can for a while, as connections wander between the cores.
fn wander(
    sim: &mut Simulation,
    seed: u64,
    members: &mut [(End, Peer)],
    span: Duration,
) -> (Vec<u64>, usize) {
    let mut dice = Xoshiro256PlusPlus::seed_from_u64(seed);
    let mut moves = 0;
    let mut got = vec![0; members.len()];
    let until = sim.now() + span;
    while sim.now() < until {
        for ((end, peer), got) in members.iter_mut().zip(&mut got) {
            while sim.write(*peer, &[7; 4096]) > 0 {}
            *got += end.log.take().got.len() as u64;
            if dice.random_bool(0.1) {
                let detached = detach(sim, end.id);
                let held = dice.random_bool(0.05);
                if held {
                    sim.run_for(ms(5));
                }
                *end = attach(sim, detached, dice.random_range(0..CORES), end);
                moves += 1;
            }
        }
        sim.run_for(ms(1).min(until.saturating_since(sim.now())));
    }
    (got, moves)
}

#[test]
fn an_own_limit_neither_gains_nor_loses_by_moving() {
    const SPAN: Duration = Duration::from_secs(5);
    for seed in 0..4 {
        let faults = Faults { reset: 0.0, ..Faults::harsh() };
        let mut sim = Simulation::with_cores(CORES, seed, faults);
        let log = Log::default();
        sim.observe(log.clone());
        let config = per_second(1_000_000);
        let (end, peer) = adopted(&mut sim);
        end.bev(&mut sim).set_rate_limit(Some(config.clone()));
        let (_, moves) = wander(&mut sim, seed, &mut [(end, peer)], SPAN);
        assert!(moves > 100, "seed {seed}: it moved {moves} times");
        let excess = worst_excess(&log.of(Direction::Read), 1_000_000, burst(&config));
        assert_eq!(excess, 0, "seed {seed}");
        let moved = log.bytes(Direction::Read);
        assert!(moved >= 4_750_000, "seed {seed}: moved {moved}");
    }
}

#[test]
fn a_group_holds_its_bound_while_its_members_move_and_shares_follow_weights() {
    const RATE: u64 = 2_000_000;
    const SPAN: Duration = Duration::from_secs(5);
    for seed in 0..3 {
        let mut sim = Simulation::with_cores(CORES, seed, Faults::none());
        let log = Log::default();
        sim.observe(log.clone());
        let config = per_second(RATE);
        let group = Group::builder(config.clone()).clock(sim.clock()).seats(CORES).build();
        let group = group.expect("valid numbers");
        let weights = [1, 1, 1, 1, 1, 1, 3, 3];
        let mut members = weights.map(|weight| {
            let (end, peer) = adopted(&mut sim);
            let weight = NonZeroU32::new(weight).expect("not zero");
            end.bev(&mut sim).join_weighted(&group, weight).expect("a seat");
            (end, peer)
        });
        let (got, moves) = wander(&mut sim, seed, &mut members, SPAN);
        assert!(moves > 500, "seed {seed}: they moved {moves} times");
        let excess = worst_excess(&log.of(Direction::Read), RATE, burst(&config));
        assert_eq!(excess, 0, "seed {seed}");
        let bytes = log.bytes(Direction::Read) as f64;
        let achieved = bytes / (RATE * SPAN.as_secs()) as f64;
        assert!(achieved >= 0.98, "seed {seed}: achieved {achieved}");
        let shares: Vec<u64> =
            got.iter().zip(weights).map(|(got, weight)| got / u64::from(weight)).collect();
        assert!(jain(&shares) >= 0.98, "seed {seed}: shares {shares:?}");
    }
}

#[test]
fn a_direction_that_waits_for_tokens_goes_on_where_it_arrives() {
    for own in [true, false] {
        let mut sim = calm(2);
        let group = Group::builder(per_tick(1_000, 1_000, ms(100))).clock(sim.clock()).build();
        let group = group.expect("valid numbers");
        let (end, peer) = adopted(&mut sim);
        let mut bev = end.bev(&mut sim);
        if own {
            bev.set_rate_limit(Some(per_tick(1_000, 1_000, ms(100))));
        } else {
            bev.join(&group).expect("a seat");
        }
        drop(bev);
        sim.write(peer, &[7; 2_500]);
        sim.run_for(ms(10));
        assert_eq!(end.log.borrow().got.len(), 1_000);
        let end = moved(&mut sim, &end, 1);
        sim.run_for(ms(50));
        assert_eq!(end.log.borrow().got.len(), 1_000, "nothing is given for moving");
        let detached = detach(&mut sim, end.id);
        assert!(group.stats().seats.iter().all(|seat| !seat.taken), "it is no member meanwhile");
        let end = attach(&mut sim, detached, 0, &end);
        sim.run_for(ms(200));
        assert_eq!(end.log.borrow().got.len(), 2_500);
    }
}

#[test]
fn a_layer_that_waits_for_tokens_goes_on_where_its_stack_arrives() {
    for layer in 0..3 {
        let mut sim = calm(2);
        let (end, peer) = adopted(&mut sim);
        let middle = over(&mut sim, &end, Swap);
        let top = over(&mut sim, &middle, Swap);
        let limited = [&end, &middle, &top][layer];
        limited.bev(&mut sim).set_rate_limit(Some(per_tick(1_000, 1_000, ms(100))));
        top.write(&mut sim, &[7; 2_500]);
        sim.run_for(ms(10));
        assert_eq!(sim.read(peer).len(), 1_000, "layer {layer}");
        moved(&mut sim, &top, 1);
        sim.run_for(ms(300));
        assert_eq!(sim.read(peer).len(), 1_500, "layer {layer}");
    }
}

#[test]
fn a_group_without_a_seat_refuses_and_the_connection_comes_back() {
    let mut sim = calm(2);
    let build = |seats: usize| {
        let builder = Group::builder(per_tick(1_000, 1_000, ms(100)));
        builder.clock(sim.clock()).seats(seats).build().expect("valid numbers")
    };
    let (narrow, wide) = (build(1), build(2));
    let (stays, _kept) = adopted(&mut sim);
    stays.bev(&mut sim).join(&narrow).expect("the first core has the seat");
    let (under, peer) = adopted(&mut sim);
    under.bev(&mut sim).join(&wide).expect("a seat");
    let top = over(&mut sim, &under, Swap);
    top.bev(&mut sim).join(&narrow).expect("a seat");
    let detached = detach(&mut sim, top.id);
    let held = sim.held();
    let refused = sim.core_at(1).attach(detached, ()).expect_err("no seat is left");
    assert!(matches!(refused.reason, AttachRefusal::NoSeat(_)), "{refused}");
    assert_eq!(sim.held(), held, "a refusal leaves nothing behind");
    // It goes on where it was, a member as before.
    let top = attach(&mut sim, refused.detached, 0, &top);
    let group = top.bev(&mut sim).group().map(|group| group.id());
    assert_eq!(group, Some(narrow.id()));
    sim.write(peer, &[!7; 1_500]);
    sim.run_for(ms(10));
    assert_eq!(top.log.borrow().got, [7; 1_000]);
    // Or elsewhere, once it does without.
    let mut detached = detach(&mut sim, top.id);
    detached.leave_groups();
    let top = attach(&mut sim, detached, 1, &top);
    assert!(top.bev(&mut sim).group().is_none());
    let slots = ["1:0.1", "1:1.1"];
    assert!(slots.contains(&&*top.id.to_string()), "{} after slots that were kept", top.id);
    sim.run_for(ms(10));
    assert_eq!(top.log.borrow().got.len(), 1_500, "nothing limits it");
}

#[test]
fn a_group_that_was_disbanded_on_the_way_is_left_behind() {
    for before in [true, false] {
        let mut sim = calm(2);
        let group = Group::builder(per_tick(10, 10, ms(100))).clock(sim.clock()).build();
        let group = group.expect("valid numbers");
        let (end, peer) = adopted(&mut sim);
        end.bev(&mut sim).join(&group).expect("a seat");
        sim.write(peer, &[7; 500]);
        sim.run_for(ms(1));
        if before {
            group.disband();
        }
        let detached = detach(&mut sim, end.id);
        group.disband();
        let end = attach(&mut sim, detached, 1, &end);
        sim.run_for(ms(1));
        assert!(end.bev(&mut sim).group().is_none());
        assert_eq!((end.log.borrow().got.len(), sim.held().seats), (500, 0));
    }
}

/// Cores to move between.
const CORES: usize = 3;
