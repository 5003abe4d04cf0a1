//! Courses of what a user and a peer may do to one connection, drawn from seeds: under the driver,
//! which says when to read on, and not only the session.
//!
//! After each operation: turns are few where little moves; what the core keeps for a user who does
//! not read stays bounded, however much the peer pours; CONNECTED comes before bytes, and once for
//! each wish for new keys; nothing follows an end; what either side reads is what the other wrote,
//! from its first byte on. Where nobody has done wrong all of it arrives. At the end the peer falls
//! silent or ends its side, the user closes, and nothing is left.
//!
//! One that fails is made shorter and printed; `SLUICEGATE_SEED` and `SLUICEGATE_SEEDS` are as for
//! `schedules/`. Only keys and signatures are not of the seed.

mod operation;

use std::env;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use sluicegate::openssl::ssl::SslContext;
use sluicegate::sim::{DEFAULT_BUFFER_BYTES, Faults};
use sluicegate::{Context, Direction, Event, EventFlags, Handler};

use self::operation::{Op, Plan, SECOND, draw};
use crate::outer::sim::per_second;
use crate::rig::{Notes, VERSIONS, allow_new_keys, context, context_with, count};
use crate::wired::Wired;

/// Courses of one run of this test.
const SEEDS: u64 = 1_000;

/// Turns of an operation in which nothing moves, and bytes that are worth one more.
const FREE_TURNS: u64 = 40;
const BYTES_PER_TURN: u64 = 12;

/// Most that waits below: one read, and what was left of a record before it.
const MOST_BELOW: usize = (64 << 10) + RECORD_BYTES;

/// Most plaintext that a session keeps, which a failure gives a user whose mark is reached.
const MOST_HELD: usize = (64 << 10) + RECORD_BYTES;

/// Most that the core takes and the user does not get: also what is inside the object, handshakes.
const MOST_TAKEN: usize = MOST_BELOW + MOST_HELD + 2 * RECORD_BYTES;

/// Most that it puts out without being given it: answers that the peer does not take, handshakes.
const MOST_ANSWERS: usize = 96 << 10;

const RECORD_BYTES: usize = (16 << 10) + 256;

/// Exchanges in which all must have arrived.
const PATIENCE: usize = 1_000;

/// Until a close is over, whatever the peer does: longer than it lingers.
const AT_LAST: Duration = Duration::from_secs(45);

/// Notes what it is told; at an end it closes, or leaves its end open.
struct Watch {
    notes: Notes,
    stays: bool,
}

impl Handler for Watch {
    fn on_read(&mut self, cx: &mut Context<'_>) {
        self.notes.add(format!("read {}", cx.me().input().len()));
    }

    fn on_event(&mut self, cx: &mut Context<'_>, event: Event) {
        let error = event.error.map(|error| format!(": {error}")).unwrap_or_default();
        self.notes.add(format!("{:?}{error}", event.flags));
        let ends = EventFlags::EOF | EventFlags::ERROR | EventFlags::TIMEOUT;
        if !self.stays && event.flags.intersects(ends) {
            self.notes.add("closes");
            cx.me().close();
        }
    }
}

struct Machine {
    wired: Wired,
    operations: usize,
    /// Bytes of the user; those it has taken out of its input, and those that were left there.
    written: usize,
    taken: usize,
    input: usize,
    mark: usize,
    /// The user writes no more.
    ends_writing: bool,
    closed: bool,
    /// New keys the user has wished for.
    renegotiated: usize,
    /// Bytes of the peer, and how many of those it got have been looked at.
    put: usize,
    seen: usize,
    /// The peer has said goodbye.
    said: bool,
}

fn pattern(place: usize) -> u8 {
    (place.wrapping_mul(31) >> 3) as u8
}

fn is_pattern(bytes: &[u8], from: usize) -> bool {
    bytes.iter().zip(from..).all(|(&byte, place)| byte == pattern(place))
}

