//! Filters over sockets and pairs: bytes that become two and one again, errors, compression.

use sluicegate::sim::Simulation;
use sluicegate::{
    Buffer, EventFlags, Filter, FilterError, FilterOptions, FilterResult, FlushMode, PairOptions,
};

use crate::deflate::Deflate;
use crate::rig::ends::{Noting, settle, taking};
use crate::rig::pattern;
use crate::{Link, TURNS, WRITE, over};

/// What upstream sends through filters.
const SENT: usize = 8333;

/// Writes an 'x' before each byte, takes it away again, and is not to be called twice for output.
#[derive(Default)]
struct Spread {
    /// Adds a byte to what it is to take, while it takes it.
    appends: bool,
    calls: usize,
}

impl Filter for Spread {
    fn input(
        &mut self,
        src: &mut Buffer,
        dst: &mut Buffer,
        _: Option<usize>,
        _: FlushMode,
    ) -> FilterResult {
        let mut couples = vec![0; src.len() & !1];
        src.remove(&mut couples);
        for couple in couples.chunks(2) {
            assert_eq!(couple[0], b'x');
            dst.add(&couple[1..]);
        }
        FilterResult::Ok
    }

    fn output(
        &mut self,
        src: &mut Buffer,
        dst: &mut Buffer,
        _: Option<usize>,
        _: FlushMode,
    ) -> FilterResult {
        self.calls += 1;
        if self.calls > 1 {
            return FilterResult::Error(FilterError::new("called twice"));
        }
        let mut bytes = vec![0; src.len()];
        src.remove(&mut bytes);
        bytes.iter().for_each(|&byte| dst.add(&[b'x', byte]));
        if self.appends {
            src.add(b"-");
        }
        FilterResult::Ok
    }
}

/// Sends through two filters that undo each other; the first may append to what it takes.
fn check_filters(link: Link, appends: bool) {
    let mut sim = Simulation::new(1);
    let (low_a, low_b) = link.ends(&mut sim);
    let a = over(&mut sim, &low_a, Spread { appends, calls: 0 });
    let b = over(&mut sim, &low_b, Spread::default());
    for (top, low) in [(&a, &low_a), (&b, &low_b)] {
        let addr = low.bev(&mut sim).peer_addr();
        assert_eq!(addr.is_some(), link == Link::Sockets);
        let bev = top.bev(&mut sim);
        assert_eq!((bev.underlying(), bev.peer_addr()), (Some(low.id), addr));
    }
    a.write(&mut sim, &pattern(SENT));
    settle(&mut sim, TURNS);
    let (heard_a, heard_b) = (a.log.take(), b.log.take());
    assert!(heard_b.got == pattern(SENT), "{} bytes", heard_b.got.len());
    assert_eq!(heard_b.events, []);
    let failed = EventFlags::WRITING | EventFlags::ERROR;
    assert_eq!(heard_a.events, vec![failed; usize::from(appends)]);
    assert_eq!(heard_a.writes, usize::from(!appends), "once all is out");
}

/// regress_bufferevent.c `bufferevent_filters`: each byte becomes two and one again, over sockets.
#[test]
fn bufferevent_filters() {
    check_filters(Link::Sockets, false);
}

/// regress_bufferevent.c `bufferevent_pair_filters`: the same over a pair.
#[test]
fn bufferevent_pair_filters() {
    check_filters(Link::Pair, false);
}

/// regress_bufferevent.c `bufferevent_filters_disable`: what a filter appends, it is called for.
///
/// Not within the call, but once it has returned. Differs: upstream's filter writes to its own
/// bufferevent; here it cannot reach it, but for the buffer it takes from. And the error it then
/// answers with is told, once, where upstream passes over it in silence.
#[test]
fn bufferevent_filters_disable() {
    check_filters(Link::Sockets, true);
}

/// regress_bufferevent.c `bufferevent_pair_filters_disable`: the same over a pair.
#[test]
fn bufferevent_pair_filters_disable() {
    check_filters(Link::Pair, true);
}

/// regress_bufferevent.c `bufferevent_zlib`: a compressed stream that is finished comes out whole.
#[test]
fn bufferevent_zlib() {
    let mut sim = Simulation::new(2);
    let (a, b) = Link::Sockets.ends(&mut sim);
    let [a, b] = [a, b].map(|end| over(&mut sim, &end, Deflate::new()));
    a.write(&mut sim, &pattern(SENT));
    a.bev(&mut sim).flush(WRITE, FlushMode::Finished).expect("there is no pair below");
    settle(&mut sim, TURNS);
    let (heard_a, heard_b) = (a.log.take(), b.log.take());
    assert!(heard_b.got == pattern(SENT), "{} bytes", heard_b.got.len());
    assert_eq!((heard_a.events, heard_b.events), (vec![], vec![]));
    let sent = sim.core().stats().bytes_out;
    assert!((1..SENT as u64).contains(&sent), "{sent} bytes were sent");
}

/// regress_bufferevent.c `bufferevent_socket_filter_inactive`: a filter over no socket yet ends.
///
/// Differs: there is no bufferevent without a socket; this one waits for its connection.
#[test]
fn bufferevent_socket_filter_inactive() {
    let mut sim = Simulation::new(3);
    let addr = sim.listen("10.0.0.2:1".parse().expect("valid")).expect("it is free");
    let (handler, log) = Noting::new();
    let id = sim.core().connect(addr, handler).expect("it is simulated");
    let top = sim.core().filter(id, (), FilterOptions::new()).expect("it is open");
    sim.core().get(top).expect("it is open").close_now();
    settle(&mut sim, TURNS);
    assert!(sim.core().get(top).is_none() && sim.core().get(id).is_none());
    let stats = sim.core().stats();
    assert_eq!((stats.connections, stats.filters, stats.timers), (0, 0, 0));
    assert_eq!((stats.callbacks, log.take().events), (0, vec![]));
}

/// Begins what comes in with a header, and keeps to the limit.
struct Header(Vec<u8>);

impl Filter for Header {
    fn input(
        &mut self,
        src: &mut Buffer,
        dst: &mut Buffer,
        limit: Option<usize>,
        _: FlushMode,
    ) -> FilterResult {
        let header = std::mem::take(&mut self.0);
        dst.add(&header);
        let room = limit.unwrap_or(usize::MAX).saturating_sub(header.len());
        src.move_to(dst, room);
        FilterResult::Ok
    }
}

/// regress_bufferevent.c `bufferevent_filter_data_stuck`: what a mark held below comes up later.
#[test]
fn bufferevent_filter_data_stuck() {
    const MARK: usize = 4096;
    let mut sim = Simulation::new(4);
    let (a, b) = taking(&mut sim, PairOptions::new());
    for end in [&a, &b] {
        end.bev(&mut sim).set_read_watermark(0, MARK);
    }
    let top = over(&mut sim, &b, Header(vec![0; 20]));
    top.bev(&mut sim).set_read_watermark(0, MARK);
    a.write(&mut sim, &pattern(MARK));
    settle(&mut sim, TURNS);
    let heard = top.log.take();
    assert!(heard.got == [vec![0; 20], pattern(MARK)].concat());
    assert_eq!(heard.reads, [MARK, 20], "the mark was reached");
}
