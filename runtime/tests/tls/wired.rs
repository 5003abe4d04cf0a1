//! A stream of the core over a simulated socket, and OpenSSL by hand at the other end of the wire.
//!
//! Owns what crosses the wire, counted to the byte; the other end does only what a test says.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::mem;
use std::time::Duration;

use sluicegate::openssl::ssl::{ErrorCode, Ssl, SslContext, SslStream, SslVersion};
use sluicegate::sim::{Faults, Peer, Simulation};
use sluicegate::tls::{Session, into_ssl};
use sluicegate::{BevId, BevMut, Buffer, TlsOptions, TlsState};
use sluicegate_core_buf::{Outlook, Stage, Step};

use crate::rig::{Keeper, Notes, context};

/// What the OpenSSL at the other end reads from and writes to.
#[derive(Default)]
pub(crate) struct Pipe {
    pub(crate) incoming: VecDeque<u8>,
    pub(crate) outgoing: Vec<u8>,
}

impl Read for Pipe {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if self.incoming.is_empty() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        self.incoming.read(out)
    }
}

impl Write for Pipe {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.outgoing.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Both ends: the core's stream, and the peer's OpenSSL.
pub(crate) struct Wired {
    pub(crate) sim: Simulation,
    pub(crate) id: BevId,
    pub(crate) bottom: BevId,
    pub(crate) notes: Notes,
    pub(crate) peer: Peer,
    pub(crate) tls: SslStream<Pipe>,
    /// What the peer got, decrypted.
    pub(crate) got: Vec<u8>,
    /// The peer has been told of the end.
    pub(crate) heard_goodbye: bool,
    /// Bytes that crossed the wire, to the core and from it.
    pub(crate) crossed: [usize; 2],
    /// Those from it.
    pub(crate) received: Vec<u8>,
}

impl Wired {
    /// Nothing has crossed yet; the core is a server.
    pub(crate) fn new(version: SslVersion, options: TlsOptions) -> Self {
        Self::observed(version, options, |_| {})
    }

    /// As [`new`](Self::new), with a look at the simulation before anything else.
    pub(crate) fn observed(
        version: SslVersion,
        options: TlsOptions,
        look: impl FnOnce(&mut Simulation),
    ) -> Self {
        Self::by(&context(version), options, look)
    }

    /// As [`observed`](Self::observed), by a context for both ends.
    pub(crate) fn by(
        context: &SslContext,
        options: TlsOptions,
        look: impl FnOnce(&mut Simulation),
    ) -> Self {
        Self::as_one(TlsState::Accepting, context, options, look)
    }

    /// As [`by`](Self::by), with the core as that end which begins in `state`.
    pub(crate) fn as_one(
        state: TlsState,
        context: &SslContext,
        options: TlsOptions,
        look: impl FnOnce(&mut Simulation),
    ) -> Self {
        let ssl = || Ssl::new(context).expect("an object");
        let mut sim = Simulation::with_faults(7, Faults::none());
        look(&mut sim);
        let (socket, peer) = sim.socket("10.0.0.2:443".parse().expect("an address"));
        let notes = Notes::default();
        let keeper = Keeper { notes: notes.clone(), echoes: false };
        let id = sim.core().tls_socket(Some(socket), ssl(), state, options, keeper);
        let id = id.expect("a session");
        let bottom = sim.core().get(id).expect("it is open").underlying().expect("a socket");
        let mut other = ssl();
        match state {
            TlsState::Connecting => other.set_accept_state(),
            _ => other.set_connect_state(),
        }
        let tls = SslStream::new(other, Pipe::default()).expect("a stream");
        Self {
            sim,
            id,
            bottom,
            notes,
            peer,
            tls,
            got: Vec::new(),
            heard_goodbye: false,
            crossed: [0; 2],
            received: Vec::new(),
        }
    }

    /// With the handshake made.
    pub(crate) fn open(version: SslVersion, options: TlsOptions) -> Self {
        Self::new(version, options).opened()
    }

    /// Makes the handshake.
    pub(crate) fn opened(mut self) -> Self {
        self.run();
        assert_eq!(self.notes.all(), ["EventFlags(CONNECTED)"]);
        self
    }

    pub(crate) fn bev(&mut self) -> BevMut<'_> {
        self.sim.core().get(self.id).expect("it is open")
    }

