//! Timers and timeouts: in order, cancelled for good, and a silent peer stops its direction only.

mod rig;

use std::io::Write;
use std::sync::mpsc::{self, Sender};
use std::time::{Duration, Instant};

use rig::{BOUND, Echo, Server, read_exactly, receive};
use sluicegate::sim::Simulation;
use sluicegate::{BevId, Clock, Context, Core, Direction, Event, EventFlags, Handler, Time};

const MS: Duration = Duration::from_millis(1);

#[test]
fn timers_fire_in_the_order_of_their_deadlines_and_not_before() {
    let server = Server::idle(1);
    let (fired, fires) = mpsc::channel();
    let start = Instant::now();
    server.on_core(0, move |core| {
        for delay in [60, 20, 40, 0, 20] {
            let fired = fired.clone();
            core.after(delay * MS, move |_| {
                fired.send((delay, start.elapsed())).expect("the test waits");
            });
        }
    });
    for expected in [0, 20, 20, 40, 60] {
        let (delay, elapsed) = receive(&fires);
        assert_eq!(delay, expected);
        assert!(elapsed >= delay * MS, "{delay} ms were over after {elapsed:?}");
    }
}

#[test]
fn timers_of_one_deadline_fire_in_the_order_they_were_set() {
    let server = Server::idle(1);
    let (fired, fires) = mpsc::channel();
    server.on_core(0, move |core| {
        for number in 0..100 {
            let fired = fired.clone();
            core.after(10 * MS, move |_| fired.send(number).expect("the test waits"));
        }
    });
    for number in 0..100 {
        assert_eq!(receive(&fires), number);
    }
}

#[test]
fn a_cancelled_timer_never_fires_and_cannot_be_cancelled_again() {
    let server = Server::idle(1);
    let (fired, fires) = mpsc::channel();
    let later = fired.clone();
    server.on_core(0, move |core| {
        let timer = core.after(5 * MS, move |_| fired.send("cancelled").expect("the test waits"));
        core.after(30 * MS, move |_| later.send("kept").expect("the test waits"));
        assert!(core.cancel(timer));
        assert!(!core.cancel(timer));
        assert_eq!(core.stats().timers, 1);
    });
    assert_eq!(receive(&fires), "kept");
    assert_eq!(fires.recv_timeout(BOUND), Err(mpsc::RecvTimeoutError::Disconnected));
}

#[test]
fn a_timer_may_set_the_next_and_cancel_one_that_has_fired_in_vain() {
    let server = Server::idle(1);
    let (fired, fires) = mpsc::channel();
    server.on_core(0, move |core| {
        let first = core.after(MS, |_| ());
        core.after(10 * MS, move |core| {
            assert!(!core.cancel(first), "it has fired");
            core.after(MS, move |_| fired.send(()).expect("the test waits"));
        });
    });
    receive(&fires);
}

/// Notes when it runs, takes 3 ms for that and comes back 10 ms after it was due.
fn tick(core: &mut Core, due: Time, clock: Clock, told: Sender<u64>) {
    told.send(core.now().as_nanos() / 1_000_000).expect("the test waits");
    clock.advance(3 * MS);
    let next = due + 10 * MS;
    core.at(next, move |core| tick(core, next, clock, told));
}

#[test]
fn a_timer_at_a_time_does_not_drift_and_one_that_has_passed_is_due_at_once() {
    let mut sim = Simulation::new(1);
    let (told, tells) = mpsc::channel();
    let (clock, start) = (sim.clock(), sim.now());
    clock.advance(5 * MS);
    sim.core().at(start, move |core| tick(core, start, clock, told));
    sim.run_for(40 * MS);
    assert_eq!(tells.try_iter().collect::<Vec<_>>(), [5, 10, 20, 30, 40]);
}

/// Says what it was told and answers the peer, but does not close.
struct Patient(Sender<(BevId, EventFlags, bool, bool)>);

impl Handler for Patient {
    fn on_read(&mut self, cx: &mut Context<'_>) {
        Echo.on_read(cx);
    }

    fn on_event(&mut self, cx: &mut Context<'_>, event: Event) {
        let id = cx.id();
        let mut me = cx.me();
        let enabled = [Direction::Read, Direction::Write].map(|one| me.is_enabled(one));
        me.output().add(b"too late");
        self.0.send((id, event.flags, enabled[0], enabled[1])).expect("the test waits");
    }
}

#[test]
fn a_silent_peer_times_out_and_only_reading_is_disabled() {
    let (told, tells) = mpsc::channel();
    let server = Server::start(1, move |conn| {
        conn.set_timeout(Direction::Read, Some(50 * MS));
        Patient(told.clone())
    });
    let start = Instant::now();
    let mut client = server.connect();
    let (id, flags, reads, writes) = receive(&tells);
    assert!(start.elapsed() >= 50 * MS, "it timed out after {:?}", start.elapsed());
    assert_eq!(flags, EventFlags::TIMEOUT | EventFlags::READING);
    assert!(!reads && writes);
    assert_eq!(read_exactly(&mut client, 8), b"too late", "writing goes on");

    client.write_all(b"now I speak").expect("the kernel takes it");
    for _ in 0..20 {
        let bytes_in = server.on_core(0, |core| core.stats().bytes_in);
        assert_eq!(bytes_in, 0, "a disabled direction was read");
    }
    server.on_core(0, move |core| {
        let mut conn = core.get(id).expect("nobody closed it");
        conn.set_timeout(Direction::Read, None);
        conn.enable(Direction::Read);
    });
    assert_eq!(read_exactly(&mut client, 11), b"now I speak");
}

#[test]
fn a_timeout_closes_unless_the_handler_knows_better() {
    let server = Server::start(1, |conn| {
        conn.set_timeout(Direction::Read, Some(20 * MS));
        Echo
    });
    let mut client = server.connect();
    rig::wait_for_close(&mut client);
    server.wait_until_empty();
}
