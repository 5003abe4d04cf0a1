//! Listeners: what their callbacks may do to them, and who is told of accepts that fail.
//!
//! A listener is known to its factory by what the factory captured; upstream hands it over.

use std::net::TcpStream;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread;

use sluicegate::sim::{Faults, Simulation};
use sluicegate::{AcceptMode, BevMut, Error, ListenOptions, Listener, Runtime, UnixError};

use crate::rig::sim::{ADDR, ms};
use crate::rig::{ANY, Echo, Server, connect, eventually, round_trip, wait_for_close};

/// A listener that its callbacks get to know once it is there.
#[derive(Clone, Default)]
struct Known(Arc<OnceLock<Listener>>);

impl Known {
    fn set(&self, listener: &Listener) {
        self.0.set(listener.clone()).expect("it is set once");
    }

    fn get(&self) -> &Listener {
        self.0.get().expect("it was set before anybody came")
    }
}

/// A factory that closes what it gets, counts it, and does something when it has had so many.
fn closing(
    known: &Known,
    seen: &Arc<AtomicUsize>,
    most: usize,
    then: fn(&Listener),
) -> impl Fn(&mut BevMut<'_>) + Send + Sync + Clone + 'static {
    let (known, seen) = (known.clone(), seen.clone());
    move |conn| {
        conn.close_now();
        if seen.fetch_add(1, Ordering::Relaxed) + 1 == most {
            then(known.get());
        }
    }
}

/// Two listeners on ports of the kernel's choice, of which one gets two connections and the other
/// one before their factories disable them; others wait.
fn check_two_ports(cores: usize) {
    let mut runtime = Runtime::builder().cores(cores).build().expect("cores can be built");
    let listeners = [2, 1].map(|most| {
        let (known, seen) = (Known::default(), Arc::default());
        let factory = closing(&known, &seen, most, Listener::disable);
        let options = ListenOptions::new().accept(AcceptMode::Fixed(cores - 1));
        let listener = runtime.listen_with(ANY, options, factory).expect("a port is free");
        known.set(&listener);
        (listener, seen, most)
    });
    let addrs = [0, 1].map(|at| listeners[at].0.local_addr());
    assert!(addrs[0].port() != addrs[1].port() && addrs.iter().all(|addr| addr.port() > 0));
    let clients = listeners.iter().flat_map(|(listener, _, most)| {
        (0..most + 2).map(|_| connect(listener.local_addr())).collect::<Vec<_>>()
    });
    let mut clients: Vec<_> = clients.collect();
    let server = Server::run(addrs[0], runtime);
    for at in [0, 1, 4] {
        wait_for_close(&mut clients[at]);
    }
    for (listener, seen, most) in &listeners {
        assert!(!listener.is_enabled());
        server.on_core(cores - 1, |_| ());
        assert_eq!(seen.load(Ordering::Relaxed), *most);
    }
}

/// regress_listener.c `randport`: two listeners on ports of the kernel's choice.
///
/// Upstream's loop ends when both have disabled themselves.
#[test]
fn randport() {
    check_two_ports(1);
}

/// regress_listener.c `randport_ts`: the same with locks, of which there are none here; with
/// several cores instead.
#[test]
fn randport_ts() {
    check_two_ports(2);
}

/// What the function that is told of an error does to its listener.
type React = fn(&Listener);

/// Has an accept fail and the listener do something about it; then accepts could succeed.
fn failing(cores: usize, react: React) -> (Simulation, Listener, Arc<AtomicUsize>) {
    let faults = Faults { accept_errors: 1.0, ..Faults::none() };
    let mut sim = Simulation::with_cores(cores, 1, faults);
    let options = ListenOptions::new().accept(AcceptMode::Fixed(cores - 1));
    let listener = sim.listen_with(ADDR, options, |_| Echo).expect("it is free");
    let told: Arc<AtomicUsize> = Arc::default();
    let (seen, own) = (told.clone(), listener.clone());
    listener.on_error(move |core, error| {
        assert_eq!(core.index(), cores - 1);
        assert_eq!(error.raw_os_error(), Some(24), "EMFILE");
        seen.fetch_add(1, Ordering::Relaxed);
        react(&own);
    });
    sim.connect(listener.local_addr()).expect("it listens");
    sim.run_for(ms(350));
    sim.set_faults(Faults::none());
    sim.run_for(ms(350));
    (sim, listener, told)
}

fn accepted(sim: &mut Simulation) -> u64 {
    sim.core().handle().stats().iter().map(|core| core.accepted).sum()
}

/// regress_listener.c `error`: whoever is told of an error may disable the listener, and is not
/// told again.
///
/// Upstream listens on a socket that cannot accept; here the accept fails for want of descriptors.
#[test]
fn error() {
    let (mut sim, listener, told) = failing(1, Listener::disable);
    assert_eq!((told.load(Ordering::Relaxed), accepted(&mut sim)), (1, 0));
    listener.enable();
    sim.run_for(ms(350));
    assert_eq!(accepted(&mut sim), 1, "nothing was lost meanwhile");
}

/// regress_listener.c `error_ts`: the same with locks; with several cores instead.
#[test]
fn error_ts() {
    let (mut sim, listener, told) = failing(2, Listener::disable);
    assert!(!listener.is_enabled());
    assert_eq!((told.load(Ordering::Relaxed), accepted(&mut sim)), (1, 0));
}

/// regress_listener.c `error_unlock`: running out of descriptors leaves no lock behind.
///
/// There is one lock, around the function that is told, and it is not held while that runs: it may
/// set another, and close the listener.
#[test]
fn error_unlock() {
    let react: React = |listener| {
        listener.on_error(|_, _| panic!("a closed listener does not accept"));
        listener.close();
    };
    let (mut sim, _, told) = failing(1, react);
    assert_eq!((told.load(Ordering::Relaxed), accepted(&mut sim)), (1, 0));
    assert_eq!(sim.held().slots, 0);
}

/// A listener whose factory closes the connections, and does `then` to it at the first of two that
/// have come at once; returns how many it got.
fn first_of_two(then: fn(&Listener)) -> (Simulation, usize) {
    let mut sim = Simulation::new(1);
    let (known, seen) = (Known::default(), Arc::default());
    let factory = closing(&known, &seen, 1, then);
    let listener = sim.core().listen(ADDR, ListenOptions::new(), factory).expect("it is free");
    known.set(&listener);
    for _ in 0..2 {
        sim.connect(listener.local_addr()).expect("it listens");
    }
    sim.run_for(ms(10));
    let seen = seen.load(Ordering::Relaxed);
    (sim, seen)
}

/// regress_listener.c `close_accepted_fd`: the callback closes the connection and frees the
/// listener.
#[test]
fn close_accepted_fd() {
    let (sim, seen) = first_of_two(Listener::close);
    assert_eq!((seen, sim.held().slots), (1, 0));
}

/// regress_listener.c `immediate_close`: two have come; the callback closes the first and disables
/// the listener, and is not called for the second.
#[test]
fn immediate_close() {
    let (sim, seen) = first_of_two(Listener::disable);
    assert_eq!((seen, sim.held().slots), (1, 1), "the listener is there");
}

/// regress_listener.c `disable_in_thread`: another thread disables the listener, which neither
/// waits for a callback nor is waited for.
#[test]
fn disable_in_thread() {
    let mut runtime = Runtime::builder().cores(2).build().expect("cores can be built");
    let known = Known::default();
    let own = known.clone();
    let factory = move |_: &mut BevMut<'_>| {
        let listener = own.get().clone();
        let disabling = thread::spawn(move || listener.disable());
        disabling.join().expect("it does not panic");
        Echo
    };
    let listener = runtime.listen_with(ANY, ListenOptions::new(), factory).expect("a port is free");
    known.set(&listener);
    let server = Server::run(listener.local_addr(), runtime);
    for _ in 0..20 {
        let mut client = server.connect();
        round_trip(&mut client, b"accepted, and nobody else");
        assert!(!listener.is_enabled());
        listener.enable();
    }
    listener.close();
    eventually("nobody listens", || TcpStream::connect(server.addr).is_err());
}

/// regress_listener.c `disable_in_thread_error`: the same while an error is told.
#[test]
fn disable_in_thread_error() {
    let react: React = |listener| {
        let listener = listener.clone();
        thread::spawn(move || listener.disable()).join().expect("it does not panic");
    };
    let (mut sim, listener, told) = failing(2, react);
    assert!(!listener.is_enabled());
    assert_eq!((told.load(Ordering::Relaxed), accepted(&mut sim)), (1, 0));
}

/// regress_listener.c `reuseport_on_unix_socket`: refused.
///
/// Differs: an error that says why and what to use, not a null pointer; and sharing an address by
/// `LEV_OPT_REUSEABLE` has no option here, it is on where it means something.
#[test]
fn reuseport_on_unix_socket() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("socket");
    let mut runtime = Runtime::builder().cores(2).build().expect("cores can be built");
    let options = ListenOptions::new().accept(AcceptMode::ReusePort);
    let error = runtime.listen_unix(path.as_path(), options, |_| Echo).expect_err("one socket");
    assert!(matches!(error, Error::Unix(UnixError::OneSocket { .. })), "{error:?}");
    assert!(!path.exists());
    runtime.listen_unix(path.as_path(), ListenOptions::new(), |_| Echo).expect("without it");
}
