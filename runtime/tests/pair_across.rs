//! Pairs between two cores: the same meaning as on one, with real threads and mail between them.

mod rig;

use std::sync::mpsc::{self, Receiver, Sender};
use std::time::Duration;

use rig::sim::per_second;
use rig::{Server, eventually, made, pattern, receive};
use sluicegate::{
    BevId, BevMut, Context, Direction, Event, EventFlags, FlushMode, Handler, MeteredOperation,
    Observer, PairOptions, Runtime, Shutdown, Stopped, Unlinked,
};

const READ: Direction = Direction::Read;
const WRITE: Direction = Direction::Write;

/// What an end reports.
#[derive(Debug, PartialEq)]
enum Report {
    Bytes(Vec<u8>),
    Event(EventFlags, bool),
    Gone,
}

/// Reports what it is called for; takes what comes in if told to.
struct Reporting {
    reports: Sender<Report>,
    takes: bool,
    /// Goes on when the core drains.
    stays: bool,
}

impl Reporting {
    fn tell(&self, report: Report) {
        // A test that is over hears nothing any more.
        let _nobody = self.reports.send(report);
    }
}

impl Handler for Reporting {
    fn on_read(&mut self, cx: &mut Context<'_>) {
        if self.takes {
            let mut me = cx.me();
            let mut input = me.input();
            let mut bytes = vec![0; input.len()];
            input.remove(&mut bytes);
            self.tell(Report::Bytes(bytes));
        }
    }

    fn on_event(&mut self, _: &mut Context<'_>, event: Event) {
        let source = event.error.as_ref().and_then(|error| error.get_ref());
        self.tell(Report::Event(event.flags, source.is_some_and(|error| error.is::<Unlinked>())));
    }

    fn on_drain(&mut self, cx: &mut Context<'_>) {
        if !self.stays {
            cx.me().close();
        }
    }
}

impl Drop for Reporting {
    fn drop(&mut self) {
        self.tell(Report::Gone);
    }
}

/// One end, and what it reports.
struct End {
    id: BevId,
    reports: Receiver<Report>,
}

impl End {
    /// Runs `task` with this end on its core.
    fn with<T: Send + 'static>(
        &self,
        server: &Server,
        task: impl FnOnce(&mut BevMut<'_>) -> T + Send + 'static,
    ) -> T {
        let id = self.id;
        let run =
            move |core: &mut sluicegate::Core| task(&mut core.get(id).expect("the end is open"));
        server.on_core(id.core(), run)
    }

    fn write(&self, server: &Server, bytes: &[u8]) {
        let bytes = bytes.to_vec();
        self.with(server, move |end| end.output().add(&bytes));
    }

    /// Bytes in the input and in the output.
    fn held(&self, server: &Server) -> (usize, usize) {
        self.with(server, |end| (end.input().len(), end.output().len()))
    }

    fn next(&self) -> Report {
        receive(&self.reports)
    }

    /// Bytes until there are `count`.
    fn bytes(&self, count: usize) -> Vec<u8> {
        let mut all = Vec::new();
        while all.len() < count {
            match self.next() {
                Report::Bytes(bytes) => all.extend(bytes),
                other => panic!("{other:?} after {} of {count} bytes", all.len()),
            }
        }
        all
    }

    /// Asserts that nothing but what is told now was to be told.
    fn assert_silent(&self) {
        let more = self.reports.try_recv();
        assert!(more.is_err(), "{more:?}");
    }
}

fn pair(server: &Server, options: PairOptions, takes: bool) -> (End, End) {
    pair_with(server, options, takes, false, |_| ())
}

fn pair_with(
    server: &Server,
    options: PairOptions,
    takes: bool,
    stays: bool,
    setup: impl FnOnce(&mut BevMut<'_>) + Send + 'static,
) -> (End, End) {
    let ((a, reports_a), (b, reports_b)) = (mpsc::channel(), mpsc::channel());
    let make_a = move |_: &mut BevMut<'_>| Reporting { reports: a, takes, stays };
    let make_b = move |end: &mut BevMut<'_>| {
        setup(end);
        Reporting { reports: b, takes, stays: false }
    };
    let pending = server.handle.pair(0, make_a, 1, make_b, options).expect("the cores run");
    let (a, b) = made(pending).expect("the cores run");
    (End { id: a, reports: reports_a }, End { id: b, reports: reports_b })
}

