//! Sources that fail in the middle of an output: what they gave goes first, whatever it goes
//! through, and then the peer learns that it is not all.

mod rig;

use std::io::{self, ErrorKind};
use std::sync::Arc;

use rig::ends::{End, Link, Noting, settle, taking, taking_sockets};
use rig::filter::Swap;
use rig::sim::{ms, per_second};
use sluicegate::sim::Simulation;
use sluicegate::{
    Buffer, Direction, EventFlags, Filter, FilterOptions, FilterResult, FlushMode, PairOptions,
    Source,
};

/// Bytes that count up, of which those from some place on cannot be read.
struct Broken {
    len: usize,
    breaks_at: usize,
}

impl Source for Broken {
    fn len(&self) -> u64 {
        self.len as u64
    }

    fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<usize> {
        let offset = offset as usize;
        if offset >= self.breaks_at {
            return Err(ErrorKind::TimedOut.into());
        }
        let count = out.len().min(self.breaks_at - offset);
        out[..count].iter_mut().zip(offset..).for_each(|(byte, place)| *byte = place as u8);
        Ok(count)
    }
}

/// Passes whole tens of bytes, except at the end.
struct Tens;

impl Filter for Tens {
    fn output(
        &mut self,
        src: &mut Buffer,
        dst: &mut Buffer,
        _: Option<usize>,
        mode: FlushMode,
    ) -> FilterResult {
        let len = if mode == FlushMode::Finished { src.len() } else { src.len() / 10 * 10 };
        src.move_to(dst, len);
        if len == 0 { FilterResult::NeedMore } else { FilterResult::Ok }
    }
}

fn put_over(sim: &mut Simulation, end: &mut End, filter: impl Filter + 'static) {
    end.id = sim.core().filter(end.id, filter, FilterOptions::new()).expect("it is open");
}

/// Two ends of a kind, the first of which writes.
fn ends(sim: &mut Simulation, kind: &str) -> (End, End) {
    let options = PairOptions::new().eof_on_close(true);
    let (mut writer, mut reader) =
        if kind.contains("socket") { taking_sockets(sim) } else { taking(sim, options) };
    if kind.contains("swap") {
        put_over(sim, &mut writer, Swap);
        put_over(sim, &mut reader, Swap);
    }
    if kind.contains("tens") {
        put_over(sim, &mut writer, Tens);
    }
    (writer, reader)
}

#[test]
fn what_a_source_gave_before_it_failed_goes_first() {
    for (kind, rest) in [
        ("socket", 0),
        ("pair", 0),
        ("swap over a socket", 0),
        ("swap over a pair", 0),
        ("tens over a pair", 3),
        ("tens over swap over a pair", 3),
    ] {
        for breaks_at in [0, 3, 100_003] {
            let mut sim = Simulation::new(1);
            let (writer, reader) = ends(&mut sim, kind);
            let len = 250_000;
            let source = Arc::new(Broken { len, breaks_at });
            let mut bev = writer.bev(&mut sim);
            bev.output().add(b"0123456789");
            bev.output().add_source(source).expect("within the limit");
            bev.output().add(b"never seen");
            drop(bev);
            settle(&mut sim, 1000);
            let told = writer.log.take();
            assert_eq!(told.events, [EventFlags::WRITING | EventFlags::ERROR], "{kind}");
            assert_eq!(told.errors, [ErrorKind::TimedOut], "{kind}");
            let got = std::mem::take(&mut reader.log.borrow_mut().got);
            let rest = if breaks_at > 0 { rest } else { 0 };
            assert_eq!(got.len(), 10 + breaks_at - rest, "{kind}, {breaks_at}");
            let (head, tail) = got.split_at(10);
            assert!(tail.iter().zip(0..).all(|(&byte, place)| byte == place as u8), "{kind}");
            assert_eq!(head, b"0123456789");

            writer.bev(&mut sim).close();
            settle(&mut sim, 1000);
            let heard = reader.log.take();
            assert_eq!(heard.events, [EventFlags::READING | EventFlags::ERROR], "{kind}");
            assert_eq!(heard.errors, [ErrorKind::ConnectionReset], "{kind}");
        }
    }
}

