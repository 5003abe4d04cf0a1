//! TLS on real cores at once: handshakes with a context for each, sessions resumed on others; and
//! two ends that the machine's sockets make: a reset, and the goodbyes of cores that drain.
//!
//! Eight cores and eight clients, each on a thread, which go from core to core while ticket keys
//! change and the certificate is renewed. Nothing here depends on who comes first: a client knows
//! of every connection of its own whether it has to resume.
#![cfg(feature = "tls")]

mod rig;

use std::collections::{HashMap, HashSet};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver};
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::Duration;

use rig::tls::{Configs, HOST, VERSIONS};
use rig::{ANY, Echo, Server, connect, pattern, receive, reset};
use sluicegate::openssl::ssl::{ShutdownState, SslRef, SslStream};
use sluicegate::openssl::x509::X509;
use sluicegate::tls::{Certificate, Tickets, TlsVersion};
use sluicegate::{
    BevMut, Context, Event, EventFlags, Handle, Handler, ListenOptions, Runtime, Shutdown, Time,
    TlsConfig, TlsOptions, TlsState, tls,
};

const CORES: usize = 8;
/// Connections of each client, one after the other: two with each core.
const VISITS: usize = 2 * CORES;
/// What each connection sends and gets back: some records.
const BYTES: usize = 40_000;
const NAME: &str = "localhost";
const LIFETIME: Duration = Duration::from_secs(400);

/// Cores that listen each at an address of its own, by one configuration and a clock of the test.
struct Cores {
    server: Server,
    addrs: Vec<SocketAddr>,
    config: TlsConfig,
    /// By which ticket keys age, in nanoseconds.
    clock: Arc<AtomicU64>,
}

/// Which context a core used for a connection, by its address.
type Used = (usize, usize);

fn context_of(ssl: &SslRef) -> usize {
    std::ptr::from_ref(ssl.ssl_context()).addr()
}

impl Cores {
    fn start(config: TlsConfig) -> (Self, Receiver<Used>) {
        let server = Server::idle(CORES);
        server.handle.prepare_tls(&config).expect("a context for each");
        let clock = Arc::new(AtomicU64::new(0));
        let (used, contexts) = mpsc::channel();
        let addrs = (0..CORES).map(|core| {
            let (config, clock, used) = (config.clone(), clock.clone(), used.clone());
            server.on_core(core, move |core| {
                let factory = move |conn: &mut BevMut<'_>| {
                    let (core, now) = (conn.id().core(), clock.load(Ordering::SeqCst));
                    let ssl = config.accept(core, Time::from_nanos(now)).expect("an object");
                    used.send((core, context_of(&ssl))).expect("the test has the other end");
                    conn.tls(ssl, TlsState::Accepting, TlsOptions::new()).expect("a session");
                    Echo
                };
                core.listen(ANY, ListenOptions::new(), factory).expect("a port").local_addr()
            })
        });
        let addrs = addrs.collect();
        (Self { server, addrs, config, clock }, contexts)
    }

    /// The key that seals has had its time.
    fn age_keys(&self) {
        let quarter = LIFETIME.as_nanos() as u64 / 4;
        self.clock.fetch_add(quarter, Ordering::SeqCst);
    }
}

/// Every core has accepted, and no two with one context.
fn assert_contexts_apart(used: &Receiver<Used>) {
    let mut first = HashMap::new();
    for (core, context) in used.try_iter() {
        first.entry(core).or_insert(context);
    }
    assert_eq!(first.len(), CORES);
    assert_eq!(first.into_values().collect::<HashSet<_>>().len(), CORES);
}

/// Connects, has a message echoed, takes leave; returns whether the session was resumed and which
/// certificate was shown.
fn visit(config: &TlsConfig, client: usize, addr: SocketAddr, message: &[u8]) -> (bool, Vec<u8>) {
    let ssl = config.connect(client, Time::ZERO, NAME).expect("an object");
    let mut stream = SslStream::new(ssl, connect(addr)).expect("a stream");
    stream.do_handshake().expect("the handshake is made");
    TlsConfig::keep_session(stream.ssl());
    stream.write_all(message).expect("the core reads");
    let mut echo = vec![0; message.len()];
    stream.read_exact(&mut echo).expect("the core answers");
    assert!(echo == message, "what came back is not what was sent");
    stream.shutdown().expect("the goodbye is sent");
    let certificate = stream.ssl().peer_certificate().expect("a server shows one");
    (stream.ssl().session_reused(), certificate.to_der().expect("it can be written"))
}