#[test]
fn bytes_cross_in_order_and_once_whatever_holds_them_back() {
    let server = Server::idle(2);
    for (high, rate) in [(0, None), (1000, None), (0, Some(20_000_000)), (70_000, Some(30_000_000))]
    {
        let (a, b) = pair_with(&server, PairOptions::new(), true, false, move |end| {
            end.set_read_watermark(0, high);
            end.set_rate_limit(rate.map(per_second));
        });
        a.with(&server, move |end| end.set_rate_limit(rate.map(per_second)));
        let sent = pattern(3_000_000);
        a.write(&server, &sent);
        b.write(&server, &sent[..500_000]);
        assert!(b.bytes(3_000_000) == sent, "mark {high}, rate {rate:?}");
        assert!(a.bytes(500_000) == sent[..500_000], "mark {high}, rate {rate:?}");
    }
}

#[test]
fn both_ends_know_each_other_and_answer_across() {
    struct Answer(Sender<u32>, u32);
    impl Handler for Answer {
        fn on_read(&mut self, cx: &mut Context<'_>) {
            self.1 += 1;
            let _nobody = self.0.send(self.1);
            let (mut input, mut output) = cx.buffers();
            output.append(&mut input);
        }
    }
    let server = Server::idle(2);
    let (counts, count) = mpsc::channel();
    let (counts_b, partners) = (counts.clone(), mpsc::channel());
    let tell = partners.0;
    let pending = server.handle.pair(
        0,
        move |end: &mut BevMut<'_>| {
            end.output().add(b"ping");
            Answer(counts, 0)
        },
        1,
        move |end: &mut BevMut<'_>| {
            tell.send(end.partner()).expect("the test waits");
            Answer(counts_b, 0)
        },
        PairOptions::new(),
    );
    let (a, b) = made(pending.expect("the cores run")).expect("the cores run");
    assert_eq!((a.core(), b.core()), (0, 1));
    assert_eq!(receive(&partners.1), Some(a), "the second knows the first from the start");
    while receive(&count) < 2000 {}
    let partner = server.on_core(0, move |core| core.get(a).expect("it is open").partner());
    assert_eq!(partner, Some(b));
    assert_eq!(server.sum(|core| core.connections), 0);
    eventually("both are counted", || server.sum(|core| core.pair_ends) == 2);
}

#[test]
fn what_is_under_way_never_exceeds_the_room_of_its_reader() {
    const ALL: usize = 2_000_000;
    let server = Server::idle(2);
    for (high, window) in [(0, 256 * 1024), (1000, 1000)] {
        let (a, b) = pair_with(&server, PairOptions::new(), true, false, move |end| {
            end.set_read_watermark(0, high);
        });
        // Credit that was given before it stopped reading may still be used.
        b.with(&server, |end| end.disable(READ));
        a.write(&server, &pattern(ALL));
        eventually("all the room is used", || a.held(&server).1 == ALL - window);
        a.with(&server, |_| ());
        assert_eq!((a.held(&server).1, b.held(&server).0), (ALL - window, 0));
        b.with(&server, |end| end.enable(READ));
        assert!(b.bytes(ALL) == pattern(ALL));
    }
}

#[test]
fn two_ends_that_are_backed_up_do_not_wait_for_each_other() {
    let server = Server::idle(2);
    let (a, b) = pair(&server, PairOptions::new(), true);
    for end in [&a, &b] {
        end.write(&server, &pattern(3_000_000));
    }
    assert!(a.bytes(3_000_000) == pattern(3_000_000));
    assert!(b.bytes(3_000_000) == pattern(3_000_000));
}

#[test]
fn a_flush_passes_marks_and_switches_of_the_other_core() {
    let server = Server::idle(2);
    for (mode, from_reader) in
        [(FlushMode::Normal, false), (FlushMode::Finished, false), (FlushMode::Finished, true)]
    {
        let (a, b) = pair_with(&server, PairOptions::new(), false, false, |end| {
            end.set_read_watermark(0, 10);
        });
        a.write(&server, &pattern(500_000));
        eventually("the mark is reached", || b.held(&server).0 == 10);
        b.with(&server, |end| end.disable(READ));
        a.with(&server, |end| end.disable(WRITE));
        let (end, direction) = if from_reader { (&b, READ) } else { (&a, WRITE) };
        end.with(&server, move |end| end.flush(direction, mode)).expect("they are linked");
        eventually("all has moved", || b.held(&server).0 == 500_000);
        if mode == FlushMode::Finished {
            let (told, side) =
                if from_reader { (&a, EventFlags::WRITING) } else { (&b, EventFlags::READING) };
            assert_eq!(told.next(), Report::Event(side | EventFlags::EOF, false));
        }
        let all = b.with(&server, |end| {
            let mut bytes = vec![0; 500_000];
            end.input().remove(&mut bytes);
            end.enable(READ);
            bytes
        });
        assert!(all == pattern(500_000));
        a.with(&server, |end| end.enable(WRITE));
        a.write(&server, b"goes on");
        eventually("it goes on after the flush", || b.held(&server).0 == 7);
        a.assert_silent();
        b.assert_silent();
    }
}