    /// Whether the core's stream is there.
    pub(crate) fn is_there(&mut self) -> bool {
        self.sim.core().get(self.id).is_some()
    }

    /// What the peer's OpenSSL has put out, not yet sent.
    pub(crate) fn outgoing(&mut self) -> &mut Vec<u8> {
        &mut self.tls.get_mut().outgoing
    }

    /// Encrypts; [`send`](Self::send) or [`exchange`](Self::exchange) send it.
    pub(crate) fn write(&mut self, bytes: &[u8]) {
        let mut left = bytes;
        while !left.is_empty() {
            let count = self.tls.ssl_write(left).expect("the pipe takes all");
            left = &left[count..];
        }
    }

    /// Has the peer ask for new keys, for which its object becomes a session for a while; as
    /// [`write`](Self::write) otherwise. Nothing happens where it may not ask now.
    pub(crate) fn ask_for_keys(&mut self) {
        let spare = Ssl::new(self.tls.ssl().ssl_context()).expect("an object");
        let spare = SslStream::new(spare, Pipe::default()).expect("a stream");
        let mut pipe = mem::take(self.tls.get_mut());
        let mut ssl = into_ssl(mem::replace(&mut self.tls, spare));
        if ssl.is_init_finished() {
            let session = Session::new(ssl, TlsState::Open, &TlsOptions::new());
            let mut session = session.expect("the handshake is over");
            let mut outgoing = Buffer::new();
            if session.renegotiate().is_ok() {
                let _begun = session.step(Step {
                    now: self.sim.now(),
                    lower_input: &mut Buffer::new(),
                    lower_output: &mut outgoing,
                    upper_input: &mut Buffer::new(),
                    upper_output: &mut Buffer::new(),
                    read: None,
                    write: None,
                    ended: None,
                    outlook: Outlook::Open,
                    reads_after_output: false,
                });
            }
            pipe.outgoing.extend(outgoing.to_vec());
            ssl = session.into_ssl();
        }
        self.tls = SslStream::new(ssl, pipe).expect("a stream");
    }

    /// Sends what there is room for.
    pub(crate) fn send(&mut self) {
        self.send_first(self.tls.get_ref().outgoing.len());
    }

    /// As [`send`](Self::send), no more than the first `count` bytes: the rest is still to be sent.
    pub(crate) fn send_first(&mut self, count: usize) {
        let outgoing = &mut self.tls.get_mut().outgoing;
        let count = self.sim.write(self.peer, &outgoing[..count]);
        outgoing.drain(..count);
        self.crossed[0] += count;
    }

    /// Receives what has arrived and reads it, then sends.
    pub(crate) fn exchange(&mut self) {
        self.receive();
        self.send();
    }

    /// Receives what has arrived and reads it; sends no answer.
    pub(crate) fn receive(&mut self) {
        let arrived = self.sim.read(self.peer);
        self.crossed[1] += arrived.len();
        self.received.extend(&arrived);
        self.tls.get_mut().incoming.extend(arrived);
        let mut buf = [0; 4096];
        loop {
            match self.tls.ssl_read(&mut buf) {
                Ok(count) => self.got.extend(&buf[..count]),
                Err(error) => {
                    self.heard_goodbye |= error.code() == ErrorCode::ZERO_RETURN;
                    break;
                }
            }
        }
    }

    /// Exchanges for a while of virtual time.
    pub(crate) fn run_for(&mut self, span: Duration) {
        let until = self.sim.now() + span;
        while self.sim.now() < until {
            self.exchange();
            self.sim.run_for(Duration::from_millis(1));
        }
        self.exchange();
    }

    pub(crate) fn run(&mut self) {
        self.run_for(Duration::from_millis(20));
    }

    /// Lets the core do what it does while the peer does nothing.
    pub(crate) fn rest(&mut self, span: Duration) {
        self.sim.run_for(span);
    }

    /// Nothing is left of the core's stream.
    pub(crate) fn assert_empty(&mut self, case: &str) {
        let stats = self.sim.core().stats();
        let left = (stats.connections, stats.filters, stats.slots);
        assert_eq!(left, (0, 0, 0), "{case}: {:?}", self.notes.all());
    }
}
