//! What the seed presupposes and its examples use, and the options of a bufferevent.
//!
//! One test for a row of the tables "Options of a bufferevent" and "What the chapter presupposes",
//! or for an entry of a row, named for it. Marks, timeouts and triggers stand in `base.rs`,
//! sockets and connecting in `connect.rs`.

use std::cell::RefCell;
use std::fs;
use std::rc::Rc;
use std::sync::{Arc, mpsc};
use std::thread;

use sluicegate::{
    BevId, BevMut, Buffer, Context, Eol, EventFlags, File, Handle, Handler, ListenOptions,
    PairOptions, Priority, Runtime, Shutdown, Trigger,
};

use super::rig::ends::{Link, keeping, settle, taking};
use super::rig::{ANY, Echo, Server, connect, eventually, receive, round_trip};
use super::{READ, WRITE};
use sluicegate::sim::Simulation;

/// Turns in which anything here must have settled.
const TURNS: usize = 5000;

/// Asks for everything that could call it again, and notes when it is called and has returned.
struct Asking(Rc<RefCell<Vec<&'static str>>>);

impl Handler for Asking {
    fn on_read(&mut self, cx: &mut Context<'_>) {
        self.0.borrow_mut().push("read");
        let (mut input, mut output) = cx.buffers();
        output.append(&mut input);
        let mut me = cx.me();
        me.trigger(WRITE, Trigger::Always).expect("it is on top");
        me.trigger_event(EventFlags::FLUSHED).expect("it is on top");
        self.0.borrow_mut().push("returned");
    }

    fn on_write(&mut self, _: &mut Context<'_>) {
        self.0.borrow_mut().push("write");
    }

    fn on_event(&mut self, _: &mut Context<'_>, _: sluicegate::Event) {
        self.0.borrow_mut().push("event");
    }
}

/// `BEV_OPT_CLOSE_ON_FREE` on a pair: no meaning, as the seed says; freeing one end frees one end.
#[test]
fn bev_opt_close_on_free_of_a_pair() {
    let mut sim = Simulation::new(1);
    let (a, b) = keeping(&mut sim, PairOptions::new());
    a.write(&mut sim, b"left");
    a.bev(&mut sim).close();
    settle(&mut sim, TURNS);
    assert!(sim.core().get(a.id).is_none());
    assert_eq!((b.input(&mut sim).as_slice(), b.log.borrow().events.len()), (&b"left"[..], 0));
}

/// `BEV_OPT_DEFER_CALLBACKS`: always on, for every kind. What would call a handler while it or
/// anybody else runs calls it later, once.
#[test]
fn bev_opt_defer_callbacks() {
    for link in Link::ALL {
        let mut sim = Simulation::new(1);
        let (a, b) = link.ends(&mut sim);
        let calls = Rc::default();
        b.bev(&mut sim).set_handler(Asking(Rc::clone(&calls))).expect("it is on top");
        b.bev(&mut sim).trigger(READ, Trigger::Always).expect("it is on top");
        b.bev(&mut sim).trigger(READ, Trigger::Always).expect("it is on top");
        assert!(calls.borrow().is_empty(), "{link:?}: not from where it was asked for");
        settle(&mut sim, TURNS);
        assert_eq!(*calls.borrow(), ["read", "returned", "write", "event"], "{link:?}");
        calls.borrow_mut().clear();
        a.write(&mut sim, b"hello");
        settle(&mut sim, TURNS);
        assert_eq!(calls.borrow()[..2], ["read", "returned"], "{link:?}");
        assert_eq!(a.log.borrow().got, b"hello", "{link:?}");
    }
}

/// `BEV_OPT_THREADSAFE`, `BEV_OPT_UNLOCK_CALLBACKS`: not needed, one core owns each and there are
/// no locks. Other threads reach it by message; a handler need not be `Send`.
#[test]
fn bev_opt_threadsafe_and_unlock_callbacks() {
    fn crosses_threads<T: Clone + Send + Sync + 'static>(_: &T) {}
    fn is_a_name<T: Copy + Send + 'static>(_: T) {}
    let server = Server::idle(2);
    crosses_threads::<Handle>(&server.handle);
    let id: BevId = server.on_core(1, |core| {
        let not_send = Asking(Rc::default());
        core.pair(PairOptions::new(), not_send, Echo).0
    });
    is_a_name(id);
    let (written, was_written) = mpsc::channel();
    let handle = server.handle.clone();
    let other = thread::spawn(move || {
        let task = move |core: &mut sluicegate::Core| {
            let open = core.get(id).map(|mut bev| bev.output().add(b"from another thread"));
            written.send(open.is_some()).expect("the test waits");
        };
        handle.submit_to(id.core(), task)
    });
    other.join().expect("it does not panic").expect("the core runs");
    assert!(receive(&was_written));
    assert!(
        server.on_core(0, move |core| core.get(id).is_none()),
        "another core has no part in it"
    );
}

/// `event_base_new`, `event_base_loop`: `Runtime::builder().build()`, `run()`, which returns when
/// the runtime has been told to end, and `start()`, which returns at once.
#[test]
fn event_base_new_and_loop() {
    let runtime = Runtime::builder().cores(2).build().expect("cores can be built");
    let running = runtime.start().expect("threads can be started");
    assert_eq!(running.handle().core_count(), 2);
    running.handle().shutdown(Shutdown::Drain);
    let report = running.join();
    assert_eq!((report.cores.len(), report.panicked.len()), (2, 0));

    let mut runtime = Runtime::builder().cores(1).build().expect("cores can be built");
    let addr = runtime.listen(ANY, |_| Echo).expect("a port is free");
    let handle = runtime.handle();
    let run = thread::spawn(move || runtime.run());
    round_trip(&mut connect(addr), b"it runs");
    handle.shutdown(Shutdown::Drain);
    run.join().expect("it does not panic").expect("it ends well");
}

/// `evconnlistener_new_bind`, `_free`, `_get_base`, `LEV_OPT_*`: listening on all cores or one,
/// with options; a listener that is closed accepts nobody more and leaves those it has alone.
#[test]
fn evconnlistener_new_bind_and_free_and_get_base() {
    let mut runtime = Runtime::builder().cores(2).build().expect("cores can be built");
    let options = ListenOptions::new().backlog(1024).no_delay(true);
    let (bases, base) = mpsc::channel();
    let factory = move |conn: &mut BevMut<'_>| {
        bases.send(conn.core().index()).expect("the test waits");
        Echo
    };
    let listener = runtime.listen_with(ANY, options, factory).expect("a port is free");
    let server = Server::run(listener.local_addr(), runtime);
    let mut client = server.connect();
    round_trip(&mut client, b"accepted");
    assert!(receive(&base) < 2);
    listener.close();
    eventually("nobody is accepted any more", || {
        std::net::TcpStream::connect(listener.local_addr()).is_err()
    });
    round_trip(&mut client, b"still served");

    let alone = server.on_core(1, |core| {
        let listening = core.listen(ANY, ListenOptions::new(), |conn: &mut BevMut<'_>| {
            assert_eq!(conn.core().index(), 1);
            Echo
        });
        listening.expect("a port is free").local_addr()
    });
    round_trip(&mut connect(alone), b"on one core");
}