impl Machine {
    fn new(plan: Plan, contexts: &[[SslContext; 2]; 2]) -> Self {
        let context = &contexts[plan.version][usize::from(plan.allows)];
        let delay = Duration::from_micros(10)..Duration::from_millis(1);
        let rough = Faults { reset: 0.0, delay, ..Faults::harsh() };
        let mut wired = Wired::as_one(plan.state, context, plan.options, |sim| {
            sim.set_buffer_bytes(plan.pipe);
            if plan.is_rough {
                sim.set_faults(rough);
            }
        });
        let watch = Watch { notes: wired.notes.clone(), stays: plan.stays };
        wired.bev().set_handler(watch).expect("it is on top");
        if plan.begins_open {
            wired = wired.opened();
        }
        Self {
            wired,
            operations: 0,
            written: 0,
            taken: 0,
            input: 0,
            mark: 0,
            ends_writing: false,
            closed: false,
            renegotiated: 0,
            put: 0,
            seen: 0,
            said: false,
        }
    }

    /// Does all of it, and comes to an end.
    fn run(mut self, plan: Plan, ops: &[Op]) {
        for &op in ops {
            self.apply(op);
        }
        if plan.is_honest() && ops.iter().all(|op| op.is_honest()) {
            self.settle();
        }
        if plan.ends {
            self.end_as_peer();
        }
        self.apply(Op::Close);
        self.apply(Op::Rest(AT_LAST));
        self.wired.assert_empty("it was closed");
    }

    /// Where nobody has done wrong all that was written arrives, once nothing holds it up.
    fn settle(&mut self) {
        self.lift();
        for _ in 0..PATIENCE {
            self.apply(Op::Take);
            if self.is_settled() {
                return;
            }
            self.apply(Op::Exchange);
        }
        let (got, taken) = (self.wired.got.len(), self.taken);
        let (written, put, told) = (self.written, self.put, self.wired.notes.all());
        panic!("got {got} of {written}, took {taken} of {put}: {told:?}");
    }

    /// Whether all has come that can.
    fn is_settled(&self) -> bool {
        let told = self.wired.notes.all();
        if let Some(error) = told.iter().find(|it| it.contains("ERROR")) {
            let is_late = error.contains("did not finish the handshake");
            let is_cut = self.said && error.contains("closed during the handshake");
            assert!(is_late || is_cut, "nobody has done wrong: {told:?}");
            return true;
        }
        // After an end no new keys are made.
        let connected = count(&told, "CONNECTED");
        let has_keys = connected == 1 + self.renegotiated || self.said || self.ends_writing;
        let hears = told.iter().any(|it| it.contains("READING | EOF")) || !self.said;
        let is_heard = self.wired.heard_goodbye || !self.ends_writing;
        let has_all = self.wired.got.len() == self.written && self.taken == self.put;
        self.closed || (has_all && has_keys && hears && is_heard)
    }

    /// The peer ends its side, and a user who reads all learns of it.
    fn end_as_peer(&mut self) {
        self.lift();
        for op in [Op::Fin, Op::Take, Op::Rest(SECOND), Op::Receive, Op::Rest(AT_LAST)] {
            self.apply(op);
        }
        let told = self.wired.notes.all();
        assert!(self.closed || told.iter().any(|it| ends_reading(it)), "no end: {told:?}");
    }

    /// Lifts whatever may hold up one direction or the other: also the bound on output, behind
    /// which reading rests, as output may wait for new keys, and they for what is to be read.
    fn lift(&mut self) {
        let bounds = [Op::Mark(0), Op::Limit(None), Op::MaxOutput(usize::MAX)].into_iter();
        let ways = Direction::ALL.map(|way| [Op::Timeout(way, None), Op::Enable(way)]);
        bounds.chain(ways.concat()).for_each(|op| self.apply(op));
    }

