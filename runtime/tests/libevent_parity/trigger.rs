//! Callbacks that the application asks for itself.
//!
//! Upstream has four cases, as a callback may run at once or deferred, by the option of a
//! bufferevent or the flag of one trigger. Here all are deferred, so the four are told apart by
//! what they run on.

use std::cell::RefCell;
use std::rc::Rc;

use sluicegate::sim::Simulation;
use sluicegate::{Context, Event, EventFlags, Handler, Trigger};

use crate::rig::ends::{End, settle};
use crate::rig::filter::Swap;
use crate::{Link, READ, TURNS, over};

/// What was called, in order.
#[derive(Debug, PartialEq)]
enum Call {
    Read(usize),
    /// The first read callback has ended.
    Asked,
    Triggered,
    Event(EventFlags),
}

type Calls = Rc<RefCell<Vec<Call>>>;

/// Asks for another read callback, below the low mark.
struct First(Calls);

impl Handler for First {
    fn on_read(&mut self, cx: &mut Context<'_>) {
        let mut me = cx.me();
        let len = me.input().len();
        self.0.borrow_mut().push(Call::Read(len));
        me.set_handler(Second(self.0.clone())).expect("no filter stands over it");
        me.set_read_watermark(len + 1, 0);
        me.trigger(READ, Trigger::IfDue).expect("no filter stands over it");
        self.0.borrow_mut().push(Call::Asked);
    }
}

/// Makes up every event there is.
struct Second(Calls);

impl Handler for Second {
    fn on_read(&mut self, cx: &mut Context<'_>) {
        self.0.borrow_mut().push(Call::Triggered);
        cx.me().trigger_event(EventFlags::all()).expect("no filter stands over it");
    }

    fn on_event(&mut self, _: &mut Context<'_>, event: Event) {
        assert!(event.error.is_none());
        self.0.borrow_mut().push(Call::Event(event.flags));
    }
}

fn check_trigger(sim: &mut Simulation, from: &End, to: &End) {
    let calls = Calls::default();
    to.bev(sim).set_handler(First(calls.clone())).expect("no filter stands over it");
    from.write(sim, b"0123456789");
    settle(sim, TURNS);
    let connected = EventFlags::CONNECTED;
    assert_eq!(calls.take(), [Call::Read(10), Call::Asked]);
    to.bev(sim).trigger(READ, Trigger::Always).expect("no filter stands over it");
    assert_eq!(calls.take(), [], "not within the call that asks");
    settle(sim, TURNS);
    let rest = EventFlags::all() - connected;
    assert_eq!(calls.take(), [Call::Triggered, Call::Event(connected), Call::Event(rest)]);
    assert_eq!(to.bev(sim).input().len(), 10, "nothing but callbacks came of it");
}

/// The ends of a link, with a filter over the one that hears or without.
fn check_over(link: Link, filtered: bool) {
    let mut sim = Simulation::new(1);
    let (a, b) = link.ends(&mut sim);
    let top = if filtered { over(&mut sim, &b, Swap) } else { b };
    check_trigger(&mut sim, &a, &top);
}

/// regress_bufferevent.c `bufferevent_trigger`: a trigger heeds the mark unless told not to.
///
/// Differs: the callback never runs within the call that asks for it; the event made up comes as
/// two, CONNECTED first, as that is the order of events.
#[test]
fn bufferevent_trigger() {
    check_over(Link::Sockets, false);
}

/// regress_bufferevent.c `bufferevent_trigger_defer`: the same over a pair.
#[test]
fn bufferevent_trigger_defer() {
    check_over(Link::Pair, false);
}

/// regress_bufferevent.c `bufferevent_trigger_postpone`: the same over a filter over a socket.
#[test]
fn bufferevent_trigger_postpone() {
    check_over(Link::Sockets, true);
}

/// regress_bufferevent.c `bufferevent_trigger_defer_postpone`: the same over a filter over a pair.
#[test]
fn bufferevent_trigger_defer_postpone() {
    check_over(Link::Pair, true);
}