/// `bufferevent_setcb`, `_enable`, `_get_input`, `_write_buffer`, `_free`: a handler with both its
/// buffers in hand, replaced and closed, on every kind.
#[test]
fn bufferevent_setcb_enable_get_input_write_buffer_and_free() {
    for link in Link::ALL {
        let mut sim = Simulation::new(1);
        let (a, b) = link.ends(&mut sim);
        b.bev(&mut sim).disable(READ);
        b.bev(&mut sim).set_handler(Echo).expect("it is on top");
        a.write(&mut sim, b"echoed");
        settle(&mut sim, TURNS);
        assert!(a.log.borrow().got.is_empty(), "{link:?}");
        b.bev(&mut sim).enable(READ);
        settle(&mut sim, TURNS);
        assert_eq!(a.log.borrow().got, b"echoed", "{link:?}");
        let mut own = Buffer::from(b"moved, not copied");
        b.bev(&mut sim).output().append_buffer(&mut own);
        assert!(own.is_empty());
        b.bev(&mut sim).close();
        settle(&mut sim, TURNS);
        assert!(sim.core().get(b.id).is_none(), "{link:?}");
        assert_eq!(a.log.borrow().got, b"echoedmoved, not copied", "{link:?}");
    }
}

/// `evbuffer_get_length`, `pullup`, `add`, `prepend`, `drain`, `remove`, `remove_buffer`, `peek`,
/// `copyout_from`: the same of [`Buffer`].
#[test]
fn evbuffer_bytes() {
    let mut buffer = Buffer::new();
    buffer.add(b"cdefgh");
    buffer.prepend(b"ab");
    assert_eq!(buffer.len(), 8);
    assert_eq!(buffer.pull_up(3), Some(&b"abc"[..]));
    assert_eq!(buffer.pull_up(9), None);
    assert_eq!(buffer.peek(2..5).flatten().copied().collect::<Vec<_>>(), b"cde");
    let mut out = [0; 2];
    assert_eq!((buffer.copy_out(6, &mut out), out), (2, *b"gh"));
    assert_eq!(buffer.drain(1), 1);
    assert_eq!((buffer.remove(&mut out), out), (2, *b"bc"));
    let mut other = Buffer::from(b"0");
    assert_eq!(buffer.move_to(&mut other, 2), 2);
    assert_eq!((other.to_vec(), buffer.to_vec()), (b"0de".to_vec(), b"fgh".to_vec()));
}