/// A certificate for [`NAME`] that says who it is: a client finds a root by that.
fn certificate(subject: &str) -> (Certificate, Vec<u8>) {
    let certificate = Certificate::self_signed(&[subject, NAME], 1).expect("a certificate");
    let pem = certificate.chain_pem().expect("it can be written");
    (certificate, pem)
}

fn server_config(certificate: Certificate, version: TlsVersion) -> TlsConfig {
    let config = TlsConfig::server().certificate(certificate).versions(version..=version);
    config.tickets(Tickets::rotated(LIFETIME)).build().expect("a server")
}

fn sessions_move_between_cores(version: TlsVersion) {
    let ((old, old_pem), (new, new_pem)) = (certificate("old"), certificate("new"));
    let new_der = X509::from_pem(&new_pem).and_then(|shown| shown.to_der()).expect("a certificate");
    let roots = [old_pem, new_pem].concat();
    let clients = TlsConfig::client().roots_pem(&roots).build().expect("a client");
    let (cores, contexts) = Cores::start(server_config(old, version));
    let renewed = server_config(new, version);
    let start = Barrier::new(CORES);
    let message = pattern(BYTES);
    let run = |client: usize| {
        start.wait();
        for round in 0..VISITS {
            match (client, round) {
                // Every core has been visited, and is again while these go on.
                (0, 8) => cores.config.reload(&renewed).expect("the same role"),
                (1, 5) | (2, 11) => cores.age_keys(),
                _ => {}
            }
            let addr = cores.addrs[(client + round) % CORES];
            let (resumed, _) = visit(&clients, client, addr, &message);
            assert_eq!(resumed, round > 0, "client {client}, round {round}");
        }
    };
    thread::scope(|scope| {
        let run = &run;
        let threads: Vec<_> = (0..CORES).map(|client| scope.spawn(move || run(client))).collect();
        threads.into_iter().for_each(|thread| thread.join().expect("every visit went well"));
    });
    // Who has no session is shown the new certificate, by every core.
    let strangers = TlsConfig::client().roots_pem(&roots).resume(false).build().expect("a client");
    for &addr in &cores.addrs {
        assert_eq!(visit(&strangers, 0, addr, b"hello"), (false, new_der.clone()));
    }
    cores.server.wait_until_empty();
    let visits = (CORES * VISITS) as u64;
    let figures = [
        cores.server.sum(|core| core.handshakes),
        cores.server.sum(|core| core.handshakes_resumed),
        cores.server.sum(|core| core.handshakes_failed),
    ];
    let full = CORES as u64; // The first of each client, and as many at the end.
    assert_eq!(figures, [visits + full, visits - full, 0]);
    assert_contexts_apart(&contexts);
}

#[test]
fn contexts_are_prepared_for_every_core_and_no_more() {
    let runtime = Runtime::builder().cores(3).build().expect("cores can be built");
    let config = server_config(certificate("only").0, TlsVersion::Tls13);
    let prepared = |config: &TlsConfig| format!("{config:?}").contains("cores: 3");
    assert!(!prepared(&config));
    // Before they run, and again, which changes nothing.
    let handle: Handle = runtime.handle();
    for _ in 0..2 {
        handle.prepare_tls(&config).expect("a context for each");
        assert!(prepared(&config), "{config:?}");
    }
}

#[test]
fn sessions_of_tls_1_2_move_between_cores_as_keys_and_certificates_change() {
    sessions_move_between_cores(TlsVersion::Tls12);
}

#[test]
fn sessions_of_tls_1_3_move_between_cores_as_keys_and_certificates_change() {
    sessions_move_between_cores(TlsVersion::Tls13);
}

