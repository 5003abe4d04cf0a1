//! What TLS costs in memory: nothing after handshakes that failed, little while sessions are idle.
//!
//! OpenSSL's memory comes from the system's allocator and not from Rust's, so that of the whole
//! process is read. A process of its own, and one test at a time.
#![cfg(feature = "tls")]

mod rig;

use std::fs;
use std::io::{self, Read, Write};
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use rig::Echo;
use rig::tls::{Configs, HOST};
use sluicegate::openssl::pkey::PKey;
use sluicegate::openssl::ssl::{Ssl, SslContext, SslMethod, SslStream};
use sluicegate::openssl::x509::X509;
use sluicegate::sim::Simulation;
use sluicegate::tls::Certificate;
use sluicegate::{
    BevMut, Handler, ListenOptions, PairOptions, Time, TlsConfig, TlsOptions, TlsState,
};

const ADDR: &str = "10.0.0.1:443";

/// Lets one test at a time measure.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().expect("no test has failed")
}

/// What of the process is in memory.
fn resident_bytes() -> usize {
    let status = fs::read_to_string("/proc/self/status").expect("Linux has it");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("it is there");
    let kilobytes = line.trim().strip_suffix(" kB").expect("in kilobytes");
    kilobytes.parse::<usize>().expect("a number") << 10
}

/// Keeps what comes; closes at an end or error.
struct Closes;
impl Handler for Closes {}

/// Takes what OpenSSL writes and has nothing to read.
struct Kept(Vec<u8>);

impl Read for Kept {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        Err(io::ErrorKind::WouldBlock.into())
    }
}

impl Write for Kept {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The first message of a client.
fn hello(client: &TlsConfig) -> Vec<u8> {
    let ssl = client.connect(0, Time::ZERO, HOST).expect("an object");
    let mut stream = SslStream::new(ssl, Kept(Vec::new())).expect("a stream");
    stream.do_handshake().expect_err("nobody answers");
    std::mem::take(&mut stream.get_mut().0)
}

/// How a peer goes on after its bytes.
#[derive(Clone, Copy)]
enum Then {
    Waits,
    Ends,
    Resets,
}

/// Has handshakes fail in every way there is, on a server and a client of one core.
fn fail(count: usize, seed: u64, server: &TlsConfig, client: &TlsConfig) {
    let hello = hello(client);
    let cut = &hello[..hello.len() / 2];
    let longer = [&hello, b"GET / HTTP/1.1\r\n\r\n".as_slice()].concat();
    let cheap: [(&[u8], Then); 7] = [
        (&[0xA5; 300], Then::Waits),
        (&[0; 300], Then::Waits),
        (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", Then::Waits),
        (&[21, 3, 3, 0, 2, 2, 40], Then::Waits),
        (&[22, 3, 1, 0xFF, 0xFF], Then::Waits),
        (cut, Then::Ends),
        (cut, Then::Resets),
    ];
    let mut sim = Simulation::new(seed);
    let server = server.clone();
    let factory = move |conn: &mut BevMut<'_>| {
        conn.tls_accept(&server, TlsOptions::new()).expect("it has just been accepted");
        Closes
    };
    let listener = sim.core().listen(ADDR, ListenOptions::new(), factory).expect("it is free");
    let (addr, options) = (listener.local_addr(), TlsOptions::new());
    let mut failures = 0;
    for turn in 0..count {
        // Those that make keys and signatures are few, for the sake of time.
        let (bytes, then) = match turn % 20 {
            0 => {
                let wrong = sim.core().tls_connect(addr, "other.example", client, options, Closes);
                wrong.expect("it can be tried");
                failures += 2;
                continue;
            }
            1 => (hello.as_slice(), Then::Ends),
            2 => (longer.as_slice(), Then::Waits),
            _ => cheap[turn % cheap.len()],
        };
        let peer = sim.connect(addr).expect("it listens");
        sim.run_for(Duration::from_millis(1));
        sim.write(peer, bytes);
        sim.run_for(Duration::from_millis(1));
        match then {
            Then::Waits => {}
            Then::Ends => sim.half_close(peer),
            Then::Resets => sim.reset(peer),
        }
        failures += 1;
    }
    // Longer than a close waits.
    sim.run_for(Duration::from_secs(40));
    assert_eq!(sim.held().slots, 1, "the listener");
    let stats = sim.core().stats();
    assert_eq!((stats.handshakes, stats.handshakes_failed), (0, failures));
}

#[test]
fn handshakes_that_failed_leave_no_memory_behind() {
    const HANDSHAKES: usize = 10_000;
    const BATCH: usize = 500;
    /// A hundred bytes for each; one that left all behind would leave two hundred times as many.
    const MOST_BYTES: usize = 1 << 20;
    let _alone = alone();
    let Configs { server, client } = Configs::of_all_versions();
    // So that what is allocated once is there, and the allocator's pools are as large as they get.
    (0..2).for_each(|seed| fail(BATCH, seed, &server, &client));
    let before = resident_bytes();
    for batch in 0..HANDSHAKES / BATCH {
        fail(BATCH, batch as u64, &server, &client);
    }
    let grown = resident_bytes().saturating_sub(before);
    assert!(grown < MOST_BYTES, "{grown} bytes more than before");
}

/// A context without any mode set, as a program may have; it verifies nothing.
fn plain_context() -> SslContext {
    let certificate = Certificate::self_signed(&[HOST], 1).expect("a certificate");
    let (chain, key) = (certificate.chain_pem(), certificate.key_pem());
    let shown = X509::from_pem(&chain.expect("PEM")).expect("a certificate");
    let key = PKey::private_key_from_pem(&key.expect("PEM")).expect("a key");
    let mut context = SslContext::builder(SslMethod::tls()).expect("a context");
    context.set_certificate(&shown).expect("a certificate");
    context.set_private_key(&key).expect("its key");
    context.build()
}

/// Makes connections one after the other that have carried records both ways and are idle then.
fn open_idle(sim: &mut Simulation, context: &SslContext, count: usize) {
    const BYTES: usize = 40_000;
    for _ in 0..count {
        let (a, b) = sim.core().pair(PairOptions::new(), Closes, Echo);
        let mut over = |id, state| {
            let ssl = Ssl::new(context).expect("an object");
            sim.core().tls_filter(id, ssl, state, TlsOptions::new()).expect("a session")
        };
        let (client, _server) = (over(a, TlsState::Connecting), over(b, TlsState::Accepting));
        sim.core().get(client).expect("it is open").output().add(&[7; BYTES]);
        let all = sim.run_until(Duration::from_secs(1), |sim| {
            sim.lengths(client).is_some_and(|(input, _)| input == BYTES)
        });
        assert!(all, "it was not sent back");
        sim.core().get(client).expect("it is open").input().drain(BYTES);
    }
}

#[test]
fn sessions_that_are_idle_give_their_record_buffers_back() {
    const COUNT: usize = 200;
    /// For both ends. A bufferevent of libevent's takes 33,750 bytes for one, and OpenSSL's buffers
    /// alone take as much where they are kept.
    const MOST_BYTES_EACH: usize = 2 * 33_750;
    let _alone = alone();
    let context = plain_context();
    let mut sim = Simulation::new(1);
    open_idle(&mut sim, &context, COUNT / 10);
    let before = resident_bytes();
    open_idle(&mut sim, &context, COUNT);
    let each = resident_bytes().saturating_sub(before) / COUNT;
    assert!(each < MOST_BYTES_EACH, "{each} bytes for each connection");
}