/// `evbuffer_reserve_space`, `evbuffer_commit_space`: room in one extent or several, of which fewer
/// bytes may be committed, or none.
#[test]
fn evbuffer_reserve_and_commit() {
    let mut buffer = Buffer::new();
    let mut room = buffer.reserve(10).expect("it is not much");
    room.first()[..4].copy_from_slice(b"some");
    room.commit(4);
    drop(buffer.reserve(1000).expect("it is not much"));
    let mut room = buffer.reserve_extents(100_000).expect("it is not much");
    assert!(room.extents().map(|extent| extent.len()).sum::<usize>() >= 100_000);
    room.extents().for_each(|extent| extent.fill(7));
    room.commit(100_000);
    assert_eq!((buffer.len(), buffer.search(b"e\x07")), (100_004, Some(3)));
}

/// `evbuffer_search`, `evbuffer_search_range`, `evbuffer_search_eol`, `evbuffer_readln` with its
/// five styles of line ends.
#[test]
fn evbuffer_search_and_readln() {
    let text = b"one\r\n\ntwo\nthree\0rest";
    let lines = |eol| {
        let mut buffer = Buffer::from(text);
        let mut lines = Vec::new();
        while let Some(line) = buffer.read_line(eol) {
            lines.push(String::from_utf8(line).expect("it is ASCII"));
        }
        (lines.join("|"), buffer.len())
    };
    assert_eq!(lines(Eol::Any), ("one|two".to_owned(), 10));
    assert_eq!(lines(Eol::Crlf), ("one||two".to_owned(), 10));
    assert_eq!(lines(Eol::CrlfStrict), ("one".to_owned(), 15));
    assert_eq!(lines(Eol::Lf), ("one\r||two".to_owned(), 10));
    assert_eq!(lines(Eol::Nul), ("one\r\n\ntwo\nthree".to_owned(), 4));
    let buffer = Buffer::from(text);
    assert_eq!((buffer.search(b"t"), buffer.search(b"four")), (Some(6), None));
    assert_eq!(buffer.search_range(b"t", 7..20), Some(10));
    assert_eq!(buffer.search_eol(0, Eol::Crlf), Some(3..5));
}

/// `evbuffer_add_reference`, `evbuffer_add_buffer_reference`, `evbuffer_add_file`: nothing is
/// copied, what is added is let go of once, and a file is read where its bytes are needed.
#[test]
fn evbuffer_add_reference_and_file() {
    let page: Arc<[u8]> = Arc::from(&b"shared"[..]);
    let (mut first, mut second) = (Buffer::new(), Buffer::new());
    first.add_shared(page.clone());
    assert_eq!(first.first().as_ptr(), page.as_ptr());
    second.append_shared(&mut first);
    assert_eq!(Arc::strong_count(&page), 3);
    drop((first, second));
    assert_eq!(Arc::strong_count(&page), 1);

    let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
    let bytes = fs::read(manifest).expect("it is there");
    let file = fs::File::open(manifest).and_then(File::new).expect("it is there");
    let mut sim = Simulation::new(1);
    let (a, b) = taking(&mut sim, PairOptions::new());
    let file = Arc::new(file);
    a.bev(&mut sim).output().add_source(file.clone()).expect("its length is known");
    settle(&mut sim, TURNS);
    assert_eq!((&b.log.borrow().got, Arc::strong_count(&file)), (&bytes, 1));
}

/// `bufferevent_priority_set`: of those that are ready in a turn the more important go first.
#[test]
fn bufferevent_priority_set() {
    let order = [Priority::Low, Priority::High, Priority::Normal];
    let mut sim = Simulation::new(1);
    let calls = Rc::default();
    for priority in order {
        let (a, _) = sim.core().pair(PairOptions::new(), Naming(priority, Rc::clone(&calls)), ());
        let mut bev = sim.core().get(a).expect("it is open");
        assert_eq!(bev.priority(), Priority::Normal);
        bev.set_priority(priority);
        bev.trigger(READ, Trigger::Always).expect("no filter stands over it");
    }
    settle(&mut sim, TURNS);
    assert_eq!(*calls.borrow(), [Priority::High, Priority::Normal, Priority::Low]);
}

/// Notes its priority when it is called.
struct Naming(Priority, Rc<RefCell<Vec<Priority>>>);

impl Handler for Naming {
    fn on_read(&mut self, _: &mut Context<'_>) {
        self.1.borrow_mut().push(self.0);
    }
}
