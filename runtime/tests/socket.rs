//! Sockets into cores and out again: nothing is lost on the way, and nothing of the old is told of
//! the new.

mod rig;

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::rc::Rc;

use rig::ends::{End, Log, Noting, over, settle, taking};
use rig::sim::{LIMIT, ms, per_tick};
use rig::{ANY, BOUND, Echo, Server, pattern, read_exactly, read_to_end, round_trip};
use sluicegate::sim::{Faults, Peer, Simulation};
use sluicegate::{
    BevId, Context, Direction, Error, EventFlags, Filter, FilterOptions, Group, Handler,
    PairOptions, Socket, SocketError, Suspend, TakenSocket,
};

const READ: Direction = Direction::Read;
const WRITE: Direction = Direction::Write;

/// Turns in which anything here must have settled.
const TURNS: usize = 5000;

/// Where the peers of adopted sockets are.
fn far() -> SocketAddr {
    SocketAddr::from(([10, 0, 0, 9], 4000))
}

/// A bufferevent over a simulated socket, and the other end.
fn adopted(sim: &mut Simulation) -> (End, Peer) {
    let (handler, log) = Noting::new();
    let (socket, peer) = sim.socket(far());
    let id = sim.core().adopt(socket, handler).expect("it is connected");
    (End { id, log }, peer)
}

fn unconnected(sim: &mut Simulation) -> End {
    let (handler, log) = Noting::new();
    End { id: sim.core().unconnected(handler), log }
}

fn take(sim: &mut Simulation, id: BevId) -> Result<TakenSocket, SocketError> {
    sim.core().get(id).expect("it is open").into_socket()
}

/// All that has come to a peer, after a while.
fn arrived(sim: &mut Simulation, peer: Peer) -> Vec<u8> {
    let mut bytes = Vec::new();
    sim.run_until(ms(50), |sim| {
        bytes.extend(sim.read(peer));
        false
    });
    bytes
}

struct Identity;
impl Filter for Identity {}

#[test]
fn an_adopted_socket_is_like_any_other_but_says_no_connected() {
    let mut sim = Simulation::new(1);
    let (end, peer) = adopted(&mut sim);
    assert_eq!(end.bev(&mut sim).peer_addr(), Some(far()));
    sim.write(peer, b"there");
    end.write(&mut sim, b"and back");
    assert_eq!(arrived(&mut sim, peer), b"and back");
    sim.half_close(peer);
    settle(&mut sim, TURNS);
    let heard = end.log.take();
    assert_eq!(
        (heard.got, heard.events),
        (b"there".to_vec(), vec![EventFlags::READING | EventFlags::EOF])
    );
}

#[test]
fn a_socket_taken_out_leaves_nothing_behind_and_loses_nothing() {
    let mut sim = Simulation::new(2);
    let group = Group::builder(per_tick(100, 100, ms(100))).clock(sim.clock()).build();
    let group = group.expect("valid numbers");
    let (end, peer) = adopted(&mut sim);
    end.log.borrow_mut().keeps = true;
    end.bev(&mut sim).join(&group).expect("a seat");
    end.bev(&mut sim).set_timeout(READ, Some(LIMIT));
    sim.write(peer, b"came early, ");
    end.write(&mut sim, &pattern(5000));
    sim.run_for(ms(50));
    sim.write(peer, b"came late");
    let TakenSocket { socket, input, mut output } = take(&mut sim, end.id).expect("it is there");
    assert_eq!(input.first(), b"came early, ");
    assert_eq!(output.len(), 4900, "the limit held the rest back");
    assert!(sim.core().get(end.id).is_none());
    sim.run_for(ms(5));
    assert_eq!(sim.core().stats().connections, 0);
    assert_eq!(sim.core().stats().timers, 0);
    assert!(group.stats().seats.iter().all(|seat| !seat.taken));
    assert_eq!(Rc::strong_count(&end.log), 1, "the handler is gone");
    assert!(!sim.is_eof(peer) && !sim.is_reset(peer));

    let (handler, log) = Noting::new();
    let id = sim.core().adopt(socket, handler).expect("it is connected");
    sim.core().get(id).expect("it is open").output().append_buffer(&mut output);
    assert_eq!(arrived(&mut sim, peer), pattern(5000));
    assert_eq!(log.borrow().got, b"came late", "it came while nobody had the socket");
}

