//! A run: two ends that are joined as planned, what is done to them, and what must hold meanwhile.
//!
//! After every turn: no byte was lost, repeated or exchanged on its way; no buffer is fuller than
//! its mark, no wire than its window. How it must end is in `verdict.rs`.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use sluicegate::sim::Simulation;
use sluicegate::{BevMut, Group, ListenOptions, Listener, PairOptions};

use super::case::{Link, Plan};
use super::hand::Shared;
use super::operation::{Act, Operation};
use super::side::{Life, Side};
use crate::rig::sim::{ADDR, ms, per_second, per_tick};

/// A simulation with two ends.
pub(crate) struct World {
    pub(crate) sim: Simulation,
    pub(crate) plan: Plan,
    pub(crate) sides: [Shared; 2],
    pub(crate) groups: [Group; 2],
    pub(crate) listener: Option<Listener>,
    /// Held once more by everything that must be gone in the end.
    pub(crate) life: Arc<()>,
}

impl World {
    pub(crate) fn new(plan: Plan) -> Self {
        let cores = plan.link.cores();
        let mut sim = Simulation::with_cores(cores, plan.seed, plan.weather.faults());
        sim.set_buffer_bytes(plan.buffer);
        let group = |config| Group::builder(config).clock(sim.clock()).seats(2).build();
        let groups = [per_second(3_000_000), per_tick(20_000, 50_000, ms(10))]
            .map(|config| group(config).expect("valid numbers"));
        let life = Arc::new(());
        let side = |side: usize| Shared::new(side, plan.link.core(side), groups.clone(), &life);
        let sides = [side(0), side(1)];
        let mut world = Self { sim, plan, sides, groups, listener: None, life };
        world.join();
        world
    }

    /// Joins the ends as planned; some are made later.
    fn join(&mut self) {
        let Self { sim, plan, sides: [a, b], .. } = self;
        let filters = plan.filters.clone();
        let make = |side: &Shared| {
            let (side, filters) = (side.clone(), filters.clone());
            move |bev: &mut BevMut<'_>| {
                let id = bev.id();
                let mut side = side.lock();
                side.begin(bev.core(), id, &filters);
                side.hand()
            }
        };
        match plan.link {
            Link::Pair(eof) => {
                let (hand_a, hand_b) = (a.lock().hand(), b.lock().hand());
                let options = PairOptions::new().eof_on_close(eof);
                let (id_a, id_b) = sim.core().pair(options, hand_a, hand_b);
                a.lock().begin(sim.core(), id_a, &filters);
                b.lock().begin(sim.core(), id_b, &filters);
            }
            Link::Across(eof) => {
                let options = PairOptions::new().eof_on_close(eof);
                let handle = sim.core().handle();
                handle.pair(0, make(a), 1, make(b), options).expect("the cores run");
            }
            Link::Socket | Link::Refused => {
                let mut addr: SocketAddr = ADDR.parse().expect("valid");
                if plan.link == Link::Socket {
                    let listener = sim.core().listen(addr, ListenOptions::new(), make(b));
                    let listener = listener.expect("it is free");
                    addr = listener.local_addr();
                    self.listener = Some(listener);
                }
                let id = sim.core().connect(addr, a.lock().hand()).expect("simulated");
                a.lock().begin(sim.core(), id, &filters);
            }
        }
    }

    /// Does one operation, and sees that all is well after it.
    pub(crate) fn step(&mut self, operation: Operation) {
        if let Act::Run(span) = operation.act {
            return self.run(Duration::from_micros(span));
        }
        let shared = self.sides[operation.at.side].clone();
        let mut side = shared.lock();
        if side.life == Life::Unborn && operation.act == Act::CloseNow {
            self.close_listener();
        }
        if let Act::Push(_) = operation.act {
            // On a pair it moves what the other end has written or is to read.
            self.sides[1 - operation.at.side].lock().flushed = true;
        }
        let core = self.sim.core_at(side.core);
        side.apply(core, operation);
        drop(side);
        self.check();
    }

    /// Lets time pass, and sees that all is well after every turn.
    pub(crate) fn run(&mut self, span: Duration) {
        let Self { sim, plan, sides, .. } = self;
        let mut turns = 0;
        sim.run_until(span, |sim| {
            turns += 1;
            assert!(turns < TURNS, "it spins: {turns} turns in {span:?}");
            check(sim, plan.link, sides);
            false
        });
    }

    fn check(&mut self) {
        check(&self.sim, self.plan.link, &self.sides);
    }

    pub(crate) fn close_listener(&mut self) {
        if let Some(listener) = self.listener.take() {
            listener.close();
        }
    }
}

/// What must hold at any time.
fn check(sim: &Simulation, link: Link, sides: &[Shared; 2]) {
    let mut sides = sides.each_ref().map(Shared::lock);
    for side in &mut sides {
        if let Some(wrong) = &side.wrong {
            panic!("side {}: {wrong}", side.side);
        }
        let Side { layers, flushed, is_away, .. } = &mut **side;
        for layer in layers.iter_mut().filter(|_| !*is_away) {
            let Some(lengths) = sim.lengths(layer.id) else { continue };
            if let Err(wrong) = layer.check(lengths, *flushed) {
                panic!("side {}: {wrong}", side.side);
            }
        }
    }
    for (writer, reader) in [(0, 1), (1, 0)] {
        check_wire(sim, link, &sides[writer], &sides[reader]);
    }
}

/// What is on a wire stays within its window, where nothing may pass that.
fn check_wire(sim: &Simulation, link: Link, writer: &Side, reader: &Side) {
    let bare = |side: &Side| side.layers.len() == 1 && side.life == Life::Open && !side.flushed;
    if link.is_socket() || !bare(writer) || !bare(reader) || writer.told.errors > 0 {
        return;
    }
    let lengths = |side: &Side| sim.lengths(side.layers[0].id);
    if let (Some((_, output)), Some((input, _))) = (lengths(writer), lengths(reader)) {
        let away = writer.written - output;
        let under_way = away.checked_sub(reader.got + input).expect("nothing is made of nothing");
        assert!(under_way <= WINDOW, "{under_way} bytes on a wire");
    }
}

/// More turns than any span between two operations takes that does not spin.
const TURNS: u32 = 20_000;

/// Bytes that may wait for an end of a pair, unless a mark lets more in.
const WINDOW: usize = 256 << 10;