#[test]
fn a_source_is_not_read_before_there_is_room_for_it() {
    let mut sim = Simulation::new(1);
    let (writer, reader) = ends(&mut sim, "pair");
    reader.bev(&mut sim).set_read_watermark(0, 10);
    reader.log.borrow_mut().keeps = true;
    writer.bev(&mut sim).output().add(&[7; 10]);
    settle(&mut sim, 1000);
    // It would fail if it were.
    let source = Arc::new(Broken { len: 10, breaks_at: 0 });
    writer.bev(&mut sim).output().add_source(source).expect("within the limit");
    settle(&mut sim, 1000);
    assert!(writer.log.take().events.is_empty());
    reader.take(&mut sim, 10);
    settle(&mut sim, 1000);
    assert_eq!(writer.log.take().errors, [ErrorKind::TimedOut]);
}

#[test]
fn a_socket_that_lacks_what_a_source_did_not_give_is_reset_when_another_comes() {
    let mut sim = Simulation::new(2);
    let [(old, first), (new, second)] =
        [(); 2].map(|()| sim.socket("10.0.0.9:4000".parse().expect("an address")));
    let (handler, log) = Noting::new();
    let id = sim.core().adopt(old, handler).expect("it is connected");
    let writer = End { id, log };
    let source = Arc::new(Broken { len: 20, breaks_at: 10 });
    writer.bev(&mut sim).output().add_source(source).expect("within the limit");
    settle(&mut sim, 1000);
    assert_eq!(writer.log.borrow().errors, [ErrorKind::TimedOut]);
    writer.bev(&mut sim).set_socket(new).expect("it is open");
    writer.write(&mut sim, b"whole");
    settle(&mut sim, 1000);
    assert!(sim.is_reset(first), "ten bytes are not its stream");
    assert_eq!(sim.read(second), b"whole");
    assert!(!sim.is_reset(second));
}

#[test]
fn an_end_of_writing_does_not_pass_what_a_source_did_not_give() {
    for link in Link::ALL {
        for breaks_at in [0, 3, 100_003] {
            let mut sim = Simulation::new(3);
            let (writer, reader) = link.ends(&mut sim);
            let limit = per_second(1_000_000).with_burst(1000).expect("valid");
            let mut bev = writer.bev(&mut sim);
            bev.set_rate_limit(Some(limit));
            bev.output().add(b"0123456789");
            let source = Arc::new(Broken { len: 250_000, breaks_at });
            bev.output().add_source(source).expect("within the limit");
            bev.shutdown_write();
            drop(bev);
            for _ in 0..500 {
                // Whoever looks in between has the core look again.
                writer.bev(&mut sim).enable(Direction::Read);
                sim.run_for(ms(1));
            }
            let context = format!("{link:?}, {breaks_at}");
            assert_eq!(writer.log.borrow().errors, [ErrorKind::TimedOut], "{context}");
            assert_eq!(reader.log.borrow().got.len(), 10 + breaks_at, "{context}");
            assert_eq!(reader.log.borrow().events, [], "{context}");
        }
    }
}

#[test]
fn a_source_that_panics_fails_its_stream_and_nothing_else() {
    struct Fragile;
    impl Source for Fragile {
        fn len(&self) -> u64 {
            10
        }

        fn read_at(&self, _: u64, _: &mut [u8]) -> io::Result<usize> {
            panic!("asked to in read_at")
        }
    }
    for link in Link::ALL {
        let mut sim = Simulation::new(4);
        let (writer, reader) = link.ends(&mut sim);
        let mut bev = writer.bev(&mut sim);
        bev.output().add(b"first");
        bev.output().add_source(Arc::new(Fragile)).expect("within the limit");
        drop(bev);
        settle(&mut sim, 1000);
        let told = writer.log.take();
        assert_eq!(told.events, [EventFlags::WRITING | EventFlags::ERROR], "{link:?}");
        assert_eq!(reader.log.take().got, b"first", "{link:?}");
        reader.write(&mut sim, b"and the answer");
        settle(&mut sim, 1000);
        assert_eq!(writer.log.take().got, b"and the answer", "{link:?}");
    }
}