#[test]
fn a_close_writes_what_is_left_and_unlinks_the_other_core() {
    let server = Server::idle(2);
    for eof in [false, true] {
        let (a, b) = pair_with(&server, PairOptions::new().eof_on_close(eof), true, false, |end| {
            end.set_read_watermark(0, 1000);
        });
        a.write(&server, &pattern(700_000));
        a.with(&server, |end| end.close());
        assert_eq!(a.next(), Report::Gone);
        assert!(b.bytes(700_000) == pattern(700_000));
        if eof {
            assert_eq!(b.next(), Report::Event(EventFlags::READING | EventFlags::EOF, false));
        }
        assert_eq!(b.with(&server, |end| end.partner()), None);
        let refused = b.with(&server, |end| end.flush(WRITE, FlushMode::Normal));
        assert!(refused.is_err());
        b.assert_silent();
        for _ in 0..2 {
            b.write(&server, b"is anybody there?");
            let told = Report::Event(EventFlags::WRITING | EventFlags::ERROR, true);
            assert_eq!(b.next(), told);
        }
        b.with(&server, |end| end.close());
        assert_eq!(b.next(), Report::Gone);
        eventually("no end is left", || server.sum(|core| core.pair_ends) == 0);
    }
}

#[test]
fn ends_on_one_core_and_on_cores_that_are_not_there() {
    let server = Server::idle(2);
    let sink = |_: &mut BevMut<'_>| ();
    let pending = server.handle.pair(1, sink, 1, sink, PairOptions::new());
    let (a, b) = made(pending.expect("the core runs")).expect("the core runs");
    assert_eq!((a.core(), b.core()), (1, 1));
    let partner = server.on_core(1, move |core| core.get(b).expect("it is open").partner());
    assert_eq!(partner, Some(a));
    for (a, b, missing) in [(0, 2, 2), (7, 0, 7)] {
        let refused = server.handle.pair(a, sink, b, sink, PairOptions::new());
        assert_eq!(refused.map(|_| ()), Err(Stopped { core: missing }));
    }
}

#[test]
fn a_core_that_stops_unlinks_its_far_ends_and_takes_no_new_ones() {
    let mut builder = Runtime::builder().cores(2);
    builder = builder.drain_timeout(Duration::from_secs(3600));
    let runtime = builder.build().expect("cores can be built");
    let server = Server::run(([127, 0, 0, 1], 0).into(), runtime);
    let (a, b) = pair_with(&server, PairOptions::new().eof_on_close(true), true, true, |_| ());
    b.write(&server, b"last words");
    server.handle.shutdown(Shutdown::Drain);
    assert_eq!(a.bytes(10), b"last words");
    assert_eq!(a.next(), Report::Event(EventFlags::READING | EventFlags::EOF, false));
    assert_eq!(b.next(), Report::Gone);
    eventually("the second core has stopped", || server.handle.submit_to(1, |_| ()).is_err());
    assert_eq!(a.with(&server, |end| end.partner()), None);

    let (reports, told) = mpsc::channel();
    let make = move |_: &mut BevMut<'_>| Reporting { reports, takes: true, stays: true };
    let sink = |_: &mut BevMut<'_>| ();
    let pending = server.handle.pair(0, make, 1, sink, PairOptions::new());
    assert_eq!(made(pending.expect("the first runs")), Err(Stopped { core: 1 }));
    assert_eq!(receive(&told), Report::Gone, "the first end is closed");
    let refused = server.handle.pair(1, sink, 0, sink, PairOptions::new());
    assert_eq!(refused.map(|_| ()), Err(Stopped { core: 1 }));

    a.with(&server, |end| end.close());
    let report = server.join();
    assert!(report.cores.iter().all(|core| core.pair_ends == 0), "{report}");
}