#[test]
fn a_handler_may_take_its_own_socket() {
    /// Gives its socket to another handler.
    struct HandOver(Log);
    impl Handler for HandOver {
        fn on_read(&mut self, cx: &mut Context<'_>) {
            let mut taken = cx.me().into_socket().expect("it is there");
            let heir = cx.core().adopt(taken.socket, Noting(self.0.clone())).expect("connected");
            cx.get(heir).expect("it is open").output().append_buffer(&mut taken.input);
        }
    }
    let mut sim = Simulation::new(3);
    let log = Log::default();
    let (socket, peer) = sim.socket(far());
    sim.core().adopt(socket, HandOver(log.clone())).expect("it is connected");
    sim.write(peer, b"first");
    assert_eq!(arrived(&mut sim, peer), b"first");
    sim.write(peer, b"second");
    sim.run_for(ms(5));
    assert_eq!((log.borrow().got.clone(), sim.core().stats().connections), (b"second".to_vec(), 1));
}

#[test]
fn what_has_no_socket_to_give_says_why() {
    let mut sim = Simulation::new(4);
    let (a, _) = taking(&mut sim, PairOptions::new());
    assert!(matches!(take(&mut sim, a.id), Err(SocketError::InMemory)));
    let end = unconnected(&mut sim);
    assert!(matches!(take(&mut sim, end.id), Err(SocketError::Unconnected)));
    let connecting = sim.core().connect(far(), ()).expect("it is simulated");
    assert!(matches!(take(&mut sim, connecting), Err(SocketError::Connecting)));
    let (end, _) = adopted(&mut sim);
    let top = sim.core().filter(end.id, Identity, FilterOptions::new()).expect("it is open");
    assert!(matches!(take(&mut sim, end.id), Err(SocketError::Taken(over)) if over.0 == top));
    assert!(matches!(take(&mut sim, top), Err(SocketError::InMemory)));
    let (end, _) = adopted(&mut sim);
    let mut bev = end.bev(&mut sim);
    bev.output().add(b"left");
    bev.close();
    assert!(matches!(bev.into_socket(), Err(SocketError::Closing)));
}

#[test]
fn what_takes_no_socket_says_why_and_the_socket_is_closed() {
    let mut sim = Simulation::new(5);
    let (a, _) = taking(&mut sim, PairOptions::new());
    let (closing, old) = adopted(&mut sim);
    let (under, kept) = adopted(&mut sim);
    sim.core().filter(under.id, Identity, FilterOptions::new()).expect("it is open");
    closing.write(&mut sim, b"left");
    closing.bev(&mut sim).close();
    for (id, why) in [(closing.id, "closing"), (a.id, "through another one"), (under.id, "filter")]
    {
        let (socket, peer) = sim.socket(far());
        let refused = sim.core().get(id).expect("it lives").set_socket(socket);
        let message = refused.expect_err(why).to_string();
        assert!(message.contains(why), "{message}");
        sim.run_for(ms(5));
        assert!(sim.is_eof(peer), "{why}");
    }
    assert_eq!(arrived(&mut sim, old), b"left");
    assert!(!sim.is_eof(kept));

    let mut other = Simulation::new(6);
    let (foreign, _) = other.socket(far());
    assert!(matches!(sim.core().adopt(foreign, ()), Err(Error::Socket(SocketError::Driver(_)))));
    let (socket, peer) = sim.socket(far());
    sim.reset(peer);
    sim.run_for(ms(5));
    let (handler, log) = Noting::new();
    let refused = sim.core().adopt(socket, handler);
    assert!(matches!(refused, Err(Error::Socket(SocketError::NotConnected(_)))));
    for end in [a, closing, under] {
        sim.core().get(end.id).into_iter().for_each(|mut bev| bev.close_now());
    }
    settle(&mut sim, TURNS);
    assert_eq!(sim.core().stats().connections, 0, "nothing is left of what was refused");
    assert_eq!(Rc::strong_count(&log), 1);
}

