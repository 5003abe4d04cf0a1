//! What it costs cores to share an `SSL_CTX`, and what a configuration adds to a connection.
//!
//! Owns the measuring. Threads make full handshakes in memory, both ends on one thread, at once:
//! with one context for all (`shared`) or one for each (`apart`). Printed are handshakes per second
//! of all threads by the clock on the wall, and the CPU time the server's end takes of its thread;
//! medians of rounds in which both ways alternate, as other programs run beside. Then the CPU time
//! of [`TlsConfig::accept`] and of the bare object in it.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::env;
use std::io::{self, Read, Write};
use std::rc::Rc;
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use openssl::ssl::{Ssl, SslContext, SslStream};
use rustix::time::{ClockId, clock_gettime};
use sluicegate_groups::Time;
use sluicegate_tls::{Certificate, TlsConfig};

const NAME: &str = "localhost";

/// One end of a connection in memory: reads one queue and writes the other.
struct End(Rc<RefCell<VecDeque<u8>>>, Rc<RefCell<VecDeque<u8>>>);

impl Read for End {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let mut from = self.0.borrow_mut();
        if from.is_empty() { Err(io::ErrorKind::WouldBlock.into()) } else { from.read(buf) }
    }
}

impl Write for End {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.1.borrow_mut().write(buf)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The CPU time this thread has used.
fn cpu_time() -> Duration {
    Duration::try_from(clock_gettime(ClockId::ThreadCPUTime)).expect("CPU time is not negative")
}

/// Makes a full handshake; returns the CPU time of the server's end.
fn shake_hands(server: &SslContext, clients: &TlsConfig, core: usize) -> Duration {
    let (up, down) = (Rc::default(), Rc::default());
    let ssl = clients.connect(core, Time::ZERO, NAME).expect("an object");
    let end = End(Rc::clone(&down), Rc::clone(&up));
    let mut client = SslStream::new(ssl, end).expect("a stream");
    let begun = cpu_time();
    let mut ssl = Ssl::new(server).expect("an object");
    ssl.set_accept_state();
    let mut server = SslStream::new(ssl, End(up, down)).expect("a stream");
    let mut spent = cpu_time() - begun;
    for _ in 0..ROUND_TRIPS {
        let connected = client.do_handshake().is_ok();
        let begun = cpu_time();
        let accepted = server.do_handshake().is_ok();
        spent += cpu_time() - begun;
        if connected && accepted {
            return spent;
        }
    }
    panic!("no handshake within {ROUND_TRIPS} round trips");
}

/// Handshakes per second of a thread for each context at once, and the server's CPU time for one.
#[expect(clippy::disallowed_methods, reason = "what threads cost each other is measured")]
fn measure(contexts: &[SslContext], clients: &TlsConfig, each: u32) -> (f64, Duration) {
    let start = Barrier::new(contexts.len());
    let run = |core: usize| {
        start.wait();
        let begun = Instant::now();
        let hands = (0..each).map(|_| shake_hands(&contexts[core], clients, core));
        let spent: Duration = hands.sum();
        (begun, Instant::now(), spent)
    };
    thread::scope(|scope| {
        let run = &run;
        let spawn = |core| scope.spawn(move || run(core));
        let threads: Vec<_> = (0..contexts.len()).map(spawn).collect();
        let ran: Vec<_> =
            threads.into_iter().map(|thread| thread.join().expect("no handshake fails")).collect();
        // By the threads' own clocks: who only watches may get no CPU until they are through.
        let begun = ran.iter().map(|it| it.0).min().expect("there are threads");
        let ended = ran.iter().map(|it| it.1).max().expect("there are threads");
        let made = each * contexts.len() as u32;
        let spent: Duration = ran.iter().map(|it| it.2).sum();
        (f64::from(made) / (ended - begun).as_secs_f64(), spent / made)
    })
}

fn median<T: Copy + PartialOrd>(mut numbers: Vec<T>) -> T {
    numbers.sort_by(|a, b| a.partial_cmp(b).expect("they are numbers"));
    numbers[numbers.len() / 2]
}

fn contexts(server: &TlsConfig, clients: &TlsConfig, plan: &Plan) {
    for threads in [1, 2, 8] {
        let context = |core| {
            let ssl = server.accept(core, Time::ZERO).expect("an object");
            clients.prepare(core).expect("a context");
            ssl.ssl_context().to_owned()
        };
        let apart: Vec<_> = (0..threads).map(context).collect();
        let shared = vec![apart[0].clone(); threads];
        let rounds: Vec<_> = (0..plan.rounds)
            .map(|_| [&shared, &apart].map(|ways| measure(ways, clients, plan.each)))
            .collect();
        for (way, name) in ["shared", "apart"].iter().enumerate() {
            let rate = median(rounds.iter().map(|round| round[way].0).collect());
            let spent = median(rounds.iter().map(|round| round[way].1).collect());
            eprintln!("{threads} threads, {name:>6}: {rate:6.0} a second, server {spent:.1?} each");
        }
        let ratio = |of: fn(&[(f64, Duration); 2]) -> f64| median(rounds.iter().map(of).collect());
        let rate = ratio(|[shared, apart]| apart.0 / shared.0);
        let spent = ratio(|[shared, apart]| apart.1.as_secs_f64() / shared.1.as_secs_f64());
        eprintln!("{threads} threads, apart by shared: rate {rate:.3}, server's CPU {spent:.3}");
    }
}

fn accept(server: &TlsConfig, plan: &Plan) {
    let context = server.accept(0, Time::ZERO).expect("an object").ssl_context().to_owned();
    let count = plan.each * 50;
    let cost = |work: &dyn Fn()| {
        let begun = cpu_time();
        (0..count).for_each(|_| work());
        (cpu_time() - begun) / count
    };
    let rounds: Vec<_> = (0..plan.rounds)
        .map(|_| {
            let bare = cost(&|| drop(Ssl::new(&context).expect("an object")));
            [bare, cost(&|| drop(server.accept(0, Time::ZERO).expect("an object")))]
        })
        .collect();
    let [bare, accept] = [0, 1].map(|way| median(rounds.iter().map(|round| round[way]).collect()));
    eprintln!("TlsConfig::accept {accept:.2?}, of which SSL_new and SSL_free {bare:.2?}");
}

/// How much is measured.
struct Plan {
    rounds: u32,
    /// Handshakes of a thread in a round.
    each: u32,
}

fn main() {
    let is_test =
        !env::args().any(|arg| arg == "--bench") || env::args().any(|arg| arg == "--test");
    let plan = if is_test { Plan { rounds: 1, each: 2 } } else { Plan { rounds: 15, each: 50 } };
    sluicegate_tls::init().expect("OpenSSL starts");
    let certificate = Certificate::self_signed(&[NAME], 1).expect("a certificate");
    let roots = certificate.chain_pem().expect("it can be written");
    let clients = TlsConfig::client().roots_pem(roots).resume(false).build().expect("a client");
    let server = TlsConfig::server().certificate(certificate).build().expect("a server");
    contexts(&server, &clients, &plan);
    accept(&server, &plan);
}

/// More than any handshake takes.
const ROUND_TRIPS: usize = 8;
