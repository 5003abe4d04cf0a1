//! What a user, a peer and time may do to a connection, and how a course of it is drawn.
//!
//! Owns the odds: new keys are wished for early in half of the courses, what comes behind a goodbye
//! is frequent, and what only ends a course is rare. Does nothing to a connection itself.

use std::iter;
use std::time::Duration;

use rand::rngs::Xoshiro256PlusPlus as Dice;
use rand::{RngExt, SeedableRng};
use sluicegate::sim::DEFAULT_BUFFER_BYTES;
use sluicegate::tls::{Charge, Shutdown};
use sluicegate::{Direction, TlsOptions, TlsState};

pub(crate) const SECOND: Duration = Duration::from_secs(1);

/// A byte; text; the beginnings of two records; and a warning in the clear.
const RAW: [&[u8]; 5] = [
    b"x",
    b"and more of it",
    &[23, 3, 3, 0x40, 0, 7, 7],
    &[22, 3, 3, 0, 9, 1],
    &[21, 3, 3, 0, 2, 1, 90],
];

#[derive(Clone, Copy, Debug)]
pub(crate) enum Op {
    // By the user, who may end writing or close in between.
    Enable(Direction),
    Disable(Direction),
    Mark(usize),
    Limit(Option<u64>),
    MaxOutput(usize),
    Timeout(Direction, Option<Duration>),
    Take,
    Write(usize),
    Renegotiate,
    ShutdownWrite,
    Close,
    // By the peer.
    /// So much is encrypted; it leaves later.
    Put(usize),
    Rekey,
    Goodbye,
    /// These bytes follow what it has put out.
    Raw(&'static [u8]),
    /// So many eighths of what it has put out leave.
    Send(usize),
    Receive,
    Exchange,
    /// Many more bytes that are no records leave, for as long as they are taken.
    Pour,
    Fin,
    Reset,
    // By nobody.
    Rest(Duration),
}

/// What a connection is, before anything is done.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    pub(crate) version: usize,
    pub(crate) state: TlsState,
    pub(crate) options: TlsOptions,
    /// A server makes new keys at the wish of a client, under TLS 1.2.
    pub(crate) allows: bool,
    /// The handshake is made first.
    pub(crate) begins_open: bool,
    /// The user leaves its end open whatever it is told.
    pub(crate) stays: bool,
    /// The socket does what a socket may, short of a reset.
    pub(crate) is_rough: bool,
    /// Bytes that one direction of the connection holds.
    pub(crate) pipe: usize,
    /// The peer ends its side at the end.
    pub(crate) ends: bool,
}

/// The course of a seed.
pub(crate) fn draw(seed: u64) -> (Plan, Vec<Op>) {
    let mut dice = Dice::seed_from_u64(seed);
    let plan = Plan::draw(&mut dice);
    let mut behind_goodbye = false;
    // New keys are where most can happen at once, if they are wished for early.
    let first = [Op::Renegotiate, Op::draw(&mut dice, false)][dice.random_range(0..2)];
    let ops = (0..dice.random_range(5..25)).map(|_| {
        let op = Op::draw(&mut dice, behind_goodbye);
        behind_goodbye |= matches!(op, Op::Goodbye);
        op
    });
    let ops = iter::once(first).chain(ops).collect();
    (plan, ops)
}

impl Plan {
    fn draw(dice: &mut Dice) -> Self {
        let within = Duration::from_secs(2);
        let ways = [Shutdown::Clean { within }, Shutdown::Lazy, Shutdown::Immediate];
        let states = [TlsState::Accepting, TlsState::Connecting];
        let charge = [Charge::Ciphertext, Charge::Plaintext][dice.random_range(0..2)];
        let timeout = [None, Some(Duration::from_secs(3))][dice.random_range(0..2)];
        Self {
            version: dice.random_range(0..2),
            state: states[dice.random_range(0..2)],
            options: TlsOptions::new()
                .shutdown(ways[dice.random_range(0..3)])
                .allow_dirty_shutdown(dice.random())
                .charge(charge)
                .handshake_timeout(timeout),
            allows: dice.random_ratio(2, 3),
            begins_open: dice.random_ratio(7, 8),
            stays: dice.random_ratio(2, 3),
            is_rough: dice.random_ratio(1, 4),
            pipe: [DEFAULT_BUFFER_BYTES, 3_000][dice.random_range(0..2)],
            ends: dice.random(),
        }
    }

    /// Whether new keys can be made: a client whose server refuses them fails.
    pub(crate) fn is_honest(&self) -> bool {
        self.allows || self.version > 0
    }
}

impl Op {
    /// The next; some are worth more behind a goodbye, and would otherwise only end the course.
    fn draw(dice: &mut Dice, behind_goodbye: bool) -> Self {
        let direction = Direction::ALL[dice.random_range(0..2)];
        let size = [1, 100, 3_000, 20_000, 100_000][dice.random_range(0..5)];
        let rarely = dice.random_ratio(1, 10);
        let kinds = if behind_goodbye && dice.random() { 26..34 } else { 0..40 };
        match dice.random_range(kinds) {
            0 | 1 => Self::Enable(Direction::Read),
            2..=4 => Self::Disable(Direction::Read),
            5 => Self::Enable(Direction::Write),
            6 => Self::Disable(Direction::Write),
            7 => Self::Mark([0, 1, 100, 20_000][dice.random_range(0..4)]),
            8 => Self::Limit([None, Some(2_000), Some(200_000)][dice.random_range(0..3)]),
            9 => Self::Timeout(direction, [None, Some(SECOND)][dice.random_range(0..2)]),
            10 | 11 => Self::Take,
            12..=14 => Self::Write(size),
            15..=18 => Self::Renegotiate,
            19 if rarely => Self::ShutdownWrite,
            20 if rarely => Self::Close,
            21..=23 => Self::Put(size),
            24 => Self::Rekey,
            25 | 35 => Self::Goodbye,
            26 | 27 if rarely || behind_goodbye => Self::Raw(RAW[dice.random_range(0..RAW.len())]),
            28 if rarely || behind_goodbye => Self::Pour,
            29 => Self::Receive,
            30 => Self::Send(dice.random_range(1..8)),
            31..=33 => Self::Send(8),
            34 if rarely => Self::Fin,
            37 if rarely => Self::Reset,
            38 => Self::MaxOutput([0, 1_000, 1 << 20][dice.random_range(0..3)]),
            36 => Self::Rest([SECOND, 4 * SECOND][dice.random_range(0..2)]),
            _ => Self::Exchange,
        }
    }

    /// Whether a peer that means well may do it, or a user who wants to go on.
    pub(crate) fn is_honest(&self) -> bool {
        !matches!(self, Self::Raw(_) | Self::Pour | Self::Fin | Self::Reset | Self::Close)
    }
}
