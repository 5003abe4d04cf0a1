//! Two sessions and whoever sits between them: what may be said of any course of events.
//!
//! A course is a list of bytes, two to an operation, so that a fuzzer can make them up and a seed
//! too. The one in between delivers, holds back, changes, adds and drops ciphertext, ends a
//! direction or resets it; both users write, read as much as they have leave for, ask for new keys,
//! end writing and close; time passes.
//!
//! Checked after each step: CONNECTED comes before bytes and as often as a handshake was asked for;
//! what is read is what the other end wrote, from its first byte on, whatever was done in between;
//! EOF comes only if the other end has said goodbye; there is one end at most, and nothing after
//! it; where plaintext is charged a step gives no more than it has leave for; a step that could
//! give more has a reason to stop. At the end both close, and come to one.

use std::sync::OnceLock;
use std::time::Duration;

use core_buf::{
    Buffer, EventFlags, FlushMode, InputEnd, Outlook, Pass, Progress, Stage, Step, Wait,
};
use groups::Time;
use sluicegate_tls::{
    Certificate, Charge, Session, Shutdown, TlsConfig, TlsOptions, TlsState, TlsVersion,
};

/// Steps that one end may take without being given anything.
const MAX_STEPS: usize = 4_096;

/// Runs one course.
pub(crate) fn run(course: &[u8]) {
    let mut machine = Machine::new(course.first().copied().unwrap_or_default());
    for op in course.get(1..).unwrap_or_default().chunks_exact(2) {
        machine.apply(op[0], op[1]);
    }
    machine.finish();
}

struct Machine {
    ends: [End; 2],
    /// Ciphertext on its way to each end.
    wires: [Buffer; 2],
    now: Time,
}

struct End {
    session: Session,
    /// The end of the wire passes for that of the stream.
    is_dirty: bool,
    charge: Charge,
    /// For how many bytes the last step had leave to read.
    leave: usize,
    lower_input: Buffer,
    lower_output: Buffer,
    upper_input: Buffer,
    upper_output: Buffer,
    ended: Option<InputEnd>,
    outlook: Outlook,
    written: u64,
    read: u64,
    connected: u32,
    rekeyed: u32,
    over: bool,
    has_ended: bool,
    last: Progress,
}

fn configs(version: u8) -> &'static (TlsConfig, TlsConfig) {
    static CONFIGS: [OnceLock<(TlsConfig, TlsConfig)>; 2] = [OnceLock::new(), OnceLock::new()];
    let version = usize::from(version % 2);
    CONFIGS[version].get_or_init(|| {
        let versions = [TlsVersion::Tls12, TlsVersion::Tls13][version];
        let certificate = Certificate::self_signed(&["localhost"], 7).expect("a certificate");
        let roots = certificate.chain_pem().expect("it is PEM");
        let server = TlsConfig::server().certificate(certificate).versions(versions..=versions);
        let client = TlsConfig::client().roots_pem(roots).versions(versions..=versions);
        (client.build().expect("a client"), server.build().expect("a server"))
    })
}

impl Machine {
    fn new(choice: u8) -> Self {
        let (client, server) = configs(choice);
        let now = Time::ZERO;
        let ways = [Shutdown::default(), Shutdown::default(), Shutdown::Lazy, Shutdown::Immediate];
        let is_dirty = choice & 8 != 0;
        let charge = if choice & 16 != 0 { Charge::Plaintext } else { Charge::Ciphertext };
        let options = TlsOptions::new()
            .shutdown(ways[usize::from(choice >> 1) % ways.len()])
            .allow_dirty_shutdown(is_dirty)
            .charge(charge);
        let client = client.connect(0, now, "localhost").expect("an object");
        let server = server.accept(0, now).expect("an object");
        let client = Session::new(client, TlsState::Connecting, &options).expect("a session");
        let server = Session::new(server, TlsState::Accepting, &options).expect("a session");
        let ends = [client, server].map(|session| End::new(session, is_dirty, charge));
        Self { ends, wires: Default::default(), now }
    }

