//! What a schedule does, each operation written in four bytes.
//!
//! Any four bytes are an operation, so that a fuzzer may change any of them; zeroes are the
//! simplest.

use std::fmt;

use sluicegate::{Direction, FlushMode, Priority, Trigger};

use super::filter::Nature;

/// Something done to one end.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Operation {
    pub(crate) at: Place,
    /// Not now, but in the next callback of that end.
    pub(crate) later: bool,
    pub(crate) act: Act,
}

/// Where something is done.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Place {
    pub(crate) side: usize,
    /// Counted from the top, around the stack.
    pub(crate) layer: usize,
    pub(crate) way: Direction,
}

/// What is done; counts are of bytes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Act {
    Put(usize, How),
    /// Takes bytes out of the input.
    Take(usize),
    /// Has the handler take what comes, or leave it.
    Keep(bool),
    /// Lets so many microseconds pass.
    Run(u64),
    ReadMarks(usize, usize),
    WriteMarks(usize, usize),
    MaxOutput(usize),
    MaxSingle(usize),
    Enable,
    Disable,
    /// A timeout of so many microseconds, or none.
    Timeout(u64),
    /// A limit of so much each 10 ms, of so much a second, or none.
    LimitByTick(u64),
    Limit(u64),
    Unlimit,
    /// Takes tokens out of the own limit, or puts some in.
    Adjust(i64),
    Join(usize, u32),
    Leave,
    /// Gives a group so much each 10 ms.
    Regroup(usize, u64),
    /// Lets all members of a group go.
    Disband(usize),
    Push(FlushMode),
    /// Puts a filter over this end alone: what leaves it has to be what came in.
    Filter(Nature),
    Release,
    SetHandler,
    /// Has a callback made that need not be due.
    Call(Trigger),
    Prefer(Priority),
    /// Ends writing, and reads on.
    EndWriting,
    /// Takes the socket out and gives it to another bufferevent.
    Move,
    /// Sends the connection to the other core.
    HandOver,
    /// Closes, and waits for the peer as long as it takes.
    Close,
    /// Closes, and waits for so many milliseconds.
    CloseWithin(u64),
    CloseNow,
}

/// How bytes are put into an output.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum How {
    Copied,
    Shared,
    Owned,
    Source,
    /// A source that fails in its middle.
    Broken,
}

impl Operation {
    /// Reads an operation; any bytes are one.
    pub(crate) fn decode([kind, place, low, high]: [u8; 4]) -> Self {
        let n = usize::from(u16::from_le_bytes([low, high]));
        let way = Direction::ALL[usize::from(place >> 1 & 1)];
        let at = Place { side: usize::from(place & 1), layer: usize::from(place >> 2 & 3), way };
        Self { at, later: place >> 4 == 15, act: Act::decode(kind, way, n) }
    }
}

/// Something done at once.
pub(crate) fn on(side: usize, layer: usize, way: Direction, act: Act) -> Operation {
    Operation { at: Place { side, layer, way }, later: false, act }
}

/// Something done in the next callback.
pub(crate) fn later(side: usize, layer: usize, way: Direction, act: Act) -> Operation {
    Operation { later: true, ..on(side, layer, way, act) }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { at: Place { side, layer, way }, later, act } = self;
        let when = if *later { "later" } else { "on" };
        write!(f, "{when}({side}, {layer}, {way:?}, {act:?})")
    }
}

impl Act {
    fn decode(kind: u8, way: Direction, n: usize) -> Self {
        match kind {
            0..40 => Self::Put(length(n), How::Copied),
            40..58 => Self::Put(length(n), [How::Shared, How::Owned, How::Source][n % 3]),
            58..60 => Self::Put(MUCH, [How::Owned, How::Source][n % 2]),
            60..63 => Self::Put(length(n), How::Broken),
            63..73 => Self::Take(length(n)),
            73..79 => Self::Keep(n.is_multiple_of(2)),
            79..126 => Self::Run(pick(n, [10, 300, 5_000, 40_000])),
            126..132 => Self::HandOver,
            132..144 => {
                let high = pick(n, [0, 20, 1_000, 50_000]) as usize;
                Self::ReadMarks(if n % 8 < 4 { 0 } else { high / 2 }, high)
            }
            144..147 => Self::WriteMarks(length(n) / 2, if n % 8 < 4 { 0 } else { length(n) }),
            147..153 => Self::MaxOutput(length(n)),
            153..157 => Self::MaxSingle(length(n) % 5_000),
            157..169 => Self::Enable,
            169..175 => Self::Disable,
            175..179 => Self::Timeout(pick(n, [0, 900, 5_000, 60_000])),
            179..185 => Self::LimitByTick(length(n) as u64 + 20),
            185..189 => Self::Limit(pick(n, [500, 50_000, 1_000_000, 40_000_000]) + 1),
            189..193 => Self::Unlimit,
            193..195 => Self::Adjust(n as i64 - 30_000),
            195..203 => Self::Join(n % 2, 1 + n as u32 / 2 % 5),
            203..207 => Self::Leave,
            207..208 => Self::Regroup(n % 2, length(n) as u64 + 50),
            208..209 => Self::Disband(n % 2),
            209..222 => {
                let modes = [FlushMode::Normal, FlushMode::Flush, FlushMode::Finished];
                Self::Push(modes[n % 3])
            }
            222..228 => Self::Filter(match n % 5 {
                0 | 1 => Nature::Identity,
                2 | 3 => Nature::Greedy,
                _ => Nature::Fails(way, length(n)),
            }),
            228..236 => Self::Release,
            236..240 => Self::SetHandler,
            240..244 => Self::Close,
            244..247 => Self::CloseWithin(n as u64 % 50),
            247..249 => Self::CloseNow,
            249..251 => Self::EndWriting,
            251..253 => Self::Move,
            253 => Self::Call(if n.is_multiple_of(2) { Trigger::IfDue } else { Trigger::Always }),
            254 => Self::Prefer([Priority::Low, Priority::Normal, Priority::High][n % 3]),
            255 => Self::Run(10),
        }
    }
}

/// More than a wire or a socket takes at once.
const MUCH: usize = 300_000;

/// Lengths of four magnitudes.
fn length(n: usize) -> usize {
    let range = [0..20, 50..1_000, 1_000..6_000, 6_000..70_000][n % 4].clone();
    range.start + n / 4 % range.len()
}

fn pick(n: usize, from: [u64; 4]) -> u64 {
    let most = from[n % 4];
    most / 2 + (n / 4) as u64 % (most / 2 + 1)
}
