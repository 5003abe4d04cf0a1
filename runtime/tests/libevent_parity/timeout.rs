//! Timeouts of an end whose partner neither takes nor sends.
//!
//! Upstream sets them on bufferevents without a socket, so that nothing can move. Here something
//! has to be full: more is written than sockets and filters hold.

use sluicegate::EventFlags;
use sluicegate::sim::Simulation;

use crate::rig::pattern;
use crate::rig::sim::ms;
use crate::{Link, READ, WRITE, over};

/// More than all buffers on the way hold together.
const SENT: usize = 8 << 20;

/// One end wants to write and read and can do neither; the other wants neither.
fn check_timeouts(link: Link, filtered: bool) {
    let mut sim = Simulation::new(1);
    let (mut a, mut b) = link.ends(&mut sim);
    if filtered {
        [a, b] = [a, b].map(|end| over(&mut sim, &end, ()));
    }
    b.bev(&mut sim).disable(READ);
    // Else it would rest from reading while that much waits.
    a.bev(&mut sim).set_max_output(SENT);
    a.bev(&mut sim).set_timeout(WRITE, Some(ms(100)));
    a.bev(&mut sim).set_timeout(READ, Some(ms(150)));
    a.write(&mut sim, &pattern(SENT));
    b.bev(&mut sim).set_timeout(WRITE, Some(ms(200)));
    b.bev(&mut sim).set_timeout(READ, Some(ms(100)));

    let start = sim.now();
    let [reading, writing] = [EventFlags::READING, EventFlags::WRITING];
    let both = [writing, reading].map(|side| side | EventFlags::TIMEOUT);
    // Timers stand on whole milliseconds, and what can move at first takes no time.
    for (until, events) in [(99, 0), (102, 1), (149, 1), (152, 2), (350, 2)] {
        sim.run_for(ms(until).saturating_sub(sim.now().saturating_since(start)));
        assert_eq!(a.log.borrow().events, both[..events], "after {until} ms");
    }
    assert!(!a.bev(&mut sim).output().is_empty(), "it had something to write");
    for direction in [READ, WRITE] {
        assert!(!a.bev(&mut sim).is_enabled(direction), "{direction:?}");
    }
    let heard = b.log.take();
    assert_eq!((heard.reads.len(), heard.writes, heard.events), (0, 0, vec![]));
    assert!(b.bev(&mut sim).is_enabled(WRITE));
}

/// regress_bufferevent.c `bufferevent_timeout`: one that waits to write and to read times out so.
///
/// Differs: the other, which has nothing to write, hears nothing. Upstream its write timeout runs
/// out all the same, though its peer has not been asked for anything.
#[test]
fn bufferevent_timeout() {
    check_timeouts(Link::Sockets, false);
}

/// regress_bufferevent.c `bufferevent_timeout_pair`: the same over a pair, as upstream.
#[test]
fn bufferevent_timeout_pair() {
    check_timeouts(Link::Pair, false);
}

/// regress_bufferevent.c `bufferevent_timeout_filter`: the same over a filter over a socket.
///
/// Differs as `bufferevent_timeout` does: upstream the filter that writes nothing times out, which
/// is a known defect of it.
#[test]
fn bufferevent_timeout_filter() {
    check_timeouts(Link::Sockets, true);
}

/// regress_bufferevent.c `bufferevent_timeout_filter_pair`: the same over a filter over a pair.
///
/// Differs as `bufferevent_timeout_filter` does.
#[test]
fn bufferevent_timeout_filter_pair() {
    check_timeouts(Link::Pair, true);
}