/// A client's end with the handshake made, over which a message has gone there and back.
fn talking(client: &TlsConfig, addr: SocketAddr) -> SslStream<TcpStream> {
    let ssl = client.connect(0, Time::ZERO, HOST).expect("an object");
    let mut stream = SslStream::new(ssl, connect(addr)).expect("a stream");
    stream.do_handshake().expect("the handshake is made");
    stream.write_all(b"hello").expect("the core reads");
    let mut back = [0; 5];
    stream.read_exact(&mut back).expect("the core answers");
    assert_eq!(&back, b"hello");
    stream
}

/// Sends back what comes, and tells of the end.
struct Reporting(mpsc::Sender<(EventFlags, String)>);

impl Handler for Reporting {
    fn on_read(&mut self, cx: &mut Context<'_>) {
        let (mut input, mut output) = cx.buffers();
        output.append(&mut input);
    }

    fn on_event(&mut self, cx: &mut Context<'_>, event: Event) {
        if event.flags != EventFlags::CONNECTED {
            let error = event.error.map(|error| format!("{:?}: {error}", error.kind()));
            self.0.send((event.flags, error.unwrap_or_default())).expect("the test waits");
            cx.me().close();
        }
    }
}

#[test]
fn a_reset_of_an_open_session_is_an_error_though_dirty_ends_are_allowed() {
    for version in VERSIONS {
        let Configs { server: config, client } = Configs::new(version);
        let (report, ends) = mpsc::channel();
        let options = TlsOptions::new().allow_dirty_shutdown(true);
        let server = Server::start(1, move |conn| {
            conn.tls_accept(&config, options).expect("it has just been accepted");
            Reporting(report.clone())
        });
        let stream = talking(&client, server.addr);
        let socket = stream.get_ref().try_clone().expect("a descriptor is left");
        // Says nothing: the connection is there as long as one of the two is.
        drop(stream);
        reset(socket);
        let (flags, error) = receive(&ends);
        assert!(flags.contains(EventFlags::ERROR), "{version:?}: {flags:?} {error}");
        assert!(!flags.contains(EventFlags::EOF), "{version:?}: {flags:?}");
        assert!(error.starts_with("ConnectionReset"), "{version:?}: {error}");
        server.wait_until_empty();
    }
}

#[test]
fn a_drain_says_goodbye_on_every_session_before_the_end_of_the_stream() {
    /// What no test waits for.
    const FAR: Duration = Duration::from_secs(600);
    /// Enough on the slowest machine: a turn reads the clock as it begins, and the goodbye leaves
    /// in the one that begins the drain.
    const SOON: Duration = Duration::from_millis(1);
    for (version, (drain, farewell, answers)) in VERSIONS.into_iter().flat_map(|version| {
        // The drain's deadline, the session's, and whether the client answers its goodbye.
        [(FAR, FAR, true), (FAR, SOON, false), (SOON, FAR, false)].map(|it| (version, it))
    }) {
        let case = format!("{version:?}, {drain:?}, {farewell:?}, answers {answers}");
        let Configs { server: config, client } = Configs::new(version);
        let builder = Runtime::builder().cores(1).drain_timeout(drain);
        let mut runtime = builder.build().expect("cores can be built");
        let options = TlsOptions::new().shutdown(tls::Shutdown::Clean { within: farewell });
        let addr = runtime.listen(ANY, move |conn| {
            conn.tls_accept(&config, options).expect("it has just been accepted");
            Echo
        });
        let server = Server::run(addr.expect("a port is free"), runtime);
        let mut stream = talking(&client, server.addr);
        server.handle.shutdown(Shutdown::Drain);
        assert_eq!(stream.read(&mut [0]).expect("a clean end"), 0, "{case}");
        assert!(stream.get_shutdown().contains(ShutdownState::RECEIVED), "{case}: no goodbye");
        if answers {
            stream.shutdown().expect("the goodbye is sent");
        }
        rig::wait_for_close(stream.get_mut());
        let report = server.join();
        let counted = (report.cores[0].drained, report.cores[0].cut);
        assert_eq!(counted, (1, 0), "{case}: all that was written has left");
    }
}
