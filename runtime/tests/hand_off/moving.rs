//! Busy connections that move at any moment, in every way, whatever goes wrong: what comes back is
//! what was sent, and how it ended is told once.

use std::sync::{Arc, Mutex};

use rand::rngs::Xoshiro256PlusPlus;
use rand::{Rng, RngExt, SeedableRng};
use sluicegate::sim::{Faults, Held, Peer, Simulation};
use sluicegate::{BevId, BevMut, Context, Event, EventFlags, FilterOptions, Group, Handler};

use super::far;
use super::rig::filter::Swap;
use super::rig::pattern;
use super::rig::sim::{LIMIT, ms, per_second};

/// What is known of a connection that is on the move.
#[derive(Default)]
struct Track {
    /// Its name; `None` while it is on its way.
    id: Option<BevId>,
    /// The core it is to go to in its next callback.
    next: Option<usize>,
    moves: usize,
    ends: usize,
    errors: usize,
}

/// Echoes, and moves when it is told to, with half of what it has read still in its input.
struct Rover(Arc<Mutex<Track>>);

impl Rover {
    fn roam(&self, cx: &mut Context<'_>) {
        let mut track = self.0.lock().expect("no panic while held");
        let Some(core) = track.next.take() else { return };
        let detached = cx.detach().expect("it is open");
        track.id = None;
        drop(track);
        let sent = cx.core().handle().attach(core, detached, settle(&self.0));
        drop(sent.expect("the core runs"));
    }
}

impl Handler for Rover {
    fn on_read(&mut self, cx: &mut Context<'_>) {
        let roams = self.0.lock().expect("no panic while held").next.is_some();
        let (mut input, mut output) = cx.buffers();
        let count = if roams { input.len() / 2 } else { input.len() };
        let mut bytes = vec![0; count];
        input.remove(&mut bytes);
        output.add(&bytes);
        self.roam(cx);
    }

    fn on_write(&mut self, cx: &mut Context<'_>) {
        self.roam(cx);
    }

    fn on_event(&mut self, cx: &mut Context<'_>, event: Event) {
        let mut track = self.0.lock().expect("no panic while held");
        track.ends += usize::from(event.flags.contains(EventFlags::EOF));
        if event.flags.contains(EventFlags::ERROR) {
            track.errors += 1;
            cx.me().close_now();
        }
    }
}

/// Makes the handler of a connection where it arrives.
fn settle(track: &Arc<Mutex<Track>>) -> impl FnOnce(&mut BevMut<'_>) -> Rover + Send + use<> {
    let track = track.clone();
    move |conn| {
        let mut on = track.lock().expect("no panic while held");
        on.id = Some(conn.id());
        on.moves += 1;
        drop(on);
        Rover(track)
    }
}

/// An echo on the first core over so many filters, limited or not.
fn rover(sim: &mut Simulation, dice: &mut impl Rng, group: &Group) -> (Arc<Mutex<Track>>, Peer) {
    let track = Arc::<Mutex<Track>>::default();
    let (socket, peer) = sim.socket(far());
    let mut id = sim.core().adopt(socket, Rover(track.clone())).expect("it is connected");
    for _ in 0..dice.random_range(0..3) {
        id = sim.core().filter(id, Swap, FilterOptions::new()).expect("it is open");
    }
    let mut bev = sim.core().get(id).expect("it is open");
    if dice.random_bool(0.5) {
        bev.set_rate_limit(Some(per_second(500_000)));
    }
    if dice.random_bool(0.5) {
        bev.join(group).expect("a seat for each core");
    }
    if dice.random_bool(0.3) {
        bev.set_read_watermark(0, 500);
    }
    drop(bev);
    track.lock().expect("no panic while held").id = Some(id);
    (track, peer)
}

/// Moves it somewhere in one of three ways, unless it is on its way.
fn move_on(sim: &mut Simulation, dice: &mut impl Rng, track: &Arc<Mutex<Track>>) {
    let to = dice.random_range(0..CORES);
    let mut on = track.lock().expect("no panic while held");
    let Some(id) = on.id else { return };
    if dice.random_bool(0.4) {
        on.next = Some(to);
        return;
    }
    // Refused once it has been reset.
    let Ok(detached) = sim.core_at(id.core()).detach(id) else { return };
    on.id = None;
    drop(on);
    if dice.random_bool(0.5) {
        let sent = sim.core().handle().attach(to, detached, settle(track));
        drop(sent.expect("the core runs"));
        return;
    }
    // Somebody may keep it for a while.
    if dice.random_bool(0.3) {
        sim.run_for(ms(dice.random_range(0..30)));
    }
    let attached = sim.core_at(to).attach(detached, Rover(track.clone())).expect("it runs");
    let mut on = track.lock().expect("no panic while held");
    on.id = Some(attached);
    on.moves += 1;
}