#[test]
fn ends_that_close_at_any_time_leave_nothing_behind() {
    let server = Server::idle(2);
    for round in 0..300_u64 {
        let (a, b) = pair(&server, PairOptions::new().eof_on_close(round % 2 == 0), true);
        let now = round % 3 == 0;
        let close = move |end: &mut BevMut<'_>| {
            end.output().add(&[7; 1000]);
            if now { end.close_now() } else { end.close() }
        };
        let close_it = |id: BevId| {
            let task = move |core: &mut sluicegate::Core| {
                core.get(id).map(|mut end| close(&mut end)).unwrap_or_default();
            };
            server.handle.submit_to(id.core(), task).expect("the core runs");
        };
        match round % 5 {
            0 => [a.id, b.id].into_iter().for_each(close_it),
            1 => [b.id, a.id].into_iter().for_each(close_it),
            2 => {
                close_it(a.id);
                while a.next() != Report::Gone {}
                close_it(b.id);
            }
            _ => {
                b.write(&server, &[1; 100_000]);
                close_it(b.id);
                close_it(a.id);
            }
        }
    }
    eventually("no end is left", || server.sum(|core| core.pair_ends) == 0);
}

#[test]
fn a_core_that_dies_unlinks_its_far_ends() {
    /// Takes its core down with it, which only an observer can.
    struct Deadly;
    impl Observer for Deadly {
        fn metered(&mut self, operation: &MeteredOperation) {
            assert_eq!(operation.bev.core(), 0, "the second core is to die");
        }
    }
    let builder = Runtime::builder().cores(2).observer(|_| Box::new(Deadly));
    let running = builder.build().expect("cores can be built").start().expect("threads start");
    let (reports, told) = mpsc::channel();
    let make = move |end: &mut BevMut<'_>| {
        end.output().add(b"the last straw");
        Reporting { reports, takes: true, stays: true }
    };
    let metered = |end: &mut BevMut<'_>| end.set_rate_limit(Some(per_second(1_000_000)));
    let options = PairOptions::new().eof_on_close(true);
    running.handle().pair(0, make, 1, metered, options).expect("the cores run");
    assert_eq!(receive(&told), Report::Event(EventFlags::READING | EventFlags::ERROR, false));
    running.handle().shutdown(Shutdown::Now);
    let panicked = running.join().panicked;
    assert_eq!(panicked.len(), 1, "{panicked:?}");
    assert_eq!((panicked[0].core, panicked[0].label.as_str()), (1, "observer"));
    assert!(panicked[0].message.contains("the second core is to die"), "{panicked:?}");
}

#[test]
fn an_end_of_writing_follows_the_last_byte_and_the_answer_still_comes() {
    let server = Server::idle(2);
    let (a, b) = pair_with(&server, PairOptions::new(), true, false, |end| {
        end.set_read_watermark(0, 1000);
    });
    let end = Report::Event(EventFlags::READING | EventFlags::EOF, false);
    let request = pattern(300_000);
    let sent = request.clone();
    a.with(&server, move |a| {
        a.output().add(&sent);
        a.shutdown_write();
        a.shutdown_write();
    });
    assert!(b.bytes(request.len()) == request);
    assert_eq!(b.next(), end);
    b.write(&server, b"answer");
    assert_eq!(a.bytes(6), b"answer");
    a.write(&server, b"too late");
    assert_eq!(a.next(), Report::Event(EventFlags::WRITING | EventFlags::ERROR, false));
    b.with(&server, |b| b.shutdown_write());
    assert_eq!(a.next(), end);
    a.assert_silent();
    b.assert_silent();
    a.with(&server, |a| a.close());
    b.with(&server, |b| b.close());
    assert_eq!((a.next(), b.next()), (Report::Gone, Report::Gone));
}

#[test]
fn an_end_of_writing_is_told_though_a_close_follows() {
    let server = Server::idle(2);
    let (a, b) = pair(&server, PairOptions::new(), true);
    a.with(&server, |a| {
        a.output().add(b"last words");
        a.shutdown_write();
        a.close();
    });
    assert_eq!(b.bytes(10), b"last words");
    assert_eq!(b.next(), Report::Event(EventFlags::READING | EventFlags::EOF, false));
}