#[test]
fn a_stack_that_closes_gets_no_socket_at_its_bottom() {
    let mut sim = Simulation::new(12);
    let end = unconnected(&mut sim);
    let top = sim.core().filter(end.id, Identity, FilterOptions::new()).expect("it is open");
    let (socket, _) = sim.socket(far());
    let mut bev = sim.core().get(top).expect("it is open");
    bev.output().add(b"left");
    bev.close();
    assert!(matches!(bev.set_socket(socket), Err(SocketError::Closing)));
    drop(bev);
    settle(&mut sim, TURNS);
    assert_eq!((sim.core().stats().connections, sim.core().stats().filters), (0, 0));
}

#[test]
fn a_stack_whose_connection_has_failed_or_that_closes_below_gets_no_other() {
    let mut sim = Simulation::new(13);
    let end = unconnected(&mut sim);
    let top = over(&mut sim, &end, Identity);
    top.bev(&mut sim).connect_host("nowhere.test", 80).expect("it is a host");
    sim.run_for(ms(50));
    assert_eq!(top.log.borrow().events, [EventFlags::ERROR]);
    let (socket, peer) = sim.socket(far());
    let refused = top.bev(&mut sim).set_socket(socket);
    assert!(matches!(refused, Err(SocketError::Taken(over)) if over.0 == top.id), "{refused:?}");
    sim.run_for(ms(5));
    assert!(sim.is_eof(peer));

    let end = unconnected(&mut sim);
    end.bev(&mut sim).connect_host("nowhere.test", 80).expect("it is a host");
    end.write(&mut sim, b"left");
    let top = over(&mut sim, &end, Identity);
    end.bev(&mut sim).close();
    let (socket, _) = sim.socket(far());
    assert!(matches!(top.bev(&mut sim).set_socket(socket), Err(SocketError::Closing)));
}

#[test]
fn what_is_set_before_there_is_a_socket_holds_when_it_comes() {
    let mut sim = Simulation::new(7);
    let end = unconnected(&mut sim);
    assert_eq!(end.bev(&mut sim).peer_addr(), None);
    assert_eq!(end.bev(&mut sim).suspended(WRITE), Suspend::UNCONNECTED);
    end.bev(&mut sim).set_rate_limit(Some(per_tick(1000, 1000, ms(100))));
    end.bev(&mut sim).set_timeout(WRITE, Some(ms(10)));
    let top = sim.core().filter(end.id, Identity, FilterOptions::new()).expect("it is open");
    let top = End { id: top, log: end.log.clone() };
    top.write(&mut sim, &pattern(3000));
    sim.run_for(ms(500));
    assert!(end.log.borrow().events.is_empty(), "no peer can be late");
    let (socket, peer) = sim.socket(far());
    top.bev(&mut sim).set_socket(socket).expect("it goes to the bottom");
    assert_eq!(top.bev(&mut sim).peer_addr(), Some(far()));
    assert_eq!(arrived(&mut sim, peer), pattern(3000)[..1000]);
    sim.write(peer, b"back");
    sim.run_for(ms(300));
    assert_eq!(sim.read(peer), pattern(3000)[1000..]);
    assert_eq!(end.log.borrow().got, b"back");
}

#[test]
fn another_socket_takes_over_what_was_not_written() {
    let mut sim = Simulation::new(8);
    let (end, first) = adopted(&mut sim);
    let (socket, second) = sim.socket(far());
    sim.half_close(first);
    sim.run_for(ms(5));
    assert_eq!(end.log.take().events, [EventFlags::READING | EventFlags::EOF]);
    end.bev(&mut sim).set_socket(socket).expect("it is open");
    sim.run_for(ms(5));
    assert!(sim.is_eof(first) && !sim.is_reset(first), "nothing waited for it");
    sim.write(second, b"a new stream");
    end.bev(&mut sim).disable(WRITE);
    end.write(&mut sim, b"for whoever comes");
    sim.run_for(ms(5));
    assert_eq!(end.log.take().got, b"a new stream");
    // What the second connection has still to tell is not told of the third.
    let (socket, third) = sim.socket(far());
    sim.reset(second);
    sim.run_until(LIMIT, |sim| {
        !end.bev(sim).is_enabled(READ) || !end.log.borrow().events.is_empty()
    });
    end.log.take();
    end.bev(&mut sim).set_socket(socket).expect("it is open");
    end.bev(&mut sim).enable(WRITE);
    assert_eq!(arrived(&mut sim, third), b"for whoever comes");
    assert!(end.log.borrow().events.is_empty());
    let (socket, _) = sim.socket(far());
    end.bev(&mut sim).disable(WRITE);
    end.write(&mut sim, b"cut");
    end.bev(&mut sim).set_socket(socket).expect("it is open");
    sim.run_for(ms(5));
    assert!(sim.is_reset(third), "its stream is not whole");
}