    fn apply(&mut self, op: u8, value: u8) {
        let at = usize::from(op >> 7);
        let size = usize::from(value);
        match op & 15 {
            // The plain course is the most frequent.
            0..=3 => {
                self.deliver(at, usize::MAX);
                self.step(at, usize::MAX, usize::MAX);
            }
            4 => self.deliver(at, size * 64),
            5 => self.step(at, size * if op & 16 == 0 { 1 } else { 64 }, size * 64),
            6 | 7 => self.ends[at].write(size * if op & 16 == 0 { 1 } else { 256 }),
            8 => self.now = self.now + Duration::from_millis(u64::from(value) * 64),
            9 => {
                let end = &mut self.ends[at];
                if !end.over && end.session.renegotiate().is_ok() {
                    end.rekeyed += 1;
                    self.step(at, 0, usize::MAX);
                }
            }
            10 => self.tamper(at, op, value),
            11 => self.ends[at].ended = Some(InputEnd::Eof),
            12 => self.ends[at].ended = Some(InputEnd::Failed),
            13 if self.ends[at].outlook == Outlook::Open => {
                self.ends[at].outlook = Outlook::Ending;
            }
            14 => self.ends[at].outlook = Outlook::Closed,
            _ => self.step(at, 0, usize::MAX),
        }
    }

    /// Changes what is on its way to an end.
    fn tamper(&mut self, to: usize, op: u8, value: u8) {
        let wire = &mut self.wires[to];
        let mut bytes = wire.to_vec();
        wire.clear();
        let place = usize::from(value) * bytes.len() / 256;
        match (op >> 4) & 7 {
            0 if !bytes.is_empty() => bytes[place] ^= value | 1,
            1 => bytes.truncate(place),
            2 => bytes.insert(place, value),
            // Again what was sent already.
            3 => bytes.extend_from_within(place..),
            // A record made up, of a kind that is none or is out of place.
            4 => {
                bytes.splice(0..0, [20 + (value & 7), 3, 3, 0, 2, value & 1, value]).for_each(drop)
            }
            5 => bytes.splice(0..0, [22, 3, 3, 0x40, value, 1, 0, 0]).for_each(drop),
            6 => bytes.splice(0..0, *b"GET / HTTP/1.1\r\n\r\n").for_each(drop),
            _ => bytes.extend_from_slice(&[value; 8]),
        }
        wire.add(&bytes);
    }

    fn deliver(&mut self, to: usize, count: usize) {
        let end = &mut self.ends[to];
        if end.ended.is_none() {
            self.wires[to].move_to(&mut end.lower_input, count);
        }
    }

    /// Steps one end until it waits for something.
    fn step(&mut self, at: usize, read: usize, write: usize) {
        let (left, right) = self.ends.split_at_mut(1);
        let (end, other) =
            if at == 0 { (&mut left[0], &right[0]) } else { (&mut right[0], &left[0]) };
        let mut steps = 0;
        loop {
            let progress = end.step(self.now, Some(read).filter(|&n| n > 0), None);
            end.check(&progress, other);
            let wrote = end.step(self.now, None, Some(write).filter(|&n| n > 0));
            end.check(&wrote, other);
            steps += 1;
            assert!(steps < MAX_STEPS, "an end that waits for nothing: {:?}", end.session);
            // With leave for a bounded number of bytes once is all.
            if (progress.read != Wait::Room && wrote.write != Wait::Room) || read != usize::MAX {
                break;
            }
        }
        end.lower_output.move_to(&mut self.wires[1 - at], usize::MAX);
    }

    /// Both close, and what is on its way arrives, or does not: they come to an end.
    fn finish(&mut self) {
        for end in &mut self.ends {
            end.outlook = Outlook::Closed;
        }
        for _ in 0..64 {
            for at in [0, 1] {
                self.deliver(at, usize::MAX);
                self.step(at, usize::MAX, usize::MAX);
            }
            self.now = self.now + Duration::from_secs(1);
        }
        for end in &self.ends {
            // For bytes that the peer does not take the stream above has a deadline of its own.
            let over = end.over || !end.upper_output.is_empty();
            assert!(over, "it has closed and is not over: {:?}", end.session);
            assert!(!end.over || (!end.last.needs_input && end.session.deadline().is_none()));
        }
    }
}