/// One run; says how often the connection moved, and whether it came through.
fn run(seed: u64, faults: Faults) -> (usize, bool) {
    let mut dice = Xoshiro256PlusPlus::seed_from_u64(seed);
    let mut sim = Simulation::with_cores(CORES, seed, faults);
    sim.set_buffer_bytes(dice.random_range(300..20_000));
    let group = Group::builder(per_second(800_000)).clock(sim.clock()).seats(CORES).build();
    let group = group.expect("valid numbers");
    let (track, peer) = rover(&mut sim, &mut dice, &group);
    let sent = pattern(dice.random_range(1..60_000));
    let (mut at, mut came, mut has_ended) = (0, Vec::new(), false);
    let until = sim.now() + LIMIT;
    while !(has_ended && (sim.is_eof(peer) || came.len() == sent.len())) {
        assert!(sim.now() < until, "seed {seed}: {} of {} bytes came", came.len(), sent.len());
        at += sim.write(peer, &sent[at..sent.len().min(at + dice.random_range(1..5_000))]);
        if at == sent.len() && !std::mem::replace(&mut has_ended, true) {
            sim.half_close(peer);
        }
        sim.run_for(ms(dice.random_range(0..3)));
        came.extend(sim.read(peer));
        assert_eq!(came, sent[..came.len()], "seed {seed}: other bytes than were sent");
        if sim.is_reset(peer) {
            break;
        }
        if dice.random_bool(0.4) {
            move_on(&mut sim, &mut dice, &track);
        }
    }
    sim.run_for(ms(200));
    let through = came.len() == sent.len();
    let on = track.lock().expect("no panic while held");
    let (ends, errors) = (on.ends, on.errors);
    let told = if through { ends == 1 || errors == 1 } else { errors == 1 };
    assert!(told && ends <= 1 && errors <= 1, "seed {seed}: told {ends} ends, {errors} errors");
    let (id, moves) = (on.id.expect("it has arrived"), on.moves);
    drop(on);
    let bev = sim.core_at(id.core()).get(id);
    bev.into_iter().for_each(|mut bev| bev.close_now());
    sim.run_for(ms(10));
    assert_eq!(sim.held(), Held::default(), "seed {seed}: something is left");
    assert_eq!(Arc::strong_count(&track), 1, "seed {seed}: a handler stayed");
    let figures = (0..CORES).map(|core| sim.core_at(core).stats());
    let (off, over) = figures.fold((0, 0), |(off, over), it| {
        assert_eq!((it.connections, it.filters, it.handler_panics), (0, 0, 0), "seed {seed}");
        (off + it.handed_off, over + it.taken_over)
    });
    assert_eq!((off, over), (moves as u64, moves as u64), "seed {seed}");
    assert!(group.stats().seats.iter().all(|seat| !seat.taken), "seed {seed}: a member stayed");
    (moves, through)
}

#[test]
fn a_busy_echo_that_moves_at_any_moment_loses_and_reorders_nothing() {
    let mut moves = 0;
    for seed in 0..RUNS {
        let (moved, through) = run(seed, Faults { reset: 0.0, ..Faults::harsh() });
        assert!(through, "seed {seed}: something is missing");
        moves += moved;
    }
    assert!(moves > 20 * RUNS as usize, "it moved {moves} times in {RUNS} runs");
}

#[test]
fn a_connection_that_breaks_while_it_moves_says_so_once() {
    let broken = |seed| !run(seed, Faults { reset: 0.01, ..Faults::harsh() }).1;
    let count = (0..RUNS).filter(|&seed| broken(seed)).count();
    assert!(count > RUNS as usize / 4, "only {count} of {RUNS} broke");
}

/// Cores to move between.
const CORES: usize = 3;

/// Seeds of each test.
const RUNS: u64 = 200;
