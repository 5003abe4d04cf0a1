//! The operations that a model of buffers knows, each written in eight bytes.
//!
//! Any eight bytes are an operation, so that a fuzzer may change any of them; smaller bytes are
//! simpler operations on fewer bytes, so that shrinking ends at something readable.

/// How many buffers there are.
pub(crate) const BUFFERS: usize = 3;

/// An operation on the buffer at one place, or from there to another; `n` and `m` count bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Operation {
    pub(crate) kind: Kind,
    pub(crate) at: usize,
    pub(crate) to: usize,
    pub(crate) n: usize,
    pub(crate) m: usize,
}

macro_rules! kinds {
    ($($kind:ident),* $(,)?) => {
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum Kind { $($kind),* }
        const KINDS: &[Kind] = &[$(Kind::$kind),*];
    };
}

kinds! {
    Add, Drain, Append, MoveTo, Land, AddShared, AddOwner, AddSource, Load, Prepend, PrependBuffer,
    AppendShared, PullUp, Peek, Remove, Read, CopyOut, IoSlices, Reserve, ReserveExtents, Search,
    SearchEol, ReadLine, Clear,
}

impl Operation {
    /// Reads an operation; any bytes are one.
    pub(crate) fn decode([kind, buffers, class_n, n, n_high, class_m, m, m_high]: [u8; 8]) -> Self {
        Self {
            kind: KINDS[usize::from(kind) % KINDS.len()],
            at: usize::from(buffers & 15) % BUFFERS,
            to: usize::from(buffers >> 4) % BUFFERS,
            n: length(class_n, [n, n_high]),
            m: length(class_m, [m, m_high]),
        }
    }
}

/// Lengths near nothing, near each block size and its eighth, and beyond the largest block.
fn length(class: u8, value: [u8; 2]) -> usize {
    let range = match class % 12 {
        0..4 => 0..20,
        4..6 => 120..136,
        6..8 => 500..1_030,
        8..10 => 2_040..4_100,
        10 => 8_185..16_390,
        _ => 65_530..70_000,
    };
    range.start + usize::from(u16::from_le_bytes(value)) % range.len()
}