impl End {
    fn new(session: Session, is_dirty: bool, charge: Charge) -> Self {
        Self {
            session,
            is_dirty,
            charge,
            leave: 0,
            lower_input: Buffer::new(),
            lower_output: Buffer::new(),
            upper_input: Buffer::new(),
            upper_output: Buffer::new(),
            ended: None,
            outlook: Outlook::Open,
            written: 0,
            read: 0,
            connected: 0,
            rekeyed: 0,
            over: false,
            has_ended: false,
            last: Progress::default(),
        }
    }

    fn write(&mut self, count: usize) {
        if self.outlook != Outlook::Open || self.over || self.upper_output.len() > 1 << 20 {
            return;
        }
        let bytes: Vec<u8> = (self.written..).take(count).map(pattern).collect();
        self.upper_output.add(&bytes);
        self.written += count as u64;
    }

    fn step(&mut self, now: Time, read: Option<usize>, write: Option<usize>) -> Progress {
        // The stream above gives no leave to bytes before the handshake, nor reads once closed.
        let open = !self.session.is_connecting();
        let closed = self.outlook == Outlook::Closed;
        let mode =
            if self.outlook == Outlook::Open { FlushMode::Normal } else { FlushMode::Finished };
        let pass = |limit: Option<usize>| limit.filter(|_| open).map(|limit| Pass { limit, mode });
        let read = pass(read).filter(|_| !closed && !self.has_ended);
        self.leave = read.map_or(0, |pass| pass.limit);
        self.session.step(Step {
            now,
            lower_input: &mut self.lower_input,
            lower_output: &mut self.lower_output,
            upper_input: &mut self.upper_input,
            upper_output: &mut self.upper_output,
            read,
            write: pass(write),
            ended: self.ended,
            outlook: self.outlook,
            reads_after_output: false,
        })
    }

    fn check(&mut self, progress: &Progress, other: &Self) {
        let events = progress.events;
        if events.contains(EventFlags::CONNECTED) {
            self.connected += 1;
            // Each end's wishes make the handshakes of both, under 1.2.
            assert!(self.connected <= 1 + self.rekeyed + other.rekeyed);
        }
        let bytes = self.upper_input.to_vec();
        self.upper_input.clear();
        assert!(bytes.is_empty() || self.connected > 0, "bytes before CONNECTED");
        assert!(bytes.is_empty() || !self.has_ended, "bytes after the end");
        let is_within = self.charge == Charge::Ciphertext || bytes.len() <= self.leave;
        assert!(is_within, "{} bytes with leave for {}", bytes.len(), self.leave);
        for byte in bytes {
            assert!(
                self.read < other.written && byte == pattern(self.read),
                "not what was written"
            );
            self.read += 1;
        }
        let ends = events.intersects(EventFlags::EOF | EventFlags::ERROR);
        assert!(!(ends && self.has_ended && events.contains(EventFlags::READING)), "a second end");
        let is_cut = self.is_dirty && self.ended == Some(InputEnd::Eof);
        if events.contains(EventFlags::EOF) && !is_cut {
            assert!(other.outlook != Outlook::Open, "an end that nobody has announced");
            let discards = self.outlook == Outlook::Closed;
            assert!(discards || self.read == other.written, "an end before the last byte");
        }
        if events.contains(EventFlags::ERROR) && self.ended != Some(InputEnd::Failed) {
            assert!(progress.error.is_some() && self.session.take_error().is_some());
        }
        self.has_ended |= ends;
        self.over |= self.session.is_over();
        assert!(!self.over || !progress.needs_input, "needs input and is over");
        assert!(!self.over || !self.session.keeps_plaintext(), "keeps what nobody will get");
        self.last = Progress { events, needs_input: progress.needs_input, ..Progress::default() };
    }
}

fn pattern(place: u64) -> u8 {
    (place.wrapping_mul(31) >> 3) as u8
}