#[test]
fn output_waits_for_a_connection_that_can_be_made() {
    let mut sim = Simulation::new(9);
    let end = unconnected(&mut sim);
    end.write(&mut sim, b"for whoever listens");
    end.bev(&mut sim).connect(far()).expect("refused later");
    settle(&mut sim, TURNS);
    assert_eq!(end.log.take().events, [EventFlags::ERROR]);
    let listener = sim.listen(far()).expect("it is free");
    end.bev(&mut sim).connect(listener).expect("it is simulated");
    // An attempt may be replaced too.
    end.bev(&mut sim).connect(listener).expect("it is simulated");
    settle(&mut sim, TURNS);
    assert_eq!(end.log.take().events, [EventFlags::CONNECTED]);
    let given_up = sim.accept(listener).expect("it was tried");
    let peer = sim.accept(listener).expect("it is connected");
    assert_eq!(arrived(&mut sim, peer), b"for whoever listens");
    assert_eq!(arrived(&mut sim, given_up), b"");
    end.bev(&mut sim).close();
    settle(&mut sim, TURNS);
    assert!(sim.is_eof(peer));
    assert_eq!(sim.core().stats().connections, 0);
}

#[test]
fn news_of_a_connection_before_is_not_taken_for_that_of_an_attempt() {
    let delay = ms(10)..ms(10);
    let mut sim =
        Simulation::with_faults(11, Faults { stale_events: 1.0, delay, ..Faults::none() });
    let (end, _) = adopted(&mut sim);
    // The driver tells of the old socket under the name that the attempt has now.
    end.bev(&mut sim).connect(far()).expect("refused later");
    sim.run_for(ms(5));
    assert!(end.log.borrow().events.is_empty());
    sim.run_for(ms(50));
    assert_eq!(end.log.borrow().events, [EventFlags::ERROR]);
}

#[test]
fn closed_before_it_has_a_socket_it_is_gone() {
    let mut sim = Simulation::new(10);
    let end = unconnected(&mut sim);
    end.write(&mut sim, b"for nobody");
    end.bev(&mut sim).close();
    settle(&mut sim, TURNS);
    assert!(sim.core().get(end.id).is_none());
    assert_eq!((sim.core().stats().connections, sim.core().stats().timers), (0, 0));
}

/// Echoes through a socket that changes hands all the time, with every fault but resets.
#[test]
fn bytes_survive_any_number_of_moves_in_order() {
    for seed in 0..200 {
        let faults = Faults { reset: 0.0, ..Faults::harsh() };
        let mut sim = Simulation::with_faults(seed, faults);
        sim.set_buffer_bytes(700);
        let (socket, peer) = sim.socket(far());
        let mut id = sim.core().adopt(socket, Echo).expect("it is connected");
        let sent = pattern(20_000);
        let (mut written, mut got) = (0, Vec::new());
        let mut turns = 0;
        let all = sim.run_until(LIMIT, |sim| {
            written += sim.write(peer, &sent[written..sent.len().min(written + 900)]);
            got.extend(sim.read(peer));
            turns += 1;
            if turns % 3 == 0 {
                let mut taken = take(sim, id).expect("it is open");
                id = sim.core().adopt(taken.socket, Echo).expect("it is connected");
                let mut bev = sim.core().get(id).expect("it is open");
                bev.output().append_buffer(&mut taken.output);
                bev.output().append_buffer(&mut taken.input);
            }
            got.len() == sent.len()
        });
        assert!(all && got == sent, "seed {seed}: {} of {}", got.len(), sent.len());
        assert!(sim.core().stats().connections <= 2, "seed {seed}: the last one, and its heir");
    }
}