    fn apply(&mut self, op: Op) {
        let (turns, before) = (self.wired.sim.core().stats().turns, self.work());
        self.operations += 1;
        if self.wired.is_there() {
            self.act_as_user(op);
        }
        self.act_as_peer(op);
        self.wired.rest(Duration::from_millis(2));
        let turns = self.wired.sim.core().stats().turns - turns;
        let moved: usize = before.iter().zip(self.work()).map(|(a, b)| a.abs_diff(b)).sum();
        let most = FREE_TURNS + moved as u64 / BYTES_PER_TURN;
        assert!(turns <= most, "{op:?}: {turns} turns for {moved} bytes");
        self.check(op);
    }

    /// Bytes that have passed the socket, and the session each way: what limits slow down.
    fn work(&mut self) -> [usize; 3] {
        let stats = self.wired.sim.core().stats();
        let gone = (self.put - self.taken, 0);
        let (input, output) = self.wired.sim.lengths(self.wired.id).unwrap_or(gone);
        let socket = stats.bytes_in + stats.bytes_out;
        [socket as usize, self.taken + input, self.written - output.min(self.written)]
    }

    fn act_as_user(&mut self, op: Op) {
        let (written, is_over) = (self.written, self.ends_writing);
        let mut bev = self.wired.bev();
        match op {
            Op::Enable(direction) => bev.enable(direction),
            Op::Disable(direction) => bev.disable(direction),
            Op::Mark(mark) => {
                bev.set_read_watermark(0, mark);
                self.mark = mark;
            }
            Op::Limit(rate) => bev.set_rate_limit(
                rate.map(|rate| per_second(rate).with_burst(rate / 10).expect("a limit")),
            ),
            Op::MaxOutput(most) => bev.set_max_output(most),
            Op::Timeout(direction, span) => bev.set_timeout(direction, span),
            Op::Take => {
                let mut bytes = vec![0; bev.input().len()];
                bev.input().remove(&mut bytes);
                assert!(is_pattern(&bytes, self.taken), "not what the peer wrote");
                self.taken += bytes.len();
            }
            Op::Write(count) if !is_over => {
                let bytes: Vec<u8> = (written..written + count).map(pattern).collect();
                bev.output().add(&bytes);
                self.written += count;
            }
            Op::Renegotiate => {
                let wishes = bev.renegotiate().is_ok() && !self.closed;
                self.renegotiated += usize::from(wishes);
            }
            Op::ShutdownWrite => {
                bev.shutdown_write();
                self.ends_writing = true;
            }
            Op::Close => {
                bev.close();
                (self.ends_writing, self.closed) = (true, true);
            }
            _ => {}
        }
    }

    /// What the peer does, or nobody.
    fn act_as_peer(&mut self, op: Op) {
        let wired = &mut self.wired;
        match op {
            Op::Put(count) => {
                let bytes: Vec<u8> = (self.put..self.put + count).map(pattern).collect();
                // While new keys are made it may have to wait, and then takes none of it.
                self.put += wired.tls.ssl_write(&bytes).unwrap_or(0);
            }
            Op::Rekey => wired.ask_for_keys(),
            Op::Goodbye => self.said |= wired.tls.shutdown().is_ok(),
            Op::Raw(bytes) => wired.outgoing().extend(bytes),
            Op::Send(eighths) => {
                let count = wired.outgoing().len() * eighths / 8;
                wired.send_first(count);
            }
            Op::Receive => wired.receive(),
            Op::Exchange => wired.exchange(),
            Op::Pour => {
                for _ in 0..12 {
                    wired.crossed[0] += wired.sim.write(wired.peer, &[0; DEFAULT_BUFFER_BYTES]);
                    wired.rest(Duration::from_millis(1));
                }
            }
            Op::Fin => wired.sim.half_close(wired.peer),
            Op::Reset => wired.sim.reset(wired.peer),
            Op::Rest(span) => wired.rest(span),
            _ => {}
        }
    }

