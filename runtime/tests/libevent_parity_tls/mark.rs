//! Both ends take little at a time out of an input with a mark: neither is left with bytes that
//! nobody brings it.

use std::cell::RefCell;
use std::rc::Rc;

use sluicegate::sim::Simulation;
use sluicegate::{Context, Event, EventFlags, Handler, TlsOptions, TlsState};

use crate::On;
use crate::rig::ends::taking_sockets;
use crate::rig::sim::LIMIT;
use crate::rig::tls::{Configs, VERSIONS};

/// The high mark of both inputs.
const MARK: usize = 5 << 10;
/// Bytes that a call takes.
const TAKEN: usize = 512;
/// Bytes that a call puts out, more than a call takes.
const SENT: usize = 1 << 10;
/// Bytes that each end is to get.
const DUE: usize = 40 << 10;

/// What an end has got and put out.
#[derive(Clone, Copy, Debug, Default)]
struct Moved {
    got: usize,
    sent: usize,
    /// Most that was in the input.
    most: usize,
    connected: usize,
}

/// The bytes of a stream, without end.
fn stream(from: usize, count: usize) -> Vec<u8> {
    (from..from + count).map(|at| (at % 251) as u8).collect()
}

/// Takes little and puts out more, whatever it is called for.
struct Taker(Rc<RefCell<Moved>>);

impl Taker {
    fn transfer(&self, cx: &mut Context<'_>) {
        let mut moved = self.0.borrow_mut();
        let (mut input, mut output) = cx.buffers();
        moved.most = moved.most.max(input.len());
        let mut taken = [0; TAKEN];
        let count = input.remove(&mut taken);
        assert_eq!(taken[..count], stream(moved.got, count));
        moved.got += count;
        // Else both would wait for the other to take what is more than may wait.
        if moved.sent < 2 * DUE {
            output.add(&stream(moved.sent, SENT));
            moved.sent += SENT;
        }
    }
}

impl Handler for Taker {
    fn on_read(&mut self, cx: &mut Context<'_>) {
        self.transfer(cx);
    }

    fn on_write(&mut self, cx: &mut Context<'_>) {
        self.transfer(cx);
    }

    fn on_event(&mut self, _: &mut Context<'_>, event: Event) {
        assert_eq!(event.flags, EventFlags::CONNECTED, "{:?}", event.error);
        self.0.borrow_mut().connected += 1;
    }
}

fn check_marks(on: On) {
    for version in VERSIONS {
        let mut sim = Simulation::new(5);
        let (low_a, low_b) = taking_sockets(&mut sim);
        let (ssl_a, ssl_b) = Configs::new(version).objects();
        let ends = [(low_a, ssl_a, TlsState::Connecting), (low_b, ssl_b, TlsState::Accepting)];
        let callbacks = sim.core().stats().callbacks;
        let both = ends.map(|(low, ssl, state)| {
            let moved: Rc<RefCell<Moved>> = Rc::default();
            let (taker, options) = (Taker(moved.clone()), TlsOptions::new());
            let id = on.secure(&mut sim, low.id, (ssl, state), options, taker);
            let mut bev = sim.core().get(id).expect("it is open");
            bev.set_read_watermark(0, MARK);
            bev.output().add(&stream(0, SENT));
            moved.borrow_mut().sent = SENT;
            moved
        });
        assert_eq!(sim.core().stats().callbacks, callbacks, "nobody from within the calls");
        let over = |_: &mut Simulation| both.iter().all(|moved| moved.borrow().got >= DUE);
        let came = sim.run_until(LIMIT, over);
        assert!(came, "{on:?} {version:?}: it stands still: {both:?}");
        for moved in &both {
            let moved = *moved.borrow();
            assert!(moved.most <= MARK && moved.most > TAKEN, "{on:?} {version:?}: {moved:?}");
            assert_eq!(moved.connected, 1, "{on:?} {version:?}");
        }
    }
}

/// regress_ssl.c `bufferevent_wm`: with marks at both ends 40 KiB come through, next to sockets.
#[test]
fn bufferevent_wm() {
    check_marks(On::Socket);
}

/// regress_ssl.c `bufferevent_wm_filter`: the same over bufferevents.
#[test]
fn bufferevent_wm_filter() {
    check_marks(On::Filter);
}

/// regress_ssl.c `bufferevent_wm_defer`: nobody is called from within what he calls.
///
/// Differs: an option upstream, the only mode here.
#[test]
fn bufferevent_wm_defer() {
    check_marks(On::Socket);
}

/// regress_ssl.c `bufferevent_wm_filter_defer`: the same over bufferevents.
///
/// Differs: an option upstream, the only mode here.
#[test]
fn bufferevent_wm_filter_defer() {
    check_marks(On::Filter);
}