#[test]
fn a_socket_goes_to_another_core_with_what_waited_for_it() {
    let mut sim = Simulation::with_cores(2, 13, Faults::none());
    let (end, peer) = adopted(&mut sim);
    end.bev(&mut sim).disable(WRITE);
    end.write(&mut sim, b"not written yet");
    let mut taken = take(&mut sim, end.id).expect("it is open");
    let (handler, log) = Noting::new();
    let id = sim.core_at(1).adopt(taken.socket, handler).expect("it is connected");
    sim.core_at(1).get(id).expect("it is open").output().append_buffer(&mut taken.output);
    sim.write(peer, b"for the second core");
    assert_eq!(arrived(&mut sim, peer), b"not written yet");
    assert_eq!(log.borrow().got, b"for the second core");
    assert_eq!(sim.held().slots, 1, "nothing is left on the first");
}

// ---- real sockets ----

/// Two ends of a real connection.
fn connected() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind(ANY).expect("a port is free");
    let client = rig::connect(listener.local_addr().expect("it is bound"));
    (listener.accept().expect("one connects").0, client)
}

#[test]
fn a_real_socket_goes_from_core_to_core_and_out() {
    let server = Server::idle(2);
    let (socket, mut client) = connected();
    let id = server.on_core(0, move |core| core.adopt(socket, Echo).expect("it is connected"));
    round_trip(&mut client, b"on the first core");
    let taken = server.on_core(0, move |core| {
        core.get(id).expect("it is open").into_socket().expect("it is connected").socket
    });
    let id = server.on_core(1, move |core| core.adopt(taken, Echo).expect("it is connected"));
    round_trip(&mut client, b"on the second");
    let taken = server.on_core(1, move |core| {
        let taken = core.get(id).expect("it is open").into_socket().expect("it is connected");
        let id = core.adopt(taken.socket, ()).expect("the core has let go of it");
        core.get(id).expect("it is open").into_socket().expect("it is connected").socket
    });
    let mut stream = taken.into_std().expect("it is real");
    stream.set_nonblocking(false).expect("it is open");
    stream.set_read_timeout(Some(BOUND)).expect("not zero");
    std::io::Write::write_all(&mut client, b"and out").expect("it is connected");
    assert_eq!(read_exactly(&mut stream, 7), b"and out");
    drop(stream);
    assert_eq!(read_to_end(&mut client), b"");
}

#[test]
fn a_real_bufferevent_gets_a_socket_and_another() {
    let server = Server::idle(1);
    let ((first, mut one), (second, mut two)) = (connected(), connected());
    let id = server.on_core(0, move |core| {
        let id = core.unconnected(Echo);
        let mut bev = core.get(id).expect("it is open");
        bev.output().add(b"hello");
        bev.set_socket(first).expect("it is connected");
        id
    });
    assert_eq!(read_exactly(&mut one, 5), b"hello");
    round_trip(&mut one, b"echo");
    server.on_core(0, move |core| {
        core.get(id).expect("it is open").set_socket(second).expect("it is connected");
    });
    assert_eq!(read_to_end(&mut one), b"");
    round_trip(&mut two, b"echo again");
    drop(two);
    server.wait_until_empty();
}

#[test]
fn a_real_socket_that_is_not_connected_is_refused() {
    let server = Server::idle(1);
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None);
    let loose = TcpStream::from(socket.expect("descriptors are free"));
    let refused = server.on_core(0, move |core| core.adopt(loose, ()).err());
    assert!(matches!(refused, Some(Error::Socket(SocketError::NotConnected(_)))), "{refused:?}");
    let (simulated, _) = Simulation::new(11).socket(far());
    let refused = server.on_core(0, move |core| core.adopt(simulated, ()).err());
    assert!(matches!(refused, Some(Error::Socket(SocketError::Driver(_)))), "{refused:?}");
}

fn assert_send<T: Send>() {}

#[test]
fn a_socket_on_its_way_is_send() {
    assert_send::<Socket>();
    assert_send::<TakenSocket>();
}