    fn check(&mut self, op: Op) {
        let told = self.wired.notes.all();
        check_told(&told);
        self.closed |= told.last().is_some_and(|it| it == "closes");
        self.ends_writing |= self.closed;
        let connected = count(&told, "CONNECTED");
        assert!(connected <= 1 + self.renegotiated, "{op:?}: {connected} CONNECTED");
        assert!(connected >= self.renegotiated, "{op:?}: {connected} CONNECTED");
        let got = &self.wired.got;
        assert!(got.len() <= self.written && is_pattern(&got[self.seen..], self.seen), "{op:?}");
        self.seen = got.len();
        let out = self.wired.crossed[1];
        let Some((input, _)) = self.wired.sim.lengths(self.wired.id) else { return };
        let Some((below, out_below)) = self.wired.sim.lengths(self.wired.bottom) else { return };
        assert!(below <= MOST_BELOW, "{op:?}: {below} bytes wait below");
        let most = self.written + self.written / 100 + 64 * self.operations + MOST_ANSWERS;
        assert!(out + out_below <= most, "{op:?}: {out} + {out_below} bytes put out");
        let most = if self.mark > 0 { self.mark.max(self.input) + MOST_HELD } else { self.put };
        assert!(input <= most, "{op:?}: {input} bytes in the input");
        self.input = input;
        if !self.closed {
            let given = self.taken + input;
            let most =
                given + given / 100 + 64 * self.operations + MOST_TAKEN + DEFAULT_BUFFER_BYTES;
            let taken = self.wired.crossed[0];
            assert!(taken <= most, "{op:?}: {taken} bytes from the peer, {given} to the user");
        }
    }
}

fn ends_reading(note: &str) -> bool {
    let (reading, writing) = (note.contains("READING"), note.contains("WRITING"));
    (note.contains("EOF") && reading) || (note.contains("ERROR") && (reading || !writing))
}

fn check_told(told: &[String]) {
    if let Some(read) = told.iter().position(|it| it.starts_with("read")) {
        assert!(told[..read].iter().any(|it| it.contains("CONNECTED")), "{told:?}");
    }
    if let Some(end) = told.iter().position(|it| ends_reading(it)) {
        let reads = |it: &String| it.starts_with("read") || it.contains("READING");
        assert!(!told[end + 1..].iter().any(reads), "something after the end: {told:?}");
    }
    // What is written after the peer's goodbye may fail yet, and then all is over.
    if let Some(end) = told.iter().position(|it| it.starts_with("EventFlags(ERROR)")) {
        let more = told[end + 1..].iter().filter(|it| *it != "closes").count();
        assert_eq!(more, 0, "something after an error of both: {told:?}");
    }
}

fn holds(plan: Plan, ops: &[Op], contexts: &[[SslContext; 2]; 2]) -> bool {
    catch_unwind(AssertUnwindSafe(|| Machine::new(plan, contexts).run(plan, ops))).is_ok()
}

#[test]
fn no_course_of_events_spins_fills_memory_or_leaves_something_behind() {
    let contexts = VERSIONS.map(|it| [context(it), context_with(it, allow_new_keys)]);
    let number = |variable| env::var(variable).ok().map(|it| it.parse().expect("a number"));
    let seeds = 0..number("SLUICEGATE_SEEDS").unwrap_or(SEEDS);
    let seeds = number("SLUICEGATE_SEED").map_or(seeds, |seed| seed..seed + 1);
    for seed in seeds {
        let (plan, mut ops) = draw(seed);
        if holds(plan, &ops, &contexts) {
            continue;
        }
        // Without what does not matter to the failure.
        for i in (0..ops.len()).rev() {
            let without = [&ops[..i], &ops[i + 1..]].concat();
            if !holds(plan, &without, &contexts) {
                ops = without;
            }
        }
        holds(plan, &ops, &contexts);
        panic!("seed {seed}: {plan:?} {ops:?}");
    }
}
